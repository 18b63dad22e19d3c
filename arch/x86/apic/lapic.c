// SPDX-License-Identifier: GPL-2.0-only
#include "x86.h"

#define VERSION		(0x14 | (LVT_ENTRIES - 1) << 16)
#define LVT_ENTRIES	6

#define BIT_OF(reg)	BIT_ULL((reg) >> 4)
#define EIGHT_OF(reg)	(GENMASK_ULL(7, 0) << ((reg) >> 4))

/* Registers that can be read: in both modes, and those of xAPIC mode alone. */
#define LVTS		(BIT_OF(APIC_LVTT) | BIT_OF(APIC_LVTTHMR) | BIT_OF(APIC_LVTPC) |	\
			 BIT_OF(APIC_LVT0) | BIT_OF(APIC_LVT1) | BIT_OF(APIC_LVTERR))
#define READABLE	(BIT_OF(APIC_ID) | BIT_OF(APIC_LVR) | BIT_OF(APIC_TASKPRI) |		\
			 BIT_OF(APIC_PROCPRI) | BIT_OF(APIC_LDR) | BIT_OF(APIC_SPIV) |		\
			 EIGHT_OF(APIC_ISR) | EIGHT_OF(APIC_TMR) | EIGHT_OF(APIC_IRR) |		\
			 BIT_OF(APIC_ESR) | BIT_OF(APIC_ICR) | LVTS | BIT_OF(APIC_TMICT) |	\
			 BIT_OF(APIC_TMCCT) | BIT_OF(APIC_TDCR))
#define XAPIC_ONLY	(BIT_OF(APIC_ARBPRI) | BIT_OF(APIC_DFR) | BIT_OF(APIC_ICR2))

#define LVT_MASK	(APIC_LVT_MASKED | APIC_VECTOR_MASK)
#define LINT_MASK	(LVT_MASK | APIC_MODE_MASK | APIC_INPUT_POLARITY | APIC_LVT_LEVEL_TRIGGER)

static bool is_readable(unsigned int reg, bool x2apic)
{
	u64 readable = READABLE | (x2apic ? 0 : XAPIC_ONLY);

	return reg < KVM_APIC_REG_SIZE && !(reg & 15) && readable & BIT_OF(reg);
}

static bool is_lvt(unsigned int reg)
{
	return reg < KVM_APIC_REG_SIZE && LVTS & BIT_OF(reg);
}

void lapic_bitmap_init(unsigned long *bitmap)
{
	for (unsigned int reg = 0; reg < KVM_APIC_REG_SIZE; reg += 0x10)
		if (is_readable(reg, true) && reg != APIC_TMCCT)
			__clear_bit(LAPIC_MSR(reg), bitmap);
	/* What the CPU does with these writes is all that there is to do. */
	__clear_bit(LAPIC_MSR(APIC_TASKPRI) + 2 * 8192, bitmap);
	__clear_bit(LAPIC_MSR(APIC_EOI) + 2 * 8192, bitmap);
	__clear_bit(LAPIC_MSR(APIC_SELF_IPI) + 2 * 8192, bitmap);
}

/* ---- identity and mode --------------------------------------------------------------- */

static void set_id(struct df_vcpu *vcpu)
{
	if (!lapic_is_x2apic(vcpu)) {
		lapic_put(vcpu, APIC_ID, vcpu->id << 24);
		return;
	}
	lapic_put(vcpu, APIC_ID, vcpu->id);
	lapic_put(vcpu, APIC_LDR, vcpu->id >> 4 << 16 | BIT(vcpu->id & 15));
}

/* Who is reached by what has changed. */
static void changed(struct df_vcpu *vcpu)
{
	set_bit(DF_REQ_EOI, &vcpu->requests);
	ipi_publish(vcpu);
}

int lapic_set_base(struct df_vcpu *vcpu, u64 value, bool host)
{
	u64 old = vcpu->apic_base, mode = MSR_IA32_APICBASE_ENABLE | X2APIC_ENABLE;
	u64 reserved = ~GENMASK_ULL(boot_cpu_data.x86_phys_bits - 1, 0) | 0x2ff;

	if (!cpuid_has(vcpu, 1, 0, CPUID_ECX, 21))
		reserved |= X2APIC_ENABLE;
	if (value & reserved || (value & mode) == X2APIC_ENABLE)
		return -EINVAL;
	/* Out of x2APIC mode, and into it, there is one way each. */
	if (!host && old & X2APIC_ENABLE && (value & mode) == MSR_IA32_APICBASE_ENABLE)
		return -EINVAL;
	if (!host && !(old & MSR_IA32_APICBASE_ENABLE) && value & X2APIC_ENABLE)
		return -EINVAL;

	WRITE_ONCE(vcpu->apic_base, value);
	if (!lapic_is_here(vcpu) || !((old ^ value) & ~(u64)MSR_IA32_APICBASE_BSP))
		return 0;
	if ((old ^ value) & mode && value & MSR_IA32_APICBASE_ENABLE)
		set_id(vcpu);
	if (!(value & MSR_IA32_APICBASE_ENABLE))
		timer_reset(vcpu);
	vcpu->dirty |= DF_DIRTY_APIC_MODE;
	changed(vcpu);
	return 0;
}

void lapic_reset(struct df_vcpu *vcpu)
{
	memset(vcpu->lapic.page->regs, 0, sizeof(vcpu->lapic.page->regs));
	set_id(vcpu);
	lapic_put(vcpu, APIC_LVR, VERSION);
	lapic_put(vcpu, APIC_DFR, ~0);
	lapic_put(vcpu, APIC_SPIV, 0xff);
	for (unsigned int reg = APIC_LVTT; reg <= APIC_LVTERR; reg += 0x10)
		lapic_put(vcpu, reg, APIC_LVT_MASKED);
	/* The firmware's virtual wire, which a boot processor finds. */
	if (vcpu->apic_base & MSR_IA32_APICBASE_BSP)
		lapic_put(vcpu, APIC_LVT0, APIC_MODE_EXTINT << 8);
	vcpu->lapic.errors = 0;
	vcpu->lapic.posts = false;
	timer_reset(vcpu);
	vcpu->dirty |= DF_DIRTY_APIC | DF_DIRTY_APIC_MODE;
	changed(vcpu);
	/* Now that nobody posts any more. */
	posted_clear(vcpu);
}

int lapic_create(struct df_vcpu *vcpu)
{
	vcpu->lapic.page = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!vcpu->lapic.page)
		return -ENOMEM;
	vcpu->lapic.pi = exitless_descriptor(vcpu) ?: &vcpu->lapic.page->pi;
	vcpu->lapic.pi->nv = POSTED_INTR_VECTOR;
	lapic_reset(vcpu);
	return ipi_create(vcpu);
}

/* ---- registers ------------------------------------------------------------------------ */

/* As the guest sees it: 0, or -EINVAL if there is none, or it cannot be read. */
static int read_register(struct df_vcpu *vcpu, unsigned int reg, u32 *value)
{
	if (!is_readable(reg, lapic_is_x2apic(vcpu)))
		return -EINVAL;
	switch (reg) {
	case APIC_TMCCT:
		*value = timer_count(vcpu);
		break;
	case APIC_ARBPRI:
	case APIC_PROCPRI:
		*value = posted_priority(vcpu);
		break;
	default:
		*value = lapic_get(vcpu, reg);
		break;
	}
	return 0;
}

/* As after an interrupt's end in hardware; which one it was is told to whoever asked. */
static void end_interrupt(struct df_vcpu *vcpu)
{
	int vector = posted_highest(vcpu, APIC_ISR);

	if (vector < 0)
		return;
	__clear_bit(vector & 31, lapic_word(vcpu, APIC_ISR, vector));
	vcpu->dirty |= DF_DIRTY_APIC;
	if (test_bit(vector, (unsigned long *)vcpu->lapic.eoi_exits))
		delivery_end(vcpu, vector);
}

void lapic_error(struct df_vcpu *vcpu, u32 bit)
{
	u32 lvt = lapic_get(vcpu, APIC_LVTERR);
	u8 vector = lvt & APIC_VECTOR_MASK;

	vcpu->lapic.errors |= bit;
	if (!(lvt & APIC_LVT_MASKED) && vector >= LAPIC_FIRST_VECTOR)
		posted_self(vcpu, vector);
}

static u32 lvt_mask(const struct df_vcpu *vcpu, unsigned int reg)
{
	switch (reg) {
	case APIC_LVTT:		return LVT_MASK | timer_modes(vcpu);
	case APIC_LVT0:
	case APIC_LVT1:		return LINT_MASK;
	case APIC_LVTERR:	return LVT_MASK;
	default:		return LVT_MASK | APIC_MODE_MASK;
	}
}

static void write_lvt(struct df_vcpu *vcpu, unsigned int reg, u32 value)
{
	value &= lvt_mask(vcpu, reg);
	if (!(lapic_get(vcpu, APIC_SPIV) & APIC_SPIV_APIC_ENABLED))
		value |= APIC_LVT_MASKED;
	lapic_put(vcpu, reg, value);
	if (reg != APIC_LVTT)
		return;
	/* Who writes it may know nothing of that: the next kernel, after kexec. */
	vcpu->lapic.posts = false;
	timer_mode_written(vcpu);
}

/* Software-disabled: nothing but NMI, INIT and SIPI comes in, and all LVTs are masked. */
static void write_spiv(struct df_vcpu *vcpu, u32 value)
{
	lapic_put(vcpu, APIC_SPIV, value & (APIC_VECTOR_MASK | APIC_SPIV_APIC_ENABLED |
					    APIC_SPIV_FOCUS_DISABLED));
	ipi_publish(vcpu);
	if (value & APIC_SPIV_APIC_ENABLED)
		return;
	for (unsigned int reg = APIC_LVTT; reg <= APIC_LVTERR; reg += 0x10)
		lapic_put(vcpu, reg, lapic_get(vcpu, reg) | APIC_LVT_MASKED);
}

static int write_icr(struct df_vcpu *vcpu, u32 icr)
{
	icr &= ~(u32)APIC_ICR_BUSY;
	lapic_put(vcpu, APIC_ICR, icr);
	delivery_icr(vcpu, lapic_icr_destination(vcpu), icr);
	delivery_wake(vcpu);
	return 0;
}

/* What is not as in xAPIC mode: -EINVAL for what a WRMSR must not write. */
static int check_x2apic(unsigned int reg, u32 value)
{
	switch (reg) {
	case APIC_SELF_IPI:
		return value & ~(u32)APIC_VECTOR_MASK ? -EINVAL : 0;
	case APIC_EOI:
	case APIC_ESR:
		return value ? -EINVAL : 0;
	case APIC_ID:
	case APIC_LDR:
	case APIC_DFR:
	case APIC_ICR2:
		return -EINVAL;
	default:
		return 0;
	}
}

/* Read-only registers take no harm from an xAPIC write, and are #GP as MSRs. */
int lapic_write(struct df_vcpu *vcpu, unsigned int reg, u32 value)
{
	bool x2apic = lapic_is_x2apic(vcpu);

	if (x2apic && check_x2apic(reg, value))
		return -EINVAL;
	switch (reg) {
	case APIC_ID:
		set_id(vcpu);	/* the CPU has put the guest's idea of it there */
		break;
	case APIC_TASKPRI:
		lapic_put(vcpu, APIC_TASKPRI, value & 0xff);
		vcpu->dirty |= DF_DIRTY_APIC;
		break;
	case APIC_EOI:
		end_interrupt(vcpu);
		break;
	case APIC_LDR:
		lapic_put(vcpu, APIC_LDR, value & APIC_LDR_MASK);
		changed(vcpu);
		break;
	case APIC_DFR:
		lapic_put(vcpu, APIC_DFR, value | 0x0fffffff);
		changed(vcpu);
		break;
	case APIC_SPIV:
		write_spiv(vcpu, value);
		break;
	case APIC_ESR:
		lapic_put(vcpu, APIC_ESR, vcpu->lapic.errors);
		vcpu->lapic.errors = 0;
		break;
	case APIC_ICR:
		return write_icr(vcpu, value);
	case APIC_ICR2:
		lapic_put(vcpu, APIC_ICR2, value & 0xff000000);
		break;
	case APIC_SELF_IPI:
		if (!x2apic)
			return -EINVAL;
		delivery_icr(vcpu, 0, APIC_DEST_SELF | value);
		break;
	case APIC_TMICT:
		timer_count_written(vcpu, value);
		break;
	case APIC_TDCR:
		timer_divide_written(vcpu, value & 0xb);
		break;
	default:
		if (!is_lvt(reg))
			return -EINVAL;
		write_lvt(vcpu, reg, value);
	}
	return 0;
}

int lapic_read_msr(struct df_vcpu *vcpu, u32 index, u64 *value)
{
	unsigned int reg = (index - APIC_BASE_MSR) << 4;
	u32 low;

	if (!lapic_is_here(vcpu) || !lapic_is_x2apic(vcpu) || read_register(vcpu, reg, &low))
		return -EINVAL;
	*value = low;
	if (reg == APIC_ICR)
		*value |= (u64)lapic_get(vcpu, APIC_ICR + 4) << 32;
	return 0;
}

#define ICR_RESERVED	(GENMASK_ULL(31, 20) | GENMASK_ULL(17, 16) | BIT_ULL(13))

int lapic_write_msr(struct df_vcpu *vcpu, u32 index, u64 value)
{
	if (!lapic_is_here(vcpu) || !lapic_is_x2apic(vcpu))
		return -EINVAL;
	if (index != LAPIC_MSR(APIC_ICR))
		return value >> 32 ? -EINVAL :
				     lapic_write(vcpu, (index - APIC_BASE_MSR) << 4, value);
	if (value & ICR_RESERVED)
		return -EINVAL;
	lapic_put(vcpu, APIC_ICR + 4, value >> 32);
	return write_icr(vcpu, value);
}

int lapic_icr_inner(struct df_vcpu *vcpu, u64 value)
{
	int ret;

	if (!lapic_is_here(vcpu) || !lapic_is_x2apic(vcpu) || value & ICR_RESERVED)
		return DF_TO_MIDDLE;
	ret = delivery_icr_inner(vcpu, value >> 32, value);
	if (ret == DF_TO_MIDDLE)
		return ret;
	lapic_put(vcpu, APIC_ICR, (u32)value & ~(u32)APIC_ICR_BUSY);
	lapic_put(vcpu, APIC_ICR + 4, value >> 32);
	if (ret == DF_RESUME)
		return run_finish_posted(vcpu);
	return run_finish_and(vcpu, ret);
}

/* What is no aligned word of a register reads as 0 and takes no write. */
bool lapic_access(struct df_vcpu *vcpu, u64 gpa, void *data, unsigned int len, bool write)
{
	unsigned int reg = offset_in_page(gpa) & ~15;
	u32 value = 0;

	if (!lapic_is_here(vcpu) || !lapic_is_enabled(vcpu) || lapic_is_x2apic(vcpu) ||
	    (gpa ^ vcpu->apic_base) >> PAGE_SHIFT)
		return false;
	if (write) {
		memcpy(&value, data, min_t(size_t, len, sizeof(value)));
		if (len == sizeof(value) && !(gpa & 15))
			lapic_write(vcpu, reg, value);
		return true;
	}
	read_register(vcpu, reg, &value);
	memset(data, 0, len);
	if ((gpa & 15) < sizeof(value))
		memcpy(data, (u8 *)&value + (gpa & 3),
		       min_t(size_t, len, sizeof(value) - (gpa & 3)));
	return true;
}

/* ---- what user space sees -------------------------------------------------------------- */

/*
 * KVM's structure has an ID of 8 bits where an xAPIC has it, unless user space
 * asked for the x2APIC's, and the ICR in two halves.
 */
static bool has_short_id(const struct df_vcpu *vcpu)
{
	return lapic_is_x2apic(vcpu) &&
	       !(READ_ONCE(vcpu->vm->arch.x2apic_api) & KVM_X2APIC_API_USE_32BIT_IDS);
}

int lapic_get_state(struct df_vcpu *vcpu, void *arg)
{
	struct kvm_lapic_state *state = arg;
	u32 *regs = (u32 *)state->regs;

	if (!lapic_is_here(vcpu))
		return -EINVAL;
	timer_check(vcpu);
	posted_fold(vcpu);
	memcpy(state->regs, vcpu->lapic.page->regs, sizeof(state->regs));
	regs[APIC_TMCCT / 4] = timer_count(vcpu);
	regs[APIC_PROCPRI / 4] = posted_priority(vcpu);
	if (has_short_id(vcpu))
		regs[APIC_ID / 4] <<= 24;
	if (lapic_is_x2apic(vcpu)) {
		regs[APIC_ICR2 / 4] = regs[APIC_ICR / 4 + 1];
		regs[APIC_ICR / 4 + 1] = 0;
	}
	return 0;
}

/* The values are the guest's own, or as good: each is written as a guest writes it. */
static void sanitize(struct df_vcpu *vcpu)
{
	set_id(vcpu);
	lapic_put(vcpu, APIC_LVR, VERSION);
	lapic_put(vcpu, APIC_TASKPRI, lapic_get(vcpu, APIC_TASKPRI) & 0xff);
	lapic_put(vcpu, APIC_DFR, lapic_get(vcpu, APIC_DFR) | 0x0fffffff);
	lapic_put(vcpu, APIC_SPIV, lapic_get(vcpu, APIC_SPIV) & 0x3ff);
	lapic_put(vcpu, APIC_TDCR, lapic_get(vcpu, APIC_TDCR) & 0xb);
	for (unsigned int reg = APIC_LVTT; reg <= APIC_LVTERR; reg += 0x10)
		lapic_put(vcpu, reg, lapic_get(vcpu, reg) & lvt_mask(vcpu, reg));
}

int lapic_set_state(struct df_vcpu *vcpu, void *arg)
{
	const struct kvm_lapic_state *state = arg;
	const u32 *regs = (const u32 *)state->regs;

	if (!lapic_is_here(vcpu))
		return -EINVAL;
	/* It cannot be changed; who knows 8 bits of it is not told so. */
	if (lapic_is_x2apic(vcpu) && !has_short_id(vcpu) && regs[APIC_ID / 4] != vcpu->id)
		return -EINVAL;

	posted_clear(vcpu);
	memcpy(vcpu->lapic.page->regs, state->regs, sizeof(state->regs));
	sanitize(vcpu);
	if (lapic_is_x2apic(vcpu)) {
		lapic_put(vcpu, APIC_ICR + 4, regs[APIC_ICR2 / 4]);
		lapic_put(vcpu, APIC_ICR2, 0);
	}
	vcpu->lapic.errors = 0;
	timer_restore(vcpu, regs[APIC_TMCCT / 4]);
	vcpu->dirty |= DF_DIRTY_APIC;
	changed(vcpu);
	return 0;
}
