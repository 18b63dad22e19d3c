// SPDX-License-Identifier: GPL-2.0-only
/*
 * No memory while the module is loaded: it is, or it is not and has left nothing.
 *
 * In a test host with --kernel debug, and the module not loaded; kmemleak=on sees more.
 */
#include <dirent.h>

#include "kselftest_harness.h"
#include "fail-nth.h"

/* Far more than there are. */
#define MANY 100000

/* The thread that brings a CPU up; 0 if there is none. */
static pid_t hotplug_thread(unsigned int cpu)
{
	DIR *dir = opendir("/proc");
	char path[300], name[32];
	struct dirent *entry;
	pid_t found = 0;

	snprintf(name, sizeof(name), "cpuhp/%u", cpu);
	while (!found && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		if (atoi(entry->d_name) && !strcmp(name, first_line(path)))
			found = atoi(entry->d_name);
	}
	closedir(dir);
	return found;
}

#define TRACING "/sys/kernel/debug/tracing/"

/* The kernel says so when it is done with its own part, and calls the module's. */
static bool has_begun(void)
{
	FILE *in = fopen(TRACING "trace", "re");
	bool found = false;
	char line[256];

	while (in && fgets(line, sizeof(line), in))
		if (strstr(line, "module_load: " MODULE_NAME))
			found = true;
	if (in)
		fclose(in);
	return found;
}

/* How many allocations @fd's task makes while the module is loaded by this one. */
static unsigned int count_allocations(struct __test_metadata *_metadata, int fd)
{
	unsigned int left;

	ASSERT_TRUE(fail_nth_set(fd, MANY));
	EXPECT_EQ(0, module_load());
	left = fail_nth_end(fd);
	EXPECT_EQ(0, module_unload());
	return MANY - left;
}

/* The @n-th fails; false if the module's own part has not begun by then. */
static bool attempt(struct __test_metadata *_metadata, int fd, unsigned int n)
{
	unsigned int left;
	int err;

	/* Opening it so empties it. */
	close(open(TRACING "trace", O_WRONLY | O_TRUNC | O_CLOEXEC));
	ASSERT_TRUE(fail_nth_set(fd, n));
	err = module_load();
	left = fail_nth_end(fd);
	EXPECT_EQ(0, left) TH_LOG("allocation %u was not made", n);
	if (!err) {
		EXPECT_TRUE(exists(MODULE_DEVICE)) TH_LOG("allocation %u", n);
		EXPECT_EQ(0, module_unload()) TH_LOG("allocation %u", n);
		return true;
	}
	EXPECT_EQ(-ENOMEM, err) TH_LOG("allocation %u", n);
	EXPECT_FALSE(exists(MODULE_DEVICE)) TH_LOG("allocation %u", n);
	EXPECT_FALSE(exists(MODULE_DEBUGFS)) TH_LOG("allocation %u", n);
	EXPECT_FALSE(exists(MODULE_SYSFS)) TH_LOG("allocation %u", n);
	return has_begun();
}

/* From the last one on: those that come first are the kernel's, for any module. */
static void walk(struct __test_metadata *_metadata, pid_t task, unsigned int step)
{
	int fd = fail_nth_open(task);
	unsigned int all, n;

	ASSERT_LE(0, fd);
	all = count_allocations(_metadata, fd);
	n = all;
	while (n > 0 && attempt(_metadata, fd, n))
		n = n > step ? n - step : 0;
	TH_LOG("%u of %u allocations", all - n, all);
	EXPECT_LT(n, all);
	close(fd);
	EXPECT_EQ(0, module_load());
	EXPECT_EQ(0, module_unload());
}

FIXTURE(fail_nth){};

FIXTURE_SETUP(fail_nth)
{
	if (!fail_nth_prepare())
		SKIP(return, "this kernel injects no faults");
	ASSERT_EQ(0, write_file(TRACING "events/module/module_load/enable", "1"));
}

FIXTURE_TEARDOWN(fail_nth)
{
	write_file(TRACING "events/module/module_load/enable", "0");
}

TEST_F_TIMEOUT(fail_nth, each_allocation_of_each_cpus_part_of_the_load, 3600)
{
	pid_t task = hotplug_thread(0);

	ASSERT_LT(0, task);
	walk(_metadata, task, 1);
}

TEST_F_TIMEOUT(fail_nth, each_allocation_of_the_load, 36000)
{
	walk(_metadata, getpid(), fail_nth_step());
}

TEST_HARNESS_MAIN
