/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The driver's side of a split virtqueue, for tests: rings in the guest's memory that
 * can be filled with anything.
 */
#ifndef UNIT_TOOL_RINGS_H
#define UNIT_TOOL_RINGS_H

#include <linux/virtio_ring.h>

#include "devices/virtio.h"

#define RING_ENTRIES 8

struct guest_ring {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
};

/* At three pages from @address on. */
static inline struct guest_ring guest_ring(const struct memory *memory, uint64_t address)
{
	return (struct guest_ring){
		.desc = memory__at(memory, address, 0x1000),
		.avail = memory__at(memory, address + 0x1000, 0x1000),
		.used = memory__at(memory, address + 0x2000, 0x1000),
	};
}

static inline void describe(struct guest_ring *ring, unsigned int index, uint64_t address,
			    uint32_t length, uint16_t flags, uint16_t next)
{
	ring->desc[index] = (struct vring_desc){
		.addr = address,
		.len = length,
		.flags = flags,
		.next = next,
	};
}

static inline void offer(struct guest_ring *ring, uint16_t head)
{
	ring->avail->ring[ring->avail->idx % RING_ENTRIES] = head;
	ring->avail->idx++;
}

#endif
