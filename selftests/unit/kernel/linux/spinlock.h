/* SPDX-License-Identifier: GPL-2.0-only */
/* A stand-in for tests. */
#ifndef UNIT_KERNEL_SPINLOCK_H
#define UNIT_KERNEL_SPINLOCK_H

#include <assert.h>
#include <linux/spinlock_types.h>

static inline void spin_lock_init(spinlock_t *lock)
{
	lock->held = false;
}

static inline void spin_lock(spinlock_t *lock)
{
	assert(!lock->held);
	lock->held = true;
}

static inline void spin_unlock(spinlock_t *lock)
{
	assert(lock->held);
	lock->held = false;
}

#endif
