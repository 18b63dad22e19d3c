/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The posted-interrupt descriptor: SDM, "Posted-Interrupt Processing". 6.1 keeps its own
 * to KVM.
 */
#ifndef DF_HOST_6_1_POSTED_INTR_H
#define DF_HOST_6_1_POSTED_INTR_H

#include <linux/bitops.h>

#define POSTED_INTR_ON 0

struct pi_desc {
	union {
		u32 pir[8];
		u64 pir64[4];
	};
	union {
		struct {
			u16 notifications;
			u8 nv;
			u8 rsvd_2;
			u32 ndst;
		};
		u64 control;
	};
	u32 rsvd[6];
} __aligned(64);

static inline bool pi_test_and_set_pir(int vector, struct pi_desc *pi)
{
	return test_and_set_bit(vector, (unsigned long *)pi->pir64);
}

static inline bool pi_test_and_set_on(struct pi_desc *pi)
{
	return test_and_set_bit(POSTED_INTR_ON, (unsigned long *)&pi->control);
}

static inline void pi_set_on(struct pi_desc *pi)
{
	set_bit(POSTED_INTR_ON, (unsigned long *)&pi->control);
}

static inline void pi_clear_on(struct pi_desc *pi)
{
	clear_bit(POSTED_INTR_ON, (unsigned long *)&pi->control);
}

static inline bool pi_test_on(struct pi_desc *pi)
{
	return test_bit(POSTED_INTR_ON, (unsigned long *)&pi->control);
}

#endif
