/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DF_RUN_H
#define DF_RUN_H

#include <linux/bits.h>
#include <linux/types.h>

struct df_vcpu;
struct df_vcpu_arch;

/* What an exit needs that the inner ring cannot do; beside DF_RESUME and DF_TO_USER. */
#define DF_TO_MIDDLE	2

/**
 * run_vmcs_begin() - look into a vCPU's VMCS from outside the run loop
 *
 * Context: The vCPU's lock held. Preemption is off until run_vmcs_end().
 * Return: 0 or -EIO.
 */
int run_vmcs_begin(struct df_vcpu_arch *arch);
void run_vmcs_end(void);

/** run_write_dirty() - what is newer in the caches than in the VMCS; the VMCS current. */
void run_write_dirty(struct df_vcpu_arch *arch);

/**
 * exit_handle_inner() - exits that need only what is at hand
 *
 * Context: Interrupts off, the VMCS current.
 * Return: DF_RESUME, or DF_TO_MIDDLE for all others.
 */
int exit_handle_inner(struct df_vcpu *vcpu);

/**
 * exit_handle() - the middle ring: an exit, with the kernel as it always is
 *
 * Context: Preemptible, no VMCS current: all that it needs is in @vcpu.
 * Return: DF_RESUME, DF_TO_USER, or a negative errno.
 */
int exit_handle(struct df_vcpu *vcpu);

/** exit_skip() - past the instruction that caused the exit. */
void exit_skip(struct df_vcpu_arch *arch);

/** exit_to_user() - leave KVM_RUN with this KVM_EXIT_*. */
int exit_to_user(struct df_vcpu *vcpu, u32 reason);

/* Of the exit qualification for I/O instructions. */
#define IO_SIZE(q)	(((q) & 7) + 1)
#define IO_IN		BIT(3)
#define IO_STRING	BIT(4)
#define IO_REP		BIT(5)
#define IO_PORT(q)	((q) >> 16 & 0xffff)

/** exit_pio() - leave KVM_RUN for one element of port I/O; its data is in place. */
int exit_pio(struct df_vcpu *vcpu, u64 qualification);

/** exit_unexpected() - leave KVM_RUN with all that is known of an exit that should not be. */
int exit_unexpected(struct df_vcpu *vcpu);

#endif
