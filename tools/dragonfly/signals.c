// SPDX-License-Identifier: GPL-2.0-only
/*
 * Signals that end a process come in order, as input that somebody waits for.
 */
#include <signal.h>
#include <sys/signalfd.h>

#include "dragonfly.h"

static sigset_t ends(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	return set;
}

int signals__open(void)
{
	const sigset_t set = ends();

	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

bool signals__came(void)
{
	sigset_t set = ends(), waiting;

	sigpending(&waiting);
	sigandset(&set, &set, &waiting);
	return !sigisemptyset(&set);
}
