// SPDX-License-Identifier: GPL-2.0-only
/*
 * PCI hotplug: slots are bits of the registers, slot 0 (the host bridge) is none.
 */
#include "devices/hotplug.h"

#include <stdlib.h>
#include <string.h>

#include "devices/ioapic.h"
#include "devices/pci.h"
#include "dragonfly.h"
#include "machine/machine.h"

struct hotplug {
	struct machine *machine;
	struct region region;
	uint32_t up, down;
};

/* The line is high until the guest has read all that happened. */
static void update_line(struct hotplug *hotplug)
{
	ioapic__line(hotplug->machine->ioapic, HOTPLUG_IRQ, hotplug->up | hotplug->down);
}

static uint32_t slots_there(struct pci *pci)
{
	uint32_t there = 0;

	for (unsigned int slot = 1; slot < PCI_SLOTS; slot++)
		there |= pci__device(pci, slot) ? 1U << slot : 0;
	return there;
}

/* A slot is the guest's to empty, asked or not: a device that it lets go of is the host's again. */
static void eject(struct hotplug *hotplug, uint32_t slots)
{
	struct pci *pci = hotplug->machine->pci;

	for (unsigned int slot = 1; slot < PCI_SLOTS; slot++) {
		struct pci_device *dev = slots >> slot & 1 ? pci__device(pci, slot) : NULL;

		if (dev)
			pci__remove(pci, dev);
		if (slots >> slot & 1)
			pci__expect(pci, slot, false);
	}
	hotplug->down &= ~slots;
	update_line(hotplug);
}

static uint32_t take(uint32_t *slots)
{
	uint32_t taken = *slots;

	*slots = 0;
	return taken;
}

/* Registers are read and written whole; any other access finds nothing. */
static void hotplug_read(void *device, uint64_t offset, void *data, unsigned int size)
{
	struct hotplug *hotplug = device;
	uint32_t value = 0;

	memset(data, 0, size);
	if (size != sizeof(value))
		return;
	switch (offset) {
	case HOTPLUG_UP:
		value = take(&hotplug->up);
		break;
	case HOTPLUG_DOWN:
		value = take(&hotplug->down);
		break;
	case HOTPLUG_THERE:
		value = slots_there(hotplug->machine->pci);
		break;
	}
	memcpy(data, &value, sizeof(value));
	update_line(hotplug);
}

static void hotplug_write(void *device, uint64_t offset, const void *data, unsigned int size)
{
	uint32_t slots;

	if (offset != HOTPLUG_EJECT || size != sizeof(slots))
		return;
	memcpy(&slots, data, sizeof(slots));
	eject(device, slots);
}

void hotplug__came(struct hotplug *hotplug, unsigned int slot)
{
	hotplug->up |= 1U << slot;
	update_line(hotplug);
}

void hotplug__ask(struct hotplug *hotplug, unsigned int slot)
{
	hotplug->down |= 1U << slot;
	pci__expect(hotplug->machine->pci, slot, true);
	update_line(hotplug);
}

struct hotplug *hotplug__create(struct machine *machine)
{
	struct hotplug *hotplug = calloc(1, sizeof(*hotplug));

	if (!hotplug) {
		complain("no memory for the hotplug registers");
		return NULL;
	}
	hotplug->machine = machine;
	hotplug->region = (struct region){
		.start = HOTPLUG_PORT,
		.size = HOTPLUG_THERE + 4,
		.read = hotplug_read,
		.write = hotplug_write,
		.device = hotplug,
	};
	if (bus__add(&machine->ports, &hotplug->region)) {
		complain("something else is at the ports of the hotplug registers");
		free(hotplug);
		return NULL;
	}
	return hotplug;
}

void hotplug__destroy(struct hotplug *hotplug)
{
	if (!hotplug)
		return;
	bus__remove(&hotplug->machine->ports, &hotplug->region);
	free(hotplug);
}
