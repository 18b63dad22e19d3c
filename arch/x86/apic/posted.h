/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Posted interrupts: how an interrupt, from whatever thread or handler, gets
 * into a vCPU's APIC (SDM, "Posted-Interrupt Processing").
 *
 * Whoever has an interrupt sets its bit in PIR, and then ON.  Who sets ON first
 * tells the vCPU, which is in one of three places:
 *
 *	in the guest	(@where is DF_IN_GUEST) the notification vector is sent to its
 *			CPU, which moves PIR into IRR without an exit
 *	waiting		in HLT: its thread is woken
 *	elsewhere	it looks at ON before it next enters the guest, or waits
 *
 * No wake-up is lost: the vCPU first writes @where, or what says that it waits,
 * then looks at ON; the sender first writes ON, then looks at those; there is a
 * full barrier in both. At least one of them sees the other. A notification
 * that comes when the vCPU has left the guest finds the host's own handler, and
 * ON stays set until the vCPU looks.
 */
#ifndef DF_POSTED_H
#define DF_POSTED_H

#include <linux/smp.h>
#include <asm/irq_vectors.h>

#include "apic/lapic.h"

/** posted_clear() - forget what is on its way. Context: The vCPU's thread. */
void posted_clear(struct df_vcpu *vcpu);

/**
 * posted_notify_by() - what VT-d sends with the next interrupt, and to which CPU
 *
 * A full barrier: what it posted before is seen behind it. See bypass.h.
 *
 * Context: The vCPU's thread.
 */
void posted_notify_by(struct df_vcpu *vcpu, u8 vector, int cpu);

/** posted_on_cpu() - the vCPU is on this CPU now. Context: As above, preemption off. */
static inline void posted_on_cpu(struct df_vcpu *vcpu)
{
	posted_notify_by(vcpu, POSTED_INTR_VECTOR, smp_processor_id());
}

/**
 * posted_send() - an interrupt for a vCPU
 *
 * Context: Any; no indirect branch, see vmx_enter().
 * Return: whether the vCPU may be waiting, and posted_wake() is to be called.
 */
bool posted_send(struct df_vcpu *vcpu, u8 vector);

/** posted_wake() - end a vCPU's waiting. Context: Any but the inner ring. */
void posted_wake(struct df_vcpu *vcpu);

/**
 * posted_notify() - somebody else has posted to a vCPU, and set ON
 *
 * Context: Behind a full barrier, preemption off; not the inner ring.
 */
void posted_notify(struct df_vcpu *vcpu);

/** posted_self() - an interrupt of the vCPU's own making. Context: Its thread. */
static inline void posted_self(struct df_vcpu *vcpu, u8 vector)
{
	pi_test_and_set_pir(vector, vcpu->lapic.pi);
	pi_set_on(vcpu->lapic.pi);
}

/**
 * posted_request() - ask a vCPU to do something before it enters the guest again
 * @vcpu: the vCPU
 * @request: a DF_REQ_*
 *
 * It leaves the guest for that, or stops waiting; one IPI at most until it has.
 *
 * Context: Any but the inner ring.
 */
void posted_request(struct df_vcpu *vcpu, int request);

static __always_inline bool posted_pending(const struct df_vcpu *vcpu)
{
	return pi_test_on(vcpu->lapic.pi);
}

/** posted_fold() - move what is posted into IRR. Context: The vCPU's thread. */
void posted_fold(struct df_vcpu *vcpu);

/**
 * posted_enter() - the same before an entry, if anything is posted
 *
 * Of RVI and SVI, which DF_DIRTY_APIC has written anew, that changes only RVI.
 *
 * Context: Interrupts off, the VMCS current; no indirect branch.
 */
void posted_enter(struct df_vcpu *vcpu);

/** posted_pair() - 64 bits of IRR, ISR or TMR. */
static inline u64 posted_pair(const struct df_vcpu *vcpu, unsigned int reg)
{
	return lapic_get(vcpu, reg) | (u64)lapic_get(vcpu, reg + 0x10) << 32;
}

/** posted_highest() - the highest bit of IRR or ISR, or -1. */
int posted_highest(const struct df_vcpu *vcpu, unsigned int first);

/** posted_priority() - PPR, as the CPU would compute it. */
u8 posted_priority(const struct df_vcpu *vcpu);

/** posted_deliverable() - is there one that the priority lets in? Folds. */
bool posted_deliverable(struct df_vcpu *vcpu);

/** posted_write_status() - RVI and SVI, from IRR and ISR; the VMCS current. */
void posted_write_status(const struct df_vcpu *vcpu);

#endif
