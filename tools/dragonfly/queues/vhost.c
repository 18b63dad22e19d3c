// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "dragonfly.h"
#include "machine/machine.h"
#include "vhost.h"

#define EVENT_AREA_SIZE 4 /* of a packed virtqueue: the event suppression structure */

int vhost__request(const struct virtio_device *dev, int fd, unsigned long request, void *argument,
		   const char *name)
{
	if (ioctl(fd, request, argument) >= 0)
		return 0;
	return complain("%s refuses %s (%s)", dev->name, name, strerror(errno));
}

static bool part_fits(const struct memory *memory, uint64_t guest, uint64_t align, uint64_t size)
{
	return !(guest % align) && memory__at(memory, guest, size);
}

bool vhost__rings_fit(const struct memory *memory, const struct virtqueue *vq, bool packed)
{
	uint64_t size = vq->size, driver, device;

	if (!size || size > vq->max)
		return false;
	if (packed)
		return part_fits(memory, vq->desc, 16, size * 16) &&
		       part_fits(memory, vq->driver, 4, EVENT_AREA_SIZE) &&
		       part_fits(memory, vq->device, 4, EVENT_AREA_SIZE);

	/* The two event indexes at the ends are there whether they are in use or not. */
	driver = 3 * sizeof(uint16_t) + size * sizeof(uint16_t);
	device = 3 * sizeof(uint16_t) + size * sizeof(struct vring_used_elem);
	return !(size & (size - 1)) &&
	       part_fits(memory, vq->desc, VRING_DESC_ALIGN_SIZE,
			 size * sizeof(struct vring_desc)) &&
	       part_fits(memory, vq->driver, VRING_AVAIL_ALIGN_SIZE, driver) &&
	       part_fits(memory, vq->device, VRING_USED_ALIGN_SIZE, device);
}

/* A ring that nobody has used: a packed one's wrap counters are 1, in bits 15 and 31. */
static unsigned int first_base(bool packed)
{
	return packed ? 0x80008000 : 0;
}

static uint64_t host_address(const struct memory *memory, uint64_t guest)
{
	return (uintptr_t)memory__at(memory, guest, 1);
}

int vhost__set_ring(const struct virtio_device *dev, int fd, unsigned int index,
		    const struct virtqueue *vq, bool host)
{
	const struct memory *memory = &dev->machine->memory;
	bool packed = dev->negotiated & FEATURE(VIRTIO_F_RING_PACKED);
	struct vhost_vring_state num = { index, vq->size }, base = { index, first_base(packed) };
	struct vhost_vring_file kick = { index, vq->kick }, call = { index, vq->call };
	struct vhost_vring_addr addr = {
		.index = index,
		.desc_user_addr = vq->desc,
		.avail_user_addr = vq->driver,
		.used_user_addr = vq->device,
	};

	if (!vhost__rings_fit(memory, vq, packed))
		return complain("%s: the guest's virtqueue %u does not lie in its memory",
				dev->name, index);
	if (host) {
		addr.desc_user_addr = host_address(memory, vq->desc);
		addr.avail_user_addr = host_address(memory, vq->driver);
		addr.used_user_addr = host_address(memory, vq->device);
	}
	if (vhost__ioctl(dev, fd, VHOST_SET_VRING_NUM, &num) ||
	    vhost__ioctl(dev, fd, VHOST_SET_VRING_BASE, &base) ||
	    vhost__ioctl(dev, fd, VHOST_SET_VRING_ADDR, &addr) ||
	    vhost__ioctl(dev, fd, VHOST_SET_VRING_KICK, &kick) ||
	    vhost__ioctl(dev, fd, VHOST_SET_VRING_CALL, &call))
		return -1;
	return 0;
}
