/* SPDX-License-Identifier: GPL-2.0-only */
/* A stand-in for tests. */
#ifndef UNIT_KERNEL_CPUMASK_H
#define UNIT_KERNEL_CPUMASK_H

struct cpumask {
	unsigned long bits[2];
};

#endif
