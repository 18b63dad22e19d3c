// SPDX-License-Identifier: GPL-2.0-only
/*
 * The instruction decoder for memory-mapped devices.  Pure: it is also
 * compiled, and tested, on the build machine (selftests/unit/).
 */
#include <linux/bits.h>
#include <linux/errno.h>
#include <linux/kernel.h>

#include "../state.h"
#include "decode.h"

/* General registers as types.h has them, which is not fit for user space. */
enum { NONE = -1, RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

/* The low bits of a REX prefix, whose high half is 4 and so never 0. */
#define REX_W		BIT(3)
#define REX_R		BIT(2)
#define REX_X		BIT(1)
#define REX_B		BIT(0)

#define TWO_BYTES	0x0f00

/* Where the other operand of an instruction, and the memory address, come from. */
enum operands { MODRM, MODRM_IMM, MOFFS, STRING };

enum extend { AS_IS, ZERO, SIGN };

/**
 * struct form - a row of the table of instructions
 * @opcode: one byte, or TWO_BYTES and the one after 0F
 * @kind: what the instruction does
 * @operands: how they are encoded
 * @size: of memory in bytes, if the operand size is not less; 0 is that size
 * @extend: to the operand size, when loaded
 */
struct form {
	u16 opcode;
	enum df_insn_kind kind;
	enum operands operands;
	u8 size;
	enum extend extend;
};

static const struct form forms[] = {
	{ 0x88, DF_INSN_STORE, MODRM, 1, AS_IS },		/* MOV r/m, r */
	{ 0x89, DF_INSN_STORE, MODRM, 0, AS_IS },
	{ 0x8a, DF_INSN_LOAD, MODRM, 1, AS_IS },		/* MOV r, r/m */
	{ 0x8b, DF_INSN_LOAD, MODRM, 0, AS_IS },
	{ 0xc6, DF_INSN_STORE, MODRM_IMM, 1, AS_IS },		/* MOV r/m, imm */
	{ 0xc7, DF_INSN_STORE, MODRM_IMM, 0, AS_IS },
	{ 0xa0, DF_INSN_LOAD, MOFFS, 1, AS_IS },		/* MOV rAX, moffs */
	{ 0xa1, DF_INSN_LOAD, MOFFS, 0, AS_IS },
	{ 0xa2, DF_INSN_STORE, MOFFS, 1, AS_IS },		/* MOV moffs, rAX */
	{ 0xa3, DF_INSN_STORE, MOFFS, 0, AS_IS },
	{ 0xa4, DF_INSN_MOVS, STRING, 1, AS_IS },
	{ 0xa5, DF_INSN_MOVS, STRING, 0, AS_IS },
	{ 0xaa, DF_INSN_STOS, STRING, 1, AS_IS },
	{ 0xab, DF_INSN_STOS, STRING, 0, AS_IS },
	{ 0x63, DF_INSN_LOAD, MODRM, 4, SIGN },			/* MOVSXD */
	{ TWO_BYTES | 0xb6, DF_INSN_LOAD, MODRM, 1, ZERO },	/* MOVZX */
	{ TWO_BYTES | 0xb7, DF_INSN_LOAD, MODRM, 2, ZERO },
	{ TWO_BYTES | 0xbe, DF_INSN_LOAD, MODRM, 1, SIGN },	/* MOVSX */
	{ TWO_BYTES | 0xbf, DF_INSN_LOAD, MODRM, 2, SIGN },
};

/**
 * struct decoder - how far decoding is
 * @bytes: the instruction
 * @n: how many of it there are
 * @at: how many have been taken
 * @mode: default address size in bytes
 * @error: the first; once set, bytes that are taken are 0
 * @rex: the REX prefix before the opcode, or 0
 * @segment: that a prefix names, or NONE
 * @operand_prefix: 66 seen
 * @address_prefix: 67 seen
 * @rep: F2 or F3 seen
 */
struct decoder {
	const u8 *bytes;
	size_t n, at;
	unsigned int mode;
	int error;
	u8 rex;
	int segment;
	bool operand_prefix, address_prefix, rep;
};

static u64 low_bytes(u64 value, unsigned int bytes)
{
	return value & GENMASK_ULL(8 * bytes - 1, 0);
}

static u64 sign_extend(u64 value, unsigned int bytes)
{
	unsigned int shift = 64 - 8 * bytes;

	return (s64)(value << shift) >> shift;
}

static void fail(struct decoder *d, int error)
{
	if (!d->error)
		d->error = error;
}

static u64 take(struct decoder *d, unsigned int count)
{
	u64 value = 0;

	if (d->at + count > DF_INSN_MAX_BYTES)
		fail(d, -EINVAL);
	else if (d->at + count > d->n)
		fail(d, -ENODATA);
	if (d->error)
		return 0;
	for (unsigned int i = 0; i < count; i++)
		value |= (u64)d->bytes[d->at++] << (8 * i);
	return value;
}

static u64 take_signed(struct decoder *d, unsigned int count)
{
	return sign_extend(take(d, count), count);
}

/* In 64-bit mode only FS and GS are segments that a prefix can choose. */
static void choose_segment(struct decoder *d, int segment)
{
	if (d->mode < 8 || segment >= DF_SEG_FS)
		d->segment = segment;
}

static bool is_prefix(struct decoder *d, u8 byte)
{
	switch (byte) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
		choose_segment(d, DF_SEG_ES + (byte - 0x26) / 8);
		return true;
	case 0x64:
	case 0x65:
		choose_segment(d, DF_SEG_FS + (byte - 0x64));
		return true;
	case 0x66:
		d->operand_prefix = true;
		return true;
	case 0x67:
		d->address_prefix = true;
		return true;
	case 0xf2:
	case 0xf3:
		d->rep = true;
		return true;
	default:
		return false;
	}
}

/*
 * LOCK is a prefix that none of ours may have, and so fails like an opcode
 * that is none of ours.
 */
static unsigned int take_opcode(struct decoder *d)
{
	u8 byte = take(d, 1);

	for (;; byte = take(d, 1)) {
		if (d->mode == 8 && (byte & 0xf0) == 0x40)
			d->rex = byte;
		else if (is_prefix(d, byte))
			d->rex = 0;	/* it was not right before the opcode */
		else
			break;
	}
	return byte == 0x0f ? TWO_BYTES | take(d, 1) : byte;
}

/* 63 is MOVSXD in 64-bit mode only; before, it is ARPL. */
static const struct form *find_form(const struct decoder *d, unsigned int opcode)
{
	if (opcode == 0x63 && d->mode != 8)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
		if (forms[i].opcode == opcode)
			return &forms[i];
	return NULL;
}

static unsigned int operand_size(const struct decoder *d)
{
	if (d->rex & REX_W)
		return 8;
	return (d->mode == 2) == d->operand_prefix ? 4 : 2;
}

static unsigned int address_size(const struct decoder *d)
{
	if (!d->address_prefix)
		return d->mode;
	return d->mode == 4 ? 2 : 4;
}

/* The fourth bit of a register's number. */
static unsigned int rex_bit(const struct decoder *d, unsigned int bit)
{
	return d->rex & bit ? 8 : 0;
}

static void take_base16(struct df_insn *insn, unsigned int mod, unsigned int rm)
{
	static const struct {
		s8 base, index;
	} registers[8] = {
		{ RBX, RSI }, { RBX, RDI }, { RBP, RSI }, { RBP, RDI },
		{ RSI, NONE }, { RDI, NONE }, { RBP, NONE }, { RBX, NONE },
	};

	if (mod == 0 && rm == RSI)	/* in BP's place */
		return;
	insn->base = registers[rm].base;
	insn->index = registers[rm].index;
}

/*
 * RSP's number, which calls for a SIB byte or says that it has no index, and
 * RBP's, which says that there is no base, are compared before REX makes
 * another register of a base, and after it does so of an index.
 */
static void take_base32(struct decoder *d, struct df_insn *insn, unsigned int mod, unsigned int rm)
{
	bool has_sib = rm == RSP;

	if (has_sib) {
		u8 sib = take(d, 1);
		unsigned int index = (sib >> 3 & 7) + rex_bit(d, REX_X);

		if (index != RSP) {
			insn->index = index;
			insn->scale = 1 << (sib >> 6);
		}
		rm = sib & 7;
	}
	if (mod == 0 && rm == RBP)
		insn->rip_relative = !has_sib && d->mode == 8;
	else
		insn->base = rm + rex_bit(d, REX_B);
}

static void take_displacement(struct decoder *d, struct df_insn *insn, unsigned int mod)
{
	if (mod == 1)
		insn->disp = take_signed(d, 1);
	else if (mod == 2 || insn->base == NONE)
		insn->disp = take_signed(d, min_t(unsigned int, 4, insn->address_size));
}

static void take_modrm(struct decoder *d, struct df_insn *insn)
{
	u8 modrm = take(d, 1);
	unsigned int mod = modrm >> 6;
	unsigned int rm = modrm & 7;

	if (mod == 3)
		fail(d, -EINVAL);
	insn->reg = (modrm >> 3 & 7) + rex_bit(d, REX_R);
	if (insn->address_size == 2)
		take_base16(insn, mod, rm);
	else
		take_base32(d, insn, mod, rm);
	if (insn->base == RSP || insn->base == RBP)
		insn->segment = DF_SEG_SS;
	take_displacement(d, insn, mod);
}

/* Without REX, the byte registers from the fifth on are the first four's high bytes. */
static void choose_byte_register(const struct decoder *d, struct df_insn *insn)
{
	if (insn->reg_size == 1 && !d->rex && insn->reg >= 4) {
		insn->high_byte = true;
		insn->reg -= 4;
	}
}

/* The register's place in ModRM, but not REX's bit, belongs to the opcode. */
static void take_immediate(struct decoder *d, struct df_insn *insn)
{
	if (insn->reg & 7)
		fail(d, -EINVAL);
	insn->reg = 0;
	insn->has_imm = true;
	insn->imm = take_signed(d, min_t(unsigned int, 4, insn->size));
}

static void take_operands(struct decoder *d, struct df_insn *insn, enum operands operands)
{
	switch (operands) {
	case MODRM:
		take_modrm(d, insn);
		choose_byte_register(d, insn);
		break;
	case MODRM_IMM:
		take_modrm(d, insn);
		take_immediate(d, insn);
		break;
	case MOFFS:
		insn->disp = take(d, insn->address_size);
		break;
	case STRING:
		insn->rep = d->rep;
		break;
	}
}

/* STOS has a destination only, and that is in ES whatever a prefix says. */
static u8 final_segment(const struct decoder *d, const struct df_insn *insn)
{
	if (insn->kind == DF_INSN_STOS)
		return DF_SEG_ES;
	return d->segment == NONE ? insn->segment : d->segment;
}

static void decode_form(struct decoder *d, struct df_insn *insn, const struct form *form)
{
	unsigned int operand = operand_size(d);
	unsigned int size = form->size ? min_t(unsigned int, form->size, operand) : operand;

	*insn = (struct df_insn){
		.kind = form->kind,
		.size = size,
		.reg_size = form->extend == AS_IS ? size : operand,
		.sign_extend = form->extend == SIGN,
		.address_size = address_size(d),
		.segment = DF_SEG_DS,
		.base = NONE,
		.index = NONE,
		.scale = 1,
	};
	take_operands(d, insn, form->operands);
	insn->segment = final_segment(d, insn);
	insn->len = d->at;
}

int df_insn_decode(struct df_insn *insn, const u8 *bytes, size_t n, unsigned int mode_bytes)
{
	struct decoder d = { .bytes = bytes, .n = n, .mode = mode_bytes, .segment = NONE };
	const struct form *form = find_form(&d, take_opcode(&d));

	if (!form)
		fail(&d, -EINVAL);
	else
		decode_form(&d, insn, form);
	return d.error;
}

/* A write to a register: 4 bytes clear the other 4, fewer leave the rest. */
static void write_register(u64 *reg, u64 value, unsigned int bytes)
{
	u64 keep = bytes < 4 ? ~low_bytes(~0ULL, bytes) : 0;

	*reg = (*reg & keep) | low_bytes(value, bytes);
}

u64 df_insn_offset(const struct df_insn *insn, const u64 *regs, u64 rip)
{
	u64 offset = insn->disp;

	if (insn->base != NONE)
		offset += regs[insn->base];
	if (insn->index != NONE)
		offset += regs[insn->index] * insn->scale;
	if (insn->rip_relative)
		offset += rip + insn->len;
	return low_bytes(offset, insn->address_size);
}

u64 df_insn_store_value(const struct df_insn *insn, const u64 *regs)
{
	u64 value = insn->has_imm ? insn->imm : regs[insn->reg];

	return low_bytes(insn->high_byte ? value >> 8 : value, insn->size);
}

void df_insn_load(const struct df_insn *insn, u64 *regs, u64 data)
{
	u64 *reg = &regs[insn->reg];
	u64 value = low_bytes(data, insn->size);

	if (insn->sign_extend)
		value = sign_extend(value, insn->size);
	if (insn->high_byte)
		write_register(reg, value << 8 | low_bytes(*reg, 1), 2);
	else
		write_register(reg, value, insn->reg_size);
}

u64 df_insn_source(const struct df_insn *insn, const u64 *regs)
{
	return low_bytes(regs[RSI], insn->address_size);
}

u64 df_insn_destination(const struct df_insn *insn, const u64 *regs)
{
	return low_bytes(regs[RDI], insn->address_size);
}

u64 df_insn_count(const struct df_insn *insn, const u64 *regs)
{
	return insn->rep ? low_bytes(regs[RCX], insn->address_size) : 1;
}

static void add_to_register(const struct df_insn *insn, u64 *reg, int delta)
{
	write_register(reg, *reg + delta, insn->address_size);
}

bool df_insn_step(const struct df_insn *insn, u64 *regs, bool down)
{
	int delta = down ? -insn->size : insn->size;

	if (insn->kind == DF_INSN_MOVS || insn->kind == DF_INSN_OUTS)
		add_to_register(insn, &regs[RSI], delta);
	if (insn->kind != DF_INSN_OUTS)
		add_to_register(insn, &regs[RDI], delta);
	if (!insn->rep)
		return true;
	add_to_register(insn, &regs[RCX], -1);
	return !df_insn_count(insn, regs);
}
