// SPDX-License-Identifier: GPL-2.0-only
#include <linux/hrtimer.h>

#include "x86.h"

void halt_vcpu_init(struct df_vcpu *vcpu)
{
	struct df_vcpu_arch *arch = &vcpu->arch;

	rcuwait_init(&arch->wait);
	arch->mp_state = !lapic_is_here(arch) || arch->apic_base & MSR_IA32_APICBASE_BSP ?
			 KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_UNINITIALIZED;
}

/* ---- HLT ----------------------------------------------------------------------------------- */

/* What ends HLT. The registers are those of the exit. */
static bool is_woken(struct df_vcpu_arch *arch)
{
	if (arch->inject_info || (arch->nmi_pending && !arch->nmis_blocked))
		return true;
	return (arch->rflags & X86_EFLAGS_IF) &&
	       ((arch->interrupt_pending && events_has_lint0(arch)) || posted_deliverable(arch));
}

int halt_inner(struct df_vcpu *vcpu)
{
	struct df_vcpu_arch *arch = &vcpu->arch;

	if (!lapic_is_here(arch))
		return DF_TO_MIDDLE;
	arch->nmis_blocked = vmcs_read(GUEST_INTERRUPTIBILITY_INFO) & GUEST_INTR_STATE_NMI;
	if (!is_woken(arch))
		return DF_TO_MIDDLE;
	exit_skip(arch);
	return DF_RESUME;
}

void halt_begin(struct df_vcpu *vcpu)
{
	exit_skip(&vcpu->arch);
	vcpu->arch.mp_state = KVM_MP_STATE_HALTED;
}

static bool is_over(struct df_vcpu_arch *arch)
{
	if (arch->mp_state != KVM_MP_STATE_HALTED)
		return false;
	timer_check(arch);
	return arch->kicked || is_woken(arch);
}

static void run_again(struct df_vcpu_arch *arch)
{
	arch->kicked = false;
	arch->mp_state = KVM_MP_STATE_RUNNABLE;
}

static void sleep(const struct df_vcpu_arch *arch)
{
	/* Only HLT hears its timer: who waits to be started would wake again and again. */
	ktime_t left = arch->mp_state == KVM_MP_STATE_HALTED ? timer_sleep(arch) : KTIME_MAX;

	if (left == KTIME_MAX)
		schedule();
	else
		schedule_hrtimeout(&left, HRTIMER_MODE_REL);
}

/*
 * Says first that it waits, then looks: see posted.h. What is to be served, or
 * done for the host, is the caller's.
 */
void halt_wait(struct df_vcpu *vcpu)
{
	struct df_vcpu_arch *arch = &vcpu->arch;

	prepare_to_rcuwait(&arch->wait);
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (unlikely(READ_ONCE(vcpu->vm->arch.bypass)))
			bypass_wait(arch);
		if (is_over(arch)) {
			run_again(arch);
			break;
		}
		if (READ_ONCE(arch->requests) & ~DF_REQ_ON_ENTRY || signal_pending(current))
			break;
		sleep(arch);
	}
	bypass_wait_end(arch);
	finish_rcuwait(&arch->wait);
}

/* ---- INIT and SIPI (SDM, "Multiple-Processor (MP) Initialization") ------------------------ */

static int init(struct df_vcpu *vcpu)
{
	struct df_vcpu_arch *arch = &vcpu->arch;

	if (run_vmcs_begin(arch))
		return -EIO;
	vmcs_reset(vcpu, true);
	run_vmcs_end();
	events_reset(arch);
	debug_reset(arch);
	clock_reset(arch);
	arch->cr2 = 0;
	arch->complete = NULL;
	if (lapic_is_here(arch))
		lapic_reset(vcpu);
	arch->mp_state = arch->apic_base & MSR_IA32_APICBASE_BSP ? KVM_MP_STATE_RUNNABLE :
								   KVM_MP_STATE_INIT_RECEIVED;
	return 0;
}

static int start(struct df_vcpu *vcpu)
{
	struct df_vcpu_arch *arch = &vcpu->arch;
	u8 vector = READ_ONCE(arch->sipi_vector);

	if (run_vmcs_begin(arch))
		return -EIO;
	vmcs_write(GUEST_CS_SELECTOR, vector << 8);
	vmcs_write(GUEST_CS_BASE, vector << 12);
	run_vmcs_end();
	arch->rip = 0;
	arch->dirty |= DF_DIRTY_RIP;
	arch->mp_state = KVM_MP_STATE_RUNNABLE;
	return 0;
}

/* A SIPI that nobody waits for is lost, as it should be. */
int halt_serve(struct df_vcpu *vcpu)
{
	struct df_vcpu_arch *arch = &vcpu->arch;
	int err = 0;

	if (test_and_clear_bit(DF_REQ_INIT, &arch->requests))
		err = init(vcpu);
	if (!err && test_and_clear_bit(DF_REQ_SIPI, &arch->requests) &&
	    arch->mp_state == KVM_MP_STATE_INIT_RECEIVED)
		err = start(vcpu);
	if (test_and_clear_bit(DF_REQ_KICK, &arch->requests))
		arch->kicked = true;
	return err;
}

/* ---- what user space sees ------------------------------------------------------------------ */

int halt_get_state(struct df_vcpu *vcpu, void *arg)
{
	struct kvm_mp_state *state = arg;
	struct df_vcpu_arch *arch = &vcpu->arch;
	int err = halt_serve(vcpu);

	if (err)
		return err;
	if (arch->mp_state == KVM_MP_STATE_HALTED && arch->kicked)
		run_again(arch);
	state->mp_state = arch->mp_state;
	return 0;
}

int halt_set_state(struct df_vcpu *vcpu, void *arg)
{
	const struct kvm_mp_state *state = arg;
	struct df_vcpu_arch *arch = &vcpu->arch;

	if (state->mp_state > KVM_MP_STATE_SIPI_RECEIVED ||
	    (state->mp_state != KVM_MP_STATE_RUNNABLE && !lapic_is_here(arch)))
		return -EINVAL;
	arch->mp_state = state->mp_state;
	if (state->mp_state == KVM_MP_STATE_SIPI_RECEIVED) {
		arch->mp_state = KVM_MP_STATE_INIT_RECEIVED;
		set_bit(DF_REQ_SIPI, &arch->requests);
	}
	return 0;
}
