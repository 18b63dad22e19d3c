/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel's vhost backends have in common.
 */
#ifndef DRAGONFLY_VHOST_H
#define DRAGONFLY_VHOST_H

#include <linux/vhost.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio.h"
#include "machine/memory.h"

#define FEATURE(bit) (1ULL << (bit))

/* -1 with a sentence that names the request. */
#define vhost__ioctl(dev, fd, request, argument) \
	vhost__request(dev, fd, request, argument, #request)
int vhost__request(const struct virtio_device *dev, int fd, unsigned long request, void *argument,
		   const char *name);

/* Are the rings aligned, and do all parts of them lie in the guest's memory? */
bool vhost__rings_fit(const struct memory *memory, const struct virtqueue *vq, bool packed);

/*
 * Gives a virtqueue, as the guest has set it, to the kernel as its ring @index: size,
 * where it starts, addresses and eventfds. @host: addresses are this process's, else
 * they are the guest's. -1 with a sentence, also for rings that do not fit.
 */
int vhost__set_ring(const struct virtio_device *dev, int fd, unsigned int index,
		    const struct virtqueue *vq, bool host);

#endif
