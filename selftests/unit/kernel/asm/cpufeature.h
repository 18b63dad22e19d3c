/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A stand-in for tests, with the words of features that the kernel keeps of a
 * leaf of CPUID each.
 */
#ifndef UNIT_KERNEL_CPUFEATURE_H
#define UNIT_KERNEL_CPUFEATURE_H

#include <asm/cpufeatures.h>

enum {
	CPUID_1_EDX = 0,
	CPUID_8000_0001_EDX = 1,
	CPUID_1_ECX = 4,
	CPUID_8000_0001_ECX = 6,
	CPUID_7_0_EBX = 9,
	CPUID_D_1_EAX = 10,
	CPUID_7_ECX = 16,
	CPUID_7_EDX = 18,
};

#define boot_cpu_has(feature) \
	(!!(boot_cpu_data.x86_capability[(feature) / 32] & BIT((feature) % 32)))

#endif
