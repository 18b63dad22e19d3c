// SPDX-License-Identifier: GPL-2.0-only
/*
 * supervise - run an emulator with a test host in it, and judge the run
 *
 *   supervise [-t SECONDS] [-l LOG] [-e TEXT] [-i] CONSOLE -- EMULATOR [ARG]...
 *
 * CONSOLE is a FIFO that the emulator writes the host's serial console to.
 * The emulator's standard output carries the agent's frames (frame.h).  The
 * command's output goes to our standard output and error as it comes, the
 * host's kernel log and console go to LOG.  With -e, the host is to say TEXT:
 * this is no fault then, whatever it looks like, and the run may end with it.
 * With -i, the word @PTY@ in the emulator's arguments becomes a pseudo-terminal
 * that is joined to ours.
 *
 * Exit status: the command's own if the run was good; 124 if it took longer
 * than SECONDS; 125 if the host failed (panic, oops, a report of lockdep or
 * KASAN, a leak, a dead emulator), with the report on standard error; 128 + N
 * when signal N ended us.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "frame.h"

#define STATUS_USAGE 2
#define STATUS_TIMEOUT 124
#define STATUS_FAILED 125
#define REPORT_LINES 150 /* of the console, from a report's first line on */
#define LINGER_MS 2000 /* how long a dying kernel may go on talking */
#define ESCAPE_KEY 0x1d /* Ctrl-], as in telnet */

/*
 * The first line of every report that makes a run fail.  Looked for on the
 * console, which a dying kernel still writes to, and in the kernel log, which
 * has what the console's log level keeps back.
 */
static const char *const report_marks[] = {
	"Kernel panic - not syncing",
	"BUG: ", /* oops, KASAN, sleeping in atomic, list corruption, ... */
	"Oops: ",
	"WARNING: ", /* WARN() and every kind of lockdep report */
	"kernel BUG at ",
	"general protection fault",
	"double fault",
	"INFO: task ", /* hung task */
	"INFO: trying to register non-static key",
	"self-detected stall on CPU",
	"detected stalls on CPUs/tasks",
	"Bad page state in process",
	"unchecked MSR access error",
	"refcount_t: ",
	"ODEBUG: ",
};

/*
 * Reports that stock host kernels make of themselves and that say nothing of
 * the run.  Each as narrow as it can be, with its reason.
 */
static const char *const known_reports[] = {
	/*
	 * 6.12's own ITS mitigation makes a page of thunks writable that is
	 * already executable, when it patches the second branch of a module:
	 * a WARN_ON_ONCE() on every CPU that the mitigation is for.
	 */
	" __change_page_attr_set_clr+",
};

struct line {
	char text[1024];
	size_t len;
};

static struct {
	FILE *log;
	const char *expected; /* what the host has to say; NULL if nothing */
	bool as_expected; /* it has */
	bool dying; /* the kernel said that it panicked */
	bool failed; /* for whatever reason but the command's status */
	bool ended; /* FRAME_END was seen */
	int status; /* of the command; -1 before it is known */
} run = { .status = -1 };

#define contains_any(line, list) contains_one_of(line, list, sizeof(list) / sizeof((list)[0]))

static bool contains_one_of(const char *line, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strstr(line, list[i]))
			return true;
	return false;
}

static bool marks_report(const char *line)
{
	return contains_any(line, report_marks) && !contains_any(line, known_reports);
}

static void write_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size) {
		ssize_t done = write(fd, at, size);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0 && errno == EAGAIN) {
			poll(&(struct pollfd){ fd, POLLOUT, 0 }, 1, -1);
			continue;
		}
		if (done <= 0)
			return;
		at += done;
		size -= done;
	}
}

static struct report {
	int left; /* lines of it still to be shown */
	bool seen; /* the first line of one was there */
} console_report, kernel_report;

/* The same report comes on both ways: it is shown from the one that had it first. */
static void judge_line(struct report *report, const char *text)
{
	bool other = report == &console_report ? kernel_report.seen : console_report.seen;

	if (run.expected && strstr(text, run.expected)) {
		run.as_expected = true;
		return;
	}
	if (!report->left && marks_report(text)) {
		if (!run.failed && !other)
			fprintf(stderr, "testhost: the host kernel reported a fault:\n");
		report->left = other ? 0 : REPORT_LINES;
		report->seen = true;
		run.failed = true;
	}
	if (report->left) {
		fprintf(stderr, "%s\n", text);
		report->left--;
	}
}

static void judge_console_line(const char *text)
{
	if (run.log)
		fprintf(run.log, "%s\n", text);
	judge_line(&console_report, text);
	if (strstr(text, "end Kernel panic"))
		run.dying = true;
}

static void judge_kernel_line(const uint8_t *data, size_t size)
{
	char text[FRAME_MAX + 1];

	if (run.log)
		fwrite(data, 1, size, run.log);
	memcpy(text, data, size);
	text[size] = '\0';
	text[strcspn(text, "\n")] = '\0';
	judge_line(&kernel_report, text);
}

static void console_bytes(const char *data, size_t size)
{
	static struct line line;

	for (size_t i = 0; i < size; i++) {
		if (data[i] == '\n' || line.len == sizeof(line.text) - 1) {
			line.text[line.len] = '\0';
			judge_console_line(line.text);
			line.len = 0;
		} else if (data[i] != '\r' && data[i]) {
			line.text[line.len++] = data[i];
		}
	}
}

static void take_frame(enum frame_type type, const uint8_t *data, size_t size)
{
	switch (type) {
	case FRAME_STDOUT:
		write_all(STDOUT_FILENO, data, size);
		break;
	case FRAME_STDERR:
		write_all(STDERR_FILENO, data, size);
		break;
	case FRAME_KERNEL:
		judge_kernel_line(data, size);
		break;
	case FRAME_FAILURE:
		fprintf(stderr, "testhost: %.*s\n", (int)size, (const char *)data);
		run.failed = true;
		break;
	case FRAME_STATUS:
		if (size)
			run.status = data[0];
		break;
	case FRAME_END:
		run.ended = true;
		break;
	}
}

/*
 * How much of FRAME_HELLO the last bytes are. A kernel that the host starts (by
 * kexec) has an agent of its own, which greets in the middle of whatever the
 * one before was about to say.
 */
static size_t greeting(uint8_t byte)
{
	static const char hello[] = FRAME_HELLO;
	static size_t same;

	if (same == sizeof(hello) - 1)
		same = 0;
	if (byte == (uint8_t)hello[same])
		same++;
	else
		same = byte == (uint8_t)hello[0];
	return same;
}

/* Takes the channel's bytes as they come; frames may be cut anywhere. */
static void channel_bytes(const uint8_t *data, size_t size)
{
	static uint8_t frame[3 + FRAME_MAX];
	static bool greeted;
	static size_t have;

	for (size_t i = 0; i < size; i++) {
		size_t hello = greeting(data[i]), want;

		if (hello == sizeof(FRAME_HELLO) - 1) {
			greeted = true;
			have = 0;
			continue;
		}
		if (!greeted)
			continue;
		frame[have++] = data[i];
		if (have < 3)
			continue;
		want = 3 + frame[1] + 256 * frame[2];
		if (want > sizeof(frame) && (!hello || have == sizeof(frame))) {
			take_frame(FRAME_FAILURE, (const uint8_t *)"broken frame", 12);
			run.ended = true;
			return;
		}
		if (have == want) {
			take_frame(frame[0], frame + 3, want - 3);
			have = 0;
		}
	}
}

static struct termios saved_terminal;
static bool terminal_is_raw;

static void terminal_restore(void)
{
	if (terminal_is_raw)
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &saved_terminal);
}

static void terminal_raw(void)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &saved_terminal))
		return;
	raw = saved_terminal;
	cfmakeraw(&raw);
	terminal_is_raw = !tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
	atexit(terminal_restore);
}

/* A pseudo-terminal for the emulator's second serial line; its name in @name. */
static int open_pty(char *name, size_t size)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct termios raw;

	if (master < 0 || grantpt(master) || unlockpt(master) || ptsname_r(master, name, size))
		return -1;
	if (!tcgetattr(master, &raw)) {
		cfmakeraw(&raw);
		tcsetattr(master, TCSANOW, &raw);
	}
	return master;
}

/* The arguments with @PTY@ put in; the emulators' option syntaxes differ. */
static void put_in_pty(char **arg, const char *pty)
{
	for (; *arg; arg++) {
		char *at = strstr(*arg, "@PTY@"), *whole;

		if (at && asprintf(&whole, "%.*s%s%s", (int)(at - *arg), *arg, pty, at + 5) > 0)
			*arg = whole;
	}
}

static pid_t start_emulator(char **arg, int *output)
{
	pid_t parent = getpid(), child;
	int channel[2];

	if (pipe2(channel, O_CLOEXEC))
		return -1;
	fcntl(channel[1], F_SETPIPE_SZ, 1 << 20);
	child = fork();
	if (!child) {
		int complain = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		signal(SIGPIPE, SIG_DFL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(STATUS_FAILED);
		dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
		dup2(channel[1], STDOUT_FILENO);
		if (run.log)
			dup2(fileno(run.log), STDERR_FILENO);
		execvp(arg[0], arg);
		dprintf(complain, "testhost: cannot start %s: %s\n", arg[0], strerror(errno));
		_exit(STATUS_FAILED);
	}
	close(channel[1]);
	fcntl(channel[0], F_SETFL, O_NONBLOCK);
	*output = channel[0];
	return child;
}

static void drain(int fd, void (*take)(const uint8_t *, size_t))
{
	uint8_t data[65536];
	ssize_t got;

	while ((got = read(fd, data, sizeof(data))) > 0)
		take(data, got);
}

static void console_take(const uint8_t *data, size_t size)
{
	console_bytes((const char *)data, size);
}

static int timer_after(long ms)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	struct itimerspec when = {
		.it_value = { ms / 1000, ms % 1000 * 1000000 },
	};

	if (ms)
		timerfd_settime(fd, 0, &when, NULL);
	return fd;
}

/* Copies keys to the host; false once the user pressed the escape key. */
static bool keys(int pty)
{
	char data[256], *escape;
	ssize_t got = read(STDIN_FILENO, data, sizeof(data));

	if (got <= 0)
		return got < 0 && errno == EINTR;
	escape = memchr(data, ESCAPE_KEY, got);
	write_all(pty, data, escape ? escape - data : got);
	return !escape;
}

static void screen(int pty)
{
	char data[4096];
	ssize_t got = read(pty, data, sizeof(data));

	if (got > 0)
		write_all(STDOUT_FILENO, data, got);
}

static int watch(int channel, int console, int pty, int signals, long timeout_s)
{
	enum { CHANNEL, CONSOLE, SIGNALS, TIMEOUT, LINGER, PTY, KEYS, NR };
	struct pollfd fds[NR] = {
		[CHANNEL] = { channel, POLLIN, 0 },
		[CONSOLE] = { console, POLLIN, 0 },
		[SIGNALS] = { signals, POLLIN, 0 },
		[TIMEOUT] = { timer_after(timeout_s * 1000), POLLIN, 0 },
		[LINGER] = { -1, POLLIN, 0 },
		[PTY] = { pty, POLLIN, 0 },
		[KEYS] = { pty < 0 ? -1 : STDIN_FILENO, POLLIN, 0 },
	};
	bool emulator_gone = false;

	while (!run.ended) {
		if (poll(fds, NR, -1) < 0) {
			if (errno == EINTR)
				continue;
			return STATUS_FAILED;
		}
		if (fds[SIGNALS].revents) {
			struct signalfd_siginfo info;

			while (read(signals, &info, sizeof(info)) > 0) {
				if (info.ssi_signo != SIGCHLD)
					return 128 + info.ssi_signo;
				emulator_gone = true;
			}
		}
		drain(channel, channel_bytes);
		drain(console, console_take);
		if (fds[PTY].revents)
			screen(pty);
		if (fds[KEYS].revents && !keys(pty))
			return run.status < 0 ? 0 : run.status;
		if (run.log)
			fflush(run.log);
		if (run.dying && fds[LINGER].fd < 0)
			fds[LINGER].fd = timer_after(LINGER_MS);
		if (fds[TIMEOUT].revents) {
			fprintf(stderr, "testhost: the run took longer than %ld seconds\n",
				timeout_s);
			return STATUS_TIMEOUT;
		}
		if (fds[LINGER].revents)
			break;
		if (emulator_gone && run.as_expected && !run.failed)
			return 0;
		if (emulator_gone && !run.ended) {
			fprintf(stderr, "testhost: the emulator ended before the run did\n");
			break;
		}
	}
	drain(console, console_take);
	if (run.expected && !run.as_expected) {
		fprintf(stderr, "testhost: the host did not say '%s'\n", run.expected);
		return STATUS_FAILED;
	}
	if (!run.ended || run.failed || run.status < 0)
		return STATUS_FAILED;
	return run.status;
}

static int usage(void)
{
	fprintf(stderr,
		"usage: supervise [-t SECONDS] [-l LOG] [-e TEXT] [-i] CONSOLE -- EMULATOR [ARG]...\n");
	return STATUS_USAGE;
}

int main(int argc, char **argv)
{
	int opt, console, channel, signals, status, pty = -1;
	const char *log = NULL;
	bool interactive = false;
	long timeout_s = 0;
	sigset_t set;
	pid_t emulator;

	while ((opt = getopt(argc, argv, "+t:l:e:i")) != -1) {
		switch (opt) {
		case 't':
			timeout_s = atol(optarg);
			break;
		case 'l':
			log = optarg;
			break;
		case 'e':
			run.expected = optarg;
			break;
		case 'i':
			interactive = true;
			break;
		default:
			return usage();
		}
	}
	if (argc - optind < 2)
		return usage();

	/* Read and write: neither we nor the emulator wait for the other to open it. */
	console = open(argv[optind], O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (log)
		run.log = fopen(log, "we");
	if (console < 0 || (log && !run.log)) {
		fprintf(stderr, "testhost: cannot open %s: %s\n", console < 0 ? argv[optind] : log,
			strerror(errno));
		return STATUS_FAILED;
	}
	argv += optind + 1;
	if (!strcmp(argv[0], "--"))
		argv++;
	if (!argv[0])
		return usage();

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);

	if (interactive) {
		char name[64];

		pty = open_pty(name, sizeof(name));
		if (pty < 0) {
			fprintf(stderr, "testhost: no pseudo-terminal: %s\n", strerror(errno));
			return STATUS_FAILED;
		}
		put_in_pty(argv, name);
		terminal_raw();
	}

	emulator = start_emulator(argv, &channel);
	if (emulator < 0) {
		fprintf(stderr, "testhost: cannot start %s: %s\n", argv[0], strerror(errno));
		return STATUS_FAILED;
	}
	status = watch(channel, console, pty, signals, timeout_s);
	kill(emulator, SIGKILL);
	waitpid(emulator, NULL, 0);
	if (run.log)
		fclose(run.log);
	return status;
}
