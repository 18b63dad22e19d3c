// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dragonfly.h"
#include "rundir.h"

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"
#define SUFFIX_MAX 8 /* of a file, with the NUL */

bool rundir__is_name(const char *name)
{
	size_t len = strlen(name);

	return len && len <= VM_NAME_MAX && strspn(name, LETTERS DIGITS "._-") == len &&
	       strchr(LETTERS DIGITS, *name);
}

void rundir__path(char path[PATH_MAX])
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	snprintf(path, PATH_MAX, "%s/dragonfly", runtime && *runtime == '/' ? runtime : "/run");
}

void rundir__socket(int dir, const char *name, char path[SOCKET_PATH_MAX])
{
	snprintf(path, SOCKET_PATH_MAX, "/proc/self/fd/%d/%s.sock", dir, name);
}

int rundir__open(void)
{
	char path[PATH_MAX];
	struct stat stat;
	int dir;

	rundir__path(path);
	if (mkdir(path, 0700) && errno != EEXIST)
		return complain("cannot make %s (%s): set XDG_RUNTIME_DIR to a directory of yours",
				path, strerror(errno));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return complain("cannot open %s (%s): set XDG_RUNTIME_DIR to a directory of yours",
				path, strerror(errno));
	if (!fstat(dir, &stat) && stat.st_uid == geteuid() && !(stat.st_mode & 077))
		return dir;
	close(dir);
	return complain("%s is not yours alone: chmod 700, or set XDG_RUNTIME_DIR to another place",
			path);
}

static void file_name(char file[], const char *name, const char *suffix)
{
	snprintf(file, VM_NAME_MAX + SUFFIX_MAX, "%s.%s", name, suffix);
}

/* A log stays for who wants to know why the VM is gone, if it says anything. */
static void forget(int dir, const char *name)
{
	static const char *const suffixes[] = { "sock", "lock" };
	char file[VM_NAME_MAX + SUFFIX_MAX];
	struct stat log;

	file_name(file, name, "log");
	if (!fstatat(dir, file, &log, AT_SYMLINK_NOFOLLOW) && !log.st_size)
		unlinkat(dir, file, 0);
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++) {
		file_name(file, name, suffixes[i]);
		unlinkat(dir, file, 0);
	}
}

static int open_lock(int dir, const char *name, int flags)
{
	char file[VM_NAME_MAX + SUFFIX_MAX];

	file_name(file, name, "lock");
	return openat(dir, file, O_RDWR | O_NOFOLLOW | O_CLOEXEC | flags, 0600);
}

/*
 * An open file description's lock, which outlives a fork() of the VM and which can
 * be looked at without taking it.
 */
static bool is_held(int dir, const char *name)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = rundir__is_name(name) ? open_lock(dir, name, 0) : -1;
	bool held;

	if (fd < 0)
		return false;
	held = !fcntl(fd, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK;
	close(fd);
	return held;
}

/* With the directory locked. */
static int take(int dir, const char *name)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd;

	forget(dir, name);
	fd = open_lock(dir, name, O_CREAT | O_EXCL);
	if (fd < 0 || fcntl(fd, F_OFD_SETLK, &lock)) {
		complain("cannot take the name '%s' (%s): see to the run directory", name,
			 strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

static void pick(int dir, char name[VM_NAME_MAX + 1])
{
	unsigned int n = 1;

	do
		snprintf(name, VM_NAME_MAX + 1, "vm-%u", n++);
	while (is_held(dir, name));
}

int rundir__take(int dir, const char *wanted, char name[VM_NAME_MAX + 1])
{
	int lock = -1;

	if (wanted && !rundir__is_name(wanted))
		return complain("'%s' is no name: up to %d of a-z, A-Z, 0-9 and, not first, '._-'",
				wanted, VM_NAME_MAX);
	/* Names change hands one at a time. */
	flock(dir, LOCK_EX);
	if (wanted)
		strcpy(name, wanted);
	else
		pick(dir, name);
	if (is_held(dir, name))
		complain("a running VM has the name '%s': choose another, or dragonfly stop %s",
			 name, name);
	else
		lock = take(dir, name);
	flock(dir, LOCK_UN);
	return lock;
}

void rundir__give_back(int dir, const char *name, int lock)
{
	flock(dir, LOCK_EX);
	forget(dir, name);
	close(lock);
	flock(dir, LOCK_UN);
}

static int is_lock(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name), suffix = strlen(".lock");

	return len > suffix && !strcmp(entry->d_name + len - suffix, ".lock");
}

struct json_object *rundir__list(int dir)
{
	struct json_object *names = json_object_new_array();
	struct dirent **entries = NULL;
	int nr;

	flock(dir, LOCK_EX);
	nr = scandirat(dir, ".", &entries, is_lock, versionsort);
	for (int i = 0; i < nr; i++) {
		char *name = entries[i]->d_name;

		name[strlen(name) - strlen(".lock")] = '\0';
		if (is_held(dir, name))
			json_object_array_add(names, json_object_new_string(name));
		else if (rundir__is_name(name))
			forget(dir, name);
		free(entries[i]);
	}
	flock(dir, LOCK_UN);
	free(entries);
	return names;
}
