/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest's time-stamp counter: the host's, scaled and offset.
 */
#ifndef DF_TSC_H
#define DF_TSC_H

#include "types.h"

/** tsc_vcpu_init() - the TSC of a VM's first vCPU begins with 0, that of others is the same. */
void tsc_vcpu_init(struct df_vcpu *vcpu);

/** tsc_scale() - so many of the host's ticks in the guest's. */
u64 tsc_scale(const struct df_vcpu *vcpu, u64 host);

/** tsc_of_host() - a guest's TSC when the host's is @host. */
u64 tsc_of_host(const struct df_vcpu *vcpu, u64 host);

/** tsc_is_common() - do all vCPUs of a VM have the same? */
bool tsc_is_common(const struct df_vm *vm);

/** tsc_is_hosts() - is it the same as the host's? */
bool tsc_is_hosts(const struct df_vcpu *vcpu);

/** tsc_read() - what RDTSC in the guest would give now. */
u64 tsc_read(const struct df_vcpu *vcpu);

/** tsc_to_host() - how many of the host's cycles so many of the guest's take, at most 2^40. */
u64 tsc_to_host(const struct df_vcpu *vcpu, u64 cycles);

/**
 * tsc_write() - set the TSC
 * @vcpu: the vCPU
 * @value: what it is now
 * @host: user space writes, not the guest
 *
 * What user space writes to several vCPUs within a second of the guest's time
 * is taken for an attempt to give them the same: they get the same.
 *
 * Context: The vCPU's lock held, may sleep. Return: 0 or -EIO.
 */
int tsc_write(struct df_vcpu *vcpu, u64 value, bool host);

/** tsc_write_adjust() - IA32_TSC_ADJUST; a guest's write moves its TSC along. */
int tsc_write_adjust(struct df_vcpu *vcpu, u64 value, bool host);

/** tsc_set_khz() - KVM_SET_TSC_KHZ; 0 is the host's. 0, -EINVAL or -EIO. */
int tsc_set_khz(struct df_vcpu *vcpu, unsigned long khz);
int tsc_set_default_khz(struct df_vm *vm, unsigned long khz);

/* KVM_VCPU_TSC_CTRL of KVM_{HAS,GET,SET}_DEVICE_ATTR. */
int tsc_has_attr(struct df_vcpu *vcpu, void *arg);
int tsc_get_attr(struct df_vcpu *vcpu, void *arg);
int tsc_set_attr(struct df_vcpu *vcpu, void *arg);

#endif
