// SPDX-License-Identifier: GPL-2.0-only
/*
 * Split virtqueues, after "Split Virtqueues" of the virtio specification, with
 * indirect descriptors and event indices where the driver has accepted them.
 *
 * The guest can change all of it at any moment: each value is read once.
 */
#include "devices/virtqueue.h"

#include <linux/virtio_config.h>

#include "machine/machine.h"

#define read_once(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define FEATURE(bit) (1ULL << (bit))

/* What is not aligned as the specification demands is no ring. */
static void *at(const struct ring *ring, uint64_t address, uint64_t size, uint64_t align)
{
	return address % align ? NULL : memory__at(&ring->dev->machine->memory, address, size);
}

int ring__start(struct ring *ring, struct virtio_device *dev, struct virtqueue *vq)
{
	const uint64_t size = vq->size;
	uint64_t event;

	*ring = (struct ring){ .dev = dev, .vq = vq };
	if (!size || size > RING_MAX || size & (size - 1))
		return -1;
	ring->events = dev->negotiated & FEATURE(VIRTIO_RING_F_EVENT_IDX);
	event = ring->events ? sizeof(__virtio16) : 0; /* at the end of both */
	ring->desc = at(ring, vq->desc, size * sizeof(*ring->desc), VRING_DESC_ALIGN_SIZE);
	ring->avail = at(ring, vq->driver, sizeof(*ring->avail) + size * sizeof(__virtio16) + event,
			 VRING_AVAIL_ALIGN_SIZE);
	ring->used = at(ring, vq->device,
			sizeof(*ring->used) + size * sizeof(*ring->used->ring) + event,
			VRING_USED_ALIGN_SIZE);
	return ring->desc && ring->avail && ring->used ? 0 : -1;
}

/* Adds a descriptor to the chain: false if it must not be there. */
static bool add(const struct ring *ring, struct chain *chain, const struct vring_desc *desc)
{
	unsigned int nr = chain->readable + chain->writable;
	bool writable = desc->flags & VRING_DESC_F_WRITE;
	void *buffer;

	if (nr == ring->vq->size || !desc->len)
		return false;
	if (!writable && chain->writable)
		return false;
	buffer = memory__at(&ring->dev->machine->memory, desc->addr, desc->len);
	if (!buffer)
		return false;
	chain->buffers[nr] = (struct iovec){ .iov_base = buffer, .iov_len = desc->len };
	if (writable)
		chain->writable++;
	else
		chain->readable++;
	return true;
}

/* Where descriptors are: the ring's own table, or an indirect one. */
struct table {
	const struct vring_desc *descs;
	unsigned int size;
	bool indirect; /* also where it is the very memory of the ring's */
};

/* An indirect table ends the chain, and has no other below it. */
static bool enter(const struct ring *ring, struct table *table, const struct vring_desc *desc)
{
	if (!(ring->dev->negotiated & FEATURE(VIRTIO_RING_F_INDIRECT_DESC)) || table->indirect ||
	    desc->flags & VRING_DESC_F_NEXT || desc->len % sizeof(*table->descs))
		return false;
	table->descs = at(ring, desc->addr, desc->len, __alignof__(*table->descs));
	table->size = desc->len / sizeof(*table->descs);
	table->indirect = true;
	return table->descs;
}

/* A loop ends where the chain has more descriptors than the ring. */
static bool walk(const struct ring *ring, struct chain *chain)
{
	struct table table = { ring->desc, ring->vq->size, false };
	uint16_t index = chain->head;
	uint64_t bytes = 0;

	for (;;) {
		const struct vring_desc *place = table.descs + index;
		struct vring_desc desc;

		if (index >= table.size)
			return false;
		desc.addr = read_once(place->addr);
		desc.len = read_once(place->len);
		desc.flags = read_once(place->flags);
		desc.next = read_once(place->next);
		if (desc.flags & VRING_DESC_F_INDIRECT) {
			if (!enter(ring, &table, &desc))
				return false;
			index = 0;
			continue;
		}
		bytes += desc.len;
		if (bytes > CHAIN_MAX || !add(ring, chain, &desc))
			return false;
		if (!(desc.flags & VRING_DESC_F_NEXT))
			return true;
		index = desc.next;
	}
}

/* Acquire: the entries below the index were written before it. */
static uint16_t count_waiting(const struct ring *ring)
{
	return __atomic_load_n(&ring->avail->idx, __ATOMIC_ACQUIRE) - ring->next;
}

/* The driver kicks when it adds this one; it may have added it before it knew. */
static uint16_t wait_for_next(const struct ring *ring)
{
	__virtio16 *avail_event = (__virtio16 *)&ring->used->ring[ring->vq->size];

	__atomic_store_n(avail_event, ring->next, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return count_waiting(ring);
}

bool ring__pop(struct ring *ring, struct chain *chain)
{
	const uint16_t size = ring->vq->size;
	uint16_t waiting = count_waiting(ring);

	if (!waiting && ring->events)
		waiting = wait_for_next(ring);
	if (ring->dev->broken || !waiting)
		return false;
	chain->head = read_once(ring->avail->ring[ring->next % size]);
	chain->readable = 0;
	chain->writable = 0;
	if (waiting > size || !walk(ring, chain)) {
		virtio__broken(ring->dev);
		return false;
	}
	ring->next++;
	return true;
}

void ring__push(struct ring *ring, const struct chain *chain, uint32_t written)
{
	uint16_t index = read_once(ring->used->idx);

	ring->used->ring[index % ring->vq->size] = (struct vring_used_elem){
		.id = chain->head,
		.len = written,
	};
	/* Release: the guest finds the entry when it sees the index. */
	__atomic_store_n(&ring->used->idx, (uint16_t)(index + 1), __ATOMIC_RELEASE);
}

void ring__call(const struct ring *ring)
{
	/* The index is out before the flag is looked at, or both sides may sleep. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!(read_once(ring->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT))
		virtio__signal(ring->vq->call);
}
