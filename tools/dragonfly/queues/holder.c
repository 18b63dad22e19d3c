// SPDX-License-Identifier: GPL-2.0-only
#include "holder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "control/rundir.h"
#include "dragonfly.h"

/* "queue-tap0": a path's last part will do. */
static void file_name(char file[NAME_MAX + 1], const char *queue)
{
	const char *slash = strrchr(queue, '/');

	snprintf(file, NAME_MAX + 1, "queue-%s", slash ? slash + 1 : queue);
}

/*
 * With the run directory locked; what a killed VM has left goes. The lock is an open file
 * description's, as those of the VMs' names: a fork() of the VM keeps it, and it can be
 * looked at without taking it.
 */
static char *read_holder(int dir, const char *file)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char name[VM_NAME_MAX + 1] = "";
	int fd = openat(dir, file, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	bool known, held;

	if (fd < 0)
		return NULL;
	known = !fcntl(fd, F_OFD_GETLK, &lock);
	held = known && lock.l_type != F_UNLCK && read(fd, name, VM_NAME_MAX) >= 0;
	if (known && lock.l_type == F_UNLCK)
		unlinkat(dir, file, 0);
	close(fd);
	return held ? strdup(name) : NULL;
}

static int lock_file(int dir, const char *file, const char *vm)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = openat(dir, file, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd >= 0 && !fcntl(fd, F_OFD_SETLK, &lock) && write(fd, vm, strlen(vm)) >= 0)
		return fd;
	complain("cannot write %s in the run directory (%s): see to it", file, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

int holder__take(const char *queue, const char *vm)
{
	char file[NAME_MAX + 1], *other;
	int dir = rundir__open(), fd = -1;

	if (dir < 0)
		return -1;
	file_name(file, queue);
	flock(dir, LOCK_EX);
	other = read_holder(dir, file);
	if (other)
		complain("%s belongs to VM %s: dragonfly queue release %s %s frees it", queue,
			 other, other, queue);
	else
		fd = lock_file(dir, file, vm);
	close(dir);
	free(other);
	return fd;
}

void holder__give_back(const char *queue, int holder)
{
	char file[NAME_MAX + 1];
	int dir = rundir__open();

	file_name(file, queue);
	if (dir >= 0) {
		flock(dir, LOCK_EX);
		unlinkat(dir, file, 0);
	}
	close(holder);
	if (dir >= 0)
		close(dir);
}

char *holder__of(const char *queue)
{
	char file[NAME_MAX + 1], *holder;
	int dir = rundir__open();

	if (dir < 0)
		return NULL;
	file_name(file, queue);
	flock(dir, LOCK_EX);
	holder = read_holder(dir, file);
	close(dir);
	return holder;
}
