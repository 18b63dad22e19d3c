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

static int raise(struct df_vcpu_arch *arch, u32 info, u32 error)
{
	arch->inject_info = info | INTR_INFO_VALID_MASK;
	arch->inject_error = error;
	arch->inject_len = 1;
	return DF_RESUME;
}

int events_exception(struct df_vcpu_arch *arch, u8 vector)
{
	return raise(arch, vector | exception_type(vector), 0);
}

int events_exception_error(struct df_vcpu_arch *arch, u8 vector, u32 error)
{
	return raise(arch, vector | INTR_TYPE_HARD_EXCEPTION | INTR_INFO_DELIVER_CODE_MASK, error);
}

void events_interrupt(struct df_vcpu_arch *arch, u8 vector)
{
	raise(arch, vector | INTR_TYPE_EXT_INTR, 0);
}

int events_gp(struct df_vcpu_arch *arch)
{
	return events_exception_error(arch, X86_TRAP_GP, 0);
}

int events_page_fault(struct df_vcpu_arch *arch, u64 linear, u32 error)
{
	arch->cr2 = linear;
	return events_exception_error(arch, X86_TRAP_PF, error);
}

/* In real mode the CPU delivers no error codes, and refuses to be given one. */
void events_inject(struct df_vcpu_arch *arch)
{
	u32 info = arch->inject_info;

	if (!(vmcs_read(GUEST_CR0) & X86_CR0_PE))
		info &= ~(u32)INTR_INFO_DELIVER_CODE_MASK;
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, info);
	vmcs_write(VM_ENTRY_EXCEPTION_ERROR_CODE, arch->inject_error);
	vmcs_write(VM_ENTRY_INSTRUCTION_LEN, arch->inject_len);
	arch->inject_info = 0;
	/* Where HLT does not exit, only some events may find the guest in it. */
	vmcs_write(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
}

/* An exit in the middle of a delivery: the event goes in again at the next entry. */
void events_requeue(struct df_vcpu_arch *arch)
{
	const struct vmx_exit *exit = &arch->exit;

	arch->inject_info = exit->idt_info & ~(u32)INTR_INFO_UNBLOCK_NMI;
	arch->inject_error = vmcs_read(IDT_VECTORING_ERROR_CODE);
	arch->inject_len = exit->insn_len;
	/* An NMI that is delivered blocks others; one that was not, does not yet. */
	if ((exit->idt_info & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_NMI_INTR)
		vmcs_write(GUEST_INTERRUPTIBILITY_INFO,
			   vmcs_read(GUEST_INTERRUPTIBILITY_INFO) & ~(u64)GUEST_INTR_STATE_NMI);
}

void events_nmi(struct df_vcpu_arch *arch)
{
	if (arch->nmi_pending < 2)
		arch->nmi_pending++;
}

void events_take_nmi(struct df_vcpu_arch *arch)
{
	if (test_and_clear_bit(DF_REQ_NMI, &arch->requests))
		events_nmi(arch);
}

void events_reset(struct df_vcpu_arch *arch)
{
	arch->inject_info = 0;
	arch->nmi_pending = 0;
	arch->interrupt_pending = false;
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
bool events_has_lint0(const struct df_vcpu_arch *arch)
{
	u32 lvt;

	if (!lapic_is_here(arch) || !lapic_is_enabled(arch))
		return true;
	lvt = lapic_get(arch, APIC_LVT0);
	return !(lvt & APIC_LVT_MASKED) && (lvt & APIC_MODE_MASK) == APIC_DM_EXTINT;
}

/* An NMI before an interrupt, and neither while something holds it up. */
void events_raise_waiting(struct df_vcpu_arch *arch)
{
	u32 blocked = vmcs_read(GUEST_INTERRUPTIBILITY_INFO);
	bool lint0 = events_has_lint0(arch);

	if (unlikely(debug_blocks_interrupts(arch))) {
		set_window(&arch->nmi_window, false, CPU_BASED_NMI_WINDOW_EXITING);
		set_window(&arch->interrupt_window, false, CPU_BASED_INTR_WINDOW_EXITING);
		return;
	}
	if (arch->nmi_pending && !arch->inject_info &&
	    !(blocked & (SHADOW_MASK | GUEST_INTR_STATE_NMI))) {
		raise(arch, X86_TRAP_NMI | INTR_TYPE_NMI_INTR, 0);
		arch->nmi_pending--;
	}
	if (arch->interrupt_pending && lint0 && !arch->inject_info &&
	    arch->rflags & X86_EFLAGS_IF && !(blocked & SHADOW_MASK)) {
		raise(arch, arch->interrupt_vector | INTR_TYPE_EXT_INTR, 0);
		arch->interrupt_pending = false;
	}
	set_window(&arch->nmi_window, arch->nmi_pending, CPU_BASED_NMI_WINDOW_EXITING);
	set_window(&arch->interrupt_window,
		   lint0 && (arch->interrupt_pending || arch->wants_window),
		   CPU_BASED_INTR_WINDOW_EXITING);
}

static bool is_shadowed(const struct df_vcpu_arch *arch)
{
	return arch->shadowed & SHADOW_MASK && !(arch->dirty & DF_DIRTY_SKIPPED);
}

bool events_takes_interrupt(const struct df_vcpu_arch *arch)
{
	return arch->rflags & X86_EFLAGS_IF && !is_shadowed(arch) && !arch->inject_info &&
	       !arch->interrupt_pending && events_has_lint0(arch);
}

int events_handle_window(struct df_vcpu *vcpu)
{
	struct df_vcpu_arch *arch = &vcpu->arch;

	if (!arch->wants_window || arch->interrupt_pending)
		return DF_RESUME;
	return exit_to_user(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
}

int events_queue_interrupt(struct df_vcpu *vcpu, u32 vector)
{
	struct df_vcpu_arch *arch = &vcpu->arch;

	if (vector >= KVM_NR_INTERRUPTS)
		return -EINVAL;
	/* As if there were a PIC, which has LINT0. */
	if (lapic_is_here(arch) && !vcpu->vm->arch.split)
		return -ENXIO;
	if (lapic_is_here(arch) && arch->interrupt_pending)
		return -EEXIST;
	arch->interrupt_vector = vector;
	arch->interrupt_pending = true;
	return 0;
}

/* ---- what user space sees ---------------------------------------------------- */

static void get_injected(const struct df_vcpu_arch *arch, struct kvm_vcpu_events *events)
{
	u8 vector = arch->inject_info & INTR_INFO_VECTOR_MASK;

	if (!(arch->inject_info & INTR_INFO_VALID_MASK))
		return;
	switch (arch->inject_info & INTR_INFO_INTR_TYPE_MASK) {
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
		events->exception.has_error_code = !!(arch->inject_info &
						      INTR_INFO_DELIVER_CODE_MASK);
		events->exception.error_code = arch->inject_error;
		break;
	}
}

int events_get(struct df_vcpu *vcpu, void *arg)
{
	struct kvm_vcpu_events *events = arg;
	struct df_vcpu_arch *arch = &vcpu->arch;
	u32 blocked;

	if (run_vmcs_begin(arch))
		return -EIO;
	run_write_dirty(arch);
	blocked = vmcs_read(GUEST_INTERRUPTIBILITY_INFO);
	run_vmcs_end();

	events_take_nmi(arch);
	*events = (struct kvm_vcpu_events){
		.nmi.pending = arch->nmi_pending,
		.nmi.masked = !!(blocked & GUEST_INTR_STATE_NMI),
		.interrupt.shadow = (blocked & GUEST_INTR_STATE_STI ? KVM_X86_SHADOW_INT_STI : 0) |
				    (blocked & GUEST_INTR_STATE_MOV_SS ?
				     KVM_X86_SHADOW_INT_MOV_SS : 0),
		.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW,
	};
	get_injected(arch, events);
	if (arch->interrupt_pending && !lapic_is_here(arch) && !events->interrupt.injected) {
		events->interrupt.injected = 1;
		events->interrupt.nr = arch->interrupt_vector;
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
static void set_injected(struct df_vcpu_arch *arch, const struct kvm_vcpu_events *e)
{
	arch->inject_info = 0;
	/* Beside a LAPIC of ours one that waits is not among these events. */
	if (!lapic_is_here(arch))
		arch->interrupt_pending = false;
	if (e->exception.injected || e->exception.pending) {
		if (e->exception.has_error_code)
			events_exception_error(arch, e->exception.nr, e->exception.error_code);
		else
			events_exception(arch, e->exception.nr);
	} else if (e->nmi.injected) {
		raise(arch, X86_TRAP_NMI | INTR_TYPE_NMI_INTR, 0);
	} else if (e->interrupt.injected) {
		raise(arch, e->interrupt.nr | (e->interrupt.soft ? INTR_TYPE_SOFT_INTR :
								   INTR_TYPE_EXT_INTR), 0);
	}
}

int events_set(struct df_vcpu *vcpu, void *arg)
{
	const struct kvm_vcpu_events *e = arg;
	struct df_vcpu_arch *arch = &vcpu->arch;
	u32 blocked;

	if (!events_valid(e))
		return -EINVAL;
	if (run_vmcs_begin(arch))
		return -EIO;
	run_write_dirty(arch);
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
	arch->shadowed = blocked;
	run_vmcs_end();

	set_injected(arch, e);
	events_take_nmi(arch);
	if (e->flags & KVM_VCPUEVENT_VALID_NMI_PENDING)
		arch->nmi_pending = min(e->nmi.pending, 2);
	return 0;
}
