/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DF_CPUID_H
#define DF_CPUID_H

#include <asm/processor.h>

#include "types.h"

/**
 * cpuid_handle() - CPUID with the leaf in RAX and the subleaf in RCX
 *
 * Context: Any, the VMCS current.
 */
int cpuid_handle(struct df_vcpu *vcpu);

/** cpuid_find() - what a vCPU's CPUID says of a leaf, or NULL. */
const struct kvm_cpuid_entry2 *cpuid_find(const struct df_vcpu *vcpu, u32 leaf, u32 subleaf);

/** cpuid_has() - does a vCPU's CPUID have this bit? */
bool cpuid_has(const struct df_vcpu *vcpu, u32 leaf, u32 subleaf, enum cpuid_regs_idx reg,
	       unsigned int bit);

/** cpuid_pv_has() - may a vCPU use this of KVM's features, KVM_FEATURE_*? */
static inline bool cpuid_pv_has(const struct df_vcpu *vcpu, unsigned int feature)
{
	return vcpu->pv_features & BIT(feature);
}

/** cpuid_pv_enforce() - KVM_CAP_ENFORCE_PV_FEATURE_CPUID: those of its CPUID, or all. */
void cpuid_pv_enforce(struct df_vcpu *vcpu, bool enforce);

/** cpuid_xfeatures() - the bits of XCR0 that a vCPU's CPUID lets it set. */
u64 cpuid_xfeatures(const struct df_vcpu *vcpu);

/**
 * cpuid_set() - KVM_SET_CPUID2
 *
 * As KVM: a vCPU that has run keeps what it has seen.
 *
 * Context: The vCPU's lock held, may sleep.
 * Return: 0, -E2BIG, -EFAULT, -ENOMEM, or -EINVAL for a change after it has run.
 */
int cpuid_set(struct df_vcpu *vcpu, struct kvm_cpuid2 __user *user);

/** cpuid_get() - KVM_GET_CPUID2: what it says now. 0, -E2BIG, -EFAULT or -EIO. */
int cpuid_get(struct df_vcpu *vcpu, struct kvm_cpuid2 __user *user);

/** cpuid_is_supported() - can a guest have this bit of a leaf's first subleaf? */
bool cpuid_is_supported(u32 leaf, enum cpuid_regs_idx reg, unsigned int bit);

/**
 * cpuid_get_supported() - KVM_GET_SUPPORTED_CPUID: what a guest can have here
 *
 * Never more than KVM says on the same CPU, so that guests can move to it.
 *
 * Context: Process context, may sleep. Return: 0, -E2BIG, -EFAULT or -ENOMEM.
 */
int cpuid_get_supported(struct kvm_cpuid2 __user *user);

#endif
