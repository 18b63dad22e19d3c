/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host kernel: the only place that knows one version of it from another.
 */
#ifndef DF_HOST_H
#define DF_HOST_H

#include <linux/entry-kvm.h>
#include <linux/kvm.h>
#include <linux/percpu.h>
#include <linux/types.h>
#include <asm/cpufeature.h>
#include <asm/nospec-branch.h>

#ifdef DF_HOST_6_1
#include "host-6.1/functions.h"
#elif defined(DF_HOST_7_2)
#include "host-7.2/functions.h"
#endif

struct eventfd_ctx;
struct irq_bypass_consumer;
struct mm_struct;

/**
 * df_host_uses_fred() - does this kernel deliver its events by FRED?
 *
 * An exit caused by an NMI is passed on to the host through the IDT, which
 * such a kernel does not use.
 *
 * Context: Any.
 */
bool df_host_uses_fred(void);

/**
 * df_host_vmx_is_brief() - may VMX be on only while interrupts are off?
 *
 * Where CR4's shadow is the kernel's and KVM's alone: whoever writes CR4 by it
 * would clear VMXE, which is a fault in VMX operation. An interrupt may.
 */
static __always_inline bool df_host_vmx_is_brief(void)
{
	return __is_defined(DF_HOST_7_2);
}

/**
 * df_host_interrupt_flags() - RFLAGS that the handler of an interrupt is to return to
 *
 * Where VMX is brief the kernel also leaves its timer to be armed on the way out
 * of an interrupt, and does so only if that lets interrupts in again.
 */
static __always_inline unsigned long df_host_interrupt_flags(void)
{
	return X86_EFLAGS_FIXED | (df_host_vmx_is_brief() ? X86_EFLAGS_IF : 0);
}

/**
 * df_host_vmx_claim() - make CR4.VMXE ours on this CPU
 *
 * Context: Interrupts off.
 * Return: 0, or -EBUSY if another hypervisor has it.
 */
int df_host_vmx_claim(void);

/**
 * df_host_work_pending() - does this thread have something to do for the host?
 *
 * A signal, another thread's turn, work on its return to user space.
 *
 * Context: Interrupts off, so that the answer holds.
 */
static inline bool df_host_work_pending(void)
{
	return xfer_to_guest_mode_work_pending();
}

int df_host_do_pending_work(void);

/** df_host_do_work() - do it. May sleep. Return: 0, or -EINTR for a signal. */
static inline int df_host_do_work(void)
{
	return __xfer_to_guest_mode_work_pending() ? df_host_do_pending_work() : 0;
}

/**
 * df_host_immediate_exit() - what user space has in that field now
 *
 * The kernel's own <linux/kvm.h> has it under another name since 6.10.
 *
 * Context: Any.
 */
static inline bool df_host_immediate_exit(const struct kvm_run *run)
{
	return READ_ONCE(run->immediate_exit__unsafe);
}

/**
 * df_host_guest_ran() - a guest has run on this CPU, in this thread
 *
 * Where the CPU wants it (VMSCAPE), its branch predictions are forgotten before
 * user space runs again.
 *
 * Context: Preemption off.
 */
static inline void df_host_guest_ran(void)
{
	/* From 6.17 on, and in stable kernels of September 2025. */
#ifdef X86_FEATURE_IBPB_EXIT_TO_USER
	if (cpu_feature_enabled(X86_FEATURE_IBPB_EXIT_TO_USER))
		this_cpu_write(x86_ibpb_exit_to_user, true);
#endif
}

/* Before DR0 to DR3 have the guest's breakpoints, for hw_breakpoint_restore(). */
#ifndef df_host_save_breakpoints
static inline void df_host_save_breakpoints(void)
{
}
#endif

/**
 * df_host_machine_check() - #MC, which an exit has taken, is the host's
 *
 * As if user space had met it: what the guest was about to read is the VMM's
 * memory, and no reason to panic.
 *
 * Context: Interrupts off.
 */
void df_host_machine_check(void);

/**
 * df_host_vmx_begin() - the host learns that VMX is about to be on
 * @crash: called on each CPU, in any context, when the host goes down at once
 * @shutdown: called once, may sleep, when it goes down in order (kexec too):
 *	VMX has to be off when it returns, and stay off
 *
 * Until df_host_vmx_end() the host does not suspend: VMX would be off when it
 * wakes; nor is kvm_intel let in.
 *
 * Context: Process context, may sleep.
 * Return: 0, or -EBUSY if another hypervisor has VMX, or the host is about to
 * suspend or going down.
 */
int df_host_vmx_begin(void (*crash)(void), void (*shutdown)(void));

/** df_host_vmx_end() - VMX is off everywhere. Context: Process context, may sleep. */
void df_host_vmx_end(void);

/**
 * struct df_device_page - a page that is no memory of the kernel's
 * @pfn: its frame number
 * @writable: the user may write to it
 * @shared: the user has mapped the device's own, not a copy
 * @cached: it is memory, and the user has it cached
 */
struct df_device_page {
	unsigned long pfn;
	bool writable;
	bool shared;
	bool cached;
};

/**
 * df_host_device_page() - the page of device memory at a user's address
 * @mm: the user's, and the caller's own
 * @address: in it
 * @write: it is to be written
 * @page: filled in
 *
 * Context: Process context, may sleep.
 * Return: 0, -EFAULT if that is no device memory, or -EAGAIN.
 */
int df_host_device_page(struct mm_struct *mm, unsigned long address, bool write,
			struct df_device_page *page);

/**
 * df_host_time() - what time it is, and the TSC then
 * @tsc: filled in: the host's
 * @real: filled in: CLOCK_REALTIME, in ns
 *
 * Context: Any.
 * Return: whether the host tells its own time by the TSC; if not, the two are
 * of different moments.
 */
bool df_host_time(u64 *tsc, u64 *real);

/**
 * df_host_bypass_register() - let drivers of the host's devices find an irqfd
 * @consumer: called back for each driver that signals the eventfd; its callbacks filled in
 * @eventfd: by which they find each other
 *
 * Context: Process context, may sleep; calls back.
 * Return: 0, -EOPNOTSUPP if no IOMMU can post interrupts to vCPUs, or this kernel
 * keeps what it takes to KVM; -ENODEV if there are no such drivers; or as the callback.
 */
int df_host_bypass_register(struct irq_bypass_consumer *consumer, struct eventfd_ctx *eventfd);
void df_host_bypass_unregister(struct irq_bypass_consumer *consumer);

/**
 * df_host_post_get() - interrupts are about to be posted to vCPUs
 * @wake: called on a CPU that POSTED_INTR_WAKEUP_VECTOR comes to; always the same
 *
 * The kernel has one such handler, and kvm_intel takes it without asking. It is
 * ours if KVM is not there; VMX is on, so that kvm_intel is not let in.
 *
 * Context: Process context, may sleep.
 * Return: 0, or -EBUSY if KVM is there.
 */
int df_host_post_get(void (*wake)(void));
void df_host_post_put(void);

/**
 * df_host_post() - an interrupt is posted from now on
 * @host_irq: the interrupt
 * @descriptor: of the vCPU; there until df_host_post_end()
 * @vector: of the vCPU's
 *
 * Context: Process context.
 * Return: 0 or a negative errno.
 */
int df_host_post(unsigned int host_irq, phys_addr_t descriptor, u8 vector);
int df_host_post_end(unsigned int host_irq);

/** df_host_init() - once, at load. 0, -EBUSY where kvm_intel is loaded, or another errno. */
int df_host_init(void);
void df_host_exit(void);

/** df_host_vmx_release() - give CR4.VMXE back. Context: Interrupts off. */
void df_host_vmx_release(void);

#endif
