/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Model-specific registers: one table says which there are and why.
 */
#ifndef DF_MSR_H
#define DF_MSR_H

#include "types.h"

/** msr_init() - once, at load. */
void msr_init(void);

/**
 * msr_bitmap_init() - which MSRs do not exit
 * @bitmap: a page; those of the table that run with the guest's value are
 *	let through, all others exit
 */
void msr_bitmap_init(unsigned long *bitmap);

/** msr_reset() - the values that a reset leaves. */
void msr_reset(struct df_vcpu *vcpu);

/**
 * msr_read_inner() - RDMSR of a plain number; msr_write_inner() - WRMSR, and the ICR and
 * the deadline of the APIC's timer
 *
 * Context: Of exit_handle_inner().
 * Return: DF_RESUME if done, DF_TO_WAKE, or DF_TO_MIDDLE.
 */
int msr_read_inner(struct df_vcpu *vcpu);
int msr_write_inner(struct df_vcpu *vcpu);

/** msr_handle() - any other, in the middle ring. */
int msr_handle(struct df_vcpu *vcpu, bool write);

/**
 * msr_access() - KVM_GET_MSRS and KVM_SET_MSRS
 * @vcpu: the vCPU, or NULL for the features that there are
 *
 * Return: how many were done, or a negative errno.
 */
long msr_access(struct df_vcpu *vcpu, struct kvm_msrs __user *user, bool write);
long msr_get_list(struct kvm_msr_list __user *user, bool features);

/* What KVM_CAP_X86_USER_SPACE_MSR can ask for. */
#define MSR_USER_REASONS	(KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | \
				 KVM_MSR_EXIT_REASON_FILTER)

#endif
