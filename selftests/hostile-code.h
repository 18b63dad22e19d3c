/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Random numbers, numbers that hypervisors trip over, and streams of instructions that
 * exit, fault, or change what the next ones mean.
 */
#ifndef SELFTESTS_HOSTILE_CODE_H
#define SELFTESTS_HOSTILE_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* xorshift64*: the same numbers from the same seed. */
struct random {
	uint64_t state;
};

static inline uint64_t random_next(struct random *r)
{
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return r->state * 0x2545f4914f6cdd1d;
}

static inline struct random random_of(uint64_t seed, uint64_t program)
{
	struct random r = { (seed ^ program * 0x9e3779b97f4a7c15) | 1 };

	for (int i = 0; i < 8; i++)
		random_next(&r);
	return r;
}

static inline uint64_t below(struct random *r, uint64_t n)
{
	return (random_next(r) >> 32) % n;
}

static inline bool one_in(struct random *r, unsigned int n)
{
	return !below(r, n);
}

#define PICK(r, array) ((array)[below(r, sizeof(array) / sizeof((array)[0]))])

static inline void random_bytes(struct random *r, void *to, size_t size)
{
	for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
		uint64_t value = random_next(r);

		memcpy((uint8_t *)to + i, &value, size - i < 8 ? size - i : 8);
	}
}

static inline uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *value = getenv(name);

	return value ? strtoull(value, NULL, 0) : otherwise;
}

/* --- numbers -------------------------------------------------------------- */

/*
 * Where a guest's addresses are: 16 pages of memory, as many where there is some and
 * some not, and as many that its tables, if it has any, lead elsewhere.
 */
#define LINEAR_PAGES 48
#define ELSEWHERE 32
#define APIC_PAGE 33 /* the one of them that is the APIC's */

static inline uint64_t hostile_address(struct random *r)
{
	static const uint64_t odd[] = { ~0ULL,	     ~7ULL,	 1ULL << 47, (1ULL << 47) - 4,
					~0ULL << 47, 0xfee00000, 0xfffff000, 0xfffffffe,
					1ULL << 52 };
	uint64_t page = below(r, LINEAR_PAGES) << 12;

	switch (below(r, 8)) {
	case 0:
		return PICK(r, odd);
	case 1:
		return page + 0xff8 + below(r, 8);
	case 2:
		return (APIC_PAGE << 12) + (below(r, 64) << 4);
	case 3:
		return page + below(r, 64) * 8;
	default:
		return page + below(r, 4096);
	}
}

static inline uint32_t hostile_msr(struct random *r)
{
	static const uint32_t known[] = {
		0x10,	    0x1b,	0x3a,	    0x3b,	0x48,	    0x49,	0x8b,
		0xce,	    0xe1,	0xe7,	    0xfe,	0x10a,	    0x10b,	0x122,
		0x140,	    0x174,	0x175,	    0x176,	0x179,	    0x17a,	0x17b,
		0x186,	    0x199,	0x1a0,	    0x1c4,	0x1d9,	    0x1db,	0x277,
		0x2ff,	    0x309,	0x345,	    0x38d,	0x38f,	    0x480,	0x491,
		0x4d0,	    0x560,	0x570,	    0x600,	0x606,	    0x6a0,	0x6a2,
		0x6a4,	    0x6a8,	0x6e0,	    0x6e1,	0xc80,	    0xd90,	0xda0,
		0x14ce,	    0x40000000, 0x40000001, 0x40000020, 0x4b564d00, 0x4b564d01, 0x4b564d02,
		0x4b564d03, 0x4b564d04, 0x4b564d05, 0x4b564d06, 0x4b564d07, 0xc0000080, 0xc0000081,
		0xc0000082, 0xc0000083, 0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102, 0xc0000103,
		0xc0010015, 0xc001001f, 0xc0010114, 0xc0010117,
	};

	switch (below(r, 8)) {
	case 0:
		return random_next(r);
	case 1:
		return 0x200 + below(r, 0x100);
	case 2:
		return 0x400 + below(r, 0x80);
	case 3:
	case 4:
		return 0x800 + below(r, 0x40);
	default:
		return PICK(r, known);
	}
}

/* Of an ICR: any delivery mode, to any of those that there are, and to some that are not. */
static inline uint64_t hostile_icr(struct random *r)
{
	uint64_t low = below(r, 256) | below(r, 8) << 8 | below(r, 2) << 11 | below(r, 4) << 14 |
		       below(r, 4) << 18;

	return low | (one_in(r, 4) ? random_next(r) << 32 : below(r, 4) << 32);
}

static inline uint64_t hostile_number(struct random *r)
{
	switch (below(r, 8)) {
	case 0:
		return 0;
	case 1:
		return ~0ULL;
	case 2:
		return random_next(r);
	case 3:
		return 1ULL << below(r, 64);
	case 4:
		return below(r, 64);
	case 5:
		return hostile_msr(r);
	case 6:
		return hostile_icr(r);
	default:
		return hostile_address(r) | one_in(r, 2);
	}
}

/* --- instructions --------------------------------------------------------- */

enum operand { NONE, MEMORY, REGISTER, EITHER };

#define ANY_REG (-1)

/* Opcode; what its ModRM has; the register or extension there; immediate bytes. */
struct form {
	const char *opcode;
	uint8_t size;
	enum operand operand;
	int8_t reg;
	uint8_t immediate;
};

#define FORM(opcode, ...)                               \
	{                                               \
		opcode, sizeof(opcode) - 1, __VA_ARGS__ \
	}

static const struct form hostile_forms[] = {
	/* moves: what the MMIO decoder knows, twice as often as others */
	FORM("\x88", MEMORY, ANY_REG, 0),
	FORM("\x89", MEMORY, ANY_REG, 0),
	FORM("\x8a", MEMORY, ANY_REG, 0),
	FORM("\x8b", MEMORY, ANY_REG, 0),
	FORM("\x89", MEMORY, ANY_REG, 0),
	FORM("\x8b", MEMORY, ANY_REG, 0),
	FORM("\xc6", MEMORY, 0, 1),
	FORM("\xc7", MEMORY, 0, 4),
	FORM("\x0f\xb6", MEMORY, ANY_REG, 0),
	FORM("\x0f\xb7", MEMORY, ANY_REG, 0),
	FORM("\x0f\xbe", MEMORY, ANY_REG, 0),
	FORM("\x0f\xbf", MEMORY, ANY_REG, 0),
	FORM("\x63", MEMORY, ANY_REG, 0),
	FORM("\xa4", NONE, 0, 0),
	FORM("\xa5", NONE, 0, 0),
	FORM("\xaa", NONE, 0, 0),
	FORM("\xab", NONE, 0, 0),
	/* and what it does not */
	FORM("\xac", NONE, 0, 0),
	FORM("\xa7", NONE, 0, 0),
	FORM("\xaf", NONE, 0, 0),
	FORM("\x01", MEMORY, ANY_REG, 0),
	FORM("\x87", MEMORY, ANY_REG, 0),
	FORM("\xf0\x0f\xb1", MEMORY, ANY_REG, 0),
	FORM("\x0f\xc7", MEMORY, 1, 0),
	FORM("\xff", MEMORY, 6, 0),
	FORM("\x8f", MEMORY, 0, 0),
	FORM("\x0f\x11", MEMORY, ANY_REG, 0),
	FORM("\xc5\xfe\x6f", MEMORY, ANY_REG, 0),
	FORM("\x62\xf1\x7e\x48\x7f", MEMORY, ANY_REG, 0),
	FORM("\x0f\xae", MEMORY, ANY_REG, 0),
	FORM("\xdf", MEMORY, ANY_REG, 0),
	FORM("\xd9", MEMORY, ANY_REG, 0),
	FORM("\x66\x0f\x38\xf8", MEMORY, ANY_REG, 0),
	FORM("\x0f\x38\xf9", MEMORY, ANY_REG, 0),
	/* ports */
	FORM("\xe4", NONE, 0, 1),
	FORM("\xe5", NONE, 0, 1),
	FORM("\xe6", NONE, 0, 1),
	FORM("\xe7", NONE, 0, 1),
	FORM("\xec", NONE, 0, 0),
	FORM("\xed", NONE, 0, 0),
	FORM("\xee", NONE, 0, 0),
	FORM("\xef", NONE, 0, 0),
	FORM("\x6c", NONE, 0, 0),
	FORM("\x6d", NONE, 0, 0),
	FORM("\x6e", NONE, 0, 0),
	FORM("\x6f", NONE, 0, 0),
	/* MSRs, CPUID, counters, random numbers, processes' bases and keys */
	FORM("\x0f\x30", NONE, 0, 0),
	FORM("\x0f\x30", NONE, 0, 0),
	FORM("\x0f\x32", NONE, 0, 0),
	FORM("\x0f\x32", NONE, 0, 0),
	FORM("\x0f\xa2", NONE, 0, 0),
	FORM("\x0f\x31", NONE, 0, 0),
	FORM("\x0f\x33", NONE, 0, 0),
	FORM("\x0f\x01\xf9", NONE, 0, 0),
	FORM("\xf3\x0f\xc7", REGISTER, 7, 0),
	FORM("\x0f\xc7", REGISTER, ANY_REG, 0),
	FORM("\xf3\x0f\xae", REGISTER, ANY_REG, 0),
	FORM("\x0f\x01\xef", NONE, 0, 0),
	FORM("\x0f\x01\xf8", NONE, 0, 0),
	/* hypercalls, VMX, SGX, waiting */
	FORM("\x0f\x01\xc1", NONE, 0, 0),
	FORM("\x0f\x01\xc1", NONE, 0, 0),
	FORM("\x0f\x01\xd9", NONE, 0, 0),
	FORM("\x0f\x01", REGISTER, 0, 0),
	FORM("\x0f\x01", REGISTER, 1, 0),
	FORM("\x0f\x01", REGISTER, 2, 0),
	FORM("\x0f\xc7", MEMORY, ANY_REG, 0),
	FORM("\x66\x0f\xc7", MEMORY, 6, 0),
	FORM("\xf3\x0f\xc7", MEMORY, 6, 0),
	FORM("\x0f\x78", EITHER, ANY_REG, 0),
	FORM("\x0f\x79", EITHER, ANY_REG, 0),
	FORM("\x66\x0f\x38\x80", MEMORY, ANY_REG, 0),
	FORM("\x66\x0f\x38\x81", MEMORY, ANY_REG, 0),
	FORM("\x66\x0f\x38\x82", MEMORY, ANY_REG, 0),
	FORM("\x0f\x01\xc8", NONE, 0, 0),
	FORM("\x0f\x01\xc9", NONE, 0, 0),
	FORM("\xf3\x90", NONE, 0, 0),
	FORM("\xf4", NONE, 0, 0),
	FORM("\x66\x0f\xae", REGISTER, 6, 0),
	FORM("\x0f\x37", NONE, 0, 0),
	FORM("\x0f\xaa", NONE, 0, 0),
	/* control and debug registers, caches and translations */
	FORM("\x0f\x20", REGISTER, ANY_REG, 0),
	FORM("\x0f\x22", REGISTER, 0, 0),
	FORM("\x0f\x22", REGISTER, 3, 0),
	FORM("\x0f\x22", REGISTER, 4, 0),
	FORM("\x44\x0f\x22", REGISTER, 0, 0),
	FORM("\x0f\x21", REGISTER, ANY_REG, 0),
	FORM("\x0f\x23", REGISTER, ANY_REG, 0),
	FORM("\x0f\x06", NONE, 0, 0),
	FORM("\x0f\x01", MEMORY, ANY_REG, 0),
	FORM("\x0f\x01", EITHER, 6, 0),
	FORM("\x0f\x01\xd1", NONE, 0, 0),
	FORM("\x0f\x01\xd0", NONE, 0, 0),
	FORM("\x0f\x08", NONE, 0, 0),
	FORM("\x0f\x09", NONE, 0, 0),
	FORM("\x0f\x01", MEMORY, 7, 0),
	/* segments and tables */
	FORM("\x0f\x00", EITHER, ANY_REG, 0),
	FORM("\x8e", EITHER, ANY_REG, 0),
	FORM("\x8c", EITHER, ANY_REG, 0),
	FORM("\x0f\x01\xf8", NONE, 0, 0),
	FORM("\x0f\xb2", MEMORY, ANY_REG, 0),
	FORM("\xff", MEMORY, 5, 0),
	FORM("\xff", MEMORY, 3, 0),
	FORM("\xea", NONE, 0, 6),
	FORM("\x9a", NONE, 0, 6),
	FORM("\xcb", NONE, 0, 0),
	/* events */
	FORM("\xcc", NONE, 0, 0),
	FORM("\xf1", NONE, 0, 0),
	FORM("\xce", NONE, 0, 0),
	FORM("\xcd", NONE, 0, 1),
	FORM("\xcf", NONE, 0, 0),
	FORM("\xfa", NONE, 0, 0),
	FORM("\xfb", NONE, 0, 0),
	FORM("\x17", NONE, 0, 0),
	FORM("\x9c", NONE, 0, 0),
	FORM("\x9d", NONE, 0, 0),
	FORM("\x0f\x0b", NONE, 0, 0),
	FORM("\x0f\x05", NONE, 0, 0),
	FORM("\x0f\x07", NONE, 0, 0),
	FORM("\x0f\x34", NONE, 0, 0),
	FORM("\x0f\x35", NONE, 0, 0),
	FORM("\xf6", MEMORY, 6, 0),
	/* jumps */
	FORM("\xe2", NONE, 0, 1),
	FORM("\x75", NONE, 0, 1),
	FORM("\xeb", NONE, 0, 1),
	FORM("\xe8", NONE, 0, 4),
	FORM("\xc3", NONE, 0, 0),
};

/**
 * struct stream - instructions, as far as there is room
 * @r: where the random numbers come from
 * @at: where the next byte goes
 * @left: how many there is room for
 * @bits: of the mode that they are for
 */
struct stream {
	struct random *r;
	uint8_t *at;
	size_t left;
	unsigned int bits;
};

static inline void emit(struct stream *s, const void *bytes, size_t size)
{
	if (size > s->left)
		size = s->left;
	memcpy(s->at, bytes, size);
	s->at += size;
	s->left -= size;
}

static inline void emit_byte(struct stream *s, uint8_t byte)
{
	emit(s, &byte, 1);
}

/* A register from an immediate, as wide as the mode allows. */
static inline void emit_load(struct stream *s, unsigned int reg, uint64_t value)
{
	bool wide = s->bits == 64 && value >> 32;

	if (s->bits == 16)
		emit_byte(s, 0x66);
	if (wide)
		emit_byte(s, 0x48);
	emit_byte(s, 0xb8 + reg);
	emit(s, &value, wide ? 8 : 4);
}

/* Without a base, or by any register that an address may be in, and 8 bits more. */
static inline void emit_modrm(struct stream *s, enum operand kind, uint8_t reg)
{
	uint32_t address = hostile_address(s->r);

	if (kind == REGISTER || (kind == EITHER && one_in(s->r, 2))) {
		emit_byte(s, 0xc0 | reg << 3 | below(s->r, 8));
	} else if (one_in(s->r, 4)) {
		emit_byte(s, 0x40 | reg << 3 | below(s->r, 8));
		emit_byte(s, random_next(s->r));
		emit_byte(s, random_next(s->r));
	} else if (s->bits == 16) {
		emit_byte(s, reg << 3 | 6);
		emit(s, &address, 2);
	} else if (s->bits == 32) {
		emit_byte(s, reg << 3 | 5);
		emit(s, &address, 4);
	} else {
		emit_byte(s, reg << 3 | 4);
		emit_byte(s, 0x25);
		emit(s, &address, 4);
	}
}

static inline void emit_form(struct stream *s, const struct form *f)
{
	static const uint8_t prefixes[] = { 0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x2e, 0x36, 0x3e,
					    0x26, 0x64, 0x65, 0x40, 0x44, 0x48, 0x4f, 0x41 };
	uint64_t immediate = hostile_number(s->r);

	while (one_in(s->r, 4))
		emit_byte(s, PICK(s->r, prefixes));
	if (s->bits == 64 && one_in(s->r, 4))
		emit_byte(s, 0x48);
	emit(s, f->opcode, f->size);
	if (f->operand != NONE)
		emit_modrm(s, f->operand, f->reg == ANY_REG ? (int)below(s->r, 8) : f->reg);
	emit(s, &immediate, f->immediate);
}

/* Which of those numbers an instruction is to find in its registers. */
static inline void emit_registers(struct stream *s)
{
	uint64_t icr = hostile_icr(s->r);

	switch (below(s->r, 8)) {
	case 0: /* an MSR and what is to be written there */
		emit_load(s, 1, hostile_msr(s->r));
		emit_load(s, 0, hostile_number(s->r));
		emit_load(s, 2, one_in(s->r, 2) ? 0 : hostile_number(s->r));
		break;
	case 1: /* an IPI */
		emit_load(s, 1, 0x830);
		emit_load(s, 0, (uint32_t)icr);
		emit_load(s, 2, icr >> 32);
		emit(s, "\x0f\x30", 2);
		break;
	case 2: /* a string */
		emit_load(s, 6, hostile_address(s->r));
		emit_load(s, 7, hostile_address(s->r));
		emit_load(s, 1, one_in(s->r, 8) ? hostile_number(s->r) : below(s->r, 16));
		break;
	case 3: /* a hypercall */
		emit_load(s, 0, below(s->r, 16));
		emit_load(s, 3, hostile_number(s->r));
		emit_load(s, 1, hostile_number(s->r));
		break;
	default:
		emit_load(s, below(s->r, 8), hostile_number(s->r));
	}
}

/* As much of it as there is room for, and then from its beginning. */
static inline void emit_stream(struct stream *s)
{
	const uint8_t *begin = s->at;
	int32_t back;

	while (s->left > 32) {
		if (one_in(s->r, 3))
			emit_registers(s);
		else if (one_in(s->r, 16))
			emit_byte(s, random_next(s->r));
		else
			emit_form(s, &PICK(s->r, hostile_forms));
	}
	emit_byte(s, 0xe9);
	back = begin - (s->at + (s->bits == 16 ? 2 : 4));
	emit(s, &back, s->bits == 16 ? 2 : 4);
}

#endif
