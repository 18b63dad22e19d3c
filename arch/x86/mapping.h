/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest memory: the user's pages, pinned, behind a VM's EPT.
 */
#ifndef DF_MAPPING_H
#define DF_MAPPING_H

#include "types.h"

void mapping_destroy(struct df_vm *vm);

/** mapping_pointer() - the EPTP for a VMCS. */
u64 mapping_pointer(struct df_vm *vm);

/**
 * mapping_fault() - the guest touched a page that it has not
 * @vm: the VM
 * @gpa: guest-physical address
 * @write: to write it
 * @fetch: to execute it
 *
 * Pins the page and maps it, in the largest piece that the user's memory is made
 * of: 1 GiB, 2 MiB or 4 KiB. While its slot is logged, by 4 KiB.
 *
 * Context: Process context of the VM's creator, may sleep.
 * Return: 0 with the page mapped; -ENXIO if there is no memory (or none to
 * write), which makes it MMIO; -EAGAIN to look again; or another errno.
 */
int mapping_fault(struct df_vm *vm, u64 gpa, bool write, bool fetch);

/**
 * device_memory_fault() - map a page of device memory (VM_PFNMAP)
 *
 * It is mapped uncached, and goes when its owner takes it away.
 *
 * Context: As mapping_fault(), under the memory lock.
 * Return: 0, -EFAULT if it is no device memory, -EAGAIN or -ENOMEM.
 */
int device_memory_fault(struct df_vm *vm, struct df_slot *slot, u64 gfn, bool write);

/** device_memory_forget() - undo it for a slot, before it is unmapped. May sleep. */
void device_memory_forget(struct df_slot *slot);

#endif
