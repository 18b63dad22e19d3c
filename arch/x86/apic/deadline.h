/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A dedicated vCPU's IA32_TSC_DEADLINE: while the guest runs, the CPU's own register
 * is the guest's, who writes it without an exit. The host's deadline, which was in
 * it, is kept by the VMX-preemption timer.
 *
 *	in the ring	CPU: the guest's deadline	preemption timer: the host's
 *	out of it	CPU: the host's			df_lapic.deadline: the guest's
 *
 * So out of the ring nothing differs from a deadline that was intercepted, and it
 * goes wherever the vCPU goes.
 *
 * Whose the CPU's timer interrupt is, is known by when it comes. Before the
 * registers change hands the host's is disarmed, and if it is pending by then, or
 * over, the host gets it first. From then on until they change back only the
 * guest's can come: it exits, and is the guest's timer interrupt, exact and once.
 * What of the guest's is left pending when they change back is given to the
 * guest, and once more to the host, which finds its own clock not to be due.
 *
 * A guest that posts its interrupts itself (exitless.h) has the timer's posted before:
 * then the timer's vector is the notification, and the CPU takes in what is posted
 * without an exit. One that comes when the registers have changed back finds the
 * host's handler of late notifications; the vCPU looks at PIR before it next enters.
 *
 * That takes a guest in x2APIC mode whose TSC is the host's, and a host whose clock
 * events are the deadlines of its local APIC.
 */
#ifndef DF_DEADLINE_H
#define DF_DEADLINE_H

#include "types.h"

/** deadline_init() - once, at load: finds the CPU's APIC, if it is in memory. May sleep. */
void deadline_init(void);
void deadline_exit(void);

/** deadline_on_cpu() - what the timer of this CPU is. Context: Preemption off. */
void deadline_on_cpu(struct df_vcpu *vcpu);

/** deadline_set_posted() - write MSR_DRAGONFLY_TIMER. 0, or -EINVAL if there is none. */
int deadline_set_posted(struct df_vcpu *vcpu, bool posts);

/** deadline_may_pass() - can the guest write the CPU's register? */
bool deadline_may_pass(const struct df_vcpu *vcpu);

/**
 * deadline_in() - the CPU's register becomes the guest's, if it may pass
 *
 * Context: Interrupts off, the VMCS current, just before an entry.
 * Return: whether it is; if not, interrupts have to come on first, for the host's timer.
 */
bool deadline_in(struct df_vcpu *vcpu);

/** deadline_out() - and the host's again. Context: Interrupts still off. */
void deadline_out(struct df_vcpu *vcpu);

/**
 * deadline_took() - is the external interrupt that has caused an exit the guest's timer?
 *
 * Then it is on its way into the guest. Context: The inner ring.
 */
bool deadline_took(struct df_vcpu *vcpu);

#endif
