// SPDX-License-Identifier: GPL-2.0-only
/*
 * VMs and vCPUs come and go, in order or in the middle of everything, and nothing
 * is left of them.
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm.
 * ROUNDS (1000) and KILLS (200) in the environment say how often, SEED what is
 * random about it.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#include "kselftest_harness.h"
#include "guest.h"
#include "slabs.h"

#define MAX_VCPUS 64
#define RESOURCES "/sys/kernel/debug/dragonfly/resources"

GUEST_ASM(code_halt, 16, "hlt");
GUEST_ASM(code_count, 16, "1: incl 0x3000\n jmp 1b");
/* Keeps to 16 pages of memory, and goes to user space after each round. */
GUEST_ASM(code_walk, 16,
	  "mov $0x1000, %ax\n mov %ax, %ds\n"
	  "1: incl (%bx)\n add $0x1000, %bx\n jnz 1b\n out %al, $0x10\n jmp 1b");

static long from_environment(const char *name, long otherwise)
{
	const char *value = getenv(name);

	return value ? strtol(value, NULL, 0) : otherwise;
}

FIXTURE(life){};

FIXTURE_SETUP(life)
{
	/* Single pages are counted, and cost less to fill. */
	ASSERT_EQ(0, prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
}

FIXTURE_TEARDOWN(life)
{
}

/* --- what there is before and after --------------------------------------- */

struct figures {
	long available, slab; /* KiB; -1 where they say nothing */
	long pinned, vms, vcpus, vmcs;
};

/* KiB that each CPU has at hand, which nobody counts as free. */
static long kept_by_cpus(void)
{
	FILE *in = fopen("/proc/zoneinfo", "re");
	long count, kib = 0;
	char line[256];

	while (in && fgets(line, sizeof(line), in))
		if (sscanf(line, " count: %ld", &count) == 1)
			kib += count * 4;
	if (in)
		fclose(in);
	return kib;
}

static struct figures take_figures(void)
{
	struct figures f = {
		.available = -1,
		.slab = -1,
		.pinned = guest_pinned_pages(),
		.vms = guest_figure(RESOURCES, "vms"),
		.vcpus = guest_figure(RESOURCES, "vcpus"),
		.vmcs = guest_figure(RESOURCES, "vmcs"),
	};

	/* A kernel with KASAN keeps what was freed for a while. */
	if (access("/sys/kernel/debug/kmemleak", F_OK)) {
		f.available = guest_figure("/proc/meminfo", "MemAvailable") + kept_by_cpus();
		f.slab = guest_figure("/proc/meminfo", "SUnreclaim");
	}
	return f;
}

static bool are_back(const struct figures *before, const struct figures *now, long slack)
{
	return before->available - now->available <= slack && now->slab - before->slab <= slack &&
	       now->pinned == before->pinned && now->vms == before->vms &&
	       now->vcpus == before->vcpus && now->vmcs == before->vmcs;
}

/*
 * Everything is as it was before @rounds of something: less than half a page lost
 * in each. What is freed after a grace period gets its time.
 */
static void expect_back(struct __test_metadata *_metadata, const struct figures *before,
			long rounds)
{
	long slack = 1000 + 2 * rounds;
	struct figures now;

	for (int i = 0; i < 100; i++) {
		now = take_figures();
		if (are_back(before, &now, slack))
			break;
		usleep(100000);
	}
	EXPECT_GE(slack, before->available - now.available);
	EXPECT_GE(slack, now.slab - before->slab);
	EXPECT_EQ(before->pinned, now.pinned);
	EXPECT_EQ(before->vms, now.vms);
	EXPECT_EQ(before->vcpus, now.vcpus);
	EXPECT_EQ(before->vmcs, now.vmcs);
	/* The module counts, or the test would see nothing. */
	if (!guest_on_kvm())
		EXPECT_LE(0, now.vmcs);
}

/* The kernel log from here on. */
static int watch_log(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}

static void expect_quiet_log(struct __test_metadata *_metadata, int fd)
{
	char record[2048];
	ssize_t size;

	ASSERT_LE(0, fd);
	for (;;) {
		size = read(fd, record, sizeof(record) - 1);
		if (size < 0 && errno == EPIPE)
			continue;
		if (size <= 0)
			break;
		record[size] = 0;
		/* "PRIORITY,...;text", a warning is 4, worse is less. */
		EXPECT_LT(4, strtol(record, NULL, 10) & 7) TH_LOG("%s", record);
	}
	close(fd);
}

/* --- a VM with many vCPUs -------------------------------------------------- */

struct crowd {
	struct guest g;
	int count;
	struct guest each[MAX_VCPUS]; /* the same VM, a vCPU of its own */
	pthread_t thread[MAX_VCPUS];
};

/* vCPU @i runs what vCPU 0 is set up for. */
static int add_vcpu(struct crowd *c, int i)
{
	struct guest *g = &c->each[i];
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	*g = c->g;
	c->count = i + 1;
	if (!i)
		return 0;
	g->vcpu = ioctl(g->vm, KVM_CREATE_VCPU, i);
	if (g->vcpu < 0)
		return -1;
	g->run = mmap(NULL, g->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, g->vcpu, 0);
	if (g->run == MAP_FAILED || ioctl(c->g.vcpu, KVM_GET_SREGS, &sregs) ||
	    ioctl(c->g.vcpu, KVM_GET_REGS, &regs))
		return -1;
	return ioctl(g->vcpu, KVM_SET_SREGS, &sregs) || ioctl(g->vcpu, KVM_SET_REGS, &regs) ? -1 :
											      0;
}

static void disperse(struct crowd *c)
{
	for (int i = 1; i < c->count; i++) {
		if (c->each[i].run && c->each[i].run != MAP_FAILED)
			munmap(c->each[i].run, c->each[i].run_size);
		if (c->each[i].vcpu >= 0)
			close(c->each[i].vcpu);
	}
	guest_destroy(&c->g);
}

static void *run_for_ever(void *data)
{
	struct guest *g = data;
	int reason;

	do
		reason = guest_run(g);
	while (reason == KVM_EXIT_IO || reason == -EINTR);
	return NULL;
}

TEST_F(life, a_vm_has_up_to_64_vcpus)
{
	struct figures before = take_figures();
	struct crowd *c = calloc(1, sizeof(*c));

	ASSERT_EQ(0, guest_create(&c->g, code_halt, GUEST_SIZE(code_halt)));
	for (int i = 0; i < MAX_VCPUS; i++)
		ASSERT_EQ(0, add_vcpu(c, i));
	for (int i = 0; i < MAX_VCPUS; i++)
		EXPECT_EQ(KVM_EXIT_HLT, guest_run(&c->each[i]));
	/* KVM has more. */
	if (!guest_on_kvm()) {
		EXPECT_EQ(MAX_VCPUS, ioctl(c->g.vm, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS));
		EXPECT_EQ(-1, ioctl(c->g.vm, KVM_CREATE_VCPU, MAX_VCPUS));
		EXPECT_EQ(EINVAL, errno);
	}
	EXPECT_EQ(-1, ioctl(c->g.vm, KVM_CREATE_VCPU,
			    ioctl(c->g.vm, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPU_ID)));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ioctl(c->g.vm, KVM_CREATE_VCPU, MAX_VCPUS - 1));
	EXPECT_EQ(EEXIST, errno);
	disperse(c);
	free(c);
	expect_back(_metadata, &before, 1000);
}

/* What a round costs is given back: after the first ones nothing is lost. */
TEST_F_TIMEOUT(life, rounds_leave_nothing_behind, 3600)
{
	long rounds = from_environment("ROUNDS", 1000);
	static struct slab slabs[MAX_SLABS];
	struct figures before = {};
	const char *leak = NULL;
	int log = watch_log(), n = 0;

	for (long i = -20; i < rounds; i++) {
		struct guest g;

		if (!i) {
			before = take_figures();
			n = take_slabs(slabs);
		}
		ASSERT_EQ(0, guest_create(&g, code_halt, GUEST_SIZE(code_halt)));
		ASSERT_EQ(KVM_EXIT_HLT, guest_run(&g));
		guest_destroy(&g);
	}
	expect_back(_metadata, &before, rounds);
	/* KASAN keeps what was freed. */
	for (int i = 0; i < 100 && before.slab >= 0; i++) {
		leak = leaking_slab(slabs, n, rounds);
		if (!leak)
			break;
		usleep(100000);
	}
	EXPECT_EQ(NULL, leak) TH_LOG("%s grows", leak);
	EXPECT_TRUE(n > 50 || before.slab < 0) TH_LOG("no /proc/slabinfo");
	expect_quiet_log(_metadata, log);
}

/* Half of the vCPUs only count, the others go to user space and touch memory. */
static void run_crowd(int vcpus, int *started)
{
	struct crowd *c = calloc(1, sizeof(*c));
	struct kvm_regs regs;

	if (guest_create(&c->g, code_count, GUEST_SIZE(code_count)))
		_exit(1);
	memcpy(c->g.memory + GUEST_CODE + 0x100, code_walk, GUEST_SIZE(code_walk));
	for (int i = 0; i < vcpus; i++)
		if (add_vcpu(c, i))
			_exit(1);
	for (int i = 0; i < vcpus; i++) {
		regs = guest_regs(&c->each[i]);
		regs.rip += i % 2 * 0x100;
		ioctl(c->each[i].vcpu, KVM_SET_REGS, &regs);
		pthread_create(&c->thread[i], NULL, run_for_ever, &c->each[i]);
	}
	while (!__atomic_load_n((uint32_t *)(c->g.memory + 0x3000), 5) ||
	       !__atomic_load_n((uint32_t *)(c->g.memory + 0x10000), 5))
		usleep(1000);
	__atomic_store_n(started, 1, 5);
	for (int i = 0; i < vcpus; i++)
		pthread_join(c->thread[i], NULL);
	_exit(1);
}

/* Killed in the middle of anything: the kernel cleans up by itself. */
TEST_F_TIMEOUT(life, a_killed_process_leaves_nothing, 3600)
{
	long kills = from_environment("KILLS", 200), early = 0;
	unsigned int seed = from_environment("SEED", time(NULL) ^ getpid());
	int *started =
		mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct figures before = {};
	int log = watch_log();
	struct guest g;

	TH_LOG("SEED=%u", seed);
	srandom(seed);
	for (long i = -10; i < kills; i++) {
		bool running = random() % 2;
		pid_t child;
		int status;

		if (!i)
			before = take_figures();
		*started = 0;
		child = fork();
		if (!child)
			run_crowd(8, started);
		/* Some while all of them run, some while it still sets things up. */
		while (running && !__atomic_load_n(started, 5) && !waitpid(child, NULL, WNOHANG))
			usleep(1000);
		usleep(random() % 20000);
		kill(child, SIGKILL);
		ASSERT_EQ(child, waitpid(child, &status, 0));
		early += !WIFSIGNALED(status);
	}
	EXPECT_EQ(0, early) TH_LOG("of them could not do what they should");
	expect_back(_metadata, &before, kills);
	expect_quiet_log(_metadata, log);
	ASSERT_EQ(0, guest_create(&g, code_halt, GUEST_SIZE(code_halt)));
	EXPECT_EQ(KVM_EXIT_HLT, guest_run(&g));
	guest_destroy(&g);
}

/* --- file descriptors ------------------------------------------------------ */

enum part { DEVICE, VM, VCPU, RUN, PARTS };

static void drop(struct guest *g, enum part part)
{
	switch (part) {
	case DEVICE:
		close(g->device);
		g->device = -1;
		return;
	case VM:
		close(g->vm);
		g->vm = -1;
		return;
	case VCPU:
		close(g->vcpu);
		g->vcpu = -1;
		return;
	default:
		munmap(g->run, g->run_size);
		g->run = NULL;
	}
}

static void drop_in_order(struct __test_metadata *_metadata, const enum part *order)
{
	struct guest g;

	ASSERT_EQ(0, guest_create(&g, code_halt, GUEST_SIZE(code_halt)));
	for (int i = 0; i < PARTS; i++) {
		struct kvm_regs regs = { .rip = GUEST_CODE, .rflags = 2 };

		/* As long as there are a vCPU and its page, it runs. */
		if (g.vcpu >= 0 && g.run) {
			EXPECT_EQ(0, ioctl(g.vcpu, KVM_SET_REGS, &regs));
			EXPECT_EQ(KVM_EXIT_HLT, guest_run(&g));
		}
		if (g.run)
			EXPECT_EQ(KVM_EXIT_HLT, g.run->exit_reason);
		drop(&g, order[i]);
	}
	guest_destroy(&g);
}

TEST_F(life, descriptors_are_closed_in_any_order)
{
	struct figures before = take_figures();

	for (int n = 0; n < PARTS * PARTS * PARTS * PARTS; n++) {
		enum part order[PARTS] = { n % PARTS, n / PARTS % PARTS, n / PARTS / PARTS % PARTS,
					   n / PARTS / PARTS / PARTS };

		if ((1 << order[0] | 1 << order[1] | 1 << order[2] | 1 << order[3]) == 15)
			drop_in_order(_metadata, order);
	}
	expect_back(_metadata, &before, 100);
}

#define EXPECT_EIO(call)                                             \
	do {                                                         \
		errno = 0;                                           \
		if (call != -1 || errno != EIO) {                    \
			fprintf(stderr, "# " #call ": %d\n", errno); \
			status++;                                    \
		}                                                    \
	} while (0)

/* A VM is the address space's that made it. */
static int use_as_stranger(const struct guest *g)
{
	struct kvm_regs regs = {};
	int status = 0;

	EXPECT_EIO(ioctl(g->vcpu, KVM_RUN, 0));
	EXPECT_EIO(ioctl(g->vcpu, KVM_GET_REGS, &regs));
	EXPECT_EIO(ioctl(g->vcpu, KVM_SET_REGS, &regs));
	EXPECT_EIO(ioctl(g->vm, KVM_CREATE_VCPU, 1));
	EXPECT_EIO(guest_memory(g->vm, 1, 0, 0x40000000, 0x1000, g->memory));
	if (ioctl(g->device, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		status++;
	return status;
}

TEST_F(life, another_process_cannot_use_a_vcpu)
{
	struct figures before = take_figures();
	struct guest g;
	int status;
	pid_t child;

	ASSERT_EQ(0, guest_create(&g, code_halt, GUEST_SIZE(code_halt)));
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&g));
	child = fork();
	if (!child)
		_exit(use_as_stranger(&g));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	/* It did no harm. */
	guest_load(&g, code_halt, GUEST_SIZE(code_halt));
	EXPECT_EQ(KVM_EXIT_HLT, guest_run(&g));
	guest_destroy(&g);
	expect_back(_metadata, &before, 1);
}

/* The descriptors outlive the address space that they belong to. */
TEST_F(life, a_vm_may_outlive_its_creator)
{
	struct figures before = take_figures();
	char result = 1;
	int pipes[2][2], status;
	pid_t child;

	ASSERT_EQ(0, pipe2(pipes[0], O_CLOEXEC));
	ASSERT_EQ(0, pipe2(pipes[1], O_CLOEXEC));
	child = fork();
	if (!child) {
		struct guest g;

		if (guest_create(&g, code_halt, GUEST_SIZE(code_halt)) ||
		    guest_run(&g) != KVM_EXIT_HLT)
			_exit(1);
		if (!fork()) {
			/* Until the creator is gone, and then we are a stranger to it. */
			close(pipes[0][1]);
			read(pipes[0][0], &result, 1);
			result = use_as_stranger(&g);
			guest_destroy(&g);
			write(pipes[1][1], &result, 1);
			_exit(0);
		}
		_exit(0);
	}
	close(pipes[1][1]);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	close(pipes[0][1]);
	EXPECT_EQ(1, read(pipes[1][0], &result, 1));
	EXPECT_EQ(0, result);
	EXPECT_EQ(0, read(pipes[1][0], &result, 1)) TH_LOG("it is gone too");
	expect_back(_metadata, &before, 10);
}

/* Beyond the end is nothing: no mapping, or none that can be touched. */
TEST_F(life, the_run_page_ends_where_it_ends)
{
	struct guest g;
	int status;
	pid_t child;

	ASSERT_EQ(0, guest_create(&g, code_halt, GUEST_SIZE(code_halt)));
	child = fork();
	if (!child) {
		uint8_t *beyond =
			mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, g.vcpu, g.run_size);

		signal(SIGBUS, SIG_DFL);
		if (beyond == MAP_FAILED)
			_exit(0);
		_exit(__atomic_load_n(beyond, 5) + 1);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS))
	{
		TH_LOG("status %#x", status);
	}
	EXPECT_EQ(KVM_EXIT_HLT, guest_run(&g));
	guest_destroy(&g);
}

/* --- threads and signals --------------------------------------------------- */

struct thread {
	struct guest *g;
	pthread_t thread;
	int result, done;
};

static int handled;

static void count_signal(int signal __attribute__((unused)))
{
	__atomic_add_fetch(&handled, 1, 5);
}

static void catch_signal(int number)
{
	sigaction(number, &(struct sigaction){ .sa_handler = count_signal }, NULL);
}

static void *run_once(void *data)
{
	struct thread *t = data;

	t->result = guest_run(t->g);
	__atomic_store_n(&t->done, 1, 5);
	return NULL;
}

/* One signal could come just before the thread is in the ioctl. */
static void kick(struct thread *t)
{
	while (!__atomic_load_n(&t->done, 5)) {
		pthread_kill(t->thread, SIGUSR1);
		usleep(1000);
	}
	pthread_join(t->thread, NULL);
}

static uint32_t counter(const struct guest *g)
{
	return __atomic_load_n((uint32_t *)(g->memory + 0x3000), 5);
}

static void wait_for_progress(const struct guest *g)
{
	uint32_t before = counter(g);

	while (counter(g) == before)
		usleep(1000);
}

TEST_F(life, one_thread_at_a_time_runs_a_vcpu)
{
	struct guest g;
	struct thread t[2] = { { .g = &g }, { .g = &g } };

	catch_signal(SIGUSR1);
	ASSERT_EQ(0, guest_create(&g, code_count, GUEST_SIZE(code_count)));
	ASSERT_EQ(0, pthread_create(&t[0].thread, NULL, run_once, &t[0]));
	wait_for_progress(&g);
	ASSERT_EQ(0, pthread_create(&t[1].thread, NULL, run_once, &t[1]));
	wait_for_progress(&g);
	EXPECT_EQ(0, __atomic_load_n(&t[1].done, 5)) TH_LOG("it waits");
	kick(&t[0]);
	EXPECT_EQ(-EINTR, t[0].result);
	kick(&t[1]);
	EXPECT_EQ(-EINTR, t[1].result);

	/* The other way round: whichever goes first, both come back. */
	for (int i = 0; i < 2; i++) {
		t[i].done = 0;
		ASSERT_EQ(0, pthread_create(&t[i].thread, NULL, run_once, &t[i]));
	}
	wait_for_progress(&g);
	while (!__atomic_load_n(&t[0].done, 5) || !__atomic_load_n(&t[1].done, 5)) {
		for (int i = 0; i < 2; i++)
			if (!__atomic_load_n(&t[i].done, 5))
				pthread_kill(t[i].thread, SIGUSR1);
		usleep(1000);
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(t[i].thread, NULL);
		EXPECT_EQ(-EINTR, t[i].result);
	}
	guest_destroy(&g);
}

static void leave(int signal __attribute__((unused)))
{
	syscall(SYS_exit, 0);
}

/* Its vCPU is another's to run, from where it stood. */
TEST_F(life, a_thread_may_die_while_it_runs_a_vcpu)
{
	struct figures before = take_figures();
	struct guest g;
	struct thread t = { .g = &g }, next = { .g = &g };
	uint32_t count;

	catch_signal(SIGUSR1);
	sigaction(SIGUSR2, &(struct sigaction){ .sa_handler = leave }, NULL);
	ASSERT_EQ(0, guest_create(&g, code_count, GUEST_SIZE(code_count)));
	ASSERT_EQ(0, pthread_create(&t.thread, NULL, run_once, &t));
	wait_for_progress(&g);
	pthread_kill(t.thread, SIGUSR2);
	/* The kernel clears its ID and wakes who joins. */
	pthread_join(t.thread, NULL);
	EXPECT_EQ(0, t.done);
	count = counter(&g);
	ASSERT_EQ(0, pthread_create(&next.thread, NULL, run_once, &next));
	wait_for_progress(&g);
	kick(&next);
	EXPECT_EQ(-EINTR, next.result);
	EXPECT_LT(count, counter(&g));
	guest_destroy(&g);
	expect_back(_metadata, &before, 10);
}

/* exec() ends all threads but one, in whatever they are. */
TEST_F(life, exec_ends_running_vcpus)
{
	struct figures before = take_figures();
	int status;

	for (int i = 0; i < 10; i++) {
		pid_t child = fork();

		if (!child) {
			struct crowd *c = calloc(1, sizeof(*c));

			if (guest_create(&c->g, code_count, GUEST_SIZE(code_count)))
				_exit(2);
			for (int n = 0; n < 4; n++)
				if (add_vcpu(c, n))
					_exit(3);
			for (int n = 0; n < 4; n++)
				pthread_create(&c->thread[n], NULL, run_for_ever, &c->each[n]);
			wait_for_progress(&c->g);
			execl("/bin/true", "true", NULL);
			_exit(4);
		}
		ASSERT_EQ(child, waitpid(child, &status, 0));
		EXPECT_EQ(0, status);
	}
	expect_back(_metadata, &before, 100);
}

static int set_mask(const struct guest *g, uint32_t len, uint64_t signals)
{
	struct {
		struct kvm_signal_mask head;
		uint64_t set;
	} __attribute__((packed)) mask = { .head.len = len, .set = signals };

	return ioctl(g->vcpu, KVM_SET_SIGNAL_MASK, &mask);
}

static int run_again(struct guest *g)
{
	guest_load(g, code_halt, GUEST_SIZE(code_halt));
	return guest_run(g);
}

TEST_F(life, a_signal_mask_is_for_the_run)
{
	const uint64_t usr1 = 1ULL << (SIGUSR1 - 1);
	struct guest g;
	sigset_t set;

	catch_signal(SIGUSR1);
	ASSERT_EQ(0, guest_create(&g, code_halt, GUEST_SIZE(code_halt)));
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &set, NULL));
	raise(SIGUSR1);
	EXPECT_EQ(KVM_EXIT_HLT, run_again(&g)) TH_LOG("blocked, it is not seen");
	ASSERT_EQ(0, set_mask(&g, 8, usr1));
	EXPECT_EQ(KVM_EXIT_HLT, run_again(&g)) TH_LOG("blocked by the mask, too");
	ASSERT_EQ(0, set_mask(&g, 8, 0));
	EXPECT_EQ(-EINTR, run_again(&g));
	EXPECT_EQ(KVM_EXIT_INTR, g.run->exit_reason);
	EXPECT_EQ(-EINTR, guest_run(&g));
	EXPECT_EQ(0, __atomic_load_n(&handled, 5)) TH_LOG("it is still there for whoever takes it");
	ASSERT_EQ(0, sigpending(&set));
	EXPECT_EQ(1, sigismember(&set, SIGUSR1));
	ASSERT_EQ(0, ioctl(g.vcpu, KVM_SET_SIGNAL_MASK, NULL));
	EXPECT_EQ(KVM_EXIT_HLT, run_again(&g)) TH_LOG("no mask, no difference");

	EXPECT_EQ(-1, set_mask(&g, 4, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, set_mask(&g, 16, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ioctl(g.vcpu, KVM_SET_SIGNAL_MASK, (void *)8));
	EXPECT_EQ(EFAULT, errno);

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	ASSERT_EQ(0, sigprocmask(SIG_UNBLOCK, &set, NULL));
	EXPECT_EQ(1, __atomic_load_n(&handled, 5));
	guest_destroy(&g);
}

/* The other way round: a signal that the thread takes waits until the run is over. */
TEST_F(life, a_signal_mask_blocks_what_would_interrupt)
{
	struct guest g;
	struct thread t = { .g = &g };

	catch_signal(SIGUSR1);
	catch_signal(SIGUSR2);
	ASSERT_EQ(0, guest_create(&g, code_count, GUEST_SIZE(code_count)));
	ASSERT_EQ(0, set_mask(&g, 8, 1ULL << (SIGUSR2 - 1)));
	ASSERT_EQ(0, pthread_create(&t.thread, NULL, run_once, &t));
	wait_for_progress(&g);
	for (int i = 0; i < 10; i++) {
		pthread_kill(t.thread, SIGUSR2);
		wait_for_progress(&g);
	}
	EXPECT_EQ(0, t.done);
	EXPECT_EQ(0, __atomic_load_n(&handled, 5));
	kick(&t);
	EXPECT_EQ(-EINTR, t.result);
	EXPECT_LE(2, __atomic_load_n(&handled, 5)) TH_LOG("now both were");
	guest_destroy(&g);
}

/* KVM tells the guest at once; what Dragonfly has pinned stays until it is let go. */
TEST_F(life, memory_may_be_unmapped_under_a_running_guest)
{
	struct figures before = take_figures();

	for (int i = 0; i < 10; i++) {
		struct guest g;
		struct thread t = { .g = &g };

		catch_signal(SIGUSR1);
		ASSERT_EQ(0, guest_create(&g, code_count, GUEST_SIZE(code_count)));
		ASSERT_EQ(0, pthread_create(&t.thread, NULL, run_once, &t));
		wait_for_progress(&g);
		munmap(g.memory, GUEST_MEMORY);
		kick(&t);
		EXPECT_TRUE(t.result == -EINTR || t.result == -EFAULT) TH_LOG("%d", t.result);
		g.memory = MAP_FAILED;
		guest_destroy(&g);
	}
	expect_back(_metadata, &before, 100);
}

/* Its own part of the API goes on while the guest runs. */
TEST_F(life, slots_come_and_go_under_a_running_guest)
{
	struct figures before = take_figures();
	struct guest g;
	struct thread t = { .g = &g };
	uint8_t *more;

	catch_signal(SIGUSR1);
	ASSERT_EQ(0, guest_create(&g, code_count, GUEST_SIZE(code_count)));
	more = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, more);
	ASSERT_EQ(0, pthread_create(&t.thread, NULL, run_once, &t));
	for (int i = 0; i < 20; i++) {
		EXPECT_EQ(0, guest_memory(g.vm, 1, 0, 0x40000000, 0x10000, more));
		wait_for_progress(&g);
		EXPECT_EQ(0, guest_memory(g.vm, 1, 0, 0, 0, NULL));
	}
	/* Its own memory, too: it goes on as soon as it is there again. */
	ASSERT_EQ(0, guest_memory(g.vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, GUEST_MEMORY, g.memory));
	wait_for_progress(&g);
	ASSERT_EQ(0, guest_memory(g.vm, 0, 0, 0, GUEST_MEMORY, g.memory));
	wait_for_progress(&g);
	kick(&t);
	EXPECT_EQ(-EINTR, t.result);
	munmap(more, 0x10000);
	guest_destroy(&g);
	expect_back(_metadata, &before, 10);
}

TEST_HARNESS_MAIN
