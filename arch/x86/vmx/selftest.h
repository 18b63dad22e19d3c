/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DF_VMX_SELFTEST_H
#define DF_VMX_SELFTEST_H

#include "types.h"

/**
 * vmx_selftest() - see that VMX does as documented on this CPU
 * @step: set to the instruction that failed, if one did
 *
 * Enters VMX operation, makes a VMCS current, writes and reads a field of it,
 * and leaves again: after it the CPU is as it was.
 *
 * Context: Process context, may sleep; the caller is bound to its CPU.
 * Return: 0; -ENOMEM; -EBUSY if another hypervisor holds VMX here; -EIO or
 * -EFAULT if an instruction failed.
 */
int vmx_selftest(const char **step);

#endif
