/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory slots: where a guest has memory.  Pure: it is also compiled, and
 * tested, on the build machine (selftests/unit/).
 */
#ifndef DF_SLOTS_H
#define DF_SLOTS_H

#include <linux/types.h>

struct kvm_userspace_memory_region2;

#define DF_MAX_SLOTS	512

/* KVM's own limit; with it no sum of frame numbers and sizes can wrap. */
#define DF_SLOT_MAX_PAGES	((1ULL << 31) - 1)

/**
 * struct df_slot - a piece of guest memory
 * @gfn: its first guest page
 * @pages: its size; 0 for a slot that is not in use
 * @hva: where it lies in the address space of the VM's creator
 * @flags: KVM_MEM_*
 * @dirty: with KVM_MEM_LOG_DIRTY_PAGES, a bit for each page
 * @device: set once a page of it is device memory
 * @doorbell: of a queue: the one page (its frame number) that this can be; else 0
 */
struct df_slot {
	u64 gfn, pages;
	unsigned long hva;
	u32 flags;
	unsigned long *dirty;
	struct df_device_memory *device;
	unsigned long doorbell;
};

/** slots_find() - the one, of those before @end, that a guest page is in, or NULL. */
struct df_slot *slots_find(struct df_slot *slots, unsigned int end, u64 gfn);

/** slots_overlap() - does any of them but @self have a page of this range? */
bool slots_overlap(struct df_slot *slots, unsigned int end, const struct df_slot *self, u64 gfn,
		   u64 pages);

/**
 * slots_check() - is a region of a form that any slot could have?
 * @region: as user space gives it
 * @max_gfn: the first guest page that can have no memory
 *
 * Return: 0, or -EINVAL for a slot number or flag that there is not, for what is
 * not aligned to pages, wraps, is absurdly large or out of the guest's reach.
 */
int slots_check(const struct kvm_userspace_memory_region2 *region, u64 max_gfn);

/**
 * slots_may_change() - can an existing slot become another one?
 *
 * As KVM: it can be moved, deleted, or change whether it is logged; its memory
 * and its size stay, and so does whether it can be written.
 */
bool slots_may_change(const struct df_slot *old, const struct df_slot *new);

#endif
