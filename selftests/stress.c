// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many interrupts, each waited for, so that none may be taken for another: none is
 * lost, none comes twice, and none of a timer comes early; while the vCPUs' threads
 * are moved from CPU to CPU. EVENTS in the environment says how many.
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm.
 */
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/eventfd.h>

#include "kselftest_harness.h"
#include "apic.h"

/* 10^6 events take their time in an emulated host: the watchdog looks for progress. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 36000

#define VECTOR 0x61 /* and the next ones, one for each sender */
#define STOP 0x21
#define PORT_YIELD 0x12
#define PORT_DOUBLE 0x13
#define PORT_EARLY 0x14

/*
 * In RAX how many, in RCX whose turn comes next: at whom to send (stress_storm,
 * stress_token). R8 is that vCPU's own vector, R9 the one that it sends, R10 where the
 * count of that is with its receiver, and R11 how many it has sent; R12 1 for the
 * one that begins.
 */
GUEST_ASM(stress_code, 64,
	  /* Send, wait until it has come; after a while let another thread run. */
	  "stress_storm: mov %eax, %esi\n sti\n"
	  "1: test %esi, %esi\n jz 4f\n dec %esi\n inc %r11d\n"
	  "mov %ecx, %edx\n mov %r9d, %eax\n mov %ecx, %edi\n mov $0x830, %ecx\n wrmsr\n"
	  "mov %edi, %ecx\n mov $1000, %ebp\n"
	  "2: cmp %r11d, (%r10)\n je 1b\n ja 3f\n pause\n dec %ebp\n jnz 2b\n"
	  "out %al, $0x12\n mov $1000, %ebp\n jmp 2b\n"
	  "3: out %al, $0x13\n"
	  /* All sent: what others still send here is to be acknowledged. */
	  "4: sti\n pause\n mov $1000, %ebp\n 5: dec %ebp\n jnz 5b\n"
	  "out %al, $0x12\n cmpl $0, %gs:0x284\n je 4b\n cli\n" APIC_DONE
	  /* Wait for one, halting, and send one: a token goes round. */
	  "stress_token: mov %eax, %esi\n xor %ebx, %ebx\n"
	  "1: test %esi, %esi\n jz 4f\n dec %esi\n"
	  "test %r12d, %r12d\n jnz 3f\n inc %ebx\n"
	  "2: cli\n cmp %ebx, %gs:0x200(, %r8, 4)\n je 3f\n ja 5f\n sti\n hlt\n jmp 2b\n"
	  "3: xor %r12d, %r12d\n"
	  "mov %ecx, %edx\n mov %r9d, %eax\n mov %ecx, %edi\n mov $0x830, %ecx\n wrmsr\n"
	  "mov %edi, %ecx\n jmp 1b\n"
	  "4:" APIC_DONE "5: out %al, $0x13\n"
	  /* Take what comes, until told to stop. */
	  "stress_serve: cli\n cmpl $0, %gs:0x284\n jne 1f\n sti\n hlt\n jmp stress_serve\n"
	  "1:" APIC_DONE
	  /* RAX deadlines, of different lengths: each has one interrupt, and not early. */
	  "stress_timer: mov %rax, %rsi\n xor %ebx, %ebx\n mov $12345, %edi\n"
	  "1: test %rsi, %rsi\n jz 4f\n dec %rsi\n inc %ebx\n"
	  "imul $1103515245, %edi, %edi\n add $12345, %edi\n mov %edi, %ebp\n shr $19, %ebp\n"
	  "rdtsc\n shl $32, %rdx\n or %rdx, %rax\n add %rbp, %rax\n mov %rax, %gs:24\n"
	  "mov %rax, %rbp\n mov %rax, %rdx\n shr $32, %rdx\n mov $0x6e0, %ecx\n wrmsr\n"
	  "2: cli\n cmp %ebx, %gs:0\n je 3f\n ja 6f\n sti\n hlt\n jmp 2b\n"
	  "3: cmp %rbp, %gs:8\n jae 1b\n out %al, $0x14\n"
	  "4:" APIC_DONE "6: out %al, $0x13\n");
GUEST_LABEL(stress_storm);
GUEST_LABEL(stress_token);
GUEST_LABEL(stress_serve);
GUEST_LABEL(stress_timer);
#define STRESS_CODE 0x2000
#define STRESS_AT(label) (STRESS_CODE + ((label)-stress_code))

static uint32_t events(void)
{
	const char *value = getenv("EVENTS");

	return value ? strtoul(value, NULL, 0) : 10000;
}

struct stress {
	struct guest g[APIC_CPUS];
	pthread_t threads[APIC_CPUS], mover, watchdog;
	pid_t tids[APIC_CPUS];
	int results[APIC_CPUS];
	unsigned int cpus;
	bool over;
};

struct runner {
	struct stress *s;
	unsigned int cpu;
};

static void *run_vcpu(void *data)
{
	struct runner r = *(struct runner *)data;
	struct guest *g = &r.s->g[r.cpu];

	free(data);
	r.s->tids[r.cpu] = gettid();
	while ((r.s->results[r.cpu] = apic_resume(g)) == 0x100 + KVM_EXIT_IO &&
	       g->run->io.port == PORT_YIELD)
		sched_yield();
	return NULL;
}

static void start(struct stress *s, unsigned int cpu)
{
	struct runner *r = malloc(sizeof(*r));

	*r = (struct runner){ s, cpu };
	if (pthread_create(&s->threads[cpu], NULL, run_vcpu, r))
		abort();
}

/* 0, or how it ended instead: an exit to say what went wrong has its port. */
static int finish(struct stress *s, unsigned int cpu)
{
	pthread_join(s->threads[cpu], NULL);
	if (s->results[cpu] == 0x100 + KVM_EXIT_IO)
		return s->g[cpu].run->io.port;
	return s->results[cpu];
}

/* --- meanwhile ------------------------------------------------------------ */

static bool over(struct stress *s)
{
	return __atomic_load_n(&s->over, __ATOMIC_RELAXED);
}

static void *move_threads(void *data)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct stress *s = data;

	for (unsigned int move = 0; !over(s); move++) {
		unsigned int cpu = move % s->cpus;
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET((move / s->cpus + cpu) % cpus, &set);
		/* One that has ended is nobody's loss. */
		if (s->tids[cpu])
			sched_setaffinity(s->tids[cpu], sizeof(set), &set);
		usleep(1000);
	}
	return NULL;
}

static void give_up(struct stress *s)
{
	printf("# no interrupt has come for a minute:\n");
	for (unsigned int cpu = 0; cpu < s->cpus; cpu++) {
		volatile struct apic_cpu *c = apic_cpu(s->g, cpu);

		printf("# vCPU %u: %lu taken (%u %u %u %u), the last at TSC %#lx; mail %#lx\n", cpu,
		       c->count, c->taken[VECTOR], c->taken[VECTOR + 1], c->taken[VECTOR + 2],
		       c->taken[VECTOR + 3], c->tsc, c->mail);
	}
	fflush(stdout);
	_exit(KSFT_FAIL);
}

/* Whoever has lost one waits without end: a guest that stands still fails. */
static void *watch(void *data)
{
	struct stress *s = data;
	uint64_t before = 0;

	for (unsigned int still = 0; !over(s); still++) {
		uint64_t now = 0;

		for (unsigned int cpu = 0; cpu < s->cpus; cpu++)
			now += apic_cpu(s->g, cpu)->count;
		if (now != before)
			still = 0;
		before = now;
		if (still == 600)
			give_up(s);
		usleep(100000);
	}
	return NULL;
}

FIXTURE(stress)
{
	struct stress s;
};

FIXTURE_VARIANT(stress)
{
	unsigned int cpus;
};

FIXTURE_VARIANT_ADD(stress, two){ .cpus = 2 };
FIXTURE_VARIANT_ADD(stress, four){ .cpus = 4 };

FIXTURE_SETUP(stress)
{
	struct stress *s = &self->s;

	s->cpus = variant->cpus;
	ASSERT_EQ(0, apic_create(s->g, s->cpus, true));
	memcpy(s->g->memory + STRESS_CODE, stress_code, GUEST_SIZE(stress_code));
	for (unsigned int cpu = 0; cpu < s->cpus; cpu++) {
		ASSERT_EQ(0, apic_set_mp_state(&s->g[cpu], KVM_MP_STATE_RUNNABLE));
		ASSERT_EQ(0,
			  apic_set_reg(&s->g[cpu], APIC_LVTT, APIC_LVT_TIMER_TSCDEADLINE | VECTOR));
	}
	ASSERT_EQ(0, pthread_create(&s->mover, NULL, move_threads, s));
	ASSERT_EQ(0, pthread_create(&s->watchdog, NULL, watch, s));
}

FIXTURE_TEARDOWN(stress)
{
	__atomic_store_n(&self->s.over, true, __ATOMIC_RELAXED);
	pthread_join(self->s.mover, NULL);
	pthread_join(self->s.watchdog, NULL);
	apic_destroy(self->s.g, self->s.cpus);
}

/* --- interrupts from each other ------------------------------------------- */

/* Each vCPU sends to the next one, with a vector of its own. */
static void enter_ring(struct stress *s, unsigned int cpu, const uint8_t *label, uint32_t count)
{
	unsigned int next = (cpu + 1) % s->cpus;
	struct kvm_regs regs = {
		.rip = STRESS_AT(label),
		.rsp = APIC_CPU(cpu + 1),
		.rflags = 2,
		.rax = count,
		.rcx = next,
		.r8 = VECTOR + (cpu + s->cpus - 1) % s->cpus,
		.r9 = VECTOR + cpu,
		.r10 = APIC_CPU(next) + offsetof(struct apic_cpu, taken[VECTOR + cpu]),
		.r12 = cpu == 0,
	};

	ioctl(s->g[cpu].vcpu, KVM_SET_REGS, &regs);
}

/* How many of the previous one's have come. */
static uint32_t taken(struct stress *s, unsigned int cpu)
{
	return apic_cpu(s->g, cpu)->taken[VECTOR + (cpu + s->cpus - 1) % s->cpus];
}

TEST_F(stress, a_storm_loses_and_doubles_none)
{
	struct stress *s = &self->s;
	uint32_t count = events() / s->cpus;

	for (unsigned int cpu = 0; cpu < s->cpus; cpu++) {
		enter_ring(s, cpu, stress_storm, count);
		start(s, cpu);
	}
	for (unsigned int cpu = 0; cpu < s->cpus; cpu++)
		while (taken(s, cpu) < count)
			usleep(1000);
	for (unsigned int cpu = 0; cpu < s->cpus; cpu++)
		EXPECT_EQ(1, apic_msi(s->g, cpu, STOP));
	for (unsigned int cpu = 0; cpu < s->cpus; cpu++) {
		EXPECT_EQ(0, finish(s, cpu));
		EXPECT_EQ(count, taken(s, cpu));
		EXPECT_EQ(count + 1, apic_cpu(s->g, cpu)->count);
	}
}

TEST_F(stress, a_token_goes_round_between_halts)
{
	struct stress *s = &self->s;
	uint32_t count = events() / s->cpus;

	for (unsigned int cpu = 0; cpu < s->cpus; cpu++) {
		enter_ring(s, cpu, stress_token, count);
		start(s, cpu);
	}
	for (unsigned int cpu = 0; cpu < s->cpus; cpu++) {
		EXPECT_EQ(0, finish(s, cpu));
		/* The last token may be there, and not taken yet. */
		EXPECT_LE(count - !cpu, taken(s, cpu));
		EXPECT_GE(count, taken(s, cpu));
	}
}

/* --- interrupts from the host --------------------------------------------- */

#define SOURCES 4

struct source {
	struct stress *s;
	pthread_t thread;
	unsigned int gsi, cpu;
	int fd;
	uint32_t count;
};

static uint32_t acknowledged(struct source *source)
{
	return __atomic_load_n(&apic_cpu(source->s->g, source->cpu)->taken[VECTOR + source->gsi],
			       __ATOMIC_ACQUIRE);
}

static void *signal_each(void *data)
{
	struct source *source = data;
	uint64_t one = 1;

	for (uint32_t n = 1; n <= source->count; n++) {
		if (write(source->fd, &one, sizeof(one)) != sizeof(one))
			break;
		while (acknowledged(source) < n)
			sched_yield();
	}
	return NULL;
}

static int route(struct stress *s, struct source *sources)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entries[SOURCES];
	} routes = { .head.nr = SOURCES };

	for (unsigned int i = 0; i < SOURCES; i++)
		routes.entries[i] = (struct kvm_irq_routing_entry){
			.gsi = i,
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi.address_lo = APIC_BASE | sources[i].cpu << 12,
			.u.msi.data = VECTOR + i,
		};
	return ioctl(s->g->vm, KVM_SET_GSI_ROUTING, &routes);
}

TEST_F(stress, events_of_four_threads_come_once_each)
{
	struct source sources[SOURCES];
	struct stress *s = &self->s;

	for (unsigned int i = 0; i < SOURCES; i++)
		sources[i] = (struct source){
			.s = s,
			.gsi = i,
			.cpu = i % s->cpus,
			.fd = eventfd(0, EFD_CLOEXEC),
			.count = events() / SOURCES,
		};
	ASSERT_EQ(0, route(s, sources));
	for (unsigned int i = 0; i < SOURCES; i++) {
		struct kvm_irqfd irqfd = { .fd = sources[i].fd, .gsi = i };

		ASSERT_EQ(0, ioctl(s->g->vm, KVM_IRQFD, &irqfd));
	}
	for (unsigned int cpu = 0; cpu < s->cpus; cpu++) {
		apic_enter(&s->g[cpu], cpu, STRESS_AT(stress_serve), 0, 0);
		start(s, cpu);
	}
	for (unsigned int i = 0; i < SOURCES; i++)
		ASSERT_EQ(0, pthread_create(&sources[i].thread, NULL, signal_each, &sources[i]));
	for (unsigned int i = 0; i < SOURCES; i++)
		pthread_join(sources[i].thread, NULL);
	for (unsigned int cpu = 0; cpu < s->cpus; cpu++) {
		EXPECT_EQ(1, apic_msi(s->g, cpu, STOP));
		EXPECT_EQ(0, finish(s, cpu));
	}
	for (unsigned int i = 0; i < SOURCES; i++) {
		EXPECT_EQ(sources[i].count, acknowledged(&sources[i]));
		close(sources[i].fd);
	}
}

/* --- interrupts from the clock -------------------------------------------- */

TEST_F(stress, deadlines_are_kept_between_halts)
{
	struct stress *s = &self->s;
	uint32_t count = events() / s->cpus;

	for (unsigned int cpu = 0; cpu < s->cpus; cpu++) {
		apic_enter(&s->g[cpu], cpu, STRESS_AT(stress_timer), 0, count);
		start(s, cpu);
	}
	for (unsigned int cpu = 0; cpu < s->cpus; cpu++) {
		EXPECT_EQ(0, finish(s, cpu))
		TH_LOG("%#x is early, %#x double", PORT_EARLY, PORT_DOUBLE);
		EXPECT_EQ(count, apic_cpu(s->g, cpu)->count);
		EXPECT_EQ(count, apic_cpu(s->g, cpu)->taken[VECTOR]);
	}
}

TEST_HARNESS_MAIN
