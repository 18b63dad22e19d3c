/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The registers behind hardware-reduced ACPI: sleep control and status, reset;
 * and a power button, an event of the Generic Event Device's.
 */
#ifndef DRAGONFLY_POWER_H
#define DRAGONFLY_POWER_H

#define POWER_PORT 0x600 /* one byte each */
#define POWER_SLEEP_CONTROL 0
#define POWER_SLEEP_STATUS 1
#define POWER_RESET 2
#define POWER_RESET_VALUE 1
#define POWER_S5 5 /* SLP_TYP of _S5 */
#define POWER_IRQ 9

struct machine;
struct power;

struct power *power__create(struct machine *machine);
void power__destroy(struct power *power);

/* Asks the guest to power off; it may take its time, or not listen. */
void power__press(struct power *power);

#endif
