// SPDX-License-Identifier: GPL-2.0-only
#include <asm/cpufeature.h>
#include <asm/msr.h>

#include "df.h"

struct perf_guest_switch_msr *df_host_pause_counters(int *nr)
{
	static DEFINE_PER_CPU(struct perf_guest_switch_msr, msrs[2]);
	struct perf_guest_switch_msr *msr = this_cpu_ptr(msrs);

	msr[0] = (struct perf_guest_switch_msr){ .msr = MSR_CORE_PERF_GLOBAL_CTRL };
	msr[1] = (struct perf_guest_switch_msr){ .msr = MSR_IA32_PEBS_ENABLE };
	*nr = boot_cpu_has(X86_FEATURE_PEBS) ? 2 : 1;
	for (int i = 0; i < *nr; i++)
		rdmsrq(msr[i].msr, msr[i].host);
	return msr;
}

static DEFINE_PER_CPU(unsigned long, breakpoints[4]);
static DEFINE_PER_CPU(bool, saved);

void df_host_save_breakpoints(void)
{
	unsigned long *at = this_cpu_ptr(breakpoints);

	get_debugreg(at[0], 0);
	get_debugreg(at[1], 1);
	get_debugreg(at[2], 2);
	get_debugreg(at[3], 3);
	this_cpu_write(saved, true);
}

void df_host_restore_breakpoints(void)
{
	const unsigned long *at = this_cpu_ptr(breakpoints);

	if (this_cpu_xchg(saved, false)) {
		set_debugreg(at[0], 0);
		set_debugreg(at[1], 1);
		set_debugreg(at[2], 2);
		set_debugreg(at[3], 3);
	}
	set_debugreg(DR6_RESERVED, 6);
	set_debugreg(this_cpu_read(cpu_dr7), 7);
}
