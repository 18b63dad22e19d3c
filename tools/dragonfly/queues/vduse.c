// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <linux/vduse.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vduse.h"

void vduse__path(const char *vdpa, char path[VDUSE_PATH_MAX])
{
	snprintf(path, VDUSE_PATH_MAX, "/sys/class/vduse/%s", vdpa);
	if (*vdpa && !access(path, F_OK))
		snprintf(path, VDUSE_PATH_MAX, "/dev/vduse/%s", vdpa);
	else
		*path = '\0';
}

/* It can be opened once at a time; who may not open it cannot tell, and takes it for served. */
bool vduse__is_served(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return errno != ENOENT && errno != ENODEV && errno != ENXIO;
	close(fd);
	return false;
}

/* Whatever it is, it is done: there is nobody whom it concerns. */
static void answer(int fd)
{
	struct vduse_dev_request request;
	struct vduse_dev_response response = { .result = VDUSE_REQ_RESULT_OK };

	if (read(fd, &request, sizeof(request)) != sizeof(request))
		return;
	response.request_id = request.request_id;
	/* If it fails, the one who asked has gone. */
	(void)!write(fd, &response, sizeof(response));
}

static void *serve(void *context)
{
	struct vduse_stand_in *stand_in = context;
	struct pollfd fds[] = { { stand_in->fd, POLLIN, 0 }, { stand_in->end, POLLIN, 0 } };

	while (!fds[1].revents) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		if (fds[0].revents & POLLIN)
			answer(stand_in->fd);
		else if (fds[0].revents)
			fds[0].fd = -1;
	}
	return NULL;
}

void vduse__stand_in(struct vduse_stand_in *stand_in, const char *path)
{
	stand_in->end = -1;
	stand_in->fd = *path ? open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC) : -1;
	if (stand_in->fd < 0)
		return;
	stand_in->end = eventfd(0, EFD_CLOEXEC);
	if (stand_in->end >= 0 && !pthread_create(&stand_in->thread, NULL, serve, stand_in))
		return;
	if (stand_in->end >= 0)
		close(stand_in->end);
	close(stand_in->fd);
	stand_in->fd = -1;
}

void vduse__step_back(struct vduse_stand_in *stand_in)
{
	uint64_t one = 1;

	if (stand_in->fd < 0)
		return;
	(void)!write(stand_in->end, &one, sizeof(one));
	pthread_join(stand_in->thread, NULL);
	close(stand_in->end);
	close(stand_in->fd);
}
