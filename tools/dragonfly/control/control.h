/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How the tool's other verbs reach a running VM: a socket NAME.sock, mode 0600, in
 * /run/dragonfly or $XDG_RUNTIME_DIR/dragonfly. One JSON object in a line each way.
 */
#ifndef DRAGONFLY_CONTROL_H
#define DRAGONFLY_CONTROL_H

#include <json-c/json.h>

struct machine;
struct control;

/* Takes the name, or complains that a running VM has it; one left by a dead VM is cleaned. */
struct control *control__create(struct machine *machine, const char *name);
void control__destroy(struct control *control);

/*
 * What a client's request {"do": "stat", ...} is answered with, {"error": "..."}
 * if it fails; NULL with a sentence if there is no such VM.
 */
struct json_object *control__ask(const char *name, struct json_object *request);

#endif
