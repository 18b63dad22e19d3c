/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VMX on the host's CPUs: on while there are VMs, and which VMCS is active where.
 */
#ifndef DF_VMX_CPU_H
#define DF_VMX_CPU_H

#include <linux/percpu.h>

#include "types.h"

/**
 * vmx_get() - switch VMX on, on every CPU, unless it is on already
 *
 * Context: Process context, may sleep.
 * Return: 0, -ENOMEM, or -EBUSY if another hypervisor holds VMX.
 */
int vmx_get(void);

/** vmx_put() - switch it off again, soon, if nobody needs it any more. May sleep. */
void vmx_put(void);

/** vmx_exit() - wait until it is off, when there is no VM. May sleep. */
void vmx_exit(void);

/* For CPU hotplug; on the CPU itself. */
int vmx_cpu_online(void);
void vmx_cpu_offline(void);

/* What VMPTRLD was last given on this CPU, and nobody has cleared since. */
DECLARE_PER_CPU(struct vmx_region *, vmx_current);

/** vmx_is_current() - is it a vCPU's VMCS, and so need not be loaded? Preemption off. */
static inline bool vmx_is_current(const struct df_vcpu *vcpu)
{
	return this_cpu_read(vmx_current) == vcpu->vmcs;
}

/**
 * vmx_load() - make a vCPU's VMCS current on this CPU
 *
 * Context: Preemption off, interrupts on; it may have to be asked of another CPU.
 * Return: 1 if it came from another CPU, so that the host state in it has to be
 * written anew; 0 if not; -EIO if VMX is not on here.
 */
int vmx_load(struct df_vcpu *vcpu);

/**
 * vmx_open(), vmx_close() - use the current VMCS between them
 *
 * Where VMX is brief, vmx_open() switches it on and interrupts off; vmx_close()
 * switches VMX off. Elsewhere there is nothing to do.
 *
 * Context: Preemption off, interrupts on before vmx_open().
 * Return: 0, or -EBUSY if another hypervisor has VMX: the VMCS is not loaded any more.
 */
int vmx_open_briefly(struct df_vcpu *vcpu);
void vmx_close_briefly(void);

static inline int vmx_open(struct df_vcpu *vcpu)
{
	return df_host_vmx_is_brief() ? vmx_open_briefly(vcpu) : 0;
}

static inline void vmx_close(void)
{
	if (df_host_vmx_is_brief())
		vmx_close_briefly();
}

/** vmx_unload() - make a VMCS inactive, wherever it is, for good. May sleep. */
void vmx_unload(struct df_vcpu *vcpu);

#endif
