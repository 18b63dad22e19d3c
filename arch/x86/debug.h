/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Debug registers, the guest's and those that user space debugs it with.
 *
 * MOV DR always exits, and #DB too: the guest's DR6 and DR7 are here, and its
 * breakpoints are in the CPU only while one of them is on.
 */
#ifndef DF_DEBUG_H
#define DF_DEBUG_H

#include "types.h"

/* What KVM_SET_GUEST_DEBUG takes; KVM_CAP_SET_GUEST_DEBUG2. */
#define DEBUG_GUEST_FLAGS (KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP |		\
			   KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_USE_HW_BP |		\
			   KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP |		\
			   KVM_GUESTDBG_BLOCKIRQ)

/* A breakpoint's two enable bits, of all four. */
#define DR7_ANY_ON	0xffULL

/* The flags and DR7 that the guest runs with. */
static inline u64 debug_rflags(const struct df_vcpu *vcpu)
{
	return vcpu->rflags | (vcpu->debug.control & KVM_GUESTDBG_SINGLESTEP ? X86_EFLAGS_TF : 0);
}

static inline u64 debug_dr7(const struct df_vcpu *vcpu)
{
	return vcpu->debug.control & KVM_GUESTDBG_USE_HW_BP ? vcpu->debug.arch.debugreg[7] :
							      vcpu->dr7;
}

/** debug_blocks_interrupts() - user space has the guest go on as if none came. */
static inline bool debug_blocks_interrupts(const struct df_vcpu *vcpu)
{
	return vcpu->debug.control & KVM_GUESTDBG_BLOCKIRQ;
}

static inline bool debug_has_breakpoints(const struct df_vcpu *vcpu)
{
	return debug_dr7(vcpu) & DR7_ANY_ON;
}

/** debug_reset() - the guest's registers after power-on or INIT. */
void debug_reset(struct df_vcpu *vcpu);

/** debug_load() - breakpoints into the CPU; preemption off. */
void debug_load(const struct df_vcpu *vcpu);

/** debug_hide() - an exit's @rflags become the guest's own; see debug_rflags(). */
void debug_hide(struct df_vcpu *vcpu);

/** debug_step() - an instruction with TF set is done: its trap. */
void debug_step(struct df_vcpu *vcpu);

/** debug_handle_mov() - MOV to or from a debug register. */
int debug_handle_mov(struct df_vcpu *vcpu);

/** debug_handle_db() - #DB: user space's, or the guest's after all. */
int debug_handle_db(struct df_vcpu *vcpu);

/** debug_exit() - tell user space, as of #BP, which exits only while it has breakpoints. */
int debug_exit(struct df_vcpu *vcpu, u8 vector, u64 cause);

/* The ioctls; the vCPU's lock held. */
int debug_get(struct df_vcpu *vcpu, void *arg);
int debug_set(struct df_vcpu *vcpu, void *arg);
int debug_set_guest_debug(struct df_vcpu *vcpu, void *arg);

#endif
