// SPDX-License-Identifier: GPL-2.0-only
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <asm/vmx.h>

#include "ept.h"

#define EPT_LEVELS	4
#define EPT_ENTRIES	512

static unsigned int index_of(u64 gfn, int level)
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

static u64 *table_alloc(struct df_ept *ept)
{
	u64 *table = (u64 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);

	if (table)
		ept->tables++;
	return table;
}

static void table_free(struct df_ept *ept, u64 *table)
{
	free_page((unsigned long)table);
	ept->tables--;
}

int ept_init(struct df_ept *ept)
{
	mutex_init(&ept->lock);
	spin_lock_init(&ept->device_lock);
	ept->root = table_alloc(ept);
	return ept->root ? 0 : -ENOMEM;
}

static void free_tables(struct df_ept *ept, u64 *table, int level)
{
	for (unsigned int i = 0; level > 1 && i < EPT_ENTRIES; i++)
		if (table[i] && !WARN_ON_ONCE(is_leaf(table[i], level)))
			free_tables(ept, table_of(table[i]), level - 1);
	table_free(ept, table);
}

void ept_destroy(struct df_ept *ept)
{
	free_tables(ept, ept->root, EPT_LEVELS);
}

int ept_entry(struct df_ept *ept, u64 gfn, int level, u64 **result)
{
	u64 *table = ept->root;
	u64 *entry;

	lockdep_assert_held(&ept->lock);
	for (int l = EPT_LEVELS; ; l--) {
		entry = &table[index_of(gfn, l)];
		if (l == level)
			break;
		if (!is_present(*entry)) {
			table = table_alloc(ept);
			if (!table)
				return -ENOMEM;
			WRITE_ONCE(*entry, __pa(table) | VMX_EPT_RWX_MASK);
		} else if (is_leaf(*entry, l)) {
			return -EEXIST;
		}
		table = table_of(*entry);
	}
	*result = entry;
	if (!is_present(*entry))
		return 0;
	return is_leaf(*entry, level) ? -EEXIST : -EAGAIN;
}

int ept_map(struct df_ept *ept, u64 gfn, int level, u64 leaf)
{
	u64 *entry;
	int err = ept_entry(ept, gfn, level, &entry);

	if (err)
		return err;
	WRITE_ONCE(*entry, level > 1 ? leaf | EPT_LARGE : leaf);
	ept->leaves[level - 1]++;
	return 0;
}

u64 *ept_lookup(struct df_ept *ept, u64 gfn, int *level)
{
	u64 *table = ept->root;

	for (*level = EPT_LEVELS; ; --*level) {
		u64 *entry = &table[index_of(gfn, *level)];
		u64 value = READ_ONCE(*entry);

		if (!is_present(value))
			return NULL;
		if (is_leaf(value, *level))
			return entry;
		table = table_of(value);
	}
}

u64 *ept_next(struct df_ept *ept, u64 *gfn, u64 end, int *level)
{
	while (*gfn < end) {
		u64 *entry = ept_lookup(ept, *gfn, level);

		if (entry)
			return entry;
		*gfn = ept_behind(*gfn, *level);
	}
	*gfn = end;
	return NULL;
}

int ept_split(struct df_ept *ept, u64 *entry, int level)
{
	u64 *table = table_alloc(ept), old = *entry;
	u64 step = ept_pages(level - 1) << PAGE_SHIFT;
	u64 leaf = old;

	lockdep_assert_held(&ept->lock);
	if (!table)
		return -ENOMEM;
	/* A CPU may be setting the dirty flag: seen here, or in what xchg() gives. */
	if (level == 2)
		leaf &= ~EPT_LARGE;
	leaf &= ~(u64)(VMX_EPT_DIRTY_BIT | VMX_EPT_ACCESS_BIT);
	for (u64 i = 0; i < EPT_ENTRIES; i++)
		table[i] = leaf + i * step;
	old = xchg(entry, __pa(table) | VMX_EPT_RWX_MASK);
	if (old & (VMX_EPT_DIRTY_BIT | EPT_WAS_DIRTY))
		for (int i = 0; i < EPT_ENTRIES; i++)
			table[i] |= EPT_WAS_DIRTY;
	ept->leaves[level - 1]--;
	ept->leaves[level - 2] += EPT_ENTRIES;
	return 0;
}

/* ---- taking a range away ---------------------------------------------------------- */

struct gfn_range {
	u64 first, end;
};

static bool is_outside(const struct gfn_range *range, u64 gfn, int level)
{
	return gfn + ept_pages(level) <= range->first || gfn >= range->end;
}

static bool is_inside(const struct gfn_range *range, u64 gfn, int level)
{
	return gfn >= range->first && gfn + ept_pages(level) <= range->end;
}

/* Leaves, and tables that lie in the range as a whole. */
static void hide(u64 *table, int level, u64 base, const struct gfn_range *range)
{
	for (unsigned int i = 0; i < EPT_ENTRIES; i++) {
		u64 gfn = base + i * ept_pages(level);

		if (!table[i] || is_outside(range, gfn, level))
			continue;
		/* Atomic: a CPU may be setting the dirty flag. */
		if (is_inside(range, gfn, level))
			set_mask_bits(&table[i], VMX_EPT_RWX_MASK, 0);
		else if (!WARN_ON_ONCE(is_leaf(table[i], level)))
			hide(table_of(table[i]), level - 1, gfn, range);
	}
}

void ept_hide(struct df_ept *ept, u64 gfn, u64 pages)
{
	const struct gfn_range range = { gfn, gfn + pages };

	lockdep_assert_held(&ept->lock);
	hide(ept->root, EPT_LEVELS, 0, &range);
}

struct dropper {
	struct df_ept *ept;
	struct gfn_range range;
	void (*drop)(void *data, u64 leaf, int level);
	void *data;
};

/* Whoever looks under the device lock finds the entry as it was, or none. */
static u64 take_entry(struct df_ept *ept, u64 *entry)
{
	u64 old;

	spin_lock(&ept->device_lock);
	old = xchg(entry, 0);
	if (old & EPT_DEVICE)
		ept->devices--;
	spin_unlock(&ept->device_lock);
	return old;
}

static void drop(const struct dropper *d, u64 *table, int level, u64 base)
{
	for (unsigned int i = 0; i < EPT_ENTRIES; i++) {
		u64 gfn = base + i * ept_pages(level), entry = table[i];

		if (!entry || is_outside(&d->range, gfn, level))
			continue;
		if (is_leaf(entry, level)) {
			entry = take_entry(d->ept, &table[i]);
			if (!(entry & EPT_DEVICE))
				d->ept->leaves[level - 1]--;
			d->drop(d->data, entry, level);
			continue;
		}
		drop(d, table_of(entry), level - 1, gfn);
		if (is_inside(&d->range, gfn, level)) {
			take_entry(d->ept, &table[i]);
			table_free(d->ept, table_of(entry));
		}
		cond_resched();
	}
}

void ept_drop(struct df_ept *ept, u64 gfn, u64 pages,
	      void (*drop_leaf)(void *data, u64 leaf, int level), void *data)
{
	const struct dropper d = { ept, { gfn, gfn + pages }, drop_leaf, data };

	lockdep_assert_held(&ept->lock);
	drop(&d, ept->root, EPT_LEVELS, 0);
}
