/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ACPI tables: what of the machine the guest cannot find by itself.
 */
#ifndef DRAGONFLY_ACPI_H
#define DRAGONFLY_ACPI_H

#include "memory.h"

/* RSDP, XSDT, hardware-reduced FADT, MADT, MCFG and DSDT at ACPI_TABLES. */
int acpi__write(const struct memory *memory, unsigned int cpus);

#endif
