// SPDX-License-Identifier: GPL-2.0-only
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/uaccess.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>
#include <asm/vmx.h>

#include "access.h"
#include "apic/lapic.h"
#include "arch.h"
#include "events.h"
#include "ioeventfd.h"
#include "memory.h"
#include "paging.h"
#include "run.h"
#include "state.h"
#include "trace.h"
#include "vcpu.h"
#include "vm.h"

/* ---- through the guest's page tables ------------------------------------------- */

static int read_entry(void *vm, u64 gpa, unsigned int bytes, u64 *entry)
{
	*entry = 0;
	return df_memory_access(vm, gpa, entry, bytes, false);
}

static int set_entry_flags(void *vm, u64 gpa, unsigned int bytes, u64 old, u64 flags)
{
	return df_memory_or(vm, gpa, bytes, old, flags);
}

static const struct df_paging_ops paging_ops = {
	.read = read_entry,
	.set_flags = set_entry_flags,
};

/* Nothing was done yet: the guest runs the instruction, or takes the fault, itself. */
enum { TRANSLATED, FAULTED };

/*
 * Where a linear address is. FAULTED: an exception is on its way, or the tables
 * have changed and the instruction is to be tried again.
 */
static int translate(struct df_vcpu *vcpu, const struct df_mode *mode, u64 linear,
		     unsigned int access, u64 *gpa)
{
	u32 error;
	int ret;

	ret = df_paging_translate(&mode->paging, linear, access, &paging_ops, vcpu->vm, gpa,
				  &error);
	if (ret == 1)
		events_page_fault(&vcpu->arch, linear, error);
	else if (ret == -ERANGE)
		events_gp(&vcpu->arch);
	else if (ret == -ENXIO)		/* a table where no memory is */
		events_page_fault(&vcpu->arch, linear, access & DF_PAGING_WRITE ? BIT(1) : 0);
	else if (ret && ret != -EAGAIN)
		return ret;
	return ret ? FAULTED : TRANSLATED;
}

/* What is left to do when there was a fault, or an error. */
static int give_up(int ret)
{
	return ret == FAULTED ? DF_RESUME : ret;
}

/* ---- an element, piece by piece --------------------------------------------------- */

static int next_piece(struct df_vcpu *vcpu);

static u8 piece_offset(const struct df_access *access)
{
	return access->next ? access->piece[0].len : 0;
}

static int complete_mmio(struct df_vcpu *vcpu)
{
	struct df_access *access = &vcpu->arch.access;
	const struct df_access_piece *piece = &access->piece[access->next];

	if (!access->write) {
		u8 *data = (u8 *)&access->data + piece_offset(access);

		memcpy(data, vcpu->run->mmio.data, piece->len);
		trace_df_mmio(vcpu->id, false, piece->gpa, piece->len, access->data);
	}
	access->next++;
	return next_piece(vcpu);
}

static int piece_to_user(struct df_vcpu *vcpu, const struct df_access_piece *piece)
{
	struct df_access *access = &vcpu->arch.access;
	struct kvm_run *run = vcpu->run;

	run->mmio.phys_addr = piece->gpa;
	run->mmio.len = piece->len;
	run->mmio.is_write = access->write;
	if (access->write) {
		memset(run->mmio.data, 0, sizeof(run->mmio.data));
		memcpy(run->mmio.data, (u8 *)&access->data + piece_offset(access), piece->len);
		trace_df_mmio(vcpu->id, true, piece->gpa, piece->len, access->data);
	}
	vcpu->arch.complete = complete_mmio;
	return exit_to_user(vcpu, KVM_EXIT_MMIO);
}

/* No memory is there: a write may be all that somebody waits for. */
static bool is_signal(struct df_vcpu *vcpu, const struct df_access_piece *piece)
{
	const struct df_access *access = &vcpu->arch.access;

	if (!access->write || !df_ioeventfd_signal(vcpu->vm, true, piece->gpa, piece->len,
						   access->data >> 8 * piece_offset(access)))
		return false;
	trace_df_mmio(vcpu->id, true, piece->gpa, piece->len, access->data);
	return true;
}

/* Memory is read or written here; user space does the rest. */
static int next_piece(struct df_vcpu *vcpu)
{
	struct df_access *access = &vcpu->arch.access;

	for (; access->next < access->nr; access->next++) {
		const struct df_access_piece *piece = &access->piece[access->next];
		u8 *data = (u8 *)&access->data + piece_offset(access);
		int err;

		if (lapic_access(vcpu, piece->gpa, data, piece->len, access->write))
			continue;
		err = df_memory_access(vcpu->vm, piece->gpa, data, piece->len, access->write);
		if (err == -ENXIO && !is_signal(vcpu, piece))
			return piece_to_user(vcpu, piece);
		if (err && err != -ENXIO)
			return err;
	}
	return access->done(vcpu);
}

/* Starts to read or write @size bytes; @done comes when all are. */
static int access_begin(struct df_vcpu *vcpu, const struct df_mode *mode, u64 linear, u8 size,
			bool write, int (*done)(struct df_vcpu *vcpu))
{
	struct df_access *access = &vcpu->arch.access;
	unsigned int kind = write ? DF_PAGING_WRITE : 0;
	u8 first = min_t(u64, size, PAGE_SIZE - offset_in_page(linear));

	access->nr = first < size ? 2 : 1;
	access->next = 0;
	access->write = write;
	access->done = done;
	for (int i = 0; i < access->nr; i++) {
		struct df_access_piece *piece = &access->piece[i];
		int ret;

		piece->len = i ? size - first : first;
		ret = translate(vcpu, mode, linear + (i ? first : 0), kind, &piece->gpa);
		if (ret)
			return give_up(ret);
	}
	if (!write)
		access->data = 0;
	return next_piece(vcpu);
}

/* ---- segments ---------------------------------------------------------------------- */

#define AR_CODE		BIT(3)
#define AR_DOWN		BIT(2)	/* of data: it grows downwards */
#define AR_RW		BIT(1)	/* of data: writable; of code: readable */

static bool is_right(const struct df_segment *s, bool write)
{
	if (s->access & VMX_AR_UNUSABLE_MASK || !(s->access & VMX_AR_P_MASK))
		return false;
	if (s->access & AR_CODE)
		return !write && s->access & AR_RW;
	return !write || s->access & AR_RW;
}

static bool is_within(const struct df_segment *s, u64 offset, u8 size)
{
	u64 last = offset + size - 1;

	if ((s->access & (AR_CODE | AR_DOWN)) == AR_DOWN)
		return offset > s->limit && last <= (s->access & VMX_AR_DB_MASK ? ~0U : 0xffffU);
	return last <= s->limit;
}

/* SDM, "Limit Checking" and "Type Checking"; there are none in 64-bit mode. */
static int segment(struct df_vcpu *vcpu, const struct df_mode *mode, u8 n, u64 offset, u8 size,
		   bool write, u64 *linear)
{
	const struct df_segment *s = &mode->segment[n];

	*linear = s->base + offset;
	if (mode->bytes == 8)
		return TRANSLATED;
	*linear = (u32)*linear;
	if (is_within(s, offset, size) && (!mode->rights || is_right(s, write)))
		return TRANSLATED;
	events_exception_error(&vcpu->arch, n == DF_SEG_SS ? X86_TRAP_SS : X86_TRAP_GP, 0);
	return FAULTED;
}

/* Can all of it be written? Asked before what cannot be done twice. */
static int is_there(struct df_vcpu *vcpu, const struct df_mode *mode, u64 linear, u8 size)
{
	u64 gpa;
	int ret;

	ret = translate(vcpu, mode, linear, DF_PAGING_WRITE, &gpa);
	if (!ret && offset_in_page(linear) + size > PAGE_SIZE)
		ret = translate(vcpu, mode, PAGE_ALIGN(linear), DF_PAGING_WRITE, &gpa);
	return ret;
}

/* ---- moves ------------------------------------------------------------------------ */

/* The exit was like a fault's, with RF set: an instruction that is done clears it. */
static void skip(struct df_vcpu *vcpu)
{
	struct df_vcpu_arch *arch = &vcpu->arch;

	arch->exit.insn_len = arch->access.insn.len;
	arch->rflags &= ~(u64)X86_EFLAGS_RF;
	arch->dirty |= DF_DIRTY_RFLAGS;
	exit_skip(arch);
}

static int load_done(struct df_vcpu *vcpu)
{
	struct df_vcpu_arch *arch = &vcpu->arch;

	df_insn_load(&arch->access.insn, arch->regs, arch->access.data);
	arch->dirty |= DF_DIRTY_RSP;
	skip(vcpu);
	return DF_RESUME;
}

static int store_done(struct df_vcpu *vcpu)
{
	skip(vcpu);
	return DF_RESUME;
}

static int string_done(struct df_vcpu *vcpu)
{
	struct df_vcpu_arch *arch = &vcpu->arch;

	if (df_insn_step(&arch->access.insn, arch->regs, arch->rflags & X86_EFLAGS_DF))
		skip(vcpu);
	return DF_RESUME;
}

static int locate_destination(struct df_vcpu *vcpu, const struct df_mode *mode, u64 *linear)
{
	const struct df_insn *insn = &vcpu->arch.access.insn;

	return segment(vcpu, mode, DF_SEG_ES, df_insn_destination(insn, vcpu->arch.regs),
		       insn->size, true, linear);
}

static int store_string(struct df_vcpu *vcpu, const struct df_mode *mode)
{
	u64 linear;
	int ret;

	ret = locate_destination(vcpu, mode, &linear);
	if (ret)
		return give_up(ret);
	return access_begin(vcpu, mode, linear, vcpu->arch.access.insn.size, true, string_done);
}

/* The element of MOVS has been read; the registers have not changed since. */
static int movs_loaded(struct df_vcpu *vcpu)
{
	struct df_mode mode;
	int err = state_mode(vcpu, &mode);

	return err ? err : store_string(vcpu, &mode);
}

/*
 * Both ends of MOVS are translated before anything is read: a read from a
 * device is not done twice because the other end faults.
 */
static int move_string(struct df_vcpu *vcpu, const struct df_mode *mode)
{
	const struct df_insn *insn = &vcpu->arch.access.insn;
	u64 from, to;
	int ret;

	ret = segment(vcpu, mode, insn->segment, df_insn_source(insn, vcpu->arch.regs), insn->size,
		      false, &from);
	if (!ret)
		ret = locate_destination(vcpu, mode, &to);
	if (!ret)
		ret = is_there(vcpu, mode, to, insn->size);
	if (ret)
		return give_up(ret);
	return access_begin(vcpu, mode, from, insn->size, false, movs_loaded);
}

static int load_or_store(struct df_vcpu *vcpu, const struct df_mode *mode)
{
	struct df_vcpu_arch *arch = &vcpu->arch;
	const struct df_insn *insn = &arch->access.insn;
	bool write = insn->kind == DF_INSN_STORE;
	u64 linear;
	int ret;

	ret = segment(vcpu, mode, insn->segment, df_insn_offset(insn, arch->regs, arch->rip),
		      insn->size, write, &linear);
	if (ret)
		return give_up(ret);
	if (write)
		arch->access.data = df_insn_store_value(insn, arch->regs);
	return access_begin(vcpu, mode, linear, insn->size, write, write ? store_done : load_done);
}

static int execute(struct df_vcpu *vcpu, const struct df_mode *mode)
{
	struct df_access *access = &vcpu->arch.access;

	switch (access->insn.kind) {
	case DF_INSN_MOVS:
		return move_string(vcpu, mode);
	case DF_INSN_STOS:
		access->data = df_insn_store_value(&access->insn, vcpu->arch.regs);
		return store_string(vcpu, mode);
	default:
		return load_or_store(vcpu, mode);
	}
}

/* ---- the instruction --------------------------------------------------------------- */

/* As much of it as can be read; the second page may not be there, and not be needed. */
static int fetch(struct df_vcpu *vcpu, const struct df_mode *mode, u8 *bytes, size_t *n)
{
	u64 linear = mode->segment[DF_SEG_CS].base + vcpu->arch.rip, gpa;
	u32 error;

	if (mode->bytes != 8)
		linear = (u32)linear;
	*n = 0;
	while (*n < DF_INSN_MAX_BYTES) {
		size_t part = min_t(size_t, DF_INSN_MAX_BYTES - *n,
				    PAGE_SIZE - offset_in_page(linear));
		int ret;

		ret = df_paging_translate(&mode->paging, linear, DF_PAGING_FETCH, &paging_ops,
					  vcpu->vm, &gpa, &error);
		if (ret || df_memory_access(vcpu->vm, gpa, bytes + *n, part, false))
			return *n ? 0 : -EFAULT;
		*n += part;
		linear += part;
	}
	return 0;
}

int emulate_failed(struct df_vcpu *vcpu, const u8 *bytes, size_t n)
{
	struct kvm_run *run = vcpu->run;

	memset(&run->emulation_failure, 0, sizeof(run->emulation_failure));
	run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
	run->emulation_failure.ndata = 4;
	run->emulation_failure.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
	run->emulation_failure.insn_size = n;
	memcpy(run->emulation_failure.insn_bytes, bytes, n);
	return exit_to_user(vcpu, KVM_EXIT_INTERNAL_ERROR);
}

int emulate_mmio(struct df_vcpu *vcpu)
{
	struct df_insn *insn = &vcpu->arch.access.insn;
	u8 bytes[DF_INSN_MAX_BYTES];
	struct df_mode mode;
	size_t n;
	int err;

	err = state_mode(vcpu, &mode);
	if (err)
		return err;
	if (fetch(vcpu, &mode, bytes, &n))
		return emulate_failed(vcpu, bytes, 0);
	if (df_insn_decode(insn, bytes, n, mode.bytes))
		return emulate_failed(vcpu, bytes, n);
	return execute(vcpu, &mode);
}

/* ---- string port I/O (SDM, "VM-Exit Instruction Information") --------------------- */

/* Segments are numbered as everywhere; only for OUTS, and less than 6. */
#define ADDRESS_BYTES(info)	(2U << ((info) >> 7 & 7))
#define SEGMENT(info)		min_t(u8, (info) >> 15 & 7, DF_SEG_GS)

static int string_io_done(struct df_vcpu *vcpu)
{
	struct df_vcpu_arch *arch = &vcpu->arch;

	if (df_insn_step(&arch->access.insn, arch->regs, arch->rflags & X86_EFLAGS_DF))
		exit_skip(arch);
	return DF_RESUME;
}

static int complete_ins(struct df_vcpu *vcpu)
{
	struct df_access *access = &vcpu->arch.access;
	u8 size = access->insn.size;
	struct df_mode mode;
	u64 linear;
	int ret;

	access->data = 0;
	memcpy(&access->data, df_vcpu_pio_data(vcpu), size);
	trace_df_pio(vcpu->id, false, IO_PORT(vcpu->arch.exit.qualification), size, access->data);
	ret = state_mode(vcpu, &mode);
	if (!ret)
		ret = locate_destination(vcpu, &mode, &linear);
	if (ret)
		return give_up(ret);
	return access_begin(vcpu, &mode, linear, size, true, string_io_done);
}

static int outs_loaded(struct df_vcpu *vcpu)
{
	struct df_access *access = &vcpu->arch.access;
	u16 port = IO_PORT(vcpu->arch.exit.qualification);
	u8 size = access->insn.size;

	trace_df_pio(vcpu->id, true, port, size, access->data);
	if (df_ioeventfd_signal(vcpu->vm, false, port, size, access->data))
		return string_io_done(vcpu);
	memcpy(df_vcpu_pio_data(vcpu), &access->data, size);
	vcpu->arch.complete = string_io_done;
	return exit_pio(vcpu, vcpu->arch.exit.qualification);
}

/* INS wants to know that it can store what it is about to read. */
static int begin_ins(struct df_vcpu *vcpu, const struct df_mode *mode)
{
	u64 linear;
	int ret;

	ret = locate_destination(vcpu, mode, &linear);
	if (!ret)
		ret = is_there(vcpu, mode, linear, vcpu->arch.access.insn.size);
	if (ret)
		return give_up(ret);
	vcpu->arch.complete = complete_ins;
	return exit_pio(vcpu, vcpu->arch.exit.qualification);
}

static int begin_outs(struct df_vcpu *vcpu, const struct df_mode *mode)
{
	const struct df_insn *insn = &vcpu->arch.access.insn;
	u64 linear;
	int ret;

	ret = segment(vcpu, mode, insn->segment, df_insn_source(insn, vcpu->arch.regs), insn->size,
		      false, &linear);
	if (ret)
		return give_up(ret);
	return access_begin(vcpu, mode, linear, insn->size, false, outs_loaded);
}

int emulate_string_io(struct df_vcpu *vcpu)
{
	struct df_vcpu_arch *arch = &vcpu->arch;
	struct df_insn *insn = &arch->access.insn;
	u64 q = arch->exit.qualification;
	struct df_mode mode;
	int err;

	*insn = (struct df_insn){
		.kind = q & IO_IN ? DF_INSN_INS : DF_INSN_OUTS,
		.size = IO_SIZE(q),
		.segment = SEGMENT(arch->exit.insn_info),
		.address_size = ADDRESS_BYTES(arch->exit.insn_info),
		.rep = q & IO_REP,
	};
	if (!df_insn_count(insn, arch->regs)) {
		exit_skip(arch);
		return DF_RESUME;
	}
	err = state_mode(vcpu, &mode);
	if (err)
		return err;
	return q & IO_IN ? begin_ins(vcpu, &mode) : begin_outs(vcpu, &mode);
}
