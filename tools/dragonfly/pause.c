// SPDX-License-Identifier: GPL-2.0-only
/*
 * dragonfly pause and resume: a VM that stands still.
 */
#include "control/control.h"
#include "dragonfly.h"

static int order(const struct verb *verb, int argc, char **argv)
{
	struct json_object *answer;
	const char *name = NULL;
	int status;

	status = verb__arguments(verb, argc, argv, &name, NULL);
	if (status >= 0)
		return status;
	answer = control__order(name, control__request(argv[0]));
	json_object_put(answer);
	return answer ? STATUS_OK : STATUS_NO;
}

int pause__main(int argc, char **argv)
{
	static const struct verb verb = {
		.help = "usage: dragonfly pause NAME\n\n"
			"Lets the vCPUs of a VM stand still until dragonfly resume.\n",
	};

	return order(&verb, argc, argv);
}

int resume__main(int argc, char **argv)
{
	static const struct verb verb = {
		.help = "usage: dragonfly resume NAME\n\n"
			"Lets the vCPUs of a VM that dragonfly pause has stopped go on.\n",
	};

	return order(&verb, argc, argv);
}
