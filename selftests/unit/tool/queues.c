// SPDX-License-Identifier: GPL-2.0-only
/*
 * What --queue and --net say, which rings are handed to the kernel, and who holds
 * a queue.
 */
#include "kselftest_harness.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "dragonfly.h"
#include "queues/holder.h"
#include "queues/queues.h"
#include "queues/vhost.h"

static char why[512];

static bool says(const char *text)
{
	return strstr(why, text);
}

/* ---- what is parsed -------------------------------------------------------------- */

FIXTURE(parse)
{
	struct queue_options options;
};

FIXTURE_SETUP(parse)
{
	complain_to(why, sizeof(why));
}

FIXTURE_TEARDOWN(parse)
{
	complain_to(NULL, 0);
	free(self->options.name);
}

#define PARSE(kind, text) queues__parse(&self->options, kind, text)

TEST_F(parse, a_vdpa_device_has_all_its_queues_unless_told)
{
	ASSERT_EQ(0, PARSE(QUEUE_VDPA, "vdpa=/dev/vhost-vdpa-0"));
	EXPECT_EQ(QUEUE_VDPA, self->options.kind);
	EXPECT_STREQ("/dev/vhost-vdpa-0", self->options.name);
	EXPECT_EQ(0, self->options.queues);
}

TEST_F(parse, a_number_of_queues_is_taken)
{
	ASSERT_EQ(0, PARSE(QUEUE_VDPA, "vdpa=/dev/vhost-vdpa-12,queues=16"));
	EXPECT_STREQ("/dev/vhost-vdpa-12", self->options.name);
	EXPECT_EQ(16, self->options.queues);
}

/* Whoever takes it by another name takes the same. */
TEST_F(parse, a_link_is_the_device_that_it_leads_to)
{
	char link[32], text[64];
	char *device;

	snprintf(link, sizeof(link), "/tmp/link-%d", getpid());
	snprintf(text, sizeof(text), "vdpa=%s,queues=2", link);
	ASSERT_EQ(0, symlink("/dev/../dev/null", link));
	EXPECT_EQ(0, PARSE(QUEUE_VDPA, text));
	device = queues__device(link);
	unlink(link);
	EXPECT_STREQ("/dev/null", self->options.name);
	EXPECT_EQ(2, self->options.queues);
	EXPECT_STREQ("/dev/null", device);
	free(device);
}

TEST_F(parse, a_tap_has_words_in_any_order)
{
	ASSERT_EQ(0, PARSE(QUEUE_TAP, "tap=tap0,vhost,queues=2"));
	EXPECT_EQ(QUEUE_TAP, self->options.kind);
	EXPECT_STREQ("tap0", self->options.name);
	EXPECT_EQ(2, self->options.queues);
}

TEST_F(parse, what_is_malformed_is_refused_with_the_form)
{
	static const struct {
		enum queue_kind kind;
		const char *text, *says;
	} bad[] = {
		{ QUEUE_VDPA, "", "vdpa=/dev/vhost-vdpa-0[,queues=N]" },
		{ QUEUE_VDPA, "/dev/vhost-vdpa-0", "vdpa=/dev/vhost-vdpa-0[,queues=N]" },
		{ QUEUE_VDPA, "tap=tap0", "vdpa=/dev/vhost-vdpa-0[,queues=N]" },
		{ QUEUE_VDPA, "vdpa=/dev/vhost-vdpa-0,vhost", "vdpa=/dev/vhost-vdpa-0[,queues=N]" },
		{ QUEUE_VDPA, "vdpa=/dev/vhost-vdpa-0,", "vdpa=/dev/vhost-vdpa-0[,queues=N]" },
		{ QUEUE_VDPA, "vdpa=", "path" },
		{ QUEUE_VDPA, "vdpa=disk0", "path" },
		{ QUEUE_TAP, "vdpa=/dev/vhost-vdpa-0", "tap=INTERFACE" },
		{ QUEUE_TAP, "tap=tap0,fast", "tap=INTERFACE" },
		{ QUEUE_TAP, "tap=", "interface" },
		{ QUEUE_TAP, "tap=/dev/net/tun", "interface" },
		{ QUEUE_TAP, "tap=a-name-of-16-char", "interface" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-1, PARSE(bad[i].kind, bad[i].text));
		EXPECT_EQ(NULL, self->options.name);
		EXPECT_TRUE(says(bad[i].says))
		{
			TH_LOG("'%s': %s", bad[i].text, why);
		}
	}
}

TEST_F(parse, a_number_of_queues_is_one_from_1_to_1024)
{
	static const char *const bad[] = {
		"", "0", "-1", "+4", " 4", "4 ", "1025", "2x", "99999999999999999999",
	};
	char text[64];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(text, sizeof(text), "tap=tap0,queues=%s", bad[i]);
		EXPECT_EQ(-1, PARSE(QUEUE_TAP, text));
		EXPECT_TRUE(says("1 to 1024"));
	}
}

/* ---- rings ----------------------------------------------------------------------- */

#define MEMORY 0x100000
#define ENTRIES 128

FIXTURE(rings)
{
	struct memory memory;
	struct virtqueue vq;
};

FIXTURE_SETUP(rings)
{
	ASSERT_EQ(0, memory__create(&self->memory, MEMORY, 0));
	self->vq = (struct virtqueue){
		.max = 256,
		.size = ENTRIES,
		.desc = 0x1000,
		.driver = 0x2000,
		.device = 0x3000,
	};
}

FIXTURE_TEARDOWN(rings)
{
	memory__destroy(&self->memory);
}

#define FIT() vhost__rings_fit(&self->memory, &self->vq, false)
#define FIT_PACKED() vhost__rings_fit(&self->memory, &self->vq, true)

TEST_F(rings, those_in_memory_fit)
{
	EXPECT_TRUE(FIT());
	EXPECT_TRUE(FIT_PACKED());
}

TEST_F(rings, each_part_may_end_where_memory_does_and_not_behind)
{
	self->vq.desc = MEMORY - ENTRIES * 16;
	EXPECT_TRUE(FIT());
	self->vq.desc += 16;
	EXPECT_FALSE(FIT());
	self->vq.desc = 0x1000;
	self->vq.driver = MEMORY - (6 + ENTRIES * 2);
	EXPECT_TRUE(FIT());
	self->vq.driver += 2;
	EXPECT_FALSE(FIT());
	self->vq.driver = 0x2000;
	self->vq.device = MEMORY - (8 + ENTRIES * 8);
	EXPECT_TRUE(FIT());
	self->vq.device += 4;
	EXPECT_FALSE(FIT());
}

TEST_F(rings, an_address_that_wraps_does_not_fit)
{
	self->vq.desc = UINT64_MAX - 15;
	EXPECT_FALSE(FIT());
	EXPECT_FALSE(FIT_PACKED());
	self->vq.desc = 0x1000;
	self->vq.device = UINT64_MAX - 3;
	EXPECT_FALSE(FIT());
	EXPECT_FALSE(FIT_PACKED());
}

TEST_F(rings, what_is_not_aligned_does_not_fit)
{
	self->vq.desc += 8;
	EXPECT_FALSE(FIT());
	EXPECT_FALSE(FIT_PACKED());
	self->vq.desc -= 8;
	self->vq.driver += 1;
	EXPECT_FALSE(FIT());
	self->vq.driver += 1;
	EXPECT_TRUE(FIT());
	EXPECT_FALSE(FIT_PACKED());
	self->vq.driver = 0x2000;
	self->vq.device += 2;
	EXPECT_FALSE(FIT());
	EXPECT_FALSE(FIT_PACKED());
}

TEST_F(rings, a_size_is_no_more_than_the_backend_takes_and_of_split_ones_a_power_of_two)
{
	self->vq.size = 0;
	EXPECT_FALSE(FIT());
	self->vq.size = 512;
	EXPECT_FALSE(FIT());
	self->vq.size = 100;
	EXPECT_FALSE(FIT());
	EXPECT_TRUE(FIT_PACKED());
}

/* ---- holders --------------------------------------------------------------------- */

#define QUEUE "/dev/vhost-vdpa-0"

FIXTURE(holder)
{
	char root[32];
};

FIXTURE_SETUP(holder)
{
	strcpy(self->root, "/tmp/holder-XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->root));
	setenv("XDG_RUNTIME_DIR", self->root, 1);
	complain_to(why, sizeof(why));
}

FIXTURE_TEARDOWN(holder)
{
	char command[64];

	complain_to(NULL, 0);
	snprintf(command, sizeof(command), "rm -rf %s", self->root);
	EXPECT_EQ(0, system(command));
}

TEST_F(holder, a_queue_has_the_one_that_took_it_until_that_gives_it_back)
{
	char *name;
	int fd;

	EXPECT_EQ(NULL, holder__of(QUEUE));
	fd = holder__take(QUEUE, "db1");
	ASSERT_LE(0, fd);
	name = holder__of(QUEUE);
	EXPECT_STREQ("db1", name);
	free(name);
	holder__give_back(QUEUE, fd);
	EXPECT_EQ(NULL, holder__of(QUEUE));
}

TEST_F(holder, a_second_taker_learns_the_name_of_the_first)
{
	int fd = holder__take(QUEUE, "db1");

	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, holder__take(QUEUE, "db2"));
	EXPECT_TRUE(says("belongs to VM db1"));
	holder__give_back(QUEUE, fd);
	fd = holder__take(QUEUE, "db2");
	EXPECT_LE(0, fd);
	holder__give_back(QUEUE, fd);
}

TEST_F(holder, what_a_killed_one_had_is_free)
{
	int ready[2], fd, status;
	char *name, file[64];
	pid_t pid;

	ASSERT_EQ(0, pipe(ready));
	pid = fork();
	if (!pid) {
		holder__take(QUEUE, "a-longer-name");
		close(ready[1]);
		pause();
	}
	close(ready[1]);
	ASSERT_EQ(0, read(ready[0], &status, 1));
	name = holder__of(QUEUE);
	EXPECT_STREQ("a-longer-name", name);
	free(name);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	EXPECT_EQ(NULL, holder__of(QUEUE));
	snprintf(file, sizeof(file), "%s/dragonfly/queue-vhost-vdpa-0", self->root);
	EXPECT_EQ(-1, access(file, F_OK));
	fd = holder__take(QUEUE, "db2");
	ASSERT_LE(0, fd);
	name = holder__of(QUEUE);
	EXPECT_STREQ("db2", name);
	free(name);
	holder__give_back(QUEUE, fd);
}

TEST_HARNESS_MAIN
