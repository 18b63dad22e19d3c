/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The run directory: who has which name.
 *
 * A running VM holds a lock on NAME.lock, which the kernel lets go of however the
 * VM ends, and listens on NAME.sock. What no lock is held on is left over from a
 * VM that was killed, and whoever comes by cleans it.
 */
#ifndef DRAGONFLY_RUNDIR_H
#define DRAGONFLY_RUNDIR_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define VM_NAME_MAX 64

/* [A-Za-z0-9][A-Za-z0-9._-]{0,63} */
bool rundir__is_name(const char *name);

/* A descriptor of it, made if need be; refuses one that others may enter. */
int rundir__open(void);

/* Where it is, for sentences and logs. */
void rundir__path(char path[PATH_MAX]);

/* A path for bind() and connect(): it is short, and means this directory and no other. */
#define SOCKET_PATH_MAX 108
void rundir__socket(int dir, const char *name, char path[SOCKET_PATH_MAX]);

/*
 * Takes @name, or the first free one of vm-1, vm-2 ... where it is empty: the
 * descriptor that holds it.
 */
int rundir__take(int dir, char name[VM_NAME_MAX + 1]);
void rundir__give_back(int dir, const char *name, int lock);

/* The names that are taken, in order, up to a NULL. */
char **rundir__list(int dir);
void rundir__free(char **names);

#endif
