/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How an eventfd's signal becomes an interrupt, on /dev/dragonfly and /dev/kvm.
 */
#ifndef DRAGONFLY_INTERRUPT_H
#define DRAGONFLY_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>

struct machine;

struct msi {
	uint64_t address;
	uint32_t data;
};

/* GSIs below IOAPIC_PINS are the IOAPIC's; these are handed out behind them. */
#define MAX_GSIS 4096

struct interrupts {
	uint8_t used[MAX_GSIS];
	struct msi messages[MAX_GSIS];
};

/* One message, now. */
void interrupt__signal(struct machine *machine, const struct msi *msi);

/* A GSI with no message yet; -1 (without a sentence) if all are taken. */
int interrupt__allocate(struct machine *machine);
void interrupt__free(struct machine *machine, int gsi);

/* What the GSI sends from now on. IOAPIC pins have it too, for EOIs to come back. */
int interrupt__route(struct machine *machine, int gsi, const struct msi *msi);

/* While connected, a signal of @event sends it; before and after it stays pending in @event. */
int interrupt__connect(struct machine *machine, int gsi, int event);
void interrupt__disconnect(struct machine *machine, int gsi, int event);

#endif
