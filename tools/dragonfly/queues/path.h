/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a guest's kick reaches a virtqueue's backend, and the backend's call the guest.
 */
#ifndef DRAGONFLY_PATH_H
#define DRAGONFLY_PATH_H

#include <stdbool.h>
#include <stdint.h>

#include "../devices/virtio.h"
#include "../machine/interrupt.h"

/* An eventfd whose signal becomes a message, or waits while there is none. */
struct call {
	struct machine *machine;
	int event, gsi;
	bool open;
};

void call__assign(struct call *call, struct machine *machine, int event);
void call__release(struct call *call);

/* What it becomes from now on; NULL: it waits. -1 without a sentence. */
int call__message(struct call *call, const struct msi *msi);

/*
 * A virtqueue's way to its backend and back: a queue object where the device has
 * them, an ioeventfd and a call elsewhere.
 */
struct path {
	struct virtqueue *vq;
	uint64_t notify; /* the guest-physical page that takes its kicks */
	int object; /* or -1 */
	struct call call;
};

/* -1 without a sentence. Releasing one that is not assigned is fine. */
int path__assign(struct path *path, struct machine *machine, struct virtqueue *vq, uint64_t notify);
void path__release(struct path *path);

/* While it is assigned. */
int path__message(struct path *path, const struct msi *msi);

#endif
