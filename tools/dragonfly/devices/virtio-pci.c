// SPDX-License-Identifier: GPL-2.0-only
/*
 * Virtio over PCI, modern only: what the guest finds in configuration space and behind
 * the BARs, after "Virtio Over PCI Bus" of the virtio specification.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "dragonfly.h"
#include "devices/virtio-pci.h"
#include "machine/machine.h"

#define VENDOR 0x1af4
#define DEVICE 0x1040 /* and up, by virtio_device.id */
#define BASE_CLASS 0xff /* none: drivers go by the number */
#define REVISION 1 /* modern */

#define PAGE 4096 /* also the notify multiplier: each queue's kicks have a page of their own */

enum { BAR_REGISTERS, BAR_MSIX, BAR_NOTIFY };
enum { COMMON, ISR, CONFIG, PAGES = 4 }; /* of BAR_REGISTERS */

static struct virtio_pci *of(struct pci_device *pci)
{
	return (struct virtio_pci *)pci; /* its first member */
}

/* --- the ways of the queues --- */

/* EBUSY: another VM has the hardware's page, or the eventfd. */
static void fail(struct virtio_device *dev, unsigned int queue, const char *what)
{
	if (!dev->broken)
		complain("%s: virtqueue %u gets no %s (%s): the guest has to reset the device",
			 dev->name, queue, what, strerror(errno));
	virtio__broken(dev);
}

void virtio_pci__update_queue(struct virtio_pci *vp, unsigned int queue)
{
	struct path *path = &vp->queues[queue].path;
	struct msi msi;
	bool open = msix__message(&vp->msix, vp->queues[queue].vector, &msi);

	if (path->vq && path__message(path, open ? &msi : NULL))
		fail(vp->dev, queue, "interrupt");
}

void virtio_pci__update_config(struct virtio_pci *vp)
{
	struct msi msi;
	bool open = msix__message(&vp->msix, vp->config_vector, &msi);

	/* There is no other way to tell the guest. */
	if (call__message(&vp->config_call, open ? &msi : NULL))
		virtio__broken(vp->dev);
}

void virtio_pci__connect(struct virtio_pci *vp)
{
	const struct pci_bar *bar = &vp->pci.bars[BAR_NOTIFY];
	struct virtio_device *dev = vp->dev;

	if (!dev->started || !bar->mapped)
		return;
	for (unsigned int i = 0; i < dev->nr_queues; i++) {
		if (!dev->queues[i].enabled)
			continue;
		if (path__assign(&vp->queues[i].path, dev->machine, &dev->queues[i],
				 bar->region.start + (uint64_t)i * PAGE))
			fail(dev, i, "kicks");
		virtio_pci__update_queue(vp, i);
	}
}

void virtio_pci__disconnect(struct virtio_pci *vp)
{
	for (unsigned int i = 0; i < vp->dev->nr_queues; i++)
		path__release(&vp->queues[i].path);
}

static void vector_changed(struct msix *msix, int vector)
{
	struct virtio_pci *vp = of(msix->pci);

	for (unsigned int i = 0; i < vp->dev->nr_queues; i++)
		if (vector < 0 || vp->queues[i].vector == vector)
			virtio_pci__update_queue(vp, i);
	if (vector < 0 || vp->config_vector == vector)
		virtio_pci__update_config(vp);
}

static bool is_signalled(int event)
{
	struct pollfd wait = { .fd = event, .events = POLLIN };

	return poll(&wait, 1, 0) > 0;
}

static bool vector_pending(struct msix *msix, unsigned int vector)
{
	struct virtio_pci *vp = of(msix->pci);

	for (unsigned int i = 0; i < vp->dev->nr_queues; i++)
		if (vp->queues[i].vector == vector && is_signalled(vp->dev->queues[i].call))
			return true;
	return vp->config_vector == vector && is_signalled(vp->config_call.event);
}

/* --- the BARs --- */

/* How much of an access to the device's own configuration is within it. */
static unsigned int clip(const struct virtio_device *dev, uint64_t offset, unsigned int size)
{
	if (offset >= dev->config_size)
		return 0;
	return size < dev->config_size - offset ? size : dev->config_size - offset;
}

static void registers_read(void *device, uint64_t offset, void *data, unsigned int size)
{
	struct virtio_pci *vp = device;
	uint64_t within = offset % PAGE;

	switch (offset / PAGE) {
	case COMMON:
		virtio_common__read(vp, within, data, size);
		break;
	case ISR:
		memset(data, 0, size);
		if (within)
			break;
		memcpy(data, &vp->isr, 1);
		vp->isr = 0;
		break;
	case CONFIG:
		size = clip(vp->dev, within, size);
		if (size)
			vp->dev->ops->read_config(vp->dev, within, data, size);
		break;
	}
}

static void registers_write(void *device, uint64_t offset, const void *data, unsigned int size)
{
	struct virtio_pci *vp = device;
	uint64_t within = offset % PAGE;

	switch (offset / PAGE) {
	case COMMON:
		virtio_common__write(vp, within, data, size);
		break;
	case CONFIG:
		size = clip(vp->dev, within, size);
		if (size && vp->dev->ops->write_config)
			vp->dev->ops->write_config(vp->dev, within, data, size);
		break;
	}
}

static void notify_read(void *device, uint64_t offset, void *data, unsigned int size)
{
	(void)device;
	(void)offset;
	memset(data, 0, size);
}

/* Only what the kernel has not taken comes here. */
static void notify_write(void *device, uint64_t offset, const void *data, unsigned int size)
{
	const struct virtio_device *dev = ((struct virtio_pci *)device)->dev;
	uint64_t queue = offset / PAGE;

	(void)data;
	(void)size;
	if (queue < dev->nr_queues && dev->started && dev->queues[queue].enabled)
		virtio__signal(dev->queues[queue].kick);
}

static void mapped(struct pci_device *pci, unsigned int bar)
{
	struct virtio_pci *vp = of(pci);

	if (bar != BAR_NOTIFY)
		return;
	virtio_pci__disconnect(vp);
	virtio_pci__connect(vp);
}

/* --- access to the BARs by way of configuration space --- */

/* What the guest has chosen, if it is there; NULL if not. */
static struct region *chosen(struct virtio_pci *vp, uint32_t *offset, uint32_t *length)
{
	const unsigned int at = vp->config_access;
	uint32_t bar = pci__get(&vp->pci, at + VIRTIO_PCI_CAP_BAR, 1);
	struct region *region = bar < PCI_BARS ? &vp->pci.bars[bar].region : NULL;

	*offset = pci__get(&vp->pci, at + VIRTIO_PCI_CAP_OFFSET, 4);
	*length = pci__get(&vp->pci, at + VIRTIO_PCI_CAP_LENGTH, 4);
	if (!region || (*length != 1 && *length != 2 && *length != 4) || *offset % *length ||
	    *offset >= region->size)
		return NULL;
	return region;
}

static unsigned int window(const struct virtio_pci *vp)
{
	return vp->config_access + offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);
}

static bool touches_window(const struct virtio_pci *vp, unsigned int offset, unsigned int size)
{
	return offset < window(vp) + 4 && window(vp) < offset + size;
}

static void config_reading(struct pci_device *pci, unsigned int offset, unsigned int size)
{
	struct virtio_pci *vp = of(pci);
	uint32_t at, length, value = UINT32_MAX;
	struct region *region;

	if (!touches_window(vp, offset, size))
		return;
	region = chosen(vp, &at, &length);
	if (!region)
		return;
	region->read(region->device, at, &value, length);
	pci__set(pci, window(vp), 4, value);
}

static void config_written(struct pci_device *pci, unsigned int offset, unsigned int size)
{
	struct virtio_pci *vp = of(pci);
	uint32_t at, length, value;
	struct region *region;

	msix__written(&vp->msix);
	if (!touches_window(vp, offset, size))
		return;
	region = chosen(vp, &at, &length);
	if (!region)
		return;
	value = pci__get(pci, window(vp), 4);
	region->write(region->device, at, &value, length);
}

/* --- its coming and going --- */

static unsigned int add_capability(struct virtio_pci *vp, uint8_t type, uint8_t size, uint8_t bar,
				   uint32_t offset, uint32_t length)
{
	struct virtio_pci_notify_cap cap = {
		.cap = {
			.cap_vndr = PCI_CAP_ID_VNDR,
			.cap_len = size,
			.cfg_type = type,
			.bar = bar,
			.offset = offset,
			.length = length,
		},
		.notify_off_multiplier = type == VIRTIO_PCI_CAP_NOTIFY_CFG ? PAGE : 0,
	};

	return pci__add_capability(&vp->pci, &cap, size);
}

static void add_capabilities(struct virtio_pci *vp)
{
	const struct virtio_device *dev = vp->dev;
	const unsigned int size = sizeof(struct virtio_pci_cap);
	unsigned int at;

	add_capability(vp, VIRTIO_PCI_CAP_COMMON_CFG, size, BAR_REGISTERS, COMMON * PAGE,
		       sizeof(struct virtio_pci_common_cfg));
	add_capability(vp, VIRTIO_PCI_CAP_ISR_CFG, size, BAR_REGISTERS, ISR * PAGE, 1);
	if (dev->config_size)
		add_capability(vp, VIRTIO_PCI_CAP_DEVICE_CFG, size, BAR_REGISTERS, CONFIG * PAGE,
			       dev->config_size);
	add_capability(vp, VIRTIO_PCI_CAP_NOTIFY_CFG, sizeof(struct virtio_pci_notify_cap),
		       BAR_NOTIFY, 0, dev->nr_queues * PAGE);
	at = add_capability(vp, VIRTIO_PCI_CAP_PCI_CFG, sizeof(struct virtio_pci_cfg_cap), 0, 0, 0);
	vp->pci.writable[at + VIRTIO_PCI_CAP_BAR] = 0xff;
	memset(vp->pci.writable + at + VIRTIO_PCI_CAP_OFFSET, 0xff,
	       sizeof(struct virtio_pci_cfg_cap) - VIRTIO_PCI_CAP_OFFSET);
	vp->config_access = at;
}

static void add_bars(struct virtio_pci *vp)
{
	struct region *registers = &vp->pci.bars[BAR_REGISTERS].region;
	struct region *notify = &vp->pci.bars[BAR_NOTIFY].region;

	*registers = (struct region){
		.size = PAGES * PAGE, .read = registers_read, .write = registers_write, .device = vp
	};
	*notify = (struct region){
		.size = PAGE, .read = notify_read, .write = notify_write, .device = vp
	};
	while (notify->size < (uint64_t)vp->dev->nr_queues * PAGE)
		notify->size *= 2;
}

static void destroy(struct virtio_pci *vp)
{
	if (vp->config_call.event >= 0)
		close(vp->config_call.event);
	msix__destroy(&vp->msix);
	free(vp->queues);
	free(vp);
}

static void removed(struct pci_device *pci)
{
	struct virtio_pci *vp = of(pci);

	virtio_common__reset(vp);
	call__release(&vp->config_call);
	vp->dev->ops->destroy(vp->dev);
	destroy(vp);
}

static struct virtio_pci *create(struct machine *machine, struct virtio_device *dev)
{
	struct virtio_pci *vp;

	if (dev->config_size > VIRTIO_CONFIG_MAX) {
		complain("%s has %u bytes of configuration: there is no place for more than %d",
			 dev->name, dev->config_size, VIRTIO_CONFIG_MAX);
		return NULL;
	}
	vp = calloc(1, sizeof(*vp));
	if (!vp) {
		complain("no memory for %s", dev->name);
		return NULL;
	}
	vp->dev = dev;
	call__assign(&vp->config_call, machine, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	vp->queues = calloc(dev->nr_queues, sizeof(*vp->queues));
	vp->msix.changed = vector_changed;
	vp->msix.pending = vector_pending;
	if (vp->config_call.event < 0 || !vp->queues ||
	    msix__create(&vp->msix, &vp->pci, BAR_MSIX, dev->nr_queues + 1)) {
		complain("no memory, or no file descriptor, for %s", dev->name);
		destroy(vp);
		return NULL;
	}
	pci__identify(&vp->pci, VENDOR, DEVICE + dev->id, BASE_CLASS);
	pci__set(&vp->pci, PCI_REVISION_ID, 1, REVISION);
	vp->pci.mapped = mapped;
	vp->pci.reading = config_reading;
	vp->pci.written = config_written;
	vp->pci.removed = removed;
	add_capabilities(vp);
	add_bars(vp);
	dev->transport = vp;
	virtio_common__reset(vp);
	return vp;
}

int virtio_pci__add(struct machine *machine, struct virtio_device *dev)
{
	struct virtio_pci *vp = create(machine, dev);

	if (vp && !pci__add(machine->pci, &vp->pci))
		return 0;
	if (vp)
		destroy(vp);
	dev->transport = NULL;
	dev->ops->destroy(dev);
	return -1;
}

unsigned int virtio_pci__slot(const struct virtio_device *dev)
{
	return ((const struct virtio_pci *)dev->transport)->pci.slot;
}
