/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupts that VT-d posts itself (VT-d specification, "Interrupt Posting"):
 * a device's message becomes a bit in a vCPU's descriptor, and the host hears
 * nothing of it.
 *
 * It is one more sender as posted.h has them: it sets the bit in PIR, then ON,
 * and who sets ON first notifies.  But it knows nothing of @where and wakes
 * nobody: it sends the vector NV to the CPU NDST, as it finds them in the
 * descriptor while it sets ON.  So these have to be right in all three places:
 *
 *	in the guest	NV is the notification vector, NDST the vCPU's CPU, which moves
 *			PIR into IRR. Interrupts are off from where NDST is written until
 *			then: the notification is pending, and is not lost.
 *	waiting		NV is the wake-up vector, NDST a CPU on whose list the vCPU is:
 *			the handler there wakes it.
 *	elsewhere	as if it were in the guest. At most one notification comes, and
 *			finds the host's own handler; ON stays set until the vCPU looks.
 *
 * Each change of place writes the descriptor first, with a full barrier, and
 * looks at ON then. A device whose message was posted before the write is seen
 * by the look; one that comes after it notifies as the new place needs it.
 *
 * SN, which would keep notifications from a vCPU that another thread has
 * scheduled out, is never set: it would save that one interrupt, and because
 * the bit in PIR then comes without ON, the price is to look at all of PIR
 * before each entry.
 */
#ifndef DF_BYPASS_H
#define DF_BYPASS_H

#include "types.h"

/**
 * bypass_begin() - from now on somebody posts to the VM's vCPUs who knows no @where
 *
 * Until the VM is gone.
 *
 * Context: df_irq.lock held. May sleep.
 * Return: 0, or -EBUSY if the guest has the descriptors, or KVM is there.
 */
int bypass_begin(struct df_vm *vm);

/** bypass_cpu_offline() - no notification comes to this CPU any more: vCPUs look elsewhere. */
void bypass_cpu_offline(void);

/**
 * bypass_wait() - let notifications wake the vCPU; ON is to be looked at behind it
 *
 * Again after each sleep: it may have been woken because its CPU goes offline.
 *
 * Context: The vCPU's thread, and that it waits is written.
 */
void bypass_wait(struct df_vcpu *vcpu);

/** bypass_wait_end() - undo bypass_wait(), if it was called. */
void bypass_wait_end(struct df_vcpu *vcpu);

#endif
