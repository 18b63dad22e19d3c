// SPDX-License-Identifier: GPL-2.0-only
/*
 * Jitter: of very many events that are all alike, how many reach the guest late. It is
 * alone on CPU 1 of a host that keeps its own work away from there (isolcpus, nohz_full),
 * and comes first there, so that what is late is the host's doing.
 */
#include <linux/dragonfly_para.h>
#include <sys/eventfd.h>

#include "events.h"

#define ROUNDS 10 /* of bench.events each */
#define AHEAD 2000 /* ticks to a deadline */
#define GSI 1
#define LATE 2 /* times the median */

/* The vCPU's descriptor is at R11. */
#define TEXT(number) #number
#define POST_VECTOR(vector) \
	"lock btsq $(" TEXT(vector) " & 63), (" TEXT(vector) " >> 6 << 3)(%r11)\n"
#define POST POST_VECTOR(EVENT_VECTOR)

GUEST_ASM(jitter_timer, 64, EVENT_LOOP(EVENT_ARM, EVENT_SPIN));
GUEST_ASM(jitter_posted, 64, EVENT_LOOP(POST EVENT_ARM, EVENT_SPIN));
GUEST_ASM(jitter_wait, 64, EVENT_LOOP("", EVENT_SPIN));

/* What was before, if anything, is the warm-up. */
static void report(const char *name, uint64_t *values, size_t n, int64_t exits)
{
	uint64_t median = bench_median(values, n);
	size_t late = 0;

	while (late < n && values[n - late - 1] > LATE * median)
		late++;
	bench_report(bench.unit, median, VARIES, "%s", name);
	bench_report(bench.unit, bench_quantile(values, n, 0.99999), VARIES, "%s-99.999%%", name);
	bench_report(bench.unit, values[n - 1], VARIES, "%s-max", name);
	bench_report("of 10^6", 1e6 * late / n, VARIES, "%s-late", name);
	bench_report("of 10^6", 1e6 * exits / n, VARIES, "%s-exits", name);
}

static void create(struct irq_vm *vm)
{
	if (events_create_alone(vm))
		err(1, "%s: cannot make a guest that is alone", bench.device);
}

static void add(uint64_t *values, const struct irq_vm *vm, unsigned int round)
{
	const uint32_t *samples = (const uint32_t *)(vm->cpu[0].memory + EVENT_SAMPLES);

	for (unsigned int i = 0; i < bench.events; i++)
		values[(size_t)round * bench.events + i] = samples[i];
}

/* ---- deadlines ------------------------------------------------------------------------ */

static void set_posted(const struct irq_vm *vm)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msr = {
		.head.nmsrs = 1,
		.entry = { .index = MSR_DRAGONFLY_TIMER, .data = DRAGONFLY_TIMER_POSTED },
	};

	if (ioctl(vm->cpu[0].vcpu, KVM_SET_MSRS, &msr) != 1)
		err(1, "%s: MSR_DRAGONFLY_TIMER", bench.device);
}

static void measure_timer(const char *name, const uint8_t *code, const uint8_t *end, bool posted)
{
	uint64_t *values = calloc((size_t)ROUNDS * bench.events, sizeof(*values));
	struct irq_vm vm;
	int64_t exits = 0;

	create(&vm);
	if (posted)
		set_posted(&vm);
	for (unsigned int round = 0; round <= ROUNDS; round++) {
		events_load(&vm, 0, code, end, AHEAD, EVENT_AREA, bench.events);
		events_run(&vm, 0);
		if (round)
			add(values, &vm, round - 1);
		else
			exits = bench_exits(&vm.cpu[0]);
	}
	report(name, values, (size_t)ROUNDS * bench.events, bench_exits(&vm.cpu[0]) - exits);
	events_destroy_alone(&vm);
	free(values);
}

/* ---- completions ------------------------------------------------------------------------ */

static void *run(void *data)
{
	struct irq_vm *vm = data;

	events_pin(1);
	events_run(vm, 0);
	return NULL;
}

/* From another CPU, by an eventfd; the guest waits for each. */
static void complete(struct irq_vm *vm, int call, int64_t offset)
{
	pthread_t guest;

	events_load(vm, 0, EVENTS_PROGRAM(jitter_wait), 0, 0, bench.events);
	pthread_create(&guest, NULL, run, vm);
	events_call(vm, call, offset);
	pthread_join(guest, NULL);
}

static void measure_completion(void)
{
	uint64_t *values = calloc((size_t)ROUNDS * bench.events, sizeof(*values));
	int call = eventfd(0, EFD_CLOEXEC);
	struct irq_vm vm;
	int64_t offset, exits = 0;

	create(&vm);
	if (irq_route(&vm, GSI, IRQ_TO(0), EVENT_VECTOR) || irq_fd(&vm, call, GSI, 0))
		err(1, "%s: KVM_IRQFD", bench.device);
	offset = events_tsc_offset(&vm, 0);
	events_pin(0);
	for (unsigned int round = 0; round <= ROUNDS; round++) {
		complete(&vm, call, offset);
		if (round)
			add(values, &vm, round - 1);
		else
			exits = bench_exits(&vm.cpu[0]);
	}
	report("jitter-completion", values, (size_t)ROUNDS * bench.events,
	       bench_exits(&vm.cpu[0]) - exits);
	close(call);
	events_destroy_alone(&vm);
	free(values);
}

void bench_jitter(void)
{
	const struct sched_param first = { .sched_priority = 1 };
	bool has_area = !strcmp(bench.device, "dragonfly");

	events_pin(1);
	/* The scheduler's server for other tasks (6.12) interrupts all but such a one. */
	if (sched_setscheduler(0, SCHED_FIFO, &first))
		err(1, "SCHED_FIFO");
	measure_timer("jitter-timer", EVENTS_PROGRAM(jitter_timer), false);
	if (has_area)
		measure_timer("jitter-timer-posted", EVENTS_PROGRAM(jitter_posted), true);
	else
		bench_report_none(bench.unit, "jitter-timer-posted");
	measure_completion();
}
