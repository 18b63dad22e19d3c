/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Dedicated vCPUs: each has a CPU of the host for itself, so that its HLT and PAUSE
 * need not exit, and the CPU's timer can be its own (apic/deadline.h).
 */
#ifndef DF_DEDICATED_H
#define DF_DEDICATED_H

#include "types.h"

/** dedicated_enable() - DRAGONFLY_CAP_DEDICATED. 0, or -EINVAL once there are vCPUs. */
int dedicated_enable(struct df_vm *vm);

/**
 * dedicated_claim() - the vCPU is to run on this CPU, and nothing else that is dedicated
 *
 * Context: The vCPU's thread, preemption off.
 * Return: 0; -EINVAL if the thread may run on other CPUs too; -EBUSY if the CPU
 * is another vCPU's, or a notifier's, or another thread of its core is another VM's.
 */
int dedicated_claim(struct df_vcpu *vcpu);

/** dedicated_release() - the CPU, if it has one, is free for others. */
void dedicated_release(struct df_vcpu *vcpu);

/** dedicated_reserve() - no vCPU is to have this CPU. 0, or -EBUSY if one has it. */
int dedicated_reserve(int cpu);
void dedicated_unreserve(int cpu);

/** dedicated_cpu_offline() - and when it comes back, it is anybody's. Context: CPU hotplug. */
void dedicated_cpu_offline(unsigned int cpu);

#endif
