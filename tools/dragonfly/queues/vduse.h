/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VDUSE: a vDPA device that a process serves, and that process may die.
 *
 * The kernel tells such a process of each change of the device's status and waits
 * 30 s for its answer; a device that got none is broken for good. So nothing is asked
 * of a device that nobody serves: assigning refuses it, and where a device has to be
 * reset after its process has died, a stand-in answers instead of it. The device stays
 * whole that way, and the next process can take it over.
 */
#ifndef DRAGONFLY_VDUSE_H
#define DRAGONFLY_VDUSE_H

#include <pthread.h>
#include <stdbool.h>

#define VDUSE_PATH_MAX 300

/* Where the process serves a vDPA device, /dev/vduse/NAME; empty if it is none of VDUSE's. */
void vduse__path(const char *vdpa, char path[VDUSE_PATH_MAX]);

/* Has a process opened it, as far as this one may know? */
bool vduse__is_served(const char *path);

struct vduse_stand_in {
	int fd, end; /* the device, and an eventfd that says it is over; or -1 */
	pthread_t thread;
};

/* Between the two, requests are answered if nobody else does. */
void vduse__stand_in(struct vduse_stand_in *stand_in, const char *path);
void vduse__step_back(struct vduse_stand_in *stand_in);

#endif
