// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmclock: a guest's time, as user space sets and reads it and as the guest is told.
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm. The
 * host tells its own time by the TSC, as the emulated one does.
 */
#include "kselftest_harness.h"
#include "guest.h"
#include "vcpu-ioctl.h"

#include <time.h>

#define MSR_TSC 0x10
#define MSR_WALL_CLOCK 0x4b564d00
#define MSR_SYSTEM_TIME 0x4b564d01
#define MSR_POLL_CONTROL 0x4b564d05
#define MSR_OLD_WALL_CLOCK 0x11
#define MSR_OLD_SYSTEM_TIME 0x12

#define HC_VAPIC_POLL_IRQ 1
#define HC_CLOCK_PAIRING 9

#define LEAF_SIGNATURE 0x40000000
#define LEAF_FEATURES 0x40000001

#define SECOND 1000000000ULL
#define PAGE 0x30000UL
#define OTHER_PAGE 0x31000UL
#define ENABLED 1

#define STABLE 1
#define STOPPED 2

/* As guests know it: <asm/pvclock-abi.h>. */
struct time_info {
	uint32_t version, pad;
	uint64_t tsc, ns;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad2[2];
};

struct wall_clock {
	uint32_t version, seconds, ns;
};

struct pairing {
	int64_t seconds, ns;
	uint64_t tsc;
	uint32_t flags, pad[9];
};

GUEST_ASM(code_clock, 64,
	  "wrmsr\n lfence\n rdtsc\n hlt\n .fill 8, 1, 0x90\n"
	  "vmcall\n hlt\n .fill 12, 1, 0x90\n rdmsr\n hlt");
#define WRMSR 0
#define VMCALL 16
#define RDMSR 32

FIXTURE(clock)
{
	struct guest g;
};

FIXTURE_SETUP(clock)
{
	ASSERT_EQ(0, guest_create(&self->g, code_clock, GUEST_SIZE(code_clock)));
	guest_to_long_mode(&self->g);
	guest_catch(&self->g);
	ASSERT_EQ(32, sizeof(struct time_info));
}

FIXTURE_TEARDOWN(clock)
{
	guest_destroy(&self->g);
}

/* ---- what they all need ------------------------------------------------------------ */

static struct kvm_regs registers(int what)
{
	return (struct kvm_regs){ .rip = GUEST_CODE + what, .rsp = GUEST_STACK, .rflags = 2 };
}

/* Writes an MSR in the guest; the trap, or GUEST_HALTED and its TSC right after. */
static int write_msr(struct guest *g, uint32_t index, uint64_t value, uint64_t *tsc)
{
	struct kvm_regs regs = registers(WRMSR);
	int trap;

	regs.rcx = index;
	regs.rax = (uint32_t)value;
	regs.rdx = value >> 32;
	ioctl(g->vcpu, KVM_SET_REGS, &regs);
	trap = guest_trap(g, NULL);
	regs = guest_regs(g);
	if (tsc)
		*tsc = (uint32_t)regs.rax | regs.rdx << 32;
	return trap;
}

static int read_msr(struct guest *g, uint32_t index)
{
	struct kvm_regs regs = registers(RDMSR);

	regs.rcx = index;
	ioctl(g->vcpu, KVM_SET_REGS, &regs);
	return guest_trap(g, NULL);
}

static int64_t hypercall(struct guest *g, uint64_t number, uint64_t a0, uint64_t a1)
{
	struct kvm_regs regs = registers(VMCALL);

	regs.rax = number;
	regs.rbx = a0;
	regs.rcx = a1;
	ioctl(g->vcpu, KVM_SET_REGS, &regs);
	return guest_trap(g, NULL) == GUEST_HALTED ? (int64_t)guest_regs(g).rax : -1000000;
}

static uint64_t get_user_msr(struct guest *g, uint32_t index)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} m = { .head.nmsrs = 1, .entry.index = index };

	return ioctl(g->vcpu, KVM_GET_MSRS, &m) == 1 ? m.entry.data : ~0ULL;
}

static int set_user_msr(int vcpu, uint32_t index, uint64_t value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} m = { .head.nmsrs = 1, .entry = { .index = index, .data = value } };

	return ioctl(vcpu, KVM_SET_MSRS, &m);
}

static struct kvm_clock_data get_clock(const struct guest *g)
{
	struct kvm_clock_data data = { .clock = ~0ULL, .flags = ~0U };

	ioctl(g->vm, KVM_GET_CLOCK, &data);
	return data;
}

static int set_clock(const struct guest *g, uint64_t ns)
{
	struct kvm_clock_data data = { .clock = ns };

	return ioctl(g->vm, KVM_SET_CLOCK, &data);
}

static struct time_info *info(struct guest *g, uint64_t gpa)
{
	return (struct time_info *)(g->memory + gpa);
}

/* What a guest makes of it. */
static uint64_t guest_time(const struct time_info *t, uint64_t tsc)
{
	uint64_t ticks = tsc - t->tsc;

	ticks = t->shift < 0 ? ticks >> -t->shift : ticks << t->shift;
	return t->ns + (uint64_t)((__uint128_t)ticks * t->mul >> 32);
}

static uint64_t real_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * SECOND + now.tv_nsec;
}

/* The guest asks for its time at PAGE: what it is lies between what user space sees. */
#define EXPECT_TIME_IS_RIGHT()                                                         \
	do {                                                                           \
		uint64_t before = get_clock(&self->g).clock, now, tsc = 0;             \
		EXPECT_EQ(GUEST_HALTED,                                                \
			  write_msr(&self->g, MSR_SYSTEM_TIME, PAGE | ENABLED, &tsc)); \
		now = guest_time(info(&self->g, PAGE), tsc);                           \
		EXPECT_LE(before, now) TH_LOG("line %d", __LINE__);                    \
		EXPECT_GE(get_clock(&self->g).clock, now) TH_LOG("line %d", __LINE__); \
	} while (0)

/* ---- user space --------------------------------------------------------------------- */

TEST_F(clock, it_begins_with_the_vm_and_goes_on)
{
	struct kvm_clock_data a = get_clock(&self->g), b;

	EXPECT_GT(600 * SECOND, a.clock);
	EXPECT_TIME_IS_RIGHT(); /* KVM says nothing of the host's before a vCPU has run */
	a = get_clock(&self->g);
	b = get_clock(&self->g);
	EXPECT_LT(a.clock, b.clock);
	EXPECT_LE(a.realtime, b.realtime);
	EXPECT_LT(a.host_tsc, b.host_tsc);
	EXPECT_EQ(KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC,
		  b.flags & (KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC));
	EXPECT_EQ(a.flags, ioctl(self->g.vm, KVM_CHECK_EXTENSION, KVM_CAP_ADJUST_CLOCK));
}

TEST_F(clock, it_is_set)
{
	static const uint64_t times[] = { 0, 180 * SECOND, 1ULL << 60, 5 };

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		ASSERT_EQ(0, set_clock(&self->g, times[i]));
		EXPECT_LE(times[i], get_clock(&self->g).clock);
		EXPECT_GT(times[i] + 60 * SECOND, get_clock(&self->g).clock);
	}
}

TEST_F(clock, it_has_gone_on_since_it_was_read)
{
	struct kvm_clock_data data = { .flags = KVM_CLOCK_REALTIME };

	data.realtime = real_time() - 100 * SECOND;
	ASSERT_EQ(0, ioctl(self->g.vm, KVM_SET_CLOCK, &data));
	EXPECT_LE(100 * SECOND, get_clock(&self->g).clock);
	/* But it does not go back. */
	data.realtime = real_time() + 1000 * SECOND;
	data.clock = 7 * SECOND;
	ASSERT_EQ(0, ioctl(self->g.vm, KVM_SET_CLOCK, &data));
	EXPECT_LE(7 * SECOND, get_clock(&self->g).clock);
}

TEST_F(clock, what_was_read_can_be_set_and_unknown_flags_cannot)
{
	struct kvm_clock_data data = get_clock(&self->g);

	EXPECT_EQ(0, ioctl(self->g.vm, KVM_SET_CLOCK, &data));
	for (unsigned int bit = 0; bit < 32; bit++) {
		data.flags = 1U << bit;
		errno = 0;
		EXPECT_EQ(bit >= 1 && bit <= 3 ? 0 : -1, ioctl(self->g.vm, KVM_SET_CLOCK, &data));
		EXPECT_EQ(bit >= 1 && bit <= 3 ? 0 : EINVAL, errno) TH_LOG("bit %u", bit);
	}
	EXPECT_EQ(-1, ioctl(self->g.vm, KVM_SET_CLOCK, 8));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, ioctl(self->g.vm, KVM_GET_CLOCK, 8));
	EXPECT_EQ(EFAULT, errno);
}

/* ---- the guest ---------------------------------------------------------------------- */

TEST_F(clock, a_guest_has_user_spaces_time)
{
	EXPECT_TIME_IS_RIGHT();
	EXPECT_EQ(STABLE, info(&self->g, PAGE)->flags);
	ASSERT_EQ(0, set_clock(&self->g, 0));
	EXPECT_TIME_IS_RIGHT();
	ASSERT_EQ(0, set_clock(&self->g, 1000 * SECOND));
	EXPECT_TIME_IS_RIGHT();
}

/* Nothing is asked for: it is told because its time has changed, or its TSC. */
TEST_F(clock, a_guest_is_told_of_changes_and_of_nothing_else)
{
	struct time_info *t = info(&self->g, PAGE), before;

	EXPECT_TIME_IS_RIGHT();
	before = *t;
	EXPECT_EQ(0, before.version & 1);
	ASSERT_EQ(0, hypercall(&self->g, HC_VAPIC_POLL_IRQ, 0, 0));
	if (!guest_on_kvm()) /* which has some more reasons */
		EXPECT_EQ(0, memcmp(t, &before, sizeof(before)));

	ASSERT_EQ(0, set_clock(&self->g, 3000 * SECOND));
	ASSERT_EQ(0, hypercall(&self->g, HC_VAPIC_POLL_IRQ, 0, 0));
	EXPECT_LT(before.version, t->version);
	EXPECT_EQ(0, t->version & 1);
	EXPECT_EQ(3000, t->ns / SECOND);

	before = *t;
	ASSERT_EQ(1, set_user_msr(self->g.vcpu, MSR_TSC, 1ULL << 40));
	ASSERT_EQ(0, hypercall(&self->g, HC_VAPIC_POLL_IRQ, 0, 0));
	EXPECT_LT(before.version, t->version);
	EXPECT_NE(before.tsc, t->tsc);
}

TEST_F(clock, a_guest_has_its_time_whatever_its_tsc_is)
{
	static const uint64_t values[] = { 0, 1ULL << 50, 1ULL << 62 };

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		ASSERT_EQ(1, set_user_msr(self->g.vcpu, MSR_TSC, values[i]));
		EXPECT_TIME_IS_RIGHT();
		EXPECT_EQ(GUEST_HALTED, write_msr(&self->g, MSR_TSC, values[i] + 12345, NULL));
		EXPECT_TIME_IS_RIGHT();
	}
}

/* Its own rate is rounded otherwise than the host's: by less than one in a million. */
TEST_F(clock, a_guest_has_its_time_at_another_rate)
{
	int khz = ioctl(self->g.vcpu, KVM_GET_TSC_KHZ, 0);

	if (!ioctl(self->g.vm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_CONTROL))
		SKIP(return, "no TSC scaling");
	for (int part = 1; part < 8; part += 2) {
		uint64_t before, now, tsc = 0;

		ASSERT_EQ(0, ioctl(self->g.vcpu, KVM_SET_TSC_KHZ, khz * part / 4));
		before = get_clock(&self->g).clock;
		EXPECT_EQ(GUEST_HALTED, write_msr(&self->g, MSR_SYSTEM_TIME, PAGE | ENABLED, &tsc));
		now = guest_time(info(&self->g, PAGE), tsc);
		EXPECT_LE(before, now + now / 1000000);
		EXPECT_GE(get_clock(&self->g).clock, now - now / 1000000);
	}
}

TEST_F(clock, the_old_msr_is_the_same)
{
	EXPECT_EQ(GUEST_HALTED, write_msr(&self->g, MSR_OLD_SYSTEM_TIME, PAGE | ENABLED, NULL));
	EXPECT_EQ(PAGE | ENABLED, get_user_msr(&self->g, MSR_SYSTEM_TIME));
	EXPECT_LT(0, info(&self->g, PAGE)->version);
}

/* Off, where no memory is, or across pages: nothing is written, and nothing else happens. */
TEST_F(clock, a_place_that_is_none_is_harmless)
{
	static const uint64_t places[] = { PAGE,
					   0xffeUL << 32 | ENABLED,
					   ~0ULL,
					   1ULL << 63 | ENABLED,
					   GUEST_MEMORY | ENABLED,
					   (OTHER_PAGE - 30) | ENABLED };
	uint8_t zeros[0x2000] = {};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		EXPECT_EQ(GUEST_HALTED, write_msr(&self->g, MSR_SYSTEM_TIME, places[i], NULL));
		EXPECT_EQ(places[i], get_user_msr(&self->g, MSR_SYSTEM_TIME));
		EXPECT_EQ(0, memcmp(self->g.memory + PAGE, zeros, sizeof(zeros)));
	}
	/* Where it just fits, and is not aligned. */
	EXPECT_EQ(GUEST_HALTED,
		  write_msr(&self->g, MSR_SYSTEM_TIME, (OTHER_PAGE - 32) | ENABLED, NULL));
	EXPECT_EQ(2, info(&self->g, OTHER_PAGE - 32)->version);
	EXPECT_EQ(GUEST_HALTED, write_msr(&self->g, MSR_SYSTEM_TIME, (PAGE + 6) | ENABLED, NULL));
	EXPECT_EQ(2, info(&self->g, PAGE + 6)->version);
}

/* A guest that uses one line for all its vCPUs would have time go back. */
TEST_F(clock, it_is_stable_only_where_all_vcpus_have_one_tsc)
{
	int other = ioctl(self->g.vm, KVM_CREATE_VCPU, 1);

	ASSERT_LE(0, other);
	EXPECT_TIME_IS_RIGHT();
	EXPECT_EQ(STABLE, info(&self->g, PAGE)->flags);
	ASSERT_EQ(1, set_user_msr(self->g.vcpu, MSR_TSC, 1ULL << 40));
	EXPECT_TIME_IS_RIGHT();
	EXPECT_EQ(0, info(&self->g, PAGE)->flags);
	ASSERT_EQ(1, set_user_msr(other, MSR_TSC, 1ULL << 40));
	EXPECT_TIME_IS_RIGHT();
	if (!guest_on_kvm()) /* which waits until the other one runs */
		EXPECT_EQ(STABLE, info(&self->g, PAGE)->flags);
	close(other);
}

TEST_F(clock, a_guest_that_stood_still_is_told_once)
{
	struct time_info *t = info(&self->g, PAGE);

	REFUSED(EINVAL, KVM_KVMCLOCK_CTRL, 0);
	EXPECT_TIME_IS_RIGHT();
	OK(KVM_KVMCLOCK_CTRL, 0);
	EXPECT_EQ(0, t->flags & STOPPED);
	ASSERT_EQ(0, hypercall(&self->g, HC_VAPIC_POLL_IRQ, 0, 0));
	EXPECT_EQ(STOPPED | STABLE, t->flags);
	/* It stays until the guest has seen it. */
	EXPECT_TIME_IS_RIGHT();
	EXPECT_EQ(STOPPED | STABLE, t->flags);
	t->flags = STABLE;
	EXPECT_TIME_IS_RIGHT();
	EXPECT_EQ(STABLE, t->flags);
	EXPECT_EQ(GUEST_HALTED, write_msr(&self->g, MSR_SYSTEM_TIME, PAGE, NULL));
	REFUSED(EINVAL, KVM_KVMCLOCK_CTRL, 0);
}

TEST_F(clock, the_wall_clock_says_when_time_began)
{
	static const uint32_t msrs[] = { MSR_WALL_CLOCK, MSR_OLD_WALL_CLOCK };
	struct wall_clock *wall = (void *)(self->g.memory + PAGE);

	for (int i = 0; i < 2; i++) {
		uint64_t before = real_time() - get_clock(&self->g).clock, began;

		wall->version = 7;
		EXPECT_EQ(GUEST_HALTED, write_msr(&self->g, msrs[i], PAGE, NULL));
		EXPECT_EQ(10, wall->version);
		began = wall->seconds * SECOND + wall->ns;
		EXPECT_GT(SECOND, wall->ns);
		/* Read at two moments, of a slow host. */
		EXPECT_GT(60 * SECOND, began - before + 30 * SECOND);
		EXPECT_EQ(PAGE, get_user_msr(&self->g, msrs[i]));
	}
	EXPECT_EQ(GUEST_HALTED, write_msr(&self->g, MSR_WALL_CLOCK, 0, NULL));
	EXPECT_EQ(GUEST_HALTED, write_msr(&self->g, MSR_WALL_CLOCK, ~0ULL, NULL));
	EXPECT_EQ(GUEST_HALTED, write_msr(&self->g, MSR_WALL_CLOCK, OTHER_PAGE - 6, NULL));
	EXPECT_EQ(2, *(uint32_t *)(self->g.memory + OTHER_PAGE - 6));
}

/* ---- the rest ------------------------------------------------------------------------ */

TEST_F(clock, it_is_paired_with_the_hosts)
{
	struct pairing *pair = (void *)(self->g.memory + PAGE);
	uint64_t before = real_time();

	memset(pair, 0xff, sizeof(*pair));
	EXPECT_EQ(0, hypercall(&self->g, HC_CLOCK_PAIRING, PAGE, 0));
	EXPECT_LE(before, pair->seconds * SECOND + pair->ns);
	EXPECT_GE(real_time(), pair->seconds * SECOND + pair->ns);
	EXPECT_EQ(0, pair->flags);
	EXPECT_GT(get_user_msr(&self->g, MSR_TSC), pair->tsc);
	EXPECT_EQ(-95, hypercall(&self->g, HC_CLOCK_PAIRING, PAGE, 1));
	EXPECT_EQ(-EFAULT, hypercall(&self->g, HC_CLOCK_PAIRING, GUEST_MEMORY, 0));
	EXPECT_EQ(-EFAULT, hypercall(&self->g, HC_CLOCK_PAIRING, ~0ULL << 12, 0));
}

TEST_F(clock, the_signature_is_kvms)
{
	uint32_t features = guest_supported(&self->g, LEAF_FEATURES, 0, 0);

	EXPECT_EQ(LEAF_FEATURES, guest_supported(&self->g, LEAF_SIGNATURE, 0, 0));
	EXPECT_EQ(0x4b4d564b, guest_supported(&self->g, LEAF_SIGNATURE, 0, 1));
	EXPECT_EQ(0x564b4d56, guest_supported(&self->g, LEAF_SIGNATURE, 0, 2));
	EXPECT_EQ(0x4d, guest_supported(&self->g, LEAF_SIGNATURE, 0, 3));
	/* Both pairs of MSRs, no delay for I/O, control of polling, and the stable bit. */
	EXPECT_EQ(0x0100100b, features & 0x0100100b);
}

TEST_F(clock, polling_is_allowed_or_not)
{
	EXPECT_EQ(1, get_user_msr(&self->g, MSR_POLL_CONTROL));
	EXPECT_EQ(GUEST_HALTED, write_msr(&self->g, MSR_POLL_CONTROL, 0, NULL));
	EXPECT_EQ(0, get_user_msr(&self->g, MSR_POLL_CONTROL));
	EXPECT_EQ(13, write_msr(&self->g, MSR_POLL_CONTROL, 2, NULL));
}

/* Only a VMM that asks for it keeps a guest from what its CPUID does not have. */
TEST_F(clock, features_are_enforced_when_asked_for)
{
	static const uint32_t msrs[] = { MSR_WALL_CLOCK, MSR_SYSTEM_TIME, MSR_OLD_WALL_CLOCK,
					 MSR_OLD_SYSTEM_TIME, MSR_POLL_CONTROL };
	struct kvm_enable_cap cap = { .cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .args = { 1 } };

	for (int i = 0; i < 5; i++)
		EXPECT_EQ(GUEST_HALTED, read_msr(&self->g, msrs[i]));
	EXPECT_EQ(1, ioctl(self->g.vm, KVM_CHECK_EXTENSION, cap.cap));
	OK(KVM_ENABLE_CAP, &cap);
	for (int i = 0; i < 5; i++) {
		EXPECT_EQ(13, read_msr(&self->g, msrs[i])) TH_LOG("%x", msrs[i]);
		EXPECT_EQ(13, write_msr(&self->g, msrs[i], 0, NULL)) TH_LOG("%x", msrs[i]);
	}
	cap.args[0] = 0;
	OK(KVM_ENABLE_CAP, &cap);
	for (int i = 0; i < 5; i++)
		EXPECT_EQ(GUEST_HALTED, write_msr(&self->g, msrs[i], 0, NULL));
	cap.flags = 1;
	REFUSED(EINVAL, KVM_ENABLE_CAP, &cap);
	cap = (struct kvm_enable_cap){ .cap = 0x7fff };
	REFUSED(EINVAL, KVM_ENABLE_CAP, &cap);
}

TEST_HARNESS_MAIN
