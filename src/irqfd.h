/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Eventfds that raise a GSI.
 */
#ifndef DF_IRQFD_H
#define DF_IRQFD_H

#include <linux/irqbypass.h>
#include <linux/list.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

struct df_vm;
struct eventfd_ctx;
struct kvm_irqfd;

/**
 * struct df_irqfd - an eventfd that raises a GSI
 * @vm: the VM, whose file outlives it
 * @gsi: which one
 * @eventfd: held
 * @resamplefd: held; signalled when the guest has ended the interrupt; or NULL
 * @wait: on @eventfd, from its signal straight to the vCPU
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
	struct eventfd_ctx *eventfd;
	struct eventfd_ctx *resamplefd;
	wait_queue_entry_t wait;
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
 * eventfd that the VM has already.
 */
int df_irqfd(struct df_vm *vm, const struct kvm_irqfd *args);

/** df_irqfd_release() - deassign all of a VM. Context: Process context, may sleep. */
void df_irqfd_release(struct df_vm *vm);

/** df_irqfd_init() - once, at load. 0 or -ENOMEM. */
int df_irqfd_init(void);
void df_irqfd_exit(void);

#endif
