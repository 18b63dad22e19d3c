// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vDPA device: hardware virtqueues, or a process's by VDUSE.  Its I/O virtual
 * addresses are the guest's physical ones.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "dragonfly.h"
#include "queues.h"
#include "vduse.h"
#include "vhost.h"

#define DOORBELL_SIZE 4096
#define CONFIG_ACCESS_MAX 8

#define STATUS_DRIVER (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER)
#define STATUS_FEATURES (STATUS_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK)
#define STATUS_RUNNING (STATUS_FEATURES | VIRTIO_CONFIG_S_DRIVER_OK)

struct vhost_vdpa {
	struct virtio_device dev;
	int fd;
	struct watch config; /* an eventfd: the configuration has changed */
	struct watch fate; /* an inotify: the device goes, or the process behind it */
	int process; /* the latter's watch */
	char path[VDUSE_PATH_MAX]; /* what that process has open; empty if it is hardware */
	unsigned int pairs; /* of a net: behind all of them is its control queue */
	unsigned int limit; /* queues, or pairs, that the guest is told of; 0: all */
	bool mapped;
};

static struct vhost_vdpa *to_vdpa(struct virtio_device *dev)
{
	return (struct vhost_vdpa *)dev;
}

#define vdpa_ioctl(v, request, argument) \
	vhost__request(&(v)->dev, (v)->fd, request, argument, #request)

/* A process that VDUSE waits for in vain costs the device (vduse.h). */
static int ask_alive(struct vhost_vdpa *v)
{
	if (!*v->path || vduse__is_served(v->path))
		return 0;
	return complain("%s: no process serves it: start its daemon again", v->dev.name);
}

/* A device takes a status, or it does not: only reading it back tells. */
static int set_status(struct vhost_vdpa *v, uint8_t status)
{
	uint8_t back;

	if (vdpa_ioctl(v, VHOST_VDPA_SET_STATUS, &status) ||
	    vdpa_ioctl(v, VHOST_VDPA_GET_STATUS, &back))
		return -1;
	return back == status ?
		       0 :
		       complain("%s has status 0x%x, not 0x%x: see the log of who serves it",
				v->dev.name, back, status);
}

static bool vdpa_accept(struct virtio_device *dev)
{
	struct vhost_vdpa *v = to_vdpa(dev);

	return !ask_alive(v) && !set_status(v, 0) && !set_status(v, STATUS_DRIVER) &&
	       !vdpa_ioctl(v, VHOST_SET_FEATURES, &dev->negotiated) &&
	       !set_status(v, STATUS_FEATURES);
}

static int send_iotlb(struct vhost_vdpa *v, uint8_t type, const struct memory_piece *piece)
{
	struct vhost_msg_v2 msg = { .type = VHOST_IOTLB_MSG_V2, .iotlb.type = type };

	if (piece) {
		msg.iotlb.iova = piece->guest;
		msg.iotlb.size = piece->size;
		msg.iotlb.uaddr = (uintptr_t)piece->host;
		msg.iotlb.perm = VHOST_ACCESS_RW;
	}
	return write(v->fd, &msg, sizeof(msg)) == sizeof(msg) ? 0 : -1;
}

/* All of the guest's memory, in one batch. */
static int update_iotlb(struct vhost_vdpa *v, uint8_t type)
{
	const struct memory *memory = &v->dev.machine->memory;
	int status = send_iotlb(v, VHOST_IOTLB_BATCH_BEGIN, NULL);

	for (unsigned int i = 0; i < memory->nr_pieces && !status; i++)
		status = send_iotlb(v, type, &memory->pieces[i]);
	return send_iotlb(v, VHOST_IOTLB_BATCH_END, NULL) || status ? -1 : 0;
}

static int map_memory(struct vhost_vdpa *v)
{
	v->mapped = true;
	if (!update_iotlb(v, VHOST_IOTLB_UPDATE))
		return 0;
	/* vhost says EFAULT for whatever went wrong: locked memory, or 2048 pieces of it. */
	return complain("%s cannot map the guest's memory: try --hugepages, or raise ulimit -l",
			v->dev.name);
}

/* The control queue comes last, behind all pairs that the device has, not those that are used. */
static unsigned int ring_index(const struct vhost_vdpa *v, unsigned int i)
{
	bool control = v->limit && v->dev.id == VIRTIO_ID_NET && i == 2 * v->limit &&
		       v->dev.negotiated & FEATURE(VIRTIO_NET_F_MQ);

	return control ? 2 * v->pairs : i;
}

static int set_rings(struct vhost_vdpa *v)
{
	for (unsigned int i = 0; i < v->dev.nr_queues; i++) {
		const struct virtqueue *vq = &v->dev.queues[i];
		struct vhost_vring_state enable = { ring_index(v, i), 1 };

		if (vq->enabled && (vhost__set_ring(&v->dev, v->fd, enable.index, vq, false) ||
				    vdpa_ioctl(v, VHOST_VDPA_SET_VRING_ENABLE, &enable)))
			return -1;
	}
	return 0;
}

/* A reset takes the device off the rings, and frees what it had of the guest's memory. */
static void vdpa_stop(struct virtio_device *dev)
{
	struct vhost_vdpa *v = to_vdpa(dev);
	struct vduse_stand_in stand_in;
	uint8_t status = 0;

	vduse__stand_in(&stand_in, v->path);
	vdpa_ioctl(v, VHOST_VDPA_SET_STATUS, &status);
	if (v->mapped)
		update_iotlb(v, VHOST_IOTLB_INVALIDATE);
	v->mapped = false;
	vduse__step_back(&stand_in);
}

/* It is over when that process closes the device. */
static void watch_process(struct vhost_vdpa *v)
{
	if (*v->path)
		v->process = inotify_add_watch(v->fate.fd, v->path, IN_CLOSE | IN_ONESHOT);
}

static int vdpa_start(struct virtio_device *dev)
{
	struct vhost_vdpa *v = to_vdpa(dev);

	/* First: from here on its end is either seen or told of. */
	watch_process(v);
	if (ask_alive(v))
		return -1;
	/* Resetting the device has taken this eventfd away from it, and the queues'. */
	if (!map_memory(v) && !set_rings(v) &&
	    !vdpa_ioctl(v, VHOST_VDPA_SET_CONFIG_CALL, &v->config.fd) &&
	    !set_status(v, STATUS_RUNNING))
		return 0;
	vdpa_stop(dev);
	return -1;
}

/* Where in the configuration the number of queues is that a limit hides. */
static unsigned int limit_offset(const struct vhost_vdpa *v)
{
	return v->dev.id == VIRTIO_ID_NET ?
		       offsetof(struct virtio_net_config, max_virtqueue_pairs) :
		       offsetof(struct virtio_blk_config, num_queues);
}

struct config_access {
	uint32_t off, len; /* struct vhost_vdpa_config */
	uint8_t data[CONFIG_ACCESS_MAX];
};

static void vdpa_read_config(struct virtio_device *dev, uint32_t offset, void *data,
			     unsigned int size)
{
	struct vhost_vdpa *v = to_vdpa(dev);
	struct config_access access = { offset, size, { 0 } };

	if (size > CONFIG_ACCESS_MAX)
		return;
	vdpa_ioctl(v, VHOST_VDPA_GET_CONFIG, &access);
	for (unsigned int i = 0; v->limit && i < 2; i++) {
		uint32_t at = limit_offset(v) + i - offset;

		if (at < size)
			access.data[at] = v->limit >> (8 * i);
	}
	memcpy(data, access.data, size);
}

static void vdpa_write_config(struct virtio_device *dev, uint32_t offset, const void *data,
			      unsigned int size)
{
	struct config_access access = { offset, size, { 0 } };

	if (size > CONFIG_ACCESS_MAX)
		return;
	memcpy(access.data, data, size);
	vdpa_ioctl(to_vdpa(dev), VHOST_VDPA_SET_CONFIG, &access);
}

static void vdpa_destroy(struct virtio_device *dev)
{
	struct vhost_vdpa *v = to_vdpa(dev);
	struct vduse_stand_in stand_in;

	for (unsigned int i = 0; i < dev->nr_queues; i++)
		if (dev->queues[i].doorbell)
			munmap(dev->queues[i].doorbell, DOORBELL_SIZE);
	virtio__destroy_queues(dev);
	if (v->fate.fd >= 0) {
		loop__remove(&dev->machine->loop, &v->fate);
		close(v->fate.fd);
	}
	if (v->config.fd >= 0) {
		loop__remove(&dev->machine->loop, &v->config);
		close(v->config.fd);
	}
	/* Closing resets it once more. */
	vduse__stand_in(&stand_in, v->path);
	if (v->fd >= 0)
		close(v->fd);
	vduse__step_back(&stand_in);
	queues__released(dev);
	free((char *)dev->name);
	free(v);
}

static const struct virtio_ops vdpa_ops = {
	.accept = vdpa_accept,
	.start = vdpa_start,
	.stop = vdpa_stop,
	.read_config = vdpa_read_config,
	.write_config = vdpa_write_config,
	.destroy = vdpa_destroy,
};

static void config_ready(void *context, uint32_t events)
{
	struct vhost_vdpa *v = context;

	(void)events;
	virtio__drain(v->config.fd);
	virtio__config_changed(&v->dev);
}

/*
 * The device itself goes ("vdpa dev del"), for which the kernel waits until nobody has
 * it open any more: the guest loses it without being asked.
 */
static bool is_gone(const struct vhost_vdpa *v)
{
	struct stat stat;

	return fstat(v->fd, &stat) || !stat.st_nlink;
}

static void fate_ready(void *context, uint32_t events)
{
	struct vhost_vdpa *v = context;
	char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	struct inotify_event *event;
	ssize_t size = read(v->fate.fd, buffer, sizeof(buffer));
	bool closed = false;

	(void)events;
	for (ssize_t at = 0; at < size; at += sizeof(*event) + event->len) {
		event = (struct inotify_event *)(buffer + at);
		closed |= event->wd == v->process && event->mask & IN_CLOSE;
	}
	/* It was the only one that had it open. */
	if (closed && v->dev.started) {
		complain("%s: who served it has ended: start its daemon again, or release it",
			 v->dev.name);
		virtio__broken(&v->dev);
	}
	if (is_gone(v)) {
		complain("%s has been taken away from the host, and from the guest", v->dev.name);
		queues__release(v->dev.machine, v->dev.name, true);
	}
}

static int watch(struct vhost_vdpa *v)
{
	struct loop *loop = &v->dev.machine->loop;

	v->config = (struct watch){ eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), config_ready, v };
	v->fate = (struct watch){ inotify_init1(IN_CLOEXEC | IN_NONBLOCK), fate_ready, v };
	if (v->config.fd < 0 || v->fate.fd < 0)
		return complain("%s: no more file descriptors (%s): raise the limit (ulimit -n)",
				v->dev.name, strerror(errno));
	inotify_add_watch(v->fate.fd, v->dev.name, IN_ATTRIB);
	if (loop__add(loop, &v->config, EPOLLIN) || loop__add(loop, &v->fate, EPOLLIN))
		return -1;
	return 0;
}

/* The vDPA device below a character device: .../NAME/vhost-vdpa-0 in sysfs. */
static int find(struct vhost_vdpa *v)
{
	char link[64], *place;
	struct stat stat_;
	bool found;

	if (stat(v->dev.name, &stat_) || !S_ISCHR(stat_.st_mode))
		return complain("there is no vDPA device %s: see dragonfly queue list",
				v->dev.name);
	snprintf(link, sizeof(link), "/sys/dev/char/%u:%u", major(stat_.st_rdev),
		 minor(stat_.st_rdev));
	place = realpath(link, NULL);
	found = place && !strncmp(basename(place), "vhost-vdpa-", strlen("vhost-vdpa-"));
	if (found)
		vduse__path(basename(dirname(place)), v->path);
	free(place);
	return found ? 0 :
		       complain("%s is not a vDPA device: see dragonfly queue list", v->dev.name);
}

static int open_device(struct vhost_vdpa *v)
{
	uint64_t wanted = FEATURE(VHOST_BACKEND_F_IOTLB_MSG_V2) |
			  FEATURE(VHOST_BACKEND_F_IOTLB_BATCH);
	const char *advice = "see dmesg";

	if (find(v) || ask_alive(v))
		return -1;
	v->fd = open(v->dev.name, O_RDWR | O_CLOEXEC);
	if (v->fd < 0) {
		if (errno == EBUSY)
			advice = "another process has it open, and one at a time may";
		else if (errno == EACCES || errno == EPERM)
			advice = "be root, or have its owner give you access";
		else if (errno == EIO)
			advice = "who serves it did not answer: remove it and set it up again";
		return complain("cannot open %s (%s): %s", v->dev.name, strerror(errno), advice);
	}
	if (vdpa_ioctl(v, VHOST_SET_OWNER, NULL) ||
	    vdpa_ioctl(v, VHOST_SET_BACKEND_FEATURES, &wanted))
		return -1;
	return 0;
}

/* How many virtqueues the guest is to see of a net's; its device has them all in pairs. */
static int limit_net(struct vhost_vdpa *v, unsigned int wanted)
{
	bool control = v->dev.offered & FEATURE(VIRTIO_NET_F_CTRL_VQ);
	uint16_t pairs = 1;

	if (v->dev.offered & FEATURE(VIRTIO_NET_F_MQ))
		vdpa_read_config(&v->dev, limit_offset(v), &pairs, sizeof(pairs));
	v->pairs = pairs;
	if (wanted > pairs)
		return complain("%s has %u pairs of queues, not %u", v->dev.name, pairs, wanted);
	return 2 * (wanted ? wanted : pairs) + control;
}

static int limit_queues(struct vhost_vdpa *v, unsigned int count, unsigned int wanted)
{
	int nr = wanted ? wanted : count;

	if (v->dev.id == VIRTIO_ID_NET)
		nr = limit_net(v, wanted);
	else if (wanted && v->dev.id != VIRTIO_ID_BLOCK)
		return complain("%s is neither disk nor network (device %u): leave out queues=",
				v->dev.name, v->dev.id);
	if (nr > (int)count)
		return complain("%s has %u queues, not %d", v->dev.name, count, nr);
	v->limit = wanted;
	return nr;
}

/* The data queues' doorbells; a control queue is not worth one. */
static void map_doorbells(struct vhost_vdpa *v)
{
	unsigned int nr = v->dev.id == VIRTIO_ID_NET ? v->dev.nr_queues & ~1u : v->dev.nr_queues;

	for (unsigned int i = 0; i < nr; i++) {
		void *page = mmap(NULL, DOORBELL_SIZE, PROT_WRITE, MAP_SHARED, v->fd,
				  (off_t)i * DOORBELL_SIZE);

		v->dev.queues[i].doorbell = page == MAP_FAILED ? NULL : page;
	}
}

static int describe(struct vhost_vdpa *v, unsigned int wanted)
{
	uint32_t id, count;
	uint16_t size;
	int nr;

	if (vdpa_ioctl(v, VHOST_VDPA_GET_DEVICE_ID, &id) ||
	    vdpa_ioctl(v, VHOST_GET_FEATURES, &v->dev.offered) ||
	    vdpa_ioctl(v, VHOST_VDPA_GET_VQS_COUNT, &count) ||
	    vdpa_ioctl(v, VHOST_VDPA_GET_VRING_NUM, &size) ||
	    vdpa_ioctl(v, VHOST_VDPA_GET_CONFIG_SIZE, &v->dev.config_size))
		return -1;
	v->dev.id = id;
	nr = limit_queues(v, count, wanted);
	if (nr < 0 || virtio__create_queues(&v->dev, nr, size))
		return -1;
	map_doorbells(v);
	return 0;
}

struct virtio_device *vhost_vdpa__create(struct machine *machine,
					 const struct queue_options *options)
{
	struct vhost_vdpa *v = calloc(1, sizeof(*v));
	char *name = strdup(options->name);

	if (!v || !name) {
		complain("out of memory");
		free(name);
		free(v);
		return NULL;
	}
	v->fd = v->config.fd = v->fate.fd = -1;
	v->dev = (struct virtio_device){ .ops = &vdpa_ops, .machine = machine, .name = name };
	if (!open_device(v) && !describe(v, options->queues) && !watch(v))
		return &v->dev;
	vdpa_destroy(&v->dev);
	return NULL;
}
