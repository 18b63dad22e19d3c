// SPDX-License-Identifier: GPL-2.0-only
/*
 * dragonfly - drive the hypervisor from the command line
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dragonfly.h"

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
	const char *help;
} verbs[] = {
	{ "run", run__main, "start a virtual machine" },
	{ "list", list__main, "which ones run" },
	{ "stat", stat__main, "what one has done: exits by reason, memory" },
	{ "console", console__main, "its console, on this terminal" },
	{ "pause", pause__main, "let its vCPUs stand still" },
	{ "resume", resume__main, "let them go on" },
	{ "stop", stop__main, "power it off" },
	{ "queue", queue__main, "list, assign and release hardware queues" },
	{ "doctor", doctor__main, "does this host have what it takes" },
};

#define NR_VERBS (sizeof(verbs) / sizeof(verbs[0]))

static void usage(FILE *out)
{
	fprintf(out, "usage: dragonfly VERB [OPTION]...\n\n");
	for (size_t i = 0; i < NR_VERBS; i++)
		fprintf(out, "  %-12s %s\n", verbs[i].name, verbs[i].help);
	fprintf(out, "\n  --help       this, or with a verb its own\n"
		     "  --version    the version of the tool\n");
}

/*
 * What the shell has closed (">&-") would be the numbers of what is opened next, and
 * a guest's output would go there. None of these can be read or written.
 */
static void fill_standard_files(void)
{
	int fd;

	do
		fd = open("/", O_PATH | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	fill_standard_files();
	if (!strcmp(verb, "--help") || !strcmp(verb, "-h") || !strcmp(verb, "help")) {
		usage(stdout);
		return STATUS_OK;
	}
	if (!strcmp(verb, "--version")) {
		printf("dragonfly %s\n", VERSION);
		return STATUS_OK;
	}
	for (size_t i = 0; i < NR_VERBS; i++)
		if (!strcmp(verb, verbs[i].name))
			return verbs[i].main(argc - 1, argv + 1);

	if (*verb)
		complain("there is no verb '%s'; see dragonfly --help", verb);
	else
		usage(stderr);
	return STATUS_USAGE;
}
