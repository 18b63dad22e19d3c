// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which keys of a terminal are the guest's, and which leave.
 */
#include "kselftest_harness.h"

#include <string.h>

#include "escape.h"

static const struct {
	const char *keys, *text;
	bool left;
} rows[] = {
	{ "ls\r\3\4\32", "ls\r\3\4\32", false },
	{ "\1", "", false },
	{ "\1\1", "\1", false },
	{ "\1e", "\1e", false },
	{ "x\1\1x", "x\1x", false },
	{ "\1\1\1\1x", "\1\1x", false },
	{ "a\1x", "a", true },
	{ "\1\1\1x", "\1", true },
	{ "a\1xb\1xc", "a", true },
};

TEST(ctrl_a_x_leaves_and_any_other_key_is_the_guests)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct escape escape = {};
		char text[32] = "";

		EXPECT_EQ(strlen(rows[i].text),
			  escape__filter(&escape, rows[i].keys, strlen(rows[i].keys), text));
		EXPECT_STREQ(rows[i].text, text) TH_LOG("row %zu", i);
		EXPECT_EQ(rows[i].left, escape.left) TH_LOG("row %zu", i);
	}
}

TEST(keys_that_come_one_at_a_time_mean_the_same)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct escape escape = {};
		char text[32] = "";
		size_t nr = 0;

		for (const char *key = rows[i].keys; *key; key++)
			nr += escape__filter(&escape, key, 1, text + nr);
		EXPECT_STREQ(rows[i].text, text) TH_LOG("row %zu", i);
		EXPECT_EQ(rows[i].left, escape.left) TH_LOG("row %zu", i);
	}
}

TEST(there_is_at_most_one_key_more_than_came)
{
	struct escape escape = { .prefixed = true };
	char text[4] = "???";

	EXPECT_EQ(3, escape__filter(&escape, "ab", 2, text));
	EXPECT_STREQ("\1ab", text);
	EXPECT_EQ(0, escape__filter(&escape, "\1", 1, text));
	EXPECT_EQ(2, escape__filter(&escape, "a", 1, text));
}

TEST_HARNESS_MAIN
