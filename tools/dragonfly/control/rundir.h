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

#include <json-c/json.h>

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
 * Takes the @wanted name, or the first free one of vm-1, vm-2 ... where it is NULL: the
 * descriptor that holds it.
 */
int rundir__take(int dir, const char *wanted, char name[VM_NAME_MAX + 1]);
void rundir__give_back(int dir, const char *name, int lock);

/* An array of the names that are taken, in order. */
struct json_object *rundir__list(int dir);

#endif
