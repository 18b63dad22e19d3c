// SPDX-License-Identifier: GPL-2.0-only
#include <linux/io.h>

#include "x86.h"

/**
 * struct bypass_cpu - who is woken by a notification on a CPU
 * @lock: guards @waiting; taken by the handler, and from other CPUs
 * @waiting: vCPUs, by df_lapic.waiting
 */
struct bypass_cpu {
	raw_spinlock_t lock;
	struct hlist_head waiting;
};

static DEFINE_PER_CPU(struct bypass_cpu, bypass_cpu) = {
	.lock = __RAW_SPIN_LOCK_UNLOCKED(bypass_cpu.lock),
};

/* ---- vCPUs that wait ------------------------------------------------------------------ */

/* Of whom the notification tells: of anybody here. Interrupts are off. */
static void wake_posted(void)
{
	struct bypass_cpu *here = this_cpu_ptr(&bypass_cpu);
	struct df_vcpu *vcpu;

	raw_spin_lock(&here->lock);
	hlist_for_each_entry(vcpu, &here->waiting, lapic.waiting)
		if (posted_pending(vcpu))
			posted_wake(vcpu);
	raw_spin_unlock(&here->lock);
}

/* Its threads are elsewhere by now, or go there when they are woken. */
void bypass_cpu_offline(void)
{
	struct bypass_cpu *here = this_cpu_ptr(&bypass_cpu);
	struct df_vcpu *vcpu;

	raw_spin_lock_irq(&here->lock);
	hlist_for_each_entry(vcpu, &here->waiting, lapic.waiting)
		posted_wake(vcpu);
	raw_spin_unlock_irq(&here->lock);
}

static void leave(struct df_vcpu *vcpu)
{
	struct bypass_cpu *there = vcpu->lapic.waits_on;

	raw_spin_lock_irq(&there->lock);
	hlist_del(&vcpu->lapic.waiting);
	raw_spin_unlock_irq(&there->lock);
}

/*
 * On the list before the descriptor says so: whoever is notified by it finds the
 * vCPU there. One whose handler has run between leave() and here has set ON
 * before, and that is still to be looked at.
 */
void bypass_wait(struct df_vcpu *vcpu)
{
	struct bypass_cpu *here;

	guard(preempt)();
	here = this_cpu_ptr(&bypass_cpu);
	if (vcpu->lapic.waits_on == here)
		return;
	if (vcpu->lapic.waits_on)
		leave(vcpu);
	vcpu->lapic.waits_on = here;
	raw_spin_lock_irq(&here->lock);
	hlist_add_head(&vcpu->lapic.waiting, &here->waiting);
	raw_spin_unlock_irq(&here->lock);
	posted_notify_by(vcpu, POSTED_INTR_WAKEUP_VECTOR, smp_processor_id());
}

/*
 * Back to the CPU that the VMCS is on: the vCPU may go on there, and then nobody
 * writes NDST. If it goes on elsewhere, posted_on_cpu() does.
 */
void bypass_wait_end(struct df_vcpu *vcpu)
{
	int cpu = READ_ONCE(vcpu->cpu);

	if (likely(!vcpu->lapic.waits_on))
		return;
	leave(vcpu);
	vcpu->lapic.waits_on = NULL;
	posted_notify_by(vcpu, POSTED_INTR_VECTOR, cpu >= 0 ? cpu : raw_smp_processor_id());
}

/* ---- devices ----------------------------------------------------------------------------- */

/*
 * A vCPU that has looked at @bypass too early waits without being on a list: it
 * is woken to look again, and at ON, which may have been set since. The barrier
 * between the two is rcuwait_wake_up()'s, and pairs with that of halt_wait().
 */
int bypass_begin(struct df_vm *vm)
{
	struct df_vcpu *vcpu;
	int err;

	lockdep_assert_held(&vm->irq.lock);
	if (vm->arch.bypass)
		return 0;
	/* Its guest could write NV and NDST. */
	if (vm->arch.area)
		return -EBUSY;
	err = df_host_post_get(wake_posted);
	if (err)
		return err;
	WRITE_ONCE(vm->arch.bypass, true);
	for_each_df_vcpu(n, vcpu, vm)
		posted_wake(vcpu);
	return 0;
}

int df_arch_irq_bypass(struct df_vm *vm, unsigned int host_irq, const struct msi_msg *msi)
{
	struct df_vcpu *target = msi ? delivery_single(vm, msi) : NULL;
	int err;

	if (!target)
		return df_host_post_end(host_irq);
	err = bypass_begin(vm);
	if (err)
		return err;
	return df_host_post(host_irq, virt_to_phys(target->lapic.pi),
			    msi->data & APIC_VECTOR_MASK);
}
