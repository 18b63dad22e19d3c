// SPDX-License-Identifier: GPL-2.0-only
/*
 * What CPUID offers to guests, on CPUs made up here.
 */
#include "x86.h"

#include "arch/x86/cpuid.c"

#define AVX512 0xe0ULL
#define XFEATURES (0x7ULL | AVX512)

/* The CPU's answer to every leaf, but for the highest ones; and what XCR0 can have. */
static u32 cpu_answer = ~0U, cpu_max = ~0U;
static u64 xfeatures = XFEATURES;

void cpuid_count(u32 leaf, u32 subleaf, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx)
{
	(void)subleaf;
	*eax = leaf & 0x7fffffff ? cpu_answer : leaf | cpu_max;
	*ebx = cpu_answer;
	*ecx = cpu_answer;
	*edx = cpu_answer;
}

u64 fpu_features(void)
{
	return xfeatures;
}

unsigned int fpu_size(u64 features, bool compacted)
{
	return 1000 + features + compacted;
}

/* The host's. */
static bool tells_time_by_tsc = true;

bool clock_is_offered(void)
{
	return tells_time_by_tsc;
}

void state_follow_cpuid(struct df_vcpu *vcpu)
{
	(void)vcpu;
}

void vmcs_follow_cpuid(const struct df_vcpu *vcpu)
{
	(void)vcpu;
}

static struct df_vm unit_vm;

/* Everything that there is: the CPU has it, and the host's kernel uses it. */
FIXTURE(cpuid)
{
	struct kvm_cpuid2 *answer;
};

FIXTURE_SETUP(cpuid)
{
	memset(boot_cpu_data.x86_capability, 0xff, sizeof(boot_cpu_data.x86_capability));
	self->answer = calloc(1, sizeof(*self->answer) + 256 * sizeof(self->answer->entries[0]));
	ASSERT_NE(NULL, self->answer);
	self->answer->nent = 256;
	ASSERT_EQ(0, cpuid_get_supported(self->answer));
}

FIXTURE_TEARDOWN(cpuid)
{
	free(self->answer);
}

static const struct kvm_cpuid_entry2 *entry(const struct kvm_cpuid2 *answer, u32 leaf, u32 subleaf)
{
	static const struct kvm_cpuid_entry2 none;

	for (u32 i = 0; i < answer->nent; i++)
		if (answer->entries[i].function == leaf && answer->entries[i].index == subleaf)
			return &answer->entries[i];
	return &none;
}

/* Is one of the kernel's X86_FEATURE_* offered? */
static bool offers(const struct kvm_cpuid2 *answer, unsigned int feature)
{
	u32 word;

	switch (feature / 32) {
	case CPUID_1_EDX:
		word = entry(answer, 1, 0)->edx;
		break;
	case CPUID_1_ECX:
		word = entry(answer, 1, 0)->ecx;
		break;
	case CPUID_7_0_EBX:
		word = entry(answer, 7, 0)->ebx;
		break;
	case CPUID_7_ECX:
		word = entry(answer, 7, 0)->ecx;
		break;
	case CPUID_7_EDX:
		word = entry(answer, 7, 0)->edx;
		break;
	case CPUID_D_1_EAX:
		word = entry(answer, 0xd, 1)->eax;
		break;
	case CPUID_8000_0001_ECX:
		word = entry(answer, 0x80000001, 0)->ecx;
		break;
	case CPUID_8000_0001_EDX:
		word = entry(answer, 0x80000001, 0)->edx;
		break;
	default:
		abort();
	}
	return word & BIT(feature % 32);
}

struct feature {
	unsigned int bit;
	const char *name;
};

#define FEATURE(name)                     \
	{                                 \
		X86_FEATURE_##name, #name \
	}
#define NEEDS(feature, need)                    \
	{                                       \
		FEATURE(feature), FEATURE(need) \
	}

/* ---- the form -------------------------------------------------------------------- */

TEST_F(cpuid, leaves_are_unique_and_in_order)
{
	const struct kvm_cpuid_entry2 *e = self->answer->entries;

	for (u32 i = 1; i < self->answer->nent; i++) {
		EXPECT_LT((u64)e[i - 1].function << 32 | e[i - 1].index,
			  (u64)e[i].function << 32 | e[i].index)
		{
			TH_LOG("leaf %x, subleaf %x", e[i].function, e[i].index);
		}
	}
}

TEST_F(cpuid, the_highest_leaves_are_said_and_there)
{
	u32 basic = entry(self->answer, 0, 0)->eax;
	u32 extended = entry(self->answer, 0x80000000, 0)->eax;
	u32 pv = entry(self->answer, KVM_CPUID_SIGNATURE, 0)->eax;

	EXPECT_EQ(0x1f, basic);
	EXPECT_EQ(0x80000008, extended);
	EXPECT_EQ(basic, entry(self->answer, basic, 0)->function);
	EXPECT_EQ(extended, entry(self->answer, extended, 0)->function);
	EXPECT_EQ(KVM_CPUID_FEATURES, pv);
	for (u32 i = 0; i < self->answer->nent; i++) {
		u32 leaf = self->answer->entries[i].function;
		u32 highest = leaf >> 31 ? extended : leaf >> 30 ? pv : basic;

		EXPECT_GE(highest, leaf) TH_LOG("%x", leaf);
	}
}

TEST_F(cpuid, a_cpu_with_fewer_leaves_says_so)
{
	cpu_max = 7;
	ASSERT_EQ(0, cpuid_get_supported(self->answer));
	EXPECT_EQ(7, entry(self->answer, 0, 0)->eax);
	EXPECT_EQ(0x80000007, entry(self->answer, 0x80000000, 0)->eax);
	EXPECT_EQ(7, entry(self->answer, 7, 0)->function);
	EXPECT_EQ(0, entry(self->answer, 0xd, 0)->function);
	EXPECT_EQ(0, entry(self->answer, 0x80000008, 0)->function);
}

TEST_F(cpuid, subleaves_count_where_there_are_any)
{
	for (u32 i = 0; i < self->answer->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &self->answer->entries[i];
		bool significant = e->function == 4 || e->function == 7 || e->function == 0xb ||
				   e->function == 0xd || e->function == 0x1f;

		EXPECT_EQ(significant ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0, e->flags)
		{
			TH_LOG("leaf %x", e->function);
		}
	}
	EXPECT_EQ(0, entry(self->answer, 7, 0)->eax);
}

TEST_F(cpuid, too_little_room_is_said)
{
	struct kvm_cpuid2 none = { .nent = 0 };
	u32 n = self->answer->nent;

	EXPECT_EQ(-E2BIG, cpuid_get_supported(&none));
	self->answer->nent = n - 1;
	EXPECT_EQ(-E2BIG, cpuid_get_supported(self->answer));
	self->answer->nent = n;
	EXPECT_EQ(0, cpuid_get_supported(self->answer));
	EXPECT_EQ(n, self->answer->nent);
}

/* ---- features -------------------------------------------------------------------- */

TEST_F(cpuid, no_feature_is_without_what_it_depends_on)
{
	static const struct {
		struct feature has, needs;
	} rows[] = {
		NEEDS(PAE, CX8),
		NEEDS(PGE, PSE),
		NEEDS(XMM, FXSR),
		NEEDS(XMM2, XMM),
		NEEDS(XMM3, XMM2),
		NEEDS(SSSE3, XMM3),
		NEEDS(XMM4_1, SSSE3),
		NEEDS(XMM4_2, XMM4_1),
		NEEDS(PCLMULQDQ, XMM2),
		NEEDS(AES, XMM2),
		NEEDS(SHA_NI, XMM2),
		NEEDS(GFNI, XMM2),
		NEEDS(XSAVEOPT, XSAVE),
		NEEDS(XSAVEC, XSAVE),
		NEEDS(XGETBV1, XSAVE),
		NEEDS(XSAVES, XSAVEC),
		NEEDS(AVX, XSAVE),
		NEEDS(AVX, XMM4_2),
		NEEDS(FMA, AVX),
		NEEDS(F16C, AVX),
		NEEDS(AVX2, AVX),
		NEEDS(VAES, AVX),
		NEEDS(VAES, AES),
		NEEDS(VPCLMULQDQ, AVX),
		NEEDS(VPCLMULQDQ, PCLMULQDQ),
		NEEDS(AVX512F, AVX2),
		NEEDS(AVX512F, FMA),
		NEEDS(AVX512F, F16C),
		NEEDS(AVX512DQ, AVX512F),
		NEEDS(AVX512IFMA, AVX512F),
		NEEDS(AVX512CD, AVX512F),
		NEEDS(AVX512BW, AVX512F),
		NEEDS(AVX512VL, AVX512F),
		NEEDS(AVX512VBMI, AVX512BW),
		NEEDS(AVX512_VBMI2, AVX512BW),
		NEEDS(AVX512_BITALG, AVX512BW),
		NEEDS(AVX512_VNNI, AVX512F),
		NEEDS(AVX512_VPOPCNTDQ, AVX512F),
		NEEDS(AVX512_VP2INTERSECT, AVX512F),
		NEEDS(INVPCID, PCID),
		NEEDS(LM, PAE),
		NEEDS(LM, SYSCALL),
		NEEDS(LM, XMM2),
		NEEDS(CX16, LM),
		NEEDS(LAHF_LM, LM),
		NEEDS(GBPAGES, LM),
		NEEDS(NX, PAE),
		NEEDS(SMAP, SMEP),
		NEEDS(RDTSCP, TSC),
		NEEDS(RDPID, RDTSCP),
		NEEDS(TSC_ADJUST, TSC),
		NEEDS(PAT, MSR),
		NEEDS(MTRR, MSR),
		NEEDS(ARCH_CAPABILITIES, MSR),
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!offers(self->answer, rows[i].has.bit))
			continue;
		EXPECT_TRUE(offers(self->answer, rows[i].needs.bit))
		{
			TH_LOG("%s needs %s", rows[i].has.name, rows[i].needs.name);
		}
	}
}

TEST_F(cpuid, what_the_module_does_not_have_is_not_offered)
{
	static const struct feature rows[] = {
		FEATURE(VMX),
		FEATURE(SMX),
		FEATURE(MWAIT),
		FEATURE(TSC_DEADLINE_TIMER),
		FEATURE(PDCM),
		FEATURE(DTES64),
		FEATURE(DS),
		FEATURE(DSCPL),
		FEATURE(EST),
		FEATURE(TM2),
		FEATURE(ACC),
		FEATURE(ACPI),
		FEATURE(HT),
		FEATURE(DCA),
		FEATURE(XTPR),
		FEATURE(OSXSAVE),
		FEATURE(HYPERVISOR),
		FEATURE(SGX),
		FEATURE(SGX_LC),
		FEATURE(MPX),
		FEATURE(INTEL_PT),
		FEATURE(HLE),
		FEATURE(RTM),
		FEATURE(CQM),
		FEATURE(RDT_A),
		FEATURE(PKU),
		FEATURE(OSPKE),
		FEATURE(LA57),
		FEATURE(WAITPKG),
		FEATURE(SHSTK),
		FEATURE(IBT),
		FEATURE(TME),
		FEATURE(ENQCMD),
		FEATURE(BUS_LOCK_DETECT),
		FEATURE(AMX_TILE),
		FEATURE(AMX_INT8),
		FEATURE(AMX_BF16),
		FEATURE(ARCH_LBR),
		FEATURE(PCONFIG),
		FEATURE(HYBRID_CPU),
		FEATURE(SPEC_CTRL),
		FEATURE(INTEL_STIBP),
		FEATURE(FLUSH_L1D),
		FEATURE(CORE_CAPABILITIES),
		FEATURE(SPEC_CTRL_SSBD),
		FEATURE(XFD),
		FEATURE(SVM),
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		bool offered = offers(self->answer, rows[i].bit);

		EXPECT_FALSE(offered) TH_LOG("%s", rows[i].name);
	}
	/* The PMU's leaf, the host's topology, PT, SGX, AMX. */
	for (u32 leaf = 3; leaf < 0x20; leaf++) {
		const struct kvm_cpuid_entry2 *e = entry(self->answer, leaf, 0);

		if (leaf != 4 && leaf != 6 && leaf != 7 && leaf != 0xd)
			EXPECT_EQ(0, e->eax | e->ebx | e->ecx | e->edx);
	}
	/* Of power management, that the APIC's timer does not stop. */
	EXPECT_EQ(4, entry(self->answer, 6, 0)->eax);
	EXPECT_EQ(0, entry(self->answer, 6, 0)->ebx | entry(self->answer, 6, 0)->ecx);
	/* No number of an APIC, nor of logical CPUs. */
	EXPECT_EQ(0, entry(self->answer, 1, 0)->ebx & 0xffff00ff);
}

/* What the host's kernel has turned off, of each of the words that it keeps. */
TEST_F(cpuid, what_the_host_does_not_use_is_not_offered)
{
	static const unsigned int words[] = {
		CPUID_1_EDX, CPUID_1_ECX,   CPUID_7_0_EBX,	 CPUID_7_ECX,
		CPUID_7_EDX, CPUID_D_1_EAX, CPUID_8000_0001_ECX, CPUID_8000_0001_EDX,
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		for (unsigned int bit = 0; bit < 32; bit++) {
			u32 *word = &boot_cpu_data.x86_capability[words[i]];
			unsigned int feature = words[i] * 32 + bit;

			/* Which is not made of the host's. */
			if (feature == X86_FEATURE_X2APIC)
				continue;
			*word = ~BIT(bit);
			ASSERT_EQ(0, cpuid_get_supported(self->answer));
			EXPECT_FALSE(offers(self->answer, feature)) TH_LOG("%u:%u", words[i], bit);
			*word = ~0U;
		}
	}
}

TEST_F(cpuid, what_the_cpu_does_not_have_is_not_offered)
{
	cpu_answer = 0;
	cpu_max = 0;
	ASSERT_EQ(0, cpuid_get_supported(self->answer));
	for (u32 i = 0; i < self->answer->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &self->answer->entries[i];
		bool sizes = e->function == 0xd && !e->index;

		if (e->function >> 30 == 1) /* is not the CPU's */
			continue;
		EXPECT_EQ(0, e->eax & 0x7fffffff) TH_LOG("leaf %x", e->function);
		EXPECT_EQ(0, e->edx) TH_LOG("leaf %x", e->function);
		EXPECT_EQ(sizes, !!(e->ebx | e->ecx)) TH_LOG("leaf %x", e->function);
	}
}

/* ---- extended state --------------------------------------------------------------- */

TEST_F(cpuid, extended_state_is_what_guests_can_have)
{
	const struct kvm_cpuid_entry2 *e = entry(self->answer, 0xd, 0);

	EXPECT_EQ(XFEATURES, e->eax | (u64)e->edx << 32);
	EXPECT_EQ(fpu_size(XFEATURES, false), e->ebx);
	EXPECT_EQ(e->ebx, e->ecx);
	e = entry(self->answer, 0xd, 1);
	EXPECT_EQ(fpu_size(XFEATURES, true), e->ebx);
	EXPECT_EQ(0, e->ecx | e->edx);
	for (u32 i = 2; i < 64; i++) {
		e = entry(self->answer, 0xd, i);
		EXPECT_EQ(!!(XFEATURES & BIT_ULL(i)), !!e->eax) TH_LOG("%u", i);
	}
}

TEST_F(cpuid, a_part_of_extended_state_goes_with_its_feature)
{
	xfeatures = 7;
	ASSERT_EQ(0, cpuid_get_supported(self->answer));
	EXPECT_EQ(7, entry(self->answer, 0xd, 0)->eax);
	EXPECT_NE(0, entry(self->answer, 0xd, 2)->eax);
	for (u32 i = 5; i <= 7; i++) {
		const struct kvm_cpuid_entry2 *e = entry(self->answer, 0xd, i);

		EXPECT_EQ(0, e->eax | e->ebx | e->ecx | e->edx) TH_LOG("%u", i);
	}
}

/* ---- KVM's leaves ------------------------------------------------------------------ */

TEST_F(cpuid, the_signature_is_kvms)
{
	const struct kvm_cpuid_entry2 *e = entry(self->answer, KVM_CPUID_SIGNATURE, 0);

	EXPECT_EQ(0, memcmp(&e->ebx, "KVMK", 4));
	EXPECT_EQ(0, memcmp(&e->ecx, "VMKV", 4));
	EXPECT_EQ(0, memcmp(&e->edx, "M\0\0", 4));
}

/* Asynchronous page faults, stolen time and EOI in memory are not there. */
TEST_F(cpuid, features_of_kvms_are_those_that_work)
{
	const struct kvm_cpuid_entry2 *e = entry(self->answer, KVM_CPUID_FEATURES, 0);
	const u32 clock = BIT(KVM_FEATURE_CLOCKSOURCE) | BIT(KVM_FEATURE_CLOCKSOURCE2) |
			  BIT(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT);
	const u32 rest = BIT(KVM_FEATURE_NOP_IO_DELAY) | BIT(KVM_FEATURE_POLL_CONTROL) |
			 BIT(KVM_FEATURE_PV_UNHALT) | BIT(KVM_FEATURE_PV_SEND_IPI);

	EXPECT_EQ(clock | rest, e->eax);
	EXPECT_EQ(0, e->ebx | e->ecx | e->edx);

	tells_time_by_tsc = false;
	ASSERT_EQ(0, cpuid_get_supported(self->answer));
	EXPECT_EQ(rest, entry(self->answer, KVM_CPUID_FEATURES, 0)->eax);
}

/* Another hypervisor's leaves may come first, as VMMs put them. */
TEST_F(cpuid, features_are_enforced_when_asked_for)
{
	static const struct kvm_cpuid_entry2 rows[] = {
		{ .function = 0x40000000, .ebx = 1, .ecx = 2, .edx = 3 },
		{ .function = 0x40000001, .eax = 0x10 },
		{ .function = 0x40000100, .ebx = 0x4b4d564b, .ecx = 0x564b4d56, .edx = 0x4d },
		{ .function = 0x40000101, .eax = BIT(KVM_FEATURE_CLOCKSOURCE2) },
	};
	struct df_vcpu it = { .vm = &unit_vm, .pv_features = ~0U };
	struct df_vcpu *vcpu = &it;

	self->answer->nent = ARRAY_SIZE(rows);
	memcpy(self->answer->entries, rows, sizeof(rows));
	ASSERT_EQ(0, cpuid_set(vcpu, self->answer));
	EXPECT_TRUE(cpuid_pv_has(vcpu, KVM_FEATURE_CLOCKSOURCE));
	cpuid_pv_enforce(vcpu, true);
	EXPECT_FALSE(cpuid_pv_has(vcpu, KVM_FEATURE_CLOCKSOURCE));
	EXPECT_FALSE(cpuid_pv_has(vcpu, KVM_FEATURE_ASYNC_PF));
	EXPECT_TRUE(cpuid_pv_has(vcpu, KVM_FEATURE_CLOCKSOURCE2));

	self->answer->entries[3].eax = BIT(KVM_FEATURE_CLOCKSOURCE);
	ASSERT_EQ(0, cpuid_set(vcpu, self->answer));
	EXPECT_TRUE(cpuid_pv_has(vcpu, KVM_FEATURE_CLOCKSOURCE));
	self->answer->nent = 2;
	ASSERT_EQ(0, cpuid_set(vcpu, self->answer));
	EXPECT_EQ(0, vcpu->pv_features);
	cpuid_pv_enforce(vcpu, false);
	EXPECT_EQ(~0U, vcpu->pv_features);
	kfree(vcpu->cpuid);
}

/* ---- a vCPU's ---------------------------------------------------------------------- */

static bool has_pv(const struct df_vcpu *vcpu, unsigned int feature)
{
	return cpuid_has(vcpu, KVM_CPUID_FEATURES, 0, CPUID_EAX, feature);
}

/* Nobody could end its HLT. */
TEST_F(cpuid, a_guest_that_halts_by_itself_is_not_kicked)
{
	struct df_vm vm = { .arch.disabled_exits = KVM_X86_DISABLE_EXITS_HLT };
	struct df_vcpu vcpu = { .vm = &vm };

	ASSERT_EQ(0, cpuid_set(&vcpu, self->answer));
	EXPECT_FALSE(has_pv(&vcpu, KVM_FEATURE_PV_UNHALT));
	EXPECT_TRUE(has_pv(&vcpu, KVM_FEATURE_PV_SEND_IPI));
	vm.arch.disabled_exits = KVM_X86_DISABLE_EXITS_PAUSE;
	ASSERT_EQ(0, cpuid_set(&vcpu, self->answer));
	EXPECT_TRUE(has_pv(&vcpu, KVM_FEATURE_PV_UNHALT));
	kfree(vcpu.cpuid);
}

TEST_F(cpuid, a_vcpu_has_what_it_was_given)
{
	struct df_vcpu it = {
		.vm = &unit_vm,
		.apic_base = MSR_IA32_APICBASE_ENABLE,
		.xcr0 = XFEATURES,
	};
	struct df_vcpu *vcpu = &it;
	struct kvm_cpuid2 *got = calloc(1, sizeof(*got) + 256 * sizeof(got->entries[0]));

	ASSERT_NE(NULL, got);
	unit_fields[GUEST_CR4] = X86_CR4_OSXSAVE;
	self->answer->entries[1].ecx |= OSXSAVE;
	EXPECT_FALSE(cpuid_has(vcpu, 1, 0, CPUID_EDX, 0));
	ASSERT_EQ(0, cpuid_set(vcpu, self->answer));
	EXPECT_TRUE(cpuid_has(vcpu, 1, 0, CPUID_EDX, 0));
	EXPECT_FALSE(cpuid_has(vcpu, 1, 0, CPUID_ECX, 5));
	EXPECT_TRUE(cpuid_has(vcpu, 0xd, 1, CPUID_EAX, 3));
	EXPECT_FALSE(cpuid_has(vcpu, 7, 1, CPUID_EBX, 0));
	EXPECT_EQ(XFEATURES, cpuid_xfeatures(vcpu));

	EXPECT_EQ(-E2BIG, cpuid_get(vcpu, got));
	EXPECT_EQ(0, got->nent);
	got->nent = 256;
	ASSERT_EQ(0, cpuid_get(vcpu, got));
	EXPECT_EQ(self->answer->nent, got->nent);
	EXPECT_EQ(0,
		  memcmp(got->entries, self->answer->entries, got->nent * sizeof(got->entries[0])));

	/* Once it has run, only the same. */
	vcpu->has_run = true;
	EXPECT_EQ(0, cpuid_set(vcpu, self->answer));
	/* What is the registers' is not its own. */
	vcpu->xcr0 = 1;
	unit_fields[GUEST_CR4] = 0;
	ASSERT_EQ(0, cpuid_get(vcpu, got));
	EXPECT_FALSE(got->entries[1].ecx & OSXSAVE);
	EXPECT_EQ(0, cpuid_set(vcpu, got));
	EXPECT_EQ(0, cpuid_set(vcpu, self->answer));
	self->answer->entries[1].edx ^= 1;
	EXPECT_EQ(-EINVAL, cpuid_set(vcpu, self->answer));
	EXPECT_TRUE(cpuid_has(vcpu, 1, 0, CPUID_EDX, 0));
	kfree(vcpu->cpuid);
	free(got);
}

/* The first whose type is none ends them. */
TEST_F(cpuid, caches_are_those_that_there_are)
{
	EXPECT_EQ(4, entry(self->answer, 4, 4)->index);
	cpu_answer = ~0x1fU;
	ASSERT_EQ(0, cpuid_get_supported(self->answer));
	EXPECT_EQ(~0x1fU, entry(self->answer, 4, 0)->eax);
	for (u32 i = 1; i < 5; i++)
		EXPECT_EQ(0, entry(self->answer, 4, i)->function);
}

TEST_F(cpuid, the_apic_is_there_when_it_is_on)
{
	struct df_vcpu vcpu = { .vm = &unit_vm };
	u64 *regs = vcpu.regs;

	ASSERT_EQ(0, cpuid_set(&vcpu, self->answer));
	regs[DF_RAX] = 1;
	cpuid_handle(&vcpu);
	EXPECT_EQ(0, regs[DF_RDX] & BIT(9));
	EXPECT_NE(0, regs[DF_RDX] & BIT(8));
	vcpu.apic_base = 0xfee00800;
	regs[DF_RAX] = 1;
	cpuid_handle(&vcpu);
	EXPECT_NE(0, regs[DF_RDX] & BIT(9));
	kfree(vcpu.cpuid);
}

/* A guest walks the levels of its topology by it. */
TEST_F(cpuid, every_level_of_topology_has_its_number_and_the_apics)
{
	static const struct kvm_cpuid_entry2 rows[] = {
		{ .function = 0xb, .index = 0, .flags = 1, .edx = 7 },
		{ .function = 0xb, .index = 1, .flags = 1, .edx = 7 },
		{ .function = 0x1f, .index = 0, .flags = 1, .edx = 7 },
	};
	struct df_vcpu vcpu = { .vm = &unit_vm };
	u64 *regs = vcpu.regs;

	self->answer->nent = ARRAY_SIZE(rows);
	memcpy(self->answer->entries, rows, sizeof(rows));
	ASSERT_EQ(0, cpuid_set(&vcpu, self->answer));
	regs[DF_RAX] = 0xb;
	regs[DF_RCX] = 0x102;
	cpuid_handle(&vcpu);
	EXPECT_EQ(0, regs[DF_RAX] | regs[DF_RBX]);
	EXPECT_EQ(2, regs[DF_RCX]);
	EXPECT_EQ(7, regs[DF_RDX]);
	/* There is no second level of this one. */
	regs[DF_RAX] = 0x1f;
	regs[DF_RCX] = 2;
	cpuid_handle(&vcpu);
	EXPECT_EQ(0, regs[DF_RCX] | regs[DF_RDX]);
	kfree(vcpu.cpuid);
}

TEST_F(cpuid, of_leaves_that_are_given_twice_the_first_counts)
{
	static const struct {
		u32 leaf, subleaf, eax;
	} rows[] = { { 9, 0, 1 }, { 4, 1, 2 }, { 9, 0, 3 }, { 4, 0, 4 }, { 4, 1, 5 } };
	struct df_vcpu it = { .vm = &unit_vm };
	struct df_vcpu *vcpu = &it;

	self->answer->nent = ARRAY_SIZE(rows);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		self->answer->entries[i] = (struct kvm_cpuid_entry2){
			.function = rows[i].leaf,
			.index = rows[i].subleaf,
			.flags = rows[i].leaf == 4 ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
			.eax = rows[i].eax,
		};
	}
	ASSERT_EQ(0, cpuid_set(vcpu, self->answer));
	EXPECT_EQ(1, cpuid_find(vcpu, 9, 0)->eax);
	EXPECT_EQ(1, cpuid_find(vcpu, 9, 7)->eax);
	EXPECT_EQ(4, cpuid_find(vcpu, 4, 0)->eax);
	EXPECT_EQ(2, cpuid_find(vcpu, 4, 1)->eax);
	EXPECT_EQ(NULL, cpuid_find(vcpu, 4, 2));
	EXPECT_EQ(NULL, cpuid_find(vcpu, 5, 0));
	kfree(vcpu->cpuid);
}

TEST_HARNESS_MAIN
