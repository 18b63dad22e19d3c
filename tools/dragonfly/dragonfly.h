/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the verbs of the tool share.
 *
 * A function that returns -1, or NULL for a pointer, has said why: one sentence
 * by complain(), which says what to do about it.  Its caller only cleans up.
 */
#ifndef DRAGONFLY_TOOL_H
#define DRAGONFLY_TOOL_H

/* Exit statuses of every verb. */
enum {
	STATUS_OK = 0,
	STATUS_NO = 1, /* it was understood and did not succeed */
	STATUS_USAGE = 2, /* it was not understood */
};

/* "dragonfly: ...\n" on stderr; always -1. */
int complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

int console__main(int argc, char **argv);
int doctor__main(int argc, char **argv);
int list__main(int argc, char **argv);
int pause__main(int argc, char **argv);
int queue__main(int argc, char **argv);
int resume__main(int argc, char **argv);
int run__main(int argc, char **argv);
int stat__main(int argc, char **argv);
int stop__main(int argc, char **argv);

#endif
