// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a guest is offered that knows of KVM, beside the time (clock.c) and IPIs
 * (hypercalls.c).
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm.
 */
#include <linux/kvm_para.h>

#include "kselftest_harness.h"
#include "irq.h"
#include "vcpu-ioctl.h"

#define CLOCK 0x5000 /* the first vCPU's; the others' follow */

/* As the guest finds it; <asm/pvclock-abi.h> is not for user space. */
struct clock {
	uint32_t version, pad;
	uint64_t tsc, ns;
	uint32_t multiplier;
	int8_t shift;
	uint8_t flags, more_pad[2];
};

GUEST_ASM(code_vmcall, 64, "vmcall\n mov %rax, %rdi\n out %al, $0x10");

FIXTURE(pv)
{
	struct irq_vm vm;
	uint32_t features;
};

FIXTURE_SETUP(pv)
{
	ASSERT_EQ(0, irq_create(&self->vm, 3, true));
	irq_load(&self->vm, code_vmcall, GUEST_SIZE(code_vmcall));
	self->features = guest_supported(&self->vm.cpu[0], 0x40000001, 0, 0);
}

FIXTURE_TEARDOWN(pv)
{
	irq_destroy(&self->vm);
}

static bool has(FIXTURE_DATA(pv) * self, unsigned int feature)
{
	return self->features >> feature & 1;
}

TEST_F(pv, features_are_among_kvms)
{
	const uint32_t kvms = 0xfeff | 1 << KVM_FEATURE_CLOCKSOURCE_STABLE_BIT;

	EXPECT_EQ(0, self->features & ~kvms);
	EXPECT_TRUE(has(self, KVM_FEATURE_CLOCKSOURCE));
	EXPECT_TRUE(has(self, KVM_FEATURE_CLOCKSOURCE2));
	EXPECT_TRUE(has(self, KVM_FEATURE_CLOCKSOURCE_STABLE_BIT));
	EXPECT_TRUE(has(self, KVM_FEATURE_PV_SEND_IPI));
	EXPECT_TRUE(has(self, KVM_FEATURE_PV_UNHALT));
}

TEST_F(pv, msrs_of_what_is_not_offered_are_not_there)
{
	static const struct {
		uint32_t msr, feature;
	} list[] = { { MSR_KVM_ASYNC_PF_EN, KVM_FEATURE_ASYNC_PF },
		     { MSR_KVM_STEAL_TIME, KVM_FEATURE_STEAL_TIME },
		     { MSR_KVM_PV_EOI_EN, KVM_FEATURE_PV_EOI },
		     { MSR_KVM_POLL_CONTROL, KVM_FEATURE_POLL_CONTROL },
		     { MSR_KVM_ASYNC_PF_INT, KVM_FEATURE_ASYNC_PF_INT },
		     { MSR_KVM_ASYNC_PF_ACK, KVM_FEATURE_ASYNC_PF_INT },
		     { MSR_KVM_MIGRATION_CONTROL, KVM_FEATURE_MIGRATION_CONTROL },
		     { MSR_KVM_MIGRATION_CONTROL + 1, 31 },
		     { MSR_KVM_MIGRATION_CONTROL + 0xf7, 31 } };
	struct guest *g = &self->vm.cpu[0];

	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		if (has(self, list[i].feature))
			continue;
		EXPECT_EQ(GP, rdmsr(g, list[i].msr)) TH_LOG("%x", list[i].msr);
		EXPECT_EQ(GP, wrmsr(g, list[i].msr, 0)) TH_LOG("%x", list[i].msr);
	}
}

/* --- hypercalls ------------------------------------------------------------ */

/* By the first vCPU, which comes to an end that is @end. */
static int64_t hypercall(struct irq_vm *vm, int end, const uint64_t *args)
{
	struct kvm_regs regs;
	struct guest *g = &vm->cpu[0];

	apic_enter(g, 0, IRQ_CODE, args[2], args[0]);
	regs = guest_regs(g);
	regs.rbx = args[1];
	regs.rdx = args[3];
	regs.rsi = args[4];
	ioctl(g->vcpu, KVM_SET_REGS, &regs);
	return apic_resume(g) == end ? (int64_t)guest_regs(g).rdi : INT64_MIN;
}

/* Its number and up to four arguments. */
#define CALL(result, ...) EXPECT_EQ(result, hypercall(&self->vm, 0, (uint64_t[5]){ __VA_ARGS__ }))
/* How often each vCPU has taken the vector, once all have run. */
#define TAKEN(a, b, c, vector)                                 \
	do {                                                   \
		ASSERT_TRUE(irq_take_all(&self->vm));          \
		EXPECT_EQ(a, irq_count(&self->vm, 0, vector)); \
		EXPECT_EQ(b, irq_count(&self->vm, 1, vector)); \
		EXPECT_EQ(c, irq_count(&self->vm, 2, vector)); \
	} while (0)

TEST_F(pv, hypercalls_that_there_are_not_say_so)
{
	static const uint64_t list[] = { 0, 2, 3, 4, 6, 7, 8, 13, 99, ~0UL };

	for (size_t i = 0; i < ARRAY_SIZE(list); i++)
		CALL(-KVM_ENOSYS, list[i]);
}

TEST_F(pv, hypercalls_are_the_kernels_only)
{
	static const uint64_t list[] = { KVM_HC_KICK_CPU, KVM_HC_SEND_IPI, 99 };
	struct guest *g = &self->vm.cpu[0];
	struct kvm_sregs kernel;

	ASSERT_EQ(0, ioctl(g->vcpu, KVM_GET_SREGS, &kernel));
	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		/* With an SS, which the last exception has left empty. */
		ASSERT_EQ(0, ioctl(g->vcpu, KVM_SET_SREGS, &kernel));
		guest_to_user(g);
		/* The OUT after it is not CPL 3's either. */
		EXPECT_EQ(-KVM_EPERM,
			  hypercall(&self->vm, GP, (uint64_t[5]){ list[i], 7, 0, 0, 0x41 }));
	}
	EXPECT_EQ(0, irq_count(&self->vm, 0, 0x41));
}

/* What KVM_FEATURE_MSI_EXT_DEST_ID promises is, for the device, the upper half's use. */
TEST_F(pv, messages_reach_ids_above_255)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X2APIC_API,
				      .args = { KVM_X2APIC_API_USE_32BIT_IDS } };
	struct kvm_msi msi = { .address_lo = IRQ_TO(300 & 0xff),
			       .address_hi = 300 & ~0xff,
			       .data = 0x41 };
	struct irq_vm *vm = &self->vm;

	ASSERT_EQ(0, ioctl(vm->cpu[0].vm, KVM_ENABLE_CAP, &cap));
	ASSERT_EQ(0, irq_add(vm, 300, true));
	EXPECT_EQ(1, ioctl(vm->cpu[0].vm, KVM_SIGNAL_MSI, &msi));
	TAKEN(0, 0, 0, 0x41);
	EXPECT_EQ(1, irq_count(vm, 3, 0x41));
	CALL(1, KVM_HC_SEND_IPI, 1, 0, 300, 0x42);
	CALL(1, KVM_HC_SEND_IPI, 0, 1, 300 - 64, 0x42);
	TAKEN(0, 0, 0, 0x42);
	EXPECT_EQ(1, irq_count(vm, 3, 0x42));
}

/* --- the clock, of several --------------------------------------------------- */

static const struct clock *clock_of(const struct irq_vm *vm, unsigned int n)
{
	return (const struct clock *)(vm->cpu[0].memory + CLOCK) + n;
}

/* What it is by a clock when the TSC is @tsc. */
static uint64_t time_at(const struct clock *c, uint64_t tsc)
{
	uint64_t ticks = tsc - c->tsc;

	ticks = c->shift < 0 ? ticks >> -c->shift : ticks << c->shift;
	return c->ns + (uint64_t)((__uint128_t)ticks * c->multiplier >> 32);
}

TEST_F(pv, the_clock_goes_on_from_vcpu_to_vcpu)
{
	uint64_t last = 0;
	int stable = 1;

	for (unsigned int n = 0; n < 3; n++) {
		struct kvm_msrs *msrs = calloc(1, sizeof(*msrs) + sizeof(msrs->entries[0]));

		ASSERT_NE(NULL, msrs);
		msrs->nmsrs = 1;
		msrs->entries[0].index = MSR_KVM_SYSTEM_TIME_NEW;
		msrs->entries[0].data = (CLOCK + n * sizeof(struct clock)) | 1;
		ASSERT_EQ(1, ioctl(self->vm.cpu[n].vcpu, KVM_SET_MSRS, msrs));
		free(msrs);
	}
	ASSERT_TRUE(irq_take_all(&self->vm));
	for (unsigned int n = 0; n < 3; n++)
		stable &= clock_of(&self->vm, n)->flags;
	if (!stable)
		SKIP(return, "the host's own clock is not its TSC");
	for (unsigned int again = 0; again < 300; again++) {
		unsigned int n = again % 3;
		uint64_t now;

		ASSERT_EQ(0, irq_run(&self->vm, n, apic_rdtsc));
		now = time_at(clock_of(&self->vm, n), guest_regs(&self->vm.cpu[n]).rax);
		EXPECT_LE(last, now);
		last = now;
	}
}

TEST_HARNESS_MAIN
