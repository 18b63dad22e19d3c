// SPDX-License-Identifier: GPL-2.0-only
/*
 * The IOAPIC, by its registers and lines, and the messages that it sends.
 */
#include "board.h"

#define EOI (IOAPIC_ADDRESS + 0x40)

FIXTURE(ioapic)
{
	struct ioapic *ioapic;
};

FIXTURE_SETUP(ioapic)
{
	board_setup();
	self->ioapic = machine.ioapic;
	ASSERT_NE(NULL, self->ioapic);
}

FIXTURE_TEARDOWN(ioapic)
{
	board_teardown();
}

/* ---- registers --------------------------------------------------------------------- */

TEST_F(ioapic, it_has_24_pins_and_an_eoi_register)
{
	EXPECT_EQ(0x00170020, ioapic_get(1));
	for (unsigned int pin = 0; pin < IOAPIC_PINS; pin++) {
		EXPECT_EQ(MASKED, ioapic_get(0x10 + 2 * pin));
		EXPECT_EQ(0, ioapic_get(0x11 + 2 * pin));
	}
}

TEST_F(ioapic, entries_keep_what_is_writable)
{
	for (unsigned int pin = 0; pin < IOAPIC_PINS; pin++) {
		set_pin(pin, 0xffffffff, 0xffffffff);
		EXPECT_EQ(0x1afff, ioapic_get(0x10 + 2 * pin));
		EXPECT_EQ(0xfffe0000, ioapic_get(0x11 + 2 * pin));
	}
	ioapic_set(0, 0xffffffff);
	EXPECT_EQ(0x0f000000, ioapic_get(0));
	EXPECT_EQ(0x0f000000, ioapic_get(2));
}

TEST_F(ioapic, registers_that_are_not_there_are_zero)
{
	for (unsigned int number = 3; number < 256; number++) {
		if (number >= 0x10 && number < 0x10 + 2 * IOAPIC_PINS)
			continue;
		ioapic_set(number, 0xffffffff);
		EXPECT_EQ(0, ioapic_get(number)) TH_LOG("%x", number);
	}
	EXPECT_EQ(0x00170020, ioapic_get(1));
}

TEST_F(ioapic, any_access_is_harmless)
{
	access_at_random(&machine.mmio, IOAPIC_ADDRESS - 8, 0x60);
	access_at_random(&machine.mmio, IOAPIC_ADDRESS, 0x1008);
	EXPECT_EQ(RUNNING, machine.outcome);
}

TEST_F(ioapic, narrow_and_wide_accesses_are_of_the_first_bytes)
{
	mmio_write(IOAPIC_ADDRESS, 0x1234567800000001, 8);
	EXPECT_EQ(0x00170020, mmio_read(IOAPIC_ADDRESS + 0x10, 8));
	EXPECT_EQ(0x20, mmio_read(IOAPIC_ADDRESS + 0x10, 1));
	EXPECT_EQ(1, mmio_read(IOAPIC_ADDRESS, 2));
	EXPECT_EQ(0, mmio_read(IOAPIC_ADDRESS + 1, 1));
	EXPECT_EQ(0, mmio_read(IOAPIC_ADDRESS + 0x11, 2));
}

/* ---- messages ---------------------------------------------------------------------- */

TEST_F(ioapic, a_message_is_where_the_entry_says)
{
	static const struct {
		uint32_t destination, entry, address, data;
	} rows[] = {
		{ 0x00000000, 0x00031, 0xfee00000, 0x0031 },
		{ 0x01000000, 0x00131, 0xfee01000, 0x0131 }, /* lowest priority */
		{ 0xff000000, 0x00831, 0xfeeff004, 0x0031 }, /* logical */
		{ 0x00020000, 0x00031, 0xfee00020, 0x0031 }, /* ID 256 */
		{ 0x7ffe0000, 0x00031, 0xfee7ffe0 & ~0x1f, 0x0031 },
		{ 0x03000000, 0x0a031, 0xfee03000, 0xc031 }, /* level, active low */
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		unsigned int pin = i + 3;

		set_pin(pin, rows[i].destination, rows[i].entry);
		ioapic__line(self->ioapic, pin, true);
		ASSERT_EQ(1, messages()) TH_LOG("row %zu", i);
		EXPECT_EQ(rows[i].address, sent[0].address_lo) TH_LOG("row %zu", i);
		EXPECT_EQ(0, sent[0].address_hi);
		EXPECT_EQ(rows[i].data, sent[0].data) TH_LOG("row %zu", i);
		EXPECT_EQ(rows[i].address, routes[pin].address) TH_LOG("row %zu", i);
		EXPECT_EQ(rows[i].data, routes[pin].data) TH_LOG("row %zu", i);
	}
}

TEST_F(ioapic, an_edge_sends_once)
{
	set_pin(4, 0, 0x31);
	ioapic__line(self->ioapic, 4, true);
	ioapic__line(self->ioapic, 4, true);
	EXPECT_EQ(1, messages());
	ioapic__line(self->ioapic, 4, false);
	EXPECT_EQ(0, messages());
	ioapic__line(self->ioapic, 4, true);
	EXPECT_EQ(1, messages());
	EXPECT_EQ(0x31, ioapic_get(0x18));
}

TEST_F(ioapic, an_edge_at_a_masked_pin_is_lost)
{
	ioapic__line(self->ioapic, 4, true);
	set_pin(4, 0, 0x31);
	EXPECT_EQ(0, messages());
	ioapic__line(self->ioapic, 4, false);
	ioapic__line(self->ioapic, 4, true);
	EXPECT_EQ(1, messages());
}

TEST_F(ioapic, a_level_sends_again_after_eoi_while_it_is_high)
{
	set_pin(5, 0, 0x41 | LEVEL);
	ioapic__line(self->ioapic, 5, true);
	EXPECT_EQ(1, messages());
	EXPECT_EQ(0x41 | LEVEL | REMOTE_IRR, ioapic_get(0x1a));
	ioapic__line(self->ioapic, 5, false);
	ioapic__line(self->ioapic, 5, true);
	EXPECT_EQ(0, messages());
	ioapic__eoi(self->ioapic, 0x42);
	EXPECT_EQ(0, messages());
	ioapic__eoi(self->ioapic, 0x41);
	EXPECT_EQ(1, messages());
	ioapic__line(self->ioapic, 5, false);
	mmio_write(EOI, 0x41, 4);
	EXPECT_EQ(0, messages());
	EXPECT_EQ(0x41 | LEVEL, ioapic_get(0x1a));
}

/* As Linux does for threaded handlers. */
TEST_F(ioapic, a_level_that_was_masked_meanwhile_sends_when_it_is_not)
{
	set_pin(5, 0, 0x41 | LEVEL);
	ioapic__line(self->ioapic, 5, true);
	EXPECT_EQ(1, messages());
	ioapic_set(0x1a, 0x41 | LEVEL | MASKED);
	ioapic__eoi(self->ioapic, 0x41);
	EXPECT_EQ(0, messages());
	EXPECT_EQ(0xc041, routes[5].data);
	ioapic_set(0x1a, 0x41 | LEVEL);
	EXPECT_EQ(1, messages());
}

/* The kernel tells of EOIs by route: that of what was sent must stay. */
TEST_F(ioapic, a_masked_pin_keeps_its_route)
{
	set_pin(5, 0, 0x41 | LEVEL);
	ioapic_set(0x1a, 0x51 | LEVEL | MASKED);
	EXPECT_EQ(0xc041, routes[5].data);
	ioapic_set(0x1a, 0x51 | LEVEL);
	EXPECT_EQ(0xc051, routes[5].data);
}

TEST_F(ioapic, to_edge_and_back_forgets_an_eoi)
{
	set_pin(5, 0, 0x41 | LEVEL);
	ioapic__line(self->ioapic, 5, true);
	ioapic__line(self->ioapic, 5, false);
	ioapic_set(0x1a, 0x41 | MASKED);
	ioapic_set(0x1a, 0x41 | LEVEL);
	EXPECT_EQ(0x41 | LEVEL, ioapic_get(0x1a));
}

TEST_F(ioapic, one_eoi_is_for_all_pins_of_the_vector)
{
	set_pin(5, 0, 0x41 | LEVEL);
	set_pin(6, 0, 0x41 | LEVEL);
	ioapic__line(self->ioapic, 5, true);
	ioapic__line(self->ioapic, 6, true);
	EXPECT_EQ(2, messages());
	ioapic__eoi(self->ioapic, 0x41);
	EXPECT_EQ(2, messages());
}

TEST_HARNESS_MAIN
