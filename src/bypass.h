/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * irqfds whose interrupt a device of the host raises: where the IOMMU can, it
 * posts to the vCPU itself, and the eventfd is not signalled.
 */
#ifndef DF_SRC_BYPASS_H
#define DF_SRC_BYPASS_H

struct df_irqfd;
struct df_routes;
struct df_vm;

/**
 * df_bypass_add() - let devices find an irqfd, by its eventfd
 *
 * Without anybody who could post, and without the kernel's irqbypass module,
 * which every such driver needs, nothing happens.
 *
 * Context: Process context, may sleep; not under df_irq.lock.
 */
void df_bypass_add(struct df_irqfd *irqfd);

/** df_bypass_remove() - undo it: from now on the eventfd is signalled. Context: As above. */
void df_bypass_remove(struct df_irqfd *irqfd);

/** df_bypass_rerouted() - the same for a VM's routes, which were @old; df_irq.lock held. */
void df_bypass_rerouted(struct df_vm *vm, const struct df_routes *old);

/** df_bypass_changed() - a queue has another message; df_irq.lock held. */
void df_bypass_changed(const struct df_irqfd *irqfd);

#endif
