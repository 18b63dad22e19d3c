// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM's hypercalls that need a local APIC: an IPI for a set of vCPUs, and the end of
 * another one's HLT.
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm.
 */
#include <pthread.h>
#include <sched.h>

#include "kselftest_harness.h"
#include "apic.h"

#define HC_KICK_CPU 5
#define HC_SEND_IPI 10

#define ENOSYS_OF_KVM 1000
#define EOPNOTSUPP_OF_KVM 95

#define VECTOR 0x61
#define CPUS 3

GUEST_ASM(hypercall_code, 64, "vmcall\n" APIC_DONE);
GUEST_ASM(hypercall_code32, 32, "vmcall\n" APIC_DONE);
#define HYPERCALL_CODE 0x2000

FIXTURE(hypercalls)
{
	struct guest g[CPUS];
};

FIXTURE_SETUP(hypercalls)
{
	ASSERT_EQ(0, apic_create(self->g, CPUS, true));
	memcpy(self->g->memory + HYPERCALL_CODE, hypercall_code, GUEST_SIZE(hypercall_code));
}

FIXTURE_TEARDOWN(hypercalls)
{
	apic_destroy(self->g, CPUS);
}

/* Of the first vCPU; what comes back in RAX. */
static int64_t hypercall(struct guest *g, uint64_t number, uint64_t a0, uint64_t a1, uint64_t a2,
			 uint64_t a3)
{
	struct kvm_regs regs = {
		.rip = HYPERCALL_CODE,
		.rsp = GUEST_STACK,
		.rflags = 2,
		.rax = number,
		.rbx = a0,
		.rcx = a1,
		.rdx = a2,
		.rsi = a3,
	};

	ioctl(g->vcpu, KVM_SET_REGS, &regs);
	return apic_resume(g) ? INT64_MIN : (int64_t)guest_regs(g).rax;
}

static int64_t send(struct guest *g, uint64_t low, uint64_t high, uint32_t first, uint64_t icr)
{
	return hypercall(g, HC_SEND_IPI, low, high, first, icr);
}

/* Who has the vector, a bit for each vCPU; and it is taken away. */
static unsigned int receivers(struct guest *g, unsigned int vector)
{
	unsigned int set = 0;

	for (unsigned int cpu = 0; cpu < CPUS; cpu++) {
		set |= apic_bit(&g[cpu], APIC_IRR, vector) << cpu;
		apic_set_reg(&g[cpu], APIC_IRR + vector / 32 * 0x10, 0);
	}
	return set;
}

/* ---- IPIs ----------------------------------------------------------------------------- */

TEST_F(hypercalls, an_ipi_reaches_its_set_and_nobody_else)
{
	for (unsigned int set = 0; set < 1 << CPUS; set++) {
		EXPECT_EQ(__builtin_popcount(set), send(self->g, set, 0, 0, VECTOR));
		EXPECT_EQ(set, receivers(self->g, VECTOR));
	}
}

TEST_F(hypercalls, a_set_begins_where_it_says)
{
	EXPECT_EQ(1, send(self->g, 1, 0, 2, VECTOR));
	EXPECT_EQ(1 << 2, receivers(self->g, VECTOR));
	EXPECT_EQ(2, send(self->g, ~0ULL, ~0ULL, 1, VECTOR));
	EXPECT_EQ(1 << 1 | 1 << 2, receivers(self->g, VECTOR));
	EXPECT_EQ(0, send(self->g, ~0ULL, ~0ULL, 3, VECTOR));
	EXPECT_EQ(0, send(self->g, ~0ULL, ~0ULL, ~0U, VECTOR));
	EXPECT_EQ(0, receivers(self->g, VECTOR));
}

TEST(the_second_word_follows_the_first)
{
	struct guest g[2];

	ASSERT_EQ(0, apic_create_vm(g));
	memcpy(g->memory + HYPERCALL_CODE, hypercall_code, GUEST_SIZE(hypercall_code));
	ASSERT_EQ(0, apic_add(g, 0, 0, true));
	ASSERT_EQ(0, apic_add(g, 1, 70, true));
	EXPECT_EQ(1, send(g, 0, 1 << 6, 0, VECTOR));
	EXPECT_TRUE(apic_bit(&g[1], APIC_IRR, VECTOR));
	EXPECT_EQ(2, send(g, 1, 1 << 6, 0, VECTOR + 1));
	EXPECT_TRUE(apic_bit(&g[0], APIC_IRR, VECTOR + 1));
	EXPECT_TRUE(apic_bit(&g[1], APIC_IRR, VECTOR + 1));
	EXPECT_EQ(0, send(g, 1 << 6, 0, 0, VECTOR));
	apic_destroy(g, 2);
}

/* The two words have 32 bits, and nothing of the registers' upper halves counts. */
TEST(outside_long_mode_words_have_32_bits)
{
	const uint64_t upper = 0xffffffffULL << 32;
	struct guest g[2];
	struct kvm_sregs s;

	ASSERT_EQ(0, apic_create_vm(g));
	ASSERT_EQ(0, apic_add(g, 0, 0, true));
	ASSERT_EQ(0, apic_add(g, 1, 40, true));
	memcpy(g->memory + HYPERCALL_CODE, hypercall_code32, GUEST_SIZE(hypercall_code32));
	ASSERT_EQ(0, ioctl(g->vcpu, KVM_GET_SREGS, &s));
	s.cr0 &= ~(1UL << 31);
	s.efer = 0;
	s.cs.l = 0;
	s.cs.db = 1;
	ASSERT_EQ(0, ioctl(g->vcpu, KVM_SET_SREGS, &s));
	EXPECT_EQ(2, send(g, upper | 1, upper | 1 << 8, 0, VECTOR));
	EXPECT_TRUE(apic_bit(&g[0], APIC_IRR, VECTOR));
	EXPECT_TRUE(apic_bit(&g[1], APIC_IRR, VECTOR));
	EXPECT_EQ(0, send(g, 2, 2, 0, VECTOR));
	apic_destroy(g, 2);
}

TEST_F(hypercalls, a_set_has_no_other_destination)
{
	EXPECT_EQ(-EINVAL, send(self->g, 2, 0, 0, VECTOR | APIC_DEST_LOGICAL));
	EXPECT_EQ(-EINVAL, send(self->g, 2, 0, 0, VECTOR | APIC_DEST_SELF));
	EXPECT_EQ(-EINVAL, send(self->g, 2, 0, 0, VECTOR | APIC_DEST_ALLINC));
	EXPECT_EQ(-EINVAL, send(self->g, 2, 0, 0, VECTOR | APIC_DEST_ALLBUT));
	EXPECT_EQ(0, receivers(self->g, VECTOR));
}

TEST_F(hypercalls, an_ipi_may_be_an_nmi)
{
	struct kvm_vcpu_events events;

	EXPECT_EQ(2, send(self->g, 6, 0, 0, APIC_DM_NMI));
	for (unsigned int cpu = 0; cpu < CPUS; cpu++) {
		ASSERT_EQ(0, ioctl(self->g[cpu].vcpu, KVM_GET_VCPU_EVENTS, &events));
		EXPECT_EQ(!!cpu, events.nmi.pending) TH_LOG("vCPU %u", cpu);
	}
}

TEST_F(hypercalls, the_sender_may_be_one_of_them)
{
	EXPECT_EQ(3, send(self->g, 7, 0, 0, VECTOR));
	ASSERT_EQ(0, apic_do(self->g, apic_take, 0, 0));
	EXPECT_EQ(1, apic_cpu(self->g, 0)->taken[VECTOR]);
}

static void *resume(void *g)
{
	while (apic_resume(g) == -EAGAIN)
		;
	return g;
}

/* Each round ends only when all have come out of HLT for it. */
TEST_F(hypercalls, an_ipi_ends_hlt)
{
	pthread_t threads[CPUS];

	for (uint64_t round = 1; round <= 50; round++) {
		for (unsigned int cpu = 1; cpu < CPUS; cpu++) {
			apic_set_mp_state(&self->g[cpu], KVM_MP_STATE_RUNNABLE);
			apic_enter(&self->g[cpu], cpu, APIC_AT(apic_await), 0, round);
			ASSERT_EQ(0, pthread_create(&threads[cpu], NULL, resume, &self->g[cpu]));
		}
		if (round % 2)
			sched_yield();
		EXPECT_EQ(2, send(self->g, 6, 0, 0, VECTOR));
		for (unsigned int cpu = 1; cpu < CPUS; cpu++) {
			pthread_join(threads[cpu], NULL);
			EXPECT_EQ(round, apic_cpu(self->g, cpu)->taken[VECTOR]);
		}
	}
}

/* ---- kicks ---------------------------------------------------------------------------- */

TEST_F(hypercalls, a_kick_ends_hlt)
{
	for (unsigned int cpu = 1; cpu < CPUS; cpu++)
		ASSERT_EQ(0, apic_set_mp_state(&self->g[cpu], KVM_MP_STATE_HALTED));
	EXPECT_EQ(0, hypercall(self->g, HC_KICK_CPU, 0, 2, 0, 0));
	EXPECT_EQ(KVM_MP_STATE_HALTED, apic_mp_state(&self->g[1]));
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, apic_mp_state(&self->g[2]));
}

/* Who is kicked between its last look at the lock and its HLT would never wake. */
TEST_F(hypercalls, a_kick_is_not_lost_on_who_is_about_to_halt)
{
	ASSERT_EQ(0, apic_set_mp_state(&self->g[1], KVM_MP_STATE_RUNNABLE));
	EXPECT_EQ(0, hypercall(self->g, HC_KICK_CPU, 0, 1, 0, 0));
	apic_enter(&self->g[1], 1, APIC_AT(apic_halt_closed), 0, 0);
	EXPECT_EQ(0, apic_resume(&self->g[1]));
	EXPECT_EQ(0, apic_cpu(self->g, 1)->count);
}

TEST_F(hypercalls, a_kick_wakes_a_thread)
{
	pthread_t thread;

	for (int round = 0; round < 50; round++) {
		ASSERT_EQ(0, apic_set_mp_state(&self->g[1], KVM_MP_STATE_RUNNABLE));
		apic_enter(&self->g[1], 1, APIC_AT(apic_halt_closed), 0, 0);
		ASSERT_EQ(0, pthread_create(&thread, NULL, resume, &self->g[1]));
		if (round % 2)
			sched_yield();
		EXPECT_EQ(0, hypercall(self->g, HC_KICK_CPU, 0, 1, 0, 0));
		pthread_join(thread, NULL);
	}
}

TEST_F(hypercalls, a_kick_of_nobody_is_harmless)
{
	EXPECT_EQ(0, hypercall(self->g, HC_KICK_CPU, 0, CPUS, 0, 0));
	EXPECT_EQ(0, hypercall(self->g, HC_KICK_CPU, 0, ~0U, 0, 0));
}

/* ---- where they are not ---------------------------------------------------------------- */

TEST_F(hypercalls, what_cpuid_does_not_have_can_be_kept_from_a_guest)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[2];
	} none = {
		.head.nent = 2,
		.entries = { { .function = 0x40000000,
			       .ebx = 0x4b4d564b,
			       .ecx = 0x564b4d56,
			       .edx = 0x4d },
			     { .function = 0x40000001 } },
	};
	struct kvm_enable_cap cap = { .cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .args = { 1 } };

	ASSERT_EQ(0, ioctl(self->g->vcpu, KVM_ENABLE_CAP, &cap));
	EXPECT_EQ(1, send(self->g, 2, 0, 0, VECTOR));
	EXPECT_EQ(0, hypercall(self->g, HC_KICK_CPU, 0, 1, 0, 0));
	apic_destroy(self->g, CPUS);

	ASSERT_EQ(0, apic_create(self->g, CPUS, true));
	memcpy(self->g->memory + HYPERCALL_CODE, hypercall_code, GUEST_SIZE(hypercall_code));
	ASSERT_EQ(0, ioctl(self->g->vcpu, KVM_SET_CPUID2, &none));
	ASSERT_EQ(0, ioctl(self->g->vcpu, KVM_ENABLE_CAP, &cap));
	EXPECT_EQ(-ENOSYS_OF_KVM, send(self->g, 2, 0, 0, VECTOR));
	EXPECT_EQ(-ENOSYS_OF_KVM, hypercall(self->g, HC_KICK_CPU, 0, 1, 0, 0));
	EXPECT_EQ(0, receivers(self->g, VECTOR));
}

TEST(without_an_apic_in_the_kernel_there_is_nobody)
{
	struct guest g;

	ASSERT_EQ(0, guest_create(&g, hypercall_code, GUEST_SIZE(hypercall_code)));
	memcpy(g.memory + HYPERCALL_CODE, hypercall_code, GUEST_SIZE(hypercall_code));
	guest_to_long_mode(&g);
	EXPECT_EQ(-EOPNOTSUPP_OF_KVM, send(&g, 1, 0, 0, VECTOR));
	EXPECT_EQ(0, hypercall(&g, HC_KICK_CPU, 0, 0, 0, 0));
	guest_destroy(&g);
}

TEST_HARNESS_MAIN
