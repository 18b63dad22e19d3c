/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How list and stat show what a VM has told.
 */
#ifndef DRAGONFLY_PRINT_H
#define DRAGONFLY_PRINT_H

#include <stdint.h>

#include <json-c/json.h>

#define PRINT_MAX 32

/* "512M", "1.5G" */
const char *print__size(char text[PRINT_MAX], uint64_t bytes);

/* "2d 03:04:05", "0:07" */
const char *print__time(char text[PRINT_MAX], uint64_t seconds);

/* What an object has under a name; "" and 0 for what it has not. */
const char *print__text(struct json_object *object, const char *key);
uint64_t print__number(struct json_object *object, const char *key);

/* The object itself, for --json. */
void print__json(struct json_object *object);

#endif
