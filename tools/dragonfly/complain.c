// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where sentences go.
 */
#include <stdarg.h>
#include <stdio.h>

#include "dragonfly.h"

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

/* In one write: vCPUs may have something to say at the same time. */
int complain(const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	if (listener.text) {
		vsnprintf(listener.text, listener.size, fmt, ap);
	} else if (complaints_left) {
		complaints_left--;
		vsnprintf(text, sizeof(text), fmt, ap);
		fprintf(stderr, "dragonfly: %s\n", text);
	}
	va_end(ap);
	return -1;
}
