// SPDX-License-Identifier: GPL-2.0-only
/*
 * The PCI bus: configuration space and where it shows, BARs and where they lie.
 *
 * No BAR answers outside PCI_WINDOW: the host bridge forwards nothing else. So the
 * guest cannot move one over its memory, the ECAM or an interrupt controller.
 */
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>

#include "dragonfly.h"
#include "devices/pci.h"
#include "machine/machine.h"

/* Configuration mechanism #1 */
#define CONFIG_PORT 0xcf8
#define CONFIG_DATA 4 /* 0xcfc */
#define CONFIG_PORTS 8
#define CONFIG_ENABLE 0x80000000U

/* QEMU's generic host bridge: no operating system has quirks for it. */
#define BRIDGE_VENDOR 0x1b36
#define BRIDGE_DEVICE 0x0008
#define BRIDGE_CLASS 0x06 /* base class: bridge; subclass 0: to the host */

struct pci {
	struct machine *machine;
	struct pci_device *slots[PCI_SLOTS];
	uint32_t ejected; /* slots, soon */
	struct pci_device bridge;
	struct region ecam, ports;
	uint32_t address; /* what is written to CONFIG_PORT */
};

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

uint32_t pci__get(const struct pci_device *dev, unsigned int offset, unsigned int size)
{
	uint32_t value = 0;

	memcpy(&value, dev->config + offset, size);
	return value;
}

void pci__set(struct pci_device *dev, unsigned int offset, unsigned int size, uint32_t value)
{
	memcpy(dev->config + offset, &value, size);
}

static unsigned int bar_register(unsigned int bar)
{
	return PCI_BASE_ADDRESS_0 + bar * 4;
}

static uint64_t bar_address(const struct pci_device *dev, unsigned int bar)
{
	return pci__get(dev, bar_register(bar), 4) & PCI_BASE_ADDRESS_MEM_MASK;
}

static bool bar_decoded(const struct pci_device *dev, unsigned int bar)
{
	uint64_t address = bar_address(dev, bar), size = dev->bars[bar].region.size;

	return size && (pci__get(dev, PCI_COMMAND, 2) & PCI_COMMAND_MEMORY) &&
	       address >= PCI_WINDOW && address + size <= PCI_WINDOW + PCI_WINDOW_SIZE;
}

static void unmap(struct pci_device *dev, unsigned int bar)
{
	bus__remove(&dev->machine->mmio, &dev->bars[bar].region);
	dev->bars[bar].mapped = false;
	if (dev->mapped)
		dev->mapped(dev, bar);
}

static void map(struct pci_device *dev, unsigned int bar)
{
	struct region *region = &dev->bars[bar].region;

	region->start = bar_address(dev, bar);
	if (bus__add(&dev->machine->mmio, region))
		return;
	dev->bars[bar].mapped = true;
	if (dev->mapped)
		dev->mapped(dev, bar);
}

static void unmap_moved(struct pci_device *dev)
{
	for (unsigned int i = 0; i < PCI_BARS; i++)
		if (dev->bars[i].mapped &&
		    (!bar_decoded(dev, i) || dev->bars[i].region.start != bar_address(dev, i)))
			unmap(dev, i);
}

static void map_decoded(struct pci_device *dev)
{
	for (unsigned int i = 0; i < PCI_BARS; i++)
		if (!dev->bars[i].mapped && bar_decoded(dev, i))
			map(dev, i);
}

/* All devices' BARs: one that moves away makes room for another that waits for it. */
static void remap(struct pci *pci)
{
	for (unsigned int i = 0; i < PCI_SLOTS; i++)
		if (pci->slots[i])
			unmap_moved(pci->slots[i]);
	for (unsigned int i = 0; i < PCI_SLOTS; i++)
		if (pci->slots[i])
			map_decoded(pci->slots[i]);
}

/* How much of an access to a function's 4 KiB lies in what a conventional device has. */
static unsigned int clip(const struct pci_device *dev, unsigned int offset, unsigned int size)
{
	if (!dev || offset >= sizeof(dev->config))
		return 0;
	return size < sizeof(dev->config) - offset ? size : sizeof(dev->config) - offset;
}

static void config_read(struct pci_device *dev, unsigned int offset, void *data, unsigned int size)
{
	size = clip(dev, offset, size);
	if (!size)
		return;
	if (dev->reading)
		dev->reading(dev, offset, size);
	memcpy(data, dev->config + offset, size);
}

static void config_write(struct pci *pci, struct pci_device *dev, unsigned int offset,
			 const uint8_t *data, unsigned int size)
{
	size = clip(dev, offset, size);
	if (!size)
		return;
	for (unsigned int i = 0; i < size; i++) {
		uint8_t *byte = &dev->config[offset + i], mask = dev->writable[offset + i];

		*byte = (*byte & ~mask) | (data[i] & mask);
	}
	if (overlap(offset, size, PCI_COMMAND, 2) ||
	    overlap(offset, size, PCI_BASE_ADDRESS_0, PCI_BARS * 4))
		remap(pci);
	if (dev->written)
		dev->written(dev, offset, size);
}

/* Devices have one function each. */
static struct pci_device *ecam_device(const struct pci *pci, uint64_t offset)
{
	return (offset >> 12) % 8 ? NULL : pci->slots[(offset >> 15) % PCI_SLOTS];
}

static void ecam_read(void *device, uint64_t offset, void *data, unsigned int size)
{
	config_read(ecam_device(device, offset), offset % 4096, data, size);
}

static void ecam_write(void *device, uint64_t offset, const void *data, unsigned int size)
{
	config_write(device, ecam_device(device, offset), offset % 4096, data, size);
}

/* The register that CONFIG_PORT selects, as an offset into the ECAM; -1: none. */
static int64_t selected(const struct pci *pci, uint64_t port)
{
	uint32_t bus = pci->address >> 16 & 0xff, function = pci->address >> 8 & 0xff;

	if (port < CONFIG_DATA || !(pci->address & CONFIG_ENABLE) || bus)
		return -1;
	return function << 12 | (pci->address & 0xfc) | (port - CONFIG_DATA);
}

static void port_read(void *device, uint64_t port, void *data, unsigned int size)
{
	struct pci *pci = device;
	int64_t at = selected(pci, port);

	if (!port && size == sizeof(pci->address))
		memcpy(data, &pci->address, size);
	else if (at >= 0)
		ecam_read(pci, at, data, size);
}

static void port_write(void *device, uint64_t port, const void *data, unsigned int size)
{
	struct pci *pci = device;
	int64_t at = selected(pci, port);

	if (!port && size == sizeof(pci->address))
		memcpy(&pci->address, data, size);
	else if (at >= 0)
		ecam_write(pci, at, data, size);
}

void pci__identify(struct pci_device *dev, uint16_t vendor, uint16_t device, uint8_t base_class)
{
	pci__set(dev, PCI_VENDOR_ID, 2, vendor);
	pci__set(dev, PCI_DEVICE_ID, 2, device);
	pci__set(dev, PCI_SUBSYSTEM_VENDOR_ID, 2, vendor);
	pci__set(dev, PCI_SUBSYSTEM_ID, 2, device);
	pci__set(dev, PCI_CLASS_DEVICE + 1, 1, base_class);
}

unsigned int pci__add_capability(struct pci_device *dev, const void *capability, unsigned int size)
{
	unsigned int at = PCI_STD_HEADER_SIZEOF + dev->capabilities;

	memcpy(dev->config + at, capability, size);
	dev->config[at + PCI_CAP_LIST_NEXT] = dev->config[PCI_CAPABILITY_LIST];
	dev->config[PCI_CAPABILITY_LIST] = at;
	dev->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	dev->capabilities += (size + 3) & ~3U;
	return at;
}

static bool taken(const struct pci *pci, uint64_t start, uint64_t size)
{
	for (unsigned int i = 0; i < PCI_SLOTS; i++)
		for (unsigned int bar = 0; pci->slots[i] && bar < PCI_BARS; bar++)
			if (overlap(start, size, bar_address(pci->slots[i], bar),
				    pci->slots[i]->bars[bar].region.size))
				return true;
	return false;
}

/* No firmware does it. */
static int assign_bar(struct pci *pci, struct pci_device *dev, unsigned int bar)
{
	uint64_t size = dev->bars[bar].region.size, start = PCI_WINDOW;
	uint32_t writable = -size;

	if (!size)
		return 0;
	while (taken(pci, start, size))
		start += size;
	if (start + size > PCI_WINDOW + PCI_WINDOW_SIZE)
		return -1;
	memcpy(dev->writable + bar_register(bar), &writable, sizeof(writable));
	pci__set(dev, bar_register(bar), 4, start);
	return 0;
}

/* The first, but those that are to be ejected only if there is no other. */
static unsigned int free_slot(const struct pci *pci)
{
	unsigned int last = PCI_SLOTS;

	for (unsigned int slot = 0; slot < PCI_SLOTS; slot++) {
		if (pci->slots[slot])
			continue;
		if (!(pci->ejected >> slot & 1))
			return slot;
		last = slot;
	}
	return last;
}

int pci__add(struct pci *pci, struct pci_device *dev)
{
	unsigned int slot = free_slot(pci);

	if (slot == PCI_SLOTS)
		return complain("all %d PCI slots are taken: release a queue first", PCI_SLOTS);
	dev->machine = pci->machine;
	dev->slot = slot;
	dev->writable[PCI_COMMAND] = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	dev->writable[PCI_INTERRUPT_LINE] = 0xff;
	pci->slots[slot] = dev;
	for (unsigned int bar = 0; bar < PCI_BARS; bar++)
		if (assign_bar(pci, dev, bar)) {
			pci->slots[slot] = NULL;
			return complain("no room for one more PCI device of so many queues");
		}
	return 0;
}

void pci__remove(struct pci *pci, struct pci_device *dev)
{
	for (unsigned int bar = 0; bar < PCI_BARS; bar++)
		if (dev->bars[bar].mapped)
			unmap(dev, bar);
	pci->slots[dev->slot] = NULL;
	remap(pci);
	if (dev->removed)
		dev->removed(dev);
}

void pci__expect(struct pci *pci, unsigned int slot, bool ejection)
{
	uint32_t bit = 1U << slot;

	pci->ejected = ejection ? pci->ejected | bit : pci->ejected & ~bit;
}

struct pci_device *pci__device(struct pci *pci, unsigned int slot)
{
	return slot < PCI_SLOTS ? pci->slots[slot] : NULL;
}

struct pci *pci__create(struct machine *machine)
{
	struct pci *pci = calloc(1, sizeof(*pci));

	if (!pci) {
		complain("there is no memory for the PCI bus");
		return NULL;
	}
	pci->machine = machine;
	pci->ecam = (struct region){
		.start = PCI_ECAM,
		.size = PCI_ECAM_SIZE,
		.read = ecam_read,
		.write = ecam_write,
		.device = pci,
	};
	pci->ports = (struct region){
		.start = CONFIG_PORT,
		.size = CONFIG_PORTS,
		.read = port_read,
		.write = port_write,
		.device = pci,
	};
	/* Nobody else's are these addresses. */
	bus__add(&machine->mmio, &pci->ecam);
	bus__add(&machine->ports, &pci->ports);
	pci__identify(&pci->bridge, BRIDGE_VENDOR, BRIDGE_DEVICE, BRIDGE_CLASS);
	pci__add(pci, &pci->bridge);
	return pci;
}

void pci__destroy(struct pci *pci)
{
	if (!pci)
		return;
	for (unsigned int slot = PCI_SLOTS; slot--;)
		if (pci->slots[slot])
			pci__remove(pci, pci->slots[slot]);
	bus__remove(&pci->machine->mmio, &pci->ecam);
	bus__remove(&pci->machine->ports, &pci->ports);
	free(pci);
}
