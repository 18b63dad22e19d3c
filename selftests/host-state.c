// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a run of a guest leaves of the process that runs it, and of the guest: segments,
 * FPU registers, breakpoints; what user space sees of the guest right after an exit; and
 * the host's interrupts that come while a guest runs.
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm.
 */
#include <asm/ldt.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "kselftest_harness.h"
#include "guest.h"
#include "host-state.h"
#include "vcpu-ioctl.h"

#define DATA 0x3000
#define DEVICE 0x1ff000 /* mapped by guest_to_long_mode(), and no memory */

FIXTURE(host)
{
	struct guest g;
};

FIXTURE_SETUP(host)
{
}

FIXTURE_TEARDOWN(host)
{
	guest_destroy(&self->g);
}

#define LONG(code)                                                            \
	do {                                                                  \
		ASSERT_EQ(0, guest_create(&self->g, code, GUEST_SIZE(code))); \
		guest_to_long_mode(&self->g);                                 \
		guest_catch(&self->g);                                        \
	} while (0)

/* --- segments ------------------------------------------------------------- */

#define USER_DS 0x2b
#define LDT_SELECTOR(n) ((n) << 3 | 7)
#define GDT_SELECTOR(n) ((n) << 3 | 3)
#define KERNEL_GS 0x12345000
#define DESCRIPTOR_BASE 0x23456000UL

/* Writes KERNEL_GS_BASE once, and reads it for ever. */
GUEST_ASM(code_kernel_gs, 64,
	  "mov $0xc0000102, %ecx\n mov $0x12345000, %eax\n xor %edx, %edx\n wrmsr\n"
	  "1: out %al, $0x10\n mov $0xc0000102, %ecx\n rdmsr\n hlt\n jmp 1b");

static uint32_t access_rights(uint32_t selector)
{
	uint32_t rights = 0;
	bool valid;

	asm("lar %2, %0" : "+r"(rights), "=@ccz"(valid) : "r"(selector));
	return valid ? rights : 0;
}

static struct user_desc flat_data(int entry)
{
	return (struct user_desc){
		.entry_number = entry,
		.base_addr = DESCRIPTOR_BASE,
		.limit = 0xfffff,
		.seg_32bit = 1,
		.limit_in_pages = 1,
		.useable = 1,
	};
}

TEST_F(host, the_local_descriptor_table_is_there_after_a_run)
{
	struct user_desc d = flat_data(1);
	uint32_t before, selector;

	LONG(code_kernel_gs);
	if (syscall(SYS_modify_ldt, 1, &d, sizeof(d)))
		SKIP(return, "no modify_ldt() here: %s", strerror(errno));
	before = access_rights(LDT_SELECTOR(1));
	ASSERT_NE(0, before);
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(i % 2 ? KVM_EXIT_HLT : KVM_EXIT_IO, guest_run(&self->g));
		EXPECT_EQ(before, access_rights(LDT_SELECTOR(1)));
		/* A load would raise SIGSEGV. */
		asm volatile("mov %1, %%es\n mov %%es, %0\n mov %2, %%es"
			     : "=&r"(selector)
			     : "r"(LDT_SELECTOR(1)), "r"(0));
		EXPECT_EQ(LDT_SELECTOR(1), selector);
	}
}

/* And the guest's, of which KERNEL_GS_BASE is where the kernel has the process's. */
static void check_segments(struct __test_metadata *_metadata, struct guest *g,
			   const struct segments *expected)
{
	struct kvm_sregs set, got;

	ASSERT_EQ(0, ioctl(g->vcpu, KVM_GET_SREGS, &set));
	set.fs.base = 0x111000;
	set.gs.base = 0x222000;
	ASSERT_EQ(0, ioctl(g->vcpu, KVM_SET_SREGS, &set));
	for (int i = 0; i < 6; i++) {
		struct segments s = *expected;

		ASSERT_EQ(0, run_with_segments(g, &s));
		EXPECT_EQ(i % 2 ? KVM_EXIT_HLT : KVM_EXIT_IO, g->run->exit_reason);
		EXPECT_EQ(expected->ds, s.ds);
		EXPECT_EQ(expected->es, s.es);
		EXPECT_EQ(expected->fs, s.fs);
		EXPECT_EQ(expected->gs, s.gs);
		EXPECT_EQ(expected->fs_base, s.fs_base);
		EXPECT_EQ(expected->gs_base, s.gs_base);
		if (i % 2)
			EXPECT_EQ(KERNEL_GS, (uint32_t)guest_regs(g).rax);
	}
	ASSERT_EQ(0, ioctl(g->vcpu, KVM_GET_SREGS, &got));
	EXPECT_EQ(0, memcmp(&set.ds, &got.ds, sizeof(set.ds)));
	EXPECT_EQ(0, memcmp(&set.fs, &got.fs, sizeof(set.fs)));
	EXPECT_EQ(0, memcmp(&set.gs, &got.gs, sizeof(set.gs)));
}

TEST_F(host, bases_of_fs_and_gs_survive_a_run)
{
	const struct segments s = { .fs_base = FS_BASE, .gs_base = GS_BASE, .with_bases = 1 };

	if (!has_fsgsbase())
		SKIP(return, "no FSGSBASE here");
	LONG(code_kernel_gs);
	check_segments(_metadata, &self->g, &s);
}

TEST_F(host, selectors_of_data_segments_survive_a_run)
{
	const struct segments s = { .ds = USER_DS, .es = USER_DS, .fs = USER_DS, .gs = USER_DS };

	if (!has_fsgsbase())
		SKIP(return, "no FSGSBASE here");
	LONG(code_kernel_gs);
	check_segments(_metadata, &self->g, &s);
}

TEST_F(host, selectors_of_the_local_descriptor_table_survive_a_run)
{
	struct segments s = { .fs_base = DESCRIPTOR_BASE, .gs_base = DESCRIPTOR_BASE };
	struct user_desc d = flat_data(1);

	if (!has_fsgsbase())
		SKIP(return, "no FSGSBASE here");
	LONG(code_kernel_gs);
	if (syscall(SYS_modify_ldt, 1, &d, sizeof(d)))
		SKIP(return, "no modify_ldt() here: %s", strerror(errno));
	s.ds = s.es = s.fs = s.gs = LDT_SELECTOR(1);
	check_segments(_metadata, &self->g, &s);
}

/* Which 32-bit programs have alone, on a kernel that runs them. */
static int set_thread_area(struct user_desc *d)
{
	long ret = 243;

	if (access("/proc/sys/abi/vsyscall32", F_OK))
		return -1;
	asm volatile("int $0x80" : "+a"(ret) : "b"((long)d) : "r8", "r9", "r10", "r11", "memory");
	return ret;
}

TEST_F(host, selectors_of_thread_local_segments_survive_a_run)
{
	struct segments s = { .ds = USER_DS, .fs_base = FS_BASE, .with_bases = 1 };
	struct user_desc *d;

	if (!has_fsgsbase())
		SKIP(return, "no FSGSBASE here");
	LONG(code_kernel_gs);
	d = mmap(NULL, sizeof(*d), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT,
		 -1, 0);
	ASSERT_NE(MAP_FAILED, d);
	*d = flat_data(-1);
	if (set_thread_area(d))
		SKIP(return, "no set_thread_area() here");
	s.gs = GDT_SELECTOR(d->entry_number);
	s.gs_base = DESCRIPTOR_BASE;
	check_segments(_metadata, &self->g, &s);
	/* A base that is none of the descriptor's. */
	s.gs_base = GS_BASE;
	check_segments(_metadata, &self->g, &s);
}

/* --- the FPU -------------------------------------------------------------- */

#define YMMS (16 * 32)
#define GUEST_MXCSR 0x5fc0
#define GUEST_CW 0x077f
#define GO_ON 0x7000

/* YMM registers, x87 control word and MXCSR from DATA; after each exit to DATA + 0x400 * n. */
#define STORE_FPU(at)                                                    \
	".irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n" \
	"vmovups %ymm\\i, " #at " + 32 * \\i\n .endr\n"                  \
	"fnstcw " #at " + 0x200\n stmxcsr " #at " + 0x204\n"
GUEST_ASM(code_fpu, 64,
	  "mov %cr4, %rax\n or $0x40000, %eax\n mov %rax, %cr4\n"
	  "xor %ecx, %ecx\n xor %edx, %edx\n mov $7, %eax\n xsetbv\n"
	  ".irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
	  "vmovups 0x3000 + 32 * \\i, %ymm\\i\n .endr\n"
	  "fldcw 0x3200\n ldmxcsr 0x3204\n"
	  "out %al, $0x10\n" STORE_FPU(0x3400) "hlt\n" STORE_FPU(
		  0x3800) "1: cmpb $0, 0x7000\n je 1b\n" STORE_FPU(0x3c00) "hlt");

#define EXPECT_GUEST_FPU(at) \
	EXPECT_EQ(0, memcmp(self->g.memory + DATA, self->g.memory + (at), YMMS + 8))

static void on_alarm(int signal)
{
	(void)signal;
}

TEST_F(host, fpu_registers_of_process_and_guest_survive_each_other)
{
	struct itimerval often = { { 0, 50000 }, { 0, 50000 } }, never = {};
	struct sigaction action = { .sa_handler = on_alarm };
	struct fpu before, after;

	LONG(code_fpu);
	if (!__builtin_cpu_supports("avx") || (guest_supported(&self->g, 0xd, 0, 0) & 7) != 7)
		SKIP(return, "no AVX here");
	ASSERT_EQ(0, guest_set_supported_cpuid(&self->g));
	fill(self->g.memory + DATA, YMMS, 0x91);
	*(uint32_t *)(self->g.memory + DATA + YMMS) = GUEST_CW;
	*(uint32_t *)(self->g.memory + DATA + YMMS + 4) = GUEST_MXCSR;
	for (int i = 1; i < 4; i++)
		*(uint32_t *)(self->g.memory + DATA + 0x400 * i + YMMS) = 0;

	before = fpu_of_host(0x10);
	ASSERT_EQ(0, run_with_fpu(&self->g, &before, &after));
	ASSERT_EQ(KVM_EXIT_IO, self->g.run->exit_reason);
	EXPECT_TRUE(is_host_fpu(&before, &after));

	before = fpu_of_host(0x20);
	ASSERT_EQ(0, run_with_fpu(&self->g, &before, &after));
	ASSERT_EQ(KVM_EXIT_HLT, self->g.run->exit_reason);
	EXPECT_TRUE(is_host_fpu(&before, &after));
	EXPECT_GUEST_FPU(DATA + 0x400);

	/* The guest waits for a byte that nobody writes. */
	before = fpu_of_host(0x30);
	ASSERT_EQ(0, sigaction(SIGALRM, &action, NULL));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &often, NULL));
	ASSERT_EQ(-EINTR, run_with_fpu(&self->g, &before, &after));
	ASSERT_EQ(-EINTR, run_with_fpu(&self->g, &before, &after));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &never, NULL));
	EXPECT_TRUE(is_host_fpu(&before, &after));
	EXPECT_GUEST_FPU(DATA + 0x800);

	self->g.memory[GO_ON] = 1;
	before = fpu_of_host(0x40);
	ASSERT_EQ(0, run_with_fpu(&self->g, &before, &after));
	ASSERT_EQ(KVM_EXIT_HLT, self->g.run->exit_reason);
	EXPECT_TRUE(is_host_fpu(&before, &after));
	EXPECT_GUEST_FPU(DATA + 0xc00);
}

/* --- breakpoints ---------------------------------------------------------- */

#define SHARED_ADDRESS 0x100000UL /* the process and the guest have both something there */
#define DR7_WRITES_OF_4 (0x400 | 1 | 0xdUL << 16)

GUEST_ASM(code_write, 64,
	  "movl $1, 0x3000\n code_write_1: movl $1, 0x100000\n out %al, $0x10\n hlt");
GUEST_LABEL(code_write_1);

static volatile uint64_t watched[4];

/* A breakpoint of this process on what it, or the kernel for it, reads or writes. */
static int watch(volatile void *address)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT,
		.size = sizeof(attr),
		.bp_type = HW_BREAKPOINT_RW,
		.bp_addr = (uintptr_t)address,
		.bp_len = HW_BREAKPOINT_LEN_8,
		.sample_period = 1,
	};

	return syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static int64_t hits(int fd)
{
	int64_t count = -1;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : -1;
}

/* Data of modules that an entry may look at; 0 where there is none of the name. */
static uint64_t kernel_symbol(const char *name)
{
	FILE *in = fopen("/proc/kallsyms", "re");
	char line[512], symbol[256];
	uint64_t address = 0;
	unsigned long value;

	while (in && !address && fgets(line, sizeof(line), in))
		if (sscanf(line, "%lx %*c %255s", &value, symbol) == 2 && !strcmp(symbol, name) &&
		    strchr(line, '['))
			address = value;
	if (in)
		fclose(in);
	return address & ~7UL;
}

TEST_F(host, a_breakpoint_of_the_process_fires_after_a_run)
{
	struct kvm_debugregs d = { .dr6 = 0xffff0ff0, .dr7 = DR7_WRITES_OF_4, .db = { DATA } };
	struct guest_trap trap;
	int fds[4];

	LONG(code_write);
	for (int i = 0; i < 4; i++) {
		fds[i] = watch(&watched[i]);
		if (fds[i] < 0)
			SKIP(return, "no breakpoint to be had: %s", strerror(errno));
		watched[i] = 1;
		ASSERT_EQ(1, hits(fds[i]));
	}
	/* The guest without its own, and with one, which is its alone. */
	for (int own = 0; own < 2; own++) {
		struct kvm_regs regs = { .rip = GUEST_CODE, .rsp = GUEST_STACK, .rflags = 2 };

		OK(KVM_SET_REGS, &regs);
		if (own) {
			OK(KVM_SET_DEBUGREGS, &d);
			EXPECT_EQ(1, guest_trap(&self->g, &trap));
			EXPECT_EQ(GUEST_AT(code_write, code_write_1), trap.rip);
		}
		EXPECT_EQ(KVM_EXIT_IO, guest_run(&self->g));
		EXPECT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
		for (int i = 0; i < 4; i++) {
			EXPECT_EQ(1 + own, hits(fds[i]));
			watched[i] = 2;
			EXPECT_EQ(2 + own, hits(fds[i]));
		}
	}
	for (int i = 0; i < 4; i++)
		close(fds[i]);
}

TEST_F(host, a_breakpoint_of_the_process_is_none_of_the_guests)
{
	volatile uint64_t *shared = mmap((void *)SHARED_ADDRESS, 0x1000, PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	int fd;

	LONG(code_write);
	ASSERT_EQ((void *)SHARED_ADDRESS, shared);
	*shared = 1;
	fd = watch(shared);
	if (fd < 0)
		SKIP(return, "no breakpoint to be had: %s", strerror(errno));
	EXPECT_EQ(KVM_EXIT_IO, guest_run(&self->g));
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	EXPECT_EQ(1, self->g.memory[SHARED_ADDRESS]);
	EXPECT_EQ(0, hits(fd));
	*shared = 2;
	EXPECT_EQ(1, hits(fd));
	close(fd);
}

/*
 * The CPU has the guest's addresses while the kernel still works for the guest: on what
 * it uses then, the process's breakpoints would be hit.
 */
TEST_F(host, a_breakpoint_of_the_process_does_not_fire_at_the_guests_addresses)
{
	static const char *const names[] = { "host",	      "vmx_host_caps", "active",
					     "controls",      "enable_ept",    "enable_vpid",
					     "kvm_rebooting", "kvm_caps" };
	struct kvm_debugregs d = { .dr6 = 0xffff0ff0, .dr7 = 0x400 | 0xff };
	unsigned int n = 0;
	int fds[4];

	LONG(code_write);
	for (unsigned int i = 0; i < ARRAY_SIZE(names) && n < 4; i++) {
		d.db[n] = kernel_symbol(names[i]);
		n += !!d.db[n];
	}
	if (n < 4)
		SKIP(return, "no symbols of the kernel");
	for (int i = 0; i < 4; i++) {
		fds[i] = watch(&watched[i]);
		if (fds[i] < 0)
			SKIP(return, "no breakpoint to be had: %s", strerror(errno));
	}
	for (int round = 0; round < 100; round++) {
		struct kvm_regs regs = { .rip = GUEST_CODE, .rsp = GUEST_STACK, .rflags = 2 };

		OK(KVM_SET_REGS, &regs);
		OK(KVM_SET_DEBUGREGS, &d);
		ASSERT_EQ(KVM_EXIT_IO, guest_run(&self->g));
		ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	}
	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(0, hits(fds[i]));
		watched[i] = 1;
		EXPECT_EQ(1, hits(fds[i]));
		close(fds[i]);
	}
}

/* --- what user space sees right after an exit ----------------------------- */

GUEST_LABEL(code_exits_out);
GUEST_LABEL(code_exits_in);
GUEST_LABEL(code_exits_hlt);
GUEST_LABEL(code_exits_load);
GUEST_LABEL(code_exits_store);
GUEST_ASM(code_exits, 64,
	  "push %rax\n inc %rbx\n code_exits_out: out %al, $0x10\n"
	  "push %rbx\n inc %rcx\n code_exits_in: in $0x10, %al\n"
	  "push %rcx\n inc %rdx\n hlt\n code_exits_hlt:"
	  "push %rdx\n inc %rsi\n code_exits_load: mov (%rdi), %eax\n"
	  "push %rsi\n inc %rbp\n code_exits_store: mov %ebx, (%rdi)\n"
	  "hlt");

/*
 * An access is done, or it is what the next run begins with: RIP is then at the
 * instruction, of @size bytes, or behind it.
 */
#define EXPECT_REGS(reason, label, size)                                             \
	do {                                                                         \
		struct kvm_regs _now;                                                \
		ASSERT_EQ(reason, guest_run(&self->g));                              \
		expected.rsp -= 8;                                                   \
		expected.rip = GUEST_AT(code_exits, label);                          \
		OK(KVM_GET_REGS, &_now);                                             \
		if (_now.rip == expected.rip + (size))                               \
			_now.rip -= (size);                                          \
		EXPECT_EQ(expected.rip, _now.rip) TH_LOG(#label);                    \
		EXPECT_EQ(expected.rsp, _now.rsp) TH_LOG(#label);                    \
		EXPECT_EQ(2, _now.rflags & 0x202);                                   \
		_now.rflags = expected.rflags;                                       \
		EXPECT_EQ(0, memcmp(&expected, &_now, sizeof(_now))) TH_LOG(#label); \
	} while (0)

TEST_F(host, registers_after_an_exit_are_the_guests_current_ones)
{
	struct kvm_regs expected;

	LONG(code_exits);
	ASSERT_EQ(0, guest_memory(self->g.vm, 0, 0, 0, 0, self->g.memory));
	ASSERT_EQ(0, guest_memory(self->g.vm, 0, 0, 0, DEVICE, self->g.memory));
	for (unsigned int i = 0; i < 16; i++)
		((uint64_t *)&expected)[i] = 0x1122334455667700 + i * 0x10;
	expected.rsp = GUEST_STACK;
	expected.rip = GUEST_CODE;
	expected.rdi = DEVICE;
	expected.rflags = 2;
	OK(KVM_SET_REGS, &expected);

	expected.rbx++;
	EXPECT_REGS(KVM_EXIT_IO, code_exits_out, 2);
	expected.rcx++;
	EXPECT_REGS(KVM_EXIT_IO, code_exits_in, 2);
	EXPECT_EQ(KVM_EXIT_IO_IN, self->g.run->io.direction);
	*((uint8_t *)self->g.run + self->g.run->io.data_offset) = 0x5a;
	expected.rax = (expected.rax & ~0xffUL) | 0x5a;
	expected.rdx++;
	EXPECT_REGS(KVM_EXIT_HLT, code_exits_hlt, 0);
	expected.rsi++;
	EXPECT_REGS(KVM_EXIT_MMIO, code_exits_load, 2);
	EXPECT_EQ(0, self->g.run->mmio.is_write);
	memset(self->g.run->mmio.data, 0x77, 8);
	expected.rax = 0x77777777;
	expected.rbp++;
	EXPECT_REGS(KVM_EXIT_MMIO, code_exits_store, 2);
	EXPECT_EQ(1, self->g.run->mmio.is_write);
	/* The stack has what was pushed. */
	EXPECT_EQ(0x1122334455667700, *(uint64_t *)(self->g.memory + GUEST_STACK - 8));
	EXPECT_EQ(expected.rsi, *(uint64_t *)(self->g.memory + GUEST_STACK - 40));
}

/* --- interrupts of the host ----------------------------------------------- */

#define NMIS 20
#define IPIS 1000

GUEST_ASM(code_spin, 64, "1: incl 0x3000\n jmp 1b");

/* CPU 1's column of /proc/interrupts, or -1. */
static long interrupts(const char *row)
{
	FILE *in = fopen("/proc/interrupts", "re");
	char line[1024], name[16];
	long count = -1, value;

	while (in && count < 0 && fgets(line, sizeof(line), in))
		if (sscanf(line, " %15[^:]: %*d %ld", name, &value) == 2 && !strcmp(name, row))
			count = value;
	if (in)
		fclose(in);
	return count;
}

static int run_on_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

static void *spin_on_cpu_1(void *data)
{
	return (void *)(intptr_t)(run_on_cpu(1) ?: guest_run(data));
}

static uint32_t spins(const struct guest *g)
{
	return __atomic_load_n((uint32_t *)(g->memory + DATA), __ATOMIC_RELAXED);
}

static void wait_for_a_spin(const struct guest *g)
{
	uint32_t before = spins(g);

	while (spins(g) == before)
		usleep(1000);
}

static int write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), error;

	error = fd < 0 || write(fd, text, strlen(text)) < 0;
	close(fd);
	return error;
}

/* Of which each switch, on or off, is a call on CPU 1, whatever runs there. */
static int event_of_cpu_1(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_DUMMY,
		.disabled = 1,
	};

	return syscall(SYS_perf_event_open, &attr, -1, 1, -1, PERF_FLAG_FD_CLOEXEC);
}

TEST_F(host, each_interrupt_in_a_guest_reaches_the_host_once)
{
	struct sigaction action = { .sa_handler = on_alarm };
	long nmis, ipis;
	pthread_t thread;
	void *result;
	int fd;

	LONG(code_spin);
	ASSERT_EQ(0, sigaction(SIGALRM, &action, NULL));
	fd = event_of_cpu_1();
	if (fd < 0 || run_on_cpu(0))
		SKIP(return, "no second CPU, or none that can be called: %s", strerror(errno));
	ASSERT_EQ(0, pthread_create(&thread, NULL, spin_on_cpu_1, &self->g));
	wait_for_a_spin(&self->g);
	/* What fork() shares is copied now: each such page would be a call as well. */
	ASSERT_EQ(0, mlockall(MCL_CURRENT));

	ipis = interrupts("CAL");
	for (int i = 0; i < IPIS; i++)
		ASSERT_EQ(0, ioctl(fd, i % 2 ? PERF_EVENT_IOC_DISABLE : PERF_EVENT_IOC_ENABLE, 0));
	EXPECT_EQ(ipis + IPIS, interrupts("CAL"));
	wait_for_a_spin(&self->g);

	/* Each CPU is asked for a backtrace, by an NMI; it is for the log alone. */
	nmis = interrupts("NMI");
	EXPECT_EQ(0, write_to("/proc/sys/kernel/printk", "1"));
	for (int i = 0; i < NMIS; i++) {
		EXPECT_EQ(0, write_to("/proc/sysrq-trigger", "l"));
		wait_for_a_spin(&self->g);
	}
	EXPECT_EQ(0, write_to("/proc/sys/kernel/printk", "7"));
	EXPECT_EQ(nmis + NMIS, interrupts("NMI"));

	self->g.run->immediate_exit = 1;
	pthread_kill(thread, SIGALRM);
	pthread_join(thread, &result);
	EXPECT_EQ(-EINTR, (int)(intptr_t)result);
	EXPECT_LE(IPIS + NMIS, guest_stat(self->g.vcpu, "exits")) TH_LOG("they ended its stay");
	close(fd);
}

TEST_HARNESS_MAIN
