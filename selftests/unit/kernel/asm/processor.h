/* SPDX-License-Identifier: GPL-2.0-only */
/* A stand-in for tests, which say what CPU this is. */
#ifndef UNIT_KERNEL_PROCESSOR_H
#define UNIT_KERNEL_PROCESSOR_H

#include <asm/cpufeature.h>
#include <uapi/asm/processor-flags.h>
#include <linux/bits.h>
#include <linux/types.h>

#define XFEATURE_MASK_FP BIT_ULL(0)

enum cpuid_regs_idx { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };

static struct {
	u8 x86_phys_bits, x86_virt_bits;
	u32 x86_capability[NCAPINTS];
} boot_cpu_data __attribute__((unused)) = { .x86_phys_bits = 46, .x86_virt_bits = 48 };

/* Of a test. */
void cpuid_count(u32 leaf, u32 subleaf, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx);

#endif
