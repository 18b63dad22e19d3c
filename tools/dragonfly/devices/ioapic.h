/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The IOAPIC (82093AA, and the EOI register of later ones), in user space: its
 * messages go to the LAPICs in the kernel, EOIs of level interrupts come back.
 */
#ifndef DRAGONFLY_IOAPIC_H
#define DRAGONFLY_IOAPIC_H

#include <stdbool.h>
#include <stdint.h>

struct machine;
struct ioapic;

struct ioapic *ioapic__create(struct machine *machine);
void ioapic__destroy(struct ioapic *ioapic);

/* The level of a pin's line; a rising edge of an edge-triggered one sends. */
void ioapic__line(struct ioapic *ioapic, unsigned int pin, bool level);

/* KVM_EXIT_IOAPIC_EOI */
void ioapic__eoi(struct ioapic *ioapic, uint8_t vector);

#endif
