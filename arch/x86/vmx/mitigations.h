/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What has to be kept from a guest that speculates. Most of it is in the entry
 * routine; Documentation/exits.rst has all of it.
 */
#ifndef DF_VMX_MITIGATIONS_H
#define DF_VMX_MITIGATIONS_H

#include <linux/cpu.h>
#include <linux/jump_label.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>

#include "types.h"

DECLARE_STATIC_KEY_FALSE(vmx_flushes_l1d);

/**
 * vmx_mitigations_init() - what this host's CPUs and settings ask for; once
 *
 * Context: Process context, may sleep.
 * Return: 0, or -ENODEV, with a line in the log, if the CPUs would let guests
 * read the host's memory and have nothing against it.
 */
int vmx_mitigations_init(void);

/**
 * vmx_flush_l1d() - nothing of the host is left in the L1 data cache (L1TF)
 *
 * Before the first entry after the kernel has done anything of its own.
 *
 * Context: Interrupts off.
 */
static __always_inline void vmx_flush_l1d(void)
{
	if (static_branch_unlikely(&vmx_flushes_l1d))
		native_wrmsrl(MSR_IA32_FLUSH_CMD, L1D_FLUSH);
}

/**
 * vmx_has_small_code() - is code to be executed from pages of 4 KiB only?
 *
 * From larger ones a guest could raise a machine check (iTLB multihit).
 */
static inline bool vmx_has_small_code(void)
{
	return boot_cpu_has_bug(X86_BUG_ITLB_MULTIHIT) && !cpu_mitigations_off();
}

#endif
