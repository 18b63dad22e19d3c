// SPDX-License-Identifier: GPL-2.0-only
#include "x86.h"

#define MODE_MASK	(APIC_LVT_TIMER_PERIODIC | APIC_LVT_TIMER_TSCDEADLINE)

/* A guest that ticks faster than this would do nothing else; KVM's limit, 200 us. */
#define SHORTEST_PERIOD	(tsc_khz / 5)

/* Longer ones are waited for in pieces; far from all overflows. */
#define LONGEST_NS	BIT_ULL(60)
#define LONGEST_WAIT	BIT_ULL(40)

#define TIMER_RATE	0x1f	/* of IA32_VMX_MISC */

/* It counts down each time this bit of the TSC changes. */
static unsigned int rate __ro_after_init;

void timer_init(void)
{
	rate = read_msr_or_0(MSR_IA32_VMX_MISC) & TIMER_RATE;
}

static u32 mode(const struct df_vcpu *vcpu)
{
	return lapic_get(vcpu, APIC_LVTT) & MODE_MASK;
}

static bool is_tsc_deadline(const struct df_vcpu *vcpu)
{
	return mode(vcpu) == APIC_LVT_TIMER_TSCDEADLINE;
}

u32 timer_modes(const struct df_vcpu *vcpu)
{
	return cpuid_has(vcpu, 1, 0, CPUID_ECX, 24) ? MODE_MASK : APIC_LVT_TIMER_PERIODIC;
}

static void disarm(struct df_vcpu *vcpu)
{
	vcpu->lapic.deadline = 0;
	vcpu->lapic.tsc_deadline = 0;
}

static u8 divide_shift(const struct df_vcpu *vcpu)
{
	u32 tdcr = lapic_get(vcpu, APIC_TDCR);

	return (((tdcr & 3) | (tdcr & 8) >> 1) + 1) & 7;
}

void timer_reset(struct df_vcpu *vcpu)
{
	disarm(vcpu);
	vcpu->lapic.timer_mode = mode(vcpu);
	vcpu->lapic.timer_shift = divide_shift(vcpu);
	vcpu->dirty |= DF_DIRTY_APIC_MODE;
}

/* ---- counts of the bus clock ---------------------------------------------------------- */

static u64 count_ns(const struct df_vcpu *vcpu)
{
	return READ_ONCE(vcpu->vm->arch.bus_cycle_ns) << vcpu->lapic.timer_shift;
}

/* Of the host's TSC; as many as are needed for all of it. */
static u64 count_to_cycles(const struct df_vcpu *vcpu, u32 count)
{
	u64 ns = min(count * count_ns(vcpu), LONGEST_NS);

	return mul_u64_u32_div(ns, tsc_khz, NSEC_PER_MSEC) + 1;
}

static u32 cycles_to_count(const struct df_vcpu *vcpu, u64 cycles)
{
	u64 ns = mul_u64_u32_div(cycles, NSEC_PER_MSEC, tsc_khz);

	return div64_u64(ns, count_ns(vcpu));
}

static u64 period(const struct df_vcpu *vcpu)
{
	u32 count = lapic_get(vcpu, APIC_TMICT);

	if (mode(vcpu) != APIC_LVT_TIMER_PERIODIC)
		return 0;
	return max_t(u64, count_to_cycles(vcpu, count), SHORTEST_PERIOD);
}

/* @left of the initial count. */
static void start(struct df_vcpu *vcpu, u32 left)
{
	struct df_lapic *lapic = &vcpu->lapic;

	lapic->period = period(vcpu);
	lapic->deadline = rdtsc() + (left == lapic_get(vcpu, APIC_TMICT) && lapic->period ?
				     lapic->period : count_to_cycles(vcpu, left));
}

u32 timer_count(struct df_vcpu *vcpu)
{
	const struct df_lapic *lapic = &vcpu->lapic;
	u64 now;

	timer_check(vcpu);
	now = rdtsc();
	if (is_tsc_deadline(vcpu) || lapic->deadline <= now)
		return 0;
	/* 0 is one that has fired: what is left of the last tick is a tick. */
	return max(cycles_to_count(vcpu, lapic->deadline - now), 1);
}

void timer_count_written(struct df_vcpu *vcpu, u32 count)
{
	if (is_tsc_deadline(vcpu)) {
		lapic_put(vcpu, APIC_TMICT, 0);
		return;
	}
	disarm(vcpu);
	lapic_put(vcpu, APIC_TMICT, count);
	if (count)
		start(vcpu, count);
}

/* What is left is left, in longer or shorter counts. */
void timer_divide_written(struct df_vcpu *vcpu, u32 divide)
{
	u32 left = timer_count(vcpu);

	lapic_put(vcpu, APIC_TDCR, divide);
	vcpu->lapic.timer_shift = divide_shift(vcpu);
	if (vcpu->lapic.deadline && !is_tsc_deadline(vcpu))
		start(vcpu, left);
}

/* Between one-shot and periodic it runs on; TSC-deadline mode is another timer. */
void timer_mode_written(struct df_vcpu *vcpu)
{
	u32 old = vcpu->lapic.timer_mode, now = mode(vcpu);

	vcpu->lapic.timer_mode = now;
	if ((old ^ now) & APIC_LVT_TIMER_TSCDEADLINE) {
		disarm(vcpu);
		vcpu->dirty |= DF_DIRTY_APIC_MODE;
		lapic_put(vcpu, APIC_TMICT, 0);
	}
	vcpu->lapic.period = period(vcpu);
}

/* ---- the guest's TSC ------------------------------------------------------------------ */

u64 timer_get_deadline(const struct df_vcpu *vcpu)
{
	return lapic_is_here(vcpu) ? vcpu->lapic.tsc_deadline : 0;
}

void timer_retarget(struct df_vcpu *vcpu)
{
	struct df_lapic *lapic = &vcpu->lapic;
	u64 now, left;

	if (!lapic->tsc_deadline)
		return;
	now = tsc_read(vcpu);
	left = lapic->tsc_deadline > now ? min(lapic->tsc_deadline - now, LONGEST_WAIT) : 0;
	lapic->deadline = rdtsc() + tsc_to_host(vcpu, left);
}

void timer_set_deadline(struct df_vcpu *vcpu, u64 value)
{
	if (!lapic_is_here(vcpu) || !is_tsc_deadline(vcpu))
		return;
	disarm(vcpu);
	vcpu->lapic.tsc_deadline = value;
	timer_retarget(vcpu);
}

/* ---- expiry ----------------------------------------------------------------------------- */

static void next_period(struct df_lapic *lapic, u64 now)
{
	u64 late = now - lapic->deadline;

	/* Ticks that nobody was there for are one. */
	lapic->deadline = now + lapic->period - late % lapic->period;
}

void timer_deliver(struct df_vcpu *vcpu)
{
	u32 lvt = lapic_get(vcpu, APIC_LVTT);
	u8 vector = lvt & APIC_VECTOR_MASK;

	if (!(lvt & APIC_LVT_MASKED) && vector >= LAPIC_FIRST_VECTOR)
		posted_self(vcpu, vector);
}

void timer_fire(struct df_vcpu *vcpu)
{
	struct df_lapic *lapic = &vcpu->lapic;

	/* A piece of a long wait, or the last cycles of a TSC that is scaled. */
	if (lapic->tsc_deadline > tsc_read(vcpu)) {
		timer_retarget(vcpu);
		return;
	}
	if (lapic->timer_mode == APIC_LVT_TIMER_PERIODIC && lapic->period)
		next_period(lapic, rdtsc());
	else
		disarm(vcpu);
	timer_deliver(vcpu);
}

/* To the first change of the bit that is not before the deadline. */
static u32 ticks_until(u64 deadline, u64 now)
{
	u64 last = (deadline + BIT_ULL(rate) - 1) >> rate;

	return min_t(u64, last - (now >> rate), U32_MAX);
}

static void use_preemption_timer(struct df_vcpu *vcpu, bool on)
{
	vcpu->lapic.timer_on = on;
	vmcs_set(PIN_BASED_VM_EXEC_CONTROL, PIN_BASED_VMX_PREEMPTION_TIMER, on);
}

void timer_enter(struct df_vcpu *vcpu)
{
	u64 now = rdtsc();

	if (unlikely(vcpu->lapic.swapped)) {
		now = min(now, vcpu->lapic.deadline);
	} else if (now >= vcpu->lapic.deadline) {
		timer_fire(vcpu);
		if (!vcpu->lapic.deadline) {
			/* On it stays: the next deadline is soon. */
			vmcs_write(VMX_PREEMPTION_TIMER_VALUE, U32_MAX);
			return;
		}
	}
	vmcs_write(VMX_PREEMPTION_TIMER_VALUE, ticks_until(vcpu->lapic.deadline, now));
	if (unlikely(!vcpu->lapic.timer_on))
		use_preemption_timer(vcpu, true);
}

bool timer_exit(struct df_vcpu *vcpu)
{
	if (!vcpu->lapic.deadline)
		use_preemption_timer(vcpu, false);
	return vcpu->lapic.swapped && vcpu->lapic.deadline;
}

ktime_t timer_sleep(const struct df_vcpu *vcpu)
{
	u64 now = rdtsc(), deadline = vcpu->lapic.deadline;

	if (!deadline)
		return KTIME_MAX;
	if (deadline <= now)
		return 0;
	return mul_u64_u32_div(min(deadline - now, LONGEST_WAIT), NSEC_PER_MSEC, tsc_khz) + 1;
}

/* KVM's own images have it in TMCCT; what is 0 there has fired, and been saved in IRR. */
void timer_restore(struct df_vcpu *vcpu, u32 left)
{
	u64 deadline = vcpu->lapic.tsc_deadline;
	u32 count = lapic_get(vcpu, APIC_TMICT);

	timer_reset(vcpu);
	if (is_tsc_deadline(vcpu))
		timer_set_deadline(vcpu, deadline);
	else if (count && (left || mode(vcpu) == APIC_LVT_TIMER_PERIODIC))
		start(vcpu, left ?: count);
}
