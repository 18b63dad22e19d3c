/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ioctls that give or take a structure of fixed size: it is copied as their number
 * says, so that handlers see kernel memory only.
 */
#ifndef DF_IOCTL_H
#define DF_IOCTL_H

#include "types.h"

/**
 * struct df_ioctl - a row of a table of them
 * @cmd: its number
 * @vm: the handler, of a VM's; returns 0 or more, or a negative errno
 * @vcpu: the handler, of a vCPU's, whose lock is held
 */
struct df_ioctl {
	unsigned int cmd;
	union {
		int (*vm)(struct df_vm *vm, void *arg);
		int (*vcpu)(struct df_vcpu *vcpu, void *arg);
	};
};

/**
 * df_ioctl() - run the one of @n that has this number
 * @vm: whose table it is, or NULL
 * @vcpu: likewise
 *
 * Context: Process context, may sleep.
 * Return: as the handler; -ENOTTY if there is none, -EFAULT or -ENOMEM.
 */
int df_ioctl(const struct df_ioctl *table, size_t n, struct df_vm *vm, struct df_vcpu *vcpu,
	     unsigned int cmd, unsigned long arg);

/**
 * df_memdup_user() - a copy of a user's array that stays, charged to its cgroup
 *
 * Context: Process context, may sleep.
 * Return: the copy, for kfree(), or an ERR_PTR of -ENOMEM or -EFAULT.
 */
void *df_memdup_user(const void __user *user, size_t n, size_t size);

#endif
