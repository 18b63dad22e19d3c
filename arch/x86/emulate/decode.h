/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The few instructions that reach memory-mapped devices: MOV and its kin,
 * MOVS and STOS.  What is not among them is for user space to be told of.
 */
#ifndef DF_EMULATE_DECODE_H
#define DF_EMULATE_DECODE_H

#include <linux/types.h>

#define DF_INSN_MAX_BYTES	15

/* INS and OUTS are not decoded: the CPU tells. They step like the other strings. */
enum df_insn_kind {
	DF_INSN_LOAD, DF_INSN_STORE, DF_INSN_MOVS, DF_INSN_STOS, DF_INSN_INS, DF_INSN_OUTS
};

/**
 * struct df_insn - a decoded instruction
 * @kind: what it does with its memory operand
 * @len: bytes of the instruction
 * @size: bytes of the memory operand: 1, 2, 4 or 8
 * @reg: general register loaded or stored, as in ModRM; RAX in STOS
 * @reg_size: bytes of @reg that count: @size, or more in a load that extends
 * @high_byte: @reg is RAX to RBX, and AH, CH, DH or BH is meant
 * @sign_extend: a load that extends does so with the sign, not with zeros
 * @has_imm: @imm is stored, not @reg
 * @rep: repeat as often as RCX says
 * @rip_relative: add the next instruction's address
 * @address_size: bytes of addresses, and of a string's count: 2, 4 or 8
 * @segment: DF_SEG_* of the memory operand, in MOVS of the source; the
 *	destination of a string is in ES
 * @base: general register to add, or -1
 * @index: general register to add @scale times, or -1
 * @scale: 1, 2, 4 or 8
 * @disp: to add
 * @imm: sign-extended
 *
 * What a kind does not have is 0, or -1 of @base and @index, 1 of @scale.
 */
struct df_insn {
	enum df_insn_kind kind;
	u8 len, size, reg, reg_size;
	bool high_byte, sign_extend, has_imm, rep, rip_relative;
	u8 address_size, segment;
	s8 base, index;
	u8 scale;
	s64 disp;
	u64 imm;
};

/**
 * df_insn_decode() - make out an instruction
 * @insn: filled if 0 is returned
 * @bytes: the instruction, and maybe what comes after it
 * @n: how many
 * @mode_bytes: the default address size: 2, 4, or 8 in 64-bit mode
 *
 * Source: SDM volume 2, "Instruction Format".
 *
 * Context: Any, like all of this file. Pure: touches nothing but its arguments.
 * Return: 0, -EINVAL if it is none of ours, or -ENODATA if more than @n bytes
 * are needed to tell, which is never so if @n is DF_INSN_MAX_BYTES or more.
 */
int df_insn_decode(struct df_insn *insn, const u8 *bytes, size_t n, unsigned int mode_bytes);

/**
 * df_insn_offset() - where in its segment a load or store goes
 * @insn: the instruction
 * @regs: general registers
 * @rip: where the instruction is
 */
u64 df_insn_offset(const struct df_insn *insn, const u64 *regs, u64 rip);

/** df_insn_store_value() - what a store or STOS writes, in the low bytes; the rest is 0. */
u64 df_insn_store_value(const struct df_insn *insn, const u64 *regs);

/** df_insn_load() - @data, of which a load's @size bytes count, goes into its register. */
void df_insn_load(const struct df_insn *insn, u64 *regs, u64 data);

/* Where in its segment the next element of MOVS is read, of MOVS or STOS written. */
u64 df_insn_source(const struct df_insn *insn, const u64 *regs);
u64 df_insn_destination(const struct df_insn *insn, const u64 *regs);

/** df_insn_count() - elements that a MOVS or STOS has yet to do; 1 without REP. */
u64 df_insn_count(const struct df_insn *insn, const u64 *regs);

/**
 * df_insn_step() - registers as they are after one element of MOVS or STOS
 * @insn: the instruction; its df_insn_count() is not 0
 * @regs: general registers
 * @down: RFLAGS.DF
 *
 * Return: true if this was the last, so that RIP goes on. Otherwise RIP stays:
 * the instruction can be interrupted here and does the rest when run again.
 */
bool df_insn_step(const struct df_insn *insn, u64 *regs, bool down);

#endif
