// SPDX-License-Identifier: GPL-2.0-only
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "arch.h"
#include "queue.h"
#include "stats.h"
#include "vcpu.h"
#include "vm.h"

#define NAME_SIZE	KVM_STATS_NAME_SIZE

static_assert(sizeof_field(struct df_stat, name) == NAME_SIZE);

/**
 * struct df_stats - an open statistics file
 * @vm: held
 * @vcpu: whose they are, or NULL
 * @queue: whose they are, and held instead of @vm; or NULL: the VM's
 * @size: of @text
 * @text: header, ID and descriptors, which do not change; the data follow them
 */
struct df_stats {
	struct df_vm *vm;
	struct df_vcpu *vcpu;
	struct df_queue *queue;
	size_t size;
	u8 text[];
};

static unsigned int count(const struct df_vcpu *vcpu, const struct df_queue *queue)
{
	if (queue)
		return DF_QUEUE_STATS;
	return df_arch_vcpu_stats() + (vcpu ? 0 : df_arch_vm_stats());
}

/* A VM has its vCPUs' rows first, each the sum, and then its own. */
static void describe(const struct df_stats *stats, unsigned int n, struct df_stat *stat)
{
	if (stats->queue)
		df_queue_stat(n, stat);
	else if (n < df_arch_vcpu_stats())
		df_arch_vcpu_stat(n, stat);
	else
		df_arch_vm_stat(n - df_arch_vcpu_stats(), stat);
}

static u64 value_of(const struct df_stats *stats, unsigned int n)
{
	struct df_vm *vm = stats->vm;
	u64 sum = 0;

	if (stats->queue)
		return df_queue_stat_value(stats->queue, n);
	if (stats->vcpu)
		return df_arch_vcpu_stat_value(stats->vcpu, n);
	if (n >= df_arch_vcpu_stats())
		return df_arch_vm_stat_value(vm, n - df_arch_vcpu_stats());
	guard(mutex)(&vm->lock);
	for (unsigned int i = 0; i < DF_MAX_VCPUS; i++)
		if (vm->vcpus[i])
			sum += df_arch_vcpu_stat_value(vm->vcpus[i], n);
	return sum;
}

static void fill(struct df_stats *stats, unsigned int rows)
{
	struct kvm_stats_header *head = (struct kvm_stats_header *)stats->text;
	u8 *desc;

	*head = (struct kvm_stats_header){
		.name_size = NAME_SIZE,
		.num_desc = rows,
		.id_offset = sizeof(*head),
		.desc_offset = sizeof(*head) + NAME_SIZE,
		.data_offset = stats->size,
	};
	if (stats->queue)
		snprintf((char *)stats->text + head->id_offset, NAME_SIZE, "kvm-%d/queue-%llx",
			 task_tgid_nr(current), df_queue_gpa(stats->queue));
	else if (stats->vcpu)
		snprintf((char *)stats->text + head->id_offset, NAME_SIZE, "kvm-%d/vcpu-%u",
			 task_tgid_nr(current), stats->vcpu->id);
	else
		snprintf((char *)stats->text + head->id_offset, NAME_SIZE, "kvm-%d",
			 task_tgid_nr(current));

	desc = stats->text + head->desc_offset;
	for (unsigned int n = 0; n < rows; n++, desc += sizeof(struct kvm_stats_desc)) {
		struct kvm_stats_desc *d = (struct kvm_stats_desc *)desc;
		struct df_stat stat = {};

		describe(stats, n, &stat);
		d->flags = stat.instant ? KVM_STATS_TYPE_INSTANT : KVM_STATS_TYPE_CUMULATIVE;
		d->size = 1;
		d->offset = n * sizeof(u64);
		strscpy(d->name, stat.name, NAME_SIZE);
	}
}

/* What does not change lies ready; a number is made when it is read. */
static ssize_t stats_read(struct file *file, char __user *user, size_t size, loff_t *at)
{
	const struct df_stats *stats = file->private_data;
	unsigned int rows = count(stats->vcpu, stats->queue);
	size_t end = stats->size + rows * sizeof(u64), done = 0;

	if (*at < 0 || *at >= end)
		return 0;
	size = min_t(size_t, size, end - *at);
	while (done < size) {
		size_t from = *at + done, part;
		u64 value;

		if (from < stats->size) {
			part = min(size - done, stats->size - from);
			if (copy_to_user(user + done, stats->text + from, part))
				return -EFAULT;
		} else {
			size_t within = (from - stats->size) % sizeof(u64);

			value = value_of(stats, (from - stats->size) / sizeof(u64));
			part = min(size - done, sizeof(u64) - within);
			if (copy_to_user(user + done, (u8 *)&value + within, part))
				return -EFAULT;
		}
		done += part;
	}
	*at += done;
	return done;
}

static int stats_release(struct inode *inode, struct file *file)
{
	struct df_stats *stats = file->private_data;

	if (stats->queue)
		df_queue_put(stats->queue);
	else
		df_vm_put(stats->vm);
	kvfree(stats);
	return 0;
}

static const struct file_operations stats_fops = {
	.owner		= THIS_MODULE,
	.read		= stats_read,
	.release	= stats_release,
	.llseek		= noop_llseek,
};

static int open_stats(struct df_vm *vm, struct df_vcpu *vcpu, struct df_queue *queue)
{
	unsigned int rows = count(vcpu, queue);
	size_t size = sizeof(struct kvm_stats_header) + NAME_SIZE +
		      rows * sizeof(struct kvm_stats_desc);
	struct df_stats *stats;
	struct file *file;
	int fd;

	stats = kvzalloc(struct_size(stats, text, size), GFP_KERNEL_ACCOUNT);
	if (!stats)
		return -ENOMEM;
	stats->vm = vm;
	stats->vcpu = vcpu;
	stats->queue = queue;
	stats->size = size;
	fill(stats, rows);

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0) {
		kvfree(stats);
		return fd;
	}
	file = anon_inode_getfile("dragonfly-stats", &stats_fops, stats, O_RDONLY);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		kvfree(stats);
		return PTR_ERR(file);
	}
	if (queue)
		df_queue_get(queue);
	else
		df_vm_get(vm);
	file->f_mode |= FMODE_PREAD;
	fd_install(fd, file);
	return fd;
}

int df_stats_vm(struct df_vm *vm)
{
	return open_stats(vm, NULL, NULL);
}

int df_stats_vcpu(struct df_vcpu *vcpu)
{
	return open_stats(vcpu->vm, vcpu, NULL);
}

int df_stats_queue(struct df_queue *queue)
{
	return open_stats(NULL, NULL, queue);
}
