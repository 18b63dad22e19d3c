/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of the client share. Each part measures one kind of thing, and
 * prints "DEVICE NAME UNIT VALUE KIND" lines: KIND is "exact" for what comes out the
 * same in each run on a host with one emulated CPU, otherwise "varies".
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <err.h>
#include <stdbool.h>
#include <stdint.h>

#include "irq.h"

enum bench_kind { EXACT, VARIES };

struct bench {
	const char *device; /* the name of its file */
	bool ticks; /* are no instructions here, and nothing is exact */
	const char *unit; /* of a difference of two RDTSC */
	unsigned int events; /* of which a latency is the median, or the worst */
	uint64_t rdmsr, wrmsr; /* the MSRs of the round trips */
};

extern struct bench bench;

/* The name is FORMAT. */
__attribute__((format(printf, 4, 5))) void
bench_report(const char *unit, double value, enum bench_kind kind, const char *format, ...);
/* The same for what this device does not do. */
__attribute__((format(printf, 2, 3))) void bench_report_none(const char *unit, const char *format,
							     ...);

/* Both sort. */
uint64_t bench_median(uint64_t *values, size_t n);
uint64_t bench_quantile(uint64_t *values, size_t n, double part);

/* The vCPU's exits up to now, or -1 if it does not count them. */
static inline int64_t bench_exits(const struct guest *g)
{
	return guest_stat(g->vcpu, "exits");
}

/* Pages that many times the same memory, each of @size: what maps them is all that is used. */
uint8_t *bench_alias(size_t size, size_t page);

/* VMs of 128 MiB that do little or nothing. An APIC is in the kernel if it is asked for. */
#define BENCH_VCPUS 4

struct bench_vcpu {
	int fd;
	struct kvm_run *run;
};

struct bench_vm {
	int fd;
	unsigned int vcpus;
	struct bench_vcpu vcpu[BENCH_VCPUS];
};

void bench_lives_begin(void);
void bench_vm_create(struct bench_vm *vm, unsigned int vcpus, bool apic);
void bench_vm_destroy(struct bench_vm *vm);

/* The parts. */
void bench_trips(void);
void bench_crowd_trips(unsigned int alive);
void bench_latencies(void);
void bench_latencies_smp(void);
void bench_lives(void);
void bench_crowds(void);
void bench_memory(void);
void bench_tables(void);
void bench_steady(void);
void bench_jitter(void);

#endif
