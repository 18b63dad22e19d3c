/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ctrl-A on a terminal: with x behind it, it leaves; with another Ctrl-A it is one of
 * the guest's; with anything else both are.
 */
#ifndef DRAGONFLY_ESCAPE_H
#define DRAGONFLY_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>

struct escape {
	bool prefixed; /* the last key was Ctrl-A */
	bool left; /* by Ctrl-A x: what comes behind it is nobody's */
};

/*
 * Which of the keys are the guest's, in @text: at most one more than there are, a
 * Ctrl-A from before that turns out to be. Returns how many.
 */
size_t escape__filter(struct escape *escape, const char *keys, size_t size, char *text);

#endif
