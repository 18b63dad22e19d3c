/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host kernel: the only place that knows one version of it from another.
 */
#ifndef DF_HOST_H
#define DF_HOST_H

#include <linux/types.h>

/**
 * df_host_uses_fred() - does this kernel deliver its events by FRED?
 *
 * An exit caused by an NMI is passed on to the host through the IDT, which
 * such a kernel does not use.
 *
 * Context: Any.
 */
bool df_host_uses_fred(void);

/**
 * df_host_vmx_claim() - make CR4.VMXE ours on this CPU
 *
 * Context: Interrupts off.
 * Return: 0, or -EBUSY if another hypervisor has it.
 */
int df_host_vmx_claim(void);

/** df_host_vmx_release() - give CR4.VMXE back. Context: Interrupts off. */
void df_host_vmx_release(void);

#endif
