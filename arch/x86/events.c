// SPDX-License-Identifier: GPL-2.0-only
#include "x86.h"

#define INTR_TYPE_SHIFT		8
#define SHADOW_MASK		(GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS)

/* What is known of events here; no SMM, and a triple fault is never pending. */
#define EVENT_FLAGS		(KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW | \
				 KVM_VCPUEVENT_VALID_SIPI_VECTOR | KVM_VCPUEVENT_VALID_SMM)

/* INT3 and INTO return behind themselves: the CPU asks for their length. */
static u32 exception_type(u8 vector)
{
	return vector == X86_TRAP_BP || vector == X86_TRAP_OF ? INTR_TYPE_SOFT_EXCEPTION :
								INTR_TYPE_HARD_EXCEPTION;
}

static int raise(struct df_vcpu *vcpu, u32 info, u32 error)
{
	vcpu->inject_info = info | INTR_INFO_VALID_MASK;
	vcpu->inject_error = error;
	vcpu->inject_len = 1;
	return DF_RESUME;
}

int events_exception(struct df_vcpu *vcpu, u8 vector)
{
	return raise(vcpu, vector | exception_type(vector), 0);
}

int events_exception_error(struct df_vcpu *vcpu, u8 vector, u32 error)
{
	return raise(vcpu, vector | INTR_TYPE_HARD_EXCEPTION | INTR_INFO_DELIVER_CODE_MASK, error);
}

void events_interrupt(struct df_vcpu *vcpu, u8 vector)
{
	raise(vcpu, vector | INTR_TYPE_EXT_INTR, 0);
}

int events_gp(struct df_vcpu *vcpu)
{
	return events_exception_error(vcpu, X86_TRAP_GP, 0);
}

int events_page_fault(struct df_vcpu *vcpu, u64 linear, u32 error)
{
	vcpu->cr2 = linear;
	return events_exception_error(vcpu, X86_TRAP_PF, error);
}

/* In real mode the CPU delivers no error codes, and refuses to be given one. */
void events_inject(struct df_vcpu *vcpu)
{
	u32 info = vcpu->inject_info;

	if (!(vmcs_read(GUEST_CR0) & X86_CR0_PE))
		info &= ~(u32)INTR_INFO_DELIVER_CODE_MASK;
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, info);
	vmcs_write(VM_ENTRY_EXCEPTION_ERROR_CODE, vcpu->inject_error);
	vmcs_write(VM_ENTRY_INSTRUCTION_LEN, vcpu->inject_len);
	vcpu->inject_info = 0;
	/* Where HLT does not exit, only some events may find the guest in it. */
	vmcs_write(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
}

/* An exit in the middle of a delivery: the event goes in again at the next entry. */
void events_requeue(struct df_vcpu *vcpu)
{
	const struct vmx_exit *exit = &vcpu->exit;

	vcpu->inject_info = exit->idt_info & ~(u32)INTR_INFO_UNBLOCK_NMI;
	vcpu->inject_error = vmcs_read(IDT_VECTORING_ERROR_CODE);
	vcpu->inject_len = vmcs_read(VM_EXIT_INSTRUCTION_LEN);
	/* An NMI that is delivered blocks others; one that was not, does not yet. */
	if ((exit->idt_info & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_NMI_INTR)
		vmcs_write(GUEST_INTERRUPTIBILITY_INFO,
			   vmcs_read(GUEST_INTERRUPTIBILITY_INFO) & ~(u64)GUEST_INTR_STATE_NMI);
}

void events_nmi(struct df_vcpu *vcpu)
{
	if (vcpu->nmi_pending < 2)
		vcpu->nmi_pending++;
}

void events_take_nmi(struct df_vcpu *vcpu)
{
	if (test_and_clear_bit(DF_REQ_NMI, &vcpu->requests))
		events_nmi(vcpu);
}

void events_reset(struct df_vcpu *vcpu)
{
	vcpu->inject_info = 0;
	vcpu->nmi_pending = 0;
	vcpu->interrupt_pending = false;
	vcpu->mce_pending = false;
}

/* Until something goes in, its window exits. */
static void set_window(bool *is_set, bool on, u32 control)
{
	if (*is_set == on)
		return;
	*is_set = on;
	vmcs_write(CPU_BASED_VM_EXEC_CONTROL, vmcs_read(CPU_BASED_VM_EXEC_CONTROL) ^ control);
}

/* User space's interrupt controller is wired to LINT0, if there is such a pin. */
bool events_has_lint0(const struct df_vcpu *vcpu)
{
	u32 lvt;

	if (!lapic_is_here(vcpu) || !lapic_is_enabled(vcpu))
		return true;
	lvt = lapic_get(vcpu, APIC_LVT0);
	return !(lvt & APIC_LVT_MASKED) && (lvt & APIC_MODE_MASK) == APIC_DM_EXTINT;
}

/* A machine check, an NMI, an interrupt: the last two unless something holds them up. */
void events_raise_waiting(struct df_vcpu *vcpu)
{
	u32 blocked = vmcs_read(GUEST_INTERRUPTIBILITY_INFO);
	bool lint0 = events_has_lint0(vcpu);

	if (vcpu->mce_pending && !vcpu->inject_info) {
		events_exception(vcpu, X86_TRAP_MC);
		vcpu->mce_pending = false;
	}
	if (unlikely(debug_blocks_interrupts(vcpu))) {
		set_window(&vcpu->nmi_window, false, CPU_BASED_NMI_WINDOW_EXITING);
		set_window(&vcpu->interrupt_window, false, CPU_BASED_INTR_WINDOW_EXITING);
		return;
	}
	if (vcpu->nmi_pending && !vcpu->inject_info &&
	    !(blocked & (SHADOW_MASK | GUEST_INTR_STATE_NMI))) {
		raise(vcpu, X86_TRAP_NMI | INTR_TYPE_NMI_INTR, 0);
		vcpu->nmi_pending--;
	}
	if (vcpu->interrupt_pending && lint0 && !vcpu->inject_info &&
	    vmcs_read(GUEST_RFLAGS) & X86_EFLAGS_IF && !(blocked & SHADOW_MASK)) {
		raise(vcpu, vcpu->interrupt_vector | INTR_TYPE_EXT_INTR, 0);
		vcpu->interrupt_pending = false;
	}
	set_window(&vcpu->nmi_window, vcpu->nmi_pending, CPU_BASED_NMI_WINDOW_EXITING);
	set_window(&vcpu->interrupt_window,
		   lint0 && (vcpu->interrupt_pending || vcpu->wants_window),
		   CPU_BASED_INTR_WINDOW_EXITING);
}

static bool is_shadowed(const struct df_vcpu *vcpu)
{
	return vcpu->shadowed & SHADOW_MASK && !(vcpu->dirty & DF_DIRTY_SKIPPED);
}

bool events_takes_interrupt(const struct df_vcpu *vcpu)
{
	return vcpu->rflags & X86_EFLAGS_IF && !is_shadowed(vcpu) && !vcpu->inject_info &&
	       !vcpu->interrupt_pending && events_has_lint0(vcpu);
}

int events_handle_window(struct df_vcpu *vcpu)
{
	if (!vcpu->wants_window || vcpu->interrupt_pending)
		return DF_RESUME;
	return exit_to_user(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
}

int events_queue_interrupt(struct df_vcpu *vcpu, void *arg)
{
	u32 vector = ((const struct kvm_interrupt *)arg)->irq;

	if (vector >= KVM_NR_INTERRUPTS)
		return -EINVAL;
	/* As if there were a PIC, which has LINT0. */
	if (lapic_is_here(vcpu) && !vcpu->vm->arch.split)
		return -ENXIO;
	if (lapic_is_here(vcpu) && vcpu->interrupt_pending)
		return -EEXIST;
	vcpu->interrupt_vector = vector;
	vcpu->interrupt_pending = true;
	return 0;
}

/* ---- what user space sees ---------------------------------------------------- */

static void get_injected(const struct df_vcpu *vcpu, struct kvm_vcpu_events *events)
{
	u8 vector = vcpu->inject_info & INTR_INFO_VECTOR_MASK;

	if (!(vcpu->inject_info & INTR_INFO_VALID_MASK))
		return;
	switch (vcpu->inject_info & INTR_INFO_INTR_TYPE_MASK) {
	case INTR_TYPE_EXT_INTR:
		events->interrupt.injected = 1;
		events->interrupt.nr = vector;
		break;
	case INTR_TYPE_SOFT_INTR:	/* RIP is on the INT: it is done again */
		break;
	case INTR_TYPE_NMI_INTR:
		events->nmi.injected = 1;
		break;
	default:
		events->exception.injected = 1;
		events->exception.nr = vector;
		events->exception.has_error_code = !!(vcpu->inject_info &
						      INTR_INFO_DELIVER_CODE_MASK);
		events->exception.error_code = vcpu->inject_error;
		break;
	}
}

int events_get(struct df_vcpu *vcpu, void *arg)
{
	struct kvm_vcpu_events *events = arg;
	u32 blocked;

	if (run_vmcs_begin(vcpu))
		return -EIO;
	run_write_dirty(vcpu);
	blocked = vmcs_read(GUEST_INTERRUPTIBILITY_INFO);
	run_vmcs_end();

	events_take_nmi(vcpu);
	*events = (struct kvm_vcpu_events){
		.nmi.pending = vcpu->nmi_pending,
		.nmi.masked = !!(blocked & GUEST_INTR_STATE_NMI),
		.interrupt.shadow = (blocked & GUEST_INTR_STATE_STI ? KVM_X86_SHADOW_INT_STI : 0) |
				    (blocked & GUEST_INTR_STATE_MOV_SS ?
				     KVM_X86_SHADOW_INT_MOV_SS : 0),
		.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW,
	};
	get_injected(vcpu, events);
	if (vcpu->mce_pending && !events->exception.injected) {
		events->exception.injected = 1;
		events->exception.nr = X86_TRAP_MC;
	}
	if (vcpu->interrupt_pending && !lapic_is_here(vcpu) && !events->interrupt.injected) {
		events->interrupt.injected = 1;
		events->interrupt.nr = vcpu->interrupt_vector;
	}
	return 0;
}

static bool events_valid(const struct kvm_vcpu_events *e)
{
	if (e->flags & ~(u32)EVENT_FLAGS)
		return false;
	if (e->flags & KVM_VCPUEVENT_VALID_SMM &&
	    (e->smi.smm || e->smi.pending || e->smi.smm_inside_nmi))
		return false;
	if ((e->exception.injected || e->exception.pending) &&
	    (e->exception.nr > 31 || e->exception.nr == X86_TRAP_NMI))
		return false;
	return e->interrupt.shadow <= (KVM_X86_SHADOW_INT_STI | KVM_X86_SHADOW_INT_MOV_SS);
}

/* One at a time is on its way, as in the CPU: an exception before an interrupt. */
static void set_injected(struct df_vcpu *vcpu, const struct kvm_vcpu_events *e)
{
	vcpu->inject_info = 0;
	/* Beside a LAPIC of ours one that waits is not among these events. */
	if (!lapic_is_here(vcpu))
		vcpu->interrupt_pending = false;
	if (e->exception.injected || e->exception.pending) {
		if (e->exception.has_error_code)
			events_exception_error(vcpu, e->exception.nr, e->exception.error_code);
		else
			events_exception(vcpu, e->exception.nr);
	} else if (e->nmi.injected) {
		raise(vcpu, X86_TRAP_NMI | INTR_TYPE_NMI_INTR, 0);
	} else if (e->interrupt.injected) {
		raise(vcpu, e->interrupt.nr | (e->interrupt.soft ? INTR_TYPE_SOFT_INTR :
								   INTR_TYPE_EXT_INTR), 0);
	}
}

int events_set(struct df_vcpu *vcpu, void *arg)
{
	const struct kvm_vcpu_events *e = arg;
	u32 blocked;

	if (!events_valid(e))
		return -EINVAL;
	if (run_vmcs_begin(vcpu))
		return -EIO;
	run_write_dirty(vcpu);
	blocked = vmcs_read(GUEST_INTERRUPTIBILITY_INFO) & ~(u64)GUEST_INTR_STATE_NMI;
	if (e->nmi.masked)
		blocked |= GUEST_INTR_STATE_NMI;
	if (e->flags & KVM_VCPUEVENT_VALID_SHADOW) {
		blocked &= ~SHADOW_MASK;
		if (e->interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS)
			blocked |= GUEST_INTR_STATE_MOV_SS;
		else if (e->interrupt.shadow & KVM_X86_SHADOW_INT_STI)
			blocked |= GUEST_INTR_STATE_STI;
	}
	vmcs_write(GUEST_INTERRUPTIBILITY_INFO, blocked);
	vcpu->shadowed = blocked;
	run_vmcs_end();

	set_injected(vcpu, e);
	vcpu->mce_pending = false;
	events_take_nmi(vcpu);
	if (e->flags & KVM_VCPUEVENT_VALID_NMI_PENDING)
		vcpu->nmi_pending = min(e->nmi.pending, 2);
	return 0;
}
