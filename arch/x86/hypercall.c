// SPDX-License-Identifier: GPL-2.0-only
#include "x86.h"

/* Numbers, arguments and answers have the width of the guest. */
static bool is_wide(void)
{
	return vmcs_peek(GUEST_CS_AR_BYTES) & VMX_AR_L_MASK;
}

static u64 argument(const struct df_vcpu *vcpu, int reg, bool wide)
{
	return wide ? vcpu->regs[reg] : (u32)vcpu->regs[reg];
}

static __always_inline void answer(struct df_vcpu *vcpu, s64 value, bool wide)
{
	vcpu->regs[DF_RAX] = wide ? value : (u32)value;
}

static __always_inline int finish(struct df_vcpu *vcpu, s64 value, bool wide)
{
	answer(vcpu, value, wide);
	return run_finish(vcpu);
}

/* ---- KVM_HC_SEND_IPI: a bitmap of two words, the ID of its first bit, and ICR --------- */

static struct delivery_set destinations(const struct df_vcpu *vcpu, bool wide)
{
	u64 low = argument(vcpu, DF_RBX, wide), high = argument(vcpu, DF_RCX, wide);
	struct delivery_set set = { .first = vcpu->regs[DF_RDX] };

	set.mask[0] = wide ? low : low | high << 32;
	set.mask[1] = wide ? high : 0;
	return set;
}

static int check_ipi(const struct df_vcpu *vcpu)
{
	if (!lapic_is_here(vcpu))
		return -KVM_EOPNOTSUPP;
	return vcpu->regs[DF_RSI] & (APIC_DEST_LOGICAL | APIC_DEST_ALLBUT) ? -KVM_EINVAL : 0;
}

static noinline int send_ipi_inner(struct df_vcpu *vcpu, bool wide)
{
	struct delivery_set set = destinations(vcpu, wide);
	int taken = check_ipi(vcpu);

	if (!taken)
		taken = delivery_to_set_inner(vcpu, &set, vcpu->regs[DF_RSI]);
	if (taken == -EAGAIN)
		return DF_TO_MIDDLE;
	answer(vcpu, taken, wide);
	if (vcpu->lapic.to_wake)
		return run_finish_and(vcpu, DF_TO_WAKE);
	return run_finish_posted(vcpu);
}

/* NMIs, for one. */
static int send_ipi(struct df_vcpu *vcpu, bool wide)
{
	struct delivery_set set = destinations(vcpu, wide);
	int taken = delivery_to_set(vcpu, &set, vcpu->regs[DF_RSI]);

	delivery_wake(vcpu);
	return taken;
}

/* ---- the others ------------------------------------------------------------------------ */

/* Ends the HLT that a vCPU is in, or is about to be in: it waits for a lock. */
static int kick(struct df_vcpu *vcpu, u32 apic_id)
{
	struct df_vcpu *target = delivery_find(vcpu->vm, apic_id);

	if (target && lapic_is_here(target))
		posted_request(target, DF_REQ_KICK);
	return 0;
}

int hypercall_handle_inner(struct df_vcpu *vcpu)
{
	bool wide = is_wide();

	if (VMX_AR_DPL(vmcs_peek(GUEST_SS_AR_BYTES)))
		return finish(vcpu, -KVM_EPERM, wide);
	switch (argument(vcpu, DF_RAX, wide)) {
	case KVM_HC_VAPIC_POLL_IRQ:
		/* The exit was what it wanted. */
		return finish(vcpu, 0, wide);
	case KVM_HC_SEND_IPI:
		if (!cpuid_pv_has(vcpu, KVM_FEATURE_PV_SEND_IPI))
			break;
		return send_ipi_inner(vcpu, wide);
	case KVM_HC_KICK_CPU:
		if (!cpuid_pv_has(vcpu, KVM_FEATURE_PV_UNHALT))
			break;
		return DF_TO_MIDDLE;
	case KVM_HC_CLOCK_PAIRING:
		return DF_TO_MIDDLE;
	}
	return finish(vcpu, -KVM_ENOSYS, wide);
}

static int handle(struct df_vcpu *vcpu, bool wide)
{
	switch (argument(vcpu, DF_RAX, wide)) {
	case KVM_HC_SEND_IPI:
		return send_ipi(vcpu, wide);
	case KVM_HC_KICK_CPU:
		return kick(vcpu, vcpu->regs[DF_RCX]);
	default:
		if (argument(vcpu, DF_RCX, wide) != KVM_CLOCK_PAIRING_WALLCLOCK)
			return -KVM_EOPNOTSUPP;
		return clock_pair(vcpu, argument(vcpu, DF_RBX, wide));
	}
}

int hypercall_handle(struct df_vcpu *vcpu)
{
	bool wide;

	if (run_vmcs_begin(vcpu))
		return -EIO;
	wide = is_wide();
	run_vmcs_end();
	answer(vcpu, handle(vcpu, wide), wide);
	exit_skip(vcpu);
	return DF_RESUME;
}
