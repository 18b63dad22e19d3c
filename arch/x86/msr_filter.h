/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * MSRs that user space keeps from a VM's guest, or for itself.
 */
#ifndef DF_MSR_FILTER_H
#define DF_MSR_FILTER_H

#include <linux/types.h>

struct df_vm;
struct kvm_msr_filter;
struct msr_filter;

/**
 * msr_filter_set() - KVM_X86_SET_MSR_FILTER, instead of the one before
 *
 * Context: Process context, may sleep.
 * Return: 0, -EINVAL, -EFAULT or -ENOMEM.
 */
int msr_filter_set(struct df_vm *vm, const struct kvm_msr_filter *wanted);

/** msr_filter_allows() - may the guest read or write an MSR? Context: Any. */
bool msr_filter_allows(const struct df_vm *vm, u32 index, bool write);

/** msr_filter_bitmap() - the MSR bitmap of the VM's own, or NULL. Context: Preemption off. */
unsigned long *msr_filter_bitmap(const struct df_vm *vm, bool x2apic);

void msr_filter_free(struct msr_filter *filter);

#endif
