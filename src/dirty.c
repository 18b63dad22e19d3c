// SPDX-License-Identifier: GPL-2.0-only
#include <linux/bitmap.h>
#include <linux/compat.h>

#include "df.h"

static size_t log_bytes(const struct df_slot *slot)
{
	return BITS_TO_LONGS(slot->pages) * sizeof(long);
}

/*
 * From now on each first write to a page is noticed. Where user space starts
 * with all pages dirty, noticing begins with its first clearing.
 */
int df_dirty_start(struct df_vm *vm, struct df_slot *slot)
{
	bool all = vm->dirty_log & KVM_DIRTY_LOG_INITIALLY_SET;
	int err;

	lockdep_assert_held_write(&vm->memory_lock);
	if (!(slot->flags & KVM_MEM_LOG_DIRTY_PAGES))
		return 0;
	slot->dirty = kvzalloc(log_bytes(slot), GFP_KERNEL_ACCOUNT);
	if (!slot->dirty)
		return -ENOMEM;
	if (!vm->logged_slots++) {
		err = df_arch_log_start(vm);
		if (err) {
			df_dirty_stop(vm, slot);
			return err;
		}
	}
	if (all) {
		bitmap_set(slot->dirty, 0, slot->pages);
		return 0;
	}
	err = df_arch_log_watch(vm, slot);
	if (err)
		df_dirty_stop(vm, slot);
	return err;
}

void df_dirty_stop(struct df_vm *vm, struct df_slot *slot)
{
	lockdep_assert_held_write(&vm->memory_lock);
	if (!slot->dirty)
		return;
	if (!--vm->logged_slots)
		df_arch_log_stop(vm);
	kvfree(slot->dirty);
	slot->dirty = NULL;
}

void df_dirty_mark(struct df_vm *vm, u64 gfn)
{
	const struct df_slot *slot = df_memory_slot(vm, gfn);

	if (slot && slot->dirty)
		set_bit(gfn - slot->gfn, slot->dirty);
}

/* The errnos are KVM's. */
static struct df_slot *logged_slot(struct df_vm *vm, u32 id)
{
	if (id >= DF_MAX_SLOTS)
		return ERR_PTR(-EINVAL);
	id = array_index_nospec(id, DF_MAX_SLOTS);
	return vm->slots[id].dirty ? &vm->slots[id] : ERR_PTR(-ENOENT);
}

/*
 * Takes bits out of the log. First the bit, then the page is watched again: a
 * write in between is seen by user space, which reads the page afterwards. A
 * page that cannot be watched, for want of memory, stays dirty.
 */
static unsigned long take(struct df_vm *vm, struct df_slot *slot, u64 first, unsigned long mask)
{
	unsigned long *word = &slot->dirty[first / BITS_PER_LONG];
	unsigned long taken, stay;

	if (!(READ_ONCE(*word) & mask))
		return 0;
	taken = xchg(word, 0);
	stay = taken & ~mask;
	taken &= mask;
	stay |= df_arch_log_rearm(vm, slot, first, taken);
	for (unsigned int bit = 0; stay; bit++, stay >>= 1)
		if (stay & 1)
			set_bit(bit, word);
	return taken;
}

static int take_log(struct df_vm *vm, struct df_slot *slot, void __user *user)
{
	unsigned long *taken __free(kvfree) = NULL, any = 0;

	taken = kvmalloc(log_bytes(slot), GFP_KERNEL_ACCOUNT);
	if (!taken)
		return -ENOMEM;
	for (u64 i = 0; i < slot->pages; i += BITS_PER_LONG) {
		taken[i / BITS_PER_LONG] = take(vm, slot, i, ~0UL);
		any |= taken[i / BITS_PER_LONG];
	}
	if (any)
		df_arch_flush(vm);
	if (copy_to_user(user, taken, log_bytes(slot))) {
		/* Nobody has seen them. */
		for (u64 i = 0; i < slot->pages; i++)
			if (test_bit(i, taken))
				set_bit(i, slot->dirty);
		return -EFAULT;
	}
	return 0;
}

int df_dirty_get(struct df_vm *vm, void *arg)
{
	const struct kvm_dirty_log *log = arg;
	void __user *user = in_compat_syscall() ? compat_ptr(log->padding2) : log->dirty_bitmap;
	struct df_slot *slot;

	guard(rwsem_write)(&vm->memory_lock);
	slot = logged_slot(vm, log->slot);
	if (IS_ERR(slot))
		return PTR_ERR(slot);
	if (vm->dirty_log & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE)
		return copy_to_user(user, slot->dirty, log_bytes(slot)) ? -EFAULT : 0;
	return take_log(vm, slot, user);
}

/* The user's bitmap begins with its first page, which is one of 64. */
int df_dirty_clear(struct df_vm *vm, void *arg)
{
	const struct kvm_clear_dirty_log *log = arg;
	const unsigned long __user *user = in_compat_syscall() ? compat_ptr(log->padding2) :
								 log->dirty_bitmap;
	struct df_slot *slot;
	int err = 0;

	if (log->first_page % BITS_PER_LONG)
		return -EINVAL;
	guard(rwsem_write)(&vm->memory_lock);
	slot = logged_slot(vm, log->slot);
	if (IS_ERR(slot))
		return PTR_ERR(slot);
	if (log->first_page > slot->pages || log->num_pages > slot->pages - log->first_page ||
	    (log->num_pages < slot->pages - log->first_page && log->num_pages % BITS_PER_LONG))
		return -EINVAL;

	for (u64 i = 0; i < log->num_pages && !err; i += BITS_PER_LONG) {
		unsigned long mask;

		err = get_user(mask, &user[i / BITS_PER_LONG]);
		if (!err)
			take(vm, slot, log->first_page + i, mask);
	}
	df_arch_flush(vm);
	return err;
}
