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

/* A device of the guest's that input can be typed into. */
struct console_port {
	/* Returns how much of it there was room for. */
	size_t (*type)(void *device, const char *text, size_t size);
	void *device;
};

/* @where: "stdio", "pty", "socket=PATH" or "none". */
struct console *console__create(struct machine *machine, const char *where);
void console__destroy(struct console *console);

/* From the guest; never blocks: what nobody takes is kept, up to 64 KiB, the latest. */
void console__write(struct console *console, const char *text, size_t size);

/* Input goes to @port from now on: it is where the guest wrote last, or its driver came up. */
void console__listen(struct console *console, const struct console_port *port);

/* The port is going away, or its driver has left; both for a console that is gone (NULL) too. */
void console__forget(struct console *console, const struct console_port *port);

/* There is room again in a port: what was typed and did not fit comes now. */
void console__more(struct console *console);

/*
 * One more to show the output to, the last 64 KiB first, and to take input from:
 * a socket, which is the console's from now on, also when that fails (-1).
 */
int console__attach(struct console *console, int fd);

#endif
