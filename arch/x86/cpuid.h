/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DF_CPUID_H
#define DF_CPUID_H

struct df_vcpu_arch;
struct kvm_cpuid2;

/** cpuid_emulate() - CPUID with the leaf in RAX and the subleaf in RCX. */
void cpuid_emulate(struct df_vcpu_arch *arch);

/** cpuid_set() - KVM_SET_CPUID2. 0, -E2BIG, -EFAULT or -ENOMEM. May sleep. */
int cpuid_set(struct df_vcpu_arch *arch, struct kvm_cpuid2 __user *user);

/**
 * cpuid_get_supported() - KVM_GET_SUPPORTED_CPUID: what a guest can have here
 *
 * Never more than KVM says on the same CPU, so that guests can move to it.
 *
 * Context: Process context, may sleep. Return: 0, -E2BIG, -EFAULT or -ENOMEM.
 */
int cpuid_get_supported(struct kvm_cpuid2 __user *user);

#endif
