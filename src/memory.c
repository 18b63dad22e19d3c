// SPDX-License-Identifier: GPL-2.0-only
#include "df.h"

struct df_slot *df_memory_slot(struct df_vm *vm, u64 gfn)
{
	lockdep_assert_held(&vm->memory_lock);
	return slots_find(vm->slots, vm->slots_end, gfn) ?: xa_load(&vm->doorbells, gfn);
}

/* ---- slots ------------------------------------------------------------------------ */

static bool is_user_memory(const struct kvm_userspace_memory_region2 *r)
{
	return r->userspace_addr == untagged_addr(r->userspace_addr) &&
	       access_ok((void __user *)(unsigned long)r->userspace_addr, r->memory_size);
}

static void delete_slot(struct df_vm *vm, struct df_slot *slot)
{
	df_arch_memory_unmap(vm, slot);
	df_dirty_stop(vm, slot);
	*slot = (struct df_slot){};
	while (vm->slots_end && !vm->slots[vm->slots_end - 1].pages)
		vm->slots_end--;
}

static int add_slot(struct df_vm *vm, struct df_slot *slot, const struct df_slot *new)
{
	int err;

	*slot = *new;
	err = df_dirty_start(vm, slot);
	if (err)
		*slot = (struct df_slot){};
	else
		vm->slots_end = max_t(unsigned int, vm->slots_end, slot - vm->slots + 1);
	return err;
}

/*
 * Its memory stays mapped if it stays where it is; but what was logged was mapped
 * by small pages, and comes back in large ones.
 */
static int change_slot(struct df_vm *vm, struct df_slot *slot, const struct df_slot *new)
{
	bool was_logged = slot->flags & KVM_MEM_LOG_DIRTY_PAGES;
	bool is_logged = new->flags & KVM_MEM_LOG_DIRTY_PAGES;
	const struct df_slot old = *slot;
	int err = 0;

	if (new->gfn != slot->gfn || (was_logged && !is_logged))
		df_arch_memory_unmap(vm, slot);
	slot->gfn = new->gfn;
	slot->flags = new->flags;
	if (!is_logged)
		df_dirty_stop(vm, slot);
	else if (!was_logged)
		err = df_dirty_start(vm, slot);
	if (err) {
		slot->gfn = old.gfn;
		slot->flags = old.flags;
	}
	return err;
}

/* May these pages become @slot's? */
static bool is_taken(struct df_vm *vm, const struct df_slot *slot, u64 gfn, u64 pages)
{
	unsigned long at = gfn;

	return slots_overlap(vm->slots, vm->slots_end, slot, gfn, pages) ||
	       (pages && xa_find(&vm->doorbells, &at, gfn + pages - 1, XA_PRESENT)) ||
	       df_arch_memory_reserved(vm, gfn, pages);
}

int df_memory_set(struct df_vm *vm, void *arg)
{
	const struct kvm_userspace_memory_region2 *region = arg;
	struct df_slot new = {
		.gfn = region->guest_phys_addr >> PAGE_SHIFT,
		.pages = region->memory_size >> PAGE_SHIFT,
		.hva = region->userspace_addr,
		.flags = region->flags,
	};
	struct df_slot *slot;
	int err = slots_check(region, df_arch_max_gfn());

	if (err)
		return err;
	if (!is_user_memory(region))
		return -EINVAL;

	slot = &vm->slots[array_index_nospec(region->slot, DF_MAX_SLOTS)];
	guard(rwsem_write)(&vm->memory_lock);

	if (!new.pages && !slot->pages)
		return -EINVAL;
	if (new.pages && slot->pages && !slots_may_change(slot, &new))
		return -EINVAL;
	if (is_taken(vm, slot, new.gfn, new.pages))
		return -EEXIST;

	WRITE_ONCE(vm->slots_age, vm->slots_age + 1);
	if (!new.pages) {
		delete_slot(vm, slot);
		return 0;
	}
	return slot->pages ? change_slot(vm, slot, &new) : add_slot(vm, slot, &new);
}

void df_memory_destroy(struct df_vm *vm)
{
	guard(rwsem_write)(&vm->memory_lock);
	for (unsigned int i = 0; i < DF_MAX_SLOTS; i++)
		if (vm->slots[i].pages)
			delete_slot(vm, &vm->slots[i]);
}

int df_memory_add_doorbell(struct df_vm *vm, struct df_slot *slot)
{
	guard(rwsem_write)(&vm->memory_lock);
	if (is_taken(vm, slot, slot->gfn, slot->pages))
		return -EEXIST;
	WRITE_ONCE(vm->slots_age, vm->slots_age + 1);
	return xa_insert(&vm->doorbells, slot->gfn, slot, GFP_KERNEL_ACCOUNT);
}

void df_memory_remove_doorbell(struct df_vm *vm, struct df_slot *slot)
{
	guard(rwsem_write)(&vm->memory_lock);
	df_arch_memory_unmap(vm, slot);
	WRITE_ONCE(vm->slots_age, vm->slots_age + 1);
	xa_erase(&vm->doorbells, slot->gfn);
}

/* ---- pages ------------------------------------------------------------------------- */

int df_memory_pin(struct df_vm *vm, const struct df_slot *slot, u64 gfn, unsigned int n,
		  struct page **pages)
{
	unsigned int flags = FOLL_LONGTERM | (slot->flags & KVM_MEM_READONLY ? 0 : FOLL_WRITE);
	unsigned long hva = slot->hva + ((gfn - slot->gfn) << PAGE_SHIFT);
	int got, err;

	err = account_locked_vm(vm->mm, n, true);
	if (err)
		return err;
	got = pin_user_pages_fast(hva, n, flags, pages);
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

/* ---- access by the kernel ----------------------------------------------------------- */

static void __user *user_address(struct df_vm *vm, u64 gpa, bool write)
{
	const struct df_slot *slot = df_memory_slot(vm, gpa >> PAGE_SHIFT);

	if (!slot || (write && slot->flags & KVM_MEM_READONLY))
		return NULL;
	return (void __user *)(slot->hva + (gpa - (slot->gfn << PAGE_SHIFT)));
}

static int access_page(struct df_vm *vm, u64 gpa, void *data, size_t len, bool write)
{
	void __user *hva = user_address(vm, gpa, write);

	if (!hva)
		return -ENXIO;
	if (write ? copy_to_user(hva, data, len) : copy_from_user(data, hva, len))
		return -EFAULT;
	if (write)
		df_dirty_mark(vm, gpa >> PAGE_SHIFT);
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

static int or_user(void __user *hva, unsigned int bytes, u64 old, u64 bits)
{
	u32 old32 = old;
	bool same;

	if (!user_access_begin(hva, bytes))
		return -EFAULT;
	if (bytes == sizeof(u64))
		same = unsafe_try_cmpxchg_user((u64 __user *)hva, &old, old | bits, fault);
	else
		same = unsafe_try_cmpxchg_user((u32 __user *)hva, &old32, old32 | (u32)bits, fault);
	user_access_end();
	return same ? 0 : -EAGAIN;
fault:
	user_access_end();
	return -EFAULT;
}

int df_memory_or(struct df_vm *vm, u64 gpa, unsigned int bytes, u64 old, u64 bits)
{
	void __user *hva;
	int err;

	guard(rwsem_read)(&vm->memory_lock);
	hva = user_address(vm, gpa, true);
	if (!hva)
		return -ENXIO;
	err = or_user(hva, bytes, old, bits);
	if (!err)
		df_dirty_mark(vm, gpa >> PAGE_SHIFT);
	return err;
}
