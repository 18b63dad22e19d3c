// SPDX-License-Identifier: GPL-2.0-only
/*
 * workload NAME N - N operations of a kind, in a guest whose exits somebody counts: from
 * the line that it is given on standard input, between the two that it prints.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000L /* in nanoseconds */
#define SECOND (1000 * MS)
#define BLOCK 4096

static unsigned long operations;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void pin(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		fail("workload: CPU");
}

static pthread_t start(void *(*thread)(void *), unsigned long argument)
{
	pthread_t id;

	if (pthread_create(&id, NULL, thread, (void *)argument))
		fail("workload: thread");
	return id;
}

/* Until then; not for as long, which would be late by what the call takes. */
static void sleep_for(long ns)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (until.tv_nsec + ns) / SECOND;
	until.tv_nsec = (until.tv_nsec + ns) % SECOND;
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL))
		;
}

/* As long as N timers take, and nothing else. */
static void idle(void)
{
	sleep_for(operations * MS);
}

/* Of 1 ms each. */
static void timer(void)
{
	prctl(PR_SET_TIMERSLACK, 1);
	for (unsigned long i = 0; i < operations; i++)
		sleep_for(MS);
}

/* --- a token goes to and fro between CPUs 0 and 1 --- */

static atomic_uint token; /* odd: it is the second's */

static void futex(int operation, unsigned int value)
{
	syscall(SYS_futex, &token, operation, value, NULL, NULL, 0);
}

static void *player(void *argument)
{
	unsigned long me = (unsigned long)argument;

	pin(me);
	for (unsigned long i = 0; i < operations / 2; i++) {
		unsigned int now;

		while ((now = atomic_load(&token)) % 2 != me)
			futex(FUTEX_WAIT_PRIVATE, now);
		atomic_fetch_add(&token, 1);
		futex(FUTEX_WAKE_PRIVATE, 1);
	}
	return NULL;
}

static void pingpong(void)
{
	pthread_t first = start(player, 0), second = start(player, 1);

	pthread_join(first, NULL);
	pthread_join(second, NULL);
}

/* --- all other CPUs are told something at once --- */

static atomic_bool over;
static atomic_long there;

/* Only where nothing else runs. */
static void *spin(void *argument)
{
	struct sched_param none = {};

	pin((unsigned long)argument);
	if (sched_setscheduler(0, SCHED_IDLE, &none))
		fail("workload: SCHED_IDLE");
	atomic_fetch_add(&there, 1);
	while (!atomic_load(&over))
		__builtin_ia32_pause();
	return NULL;
}

static void membarrier(int command)
{
	if (syscall(SYS_membarrier, command, 0, 0))
		fail("workload: membarrier");
}

static void multicast(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t others[cpus];

	pin(0);
	membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
	for (long i = 1; i < cpus; i++)
		others[i] = start(spin, i);
	while (atomic_load(&there) < cpus - 1)
		__builtin_ia32_pause();
	for (unsigned long i = 0; i < operations; i++)
		membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
	atomic_store(&over, true);
	for (long i = 1; i < cpus; i++)
		pthread_join(others[i], NULL);
}

/* --- a disk --- */

static void block(void)
{
	static char buffer[BLOCK] __attribute__((aligned(BLOCK)));
	int fd = open("/dev/vda", O_RDONLY | O_DIRECT);
	long size;

	if (fd < 0)
		fail("workload: /dev/vda");
	size = lseek(fd, 0, SEEK_END) / BLOCK;
	if (size <= 0)
		fail("workload: /dev/vda is empty");
	for (unsigned long i = 0; i < operations; i++)
		if (pread(fd, buffer, BLOCK, (i % size) * BLOCK) != BLOCK)
			fail("workload: reading /dev/vda");
	close(fd);
}

static void all(void);

static const struct workload {
	const char *name;
	void (*run)(void);
} workloads[] = {
	{ "idle", idle },	    { "timer", timer }, { "pingpong", pingpong },
	{ "multicast", multicast }, { "block", block }, { "all", all },
};

#define KINDS (sizeof(workloads) / sizeof(workloads[0]) - 1)

static void *run(void *argument)
{
	workloads[(unsigned long)argument].run();
	return NULL;
}

static void all(void)
{
	pthread_t threads[KINDS];

	for (unsigned long i = 0; i < KINDS; i++)
		threads[i] = start(run, i);
	for (unsigned long i = 0; i < KINDS; i++)
		pthread_join(threads[i], NULL);
}

static int usage(void)
{
	fprintf(stderr, "usage: workload idle|timer|pingpong|multicast|block|all N\n");
	return 2;
}

int main(int argc, char **argv)
{
	char line[80];

	if (argc != 3)
		return usage();
	operations = strtoul(argv[2], NULL, 10);
	for (unsigned long i = 0; i <= KINDS; i++) {
		if (strcmp(argv[1], workloads[i].name))
			continue;
		printf("workload %s begin\n", argv[1]);
		fflush(stdout);
		if (!fgets(line, sizeof(line), stdin))
			return 1;
		workloads[i].run();
		printf("workload %s end\n", argv[1]);
		return 0;
	}
	return usage();
}
