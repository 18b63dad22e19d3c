// SPDX-License-Identifier: GPL-2.0-only
/*
 * Round trips: what one operation of a guest costs, up to its next instruction.
 */
#include <math.h>
#include <sys/eventfd.h>

#include "client.h"

#define ROUNDS 512 /* of a guest's loop, and pages in a window */
#define WARM_UP 32 /* of them; not counted */
#define CODE 0x30000
#define SAMPLES 0x40000
#define PORT_END 0x12
#define PORT_KICK 0x20
#define KICK (16UL << 20) /* no memory is there */
#define WINDOW GUEST_MEMORY /* the slot for first touches, 2 MiB */
#define WINDOW_SIZE (2UL << 20)
#define LARGE (4UL << 30) /* the same of large pages */

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
LOOPS(store, "mov $7, %eax", "mov %eax, (%r10)");
LOOPS(icr_self, "mov $0x830, %ecx\n mov $0x40040, %eax\n xor %edx, %edx", "wrmsr");
LOOPS(icr_other, "mov $0x830, %ecx\n mov $0x40, %eax\n mov $1, %edx", "wrmsr");
LOOPS(deadline, "mov $0x6e0, %ecx\n xor %eax, %eax\n mov $0x1000, %edx", "wrmsr");
/* Both loops send themselves an interrupt, of which the one takes notice. */
LOOPS(hlt, "mov $0x83f, %ecx\n mov $0x41, %eax\n xor %edx, %edx\n wrmsr", "sti\n hlt\n cli");
/* The deadline is over. */
LOOPS(timer, "mov $0x6e0, %ecx\n mov $1, %eax\n xor %edx, %edx", "wrmsr\n sti\n nop\n cli");

struct trip {
	const char *name;
	const uint8_t *code, *end;
	uint64_t operand, stride;
	int (*prepare)(struct guest *g);
	enum bench_kind kind;
	/* The APIC is in the kernel, in x2APIC mode; there is another vCPU, which does not run. */
	bool apic;
	/* Not each round costs the same: what counts is not the median. */
	bool mean;
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

/* For the guest there is a page of 2 MiB at KICK, but no memory. */
static int map_device(struct guest *g)
{
	((uint64_t *)(g->memory + 0x12000))[KICK >> 21] = KICK | 0x93;
	return 0;
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

	close(e.fd);
	return error ?: map_device(g);
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

/* A slot of small pages that are there already: the hypervisor's work alone counts. */
static int add_window(struct guest *g)
{
	uint8_t *window =
		mmap(NULL, WINDOW_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (window == MAP_FAILED || madvise(window, WINDOW_SIZE, MADV_NOHUGEPAGE))
		return -1;
	memset(window, 0, WINDOW_SIZE);
	/* The third entry of the last table: one large page of the guest's own. */
	((uint64_t *)(g->memory + 0x12000))[WINDOW / WINDOW_SIZE] = WINDOW | 0x83;
	return guest_memory(g->vm, 1, 0, WINDOW, WINDOW_SIZE, window);
}

/* ROUNDS large pages, all of them the same one, behind a table of the guest's fifth GiB. */
static int add_large_window(struct guest *g)
{
	uint8_t *window = bench_alias(ROUNDS * WINDOW_SIZE, WINDOW_SIZE);
	uint64_t *table = (uint64_t *)(g->memory + 0x14000);

	if (!window)
		return -1;
	for (size_t i = 0; i < ROUNDS; i++)
		table[i] = (LARGE + i * WINDOW_SIZE) | 0x83;
	*(uint64_t *)(g->memory + 0x11020) = 0x14000 | 3;
	return guest_memory(g->vm, 1, 0, LARGE, ROUNDS * WINDOW_SIZE, window);
}

struct cost {
	uint64_t ticks;
	int64_t exits; /* of all rounds */
};

static uint64_t mean(uint64_t *values, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += values[i];
	return sum / n;
}

/* What user space has nothing to do for. */
static bool is_trip(const struct guest *g, int reason)
{
	return reason == KVM_EXIT_MMIO ||
	       (reason == KVM_EXIT_IO && g->run->io.port == APIC_PORT_DONE);
}

/* Runs the next loop to its end. Returns false if the guest got an exception. */
static bool run_loop(struct guest *g, const struct trip *t, struct cost *cost)
{
	struct kvm_regs regs;
	uint64_t samples[ROUNDS];
	int64_t exits;
	int reason;

	if (ioctl(g->vcpu, KVM_GET_REGS, &regs))
		err(1, "%s: KVM_GET_REGS", bench.device);
	regs.rsp = GUEST_STACK;
	regs.rdi = SAMPLES;
	regs.r9 = ROUNDS;
	regs.r10 = t->operand;
	regs.r11 = t->stride;
	if (ioctl(g->vcpu, KVM_SET_REGS, &regs))
		err(1, "%s: KVM_SET_REGS", bench.device);
	exits = bench_exits(g);
	do
		reason = guest_run(g);
	while (is_trip(g, reason));
	/* Without an IDT an exception is a triple fault. */
	if (reason == KVM_EXIT_SHUTDOWN ||
	    (reason == KVM_EXIT_IO && g->run->io.port == APIC_PORT_TRAP))
		return false;
	if (reason != KVM_EXIT_IO || g->run->io.port != PORT_END)
		errx(1, "%s: the guest for '%s' stopped with exit reason %d", bench.device, t->name,
		     reason);
	for (int i = 0; i < ROUNDS; i++)
		samples[i] = ((uint32_t *)(g->memory + SAMPLES))[i];
	cost->ticks = (t->mean ? mean : bench_median)(samples + WARM_UP, ROUNDS - WARM_UP);
	cost->exits = exits < 0 ? -1 : bench_exits(g) - exits;
	return true;
}

/* In 64-bit mode, about to run the first loop. */
static int create(struct guest cpus[2], const struct trip *t)
{
	struct kvm_regs regs = { .rip = CODE, .rflags = 2 };
	struct guest *g = &cpus[0];

	cpus[1] = (struct guest){ .vcpu = -1 };
	if (t->apic ? apic_create(cpus, 2, true) : guest_create(g, NULL, 0))
		err(1, "%s: cannot make the guest for '%s'", bench.device, t->name);
	if (!t->apic)
		guest_to_long_mode(g);
	memcpy(g->memory + CODE, t->code, t->end - t->code);
	if (ioctl(g->vcpu, KVM_SET_REGS, &regs))
		err(1, "%s: KVM_SET_REGS", bench.device);
	return t->prepare ? t->prepare(g) : 0;
}

static void measure(const struct trip *t, const char *suffix)
{
	struct cost with, without;
	struct guest cpus[2], *g = &cpus[0];

	if (create(cpus, t)) {
		bench_report_none(bench.unit, "%s%s", t->name, suffix);
		apic_destroy(cpus, 2);
		return;
	}
	/* This one also maps what both share. */
	if (!run_loop(g, t, &without))
		errx(1, "%s: the empty guest for '%s' got an exception", bench.device, t->name);
	if (run_loop(g, t, &with)) {
		bench_report(bench.unit, with.ticks - without.ticks, t->kind, "%s%s", t->name,
			     suffix);
		/* One exit more or less is the host's timer: a tenth is as fine as it gets. */
		if (with.exits >= 0)
			bench_report("exits",
				     round((with.exits - without.exits) * 10.0 / ROUNDS) / 10,
				     EXACT, "%s%s-exits", t->name, suffix);
	} else {
		bench_report_none(bench.unit, "%s%s", t->name, suffix);
	}
	apic_destroy(cpus, 2);
}

#define TRIP(n, program, ...)                                                               \
	{                                                                                   \
		.name = n, .code = code_##program, .end = code_##program##_end, __VA_ARGS__ \
	}

void bench_trips(void)
{
	const struct trip trips[] = {
		TRIP("cpuid", cpuid),
		TRIP("cpuid-long", cpuid_long, .prepare = many_leaves),
		TRIP("vmcall", vmcall, .operand = 1000), /* a number of no hypercall */
		TRIP("rdmsr", rdmsr, .operand = bench.rdmsr),
		TRIP("wrmsr", wrmsr, .operand = bench.wrmsr),
		TRIP("out", out),
		TRIP("mmio", store, .operand = KICK, .prepare = map_device),
		TRIP("touch-4k", touch, .operand = WINDOW, .stride = 4096, .prepare = add_window,
		     .mean = true, .kind = VARIES /* by the host's timer */),
		TRIP("touch-2m", touch, .operand = LARGE, .stride = WINDOW_SIZE,
		     .prepare = add_large_window, .kind = VARIES /* by one */),
		TRIP("cpuid-apic", cpuid, .apic = true),
		TRIP("out-apic", out, .apic = true),
		TRIP("kick-port", kick_port, .prepare = kick_port, .apic = true),
		TRIP("kick-any", store, .operand = KICK, .prepare = kick_any, .apic = true),
		TRIP("kick-match", store, .operand = KICK, .prepare = kick_match, .apic = true),
		TRIP("icr-self", icr_self, .apic = true),
		TRIP("icr-other", icr_other, .apic = true),
		TRIP("deadline", deadline, .prepare = deadline, .apic = true),
		TRIP("timer", timer, .prepare = deadline, .apic = true),
		TRIP("hlt", hlt, .apic = true),
	};

	for (size_t i = 0; i < sizeof(trips) / sizeof(trips[0]); i++)
		measure(&trips[i], "");
}

void bench_crowd_trips(unsigned int alive)
{
	const struct trip trip = TRIP("icr-other", icr_other, .apic = true);
	char suffix[32];

	snprintf(suffix, sizeof(suffix), "-of-%u", alive);
	measure(&trip, suffix);
}
