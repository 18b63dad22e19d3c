// SPDX-License-Identifier: GPL-2.0-only
/*
 * Register state of a vCPU: what user space sets reaches the guest, what the guest
 * sets comes back, and what no CPU has is refused.
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm.
 */
#include <stddef.h>

#include "kselftest_harness.h"
#include "guest.h"
#include "vcpu-ioctl.h"

/* Results of guest code go here. */
#define DATA 0x3000
#define DATA64(g, n) (((uint64_t *)((g)->memory + DATA))[n])
#define DATA32(g, n) (((uint32_t *)((g)->memory + DATA))[n])

GUEST_ASM(code_hlt, 16, "hlt");
GUEST_ASM(code_hlt64, 64, "hlt");
GUEST_ASM(code_increment, 64,
	  "inc %rax\n inc %rbx\n inc %rcx\n inc %rdx\n inc %rsi\n inc %rdi\n inc %rbp\n inc %r8\n"
	  "inc %r9\n inc %r10\n inc %r11\n inc %r12\n inc %r13\n inc %r14\n inc %r15\n inc %rsp\n"
	  "hlt");
GUEST_ASM(code_pae, 32, "movl $0x5a5a5a5a, 0x40003000\n hlt");
GUEST_ASM(code_fpu, 64,
	  "fnstcw 0x3000\n movups %xmm0, 0x3010\n movups %xmm15, 0x3020\n fstpl 0x3030\n"
	  "pcmpeqd %xmm0, %xmm0\n hlt");
/* XCR0 = 7, then XMM0 and the upper half of YMM0 out and, doubled, back in. */
GUEST_ASM(code_avx, 64,
	  "mov %cr4, %rax\n or $0x40000, %eax\n mov %rax, %cr4\n"
	  "xor %ecx, %ecx\n xor %edx, %edx\n mov $7, %eax\n xsetbv\n"
	  "vmovups %ymm0, 0x3000\n vpaddd %ymm0, %ymm0, %ymm0\n hlt\n"
	  "vmovups %ymm0, 0x3000\n hlt");
GUEST_ASM(code_sse_set, 64,
	  "movups 0x3000, %xmm0\n hlt\n movups %xmm0, 0x3000\n stmxcsr 0x3010\n hlt");
GUEST_ASM(code_xgetbv, 64,
	  "mov %cr4, %rax\n or $0x40000, %eax\n mov %rax, %cr4\n xor %ecx, %ecx\n xgetbv\n hlt");
GUEST_ASM(code_xsetbv, 64,
	  "mov %cr4, %rbx\n or $0x40000, %ebx\n mov %rbx, %cr4\n xsetbv\n"
	  "push %rdx\n push %rax\n xor %ecx, %ecx\n xgetbv\n mov %eax, 0x3000\n"
	  "mov $0xd, %eax\n xor %ecx, %ecx\n cpuid\n mov %ebx, 0x3004\n hlt");
GUEST_ASM(code_osxsave, 64,
	  "mov $1, %eax\n cpuid\n mov %ecx, 0x3000\n"
	  "mov %cr4, %rax\n or $0x40000, %eax\n mov %rax, %cr4\n"
	  "mov $1, %eax\n cpuid\n mov %ecx, 0x3004\n"
	  "mov %cr4, %rax\n and $~0x40000, %eax\n mov %rax, %cr4\n"
	  "mov $1, %eax\n cpuid\n mov %ecx, 0x3008\n"
	  "xor %ecx, %ecx\n xor %edx, %edx\n mov $1, %eax\n xsetbv\n hlt");
GUEST_ASM(code_read_dr, 64,
	  "mov %dr0, %rax\n mov %rax, 0x3000\n mov %dr1, %rax\n mov %rax, 0x3008\n"
	  "mov %dr2, %rax\n mov %rax, 0x3010\n mov %dr3, %rax\n mov %rax, 0x3018\n"
	  "mov %dr6, %rax\n mov %rax, 0x3020\n mov %dr7, %rax\n mov %rax, 0x3028\n hlt");
GUEST_ASM(code_write_dr, 64,
	  "mov $0x111100, %eax\n mov %rax, %dr0\n mov $0x222200, %eax\n mov %rax, %dr1\n"
	  "mov $0x333300, %eax\n mov %rax, %dr2\n mov $0x444400, %eax\n mov %rax, %dr3\n"
	  "mov $0x400f, %eax\n mov %rax, %dr6\n mov $0x155, %eax\n mov %rax, %dr7\n hlt\n"
	  "mov %dr6, %rax\n mov %dr7, %rbx\n hlt");
GUEST_ASM(code_dr_upper, 64, "mov %rax, %dr6\n mov %rax, %dr7\n hlt");
/* DR4 and DR5 are other names of DR6 and DR7, unless CR4.DE takes them away. */
GUEST_ASM(code_dr4, 64,
	  "mov $0x400, %eax\n mov %rax, %dr7\n mov %db4, %rbx\n mov %db5, %rcx\n"
	  "mov %cr4, %rax\n or $8, %eax\n mov %rax, %cr4\n mov %db4, %rax\n hlt");
GUEST_ASM(code_breakpoints, 64,
	  "mov $3, %eax\n code_breakpoints_exec: nop\n"
	  "movl $1, 0x3000\n code_breakpoints_write:\n mov %dr6, %rbx\n hlt");
GUEST_LABEL(code_breakpoints_exec);
GUEST_LABEL(code_breakpoints_write);
GUEST_ASM(code_step, 64,
	  "pushfq\n orl $0x100, (%rsp)\n popfq\n nop\n code_step_1:\n"
	  "mov %eax, %ebx\n code_step_2: hlt");
GUEST_LABEL(code_step_1);
GUEST_LABEL(code_step_2);
GUEST_ASM(code_int1_int3, 64, "nop\n .byte 0xf1\n nop\n int3\n nop\n hlt");
GUEST_ASM(code_general_detect, 64, "mov $0x2400, %eax\n mov %rax, %dr7\n mov %dr0, %rax\n hlt");
GUEST_ASM(code_sti_hlt, 64, "sti\n hlt\n out %al, $0x10\n hlt");

FIXTURE(registers)
{
	struct guest g;
};

FIXTURE_SETUP(registers)
{
}

FIXTURE_TEARDOWN(registers)
{
	guest_destroy(&self->g);
}

#define START(code) ASSERT_EQ(0, guest_create(&self->g, code, GUEST_SIZE(code)))
#define LONG(code)                            \
	do {                                  \
		START(code);                  \
		guest_to_long_mode(&self->g); \
		guest_catch(&self->g);        \
	} while (0)

/* All that the device supports, if that has AVX. */
static bool with_avx(struct guest *g)
{
	return (guest_supported(g, 0xd, 0, 0) & 7) == 7 && !guest_set_supported_cpuid(g);
}

static void set_rflags(struct guest *g, uint64_t rflags)
{
	struct kvm_regs regs;

	ioctl(g->vcpu, KVM_GET_REGS, &regs);
	regs.rflags = rflags;
	ioctl(g->vcpu, KVM_SET_REGS, &regs);
}

TEST_F(registers, bit_1_of_rflags_is_always_set)
{
	struct kvm_regs regs = { .rip = GUEST_CODE };

	START(code_hlt);
	OK(KVM_SET_REGS, &regs);
	OK(KVM_GET_REGS, &regs);
	EXPECT_EQ(2, regs.rflags);
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
}

TEST_F(registers, general_registers_reach_the_guest_and_come_back)
{
	struct kvm_regs set, got;

	LONG(code_increment);
	for (unsigned int i = 0; i < 16; i++)
		((uint64_t *)&set)[i] = 0x1122334455667700 + i * 0x10;
	set.rip = GUEST_CODE;
	set.rflags = 0x202;
	OK(KVM_SET_REGS, &set);
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	OK(KVM_GET_REGS, &got);
	for (unsigned int i = 0; i < 16; i++) {
		EXPECT_EQ(((uint64_t *)&set)[i] + 1, ((uint64_t *)&got)[i])
		{
			TH_LOG("register %u", i);
		}
	}
	EXPECT_EQ(GUEST_CODE + GUEST_SIZE(code_increment), got.rip);
}

TEST_F(registers, sregs2_has_what_sregs_has)
{
	struct kvm_sregs2 s2;
	struct kvm_sregs s;

	LONG(code_hlt64);
	OK(KVM_GET_SREGS, &s);
	OK(KVM_GET_SREGS2, &s2);
	EXPECT_EQ(0, memcmp(&s, &s2, offsetof(struct kvm_sregs, interrupt_bitmap)));
	EXPECT_EQ(0, s2.flags);
	s2.cr2 = 0xabcdef000;
	s2.fs.base = 0x7fff00001000;
	OK(KVM_SET_SREGS2, &s2);
	OK(KVM_GET_SREGS, &s);
	EXPECT_EQ(0xabcdef000, s.cr2);
	EXPECT_EQ(0x7fff00001000, s.fs.base);
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	s2.flags = 1 << 1;
	REFUSED(EINVAL, KVM_SET_SREGS2, &s2);
	/* There are none in long mode. */
	s2.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
	REFUSED(EINVAL, KVM_SET_SREGS2, &s2);
}

/* They win over those in memory, until the guest loads CR3 again. */
TEST_F(registers, pdptrs_of_sregs2_are_used)
{
	struct kvm_segment code = {
		.limit = ~0U, .selector = 8, .type = 11, .present = 1, .s = 1, .db = 1, .g = 1
	};
	struct kvm_segment data = code;
	struct kvm_sregs2 s;

	START(code_pae);
	guest_set_cpuid(&self->g);
	*(uint64_t *)(self->g.memory + 0x10000) = 0x11000 | 1;
	*(uint64_t *)(self->g.memory + 0x11000) = 0x83;
	OK(KVM_GET_SREGS2, &s);
	EXPECT_EQ(0, s.flags);
	data.type = 3;
	data.selector = 16;
	s.cs = code;
	s.ds = data;
	s.es = data;
	s.ss = data;
	s.cr3 = 0x10000;
	s.cr4 = 1 << 5;
	s.cr0 = 1UL << 31 | 1 << 5 | 1;
	OK(KVM_SET_SREGS2, &s);
	OK(KVM_GET_SREGS2, &s);
	EXPECT_EQ(KVM_SREGS2_FLAGS_PDPTRS_VALID, s.flags);
	EXPECT_EQ(0x11001, s.pdptrs[0]);
	EXPECT_EQ(0, s.pdptrs[1]);
	s.pdptrs[1] = 0x11001;
	OK(KVM_SET_SREGS2, &s);
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	EXPECT_EQ(0x5a5a5a5a, DATA32(&self->g, 0));
	OK(KVM_GET_SREGS2, &s);
	EXPECT_EQ(KVM_SREGS2_FLAGS_PDPTRS_VALID, s.flags);
	EXPECT_EQ(0x11001, s.pdptrs[1]);
}

TEST_F(registers, an_interrupt_in_sregs_is_delivered)
{
	struct guest_trap trap;
	struct kvm_sregs s;

	LONG(code_hlt64);
	OK(KVM_GET_SREGS, &s);
	s.interrupt_bitmap[1] = 1 << 5;
	/* Entry with an interrupt takes IF. */
	set_rflags(&self->g, 0x202);
	OK(KVM_SET_SREGS, &s);
	OK(KVM_GET_SREGS, &s);
	EXPECT_EQ(1 << 5, s.interrupt_bitmap[1]);
	EXPECT_EQ(69, guest_trap(&self->g, &trap));
	EXPECT_EQ(GUEST_CODE, trap.rip);
	OK(KVM_GET_SREGS, &s);
	EXPECT_EQ(0, s.interrupt_bitmap[1]);
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
}

TEST_F(registers, the_fpu_goes_to_the_guest_and_back)
{
	struct kvm_fpu set = { .fcw = 0x27f, .last_opcode = 0x123, .last_ip = 0x4567 }, got;
	struct kvm_regs regs = { .rip = GUEST_CODE, .rsp = GUEST_STACK };
	double one = 1.5;

	LONG(code_fpu);
	OK(KVM_GET_FPU, &got);
	EXPECT_EQ(0x37f, got.fcw);
	EXPECT_EQ(0, got.fsw);
	EXPECT_EQ(0, got.ftwx);
	/* Use both first: what was never used may be taken for unused by XRSTOR. */
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	memset(set.xmm[0], 0xa0, 16);
	memset(set.xmm[15], 0xaf, 16);
	/* ST0 = 1.5 */
	memcpy(set.fpr[0], "\0\0\0\0\0\0\0\xc0\xff\x3f", 10);
	set.ftwx = 1;
	OK(KVM_SET_FPU, &set);
	OK(KVM_GET_FPU, &got);
	EXPECT_EQ(0, memcmp(set.fpr, got.fpr, sizeof(set.fpr)));
	EXPECT_EQ(0, memcmp(set.xmm, got.xmm, sizeof(set.xmm)));
	EXPECT_EQ(set.fcw, got.fcw);
	EXPECT_EQ(set.ftwx, got.ftwx);
	EXPECT_EQ(set.last_opcode, got.last_opcode);
	EXPECT_EQ(set.last_ip, got.last_ip);
	OK(KVM_SET_REGS, &regs);
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	EXPECT_EQ(0x27f, DATA32(&self->g, 0) & 0xffff);
	EXPECT_EQ(0xa0a0a0a0, DATA32(&self->g, 4));
	EXPECT_EQ(0xafafafaf, DATA32(&self->g, 11));
	EXPECT_EQ(0, memcmp(&one, self->g.memory + DATA + 0x30, sizeof(one)));
}

TEST_F(registers, a_new_vcpu_has_its_extended_state_as_after_reset)
{
	struct kvm_xsave x;
	struct kvm_xcrs xcrs;

	START(code_hlt);
	OK(KVM_GET_XSAVE, &x);
	EXPECT_EQ(0x37f, x.region[0] & 0xffff);
	EXPECT_EQ(0x1f80, x.region[6]);
	EXPECT_EQ(0, x.region[130]) TH_LOG("the standard form: XCOMP_BV is 0");
	EXPECT_EQ(0, x.region[131]);
	OK(KVM_GET_XCRS, &xcrs);
	EXPECT_EQ(1, xcrs.nr_xcrs);
	EXPECT_EQ(0, xcrs.flags);
	EXPECT_EQ(0, xcrs.xcrs[0].xcr);
	EXPECT_EQ(1, xcrs.xcrs[0].value);
}

TEST_F(registers, vector_registers_go_to_the_guest_and_back)
{
	struct kvm_xsave x = {};
	uint32_t *xmm0 = x.region + 160 / 4, *ymm0 = x.region + 576 / 4;

	LONG(code_avx);
	if (!with_avx(&self->g))
		SKIP(return, "no AVX here");
	x.region[0] = 0x37f;
	x.region[6] = 0x1f80;
	x.region[128] = 7;
	for (unsigned int i = 0; i < 4; i++) {
		xmm0[i] = 0x100 + i;
		ymm0[i] = 0x200 + i;
	}
	OK(KVM_SET_XSAVE, &x);
	memset(&x, 0, sizeof(x));
	OK(KVM_GET_XSAVE, &x);
	EXPECT_EQ(0x103, xmm0[3]);
	EXPECT_EQ(0x203, ymm0[3]);
	EXPECT_EQ(4, x.region[128] & 4);
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	for (unsigned int i = 0; i < 4; i++) {
		EXPECT_EQ(0x100 + i, DATA32(&self->g, i));
		EXPECT_EQ(0x200 + i, DATA32(&self->g, 4 + i));
	}
	OK(KVM_GET_XSAVE, &x);
	for (unsigned int i = 0; i < 4; i++) {
		EXPECT_EQ(0x200 + i * 2, xmm0[i]);
		EXPECT_EQ(0x400 + i * 2, ymm0[i]);
	}
	EXPECT_EQ(6, x.region[128] & 6);
	EXPECT_EQ(0, x.region[130]);
	/* Only AVX's bit taken away: YMM's upper halves are as after reset. */
	x.region[128] = 3;
	OK(KVM_SET_XSAVE, &x);
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	EXPECT_EQ(0x200, DATA32(&self->g, 0));
	EXPECT_EQ(0, DATA32(&self->g, 4));
}

TEST_F(registers, state_that_xstate_bv_leaves_out_is_as_after_reset)
{
	struct kvm_xsave x;

	LONG(code_sse_set);
	memset(self->g.memory + DATA, 0x77, 16);
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	OK(KVM_GET_XSAVE, &x);
	EXPECT_EQ(2, x.region[128] & 2);
	EXPECT_EQ(0x77777777, x.region[160 / 4]);
	x.region[128] = 0;
	x.region[129] = 0;
	OK(KVM_SET_XSAVE, &x);
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	EXPECT_EQ(0, DATA32(&self->g, 0));
	EXPECT_EQ(0x1f80, DATA32(&self->g, 4));
}

TEST_F(registers, a_bad_xsave_image_is_einval)
{
	struct kvm_xsave good, bad;

	START(code_hlt);
	OK(KVM_GET_XSAVE, &good);
	good.region[128] = 3;
	good.region[160 / 4] = 0xabcd;
	OK(KVM_SET_XSAVE, &good);
#define BAD(change)                                                             \
	do {                                                                    \
		bad = good;                                                     \
		bad.region[160 / 4] = 1;                                        \
		change;                                                         \
		errno = 0;                                                      \
		EXPECT_EQ(-1, VCPU(KVM_SET_XSAVE, &bad)) TH_LOG("%s", #change); \
		EXPECT_EQ(EINVAL, errno);                                       \
	} while (0)
	BAD(bad.region[129] = 1U << 31);
	BAD(bad.region[129] = 1U << 30);
	/* Processor trace: supervisor state, never in XCR0. */
	BAD(bad.region[128] |= 1 << 8);
	BAD(bad.region[131] = 1U << 31);
	BAD(bad.region[130] = 3);
	BAD(bad.region[132] = 1);
	BAD(bad.region[143] = 1);
	BAD(bad.region[6] = ~0U);
	BAD(bad.region[6] |= 1 << 16);
#undef BAD
	OK(KVM_GET_XSAVE, &bad);
	EXPECT_EQ(0xabcd, bad.region[160 / 4]) TH_LOG("a refusal changes nothing");
}

TEST_F(registers, xsave2_is_as_long_as_its_capability_says)
{
	struct kvm_xsave x;
	uint8_t *buffer;
	int size;

	LONG(code_sse_set);
	size = ioctl(self->g.vm, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
	ASSERT_LE((int)sizeof(struct kvm_xsave), size);
	buffer = malloc(size + 64);
	ASSERT_NE(NULL, buffer);
	memset(self->g.memory + DATA, 0x66, 16);
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	memset(buffer, 0x5a, size + 64);
	OK(KVM_GET_XSAVE2, buffer);
	EXPECT_EQ(0x5a, buffer[size]);
	EXPECT_EQ(0, memcmp(buffer + size, buffer + size + 1, 63)) TH_LOG("not a byte more");
	OK(KVM_GET_XSAVE, &x);
	EXPECT_EQ(0, memcmp(buffer, &x, sizeof(x)));
	EXPECT_EQ(0x66, buffer[160]);
	buffer[160] = 0x67;
	OK(KVM_SET_XSAVE, buffer);
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	EXPECT_EQ(0x66666667, DATA32(&self->g, 0));
	free(buffer);
}

TEST_F(registers, xcr0_that_user_space_set_is_the_guests)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs = { { .xcr = 0, .value = 7 } } };
	struct kvm_regs regs;

	LONG(code_xgetbv);
	if (!with_avx(&self->g))
		SKIP(return, "no AVX here");
	OK(KVM_SET_XCRS, &xcrs);
	memset(&xcrs, 0, sizeof(xcrs));
	OK(KVM_GET_XCRS, &xcrs);
	EXPECT_EQ(1, xcrs.nr_xcrs);
	EXPECT_EQ(7, xcrs.xcrs[0].value);
	ASSERT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	OK(KVM_GET_REGS, &regs);
	EXPECT_EQ(7, regs.rax);
	EXPECT_EQ(0, regs.rdx);
}

TEST_F(registers, an_impossible_xcr0_is_einval)
{
	static const struct {
		int error;
		struct kvm_xcrs xcrs;
	} cases[] = {
		{ 0, { .nr_xcrs = 1, .xcrs = { { .value = 3 } } } },
		{ EINVAL, { .nr_xcrs = 1, .xcrs = { { .value = 0 } } } },
		{ EINVAL, { .nr_xcrs = 1, .xcrs = { { .value = 2 } } } },
		{ EINVAL, { .nr_xcrs = 1, .xcrs = { { .value = 5 } } } },
		{ EINVAL, { .nr_xcrs = 1, .xcrs = { { .value = 0x27 } } } },
		{ EINVAL, { .nr_xcrs = 1, .xcrs = { { .value = 1UL << 62 | 7 } } } },
		{ EINVAL, { .nr_xcrs = 17, .xcrs = { { .value = 3 } } } },
		{ EINVAL, { .nr_xcrs = ~0U, .xcrs = { { .value = 3 } } } },
		{ EINVAL, { .nr_xcrs = 1, .flags = 1, .xcrs = { { .value = 3 } } } },
		/* Registers that do not exist are passed over. */
		{ 0, { .nr_xcrs = 0 } },
		{ 0, { .nr_xcrs = 1, .xcrs = { { .xcr = 1, .value = 0 } } } },
		{ 0, { .nr_xcrs = 2, .xcrs = { { .xcr = 1 }, { .value = 7 } } } },
	};
	struct kvm_xcrs xcrs;

	LONG(code_hlt64);
	if (!with_avx(&self->g))
		SKIP(return, "no AVX here");
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		EXPECT_EQ(cases[i].error, VCPU(KVM_SET_XCRS, &cases[i].xcrs) ? errno : 0)
		{
			TH_LOG("case %u", i);
		}
	}
	OK(KVM_GET_XCRS, &xcrs);
	EXPECT_EQ(7, xcrs.xcrs[0].value);
}

TEST_F(registers, xcr0_is_bounded_by_the_guests_cpuid)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs = { { .value = 3 } } };

	START(code_hlt);
	REFUSED(EINVAL, KVM_SET_XCRS, &xcrs);
	xcrs.xcrs[0].value = 1;
	OK(KVM_SET_XCRS, &xcrs);
}

/* XSETBV with these registers: the vector that it raises, or GUEST_HALTED. */
static int xsetbv(struct guest *g, uint64_t rcx, uint64_t rdx, uint64_t rax)
{
	struct kvm_regs regs = { .rip = GUEST_CODE, .rsp = GUEST_STACK, .rflags = 2 };

	regs.rcx = rcx;
	regs.rdx = rdx;
	regs.rax = rax;
	ioctl(g->vcpu, KVM_SET_REGS, &regs);
	return guest_trap(g, NULL);
}

TEST_F(registers, xsetbv_takes_what_the_cpu_has)
{
	struct kvm_xcrs xcrs;

	LONG(code_xsetbv);
	if (!with_avx(&self->g))
		SKIP(return, "no AVX here");
	EXPECT_EQ(GUEST_HALTED, xsetbv(&self->g, 0, 0, 1));
	EXPECT_EQ(1, DATA32(&self->g, 0));
	EXPECT_EQ(576, DATA32(&self->g, 1)) TH_LOG("CPUID 0xd follows XCR0");
	EXPECT_EQ(GUEST_HALTED, xsetbv(&self->g, 0, 0, 7));
	EXPECT_EQ(7, DATA32(&self->g, 0));
	EXPECT_EQ(832, DATA32(&self->g, 1));
	OK(KVM_GET_XCRS, &xcrs);
	EXPECT_EQ(7, xcrs.xcrs[0].value);
	/* The upper halves of the registers do not count. */
	EXPECT_EQ(GUEST_HALTED, xsetbv(&self->g, 5UL << 32, 5UL << 32, 5UL << 32 | 3));
	EXPECT_EQ(3, DATA32(&self->g, 0));
	EXPECT_EQ(576, DATA32(&self->g, 1));
	if ((guest_supported(&self->g, 0xd, 0, 0) & 0xe0) == 0xe0) {
		EXPECT_EQ(GUEST_HALTED, xsetbv(&self->g, 0, 0, 0xe7));
		EXPECT_EQ(2688, DATA32(&self->g, 1));
	}
}

TEST_F(registers, xsetbv_of_anything_else_is_a_general_protection_fault)
{
	struct kvm_xcrs xcrs;

	LONG(code_xsetbv);
	if (!with_avx(&self->g))
		SKIP(return, "no AVX here");
	EXPECT_EQ(GUEST_HALTED, xsetbv(&self->g, 0, 0, 3));
	EXPECT_EQ(13, xsetbv(&self->g, 1, 0, 3)) TH_LOG("XCR1");
	EXPECT_EQ(13, xsetbv(&self->g, 0, 0, 0)) TH_LOG("no x87");
	EXPECT_EQ(13, xsetbv(&self->g, 0, 0, 5)) TH_LOG("AVX without SSE");
	EXPECT_EQ(13, xsetbv(&self->g, 0, 0, 0x27)) TH_LOG("a third of AVX-512");
	EXPECT_EQ(13, xsetbv(&self->g, 0, 0, 0xe3)) TH_LOG("AVX-512 without AVX");
	EXPECT_EQ(13, xsetbv(&self->g, 0, 1U << 31, 7));
	EXPECT_EQ(13, xsetbv(&self->g, 0, 0, 0x107)) TH_LOG("supervisor state");
	OK(KVM_GET_XCRS, &xcrs);
	EXPECT_EQ(3, xcrs.xcrs[0].value);
}

TEST_F(registers, cpuid_shows_osxsave_as_cr4_has_it)
{
	LONG(code_osxsave);
	if (!with_avx(&self->g))
		SKIP(return, "no AVX here");
	/* XSETBV without it does not exist. */
	EXPECT_EQ(6, guest_trap(&self->g, NULL));
	EXPECT_EQ(0, DATA32(&self->g, 0) >> 27 & 1);
	EXPECT_EQ(1, DATA32(&self->g, 1) >> 27 & 1);
	EXPECT_EQ(0, DATA32(&self->g, 2) >> 27 & 1);
}

TEST_F(registers, debug_registers_go_to_the_guest)
{
	struct kvm_debugregs set = {
		.db = { 0x1000, 0x123456789000, 0x2000, 0xffff800000003000 },
		.dr6 = 0xffff4ff3,
		.dr7 = 0x500,
	}, got;

	LONG(code_read_dr);
	OK(KVM_GET_DEBUGREGS, &got);
	EXPECT_EQ(0xffff0ff0, got.dr6);
	EXPECT_EQ(0x400, got.dr7);
	EXPECT_EQ(0, got.flags);
	EXPECT_EQ(0, got.db[0] | got.db[1] | got.db[2] | got.db[3]);
	OK(KVM_SET_DEBUGREGS, &set);
	OK(KVM_GET_DEBUGREGS, &got);
	EXPECT_EQ(0, memcmp(&set, &got, sizeof(set)));
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	EXPECT_EQ(0, memcmp(set.db, self->g.memory + DATA, sizeof(set.db)));
	EXPECT_EQ(0xffff4ff3, DATA64(&self->g, 4));
	EXPECT_EQ(0x500, DATA64(&self->g, 5));
	OK(KVM_GET_DEBUGREGS, &got);
	EXPECT_EQ(0, memcmp(&set, &got, sizeof(set)));
}

TEST_F(registers, impossible_debug_registers_are_einval)
{
	struct kvm_debugregs good, bad;

	START(code_hlt);
	OK(KVM_GET_DEBUGREGS, &good);
	bad = good;
	bad.dr6 |= 1UL << 32;
	REFUSED(EINVAL, KVM_SET_DEBUGREGS, &bad);
	bad = good;
	bad.dr7 |= 1UL << 32;
	REFUSED(EINVAL, KVM_SET_DEBUGREGS, &bad);
	bad = good;
	bad.flags = 1;
	REFUSED(EINVAL, KVM_SET_DEBUGREGS, &bad);
}

/* Bits that are fixed read as a CPU has them, whatever was written. */
TEST_F(registers, debug_registers_of_the_guest_come_back)
{
	struct kvm_debugregs got;
	struct kvm_regs regs;

	LONG(code_write_dr);
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	OK(KVM_GET_DEBUGREGS, &got);
	EXPECT_EQ(0x111100, got.db[0]);
	EXPECT_EQ(0x222200, got.db[1]);
	EXPECT_EQ(0x333300, got.db[2]);
	EXPECT_EQ(0x444400, got.db[3]);
	EXPECT_EQ(0xffff4fff, got.dr6 | 0xffff0ff0);
	EXPECT_EQ(0x555, got.dr7);
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	OK(KVM_GET_REGS, &regs);
	EXPECT_EQ(0xffff4fff, regs.rax | 0xffff0ff0);
	EXPECT_EQ(0x555, regs.rbx);
}

TEST_F(registers, the_upper_half_of_dr6_or_dr7_is_a_general_protection_fault)
{
	struct kvm_regs regs = { .rip = GUEST_CODE, .rsp = GUEST_STACK, .rax = 1UL << 32 };
	struct guest_trap trap;

	LONG(code_dr_upper);
	OK(KVM_SET_REGS, &regs);
	EXPECT_EQ(13, guest_trap(&self->g, &trap));
	EXPECT_EQ(GUEST_CODE, trap.rip);
	guest_skip(&self->g, 3);
	EXPECT_EQ(13, guest_trap(&self->g, &trap));
	EXPECT_EQ(GUEST_CODE + 3, trap.rip);
}

TEST_F(registers, dr4_and_dr5_are_dr6_and_dr7)
{
	struct kvm_regs regs;

	LONG(code_dr4);
	EXPECT_EQ(6, guest_trap(&self->g, NULL));
	OK(KVM_GET_REGS, &regs);
	EXPECT_EQ(0xffff0ff0, regs.rbx);
	EXPECT_EQ(0x400, regs.rcx);
}

TEST_F(registers, a_guest_has_hardware_breakpoints)
{
	/* DR0 for execution; DR1 for a write of four bytes. */
	struct kvm_debugregs d = { .dr6 = 0xffff0ff0, .dr7 = 0x400 | 1 | 4 | 0xd << 20 };
	struct guest_trap trap;
	struct kvm_regs regs;

	LONG(code_breakpoints);
	d.db[0] = GUEST_AT(code_breakpoints, code_breakpoints_exec);
	d.db[1] = DATA;
	OK(KVM_SET_DEBUGREGS, &d);
	EXPECT_EQ(1, guest_trap(&self->g, &trap));
	EXPECT_EQ(GUEST_AT(code_breakpoints, code_breakpoints_exec), trap.rip);
	/* RF, to get on: a CPU has it there already, the emulator of the test host has not. */
	OK(KVM_GET_REGS, &regs);
	*(uint64_t *)(self->g.memory + regs.rsp + 16) |= 1 << 16;
	OK(KVM_GET_DEBUGREGS, &d);
	EXPECT_EQ(0xffff0ff1, d.dr6);
	EXPECT_EQ(1, guest_trap(&self->g, &trap));
	EXPECT_EQ(GUEST_AT(code_breakpoints, code_breakpoints_write), trap.rip);
	EXPECT_EQ(1, DATA32(&self->g, 0));
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	OK(KVM_GET_REGS, &regs);
	EXPECT_EQ(2, regs.rbx & 0xf00e);
}

TEST_F(registers, a_guest_steps_itself)
{
	struct kvm_debugregs d;
	struct guest_trap trap;

	LONG(code_step);
	EXPECT_EQ(1, guest_trap(&self->g, &trap));
	EXPECT_EQ(GUEST_AT(code_step, code_step_1), trap.rip);
	EXPECT_EQ(0x100, trap.rflags & 0x100);
	OK(KVM_GET_DEBUGREGS, &d);
	EXPECT_EQ(0xffff4ff0, d.dr6);
	EXPECT_EQ(1, guest_trap(&self->g, &trap));
	EXPECT_EQ(GUEST_AT(code_step, code_step_2), trap.rip);
}

/* Who emulates an instruction has to raise the exception behind it. */
TEST_F(registers, a_guest_steps_over_what_is_emulated)
{
	static const struct {
		const char *name, *code;
		int exit;
	} cases[] = {
		{ "CPUID", "\x0f\xa2", 0 },
		{ "RDMSR", "\x0f\x32", 0 },
		{ "OUT %al, $0x10", "\xe6\x10", KVM_EXIT_IO },
		{ "IN $0x10, %al", "\xe4\x10", KVM_EXIT_IO },
		{ "HLT", "\xf4", KVM_EXIT_HLT },
		{ "MOV %dr7, %rax", "\x0f\x21\xf8", 0 },
	};
	struct kvm_regs regs = {
		.rip = GUEST_CODE, .rsp = GUEST_STACK, .rflags = 0x102, .rcx = 0xc0000080
	};
	struct kvm_debugregs d;
	struct guest_trap trap;

	LONG(code_hlt64);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(self->g.memory + GUEST_CODE, 0x90, 8);
		memcpy(self->g.memory + GUEST_CODE, cases[i].code, strlen(cases[i].code));
		OK(KVM_SET_REGS, &regs);
		if (cases[i].exit) {
			EXPECT_EQ(cases[i].exit, guest_run(&self->g))
			{
				TH_LOG("%s", cases[i].name);
			}
		}
		for (unsigned int nops = 0; nops < 2; nops++) {
			trap.rip = 0;
			EXPECT_EQ(1, guest_trap(&self->g, &trap));
			EXPECT_EQ(GUEST_CODE + strlen(cases[i].code) + nops, trap.rip)
			{
				TH_LOG("%s", cases[i].name);
			}
			EXPECT_EQ(0x100, trap.rflags & 0x100);
			OK(KVM_GET_DEBUGREGS, &d);
			EXPECT_EQ(0xffff4ff0, d.dr6);
		}
	}
}

TEST_F(registers, int1_and_int3_reach_their_handlers)
{
	struct kvm_debugregs d;
	struct guest_trap trap;

	LONG(code_int1_int3);
	EXPECT_EQ(1, guest_trap(&self->g, &trap));
	EXPECT_EQ(GUEST_CODE + 2, trap.rip);
	OK(KVM_GET_DEBUGREGS, &d);
	EXPECT_EQ(0xffff0ff0, d.dr6);
	EXPECT_EQ(3, guest_trap(&self->g, &trap));
	EXPECT_EQ(GUEST_CODE + 4, trap.rip);
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, &trap));
}

TEST_F(registers, dr7_gd_guards_the_debug_registers)
{
	struct kvm_debugregs d;
	struct guest_trap trap;

	LONG(code_general_detect);
	EXPECT_EQ(1, guest_trap(&self->g, &trap));
	EXPECT_EQ(GUEST_CODE + 8, trap.rip);
	OK(KVM_GET_DEBUGREGS, &d);
	EXPECT_EQ(0xffff2ff0, d.dr6);
	EXPECT_EQ(0x400, d.dr7) TH_LOG("off while its handler runs");
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, &trap));
}

TEST_F(registers, without_a_local_apic_a_vcpu_is_runnable)
{
	struct kvm_mp_state state = { 99 };

	START(code_hlt);
	OK(KVM_GET_MP_STATE, &state);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, state.mp_state);
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	OK(KVM_GET_MP_STATE, &state);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, state.mp_state) TH_LOG("user space has the HLT");
	OK(KVM_SET_MP_STATE, &state);
	for (uint32_t bad = 1; bad < 12; bad++) {
		state.mp_state = bad;
		REFUSED(EINVAL, KVM_SET_MP_STATE, &state);
	}
	state.mp_state = ~0U;
	REFUSED(EINVAL, KVM_SET_MP_STATE, &state);
}

TEST_F(registers, hlt_resumes_behind)
{
	struct kvm_regs regs;

	LONG(code_sti_hlt);
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	OK(KVM_GET_REGS, &regs);
	EXPECT_EQ(GUEST_CODE + 2, regs.rip);
	EXPECT_EQ(0x200, regs.rflags & 0x200);
	EXPECT_EQ(1, self->g.run->if_flag);
	ASSERT_EQ(KVM_EXIT_IO, guest_run(&self->g));
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
}

TEST_HARNESS_MAIN
