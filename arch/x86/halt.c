// SPDX-License-Identifier: GPL-2.0-only
#include <linux/hrtimer.h>

#include "x86.h"

void halt_vcpu_init(struct df_vcpu *vcpu)
{
	rcuwait_init(&vcpu->wait);
	vcpu->mp_state = !lapic_is_here(vcpu) || vcpu->apic_base & MSR_IA32_APICBASE_BSP ?
			 KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_UNINITIALIZED;
}

/* ---- HLT ----------------------------------------------------------------------------------- */

/* What ends HLT. RFLAGS are those of the exit. */
static bool is_woken(struct df_vcpu *vcpu)
{
	if (vcpu->inject_info || vcpu->mce_pending || (vcpu->nmi_pending && !vcpu->nmis_blocked))
		return true;
	return (vcpu->rflags & X86_EFLAGS_IF) &&
	       ((vcpu->interrupt_pending && events_has_lint0(vcpu)) || posted_deliverable(vcpu));
}

int halt_inner(struct df_vcpu *vcpu)
{
	if (!lapic_is_here(vcpu))
		return DF_TO_MIDDLE;
	vcpu->nmis_blocked = vmcs_peek(GUEST_INTERRUPTIBILITY_INFO) & GUEST_INTR_STATE_NMI;
	vcpu->rflags = vmcs_peek(GUEST_RFLAGS);
	if (!is_woken(vcpu))
		return DF_TO_MIDDLE;
	return run_finish_posted(vcpu);
}

static bool is_over(struct df_vcpu *vcpu)
{
	if (vcpu->mp_state != KVM_MP_STATE_HALTED)
		return false;
	timer_check(vcpu);
	return vcpu->kicked || is_woken(vcpu);
}

static void run_again(struct df_vcpu *vcpu)
{
	vcpu->kicked = false;
	vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
}

static void sleep(const struct df_vcpu *vcpu)
{
	/* Only HLT hears its timer: who waits to be started would wake again and again. */
	ktime_t left = vcpu->mp_state == KVM_MP_STATE_HALTED ? timer_sleep(vcpu) : KTIME_MAX;

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
	prepare_to_rcuwait(&vcpu->wait);
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (unlikely(READ_ONCE(vcpu->vm->arch.bypass)))
			bypass_wait(vcpu);
		if (is_over(vcpu)) {
			run_again(vcpu);
			break;
		}
		if (READ_ONCE(vcpu->requests) & ~DF_REQ_ON_ENTRY || signal_pending(current))
			break;
		sleep(vcpu);
	}
	bypass_wait_end(vcpu);
	finish_rcuwait(&vcpu->wait);
}

/* ---- INIT and SIPI (SDM, "Multiple-Processor (MP) Initialization") ------------------------ */

static int init(struct df_vcpu *vcpu)
{
	if (run_vmcs_begin(vcpu))
		return -EIO;
	vmcs_reset(vcpu, true);
	run_vmcs_end();
	events_reset(vcpu);
	debug_reset(vcpu);
	clock_reset(vcpu);
	vcpu->cr2 = 0;
	vcpu->complete = NULL;
	if (lapic_is_here(vcpu))
		lapic_reset(vcpu);
	vcpu->mp_state = vcpu->apic_base & MSR_IA32_APICBASE_BSP ? KVM_MP_STATE_RUNNABLE :
								   KVM_MP_STATE_INIT_RECEIVED;
	return 0;
}

static int start(struct df_vcpu *vcpu)
{
	u8 vector = READ_ONCE(vcpu->sipi_vector);

	if (run_vmcs_begin(vcpu))
		return -EIO;
	vmcs_write(GUEST_CS_SELECTOR, vector << 8);
	vmcs_write(GUEST_CS_BASE, vector << 12);
	run_vmcs_end();
	vcpu->rip = 0;
	vcpu->dirty |= DF_DIRTY_RIP;
	vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
	return 0;
}

/* A SIPI that nobody waits for is lost, as it should be. */
int halt_serve(struct df_vcpu *vcpu)
{
	int err = 0;

	if (test_and_clear_bit(DF_REQ_INIT, &vcpu->requests))
		err = init(vcpu);
	if (!err && test_and_clear_bit(DF_REQ_SIPI, &vcpu->requests) &&
	    vcpu->mp_state == KVM_MP_STATE_INIT_RECEIVED)
		err = start(vcpu);
	if (test_and_clear_bit(DF_REQ_KICK, &vcpu->requests))
		vcpu->kicked = true;
	return err;
}

/* ---- what user space sees ------------------------------------------------------------------ */

int halt_get_state(struct df_vcpu *vcpu, void *arg)
{
	struct kvm_mp_state *state = arg;
	int err = halt_serve(vcpu);

	if (err)
		return err;
	if (vcpu->mp_state == KVM_MP_STATE_HALTED && vcpu->kicked)
		run_again(vcpu);
	state->mp_state = vcpu->mp_state;
	return 0;
}

int halt_set_state(struct df_vcpu *vcpu, void *arg)
{
	const struct kvm_mp_state *state = arg;

	if (state->mp_state > KVM_MP_STATE_SIPI_RECEIVED ||
	    (state->mp_state != KVM_MP_STATE_RUNNABLE && !lapic_is_here(vcpu)))
		return -EINVAL;
	vcpu->mp_state = state->mp_state;
	if (state->mp_state == KVM_MP_STATE_SIPI_RECEIVED) {
		vcpu->mp_state = KVM_MP_STATE_INIT_RECEIVED;
		set_bit(DF_REQ_SIPI, &vcpu->requests);
	}
	return 0;
}
