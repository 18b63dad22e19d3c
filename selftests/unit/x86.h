/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What clock.c, cpuid.c and msr.c take from the rest of the module, for tests of them:
 * this is their x86.h.
 */
#ifndef UNIT_X86_H
#define UNIT_X86_H

#include "kselftest_harness.h"

#define DF_X86_H

#include <asm/apicdef.h>
#include <asm/barrier.h>
#include <asm/cpufeature.h>
#include <asm/mtrr.h>
#include <asm/msr-index.h>
#include <asm/page.h>
#include <asm/processor.h>
#include <linux/bitops.h>
#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/kvm.h>
#include <linux/kvm_para.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>

/* Nothing else runs. */
#define rcu_access_pointer(p) (p)

#include "arch/x86/clock.h"
#include "arch/x86/cpuid.h"
#include "arch/x86/events.h"
#include "arch/x86/fpu.h"
#include "arch/x86/msr.h"
#include "arch/x86/msr_filter.h"
#include "arch/x86/state.h"
#include "arch/x86/tsc.h"
#include "arch/x86/types.h"
#include "arch/x86/vmx/vmcs.h"
#include "src/arch.h"

struct df_vm {
	struct df_vm_arch arch;
};

/* What an exit may lead to, as run.h has it. */
enum { DF_TO_MIDDLE = 2, DF_TO_HOST };
int exit_to_user(struct df_vcpu *vcpu, u32 reason);

/* The fields of the VMCS, and the CPU's own MSRs, are what a test puts there. */
static u64 unit_fields[0x8000], unit_host_msr;
static unsigned int unit_faults, unit_skips;

static inline u64 vmcs_read(u32 field)
{
	return unit_fields[field];
}

static inline void vmcs_write(u32 field, u64 value)
{
	unit_fields[field] = value;
}

static inline u64 vmcs_peek(u32 field)
{
	return unit_fields[field];
}

static inline u64 read_msr_or_0(u32 msr)
{
	(void)msr;
	return unit_host_msr;
}

static inline bool trace_df_msr_enabled(void)
{
	return false;
}

static inline void trace_df_msr(u32 vcpu, bool write, u32 index, u64 value, int err)
{
	(void)vcpu, (void)write, (void)index, (void)value, (void)err;
}

int events_gp(struct df_vcpu *vcpu)
{
	(void)vcpu;
	unit_faults++;
	return 1;
}

static inline void exit_skip(struct df_vcpu *vcpu)
{
	(void)vcpu;
	unit_skips++;
}

static inline int run_prepare(struct df_vcpu *vcpu)
{
	(void)vcpu;
	return 1;
}

static inline int run_finish(struct df_vcpu *vcpu)
{
	exit_skip(vcpu);
	return 1;
}

static inline int run_vmcs_begin(struct df_vcpu *vcpu)
{
	(void)vcpu;
	return 0;
}

static inline void run_vmcs_end(void)
{
}

#endif
