/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DF_CPUID_H
#define DF_CPUID_H

#include <linux/types.h>

struct df_vcpu;
struct df_vcpu_arch;
struct kvm_cpuid2;

/**
 * cpuid_handle() - CPUID with the leaf in RAX and the subleaf in RCX
 *
 * Context: Any, the VMCS current.
 */
int cpuid_handle(struct df_vcpu *vcpu);

/** cpuid_xfeatures() - the bits of XCR0 that a vCPU's CPUID lets it set. */
u64 cpuid_xfeatures(const struct df_vcpu_arch *arch);

/** cpuid_set() - KVM_SET_CPUID2. 0, -E2BIG, -EFAULT or -ENOMEM. May sleep. */
int cpuid_set(struct df_vcpu_arch *arch, struct kvm_cpuid2 __user *user);

/** cpuid_get() - KVM_GET_CPUID2. 0, -E2BIG with the need filled in, or -EFAULT. */
int cpuid_get(const struct df_vcpu_arch *arch, struct kvm_cpuid2 __user *user);

/**
 * cpuid_get_supported() - KVM_GET_SUPPORTED_CPUID: what a guest can have here
 *
 * Never more than KVM says on the same CPU, so that guests can move to it.
 *
 * Context: Process context, may sleep. Return: 0, -E2BIG, -EFAULT or -ENOMEM.
 */
int cpuid_get_supported(struct kvm_cpuid2 __user *user);

#endif
