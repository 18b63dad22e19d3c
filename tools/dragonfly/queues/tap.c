// SPDX-License-Identifier: GPL-2.0-only
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dragonfly.h"
#include "vhost.h"

unsigned int tap__flags(const char *name)
{
	char path[64];
	unsigned int flags = 0;
	FILE *in;

	snprintf(path, sizeof(path), "/sys/class/net/%s/tun_flags", name);
	in = fopen(path, "re");
	if (!in)
		return 0;
	if (fscanf(in, "%x", &flags) != 1)
		flags = 0;
	fclose(in);
	return flags & IFF_TAP ? flags : 0;
}

static int open_queue(const char *name, unsigned int flags)
{
	struct ifreq request = { .ifr_flags = flags };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int header = sizeof(struct virtio_net_hdr_mrg_rxbuf);

	if (fd < 0)
		return complain("cannot open /dev/net/tun (%s): modprobe tun, or be root",
				strerror(errno));
	snprintf(request.ifr_name, IFNAMSIZ, "%s", name);
	if (!ioctl(fd, TUNSETIFF, &request) && !ioctl(fd, TUNSETVNETHDRSZ, &header))
		return fd;
	complain("cannot open the tap %s (%s): %s", name, strerror(errno),
		 errno == EBUSY ? "another process has it open" :
				  "be root, or its owner (ip tuntap add … user …)");
	close(fd);
	return -1;
}

int tap__open(const char *name, int *fds, unsigned int nr)
{
	unsigned int made = tap__flags(name);
	unsigned int flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (made & IFF_MULTI_QUEUE);

	if (!made)
		return complain("there is no tap %s: ip tuntap add %s mode tap%s makes it", name,
				name, nr > 1 ? " multi_queue" : "");
	if (nr > 1 && !(made & IFF_MULTI_QUEUE))
		return complain("the tap %s has one queue, not %u: make it with multi_queue", name,
				nr);
	for (unsigned int i = 0; i < nr; i++) {
		fds[i] = open_queue(name, flags);
		if (fds[i] < 0)
			return -1;
	}
	return 0;
}

int tap__set_offload(const char *name, int fd, uint64_t features)
{
	static const struct {
		unsigned int feature, offload;
	} offloads[] = {
		{ VIRTIO_NET_F_GUEST_CSUM, TUN_F_CSUM },
		{ VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4 },
		{ VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6 },
		{ VIRTIO_NET_F_GUEST_ECN, TUN_F_TSO_ECN },
	};
	unsigned long wanted = 0;

	for (unsigned int i = 0; i < sizeof(offloads) / sizeof(*offloads); i++)
		if (features & FEATURE(offloads[i].feature))
			wanted |= offloads[i].offload;
	if (!ioctl(fd, TUNSETOFFLOAD, wanted))
		return 0;
	return complain("%s refuses TUNSETOFFLOAD 0x%lx (%s)", name, wanted, strerror(errno));
}

int tap__attach(const char *name, int fd, bool attach)
{
	struct ifreq request = { .ifr_flags = attach ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

	/* EINVAL: it is as it shall be. */
	if (!ioctl(fd, TUNSETQUEUE, &request) || errno == EINVAL)
		return 0;
	return complain("%s refuses TUNSETQUEUE (%s)", name, strerror(errno));
}

int tap__watch(void)
{
	struct sockaddr_nl links = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd >= 0 && !bind(fd, (struct sockaddr *)&links, sizeof(links)))
		return fd;
	complain("cannot watch the host's interfaces (%s): see ulimit -n", strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

/* What they say is of no interest, nor that some of it was lost. */
void tap__seen(int watch)
{
	char message[4096];

	while (recv(watch, message, sizeof(message), 0) >= 0 || errno == ENOBUFS || errno == EINTR)
		;
}
