// SPDX-License-Identifier: GPL-2.0-only
#include <linux/sched.h>
#include <asm/fsgsbase.h>
#include <asm/gsseg.h>
#include <asm/tlbflush.h>

#include "x86.h"

/* A guest's CR0 is in the shadow; these bits the CPU has as it must, or as we want. */
#define CR0_OWNED	(X86_CR0_NE | X86_CR0_CD | X86_CR0_NW)
#define CR0_DEFINED	(X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | \
			 X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | \
			 X86_CR0_PG)

/* What any guest may set in CR4, and what hangs on its CPUID; the rest of CR4 is ours. */
#define CR4_ALWAYS	(X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE | \
			 X86_CR4_PAE | X86_CR4_MCE | X86_CR4_PGE | X86_CR4_PCE |	\
			 X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT)

/* A machine check in a guest without MCE would shut the host down. */
#define CR4_OWNED	X86_CR4_MCE

static const struct {
	u64 bits;
	u32 leaf;
	u8 reg, bit;
} cr4_features[] = {
	{ X86_CR4_PCIDE,	1, CPUID_ECX, 17 },
	{ X86_CR4_OSXSAVE,	1, CPUID_ECX, 26 },
	{ X86_CR4_FSGSBASE,	7, CPUID_EBX, 0 },
	{ X86_CR4_SMEP,		7, CPUID_EBX, 7 },
	{ X86_CR4_SMAP,		7, CPUID_EBX, 20 },
	{ X86_CR4_UMIP,		7, CPUID_ECX, 2 },
};

#define EFER_GUEST	(EFER_SCE | EFER_LME | EFER_LMA | EFER_NX)

static const u32 switched_msrs[DF_NR_MSRS] = {
	[DF_MSR_STAR]		= MSR_STAR,
	[DF_MSR_LSTAR]		= MSR_LSTAR,
	[DF_MSR_SYSCALL_MASK]	= MSR_SYSCALL_MASK,
	[DF_MSR_KERNEL_GS_BASE]	= MSR_KERNEL_GS_BASE,
	[DF_MSR_TSC_AUX]	= MSR_TSC_AUX,
};

/* Until user space says what CPU it is, it may be any. */
static bool has_cr4_feature(const struct df_vcpu *vcpu, u32 leaf, u8 reg, u8 bit)
{
	return vcpu->nr_cpuid ? cpuid_has(vcpu, leaf, 0, reg, bit) :
				cpuid_is_supported(leaf, reg, bit);
}

void state_follow_cpuid(struct df_vcpu *vcpu)
{
	u64 cr4 = state_cr4(vcpu);

	vcpu->cr4_guest = CR4_ALWAYS;
	for (size_t i = 0; i < ARRAY_SIZE(cr4_features); i++)
		if (has_cr4_feature(vcpu, cr4_features[i].leaf, cr4_features[i].reg,
				    cr4_features[i].bit))
			vcpu->cr4_guest |= cr4_features[i].bits;
	vcpu->cr4_guest &= read_msr_or_0(MSR_IA32_VMX_CR4_FIXED1);
	state_set_cr4(vcpu, cr4);
}

/* ---- between host and guest --------------------------------------------- */

/* Of MSRs that exist, with values that were checked; the host is no PV guest. */
static void set_msr(u32 msr, u64 value)
{
	native_wrmsr(msr, value, value >> 32);
}

/* What an exit loads; written only when it is another than before. */
static __always_inline void host_field(enum vmcs_field field, u64 *was, u64 value)
{
	if (unlikely(*was != value)) {
		vmcs_write(field, value);
		*was = value;
	}
}

/*
 * An exit loads flat data segments, and bases from the VMCS. The user's
 * selectors come back at the end, and after each its base.
 */
static void segments_in(struct df_vcpu *vcpu)
{
	u16 ds, es, fs, gs;

	savesegment(ds, ds);
	savesegment(es, es);
	savesegment(fs, fs);
	savesegment(gs, gs);
	store_ldt(vcpu->host_ldt);
	/* A process of 64 bits has none. */
	vcpu->host_selectors = ds | es | fs | gs | vcpu->host_ldt;
	if (unlikely(vcpu->host_selectors)) {
		vcpu->host_ds = ds;
		vcpu->host_es = es;
		vcpu->host_fs = fs;
		vcpu->host_gs = gs;
	}
	host_field(HOST_FS_BASE, &vcpu->host_fs_base, rdfsbase());
}

static noinline void selectors_out(struct df_vcpu *vcpu)
{
	if (vcpu->host_ldt)
		asm volatile("lldt %0" : : "m" (vcpu->host_ldt));
	if (vcpu->host_ds | vcpu->host_es) {
		loadsegment(ds, vcpu->host_ds);
		loadsegment(es, vcpu->host_es);
	}
	if (vcpu->host_fs) {
		loadsegment(fs, vcpu->host_fs);
		set_msr(MSR_FS_BASE, vcpu->host_fs_base);
	}
	if (vcpu->host_gs) {
		load_gs_index(vcpu->host_gs);
		set_msr(MSR_KERNEL_GS_BASE, vcpu->host_msrs[DF_MSR_KERNEL_GS_BASE]);
	}
}

static noinline void tss_out(void)
{
	invalidate_tss_limit();
}

/* An exit leaves limits of 64 KiB and 103 bytes in GDTR and TR. */
static void segments_out(struct df_vcpu *vcpu)
{
	if (unlikely(vcpu->host_selectors))
		selectors_out(vcpu);
	/* Once the kernel knows, it knows until it needs, and makes, the TSS whole. */
	if (unlikely(!this_cpu_read(__tss_limit_invalid)))
		tss_out();
	native_load_gdt(&vcpu->host_gdt);
}

/*
 * The host's STAR, LSTAR and SYSCALL_MASK are the same on every CPU from its boot
 * on, and TSC_AUX is the CPU's own; KERNEL_GS_BASE is the user's GS base. That one
 * the guest changes without an exit. Nothing looks at those of SYSCALL while it is
 * off; like them it changes by an exit to the middle ring only.
 */
static __always_inline void switch_msrs(const u64 *from, const u64 *to, bool syscall)
{
#pragma GCC unroll DF_NR_MSRS
	for (int i = 0; i < DF_NR_MSRS; i++) {
		if (i == DF_NR_ALWAYS && !syscall)
			break;
		if (from[i] != to[i])
			set_msr(switched_msrs[i], to[i]);
	}
}

static void msrs_in(struct df_vcpu *vcpu)
{
	vcpu->host_msrs[DF_MSR_KERNEL_GS_BASE] = __rdmsr(MSR_KERNEL_GS_BASE);
	switch_msrs(vcpu->host_msrs, vcpu->guest_msrs, vcpu->has_syscall);
}

static void msrs_out(struct df_vcpu *vcpu)
{
	vcpu->guest_msrs[DF_MSR_KERNEL_GS_BASE] = __rdmsr(MSR_KERNEL_GS_BASE);
	switch_msrs(vcpu->guest_msrs, vcpu->host_msrs, vcpu->has_syscall);
}

void state_host_on_cpu(struct df_vcpu *vcpu)
{
	for (int i = 0; i < DF_NR_MSRS; i++)
		vcpu->host_msrs[i] = read_msr_or_0(switched_msrs[i]);
	/* What is in the register is the read-only alias that the kernel uses. */
	native_store_gdt(&vcpu->host_gdt);
	vcpu->host_cr4 = 0;
}

void state_host_cr4(struct df_vcpu *vcpu)
{
	host_field(HOST_CR4, &vcpu->host_cr4, native_read_cr4());
}

void state_guest_in(struct df_vcpu *vcpu)
{
	segments_in(vcpu);
	msrs_in(vcpu);
	state_host_cr4(vcpu);
	host_field(HOST_CR3, &vcpu->host_cr3, __native_read_cr3());
}

void state_guest_out(struct df_vcpu *vcpu)
{
	/* Before the user's GS, whose base is loaded through the same MSR. */
	msrs_out(vcpu);
	segments_out(vcpu);
}

/* ---- control registers, the VMCS current --------------------------------- */

u64 state_cr0(void)
{
	return (vmcs_read(GUEST_CR0) & ~CR0_OWNED) | (vmcs_read(CR0_READ_SHADOW) & CR0_OWNED);
}

u64 state_cr4(const struct df_vcpu *vcpu)
{
	u64 owned = vcpu->cr4_guest & ~CR4_OWNED;

	return (vmcs_read(GUEST_CR4) & owned) | (vmcs_read(CR4_READ_SHADOW) & ~owned);
}

void state_set_cr0(u64 value)
{
	vmcs_write(CR0_GUEST_HOST_MASK, CR0_OWNED);
	vmcs_write(CR0_READ_SHADOW, value);
	vmcs_write(GUEST_CR0, (value & ~CR0_OWNED) | X86_CR0_NE | X86_CR0_ET);
}

void state_set_cr4(struct df_vcpu *vcpu, u64 value)
{
	vmcs_write(CR4_GUEST_HOST_MASK, ~vcpu->cr4_guest | CR4_OWNED);
	vmcs_write(CR4_READ_SHADOW, value);
	vmcs_write(GUEST_CR4, (value & ~CR4_OWNED) | (native_read_cr4() & CR4_OWNED) |
			      X86_CR4_VMXE);
}

void state_set_efer(struct df_vcpu *vcpu, u64 value)
{
	u64 entry = vmcs_read(VM_ENTRY_CONTROLS) & ~VM_ENTRY_IA32E_MODE;

	value &= ~EFER_LMA;
	if (value & EFER_LME && vmcs_read(GUEST_CR0) & X86_CR0_PG) {
		value |= EFER_LMA;
		entry |= VM_ENTRY_IA32E_MODE;
	}
	vcpu->has_syscall = value & EFER_SCE;
	vmcs_write(GUEST_IA32_EFER, value);
	vmcs_write(VM_ENTRY_CONTROLS, entry);
}

bool state_cr0_valid(u64 value)
{
	if (value & ~CR0_DEFINED)
		return false;
	if (value & X86_CR0_PG && !(value & X86_CR0_PE))
		return false;
	return !(value & X86_CR0_NW) || value & X86_CR0_CD;
}

/* Long mode cannot be turned on or off while paging is on. */
int state_write_efer(struct df_vcpu *vcpu, u64 value)
{
	bool fine;

	if (value & ~EFER_GUEST)
		return -EINVAL;
	if (run_vmcs_begin(vcpu))
		return -EIO;
	fine = !(vmcs_read(GUEST_CR0) & X86_CR0_PG) ||
	       !((vmcs_read(GUEST_IA32_EFER) ^ value) & EFER_LME);
	if (fine)
		state_set_efer(vcpu, value);
	run_vmcs_end();
	return fine ? 0 : -EINVAL;
}

static u8 code_bytes(u64 efer, u64 cr0)
{
	u32 cs = vmcs_read(GUEST_CS_AR_BYTES);

	if (efer & EFER_LMA && cs & VMX_AR_L_MASK)
		return 8;
	return cr0 & X86_CR0_PE && cs & VMX_AR_DB_MASK ? 4 : 2;
}

int state_mode(struct df_vcpu *vcpu, struct df_mode *mode)
{
	struct df_paging *paging = &mode->paging;

	if (run_vmcs_begin(vcpu))
		return -EIO;
	*paging = (struct df_paging){
		.cr0 = vmcs_read(GUEST_CR0),
		.cr3 = vmcs_read(GUEST_CR3),
		.cr4 = vmcs_read(GUEST_CR4),
		.efer = vmcs_read(GUEST_IA32_EFER),
		.phys_bits = boot_cpu_data.x86_phys_bits,
		.ac = vcpu->rflags & X86_EFLAGS_AC,
	};
	for (int i = 0; i < 4; i++)
		paging->pdpte[i] = vmcs_read(GUEST_PDPTR0 + 2 * i);
	mode->cpl = VMX_AR_DPL(vmcs_read(GUEST_SS_AR_BYTES));
	paging->user = mode->cpl == 3;
	mode->bytes = code_bytes(paging->efer, paging->cr0);
	mode->rights = paging->cr0 & X86_CR0_PE && !(vcpu->rflags & X86_EFLAGS_VM);
	for (int i = 0; i < DF_SEG_LDTR; i++) {
		/* In 64-bit mode only FS and GS have a base. */
		bool flat = mode->bytes == 8 && i != DF_SEG_FS && i != DF_SEG_GS;

		mode->segment[i] = (struct df_segment){
			.base = flat ? 0 : vmcs_read(GUEST_ES_BASE + 2 * i),
			.limit = vmcs_read(GUEST_ES_LIMIT + 2 * i),
			.access = vmcs_read(GUEST_ES_AR_BYTES + 2 * i),
		};
	}
	run_vmcs_end();
	return 0;
}

#define PDPTE_RESERVED	(GENMASK_ULL(8, 5) | GENMASK_ULL(2, 1))

static bool uses_pdptes(void)
{
	return vmcs_read(GUEST_CR0) & X86_CR0_PG && vmcs_read(GUEST_CR4) & X86_CR4_PAE &&
	       !(vmcs_read(GUEST_IA32_EFER) & EFER_LMA);
}

static bool pdptes_valid(const u64 *pdptes)
{
	for (int i = 0; i < 4; i++)
		if (pdptes[i] & 1 && (pdptes[i] & PDPTE_RESERVED ||
				      pdptes[i] >> boot_cpu_data.x86_phys_bits))
			return false;
	return true;
}

int state_load_pdptes(struct df_vcpu *vcpu)
{
	u64 pdptes[4], cr3;
	bool needed;
	int err;

	if (run_vmcs_begin(vcpu))
		return -EIO;
	needed = uses_pdptes();
	cr3 = vmcs_read(GUEST_CR3);
	run_vmcs_end();
	if (!needed)
		return 0;

	/* Memory may have to be read from swap: not with the VMCS in hand. */
	err = df_memory_access(vcpu->vm, cr3 & GENMASK_ULL(31, 5), pdptes, sizeof(pdptes), false);
	if (!err && !pdptes_valid(pdptes))
		err = -EINVAL;
	if (err)
		return err;
	if (run_vmcs_begin(vcpu))
		return -EIO;
	for (int i = 0; i < 4; i++)
		vmcs_write(GUEST_PDPTR0 + 2 * i, pdptes[i]);
	run_vmcs_end();
	return 0;
}

/* ---- what user space sees ------------------------------------------------- */

/* kvm_regs begins with the general registers, in an order of its own. */
static const u8 regs_order[DF_NR_GPRS] = {
	DF_RAX, DF_RBX, DF_RCX, DF_RDX, DF_RSI, DF_RDI, DF_RSP, DF_RBP,
	8, 9, 10, 11, 12, 13, 14, 15,
};

static_assert(offsetof(struct kvm_regs, rip) == sizeof_field(struct df_vcpu, regs));

int state_get_regs(struct df_vcpu *vcpu, void *arg)
{
	struct kvm_regs *regs = arg;
	u64 *r = arg;

	for (int i = 0; i < DF_NR_GPRS; i++)
		r[i] = vcpu->regs[regs_order[i]];
	regs->rip = vcpu->rip;
	regs->rflags = vcpu->rflags;
	return 0;
}

int state_set_regs(struct df_vcpu *vcpu, void *arg)
{
	const struct kvm_regs *regs = arg;
	const u64 *r = arg;

	/* Who is put elsewhere has left the HLT that did not exit. */
	if (regs->rip != vcpu->rip) {
		if (run_vmcs_begin(vcpu))
			return -EIO;
		vmcs_write(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
		run_vmcs_end();
	}
	for (int i = 0; i < DF_NR_GPRS; i++)
		vcpu->regs[regs_order[i]] = r[i];
	vcpu->rip = regs->rip;
	vcpu->rflags = regs->rflags | X86_EFLAGS_FIXED;
	vcpu->dirty |= DF_DIRTY_ALL;
	return 0;
}

/* Of a VMCS segment (SDM, "Format of Access Rights"); <asm/vmx.h> has the rest. */
#define VMX_AR_AVL_SHIFT	12

static struct kvm_segment get_segment(int n)
{
	u32 ar = vmcs_read(GUEST_ES_AR_BYTES + 2 * n);

	return (struct kvm_segment){
		.base		= vmcs_read(GUEST_ES_BASE + 2 * n),
		.limit		= vmcs_read(GUEST_ES_LIMIT + 2 * n),
		.selector	= vmcs_read(GUEST_ES_SELECTOR + 2 * n),
		.type		= ar & VMX_AR_TYPE_MASK,
		.s		= !!(ar & VMX_AR_S_MASK),
		.dpl		= VMX_AR_DPL(ar),
		.present	= !!(ar & VMX_AR_P_MASK) && !(ar & VMX_AR_UNUSABLE_MASK),
		.avl		= ar >> VMX_AR_AVL_SHIFT & 1,
		.l		= !!(ar & VMX_AR_L_MASK),
		.db		= !!(ar & VMX_AR_DB_MASK),
		.g		= !!(ar & VMX_AR_G_MASK),
		.unusable	= !!(ar & VMX_AR_UNUSABLE_MASK),
	};
}

static void set_segment(int n, const struct kvm_segment *s)
{
	/* Of one that is unusable too: SS has the CPL. */
	u32 ar = (s->type & VMX_AR_TYPE_MASK) | (s->s & 1) << 4 | (s->dpl & 3) << 5 |
		 VMX_AR_P_MASK | (s->avl & 1) << VMX_AR_AVL_SHIFT | (s->l & 1) << 13 |
		 (s->db & 1) << 14 | (s->g & 1) << 15;

	if (s->unusable || !s->present)
		ar |= VMX_AR_UNUSABLE_MASK;
	/* The CPU wants of data segments at entry what software seldom keeps. */
	else if (n < DF_SEG_LDTR && n != DF_SEG_CS)
		ar |= VMX_AR_TYPE_ACCESSES_MASK;
	vmcs_set_segment(n, s->selector, s->base, s->limit, ar);
}

/* Both structures of KVM's begin with the segments, in an order of its own. */
static const u8 segments_order[] = {
	DF_SEG_CS, DF_SEG_DS, DF_SEG_ES, DF_SEG_FS, DF_SEG_GS, DF_SEG_SS, DF_SEG_TR, DF_SEG_LDTR,
};

int state_get_sregs(struct df_vcpu *vcpu, void *arg)
{
	struct kvm_sregs2 *sregs = arg;

	if (run_vmcs_begin(vcpu))
		return -EIO;
	*sregs = (struct kvm_sregs2){
		.gdt = { vmcs_read(GUEST_GDTR_BASE), vmcs_read(GUEST_GDTR_LIMIT) },
		.idt = { vmcs_read(GUEST_IDTR_BASE), vmcs_read(GUEST_IDTR_LIMIT) },
		.cr0 = state_cr0(),
		.cr2 = vcpu->cr2,
		.cr3 = vmcs_read(GUEST_CR3),
		.cr4 = state_cr4(vcpu),
		.cr8 = lapic_cr8(vcpu),
		.efer = vmcs_read(GUEST_IA32_EFER),
		.apic_base = vcpu->apic_base,
	};
	for (size_t i = 0; i < ARRAY_SIZE(segments_order); i++)
		(&sregs->cs)[i] = get_segment(segments_order[i]);
	if (uses_pdptes()) {
		sregs->flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
		for (int i = 0; i < 4; i++)
			sregs->pdptrs[i] = vmcs_read(GUEST_PDPTR0 + 2 * i);
	}
	run_vmcs_end();
	return 0;
}

static bool sregs_valid(const struct df_vcpu *vcpu, const struct kvm_sregs2 *sregs)
{
	if (!state_cr0_valid(sregs->cr0) || sregs->cr4 & ~vcpu->cr4_guest ||
	    sregs->efer & ~EFER_GUEST || sregs->cr8 & ~0xfULL)
		return false;
	/* Long mode is paging with PAE, and nothing else. */
	if (sregs->efer & EFER_LME && sregs->cr0 & X86_CR0_PG) {
		if (!(sregs->cr4 & X86_CR4_PAE) || !(sregs->efer & EFER_LMA))
			return false;
	} else if (sregs->efer & EFER_LMA || sregs->cs.l) {
		return false;
	}
	if (sregs->flags & ~(u64)KVM_SREGS2_FLAGS_PDPTRS_VALID)
		return false;
	if (sregs->flags && !(sregs->cr0 & X86_CR0_PG && sregs->cr4 & X86_CR4_PAE &&
			      !(sregs->efer & EFER_LMA)))
		return false;
	return !(sregs->cr3 >> boot_cpu_data.x86_phys_bits);
}

static void set_cr8(struct df_vcpu *vcpu, u64 value)
{
	vcpu->cr8 = value;
	if (lapic_is_here(vcpu)) {
		lapic_put(vcpu, APIC_TASKPRI, value << 4);
		vcpu->dirty |= DF_DIRTY_APIC;
	}
}

int state_set_sregs(struct df_vcpu *vcpu, void *arg)
{
	const struct kvm_sregs2 *sregs = arg;

	if (!sregs_valid(vcpu, sregs) || lapic_set_base(vcpu, sregs->apic_base, true))
		return -EINVAL;
	if (run_vmcs_begin(vcpu))
		return -EIO;
	for (size_t i = 0; i < ARRAY_SIZE(segments_order); i++)
		set_segment(segments_order[i], &(&sregs->cs)[i]);
	vmcs_write(GUEST_GDTR_BASE, sregs->gdt.base);
	vmcs_write(GUEST_GDTR_LIMIT, sregs->gdt.limit);
	vmcs_write(GUEST_IDTR_BASE, sregs->idt.base);
	vmcs_write(GUEST_IDTR_LIMIT, sregs->idt.limit);
	vcpu->cr2 = sregs->cr2;
	set_cr8(vcpu, sregs->cr8);
	vmcs_write(GUEST_CR3, sregs->cr3);
	state_set_cr0(sregs->cr0);
	state_set_cr4(vcpu, sregs->cr4);
	state_set_efer(vcpu, sregs->efer);
	vmx_invvpid_context(vcpu->vpid);
	if (sregs->flags & KVM_SREGS2_FLAGS_PDPTRS_VALID)
		for (int i = 0; i < 4; i++)
			vmcs_write(GUEST_PDPTR0 + 2 * i, sregs->pdptrs[i]);
	run_vmcs_end();
	if (sregs->flags & KVM_SREGS2_FLAGS_PDPTRS_VALID)
		return 0;
	return state_load_pdptes(vcpu) == -EIO ? -EIO : 0;
}
