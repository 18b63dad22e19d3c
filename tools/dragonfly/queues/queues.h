/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The queues that a VM holds: each a virtio device in the guest whose rings
 * somebody else serves, hardware or a process. One owner each.
 */
#ifndef DRAGONFLY_QUEUES_H
#define DRAGONFLY_QUEUES_H

#include "devices/virtio.h"
#include "machine/machine.h"

/* One that a machine holds. */
struct queue {
	struct queue *next;
	struct virtio_device *dev;
	char *name;
	int holder; /* holder.h */
};

/* Backends. NULL with a sentence; EBUSY names the holder. */
struct virtio_device *vhost_vdpa__create(struct machine *machine,
					 const struct queue_options *options);
struct virtio_device *vhost_net__create(struct machine *machine,
					const struct queue_options *options);

/*
 * parse.c: "vdpa=/dev/vhost-vdpa-0,queues=2" or "tap=tap0,queues=2,vhost";
 * @options->name is to be freed.
 */
int queues__parse(struct queue_options *options, enum queue_kind kind, const char *text);

/*
 * What a queue is called: the device itself, where the name is a link to one, for a
 * queue has one holder by whatever name. To be freed.
 */
char *queues__device(const char *name);

/* Puts one on the guest's bus, at the start or while it runs. */
int queues__assign(struct machine *machine, const struct queue_options *options);

/* Asks the guest to let go; the queue is released when it has. @force: does not ask. */
int queues__release(struct machine *machine, const char *name, bool force);

/* For the backends: @dev is no more, and whoever wants its queues may have them. */
void queues__released(struct virtio_device *dev);

#endif
