/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Eventfds that raise a GSI.
 */
#ifndef DF_IRQFD_H
#define DF_IRQFD_H

#include <linux/irqbypass.h>
#include <linux/msi.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "types.h"

/**
 * struct df_irqfd - an eventfd that raises a GSI, or is a queue's
 * @vm: the VM; its file, or that of the queue, outlives this
 * @gsi: which one
 * @is_queue: it raises @msi instead
 * @msi: changed under df_irq.lock and the lock of @head, as is
 * @masked: it stays in @eventfd
 * @interrupts: how many of a queue's a vCPU has got; the lock of @head
 * @eventfd: held
 * @resamplefd: held; signalled when the guest has ended the interrupt; or NULL
 * @wait: on @eventfd, from its signal straight to the vCPU
 * @head: what it is in, or NULL
 * @all: in df_irq.irqfds; empty: it is being shut down
 * @resampled: in df_irq.resampled, if there is a @resamplefd
 * @consumer: by which a driver of the host finds it, if @found
 * @bypassed: in df_irq.bypassed, while such a driver has it; then
 * @host_irq: the interrupt that it is
 * @shut_down: takes it away; an eventfd that is closed cannot do so itself
 */
struct df_irqfd {
	struct df_vm *vm;
	u32 gsi;
	bool is_queue;
	bool masked;
	struct msi_msg msi;
	u64 interrupts;
	struct eventfd_ctx *eventfd;
	struct eventfd_ctx *resamplefd;
	wait_queue_entry_t wait;
	wait_queue_head_t *head;
	struct list_head all;
	struct list_head resampled;
	struct irq_bypass_consumer consumer;
	bool found;
	struct list_head bypassed;
	unsigned int host_irq;
	struct work_struct shut_down;
};

/**
 * df_irqfd() - KVM_IRQFD
 *
 * An eventfd that is closed is deassigned.
 *
 * Context: Process context, may sleep.
 * Return: 0, -ENOMEM, -EBADF or -EINVAL for what is no eventfd, -EINVAL for an
 * unknown flag or without an interrupt controller in the kernel, -EBUSY for an
 * eventfd that the VM has already, or a queue.
 */
int df_irqfd(struct df_vm *vm, void *arg);

/**
 * df_irqfd_open() - let an eventfd raise its interrupt
 * @irqfd: zeroed, but for @vm and what the interrupt is
 * @fd: the eventfd
 *
 * One that is a queue's lives on when the last file of the eventfd is closed.
 *
 * Context: Process context, may sleep.
 * Return: as df_irqfd(); for a queue's, -EBUSY if anybody has the eventfd.
 */
int df_irqfd_open(struct df_irqfd *irqfd, int fd);

/** df_irqfd_close() - undo it; what is masked stays in the eventfd. Context: As above. */
void df_irqfd_close(struct df_irqfd *irqfd);

/**
 * df_irqfd_set_msi() - a queue's interrupt is another one from now on
 *
 * When it returns nothing comes by the old message. What has waited in the eventfd
 * comes by the new one, unless that is masked too.
 *
 * Context: As above.
 */
void df_irqfd_set_msi(struct df_irqfd *irqfd, const struct msi_msg *msi, bool masked);

/** df_irqfd_release() - deassign all of a VM. Context: Process context, may sleep. */
void df_irqfd_release(struct df_vm *vm);

/** df_irqfd_init() - once, at load. 0 or -ENOMEM. */
int df_irqfd_init(void);
void df_irqfd_exit(void);

#endif
