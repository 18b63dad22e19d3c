// SPDX-License-Identifier: GPL-2.0-only
/*
 * dragonfly console: the console of a VM on this terminal.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "control/control.h"
#include "dragonfly.h"
#include "escape.h"

static const struct verb verb = {
	.help = "usage: dragonfly console NAME\n\n"
		"Connects this terminal to the console of a VM. Ctrl-A x leaves it, and the VM\n"
		"goes on; Ctrl-A Ctrl-A sends a Ctrl-A. Without a terminal, what comes on stdin is\n"
		"typed, and what the guest says is shown until the VM ends.\n",
};

struct session {
	int socket;
	struct escape escape;
};

static int write_all(int fd, const char *text, size_t size)
{
	while (size) {
		ssize_t n = write(fd, text, size);

		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0) {
			text += n;
			size -= n;
		}
	}
	return 0;
}

/* Keys to the guest; -1: leave. */
static int type(struct session *session, const char *keys, size_t size)
{
	char text[BUFSIZ + 1];
	size_t nr = escape__filter(&session->escape, keys, size, text);

	return write_all(session->socket, text, nr) || session->escape.left ? -1 : 0;
}

enum { KEYS, GUEST, SIGNALS, SOURCES };

/* Until Ctrl-A x, the VM's end or a signal. */
static void talk(struct session *session, int signals)
{
	struct pollfd fds[SOURCES] = {
		[KEYS] = { .fd = STDIN_FILENO, .events = POLLIN },
		[GUEST] = { .fd = session->socket, .events = POLLIN },
		[SIGNALS] = { .fd = signals, .events = POLLIN },
	};
	char text[BUFSIZ];
	ssize_t n;

	while (poll(fds, SOURCES, -1) >= 0 || errno == EINTR) {
		if (fds[SIGNALS].revents)
			return;
		if (fds[GUEST].revents) {
			n = read(session->socket, text, sizeof(text));
			if (n <= 0 || write_all(STDOUT_FILENO, text, n))
				return;
		}
		if (fds[KEYS].revents) {
			n = read(STDIN_FILENO, text, sizeof(text));
			if (n > 0 && type(session, text, n))
				return;
			if (n <= 0 && isatty(STDIN_FILENO))
				return;
			if (n <= 0)
				fds[KEYS].fd = -1;
		}
	}
}

static int run(int socket, const char *name)
{
	struct session session = { .socket = socket };
	struct termios before, raw;
	bool terminal = !tcgetattr(STDIN_FILENO, &before);
	int signals = signals__open();

	if (signals < 0)
		return complain("no file descriptor is left: %s", strerror(errno));
	if (terminal) {
		fprintf(stderr, "The console of %s; Ctrl-A x leaves it.\n", name);
		raw = before;
		cfmakeraw(&raw);
		tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
	}
	talk(&session, signals);
	if (terminal) {
		tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
		fputc('\n', stderr);
	}
	close(signals);
	return 0;
}

int console__main(int argc, char **argv)
{
	struct json_object *request, *answer;
	const char *name = NULL;
	int status, socket;

	status = verb__arguments(&verb, argc, argv, &name, NULL);
	if (status >= 0)
		return status;
	request = control__request("console");
	answer = control__ask_for(name, request, &socket);
	json_object_put(request);
	if (!answer)
		return STATUS_NO;
	json_object_put(answer);
	if (socket < 0) {
		complain("the VM '%s' has sent no console: it is of another version", name);
		return STATUS_NO;
	}
	status = run(socket, name) ? STATUS_NO : STATUS_OK;
	close(socket);
	return status;
}
