// SPDX-License-Identifier: GPL-2.0-only
/*
 * Extended page tables, by hand at the edges of tables.
 */
#include "ept.h"

/* ---- beginning and end ------------------------------------------------------------ */

TEST(without_memory_there_are_no_tables)
{
	struct df_ept ept = {};

	unit_pages_left = 0;
	EXPECT_EQ(-ENOMEM, ept_init(&ept));
	EXPECT_EQ(0, ept.tables);
	EXPECT_EQ(0, unit_pages);
}

/* Which is our mistake; but its page is no table to be freed. */
TEST(a_leaf_that_is_left_is_reported)
{
	struct df_ept ept = {};

	ASSERT_EQ(0, ept_init(&ept));
	mutex_lock(&ept.lock);
	ASSERT_EQ(0, ept_map(&ept, GB1, 3, leaf_for(GB1, 0)));
	ASSERT_EQ(0, ept_map(&ept, MB2, 2, leaf_for(MB2, 0)));
	mutex_unlock(&ept.lock);
	ept_destroy(&ept);
	EXPECT_EQ(2, unit_warnings);
	EXPECT_EQ(0, unit_pages);
}

/* ---- mapping ---------------------------------------------------------------------- */

static const u64 edges[] = { 0,		1,	   MB2 - 1, MB2,	 MB2 + 1, GB1 - 1, GB1,
			     GB1 + MB2, GB512 - 1, GB512,   GB512 + GB1, END / 2, END - 1 };

/* The next leaf is found from anywhere before it, and from within it, in few steps. */
TEST_F(ept, the_next_leaf_is_found_across_what_is_absent)
{
	const u64 small = GB512 + GB1 + 7, large_gfn = 3 * GB512 + 4 * MB2;
	u64 gfn = 0;
	int level;

	EXPECT_EQ(NULL, ept_next(&self->ept, &gfn, END, &level));
	EXPECT_EQ(END, gfn);
	ASSERT_EQ(0, ept_map(&self->ept, small, 1, leaf_for(small, 1)));
	ASSERT_EQ(0, ept_map(&self->ept, large_gfn, 2, leaf_for(large_gfn, 1)));
	for (u64 from = small; from; from /= 2) {
		gfn = from;
		EXPECT_NE(NULL, ept_next(&self->ept, &gfn, END, &level));
		EXPECT_EQ(small, gfn);
		EXPECT_EQ(1, level);
	}
	gfn = small + 1;
	EXPECT_NE(NULL, ept_next(&self->ept, &gfn, END, &level));
	EXPECT_EQ(large_gfn, gfn);
	EXPECT_EQ(2, level);
	gfn = large_gfn + 3;
	EXPECT_NE(NULL, ept_next(&self->ept, &gfn, END, &level));
	EXPECT_EQ(large_gfn + 3, gfn);
	gfn = ept_behind(gfn, level);
	EXPECT_EQ(large_gfn + MB2, gfn);
	EXPECT_EQ(NULL, ept_next(&self->ept, &gfn, gfn + 100, &level));
	gfn = 0;
	EXPECT_EQ(NULL, ept_next(&self->ept, &gfn, small, &level));
	EXPECT_EQ(small, gfn);
}

TEST_F(ept, nothing_is_found_in_none)
{
	for (size_t i = 0; i < ARRAY_SIZE(edges); i++)
		EXPECT_EQ(0, level_at(&self->ept, edges[i]));
	EXPECT_EQ(1, self->ept.tables);
}

TEST_F(ept, a_leaf_of_each_level_is_found_from_its_first_page_to_its_last)
{
	for (int level = 1; level <= 3; level++) {
		const u64 n = ept_pages(level), gfn = GB512 + 5 * n, leaf = leaf_for(gfn, 1);
		const u64 pages[] = { gfn, gfn + n / 2, gfn + n - 1 };

		EXPECT_EQ(0, ept_map(&self->ept, gfn, level, leaf));
		for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
			EXPECT_EQ(level, level_at(&self->ept, pages[i]));
			EXPECT_EQ(large(leaf, level), value_at(&self->ept, pages[i]));
		}
		EXPECT_EQ(0, level_at(&self->ept, gfn - 1));
		EXPECT_EQ(0, level_at(&self->ept, gfn + n));
		EXPECT_EQ(0, level_at(&self->ept, gfn & (GB512 - 1)));
		EXPECT_EQ(1, self->ept.leaves[level - 1]);
		EXPECT_EQ(1 + 4 - level, self->ept.tables);
		take_away(&self->ept, GB512, GB512);
		EXPECT_EQ(0, self->ept.leaves[level - 1]);
		EXPECT_EQ(1, self->ept.tables);
	}
}

/* The CPU takes an entry that leads to a table with all rights and no other bit. */
TEST_F(ept, entries_that_lead_to_tables_are_of_no_other_bits)
{
	const u64 *table = self->ept.root;

	ASSERT_EQ(0, ept_map(&self->ept, END - 1, 1, leaf_for(END - 1, 0)));
	for (int level = 4; level > 1; level--) {
		for (int i = 0; i < 511; i++)
			ASSERT_EQ(0, table[i]);
		ASSERT_EQ(RWX, table[511] & ~EPT_ADDR_MASK);
		table = __va(table[511] & EPT_ADDR_MASK);
	}
	EXPECT_EQ(leaf_for(END - 1, 0), table[511]);
}

TEST_F(ept, each_page_has_an_entry_of_its_own)
{
	for (size_t i = 0; i < ARRAY_SIZE(edges); i++)
		EXPECT_EQ(0, ept_map(&self->ept, edges[i], 1, leaf_for(edges[i], i)));
	for (size_t i = 0; i < ARRAY_SIZE(edges); i++)
		EXPECT_EQ(leaf_for(edges[i], i), value_at(&self->ept, edges[i]));
	EXPECT_EQ(ARRAY_SIZE(edges), self->ept.leaves[0]);
}

TEST_F(ept, what_a_leaf_covers_stays)
{
	for (int there = 1; there <= 3; there++) {
		const u64 n = ept_pages(there), leaf = leaf_for(3 * n, 1);

		ASSERT_EQ(0, ept_map(&self->ept, 3 * n, there, leaf));
		for (int level = 1; level <= there; level++) {
			const u64 last = 4 * n - ept_pages(level), tables = self->ept.tables;

			EXPECT_EQ(-EEXIST, ept_map(&self->ept, 3 * n, level, leaf_for(3 * n, 2)));
			EXPECT_EQ(-EEXIST, ept_map(&self->ept, last, level, leaf_for(last, 2)));
			EXPECT_EQ(large(leaf, there), value_at(&self->ept, 3 * n));
			EXPECT_EQ(large(leaf, there), value_at(&self->ept, 4 * n - 1));
			EXPECT_EQ(tables, self->ept.tables);
			EXPECT_EQ(level == there, self->ept.leaves[level - 1]);
		}
		take_away(&self->ept, 3 * n, n);
	}
}

TEST_F(ept, what_is_there_in_small_is_not_covered)
{
	for (int there = 1; there <= 2; there++) {
		const u64 gfn = GB1 + MB2 - ept_pages(there) * (there == 1);

		ASSERT_EQ(0, ept_map(&self->ept, gfn, there, leaf_for(gfn, 1)));
		for (int level = there + 1; level <= 3; level++) {
			EXPECT_EQ(-EAGAIN, ept_map(&self->ept, GB1, level, leaf_for(GB1, 2)));
			EXPECT_EQ(large(leaf_for(gfn, 1), there), value_at(&self->ept, gfn));
			EXPECT_EQ(0, self->ept.leaves[level - 1]);
		}
		take_away(&self->ept, GB1, GB1);
	}
}

/* Tables may stay, leaves not; and a second try gets further. */
TEST_F(ept, mapping_fails_at_each_table_that_it_needs)
{
	for (int level = 1; level <= 3; level++) {
		for (int there = 0; there < 4 - level; there++) {
			unit_pages_left = there;
			EXPECT_EQ(-ENOMEM, ept_map(&self->ept, GB512, level, leaf_for(GB512, 0)));
			EXPECT_EQ(0, self->ept.leaves[level - 1]);
			EXPECT_EQ(1 + there, self->ept.tables);
			EXPECT_EQ(1 + there, unit_pages);
			EXPECT_EQ(0, level_at(&self->ept, GB512));
			unit_pages_left = -1;
			take_away(&self->ept, GB512, GB512);
			EXPECT_EQ(1, unit_pages);
		}
		for (int there = 0; there < 4 - level; there++) {
			unit_pages_left = there ? 1 : 0;
			EXPECT_EQ(-ENOMEM, ept_map(&self->ept, GB512, level, leaf_for(GB512, 0)));
		}
		unit_pages_left = 1;
		EXPECT_EQ(0, ept_map(&self->ept, GB512, level, leaf_for(GB512, 0)));
		EXPECT_EQ(1, self->ept.leaves[level - 1]);
		take_away(&self->ept, GB512, GB512);
		unit_pages_left = -1;
	}
}

/* As for device memory, which is written there under the device lock. */
TEST_F(ept, an_entry_is_where_the_leaf_goes)
{
	u64 *entry = NULL, *other = NULL;
	int level;

	ASSERT_EQ(0, ept_entry(&self->ept, 5, 1, &entry));
	ASSERT_NE(NULL, entry);
	EXPECT_EQ(0, *entry);
	EXPECT_EQ(0, self->ept.leaves[0]);
	EXPECT_EQ(4, self->ept.tables);
	*entry = leaf_for(5, 0) | EPT_DEVICE;
	self->ept.devices++;
	EXPECT_EQ(entry, ept_lookup(&self->ept, 5, &level));

	/* It may be replaced; one that a larger leaf covers is not there. */
	EXPECT_EQ(-EEXIST, ept_entry(&self->ept, 5, 1, &other));
	EXPECT_EQ(entry, other);
	ASSERT_EQ(0, ept_map(&self->ept, MB2, 2, leaf_for(MB2, 0)));
	other = NULL;
	EXPECT_EQ(-EEXIST, ept_entry(&self->ept, MB2 + 1, 1, &other));
	EXPECT_EQ(NULL, other);
}

/* ---- splitting -------------------------------------------------------------------- */

static int split_at(struct df_ept *ept, u64 gfn)
{
	int level = 0;
	u64 *entry = ept_lookup(ept, gfn, &level);

	return ept_split(ept, entry, level);
}

TEST_F(ept, a_split_leaf_is_the_same_memory_with_the_same_rights)
{
	static const u64 rights[] = { VMX_EPT_READABLE_MASK,
				      VMX_EPT_READABLE_MASK | VMX_EPT_EXECUTABLE_MASK, RWX };

	for (size_t i = 0; i < ARRAY_SIZE(rights); i++) {
		const u64 leaf = (leaf_for(GB1, 9) & ~RWX) | rights[i];

		ASSERT_EQ(0, ept_map(&self->ept, GB1, 3, leaf));
		ASSERT_EQ(0, split_at(&self->ept, GB1 + 77));
		EXPECT_EQ(0, self->ept.leaves[2]);
		EXPECT_EQ(512, self->ept.leaves[1]);
		EXPECT_EQ(3, self->ept.tables);
		for (u64 gfn = GB1; gfn < 2 * GB1; gfn += MB2) {
			ASSERT_EQ(2, level_at(&self->ept, gfn));
			ASSERT_EQ(leaf + ((gfn - GB1) << PAGE_SHIFT) + EPT_LARGE,
				  value_at(&self->ept, gfn));
		}

		ASSERT_EQ(0, split_at(&self->ept, 2 * GB1 - 1));
		EXPECT_EQ(511, self->ept.leaves[1]);
		EXPECT_EQ(512, self->ept.leaves[0]);
		EXPECT_EQ(4, self->ept.tables);
		for (u64 gfn = 2 * GB1 - MB2; gfn < 2 * GB1; gfn++) {
			ASSERT_EQ(1, level_at(&self->ept, gfn));
			ASSERT_EQ(leaf + ((gfn - GB1) << PAGE_SHIFT), value_at(&self->ept, gfn));
		}
		EXPECT_EQ(2, level_at(&self->ept, 2 * GB1 - MB2 - 1));
		EXPECT_EQ(0, level_at(&self->ept, GB1 - 1));
		EXPECT_EQ(0, level_at(&self->ept, 2 * GB1));
		take_away(&self->ept, 0, GB512);
	}
}

/* The CPU's flags go, so that the next write is seen; that there was one stays. */
TEST_F(ept, a_split_leaf_remembers_that_it_was_dirty)
{
	static const struct {
		u64 before, after;
	} rows[] = {
		{ 0, 0 },
		{ ACCESSED, 0 },
		{ DIRTY, EPT_WAS_DIRTY },
		{ ACCESSED | DIRTY, EPT_WAS_DIRTY },
		{ EPT_WAS_DIRTY, EPT_WAS_DIRTY },
		{ EPT_WAS_DIRTY | DIRTY, EPT_WAS_DIRTY },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const u64 leaf = leaf_for(0, 3);

		ASSERT_EQ(0, ept_map(&self->ept, 0, 3, leaf | rows[i].before));
		ASSERT_EQ(0, split_at(&self->ept, 0));
		for (u64 gfn = 0; gfn < GB1; gfn += MB2)
			ASSERT_EQ((leaf + (gfn << PAGE_SHIFT)) | EPT_LARGE | rows[i].after,
				  value_at(&self->ept, gfn));
		ASSERT_EQ(0, split_at(&self->ept, MB2));
		for (u64 gfn = MB2; gfn < 2 * MB2; gfn++)
			ASSERT_EQ((leaf + (gfn << PAGE_SHIFT)) | rows[i].after,
				  value_at(&self->ept, gfn));
		take_away(&self->ept, 0, GB1);
	}
}

TEST_F(ept, without_memory_nothing_is_split)
{
	for (int level = 2; level <= 3; level++) {
		const u64 leaf = leaf_for(0, 3) | DIRTY | ACCESSED, tables = self->ept.tables;

		ASSERT_EQ(0, ept_map(&self->ept, 0, level, leaf));
		unit_pages_left = 0;
		EXPECT_EQ(-ENOMEM, split_at(&self->ept, 0));
		unit_pages_left = -1;
		EXPECT_EQ(leaf | EPT_LARGE, value_at(&self->ept, 0));
		EXPECT_EQ(1, self->ept.leaves[level - 1]);
		EXPECT_EQ(0, self->ept.leaves[level - 2]);
		EXPECT_EQ(tables + 4 - level, self->ept.tables);
		take_away(&self->ept, 0, GB512);
	}
}

/* ---- taking away ------------------------------------------------------------------ */

/* What ept_drop() gives, in the order in which it does. */
struct dropped {
	unsigned int n;
	u64 leaf[8];
	int level[8];
};

static void note(void *data, u64 leaf, int level)
{
	struct dropped *d = data;

	if (d->n < ARRAY_SIZE(d->leaf)) {
		d->leaf[d->n] = leaf;
		d->level[d->n] = level;
	}
	d->n++;
}

TEST_F(ept, what_is_hidden_is_not_found_and_what_is_beside_it_is)
{
	const u64 first = GB1 - 1, end = GB1 + MB2 + 1;

	for (u64 gfn = first - 1; gfn <= end; gfn++)
		ASSERT_EQ(0, ept_map(&self->ept, gfn, 1, leaf_for(gfn, 0)));
	ept_hide(&self->ept, first, end - first);
	for (u64 gfn = first; gfn < end; gfn++)
		ASSERT_EQ(0, level_at(&self->ept, gfn));
	EXPECT_EQ(leaf_for(first - 1, 0), value_at(&self->ept, first - 1));
	EXPECT_EQ(leaf_for(end, 0), value_at(&self->ept, end));
	EXPECT_EQ(MB2 + 4, self->ept.leaves[0]);

	ept_drop(&self->ept, first, end - first, ignore, NULL);
	EXPECT_EQ(2, self->ept.leaves[0]);
	EXPECT_EQ(leaf_for(first - 1, 0), value_at(&self->ept, first - 1));
	EXPECT_EQ(leaf_for(end, 0), value_at(&self->ept, end));
}

TEST_F(ept, each_leaf_is_given_back_once_with_what_it_knew)
{
	const u64 page = leaf_for(2 * MB2, 1) | DIRTY, mega = leaf_for(3 * MB2, 2) | EPT_WAS_DIRTY;
	struct dropped d = {};
	u64 *entry;

	ASSERT_EQ(0, ept_map(&self->ept, GB1, 3, leaf_for(GB1, 3)));
	ASSERT_EQ(0, ept_map(&self->ept, 3 * MB2, 2, mega));
	ASSERT_EQ(0, ept_map(&self->ept, 2 * MB2, 1, page));
	ASSERT_EQ(0, ept_entry(&self->ept, 2 * MB2 + 7, 1, &entry));
	*entry = leaf_for(2 * MB2 + 7, 4) | EPT_DEVICE;
	self->ept.devices++;

	ept_hide(&self->ept, MB2, 2 * GB1 - MB2);
	ept_drop(&self->ept, MB2, 2 * GB1 - MB2, note, &d);
	ASSERT_EQ(4, d.n);
	EXPECT_EQ(page & ~RWX, d.leaf[0] & ~RWX);
	EXPECT_EQ((leaf_for(2 * MB2 + 7, 4) | EPT_DEVICE) & ~RWX, d.leaf[1] & ~RWX);
	EXPECT_EQ((mega | EPT_LARGE) & ~RWX, d.leaf[2] & ~RWX);
	EXPECT_EQ((leaf_for(GB1, 3) | EPT_LARGE) & ~RWX, d.leaf[3] & ~RWX);
	EXPECT_EQ(1, d.level[0]);
	EXPECT_EQ(1, d.level[1]);
	EXPECT_EQ(2, d.level[2]);
	EXPECT_EQ(3, d.level[3]);
	EXPECT_EQ(0, self->ept.devices);
	EXPECT_EQ(0, self->ept.leaves[0] + self->ept.leaves[1] + self->ept.leaves[2]);
}

/* A page at each side of a table's edge: freed is the table that is wholly in the range. */
TEST_F(ept, tables_go_when_all_that_they_cover_does)
{
	static const struct {
		u64 first, end;
		u64 tables; /* that are left of the root and three */
	} rows[] = {
		{ 0, MB2, 3 },	     { 1, MB2, 4 },	      { 0, MB2 - 1, 4 }, { 0, MB2 + 1, 3 },
		{ 0, GB1, 2 },	     { 1, GB1, 4 },	      { 0, GB1 - 1, 3 }, { 0, GB512, 1 },
		{ 0, GB512 - 1, 2 }, { 0, GB512 + GB512, 1 }, { 0, END, 1 },	 { 1, END, 4 },
		{ MB2, END, 4 },     { MB2, MB2, 4 },	      { 5, 5, 4 },	 { GB1, END, 4 },
		{ GB512, END, 4 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const u64 pages = rows[i].end - rows[i].first;
		bool stays = rows[i].first > 5 || rows[i].end <= 5;

		ASSERT_EQ(0, ept_map(&self->ept, 5, 1, leaf_for(5, 0)));
		take_away(&self->ept, rows[i].first, pages);
		EXPECT_EQ(rows[i].tables, self->ept.tables) TH_LOG("row %zu", i);
		EXPECT_EQ(rows[i].tables, unit_pages) TH_LOG("row %zu", i);
		EXPECT_EQ(stays, level_at(&self->ept, 5)) TH_LOG("row %zu", i);
		EXPECT_EQ(stays, self->ept.leaves[0]) TH_LOG("row %zu", i);
		take_away(&self->ept, 0, END);
	}
}

/* Which is our mistake. */
TEST_F(ept, a_leaf_that_a_range_would_cut_is_reported_and_stays)
{
	ASSERT_EQ(0, ept_map(&self->ept, MB2, 2, leaf_for(MB2, 0)));
	ept_hide(&self->ept, MB2 + 1, 1);
	EXPECT_EQ(1, unit_warnings);
	EXPECT_EQ(leaf_for(MB2, 0) | EPT_LARGE, value_at(&self->ept, MB2 + 1));
	unit_warnings = 0;
}

TEST_HARNESS_MAIN
