// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "dragonfly.h"
#include "control.h"
#include "rundir.h"

#define ANSWER_TIME 60 /* seconds, after which a VM that says nothing is given up on */
#define MAX_ANSWER 0x100000

struct json_object *control__request(const char *verb)
{
	struct json_object *request = json_object_new_object();

	json_object_object_add(request, "do", json_object_new_string(verb));
	return request;
}

static int connect_to(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval time = { .tv_sec = ANSWER_TIME };
	int dir, fd;

	if (!rundir__is_name(name))
		return complain("'%s' is no name for a VM; dragonfly list has those that run",
				name);
	dir = rundir__open();
	if (dir < 0)
		return -1;
	rundir__socket(dir, name, address.sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time));
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(dir);
		return fd;
	}
	if (errno == ENOENT || errno == ECONNREFUSED)
		complain("there is no VM '%s'; dragonfly list has those that run", name);
	else
		complain("cannot reach the VM '%s' (%s)", name, strerror(errno));
	close(dir);
	if (fd >= 0)
		close(fd);
	return -1;
}

static int tell(int socket, struct json_object *request)
{
	const char *text = json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN);
	size_t size = strlen(text);

	return send(socket, text, size, MSG_NOSIGNAL) == (ssize_t)size &&
			       send(socket, "\n", 1, MSG_NOSIGNAL) == 1 ?
		       0 :
		       -1;
}

/* Some bytes, and the descriptor that came with them. */
static ssize_t receive(int socket, char *buffer, size_t size, int *fd)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec room = { .iov_base = buffer, .iov_len = size };
	struct msghdr message = {
		.msg_iov = &room,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	struct cmsghdr *head;
	ssize_t n;

	do
		n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	head = n < 0 ? NULL : CMSG_FIRSTHDR(&message);
	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS && *fd < 0)
		memcpy(fd, CMSG_DATA(head), sizeof(int));
	return n;
}

static struct json_object *hear(int socket, int *fd)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *answer = NULL;
	size_t size = 0;
	char part[4096];
	ssize_t n;

	while (!answer && size < MAX_ANSWER && (n = receive(socket, part, sizeof(part), fd)) > 0) {
		answer = json_tokener_parse_ex(tokener, part, n);
		if (!answer && json_tokener_get_error(tokener) != json_tokener_continue)
			break;
		size += n;
	}
	json_tokener_free(tokener);
	return answer;
}

static struct json_object *refuse(const char *name, struct json_object *answer)
{
	struct json_object *error;

	if (answer && !json_object_object_get_ex(answer, "error", &error))
		return answer;
	if (answer)
		complain("%s: %s", name, json_object_get_string(error));
	else
		complain("the VM '%s' does not answer; dragonfly stop %s --force ends it", name,
			 name);
	json_object_put(answer);
	return NULL;
}

struct json_object *control__ask_for(const char *name, struct json_object *request, int *fd)
{
	int socket = connect_to(name);
	struct json_object *answer;

	*fd = -1;
	if (socket < 0)
		return NULL;
	answer = refuse(name, tell(socket, request) ? NULL : hear(socket, fd));
	close(socket);
	if (!answer && *fd >= 0) {
		close(*fd);
		*fd = -1;
	}
	return answer;
}

struct json_object *control__ask(const char *name, struct json_object *request)
{
	struct json_object *answer;
	int fd;

	answer = control__ask_for(name, request, &fd);
	if (fd >= 0)
		close(fd);
	return answer;
}

struct json_object *control__order(const char *name, struct json_object *request)
{
	struct json_object *answer = control__ask(name, request);

	json_object_put(request);
	return answer;
}

int control__process(const char *name)
{
	struct ucred who = {};
	socklen_t size = sizeof(who);
	int socket = connect_to(name), process = -1;

	if (socket < 0)
		return -1;
	if (!getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &size) && who.pid)
		process = pidfd_open(who.pid, 0);
	if (process < 0)
		complain("cannot see the process of the VM '%s': is it in another container?",
			 name);
	close(socket);
	return process;
}
