/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupts that come to a VM from outside, and what it hears of their end.
 */
#ifndef DF_IRQ_H
#define DF_IRQ_H

#include "types.h"
struct df_ioeventfds;
struct df_routes;

/**
 * struct df_irq - a VM's routes, irqfds and ioeventfds
 * @lock: guards @bypassed, and changes of the next three; read them under RCU
 * @routes: what a GSI means, or NULL
 * @resampled: irqfds that hear of the end of their interrupt
 * @ioeventfds: of ports and of memory addresses, or NULL
 * @bypassed: irqfds whose interrupts are a device's of the host
 * @irqfd_lock: guards @irqfds; taken under the wait-queue lock of an eventfd
 * @irqfds: all of them, but those that are being shut down
 * @had_irqfds: some may be being shut down
 * @pins: GSIs below belong to user space's IOAPICs; does not change once there are vCPUs
 */
struct df_irq {
	struct mutex lock;
	struct df_routes __rcu *routes;
	struct list_head resampled;
	struct df_ioeventfds __rcu *ioeventfds[2];
	struct list_head bypassed;
	spinlock_t irqfd_lock;
	struct list_head irqfds;
	bool had_irqfds;
	u32 pins;
};

void df_irq_init(struct df_irq *irq);

/**
 * df_irq_eoi_vectors() - the interrupts whose end somebody waits for
 * @vcpu: the one that would end them
 * @vectors: 256 bits, of which theirs are set
 *
 * The answer is a new one after df_arch_eoi_changed().
 *
 * Context: Any.
 */
void df_irq_eoi_vectors(const struct df_vcpu *vcpu, unsigned long *vectors);

/**
 * df_irq_eoi() - a vCPU has ended one of them
 *
 * The resample eventfds of its GSIs are signalled.
 *
 * Context: Any in which eventfd_signal() may be called.
 * Return: whether user space's IOAPIC is to be told, by KVM_EXIT_IOAPIC_EOI.
 */
bool df_irq_eoi(const struct df_vcpu *vcpu, u8 vector);

/**
 * df_irq_rerouted() - a VM has other routes now
 * @vm: the VM, its df_irq.lock held
 * @old: those that it had, or NULL
 *
 * When it returns nobody looks at the old ones any more, and nothing is on its
 * way by them.
 *
 * Context: Process context, may sleep.
 */
void df_irq_rerouted(struct df_vm *vm, const struct df_routes *old);

#endif
