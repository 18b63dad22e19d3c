// SPDX-License-Identifier: GPL-2.0-only
#include "x86.h"

#define PML_ENTRIES	512
#define PML_FIRST	(PML_ENTRIES - 1)	/* it is filled from the end */

bool pml_is_used(void)
{
	return vmcs_can(SECONDARY_EXEC_ENABLE_PML);
}

static int alloc(struct df_vcpu *vcpu)
{
	if (!vcpu->pml)
		vcpu->pml = (u64 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	return vcpu->pml ? 0 : -ENOMEM;
}

int df_arch_log_start(struct df_vm *vm)
{
	struct df_vcpu *vcpu;

	if (!pml_is_used())
		return 0;
	guard(mutex)(&vm->lock);
	for_each_df_vcpu(n, vcpu, vm)
		if (alloc(vcpu))
			return -ENOMEM;
	vm->arch.pml = true;
	run_request_all(vm, DF_REQ_PML);
	return 0;
}

void df_arch_log_stop(struct df_vm *vm)
{
	guard(mutex)(&vm->lock);
	if (!vm->arch.pml)
		return;
	vm->arch.pml = false;
	run_request_all(vm, DF_REQ_PML);
}

int pml_vcpu_init(struct df_vcpu *vcpu)
{
	int err;

	lockdep_assert_held(&vcpu->vm->lock);
	if (!vcpu->vm->arch.pml)
		return 0;
	err = alloc(vcpu);
	if (!err)
		set_bit(DF_REQ_PML, &vcpu->requests);
	return err;
}

void pml_serve_requests(struct df_vcpu *vcpu)
{
	if (!test_and_clear_bit(DF_REQ_PML, &vcpu->requests))
		return;
	/* Pairs with df_arch_log_start(): what it says was written before the request. */
	vcpu->pml_on = READ_ONCE(vcpu->vm->arch.pml);
	if (vcpu->pml_on) {
		vmcs_write(PML_ADDRESS, __pa(vcpu->pml));
		vmcs_write(GUEST_PML_INDEX, PML_FIRST);
	}
	vmcs_use(SECONDARY_EXEC_ENABLE_PML, vcpu->pml_on);
}

/* The index is of the next entry to be written, and below 0 when none is left. */
void pml_stop(struct df_vcpu *vcpu)
{
	vcpu->pml_index = vmcs_read(GUEST_PML_INDEX) + 1;
	vmcs_write(GUEST_PML_INDEX, PML_FIRST);
}

void pml_flush(struct df_vcpu *vcpu)
{
	if (vcpu->pml_index >= PML_ENTRIES)
		return;
	guard(rwsem_read)(&vcpu->vm->memory_lock);
	for (unsigned int i = vcpu->pml_index; i < PML_ENTRIES; i++)
		df_dirty_mark(vcpu->vm, vcpu->pml[i] >> PAGE_SHIFT);
}
