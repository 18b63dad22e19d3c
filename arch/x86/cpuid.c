// SPDX-License-Identifier: GPL-2.0-only
#include <linux/kvm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/cpufeature.h>
#include <asm/processor.h>

#include "cpuid.h"
#include "types.h"

#define MAX_ENTRIES	256	/* as KVM */

static const struct kvm_cpuid_entry2 *find(const struct df_vcpu_arch *arch, u32 leaf, u32 subleaf)
{
	for (u32 i = 0; i < arch->nr_cpuid; i++) {
		const struct kvm_cpuid_entry2 *e = &arch->cpuid[i];

		if (e->function == leaf && (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) ||
					    e->index == subleaf))
			return e;
	}
	return NULL;
}

/* What is not in the table reads as zeroes. */
void cpuid_emulate(struct df_vcpu_arch *arch)
{
	const struct kvm_cpuid_entry2 *e = find(arch, arch->regs[DF_RAX], arch->regs[DF_RCX]);

	arch->regs[DF_RAX] = e ? e->eax : 0;
	arch->regs[DF_RBX] = e ? e->ebx : 0;
	arch->regs[DF_RCX] = e ? e->ecx : 0;
	arch->regs[DF_RDX] = e ? e->edx : 0;
}

int cpuid_set(struct df_vcpu_arch *arch, struct kvm_cpuid2 __user *user)
{
	struct kvm_cpuid_entry2 *entries = NULL;
	struct kvm_cpuid2 head;

	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	if (head.nent > MAX_ENTRIES)
		return -E2BIG;
	if (head.nent) {
		entries = memdup_array_user(user->entries, head.nent, sizeof(*entries));
		if (IS_ERR(entries))
			return PTR_ERR(entries);
	}
	kfree(arch->cpuid);
	arch->cpuid = entries;
	arch->nr_cpuid = head.nent;
	return 0;
}

/*
 * What a guest can have of each leaf, as masks of the CPU's own answer. A bit is
 * here when everything that hangs on it works: XSAVE, AVX and what builds on them
 * wait for XSETBV, and all that an APIC is needed for waits for one.
 */
static const struct {
	u32 leaf, eax, ebx, ecx, edx;
} supported[] = {
	/* The highest leaf, and the vendor. */
	{ 0, ~0U, ~0U, ~0U, ~0U },
	/*
	 * Family, model, stepping; CLFLUSH's line. SSE3 PCLMULQDQ SSSE3 CX16 PCID
	 * SSE4.1 SSE4.2 MOVBE POPCNT AES RDRAND. FPU VME PSE TSC MSR PAE CX8 SEP PGE
	 * CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2.
	 */
	{ 1, ~0U, 0x0000ff00, 0x42da2203, 0x078ba97b },
	/* FSGSBASE BMI1 SMEP BMI2 ERMS INVPCID RDSEED ADX SMAP CLFLUSHOPT CLWB SHA; UMIP; FSRM. */
	{ 7, 0, 0x219c0789, 0x00000004, 0x00000010 },
	{ 0x80000000, ~0U, 0, 0, 0 },
	/* LAHF ABM PREFETCHW; SYSCALL NX 1GB-PAGES RDTSCP LM. */
	{ 0x80000001, 0, 0, 0x00000121, 0x2c100800 },
	/* Bits of a physical and a linear address. */
	{ 0x80000008, 0x0000ffff, 0, 0, 0 },
};

#define MAX_BASIC_LEAF		7
#define MAX_EXTENDED_LEAF	0x80000008

/* What the host's kernel has turned off, a guest does not get either. */
static void mask_by_host(struct kvm_cpuid_entry2 *e)
{
	const u32 *host = boot_cpu_data.x86_capability;

	switch (e->function) {
	case 0:
		e->eax = min_t(u32, e->eax, MAX_BASIC_LEAF);
		break;
	case 1:
		e->ecx &= host[CPUID_1_ECX];
		e->edx &= host[CPUID_1_EDX];
		break;
	case 7:
		e->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
		e->ebx &= host[CPUID_7_0_EBX];
		e->ecx &= host[CPUID_7_ECX];
		e->edx &= host[CPUID_7_EDX];
		break;
	case 0x80000000:
		e->eax = min_t(u32, e->eax, MAX_EXTENDED_LEAF);
		break;
	case 0x80000001:
		e->ecx &= host[CPUID_8000_0001_ECX];
		e->edx &= host[CPUID_8000_0001_EDX];
		break;
	}
}

static struct kvm_cpuid_entry2 supported_entry(size_t i)
{
	struct kvm_cpuid_entry2 e = { .function = supported[i].leaf };

	cpuid_count(e.function, 0, &e.eax, &e.ebx, &e.ecx, &e.edx);
	e.eax &= supported[i].eax;
	e.ebx &= supported[i].ebx;
	e.ecx &= supported[i].ecx;
	e.edx &= supported[i].edx;
	mask_by_host(&e);
	return e;
}

int cpuid_get_supported(struct kvm_cpuid2 __user *user)
{
	struct kvm_cpuid2 head;

	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	if (head.nent < ARRAY_SIZE(supported))
		return -E2BIG;
	head.nent = ARRAY_SIZE(supported);
	for (size_t i = 0; i < ARRAY_SIZE(supported); i++) {
		struct kvm_cpuid_entry2 e = supported_entry(i);

		if (copy_to_user(&user->entries[i], &e, sizeof(e)))
			return -EFAULT;
	}
	return copy_to_user(user, &head, sizeof(head)) ? -EFAULT : 0;
}
