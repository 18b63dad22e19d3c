// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/dragonfly: the device's own ioctls, as <linux/kvm.h> defines them.
 */
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/miscdevice.h>
#include <linux/module.h>

#include "device.h"

static long get_api_version(unsigned long arg)
{
	return arg ? -EINVAL : KVM_API_VERSION;
}

/*
 * A capability is offered from the day on which all its ioctls are there;
 * 0 is KVM's answer for what it does not know.
 */
static long check_extension(unsigned long capability)
{
	switch (capability) {
	default:
		return 0;
	}
}

static const struct {
	unsigned int cmd;
	long (*handle)(unsigned long arg);
} device_ioctls[] = {
	{ KVM_GET_API_VERSION,	get_api_version },
	{ KVM_CHECK_EXTENSION,	check_extension },
};

static long device_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	for (size_t i = 0; i < ARRAY_SIZE(device_ioctls); i++)
		if (device_ioctls[i].cmd == cmd)
			return device_ioctls[i].handle(arg);
	return -ENOTTY;
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
