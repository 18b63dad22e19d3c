/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the two halves of the virtio transport share: virtio-pci.c has the PCI device
 * and the ways of its queues, virtio-common.c the registers that drive them.
 */
#ifndef DRAGONFLY_VIRTIO_PCI_H
#define DRAGONFLY_VIRTIO_PCI_H

#include "../queues/path.h"
#include "msix.h"
#include "pci.h"
#include "virtio.h"

struct virtio_pci_queue {
	uint16_t vector;
	struct path path; /* assigned while the device runs and BAR_NOTIFY is there */
};

struct virtio_pci {
	struct pci_device pci; /* first */
	struct msix msix;
	struct virtio_device *dev;
	unsigned int config_access; /* where that capability is */
	uint32_t device_feature_select, driver_feature_select;
	uint16_t queue_select, config_vector;
	uint8_t status, generation, isr;
	struct call config_call;
	struct virtio_pci_queue *queues;
};

/* Assigns the paths of the enabled queues if there is where to; releases them. */
void virtio_pci__connect(struct virtio_pci *vp);
void virtio_pci__disconnect(struct virtio_pci *vp);

/* A queue, or the configuration, may have got another message, or none. */
void virtio_pci__update_queue(struct virtio_pci *vp, unsigned int queue);
void virtio_pci__update_config(struct virtio_pci *vp);

/* virtio-common.c */
void virtio_common__read(struct virtio_pci *vp, uint64_t offset, void *data, unsigned int size);
void virtio_common__write(struct virtio_pci *vp, uint64_t offset, const void *data,
			  unsigned int size);
void virtio_common__reset(struct virtio_pci *vp);

#endif
