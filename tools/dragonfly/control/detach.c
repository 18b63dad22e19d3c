// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dragonfly.h"
#include "server.h"

#define LOG_SENTENCES 1000

static int parent = -1; /* the child's line to who started it */
static bool has_log;

static void redirect(int fd, int to)
{
	dup2(to, fd);
	close(to);
}

static int wait_for(pid_t child, int line)
{
	char name[VM_NAME_MAX + 1];
	ssize_t n;
	int status;

	do
		n = recv(line, name, sizeof(name), 0);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		printf("%.*s\n", (int)n, name);
		return STATUS_OK;
	}
	/* It has ended, and said why. */
	if (waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status))
		return WEXITSTATUS(status);
	return STATUS_NO;
}

int control__detach(void)
{
	int line[2];
	pid_t child;

	child = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, line) ? -1 : fork();
	if (child < 0) {
		complain("cannot start a process (%s): see ulimit -u and -n", strerror(errno));
		return STATUS_NO;
	}
	if (child) {
		close(line[1]);
		return wait_for(child, line[0]);
	}
	close(line[0]);
	parent = line[1];
	setsid();
	redirect(STDIN_FILENO, open("/dev/null", O_RDONLY | O_CLOEXEC));
	return -1;
}

bool detach__is_due(void)
{
	return parent >= 0;
}

static void log_name(char file[], size_t size, const char *name)
{
	snprintf(file, size, "%s.log", name);
}

int detach__done(int dir, const char *name)
{
	char file[VM_NAME_MAX + sizeof(".log")];
	ssize_t sent;
	int log;

	log_name(file, sizeof(file), name);
	log = openat(dir, file, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC,
		     0600);
	if (log < 0)
		return complain("cannot write %s in the run directory (%s): remove it", file,
				strerror(errno));
	has_log = true;
	redirect(STDOUT_FILENO, open("/dev/null", O_WRONLY | O_CLOEXEC));
	redirect(STDERR_FILENO, log);
	sent = send(parent, name, strlen(name), MSG_NOSIGNAL);
	close(parent);
	parent = -1;
	complaints_left = LOG_SENTENCES;
	return sent < 0 ? -1 : 0;
}

void detach__clean(int dir, const char *name)
{
	char file[VM_NAME_MAX + sizeof(".log")];

	log_name(file, sizeof(file), name);
	if (has_log)
		unlinkat(dir, file, 0);
}
