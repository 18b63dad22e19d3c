/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Model-specific registers: one table says which there are and why.
 */
#ifndef DF_MSR_H
#define DF_MSR_H

#include <linux/kvm.h>
#include <linux/types.h>

struct df_vcpu;
struct df_vcpu_arch;

/** msr_init() - once, at load. */
void msr_init(void);

/**
 * msr_bitmap_init() - which MSRs do not exit
 * @bitmap: a page; those of the table that run with the guest's value are
 *	let through, all others exit
 */
void msr_bitmap_init(unsigned long *bitmap);

/** msr_reset() - the values that a reset leaves. */
void msr_reset(struct df_vcpu_arch *arch);

/**
 * msr_handle_inner() - RDMSR or WRMSR of a plain number
 *
 * Context: Interrupts off, the VMCS current.
 * Return: DF_RESUME if done, or DF_TO_MIDDLE.
 */
int msr_handle_inner(struct df_vcpu *vcpu, bool write);

/** msr_handle() - any other, in the middle ring. */
int msr_handle(struct df_vcpu *vcpu, bool write);

/* The ioctls. Return how many were done, or a negative errno. */
long msr_get(struct df_vcpu *vcpu, struct kvm_msrs __user *user);
long msr_set(struct df_vcpu *vcpu, struct kvm_msrs __user *user);
long msr_get_features(struct kvm_msrs __user *user);
long msr_get_list(struct kvm_msr_list __user *user);
long msr_get_feature_list(struct kvm_msr_list __user *user);

/** msr_user_reasons() - what KVM_CAP_X86_USER_SPACE_MSR can ask for. */
u64 msr_user_reasons(void);

#endif
