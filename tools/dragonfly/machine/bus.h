/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which device answers at an address: one bus for ports, one for memory.
 */
#ifndef DRAGONFLY_BUS_H
#define DRAGONFLY_BUS_H

#include <stdint.h>

/*
 * A range of addresses and who answers there.  An access never crosses its end.
 * @data holds @size bytes, 1 to 8, little-endian; reads find it all ones.
 */
struct region {
	uint64_t start, size;
	void (*read)(void *device, uint64_t offset, void *data, unsigned int size);
	void (*write)(void *device, uint64_t offset, const void *data, unsigned int size);
	void *device;
	struct region *next;
};

struct bus {
	struct region *first; /* by address, no two overlap */
};

/* The region stays the caller's; -1 (without a sentence) if it overlaps another or wraps. */
int bus__add(struct bus *bus, struct region *region);
void bus__remove(struct bus *bus, struct region *region);

/* Where nobody answers, reads give all ones and writes go nowhere. */
void bus__read(struct bus *bus, uint64_t address, void *data, unsigned int size);
void bus__write(struct bus *bus, uint64_t address, const void *data, unsigned int size);

#endif
