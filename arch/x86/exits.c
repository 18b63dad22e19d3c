// SPDX-License-Identifier: GPL-2.0-only
/*
 * What each exit means. What is not here stops the VM that caused it.
 */
#include <asm/cpu.h>

#include "x86.h"

#define INTR_TYPE_VECTOR	(INTR_INFO_INTR_TYPE_MASK | INTR_INFO_VECTOR_MASK)

/* A vector with the type that the CPU reports it with. */
#define EXCEPTION(vector)	(INTR_TYPE_HARD_EXCEPTION | (vector))
#define SOFT_EXCEPTION(vector)	(INTR_TYPE_SOFT_EXCEPTION | (vector))
#define INT1			(INTR_TYPE_PRIV_SW_EXCEPTION | X86_TRAP_DB)
#define NMI			(INTR_TYPE_NMI_INTR | X86_TRAP_NMI)

static int internal_error(struct df_vcpu *vcpu, u32 suberror)
{
	const struct vmx_exit *exit = &vcpu->exit;
	struct kvm_run *run = vcpu->run;

	run->internal.suberror = suberror;
	run->internal.ndata = 6;
	run->internal.data[0] = exit->reason;
	run->internal.data[1] = exit->qualification;
	run->internal.data[2] = exit->gpa;
	run->internal.data[3] = vcpu->rip;
	run->internal.data[4] = exit->intr_info;
	run->internal.data[5] = exit->idt_info;
	return exit_to_user(vcpu, KVM_EXIT_INTERNAL_ERROR);
}

/* Leaves KVM_RUN with all that is known of an exit that should not be. */
static int unexpected(struct df_vcpu *vcpu)
{
	return internal_error(vcpu, KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON);
}

/* ---- the inner ring: interrupts off, the VMCS current ---------------------------- */

static int exception(void)
{
	u32 info = vmcs_read(VM_EXIT_INTR_INFO) & INTR_TYPE_VECTOR;

	return info == NMI || info == EXCEPTION(X86_TRAP_MC) ? DF_TO_HOST : DF_TO_MIDDLE;
}

/* Memory is coherent: INVD would lose the host's, and WBINVD has nothing to do. */
static noinline int nothing(struct df_vcpu *vcpu)
{
	return run_finish(vcpu);
}

static int skip(struct df_vcpu *vcpu)
{
	exit_skip(vcpu);
	return DF_RESUME;
}

/* SDM, "Exit Qualification for I/O Instructions". */

/* Out of the way of those that are not traced. */
static noinline void trace_pio(struct df_vcpu *vcpu, bool write, u64 q, u32 value)
{
	trace_df_pio(vcpu->id, write, IO_PORT(q), IO_SIZE(q), value);
}

/* A 32-bit result clears the upper half, smaller ones leave the rest alone. */
static int complete_in(struct df_vcpu *vcpu)
{
	u64 *rax = &vcpu->regs[DF_RAX], q = vcpu->exit.qualification, value = 0;
	u8 size = IO_SIZE(q);

	memcpy(&value, df_vcpu_pio_data(vcpu), size);
	trace_pio(vcpu, false, q, value);
	if (size == 4)
		*rax = 0;
	memcpy(rax, &value, size);
	return skip(vcpu);
}

static __always_inline int tell_pio(struct kvm_run *run, u64 q)
{
	run->io.direction = q & IO_IN ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
	run->io.size = IO_SIZE(q);
	run->io.port = IO_PORT(q);
	run->io.count = 1;
	run->io.data_offset = DF_RUN_PIO_OFFSET;
	run->exit_reason = KVM_EXIT_IO;
	return DF_TO_USER;
}

int exit_pio(struct df_vcpu *vcpu, u64 q)
{
	return tell_pio(vcpu->run, q);
}

/* It is done as far as the guest knows: the next KVM_RUN has nothing to finish. */
static noinline int inner_out(struct df_vcpu *vcpu, u64 q)
{
	/* Of the four bytes, user space looks at as many as it is told. */
	*(u32 *)df_vcpu_pio_data(vcpu) = vcpu->regs[DF_RAX];
	return run_finish_and(vcpu, tell_pio(vcpu->run, q & ~(u64)IO_IN));
}

/* An eventfd stays what it is while interrupts are off: until it is signalled. */
static noinline int inner_kick(struct df_vcpu *vcpu, u64 q)
{
	vcpu->kick = df_ioeventfd_find(vcpu->vm, false, IO_PORT(q), IO_SIZE(q),
				       vcpu->regs[DF_RAX]);
	return vcpu->kick ? run_finish_and(vcpu, DF_TO_WAKE) : inner_out(vcpu, q);
}

static noinline int inner_in(struct df_vcpu *vcpu, u64 q)
{
	if (q & IO_STRING)
		return DF_TO_MIDDLE;
	vcpu->exit.qualification = q;
	vcpu->exit.insn_len = vmcs_peek(VM_EXIT_INSTRUCTION_LEN);
	vcpu->complete = complete_in;
	return exit_pio(vcpu, q);
}

static noinline int inner_io(struct df_vcpu *vcpu)
{
	u64 q = vmcs_peek(EXIT_QUALIFICATION);

	if (unlikely(q & (IO_STRING | IO_IN)))
		return inner_in(vcpu, q);
	if (trace_df_pio_enabled())
		trace_pio(vcpu, true, q, vcpu->regs[DF_RAX]);
	if (df_ioeventfd_any(vcpu->vm, false))
		return inner_kick(vcpu, q);
	return inner_out(vcpu, q);
}

#define EPT_LINEAR	(EPT_VIOLATION_GVA_IS_VALID | EPT_VIOLATION_GVA_TRANSLATED)

/* A write by an instruction, and nothing but a write, which the guest's tables allow. */
static bool is_store(const struct vmx_exit *exit, u64 q)
{
	u64 access = EPT_VIOLATION_ACC_READ | EPT_VIOLATION_ACC_WRITE | EPT_VIOLATION_ACC_INSTR;

	return (q & (access | EPT_LINEAR | INTR_INFO_UNBLOCK_NMI)) ==
	       (EPT_VIOLATION_ACC_WRITE | EPT_LINEAR) &&
	       !(exit->idt_info & VECTORING_INFO_VALID_MASK);
}

/*
 * A store to an eventfd that does not ask what is stored, or how much: nothing has
 * to be decoded, if only the instruction's length is known. The SDM does not
 * say that it is, after this exit; KVM knows of CPUs that it is there, and of
 * hypervisors, which may be beneath us, that it may not be.
 */
static int inner_store(struct df_vcpu *vcpu)
{
	u64 gpa;

	if (!df_ioeventfd_any(vcpu->vm, true) || boot_cpu_has(X86_FEATURE_HYPERVISOR) ||
	    !is_store(&vcpu->exit, vmcs_peek(EXIT_QUALIFICATION)))
		return DF_TO_MIDDLE;
	gpa = vmcs_peek(GUEST_PHYSICAL_ADDRESS);
	/* The APIC's page comes first. */
	if (!((gpa ^ vcpu->apic_base) >> PAGE_SHIFT))
		return DF_TO_MIDDLE;
	vcpu->kick = df_ioeventfd_find_bare(vcpu->vm, gpa);
	if (!vcpu->kick)
		return DF_TO_MIDDLE;
	return run_finish_and(vcpu, DF_TO_WAKE);
}

/* The xAPIC's registers that the CPU leaves to us; the value is there already. */
static int apic_write_inner(struct df_vcpu *vcpu)
{
	u32 icr;
	int ret;

	if (vmcs_read(EXIT_QUALIFICATION) != APIC_ICR)
		return DF_TO_MIDDLE;
	icr = lapic_get(vcpu, APIC_ICR) & ~(u32)APIC_ICR_BUSY;
	lapic_put(vcpu, APIC_ICR, icr);
	ret = delivery_icr_inner(vcpu, lapic_icr_destination(vcpu), icr);
	return ret == DF_RESUME ? run_prepare(vcpu) : ret;
}

/* Exits that no instruction has asked for: they may come in the middle of a delivery. */
static noinline int handle_event(struct df_vcpu *vcpu)
{
	struct vmx_exit *exit = &vcpu->exit;

	exit->idt_info = vmcs_peek(IDT_VECTORING_INFO_FIELD);
	if (unlikely(exit->idt_info & VECTORING_INFO_VALID_MASK))
		events_requeue(vcpu);
	switch (exit->reason) {
	case EXIT_REASON_EXTERNAL_INTERRUPT:
		return deadline_took(vcpu) ? run_prepare(vcpu) : DF_TO_HOST;
	case EXIT_REASON_EXCEPTION_NMI:		return exception();
	case EXIT_REASON_NMI_WINDOW:		return run_prepare(vcpu);
	case EXIT_REASON_EPT_VIOLATION:		return inner_store(vcpu);
	case EXIT_REASON_APIC_WRITE:		return apic_write_inner(vcpu);
	case EXIT_REASON_PREEMPTION_TIMER:
		return timer_exit(vcpu) ? DF_TO_HOST : run_prepare(vcpu);
	default:				return DF_TO_MIDDLE;
	}
}

static __always_inline int handle_inner(struct df_vcpu *vcpu)
{
	u32 reason = vmcs_read(VM_EXIT_REASON);

	vcpu->exit.reason = reason;
	/* Of an entry that failed nothing else is written. */
	if (unlikely(reason >= DF_NR_EXIT_REASONS)) {
		if ((u16)reason < DF_NR_EXIT_REASONS)
			vcpu->exits[(u16)reason]++;
		return reason & VMX_EXIT_REASONS_FAILED_VMENTRY ? DF_NO_ENTRY : DF_TO_MIDDLE;
	}
	vcpu->launched = true;
	vcpu->exits[reason]++;
	switch (reason) {
	case EXIT_REASON_CPUID:			return cpuid_handle(vcpu);
	case EXIT_REASON_VMCALL:		return hypercall_handle_inner(vcpu);
	case EXIT_REASON_IO_INSTRUCTION:	return inner_io(vcpu);
	case EXIT_REASON_MSR_READ:		return msr_read_inner(vcpu);
	case EXIT_REASON_MSR_WRITE:		return msr_write_inner(vcpu);
	case EXIT_REASON_INVD:
	case EXIT_REASON_WBINVD:		return nothing(vcpu);
	case EXIT_REASON_HLT:			return halt_inner(vcpu);
	default:				return handle_event(vcpu);
	}
}

int exit_handle_inner(struct df_vcpu *vcpu)
{
	return handle_inner(vcpu);
}

/*
 * Between an exit and the next entry nobody looks for requests, work of the
 * host's, or what others have posted. Who has something for a vCPU that says that
 * it is in the guest sends its CPU an interrupt; held up until the entry, it
 * ends the guest's stay right behind it, or moves what is posted.
 */
noinstr int run_exit(struct df_vcpu *vcpu)
{
	int ret;

	if (unlikely(vcpu->apart))
		return DF_UNHANDLED;
	instrumentation_begin();
	ret = handle_inner(vcpu);
	instrumentation_end();
	return ret;
}

/* ---- what is for the host: just outside of it, interrupts still off ---------------- */

/* The exit has acknowledged it: its handler is called, as if it had come just now. */
static void host_interrupt(struct df_vcpu *vcpu)
{
	/* The guest held nothing that RCU guards: a tick may know. */
	rcu_virt_note_context_switch();
	vmx_call_gate(vmcs_host_gate((u8)vcpu->exit.intr_info), df_host_interrupt_flags());
	if (df_host_vmx_is_brief())
		local_irq_disable();
}

/*
 * The exit has taken it, and here it is raised again; an NMI with NMIs blocked,
 * as in its handler, until the IRET.
 */
static void host_exception(struct df_vcpu *vcpu)
{
	if ((vcpu->exit.intr_info & INTR_INFO_VECTOR_MASK) == X86_TRAP_MC)
		df_host_machine_check();
	else
		asm volatile("int $2");
}

void exit_handle_host(struct df_vcpu *vcpu)
{
	if (vcpu->exit.reason == EXIT_REASON_EXTERNAL_INTERRUPT)
		host_interrupt(vcpu);
	else if (vcpu->exit.reason == EXIT_REASON_EXCEPTION_NMI)
		host_exception(vcpu);
}

/* ---- control registers -------------------------------------------------------------- */

/* The APIC is user space's: it hears of a priority that lets more interrupts in. */
static int handle_cr8(struct df_vcpu *vcpu, bool read, u64 *gpr)
{
	u64 before = vcpu->cr8;

	if (!read && *gpr & ~0xfULL)
		return events_gp(vcpu);
	if (read)
		*gpr = vcpu->cr8;
	else
		vcpu->cr8 = *gpr;
	if (gpr == &vcpu->regs[DF_RSP])
		vcpu->dirty |= DF_DIRTY_RSP;
	skip(vcpu);
	return vcpu->cr8 < before ? exit_to_user(vcpu, KVM_EXIT_SET_TPR) : DF_RESUME;
}

/* Process contexts begin in long mode, and with none. */
static bool may_write_cr4(const struct df_vcpu *vcpu, u64 value, u64 old, u64 efer)
{
	if (value & ~vcpu->cr4_guest || (efer & EFER_LMA && !(value & X86_CR4_PAE)))
		return false;
	return !(value & ~old & X86_CR4_PCIDE) ||
	       (efer & EFER_LMA && !(vmcs_read(GUEST_CR3) & X86_CR3_PCID_MASK));
}

/* What MOV to CR0 or CR4 faults on in the mode that the vCPU is in; the VMCS current. */
static bool may_write_cr(const struct df_vcpu *vcpu, int cr, u64 value)
{
	u64 efer = vmcs_read(GUEST_IA32_EFER), cr4 = state_cr4(vcpu);
	bool wide = vmcs_read(GUEST_CS_AR_BYTES) & VMX_AR_L_MASK;

	if (cr == 4)
		return may_write_cr4(vcpu, value, cr4, efer);
	if (!state_cr0_valid(value))
		return false;
	if (!(value & X86_CR0_PG))
		return !(efer & EFER_LMA && wide) && !(cr4 & X86_CR4_PCIDE);
	return !(efer & EFER_LME) || efer & EFER_LMA || (cr4 & X86_CR4_PAE && !wide);
}

/* Bits that a translation hangs on: the CPU would forget what it remembers. */
#define CR0_PAGING	(X86_CR0_PG | X86_CR0_WP)
#define CR4_PAGING	(X86_CR4_PGE | X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PCIDE | \
			 X86_CR4_SMEP | X86_CR4_SMAP)

/* Returns the old value. */
static u64 write_cr(struct df_vcpu *vcpu, int cr, u64 value)
{
	u64 old = cr ? state_cr4(vcpu) : state_cr0();

	if (cr) {
		state_set_cr4(vcpu, value);
	} else {
		state_set_cr0(value);
		state_set_efer(vcpu, vmcs_read(GUEST_IA32_EFER));
	}
	if ((old ^ value) & (cr ? CR4_PAGING : CR0_PAGING))
		vmx_invvpid_context(vcpu->vpid);
	return old;
}

/* SDM, "Exit Qualification for Control-Register Accesses". */
static int handle_cr(struct df_vcpu *vcpu)
{
	u64 q = vcpu->exit.qualification;
	u64 *gpr = &vcpu->regs[q >> 8 & 15], value, old = 0;
	int cr = q & 15, type = q >> 4 & 3;
	int err;
	bool fine;

	if (cr == 8)
		return handle_cr8(vcpu, type == 1, gpr);
	if (type != 0 || (cr != 0 && cr != 4))
		return unexpected(vcpu);

	if (run_vmcs_begin(vcpu))
		return -EIO;
	value = vmcs_read(GUEST_CS_AR_BYTES) & VMX_AR_L_MASK ? *gpr : (u32)*gpr;
	fine = may_write_cr(vcpu, cr, value);
	if (fine)
		old = write_cr(vcpu, cr, value);
	run_vmcs_end();
	if (!fine)
		return events_gp(vcpu);

	err = state_load_pdptes(vcpu);
	if (!err)
		return skip(vcpu);
	if (err == -EIO || run_vmcs_begin(vcpu))
		return -EIO;
	write_cr(vcpu, cr, old);
	run_vmcs_end();
	return events_gp(vcpu);
}

/* ---- memory -------------------------------------------------------------------------- */

/*
 * No memory, or none that may be written. The CPU cannot be helped with a
 * fetch, with its own walk of the guest's tables, or with half a delivery.
 */
static int no_memory(struct df_vcpu *vcpu)
{
	const struct vmx_exit *exit = &vcpu->exit;

	if (exit->idt_info & VECTORING_INFO_VALID_MASK)
		return internal_error(vcpu, KVM_INTERNAL_ERROR_DELIVERY_EV);
	if (exit->qualification & EPT_VIOLATION_ACC_INSTR ||
	    (exit->qualification & EPT_LINEAR) != EPT_LINEAR)
		return emulate_failed(vcpu, NULL, 0);
	return emulate_mmio(vcpu);
}

static int handle_ept_violation(struct df_vcpu *vcpu)
{
	const struct vmx_exit *exit = &vcpu->exit;
	u64 age = READ_ONCE(vcpu->vm->slots_age);
	int err;

	trace_df_ept_violation(vcpu->id, exit->gpa, exit->qualification, vcpu->rip);
	err = mapping_fault(vcpu->vm, exit->gpa, exit->qualification & EPT_VIOLATION_ACC_WRITE,
			    exit->qualification & EPT_VIOLATION_ACC_INSTR);
	/* Nobody runs code there: a fetch would fault again. */
	if (err == -ENXIO && !(exit->qualification & EPT_VIOLATION_ACC_INSTR))
		err = apic_page_fault(vcpu, exit->gpa);
	if (err == -ENXIO) {
		if (df_ioeventfd_any(vcpu->vm, true))
			df_ioeventfd_set_bare(vcpu->vm, exit->gpa, age);
		return no_memory(vcpu);
	}
	/* A page that shrank or moved between two looks: the guest tries again. */
	return err && err != -EAGAIN ? err : DF_RESUME;
}

/* ---- the local APIC ------------------------------------------------------------------- */

/* SDM, "Exit Qualification for APIC-Access VM Exits". */
#define ACCESS_BY_READ	0x0000
#define ACCESS_BY_WRITE	0x1000

static int handle_apic_access(struct df_vcpu *vcpu)
{
	const struct vmx_exit *exit = &vcpu->exit;
	u32 type = exit->qualification & APIC_ACCESS_TYPE;

	if (exit->idt_info & VECTORING_INFO_VALID_MASK)
		return internal_error(vcpu, KVM_INTERNAL_ERROR_DELIVERY_EV);
	if (type != ACCESS_BY_READ && type != ACCESS_BY_WRITE)
		return emulate_failed(vcpu, NULL, 0);
	return emulate_mmio(vcpu);
}

static int handle_apic_write(struct df_vcpu *vcpu)
{
	unsigned int reg = vcpu->exit.qualification & 0xff0;

	lapic_write(vcpu, reg, lapic_get(vcpu, reg));
	return DF_RESUME;
}

/* ---- the rest -------------------------------------------------------------------------- */

/* The guest's if it asks for alignment checks; else the host's for a split lock. */
static int handle_ac(struct df_vcpu *vcpu)
{
	struct df_mode mode;

	if (state_mode(vcpu, &mode))
		return -EIO;
	if (!boot_cpu_has(X86_FEATURE_SPLIT_LOCK_DETECT) ||
	    (mode.cpl == 3 && mode.paging.cr0 & X86_CR0_AM && mode.paging.ac))
		return events_exception_error(vcpu, X86_TRAP_AC, vcpu->exit.intr_error);
	if (handle_guest_split_lock(vcpu->rip))
		return DF_RESUME;
	vcpu->run->ex.exception = X86_TRAP_AC;
	vcpu->run->ex.error_code = vcpu->exit.intr_error;
	return exit_to_user(vcpu, KVM_EXIT_EXCEPTION);
}

static int handle_exception(struct df_vcpu *vcpu)
{
	switch (vcpu->exit.intr_info & INTR_TYPE_VECTOR) {
	case EXCEPTION(X86_TRAP_DB):
	case INT1:				return debug_handle_db(vcpu);
	case SOFT_EXCEPTION(X86_TRAP_BP):	return debug_exit(vcpu, X86_TRAP_BP, 0);
	case EXCEPTION(X86_TRAP_AC):		return handle_ac(vcpu);
	default:				return unexpected(vcpu);
	}
}

static int handle_hlt(struct df_vcpu *vcpu)
{
	skip(vcpu);
	if (!lapic_is_here(vcpu))
		return exit_to_user(vcpu, KVM_EXIT_HLT);
	vcpu->mp_state = KVM_MP_STATE_HALTED;
	/* STI's shadow reached up to here, and what user space waits to inject ends the HLT. */
	if (vcpu->wants_window && events_takes_interrupt(vcpu))
		return exit_to_user(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	return DF_RESUME;
}

int exit_handle(struct df_vcpu *vcpu)
{
	switch (vcpu->exit.reason) {
	case EXIT_REASON_EXCEPTION_NMI:		return handle_exception(vcpu);
	case EXIT_REASON_IO_INSTRUCTION:	return emulate_string_io(vcpu);
	case EXIT_REASON_HLT:			return handle_hlt(vcpu);
	case EXIT_REASON_EPT_VIOLATION:		return handle_ept_violation(vcpu);
	case EXIT_REASON_CR_ACCESS:		return handle_cr(vcpu);
	case EXIT_REASON_VMCALL:		return hypercall_handle(vcpu);
	case EXIT_REASON_APIC_ACCESS:		return handle_apic_access(vcpu);
	case EXIT_REASON_APIC_WRITE:		return handle_apic_write(vcpu);
	case EXIT_REASON_EOI_INDUCED:
		delivery_end(vcpu, vcpu->exit.qualification);
		return DF_RESUME;
	case EXIT_REASON_INTERRUPT_WINDOW:	return events_handle_window(vcpu);
	case EXIT_REASON_DR_ACCESS:		return debug_handle_mov(vcpu);
	case EXIT_REASON_MSR_READ:		return msr_handle(vcpu, false);
	case EXIT_REASON_MSR_WRITE:		return msr_handle(vcpu, true);
	case EXIT_REASON_XSETBV:		return fpu_handle_xsetbv(vcpu);
	case EXIT_REASON_TRIPLE_FAULT:		return exit_to_user(vcpu, KVM_EXIT_SHUTDOWN);
	case EXIT_REASON_PML_FULL:		return DF_RESUME;	/* flushed on the way out */
	case EXIT_REASON_PAUSE_INSTRUCTION:
		/* A long spin: whoever holds the lock may be waiting for this core. */
		schedule();
		return skip(vcpu);
	case EXIT_REASON_MWAIT_INSTRUCTION:	return skip(vcpu);	/* nothing to wait with */
	case EXIT_REASON_MONITOR_INSTRUCTION:	return skip(vcpu);
	case EXIT_REASON_RDPMC:			return events_gp(vcpu);	/* no counters */
	case EXIT_REASON_VMCLEAR ... EXIT_REASON_VMON:	/* no VMX within */
	case EXIT_REASON_INVEPT:
	case EXIT_REASON_INVVPID:
	case EXIT_REASON_VMFUNC:
	case EXIT_REASON_RDRAND:	/* where CPUID does not have it */
	case EXIT_REASON_RDSEED:
		return events_exception(vcpu, X86_TRAP_UD);
	default:
		return unexpected(vcpu);
	}
}
