// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module refuses a host that will not do: with the errno and the one line
 * that REFUSE_ERRNO and REFUSE_TEXT in the environment name, and leaves
 * nothing behind.
 *
 * In a test host that lacks something; root.
 */
#include "kselftest_harness.h"
#include "module.h"

FIXTURE(refusal)
{
	char line[4096];
	int lines;
	int err;
};

FIXTURE_SETUP(refusal)
{
	int log = kernel_log_open();

	ASSERT_LE(0, log);
	self->err = module_load();
	self->lines = kernel_log_errors(log, self->line, sizeof(self->line));
	close(log);
	if (!self->err)
		module_unload();
}

FIXTURE_TEARDOWN(refusal)
{
}

TEST_F(refusal, has_the_fitting_errno)
{
	const char *expected = getenv("REFUSE_ERRNO");

	ASSERT_NE(NULL, expected);
	EXPECT_STREQ(expected, strerrorname_np(-self->err));
}

TEST_F(refusal, says_why_in_one_line)
{
	const char *expected = getenv("REFUSE_TEXT");

	ASSERT_NE(NULL, expected);
	EXPECT_EQ(1, self->lines);
	EXPECT_NE(NULL, strstr(self->line, expected)) TH_LOG("it said: %s", self->line);
}

TEST_F(refusal, leaves_nothing_behind)
{
	EXPECT_FALSE(exists(MODULE_DEVICE));
	EXPECT_FALSE(exists(MODULE_DEBUGFS));
	EXPECT_FALSE(exists(MODULE_SYSFS));
}

/* Not in CPU hotplug either: a state left there would be called into nowhere. */
TEST_F(refusal, leaves_no_hotplug_state)
{
	FILE *in = fopen("/sys/devices/system/cpu/hotplug/states", "re");
	char line[256];

	if (!in)
		SKIP(return, "this kernel does not list its CPU hotplug states");
	while (fgets(line, sizeof(line), in)) {
		EXPECT_EQ(NULL, strstr(line, MODULE_NAME))
		TH_LOG("%s", line);
	}
	fclose(in);
}

TEST_HARNESS_MAIN
