// SPDX-License-Identifier: GPL-2.0-only
/*
 * With a queue object one ioctl puts kick and call in place, and the kick may be a
 * page of the hardware's. Without, they are an ioeventfd and an irqfd, as every KVM
 * has them.
 */
#include <linux/dragonfly.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "machine/machine.h"
#include "queues/path.h"

void call__assign(struct call *call, struct machine *machine, int event)
{
	*call = (struct call){ .machine = machine, .event = event, .gsi = -1 };
}

int call__message(struct call *call, const struct msi *msi)
{
	if (!msi) {
		if (call->open)
			interrupt__disconnect(call->machine, call->gsi, call->event);
		call->open = false;
		return 0;
	}
	if (call->gsi < 0)
		call->gsi = interrupt__allocate(call->machine);
	if (call->gsi < 0 || interrupt__route(call->machine, call->gsi, msi))
		return -1;
	if (!call->open && interrupt__connect(call->machine, call->gsi, call->event))
		return -1;
	call->open = true;
	return 0;
}

void call__release(struct call *call)
{
	call__message(call, NULL);
	if (call->gsi >= 0)
		interrupt__free(call->machine, call->gsi);
	call->gsi = -1;
}

/* Of any width: the page is this queue's alone, so that nobody needs to look at the value. */
static int ioeventfd(struct path *path, uint32_t flags)
{
	struct kvm_ioeventfd ioeventfd = {
		.addr = path->notify,
		.fd = path->vq->kick,
		.flags = flags,
	};

	return machine__ioctl(path->call.machine, KVM_IOEVENTFD, &ioeventfd);
}

static int assign_object(const struct path *path, struct machine *machine)
{
	const struct virtqueue *vq = path->vq;
	struct dragonfly_queue queue = {
		.notify_gpa = path->notify,
		.flags = vq->doorbell ? DRAGONFLY_QUEUE_DOORBELL : 0,
		.doorbell = (uintptr_t)vq->doorbell,
		.kick_fd = vq->doorbell ? -1 : vq->kick,
		.call_fd = vq->call,
	};

	return machine__ioctl(machine, DRAGONFLY_QUEUE_ASSIGN, &queue);
}

int path__assign(struct path *path, struct machine *machine, struct virtqueue *vq, uint64_t notify)
{
	int err;

	*path = (struct path){ .vq = vq, .notify = notify, .object = -1 };
	call__assign(&path->call, machine, vq->call);
	if (machine->has_queues) {
		path->object = assign_object(path, machine);
		err = path->object;
	} else {
		err = ioeventfd(path, 0);
	}
	if (err >= 0)
		return 0;
	path->vq = NULL;
	return -1;
}

void path__release(struct path *path)
{
	if (!path->vq)
		return;
	if (path->object >= 0) {
		close(path->object);
	} else {
		ioeventfd(path, KVM_IOEVENTFD_FLAG_DEASSIGN);
		call__release(&path->call);
	}
	path->vq = NULL;
}

int path__message(struct path *path, const struct msi *msi)
{
	struct dragonfly_msi message = { .flags = DRAGONFLY_MSI_MASKED };

	if (path->object < 0)
		return call__message(&path->call, msi);
	if (msi)
		message = (struct dragonfly_msi){
			.address_lo = msi->address,
			.address_hi = msi->address >> 32,
			.data = msi->data,
		};
	return ioctl(path->object, DRAGONFLY_QUEUE_SET_MSI, &message);
}
