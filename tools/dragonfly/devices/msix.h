/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * MSI-X: which message each of a PCI device's vectors is, and whether it may be sent.
 *
 * The device connects whatever signals a vector to its message while the vector is
 * open, and is asked what waits while it is not.
 */
#ifndef DRAGONFLY_MSIX_H
#define DRAGONFLY_MSIX_H

#include <stdbool.h>
#include <stdint.h>

#include "../machine/interrupt.h"
#include "pci.h"

#define MSIX_VECTORS 2048 /* that a device can have */

/* As the guest sees it. */
struct msix_entry {
	uint64_t address;
	uint32_t data, control;
};

struct msix {
	struct pci_device *pci;
	unsigned int nr, capability; /* vectors; where in configuration space */
	bool live; /* enabled, and not masked as a whole */
	struct msix_entry *table;
	/* A vector, or with -1 all of them, may have another message, or none. */
	void (*changed)(struct msix *msix, int vector);
	/* Somebody waits to send a vector that is not open. */
	bool (*pending)(struct msix *msix, unsigned int vector);
};

/* The capability, and @bar for table and pending bits. -1 without a sentence. */
int msix__create(struct msix *msix, struct pci_device *pci, unsigned int bar, unsigned int nr);
void msix__destroy(struct msix *msix);

/* For pci_device.written. */
void msix__written(struct msix *msix);

/* Whether a vector, of whatever number, is open: the message that it is then. */
bool msix__message(const struct msix *msix, unsigned int vector, struct msi *msi);

#endif
