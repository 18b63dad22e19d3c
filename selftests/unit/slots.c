// SPDX-License-Identifier: GPL-2.0-only
/*
 * The arithmetic of memory slots: by hand at the edges, and at random against a
 * model that knows only single pages.
 */
#include "kselftest_harness.h"

#include <linux/bits.h>
#include <linux/kvm.h>
#include <string.h>

#include "src/slots.c"

#define MAX_GFN BIT_ULL(36)
#define LAST ~0ULL

/* Every slot, none of them in use. */
FIXTURE(slots)
{
	struct df_slot slot[DF_MAX_SLOTS];
};

FIXTURE_SETUP(slots)
{
	memset(self->slot, 0, sizeof(self->slot));
}

FIXTURE_TEARDOWN(slots)
{
}

static void put(struct df_slot *slot, u64 gfn, u64 pages)
{
	*slot = (struct df_slot){ .gfn = gfn, .pages = pages };
}

/* ---- finding --------------------------------------------------------------------- */

TEST_F(slots, nothing_is_found_in_none)
{
	static const u64 gfns[] = { 0, 1, MAX_GFN - 1, MAX_GFN, LAST };

	for (size_t i = 0; i < ARRAY_SIZE(gfns); i++) {
		const struct df_slot *found = slots_find(self->slot, DF_MAX_SLOTS, gfns[i]);

		EXPECT_EQ(NULL, found) TH_LOG("%lx", gfns[i]);
	}
}

TEST_F(slots, the_first_and_the_last_page_are_found)
{
	put(&self->slot[7], 0x100, 0x10);

	EXPECT_EQ(NULL, slots_find(self->slot, DF_MAX_SLOTS, 0xff));
	EXPECT_EQ(&self->slot[7], slots_find(self->slot, DF_MAX_SLOTS, 0x100));
	EXPECT_EQ(&self->slot[7], slots_find(self->slot, DF_MAX_SLOTS, 0x10f));
	EXPECT_EQ(NULL, slots_find(self->slot, DF_MAX_SLOTS, 0x110));
	EXPECT_EQ(NULL, slots_find(self->slot, DF_MAX_SLOTS, 0));
	EXPECT_EQ(NULL, slots_find(self->slot, DF_MAX_SLOTS, LAST));
}

TEST_F(slots, the_first_and_the_last_slot_are_looked_at)
{
	put(&self->slot[0], 5, 1);
	put(&self->slot[DF_MAX_SLOTS - 1], 6, 1);

	EXPECT_EQ(&self->slot[0], slots_find(self->slot, DF_MAX_SLOTS, 5));
	EXPECT_EQ(&self->slot[DF_MAX_SLOTS - 1], slots_find(self->slot, DF_MAX_SLOTS, 6));
}

TEST_F(slots, page_0_and_the_last_page_can_be_had)
{
	put(&self->slot[0], 0, 1);
	put(&self->slot[1], MAX_GFN - 1, 1);

	EXPECT_EQ(&self->slot[0], slots_find(self->slot, DF_MAX_SLOTS, 0));
	EXPECT_EQ(&self->slot[1], slots_find(self->slot, DF_MAX_SLOTS, MAX_GFN - 1));
	EXPECT_EQ(NULL, slots_find(self->slot, DF_MAX_SLOTS, MAX_GFN));
}

TEST_F(slots, the_largest_slot_ends_where_it_should)
{
	put(&self->slot[0], 1, DF_SLOT_MAX_PAGES);

	EXPECT_EQ(NULL, slots_find(self->slot, DF_MAX_SLOTS, 0));
	EXPECT_EQ(&self->slot[0], slots_find(self->slot, DF_MAX_SLOTS, DF_SLOT_MAX_PAGES));
	EXPECT_EQ(NULL, slots_find(self->slot, DF_MAX_SLOTS, DF_SLOT_MAX_PAGES + 1));
}

/* A deleted slot may still have the address that it had. */
TEST_F(slots, a_slot_of_no_pages_is_not_found)
{
	put(&self->slot[0], 0x100, 0);

	EXPECT_EQ(NULL, slots_find(self->slot, DF_MAX_SLOTS, 0x100));
	EXPECT_EQ(NULL, slots_find(self->slot, DF_MAX_SLOTS, 0xff));
}

/* ---- overlapping ----------------------------------------------------------------- */

TEST_F(slots, ranges_overlap_by_a_page_or_not)
{
	static const struct {
		u64 gfn, pages;
		bool overlaps;
	} rows[] = {
		{ 0x0f0, 0x10, false }, /* up to it */
		{ 0x0f0, 0x11, true }, /* its first page */
		{ 0x0ff, 0x01, false },
		{ 0x100, 0x01, true },
		{ 0x104, 0x04, true }, /* inside */
		{ 0x100, 0x10, true }, /* the same */
		{ 0x0f0, 0x30, true }, /* around it */
		{ 0x10f, 0x01, true }, /* its last page */
		{ 0x10f, 0x10, true },
		{ 0x110, 0x01, false }, /* from its end on */
		{ 0x110, 0x10, false },
		{ 0, 0x100, false },
		{ 0, 0x101, true },
		{ 0, DF_SLOT_MAX_PAGES, true },
		{ 0x110, DF_SLOT_MAX_PAGES, false },
	};

	put(&self->slot[3], 0x100, 0x10);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		EXPECT_EQ(rows[i].overlaps, slots_overlap(self->slot, DF_MAX_SLOTS, &self->slot[4],
							  rows[i].gfn, rows[i].pages))
		{
			TH_LOG("%lx pages from %lx", rows[i].pages, rows[i].gfn);
		}
	}
}

/* As when a slot is deleted: its address is no matter. */
TEST_F(slots, a_range_of_no_pages_overlaps_nothing)
{
	put(&self->slot[3], 0x100, 0x10);
	for (u64 gfn = 0xfe; gfn < 0x112; gfn++) {
		bool overlaps = slots_overlap(self->slot, DF_MAX_SLOTS, &self->slot[4], gfn, 0);

		EXPECT_FALSE(overlaps) TH_LOG("%lx", gfn);
	}
}

TEST_F(slots, a_slot_may_overlap_itself_and_what_is_not_in_use)
{
	put(&self->slot[3], 0x100, 0x10);
	put(&self->slot[4], 0x108, 0);

	EXPECT_FALSE(slots_overlap(self->slot, DF_MAX_SLOTS, &self->slot[3], 0x108, 0x10));
	EXPECT_FALSE(slots_overlap(self->slot, DF_MAX_SLOTS, &self->slot[3], 0x100, 0x10));
	EXPECT_TRUE(slots_overlap(self->slot, DF_MAX_SLOTS, &self->slot[4], 0x100, 0x10));
	EXPECT_TRUE(slots_overlap(self->slot, DF_MAX_SLOTS, NULL, 0x100, 0x10));
}

TEST_F(slots, any_other_slot_is_enough)
{
	for (unsigned int i = 0; i < DF_MAX_SLOTS; i++)
		put(&self->slot[i], i * 0x10, 8);
	for (unsigned int i = 0; i < DF_MAX_SLOTS; i++) {
		EXPECT_FALSE(slots_overlap(self->slot, DF_MAX_SLOTS, NULL, i * 0x10 + 8, 8))
		TH_LOG("%u", i);
		EXPECT_TRUE(slots_overlap(self->slot, DF_MAX_SLOTS, NULL, i * 0x10 + 7, 1))
		TH_LOG("%u", i);
		EXPECT_FALSE(slots_overlap(self->slot, DF_MAX_SLOTS, &self->slot[i], i * 0x10, 16));
		EXPECT_EQ(i + 1 < DF_MAX_SLOTS,
			  slots_overlap(self->slot, DF_MAX_SLOTS, &self->slot[i], i * 0x10, 17))
		{
			TH_LOG("%u", i);
		}
	}
}

/* ---- checking -------------------------------------------------------------------- */

/* A region that can be, of which the tests change one thing each. */
static struct kvm_userspace_memory_region2 region(void)
{
	return (struct kvm_userspace_memory_region2){
		.slot = 1,
		.guest_phys_addr = 0x100000,
		.memory_size = 0x200000,
		.userspace_addr = 0x7f0000000000,
	};
}

static int check(u64 gpa, u64 size, u64 hva)
{
	struct kvm_userspace_memory_region2 r = region();

	r.guest_phys_addr = gpa;
	r.memory_size = size;
	r.userspace_addr = hva;
	return slots_check(&r, MAX_GFN);
}

TEST(a_usual_region_can_be)
{
	struct kvm_userspace_memory_region2 r = region();

	EXPECT_EQ(0, slots_check(&r, MAX_GFN));
}

TEST(there_are_slots_of_these_numbers_only)
{
	static const struct {
		u32 slot;
		int result;
	} rows[] = {
		{ 0, 0 },
		{ DF_MAX_SLOTS - 1, 0 },
		{ DF_MAX_SLOTS, -EINVAL },
		{ 0x10000, -EINVAL }, /* KVM's other address space */
		{ 0x7fffffff, -EINVAL },
		{ 0x80000000, -EINVAL },
		{ ~0U, -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct kvm_userspace_memory_region2 r = region();

		r.slot = rows[i].slot;
		EXPECT_EQ(rows[i].result, slots_check(&r, MAX_GFN)) TH_LOG("%x", r.slot);
	}
}

TEST(two_flags_are_known)
{
	for (unsigned int bit = 0; bit < 32; bit++) {
		struct kvm_userspace_memory_region2 r = region();
		bool known = BIT(bit) & (KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY);

		r.flags = BIT(bit);
		EXPECT_EQ(known ? 0 : -EINVAL, slots_check(&r, MAX_GFN)) TH_LOG("bit %u", bit);
		r.flags |= KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY;
		EXPECT_EQ(known ? 0 : -EINVAL, slots_check(&r, MAX_GFN)) TH_LOG("bit %u", bit);
	}
}

TEST(all_is_whole_pages)
{
	static const u64 odd[] = { 1, 8, 0x800, 0xfff };

	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		EXPECT_EQ(-EINVAL, check(0x100000 + odd[i], 0x1000, 0x10000)) TH_LOG("%zu", i);
		EXPECT_EQ(-EINVAL, check(0x100000, 0x1000 + odd[i], 0x10000)) TH_LOG("%zu", i);
		EXPECT_EQ(-EINVAL, check(0x100000, 0x1000, 0x10000 + odd[i])) TH_LOG("%zu", i);
		EXPECT_EQ(-EINVAL, check(0x100000, odd[i], 0x10000)) TH_LOG("%zu", i);
	}
	EXPECT_EQ(0, check(0x100000, 0x1000, 0x10000));
}

TEST(nothing_wraps)
{
	struct kvm_userspace_memory_region2 r = region();

	r.guest_phys_addr = -0x1000ULL;
	EXPECT_EQ(-EINVAL, slots_check(&r, LAST));
	EXPECT_EQ(-EINVAL, check(-0x1000ULL, 0x1000, 0x10000));
	EXPECT_EQ(-EINVAL, check(-0x1000ULL, 0x2000, 0x10000));
	EXPECT_EQ(-EINVAL, check(0x1000, -0x1000ULL, 0x10000));
	EXPECT_EQ(-EINVAL, check(0x2000, -0x1000ULL, 0x10000));
	EXPECT_EQ(-EINVAL, check(0, 0x1000, -0x1000ULL));
	EXPECT_EQ(-EINVAL, check(0, 0x2000, -0x1000ULL));
	EXPECT_EQ(0, check(0, 0x1000, -0x2000ULL));
}

/* Also where the guest's addresses would have room for it. */
TEST(absurd_sizes_are_refused)
{
	struct kvm_userspace_memory_region2 r = region();
	const u64 largest = DF_SLOT_MAX_PAGES * 4096;

	EXPECT_EQ(0, check(0, largest, 0));
	EXPECT_EQ(-EINVAL, check(0, largest + 0x1000, 0));
	EXPECT_EQ(-EINVAL, check(0, 1ULL << 44, 0));
	EXPECT_EQ(-EINVAL, check(0, 1ULL << 63, 0));
	EXPECT_EQ(-EINVAL, check(0, -0x1000ULL, 0));

	r.memory_size = 1ULL << 62;
	EXPECT_EQ(-EINVAL, slots_check(&r, LAST));
}

TEST(a_region_ends_within_the_guests_reach)
{
	struct kvm_userspace_memory_region2 r = region();

	EXPECT_EQ(0, check((MAX_GFN - 1) * 4096, 0x1000, 0));
	EXPECT_EQ(-EINVAL, check((MAX_GFN - 1) * 4096, 0x2000, 0));
	EXPECT_EQ(-EINVAL, check(MAX_GFN * 4096, 0x1000, 0));
	EXPECT_EQ(0, slots_check(&r, 0x300));
	EXPECT_EQ(-EINVAL, slots_check(&r, 0x2ff));
}

/* Deleting names a slot; where it is said to be is looked at for its form only. */
TEST(a_region_of_no_size_can_be_anywhere)
{
	EXPECT_EQ(0, check(0, 0, 0));
	EXPECT_EQ(0, check(MAX_GFN * 4096, 0, 0));
	EXPECT_EQ(0, check(-0x1000ULL, 0, -0x1000ULL));
	EXPECT_EQ(-EINVAL, check(1, 0, 0));
}

/* ---- changing -------------------------------------------------------------------- */

TEST(what_may_change_and_what_not)
{
	static const struct df_slot old = { .gfn = 0x100, .pages = 0x10, .hva = 0x10000 };
	static const struct {
		const char *what;
		struct df_slot new;
		bool may;
#define SLOT(f)                                                         \
	{                                                               \
		.gfn = 0x100, .pages = 0x10, .hva = 0x10000, .flags = f \
	}
	} rows[] = {
		{ "nothing", { .gfn = 0x100, .pages = 0x10, .hva = 0x10000 }, true },
		{ "moved", { .gfn = 0x900, .pages = 0x10, .hva = 0x10000 }, true },
		{ "other memory", { .gfn = 0x100, .pages = 0x10, .hva = 0x11000 }, false },
		{ "larger", { .gfn = 0x100, .pages = 0x11, .hva = 0x10000 }, false },
		{ "smaller", { .gfn = 0x100, .pages = 0x0f, .hva = 0x10000 }, false },
		{ "logged", SLOT(KVM_MEM_LOG_DIRTY_PAGES), true },
		{ "read-only", SLOT(KVM_MEM_READONLY), false },
	};
#undef SLOT

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		EXPECT_EQ(rows[i].may, slots_may_change(&old, &rows[i].new))
		TH_LOG("%s", rows[i].what);
		EXPECT_EQ(rows[i].may, slots_may_change(&rows[i].new, &old))
		TH_LOG("%s", rows[i].what);
	}
}

TEST(a_read_only_slot_can_be_logged_and_stays_read_only)
{
	struct df_slot old = { .pages = 1, .flags = KVM_MEM_READONLY };
	struct df_slot new = { .pages = 1, .flags = KVM_MEM_READONLY | KVM_MEM_LOG_DIRTY_PAGES };

	EXPECT_TRUE(slots_may_change(&old, &new));
	new.flags = KVM_MEM_LOG_DIRTY_PAGES;
	EXPECT_FALSE(slots_may_change(&old, &new));
}

/* ---- at random ------------------------------------------------------------------- */

#define WORLD 512 /* pages */
#define EMPTY 0xffff

/* xorshift64: the same numbers at every run. */
static u64 random_below(u64 n)
{
	static u64 state = 0x9e3779b97f4a7c15;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % n;
}

/* The model: whose each page is. */
struct world {
	u64 base;
	u16 owner[WORLD];
};

static bool is_free_for(const struct world *world, u64 first, u64 pages, u16 self)
{
	for (u64 i = first; i < first + pages; i++)
		if (world->owner[i] != EMPTY && world->owner[i] != self)
			return false;
	return true;
}

static void disown(struct world *world, u16 id)
{
	for (u64 i = 0; i < WORLD; i++)
		if (world->owner[i] == id)
			world->owner[i] = EMPTY;
}

/* A slot is put, moved or deleted where that overlaps nothing. */
static bool step(struct df_slot *slots, struct world *world)
{
	u16 id = random_below(DF_MAX_SLOTS);
	u64 first = random_below(WORLD);
	u64 pages = random_below(2) ? random_below(4) : random_below(40);
	bool overlaps;

	if (first + pages > WORLD)
		pages = WORLD - first;
	overlaps = slots_overlap(slots, DF_MAX_SLOTS, &slots[id], world->base + first, pages);
	if (overlaps != !is_free_for(world, first, pages, id))
		return false;
	if (overlaps)
		return true;
	disown(world, id);
	for (u64 i = first; i < first + pages; i++)
		world->owner[i] = id;
	put(&slots[id], world->base + first, pages);
	return true;
}

static bool is_as_in(const struct world *world, struct df_slot *slots)
{
	for (u64 i = 0; i < WORLD; i++) {
		u16 owner = world->owner[i];

		if (slots_find(slots, DF_MAX_SLOTS, world->base + i) !=
		    (owner == EMPTY ? NULL : &slots[owner]))
			return false;
	}
	return !slots_find(slots, DF_MAX_SLOTS, world->base + WORLD) &&
	       !slots_find(slots, DF_MAX_SLOTS, world->base - 1);
}

/* At the bottom of the guest's memory, at its top, and somewhere. */
TEST_F(slots, random_slots_are_as_single_pages_say)
{
	static const u64 bases[] = { 0, 0x12345678, MAX_GFN - WORLD };

	for (size_t b = 0; b < ARRAY_SIZE(bases); b++) {
		struct world world = { .base = bases[b] };

		memset(self->slot, 0, sizeof(self->slot));
		memset(world.owner, 0xff, sizeof(world.owner));
		for (unsigned int n = 0; n < 20000; n++) {
			ASSERT_TRUE(step(self->slot, &world)) TH_LOG("base %lx, %u", bases[b], n);
			if (n % 64)
				continue;
			ASSERT_TRUE(is_as_in(&world, self->slot))
			TH_LOG("base %lx, %u", bases[b], n);
		}
	}
}

/* With more bits than the sums have: the same checks, said otherwise. */
static bool can_be(const struct kvm_userspace_memory_region2 *r, u64 max_gfn)
{
	unsigned __int128 gpa = r->guest_phys_addr, hva = r->userspace_addr, size = r->memory_size;
	const unsigned __int128 wrap = (unsigned __int128)1 << 64;

	if (r->slot > 511 || (r->flags != 0 && r->flags != 1 && r->flags != 2 && r->flags != 3))
		return false;
	if (gpa & 4095 || hva & 4095 || size & 4095)
		return false;
	if (size == 0)
		return true;
	return gpa + size < wrap && hva + size < wrap && size <= 0x7fffffffULL * 4096 &&
	       gpa + size <= (unsigned __int128)max_gfn * 4096;
}

/* A number with few bits set, or few not, or near a power of two. */
static u64 random_number(void)
{
	u64 n = 1ULL << random_below(64);

	switch (random_below(6)) {
	case 0:
		return 0;
	case 1:
		return n - 1;
	case 2:
		return -n;
	case 3:
		return (n | 1ULL << random_below(64)) & ~4095ULL;
	case 4:
		return n - 4096;
	default:
		return n;
	}
}

TEST(random_regions_are_judged_as_with_more_bits)
{
	unsigned int good = 0;

	for (unsigned int n = 0; n < 1000000; n++) {
		u64 max_gfn = 1ULL << (20 + random_below(32));
		struct kvm_userspace_memory_region2 r = {
			.slot = random_below(16) ? random_below(512) : random_number(),
			.flags = random_below(16) ? random_below(4) : random_number(),
			.guest_phys_addr = random_number(),
			.memory_size = random_number(),
			.userspace_addr = random_number(),
		};
		bool expect = can_be(&r, max_gfn);

		good += expect && r.memory_size;
		ASSERT_EQ(expect ? 0 : -EINVAL, slots_check(&r, max_gfn))
		{
			TH_LOG("slot %x flags %x gpa %llx size %llx hva %llx max %lx", r.slot,
			       r.flags, r.guest_phys_addr, r.memory_size, r.userspace_addr,
			       max_gfn);
		}
	}
	EXPECT_LT(10000, good);
}

TEST_HARNESS_MAIN
