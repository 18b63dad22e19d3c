// SPDX-License-Identifier: GPL-2.0-only
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/kvm.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/rculist.h>
#include <linux/slab.h>

#include "arch.h"
#include "bypass.h"
#include "irqfd.h"
#include "routing.h"
#include "vm.h"

#define KNOWN_FLAGS	(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE)

/* Its own, so that one can wait for all that is on it, and nothing else. */
static struct workqueue_struct *shut_downs;

/* ---- and gone ------------------------------------------------------------------------ */

static void stop_resampling(struct df_irqfd *irqfd)
{
	struct df_irq *irq = &irqfd->vm->irq;

	scoped_guard(mutex, &irq->lock) {
		list_del_rcu(&irqfd->resampled);
		df_arch_eoi_changed(irqfd->vm);
	}
	/* A vCPU may just be signalling it. */
	synchronize_rcu_expedited();
	eventfd_ctx_put(irqfd->resamplefd);
}

static void shut_down(struct work_struct *work)
{
	struct df_irqfd *irqfd = container_of(work, struct df_irqfd, shut_down);
	u64 count;

	/* First: what a device raises from now on still comes, by the eventfd. */
	df_bypass_remove(irqfd);
	/* Takes the lock that wake() is called under: none runs, and none will. */
	eventfd_ctx_remove_wait_queue(irqfd->eventfd, &irqfd->wait, &count);
	if (irqfd->resamplefd)
		stop_resampling(irqfd);
	eventfd_ctx_put(irqfd->eventfd);
	kfree(irqfd);
}

/* Whoever takes it off the list, takes it away: its user, its eventfd or its VM. */
static void detach(struct df_irqfd *irqfd)
{
	lockdep_assert_held(&irqfd->vm->irq.irqfd_lock);
	if (list_empty(&irqfd->all))
		return;
	list_del_init(&irqfd->all);
	queue_work(shut_downs, &irqfd->shut_down);
}

/* ---- at a signal ---------------------------------------------------------------------- */

/* The eventfd's wait-queue lock is held, interrupts are off. */
static int wake(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct df_irqfd *irqfd = container_of(wait, struct df_irqfd, wait);
	struct df_irq *irq = &irqfd->vm->irq;
	__poll_t events = key_to_poll(key);
	u64 count;

	if (events & EPOLLIN) {
		eventfd_ctx_do_read(irqfd->eventfd, &count);
		df_routing_deliver(irqfd->vm, irqfd->gsi);
	}
	/* The last file of the eventfd is closed: nobody can signal it any more. */
	if (events & EPOLLHUP) {
		spin_lock(&irq->irqfd_lock);
		detach(irqfd);
		spin_unlock(&irq->irqfd_lock);
	}
	return !!(events & EPOLLIN);
}

struct poll {
	poll_table table;
	struct df_irqfd *irqfd;
};

/* Before all others who wait: the count is read before they see it. */
static void wait_on(struct file *file, wait_queue_head_t *head, poll_table *table)
{
	struct poll *poll = container_of(table, struct poll, table);

	add_wait_queue_priority(head, &poll->irqfd->wait);
}

/* ---- assigned --------------------------------------------------------------------------- */

static int enlist(struct df_irqfd *irqfd)
{
	struct df_irq *irq = &irqfd->vm->irq;
	const struct df_irqfd *other;
	int err = 0;

	spin_lock_irq(&irq->irqfd_lock);
	list_for_each_entry(other, &irq->irqfds, all)
		if (other->eventfd == irqfd->eventfd)
			err = -EBUSY;
	if (!err)
		list_add(&irqfd->all, &irq->irqfds);
	spin_unlock_irq(&irq->irqfd_lock);
	irq->had_irqfds = true;
	return err;
}

/*
 * With the lock held until it is done: a deassignment does not find it half
 * made. Its file is held: neither does EPOLLHUP.
 */
static int attach(struct df_irqfd *irqfd, struct file *file)
{
	struct df_irq *irq = &irqfd->vm->irq;
	struct poll poll = { .irqfd = irqfd };
	int err;

	guard(mutex)(&irq->lock);
	err = enlist(irqfd);
	if (err)
		return err;
	/* Before it raises anything whose end would be missed. */
	if (irqfd->resamplefd) {
		list_add_rcu(&irqfd->resampled, &irq->resampled);
		df_arch_eoi_changed(irqfd->vm);
	}
	init_waitqueue_func_entry(&irqfd->wait, wake);
	init_poll_funcptr(&poll.table, wait_on);
	/* What was signalled before counts. */
	if (vfs_poll(file, &poll.table) & EPOLLIN)
		df_routing_deliver(irqfd->vm, irqfd->gsi);
	return 0;
}

static int assign(struct df_vm *vm, const struct kvm_irqfd *args)
{
	struct file *file __free(fput) = NULL;
	struct df_irqfd *irqfd;
	int err;

	if (!df_arch_has_irqchip(vm))
		return -EINVAL;
	file = eventfd_fget(args->fd);
	if (IS_ERR(file))
		return PTR_ERR(file);
	irqfd = kzalloc(sizeof(*irqfd), GFP_KERNEL_ACCOUNT);
	if (!irqfd)
		return -ENOMEM;
	irqfd->vm = vm;
	irqfd->gsi = args->gsi;
	INIT_WORK(&irqfd->shut_down, shut_down);

	if (args->flags & KVM_IRQFD_FLAG_RESAMPLE) {
		irqfd->resamplefd = eventfd_ctx_fdget(args->resamplefd);
		if (IS_ERR(irqfd->resamplefd)) {
			err = PTR_ERR(irqfd->resamplefd);
			goto free;
		}
	}
	irqfd->eventfd = eventfd_ctx_fileget(file);
	/* First: once it is attached, others may take it away. */
	df_bypass_add(irqfd);
	err = attach(irqfd, file);
	if (!err)
		return 0;

	df_bypass_remove(irqfd);
	eventfd_ctx_put(irqfd->eventfd);
	if (irqfd->resamplefd)
		eventfd_ctx_put(irqfd->resamplefd);
free:
	kfree(irqfd);
	return err;
}

/* ---- deassigned --------------------------------------------------------------------------- */

static int deassign(struct df_vm *vm, const struct kvm_irqfd *args)
{
	struct df_irq *irq = &vm->irq;
	struct eventfd_ctx *eventfd;
	struct df_irqfd *irqfd, *next;

	eventfd = eventfd_ctx_fdget(args->fd);
	if (IS_ERR(eventfd))
		return PTR_ERR(eventfd);
	scoped_guard(mutex, &irq->lock) {
		spin_lock_irq(&irq->irqfd_lock);
		list_for_each_entry_safe(irqfd, next, &irq->irqfds, all)
			if (irqfd->eventfd == eventfd && irqfd->gsi == args->gsi)
				detach(irqfd);
		spin_unlock_irq(&irq->irqfd_lock);
	}
	eventfd_ctx_put(eventfd);
	/* From now on it raises nothing. */
	flush_workqueue(shut_downs);
	return 0;
}

int df_irqfd(struct df_vm *vm, const struct kvm_irqfd *args)
{
	if (args->flags & ~KNOWN_FLAGS)
		return -EINVAL;
	return args->flags & KVM_IRQFD_FLAG_DEASSIGN ? deassign(vm, args) : assign(vm, args);
}

/* No ioctl of the VM is under way any more. */
void df_irqfd_release(struct df_vm *vm)
{
	struct df_irq *irq = &vm->irq;
	struct df_irqfd *irqfd, *next;

	if (!irq->had_irqfds)
		return;
	spin_lock_irq(&irq->irqfd_lock);
	list_for_each_entry_safe(irqfd, next, &irq->irqfds, all)
		detach(irqfd);
	spin_unlock_irq(&irq->irqfd_lock);
	flush_workqueue(shut_downs);
}

int df_irqfd_init(void)
{
	/* Not bound to a CPU, which may be a guest's own. */
	shut_downs = alloc_workqueue(KBUILD_MODNAME "-irqfd", WQ_UNBOUND, 0);
	return shut_downs ? 0 : -ENOMEM;
}

void df_irqfd_exit(void)
{
	destroy_workqueue(shut_downs);
}
