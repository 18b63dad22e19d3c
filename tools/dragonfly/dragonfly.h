/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the verbs of the tool share.
 *
 * A function that returns -1, or NULL for a pointer, has said why: one sentence
 * by complain(), which says what to do about it.  Its caller only cleans up.
 */
#ifndef DRAGONFLY_TOOL_H
#define DRAGONFLY_TOOL_H

#include <stdbool.h>
#include <stddef.h>

/* Exit statuses of every verb. */
enum {
	STATUS_OK = 0,
	STATUS_NO = 1, /* it was understood and did not succeed */
	STATUS_USAGE = 2, /* it was not understood */
};

/* "dragonfly: ...\n" on stderr; always -1. */
int complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* What this thread complains of goes into @text from now on; NULL: to stderr again. */
void complain_to(char *text, size_t size);

/* How many sentences stderr still takes: a log does not grow without end. */
extern unsigned int complaints_left;

/*
 * The arguments of a verb that takes a VM's name, an option, or both: what it does
 * not take is NULL.  -1: go on; else the verb has ended, with this status.
 */
struct verb {
	const char *help; /* what --help prints, the usage in its first line */
	const char *option; /* "--json" */
};

int verb__arguments(const struct verb *verb, int argc, char **argv, const char **name,
		    bool *option);

/*
 * A signalfd of SIGINT, SIGTERM and SIGHUP, which are blocked from now on, also in the
 * threads that are started then; -1 without a sentence. A pipe whose reader is gone is
 * an error like others.
 */
int signals__open(void);

/* Has one of them come that nobody has read yet?  For what takes long. */
bool signals__came(void);

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
