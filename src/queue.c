// SPDX-License-Identifier: GPL-2.0-only
/*
 * A queue: an ioeventfd or a doorbell, an irqfd with a message of its own, and a
 * file that holds them together.
 */

#include "df.h"

#define KNOWN_FLAGS	(DRAGONFLY_QUEUE_DOORBELL | DRAGONFLY_QUEUE_MSI)

/**
 * struct df_queue - of a VM
 * @refs: one of its file, one of each of its statistics'
 * @vm: held
 * @gpa: where the guest kicks
 * @kick: in the VM's table, if it has an eventfd
 * @kicks: how many exited
 * @doorbell: in df_vm.doorbells, if it has pages
 * @call: attached, if it has an eventfd
 */
struct df_queue {
	refcount_t refs;
	struct df_vm *vm;
	u64 gpa;
	struct df_ioeventfd kick;
	atomic64_t kicks;
	struct df_slot doorbell;
	struct df_irqfd call;
};

atomic_t df_queues = ATOMIC_INIT(0);

/* Whose they are, by frame number: a page of a device belongs to one queue of one VM. */
static DEFINE_XARRAY_FLAGS(owners, XA_FLAGS_ACCOUNT);

void df_queue_get(struct df_queue *queue)
{
	refcount_inc(&queue->refs);
}

void df_queue_put(struct df_queue *queue)
{
	if (!refcount_dec_and_test(&queue->refs))
		return;
	df_vm_put(queue->vm);
	kfree(queue);
	atomic_dec(&df_queues);
}

/* ---- statistics -------------------------------------------------------------------- */

const char * const df_queue_stats[DF_QUEUE_STATS] = { "kicks", "interrupts" };

u64 df_queue_stat(const struct df_queue *queue, unsigned int n)
{
	return n ? READ_ONCE(queue->call.interrupts) : atomic64_read(&queue->kicks);
}

u64 df_queue_gpa(const struct df_queue *queue)
{
	return queue->gpa;
}

/* ---- assigned ---------------------------------------------------------------------- */

static int open_kick(struct df_queue *queue, const struct dragonfly_queue *args)
{
	queue->kick = (struct df_ioeventfd){
		.addr = args->notify_gpa,
		.len = args->notify_len,
		.any = true,
		.kicks = &queue->kicks,
	};
	return df_ioeventfd_open(&queue->vm->irq, true, &queue->kick, args->kick_fd);
}

static int find_doorbell(struct df_queue *queue, u64 address, struct df_device_page *page)
{
	int err;

	do
		err = df_host_device_page(queue->vm->mm, address, true, page);
	while (err == -EAGAIN && !fatal_signal_pending(current));
	return err ?: page->shared ? 0 : -EFAULT;
}

/* At once, and not when the guest first kicks: that would be an exit. */
static int map_doorbell(struct df_queue *queue, const struct dragonfly_queue *args)
{
	struct df_device_page page;
	int err;

	err = find_doorbell(queue, args->doorbell, &page) ?:
	      xa_insert(&owners, page.pfn, queue, GFP_KERNEL_ACCOUNT);
	if (err)
		return err;
	queue->doorbell = (struct df_slot){
		.gfn = args->notify_gpa >> PAGE_SHIFT,
		.pages = 1,
		.hva = args->doorbell,
		.doorbell = page.pfn,
	};
	err = df_memory_add_doorbell(queue->vm, &queue->doorbell);
	if (!err)
		return df_arch_memory_map(queue->vm, queue->doorbell.gfn);
	xa_erase(&owners, page.pfn);
	queue->doorbell.pages = 0;
	return err;
}

static struct msi_msg message(const struct dragonfly_msi *msi)
{
	return df_msi(msi->address_lo, msi->address_hi, msi->data);
}

static bool is_valid_msi(const struct df_vm *vm, const struct dragonfly_msi *args)
{
	const struct msi_msg msi = message(args);

	return !(args->flags & ~DRAGONFLY_MSI_MASKED) &&
	       (args->flags & DRAGONFLY_MSI_MASKED || df_arch_msi_valid(vm, &msi));
}

static int open_call(struct df_queue *queue, const struct dragonfly_queue *args)
{
	struct df_irqfd *call = &queue->call;

	call->vm = queue->vm;
	call->is_queue = true;
	call->msi = message(&args->msi);
	call->masked = !(args->flags & DRAGONFLY_QUEUE_MSI) ||
		       args->msi.flags & DRAGONFLY_MSI_MASKED;
	return df_irqfd_open(call, args->call_fd);
}

static bool is_valid(const struct df_vm *vm, const struct dragonfly_queue *args)
{
	if (args->flags & ~KNOWN_FLAGS || memchr_inv(args->reserved, 0, sizeof(args->reserved)))
		return false;
	if (args->flags & DRAGONFLY_QUEUE_MSI && !is_valid_msi(vm, &args->msi))
		return false;
	if (args->flags & DRAGONFLY_QUEUE_DOORBELL)
		return !args->notify_len && args->kick_fd == -1 &&
		       PAGE_ALIGNED(args->notify_gpa | args->doorbell) &&
		       args->notify_gpa >> PAGE_SHIFT < df_arch_max_gfn();
	return !args->doorbell && (!args->notify_len || is_power_of_2(args->notify_len)) &&
	       args->notify_len <= sizeof(u64) &&
	       args->notify_gpa + args->notify_len >= args->notify_gpa;
}

/* The interrupt last: it takes what waits in its eventfd, which would be lost by a failure. */
static int build(struct df_queue *queue, const struct dragonfly_queue *args)
{
	int err = 0;

	if (args->flags & DRAGONFLY_QUEUE_DOORBELL)
		err = map_doorbell(queue, args);
	if (!err && args->kick_fd != -1)
		err = open_kick(queue, args);
	if (!err && args->call_fd != -1)
		err = open_call(queue, args);
	return err;
}

/* ---- and released ------------------------------------------------------------------ */

static void release(struct df_queue *queue)
{
	struct df_vm *vm = queue->vm;

	if (queue->kick.eventfd)
		df_ioeventfd_remove(&vm->irq, true, &queue->kick);
	if (queue->doorbell.pages) {
		df_memory_remove_doorbell(vm, &queue->doorbell);
		xa_erase(&owners, queue->doorbell.doorbell);
	}
	if (queue->call.eventfd)
		df_irqfd_close(&queue->call);
	atomic_dec(&vm->queues);
	df_queue_put(queue);
}

static int queue_release(struct inode *inode, struct file *file)
{
	release(file->private_data);
	return 0;
}

static long set_msi(struct df_queue *queue, const void __user *user)
{
	struct dragonfly_msi args;
	struct msi_msg msi;

	if (copy_from_user(&args, user, sizeof(args)))
		return -EFAULT;
	if (!queue->call.eventfd || !is_valid_msi(queue->vm, &args))
		return -EINVAL;
	msi = message(&args);
	df_irqfd_set_msi(&queue->call, &msi, args.flags & DRAGONFLY_MSI_MASKED);
	return 0;
}

static long queue_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct df_queue *queue = file->private_data;

	if (cmd == DRAGONFLY_QUEUE_SET_MSI)
		return set_msi(queue, (void __user *)arg);
	if (cmd == KVM_GET_STATS_FD)
		return arg ? -EINVAL : df_stats_open(queue->vm, NULL, queue);
	return -ENOTTY;
}

static const struct file_operations queue_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= queue_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.release	= queue_release,
	.llseek		= noop_llseek,
};

int df_queue_assign(struct df_vm *vm, void *arg)
{
	const struct dragonfly_queue *args = arg;
	struct df_queue *queue;
	int err;

	if (!is_valid(vm, args))
		return -EINVAL;
	if (!atomic_add_unless(&vm->queues, 1, DF_MAX_QUEUES))
		return -ENOSPC;
	queue = kzalloc(sizeof(*queue), GFP_KERNEL_ACCOUNT);
	if (!queue) {
		atomic_dec(&vm->queues);
		return -ENOMEM;
	}
	refcount_set(&queue->refs, 1);
	queue->vm = vm;
	queue->gpa = args->notify_gpa;
	df_vm_get(vm);
	atomic_inc(&df_queues);

	err = build(queue, args);
	if (!err)
		err = anon_inode_getfd("dragonfly-queue", &queue_fops, queue, O_RDWR | O_CLOEXEC);
	if (err < 0)
		release(queue);
	return err;
}
