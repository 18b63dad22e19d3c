// SPDX-License-Identifier: GPL-2.0-only
#include "bus.h"

#include <stddef.h>
#include <string.h>

int bus__add(struct bus *bus, struct region *region)
{
	struct region **link = &bus->first;

	if (!region->size || region->start + region->size - 1 < region->start)
		return -1;
	while (*link && (*link)->start < region->start)
		link = &(*link)->next;
	if (*link && (*link)->start - region->start < region->size)
		return -1;
	for (struct region *r = bus->first; r != *link; r = r->next)
		if (region->start - r->start < r->size)
			return -1;
	region->next = *link;
	*link = region;
	return 0;
}

void bus__remove(struct bus *bus, struct region *region)
{
	struct region **link = &bus->first;

	while (*link && *link != region)
		link = &(*link)->next;
	if (*link)
		*link = region->next;
}

static struct region *find(struct bus *bus, uint64_t address, unsigned int size)
{
	for (struct region *r = bus->first; r && r->start <= address; r = r->next)
		if (address - r->start < r->size)
			return size <= r->size - (address - r->start) ? r : NULL;
	return NULL;
}

void bus__read(struct bus *bus, uint64_t address, void *data, unsigned int size)
{
	struct region *region = find(bus, address, size);

	memset(data, 0xff, size);
	if (region && region->read)
		region->read(region->device, address - region->start, data, size);
}

void bus__write(struct bus *bus, uint64_t address, const void *data, unsigned int size)
{
	struct region *region = find(bus, address, size);

	if (region && region->write)
		region->write(region->device, address - region->start, data, size);
}
