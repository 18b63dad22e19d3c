// SPDX-License-Identifier: GPL-2.0-only
#include "df.h"

static int run(const struct df_ioctl *ioctl, struct df_vm *vm, struct df_vcpu *vcpu,
	       void __user *user)
{
	void *arg __free(kfree) = NULL;
	size_t size = _IOC_SIZE(ioctl->cmd);
	int ret;

	arg = kzalloc(size, GFP_KERNEL);
	if (!arg)
		return -ENOMEM;
	if (_IOC_DIR(ioctl->cmd) & _IOC_WRITE && copy_from_user(arg, user, size))
		return -EFAULT;
	ret = vm ? ioctl->vm(vm, arg) : ioctl->vcpu(vcpu, arg);
	if (ret >= 0 && _IOC_DIR(ioctl->cmd) & _IOC_READ && copy_to_user(user, arg, size))
		return -EFAULT;
	return ret;
}

int df_ioctl(const struct df_ioctl *table, size_t n, struct df_vm *vm, struct df_vcpu *vcpu,
	     unsigned int cmd, unsigned long arg)
{
	for (size_t i = 0; i < n; i++)
		if (table[i].cmd == cmd)
			return run(&table[i], vm, vcpu, (void __user *)arg);
	return -ENOTTY;
}

void *df_memdup_user(const void __user *user, size_t n, size_t size)
{
	void *copy = kmalloc_array(n, size, GFP_KERNEL_ACCOUNT);

	if (!copy)
		return ERR_PTR(-ENOMEM);
	if (copy_from_user(copy, user, n * size)) {
		kfree(copy);
		return ERR_PTR(-EFAULT);
	}
	return copy;
}
