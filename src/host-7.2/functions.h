/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What 7.2's kernel does otherwise than 6.12's, or does for KVM alone.
 */
#ifndef DF_HOST_7_2_FUNCTIONS_H
#define DF_HOST_7_2_FUNCTIONS_H

#include <linux/cpu.h>
#include <linux/irqbypass.h>
#include <linux/timekeeping.h>
#include <asm/cpuid/api.h>
#include <asm/debugreg.h>
#include <asm/msr.h>
#include <asm/perf_event.h>
#include <asm/processor.h>

#define ktime_get_snapshot(now)	ktime_get_snapshot_id(CLOCK_REALTIME, now)
#define snapshot_real		systime

#define xfer_to_guest_mode_handle_work(vcpu)	((void)(vcpu), xfer_to_guest_mode_handle_work())

/* The kernel itself switches VMX off where it finds it on. */
#define cpu_emergency_register_virt_callback(callback)		((void)(callback))
#define cpu_emergency_unregister_virt_callback(callback)	((void)(callback))

/* ---- for KVM alone --------------------------------------------------------------------- */

/* In the CPU, and not in the kernel's shadow of it: see df_host_vmx_is_brief(). */
#define cr4_set_bits(bits)	df_host_write_cr4(__read_cr4() | (bits))
#define cr4_clear_bits(bits)	df_host_write_cr4(__read_cr4() & ~(unsigned long)(bits))

static inline void df_host_write_cr4(unsigned long cr4)
{
	asm volatile("mov %0, %%cr4" : : "r" (cr4) : "memory");
}

/* Where VMXON stops Processor Trace, its driver goes on when it is next scheduled. */
#define intel_pt_handle_vmx(on)	((void)(on))

/* Who asks for L1TF to be ignored and for nothing else, is not heard. */
#define l1tf_mitigation	(cpu_mitigations_off() ? L1TF_MITIGATION_OFF : L1TF_MITIGATION_FULL)

/* The kernel would let the thread go on with the detection off. */
#define handle_guest_split_lock(ip)	((void)(ip), false)

#define indirect_branch_prediction_barrier() do {			\
	if (cpu_feature_enabled(X86_FEATURE_IBPB))			\
		native_wrmsrq(MSR_IA32_PRED_CMD, PRED_CMD_IBPB);	\
} while (0)

/*
 * None counts while the guest runs: perf does not say which of its counters are to.
 * Context: Preemption off.
 */
struct perf_guest_switch_msr *df_host_pause_counters(int *nr);
#define perf_guest_get_msrs(nr, data)	((void)(data), df_host_pause_counters(nr))

/* The host's breakpoints; nobody but perf knows where it has them. Preemption off. */
void df_host_save_breakpoints(void);
#define df_host_save_breakpoints df_host_save_breakpoints
void df_host_restore_breakpoints(void);
#define hw_breakpoint_restore()	df_host_restore_breakpoints()

#endif
