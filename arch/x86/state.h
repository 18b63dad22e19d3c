/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A vCPU's register state: what runs with the guest's values in the CPU, and
 * what user space reads and writes of it.
 */
#ifndef DF_STATE_H
#define DF_STATE_H

#include "emulate/paging.h"
#include "types.h"

/* Segment registers in the order of their VMCS fields. */
enum { DF_SEG_ES, DF_SEG_CS, DF_SEG_SS, DF_SEG_DS, DF_SEG_FS, DF_SEG_GS, DF_SEG_LDTR, DF_SEG_TR };

/* Bits of CR0 and CR4 that the CPU wants so in VMX operation, or we do. */
void state_set_cr0(u64 value);
void state_set_cr4(struct df_vcpu *vcpu, u64 value);
u64 state_cr0(void);
u64 state_cr4(const struct df_vcpu *vcpu);

/** state_cr0_valid() - what MOV to CR0 does not fault on. */
bool state_cr0_valid(u64 value);

/* EFER with LMA as CR0 makes it, and the entry control that goes with it. */
void state_set_efer(struct df_vcpu *vcpu, u64 value);

/* A write to MSR_EFER, of user space and of the guest; may sleep. 0, -EINVAL or -EIO. */
int state_write_efer(struct df_vcpu *vcpu, u64 value);

/**
 * struct df_mode - what the meaning of an instruction depends on
 * @paging: registers that paging depends on
 * @cpl: privilege level, 0 to 3
 * @bytes: default size of addresses: 2, 4 or 8
 * @rights: protected mode, where a segment's type counts
 * @segment: DF_SEG_ES to DF_SEG_GS, with their access rights as the VMCS has them
 */
struct df_mode {
	struct df_paging paging;
	u8 cpl, bytes;
	bool rights;
	struct df_segment {
		u64 base;
		u32 limit, access;
	} segment[DF_SEG_LDTR];
};

/** state_mode() - from the VMCS; the vCPU's lock held. 0 or -EIO. */
int state_mode(struct df_vcpu *vcpu, struct df_mode *mode);

/**
 * state_load_pdptes() - what MOV to CR3 does for a guest with 32-bit PAE paging
 *
 * Context: The vCPU's lock held, may sleep. Return: 0, -EIO, -EFAULT if the
 * guest's CR3 points to no memory, or -EINVAL for entries that are none.
 */
int state_load_pdptes(struct df_vcpu *vcpu);

/** state_follow_cpuid() - the bits of CR4 that a vCPU's CPUID gives it; the VMCS current. */
void state_follow_cpuid(struct df_vcpu *vcpu);

/**
 * state_guest_in() - the CPU gets the guest's MSRs
 *
 * Context: Preemption off, interrupts on, the VMCS current. Until
 * state_guest_out() nothing but exits may happen on this CPU.
 */
void state_guest_in(struct df_vcpu *vcpu);
void state_guest_out(struct df_vcpu *vcpu);

/** state_host_cr4() - an exit is to load the CR4 that the host has now; the VMCS current. */
void state_host_cr4(struct df_vcpu *vcpu);

/** state_host_on_cpu() - what of the host's state is this CPU's; preemption off. */
void state_host_on_cpu(struct df_vcpu *vcpu);

/* KVM_GET_REGS, KVM_GET_SREGS2 and their likes; the vCPU's lock held, may sleep. */
int state_get_regs(struct df_vcpu *vcpu, void *arg);
int state_set_regs(struct df_vcpu *vcpu, void *arg);
int state_get_sregs(struct df_vcpu *vcpu, void *arg);
int state_set_sregs(struct df_vcpu *vcpu, void *arg);

#endif
