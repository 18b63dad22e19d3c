/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A fuzzer that knows the device's ioctls. Threads share a few VMs, and each operation
 * is drawn from its number, its thread's and the seed alone: what went before it changes
 * what it meets, never what it does.
 */
#ifndef SELFTESTS_FUZZ_H
#define SELFTESTS_FUZZ_H

#include <linux/dragonfly.h>
#include <linux/dragonfly_para.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "../guest.h"

#define FUZZ_VMS 3
#define FUZZ_VCPUS 3
#define FUZZ_OTHERS 8 /* queues and statistics */
#define FUZZ_EVENTS 6
#define FUZZ_THREADS 8
#define FUZZ_BUFFER 0x10000UL
#define FUZZ_SLOTS 8
#define FUZZ_GPA 0x10000000UL /* no memory but what slots put there */
#define FUZZ_SLOT_GPA(slot) (FUZZ_GPA + ((slot)-1) * 0x40000UL)

/*
 * Below all that a process has by itself, with nothing behind it: a slot that is longer
 * than its memory is not one of the fuzzer's own.
 */
#define FUZZ_WINDOWS 0x1000000000UL
#define FUZZ_APART 0x100000000UL

/**
 * struct fuzz_vm - what threads do with it they do at the same time
 * @vm: descriptors, or -1; any of them may be somebody else's by the time it is used
 * @vcpu: as @vm
 * @other: as @vm
 * @run: what a vCPU shares; or memory, where there is none
 * @window: GUEST_MEMORY bytes of this process, whatever they are just now
 * @area: a struct dragonfly_area, or nothing
 * @memory: the first GUEST_MEMORY bytes of the guest, as long as slot 0 is as it was
 * @file: that memory's
 */
struct fuzz_vm {
	int vm, vcpu[FUZZ_VCPUS], other[FUZZ_OTHERS];
	struct kvm_run *run[FUZZ_VCPUS];
	uint8_t *window, *area, *memory;
	int file;
};

struct fuzz_world {
	struct fuzz_vm vms[FUZZ_VMS];
	int device, events[FUZZ_EVENTS];
	size_t run_size;
	unsigned int cpus, threads;
	uint64_t seed, ops;
	bool trace;
};

/**
 * struct fuzzer - a thread
 * @random: what is drawn next
 * @done: how many operations
 * @doing: the one that is under way
 * @buffer: FUZZ_BUFFER bytes for arguments, with nothing behind them
 * @timer: ends KVM_RUN
 */
struct fuzzer {
	struct fuzz_world *world;
	pthread_t thread;
	pid_t tid;
	unsigned int id;
	uint64_t random, done;
	const char *doing;
	uint8_t *buffer;
	timer_t timer;
};

extern struct fuzzer fuzzers[FUZZ_THREADS];

/* --- what is drawn ---------------------------------------------------------- */

static inline uint64_t fuzz_random(struct fuzzer *f)
{
	uint64_t z = f->random += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static inline uint32_t fuzz_below(struct fuzzer *f, uint32_t n)
{
	return (fuzz_random(f) >> 32) * n >> 32;
}

static inline bool fuzz_one_in(struct fuzzer *f, uint32_t n)
{
	return !fuzz_below(f, n);
}

#define FUZZ_PICK(f, list) ((list)[fuzz_below(f, sizeof(list) / sizeof((list)[0]))])

static inline struct fuzz_vm *fuzz_vm(struct fuzzer *f)
{
	return &f->world->vms[fuzz_below(f, FUZZ_VMS)];
}

/* Often a limit, or next to one. */
uint64_t fuzz_value(struct fuzzer *f);
/* Where a guest has something, or could. */
uint64_t fuzz_gpa(struct fuzzer *f);

/* --- descriptors -------------------------------------------------------------- */

static inline int fuzz_fd(const int *fd)
{
	return __atomic_load_n(fd, __ATOMIC_RELAXED);
}

/* Another one, or -1, instead of what was there. */
void fuzz_replace(int *fd, int by);
/* A VM with memory, and a vCPU of it, if there are none; nobody sees that it works. */
void fuzz_need_vm(struct fuzzer *f, struct fuzz_vm *vm);
void fuzz_need_vcpu(struct fuzzer *f, struct fuzz_vm *vm, unsigned int n);
/* As a guest of guest.h. */
struct guest fuzz_guest(struct fuzzer *f, struct fuzz_vm *vm, unsigned int n);

/* --- operations --------------------------------------------------------------- */

/* An ioctl with an argument that is right, nearly right, or absurd. */
void fuzz_call(struct fuzzer *f);
/* How many of them went well, of each. */
void fuzz_report(void);
/* A piece of code on a vCPU, for as long as it goes. */
void fuzz_run(struct fuzzer *f);
/* Memory below a guest is replaced, or is none. */
void fuzz_remap(struct fuzzer *f);

#endif
