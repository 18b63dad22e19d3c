/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What x86 keeps in each VM and vCPU.
 */
#ifndef DF_X86_TYPES_H
#define DF_X86_TYPES_H

#include <linux/bits.h>
#include <linux/cpumask.h>
#include <linux/kvm.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/rcuwait.h>
#include <linux/signal_types.h>
#include <linux/spinlock_types.h>
#include <linux/types.h>
#include <asm/apicdef.h>
#include <asm/desc_defs.h>
#include <asm/vmx.h>

#include "emulate/access.h"
#include "ept.h"

struct bypass_cpu;
struct dragonfly_area;
struct df_slot;
struct df_vcpu;
struct df_vm;
struct eventfd_ctx;
struct lapic_page;
struct msi_msg;
struct msr_filter;
struct perf_guest_switch_msr;
struct pi_desc;
struct vmx_capabilities;
struct vmx_region;

/* The exit reasons that a counter is kept of, and their names. */
#define DF_NR_EXIT_REASONS	78
#define DF_EXIT_REASON_NAMES	VMX_EXIT_REASONS

/* The order of general registers in ModRM and in our save area. */
enum { DF_RAX, DF_RCX, DF_RDX, DF_RBX, DF_RSP, DF_RBP, DF_RSI, DF_RDI, DF_R8, DF_NR_GPRS = 16 };

/**
 * struct df_vm_arch - x86's part of a VM
 * @ept: its own lock
 * @cpus: those that a vCPU has been on, where a TLB may know @ept
 * @irqchip: vCPUs have their APICs in the kernel; does not change once there are any
 * @split: and user space has other controllers beside; as @irqchip
 * @x2apic_api: KVM_X2APIC_API_*; df_vm.lock
 * @boot_cpu: the ID of the one that runs after a reset; as @irqchip
 * @max_vcpu_id: one more than the largest that may be; as @irqchip
 * @bus_cycle_ns: of the APIC timer; as @irqchip
 * @bypass: VT-d posts to vCPUs, or IPIs are virtualized, or were; df_irq.lock
 * @ipi_table: of the vCPUs' descriptors, for IPI virtualization, or NULL; as @irqchip
 * @apic_page: what backs the xAPIC's page, or NULL until one is used; df_vm.lock
 * @user_msrs: reasons (KVM_MSR_EXIT_REASON_*) to ask user space about an MSR; df_vm.lock
 * @msr_filter: KVM_X86_SET_MSR_FILTER's, or NULL; RCU, and df_vm.lock
 * @disabled_exits: KVM_X86_DISABLE_EXITS_*, of vCPUs that are to come
 * @dedicated: vCPUs have CPUs for themselves; as @irqchip
 * @area: the guest's own posted interrupts, or NULL; as @irqchip, and df_irq.lock
 * @notifier: the CPU that looks at it, or -1; as @irqchip
 * @notified: on the list of that CPU
 * @no_platform_info: guests have no MSR_PLATFORM_INFO
 * @pml: vCPUs log the pages that they dirty; df_vm.lock
 * @tsc_lock: guards the next three
 * @tsc_offset: of a new vCPU: what the last write of user space to a TSC made
 * @clock_tsc: of the host's TSC, when kvmclock was @clock_ns
 * @clock_ns: nanoseconds
 * @tsc_khz: of vCPUs that are to come; 0: the host's
 * @wall_clock: MSR_KVM_WALL_CLOCK
 */
struct df_vm_arch {
	struct df_ept ept;
	struct cpumask cpus;
	bool irqchip, split;
	u64 x2apic_api;
	u32 boot_cpu, max_vcpu_id;
	u64 bus_cycle_ns;
	bool bypass;
	u64 *ipi_table;
	void *apic_page;
	u64 user_msrs;
	struct msr_filter __rcu *msr_filter;
	u64 disabled_exits;
	bool dedicated, no_platform_info;
	struct dragonfly_area *area;
	int notifier;
	struct list_head notified;
	bool pml;
	spinlock_t tsc_lock;
	u64 tsc_offset, clock_tsc, clock_ns;
	u32 tsc_khz;
	u64 wall_clock;
};

/**
 * struct vmx_exit - what the CPU said of the last exit
 *
 * Read while the VMCS is current, so that the handlers of the middle ring need
 * no VMCS.
 */
struct vmx_exit {
	u32 reason, insn_len;
	u32 intr_info, intr_error;
	u32 insn_info;
	u32 idt_info;
	u64 qualification, gpa;
};

/* Which cached registers are newer than the VMCS. */
#define DF_DIRTY_RIP		BIT(0)
#define DF_DIRTY_RSP		BIT(1)
#define DF_DIRTY_RFLAGS		BIT(2)
#define DF_DIRTY_DR7		BIT(3)
/* An instruction was finished in software: its shadow ends, its trap is due. */
#define DF_DIRTY_SKIPPED	BIT(4)
#define DF_DIRTY_PAST		(DF_DIRTY_RIP | DF_DIRTY_SKIPPED)
/* RVI and SVI; the controls that the APIC's mode asks for; whose EOIs exit. */
#define DF_DIRTY_APIC		BIT(5)
#define DF_DIRTY_APIC_MODE	BIT(6)
#define DF_DIRTY_EOI		BIT(7)
#define DF_DIRTY_ALL		(DF_DIRTY_RIP | DF_DIRTY_RSP | DF_DIRTY_RFLAGS | DF_DIRTY_DR7)

/* MSRs that run with the guest's value between state_guest_in() and _out(). */
enum {
	DF_MSR_KERNEL_GS_BASE,
	DF_MSR_TSC_AUX,
	DF_NR_ALWAYS,		/* from here on, only if the guest has SYSCALL on */
	DF_MSR_STAR = DF_NR_ALWAYS,
	DF_MSR_LSTAR,
	DF_MSR_SYSCALL_MASK,
	DF_NR_MSRS
};

#define DF_NR_NEAR_LEAVES	128	/* of CPUID, the first 32 of each range */

#define DF_MC_BANKS		32	/* of machine checks, at most; as KVM */

/* MSRs that are a number in memory. */
enum {
	DF_STORED_CSTAR, DF_STORED_MISC_ENABLE, DF_STORED_UCODE_REV, DF_STORED_PLATFORM_INFO,
	DF_STORED_MISC_FEATURES, DF_STORED_ARCH_CAPABILITIES, DF_STORED_DEBUGCTL,
	DF_STORED_POWER_CTL, DF_STORED_POLL_CONTROL, DF_STORED_HWCR, DF_STORED_MTRR_DEF_TYPE,
	DF_STORED_MTRR_FIXED,
	DF_STORED_MTRR_VARIABLE = DF_STORED_MTRR_FIXED + 11,
	DF_STORED_MCG_CAP = DF_STORED_MTRR_VARIABLE + 2 * 8,
	DF_STORED_MCG_STATUS, DF_STORED_MCG_CTL,
	DF_STORED_MC_BANKS,
	DF_NR_STORED = DF_STORED_MC_BANKS + 4 * DF_MC_BANKS
};

/* What a vCPU is asked to do before it enters the guest again; bits of @requests. */
enum {
	DF_REQ_PML,
	DF_REQ_CLOCK,		/* kvmclock is another */
	DF_REQ_NMI,		/* one more has come */
	DF_REQ_INIT,
	DF_REQ_SIPI,
	DF_REQ_KICK,		/* by KVM_HC_KICK_CPU: HLT is over */
	DF_REQ_APIC_MODE,	/* there is a page for the xAPIC now, or a filter of MSRs */
	DF_REQ_EOI,		/* others want to know of EOIs */
	DF_REQ_EOI_TO_USER,	/* tell user space of one */
};

/* Those that are served with the VMCS at hand; the others before. */
#define DF_REQ_ON_ENTRY		BIT(DF_REQ_PML)

/* Where a vCPU is; DF_KICKED is in the guest too, and has been asked to leave it. */
enum { DF_OUTSIDE, DF_IN_GUEST, DF_KICKED };

/**
 * struct df_lapic - a vCPU's local APIC; its thread's, but for the page
 * @page: its registers, or NULL
 * @pi: its posted-interrupt descriptor: in @page, or where the guest has it too
 * @deadline: the host's TSC at which the timer fires, or 0
 * @period: of the timer, in the host's TSC, if it is periodic
 * @tsc_deadline: IA32_TSC_DEADLINE
 * @timer_mode: of LVTT, before it is written
 * @timer_shift: of TDCR, likewise: a count is so many bits of bus cycles
 * @timer_on: the VMX-preemption timer runs
 * @cpu_has_deadline: the timer of the CPU that is the vCPU's own can be the guest's
 * @passes: it is: the guest's writes to IA32_TSC_DEADLINE do not exit
 * @swapped: right now; @deadline is the host's, and what was it is in the CPU
 * @posts: its interrupt is the notification of what the guest has posted itself
 * @host_masked: the host's timer was masked before
 * @host_deadline: what was in the CPU before
 * @eoi_vector: the one of DF_REQ_EOI_TO_USER
 * @errors: what ESR will read, when it is written next
 * @eoi_exits: vectors whose EOI somebody waits for
 * @to_wake: vCPUs that this one has sent something, and that may be waiting
 * @waits_on: the CPU whose notifications wake the vCPU, or NULL
 * @waiting: on its list
 */
struct df_lapic {
	struct lapic_page *page;
	struct pi_desc *pi;
	u64 deadline, period, tsc_deadline;
	u32 timer_mode;
	u8 timer_shift;
	bool timer_on, cpu_has_deadline, passes, swapped;
	bool posts, host_masked;
	u64 host_deadline;
	u8 eoi_vector;
	u32 errors;
	u64 eoi_exits[4];
	u64 to_wake;
	struct bypass_cpu *waits_on;
	struct hlist_node waiting;
};

/* A vCPU. There is no part of it that is src/'s alone: one pointer leads to all of it. */
struct df_vcpu {
	u64 regs[DF_NR_GPRS];	/* RSP is a cache of the VMCS; first, for vmx_enter() */
	u64 rip;		/* likewise */
	u64 rflags;		/* likewise, without the TF of guest debug */

	/* All that src/ knows of it. */
	struct df_vm *vm;		/* whose lifetime it shares */
	u32 id;				/* as user space numbers it */
	struct mutex lock;		/* one thread at a time runs it or looks at it */
	struct kvm_run *run;		/* shared with user space, which may write at any time */
	sigset_t sigmask;		/* signals while it runs */
	bool has_sigmask;		/* ... are these */

	u32 dirty;
	u64 cr2;
	unsigned long requests;
	int where;

	struct vmx_region *vmcs;
	struct list_head loaded;	/* on the CPU's list; that CPU's, interrupts off */
	int cpu;			/* that VMCS is, or was last, active on; -1: none */
	int own_cpu;			/* that is dedicated to the vCPU, or -1 */
	bool launched;
	bool apart;			/* exits are handled outside of the inner ring */
	u16 vpid;
	struct vmx_exit exit;
	u64 exits[DF_NR_EXIT_REASONS];

	/* An event whose delivery an exit cut short, or that is to be raised. */
	u32 inject_info, inject_error, inject_len;
	union {
		struct {
			u8 nmi_pending;		/* how many */
			bool nmi_window;	/* its control is on */
			bool interrupt_pending;	/* KVM_INTERRUPT's */
			bool interrupt_window;
			bool wants_window;	/* user space does */
			bool mce_pending;
		};
		u64 waiting;			/* any of them */
	};
	u8 interrupt_vector;
	bool nmis_blocked;		/* at the last HLT */
	u32 shadowed;			/* interruptibility, when the guest was last left */

	u64 guest_msrs[DF_NR_MSRS], host_msrs[DF_NR_MSRS];
	u64 stored_msrs[DF_NR_STORED];
	bool has_syscall;		/* the guest, by its EFER */
	u16 host_ds, host_es, host_fs, host_gs, host_ldt;
	u16 host_selectors;		/* any of them */
	u64 host_fs_base, host_cr3, host_cr4;	/* as they are in the VMCS */
	struct desc_ptr host_gdt;
	struct perf_guest_switch_msr *counters;	/* of the host, as of the last entry */
	int nr_counters;

	u64 cr4_guest;			/* what the guest may set in CR4 */
	u64 apic_base;
	u64 cr8;			/* without an APIC in the kernel */
	struct df_lapic lapic;
	struct rcuwait wait;		/* in HLT, or to be started */
	u32 mp_state;
	u8 sipi_vector;
	bool kicked;
	void *fpu;			/* standard-format XSAVE area */
	u64 xcr0;

	u64 db[4], dr6, dr7;		/* the guest's */
	struct kvm_guest_debug debug;	/* user space's; control 0: none */

	u64 tsc_offset, tsc_adjust;
	u64 tsc_ratio;			/* guest's to host's rate, 48 fractional bits */
	u32 tsc_khz;

	u64 system_time;		/* MSR_KVM_SYSTEM_TIME */
	bool clock_stopped;		/* the guest is to be told that it stood still */

	u64 *pml;			/* page-modification log, or NULL */
	u16 pml_index;			/* what the last exit left of it */
	bool pml_on;

	struct kvm_cpuid_entry2 *cpuid;
	u32 nr_cpuid;
	u16 near_cpuid[DF_NR_NEAR_LEAVES];	/* how far into it each is */
	u32 pv_features;		/* KVM_FEATURE_* that the guest may use */
	bool pv_enforced;		/* ... are those of its CPUID */
	bool has_run;

	/* Finishes, at the next KVM_RUN, what left for user space half done. */
	int (*complete)(struct df_vcpu *vcpu);
	struct df_access access;

	struct eventfd_ctx *kick;	/* to be signalled outside of the inner ring */
};

#endif
