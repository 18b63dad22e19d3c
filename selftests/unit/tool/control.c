// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control socket, with the real loop behind it: what is no request is refused,
 * and no client is in another's way.
 */
#include "kselftest_harness.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "control/server.h"
#include "dragonfly.h"

/* A machine that has only what answering takes: no vCPU, and no device but in name. */
FIXTURE(control)
{
	char root[32], why[256];
	struct options options;
	struct machine machine;
	pthread_t thread;
};

static void *run_loop(void *context)
{
	struct machine *machine = context;

	loop__run(&machine->loop, &machine->lock);
	return NULL;
}

FIXTURE_SETUP(control)
{
	strcpy(self->root, "/tmp/control-XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->root));
	setenv("XDG_RUNTIME_DIR", self->root, 1);
	memset(&self->machine, 0, sizeof(self->machine));
	self->options.device = "/dev/none";
	self->machine.options = &self->options;
	pthread_mutex_init(&self->machine.lock, NULL);
	ASSERT_EQ(0, loop__create(&self->machine.loop));
	self->machine.control = control__create(&self->machine, "vm");
	ASSERT_NE(NULL, self->machine.control);
	ASSERT_EQ(0, pthread_create(&self->thread, NULL, run_loop, &self->machine));
	*self->why = '\0';
	complain_to(self->why, sizeof(self->why));
}

/* The loop's thread ends with the test's process. */
FIXTURE_TEARDOWN(control)
{
	char path[64];

	complain_to(NULL, 0);
	pthread_mutex_lock(&self->machine.lock);
	control__destroy(self->machine.control);
	snprintf(path, sizeof(path), "%s/dragonfly", self->root);
	EXPECT_EQ(0, rmdir(path));
	EXPECT_EQ(0, rmdir(self->root));
}

static int connect_to(const char *root)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/dragonfly/vm.sock", root);
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	close(fd);
	return -1;
}

/* What is answered to some bytes; to be freed. */
static char *answer_to(const char *root, const char *text, size_t size)
{
	char *answer = calloc(1, 2 * MAX_REQUEST);
	int fd = connect_to(root);
	size_t got = 0;
	ssize_t n;

	if (send(fd, text, size, MSG_NOSIGNAL) == (ssize_t)size)
		while ((n = recv(fd, answer + got, 2 * MAX_REQUEST - 1 - got, 0)) > 0)
			got += n;
	close(fd);
	return answer;
}

TEST_F(control, what_is_no_request_is_refused)
{
	static const struct {
		const char *line, *why;
	} rows[] = {
		{ "\n", "one JSON object" },
		{ "hello\n", "one JSON object" },
		{ "[1]\n", "one JSON object" },
		{ "{\"do\":\"list\"\n", "one JSON object" },
		{ "{\"do\":\"list\"} 1\n", "one JSON object" },
		{ "{\"do\":[[[[[[1]]]]]]}\n", "one JSON object" },
		{ "{'do':'list'}\n", "one JSON object" },
		{ "{\"do\":\"\xff\"}\n", "one JSON object" },
		{ "{}\n", "needs a text \\\"do\\\"" },
		{ "{\"do\":1}\n", "needs a text \\\"do\\\"" },
		{ "{\"do\":null}\n", "needs a text \\\"do\\\"" },
		{ "{\"do\":\"fly\"}\n", "this VM cannot 'fly'" },
		{ "{\"do\":\"assign\"}\n", "needs a text \\\"kind\\\"" },
		{ "{\"do\":\"assign\",\"kind\":\"tap\",\"text\":{}}\n",
		  "needs a text \\\"text\\\"" },
		{ "{\"do\":\"assign\",\"kind\":\"usb\",\"text\":\"a\"}\n", "not a 'usb'" },
		{ "{\"do\":\"release\",\"name\":7}\n", "needs a text \\\"name\\\"" },
		{ "{\"do\":\"release\",\"name\":\"tap0\"}\n", "has no queue tap0" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *answer = answer_to(self->root, rows[i].line, strlen(rows[i].line));

		EXPECT_EQ(0, strncmp(answer, "{\"error\":", 9)) TH_LOG("%s", answer);
		EXPECT_NE(NULL, strstr(answer, rows[i].why)) TH_LOG("%s", answer);
		free(answer);
	}
}

TEST_F(control, a_line_that_does_not_end_is_refused)
{
	char line[MAX_REQUEST], *answer;

	memset(line, ' ', sizeof(line));
	answer = answer_to(self->root, line, sizeof(line));
	EXPECT_NE(NULL, strstr(answer, "one JSON object")) TH_LOG("%s", answer);
	free(answer);
}

TEST_F(control, a_request_may_come_in_pieces)
{
	static const char line[] = "{\"do\":\"list\"}\n";
	int fd = connect_to(self->root);
	char c;

	for (size_t i = 0; i < strlen(line); i++)
		ASSERT_EQ(1, send(fd, &line[i], 1, MSG_NOSIGNAL));
	EXPECT_EQ(1, recv(fd, &c, 1, 0));
	EXPECT_EQ('{', c);
	close(fd);
}

TEST_F(control, a_running_vm_tells_of_itself)
{
	struct json_object *vm = control__order("vm", control__request("list"));

	ASSERT_NE(NULL, vm) TH_LOG("%s", self->why);
	EXPECT_STREQ("vm", json_object_get_string(json_object_object_get(vm, "name")));
	EXPECT_STREQ("running", json_object_get_string(json_object_object_get(vm, "state")));
	EXPECT_EQ(getpid(), json_object_get_int(json_object_object_get(vm, "pid")));
	json_object_put(vm);
}

/* More of them than there is room for, and one that will not read what it asked for. */
TEST_F(control, clients_that_do_nothing_are_in_nobody_s_way)
{
	static const char line[] = "{\"do\":\"list\"}\n";
	int idle[2 * MAX_CLIENTS];

	for (int i = 0; i < 2 * MAX_CLIENTS; i++) {
		idle[i] = connect_to(self->root);
		ASSERT_LE(0, idle[i]);
		if (i % 2)
			send(idle[i], line, strlen(line), MSG_NOSIGNAL);
	}
	for (int i = 0; i < 2; i++) {
		struct json_object *vm = control__order("vm", control__request("list"));

		EXPECT_NE(NULL, vm) TH_LOG("%s", self->why);
		json_object_put(vm);
	}
	for (int i = 0; i < 2 * MAX_CLIENTS; i++)
		close(idle[i]);
}

TEST_F(control, an_error_is_the_client_s_to_read)
{
	EXPECT_EQ(NULL, control__order("vm", control__request("fly")));
	EXPECT_STREQ("vm: this VM cannot 'fly'", self->why);
}

TEST_F(control, a_vm_that_is_not_there_is_told_of)
{
	EXPECT_EQ(NULL, control__order("nobody", control__request("list")));
	EXPECT_NE(NULL, strstr(self->why, "there is no VM 'nobody'")) TH_LOG("%s", self->why);
	EXPECT_EQ(NULL, control__order("../vm", control__request("list")));
	EXPECT_NE(NULL, strstr(self->why, "is no name")) TH_LOG("%s", self->why);
}

TEST_F(control, the_socket_is_its_owner_s_alone)
{
	struct stat stat;
	char path[64];

	snprintf(path, sizeof(path), "%s/dragonfly/vm.sock", self->root);
	ASSERT_EQ(0, lstat(path, &stat));
	EXPECT_EQ(S_IFSOCK | 0600, stat.st_mode);
}

/* What it had may not be free yet. */
TEST_F(control, a_vm_that_ends_has_its_name_and_answers_no_more)
{
	pthread_mutex_lock(&self->machine.lock);
	control__close(self->machine.control);
	pthread_mutex_unlock(&self->machine.lock);
	EXPECT_EQ(NULL, control__order("vm", control__request("list")));
	EXPECT_NE(NULL, strstr(self->why, "there is no VM 'vm'")) TH_LOG("%s", self->why);
	EXPECT_EQ(NULL, control__create(&self->machine, "vm"));
	EXPECT_NE(NULL, strstr(self->why, "a running VM has the name")) TH_LOG("%s", self->why);
}

TEST_F(control, a_second_vm_of_the_name_is_refused)
{
	EXPECT_EQ(NULL, control__create(&self->machine, "vm"));
	EXPECT_NE(NULL, strstr(self->why, "a running VM has the name")) TH_LOG("%s", self->why);
}

TEST_HARNESS_MAIN
