// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who answers at an address.
 */
#include "kselftest_harness.h"

#include <stdint.h>
#include <string.h>

#include "machine/bus.h"

/* A device that notes what it is asked. */
struct probe {
	unsigned int reads, writes, size;
	uint64_t offset;
};

static void note_read(void *device, uint64_t offset, void *data, unsigned int size)
{
	struct probe *probe = device;

	probe->reads++;
	probe->offset = offset;
	probe->size = size;
	memset(data, 0x5a, size);
}

static void note_write(void *device, uint64_t offset, const void *data, unsigned int size)
{
	struct probe *probe = device;

	(void)data;
	probe->writes++;
	probe->offset = offset;
	probe->size = size;
}

FIXTURE(bus)
{
	struct bus bus;
	struct probe probe;
	struct region region;
};

FIXTURE_SETUP(bus)
{
	self->region = (struct region){ 0x1000, 0x10, note_read, note_write, &self->probe, NULL };
	ASSERT_EQ(0, bus__add(&self->bus, &self->region));
}

FIXTURE_TEARDOWN(bus)
{
}

static uint64_t read_at(FIXTURE_DATA(bus) * self, uint64_t address, unsigned int size)
{
	uint64_t value = 0;

	bus__read(&self->bus, address, &value, size);
	return value;
}

TEST_F(bus, a_region_answers_from_its_first_byte_to_its_last)
{
	EXPECT_EQ(0x5a, read_at(self, 0x1000, 1));
	EXPECT_EQ(0, self->probe.offset);
	EXPECT_EQ(0x5a, read_at(self, 0x100f, 1));
	EXPECT_EQ(0xf, self->probe.offset);
	EXPECT_EQ(0x5a5a5a5a5a5a5a5a, read_at(self, 0x1008, 8));
	EXPECT_EQ(8, self->probe.size);
	bus__write(&self->bus, 0x100c, "abcd", 4);
	EXPECT_EQ(1, self->probe.writes);
	EXPECT_EQ(0xc, self->probe.offset);
}

TEST_F(bus, where_nobody_answers_reads_are_all_ones)
{
	EXPECT_EQ(0xff, read_at(self, 0xfff, 1));
	EXPECT_EQ(0xffff, read_at(self, 0x1010, 2));
	EXPECT_EQ(UINT64_MAX, read_at(self, UINT64_MAX, 8));
	bus__write(&self->bus, 0x1010, "a", 1);
	EXPECT_EQ(0, self->probe.reads + self->probe.writes);
}

TEST_F(bus, an_access_across_an_end_reaches_nobody)
{
	struct region next = { 0x1010, 0x10, note_read, note_write, &self->probe, NULL };

	ASSERT_EQ(0, bus__add(&self->bus, &next));
	EXPECT_EQ(0xffff, read_at(self, 0xfff, 2));
	EXPECT_EQ(UINT64_MAX, read_at(self, 0x1009, 8));
	bus__write(&self->bus, 0x100f, "ab", 2);
	EXPECT_EQ(0, self->probe.reads + self->probe.writes);
}

TEST_F(bus, one_without_handlers_reads_all_ones)
{
	struct region deaf = { .start = 0x2000, .size = 1 };

	ASSERT_EQ(0, bus__add(&self->bus, &deaf));
	EXPECT_EQ(0xff, read_at(self, 0x2000, 1));
	bus__write(&self->bus, 0x2000, "a", 1);
}

TEST_F(bus, regions_do_not_overlap_wrap_or_have_no_size)
{
	static const struct {
		uint64_t start, size;
	} rows[] = {
		{ 0x1000, 0x10 }, { 0x1000, 1 },     { 0x100f, 1 },	     { 0xfff, 2 },
		{ 0xff0, 0x100 }, { 0, UINT64_MAX }, { 0x1008, 8 },	     { 0x100f, 0x100 },
		{ 0x2000, 0 },	  { 0x1000, 0 },     { 0x2000, UINT64_MAX }, { UINT64_MAX, 2 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct region region = { .start = rows[i].start, .size = rows[i].size };

		EXPECT_EQ(-1, bus__add(&self->bus, &region)) TH_LOG("row %zu", i);
	}
	EXPECT_EQ(-1, bus__add(&self->bus, &self->region));
	EXPECT_EQ(NULL, self->region.next);
}

TEST_F(bus, regions_touch_and_reach_the_last_address)
{
	struct region before = { 0xfff, 1, note_read, note_write, &self->probe, NULL };
	struct region last = { UINT64_MAX - 7, 8, note_read, note_write, &self->probe, NULL };
	struct region between = { 0x1010, 0x10, note_read, note_write, &self->probe, NULL };

	EXPECT_EQ(0, bus__add(&self->bus, &last));
	EXPECT_EQ(0, bus__add(&self->bus, &before));
	EXPECT_EQ(0, bus__add(&self->bus, &between));
	EXPECT_EQ(&before, self->bus.first);
	EXPECT_EQ(&self->region, before.next);
	EXPECT_EQ(&between, self->region.next);
	EXPECT_EQ(&last, between.next);
	EXPECT_EQ(0x5a, read_at(self, UINT64_MAX, 1));
	EXPECT_EQ(0xffff, read_at(self, UINT64_MAX, 2));
}

TEST_F(bus, what_is_removed_does_not_answer_and_its_place_is_free)
{
	struct region other = { 0x1008, 0x10, note_read, note_write, &self->probe, NULL };

	bus__remove(&self->bus, &other);
	bus__remove(&self->bus, &self->region);
	bus__remove(&self->bus, &self->region);
	EXPECT_EQ(0xff, read_at(self, 0x1000, 1));
	EXPECT_EQ(0, bus__add(&self->bus, &other));
	EXPECT_EQ(-1, bus__add(&self->bus, &self->region));
}

TEST_HARNESS_MAIN
