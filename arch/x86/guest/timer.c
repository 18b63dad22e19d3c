// SPDX-License-Identifier: GPL-2.0-only
/*
 * A deadline of the TSC that is over takes in what is posted to its vCPU, and that is the
 * timer's interrupt: the vCPU has posted it to itself before. Somebody else's
 * notification may take it in early; then it is posted again.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/clockchips.h>
#include <linux/cpuhotplug.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/irqdomain.h>
#include <linux/percpu.h>
#include <linux/slab.h>
#include <asm/apic.h>
#include <asm/hw_irq.h>
#include <asm/irqdomain.h>
#include <asm/msr.h>
#include <asm/tsc.h>

#include "guest.h"

/* A clock event device's frequency has 32 bits, and the TSC's may have more. */
#define TSC_PER_TICK	8

/* Both above those of the local APIC and of the HPET. */
#define TIMER_RATING	200
#define STAND_IN_RATING	180

/**
 * struct guest_timer - a CPU's
 * @event: as the kernel knows it
 * @descriptor: of this vCPU
 * @deadline: of the TSC; 0 for none
 * @irq: 0 where the CPU has kept the timer that it had
 * @vector: of @irq, on this CPU only
 *
 * The CPU's own, with interrupts off.
 */
struct guest_timer {
	struct clock_event_device event;
	struct dragonfly_descriptor *descriptor;
	u64 deadline;
	unsigned int irq;
	u8 vector;
};

static DEFINE_PER_CPU(struct guest_timer, timers);
static enum cpuhp_state hotplug_state;

static struct guest_timer *to_timer(struct clock_event_device *event)
{
	return container_of(event, struct guest_timer, event);
}

/* --- on its CPU, with interrupts off --- */

static void write_deadline(struct guest_timer *timer, u64 deadline)
{
	timer->deadline = deadline;
	/* Behind the writes to memory: what is posted is there when the deadline is over. */
	weak_wrmsr_fence();
	wrmsrl(MSR_IA32_TSC_DEADLINE, deadline);
}

static int set_next_event(unsigned long ticks, struct clock_event_device *event)
{
	struct guest_timer *timer = to_timer(event);

	guest_post(timer->descriptor, timer->vector);
	write_deadline(timer, rdtsc() + ticks * TSC_PER_TICK);
	return 0;
}

static int set_state_oneshot(struct clock_event_device *event)
{
	struct guest_timer *timer = to_timer(event);

	/* It was only idle. */
	if (clockevent_state_oneshot_stopped(event))
		return 0;
	native_apic_msr_write(APIC_LVTT, APIC_LVT_TIMER_TSCDEADLINE | timer->vector);
	wrmsrl(MSR_DRAGONFLY_TIMER, DRAGONFLY_TIMER_POSTED);
	return 0;
}

/* What has been taken in already comes once more, and finds no deadline. */
static int set_state_oneshot_stopped(struct clock_event_device *event)
{
	struct guest_timer *timer = to_timer(event);

	write_deadline(timer, 0);
	clear_bit(timer->vector, (unsigned long *)timer->descriptor->requests);
	return 0;
}

/* Whoever has LVTT next sets it up for himself. */
static int set_state_shutdown(struct clock_event_device *event)
{
	set_state_oneshot_stopped(event);
	wrmsrl(MSR_DRAGONFLY_TIMER, 0);
	return 0;
}

static bool is_early(const struct guest_timer *timer)
{
	if (rdtsc_ordered() >= timer->deadline)
		return false;
	guest_post(timer->descriptor, timer->vector);
	/* If it was over before that, it took in nothing. */
	return rdtsc_ordered() < timer->deadline;
}

static irqreturn_t timer_interrupt(int irq, void *data)
{
	struct guest_timer *timer = data;

	if (timer->deadline && !is_early(timer)) {
		timer->deadline = 0;
		timer->event.event_handler(&timer->event);
	}
	return IRQ_HANDLED;
}

/* --- the broadcast device --- */

/**
 * struct stand_in - a device that wakes others, where there are none to be woken
 * @event: as the kernel knows it
 * @name: none of the module's, which may go before
 *
 * The kernel takes for it what is left over: a CPU's device of before, which it would
 * stop meanwhile, and not give back. It keeps the first of these for good, but not
 * those of later loads.
 */
struct stand_in {
	struct clock_event_device event;
	char name[sizeof(KBUILD_MODNAME)];
};

static struct stand_in *stand_in;

static int add_stand_in(void)
{
	stand_in = kzalloc(sizeof(*stand_in), GFP_KERNEL);
	if (!stand_in)
		return -ENOMEM;
	strscpy(stand_in->name, KBUILD_MODNAME);
	stand_in->event.name = stand_in->name;
	stand_in->event.rating = STAND_IN_RATING;
	stand_in->event.features = CLOCK_EVT_FEAT_ONESHOT;
	stand_in->event.cpumask = cpu_none_mask;
	clockevents_register_device(&stand_in->event);
	return 0;
}

static void remove_stand_in(void)
{
	if (!clockevents_unbind_device(&stand_in->event, cpumask_any(cpu_online_mask)))
		kfree(stand_in);
}

/* --- coming and going --- */

/* An interrupt with a vector on that CPU, where it stays. */
static int request_vector(struct guest_timer *timer, unsigned int cpu)
{
	struct irq_alloc_info info = { .mask = cpumask_of(cpu) };
	int irq, err;

	irq = irq_domain_alloc_irqs(x86_vector_domain, 1, cpu_to_node(cpu), &info);
	if (irq < 0)
		return irq;
	irq_set_handler(irq, handle_edge_irq);
	err = irq_set_affinity(irq, cpumask_of(cpu));
	if (!err)
		err = request_irq(irq, timer_interrupt, IRQF_TIMER | IRQF_NOBALANCING,
				  KBUILD_MODNAME, timer);
	if (err) {
		irq_dispose_mapping(irq);
		return err;
	}
	timer->irq = irq;
	timer->vector = irqd_cfg(irq_get_irq_data(irq))->vector;
	return 0;
}

/* Something that deadlines of the local APIC can be taken from, and given back to. */
static bool has_deadlines(unsigned int cpu)
{
	u32 lvtt = native_apic_msr_read(APIC_LVTT);

	return cpu_physical_id(cpu) < DRAGONFLY_MAX_VCPUS &&
	       (lvtt & (APIC_LVT_TIMER_TSCDEADLINE | APIC_VECTOR_MASK)) ==
		       (APIC_LVT_TIMER_TSCDEADLINE | LOCAL_TIMER_VECTOR);
}

static int cpu_comes(unsigned int cpu)
{
	struct guest_timer *timer = per_cpu_ptr(&timers, cpu);
	int err;

	if (!has_deadlines(cpu)) {
		pr_warn("CPU %u keeps the timer that it has\n", cpu);
		return 0;
	}
	err = request_vector(timer, cpu);
	if (err)
		return err;
	timer->descriptor = &guest_area->descriptors[cpu_physical_id(cpu)];
	timer->deadline = 0;
	/* No owner: that would keep the module from going, which gives it back itself. */
	timer->event = (struct clock_event_device) {
		.name = "dragonfly",
		.rating = TIMER_RATING,
		.features = CLOCK_EVT_FEAT_ONESHOT,
		.cpumask = cpumask_of(cpu),
		.irq = timer->irq,
		.set_next_event = set_next_event,
		.set_state_oneshot = set_state_oneshot,
		.set_state_oneshot_stopped = set_state_oneshot_stopped,
		.set_state_shutdown = set_state_shutdown,
	};
	clockevents_config_and_register(&timer->event, tsc_khz * (1000 / TSC_PER_TICK), 0xf, ~0UL);
	return 0;
}

/* The kernel takes the best of the devices that are left. */
static int cpu_goes(unsigned int cpu)
{
	struct guest_timer *timer = per_cpu_ptr(&timers, cpu);
	int err;

	if (!timer->irq)
		return 0;
	err = clockevents_unbind_device(&timer->event, cpu);
	if (WARN_ON(err))
		return err;
	free_irq(timer->irq, timer);
	irq_dispose_mapping(timer->irq);
	timer->irq = 0;
	return 0;
}

int guest_timer_start(void)
{
	int ret = add_stand_in();

	if (ret)
		return ret;
	ret = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "dragonfly/timer:online", cpu_comes, cpu_goes);
	if (ret < 0) {
		remove_stand_in();
		return ret;
	}
	hotplug_state = ret;
	return 0;
}

void guest_timer_stop(void)
{
	cpuhp_remove_state(hotplug_state);
	remove_stand_in();
}
