/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DF_GUEST_H
#define DF_GUEST_H

#include <linux/bitops.h>
#include <linux/dragonfly_para.h>

/** guest_area - Dragonfly's, mapped while the module is there. */
extern struct dragonfly_area *guest_area;

/**
 * guest_post() - set a vector's bit in a vCPU's descriptor
 *
 * A full barrier. Nobody is told.
 *
 * Context: Any.
 */
static inline void guest_post(struct dragonfly_descriptor *descriptor, u8 vector)
{
	set_bit(vector, (unsigned long *)descriptor->requests);
	/* Of what comes next, some is a look at the clock. */
	smp_mb__after_atomic();
}

/**
 * guest_timer_start() - give each CPU a clock event device that fires without an exit
 *
 * Those too that come online later.
 *
 * Context: May sleep.
 * Return: 0, or a negative error.
 */
int guest_timer_start(void);

/**
 * guest_timer_stop() - give each CPU back to the device that it had before
 *
 * Context: May sleep.
 */
void guest_timer_stop(void);

/**
 * guest_ipi_start() - send the kernel's IPIs through the area
 *
 * Context: Any.
 */
void guest_ipi_start(void);

/**
 * guest_ipi_stop() - send them as before
 *
 * Context: May sleep.
 */
void guest_ipi_stop(void);

#endif
