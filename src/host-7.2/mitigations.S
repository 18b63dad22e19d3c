/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel's own macros against leaks refer to, and is exported to KVM alone:
 * the module has its own under the same names.
 */
#include <linux/linkage.h>
#include <asm/nospec-branch.h>
#include <asm/segment.h>

	.section .noinstr.text, "ax"

/*
 * Fills the history of branches with what the guest has no say in (Intel, "Branch
 * History Injection and Intra-mode Branch Target Injection"): calls, so that no loop
 * is run without its branches being recorded, with a loop in each.
 *
 * Clobbers:	%rax, %rcx, flags
 */
SYM_FUNC_START(clear_bhb_loop)
	mov	$5, %ecx
	call	fill_history
	lfence
	RET
SYM_FUNC_END(clear_bhb_loop)

SYM_FUNC_START_LOCAL(fill_history)
	mov	$5, %eax
.Lagain:
	jmp	.Lnext
	nop
.Lnext:
	sub	$1, %eax
	jnz	.Lagain
	sub	$1, %ecx
	jz	.Ldone
	call	fill_history
.Ldone:
	RET
SYM_FUNC_END(fill_history)

	.section .rodata, "a"

/* For VERW, which empties buffers only if its operand is in memory. */
SYM_DATA(x86_verw_sel, .word __KERNEL_DS)
