/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of extended page tables have in common: the file under test,
 * empty tables for each test, leaves, and a look at them.
 */
#ifndef UNIT_EPT_H
#define UNIT_EPT_H

#include "kselftest_harness.h"

#include "arch/x86/ept.c"

/* Pages: of a large leaf, of one of the largest, of the tables below the root, of all. */
#define MB2 BIT_ULL(9)
#define GB1 BIT_ULL(18)
#define GB512 BIT_ULL(27)
#define END BIT_ULL(36)

#define FLAGS (VMX_EPT_READABLE_MASK | VMX_EPT_EXECUTABLE_MASK | VMX_EPT_IPAT_BIT | 6 << 3)
#define DIRTY ((u64)VMX_EPT_DIRTY_BIT)
#define ACCESSED ((u64)VMX_EPT_ACCESS_BIT)
#define RWX ((u64)VMX_EPT_RWX_MASK)

/* A page's address says which guest page it is of, and which of some pages that can be. */
static u64 leaf_for(u64 gfn, u64 salt)
{
	return (gfn | (salt & 0xf) << 36) << PAGE_SHIFT | FLAGS;
}

static u64 large(u64 leaf, int level)
{
	return level > 1 ? leaf | EPT_LARGE : leaf;
}

static u64 value_at(struct df_ept *ept, u64 gfn)
{
	int level;
	const u64 *entry = ept_lookup(ept, gfn, &level);

	return entry ? *entry : 0;
}

static int level_at(struct df_ept *ept, u64 gfn)
{
	int level = 0;

	return ept_lookup(ept, gfn, &level) ? level : 0;
}

static void ignore(void *data, u64 leaf, int level)
{
	(void)data;
	(void)leaf;
	(void)level;
}

/* The whole of taking a range away. */
static void take_away(struct df_ept *ept, u64 gfn, u64 pages)
{
	ept_hide(ept, gfn, pages);
	ept_drop(ept, gfn, pages, ignore, NULL);
}

FIXTURE(ept)
{
	struct df_ept ept;
};

FIXTURE_SETUP(ept)
{
	ASSERT_EQ(0, ept_init(&self->ept));
	mutex_lock(&self->ept.lock);
}

FIXTURE_TEARDOWN(ept)
{
	unit_pages_left = -1;
	take_away(&self->ept, 0, END);
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(0, self->ept.leaves[i]);
	EXPECT_EQ(0, self->ept.devices);
	EXPECT_EQ(1, self->ept.tables);
	EXPECT_EQ(1, unit_pages);
	mutex_unlock(&self->ept.lock);
	ept_destroy(&self->ept);
	EXPECT_EQ(0, self->ept.tables);
	EXPECT_EQ(0, unit_pages);
	EXPECT_EQ(0, unit_warnings);
}

#endif
