// SPDX-License-Identifier: GPL-2.0-only
/*
 * dragonfly queue: which queues the host has and which VM holds them; to give one
 * to a running VM, and to take it back.
 */
#include <errno.h>
#include <glob.h>
#include <libgen.h>
#include <linux/if_tun.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control/control.h"
#include "dragonfly.h"
#include "print.h"
#include "queues/holder.h"
#include "queues/queues.h"
#include "queues/tap.h"
#include "queues/vdpa-list.h"

#define PATIENCE 100 /* tenths of a second that a guest has to let go of a queue */

static void usage(FILE *out)
{
	fputs("usage: dragonfly queue list [--json]\n"
	      "       dragonfly queue assign NAME vdpa=DEVICE[,queues=N]\n"
	      "       dragonfly queue assign NAME tap=INTERFACE[,queues=N][,vhost]\n"
	      "       dragonfly queue release NAME QUEUE [--force]\n\n"
	      "list: the queues that the host has, and the VM that holds each: vDPA devices, from\n"
	      "hardware or a process (VDUSE), and tap interfaces, which the kernel's vhost-net\n"
	      "serves and nothing else.\n\n"
	      "assign: gives a VM a queue while it runs; its guest finds a new PCI device.\n\n"
	      "release: has the guest let go of a queue, and waits until it has.\n\n"
	      "  --force  takes the queue away at once; the guest sees I/O errors\n"
	      "  --json   as an array of objects\n",
	      out);
}

/* ---- list ------------------------------------------------------------------------ */

static void add_row(struct json_object *rows, const char *queue, const char *kind,
		    const char *device, int64_t queues)
{
	struct json_object *row = json_object_new_object();
	char *holder = holder__of(queue);

	json_object_object_add(row, "queue", json_object_new_string(queue));
	json_object_object_add(row, "kind", json_object_new_string(kind));
	json_object_object_add(row, "device", json_object_new_string(device));
	json_object_object_add(row, "queues", json_object_new_int64(queues));
	json_object_object_add(row, "vm", holder ? json_object_new_string(holder) : NULL);
	json_object_array_add(rows, row);
	free(holder);
}

/* One without a vhost-vdpa-N below it is the host's own, or nobody's yet. */
static void add_vdpa(void *context, const struct vdpa_info *info)
{
	const char *kind = info->id == VIRTIO_ID_BLOCK ? "disk" :
			   info->id == VIRTIO_ID_NET   ? "network" :
							 "other";
	char pattern[256], path[64];
	glob_t found;

	snprintf(pattern, sizeof(pattern), "/sys/bus/vdpa/devices/%s/vhost-vdpa-*", info->name);
	if (!glob(pattern, 0, NULL, &found)) {
		snprintf(path, sizeof(path), "/dev/%s", basename(found.gl_pathv[0]));
		add_row(context, path, kind, info->name, info->queues);
		globfree(&found);
	} else {
		add_row(context, "-", kind, info->name, info->queues);
	}
}

static void add_taps(struct json_object *rows)
{
	glob_t found;

	if (glob("/sys/class/net/*/tun_flags", 0, NULL, &found))
		return;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		const char *name = basename(dirname(found.gl_pathv[i]));
		unsigned int flags = tap__flags(name);

		if (flags)
			add_row(rows, name, "tap",
				flags & IFF_MULTI_QUEUE ? "multi_queue" : "one queue",
				flags & IFF_MULTI_QUEUE ? TAP_QUEUES_MAX : 1);
	}
	globfree(&found);
}

static void print_rows(struct json_object *rows)
{
	printf("%-20s %-8s %-16s %6s  %s\n", "QUEUE", "KIND", "DEVICE", "QUEUES", "VM");
	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		struct json_object *row = json_object_array_get_idx(rows, i);
		const char *vm = print__text(row, "vm");

		printf("%-20s %-8s %-16s %6llu  %s\n", print__text(row, "queue"),
		       print__text(row, "kind"), print__text(row, "device"),
		       (unsigned long long)print__number(row, "queues"), *vm ? vm : "-");
	}
}

static int list(bool json)
{
	struct json_object *rows = json_object_new_array();
	int status = vdpa__list(add_vdpa, rows);

	add_taps(rows);
	if (json)
		print__json(rows);
	else if (json_object_array_length(rows))
		print_rows(rows);
	json_object_put(rows);
	if (!json && access("/dev/vhost-net", F_OK))
		printf("There is no /dev/vhost-net, which taps need: modprobe vhost_net\n");
	return status ? STATUS_NO : STATUS_OK;
}

/* ---- assign and release ---------------------------------------------------------- */

static int order(const char *vm, struct json_object *request)
{
	struct json_object *answer = control__order(vm, request);

	json_object_put(answer);
	return answer ? STATUS_OK : STATUS_NO;
}

static int assign(const char *vm, const char *text)
{
	enum queue_kind kind = strncmp(text, "tap=", strlen("tap=")) ? QUEUE_VDPA : QUEUE_TAP;
	struct json_object *request;
	struct queue_options options;

	if (queues__parse(&options, kind, text))
		return STATUS_USAGE;
	free(options.name);
	request = control__request("assign");
	json_object_object_add(request, "kind",
			       json_object_new_string(kind == QUEUE_TAP ? "tap" : "vdpa"));
	json_object_object_add(request, "text", json_object_new_string(text));
	return order(vm, request);
}

static bool has(const char *vm, const char *queue)
{
	char *holder = holder__of(queue);
	bool same = holder && !strcmp(holder, vm);

	free(holder);
	return same;
}

static int wait_for_release(const char *vm, const char *queue)
{
	const struct timespec tenth = { .tv_nsec = 100000000 };

	for (unsigned int i = 0; i < PATIENCE; i++) {
		if (!has(vm, queue))
			return STATUS_OK;
		nanosleep(&tenth, NULL);
	}
	complain("the guest of %s has not let go of %s: is it in use there? --force takes it away",
		 vm, queue);
	return STATUS_NO;
}

static int release(const char *vm, const char *name, bool force)
{
	char *queue = queues__device(name);
	struct json_object *request;
	int status;

	if (!queue)
		return STATUS_NO;
	request = control__request("release");
	json_object_object_add(request, "name", json_object_new_string(queue));
	json_object_object_add(request, "force", json_object_new_boolean(force));
	status = order(vm, request);
	if (status == STATUS_OK)
		status = wait_for_release(vm, queue);
	free(queue);
	return status;
}

int queue__main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	const char *last = argc > 2 ? argv[argc - 1] : "";

	if (!strcmp(verb, "--help") || !strcmp(verb, "-h") || !strcmp(last, "--help")) {
		usage(stdout);
		return STATUS_OK;
	}
	if (!strcmp(verb, "list") && (argc == 2 || (argc == 3 && !strcmp(last, "--json"))))
		return list(argc == 3);
	if (!strcmp(verb, "assign") && argc == 4)
		return assign(argv[2], argv[3]);
	if (!strcmp(verb, "release") && argc == 4 && *last != '-')
		return release(argv[2], argv[3], false);
	if (!strcmp(verb, "release") && argc == 5 && !strcmp(last, "--force"))
		return release(argv[2], argv[3], true);
	complain("see dragonfly queue --help for what queue takes");
	return STATUS_USAGE;
}
