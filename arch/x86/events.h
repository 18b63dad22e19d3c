/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What interrupts a guest's instructions: exceptions, interrupts, NMIs, on
 * their way in (SDM, "VM-Entry Controls for Event Injection").
 */
#ifndef DF_EVENTS_H
#define DF_EVENTS_H

#include "types.h"

/** events_exception() - raise an exception without an error code. DF_RESUME. */
int events_exception(struct df_vcpu *vcpu, u8 vector);

/** events_exception_error() - raise an exception with an error code. DF_RESUME. */
int events_exception_error(struct df_vcpu *vcpu, u8 vector, u32 error);

/** events_interrupt() - an external interrupt, which is delivered at the next entry. */
void events_interrupt(struct df_vcpu *vcpu, u8 vector);

/** events_gp() - the usual answer to what an instruction must not do: #GP(0). */
int events_gp(struct df_vcpu *vcpu);

/** events_page_fault() - #PF, with CR2. */
int events_page_fault(struct df_vcpu *vcpu, u64 linear, u32 error);

/* Of the run loop, interrupts off, the VMCS current. */
void events_inject(struct df_vcpu *vcpu);
void events_requeue(struct df_vcpu *vcpu);
void events_raise_waiting(struct df_vcpu *vcpu);

/** events_nmi() - one more NMI; two at most are remembered. Context: The vCPU's thread. */
void events_nmi(struct df_vcpu *vcpu);

/** events_take_nmi() - one that another vCPU or a device has sent. The vCPU's lock held. */
void events_take_nmi(struct df_vcpu *vcpu);

/** events_has_lint0() - does an interrupt of user space's controller get to the vCPU? */
bool events_has_lint0(const struct df_vcpu *vcpu);

/** events_takes_interrupt() - would one of KVM_INTERRUPT go in now? */
bool events_takes_interrupt(const struct df_vcpu *vcpu);

/** events_queue_interrupt() - KVM_INTERRUPT. 0, -ENXIO or -EEXIST. The vCPU's lock held. */
int events_queue_interrupt(struct df_vcpu *vcpu, void *arg);

/** events_handle_window() - interrupts can go in. DF_RESUME or DF_TO_USER. */
int events_handle_window(struct df_vcpu *vcpu);

/** events_reset() - forget all that is on its way. */
void events_reset(struct df_vcpu *vcpu);

/* KVM_GET_VCPU_EVENTS and KVM_SET_VCPU_EVENTS; the vCPU's lock held. */
int events_get(struct df_vcpu *vcpu, void *arg);
int events_set(struct df_vcpu *vcpu, void *arg);

#endif
