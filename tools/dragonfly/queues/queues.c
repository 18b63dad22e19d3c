// SPDX-License-Identifier: GPL-2.0-only
#include "queues.h"

#include <stdlib.h>
#include <string.h>

#include "control/control.h"
#include "devices/hotplug.h"
#include "devices/pci.h"
#include "dragonfly.h"
#include "holder.h"

static struct virtio_device *(*const backends[])(struct machine *machine,
						 const struct queue_options *options) = {
	[QUEUE_VDPA] = vhost_vdpa__create,
	[QUEUE_TAP] = vhost_net__create,
};

static void put(struct queue *queue)
{
	if (queue->holder >= 0)
		holder__give_back(queue->name, queue->holder);
	free(queue->name);
	free(queue);
}

static struct queue *take(const struct machine *machine, const char *name)
{
	struct queue *queue = calloc(1, sizeof(*queue));

	if (queue)
		queue->name = strdup(name);
	if (!queue || !queue->name) {
		free(queue);
		complain("no memory for the queue %s", name);
		return NULL;
	}
	queue->holder = holder__take(name, control__name(machine->control));
	if (queue->holder >= 0)
		return queue;
	put(queue);
	return NULL;
}

int queues__assign(struct machine *machine, const struct queue_options *options)
{
	struct queue *queue = take(machine, options->name);

	if (!queue)
		return -1;
	queue->dev = backends[options->kind](machine, options);
	if (!queue->dev) {
		put(queue);
		return -1;
	}
	queue->next = machine->queues;
	machine->queues = queue;
	if (virtio_pci__add(machine, queue->dev))
		return -1;
	/* A guest that has not started yet finds it by itself. */
	if (machine->vcpus[0].started)
		hotplug__came(machine->hotplug, virtio_pci__slot(queue->dev));
	return 0;
}

/* "/dev/vhost-vdpa-0", or "vhost-vdpa-0" for short. */
static bool is_called(const struct queue *queue, const char *name)
{
	const char *slash = strrchr(queue->name, '/');

	return !strcmp(queue->name, name) || (slash && !strcmp(slash + 1, name));
}

static struct queue *find(const struct machine *machine, const char *name)
{
	struct queue *queue = machine->queues;

	while (queue && !is_called(queue, name))
		queue = queue->next;
	return queue;
}

int queues__release(struct machine *machine, const char *name, bool force)
{
	const struct queue *queue = find(machine, name);
	unsigned int slot;

	if (!queue)
		return complain("the VM has no queue %s: see dragonfly queue list", name);
	slot = virtio_pci__slot(queue->dev);
	if (force)
		pci__remove(machine->pci, pci__device(machine->pci, slot));
	/* Also where it has gone already: the guest looks, and lets go of what it had. */
	hotplug__ask(machine->hotplug, slot);
	return 0;
}

void queues__released(struct virtio_device *dev)
{
	for (struct queue **at = &dev->machine->queues; *at; at = &(*at)->next) {
		struct queue *queue = *at;

		if (queue->dev != dev)
			continue;
		*at = queue->next;
		put(queue);
		return;
	}
}
