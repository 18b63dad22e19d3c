// SPDX-License-Identifier: GPL-2.0-only
#include <linux/sort.h>

#include "x86.h"

#define MAX_ENTRIES	256	/* as KVM */

#define LEAF_CACHES	4
#define LEAF_TOPOLOGY	0xb
#define LEAF_XSTATE	0xd
#define LEAF_TOPOLOGY2	0x1f

#define APIC		BIT(9)		/* EDX of leaf 1 */
#define X2APIC		BIT(21)		/* ECX */
#define OSXSAVE		BIT(27)

#define CACHE_TYPE	0x1f
#define ARAT		BIT(2)		/* the APIC's timer does not stop */

/* They are sorted: where this leaf is, if it is there. */
static noinline const struct kvm_cpuid_entry2 *search(const struct df_vcpu *vcpu, u32 leaf)
{
	const struct kvm_cpuid_entry2 *e = vcpu->cpuid;
	u32 n = vcpu->nr_cpuid;

	while (n) {
		u32 half = n / 2;

		if (e[half].function < leaf) {
			e += half + 1;
			n -= half + 1;
		} else {
			n = half;
		}
	}
	return e;
}

/* The first 32 leaves of each of the four ranges, which guests ask for most. */
#define NEAR_SLOT(leaf)		(rol32(leaf, 2) % DF_NR_NEAR_LEAVES)
#define NEAR_LEAF(slot)		rol32(slot, 30)

/* Where it begins, if it is a near one and there; if not, this is another leaf's. */
static __always_inline const struct kvm_cpuid_entry2 *near(const struct df_vcpu *vcpu,
							   u32 leaf)
{
	return (const void *)vcpu->cpuid + vcpu->near_cpuid[NEAR_SLOT(leaf)];
}

static void find_near(struct df_vcpu *vcpu)
{
	for (u32 slot = 0; slot < DF_NR_NEAR_LEAVES; slot++) {
		u32 leaf = NEAR_LEAF(slot);
		size_t n = search(vcpu, leaf) - vcpu->cpuid;

		/* What follows XCR0 is more work anyway. */
		if (n == vcpu->nr_cpuid || leaf == LEAF_XSTATE)
			n = 0;
		vcpu->near_cpuid[slot] = n * sizeof(*vcpu->cpuid);
	}
}

/* Of those with the same leaf the first that user space gave is the one. */
static const struct kvm_cpuid_entry2 *find(const struct df_vcpu *vcpu, u32 leaf, u32 subleaf)
{
	const struct kvm_cpuid_entry2 *e, *end = vcpu->cpuid + vcpu->nr_cpuid;

	if (!vcpu->nr_cpuid)
		return NULL;
	e = near(vcpu, leaf);
	if (e->function != leaf)
		e = search(vcpu, leaf);
	for (; e < end && e->function == leaf; e++)
		if (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == subleaf)
			return e;
	return NULL;
}

const struct kvm_cpuid_entry2 *cpuid_find(const struct df_vcpu *vcpu, u32 leaf, u32 subleaf)
{
	return find(vcpu, leaf, subleaf);
}

bool cpuid_has(const struct df_vcpu *vcpu, u32 leaf, u32 subleaf, enum cpuid_regs_idx reg,
	       unsigned int bit)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(vcpu, leaf, subleaf);

	return e && (&e->eax)[reg] & BIT(bit);
}

u64 cpuid_xfeatures(const struct df_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(vcpu, LEAF_XSTATE, 0);

	return e ? (e->eax | (u64)e->edx << 32) & fpu_features() : XFEATURE_MASK_FP;
}

/* "KVMKVMKVM": its own leaves are where this is, the features in the next one. */
static const u32 signature[] = { 0x4b4d564b, 0x564b4d56, 0x4d };

#define PV_LEAVES_END	(KVM_CPUID_SIGNATURE + 0x10000)
#define PV_LEAVES_STEP	0x100

static struct kvm_cpuid_entry2 *find_pv(const struct df_vcpu *vcpu)
{
	for (u32 leaf = KVM_CPUID_SIGNATURE; leaf < PV_LEAVES_END; leaf += PV_LEAVES_STEP) {
		const struct kvm_cpuid_entry2 *e = cpuid_find(vcpu, leaf, 0);

		if (e && !memcmp(&e->ebx, signature, sizeof(signature)))
			return (struct kvm_cpuid_entry2 *)cpuid_find(vcpu, leaf + 1, 0);
	}
	return NULL;
}

/* A guest whose HLT does not exit cannot be kicked out of it. */
static void mask_pv(struct df_vcpu *vcpu)
{
	const struct df_vm *vm = vcpu->vm;
	struct kvm_cpuid_entry2 *e = find_pv(vcpu);

	if (e && READ_ONCE(vm->arch.disabled_exits) & KVM_X86_DISABLE_EXITS_HLT)
		e->eax &= ~(u32)BIT(KVM_FEATURE_PV_UNHALT);
}

void cpuid_pv_enforce(struct df_vcpu *vcpu, bool enforce)
{
	const struct kvm_cpuid_entry2 *e = find_pv(vcpu);

	vcpu->pv_enforced = enforce;
	vcpu->pv_features = !enforce ? ~0U : e ? e->eax : 0;
}

/* What follows the registers, whatever user space says; the VMCS current. */
static __always_inline u32 follow_cr4(u32 ecx)
{
	u32 on = vmcs_peek(GUEST_CR4) & X86_CR4_OSXSAVE;

	return (ecx & ~OSXSAVE) | on * (OSXSAVE / X86_CR4_OSXSAVE);
}

static __always_inline u32 follow_apic(const struct df_vcpu *vcpu, u32 edx)
{
	u32 on = vcpu->apic_base & MSR_IA32_APICBASE_ENABLE;

	return (edx & ~APIC) | on / (MSR_IA32_APICBASE_ENABLE / APIC);
}

static bool follows_xcr0(u32 leaf, u32 subleaf)
{
	return leaf == LEAF_XSTATE && subleaf < 2;
}

static void follow_registers(const struct df_vcpu *vcpu, struct kvm_cpuid_entry2 *e)
{
	if (e->function == 1) {
		e->ecx = follow_cr4(e->ecx);
		e->edx = follow_apic(vcpu, e->edx);
	} else if (follows_xcr0(e->function, e->index)) {
		e->ebx = fpu_size(vcpu->xcr0, e->index == 1);
	}
}

/*
 * What is not there is zeroes; but any level of topology has its own number and the
 * x2APIC ID, as KVM has it: if there is a second one.
 */
static noinline void answer_none(struct df_vcpu *vcpu, u32 leaf, u32 subleaf)
{
	const struct kvm_cpuid_entry2 *e = NULL;

	if (leaf == LEAF_TOPOLOGY || leaf == LEAF_TOPOLOGY2)
		e = cpuid_find(vcpu, leaf, 1);
	vcpu->regs[DF_RAX] = 0;
	vcpu->regs[DF_RBX] = 0;
	vcpu->regs[DF_RCX] = e ? (u8)subleaf : 0;
	vcpu->regs[DF_RDX] = e ? e->edx : 0;
}

/* By hand, not by a copy of the entry: there are not many exits that come more often. */
static __always_inline void answer(struct df_vcpu *vcpu, const struct kvm_cpuid_entry2 *e)
{
	u64 *regs = vcpu->regs;

	regs[DF_RAX] = e->eax;
	regs[DF_RBX] = e->ebx;
	regs[DF_RCX] = e->ecx;
	regs[DF_RDX] = e->edx;
}

/* Of a near leaf that has no subleaves. */
static __always_inline bool answer_plain(struct df_vcpu *vcpu, u32 leaf)
{
	const struct kvm_cpuid_entry2 *e = near(vcpu, leaf);

	if (unlikely(!vcpu->nr_cpuid || e->function != leaf || e->flags))
		return false;
	answer(vcpu, e);
	if (leaf == 1) {
		vcpu->regs[DF_RCX] = follow_cr4(e->ecx);
		vcpu->regs[DF_RDX] = follow_apic(vcpu, e->edx);
	}
	return true;
}

static bool is_faulting(const struct df_vcpu *vcpu)
{
	return vcpu->stored_msrs[DF_STORED_MISC_FEATURES] & MSR_MISC_FEATURES_ENABLES_CPUID_FAULT &&
	       VMX_AR_DPL(vmcs_read(GUEST_SS_AR_BYTES));
}

/* What remains, from faults to subleaves. */
static noinline int answer_rest(struct df_vcpu *vcpu)
{
	u32 leaf = vcpu->regs[DF_RAX], subleaf = vcpu->regs[DF_RCX];
	const struct kvm_cpuid_entry2 *e = find(vcpu, leaf, subleaf);

	if (is_faulting(vcpu)) {
		events_gp(vcpu);
		return run_prepare(vcpu);
	}
	if (!e) {
		answer_none(vcpu, leaf, subleaf);
	} else {
		struct kvm_cpuid_entry2 now = *e;

		now.index = subleaf;
		follow_registers(vcpu, &now);
		answer(vcpu, &now);
	}
	return run_finish(vcpu);
}

int cpuid_handle(struct df_vcpu *vcpu)
{
	if (unlikely(vcpu->stored_msrs[DF_STORED_MISC_FEATURES] ||
		     !answer_plain(vcpu, vcpu->regs[DF_RAX])))
		return answer_rest(vcpu);
	return run_finish(vcpu);
}

/* The place that user space gave it is kept where nothing else is. */
#define PLACE(e)	((e)->padding[0])

static u64 key(const struct kvm_cpuid_entry2 *e)
{
	return (u64)e->function << 32 | PLACE(e);
}

static int compare(const void *a, const void *b)
{
	return key(a) < key(b) ? -1 : 1;
}

static void sort_entries(struct kvm_cpuid_entry2 *entries, u32 n)
{
	for (u32 i = 0; i < n; i++) {
		memset(entries[i].padding, 0, sizeof(entries[i].padding));
		PLACE(&entries[i]) = i;
	}
	sort(entries, n, sizeof(*entries), compare, NULL);
}

/* Also what KVM_GET_CPUID2 has given, in which some bits are those of now. */
static bool is_same(const struct df_vcpu *vcpu, const struct kvm_cpuid_entry2 *new, u32 n)
{
	if (n != vcpu->nr_cpuid)
		return false;
	for (u32 i = 0; i < n; i++) {
		struct kvm_cpuid_entry2 a = vcpu->cpuid[i], b = new[i];

		follow_registers(vcpu, &a);
		follow_registers(vcpu, &b);
		if (memcmp(&a, &b, sizeof(a)))
			return false;
	}
	return true;
}

/* A vCPU that has run keeps what it has. */
static int keep(struct df_vcpu *vcpu, const struct kvm_cpuid_entry2 *entries, u32 n)
{
	bool same;

	if (run_vmcs_begin(vcpu))
		return -EIO;
	same = is_same(vcpu, entries, n);
	run_vmcs_end();
	return same ? 0 : -EINVAL;
}

int cpuid_set(struct df_vcpu *vcpu, struct kvm_cpuid2 __user *user)
{
	struct kvm_cpuid_entry2 *entries = NULL;
	struct kvm_cpuid2 head;

	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	if (head.nent > MAX_ENTRIES)
		return -E2BIG;
	if (head.nent) {
		entries = df_memdup_user(user->entries, head.nent, sizeof(*entries));
		if (IS_ERR(entries))
			return PTR_ERR(entries);
		sort_entries(entries, head.nent);
	}
	if (vcpu->has_run) {
		int err = keep(vcpu, entries, head.nent);

		kfree(entries);
		return err;
	}
	kfree(vcpu->cpuid);
	vcpu->cpuid = entries;
	vcpu->nr_cpuid = head.nent;
	find_near(vcpu);
	mask_pv(vcpu);
	cpuid_pv_enforce(vcpu, vcpu->pv_enforced);

	if (run_vmcs_begin(vcpu))
		return -EIO;
	state_follow_cpuid(vcpu);
	vmcs_follow_cpuid(vcpu);
	run_vmcs_end();
	return 0;
}

int cpuid_get(struct df_vcpu *vcpu, struct kvm_cpuid2 __user *user)
{
	u32 room;

	if (get_user(room, &user->nent))
		return -EFAULT;
	if (room < vcpu->nr_cpuid)
		return -E2BIG;
	for (u32 i = 0; i < vcpu->nr_cpuid; i++) {
		struct kvm_cpuid_entry2 e = vcpu->cpuid[i];
		u32 place = PLACE(&e);

		if (run_vmcs_begin(vcpu))
			return -EIO;
		follow_registers(vcpu, &e);
		run_vmcs_end();
		PLACE(&e) = 0;
		if (copy_to_user(&user->entries[place], &e, sizeof(e)))
			return -EFAULT;
	}
	return put_user(vcpu->nr_cpuid, &user->nent);
}

#define PV_CLOCK	(BIT(KVM_FEATURE_CLOCKSOURCE) | BIT(KVM_FEATURE_CLOCKSOURCE2) | \
			 BIT(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT))
#define PV_FEATURES	(PV_CLOCK | BIT(KVM_FEATURE_NOP_IO_DELAY) | \
			 BIT(KVM_FEATURE_PV_UNHALT) | BIT(KVM_FEATURE_PV_SEND_IPI) | \
			 BIT(KVM_FEATURE_POLL_CONTROL))

/*
 * What a guest can have of each leaf, as masks of the CPU's own answer. A bit is
 * here when everything that hangs on it works. As KVM's, it is without what user
 * space offers on its own account: TSC_DEADLINE_TIMER, HYPERVISOR, MSI_EXT_DEST_ID.
 */
static const struct supported {
	u32 leaf, subleaf, eax, ebx, ecx, edx;
} supported[] = {
	/* The highest leaf, and the vendor. */
	{ 0, 0, ~0U, ~0U, ~0U, ~0U },
	/*
	 * Family, model, stepping; CLFLUSH's line. SSE3 PCLMULQDQ SSSE3 FMA CX16 PCID
	 * SSE4.1 SSE4.2 X2APIC MOVBE POPCNT AES XSAVE AVX F16C RDRAND. FPU VME DE PSE TSC MSR
	 * PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2 SS.
	 */
	{ 1, 0, ~0U, 0x0000ff00, 0x76fa3203, 0x0f8bfbff },
	/* Caches, in the old form. */
	{ 2, 0, ~0U, ~0U, ~0U, ~0U },
	/* Caches, and how many IDs of APICs share one: the host's, for user space to change. */
	{ LEAF_CACHES, 0, ~0U, ~0U, ~0U, ~0U },
	{ LEAF_CACHES, 1, ~0U, ~0U, ~0U, ~0U },
	{ LEAF_CACHES, 2, ~0U, ~0U, ~0U, ~0U },
	{ LEAF_CACHES, 3, ~0U, ~0U, ~0U, ~0U },
	{ LEAF_CACHES, 4, ~0U, ~0U, ~0U, ~0U },
	{ 6, 0, ARAT, 0, 0, 0 },
	/*
	 * The highest subleaf. FSGSBASE TSC_ADJUST BMI1 AVX2 FDP_EXCPTN_ONLY SMEP BMI2 ERMS
	 * INVPCID ZERO_FCS_FDS AVX512F/DQ RDSEED ADX SMAP AVX512IFMA CLFLUSHOPT CLWB
	 * AVX512CD SHA AVX512BW/VL. AVX512VBMI UMIP VBMI2 GFNI VAES VPCLMULQDQ VNNI BITALG
	 * VPOPCNTDQ RDPID CLDEMOTE MOVDIRI MOVDIR64B. FSRM VP2INTERSECT MD_CLEAR SERIALIZE
	 * ARCH_CAPABILITIES.
	 */
	{ 7, 0, 0, 0xf1bf27eb, 0x1a405f46, 0x20004510 },
	/* No topology that is the host's. */
	{ LEAF_TOPOLOGY, 0, 0, 0, 0, 0 },
	/* The features of XCR0: cut to fpu_features(). */
	{ LEAF_XSTATE, 0, ~0U, 0, ~0U, 0 },
	/* XSAVEOPT XSAVEC XGETBV1 XSAVES. */
	{ LEAF_XSTATE, 1, 0xf, 0, 0, 0 },
	{ LEAF_XSTATE, 2, ~0U, ~0U, ~0U, 0 },
	{ LEAF_XSTATE, 5, ~0U, ~0U, ~0U, 0 },
	{ LEAF_XSTATE, 6, ~0U, ~0U, ~0U, 0 },
	{ LEAF_XSTATE, 7, ~0U, ~0U, ~0U, 0 },
	{ LEAF_TOPOLOGY2, 0, 0, 0, 0, 0 },
	/* The highest leaf of KVM's, and its signature. */
	{ KVM_CPUID_SIGNATURE, 0, ~0U, ~0U, ~0U, ~0U },
	{ KVM_CPUID_FEATURES, 0, PV_FEATURES, 0, 0, 0 },
	{ 0x80000000, 0, ~0U, 0, 0, 0 },
	/* LAHF ABM PREFETCHW; SYSCALL NX 1GB-PAGES RDTSCP LM. */
	{ 0x80000001, 0, 0, 0, 0x00000121, 0x2c100800 },
	/* The L2 cache. */
	{ 0x80000006, 0, 0, 0, ~0U, 0 },
	/* The TSC's rate does not change. */
	{ 0x80000007, 0, 0, 0, 0, 0x00000100 },
	/* Bits of a physical and a linear address. */
	{ 0x80000008, 0, 0x0000ffff, 0, 0, 0 },
};

#define MAX_BASIC_LEAF		LEAF_TOPOLOGY2
#define MAX_EXTENDED_LEAF	0x80000008

static bool has_subleaves(u32 leaf)
{
	return leaf == LEAF_CACHES || leaf == 7 || leaf == LEAF_TOPOLOGY ||
	       leaf == LEAF_XSTATE || leaf == LEAF_TOPOLOGY2;
}

static void mask_xstate(struct kvm_cpuid_entry2 *e)
{
	u64 features = fpu_features();

	if (e->index == 0) {
		e->eax &= features;
		e->ebx = fpu_size(features, false);
		e->ecx = e->ebx;
	} else if (e->index == 1) {
		e->eax &= boot_cpu_data.x86_capability[CPUID_D_1_EAX];
		if (e->eax & (BIT(1) | BIT(3)))
			e->ebx = fpu_size(features, true);
	} else if (!(features & BIT_ULL(e->index))) {
		e->eax = 0;
		e->ebx = 0;
		e->ecx = 0;
	}
}

/* What the host's kernel has turned off, a guest does not get either. */
static void mask_by_host(struct kvm_cpuid_entry2 *e)
{
	const u32 *host = boot_cpu_data.x86_capability;

	switch (e->function) {
	case 0:
		e->eax = min_t(u32, e->eax, MAX_BASIC_LEAF);
		break;
	case 1:
		/* The host's may be off: a guest's is not made of it. */
		e->ecx = (e->ecx & host[CPUID_1_ECX]) | X2APIC;
		e->edx &= host[CPUID_1_EDX];
		break;
	case 6:
		/* Whatever the host's does: a guest's is not made of it. */
		e->eax = ARAT;
		break;
	case 7:
		e->ebx &= host[CPUID_7_0_EBX];
		e->ecx &= host[CPUID_7_ECX];
		e->edx &= host[CPUID_7_EDX];
		break;
	case LEAF_XSTATE:
		mask_xstate(e);
		break;
	case KVM_CPUID_FEATURES:
		if (!clock_is_offered())
			e->eax &= ~PV_CLOCK;
		break;
	case 0x80000000:
		e->eax = min_t(u32, e->eax, MAX_EXTENDED_LEAF);
		break;
	case 0x80000001:
		e->ecx &= host[CPUID_8000_0001_ECX];
		e->edx &= host[CPUID_8000_0001_EDX];
		break;
	}
}

/* The CPU's, and ours. */
static void full_answer(struct kvm_cpuid_entry2 *e)
{
	switch (e->function) {
	case KVM_CPUID_SIGNATURE:
		e->eax = KVM_CPUID_FEATURES;
		e->ebx = signature[0];
		e->ecx = signature[1];
		e->edx = signature[2];
		break;
	case KVM_CPUID_FEATURES:
		e->eax = ~0U;
		break;
	default:
		cpuid_count(e->function, e->index, &e->eax, &e->ebx, &e->ecx, &e->edx);
	}
}

static struct kvm_cpuid_entry2 supported_entry(const struct supported *row)
{
	struct kvm_cpuid_entry2 e = { .function = row->leaf, .index = row->subleaf };

	if (has_subleaves(row->leaf))
		e.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	full_answer(&e);
	e.eax &= row->eax;
	e.ebx &= row->ebx;
	e.ecx &= row->ecx;
	e.edx &= row->edx;
	mask_by_host(&e);
	return e;
}

/* The CPU has this leaf; of its caches, one that there is or the end of them. */
static bool is_there(const struct supported *row)
{
	struct kvm_cpuid_entry2 e = { .function = row->leaf & BIT(31) };

	if (row->leaf == KVM_CPUID_SIGNATURE || row->leaf == KVM_CPUID_FEATURES)
		return true;
	full_answer(&e);
	if (row->leaf > e.eax)
		return false;
	if (row->leaf != LEAF_CACHES || !row->subleaf)
		return true;
	e.function = LEAF_CACHES;
	e.index = row->subleaf - 1;
	full_answer(&e);
	return e.eax & CACHE_TYPE;
}

bool cpuid_is_supported(u32 leaf, enum cpuid_regs_idx reg, unsigned int bit)
{
	for (size_t i = 0; i < ARRAY_SIZE(supported); i++)
		if (supported[i].leaf == leaf) {
			struct kvm_cpuid_entry2 e = supported_entry(&supported[i]);

			return (&e.eax)[reg] & BIT(bit);
		}
	return false;
}

int cpuid_get_supported(struct kvm_cpuid2 __user *user)
{
	struct kvm_cpuid2 head;
	u32 n = 0;

	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	for (size_t i = 0; i < ARRAY_SIZE(supported); i++)
		n += is_there(&supported[i]);
	if (head.nent < n)
		return -E2BIG;
	head.nent = 0;
	for (size_t i = 0; i < ARRAY_SIZE(supported); i++) {
		struct kvm_cpuid_entry2 e = supported_entry(&supported[i]);

		if (is_there(&supported[i]) &&
		    copy_to_user(&user->entries[head.nent++], &e, sizeof(e)))
			return -EFAULT;
	}
	return copy_to_user(user, &head, sizeof(head)) ? -EFAULT : 0;
}
