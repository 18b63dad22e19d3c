// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is counted: every exit by its reason, and what a VM's memory is made of.
 */
#include <linux/ctype.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <asm/vmx.h>

#include "arch.h"
#include "vcpu.h"
#include "vm.h"

static const struct {
	u32 reason;
	const char *name;
} reasons[] = { DF_EXIT_REASON_NAMES };

/* Row 0 is the sum of all; the others have the SDM's names. */
unsigned int df_arch_vcpu_stats(void)
{
	return 1 + ARRAY_SIZE(reasons);
}

void df_arch_vcpu_stat(unsigned int n, struct df_stat *stat)
{
	if (!n) {
		strscpy(stat->name, "exits");
		return;
	}
	snprintf(stat->name, sizeof(stat->name), "exit_%s", reasons[n - 1].name);
	for (char *c = stat->name; *c; c++)
		*c = tolower(*c);
}

u64 df_arch_vcpu_stat_value(const struct df_vcpu *vcpu, unsigned int n)
{
	const u64 *exits = vcpu->arch.exits;
	u64 sum = 0;

	if (n)
		return READ_ONCE(exits[reasons[n - 1].reason]);
	for (unsigned int i = 0; i < DF_NR_EXIT_REASONS; i++)
		sum += READ_ONCE(exits[i]);
	return sum;
}

static const char * const vm_names[] = { "pages_4k", "pages_2m", "pages_1g", "ept_tables" };

unsigned int df_arch_vm_stats(void)
{
	return ARRAY_SIZE(vm_names);
}

void df_arch_vm_stat(unsigned int n, struct df_stat *stat)
{
	strscpy(stat->name, vm_names[n]);
	stat->instant = true;
}

u64 df_arch_vm_stat_value(const struct df_vm *vm, unsigned int n)
{
	const struct df_ept *ept = &vm->arch.ept;

	return n < ARRAY_SIZE(ept->leaves) ? READ_ONCE(ept->leaves[n]) : READ_ONCE(ept->tables);
}
