/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupts that a guest posts itself (uapi/linux/dragonfly_para.h): to its vCPUs,
 * by a core of the host that does nothing but notify; and to itself, for when a
 * deadline is over (deadline.h).
 *
 * What is the guest's to write is two pages, of its VM alone: all posted-interrupt
 * descriptors, and a word of whom to notify. Nothing there is believed. Of a
 * descriptor the CPU reads PIR and ON, and so does posted.c; NV and NDST, by which
 * somebody could be sent something, are VT-d's to read and IPI virtualization's, and
 * neither is there for such a VM. The word says which of the VM's own vCPUs to
 * notify, at most; where they are is known here.
 *
 * A bit of the word that is set has its vCPU notified, as by posted_send(): if it is in
 * the guest, by an IPI, if it waits, by waking it; anywhere else it looks at ON. If a
 * guest has left ON out, none but that guest misses the interrupt.
 */
#ifndef DF_EXITLESS_H
#define DF_EXITLESS_H

#include "types.h"

/**
 * exitless_enable() - DRAGONFLY_CAP_EXITLESS
 * @vm: the VM
 * @flags: DRAGONFLY_EXITLESS_*
 * @cpu: of the notifier
 *
 * Context: Process context, may sleep.
 * Return: 0 or a negative errno, as the capability has it.
 */
int exitless_enable(struct df_vm *vm, u64 flags, u64 cpu);

/** exitless_stop() - nobody looks at the VM and its vCPUs any more. Context: As above. */
void exitless_stop(struct df_vm *vm);

/** exitless_destroy() - the area goes. Context: As above, with no vCPU left. */
void exitless_destroy(struct df_vm *vm);

/** exitless_descriptor() - that of a vCPU, or NULL if it has its own. */
struct pi_desc *exitless_descriptor(const struct df_vcpu *vcpu);

#endif
