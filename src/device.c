// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/dragonfly: the device's own ioctls, as <linux/kvm.h> defines them.
 */
#include <linux/miscdevice.h>

#include "df.h"

/* Those that are there or not, and no number. */
static const u16 capabilities[] = {
	KVM_CAP_USER_MEMORY, KVM_CAP_USER_MEMORY2, KVM_CAP_DESTROY_MEMORY_REGION_WORKS,
	KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, KVM_CAP_SET_TSS_ADDR, KVM_CAP_SET_IDENTITY_MAP_ADDR,
	KVM_CAP_EXT_CPUID, KVM_CAP_IMMEDIATE_EXIT, KVM_CAP_CHECK_EXTENSION_VM,
	KVM_CAP_INTERNAL_ERROR_DATA, KVM_CAP_ENABLE_CAP_VM, KVM_CAP_READONLY_MEM,
	KVM_CAP_PRE_FAULT_MEMORY, KVM_CAP_MP_STATE, KVM_CAP_BINARY_STATS_FD, KVM_CAP_SIGNAL_MSI,
	KVM_CAP_IRQ_INJECT_STATUS, KVM_CAP_IRQFD, KVM_CAP_IRQFD_RESAMPLE, KVM_CAP_IOEVENTFD,
	KVM_CAP_IOEVENTFD_ANY_LENGTH, KVM_CAP_IOEVENTFD_NO_LENGTH,
};

bool df_has_capability(const u16 *list, size_t n, unsigned long capability)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == capability)
			return true;
	return false;
}

/*
 * A capability is offered from the day on which all its ioctls are there;
 * 0 is KVM's answer for what it does not know.
 */
long df_device_check_extension(unsigned long capability)
{
	if (df_has_capability(capabilities, ARRAY_SIZE(capabilities), capability))
		return 1;
	switch (capability) {
	case KVM_CAP_NR_VCPUS:
	case KVM_CAP_MAX_VCPUS:			return DF_MAX_VCPUS;
	case KVM_CAP_IRQ_ROUTING:		return DF_MAX_ROUTES;
	case DRAGONFLY_CAP_QUEUES:		return DF_MAX_QUEUES;
	case KVM_CAP_MAX_VCPU_ID:		return DF_MAX_VCPU_ID;
	case KVM_CAP_NR_MEMSLOTS:		return DF_MAX_SLOTS;
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:	return DF_DIRTY_LOG_MODES;
	default:				return df_arch_check_extension(capability);
	}
}

static long device_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	if (cmd == KVM_CHECK_EXTENSION)
		return df_device_check_extension(arg);
	if (cmd != KVM_GET_API_VERSION && cmd != KVM_CREATE_VM && cmd != KVM_GET_VCPU_MMAP_SIZE)
		return df_arch_device_ioctl(cmd, arg);
	if (arg)
		return -EINVAL;
	switch (cmd) {
	case KVM_GET_API_VERSION:	return KVM_API_VERSION;
	case KVM_CREATE_VM:		return df_vm_create();
	default:			return DF_RUN_SIZE;
	}
}

static const struct file_operations device_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= device_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.llseek		= noop_llseek,
};

/* The group is udev's business: tools/udev/60-dragonfly.rules. */
struct miscdevice df_device = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "dragonfly",
	.mode	= 0660,
	.fops	= &device_fops,
};
