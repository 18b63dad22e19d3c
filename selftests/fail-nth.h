/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The n-th allocation of a task from here on fails (the kernel's
 * Documentation/fault-injection); for a kernel with fault injection, and root.
 */
#ifndef SELFTESTS_FAIL_NTH_H
#define SELFTESTS_FAIL_NTH_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "module.h"

/* Also those that can wait for memory; and the kernel's log has nothing to say of it. */
static inline bool fail_nth_prepare(void)
{
	static const char *const settings[][2] = {
		{ "/sys/kernel/debug/failslab/ignore-gfp-wait", "0" },
		{ "/sys/kernel/debug/failslab/verbose", "0" },
		{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "0" },
		{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem", "0" },
		{ "/sys/kernel/debug/fail_page_alloc/min-order", "0" },
		{ "/sys/kernel/debug/fail_page_alloc/verbose", "0" },
	};

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		if (write_file(settings[i][0], settings[i][1]))
			return false;
	return true;
}

/* STEP in the environment leaves some allocations out, for those who have no time. */
static inline unsigned int fail_nth_step(void)
{
	const char *value = getenv("STEP");

	return value ? strtoul(value, NULL, 10) : 1;
}

/* Of the process's first thread, or of another task. */
static inline int fail_nth_open(pid_t task)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fail-nth", task);
	return open(path, O_RDWR | O_CLOEXEC);
}

static inline bool fail_nth_set(int fd, unsigned int n)
{
	char text[16];
	int size = snprintf(text, sizeof(text), "%u", n);

	return pwrite(fd, text, size, 0) == size;
}

/* How many are still to come before the one that fails: 0 if it was there. */
static inline unsigned int fail_nth_end(int fd)
{
	char text[16] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) < 0)
		perror("fail-nth");
	fail_nth_set(fd, 0);
	return strtoul(text, NULL, 10);
}

#endif
