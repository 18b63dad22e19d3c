// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "dragonfly.h"
#include "server.h"

/* ---- clients --------------------------------------------------------------------- */

static void client_drop(struct client *client)
{
	if (client->watch.fd < 0)
		return;
	loop__remove(&client->control->machine->loop, &client->watch);
	close(client->watch.fd);
	if (client->fd >= 0)
		close(client->fd);
	free(client->answer);
	client->answer = NULL;
	client->watch.fd = -1;
	client->fd = -1;
}

static ssize_t client_send(struct client *client)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {};
	struct iovec rest = {
		.iov_base = client->answer + client->told,
		.iov_len = client->size - client->told,
	};
	struct msghdr message = { .msg_iov = &rest, .msg_iovlen = 1 };

	if (client->fd >= 0) {
		message.msg_control = control.space;
		message.msg_controllen = sizeof(control.space);
		*CMSG_FIRSTHDR(&message) = (struct cmsghdr){
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(sizeof(int)),
		};
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &client->fd, sizeof(int));
	}
	return sendmsg(client->watch.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* As much of the answer as there is room for; the VM does not wait for who reads it. */
static void client_tell(struct client *client)
{
	ssize_t sent;

	while (client->told < client->size) {
		sent = client_send(client);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN) {
			loop__change(&client->control->machine->loop, &client->watch, EPOLLOUT);
			return;
		}
		if (sent < 0)
			break;
		client->told += sent;
		if (client->fd >= 0) {
			close(client->fd);
			client->fd = -1;
		}
	}
	client_drop(client);
}

static void client_answer(struct client *client, size_t line)
{
	struct json_object *answer =
		request__answer(client->control->machine, client->request, line, &client->fd);
	const char *text = json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN);

	client->size = strlen(text) + 1;
	client->answer = malloc(client->size);
	if (client->answer) {
		memcpy(client->answer, text, client->size);
		client->answer[client->size - 1] = '\n';
		client_tell(client);
	} else {
		client_drop(client);
	}
	json_object_put(answer);
}

/* A line that is too long is answered as what there is of it: it is no request. */
static void client_ready(void *context, uint32_t events)
{
	struct client *client = context;
	char *end;
	ssize_t n;

	(void)events;
	if (client->answer) {
		client_tell(client);
		return;
	}
	n = recv(client->watch.fd, client->request + client->asked, MAX_REQUEST - client->asked,
		 MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_drop(client);
		return;
	}
	client->asked += n;
	end = memchr(client->request, '\n', client->asked);
	if (end)
		client_answer(client, end - client->request);
	else if (client->asked == MAX_REQUEST)
		client_answer(client, MAX_REQUEST);
}

/* A free place, or that of the client that has been here for longest. */
static struct client *client_place(struct control *control)
{
	struct client *oldest = &control->clients[0];

	for (unsigned int i = 0; i < MAX_CLIENTS; i++) {
		struct client *client = &control->clients[i];

		if (client->watch.fd < 0)
			return client;
		if (client->turn < oldest->turn)
			oldest = client;
	}
	client_drop(oldest);
	return oldest;
}

static void client_come(struct control *control, int fd)
{
	struct client *client = client_place(control);

	client->watch.fd = fd;
	client->turn = control->turns++;
	client->asked = 0;
	client->told = 0;
	if (loop__add(&control->machine->loop, &client->watch, EPOLLIN)) {
		close(fd);
		client->watch.fd = -1;
	}
}

/* ---- the socket ------------------------------------------------------------------ */

/* Without a descriptor for it a connection would stay, and the loop would spin. */
static void turn_away(struct control *control)
{
	close(control->spare);
	close(accept(control->listener.fd, NULL, NULL));
	control->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void listener_ready(void *context, uint32_t events)
{
	struct control *control = context;
	int fd = accept4(control->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd >= 0)
		client_come(control, fd);
	else if (errno == EMFILE || errno == ENFILE)
		turn_away(control);
}

static int listen_at(int dir, const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	rundir__socket(dir, name, address.sun_path);
	/* The socket has its mode before it has a name: nobody else ever sees another. */
	if (fd >= 0 && !fchmod(fd, 0600) &&
	    !bind(fd, (struct sockaddr *)&address, sizeof(address)) && !listen(fd, MAX_CLIENTS))
		return fd;
	complain("cannot listen for '%s' (%s): see that /proc is mounted", name, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

/* The loop has come to it: the machine runs. */
static void running_ready(void *context, uint32_t events)
{
	struct control *control = context;
	struct machine *machine = control->machine;

	(void)events;
	loop__remove(&machine->loop, &control->running);
	close(control->running.fd);
	control->running.fd = -1;
	if (machine->outcome != RUNNING)
		return;
	/* Where nobody waits for it any more, it is not wanted. */
	if (detach__done(control->dir, control->name))
		machine__stop(machine, STOPPED);
}

/* ---- from birth to death --------------------------------------------------------- */

static int serve(struct control *control)
{
	struct loop *loop = &control->machine->loop;

	control->listener.fd = listen_at(control->dir, control->name);
	if (control->listener.fd < 0 || loop__add(loop, &control->listener, EPOLLIN))
		return -1;
	if (!detach__is_due())
		return 0;
	control->running.fd = eventfd(1, EFD_CLOEXEC);
	return loop__add(loop, &control->running, EPOLLIN);
}

static void init(struct control *control, struct machine *machine)
{
	control->machine = machine;
	control->dir = -1;
	control->lock = -1;
	control->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	clock_gettime(CLOCK_MONOTONIC, &control->start);
	control->listener = (struct watch){ -1, listener_ready, control };
	control->running = (struct watch){ -1, running_ready, control };
	control->vm_statistics = -1;
	for (unsigned int i = 0; i < MAX_CPUS; i++)
		control->vcpu_statistics[i] = -1;
	for (unsigned int i = 0; i < MAX_CLIENTS; i++) {
		struct client *client = &control->clients[i];

		client->control = control;
		client->watch = (struct watch){ -1, client_ready, client };
		client->fd = -1;
	}
}

struct control *control__create(struct machine *machine, const char *name)
{
	struct control *control = calloc(1, sizeof(*control));

	if (!control) {
		complain("no memory is left for the control socket");
		return NULL;
	}
	init(control, machine);
	control->dir = rundir__open();
	if (control->dir >= 0)
		control->lock = rundir__take(control->dir, name, control->name);
	if (control->lock >= 0 && !serve(control))
		return control;
	control__destroy(control);
	return NULL;
}

static void unwatch(struct control *control, struct watch *watch)
{
	if (watch->fd < 0)
		return;
	loop__remove(&control->machine->loop, watch);
	close(watch->fd);
	watch->fd = -1;
}

static void close_statistics(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void control__close(struct control *control)
{
	for (unsigned int i = 0; i < MAX_CLIENTS; i++)
		client_drop(&control->clients[i]);
	unwatch(control, &control->running);
	unwatch(control, &control->listener);
	for (unsigned int i = 0; i < MAX_CPUS; i++)
		close_statistics(&control->vcpu_statistics[i]);
	close_statistics(&control->vm_statistics);
}

void control__destroy(struct control *control)
{
	if (!control)
		return;
	control__close(control);
	if (control->lock >= 0) {
		enum outcome outcome = control->machine->outcome;

		if (outcome != FAILED && outcome != CRASHED)
			detach__clean(control->dir, control->name);
		rundir__give_back(control->dir, control->name, control->lock);
	}
	if (control->dir >= 0)
		close(control->dir);
	close(control->spare);
	free(control);
}

void control__count(struct control *control)
{
	struct machine *machine = control->machine;

	control->vm_statistics = statistics__open(machine->vm);
	for (unsigned int i = 0; i < machine->nr_vcpus; i++)
		control->vcpu_statistics[i] = statistics__open(machine->vcpus[i].fd);
}

const char *control__name(const struct control *control)
{
	return control->name;
}
