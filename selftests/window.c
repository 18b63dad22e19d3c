// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts that user space injects itself: when they can go in, and how it learns
 * of that; first where all of the LAPIC is its own, then with one of the kernel's.
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm.
 */
#include "kselftest_harness.h"
#include "irq.h"
#include "vcpu-ioctl.h"

#define VECTOR 0x41
#define IF 0x200

GUEST_ASM(code_hlt, 64, "hlt\n hlt\n hlt");
GUEST_ASM(code_out, 64, "out %al, $0x10\n hlt");
GUEST_ASM(code_shadow, 64, "sti\n out %al, $0x10\n code_shadow_over: hlt");
GUEST_LABEL(code_shadow_over);
GUEST_ASM(code_late, 64,
	  "mov $1000, %ecx\n 1: loop 1b\n sti\n code_late_shadow: nop\n code_late_open: nop\n hlt");
GUEST_LABEL(code_late_open);
GUEST_ASM(code_sti_hlt, 64, "sti\n hlt\n code_sti_hlt_over: nop\n hlt");
GUEST_LABEL(code_sti_hlt_over);
GUEST_ASM(code_real, 16, "sti\n nop\n mov $0x1234, %ax\n hlt");
GUEST_ASM(code_real_handler, 16, "mov $0x5678, %bx\n hlt\n iret");
GUEST_ASM(code_tpr, 64,
	  "mov $5, %eax\n mov %rax, %cr8\n mov %cr8, %rbx\n hlt\n"
	  "mov $3, %eax\n mov %rax, %cr8\n code_tpr_lowered: mov %cr8, %rbx\n hlt\n"
	  "mov %cr8, %rcx\n hlt");
GUEST_LABEL(code_tpr_lowered);

FIXTURE(window)
{
	struct guest g;
};

FIXTURE_SETUP(window)
{
}

FIXTURE_TEARDOWN(window)
{
	guest_destroy(&self->g);
}

/* 64-bit mode, no irqchip; every handler is a HLT, which user space sees. */
#define LONG(code)                                                            \
	do {                                                                  \
		ASSERT_EQ(0, guest_create(&self->g, code, GUEST_SIZE(code))); \
		guest_to_long_mode(&self->g);                                 \
		guest_catch(&self->g);                                        \
	} while (0)

static void set_if(struct guest *g, bool enabled)
{
	struct kvm_regs regs = guest_regs(g);

	regs.rflags = enabled ? 2 | IF : 2;
	ioctl(g->vcpu, KVM_SET_REGS, &regs);
}

static int interrupt(struct guest *g, uint32_t vector)
{
	return ioctl(g->vcpu, KVM_INTERRUPT, &(struct kvm_interrupt){ vector });
}

/* --- without an irqchip --------------------------------------------------- */

TEST_F(window, an_interrupt_is_taken_at_once)
{
	struct guest_trap trap;

	LONG(code_hlt);
	set_if(&self->g, true);
	ASSERT_EQ(0, interrupt(&self->g, VECTOR));
	EXPECT_EQ(VECTOR, guest_trap(&self->g, &trap));
	EXPECT_EQ(GUEST_CODE, trap.rip);
	EXPECT_EQ(IF, trap.rflags & IF);
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
}

TEST_F(window, vectors_are_those_that_there_are)
{
	LONG(code_hlt);
	set_if(&self->g, true);
	FAILS(EINVAL, interrupt(&self->g, 256));
	FAILS(EINVAL, interrupt(&self->g, ~0U));
	FAILS(EFAULT, VCPU(KVM_INTERRUPT, (void *)8));
	for (uint32_t vector = 32; vector < 256; vector += 223) {
		ASSERT_EQ(0, interrupt(&self->g, vector));
		EXPECT_EQ(vector, guest_trap(&self->g, NULL));
		EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	}
}

TEST_F(window, the_last_one_before_the_guest_runs_is_taken)
{
	LONG(code_hlt);
	set_if(&self->g, true);
	ASSERT_EQ(0, interrupt(&self->g, VECTOR));
	ASSERT_EQ(0, interrupt(&self->g, VECTOR + 1));
	EXPECT_EQ(VECTOR + 1, guest_trap(&self->g, NULL));
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
}

TEST_F(window, one_that_waits_can_be_seen_and_moved)
{
	struct kvm_vcpu_events e, none = {};

	LONG(code_hlt);
	set_if(&self->g, true);
	ASSERT_EQ(0, interrupt(&self->g, VECTOR));
	OK(KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(1, e.interrupt.injected);
	EXPECT_EQ(VECTOR, e.interrupt.nr);
	EXPECT_EQ(0, e.interrupt.soft);
	OK(KVM_SET_VCPU_EVENTS, &none);
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	OK(KVM_SET_VCPU_EVENTS, &e);
	EXPECT_EQ(VECTOR, guest_trap(&self->g, NULL));
	OK(KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(0, e.interrupt.injected);
}

TEST_F(window, an_exit_says_whether_an_interrupt_could_go_in)
{
	for (unsigned int enabled = 0; enabled < 2; enabled++) {
		LONG(code_out);
		set_if(&self->g, enabled);
		ASSERT_EQ(KVM_EXIT_IO, guest_run(&self->g));
		EXPECT_EQ(enabled, self->g.run->if_flag);
		EXPECT_EQ(enabled, self->g.run->ready_for_interrupt_injection);
		ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
		EXPECT_EQ(enabled, self->g.run->if_flag);
		EXPECT_EQ(enabled, self->g.run->ready_for_interrupt_injection);
		if (!enabled)
			guest_destroy(&self->g);
	}
}

/* KVM has not left the instruction yet that ends the shadow; Dragonfly has. */
TEST_F(window, none_can_go_in_after_sti)
{
	struct guest_trap trap;

	LONG(code_shadow);
	ASSERT_EQ(KVM_EXIT_IO, guest_run(&self->g));
	EXPECT_EQ(1, self->g.run->if_flag);
	if (guest_on_kvm())
		EXPECT_EQ(0, self->g.run->ready_for_interrupt_injection);
	self->g.run->request_interrupt_window = 1;
	ASSERT_EQ(KVM_EXIT_IRQ_WINDOW_OPEN, guest_run(&self->g));
	EXPECT_EQ(1, self->g.run->ready_for_interrupt_injection);
	self->g.run->request_interrupt_window = 0;
	ASSERT_EQ(0, interrupt(&self->g, VECTOR));
	EXPECT_EQ(VECTOR, guest_trap(&self->g, &trap));
	EXPECT_EQ(GUEST_AT(code_shadow, code_shadow_over), trap.rip);
}

TEST_F(window, the_guest_exits_when_its_window_opens)
{
	struct guest_trap trap;

	LONG(code_late);
	self->g.run->request_interrupt_window = 1;
	ASSERT_EQ(KVM_EXIT_IRQ_WINDOW_OPEN, guest_run(&self->g));
	EXPECT_EQ(GUEST_AT(code_late, code_late_open), guest_regs(&self->g).rip);
	EXPECT_EQ(1, self->g.run->ready_for_interrupt_injection);
	EXPECT_EQ(1, self->g.run->if_flag);
	self->g.run->request_interrupt_window = 0;
	ASSERT_EQ(0, interrupt(&self->g, VECTOR));
	EXPECT_EQ(VECTOR, guest_trap(&self->g, &trap));
	EXPECT_EQ(GUEST_AT(code_late, code_late_open), trap.rip);
	EXPECT_EQ(0, self->g.run->if_flag);
	EXPECT_EQ(0, self->g.run->ready_for_interrupt_injection);
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
}

TEST_F(window, an_open_window_is_an_exit_before_the_first_instruction)
{
	LONG(code_hlt);
	set_if(&self->g, true);
	self->g.run->request_interrupt_window = 1;
	for (int again = 0; again < 3; again++) {
		ASSERT_EQ(KVM_EXIT_IRQ_WINDOW_OPEN, guest_run(&self->g));
		EXPECT_EQ(GUEST_CODE, guest_regs(&self->g).rip);
	}
	self->g.run->request_interrupt_window = 0;
	EXPECT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	/* Closed, it is none. */
	set_if(&self->g, false);
	self->g.run->request_interrupt_window = 1;
	EXPECT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
}

/* With the window asked for again, as a VMM does that has two to inject. */
TEST_F(window, interrupts_go_in_one_after_the_other)
{
	LONG(code_late);
	self->g.run->request_interrupt_window = 1;
	ASSERT_EQ(KVM_EXIT_IRQ_WINDOW_OPEN, guest_run(&self->g));
	ASSERT_EQ(0, interrupt(&self->g, VECTOR));
	EXPECT_EQ(VECTOR, guest_trap(&self->g, NULL));
	/* IRET opens it. */
	ASSERT_EQ(KVM_EXIT_IRQ_WINDOW_OPEN, guest_run(&self->g));
	EXPECT_EQ(GUEST_AT(code_late, code_late_open), guest_regs(&self->g).rip);
	self->g.run->request_interrupt_window = 0;
	ASSERT_EQ(0, interrupt(&self->g, VECTOR + 1));
	EXPECT_EQ(VECTOR + 1, guest_trap(&self->g, NULL));
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
}

TEST_F(window, a_halted_guest_is_interrupted_after_its_hlt)
{
	struct guest_trap trap;

	LONG(code_sti_hlt);
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	EXPECT_EQ(1, self->g.run->if_flag);
	EXPECT_EQ(1, self->g.run->ready_for_interrupt_injection);
	ASSERT_EQ(0, interrupt(&self->g, VECTOR));
	EXPECT_EQ(VECTOR, guest_trap(&self->g, &trap));
	EXPECT_EQ(GUEST_AT(code_sti_hlt, code_sti_hlt_over), trap.rip);
}

TEST_F(window, real_mode_takes_interrupts_too)
{
	const uint16_t vector_at[2] = { 0x3000, 0 };
	uint16_t *stack;

	ASSERT_EQ(0, guest_create(&self->g, code_real, GUEST_SIZE(code_real)));
	memcpy(self->g.memory + 4 * VECTOR, vector_at, sizeof(vector_at));
	memcpy(self->g.memory + 0x3000, code_real_handler, GUEST_SIZE(code_real_handler));
	self->g.run->request_interrupt_window = 1;
	ASSERT_EQ(KVM_EXIT_IRQ_WINDOW_OPEN, guest_run(&self->g));
	EXPECT_EQ(GUEST_CODE + 2, guest_regs(&self->g).rip);
	self->g.run->request_interrupt_window = 0;
	ASSERT_EQ(0, interrupt(&self->g, VECTOR));
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	EXPECT_EQ(0x5678, guest_regs(&self->g).rbx);
	EXPECT_EQ(GUEST_STACK - 6, guest_regs(&self->g).rsp);
	stack = (uint16_t *)(self->g.memory + GUEST_STACK - 6);
	EXPECT_EQ(GUEST_CODE + 2, stack[0]);
	EXPECT_EQ(0, stack[1]);
	EXPECT_EQ(2 | IF, stack[2]);
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	EXPECT_EQ(0x1234, guest_regs(&self->g).rax);
}

TEST_F(window, an_nmi_needs_no_window)
{
	LONG(code_hlt);
	OK(KVM_NMI, 0);
	EXPECT_EQ(2, guest_trap(&self->g, NULL));
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	/* One is taken, one can wait. */
	for (int again = 0; again < 4; again++)
		OK(KVM_NMI, 0);
	EXPECT_EQ(2, guest_trap(&self->g, NULL));
	EXPECT_EQ(2, guest_trap(&self->g, NULL));
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
}

TEST_F(window, an_nmi_comes_before_an_interrupt)
{
	LONG(code_hlt);
	set_if(&self->g, true);
	OK(KVM_NMI, 0);
	self->g.run->request_interrupt_window = 1;
	EXPECT_EQ(2, guest_trap(&self->g, NULL));
	/* Its IRET opens the window. */
	ASSERT_EQ(KVM_EXIT_IRQ_WINDOW_OPEN, guest_run(&self->g));
	EXPECT_EQ(GUEST_CODE, guest_regs(&self->g).rip);
}

/* --- the task priority, of which user space keeps the APIC ------------------ */

/* The host's own interrupts take the guest out in the midst of it, and back. */
TEST_F(window, an_interrupt_waits_for_an_nmi_handler_that_takes_long)
{
	/* mov $3000000, %ecx; loop .; hlt; iretq */
	static const uint8_t handler[] = { 0xb9, 0xc0, 0xc6, 0x2d, 0x00,
					   0xe2, 0xfe, 0xf4, 0x48, 0xcf };

	LONG(code_hlt);
	memcpy(self->g.memory + GUEST_HANDLERS + 2 * 16, handler, sizeof(handler));
	set_if(&self->g, true);
	OK(KVM_NMI, NULL);
	ASSERT_EQ(0, interrupt(&self->g, VECTOR));
	EXPECT_EQ(2, guest_trap(&self->g, NULL));
	EXPECT_EQ(VECTOR, guest_trap(&self->g, NULL));
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
}

TEST_F(window, cr8_is_in_the_run_page)
{
	LONG(code_tpr);
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	EXPECT_EQ(5, self->g.run->cr8);
	EXPECT_EQ(5, guest_regs(&self->g).rbx);
	/* Lowered, there may be something for it. */
	ASSERT_EQ(KVM_EXIT_SET_TPR, guest_run(&self->g));
	EXPECT_EQ(3, self->g.run->cr8);
	EXPECT_EQ(GUEST_AT(code_tpr, code_tpr_lowered), guest_regs(&self->g).rip);
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	EXPECT_EQ(3, guest_regs(&self->g).rbx);
	self->g.run->cr8 = 16;
	EXPECT_EQ(-EINVAL, guest_run(&self->g));
	self->g.run->cr8 = 9;
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	EXPECT_EQ(9, guest_regs(&self->g).rcx);
}

TEST_F(window, tpr_accesses_need_no_report)
{
	struct kvm_tpr_access_ctl ctl = { .enabled = 1 };

	LONG(code_hlt);
	OK(KVM_TPR_ACCESS_REPORTING, &ctl);
	ctl.enabled = 0;
	OK(KVM_TPR_ACCESS_REPORTING, &ctl);
	ctl.flags = 1;
	REFUSED(EINVAL, KVM_TPR_ACCESS_REPORTING, &ctl);
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
}

TEST_F(window, a_vapic_page_is_a_lapics)
{
	struct kvm_vapic_addr addr = { .vapic_addr = 0x5000 };

	LONG(code_hlt);
	REFUSED(EINVAL, KVM_SET_VAPIC_ADDR, &addr);
}

/* --- with a split irqchip -------------------------------------------------- */

FIXTURE(extint)
{
	struct irq_vm vm;
};

FIXTURE_SETUP(extint)
{
	ASSERT_EQ(0, irq_create(&self->vm, 1, false));
}

FIXTURE_TEARDOWN(extint)
{
	irq_destroy(&self->vm);
}

#define EXTINT 0x700

TEST_F(extint, a_lapic_that_accepts_it_takes_it)
{
	struct guest *g = &self->vm.cpu[0];

	ASSERT_EQ(0, apic_set_reg(g, APIC_LVT0, EXTINT));
	FAILS(EINVAL, interrupt(g, 256));
	ASSERT_EQ(0, interrupt(g, VECTOR));
	FAILS(EEXIST, interrupt(g, VECTOR + 1));
	ASSERT_TRUE(irq_take_all(&self->vm));
	EXPECT_EQ(1, irq_count(&self->vm, 0, VECTOR));
	EXPECT_EQ(0, irq_count(&self->vm, 0, VECTOR + 1));
	ASSERT_EQ(0, interrupt(g, VECTOR + 1));
	ASSERT_TRUE(irq_take_all(&self->vm));
	EXPECT_EQ(1, irq_count(&self->vm, 0, VECTOR + 1));
}

TEST_F(extint, it_waits_for_a_lapic_that_does_not)
{
	struct guest *g = &self->vm.cpu[0];

	ASSERT_EQ(0, apic_set_reg(g, APIC_LVT0, APIC_LVT_MASKED));
	ASSERT_EQ(0, interrupt(g, VECTOR));
	ASSERT_TRUE(irq_take_all(&self->vm));
	EXPECT_EQ(0, irq_count(&self->vm, 0, VECTOR));
	FAILS(EEXIST, interrupt(g, VECTOR));
	ASSERT_EQ(0, apic_set_reg(g, APIC_LVT0, EXTINT));
	ASSERT_TRUE(irq_take_all(&self->vm));
	EXPECT_EQ(1, irq_count(&self->vm, 0, VECTOR));
}

TEST_F(extint, it_is_no_interrupt_of_the_lapics)
{
	struct kvm_lapic_state lapic;
	struct guest *g = &self->vm.cpu[0];

	ASSERT_EQ(0, apic_set_reg(g, APIC_LVT0, EXTINT));
	irq_cpu(&self->vm, 0)->eoi = APIC_EOI_NONE;
	ASSERT_EQ(0, interrupt(g, VECTOR));
	ASSERT_TRUE(irq_take_all(&self->vm));
	EXPECT_EQ(1, irq_count(&self->vm, 0, VECTOR));
	ASSERT_EQ(0, ioctl(g->vcpu, KVM_GET_LAPIC, &lapic));
	for (unsigned int offset = 0x100; offset < 0x280; offset += 0x10)
		EXPECT_EQ(0, *(uint32_t *)(lapic.regs + offset));
	/* What it would have held back, had it been in service. */
	EXPECT_EQ(1, irq_signal(&self->vm, IRQ_TO(0), VECTOR - 1));
	ASSERT_TRUE(irq_take_all(&self->vm));
	EXPECT_EQ(1, irq_count(&self->vm, 0, VECTOR - 1));
}

TEST_F(extint, a_halted_vcpu_takes_it)
{
	struct guest *g = &self->vm.cpu[0];

	ASSERT_EQ(0, apic_set_reg(g, APIC_LVT0, EXTINT));
	ASSERT_EQ(0, interrupt(g, VECTOR));
	irq_signal(&self->vm, IRQ_TO(0), IRQ_STOP);
	irq_cpu(&self->vm, 0)->stop = 0;
	irq_start(&self->vm, 0, apic_take);
	ASSERT_EQ(0, irq_go_on(&self->vm, 0));
	EXPECT_EQ(1, irq_count(&self->vm, 0, VECTOR));
	EXPECT_EQ(1, irq_count(&self->vm, 0, IRQ_STOP));
}

TEST_F(extint, the_window_is_that_of_the_lapic)
{
	struct guest *g = &self->vm.cpu[0];

	ASSERT_EQ(0, apic_set_reg(g, APIC_LVT0, APIC_LVT_MASKED));
	g->run->request_interrupt_window = 1;
	ASSERT_EQ(0, irq_run(&self->vm, 0, apic_take)) TH_LOG("it takes none");
	EXPECT_EQ(0, g->run->ready_for_interrupt_injection);
	ASSERT_EQ(0, apic_set_reg(g, APIC_LVT0, EXTINT));
	ASSERT_EQ(KVM_EXIT_IRQ_WINDOW_OPEN, irq_run(&self->vm, 0, apic_take));
	EXPECT_EQ(1, g->run->ready_for_interrupt_injection);
	g->run->request_interrupt_window = 0;
	ASSERT_EQ(0, interrupt(g, VECTOR));
	ASSERT_EQ(0, irq_go_on(&self->vm, 0));
	EXPECT_EQ(1, irq_count(&self->vm, 0, VECTOR));
}

TEST_F(extint, the_vapic_page_is_one_of_memory)
{
	struct kvm_vapic_addr addr = { .vapic_addr = 0x5000 };
	int vcpu = self->vm.cpu[0].vcpu;

	EXPECT_EQ(0, ioctl(vcpu, KVM_SET_VAPIC_ADDR, &addr));
	ASSERT_TRUE(irq_take_all(&self->vm));
	addr.vapic_addr = 0;
	EXPECT_EQ(0, ioctl(vcpu, KVM_SET_VAPIC_ADDR, &addr));
	addr.vapic_addr = 0x40000000;
	FAILS(EINVAL, ioctl(vcpu, KVM_SET_VAPIC_ADDR, &addr));
	FAILS(EFAULT, ioctl(vcpu, KVM_SET_VAPIC_ADDR, (void *)8));
}

TEST_F(extint, an_nmi_reaches_a_vcpu_that_is_halted)
{
	pthread_t thread;

	ASSERT_EQ(0, ioctl(self->vm.cpu[0].vcpu, KVM_NMI, 0));
	ASSERT_EQ(0, irq_spawn(&self->vm, 0, apic_idle, &thread));
	irq_await(&self->vm, 0, 2, 1);
	EXPECT_EQ(KVM_EXIT_IO, irq_join(&self->vm, 0, thread));
	EXPECT_EQ(1, irq_count(&self->vm, 0, 2));
}

TEST(a_whole_irqchip_has_no_interrupts_of_user_spaces)
{
	struct guest g;

	ASSERT_EQ(0, guest_create_vm(&g));
	ASSERT_EQ(0, ioctl(g.vm, KVM_CREATE_IRQCHIP, 0));
	ASSERT_EQ(0, guest_create_vcpu(&g, 0));
	FAILS(EINVAL, interrupt(&g, 256));
	FAILS(ENXIO, interrupt(&g, VECTOR));
	guest_destroy(&g);
}

TEST_HARNESS_MAIN
