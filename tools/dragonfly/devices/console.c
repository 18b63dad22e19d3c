// SPDX-License-Identifier: GPL-2.0-only
/*
 * The console. Output goes to a ring, and from there to each peer as it takes it;
 * one that is too slow misses what the ring has lost. Input of all peers is one
 * queue in front of the guest's port. While it is full only the terminal is read,
 * for the keys that are the tool's; what else is typed is lost.
 */
#include "devices/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "dragonfly.h"
#include "escape.h"
#include "machine/machine.h"

#define OUTPUT_SIZE 65536
#define INPUT_SIZE 16384
#define PIECE_SIZE 512 /* of input, at a time */
#define DRAIN_MS 1000 /* how long a peer may take nothing at the end */
#define DRAIN_S 10 /* and how long all may take */

/* Somebody who types (@in), looks on (@out), or both. */
struct peer {
	struct console *console;
	struct watch watch;
	uint32_t events; /* 0: not watched */
	bool in, out;
	bool polled; /* files and the like are always ready, and epoll does not take them */
	bool socket, terminal;
	uint64_t shown; /* of all output */
	struct peer *next;
};

struct console {
	struct machine *machine;
	struct peer *peers;
	const struct console_port *port;
	uint64_t written;
	char output[OUTPUT_SIZE]; /* the latest of it */
	char input[INPUT_SIZE];
	size_t waiting; /* of input */
	struct escape escape; /* of the terminal */
	int slave; /* the pty's, held open: without it the master would see a hang-up */
	struct watch listener;
	struct peer *client; /* of the listener */
	struct sockaddr_un address; /* the listener's, to be removed */
};

/* ---- the terminal of stdin ---- */

static struct termios original;
static volatile sig_atomic_t is_raw;

static void restore_terminal(void)
{
	if (is_raw)
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &original);
	is_raw = false;
}

/* The terminal is put back also by what kills the process. */
static void die(int signal)
{
	restore_terminal();
	raise(signal); /* by default now: SA_RESETHAND */
}

static void restore_at_death(void)
{
	static const int deadly[] = { SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGABRT,
				      SIGBUS, SIGFPE, SIGSEGV, SIGTERM };
	struct sigaction action = { .sa_handler = die, .sa_flags = SA_RESETHAND }, now;

	atexit(restore_terminal);
	for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
		if (!sigaction(deadly[i], NULL, &now) && now.sa_handler == SIG_DFL)
			sigaction(deadly[i], &action, NULL);
}

/* Every key is the guest's; but lines that the tool itself prints stay lines. */
static void make_raw(void)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &original))
		return;
	raw = original;
	cfmakeraw(&raw);
	raw.c_oflag = original.c_oflag;
	restore_at_death();
	is_raw = true;
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

/* ---- peers ---- */

static size_t input_room(const struct console *console)
{
	return sizeof(console->input) - console->waiting;
}

static bool may_read(const struct peer *peer)
{
	return peer->in && (peer->terminal || input_room(peer->console));
}

/*
 * One that looks on stays watched to learn of its hang-up. One that only types
 * is not: its hang-up must wait until there is room for what it typed before.
 */
static void update_events(struct peer *peer)
{
	struct loop *loop = &peer->console->machine->loop;
	uint32_t events = (may_read(peer) ? EPOLLIN : 0) |
			  (peer->out && peer->shown < peer->console->written ? EPOLLOUT : 0);

	if (events || peer->out)
		events |= EPOLLERR | EPOLLHUP;
	if (!peer->polled || events == peer->events)
		return;
	if (!events)
		loop__remove(loop, &peer->watch);
	else if (peer->events)
		loop__change(loop, &peer->watch, events);
	else if (loop__add(loop, &peer->watch, events))
		return;
	peer->events = events;
}

static void drop(struct peer *peer)
{
	struct console *console = peer->console;
	struct peer **at = &console->peers;

	while (*at != peer)
		at = &(*at)->next;
	*at = peer->next;
	if (peer->events)
		loop__remove(&console->machine->loop, &peer->watch);
	if (console->client == peer)
		console->client = NULL;
	if (peer->watch.fd != STDIN_FILENO)
		close(peer->watch.fd);
	free(peer);
}

static bool is_transient(int error)
{
	return error == EAGAIN || error == EINTR;
}

/* ---- output ---- */

static ssize_t put(const struct peer *peer, const char *text, size_t size)
{
	if (peer->socket)
		return send(peer->watch.fd, text, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	return write(peer->watch.fd, text, size);
}

/* As much as the peer takes; false if it is gone. */
static bool show(struct peer *peer)
{
	const struct console *console = peer->console;

	if (console->written - peer->shown > OUTPUT_SIZE)
		peer->shown = console->written - OUTPUT_SIZE;
	while (peer->shown < console->written) {
		size_t from = peer->shown % OUTPUT_SIZE, size = console->written - peer->shown;
		ssize_t done;

		if (size > OUTPUT_SIZE - from)
			size = OUTPUT_SIZE - from;
		done = put(peer, console->output + from, size);
		if (done < 0)
			return is_transient(errno);
		peer->shown += done;
	}
	return true;
}

/* Of what does not pass the end of the ring */
static void write_piece(struct console *console, const char *text, size_t size)
{
	struct peer *next;

	memcpy(console->output + console->written % OUTPUT_SIZE, text, size);
	console->written += size;
	for (struct peer *peer = console->peers; peer; peer = next) {
		next = peer->next;
		if (peer->out && !show(peer))
			drop(peer);
		else
			update_events(peer);
	}
}

void console__write(struct console *console, const char *text, size_t size)
{
	while (size) {
		size_t piece = OUTPUT_SIZE - console->written % OUTPUT_SIZE;

		if (piece > size)
			piece = size;
		write_piece(console, text, piece);
		text += piece;
		size -= piece;
	}
}

static time_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* At the end: who still reads gets the rest. */
static void drain(struct peer *peer, time_t end)
{
	struct pollfd ready = { .fd = peer->watch.fd, .events = POLLOUT };

	while (show(peer) && peer->shown < peer->console->written)
		if (poll(&ready, 1, DRAIN_MS) <= 0 || seconds() >= end)
			break;
}

/* ---- input ---- */

static void queue_input(struct console *console, const char *text, size_t size)
{
	size_t room = input_room(console);

	if (size > room)
		size = room;
	memcpy(console->input + console->waiting, text, size);
	console->waiting += size;
}

static void type_waiting(struct console *console)
{
	const struct console_port *port = console->port;
	size_t typed = port ? port->type(port->device, console->input, console->waiting) : 0;

	console->waiting -= typed;
	memmove(console->input, console->input + typed, console->waiting);
}

static void queue_keys(struct console *console, const char *keys, size_t size)
{
	char text[PIECE_SIZE + 1];

	queue_input(console, text, escape__filter(&console->escape, keys, size, text));
	if (console->escape.left)
		machine__stop(console->machine, STOPPED);
}

/* Once; how much there was, or -1 at the end of it. */
static ssize_t read_peer(struct peer *peer)
{
	struct console *console = peer->console;
	char text[PIECE_SIZE];
	size_t room = input_room(console);
	ssize_t size;

	if (!may_read(peer))
		return 0;
	size = read(peer->watch.fd, text,
		    peer->terminal || room > sizeof(text) ? sizeof(text) : room);
	if (size < 0 && is_transient(errno))
		return 0;
	if (size <= 0)
		return -1;
	if (peer->terminal)
		queue_keys(console, text, size);
	else
		queue_input(console, text, size);
	type_waiting(console);
	return size;
}

void console__more(struct console *console)
{
	struct peer *next;

	type_waiting(console);
	for (struct peer *peer = console->peers; peer; peer = next) {
		next = peer->next;
		if (peer->in && !peer->polled && read_peer(peer) < 0)
			drop(peer);
		else
			update_events(peer);
	}
}

void console__listen(struct console *console, const struct console_port *port)
{
	if (console->port == port)
		return;
	console->port = port;
	console__more(console);
}

void console__forget(struct console *console, const struct console_port *port)
{
	if (console && console->port == port)
		console->port = NULL;
}

static void peer_ready(void *context, uint32_t events)
{
	struct peer *peer = context;
	bool gone = peer->out && events & (EPOLLHUP | EPOLLERR);
	ssize_t size = peer->in && events & ~EPOLLOUT ? read_peer(peer) : 0;

	/* What it typed before it went still counts. */
	while (gone && size > 0)
		size = read_peer(peer);
	if (size < 0)
		peer->in = false;
	if (gone || !(peer->in || peer->out) || (peer->out && !show(peer)))
		drop(peer);
	else
		update_events(peer);
}

/* ---- ends on the host's side ---- */

/* On failure the descriptor is closed. */
static struct peer *add_peer(struct console *console, int fd, bool in, bool out)
{
	struct peer *peer = calloc(1, sizeof(*peer));
	struct stat stat = {};

	if (!peer) {
		complain("no memory for the console");
		close(fd);
		return NULL;
	}
	fstat(fd, &stat);
	peer->console = console;
	peer->watch = (struct watch){ .fd = fd, .ready = peer_ready, .context = peer };
	peer->in = in;
	peer->out = out;
	peer->socket = S_ISSOCK(stat.st_mode);
	peer->polled = peer->socket || S_ISFIFO(stat.st_mode) || isatty(fd);
	peer->next = console->peers;
	console->peers = peer;
	update_events(peer);
	if (peer->polled && !peer->events) {
		drop(peer);
		return NULL;
	}
	return peer;
}

static int add_client(struct console *console, int fd, struct peer **client)
{
	fcntl(fd, F_SETFL, O_NONBLOCK);
	*client = add_peer(console, fd, true, true);
	if (!*client)
		return -1;
	peer_ready(*client, EPOLLOUT);
	return 0;
}

int console__attach(struct console *console, int fd)
{
	struct peer *client;

	return add_client(console, fd, &client);
}

/*
 * The terminal or pipe is the shell's too, which would not like it non-blocking:
 * it is opened once more. A socket cannot be; it is told with each send.
 */
static int open_stdout(void)
{
	struct stat stat = {};
	int fd = -1;

	if (isatty(STDOUT_FILENO) || (!fstat(STDOUT_FILENO, &stat) && S_ISFIFO(stat.st_mode)))
		fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd >= 0 ? fd : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

static int open_stdio(struct console *console)
{
	bool terminal = isatty(STDIN_FILENO);
	int out = open_stdout();
	struct peer *in;

	/* Without the one or the other it does with the rest. */
	if (out >= 0 && !add_peer(console, out, false, true))
		return -1;
	if (fcntl(STDIN_FILENO, F_GETFD) < 0)
		return 0;
	if (terminal)
		make_raw();
	in = add_peer(console, STDIN_FILENO, true, false);
	if (!in)
		return -1;
	in->terminal = terminal;
	return 0;
}

static int open_pty(struct console *console)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	struct termios raw;
	char name[64];

	if (master < 0)
		return complain("no pty for the console: %s", strerror(errno));
	if (grantpt(master) || unlockpt(master) || ptsname_r(master, name, sizeof(name)))
		goto fail;
	console->slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (console->slave < 0 || tcgetattr(console->slave, &raw))
		goto fail;
	cfmakeraw(&raw);
	if (tcsetattr(console->slave, TCSANOW, &raw))
		goto fail;
	if (!add_peer(console, master, true, true))
		return -1;
	puts(name);
	fflush(stdout);
	return 0;
fail:
	complain("the console's pty does not open: %s", strerror(errno));
	close(master);
	return -1;
}

static void accept_client(void *context, uint32_t events)
{
	struct console *console = context;
	int fd = accept4(console->listener.fd, NULL, NULL, SOCK_CLOEXEC);

	(void)events;
	if (fd >= 0 && !console->client) {
		add_client(console, fd, &console->client);
	} else if (fd >= 0) {
		close(fd);
	} else if (!is_transient(errno) && errno != ECONNABORTED) {
		/* It would be ready, and fail, for ever. */
		complain("the console takes no more clients: %s", strerror(errno));
		loop__remove(&console->machine->loop, &console->listener);
	}
}

/* Somebody's who listens is left alone; one that a dead VM left is in the way. */
static bool is_stale(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat stat;
	bool stale = !lstat(address->sun_path, &stat) && S_ISSOCK(stat.st_mode) &&
		     connect(fd, (const struct sockaddr *)address, sizeof(*address)) &&
		     errno == ECONNREFUSED;

	close(fd);
	return stale;
}

static int listen_at(int fd, const struct sockaddr_un *address)
{
	const struct sockaddr *name = (const struct sockaddr *)address;
	int bad = bind(fd, name, sizeof(*address));

	if (bad && errno == EADDRINUSE) {
		if (is_stale(address) && !unlink(address->sun_path))
			bad = bind(fd, name, sizeof(*address));
		else
			errno = EADDRINUSE;
	}
	return bad ? bad : listen(fd, 1);
}

static int open_socket(struct console *console, const char *path)
{
	struct sockaddr_un *address = &console->address;
	int fd;

	if (!*path || strlen(path) >= sizeof(address->sun_path))
		return complain("the console's socket needs a path of 1 to %zu characters",
				sizeof(address->sun_path) - 1);
	address->sun_family = AF_UNIX;
	strcpy(address->sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* What is bound has the mode of the socket. */
	if (fd < 0 || fchmod(fd, 0600) || listen_at(fd, address)) {
		complain("no console at %s: %s", path,
			 errno == EADDRINUSE ? "somebody is there; choose another path" :
					       strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	console->listener = (struct watch){ fd, accept_client, console };
	return loop__add(&console->machine->loop, &console->listener, EPOLLIN);
}

static int open_end(struct console *console, const char *where)
{
	static const char prefix[] = "socket=";

	if (!strcmp(where, "none"))
		return 0;
	if (!strcmp(where, "stdio"))
		return open_stdio(console);
	if (!strcmp(where, "pty"))
		return open_pty(console);
	if (!strncmp(where, prefix, strlen(prefix)))
		return open_socket(console, where + strlen(prefix));
	return complain("there is no console '%s': it is stdio, pty, socket=PATH or none", where);
}

struct console *console__create(struct machine *machine, const char *where)
{
	struct console *console = calloc(1, sizeof(*console));

	if (!console) {
		complain("no memory for the console");
		return NULL;
	}
	console->machine = machine;
	console->slave = -1;
	console->listener.fd = -1;
	if (open_end(console, where)) {
		console__destroy(console);
		return NULL;
	}
	return console;
}

void console__destroy(struct console *console)
{
	time_t end = seconds() + DRAIN_S;

	if (!console)
		return;
	if (console->listener.fd >= 0) {
		loop__remove(&console->machine->loop, &console->listener);
		close(console->listener.fd);
		unlink(console->address.sun_path);
	}
	while (console->peers) {
		/* Who has the pty open loses what it has not read anyway. */
		if (console->peers->out && console->slave < 0)
			drain(console->peers, end);
		drop(console->peers);
	}
	restore_terminal();
	if (console->slave >= 0)
		close(console->slave);
	free(console);
}
