/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a global system interrupt (GSI) means to a VM: a message-signalled one.
 */
#ifndef DF_ROUTING_H
#define DF_ROUTING_H

#include <linux/msi.h>

#include "types.h"

struct df_routes;
struct kvm_irq_routing_entry;

/* KVM's KVM_MAX_IRQ_ROUTES; GSIs are numbered from 0. */
#define DF_MAX_ROUTES	4096

/** df_msi() - a message, of what user space has in structures of several kinds. */
static inline struct msi_msg df_msi(u32 address_lo, u32 address_hi, u32 data)
{
	return (struct msi_msg){ .address_lo = address_lo, .address_hi = address_hi, .data = data };
}

/**
 * df_routing_set() - replace all routes
 * @vm: the VM
 * @entries: the new ones
 * @nr: how many, at most DF_MAX_ROUTES
 *
 * When it returns nothing is on its way by an old route.
 *
 * Context: Process context, may sleep.
 * Return: 0, -ENOMEM, or -EINVAL for an entry that cannot be.
 */
int df_routing_set(struct df_vm *vm, const struct kvm_irq_routing_entry *entries, u32 nr);

/** df_routing_destroy() - with the VM. Context: Process context. */
void df_routing_destroy(struct df_vm *vm);

/**
 * df_routes_find() - the message that a GSI stands for
 * @routes: a VM's, or NULL
 *
 * Context: Any; lives as long as the table.
 * Return: the message, or NULL.
 */
const struct msi_msg *df_routes_find(const struct df_routes *routes, u32 gsi);

/**
 * df_routing_deliver() - raise a GSI
 *
 * Context: Any.
 * Return: as df_arch_msi(), or -1 for a GSI without a route.
 */
int df_routing_deliver(struct df_vm *vm, u32 gsi);

/**
 * df_routing_signal_msi() - KVM_SIGNAL_MSI
 *
 * Return: as df_arch_msi(), or -EINVAL.
 */
int df_routing_signal_msi(struct df_vm *vm, void *arg);

/**
 * df_routing_line() - KVM_IRQ_LINE; its status is filled in
 *
 * A message has an edge and no level: raising the line sends it, lowering it
 * does nothing. QEMU's IOAPIC, in user space, sends its interrupts this way.
 *
 * Return: 0, or -ENXIO without an interrupt controller in the kernel.
 */
int df_routing_line(struct df_vm *vm, void *arg);

#endif
