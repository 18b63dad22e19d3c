// SPDX-License-Identifier: GPL-2.0-only
/*
 * The architecture's part of VMs and vCPUs: their making.
 */
#include <linux/gfp.h>
#include <linux/idr.h>
#include <linux/kvm.h>
#include <linux/slab.h>
#include <linux/topology.h>
#include <asm/apicdef.h>
#include <asm/fpu/types.h>
#include <asm/msr-index.h>

#include "arch.h"
#include "clock.h"
#include "fpu.h"
#include "init.h"
#include "mapping.h"
#include "msr.h"
#include "pml.h"
#include "run.h"
#include "tsc.h"
#include "vcpu.h"
#include "vm.h"
#include "vmx/cpu.h"
#include "vmx/operation.h"
#include "vmx/vmcs.h"

#define DR6_RESET	0xffff0ff0
#define DR7_RESET	0x400

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
	msr_bitmap_init(vm->arch.msr_bitmap);
	spin_lock_init(&vm->arch.tsc_lock);
	clock_vm_init(vm);
	err = mapping_init(vm);
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
	mapping_destroy(vm);
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

int df_arch_vcpu_init(struct df_vcpu *vcpu)
{
	struct df_vcpu_arch *arch = &vcpu->arch;
	int vpid;

	vpid = ida_alloc_range(&vpids, 1, LAST_VPID, GFP_KERNEL_ACCOUNT);
	if (vpid < 0)
		return vpid;
	arch->vpid = vpid;
	arch->cpu = -1;
	arch->xcr0 = XFEATURE_MASK_FP;
	arch->pv_features = ~0U;
	arch->dr6 = DR6_RESET;
	arch->dr7 = DR7_RESET;
	arch->apic_base = APIC_DEFAULT_PHYS_BASE | MSR_IA32_APICBASE_ENABLE |
			  (vcpu->id ? 0 : MSR_IA32_APICBASE_BSP);
	msr_reset(arch);
	arch->vmcs = vmx_region_alloc(numa_node_id(), init_host_caps());
	arch->fpu = fpu_alloc();
	if (!arch->vmcs || !arch->fpu || pml_vcpu_init(vcpu) || init_vmcs(vcpu)) {
		df_arch_vcpu_destroy(vcpu);
		return -ENOMEM;
	}
	tsc_vcpu_init(vcpu);
	return 0;
}

void df_arch_vcpu_destroy(struct df_vcpu *vcpu)
{
	vmx_unload(&vcpu->arch);
	vmx_region_free(vcpu->arch.vmcs);
	pml_vcpu_destroy(vcpu);
	kfree(vcpu->arch.fpu);
	kfree(vcpu->arch.cpuid);
	ida_free(&vpids, vcpu->arch.vpid);
}
