// SPDX-License-Identifier: GPL-2.0-only
/*
 * The one table of VMX features.  Pure: it is also compiled, and tested, on
 * the build machine (selftests/unit/).
 */
#include <linux/kernel.h>
#include <linux/string.h>
#include <asm/msr-index.h>
#include <asm/vmx.h>

#include "features.h"

#define ROW(_required, _capability, _mask, _value, _name, _need)	\
	{ _name, _need, VMX_CAP_##_capability, _mask, _value, _required }

/* A control that may be set: the high half of its MSR has its bit. */
#define CONTROL(bit)			((u64)(bit) << 32)
#define NEED_CONTROL(cap, bit, ...)	ROW(true, cap, CONTROL(bit), CONTROL(bit), __VA_ARGS__)
#define USE_CONTROL(cap, bit, ...)	ROW(false, cap, CONTROL(bit), CONTROL(bit), __VA_ARGS__)

/* Tertiary controls have an MSR of allowed bits and no low half. */
#define USE_TERTIARY(bit, ...)		ROW(false, TERTIARY, bit, bit, __VA_ARGS__)

/* A bit of an MSR that is a list of features. */
#define NEED_BIT(cap, bit, ...)		ROW(true, cap, bit, bit, __VA_ARGS__)
#define USE_BIT(cap, bit, ...)		ROW(false, cap, bit, bit, __VA_ARGS__)

/* IA32_VMX_EPT_VPID_CAP has VPID's half on top of EPT's. */
#define VPID(bit)			((u64)(bit) << 32)
#define EPT_WRITE_BACK			BIT_ULL(14)

#define BASIC_MEMORY_TYPE		GENMASK_ULL(53, 50)
#define BASIC_WRITE_BACK		(6ULL << 50)

const struct vmx_feature vmx_features[] = {
	ROW(true, BASIC, BASIC_MEMORY_TYPE, BASIC_WRITE_BACK,
	    "VMCS in write-back memory", "a VMCS is ordinary kernel memory"),
	NEED_BIT(BASIC, VMX_BASIC_TRUE_CTLS,
		 "true control MSRs", "controls that default to 1 are turned off"),
	NEED_BIT(BASIC, VMX_BASIC_INOUT,
		 "INS/OUTS exit information", "string port I/O needs no decoder"),

	NEED_CONTROL(PIN, PIN_BASED_EXT_INTR_MASK,
		     "external-interrupt exiting", "the host gets its interrupts"),
	NEED_CONTROL(PIN, PIN_BASED_NMI_EXITING,
		     "NMI exiting", "the host gets its NMIs"),
	NEED_CONTROL(PIN, PIN_BASED_VIRTUAL_NMIS,
		     "virtual NMIs", "a guest's NMI blocking is kept by hardware"),
	NEED_CONTROL(PIN, PIN_BASED_VMX_PREEMPTION_TIMER,
		     "VMX-preemption timer",
		     "the host's deadline is kept while the guest has the timer"),
	NEED_CONTROL(PIN, PIN_BASED_POSTED_INTR,
		     "posted interrupts", "an interrupt reaches a running vCPU without an exit"),

	NEED_CONTROL(PRIMARY, CPU_BASED_ACTIVATE_SECONDARY_CONTROLS,
		     "secondary controls", "EPT and APIC virtualization are among them"),
	NEED_CONTROL(PRIMARY, CPU_BASED_TPR_SHADOW,
		     "TPR shadow", "the virtual-APIC page exists"),
	NEED_CONTROL(PRIMARY, CPU_BASED_USE_MSR_BITMAPS,
		     "MSR bitmaps", "most MSRs do not exit"),
	NEED_CONTROL(PRIMARY, CPU_BASED_UNCOND_IO_EXITING,
		     "unconditional I/O exiting", "ports need no bitmap"),
	NEED_CONTROL(PRIMARY, CPU_BASED_USE_TSC_OFFSETTING,
		     "TSC offsetting", "RDTSC does not exit"),
	NEED_CONTROL(PRIMARY, CPU_BASED_HLT_EXITING,
		     "HLT exiting", "an idle vCPU gives its core away"),
	NEED_CONTROL(PRIMARY, CPU_BASED_INTR_WINDOW_EXITING,
		     "interrupt-window exiting", "user space can inject an interrupt"),
	NEED_CONTROL(PRIMARY, CPU_BASED_NMI_WINDOW_EXITING,
		     "NMI-window exiting", "an NMI can wait for the one before it"),

	NEED_CONTROL(SECONDARY, SECONDARY_EXEC_ENABLE_EPT,
		     "EPT", "guest memory is translated without exits"),
	NEED_CONTROL(SECONDARY, SECONDARY_EXEC_UNRESTRICTED_GUEST,
		     "unrestricted guest", "real mode runs without an emulator"),
	NEED_CONTROL(SECONDARY, SECONDARY_EXEC_ENABLE_VPID,
		     "VPID", "the TLB survives exits"),
	NEED_CONTROL(SECONDARY, SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES,
		     "virtualize APIC accesses", "xAPIC guests need no decoder"),
	NEED_CONTROL(SECONDARY, SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE,
		     "virtualize x2APIC mode", "x2APIC guests reach the virtual-APIC page by MSR"),
	NEED_CONTROL(SECONDARY, SECONDARY_EXEC_APIC_REGISTER_VIRT,
		     "APIC-register virtualization", "reading the APIC does not exit"),
	NEED_CONTROL(SECONDARY, SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY,
		     "virtual-interrupt delivery",
		     "interrupts are delivered and ended without exits"),
	NEED_CONTROL(SECONDARY, SECONDARY_EXEC_ENABLE_RDTSCP,
		     "RDTSCP enabling", "a guest reads the TSC with its CPU's number"),
	NEED_CONTROL(SECONDARY, SECONDARY_EXEC_ENABLE_INVPCID,
		     "INVPCID enabling", "a guest flushes by PCID without exits"),
	NEED_CONTROL(SECONDARY, SECONDARY_EXEC_ENABLE_XSAVES,
		     "XSAVES enabling", "a guest has supervisor state of its own"),
	USE_CONTROL(SECONDARY, SECONDARY_EXEC_ENABLE_PML,
		    "page-modification logging", "the dirty log costs no write faults"),
	USE_CONTROL(SECONDARY, SECONDARY_EXEC_TSC_SCALING,
		    "TSC scaling", "a guest keeps its TSC frequency when it moves"),
	USE_CONTROL(SECONDARY, SECONDARY_EXEC_PAUSE_LOOP_EXITING,
		    "PAUSE-loop exiting", "a spinning vCPU on a shared core gives way"),
	USE_TERTIARY(TERTIARY_EXEC_IPI_VIRT,
		     "IPI virtualization", "sending an IPI does not exit"),

	NEED_CONTROL(EXIT, VM_EXIT_HOST_ADDR_SPACE_SIZE,
		     "host address-space size", "the host is 64-bit"),
	NEED_CONTROL(EXIT, VM_EXIT_ACK_INTR_ON_EXIT,
		     "acknowledge interrupt on exit", "posted interrupts ask for it"),
	NEED_CONTROL(EXIT, VM_EXIT_SAVE_IA32_EFER | VM_EXIT_LOAD_IA32_EFER,
		     "save and load IA32_EFER on exit", "a guest has its own EFER"),
	NEED_CONTROL(EXIT, VM_EXIT_SAVE_IA32_PAT | VM_EXIT_LOAD_IA32_PAT,
		     "save and load IA32_PAT on exit", "a guest has its own PAT"),
	NEED_CONTROL(EXIT, VM_EXIT_SAVE_VMX_PREEMPTION_TIMER,
		     "save the preemption timer on exit", "what is left of a deadline is known"),

	NEED_CONTROL(ENTRY, VM_ENTRY_IA32E_MODE,
		     "IA-32e mode guest", "guests are 64-bit"),
	NEED_CONTROL(ENTRY, VM_ENTRY_LOAD_IA32_EFER,
		     "load IA32_EFER on entry", "a guest has its own EFER"),
	NEED_CONTROL(ENTRY, VM_ENTRY_LOAD_IA32_PAT,
		     "load IA32_PAT on entry", "a guest has its own PAT"),

	NEED_BIT(EPT_VPID, VMX_EPT_PAGE_WALK_4_BIT,
		 "EPT page walk of 4 levels", "guest memory is mapped by it"),
	NEED_BIT(EPT_VPID, EPT_WRITE_BACK,
		 "EPT structures in write-back memory", "they are ordinary kernel memory"),
	NEED_BIT(EPT_VPID, VMX_EPT_2MB_PAGE_BIT,
		 "EPT 2 MiB pages", "a VM's memory costs few tables"),
	USE_BIT(EPT_VPID, VMX_EPT_1GB_PAGE_BIT,
		"EPT 1 GiB pages", "a large VM's memory costs next to none"),
	NEED_BIT(EPT_VPID, VMX_EPT_AD_BIT,
		 "EPT accessed and dirty flags", "the dirty log is kept by hardware"),
	NEED_BIT(EPT_VPID, VMX_EPT_INVEPT_BIT | VMX_EPT_EXTENT_CONTEXT_BIT |
			   VMX_EPT_EXTENT_GLOBAL_BIT,
		 "INVEPT, single and all contexts", "a mapping can be taken away"),
	NEED_BIT(EPT_VPID, VPID(VMX_VPID_INVVPID_BIT | VMX_VPID_EXTENT_SINGLE_CONTEXT_BIT |
				VMX_VPID_EXTENT_GLOBAL_CONTEXT_BIT),
		 "INVVPID, single and all contexts", "a VPID can be used again"),

	NEED_BIT(MISC, VMX_MISC_SAVE_EFER_LMA,
		 "EFER.LMA stored on exit", "the guest changes its mode without exits"),
	NEED_BIT(MISC, VMX_MISC_ACTIVITY_HLT,
		 "HLT activity state", "an idle vCPU on a dedicated core stays in the guest"),
	NEED_BIT(MISC, VMX_MISC_ACTIVITY_WAIT_SIPI,
		 "wait-for-SIPI activity state", "a secondary vCPU can wait in the guest"),
};

const unsigned int nr_vmx_features = ARRAY_SIZE(vmx_features);

bool vmx_has_feature(const struct vmx_capabilities *caps, const struct vmx_feature *feature)
{
	return (caps->msr[feature->capability] & feature->mask) == feature->value;
}

unsigned int vmx_name_missing(const struct vmx_capabilities *caps, char *text, size_t size)
{
	unsigned int missing = 0;
	size_t used = 0;

	if (size)
		text[0] = '\0';
	for (unsigned int i = 0; i < nr_vmx_features; i++) {
		const struct vmx_feature *f = &vmx_features[i];

		if (!f->required || vmx_has_feature(caps, f))
			continue;
		used += scnprintf(text + used, size - used, "%s%s (%s)",
				  missing ? ", " : "", f->name, f->need);
		missing++;
	}
	return missing;
}
