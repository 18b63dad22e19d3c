// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the guest's ACPI drives: power and hotplug registers, with slots that the
 * test fills.
 */
#include "board.h"

#include "devices/hotplug.h"
#include "devices/pci.h"
#include "devices/power.h"

#define DOWN (HOTPLUG_PORT + HOTPLUG_DOWN)
#define UP (HOTPLUG_PORT + HOTPLUG_UP)
#define EJECT (HOTPLUG_PORT + HOTPLUG_EJECT)
#define THERE (HOTPLUG_PORT + HOTPLUG_THERE)

/* The bus, in PCI's place. */
static struct pci_device devices[PCI_SLOTS];
static uint32_t filled, expected;

struct pci_device *pci__device(struct pci *pci, unsigned int slot)
{
	(void)pci;
	return filled >> slot & 1 ? &devices[slot] : NULL;
}

void pci__remove(struct pci *pci, struct pci_device *dev)
{
	(void)pci;
	filled &= ~(1U << (dev - devices));
}

void pci__expect(struct pci *pci, unsigned int slot, bool ejection)
{
	(void)pci;
	expected = ejection ? expected | 1U << slot : expected & ~(1U << slot);
}

FIXTURE(power)
{
	struct power *power;
	struct hotplug *hotplug;
};

FIXTURE_SETUP(power)
{
	board_setup();
	filled = 1;
	set_pin(HOTPLUG_IRQ, 0, 0x41 | LEVEL);
	set_pin(POWER_IRQ, 0, 0x51);
	self->power = power__create(&machine);
	self->hotplug = hotplug__create(&machine);
	ASSERT_NE(NULL, self->power);
	ASSERT_NE(NULL, self->hotplug);
}

FIXTURE_TEARDOWN(power)
{
	hotplug__destroy(self->hotplug);
	power__destroy(self->power);
	board_teardown();
}

/* ---- power ------------------------------------------------------------------------- */

TEST_F(power, of_all_values_one_powers_off)
{
	for (unsigned int value = 0; value < 256; value++) {
		machine.outcome = RUNNING;
		out(POWER_PORT + POWER_SLEEP_CONTROL, value, 1);
		EXPECT_EQ((value & 0x3c) == 0x34 ? POWERED_OFF : RUNNING, machine.outcome)
		TH_LOG("%x", value);
	}
}

TEST_F(power, of_all_values_one_resets)
{
	for (unsigned int value = 0; value < 256; value++) {
		machine.outcome = RUNNING;
		out(POWER_PORT + POWER_RESET, value, 1);
		EXPECT_EQ(value == POWER_RESET_VALUE ? RESET : RUNNING, machine.outcome)
		TH_LOG("%x", value);
	}
}

TEST_F(power, the_status_stays)
{
	for (unsigned int value = 0; value < 256; value++)
		out(POWER_PORT + POWER_SLEEP_STATUS, value, 1);
	EXPECT_EQ(0, in(POWER_PORT + POWER_SLEEP_STATUS, 1));
	EXPECT_EQ(RUNNING, machine.outcome);
}

TEST_F(power, the_button_is_one_interrupt)
{
	power__press(self->power);
	power__press(self->power);
	ASSERT_EQ(2, messages());
	EXPECT_EQ(0x51, sent[0].data);
}

/* ---- hotplug ----------------------------------------------------------------------- */

TEST_F(power, what_came_is_told_once)
{
	filled |= 1 << 3;
	hotplug__came(self->hotplug, 3);
	EXPECT_EQ(1, messages());
	EXPECT_EQ(1 << 3, in(UP, 4));
	EXPECT_EQ(0, in(UP, 4));
	EXPECT_EQ(1 << 3, in(THERE, 4));
	ioapic__eoi(machine.ioapic, 0x41);
	EXPECT_EQ(0, messages());
}

TEST_F(power, the_line_stays_high_until_all_is_read)
{
	hotplug__came(self->hotplug, 31);
	hotplug__ask(self->hotplug, 1);
	EXPECT_EQ(1, messages());
	EXPECT_EQ(1U << 31, in(UP, 4));
	ioapic__eoi(machine.ioapic, 0x41);
	EXPECT_EQ(1, messages());
	EXPECT_EQ(1 << 1, in(DOWN, 4));
	ioapic__eoi(machine.ioapic, 0x41);
	EXPECT_EQ(0, messages());
}

TEST_F(power, what_is_let_go_of_leaves_the_bus)
{
	filled |= 1 << 3 | 1 << 4;
	hotplug__ask(self->hotplug, 3);
	out(EJECT, 1 << 3, 4);
	EXPECT_EQ(1 << 4 | 1, filled);
	EXPECT_EQ(0, in(DOWN, 4));
	ioapic__eoi(machine.ioapic, 0x41);
	EXPECT_EQ(1, messages());
}

TEST_F(power, what_is_asked_for_is_expected_until_it_is_let_go_of)
{
	hotplug__ask(self->hotplug, 3);
	hotplug__ask(self->hotplug, 4);
	in(DOWN, 4);
	EXPECT_EQ(1 << 3 | 1 << 4, expected);
	out(EJECT, 1 << 3, 4);
	EXPECT_EQ(1 << 4, expected);
}

TEST_F(power, slots_are_emptied_by_whole_writes_and_never_the_bridges)
{
	filled = 0xffffffff;
	for (unsigned int size = 1; size <= 8; size *= 2)
		for (uint64_t port = HOTPLUG_PORT; port < HOTPLUG_PORT + 16; port++)
			if (port != EJECT || size != 4)
				out(port, ~0ULL, size);
	EXPECT_EQ(0xffffffff, filled);
	out(EJECT, 0xffffffff, 4);
	EXPECT_EQ(1, filled);
	out(EJECT, 0xffffffff, 4);
	EXPECT_EQ(1, filled);
}

TEST_F(power, a_part_of_a_register_is_not_read)
{
	hotplug__came(self->hotplug, 3);
	EXPECT_EQ(0, in(UP, 1));
	EXPECT_EQ(0, in(UP, 2));
	EXPECT_EQ(0, in(UP, 8));
	EXPECT_EQ(0, in(UP + 1, 4));
	EXPECT_EQ(1 << 3, in(UP, 4));
}

TEST_F(power, any_access_is_harmless)
{
	filled = 0xffffffff;
	access_at_random(&machine.ports, HOTPLUG_PORT - 8, 32);
	EXPECT_EQ(1, filled & 1);
	access_at_random(&machine.ports, POWER_PORT - 8, 16);
}

TEST_HARNESS_MAIN
