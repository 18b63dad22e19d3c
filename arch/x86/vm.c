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

#include "apic/bypass.h"
#include "apic/lapic.h"
#include "apic/timer.h"
#include "arch.h"
#include "clock.h"
#include "debug.h"
#include "fpu.h"
#include "halt.h"
#include "init.h"
#include "mapping.h"
#include "msr.h"
#include "msr_filter.h"
#include "pml.h"
#include "run.h"
#include "tsc.h"
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
	spin_lock_init(&vm->arch.tsc_lock);
	clock_vm_init(vm);
	vm->arch.max_vcpu_id = DF_MAX_VCPU_ID;
	vm->arch.bus_cycle_ns = TIMER_BUS_CYCLE_NS;
	err = mapping_init(vm);
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
	debug_reset(arch);
	arch->apic_base = APIC_DEFAULT_PHYS_BASE | MSR_IA32_APICBASE_ENABLE |
			  (vcpu->id == vcpu->vm->arch.boot_cpu ? MSR_IA32_APICBASE_BSP : 0);
	msr_reset(arch);
	arch->vmcs = vmx_region_alloc(numa_node_id(), init_host_caps());
	arch->fpu = fpu_alloc();
	if (!arch->vmcs || !arch->fpu || pml_vcpu_init(vcpu) ||
	    (vcpu->vm->arch.irqchip && lapic_create(vcpu)) || init_vmcs(vcpu)) {
		df_arch_vcpu_destroy(vcpu);
		return -ENOMEM;
	}
	halt_vcpu_init(vcpu);
	tsc_vcpu_init(vcpu);
	return 0;
}

void df_arch_vcpu_destroy(struct df_vcpu *vcpu)
{
	vmx_unload(&vcpu->arch);
	vmx_region_free(vcpu->arch.vmcs);
	pml_vcpu_destroy(vcpu);
	lapic_destroy(&vcpu->arch);
	kfree(vcpu->arch.fpu);
	kfree(vcpu->arch.cpuid);
	ida_free(&vpids, vcpu->arch.vpid);
}
