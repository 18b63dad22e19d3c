// SPDX-License-Identifier: GPL-2.0-only
#include <linux/io.h>

#include "x86.h"

/* Its index is the APIC ID; of the last, and of those behind it, IPIs exit. */
#define XAPIC_BROADCAST	0xff
#define LAST_ID		(XAPIC_BROADCAST - 1)

#define IS_VALID	BIT_ULL(0)

int ipi_create(struct df_vcpu *vcpu)
{
	struct df_vm *vm = vcpu->vm;
	u64 *table;

	if (!(vmx_host_caps.msr[VMX_CAP_TERTIARY] & TERTIARY_EXEC_IPI_VIRT) || vm->vcpus[0])
		return 0;
	guard(mutex)(&vm->irq.lock);
	if (bypass_begin(vm) || vm->arch.ipi_table)
		return 0;
	table = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!table)
		return -ENOMEM;
	vm->arch.ipi_table = table;
	return 0;
}

void ipi_destroy(struct df_vm *vm)
{
	free_page((unsigned long)vm->arch.ipi_table);
}

void ipi_vmcs(const struct df_vcpu *vcpu)
{
	if (!vcpu->vm->arch.ipi_table)
		return;
	vmcs_set(CPU_BASED_VM_EXEC_CONTROL, CPU_BASED_ACTIVATE_TERTIARY_CONTROLS, true);
	vmcs_write(TERTIARY_VM_EXEC_CONTROL, TERTIARY_EXEC_IPI_VIRT);
	vmcs_write(PID_POINTER_TABLE, virt_to_phys(vcpu->vm->arch.ipi_table));
	vmcs_write(LAST_PID_POINTER_INDEX, LAST_ID);
}

void ipi_publish(const struct df_vcpu *vcpu)
{
	u64 *table = vcpu->vm->arch.ipi_table;
	u64 entry = 0;

	if (!table || vcpu->id > LAST_ID)
		return;
	if (lapic_is_enabled(vcpu) && lapic_get(vcpu, APIC_SPIV) & APIC_SPIV_APIC_ENABLED)
		entry = virt_to_phys(vcpu->lapic.pi) | IS_VALID;
	WRITE_ONCE(table[vcpu->id], entry);
}
