// SPDX-License-Identifier: GPL-2.0-only
#include <linux/dragonfly_para.h>

#include "x86.h"

#define MAX_MSRS	256	/* in one ioctl, as KVM */
#define MTRR_VARIABLE	8	/* pairs */
#define FEATURE_UCODE	0x100000000ULL

/* McStatusWrEn and TscFreqSel; what turns caches and flushes off, which is not for a guest. */
#define HWCR_KEPT	(BIT_ULL(18) | BIT_ULL(24))
#define HWCR_IGNORED	(BIT_ULL(3) | BIT_ULL(6) | BIT_ULL(8))

/* Where an MSR's value is. */
enum place {
	IN_VMCS,	/* a field: runs with the guest's value */
	SWITCHED,	/* in the CPU between state_guest_in() and _out() */
	STORED,		/* a number that nothing hangs on, or that is looked at elsewhere */
	CONSTANT,	/* reads as this */
	COMPUTED,	/* by a function of its own, in compute_get() and _set() */
};

/* What may be written. */
enum check {
	ANY,
	CANONICAL,	/* an address */
	LOW_HALF,	/* 32 bits */
	MEMORY_TYPES,	/* eight bytes, each a memory type of the PAT */
	MTRR_TYPES,	/* eight bytes, each a memory type of an MTRR */
	NOTHING,	/* only what it has */
	IGNORED,	/* a guest's write does nothing */
	ALL_OR_NONE,	/* switches, all of which are on or off */
	BY_MASK,	/* the bits of @arg2 */
	MTRR,		/* likewise, with a memory type in the low byte */
	MTRR_BASE,	/* likewise, and with the address of a page */
	MTRR_MASK,	/* the bits of @arg2, and the address of a page */
};

#define PASSED	BIT(0)	/* does not exit */
#define LISTED	BIT(1)	/* in KVM_GET_MSR_INDEX_LIST */
#define FEATURE	BIT(2)	/* in KVM_GET_MSR_FEATURE_INDEX_LIST */

/* The feature in CPUID, or the word of user space, without which a guest does not have it. */
enum need {
	NO_NEED, RDTSCP, XSAVES, ARCH_CAPABILITIES, PV_CLOCK, PV_CLOCK2, PV_POLL, PLATFORM, MCG_CTL,
	EXITLESS,
};

struct row {
	u32 index;
	u8 place, check, flags;
	u32 arg;	/* field, number of the switched or stored one */
	u64 arg2;	/* mask or constant */
	u8 need;
};

/* Where a range is, and its type; which bits of an address count, and whether at all. */
#define VARIABLE_MTRR(n)								\
	{ MTRRphysBase_MSR(n), STORED, MTRR_BASE, 0,					\
	  DF_STORED_MTRR_VARIABLE + 2 * (n), 0xff },					\
	{ MTRRphysMask_MSR(n), STORED, MTRR_MASK, 0,					\
	  DF_STORED_MTRR_VARIABLE + 2 * (n) + 1, BIT(11) }

#define FIXED_MTRR(range, n)								\
	{ MSR_MTRRfix##range, STORED, MTRR_TYPES, 0, DF_STORED_MTRR_FIXED + (n) }

/* Each with its reason. */
static const struct row rows[] = {
	{ MSR_IA32_TSC, COMPUTED, ANY, LISTED },
	/* KVM's clock, by its first numbers; the later ones are below. */
	{ MSR_KVM_WALL_CLOCK, COMPUTED, ANY, LISTED, 0, 0, PV_CLOCK },
	{ MSR_KVM_SYSTEM_TIME, COMPUTED, ANY, LISTED, 0, 0, PV_CLOCK },
	/* Where the APIC is, whether, and in which mode. */
	{ MSR_IA32_APICBASE, COMPUTED },
	{ MSR_IA32_TSC_ADJUST, COMPUTED, ANY, LISTED },
	/* Microcode is the host's: loading it does nothing, its revision is user space's to say. */
	{ MSR_IA32_UCODE_WRITE, CONSTANT, IGNORED },
	{ MSR_IA32_UCODE_REV, STORED, IGNORED, LISTED | FEATURE, DF_STORED_UCODE_REV },
	/* CPUID faulting, and a bus ratio of nothing. */
	{ MSR_PLATFORM_INFO, STORED, NOTHING, LISTED, DF_STORED_PLATFORM_INFO, 0, PLATFORM },
	/* Memory types of ranges: kept, and without effect, EPT has the last word. */
	{ MSR_MTRRcap, CONSTANT, NOTHING, 0, 0, 0x500 | MTRR_VARIABLE },
	/* What the CPU is not vulnerable to; the guest's own mitigations hang on it. */
	{ MSR_IA32_ARCH_CAPABILITIES, STORED, NOTHING, LISTED | FEATURE,
	  DF_STORED_ARCH_CAPABILITIES, 0, ARCH_CAPABILITIES },
	{ MSR_MISC_FEATURES_ENABLES, STORED, BY_MASK, LISTED, DF_STORED_MISC_FEATURES,
	  MSR_MISC_FEATURES_ENABLES_CPUID_FAULT },
	/* Every system call of a 32-bit guest. */
	{ MSR_IA32_SYSENTER_CS, IN_VMCS, LOW_HALF, PASSED | LISTED, GUEST_SYSENTER_CS },
	{ MSR_IA32_SYSENTER_ESP, IN_VMCS, CANONICAL, PASSED | LISTED, GUEST_SYSENTER_ESP },
	{ MSR_IA32_SYSENTER_EIP, IN_VMCS, CANONICAL, PASSED | LISTED, GUEST_SYSENTER_EIP },
	/* Machine checks, which user space makes; their banks are in mce.c. */
	{ MSR_IA32_MCG_CAP, COMPUTED, NOTHING },
	{ MSR_IA32_MCG_STATUS, STORED, ANY, LISTED, DF_STORED_MCG_STATUS },
	{ MSR_IA32_MCG_CTL, STORED, ALL_OR_NONE, LISTED, DF_STORED_MCG_CTL, 0, MCG_CTL },
	/* BIOS settings that Linux reads and writes back. */
	{ MSR_IA32_MISC_ENABLE, STORED, ANY, LISTED, DF_STORED_MISC_ENABLE },
	/* Branch tracing: not there; Linux turns it off. */
	{ MSR_IA32_DEBUGCTLMSR, STORED, BY_MASK, LISTED, DF_STORED_DEBUGCTL, 0 },
	{ MSR_IA32_POWER_CTL, STORED, ANY, LISTED, DF_STORED_POWER_CTL },
	/* Memory types again. */
	VARIABLE_MTRR(0), VARIABLE_MTRR(1), VARIABLE_MTRR(2), VARIABLE_MTRR(3),
	VARIABLE_MTRR(4), VARIABLE_MTRR(5), VARIABLE_MTRR(6), VARIABLE_MTRR(7),
	FIXED_MTRR(64K_00000, 0), FIXED_MTRR(16K_80000, 1), FIXED_MTRR(16K_A0000, 2),
	FIXED_MTRR(4K_C0000, 3), FIXED_MTRR(4K_C8000, 4), FIXED_MTRR(4K_D0000, 5),
	FIXED_MTRR(4K_D8000, 6), FIXED_MTRR(4K_E0000, 7), FIXED_MTRR(4K_E8000, 8),
	FIXED_MTRR(4K_F0000, 9), FIXED_MTRR(4K_F8000, 10),
	{ MSR_IA32_CR_PAT, IN_VMCS, MEMORY_TYPES, PASSED | LISTED, GUEST_IA32_PAT },
	{ MSR_MTRRdefType, STORED, MTRR, 0, DF_STORED_MTRR_DEF_TYPE, 0xcff },
	/* The timer of every tick; its write is handled first of all. */
	{ MSR_IA32_TSC_DEADLINE, COMPUTED, ANY, LISTED },
	/* Extended supervisor state: there is none, XSAVES knows only the user's. */
	{ MSR_IA32_XSS, CONSTANT, NOTHING, 0, 0, 0, XSAVES },
	/* Whose interrupt the end of a deadline is: the CPU's, or one that the guest has posted. */
	{ MSR_DRAGONFLY_TIMER, COMPUTED, BY_MASK, 0, 0, DRAGONFLY_TIMER_POSTED, EXITLESS },
	{ MSR_KVM_WALL_CLOCK_NEW, COMPUTED, ANY, LISTED, 0, 0, PV_CLOCK2 },
	{ MSR_KVM_SYSTEM_TIME_NEW, COMPUTED, ANY, LISTED, 0, 0, PV_CLOCK2 },
	/* May the host poll before a vCPU that halts sleeps? It never does. */
	{ MSR_KVM_POLL_CONTROL, STORED, BY_MASK, LISTED, DF_STORED_POLL_CONTROL, 1, PV_POLL },
	/* The mode of the CPU. */
	{ MSR_EFER, COMPUTED },
	/* Where system calls of a 64-bit guest go: its kernel says it once. */
	{ MSR_STAR, SWITCHED, ANY, LISTED, DF_MSR_STAR },
	{ MSR_LSTAR, SWITCHED, CANONICAL, LISTED, DF_MSR_LSTAR },
	/* Of no effect on these CPUs, but Linux sets it. */
	{ MSR_CSTAR, STORED, CANONICAL, LISTED, DF_STORED_CSTAR },
	{ MSR_SYSCALL_MASK, SWITCHED, LOW_HALF, LISTED, DF_MSR_SYSCALL_MASK },
	/* Every context switch, and every way into its kernel. */
	{ MSR_FS_BASE, IN_VMCS, CANONICAL, PASSED, GUEST_FS_BASE },
	{ MSR_GS_BASE, IN_VMCS, CANONICAL, PASSED, GUEST_GS_BASE },
	{ MSR_KERNEL_GS_BASE, SWITCHED, CANONICAL, PASSED | LISTED, DF_MSR_KERNEL_GS_BASE },
	/* RDTSCP and RDPID read it; the host's is its CPU number, so that it is not passed. */
	{ MSR_TSC_AUX, SWITCHED, LOW_HALF, LISTED, DF_MSR_TSC_AUX, 0, RDTSCP },
	/* AMD's, but a guest that came from KVM may have it. */
	{ MSR_K7_HWCR, COMPUTED, BY_MASK, LISTED, 0, HWCR_KEPT | HWCR_IGNORED },
};

/*
 * The row of an MSR, by the last bits of its number, which tell all that there
 * are from each other. What has no row has the first.
 */
static u8 row_of[2][0x1000];

static u8 *slot(u32 index)
{
	return &row_of[index >> 31][index & 0xfff];
}

void msr_init(void)
{
	BUILD_BUG_ON(ARRAY_SIZE(rows) > U8_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		WARN_ON(*slot(rows[i].index));
		*slot(rows[i].index) = i;
	}
}

static const struct row *find(u32 index)
{
	const struct row *row = &rows[*slot(index)];

	return row->index == index ? row : NULL;
}

static u64 *stored(struct df_vcpu *vcpu, const struct row *row)
{
	return &vcpu->stored_msrs[array_index_nospec(row->arg, DF_NR_STORED)];
}

/* Four bitmaps of 8192 bits: reads of low and high MSRs, writes of low and high. */
void msr_bitmap_init(unsigned long *bitmap)
{
	memset(bitmap, 0xff, PAGE_SIZE);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		unsigned int high = rows[i].index >= 0xc0000000 ? 8192 : 0;
		unsigned int bit = (rows[i].index & 0x1fff) + high;

		if (!(rows[i].flags & PASSED))
			continue;
		__clear_bit(bit, bitmap);
		__clear_bit(bit + 2 * 8192, bitmap);
	}
}

/* What guests on this CPU need not defend themselves against. */
static u64 arch_capabilities(void)
{
	u64 mask = ARCH_CAP_RDCL_NO | ARCH_CAP_SKIP_VMENTRY_L1DFLUSH | ARCH_CAP_SSB_NO |
		   ARCH_CAP_MDS_NO | ARCH_CAP_PSCHANGE_MC_NO | ARCH_CAP_TAA_NO |
		   ARCH_CAP_SBDR_SSDP_NO | ARCH_CAP_FBSDP_NO | ARCH_CAP_PSDP_NO |
		   ARCH_CAP_PBRSB_NO | ARCH_CAP_GDS_NO;

	if (!boot_cpu_has(X86_FEATURE_ARCH_CAPABILITIES))
		return 0;
	return read_msr_or_0(MSR_IA32_ARCH_CAPABILITIES) & mask;
}

void msr_reset(struct df_vcpu *vcpu)
{
	memset(vcpu->stored_msrs, 0, sizeof(vcpu->stored_msrs));
	vcpu->stored_msrs[DF_STORED_MISC_ENABLE] = MSR_IA32_MISC_ENABLE_PEBS_UNAVAIL |
						   MSR_IA32_MISC_ENABLE_BTS_UNAVAIL;
	vcpu->stored_msrs[DF_STORED_UCODE_REV] = FEATURE_UCODE;
	vcpu->stored_msrs[DF_STORED_PLATFORM_INFO] = MSR_PLATFORM_INFO_CPUID_FAULT;
	vcpu->stored_msrs[DF_STORED_ARCH_CAPABILITIES] = arch_capabilities();
	vcpu->stored_msrs[DF_STORED_POLL_CONTROL] = 1;
	mce_reset(vcpu);
}

static bool has_need(const struct df_vcpu *vcpu, u8 need)
{
	switch (need) {
	case RDTSCP:
		return cpuid_has(vcpu, 0x80000001, 0, CPUID_EDX, 27) ||
		       cpuid_has(vcpu, 7, 0, CPUID_ECX, 22);
	case XSAVES:
		return cpuid_has(vcpu, 0xd, 1, CPUID_EAX, 3);
	case ARCH_CAPABILITIES:
		return cpuid_has(vcpu, 7, 0, CPUID_EDX, 29);
	case PV_CLOCK:
		return cpuid_pv_has(vcpu, KVM_FEATURE_CLOCKSOURCE);
	case PV_CLOCK2:
		return cpuid_pv_has(vcpu, KVM_FEATURE_CLOCKSOURCE2);
	case PV_POLL:
		return cpuid_pv_has(vcpu, KVM_FEATURE_POLL_CONTROL);
	case PLATFORM:
		return !vcpu->vm->arch.no_platform_info;
	case EXITLESS:
		return vcpu->vm->arch.area;
	case MCG_CTL:
		return vcpu->stored_msrs[DF_STORED_MCG_CAP] & MCG_CTL_P;
	default:
		return true;
	}
}

/* As a guest finds it. */
static const struct row *find_for_guest(const struct df_vcpu *vcpu, u32 index)
{
	const struct row *row = find(index);

	return row && (!row->need || has_need(vcpu, row->need)) ? row : NULL;
}

/* ---- reading and writing one ------------------------------------------------- */

static bool is_memory_type(u8 type, bool pat)
{
	/* UC, WC, WT, WP, WB, and in the PAT also UC-. */
	return type <= 7 && type != 2 && type != 3 && (type != 7 || pat);
}

static bool are_memory_types(u64 value, bool pat)
{
	for (int i = 0; i < 8; i++, value >>= 8)
		if (!is_memory_type(value & 0xff, pat))
			return false;
	return true;
}

static bool may_write(const struct row *row, u64 now, u64 value, bool host)
{
	u64 page = GENMASK_ULL(boot_cpu_data.x86_phys_bits - 1, 12);

	switch (row->check) {
	case CANONICAL:
		return __is_canonical_address(value, boot_cpu_data.x86_virt_bits);
	case LOW_HALF:
		return !(value >> 32);
	case MEMORY_TYPES:
		return are_memory_types(value, true);
	case MTRR_TYPES:
		return are_memory_types(value, false);
	case NOTHING:
		return value == now || (host && row->place == STORED);
	case ALL_OR_NONE:
		return !value || !~value;
	case BY_MASK:
		return !(value & ~row->arg2);
	case MTRR:
		return !(value & ~row->arg2) && is_memory_type(value & 0xff, false);
	case MTRR_BASE:
		return !(value & ~(row->arg2 | page)) && is_memory_type(value & 0xff, false);
	case MTRR_MASK:
		return !(value & ~(row->arg2 | page));
	default:
		return true;
	}
}

static u64 compute_get(const struct df_vcpu *vcpu, u32 index)
{
	switch (index) {
	case MSR_IA32_TSC:		return tsc_read(vcpu);
	case MSR_IA32_TSC_ADJUST:	return vcpu->tsc_adjust;
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:	return READ_ONCE(vcpu->vm->arch.wall_clock);
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:	return vcpu->system_time;
	case MSR_IA32_TSC_DEADLINE:	return timer_get_deadline(vcpu);
	case MSR_DRAGONFLY_TIMER:	return vcpu->lapic.posts;
	case MSR_K7_HWCR:		return vcpu->stored_msrs[DF_STORED_HWCR];
	case MSR_IA32_MCG_CAP:		return vcpu->stored_msrs[DF_STORED_MCG_CAP];
	default:			return vcpu->apic_base;
	}
}

static int compute_set(struct df_vcpu *vcpu, u32 index, u64 value, bool host)
{
	switch (index) {
	case MSR_EFER:
		return state_write_efer(vcpu, value);
	case MSR_IA32_TSC:
		return tsc_write(vcpu, value, host);
	case MSR_IA32_TSC_ADJUST:
		return tsc_write_adjust(vcpu, value, host);
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		clock_set_wall_clock(vcpu->vm, value);
		break;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		clock_set_system_time(vcpu, value);
		break;
	case MSR_IA32_TSC_DEADLINE:
		timer_set_deadline(vcpu, value);
		break;
	case MSR_DRAGONFLY_TIMER:
		return deadline_set_posted(vcpu, value);
	case MSR_K7_HWCR:
		vcpu->stored_msrs[DF_STORED_HWCR] = value & HWCR_KEPT;
		break;
	case MSR_IA32_MCG_CAP:	/* what it has */
		break;
	default:
		return lapic_set_base(vcpu, value, host);
	}
	return 0;
}

/* A field of the VMCS, which takes *@value or gives it. */
static int access_field(struct df_vcpu *vcpu, u32 field, u64 *value, bool write)
{
	if (run_vmcs_begin(vcpu))
		return -EIO;
	if (write)
		vmcs_write(field, *value);
	else
		*value = vmcs_read(field);
	run_vmcs_end();
	return 0;
}

static bool is_lapic(u32 index)
{
	return index >= APIC_BASE_MSR && index <= LAPIC_LAST_MSR;
}

/* 0, -ENOENT for an MSR that is not there, or -EIO. */
static int read_msr(struct df_vcpu *vcpu, u32 index, u64 *value)
{
	const struct row *row = find(index);
	const u64 *bank = mce_bank_msr(vcpu, index);

	if (is_lapic(index))
		return lapic_read_msr(vcpu, index, value);
	if (bank) {
		*value = *bank;
		return 0;
	}
	if (!row)
		return -ENOENT;
	switch (row->place) {
	case IN_VMCS:
		return access_field(vcpu, row->arg, value, false);
	case SWITCHED:
		*value = vcpu->guest_msrs[row->arg];
		return 0;
	case STORED:
		*value = *stored(vcpu, row);
		return 0;
	case CONSTANT:
		*value = row->arg2;
		return 0;
	default:
		if (index == MSR_EFER)
			return access_field(vcpu, GUEST_IA32_EFER, value, false);
		*value = compute_get(vcpu, index);
		return 0;
	}
}

/* As read_msr(), and -EINVAL for a value that it cannot have. */
static int write_msr(struct df_vcpu *vcpu, u32 index, u64 value, bool host)
{
	const struct row *row = find(index);
	u64 *bank = mce_bank_msr(vcpu, index), now = 0;

	if (is_lapic(index))
		return lapic_write_msr(vcpu, index, value);
	if (bank) {
		if (!mce_may_write(index, value, host))
			return -EINVAL;
		*bank = value;
		return 0;
	}
	if (!row)
		return -ENOENT;
	if (row->check == NOTHING)
		read_msr(vcpu, index, &now);
	if (!may_write(row, now, value, host))
		return -EINVAL;
	if (row->check == IGNORED && !host)
		return 0;
	switch (row->place) {
	case IN_VMCS:
		return access_field(vcpu, row->arg, &value, true);
	case SWITCHED:
		vcpu->guest_msrs[row->arg] = value;
		return 0;
	case STORED:
		*stored(vcpu, row) = value;
		return 0;
	case CONSTANT:
		return 0;
	default:
		return compute_set(vcpu, index, value, host);
	}
}

/* ---- exits ------------------------------------------------------------------- */

static u64 edx_eax(const struct df_vcpu *vcpu)
{
	return (u32)vcpu->regs[DF_RAX] | vcpu->regs[DF_RDX] << 32;
}

static void finish_read(struct df_vcpu *vcpu, u64 value)
{
	vcpu->regs[DF_RAX] = (u32)value;
	vcpu->regs[DF_RDX] = value >> 32;
}

/* May it, and who looks on? */
static __always_inline bool asks_others(const struct df_vcpu *vcpu)
{
	return unlikely(rcu_access_pointer(vcpu->vm->arch.msr_filter)) || trace_df_msr_enabled();
}

/* A plain number. */
static __always_inline int read_inner(struct df_vcpu *vcpu)
{
	const struct row *row = find_for_guest(vcpu, vcpu->regs[DF_RCX]);

	if (!row || row->place != STORED)
		return DF_TO_MIDDLE;
	finish_read(vcpu, *stored(vcpu, row));
	return run_finish(vcpu);
}

static int write_inner(struct df_vcpu *vcpu, u64 value)
{
	const struct row *row = find_for_guest(vcpu, vcpu->regs[DF_RCX]);
	u64 *place;

	if (!row || row->place != STORED)
		return DF_TO_MIDDLE;
	place = stored(vcpu, row);
	if (!may_write(row, *place, value, false))
		return DF_TO_MIDDLE;
	if (row->check != IGNORED)
		*place = value;
	return run_finish(vcpu);
}

int msr_read_inner(struct df_vcpu *vcpu)
{
	if (asks_others(vcpu))
		return DF_TO_MIDDLE;
	return read_inner(vcpu);
}

int msr_write_inner(struct df_vcpu *vcpu)
{
	u32 index = vcpu->regs[DF_RCX];
	u64 value = edx_eax(vcpu);

	if (index == LAPIC_MSR(APIC_ICR))
		return lapic_icr_inner(vcpu, value);
	if (asks_others(vcpu))
		return DF_TO_MIDDLE;
	if (index == MSR_IA32_TSC_DEADLINE) {
		timer_set_deadline(vcpu, value);
		return run_finish(vcpu);
	}
	return write_inner(vcpu, value);
}

static int complete_user_msr(struct df_vcpu *vcpu)
{
	if (READ_ONCE(vcpu->run->msr.error))
		return events_gp(vcpu);
	if (vcpu->exit.reason == EXIT_REASON_MSR_READ)
		finish_read(vcpu, READ_ONCE(vcpu->run->msr.data));
	exit_skip(vcpu);
	return DF_RESUME;
}

static int ask_user(struct df_vcpu *vcpu, bool write, u32 index, u64 value, u64 reason)
{
	struct kvm_run *run = vcpu->run;

	memset(&run->msr, 0, sizeof(run->msr));
	run->msr.index = index;
	run->msr.data = write ? value : 0;
	run->msr.reason = reason;
	vcpu->complete = complete_user_msr;
	return exit_to_user(vcpu, write ? KVM_EXIT_X86_WRMSR : KVM_EXIT_X86_RDMSR);
}

static u64 reason_of(int err)
{
	if (err == -EACCES)
		return KVM_MSR_EXIT_REASON_FILTER;
	return err == -ENOENT ? KVM_MSR_EXIT_REASON_UNKNOWN : KVM_MSR_EXIT_REASON_INVAL;
}

int msr_handle(struct df_vcpu *vcpu, bool write)
{
	u32 index = vcpu->regs[DF_RCX];
	u64 value = edx_eax(vcpu);
	int err;

	if (!msr_filter_allows(vcpu->vm, index, write))
		err = -EACCES;
	else if (!is_lapic(index) && !mce_bank_msr(vcpu, index) && !find_for_guest(vcpu, index))
		err = -ENOENT;
	else
		err = write ? write_msr(vcpu, index, value, false) :
			      read_msr(vcpu, index, &value);
	trace_df_msr(vcpu->id, write, index, value, err);
	if (err == -EIO)
		return err;
	if (!err) {
		if (!write)
			finish_read(vcpu, value);
		exit_skip(vcpu);
		return DF_RESUME;
	}
	if (READ_ONCE(vcpu->vm->arch.user_msrs) & reason_of(err))
		return ask_user(vcpu, write, index, value, reason_of(err));
	return events_gp(vcpu);
}

/* ---- ioctls ------------------------------------------------------------------ */

static int get_feature(struct kvm_msr_entry *entry)
{
	switch (entry->index) {
	case MSR_IA32_UCODE_REV:
		entry->data = FEATURE_UCODE;
		return 0;
	case MSR_IA32_ARCH_CAPABILITIES:
		entry->data = arch_capabilities();
		return 0;
	default:
		return -ENOENT;
	}
}

/* Up to the first one that cannot be; how many could is the answer. */
long msr_access(struct df_vcpu *vcpu, struct kvm_msrs __user *user, bool write)
{
	struct kvm_msr_entry *entries;
	struct kvm_msrs head;
	long done;
	int err = 0;

	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	if (head.nmsrs >= MAX_MSRS)
		return -E2BIG;
	entries = df_memdup_user(user->entries, head.nmsrs, sizeof(*entries));
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	for (done = 0; done < head.nmsrs; done++) {
		struct kvm_msr_entry *e = &entries[done];

		if (!vcpu)
			err = get_feature(e);
		else
			err = write ? write_msr(vcpu, e->index, e->data, true) :
				      read_msr(vcpu, e->index, &e->data);
		if (err)
			break;
	}
	if (err == -EIO)
		done = err;
	else if (!write && copy_to_user(user->entries, entries, done * sizeof(*entries)))
		done = -EFAULT;
	kfree(entries);
	return done;
}

long msr_get_list(struct kvm_msr_list __user *user, bool features)
{
	u8 flag = features ? FEATURE : LISTED;
	u32 n = 0, room;

	if (get_user(room, &user->nmsrs))
		return -EFAULT;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		n += !!(rows[i].flags & flag);
	if (put_user(n, &user->nmsrs))
		return -EFAULT;
	if (room < n)
		return -E2BIG;
	n = 0;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].flags & flag && put_user(rows[i].index, &user->indices[n++]))
			return -EFAULT;
	return 0;
}
