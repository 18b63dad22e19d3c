// SPDX-License-Identifier: GPL-2.0-only
/*
 * The first process of the test host.
 *
 * Mounts what every Linux program expects, loads the modules that the run
 * asked for, runs the command with its output on the frame channel, unloads
 * the modules again to see that nobody holds them, and says how it went.
 *
 * /testhost/argv	the command, NUL-terminated words; empty: a shell
 * /testhost/terminal	if it is there: the command has ttyS1 as its terminal
 * /testhost/modules	a line a module: its path, then its parameters
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "../frame.h"

#define MAX_MODULES 32
#define MAX_WORDS 1024
#define STATUS_UNKNOWN 255

struct module {
	char *path;
	char *args;
	char name[64];
};

static struct module modules[MAX_MODULES];
static int nr_modules;

static void frame(enum frame_type type, const void *data, size_t size)
{
	const uint8_t *byte = data;

	do {
		size_t part = size < FRAME_MAX ? size : FRAME_MAX;

		outb(type, FRAME_PORT);
		outb(part & 0xff, FRAME_PORT);
		outb(part >> 8, FRAME_PORT);
		outsb(FRAME_PORT, byte, part);
		byte += part;
		size -= part;
	} while (size);
}

static void __attribute__((format(printf, 1, 2))) failure(const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	frame(FRAME_FAILURE, text, len < (int)sizeof(text) ? (size_t)len : sizeof(text) - 1);
}

/* Switches the host off from outside; the pause is for an emulator that lingers. */
static void __attribute__((noreturn)) end_of_run(uint8_t status)
{
	frame(FRAME_STATUS, &status, 1);
	frame(FRAME_END, "", 0);
	for (;;)
		pause();
}

static void mount_filesystems(void)
{
	static const struct {
		const char *type, *where, *data;
		unsigned long flags;
		bool optional;
	} mounts[] = {
		{ "devtmpfs", "/dev", "mode=0755", MS_NOSUID, false },
		{ "proc", "/proc", NULL, MS_NOSUID | MS_NODEV, false },
		{ "sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV, false },
		{ "debugfs", "/sys/kernel/debug", NULL, 0, true },
		{ "tracefs", "/sys/kernel/tracing", NULL, 0, true },
		{ "configfs", "/sys/kernel/config", NULL, 0, true },
		{ "cgroup2", "/sys/fs/cgroup", NULL, 0, true },
		{ "devpts", "/dev/pts", "ptmxmode=0666", 0, false },
		{ "tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV, false },
		{ "tmpfs", "/run", "mode=0755", MS_NOSUID | MS_NODEV, false },
		{ "tmpfs", "/tmp", "mode=1777", MS_NOSUID | MS_NODEV, false },
		{ "hugetlbfs", "/dev/hugepages", NULL, 0, true },
	};

	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		mkdir(mounts[i].where, 0755);
		if (mount(mounts[i].type, mounts[i].where, mounts[i].type, mounts[i].flags,
			  mounts[i].data) &&
		    !mounts[i].optional)
			failure("the host cannot mount %s: %s", mounts[i].where, strerror(errno));
	}
	if (symlink("/proc/self/fd", "/dev/fd") || symlink("/proc/self/fd/0", "/dev/stdin") ||
	    symlink("/proc/self/fd/1", "/dev/stdout") || symlink("/proc/self/fd/2", "/dev/stderr"))
		failure("the host cannot name its standard files: %s", strerror(errno));
}

/* The whole of a small file, NUL-terminated; NULL if it cannot be had. */
static char *read_file(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *data;
	ssize_t got;

	if (fd < 0)
		return NULL;
	data = fstat(fd, &st) ? NULL : malloc(st.st_size + 1);
	if (!data) {
		close(fd);
		return NULL;
	}
	got = read(fd, data, st.st_size);
	close(fd);
	*size = got < 0 ? 0 : got;
	data[*size] = '\0';
	return data;
}

/* The name under which the kernel knows a module file. */
static void module_name(char *name, size_t size, const char *path)
{
	const char *base = strrchr(path, '/');
	char *dot;

	snprintf(name, size, "%s", base ? base + 1 : path);
	dot = strstr(name, ".ko");
	if (dot)
		*dot = '\0';
	for (char *c = name; *c; c++)
		if (*c == '-')
			*c = '_';
}

static int load_modules(void)
{
	size_t size;
	char *line = read_file("/testhost/modules", &size);
	char *next;

	for (; line && *line; line = next) {
		struct module *m = &modules[nr_modules];
		int fd, err;

		next = strchrnul(line, '\n');
		if (*next)
			*next++ = '\0';
		if (nr_modules == MAX_MODULES) {
			failure("more than %d modules to load", MAX_MODULES);
			return -1;
		}
		m->path = line;
		m->args = strchrnul(line, ' ');
		if (*m->args)
			*m->args++ = '\0';
		module_name(m->name, sizeof(m->name), m->path);

		fd = open(m->path, O_RDONLY | O_CLOEXEC);
		err = fd < 0 ? -1 : (int)syscall(SYS_finit_module, fd, m->args, 0);
		if (err) {
			failure("the host cannot load module %s: %s", m->name, strerror(errno));
			return -1;
		}
		close(fd);
		nr_modules++;
	}
	return 0;
}

/*
 * A module that does not go within a second has a reference that nobody will
 * drop any more: a file can be held by a process that is being reaped, so the
 * first refusal alone says little.
 */
static void unload_modules(void)
{
	while (nr_modules--) {
		struct module *m = &modules[nr_modules];
		int tries = 20, err;

		do {
			err = (int)syscall(SYS_delete_module, m->name, O_NONBLOCK);
			if (!err || errno == ENOENT)
				break;
			usleep(50000);
		} while (--tries);
		if (err && errno != ENOENT)
			failure("a reference to module %s was leaked: %s", m->name,
				strerror(errno));
	}
}

/*
 * Asks kmemleak, where the kernel has it, what the run left behind.  The first
 * scan finds the suspects, a second one confirms those that aged meanwhile.
 */
static void check_leaks(void)
{
	static const char path[] = "/sys/kernel/debug/kmemleak";
	char report[2048];
	int fd = open(path, O_RDWR | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return;
	for (int i = 0; i < 2; i++) {
		sleep(6);
		if (write(fd, "scan", 4) != 4)
			break;
	}
	got = read(fd, report, sizeof(report) - 1);
	close(fd);
	if (got > 0) {
		report[got] = '\0';
		failure("the kernel leaked memory:\n%s", report);
	}
}

static char **command_words(void)
{
	static char *words[MAX_WORDS + 1];
	size_t size = 0;
	char *text = read_file("/testhost/argv", &size);
	int n = 0;

	for (char *word = text; word && word < text + size; word += strlen(word) + 1) {
		if (n == MAX_WORDS) {
			failure("the command has more than %d words", MAX_WORDS);
			return NULL;
		}
		words[n++] = word;
	}
	return words;
}

static void run_child(char *const *words, int out, int err)
{
	static char *const shell[] = { "sh", "-l", NULL };
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	/* A task that may use a port is more work for the kernel, after each guest too. */
	ioperm(FRAME_PORT, 1, 0);
	if (!words[0])
		words = shell;
	if (access("/testhost/terminal", F_OK)) {
		dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
	} else {
		int tty = open("/dev/ttyS1", O_RDWR);

		ioctl(tty, TIOCSCTTY, 0);
		dup2(tty, STDIN_FILENO);
		out = tty;
		err = tty;
	}
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	execvp(words[0], words);
	dprintf(STDERR_FILENO, "%s: %s\n", words[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

/* Passes on what is there to read; false at the end of the stream. */
static bool relay(int fd, enum frame_type type)
{
	char data[FRAME_MAX];
	ssize_t got;

	while ((got = read(fd, data, sizeof(data))) > 0)
		frame(type, data, got);
	return got < 0 && (errno == EAGAIN || errno == EINTR);
}

/* A record of /dev/kmsg is "level,sequence,microseconds,flags;text\n key=value..." */
static void relay_kernel_log(int fd)
{
	char record[8192], line[FRAME_MAX];
	ssize_t got;

	while ((got = read(fd, record, sizeof(record) - 1)) > 0 || (got < 0 && errno == EPIPE)) {
		unsigned long long usec = 0;
		char *text, *end;
		int len;

		if (got < 0)
			continue; /* overrun: the next read goes on with what is left */
		record[got] = '\0';
		text = strchr(record, ';');
		if (!text || sscanf(record, "%*u,%*u,%llu", &usec) != 1)
			continue;
		end = strchrnul(text, '\n');
		*end = '\0';
		len = snprintf(line, sizeof(line), "[%5llu.%06llu] %s\n", usec / 1000000,
			       usec % 1000000, text + 1);
		frame(FRAME_KERNEL, line, len < (int)sizeof(line) ? (size_t)len : sizeof(line) - 1);
	}
}

/* Reaps everything, as the first process must; true when @child was among it. */
static bool reap(pid_t child, uint8_t *status)
{
	bool seen = false;
	int st;
	pid_t pid;

	while ((pid = waitpid(-1, &st, WNOHANG)) > 0) {
		if (pid != child)
			continue;
		seen = true;
		*status = WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st);
	}
	return seen;
}

static uint8_t run_command(char **words, int kmsg)
{
	enum { OUT, ERR, KMSG, CHILD, NR };
	uint8_t status = STATUS_UNKNOWN;
	struct pollfd fds[NR];
	int out[2], err[2];
	bool done = false;
	sigset_t chld;
	pid_t child;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC)) {
		failure("the host cannot make a pipe: %s", strerror(errno));
		return STATUS_UNKNOWN;
	}
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	fcntl(err[0], F_SETFL, O_NONBLOCK);

	child = fork();
	if (child < 0) {
		failure("the host cannot fork: %s", strerror(errno));
		return STATUS_UNKNOWN;
	}
	if (!child)
		run_child(words, out[1], err[1]);
	close(out[1]);
	close(err[1]);

	fds[OUT] = (struct pollfd){ out[0], POLLIN, 0 };
	fds[ERR] = (struct pollfd){ err[0], POLLIN, 0 };
	fds[KMSG] = (struct pollfd){ kmsg, POLLIN, 0 };
	fds[CHILD] = (struct pollfd){ signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK), POLLIN, 0 };

	while (!done) {
		if (poll(fds, NR, -1) < 0 && errno != EINTR)
			break;
		if (fds[CHILD].revents) {
			struct signalfd_siginfo info;

			while (read(fds[CHILD].fd, &info, sizeof(info)) > 0)
				;
			done = reap(child, &status);
		}
		/* After the command's end: what it wrote, but no waiting for its heirs. */
		if (!relay(out[0], FRAME_STDOUT))
			fds[OUT].fd = -1;
		if (!relay(err[0], FRAME_STDERR))
			fds[ERR].fd = -1;
		relay_kernel_log(kmsg);
	}
	return status;
}

int main(void)
{
	uint8_t status = STATUS_UNKNOWN;
	char **words;
	int kmsg;

	if (ioperm(FRAME_PORT, 1, 1))
		return 1;
	outsb(FRAME_PORT, FRAME_HELLO, strlen(FRAME_HELLO));

	mount_filesystems();
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", 1);
	setenv("HOME", "/root", 1);
	setenv("TERM", "vt100", 0);
	setenv("LANG", "C.UTF-8", 1);
	if (chdir("/root") || sethostname("testhost", 8))
		failure("the host cannot set itself up: %s", strerror(errno));

	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	words = command_words();
	if (words && !load_modules()) {
		relay_kernel_log(kmsg);
		status = run_command(words, kmsg);
	}
	kill(-1, SIGKILL); /* what the command left running */
	unload_modules();
	check_leaks();
	relay_kernel_log(kmsg);
	end_of_run(status);
}
