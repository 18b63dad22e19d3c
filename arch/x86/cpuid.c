// SPDX-License-Identifier: GPL-2.0-only
#include <linux/kvm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

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
