// SPDX-License-Identifier: GPL-2.0-only
/*
 * Virtual machines: their life, and the ioctls of their file.
 */

#include "df.h"

atomic_t df_vms = ATOMIC_INIT(0);

void df_vm_get(struct df_vm *vm)
{
	refcount_inc(&vm->refs);
}

/* The producers first: no vCPU can touch memory when memory goes. */
static void vm_destroy(struct df_vm *vm)
{
	df_arch_vm_stop(vm);
	for (unsigned int i = 0; i < DF_MAX_VCPUS; i++) {
		if (vm->vcpus[i])
			df_vcpu_free(vm->vcpus[i]);
		vm->vcpus[i] = NULL;
	}

	df_ioeventfd_destroy(vm);
	df_routing_destroy(vm);
	df_memory_destroy(vm);
	df_arch_vm_destroy(vm);
	mmdrop(vm->mm);
	kvfree(vm);
	atomic_dec(&df_vms);
}

void df_vm_put(struct df_vm *vm)
{
	if (refcount_dec_and_test(&vm->refs))
		vm_destroy(vm);
}

static int set_memory(struct df_vm *vm, void *arg)
{
	struct kvm_userspace_memory_region2 region = {};

	memcpy(&region, arg, sizeof(struct kvm_userspace_memory_region));
	return df_memory_set(vm, &region);
}

static int set_routing(struct df_vm *vm, struct kvm_irq_routing __user *user)
{
	struct kvm_irq_routing_entry *entries __free(kvfree) = NULL;
	struct kvm_irq_routing head;

	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	if (!df_arch_has_irqchip(vm) || head.nr > DF_MAX_ROUTES || head.flags)
		return -EINVAL;
	if (head.nr) {
		entries = vmemdup_array_user(user->entries, head.nr, sizeof(*entries));
		if (IS_ERR(entries))
			return PTR_ERR(entries);
	}
	return df_routing_set(vm, entries, head.nr);
}

/* As KVM: it can be changed only while no slot has a log. */
static int set_dirty_log(struct df_vm *vm, u64 mode)
{
	if (mode & ~(u64)DF_DIRTY_LOG_MODES || mode == KVM_DIRTY_LOG_INITIALLY_SET)
		return -EINVAL;
	guard(rwsem_write)(&vm->memory_lock);
	if (vm->logged_slots)
		return -EBUSY;
	vm->dirty_log = mode;
	return 0;
}

static int enable_cap(struct df_vm *vm, void *arg)
{
	const struct kvm_enable_cap *cap = arg;

	if (cap->flags)
		return -EINVAL;
	if (cap->cap == KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2)
		return set_dirty_log(vm, cap->args[0]);
	return df_arch_enable_cap(vm, cap);
}

static const struct df_ioctl vm_ioctls[] = {
	{ KVM_SET_USER_MEMORY_REGION,	.vm = set_memory },
	{ KVM_SET_USER_MEMORY_REGION2,	.vm = df_memory_set },
	{ KVM_GET_DIRTY_LOG,		.vm = df_dirty_get },
	{ KVM_CLEAR_DIRTY_LOG,		.vm = df_dirty_clear },
	{ KVM_SIGNAL_MSI,		.vm = df_routing_signal_msi },
	{ KVM_IRQ_LINE,			.vm = df_routing_line },
	{ KVM_IRQ_LINE_STATUS,		.vm = df_routing_line },
	{ KVM_IRQFD,			.vm = df_irqfd },
	{ KVM_IOEVENTFD,		.vm = df_ioeventfd },
	{ DRAGONFLY_QUEUE_ASSIGN,	.vm = df_queue_assign },
	{ KVM_ENABLE_CAP,		.vm = enable_cap },
};

/* Guest memory is its creator's; nobody else could mean the same addresses. */
static long vm_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct df_vm *vm = file->private_data;
	int ret;

	if (vm->mm != current->mm)
		return -EIO;
	switch (cmd) {
	case KVM_CREATE_VCPU:		return df_vcpu_create(vm, arg);
	case KVM_SET_GSI_ROUTING:	return set_routing(vm, (void __user *)arg);
	case KVM_CHECK_EXTENSION:	return df_device_check_extension(arg);
	case KVM_GET_STATS_FD:
		return arg ? -EINVAL : df_stats_open(vm, NULL, NULL);
	/* Where Intel CPUs without unrestricted guest need memory; these do not. */
	case KVM_SET_TSS_ADDR:
	case KVM_SET_IDENTITY_MAP_ADDR:	return 0;
	}
	ret = df_ioctl(vm_ioctls, ARRAY_SIZE(vm_ioctls), vm, NULL, cmd, arg);
	return ret == -ENOTTY ? df_arch_vm_ioctl(vm, cmd, arg) : ret;
}

static int vm_show(struct file *file, struct vm_area_struct *vma)
{
	return df_arch_vm_mmap(file->private_data, vma);
}

static int vm_release(struct inode *inode, struct file *file)
{
	struct df_vm *vm = file->private_data;

	df_irqfd_release(vm);
	df_vm_put(vm);
	return 0;
}

static const struct file_operations vm_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= vm_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.mmap		= vm_show,
	.release	= vm_release,
	.llseek		= noop_llseek,
};

/* But for what debugs locks, which is in it. */
static_assert(IS_ENABLED(CONFIG_DEBUG_SPINLOCK) || sizeof(struct df_vm) <= 8 * PAGE_SIZE);

int df_vm_create(void)
{
	struct df_vm *vm;
	int err;

	vm = kvzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);
	if (!vm)
		return -ENOMEM;
	refcount_set(&vm->refs, 1);
	mutex_init(&vm->lock);
	init_rwsem(&vm->memory_lock);
	xa_init_flags(&vm->doorbells, XA_FLAGS_ACCOUNT);
	df_irq_init(&vm->irq);
	err = df_arch_vm_init(vm);
	if (err) {
		kvfree(vm);
		return err;
	}
	vm->mm = current->mm;
	mmgrab(vm->mm);
	atomic_inc(&df_vms);

	err = anon_inode_getfd("dragonfly-vm", &vm_fops, vm, O_RDWR | O_CLOEXEC);
	if (err < 0)
		df_vm_put(vm);
	return err;
}
