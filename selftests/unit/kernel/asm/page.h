/* SPDX-License-Identifier: GPL-2.0-only */
/* A stand-in for tests. */
#ifndef UNIT_KERNEL_PAGE_H
#define UNIT_KERNEL_PAGE_H

#include <linux/types.h>

static inline bool __is_canonical_address(u64 address, u8 bits)
{
	u64 above = address >> (bits - 1);

	return !above || above == ~0ULL >> (bits - 1);
}

#endif
