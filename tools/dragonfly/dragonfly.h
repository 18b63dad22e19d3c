/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The command-line tool: one file a verb, one function a verb.
 */
#ifndef DRAGONFLY_H
#define DRAGONFLY_H

/* What a verb returns is the exit status: 0, 1 for a "no", 2 for bad usage. */
enum { STATUS_OK, STATUS_NO, STATUS_USAGE };

int doctor__main(int argc, char **argv);

#endif
