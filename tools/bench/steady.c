// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guests in steady state: how often they exit, and what part of the host's
 * instructions is not theirs. For one CPU, on which the guest's own instructions are
 * known, and those for which it idles are the host's to tell.
 */
#include <x86intrin.h>

#include "events.h"

#define TICKS 1000 /* deadlines a second, and how many of them */
#define WAKES 10 /* the same of a guest that has nothing to do */
#define WAKE_EVENTS 30
#define PINGS 10000

#define MAIL(cpu) (APIC_CPU(cpu) + offsetof(struct apic_cpu, mail))
#define ICR_TO(id) ((uint64_t)(id) << 32 | APIC_INT_ASSERT | EVENT_VECTOR)

/* Counts in R11 the turns of its loop. */
GUEST_ASM(tick, 64,
	  "1: inc %rbx\n" EVENT_ARM "sti\n"
	  "2: inc %r11\n cmp %rbx, %gs:0\n jb 2b\n cli\n dec %r9d\n jnz 1b\n" EVENT_END);
GUEST_ASM(idle, 64, EVENT_LOOP(EVENT_ARM, EVENT_HALT));
GUEST_ASM(ping, 64, EVENT_LOOP(EVENT_IPI, EVENT_HALT));
GUEST_ASM(pong, 64, EVENT_LOOP("", EVENT_HALT EVENT_IPI));

/* Instructions: of a turn, of what is around the turns, of a round of the others. */
#define TURN 3
#define TICK_ROUND (14 + EVENT_HANDLER_LENGTH)
#define HALT_ROUND (21 + EVENT_HANDLER_LENGTH)

struct span {
	uint64_t ticks;
	double idle; /* seconds */
	int64_t exits;
};

/* The kernel tells it in hundredths. */
static double idle_seconds(void)
{
	double up, idle = 0;
	FILE *in = fopen("/proc/uptime", "re");

	if (!in || fscanf(in, "%lf %lf", &up, &idle) != 2)
		err(1, "/proc/uptime");
	fclose(in);
	return idle;
}

static int64_t all_exits(const struct irq_vm *vm)
{
	int64_t sum = 0;

	for (unsigned int n = 0; n < vm->cpus; n++)
		sum += bench_exits(&vm->cpu[n]);
	return sum;
}

static void create(struct irq_vm *vm, unsigned int cpus)
{
	if (events_create(vm, cpus))
		err(1, "%s: cannot make a guest in steady state", bench.device);
}

static void begin(struct span *span, const struct irq_vm *vm)
{
	span->exits = all_exits(vm);
	span->idle = idle_seconds();
	span->ticks = __rdtsc();
}

static double tsc_hz(const struct irq_vm *vm)
{
	return ioctl(vm->cpu[0].vcpu, KVM_GET_TSC_KHZ) * 1000.0;
}

static void end(const struct span *start, const struct irq_vm *vm, double of_guest,
		const char *name)
{
	double hz = tsc_hz(vm), ticks = __rdtsc() - start->ticks;
	double idle = (idle_seconds() - start->idle) * hz;

	bench_report("exits/s", (all_exits(vm) - start->exits) / (ticks / hz), VARIES,
		     "steady-%s-exits", name);
	bench_report("percent", 100 * (ticks - idle - of_guest) / ticks, VARIES, "steady-%s-root",
		     name);
}

static void measure_tick(void)
{
	struct irq_vm vm;
	struct span span;

	create(&vm, 1);
	events_load(&vm, 0, EVENTS_PROGRAM(tick), tsc_hz(&vm) / TICKS, 0, TICKS);
	begin(&span, &vm);
	events_run(&vm, 0);
	end(&span, &vm, guest_regs(&vm.cpu[0]).r11 * TURN + TICKS * TICK_ROUND, "tick");
	irq_destroy(&vm);
}

static void measure_idle(void)
{
	struct irq_vm vm;
	struct span span;

	create(&vm, 1);
	events_load(&vm, 0, EVENTS_PROGRAM(idle), tsc_hz(&vm) / WAKES, 0, WAKE_EVENTS);
	begin(&span, &vm);
	events_run(&vm, 0);
	end(&span, &vm, WAKE_EVENTS * HALT_ROUND, "idle");
	irq_destroy(&vm);
}

static void measure_ping_pong(void)
{
	struct irq_vm vm;
	struct span span;
	pthread_t other;

	create(&vm, 2);
	events_load(&vm, 1, EVENTS_PROGRAM(pong), ICR_TO(0), MAIL(0), PINGS);
	events_load(&vm, 0, EVENTS_PROGRAM(ping), ICR_TO(1), MAIL(1), PINGS);
	begin(&span, &vm);
	other = events_spawn(&vm, 1, -1);
	events_run(&vm, 0);
	pthread_join(other, NULL);
	end(&span, &vm, 2.0 * PINGS * HALT_ROUND, "ping-pong");
	irq_destroy(&vm);
}

void bench_steady(void)
{
	measure_idle();
	measure_tick();
	measure_ping_pong();
}
