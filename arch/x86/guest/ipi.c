// SPDX-License-Identifier: GPL-2.0-only
#include <linux/cpumask.h>
#include <linux/log2.h>
#include <linux/smp.h>
#include <linux/stop_machine.h>
#include <asm/apic.h>
#include <asm/irq_vectors.h>
#include <asm/smp.h>

#include "guest.h"

/* What the kernel did before. */
static struct smp_ops stock;

/* Returns the bit by which that CPU is notified, or 0 if somebody else does. */
static u64 post(int cpu, u8 vector)
{
	u32 id = cpu_physical_id(cpu);
	struct dragonfly_descriptor *descriptor;

	if (id >= DRAGONFLY_MAX_VCPUS) {
		apic->send_IPI(cpu, vector);
		return 0;
	}
	descriptor = &guest_area->descriptors[id];
	guest_post(descriptor, vector);
	if (test_and_set_bit(ilog2(DRAGONFLY_POSTED_ON), (unsigned long *)&descriptor->control))
		return 0;
	return BIT_ULL(id);
}

/* Those that have something posted. */
static void notify(u64 vcpus)
{
	if (vcpus)
		atomic64_or(vcpus, (atomic64_t *)&guest_area->notify);
}

static void send_reschedule(int cpu)
{
	notify(post(cpu, RESCHEDULE_VECTOR));
}

static void send_call_func_single(int cpu)
{
	notify(post(cpu, CALL_FUNCTION_SINGLE_VECTOR));
}

static void send_call_func(const struct cpumask *mask)
{
	u64 vcpus = 0;
	int cpu;

	for_each_cpu(cpu, mask)
		vcpus |= post(cpu, CALL_FUNCTION_VECTOR);
	notify(vcpus);
}

void guest_ipi_start(void)
{
	stock = smp_ops;
	WRITE_ONCE(smp_ops.smp_send_reschedule, send_reschedule);
	WRITE_ONCE(smp_ops.send_call_func_ipi, send_call_func);
	WRITE_ONCE(smp_ops.send_call_func_single_ipi, send_call_func_single);
}

static int put_back(void *unused)
{
	WRITE_ONCE(smp_ops.smp_send_reschedule, stock.smp_send_reschedule);
	WRITE_ONCE(smp_ops.send_call_func_ipi, stock.send_call_func_ipi);
	WRITE_ONCE(smp_ops.send_call_func_single_ipi, stock.send_call_func_single_ipi);
	return 0;
}

/*
 * They are called without preemption: when each CPU has come to the stopper, none is
 * in ours any more.
 */
void guest_ipi_stop(void)
{
	stop_machine(put_back, NULL, NULL);
}
