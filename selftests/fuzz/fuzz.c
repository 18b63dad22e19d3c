// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whatever a user does to the device, at once and in any order: the host is as it was.
 *
 * In a test host with --with dragonfly, best with --kernel debug. In the environment:
 * OPS, how many operations (10000); SEED, which ones; THREADS, by how many (3), 1 to
 * have them in one order; TRACE=1 to have each of them printed before it is done.
 */
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "kselftest_harness.h"
#include "fuzz.h"

#define RESOURCES "/sys/kernel/debug/dragonfly/resources"
#define STILL 600 /* seconds without one operation: it hangs */

struct fuzzer fuzzers[FUZZ_THREADS];

/* --- what is drawn --------------------------------------------------------------- */

uint64_t fuzz_value(struct fuzzer *f)
{
	static const uint64_t limits[] = {
		0,
		1,
		2,
		63,
		64,
		511,
		512,
		4095,
		4096,
		0xfee00000,
		0x7fffffff,
		0xffffffff,
		1UL << 32,
		1UL << 36,
		1UL << 39,
		1UL << 46,
		1UL << 47,
		1UL << 52,
		1UL << 63,
		~0UL,
		0x1000,
		0x100000,
		0x40000000,
		0xc0000080,
		0x4b564d01,
		0x80000000,
		0xffff8000,
		~0UL - 0xfff,
		(1UL << 52) - 1,
		0x6e0,
	};
	uint64_t bits = fuzz_random(f);

	switch (fuzz_below(f, 5)) {
	case 0:
		return bits;
	case 1:
		return bits >> fuzz_below(f, 64);
	case 2:
		return 1UL << fuzz_below(f, 64);
	default:
		return FUZZ_PICK(f, limits) + fuzz_below(f, 3) - 1;
	}
}

uint64_t fuzz_gpa(struct fuzzer *f)
{
	static const uint64_t places[] = {
		0,
		GUEST_CODE,
		0x10000,
		0x100000,
		GUEST_MEMORY - 8,
		0xfee00000,
		0xfee00300,
		FUZZ_GPA,
		FUZZ_GPA,
		FUZZ_GPA,
		FUZZ_GPA + GUEST_MEMORY,
		FUZZ_GPA + GUEST_MEMORY,
	};

	if (fuzz_one_in(f, 20))
		return fuzz_value(f);
	return FUZZ_PICK(f, places) + (fuzz_one_in(f, 2) ? fuzz_below(f, 512) << 12 : 0) +
	       (fuzz_one_in(f, 4) ? fuzz_below(f, 0x1000) : 0);
}

/* --- operations ------------------------------------------------------------------ */

static void close_one(struct fuzzer *f)
{
	struct fuzz_vm *vm = fuzz_vm(f);

	switch (fuzz_below(f, 4)) {
	case 0:
		fuzz_replace(&vm->vm, -1);
		for (unsigned int n = 0; n < FUZZ_VCPUS; n++)
			fuzz_replace(&vm->vcpu[n], -1);
		break;
	case 1:
		fuzz_replace(&vm->vcpu[fuzz_below(f, FUZZ_VCPUS)], -1);
		break;
	case 2:
		fuzz_replace(&f->world->events[fuzz_below(f, FUZZ_EVENTS)],
			     eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
		break;
	default:
		fuzz_replace(&vm->other[fuzz_below(f, FUZZ_OTHERS)], -1);
	}
}

static void signal_somebody(struct fuzzer *f)
{
	syscall(SYS_tgkill, getpid(), fuzzers[fuzz_below(f, f->world->threads)].tid, SIGUSR1);
}

/* Itself or another, to one CPU or to all. */
static void migrate(struct fuzzer *f)
{
	uint32_t cpu = fuzz_below(f, f->world->cpus + 1);
	cpu_set_t set;

	CPU_ZERO(&set);
	for (uint32_t i = 0; i < f->world->cpus; i++)
		if (cpu == i || cpu == f->world->cpus)
			CPU_SET(i, &set);
	sched_setaffinity(fuzzers[fuzz_below(f, f->world->threads)].tid, sizeof(set), &set);
}

static void signal_event(struct fuzzer *f)
{
	uint64_t value = fuzz_one_in(f, 8) ? fuzz_random(f) : 1;
	int fd = fuzz_fd(&f->world->events[fuzz_below(f, FUZZ_EVENTS)]);

	if (fuzz_one_in(f, 4) ? read(fd, &value, 8) : write(fd, &value, 8))
		sched_yield();
}

static void read_stats(struct fuzzer *f)
{
	int fd = fuzz_fd(&fuzz_vm(f)->other[fuzz_below(f, FUZZ_OTHERS)]);

	if (pread(fd, f->buffer, fuzz_below(f, 0x4000), fuzz_one_in(f, 4) ? fuzz_value(f) : 0))
		sched_yield();
}

/* Files of ours in places and sizes of nobody's. */
static void map_file(struct fuzzer *f)
{
	struct fuzz_vm *vm = fuzz_vm(f);
	size_t size = (1 + fuzz_below(f, 4)) << 12;
	int fd = fuzz_fd(fuzz_one_in(f, 2) ? &vm->vm : &vm->vcpu[fuzz_below(f, FUZZ_VCPUS)]);
	void *at = mmap(NULL, size, fuzz_below(f, 8), fuzz_one_in(f, 2) ? MAP_SHARED : MAP_PRIVATE,
			fd, fuzz_below(f, 4) << 12);

	if (at != MAP_FAILED)
		munmap(at, size);
}

static const struct {
	const char *name;
	unsigned int weight;
	void (*do_it)(struct fuzzer *f);
} operations[] = {
	{ "ioctl", 600, fuzz_call },	   { "run", 150, fuzz_run },
	{ "remap", 40, fuzz_remap },	   { "close", 20, close_one },
	{ "signal", 30, signal_somebody }, { "migrate", 20, migrate },
	{ "eventfd", 80, signal_event },   { "statistics", 20, read_stats },
	{ "mmap", 20, map_file },
};

static void operate(struct fuzzer *f)
{
	uint32_t all = 0, drawn;
	size_t i = 0;

	f->random = f->world->seed * 0x100000001b3 + f->id * 0x10001 + (f->done << 20);
	for (size_t n = 0; n < ARRAY_SIZE(operations); n++)
		all += operations[n].weight;
	drawn = fuzz_below(f, all);
	while (drawn >= operations[i].weight)
		drawn -= operations[i++].weight;
	f->doing = operations[i].name;
	if (f->world->trace)
		dprintf(2, "# thread %u, operation %lu: %s\n", f->id, f->done, f->doing);
	operations[i].do_it(f);
	__atomic_store_n(&f->done, f->done + 1, __ATOMIC_RELAXED);
}

/* --- threads ----------------------------------------------------------------------- */

static void *fuzz(void *data)
{
	struct fuzzer *f = data;
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID,
				  .sigev_signo = SIGUSR1,
				  ._sigev_un._tid = gettid() };

	f->tid = gettid();
	if (timer_create(CLOCK_MONOTONIC, &event, &f->timer))
		abort();
	while (f->done < f->world->ops / f->world->threads)
		operate(f);
	timer_delete(f->timer);
	return NULL;
}

static void nothing(int signal __attribute__((unused)))
{
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *value = getenv(name);

	return value ? strtoull(value, NULL, 0) : otherwise;
}

/* They are all there, one day; a watch is kept for those who hang in the kernel. */
static void await(struct __test_metadata *_metadata, struct fuzz_world *w)
{
	uint64_t before = 0, now;
	unsigned int still = 0;

	for (unsigned int i = 0; i < w->threads; i++)
		while (pthread_tryjoin_np(fuzzers[i].thread, NULL)) {
			sleep(1);
			now = 0;
			for (unsigned int n = 0; n < w->threads; n++)
				now += __atomic_load_n(&fuzzers[n].done, __ATOMIC_RELAXED);
			still = now == before ? still + 1 : 0;
			if (now / 10000 != before / 10000)
				TH_LOG("%lu operations", now);
			before = now;
			ASSERT_GT(STILL, still)
			TH_LOG("thread %u hangs in operation %lu: %s", i, fuzzers[i].done,
			       fuzzers[i].doing);
		}
}

/* --- the world -------------------------------------------------------------------- */

static void *reserve(uint64_t at, size_t size)
{
	return mmap((void *)at, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
}

static bool make_vm(struct fuzz_world *w, unsigned int n)
{
	uint64_t at = FUZZ_WINDOWS + n * FUZZ_APART;
	struct fuzz_vm *vm = &w->vms[n];

	*vm = (struct fuzz_vm){ .vm = -1, .file = memfd_create("guest", MFD_CLOEXEC) };
	if (vm->file < 0 || ftruncate(vm->file, GUEST_MEMORY))
		return false;
	vm->memory = mmap((void *)at, GUEST_MEMORY, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_FIXED_NOREPLACE, vm->file, 0);
	vm->window = reserve(at + 0x10000000, GUEST_MEMORY);
	vm->area = reserve(at + 0x20000000, sizeof(struct dragonfly_area));
	for (unsigned int i = 0; i < FUZZ_VCPUS; i++) {
		vm->vcpu[i] = -1;
		vm->run[i] = reserve(at + 0x30000000 + i * 0x100000, w->run_size);
	}
	for (unsigned int i = 0; i < FUZZ_OTHERS; i++)
		vm->other[i] = -1;
	return vm->memory != MAP_FAILED && vm->window != MAP_FAILED;
}

static void unmake_vm(struct fuzz_world *w, struct fuzz_vm *vm)
{
	for (unsigned int i = 0; i < FUZZ_OTHERS; i++)
		fuzz_replace(&vm->other[i], -1);
	for (unsigned int i = 0; i < FUZZ_VCPUS; i++) {
		munmap(vm->run[i], w->run_size);
		fuzz_replace(&vm->vcpu[i], -1);
	}
	munmap(vm->area, sizeof(struct dragonfly_area));
	munmap(vm->window, GUEST_MEMORY);
	munmap(vm->memory, GUEST_MEMORY);
	fuzz_replace(&vm->vm, -1);
	close(vm->file);
}

FIXTURE(fuzz)
{
	struct fuzz_world w;
	long pinned;
};

FIXTURE_SETUP(fuzz)
{
	struct fuzz_world *w = &self->w;
	struct sigaction action = { .sa_handler = nothing };

	self->pinned = guest_pinned_pages();
	*w = (struct fuzz_world){
		.device = guest_device(),
		.cpus = sysconf(_SC_NPROCESSORS_ONLN),
		.threads = from_environment("THREADS", 3),
		.seed = from_environment("SEED", 1),
		.ops = from_environment("OPS", 10000),
		.trace = from_environment("TRACE", 0),
	};
	ASSERT_LE(0, w->device);
	ASSERT_GE(FUZZ_THREADS, w->threads);
	w->run_size = ioctl(w->device, KVM_GET_VCPU_MMAP_SIZE, 0);
	for (unsigned int i = 0; i < FUZZ_EVENTS; i++)
		w->events[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	for (unsigned int n = 0; n < FUZZ_VMS; n++)
		ASSERT_TRUE(make_vm(w, n));
	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	printf("# SEED=%lu OPS=%lu THREADS=%u\n", w->seed, w->ops, w->threads);
	fflush(stdout);
}

FIXTURE_TEARDOWN(fuzz)
{
}

/* Also what another thread has done last, as interrupts are taken down. */
static void expect_back(struct __test_metadata *_metadata, const char *name)
{
	for (int i = 0; i < 100 && guest_figure(RESOURCES, name); i++)
		usleep(10000);
	EXPECT_EQ(0, guest_figure(RESOURCES, name)) TH_LOG("%s", name);
}

TEST_F_TIMEOUT(fuzz, whatever_is_done_to_the_device_the_host_is_as_before, 360000)
{
	struct fuzz_world *w = &self->w;

	for (unsigned int i = 0; i < w->threads; i++) {
		struct fuzzer *f = &fuzzers[i];

		*f = (struct fuzzer){ .world = w, .id = i, .tid = gettid() };
		f->buffer = reserve(FUZZ_WINDOWS - (i + 1) * FUZZ_APART, FUZZ_BUFFER);
		ASSERT_NE(MAP_FAILED, f->buffer);
	}
	for (unsigned int i = 0; i < w->threads; i++)
		ASSERT_EQ(0, pthread_create(&fuzzers[i].thread, NULL, fuzz, &fuzzers[i]));
	await(_metadata, w);
	if (w->trace)
		fuzz_report();

	for (unsigned int n = 0; n < FUZZ_VMS; n++)
		unmake_vm(w, &w->vms[n]);
	for (unsigned int i = 0; i < FUZZ_EVENTS; i++)
		close(w->events[i]);
	close(w->device);
	expect_back(_metadata, "vms");
	expect_back(_metadata, "vcpus");
	expect_back(_metadata, "vmcs");
	expect_back(_metadata, "queues");
	EXPECT_EQ(0, guest_figure("/proc/self/status", "VmLck"));
	EXPECT_EQ(self->pinned, guest_pinned_pages());
}

TEST_HARNESS_MAIN
