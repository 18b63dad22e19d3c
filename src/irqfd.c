// SPDX-License-Identifier: GPL-2.0-only
#include <linux/poll.h>

#include "df.h"

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
}

static void free_irqfd(struct df_irqfd *irqfd)
{
	if (!IS_ERR_OR_NULL(irqfd->resamplefd))
		eventfd_ctx_put(irqfd->resamplefd);
	kfree(irqfd);
}

void df_irqfd_close(struct df_irqfd *irqfd)
{
	/* First: what a device raises from now on still comes, by the eventfd. */
	df_bypass_remove(irqfd);
	/* Takes the lock that wake() is called under: none runs, and none will. */
	if (irqfd->head)
		remove_wait_queue(irqfd->head, &irqfd->wait);
	if (irqfd->resamplefd)
		stop_resampling(irqfd);
	eventfd_ctx_put(irqfd->eventfd);
	irqfd->eventfd = NULL;
}

static void shut_down(struct work_struct *work)
{
	struct df_irqfd *irqfd = container_of(work, struct df_irqfd, shut_down);

	df_irqfd_close(irqfd);
	free_irqfd(irqfd);
}

/*
 * Whoever takes it off the list, takes it away: its user, its eventfd or its VM.
 * A queue's is not on it.
 */
static void detach(struct df_irqfd *irqfd)
{
	lockdep_assert_held(&irqfd->vm->irq.irqfd_lock);
	if (list_empty(&irqfd->all))
		return;
	list_del_init(&irqfd->all);
	queue_work(shut_downs, &irqfd->shut_down);
}

/* ---- at a signal ---------------------------------------------------------------------- */

/* The eventfd's wait-queue lock is held, interrupts are off. What is masked stays in it. */
static bool take(struct df_irqfd *irqfd)
{
	u64 count;

	if (irqfd->masked)
		return false;
	eventfd_ctx_do_read(irqfd->eventfd, &count);
	if (!count)
		return false;
	if (!irqfd->is_queue)
		df_routing_deliver(irqfd->vm, irqfd->gsi);
	else if (df_arch_msi(irqfd->vm, &irqfd->msi))
		irqfd->interrupts++;
	return true;
}

/* As take(). */
static int wake(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct df_irqfd *irqfd = container_of(wait, struct df_irqfd, wait);
	__poll_t events = key_to_poll(key);
	bool taken = events & EPOLLIN && take(irqfd);

	/* The last file of the eventfd is closed: nobody can signal it any more. */
	if (events & EPOLLHUP) {
		spin_lock(&irqfd->vm->irq.irqfd_lock);
		detach(irqfd);
		spin_unlock(&irqfd->vm->irq.irqfd_lock);
	}
	return taken;
}

struct poll {
	poll_table table;
	struct df_irqfd *irqfd;
};

/* A VM has an eventfd once, as in KVM; what is a queue's is nobody else's. */
static bool excludes(const struct df_irqfd *a, const struct df_irqfd *b)
{
	return a->vm == b->vm || a->is_queue || b->is_queue;
}

static bool is_excluded(const struct df_irqfd *irqfd, const wait_queue_head_t *head)
{
	const wait_queue_entry_t *other;

	lockdep_assert_held(&head->lock);
	list_for_each_entry(other, &head->head, entry)
		if (other->func == wake &&
		    excludes(irqfd, container_of(other, struct df_irqfd, wait)))
			return true;
	return false;
}

/* Before all others who wait: the count is read before they see it. */
static void wait_on(struct file *file, wait_queue_head_t *head, poll_table *table)
{
	struct df_irqfd *irqfd = container_of(table, struct poll, table)->irqfd;

	spin_lock_irq(&head->lock);
	if (!is_excluded(irqfd, head)) {
		irqfd->wait.flags = WQ_FLAG_EXCLUSIVE | WQ_FLAG_PRIORITY;
		__add_wait_queue(head, &irqfd->wait);
		irqfd->head = head;
	}
	spin_unlock_irq(&head->lock);
}

/* ---- assigned --------------------------------------------------------------------------- */

static void enlist(struct df_irqfd *irqfd)
{
	struct df_irq *irq = &irqfd->vm->irq;

	spin_lock_irq(&irq->irqfd_lock);
	list_add(&irqfd->all, &irq->irqfds);
	spin_unlock_irq(&irq->irqfd_lock);
	irq->had_irqfds = true;
}

/*
 * With the lock held until it is done: a deassignment does not find it half
 * made. Its file is held: neither does EPOLLHUP.
 */
static int attach(struct df_irqfd *irqfd, struct file *file)
{
	struct df_irq *irq = &irqfd->vm->irq;
	struct poll poll = { .irqfd = irqfd };

	guard(mutex)(&irq->lock);
	/* Before it raises anything whose end would be missed. */
	if (irqfd->resamplefd) {
		list_add_rcu(&irqfd->resampled, &irq->resampled);
		df_arch_eoi_changed(irqfd->vm);
	}
	init_waitqueue_func_entry(&irqfd->wait, wake);
	init_poll_funcptr(&poll.table, wait_on);
	vfs_poll(file, &poll.table);
	if (!irqfd->head)
		return -EBUSY;
	if (!irqfd->is_queue)
		enlist(irqfd);
	/* What was signalled before counts. */
	spin_lock_irq(&irqfd->head->lock);
	take(irqfd);
	spin_unlock_irq(&irqfd->head->lock);
	return 0;
}

int df_irqfd_open(struct df_irqfd *irqfd, int fd)
{
	struct file *file __free(fput) = NULL;
	int err;

	if (!df_arch_has_irqchip(irqfd->vm))
		return -EINVAL;
	file = eventfd_fget(fd);
	if (IS_ERR(file))
		return PTR_ERR(file);
	irqfd->eventfd = eventfd_ctx_fileget(file);
	INIT_LIST_HEAD(&irqfd->all);
	INIT_LIST_HEAD(&irqfd->bypassed);
	/* First: once it is attached, others may take it away. */
	df_bypass_add(irqfd);
	err = attach(irqfd, file);
	if (err)
		df_irqfd_close(irqfd);
	return err;
}

void df_irqfd_set_msi(struct df_irqfd *irqfd, const struct msi_msg *msi, bool masked)
{
	guard(mutex)(&irqfd->vm->irq.lock);
	spin_lock_irq(&irqfd->head->lock);
	irqfd->msi = *msi;
	irqfd->masked = masked;
	take(irqfd);
	spin_unlock_irq(&irqfd->head->lock);
	df_bypass_changed(irqfd);
}

static int assign(struct df_vm *vm, const struct kvm_irqfd *args)
{
	struct df_irqfd *irqfd;
	int err;

	irqfd = kzalloc(sizeof(*irqfd), GFP_KERNEL_ACCOUNT);
	if (!irqfd)
		return -ENOMEM;
	irqfd->vm = vm;
	irqfd->gsi = args->gsi;
	INIT_WORK(&irqfd->shut_down, shut_down);

	if (args->flags & KVM_IRQFD_FLAG_RESAMPLE)
		irqfd->resamplefd = eventfd_ctx_fdget(args->resamplefd);
	err = IS_ERR(irqfd->resamplefd) ? PTR_ERR(irqfd->resamplefd) :
					  df_irqfd_open(irqfd, args->fd);
	if (err)
		free_irqfd(irqfd);
	return err;
}

/* ---- deassigned --------------------------------------------------------------------------- */

/* Those of an eventfd and a GSI, or, without an eventfd, all. */
static void detach_all(struct df_irq *irq, const struct eventfd_ctx *eventfd, u32 gsi)
{
	struct df_irqfd *irqfd, *next;

	scoped_guard(mutex, &irq->lock) {
		spin_lock_irq(&irq->irqfd_lock);
		list_for_each_entry_safe(irqfd, next, &irq->irqfds, all)
			if (!eventfd || (irqfd->eventfd == eventfd && irqfd->gsi == gsi))
				detach(irqfd);
		spin_unlock_irq(&irq->irqfd_lock);
	}
	/* From now on they raise nothing. */
	flush_workqueue(shut_downs);
}

static int deassign(struct df_vm *vm, const struct kvm_irqfd *args)
{
	struct eventfd_ctx *eventfd = eventfd_ctx_fdget(args->fd);

	if (IS_ERR(eventfd))
		return PTR_ERR(eventfd);
	detach_all(&vm->irq, eventfd, args->gsi);
	eventfd_ctx_put(eventfd);
	return 0;
}

int df_irqfd(struct df_vm *vm, void *arg)
{
	const struct kvm_irqfd *args = arg;

	if (args->flags & ~KNOWN_FLAGS)
		return -EINVAL;
	return args->flags & KVM_IRQFD_FLAG_DEASSIGN ? deassign(vm, args) : assign(vm, args);
}

/* No ioctl of the VM is under way any more. */
void df_irqfd_release(struct df_vm *vm)
{
	if (vm->irq.had_irqfds)
		detach_all(&vm->irq, NULL, 0);
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
