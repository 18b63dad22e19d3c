/* SPDX-License-Identifier: GPL-2.0-only */
/* A stand-in for tests, which have one thread: a lock is held or not. */
#ifndef UNIT_KERNEL_MUTEX_H
#define UNIT_KERNEL_MUTEX_H

#include <assert.h>
#include <stdbool.h>

struct mutex {
	bool held;
};

static inline void mutex_init(struct mutex *lock)
{
	lock->held = false;
}

static inline void mutex_lock(struct mutex *lock)
{
	assert(!lock->held);
	lock->held = true;
}

static inline void mutex_unlock(struct mutex *lock)
{
	assert(lock->held);
	lock->held = false;
}

#define lockdep_assert_held(lock) assert((lock)->held)

#endif
