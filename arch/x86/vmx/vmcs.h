/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is in a VMCS.
 */
#ifndef DF_VMX_VMCS_H
#define DF_VMX_VMCS_H

#include "types.h"

/**
 * vmcs_resolve_controls() - choose the VMX controls for this host, once
 *
 * Of what we want, what the CPU allows; and what it insists on.
 */
void vmcs_resolve_controls(void);

/** vmcs_init() - controls, and the state that a reset leaves; the VMCS current. */
void vmcs_init(struct df_vcpu *vcpu);

/** vmcs_reset() - the guest's state after power-on, or after INIT; the VMCS current. */
void vmcs_reset(struct df_vcpu *vcpu, bool init);

/** vmcs_follow_cpuid() - the instructions that a vCPU's CPUID gives it; the VMCS current. */
void vmcs_follow_cpuid(const struct df_vcpu *vcpu);

/** vmcs_host_on_cpu() - the host state that differs from CPU to CPU; preemption off. */
void vmcs_host_on_cpu(void);

/** vmcs_switches_counters() - do entries and exits load IA32_PERF_GLOBAL_CTRL? */
bool vmcs_switches_counters(void);

/** vmcs_switch_counters() - what they load; of the current VMCS. */
void vmcs_switch_counters(u64 guest, u64 host);

/*
 * Which exits a VM can do without. Not MWAIT's: the VMX-preemption timer, which is the
 * guest's, may stop in it.
 */
#define VMCS_DISABLED_EXITS	(KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE)

/** vmcs_can() - does this host have one of the secondary controls? */
bool vmcs_can(u32 secondary);

/* Of the current VMCS: controls on or off; exceptions that exit beside ours; a DF_SEG_*. */
void vmcs_set(enum vmcs_field controls, u32 bits, bool on);

static inline void vmcs_use(u32 secondary, bool on)
{
	vmcs_set(SECONDARY_VM_EXEC_CONTROL, secondary, on);
}

void vmcs_set_exceptions(u32 others);
void vmcs_set_segment(int n, u16 selector, u64 base, u32 limit, u32 access);
/* From entry.S; -1 is VMfail, -2 a fault, and all else is of run_exit(). */
int vmx_enter(struct df_vcpu *vcpu, bool launched);
extern char vmx_exit_point[];

/** vmcs_host_gate() - where the host handles an interrupt. */
unsigned long vmcs_host_gate(u8 vector);

/** vmx_call_gate() - call it, as if the interrupt came where RFLAGS were @flags. Interrupts off. */
void vmx_call_gate(unsigned long gate, unsigned long flags);

#endif
