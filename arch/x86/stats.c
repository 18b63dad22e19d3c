// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is counted: every exit by its reason, and what a VM's memory is made of.
 */
#include <linux/ctype.h>

#include "x86.h"

static const struct {
	u32 reason;
	const char *name;
} reasons[] = { DF_EXIT_REASON_NAMES };

static const char * const vm_names[] = { "pages_4k", "pages_2m", "pages_1g", "ept_tables",
					 "own_timers" };

/* Row 0 is the sum of all; the others have the SDM's names. */
const unsigned int df_arch_vcpu_stats = 1 + ARRAY_SIZE(reasons);
const unsigned int df_arch_vm_stats = ARRAY_SIZE(vm_names);

void df_arch_stat_name(unsigned int n, char *name)
{
	if (!n)
		strscpy(name, "exits", DF_STAT_NAME_SIZE);
	else if (n < df_arch_vcpu_stats)
		snprintf(name, DF_STAT_NAME_SIZE, "exit_%s", reasons[n - 1].name);
	else
		strscpy(name, vm_names[n - df_arch_vcpu_stats], DF_STAT_NAME_SIZE);
	for (; *name; name++)
		*name = tolower(*name);
}

u64 df_arch_vcpu_stat(const struct df_vcpu *vcpu, unsigned int n)
{
	const u64 *exits = vcpu->exits;
	u64 sum = 0;

	if (n)
		return READ_ONCE(exits[reasons[n - 1].reason]);
	for (unsigned int i = 0; i < DF_NR_EXIT_REASONS; i++)
		sum += READ_ONCE(exits[i]);
	return sum;
}

/* vCPUs whose deadlines do not exit. */
static u64 own_timers(const struct df_vm *vm)
{
	const struct df_vcpu *vcpu;
	u64 n = 0;

	for_each_df_vcpu(i, vcpu, vm)
		n += READ_ONCE(vcpu->lapic.passes);
	return n;
}

u64 df_arch_vm_stat(const struct df_vm *vm, unsigned int n)
{
	const struct df_ept *ept = &vm->arch.ept;

	if (n < ARRAY_SIZE(ept->leaves))
		return READ_ONCE(ept->leaves[n]);
	return n == ARRAY_SIZE(ept->leaves) ? READ_ONCE(ept->tables) : own_timers(vm);
}
