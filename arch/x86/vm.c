// SPDX-License-Identifier: GPL-2.0-only
/*
 * The architecture's part of VMs and vCPUs: their making, and the ioctls for
 * register state.
 */
#include <linux/gfp.h>
#include <linux/idr.h>
#include <linux/kvm.h>
#include <linux/slab.h>
#include <linux/topology.h>
#include <linux/uaccess.h>

#include "arch.h"
#include "cpuid.h"
#include "ept.h"
#include "init.h"
#include "run.h"
#include "state.h"
#include "vcpu.h"
#include "vm.h"
#include "vmx/cpu.h"
#include "vmx/operation.h"
#include "vmx/vmcs.h"

#define LAST_VPID	0xffff	/* 0 is the host's */

static DEFINE_IDA(vpids);

int df_arch_vm_init(struct df_vm *vm)
{
	int err;

	err = vmx_get(init_host_caps());
	if (err)
		return err;
	err = -ENOMEM;
	vm->arch.msr_bitmap = (unsigned long *)__get_free_page(GFP_KERNEL_ACCOUNT);
	if (!vm->arch.msr_bitmap)
		goto put_vmx;
	vmx_msr_bitmap_init(vm->arch.msr_bitmap);
	err = ept_init(vm);
	if (err)
		goto free_bitmap;
	return 0;

free_bitmap:
	free_page((unsigned long)vm->arch.msr_bitmap);
put_vmx:
	vmx_put();
	return err;
}

void df_arch_vm_destroy(struct df_vm *vm)
{
	ept_destroy(vm);
	free_page((unsigned long)vm->arch.msr_bitmap);
	vmx_put();
}

static int init_vmcs(struct df_vcpu *vcpu)
{
	int err = run_vmcs_begin(&vcpu->arch);

	if (err)
		return err;
	vmcs_init(vcpu);
	run_vmcs_end();
	return 0;
}

/* An XSAVE area of zeroes is the initial state, but for MXCSR and FCW. */
static void *alloc_fpu(void)
{
	u8 *area = kzalloc(state_fpu_size(), GFP_KERNEL_ACCOUNT);

	if (area) {
		*(u16 *)area = 0x37f;
		*(u32 *)(area + 24) = 0x1f80;
	}
	return area;
}

int df_arch_vcpu_init(struct df_vcpu *vcpu)
{
	struct df_vcpu_arch *arch = &vcpu->arch;
	int vpid;

	vpid = ida_alloc_range(&vpids, 1, LAST_VPID, GFP_KERNEL_ACCOUNT);
	if (vpid < 0)
		return vpid;
	arch->vpid = vpid;
	arch->cpu = -1;
	arch->xcr0 = 1;
	arch->apic_base = 0xfee00000 | BIT(11) | (vcpu->id ? 0 : BIT(8));
	arch->vmcs = vmx_region_alloc(numa_node_id(), init_host_caps());
	arch->fpu = alloc_fpu();
	if (!arch->vmcs || !arch->fpu || init_vmcs(vcpu)) {
		df_arch_vcpu_destroy(vcpu);
		return -ENOMEM;
	}
	return 0;
}

void df_arch_vcpu_destroy(struct df_vcpu *vcpu)
{
	vmx_unload(&vcpu->arch);
	vmx_region_free(vcpu->arch.vmcs);
	kfree(vcpu->arch.fpu);
	kfree(vcpu->arch.cpuid);
	ida_free(&vpids, vcpu->arch.vpid);
}

static long get_regs(struct df_vcpu *vcpu, void __user *user)
{
	struct kvm_regs regs;

	state_get_regs(vcpu, &regs);
	return copy_to_user(user, &regs, sizeof(regs)) ? -EFAULT : 0;
}

static long set_regs(struct df_vcpu *vcpu, void __user *user)
{
	struct kvm_regs regs;

	if (copy_from_user(&regs, user, sizeof(regs)))
		return -EFAULT;
	state_set_regs(vcpu, &regs);
	return 0;
}

static long get_sregs(struct df_vcpu *vcpu, void __user *user)
{
	struct kvm_sregs sregs;
	int err = state_get_sregs(vcpu, &sregs);

	if (err)
		return err;
	return copy_to_user(user, &sregs, sizeof(sregs)) ? -EFAULT : 0;
}

static long set_sregs(struct df_vcpu *vcpu, void __user *user)
{
	struct kvm_sregs sregs;

	if (copy_from_user(&sregs, user, sizeof(sregs)))
		return -EFAULT;
	return state_set_sregs(vcpu, &sregs);
}

static long set_cpuid2(struct df_vcpu *vcpu, void __user *user)
{
	return cpuid_set(&vcpu->arch, user);
}

static const struct {
	unsigned int cmd;
	long (*handle)(struct df_vcpu *vcpu, void __user *user);
} vcpu_ioctls[] = {
	{ KVM_GET_REGS,		get_regs },
	{ KVM_SET_REGS,		set_regs },
	{ KVM_GET_SREGS,	get_sregs },
	{ KVM_SET_SREGS,	set_sregs },
	{ KVM_SET_CPUID2,	set_cpuid2 },
};

long df_arch_device_ioctl(unsigned int cmd, unsigned long arg)
{
	if (cmd == KVM_GET_SUPPORTED_CPUID)
		return cpuid_get_supported((struct kvm_cpuid2 __user *)arg);
	return -ENOTTY;
}

long df_arch_vcpu_ioctl(struct df_vcpu *vcpu, unsigned int cmd, unsigned long arg)
{
	for (size_t i = 0; i < ARRAY_SIZE(vcpu_ioctls); i++)
		if (vcpu_ioctls[i].cmd == cmd)
			return vcpu_ioctls[i].handle(vcpu, (void __user *)arg);
	return -ENOTTY;
}
