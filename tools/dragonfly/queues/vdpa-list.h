/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host's vDPA devices, as the kernel lists them by generic netlink: unlike
 * opening one, that does not reset it.
 */
#ifndef DRAGONFLY_VDPA_LIST_H
#define DRAGONFLY_VDPA_LIST_H

#include <stdint.h>

struct vdpa_info {
	const char *name; /* of "vdpa dev add" */
	uint32_t id, queues; /* VIRTIO_ID_*; virtqueues */
};

/* None where the kernel has no vDPA; -1 with a sentence. */
int vdpa__list(void (*each)(void *context, const struct vdpa_info *info), void *context);

#endif
