// SPDX-License-Identifier: GPL-2.0-only
#include <linux/cpu.h>
#include <linux/workqueue.h>

#include "x86.h"

/**
 * struct vmx_cpu - VMX on one CPU; its own, with interrupts off
 * @region: for VMXON
 * @loaded: vCPUs whose VMCS is active here
 * @on: in VMX operation; where that is brief, whenever a VMCS is used
 * @stale: it has to be flushed first, what it remembers of any guest's memory
 */
struct vmx_cpu {
	struct vmx_region *region;
	struct list_head loaded;
	bool on, stale;
};

static DEFINE_PER_CPU(struct vmx_cpu, vmx_cpu);
DEFINE_PER_CPU(struct vmx_region *, vmx_current);

/* How long VMX stays on after the last VM. */
#define LEAVE_DELAY	(HZ / 10)

/* Guards @users, @is_on and @has_left; taken inside cpus_read_lock(). */
static DEFINE_MUTEX(users_lock);
static unsigned int users;
static bool is_on;
static bool has_left;

static atomic_t active = ATOMIC_INIT(0);

int df_arch_active_vcpus(void)
{
	return atomic_read(&active);
}

static void flush_stale(struct vmx_cpu *this)
{
	if (this->stale)
		vmx_invept(VMX_EPT_EXTENT_GLOBAL, 0);
	this->stale = false;
}

static int cpu_enable(void)
{
	struct vmx_cpu *this = this_cpu_ptr(&vmx_cpu);
	int err;

	lockdep_assert_irqs_disabled();
	if (this->on)
		return 0;
	err = vmx_enter_operation(this->region);
	if (err)
		return err;
	/* What an earlier owner of VMX left in the TLB under the same tags. */
	this->stale = true;
	flush_stale(this);
	if (df_host_vmx_is_brief())
		vmx_leave_operation();
	INIT_LIST_HEAD(&this->loaded);
	this_cpu_write(vmx_current, NULL);
	this->on = true;
	return 0;
}

static void clear_vmcs(struct df_vcpu *vcpu)
{
	/* Where VMX is brief, that was done when it was last used. */
	if (!df_host_vmx_is_brief())
		WARN_ON_ONCE(vmclear(__pa(vcpu->vmcs)));
	if (vmx_is_current(vcpu))
		this_cpu_write(vmx_current, NULL);
	list_del(&vcpu->loaded);
	atomic_dec(&active);
	vcpu->launched = false;
	/* Pairs with vmx_load(): whoever sees -1 may activate it elsewhere. */
	smp_store_release(&vcpu->cpu, -1);
}

static void cpu_disable(void *unused)
{
	struct vmx_cpu *this = this_cpu_ptr(&vmx_cpu);
	struct df_vcpu *vcpu, *next;

	lockdep_assert_irqs_disabled();
	if (!this->on)
		return;
	list_for_each_entry_safe(vcpu, next, &this->loaded, loaded)
		clear_vmcs(vcpu);
	if (!df_host_vmx_is_brief())
		vmx_leave_operation();
	this->on = false;
}

static void enable_this(void *err)
{
	int ret = cpu_enable();

	if (ret)
		atomic_cmpxchg((atomic_t *)err, 0, ret);
}

/*
 * The host goes down, perhaps in the middle of anything: no lock, no list is
 * changed, nothing is freed. What is not cleared would be written back into the
 * next kernel's memory.
 */
static void emergency_leave(void)
{
	struct vmx_cpu *this = this_cpu_ptr(&vmx_cpu);
	struct df_vcpu *vcpu;

	if (!this->on)
		return;
	list_for_each_entry(vcpu, &this->loaded, loaded)
		vmclear(__pa(vcpu->vmcs));
	vmxoff();
}

static int leave_here(void *unused)
{
	guard(irqsave)();
	cpu_disable(NULL);
	return 0;
}

/*
 * The host shuts down, in order: VMs stay, and do not run again. Not by an
 * interrupt, which could come while a VMCS is in use: a worker has its turn only
 * when the vCPU's thread has given way.
 */
static void leave_for_good(void)
{
	int cpu;

	guard(cpus_read_lock)();
	scoped_guard(mutex, &users_lock)
		has_left = true;
	for_each_online_cpu(cpu)
		smp_call_on_cpu(cpu, leave_here, NULL, false);
}

static int enable_all(void)
{
	atomic_t failed = ATOMIC_INIT(0);
	/* First the callbacks: a crash in the middle finds what is on already. */
	int err = df_host_vmx_begin(emergency_leave, leave_for_good);

	if (err)
		return err;
	on_each_cpu(enable_this, &failed, 1);
	err = atomic_read(&failed);
	if (err) {
		on_each_cpu(cpu_disable, NULL, 1);
		df_host_vmx_end();
	}
	return err;
}

int vmx_get(void)
{
	int err = 0;

	guard(cpus_read_lock)();
	guard(mutex)(&users_lock);
	if (has_left)
		return -EBUSY;
	if (!is_on)
		err = enable_all();
	if (!err) {
		is_on = true;
		users++;
	}
	return err;
}

static void leave_all(struct work_struct *unused)
{
	guard(cpus_read_lock)();
	guard(mutex)(&users_lock);
	if (users || !is_on)
		return;
	on_each_cpu(cpu_disable, NULL, 1);
	df_host_vmx_end();
	is_on = false;
}

static DECLARE_DELAYED_WORK(leave_work, leave_all);

/*
 * The host has to wait for RCU before it forgets our emergency callback: whoever
 * destroys the last VM does not, and whoever creates and destroys many has VMX
 * on all the while.
 */
void vmx_put(void)
{
	guard(mutex)(&users_lock);
	if (!--users)
		schedule_delayed_work(&leave_work, LEAVE_DELAY);
}

void vmx_exit(void)
{
	flush_delayed_work(&leave_work);
}

/* CPU hotplug holds the lock that keeps vmx_get() and vmx_put() away. */
int vmx_cpu_online(void)
{
	int err;

	this_cpu_write(vmx_cpu.region, vmx_region_alloc(numa_node_id()));
	if (!this_cpu_read(vmx_cpu.region))
		return -ENOMEM;
	if (!is_on || has_left)
		return 0;
	scoped_guard(irqsave)
		err = cpu_enable();
	if (err)
		vmx_cpu_offline();
	return err;
}

void vmx_cpu_offline(void)
{
	scoped_guard(irqsave)
		cpu_disable(NULL);
	free_page((unsigned long)this_cpu_read(vmx_cpu.region));
	this_cpu_write(vmx_cpu.region, NULL);
}

static void clear_here(void *data)
{
	struct df_vcpu *vcpu = data;

	/* CPU hotplug may have been faster. */
	if (vcpu->cpu == smp_processor_id())
		clear_vmcs(vcpu);
}

static void make_current(struct df_vcpu *vcpu, bool clear)
{
	if (clear)
		WARN_ON_ONCE(vmclear(__pa(vcpu->vmcs)));
	WARN_ON_ONCE(vmptrld(__pa(vcpu->vmcs)));
}

/*
 * Two CPUs may ask each other at once: interrupts are on while they wait, so
 * that both are served. The vCPU's lock keeps a third one out.
 */
int vmx_load(struct df_vcpu *vcpu)
{
	struct vmx_cpu *this = this_cpu_ptr(&vmx_cpu);
	/* Pairs with clear_vmcs(). */
	int cpu = smp_load_acquire(&vcpu->cpu);
	bool moved = cpu != smp_processor_id();

	if (moved && cpu >= 0)
		smp_call_function_single(cpu, clear_here, vcpu, 1);

	guard(irqsave)();
	if (!this->on)
		return -EIO;
	if (!vmx_is_current(vcpu)) {
		if (!df_host_vmx_is_brief())
			make_current(vcpu, moved);
		this_cpu_write(vmx_current, vcpu->vmcs);
		/* One thread may run guests that do not trust each other. */
		indirect_branch_prediction_barrier();
	}
	if (moved) {
		list_add(&vcpu->loaded, &this->loaded);
		atomic_inc(&active);
		vcpu->launched = false;
		/* Pairs with vmx_unload() on another CPU: the list first. */
		smp_store_release(&vcpu->cpu, smp_processor_id());
	}
	return moved;
}

void vmx_unload(struct df_vcpu *vcpu)
{
	/* Pairs with clear_vmcs() and vmx_load(). */
	int cpu = smp_load_acquire(&vcpu->cpu);

	if (cpu >= 0)
		smp_call_function_single(cpu, clear_here, vcpu, 1);
}

int vmx_open_briefly(struct df_vcpu *vcpu)
{
	struct vmx_cpu *this = this_cpu_ptr(&vmx_cpu);
	int err;

	local_irq_disable();
	err = vmx_enter_operation(this->region);
	if (err) {
		/* The next one to load it writes the host's state, which is the caller's next. */
		clear_vmcs(vcpu);
		local_irq_enable();
		return err;
	}
	flush_stale(this);
	make_current(vcpu, true);
	vcpu->launched = false;
	return 0;
}

void vmx_close_briefly(void)
{
	WARN_ON_ONCE(vmclear(__pa(this_cpu_read(vmx_current))));
	vmx_leave_operation();
}

static void flush_here(void *eptp)
{
	if (df_host_vmx_is_brief())
		this_cpu_write(vmx_cpu.stale, true);
	else if (this_cpu_read(vmx_cpu.on))
		vmx_invept(VMX_EPT_EXTENT_CONTEXT, *(u64 *)eptp);
}

/* Guests that run leave for a moment. */
void df_arch_flush(struct df_vm *vm)
{
	u64 eptp = mapping_pointer(vm);

	/* Pairs with the barrier where a vCPU comes to a CPU. */
	smp_mb();
	on_each_cpu_mask(&vm->arch.cpus, flush_here, &eptp, 1);
}
