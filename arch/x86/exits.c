// SPDX-License-Identifier: GPL-2.0-only
/*
 * What each exit means. What is not here stops the VM that caused it.
 */
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <asm/trapnr.h>
#include <asm/vmx.h>

#include "arch.h"
#include "cpuid.h"
#include "ept.h"
#include "memory.h"
#include "run.h"
#include "state.h"
#include "vcpu.h"
#include "vm.h"
#include "vmx/operation.h"

static void skip_instruction(struct df_vcpu *vcpu)
{
	vcpu->arch.rip += vcpu->arch.exit.insn_len;
	vcpu->arch.dirty |= DF_DIRTY_RIP;
}

static int inject_exception(struct df_vcpu *vcpu, u8 vector, bool has_error)
{
	vcpu->arch.inject_info = vector | INTR_TYPE_HARD_EXCEPTION | INTR_INFO_VALID_MASK |
				 (has_error ? INTR_INFO_DELIVER_CODE_MASK : 0);
	vcpu->arch.inject_error = 0;
	vcpu->arch.inject_len = 0;
	return DF_RESUME;
}

static int to_user(struct df_vcpu *vcpu, u32 reason)
{
	vcpu->run->exit_reason = reason;
	return DF_TO_USER;
}

/* The whole of what is known, for whoever has to find out. */
static int unexpected(struct df_vcpu *vcpu)
{
	const struct vmx_exit *exit = &vcpu->arch.exit;
	struct kvm_run *run = vcpu->run;

	run->internal.suberror = KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON;
	run->internal.ndata = 5;
	run->internal.data[0] = exit->reason;
	run->internal.data[1] = exit->qualification;
	run->internal.data[2] = exit->gpa;
	run->internal.data[3] = vcpu->arch.rip;
	run->internal.data[4] = exit->intr_info;
	return to_user(vcpu, KVM_EXIT_INTERNAL_ERROR);
}

/* An access that needs an instruction decoder, which is not there yet. */
static int cannot_emulate(struct df_vcpu *vcpu)
{
	vcpu->run->internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
	vcpu->run->internal.ndata = 2;
	vcpu->run->internal.data[0] = vcpu->arch.exit.gpa;
	vcpu->run->internal.data[1] = vcpu->arch.rip;
	return to_user(vcpu, KVM_EXIT_INTERNAL_ERROR);
}

/* ---- port I/O (SDM, "Exit Qualification for I/O Instructions") ------------ */

#define IO_SIZE(q)	(((q) & 7) + 1)
#define IO_IN		BIT(3)
#define IO_STRING	BIT(4)
#define IO_PORT(q)	((q) >> 16 & 0xffff)

static int complete_out(struct df_vcpu *vcpu)
{
	skip_instruction(vcpu);
	return DF_RESUME;
}

/* A 32-bit result clears the upper half, smaller ones leave the rest alone. */
static int complete_in(struct df_vcpu *vcpu)
{
	u64 *rax = &vcpu->arch.regs[DF_RAX];

	if (vcpu->arch.pio_size == 4)
		*rax = 0;
	memcpy(rax, df_vcpu_pio_data(vcpu), vcpu->arch.pio_size);
	skip_instruction(vcpu);
	return DF_RESUME;
}

static int handle_io(struct df_vcpu *vcpu)
{
	u64 q = vcpu->arch.exit.qualification;
	struct kvm_run *run = vcpu->run;

	if (q & IO_STRING)
		return cannot_emulate(vcpu);
	vcpu->arch.pio_size = IO_SIZE(q);
	run->io.direction = q & IO_IN ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
	run->io.size = IO_SIZE(q);
	run->io.port = IO_PORT(q);
	run->io.count = 1;
	run->io.data_offset = DF_RUN_PIO_OFFSET;
	if (!(q & IO_IN))
		memcpy(df_vcpu_pio_data(vcpu), &vcpu->arch.regs[DF_RAX], IO_SIZE(q));
	vcpu->arch.complete = q & IO_IN ? complete_in : complete_out;
	return to_user(vcpu, KVM_EXIT_IO);
}

/* ---- the rest -------------------------------------------------------------- */

/* An exception that is the guest's after all goes in as it came. */
static int handle_exception(struct df_vcpu *vcpu)
{
	struct df_vcpu_arch *arch = &vcpu->arch;

	switch (arch->exit.intr_info & (INTR_INFO_INTR_TYPE_MASK | INTR_INFO_VECTOR_MASK)) {
	case INTR_TYPE_HARD_EXCEPTION | X86_TRAP_DB:
	case INTR_TYPE_HARD_EXCEPTION | X86_TRAP_AC:
		arch->inject_info = arch->exit.intr_info & ~(u32)INTR_INFO_UNBLOCK_NMI;
		arch->inject_error = arch->exit.intr_error;
		arch->inject_len = 0;
		return DF_RESUME;
	default:
		return unexpected(vcpu);
	}
}

static int handle_hlt(struct df_vcpu *vcpu)
{
	skip_instruction(vcpu);
	return to_user(vcpu, KVM_EXIT_HLT);
}

static int handle_cpuid(struct df_vcpu *vcpu)
{
	cpuid_emulate(&vcpu->arch);
	skip_instruction(vcpu);
	return DF_RESUME;
}

static int handle_ept_violation(struct df_vcpu *vcpu)
{
	int err = ept_fault(vcpu->vm, vcpu->arch.exit.gpa);

	if (err > 0)
		return cannot_emulate(vcpu);
	/* A page that shrank or moved between two looks: the guest tries again. */
	return err && err != -EAGAIN ? err : DF_RESUME;
}

/* SDM, "Exit Qualification for Control-Register Accesses". */
static int handle_cr(struct df_vcpu *vcpu)
{
	struct df_vcpu_arch *arch = &vcpu->arch;
	u64 q = arch->exit.qualification;
	u64 *gpr = &arch->regs[q >> 8 & 15];
	int cr = q & 15, type = q >> 4 & 3;
	bool fine = true;

	if (cr == 8) {
		if (type == 0 && *gpr & ~0xfULL)
			return inject_exception(vcpu, X86_TRAP_GP, true);
		if (type == 0)
			arch->cr8 = *gpr;
		else
			*gpr = arch->cr8;
		if (gpr == &arch->regs[DF_RSP])
			arch->dirty |= DF_DIRTY_RSP;
		skip_instruction(vcpu);
		return DF_RESUME;
	}
	if (type != 0 || (cr != 0 && cr != 4))
		return unexpected(vcpu);

	if (run_vmcs_begin(arch))
		return -EIO;
	if (cr == 0) {
		fine = state_cr0_valid(*gpr);
		if (fine) {
			state_set_cr0(*gpr);
			state_set_efer(vmcs_read(GUEST_IA32_EFER));
		}
	} else {
		fine = state_cr4_valid(*gpr);
		if (fine)
			state_set_cr4(*gpr);
	}
	run_vmcs_end();
	if (!fine)
		return inject_exception(vcpu, X86_TRAP_GP, true);
	if (state_load_pdptes(vcpu))
		return -EFAULT;
	skip_instruction(vcpu);
	return DF_RESUME;
}

static int handle_msr(struct df_vcpu *vcpu, bool write)
{
	struct df_vcpu_arch *arch = &vcpu->arch;
	u64 value = (u32)arch->regs[DF_RAX] | arch->regs[DF_RDX] << 32;
	bool fine = false;

	if ((u32)arch->regs[DF_RCX] == MSR_EFER) {
		if (run_vmcs_begin(arch))
			return -EIO;
		fine = !write || state_efer_valid(value);
		if (write && fine)
			state_set_efer(value);
		value = vmcs_read(GUEST_IA32_EFER);
		run_vmcs_end();
	}
	if (!fine)
		return inject_exception(vcpu, X86_TRAP_GP, true);
	if (!write) {
		arch->regs[DF_RAX] = (u32)value;
		arch->regs[DF_RDX] = value >> 32;
	}
	skip_instruction(vcpu);
	return DF_RESUME;
}

int exit_handle(struct df_vcpu *vcpu)
{
	switch (vcpu->arch.exit.reason) {
	case EXIT_REASON_EXCEPTION_NMI:		return handle_exception(vcpu);
	case EXIT_REASON_IO_INSTRUCTION:	return handle_io(vcpu);
	case EXIT_REASON_HLT:			return handle_hlt(vcpu);
	case EXIT_REASON_CPUID:			return handle_cpuid(vcpu);
	case EXIT_REASON_EPT_VIOLATION:		return handle_ept_violation(vcpu);
	case EXIT_REASON_CR_ACCESS:		return handle_cr(vcpu);
	case EXIT_REASON_MSR_READ:		return handle_msr(vcpu, false);
	case EXIT_REASON_MSR_WRITE:		return handle_msr(vcpu, true);
	case EXIT_REASON_TRIPLE_FAULT:		return to_user(vcpu, KVM_EXIT_SHUTDOWN);
	case EXIT_REASON_INVD:			/* as WBINVD: memory is coherent */
	case EXIT_REASON_WBINVD:
		skip_instruction(vcpu);
		return DF_RESUME;
	case EXIT_REASON_VMCALL:
	case EXIT_REASON_MWAIT_INSTRUCTION:
	case EXIT_REASON_MONITOR_INSTRUCTION:
		return inject_exception(vcpu, X86_TRAP_UD, false);
	case EXIT_REASON_RDPMC:
	case EXIT_REASON_XSETBV:
		return inject_exception(vcpu, X86_TRAP_GP, true);
	default:
		return unexpected(vcpu);
	}
}
