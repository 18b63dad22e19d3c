/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Instructions that the CPU leaves to us: moves from and to where no memory is,
 * and string port I/O.
 *
 * Nothing is remembered of such an instruction but the element that is on its
 * way.  A repeated one is an instruction for each element, as it is for an
 * interrupt: the registers say how far it came.
 */
#ifndef DF_EMULATE_ACCESS_H
#define DF_EMULATE_ACCESS_H

#include <linux/types.h>

#include "decode.h"

struct df_vcpu;

/**
 * struct df_access - one element on its way between the guest's memory and us
 * @insn: whose it is
 * @data: the element
 * @piece: where it is read, and then where it is written: each is one place, or two if
 *	it crosses pages
 * @nr: how many pieces there are
 * @next: which of them is to be read or written next
 */
struct df_access {
	struct df_insn insn;
	u64 data;
	struct df_access_piece {
		u64 gpa;
		u8 len;
		u8 at;		/* in the element */
		bool write;
	} piece[4];
	u8 nr, next;
};

/**
 * emulate_mmio() - finish the instruction that met no memory
 *
 * Context: The vCPU's lock held, after its exit; may sleep.
 * Return: DF_RESUME, DF_TO_USER with KVM_EXIT_MMIO or an emulation error, or
 * a negative errno.
 */
int emulate_mmio(struct df_vcpu *vcpu);

/**
 * emulate_failed() - leave KVM_RUN with KVM_INTERNAL_ERROR_EMULATION
 * @vcpu: the vCPU
 * @bytes: the instruction's, for whoever has an emulator
 * @n: how many are known, at most 15
 */
int emulate_failed(struct df_vcpu *vcpu, const u8 *bytes, size_t n);

/** emulate_string_io() - INS or OUTS, likewise, one element at a time. */
int emulate_string_io(struct df_vcpu *vcpu);

#endif
