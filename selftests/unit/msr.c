// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of MSRs: its form, the bitmap that is made of it, and what may be
 * written.
 */
#include "x86.h"

/* In the kernel rows may end early, and u64 is user space's __u64. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wincompatible-pointer-types"
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* The APIC's own MSRs are not of this table: what apic/lapic.h and timer.h have of them. */
#define LAPIC_MSR(reg) (APIC_BASE_MSR + ((reg) >> 4))
#define LAPIC_LAST_MSR (APIC_BASE_MSR + 0xff)

static u64 unit_deadline;

static inline int lapic_set_base(struct df_vcpu *vcpu, u64 value, bool host)
{
	vcpu->apic_base = value;
	return 0;
}

static inline int lapic_read_msr(struct df_vcpu *vcpu, u32 index, __u64 *value)
{
	return -EINVAL;
}

static inline int lapic_write_msr(struct df_vcpu *vcpu, u32 index, u64 value)
{
	return -EINVAL;
}

static inline int lapic_icr_inner(struct df_vcpu *vcpu, u64 value)
{
	return DF_TO_HOST;
}

static inline u64 timer_get_deadline(const struct df_vcpu *vcpu)
{
	return unit_deadline;
}

static inline void timer_set_deadline(struct df_vcpu *vcpu, u64 value)
{
	unit_deadline = value;
}

static inline int deadline_set_posted(struct df_vcpu *vcpu, bool posts)
{
	vcpu->lapic.posts = posts;
	return 0;
}

/* Nor are the banks of machine checks, of which there are none here. */
#define MCG_CTL_P BIT_ULL(8)

static inline void mce_reset(struct df_vcpu *vcpu)
{
	vcpu->stored_msrs[DF_STORED_MCG_CAP] = MCG_CTL_P;
}

static inline u64 *mce_bank_msr(struct df_vcpu *vcpu, u32 index)
{
	return NULL;
}

static inline bool mce_may_write(u32 index, u64 value, bool host)
{
	return false;
}

#include "arch/x86/msr.c"

#define LOW_END 0x2000U
#define HIGH 0xc0000000U

/* Which of the features that MSRs hang on a guest has. */
static bool has_features;

bool cpuid_has(const struct df_vcpu *vcpu, u32 leaf, u32 subleaf, enum cpuid_regs_idx reg,
	       unsigned int bit)
{
	(void)vcpu, (void)leaf, (void)subleaf, (void)reg, (void)bit;
	return has_features;
}

int exit_to_user(struct df_vcpu *vcpu, u32 reason)
{
	vcpu->run->exit_reason = reason;
	return DF_TO_USER;
}

int state_get_efer(struct df_vcpu *vcpu, u64 *value)
{
	(void)vcpu;
	*value = 0xd01;
	return 0;
}

int state_write_efer(struct df_vcpu *vcpu, u64 value)
{
	(void)vcpu;
	return value & ~0xd01ULL ? -EINVAL : 0;
}

bool msr_filter_allows(const struct df_vm *vm, u32 index, bool write)
{
	(void)vm, (void)index, (void)write;
	return true;
}

u64 tsc_read(const struct df_vcpu *vcpu)
{
	return vcpu->tsc_offset;
}

int tsc_write(struct df_vcpu *vcpu, u64 value, bool host)
{
	(void)host;
	vcpu->tsc_offset = value;
	return 0;
}

int tsc_write_adjust(struct df_vcpu *vcpu, u64 value, bool host)
{
	(void)host;
	vcpu->tsc_adjust = value;
	return 0;
}

void clock_set_wall_clock(struct df_vm *vm, u64 gpa)
{
	vm->arch.wall_clock = gpa;
}

void clock_set_system_time(struct df_vcpu *vcpu, u64 value)
{
	vcpu->system_time = value;
}

/* As at load. */
static __attribute__((constructor)) void init(void)
{
	msr_init();
}

/* A vCPU after its reset. */
FIXTURE(msr)
{
	struct df_vm vm;
	struct kvm_run run;
	struct df_vcpu vcpu;
};

FIXTURE_SETUP(msr)
{
	memset(self, 0, sizeof(*self));
	self->vcpu.vm = &self->vm;
	self->vcpu.run = &self->run;
	self->vcpu.pv_features = ~0U;
	msr_reset(&self->vcpu);
}

FIXTURE_TEARDOWN(msr)
{
}

static const struct row *row_at(u32 index)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].index == index)
			return &rows[i];
	return NULL;
}

/* ---- the table -------------------------------------------------------------------- */

TEST(rows_are_unique_and_in_order)
{
	for (size_t i = 1; i < ARRAY_SIZE(rows); i++) {
		u32 index = rows[i].index;

		EXPECT_LT(rows[i - 1].index, index) TH_LOG("%x", index);
	}
}

TEST(rows_are_found_by_their_number_and_nothing_else_is)
{
	static const u32 bases[] = { 0,	   0x40000000,	   0x4b564d00, 0x80000000, HIGH - LOW_END,
				     HIGH, HIGH + LOW_END, -LOW_END };

	for (size_t b = 0; b < ARRAY_SIZE(bases); b++) {
		for (u32 n = 0; n < LOW_END; n++) {
			u32 index = bases[b] + n;
			const struct row *row = find(index);

			EXPECT_EQ(row_at(index), row) TH_LOG("%x", index);
		}
	}
}

/* KVM's own and HWCR are where the bitmap has no bits: they always exit. */
static bool is_beyond(u32 index)
{
	return index >> 8 == MSR_KVM_WALL_CLOCK_NEW >> 8 || index == MSR_K7_HWCR ||
	       index == MSR_DRAGONFLY_TIMER;
}

/* Numbers that the bitmap has a bit for, or that always exit, and no two places that are one. */
TEST(every_row_has_a_place_of_its_own)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];

		EXPECT_TRUE(row->index < LOW_END || row->index - HIGH < LOW_END ||
			    (is_beyond(row->index) && !(row->flags & PASSED)));
		if (row->place == CONSTANT || row->place == COMPUTED) {
			EXPECT_EQ(0, row->arg) TH_LOG("%x", row->index);
			continue;
		}
		for (size_t j = 0; j < i; j++) {
			bool same = rows[j].place == row->place && rows[j].arg == row->arg;

			EXPECT_FALSE(same) TH_LOG("%x and %x", rows[j].index, row->index);
		}
		if (row->place == STORED) {
			EXPECT_GT(DF_NR_STORED, row->arg) TH_LOG("%x", row->index);
		} else if (row->place == SWITCHED) {
			EXPECT_GT(DF_NR_MSRS, row->arg) TH_LOG("%x", row->index);
		} else {
			EXPECT_EQ(IN_VMCS, row->place) TH_LOG("%x", row->index);
			EXPECT_NE(0, row->arg) TH_LOG("%x", row->index);
		}
	}
}

/* What does not exit is in the CPU while the guest runs; any other value would be the host's. */
TEST(what_is_passed_runs_with_the_guests_value)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		bool inside = rows[i].place == IN_VMCS || rows[i].place == SWITCHED;

		EXPECT_TRUE(inside || !(rows[i].flags & PASSED)) TH_LOG("%x", rows[i].index);
	}
}

/* Each one more is one more to think of; TSC_AUX is the host's CPU number for its own VDSO. */
TEST(these_are_passed)
{
	static const u32 passed[] = {
		MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP, MSR_IA32_CR_PAT,
		MSR_FS_BASE,	      MSR_GS_BASE,	     MSR_KERNEL_GS_BASE,
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		bool expect = false;

		for (size_t j = 0; j < ARRAY_SIZE(passed); j++)
			expect |= passed[j] == rows[i].index;
		EXPECT_EQ(expect, !!(rows[i].flags & PASSED)) TH_LOG("%x", rows[i].index);
	}
}

TEST_F(msr, every_row_is_read)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		u64 value;

		EXPECT_EQ(0, read_msr(&self->vcpu, rows[i].index, &value));
	}
}

/* ---- the bitmap -------------------------------------------------------------------- */

TEST(the_bitmap_lets_through_what_is_passed_and_nothing_else)
{
	static u8 page[PAGE_SIZE + 16];
	unsigned int passed = 0;

	memset(page, 0x5a, sizeof(page));
	msr_bitmap_init((unsigned long *)page);
	for (unsigned int bit = 0; bit < 4 * 8192; bit++) {
		/* SDM: reads of low and high MSRs, writes of low and high. */
		u32 index = bit % 8192 + (bit / 8192 % 2 ? HIGH : 0);
		const struct row *row = row_at(index);
		bool exits = page[bit / 8] >> bit % 8 & 1;

		passed += !exits;
		EXPECT_EQ(!(row && row->flags & PASSED), exits) TH_LOG("%x", index);
	}
	EXPECT_EQ(0x5a, page[PAGE_SIZE]);
	EXPECT_LT(0, passed);
}

/* ---- the lists ---------------------------------------------------------------------- */

static void check_list(struct __test_metadata *_metadata, bool features, u8 flag)
{
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + 256 * sizeof(u32));
	u32 n = 0;

	EXPECT_EQ(-E2BIG, msr_get_list(list, features));
	EXPECT_LT(0, list->nmsrs);
	EXPECT_EQ(0, msr_get_list(list, features));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!(rows[i].flags & flag))
			continue;
		EXPECT_EQ(rows[i].index, list->indices[n]);
		n++;
	}
	EXPECT_EQ(n, list->nmsrs);
	list->nmsrs--;
	EXPECT_EQ(-E2BIG, msr_get_list(list, features));
	EXPECT_EQ(n, list->nmsrs);
	free(list);
}

TEST(lists_are_what_the_table_says)
{
	check_list(_metadata, false, LISTED);
	check_list(_metadata, true, FEATURE);
}

TEST(features_are_read_and_nothing_else_is)
{
	unit_host_msr = ~0ULL;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct kvm_msr_entry entry = { .index = rows[i].index, .data = 0x5a };

		EXPECT_EQ(rows[i].flags & FEATURE ? 0 : -ENOENT, get_feature(&entry))
		{
			TH_LOG("%x", rows[i].index);
		}
	}
}

/* Bits that promise an MSR that is not there: TSX_CTRL, FB_CLEAR_CTRL, IBRS and their likes. */
TEST(only_immunity_is_passed_on_from_arch_capabilities)
{
	const u64 never = BIT_ULL(1) | BIT_ULL(2) | BIT_ULL(7) | BIT_ULL(9) | BIT_ULL(10) |
			  BIT_ULL(11) | BIT_ULL(12) | BIT_ULL(18) | BIT_ULL(21) | BIT_ULL(23);

	unit_host_msr = ~0ULL;
	memset(boot_cpu_data.x86_capability, 0xff, sizeof(boot_cpu_data.x86_capability));
	EXPECT_EQ(0, arch_capabilities() & never);
	EXPECT_NE(0, arch_capabilities());
	unit_host_msr = 0;
	EXPECT_EQ(0, arch_capabilities());
	unit_host_msr = ~0ULL;
	memset(boot_cpu_data.x86_capability, 0, sizeof(boot_cpu_data.x86_capability));
	EXPECT_EQ(0, arch_capabilities());
}

/* ---- values ------------------------------------------------------------------------- */

/* Does a guest's write change it to this? One that is refused changes nothing. */
static bool takes(struct df_vcpu *vcpu, u32 index, u64 value)
{
	u64 before = 0, after = 0;
	int err;

	read_msr(vcpu, index, &before);
	err = write_msr(vcpu, index, value, false);
	read_msr(vcpu, index, &after);
	return err ? err != -EINVAL || before != after : after == value;
}

TEST_F(msr, addresses_are_canonical)
{
	static const u32 msrs[] = {
		MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP, MSR_LSTAR,	 MSR_CSTAR,
		MSR_FS_BASE,	       MSR_GS_BASE,	      MSR_KERNEL_GS_BASE
	};
	static const u64 good[] = { 0, 1, 0x7fffffffffff, 0xffff800000000000, ~0ULL };
	static const u64 bad[] = { 0x800000000000, 0xffff7fffffffffff, BIT_ULL(63), ~0ULL >> 1 };

	for (size_t m = 0; m < ARRAY_SIZE(msrs); m++) {
		for (size_t i = 0; i < ARRAY_SIZE(good); i++)
			EXPECT_EQ(0, write_msr(&self->vcpu, msrs[m], good[i], false));
		for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
			EXPECT_EQ(-EINVAL, write_msr(&self->vcpu, msrs[m], bad[i], false));
		EXPECT_TRUE(takes(&self->vcpu, msrs[m], 0x1234)) TH_LOG("%x", msrs[m]);
		EXPECT_FALSE(takes(&self->vcpu, msrs[m], BIT_ULL(63))) TH_LOG("%x", msrs[m]);
	}
}

TEST_F(msr, some_are_of_32_bits)
{
	static const u32 msrs[] = { MSR_IA32_SYSENTER_CS, MSR_SYSCALL_MASK, MSR_TSC_AUX };

	for (size_t m = 0; m < ARRAY_SIZE(msrs); m++) {
		EXPECT_EQ(0, write_msr(&self->vcpu, msrs[m], ~0U, false));
		EXPECT_EQ(-EINVAL, write_msr(&self->vcpu, msrs[m], BIT_ULL(32), true));
		EXPECT_EQ(-EINVAL, write_msr(&self->vcpu, msrs[m], ~0ULL, false));
	}
}

/* Each type in each byte; the other bytes are of a type that all have. */
TEST_F(msr, memory_types_are_those_that_there_are)
{
	for (unsigned int shift = 0; shift < 64; shift += 8) {
		for (u64 type = 0; type < 256; type++) {
			u64 value = (0x0606060606060606 & ~(0xffULL << shift)) | type << shift;
			bool range = type == 0 || type == 1 || (type >= 4 && type <= 6);
			bool pat = range || type == 7;

			EXPECT_EQ(pat ? 0 : -EINVAL,
				  write_msr(&self->vcpu, MSR_IA32_CR_PAT, value, true));
			EXPECT_EQ(range ? 0 : -EINVAL,
				  write_msr(&self->vcpu, MSR_MTRRfix4K_F8000, value, true));
		}
	}
}

TEST_F(msr, ranges_have_a_type_and_an_address_that_there_is)
{
	static const struct {
		u32 index;
		u64 value;
		bool good;
	} rows[] = {
		{ MSR_MTRRdefType, 0xc06, true },
		{ MSR_MTRRdefType, 0x002, false },
		{ MSR_MTRRdefType, 0x007, false },
		{ MSR_MTRRdefType, 0x100, false },
		{ MSR_MTRRdefType, 0x1000, false },
		{ 0x200, 0x3ffffffff006, true }, /* 46 bits of address */
		{ 0x200, 0x400000000006, false },
		{ 0x200, 0x106, false },
		{ 0x20e, 0x1003, false },
		{ 0x20f, 0x3ffffffff800, true },
		{ 0x20f, 0x400000000800, false },
		{ 0x20f, 0x400, false },
		{ 0x20f, 0x801, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int err = write_msr(&self->vcpu, rows[i].index, rows[i].value, false);

		EXPECT_EQ(rows[i].good ? 0 : -EINVAL, err) TH_LOG("row %zu", i);
	}
	/* A number for each. */
	for (u32 index = 0x200; index < 0x210; index++)
		EXPECT_EQ(0, write_msr(&self->vcpu, index, (u64)index << 12, true));
	for (u32 index = 0x200; index < 0x210; index++)
		EXPECT_TRUE(takes(&self->vcpu, index, (u64)index << 12));
	EXPECT_EQ(-ENOENT, write_msr(&self->vcpu, 0x210, 0, true));
}

TEST_F(msr, some_have_a_few_bits_or_none)
{
	EXPECT_TRUE(takes(&self->vcpu, MSR_MISC_FEATURES_ENABLES, 1));
	EXPECT_EQ(-EINVAL, write_msr(&self->vcpu, MSR_MISC_FEATURES_ENABLES, 2, true));
	EXPECT_EQ(0, write_msr(&self->vcpu, MSR_IA32_DEBUGCTLMSR, 0, false));
	EXPECT_EQ(-EINVAL, write_msr(&self->vcpu, MSR_IA32_DEBUGCTLMSR, 1, false));
	EXPECT_EQ(0, write_msr(&self->vcpu, MSR_IA32_XSS, 0, false));
	EXPECT_EQ(-EINVAL, write_msr(&self->vcpu, MSR_IA32_XSS, 0x100, true));
}

/* What a guest only reads, user space sets. */
TEST_F(msr, constants_are_user_spaces_to_say)
{
	static const u32 stored[] = { MSR_PLATFORM_INFO, MSR_IA32_ARCH_CAPABILITIES };
	u64 value = 0;

	for (size_t i = 0; i < ARRAY_SIZE(stored); i++) {
		EXPECT_EQ(-EINVAL, write_msr(&self->vcpu, stored[i], 0x1230000, false));
		EXPECT_EQ(0, write_msr(&self->vcpu, stored[i], 0x1230000, true));
		EXPECT_EQ(0, write_msr(&self->vcpu, stored[i], 0x1230000, false));
	}
	EXPECT_EQ(-EINVAL, write_msr(&self->vcpu, MSR_MTRRcap, 0, true));
	EXPECT_EQ(0, write_msr(&self->vcpu, MSR_MTRRcap, 0x508, true));

	/* Microcode. */
	EXPECT_EQ(0, write_msr(&self->vcpu, MSR_IA32_UCODE_REV, 7, true));
	EXPECT_EQ(0, write_msr(&self->vcpu, MSR_IA32_UCODE_REV, 8, false));
	EXPECT_EQ(0, read_msr(&self->vcpu, MSR_IA32_UCODE_REV, &value));
	EXPECT_EQ(7, value);
}

/* ---- the guest's -------------------------------------------------------------------- */

TEST_F(msr, what_hangs_on_a_feature_is_not_there_without_it)
{
	static const u32 msrs[] = { MSR_TSC_AUX, MSR_IA32_XSS, MSR_IA32_ARCH_CAPABILITIES };

	for (size_t i = 0; i < ARRAY_SIZE(msrs); i++) {
		has_features = false;
		EXPECT_EQ(NULL, find_for_guest(&self->vcpu, msrs[i]));
		has_features = true;
		EXPECT_EQ(find(msrs[i]), find_for_guest(&self->vcpu, msrs[i]));
	}
}

/* The inner ring does what is a number, and leaves all else as it is. */
TEST_F(msr, the_inner_ring_takes_numbers_only)
{
	u64 *regs = self->vcpu.regs;

	has_features = true;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		unsigned int skips = unit_skips;
		bool stored = rows[i].place == STORED;

		regs[DF_RCX] = rows[i].index | BIT_ULL(63);
		regs[DF_RAX] = ~0ULL;
		regs[DF_RDX] = ~0ULL;
		EXPECT_EQ(stored ? DF_RESUME : DF_TO_MIDDLE, msr_read_inner(&self->vcpu))
		TH_LOG("%x", rows[i].index);
		EXPECT_EQ(stored, unit_skips - skips);
		EXPECT_EQ(stored ? 0 : ~0U, regs[DF_RAX] >> 32);
		EXPECT_EQ(stored ? 0 : ~0U, regs[DF_RDX] >> 32);
	}
	regs[DF_RCX] = MSR_MTRRdefType;
	regs[DF_RAX] = 2;
	regs[DF_RDX] = 0;
	EXPECT_EQ(DF_TO_MIDDLE, msr_write_inner(&self->vcpu));
	regs[DF_RAX] = 0xffffffff00000c06;
	EXPECT_EQ(DF_RESUME, msr_write_inner(&self->vcpu));
	EXPECT_EQ(0xc06, self->vcpu.stored_msrs[DF_STORED_MTRR_DEF_TYPE]);
	regs[DF_RCX] = MSR_IA32_UCODE_REV;
	EXPECT_EQ(DF_RESUME, msr_write_inner(&self->vcpu));
	EXPECT_EQ(FEATURE_UCODE, self->vcpu.stored_msrs[DF_STORED_UCODE_REV]);
}

TEST_F(msr, kvms_are_there_with_their_features)
{
	static const struct {
		u32 index, feature;
	} rows[] = {
		{ MSR_KVM_WALL_CLOCK, KVM_FEATURE_CLOCKSOURCE },
		{ MSR_KVM_SYSTEM_TIME, KVM_FEATURE_CLOCKSOURCE },
		{ MSR_KVM_WALL_CLOCK_NEW, KVM_FEATURE_CLOCKSOURCE2 },
		{ MSR_KVM_SYSTEM_TIME_NEW, KVM_FEATURE_CLOCKSOURCE2 },
		{ MSR_KVM_POLL_CONTROL, KVM_FEATURE_POLL_CONTROL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		self->vcpu.pv_features = BIT(rows[i].feature);
		EXPECT_NE(NULL, find_for_guest(&self->vcpu, rows[i].index));
		self->vcpu.pv_features = ~BIT(rows[i].feature);
		EXPECT_EQ(NULL, find_for_guest(&self->vcpu, rows[i].index));
	}
}

TEST_F(msr, a_host_may_poll_or_not)
{
	EXPECT_EQ(1, self->vcpu.stored_msrs[DF_STORED_POLL_CONTROL]);
	EXPECT_TRUE(takes(&self->vcpu, MSR_KVM_POLL_CONTROL, 0));
	EXPECT_TRUE(takes(&self->vcpu, MSR_KVM_POLL_CONTROL, 1));
	EXPECT_FALSE(takes(&self->vcpu, MSR_KVM_POLL_CONTROL, 2));
}

/* No MSR, or no value for it: a fault, or a question to user space that asked for it. */
TEST_F(msr, what_cannot_be_faults_or_is_asked)
{
	u64 *regs = self->vcpu.regs;
	unsigned int faults = unit_faults;

	regs[DF_RCX] = 0x12345;
	EXPECT_EQ(DF_RESUME, msr_handle(&self->vcpu, false));
	EXPECT_EQ(faults + 1, unit_faults);
	self->vm.arch.user_msrs = KVM_MSR_EXIT_REASON_UNKNOWN;
	EXPECT_EQ(DF_TO_USER, msr_handle(&self->vcpu, false));
	EXPECT_EQ(KVM_EXIT_X86_RDMSR, self->run.exit_reason);
	EXPECT_EQ(0x12345, self->run.msr.index);
	EXPECT_EQ(KVM_MSR_EXIT_REASON_UNKNOWN, self->run.msr.reason);

	regs[DF_RCX] = MSR_LSTAR;
	regs[DF_RDX] = BIT_ULL(31);
	EXPECT_EQ(DF_RESUME, msr_handle(&self->vcpu, true));
	EXPECT_EQ(faults + 2, unit_faults);
	self->vm.arch.user_msrs = KVM_MSR_EXIT_REASON_INVAL;
	EXPECT_EQ(DF_TO_USER, msr_handle(&self->vcpu, true));
	EXPECT_EQ(KVM_EXIT_X86_WRMSR, self->run.exit_reason);
	EXPECT_EQ(BIT_ULL(63), self->run.msr.data);
}

TEST_HARNESS_MAIN
