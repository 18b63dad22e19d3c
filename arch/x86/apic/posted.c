// SPDX-License-Identifier: GPL-2.0-only
#include <asm/apic.h>
#include <trace/events/ipi.h>

#include "x86.h"

void posted_clear(struct df_vcpu *vcpu)
{
	struct pi_desc *pi = vcpu->lapic.pi;

	pi_clear_on(pi);
	for (int i = 0; i < ARRAY_SIZE(pi->pir64); i++)
		xchg(&pi->pir64[i], 0);
}

void posted_notify_by(struct df_vcpu *vcpu, u8 vector, int cpu)
{
	struct pi_desc *pi = vcpu->lapic.pi;
	u32 id = cpu_physical_id(cpu);
	struct pi_desc new;
	u64 old;

	/* Nobody reads it, and the guest could write it as fast as this. */
	if (vcpu->vm->arch.area)
		return;
	old = READ_ONCE(pi->control);
	do {
		/* ON, which anybody may set meanwhile, is in the same 64 bits. */
		new.control = old;
		new.nv = vector;
		new.ndst = x2apic_mode ? id : id << 8;
	} while (!try_cmpxchg64(&pi->control, &old, new.control));
}

/*
 * Not to its own CPU: whoever is on that one, while it says that it is in the
 * guest, is the vCPU itself or interrupts it, and it looks at ON on its way back.
 */
static void interrupt(const struct df_vcpu *vcpu)
{
	int cpu = READ_ONCE(vcpu->cpu);

	if (cpu >= 0 && cpu != raw_smp_processor_id())
		__apic_send_IPI_mask(cpumask_of(cpu), POSTED_INTR_VECTOR);
}

bool posted_send(struct df_vcpu *vcpu, u8 vector)
{
	struct pi_desc *pi = vcpu->lapic.pi;

	/* Whoever was first has told the vCPU, or is about to; or it is the guest's timer's. */
	if (pi_test_and_set_pir(vector, pi) || pi_test_and_set_on(pi))
		return false;
	/* A full barrier; pairs with those of run.c's inner_ring() and of halt_wait(). */
	if (READ_ONCE(vcpu->where) == DF_IN_GUEST) {
		interrupt(vcpu);
		return false;
	}
	return rcuwait_active(&vcpu->wait);
}

void posted_wake(struct df_vcpu *vcpu)
{
	rcuwait_wake_up(&vcpu->wait);
}

void posted_notify(struct df_vcpu *vcpu)
{
	if (READ_ONCE(vcpu->where) == DF_IN_GUEST)
		interrupt(vcpu);
	else
		posted_wake(vcpu);
}

void posted_request(struct df_vcpu *vcpu, int request)
{
	int cpu;

	/* So that the CPU is still there when it is told. */
	guard(preempt)();
	set_bit(request, &vcpu->requests);
	/* A full barrier; pairs as in posted_send(). The first to see it in the guest sends. */
	if (cmpxchg(&vcpu->where, DF_IN_GUEST, DF_KICKED) != DF_IN_GUEST) {
		posted_wake(vcpu);
		return;
	}
	cpu = READ_ONCE(vcpu->cpu);
	if (cpu >= 0 && cpu != raw_smp_processor_id())
		smp_send_reschedule(cpu);
}

/* Returns the highest, or -1: whoever set ON may have set no bit that was not set. */
static int fold(struct df_vcpu *vcpu)
{
	struct pi_desc *pi = vcpu->lapic.pi;
	int highest = -1;

	pi_clear_on(pi);
	/* Before PIR is read: what is posted behind that sets ON again. */
	smp_mb__after_atomic();
	for (int i = 0; i < ARRAY_SIZE(pi->pir64); i++) {
		u64 bits = READ_ONCE(pi->pir64[i]);

		if (!bits)
			continue;
		bits = xchg(&pi->pir64[i], 0);
		highest = i * 64 + __fls(bits);
		*lapic_reg(vcpu, APIC_IRR + i * 0x20) |= (u32)bits;
		*lapic_reg(vcpu, APIC_IRR + i * 0x20 + 0x10) |= bits >> 32;
	}
	return highest;
}

void posted_fold(struct df_vcpu *vcpu)
{
	if (!posted_pending(vcpu))
		return;
	fold(vcpu);
	vcpu->dirty |= DF_DIRTY_APIC;
}

void posted_enter(struct df_vcpu *vcpu)
{
	int highest = fold(vcpu);
	u16 status = vmcs_read(GUEST_INTR_STATUS);

	if ((u8)status < highest)
		vmcs_write(GUEST_INTR_STATUS, (status & 0xff00) | highest);
}

int posted_highest(const struct df_vcpu *vcpu, unsigned int first)
{
	for (int i = 7; i >= 0; i--) {
		u32 bits = lapic_get(vcpu, first + i * 0x10);

		if (bits)
			return i * 32 + __fls(bits);
	}
	return -1;
}

u8 posted_priority(const struct df_vcpu *vcpu)
{
	int serviced = max(posted_highest(vcpu, APIC_ISR), 0) & 0xf0;
	int tpr = lapic_get(vcpu, APIC_TASKPRI);

	return max(tpr, serviced);
}

bool posted_deliverable(struct df_vcpu *vcpu)
{
	posted_fold(vcpu);
	return posted_highest(vcpu, APIC_IRR) >> 4 > posted_priority(vcpu) >> 4;
}

void posted_write_status(const struct df_vcpu *vcpu)
{
	u8 rvi = debug_blocks_interrupts(vcpu) ? 0 : max(posted_highest(vcpu, APIC_IRR), 0);
	u8 svi = max(posted_highest(vcpu, APIC_ISR), 0);

	vmcs_write(GUEST_INTR_STATUS, svi << 8 | rvi);
}
