// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tracepoints: what a guest does is seen in tracefs, where trace-cmd and perf look.
 *
 * In a test host with --with dragonfly.
 */
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "guest.h"

#define TRACEFS "/sys/kernel/tracing"
#define EVENTS TRACEFS "/events/dragonfly"

/* 16-bit: an exit of each kind that has a tracepoint of its own. */
GUEST_ASM(code_busy, 16,
	  "mov $0x5a, %al\n out %al, $0x10\n in $0x20, %al\n"
	  "mov $0x1a0, %ecx\n rdmsr\n"
	  "mov $0xf000, %bx\n mov %bx, %ds\n movb $0x77, 0x123\n"
	  "xor %eax, %eax\n cpuid\n hlt");

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

static char *read_text(const char *path)
{
	static char text[1 << 16];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n, done = 0;

	if (fd < 0)
		return NULL;
	while ((n = read(fd, text + done, sizeof(text) - 1 - done)) > 0)
		done += n;
	close(fd);
	text[done] = '\0';
	return text;
}

FIXTURE(trace)
{
	struct guest g;
};

FIXTURE_SETUP(trace)
{
	if (guest_on_kvm())
		SKIP(return, "KVM has tracepoints of its own");
	mkdir(TRACEFS, 0700);
	if (access(EVENTS, F_OK))
		mount("tracefs", TRACEFS, "tracefs", 0, NULL);
	ASSERT_EQ(0, access(EVENTS, F_OK));
	ASSERT_EQ(0, write_text(TRACEFS "/trace", ""));
	ASSERT_EQ(0, guest_create(&self->g, code_busy, GUEST_SIZE(code_busy)));
}

FIXTURE_TEARDOWN(trace)
{
	write_text(EVENTS "/enable", "0");
	guest_destroy(&self->g);
}

static int run_to_hlt(struct guest *g)
{
	int reason;

	do
		reason = guest_run(g);
	while (reason == KVM_EXIT_IO || reason == KVM_EXIT_MMIO);
	return reason;
}

TEST_F(trace, every_event_is_seen_with_its_facts)
{
	static const char *const lines[] = {
		"df_entry: vcpu 0 rip 0x1000 event 0",
		"df_pio: vcpu 0 write 0x10 size 1 value 0x5a",
		"df_pio: vcpu 0 read 0x20 size 1",
		"df_msr: vcpu 0 read 0x1a0 value 0x1800\n",
		"df_mmio: vcpu 0 write 0xf0123 size 1 value 0x77",
		"df_ept_violation: vcpu 0 gpa 0x1000 ",
		"df_exit: vcpu 0 reason EPT_VIOLATION rip 0x1000 ",
		"df_exit: vcpu 0 reason IO_INSTRUCTION ",
		"df_exit: vcpu 0 reason MSR_READ ",
		"df_exit: vcpu 0 reason CPUID ",
		"df_exit: vcpu 0 reason HLT ",
	};
	char *text;

	/* The memory ends below the device. */
	ASSERT_EQ(0, guest_memory(self->g.vm, 0, 0, 0, 0, NULL));
	ASSERT_EQ(0, guest_memory(self->g.vm, 0, 0, 0, 0x10000, self->g.memory));
	ASSERT_EQ(0, write_text(EVENTS "/enable", "1"));
	EXPECT_EQ(KVM_EXIT_HLT, run_to_hlt(&self->g));
	ASSERT_EQ(0, write_text(EVENTS "/enable", "0"));
	text = read_text(TRACEFS "/trace");
	ASSERT_NE(NULL, text);
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		EXPECT_NE(NULL, strstr(text, lines[i]))
		{
			TH_LOG("no '%s' in\n%s", lines[i], text);
		}
	}
}

TEST_F(trace, an_event_can_be_had_alone)
{
	char *text;

	ASSERT_EQ(0, write_text(EVENTS "/df_exit/filter", "reason == 10"));
	ASSERT_EQ(0, write_text(EVENTS "/df_exit/enable", "1"));
	run_to_hlt(&self->g);
	ASSERT_EQ(0, write_text(EVENTS "/df_exit/enable", "0"));
	ASSERT_EQ(0, write_text(EVENTS "/df_exit/filter", "0"));
	text = read_text(TRACEFS "/trace");
	ASSERT_NE(NULL, text);
	EXPECT_NE(NULL, strstr(text, "reason CPUID"));
	EXPECT_EQ(NULL, strstr(text, "reason HLT"));
	EXPECT_EQ(NULL, strstr(text, "df_entry"));
}

TEST_F(trace, what_is_off_costs_no_line)
{
	run_to_hlt(&self->g);
	EXPECT_EQ(NULL, strstr(read_text(TRACEFS "/trace"), "df_"));
}

TEST_HARNESS_MAIN
