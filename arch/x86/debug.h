/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Debug registers, the guest's and those that user space debugs it with.
 *
 * MOV DR always exits, and #DB too: the guest's DR6 and DR7 are here, and its
 * breakpoints are in the CPU only while one of them is on.
 */
#ifndef DF_DEBUG_H
#define DF_DEBUG_H

#include <linux/kvm.h>

#include "types.h"

struct kvm_debugregs;

/* A breakpoint's two enable bits, of all four. */
#define DR7_ANY_ON	0xffULL

/* The flags and DR7 that the guest runs with. */
static inline u64 debug_rflags(const struct df_vcpu_arch *arch)
{
	return arch->rflags |
	       (arch->debug.control & KVM_GUESTDBG_SINGLESTEP ? X86_EFLAGS_TF : 0);
}

static inline u64 debug_dr7(const struct df_vcpu_arch *arch)
{
	return arch->debug.control & KVM_GUESTDBG_USE_HW_BP ? arch->debug.arch.debugreg[7] :
							      arch->dr7;
}

/** debug_blocks_interrupts() - user space has the guest go on as if none came. */
static inline bool debug_blocks_interrupts(const struct df_vcpu_arch *arch)
{
	return arch->debug.control & KVM_GUESTDBG_BLOCKIRQ;
}

static inline bool debug_has_breakpoints(const struct df_vcpu_arch *arch)
{
	return debug_dr7(arch) & DR7_ANY_ON;
}

/** debug_reset() - the guest's registers after power-on or INIT. */
void debug_reset(struct df_vcpu_arch *arch);

/** debug_load() - breakpoints into the CPU; preemption off. */
void debug_load(const struct df_vcpu_arch *arch);

/** debug_hide() - an exit's @rflags become the guest's own; see debug_rflags(). */
void debug_hide(struct df_vcpu_arch *arch);

/** debug_step() - an instruction with TF set is done: its trap. */
void debug_step(struct df_vcpu_arch *arch);

/** debug_handle_mov() - MOV to or from a debug register. */
int debug_handle_mov(struct df_vcpu *vcpu);

/** debug_handle_db() - #DB: user space's, or the guest's after all. */
int debug_handle_db(struct df_vcpu *vcpu);

/** debug_handle_bp() - #BP, which exits only while user space has breakpoints. */
int debug_handle_bp(struct df_vcpu *vcpu);

/* The ioctls; the vCPU's lock held. */
void debug_get(const struct df_vcpu_arch *arch, struct kvm_debugregs *regs);
int debug_set(struct df_vcpu_arch *arch, const struct kvm_debugregs *regs);
int debug_set_guest_debug(struct df_vcpu *vcpu, const struct kvm_guest_debug *debug);

/** debug_guest_debug_flags() - what KVM_SET_GUEST_DEBUG takes; KVM_CAP_SET_GUEST_DEBUG2. */
u32 debug_guest_debug_flags(void);

#endif
