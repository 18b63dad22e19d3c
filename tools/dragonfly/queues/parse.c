// SPDX-License-Identifier: GPL-2.0-only
#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "dragonfly.h"
#include "queues.h"

#define MOST_QUEUES 1024

static const struct {
	const char *key, *form;
} kinds[] = {
	[QUEUE_VDPA] = { "vdpa=", "vdpa=/dev/vhost-vdpa-0[,queues=N]" },
	[QUEUE_TAP] = { "tap=", "tap=INTERFACE[,queues=N][,vhost]" },
};

static int bad_form(enum queue_kind kind, const char *text)
{
	return complain("'%s' is not of the form %s", text, kinds[kind].form);
}

static int parse_count(unsigned int *count, const char *text)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 10);
	/* strtoul() takes signs too, and skips blanks. */
	if (errno || !isdigit((unsigned char)*text) || *end || !value || value > MOST_QUEUES)
		return complain("queues= is a number from 1 to %d, not '%s'", MOST_QUEUES, text);
	*count = value;
	return 0;
}

/* What follows the name, between commas. */
static int parse_words(struct queue_options *options, char *words, const char *text)
{
	for (char *word; (word = strsep(&words, ","));) {
		if (!strncmp(word, "queues=", strlen("queues="))) {
			if (parse_count(&options->queues, word + strlen("queues=")))
				return -1;
		} else if (options->kind != QUEUE_TAP || strcmp(word, "vhost")) {
			/* "vhost" is how a tap is served anyway. */
			return bad_form(options->kind, text);
		}
	}
	return 0;
}

static int check_name(enum queue_kind kind, const char *name)
{
	if (kind == QUEUE_VDPA && *name != '/')
		return complain("'%s' is not the path of a vDPA device: /dev/vhost-vdpa-0 is one",
				name);
	if (kind == QUEUE_TAP && (!*name || strlen(name) >= IFNAMSIZ || strchr(name, '/')))
		return complain("'%s' is not the name of a network interface", name);
	return 0;
}

char *queues__device(const char *name)
{
	char *device = *name == '/' ? realpath(name, NULL) : NULL;

	if (!device)
		device = strdup(name);
	if (!device)
		complain("out of memory");
	return device;
}

int queues__parse(struct queue_options *options, enum queue_kind kind, const char *text)
{
	const char *key = kinds[kind].key;
	char *name, *words;

	*options = (struct queue_options){ .kind = kind };
	if (strncmp(text, key, strlen(key)))
		return bad_form(kind, text);
	name = strdup(text + strlen(key));
	if (!name)
		return complain("out of memory");
	words = name;
	strsep(&words, ",");
	if (!check_name(kind, name) && !parse_words(options, words, text))
		options->name = queues__device(name);
	free(name);
	return options->name ? 0 : -1;
}
