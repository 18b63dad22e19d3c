// SPDX-License-Identifier: GPL-2.0-only
/*
 * A kick is an ioeventfd and a call is an irqfd, as every KVM has them.
 */
#include <linux/kvm.h>

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

int path__assign(struct path *path, struct machine *machine, struct virtqueue *vq, uint64_t notify)
{
	*path = (struct path){ .vq = vq, .notify = notify };
	call__assign(&path->call, machine, vq->call);
	if (ioeventfd(path, 0) < 0) {
		path->vq = NULL;
		return -1;
	}
	return 0;
}

void path__release(struct path *path)
{
	if (!path->vq)
		return;
	ioeventfd(path, KVM_IOEVENTFD_FLAG_DEASSIGN);
	call__release(&path->call);
	path->vq = NULL;
}

int path__message(struct path *path, const struct msi *msi)
{
	return call__message(&path->call, msi);
}
