// SPDX-License-Identifier: GPL-2.0-only
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dragonfly.h"

static int map(struct memory *memory, uint64_t guest, uint64_t size, uint64_t offset)
{
	void *host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
			  memory->fd, offset);

	if (host == MAP_FAILED)
		return complain("cannot map %" PRIu64 " MiB for the guest: %s", size >> 20,
				strerror(errno));
	memory->pieces[memory->nr_pieces++] = (struct memory_piece){
		.guest = guest, .size = size, .offset = offset, .host = host
	};
	return 0;
}

/*
 * Huge pages are taken from the pool now: none may be missing when the guest runs. To
 * clear them can take minutes, in which a signal still ends it.
 */
static int take_pages(const struct memory *memory, uint64_t page)
{
	for (uint64_t at = 0; at < memory->size; at += page) {
		if (signals__came())
			return complain("stopped");
		if (fallocate(memory->fd, 0, at, page))
			return complain("no %" PRIu64 " MiB of huge pages: see dragonfly doctor",
					memory->size >> 20);
	}
	return 0;
}

int memory__create(struct memory *memory, uint64_t size, uint64_t huge)
{
	uint64_t low = size < MEMORY_LOW_END ? size : MEMORY_LOW_END;
	unsigned int flags = MFD_CLOEXEC;

	*memory = (struct memory){ .size = size };
	if (huge)
		flags |= MFD_HUGETLB | (unsigned int)__builtin_ctzll(huge) << MAP_HUGE_SHIFT;
	memory->fd = memfd_create("guest", flags);
	if (memory->fd < 0)
		return complain("no memory for the guest (memfd_create: %s)%s", strerror(errno),
				huge ? "; does the host have huge pages of this size?" : "");
	if (ftruncate(memory->fd, size))
		return complain("no %" PRIu64 " MiB for the guest: %s", size >> 20,
				strerror(errno));
	if (huge && take_pages(memory, huge))
		return -1;
	if (map(memory, 0, low, 0))
		return -1;
	return size > low ? map(memory, MEMORY_HIGH, size - low, low) : 0;
}

void memory__destroy(struct memory *memory)
{
	while (memory->nr_pieces) {
		struct memory_piece *piece = &memory->pieces[--memory->nr_pieces];

		munmap(piece->host, piece->size);
	}
	if (memory->fd >= 0)
		close(memory->fd);
	memory->fd = -1;
}

void *memory__at(const struct memory *memory, uint64_t guest, uint64_t size)
{
	for (unsigned int i = 0; i < memory->nr_pieces; i++) {
		const struct memory_piece *piece = &memory->pieces[i];
		uint64_t offset = guest - piece->guest;

		if (offset < piece->size && size <= piece->size - offset)
			return (char *)piece->host + offset;
	}
	return NULL;
}
