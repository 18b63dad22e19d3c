// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a running VM can be asked.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/console.h"
#include "devices/power.h"
#include "devices/virtio-pci.h"
#include "dragonfly.h"
#include "queues/queues.h"
#include "server.h"

#define MAX_DEPTH 4 /* of what is nested in a request */

struct request {
	struct machine *machine;
	struct json_object *object, *answer;
	int fd; /* to be sent with the answer, or -1 */
};

/* ---- reading one ----------------------------------------------------------------- */

static const char *text_of(struct request *request, const char *key)
{
	struct json_object *value;

	if (json_object_object_get_ex(request->object, key, &value) &&
	    json_object_is_type(value, json_type_string))
		return json_object_get_string(value);
	complain("the request needs a text \"%s\"", key);
	return NULL;
}

/* Absent is false. */
static bool is_set(struct request *request, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(request->object, key, &value) &&
	       json_object_is_type(value, json_type_boolean) && json_object_get_boolean(value);
}

/* ---- answering ------------------------------------------------------------------- */

static void say(struct request *request, const char *key, struct json_object *value)
{
	json_object_object_add(request->answer, key, value);
}

static int do_list(struct request *request)
{
	struct machine *machine = request->machine;
	struct control *control = machine->control;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	say(request, "name", json_object_new_string(control->name));
	say(request, "pid", json_object_new_int(getpid()));
	say(request, "state", json_object_new_string(machine->paused ? "paused" : "running"));
	say(request, "engine", json_object_new_string(machine->options->device));
	say(request, "vcpus", json_object_new_int(machine->nr_vcpus));
	say(request, "memory", json_object_new_uint64(machine->memory.size));
	say(request, "uptime", json_object_new_int64(now.tv_sec - control->start.tv_sec));
	return 0;
}

/* Bytes of a line "key: N kB" of /proc/self/status. */
static uint64_t status_of(const char *key)
{
	FILE *in = fopen("/proc/self/status", "re");
	unsigned long kib = 0;
	char line[128];

	while (in && fgets(line, sizeof(line), in))
		if (!strncmp(line, key, strlen(key)) && sscanf(line, "%*s %lu kB", &kib) == 1)
			break;
	if (in)
		fclose(in);
	return (uint64_t)kib * 1024;
}

/* Of each virtqueue what its queue object counts; null where it has none, or does not run. */
static struct json_object *queue_statistics(const struct queue *queue)
{
	const struct virtio_pci *transport = queue->dev->transport;
	struct json_object *of_queue = json_object_new_object(), *all = json_object_new_array();

	for (unsigned int i = 0; i < queue->dev->nr_queues; i++) {
		const struct path *path = &transport->queues[i].path;
		int fd = path->vq && path->object >= 0 ? statistics__open(path->object) : -1;

		json_object_array_add(all, fd < 0 ? NULL : statistics__read(fd));
		if (fd >= 0)
			close(fd);
	}
	json_object_object_add(of_queue, "queue", json_object_new_string(queue->name));
	json_object_object_add(of_queue, "virtqueues", all);
	return of_queue;
}

static int do_stat(struct request *request)
{
	struct control *control = request->machine->control;
	struct json_object *vcpus = json_object_new_array(), *queues = json_object_new_array();

	do_list(request);
	say(request, "resident_own",
	    json_object_new_uint64(status_of("RssAnon:") + status_of("RssFile:")));
	say(request, "resident_guest",
	    json_object_new_uint64(status_of("RssShmem:") + status_of("HugetlbPages:")));
	say(request, "statistics", statistics__read(control->vm_statistics));
	for (unsigned int i = 0; i < request->machine->nr_vcpus; i++)
		json_object_array_add(vcpus, statistics__read(control->vcpu_statistics[i]));
	say(request, "vcpu_statistics", vcpus);
	for (const struct queue *queue = request->machine->queues; queue; queue = queue->next)
		json_object_array_add(queues, queue_statistics(queue));
	say(request, "queue_statistics", queues);
	return 0;
}

static int do_stop(struct request *request)
{
	if (request->machine->paused)
		return complain("it is paused: dragonfly resume it first, or stop --force");
	power__press(request->machine->power);
	return 0;
}

static int do_pause(struct request *request)
{
	if (request->machine->paused)
		return complain("it is paused: dragonfly resume lets it go on");
	machine__pause(request->machine);
	return 0;
}

static int do_resume(struct request *request)
{
	if (!request->machine->paused)
		return complain("it is running: dragonfly pause makes it stand still");
	machine__resume(request->machine);
	return 0;
}

static int do_console(struct request *request)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return complain("no descriptor is left for a console (%s): see ulimit -n",
				strerror(errno));
	if (console__attach(request->machine->console, ends[0])) {
		close(ends[1]);
		return -1;
	}
	request->fd = ends[1];
	return 0;
}

static int do_assign(struct request *request)
{
	const char *kind = text_of(request, "kind"), *text = kind ? text_of(request, "text") : NULL;
	struct queue_options options = {};
	int status;

	if (!text)
		return -1;
	if (strcmp(kind, "vdpa") && strcmp(kind, "tap"))
		return complain("a queue is a vdpa or a tap, and not a '%s'", kind);
	if (queues__parse(&options, strcmp(kind, "tap") ? QUEUE_VDPA : QUEUE_TAP, text))
		return -1;
	status = queues__assign(request->machine, &options);
	free(options.name);
	return status;
}

static int do_release(struct request *request)
{
	const char *name = text_of(request, "name");

	return name ? queues__release(request->machine, name, is_set(request, "force")) : -1;
}

static const struct {
	const char *name;
	int (*answer)(struct request *request);
} requests[] = {
	{ "list", do_list },	 { "stat", do_stat },	    { "stop", do_stop },
	{ "pause", do_pause },	 { "resume", do_resume },   { "console", do_console },
	{ "assign", do_assign }, { "release", do_release },
};

static int answer(struct request *request)
{
	const char *what;

	if (!json_object_is_type(request->object, json_type_object))
		return complain("a request is one JSON object in a line of %d bytes at most",
				MAX_REQUEST);
	what = text_of(request, "do");
	for (size_t i = 0; what && i < sizeof(requests) / sizeof(*requests); i++)
		if (!strcmp(what, requests[i].name))
			return requests[i].answer(request);
	return what ? complain("this VM cannot '%s'", what) : -1;
}

static struct json_object *parse(const char *line, size_t size)
{
	struct json_tokener *tokener = json_tokener_new_ex(MAX_DEPTH);
	struct json_object *object;

	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	object = json_tokener_parse_ex(tokener, line, size);
	if (json_tokener_get_parse_end(tokener) != size) {
		json_object_put(object);
		object = NULL;
	}
	json_tokener_free(tokener);
	return object;
}

struct json_object *request__answer(struct machine *machine, const char *line, size_t size, int *fd)
{
	struct request request = {
		.machine = machine,
		.object = parse(line, size),
		.answer = json_object_new_object(),
		.fd = -1,
	};
	char why[512] = "";

	/* What a handler complains of is for the client to read. */
	complain_to(why, sizeof(why));
	if (answer(&request))
		say(&request, "error", json_object_new_string(why));
	complain_to(NULL, 0);
	json_object_put(request.object);
	*fd = request.fd;
	return request.answer;
}
