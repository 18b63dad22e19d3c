// SPDX-License-Identifier: GPL-2.0-only
#include <linux/errno.h>
#include <linux/perf_event.h>
#include <asm/perf_event.h>
#include <asm/tlbflush.h>

#include "host.h"

bool df_host_uses_fred(void)
{
	/* From 6.9 on; the kernel names no bit that it does not know. */
#ifdef X86_CR4_FRED
	return __read_cr4() & X86_CR4_FRED;
#else
	return false;
#endif
}

/*
 * Processor Trace may not be active in VMX operation on CPUs that say so in
 * IA32_VMX_MISC; its driver pauses for as long as it is told.
 */
int df_host_vmx_claim(void)
{
	if (__read_cr4() & X86_CR4_VMXE)
		return -EBUSY;
	intel_pt_handle_vmx(1);
	cr4_set_bits(X86_CR4_VMXE);
	return 0;
}

void df_host_vmx_release(void)
{
	cr4_clear_bits(X86_CR4_VMXE);
	intel_pt_handle_vmx(0);
}
