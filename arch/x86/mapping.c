// SPDX-License-Identifier: GPL-2.0-only
#include "x86.h"

#define RAM_FLAGS	(EPT_WB << VMX_EPT_MT_EPTE_SHIFT | VMX_EPT_IPAT_BIT | \
			 VMX_EPT_READABLE_MASK | VMX_EPT_EXECUTABLE_MASK)

/* Pages that are pinned at a time: an array of pointers that fills a page. */
#define CHUNK		512

/* Small pages that come with the one that is touched: most guests want them next. */
#define AROUND		16

/*
 * The root's page may be another VM's root next: what CPUs remember under its
 * address has to go first.
 */
void mapping_destroy(struct df_vm *vm)
{
	df_arch_flush(vm);
	ept_destroy(&vm->arch.ept);
}

u64 mapping_pointer(struct df_vm *vm)
{
	return __pa(vm->arch.ept.root) | VMX_EPTP_MT_WB | VMX_EPTP_PWL_4 | VMX_EPTP_AD_ENABLE_BIT;
}

u64 df_arch_max_gfn(void)
{
	return 1ULL << (min(boot_cpu_data.x86_phys_bits, 48) - PAGE_SHIFT);
}

/* ---- mapping ----------------------------------------------------------------------- */

/*
 * Where the CPU keeps no log of its own, a page of a logged slot is written by
 * way of a fault.
 */
static bool is_writable(const struct df_slot *slot, bool write)
{
	return !(slot->flags & KVM_MEM_READONLY) && (write || !slot->dirty || pml_is_used());
}

/* Whoever came first with the same page wins. */
static int map_pinned(struct df_vm *vm, const struct df_slot *slot, u64 gfn, int level,
		      struct page *page, bool write)
{
	u64 leaf = PFN_PHYS(page_to_pfn(page)) | RAM_FLAGS;
	int err;

	if (is_writable(slot, write))
		leaf |= VMX_EPT_WRITABLE_MASK;
	if (level > 1 && vmx_has_small_code())
		leaf &= ~(u64)VMX_EPT_EXECUTABLE_MASK;
	scoped_guard(mutex, &vm->arch.ept.lock)
		err = ept_map(&vm->arch.ept, gfn, level, leaf);
	if (err)
		df_memory_unpin(vm, page, ept_pages(level), false);
	return err == -EEXIST ? 0 : err;
}

static void unpin(struct df_vm *vm, struct page **pages, unsigned int n)
{
	unpin_user_pages(pages, n);
	account_locked_vm(vm->mm, n, false);
}

/*
 * Pins a range chunk by chunk, and sees that it is one piece of memory, aligned
 * to its own size. -EAGAIN if it is not.
 */
static int pin_together(struct df_vm *vm, const struct df_slot *slot, u64 first, u64 n,
			struct page **chunk, struct page **head)
{
	u64 done = 0;
	int err = 0;

	while (done < n) {
		err = df_memory_pin(vm, slot, first + done, CHUNK, chunk);
		if (err)
			break;
		if (!done)
			*head = chunk[0];
		for (unsigned int i = 0; i < CHUNK && !err; i++)
			if (page_to_pfn(chunk[i]) != page_to_pfn(*head) + done + i)
				err = -EAGAIN;
		if (!err && !IS_ALIGNED(page_to_pfn(*head), n))
			err = -EAGAIN;
		if (err) {
			unpin(vm, chunk, CHUNK);
			break;
		}
		done += CHUNK;
		cond_resched();
	}
	if (err && done)
		df_memory_unpin(vm, *head, done, false);
	return err;
}

/* The piece of this size around a page, if it lies in the slot and in one folio. */
static int map_large(struct df_vm *vm, const struct df_slot *slot, u64 gfn, int level)
{
	u64 n = ept_pages(level), first = gfn & ~(n - 1);
	struct page **chunk __free(kfree) = NULL, *head = NULL;
	int err;

	if (first < slot->gfn || first + n > slot->gfn + slot->pages)
		return -EAGAIN;
	chunk = kmalloc_array(CHUNK, sizeof(*chunk), GFP_KERNEL);
	if (!chunk)
		return -ENOMEM;
	err = pin_together(vm, slot, first, n, chunk, &head);
	return err ?: map_pinned(vm, slot, first, level, head, false);
}

static int largest_level(const struct df_slot *slot, struct page *page)
{
	unsigned long together = folio_nr_pages(page_folio(page));
	u64 ept = vmx_host_caps.msr[VMX_CAP_EPT_VPID];

	if (slot->dirty)
		return 1;
	if (together >= ept_pages(3) && ept & VMX_EPT_1GB_PAGE_BIT)
		return 3;
	return together >= ept_pages(2) ? 2 : 1;
}

/* Down to 4 KiB, where pages can differ. */
static u64 *split_to_page(struct df_ept *ept, u64 gfn)
{
	int level;
	u64 *entry = ept_lookup(ept, gfn, &level);

	while (entry && level > 1) {
		if (ept_split(ept, entry, level))
			return ERR_PTR(-ENOMEM);
		entry = ept_lookup(ept, gfn, &level);
	}
	return entry;
}

static int make_executable(struct df_ept *ept, u64 gfn)
{
	u64 *entry = split_to_page(ept, gfn);

	if (IS_ERR_OR_NULL(entry))
		return PTR_ERR_OR_ZERO(entry);
	set_mask_bits(entry, 0, VMX_EPT_EXECUTABLE_MASK);
	return true;
}

/*
 * The page is there: another vCPU was faster, or, where the CPU keeps no log of
 * its own, this is the write that is waited for; or code in a large page.
 *
 * Return: true, false if it has to be mapped (anew), -ENOMEM, or -EFAULT for
 * code in device memory.
 */
static int is_mapped(struct df_vm *vm, u64 gfn, bool write, bool fetch)
{
	u64 *entry, leaf;
	int level;

	guard(mutex)(&vm->arch.ept.lock);
	entry = ept_lookup(&vm->arch.ept, gfn, &level);
	leaf = entry ? READ_ONCE(*entry) : 0;
	if (!leaf)
		return false;
	/* May go at any time, and is not changed here. Its owner may let the user write by now. */
	if (leaf & EPT_DEVICE)
		return fetch ? -EFAULT : !write || leaf & VMX_EPT_WRITABLE_MASK;
	if (fetch && !(leaf & VMX_EPT_EXECUTABLE_MASK))
		return make_executable(&vm->arch.ept, gfn);
	if (write && !(leaf & VMX_EPT_WRITABLE_MASK)) {
		set_mask_bits(entry, 0, VMX_EPT_WRITABLE_MASK);
		df_dirty_mark(vm, gfn);
	}
	return true;
}

/**
 * struct around - small pages that are pinned together
 * @first: the gfn of the first
 * @n: how many
 * @pages: they
 */
struct around {
	u64 first;
	unsigned int n;
	struct page *pages[AROUND];
};

/* The page alone, where the others are not all to be had; a log wants to see each one's write. */
static int pin_around(struct df_vm *vm, const struct df_slot *slot, u64 gfn, struct around *a)
{
	a->first = ALIGN_DOWN(gfn, AROUND);
	a->n = AROUND;
	if (!slot->dirty && a->first >= slot->gfn && a->first + AROUND <= slot->gfn + slot->pages &&
	    !df_memory_pin(vm, slot, a->first, AROUND, a->pages))
		return 0;
	a->first = gfn;
	a->n = 1;
	return df_memory_pin(vm, slot, gfn, 1, a->pages);
}

static int map_around(struct df_vm *vm, const struct df_slot *slot, const struct around *a,
		      bool write)
{
	int err = 0;

	for (unsigned int i = 0; i < a->n; i++) {
		int failed = map_pinned(vm, slot, a->first + i, 1, a->pages[i], write);

		err = err ?: failed;
	}
	return err;
}

static int map_page(struct df_vm *vm, struct df_slot *slot, u64 gfn, bool write)
{
	struct around a;
	int err;

	err = slot->doorbell ? -EFAULT : pin_around(vm, slot, gfn, &a);
	if (err == -EFAULT)
		return device_memory_fault(vm, slot, gfn, write);
	if (err)
		return err;
	for (int level = largest_level(slot, a.pages[gfn - a.first]); level > 1; level--) {
		err = map_large(vm, slot, gfn, level);
		if (err == -EAGAIN)
			continue;
		unpin(vm, a.pages, a.n);
		return err;
	}
	if (write)
		df_dirty_mark(vm, gfn);
	return map_around(vm, slot, &a, write);
}

int mapping_fault(struct df_vm *vm, u64 gpa, bool write, bool fetch)
{
	u64 gfn = gpa >> PAGE_SHIFT;
	struct df_slot *slot;
	int ret;

	guard(rwsem_read)(&vm->memory_lock);
	slot = df_memory_slot(vm, gfn);
	if (!slot || (write && slot->flags & KVM_MEM_READONLY))
		return -ENXIO;
	ret = is_mapped(vm, gfn, write, fetch);
	if (ret)
		return ret < 0 ? ret : 0;
	return map_page(vm, slot, gfn, write);
}

int df_arch_memory_map(struct df_vm *vm, u64 gfn)
{
	int err;

	do
		err = mapping_fault(vm, gfn << PAGE_SHIFT, true, false);
	while (err == -EAGAIN && !fatal_signal_pending(current));
	return err;
}

/* ---- unmapping --------------------------------------------------------------------- */

static void drop_leaf(void *vm, u64 leaf, int level)
{
	if (leaf & EPT_DEVICE)
		return;
	df_memory_unpin(vm, pfn_to_page(PHYS_PFN(leaf & EPT_ADDR_MASK)), ept_pages(level),
			leaf & (VMX_EPT_DIRTY_BIT | EPT_WAS_DIRTY));
	cond_resched();
}

/* First out of reach, then flushed, then given back. */
void df_arch_memory_unmap(struct df_vm *vm, struct df_slot *slot)
{
	struct df_ept *ept = &vm->arch.ept;

	lockdep_assert_held_write(&vm->memory_lock);
	guard(mutex)(&ept->lock);
	ept_hide(ept, slot->gfn, slot->pages);
	df_arch_flush(vm);
	device_memory_forget(slot);
	ept_drop(ept, slot->gfn, slot->pages, drop_leaf, vm);
}

/* ---- the dirty log ------------------------------------------------------------------ */

static bool rearm(struct df_ept *ept, u64 gfn)
{
	u64 watch = pml_is_used() ? VMX_EPT_DIRTY_BIT : VMX_EPT_DIRTY_BIT | VMX_EPT_WRITABLE_MASK;
	u64 *entry = split_to_page(ept, gfn), old;

	if (IS_ERR(entry))
		return false;
	if (!entry || *entry & EPT_DEVICE)
		return true;
	/* Atomic: a CPU may be setting the dirty flag. */
	old = *entry;
	while (!try_cmpxchg(entry, &old, (old & ~watch) |
			    (old & VMX_EPT_DIRTY_BIT ? EPT_WAS_DIRTY : 0)))
		;
	return true;
}

int df_arch_log_watch(struct df_vm *vm, const struct df_slot *slot)
{
	struct df_ept *ept = &vm->arch.ept;
	u64 end = slot->gfn + slot->pages;
	int level, err = 0;

	scoped_guard(mutex, &ept->lock) {
		for (u64 gfn = slot->gfn; ept_next(ept, &gfn, end, &level); gfn++) {
			if (!rearm(ept, gfn)) {
				err = -ENOMEM;
				break;
			}
			cond_resched();
		}
	}
	df_arch_flush(vm);
	return err;
}

unsigned long df_arch_log_rearm(struct df_vm *vm, const struct df_slot *slot, u64 first,
				unsigned long mask)
{
	struct df_ept *ept = &vm->arch.ept;
	u64 n = min_t(u64, BITS_PER_LONG, slot->pages - first);
	unsigned long failed = 0;

	guard(mutex)(&ept->lock);
	for (u64 i = 0; i < n; i++)
		if (mask & BIT(i) && !rearm(ept, slot->gfn + first + i))
			failed |= BIT(i);
	cond_resched();
	return failed;
}
