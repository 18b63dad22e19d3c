/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The local APIC's timer (SDM, "APIC Timer").
 *
 * All that is kept is the host's TSC at which it fires. While the guest runs, the
 * VMX-preemption timer ends the wait; while its thread waits in HLT, that thread
 * sleeps until then; in between nothing has to be armed, for whoever enters the
 * guest or waits looks at the clock first. So it is never early, and moves with
 * the vCPU by itself.
 */
#ifndef DF_TIMER_H
#define DF_TIMER_H

#include <linux/ktime.h>
#include <asm/msr.h>

#include "types.h"

/* What KVM has: the counter of a core crystal of 1 GHz. */
#define TIMER_BUS_CYCLE_NS	1

void timer_init(void);

/** timer_reset() - no deadline; mode and divisor are those of the registers. */
void timer_reset(struct df_vcpu *vcpu);

/** timer_modes() - the bits of LVTT that the guest's CPUID gives it. */
u32 timer_modes(const struct df_vcpu *vcpu);

/* What follows from a write to a register, which may be there already. */
void timer_mode_written(struct df_vcpu *vcpu);
void timer_count_written(struct df_vcpu *vcpu, u32 count);
void timer_divide_written(struct df_vcpu *vcpu, u32 divide);

/** timer_count() - TMCCT now. */
u32 timer_count(struct df_vcpu *vcpu);

/* IA32_TSC_DEADLINE: 0 when no deadline is armed. */
u64 timer_get_deadline(const struct df_vcpu *vcpu);
void timer_set_deadline(struct df_vcpu *vcpu, u64 value);

/** timer_retarget() - the guest's TSC has changed under the deadline. */
void timer_retarget(struct df_vcpu *vcpu);

/** timer_restore() - from registers that user space has written, and what was left of TMCCT. */
void timer_restore(struct df_vcpu *vcpu, u32 left);

/** timer_deliver() - the timer's interrupt, if it is not masked. Context: The vCPU's thread. */
void timer_deliver(struct df_vcpu *vcpu);

/** timer_fire() - the deadline seems to be over. Context: The vCPU's thread. */
void timer_fire(struct df_vcpu *vcpu);

static __always_inline void timer_check(struct df_vcpu *vcpu)
{
	if (vcpu->lapic.deadline && rdtsc() >= vcpu->lapic.deadline)
		timer_fire(vcpu);
}

/**
 * timer_enter() - before an entry, if there is a deadline
 *
 * Context: Interrupts off, the VMCS current; no indirect branch.
 */
void timer_enter(struct df_vcpu *vcpu);

/**
 * timer_exit() - the VMX-preemption timer has caused an exit
 *
 * Context: As above. Return: whether it was for the host's deadline.
 */
bool timer_exit(struct df_vcpu *vcpu);

/** timer_sleep() - what a thread has to sleep for; KTIME_MAX without a deadline. */
ktime_t timer_sleep(const struct df_vcpu *vcpu);

#endif
