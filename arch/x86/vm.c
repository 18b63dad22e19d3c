// SPDX-License-Identifier: GPL-2.0-only
/*
 * The architecture's part of VMs and vCPUs: their making.
 */
#include <linux/idr.h>

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
	vm->arch.notifier = -1;
	vm->arch.max_vcpu_id = DF_MAX_VCPU_ID;
	vm->arch.bus_cycle_ns = TIMER_BUS_CYCLE_NS;
	err = ept_init(&vm->arch.ept);
	if (err)
		vmx_put();
	return err;
}

void df_arch_vm_stop(struct df_vm *vm)
{
	exitless_stop(vm);
}

void df_arch_vm_destroy(struct df_vm *vm)
{
	if (vm->arch.bypass)
		df_host_post_put();
	exitless_destroy(vm);
	ipi_destroy(vm);
	mapping_destroy(vm);
	msr_filter_free(rcu_dereference_protected(vm->arch.msr_filter, true));
	free_page((unsigned long)vm->arch.apic_page);
	vmx_put();
}

int df_arch_vcpu_init(struct df_vcpu *vcpu)
{
	int vpid;

	vpid = ida_alloc_range(&vpids, 1, LAST_VPID, GFP_KERNEL_ACCOUNT);
	if (vpid < 0)
		return vpid;
	vcpu->vpid = vpid;
	vcpu->cpu = -1;
	vcpu->own_cpu = -1;
	vcpu->xcr0 = XFEATURE_MASK_FP;
	vcpu->pv_features = ~0U;
	debug_reset(vcpu);
	vcpu->apic_base = APIC_DEFAULT_PHYS_BASE | MSR_IA32_APICBASE_ENABLE |
			  (vcpu->id == vcpu->vm->arch.boot_cpu ? MSR_IA32_APICBASE_BSP : 0);
	msr_reset(vcpu);
	vcpu->vmcs = vmx_region_alloc(numa_node_id());
	vcpu->fpu = fpu_alloc();
	if (!vcpu->vmcs || !vcpu->fpu || pml_vcpu_init(vcpu) ||
	    (vcpu->vm->arch.irqchip && lapic_create(vcpu)) || run_vmcs_begin(vcpu)) {
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
	dedicated_release(vcpu);
	vmx_unload(vcpu);
	free_page((unsigned long)vcpu->vmcs);
	free_page((unsigned long)vcpu->pml);
	free_page((unsigned long)vcpu->lapic.page);
	kfree(vcpu->fpu);
	kfree(vcpu->cpuid);
	ida_free(&vpids, vcpu->vpid);
}
