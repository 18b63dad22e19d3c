/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How the tool's other verbs reach a running VM: a socket NAME.sock, mode 0600, in
 * /run/dragonfly or $XDG_RUNTIME_DIR/dragonfly. One JSON object in a line each way.
 */
#ifndef DRAGONFLY_CONTROL_H
#define DRAGONFLY_CONTROL_H

#include <stdbool.h>

#include <json-c/json.h>

struct machine;
struct control;

/*
 * Takes the name, or a free one if it is NULL, and listens; complains if a running VM
 * has it. What a dead VM has left is cleaned. Clients are answered by the loop.
 */
struct control *control__create(struct machine *machine, const char *name);
void control__close(struct control *control); /* answers no more */
void control__destroy(struct control *control); /* gives the name back */
const char *control__name(const struct control *control);

/* The vCPUs are there and do not run yet: KVM opens their statistics only then. */
void control__count(struct control *control);

/*
 * "run --detach": goes on in a child without a terminal and returns -1 there. The
 * parent waits until the loop of the child's machine runs and prints its name, or until
 * the child has failed and said why on the stderr that it still has; what it returns is
 * the exit status. The child's stderr is NAME.log in the run directory from then on,
 * which control__destroy() removes after an outcome that is not a failure.
 */
int control__detach(void);

/* {"do": verb}, to be freed with json_object_put(). */
struct json_object *control__request(const char *verb);

/*
 * What a VM answers to a request; NULL with a sentence if there is no such VM or it
 * refuses. The request stays the caller's.
 */
struct json_object *control__ask(const char *name, struct json_object *request);

/* The same for a request that is done with then. */
struct json_object *control__order(const char *name, struct json_object *request);

/* The same, with the descriptor that comes with the answer, or -1, in @fd. */
struct json_object *control__ask_for(const char *name, struct json_object *request, int *fd);

/* A pidfd of the VM's process, which says when it has ended. */
int control__process(const char *name);

#endif
