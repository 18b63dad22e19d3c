// SPDX-License-Identifier: GPL-2.0-only
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/errno.h>
#include <linux/kvm_host.h>
#include <linux/mm.h>
#include <linux/perf_event.h>
#include <linux/suspend.h>
#include <asm/gsseg.h>
#include <asm/perf_event.h>
#include <asm/reboot.h>
#include <asm/tlbflush.h>

#include "host.h"

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

void df_host_load_gs(u16 selector)
{
	load_gs_index(selector);
}

static int follow(struct vm_area_struct *vma, unsigned long address, unsigned long *pfn,
		  bool *writable)
{
	struct follow_pfnmap_args args = { .vma = vma, .address = address };
	int err = follow_pfnmap_start(&args);

	if (err)
		return err;
	*pfn = args.pfn;
	*writable = args.writable;
	follow_pfnmap_end(&args);
	return 0;
}

/* Drivers may wait with the mapping for the first access: that is made here. */
int df_host_device_page(struct mm_struct *mm, unsigned long address, bool write,
			unsigned long *pfn, bool *writable)
{
	struct vm_area_struct *vma;
	bool unlocked = false;
	int err = -EFAULT;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, address);
	if (!vma || !(vma->vm_flags & VM_PFNMAP))
		goto out;
	err = follow(vma, address, pfn, writable);
	if (!err && (*writable || !write))
		goto out;
	err = fixup_user_fault(mm, address, write ? FAULT_FLAG_WRITE : 0, &unlocked);
	if (!err)
		err = unlocked ? -EAGAIN : follow(vma, address, pfn, writable);
out:
	mmap_read_unlock(mm);
	return err == -EINVAL ? -EFAULT : err;
}

static void (*emergency_leave)(void);

void df_host_vmx_users(void (*leave)(void))
{
	if (leave)
		cpu_emergency_register_virt_callback(leave);
	else
		cpu_emergency_unregister_virt_callback(emergency_leave);
	WRITE_ONCE(emergency_leave, leave);
}

static int refuse_suspend(struct notifier_block *nb, unsigned long event, void *data)
{
	bool suspends = event == PM_SUSPEND_PREPARE || event == PM_HIBERNATION_PREPARE;

	if (!suspends || !READ_ONCE(emergency_leave))
		return NOTIFY_DONE;
	pr_info("the host cannot suspend while there are VMs\n");
	return notifier_from_errno(-EBUSY);
}

static struct notifier_block suspend_notifier = {
	.notifier_call = refuse_suspend,
};

int df_host_init(void)
{
	return register_pm_notifier(&suspend_notifier);
}

void df_host_exit(void)
{
	unregister_pm_notifier(&suspend_notifier);
}

void df_host_vmx_release(void)
{
	cr4_clear_bits(X86_CR4_VMXE);
	intel_pt_handle_vmx(0);
}
