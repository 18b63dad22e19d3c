/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Machine checks of a guest: banks that user space fills (SDM, "Machine-Check
 * Architecture"). The host's own never get there.
 */
#ifndef DF_MCE_H
#define DF_MCE_H

#include <asm/mce.h>

#include "types.h"

/* KVM_X86_GET_MCE_CAP_SUPPORTED: the switch of all banks, and recovery by software. */
#define MCE_CAP		(MCG_CTL_P | MCG_SER_P)

/** mce_reset() - the banks of a vCPU that user space has not asked for others. */
void mce_reset(struct df_vcpu *vcpu);

/** mce_bank_msr() - where the MSR of a bank is kept, or NULL if it is none of the vCPU's. */
u64 *mce_bank_msr(struct df_vcpu *vcpu, u32 index);

/** mce_may_write() - may it be written? @host: by user space. */
bool mce_may_write(u32 index, u64 value, bool host);

/** mce_configure() - KVM_X86_SETUP_MCE. 0 or -EINVAL. The vCPU's lock held, as below. */
int mce_configure(struct df_vcpu *vcpu, void *arg);

/** mce_raise() - KVM_X86_SET_MCE. 0, -EINVAL or -EIO. */
int mce_raise(struct df_vcpu *vcpu, void *arg);

#endif
