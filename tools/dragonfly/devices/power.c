// SPDX-License-Identifier: GPL-2.0-only
/*
 * Power-off, reset and the power button.
 */
#include "devices/power.h"

#include <stdlib.h>
#include <string.h>

#include "devices/ioapic.h"
#include "dragonfly.h"
#include "machine/machine.h"

/* ACPI: the sleep control register */
#define SLEEP_TYPE 2 /* 3 bits from here */
#define SLEEP_ENABLE (1U << 5)

struct power {
	struct machine *machine;
	struct region region;
};

/* The guest never wakes, so the status is 0 for good. */
static void power_read(void *device, uint64_t offset, void *data, unsigned int size)
{
	(void)device;
	(void)offset;
	memset(data, 0, size);
}

static void write_byte(struct machine *machine, uint64_t offset, uint8_t value)
{
	bool sleeps = offset == POWER_SLEEP_CONTROL && value & SLEEP_ENABLE;

	if (sleeps && (value >> SLEEP_TYPE & 7) == POWER_S5)
		machine__stop(machine, POWERED_OFF);
	else if (offset == POWER_RESET && value == POWER_RESET_VALUE)
		machine__stop(machine, RESET);
}

static void power_write(void *device, uint64_t offset, const void *data, unsigned int size)
{
	const uint8_t *bytes = data;
	struct power *power = device;

	for (unsigned int i = 0; i < size; i++)
		write_byte(power->machine, offset + i, bytes[i]);
}

void power__press(struct power *power)
{
	ioapic__line(power->machine->ioapic, POWER_IRQ, true);
	ioapic__line(power->machine->ioapic, POWER_IRQ, false);
}

struct power *power__create(struct machine *machine)
{
	struct power *power = calloc(1, sizeof(*power));

	if (!power) {
		complain("no memory for the power registers");
		return NULL;
	}
	power->machine = machine;
	power->region = (struct region){
		.start = POWER_PORT,
		.size = POWER_RESET + 1,
		.read = power_read,
		.write = power_write,
		.device = power,
	};
	if (bus__add(&machine->ports, &power->region)) {
		complain("something else is at the ports of the power registers");
		free(power);
		return NULL;
	}
	return power;
}

void power__destroy(struct power *power)
{
	if (!power)
		return;
	bus__remove(&power->machine->ports, &power->region);
	free(power);
}
