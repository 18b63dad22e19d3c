// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC in the kernel, of one vCPU: how it is made, what user space sees of
 * it, and what it does with an interrupt.
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm.
 */
#include <pthread.h>
#include <signal.h>

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

/* The VM, with nothing more made yet. */
FIXTURE(irqchip)
{
	struct guest g;
};

FIXTURE_SETUP(irqchip)
{
	ASSERT_EQ(0, guest_create_vm(&self->g));
}

FIXTURE_TEARDOWN(irqchip)
{
	guest_destroy(&self->g);
}

/* --- an irqchip ----------------------------------------------------------- */

TEST_F(irqchip, is_made_once)
{
	int vm = self->g.vm;

	VM_REFUSED(EINVAL, apic_enable_cap(vm, KVM_CAP_SPLIT_IRQCHIP, 1 << 20));
	ASSERT_EQ(0, apic_enable_cap(vm, KVM_CAP_SPLIT_IRQCHIP, 24));
	VM_REFUSED(EEXIST, apic_enable_cap(vm, KVM_CAP_SPLIT_IRQCHIP, 24));
	VM_REFUSED(EEXIST, ioctl(vm, KVM_CREATE_IRQCHIP, 0));
	EXPECT_LT(0, ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_IRQCHIP));
	EXPECT_LT(0, ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_SPLIT_IRQCHIP));
}

TEST_F(irqchip, of_either_kind_is_in_the_others_way)
{
	int vm = self->g.vm;

	ASSERT_EQ(0, ioctl(vm, KVM_CREATE_IRQCHIP, 0));
	VM_REFUSED(EEXIST, ioctl(vm, KVM_CREATE_IRQCHIP, 0));
	VM_REFUSED(EEXIST, apic_enable_cap(vm, KVM_CAP_SPLIT_IRQCHIP, 24));
	ASSERT_EQ(0, guest_create_vcpu(&self->g, 0));
	EXPECT_EQ(0, apic_reg(&self->g, APIC_ID));
	EXPECT_EQ(0xff, apic_reg(&self->g, APIC_SPIV));
}

TEST_F(irqchip, comes_before_the_first_vcpu)
{
	int vm = self->g.vm;

	ASSERT_EQ(0, guest_create_vcpu(&self->g, 0));
	VM_REFUSED(EINVAL, ioctl(vm, KVM_CREATE_IRQCHIP, 0));
	VM_REFUSED(EEXIST, apic_enable_cap(vm, KVM_CAP_SPLIT_IRQCHIP, 24));
}

TEST_F(irqchip, takes_no_flags)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .flags = 1, .args = { 24 } };

	VM_REFUSED(EINVAL, ioctl(self->g.vm, KVM_ENABLE_CAP, &cap));
	cap.cap = KVM_CAP_X2APIC_API;
	VM_REFUSED(EINVAL, ioctl(self->g.vm, KVM_ENABLE_CAP, &cap));
}

TEST_F(irqchip, is_needed_for_what_an_apic_does)
{
	struct kvm_lapic_state lapic = {};

	ASSERT_EQ(0, guest_create_vcpu(&self->g, 0));
	REFUSED(EINVAL, KVM_GET_LAPIC, &lapic);
	REFUSED(EINVAL, KVM_SET_LAPIC, &lapic);
	VM_REFUSED(EINVAL, apic_msi(&self->g, 0, 0x41));
	VM_REFUSED(EINVAL, apic_set_mp_state(&self->g, KVM_MP_STATE_HALTED));
	EXPECT_EQ(0, apic_set_mp_state(&self->g, KVM_MP_STATE_RUNNABLE));
}

TEST_F(irqchip, has_known_formats_of_its_ids_only)
{
	int vm = self->g.vm;

	VM_REFUSED(EINVAL, apic_enable_cap(vm, KVM_CAP_X2APIC_API, 4));
	VM_REFUSED(EINVAL, apic_enable_cap(vm, KVM_CAP_X2APIC_API, 1UL << 63));
	EXPECT_EQ(3, ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_X2APIC_API) & 3);
	EXPECT_EQ(0, apic_enable_cap(vm, KVM_CAP_X2APIC_API, 3));
}

/* Without the bit in CPUID there is no x2APIC mode to go to. */
TEST_F(irqchip, has_x2apic_mode_by_cpuid_only)
{
	ASSERT_EQ(0, apic_enable_cap(self->g.vm, KVM_CAP_SPLIT_IRQCHIP, 24));
	ASSERT_EQ(0, guest_create_vcpu(&self->g, 0));
	guest_set_cpuid(&self->g);
	VM_REFUSED(EINVAL,
		   apic_set_base(&self->g, APIC_BASE | MSR_IA32_APICBASE_ENABLE | X2APIC_ENABLE));
	ASSERT_EQ(0, apic_set_cpuid(&self->g, 0));
	EXPECT_EQ(0, apic_set_base(&self->g, APIC_BASE | MSR_IA32_APICBASE_ENABLE | X2APIC_ENABLE));
}

/* --- what user space sees ------------------------------------------------- */

TEST_F(irqchip, begins_with_its_apic_reset)
{
	static const uint32_t lvts[] = { APIC_LVTT, APIC_LVTTHMR, APIC_LVTPC, APIC_LVT1,
					 APIC_LVTERR };
	static const uint32_t zero[] = { APIC_TASKPRI, APIC_PROCPRI, APIC_LDR,	 APIC_ESR, APIC_ICR,
					 APIC_ICR2,    APIC_TMICT,   APIC_TMCCT, APIC_TDCR };

	ASSERT_EQ(0, apic_enable_cap(self->g.vm, KVM_CAP_SPLIT_IRQCHIP, 24));
	ASSERT_EQ(0, guest_create_vcpu(&self->g, 5));
	EXPECT_EQ(APIC_BASE | MSR_IA32_APICBASE_ENABLE, apic_base(&self->g));
	EXPECT_EQ(5U << 24, apic_reg(&self->g, APIC_ID));
	EXPECT_EQ(0x14, apic_reg(&self->g, APIC_LVR) & 0xff);
	EXPECT_LE(5, apic_reg(&self->g, APIC_LVR) >> 16 & 0xff);
	EXPECT_EQ(0xffffffff, apic_reg(&self->g, APIC_DFR));
	EXPECT_EQ(0xff, apic_reg(&self->g, APIC_SPIV));
	for (unsigned int i = 0; i < ARRAY_SIZE(lvts); i++)
		EXPECT_EQ(APIC_LVT_MASKED, apic_reg(&self->g, lvts[i]));
	for (unsigned int i = 0; i < ARRAY_SIZE(zero); i++)
		EXPECT_EQ(0, apic_reg(&self->g, zero[i]));
	for (uint32_t reg = APIC_ISR; reg < APIC_ESR; reg += 0x10)
		EXPECT_EQ(0, apic_reg(&self->g, reg));
	/* KVM has it open to a PIC on the bootstrap processor; this is another one. */
	EXPECT_EQ(APIC_LVT_MASKED, apic_reg(&self->g, APIC_LVT0));
	EXPECT_EQ(KVM_MP_STATE_UNINITIALIZED, apic_mp_state(&self->g));
}

TEST_F(irqchip, has_one_bootstrap_processor)
{
	ASSERT_EQ(0, apic_enable_cap(self->g.vm, KVM_CAP_SPLIT_IRQCHIP, 24));
	ASSERT_EQ(0, guest_create_vcpu(&self->g, 0));
	EXPECT_EQ(APIC_BASE | MSR_IA32_APICBASE_ENABLE | MSR_IA32_APICBASE_BSP,
		  apic_base(&self->g));
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, apic_mp_state(&self->g));
}

TEST_F(apic, state_comes_back_as_it_was_set)
{
	struct kvm_lapic_state set, got;
	static const struct {
		uint32_t reg, value;
	} values[] = {
		{ APIC_TASKPRI, 0x20 }, { APIC_SPIV, 0x1ef },	  { APIC_ISR + 0x20, 1 << 1 },
		{ APIC_TMR + 0x20, 1 }, { APIC_IRR + 0x10, 6 },	  { APIC_ICR, 0x440fe },
		{ APIC_ICR2, 7 },	{ APIC_LVTT, 0x100ec },	  { APIC_LVTPC, 0x400 },
		{ APIC_LVT1, 0x1a0fd }, { APIC_LVTERR, 0x100fe }, { APIC_TMICT, 0 },
		{ APIC_TDCR, 0xb },
	};

	OK(KVM_GET_LAPIC, &set);
	for (unsigned int i = 0; i < ARRAY_SIZE(values); i++)
		memcpy(set.regs + values[i].reg, &values[i].value, 4);
	OK(KVM_SET_LAPIC, &set);
	OK(KVM_GET_LAPIC, &got);
	for (unsigned int i = 0; i < ARRAY_SIZE(values); i++) {
		EXPECT_EQ(0, memcmp(set.regs + values[i].reg, got.regs + values[i].reg, 4))
		TH_LOG("register %#x", values[i].reg);
	}
	EXPECT_EQ(0x40, apic_reg(&self->g, APIC_PROCPRI)) TH_LOG("of the vector in service");
}

/* By KVM's old format the ID is where xAPIC mode has it; by the new one it is whole. */
TEST_F(irqchip, has_ids_of_32_bits_where_user_space_asks)
{
	for (int whole = 0; whole < 2; whole++) {
		if (whole) {
			guest_destroy(&self->g);
			ASSERT_EQ(0, guest_create_vm(&self->g));
			ASSERT_EQ(0, apic_enable_cap(self->g.vm, KVM_CAP_X2APIC_API, 1));
		}
		ASSERT_EQ(0, apic_enable_cap(self->g.vm, KVM_CAP_SPLIT_IRQCHIP, 24));
		ASSERT_EQ(0, guest_create_vcpu(&self->g, 0x35));
		ASSERT_EQ(0, apic_set_cpuid(&self->g, 0x35));
		EXPECT_EQ(0x35 << 24, apic_reg(&self->g, APIC_ID));
		ASSERT_EQ(0, apic_set_base(&self->g,
					   APIC_BASE | MSR_IA32_APICBASE_ENABLE | X2APIC_ENABLE));
		EXPECT_EQ(whole ? 0x35 : 0x35 << 24, apic_reg(&self->g, APIC_ID));
		EXPECT_EQ(3 << 16 | 1 << 5, apic_reg(&self->g, APIC_LDR));
		/* An ID cannot be given to it: the new format says so. */
		errno = 0;
		EXPECT_EQ(whole ? -1 : 0, apic_set_reg(&self->g, APIC_ID, 0x36));
		EXPECT_EQ(whole ? EINVAL : 0, errno);
		EXPECT_EQ(whole ? 0x35 : 0x35 << 24, apic_reg(&self->g, APIC_ID));
		EXPECT_EQ(0, apic_set_reg(&self->g, APIC_LDR, 0));
		EXPECT_EQ(3 << 16 | 1 << 5, apic_reg(&self->g, APIC_LDR));
	}
}

TEST_F(apic, what_user_space_makes_pending_is_taken)
{
	struct kvm_lapic_state lapic;

	OK(KVM_GET_LAPIC, &lapic);
	lapic.regs[APIC_IRR + 0x20] = 1 << 1; /* vector 0x41 */
	lapic.regs[APIC_IRR + 0x70 + 2] = 1 << 5; /* vector 0xf5 */
	OK(KVM_SET_LAPIC, &lapic);
	TAKE();
	EXPECT_EQ(2, CPU0->count);
	EXPECT_EQ(0xf5, CPU0->log[0]);
	EXPECT_EQ(0x41, CPU0->log[1]);
	EXPECT_FALSE(apic_bit(&self->g, APIC_IRR, 0x41));
}

/* And what is in service keeps its class away, until the guest ends it. */
TEST_F(apic, what_user_space_puts_in_service_is_in_service)
{
	struct kvm_lapic_state lapic;

	OK(KVM_GET_LAPIC, &lapic);
	lapic.regs[APIC_ISR + 0x20] = 1 << 1; /* vector 0x41 */
	lapic.regs[APIC_IRR + 0x20 + 1] = 1 << 7; /* vector 0x4f */
	lapic.regs[APIC_IRR + 0x20 + 2] = 1 << 1; /* vector 0x51 */
	OK(KVM_SET_LAPIC, &lapic);
	EXPECT_EQ(0x40, x2apic_get(&self->g, APIC_PROCPRI));
	TAKE();
	EXPECT_EQ(1, CPU0->count);
	EXPECT_EQ(0x51, CPU0->log[0]);
	ASSERT_EQ(0, x2apic_set(&self->g, APIC_EOI, 0));
	TAKE();
	EXPECT_EQ(2, CPU0->count);
	EXPECT_EQ(0x4f, CPU0->log[1]);
	EXPECT_EQ(0, x2apic_get(&self->g, APIC_PROCPRI));
}

TEST_F(apic, an_interrupt_shows_before_the_guest_runs)
{
	MSI(0x41);
	EXPECT_TRUE(apic_bit(&self->g, APIC_IRR, 0x41));
	EXPECT_FALSE(apic_bit(&self->g, APIC_TMR, 0x41));
	MSI(0xa2 | APIC_INT_ASSERT | APIC_INT_LEVELTRIG);
	EXPECT_TRUE(apic_bit(&self->g, APIC_IRR, 0xa2));
	EXPECT_TRUE(apic_bit(&self->g, APIC_TMR, 0xa2));
	MSI(0xa2);
	EXPECT_FALSE(apic_bit(&self->g, APIC_TMR, 0xa2)) TH_LOG("its last one is edge-triggered");
	TAKE();
	EXPECT_EQ(2, CPU0->count);
	EXPECT_FALSE(apic_bit(&self->g, APIC_IRR, 0x41));
	EXPECT_FALSE(apic_bit(&self->g, APIC_ISR, 0x41));
}

/* --- priorities ----------------------------------------------------------- */

TEST_F(apic, the_highest_vector_comes_first)
{
	static const uint8_t order[] = { 0xfe, 0x92, 0x91, 0x52, 0x31, 0x20 };

	for (unsigned int i = 0; i < ARRAY_SIZE(order); i++)
		MSI(order[(i + 3) % ARRAY_SIZE(order)]);
	TAKE();
	ASSERT_EQ(ARRAY_SIZE(order), CPU0->count);
	for (unsigned int i = 0; i < ARRAY_SIZE(order); i++)
		EXPECT_EQ(order[i], CPU0->log[i]);
}

TEST_F(apic, one_vector_pends_once)
{
	for (int i = 0; i < 3; i++)
		EXPECT_LE(0, apic_msi(&self->g, 0, 0x41));
	TAKE();
	EXPECT_EQ(1, CPU0->count);
}

TEST_F(apic, its_task_priority_keeps_lower_vectors_waiting)
{
	struct guest *g = &self->g;

	MSI(0x3f);
	MSI(0x40);
	ASSERT_EQ(0, apic_do(g, apic_set_cr8, 0, 3));
	EXPECT_EQ(0x30, x2apic_get(g, APIC_TASKPRI));
	EXPECT_EQ(0x30, x2apic_get(g, APIC_PROCPRI));
	TAKE();
	EXPECT_EQ(1, CPU0->count);
	EXPECT_EQ(0x40, CPU0->log[0]);
	EXPECT_TRUE(apic_bit(g, APIC_IRR, 0x3f));
	/* The lower half is a finer priority, of no use here. */
	ASSERT_EQ(0, x2apic_set(g, APIC_TASKPRI, 0x2f));
	EXPECT_EQ(2, apic_get(g, apic_get_cr8, 0));
	EXPECT_EQ(0x2f, x2apic_get(g, APIC_PROCPRI));
	TAKE();
	EXPECT_EQ(2, CPU0->count);
	EXPECT_EQ(0x3f, CPU0->log[1]);
}

/* CR8, TPR, and both as user space has them are one register. */
TEST_F(apic, cr8_is_the_task_priority)
{
	struct kvm_sregs s;

	ASSERT_EQ(0, apic_do(&self->g, apic_set_cr8, 0, 9));
	EXPECT_EQ(9, apic_get(&self->g, apic_get_cr8, 0));
	EXPECT_EQ(0x90, x2apic_get(&self->g, APIC_TASKPRI));
	EXPECT_EQ(0x90, apic_reg(&self->g, APIC_TASKPRI));
	OK(KVM_GET_SREGS, &s);
	EXPECT_EQ(9, s.cr8);
	s.cr8 = 4;
	OK(KVM_SET_SREGS, &s);
	EXPECT_EQ(4, apic_get(&self->g, apic_get_cr8, 0));
	EXPECT_EQ(0x40, x2apic_get(&self->g, APIC_TASKPRI));
	ASSERT_EQ(0, apic_set_reg(&self->g, APIC_TASKPRI, 0xa0));
	EXPECT_EQ(0xa, apic_get(&self->g, apic_get_cr8, 0));
	EXPECT_EQ(GP, apic_do(&self->g, apic_set_cr8, 0, 0x10));
}

TEST_F(apic, one_in_service_lets_only_higher_classes_in)
{
	struct guest *g = &self->g;

	CPU0->eoi = APIC_EOI_NONE;
	MSI(0x41);
	TAKE();
	MSI(0x4f);
	MSI(0x51);
	TAKE();
	EXPECT_EQ(2, CPU0->count);
	EXPECT_EQ(0x51, CPU0->log[1]);
	EXPECT_TRUE(apic_bit(g, APIC_ISR, 0x41));
	EXPECT_TRUE(apic_bit(g, APIC_ISR, 0x51));
	EXPECT_TRUE(apic_bit(g, APIC_IRR, 0x4f));
	EXPECT_EQ(0x50, x2apic_get(g, APIC_PROCPRI));
	ASSERT_EQ(0, x2apic_set(g, APIC_EOI, 0));
	EXPECT_EQ(0x40, x2apic_get(g, APIC_PROCPRI));
	EXPECT_FALSE(apic_bit(g, APIC_ISR, 0x51)) TH_LOG("the highest ends first");
	TAKE();
	EXPECT_EQ(2, CPU0->count);
	ASSERT_EQ(0, x2apic_set(g, APIC_EOI, 0));
	TAKE();
	EXPECT_EQ(3, CPU0->count);
	EXPECT_EQ(0x4f, CPU0->log[2]);
	ASSERT_EQ(0, x2apic_set(g, APIC_EOI, 0));
	ASSERT_EQ(0, x2apic_set(g, APIC_EOI, 0)) TH_LOG("one too many does nothing");
	EXPECT_EQ(0, x2apic_get(g, APIC_PROCPRI));
}

/* --- sources -------------------------------------------------------------- */

TEST_F(apic, it_interrupts_itself_by_either_way)
{
	struct guest *g = &self->g;

	ASSERT_EQ(0, x2apic_set(g, APIC_SELF_IPI, 0x41));
	ASSERT_EQ(0, x2apic_set(g, APIC_ICR, APIC_DEST_SELF | 0x42));
	ASSERT_EQ(0, x2apic_set(g, APIC_ICR, APIC_DEST_ALLINC | 0x43));
	ASSERT_EQ(0, x2apic_set(g, APIC_ICR, 0x44)); /* physical, to APIC 0 */
	ASSERT_EQ(0, x2apic_set(g, APIC_ICR, 1UL << 32 | APIC_DEST_LOGICAL | 0x45));
	ASSERT_EQ(0, x2apic_set(g, APIC_ICR, 0xffffffffUL << 32 | 0x46));
	ASSERT_EQ(0, x2apic_set(g, APIC_ICR, APIC_DEST_ALLBUT | 0x47));
	ASSERT_EQ(0, x2apic_set(g, APIC_ICR, 1UL << 32 | 0x48));
	EXPECT_EQ(0x7e, x2apic_get(g, APIC_IRR + 0x20));
	TAKE();
	EXPECT_EQ(6, CPU0->count);
	EXPECT_EQ(0, CPU0->taken[0x47] + CPU0->taken[0x48]);
}

/*
 * Vectors below 16 are no interrupt's: none comes. The SDM has them in ESR, which
 * a write updates; KVM has no ESR to speak of.
 */
TEST_F(apic, an_illegal_vector_is_an_error)
{
	struct guest *g = &self->g;

	ASSERT_EQ(0, x2apic_set(g, APIC_SELF_IPI, 5));
	ASSERT_EQ(0, x2apic_set(g, APIC_ICR, APIC_DEST_SELF | 15));
	ASSERT_EQ(0, x2apic_set(g, APIC_ESR, 0));
	if (guest_on_kvm()) {
		EXPECT_EQ(0, x2apic_get(g, APIC_ESR));
	} else {
		EXPECT_NE(0, x2apic_get(g, APIC_ESR) & 0x60);
		EXPECT_EQ(0, x2apic_get(g, APIC_ESR) & ~0x60);
		ASSERT_EQ(0, x2apic_set(g, APIC_ESR, 0));
		EXPECT_EQ(0, x2apic_get(g, APIC_ESR)) TH_LOG("nothing more since");
		TAKE();
		EXPECT_EQ(0, CPU0->count);
	}
}

TEST_F(apic, software_disables_it)
{
	static const uint32_t lvts[] = { APIC_LVTT, APIC_LVTTHMR, APIC_LVTPC,
					 APIC_LVT0, APIC_LVT1,	  APIC_LVTERR };
	struct guest *g = &self->g;

	for (unsigned int i = 0; i < ARRAY_SIZE(lvts); i++)
		ASSERT_EQ(0, x2apic_set(g, lvts[i], 0x50 + i));
	ASSERT_EQ(0, x2apic_set(g, APIC_SPIV, APIC_SPURIOUS));
	for (unsigned int i = 0; i < ARRAY_SIZE(lvts); i++) {
		EXPECT_EQ(APIC_LVT_MASKED | (0x50 + i), x2apic_get(g, lvts[i]));
		ASSERT_EQ(0, x2apic_set(g, lvts[i], 0x60 + i));
		EXPECT_EQ(APIC_LVT_MASKED | (0x60 + i), x2apic_get(g, lvts[i]))
		TH_LOG("it stays masked");
	}
	EXPECT_GE(0, apic_msi(g, 0, 0x41));
	ASSERT_EQ(0, x2apic_set(g, APIC_SELF_IPI, 0x42));
	ASSERT_EQ(0, x2apic_set(g, APIC_ICR, APIC_DEST_ALLINC | 0x43));
	EXPECT_FALSE(apic_bit(g, APIC_IRR, 0x41));
	/* NMIs do not ask. */
	EXPECT_EQ(1, apic_msi(g, 0, APIC_DM_NMI));
	ASSERT_EQ(0, apic_do(g, apic_nothing, 0, 0));
	EXPECT_EQ(1, CPU0->taken[APIC_NMI]);
	ASSERT_EQ(0, x2apic_set(g, APIC_SPIV, APIC_SPIV_APIC_ENABLED | APIC_SPURIOUS));
	for (unsigned int i = 0; i < ARRAY_SIZE(lvts); i++) {
		EXPECT_EQ(APIC_LVT_MASKED | (0x60 + i), x2apic_get(g, lvts[i]))
		TH_LOG("masked still");
	}
	MSI(0x44);
	TAKE();
	EXPECT_EQ(1, CPU0->taken[0x44]);
	EXPECT_EQ(0, CPU0->taken[0x41]);
}

TEST_F(apic, an_nmi_comes_from_user_space)
{
	struct guest *g = &self->g;

	OK(KVM_NMI, NULL);
	ASSERT_EQ(0, apic_do(g, apic_nothing, 0, 0));
	EXPECT_EQ(1, CPU0->count);
	EXPECT_EQ(APIC_NMI, CPU0->log[0]);
	EXPECT_EQ(1, apic_msi(g, 0, APIC_DM_NMI | 0x77));
	ASSERT_EQ(0, apic_do(g, apic_nothing, 0, 0));
	EXPECT_EQ(2, CPU0->taken[APIC_NMI]);
	EXPECT_EQ(0, CPU0->taken[0x77]) TH_LOG("an NMI has no vector of its own");
}

TEST_F(apic, a_message_reaches_whom_it_names)
{
	struct guest *g = &self->g;
	struct kvm_msi bad = { .address_lo = APIC_BASE, .data = 0x41, .flags = 1U << 31 };

	errno = 0;
	EXPECT_EQ(-1, ioctl(g->vm, KVM_SIGNAL_MSI, &bad));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_GE(0, apic_msi(g, 9, 0x42)) TH_LOG("nobody");
	EXPECT_EQ(1, apic_msi(g, 0xff, 0x43)) TH_LOG("everybody");
	TAKE();
	EXPECT_EQ(1, CPU0->count);
	EXPECT_EQ(0x43, CPU0->log[0]);
}

/* --- halting -------------------------------------------------------------- */

#define SOON 20000

static void *msi_soon(void *g)
{
	usleep(SOON);
	apic_msi(g, 0, 0x41);
	return NULL;
}

/* Not by KVM_NMI, which waits until the vCPU is back in user space. */
static void *nmi_soon(void *g)
{
	usleep(SOON);
	apic_msi(g, 0, APIC_DM_NMI);
	return NULL;
}

static void *kick_soon(void *thread)
{
	usleep(SOON);
	pthread_kill(*(pthread_t *)thread, SIGUSR1);
	return NULL;
}

static void ignore(int signal __attribute__((unused)))
{
}

/* What a piece of code that halts ends with, when @wake has been done to it. */
static int halt(struct guest *g, const uint8_t *label, void *(*wake)(void *), void *arg)
{
	pthread_t waker;
	int result;

	/* With what it needs in place, it halts long before it is woken. */
	if (apic_do(g, apic_nothing, 0, 0) || pthread_create(&waker, NULL, wake, arg))
		return -EAGAIN;
	result = apic_do(g, label, 0, 0);
	pthread_join(waker, NULL);
	return result;
}

TEST_F(apic, a_halted_vcpu_wakes_for_an_interrupt)
{
	for (int i = 1; i <= 10; i++) {
		ASSERT_EQ(0, halt(&self->g, apic_halt, msi_soon, &self->g));
		EXPECT_EQ(i, CPU0->taken[0x41]);
	}
}

TEST_F(apic, a_halted_vcpu_does_not_wait_for_what_has_come)
{
	MSI(0x41);
	ASSERT_EQ(0, apic_do(&self->g, apic_halt, 0, 0));
	EXPECT_EQ(1, CPU0->count);
}

TEST_F(apic, an_nmi_wakes_where_interrupts_are_off)
{
	MSI(0x41);
	ASSERT_EQ(0, halt(&self->g, apic_halt_closed, nmi_soon, &self->g));
	EXPECT_EQ(1, CPU0->taken[APIC_NMI]);
	EXPECT_EQ(0, CPU0->taken[0x41]);
}

TEST_F(apic, a_signal_ends_a_halt_for_user_space)
{
	struct sigaction action = { .sa_handler = ignore };
	pthread_t thread = pthread_self();

	sigaction(SIGUSR1, &action, NULL);
	ASSERT_EQ(-EINTR, halt(&self->g, apic_halt, kick_soon, &thread));
	EXPECT_EQ(KVM_EXIT_INTR, self->g.run->exit_reason);
	EXPECT_EQ(KVM_MP_STATE_HALTED, apic_mp_state(&self->g));
	EXPECT_EQ(APIC_AT(apic_halt) + 2, guest_regs(&self->g).rip);
	MSI(0x41);
	ASSERT_EQ(0, apic_resume(&self->g)) TH_LOG("it halts on, and wakes");
	EXPECT_EQ(1, CPU0->count);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, apic_mp_state(&self->g));
}

TEST_F(apic, a_halted_state_is_restored)
{
	apic_enter(&self->g, 0, APIC_AT(apic_take), 0, 0);
	ASSERT_EQ(0, apic_set_mp_state(&self->g, KVM_MP_STATE_HALTED));
	EXPECT_EQ(KVM_MP_STATE_HALTED, apic_mp_state(&self->g));
	OK(KVM_NMI, NULL);
	ASSERT_EQ(0, apic_resume(&self->g));
	EXPECT_EQ(1, CPU0->count);
}

TEST_F(apic, every_state_can_be_set)
{
	static const uint32_t states[] = { KVM_MP_STATE_UNINITIALIZED, KVM_MP_STATE_INIT_RECEIVED,
					   KVM_MP_STATE_HALTED, KVM_MP_STATE_RUNNABLE };

	for (unsigned int i = 0; i < ARRAY_SIZE(states); i++) {
		EXPECT_EQ(0, apic_set_mp_state(&self->g, states[i]));
		EXPECT_EQ(states[i], apic_mp_state(&self->g));
	}
	/* A SIPI that has come is acted on as soon as anybody looks. */
	EXPECT_EQ(0, apic_set_mp_state(&self->g, KVM_MP_STATE_SIPI_RECEIVED));
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, apic_mp_state(&self->g));
	VM_REFUSED(EINVAL, apic_set_mp_state(&self->g, KVM_MP_STATE_STOPPED));
	VM_REFUSED(EINVAL, apic_set_mp_state(&self->g, ~0U));
}

/* Of two that wait, none is lost on the way through user space and back. */
TEST_F(apic, two_nmis_that_wait_are_two)
{
	struct kvm_vcpu_events events;

	OK(KVM_NMI, 0);
	OK(KVM_NMI, 0);
	OK(KVM_GET_VCPU_EVENTS, &events);
	OK(KVM_SET_VCPU_EVENTS, &events);
	TAKE();
	EXPECT_EQ(2, CPU0->taken[APIC_NMI]);
}

TEST_F(apic, an_interrupt_of_user_spaces_controller_outlives_its_events)
{
	struct kvm_interrupt interrupt = { 0x41 };
	struct kvm_vcpu_events events;

	ASSERT_EQ(0, apic_set_reg(&self->g, APIC_LVT0, 0x700));
	OK(KVM_INTERRUPT, &interrupt);
	OK(KVM_GET_VCPU_EVENTS, &events);
	OK(KVM_SET_VCPU_EVENTS, &events);
	TAKE();
	EXPECT_EQ(1, CPU0->taken[0x41]);
}

/* STI's shadow reaches up to HLT, which would wait for ever. */
TEST_F(apic, the_window_opens_at_hlt_too)
{
	ASSERT_EQ(0, apic_set_reg(&self->g, APIC_LVT0, 0x700));
	self->g.run->request_interrupt_window = 1;
	EXPECT_EQ(0x100 + KVM_EXIT_IRQ_WINDOW_OPEN, apic_do(&self->g, apic_halt, 0, 0));
}

TEST_HARNESS_MAIN
