// SPDX-License-Identifier: GPL-2.0-only
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/interrupt.h>
#include <linux/ioport.h>
#include <linux/irqbypass.h>
#include <linux/kvm_host.h>
#include <linux/perf_event.h>
#include <linux/reboot.h>
#include <linux/suspend.h>
#include <linux/timekeeping.h>
#include <asm/irq.h>
#include <asm/irq_remapping.h>
#include <asm/mce.h>
#include <asm/perf_event.h>
#include <asm/ptrace.h>
#include <asm/reboot.h>
#include <asm/tlbflush.h>
#include <asm/tsc.h>

#include "df.h"

/* Later kernels name the time of whatever clock was asked for. */
#ifndef snapshot_real
#define snapshot_real real
#endif

bool df_host_uses_fred(void)
{
	/* From 6.9 on; the kernel names no bit that it does not know. */
#ifdef X86_CR4_FRED
	return __read_cr4() & X86_CR4_FRED;
#else
	return false;
#endif
}

/*
 * Processor Trace may not be active in VMX operation on CPUs that say so in
 * IA32_VMX_MISC; its driver pauses for as long as it is told.
 */
int df_host_vmx_claim(void)
{
	if (__read_cr4() & X86_CR4_VMXE)
		return -EBUSY;
	intel_pt_handle_vmx(1);
	cr4_set_bits(X86_CR4_VMXE);
	return 0;
}

/*
 * On a signal the kernel's helper tells KVM's vCPU, of which it takes any. Ours
 * are none, so that all of them share this one, which nobody reads.
 */
int df_host_do_pending_work(void)
{
	static struct kvm_run run;
	static struct kvm_vcpu nobody = { .run = &run };

	return xfer_to_guest_mode_handle_work(&nobody);
}

void df_host_machine_check(void)
{
	/* A host without it takes the exception as it comes. */
#ifdef CONFIG_X86_MCE
	struct pt_regs regs = { .cs = 3, .flags = X86_EFLAGS_IF };

	do_machine_check(&regs);
#else
	asm volatile("int $18");
#endif
}

/* What the host counts by is the TSC if it falls between two readings of that. */
bool df_host_time(u64 *tsc, u64 *real)
{
	struct system_time_snapshot now;
	u64 before = rdtsc_ordered();

	ktime_get_snapshot(&now);
	*real = ktime_to_ns(now.snapshot_real);
	*tsc = rdtsc_ordered();
	if (now.cycles - before > *tsc - before)
		return false;
	*tsc = now.cycles;
	return true;
}

static int follow(struct vm_area_struct *vma, unsigned long address, struct df_device_page *page)
{
	struct follow_pfnmap_args args = { .vma = vma, .address = address };
	int err = follow_pfnmap_start(&args);

	if (err)
		return err;
	page->pfn = args.pfn;
	page->writable = args.writable;
	page->shared = vma->vm_flags & VM_SHARED;
	page->cached = page_is_ram(args.pfn) &&
		       !(pgprot_val(args.pgprot) & (_PAGE_PWT | _PAGE_PCD));
	follow_pfnmap_end(&args);
	return 0;
}

/* Drivers may wait with the mapping for the first access: that is made here. */
int df_host_device_page(struct mm_struct *mm, unsigned long address, bool write,
			struct df_device_page *page)
{
	struct vm_area_struct *vma;
	bool unlocked = false;
	int err = -EFAULT;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, address);
	if (!vma || !(vma->vm_flags & VM_PFNMAP))
		goto out;
	err = follow(vma, address, page);
	if (!err && (page->writable || !write))
		goto out;
	err = fixup_user_fault(mm, address, write ? FAULT_FLAG_WRITE : 0, &unlocked);
	if (!err)
		err = unlocked ? -EAGAIN : follow(vma, address, page);
out:
	mmap_read_unlock(mm);
	return err == -EINVAL ? -EFAULT : err;
}

/* Guards what follows; whether VMX may be on is asked and answered under it. */
static DEFINE_MUTEX(vmx_lock);
static void (*vmx_crash)(void);
static void (*vmx_shutdown)(void);
static bool suspending, going_down, kvm_is_there;

int df_host_vmx_begin(void (*crash)(void), void (*shutdown)(void))
{
	guard(mutex)(&vmx_lock);
	/* KVM has the only callback there is if it has VMX; on 6.1, as long as it is loaded. */
	if (suspending || going_down || kvm_is_there || __read_cr4() & X86_CR4_VMXE)
		return -EBUSY;
	cpu_emergency_register_virt_callback(crash);
	vmx_crash = crash;
	vmx_shutdown = shutdown;
	return 0;
}

void df_host_vmx_end(void)
{
	guard(mutex)(&vmx_lock);
	cpu_emergency_unregister_virt_callback(vmx_crash);
	vmx_crash = NULL;
}

static int on_suspend(struct notifier_block *nb, unsigned long event, void *data)
{
	bool begins = event == PM_SUSPEND_PREPARE || event == PM_HIBERNATION_PREPARE ||
		      event == PM_RESTORE_PREPARE;

	guard(mutex)(&vmx_lock);
	if (begins && vmx_crash) {
		pr_info("the host cannot suspend while there are VMs\n");
		return notifier_from_errno(-EBUSY);
	}
	suspending = begins;
	return NOTIFY_DONE;
}

static struct notifier_block suspend_notifier = {
	.notifier_call = on_suspend,
};

/* Another kernel, by kexec, must not be entered in VMX operation. */
static int on_shutdown(struct notifier_block *nb, unsigned long event, void *data)
{
	bool on;

	scoped_guard(mutex, &vmx_lock) {
		going_down = true;
		on = vmx_crash;
	}
	if (on)
		vmx_shutdown();
	return NOTIFY_DONE;
}

static struct notifier_block shutdown_notifier = {
	.notifier_call = on_shutdown,
};

/*
 * It would take VMX's callback on 6.1 and the handler of posted interrupts, and clear
 * that again, even if it then finds that it cannot run.
 */
static int on_module(struct notifier_block *nb, unsigned long event, void *data)
{
	const struct module *module = data;

	if (strcmp(module->name, "kvm_intel"))
		return NOTIFY_DONE;
	guard(mutex)(&vmx_lock);
	if (event == MODULE_STATE_COMING && vmx_crash) {
		pr_info("kvm_intel is not let in while there are VMs\n");
		return notifier_from_errno(-EBUSY);
	}
	kvm_is_there = event != MODULE_STATE_GOING;
	return NOTIFY_DONE;
}

static struct notifier_block module_notifier = {
	.notifier_call = on_module,
};

static bool kvm_is_loaded(void)
{
	struct kobject *kvm = kset_find_obj(THIS_MODULE->mkobj.kobj.kset, "kvm_intel");

	kobject_put(kvm);
	return kvm;
}

/* ---- interrupts that an IOMMU posts to vCPUs ------------------------------------------- */

/* Later kernels have the wake-up handler for KVM alone, and with it all of this. */
#if IS_ENABLED(CONFIG_KVM) && !defined(EXPORT_SYMBOL_FOR_KVM)

/*
 * The manager may be a module, and we load without it: no driver that could
 * raise an interrupt does. While a consumer is registered it stays.
 */
int df_host_bypass_register(struct irq_bypass_consumer *consumer, struct eventfd_ctx *eventfd)
{
	int (*register_consumer)(struct irq_bypass_consumer *consumer);
	int err;

	if (!irq_remapping_cap(IRQ_POSTING_CAP))
		return -EOPNOTSUPP;
	register_consumer = symbol_get(irq_bypass_register_consumer);
	if (!register_consumer)
		return -ENODEV;
	consumer->token = eventfd;
	err = register_consumer(consumer);
	symbol_put(irq_bypass_register_consumer);
	return err;
}

void df_host_bypass_unregister(struct irq_bypass_consumer *consumer)
{
	void (*unregister_consumer)(struct irq_bypass_consumer *consumer);

	unregister_consumer = symbol_get(irq_bypass_unregister_consumer);
	if (WARN_ON_ONCE(!unregister_consumer))
		return;
	unregister_consumer(consumer);
	symbol_put(irq_bypass_unregister_consumer);
}

static DEFINE_MUTEX(post_lock);
static unsigned int post_users;

/* kvm_intel needs kvm: if that is not there now, the notifier hears of both. */
int df_host_post_get(void (*wake)(void))
{
	guard(mutex)(&post_lock);
	if (!post_users && symbol_get(kvm_init)) {
		symbol_put(kvm_init);
		return -EBUSY;
	}
	if (!post_users++)
		kvm_set_posted_intr_wakeup_handler(wake);
	return 0;
}

void df_host_post_put(void)
{
	guard(mutex)(&post_lock);
	if (!--post_users)
		kvm_set_posted_intr_wakeup_handler(NULL);
}

int df_host_post(unsigned int host_irq, phys_addr_t descriptor, u8 vector)
{
	struct vcpu_data data = { .pi_desc_addr = descriptor, .vector = vector };

	return irq_set_vcpu_affinity(host_irq, &data);
}

int df_host_post_end(unsigned int host_irq)
{
	return irq_set_vcpu_affinity(host_irq, NULL);
}

#else

int df_host_bypass_register(struct irq_bypass_consumer *consumer, struct eventfd_ctx *eventfd)
{
	return -EOPNOTSUPP;
}

void df_host_bypass_unregister(struct irq_bypass_consumer *consumer)
{
}

int df_host_post_get(void (*wake)(void))
{
	return -EBUSY;
}

void df_host_post_put(void)
{
}

int df_host_post(unsigned int host_irq, phys_addr_t descriptor, u8 vector)
{
	return -EOPNOTSUPP;
}

int df_host_post_end(unsigned int host_irq)
{
	return -EOPNOTSUPP;
}

#endif

int df_host_init(void)
{
	int err = register_pm_notifier(&suspend_notifier);

	if (err)
		return err;
	err = register_reboot_notifier(&shutdown_notifier);
	if (err)
		goto out_pm;
	err = register_module_notifier(&module_notifier);
	if (err)
		goto out_reboot;
	if (!kvm_is_loaded())
		return 0;
	pr_err("VMX is held by another hypervisor; unload kvm_intel\n");
	err = -EBUSY;
	unregister_module_notifier(&module_notifier);
out_reboot:
	unregister_reboot_notifier(&shutdown_notifier);
out_pm:
	unregister_pm_notifier(&suspend_notifier);
	return err;
}

void df_host_exit(void)
{
	unregister_module_notifier(&module_notifier);
	unregister_reboot_notifier(&shutdown_notifier);
	unregister_pm_notifier(&suspend_notifier);
}

void df_host_vmx_release(void)
{
	cr4_clear_bits(X86_CR4_VMXE);
	intel_pt_handle_vmx(0);
}
