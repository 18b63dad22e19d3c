/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whom an interrupt is for, and what it does there: IPIs and messages.
 */
#ifndef DF_DELIVERY_H
#define DF_DELIVERY_H

#include "types.h"

/**
 * delivery_icr() - a vCPU's write to its ICR
 * @vcpu: the sender
 * @dest: in the format of its mode
 * @icr: the lower half
 *
 * vCPUs that may be waiting are not woken before delivery_wake().
 *
 * Context: The sender's thread.
 */
void delivery_icr(struct df_vcpu *vcpu, u32 dest, u32 icr);

/** delivery_wake() - the rest of it. Context: Any but the inner ring. */
void delivery_wake(struct df_vcpu *vcpu);

/**
 * delivery_icr_inner() - delivery_icr() in the inner ring
 *
 * Context: Interrupts off; no indirect branch.
 * Return: DF_RESUME, DF_TO_WAKE if somebody is to be woken, or DF_TO_MIDDLE if
 * nothing was done.
 */
int delivery_icr_inner(struct df_vcpu *vcpu, u32 dest, u32 icr);

/**
 * struct delivery_set - some APIC IDs
 * @first: that of bit 0
 * @mask: one bit for each
 */
struct delivery_set {
	u32 first;
	u64 mask[2];
};

/**
 * delivery_to_set() - an IPI for several vCPUs at once
 * @vcpu: the sender
 * @set: whom it is for
 * @icr: what it is, as in the lower half of ICR
 *
 * Context: As delivery_icr(), and delivery_wake() has to follow likewise.
 * Return: how many took it.
 */
int delivery_to_set(struct df_vcpu *vcpu, const struct delivery_set *set, u32 icr);

/** delivery_to_set_inner() - likewise in the inner ring; -EAGAIN if it cannot be done there. */
int delivery_to_set_inner(struct df_vcpu *vcpu, const struct delivery_set *set, u32 icr);

/** delivery_find() - the vCPU with an APIC ID, or NULL. */
struct df_vcpu *delivery_find(const struct df_vm *vm, u32 apic_id);

/**
 * delivery_single() - the vCPU that a message can be posted to without us
 *
 * Context: Any.
 * Return: the only one that it is for, or NULL: there are others or none, or it
 * is no edge, or no vector.
 */
struct df_vcpu *delivery_single(const struct df_vm *vm, const struct msi_msg *msi);

/** delivery_find_ends() - which EOIs somebody waits for. Context: The vCPU's thread. */
void delivery_find_ends(struct df_vcpu *vcpu);

/** delivery_end() - the end of an interrupt that somebody waits for. The vCPU's thread. */
void delivery_end(struct df_vcpu *vcpu, u8 vector);

#endif
