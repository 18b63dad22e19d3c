// SPDX-License-Identifier: GPL-2.0-only
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/uaccess.h>

#include "arch.h"
#include "memory.h"
#include "vm.h"

/* KVM's own limit; with it no sum of frame numbers and sizes can wrap. */
#define SLOT_MAX_PAGES	((1ULL << 31) - 1)

const struct df_slot *df_memory_slot(struct df_vm *vm, u64 gfn)
{
	lockdep_assert_held(&vm->memory_lock);
	for (unsigned int i = 0; i < DF_MAX_SLOTS; i++) {
		const struct df_slot *slot = &vm->slots[i];

		if (gfn - slot->gfn < slot->pages)
			return slot;
	}
	return NULL;
}

static int check_region(const struct kvm_userspace_memory_region2 *r)
{
	/* No flag yet: writing to a read-only slot has to be an MMIO exit. */
	if (r->slot >= DF_MAX_SLOTS || r->flags)
		return -EINVAL;
	if (!PAGE_ALIGNED(r->memory_size) || !PAGE_ALIGNED(r->guest_phys_addr) ||
	    !PAGE_ALIGNED(r->userspace_addr))
		return -EINVAL;
	if (r->guest_phys_addr + r->memory_size < r->guest_phys_addr ||
	    r->memory_size >> PAGE_SHIFT > SLOT_MAX_PAGES)
		return -EINVAL;
	if (r->userspace_addr != untagged_addr(r->userspace_addr) ||
	    !access_ok((void __user *)(unsigned long)r->userspace_addr, r->memory_size))
		return -EINVAL;
	return 0;
}

static bool overlaps_another(struct df_vm *vm, const struct df_slot *self, u64 gfn, u64 pages)
{
	for (unsigned int i = 0; i < DF_MAX_SLOTS; i++) {
		const struct df_slot *slot = &vm->slots[i];

		if (slot != self && slot->pages && gfn < slot->gfn + slot->pages &&
		    slot->gfn < gfn + pages)
			return true;
	}
	return false;
}

int df_memory_set(struct df_vm *vm, const struct kvm_userspace_memory_region2 *region)
{
	struct df_slot new = {
		.gfn = region->guest_phys_addr >> PAGE_SHIFT,
		.pages = region->memory_size >> PAGE_SHIFT,
		.hva = region->userspace_addr,
	};
	struct df_slot *slot;
	int err;

	err = check_region(region);
	if (err)
		return err;

	slot = &vm->slots[region->slot];
	guard(rwsem_write)(&vm->memory_lock);

	if (!new.pages && !slot->pages)
		return -EINVAL;
	/* An existing slot keeps its memory: as KVM, it is moved or deleted only. */
	if (new.pages && slot->pages &&
	    (new.pages != slot->pages || new.hva != slot->hva))
		return -EINVAL;
	if (new.pages && new.gfn >= df_arch_max_gfn() - new.pages)
		return -EINVAL;
	if (overlaps_another(vm, slot, new.gfn, new.pages))
		return -EEXIST;

	if (slot->pages && (!new.pages || new.gfn != slot->gfn))
		df_arch_memory_unmap(vm, slot->gfn, slot->pages);
	*slot = new.pages ? new : (struct df_slot){};
	return 0;
}

int df_memory_pin(struct df_vm *vm, unsigned long hva, unsigned int n, struct page **pages)
{
	int got, err;

	err = account_locked_vm(vm->mm, n, true);
	if (err)
		return err;
	got = pin_user_pages_fast(hva, n, FOLL_LONGTERM | FOLL_WRITE, pages);
	if (got == n)
		return 0;
	if (got > 0)
		unpin_user_pages(pages, got);
	account_locked_vm(vm->mm, n, false);
	return got < 0 ? got : -EFAULT;
}

void df_memory_unpin(struct df_vm *vm, struct page *page, unsigned long n, bool dirty)
{
	unpin_user_page_range_dirty_lock(page, n, dirty);
	account_locked_vm(vm->mm, n, false);
}

static int access_page(struct df_vm *vm, u64 gpa, void *data, size_t len, bool write)
{
	const struct df_slot *slot = df_memory_slot(vm, gpa >> PAGE_SHIFT);
	void __user *hva;

	if (!slot)
		return -EFAULT;
	hva = (void __user *)(slot->hva + (gpa - (slot->gfn << PAGE_SHIFT)));
	if (write ? copy_to_user(hva, data, len) : copy_from_user(data, hva, len))
		return -EFAULT;
	return 0;
}

int df_memory_access(struct df_vm *vm, u64 gpa, void *data, size_t len, bool write)
{
	guard(rwsem_read)(&vm->memory_lock);
	while (len) {
		size_t part = min_t(size_t, len, PAGE_SIZE - offset_in_page(gpa));
		int err = access_page(vm, gpa, data, part, write);

		if (err)
			return err;
		gpa += part;
		data += part;
		len -= part;
	}
	return 0;
}
