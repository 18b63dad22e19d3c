/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Extended page tables: guest-physical to host-physical (SDM, "The Extended
 * Page Table Mechanism").  A VM's memory costs these tables and nothing else:
 * which pages are pinned is read off the leaves.
 */
#ifndef DF_EPT_H
#define DF_EPT_H

#include <linux/types.h>

struct df_vm;

int ept_init(struct df_vm *vm);

/** ept_destroy() - free the tables; no leaf is left. May sleep. */
void ept_destroy(struct df_vm *vm);

/** ept_pointer() - the EPTP for a VMCS. */
u64 ept_pointer(struct df_vm *vm);

/**
 * ept_fault() - the guest touched a page that it has not
 * @vm: the VM
 * @gpa: guest-physical address
 *
 * Pins the page and maps it, by 2 MiB where the user's memory is made of such
 * pages.
 *
 * Context: Process context of the VM's creator, may sleep.
 * Return: 0 with the page mapped; 1 if there is no memory, which makes it
 * MMIO; or a negative errno.
 */
int ept_fault(struct df_vm *vm, u64 gpa);

#endif
