// SPDX-License-Identifier: GPL-2.0-only
/*
 * Extended page tables, at random against a model of single pages.
 */
#include "ept.h"

/* Where it all happens: at the bottom, at the edge of a table below the root, at the top. */
static const struct region {
	u64 first, pages;
} regions[] = {
	{ 0, 2 * GB1 },
	{ GB512 - GB1, 2 * GB1 },
	{ END - GB1, GB1 },
};

/**
 * struct model - what should be in the tables
 * @page: of the regions, one after the other
 * @top: is there a table for this part of the root?
 * @leaves: as in struct df_ept
 * @devices: likewise
 * @tables: likewise
 * @first: of a range that is being dropped
 * @end: likewise
 * @strangers: leaves that were dropped without being in it
 */
struct model {
	struct model_page {
		u64 leaf; /* that begins here, or 0 */
		u8 level;
		u8 tables; /* that begin here: bit 1 of 4 KiB entries, bit 2 of 2 MiB */
	} * page;
	bool top[512];
	u64 leaves[3], devices, tables;
	u64 first, end;
	unsigned int strangers;
};

/* xorshift64: the same numbers at every run. */
static u64 random_below(u64 n)
{
	static u64 state = 0x2545f4914f6cdd1d;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % n;
}

static u64 gfn_of(u64 leaf)
{
	return (leaf & EPT_ADDR_MASK) >> PAGE_SHIFT & (END - 1);
}

static struct model_page *model_page(struct model *m, u64 gfn)
{
	struct model_page *page = m->page;

	for (size_t i = 0; i < ARRAY_SIZE(regions); i++) {
		if (gfn - regions[i].first < regions[i].pages)
			return page + (gfn - regions[i].first);
		page += regions[i].pages;
	}
	return NULL;
}

/* The leaf that a page is in, and where it begins. */
static struct model_page *model_leaf(struct model *m, u64 gfn, u64 *first)
{
	for (int level = 1; level <= 3; level++) {
		struct model_page *page;

		*first = gfn & ~(ept_pages(level) - 1);
		page = model_page(m, *first);
		if (page && page->leaf && page->level == level)
			return page;
	}
	return NULL;
}

static void model_count(struct model *m, const struct model_page *page, int by)
{
	if (page->leaf & EPT_DEVICE)
		m->devices += by;
	else
		m->leaves[page->level - 1] += by;
}

static void model_put(struct model *m, u64 gfn, int level, u64 leaf)
{
	struct model_page *page = model_page(m, gfn);

	page->leaf = leaf;
	page->level = level;
	model_count(m, page, 1);
}

static void model_remove(struct model *m, struct model_page *page)
{
	model_count(m, page, -1);
	page->leaf = 0;
	page->level = 0;
}

static bool model_has_table(struct model *m, u64 gfn, int level)
{
	const struct model_page *page = model_page(m, gfn & ~(ept_pages(level + 1) - 1));

	return level == 3 ? m->top[gfn / GB512] : page && page->tables & BIT(level);
}

static void model_add_table(struct model *m, u64 gfn, int level)
{
	if (level == 3)
		m->top[gfn / GB512] = true;
	else
		model_page(m, gfn & ~(ept_pages(level + 1) - 1))->tables |= BIT(level);
	m->tables++;
}

/* As ept_entry(), with so many pages for tables. */
static int model_entry(struct model *m, u64 gfn, int level, long pages)
{
	u64 first;
	const struct model_page *leaf = model_leaf(m, gfn, &first);

	if (leaf && leaf->level >= level)
		return -EEXIST;
	for (int l = 3; l >= level; l--) {
		if (model_has_table(m, gfn, l))
			continue;
		if (!pages--)
			return -ENOMEM;
		model_add_table(m, gfn, l);
	}
	return level > 1 && model_has_table(m, gfn, level - 1) ? -EAGAIN : 0;
}

static int model_split(struct model *m, u64 gfn, long pages)
{
	u64 first, step, leaf;
	struct model_page *page = model_leaf(m, gfn, &first);
	int level = page->level;

	if (!pages)
		return -ENOMEM;
	step = ept_pages(level - 1);
	leaf = page->leaf & ~(DIRTY | ACCESSED);
	if (page->leaf & DIRTY)
		leaf |= EPT_WAS_DIRTY;
	if (level == 2)
		leaf &= ~EPT_LARGE;
	model_remove(m, page);
	model_add_table(m, first, level - 1);
	for (u64 i = 0; i < 512; i++)
		model_put(m, first + i * step, level - 1, leaf + ((i * step) << PAGE_SHIFT));
	return 0;
}

static void model_drop_leaf(void *data, u64 leaf, int level)
{
	struct model *m = data;
	u64 gfn = gfn_of(leaf);
	struct model_page *page = model_page(m, gfn);

	if (page && page->leaf && page->level == level && gfn >= m->first && gfn < m->end &&
	    !((page->leaf ^ leaf) & ~RWX))
		model_remove(m, page);
	else
		m->strangers++;
}

static void model_drop_table(struct model *m, u64 gfn, int level)
{
	struct model_page *page = model_page(m, gfn);

	if (page->tables & BIT(level) && gfn >= m->first && gfn + ept_pages(level + 1) <= m->end) {
		page->tables &= ~BIT(level);
		m->tables--;
	}
}

static void model_drop_tables(struct model *m)
{
	for (size_t i = 0; i < ARRAY_SIZE(regions); i++) {
		for (u64 n = 0; n < regions[i].pages; n += MB2) {
			model_drop_table(m, regions[i].first + n, 1);
			model_drop_table(m, regions[i].first + n, 2);
		}
	}
	for (u64 i = 0; i < ARRAY_SIZE(m->top); i++) {
		if (m->top[i] && i * GB512 >= m->first && (i + 1) * GB512 <= m->end) {
			m->top[i] = false;
			m->tables--;
		}
	}
}

/* What a walk counts; -1 leaves if there is one that the model does not have. */
struct walk {
	struct model *model;
	long leaves;
	u64 tables;
};

static void walk(struct walk *w, const u64 *table, int level, u64 base)
{
	w->tables++;
	for (u64 i = 0; i < 512 && w->leaves >= 0; i++) {
		u64 gfn = base + i * ept_pages(level), entry = table[i];

		if (!entry)
			continue;
		if (level == 1 || entry & EPT_LARGE) {
			const struct model_page *page = model_page(w->model, gfn);
			bool same = page && page->leaf == entry && page->level == level;

			w->leaves = same ? w->leaves + 1 : -1;
		} else if ((entry & ~EPT_ADDR_MASK) == RWX &&
			   model_has_table(w->model, gfn, level - 1)) {
			walk(w, __va(entry & EPT_ADDR_MASK), level - 1, gfn);
		} else {
			w->leaves = -1;
		}
	}
}

/* NULL, or where the tables differ from the model. */
static const char *difference(struct df_ept *ept, struct model *m)
{
	struct walk w = { .model = m };

	walk(&w, ept->root, 4, 0);
	if (w.leaves < 0 ||
	    (u64)w.leaves != m->leaves[0] + m->leaves[1] + m->leaves[2] + m->devices)
		return "leaves";
	if (w.tables != m->tables || ept->tables != m->tables || (u64)unit_pages != m->tables)
		return "tables";
	if (memcmp(ept->leaves, m->leaves, sizeof(m->leaves)) || ept->devices != m->devices)
		return "counts";
	if (m->strangers)
		return "strangers";
	return unit_warnings ? "warnings" : NULL;
}

/* A page of the regions, most often near a place where a leaf or table begins. */
static u64 random_gfn(void)
{
	const struct region *r = &regions[random_below(ARRAY_SIZE(regions))];
	u64 unit = ept_pages(1 + random_below(4));
	u64 offset = random_below(r->pages) / unit * unit + random_below(5) - 2;

	return r->first + (offset < r->pages ? offset : r->pages - 1);
}

static bool step_map(struct df_ept *ept, struct model *m)
{
	int level = 1 + random_below(3), err;
	u64 gfn = random_gfn() & ~(ept_pages(level) - 1), leaf = leaf_for(gfn, random_below(16));

	err = model_entry(m, gfn, level, unit_pages_left);
	if (!err)
		model_put(m, gfn, level, large(leaf, level));
	return ept_map(ept, gfn, level, leaf) == err;
}

static bool step_map_device(struct df_ept *ept, struct model *m)
{
	u64 gfn = random_gfn(), leaf = leaf_for(gfn, random_below(16)) | EPT_DEVICE, *entry;
	int err = model_entry(m, gfn, 1, unit_pages_left);

	if (ept_entry(ept, gfn, 1, &entry) != err)
		return false;
	if (!err) {
		model_put(m, gfn, 1, leaf);
		*entry = leaf;
		ept->devices++;
	}
	return true;
}

/* Splits a large leaf; a small one is written to by the guest. */
static bool step_touch(struct df_ept *ept, struct model *m)
{
	u64 gfn = random_gfn(), first;
	struct model_page *page = model_leaf(m, gfn, &first);
	int level = 0;
	u64 *entry = ept_lookup(ept, gfn, &level);

	if (!page || !entry)
		return !page && !entry;
	if (level != page->level)
		return false;
	if (level > 1 && random_below(2)) {
		int err = model_split(m, gfn, unit_pages_left);

		return ept_split(ept, entry, level) == err;
	}
	*entry |= DIRTY | ACCESSED;
	page->leaf |= DIRTY | ACCESSED;
	return true;
}

static void random_range(struct model *m)
{
	u64 first;
	const struct model_page *leaf;

	m->first = random_gfn();
	m->end = random_below(64) ? m->first + 1 + random_below(BIT_ULL(random_below(20))) : END;
	if (m->end > END)
		m->end = END;
	if (!random_below(64))
		m->first = 0;
	leaf = model_leaf(m, m->first, &first);
	if (leaf)
		m->first = first;
	leaf = model_leaf(m, m->end - 1, &first);
	if (leaf)
		m->end = first + ept_pages(leaf->level);
}

static bool step_take_away(struct df_ept *ept, struct model *m)
{
	u64 beside[3];
	bool same = true;

	random_range(m);
	beside[0] = m->first - 1;
	beside[1] = m->end;
	beside[2] = random_gfn();
	ept_hide(ept, m->first, m->end - m->first);
	for (int i = 0; i < 16; i++)
		same &= !level_at(ept, m->first + random_below(m->end - m->first));
	for (size_t i = 0; i < ARRAY_SIZE(beside); i++) {
		u64 gfn = beside[i], first;
		const struct model_page *leaf = model_leaf(m, gfn, &first);

		if (gfn < END && (gfn < m->first || gfn >= m->end))
			same &= value_at(ept, gfn) == (leaf ? leaf->leaf : 0);
	}
	ept_drop(ept, m->first, m->end - m->first, model_drop_leaf, m);
	model_drop_tables(m);
	for (u64 gfn = m->first; gfn < m->end; gfn++) {
		const struct model_page *page = model_page(m, gfn);

		if (page)
			same &= !page->leaf;
		else
			gfn |= GB1 - 1;
	}
	return same;
}

static bool step(struct df_ept *ept, struct model *m)
{
	bool same;

	unit_pages_left = random_below(4) ? -1 : (long)random_below(3);
	switch (random_below(16)) {
	case 0 ... 8:
		same = step_map(ept, m);
		break;
	case 9 ... 10:
		same = step_map_device(ept, m);
		break;
	case 11 ... 14:
		same = step_touch(ept, m);
		break;
	default:
		same = step_take_away(ept, m);
		break;
	}
	unit_pages_left = -1;
	return same;
}

TEST_F(ept, random_tables_are_as_single_pages_say)
{
	struct model m = { .tables = 1 };
	u64 pages = 0;

	for (size_t i = 0; i < ARRAY_SIZE(regions); i++)
		pages += regions[i].pages;
	m.page = calloc(pages, sizeof(*m.page));
	ASSERT_NE(NULL, m.page);
	for (unsigned int n = 0; n < 20000; n++) {
		ASSERT_TRUE(step(&self->ept, &m)) TH_LOG("operation %u", n);
		ASSERT_EQ(NULL, difference(&self->ept, &m))
		{
			TH_LOG("%s after operation %u", difference(&self->ept, &m), n);
		}
	}
	free(m.page);
}

TEST_HARNESS_MAIN
