// SPDX-License-Identifier: GPL-2.0-only
#include "x86.h"

/* Nothing in particular: a value that no reset leaves behind. */
#define PATTERN		0x1db710641db71064UL

static int try_vmcs(struct vmx_region *vmcs, const char **step)
{
	unsigned long value = 0;
	int err;

	*step = "VMCLEAR";
	err = vmclear(__pa(vmcs));
	if (err)
		return err;

	*step = "VMPTRLD";
	err = vmptrld(__pa(vmcs));
	if (err)
		return err;

	*step = "VMWRITE";
	err = vmwrite(GUEST_RIP, PATTERN);
	if (!err) {
		*step = "VMREAD";
		err = vmread(GUEST_RIP, &value);
	}
	if (!err && value != PATTERN)
		err = -EIO;

	/* Whatever happened: the CPU must not write to this page any more. */
	if (vmclear(__pa(vmcs)) && !err) {
		*step = "VMCLEAR";
		err = -EIO;
	}
	return err;
}

int vmx_selftest(const char **step)
{
	struct vmx_region *vmxon_region, *vmcs;
	int err = -ENOMEM;

	*step = "allocation";
	vmxon_region = vmx_region_alloc(numa_node_id());
	vmcs = vmx_region_alloc(numa_node_id());
	if (!vmxon_region || !vmcs)
		goto out;

	*step = "VMXON";
	scoped_guard(irqsave) {
		err = vmx_enter_operation(vmxon_region);
		if (!err) {
			err = try_vmcs(vmcs, step);
			vmx_leave_operation();
		}
	}
out:
	free_page((unsigned long)vmcs);
	free_page((unsigned long)vmxon_region);
	return err;
}
