/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Extended page tables: guest-physical to host-physical (SDM, "The Extended
 * Page Table Mechanism").  This is the tables alone; whose pages are behind them
 * is mapping.c's business.  It is also compiled, and tested, on the build machine
 * (selftests/unit/).
 *
 * A level is 1 for entries of 4 KiB, 2 for 2 MiB, 3 for 1 GiB, 4 at the top.
 * Everything here is under &df_ept.lock, but for ept_lookup() and ept_next(), which may
 * also be called under &df_ept.device_lock alone.
 */
#ifndef DF_EPT_H
#define DF_EPT_H

#include <linux/bits.h>
#include <linux/mutex.h>
#include <linux/spinlock_types.h>
#include <linux/types.h>

#define EPT_ADDR_MASK	GENMASK_ULL(51, 12)
#define EPT_LARGE	BIT_ULL(7)

/* Memory types, to be shifted to where a leaf has them. */
#define EPT_UC		0ULL
#define EPT_WB		6ULL

/* Bits that the CPU ignores: no page of the kernel's; once dirty. */
#define EPT_DEVICE	BIT_ULL(52)
#define EPT_WAS_DIRTY	BIT_ULL(53)

/**
 * struct df_ept - a VM's second-level page tables
 * @lock: guards the tables
 * @device_lock: guards leaves of device memory, which its owner takes away;
 *	taken inside @lock
 * @root: the top one, of 512 entries
 * @tables: how many there are
 * @leaves: how many there are of 4 KiB, 2 MiB and 1 GiB, but for
 * @devices: those of device memory; @device_lock
 */
struct df_ept {
	struct mutex lock;
	spinlock_t device_lock;
	u64 *root;
	u64 tables;
	u64 leaves[3], devices;
};

/** ept_init() - empty tables. 0 or -ENOMEM. */
int ept_init(struct df_ept *ept);

/** ept_destroy() - free the tables; no leaf is left. */
void ept_destroy(struct df_ept *ept);

/** ept_pages() - how many guest pages an entry of this level covers. */
static inline u64 ept_pages(int level)
{
	return 1ULL << (9 * (level - 1));
}

/**
 * ept_map() - put a leaf in place
 * @ept: the tables
 * @gfn: the first guest page, a multiple of ept_pages(@level)
 * @level: 1 to 3
 * @leaf: the entry, without EPT_LARGE
 *
 * Context: May sleep.
 * Return: 0; -EEXIST if a leaf covers the page already; -EAGAIN if smaller
 * ones are there already; -ENOMEM.
 */
int ept_map(struct df_ept *ept, u64 gfn, int level, u64 leaf);

/**
 * ept_entry() - the entry for a page, with tables as far as it
 *
 * Context: May sleep.
 * Return: 0 with @entry set to where a leaf of @level goes; else as ept_map().
 */
int ept_entry(struct df_ept *ept, u64 gfn, int level, u64 **entry);

/** ept_lookup() - the leaf that covers a page; or NULL, and the level at which there is none. */
u64 *ept_lookup(struct df_ept *ept, u64 gfn, int *level);

/**
 * ept_next() - the first leaf in a range
 * @ept: the tables
 * @gfn: where to look from; moved on to where the leaf was found, or to @end
 * @end: the page behind the range
 * @level: filled in
 *
 * Absent tables are passed over in one step.
 *
 * Context: As ept_lookup().
 * Return: the leaf or NULL.
 */
u64 *ept_next(struct df_ept *ept, u64 *gfn, u64 end, int *level);

/** ept_behind() - the page behind the leaf of this level that covers a page. */
static inline u64 ept_behind(u64 gfn, int level)
{
	return (gfn | (ept_pages(level) - 1)) + 1;
}

/**
 * ept_split() - leaves of the next lower level in place of one, with the same rights
 *
 * None of them is dirty; what the large one knew is in EPT_WAS_DIRTY.
 *
 * Context: May sleep.
 * Return: 0 or -ENOMEM, with nothing changed.
 */
int ept_split(struct df_ept *ept, u64 *entry, int level);

/**
 * ept_hide() - the first half of taking a range away
 *
 * No CPU that has been flushed afterwards finds the pages any more; the leaves
 * keep their addresses, for ept_drop(). No leaf may be cut by the range.
 */
void ept_hide(struct df_ept *ept, u64 gfn, u64 pages);

/**
 * ept_drop() - the second half: leaves and tables that are empty then go
 * @drop: called with each leaf that was there
 *
 * Context: May sleep.
 */
void ept_drop(struct df_ept *ept, u64 gfn, u64 pages,
	      void (*drop)(void *data, u64 leaf, int level), void *data);

#endif
