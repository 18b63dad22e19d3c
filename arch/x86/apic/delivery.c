// SPDX-License-Identifier: GPL-2.0-only
#include "x86.h"

#define XAPIC_BROADCAST		0xff
#define X2APIC_BROADCAST	0xffffffff

/**
 * struct irq - an interrupt on its way
 * @set: whom it is for, or NULL
 * @dest: likewise, then
 * @mode: APIC_DM_*
 * @shorthand: APIC_DEST_*, or 0
 * @vector: which
 * @logical: @dest is a set
 * @level: it has to be ended by an EOI that is told
 * @assert: false only for the INIT that nobody heeds any more
 * @message: it comes from a device
 * @wake: collects the vCPUs that may be waiting, by their place in the VM
 */
struct irq {
	const struct delivery_set *set;
	u32 dest, mode, shorthand;
	u8 vector;
	bool logical, level, assert, message;
	u64 wake;
};

/* ---- who is meant ----------------------------------------------------------------------- */

struct df_vcpu *delivery_find(const struct df_vm *vm, u32 apic_id)
{
	struct df_vcpu *vcpu;

	/* Most VMMs number them from 0 on. */
	if (apic_id < DF_MAX_VCPUS) {
		vcpu = df_vm_vcpu(vm, array_index_nospec(apic_id, DF_MAX_VCPUS));
		if (vcpu && vcpu->id == apic_id)
			return vcpu;
	}
	for_each_df_vcpu(n, vcpu, vm)
		if (vcpu->id == apic_id)
			return vcpu;
	return NULL;
}

/* KVM's quirk, without which a message of 8 bits reaches everybody in no mode but one. */
static bool is_broadcast(const struct df_vcpu *target, const struct irq *irq)
{
	if (!lapic_is_x2apic(target))
		return irq->dest == XAPIC_BROADCAST;
	if (irq->message && irq->dest == XAPIC_BROADCAST)
		return !(READ_ONCE(target->vm->arch.x2apic_api) &
			 KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK);
	return irq->dest == X2APIC_BROADCAST;
}

/* Without x2APIC a CPU has 8 bits; one whose number has more can be reached to be woken. */
static u32 id_of(const struct df_vcpu *target)
{
	if (lapic_is_x2apic(target) || target->id > 0xff)
		return target->id;
	return lapic_get(target, APIC_ID) >> 24;
}

static bool has_bit(const struct delivery_set *set, u32 id)
{
	u32 bit = id - set->first;

	return id >= set->first && bit < 128 && set->mask[bit / 64] & BIT_ULL(bit % 64);
}

static bool is_in_set(const struct df_vcpu *vcpu, u32 dest)
{
	u32 ldr = lapic_get(vcpu, APIC_LDR);

	if (lapic_is_x2apic(vcpu))
		return ldr >> 16 == dest >> 16 && ldr & dest & 0xffff;
	ldr >>= 24;
	if (lapic_get(vcpu, APIC_DFR) == APIC_DFR_FLAT)
		return ldr & dest;
	return ldr >> 4 == (dest & 0xff) >> 4 && ldr & dest & 0xf;
}

static bool is_target(const struct df_vcpu *target, const struct df_vcpu *sender,
		      const struct irq *irq)
{
	if (!lapic_is_here(target) || !lapic_is_enabled(target))
		return false;
	if (irq->set)
		return has_bit(irq->set, id_of(target));
	switch (irq->shorthand) {
	case APIC_DEST_SELF:
		return target == sender;
	case APIC_DEST_ALLINC:
		return true;
	case APIC_DEST_ALLBUT:
		return target != sender;
	default:
		return is_broadcast(target, irq) || (irq->logical ? is_in_set(target, irq->dest) :
								    irq->dest == id_of(target));
	}
}

/* ---- what it does there ------------------------------------------------------------------ */

static bool accept_vector(struct df_vcpu *target, struct irq *irq, unsigned int n)
{
	unsigned long *tmr = lapic_word(target, APIC_TMR, irq->vector);

	if (irq->vector < LAPIC_FIRST_VECTOR ||
	    !(lapic_get(target, APIC_SPIV) & APIC_SPIV_APIC_ENABLED))
		return false;
	if (irq->level)
		set_bit(irq->vector & 31, tmr);
	else if (unlikely(test_bit(irq->vector & 31, tmr)))
		clear_bit(irq->vector & 31, tmr);
	if (posted_send(target, irq->vector))
		irq->wake |= BIT_ULL(n);
	return true;
}

/* The rest is rare, and leaves the guest. */
static bool accept(struct df_vcpu *target, struct irq *irq, unsigned int n)
{
	switch (irq->mode) {
	case APIC_DM_FIXED:
	case APIC_DM_LOWEST:
		return accept_vector(target, irq, n);
	case APIC_DM_NMI:
		posted_request(target, DF_REQ_NMI);
		return true;
	case APIC_DM_INIT:
		if (!irq->assert)
			return false;
		clear_bit(DF_REQ_SIPI, &target->requests);
		posted_request(target, DF_REQ_INIT);
		return true;
	case APIC_DM_STARTUP:
		WRITE_ONCE(target->sipi_vector, irq->vector);
		posted_request(target, DF_REQ_SIPI);
		return true;
	default:	/* no SMM, no PIC of ours, and nothing to read remotely */
		return false;
	}
}

/* One of those that could take it, by its vector, as KVM does it. */
static int deliver_to_one(struct df_vm *vm, const struct df_vcpu *sender, struct irq *irq)
{
	struct df_vcpu *target;
	u64 able = 0;

	for_each_df_vcpu(n, target, vm)
		if (is_target(target, sender, irq) &&
		    lapic_get(target, APIC_SPIV) & APIC_SPIV_APIC_ENABLED)
			able |= BIT_ULL(n);
	if (!able)
		return 0;
	for (unsigned int skip = irq->vector % hweight64(able); skip; skip--)
		able &= able - 1;
	return accept(df_vm_vcpu(vm, __ffs64(able)), irq, __ffs64(able));
}

/* Inlined, so that the calls are direct. */
static __always_inline int deliver_by(struct df_vm *vm, const struct df_vcpu *sender,
				      struct irq *irq,
				      bool (*accept)(struct df_vcpu *, struct irq *, unsigned int))
{
	struct df_vcpu *target;
	int taken = 0;

	for_each_df_vcpu(n, target, vm)
		if (is_target(target, sender, irq))
			taken += accept(target, irq, n);
	return taken;
}

static int deliver(struct df_vm *vm, const struct df_vcpu *sender, struct irq *irq)
{
	if (irq->mode == APIC_DM_LOWEST && !irq->shorthand)
		return deliver_to_one(vm, sender, irq);
	return deliver_by(vm, sender, irq, accept);
}

static void wake(struct df_vm *vm, u64 who)
{
	for (; who; who &= who - 1)
		posted_wake(df_vm_vcpu(vm, __ffs64(who)));
}

/* ---- from where it comes ------------------------------------------------------------------ */

static struct irq icr_irq(u32 dest, u32 icr)
{
	return (struct irq){
		.dest		= dest,
		.mode		= icr & APIC_MODE_MASK,
		.shorthand	= icr & APIC_DEST_ALLBUT,
		.vector		= icr & APIC_VECTOR_MASK,
		.logical	= icr & APIC_DEST_LOGICAL,
		/* De-asserted INITs are what these two bits are for. */
		.assert		= !(icr & APIC_INT_LEVELTRIG) || icr & APIC_INT_ASSERT,
	};
}

void delivery_icr(struct df_vcpu *vcpu, u32 dest, u32 icr)
{
	struct irq irq = icr_irq(dest, icr);

	if ((irq.mode == APIC_DM_FIXED || irq.mode == APIC_DM_LOWEST) &&
	    irq.vector < LAPIC_FIRST_VECTOR)
		lapic_error(vcpu, APIC_ESR_SENDILL);
	else
		deliver(vcpu->vm, vcpu, &irq);
	vcpu->lapic.to_wake |= irq.wake;
}

void delivery_wake(struct df_vcpu *vcpu)
{
	u64 who = vcpu->lapic.to_wake;

	vcpu->lapic.to_wake = 0;
	wake(vcpu->vm, who);
}

int delivery_to_set(struct df_vcpu *vcpu, const struct delivery_set *set, u32 icr)
{
	struct irq irq = icr_irq(0, icr);
	int taken;

	irq.set = set;
	taken = deliver_by(vcpu->vm, vcpu, &irq, accept);
	vcpu->lapic.to_wake |= irq.wake;
	return taken;
}

/* A message has a destination of 8 bits, and of 32 where user space said so. */
static struct irq message_irq(const struct df_vm *vm, const struct msi_msg *msi)
{
	u32 lo = msi->address_lo, dest = lo >> 12 & 0xff;

	if (READ_ONCE(vm->arch.x2apic_api) & KVM_X2APIC_API_USE_32BIT_IDS)
		dest |= msi->address_hi & 0xffffff00;
	return (struct irq){
		.dest		= dest,
		.mode		= msi->data & APIC_MODE_MASK,
		.vector		= msi->data & APIC_VECTOR_MASK,
		.logical	= lo & BIT(2),
		.level		= msi->data & APIC_INT_LEVELTRIG,
		.assert		= true,
		.message	= true,
	};
}

int df_arch_msi(struct df_vm *vm, const struct msi_msg *msi)
{
	struct irq irq = message_irq(vm, msi);
	int taken;

	/* The redirection hint: one of several. */
	if (msi->address_lo & BIT(3) && irq.mode == APIC_DM_FIXED)
		irq.mode = APIC_DM_LOWEST;
	taken = deliver(vm, NULL, &irq);
	wake(vm, irq.wake);
	return taken;
}

bool df_arch_msi_valid(const struct df_vm *vm, const struct msi_msg *msi)
{
	return !(READ_ONCE(vm->arch.x2apic_api) & KVM_X2APIC_API_USE_32BIT_IDS) ||
	       !(msi->address_hi & 0xff);
}

bool df_arch_msi_level(const struct msi_msg *msi)
{
	return msi->data & APIC_INT_LEVELTRIG;
}

int df_arch_msi_vector(const struct df_vcpu *vcpu, const struct msi_msg *msi)
{
	struct irq irq = message_irq(vcpu->vm, msi);

	return is_target(vcpu, NULL, &irq) ? irq.vector : -ENOENT;
}

struct df_vcpu *delivery_single(const struct df_vm *vm, const struct msi_msg *msi)
{
	struct irq irq = message_irq(vm, msi);
	struct df_vcpu *target, *single = NULL;

	if ((irq.mode != APIC_DM_FIXED && irq.mode != APIC_DM_LOWEST) || irq.level ||
	    irq.vector < LAPIC_FIRST_VECTOR)
		return NULL;
	for_each_df_vcpu(n, target, vm) {
		if (!is_target(target, NULL, &irq))
			continue;
		if (single || !(lapic_get(target, APIC_SPIV) & APIC_SPIV_APIC_ENABLED))
			return NULL;
		single = target;
	}
	return single;
}

/* ---- in the inner ring ------------------------------------------------------------------ */

int delivery_icr_inner(struct df_vcpu *vcpu, u32 dest, u32 icr)
{
	struct irq irq = icr_irq(dest, icr);

	/* Others are not posted, but asked for. */
	if (irq.mode != APIC_DM_FIXED || irq.vector < LAPIC_FIRST_VECTOR)
		return DF_TO_MIDDLE;
	deliver_by(vcpu->vm, vcpu, &irq, accept_vector);
	vcpu->lapic.to_wake |= irq.wake;
	return irq.wake ? DF_TO_WAKE : DF_RESUME;
}

int delivery_to_set_inner(struct df_vcpu *vcpu, const struct delivery_set *set, u32 icr)
{
	struct irq irq = icr_irq(0, icr);
	int taken;

	if (irq.mode != APIC_DM_FIXED)
		return -EAGAIN;
	irq.set = set;
	taken = deliver_by(vcpu->vm, vcpu, &irq, accept_vector);
	vcpu->lapic.to_wake |= irq.wake;
	return taken;
}

/* ---- EOI ----------------------------------------------------------------------------------- */

void delivery_find_ends(struct df_vcpu *vcpu)
{
	u64 *exits = vcpu->lapic.eoi_exits;

	/* One that has come is ended, whatever is said of its vector now. */
	posted_fold(vcpu);
	for (int i = 0; i < ARRAY_SIZE(vcpu->lapic.eoi_exits); i++) {
		unsigned int reg = i * 0x20;

		exits[i] &= posted_pair(vcpu, APIC_IRR + reg) | posted_pair(vcpu, APIC_ISR + reg);
	}
	df_irq_eoi_vectors(vcpu, (unsigned long *)exits);
	vcpu->dirty |= DF_DIRTY_EOI;
}

void delivery_end(struct df_vcpu *vcpu, u8 vector)
{
	if (!df_irq_eoi(vcpu, vector))
		return;
	vcpu->lapic.eoi_vector = vector;
	set_bit(DF_REQ_EOI_TO_USER, &vcpu->requests);
}

void df_arch_eoi_changed(struct df_vm *vm)
{
	struct df_vcpu *vcpu;

	for_each_df_vcpu(n, vcpu, vm)
		posted_request(vcpu, DF_REQ_EOI);
}
