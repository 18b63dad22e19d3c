// SPDX-License-Identifier: GPL-2.0-only
#include "df.h"

/**
 * struct df_stats - an open statistics file
 * @vm: held, but for a queue's
 * @vcpu: whose they are, or NULL
 * @queue: whose they are, and held; or NULL
 * @size: of @text
 * @text: header, ID and descriptors, which do not change; and the numbers
 */
struct df_stats {
	struct df_vm *vm;
	struct df_vcpu *vcpu;
	struct df_queue *queue;
	size_t size;
	u8 text[] __aligned(sizeof(u64));
};

/* A VM has its vCPUs' rows first, each the sum, and then its own. */
static u64 value_of(const struct df_stats *stats, unsigned int n)
{
	const struct df_vcpu *vcpu;
	u64 sum = 0;

	if (stats->queue)
		return df_queue_stat(stats->queue, n);
	if (stats->vcpu)
		return df_arch_vcpu_stat(stats->vcpu, n);
	if (n >= df_arch_vcpu_stats)
		return df_arch_vm_stat(stats->vm, n - df_arch_vcpu_stats);
	for_each_df_vcpu(i, vcpu, stats->vm)
		sum += df_arch_vcpu_stat(vcpu, n);
	return sum;
}

static void fill(struct df_stats *stats, unsigned int rows)
{
	struct kvm_stats_header *head = (struct kvm_stats_header *)stats->text;
	struct kvm_stats_desc *d;
	char *id;

	*head = (struct kvm_stats_header){
		.name_size = DF_STAT_NAME_SIZE,
		.num_desc = rows,
		.id_offset = sizeof(*head),
		.desc_offset = sizeof(*head) + DF_STAT_NAME_SIZE,
		.data_offset = stats->size - rows * sizeof(u64),
	};
	id = (char *)stats->text + head->id_offset;
	id += sprintf(id, "kvm-%d", task_tgid_nr(current));
	if (stats->vcpu)
		sprintf(id, "/vcpu-%u", stats->vcpu->id);
	if (stats->queue)
		sprintf(id, "/queue-%llx", df_queue_gpa(stats->queue));

	d = (struct kvm_stats_desc *)(stats->text + head->desc_offset);
	for (unsigned int n = 0; n < rows; n++, d++) {
		d->flags = n < df_arch_vcpu_stats ? KVM_STATS_TYPE_CUMULATIVE :
						    KVM_STATS_TYPE_INSTANT;
		d->size = 1;
		d->offset = n * sizeof(u64);
		if (stats->queue)
			strscpy(d->name, df_queue_stats[n], DF_STAT_NAME_SIZE);
		else
			df_arch_stat_name(n, d->name);
	}
}

/* Who reads at the same time writes as new a number. */
static ssize_t stats_read(struct file *file, char __user *user, size_t size, loff_t *at)
{
	struct df_stats *stats = file->private_data;
	const struct kvm_stats_header *head = (struct kvm_stats_header *)stats->text;
	u64 *data = (u64 *)(stats->text + head->data_offset);

	for (unsigned int n = 0; n < head->num_desc; n++)
		WRITE_ONCE(data[n], value_of(stats, n));
	return simple_read_from_buffer(user, size, at, stats->text, stats->size);
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

int df_stats_open(struct df_vm *vm, struct df_vcpu *vcpu, struct df_queue *queue)
{
	unsigned int rows = queue ? DF_QUEUE_STATS :
				    df_arch_vcpu_stats + (vcpu ? 0 : df_arch_vm_stats);
	size_t size = sizeof(struct kvm_stats_header) + DF_STAT_NAME_SIZE +
		      rows * (sizeof(struct kvm_stats_desc) + sizeof(u64));
	struct df_stats *stats __free(kvfree) = NULL;
	struct file *file;

	stats = kvzalloc(struct_size(stats, text, size), GFP_KERNEL_ACCOUNT);
	if (!stats)
		return -ENOMEM;
	stats->vm = vm;
	stats->vcpu = vcpu;
	stats->queue = queue;
	stats->size = size;
	fill(stats, rows);

	CLASS(get_unused_fd, fd)(O_CLOEXEC);
	if (fd < 0)
		return fd;
	file = anon_inode_getfile("dragonfly-stats", &stats_fops, stats, O_RDONLY);
	if (IS_ERR(file))
		return PTR_ERR(file);
	if (queue)
		df_queue_get(queue);
	else
		df_vm_get(vm);
	stats = NULL;	/* the file's */
	file->f_mode |= FMODE_PREAD;
	fd_install(fd, file);
	return take_fd(fd);
}
