/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DF_DEVICE_H
#define DF_DEVICE_H

#include <linux/miscdevice.h>

/* /dev/dragonfly. Every open file holds the module: when it goes nobody is left. */
extern struct miscdevice df_device;

/** df_has_capability() - is it one of @n? */
bool df_has_capability(const u16 *list, size_t n, unsigned long capability);

/** df_device_check_extension() - KVM_CHECK_EXTENSION, of the device and of a VM. */
long df_device_check_extension(unsigned long capability);

#endif
