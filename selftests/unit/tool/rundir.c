// SPDX-License-Identifier: GPL-2.0-only
/*
 * The run directory: whose it is, who has a name, and what the dead leave behind.
 */
#include "kselftest_harness.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "control/rundir.h"
#include "dragonfly.h"

/* A $XDG_RUNTIME_DIR of the test's own; what the tool complains of is kept. */
FIXTURE(rundir)
{
	char root[32], path[64], why[256], name[VM_NAME_MAX + 1];
	int dir;
};

FIXTURE_SETUP(rundir)
{
	strcpy(self->root, "/tmp/rundir-XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->root));
	snprintf(self->path, sizeof(self->path), "%s/dragonfly", self->root);
	setenv("XDG_RUNTIME_DIR", self->root, 1);
	*self->why = '\0';
	complain_to(self->why, sizeof(self->why));
	self->dir = rundir__open();
	ASSERT_LE(0, self->dir) TH_LOG("%s", self->why);
}

FIXTURE_TEARDOWN(rundir)
{
	char command[64];

	complain_to(NULL, 0);
	snprintf(command, sizeof(command), "rm -rf %s", self->root);
	EXPECT_EQ(0, system(command));
}

#define EXPECT_SAYS(text)                                        \
	EXPECT_NE(NULL, strstr(self->why, text))                 \
	{                                                        \
		TH_LOG("\"%s\" is not in: %s", text, self->why); \
	}

/* A file of a name's, "sock" or "lock". */
#define FILE_OF(name, suffix) faccessat(self->dir, name "." suffix, F_OK, AT_SYMLINK_NOFOLLOW)

static void make_file(int dir, const char *name)
{
	close(openat(dir, name, O_WRONLY | O_CREAT, 0600));
}

/* A process that holds a name until it is killed. */
static pid_t holder(int dir, const char *wanted)
{
	char name[VM_NAME_MAX + 1];
	int ready[2];
	pid_t pid;
	char c;

	if (pipe(ready))
		return -1;
	pid = fork();
	if (!pid) {
		/* Its own description of the directory, as another process has. */
		dir = rundir__open();
		if (rundir__take(dir, wanted, name) >= 0 && write(ready[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	if (read(ready[0], &c, 1) != 1)
		pid = -1;
	close(ready[0]);
	return pid;
}

/* As kill -9 ends a VM: nothing is tidied up. */
static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* ---- names ----------------------------------------------------------------------- */

TEST(names_are_letters_digits_and_some_signs)
{
	static const struct {
		const char *name;
		bool good;
	} rows[] = {
		{ "a", true },		{ "Z9", true },	  { "vm-1", true }, { "0._-", true },
		{ "", false },		{ "-a", false },  { ".a", false },  { "..", false },
		{ "_a", false },	{ "a/b", false }, { "a b", false }, { "a\n", false },
		{ "a\xc3\xa9", false },
	};
	char longest[VM_NAME_MAX + 2];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		bool good = rundir__is_name(rows[i].name);

		EXPECT_EQ(rows[i].good, good) TH_LOG("%s", rows[i].name);
	}
	memset(longest, 'a', sizeof(longest));
	longest[VM_NAME_MAX + 1] = '\0';
	EXPECT_FALSE(rundir__is_name(longest));
	longest[VM_NAME_MAX] = '\0';
	EXPECT_TRUE(rundir__is_name(longest));
}

TEST_F(rundir, what_is_no_name_is_not_taken)
{
	EXPECT_EQ(-1, rundir__take(self->dir, "../a", self->name));
	EXPECT_SAYS("is no name");
}

/* ---- the directory --------------------------------------------------------------- */

TEST_F(rundir, is_made_for_its_owner_alone)
{
	struct stat stat;

	ASSERT_EQ(0, fstat(self->dir, &stat));
	EXPECT_EQ(S_IFDIR | 0700, stat.st_mode);
}

TEST_F(rundir, is_refused_when_others_may_enter)
{
	chmod(self->path, 0750);
	EXPECT_EQ(-1, rundir__open());
	EXPECT_SAYS("is not yours alone");
}

TEST_F(rundir, is_refused_when_it_belongs_to_somebody_else)
{
	if (geteuid())
		SKIP(return, "only root can give a directory away");
	ASSERT_EQ(0, chown(self->path, 1, 1));
	EXPECT_EQ(-1, rundir__open());
	EXPECT_SAYS("is not yours alone");
}

TEST_F(rundir, is_not_followed_to_where_a_link_leads)
{
	char other[64];

	snprintf(other, sizeof(other), "%s/other", self->root);
	ASSERT_EQ(0, rename(self->path, other));
	ASSERT_EQ(0, symlink(other, self->path));
	EXPECT_EQ(-1, rundir__open());
	EXPECT_SAYS("cannot open");
}

TEST_F(rundir, that_cannot_be_made_is_complained_of)
{
	setenv("XDG_RUNTIME_DIR", "/no/such/place", 1);
	EXPECT_EQ(-1, rundir__open());
	EXPECT_SAYS("set XDG_RUNTIME_DIR");
}

TEST_F(rundir, is_below_run_where_the_environment_names_none)
{
	char path[PATH_MAX];

	static const char *const values[] = { "", "relative" };

	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		setenv("XDG_RUNTIME_DIR", values[i], 1);
		rundir__path(path);
		EXPECT_STREQ("/run/dragonfly", path);
	}
	unsetenv("XDG_RUNTIME_DIR");
	rundir__path(path);
	EXPECT_STREQ("/run/dragonfly", path);
}

/* ---- taking names ---------------------------------------------------------------- */

TEST_F(rundir, a_name_is_taken_once)
{
	pid_t pid = holder(self->dir, "a");

	ASSERT_LT(0, pid);
	EXPECT_EQ(-1, rundir__take(self->dir, "a", self->name));
	EXPECT_SAYS("a running VM has the name 'a'");
	EXPECT_LE(0, rundir__take(self->dir, "b", self->name));
	end(pid);
}

TEST_F(rundir, a_name_of_a_killed_vm_is_taken_and_cleaned)
{
	pid_t pid = holder(self->dir, "a");

	ASSERT_LT(0, pid);
	make_file(self->dir, "a.sock");
	make_file(self->dir, "a.log");
	end(pid);
	EXPECT_LE(0, rundir__take(self->dir, "a", self->name));
	EXPECT_EQ(-1, FILE_OF("a", "sock"));
	EXPECT_EQ(-1, FILE_OF("a", "log"));
	EXPECT_EQ(0, FILE_OF("a", "lock"));
}

TEST_F(rundir, a_log_that_says_something_is_kept)
{
	pid_t pid = holder(self->dir, "a");
	int log = openat(self->dir, "a.log", O_WRONLY | O_CREAT, 0600);

	ASSERT_LT(0, pid);
	ASSERT_EQ(1, write(log, "!", 1));
	end(pid);
	json_object_put(rundir__list(self->dir));
	EXPECT_EQ(-1, FILE_OF("a", "lock"));
	EXPECT_EQ(0, FILE_OF("a", "log"));
}

TEST_F(rundir, a_link_in_a_lock_s_place_is_not_followed)
{
	make_file(self->dir, "precious");
	ASSERT_EQ(0, symlinkat("precious", self->dir, "a.lock"));
	EXPECT_LE(0, rundir__take(self->dir, "a", self->name));
	EXPECT_EQ(0, faccessat(self->dir, "precious", F_OK, 0));
}

TEST_F(rundir, a_name_given_back_leaves_nothing)
{
	int lock = rundir__take(self->dir, "a", self->name);

	ASSERT_LE(0, lock);
	make_file(self->dir, "a.sock");
	rundir__give_back(self->dir, self->name, lock);
	EXPECT_EQ(-1, FILE_OF("a", "sock"));
	EXPECT_EQ(-1, FILE_OF("a", "lock"));
	EXPECT_LE(0, rundir__take(self->dir, "a", self->name));
}

TEST_F(rundir, the_first_free_number_is_picked)
{
	pid_t first = holder(self->dir, "vm-1"), third = holder(self->dir, "vm-3");

	EXPECT_LE(0, rundir__take(self->dir, NULL, self->name));
	EXPECT_STREQ("vm-2", self->name);
	EXPECT_LE(0, rundir__take(self->dir, NULL, self->name));
	EXPECT_STREQ("vm-4", self->name);
	end(first);
	EXPECT_LE(0, rundir__take(self->dir, NULL, self->name));
	EXPECT_STREQ("vm-1", self->name);
	end(third);
}

/* A VM that forks, as one that detaches does, and whose child lives on, has its name still. */
TEST_F(rundir, a_name_stays_with_the_child_of_who_took_it)
{
	int lock = rundir__take(self->dir, "a", self->name);
	pid_t pid = fork();

	if (!pid) {
		pause();
		_exit(0);
	}
	ASSERT_LE(0, lock);
	close(lock);
	EXPECT_EQ(-1, rundir__take(self->dir, "a", self->name));
	end(pid);
	EXPECT_LE(0, rundir__take(self->dir, "a", self->name));
}

/* ---- listing --------------------------------------------------------------------- */

TEST_F(rundir, who_lives_is_listed_and_who_died_is_cleaned)
{
	pid_t ten = holder(self->dir, "vm-10"), two = holder(self->dir, "vm-2");
	pid_t dead = holder(self->dir, "dead");
	struct json_object *names;

	make_file(self->dir, "dead.sock");
	make_file(self->dir, "notes");
	make_file(self->dir, ".lock");
	end(dead);
	names = rundir__list(self->dir);
	EXPECT_STREQ("[\"vm-2\",\"vm-10\"]",
		     json_object_to_json_string_ext(names, JSON_C_TO_STRING_PLAIN));
	EXPECT_EQ(-1, FILE_OF("dead", "sock"));
	EXPECT_EQ(-1, FILE_OF("dead", "lock"));
	EXPECT_EQ(0, faccessat(self->dir, "notes", F_OK, 0));
	json_object_put(names);
	end(ten);
	end(two);
}

TEST_HARNESS_MAIN
