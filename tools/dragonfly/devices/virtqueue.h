/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A split virtqueue that the tool serves itself, on rings that a guest may have
 * filled with anything: what is not a chain of its memory breaks the device.
 */
#ifndef DRAGONFLY_VIRTQUEUE_H
#define DRAGONFLY_VIRTQUEUE_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "virtio.h"

#define RING_MAX 256 /* entries of a ring served here */
#define CHAIN_MAX 0x100000 /* bytes of a chain: what nobody has reason to exceed */

struct ring {
	struct virtio_device *dev;
	struct virtqueue *vq;
	const struct vring_desc *desc;
	const struct vring_avail *avail;
	struct vring_used *used;
	uint16_t next; /* of avail */
	bool events; /* the driver looks at avail_event before it kicks */
};

/* Buffers of the guest's: first those that the device reads, then those that it writes. */
struct chain {
	uint16_t head;
	unsigned int readable, writable; /* how many of @buffers */
	struct iovec buffers[RING_MAX];
};

/* At DRIVER_OK, for an enabled queue; -1 if it does not lie in memory. */
int ring__start(struct ring *ring, struct virtio_device *dev, struct virtqueue *vq);

/* The next chain, if there is one and the device is not broken. */
bool ring__pop(struct ring *ring, struct chain *chain);

/* Gives it back with @written bytes; tell the guest by ring__call() when all are. */
void ring__push(struct ring *ring, const struct chain *chain, uint32_t written);
void ring__call(const struct ring *ring);

#endif
