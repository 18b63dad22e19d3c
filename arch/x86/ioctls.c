// SPDX-License-Identifier: GPL-2.0-only
/*
 * The architecture's ioctls, and the capabilities that tell of them.
 */
#include <linux/dragonfly.h>
#include <linux/dragonfly_para.h>

#include "x86.h"

#define APIC_GFN	(APIC_DEFAULT_PHYS_BASE >> PAGE_SHIFT)
#define MIN_MMU_PAGES	64	/* as KVM */
#define X2APIC_API	(KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)

/* Those that are there or not, and no number. */
static const u16 capabilities[] = {
	KVM_CAP_VCPU_EVENTS, KVM_CAP_DEBUGREGS, KVM_CAP_XSAVE, KVM_CAP_XCRS, KVM_CAP_SREGS2,
	KVM_CAP_GET_MSR_FEATURES, KVM_CAP_GET_TSC_KHZ, KVM_CAP_VCPU_ATTRIBUTES,
	KVM_CAP_SET_GUEST_DEBUG, KVM_CAP_X86_ROBUST_SINGLESTEP, KVM_CAP_KVMCLOCK_CTRL,
	KVM_CAP_ENABLE_CAP, KVM_CAP_ENFORCE_PV_FEATURE_CPUID, KVM_CAP_IRQCHIP,
	KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_USER_NMI, KVM_CAP_SET_BOOT_CPU_ID,
	KVM_CAP_TSC_DEADLINE_TIMER, KVM_CAP_X86_APIC_BUS_CYCLES_NS, KVM_CAP_MSR_PLATFORM_INFO,
	KVM_CAP_X86_MSR_FILTER, DRAGONFLY_CAP_DEDICATED, KVM_CAP_EXIT_ON_EMULATION_FAILURE,
};

long df_arch_check_extension(unsigned long capability)
{
	if (df_has_capability(capabilities, ARRAY_SIZE(capabilities), capability))
		return 1;
	switch (capability) {
	case KVM_CAP_X86_DISABLE_EXITS:		return VMCS_DISABLED_EXITS;
	case KVM_CAP_X2APIC_API:		return X2APIC_API;
	case KVM_CAP_TSC_CONTROL:
	case KVM_CAP_VM_TSC_CONTROL:		return vmcs_can(SECONDARY_EXEC_TSC_SCALING);
	case KVM_CAP_XSAVE2:			return fpu_xsave_size();
	case KVM_CAP_ADJUST_CLOCK:		return CLOCK_FLAGS;
	case KVM_CAP_SET_GUEST_DEBUG2:		return DEBUG_GUEST_FLAGS;
	case KVM_CAP_X86_USER_SPACE_MSR:	return MSR_USER_REASONS;
	case KVM_CAP_MCE:			return DF_MC_BANKS;
	case DRAGONFLY_CAP_EXITLESS:		return sizeof(struct dragonfly_area);
	default:				return 0;
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
	if (vm->arch.area)
		return min(vm->arch.max_vcpu_id, DRAGONFLY_MAX_VCPUS);
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

static int add_flags(struct df_vm *vm, u64 *to, u64 flags, u64 known)
{
	if (flags & ~known)
		return -EINVAL;

	guard(mutex)(&vm->lock);
	WRITE_ONCE(*to, *to | flags);
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

int df_arch_enable_cap(struct df_vm *vm, const struct kvm_enable_cap *cap)
{
	switch (cap->cap) {
	case KVM_CAP_SPLIT_IRQCHIP:
		if (cap->args[0] > DF_MAX_ROUTES)
			return -EINVAL;
		return create_irqchip(vm, true, cap->args[0], -EEXIST);
	case KVM_CAP_X2APIC_API:
		return add_flags(vm, &vm->arch.x2apic_api, cap->args[0], X2APIC_API);
	case KVM_CAP_MAX_VCPU_ID:
		return set_max_vcpu_id(vm, cap->args[0]);
	case KVM_CAP_X86_APIC_BUS_CYCLES_NS:
		return set_bus_cycle(vm, cap->args[0]);
	case KVM_CAP_X86_USER_SPACE_MSR:
		if (cap->args[0] & ~(u64)MSR_USER_REASONS)
			return -EINVAL;
		WRITE_ONCE(vm->arch.user_msrs, cap->args[0]);
		return 0;
	case KVM_CAP_X86_DISABLE_EXITS:
		return add_flags(vm, &vm->arch.disabled_exits, cap->args[0], VMCS_DISABLED_EXITS);
	case DRAGONFLY_CAP_DEDICATED:
		return cap->args[0] == 1 ? dedicated_enable(vm) : -EINVAL;
	case DRAGONFLY_CAP_EXITLESS:
		return exitless_enable(vm, cap->args[0], cap->args[1]);
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
	case KVM_GET_MSR_INDEX_LIST:		return msr_get_list(user, false);
	case KVM_GET_MSR_FEATURE_INDEX_LIST:	return msr_get_list(user, true);
	case KVM_GET_MSRS:			return msr_access(NULL, user, false);
	case KVM_X86_GET_MCE_CAP_SUPPORTED:	return put_user(MCE_CAP, (u64 __user *)user);
	default:				return -ENOTTY;
	}
}

static const struct df_ioctl vm_ioctls[] = {
	{ KVM_GET_CLOCK,		.vm = clock_get },
	{ KVM_SET_CLOCK,		.vm = clock_set },
	{ KVM_X86_SET_MSR_FILTER,	.vm = msr_filter_set },
};

long df_arch_vm_ioctl(struct df_vm *vm, unsigned int cmd, unsigned long arg)
{
	switch (cmd) {
	case KVM_GET_TSC_KHZ:
		return READ_ONCE(vm->arch.tsc_khz) ?: tsc_khz;
	case KVM_SET_TSC_KHZ:
		return tsc_set_default_khz(vm, arg);
	case KVM_CREATE_IRQCHIP:
		return create_irqchip(vm, false, 0, -EINVAL);
	case KVM_SET_BOOT_CPU_ID:
		return set_boot_cpu(vm, arg);
	case KVM_SET_NR_MMU_PAGES:
		return arg < MIN_MMU_PAGES ? -EINVAL : 0;	/* there are no shadow pages */
	case KVM_GET_IRQCHIP:
	case KVM_SET_IRQCHIP:
		return -ENXIO;	/* no PIC, and the IOAPIC is user space's */
	default:
		return df_ioctl(vm_ioctls, ARRAY_SIZE(vm_ioctls), vm, NULL, cmd, arg);
	}
}

/* ---- of a vCPU, with its lock held -------------------------------------------------- */

/* kvm_sregs begins as kvm_sregs2 does, and has a bitmap at its end. */
#define SREGS_COMMON	offsetof(struct kvm_sregs, interrupt_bitmap)

static_assert(offsetof(struct kvm_sregs2, flags) == SREGS_COMMON);

/* The bitmap has the one interrupt that is on its way in. */
static int get_sregs(struct df_vcpu *vcpu, void *arg)
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

static int set_sregs(struct df_vcpu *vcpu, void *arg)
{
	const struct kvm_sregs *sregs = arg;
	struct kvm_sregs2 full = {};
	unsigned int vector;
	int err;

	memcpy(&full, sregs, SREGS_COMMON);
	err = state_set_sregs(vcpu, &full);
	if (err)
		return err;
	vector = find_first_bit((const unsigned long *)sregs->interrupt_bitmap,
				KVM_NR_INTERRUPTS);
	if (vector < KVM_NR_INTERRUPTS)
		events_interrupt(vcpu, vector);
	return 0;
}

/* The CPU keeps the task priority: whoever patches guests for it need not. */
static int set_vapic_addr(struct df_vcpu *vcpu, void *arg)
{
	const struct kvm_vapic_addr *addr = arg;

	if (!lapic_is_here(vcpu))
		return -EINVAL;
	guard(rwsem_read)(&vcpu->vm->memory_lock);
	return !addr->vapic_addr || df_memory_slot(vcpu->vm, addr->vapic_addr >> PAGE_SHIFT) ?
	       0 : -EINVAL;
}

static int tpr_access_reporting(struct df_vcpu *vcpu, void *arg)
{
	const struct kvm_tpr_access_ctl *control = arg;

	return control->flags ? -EINVAL : 0;
}

static int enable_cap(struct df_vcpu *vcpu, void *arg)
{
	const struct kvm_enable_cap *cap = arg;

	if (cap->flags || cap->cap != KVM_CAP_ENFORCE_PV_FEATURE_CPUID)
		return -EINVAL;
	cpuid_pv_enforce(vcpu, cap->args[0]);
	return 0;
}

/*
 * Page by page, so that a signal ends it: what is done is told, and the caller
 * goes on from there.
 */
static int pre_fault(struct df_vcpu *vcpu, void *arg)
{
	struct kvm_pre_fault_memory *range = arg;
	u64 end = range->gpa + range->size;
	int err = 0;

	if (range->flags || !PAGE_ALIGNED(range->gpa | range->size) || end <= range->gpa)
		return -EINVAL;
	while (range->gpa < end) {
		if (signal_pending(current)) {
			err = -EINTR;
			break;
		}
		err = mapping_fault(vcpu->vm, range->gpa, false, false);
		if (err == -EAGAIN)
			continue;
		if (err)
			break;
		range->gpa += PAGE_SIZE;
		cond_resched();
	}
	if (err == -ENXIO)
		err = -ENOENT;
	/* As KVM: an error counts only where nothing was done before it. */
	if (range->size != end - range->gpa)
		err = 0;
	range->size = end - range->gpa;
	return err;
}

static const struct df_ioctl vcpu_ioctls[] = {
	{ KVM_GET_REGS,		.vcpu = state_get_regs },
	{ KVM_SET_REGS,		.vcpu = state_set_regs },
	{ KVM_GET_SREGS,	.vcpu = get_sregs },
	{ KVM_SET_SREGS,	.vcpu = set_sregs },
	{ KVM_GET_SREGS2,	.vcpu = state_get_sregs },
	{ KVM_SET_SREGS2,	.vcpu = state_set_sregs },
	{ KVM_GET_FPU,		.vcpu = fpu_get },
	{ KVM_SET_FPU,		.vcpu = fpu_set },
	{ KVM_GET_XCRS,		.vcpu = fpu_get_xcrs },
	{ KVM_SET_XCRS,		.vcpu = fpu_set_xcrs },
	{ KVM_GET_DEBUGREGS,	.vcpu = debug_get },
	{ KVM_SET_DEBUGREGS,	.vcpu = debug_set },
	{ KVM_SET_GUEST_DEBUG,	.vcpu = debug_set_guest_debug },
	{ KVM_GET_VCPU_EVENTS,	.vcpu = events_get },
	{ KVM_SET_VCPU_EVENTS,	.vcpu = events_set },
	{ KVM_GET_MP_STATE,	.vcpu = halt_get_state },
	{ KVM_SET_MP_STATE,	.vcpu = halt_set_state },
	{ KVM_ENABLE_CAP,	.vcpu = enable_cap },
	{ KVM_GET_LAPIC,	.vcpu = lapic_get_state },
	{ KVM_SET_LAPIC,	.vcpu = lapic_set_state },
	{ KVM_INTERRUPT,	.vcpu = events_queue_interrupt },
	{ KVM_SET_VAPIC_ADDR,	.vcpu = set_vapic_addr },
	{ KVM_TPR_ACCESS_REPORTING, .vcpu = tpr_access_reporting },
	{ KVM_HAS_DEVICE_ATTR,	.vcpu = tsc_has_attr },
	{ KVM_GET_DEVICE_ATTR,	.vcpu = tsc_get_attr },
	{ KVM_SET_DEVICE_ATTR,	.vcpu = tsc_set_attr },
	{ KVM_PRE_FAULT_MEMORY,	.vcpu = pre_fault },
	{ KVM_X86_SETUP_MCE,	.vcpu = mce_configure },
	{ KVM_X86_SET_MCE,	.vcpu = mce_raise },
};

long df_arch_vcpu_ioctl(struct df_vcpu *vcpu, unsigned int cmd, unsigned long arg)
{
	void __user *user = (void __user *)arg;

	switch (cmd) {
	case KVM_GET_CPUID2:		return cpuid_get(vcpu, user);
	case KVM_SET_CPUID2:		return cpuid_set(vcpu, user);
	case KVM_GET_MSRS:		return msr_access(vcpu, user, false);
	case KVM_SET_MSRS:		return msr_access(vcpu, user, true);
	case KVM_GET_XSAVE:		return fpu_get_xsave(vcpu, user, sizeof(struct kvm_xsave));
	case KVM_GET_XSAVE2:		return fpu_get_xsave(vcpu, user, fpu_xsave_size());
	case KVM_SET_XSAVE:		return fpu_set_xsave(vcpu, user);
	case KVM_GET_TSC_KHZ:		return vcpu->tsc_khz;
	case KVM_SET_TSC_KHZ:		return tsc_set_khz(vcpu, arg);
	case KVM_KVMCLOCK_CTRL:		return clock_stopped(vcpu);
	case KVM_NMI:
		events_nmi(vcpu);
		return 0;
	default:
		return df_ioctl(vcpu_ioctls, ARRAY_SIZE(vcpu_ioctls), NULL, vcpu, cmd, arg);
	}
}
