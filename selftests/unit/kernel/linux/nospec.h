/* SPDX-License-Identifier: GPL-2.0-only */
/* A stand-in for tests: an index that is out of range is found by them. */
#ifndef UNIT_KERNEL_NOSPEC_H
#define UNIT_KERNEL_NOSPEC_H

#include <assert.h>

#define array_index_nospec(index, size)       \
	({                                    \
		typeof(index) nth = (index);  \
		assert((size_t)nth < (size)); \
		nth;                          \
	})

#endif
