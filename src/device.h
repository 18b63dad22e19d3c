/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DF_DEVICE_H
#define DF_DEVICE_H

/**
 * df_device_create() - let user space in through /dev/dragonfly
 *
 * Context: Process context, may sleep.
 * Return: 0 or a negative errno.
 */
int df_device_create(void);

/**
 * df_device_destroy() - take the device away
 *
 * Every open file holds a reference to the module, so that nobody is left.
 *
 * Context: Process context, may sleep.
 */
void df_device_destroy(void);

/** df_device_check_extension() - KVM_CHECK_EXTENSION, of the device and of a VM. */
long df_device_check_extension(unsigned long capability);

#endif
