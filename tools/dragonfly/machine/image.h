/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A kernel's file: what it is, and its way into the guest's memory.
 */
#ifndef DRAGONFLY_IMAGE_H
#define DRAGONFLY_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "memory.h"

struct setup_header;

/* A file in memory, read-only. */
struct file {
	const char *path;
	const uint8_t *data;
	size_t size;
};

int file__map(struct file *file, const char *path);
void file__unmap(struct file *file);

/* A kernel in the guest's memory; addresses are guest-physical. */
struct image {
	enum { IMAGE_LINUX64, IMAGE_PVH } protocol; /* how it wants to be entered */
	uint64_t entry, end; /* where; behind all that it needs at its start */
	uint64_t initrd_end; /* an initrd may lie below this */
	uint32_t cmdline_size; /* the longest command line, without its NUL */
	const struct setup_header *setup; /* bzImage's own, within its file, or NULL */
	size_t setup_size;
};

int image__load(struct image *image, const struct file *file, const struct memory *memory);

#endif
