// SPDX-License-Identifier: GPL-2.0-only
/*
 * MSI-X, after the PCI specification's "MSI-X Capability and Table Structure".
 */
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>

#include "devices/msix.h"

#define PAGE 4096

_Static_assert(sizeof(struct msix_entry) == PCI_MSIX_ENTRY_SIZE, "the table is the guest's");

static unsigned int pba_offset(const struct msix *msix)
{
	return msix->nr * PCI_MSIX_ENTRY_SIZE;
}

static bool masked(const struct msix_entry *entry)
{
	return entry->control & PCI_MSIX_ENTRY_CTRL_MASKBIT;
}

bool msix__message(const struct msix *msix, unsigned int vector, struct msi *msi)
{
	const struct msix_entry *entry = msix->table + vector;

	if (!msix->live || vector >= msix->nr || masked(entry))
		return false;
	*msi = (struct msi){ .address = entry->address, .data = entry->data };
	return true;
}

void msix__written(struct msix *msix)
{
	uint16_t flags = pci__get(msix->pci, msix->capability + PCI_MSIX_FLAGS, 2);
	bool live = (flags & PCI_MSIX_FLAGS_ENABLE) && !(flags & PCI_MSIX_FLAGS_MASKALL);

	if (live == msix->live)
		return;
	msix->live = live;
	msix->changed(msix, -1);
}

/* What the specification defines: whole and aligned words of 4 or 8 bytes. */
static bool defined(uint64_t offset, unsigned int size)
{
	return (size == 4 || size == 8) && offset % size == 0;
}

static uint8_t pending_bits(struct msix *msix, unsigned int first)
{
	struct msi msi;
	uint8_t bits = 0;

	for (unsigned int i = 0; i < 8 && first + i < msix->nr; i++)
		if (!msix__message(msix, first + i, &msi) && msix->pending(msix, first + i))
			bits |= 1 << i;
	return bits;
}

static void msix_read(void *device, uint64_t offset, void *data, unsigned int size)
{
	struct msix *msix = device;
	uint8_t *bytes = data;

	if (!defined(offset, size))
		return;
	if (offset + size <= pba_offset(msix)) {
		memcpy(data, (char *)msix->table + offset, size);
		return;
	}
	for (unsigned int i = 0; i < size; i++)
		bytes[i] = pending_bits(msix, (offset - pba_offset(msix) + i) * 8);
}

static void msix_write(void *device, uint64_t offset, const void *data, unsigned int size)
{
	struct msix *msix = device;
	unsigned int vector = offset / PCI_MSIX_ENTRY_SIZE;
	struct msix_entry was, *entry = msix->table + vector;

	if (!defined(offset, size) || vector >= msix->nr)
		return;
	was = *entry;
	memcpy((char *)entry + offset % PCI_MSIX_ENTRY_SIZE, data, size);
	entry->control &= PCI_MSIX_ENTRY_CTRL_MASKBIT;
	if (msix->live && (!masked(&was) || !masked(entry)) && memcmp(&was, entry, sizeof(was)))
		msix->changed(msix, vector);
}

static void add_capability(struct msix *msix, unsigned int bar)
{
	static const uint8_t capability[PCI_CAP_MSIX_SIZEOF] = { PCI_CAP_ID_MSIX };
	unsigned int at = pci__add_capability(msix->pci, capability, sizeof(capability));

	pci__set(msix->pci, at + PCI_MSIX_FLAGS, 2, msix->nr - 1);
	pci__set(msix->pci, at + PCI_MSIX_TABLE, 4, bar);
	pci__set(msix->pci, at + PCI_MSIX_PBA, 4, pba_offset(msix) | bar);
	/* The two flags lie in the upper byte. */
	msix->pci->writable[at + PCI_MSIX_FLAGS + 1] =
		(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL) >> 8;
	msix->capability = at;
}

int msix__create(struct msix *msix, struct pci_device *pci, unsigned int bar, unsigned int nr)
{
	struct region *region = &pci->bars[bar].region;

	msix->table = calloc(nr, sizeof(*msix->table));
	if (!msix->table)
		return -1;
	for (unsigned int i = 0; i < nr; i++)
		msix->table[i].control = PCI_MSIX_ENTRY_CTRL_MASKBIT;
	msix->pci = pci;
	msix->nr = nr;
	*region = (struct region){
		.size = PAGE, .read = msix_read, .write = msix_write, .device = msix
	};
	while (region->size < pba_offset(msix) + (nr + 63) / 64 * sizeof(uint64_t))
		region->size *= 2;
	add_capability(msix, bar);
	return 0;
}

void msix__destroy(struct msix *msix)
{
	free(msix->table);
}
