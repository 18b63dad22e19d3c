// SPDX-License-Identifier: GPL-2.0-only
#include "x86.h"

/*
 * Several of these MSRs exist only where others say so; asking for one that
 * does not is a #GP, so the order matters.
 */
void vmx_read_capabilities(struct vmx_capabilities *caps)
{
	u64 *msr = caps->msr;
	u32 exact;

	*caps = (struct vmx_capabilities){};
	msr[VMX_CAP_BASIC] = read_msr_or_0(MSR_IA32_VMX_BASIC);
	/* The "true" ones follow one another as the others do. */
	exact = msr[VMX_CAP_BASIC] & VMX_BASIC_TRUE_CTLS ?
		MSR_IA32_VMX_TRUE_PINBASED_CTLS - MSR_IA32_VMX_PINBASED_CTLS : 0;
	msr[VMX_CAP_PIN] = read_msr_or_0(MSR_IA32_VMX_PINBASED_CTLS + exact);
	msr[VMX_CAP_PRIMARY] = read_msr_or_0(MSR_IA32_VMX_PROCBASED_CTLS + exact);
	msr[VMX_CAP_EXIT] = read_msr_or_0(MSR_IA32_VMX_EXIT_CTLS + exact);
	msr[VMX_CAP_ENTRY] = read_msr_or_0(MSR_IA32_VMX_ENTRY_CTLS + exact);
	msr[VMX_CAP_MISC] = read_msr_or_0(MSR_IA32_VMX_MISC);
	if (msr[VMX_CAP_PRIMARY] >> 32 & CPU_BASED_ACTIVATE_SECONDARY_CONTROLS)
		msr[VMX_CAP_SECONDARY] = read_msr_or_0(MSR_IA32_VMX_PROCBASED_CTLS2);
	if (msr[VMX_CAP_PRIMARY] >> 32 & CPU_BASED_ACTIVATE_TERTIARY_CONTROLS)
		msr[VMX_CAP_TERTIARY] = read_msr_or_0(MSR_IA32_VMX_PROCBASED_CTLS3);
	if (msr[VMX_CAP_SECONDARY] >> 32 & (SECONDARY_EXEC_ENABLE_EPT | SECONDARY_EXEC_ENABLE_VPID))
		msr[VMX_CAP_EPT_VPID] = read_msr_or_0(MSR_IA32_VMX_EPT_VPID_CAP);
}

struct vmx_region *vmx_region_alloc(int node)
{
	struct vmx_region *region;
	struct page *page;

	BUILD_BUG_ON(sizeof(*region) != PAGE_SIZE);

	page = alloc_pages_node(node, GFP_KERNEL_ACCOUNT | __GFP_ZERO, 0);
	if (!page)
		return NULL;
	region = page_address(page);
	region->revision = vmx_basic_vmcs_revision_id(vmx_host_caps.msr[VMX_CAP_BASIC]);
	return region;
}

int vmx_enter_operation(struct vmx_region *region)
{
	int err;

	lockdep_assert_irqs_disabled();
	err = df_host_vmx_claim();
	if (err)
		return err;
	err = vmxon(__pa(region));
	if (err)
		df_host_vmx_release();
	return err;
}

void vmx_leave_operation(void)
{
	lockdep_assert_irqs_disabled();
	WARN_ON_ONCE(vmxoff());
	df_host_vmx_release();
}
