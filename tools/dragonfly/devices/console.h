/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's console: a terminal, a pty or a socket on the host's side, the
 * serial port and virtio-console on the guest's.
 */
#ifndef DRAGONFLY_CONSOLE_H
#define DRAGONFLY_CONSOLE_H

#include <stddef.h>

struct machine;
struct console;

/* @where: "stdio", "pty", "socket=PATH" or "none". */
struct console *console__create(struct machine *machine, const char *where);
void console__destroy(struct console *console);

/* From the guest; never blocks: what nobody takes is kept, up to 64 KiB, the latest. */
void console__write(struct console *console, const char *text, size_t size);

#endif
