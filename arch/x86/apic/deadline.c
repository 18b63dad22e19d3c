// SPDX-License-Identifier: GPL-2.0-only
#include <linux/hrtimer.h>
#include <linux/io.h>
#include <asm/barrier.h>

#include "x86.h"

/* The timer of a host whose clock events are deadlines. */
#define LVT_LOOK	(APIC_LVT_TIMER_PERIODIC | APIC_LVT_TIMER_TSCDEADLINE | APIC_VECTOR_MASK)
#define LVT_HOST	(APIC_LVT_TIMER_TSCDEADLINE | LOCAL_TIMER_VECTOR)
#define LVT_POSTED	(APIC_LVT_TIMER_TSCDEADLINE | POSTED_INTR_VECTOR)

/* The CPU's APIC, where the host does not use it by MSRs. */
static void __iomem *registers __ro_after_init;

static bool is_x2apic(void)
{
	return read_msr_or_0(MSR_IA32_APICBASE) & X2APIC_ENABLE;
}

/* Without them deadlines are intercepted. */
void deadline_init(void)
{
	if (!is_x2apic())
		registers = ioremap(read_msr_or_0(MSR_IA32_APICBASE) & PAGE_MASK, PAGE_SIZE);
}

void deadline_exit(void)
{
	if (registers)
		iounmap(registers);
}

static u32 read_apic(unsigned int reg)
{
	return registers ? readl(registers + reg) : __rdmsr(LAPIC_MSR(reg));
}

static __always_inline void write_apic(unsigned int reg, u32 value)
{
	if (registers)
		writel(value, registers + reg);
	else
		native_wrmsr(LAPIC_MSR(reg), value, 0);
}

static __always_inline void write_deadline(u64 deadline)
{
	weak_wrmsr_fence();
	native_wrmsr(MSR_IA32_TSC_DEADLINE, deadline, deadline >> 32);
}

/* The timer's interrupt waits to be taken. */
static bool is_pending(void)
{
	return read_apic(APIC_IRR + LOCAL_TIMER_VECTOR / 32 * 0x10) & BIT(LOCAL_TIMER_VECTOR % 32);
}

void deadline_on_cpu(struct df_vcpu *vcpu)
{
	/* With coarse clocks each of its interrupts is a tick to the host, due or not. */
	vcpu->lapic.cpu_has_deadline = is_x2apic() == !registers && hrtimer_resolution == 1 &&
				       (read_apic(APIC_LVTT) & LVT_LOOK) == LVT_HOST;
	vcpu->dirty |= DF_DIRTY_APIC_MODE;
}

int deadline_set_posted(struct df_vcpu *vcpu, bool posts)
{
	if (!vcpu->vm->arch.area)
		return -EINVAL;
	vcpu->lapic.posts = posts;
	return 0;
}

bool deadline_may_pass(const struct df_vcpu *vcpu)
{
	return vcpu->lapic.cpu_has_deadline && lapic_is_x2apic(vcpu) && tsc_is_hosts(vcpu) &&
	       vcpu->lapic.timer_mode == APIC_LVT_TIMER_TSCDEADLINE;
}

/* The guest's deadline needs another LVT than the host's. Nothing of it changes meanwhile. */
static bool borrows_lvt(const struct df_lapic *lapic)
{
	return lapic->host_masked || lapic->posts;
}

/*
 * The host's timer does not come any more, or is to come first. Where the host has
 * nothing to wait for, as on a CPU without a tick, it is masked.
 */
static bool disarm_host(struct df_lapic *lapic)
{
	u64 host = __rdmsr(MSR_IA32_TSC_DEADLINE);

	lapic->host_masked = read_apic(APIC_LVTT) & APIC_LVT_MASKED;
	if (lapic->host_masked)
		host = 0;
	write_deadline(0);
	if (is_pending() || (host && host <= rdtsc())) {
		write_deadline(host);
		return false;
	}
	if (unlikely(borrows_lvt(lapic)))
		write_apic(APIC_LVTT, lapic->posts ? LVT_POSTED : LVT_HOST);
	lapic->host_deadline = host;
	return true;
}

bool deadline_in(struct df_vcpu *vcpu)
{
	struct df_lapic *lapic = &vcpu->lapic;

	/* It may be what makes the register pass, or no longer. */
	if (vcpu->dirty & DF_DIRTY_APIC_MODE) {
		vcpu->dirty &= ~(u32)DF_DIRTY_APIC_MODE;
		apic_mode_write(vcpu);
	}
	if (!lapic->passes)
		return true;
	timer_check(vcpu);
	if (!disarm_host(lapic))
		return false;
	write_deadline(lapic->tsc_deadline);
	lapic->deadline = lapic->host_deadline;
	lapic->swapped = true;
	return true;
}

void deadline_out(struct df_vcpu *vcpu)
{
	struct df_lapic *lapic = &vcpu->lapic;
	u64 deadline = __rdmsr(MSR_IA32_TSC_DEADLINE);

	/* What the guest has posted for it may have been taken in, or not. */
	if (!deadline && lapic->posts)
		pi_set_on(lapic->pi);
	else if (!deadline && is_pending())
		timer_deliver(vcpu);
	/* The LVT first: what fires from here on is, at most, one more of the host's. */
	if (unlikely(borrows_lvt(lapic)))
		write_apic(APIC_LVTT, LVT_HOST | (lapic->host_masked ? APIC_LVT_MASKED : 0));
	write_deadline(lapic->host_deadline);
	lapic->swapped = false;
	lapic->tsc_deadline = deadline;
	lapic->deadline = deadline;
}

bool deadline_took(struct df_vcpu *vcpu)
{
	if (!vcpu->lapic.swapped ||
	    (vmcs_read(VM_EXIT_INTR_INFO) & INTR_INFO_VECTOR_MASK) != LOCAL_TIMER_VECTOR)
		return false;
	write_apic(APIC_EOI, 0);
	timer_deliver(vcpu);
	return true;
}
