/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A stand-in for tests, as all in this folder: as much of a header of the
 * kernel's as the files under test need, found before the one below tools/.
 *
 * Pages that are counted, and that there are none of when a test wants so.
 */
#ifndef UNIT_KERNEL_GFP_H
#define UNIT_KERNEL_GFP_H

#include <linux/bits.h>
#include <linux/types.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_SHIFT 12
#define PAGE_SIZE BIT(PAGE_SHIFT)

#define GFP_KERNEL_ACCOUNT GFP_KERNEL

/* How many there are, and how many more there can be; negative: no limit. */
static long unit_pages;
static long unit_pages_left = -1;

static inline unsigned long get_zeroed_page(gfp_t gfp)
{
	void *page;

	(void)gfp;
	if (!unit_pages_left)
		return 0;
	page = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	if (!page)
		abort();
	if (unit_pages_left > 0)
		unit_pages_left--;
	unit_pages++;
	return (unsigned long)memset(page, 0, PAGE_SIZE);
}

/* Whoever still reads it finds no sense in it. */
static inline void free_page(unsigned long page)
{
	unit_pages--;
	free(memset((void *)page, 0xa5, PAGE_SIZE));
}

#endif
