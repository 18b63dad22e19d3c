// SPDX-License-Identifier: GPL-2.0-only
/*
 * Virtual machines: their life, and the ioctls of their file.
 */
#include <linux/anon_inodes.h>
#include <linux/compat.h>
#include <linux/dragonfly.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "arch.h"
#include "device.h"
#include "dirty.h"
#include "ioeventfd.h"
#include "irqfd.h"
#include "memory.h"
#include "queue.h"
#include "routing.h"
#include "stats.h"
#include "vcpu.h"
#include "vm.h"

atomic_t df_vms = ATOMIC_INIT(0);

void df_vm_get(struct df_vm *vm)
{
	refcount_inc(&vm->refs);
}

/* The producers first: no vCPU can touch memory when memory goes. */
static void vm_destroy(struct df_vm *vm)
{
	for (unsigned int i = 0; i < DF_MAX_VCPUS; i++) {
		if (vm->vcpus[i])
			df_vcpu_free(vm->vcpus[i]);
		vm->vcpus[i] = NULL;
	}

	df_irq_destroy(vm);
	df_memory_destroy(vm);
	df_arch_vm_destroy(vm);
	mmdrop(vm->mm);
	kvfree(vm->slots);
	kfree(vm);
	atomic_dec(&df_vms);
}

void df_vm_put(struct df_vm *vm)
{
	if (refcount_dec_and_test(&vm->refs))
		vm_destroy(vm);
}

static long create_vcpu(struct df_vm *vm, unsigned long id)
{
	return df_vcpu_create(vm, id);
}

static long set_memory(struct df_vm *vm, unsigned long arg)
{
	struct kvm_userspace_memory_region2 region = {};

	if (copy_from_user(&region, (void __user *)arg, sizeof(struct kvm_userspace_memory_region)))
		return -EFAULT;
	return df_memory_set(vm, &region);
}

static long set_memory2(struct df_vm *vm, unsigned long arg)
{
	struct kvm_userspace_memory_region2 region;

	if (copy_from_user(&region, (void __user *)arg, sizeof(region)))
		return -EFAULT;
	return df_memory_set(vm, &region);
}

static long check_extension(struct df_vm *vm, unsigned long capability)
{
	return df_device_check_extension(capability);
}

/* Where Intel CPUs without unrestricted guest need memory; these do not. */
static long accept(struct df_vm *vm, unsigned long arg)
{
	return 0;
}

static long get_dirty_log(struct df_vm *vm, unsigned long arg)
{
	struct kvm_dirty_log log;

	if (copy_from_user(&log, (void __user *)arg, sizeof(log)))
		return -EFAULT;
	if (in_compat_syscall())
		log.dirty_bitmap = compat_ptr(log.padding2);
	return df_dirty_get(vm, &log);
}

static long clear_dirty_log(struct df_vm *vm, unsigned long arg)
{
	struct kvm_clear_dirty_log log;

	if (copy_from_user(&log, (void __user *)arg, sizeof(log)))
		return -EFAULT;
	if (in_compat_syscall())
		log.dirty_bitmap = compat_ptr(log.padding2);
	return df_dirty_clear(vm, &log);
}

static long get_stats(struct df_vm *vm, unsigned long arg)
{
	return arg ? -EINVAL : df_stats_vm(vm);
}

static long set_routing(struct df_vm *vm, unsigned long arg)
{
	struct kvm_irq_routing_entry *entries __free(kvfree) = NULL;
	struct kvm_irq_routing __user *user = (void __user *)arg;
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

static long signal_msi(struct df_vm *vm, unsigned long arg)
{
	struct kvm_msi msi;

	if (copy_from_user(&msi, (void __user *)arg, sizeof(msi)))
		return -EFAULT;
	return df_routing_signal_msi(vm, &msi);
}

static long irq_line_status(struct df_vm *vm, unsigned long arg)
{
	struct kvm_irq_level line;
	int err;

	if (copy_from_user(&line, (void __user *)arg, sizeof(line)))
		return -EFAULT;
	err = df_routing_line(vm, &line);
	if (!err && copy_to_user((void __user *)arg, &line, sizeof(line)))
		err = -EFAULT;
	return err;
}

static long irq_line(struct df_vm *vm, unsigned long arg)
{
	struct kvm_irq_level line;

	if (copy_from_user(&line, (void __user *)arg, sizeof(line)))
		return -EFAULT;
	return df_routing_line(vm, &line);
}

static long irqfd(struct df_vm *vm, unsigned long arg)
{
	struct kvm_irqfd args;

	if (copy_from_user(&args, (void __user *)arg, sizeof(args)))
		return -EFAULT;
	return df_irqfd(vm, &args);
}

static long ioeventfd(struct df_vm *vm, unsigned long arg)
{
	struct kvm_ioeventfd args;

	if (copy_from_user(&args, (void __user *)arg, sizeof(args)))
		return -EFAULT;
	return df_ioeventfd(vm, &args);
}

static long queue_assign(struct df_vm *vm, unsigned long arg)
{
	struct dragonfly_queue args;

	if (copy_from_user(&args, (void __user *)arg, sizeof(args)))
		return -EFAULT;
	return df_queue_assign(vm, &args);
}

/* As KVM: it can be changed only while no slot has a log. */
static int set_dirty_log(struct df_vm *vm, u64 mode)
{
	if (mode & ~(u64)DF_DIRTY_LOG_MODES ||
	    mode == KVM_DIRTY_LOG_INITIALLY_SET)
		return -EINVAL;
	guard(rwsem_write)(&vm->memory_lock);
	if (vm->logged_slots)
		return -EBUSY;
	vm->dirty_log = mode;
	return 0;
}

static long enable_cap(struct df_vm *vm, unsigned long arg)
{
	struct kvm_enable_cap cap;

	if (copy_from_user(&cap, (void __user *)arg, sizeof(cap)))
		return -EFAULT;
	if (cap.flags)
		return -EINVAL;
	if (cap.cap == KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2)
		return set_dirty_log(vm, cap.args[0]);
	return df_arch_enable_cap(vm, &cap);
}

static const struct {
	unsigned int cmd;
	long (*handle)(struct df_vm *vm, unsigned long arg);
} vm_ioctls[] = {
	{ KVM_CREATE_VCPU,		create_vcpu },
	{ KVM_SET_USER_MEMORY_REGION,	set_memory },
	{ KVM_SET_USER_MEMORY_REGION2,	set_memory2 },
	{ KVM_GET_DIRTY_LOG,		get_dirty_log },
	{ KVM_CLEAR_DIRTY_LOG,		clear_dirty_log },
	{ KVM_SET_GSI_ROUTING,		set_routing },
	{ KVM_SIGNAL_MSI,		signal_msi },
	{ KVM_IRQ_LINE,			irq_line },
	{ KVM_IRQ_LINE_STATUS,		irq_line_status },
	{ KVM_IRQFD,			irqfd },
	{ KVM_IOEVENTFD,		ioeventfd },
	{ DRAGONFLY_QUEUE_ASSIGN,	queue_assign },
	{ KVM_CHECK_EXTENSION,		check_extension },
	{ KVM_ENABLE_CAP,		enable_cap },
	{ KVM_GET_STATS_FD,		get_stats },
	{ KVM_SET_TSS_ADDR,		accept },
	{ KVM_SET_IDENTITY_MAP_ADDR,	accept },
};

/* Guest memory is its creator's; nobody else could mean the same addresses. */
static long vm_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct df_vm *vm = file->private_data;

	if (vm->mm != current->mm)
		return -EIO;
	for (size_t i = 0; i < ARRAY_SIZE(vm_ioctls); i++)
		if (vm_ioctls[i].cmd == cmd)
			return vm_ioctls[i].handle(vm, arg);
	return df_arch_vm_ioctl(vm, cmd, arg);
}

static int vm_release(struct inode *inode, struct file *file)
{
	struct df_vm *vm = file->private_data;

	df_irq_release(vm);
	df_vm_put(vm);
	return 0;
}

static const struct file_operations vm_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= vm_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.release	= vm_release,
	.llseek		= noop_llseek,
};

int df_vm_create(void)
{
	struct df_vm *vm;
	int err;

	vm = kzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);
	if (!vm)
		return -ENOMEM;
	vm->slots = kvcalloc(DF_MAX_SLOTS, sizeof(*vm->slots), GFP_KERNEL_ACCOUNT);
	if (!vm->slots) {
		err = -ENOMEM;
		goto free_vm;
	}
	refcount_set(&vm->refs, 1);
	mutex_init(&vm->lock);
	init_rwsem(&vm->memory_lock);
	xa_init_flags(&vm->doorbells, XA_FLAGS_ACCOUNT);
	df_irq_init(&vm->irq);
	err = df_arch_vm_init(vm);
	if (err)
		goto free_slots;
	vm->mm = current->mm;
	mmgrab(vm->mm);
	atomic_inc(&df_vms);

	err = anon_inode_getfd("dragonfly-vm", &vm_fops, vm, O_RDWR | O_CLOEXEC);
	if (err < 0)
		df_vm_put(vm);
	return err;

free_slots:
	kvfree(vm->slots);
free_vm:
	kfree(vm);
	return err;
}
