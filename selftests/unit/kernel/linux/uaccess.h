/* SPDX-License-Identifier: GPL-2.0-only */
/* A stand-in for tests: user space is here. */
#ifndef UNIT_KERNEL_UACCESS_H
#define UNIT_KERNEL_UACCESS_H

#include <errno.h>
#include <linux/err.h>
#include <stdlib.h>
#include <string.h>

static inline unsigned long copy_from_user(void *to, const void *from, size_t n)
{
	memcpy(to, from, n);
	return 0;
}

static inline unsigned long copy_to_user(void *to, const void *from, size_t n)
{
	memcpy(to, from, n);
	return 0;
}

static inline void *df_memdup_user(const void *from, size_t n, size_t size)
{
	void *copy = calloc(n, size);

	return copy ? memcpy(copy, from, n * size) : ERR_PTR(-ENOMEM);
}

#define get_user(value, pointer) ((value) = *(pointer), 0)
#define put_user(value, pointer) (*(pointer) = (value), 0)

#endif
