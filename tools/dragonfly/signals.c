// SPDX-License-Identifier: GPL-2.0-only
/*
 * Signals that end a process come in order, as input that somebody waits for.
 */
#include <signal.h>
#include <sys/signalfd.h>

#include "dragonfly.h"

int signals__open(void)
{
	sigset_t ends;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGHUP);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	return signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
}
