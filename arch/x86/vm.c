// SPDX-License-Identifier: GPL-2.0-only
/*
 * The architecture's part of VMs and vCPUs: their making.
 */
#include <linux/idr.h>
#include <asm/fpu/types.h>

#include "x86.h"

#define LAST_VPID	0xffff	/* 0 is the host's */

static DEFINE_IDA(vpids);

int df_arch_vm_init(struct df_vm *vm)
{
	int err = vmx_get();

	if (err)
		return err;
	spin_lock_init(&vm->arch.tsc_lock);
	clock_vm_init(vm);
	vm->arch.max_vcpu_id = DF_MAX_VCPU_ID;
	vm->arch.bus_cycle_ns = TIMER_BUS_CYCLE_NS;
	err = ept_init(&vm->arch.ept);
	if (err)
		vmx_put();
	return err;
}

void df_arch_vm_destroy(struct df_vm *vm)
{
	bypass_vm_destroy(vm);
	mapping_destroy(vm);
	msr_filter_free(rcu_dereference_protected(vm->arch.msr_filter, true));
	free_page((unsigned long)vm->arch.apic_page);
	vmx_put();
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
	debug_reset(arch);
	arch->apic_base = APIC_DEFAULT_PHYS_BASE | MSR_IA32_APICBASE_ENABLE |
			  (vcpu->id == vcpu->vm->arch.boot_cpu ? MSR_IA32_APICBASE_BSP : 0);
	msr_reset(arch);
	arch->vmcs = vmx_region_alloc(numa_node_id(), init_host_caps());
	arch->fpu = fpu_alloc();
	if (!arch->vmcs || !arch->fpu || pml_vcpu_init(vcpu) ||
	    (vcpu->vm->arch.irqchip && lapic_create(vcpu)) || run_vmcs_begin(arch)) {
		df_arch_vcpu_destroy(vcpu);
		return -ENOMEM;
	}
	vmcs_init(vcpu);
	run_vmcs_end();
	halt_vcpu_init(vcpu);
	tsc_vcpu_init(vcpu);
	return 0;
}

void df_arch_vcpu_destroy(struct df_vcpu *vcpu)
{
	vmx_unload(&vcpu->arch);
	vmx_region_free(vcpu->arch.vmcs);
	free_page((unsigned long)vcpu->arch.pml);
	free_page((unsigned long)vcpu->arch.lapic.page);
	kfree(vcpu->arch.fpu);
	kfree(vcpu->arch.cpuid);
	ida_free(&vpids, vcpu->arch.vpid);
}
