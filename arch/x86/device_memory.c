// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device memory in a slot: pages that are no memory of the kernel's, and so
 * cannot be pinned.  Their owner may take them away; an MMU notifier tells.
 */
#include <linux/mmu_notifier.h>

#include "x86.h"

/**
 * struct df_device_memory - of a slot that has device memory
 * @notifier: of the slot's part of the user's address space
 * @vm: the VM
 * @gfn: the slot's first page
 */
struct df_device_memory {
	struct mmu_interval_notifier notifier;
	struct df_vm *vm;
	u64 gfn;
};

/*
 * Of a range of pages, those that are device memory. Returns true if a CPU may
 * know one: also one that a slot's unmapping has hidden, but not yet flushed.
 */
static bool zap(struct df_ept *ept, u64 first, u64 end)
{
	bool any = ept->devices;
	int level;
	u64 *entry;

	for (u64 gfn = first; ept->devices; gfn = ept_behind(gfn, level)) {
		entry = ept_next(ept, &gfn, end, &level);
		if (!entry)
			break;
		if (!(*entry & EPT_DEVICE))
			continue;
		WRITE_ONCE(*entry, 0);
		ept->devices--;
	}
	return any;
}

static bool invalidate(struct mmu_interval_notifier *notifier,
		       const struct mmu_notifier_range *range, unsigned long seq)
{
	struct df_device_memory *d = container_of(notifier, struct df_device_memory, notifier);
	unsigned long base = notifier->interval_tree.start;
	unsigned long start = max(range->start, base);
	unsigned long last = min(range->end - 1, notifier->interval_tree.last);
	bool any;

	scoped_guard(spinlock, &d->vm->arch.ept.device_lock) {
		mmu_interval_set_seq(notifier, seq);
		any = zap(&d->vm->arch.ept, d->gfn + ((start - base) >> PAGE_SHIFT),
			  d->gfn + ((last - base) >> PAGE_SHIFT) + 1);
	}
	if (any)
		df_arch_flush(d->vm);
	return true;
}

static const struct mmu_interval_notifier_ops ops = {
	.invalidate = invalidate,
};

/* The slot's, made when it is first needed; two vCPUs may need it at once. */
static struct df_device_memory *get_device_memory(struct df_vm *vm, struct df_slot *slot)
{
	struct df_device_memory *d = READ_ONCE(slot->device), *other;

	if (d)
		return d;
	d = kzalloc(sizeof(*d), GFP_KERNEL_ACCOUNT);
	if (!d)
		return NULL;
	d->vm = vm;
	d->gfn = slot->gfn;
	if (mmu_interval_notifier_insert(&d->notifier, vm->mm, slot->hva,
					 slot->pages << PAGE_SHIFT, &ops)) {
		kfree(d);
		return NULL;
	}
	other = cmpxchg(&slot->device, NULL, d);
	if (!other)
		return d;
	mmu_interval_notifier_remove(&d->notifier);
	kfree(d);
	return other;
}

void device_memory_forget(struct df_slot *slot)
{
	if (!slot->device)
		return;
	mmu_interval_notifier_remove(&slot->device->notifier);
	kfree(slot->device);
	slot->device = NULL;
}

static u64 leaf_of(const struct df_slot *slot, const struct df_device_page *page)
{
	u64 type = page->cached ? EPT_WB : EPT_UC;
	u64 leaf = PFN_PHYS(page->pfn) | type << VMX_EPT_MT_EPTE_SHIFT | VMX_EPT_IPAT_BIT |
		   EPT_DEVICE | VMX_EPT_READABLE_MASK;

	if (page->writable && !(slot->flags & KVM_MEM_READONLY))
		leaf |= VMX_EPT_WRITABLE_MASK;
	return leaf;
}

/* In place, unless its owner has begun to take it away meanwhile. */
static int install(struct df_ept *ept, struct df_device_memory *d, u64 *entry, u64 leaf,
		   unsigned long seq)
{
	int err = -EAGAIN;

	spin_lock(&ept->device_lock);
	/* The user may have put memory there meanwhile, which is pinned. */
	if (!mmu_interval_read_retry(&d->notifier, seq) && (!*entry || *entry & EPT_DEVICE)) {
		if (!*entry)
			ept->devices++;
		WRITE_ONCE(*entry, leaf);
		err = 0;
	}
	spin_unlock(&ept->device_lock);
	return err;
}

static int map(struct df_vm *vm, struct df_device_memory *d, u64 gfn, u64 leaf, unsigned long seq)
{
	struct df_ept *ept = &vm->arch.ept;
	u64 *entry = NULL;
	int err;

	guard(mutex)(&ept->lock);
	err = ept_entry(ept, gfn, 1, &entry);
	if (!entry)
		return err == -EEXIST ? -EAGAIN : err;
	return install(ept, d, entry, leaf, seq);
}

int device_memory_fault(struct df_vm *vm, struct df_slot *slot, u64 gfn, bool write)
{
	unsigned long hva = slot->hva + ((gfn - slot->gfn) << PAGE_SHIFT), seq;
	struct df_device_memory *d;
	struct df_device_page page;
	int err;

	lockdep_assert_held(&vm->memory_lock);
	d = get_device_memory(vm, slot);
	if (!d)
		return -ENOMEM;
	seq = mmu_interval_read_begin(&d->notifier);
	err = df_host_device_page(vm->mm, hva, write, &page);
	if (err)
		return err;
	/* The user may have mapped another there, which is another queue's. */
	if (slot->doorbell && slot->doorbell != page.pfn)
		return -EFAULT;
	return map(vm, d, gfn, leaf_of(slot, &page), seq);
}
