/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * MSRs that user space keeps from a VM's guest, or for itself.
 */
#ifndef DF_MSR_FILTER_H
#define DF_MSR_FILTER_H

#include "types.h"

/** msr_filter_set() - KVM_X86_SET_MSR_FILTER, instead of the one before. May sleep. */
int msr_filter_set(struct df_vm *vm, void *arg);

/** msr_filter_allows() - may the guest read or write an MSR? Context: Any. */
bool msr_filter_allows(const struct df_vm *vm, u32 index, bool write);

/** msr_filter_bitmap() - the MSR bitmap of the VM's own, or NULL. Context: Preemption off. */
unsigned long *msr_filter_bitmap(const struct df_vm *vm, bool x2apic);

void msr_filter_free(struct msr_filter *filter);

#endif
