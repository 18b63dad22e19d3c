// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dedicated vCPUs: whose CPU is whose, and what does not exit there. That their timer
 * is exact is what selftests/timer.c sees to.
 *
 * In a test host with --with dragonfly.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#include "kselftest_harness.h"
#include "apic.h"
#include "vcpu-ioctl.h"

#define VECTOR 0xec
#define ROUNDS 200

/*
 * Arms a deadline RAX from now, RCX times, waits for each, halting if RBX is odd, and
 * counts in R8 those that came early.
 */
GUEST_ASM(code_ticks, 64,
	  "mov %rax, %rsi\n mov %rcx, %rdi\n xor %r8d, %r8d\n mov $0x6e0, %ecx\n"
	  "1: mov %gs:0, %rbp\n rdtsc\n shl $32, %rdx\n or %rdx, %rax\n add %rsi, %rax\n"
	  "mov %rax, %r9\n mov %rax, %rdx\n shr $32, %rdx\n wrmsr\n"
	  "2: cli\n cmp %rbp, %gs:0\n ja 4f\n test $1, %ebx\n jz 3f\n sti\n hlt\n jmp 2b\n"
	  "3: sti\n pause\n jmp 2b\n"
	  "4: cmp %r9, %gs:8\n adc $0, %r8\n dec %rdi\n jnz 1b\n" APIC_DONE);
/* Arms a deadline at RAX, and spins until R8 is not 0. */
GUEST_ASM(code_arm, 64,
	  "mov %rax, %rdx\n shr $32, %rdx\n mov $0x6e0, %ecx\n wrmsr\n xor %r8d, %r8d\n"
	  "1: pause\n test %r8, %r8\n jz 1b\n" APIC_DONE);
#define CODE 0x2000

FIXTURE(dedicated)
{
	struct guest g;
};

FIXTURE_SETUP(dedicated)
{
	if (guest_on_kvm())
		SKIP(return, "KVM has no dedicated vCPUs");
	ASSERT_EQ(0, apic_pin(0));
	ASSERT_EQ(0, apic_create_dedicated(&self->g));
	ASSERT_EQ(0, apic_set_reg(&self->g, APIC_LVTT, APIC_LVT_TIMER_TSCDEADLINE | VECTOR));
}

FIXTURE_TEARDOWN(dedicated)
{
	apic_destroy(&self->g, 1);
}

static int64_t exits(const struct guest *g, const char *name)
{
	return guest_stat(g->vcpu, name);
}

static void load(struct guest *g, const uint8_t *code, size_t size, uint64_t rax, uint64_t rcx,
		 uint64_t rbx)
{
	struct kvm_regs regs;

	memcpy(g->memory + CODE, code, size);
	apic_enter(g, 0, CODE, rcx, rax);
	regs = guest_regs(g);
	regs.rbx = rbx;
	ioctl(g->vcpu, KVM_SET_REGS, &regs);
}

/* --- whose CPU it is ------------------------------------------------------- */

TEST_F(dedicated, is_said_before_there_are_vcpus)
{
	int vm = ioctl(self->g.device, KVM_CREATE_VM, 0);

	EXPECT_EQ(1, ioctl(self->g.vm, KVM_CHECK_EXTENSION, DRAGONFLY_CAP_DEDICATED));
	FAILS(EINVAL, apic_enable_cap(self->g.vm, DRAGONFLY_CAP_DEDICATED, 1));
	FAILS(EINVAL, apic_enable_cap(vm, DRAGONFLY_CAP_DEDICATED, 0));
	FAILS(EINVAL, apic_enable_cap(vm, DRAGONFLY_CAP_DEDICATED, 2));
	EXPECT_EQ(0, apic_enable_cap(vm, DRAGONFLY_CAP_DEDICATED, 1));
	close(vm);
}

TEST_F(dedicated, a_thread_that_may_move_does_not_run)
{
	cpu_set_t all;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "this host has one CPU");
	memset(&all, 0xff, sizeof(all));
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(all), &all));
	apic_enter(&self->g, 0, APIC_AT(apic_nothing), 0, 0);
	FAILS(EINVAL, ioctl(self->g.vcpu, KVM_RUN, NULL));
	ASSERT_EQ(0, apic_pin(1));
	EXPECT_EQ(0, apic_resume(&self->g));
}

/* Are the first two CPUs threads of one core? */
static bool are_siblings(void)
{
	char list[32] = "";
	FILE *in = fopen("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "re");

	if (!in || !fgets(list, sizeof(list), in))
		list[0] = '\0';
	if (in)
		fclose(in);
	return strpbrk(list, ",-");
}

TEST_F(dedicated, a_cpu_is_one_vcpus)
{
	struct guest other;

	ASSERT_EQ(0, apic_create_dedicated(&other));
	EXPECT_EQ(0, apic_do(&self->g, apic_nothing, 0, 0));
	apic_enter(&other, 0, APIC_AT(apic_nothing), 0, 0);
	FAILS(EBUSY, ioctl(other.vcpu, KVM_RUN, NULL));
	/* Until it is closed, or runs elsewhere. */
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1) {
		ASSERT_EQ(0, apic_pin(1));
		EXPECT_EQ(0, apic_do(&self->g, apic_nothing, 0, 0));
		FAILS(EBUSY, ioctl(other.vcpu, KVM_RUN, NULL));
		ASSERT_EQ(0, apic_pin(0));
	}
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1 && !are_siblings()) {
		EXPECT_EQ(0, apic_resume(&other));
		FAILS(EBUSY, ioctl(self->g.vcpu, KVM_RUN, NULL));
	} else {
		FAILS(EBUSY, ioctl(other.vcpu, KVM_RUN, NULL));
	}
	apic_destroy(&other, 1);
	EXPECT_EQ(0, apic_do(&self->g, apic_nothing, 0, 0));
}

/* --- what does not exit ---------------------------------------------------- */

/* A deadline each, which exits once: when it is over. */
static void expect_ticks(struct __test_metadata *_metadata, struct guest *g, uint64_t halting)
{
	volatile struct apic_cpu *cpu = apic_cpu(g, 0);
	int64_t writes, halts, all;

	load(g, code_ticks, GUEST_SIZE(code_ticks), 100000, ROUNDS, halting);
	writes = exits(g, "exit_msr_write");
	halts = exits(g, "exit_hlt");
	all = exits(g, "exits");
	ASSERT_EQ(0, apic_resume(g));
	EXPECT_EQ(ROUNDS, cpu->count);
	EXPECT_EQ(ROUNDS, cpu->taken[VECTOR]);
	EXPECT_EQ(0, guest_regs(g).r8) TH_LOG("early");
	EXPECT_EQ(writes, exits(g, "exit_msr_write"));
	EXPECT_EQ(halts, exits(g, "exit_hlt"));
	/* The rest is the host's own ticks, and the end. */
	EXPECT_GE(exits(g, "exits") - all, ROUNDS);
	EXPECT_LE(exits(g, "exits") - all, 2 * ROUNDS);
}

TEST_F(dedicated, a_deadline_exits_once)
{
	expect_ticks(_metadata, &self->g, 0);
}

TEST_F(dedicated, a_halt_for_it_does_not_exit)
{
	expect_ticks(_metadata, &self->g, 1);
}

TEST_F(dedicated, another_tsc_makes_it_exit)
{
	static const uint64_t offset = 1 << 20;
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&offset,
	};
	int64_t writes;

	OK(KVM_SET_DEVICE_ATTR, &attr);
	load(&self->g, code_ticks, GUEST_SIZE(code_ticks), 100000, ROUNDS, 0);
	writes = exits(&self->g, "exit_msr_write");
	ASSERT_EQ(0, apic_resume(&self->g));
	EXPECT_EQ(0, guest_regs(&self->g).r8);
	EXPECT_EQ(writes + 1, exits(&self->g, "exit_msr_write") - ROUNDS + 1);
}

/* --- the host's own timer --------------------------------------------------- */

static volatile sig_atomic_t alarms;

static void count_alarm(int signal)
{
	(void)signal;
	alarms++;
}

static void expect_alarm(struct __test_metadata *_metadata, struct guest *g, uint64_t deadline)
{
	struct itimerval soon = { .it_value.tv_usec = 20000 };
	struct sigaction action = { .sa_handler = count_alarm };

	sigaction(SIGALRM, &action, NULL);
	alarms = 0;
	/* With what it needs in place, it is there long before the alarm is. */
	ASSERT_EQ(0, apic_do(g, apic_nothing, 0, 0));
	load(g, code_arm, GUEST_SIZE(code_arm), deadline, 0, 0);
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &soon, NULL));
	EXPECT_EQ(-EINTR, apic_resume(g));
	EXPECT_EQ(1, alarms);
}

TEST_F(dedicated, the_hosts_timer_comes_before_the_guests)
{
	expect_alarm(_metadata, &self->g, UINT64_MAX >> 1);
}

TEST_F(dedicated, the_hosts_timer_comes_where_the_guest_has_none)
{
	expect_alarm(_metadata, &self->g, 0);
}

TEST_F(dedicated, the_hosts_timer_comes_after_the_guests)
{
	expect_alarm(_metadata, &self->g, 1);
	EXPECT_EQ(0, apic_do(&self->g, apic_take, 0, 0));
	EXPECT_EQ(1, apic_cpu(&self->g, 0)->taken[VECTOR]);
}

/* While it does not run, its deadline is a number. */
TEST_F(dedicated, a_deadline_that_is_not_over_is_there_for_user_space)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} m = { .head.nmsrs = 1, .entry.index = MSR_IA32_TSC_DEADLINE };

	expect_alarm(_metadata, &self->g, UINT64_MAX >> 1);
	ASSERT_EQ(1, VCPU(KVM_GET_MSRS, &m));
	EXPECT_EQ(UINT64_MAX >> 1, m.entry.data);
	m.entry.data = 1;
	ASSERT_EQ(1, VCPU(KVM_SET_MSRS, &m));
	EXPECT_EQ(0, apic_do(&self->g, apic_take, 0, 0));
	EXPECT_EQ(1, apic_cpu(&self->g, 0)->taken[VECTOR]);
	EXPECT_EQ(0, apic_get(&self->g, apic_rdmsr, MSR_IA32_TSC_DEADLINE));
}

TEST_HARNESS_MAIN
