/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DF_RUN_H
#define DF_RUN_H

#include <uapi/asm/processor-flags.h>

#include "arch.h"
#include "debug.h"
#include "vcpu.h"
#include "vmx/operation.h"

/* What an exit needs that the inner ring cannot do; beside DF_RESUME and DF_TO_USER. */
enum {
	DF_TO_MIDDLE = 2,
	DF_TO_HOST,	/* it is an event of the host's, or the host has work */
	DF_TO_WAKE,	/* others are to be woken, and the guest can go on */
	DF_NO_ENTRY,	/* it is none: the CPU refused the guest's state */
	DF_UNHANDLED,	/* to be looked at outside of the ring */
};

/** run_init() - once, at load. Context: Process context. */
void run_init(void);

/**
 * run_vmcs_begin() - look into a vCPU's VMCS from outside the run loop
 *
 * Context: The vCPU's lock held. Preemption is off until run_vmcs_end().
 * Return: 0 or -EIO.
 */
int run_vmcs_begin(struct df_vcpu *vcpu);
void run_vmcs_end(void);

/**
 * run_request_all() - ask all vCPUs to do something before they enter the guest again
 * @vm: the VM
 * @request: a DF_REQ_*
 *
 * When it returns, none is in the guest without having seen the request.
 *
 * Context: Process context, interrupts on. A vCPU that is being made does not hear of it.
 */
void run_request_all(struct df_vm *vm, int request);

/** run_write_dirty() - what is newer in the caches than in the VMCS; the VMCS current. */
void run_write_dirty(struct df_vcpu *vcpu);

/**
 * run_exit() - for vmx_enter(), after every exit
 *
 * Context: Interrupts off, the VMCS current; to RCU the guest may still run.
 * Return: DF_RESUME to enter again, with all in place, or why not.
 */
int run_exit(struct df_vcpu *vcpu);

/**
 * run_wake() - for vmx_enter(), when run_exit() has said DF_TO_WAKE
 *
 * Context: Interrupts off, the VMCS current, the guest's FPU in the CPU.
 * Return: DF_RESUME with all in place, DF_TO_HOST, or DF_TO_WAKE if it has to be done outside.
 */
int run_wake(struct df_vcpu *vcpu);

/**
 * exit_handle_inner() - exits that need only what is at hand
 *
 * Context: Interrupts off, the VMCS current; no indirect branch, see vmx_enter().
 * RIP and RFLAGS are in the VMCS alone.
 * Return: DF_RESUME with all in place for an entry, DF_TO_USER, DF_TO_HOST,
 * DF_TO_WAKE, DF_NO_ENTRY, or DF_TO_MIDDLE for all others.
 */
int exit_handle_inner(struct df_vcpu *vcpu);

/**
 * run_prepare() - an inner exit is handled, and not all of it is in the VMCS
 *
 * An event is to go in, a timer runs, something was posted to itself.
 *
 * Return: DF_RESUME.
 */
int run_prepare(struct df_vcpu *vcpu);

/** exit_handle_host() - what came for the host while the guest ran. Context: Interrupts off. */
void exit_handle_host(struct df_vcpu *vcpu);

/**
 * exit_handle() - the middle ring: an exit, with the kernel as it always is
 *
 * Context: Preemptible, no VMCS current: all that it needs is in @vcpu.
 * Return: DF_RESUME, DF_TO_USER, or a negative errno.
 */
int exit_handle(struct df_vcpu *vcpu);

/**
 * run_trap_and() - what follows an instruction with TF set, which run_skip() was called for
 * @vcpu: the vCPU
 * @next: what run_exit() is to return
 *
 * The guest's own trap, or, if user space steps it, the CPU's behind the instruction.
 *
 * Return: @next; if it is DF_RESUME, all is in place.
 */
int run_trap_and(struct df_vcpu *vcpu, int next);

/**
 * run_skip() - past the instruction that caused the exit, in the inner ring
 *
 * As after any instruction: interrupts are no longer held up by STI or MOV SS.
 *
 * Return: whether a trap is due, and run_trap_and() is to be called.
 */
static __always_inline bool run_skip(void)
{
	u64 shadow = vmcs_peek(GUEST_INTERRUPTIBILITY_INFO);

	vmcs_poke(GUEST_RIP, vmcs_peek(GUEST_RIP) + vmcs_peek(VM_EXIT_INSTRUCTION_LEN));
	if (unlikely(shadow & (GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS)))
		vmcs_poke(GUEST_INTERRUPTIBILITY_INFO,
			  shadow & ~(u64)(GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS));
	return unlikely(vmcs_peek(GUEST_RFLAGS) & X86_EFLAGS_TF);
}

/** run_finish() - the instruction is done: the guest goes on behind it. Return: DF_RESUME. */
static __always_inline int run_finish(struct df_vcpu *vcpu)
{
	if (run_skip())
		return run_trap_and(vcpu, DF_RESUME);
	return unlikely(vcpu->lapic.deadline) ? run_prepare(vcpu) : DF_RESUME;
}

/** run_finish_posted() - likewise, and something may have been posted to itself. */
static __always_inline int run_finish_posted(struct df_vcpu *vcpu)
{
	return run_skip() ? run_trap_and(vcpu, DF_RESUME) : run_prepare(vcpu);
}

/** run_finish_and() - the instruction is done, and that is to be done next. Returns @next. */
static __always_inline int run_finish_and(struct df_vcpu *vcpu, int next)
{
	return run_skip() ? run_trap_and(vcpu, next) : next;
}

/** exit_skip() - past the instruction that caused the exit, with no VMCS in hand. */
static inline void exit_skip(struct df_vcpu *vcpu)
{
	vcpu->rip += vcpu->exit.insn_len;
	vcpu->dirty |= DF_DIRTY_PAST;
	if (unlikely(vcpu->rflags & X86_EFLAGS_TF))
		debug_step(vcpu);
}

/** exit_to_user() - leave KVM_RUN with this KVM_EXIT_*. */
static inline int exit_to_user(struct df_vcpu *vcpu, u32 reason)
{
	vcpu->run->exit_reason = reason;
	return DF_TO_USER;
}

/* Of the exit qualification for I/O instructions. */
#define IO_SIZE(q)	(((q) & 7) + 1)
#define IO_IN		BIT(3)
#define IO_STRING	BIT(4)
#define IO_REP		BIT(5)
#define IO_PORT(q)	((q) >> 16 & 0xffff)

/** exit_pio() - leave KVM_RUN for one element of port I/O; its data is in place. */
int exit_pio(struct df_vcpu *vcpu, u64 qualification);

#endif
