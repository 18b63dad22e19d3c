// SPDX-License-Identifier: GPL-2.0-only
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/uaccess.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>

#include "access.h"
#include "arch.h"
#include "events.h"
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

/* Memory is read or written here; user space does the rest. */
static int next_piece(struct df_vcpu *vcpu)
{
	struct df_access *access = &vcpu->arch.access;

	for (; access->next < access->nr; access->next++) {
		const struct df_access_piece *piece = &access->piece[access->next];
		u8 *data = (u8 *)&access->data + piece_offset(access);
		int err;

		err = df_memory_access(vcpu->vm, piece->gpa, data, piece->len, access->write);
		if (err == -ENXIO)
			return piece_to_user(vcpu, piece);
		if (err)
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
			return ret == FAULTED ? DF_RESUME : ret;
	}
	if (!write)
		access->data = 0;
	return next_piece(vcpu);
}

/* ---- moves ------------------------------------------------------------------------ */

static u64 linear_of(const struct df_mode *mode, u8 segment, u64 offset)
{
	u64 linear = mode->base[segment] + offset;

	return mode->bytes == 8 ? linear : (u32)linear;
}

static void skip(struct df_vcpu *vcpu)
{
	vcpu->arch.exit.insn_len = vcpu->arch.access.insn.len;
	exit_skip(&vcpu->arch);
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

static int store_string(struct df_vcpu *vcpu, const struct df_mode *mode)
{
	struct df_vcpu_arch *arch = &vcpu->arch;
	const struct df_insn *insn = &arch->access.insn;
	u64 linear = linear_of(mode, DF_SEG_ES, df_insn_destination(insn, arch->regs));

	return access_begin(vcpu, mode, linear, insn->size, true, string_done);
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
	struct df_vcpu_arch *arch = &vcpu->arch;
	const struct df_insn *insn = &arch->access.insn;
	u64 from = linear_of(mode, insn->segment, df_insn_source(insn, arch->regs));
	u64 to = linear_of(mode, DF_SEG_ES, df_insn_destination(insn, arch->regs));
	u64 gpa;
	int ret;

	ret = translate(vcpu, mode, to, DF_PAGING_WRITE, &gpa);
	if (!ret && offset_in_page(to) + insn->size > PAGE_SIZE)
		ret = translate(vcpu, mode, PAGE_ALIGN(to), DF_PAGING_WRITE, &gpa);
	if (ret)
		return ret == FAULTED ? DF_RESUME : ret;
	return access_begin(vcpu, mode, from, insn->size, false, movs_loaded);
}

static int execute(struct df_vcpu *vcpu, const struct df_mode *mode)
{
	struct df_vcpu_arch *arch = &vcpu->arch;
	const struct df_insn *insn = &arch->access.insn;
	u64 linear;

	switch (insn->kind) {
	case DF_INSN_LOAD:
	case DF_INSN_STORE:
		linear = linear_of(mode, insn->segment,
				   df_insn_offset(insn, arch->regs, arch->rip));
		if (insn->kind == DF_INSN_LOAD)
			return access_begin(vcpu, mode, linear, insn->size, false, load_done);
		arch->access.data = df_insn_store_value(insn, arch->regs);
		return access_begin(vcpu, mode, linear, insn->size, true, store_done);
	case DF_INSN_MOVS:
		return move_string(vcpu, mode);
	default:
		arch->access.data = df_insn_store_value(insn, arch->regs);
		return store_string(vcpu, mode);
	}
}

/* ---- the instruction --------------------------------------------------------------- */

/* As much of it as can be read; the second page may not be there, and not be needed. */
static int fetch(struct df_vcpu *vcpu, const struct df_mode *mode, u8 *bytes, size_t *n)
{
	u64 linear = linear_of(mode, DF_SEG_CS, vcpu->arch.rip), gpa;
	u32 error;

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

/* KVM's way to say it: the bytes, for whoever has an emulator. */
static int cannot_emulate(struct df_vcpu *vcpu, const u8 *bytes, size_t n)
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
		return cannot_emulate(vcpu, bytes, 0);
	if (df_insn_decode(insn, bytes, n, mode.bytes))
		return cannot_emulate(vcpu, bytes, n);
	return execute(vcpu, &mode);
}

/* ---- string port I/O (SDM, "VM-Exit Instruction Information") --------------------- */

#define ADDRESS_BYTES(info)	(2U << ((info) >> 7 & 7))

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
	int err;

	access->data = 0;
	memcpy(&access->data, df_vcpu_pio_data(vcpu), size);
	trace_df_pio(vcpu->id, false, IO_PORT(vcpu->arch.exit.qualification), size, access->data);
	err = state_mode(vcpu, &mode);
	if (err)
		return err;
	return access_begin(vcpu, &mode, vcpu->arch.exit.linear, size, true, string_io_done);
}

static int outs_loaded(struct df_vcpu *vcpu)
{
	struct df_access *access = &vcpu->arch.access;
	u8 size = access->insn.size;

	memcpy(df_vcpu_pio_data(vcpu), &access->data, size);
	trace_df_pio(vcpu->id, true, IO_PORT(vcpu->arch.exit.qualification), size, access->data);
	vcpu->arch.complete = string_io_done;
	return exit_pio(vcpu, vcpu->arch.exit.qualification);
}

/* INS wants to know that it can store what it is about to read. */
static int begin_ins(struct df_vcpu *vcpu, const struct df_mode *mode)
{
	u64 linear = vcpu->arch.exit.linear, gpa;
	u8 size = vcpu->arch.access.insn.size;
	int ret;

	ret = translate(vcpu, mode, linear, DF_PAGING_WRITE, &gpa);
	if (!ret && offset_in_page(linear) + size > PAGE_SIZE)
		ret = translate(vcpu, mode, PAGE_ALIGN(linear), DF_PAGING_WRITE, &gpa);
	if (ret)
		return ret == FAULTED ? DF_RESUME : ret;
	vcpu->arch.complete = complete_ins;
	return exit_pio(vcpu, vcpu->arch.exit.qualification);
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
	if (q & IO_IN)
		return begin_ins(vcpu, &mode);
	return access_begin(vcpu, &mode, arch->exit.linear, insn->size, false, outs_loaded);
}
