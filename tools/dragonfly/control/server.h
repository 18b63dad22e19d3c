/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VM's side of its control socket: clients come, ask one thing, and go.
 */
#ifndef DRAGONFLY_SERVER_H
#define DRAGONFLY_SERVER_H

#include <time.h>

#include "machine/machine.h"
#include "control.h"
#include "rundir.h"

#define MAX_CLIENTS 16 /* one more, and the one that came first has to go */
#define MAX_REQUEST 4096 /* bytes of a line */

struct client {
	struct control *control;
	struct watch watch; /* fd -1: nobody */
	unsigned long turn; /* when it came */
	size_t asked, told; /* bytes so far of @request; of @answer */
	char request[MAX_REQUEST];
	char *answer; /* a line, or NULL as long as there is none */
	size_t size; /* of @answer */
	int fd; /* to go with its first byte, or -1 */
};

struct control {
	struct machine *machine;
	char name[VM_NAME_MAX + 1];
	int dir, lock;
	int spare; /* given up for a moment when no other descriptor is left */
	struct timespec start;
	struct watch listener;
	struct watch running; /* ready as soon as the loop runs; for "run --detach" */
	int vm_statistics, vcpu_statistics[MAX_CPUS]; /* or -1 */
	unsigned long turns;
	struct client clients[MAX_CLIENTS];
};

/* detach.c: is a parent waiting; it has waited for this; what it left goes. */
bool detach__is_due(void);
int detach__done(int dir, const char *name);
void detach__clean(int dir, const char *name);

/* requests.c: what a line is answered with, and the descriptor to go with it, or -1. */
struct json_object *request__answer(struct machine *machine, const char *line, size_t size,
				    int *fd);

/* statistics.c: KVM_GET_STATS_FD of a VM or vCPU, or -1; what is in it, by name. */
int statistics__open(int fd);
struct json_object *statistics__read(int statistics);

#endif
