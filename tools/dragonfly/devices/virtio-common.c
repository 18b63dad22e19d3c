// SPDX-License-Identifier: GPL-2.0-only
/*
 * The common configuration of a virtio device: features, status, virtqueues, after
 * "Common configuration structure layout" and "Device Initialization" of the virtio
 * specification.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <stddef.h>
#include <string.h>

#include "devices/virtio-pci.h"

#define BIT(n) (1ULL << (n))

/* The feature bits that are not the device type's: "Feature Bits". */
#define TRANSPORT_FEATURES (BIT(50) - BIT(24))

/*
 * Those of them that this transport passes from a backend: the others are of legacy
 * devices, or want registers that are not here.
 */
#define PASSED_FEATURES                                                                       \
	(BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) |                    \
	 BIT(VIRTIO_F_ACCESS_PLATFORM) | BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_F_IN_ORDER) | \
	 BIT(VIRTIO_F_ORDER_PLATFORM))

static uint64_t offered(const struct virtio_pci *vp)
{
	return (vp->dev->offered & (PASSED_FEATURES | ~TRANSPORT_FEATURES)) |
	       BIT(VIRTIO_F_VERSION_1);
}

static struct virtqueue *selected(const struct virtio_pci *vp)
{
	return vp->queue_select < vp->dev->nr_queues ? &vp->dev->queues[vp->queue_select] : NULL;
}

static uint32_t half(uint64_t features, uint32_t select)
{
	return select < 2 ? features >> select * 32 : 0;
}

static struct virtio_pci_common_cfg look(const struct virtio_pci *vp)
{
	const struct virtqueue *vq = selected(vp);
	struct virtio_pci_common_cfg cfg = {
		.device_feature_select = vp->device_feature_select,
		.device_feature = half(offered(vp), vp->device_feature_select),
		.guest_feature_select = vp->driver_feature_select,
		.guest_feature = half(vp->dev->negotiated, vp->driver_feature_select),
		.msix_config = vp->config_vector,
		.num_queues = vp->dev->nr_queues,
		.device_status = vp->status,
		.config_generation = vp->generation,
		.queue_select = vp->queue_select,
		.queue_msix_vector = VIRTIO_MSI_NO_VECTOR,
	};

	if (!vq)
		return cfg;
	cfg.queue_size = vq->size;
	cfg.queue_msix_vector = vp->queues[vp->queue_select].vector;
	cfg.queue_enable = vq->enabled;
	cfg.queue_notify_off = vp->queue_select;
	cfg.queue_desc_lo = vq->desc;
	cfg.queue_desc_hi = vq->desc >> 32;
	cfg.queue_avail_lo = vq->driver;
	cfg.queue_avail_hi = vq->driver >> 32;
	cfg.queue_used_lo = vq->device;
	cfg.queue_used_hi = vq->device >> 32;
	return cfg;
}

void virtio_common__read(struct virtio_pci *vp, uint64_t offset, void *data, unsigned int size)
{
	struct virtio_pci_common_cfg cfg = look(vp);

	if (offset + size <= sizeof(cfg))
		memcpy(data, (char *)&cfg + offset, size);
}

static uint16_t existing(const struct virtio_pci *vp, uint16_t vector)
{
	return vector < vp->msix.nr ? vector : VIRTIO_MSI_NO_VECTOR;
}

static void set_features(struct virtio_pci *vp, uint32_t features)
{
	unsigned int shift = vp->driver_feature_select * 32;

	if ((vp->status & VIRTIO_CONFIG_S_FEATURES_OK) || vp->driver_feature_select > 1)
		return;
	vp->dev->negotiated &= ~((uint64_t)UINT32_MAX << shift);
	vp->dev->negotiated |= (uint64_t)features << shift;
}

static bool acceptable(const struct virtio_pci *vp)
{
	struct virtio_device *dev = vp->dev;

	return (dev->negotiated & BIT(VIRTIO_F_VERSION_1)) && !(dev->negotiated & ~offered(vp)) &&
	       (!dev->ops->accept || dev->ops->accept(dev));
}

static void start(struct virtio_pci *vp)
{
	if (vp->dev->broken)
		return;
	if (vp->dev->ops->start(vp->dev)) {
		virtio__broken(vp->dev);
		return;
	}
	vp->dev->started = true;
	virtio_pci__connect(vp);
}

/* Bits come one by one and in order; they go by reset only. */
static void set_status(struct virtio_pci *vp, uint8_t status)
{
	const uint8_t plain = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
			      VIRTIO_CONFIG_S_FAILED;
	const uint8_t coming = status & ~vp->status;

	if (!status) {
		virtio_common__reset(vp);
		return;
	}
	vp->status |= coming & plain;
	if (coming & VIRTIO_CONFIG_S_FEATURES_OK && acceptable(vp))
		vp->status |= VIRTIO_CONFIG_S_FEATURES_OK;
	if (coming & VIRTIO_CONFIG_S_DRIVER_OK && vp->status & VIRTIO_CONFIG_S_FEATURES_OK) {
		vp->status |= VIRTIO_CONFIG_S_DRIVER_OK;
		start(vp);
	}
}

static void set_queue_size(const struct virtio_pci *vp, struct virtqueue *vq, uint16_t size)
{
	bool any = vp->dev->negotiated & BIT(VIRTIO_F_RING_PACKED);

	if (size && size <= vq->max && (any || !(size & (size - 1))))
		vq->size = size;
}

static void write_queue(struct virtio_pci *vp, uint64_t offset,
			const struct virtio_pci_common_cfg *cfg)
{
	struct virtqueue *vq = selected(vp);

	if (!vq)
		return;
	if (offset == VIRTIO_PCI_COMMON_Q_MSIX) {
		vp->queues[vp->queue_select].vector = existing(vp, cfg->queue_msix_vector);
		virtio_pci__update_queue(vp, vp->queue_select);
		return;
	}
	/* The backend may have the rings already. */
	if (vq->enabled || vp->dev->started)
		return;
	switch (offset) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		set_queue_size(vp, vq, cfg->queue_size);
		break;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		vq->enabled = cfg->queue_enable == 1 && vq->size;
		break;
	default:
		vq->desc = (uint64_t)cfg->queue_desc_hi << 32 | cfg->queue_desc_lo;
		vq->driver = (uint64_t)cfg->queue_avail_hi << 32 | cfg->queue_avail_lo;
		vq->device = (uint64_t)cfg->queue_used_hi << 32 | cfg->queue_used_lo;
	}
}

/* What is read-only is written back as it was. */
void virtio_common__write(struct virtio_pci *vp, uint64_t offset, const void *data,
			  unsigned int size)
{
	struct virtio_pci_common_cfg cfg = look(vp);

	if (offset + size > sizeof(cfg))
		return;
	memcpy((char *)&cfg + offset, data, size);
	switch (offset) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		vp->device_feature_select = cfg.device_feature_select;
		break;
	case VIRTIO_PCI_COMMON_GFSELECT:
		vp->driver_feature_select = cfg.guest_feature_select;
		break;
	case VIRTIO_PCI_COMMON_GF:
		set_features(vp, cfg.guest_feature);
		break;
	case VIRTIO_PCI_COMMON_MSIX:
		vp->config_vector = existing(vp, cfg.msix_config);
		virtio_pci__update_config(vp);
		break;
	case VIRTIO_PCI_COMMON_STATUS:
		set_status(vp, cfg.device_status);
		break;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		vp->queue_select = cfg.queue_select;
		break;
	default:
		if (offset >= VIRTIO_PCI_COMMON_Q_SIZE)
			write_queue(vp, offset, &cfg);
	}
}

static void reset_queue(struct virtio_pci *vp, unsigned int i)
{
	struct virtqueue *vq = &vp->dev->queues[i];

	vq->size = vq->max;
	vq->enabled = false;
	vq->desc = 0;
	vq->driver = 0;
	vq->device = 0;
	virtio__drain(vq->kick);
	virtio__drain(vq->call);
	vp->queues[i].vector = VIRTIO_MSI_NO_VECTOR;
}

/* The guest waits for it: its rings are its own again when the status reads zero. */
void virtio_common__reset(struct virtio_pci *vp)
{
	struct virtio_device *dev = vp->dev;

	virtio_pci__disconnect(vp);
	if (dev->started)
		dev->ops->stop(dev);
	dev->started = false;
	dev->broken = false;
	dev->negotiated = 0;
	for (unsigned int i = 0; i < dev->nr_queues; i++)
		reset_queue(vp, i);
	vp->device_feature_select = 0;
	vp->driver_feature_select = 0;
	vp->queue_select = 0;
	vp->config_vector = VIRTIO_MSI_NO_VECTOR;
	virtio_pci__update_config(vp);
	virtio__drain(vp->config_call.event);
	vp->status = 0;
	vp->isr = 0;
}

void virtio__config_changed(struct virtio_device *dev)
{
	struct virtio_pci *vp = dev->transport;

	if (!vp)
		return;
	vp->generation++;
	if (!(vp->status & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	vp->isr |= VIRTIO_PCI_ISR_CONFIG;
	virtio__signal(vp->config_call.event);
}

void virtio__broken(struct virtio_device *dev)
{
	struct virtio_pci *vp = dev->transport;

	if (dev->broken)
		return;
	dev->broken = true;
	if (!vp)
		return;
	vp->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	virtio__config_changed(dev);
}
