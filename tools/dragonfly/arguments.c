// SPDX-License-Identifier: GPL-2.0-only
/*
 * The arguments of the verbs that have few.
 */
#include <stdio.h>
#include <string.h>

#include "dragonfly.h"

int verb__arguments(const struct verb *verb, int argc, char **argv, const char **name, bool *option)
{
	bool options = true;

	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];

		if (options && (!strcmp(arg, "--help") || !strcmp(arg, "-h"))) {
			fputs(verb->help, stdout);
			return STATUS_OK;
		}
		if (options && !strcmp(arg, "--")) {
			options = false;
		} else if (options && option && !strcmp(arg, verb->option)) {
			*option = true;
		} else if (options && *arg == '-') {
			complain("%s has no option '%s'; see dragonfly %s --help", argv[0], arg,
				 argv[0]);
			return STATUS_USAGE;
		} else if (name && !*name) {
			*name = arg;
		} else {
			complain("'%s' is one argument too many for %s; see dragonfly %s --help",
				 arg, argv[0], argv[0]);
			return STATUS_USAGE;
		}
	}
	if (name && !*name) {
		complain("%s takes the name of a VM; dragonfly list has them", argv[0]);
		return STATUS_USAGE;
	}
	return -1;
}
