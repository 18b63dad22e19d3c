// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guests that do what no guest should: random registers and random code in every mode,
 * on broken tables, under a storm of events. Each run of one ends in a way that the API
 * knows, the host's registers are what they were, and other guests run on.
 *
 * PROGRAMS in the environment says how many, SEED which, LIMIT for how many microseconds
 * each, TELL=1 to name each before it begins; PROGRAM=n runs that one alone and tells how it
 * went. The registers of the host's CPUs are those of registers.ko.
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "hostile.h"
#include "host-state.h"

#define BATCH 128 /* programs of one VM */
#define EXITS 48 /* of one program */
#define REGISTERS "/sys/kernel/debug/registers"

/* --- a VM for some programs ------------------------------------------------ */

/**
 * struct batch - a VM, and what came of the programs that it ran
 * @h: its first vCPU
 * @other: its second one, if there is a storm
 * @storm: the thread of that
 * @over: when it is to end
 * @tell: each exit
 * @reasons: how often each came; the last is for signals
 */
struct batch {
	struct hostile h;
	struct guest other;
	pthread_t storm;
	bool stormy, over, tell;
	unsigned long reasons[65];
};

/* What a VM may ask for; refused where there is none. */
static void enable_caps(int vm, uint64_t kind)
{
	if (kind & 2)
		apic_enable_cap(vm, KVM_CAP_X86_USER_SPACE_MSR, 7);
	if (kind & 4)
		apic_enable_cap(vm, KVM_CAP_X86_DISABLE_EXITS, 0xf);
	if (kind & 8)
		apic_enable_cap(vm, KVM_CAP_X2APIC_API, 3);
}

static int add_memory(const struct guest *g)
{
	uint8_t *memory = g->memory;

	if (guest_memory(g->vm, 0, 0, 0, 0, memory) ||
	    guest_memory(g->vm, 0, 0, 0, HOSTILE_MEMORY, memory) ||
	    guest_memory(g->vm, 1, KVM_MEM_READONLY, HOSTILE_ROM, HOSTILE_PIECE,
			 memory + HOSTILE_ROM))
		return -1;
	return guest_memory(g->vm, 2, KVM_MEM_LOG_DIRTY_PAGES, HOSTILE_LOGGED, HOSTILE_PIECE,
			    memory + HOSTILE_LOGGED);
}

/* The VM keeps them. */
static void add_doorbells(const struct guest *g)
{
	static const struct kvm_ioeventfd doorbells[] = {
		{ .addr = HOSTILE_DOORBELL },
		{ .addr = HOSTILE_DOORBELL + 0x100, .len = 4 },
		{ .addr = 0x30, .len = 1, .flags = KVM_IOEVENTFD_FLAG_PIO },
	};

	for (size_t i = 0; i < ARRAY_SIZE(doorbells); i++) {
		struct kvm_ioeventfd doorbell = doorbells[i];

		doorbell.fd = eventfd(0, EFD_CLOEXEC);
		ioctl(g->vm, KVM_IOEVENTFD, &doorbell);
		close(doorbell.fd);
	}
}

/* Which kind of VM it is, its number says. */
static int create_batch(struct batch *b, uint64_t kind)
{
	struct guest *g = &b->h.g;

	if (guest_create_vm(g) || add_memory(g))
		return -1;
	b->h.irqchip = kind & 1;
	if (b->h.irqchip && apic_enable_cap(g->vm, KVM_CAP_SPLIT_IRQCHIP, 24))
		return -1;
	enable_caps(g->vm, kind);
	add_doorbells(g);
	if (guest_create_vcpu(g, 0))
		return -1;
	if (kind % 5)
		return apic_set_cpuid(g, 0);
	guest_set_cpuid(g);
	return 0;
}

static void destroy_batch(struct batch *b)
{
	guest_destroy(&b->h.g);
}

/* --- a storm ---------------------------------------------------------------- */

/* IPIs of every kind to everybody, from a vCPU in real mode that no fault stops. */
GUEST_ASM(storm_code, 16,
	  "1: movl $0x830, %ecx\n imul $1103515245, %ebx, %ebx\n add $12345, %ebx\n"
	  "mov %ebx, %eax\n and $0xc8fff, %eax\n xor %edx, %edx\n wrmsr\n"
	  "mov %ebx, %eax\n shr $16, %eax\n and $0xfff, %ax\n mov %ax, %di\n"
	  "movw %bx, 0x8000(%di)\n jmp 1b");
#define STORM_CODE 0xf000

static int start_other(struct batch *b)
{
	struct kvm_regs regs = { .rip = STORM_CODE, .rsp = HOSTILE_STACK, .rflags = 2 };
	struct kvm_sregs s;

	memcpy(b->h.g.memory + STORM_CODE, storm_code, GUEST_SIZE(storm_code));
	if (ioctl(b->other.vcpu, KVM_GET_SREGS, &s))
		return -1;
	s.cs.base = 0;
	s.cs.selector = 0;
	s.apic_base = APIC_BASE | MSR_IA32_APICBASE_ENABLE | X2APIC_ENABLE;
	return apic_set_mp_state(&b->other, KVM_MP_STATE_RUNNABLE) ?:
		       ioctl(b->other.vcpu, KVM_SET_SREGS, &s)	   ?:
		       ioctl(b->other.vcpu, KVM_SET_REGS, &regs);
}

/* As the vCPU may stop itself, and be stopped, it is begun anew each time. */
static void *storm(void *data)
{
	struct batch *b = data;
	struct random r = random_of((uintptr_t)b, 0);

	while (!__atomic_load_n(&b->over, __ATOMIC_RELAXED)) {
		struct kvm_msi msi = {
			.address_lo = APIC_BASE | below(&r, 4) << 12 | below(&r, 16),
			.data = hostile_icr(&r),
		};

		ioctl(b->other.vm, KVM_SIGNAL_MSI, &msi);
		if (one_in(&r, 8))
			b->h.g.memory[HOSTILE_PML4 + below(&r, 0x4000)] ^= 1 << below(&r, 8);
		if (!start_other(b))
			guest_run(&b->other);
	}
	return NULL;
}

static int begin_storm(struct batch *b)
{
	b->other = (struct guest){ .device = b->h.g.device,
				   .vm = b->h.g.vm,
				   .run_size = b->h.g.run_size,
				   .memory = b->h.g.memory };
	if (guest_create_vcpu(&b->other, 1) || apic_set_cpuid(&b->other, 1))
		return -1;
	b->over = false;
	b->stormy = true;
	return pthread_create(&b->storm, NULL, storm, b);
}

static void end_storm(struct batch *b)
{
	if (!b->stormy)
		return;
	__atomic_store_n(&b->over, true, __ATOMIC_RELAXED);
	pthread_kill(b->storm, SIGUSR1);
	while (pthread_tryjoin_np(b->storm, NULL)) {
		pthread_kill(b->storm, SIGUSR1);
		usleep(1000);
	}
	munmap(b->other.run, b->other.run_size);
	close(b->other.vcpu);
	b->stormy = false;
}

/* --- a program --------------------------------------------------------------- */

/* Whose time is up; the signal may come before KVM_RUN does. */
static struct kvm_run *running;

static void on_alarm(int signal)
{
	if (signal == SIGALRM && running)
		running->immediate_exit = 1;
}

static void set_alarm(long us)
{
	const struct itimerval once = { .it_value.tv_usec = us };

	setitimer(ITIMER_REAL, &once, NULL);
}

static bool is_documented(const struct kvm_run *run)
{
	switch (run->exit_reason) {
	case KVM_EXIT_EXCEPTION:
	case KVM_EXIT_IO:
	case KVM_EXIT_HYPERCALL:
	case KVM_EXIT_DEBUG:
	case KVM_EXIT_HLT:
	case KVM_EXIT_MMIO:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_SHUTDOWN:
	case KVM_EXIT_FAIL_ENTRY:
	case KVM_EXIT_SET_TPR:
	case KVM_EXIT_SYSTEM_EVENT:
	case KVM_EXIT_IOAPIC_EOI:
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		return true;
	case KVM_EXIT_INTERNAL_ERROR:
		return run->internal.suberror && run->internal.ndata <= 16;
	default:
		return false;
	}
}

/* What cannot go on where it is goes on elsewhere. */
static void lead_on(struct batch *b)
{
	struct kvm_regs regs = guest_regs(&b->h.g);
	struct random *r = &b->h.r;

	if (b->h.g.run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION && !one_in(r, 4))
		regs.rip += 1 + below(r, 4);
	else
		regs.rip = HOSTILE_CODE + below(r, HOSTILE_CODE_SIZE);
	ioctl(b->h.g.vcpu, KVM_SET_REGS, &regs);
}

/* What the guest asked for, and at times something else. */
static void answer(struct batch *b)
{
	struct kvm_run *run = b->h.g.run;
	struct random *r = &b->h.r;

	switch (run->exit_reason) {
	case KVM_EXIT_MMIO:
		random_bytes(r, run->mmio.data, sizeof(run->mmio.data));
		break;
	case KVM_EXIT_IO:
		random_bytes(r, (uint8_t *)run + run->io.data_offset, 4);
		break;
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		run->msr.data = hostile_number(r);
		run->msr.error = one_in(r, 2);
		break;
	}
	run->cr8 = below(r, 16);
	run->request_interrupt_window = one_in(r, 4);
}

/* What user space may do between two runs. */
static void disturb(struct batch *b)
{
	struct random *r = &b->h.r;
	struct kvm_interrupt interrupt = { .irq = below(r, 256) };
	struct kvm_msi msi = {
		.address_lo = APIC_BASE | below(r, 4) << 12 | below(r, 16),
		.data = hostile_icr(r),
	};
	uint64_t log;
	struct kvm_dirty_log dirty = { .slot = 2, .dirty_bitmap = &log };

	switch (below(r, 16)) {
	case 0:
		ioctl(b->h.g.vcpu, KVM_NMI, 0);
		break;
	case 1:
		ioctl(b->h.g.vcpu, KVM_INTERRUPT, &interrupt);
		break;
	case 2:
		ioctl(b->h.g.vm, KVM_SIGNAL_MSI, &msi);
		break;
	case 3:
		hostile_events(&b->h);
		break;
	case 4:
		ioctl(b->h.g.vm, KVM_GET_DIRTY_LOG, &dirty);
		break;
	case 5:
		hostile_msrs(&b->h);
		break;
	}
}

/* Where it goes on; whose linear addresses are physical ones, as they mostly are. */
static void tell_entry(const struct batch *b)
{
	struct kvm_regs regs = guest_regs(&b->h.g);

	if (!b->tell)
		return;
	printf("# in mode %d at %#llx, rflags %#llx:", b->h.mode, regs.rip, regs.rflags);
	for (int i = 0; i < 80 && regs.rip < HOSTILE_MEMORY - 80; i++)
		printf(" %02x", b->h.g.memory[regs.rip + i]);
	for (int i = 0; i < 16; i++)
		printf("%s%#lx", i ? " " : "\n# ", ((uint64_t *)&regs)[i]);
	printf("\n");
	fflush(stdout);
}

static void tell_exit(const struct batch *b, int reason)
{
	const struct kvm_run *run = b->h.g.run;
	struct kvm_regs regs = guest_regs(&b->h.g);

	if (!b->tell)
		return;
	printf("# exit %d at %#llx\n", reason, regs.rip);
	if (reason == KVM_EXIT_INTERNAL_ERROR)
		printf("# suberror %u: %#llx %#llx %#llx\n", run->internal.suberror,
		       run->internal.data[0], run->internal.data[1], run->internal.data[2]);
	else if (reason == KVM_EXIT_FAIL_ENTRY)
		printf("# entry failed: %#llx\n", run->fail_entry.hardware_entry_failure_reason);
	fflush(stdout);
}

/* 0 to go on, 1 at the end, -1 for a way to leave that nobody knows. */
static int run_once(struct batch *b)
{
	struct kvm_run *run = b->h.g.run;
	int reason;

	tell_entry(b);
	reason = guest_run(&b->h.g);
	tell_exit(b, reason);
	if (reason == -EINTR || reason == -EAGAIN) {
		b->reasons[64]++;
		return 1;
	}
	if (reason < 0 || !is_documented(run)) {
		printf("# left by %d (%s)\n", reason, reason < 0 ? strerror(-reason) : "exit");
		return -1;
	}
	b->reasons[run->exit_reason]++;
	answer(b);
	disturb(b);
	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		lead_on(b);
	/* Even who has shut down may be asked to go on; not for ever. */
	return (run->exit_reason == KVM_EXIT_SHUTDOWN || run->exit_reason == KVM_EXIT_FAIL_ENTRY) &&
	       !one_in(&b->h.r, 4);
}

/* The first time with the registers of this process looked at. */
static bool survives_a_run(struct batch *b, uint64_t program)
{
	struct segments segments = { .fs_base = FS_BASE, .gs_base = GS_BASE, .with_bases = 1 };
	struct fpu before = fpu_of_host(program), after;
	struct kvm_run *run = b->h.g.run;

	run->exit_reason = KVM_EXIT_INTR;
	if (program % 2) {
		run_with_fpu(&b->h.g, &before, &after);
		return is_host_fpu(&before, &after);
	}
	run_with_segments(&b->h.g, &segments);
	return segments.fs_base == FS_BASE && segments.gs_base == GS_BASE && !segments.ds &&
	       !segments.es && !segments.fs && !segments.gs;
}

static bool run_program(struct batch *b, uint64_t seed, uint64_t program)
{
	struct kvm_run *run = b->h.g.run;
	int over = 0;
	bool same;

	hostile_program(&b->h, seed, program);
	run->immediate_exit = 0;
	running = run;
	set_alarm(from_environment("LIMIT", 1000));
	same = survives_a_run(b, program);
	if (!same)
		printf("# registers of the process have changed\n");
	b->reasons[run->exit_reason]++;
	answer(b);
	for (int i = 0; i < EXITS && !over; i++)
		over = run_once(b);
	set_alarm(0);
	/* What is half done is completed, for the next one to begin. */
	run->immediate_exit = 1;
	guest_run(&b->h.g);
	running = NULL;
	if (over >= 0 && same)
		return true;
	printf("# in program %lu of seed %lu, in mode %d\n", program, seed, b->h.mode);
	return false;
}

/* --- what must not change ---------------------------------------------------- */

/* All of it, or NULL where there is no such module. */
static char *read_registers(void)
{
	size_t size = 1 << 17, got = 0;
	char *text = malloc(size);
	FILE *in = fopen(REGISTERS, "re");

	if (in) {
		got = fread(text, 1, size - 1, in);
		fclose(in);
	}
	text[got] = '\0';
	return text;
}

static bool same_registers(const char *before)
{
	char *after = read_registers();
	size_t at = 0, line = 0;
	bool same = !strcmp(before, after);

	if (!same) {
		for (; before[at] == after[at]; at++)
			if (before[at] == '\n')
				line = at + 1;
		printf("# before: %.*s, after: %.*s\n", (int)strcspn(before + line, "\n"),
		       before + line, (int)strcspn(after + line, "\n"), after + line);
	}
	free(after);
	return same;
}

/* A guest that means well: memory, a device, a port, an exception, CPUID. */
GUEST_ASM(good_code, 64,
	  "mov $1000, %ecx\n xor %eax, %eax\n 1: add %ecx, %eax\n mov %eax, 0x4000(, %rcx, 4)\n"
	  "loop 1b\n mov %eax, %esi\n mov 0x1ff000, %ebx\n add %ebx, %esi\n"
	  "mov $1, %eax\n cpuid\n movups %xmm0, 0x6000\n mov %esi, %eax\n out %eax, $0x10\n hlt");
#define GOOD_SUM (1000 * 1001 / 2 + 7)

static int create_good(struct guest *g)
{
	if (guest_create(g, good_code, GUEST_SIZE(good_code)) ||
	    guest_memory(g->vm, 0, 0, 0, 0, g->memory) ||
	    guest_memory(g->vm, 0, 0, 0, 0x1ff000, g->memory))
		return -1;
	guest_to_long_mode(g);
	return 0;
}

static bool good_runs(struct guest *g)
{
	struct kvm_regs regs = { .rip = GUEST_CODE, .rsp = GUEST_STACK, .rflags = 2 };

	if (ioctl(g->vcpu, KVM_SET_REGS, &regs) || guest_run(g) != KVM_EXIT_MMIO)
		return false;
	memcpy(g->run->mmio.data, &(uint64_t){ 7 }, 8);
	return guest_run(g) == KVM_EXIT_IO && guest_io_data(g) == GOOD_SUM &&
	       guest_run(g) == KVM_EXIT_HLT;
}

static bool good_runs_elsewhere(void)
{
	struct guest g = {};
	int status = -1;
	pid_t child = fork();

	if (!child)
		_exit(create_good(&g) || !good_runs(&g));
	return child > 0 && waitpid(child, &status, 0) == child && !status;
}

/* --- all of it ---------------------------------------------------------------- */

FIXTURE(hostile)
{
	struct batch *b;
	struct guest good;
};

FIXTURE_SETUP(hostile)
{
	struct sigaction action = { .sa_handler = on_alarm };

	ASSERT_EQ(0, sigaction(SIGALRM, &action, NULL));
	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	self->b = calloc(1, sizeof(*self->b));
	ASSERT_EQ(0, create_good(&self->good));
}

FIXTURE_TEARDOWN(hostile)
{
	guest_destroy(&self->good);
	free(self->b);
}

static void tell_reasons(const struct batch *b)
{
	printf("# exits:");
	for (unsigned int i = 0; i < ARRAY_SIZE(b->reasons); i++)
		if (b->reasons[i])
			printf(" %u: %lu", i, b->reasons[i]);
	printf("\n");
}

/* What a VM of one kind has to run: true if all is as it was. */
static bool run_batch(struct batch *b, uint64_t seed, uint64_t first, uint64_t end)
{
	uint64_t kind = first / BATCH;
	bool same = true;

	if (create_batch(b, kind) || (b->h.irqchip && kind % 8 == 3 && begin_storm(b)))
		return false;
	for (uint64_t program = first; same && program < end; program++) {
		if (getenv("TELL")) {
			printf("# program %lu\n", program);
			fflush(stdout);
		}
		same = run_program(b, seed, program);
	}
	end_storm(b);
	destroy_batch(b);
	return same;
}

TEST_F_TIMEOUT(hostile, programs_leave_the_host_as_it_was, 36000)
{
	uint64_t seed = from_environment("SEED", 1), first = from_environment("PROGRAM", 0);
	uint64_t end = first + from_environment("PROGRAMS", getenv("PROGRAM") ? 1 : 1000), next;
	char *before;

	self->b->tell = end == first + 1;
	printf("# seed %lu\n", seed);
	ASSERT_TRUE(good_runs(&self->good));
	before = read_registers();
	for (; first < end; first = next) {
		next = (first / BATCH + 1) * BATCH;
		next = next < end ? next : end;
		ASSERT_TRUE(run_batch(self->b, seed, first, next));
		ASSERT_TRUE(same_registers(before)) TH_LOG("program %lu to %lu", first, next);
		ASSERT_TRUE(good_runs(&self->good)) TH_LOG("program %lu to %lu", first, next);
		ASSERT_TRUE(good_runs_elsewhere()) TH_LOG("program %lu to %lu", first, next);
	}
	tell_reasons(self->b);
	free(before);
}

/* --- guests without end --------------------------------------------------------- */

/* Each has an exit, if any, that the module deals with on its own. */
GUEST_ASM(endless_jump, 16, "cli\n 1: jmp 1b");
GUEST_ASM(endless_pause, 16, "1: pause\n jmp 1b");
GUEST_ASM(endless_cpuid, 16, "1: cpuid\n jmp 1b");
GUEST_ASM(endless_vmcall, 16, "1: mov $99, %ax\n vmcall\n jmp 1b");
GUEST_ASM(endless_rdmsr, 16, "movl $0x1b, %ecx\n 1: rdmsr\n jmp 1b");
GUEST_ASM(endless_cr0, 16, "1: mov %cr0, %eax\n xor $0x20000000, %eax\n mov %eax, %cr0\n jmp 1b");
GUEST_ASM(endless_wbinvd, 16, "1: wbinvd\n jmp 1b");
GUEST_ASM(endless_halt, 16, "cli\n 1: hlt\n jmp 1b");
GUEST_ASM(endless_fault, 16, "movw $(1f - endless_fault + 0x1000), 0x18\n 1: ud2\n jmp 1b");
/* A delivery of #DB writes where a breakpoint is, which raises #DB. */
GUEST_ASM(endless_debug, 16, "movw $0x2000, 4\n movw $0, 6\n int1\n 1: jmp 1b");

static const struct {
	const char *name;
	const uint8_t *begin, *end;
} endless[] = {
#define ENDLESS(name)                                       \
	{                                                   \
#name, endless_##name, endless_##name##_end \
	}
	ENDLESS(jump), ENDLESS(pause),	ENDLESS(cpuid), ENDLESS(vmcall), ENDLESS(rdmsr),
	ENDLESS(cr0),  ENDLESS(wbinvd), ENDLESS(halt),	ENDLESS(fault),	 ENDLESS(debug),
};

static _Noreturn void run_endless(unsigned int n, int ready)
{
	struct kvm_debugregs d = { .dr6 = 0xffff0ff0,
				   .dr7 = 0x400 | 0xd0002,
				   .db = { GUEST_STACK - 6 } };
	struct kvm_sregs s;
	struct guest g;

	if (guest_create_vm(&g) || apic_enable_cap(g.vm, KVM_CAP_SPLIT_IRQCHIP, 24) ||
	    guest_create_vcpu(&g, 0) || apic_set_cpuid(&g, 0) || ioctl(g.vcpu, KVM_GET_SREGS, &s) ||
	    ioctl(g.vcpu, KVM_SET_DEBUGREGS, &d))
		_exit(1);
	s.cs.base = 0;
	s.cs.selector = 0;
	if (ioctl(g.vcpu, KVM_SET_SREGS, &s))
		_exit(1);
	guest_load(&g, endless[n].begin, endless[n].end - endless[n].begin);
	if (write(ready, "r", 1) != 1)
		_exit(1);
	/* An interrupt window, or a shutdown after all, is run on from. */
	for (;;)
		guest_run(&g);
}

static bool is_killed(unsigned int n)
{
	int ready[2], status = 0;
	pid_t child;
	char byte;

	if (pipe(ready))
		return false;
	child = fork();
	if (!child)
		run_endless(n, ready[1]);
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		return false;
	close(ready[0]);
	usleep(20000);
	kill(child, SIGKILL);
	return waitpid(child, &status, 0) == child && WIFSIGNALED(status) &&
	       WTERMSIG(status) == SIGKILL;
}

TEST_F(hostile, a_guest_without_end_dies_with_its_process)
{
	char *before = read_registers();

	for (unsigned int n = 0; n < ARRAY_SIZE(endless); n++) {
		EXPECT_TRUE(is_killed(n)) TH_LOG("%s", endless[n].name);
		EXPECT_TRUE(same_registers(before)) TH_LOG("%s", endless[n].name);
		EXPECT_TRUE(good_runs(&self->good)) TH_LOG("%s", endless[n].name);
	}
	free(before);
}

TEST_HARNESS_MAIN
