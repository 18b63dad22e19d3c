/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VMs that go on by themselves, each in a thread of its own, while something is done
 * to the host: a vCPU that counts its rounds or one that halts, both with a timer.
 */
#ifndef SELFTESTS_BUSY_H
#define SELFTESTS_BUSY_H

#include <pthread.h>

#include "apic.h"

#define BUSY_VECTOR 0xec
#define BUSY_PERIOD 5000000 /* ns */

struct busy {
	struct guest g;
	pthread_t thread;
	pid_t tid;
	int result; /* how apic_resume() ended */
	bool over;
};

static inline void *busy_thread(void *data)
{
	struct busy *b = data;

	__atomic_store_n(&b->tid, gettid(), 5);
	do
		b->result = apic_resume(&b->g);
	while (b->result == -EINTR);
	__atomic_store_n(&b->over, true, 5);
	return NULL;
}

/* Runs apic_busy or apic_idle from now on; a dedicated vCPU in the caller's CPU. */
static inline int busy_start(struct busy *b, const uint8_t *label, bool dedicated)
{
	*b = (struct busy){};
	if (dedicated ? apic_create_dedicated(&b->g) : apic_create(&b->g, 1, true))
		return -1;
	if (x2apic_set(&b->g, APIC_TDCR, 0xb) ||
	    x2apic_set(&b->g, APIC_LVTT, APIC_LVT_TIMER_PERIODIC | BUSY_VECTOR) ||
	    x2apic_set(&b->g, APIC_TMICT, BUSY_PERIOD))
		return -1;
	apic_enter(&b->g, 0, APIC_AT(label), 0, 0);
	return pthread_create(&b->thread, NULL, busy_thread, b) ? -1 : 0;
}

static inline uint64_t busy_ticks(const struct busy *b)
{
	return __atomic_load_n(&apic_cpu(&b->g, 0)->count, 5);
}

/* Waits for @ticks more of its timer. False if it has ended instead. */
static inline bool busy_goes_on(const struct busy *b, uint64_t ticks)
{
	uint64_t until = busy_ticks(b) + ticks;

	while (busy_ticks(b) < until) {
		if (__atomic_load_n(&b->over, 5))
			return false;
		usleep(1000);
	}
	return true;
}

/* Its last interrupt comes, and it ends: 0 if as it should. */
static inline int busy_stop(struct busy *b)
{
	__atomic_store_n(&apic_cpu(&b->g, 0)->stop, 1, 5);
	pthread_join(b->thread, NULL);
	apic_destroy(&b->g, 1);
	return b->result;
}

#endif
