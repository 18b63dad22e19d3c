/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What x86 keeps in each VM and vCPU.
 */
#ifndef DF_X86_TYPES_H
#define DF_X86_TYPES_H

#include <linux/kvm.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/types.h>

struct df_vcpu;
struct vmx_region;

/* The order of general registers in ModRM and in our save area. */
enum { DF_RAX, DF_RCX, DF_RDX, DF_RBX, DF_RSP, DF_RBP, DF_RSI, DF_RDI, DF_R8, DF_NR_GPRS = 16 };

/**
 * struct df_ept - a VM's second-level page tables
 * @lock: guards the tables
 * @root: the top one, of 512 entries
 */
struct df_ept {
	struct mutex lock;
	u64 *root;
};

struct df_vm_arch {
	struct df_ept ept;
	unsigned long *msr_bitmap;
};

/**
 * struct vmx_exit - what the CPU said of the last exit
 *
 * Read while the VMCS is current, so that the handlers need no VMCS.
 */
struct vmx_exit {
	u32 reason;
	u32 intr_info;
	u32 intr_error;
	u32 insn_len;
	u32 idt_info;
	u32 idt_error;
	u64 qualification;
	u64 gpa;
};

/* Which cached registers are newer than the VMCS. */
#define DF_DIRTY_RIP		BIT(0)
#define DF_DIRTY_RSP		BIT(1)
#define DF_DIRTY_RFLAGS		BIT(2)
#define DF_DIRTY_ALL		(DF_DIRTY_RIP | DF_DIRTY_RSP | DF_DIRTY_RFLAGS)

/* MSRs that run with the guest's value between vmx_guest_in() and _out(). */
enum {
	DF_MSR_STAR,
	DF_MSR_LSTAR,
	DF_MSR_SYSCALL_MASK,
	DF_MSR_KERNEL_GS_BASE,
	DF_MSR_TSC_AUX,
	DF_NR_MSRS
};

struct df_vcpu_arch {
	u64 regs[DF_NR_GPRS];	/* RSP is a cache of the VMCS */
	u64 rip;		/* likewise */
	u64 rflags;		/* likewise */
	u32 dirty;
	u64 cr2;

	struct vmx_region *vmcs;
	struct list_head loaded;	/* on the CPU's list; that CPU's, interrupts off */
	int cpu;			/* that VMCS is, or was last, active on; -1: none */
	bool launched;
	u16 vpid;
	struct vmx_exit exit;

	/* An event whose delivery an exit cut short, or that user space asked for. */
	u32 inject_info;
	u32 inject_error;
	u32 inject_len;

	u64 guest_msrs[DF_NR_MSRS];
	u64 host_msrs[DF_NR_MSRS];
	u16 host_ds, host_es, host_fs, host_gs;
	u64 host_fs_base;

	u64 apic_base;
	u64 cr8;
	void *fpu;			/* standard-format XSAVE area */
	u64 xcr0;

	struct kvm_cpuid_entry2 *cpuid;
	u32 nr_cpuid;

	/* Finishes, at the next KVM_RUN, what left for user space half done. */
	int (*complete)(struct df_vcpu *vcpu);
	u8 pio_size;
};

#endif
