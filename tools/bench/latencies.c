// SPDX-License-Identifier: GPL-2.0-only
/*
 * Latencies: from an event to the first instruction of who waits for it.
 *
 * A guest's handler measures by its own TSC. Where user space is one of the two, it
 * translates its own, by the vCPU's offset.
 */
#include <linux/vhost.h>
#include <sys/eventfd.h>
#include <x86intrin.h>

#include "events.h"
#include "queue.h"

#define GSI 1
#define DEADLINE_SPIN 4000 /* so far ahead that the guest waits for it */
#define DEADLINE_HALT 20000
#define DOORBELLS "/dev/vhost-vdpa-0"

/* What a sender writes to its ICR. */
#define ICR_SELF (APIC_DEST_SELF | APIC_INT_ASSERT | EVENT_VECTOR)
#define ICR_TO(id) ((uint64_t)(id) << 32 | APIC_INT_ASSERT | EVENT_VECTOR)

#define MAIL(cpu) (APIC_CPU(cpu) + offsetof(struct apic_cpu, mail))

GUEST_ASM(timer_spin, 64, EVENT_LOOP(EVENT_ARM, EVENT_SPIN));
GUEST_ASM(timer_halt, 64, EVENT_LOOP(EVENT_ARM, EVENT_HALT));
GUEST_ASM(ipi_self, 64, EVENT_LOOP(EVENT_IPI, EVENT_SPIN));
GUEST_ASM(ipi_ask, 64, EVENT_LOOP(EVENT_IPI, EVENT_HALT));
GUEST_ASM(ipi_answer, 64, EVENT_LOOP("", EVENT_HALT EVENT_IPI));
GUEST_ASM(ipi_send, 64, EVENT_LOOP(EVENT_IPI, EVENT_SEEN));
GUEST_ASM(kick_halt, 64, EVENT_LOOP(EVENT_STORE, EVENT_HALT));
GUEST_ASM(kick_ack, 64, EVENT_LOOP(EVENT_STORE, EVENT_ACK));
GUEST_ASM(wait_spin, 64, EVENT_LOOP("", EVENT_SPIN));

static uint32_t *samples_of(const struct irq_vm *vm, unsigned int cpu)
{
	return (uint32_t *)(vm->cpu[0].memory + (cpu ? EVENT_SAMPLES_1 : EVENT_SAMPLES));
}

/*
 * The first tenth is a warm-up. With -1 exits they are not shown. Where threads wake each
 * other, the scheduler's part is not the same to the last instruction.
 */
static void report(const char *name, const uint32_t *samples, int64_t exits, enum bench_kind kind)
{
	unsigned int first = bench.events / 10, n = bench.events - first;
	uint64_t *values = calloc(n, sizeof(*values));

	for (unsigned int i = 0; i < n; i++)
		values[i] = samples[first + i];
	bench_report(bench.unit, bench_median(values, n), kind, "%s", name);
	bench_report(bench.unit, bench_quantile(values, n, 0.999), VARIES, "%s-99.9%%", name);
	bench_report(bench.unit, bench_quantile(values, n, 1), VARIES, "%s-max", name);
	if (exits >= 0)
		bench_report("exits", (double)exits / bench.events, VARIES, "%s-exits", name);
	free(values);
}

static void create(struct irq_vm *vm, unsigned int cpus)
{
	if (events_create(vm, cpus))
		err(1, "%s: cannot make a guest that waits for events", bench.device);
}

/* ---- by one vCPU, for itself ----------------------------------------------------- */

static void measure_self(const char *name, const uint8_t *code, const uint8_t *end, uint64_t r10,
			 enum bench_kind kind)
{
	struct irq_vm vm;
	int64_t exits;

	create(&vm, 1);
	events_load(&vm, 0, code, end, r10, MAIL(0), bench.events);
	exits = bench_exits(&vm.cpu[0]);
	events_run(&vm, 0);
	report(name, samples_of(&vm, 0), bench_exits(&vm.cpu[0]) - exits, kind);
	irq_destroy(&vm);
}

/* ---- to another vCPU ------------------------------------------------------------- */

static int64_t exits_of_both(const struct irq_vm *vm)
{
	return bench_exits(&vm->cpu[0]) + bench_exits(&vm->cpu[1]);
}

/* Both halt, in turns: one CPU is enough. */
static void measure_ipi_halted(const char *name, int on)
{
	struct irq_vm vm;
	pthread_t other;
	int64_t exits;

	create(&vm, 2);
	events_load(&vm, 1, EVENTS_PROGRAM(ipi_answer), ICR_TO(0), MAIL(0), bench.events);
	events_load(&vm, 0, EVENTS_PROGRAM(ipi_ask), ICR_TO(1), MAIL(1), bench.events);
	exits = exits_of_both(&vm);
	other = events_spawn(&vm, 1, on);
	events_run(&vm, 0);
	pthread_join(other, NULL);
	report(name, samples_of(&vm, 1), (exits_of_both(&vm) - exits) / 2, on < 0 ? EXACT : VARIES);
	irq_destroy(&vm);
}

/* The receiver runs, on a CPU of its own. */
static void measure_ipi_running(void)
{
	struct irq_vm vm;
	pthread_t other;
	int64_t exits;

	create(&vm, 2);
	events_load(&vm, 1, EVENTS_PROGRAM(wait_spin), 0, 0, bench.events);
	events_load(&vm, 0, EVENTS_PROGRAM(ipi_send), ICR_TO(1), MAIL(1), bench.events);
	exits = exits_of_both(&vm);
	other = events_spawn(&vm, 1, 1);
	events_run(&vm, 0);
	pthread_join(other, NULL);
	report("latency-ipi-running", samples_of(&vm, 1), exits_of_both(&vm) - exits, VARIES);
	irq_destroy(&vm);
}

/* ---- between a vCPU and user space ------------------------------------------------- */

/* The interrupt that @fd is. */
static int add_call(struct irq_vm *vm)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	if (irq_route(vm, GSI, IRQ_TO(0), EVENT_VECTOR) || irq_fd(vm, fd, GSI, 0))
		err(1, "%s: KVM_IRQFD", bench.device);
	return fd;
}

static int add_kick(const struct irq_vm *vm)
{
	struct kvm_ioeventfd kick = { .fd = eventfd(0, EFD_CLOEXEC), .addr = EVENT_KICK };

	if (ioctl(vm->cpu[0].vm, KVM_IOEVENTFD, &kick))
		err(1, "%s: KVM_IOEVENTFD", bench.device);
	return kick.fd;
}

/*
 * Takes each kick, and answers it by an interrupt, for which the guest is halted. The offset was
 * asked for before: the vCPU is running.
 */
static void serve(struct irq_vm *vm, int64_t offset, int kick, int call, uint32_t *samples)
{
	volatile struct apic_cpu *cpu = irq_cpu(vm, 0);

	for (unsigned int i = 0; i < bench.events; i++) {
		eventfd_t count;

		if (eventfd_read(kick, &count))
			err(1, "a kick");
		samples[i] = __rdtsc() + offset - cpu->mail;
		cpu->mail = __rdtsc() + offset;
		eventfd_write(call, 1);
	}
}

static void measure_kick(const char *kick_name, const char *call_name, int on)
{
	uint32_t *samples = calloc(bench.events, sizeof(*samples));
	struct irq_vm vm;
	pthread_t guest;
	int64_t exits, offset;
	int kick, call;

	create(&vm, 1);
	kick = add_kick(&vm);
	call = add_call(&vm);
	events_load(&vm, 0, EVENTS_PROGRAM(kick_halt), EVENT_KICK, 0, bench.events);
	offset = events_tsc_offset(&vm, 0);
	exits = bench_exits(&vm.cpu[0]);
	memset(samples, 0, bench.events * sizeof(*samples));
	guest = events_spawn(&vm, 0, on);
	serve(&vm, offset, kick, call, samples);
	pthread_join(guest, NULL);
	/* Those of a round: of the store and of the HLT that it is answered in. */
	exits = bench_exits(&vm.cpu[0]) - exits;
	report(kick_name, samples, exits, VARIES);
	report(call_name, samples_of(&vm, 0), exits, VARIES);
	close(kick);
	close(call);
	irq_destroy(&vm);
	free(samples);
}

/* The guest runs, on a CPU of its own. */
static void measure_call_running(void)
{
	struct irq_vm vm;
	pthread_t guest;
	int64_t exits, offset;
	int call;

	create(&vm, 1);
	call = add_call(&vm);
	events_load(&vm, 0, EVENTS_PROGRAM(wait_spin), 0, 0, bench.events);
	offset = events_tsc_offset(&vm, 0);
	exits = bench_exits(&vm.cpu[0]);
	guest = events_spawn(&vm, 0, 1);
	events_call(&vm, call, offset);
	pthread_join(guest, NULL);
	report("latency-irqfd-running", samples_of(&vm, 0), bench_exits(&vm.cpu[0]) - exits,
	       VARIES);
	close(call);
	irq_destroy(&vm);
}

/* ---- doorbells ------------------------------------------------------------------------ */

/* The page is the guest's: as a queue's doorbell, or where there are no queues as memory. */
static int map_doorbell(const struct irq_vm *vm, void *page)
{
	if (ioctl(vm->cpu[0].device, KVM_CHECK_EXTENSION, DRAGONFLY_CAP_QUEUES) <= 0)
		return guest_memory(vm->cpu[0].vm, 1, 0, EVENT_KICK, QUEUE_PAGE, page);
	return queue_assign(vm, QUEUE(.flags = DRAGONFLY_QUEUE_DOORBELL, .notify_gpa = EVENT_KICK,
				      .doorbell = (uintptr_t)page)) < 0;
}

/* Looks at the page all the time, as a device does; no queue has the number of no kick. */
static void poll_doorbell(struct irq_vm *vm, int64_t offset, volatile uint32_t *page,
			  uint32_t *samples)
{
	volatile struct apic_cpu *cpu = irq_cpu(vm, 0);

	for (unsigned int i = 0; i < bench.events; i++) {
		while (*page == ~0U)
			_mm_pause();
		samples[i] = __rdtsc() + offset - cpu->mail;
		*page = ~0U;
		cpu->stop = i + 1;
	}
}

static void measure_doorbell(void)
{
	uint32_t *samples = calloc(bench.events, sizeof(*samples));
	int fd = open(DOORBELLS, O_RDWR | O_CLOEXEC);
	volatile uint32_t *page;
	struct irq_vm vm;
	pthread_t guest;
	int64_t exits, offset;

	if (fd < 0) {
		bench_report_none(bench.unit, "latency-doorbell");
		return;
	}
	page = mmap(NULL, QUEUE_PAGE, PROT_WRITE, MAP_SHARED, fd, 0);
	create(&vm, 1);
	if (page == MAP_FAILED || map_doorbell(&vm, (void *)page))
		err(1, "%s: cannot map a doorbell", bench.device);
	*page = ~0U;
	events_load(&vm, 0, EVENTS_PROGRAM(kick_ack), EVENT_KICK, 0, bench.events);
	offset = events_tsc_offset(&vm, 0);
	exits = bench_exits(&vm.cpu[0]);
	guest = events_spawn(&vm, 0, 1);
	poll_doorbell(&vm, offset, page, samples);
	pthread_join(guest, NULL);
	report("latency-doorbell", samples, bench_exits(&vm.cpu[0]) - exits, VARIES);
	irq_destroy(&vm);
	munmap((void *)page, QUEUE_PAGE);
	close(fd);
	free(samples);
}

/* ---- all of them ------------------------------------------------------------------------ */

void bench_latencies(void)
{
	measure_self("latency-timer", EVENTS_PROGRAM(timer_spin), DEADLINE_SPIN, EXACT);
	measure_self("latency-timer-halted", EVENTS_PROGRAM(timer_halt), DEADLINE_HALT, VARIES);
	measure_self("latency-ipi-self", EVENTS_PROGRAM(ipi_self), ICR_SELF, EXACT);
	measure_ipi_halted("latency-ipi-halted", -1);
	measure_kick("latency-kick", "latency-irqfd-halted", -1);
}

/* Of two CPUs, which do not count their instructions together, none is exact. */
void bench_latencies_smp(void)
{
	events_pin(0);
	measure_ipi_running();
	measure_ipi_halted("latency-ipi-halted", 1);
	measure_call_running();
	measure_kick("latency-kick", "latency-irqfd-halted", 1);
	measure_doorbell();
}
