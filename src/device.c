// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/dragonfly: the device's own ioctls, as <linux/kvm.h> defines them.
 */
#include <linux/dragonfly.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/miscdevice.h>
#include <linux/module.h>

#include "arch.h"
#include "device.h"
#include "dirty.h"
#include "memory.h"
#include "queue.h"
#include "routing.h"
#include "vcpu.h"
#include "vm.h"

static long get_api_version(unsigned long arg)
{
	return arg ? -EINVAL : KVM_API_VERSION;
}

/*
 * A capability is offered from the day on which all its ioctls are there;
 * 0 is KVM's answer for what it does not know.
 */
long df_device_check_extension(unsigned long capability)
{
	switch (capability) {
	case KVM_CAP_USER_MEMORY:
	case KVM_CAP_USER_MEMORY2:
	case KVM_CAP_DESTROY_MEMORY_REGION_WORKS:
	case KVM_CAP_JOIN_MEMORY_REGIONS_WORKS:
	case KVM_CAP_SET_TSS_ADDR:
	case KVM_CAP_SET_IDENTITY_MAP_ADDR:
	case KVM_CAP_EXT_CPUID:
	case KVM_CAP_IMMEDIATE_EXIT:
	case KVM_CAP_CHECK_EXTENSION_VM:
	case KVM_CAP_INTERNAL_ERROR_DATA:
	case KVM_CAP_ENABLE_CAP_VM:
	case KVM_CAP_READONLY_MEM:
	case KVM_CAP_PRE_FAULT_MEMORY:
	case KVM_CAP_MP_STATE:
	case KVM_CAP_BINARY_STATS_FD:
	case KVM_CAP_SIGNAL_MSI:
	case KVM_CAP_IRQ_INJECT_STATUS:
	case KVM_CAP_IRQFD:
	case KVM_CAP_IRQFD_RESAMPLE:
	case KVM_CAP_IOEVENTFD:
	case KVM_CAP_IOEVENTFD_ANY_LENGTH:
	case KVM_CAP_IOEVENTFD_NO_LENGTH:
		return 1;
	case KVM_CAP_NR_VCPUS:
	case KVM_CAP_MAX_VCPUS:
		return DF_MAX_VCPUS;
	case KVM_CAP_IRQ_ROUTING:
		return DF_MAX_ROUTES;
	case DRAGONFLY_CAP_QUEUES:
		return DF_MAX_QUEUES;
	case KVM_CAP_MAX_VCPU_ID:
		return DF_MAX_VCPU_ID;
	case KVM_CAP_NR_MEMSLOTS:
		return DF_MAX_SLOTS;
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
		return DF_DIRTY_LOG_MODES;
	default:
		return df_arch_check_extension(capability);
	}
}

static long create_vm(unsigned long type)
{
	return type ? -EINVAL : df_vm_create();
}

static long get_vcpu_mmap_size(unsigned long arg)
{
	return arg ? -EINVAL : DF_RUN_SIZE;
}

static const struct {
	unsigned int cmd;
	long (*handle)(unsigned long arg);
} device_ioctls[] = {
	{ KVM_GET_API_VERSION,		get_api_version },
	{ KVM_CHECK_EXTENSION,		df_device_check_extension },
	{ KVM_CREATE_VM,		create_vm },
	{ KVM_GET_VCPU_MMAP_SIZE,	get_vcpu_mmap_size },
};

static long device_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	for (size_t i = 0; i < ARRAY_SIZE(device_ioctls); i++)
		if (device_ioctls[i].cmd == cmd)
			return device_ioctls[i].handle(arg);
	return df_arch_device_ioctl(cmd, arg);
}

static const struct file_operations device_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= device_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.llseek		= noop_llseek,
};

/* The group is udev's business: tools/udev/60-dragonfly.rules. */
static struct miscdevice device = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "dragonfly",
	.mode	= 0660,
	.fops	= &device_fops,
};

int df_device_create(void)
{
	return misc_register(&device);
}

void df_device_destroy(void)
{
	misc_deregister(&device);
}
