// SPDX-License-Identifier: GPL-2.0-only
/*
 * The architecture's ioctls, and the capabilities that tell of them.
 */
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/tsc.h>

#include "apic/lapic.h"
#include "arch.h"
#include "clock.h"
#include "cpuid.h"
#include "debug.h"
#include "events.h"
#include "fpu.h"
#include "halt.h"
#include "mapping.h"
#include "memory.h"
#include "msr.h"
#include "msr_filter.h"
#include "state.h"
#include "routing.h"
#include "tsc.h"
#include "vcpu.h"
#include "vm.h"
#include "vmx/vmcs.h"

#define APIC_GFN	(APIC_DEFAULT_PHYS_BASE >> PAGE_SHIFT)
#define MIN_MMU_PAGES	64	/* as KVM */
#define X2APIC_API	(KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)

long df_arch_check_extension(unsigned long capability)
{
	switch (capability) {
	case KVM_CAP_VCPU_EVENTS:
	case KVM_CAP_DEBUGREGS:
	case KVM_CAP_XSAVE:
	case KVM_CAP_XCRS:
	case KVM_CAP_SREGS2:
	case KVM_CAP_GET_MSR_FEATURES:
	case KVM_CAP_GET_TSC_KHZ:
	case KVM_CAP_VCPU_ATTRIBUTES:
	case KVM_CAP_SET_GUEST_DEBUG:
	case KVM_CAP_X86_ROBUST_SINGLESTEP:
	case KVM_CAP_KVMCLOCK_CTRL:
	case KVM_CAP_ENABLE_CAP:
	case KVM_CAP_ENFORCE_PV_FEATURE_CPUID:
	case KVM_CAP_IRQCHIP:
	case KVM_CAP_SPLIT_IRQCHIP:
	case KVM_CAP_USER_NMI:
	case KVM_CAP_SET_BOOT_CPU_ID:
	case KVM_CAP_TSC_DEADLINE_TIMER:
	case KVM_CAP_X86_APIC_BUS_CYCLES_NS:
	case KVM_CAP_MSR_PLATFORM_INFO:
	case KVM_CAP_X86_MSR_FILTER:
	case KVM_CAP_EXIT_ON_EMULATION_FAILURE:
		return 1;
	case KVM_CAP_X86_DISABLE_EXITS:
		return vmcs_disabled_exits();
	case KVM_CAP_X2APIC_API:
		return X2APIC_API;
	case KVM_CAP_TSC_CONTROL:
		return tsc_can_scale();
	case KVM_CAP_VM_TSC_CONTROL:
		return tsc_can_scale();
	case KVM_CAP_XSAVE2:
		return fpu_xsave_size();
	case KVM_CAP_ADJUST_CLOCK:
		return CLOCK_FLAGS;
	case KVM_CAP_SET_GUEST_DEBUG2:
		return debug_guest_debug_flags();
	case KVM_CAP_X86_USER_SPACE_MSR:
		return msr_user_reasons();
	default:
		return 0;
	}
}

/* ---- what has to be said before there are vCPUs -------------------------------------- */

bool df_arch_has_irqchip(const struct df_vm *vm)
{
	return READ_ONCE(vm->arch.irqchip);
}

bool df_arch_memory_reserved(const struct df_vm *vm, u64 gfn, u64 pages)
{
	return df_arch_has_irqchip(vm) && APIC_GFN - gfn < pages;
}

u32 df_arch_max_vcpu_id(const struct df_vm *vm)
{
	lockdep_assert_held(&vm->lock);
	return vm->arch.max_vcpu_id;
}

/* The pins are of user space's IOAPIC: it hears of their EOIs. */
static int create_irqchip(struct df_vm *vm, bool split, u32 pins, int has_vcpus)
{
	guard(rwsem_write)(&vm->memory_lock);
	guard(mutex)(&vm->lock);
	if (vm->arch.irqchip)
		return -EEXIST;
	if (vm->vcpus[0])
		return has_vcpus;
	if (df_memory_slot(vm, APIC_GFN))
		return -EEXIST;
	vm->irq.pins = pins;
	vm->arch.split = split;
	WRITE_ONCE(vm->arch.irqchip, true);
	return 0;
}

static int set_boot_cpu(struct df_vm *vm, u64 id)
{
	guard(mutex)(&vm->lock);
	if (vm->vcpus[0])
		return -EBUSY;
	if (id > vm->arch.max_vcpu_id)
		return -EINVAL;
	vm->arch.boot_cpu = id;
	return 0;
}

static int set_max_vcpu_id(struct df_vm *vm, u64 max)
{
	guard(mutex)(&vm->lock);
	if (max > DF_MAX_VCPU_ID || max < vm->arch.boot_cpu || vm->vcpus[0])
		return -EINVAL;
	if (vm->arch.max_vcpu_id == max)
		return 0;
	if (!max || vm->arch.max_vcpu_id != DF_MAX_VCPU_ID)
		return -EINVAL;
	vm->arch.max_vcpu_id = max;
	return 0;
}

static int set_x2apic_api(struct df_vm *vm, u64 flags)
{
	if (flags & ~(u64)X2APIC_API)
		return -EINVAL;
	guard(mutex)(&vm->lock);
	WRITE_ONCE(vm->arch.x2apic_api, vm->arch.x2apic_api | flags);
	return 0;
}

/* The longest count has to be a number, as in KVM. */
static int set_bus_cycle(struct df_vm *vm, u64 ns)
{
	if (!ns || ns > U64_MAX / (128ULL * U32_MAX))
		return -EINVAL;
	guard(mutex)(&vm->lock);
	if (!vm->arch.irqchip)
		return -ENXIO;
	if (vm->vcpus[0])
		return -EINVAL;
	vm->arch.bus_cycle_ns = ns;
	return 0;
}

static int disable_exits(struct df_vm *vm, u64 exits)
{
	if (exits & ~vmcs_disabled_exits())
		return -EINVAL;
	guard(mutex)(&vm->lock);
	WRITE_ONCE(vm->arch.disabled_exits, vm->arch.disabled_exits | exits);
	return 0;
}

int df_arch_enable_cap(struct df_vm *vm, const struct kvm_enable_cap *cap)
{
	switch (cap->cap) {
	case KVM_CAP_SPLIT_IRQCHIP:
		if (cap->args[0] > DF_MAX_ROUTES)
			return -EINVAL;
		return create_irqchip(vm, true, cap->args[0], -EEXIST);
	case KVM_CAP_X2APIC_API:
		return set_x2apic_api(vm, cap->args[0]);
	case KVM_CAP_MAX_VCPU_ID:
		return set_max_vcpu_id(vm, cap->args[0]);
	case KVM_CAP_X86_APIC_BUS_CYCLES_NS:
		return set_bus_cycle(vm, cap->args[0]);
	case KVM_CAP_X86_USER_SPACE_MSR:
		if (cap->args[0] & ~msr_user_reasons())
			return -EINVAL;
		WRITE_ONCE(vm->arch.user_msrs, cap->args[0]);
		return 0;
	case KVM_CAP_X86_DISABLE_EXITS:
		return disable_exits(vm, cap->args[0]);
	case KVM_CAP_MSR_PLATFORM_INFO:
		WRITE_ONCE(vm->arch.no_platform_info, !cap->args[0]);
		return 0;
	case KVM_CAP_EXIT_ON_EMULATION_FAILURE:
		return cap->args[0] & ~1ULL ? -EINVAL : 0;	/* it does anyway */
	default:
		return -EINVAL;
	}
}

long df_arch_device_ioctl(unsigned int cmd, unsigned long arg)
{
	void __user *user = (void __user *)arg;

	switch (cmd) {
	case KVM_GET_SUPPORTED_CPUID:		return cpuid_get_supported(user);
	case KVM_GET_MSR_INDEX_LIST:		return msr_get_list(user);
	case KVM_GET_MSR_FEATURE_INDEX_LIST:	return msr_get_feature_list(user);
	case KVM_GET_MSRS:			return msr_get_features(user);
	default:				return -ENOTTY;
	}
}

static long get_clock(struct df_vm *vm, void __user *user)
{
	struct kvm_clock_data data;

	clock_get(vm, &data);
	return copy_to_user(user, &data, sizeof(data)) ? -EFAULT : 0;
}

static long set_clock(struct df_vm *vm, void __user *user)
{
	struct kvm_clock_data data;

	return copy_from_user(&data, user, sizeof(data)) ? -EFAULT : clock_set(vm, &data);
}

static long set_msr_filter(struct df_vm *vm, void __user *user)
{
	struct kvm_msr_filter filter;

	return copy_from_user(&filter, user, sizeof(filter)) ? -EFAULT :
							       msr_filter_set(vm, &filter);
}

long df_arch_vm_ioctl(struct df_vm *vm, unsigned int cmd, unsigned long arg)
{
	switch (cmd) {
	case KVM_GET_TSC_KHZ:
		return READ_ONCE(vm->arch.tsc_khz) ?: tsc_khz;
	case KVM_SET_TSC_KHZ:
		return tsc_set_default_khz(vm, arg);
	case KVM_GET_CLOCK:
		return get_clock(vm, (void __user *)arg);
	case KVM_SET_CLOCK:
		return set_clock(vm, (void __user *)arg);
	case KVM_CREATE_IRQCHIP:
		return create_irqchip(vm, false, 0, -EINVAL);
	case KVM_SET_BOOT_CPU_ID:
		return set_boot_cpu(vm, arg);
	case KVM_X86_SET_MSR_FILTER:
		return set_msr_filter(vm, (void __user *)arg);
	case KVM_SET_NR_MMU_PAGES:
		return arg < MIN_MMU_PAGES ? -EINVAL : 0;	/* there are no shadow pages */
	case KVM_GET_IRQCHIP:
	case KVM_SET_IRQCHIP:
		return -ENXIO;	/* no PIC, and the IOAPIC is user space's */
	default:
		return -ENOTTY;
	}
}

/* ---- of a vCPU, with its lock held -------------------------------------------------- */

/*
 * An ioctl that gives or takes a structure of fixed size has it copied here, so
 * that its handler sees kernel memory only.
 */
static long get_regs(struct df_vcpu *vcpu, void *regs)
{
	state_get_regs(vcpu, regs);
	return 0;
}

static long set_regs(struct df_vcpu *vcpu, void *regs)
{
	state_set_regs(vcpu, regs);
	return 0;
}

/* kvm_sregs begins as kvm_sregs2 does, and has a bitmap at its end. */
#define SREGS_COMMON	offsetof(struct kvm_sregs, interrupt_bitmap)

static_assert(offsetof(struct kvm_sregs2, flags) == SREGS_COMMON);

/* The bitmap has the one interrupt that is on its way in. */
static long get_sregs(struct df_vcpu *vcpu, void *arg)
{
	struct kvm_sregs *sregs = arg;
	struct kvm_vcpu_events events;
	struct kvm_sregs2 full;
	int err;

	err = state_get_sregs(vcpu, &full);
	if (!err)
		err = events_get(vcpu, &events);
	if (err)
		return err;
	memset(sregs, 0, sizeof(*sregs));
	memcpy(sregs, &full, SREGS_COMMON);
	if (events.interrupt.injected)
		__set_bit(events.interrupt.nr, (unsigned long *)sregs->interrupt_bitmap);
	return 0;
}

static long set_sregs(struct df_vcpu *vcpu, void *arg)
{
	const struct kvm_sregs *sregs = arg;
	struct kvm_sregs2 full = {};
	unsigned int vector;
	long err;

	memcpy(&full, sregs, SREGS_COMMON);
	err = state_set_sregs(vcpu, &full);
	if (err)
		return err;
	vector = find_first_bit((const unsigned long *)sregs->interrupt_bitmap,
				KVM_NR_INTERRUPTS);
	if (vector < KVM_NR_INTERRUPTS)
		events_interrupt(&vcpu->arch, vector);
	return 0;
}

static long get_sregs2(struct df_vcpu *vcpu, void *sregs)
{
	return state_get_sregs(vcpu, sregs);
}

static long set_sregs2(struct df_vcpu *vcpu, void *sregs)
{
	return state_set_sregs(vcpu, sregs);
}

static long get_fpu(struct df_vcpu *vcpu, void *fpu)
{
	fpu_get(&vcpu->arch, fpu);
	return 0;
}

static long set_fpu(struct df_vcpu *vcpu, void *fpu)
{
	return fpu_set(&vcpu->arch, fpu);
}

static long get_xcrs(struct df_vcpu *vcpu, void *xcrs)
{
	fpu_get_xcrs(&vcpu->arch, xcrs);
	return 0;
}

static long set_xcrs(struct df_vcpu *vcpu, void *xcrs)
{
	return fpu_set_xcrs(&vcpu->arch, xcrs);
}

static long get_debugregs(struct df_vcpu *vcpu, void *regs)
{
	debug_get(&vcpu->arch, regs);
	return 0;
}

static long set_debugregs(struct df_vcpu *vcpu, void *regs)
{
	return debug_set(&vcpu->arch, regs);
}

static long set_guest_debug(struct df_vcpu *vcpu, void *debug)
{
	return debug_set_guest_debug(vcpu, debug);
}

static long get_events(struct df_vcpu *vcpu, void *events)
{
	return events_get(vcpu, events);
}

static long set_events(struct df_vcpu *vcpu, void *events)
{
	return events_set(vcpu, events);
}

static long get_mp_state(struct df_vcpu *vcpu, void *state)
{
	return halt_get_state(vcpu, state);
}

static long set_mp_state(struct df_vcpu *vcpu, void *state)
{
	return halt_set_state(vcpu, state);
}

static long get_lapic(struct df_vcpu *vcpu, void *state)
{
	return lapic_get_state(vcpu, state);
}

static long set_lapic(struct df_vcpu *vcpu, void *state)
{
	return lapic_set_state(vcpu, state);
}

static long interrupt(struct df_vcpu *vcpu, void *arg)
{
	const struct kvm_interrupt *interrupt = arg;

	return events_queue_interrupt(vcpu, interrupt->irq);
}

/* The CPU keeps the task priority: whoever patches guests for it need not. */
static long set_vapic_addr(struct df_vcpu *vcpu, void *arg)
{
	const struct kvm_vapic_addr *addr = arg;

	if (!lapic_is_here(&vcpu->arch))
		return -EINVAL;
	guard(rwsem_read)(&vcpu->vm->memory_lock);
	return !addr->vapic_addr || df_memory_slot(vcpu->vm, addr->vapic_addr >> PAGE_SHIFT) ?
	       0 : -EINVAL;
}

static long tpr_access_reporting(struct df_vcpu *vcpu, void *arg)
{
	const struct kvm_tpr_access_ctl *control = arg;

	return control->flags ? -EINVAL : 0;
}

static long enable_cap(struct df_vcpu *vcpu, void *arg)
{
	const struct kvm_enable_cap *cap = arg;

	if (cap->flags || cap->cap != KVM_CAP_ENFORCE_PV_FEATURE_CPUID)
		return -EINVAL;
	cpuid_pv_enforce(&vcpu->arch, cap->args[0]);
	return 0;
}

static const struct fixed {
	unsigned int cmd;
	long (*handle)(struct df_vcpu *vcpu, void *arg);
} fixed_ioctls[] = {
	{ KVM_GET_REGS,		get_regs },
	{ KVM_SET_REGS,		set_regs },
	{ KVM_GET_SREGS,	get_sregs },
	{ KVM_SET_SREGS,	set_sregs },
	{ KVM_GET_SREGS2,	get_sregs2 },
	{ KVM_SET_SREGS2,	set_sregs2 },
	{ KVM_GET_FPU,		get_fpu },
	{ KVM_SET_FPU,		set_fpu },
	{ KVM_GET_XCRS,		get_xcrs },
	{ KVM_SET_XCRS,		set_xcrs },
	{ KVM_GET_DEBUGREGS,	get_debugregs },
	{ KVM_SET_DEBUGREGS,	set_debugregs },
	{ KVM_SET_GUEST_DEBUG,	set_guest_debug },
	{ KVM_GET_VCPU_EVENTS,	get_events },
	{ KVM_SET_VCPU_EVENTS,	set_events },
	{ KVM_GET_MP_STATE,	get_mp_state },
	{ KVM_SET_MP_STATE,	set_mp_state },
	{ KVM_ENABLE_CAP,	enable_cap },
	{ KVM_GET_LAPIC,	get_lapic },
	{ KVM_SET_LAPIC,	set_lapic },
	{ KVM_INTERRUPT,	interrupt },
	{ KVM_SET_VAPIC_ADDR,	set_vapic_addr },
	{ KVM_TPR_ACCESS_REPORTING, tpr_access_reporting },
};

static long run_fixed(struct df_vcpu *vcpu, const struct fixed *ioctl, void __user *user)
{
	size_t size = _IOC_SIZE(ioctl->cmd);
	void *arg = kzalloc(size, GFP_KERNEL);
	long ret = 0;

	if (!arg)
		return -ENOMEM;
	if (_IOC_DIR(ioctl->cmd) & _IOC_WRITE && copy_from_user(arg, user, size))
		ret = -EFAULT;
	if (!ret)
		ret = ioctl->handle(vcpu, arg);
	if (!ret && _IOC_DIR(ioctl->cmd) & _IOC_READ && copy_to_user(user, arg, size))
		ret = -EFAULT;
	kfree(arg);
	return ret;
}

static long device_attr(struct df_vcpu *vcpu, unsigned int cmd, void __user *user)
{
	struct kvm_device_attr attr;

	if (copy_from_user(&attr, user, sizeof(attr)))
		return -EFAULT;
	return tsc_attr(vcpu, cmd, &attr);
}

/*
 * Page by page, so that a signal ends it: what is done is told, and the caller
 * goes on from there.
 */
static long pre_fault(struct df_vcpu *vcpu, struct kvm_pre_fault_memory __user *user)
{
	struct kvm_pre_fault_memory range;
	u64 end;
	int err = 0;

	if (copy_from_user(&range, user, sizeof(range)))
		return -EFAULT;
	end = range.gpa + range.size;
	if (range.flags || !PAGE_ALIGNED(range.gpa | range.size) || end <= range.gpa)
		return -EINVAL;
	while (range.gpa < end) {
		if (signal_pending(current)) {
			err = -EINTR;
			break;
		}
		err = mapping_fault(vcpu->vm, range.gpa, false, false);
		if (err == -EAGAIN)
			continue;
		if (err)
			break;
		range.gpa += PAGE_SIZE;
		cond_resched();
	}
	if (err == -ENXIO)
		err = -ENOENT;
	/* As KVM: an error counts only where nothing was done before it. */
	if (range.size != end - range.gpa)
		err = 0;
	range.size = end - range.gpa;
	return copy_to_user(user, &range, sizeof(range)) ? -EFAULT : err;
}

long df_arch_vcpu_ioctl(struct df_vcpu *vcpu, unsigned int cmd, unsigned long arg)
{
	void __user *user = (void __user *)arg;

	for (size_t i = 0; i < ARRAY_SIZE(fixed_ioctls); i++)
		if (fixed_ioctls[i].cmd == cmd)
			return run_fixed(vcpu, &fixed_ioctls[i], user);
	switch (cmd) {
	case KVM_GET_CPUID2:		return cpuid_get(&vcpu->arch, user);
	case KVM_SET_CPUID2:		return cpuid_set(&vcpu->arch, user);
	case KVM_GET_MSRS:		return msr_get(vcpu, user);
	case KVM_SET_MSRS:		return msr_set(vcpu, user);
	case KVM_GET_XSAVE:		return fpu_get_xsave(&vcpu->arch, user,
							     sizeof(struct kvm_xsave));
	case KVM_GET_XSAVE2:		return fpu_get_xsave(&vcpu->arch, user, fpu_xsave_size());
	case KVM_SET_XSAVE:		return fpu_set_xsave(&vcpu->arch, user);
	case KVM_GET_TSC_KHZ:		return vcpu->arch.tsc_khz;
	case KVM_SET_TSC_KHZ:		return tsc_set_khz(vcpu, arg);
	case KVM_HAS_DEVICE_ATTR:
	case KVM_GET_DEVICE_ATTR:
	case KVM_SET_DEVICE_ATTR:	return device_attr(vcpu, cmd, user);
	case KVM_PRE_FAULT_MEMORY:	return pre_fault(vcpu, user);
	case KVM_KVMCLOCK_CTRL:		return clock_stopped(vcpu);
	case KVM_NMI:
		events_nmi(&vcpu->arch);
		return 0;
	default:			return -ENOTTY;
	}
}
