/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Boot sector: start a kernel that is already in memory.
 *
 * The emulator has loaded the flat kernel image, the initrd and the boot page
 * (layout.h) straight into RAM.  All that is left to do is what only firmware
 * can answer (the E820 map), and the jump: 32-bit protected mode, flat
 * segments, paging off, %ebx = start_info, as the PVH boot protocol asks.
 *
 * In:		%cs:%ip = 0:0x7c00, real mode, BIOS services alive
 * Stack:	grows down from 0x7c00
 */
#include "layout.h"

#define E820_ENTRY_SIZE		24
#define E820_SMAP		0x534d4150
#define BOOT_SEG		(BOOT_PAGE >> 4)

	.code16
	.globl	_start
_start:
	cli
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %ss
	movw	$0x7c00, %sp
	ljmp	$0, $1f
1:
	/* INT 15h E820, one entry a call, straight into the memmap. */
	movw	$BOOT_SEG, %ax
	movw	%ax, %es
	movw	$BOOT_MEMMAP, %di
	xorl	%ebx, %ebx
	xorw	%bp, %bp
next_range:
	movl	$0xe820, %eax
	movl	$E820_SMAP, %edx
	movl	$20, %ecx
	int	$0x15
	jc	ranges_done
	movl	$0, %es:20(%di)
	addw	$E820_ENTRY_SIZE, %di
	incw	%bp
	cmpw	$BOOT_MEMMAP_MAX, %bp
	jae	ranges_done
	testl	%ebx, %ebx
	jnz	next_range
ranges_done:
	cli
	movw	%bp, %es:BOOT_MEMMAP_ENTRIES

	inb	$0x92, %al			/* A20 on */
	orb	$2, %al
	andb	$0xfe, %al
	outb	%al, $0x92

	lgdtl	gdt_pointer
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	ljmpl	$0x08, $protected

	.code32
protected:
	movw	$0x10, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	xorl	%eax, %eax
	movw	%ax, %fs
	movw	%ax, %gs
	movl	$BOOT_PAGE + BOOT_START_INFO, %ebx
	jmp	*BOOT_PAGE + BOOT_ENTRY

	.balign	8
gdt:
	.quad	0
	.quad	0x00cf9a000000ffff		/* 0x08: code, flat, 32-bit */
	.quad	0x00cf92000000ffff		/* 0x10: data, flat, 32-bit */
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt

	.org	510
	.word	0xaa55
