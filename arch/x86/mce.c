// SPDX-License-Identifier: GPL-2.0-only
#include "x86.h"

#define BANK_MSRS	4
#define ALL_ON		U64_MAX

/* Systems clear these two where hardware reports too much: bit 10 of bank 4, bit 0 of bank 1. */
#define MAY_BE_OFF	(BIT_ULL(10) | BIT_ULL(0))

enum { BANK_CTL, BANK_STATUS, BANK_ADDR, BANK_MISC };

static unsigned int nr_banks(const struct df_vcpu *vcpu)
{
	return vcpu->stored_msrs[DF_STORED_MCG_CAP] & MCG_BANKCNT_MASK;
}

static u64 *bank(struct df_vcpu *vcpu, u32 n)
{
	return &vcpu->stored_msrs[DF_STORED_MC_BANKS + BANK_MSRS * n];
}

void mce_reset(struct df_vcpu *vcpu)
{
	vcpu->stored_msrs[DF_STORED_MCG_CAP] = DF_MC_BANKS;
}

u64 *mce_bank_msr(struct df_vcpu *vcpu, u32 index)
{
	u32 n = index - MSR_IA32_MC0_CTL;

	if (n >= BANK_MSRS * nr_banks(vcpu))
		return NULL;
	return &bank(vcpu, 0)[array_index_nospec(n, BANK_MSRS * DF_MC_BANKS)];
}

bool mce_may_write(u32 index, u64 value, bool host)
{
	switch ((index - MSR_IA32_MC0_CTL) % BANK_MSRS) {
	case BANK_CTL:		return !value || (value | MAY_BE_OFF) == ALL_ON;
	case BANK_STATUS:	return !value || host;
	default:		return true;
	}
}

int mce_configure(struct df_vcpu *vcpu, void *arg)
{
	u64 cap = *(const u64 *)arg, banks = cap & MCG_BANKCNT_MASK;

	if (!banks || banks > DF_MC_BANKS ||
	    cap & ~(u64)(MCE_CAP | MCG_BANKCNT_MASK | MCG_EXT_CNT_MASK))
		return -EINVAL;
	vcpu->stored_msrs[DF_STORED_MCG_CAP] = cap;
	if (cap & MCG_CTL_P)
		vcpu->stored_msrs[DF_STORED_MCG_CTL] = ALL_ON;
	for (u32 n = 0; n < banks; n++)
		bank(vcpu, n)[BANK_CTL] = ALL_ON;
	return 0;
}

static int shut_down(struct df_vcpu *vcpu)
{
	return exit_to_user(vcpu, KVM_EXIT_SHUTDOWN);
}

/* One that finds the guest in the middle of another, or not listening, is its end. */
static int interrupt(struct df_vcpu *vcpu, const struct kvm_x86_mce *mce)
{
	u64 cr4;

	if (run_vmcs_begin(vcpu))
		return -EIO;
	cr4 = state_cr4(vcpu);
	run_vmcs_end();
	if (vcpu->stored_msrs[DF_STORED_MCG_STATUS] & MCG_STATUS_MCIP || !(cr4 & X86_CR4_MCE)) {
		vcpu->complete = shut_down;
		return 1;
	}
	vcpu->stored_msrs[DF_STORED_MCG_STATUS] = mce->mcg_status;
	vcpu->mce_pending = true;
	return 0;
}

/* An error that nobody has turned off; an uncorrected one is more than others. */
int mce_raise(struct df_vcpu *vcpu, void *arg)
{
	const struct kvm_x86_mce *mce = arg;
	bool uncorrected = mce->status & MCI_STATUS_UC;
	u64 *msrs, before;

	if (mce->bank >= nr_banks(vcpu) || !(mce->status & MCI_STATUS_VAL))
		return -EINVAL;
	msrs = bank(vcpu, array_index_nospec(mce->bank, DF_MC_BANKS));
	before = msrs[BANK_STATUS] & MCI_STATUS_VAL ? msrs[BANK_STATUS] : 0;
	if (uncorrected) {
		bool on = !(vcpu->stored_msrs[DF_STORED_MCG_CAP] & MCG_CTL_P) ||
			  vcpu->stored_msrs[DF_STORED_MCG_CTL] == ALL_ON;
		int err = on && msrs[BANK_CTL] == ALL_ON ? interrupt(vcpu, mce) : 1;

		if (err)
			return min(err, 0);
	} else if (before & MCI_STATUS_UC) {
		msrs[BANK_STATUS] |= MCI_STATUS_OVER;
		return 0;
	}
	msrs[BANK_STATUS] = mce->status | (before ? MCI_STATUS_OVER : 0);
	msrs[BANK_ADDR] = mce->addr;
	msrs[BANK_MISC] = mce->misc;
	return 0;
}
