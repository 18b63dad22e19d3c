// SPDX-License-Identifier: GPL-2.0-only
/*
 * In a crash kernel: which VMCSs of the kernel before lie in memory, and is one of
 * them active still? The CPU could write it back into what is somebody else's now.
 *
 *   old-vmcs AT-LEAST
 *
 * The layout is that of Bochs, with the launch state in the third word; other CPUs do not
 * tell of theirs.
 */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define MSR_IA32_VMX_BASIC 0x480
#define WINDOW (1L << 20)
#define POSTED_INTR_VECTOR 0xf2
#define LAUNCHED 1

static uint32_t revision(void)
{
	int fd = open("/dev/cpu/0/msr", O_RDONLY | O_CLOEXEC);
	uint64_t basic;

	if (fd < 0 || pread(fd, &basic, sizeof(basic), MSR_IA32_VMX_BASIC) != sizeof(basic))
		err(1, "IA32_VMX_BASIC");
	return basic & 0x7fffffff;
}

/* A VMCS of Dragonfly's. It has a VPID, and a vector that posts interrupts. */
static bool is_vmcs(const volatile uint32_t *page, uint32_t revision)
{
	return page[0] == revision && !page[1] && page[4] && page[6] == POSTED_INTR_VECTOR;
}

int main(int argc, char **argv)
{
	unsigned int found = 0, active = 0, wanted = argc == 2 ? atoi(argv[1]) : 0;
	int fd = open("/dev/mem", O_RDONLY | O_CLOEXEC);
	uint32_t mine = revision();

	for (off_t at = WINDOW; at < 1L << 32; at += WINDOW) {
		uint8_t *window = mmap(NULL, WINDOW, PROT_READ, MAP_SHARED, fd, at);

		/* A hole, or this kernel's own. */
		if (window == MAP_FAILED)
			continue;
		for (size_t page = 0; page < WINDOW; page += 4096)
			if (is_vmcs((uint32_t *)(window + page), mine)) {
				found++;
				active += ((uint32_t *)(window + page))[2] == LAUNCHED;
			}
		munmap(window, WINDOW);
	}
	printf("%u VMCSs, %u of them active\n", found, active);
	return found < wanted || active;
}
