/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DF_HYPERCALL_H
#define DF_HYPERCALL_H

#include "types.h"

/**
 * hypercall_handle_inner() - VMCALL: what a guest asks by KVM's number in RAX
 *
 * Context: Interrupts off, the VMCS current.
 * Return: DF_RESUME with the answer in RAX, or DF_TO_MIDDLE.
 */
int hypercall_handle_inner(struct df_vcpu *vcpu);

/** hypercall_handle() - one that the inner ring left. May sleep. DF_RESUME or -EIO. */
int hypercall_handle(struct df_vcpu *vcpu);

#endif
