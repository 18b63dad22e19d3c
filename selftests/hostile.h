/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One hostile program: memory, tables, code and registers in one of the modes that
 * there are, and what of it is broken on purpose.
 */
#ifndef SELFTESTS_HOSTILE_H
#define SELFTESTS_HOSTILE_H

#include "hostile-code.h"
#include "apic.h"

enum hostile_mode { REAL, PROTECTED16, PROTECTED32, PAGED32, PAE, COMPATIBLE, LONG, HOSTILE_MODES };

static const struct {
	uint32_t cr0, cr4, efer;
	uint8_t bits, gate; /* the gate's bytes */
} hostile_modes[] = {
	[REAL] = { 0x10, 0, 0, 16, 4 },
	[PROTECTED16] = { 0x11, 0, 0, 16, 8 },
	[PROTECTED32] = { 0x11, 0, 0, 32, 8 },
	[PAGED32] = { 0x80000011, 0x10, 0, 32, 8 },
	[PAE] = { 0x80000011, 0x20, 0x800, 32, 8 },
	[COMPATIBLE] = { 0x80000011, 0x620, 0xd01, 32, 16 },
	[LONG] = { 0x80000011, 0x620, 0xd01, 64, 16 },
};

/* The pages of its memory, guest-physical and, but for a broken table, linear. */
#define HOSTILE_MEMORY 0x10000UL
#define HOSTILE_CODE 0x1000
#define HOSTILE_CODE_SIZE 512
#define HOSTILE_STACK 0x3f00
#define HOSTILE_GDT 0x5000
#define HOSTILE_TSS 0x5800
#define HOSTILE_IDT 0x6000
#define HOSTILE_PML4 0x8000
#define HOSTILE_PDPT 0x9000
#define HOSTILE_PD 0xa000
#define HOSTILE_PT 0xb000
#define HOSTILE_HANDLERS 0xe000
/* What else there is of memory: pages to be read alone, pages that are logged. */
#define HOSTILE_ROM 0x10000
#define HOSTILE_LOGGED 0x18000
#define HOSTILE_PIECE 0x4000UL
/* An eventfd that asks for no length, and one that does. */
#define HOSTILE_DOORBELL 0x22000

struct hostile {
	struct guest g;
	struct random r;
	bool irqchip;
	enum hostile_mode mode;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
};

/* --- memory --------------------------------------------------------------- */

static inline void hostile_put(struct hostile *h, uint32_t at, uint64_t value, size_t size)
{
	memcpy(h->g.memory + at, &value, size);
}

/* Where the last pages of the linear ones lead. */
static inline uint64_t hostile_elsewhere(struct hostile *h, unsigned int page)
{
	static const uint64_t pages[] = {
		HOSTILE_ROM,  HOSTILE_LOGGED, HOSTILE_DOORBELL, HOSTILE_PML4, HOSTILE_PDPT,
		HOSTILE_PD,   HOSTILE_PT,     HOSTILE_IDT,	HOSTILE_CODE, 0x100000,
		0x30000,      0xfec00000,     0xfed00000,	0xfffff000,   0x7f00000000,
		0xfffffff000, 0x3ffffffff000, 0xffffffffff000,
	};

	return page == APIC_PAGE ? APIC_BASE : PICK(&h->r, pages);
}

/* An entry of a table, of which one in many has what it should not have. */
static inline void hostile_entry(struct hostile *h, uint32_t at, uint64_t entry)
{
	size_t size = h->mode == PAGED32 ? 4 : 8;

	if (one_in(&h->r, 64))
		entry ^= 1ULL << below(&h->r, 64);
	else if (one_in(&h->r, 256))
		entry = hostile_number(&h->r);
	hostile_put(h, at, entry, size);
}

static inline void hostile_tables(struct hostile *h)
{
	size_t size = h->mode == PAGED32 ? 4 : 8;
	/* Those of PAE have no rights. */
	uint64_t rights = h->mode == PAE ? 1 : 7;

	if (!(hostile_modes[h->mode].cr0 >> 31))
		return;
	for (unsigned int i = 0; i < LINEAR_PAGES; i++) {
		uint64_t page = i < ELSEWHERE ? i << 12 : hostile_elsewhere(h, i);

		hostile_entry(h, HOSTILE_PT + i * size, page | (one_in(&h->r, 16) ? 5 : 7));
	}
	hostile_put(h, HOSTILE_PD, HOSTILE_PT | 7, size);
	hostile_entry(h, HOSTILE_PD + size, 0x87);
	if (h->mode == PAGED32)
		return;
	hostile_put(h, HOSTILE_PDPT, HOSTILE_PD | rights, size);
	hostile_put(h, HOSTILE_PML4, HOSTILE_PDPT | 7, size);
	hostile_entry(h, HOSTILE_PML4 + 8 * below(&h->r, 512), HOSTILE_PDPT | 7);
}

/* A handler leaves out a byte or some of what has faulted: there is no end to a program. */
static inline void hostile_handler(struct hostile *h, unsigned int vector)
{
	static const uint8_t by_bits[3][10] = {
		{ 0x55, 0x89, 0xe5, 0x83, 0x46, 0x02, 1, 0x5d, 0xcf },
		{ 0x83, 0x04, 0x24, 1, 0xcf },
		{ 0x48, 0x83, 0x04, 0x24, 1, 0x48, 0xcf },
	};
	static const uint8_t count[] = { 6, 3, 4 };
	unsigned int bits = hostile_modes[h->mode].gate == 16 ? 2 :
								hostile_modes[h->mode].bits / 32;
	uint8_t *to = h->g.memory + HOSTILE_HANDLERS + vector * 16;

	if (guest_vector_has_error(vector) && h->mode != REAL) {
		/* add $size, %sp */
		if (bits == 2)
			*to++ = 0x48;
		*to++ = 0x83;
		*to++ = 0xc4;
		*to++ = 2 << bits;
	}
	memcpy(to, by_bits[bits], sizeof(by_bits[bits]));
	to[count[bits]] = vector < 32 ? 1 + below(&h->r, 3) : 0;
}

static inline void hostile_vectors(struct hostile *h)
{
	unsigned int gate = hostile_modes[h->mode].gate;
	/* A trap or interrupt gate, as wide as the handler is. */
	uint64_t type = (h->mode == PROTECTED16 ? 0xe6ULL : 0xeeULL) | one_in(&h->r, 2);

	for (unsigned int vector = 0; vector < 256; vector++) {
		uint64_t to = HOSTILE_HANDLERS + vector * 16;
		uint32_t at = (h->mode == REAL ? 0 : HOSTILE_IDT) + vector * gate;

		hostile_handler(h, vector);
		if (h->mode == REAL)
			hostile_put(h, at, to, 4);
		else
			hostile_put(h, at, to | 8 << 16 | type << 40, 8);
		if (gate == 16)
			hostile_put(h, at + 8, 0, 8);
	}
}

static inline void hostile_segments(struct hostile *h)
{
	/* Code of the handlers' width, as the modes have it. */
	static const uint64_t wide[] = { 0x0000, 0x0000, 0x00c0, 0x00c0, 0x00c0, 0x00a0, 0x00a0 };
	uint64_t code = 0x00009b000000ffff | wide[h->mode] << 48 | 0xfULL << 48;
	uint64_t data = 0x00cf93000000ffff;
	uint32_t at = HOSTILE_GDT;

	if (h->mode == PROTECTED16)
		data = 0x008f93000000ffff;
	hostile_put(h, at + 8, code, 8);
	hostile_put(h, at + 16, data, 8);
	hostile_put(h, at + 24, code | 3ULL << 45, 8);
	hostile_put(h, at + 32, data | 3ULL << 45, 8);
	hostile_put(h, at + 40, 0x00008b0000000067 | (uint64_t)HOSTILE_TSS << 16, 8);
	hostile_put(h, at + 48, 0, 8);
	/* A TSS that is not busy, a local table, gates to code and to a task. */
	hostile_put(h, at + 56, 0x0000890000000067 | (uint64_t)HOSTILE_TSS << 16, 8);
	hostile_put(h, at + 64, 0x0000820000000fff | (uint64_t)HOSTILE_GDT << 16, 8);
	hostile_put(h, at + 72, 0x0000ec0000080000 | HOSTILE_HANDLERS, 8);
	hostile_put(h, at + 80, 0x0000e50000380000, 8);
	hostile_put(h, HOSTILE_TSS + 4, h->mode == LONG ? HOSTILE_STACK : 0x1000003f00, 8);
}

/* A few bytes of what the CPU reads on its own are something else. */
static inline void hostile_break(struct hostile *h)
{
	static const uint32_t places[] = { HOSTILE_GDT,	 HOSTILE_TSS, HOSTILE_IDT, HOSTILE_PML4,
					   HOSTILE_PDPT, HOSTILE_PD,  HOSTILE_PT,  0 };

	for (unsigned int n = below(&h->r, 16); n; n--) {
		uint32_t place = PICK(&h->r, places);
		unsigned int size = 1 + below(&h->r, 16);

		random_bytes(&h->r, h->g.memory + place + below(&h->r, 512), size);
	}
}

static inline void hostile_code(struct hostile *h)
{
	struct stream s = { &h->r, h->g.memory + HOSTILE_CODE, HOSTILE_CODE_SIZE,
			    hostile_modes[h->mode].bits };

	if (one_in(&h->r, 16))
		random_bytes(&h->r, s.at, s.left);
	else
		emit_stream(&s);
}

/* --- registers ------------------------------------------------------------ */

static inline struct kvm_segment hostile_segment(struct hostile *h, unsigned int selector,
						 unsigned int type)
{
	enum hostile_mode mode = h->mode;
	bool code = type & 8, wide = hostile_modes[mode].bits == 32;

	return (struct kvm_segment){
		.limit = mode == REAL && one_in(&h->r, 2) ? 0xffff : ~0U,
		.selector = mode == REAL ? 0 : selector,
		.type = mode == REAL ? 3 : type,
		.present = 1,
		.s = 1,
		.dpl = mode == REAL ? 0 : selector & 3,
		.db = mode == REAL ? 0 :
		      code	   ? wide :
				     mode != PROTECTED16,
		.l = code && mode == LONG,
		.g = 1,
	};
}

/* A base, a selector or rights that the mode does not go with. */
static inline void hostile_twist_segment(struct hostile *h)
{
	struct kvm_segment *s = &h->sregs.cs + below(&h->r, 8);

	switch (below(&h->r, 4)) {
	case 0:
		s->base = one_in(&h->r, 2) ? hostile_number(&h->r) :
					     hostile_address(&h->r) & ~0xfULL;
		if (h->mode == REAL)
			s->selector = s->base >> 4;
		break;
	case 1:
		s->selector = hostile_number(&h->r);
		break;
	case 2:
		s->limit = hostile_number(&h->r);
		break;
	default:
		random_bytes(&h->r, &s->type, 8);
	}
}

static inline void hostile_twist_sregs(struct hostile *h)
{
	struct kvm_sregs *s = &h->sregs;
	__u64 *const words[] = { &s->cr0,  &s->cr2,	 &s->cr3,      &s->cr4,	     &s->cr8,
				 &s->efer, &s->gdt.base, &s->idt.base, &s->apic_base };

	switch (below(&h->r, 4)) {
	case 0:
		*PICK(&h->r, words) ^= 1ULL << below(&h->r, 64);
		break;
	case 1:
		*PICK(&h->r, words) = hostile_number(&h->r);
		break;
	case 2:
		s->interrupt_bitmap[below(&h->r, 4)] = 1ULL << below(&h->r, 64);
		break;
	default:
		((uint8_t *)s)[below(&h->r, sizeof(*s))] = random_next(&h->r);
	}
}

static inline void hostile_sregs(struct hostile *h)
{
	unsigned int rights = h->mode != REAL && one_in(&h->r, 4) ? 3 : 0;
	struct kvm_segment data = hostile_segment(h, rights ? 32 | rights : 16, 3);
	static const uint64_t apics[] = { 0xfee00900, 0xfee00d00, 0xfee00100, 0x20900 };

	h->sregs = (struct kvm_sregs){
		.cs = hostile_segment(h, rights ? 24 | rights : 8, 11),
		.ds = data,
		.es = data,
		.fs = data,
		.gs = data,
		.ss = data,
		.tr = { .base = HOSTILE_TSS,
			.limit = 0x67,
			.selector = 40,
			.type = 11,
			.present = 1 },
		.ldt = { .unusable = 1 },
		.gdt = { .base = HOSTILE_GDT, .limit = 0x7ff },
		.idt = { .base = h->mode == REAL ? 0 : HOSTILE_IDT,
			 .limit = 256 * hostile_modes[h->mode].gate - 1 },
		.cr0 = hostile_modes[h->mode].cr0,
		.cr3 = h->mode == PAGED32 ? HOSTILE_PD :
		       h->mode == PAE	  ? HOSTILE_PDPT :
					    HOSTILE_PML4,
		.cr4 = hostile_modes[h->mode].cr4,
		.efer = hostile_modes[h->mode].efer,
		.apic_base = PICK(&h->r, apics),
	};
}

static inline void hostile_regs(struct hostile *h)
{
	uint64_t *regs = (uint64_t *)&h->regs;

	for (int i = 0; i < 16; i++)
		regs[i] = one_in(&h->r, 2) ? hostile_address(&h->r) : hostile_number(&h->r);
	h->regs.rcx = one_in(&h->r, 2) ? below(&h->r, 64) : h->regs.rcx;
	h->regs.rip = HOSTILE_CODE;
	h->regs.rflags = 2 | (one_in(&h->r, 2) ? 0x200 : 0);
	if (!one_in(&h->r, 16))
		h->regs.rsp = HOSTILE_STACK;
	if (one_in(&h->r, 16))
		h->regs.rflags ^= 1ULL << below(&h->r, 32);
	if (one_in(&h->r, 32))
		h->regs.rip = hostile_address(&h->r);
}

/* --- the rest of a vCPU, whose every part may be refused ------------------- */

static inline void hostile_events(struct hostile *h)
{
	struct kvm_vcpu_events e = {};

	if (one_in(&h->r, 4)) {
		random_bytes(&h->r, &e, sizeof(e));
		e.flags = below(&h->r, 16);
		e.exception.nr = below(&h->r, 32);
		e.exception.injected = one_in(&h->r, 2);
		e.interrupt.injected = one_in(&h->r, 2);
		memset(&e.smi, 0, sizeof(e.smi));
		memset(e.reserved, 0, sizeof(e.reserved));
		e.exception_has_payload = 0;
	}
	if (ioctl(h->g.vcpu, KVM_SET_VCPU_EVENTS, &e)) {
		memset(&e, 0, sizeof(e));
		ioctl(h->g.vcpu, KVM_SET_VCPU_EVENTS, &e);
	}
}

static inline void hostile_msrs(struct hostile *h)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entries[8];
	} msrs = { .head.nmsrs = 1 };

	for (unsigned int i = below(&h->r, 8); i; i--) {
		msrs.entries[0].index = hostile_msr(&h->r);
		msrs.entries[0].data = hostile_number(&h->r);
		ioctl(h->g.vcpu, KVM_SET_MSRS, &msrs);
	}
}

static inline void hostile_fpu(struct hostile *h)
{
	struct kvm_xsave xsave = {};
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs = { { .value = 1 } } };

	xsave.region[6] = 0x1f80;
	if (one_in(&h->r, 4)) {
		random_bytes(&h->r, &xsave, 512 + 256);
		xsave.region[6] &= 0xffbf;
		memset(&xsave.region[128], 0, 64);
		xsave.region[128] = below(&h->r, 1024);
		xcrs.xcrs[0].value = 1 | random_next(&h->r) % 1024;
	}
	ioctl(h->g.vcpu, KVM_SET_XSAVE, &xsave);
	ioctl(h->g.vcpu, KVM_SET_XCRS, &xcrs);
}

static inline void hostile_debug(struct hostile *h)
{
	struct kvm_debugregs d = { .dr6 = 0xffff0ff0, .dr7 = 0x400 };
	struct kvm_guest_debug debug = {};

	if (one_in(&h->r, 8)) {
		for (int i = 0; i < 4; i++)
			d.db[i] = hostile_address(&h->r);
		d.dr7 |= (uint32_t)random_next(&h->r) & ~0xd000U;
	}
	if (one_in(&h->r, 32)) {
		debug.control = 1 | below(&h->r, 4) << 16 | below(&h->r, 4);
		random_bytes(&h->r, &debug.arch, sizeof(debug.arch));
	}
	ioctl(h->g.vcpu, KVM_SET_DEBUGREGS, &d);
	ioctl(h->g.vcpu, KVM_SET_GUEST_DEBUG, &debug);
}

static inline void hostile_apic(struct hostile *h)
{
	struct kvm_lapic_state lapic;

	if (ioctl(h->g.vcpu, KVM_GET_LAPIC, &lapic))
		return;
	memset(lapic.regs + APIC_ISR, 0, APIC_ICR2 + 0x10 - APIC_ISR);
	memcpy(lapic.regs + APIC_SPIV, &(uint32_t){ 0x1ff }, 4);
	if (one_in(&h->r, 4)) {
		random_bytes(&h->r, lapic.regs + APIC_TASKPRI, 4);
		random_bytes(&h->r, lapic.regs + APIC_LVTT, 4);
		random_bytes(&h->r, lapic.regs + APIC_TMICT, 4);
		random_bytes(&h->r, lapic.regs + APIC_ISR + 0x10 * below(&h->r, 24), 4);
	}
	ioctl(h->g.vcpu, KVM_SET_LAPIC, &lapic);
}

/* As they should be, and then as they should not, if that is let be. */
static inline void hostile_set_sregs(struct hostile *h)
{
	hostile_sregs(h);
	if (ioctl(h->g.vcpu, KVM_SET_SREGS, &h->sregs)) {
		h->sregs.apic_base = APIC_BASE | MSR_IA32_APICBASE_ENABLE;
		ioctl(h->g.vcpu, KVM_SET_SREGS, &h->sregs);
	}
	while (one_in(&h->r, 3))
		hostile_twist_segment(h);
	while (one_in(&h->r, 8))
		hostile_twist_sregs(h);
	ioctl(h->g.vcpu, KVM_SET_SREGS, &h->sregs);
}

/* What it is refused it does without. */
static inline void hostile_set(struct hostile *h)
{
	static const uint32_t states[] = { KVM_MP_STATE_RUNNABLE,      KVM_MP_STATE_RUNNABLE,
					   KVM_MP_STATE_RUNNABLE,      KVM_MP_STATE_HALTED,
					   KVM_MP_STATE_UNINITIALIZED, KVM_MP_STATE_INIT_RECEIVED,
					   KVM_MP_STATE_SIPI_RECEIVED };

	apic_set_mp_state(&h->g, KVM_MP_STATE_RUNNABLE);
	hostile_set_sregs(h);
	hostile_regs(h);
	ioctl(h->g.vcpu, KVM_SET_REGS, &h->regs);
	hostile_fpu(h);
	hostile_debug(h);
	hostile_apic(h);
	hostile_msrs(h);
	hostile_events(h);
	if (one_in(&h->r, 16))
		apic_set_mp_state(&h->g, PICK(&h->r, states));
}

/* A fresh one, the same for the same numbers. */
static inline void hostile_program(struct hostile *h, uint64_t seed, uint64_t program)
{
	h->r = random_of(seed, program);
	h->mode = below(&h->r, HOSTILE_MODES);
	memset(h->g.memory, 0, HOSTILE_MEMORY);
	hostile_tables(h);
	hostile_vectors(h);
	hostile_segments(h);
	hostile_code(h);
	if (one_in(&h->r, 4))
		hostile_break(h);
	hostile_set(h);
}

#endif
