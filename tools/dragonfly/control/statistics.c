// SPDX-License-Identifier: GPL-2.0-only
/*
 * The binary statistics of a VM or a vCPU, as KVM's documentation has them: a header,
 * a descriptor of each number with its name, and the numbers.
 */
#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "server.h"

#define MAX_ROWS 4096
#define MAX_VALUES 64 /* of a row: a histogram has some */

int statistics__open(int fd)
{
	return ioctl(fd, KVM_GET_STATS_FD, 0);
}

/* A number, or an array of what a histogram has. */
static struct json_object *value_of(int statistics, const struct kvm_stats_header *head,
				    const struct kvm_stats_desc *desc)
{
	uint64_t values[MAX_VALUES] = {};
	struct json_object *array;

	if (!desc->size || desc->size > MAX_VALUES ||
	    pread(statistics, values, desc->size * sizeof(*values),
		  (off_t)head->data_offset + desc->offset) < 0)
		return NULL;
	if (desc->size == 1)
		return json_object_new_uint64(*values);
	array = json_object_new_array();
	for (unsigned int i = 0; i < desc->size; i++)
		json_object_array_add(array, json_object_new_uint64(values[i]));
	return array;
}

struct json_object *statistics__read(int statistics)
{
	struct json_object *all = json_object_new_object();
	struct kvm_stats_header head;
	struct kvm_stats_desc *desc;
	size_t step;

	if (pread(statistics, &head, sizeof(head), 0) != sizeof(head) || head.num_desc > MAX_ROWS)
		return all;
	step = sizeof(*desc) + head.name_size;
	desc = malloc(step + 1);
	for (unsigned int i = 0; desc && i < head.num_desc; i++) {
		off_t at = (off_t)head.desc_offset + i * step;

		if (pread(statistics, desc, step, at) != (ssize_t)step)
			break;
		((char *)desc)[step] = '\0';
		json_object_object_add(all, desc->name, value_of(statistics, &head, desc));
	}
	free(desc);
	return all;
}
