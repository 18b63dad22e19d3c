// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest code runs: from real mode to 64-bit, with memory, ports and exits as
 * KVM gives them.
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm.
 */
#include <pthread.h>
#include <signal.h>

#include "kselftest_harness.h"
#include "guest.h"

GUEST_ASM(code_out_hlt, 16, "mov $0x4a, %al\n out %al, $0x10\n hlt");
GUEST_ASM(code_in, 16,
	  "in $0x20, %al\n out %al, $0x10\n mov $0x1234, %dx\n"
	  "inl %dx, %eax\n outl %eax, %dx\n hlt");
GUEST_ASM(code_memory, 16,
	  "movw $0xbeef, 0x3000\n mov 0x3000, %ax\n mov $0x10, %dx\n"
	  "out %ax, %dx\n hlt");
GUEST_ASM(code_triple_fault, 16, "lidt 0x2f00\n int3");
GUEST_ASM(code_spin, 16, "1: jmp 1b");
GUEST_ASM(code_count, 16, "1: incl 0x3000\n jmp 1b");
GUEST_ASM(code_cpuid, 16, "mov $0x40000000, %eax\n cpuid\n hlt");
GUEST_ASM(code_write_hole, 16, "mov $0xf000, %ax\n mov %ax, %ds\n movb $1, 0\n hlt");
GUEST_ASM(code_bad_msr, 16, "mov $0xdead, %ecx\n rdmsr\n hlt");
GUEST_ASM(code_pae, 32, "movl $0x5a5a5a5a, 0x40003000\n hlt");
GUEST_ASM(code_sse, 64, "movups 0x3000, %xmm0\n paddd %xmm0, %xmm0\n movups %xmm0, 0x3010\n hlt");
GUEST_ASM(code_long, 64,
	  "mov $0x123456789abcdef0, %rax\n mov %rax, 0x3000\n"
	  "mov $0xc0000080, %ecx\n rdmsr\n mov $0x10, %dx\n out %eax, %dx\n hlt");

FIXTURE(guest)
{
	struct guest g;
};

FIXTURE_SETUP(guest)
{
}

FIXTURE_TEARDOWN(guest)
{
	guest_destroy(&self->g);
}

#define START(code) ASSERT_EQ(0, guest_create(&self->g, code, GUEST_SIZE(code)))

TEST_F(guest, out_and_hlt_reach_user_space)
{
	struct kvm_regs regs;

	START(code_out_hlt);
	ASSERT_EQ(KVM_EXIT_IO, guest_run(&self->g));
	EXPECT_EQ(KVM_EXIT_IO_OUT, self->g.run->io.direction);
	EXPECT_EQ(0x10, self->g.run->io.port);
	EXPECT_EQ(1, self->g.run->io.size);
	EXPECT_EQ(1, self->g.run->io.count);
	EXPECT_EQ(0x4a, guest_io_data(&self->g));
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	ASSERT_EQ(0, ioctl(self->g.vcpu, KVM_GET_REGS, &regs));
	EXPECT_EQ(GUEST_CODE + GUEST_SIZE(code_out_hlt), regs.rip);
}

TEST_F(guest, in_takes_what_user_space_gives)
{
	struct kvm_regs regs;
	struct kvm_run *run;

	START(code_in);
	run = self->g.run;
	ASSERT_EQ(0, ioctl(self->g.vcpu, KVM_GET_REGS, &regs));
	regs.rax = ~0ULL;
	ASSERT_EQ(0, ioctl(self->g.vcpu, KVM_SET_REGS, &regs));
	ASSERT_EQ(KVM_EXIT_IO, guest_run(&self->g));
	ASSERT_EQ(KVM_EXIT_IO_IN, run->io.direction);
	EXPECT_EQ(0x20, run->io.port);
	*((uint8_t *)run + run->io.data_offset) = 0x5b;
	ASSERT_EQ(KVM_EXIT_IO, guest_run(&self->g));
	EXPECT_EQ(0x5b, guest_io_data(&self->g));
	ASSERT_EQ(0, ioctl(self->g.vcpu, KVM_GET_REGS, &regs));
	EXPECT_EQ(~0xa4ULL, regs.rax) TH_LOG("a byte leaves the rest alone");

	ASSERT_EQ(KVM_EXIT_IO, guest_run(&self->g));
	ASSERT_EQ(4, run->io.size);
	EXPECT_EQ(0x1234, run->io.port);
	*(uint32_t *)((uint8_t *)run + run->io.data_offset) = 0xcafef00d;
	ASSERT_EQ(KVM_EXIT_IO, guest_run(&self->g));
	EXPECT_EQ(0xcafef00d, guest_io_data(&self->g));
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	ASSERT_EQ(0, ioctl(self->g.vcpu, KVM_GET_REGS, &regs));
	EXPECT_EQ(0xcafef00d, regs.rax) TH_LOG("32 bits clear the upper half");
}

/* What user space writes into the page after the exit is data, never a length. */
TEST_F(guest, a_forged_run_page_is_harmless)
{
	struct kvm_run *run;

	START(code_in);
	run = self->g.run;
	ASSERT_EQ(KVM_EXIT_IO, guest_run(&self->g));
	run->io.size = 255;
	run->io.count = ~0U;
	run->io.data_offset = ~0ULL;
	run->exit_reason = ~0U;
	ASSERT_EQ(KVM_EXIT_IO, guest_run(&self->g));
	EXPECT_EQ(1, run->io.size);
}

TEST_F(guest, memory_is_shared_with_user_space)
{
	START(code_memory);
	ASSERT_EQ(KVM_EXIT_IO, guest_run(&self->g));
	EXPECT_EQ(0xbeef, guest_io_data(&self->g));
	EXPECT_EQ(0xbeef, *(uint16_t *)(self->g.memory + 0x3000));
}

TEST_F(guest, a_triple_fault_is_a_shutdown)
{
	START(code_triple_fault);
	EXPECT_EQ(KVM_EXIT_SHUTDOWN, guest_run(&self->g));
}

TEST_F(guest, an_unknown_msr_is_a_general_protection_fault)
{
	START(code_bad_msr);
	/* No IDT to speak of in page 0: the #GP ends in a HLT that we put there. */
	*(uint32_t *)(self->g.memory + 13 * 4) = 0x2000;
	self->g.memory[0x2000] = 0xf4;
	struct kvm_regs regs;

	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	ASSERT_EQ(0, ioctl(self->g.vcpu, KVM_GET_REGS, &regs));
	EXPECT_EQ(0x2001, regs.rip);
}

TEST_F(guest, cpuid_is_what_user_space_set)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entry;
	} cpuid = {
		.head.nent = 1,
		.entry = { .function = 0x40000000, .eax = 1, .ebx = 2, .ecx = 3, .edx = 4 },
	};
	struct kvm_regs regs;

	START(code_cpuid);
	ASSERT_EQ(0, ioctl(self->g.vcpu, KVM_SET_CPUID2, &cpuid));
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	ASSERT_EQ(0, ioctl(self->g.vcpu, KVM_GET_REGS, &regs));
	EXPECT_EQ(1, regs.rax);
	EXPECT_EQ(2, regs.rbx);
	EXPECT_EQ(3, regs.rcx);
	EXPECT_EQ(4, regs.rdx);
}

TEST_F(guest, registers_come_back_as_they_were_set)
{
	struct kvm_regs set, got;
	struct kvm_sregs sset, sgot;

	START(code_spin);
	memset(&set, 0xa5, sizeof(set));
	set.rflags = 0x202;
	ASSERT_EQ(0, ioctl(self->g.vcpu, KVM_SET_REGS, &set));
	ASSERT_EQ(0, ioctl(self->g.vcpu, KVM_GET_REGS, &got));
	EXPECT_EQ(0, memcmp(&set, &got, sizeof(set)));

	ASSERT_EQ(0, ioctl(self->g.vcpu, KVM_GET_SREGS, &sset));
	sset.ds.base = 0x12340;
	sset.ds.selector = 0x1234;
	sset.cr2 = 0x1122334455667788;
	sset.cr3 = 0x7000;
	sset.gdt.base = 0x6000;
	sset.gdt.limit = 0x27;
	ASSERT_EQ(0, ioctl(self->g.vcpu, KVM_SET_SREGS, &sset));
	ASSERT_EQ(0, ioctl(self->g.vcpu, KVM_GET_SREGS, &sgot));
	EXPECT_EQ(0, memcmp(&sset.ds, &sgot.ds, sizeof(sset.ds)));
	EXPECT_EQ(sset.cr2, sgot.cr2);
	EXPECT_EQ(sset.cr3, sgot.cr3);
	EXPECT_EQ(sset.gdt.base, sgot.gdt.base);
	EXPECT_EQ(sset.gdt.limit, sgot.gdt.limit);
	EXPECT_EQ(sset.cr0, sgot.cr0);
	EXPECT_EQ(sset.apic_base, sgot.apic_base);
}

TEST_F(guest, impossible_control_registers_are_einval)
{
	struct kvm_sregs good, bad;

	START(code_spin);
	ASSERT_EQ(0, ioctl(self->g.vcpu, KVM_GET_SREGS, &good));
#define REFUSED(change)                                                  \
	do {                                                             \
		bad = good;                                              \
		change;                                                  \
		EXPECT_EQ(-1, ioctl(self->g.vcpu, KVM_SET_SREGS, &bad)); \
		EXPECT_EQ(EINVAL, errno) TH_LOG("%s", #change);          \
	} while (0)
	REFUSED(bad.cr0 = 1UL << 31);
	REFUSED(bad.cr0 = 1UL << 63);
	REFUSED(bad.cr4 = 1UL << 63);
	/* KVM takes any EFER here, and has nested VMX. */
	if (!guest_on_kvm()) {
		REFUSED(bad.efer = 1UL << 63);
		REFUSED(bad.cr4 = 1UL << 13);
	}
	REFUSED((bad.efer = 1 << 8, bad.cr0 |= 1UL << 31 | 1));
#undef REFUSED
}

TEST_F(guest, long_mode_runs)
{
	START(code_long);
	guest_to_long_mode(&self->g);
	ASSERT_EQ(KVM_EXIT_IO, guest_run(&self->g));
	EXPECT_EQ(1 << 8 | 1 << 10, guest_io_data(&self->g)) TH_LOG("EFER.LME and LMA");
	EXPECT_EQ(0x123456789abcdef0, *(uint64_t *)(self->g.memory + 0x3000));
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
}

/* A guest's vector registers are its own, and so are ours. */
TEST_F(guest, vector_registers_are_apart)
{
	uint32_t ours[4] = { 0x11, 0x22, 0x33, 0x44 }, after[4];

	START(code_sse);
	guest_to_long_mode(&self->g);
	memcpy(self->g.memory + 0x3000, (uint32_t[]){ 1, 2, 3, 4 }, 16);
	asm volatile("movups %0, %%xmm0" : : "m"(ours) : "xmm0");
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	asm volatile("movups %%xmm0, %0" : "=m"(after) : : "xmm0");
	EXPECT_EQ(2, *(uint32_t *)(self->g.memory + 0x3010));
	EXPECT_EQ(8, *(uint32_t *)(self->g.memory + 0x301c));
	EXPECT_NE(2, after[0]);
}

/* The CPU has the four top entries in registers, which a load of CR3 fills. */
TEST_F(guest, pae_paging_runs)
{
	struct kvm_segment code = {
		.limit = ~0U, .selector = 8, .type = 11, .present = 1, .s = 1, .db = 1, .g = 1
	};
	struct kvm_segment data = {
		.limit = ~0U, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1
	};
	struct kvm_sregs s;

	START(code_pae);
	guest_set_cpuid(&self->g);
	*(uint64_t *)(self->g.memory + 0x10000) = 0x11000 | 1;
	*(uint64_t *)(self->g.memory + 0x11000) = 0x83;
	/* The second GiB is the first again. */
	*(uint64_t *)(self->g.memory + 0x10008) = 0x11000 | 1;
	ASSERT_EQ(0, ioctl(self->g.vcpu, KVM_GET_SREGS, &s));
	s.cr3 = 0x10000;
	s.cr4 = 1 << 5;
	s.cr0 = 1UL << 31 | 1 << 5 | 1;
	s.cs = code;
	s.ds = data;
	s.es = data;
	s.ss = data;
	ASSERT_EQ(0, ioctl(self->g.vcpu, KVM_SET_SREGS, &s));
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	EXPECT_EQ(0x5a5a5a5a, *(uint32_t *)(self->g.memory + 0x3000));
}

/* Single-stepping is the guest's own business: its handler runs. */
TEST_F(guest, a_trap_flag_raises_its_exception)
{
	struct kvm_regs regs;

	START(code_spin);
	*(uint32_t *)(self->g.memory + 1 * 4) = 0x2000;
	self->g.memory[0x2000] = 0xf4;
	ASSERT_EQ(0, ioctl(self->g.vcpu, KVM_GET_REGS, &regs));
	regs.rflags |= 1 << 8;
	ASSERT_EQ(0, ioctl(self->g.vcpu, KVM_SET_REGS, &regs));
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	ASSERT_EQ(0, ioctl(self->g.vcpu, KVM_GET_REGS, &regs));
	EXPECT_EQ(0x2001, regs.rip);
}

/* VMX would be off when the host wakes up. */
TEST_F(guest, the_host_does_not_suspend_under_a_vm)
{
	int fd;

	if (guest_on_kvm())
		SKIP(return, "KVM suspends and resumes");
	START(code_spin);
	fd = open("/sys/power/state", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		SKIP(return, "this kernel cannot suspend");
	EXPECT_EQ(-1, write(fd, "freeze", 6));
	EXPECT_EQ(EBUSY, errno);
	close(fd);
}

TEST_F(guest, memory_slots_are_checked_as_kvm_does)
{
	void *more = mmap(NULL, GUEST_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);

	START(code_spin);
#define SLOT(err, slot, flags, gpa, size, hva)                                               \
	do {                                                                                 \
		errno = 0;                                                                   \
		guest_memory(self->g.vm, slot, flags, gpa, size, hva);                       \
		EXPECT_EQ(err, errno) TH_LOG("slot %d at %#lx", slot, (unsigned long)(gpa)); \
	} while (0)
	SLOT(EEXIST, 1, 0, 0, 0x1000, more);
	SLOT(EEXIST, 1, 0, GUEST_MEMORY - 0x1000, 0x2000, more);
	SLOT(EINVAL, 1, 0, GUEST_MEMORY + 1, 0x1000, more);
	SLOT(EINVAL, 1, 0, GUEST_MEMORY, 0x1001, more);
	SLOT(EINVAL, 1, 0, GUEST_MEMORY, 0x1000, more + 1);
	SLOT(EINVAL, 1, 0, ~0xfffUL, 0x2000, more);
	SLOT(EINVAL, 1, 1U << 30, GUEST_MEMORY, 0x1000, more);
	SLOT(EINVAL, 1, 0, GUEST_MEMORY, 0x1000, (void *)(1UL << 63));
	SLOT(EINVAL, 1 << 30, 0, GUEST_MEMORY, 0x1000, more);
	SLOT(EINVAL, 1, 0, GUEST_MEMORY, 0, more);
	SLOT(EINVAL, 0, 0, 0, 0x1000, self->g.memory);
	SLOT(0, 1, 0, GUEST_MEMORY, 0x1000, more);
	SLOT(0, 1, 0, GUEST_MEMORY + 0x1000, 0x1000, more);
	SLOT(EEXIST, 1, 0, 0, 0x1000, more);
	SLOT(0, 1, 0, 0, 0, NULL);
	SLOT(EINVAL, 1, 0, 0, 0, NULL);
#undef SLOT
	munmap(more, GUEST_MEMORY);
}

/* A slot that is taken away is gone from the guest, and its pages are free. */
TEST_F(guest, deleted_memory_is_out_of_reach)
{
	START(code_memory);
	ASSERT_EQ(KVM_EXIT_IO, guest_run(&self->g));
	ASSERT_EQ(0, guest_memory(self->g.vm, 0, 0, 0, 0, NULL));
	memset(self->g.memory, 0, GUEST_MEMORY);
	EXPECT_EQ(KVM_EXIT_INTERNAL_ERROR, guest_run(&self->g));
}

TEST_F(guest, ids_are_taken_once)
{
	START(code_spin);
	EXPECT_EQ(-1, ioctl(self->g.vm, KVM_CREATE_VCPU, 0));
	EXPECT_EQ(EEXIST, errno);
	EXPECT_EQ(-1, ioctl(self->g.vm, KVM_CREATE_VCPU, 1 << 20));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(guest, immediate_exit_is_eintr)
{
	START(code_spin);
	self->g.run->immediate_exit = 1;
	EXPECT_EQ(-EINTR, guest_run(&self->g));
}

static void ignore(int signal __attribute__((unused)))
{
}

static void *kick(void *thread)
{
	usleep(20000);
	pthread_kill(*(pthread_t *)thread, SIGUSR1);
	return NULL;
}

TEST_F(guest, a_signal_ends_a_spinning_guest)
{
	pthread_t self_thread = pthread_self(), kicker;
	struct sigaction action = { .sa_handler = ignore };

	START(code_count);
	sigaction(SIGUSR1, &action, NULL);
	ASSERT_EQ(0, pthread_create(&kicker, NULL, kick, &self_thread));
	EXPECT_EQ(-EINTR, guest_run(&self->g));
	EXPECT_EQ(KVM_EXIT_INTR, self->g.run->exit_reason);
	EXPECT_LT(0, *(uint32_t *)(self->g.memory + 0x3000));
	pthread_join(kicker, NULL);
}

/*
 * Threads that run vCPUs of one VM are moved between CPUs as they run: each VMCS
 * goes with its thread, and no count is lost.
 */
#define MOVES 40

struct runner {
	struct guest g;
	pthread_t thread;
	int result;
};

static void *run_until_told(void *data)
{
	struct runner *r = data;

	do
		r->result = guest_run(&r->g);
	while (r->result == -EINTR && !__atomic_load_n(&r->g.run->padding1[0], 5));
	return NULL;
}

TEST_F_TIMEOUT(guest, vcpus_follow_their_threads, 3600)
{
	struct sigaction action = { .sa_handler = ignore };
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct runner r[2] = {};

	if (cpus < 2)
		SKIP(return, "this host has one CPU");
	START(code_out_hlt);
	sigaction(SIGUSR1, &action, NULL);
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, guest_create(&r[i].g, code_count, GUEST_SIZE(code_count)));
		ASSERT_EQ(0, pthread_create(&r[i].thread, NULL, run_until_told, &r[i]));
	}
	for (int move = 0; move < MOVES; move++) {
		uint32_t before[2];

		for (int i = 0; i < 2; i++) {
			cpu_set_t set;

			CPU_ZERO(&set);
			CPU_SET((move + i) % cpus, &set);
			before[i] = __atomic_load_n((uint32_t *)(r[i].g.memory + 0x3000), 5);
			ASSERT_EQ(0, pthread_setaffinity_np(r[i].thread, sizeof(set), &set));
		}
		for (int i = 0; i < 2; i++)
			while (__atomic_load_n((uint32_t *)(r[i].g.memory + 0x3000), 5) ==
			       before[i])
				usleep(1000);
	}
	for (int i = 0; i < 2; i++) {
		__atomic_store_n(&r[i].g.run->padding1[0], 1, 5);
		pthread_kill(r[i].thread, SIGUSR1);
		pthread_join(r[i].thread, NULL);
		EXPECT_EQ(-EINTR, r[i].result);
		guest_destroy(&r[i].g);
	}
}

TEST_HARNESS_MAIN
