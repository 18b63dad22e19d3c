/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What tests of devices on the board (board.h) and on the PCI bus (machine.h) share: a
 * machine, its MMIO, and the routes that the kernel would have.
 */
#ifndef UNIT_TOOL_VM_H
#define UNIT_TOOL_VM_H

#include "complaints.h"

#include <linux/kvm.h>

#include "machine/machine.h"

static struct machine machine;
static struct msi routes[MAX_GSIS];

static void note_routes(const struct kvm_irq_routing *table)
{
	memset(routes, 0, sizeof(routes));
	for (unsigned int i = 0; i < table->nr; i++)
		routes[table->entries[i].gsi] = (struct msi){
			.address = (uint64_t)table->entries[i].u.msi.address_hi << 32 |
				   table->entries[i].u.msi.address_lo,
			.data = table->entries[i].u.msi.data,
		};
}

static inline uint64_t mmio_read(uint64_t address, unsigned int size)
{
	uint64_t value = 0;

	bus__read(&machine.mmio, address, &value, size);
	return value;
}

static inline void mmio_write(uint64_t address, uint64_t value, unsigned int size)
{
	bus__write(&machine.mmio, address, &value, size);
}

#endif
