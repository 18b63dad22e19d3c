// SPDX-License-Identifier: GPL-2.0-only
/*
 * The console: who sees the output, whose input comes to the guest, and what is
 * left of the terminal and of the file system.
 */
#include "board.h"

#include <fcntl.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "devices/console.h"

#define KEPT 65536

/* The guest's port: what came, and how much of it may come still. */
static char typed[256];
static size_t nr_typed, room;

static size_t type(void *device, const char *text, size_t size)
{
	size_t taken = size < room ? size : room;

	(void)device;
	if (taken > sizeof(typed) - nr_typed - 1)
		taken = sizeof(typed) - nr_typed - 1;
	memcpy(typed + nr_typed, text, taken);
	nr_typed += taken;
	room -= taken;
	return taken;
}

static const struct console_port port = { .type = type };

FIXTURE(console)
{
	struct console *console;
	char path[64];
};

FIXTURE_SETUP(console)
{
	board_setup();
	signal(SIGPIPE, SIG_IGN); /* as in the tool: signals__open() */
	memset(typed, 0, sizeof(typed));
	nr_typed = 0;
	room = sizeof(typed);
	snprintf(self->path, sizeof(self->path), "/tmp/console-%d", getpid());
	self->console = console__create(&machine, "none");
	ASSERT_NE(NULL, self->console);
}

FIXTURE_TEARDOWN(console)
{
	console__destroy(self->console);
	board_teardown();
	unlink(self->path);
}

/* The loop, as long as something is ready. */
static void turn(void)
{
	struct epoll_event event;

	for (unsigned int i = 0; i < 1000; i++) {
		const struct watch *watch;

		if (epoll_wait(machine.loop.epoll, &event, 1, 0) != 1)
			return;
		watch = event.data.ptr;
		watch->ready(watch->context, event.events);
	}
}

/* Ends the fixture's console and starts another. */
static void restart(struct console **console, const char *where)
{
	console__destroy(*console);
	*console = console__create(&machine, where);
}

static void say(struct console *console, const char *text)
{
	console__write(console, text, strlen(text));
}

/* What can be read from a descriptor without waiting. */
static size_t take(int fd, char *text, size_t size)
{
	size_t done = 0;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (done < size) {
		ssize_t more = read(fd, text + done, size - done);

		if (more <= 0)
			break;
		done += more;
	}
	return done;
}

#define EXPECT_READS(expected, fd)                                           \
	do {                                                                 \
		char text_[256] = "";                                        \
		EXPECT_EQ(strlen(expected), take(fd, text_, sizeof(text_))); \
		EXPECT_STREQ(expected, text_);                               \
	} while (0)

static int attach(struct console *console)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || console__attach(console, pair[1]))
		return -1;
	return pair[0];
}

static int client_of(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(address.sun_path, path);
	if (!connect(fd, (const struct sockaddr *)&address, sizeof(address)))
		return fd;
	close(fd);
	return -1;
}

/* ---- output ------------------------------------------------------------------------ */

TEST_F(console, all_who_look_on_see_it)
{
	int first = attach(self->console), second = attach(self->console);

	say(self->console, "hello");
	EXPECT_READS("hello", first);
	EXPECT_READS("hello", second);
	close(first);
	turn();
	say(self->console, "again");
	EXPECT_READS("again", second);
	close(second);
	say(self->console, "nobody");
}

TEST_F(console, who_comes_later_sees_the_latest_64_kib)
{
	static char text[2 * KEPT], back[2 * KEPT];
	size_t size = 0;
	int fd;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i * 7 / 13;
	for (size_t i = 0; i + 77 <= sizeof(text); i += 77)
		console__write(self->console, text + i, 77);
	fd = attach(self->console);
	for (size_t more = 1; more; size += more, turn())
		more = take(fd, back + size, sizeof(back) - size);
	EXPECT_EQ(KEPT, size);
	EXPECT_EQ(0, memcmp(text + sizeof(text) / 77 * 77 - KEPT, back, KEPT));
	close(fd);
}

TEST_F(console, who_does_not_read_keeps_nobody_waiting)
{
	static char text[8 * KEPT], back[8 * KEPT];
	int slow = attach(self->console), fast = attach(self->console);
	size_t size = 0;

	memset(text, 'x', sizeof(text));
	console__write(self->console, text, sizeof(text));
	say(self->console, "end");
	for (size_t more = 1; more; size += more, turn())
		more = take(slow, back + size, sizeof(back) - size);
	EXPECT_LE(KEPT, size);
	EXPECT_GT(sizeof(text), size);
	EXPECT_EQ(0, memcmp("end", back + size - 3, 3));
	close(slow);
	close(fast);
}

/* ---- input ------------------------------------------------------------------------- */

TEST_F(console, input_waits_for_a_port_and_for_room_in_it)
{
	int fd = attach(self->console);

	ASSERT_EQ(5, write(fd, "abcde", 5));
	turn();
	room = 2;
	console__listen(self->console, &port);
	EXPECT_STREQ("ab", typed);
	room = 2;
	console__more(self->console);
	EXPECT_STREQ("abcd", typed);
	console__forget(self->console, &port);
	room = 9;
	console__more(self->console);
	EXPECT_STREQ("abcd", typed);
	console__listen(self->console, &port);
	EXPECT_STREQ("abcde", typed);
	close(fd);
}

TEST_F(console, who_types_more_than_there_is_room_for_is_not_read)
{
	static char text[4 * KEPT];
	int fd = attach(self->console);
	size_t before, after;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	before = write(fd, text, sizeof(text));
	turn();
	after = write(fd, text, sizeof(text));
	ASSERT_LT(0, (ssize_t)before);
	/* What went away is what the console keeps, no more. */
	EXPECT_GE(32768, (ssize_t)after);
	close(fd);
	turn();
}

TEST_F(console, what_was_typed_before_a_hang_up_counts)
{
	int fd = attach(self->console);

	console__listen(self->console, &port);
	ASSERT_EQ(9, write(fd, "poweroff\n", 9));
	close(fd);
	turn();
	EXPECT_STREQ("poweroff\n", typed);
}

TEST_F(console, who_has_no_more_to_type_still_sees)
{
	int fd = attach(self->console);

	shutdown(fd, SHUT_WR);
	turn();
	say(self->console, "hello");
	EXPECT_READS("hello", fd);
	close(fd);
}

/* ---- stdio ------------------------------------------------------------------------- */

/* Puts a new terminal in the place of stdin, a pipe in that of stdout. */
static void make_stdio(int *keyboard, int *screen)
{
	int slave, ends[2];

	if (openpty(keyboard, &slave, NULL, NULL, NULL) || pipe(ends))
		return;
	dup2(slave, STDIN_FILENO);
	dup2(ends[1], STDOUT_FILENO);
	close(slave);
	close(ends[1]);
	*screen = ends[0];
}

static bool is_raw(void)
{
	struct termios now;

	return !tcgetattr(STDIN_FILENO, &now) && !(now.c_lflag & (ICANON | ECHO | ISIG));
}

/* What is pressed comes when the kernel gets round to it. */
static void press(int keyboard, const char *keys)
{
	int there = 0, size = strlen(keys);

	if (write(keyboard, keys, size) != size)
		return;
	while (there < size && !ioctl(STDIN_FILENO, FIONREAD, &there))
		sched_yield();
	turn();
}

TEST_F(console, a_terminals_keys_are_the_guests_but_ctrl_a_x)
{
	int keyboard = -1, screen = -1;

	make_stdio(&keyboard, &screen);
	restart(&self->console, "stdio");
	ASSERT_NE(NULL, self->console);
	console__listen(self->console, &port);
	EXPECT_TRUE(is_raw());
	press(keyboard, "ls\r\3\4\32\1\1x\1");
	EXPECT_STREQ("ls\r\3\4\32\1x", typed);
	press(keyboard, "ea\1");
	EXPECT_STREQ("ls\r\3\4\32\1x\1ea", typed);
	EXPECT_EQ(RUNNING, machine.outcome);
	press(keyboard, "xb");
	EXPECT_STREQ("ls\r\3\4\32\1x\1ea", typed);
	EXPECT_EQ(STOPPED, machine.outcome);
	say(self->console, "hello\r\n");
	EXPECT_READS("hello\r\n", screen);
	restart(&self->console, "none");
	EXPECT_FALSE(is_raw());
}

/* A guest that hangs reads nothing; who sits in front of it must get out. */
TEST_F(console, ctrl_a_x_leaves_also_when_nothing_is_read)
{
	int keyboard = -1, screen = -1;
	char line[1000];

	make_stdio(&keyboard, &screen);
	restart(&self->console, "stdio");
	ASSERT_NE(NULL, self->console);
	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	for (unsigned int i = 0; i < 100; i++)
		press(keyboard, line);
	EXPECT_EQ(RUNNING, machine.outcome);
	press(keyboard, "\1x");
	EXPECT_EQ(STOPPED, machine.outcome);
}

TEST_F(console, a_full_pipe_behind_stdout_keeps_nobody_waiting)
{
	static char text[8 * KEPT];
	int keyboard = -1, screen = -1;

	make_stdio(&keyboard, &screen);
	restart(&self->console, "stdio");
	ASSERT_NE(NULL, self->console);
	console__write(self->console, text, sizeof(text));
	/* And the pipe is as it was to those who share it. */
	EXPECT_EQ(0, fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK);
	close(screen);
	say(self->console, "nobody reads");
	EXPECT_EQ(RUNNING, machine.outcome);
}

TEST_F(console, what_is_no_terminal_is_bytes_and_its_end_is_not_the_vms)
{
	int ends[2];

	ASSERT_EQ(0, pipe(ends));
	dup2(ends[0], STDIN_FILENO);
	restart(&self->console, "stdio");
	ASSERT_NE(NULL, self->console);
	console__listen(self->console, &port);
	ASSERT_EQ(3, write(ends[1], "\1xy", 3));
	close(ends[1]);
	turn();
	EXPECT_STREQ("\1xy", typed);
	EXPECT_EQ(RUNNING, machine.outcome);
}

TEST_F(console, a_file_is_typed_when_the_guest_has_room)
{
	int fd = open(self->path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	ASSERT_EQ(6, write(fd, "abcdef", 6));
	lseek(fd, 0, SEEK_SET);
	dup2(fd, STDIN_FILENO);
	close(fd);
	restart(&self->console, "stdio");
	ASSERT_NE(NULL, self->console);
	room = 4;
	console__listen(self->console, &port);
	EXPECT_STREQ("abcd", typed);
	room = 4;
	console__more(self->console);
	console__more(self->console);
	EXPECT_STREQ("abcdef", typed);
	EXPECT_EQ(RUNNING, machine.outcome);
}

TEST_F(console, the_terminal_is_restored_by_what_kills_the_tool)
{
	static const int signals[] = { SIGTERM, SIGHUP, SIGQUIT, SIGSEGV, SIGABRT };
	int keyboard = -1, screen = -1;

	make_stdio(&keyboard, &screen);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		int status = 0;
		pid_t pid = fork();

		if (!pid) {
			/* Under nohup it would be ignored, and left alone. */
			signal(signals[i], SIG_DFL);
			board_setup();
			console__create(&machine, "stdio");
			if (!is_raw())
				_exit(1);
			raise(signals[i]);
			_exit(2);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
		EXPECT_EQ(signals[i], WTERMSIG(status));
		EXPECT_FALSE(is_raw());
	}
}

/* ---- a socket and a pty ------------------------------------------------------------ */

TEST_F(console, a_socket_is_its_owners_and_takes_one_at_a_time)
{
	char where[80], byte;
	struct stat stat = {};
	int first, second;

	snprintf(where, sizeof(where), "socket=%s", self->path);
	restart(&self->console, where);
	ASSERT_NE(NULL, self->console) TH_LOG("%s", why);
	console__listen(self->console, &port);
	EXPECT_EQ(0, lstat(self->path, &stat));
	EXPECT_EQ(S_IFSOCK | 0600, stat.st_mode);
	say(self->console, "before");
	first = client_of(self->path);
	turn();
	EXPECT_READS("before", first);
	second = client_of(self->path);
	turn();
	EXPECT_EQ(0, read(second, &byte, 1));
	ASSERT_EQ(2, write(first, "ab", 2));
	turn();
	EXPECT_STREQ("ab", typed);
	close(first);
	turn();
	close(second);
	second = client_of(self->path);
	turn();
	EXPECT_READS("before", second);
	restart(&self->console, "none");
	EXPECT_EQ(-1, lstat(self->path, &stat));
}

TEST_F(console, a_socket_replaces_only_what_the_dead_left)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct console *other;
	char where[80];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(address.sun_path, self->path);
	snprintf(where, sizeof(where), "socket=%s", self->path);
	ASSERT_EQ(0, bind(fd, (const struct sockaddr *)&address, sizeof(address)));
	ASSERT_EQ(0, listen(fd, 1));
	EXPECT_EQ(NULL, console__create(&machine, where));
	EXPECT_SAYS("choose another path");
	close(fd);
	other = console__create(&machine, where);
	ASSERT_NE(NULL, other) TH_LOG("%s", why);
	EXPECT_EQ(NULL, console__create(&machine, where));
	turn();
	/* The one that was refused has not taken the other's away. */
	EXPECT_EQ(0, access(self->path, F_OK));
	console__destroy(other);

	fd = open(self->path, O_WRONLY | O_CREAT, 0600);
	ASSERT_LE(0, fd);
	EXPECT_EQ(NULL, console__create(&machine, where));
	EXPECT_EQ(0, access(self->path, F_OK));
	close(fd);
}

TEST_F(console, a_pty_is_named_on_stdout)
{
	int keyboard = -1, screen = -1, terminal;
	char name[64] = "";

	make_stdio(&keyboard, &screen);
	restart(&self->console, "pty");
	ASSERT_NE(NULL, self->console) TH_LOG("%s", why);
	console__listen(self->console, &port);
	ASSERT_LT(0, take(screen, name, sizeof(name) - 1));
	name[strcspn(name, "\n")] = '\0';
	say(self->console, "hello\n");
	terminal = open(name, O_RDWR | O_NOCTTY);
	ASSERT_LE(0, terminal) TH_LOG("%s", name);
	EXPECT_READS("hello\n", terminal);
	ASSERT_EQ(3, write(terminal, "ab\r", 3));
	while (nr_typed < 3)
		turn();
	EXPECT_STREQ("ab\r", typed);
	close(terminal);
	turn();
	say(self->console, "nobody");
}

TEST_F(console, what_is_no_console_is_refused)
{
	static const char *const bad[] = { "",	     "tty",	"stdio ",
					   "socket", "socket=", "socket=/nowhere/to/be/found" };
	char longest[256];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		why[0] = '\0';
		EXPECT_EQ(NULL, console__create(&machine, bad[i])) TH_LOG("%s", bad[i]);
		EXPECT_NE('\0', why[0]) TH_LOG("%s", bad[i]);
	}
	memset(longest, 'x', sizeof(longest) - 1);
	memcpy(longest, "socket=/", 8);
	longest[sizeof(longest) - 1] = '\0';
	EXPECT_EQ(NULL, console__create(&machine, longest));
}

TEST_HARNESS_MAIN
