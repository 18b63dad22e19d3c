// SPDX-License-Identifier: GPL-2.0-only
#include "vdpa-list.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/vdpa.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dragonfly.h"

#define ANSWER_SIZE 32768 /* what the kernel's dumps fit into */

struct request {
	struct nlmsghdr header;
	struct genlmsghdr command;
	char attributes[64];
};

static void add_string(struct request *request, uint16_t type, const char *text)
{
	struct nlattr attribute = { NLA_HDRLEN + strlen(text) + 1, type };
	char *at = (char *)request + NLMSG_ALIGN(request->header.nlmsg_len);

	memcpy(at, &attribute, sizeof(attribute));
	memcpy(at + NLA_HDRLEN, text, strlen(text) + 1);
	request->header.nlmsg_len += NLA_ALIGN(attribute.nla_len);
}

static struct request new_request(uint16_t family, uint16_t flags, uint8_t command)
{
	return (struct request){
		.header = {
			.nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN),
			.nlmsg_type = family,
			.nlmsg_flags = NLM_F_REQUEST | flags,
		},
		.command = { .cmd = command, .version = 1 },
	};
}

/* Hands the attributes of a message to @each. */
static void walk(const struct nlmsghdr *header,
		 void (*each)(void *context, const struct nlattr *attribute), void *context)
{
	const char *at = (const char *)NLMSG_DATA(header) + GENL_HDRLEN;
	const char *end = (const char *)header + header->nlmsg_len;

	while (end - at >= NLA_HDRLEN) {
		const struct nlattr *attribute = (const struct nlattr *)at;

		if (attribute->nla_len < NLA_HDRLEN || attribute->nla_len > end - at)
			break;
		each(context, attribute);
		at += NLA_ALIGN(attribute->nla_len);
	}
}

/* Asks, and hands each message of the answer to @each: 0, or the error. */
static int ask(int socket, const struct request *request,
	       void (*each)(void *context, const struct nlmsghdr *header), void *context)
{
	static char answer[ANSWER_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));

	if (send(socket, request, request->header.nlmsg_len, 0) < 0)
		return errno;
	for (;;) {
		int size = recv(socket, answer, sizeof(answer), 0);
		struct nlmsghdr *header = (struct nlmsghdr *)answer;

		if (size <= 0)
			return size ? errno : EIO;
		for (; NLMSG_OK(header, size); header = NLMSG_NEXT(header, size)) {
			if (header->nlmsg_type == NLMSG_ERROR)
				return -((struct nlmsgerr *)NLMSG_DATA(header))->error;
			if (header->nlmsg_type == NLMSG_DONE)
				return 0;
			each(context, header);
			if (!(header->nlmsg_flags & NLM_F_MULTI))
				return 0;
		}
	}
}

static const void *value_of(const struct nlattr *attribute)
{
	return (const char *)attribute + NLA_HDRLEN;
}

static void family_attribute(void *context, const struct nlattr *attribute)
{
	if (attribute->nla_type == CTRL_ATTR_FAMILY_ID)
		memcpy(context, value_of(attribute), sizeof(uint16_t));
}

static void family_message(void *context, const struct nlmsghdr *header)
{
	walk(header, family_attribute, context);
}

static void device_attribute(void *context, const struct nlattr *attribute)
{
	struct vdpa_info *info = context;

	switch (attribute->nla_type) {
	case VDPA_ATTR_DEV_NAME:
		info->name = value_of(attribute);
		break;
	case VDPA_ATTR_DEV_ID:
		memcpy(&info->id, value_of(attribute), sizeof(info->id));
		break;
	case VDPA_ATTR_DEV_MAX_VQS:
		memcpy(&info->queues, value_of(attribute), sizeof(info->queues));
		break;
	}
}

struct listener {
	void (*each)(void *context, const struct vdpa_info *info);
	void *context;
};

static void device_message(void *context, const struct nlmsghdr *header)
{
	const struct listener *listener = context;
	struct vdpa_info info = {};

	walk(header, device_attribute, &info);
	if (info.name)
		listener->each(listener->context, &info);
}

int vdpa__list(void (*each)(void *context, const struct vdpa_info *info), void *context)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC), error;
	struct request request = new_request(GENL_ID_CTRL, 0, CTRL_CMD_GETFAMILY);
	struct listener listener = { each, context };
	uint16_t family = 0;

	if (fd < 0)
		return complain("cannot ask the kernel for its vDPA devices (%s)", strerror(errno));
	add_string(&request, CTRL_ATTR_FAMILY_NAME, VDPA_GENL_NAME);
	error = ask(fd, &request, family_message, &family);
	if (!error && family) {
		request = new_request(family, NLM_F_DUMP, VDPA_CMD_DEV_GET);
		error = ask(fd, &request, device_message, &listener);
	}
	close(fd);
	/* ENOENT: there is no such family, as vdpa is not loaded. */
	if (error && error != ENOENT)
		return complain("the kernel does not list its vDPA devices (%s)", strerror(error));
	return 0;
}
