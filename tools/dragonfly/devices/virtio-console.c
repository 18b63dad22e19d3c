// SPDX-License-Identifier: GPL-2.0-only
/*
 * The virtio console: what the guest transmits is written to the host's side, what is
 * typed there fills the buffers that the guest has put out.
 */
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "dragonfly.h"
#include "devices/console.h"
#include "devices/virtio-console.h"
#include "devices/virtqueue.h"
#include "machine/machine.h"

#define ENTRIES 64

enum { RECEIVE, TRANSMIT, QUEUES }; /* as the guest calls them */

struct virtio_console {
	struct virtio_device dev;
	struct ring rings[QUEUES];
	struct watch kicked[QUEUES];
	struct console_port port;
};

static struct virtio_console *of(struct virtio_device *dev)
{
	return (struct virtio_console *)dev; /* its first member */
}

static void write_chain(struct machine *machine, const struct chain *chain)
{
	for (unsigned int i = 0; i < chain->readable; i++)
		console__write(machine->console, chain->buffers[i].iov_base,
			       chain->buffers[i].iov_len);
}

static void transmitted(void *context, uint32_t events)
{
	struct virtio_console *console = context;
	struct ring *ring = &console->rings[TRANSMIT];
	struct chain chain;
	unsigned int nr = 0;

	(void)events;
	virtio__drain(ring->vq->kick);
	console__listen(console->dev.machine->console, &console->port);
	while (nr < ENTRIES && ring__pop(ring, &chain)) {
		write_chain(console->dev.machine, &chain);
		ring__push(ring, &chain, 0);
		nr++;
	}
	if (nr)
		ring__call(ring);
	/* A guest that never stops must not keep the others waiting: the rest comes later. */
	if (nr == ENTRIES)
		virtio__signal(ring->vq->kick);
}

/* As much of the text as a chain takes. */
static size_t fill(const struct chain *chain, const char *text, size_t size)
{
	size_t done = 0;

	for (unsigned int i = 0; i < chain->writable && done < size; i++) {
		const struct iovec *buffer = &chain->buffers[chain->readable + i];
		size_t piece = size - done < buffer->iov_len ? size - done : buffer->iov_len;

		memcpy(buffer->iov_base, text + done, piece);
		done += piece;
	}
	return done;
}

static size_t type(void *device, const char *text, size_t size)
{
	struct virtio_console *console = device;
	struct ring *ring = &console->rings[RECEIVE];
	struct chain chain;
	size_t done = 0;

	/* A chain with no room in it goes back as it came; there are no endless many of them. */
	for (unsigned int nr = 0; console->dev.started && done < size && nr < ENTRIES; nr++) {
		size_t piece;

		if (!ring__pop(ring, &chain))
			break;
		piece = fill(&chain, text + done, size - done);
		ring__push(ring, &chain, piece);
		ring__call(ring);
		done += piece;
	}
	return done;
}

static void received(void *context, uint32_t events)
{
	struct virtio_console *console = context;

	(void)events;
	virtio__drain(console->dev.queues[RECEIVE].kick);
	console__more(console->dev.machine->console);
}

static int start(struct virtio_device *dev)
{
	struct virtio_console *console = of(dev);
	struct loop *loop = &dev->machine->loop;

	for (unsigned int i = 0; i < QUEUES; i++)
		if (!dev->queues[i].enabled ||
		    ring__start(&console->rings[i], dev, &dev->queues[i]))
			return -1;
	if (loop__add(loop, &console->kicked[RECEIVE], EPOLLIN))
		return -1;
	if (!loop__add(loop, &console->kicked[TRANSMIT], EPOLLIN))
		return 0;
	loop__remove(loop, &console->kicked[RECEIVE]);
	return -1;
}

static void stop(struct virtio_device *dev)
{
	struct virtio_console *console = of(dev);

	for (unsigned int i = 0; i < QUEUES; i++)
		loop__remove(&dev->machine->loop, &console->kicked[i]);
	console__forget(dev->machine->console, &console->port);
}

static void destroy(struct virtio_device *dev)
{
	virtio__destroy_queues(dev);
	free(of(dev));
}

static const struct virtio_ops ops = {
	.start = start,
	.stop = stop,
	.destroy = destroy,
};

int virtio_console__add(struct machine *machine)
{
	static void (*const ready[QUEUES])(void *, uint32_t) = { received, transmitted };
	struct virtio_console *console = calloc(1, sizeof(*console));

	if (!console)
		return complain("no memory for the virtio console");
	console->dev = (struct virtio_device){
		.ops = &ops,
		.machine = machine,
		.name = "the virtio console",
		.id = VIRTIO_ID_CONSOLE,
	};
	if (virtio__create_queues(&console->dev, QUEUES, ENTRIES)) {
		free(console);
		return -1;
	}
	for (unsigned int i = 0; i < QUEUES; i++)
		console->kicked[i] = (struct watch){
			.fd = console->dev.queues[i].kick,
			.ready = ready[i],
			.context = console,
		};
	console->port = (struct console_port){ .type = type, .device = console };
	return virtio_pci__add(machine, &console->dev);
}
