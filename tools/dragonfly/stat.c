// SPDX-License-Identifier: GPL-2.0-only
/*
 * dragonfly stat: what a VM has done and what it takes.
 */
#include <inttypes.h>
#include <stdio.h>

#include "control/control.h"
#include "dragonfly.h"
#include "print.h"

#define MAX_COLUMNS 8 /* vCPUs that fit beside each other */

static const struct verb verb = {
	.help = "usage: dragonfly stat NAME [--json]\n\n"
		"Shows what the VM has done: its exits by reason, of all vCPUs and of each, and\n"
		"what else its engine counts; the memory that it takes; and of its queues the\n"
		"kicks that made the guest exit and the interrupts that it got. Numbers that are 0\n"
		"are left out, and so are single vCPUs where there are more than 8.\n\n"
		"  --json  all of it, as one object; sizes are bytes, times are seconds\n",
	.option = "--json",
};

static void print_head(struct json_object *vm)
{
	char memory[PRINT_MAX], guest[PRINT_MAX], own[PRINT_MAX], uptime[PRINT_MAX];
	uint64_t vcpus = print__number(vm, "vcpus");

	printf("%s: %s for %s on %s, %" PRIu64 " vCPU%s, %s of memory\n", print__text(vm, "name"),
	       print__text(vm, "state"), print__time(uptime, print__number(vm, "uptime")),
	       print__text(vm, "engine"), vcpus, vcpus == 1 ? "" : "s",
	       print__size(memory, print__number(vm, "memory")));
	printf("resident: %s of the guest's memory, %s of its own\n",
	       print__size(guest, print__number(vm, "resident_guest")),
	       print__size(own, print__number(vm, "resident_own")));
}

/* Histograms are for --json. */
static bool is_shown(struct json_object *value, uint64_t sum)
{
	return json_object_is_type(value, json_type_int) && sum;
}

static void print_vm(struct json_object *vm, struct json_object *of_a_vcpu)
{
	struct json_object *all = json_object_object_get(vm, "statistics");

	if (!all)
		return;
	/* Some engines have the sums of their vCPUs' numbers among a VM's: they come later. */
	json_object_object_foreach(all, name, value)
	{
		uint64_t number = json_object_get_uint64(value);

		if (is_shown(value, number) && !json_object_object_get(of_a_vcpu, name))
			printf("%-36s %14" PRIu64 "\n", name, number);
	}
}

static void print_vcpus(struct json_object *vcpus)
{
	size_t nr = json_object_array_length(vcpus);
	size_t columns = nr > 1 && nr <= MAX_COLUMNS ? nr : 0;
	struct json_object *first = json_object_array_get_idx(vcpus, 0);

	printf("%-36s %14s", "", nr == 1 ? "vCPU 0" : "all vCPUs");
	for (size_t i = 0; i < columns; i++)
		printf("      vCPU %2zu", i);
	putchar('\n');
	json_object_object_foreach(first, name, value)
	{
		uint64_t sum = 0;

		for (size_t i = 0; i < nr; i++)
			sum += print__number(json_object_array_get_idx(vcpus, i), name);
		if (!is_shown(value, sum))
			continue;
		printf("%-36s %14" PRIu64, name, sum);
		for (size_t i = 0; i < columns; i++)
			printf(" %12" PRIu64,
			       print__number(json_object_array_get_idx(vcpus, i), name));
		putchar('\n');
	}
}

/* A row for each virtqueue that is counted: one that runs, on an engine that has queues. */
static void print_queues(struct json_object *queues)
{
	bool any = false;

	for (size_t i = 0; i < json_object_array_length(queues); i++) {
		struct json_object *queue = json_object_array_get_idx(queues, i);
		struct json_object *all = json_object_object_get(queue, "virtqueues");

		for (size_t n = 0; n < json_object_array_length(all); n++) {
			struct json_object *counted = json_object_array_get_idx(all, n);

			if (!counted)
				continue;
			if (!any)
				printf("%-32s %9s %14s %14s\n", "queue", "virtqueue", "kicks",
				       "interrupts");
			any = true;
			printf("%-32s %9zu %14" PRIu64 " %14" PRIu64 "\n",
			       print__text(queue, "queue"), n, print__number(counted, "kicks"),
			       print__number(counted, "interrupts"));
		}
	}
}

int stat__main(int argc, char **argv)
{
	struct json_object *vm, *vcpus;
	const char *name = NULL;
	bool json = false;
	int status;

	status = verb__arguments(&verb, argc, argv, &name, &json);
	if (status >= 0)
		return status;
	vm = control__order(name, control__request("stat"));
	if (!vm)
		return STATUS_NO;
	if (json) {
		print__json(vm);
	} else {
		print_head(vm);
		vcpus = json_object_object_get(vm, "vcpu_statistics");
		print_vm(vm, json_object_array_get_idx(vcpus, 0));
		print_vcpus(vcpus);
		print_queues(json_object_object_get(vm, "queue_statistics"));
	}
	json_object_put(vm);
	return STATUS_OK;
}
