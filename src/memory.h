/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest memory: slots, and the pages of the user that are pinned for them.
 */
#ifndef DF_MEMORY_H
#define DF_MEMORY_H

#include "slots.h"
#include "types.h"

struct page;

/**
 * df_memory_set() - add, move, change or delete a slot
 * @vm: the VM
 * @region: as <linux/kvm.h> has it
 *
 * Context: Process context, may sleep; takes the memory lock.
 * Return: 0; -EINVAL for a region that is not aligned, wraps, is absurd, is not
 * user memory or has unknown flags; -EEXIST for one that overlaps another; -ENOMEM.
 */
int df_memory_set(struct df_vm *vm, void *region);

/**
 * df_memory_add_doorbell() - one more slot, a queue's own
 *
 * Context: As df_memory_set().
 * Return: 0, -EEXIST if there is memory already, or -ENOMEM.
 */
int df_memory_add_doorbell(struct df_vm *vm, struct df_slot *slot);

/** df_memory_remove_doorbell() - when it returns no vCPU can reach it. Context: As above. */
void df_memory_remove_doorbell(struct df_vm *vm, struct df_slot *slot);

/** df_memory_destroy() - give all slots back, when no vCPU is left. May sleep. */
void df_memory_destroy(struct df_vm *vm);

/** df_memory_slot() - the slot that a guest page is in, or NULL; under the memory lock. */
struct df_slot *df_memory_slot(struct df_vm *vm, u64 gfn);

/**
 * df_memory_pin() - pin pages of a slot, charged to RLIMIT_MEMLOCK
 * @vm: the VM
 * @slot: the slot; one that is read-only asks for less
 * @gfn: guest page of the first
 * @n: how many
 * @pages: filled in
 *
 * Context: Process context of the VM's creator, may sleep.
 * Return: 0 with all of them pinned, or a negative errno with none: -ENOMEM for
 * the limit, -EFAULT for what is no memory of the user's.
 */
int df_memory_pin(struct df_vm *vm, const struct df_slot *slot, u64 gfn, unsigned int n,
		  struct page **pages);

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
 * Return: 0, -ENXIO where there is no slot, or none that can be written, or
 * -EFAULT where the user has no memory behind it.
 */
int df_memory_access(struct df_vm *vm, u64 gpa, void *data, size_t len, bool write);

/**
 * df_memory_or() - set bits of an aligned word in guest memory, atomically
 * @vm: the VM
 * @gpa: of the word
 * @bytes: 4 or 8
 * @old: what it is
 * @bits: to set
 *
 * Context: As df_memory_access().
 * Return: As df_memory_access(), and -EAGAIN if the word is no longer @old.
 */
int df_memory_or(struct df_vm *vm, u64 gpa, unsigned int bytes, u64 old, u64 bits);

#endif
