// SPDX-License-Identifier: GPL-2.0-only
#include "x86.h"

/* What we want of each field of controls. */
#define WANT_PIN	(PIN_BASED_EXT_INTR_MASK | PIN_BASED_NMI_EXITING | PIN_BASED_VIRTUAL_NMIS)
#define WANT_PRIMARY	(CPU_BASED_HLT_EXITING | CPU_BASED_UNCOND_IO_EXITING |		\
			 CPU_BASED_USE_MSR_BITMAPS | CPU_BASED_USE_TSC_OFFSETTING |	\
			 CPU_BASED_MWAIT_EXITING | CPU_BASED_MONITOR_EXITING |		\
			 CPU_BASED_MOV_DR_EXITING | CPU_BASED_RDPMC_EXITING |		\
			 CPU_BASED_CR8_LOAD_EXITING | CPU_BASED_CR8_STORE_EXITING |	\
			 CPU_BASED_ACTIVATE_SECONDARY_CONTROLS)
#define WANT_SECONDARY	(SECONDARY_EXEC_ENABLE_EPT | SECONDARY_EXEC_UNRESTRICTED_GUEST |	\
			 SECONDARY_EXEC_ENABLE_VPID | SECONDARY_EXEC_ENABLE_RDTSCP |	\
			 SECONDARY_EXEC_ENABLE_INVPCID | SECONDARY_EXEC_WBINVD_EXITING |	\
			 SECONDARY_EXEC_ENABLE_XSAVES | SECONDARY_EXEC_PAUSE_LOOP_EXITING)
#define WANT_EXIT	(VM_EXIT_HOST_ADDR_SPACE_SIZE | VM_EXIT_SAVE_IA32_EFER |	\
			 VM_EXIT_LOAD_IA32_EFER | VM_EXIT_SAVE_IA32_PAT |		\
			 VM_EXIT_LOAD_IA32_PAT | VM_EXIT_SAVE_DEBUG_CONTROLS |		\
			 VM_EXIT_ACK_INTR_ON_EXIT)
#define WANT_ENTRY	(VM_ENTRY_LOAD_IA32_EFER | VM_ENTRY_LOAD_IA32_PAT |		\
			 VM_ENTRY_LOAD_DEBUG_CONTROLS)

/*
 * PAUSEs of a spin are less than the gap apart, and one of longer than the
 * window is for nothing; in cycles, as KVM has them.
 */
#define PAUSE_GAP	128
#define PAUSE_WINDOW	4096

static struct {
	u32 pin, primary, secondary, exit, entry;
	u32 secondary_allowed;
	bool switches_counters;
} controls;

/* Low half: bits that must be 1. High half: bits that may be. */
static u32 resolve(u64 capability, u32 want)
{
	return (want | (u32)capability) & (u32)(capability >> 32);
}

/* perf, if it drives the counters, names the MSRs that it wants switched. */
static bool has_counters(void)
{
	struct perf_guest_switch_msr *msrs;
	int nr = 0;

	guard(preempt)();
	msrs = perf_guest_get_msrs(&nr, NULL);
	return msrs && nr && msrs[0].msr == MSR_CORE_PERF_GLOBAL_CTRL;
}

void vmcs_resolve_controls(void)
{
	const u64 *msr = vmx_host_caps.msr;

	controls.pin = resolve(msr[VMX_CAP_PIN], WANT_PIN);
	controls.primary = resolve(msr[VMX_CAP_PRIMARY], WANT_PRIMARY);
	controls.secondary_allowed = msr[VMX_CAP_SECONDARY] >> 32;
	controls.secondary = resolve(msr[VMX_CAP_SECONDARY], WANT_SECONDARY);
	controls.exit = resolve(msr[VMX_CAP_EXIT], WANT_EXIT);
	controls.entry = resolve(msr[VMX_CAP_ENTRY], WANT_ENTRY);

	/* Both or none, and only where the host's perf says what to load. */
	controls.switches_counters = boot_cpu_has(X86_FEATURE_ARCH_PERFMON) &&
		msr[VMX_CAP_ENTRY] >> 32 & VM_ENTRY_LOAD_IA32_PERF_GLOBAL_CTRL &&
		msr[VMX_CAP_EXIT] >> 32 & VM_EXIT_LOAD_IA32_PERF_GLOBAL_CTRL &&
		has_counters();
	if (controls.switches_counters) {
		controls.entry |= VM_ENTRY_LOAD_IA32_PERF_GLOBAL_CTRL;
		controls.exit |= VM_EXIT_LOAD_IA32_PERF_GLOBAL_CTRL;
	}
}

bool vmcs_switches_counters(void)
{
	return controls.switches_counters;
}

void vmcs_switch_counters(u64 guest, u64 host)
{
	vmcs_write(GUEST_IA32_PERF_GLOBAL_CTRL, guest);
	vmcs_write(HOST_IA32_PERF_GLOBAL_CTRL, host);
}

bool vmcs_can(u32 secondary)
{
	return controls.secondary_allowed & secondary;
}

void vmcs_set(enum vmcs_field controls, u32 bits, bool on)
{
	u64 now = vmcs_read(controls);

	vmcs_write(controls, on ? now | bits : now & ~(u64)bits);
}

/*
 * #MC is the host's. #DB and #AC can be made to raise themselves while they are
 * delivered, for ever and without an interrupt getting through: each comes here
 * first.
 */
void vmcs_set_exceptions(u32 others)
{
	vmcs_write(EXCEPTION_BITMAP, BIT(X86_TRAP_MC) | BIT(X86_TRAP_DB) | BIT(X86_TRAP_AC) |
				     others);
}

unsigned long vmcs_host_gate(u8 vector)
{
	struct desc_ptr idt;

	store_idt(&idt);
	return gate_offset((const gate_desc *)idt.address + vector);
}

/* Nothing of this is used, and no field is 0 by itself. */
static const u16 unused[] = {
	HOST_DS_SELECTOR, HOST_ES_SELECTOR, HOST_FS_SELECTOR, HOST_GS_SELECTOR, HOST_FS_BASE,
	XSS_EXIT_BITMAP, PAGE_FAULT_ERROR_CODE_MASK, PAGE_FAULT_ERROR_CODE_MATCH,
	CR3_TARGET_COUNT, VM_EXIT_MSR_STORE_COUNT, VM_EXIT_MSR_LOAD_COUNT,
	VM_ENTRY_MSR_LOAD_COUNT, VM_ENTRY_INTR_INFO_FIELD,
};

/* Of the guest, after a reset. */
static const u16 zeroes[] = {
	GUEST_GDTR_BASE, GUEST_IDTR_BASE, GUEST_CR3, GUEST_IA32_DEBUGCTL, GUEST_SYSENTER_CS,
	GUEST_SYSENTER_ESP, GUEST_SYSENTER_EIP, GUEST_INTERRUPTIBILITY_INFO,
	GUEST_ACTIVITY_STATE, GUEST_PENDING_DBG_EXCEPTIONS,
};

static void init_host(void)
{
	struct desc_ptr idt;

	store_idt(&idt);
	vmcs_write(HOST_CR0, read_cr0());
	vmcs_write(HOST_IDTR_BASE, idt.address);
	vmcs_write(HOST_RIP, (unsigned long)vmx_exit_point);
	vmcs_write(HOST_CS_SELECTOR, __KERNEL_CS);
	vmcs_write(HOST_SS_SELECTOR, __KERNEL_DS);
	vmcs_write(HOST_TR_SELECTOR, GDT_ENTRY_TSS * 8);
	vmcs_write(HOST_IA32_EFER, read_msr_or_0(MSR_EFER));
	vmcs_write(HOST_IA32_PAT, read_msr_or_0(MSR_IA32_CR_PAT));
	vmcs_write(HOST_IA32_SYSENTER_CS, read_msr_or_0(MSR_IA32_SYSENTER_CS));
	vmcs_write(HOST_IA32_SYSENTER_EIP, read_msr_or_0(MSR_IA32_SYSENTER_EIP));
}

void vmcs_host_on_cpu(void)
{
	const struct ldttss_desc *tss;
	struct desc_ptr gdt;

	native_store_gdt(&gdt);
	tss = (void *)(gdt.address + GDT_ENTRY_TSS * 8);
	vmcs_write(HOST_GDTR_BASE, gdt.address);
	vmcs_write(HOST_TR_BASE, tss->base0 | (u64)tss->base1 << 16 | (u64)tss->base2 << 24 |
				 (u64)tss->base3 << 32);
	vmcs_write(HOST_GS_BASE, read_msr_or_0(MSR_GS_BASE));
	vmcs_write(HOST_IA32_SYSENTER_ESP, read_msr_or_0(MSR_IA32_SYSENTER_ESP));
}

/* What those that user space does without are controlled by. */
static void disable_exits(u64 exits)
{
	u32 off = 0;

	if (exits & KVM_X86_DISABLE_EXITS_HLT)
		off |= CPU_BASED_HLT_EXITING;
	vmcs_write(CPU_BASED_VM_EXEC_CONTROL, controls.primary & ~off);
	if (exits & KVM_X86_DISABLE_EXITS_PAUSE)
		vmcs_use(SECONDARY_EXEC_PAUSE_LOOP_EXITING, false);
}

static void init_controls(struct df_vcpu *vcpu)
{
	vmcs_write(PIN_BASED_VM_EXEC_CONTROL, controls.pin);
	vmcs_write(SECONDARY_VM_EXEC_CONTROL, controls.secondary);
	disable_exits(READ_ONCE(vcpu->vm->arch.disabled_exits));
	vmcs_write(VM_EXIT_CONTROLS, controls.exit);
	vmcs_write(VM_ENTRY_CONTROLS, controls.entry);
	vmcs_write(VIRTUAL_PROCESSOR_ID, vcpu->vpid);
	vmcs_write(EPT_POINTER, mapping_pointer(vcpu->vm));
	vmcs_write(VMCS_LINK_POINTER, ~0ULL);
	if (vmcs_can(SECONDARY_EXEC_PAUSE_LOOP_EXITING)) {
		vmcs_write(PLE_GAP, PAUSE_GAP);
		vmcs_write(PLE_WINDOW, PAUSE_WINDOW);
	}

	vmcs_set_exceptions(0);
	for (size_t i = 0; i < ARRAY_SIZE(unused); i++)
		vmcs_write(unused[i], 0);
}

void vmcs_set_segment(int n, u16 selector, u64 base, u32 limit, u32 access)
{
	vmcs_write(GUEST_ES_SELECTOR + 2 * n, selector);
	vmcs_write(GUEST_ES_BASE + 2 * n, base);
	vmcs_write(GUEST_ES_LIMIT + 2 * n, limit);
	vmcs_write(GUEST_ES_AR_BYTES + 2 * n, access);
}

/* SDM, "Processor State After Reset", and which of it INIT leaves alone. */
void vmcs_reset(struct df_vcpu *vcpu, bool init)
{
	const struct kvm_cpuid_entry2 *version = cpuid_find(vcpu, 1, 0);
	u64 cr0 = init ? state_cr0() & (X86_CR0_NW | X86_CR0_CD) : X86_CR0_NW | X86_CR0_CD;

	memset(vcpu->regs, 0, sizeof(vcpu->regs));
	vcpu->regs[DF_RDX] = version ? version->eax : 0x600;
	vcpu->rip = 0xfff0;
	vcpu->rflags = X86_EFLAGS_FIXED;
	vcpu->dirty |= DF_DIRTY_ALL;

	vmcs_set_segment(DF_SEG_CS, 0xf000, 0xffff0000, 0xffff, 0x9b);
	for (int n = 0; n < DF_SEG_LDTR; n++)
		if (n != DF_SEG_CS)
			vmcs_set_segment(n, 0, 0, 0xffff, 0x93);
	vmcs_set_segment(DF_SEG_LDTR, 0, 0, 0xffff, 0x82);
	vmcs_set_segment(DF_SEG_TR, 0, 0, 0xffff, 0x8b);
	vmcs_write(GUEST_GDTR_LIMIT, 0xffff);
	vmcs_write(GUEST_IDTR_LIMIT, 0xffff);

	for (size_t i = 0; i < ARRAY_SIZE(zeroes); i++)
		vmcs_write(zeroes[i], 0);
	state_set_cr0(X86_CR0_ET | cr0);
	state_set_cr4(vcpu, 0);
	state_set_efer(vcpu, 0);
	if (!init)
		vmcs_write(GUEST_IA32_PAT, 0x0007040600070406ULL);
	vmcs_write(GUEST_DR7, 0x400);
	/* Paging is off now. */
	vmx_invvpid_context(vcpu->vpid);
}

/* Instructions that are there with their feature in CPUID and raise #UD without. */
static const struct {
	u32 control;
	bool exiting;	/* the control takes it away */
	u32 leaf, subleaf;
	u8 reg, bit;
} features[] = {
	{ SECONDARY_EXEC_ENABLE_INVPCID, false, 7, 0, CPUID_EBX, 10 },
	{ SECONDARY_EXEC_RDRAND_EXITING, true, 1, 0, CPUID_ECX, 30 },
	{ SECONDARY_EXEC_RDSEED_EXITING, true, 7, 0, CPUID_EBX, 18 },
	{ SECONDARY_EXEC_ENABLE_XSAVES, false, 0xd, 1, CPUID_EAX, 3 },
};

void vmcs_follow_cpuid(const struct df_vcpu *vcpu)
{
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		bool has = cpuid_has(vcpu, features[i].leaf, features[i].subleaf, features[i].reg,
				     features[i].bit);

		if (vmcs_can(features[i].control))
			vmcs_use(features[i].control, has != features[i].exiting);
	}
	/* RDTSCP and RDPID. */
	vmcs_use(SECONDARY_EXEC_ENABLE_RDTSCP,
		 cpuid_has(vcpu, 0x80000001, 0, CPUID_EDX, 27) ||
		 cpuid_has(vcpu, 7, 0, CPUID_ECX, 22));
}

void vmcs_init(struct df_vcpu *vcpu)
{
	init_controls(vcpu);
	init_host();
	vmcs_reset(vcpu, false);
	apic_mode_vmcs(vcpu);
	state_follow_cpuid(vcpu);
	vmcs_follow_cpuid(vcpu);
}
