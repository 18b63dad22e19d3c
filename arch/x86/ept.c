// SPDX-License-Identifier: GPL-2.0-only
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <asm/vmx.h>

#include "arch.h"
#include "ept.h"
#include "memory.h"
#include "vm.h"
#include "vmx/operation.h"

#define EPT_LEVELS	4
#define EPT_ENTRIES	512
#define EPT_ADDR_MASK	GENMASK_ULL(51, 12)
#define EPT_LARGE	BIT_ULL(7)
#define EPT_TABLE_FLAGS	VMX_EPT_RWX_MASK
#define EPT_WB		6ULL
#define EPT_RAM_TYPE	(EPT_WB << VMX_EPT_MT_EPTE_SHIFT | VMX_EPT_IPAT_BIT)

/* Pages that an entry of a table of this level covers; leaves are level 1. */
static u64 level_pages(int level)
{
	return 1ULL << (9 * (level - 1));
}

static unsigned int level_index(u64 gfn, int level)
{
	return gfn >> (9 * (level - 1)) & (EPT_ENTRIES - 1);
}

static bool is_present(u64 entry)
{
	return entry & VMX_EPT_RWX_MASK;
}

static bool is_leaf(u64 entry, int level)
{
	return level == 1 || entry & EPT_LARGE;
}

static u64 *table_of(u64 entry)
{
	return __va(entry & EPT_ADDR_MASK);
}

static u64 *table_alloc(void)
{
	return (u64 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
}

int ept_init(struct df_vm *vm)
{
	struct df_ept *ept = &vm->arch.ept;

	mutex_init(&ept->lock);
	ept->root = table_alloc();
	return ept->root ? 0 : -ENOMEM;
}

static void free_tables(u64 *table, int level)
{
	for (unsigned int i = 0; level > 1 && i < EPT_ENTRIES; i++)
		if (is_present(table[i]) && !WARN_ON_ONCE(is_leaf(table[i], level)))
			free_tables(table_of(table[i]), level - 1);
	free_page((unsigned long)table);
}

/*
 * The root's page may be another VM's root next: what CPUs remember under its
 * address has to go first.
 */
void ept_destroy(struct df_vm *vm)
{
	vmx_flush_ept(ept_pointer(vm));
	free_tables(vm->arch.ept.root, EPT_LEVELS);
}

u64 ept_pointer(struct df_vm *vm)
{
	return __pa(vm->arch.ept.root) | VMX_EPTP_MT_WB | VMX_EPTP_PWL_4 | VMX_EPTP_AD_ENABLE_BIT;
}

/*
 * Puts a leaf in place. Whoever came first with the same page wins; a smaller
 * piece that is there already keeps a larger one out (-EAGAIN).
 */
static int map_leaf(struct df_ept *ept, u64 gfn, int level, u64 leaf)
{
	u64 *table = ept->root;
	u64 *entry;

	lockdep_assert_held(&ept->lock);
	for (int l = EPT_LEVELS; ; l--) {
		entry = &table[level_index(gfn, l)];
		if (l == level)
			break;
		if (!is_present(*entry)) {
			table = table_alloc();
			if (!table)
				return -ENOMEM;
			WRITE_ONCE(*entry, __pa(table) | EPT_TABLE_FLAGS);
		} else if (is_leaf(*entry, l)) {
			return -EEXIST;
		}
		table = table_of(*entry);
	}
	if (is_present(*entry))
		return is_leaf(*entry, level) ? -EEXIST : -EAGAIN;
	WRITE_ONCE(*entry, leaf);
	return 0;
}

static int map_pages(struct df_vm *vm, u64 gfn, int level, struct page *page)
{
	u64 leaf = PFN_PHYS(page_to_pfn(page)) | EPT_RAM_TYPE | VMX_EPT_RWX_MASK;
	int err;

	if (level > 1)
		leaf |= EPT_LARGE;

	scoped_guard(mutex, &vm->arch.ept.lock)
		err = map_leaf(&vm->arch.ept, gfn, level, leaf);
	if (err)
		df_memory_unpin(vm, page, level_pages(level), false);
	return err == -EEXIST ? 0 : err;
}

/* The 2 MiB around a page, if they are one huge page of the user's and of the slot's. */
static int map_huge(struct df_vm *vm, const struct df_slot *slot, u64 gfn)
{
	u64 n = level_pages(2), first = gfn & ~(n - 1);
	struct page **pages;
	int err;

	if (first < slot->gfn || first + n > slot->gfn + slot->pages)
		return -EAGAIN;
	pages = kmalloc_array(n, sizeof(*pages), GFP_KERNEL);
	if (!pages)
		return -ENOMEM;
	err = df_memory_pin(vm, slot->hva + ((first - slot->gfn) << PAGE_SHIFT), n, pages);
	if (!err) {
		bool together = IS_ALIGNED(page_to_pfn(pages[0]), n);

		for (u64 i = 1; i < n && together; i++)
			together = page_to_pfn(pages[i]) == page_to_pfn(pages[0]) + i;
		if (together) {
			err = map_pages(vm, first, 2, pages[0]);
		} else {
			for (u64 i = 0; i < n; i++)
				df_memory_unpin(vm, pages[i], 1, false);
			err = -EAGAIN;
		}
	}
	kfree(pages);
	return err;
}

static bool is_part_of_huge(struct page *page)
{
	return folio_nr_pages(page_folio(page)) >= level_pages(2);
}

int ept_fault(struct df_vm *vm, u64 gpa)
{
	u64 gfn = gpa >> PAGE_SHIFT;
	const struct df_slot *slot;
	struct page *page;
	unsigned long hva;
	int err;

	guard(rwsem_read)(&vm->memory_lock);
	slot = df_memory_slot(vm, gfn);
	if (!slot)
		return 1;

	hva = slot->hva + ((gfn - slot->gfn) << PAGE_SHIFT);
	err = df_memory_pin(vm, hva, 1, &page);
	if (err)
		return err;
	if (is_part_of_huge(page)) {
		err = map_huge(vm, slot, gfn);
		if (!err) {
			df_memory_unpin(vm, page, 1, false);
			return 0;
		}
	}
	return map_pages(vm, gfn, 1, page);
}

/* The address stays in the entry: it tells the second pass what to unpin. */
static void hide_leaf(u64 *entry)
{
	/* Atomic: a CPU may be setting the dirty flag. */
	set_mask_bits(entry, VMX_EPT_RWX_MASK, 0);
}

static void drop_leaf(struct df_vm *vm, u64 *entry, int level)
{
	u64 leaf = *entry;

	WRITE_ONCE(*entry, 0);
	df_memory_unpin(vm, pfn_to_page(PHYS_PFN(leaf & EPT_ADDR_MASK)), level_pages(level),
			leaf & VMX_EPT_DIRTY_BIT);
	cond_resched();
}

/*
 * Hides or drops the leaves in a range of frames below one table. Leaves lie
 * within a slot, and ranges are whole slots: none is cut.
 */
static void zap(struct df_vm *vm, u64 *table, int level, u64 base, u64 first, u64 end, bool drop)
{
	u64 step = level_pages(level);

	for (unsigned int i = 0; i < EPT_ENTRIES; i++) {
		u64 gfn = base + i * step, entry = table[i];

		if (!entry || gfn + step <= first || gfn >= end)
			continue;
		if (!is_leaf(entry, level))
			zap(vm, table_of(entry), level - 1, gfn, first, end, drop);
		else if (drop)
			drop_leaf(vm, &table[i], level);
		else
			hide_leaf(&table[i]);
	}
}

void df_arch_memory_unmap(struct df_vm *vm, u64 gfn, u64 pages)
{
	struct df_ept *ept = &vm->arch.ept;

	lockdep_assert_held_write(&vm->memory_lock);
	guard(mutex)(&ept->lock);
	zap(vm, ept->root, EPT_LEVELS, 0, gfn, gfn + pages, false);
	vmx_flush_ept(ept_pointer(vm));
	zap(vm, ept->root, EPT_LEVELS, 0, gfn, gfn + pages, true);
}

u64 df_arch_max_gfn(void)
{
	return 1ULL << (min(boot_cpu_data.x86_phys_bits, 48) - PAGE_SHIFT);
}
