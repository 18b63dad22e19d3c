// SPDX-License-Identifier: GPL-2.0-only
/*
 * client [-r MSR] [-w MSR] DEVICE - what a hypervisor costs, through the KVM API.
 *
 * On a host with one emulated CPU, where a tick of the TSC is an instruction
 * of host or guest. Prints "DEVICE NAME UNIT VALUE" lines; the value is "n/a" where
 * the guest got an exception. -r and -w choose the MSR to read and to write.
 */
#include <err.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <x86intrin.h>

#include "apic.h"

#define ROUNDS 512 /* of a guest's loop, and pages in WINDOW */
#define WARM_UP 32 /* of them; not counted */
#define CODE 0x30000
#define SAMPLES 0x40000
#define PORT_END 0x12
#define PORT_KICK 0x20
#define KICK (16UL << 20) /* no memory is there */
#define WINDOW GUEST_MEMORY /* the slot for first touches, 2 MiB */
#define WINDOW_SIZE (2UL << 20)

#define LIFE_ROUNDS 20
#define LIFE_WARM_UP 3
#define LIFE_MEMORY (128UL << 20)
#define CROWD 32 /* VMs at once */
#define CROWD_ROUNDS 5

static const char *device;

/*
 * Two instructions a turn: on any other host the numbers would be of another kind. What
 * interrupts it once or twice, does not do so every time.
 */
static void check_tick(void)
{
	uint64_t ticks = 0;

	for (int i = 0; i < 20; i++) {
		ticks = __rdtsc();
		asm volatile("mov $10000, %%ecx\n1: dec %%ecx\n jnz 1b" : : : "ecx", "cc");
		ticks = __rdtsc() - ticks;
		if (ticks >= 20000 && ticks <= 22000)
			return;
	}
	errx(1, "a tick is not an instruction here: 20000 instructions took %lu", ticks);
}

/* ---- the guest ------------------------------------------------------------- */

/*
 * In: RDI where samples go, R9 rounds, R10 the operand, R11 its stride. Each
 * program is two loops: without the operation, for what measuring costs, and with it.
 */
#define LOOP(inputs, operation)                                                           \
	"1: rdtsc\n mov %eax, %r8d\n" inputs "\n" operation "\n rdtsc\n sub %r8d, %eax\n" \
	"mov %eax, (%rdi)\n add $4, %rdi\n add %r11, %r10\n dec %r9d\n jnz 1b\n"          \
	"out %al, $0x12\n"
#define LOOPS(name, inputs, operation) \
	GUEST_ASM(code_##name, 64, LOOP(inputs, "") LOOP(inputs, operation))

LOOPS(cpuid, "mov $1, %eax", "cpuid");
LOOPS(cpuid_long, "mov $0x80000001, %eax", "cpuid");
LOOPS(vmcall, "mov %r10d, %eax", "vmcall");
LOOPS(rdmsr, "mov %r10d, %ecx", "rdmsr");
LOOPS(wrmsr, "mov %r10d, %ecx\n xor %eax, %eax\n xor %edx, %edx", "wrmsr");
LOOPS(out, "", "out %al, $0x10");
LOOPS(touch, "", "movb $1, (%r10)");
LOOPS(kick_port, "", "out %al, $0x20");
LOOPS(kick, "mov $7, %eax", "mov %eax, (%r10)");
LOOPS(icr_self, "mov $0x830, %ecx\n mov $0x40040, %eax\n xor %edx, %edx", "wrmsr");
LOOPS(icr_other, "mov $0x830, %ecx\n mov $0x40, %eax\n mov $1, %edx", "wrmsr");
LOOPS(deadline, "mov $0x6e0, %ecx\n xor %eax, %eax\n mov $0x1000, %edx", "wrmsr");
/* Both loops send themselves an interrupt, of which the one takes notice. */
LOOPS(hlt, "mov $0x83f, %ecx\n mov $0x41, %eax\n xor %edx, %edx\n wrmsr", "sti\n hlt\n cli");
/* The deadline is over. */
LOOPS(timer, "mov $0x6e0, %ecx\n mov $1, %eax\n xor %edx, %edx", "wrmsr\n sti\n nop\n cli");

struct test {
	const char *name;
	const uint8_t *code, *end;
	uint64_t operand, stride;
	int (*prepare)(struct guest *g);
	/* The APIC is in the kernel, in x2APIC mode; there is another vCPU, which does not run. */
	bool apic;
};

/* As many leaves as a VMM gives a guest, the one that is asked for behind all others. */
static int many_leaves(struct guest *g)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[30];
	} cpuid = { .head.nent = 30 };

	for (int i = 0; i < 28; i++)
		cpuid.entries[i].function = i;
	cpuid.entries[1].edx = 0x07000069;
	cpuid.entries[28].function = 0x80000000;
	cpuid.entries[28].eax = 0x80000001;
	cpuid.entries[29].function = 0x80000001;
	cpuid.entries[29].edx = 1 << 11 | 1 << 20 | 1 << 29;
	return ioctl(g->vcpu, KVM_SET_CPUID2, &cpuid);
}

static int add_kick(struct guest *g, uint32_t flags, uint64_t addr, uint32_t len)
{
	struct kvm_ioeventfd e = {
		.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
		.flags = flags,
		.addr = addr,
		.len = len,
		.datamatch = 7,
	};
	int error = ioctl(g->vm, KVM_IOEVENTFD, &e);

	((uint64_t *)(g->memory + 0x12000))[KICK >> 21] = KICK | 0x93;
	close(e.fd);
	return error;
}

static int kick_port(struct guest *g)
{
	return add_kick(g, KVM_IOEVENTFD_FLAG_PIO, PORT_KICK, 1);
}

static int kick_any(struct guest *g)
{
	return add_kick(g, 0, KICK, 0);
}

static int kick_match(struct guest *g)
{
	return add_kick(g, KVM_IOEVENTFD_FLAG_DATAMATCH, KICK, 4);
}

static int deadline(struct guest *g)
{
	return apic_set_reg(g, APIC_LVTT, APIC_LVT_TIMER_TSCDEADLINE | 0x40);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t median(uint64_t *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare);
	return values[n / 2];
}

/* The vCPU's own count of its exits, or -1 if it keeps none. */
static int64_t count_exits(const struct guest *g)
{
	struct kvm_stats_header head;
	struct {
		struct kvm_stats_desc desc;
		char name[256];
	} row;
	int64_t exits = -1;
	int fd = ioctl(g->vcpu, KVM_GET_STATS_FD, NULL);

	if (fd < 0)
		return -1;
	if (pread(fd, &head, sizeof(head), 0) != sizeof(head) || head.name_size > sizeof(row.name))
		errx(1, "%s: its statistics cannot be read", device);
	for (uint32_t i = 0; i < head.num_desc && exits < 0; i++) {
		ssize_t size = sizeof(row.desc) + head.name_size;

		if (pread(fd, &row, size, head.desc_offset + i * size) != size)
			errx(1, "%s: its statistics end early", device);
		if (!strncmp(row.desc.name, "exits", head.name_size) &&
		    pread(fd, &exits, sizeof(exits), head.data_offset + row.desc.offset) !=
			    sizeof(exits))
			errx(1, "%s: its statistics end early", device);
	}
	close(fd);
	return exits;
}

struct cost {
	uint64_t ticks;
	int64_t exits; /* of all rounds */
};

/* Runs the next loop to its end. Returns false if the guest got an exception. */
static bool run_loop(struct guest *g, const struct test *t, struct cost *cost)
{
	struct kvm_regs regs;
	uint64_t samples[ROUNDS];
	int64_t exits;
	int reason;

	if (ioctl(g->vcpu, KVM_GET_REGS, &regs))
		err(1, "%s: KVM_GET_REGS", device);
	regs.rsp = GUEST_STACK;
	regs.rdi = SAMPLES;
	regs.r9 = ROUNDS;
	regs.r10 = t->operand;
	regs.r11 = t->stride;
	if (ioctl(g->vcpu, KVM_SET_REGS, &regs))
		err(1, "%s: KVM_SET_REGS", device);
	exits = count_exits(g);
	do
		reason = guest_run(g);
	while (reason == KVM_EXIT_IO && g->run->io.port == APIC_PORT_DONE);
	/* Without an IDT an exception is a triple fault. */
	if (reason == KVM_EXIT_SHUTDOWN ||
	    (reason == KVM_EXIT_IO && g->run->io.port == APIC_PORT_TRAP))
		return false;
	if (reason != KVM_EXIT_IO || g->run->io.port != PORT_END)
		errx(1, "%s: the guest for '%s' stopped with exit reason %d", device, t->name,
		     reason);
	for (int i = 0; i < ROUNDS; i++)
		samples[i] = ((uint32_t *)(g->memory + SAMPLES))[i];
	cost->ticks = median(samples + WARM_UP, ROUNDS - WARM_UP);
	cost->exits = exits < 0 ? -1 : count_exits(g) - exits;
	return true;
}

/* A slot of small pages that are there already: the hypervisor's work alone counts. */
static void add_window(struct guest *g, uint8_t *window)
{
	if (madvise(window, WINDOW_SIZE, MADV_NOHUGEPAGE))
		err(1, "MADV_NOHUGEPAGE");
	memset(window, 0, WINDOW_SIZE);
	if (guest_memory(g->vm, 1, 0, WINDOW, WINDOW_SIZE, window))
		err(1, "%s: KVM_SET_USER_MEMORY_REGION", device);
	/* The third entry of the last table: one large page of the guest's own. */
	((uint64_t *)(g->memory + 0x12000))[WINDOW / WINDOW_SIZE] = WINDOW | 0x83;
}

/* In 64-bit mode, about to run the first loop. */
static int create(struct guest cpus[2], const struct test *t)
{
	struct kvm_regs regs = { .rip = CODE, .rflags = 2 };
	struct guest *g = &cpus[0];

	cpus[1] = (struct guest){ .vcpu = -1 };
	if (t->apic ? apic_create(cpus, 2, true) : guest_create(g, NULL, 0))
		return -1;
	if (!t->apic)
		guest_to_long_mode(g);
	memcpy(g->memory + CODE, t->code, t->end - t->code);
	if (t->prepare && t->prepare(g))
		return -1;
	return ioctl(g->vcpu, KVM_SET_REGS, &regs);
}

static void measure(const struct test *t)
{
	struct cost with, without;
	struct guest cpus[2], g;
	uint8_t *window =
		mmap(NULL, WINDOW_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (window == MAP_FAILED || create(cpus, t))
		err(1, "%s: cannot make the guest for '%s'", device, t->name);
	g = cpus[0];
	add_window(&g, window);
	/* This one also maps what both share. */
	if (!run_loop(&g, t, &without))
		errx(1, "%s: the empty guest for '%s' got an exception", device, t->name);
	if (run_loop(&g, t, &with)) {
		printf("%s %s ticks %lu\n", device, t->name, with.ticks - without.ticks);
		if (with.exits >= 0)
			printf("%s %s-exits exits %.1f\n", device, t->name,
			       (double)(with.exits - without.exits) / ROUNDS);
	} else {
		printf("%s %s ticks n/a\n", device, t->name);
	}
	apic_destroy(cpus, 2);
	munmap(window, WINDOW_SIZE);
}

/* ---- a VM's life ----------------------------------------------------------- */

static int device_fd;
static size_t run_size;
static uint8_t *life_memory; /* for all VMs the same; a HLT at GUEST_CODE */

/* A VM, a vCPU, a slot, the shared page; nothing of it is touched. */
static void life_begin(struct guest *g, bool apic)
{
	*g = (struct guest){ .device = -1, .run_size = run_size };
	g->vm = ioctl(device_fd, KVM_CREATE_VM, 0);
	if (g->vm < 0)
		err(1, "%s: KVM_CREATE_VM", device);
	if (apic && apic_enable_cap(g->vm, KVM_CAP_SPLIT_IRQCHIP, 24))
		err(1, "%s: KVM_CAP_SPLIT_IRQCHIP", device);
	if (guest_memory(g->vm, 0, 0, 0, LIFE_MEMORY, life_memory))
		err(1, "%s: KVM_SET_USER_MEMORY_REGION", device);
	g->vcpu = ioctl(g->vm, KVM_CREATE_VCPU, 0);
	if (g->vcpu < 0)
		err(1, "%s: KVM_CREATE_VCPU", device);
	g->run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, g->vcpu, 0);
	if (g->run == MAP_FAILED)
		err(1, "%s: mmap of a vCPU", device);
}

/* Some memory is there only from the first entry on, and the page tables for one page. */
static void life_enter(struct guest *g)
{
	struct kvm_regs regs = { .rip = GUEST_CODE, .rflags = 2 };
	struct kvm_sregs sregs;

	if (ioctl(g->vcpu, KVM_GET_SREGS, &sregs))
		err(1, "%s: KVM_GET_SREGS", device);
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	if (ioctl(g->vcpu, KVM_SET_SREGS, &sregs) || ioctl(g->vcpu, KVM_SET_REGS, &regs))
		err(1, "%s: cannot set registers", device);
	if (guest_run(g) != KVM_EXIT_HLT)
		errx(1, "%s: a guest of one HLT did not halt", device);
}

static void measure_life(const char *suffix)
{
	uint64_t create[LIFE_ROUNDS], destroy[LIFE_ROUNDS];

	for (int i = -LIFE_WARM_UP; i < LIFE_ROUNDS; i++) {
		uint64_t t[3];
		struct guest g;

		t[0] = __rdtsc();
		life_begin(&g, false);
		t[1] = __rdtsc();
		guest_destroy(&g);
		t[2] = __rdtsc();
		if (i >= 0) {
			create[i] = t[1] - t[0];
			destroy[i] = t[2] - t[1];
		}
	}
	printf("%s create%s ticks %lu\n", device, suffix, median(create, LIFE_ROUNDS));
	printf("%s destroy%s ticks %lu\n", device, suffix, median(destroy, LIFE_ROUNDS));
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		err(1, "%s", path);
	close(fd);
}

/*
 * Free pages of all zones, with those that a CPU keeps at hand, of which MemFree
 * knows nothing. Counters that CPUs keep are folded in first.
 */
static long free_pages(void)
{
	char line[256];
	long sum = 0, n;
	FILE *in;

	write_file("/proc/sys/vm/drop_caches", "3");
	write_file("/proc/sys/vm/stat_refresh", "1");
	in = fopen("/proc/zoneinfo", "re");
	if (!in)
		err(1, "/proc/zoneinfo");
	while (fgets(line, sizeof(line), in))
		if (sscanf(line, " pages free %ld", &n) == 1 ||
		    sscanf(line, " count: %ld", &n) == 1)
			sum += n;
	fclose(in);
	return sum;
}

static void measure_memory(const char *name, bool apic, bool enter)
{
	uint64_t used[CROWD_ROUNDS];
	struct guest crowd[CROWD];

	/* The first round is a warm-up. */
	for (int i = -1; i < CROWD_ROUNDS; i++) {
		long before = free_pages(), after;

		for (int j = 0; j < CROWD; j++) {
			life_begin(&crowd[j], apic);
			if (enter)
				life_enter(&crowd[j]);
		}
		after = free_pages();
		for (int j = 0; j < CROWD; j++)
			guest_destroy(&crowd[j]);
		/* What is freed after a grace period. */
		sleep(1);
		if (i >= 0)
			used[i] = before > after ? before - after : 0;
	}
	printf("%s %s KiB %.1f\n", device, name,
	       (double)median(used, CROWD_ROUNDS) * (getpagesize() / 1024) / CROWD);
}

static void measure_lives(void)
{
	struct guest other;

	device_fd = guest_device();
	if (device_fd < 0)
		err(1, "%s", device);
	run_size = ioctl(device_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	life_memory = mmap(NULL, LIFE_MEMORY, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (life_memory == MAP_FAILED || madvise(life_memory, LIFE_MEMORY, MADV_NOHUGEPAGE))
		err(1, "mmap");
	life_memory[GUEST_CODE] = 0xf4;

	measure_life("");
	life_begin(&other, false);
	measure_life("-beside");
	guest_destroy(&other);
	measure_memory("memory", false, false);
	measure_memory("memory-apic", true, false);
	measure_memory("memory-entered", false, true);
	close(device_fd);
}

int main(int argc, char **argv)
{
	uint64_t rdmsr = 0x1a0 /* IA32_MISC_ENABLE */, wrmsr = 0x8b /* IA32_BIOS_SIGN_ID */;
	int option;

	while ((option = getopt(argc, argv, "r:w:")) != -1) {
		if (option == '?')
			return 2;
		*(option == 'r' ? &rdmsr : &wrmsr) = strtoul(optarg, NULL, 0);
	}
	if (argc != optind + 1)
		errx(2, "usage: client [-r MSR] [-w MSR] DEVICE");
	setenv("KVM_DEVICE", argv[optind], 1);
	device = strrchr(argv[optind], '/');
	device = device ? device + 1 : argv[optind];
	check_tick();

	const struct test tests[] = {
#define TEST(n, program, ...) \
	{ .name = n, .code = code_##program, .end = code_##program##_end, __VA_ARGS__ }
		TEST("cpuid", cpuid),
		TEST("cpuid-long", cpuid_long, .prepare = many_leaves),
		TEST("vmcall", vmcall, .operand = 1000), /* a number of no hypercall */
		TEST("rdmsr", rdmsr, .operand = rdmsr),
		TEST("wrmsr", wrmsr, .operand = wrmsr),
		TEST("out", out),
		TEST("touch", touch, .operand = WINDOW, .stride = 4096),
		TEST("cpuid-apic", cpuid, .apic = true),
		TEST("out-apic", out, .apic = true),
		TEST("kick-port", kick_port, .prepare = kick_port, .apic = true),
		TEST("kick-any", kick, .operand = KICK, .prepare = kick_any, .apic = true),
		TEST("kick-match", kick, .operand = KICK, .prepare = kick_match, .apic = true),
		TEST("icr-self", icr_self, .apic = true),
		TEST("icr-other", icr_other, .apic = true),
		TEST("deadline", deadline, .prepare = deadline, .apic = true),
		TEST("timer", timer, .prepare = deadline, .apic = true),
		TEST("hlt", hlt, .apic = true),
#undef TEST
	};

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		measure(&tests[i]);
	measure_lives();
	return 0;
}
