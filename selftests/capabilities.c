// SPDX-License-Identifier: GPL-2.0-only
/*
 * What user space can ask of a VM beyond what every VM has: MSRs kept from guests,
 * exits done without, bounds of IDs.
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#include "kselftest_harness.h"
#include "guest.h"
#include "vcpu-ioctl.h"

#define MSR_MISC_ENABLE 0x1a0
#define MSR_FS_BASE 0xc0000100
#define MSR_KERNEL_GS_BASE 0xc0000102

/* Where to start says which. */
GUEST_ASM(code_msr, 64,
	  "rdmsr\n hlt\n .fill 5, 1, 0x90\n wrmsr\n hlt\n .fill 5, 1, 0x90\n"
	  "1: rdmsr\n jmp 1b");
#define RDMSR 0
#define WRMSR 8
#define RDMSR_FOR_EVER 16

/* With interrupts on: else the emulated CPU does not wake for those of the host. */
GUEST_ASM(code_halt, 16, "sti\n hlt\n out %al, $0x10\n");
GUEST_ASM(code_nmi, 16, "out %al, $0x11\n iret");
GUEST_ASM(code_nops, 16, "nop\n nop\n out %al, $0x10\n");
#define NMI_HANDLER 0x2000

FIXTURE(capabilities)
{
	struct guest g;
};

FIXTURE_SETUP(capabilities)
{
}

FIXTURE_TEARDOWN(capabilities)
{
	guest_destroy(&self->g);
}

static int enable(struct guest *g, uint32_t capability, uint64_t value)
{
	struct kvm_enable_cap cap = { .cap = capability, .args[0] = value };

	return ioctl(g->vm, KVM_ENABLE_CAP, &cap);
}

static long offered(struct guest *g, uint32_t capability)
{
	return ioctl(g->vm, KVM_CHECK_EXTENSION, capability);
}

/* Its first vCPU, about to run @code in real mode. */
static int add_vcpu(struct guest *g, const void *code, size_t size)
{
	struct kvm_regs regs = { .rip = GUEST_CODE, .rsp = GUEST_STACK, .rflags = 2 };
	struct kvm_sregs sregs;

	memcpy(g->memory + GUEST_CODE, code, size);
	if (guest_create_vcpu(g, 0) || ioctl(g->vcpu, KVM_GET_SREGS, &sregs))
		return -1;
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	return ioctl(g->vcpu, KVM_SET_SREGS, &sregs) ?: ioctl(g->vcpu, KVM_SET_REGS, &regs);
}

#define VM_REFUSED(error, what)          \
	do {                             \
		EXPECT_EQ(-1, (what));   \
		EXPECT_EQ(error, errno); \
	} while (0)

/* ---- MSRs ---- */

#define LONG()                                                                        \
	do {                                                                          \
		ASSERT_EQ(0, guest_create(&self->g, code_msr, GUEST_SIZE(code_msr))); \
		guest_to_long_mode(&self->g);                                         \
		guest_catch(&self->g);                                                \
	} while (0)

static void start(struct guest *g, int what, uint32_t index)
{
	struct kvm_regs regs = {
		.rip = GUEST_CODE + what, .rsp = GUEST_STACK, .rflags = 2, .rcx = index
	};

	ioctl(g->vcpu, KVM_SET_REGS, &regs);
}

static int access_msr(struct guest *g, int what, uint32_t index)
{
	start(g, what, index);
	return guest_trap(g, NULL);
}

/* Of @n MSRs from @base on those whose bit is set in @allowed; of the others what @flags say. */
static int filter(struct guest *g, uint32_t flags, uint32_t access, uint32_t base, uint32_t n,
		  void *allowed)
{
	struct kvm_msr_filter f = {
		.flags = flags,
		.ranges[3] = { .flags = access, .base = base, .nmsrs = n, .bitmap = allowed },
	};

	return ioctl(g->vm, KVM_X86_SET_MSR_FILTER, &f);
}

#define BOTH (KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE)

TEST_F(capabilities, a_filter_keeps_msrs_from_the_guest)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} m = { .head.nmsrs = 1, .entry.index = MSR_KERNEL_GS_BASE };
	uint64_t second = 2;

	LONG();
	EXPECT_EQ(1, offered(&self->g, KVM_CAP_X86_MSR_FILTER));
	/* One that does not exit otherwise, and one that does. */
	ASSERT_EQ(0, filter(&self->g, 0, KVM_MSR_FILTER_WRITE, MSR_KERNEL_GS_BASE, 1, &second));
	EXPECT_EQ(13, access_msr(&self->g, WRMSR, MSR_KERNEL_GS_BASE));
	EXPECT_EQ(GUEST_HALTED, access_msr(&self->g, RDMSR, MSR_KERNEL_GS_BASE));
	EXPECT_EQ(GUEST_HALTED, access_msr(&self->g, WRMSR, MSR_FS_BASE));
	EXPECT_EQ(1, VCPU(KVM_SET_MSRS, &m)) TH_LOG("it is not for user space");
	ASSERT_EQ(0, filter(&self->g, 0, BOTH, MSR_MISC_ENABLE - 1, 2, &(uint64_t){ 1 }));
	EXPECT_EQ(13, access_msr(&self->g, RDMSR, MSR_MISC_ENABLE));
	EXPECT_EQ(13, access_msr(&self->g, WRMSR, MSR_MISC_ENABLE));
	EXPECT_EQ(GUEST_HALTED, access_msr(&self->g, WRMSR, MSR_KERNEL_GS_BASE));
	ASSERT_EQ(0, filter(&self->g, 0, 0, 0, 0, NULL));
	EXPECT_EQ(GUEST_HALTED, access_msr(&self->g, RDMSR, MSR_MISC_ENABLE));
}

TEST_F(capabilities, a_filter_can_deny_all_but_some)
{
	uint64_t second = 2;

	LONG();
	ASSERT_EQ(0,
		  filter(&self->g, KVM_MSR_FILTER_DEFAULT_DENY, BOTH, MSR_FS_BASE - 1, 2, &second));
	EXPECT_EQ(GUEST_HALTED, access_msr(&self->g, RDMSR, MSR_FS_BASE));
	EXPECT_EQ(GUEST_HALTED, access_msr(&self->g, WRMSR, MSR_FS_BASE));
	EXPECT_EQ(13, access_msr(&self->g, RDMSR, MSR_FS_BASE + 1));
	EXPECT_EQ(13, access_msr(&self->g, WRMSR, MSR_KERNEL_GS_BASE));
	EXPECT_EQ(13, access_msr(&self->g, RDMSR, MSR_MISC_ENABLE));
}

TEST_F(capabilities, user_space_has_filtered_msrs_where_it_asks)
{
	struct kvm_run *run;
	uint64_t none = 0;

	LONG();
	run = self->g.run;
	ASSERT_EQ(0, filter(&self->g, 0, BOTH, MSR_KERNEL_GS_BASE, 1, &none));
	ASSERT_EQ(0, enable(&self->g, KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_FILTER));
	start(&self->g, RDMSR, MSR_KERNEL_GS_BASE);
	ASSERT_EQ(KVM_EXIT_X86_RDMSR, guest_run(&self->g));
	EXPECT_EQ(MSR_KERNEL_GS_BASE, run->msr.index);
	EXPECT_EQ(KVM_MSR_EXIT_REASON_FILTER, run->msr.reason);
	run->msr.data = 0x1234;
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	EXPECT_EQ(0x1234, guest_regs(&self->g).rax);
	start(&self->g, WRMSR, MSR_KERNEL_GS_BASE);
	ASSERT_EQ(KVM_EXIT_X86_WRMSR, guest_run(&self->g));
	EXPECT_EQ(KVM_MSR_EXIT_REASON_FILTER, run->msr.reason);
	run->msr.error = 1;
	EXPECT_EQ(13, guest_trap(&self->g, NULL));
}

static void *run_it(void *g)
{
	return (void *)(long)guest_run(g);
}

/* The guest does not leave by itself: it has to be told. */
TEST_F(capabilities, a_filter_reaches_a_guest_that_runs)
{
	uint64_t none = 0;
	pthread_t thread;
	void *reason;

	LONG();
	ASSERT_EQ(0, enable(&self->g, KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_FILTER));
	start(&self->g, RDMSR_FOR_EVER, MSR_KERNEL_GS_BASE);
	ASSERT_EQ(0, pthread_create(&thread, NULL, run_it, &self->g));
	usleep(100000);
	ASSERT_EQ(0, filter(&self->g, 0, BOTH, MSR_KERNEL_GS_BASE, 1, &none));
	pthread_join(thread, &reason);
	EXPECT_EQ(KVM_EXIT_X86_RDMSR, (long)reason);
}

TEST_F(capabilities, impossible_filters_are_refused)
{
	uint64_t bits = ~0UL;

	ASSERT_EQ(0, guest_create_vm(&self->g));
	VM_REFUSED(EINVAL, filter(&self->g, 2, BOTH, 0, 1, &bits));
	VM_REFUSED(EINVAL, filter(&self->g, KVM_MSR_FILTER_DEFAULT_DENY, BOTH, 0, 0, &bits));
	VM_REFUSED(EINVAL, filter(&self->g, 0, 0, 0, 1, &bits));
	VM_REFUSED(EINVAL, filter(&self->g, 0, 4, 0, 1, &bits));
	VM_REFUSED(EINVAL, filter(&self->g, 0, BOTH, 0, 0x600 * 8 + 1, &bits));
	VM_REFUSED(EINVAL, filter(&self->g, 0, BOTH, 0, ~0U, &bits));
	VM_REFUSED(EFAULT, filter(&self->g, 0, BOTH, 0, 1, NULL));
	VM_REFUSED(EFAULT, ioctl(self->g.vm, KVM_X86_SET_MSR_FILTER, NULL));
	EXPECT_EQ(0, filter(&self->g, 0, BOTH, ~0U, 64, &bits));
}

/* ---- exits ---- */

static void on_alarm(int signal)
{
	(void)signal;
}

static void real_mode_nmi(struct guest *g)
{
	memcpy(g->memory + NMI_HANDLER, code_nmi, GUEST_SIZE(code_nmi));
	*(uint32_t *)(g->memory + 2 * 4) = NMI_HANDLER;
}

/* HLT comes back with a signal, here and there, and an NMI ends it. */
TEST_F(capabilities, hlt_need_not_exit)
{
	uint64_t exits = KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE;
	struct itimerval often = { { 0, 20000 }, { 0, 20000 } }, never = {};
	struct sigaction action = { .sa_handler = on_alarm };
	struct guest *g = &self->g;
	int reason;

	ASSERT_EQ(0, guest_create_vm(g));
	ASSERT_EQ(exits, offered(g, KVM_CAP_X86_DISABLE_EXITS) & exits);
	VM_REFUSED(EINVAL, enable(g, KVM_CAP_X86_DISABLE_EXITS, 1 << 8));
	ASSERT_EQ(0, enable(g, KVM_CAP_X86_DISABLE_EXITS, exits));
	ASSERT_EQ(0, add_vcpu(g, code_halt, GUEST_SIZE(code_halt)));
	real_mode_nmi(g);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	do {
		reason = guest_run(g);
		if (reason == -EINTR)
			OK(KVM_NMI, 0);
	} while (reason == -EINTR || (reason == KVM_EXIT_IO && g->run->io.port == 0x11));
	setitimer(ITIMER_REAL, &never, NULL);
	EXPECT_EQ(KVM_EXIT_IO, reason);
	EXPECT_EQ(0x10, g->run->io.port);
	if (!guest_on_kvm())
		EXPECT_EQ(0, guest_stat(g->vcpu, "exit_hlt"));
}

/* ---- steps without interrupts ---- */

TEST_F(capabilities, a_debugger_can_step_with_interrupts_held)
{
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP |
						    KVM_GUESTDBG_BLOCKIRQ };
	struct guest *g = &self->g;

	ASSERT_EQ(0, guest_create(g, code_nops, GUEST_SIZE(code_nops)));
	real_mode_nmi(g);
	ASSERT_TRUE(offered(g, KVM_CAP_SET_GUEST_DEBUG2) & KVM_GUESTDBG_BLOCKIRQ);
	OK(KVM_SET_GUEST_DEBUG, &debug);
	OK(KVM_NMI, 0);
	for (unsigned int i = 1; i <= 2; i++) {
		ASSERT_EQ(KVM_EXIT_DEBUG, guest_run(g));
		EXPECT_EQ(GUEST_CODE + i, guest_regs(g).rip);
	}
	debug.control = 0;
	OK(KVM_SET_GUEST_DEBUG, &debug);
	ASSERT_EQ(KVM_EXIT_IO, guest_run(g));
	EXPECT_EQ(0x11, g->run->io.port) TH_LOG("it was not lost");
	ASSERT_EQ(KVM_EXIT_IO, guest_run(g));
	EXPECT_EQ(0x10, g->run->io.port);
}

/* ---- local APICs ---- */

GUEST_ASM(code_icr, 32,
	  "mov $0xfee00300, %edi\n movl %eax, (%edi)\n movl (%edi), %ebx\n out %al, $0x10");
#define BUSY (1 << 12)

TEST_F(capabilities, an_xapic_has_sent_at_once)
{
	struct kvm_regs regs;
	struct guest *g = &self->g;

	ASSERT_EQ(0, guest_create_vm(g));
	ASSERT_EQ(0, ioctl(g->vm, KVM_CREATE_IRQCHIP, 0));
	ASSERT_EQ(0, add_vcpu(g, code_icr, GUEST_SIZE(code_icr)));
	guest_to_flat_mode(g);
	OK(KVM_GET_REGS, &regs);
	regs.rax = 0x44010 | BUSY;
	OK(KVM_SET_REGS, &regs);
	ASSERT_EQ(KVM_EXIT_IO, guest_run(g));
	EXPECT_EQ(0x44010, guest_regs(g).rbx);
}

TEST_F(capabilities, the_id_of_an_x2apic_cannot_be_set)
{
	struct kvm_lapic_state lapic;
	struct kvm_sregs sregs;

	ASSERT_EQ(0, guest_create_vm(&self->g));
	ASSERT_EQ(0, ioctl(self->g.vm, KVM_CREATE_IRQCHIP, 0));
	ASSERT_EQ(0, guest_create_vcpu(&self->g, 0));
	ASSERT_EQ(0, guest_set_supported_cpuid(&self->g));
	OK(KVM_GET_SREGS, &sregs);
	sregs.apic_base |= 1 << 10;
	OK(KVM_SET_SREGS, &sregs);
	OK(KVM_GET_LAPIC, &lapic);
	lapic.regs[0x23] = 7;
	OK(KVM_SET_LAPIC, &lapic);
	OK(KVM_GET_LAPIC, &lapic);
	EXPECT_EQ(0, lapic.regs[0x23]);
	/* Whoever knows all of its 32 bits has them right. */
	ASSERT_EQ(0, enable(&self->g, KVM_CAP_X2APIC_API, KVM_X2APIC_API_USE_32BIT_IDS));
	lapic.regs[0x20] = 7;
	REFUSED(EINVAL, KVM_SET_LAPIC, &lapic);
}

/* ---- numbers ---- */

TEST_F(capabilities, ids_have_bounds)
{
	long max;

	ASSERT_EQ(0, guest_create_vm(&self->g));
	max = offered(&self->g, KVM_CAP_MAX_VCPU_ID);
	VM_REFUSED(EINVAL, ioctl(self->g.vm, KVM_SET_BOOT_CPU_ID, max + 1));
	VM_REFUSED(EINVAL, ioctl(self->g.vm, KVM_SET_BOOT_CPU_ID, 1UL << 32));
	VM_REFUSED(EINVAL, enable(&self->g, KVM_CAP_MAX_VCPU_ID, max + 1));
	ASSERT_EQ(0, ioctl(self->g.vm, KVM_SET_BOOT_CPU_ID, 3));
	VM_REFUSED(EINVAL, enable(&self->g, KVM_CAP_MAX_VCPU_ID, 2));
	EXPECT_EQ(0, enable(&self->g, KVM_CAP_MAX_VCPU_ID, 4));
	VM_REFUSED(EINVAL, enable(&self->g, KVM_CAP_MAX_VCPU_ID, 5));
	VM_REFUSED(EINVAL, ioctl(self->g.vm, KVM_CREATE_VCPU, 4));
	VM_REFUSED(EINVAL, ioctl(self->g.vm, KVM_CREATE_VCPU, 1UL << 32));
	EXPECT_LE(0, ioctl(self->g.vm, KVM_CREATE_VCPU, 3));
	VM_REFUSED(EBUSY, ioctl(self->g.vm, KVM_SET_BOOT_CPU_ID, 3));
}

TEST_F(capabilities, a_number_of_shadow_pages_is_taken)
{
	ASSERT_EQ(0, guest_create_vm(&self->g));
	EXPECT_EQ(0, ioctl(self->g.vm, KVM_SET_NR_MMU_PAGES, 64));
	VM_REFUSED(EINVAL, ioctl(self->g.vm, KVM_SET_NR_MMU_PAGES, 63));
}

TEST_F(capabilities, failures_of_emulation_go_to_user_space)
{
	ASSERT_EQ(0, guest_create_vm(&self->g));
	EXPECT_EQ(1, offered(&self->g, KVM_CAP_EXIT_ON_EMULATION_FAILURE));
	EXPECT_EQ(0, enable(&self->g, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1));
	EXPECT_EQ(0, enable(&self->g, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 0));
	VM_REFUSED(EINVAL, enable(&self->g, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 2));
}

TEST_HARNESS_MAIN
