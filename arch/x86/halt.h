/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vCPUs that do not run: in HLT, or waiting to be started by INIT and SIPI.
 */
#ifndef DF_HALT_H
#define DF_HALT_H

#include "vcpu.h"

/** halt_vcpu_init() - the boot processor runs, others wait to be started. */
void halt_vcpu_init(struct df_vcpu *vcpu);

/**
 * halt_inner() - HLT that need not wait
 *
 * Context: Interrupts off, the VMCS current.
 * Return: DF_RESUME or DF_TO_MIDDLE.
 */
int halt_inner(struct df_vcpu *vcpu);

/** halt_is_waiting() - is there to be waited before the guest runs? */
static inline bool halt_is_waiting(const struct df_vcpu *vcpu)
{
	return vcpu->mp_state != KVM_MP_STATE_RUNNABLE;
}

/**
 * halt_wait() - until the guest can run, or there is something else to do
 *
 * Context: The vCPU's thread, no VMCS in hand; sleeps.
 */
void halt_wait(struct df_vcpu *vcpu);

/** halt_serve() - INIT and SIPI that have come. 0 or -EIO. Context: As halt_wait(). */
int halt_serve(struct df_vcpu *vcpu);

/* KVM_GET_MP_STATE and KVM_SET_MP_STATE: 0 or a negative errno. The vCPU's lock held. */
int halt_get_state(struct df_vcpu *vcpu, void *arg);
int halt_set_state(struct df_vcpu *vcpu, void *arg);

#endif
