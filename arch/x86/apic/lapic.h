/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The local APIC of a vCPU (SDM, "Advanced Programmable Interrupt Controller"
 * and "APIC Virtualization and Virtual Interrupts").
 *
 * Its registers are the virtual-APIC page, of which the CPU itself serves what it
 * can while the guest runs.  They are the vCPU's thread's, but for ID, LDR, DFR,
 * SVR and TMR, which senders read, and set bits of, from anywhere.
 */
#ifndef DF_LAPIC_H
#define DF_LAPIC_H

#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <asm/msr-index.h>
#include <asm/posted_intr.h>

#include "types.h"

/* Interrupts that the CPU refuses: these vectors are exceptions'. */
#define LAPIC_FIRST_VECTOR	16

#define LAPIC_MSR(reg)		(APIC_BASE_MSR + ((reg) >> 4))
#define LAPIC_LAST_MSR		(APIC_BASE_MSR + 0xff)

/**
 * struct lapic_page - what one page holds of a vCPU's APIC
 * @regs: the virtual-APIC page, as far as the CPU looks at it
 * @pi: the posted-interrupt descriptor, if the guest has it not; nothing shows it this page
 */
struct lapic_page {
	u8 regs[KVM_APIC_REG_SIZE];
	struct pi_desc pi;
};

static_assert(sizeof(struct lapic_page) <= PAGE_SIZE);

static inline bool lapic_is_here(const struct df_vcpu *vcpu)
{
	return vcpu->lapic.page;
}

static __always_inline u32 *lapic_reg(const struct df_vcpu *vcpu, unsigned int reg)
{
	return (u32 *)(vcpu->lapic.page->regs + reg);
}

static inline u32 lapic_get(const struct df_vcpu *vcpu, unsigned int reg)
{
	return READ_ONCE(*lapic_reg(vcpu, reg));
}

static inline void lapic_put(const struct df_vcpu *vcpu, unsigned int reg, u32 value)
{
	WRITE_ONCE(*lapic_reg(vcpu, reg), value);
}

/** lapic_cr8() - CR8, the task priority, wherever it is. */
static inline u64 lapic_cr8(const struct df_vcpu *vcpu)
{
	return lapic_is_here(vcpu) ? lapic_get(vcpu, APIC_TASKPRI) >> 4 : vcpu->cr8;
}

static inline bool lapic_is_enabled(const struct df_vcpu *vcpu)
{
	return READ_ONCE(vcpu->apic_base) & MSR_IA32_APICBASE_ENABLE;
}

static inline bool lapic_is_x2apic(const struct df_vcpu *vcpu)
{
	return READ_ONCE(vcpu->apic_base) & X2APIC_ENABLE;
}

/** lapic_icr_destination() - of what is in the ICR. */
static __always_inline u32 lapic_icr_destination(const struct df_vcpu *vcpu)
{
	return lapic_is_x2apic(vcpu) ? lapic_get(vcpu, APIC_ICR + 4) :
				       lapic_get(vcpu, APIC_ICR2) >> 24;
}

/* Of the 256 bits in eight registers that IRR, ISR and TMR are, for set_bit() and the like. */
static __always_inline unsigned long *lapic_word(const struct df_vcpu *vcpu,
						 unsigned int first, u8 vector)
{
	return (unsigned long *)lapic_reg(vcpu, first + (vector >> 5) * 0x10);
}

/** lapic_bitmap_init() - let through, of an MSR bitmap, what the CPU serves in x2APIC mode. */
void lapic_bitmap_init(unsigned long *bitmap);

/** lapic_create() - an APIC in the state that a reset leaves. 0 or -ENOMEM. May sleep. */
int lapic_create(struct df_vcpu *vcpu);

/** lapic_reset() - by power-on or INIT. Context: The vCPU's thread. */
void lapic_reset(struct df_vcpu *vcpu);

/**
 * lapic_set_base() - write IA32_APIC_BASE
 * @vcpu: the vCPU
 * @value: what to write
 * @host: user space does, and may go from any mode to any other
 *
 * Return: 0, or -EINVAL for a reserved bit or a way between modes that there is not.
 */
int lapic_set_base(struct df_vcpu *vcpu, u64 value, bool host);

/**
 * lapic_write() - a register, with all that follows from it
 *
 * The CPU may have put @value into the page already.
 *
 * Context: The vCPU's thread, no VMCS in hand.
 * Return: 0, or -EINVAL if there is none, or it cannot be written.
 */
int lapic_write(struct df_vcpu *vcpu, unsigned int reg, u32 value);

/* RDMSR and WRMSR in x2APIC mode: 0, or -EINVAL for #GP. */
int lapic_read_msr(struct df_vcpu *vcpu, u32 index, u64 *value);
int lapic_write_msr(struct df_vcpu *vcpu, u32 index, u64 value);

/** lapic_icr_inner() - WRMSR to the ICR in the inner ring; as delivery_icr_inner(). */
int lapic_icr_inner(struct df_vcpu *vcpu, u64 value);

/** lapic_access() - part of the xAPIC's page is read or written; false if there is none. */
bool lapic_access(struct df_vcpu *vcpu, u64 gpa, void *data, unsigned int len, bool write);

/** lapic_error() - what ESR tells, and the error interrupt. Context: The vCPU's thread. */
void lapic_error(struct df_vcpu *vcpu, u32 bit);

/* KVM_GET_LAPIC and KVM_SET_LAPIC: 0 or -EINVAL. The vCPU's lock held. */
int lapic_get_state(struct df_vcpu *vcpu, void *arg);
int lapic_set_state(struct df_vcpu *vcpu, void *arg);

#endif
