// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module is mended while guests run: an exit's handler is another one from one
 * exit to the next, and is itself again when the patch is taken away.
 *
 * In a test host with --with dragonfly, whose kernel has CONFIG_LIVEPATCH; hotfix.ko, of
 * selftests/livepatch/, lies beside it.
 */
#include <linux/kvm_para.h>

#include "kselftest_harness.h"
#include "busy.h"
#include "module.h"

#define HOTFIX "/sys/kernel/livepatch/hotfix"

/* Asks for the time over and over: the answer, and how often there was one. */
GUEST_ASM(code_pair, 64,
	  "1: mov $9, %eax\n mov $0x180000, %ebx\n xor %ecx, %ecx\n vmcall\n"
	  "mov %rax, %gs:24\n incq %gs:40\n cmpq $0, %gs:32\n je 1b\n" APIC_DONE);
#define CODE 0x2000

static uint64_t answers(const struct busy *b)
{
	return __atomic_load_n((uint64_t *)apic_cpu(&b->g, 0)->rest, 5);
}

/* What the guest is told from now on. */
static int64_t next_answer(const struct busy *b)
{
	uint64_t seen = answers(b);

	while (answers(b) < seen + 2 && !__atomic_load_n(&b->over, 5))
		usleep(1000);
	return apic_cpu(&b->g, 0)->mail;
}

/* Every thread of the host has come to where the patch holds for it, or no longer. */
static bool transition_is_over(void)
{
	for (int i = 0; i < 6000; i++) {
		if (!strcmp(first_line(HOTFIX "/transition"), "0") || !exists(HOTFIX))
			return true;
		usleep(10000);
	}
	return false;
}

TEST(an_exit_handler_is_replaced_under_running_guests)
{
	struct busy asks = {}, others[2];
	int64_t before;

	if (!exists("/sys/kernel/livepatch"))
		SKIP(return, "this kernel cannot be patched live");
	/* One that never leaves by itself, and one that halts. */
	ASSERT_EQ(0, busy_start(&others[0], apic_busy));
	ASSERT_EQ(0, busy_start(&others[1], apic_idle));
	ASSERT_EQ(0, apic_create(&asks.g, 1, true));
	memcpy(asks.g.memory + CODE, code_pair, GUEST_SIZE(code_pair));
	apic_enter(&asks.g, 0, CODE, 0, 0);
	ASSERT_EQ(0, pthread_create(&asks.thread, NULL, busy_thread, &asks));

	before = next_answer(&asks);
	EXPECT_NE(-KVM_EPERM, before);
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, module_load_file("/root/hotfix.ko", ""));
		EXPECT_TRUE(transition_is_over());
		EXPECT_EQ(-KVM_EPERM, next_answer(&asks));
		ASSERT_EQ(0, write_file(HOTFIX "/enabled", "0"));
		EXPECT_TRUE(transition_is_over());
		EXPECT_EQ(before, next_answer(&asks));
		/* The kernel forgets it a moment later. */
		for (int n = 0; n < 100 && syscall(SYS_delete_module, "hotfix", O_NONBLOCK); n++)
			usleep(100000);
		EXPECT_FALSE(exists("/sys/module/hotfix"));
	}
	for (int i = 0; i < 2; i++) {
		EXPECT_TRUE(busy_goes_on(&others[i], 5));
		EXPECT_EQ(0, busy_stop(&others[i]));
	}
	EXPECT_EQ(0, busy_stop(&asks));
}

TEST_HARNESS_MAIN
