// SPDX-License-Identifier: GPL-2.0-only
#include <linux/topology.h>

#include "x86.h"

/* Whose a CPU is; a vCPU has one at most. */
static DEFINE_PER_CPU(struct df_vcpu *, owner);
static DEFINE_RAW_SPINLOCK(owners);

/* Those of notifiers. */
static struct cpumask reserved;

int dedicated_enable(struct df_vm *vm)
{
	guard(mutex)(&vm->lock);
	if (vm->vcpus[0])
		return -EINVAL;
	vm->arch.dedicated = true;
	vm->arch.disabled_exits |= KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE;
	return 0;
}

/* Threads of a core share what is in its caches: they are one VM's. */
static bool is_free(const struct df_vcpu *vcpu, int cpu)
{
	int thread;

	if (cpumask_test_cpu(cpu, &reserved))
		return false;
	for_each_cpu(thread, topology_sibling_cpumask(cpu)) {
		const struct df_vcpu *other = per_cpu(owner, thread);

		if (other && other != vcpu && (thread == cpu || other->vm != vcpu->vm))
			return false;
	}
	return true;
}

static void give_up(struct df_vcpu *vcpu)
{
	if (vcpu->own_cpu >= 0)
		per_cpu(owner, vcpu->own_cpu) = NULL;
	WRITE_ONCE(vcpu->own_cpu, -1);
}

int dedicated_claim(struct df_vcpu *vcpu)
{
	int cpu = smp_processor_id(), err = -EBUSY;

	if (likely(READ_ONCE(vcpu->own_cpu) == cpu))
		return 0;
	if (current->nr_cpus_allowed != 1)
		return -EINVAL;
	raw_spin_lock(&owners);
	if (is_free(vcpu, cpu)) {
		give_up(vcpu);
		per_cpu(owner, cpu) = vcpu;
		WRITE_ONCE(vcpu->own_cpu, cpu);
		deadline_on_cpu(vcpu);
		err = 0;
	}
	raw_spin_unlock(&owners);
	return err;
}

void dedicated_release(struct df_vcpu *vcpu)
{
	raw_spin_lock(&owners);
	give_up(vcpu);
	raw_spin_unlock(&owners);
}

int dedicated_reserve(int cpu)
{
	bool taken;

	raw_spin_lock(&owners);
	taken = per_cpu(owner, cpu);
	if (!taken)
		cpumask_set_cpu(cpu, &reserved);
	raw_spin_unlock(&owners);
	return taken ? -EBUSY : 0;
}

void dedicated_unreserve(int cpu)
{
	raw_spin_lock(&owners);
	cpumask_clear_cpu(cpu, &reserved);
	raw_spin_unlock(&owners);
}

void dedicated_cpu_offline(unsigned int cpu)
{
	raw_spin_lock(&owners);
	if (per_cpu(owner, cpu))
		give_up(per_cpu(owner, cpu));
	raw_spin_unlock(&owners);
}
