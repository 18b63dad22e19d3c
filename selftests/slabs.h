/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's caches of objects, one by one.
 */
#ifndef SELFTESTS_SLABS_H
#define SELFTESTS_SLABS_H

#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_SLABS 512

struct slab {
	char name[32];
	long active;
};

/* Objects of each cache that are in use: none that are only at hand for a CPU. */
static inline int take_slabs(struct slab slabs[MAX_SLABS])
{
	char line[512];
	glob_t shrink;
	FILE *in;
	int n = 0;

	glob("/sys/kernel/slab/*/shrink", 0, NULL, &shrink);
	for (size_t i = 0; i < shrink.gl_pathc; i++) {
		int fd = open(shrink.gl_pathv[i], O_WRONLY | O_CLOEXEC);

		if (fd >= 0 && write(fd, "1", 1) != 1)
			perror(shrink.gl_pathv[i]);
		close(fd);
	}
	globfree(&shrink);
	in = fopen("/proc/slabinfo", "re");
	while (in && n < MAX_SLABS && fgets(line, sizeof(line), in))
		n += sscanf(line, "%31s %ld", slabs[n].name, &slabs[n].active) == 2;
	if (in)
		fclose(in);
	return n;
}

/*
 * The cache that has grown by more than half an object in each of @rounds, or NULL. What
 * vfree() gives back the kernel keeps on its list until it is worth a flush of TLBs.
 */
static inline const char *leaking_slab(const struct slab *before, int n, long rounds)
{
	static struct slab now[MAX_SLABS];
	int count = take_slabs(now);

	for (int i = 0; i < count; i++)
		for (int j = 0; j < n; j++)
			if (!strcmp(now[i].name, before[j].name) &&
			    strcmp(now[i].name, "vmap_area") &&
			    now[i].active - before[j].active > 20 + rounds / 2)
				return now[i].name;
	return NULL;
}

#endif
