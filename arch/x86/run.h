/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DF_RUN_H
#define DF_RUN_H

struct df_vcpu;
struct df_vcpu_arch;

/**
 * run_vmcs_begin() - look into a vCPU's VMCS from outside the run loop
 *
 * Context: The vCPU's lock held. Preemption is off until run_vmcs_end().
 * Return: 0 or -EIO.
 */
int run_vmcs_begin(struct df_vcpu_arch *arch);
void run_vmcs_end(void);

/**
 * exit_handle() - the middle ring: an exit, with the kernel as it always is
 *
 * Context: Preemptible, no VMCS current: all that it needs is in @vcpu.
 * Return: DF_RESUME, DF_TO_USER, or a negative errno.
 */
int exit_handle(struct df_vcpu *vcpu);

#endif
