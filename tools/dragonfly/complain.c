// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where sentences go.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "dragonfly.h"

#define PATIENCE 1000 /* milliseconds that a sentence waits for whoever reads stderr */

unsigned int complaints_left = 1000; /* a guest can cause some as often as it likes */

static __thread struct {
	char *text;
	size_t size;
} listener;

void complain_to(char *text, size_t size)
{
	listener.text = text;
	listener.size = size;
}

/*
 * A pipe that nobody reads is full some day, and who waits for it may have the machine's
 * lock: after the first time that it was in vain nobody waits, until there is room again.
 */
static bool is_read(void)
{
	static int patience = PATIENCE;
	struct pollfd ready = { .fd = STDERR_FILENO, .events = POLLOUT };

	patience = TEMP_FAILURE_RETRY(poll(&ready, 1, patience)) ? PATIENCE : 0;
	return patience;
}

/* In one write: vCPUs may have something to say at the same time. */
int complain(const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	if (listener.text) {
		vsnprintf(listener.text, listener.size, fmt, ap);
	} else if (complaints_left && is_read()) {
		complaints_left--;
		vsnprintf(text, sizeof(text), fmt, ap);
		fprintf(stderr, "dragonfly: %s\n", text);
	}
	va_end(ap);
	return -1;
}
