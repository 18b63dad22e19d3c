// SPDX-License-Identifier: GPL-2.0-only
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/kvm.h>

#include "slots.h"

#define PAGE_BYTES	4096ULL
#define KNOWN_FLAGS	(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY)

struct df_slot *slots_find(struct df_slot *slots, unsigned int end, u64 gfn)
{
	for (unsigned int i = 0; i < end; i++)
		if (gfn - slots[i].gfn < slots[i].pages)
			return &slots[i];
	return NULL;
}

bool slots_overlap(struct df_slot *slots, unsigned int end, const struct df_slot *self, u64 gfn,
		   u64 pages)
{
	for (unsigned int i = 0; i < end; i++) {
		const struct df_slot *slot = &slots[i];

		if (slot != self && slot->pages && pages && gfn < slot->gfn + slot->pages &&
		    slot->gfn < gfn + pages)
			return true;
	}
	return false;
}

int slots_check(const struct kvm_userspace_memory_region2 *r, u64 max_gfn)
{
	u64 gfn = r->guest_phys_addr / PAGE_BYTES, pages = r->memory_size / PAGE_BYTES;

	if (r->slot >= DF_MAX_SLOTS || r->flags & ~(u32)KNOWN_FLAGS)
		return -EINVAL;
	if ((r->memory_size | r->guest_phys_addr | r->userspace_addr) % PAGE_BYTES)
		return -EINVAL;
	if (r->guest_phys_addr + r->memory_size < r->guest_phys_addr ||
	    r->userspace_addr + r->memory_size < r->userspace_addr)
		return -EINVAL;
	if (pages > DF_SLOT_MAX_PAGES || (pages && gfn + pages > max_gfn))
		return -EINVAL;
	return 0;
}

bool slots_may_change(const struct df_slot *old, const struct df_slot *new)
{
	return new->pages == old->pages && new->hva == old->hva &&
	       !((new->flags ^ old->flags) & KVM_MEM_READONLY);
}
