// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC's modes, and its registers in either: as MSRs, as a page.
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm.
 */
#include "kselftest_harness.h"
#include "apic.h"
#include "vcpu-ioctl.h"

FIXTURE(apic)
{
	struct guest g;
};

FIXTURE_SETUP(apic)
{
	ASSERT_EQ(0, apic_create(&self->g, 1, true));
}

FIXTURE_TEARDOWN(apic)
{
	apic_destroy(&self->g, 1);
}

/* The same in xAPIC mode. */
FIXTURE(xapic)
{
	struct guest g;
};

FIXTURE_SETUP(xapic)
{
	ASSERT_EQ(0, apic_create(&self->g, 1, false));
}

FIXTURE_TEARDOWN(xapic)
{
	apic_destroy(&self->g, 1);
}

/* --- modes ---------------------------------------------------------------- */

#define OFF (APIC_BASE | MSR_IA32_APICBASE_BSP)
#define XAPIC (OFF | MSR_IA32_APICBASE_ENABLE)
#define X2APIC (XAPIC | X2APIC_ENABLE)

/* The guest may go round: xAPIC, x2APIC, disabled, xAPIC; no step is left out. */
TEST_F(xapic, modes_change_in_their_order)
{
	struct guest *g = &self->g;
	static const struct {
		uint64_t to;
		int trap;
	} steps[] = {
		{ XAPIC, 0 },
		{ OFF | X2APIC_ENABLE, GP },
		{ X2APIC, 0 },
		{ XAPIC, GP },
		{ OFF | X2APIC_ENABLE, GP },
		{ X2APIC, 0 },
		{ OFF, 0 },
		{ X2APIC, GP },
		{ OFF | X2APIC_ENABLE, GP },
		{ OFF, 0 },
		{ XAPIC, 0 },
		{ OFF, 0 },
		{ XAPIC, 0 },
	};
	uint64_t mode = XAPIC;

	for (unsigned int i = 0; i < ARRAY_SIZE(steps); i++) {
		EXPECT_EQ(steps[i].trap, wrmsr(g, MSR_IA32_APICBASE, steps[i].to))
		TH_LOG("step %u", i);
		if (!steps[i].trap)
			mode = steps[i].to;
		EXPECT_EQ(mode, apic_get(g, apic_rdmsr, MSR_IA32_APICBASE)) TH_LOG("step %u", i);
		EXPECT_EQ(mode, apic_base(g)) TH_LOG("step %u", i);
	}
}

TEST_F(xapic, reserved_bits_of_its_base_are_a_fault)
{
	static const int bits[] = { 0, 1, 7, 9, 52, 63 };

	for (unsigned int i = 0; i < ARRAY_SIZE(bits); i++) {
		EXPECT_EQ(GP, wrmsr(&self->g, MSR_IA32_APICBASE, XAPIC | 1UL << bits[i]))
		TH_LOG("bit %d", bits[i]);
		VM_REFUSED(EINVAL, apic_set_base(&self->g, XAPIC | 1UL << bits[i]));
	}
	EXPECT_EQ(XAPIC, apic_base(&self->g));
}

/* User space restores any mode from any other, if it is a mode. */
TEST_F(xapic, user_space_sets_any_mode)
{
	static const uint64_t modes[] = { X2APIC, XAPIC, OFF, X2APIC, OFF, XAPIC };

	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		EXPECT_EQ(0, apic_set_base(&self->g, modes[i])) TH_LOG("step %u", i);
		EXPECT_EQ(modes[i], apic_base(&self->g));
		VM_REFUSED(EINVAL, apic_set_base(&self->g, OFF | X2APIC_ENABLE));
	}
}

TEST_F(xapic, base_is_an_msr_to_user_space_too)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msr = { .head.nmsrs = 1, .entry = { .index = MSR_IA32_APICBASE } };

	EXPECT_EQ(1, VCPU(KVM_GET_MSRS, &msr));
	EXPECT_EQ(XAPIC, msr.entry.data);
	msr.entry.data = X2APIC;
	EXPECT_EQ(1, VCPU(KVM_SET_MSRS, &msr));
	EXPECT_EQ(X2APIC, apic_base(&self->g));
	msr.entry.data = OFF | X2APIC_ENABLE;
	EXPECT_EQ(0, VCPU(KVM_SET_MSRS, &msr));
	EXPECT_EQ(X2APIC, apic_base(&self->g));
}

TEST_F(xapic, its_mode_decides_which_door_is_open)
{
	struct guest *g = &self->g;

	EXPECT_EQ(GP, rdmsr(g, X2APIC_MSR(APIC_ID)));
	EXPECT_EQ(GP, wrmsr(g, X2APIC_MSR(APIC_TASKPRI), 0));
	EXPECT_EQ(0x1ff, xapic_get(g, APIC_SPIV));
	ASSERT_EQ(0, wrmsr(g, MSR_IA32_APICBASE, X2APIC));
	EXPECT_EQ(0x1ff, x2apic_get(g, APIC_SPIV));
	ASSERT_EQ(0, wrmsr(g, MSR_IA32_APICBASE, OFF));
	EXPECT_EQ(GP, rdmsr(g, X2APIC_MSR(APIC_SPIV)));
	EXPECT_EQ(GP, wrmsr(g, X2APIC_MSR(APIC_SELF_IPI), 0x41));
}

TEST_F(apic, a_disabled_one_takes_nothing)
{
	ASSERT_EQ(0, wrmsr(&self->g, MSR_IA32_APICBASE, OFF));
	EXPECT_GE(0, apic_msi(&self->g, 0, 0x41));
	TAKE();
	EXPECT_EQ(0, CPU0->count);
}

/* --- registers in x2APIC mode --------------------------------------------- */

/* What the guest may do to each MSR, with a value that it may write. */
#define R 1
#define W 2
static const struct {
	uint32_t reg, access;
	uint64_t value;
} x2apic_regs[] = {
	{ APIC_ID, R, 0 },
	{ APIC_LVR, R, 0 },
	{ APIC_TASKPRI, R | W, 0x23 },
	{ APIC_PROCPRI, R, 0 },
	{ APIC_EOI, W, 0 },
	{ APIC_LDR, R, 0 },
	{ APIC_SPIV, R | W, 0x1ef },
	{ APIC_ESR, R | W, 0 },
	{ APIC_ICR, R | W, 0x600000000 | APIC_INT_ASSERT | 0x41 },
	{ APIC_LVTT, R | W, APIC_LVT_MASKED | 0x42 },
	{ APIC_LVTTHMR, R | W, APIC_LVT_MASKED | 0x43 },
	{ APIC_LVTPC, R | W, APIC_LVT_MASKED | APIC_DM_NMI },
	{ APIC_LVT0, R | W, APIC_LVT_MASKED | 0x8700 },
	{ APIC_LVT1, R | W, APIC_LVT_MASKED | APIC_DM_NMI },
	{ APIC_LVTERR, R | W, APIC_LVT_MASKED | 0xfe },
	{ APIC_TMICT, R | W, 0 },
	{ APIC_TMCCT, R, 0 },
	{ APIC_TDCR, R | W, 0xb },
	{ APIC_SELF_IPI, W, 0x41 },
};

TEST_F(apic, msrs_read_and_write_as_they_should)
{
	struct guest *g = &self->g;

	for (uint32_t reg = 0; reg < 0x1000; reg += 0x10) {
		uint32_t access = reg >= APIC_ISR && reg < APIC_ESR ? R : 0;
		uint64_t value = 0;

		/* The eighth LVT entry is there or not, by MCG_CAP. */
		if (reg == APIC_LVTCMCI)
			continue;
		for (unsigned int i = 0; i < ARRAY_SIZE(x2apic_regs); i++)
			if (x2apic_regs[i].reg == reg) {
				access = x2apic_regs[i].access;
				value = x2apic_regs[i].value;
			}
		EXPECT_EQ(access & W ? 0 : GP, x2apic_set(g, reg, value)) TH_LOG("write %#x", reg);
		EXPECT_EQ(access & R ? 0 : GP, rdmsr(g, X2APIC_MSR(reg))) TH_LOG("read %#x", reg);
		if ((access & (R | W)) == (R | W))
			EXPECT_EQ(value, x2apic_get(g, reg)) TH_LOG("register %#x", reg);
	}
	EXPECT_EQ(0, CPU0->count) TH_LOG("vector %#x", CPU0->log[0]);
	TAKE();
	EXPECT_EQ(1, CPU0->taken[0x41]);
}

/* Only ICR has 64 bits. */
TEST_F(apic, the_upper_half_of_an_msr_is_a_fault)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(x2apic_regs); i++) {
		uint32_t reg = x2apic_regs[i].reg;

		if (reg != APIC_ICR && x2apic_regs[i].access & W)
			EXPECT_EQ(GP, x2apic_set(&self->g, reg, x2apic_regs[i].value | 1UL << 32))
		TH_LOG("register %#x", reg);
	}
}

TEST_F(apic, reserved_bits_of_an_msr_are_a_fault)
{
	static const int icr[] = { 13, 16, 17, 20, 31 };
	struct guest *g = &self->g;

	EXPECT_EQ(GP, x2apic_set(g, APIC_TASKPRI, 0x100));
	EXPECT_EQ(GP, x2apic_set(g, APIC_EOI, 1));
	EXPECT_EQ(GP, x2apic_set(g, APIC_SELF_IPI, 0x141));
	EXPECT_EQ(GP, x2apic_set(g, APIC_ESR, 1));
	for (unsigned int i = 0; i < ARRAY_SIZE(icr); i++) {
		EXPECT_EQ(GP, x2apic_set(g, APIC_ICR, APIC_DEST_SELF | 0x41 | 1UL << icr[i]))
		TH_LOG("bit %d", icr[i]);
	}
	TAKE();
	EXPECT_EQ(0, CPU0->count);
}

TEST_F(apic, ids_are_fixed_in_x2apic_mode)
{
	struct guest *g = &self->g;

	EXPECT_EQ(0, x2apic_get(g, APIC_ID));
	EXPECT_EQ(1, x2apic_get(g, APIC_LDR)) TH_LOG("cluster 0, the first of it");
	EXPECT_EQ(0x14, x2apic_get(g, APIC_LVR) & 0xff);
	EXPECT_EQ(APIC_LVT_MASKED, x2apic_get(g, APIC_LVTT));
}

/* --- registers in xAPIC mode ---------------------------------------------- */

TEST_F(xapic, registers_are_in_a_page)
{
	static const struct {
		uint32_t reg, write, read;
	} values[] = {
		{ APIC_TASKPRI, 0x23, 0x23 },
		{ APIC_LDR, 0x81ffffff, 0x81000000 },
		{ APIC_DFR, 0, 0x0fffffff },
		{ APIC_DFR, ~0U, ~0U },
		{ APIC_SPIV, 0x1ef, 0x1ef },
		{ APIC_ICR2, 0x81ffffff, 0x81000000 },
		{ APIC_LVTT, 0x100ec, 0x100ec },
		{ APIC_LVTTHMR, 0x10031, 0x10031 },
		{ APIC_LVTPC, 0x10400, 0x10400 },
		{ APIC_LVT0, 0x18700, 0x18700 },
		{ APIC_LVT1, 0x10400, 0x10400 },
		{ APIC_LVTERR, 0x100fe, 0x100fe },
		{ APIC_TMICT, 0, 0 },
		{ APIC_TDCR, 0xb, 0xb },
		{ APIC_TDCR, ~0U, 0xb },
	};
	struct guest *g = &self->g;

	EXPECT_EQ(0, xapic_get(g, APIC_ID));
	EXPECT_EQ(0x14, xapic_get(g, APIC_LVR) & 0xff);
	for (unsigned int i = 0; i < ARRAY_SIZE(values); i++) {
		ASSERT_EQ(0, xapic_set(g, values[i].reg, values[i].write));
		EXPECT_EQ(values[i].read, xapic_get(g, values[i].reg))
		TH_LOG("register %#x", values[i].reg);
		EXPECT_EQ(values[i].read, apic_reg(g, values[i].reg));
	}
	EXPECT_EQ(0x23, xapic_get(g, APIC_PROCPRI));
	EXPECT_EQ(0x23, apic_get(g, apic_load8, APIC_BASE + APIC_TASKPRI));
}

/* Neither is of use to a guest, and none of it does harm. */
TEST_F(xapic, odd_accesses_are_harmless)
{
	struct guest *g = &self->g;

	for (uint32_t at = 0; at < 0x1000; at += 0x10) {
		if (at == APIC_ICR)
			continue;
		EXPECT_EQ(0, apic_do(g, apic_load, APIC_BASE + at, 0)) TH_LOG("%#x", at);
		EXPECT_EQ(0, apic_do(g, apic_load8, APIC_BASE + at + 3, 0)) TH_LOG("%#x", at);
	}
	static const uint32_t read_only[] = { APIC_LVR, APIC_ARBPRI, APIC_PROCPRI, APIC_ISR,
					      APIC_TMR, APIC_IRR,    APIC_TMCCT };

	for (unsigned int i = 0; i < ARRAY_SIZE(read_only); i++) {
		uint32_t before = xapic_get(g, read_only[i]);

		EXPECT_EQ(0, xapic_set(g, read_only[i], ~before)) TH_LOG("%#x", read_only[i]);
		EXPECT_EQ(before, xapic_get(g, read_only[i])) TH_LOG("%#x", read_only[i]);
	}
	TAKE();
	EXPECT_EQ(0, CPU0->count);
}

TEST_F(xapic, an_interrupt_is_sent_taken_and_ended_by_mmio)
{
	struct guest *g = &self->g;

	CPU0->eoi = APIC_EOI_NONE;
	ASSERT_EQ(0, xapic_set(g, APIC_ICR2, 0));
	ASSERT_EQ(0, xapic_set(g, APIC_ICR, APIC_DEST_SELF | 0x41));
	EXPECT_EQ(2, xapic_get(g, APIC_IRR + 0x20));
	TAKE();
	ASSERT_EQ(0, xapic_set(g, APIC_ICR, APIC_INT_ASSERT | 0x42)); /* physical, to APIC 0 */
	TAKE();
	EXPECT_EQ(1, CPU0->count) TH_LOG("the first one of its class is in service");
	EXPECT_EQ(2, xapic_get(g, APIC_ISR + 0x20));
	EXPECT_EQ(4, xapic_get(g, APIC_IRR + 0x20));
	EXPECT_EQ(0x40, xapic_get(g, APIC_PROCPRI));
	ASSERT_EQ(0, xapic_set(g, APIC_EOI, 0));
	EXPECT_EQ(0, xapic_get(g, APIC_ISR + 0x20));
	TAKE();
	ASSERT_EQ(0, xapic_set(g, APIC_EOI, 0));
	EXPECT_EQ(2, CPU0->count);
	EXPECT_EQ(0x42, CPU0->log[1]);
	EXPECT_EQ(0, xapic_get(g, APIC_PROCPRI));
}

/*
 * KVM has an ID that can be changed, as have CPUs before x2APIC mode; Dragonfly's is
 * read-only, as it is on later ones. Where it is read is where the vCPU is reached.
 */
TEST_F(xapic, a_vcpu_is_reached_by_the_id_that_it_reads)
{
	struct guest *g = &self->g;
	uint32_t id = guest_on_kvm() ? 7 : 0;

	ASSERT_EQ(0, xapic_set(g, APIC_ID, 7 << 24));
	EXPECT_EQ(id << 24, xapic_get(g, APIC_ID));
	EXPECT_GE(0, apic_msi(g, 7 - id, 0x41));
	EXPECT_EQ(1, apic_msi(g, id, 0x42));
	TAKE();
	EXPECT_EQ(1, CPU0->count);
	EXPECT_EQ(1, CPU0->taken[0x42]);
}

TEST_F(xapic, what_is_left_of_a_count_is_left_when_it_is_divided_anew)
{
	uint32_t left;

	ASSERT_EQ(0, xapic_set(&self->g, APIC_LVTT, APIC_LVT_MASKED | 0x41));
	ASSERT_EQ(0, xapic_set(&self->g, APIC_TDCR, 0xb));
	ASSERT_EQ(0, xapic_set(&self->g, APIC_TMICT, 0xf0000000));
	left = xapic_get(&self->g, APIC_TMCCT);
	ASSERT_EQ(0, xapic_set(&self->g, APIC_TDCR, 0xa));
	EXPECT_LT(left / 2, xapic_get(&self->g, APIC_TMCCT));
}

TEST_HARNESS_MAIN
