// SPDX-License-Identifier: GPL-2.0-only
#include "x86.h"

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
		events_page_fault(vcpu, linear, error);
	else if (ret == -ERANGE)
		events_gp(vcpu);
	else if (ret == -ENXIO)		/* a table where no memory is */
		events_page_fault(vcpu, linear, access & DF_PAGING_WRITE ? BIT(1) : 0);
	else if (ret && ret != -EAGAIN)
		return ret;
	return ret ? FAULTED : TRANSLATED;
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
static int segment(struct df_vcpu *vcpu, const struct df_mode *mode, u8 n, u64 offset, bool write,
		   u64 *linear)
{
	const struct df_segment *s = &mode->segment[n];

	*linear = s->base + offset;
	if (mode->bytes == 8)
		return TRANSLATED;
	*linear = (u32)*linear;
	if (is_within(s, offset, vcpu->access.insn.size) && (!mode->rights || is_right(s, write)))
		return TRANSLATED;
	events_exception_error(vcpu, n == DF_SEG_SS ? X86_TRAP_SS : X86_TRAP_GP, 0);
	return FAULTED;
}

/* ---- an element, piece by piece --------------------------------------------------- */

/* Where all of it is. */
static int locate(struct df_vcpu *vcpu, const struct df_mode *mode, u8 n, u64 offset, bool write)
{
	struct df_access *access = &vcpu->access;
	u8 size = access->insn.size;
	u64 linear;
	int ret = segment(vcpu, mode, n, offset, write, &linear);

	for (u8 at = 0; !ret && at < size; at += access->piece[access->nr++].len) {
		struct df_access_piece *piece = &access->piece[access->nr];

		*piece = (struct df_access_piece){
			.len = min_t(u64, size - at, PAGE_SIZE - offset_in_page(linear + at)),
			.at = at,
			.write = write,
		};
		ret = translate(vcpu, mode, linear + at, write ? DF_PAGING_WRITE : 0, &piece->gpa);
	}
	return ret;
}

/*
 * Both ends of MOVS are located before anything is read: a read from a device is not
 * done twice because the other end faults. And INS wants to know that it can store
 * what it is about to read.
 */
static int locate_all(struct df_vcpu *vcpu)
{
	struct df_access *access = &vcpu->access;
	const struct df_insn *insn = &access->insn;
	struct df_mode mode;
	int ret;

	if (state_mode(vcpu, &mode))
		return -EIO;
	access->nr = 0;
	access->next = 0;
	access->data = insn->kind == DF_INSN_STORE || insn->kind == DF_INSN_STOS ?
		       df_insn_store_value(insn, vcpu->regs) : 0;
	switch (insn->kind) {
	case DF_INSN_LOAD:
	case DF_INSN_STORE:
		return locate(vcpu, &mode, insn->segment,
			      df_insn_offset(insn, vcpu->regs, vcpu->rip),
			      insn->kind == DF_INSN_STORE);
	case DF_INSN_MOVS:
	case DF_INSN_OUTS:
		ret = locate(vcpu, &mode, insn->segment, df_insn_source(insn, vcpu->regs), false);
		if (ret || insn->kind == DF_INSN_OUTS)
			return ret;
		fallthrough;
	default:
		return locate(vcpu, &mode, DF_SEG_ES, df_insn_destination(insn, vcpu->regs), true);
	}
}

static int move(struct df_vcpu *vcpu);

static int complete_mmio(struct df_vcpu *vcpu)
{
	struct df_access *access = &vcpu->access;
	const struct df_access_piece *piece = &access->piece[access->next++];

	if (!piece->write) {
		memcpy((u8 *)&access->data + piece->at, vcpu->run->mmio.data, piece->len);
		trace_df_mmio(vcpu->id, false, piece->gpa, piece->len, access->data);
	}
	return move(vcpu);
}

/* No memory is there: a write may be all that somebody waits for; user space does the rest. */
static int piece_to_user(struct df_vcpu *vcpu, const struct df_access_piece *piece)
{
	u64 data = vcpu->access.data >> 8 * piece->at;
	struct kvm_run *run = vcpu->run;

	if (piece->write) {
		trace_df_mmio(vcpu->id, true, piece->gpa, piece->len, vcpu->access.data);
		if (df_ioeventfd_signal(vcpu->vm, true, piece->gpa, piece->len, data))
			return DF_RESUME;
		data &= GENMASK_ULL(8 * piece->len - 1, 0);
		memcpy(run->mmio.data, &data, sizeof(run->mmio.data));
	}
	run->mmio.phys_addr = piece->gpa;
	run->mmio.len = piece->len;
	run->mmio.is_write = piece->write;
	vcpu->complete = complete_mmio;
	return exit_to_user(vcpu, KVM_EXIT_MMIO);
}

/* The exit was like a fault's, with RF set: an instruction that is done clears it. */
static int skip(struct df_vcpu *vcpu)
{
	vcpu->exit.insn_len = vcpu->access.insn.len;
	vcpu->rflags &= ~(u64)X86_EFLAGS_RF;
	vcpu->dirty |= DF_DIRTY_RFLAGS;
	exit_skip(vcpu);
	return DF_RESUME;
}

static int step(struct df_vcpu *vcpu)
{
	return df_insn_step(&vcpu->access.insn, vcpu->regs, vcpu->rflags & X86_EFLAGS_DF) ?
	       skip(vcpu) : DF_RESUME;
}

static int out(struct df_vcpu *vcpu)
{
	const struct df_access *access = &vcpu->access;
	u16 port = IO_PORT(vcpu->exit.qualification);
	u8 size = access->insn.size;

	trace_df_pio(vcpu->id, true, port, size, access->data);
	if (df_ioeventfd_signal(vcpu->vm, false, port, size, access->data))
		return step(vcpu);
	memcpy(df_vcpu_pio_data(vcpu), &access->data, size);
	vcpu->complete = step;
	return exit_pio(vcpu, vcpu->exit.qualification);
}

/* Memory is read or written here, as is the APIC's page; and then the instruction is done. */
static int move(struct df_vcpu *vcpu)
{
	struct df_access *access = &vcpu->access;

	for (; access->next < access->nr; access->next++) {
		const struct df_access_piece *piece = &access->piece[access->next];
		u8 *data = (u8 *)&access->data + piece->at;
		int ret;

		if (lapic_access(vcpu, piece->gpa, data, piece->len, piece->write))
			continue;
		ret = df_memory_access(vcpu->vm, piece->gpa, data, piece->len, piece->write);
		if (ret == -ENXIO)
			ret = piece_to_user(vcpu, piece);
		else if (!ret)
			continue;
		if (ret != DF_RESUME)
			return ret;
	}
	switch (access->insn.kind) {
	case DF_INSN_LOAD:
		df_insn_load(&access->insn, vcpu->regs, access->data);
		vcpu->dirty |= DF_DIRTY_RSP;
		return skip(vcpu);
	case DF_INSN_STORE:
		return skip(vcpu);
	case DF_INSN_OUTS:
		return out(vcpu);
	default:
		return step(vcpu);
	}
}

/* After a fault the guest runs it again, or takes the exception. */
static int execute(struct df_vcpu *vcpu)
{
	int ret = locate_all(vcpu);

	if (ret)
		return ret == FAULTED ? DF_RESUME : ret;
	return move(vcpu);
}

/* ---- the instruction --------------------------------------------------------------- */

/* As much of it as can be read; the second page may not be there, and not be needed. */
static int fetch(struct df_vcpu *vcpu, const struct df_mode *mode, u8 *bytes, size_t *n)
{
	u64 linear = mode->segment[DF_SEG_CS].base + vcpu->rip, gpa;
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
	struct df_insn *insn = &vcpu->access.insn;
	u8 bytes[DF_INSN_MAX_BYTES];
	struct df_mode mode;
	size_t n;

	if (state_mode(vcpu, &mode))
		return -EIO;
	if (fetch(vcpu, &mode, bytes, &n))
		return emulate_failed(vcpu, bytes, 0);
	if (df_insn_decode(insn, bytes, n, mode.bytes))
		return emulate_failed(vcpu, bytes, n);
	return execute(vcpu);
}

/* ---- string port I/O (SDM, "VM-Exit Instruction Information") --------------------- */

/* Segments are numbered as everywhere; only for OUTS, and less than 6. */
#define ADDRESS_BYTES(info)	(2U << ((info) >> 7 & 7))
#define SEGMENT(info)		min_t(u8, (info) >> 15 & 7, DF_SEG_GS)

static int complete_ins(struct df_vcpu *vcpu)
{
	struct df_access *access = &vcpu->access;
	u8 size = access->insn.size;

	memcpy(&access->data, df_vcpu_pio_data(vcpu), size);
	trace_df_pio(vcpu->id, false, IO_PORT(vcpu->exit.qualification), size, access->data);
	return move(vcpu);
}

int emulate_string_io(struct df_vcpu *vcpu)
{
	struct df_insn *insn = &vcpu->access.insn;
	u64 q = vcpu->exit.qualification;
	int ret;

	*insn = (struct df_insn){
		.kind = q & IO_IN ? DF_INSN_INS : DF_INSN_OUTS,
		.len = vcpu->exit.insn_len,
		.size = IO_SIZE(q),
		.segment = SEGMENT(vcpu->exit.insn_info),
		.address_size = ADDRESS_BYTES(vcpu->exit.insn_info),
		.rep = q & IO_REP,
	};
	if (!df_insn_count(insn, vcpu->regs))
		return skip(vcpu);
	if (insn->kind == DF_INSN_OUTS)
		return execute(vcpu);
	ret = locate_all(vcpu);
	if (ret)
		return ret == FAULTED ? DF_RESUME : ret;
	vcpu->complete = complete_ins;
	return exit_pio(vcpu, q);
}
