// SPDX-License-Identifier: GPL-2.0-only
/*
 * Machine checks: a guest's banks, and errors that user space puts into them.
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm.
 */
#include "kselftest_harness.h"
#include "guest.h"
#include "vcpu-ioctl.h"

#define MCG_CAP 0x179
#define MCG_STATUS 0x17a
#define MCG_CTL 0x17b
#define BANK(n, which) (0x400 + 4 * (n) + (which))
enum { CTL, STATUS, ADDR, MISC };

#define CTL_P (1UL << 8) /* of MCG_CAP: there is an MCG_CTL */
#define MCIP (1UL << 2) /* of MCG_STATUS */
#define VALID (1UL << 63) /* of a bank's status */
#define OVERFLOW (1UL << 62)
#define UNCORRECTED (1UL << 61)
#define CR4_MCE (1UL << 6)
#define MC 18
#define GP 13

/* Where to start says which: nothing, RDMSR or WRMSR. */
GUEST_ASM(code_mce, 64, "hlt\n .fill 7, 1, 0x90\n rdmsr\n hlt\n .fill 5, 1, 0x90\n wrmsr\n hlt");
#define NOTHING 0
#define RDMSR 8
#define WRMSR 16

FIXTURE(mce)
{
	struct guest g;
};

FIXTURE_SETUP(mce)
{
	ASSERT_EQ(0, guest_create(&self->g, code_mce, GUEST_SIZE(code_mce)));
	guest_to_long_mode(&self->g);
	guest_catch(&self->g);
	ASSERT_EQ(0, guest_set_supported_cpuid(&self->g));
}

FIXTURE_TEARDOWN(mce)
{
	guest_destroy(&self->g);
}

static void listen_for_checks(struct guest *g, bool on)
{
	struct kvm_sregs s;

	ioctl(g->vcpu, KVM_GET_SREGS, &s);
	s.cr4 = on ? s.cr4 | CR4_MCE : s.cr4 & ~CR4_MCE;
	ioctl(g->vcpu, KVM_SET_SREGS, &s);
}

static void start(struct guest *g, int what, uint32_t index, uint64_t value)
{
	struct kvm_regs regs = { .rip = GUEST_CODE + what, .rsp = GUEST_STACK, .rflags = 2 };

	regs.rcx = index;
	regs.rax = (uint32_t)value;
	regs.rdx = value >> 32;
	ioctl(g->vcpu, KVM_SET_REGS, &regs);
}

/* The vector that was raised, or GUEST_HALTED if all went well. */
static int guest_does(struct guest *g, int what, uint32_t index, uint64_t value)
{
	start(g, what, index, value);
	return guest_trap(g, NULL);
}

struct msr {
	struct kvm_msrs head;
	struct kvm_msr_entry entry;
};

/* As user space has it; all ones if it has not. */
static uint64_t value_of(struct guest *g, uint32_t index)
{
	struct msr m = { .head.nmsrs = 1, .entry.index = index };

	return ioctl(g->vcpu, KVM_GET_MSRS, &m) == 1 ? m.entry.data : UINT64_MAX;
}

static int set(struct guest *g, uint32_t index, uint64_t value)
{
	struct msr m = { .head.nmsrs = 1, .entry = { .index = index, .data = value } };

	return ioctl(g->vcpu, KVM_SET_MSRS, &m);
}

static int setup(struct guest *g, uint64_t cap)
{
	return ioctl(g->vcpu, KVM_X86_SETUP_MCE, &cap);
}

static int put_error(struct guest *g, uint8_t bank, uint64_t status)
{
	struct kvm_x86_mce error = {
		.status = status,
		.addr = 0x123000,
		.misc = 0x86,
		.mcg_status = MCIP | 1,
		.bank = bank,
	};

	return ioctl(g->vcpu, KVM_X86_SET_MCE, &error);
}

TEST_F(mce, a_guest_has_32_banks_unless_it_is_told_otherwise)
{
	EXPECT_EQ(32, ioctl(self->g.vm, KVM_CHECK_EXTENSION, KVM_CAP_MCE));
	EXPECT_EQ(1 << 7 | 1 << 14, guest_supported(&self->g, 1, 0, 3) & (1 << 7 | 1 << 14));
	EXPECT_EQ(32, value_of(&self->g, MCG_CAP));
	EXPECT_EQ(0, value_of(&self->g, BANK(31, MISC)));
	OK(KVM_X86_SETUP_MCE, &(uint64_t){ 4 });
	EXPECT_EQ(4, value_of(&self->g, MCG_CAP));
	EXPECT_EQ(0, value_of(&self->g, BANK(3, MISC)));
	EXPECT_EQ(UINT64_MAX, value_of(&self->g, BANK(3, CTL)));
	EXPECT_EQ(GUEST_HALTED, guest_does(&self->g, RDMSR, BANK(3, MISC), 0));
	EXPECT_EQ(GP, guest_does(&self->g, RDMSR, BANK(4, CTL), 0));
	EXPECT_EQ(GP, guest_does(&self->g, WRMSR, BANK(4, CTL), 0));
}

TEST_F(mce, absurd_ones_are_refused)
{
	int device = guest_device();
	uint64_t supported;

	ASSERT_EQ(0, ioctl(device, KVM_X86_GET_MCE_CAP_SUPPORTED, &supported));
	close(device);
	EXPECT_TRUE(supported & CTL_P);
	FAILS(EINVAL, setup(&self->g, 0));
	FAILS(EINVAL, setup(&self->g, 33));
	FAILS(EINVAL, setup(&self->g, 255));
	FAILS(EINVAL, setup(&self->g, 10 | 1UL << 63));
	FAILS(EINVAL, setup(&self->g, 10 | (1UL << 31 & ~supported)));
	EXPECT_EQ(0, setup(&self->g, 10 | supported));
	EXPECT_EQ(10 | supported, value_of(&self->g, MCG_CAP));
	EXPECT_EQ(0, set(&self->g, MCG_CAP, 255));
	FAILS(EINVAL, put_error(&self->g, 10, VALID));
	FAILS(EINVAL, put_error(&self->g, 255, VALID));
	FAILS(EINVAL, put_error(&self->g, 0, 0));
	REFUSED(EFAULT, KVM_X86_SET_MCE, NULL);
	REFUSED(EFAULT, KVM_X86_SETUP_MCE, NULL);
}

TEST_F(mce, a_guest_turns_banks_on_and_off_and_clears_them)
{
	EXPECT_EQ(GUEST_HALTED, guest_does(&self->g, WRMSR, BANK(1, CTL), UINT64_MAX));
	EXPECT_EQ(GUEST_HALTED, guest_does(&self->g, WRMSR, BANK(1, CTL), UINT64_MAX ^ 1));
	EXPECT_EQ(UINT64_MAX ^ 1, value_of(&self->g, BANK(1, CTL)));
	EXPECT_EQ(GUEST_HALTED, guest_does(&self->g, WRMSR, BANK(1, CTL), 0));
	EXPECT_EQ(GP, guest_does(&self->g, WRMSR, BANK(1, CTL), 2));
	EXPECT_EQ(1, set(&self->g, BANK(1, STATUS), VALID | 5));
	EXPECT_EQ(GP, guest_does(&self->g, WRMSR, BANK(1, STATUS), VALID));
	EXPECT_EQ(VALID | 5, value_of(&self->g, BANK(1, STATUS)));
	EXPECT_EQ(GUEST_HALTED, guest_does(&self->g, WRMSR, BANK(1, STATUS), 0));
	EXPECT_EQ(0, value_of(&self->g, BANK(1, STATUS)));
	EXPECT_EQ(GUEST_HALTED, guest_does(&self->g, WRMSR, BANK(1, ADDR), 0x1000));
	EXPECT_EQ(0x1000, value_of(&self->g, BANK(1, ADDR)));
	EXPECT_EQ(GP, guest_does(&self->g, WRMSR, MCG_CAP, 33));
}

TEST_F(mce, the_switch_of_all_banks_is_there_if_the_capability_says_so)
{
	EXPECT_EQ(GP, guest_does(&self->g, RDMSR, MCG_CTL, 0));
	EXPECT_EQ(GP, guest_does(&self->g, WRMSR, MCG_CTL, UINT64_MAX));
	ASSERT_EQ(0, setup(&self->g, 32 | CTL_P));
	EXPECT_EQ(GUEST_HALTED, guest_does(&self->g, RDMSR, MCG_CTL, 0));
	EXPECT_EQ(UINT64_MAX, value_of(&self->g, MCG_CTL));
	EXPECT_EQ(GUEST_HALTED, guest_does(&self->g, WRMSR, MCG_CTL, 0));
	EXPECT_EQ(GP, guest_does(&self->g, WRMSR, MCG_CTL, 1));
	EXPECT_EQ(0, value_of(&self->g, MCG_CTL));
}

TEST_F(mce, an_uncorrected_error_is_an_exception_once)
{
	ASSERT_EQ(0, setup(&self->g, 10 | CTL_P));
	listen_for_checks(&self->g, true);
	ASSERT_EQ(0, put_error(&self->g, 2, VALID | UNCORRECTED | 0x17a));
	EXPECT_EQ(MC, guest_trap(&self->g, NULL));
	EXPECT_EQ(VALID | UNCORRECTED | 0x17a, value_of(&self->g, BANK(2, STATUS)));
	EXPECT_EQ(0x123000, value_of(&self->g, BANK(2, ADDR)));
	EXPECT_EQ(0x86, value_of(&self->g, BANK(2, MISC)));
	EXPECT_EQ(MCIP | 1, value_of(&self->g, MCG_STATUS));
	EXPECT_EQ(GUEST_HALTED, guest_does(&self->g, NOTHING, 0, 0));
	/* Handled; what was not read is lost. */
	EXPECT_EQ(GUEST_HALTED, guest_does(&self->g, WRMSR, MCG_STATUS, 0));
	start(&self->g, NOTHING, 0, 0);
	ASSERT_EQ(0, put_error(&self->g, 2, VALID | UNCORRECTED | 1));
	EXPECT_EQ(MC, guest_trap(&self->g, NULL));
	EXPECT_EQ(VALID | OVERFLOW | UNCORRECTED | 1, value_of(&self->g, BANK(2, STATUS)));
}

TEST_F(mce, a_second_one_before_the_first_is_handled_is_the_end)
{
	ASSERT_EQ(0, setup(&self->g, 10));
	listen_for_checks(&self->g, true);
	ASSERT_EQ(0, put_error(&self->g, 0, VALID | UNCORRECTED));
	EXPECT_EQ(MC, guest_trap(&self->g, NULL));
	ASSERT_EQ(0, put_error(&self->g, 1, VALID | UNCORRECTED));
	EXPECT_EQ(0, value_of(&self->g, BANK(1, STATUS)));
	EXPECT_EQ(KVM_EXIT_SHUTDOWN, guest_run(&self->g));
}

TEST_F(mce, one_that_finds_the_guest_not_listening_is_the_end)
{
	ASSERT_EQ(0, setup(&self->g, 10));
	listen_for_checks(&self->g, false);
	ASSERT_EQ(0, put_error(&self->g, 0, VALID | UNCORRECTED));
	EXPECT_EQ(KVM_EXIT_SHUTDOWN, guest_run(&self->g));
}

TEST_F(mce, one_that_is_turned_off_does_nothing)
{
	listen_for_checks(&self->g, true);
	/* A bank, which are off at first, */
	ASSERT_EQ(0, put_error(&self->g, 0, VALID | UNCORRECTED));
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	EXPECT_EQ(0, value_of(&self->g, BANK(0, STATUS)));
	/* and all of them. */
	ASSERT_EQ(0, setup(&self->g, 10 | CTL_P));
	ASSERT_EQ(1, set(&self->g, MCG_CTL, 0));
	start(&self->g, NOTHING, 0, 0);
	ASSERT_EQ(0, put_error(&self->g, 0, VALID | UNCORRECTED));
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	EXPECT_EQ(0, value_of(&self->g, BANK(0, STATUS)));
}

TEST_F(mce, corrected_errors_are_only_written_down)
{
	ASSERT_EQ(0, setup(&self->g, 10));
	listen_for_checks(&self->g, true);
	ASSERT_EQ(0, put_error(&self->g, 3, VALID | 1));
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	EXPECT_EQ(VALID | 1, value_of(&self->g, BANK(3, STATUS)));
	EXPECT_EQ(0, value_of(&self->g, MCG_STATUS));
	ASSERT_EQ(0, put_error(&self->g, 3, VALID | 2));
	EXPECT_EQ(VALID | OVERFLOW | 2, value_of(&self->g, BANK(3, STATUS)));
	/* They do not write over one that is worse. */
	ASSERT_EQ(1, set(&self->g, BANK(3, STATUS), VALID | UNCORRECTED | 3));
	ASSERT_EQ(0, put_error(&self->g, 3, VALID | 4));
	EXPECT_EQ(VALID | OVERFLOW | UNCORRECTED | 3, value_of(&self->g, BANK(3, STATUS)));
}

TEST_HARNESS_MAIN
