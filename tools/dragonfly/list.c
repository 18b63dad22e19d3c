// SPDX-License-Identifier: GPL-2.0-only
/*
 * dragonfly list: the VMs that run.
 */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "control/control.h"
#include "control/rundir.h"
#include "dragonfly.h"
#include "print.h"

static const struct verb verb = {
	.help = "usage: dragonfly list [--json]\n\n"
		"Lists the VMs that run, a line each.\n\n"
		"  --json  as an array of objects; sizes are bytes, times are seconds\n",
	.option = "--json",
};

/* Those that end meanwhile are not in it. */
static struct json_object *ask_all(struct json_object *names)
{
	struct json_object *all = json_object_new_array();
	char why[256];

	complain_to(why, sizeof(why));
	for (size_t i = 0; i < json_object_array_length(names); i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(names, i));
		struct json_object *vm = control__order(name, control__request("list"));

		if (vm)
			json_object_array_add(all, vm);
	}
	complain_to(NULL, 0);
	return all;
}

static void print_all(struct json_object *all)
{
	char memory[PRINT_MAX], uptime[PRINT_MAX];

	printf("%-16s %7s %5s %7s %-8s %11s  %s\n", "NAME", "PID", "VCPUS", "MEMORY", "STATE",
	       "UPTIME", "ENGINE");
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *vm = json_object_array_get_idx(all, i);

		printf("%-16s %7" PRIu64 " %5" PRIu64 " %7s %-8s %11s  %s\n",
		       print__text(vm, "name"), print__number(vm, "pid"),
		       print__number(vm, "vcpus"), print__size(memory, print__number(vm, "memory")),
		       print__text(vm, "state"), print__time(uptime, print__number(vm, "uptime")),
		       print__text(vm, "engine"));
	}
}

int list__main(int argc, char **argv)
{
	struct json_object *names, *all;
	bool json = false;
	int status, dir;

	status = verb__arguments(&verb, argc, argv, NULL, &json);
	if (status >= 0)
		return status;
	dir = rundir__open();
	if (dir < 0)
		return STATUS_NO;
	names = rundir__list(dir);
	close(dir);
	all = ask_all(names);
	if (json)
		print__json(all);
	else if (json_object_array_length(all))
		print_all(all);
	json_object_put(all);
	json_object_put(names);
	return STATUS_OK;
}
