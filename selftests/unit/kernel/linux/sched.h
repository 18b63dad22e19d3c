/* SPDX-License-Identifier: GPL-2.0-only */
/* A stand-in for tests. */
#ifndef UNIT_KERNEL_SCHED_H
#define UNIT_KERNEL_SCHED_H

static inline void cond_resched(void)
{
}

#endif
