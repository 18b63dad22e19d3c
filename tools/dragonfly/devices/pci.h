/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PCI: one bus of 32 slots, by ECAM and by ports 0xcf8 and 0xcfc. Slot 0 is the
 * host bridge. Devices come and go while the guest runs (hotplug.h).
 */
#ifndef DRAGONFLY_PCI_H
#define DRAGONFLY_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include "../machine/bus.h"

#define PCI_SLOTS 32
#define PCI_BARS 6

struct machine;
struct pci;

/*
 * A 32-bit memory BAR; the region is on the bus while the guest has memory decoding
 * on and the BAR lies in PCI_WINDOW, where no other does.
 */
struct pci_bar {
	struct region region; /* size a power of two, at least a page; 0: no BAR */
	bool mapped;
};

struct pci_device {
	struct machine *machine;
	unsigned int slot;
	uint8_t config[256];
	uint8_t writable[256]; /* which bits of it the guest may write */
	unsigned int capabilities; /* bytes of them so far */
	struct pci_bar bars[PCI_BARS];
	/* After a BAR has come or gone; moving is both. May be NULL, as all of these. */
	void (*mapped)(struct pci_device *dev, unsigned int bar);
	/* Before the guest reads from configuration space, and after it has written. */
	void (*reading)(struct pci_device *dev, unsigned int offset, unsigned int size);
	void (*written)(struct pci_device *dev, unsigned int offset, unsigned int size);
	/* It has left the bus: by ejection, or at the machine's end. */
	void (*removed)(struct pci_device *dev);
};

struct pci *pci__create(struct machine *machine);
void pci__destroy(struct pci *pci); /* removes all devices */

/* Into the next free slot; -1 (with a sentence) if there is none. */
int pci__add(struct pci *pci, struct pci_device *dev);

/* Takes it off the bus, now, and calls removed(). */
void pci__remove(struct pci *pci, struct pci_device *dev);

/*
 * Will the guest eject what is, or was, in a slot? Whatever is there by then goes, so
 * that others come there last.
 */
void pci__expect(struct pci *pci, unsigned int slot, bool ejection);

/* The one in a slot, or NULL. */
struct pci_device *pci__device(struct pci *pci, unsigned int slot);

/* Who it is, before it is added. */
void pci__identify(struct pci_device *dev, uint16_t vendor, uint16_t device, uint8_t base_class);

/* Puts a capability of @size bytes, its ID the first of them, into the list; returns where. */
unsigned int pci__add_capability(struct pci_device *dev, const void *capability, unsigned int size);

/* A register of configuration space, 1 to 4 bytes, as the device itself sees it. */
uint32_t pci__get(const struct pci_device *dev, unsigned int offset, unsigned int size);
void pci__set(struct pci_device *dev, unsigned int offset, unsigned int size, uint32_t value);

#endif
