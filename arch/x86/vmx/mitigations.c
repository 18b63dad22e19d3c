// SPDX-License-Identifier: GPL-2.0-only
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <asm/bugs.h>

#include "x86.h"

DEFINE_STATIC_KEY_FALSE(vmx_flushes_l1d);

/* The host's own l1tf= and mitigations= say whether; the CPU may say that it does it itself. */
static bool must_flush_l1d(void)
{
	if (!boot_cpu_has_bug(X86_BUG_L1TF))
		return false;
	/* Exported for KVM; a host without KVM is taken to want it. */
	if (IS_ENABLED(CONFIG_KVM_INTEL) && l1tf_mitigation == L1TF_MITIGATION_OFF)
		return false;
	return !(boot_cpu_has(X86_FEATURE_ARCH_CAPABILITIES) &&
		 read_msr_or_0(MSR_IA32_ARCH_CAPABILITIES) & ARCH_CAP_SKIP_VMENTRY_L1DFLUSH);
}

int vmx_mitigations_init(void)
{
	if (!must_flush_l1d())
		return 0;
	if (!boot_cpu_has(X86_FEATURE_FLUSH_L1D)) {
		pr_err("this CPU leaks its L1 data cache to guests (L1TF), and its microcode cannot flush it\n");
		return -ENODEV;
	}
	static_branch_enable(&vmx_flushes_l1d);
	return 0;
}
