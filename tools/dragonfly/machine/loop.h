/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The event loop: the one thread that is not a vCPU.
 */
#ifndef DRAGONFLY_LOOP_H
#define DRAGONFLY_LOOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* A file descriptor and whom to call, with the machine's lock held, when it is ready. */
struct watch {
	int fd;
	void (*ready)(void *context, uint32_t events); /* EPOLL* */
	void *context;
};

struct loop {
	int epoll;
	bool ended;
};

int loop__create(struct loop *loop);
void loop__destroy(struct loop *loop);

/* The watch stays the caller's; a handler may take away any watch, its own too. */
int loop__add(struct loop *loop, struct watch *watch, uint32_t events);
void loop__change(struct loop *loop, struct watch *watch, uint32_t events);
void loop__remove(struct loop *loop, struct watch *watch);

/* Until a handler calls loop__end(). */
void loop__run(struct loop *loop, pthread_mutex_t *lock);
void loop__end(struct loop *loop);

#endif
