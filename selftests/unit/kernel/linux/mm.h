/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A stand-in for tests: addresses are the same everywhere; and what the kernel's
 * header brings along.
 */
#ifndef UNIT_KERNEL_MM_H
#define UNIT_KERNEL_MM_H

#include <errno.h>
#include <linux/compiler.h>
#include <linux/gfp.h>

#define __va(address) ((void *)(unsigned long)(address))
#define __pa(pointer) ((unsigned long)(pointer))

#define xchg(pointer, value) __atomic_exchange_n(pointer, value, __ATOMIC_SEQ_CST)

#define set_mask_bits(pointer, mask, bits)                                                  \
	({                                                                                  \
		typeof(pointer) word = (pointer);                                           \
		typeof(*word) before = __atomic_load_n(word, __ATOMIC_SEQ_CST), after;      \
		do {                                                                        \
			after = (before & ~(typeof(*word))(mask)) | (bits);                 \
		} while (!__atomic_compare_exchange_n(word, &before, after, false,          \
						      __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)); \
		after;                                                                      \
	})

/* A test looks at how many there were. */
static unsigned int unit_warnings __attribute__((unused));

#define WARN_ON_ONCE(condition)              \
	({                                   \
		bool warned = !!(condition); \
		unit_warnings += warned;     \
		warned;                      \
	})

#define WARN_ON(condition) WARN_ON_ONCE(condition)

#define U8_MAX 0xff

#endif
