// SPDX-License-Identifier: GPL-2.0-only
/*
 * The event loop, whose handlers take watches away.
 */
#include "complaints.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "machine/loop.h"

static struct loop loop;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* A watch with an eventfd that is ready from the start, and who it takes away. */
struct probe {
	struct watch watch;
	struct probe *victim;
	unsigned int calls;
	bool locked;
};

static struct probe *probes[2];

static void drop(struct probe *probe)
{
	int fd = probe->watch.fd;

	loop__remove(&loop, &probe->watch);
	close(fd);
	for (unsigned int i = 0; i < 2; i++)
		if (probes[i] == probe)
			probes[i] = NULL;
	free(probe);
}

static void remove_victim(void *context, uint32_t events)
{
	struct probe *probe = context, *victim = probe->victim;

	(void)events;
	probe->calls++;
	probe->victim = NULL;
	if (victim)
		drop(victim);
}

static void end(void *context, uint32_t events)
{
	struct probe *probe = context;

	(void)events;
	probe->calls++;
	probe->locked = pthread_mutex_trylock(&lock) != 0;
	loop__end(&loop);
}

static void refuse(void *context, uint32_t events)
{
	(void)context;
	(void)events;
	abort();
}

static struct probe *watch(void (*ready)(void *context, uint32_t events))
{
	struct probe *probe = calloc(1, sizeof(*probe));

	probe->watch = (struct watch){ eventfd(1, EFD_NONBLOCK), ready, probe };
	return loop__add(&loop, &probe->watch, EPOLLIN) ? NULL : probe;
}

FIXTURE(loop){};

FIXTURE_SETUP(loop)
{
	ASSERT_EQ(0, loop__create(&loop));
}

FIXTURE_TEARDOWN(loop)
{
	loop__destroy(&loop);
	EXPECT_EQ(-1, loop.epoll);
}

TEST_F(loop, handlers_have_the_lock_and_the_loop_gives_it_back)
{
	struct probe *probe = watch(end);

	ASSERT_NE(NULL, probe);
	loop__run(&loop, &lock);
	EXPECT_EQ(1, probe->calls);
	EXPECT_TRUE(probe->locked);
	EXPECT_EQ(0, pthread_mutex_trylock(&lock));
	drop(probe);
}

TEST_F(loop, a_loop_that_ended_does_not_start)
{
	struct probe *probe = watch(end);

	loop__end(&loop);
	loop__run(&loop, &lock);
	EXPECT_EQ(0, probe->calls);
	drop(probe);
}

/* Both are ready; the first to be called frees the other, which must not be called then. */
TEST_F(loop, a_handler_frees_another_watch_that_is_ready)
{
	struct probe *last;

	for (unsigned int i = 0; i < 2; i++)
		probes[i] = watch(remove_victim);
	probes[0]->victim = probes[1];
	probes[1]->victim = probes[0];
	last = watch(end);
	loop__run(&loop, &lock);
	EXPECT_EQ(1, !probes[0] + !probes[1]);
	drop(probes[0] ?: probes[1]);
	drop(last);
}

TEST_F(loop, a_handler_frees_its_own_watch)
{
	struct probe *own = watch(remove_victim), *last;

	own->victim = own;
	probes[0] = own;
	last = watch(end);
	loop__run(&loop, &lock);
	EXPECT_EQ(NULL, probes[0]);
	drop(last);
}

static void end_after_ten(void *context, uint32_t events)
{
	static unsigned int calls;
	struct probe *probe = context;

	(void)events;
	probe->calls++;
	if (++calls == 10)
		loop__end(&loop);
}

TEST_F(loop, those_that_are_always_ready_take_turns)
{
	struct probe *one = watch(end_after_ten), *two = watch(end_after_ten);

	loop__run(&loop, &lock);
	EXPECT_EQ(5, one->calls);
	EXPECT_EQ(5, two->calls);
	drop(one);
	drop(two);
}

TEST_F(loop, a_watch_that_is_off_is_not_called)
{
	struct probe *off = watch(remove_victim), *last;

	loop__change(&loop, &off->watch, 0);
	last = watch(end);
	loop__run(&loop, &lock);
	EXPECT_EQ(0, off->calls);
	drop(off);
	drop(last);
}

TEST_F(loop, what_cannot_be_watched_is_refused)
{
	struct watch bad = { .fd = -1 };

	EXPECT_EQ(-1, loop__add(&loop, &bad, EPOLLIN));
	EXPECT_SAYS("cannot watch");
	loop__remove(&loop, &bad);
}

/* As a vCPU does: what it takes away has just become ready, and the loop may have seen that. */
static void *take_away(void *context)
{
	struct probe *probe = context;

	pthread_mutex_lock(&lock);
	eventfd_write(probe->watch.fd, 1);
	usleep(10000);
	drop(probe);
	watch(end);
	pthread_mutex_unlock(&lock);
	return NULL;
}

TEST_F(loop, what_was_taken_away_before_the_lock_was_had_is_not_called)
{
	struct probe *gone = watch(refuse);
	pthread_t thread;
	eventfd_t count;

	eventfd_read(gone->watch.fd, &count);
	ASSERT_EQ(0, pthread_create(&thread, NULL, take_away, gone));
	loop__run(&loop, &lock);
	pthread_join(thread, NULL);
}

TEST_HARNESS_MAIN
