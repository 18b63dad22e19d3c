// SPDX-License-Identifier: GPL-2.0-only
/*
 * What kind of CPU a guest has: CPUID, MSRs and the TSC, as user space sets them and
 * as the guest sees them.
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm.
 */
#include "kselftest_harness.h"
#include "guest.h"
#include "vcpu-ioctl.h"

#define MSR_TSC 0x10
#define MSR_TSC_ADJUST 0x3b
#define MSR_SYSENTER_CS 0x174
#define MSR_MISC_ENABLE 0x1a0
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MSR_PAT 0x277
#define MSR_EFER 0xc0000080
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_TSC_AUX 0xc0000103
#define MSR_PLATFORM_INFO 0xce
#define MSR_HWCR 0xc0010015
#define MSR_NONE 0xdead

/* Where to start says which: RDMSR, WRMSR, RDTSC or RDTSCP. */
GUEST_ASM(code_msr, 64,
	  "rdmsr\n hlt\n .fill 5, 1, 0x90\n wrmsr\n hlt\n .fill 5, 1, 0x90\n"
	  "rdtsc\n hlt\n .fill 5, 1, 0x90\n rdtscp\n hlt");
#define RDMSR 0
#define WRMSR 8
#define RDTSC 16
#define RDTSCP 24

FIXTURE(msrs)
{
	struct guest g;
};

FIXTURE_SETUP(msrs)
{
	ASSERT_EQ(0, guest_create(&self->g, code_msr, GUEST_SIZE(code_msr)));
	guest_to_long_mode(&self->g);
	guest_catch(&self->g);
	ASSERT_EQ(0, guest_set_supported_cpuid(&self->g));
}

FIXTURE_TEARDOWN(msrs)
{
	guest_destroy(&self->g);
}

struct msrs {
	struct kvm_msrs head;
	struct kvm_msr_entry entries[300];
};

struct list {
	uint32_t n;
	uint32_t index[1000];
};

/* 1 if it was done, 0 if not, as the ioctls count. */
static int user_read(struct guest *g, uint32_t index, uint64_t *value)
{
	struct msrs m = { .head.nmsrs = 1, .entries = { { .index = index } } };
	int done = ioctl(g->vcpu, KVM_GET_MSRS, &m);

	*value = m.entries[0].data;
	return done;
}

static int user_write(struct guest *g, uint32_t index, uint64_t value)
{
	struct msrs m = { .head.nmsrs = 1, .entries = { { .index = index, .data = value } } };

	return ioctl(g->vcpu, KVM_SET_MSRS, &m);
}

static void start(struct guest *g, int what, uint32_t index, uint64_t value)
{
	struct kvm_regs regs = { .rip = GUEST_CODE + what, .rsp = GUEST_STACK, .rflags = 2 };

	/* The upper halves of the registers do not count. */
	regs.rcx = index | 5UL << 32;
	regs.rax = (uint32_t)value | 6UL << 32;
	regs.rdx = value >> 32 | 7UL << 32;
	ioctl(g->vcpu, KVM_SET_REGS, &regs);
}

static uint64_t result(struct guest *g)
{
	struct kvm_regs regs;

	ioctl(g->vcpu, KVM_GET_REGS, &regs);
	return regs.rdx << 32 | regs.rax;
}

/* The vector that was raised, or GUEST_HALTED if all went well. */
static int guest_rdmsr(struct guest *g, uint32_t index, uint64_t *value)
{
	int trap;

	start(g, RDMSR, index, 0);
	trap = guest_trap(g, NULL);
	*value = result(g);
	return trap;
}

static int guest_wrmsr(struct guest *g, uint32_t index, uint64_t value)
{
	start(g, WRMSR, index, value);
	return guest_trap(g, NULL);
}

static uint64_t guest_rdtsc(struct guest *g)
{
	start(g, RDTSC, 0, 0);
	return guest_trap(g, NULL) == GUEST_HALTED ? result(g) : 0;
}

TEST_F(msrs, lists_say_how_long_they_are)
{
	static const unsigned long commands[] = { KVM_GET_MSR_INDEX_LIST,
						  KVM_GET_MSR_FEATURE_INDEX_LIST };
	struct list list;

	for (unsigned int i = 0; i < ARRAY_SIZE(commands); i++) {
		uint32_t n, twins = 0;

		memset(&list, 0, sizeof(list));
		EXPECT_EQ(-1, ioctl(self->g.device, commands[i], &list));
		EXPECT_EQ(E2BIG, errno);
		EXPECT_EQ(0, list.index[0]);
		n = list.n;
		ASSERT_LT(0, n);
		ASSERT_GT(ARRAY_SIZE(list.index), n);
		list.n = n - 1;
		EXPECT_EQ(-1, ioctl(self->g.device, commands[i], &list));
		EXPECT_EQ(E2BIG, errno);
		EXPECT_EQ(n, list.n);
		EXPECT_EQ(0, ioctl(self->g.device, commands[i], &list));
		EXPECT_EQ(n, list.n);
		EXPECT_EQ(0, list.index[n]);
		for (uint32_t a = 0; a < n; a++)
			for (uint32_t b = 0; b < a; b++)
				twins += list.index[a] == list.index[b];
		EXPECT_EQ(0, twins);
	}
}

/* A program that saves a VM asks for all of them, and gives them back. */
TEST_F(msrs, every_listed_msr_can_be_read_and_written_back)
{
	struct list list = { .n = ARRAY_SIZE(list.index) };

	ASSERT_EQ(0, ioctl(self->g.device, KVM_GET_MSR_INDEX_LIST, &list));
	for (uint32_t i = 0; i < list.n; i++) {
		uint64_t value;

		EXPECT_EQ(1, user_read(&self->g, list.index[i], &value))
		{
			TH_LOG("reading MSR %#x", list.index[i]);
		}
		/* KVM's MSR_KVM_ASYNC_PF_INT takes a local APIC, even for 0. */
		if (list.index[i] == 0x4b564d06)
			continue;
		EXPECT_EQ(1, user_write(&self->g, list.index[i], value))
		{
			TH_LOG("writing MSR %#x", list.index[i]);
		}
	}
}

TEST_F(msrs, every_feature_msr_can_be_read_from_the_device)
{
	struct list list = { .n = ARRAY_SIZE(list.index) };

	ASSERT_EQ(0, ioctl(self->g.device, KVM_GET_MSR_FEATURE_INDEX_LIST, &list));
	for (uint32_t i = 0; i < list.n; i++) {
		struct msrs m = { .head.nmsrs = 1, .entries = { { .index = list.index[i] } } };

		EXPECT_EQ(1, ioctl(self->g.device, KVM_GET_MSRS, &m))
		{
			TH_LOG("MSR %#x", list.index[i]);
		}
	}
	struct msrs m = { .head.nmsrs = 1, .entries = { { .index = MSR_NONE } } };

	EXPECT_EQ(0, ioctl(self->g.device, KVM_GET_MSRS, &m));
}

TEST_F(msrs, a_bad_one_ends_the_list)
{
	struct msrs m = {
		.head.nmsrs = 3,
		.entries = {
			{ .index = MSR_STAR, .data = 0x11 },
			{ .index = MSR_NONE, .data = 0x22 },
			{ .index = MSR_LSTAR, .data = 0x33 },
		},
	};

	EXPECT_EQ(1, VCPU(KVM_SET_MSRS, &m));
	m.entries[0].data = 0x99;
	m.entries[2].data = 0x99;
	EXPECT_EQ(1, VCPU(KVM_GET_MSRS, &m));
	EXPECT_EQ(0x11, m.entries[0].data);
	EXPECT_EQ(0x99, m.entries[2].data);
	m.entries[1].index = MSR_STAR;
	EXPECT_EQ(3, VCPU(KVM_GET_MSRS, &m));
	EXPECT_EQ(0, m.entries[2].data) TH_LOG("it was not written");
	m.head.nmsrs = 0;
	EXPECT_EQ(0, VCPU(KVM_GET_MSRS, &m));
	EXPECT_EQ(0, VCPU(KVM_SET_MSRS, &m));
}

TEST_F(msrs, too_many_at_once_is_e2big)
{
	struct msrs m = { .head.nmsrs = 255 };

	for (unsigned int i = 0; i < 256; i++)
		m.entries[i].index = MSR_EFER;
	EXPECT_EQ(255, VCPU(KVM_GET_MSRS, &m));
	EXPECT_EQ(255, VCPU(KVM_SET_MSRS, &m));
	m.head.nmsrs = 256;
	REFUSED(E2BIG, KVM_GET_MSRS, &m);
	REFUSED(E2BIG, KVM_SET_MSRS, &m);
	m.head.nmsrs = ~0U;
	REFUSED(E2BIG, KVM_GET_MSRS, &m);
	REFUSED(E2BIG, KVM_SET_MSRS, &m);
}

TEST_F(msrs, values_go_to_the_guest_and_back)
{
	static const struct {
		uint32_t index;
		uint64_t user, guest;
	} cases[] = {
		{ MSR_SYSENTER_CS, 0x10, 0x33 },
		{ 0x175, 0x123456789000, 0xffff800000001000 }, /* SYSENTER_ESP */
		{ 0x176, 0xffff812345678900, 0x7fffffffffff }, /* SYSENTER_EIP */
		{ MSR_MISC_ENABLE, 0x1801, 0x1801 },
		{ 0x200, 0x80000006, 0xc0000000 }, /* variable MTRR 0, base and mask */
		{ 0x201, 0xf80000800, 0xfc0000800 },
		{ 0x250, 0x0606060606060606, 0x0001040506060606 }, /* MTRR of the first 512 KiB */
		{ 0x26f, 0x0505050505050505, 0 },
		{ MSR_PAT, 0x0007040600070406, 0x0007010600070106 },
		{ 0x2ff, 0xc06, 0x800 }, /* the MTRRs' default type, and their switches */
		{ MSR_EFER, 0x501, 0xd01 },
		{ MSR_STAR, 0x0023001000000000, 0x0033002012345678 },
		{ MSR_LSTAR, 0xffffffff81000000, 0x7fffffffffff },
		{ 0xc0000083, 0xffffffff82000000, 0x1000 }, /* CSTAR */
		{ 0xc0000084, 0x47700, 0x700 }, /* SFMASK */
		{ 0xc0000100, 0x7f0000001000, 0xffff888000000000 }, /* FS_BASE */
		{ 0xc0000101, 0xffff888000000000, 0x7f0000001000 }, /* GS_BASE */
		{ MSR_KERNEL_GS_BASE, 0xffff888012345678, 0x1234 },
		{ MSR_TSC_AUX, 0x12345678, 0x9abcdef0 },
	};
	uint64_t value;

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t index = cases[i].index;

		EXPECT_EQ(1, user_write(&self->g, index, cases[i].user))
		{
			TH_LOG("user space writes MSR %#x", index);
		}
		EXPECT_EQ(GUEST_HALTED, guest_rdmsr(&self->g, index, &value));
		EXPECT_EQ(cases[i].user, value)
		{
			TH_LOG("the guest reads MSR %#x", index);
		}
		EXPECT_EQ(GUEST_HALTED, guest_wrmsr(&self->g, index, cases[i].guest))
		{
			TH_LOG("the guest writes MSR %#x", index);
		}
		EXPECT_EQ(1, user_read(&self->g, index, &value));
		EXPECT_EQ(cases[i].guest, value)
		{
			TH_LOG("user space reads MSR %#x", index);
		}
	}
}

/* What is a segment's base in one interface is an MSR in the other. */
TEST_F(msrs, fs_and_gs_are_the_same_in_sregs)
{
	struct kvm_sregs s;
	uint64_t value;

	EXPECT_EQ(1, user_write(&self->g, 0xc0000100, 0x123000));
	OK(KVM_GET_SREGS, &s);
	EXPECT_EQ(0x123000, s.fs.base);
	EXPECT_EQ(GUEST_HALTED, guest_wrmsr(&self->g, 0xc0000101, 0x456000));
	OK(KVM_GET_SREGS, &s);
	EXPECT_EQ(0x456000, s.gs.base);
	EXPECT_EQ(GUEST_HALTED, guest_wrmsr(&self->g, MSR_EFER, 0xd01));
	OK(KVM_GET_SREGS, &s);
	EXPECT_EQ(0xd01, s.efer);
	s.fs.base = 0x789000;
	s.efer = 0x500;
	OK(KVM_SET_SREGS, &s);
	EXPECT_EQ(1, user_read(&self->g, 0xc0000100, &value));
	EXPECT_EQ(0x789000, value);
	EXPECT_EQ(1, user_read(&self->g, MSR_EFER, &value));
	EXPECT_EQ(0x500, value);
}

TEST_F(msrs, impossible_values_are_refused)
{
	static const struct {
		uint32_t index;
		uint64_t value;
	} cases[] = {
		{ MSR_LSTAR, 1UL << 63 },
		{ 0xc0000083, 1UL << 47 }, /* CSTAR */
		{ 0xc0000100, 1UL << 47 }, /* FS_BASE */
		{ 0xc0000101, 1UL << 62 }, /* GS_BASE */
		{ MSR_KERNEL_GS_BASE, 1UL << 47 },
		{ MSR_PAT, 0x0007040600070402 },
		{ MSR_PAT, 0x0807040600070406 },
		{ 0x2ff, 0xc02 },
		{ 0x2ff, 0x1006 },
		{ 0x250, 2 },
		{ 0x200, 2 },
		{ MSR_NONE, 0 },
	};
	uint64_t before, after;

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		user_read(&self->g, cases[i].index, &before);
		EXPECT_EQ(0, user_write(&self->g, cases[i].index, cases[i].value))
		{
			TH_LOG("user space, MSR %#x", cases[i].index);
		}
		EXPECT_EQ(13, guest_wrmsr(&self->g, cases[i].index, cases[i].value))
		{
			TH_LOG("the guest, MSR %#x", cases[i].index);
		}
		user_read(&self->g, cases[i].index, &after);
		EXPECT_EQ(before, after);
	}
	/* Only from the guest: bits that nobody has, and long mode off while it is on. */
	EXPECT_EQ(13, guest_wrmsr(&self->g, MSR_EFER, 1UL << 63 | 0xd00));
	EXPECT_EQ(13, guest_wrmsr(&self->g, MSR_EFER, 0));
	EXPECT_EQ(13, guest_wrmsr(&self->g, 0xfe, 0)) TH_LOG("MTRRcap");
}

TEST_F(msrs, an_unknown_msr_is_a_general_protection_fault)
{
	struct guest_trap trap;
	uint64_t value;

	EXPECT_EQ(0, user_read(&self->g, MSR_NONE, &value));
	start(&self->g, RDMSR, MSR_NONE, 0);
	EXPECT_EQ(13, guest_trap(&self->g, &trap));
	EXPECT_EQ(0, trap.error);
	EXPECT_EQ(GUEST_CODE + RDMSR, trap.rip);
	start(&self->g, WRMSR, MSR_NONE, 0);
	EXPECT_EQ(13, guest_trap(&self->g, &trap));
	EXPECT_EQ(0, trap.error);
	EXPECT_EQ(GUEST_CODE + WRMSR, trap.rip);
	/* Beyond what an MSR bitmap can say. */
	EXPECT_EQ(13, guest_rdmsr(&self->g, 0x80000000, &value));
	EXPECT_EQ(13, guest_rdmsr(&self->g, ~0U, &value));
	EXPECT_EQ(13, guest_wrmsr(&self->g, 0xc0002000, 0));
}

TEST_F(msrs, an_msr_takes_its_feature_in_cpuid)
{
	uint64_t value;

	guest_set_cpuid(&self->g);
	EXPECT_EQ(13, guest_rdmsr(&self->g, MSR_TSC_AUX, &value));
	EXPECT_EQ(13, guest_wrmsr(&self->g, MSR_TSC_AUX, 0));
}

/* AMD's, of which a guest that moves here from KVM may have these bits. */
TEST_F(msrs, of_hwcr_two_bits_are_kept)
{
	uint64_t value, kept = 1UL << 18 | 1UL << 24, ignored = 1UL << 3 | 1UL << 6 | 1UL << 8;

	EXPECT_EQ(1, user_write(&self->g, MSR_HWCR, kept | ignored));
	EXPECT_EQ(1, user_read(&self->g, MSR_HWCR, &value));
	EXPECT_EQ(kept, value);
	EXPECT_EQ(0, user_write(&self->g, MSR_HWCR, 1));
	EXPECT_EQ(0, user_write(&self->g, MSR_HWCR, 1UL << 32));
	EXPECT_EQ(13, guest_wrmsr(&self->g, MSR_HWCR, 1));
	EXPECT_EQ(GUEST_HALTED, guest_wrmsr(&self->g, MSR_HWCR, 1UL << 24));
	EXPECT_EQ(GUEST_HALTED, guest_rdmsr(&self->g, MSR_HWCR, &value));
	EXPECT_EQ(1UL << 24, value);
}

TEST_F(msrs, user_space_can_take_platform_info_away)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MSR_PLATFORM_INFO };
	uint64_t value;

	EXPECT_EQ(1, ioctl(self->g.vm, KVM_CHECK_EXTENSION, KVM_CAP_MSR_PLATFORM_INFO));
	EXPECT_EQ(1, user_write(&self->g, MSR_PLATFORM_INFO, 0x80001800));
	EXPECT_EQ(GUEST_HALTED, guest_rdmsr(&self->g, MSR_PLATFORM_INFO, &value));
	EXPECT_EQ(0x80001800, value);
	ASSERT_EQ(0, ioctl(self->g.vm, KVM_ENABLE_CAP, &cap));
	EXPECT_EQ(13, guest_rdmsr(&self->g, MSR_PLATFORM_INFO, &value));
	EXPECT_EQ(1, user_read(&self->g, MSR_PLATFORM_INFO, &value));
	cap.args[0] = 1;
	ASSERT_EQ(0, ioctl(self->g.vm, KVM_ENABLE_CAP, &cap));
	EXPECT_EQ(GUEST_HALTED, guest_rdmsr(&self->g, MSR_PLATFORM_INFO, &value));
}

static int msrs_to_user(struct guest *g, uint64_t reasons)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_USER_SPACE_MSR, .args[0] = reasons };

	return ioctl(g->vm, KVM_ENABLE_CAP, &cap);
}

TEST_F(msrs, user_space_has_unknown_msrs_where_it_asks)
{
	struct kvm_run *run = self->g.run;
	struct guest_trap trap;

	EXPECT_LT(0, ioctl(self->g.vm, KVM_CHECK_EXTENSION, KVM_CAP_X86_USER_SPACE_MSR));
	ASSERT_EQ(0,
		  msrs_to_user(&self->g, KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL));
	start(&self->g, RDMSR, MSR_NONE, 0);
	ASSERT_EQ(KVM_EXIT_X86_RDMSR, guest_run(&self->g));
	EXPECT_EQ(MSR_NONE, run->msr.index);
	EXPECT_EQ(KVM_MSR_EXIT_REASON_UNKNOWN, run->msr.reason);
	EXPECT_EQ(0, run->msr.error);
	run->msr.data = 0x123456789abcdef0;
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	EXPECT_EQ(0x123456789abcdef0, result(&self->g));

	start(&self->g, RDMSR, MSR_NONE, 0);
	ASSERT_EQ(KVM_EXIT_X86_RDMSR, guest_run(&self->g));
	run->msr.error = 1;
	EXPECT_EQ(13, guest_trap(&self->g, &trap));
	EXPECT_EQ(0, trap.error);
	EXPECT_EQ(GUEST_CODE + RDMSR, trap.rip);

	start(&self->g, WRMSR, MSR_NONE + 1, 0xfedcba9876543210);
	ASSERT_EQ(KVM_EXIT_X86_WRMSR, guest_run(&self->g));
	EXPECT_EQ(MSR_NONE + 1, run->msr.index);
	EXPECT_EQ(KVM_MSR_EXIT_REASON_UNKNOWN, run->msr.reason);
	EXPECT_EQ(0xfedcba9876543210, run->msr.data);
	EXPECT_EQ(0, run->msr.error);
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));

	start(&self->g, WRMSR, MSR_NONE, 1);
	ASSERT_EQ(KVM_EXIT_X86_WRMSR, guest_run(&self->g));
	run->msr.error = 1;
	EXPECT_EQ(13, guest_trap(&self->g, &trap));
	EXPECT_EQ(GUEST_CODE + WRMSR, trap.rip);
}

TEST_F(msrs, user_space_has_bad_values_where_it_asks)
{
	struct kvm_run *run = self->g.run;
	uint64_t value;

	ASSERT_EQ(0, msrs_to_user(&self->g, KVM_MSR_EXIT_REASON_INVAL));
	/* Not the PAT: on Dragonfly the CPU itself refuses its bad values. */
	EXPECT_EQ(13, guest_rdmsr(&self->g, MSR_NONE, &value)) TH_LOG("unknown is another");
	start(&self->g, WRMSR, MSR_MTRR_DEF_TYPE, 2);
	ASSERT_EQ(KVM_EXIT_X86_WRMSR, guest_run(&self->g));
	EXPECT_EQ(MSR_MTRR_DEF_TYPE, run->msr.index);
	EXPECT_EQ(KVM_MSR_EXIT_REASON_INVAL, run->msr.reason);
	EXPECT_EQ(2, run->msr.data);
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	EXPECT_EQ(1, user_read(&self->g, MSR_MTRR_DEF_TYPE, &value));
	EXPECT_NE(2, value);
	EXPECT_EQ(GUEST_HALTED, guest_wrmsr(&self->g, MSR_LSTAR, 0x1000));
	/* And no more once it asks no more. */
	ASSERT_EQ(0, msrs_to_user(&self->g, 0));
	EXPECT_EQ(13, guest_wrmsr(&self->g, MSR_MTRR_DEF_TYPE, 2));
	EXPECT_EQ(-1, msrs_to_user(&self->g, 1UL << 31));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(msrs, the_tsc_has_a_frequency)
{
	int khz = ioctl(self->g.vcpu, KVM_GET_TSC_KHZ, 0);

	ASSERT_LT(0, khz);
	EXPECT_EQ(0, ioctl(self->g.vcpu, KVM_SET_TSC_KHZ, khz));
	EXPECT_EQ(khz, ioctl(self->g.vcpu, KVM_GET_TSC_KHZ, 0));
	EXPECT_EQ(0, ioctl(self->g.vcpu, KVM_SET_TSC_KHZ, 0)) TH_LOG("0 is the host's own");
	EXPECT_EQ(khz, ioctl(self->g.vcpu, KVM_GET_TSC_KHZ, 0));
	EXPECT_EQ(-1, ioctl(self->g.vcpu, KVM_SET_TSC_KHZ, ~0U));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_LT(0, ioctl(self->g.vm, KVM_CHECK_EXTENSION, KVM_CAP_GET_TSC_KHZ));
	EXPECT_TRUE(ioctl(self->g.vm, KVM_CHECK_EXTENSION, KVM_CAP_VM_TSC_CONTROL) <= 0 ||
		    ioctl(self->g.vm, KVM_GET_TSC_KHZ, 0) == khz);
}

TEST_F(msrs, the_tsc_only_goes_up)
{
	uint64_t last = 0, msr;

	for (unsigned int i = 0; i < 20; i++) {
		uint64_t now = guest_rdtsc(&self->g);

		EXPECT_LT(last, now);
		EXPECT_EQ(GUEST_HALTED, guest_rdmsr(&self->g, MSR_TSC, &msr));
		EXPECT_LT(now, msr);
		EXPECT_EQ(1, user_read(&self->g, MSR_TSC, &now));
		EXPECT_LT(msr, now);
		last = now;
	}
}

/* The host's has gone at most from before it was made until after it was read. */
TEST_F(msrs, a_new_vm_has_a_tsc_of_zero)
{
	uint64_t before, now;
	struct guest g;

	before = __builtin_ia32_rdtsc();
	ASSERT_EQ(0, guest_create(&g, code_msr, GUEST_SIZE(code_msr)));
	EXPECT_EQ(1, user_read(&g, MSR_TSC, &now));
	EXPECT_GE(__builtin_ia32_rdtsc() - before, now);
	guest_destroy(&g);
}

static int tsc_offset(struct guest *g, unsigned long cmd, uint64_t *value)
{
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)value,
	};

	return ioctl(g->vcpu, cmd, &attr);
}

#define FAR 0x4000000000000UL
#define NEAR 0x10000000000UL

TEST_F(msrs, the_tsc_has_an_offset)
{
	struct kvm_device_attr attr = { .group = KVM_VCPU_TSC_CTRL, .attr = 99 };
	uint64_t offset, moved, before, after;

	EXPECT_LT(0, ioctl(self->g.vm, KVM_CHECK_EXTENSION, KVM_CAP_VCPU_ATTRIBUTES));
	ASSERT_EQ(0, tsc_offset(&self->g, KVM_HAS_DEVICE_ATTR, &offset));
	ASSERT_EQ(0, tsc_offset(&self->g, KVM_GET_DEVICE_ATTR, &offset));
	before = guest_rdtsc(&self->g);
	moved = offset + FAR;
	ASSERT_EQ(0, tsc_offset(&self->g, KVM_SET_DEVICE_ATTR, &moved));
	after = guest_rdtsc(&self->g);
	EXPECT_LT(before + FAR, after);
	EXPECT_GT(before + FAR + NEAR, after);
	EXPECT_EQ(1, user_read(&self->g, MSR_TSC, &before));
	EXPECT_LT(after, before);
	EXPECT_GT(after + NEAR, before);
	moved = 0;
	ASSERT_EQ(0, tsc_offset(&self->g, KVM_GET_DEVICE_ATTR, &moved));
	EXPECT_EQ(offset + FAR, moved);

	REFUSED(ENXIO, KVM_HAS_DEVICE_ATTR, &attr);
	REFUSED(ENXIO, KVM_GET_DEVICE_ATTR, &attr);
	REFUSED(ENXIO, KVM_SET_DEVICE_ATTR, &attr);
	attr = (struct kvm_device_attr){ .group = 99 };
	REFUSED(ENXIO, KVM_HAS_DEVICE_ATTR, &attr);
	EXPECT_EQ(-1, tsc_offset(&self->g, KVM_GET_DEVICE_ATTR, NULL));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, tsc_offset(&self->g, KVM_SET_DEVICE_ATTR, NULL));
	EXPECT_EQ(EFAULT, errno);
}

TEST_F(msrs, user_space_sets_the_tsc)
{
	uint64_t now;

	EXPECT_EQ(1, user_write(&self->g, MSR_TSC, FAR));
	now = guest_rdtsc(&self->g);
	EXPECT_LE(FAR, now);
	EXPECT_GT(FAR + NEAR, now);
	EXPECT_EQ(1, user_write(&self->g, MSR_TSC, FAR / 2)) TH_LOG("back, too");
	now = guest_rdtsc(&self->g);
	EXPECT_LE(FAR / 2, now);
	EXPECT_GT(FAR / 2 + NEAR, now);
	if (guest_supported(&self->g, 7, 0, 1) & 2) {
		EXPECT_EQ(1, user_read(&self->g, MSR_TSC_ADJUST, &now));
		EXPECT_EQ(0, now) TH_LOG("the guest did not do that");
	}
}

TEST_F(msrs, the_guest_sets_the_tsc)
{
	uint64_t now, adjust;

	EXPECT_EQ(GUEST_HALTED, guest_wrmsr(&self->g, MSR_TSC, FAR));
	now = guest_rdtsc(&self->g);
	EXPECT_LT(FAR, now);
	EXPECT_GT(FAR + NEAR, now);
	if (!(guest_supported(&self->g, 7, 0, 1) & 2))
		SKIP(return, "no TSC_ADJUST here");
	EXPECT_EQ(GUEST_HALTED, guest_rdmsr(&self->g, MSR_TSC_ADJUST, &adjust));
	EXPECT_LT(FAR - NEAR, adjust);
	EXPECT_GT(FAR + NEAR, adjust);
	/* It moves the TSC along, by the difference. */
	EXPECT_EQ(GUEST_HALTED, guest_wrmsr(&self->g, MSR_TSC_ADJUST, adjust + FAR));
	now = guest_rdtsc(&self->g);
	EXPECT_LT(2 * FAR, now);
	EXPECT_GT(2 * FAR + NEAR, now);
	/* From user space, it is but the MSR's value. */
	EXPECT_EQ(1, user_write(&self->g, MSR_TSC_ADJUST, 0x1234));
	now = guest_rdtsc(&self->g);
	EXPECT_LT(2 * FAR, now);
	EXPECT_GT(2 * FAR + NEAR, now);
	EXPECT_EQ(GUEST_HALTED, guest_rdmsr(&self->g, MSR_TSC_ADJUST, &adjust));
	EXPECT_EQ(0x1234, adjust);
}

TEST_F(msrs, rdtscp_says_what_tsc_aux_is)
{
	struct kvm_regs regs;

	if (!(guest_supported(&self->g, 0x80000001, 0, 3) >> 27 & 1))
		SKIP(return, "no RDTSCP here");
	EXPECT_EQ(1, user_write(&self->g, MSR_TSC_AUX, 0xabcdef));
	start(&self->g, RDTSCP, 0, 0);
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	OK(KVM_GET_REGS, &regs);
	EXPECT_EQ(0xabcdef, regs.rcx);
}

GUEST_ASM(code_hlt, 16, "hlt");
#define REAL_MODE()                                                                   \
	do {                                                                          \
		guest_destroy(&self->g);                                              \
		ASSERT_EQ(0, guest_create(&self->g, code_hlt, GUEST_SIZE(code_hlt))); \
	} while (0)

struct cpuid {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entries[257];
};

TEST_F(msrs, cpuid2_comes_back_as_it_was_set)
{
	struct cpuid set = {
		.head.nent = 3,
		.entries = {
			{ .function = 0, .eax = 7, .ebx = 1, .ecx = 2, .edx = 3 },
			{ .function = 7, .index = 0, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX },
			{ .function = 0x40000000, .eax = 0x40000001, .ebx = 5, .ecx = 6, .edx = 7 },
		},
	}, got = { .head.nent = 257 };

	REAL_MODE();
	OK(KVM_GET_CPUID2, &got);
	EXPECT_EQ(0, got.head.nent) TH_LOG("a new vCPU has none");
	OK(KVM_SET_CPUID2, &set);
	got.head.nent = 2;
	REFUSED(E2BIG, KVM_GET_CPUID2, &got);
	EXPECT_EQ(2, got.head.nent);
	got.head.nent = 257;
	OK(KVM_GET_CPUID2, &got);
	ASSERT_EQ(3, got.head.nent);
	EXPECT_EQ(0, memcmp(set.entries, got.entries, 3 * sizeof(set.entries[0])));
	got.head.nent = 3;
	OK(KVM_GET_CPUID2, &got);
	set.head.nent = 257;
	REFUSED(E2BIG, KVM_SET_CPUID2, &set);
	OK(KVM_GET_CPUID2, &got);
	EXPECT_EQ(3, got.head.nent);
}

TEST_F(msrs, cpuid2_is_final_once_the_vcpu_has_run)
{
	struct cpuid c = { .head.nent = 1, .entries = { { .function = 0, .eax = 7 } } };

	REAL_MODE();
	OK(KVM_SET_CPUID2, &c);
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	OK(KVM_SET_CPUID2, &c);
	c.entries[0].eax = 8;
	REFUSED(EINVAL, KVM_SET_CPUID2, &c);
	c.head.nent = 0;
	REFUSED(EINVAL, KVM_SET_CPUID2, &c);
}

/* OSXSAVE, and the size of what XCR0 has on; and that counts for no change. */
TEST_F(msrs, cpuid2_says_what_it_says_now)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1 };
	struct cpuid c = {
		.head.nent = 2,
		.entries = {
			{ .function = 1, .ecx = 1 << 26 },
			{ .function = 0xd, .flags = 1, .eax = 3, .ebx = 1, .ecx = 0x240 },
		},
	};
	struct kvm_sregs s;

	if (!(guest_supported(&self->g, 1, 0, 2) >> 26 & 1))
		SKIP(return, "no XSAVE here");
	REAL_MODE();
	OK(KVM_SET_CPUID2, &c);
	OK(KVM_GET_CPUID2, &c);
	EXPECT_EQ(1 << 26, c.entries[0].ecx);
	EXPECT_EQ(0x240, c.entries[1].ebx);
	OK(KVM_GET_SREGS, &s);
	s.cr4 |= 1 << 18;
	OK(KVM_SET_SREGS, &s);
	OK(KVM_GET_CPUID2, &c);
	EXPECT_EQ(3 << 26, c.entries[0].ecx);
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	s.cr4 &= ~(1 << 18);
	OK(KVM_SET_SREGS, &s);
	xcrs.xcrs[0].value = 3;
	OK(KVM_SET_XCRS, &xcrs);
	OK(KVM_SET_CPUID2, &c);
	c.entries[0].edx ^= 1;
	REFUSED(EINVAL, KVM_SET_CPUID2, &c);
	OK(KVM_GET_CPUID2, &c);
	EXPECT_EQ(1 << 26, c.entries[0].ecx);
}

TEST_F(msrs, supported_cpuid_says_when_it_does_not_fit)
{
	struct cpuid c = { .head.nent = 256 };
	uint32_t all;

#define SUPPORTED(result, n)                                                                      \
	do {                                                                                      \
		c.head.nent = n;                                                                  \
		EXPECT_EQ(result, ioctl(self->g.device, KVM_GET_SUPPORTED_CPUID, &c) ? errno : 0) \
		TH_LOG("nent = %u", (unsigned int)(n));                                           \
	} while (0)
	SUPPORTED(0, 256);
	all = c.head.nent;
	ASSERT_LT(4, all);
	ASSERT_GT(256, all);
	SUPPORTED(E2BIG, 0);
	SUPPORTED(E2BIG, 1);
	SUPPORTED(E2BIG, all - 1);
	SUPPORTED(0, all);
	EXPECT_EQ(all, c.head.nent);
	/* More room than any CPU needs is room enough. */
	SUPPORTED(0, ~0U);
	EXPECT_EQ(all, c.head.nent);
#undef SUPPORTED
}

TEST_HARNESS_MAIN
