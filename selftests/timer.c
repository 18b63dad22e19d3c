// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC's timer in its three modes. A guest never has an interrupt before
 * its own TSC says so: its handlers write down when they run.
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm.
 */
#include <pthread.h>
#include <sched.h>

#include "kselftest_harness.h"
#include "apic.h"
#include "vcpu-ioctl.h"

#define VECTOR 0xec

/*
 * timer_deadline and timer_count arm the timer, with a deadline RAX from now or a
 * count of RAX, and wait for as many interrupts as the upper half of RCX says, halting
 * where RCX is odd. They leave what they compare with: the deadline, or when they began.
 */
GUEST_ASM(timer_code, 64,
	  "timer_deadline: mov %rax, %rsi\n mov %rcx, %rdi\n"
	  "rdtsc\n shl $32, %rdx\n or %rdx, %rax\n add %rsi, %rax\n mov %rax, %gs:24\n"
	  "mov %rax, %rdx\n shr $32, %rdx\n mov $0x6e0, %ecx\n jmp 1f\n"
	  "timer_count: mov %rax, %rsi\n mov %rcx, %rdi\n"
	  "rdtsc\n shl $32, %rdx\n or %rdx, %rax\n mov %rax, %gs:24\n"
	  "mov %rsi, %rax\n xor %edx, %edx\n mov $0x838, %ecx\n"
	  "1: mov %rdi, %rbp\n shr $32, %rbp\n add %gs:0, %rbp\n"
	  "wrmsr\n"
	  "2: cli\n cmp %rbp, %gs:0\n jae 4f\n test $1, %edi\n jz 3f\n sti\n hlt\n jmp 2b\n"
	  "3: sti\n pause\n jmp 2b\n"
	  "4:" APIC_DONE
	  /* Takes what comes for RAX cycles. */
	  "timer_pass: mov %rax, %rsi\n sti\n rdtsc\n shl $32, %rdx\n or %rdx, %rax\n"
	  "add %rax, %rsi\n"
	  "5: rdtsc\n shl $32, %rdx\n or %rdx, %rax\n cmp %rsi, %rax\n jb 5b\n cli\n" APIC_DONE
	  /* The TSC and the count: R8, R9, and RAX cycles later R10, R11. */
	  "timer_ratio: mov %rax, %rsi\n mov $0x839, %ecx\n"
	  "rdtsc\n shl $32, %rdx\n or %rdx, %rax\n mov %rax, %r8\n add %rax, %rsi\n"
	  "rdmsr\n mov %rax, %r9\n"
	  "6: rdtsc\n shl $32, %rdx\n or %rdx, %rax\n cmp %rsi, %rax\n jb 6b\n mov %rax, %r10\n"
	  "rdmsr\n mov %rax, %r11\n" APIC_DONE);
GUEST_LABEL(timer_deadline);
GUEST_LABEL(timer_count);
GUEST_LABEL(timer_pass);
GUEST_LABEL(timer_ratio);
#define TIMER_CODE 0x2000

#define SPINNING 0
#define HALTED 1

FIXTURE(timer)
{
	struct guest g;
};

FIXTURE_VARIANT(timer)
{
	bool dedicated;
};

FIXTURE_VARIANT_ADD(timer, shared){ .dedicated = false };

/* The deadline is the CPU's own timer. */
FIXTURE_VARIANT_ADD(timer, dedicated){ .dedicated = true };

FIXTURE_SETUP(timer)
{
	if (variant->dedicated && guest_on_kvm())
		SKIP(return, "KVM has no dedicated vCPUs");
	if (variant->dedicated) {
		ASSERT_EQ(0, apic_pin(0));
		ASSERT_EQ(0, apic_create_dedicated(&self->g));
	} else {
		ASSERT_EQ(0, apic_create(&self->g, 1, true));
	}
	memcpy(self->g.memory + TIMER_CODE, timer_code, GUEST_SIZE(timer_code));
	ASSERT_EQ(0, apic_set_reg(&self->g, APIC_LVTT, APIC_LVT_TIMER_TSCDEADLINE | VECTOR));
}

FIXTURE_TEARDOWN(timer)
{
	apic_destroy(&self->g, 1);
}

static int timer_do(struct guest *g, const uint8_t *label, uint64_t rcx, uint64_t value)
{
	apic_enter(g, 0, TIMER_CODE + (label - timer_code), rcx, value);
	return apic_resume(g);
}

/* Waits for @times interrupts, halting or not. */
#define WAIT(times, halted) ((uint64_t)(times) << 32 | (halted))

/* By how much an interrupt came before it was due; 0 if it did not. */
static int64_t early(struct guest *g, uint64_t delta, int halted)
{
	volatile struct apic_cpu *cpu = apic_cpu(g, 0);

	if (timer_do(g, timer_deadline, WAIT(1, halted), delta))
		return -1;
	return cpu->tsc < cpu->mail ? (int64_t)(cpu->mail - cpu->tsc) : 0;
}

static const uint64_t deltas[] = { 0,	  1,	 10,	100,	500,	1000,	2000,	 5000,
				   10000, 20000, 50000, 100000, 200000, 500000, 1000000, 5000000 };

static uint64_t tsc(struct guest *g)
{
	return apic_get(g, apic_rdtsc, 0);
}

/*
 * What is armed to be disarmed is due in SOON ms: so long that a slow host comes to
 * disarm it. A while is longer than that.
 */
#define SOON 50
#define MS(n) ((uint64_t)ioctl(self->g.vcpu, KVM_GET_TSC_KHZ, 0) * (n))
#define WHILE MS(2 * SOON)
#define TICKS (SOON * 1000000U)

#define EXPECT_NONE(cycles)                                              \
	do {                                                             \
		uint64_t count = CPU0->count;                            \
		ASSERT_EQ(0, timer_do(&self->g, timer_pass, 0, cycles)); \
		EXPECT_EQ(count, CPU0->count);                           \
	} while (0)

#define EXPECT_EXACT(rounds)                                                       \
	do {                                                                       \
		uint64_t count = CPU0->count, n = 0;                               \
		for (int round = 0; round < (rounds); round++) {                   \
			for (unsigned int i = 0; i < ARRAY_SIZE(deltas); i++) {    \
				n += 2;                                            \
				EXPECT_EQ(0, early(&self->g, deltas[i], SPINNING)) \
				{                                                  \
					TH_LOG("spinning, %lu", deltas[i]);        \
				}                                                  \
				EXPECT_EQ(0, early(&self->g, deltas[i], HALTED))   \
				{                                                  \
					TH_LOG("halted, %lu", deltas[i]);          \
				}                                                  \
			}                                                          \
		}                                                                  \
		EXPECT_EQ(count + n, CPU0->count);                                 \
		EXPECT_EQ(CPU0->taken[VECTOR], CPU0->count);                       \
	} while (0)

/* --- TSC deadlines -------------------------------------------------------- */

TEST_F(timer, a_deadline_is_never_early)
{
	EXPECT_EXACT(5);
}

TEST_F(timer, a_deadline_in_the_past_fires_at_once)
{
	static const uint64_t past[] = { 1, 1000 };

	for (unsigned int i = 0; i < ARRAY_SIZE(past); i++) {
		ASSERT_EQ(0, wrmsr(&self->g, MSR_IA32_TSC_DEADLINE, past[i]));
		EXPECT_EQ(0, apic_get(&self->g, apic_rdmsr, MSR_IA32_TSC_DEADLINE));
		TAKE();
		EXPECT_EQ(i + 1, CPU0->count);
	}
}

TEST_F(timer, zero_disarms_a_deadline)
{
	uint64_t deadline = tsc(&self->g) + MS(SOON);

	ASSERT_EQ(0, wrmsr(&self->g, MSR_IA32_TSC_DEADLINE, deadline));
	EXPECT_EQ(deadline, apic_get(&self->g, apic_rdmsr, MSR_IA32_TSC_DEADLINE));
	ASSERT_EQ(0, wrmsr(&self->g, MSR_IA32_TSC_DEADLINE, 0));
	EXPECT_EQ(0, apic_get(&self->g, apic_rdmsr, MSR_IA32_TSC_DEADLINE));
	EXPECT_NONE(WHILE);
}

TEST_F(timer, a_later_deadline_replaces_an_earlier_one)
{
	uint64_t now = tsc(&self->g);

	ASSERT_EQ(0, wrmsr(&self->g, MSR_IA32_TSC_DEADLINE, now + MS(SOON)));
	ASSERT_EQ(0, wrmsr(&self->g, MSR_IA32_TSC_DEADLINE, now + WHILE));
	ASSERT_EQ(0, apic_do(&self->g, apic_await, 0, 1));
	EXPECT_LE(now + WHILE, CPU0->tsc);
	EXPECT_NONE(1000000);
	EXPECT_EQ(0, apic_get(&self->g, apic_rdmsr, MSR_IA32_TSC_DEADLINE));
}

TEST_F(timer, a_deadline_that_is_masked_does_not_fire)
{
	ASSERT_EQ(0, x2apic_set(&self->g, APIC_LVTT,
				APIC_LVT_TIMER_TSCDEADLINE | APIC_LVT_MASKED | VECTOR));
	ASSERT_EQ(0, wrmsr(&self->g, MSR_IA32_TSC_DEADLINE, tsc(&self->g) + 100000));
	EXPECT_NONE(2000000);
	EXPECT_FALSE(apic_bit(&self->g, APIC_IRR, VECTOR));
}

TEST_F(timer, deadlines_are_of_their_mode_only)
{
	struct guest *g = &self->g;

	ASSERT_EQ(0, wrmsr(g, MSR_IA32_TSC_DEADLINE, tsc(g) + MS(SOON)));
	ASSERT_EQ(0, x2apic_set(g, APIC_LVTT, APIC_LVT_TIMER_ONESHOT | VECTOR));
	EXPECT_EQ(0, apic_get(g, apic_rdmsr, MSR_IA32_TSC_DEADLINE));
	EXPECT_NONE(WHILE);
	ASSERT_EQ(0, wrmsr(g, MSR_IA32_TSC_DEADLINE, tsc(g) + 1000));
	EXPECT_EQ(0, apic_get(g, apic_rdmsr, MSR_IA32_TSC_DEADLINE));
	EXPECT_NONE(1000000);
	/* And the other way round: no count with deadlines. */
	ASSERT_EQ(0, x2apic_set(g, APIC_TDCR, 0xb));
	ASSERT_EQ(0, x2apic_set(g, APIC_TMICT, TICKS));
	ASSERT_EQ(0, x2apic_set(g, APIC_LVTT, APIC_LVT_TIMER_TSCDEADLINE | VECTOR));
	EXPECT_EQ(0, x2apic_get(g, APIC_TMCCT));
	EXPECT_EQ(0, x2apic_get(g, APIC_TMICT));
	ASSERT_EQ(0, x2apic_set(g, APIC_TMICT, 1000));
	EXPECT_EQ(0, x2apic_get(g, APIC_TMCCT));
	EXPECT_NONE(WHILE);
}

static uint64_t get_msr(struct guest *g, uint32_t index)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msr = { .head.nmsrs = 1, .entry = { .index = index } };

	return ioctl(g->vcpu, KVM_GET_MSRS, &msr) == 1 ? msr.entry.data : ~0ULL;
}

static int set_msr(struct guest *g, uint32_t index, uint64_t value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msr = { .head.nmsrs = 1, .entry = { .index = index, .data = value } };

	return ioctl(g->vcpu, KVM_SET_MSRS, &msr);
}

TEST_F(timer, user_space_saves_and_restores_a_deadline)
{
	uint64_t deadline = tsc(&self->g) + 3000000;

	ASSERT_EQ(1, set_msr(&self->g, MSR_IA32_TSC_DEADLINE, deadline));
	EXPECT_EQ(deadline, get_msr(&self->g, MSR_IA32_TSC_DEADLINE));
	EXPECT_EQ(deadline, apic_get(&self->g, apic_rdmsr, MSR_IA32_TSC_DEADLINE));
	ASSERT_EQ(0, apic_do(&self->g, apic_await, 0, 1));
	EXPECT_LE(deadline, CPU0->tsc);
	EXPECT_EQ(0, get_msr(&self->g, MSR_IA32_TSC_DEADLINE));
}

TEST_F(timer, a_deadline_survives_user_space)
{
	struct guest *g = &self->g;
	uint64_t deadline = tsc(g) + 5000000;

	ASSERT_EQ(0, wrmsr(g, MSR_IA32_TSC_DEADLINE, deadline));
	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(0, apic_do(g, apic_nothing, 0, 0));
		usleep(100);
	}
	ASSERT_EQ(0, apic_do(g, apic_await, 0, 1));
	EXPECT_LE(deadline, CPU0->tsc);
	/* One that passes there is not lost. */
	deadline = tsc(g) + 1000000;
	ASSERT_EQ(0, wrmsr(g, MSR_IA32_TSC_DEADLINE, deadline));
	while (get_msr(g, MSR_IA32_TSC) < deadline)
		usleep(100);
	ASSERT_EQ(0, apic_do(g, apic_await, 0, 2));
	EXPECT_LE(deadline, CPU0->tsc);
	EXPECT_EQ(2, CPU0->count);
}

/* --- counts --------------------------------------------------------------- */

static const struct {
	uint32_t code, by;
} divides[] = { { 0xb, 1 }, { 0, 2 },  { 1, 4 },  { 2, 8 },
		{ 3, 16 },  { 8, 32 }, { 9, 64 }, { 0xa, 128 } };

/*
 * What so many ticks of a bus of 1 GHz are in cycles. The clock that they are counted
 * with and the TSC are two, which agree to a percent or so.
 */
static uint64_t at_least(struct guest *g, uint64_t ticks)
{
	uint64_t khz = ioctl(g->vcpu, KVM_GET_TSC_KHZ, 0);

	return ticks * khz / 1000000 * 63 / 64;
}

TEST_F(timer, a_count_is_over_once_and_not_early)
{
	struct guest *g = &self->g;
	uint64_t expected = 0;

	ASSERT_EQ(0, x2apic_set(g, APIC_LVTT, APIC_LVT_TIMER_ONESHOT | VECTOR));
	for (unsigned int i = 0; i < ARRAY_SIZE(divides); i++) {
		/* When this changes KVM has a count that is over come a second time. */
		if (guest_on_kvm())
			ASSERT_EQ(0, x2apic_set(g, APIC_TMICT, 0));
		ASSERT_EQ(0, x2apic_set(g, APIC_TDCR, divides[i].code));
		for (int halted = 0; halted < 2; halted++) {
			uint32_t count = 1000000 / divides[i].by;

			ASSERT_EQ(0, timer_do(g, timer_count, WAIT(1, halted), count));
			EXPECT_LE(CPU0->mail + at_least(g, 1000000 / divides[i].by * divides[i].by),
				  CPU0->tsc)
			{
				TH_LOG("divided by %u", divides[i].by);
			}
			EXPECT_EQ(++expected, CPU0->count);
			EXPECT_EQ(count, x2apic_get(g, APIC_TMICT));
			EXPECT_EQ(0, x2apic_get(g, APIC_TMCCT));
		}
	}
	EXPECT_NONE(10000000);
}

#define PERIODS 5

TEST_F(timer, a_period_is_never_early)
{
	struct guest *g = &self->g;

	ASSERT_EQ(0, x2apic_set(g, APIC_LVTT, APIC_LVT_TIMER_PERIODIC | VECTOR));
	for (unsigned int i = 0; i < ARRAY_SIZE(divides); i++) {
		ASSERT_EQ(0, x2apic_set(g, APIC_TDCR, divides[i].code));
		for (int halted = 0; halted < 2; halted++) {
			uint32_t count = 1000000 / divides[i].by;
			uint64_t ticks = (uint64_t)count * divides[i].by;

			ASSERT_EQ(0, timer_do(g, timer_count, WAIT(PERIODS, halted), count));
			EXPECT_LE(CPU0->mail + at_least(g, PERIODS * ticks), CPU0->tsc)
			{
				TH_LOG("divided by %u", divides[i].by);
			}
			ASSERT_EQ(0, x2apic_set(g, APIC_TMICT, 0));
			/* One that had come by then is one that may be taken. */
			TAKE();
			EXPECT_NONE(4000000);
		}
	}
}

TEST_F(timer, a_count_that_is_masked_goes_on_in_silence)
{
	struct guest *g = &self->g;

	ASSERT_EQ(0, x2apic_set(g, APIC_LVTT, APIC_LVT_MASKED | VECTOR));
	ASSERT_EQ(0, x2apic_set(g, APIC_TDCR, 0xb));
	ASSERT_EQ(0, x2apic_set(g, APIC_TMICT, 100000));
	while (x2apic_get(g, APIC_TMCCT))
		;
	EXPECT_NONE(1000000);
	EXPECT_FALSE(apic_bit(g, APIC_IRR, VECTOR));
}

TEST_F(timer, zero_disarms_a_count)
{
	struct guest *g = &self->g;

	ASSERT_EQ(0, x2apic_set(g, APIC_LVTT, APIC_LVT_TIMER_ONESHOT | VECTOR));
	ASSERT_EQ(0, x2apic_set(g, APIC_TDCR, 0xb));
	ASSERT_EQ(0, x2apic_set(g, APIC_TMICT, TICKS));
	ASSERT_EQ(0, x2apic_set(g, APIC_TMICT, 0));
	EXPECT_EQ(0, x2apic_get(g, APIC_TMCCT));
	EXPECT_NONE(WHILE);
}

TEST_F(timer, a_count_goes_down_as_the_tsc_goes_up)
{
	struct guest *g = &self->g;
	uint64_t khz = ioctl(g->vcpu, KVM_GET_TSC_KHZ, 0);

	ASSERT_EQ(0, x2apic_set(g, APIC_LVTT, APIC_LVT_MASKED | VECTOR));
	for (unsigned int i = 0; i < ARRAY_SIZE(divides); i++) {
		struct kvm_regs regs;
		uint64_t cycles, counted;

		ASSERT_EQ(0, x2apic_set(g, APIC_TDCR, divides[i].code));
		ASSERT_EQ(0, x2apic_set(g, APIC_TMICT, ~0U));
		ASSERT_EQ(0, timer_do(g, timer_ratio, 0, khz * 5));
		regs = guest_regs(g);
		EXPECT_GT(regs.r9, regs.r11);
		EXPECT_GE(~0U, regs.r9);
		cycles = regs.r10 - regs.r8;
		counted = (regs.r9 - regs.r11) * divides[i].by * khz / 1000000;
		EXPECT_LT(cycles - cycles / 8, counted);
		EXPECT_GT(cycles + cycles / 8, counted)
		{
			TH_LOG("divided by %u: %lu cycles, %lu counted", divides[i].by, cycles,
			       counted);
		}
	}
}

TEST_F(timer, a_count_under_way_is_restored)
{
	struct guest *g = &self->g;
	struct kvm_lapic_state lapic;
	uint64_t begin;
	uint32_t left;

	ASSERT_EQ(0, x2apic_set(g, APIC_LVTT, APIC_LVT_TIMER_ONESHOT | VECTOR));
	ASSERT_EQ(0, x2apic_set(g, APIC_TDCR, 0xb));
	ASSERT_EQ(0, x2apic_set(g, APIC_TMICT, 100000000));
	OK(KVM_GET_LAPIC, &lapic);
	memcpy(&left, lapic.regs + APIC_TMCCT, sizeof(left));
	EXPECT_LT(0, left);
	EXPECT_GE(100000000, left);
	/* As if most of it were over. */
	left = 1000000;
	memcpy(lapic.regs + APIC_TMCCT, &left, sizeof(left));
	begin = tsc(g);
	OK(KVM_SET_LAPIC, &lapic);
	EXPECT_GE(left, x2apic_get(g, APIC_TMCCT));
	ASSERT_EQ(0, apic_do(g, apic_await, 0, 1));
	EXPECT_LE(begin + at_least(g, left), CPU0->tsc);
	EXPECT_EQ(100000000, x2apic_get(g, APIC_TMICT));
}

/* --- whose TSC it is ------------------------------------------------------ */

TEST_F(timer, a_deadline_follows_the_guests_own_tsc)
{
	ASSERT_EQ(0, wrmsr(&self->g, MSR_IA32_TSC, 1UL << 50));
	EXPECT_LE(1UL << 50, tsc(&self->g));
	EXPECT_EXACT(1);
	ASSERT_EQ(0, wrmsr(&self->g, MSR_IA32_TSC, 0x1000));
	EXPECT_GT(1UL << 40, tsc(&self->g));
	EXPECT_EXACT(1);
	ASSERT_EQ(1, set_msr(&self->g, MSR_IA32_TSC, 1UL << 45));
	EXPECT_EXACT(1);
}

TEST_F(timer, a_deadline_follows_the_offset)
{
	uint64_t offset = 1UL << 48;
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&offset,
	};

	OK(KVM_HAS_DEVICE_ATTR, &attr);
	OK(KVM_SET_DEVICE_ATTR, &attr);
	EXPECT_LE(1UL << 48, tsc(&self->g));
	EXPECT_EXACT(1);
}

TEST_F(timer, a_deadline_follows_the_frequency)
{
	long khz = VCPU(KVM_GET_TSC_KHZ, 0);
	static const int parts[] = { 32, 8, 15, 17 };

	if (ioctl(self->g.vm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_CONTROL) <= 0)
		SKIP(return, "this host cannot scale the TSC");
	for (unsigned int i = 0; i < ARRAY_SIZE(parts); i++) {
		OK(KVM_SET_TSC_KHZ, khz * parts[i] / 16);
		EXPECT_EQ(khz * parts[i] / 16, VCPU(KVM_GET_TSC_KHZ, 0));
		EXPECT_EXACT(1);
	}
}

/* --- where it runs -------------------------------------------------------- */

struct mover {
	pthread_t thread, of;
	bool stop;
};

static void *move_about(void *data)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct mover *m = data;

	for (int move = 0; !__atomic_load_n(&m->stop, __ATOMIC_RELAXED); move++) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(move % cpus, &set);
		pthread_setaffinity_np(m->of, sizeof(set), &set);
		usleep(500);
	}
	return NULL;
}

TEST_F(timer, a_deadline_follows_its_thread)
{
	struct mover mover = { .of = pthread_self() };

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "this host has one CPU");
	ASSERT_EQ(0, pthread_create(&mover.thread, NULL, move_about, &mover));
	EXPECT_EXACT(10);
	__atomic_store_n(&mover.stop, true, __ATOMIC_RELAXED);
	pthread_join(mover.thread, NULL);
}

TEST_HARNESS_MAIN
