/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A 16550A at ports 0x3f8, IRQ 4.
 */
#ifndef DRAGONFLY_SERIAL_H
#define DRAGONFLY_SERIAL_H

#include <stddef.h>

#define SERIAL_PORT 0x3f8
#define SERIAL_IRQ 4

struct machine;
struct serial;

struct serial *serial__create(struct machine *machine);
void serial__destroy(struct serial *serial);

/* Input; returns how much of it there was room for. */
size_t serial__type(struct serial *serial, const char *text, size_t size);

#endif
