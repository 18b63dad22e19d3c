// SPDX-License-Identifier: GPL-2.0-only
#include "loop.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "dragonfly.h"

/*
 * One event at a time: a handler may free any watch, so that what else was ready
 * at the same time must be asked for again.
 */
#define BATCH 1

int loop__create(struct loop *loop)
{
	loop->ended = false;
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	return loop->epoll < 0 ? complain("no epoll: %s", strerror(errno)) : 0;
}

void loop__destroy(struct loop *loop)
{
	if (loop->epoll >= 0)
		close(loop->epoll);
	loop->epoll = -1;
}

int loop__add(struct loop *loop, struct watch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, watch->fd, &event))
		return complain("cannot watch a file descriptor: %s", strerror(errno));
	return 0;
}

void loop__change(struct loop *loop, struct watch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	epoll_ctl(loop->epoll, EPOLL_CTL_MOD, watch->fd, &event);
}

void loop__remove(struct loop *loop, struct watch *watch)
{
	epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
}

void loop__run(struct loop *loop, pthread_mutex_t *lock)
{
	pthread_mutex_lock(lock);
	while (!loop->ended) {
		struct pollfd any = { .fd = loop->epoll, .events = POLLIN };
		struct epoll_event event;
		struct watch *watch;

		/* Who is ready is asked for with the lock: until then a vCPU may take it away. */
		pthread_mutex_unlock(lock);
		poll(&any, 1, -1);
		pthread_mutex_lock(lock);
		if (epoll_wait(loop->epoll, &event, BATCH, 0) != BATCH)
			continue;
		watch = event.data.ptr;
		watch->ready(watch->context, event.events);
	}
	pthread_mutex_unlock(lock);
}

void loop__end(struct loop *loop)
{
	loop->ended = true;
}
