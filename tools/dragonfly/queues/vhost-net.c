// SPDX-License-Identifier: GPL-2.0-only
/*
 * A tap interface, whose packets the kernel moves by itself (vhost-net): one
 * instance for each pair of queues.  What is left for the tool is the control queue.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/virtqueue.h"
#include "dragonfly.h"
#include "queues.h"
#include "tap.h"
#include "vhost.h"

#define QUEUE_SIZE 256
#define COMMANDS 16 /* of the control queue, at a time */

/* What vhost-net does with the rings, and what the tap does with packets. */
#define RING_FEATURES                                                              \
	(FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | FEATURE(VIRTIO_RING_F_EVENT_IDX) | \
	 FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_NET_F_MRG_RXBUF))
#define TAP_FEATURES                                                           \
	(FEATURE(VIRTIO_NET_F_CSUM) | FEATURE(VIRTIO_NET_F_HOST_TSO4) |        \
	 FEATURE(VIRTIO_NET_F_HOST_TSO6) | FEATURE(VIRTIO_NET_F_HOST_ECN) |    \
	 FEATURE(VIRTIO_NET_F_GUEST_CSUM) | FEATURE(VIRTIO_NET_F_GUEST_TSO4) | \
	 FEATURE(VIRTIO_NET_F_GUEST_TSO6) | FEATURE(VIRTIO_NET_F_GUEST_ECN) |  \
	 FEATURE(VIRTIO_NET_F_MAC) | FEATURE(VIRTIO_NET_F_STATUS))
#define PAIRS_FEATURES (FEATURE(VIRTIO_NET_F_MQ) | FEATURE(VIRTIO_NET_F_CTRL_VQ))

struct pair {
	int tap, vhost;
	bool set; /* both of its rings are vhost's */
};

struct vhost_net {
	struct virtio_device dev;
	struct virtio_net_config config;
	unsigned int nr_pairs;
	struct pair pairs[TAP_QUEUES_MAX];
	struct watch error; /* an eventfd: vhost cannot make sense of a ring */
	struct watch links; /* the host's interfaces (tap.h) */
	unsigned int interface; /* the tap's number; another one's if it is made anew */
	struct watch kicked; /* the control queue's kick eventfd, or -1 */
	struct ring control;
};

static struct vhost_net *to_net(struct virtio_device *dev)
{
	return (struct vhost_net *)dev;
}

static int set_backend(struct vhost_net *net, unsigned int pair, int tap)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct vhost_vring_file backend = { i, tap };

		if (vhost__ioctl(&net->dev, net->pairs[pair].vhost, VHOST_NET_SET_BACKEND,
				 &backend))
			return -1;
	}
	return 0;
}

/* The interface spreads packets for the guest over the pairs that are attached. */
static int use_pair(struct vhost_net *net, unsigned int i, bool use)
{
	const struct pair *pair = &net->pairs[i];

	if (use)
		return (net->nr_pairs > 1 && tap__attach(net->dev.name, pair->tap, true)) ||
				       set_backend(net, i, pair->tap) ?
			       -1 :
			       0;
	if (pair->set && set_backend(net, i, -1))
		return -1;
	return net->nr_pairs > 1 ? tap__attach(net->dev.name, pair->tap, false) : 0;
}

/* The first @nr pairs; all of them must be set. */
static int use_pairs(struct vhost_net *net, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		if (i >= net->nr_pairs || !net->pairs[i].set)
			return -1;
	for (unsigned int i = 0; i < net->nr_pairs; i++)
		if (use_pair(net, i, i < nr))
			return -1;
	return 0;
}

/* VIRTIO_NET_CTRL_MQ is the only class that is offered. */
static uint8_t obey(struct vhost_net *net, const struct virtio_net_ctrl_hdr *hdr, uint16_t pairs)
{
	bool good =
		hdr->class == VIRTIO_NET_CTRL_MQ && hdr->cmd == VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET &&
		net->dev.negotiated & FEATURE(VIRTIO_NET_F_MQ) && pairs && !use_pairs(net, pairs);

	return good ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
}

/* @size bytes from buffers that may be cut at any byte. */
static void gather(void *to, size_t size, const struct iovec *buffers, unsigned int nr)
{
	for (unsigned int i = 0; i < nr && size; i++) {
		size_t part = buffers[i].iov_len < size ? buffers[i].iov_len : size;

		memcpy(to, buffers[i].iov_base, part);
		to = (char *)to + part;
		size -= part;
	}
}

static void control_kicked(void *context, uint32_t events)
{
	struct vhost_net *net = context;
	struct chain chain;
	unsigned int nr = 0;

	(void)events;
	virtio__drain(net->kicked.fd);
	while (nr < COMMANDS && ring__pop(&net->control, &chain)) {
		struct {
			struct virtio_net_ctrl_hdr hdr;
			uint16_t pairs;
		} __attribute__((packed)) command = {};
		const struct iovec *ack = &chain.buffers[chain.readable];

		gather(&command, sizeof(command), chain.buffers, chain.readable);
		if (chain.writable)
			*(uint8_t *)ack->iov_base = obey(net, &command.hdr, command.pairs);
		ring__push(&net->control, &chain, chain.writable ? 1 : 0);
		nr++;
	}
	ring__call(&net->control);
	/* A guest that never stops must not keep the others waiting: the rest comes later. */
	if (nr == COMMANDS)
		virtio__signal(net->kicked.fd);
}

/* It comes behind the pairs that the guest knows of. */
static int start_control(struct vhost_net *net)
{
	uint64_t features = net->dev.negotiated;
	unsigned int index = features & FEATURE(VIRTIO_NET_F_MQ) ? 2 * net->nr_pairs : 2;
	struct virtqueue *vq = &net->dev.queues[index];

	if (!(features & FEATURE(VIRTIO_NET_F_CTRL_VQ)) || !vq->enabled)
		return 0;
	if (ring__start(&net->control, &net->dev, vq))
		return complain("%s: the guest's control queue does not lie in its memory",
				net->dev.name);
	net->kicked.fd = vq->kick;
	return loop__add(&net->dev.machine->loop, &net->kicked, EPOLLIN);
}

static int set_memory(struct vhost_net *net, int vhost)
{
	const struct memory *memory = &net->dev.machine->memory;
	struct {
		struct vhost_memory header;
		struct vhost_memory_region regions[2];
	} table = { .header.nregions = memory->nr_pieces };

	for (unsigned int i = 0; i < memory->nr_pieces; i++)
		table.regions[i] = (struct vhost_memory_region){
			.guest_phys_addr = memory->pieces[i].guest,
			.memory_size = memory->pieces[i].size,
			.userspace_addr = (uintptr_t)memory->pieces[i].host,
		};
	return vhost__ioctl(&net->dev, vhost, VHOST_SET_MEM_TABLE, &table);
}

static int set_pair(struct vhost_net *net, unsigned int i)
{
	struct pair *pair = &net->pairs[i];
	uint64_t features = net->dev.negotiated & RING_FEATURES;

	if (!net->dev.queues[2 * i].enabled || !net->dev.queues[2 * i + 1].enabled)
		return 0;
	if (vhost__ioctl(&net->dev, pair->vhost, VHOST_SET_FEATURES, &features) ||
	    set_memory(net, pair->vhost))
		return -1;
	for (unsigned int j = 0; j < 2; j++) {
		struct vhost_vring_file error = { j, net->error.fd };

		if (vhost__set_ring(&net->dev, pair->vhost, j, &net->dev.queues[2 * i + j], true) ||
		    vhost__ioctl(&net->dev, pair->vhost, VHOST_SET_VRING_ERR, &error))
			return -1;
	}
	pair->set = true;
	return 0;
}

static void net_stop(struct virtio_device *dev)
{
	struct vhost_net *net = to_net(dev);

	if (net->kicked.fd >= 0)
		loop__remove(&dev->machine->loop, &net->kicked);
	net->kicked.fd = -1;
	use_pairs(net, 0);
	for (unsigned int i = 0; i < net->nr_pairs; i++)
		net->pairs[i].set = false;
}

/* One pair is in use until the guest asks for more. */
static int net_start(struct virtio_device *dev)
{
	struct vhost_net *net = to_net(dev);
	int status = tap__set_offload(dev->name, net->pairs[0].tap, dev->negotiated);

	for (unsigned int i = 0; i < net->nr_pairs && !status; i++)
		status = set_pair(net, i);
	if (!status && net->pairs[0].set)
		status = use_pairs(net, 1);
	if (!status && !start_control(net))
		return 0;
	net_stop(dev);
	return -1;
}

static void net_read_config(struct virtio_device *dev, uint32_t offset, void *data,
			    unsigned int size)
{
	memcpy(data, (const char *)&to_net(dev)->config + offset, size);
}

static void net_destroy(struct virtio_device *dev)
{
	struct vhost_net *net = to_net(dev);

	if (net->error.fd >= 0) {
		loop__remove(&dev->machine->loop, &net->error);
		close(net->error.fd);
	}
	if (net->links.fd >= 0) {
		loop__remove(&dev->machine->loop, &net->links);
		close(net->links.fd);
	}
	for (unsigned int i = 0; i < net->nr_pairs; i++) {
		if (net->pairs[i].vhost >= 0)
			close(net->pairs[i].vhost);
		if (net->pairs[i].tap >= 0)
			close(net->pairs[i].tap);
	}
	virtio__destroy_queues(dev);
	queues__released(dev);
	free((char *)dev->name);
	free(net);
}

static const struct virtio_ops net_ops = {
	.start = net_start,
	.stop = net_stop,
	.read_config = net_read_config,
	.destroy = net_destroy,
};

static void error_ready(void *context, uint32_t events)
{
	struct vhost_net *net = context;

	(void)events;
	virtio__drain(net->error.fd);
	if (net->dev.broken || !net->dev.started)
		return;
	complain("%s: the guest's virtqueues are not in order: it has to reset the device",
		 net->dev.name);
	use_pairs(net, 0);
	virtio__broken(&net->dev);
}

static void links_ready(void *context, uint32_t events)
{
	struct vhost_net *net = context;

	(void)events;
	tap__seen(net->links.fd);
	if (net->dev.broken || if_nametoindex(net->dev.name) == net->interface)
		return;
	complain("%s has been taken away from the host: release it", net->dev.name);
	use_pairs(net, 0);
	virtio__broken(&net->dev);
}

/* FNV-1a */
static uint64_t hash(uint64_t value, const char *text)
{
	while (*text)
		value = (value ^ (uint8_t)*text++) * 0x100000001b3ULL;
	return value;
}

/*
 * The same address for the same tap of the same host each time, so that the guest
 * knows its interface again; locally administered, and unlike another host's.
 */
static void choose_address(struct virtio_net_config *config, const char *tap)
{
	char machine_id[64] = "";
	FILE *in = fopen("/etc/machine-id", "re");
	uint64_t value;

	if (in) {
		if (!fgets(machine_id, sizeof(machine_id), in))
			*machine_id = '\0';
		fclose(in);
	}
	value = hash(hash(0xcbf29ce484222325ULL, machine_id), tap);
	memcpy(config->mac, &value, sizeof(config->mac));
	config->mac[0] = (config->mac[0] & 0xfc) | 0x02;
}

static int open_vhost(struct vhost_net *net, struct pair *pair)
{
	pair->vhost = open("/dev/vhost-net", O_RDWR | O_CLOEXEC);
	if (pair->vhost < 0)
		return complain("%s needs /dev/vhost-net (%s): modprobe vhost_net, or be root",
				net->dev.name, strerror(errno));
	return vhost__ioctl(&net->dev, pair->vhost, VHOST_SET_OWNER, NULL);
}

static int open_pairs(struct vhost_net *net)
{
	int taps[TAP_QUEUES_MAX], status;

	memset(taps, 0xff, sizeof(taps));
	status = tap__open(net->dev.name, taps, net->nr_pairs);
	for (unsigned int i = 0; i < net->nr_pairs; i++) {
		net->pairs[i] = (struct pair){ .tap = taps[i], .vhost = -1 };
		if (!status)
			status = open_vhost(net, &net->pairs[i]);
	}
	return status;
}

static int describe(struct vhost_net *net)
{
	bool several = net->nr_pairs > 1;
	uint64_t features;

	if (vhost__ioctl(&net->dev, net->pairs[0].vhost, VHOST_GET_FEATURES, &features))
		return -1;
	net->dev.offered = (features & RING_FEATURES) | TAP_FEATURES;
	if (several)
		net->dev.offered |= PAIRS_FEATURES;
	net->config.status = VIRTIO_NET_S_LINK_UP;
	net->config.max_virtqueue_pairs = net->nr_pairs;
	choose_address(&net->config, net->dev.name);
	return virtio__create_queues(&net->dev, 2 * net->nr_pairs + several, QUEUE_SIZE);
}

static int watch(struct vhost_net *net)
{
	net->kicked = (struct watch){ -1, control_kicked, net };
	net->error = (struct watch){ eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), error_ready, net };
	if (net->error.fd < 0)
		return complain("%s: no more file descriptors (%s): raise the limit (ulimit -n)",
				net->dev.name, strerror(errno));
	net->interface = if_nametoindex(net->dev.name);
	net->links = (struct watch){ tap__watch(), links_ready, net };
	if (net->links.fd < 0 || loop__add(&net->dev.machine->loop, &net->links, EPOLLIN))
		return -1;
	return loop__add(&net->dev.machine->loop, &net->error, EPOLLIN);
}

struct virtio_device *vhost_net__create(struct machine *machine,
					const struct queue_options *options)
{
	struct vhost_net *net;
	char *name;

	if (options->queues > TAP_QUEUES_MAX) {
		complain("%s: a tap has at most %d pairs of queues", options->name, TAP_QUEUES_MAX);
		return NULL;
	}
	net = calloc(1, sizeof(*net));
	name = strdup(options->name);
	if (!net || !name) {
		complain("out of memory");
		free(name);
		free(net);
		return NULL;
	}
	net->error.fd = net->links.fd = -1;
	net->nr_pairs = options->queues ? options->queues : 1;
	net->dev = (struct virtio_device){
		.ops = &net_ops,
		.machine = machine,
		.name = name,
		.id = VIRTIO_ID_NET,
		.config_size = offsetof(struct virtio_net_config, mtu),
	};
	if (!open_pairs(net) && !watch(net) && !describe(net))
		return &net->dev;
	net_destroy(&net->dev);
	return NULL;
}
