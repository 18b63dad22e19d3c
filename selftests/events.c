// SPDX-License-Identifier: GPL-2.0-only
/*
 * What happens to a guest from outside: events that user space injects, debuggers
 * that look over its shoulder, statistics that count.
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm.
 */
#include <stddef.h>

#include "kselftest_harness.h"
#include "guest.h"
#include "vcpu-ioctl.h"

GUEST_ASM(code_hlt, 64, "hlt\n hlt\n hlt");
GUEST_ASM(code_step, 64,
	  "nop\n code_step_1: mov $0x40000000, %eax\n code_step_2: cpuid\n"
	  "code_step_3: out %al, $0x10\n code_step_4: jmp code_step_6\n code_step_5: nop\n"
	  "code_step_6: nop\n code_step_7: hlt");
GUEST_LABEL(code_step_1);
GUEST_LABEL(code_step_2);
GUEST_LABEL(code_step_3);
GUEST_LABEL(code_step_4);
GUEST_LABEL(code_step_6);
GUEST_LABEL(code_step_7);
GUEST_ASM(code_int3, 64, "nop\n int3\n nop\n hlt");
GUEST_ASM(code_breakpoints, 64,
	  "nop\n code_breakpoints_exec: nop\n movl $1, 0x3000\n code_breakpoints_write:\n"
	  "mov %dr0, %rax\n mov %dr7, %rbx\n hlt");
GUEST_LABEL(code_breakpoints_exec);
GUEST_LABEL(code_breakpoints_write);
GUEST_ASM(code_own_step, 64, "pushfq\n orl $0x100, (%rsp)\n popfq\n nop\n hlt");
/* Ten CPUIDs, an OUT, a HLT. */
GUEST_ASM(code_exits, 64,
	  "mov $10, %esi\n 1: xor %eax, %eax\n cpuid\n dec %esi\n jnz 1b\n out %al, $0x10\n hlt");

FIXTURE(events)
{
	struct guest g;
};

FIXTURE_SETUP(events)
{
}

FIXTURE_TEARDOWN(events)
{
	guest_destroy(&self->g);
}

#define LONG(code)                                                            \
	do {                                                                  \
		ASSERT_EQ(0, guest_create(&self->g, code, GUEST_SIZE(code))); \
		guest_to_long_mode(&self->g);                                 \
		guest_catch(&self->g);                                        \
	} while (0)

static void set_rflags(struct guest *g, uint64_t rflags)
{
	struct kvm_regs regs;

	ioctl(g->vcpu, KVM_GET_REGS, &regs);
	regs.rflags = rflags;
	ioctl(g->vcpu, KVM_SET_REGS, &regs);
}

/* --- events --------------------------------------------------------------- */

TEST_F(events, a_new_vcpu_has_none)
{
	struct kvm_vcpu_events e, none = {};

	LONG(code_hlt);
	memset(&e, 0xff, sizeof(e));
	OK(KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW,
		  e.flags & ~KVM_VCPUEVENT_VALID_SMM);
	e.flags = 0;
	EXPECT_EQ(0, memcmp(&none, &e, sizeof(e)));
}

TEST_F(events, an_exception_is_delivered_once)
{
	struct kvm_vcpu_events e;
	struct guest_trap trap;

	LONG(code_hlt);
	OK(KVM_GET_VCPU_EVENTS, &e);
	e.exception.injected = 1;
	e.exception.nr = 6;
	OK(KVM_SET_VCPU_EVENTS, &e);
	OK(KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(1, e.exception.injected);
	EXPECT_EQ(6, e.exception.nr);
	EXPECT_EQ(6, guest_trap(&self->g, &trap));
	EXPECT_EQ(GUEST_CODE, trap.rip);
	OK(KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(0, e.exception.injected);
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
}

TEST_F(events, an_exception_has_its_error_code)
{
	struct kvm_vcpu_events e;
	struct guest_trap trap;

	LONG(code_hlt);
	OK(KVM_GET_VCPU_EVENTS, &e);
	e.exception.injected = 1;
	e.exception.nr = 13;
	e.exception.has_error_code = 1;
	e.exception.error_code = 0x1238;
	OK(KVM_SET_VCPU_EVENTS, &e);
	OK(KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(1, e.exception.has_error_code);
	EXPECT_EQ(0x1238, e.exception.error_code);
	EXPECT_EQ(13, guest_trap(&self->g, &trap));
	EXPECT_EQ(0x1238, trap.error);
	EXPECT_EQ(GUEST_CODE, trap.rip);
	EXPECT_EQ(8, trap.cs);
}

/* As a debugger's VMM or one that migrates at that moment would see it. */
TEST_F(events, an_exception_that_waits_is_seen_and_can_be_put_back)
{
	struct kvm_vcpu_events e, none = {};
	struct kvm_debugregs d;
	struct guest_trap trap;

	LONG(code_hlt);
	set_rflags(&self->g, 0x102);
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	OK(KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(1, e.exception.injected);
	EXPECT_EQ(1, e.exception.nr);
	EXPECT_EQ(0, e.exception.has_error_code);
	OK(KVM_GET_DEBUGREGS, &d);
	EXPECT_EQ(0xffff4ff0, d.dr6);
	OK(KVM_SET_VCPU_EVENTS, &none);
	OK(KVM_SET_VCPU_EVENTS, &e);
	EXPECT_EQ(1, guest_trap(&self->g, &trap));
	EXPECT_EQ(GUEST_CODE + 1, trap.rip);
}

TEST_F(events, an_interrupt_is_delivered)
{
	struct kvm_vcpu_events e;
	struct guest_trap trap;

	LONG(code_hlt);
	set_rflags(&self->g, 0x202);
	OK(KVM_GET_VCPU_EVENTS, &e);
	e.interrupt.injected = 1;
	e.interrupt.nr = 0xd5;
	OK(KVM_SET_VCPU_EVENTS, &e);
	OK(KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(1, e.interrupt.injected);
	EXPECT_EQ(0xd5, e.interrupt.nr);
	EXPECT_EQ(0xd5, guest_trap(&self->g, &trap));
	EXPECT_EQ(GUEST_CODE, trap.rip);
	EXPECT_EQ(0x202, trap.rflags & 0x302);
	OK(KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(0, e.interrupt.injected);
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
}

/* No CPU takes one into a guest that has IF=0: user space can see that, and help. */
TEST_F(events, an_interrupt_that_could_not_be_injected_waits_and_can_be_taken_back)
{
	struct kvm_vcpu_events e, none = {};

	LONG(code_hlt);
	OK(KVM_GET_VCPU_EVENTS, &e);
	e.interrupt.injected = 1;
	e.interrupt.nr = 0x30;
	OK(KVM_SET_VCPU_EVENTS, &e);
	for (int again = 0; again < 2; again++) {
		memset(&e, 0, sizeof(e));
		ASSERT_EQ(KVM_EXIT_FAIL_ENTRY, guest_run(&self->g));
		EXPECT_EQ(0x80000021, self->g.run->fail_entry.hardware_entry_failure_reason);
		OK(KVM_GET_VCPU_EVENTS, &e);
		EXPECT_EQ(1, e.interrupt.injected);
		EXPECT_EQ(0x30, e.interrupt.nr);
	}
	/* KVM leaves it in the VMCS, from where the next entry fails as well. */
	if (!guest_on_kvm()) {
		OK(KVM_SET_VCPU_EVENTS, &none);
		EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	}
	set_rflags(&self->g, 0x202);
	OK(KVM_SET_VCPU_EVENTS, &e);
	EXPECT_EQ(0x30, guest_trap(&self->g, NULL));
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
}

TEST_F(events, a_software_interrupt_is_not_reported)
{
	struct kvm_vcpu_events e;

	LONG(code_hlt);
	OK(KVM_GET_VCPU_EVENTS, &e);
	e.interrupt.injected = 1;
	e.interrupt.nr = 0x80;
	e.interrupt.soft = 1;
	OK(KVM_SET_VCPU_EVENTS, &e);
	OK(KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(0, e.interrupt.injected) TH_LOG("its instruction runs again instead");
	/* But what was set is delivered, and IF does not keep it back. */
	EXPECT_EQ(0x80, guest_trap(&self->g, NULL));
}

TEST_F(events, an_nmi_is_delivered_and_masks_the_next)
{
	struct kvm_vcpu_events e;
	struct guest_trap trap;

	LONG(code_hlt);
	OK(KVM_GET_VCPU_EVENTS, &e);
	e.nmi.injected = 1;
	OK(KVM_SET_VCPU_EVENTS, &e);
	OK(KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(1, e.nmi.injected);
	EXPECT_EQ(2, guest_trap(&self->g, &trap));
	EXPECT_EQ(GUEST_CODE, trap.rip);
	OK(KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(0, e.nmi.injected);
	EXPECT_EQ(0, e.nmi.pending);
	EXPECT_EQ(1, e.nmi.masked);
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	OK(KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(0, e.nmi.masked) TH_LOG("IRET opens the way");
}

TEST_F(events, an_nmi_waits_while_it_is_masked)
{
	struct kvm_vcpu_events e;

	LONG(code_hlt);
	OK(KVM_GET_VCPU_EVENTS, &e);
	e.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
	e.nmi.pending = 1;
	e.nmi.masked = 1;
	OK(KVM_SET_VCPU_EVENTS, &e);
	OK(KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(1, e.nmi.masked);
	EXPECT_EQ(1, e.nmi.pending);
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	OK(KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(1, e.nmi.pending);
	e.flags = 0;
	e.nmi.masked = 0;
	OK(KVM_SET_VCPU_EVENTS, &e);
	EXPECT_EQ(2, guest_trap(&self->g, NULL));
	/* Pending counts only where its flag is set; one that is taken back is gone. */
	e.nmi.pending = 1;
	OK(KVM_SET_VCPU_EVENTS, &e);
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	OK(KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(0, e.nmi.pending);
}

TEST_F(events, the_interrupt_shadow_comes_back)
{
	static const uint8_t shadows[] = { KVM_X86_SHADOW_INT_STI, KVM_X86_SHADOW_INT_MOV_SS, 0 };
	struct kvm_vcpu_events e;

	LONG(code_hlt);
	set_rflags(&self->g, 0x202);
	OK(KVM_GET_VCPU_EVENTS, &e);
	for (unsigned int i = 0; i < ARRAY_SIZE(shadows); i++) {
		e.flags = KVM_VCPUEVENT_VALID_SHADOW;
		e.interrupt.shadow = shadows[i];
		OK(KVM_SET_VCPU_EVENTS, &e);
		e.flags = 0;
		e.interrupt.shadow = 1;
		OK(KVM_SET_VCPU_EVENTS, &e);
		OK(KVM_GET_VCPU_EVENTS, &e);
		EXPECT_EQ(shadows[i], e.interrupt.shadow);
	}
	e.flags = KVM_VCPUEVENT_VALID_SHADOW;
	e.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	OK(KVM_SET_VCPU_EVENTS, &e);
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	OK(KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(0, e.interrupt.shadow) TH_LOG("it lasts for one instruction");
}

TEST_F(events, impossible_events_are_einval)
{
	struct kvm_vcpu_events good, bad;

	LONG(code_hlt);
	OK(KVM_GET_VCPU_EVENTS, &good);
#define BAD(change)                                         \
	do {                                                \
		bad = good;                                 \
		change;                                     \
		REFUSED(EINVAL, KVM_SET_VCPU_EVENTS, &bad); \
	} while (0)
	BAD((bad.exception.injected = 1, bad.exception.nr = 2));
	BAD((bad.exception.injected = 1, bad.exception.nr = 32));
	BAD((bad.exception.injected = 1, bad.exception.nr = 255));
	BAD(bad.flags |= 1U << 6);
	BAD(bad.flags |= 1U << 31);
	/* These take a capability to be enabled. */
	BAD(bad.flags |= KVM_VCPUEVENT_VALID_PAYLOAD);
	BAD(bad.flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT);
	/* Only KVM has System Management Mode. */
	if (!guest_on_kvm()) {
		BAD((bad.flags |= KVM_VCPUEVENT_VALID_SMM, bad.smi.smm = 1));
		BAD((bad.flags |= KVM_VCPUEVENT_VALID_SMM, bad.smi.pending = 1));
		BAD((bad.flags |= KVM_VCPUEVENT_VALID_SMM, bad.smi.smm_inside_nmi = 1));
	}
#undef BAD
	bad = good;
	bad.exception.nr = 32;
	OK(KVM_SET_VCPU_EVENTS, &bad);
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
}

/* --- debuggers ------------------------------------------------------------ */

static int debug(struct guest *g, uint32_t control)
{
	struct kvm_guest_debug d = { .control = control };

	return ioctl(g->vcpu, KVM_SET_GUEST_DEBUG, &d);
}

#define STEP (KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP)
#define EXPECT_STEP(to)                                           \
	do {                                                      \
		EXPECT_EQ(KVM_EXIT_DEBUG, guest_run(&self->g));   \
		EXPECT_EQ(to, run->debug.arch.pc);                \
		EXPECT_EQ(1, run->debug.arch.exception);          \
		EXPECT_EQ(1 << 14, run->debug.arch.dr6 & 0xe00f); \
	} while (0)

TEST_F(events, a_debugger_steps)
{
	struct kvm_debugregs d;
	struct kvm_regs regs;
	struct kvm_run *run;

	LONG(code_step);
	run = self->g.run;
	ASSERT_EQ(0, debug(&self->g, STEP));
	EXPECT_STEP(GUEST_AT(code_step, code_step_1));
	OK(KVM_GET_REGS, &regs);
	EXPECT_EQ(GUEST_AT(code_step, code_step_1), regs.rip);
	EXPECT_EQ(0, regs.rflags & 0x100) TH_LOG("TF is none of the guest's");
	EXPECT_STEP(GUEST_AT(code_step, code_step_2));
	EXPECT_STEP(GUEST_AT(code_step, code_step_3));
	/* The debugger may write in between, if it asks again: KVM forgets TF over this. */
	OK(KVM_GET_REGS, &regs);
	OK(KVM_SET_REGS, &regs);
	ASSERT_EQ(0, debug(&self->g, STEP));
	/* The exit that is user space's own comes first. */
	EXPECT_EQ(KVM_EXIT_IO, guest_run(&self->g));
	EXPECT_STEP(GUEST_AT(code_step, code_step_4));
	EXPECT_STEP(GUEST_AT(code_step, code_step_6));
	OK(KVM_GET_DEBUGREGS, &d);
	EXPECT_EQ(0xffff0ff0, d.dr6) TH_LOG("neither is DR6");
	ASSERT_EQ(0, debug(&self->g, 0));
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	OK(KVM_GET_REGS, &regs);
	EXPECT_EQ(GUEST_AT(code_step, code_step_7) + 1, regs.rip);
	EXPECT_EQ(0, regs.rflags & 0x100);
}

TEST_F(events, a_debugger_has_int3)
{
	struct guest_trap trap;
	struct kvm_regs regs;
	struct kvm_run *run;

	LONG(code_int3);
	run = self->g.run;
	ASSERT_EQ(0, debug(&self->g, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP));
	EXPECT_EQ(KVM_EXIT_DEBUG, guest_run(&self->g));
	EXPECT_EQ(3, run->debug.arch.exception);
	EXPECT_EQ(GUEST_CODE + 1, run->debug.arch.pc);
	OK(KVM_GET_REGS, &regs);
	EXPECT_EQ(GUEST_CODE + 1, regs.rip);
	EXPECT_EQ(KVM_EXIT_DEBUG, guest_run(&self->g)) TH_LOG("it stands there until changed");
	/* Not the debugger's: it gives it to the guest. */
	ASSERT_EQ(0, debug(&self->g,
			   KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_INJECT_BP));
	EXPECT_EQ(3, guest_trap(&self->g, &trap));
	EXPECT_EQ(GUEST_CODE + 2, trap.rip);
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	/* And without a debugger it is the guest's anyhow. */
	ASSERT_EQ(0, debug(&self->g, 0));
	regs.rip = GUEST_CODE;
	OK(KVM_SET_REGS, &regs);
	EXPECT_EQ(3, guest_trap(&self->g, &trap));
	EXPECT_EQ(GUEST_CODE + 2, trap.rip);
}

TEST_F(events, without_a_software_breakpoint_int3_is_the_guests)
{
	LONG(code_int3);
	ASSERT_EQ(0, debug(&self->g, KVM_GUESTDBG_ENABLE));
	EXPECT_EQ(3, guest_trap(&self->g, NULL));
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
}

TEST_F(events, control_without_enable_is_nothing)
{
	LONG(code_int3);
	ASSERT_EQ(0, debug(&self->g, KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_SW_BP));
	EXPECT_EQ(3, guest_trap(&self->g, NULL));
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
}

TEST_F(events, a_debugger_has_hardware_breakpoints)
{
	struct kvm_guest_debug d = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
	};
	struct kvm_debugregs own = { .db = { 0x1234 }, .dr6 = 0xffff0ff0, .dr7 = 0x400 }, after;
	struct kvm_regs regs;
	struct kvm_run *run;

	LONG(code_breakpoints);
	run = self->g.run;
	OK(KVM_SET_DEBUGREGS, &own);
	/* DR1 for execution; DR2 for a write of four bytes. */
	d.arch.debugreg[1] = GUEST_AT(code_breakpoints, code_breakpoints_exec);
	d.arch.debugreg[2] = 0x3000;
	d.arch.debugreg[7] = 0x400 | 1 << 2 | 1 << 4 | 0xd << 24;
	OK(KVM_SET_GUEST_DEBUG, &d);
	EXPECT_EQ(KVM_EXIT_DEBUG, guest_run(&self->g));
	EXPECT_EQ(1, run->debug.arch.exception);
	EXPECT_EQ(GUEST_AT(code_breakpoints, code_breakpoints_exec), run->debug.arch.pc);
	EXPECT_EQ(2, run->debug.arch.dr6 & 0xe00f);
	EXPECT_EQ(1 << 2 | 1 << 4, run->debug.arch.dr7 & 0xff);
	/* Past it. */
	d.arch.debugreg[7] = 0x400 | 1 << 4 | 0xd << 24;
	OK(KVM_SET_GUEST_DEBUG, &d);
	EXPECT_EQ(KVM_EXIT_DEBUG, guest_run(&self->g));
	EXPECT_EQ(GUEST_AT(code_breakpoints, code_breakpoints_write), run->debug.arch.pc);
	EXPECT_EQ(4, run->debug.arch.dr6 & 0xe00f);
	/* The guest's registers are its own all the time. */
	OK(KVM_GET_DEBUGREGS, &after);
	EXPECT_EQ(0, memcmp(&own, &after, sizeof(own)));
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	OK(KVM_GET_REGS, &regs);
	EXPECT_EQ(0x1234, regs.rax);
	EXPECT_EQ(0x400, regs.rbx);
	ASSERT_EQ(0, debug(&self->g, 0));
	regs.rip = GUEST_CODE;
	OK(KVM_SET_REGS, &regs);
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
}

TEST_F(events, a_debugger_injects_a_debug_exception)
{
	struct guest_trap trap;

	LONG(code_hlt);
	ASSERT_EQ(0, debug(&self->g, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_DB));
	EXPECT_EQ(-1, debug(&self->g, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_DB));
	EXPECT_EQ(EBUSY, errno) TH_LOG("one is on its way");
	EXPECT_EQ(1, guest_trap(&self->g, &trap));
	EXPECT_EQ(GUEST_CODE, trap.rip);
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
}

TEST_F(events, a_debugger_takes_the_guests_own_steps)
{
	struct guest_trap trap;
	struct kvm_run *run;

	LONG(code_own_step);
	run = self->g.run;
	ASSERT_EQ(0, debug(&self->g, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP));
	EXPECT_STEP(GUEST_CODE + GUEST_SIZE(code_own_step) - 1);
	/* It gives it back: the guest goes on in its own handler. */
	ASSERT_EQ(0, debug(&self->g, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_DB));
	EXPECT_EQ(1, guest_trap(&self->g, &trap));
	EXPECT_EQ(GUEST_CODE + GUEST_SIZE(code_own_step) - 1, trap.rip);
}

TEST_F(events, unknown_ways_to_debug_are_refused)
{
	int known;

	LONG(code_hlt);
	known = ioctl(self->g.vm, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG2);
	EXPECT_EQ(STEP, known & STEP);
	EXPECT_EQ(KVM_GUESTDBG_USE_HW_BP | KVM_GUESTDBG_USE_SW_BP,
		  known & (KVM_GUESTDBG_USE_HW_BP | KVM_GUESTDBG_USE_SW_BP));
	if (guest_on_kvm())
		SKIP(return, "KVM does not look at unknown bits");
	for (unsigned int bit = 0; bit < 32; bit++) {
		if (known & 1U << bit)
			continue;
		EXPECT_EQ(-1, debug(&self->g, KVM_GUESTDBG_ENABLE | 1U << bit));
		EXPECT_EQ(EINVAL, errno)
		{
			TH_LOG("bit %u", bit);
		}
	}
}

/* --- statistics ----------------------------------------------------------- */

#define STATS_MAX 65536

struct stats {
	int fd;
	ssize_t size;
	struct kvm_stats_header head;
	uint8_t all[STATS_MAX];
};

/* Open the statistics of a VM or vCPU and read them in one piece. */
static int stats_open(struct stats *s, int of)
{
	s->fd = ioctl(of, KVM_GET_STATS_FD, NULL);
	if (s->fd < 0)
		return -1;
	s->size = pread(s->fd, s->all, STATS_MAX, 0);
	memcpy(&s->head, s->all, sizeof(s->head));
	return s->size > (ssize_t)sizeof(s->head) ? 0 : -1;
}

static const struct kvm_stats_desc *stats_desc(const struct stats *s, uint32_t i)
{
	size_t size = sizeof(struct kvm_stats_desc) + s->head.name_size;

	return (const void *)(s->all + s->head.desc_offset + i * size);
}

/* What a counter says now; ~0 if there is none of that name. */
static uint64_t stats_value(const struct stats *s, const char *name)
{
	uint64_t value = ~0ULL;

	for (uint32_t i = 0; i < s->head.num_desc; i++) {
		const struct kvm_stats_desc *d = stats_desc(s, i);

		if (!strcmp(d->name, name) &&
		    pread(s->fd, &value, sizeof(value), s->head.data_offset + d->offset) != 8)
			return ~0ULL;
	}
	return value;
}

static void check_stats(struct __test_metadata *_metadata, struct stats *s)
{
	const struct kvm_stats_header *h = &s->head;
	static bool used[STATS_MAX / 8];
	unsigned int twins = 0;

	memset(used, 0, sizeof(used));
	EXPECT_EQ(0, h->flags);
	ASSERT_LT(0, h->name_size);
	ASSERT_LT(0, h->num_desc);
	EXPECT_LE(sizeof(*h), h->id_offset);
	EXPECT_LE(h->id_offset + h->name_size, h->desc_offset);
	EXPECT_EQ(0, h->desc_offset % 8);
	EXPECT_EQ(0, h->data_offset % 8);
	EXPECT_LE(h->desc_offset + h->num_desc * (sizeof(struct kvm_stats_desc) + h->name_size),
		  h->data_offset);
	ASSERT_GT(s->size, h->data_offset);
	EXPECT_LT(strnlen((char *)s->all + h->id_offset, h->name_size), h->name_size);
	EXPECT_NE(0, s->all[h->id_offset]);
	for (uint32_t i = 0; i < h->num_desc; i++) {
		const struct kvm_stats_desc *d = stats_desc(s, i);

		EXPECT_LT(0, strnlen(d->name, h->name_size));
		ASSERT_LT(strnlen(d->name, h->name_size), h->name_size);
		EXPECT_GE((uint32_t)KVM_STATS_TYPE_MAX, d->flags & KVM_STATS_TYPE_MASK);
		EXPECT_GE((uint32_t)KVM_STATS_UNIT_MAX, d->flags & KVM_STATS_UNIT_MASK);
		EXPECT_GE((uint32_t)KVM_STATS_BASE_MAX, d->flags & KVM_STATS_BASE_MASK);
		EXPECT_EQ(0, d->flags & ~0xfffU);
		ASSERT_LT(0, d->size);
		EXPECT_TRUE(!d->bucket_size ||
			    (d->flags & KVM_STATS_TYPE_MASK) == KVM_STATS_TYPE_LINEAR_HIST);
		EXPECT_EQ(0, d->offset % 8);
		ASSERT_GE(s->size - h->data_offset, d->offset + d->size * 8UL)
		{
			TH_LOG("%s is beyond the end", d->name);
		}
		for (uint32_t j = d->offset / 8; j < d->offset / 8 + d->size; j++) {
			EXPECT_FALSE(used[j])
			{
				TH_LOG("%s overlaps another", d->name);
			}
			used[j] = true;
		}
		for (uint32_t j = 0; j < i; j++)
			twins += !strcmp(stats_desc(s, j)->name, d->name);
	}
	EXPECT_EQ(0, twins);
}

TEST_F(events, statistics_describe_themselves)
{
	static struct stats vm, vcpu;

	LONG(code_exits);
	EXPECT_LT(0, ioctl(self->g.vm, KVM_CHECK_EXTENSION, KVM_CAP_BINARY_STATS_FD));
	ASSERT_EQ(0, stats_open(&vm, self->g.vm));
	ASSERT_EQ(0, stats_open(&vcpu, self->g.vcpu));
	check_stats(_metadata, &vm);
	check_stats(_metadata, &vcpu);
	EXPECT_NE(0, strcmp((char *)vm.all + vm.head.id_offset,
			    (char *)vcpu.all + vcpu.head.id_offset));
	close(vm.fd);
	close(vcpu.fd);
}

TEST_F(events, statistics_are_read_from_anywhere)
{
	static struct stats s;
	static uint8_t piece[STATS_MAX];
	ssize_t at, n;

	LONG(code_exits);
	ASSERT_EQ(0, stats_open(&s, self->g.vcpu));
	for (at = 0; at < s.size; at += 37) {
		memset(piece, 0xa5, 128);
		n = pread(s.fd, piece, 61, at);
		ASSERT_EQ(s.size - at < 61 ? s.size - at : 61, n);
		ASSERT_EQ(0, memcmp(piece, s.all + at, n))
		{
			TH_LOG("at %zd", at);
		}
		ASSERT_EQ(0xa5, piece[n]);
	}
	EXPECT_EQ(0, pread(s.fd, piece, 8, s.size));
	EXPECT_EQ(0, pread(s.fd, piece, 8, s.size + 4096));
	/* read() goes on where it was. */
	for (at = 0; (n = read(s.fd, piece + at, 1000)) > 0; at += n)
		;
	EXPECT_EQ(s.size, at);
	EXPECT_EQ(0, memcmp(piece, s.all, at));
	EXPECT_EQ(-1, write(s.fd, piece, 8));
	close(s.fd);
}

TEST_F(events, statistics_count_exits)
{
	static struct stats vm, vcpu;
	uint64_t before;

	LONG(code_exits);
	ASSERT_EQ(0, stats_open(&vcpu, self->g.vcpu));
	before = stats_value(&vcpu, "exits");
	ASSERT_NE(~0ULL, before);
	ASSERT_EQ(KVM_EXIT_IO, guest_run(&self->g));
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	/* Interrupts and EPT violations count as well. */
	EXPECT_LE(before + 12, stats_value(&vcpu, "exits"));
	EXPECT_GT(before + 1000, stats_value(&vcpu, "exits"));
	/* Only Dragonfly counts by reason, for VMs too. */
	if (!guest_on_kvm()) {
		ASSERT_EQ(0, stats_open(&vm, self->g.vm));
		EXPECT_EQ(10, stats_value(&vcpu, "exit_cpuid"));
		EXPECT_EQ(1, stats_value(&vcpu, "exit_io_instruction"));
		EXPECT_EQ(1, stats_value(&vcpu, "exit_hlt"));
		EXPECT_EQ(0, stats_value(&vcpu, "exit_msr_read"));
		EXPECT_EQ(10, stats_value(&vm, "exit_cpuid"));
		EXPECT_EQ(1, stats_value(&vm, "exit_io_instruction"));
		EXPECT_EQ(1, stats_value(&vm, "exit_hlt"));
		close(vm.fd);
	}
	close(vcpu.fd);
}

TEST_F(events, statistics_outlive_their_vm)
{
	static struct stats vm, vcpu;

	LONG(code_exits);
	ASSERT_EQ(KVM_EXIT_IO, guest_run(&self->g));
	ASSERT_EQ(0, stats_open(&vm, self->g.vm));
	ASSERT_EQ(0, stats_open(&vcpu, self->g.vcpu));
	guest_destroy(&self->g);
	self->g = (struct guest){ .device = -1, .vm = -1, .vcpu = -1 };
	EXPECT_EQ(vm.size, pread(vm.fd, vm.all, STATS_MAX, 0));
	EXPECT_EQ(vcpu.size, pread(vcpu.fd, vcpu.all, STATS_MAX, 0));
	EXPECT_LE(11, stats_value(&vcpu, "exits"));
	close(vm.fd);
	close(vcpu.fd);
}

TEST_HARNESS_MAIN
