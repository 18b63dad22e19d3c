// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmclock: its arithmetic, and how it is told to a guest whose memory is an array
 * that notes each write.
 */
#include "x86.h"

#include <asm/tsc.h>
#include <linux/gfp.h>
#define SMP_CACHE_BYTES 64
#include <asm/pvclock.h>

#define NSEC_PER_SEC 1000000000ULL
#define offset_in_page(address) ((address) & (PAGE_SIZE - 1))
#undef set_bit
#define set_bit(bit, word) ((void)(*(word) |= BIT(bit)))

/* The host. */
static u64 host_real;
static bool host_tells_time_by_tsc;

static inline bool df_host_time(__u64 *tsc, __u64 *real)
{
	*tsc = unit_tsc;
	*real = host_real;
	return host_tells_time_by_tsc;
}

/* The guest's memory, and its first word after each write to it. */
static u8 memory[2 * PAGE_SIZE];
static u32 versions[16];
static unsigned int nr_writes, requests;
static bool is_common;

int df_memory_access(struct df_vm *vm, u64 gpa, void *data, size_t len, bool write)
{
	(void)vm;
	if (gpa > sizeof(memory) - len)
		return -ENXIO;
	if (write) {
		memcpy(memory + gpa, data, len);
		memcpy(&versions[nr_writes++ % ARRAY_SIZE(versions)], memory, sizeof(u32));
	} else {
		memcpy(data, memory + gpa, len);
	}
	return 0;
}

void run_request_all(struct df_vm *vm, int request)
{
	(void)vm;
	requests |= BIT(request);
}

#pragma GCC diagnostic ignored "-Wincompatible-pointer-types"
#include "arch/x86/clock.c"

/* Twice the host's rate where it is scaled. */
u64 tsc_scale(const struct df_vcpu *vcpu, u64 host)
{
	return vcpu->tsc_ratio ? 2 * host : host;
}

u64 tsc_of_host(const struct df_vcpu *vcpu, u64 host)
{
	return tsc_scale(vcpu, host) + vcpu->tsc_offset;
}

bool tsc_is_common(const struct df_vm *vm)
{
	(void)vm;
	return is_common;
}

FIXTURE(clock)
{
	struct df_vm vm;
	struct df_vcpu vcpu;
	const struct pvclock_vcpu_time_info *time;
};

FIXTURE_SETUP(clock)
{
	memset(self, 0, sizeof(*self));
	memset(memory, 0, sizeof(memory));
	nr_writes = 0;
	requests = 0;
	unit_tsc = 1000;
	host_real = 5000 * NSEC_PER_SEC;
	host_tells_time_by_tsc = true;
	is_common = true;
	self->vcpu.vm = &self->vm;
	self->time = (const void *)memory;
	clock_vm_init(&self->vm);
}

FIXTURE_TEARDOWN(clock)
{
}

/* ---- rates ------------------------------------------------------------------------- */

static u64 after_ticks(const struct pvclock_vcpu_time_info *time, u64 ticks)
{
	return __pvclock_read_cycles(time, time->tsc_timestamp + ticks) - time->system_time;
}

/* From less than there is to more than may be set, all of them to one in 10^9. */
TEST(a_second_is_a_second_at_any_rate)
{
	for (u64 hz = 1000; hz < 1ULL << 42; hz += hz / 7 + 1) {
		struct pvclock_vcpu_time_info time = {};

		set_rate(&time, hz);
		EXPECT_LE(BIT(31), time.tsc_to_system_mul) TH_LOG("%llu", hz);
		EXPECT_GE(NSEC_PER_SEC, after_ticks(&time, hz)) TH_LOG("%llu", hz);
		EXPECT_LE(1000 * NSEC_PER_SEC - 1000, after_ticks(&time, 1000 * hz) + 2)
		TH_LOG("%llu", hz);
	}
}

/* As KVM's, so that a guest sees no change when it moves. */
TEST(rates_are_as_kvms)
{
	static const struct {
		u64 hz;
		u32 mul;
		s8 shift;
	} rows[] = {
		{ 100000000, 2684354560, 4 },	{ 1000000000, 2147483648, 1 },
		{ 2000000000, 2147483648, 0 },	{ 2500000000, 3435973836, -1 },
		{ 3000000000, 2863311530, -1 }, { 4000000000, 2147483648, -1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct pvclock_vcpu_time_info time = {};

		set_rate(&time, rows[i].hz);
		EXPECT_EQ(rows[i].mul, time.tsc_to_system_mul) TH_LOG("%llu", rows[i].hz);
		EXPECT_EQ(rows[i].shift, time.tsc_shift) TH_LOG("%llu", rows[i].hz);
	}
}

/* ---- the guest ---------------------------------------------------------------------- */

TEST_F(clock, what_a_guest_reads_has_an_even_version)
{
	clock_set_system_time(&self->vcpu, KVM_MSR_ENABLED);
	EXPECT_EQ(BIT(DF_REQ_CLOCK), self->vcpu.requests);
	for (u32 version = 0; version < 10; version += 2) {
		nr_writes = 0;
		clock_update(&self->vcpu);
		ASSERT_EQ(3, nr_writes);
		EXPECT_EQ(version + 1, versions[0]);
		EXPECT_EQ(version + 1, versions[1]);
		EXPECT_EQ(version + 2, versions[2]);
	}
	/* Also where there was something else. */
	memset(memory, 0xff, 4);
	clock_update(&self->vcpu);
	EXPECT_EQ(2, self->time->version);
}

TEST_F(clock, a_line_is_the_same_wherever_a_vcpus_tsc_is)
{
	clock_set_system_time(&self->vcpu, KVM_MSR_ENABLED);
	for (u64 ratio = 0; ratio < 2; ratio++) {
		for (u64 offset = 0; offset < 3; offset++) {
			struct df_vcpu *vcpu = &self->vcpu;

			vcpu->tsc_ratio = ratio;
			vcpu->tsc_offset = -offset << 40;
			clock_update(vcpu);
			unit_tsc += 2000 * tsc_khz;
			EXPECT_EQ(read_clock(&self->vm, unit_tsc),
				  __pvclock_read_cycles(self->time, tsc_of_host(vcpu, unit_tsc)));
		}
	}
	EXPECT_EQ(12 * NSEC_PER_SEC, read_clock(&self->vm, unit_tsc));
}

TEST_F(clock, flags_are_what_holds)
{
	clock_set_system_time(&self->vcpu, KVM_MSR_ENABLED);
	clock_update(&self->vcpu);
	EXPECT_EQ(PVCLOCK_TSC_STABLE_BIT, self->time->flags);
	is_common = false;
	clock_update(&self->vcpu);
	EXPECT_EQ(0, self->time->flags);
	is_common = true;
	host_tells_time_by_tsc = false;
	EXPECT_FALSE(clock_is_offered());
	clock_update(&self->vcpu);
	EXPECT_EQ(0, self->time->flags);
}

/* It is kept for a guest that cannot be told yet. */
TEST_F(clock, that_it_stood_still_is_not_lost)
{
	EXPECT_EQ(-EINVAL, clock_stopped(&self->vcpu));
	clock_set_system_time(&self->vcpu, sizeof(memory) | KVM_MSR_ENABLED);
	EXPECT_EQ(0, clock_stopped(&self->vcpu));
	clock_update(&self->vcpu);
	clock_set_system_time(&self->vcpu, KVM_MSR_ENABLED);
	clock_update(&self->vcpu);
	EXPECT_EQ(PVCLOCK_GUEST_STOPPED, self->time->flags & PVCLOCK_GUEST_STOPPED);
	memory[offsetof(struct pvclock_vcpu_time_info, flags)] = 0;
	clock_update(&self->vcpu);
	EXPECT_EQ(0, self->time->flags & PVCLOCK_GUEST_STOPPED);
	clock_reset(&self->vcpu);
	EXPECT_EQ(-EINVAL, clock_stopped(&self->vcpu));
}

TEST_F(clock, time_began_when_the_wall_clock_says)
{
	const struct pvclock_wall_clock *wall = (const void *)memory;

	unit_tsc += 1500ULL * tsc_khz; /* 1.5 seconds */
	clock_set_wall_clock(&self->vm, 0);
	EXPECT_EQ(0, nr_writes);
	clock_set_wall_clock(&self->vm, PAGE_SIZE);
	wall = (const void *)(memory + PAGE_SIZE);
	EXPECT_EQ(2, wall->version);
	EXPECT_EQ(4998, wall->sec);
	EXPECT_EQ(500000000, wall->nsec);
}

/* ---- user space --------------------------------------------------------------------- */

TEST_F(clock, it_goes_on_from_what_was_set)
{
	struct kvm_clock_data data = { .clock = 77 };

	EXPECT_EQ(0, clock_set(&self->vm, &data));
	EXPECT_EQ(BIT(DF_REQ_CLOCK), requests);
	EXPECT_EQ(77, read_clock(&self->vm, unit_tsc));
	data.flags = KVM_CLOCK_REALTIME;
	data.realtime = host_real - 10;
	EXPECT_EQ(0, clock_set(&self->vm, &data));
	EXPECT_EQ(87, read_clock(&self->vm, unit_tsc));
	data.realtime = host_real + 10;
	EXPECT_EQ(0, clock_set(&self->vm, &data));
	EXPECT_EQ(77, read_clock(&self->vm, unit_tsc));
	data.flags = 1;
	EXPECT_EQ(-EINVAL, clock_set(&self->vm, &data));
}

TEST_F(clock, user_space_is_told_what_is_known)
{
	struct kvm_clock_data data;

	clock_get(&self->vm, &data);
	EXPECT_EQ(CLOCK_FLAGS, data.flags);
	EXPECT_EQ(host_real, data.realtime);
	EXPECT_EQ(unit_tsc, data.host_tsc);
	is_common = false;
	clock_get(&self->vm, &data);
	EXPECT_EQ(KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC, data.flags);
	host_tells_time_by_tsc = false;
	clock_get(&self->vm, &data);
	EXPECT_EQ(0, data.flags | data.realtime | data.host_tsc);
}

TEST_HARNESS_MAIN
