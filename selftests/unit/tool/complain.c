// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sentences on stderr, whoever reads them.
 */
#include "kselftest_harness.h"

#include <fcntl.h>
#include <unistd.h>

#include "dragonfly.h"

FIXTURE(complain)
{
	int reader;
};

FIXTURE_SETUP(complain)
{
	int ends[2];

	ASSERT_EQ(0, pipe2(ends, O_NONBLOCK));
	/* Of its writer, stderr, only as long as it is filled. */
	while (write(ends[1], "................", 16) > 0)
		;
	ASSERT_EQ(0, fcntl(ends[1], F_SETFL, 0));
	self->reader = ends[0];
	fflush(stderr);
	ASSERT_EQ(STDERR_FILENO, dup2(ends[1], STDERR_FILENO));
}

FIXTURE_TEARDOWN(complain)
{
	close(self->reader);
}

/* What is there to be read, its end kept. */
static void take(int reader, char *end, size_t size)
{
	static char all[1 << 20];
	ssize_t n = read(reader, all, sizeof(all) - 1);

	if (n < 0)
		n = 0;
	all[n] = '\0';
	snprintf(end, size, "%s", all + strcspn(all, "d"));
}

TEST_F(complain, nobody_waits_for_a_reader_that_does_not_read)
{
	char end[64];

	/* More than once: it would hang here. */
	for (unsigned int i = 0; i < 1000; i++)
		EXPECT_EQ(-1, complain("not read"));
	take(self->reader, end, sizeof(end));
	EXPECT_STREQ("", end);
	EXPECT_EQ(-1, complain("read by %s", "somebody"));
	take(self->reader, end, sizeof(end));
	EXPECT_STREQ("dragonfly: read by somebody\n", end);
}

TEST_F(complain, there_is_an_end_to_what_a_guest_can_cause)
{
	char end[64];

	take(self->reader, end, sizeof(end));
	complaints_left = 1;
	complain("the last");
	complain("one more");
	take(self->reader, end, sizeof(end));
	EXPECT_STREQ("dragonfly: the last\n", end);
}

TEST_HARNESS_MAIN
