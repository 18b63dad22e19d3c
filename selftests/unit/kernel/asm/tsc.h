/* SPDX-License-Identifier: GPL-2.0-only */
/* A stand-in for tests, which say what the host's TSC is. */
#ifndef UNIT_KERNEL_TSC_H
#define UNIT_KERNEL_TSC_H

#include <linux/types.h>

static u32 tsc_khz = 2000000;
static u64 unit_tsc;

static inline u64 rdtsc_ordered(void)
{
	return unit_tsc;
}

#endif
