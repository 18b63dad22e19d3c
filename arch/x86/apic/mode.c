// SPDX-License-Identifier: GPL-2.0-only
#include <linux/vmalloc.h>

#include "x86.h"

unsigned long apic_mode_bitmaps[5][PAGE_SIZE / sizeof(long)] __aligned(PAGE_SIZE);
static phys_addr_t bitmap_address[5] __ro_after_init;

#define WRITE_OF(msr)	((msr) + 2 * 8192)

/* The deadline passes in every other, and the ICR in the last two. */
static void let_through(int n)
{
	unsigned long *bitmap = apic_mode_bitmaps[n];

	lapic_bitmap_init(bitmap);
	if (!(n & 1)) {
		__clear_bit(MSR_IA32_TSC_DEADLINE, bitmap);
		__clear_bit(WRITE_OF(MSR_IA32_TSC_DEADLINE), bitmap);
	}
	if (n > 2)
		__clear_bit(WRITE_OF(LAPIC_MSR(APIC_ICR)), bitmap);
}

void apic_mode_init(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(apic_mode_bitmaps); i++) {
		msr_bitmap_init(apic_mode_bitmaps[i]);
		bitmap_address[i] = PFN_PHYS(vmalloc_to_pfn(apic_mode_bitmaps[i]));
	}
	for (size_t i = 1; i < ARRAY_SIZE(apic_mode_bitmaps); i++)
		let_through(i);
}

static void write_bitmap(struct df_vcpu *vcpu)
{
	bool x2apic = lapic_is_here(vcpu) && lapic_is_x2apic(vcpu);
	unsigned long *own = msr_filter_bitmap(vcpu->vm, x2apic);
	bool passes = !own && x2apic && deadline_may_pass(vcpu);
	bool ipis = x2apic && vcpu->vm->arch.ipi_table;

	vcpu->lapic.passes = passes;
	vmcs_write(MSR_BITMAP, own ? __pa(own) : bitmap_address[x2apic + passes + 2 * ipis]);
}

#define IN_USE		(SECONDARY_EXEC_APIC_REGISTER_VIRT | SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY)

void apic_mode_vmcs(struct df_vcpu *vcpu)
{
	write_bitmap(vcpu);
	if (!lapic_is_here(vcpu))
		return;
	vmcs_set(PIN_BASED_VM_EXEC_CONTROL, PIN_BASED_POSTED_INTR, true);
	vmcs_set(CPU_BASED_VM_EXEC_CONTROL, CPU_BASED_CR8_LOAD_EXITING |
					    CPU_BASED_CR8_STORE_EXITING, false);
	vmcs_set(CPU_BASED_VM_EXEC_CONTROL, CPU_BASED_TPR_SHADOW, true);
	vmcs_use(IN_USE, true);
	vmcs_write(VIRTUAL_APIC_PAGE_ADDR, __pa(vcpu->lapic.page));
	vmcs_write(POSTED_INTR_NV, POSTED_INTR_VECTOR);
	vmcs_write(POSTED_INTR_DESC_ADDR, __pa(vcpu->lapic.pi));
	vmcs_write(TPR_THRESHOLD, 0);
	vmcs_write(GUEST_INTR_STATUS, 0);
	ipi_vmcs(vcpu);
	apic_mode_write(vcpu);
	apic_mode_write_eoi(vcpu);
}

/* The page cannot be moved in hardware; elsewhere it is emulated. */
static bool has_page(const struct df_vcpu *vcpu)
{
	return lapic_is_enabled(vcpu) && !lapic_is_x2apic(vcpu) &&
	       (vcpu->apic_base & PAGE_MASK) == APIC_DEFAULT_PHYS_BASE;
}

void apic_mode_write(struct df_vcpu *vcpu)
{
	void *page = READ_ONCE(vcpu->vm->arch.apic_page);
	bool mapped = page && has_page(vcpu);

	write_bitmap(vcpu);
	if (!lapic_is_here(vcpu))
		return;
	/* One after the other: they exclude each other. */
	vmcs_use(SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES |
		 SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE, false);
	if (mapped) {
		vmcs_write(APIC_ACCESS_ADDR, __pa(page));
		vmcs_use(SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES, true);
	}
	if (lapic_is_x2apic(vcpu))
		vmcs_use(SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE, true);
	/* The TLB knows which accesses are the APIC's. */
	vmx_invvpid_context(vcpu->vpid);
	vmx_invept(VMX_EPT_EXTENT_CONTEXT, mapping_pointer(vcpu->vm));
}

void apic_mode_write_eoi(const struct df_vcpu *vcpu)
{
	const u64 *exits = vcpu->lapic.eoi_exits;

	for (int i = 0; i < 4; i++)
		vmcs_write(EOI_EXIT_BITMAP0 + 2 * i, exits[i]);
}

/*
 * Nobody reads the page, or writes it, where the CPU takes its accesses for the
 * APIC's: all vCPUs are to do that before it is mapped. In x2APIC mode it is
 * memory that nobody else has.
 */
int apic_page_fault(struct df_vcpu *vcpu, u64 gpa)
{
	struct df_vm *vm = vcpu->vm;
	int err;

	if (!lapic_is_here(vcpu) || !has_page(vcpu) || (gpa ^ APIC_DEFAULT_PHYS_BASE) >> PAGE_SHIFT)
		return -ENXIO;
	guard(mutex)(&vm->lock);
	if (!vm->arch.apic_page) {
		void *page = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);

		if (!page)
			return -ENOMEM;
		WRITE_ONCE(vm->arch.apic_page, page);
		run_request_all(vm, DF_REQ_APIC_MODE);
	}
	guard(mutex)(&vm->arch.ept.lock);
	err = ept_map(&vm->arch.ept, gpa >> PAGE_SHIFT, 1,
		      __pa(vm->arch.apic_page) | VMX_EPT_READABLE_MASK | VMX_EPT_WRITABLE_MASK |
		      EPT_WB << VMX_EPT_MT_EPTE_SHIFT);
	return err == -EEXIST ? 0 : err;
}
