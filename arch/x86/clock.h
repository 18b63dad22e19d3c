/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kvmclock: a guest's time in nanoseconds, as a straight line along its TSC.
 *
 * A VM's line goes through one point, which it gets when it is made and when user
 * space sets its clock. Every vCPU is told of the same point, so that all have the
 * same time, and none has to be told again: the host's TSC does not change its rate.
 */
#ifndef DF_CLOCK_H
#define DF_CLOCK_H

#include "types.h"

#define CLOCK_FLAGS	(KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC)

/** clock_is_offered() - does the host itself trust its TSC to tell the time? */
bool clock_is_offered(void);

/** clock_vm_init() - a VM's time begins with 0. */
void clock_vm_init(struct df_vm *vm);

/** clock_reset() - by INIT: the guest has no clock until it asks again. */
void clock_reset(struct df_vcpu *vcpu);

/**
 * clock_update() - tell a guest what its time is
 *
 * For DF_REQ_CLOCK, which is asked for when the line or the vCPU's TSC has changed.
 *
 * Context: The vCPU's thread, before it enters the guest; may sleep.
 */
void clock_update(struct df_vcpu *vcpu);

/** clock_set_system_time() - MSR_KVM_SYSTEM_TIME: where a vCPU wants to be told. */
void clock_set_system_time(struct df_vcpu *vcpu, u64 value);

/** clock_set_wall_clock() - MSR_KVM_WALL_CLOCK: where to say, once, when time began. May sleep. */
void clock_set_wall_clock(struct df_vm *vm, u64 gpa);

/** clock_pair() - KVM_HC_CLOCK_PAIRING; may sleep. 0 or KVM's negative errno. */
int clock_pair(struct df_vcpu *vcpu, u64 gpa);

/* KVM_GET_CLOCK and KVM_SET_CLOCK. */
int clock_get(struct df_vm *vm, void *arg);
int clock_set(struct df_vm *vm, void *arg);

/** clock_stopped() - KVM_KVMCLOCK_CTRL. 0, or -EINVAL if the guest has no such clock. */
int clock_stopped(struct df_vcpu *vcpu);

#endif
