// SPDX-License-Identifier: GPL-2.0-only
/*
 * dragonfly stop: the end of a VM.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "control/control.h"
#include "dragonfly.h"

#define PATIENCE 10000 /* milliseconds: of the VM when it is forced, of the user else */

static const struct verb verb = {
	.help = "usage: dragonfly stop NAME [--force]\n\n"
		"Presses the VM's power button and waits until the guest has powered off and the\n"
		"VM has ended.\n\n"
		"  --force  ends the VM at once; its guest is not asked\n",
	.option = "--force",
};

static bool has_ended(int process, int milliseconds)
{
	struct pollfd poll_fd = { .fd = process, .events = POLLIN };
	int n;

	do
		n = poll(&poll_fd, 1, milliseconds);
	while (n < 0 && errno == EINTR);
	return n > 0;
}

static int stop(const char *name, int process)
{
	struct json_object *answer = control__order(name, control__request("stop"));

	if (!answer)
		return -1;
	json_object_put(answer);
	if (!has_ended(process, PATIENCE)) {
		complain("the guest of %s takes its time; dragonfly stop %s --force ends it", name,
			 name);
		has_ended(process, -1);
	}
	return 0;
}

/* By a signal: one that is busy with a device has no ear for requests. */
static int force(const char *name, int process)
{
	if (pidfd_send_signal(process, SIGTERM, NULL, 0) && errno != ESRCH)
		return complain("cannot end %s (%s): be root, or who started it", name,
				strerror(errno));
	if (!has_ended(process, PATIENCE)) {
		pidfd_send_signal(process, SIGKILL, NULL, 0);
		has_ended(process, -1);
	}
	return 0;
}

int stop__main(int argc, char **argv)
{
	const char *name = NULL;
	bool forced = false;
	int status, process;

	status = verb__arguments(&verb, argc, argv, &name, &forced);
	if (status >= 0)
		return status;
	process = control__process(name);
	if (process < 0)
		return STATUS_NO;
	status = forced ? force(name, process) : stop(name, process);
	close(process);
	return status ? STATUS_NO : STATUS_OK;
}
