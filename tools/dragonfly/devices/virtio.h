/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A virtio device as its transport (virtio-pci) and its backend see it.
 *
 * Each virtqueue has a kick and a call eventfd for life. The transport has the
 * kernel signal the one when the guest kicks, and turn the other's signal into
 * the queue's MSI-X interrupt: by a queue object on /dev/dragonfly, by ioeventfd
 * and irqfd elsewhere. Backends see only the eventfds.
 */
#ifndef DRAGONFLY_VIRTIO_H
#define DRAGONFLY_VIRTIO_H

#include <stdbool.h>
#include <stdint.h>

#define VIRTIO_CONFIG_MAX 4096
#define VIRTIO_QUEUES_MAX 1024 /* of one device */

struct machine;
struct virtio_device;

struct virtqueue {
	uint16_t max; /* entries that the backend can take, a power of two */
	uint16_t size; /* what the guest has chosen, not above */
	bool enabled;
	uint64_t desc, driver,
		device; /* guest-physical rings, of whatever values the guest likes */
	int kick, call; /* eventfds */
	void *doorbell; /* a page of the hardware's that takes kicks, or NULL */
};

/* Called with the machine's lock held. */
struct virtio_ops {
	/*
	 * The guest has accepted @negotiated, before FEATURES_OK: false refuses them.
	 * NULL: whatever was offered.
	 */
	bool (*accept)(struct virtio_device *dev);
	/* DRIVER_OK, with the enabled queues as the guest wants. -1: NEEDS_RESET, no stop(). */
	int (*start)(struct virtio_device *dev);
	/* Reset, or the end. The backend has left the rings when it returns. */
	void (*stop)(struct virtio_device *dev);
	/* Within config_size; NULL where it is 0, or nothing of it can be written. */
	void (*read_config)(struct virtio_device *dev, uint32_t offset, void *data,
			    unsigned int size);
	void (*write_config)(struct virtio_device *dev, uint32_t offset, const void *data,
			     unsigned int size);
	/* Frees @dev; it was stopped. */
	void (*destroy)(struct virtio_device *dev);
};

struct virtio_device {
	const struct virtio_ops *ops;
	struct machine *machine;
	const char *name; /* for sentences: "/dev/vhost-vdpa-0" */
	uint16_t id; /* VIRTIO_ID_* */
	uint64_t offered, negotiated; /* features; the transport adds VIRTIO_F_VERSION_1 */
	uint32_t config_size; /* at most VIRTIO_CONFIG_MAX */
	bool started, broken;
	unsigned int nr_queues;
	struct virtqueue *queues;
	void *transport;
};

/* Fills in @queues with eventfds that do not block; the backend may set max, and doorbell. */
int virtio__create_queues(struct virtio_device *dev, unsigned int nr, uint16_t max);
void virtio__destroy_queues(struct virtio_device *dev);

/* Signals an eventfd; takes back what was signalled. */
void virtio__signal(int event);
void virtio__drain(int event);

/* The device's configuration has changed: tell the guest. */
void virtio__config_changed(struct virtio_device *dev);

/* The guest has done what it must not, or the backend has died: DEVICE_NEEDS_RESET. */
void virtio__broken(struct virtio_device *dev);

/* virtio-pci.c: puts it on the bus and owns it from then on, also when it fails. */
int virtio_pci__add(struct machine *machine, struct virtio_device *dev);

/* Where on the bus it is then. */
unsigned int virtio_pci__slot(const struct virtio_device *dev);

#endif
