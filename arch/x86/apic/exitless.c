// SPDX-License-Identifier: GPL-2.0-only
#include <linux/dragonfly.h>
#include <linux/dragonfly_para.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <asm/mwait.h>
#include <trace/events/ipi.h>

#include "x86.h"

static_assert(sizeof(struct dragonfly_descriptor) == sizeof(struct pi_desc));
static_assert(sizeof(struct dragonfly_area) == 2 * PAGE_SIZE);
static_assert(DRAGONFLY_MAX_VCPUS >= DF_MAX_VCPUS);

/**
 * struct notifier - of a CPU: one thread for all VMs that want one there
 * @thread: runs while there are users
 * @users: VMs that are among @vms, or about to be
 * @cpu: whose
 * @dozes: it can wait for a word to be written
 * @lock: guards @vms
 * @vms: by df_vm_arch.notified
 */
struct notifier {
	struct task_struct *thread;
	unsigned int users, cpu;
	bool dozes;
	raw_spinlock_t lock;
	struct list_head vms;
};

static DEFINE_PER_CPU(struct notifier, notifiers);
static DEFINE_MUTEX(notifiers_lock);	/* guards their threads and users */

/* ---- the notifier's thread ---------------------------------------------------------- */

static bool serve_vm(struct df_vm *vm)
{
	u64 *notify = &vm->arch.area->notify, ids;

	if (!READ_ONCE(*notify))
		return false;
	/* A full barrier: what was posted before it is there before the vCPU is looked for. */
	ids = xchg(notify, 0);
	while (ids) {
		struct df_vcpu *vcpu = delivery_find(vm, __ffs64(ids));

		if (vcpu)
			posted_notify(vcpu);
		ids &= ids - 1;
	}
	return true;
}

/* And is told of it whoever writes. */
static bool can_doze(void)
{
	return boot_cpu_has(X86_FEATURE_MWAIT) && cpuid_ecx(5) & CPUID5_ECX_INTERRUPT_BREAK &&
	       !boot_cpu_has_bug(X86_BUG_MONITOR) && !boot_cpu_has_bug(X86_BUG_CLFLUSH_MONITOR);
}

static bool is_at_home(const struct notifier *n)
{
	return raw_smp_processor_id() == n->cpu;
}

/*
 * One VM at a time, so that each waits for no more than one round of the others. An only
 * one is waited for by MWAIT: a change of the list, which must not wait, comes with
 * an interrupt. Of its word nothing is read when the lock is gone.
 */
static void serve_next(struct notifier *n)
{
	struct df_vm *vm;
	bool doze = false;

	raw_spin_lock_irq(&n->lock);
	vm = list_first_entry_or_null(&n->vms, struct df_vm, arch.notified);
	if (vm && !serve_vm(vm) && list_is_singular(&n->vms) && n->dozes && is_at_home(n)) {
		__monitor(&vm->arch.area->notify, 0, 0);
		doze = !READ_ONCE(vm->arch.area->notify) && !need_resched();
	} else {
		list_rotate_left(&n->vms);
	}
	raw_spin_unlock(&n->lock);
	if (doze)
		__mwait(0, MWAIT_ECX_INTERRUPT_BREAK);
	local_irq_enable();
}

/*
 * If its CPU goes offline it has to be elsewhere, where it takes no more than a look a
 * tick, until that is back.
 */
static int serve(void *arg)
{
	struct notifier *n = arg;

	while (!kthread_should_stop()) {
		serve_next(n);
		if (unlikely(!is_at_home(n))) {
			schedule_timeout_idle(1);
			set_cpus_allowed_ptr(current, cpumask_of(n->cpu));
		}
		cond_resched_tasks_rcu_qs();
		cpu_relax();
	}
	return 0;
}

/* ---- whom it serves ----------------------------------------------------------------- */

static int start(struct notifier *n, unsigned int cpu)
{
	struct task_struct *thread;
	int err = dedicated_reserve(cpu);

	if (err)
		return err;
	n->cpu = cpu;
	n->dozes = can_doze();
	raw_spin_lock_init(&n->lock);
	INIT_LIST_HEAD(&n->vms);
	thread = kthread_create_on_cpu(serve, n, cpu, "dragonfly/%u");
	if (IS_ERR(thread)) {
		dedicated_unreserve(cpu);
		return PTR_ERR(thread);
	}
	n->thread = thread;
	wake_up_process(thread);
	return 0;
}

static int notifier_get(unsigned int cpu)
{
	struct notifier *n = per_cpu_ptr(&notifiers, cpu);
	int err = 0;

	guard(mutex)(&notifiers_lock);
	if (!n->users)
		err = start(n, cpu);
	if (!err)
		n->users++;
	return err;
}

static void notifier_put(unsigned int cpu)
{
	struct notifier *n = per_cpu_ptr(&notifiers, cpu);

	guard(mutex)(&notifiers_lock);
	if (--n->users)
		return;
	kthread_stop(n->thread);
	dedicated_unreserve(cpu);
}

static void change(struct df_vm *vm, bool add)
{
	unsigned int cpu = vm->arch.notifier;
	struct notifier *n = per_cpu_ptr(&notifiers, cpu);

	raw_spin_lock_irq(&n->lock);
	if (add)
		list_add_tail(&vm->arch.notified, &n->vms);
	else
		list_del(&vm->arch.notified);
	raw_spin_unlock_irq(&n->lock);
	/* If it dozes, it is to look at the list. */
	guard(cpus_read_lock)();
	if (cpu_online(cpu))
		smp_send_reschedule(cpu);
}

/* ---- the area ------------------------------------------------------------------------- */

static bool is_valid(u64 flags, u64 cpu)
{
	if (!(flags & DRAGONFLY_EXITLESS_TIMER) ||
	    flags & ~(u64)(DRAGONFLY_EXITLESS_TIMER | DRAGONFLY_EXITLESS_IPI))
		return false;
	return flags & DRAGONFLY_EXITLESS_IPI ? cpu < nr_cpu_ids && cpu_online(cpu) : !cpu;
}

/*
 * From here on VT-d is refused, or it was there before. User space may map the area at
 * once: nothing fails behind this.
 */
static int show(struct df_vm *vm)
{
	struct dragonfly_area *area;

	guard(mutex)(&vm->irq.lock);
	if (vm->arch.bypass)
		return -EBUSY;
	area = alloc_pages_exact(sizeof(*area), GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!area)
		return -ENOMEM;
	WRITE_ONCE(vm->arch.area, area);
	return 0;
}

static int show_notified(struct df_vm *vm, unsigned int cpu)
{
	int err = notifier_get(cpu);

	if (err)
		return err;
	err = show(vm);
	if (err) {
		notifier_put(cpu);
		return err;
	}
	vm->arch.notifier = cpu;
	change(vm, true);
	return 0;
}

int exitless_enable(struct df_vm *vm, u64 flags, u64 cpu)
{
	guard(mutex)(&vm->lock);
	if (!is_valid(flags, cpu) || vm->vcpus[0] || !vm->arch.dedicated || !vm->arch.irqchip)
		return -EINVAL;
	if (vm->arch.area)
		return -EEXIST;
	/* That one may keep busy who may run there himself. */
	if (flags & DRAGONFLY_EXITLESS_IPI && !cpumask_test_cpu(cpu, current->cpus_ptr))
		return -EPERM;
	return flags & DRAGONFLY_EXITLESS_IPI ? show_notified(vm, cpu) : show(vm);
}

void exitless_stop(struct df_vm *vm)
{
	if (vm->arch.notifier < 0)
		return;
	change(vm, false);
	notifier_put(vm->arch.notifier);
}

/* Nobody has it mapped: that holds the VM's file. */
void exitless_destroy(struct df_vm *vm)
{
	if (vm->arch.area)
		free_pages_exact(vm->arch.area, sizeof(*vm->arch.area));
}

int df_arch_vm_mmap(const struct df_vm *vm, struct vm_area_struct *vma)
{
	struct dragonfly_area *area = READ_ONCE(vm->arch.area);

	if (!area)
		return -ENODEV;
	if (vma->vm_pgoff || vma->vm_end - vma->vm_start != sizeof(*area) ||
	    !(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	return remap_pfn_range(vma, vma->vm_start, PHYS_PFN(virt_to_phys(area)), sizeof(*area),
			       vma->vm_page_prot);
}

struct pi_desc *exitless_descriptor(const struct df_vcpu *vcpu)
{
	struct dragonfly_area *area = vcpu->vm->arch.area;

	return area ? (struct pi_desc *)&area->descriptors[vcpu->id] : NULL;
}
