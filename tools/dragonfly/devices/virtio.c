// SPDX-License-Identifier: GPL-2.0-only
/*
 * What all virtio devices have: virtqueues, each with its two eventfds.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "dragonfly.h"
#include "devices/virtio.h"

int virtio__create_queues(struct virtio_device *dev, unsigned int nr, uint16_t max)
{
	if (!nr || nr > VIRTIO_QUEUES_MAX)
		return complain("%s has %u virtqueues: it must be 1 to %d of them", dev->name, nr,
				VIRTIO_QUEUES_MAX);
	dev->queues = calloc(nr, sizeof(*dev->queues));
	if (!dev->queues)
		return complain("there is no memory for the virtqueues of %s", dev->name);
	while (dev->nr_queues < nr) {
		struct virtqueue *vq = &dev->queues[dev->nr_queues++];

		*vq = (struct virtqueue){
			.max = max,
			.kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
			.call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		};
		if (vq->kick >= 0 && vq->call >= 0)
			continue;
		complain("no eventfd for a queue of %s (%s): see ulimit -n", dev->name,
			 strerror(errno));
		virtio__destroy_queues(dev);
		return -1;
	}
	return 0;
}

void virtio__destroy_queues(struct virtio_device *dev)
{
	while (dev->nr_queues) {
		struct virtqueue *vq = &dev->queues[--dev->nr_queues];

		if (vq->kick >= 0)
			close(vq->kick);
		if (vq->call >= 0)
			close(vq->call);
	}
	free(dev->queues);
	dev->queues = NULL;
}

void virtio__signal(int event)
{
	/* Full is signalled, too. */
	eventfd_write(event, 1);
}

void virtio__drain(int event)
{
	eventfd_t count;

	eventfd_read(event, &count);
}
