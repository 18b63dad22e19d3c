/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Into the guest and out again: the inner ring.
 */
#include <linux/linkage.h>
#include <asm/alternative.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>
#include <asm/percpu.h>
#include <asm/processor-flags.h>
#include <asm/segment.h>
#include <asm/unwind_hints.h>

#define VMCS_HOST_RSP	0x6c14		/* HOST_RSP; an enum in <asm/vmx.h> */
#define DF_RESUME	1		/* likewise, in arch.h */
#define DF_TO_WAKE	4		/* likewise, in run.h */

#define REG(n)		((n) * 8)	/* of the save area, in ModRM order */

/* From the save area at %rbx; then what the host's settings ask for at an entry. */
.macro LOAD_GUEST
	mov	REG(0)(%rbx), %rax
	mov	REG(1)(%rbx), %rcx
	mov	REG(2)(%rbx), %rdx
	mov	REG(5)(%rbx), %rbp
	mov	REG(6)(%rbx), %rsi
	mov	REG(7)(%rbx), %rdi
	mov	REG(8)(%rbx), %r8
	mov	REG(9)(%rbx), %r9
	mov	REG(10)(%rbx), %r10
	mov	REG(11)(%rbx), %r11
	mov	REG(12)(%rbx), %r12
	mov	REG(13)(%rbx), %r13
	mov	REG(14)(%rbx), %r14
	mov	REG(15)(%rbx), %r15
	mov	REG(3)(%rbx), %rbx

	/* MDS, TAA, RFDS, MMIO stale data. */
	CLEAR_CPU_BUFFERS
#ifdef VM_CLEAR_CPU_BUFFERS
	VM_CLEAR_CPU_BUFFERS
#endif
.endm

/* All but %rax and %rbx, which have something of the host's by then. */
.macro FORGET_GUEST
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%ebp, %ebp
	xor	%esi, %esi
	xor	%edi, %edi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	xor	%r12d, %r12d
	xor	%r13d, %r13d
	xor	%r14d, %r14d
	xor	%r15d, %r15d
.endm

	.section .noinstr.text, "ax"

/*
 * int vmx_enter(struct df_vcpu *vcpu, bool launched)
 *
 * Enters the guest of the current VMCS with its general registers from
 * @vcpu->regs, which come first in it. At each exit they are there again, and
 * run_exit() is asked whether to go on: DF_RESUME is to enter once more, and
 * DF_TO_WAKE to ask run_wake(). RSP is the VMCS's.
 *
 * In:		%rdi = @vcpu, %esi = @launched; interrupts off
 * Out:		%eax = what they said, -1 after VMfail, -2 after a fault
 * Clobbers:	what a C function may; of the guest's values none is left in a
 *		register, so that nothing can be speculated with them
 *
 * Stack, from the top, while the guest runs and in run_exit():
 *
 *	HOST_RSP ->	@vcpu
 *			%rbx %r12 %r13 %r14 %r15 %rbp
 *			return address
 *
 * What the guest's branches left in the history of the CPU may steer the host's
 * indirect branches (Branch History Injection), and returns that find no return
 * address predicted. Forgetting it costs more than most exits do. It is put off
 * until there is something to steer: run_exit(), and all that it calls, has no
 * indirect branch, and returns only to callers of after the exit.
 * tools/lint/inner-ring proves the one of the module's objects; the other is why
 * it is called from here. What else there is, run_wake() and the way out, comes
 * behind the clearing and its LFENCE, ahead of which nothing is speculated.
 *
 * Who can interrupt, with interrupts off, is an NMI or a machine check, as
 * between any exit and its clearing.
 */
SYM_FUNC_START(vmx_enter)
	push	%rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
	push	%rdi

	mov	$VMCS_HOST_RSP, %edx
.Lhost_rsp:
	vmwrite	%rsp, %rdx

	mov	%rdi, %rbx
	test	%esi, %esi
	jz	.Lfirst

.Lagain:
	LOAD_GUEST
	UNWIND_HINT_SAVE
.Lresume:
	vmresume
	jmp	.Lvmfail

.Lfirst:
	LOAD_GUEST
.Llaunch:
	vmlaunch
	jmp	.Lvmfail

	_ASM_EXTABLE(.Lhost_rsp, .Lfault)
	_ASM_EXTABLE(.Lresume, .Lfault)
	_ASM_EXTABLE(.Llaunch, .Lfault)

	/* HOST_RIP: every exit arrives here, with HOST_RSP in place. */
SYM_INNER_LABEL_ALIGN(vmx_exit_point, SYM_L_GLOBAL)
	UNWIND_HINT_RESTORE
	ENDBR
	push	%rax
	mov	8(%rsp), %rax
	pop	REG(0)(%rax)
	mov	%rcx, REG(1)(%rax)
	mov	%rdx, REG(2)(%rax)
	mov	%rbx, REG(3)(%rax)
	mov	%rbp, REG(5)(%rax)
	mov	%rsi, REG(6)(%rax)
	mov	%rdi, REG(7)(%rax)
	mov	%r8, REG(8)(%rax)
	mov	%r9, REG(9)(%rax)
	mov	%r10, REG(10)(%rax)
	mov	%r11, REG(11)(%rax)
	mov	%r12, REG(12)(%rax)
	mov	%r13, REG(13)(%rax)
	mov	%r14, REG(14)(%rax)
	mov	%r15, REG(15)(%rax)
	mov	%rax, %rbx
	FORGET_GUEST

	/* Before the first RET: no return prediction of the guest's making. */
	FILL_RETURN_BUFFER %rcx, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT, \
			   X86_FEATURE_RSB_VMEXIT_LITE
	/* Where the host runs with IBRS, it has to be written again after each exit. */
	ALTERNATIVE "jmp .Librs_done", "", X86_FEATURE_KERNEL_IBRS
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	mov	PER_CPU_VAR(x86_spec_ctrl_current), %eax
	mov	PER_CPU_VAR(x86_spec_ctrl_current + 4), %edx
	wrmsr
	lfence
.Librs_done:
	mov	%rbx, %rdi
	call	run_exit
	cmp	$DF_RESUME, %eax
	je	.Lagain
	cmp	$DF_TO_WAKE, %eax
	jne	.Lleave
	CLEAR_BRANCH_HISTORY_VMEXIT
	mov	%rbx, %rdi
	call	run_wake
	cmp	$DF_RESUME, %eax
	je	.Lagain

.Lleave:
	mov	%eax, %ebx
	CLEAR_BRANCH_HISTORY_VMEXIT
	mov	%ebx, %eax
	add	$8, %rsp
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
	RET

.Lvmfail:
	FORGET_GUEST
	mov	$-1, %eax
	jmp	.Lleave
.Lfault:
	FORGET_GUEST
	mov	$-2, %eax
	jmp	.Lleave
SYM_FUNC_END(vmx_enter)

/*
 * void vmx_call_gate(unsigned long gate, unsigned long flags)
 *
 * Calls the host's handler of an interrupt that an exit has acknowledged, with
 * the frame that the CPU would have pushed (SDM, "64-Bit Mode Stack Frame"); its
 * IRET comes back here, with @flags.
 *
 * In:		%rdi = @gate, an entry of the IDT; %rsi = @flags, RFLAGS
 * Clobbers:	nothing; the handler saves all
 */
SYM_FUNC_START(vmx_call_gate)
	push	%rbp
	mov	%rsp, %rbp
	and	$-16, %rsp
	push	$__KERNEL_DS
	push	%rbp
	push	%rsi
	push	$__KERNEL_CS
	CALL_NOSPEC rdi
	mov	%rbp, %rsp
	pop	%rbp
	RET
SYM_FUNC_END(vmx_call_gate)
