// SPDX-License-Identifier: GPL-2.0-only
#include <linux/kvm_para.h>

#include "clock.h"
#include "cpuid.h"
#include "hypercall.h"
#include "run.h"
#include "types.h"
#include "vcpu.h"
#include "vmx/operation.h"

/* In the width of the guest. */
static int finish(struct df_vcpu_arch *arch, s64 answer, bool wide)
{
	arch->regs[DF_RAX] = wide ? answer : (u32)answer;
	exit_skip(arch);
	return DF_RESUME;
}

static bool is_wide(void)
{
	return vmcs_read(GUEST_CS_AR_BYTES) & VMX_AR_L_MASK;
}

int hypercall_handle_inner(struct df_vcpu *vcpu)
{
	struct df_vcpu_arch *arch = &vcpu->arch;
	bool wide = is_wide();
	s64 answer = -KVM_ENOSYS;

	if (VMX_AR_DPL(vmcs_read(GUEST_SS_AR_BYTES)))
		return finish(arch, -KVM_EPERM, wide);
	switch (wide ? arch->regs[DF_RAX] : (u32)arch->regs[DF_RAX]) {
	case KVM_HC_VAPIC_POLL_IRQ:
		/* The exit was what it wanted. */
		answer = 0;
		break;
	case KVM_HC_CLOCK_PAIRING:
		return DF_TO_MIDDLE;
	}
	return finish(arch, answer, wide);
}

int hypercall_handle(struct df_vcpu *vcpu)
{
	struct df_vcpu_arch *arch = &vcpu->arch;
	u64 gpa = arch->regs[DF_RBX], type = arch->regs[DF_RCX];
	int answer = -KVM_EOPNOTSUPP, err;
	bool wide;

	err = run_vmcs_begin(arch);
	if (err)
		return err;
	wide = is_wide();
	run_vmcs_end();
	if (!wide) {
		gpa = (u32)gpa;
		type = (u32)type;
	}
	if (type == KVM_CLOCK_PAIRING_WALLCLOCK)
		answer = clock_pair(vcpu, gpa);
	return finish(arch, answer, wide);
}
