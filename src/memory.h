/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest memory: slots, and the pages of the user that are pinned for them.
 */
#ifndef DF_MEMORY_H
#define DF_MEMORY_H

#include <linux/types.h>

struct df_slot;
struct df_vm;
struct kvm_userspace_memory_region2;
struct page;

/**
 * df_memory_set() - add, move, change or delete a slot
 * @vm: the VM
 * @region: as <linux/kvm.h> has it; flags that are not known are refused
 *
 * Context: Process context, may sleep; takes the memory lock.
 * Return: 0; -EINVAL for a region that is not aligned, wraps, is absurd or not
 * user memory; -EEXIST for one that overlaps another; -ENOMEM.
 */
int df_memory_set(struct df_vm *vm, const struct kvm_userspace_memory_region2 *region);

/**
 * df_memory_slot() - the slot that a guest page is in
 *
 * Context: Under the memory lock.
 * Return: the slot or NULL.
 */
const struct df_slot *df_memory_slot(struct df_vm *vm, u64 gfn);

/**
 * df_memory_pin() - pin pages of a slot, charged to RLIMIT_MEMLOCK
 * @vm: the VM
 * @hva: of the first
 * @n: how many
 * @pages: filled in
 *
 * Context: Process context of the VM's creator, may sleep.
 * Return: 0 with all of them pinned, or a negative errno with none.
 */
int df_memory_pin(struct df_vm *vm, unsigned long hva, unsigned int n, struct page **pages);

/** df_memory_unpin() - give back @n pages that lie behind one another from @page on. */
void df_memory_unpin(struct df_vm *vm, struct page *page, unsigned long n, bool dirty);

/**
 * df_memory_access() - read or write guest memory from the kernel
 * @vm: the VM
 * @gpa: guest-physical address; @data may cross pages
 * @data: to read into or write from
 * @len: in bytes
 * @write: the direction
 *
 * Context: Process context of the VM's creator, may sleep; takes the memory lock.
 * Return: 0, or -EFAULT where there is no (writable) memory.
 */
int df_memory_access(struct df_vm *vm, u64 gpa, void *data, size_t len, bool write);

#endif
