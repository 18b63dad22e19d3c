/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VMs that go on by themselves, each in a thread of its own, while something is done
 * to the host: a vCPU that counts its rounds or one that halts, both with a timer.
 */
#ifndef SELFTESTS_BUSY_H
#define SELFTESTS_BUSY_H

#include <pthread.h>
#include <sys/resource.h>

#include "apic.h"

#define BUSY_VECTOR 0xec
#ifndef BUSY_PERIOD
#define BUSY_PERIOD 5000000 /* ns */
#endif

struct busy {
	struct guest g;
	pthread_t thread;
	int result; /* how apic_resume() ended */
	bool over;
};

static inline void *busy_thread(void *data)
{
	struct busy *b = data;

	/* Whoever started it may be in a hurry. */
	setpriority(PRIO_PROCESS, 0, 0);
	do
		b->result = apic_resume(&b->g);
	while (b->result == -EINTR);
	__atomic_store_n(&b->over, true, 5);
	return NULL;
}

/* Runs apic_busy or apic_idle from now on. */
static inline int busy_run(struct busy *b, unsigned int cpu, const uint8_t *label)
{
	static const struct {
		uint32_t reg, value;
	} timer[] = {
		{ APIC_TDCR, 0xb },
		{ APIC_LVTT, APIC_LVT_TIMER_PERIODIC | BUSY_VECTOR },
		{ APIC_TMICT, BUSY_PERIOD },
	};

	for (unsigned int i = 0; i < 3; i++) {
		apic_enter(&b->g, cpu, APIC_AT(apic_wrmsr), X2APIC_MSR(timer[i].reg),
			   timer[i].value);
		if (apic_resume(&b->g))
			return -1;
	}
	apic_enter(&b->g, cpu, APIC_AT(label), 0, 0);
	return pthread_create(&b->thread, NULL, busy_thread, b) ? -1 : 0;
}

/* A VM with one vCPU that goes on until busy_stop(). */
static inline int busy_start(struct busy *b, const uint8_t *label)
{
	*b = (struct busy){};
	return apic_create(&b->g, 1, true) ?: busy_run(b, 0, label);
}

/* A VM with one that spins and one that halts. */
static inline int busy_start_two(struct busy *b)
{
	struct guest g[2];

	b[0] = (struct busy){};
	b[1] = b[0];
	if (apic_create(g, 2, true) || apic_set_mp_state(&g[1], KVM_MP_STATE_RUNNABLE))
		return -1;
	b[0].g = g[0];
	b[1].g = g[1];
	return busy_run(&b[0], 0, apic_busy) ?: busy_run(&b[1], 1, apic_idle);
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

/* Both shall stop already. */
static inline int busy_stop_two(struct busy *b)
{
	struct guest g[2] = { b[0].g, b[1].g };

	for (int i = 0; i < 2; i++)
		pthread_join(b[i].thread, NULL);
	apic_destroy(g, 2);
	return b[0].result ?: b[1].result;
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
