/* SPDX-License-Identifier: GPL-2.0-only */
/* A stand-in for tests, which have one thread: a lock is held or not. */
#ifndef UNIT_KERNEL_SPINLOCK_TYPES_H
#define UNIT_KERNEL_SPINLOCK_TYPES_H

#include <stdbool.h>

#define spinlock_t struct unit_spinlock

struct unit_spinlock {
	bool held;
};

#endif
