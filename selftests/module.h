/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Loading and unloading dragonfly.ko from a selftest, and what the kernel said
 * of it. DRAGONFLY_KO in the environment says where the module lies.
 */
#ifndef SELFTESTS_MODULE_H
#define SELFTESTS_MODULE_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MODULE_NAME "dragonfly"
#define MODULE_DEVICE "/dev/dragonfly"
#define MODULE_SYSFS "/sys/module/dragonfly"
#define MODULE_DEBUGFS "/sys/kernel/debug/dragonfly"

/* 0 or a negative errno, as the kernel gave it. */
static inline int module_load_file(const char *path, const char *args)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	err = syscall(SYS_finit_module, fd, args, 0) ? -errno : 0;
	close(fd);
	return err;
}

static inline int module_load(void)
{
	const char *path = getenv("DRAGONFLY_KO");

	return module_load_file(path ? path : "/root/dragonfly.ko", "");
}

static inline int module_unload(void)
{
	return syscall(SYS_delete_module, MODULE_NAME, O_NONBLOCK) ? -errno : 0;
}

static inline bool exists(const char *path)
{
	return !access(path, F_OK);
}

/* The first line of a small file, without its newline; empty if there is none. */
static inline const char *first_line(const char *path)
{
	static char line[4096];
	FILE *in = fopen(path, "re");

	line[0] = '\0';
	if (in) {
		if (!fgets(line, sizeof(line), in))
			line[0] = '\0';
		fclose(in);
	}
	line[strcspn(line, "\n")] = '\0';
	return line;
}

/* 0 or a negative errno. */
static inline int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

/*
 * The kernel log from now on. Read it to its end before what is watched, then
 * count the module's own lines with kernel_log_lines().
 */
static inline int kernel_log_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}

/*
 * How many lines the module wrote at level error or worse; the last of them in
 * @last. The module loader's own remarks bear the module's name too, but are
 * not errors.
 */
static inline int kernel_log_errors(int fd, char *last, size_t size)
{
	char record[8192];
	int lines = 0;
	ssize_t got;

	while ((got = read(fd, record, sizeof(record) - 1)) > 0 || (got < 0 && errno == EPIPE)) {
		char *text;

		if (got < 0)
			continue;
		record[got] = '\0';
		text = strchr(record, ';');
		if (!text || (atoi(record) & 7) > 3 || strncmp(text + 1, MODULE_NAME ": ", 11))
			continue;
		text[strcspn(text, "\n")] = '\0';
		snprintf(last, size, "%s", text + 12);
		lines++;
	}
	return lines;
}

#endif
