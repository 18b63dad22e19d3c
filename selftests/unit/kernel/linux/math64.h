/* SPDX-License-Identifier: GPL-2.0-only */
/* A stand-in for tests. */
#ifndef UNIT_KERNEL_MATH64_H
#define UNIT_KERNEL_MATH64_H

#include <linux/types.h>

static inline u64 mul_u64_u64_div_u64(u64 a, u64 b, u64 divisor)
{
	return (__uint128_t)a * b / divisor;
}

static inline u64 div_u64_rem(u64 dividend, u32 divisor, u32 *remainder)
{
	*remainder = dividend % divisor;
	return dividend / divisor;
}

#endif
