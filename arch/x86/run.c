// SPDX-License-Identifier: GPL-2.0-only
/*
 * The run loop: its inner ring, with interrupts off, and the way out of it.
 */
#include <linux/context_tracking.h>
#include <linux/eventfd.h>
#include <linux/vtime.h>

#include "x86.h"

static noinline int load(struct df_vcpu *vcpu)
{
	int moved = vmx_load(vcpu), err;

	if (moved < 0)
		return moved;
	err = vmx_open(vcpu);
	if (err)
		return err;
	if (moved) {
		cpumask_set_cpu(smp_processor_id(), &vcpu->vm->arch.cpus);
		/* Before requests and EPT are looked at: who changes them asks this CPU. */
		smp_mb__after_atomic();
		vmcs_host_on_cpu();
		state_host_on_cpu(vcpu);
		if (lapic_is_here(vcpu))
			posted_on_cpu(vcpu);
		/* The guest may have flushed elsewhere what is remembered here. */
		vmx_invvpid_context(vcpu->vpid);
	}
	return 0;
}

int run_vmcs_begin(struct df_vcpu *vcpu)
{
	int err;

	preempt_disable();
	err = likely(vmx_is_current(vcpu)) ? vmx_open(vcpu) : load(vcpu);
	if (unlikely(err))
		preempt_enable();
	return err;
}

void run_vmcs_end(void)
{
	vmx_close();
	if (df_host_vmx_is_brief())
		local_irq_enable();
	preempt_enable();
}

static void nothing(void *unused)
{
}

/* Whoever was in the guest is interrupted, and looks before it enters again. */
void run_request_all(struct df_vm *vm, int request)
{
	struct df_vcpu *vcpu;

	for_each_df_vcpu(n, vcpu, vm)
		set_bit(request, &vcpu->requests);
	/* Pairs with the barrier where a vCPU comes to a CPU. */
	smp_mb__after_atomic();
	on_each_cpu_mask(&vm->arch.cpus, nothing, NULL, 1);
}

/* Of STI or MOV SS. */
static __always_inline void end_shadow(void)
{
	u32 shadow = vmcs_read(GUEST_INTERRUPTIBILITY_INFO);

	if (shadow & (GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS))
		vmcs_write(GUEST_INTERRUPTIBILITY_INFO,
			   shadow & ~(GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS));
}

/*
 * As after an instruction: interrupts are no longer held up by the one before,
 * and if user space steps the guest, the CPU shall stop it behind this one.
 */
static __always_inline void write_skipped(struct df_vcpu *vcpu)
{
	end_shadow();
	if (unlikely(vcpu->debug.control & KVM_GUESTDBG_SINGLESTEP))
		vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, DR_STEP);
}

static void write_apic(struct df_vcpu *vcpu, u32 dirty)
{
	if (dirty & DF_DIRTY_APIC_MODE)
		apic_mode_write(vcpu);
	if (dirty & DF_DIRTY_EOI && lapic_is_here(vcpu))
		apic_mode_write_eoi(vcpu);
}

void run_write_dirty(struct df_vcpu *vcpu)
{
	u32 dirty = vcpu->dirty;

	if (!dirty)
		return;
	vcpu->dirty = 0;
	if (dirty & DF_DIRTY_RIP)
		vmcs_write(GUEST_RIP, vcpu->rip);
	if (dirty & DF_DIRTY_SKIPPED)
		write_skipped(vcpu);
	if (likely(!(dirty & ~DF_DIRTY_PAST)))
		return;
	if (dirty & DF_DIRTY_RSP)
		vmcs_write(GUEST_RSP, vcpu->regs[DF_RSP]);
	if (dirty & DF_DIRTY_RFLAGS)
		vmcs_write(GUEST_RFLAGS, debug_rflags(vcpu));
	if (dirty & DF_DIRTY_DR7)
		vmcs_write(GUEST_DR7, debug_dr7(vcpu));
	if (dirty & DF_DIRTY_APIC && lapic_is_here(vcpu))
		posted_write_status(vcpu);
	if (unlikely(dirty & (DF_DIRTY_APIC_MODE | DF_DIRTY_EOI)))
		write_apic(vcpu, dirty);
}

/* All that there may be. */
static noinline void prepare_rest(struct df_vcpu *vcpu)
{
	if (unlikely(debug_blocks_interrupts(vcpu)))
		vcpu->dirty |= DF_DIRTY_APIC;
	run_write_dirty(vcpu);
	if (vcpu->waiting)
		events_raise_waiting(vcpu);
	if (unlikely(vcpu->debug.control & KVM_GUESTDBG_SINGLESTEP))
		end_shadow();
	if (trace_df_entry_enabled())
		trace_df_entry(vcpu->id, vmcs_read(GUEST_RIP), vcpu->inject_info);
	if (vcpu->inject_info)
		events_inject(vcpu);
}

static __always_inline void prepare_entry(struct df_vcpu *vcpu)
{
	if (vcpu->lapic.deadline)
		timer_enter(vcpu);
	if (lapic_is_here(vcpu) && posted_pending(vcpu))
		posted_enter(vcpu);
	if (unlikely(vcpu->dirty | vcpu->inject_info | vcpu->waiting | vcpu->debug.control) ||
	    trace_df_entry_enabled())
		prepare_rest(vcpu);
}

/* What is finished with the next KVM_RUN, or was, before the guest could run, is newer here. */
static noinline void read_clean_registers(struct df_vcpu *vcpu)
{
	u32 dirty = vcpu->dirty;

	if (!(dirty & DF_DIRTY_RIP))
		vcpu->rip = vmcs_peek(GUEST_RIP);
	if (!(dirty & DF_DIRTY_RSP))
		vcpu->regs[DF_RSP] = vmcs_peek(GUEST_RSP);
	if (!(dirty & DF_DIRTY_RFLAGS))
		vcpu->rflags = vmcs_peek(GUEST_RFLAGS);
	if (!(dirty & DF_DIRTY_SKIPPED))
		vcpu->shadowed = vmcs_peek(GUEST_INTERRUPTIBILITY_INFO);
	debug_hide(vcpu);
}

/* RIP, RSP and RFLAGS as the guest has left them, and what holds up interrupts. */
static __always_inline void read_registers(struct df_vcpu *vcpu)
{
	if (unlikely(vcpu->dirty | vcpu->debug.control)) {
		read_clean_registers(vcpu);
		return;
	}
	vcpu->rip = vmcs_peek(GUEST_RIP);
	vcpu->regs[DF_RSP] = vmcs_peek(GUEST_RSP);
	vcpu->rflags = vmcs_peek(GUEST_RFLAGS);
	vcpu->shadowed = vmcs_peek(GUEST_INTERRUPTIBILITY_INFO);
}

/*
 * What the middle ring may need. An IRET that faulted had ended the blocking of
 * NMIs; it is not done, and they are blocked again.
 */
static void read_rest_of_exit(struct df_vcpu *vcpu)
{
	struct vmx_exit *exit = &vcpu->exit;
	u64 unblock = 0;

	exit->insn_len = vmcs_read(VM_EXIT_INSTRUCTION_LEN);
	exit->idt_info = vmcs_read(IDT_VECTORING_INFO_FIELD);
	exit->qualification = vmcs_read(EXIT_QUALIFICATION);
	exit->intr_info = vmcs_read(VM_EXIT_INTR_INFO);
	exit->intr_error = vmcs_read(VM_EXIT_INTR_ERROR_CODE);
	exit->insn_info = vmcs_read(VMX_INSTRUCTION_INFO);
	exit->gpa = vmcs_read(GUEST_PHYSICAL_ADDRESS);
	if (exit->idt_info & VECTORING_INFO_VALID_MASK)
		return;
	if (exit->reason == EXIT_REASON_EXCEPTION_NMI)
		unblock = exit->intr_info;
	else if (exit->reason == EXIT_REASON_EPT_VIOLATION || exit->reason == EXIT_REASON_PML_FULL)
		unblock = exit->qualification;
	if (unblock & INTR_INFO_UNBLOCK_NMI)
		vmcs_write(GUEST_INTERRUPTIBILITY_INFO,
			   vmcs_read(GUEST_INTERRUPTIBILITY_INFO) | GUEST_INTR_STATE_NMI);
}

/* The guest has not run: an event that was to go in is still to go in. */
static int fail_entry(struct df_vcpu *vcpu, u64 reason)
{
	vcpu->inject_info = vmcs_read(VM_ENTRY_INTR_INFO_FIELD);
	vcpu->inject_error = vmcs_read(VM_ENTRY_EXCEPTION_ERROR_CODE);
	vcpu->inject_len = vmcs_read(VM_ENTRY_INSTRUCTION_LEN);
	if (!(vcpu->inject_info & INTR_INFO_VALID_MASK))
		vcpu->inject_info = 0;
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, 0);
	if ((u16)reason == EXIT_REASON_MCE_DURING_VMENTRY)
		df_host_machine_check();
	vcpu->run->fail_entry.hardware_entry_failure_reason = reason;
	vcpu->run->fail_entry.cpu = raw_smp_processor_id();
	return exit_to_user(vcpu, KVM_EXIT_FAIL_ENTRY);
}

/* ---- the inner ring: vmx_enter() and what it calls ------------------------------- */

static __always_inline bool has_to_leave(const struct df_vcpu *vcpu)
{
	return df_host_work_pending() || READ_ONCE(vcpu->requests);
}

/*
 * Tracepoints call what they like; who debugs the guest wants more done; and to RCU
 * the ring is still the guest, where it is told of guests. Then exits are
 * handled outside. What of it changes while the guest runs, is seen with the
 * host's next interrupt.
 */
static __always_inline bool is_apart(const struct df_vcpu *vcpu)
{
	return vcpu->debug.control || trace_df_entry_enabled() || trace_df_exit_enabled() ||
	       trace_df_msr_enabled() || trace_df_pio_enabled() ||
	       context_tracking_enabled_this_cpu();
}

/* ---- around it: interrupts off, the kernel as it is ----------------------------------- */

/* An exit that the ring has left alone. */
static noinline int handle_exit(struct df_vcpu *vcpu)
{
	u32 reason = vmcs_read(VM_EXIT_REASON);

	read_registers(vcpu);
	if (trace_df_exit_enabled() && !(reason & VMX_EXIT_REASONS_FAILED_VMENTRY))
		trace_df_exit(vcpu->id, reason, vcpu->rip, vmcs_read(EXIT_QUALIFICATION));
	return exit_handle_inner(vcpu);
}

/* Of an exit that was handled outside the ring the entry is prepared for there. */
int run_prepare(struct df_vcpu *vcpu)
{
	if (!vcpu->apart)
		prepare_entry(vcpu);
	return DF_RESUME;
}

int run_trap_and(struct df_vcpu *vcpu, int next)
{
	if (vcpu->debug.control & KVM_GUESTDBG_SINGLESTEP)
		vcpu->dirty |= DF_DIRTY_SKIPPED;
	else
		debug_step(vcpu);
	return next == DF_RESUME ? run_prepare(vcpu) : next;
}

/* On a CPU of its own (nohz_full) a guest is to RCU what user space is. */
static noinstr int enter(struct df_vcpu *vcpu)
{
	int ret;

	context_tracking_guest_enter();
	ret = vmx_enter(vcpu, vcpu->launched);
	context_tracking_guest_exit();
	return ret;
}

/* The host's perf has counters; without, there is nothing to ask it at each entry. */
static DEFINE_STATIC_KEY_FALSE(has_counters);

void run_init(void)
{
	int nr = 0;

	if (!boot_cpu_has(X86_FEATURE_ARCH_PERFMON))
		return;
	scoped_guard(preempt)
		perf_guest_get_msrs(&nr, NULL);
	if (nr)
		static_branch_enable(&has_counters);
}

/* An NMI in the ring sets it to the host's value: entry and exit have it right. */
static bool is_switched(const struct perf_guest_switch_msr *msr)
{
	return msr->msr == MSR_CORE_PERF_GLOBAL_CTRL && vmcs_switches_counters();
}

/*
 * The host's counters that do not count guests stand still; a PEBS record would
 * be written through the guest's page tables.
 */
static noinline void pause_counters(struct df_vcpu *vcpu)
{
	int nr = 0;

	vcpu->counters = perf_guest_get_msrs(&nr, NULL);
	vcpu->nr_counters = nr;
	for (int i = 0; i < vcpu->nr_counters; i++) {
		const struct perf_guest_switch_msr *msr = &vcpu->counters[i];

		if (is_switched(msr))
			vmcs_switch_counters(msr->guest, msr->host);
		else if (msr->guest != msr->host)
			wrmsrl(msr->msr, msr->guest);
	}
}

static noinline void resume_counters(const struct df_vcpu *vcpu)
{
	for (int i = vcpu->nr_counters - 1; i >= 0; i--) {
		const struct perf_guest_switch_msr *msr = &vcpu->counters[i];

		if (!is_switched(msr) && msr->guest != msr->host)
			wrmsrl(msr->msr, msr->host);
	}
}

static __always_inline void load_cr2(const struct df_vcpu *vcpu)
{
	if (native_read_cr2() != vcpu->cr2)
		native_write_cr2(vcpu->cr2);
}

/* Whom the guest has called: a backend's eventfd, halted vCPUs. */
static __always_inline void wake(struct df_vcpu *vcpu)
{
	if (vcpu->kick) {
		eventfd_signal(vcpu->kick);
		vcpu->kick = NULL;
	}
	if (unlikely(vcpu->lapic.to_wake))
		delivery_wake(vcpu);
}

static __always_inline int wake_and_stay(struct df_vcpu *vcpu)
{
	vcpu->cr2 = native_read_cr2();
	wake(vcpu);
	load_cr2(vcpu);
	/* Who is woken may be this CPU's next, or have called back: no interrupt tells of that. */
	if (has_to_leave(vcpu))
		return DF_TO_HOST;
	prepare_entry(vcpu);
	/* What was just stored is the host's. */
	vmx_flush_l1d();
	return DF_RESUME;
}

/*
 * Others are woken with the history of branches cleared, but no further out: an
 * eventfd's waiters are called under the lock of their queue, with interrupts off,
 * where nothing sleeps and nothing uses the FPU. Who traces them may look at user
 * memory, and fault: CR2 is in the CPU anew. On PREEMPT_RT that lock sleeps.
 */
noinstr int run_wake(struct df_vcpu *vcpu)
{
	int ret;

	/* Whoever is woken may start a timer of the host's. */
	if (IS_ENABLED(CONFIG_PREEMPT_RT) || vcpu->lapic.swapped)
		return DF_TO_WAKE;
	instrumentation_begin();
	ret = wake_and_stay(vcpu);
	instrumentation_end();
	return ret;
}

/* With what interrupts, which are off, must not find: the guest's FPU, CR2, breakpoints. */
static int enter_apart(struct df_vcpu *vcpu)
{
	u64 debugctl = __rdmsr(MSR_IA32_DEBUGCTLMSR);
	int ret;

	if (static_branch_unlikely(&has_counters))
		pause_counters(vcpu);
	if (unlikely(debug_has_breakpoints(vcpu)))
		debug_load(vcpu);
	load_cr2(vcpu);
	fpu_in(vcpu);
	vcpu->apart = is_apart(vcpu);
	/* Last: what was just stored is the host's. */
	vmx_flush_l1d();
	ret = enter(vcpu);
	vcpu->cr2 = native_read_cr2();
	fpu_out(vcpu);
	/* An exit clears DEBUGCTL and DR7; the host's own breakpoints are in a variable. */
	if (unlikely(debugctl))
		wrmsrl(MSR_IA32_DEBUGCTLMSR, debugctl);
	if (unlikely(hw_breakpoint_active()))
		hw_breakpoint_restore();
	if (static_branch_unlikely(&has_counters))
		resume_counters(vcpu);
	return ret;
}

/* The guest's deadline is in the CPU until it is known what the exit was. */
static noinline int enter_dedicated(struct df_vcpu *vcpu)
{
	int ret = enter_apart(vcpu);

	if (ret == DF_UNHANDLED)
		ret = handle_exit(vcpu);
	if (vcpu->lapic.swapped)
		deadline_out(vcpu);
	return ret;
}

/*
 * In and out of the ring until an exit needs the middle one.
 *
 * Return: DF_RESUME with the exit read, DF_TO_USER, -EAGAIN if the host has work to do first,
 * or DF_TO_HOST if the exit is to be handled when VMX is off.
 */
static int enter_and_stay(struct df_vcpu *vcpu)
{
	bool dedicated = vcpu->vm->arch.dedicated;

	lockdep_assert_irqs_disabled();
	for (;;) {
		int ret;

		/* A kick that was late, its request served by then: the next one is to be one. */
		if (unlikely(READ_ONCE(vcpu->where) == DF_KICKED)) {
			/* As in inner_ring(). */
			smp_store_mb(vcpu->where, DF_IN_GUEST);
		}
		if (has_to_leave(vcpu))
			break;
		if (dedicated && !deadline_in(vcpu))
			break;
		prepare_entry(vcpu);
		ret = dedicated ? enter_dedicated(vcpu) : enter_apart(vcpu);
		if (likely(ret == DF_TO_USER))
			return ret;
		if (unlikely(ret < 0))
			return fail_entry(vcpu, ret == -1 ? vmcs_read(VM_INSTRUCTION_ERROR) : 0);
		if (unlikely(ret == DF_UNHANDLED))
			ret = handle_exit(vcpu);
		if (unlikely(ret == DF_NO_ENTRY))
			return fail_entry(vcpu, vcpu->exit.reason);
		if (ret == DF_TO_USER)
			return ret;
		if (ret == DF_TO_MIDDLE) {
			read_rest_of_exit(vcpu);
			return DF_RESUME;
		}
		if (ret == DF_TO_WAKE)
			wake(vcpu);
		if (ret != DF_TO_HOST)
			continue;
		vcpu->exit.intr_info = vmcs_read(VM_EXIT_INTR_INFO);
		if (df_host_vmx_is_brief())
			return DF_TO_HOST;
		exit_handle_host(vcpu);
		/* An IPI may have changed CR4. */
		state_host_cr4(vcpu);
	}
	return -EAGAIN;
}

/* However it ends, the registers are there for others to look at. */
static int inner_ring(struct df_vcpu *vcpu)
{
	int ret;

	/* A full barrier: requests and posted interrupts are looked at behind it; see posted.h. */
	smp_store_mb(vcpu->where, DF_IN_GUEST);
	ret = enter_and_stay(vcpu);
	WRITE_ONCE(vcpu->where, DF_OUTSIDE);
	read_registers(vcpu);
	if (unlikely(vcpu->pml_on))
		pml_stop(vcpu);
	vmx_close();
	if (unlikely(ret == DF_TO_HOST)) {
		exit_handle_host(vcpu);
		ret = -EAGAIN;
	}
	return ret;
}

static int enter_guest(struct df_vcpu *vcpu)
{
	int ret = run_vmcs_begin(vcpu);

	if (ret)
		return ret;
	if (unlikely(vcpu->vm->arch.dedicated))
		ret = dedicated_claim(vcpu);
	if (ret) {
		run_vmcs_end();
		return ret;
	}
	if (unlikely(READ_ONCE(vcpu->requests)))
		pml_serve_requests(vcpu);
	state_guest_in(vcpu);
	local_irq_disable();
	vtime_account_guest_enter();
	ret = inner_ring(vcpu);
	vtime_account_guest_exit();
	df_host_guest_ran();
	local_irq_enable();
	state_guest_out(vcpu);
	preempt_enable();
	if (unlikely(vcpu->pml_on))
		pml_flush(vcpu);
	return ret;
}

/* ---- the middle ring ---------------------------------------------------------------- */

/* What others have asked for. DF_RESUME, DF_TO_USER or -EIO. */
static int serve_requests(struct df_vcpu *vcpu)
{
	if (test_and_clear_bit(DF_REQ_CLOCK, &vcpu->requests))
		clock_update(vcpu);
	events_take_nmi(vcpu);
	if (test_and_clear_bit(DF_REQ_APIC_MODE, &vcpu->requests))
		vcpu->dirty |= DF_DIRTY_APIC_MODE;
	if (test_and_clear_bit(DF_REQ_EOI, &vcpu->requests))
		delivery_find_ends(vcpu);
	if (test_and_clear_bit(DF_REQ_EOI_TO_USER, &vcpu->requests)) {
		vcpu->run->eoi.vector = vcpu->lapic.eoi_vector;
		return exit_to_user(vcpu, KVM_EXIT_IOAPIC_EOI);
	}
	return halt_serve(vcpu) ?: DF_RESUME;
}

static int do_host_work(struct df_vcpu *vcpu)
{
	if (!df_host_do_work())
		return DF_RESUME;
	vcpu->run->exit_reason = KVM_EXIT_INTR;
	return -EINTR;
}

static int finish_last_exit(struct df_vcpu *vcpu)
{
	int (*complete)(struct df_vcpu *vcpu) = vcpu->complete;

	if (likely(!complete))
		return DF_RESUME;
	vcpu->complete = NULL;
	return complete(vcpu);
}

/* What user space reads at each exit without asking. */
static void tell_user(struct df_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	run->if_flag = !!(vcpu->rflags & X86_EFLAGS_IF);
	run->ready_for_interrupt_injection = events_takes_interrupt(vcpu);
	run->cr8 = lapic_cr8(vcpu);
	run->apic_base = vcpu->apic_base;
}

int df_arch_vcpu_run(struct df_vcpu *vcpu)
{
	u64 cr8 = READ_ONCE(vcpu->run->cr8);
	int ret;

	/* Without an APIC in the kernel the task priority is user space's. */
	if (!lapic_is_here(vcpu) && cr8 & ~0xfULL)
		return -EINVAL;
	vcpu->cr8 = cr8;
	vcpu->has_run = true;
	vcpu->wants_window = READ_ONCE(vcpu->run->request_interrupt_window) &&
			     (!lapic_is_here(vcpu) || vcpu->vm->arch.split);
	ret = finish_last_exit(vcpu);
	if (ret == DF_RESUME && df_host_immediate_exit(vcpu->run))
		ret = -EINTR;
	while (ret == DF_RESUME) {
		if (unlikely(READ_ONCE(vcpu->requests) & ~DF_REQ_ON_ENTRY)) {
			ret = serve_requests(vcpu);
			continue;
		}
		if (unlikely(halt_is_waiting(vcpu))) {
			halt_wait(vcpu);
			ret = do_host_work(vcpu);
			continue;
		}
		ret = enter_guest(vcpu);
		if (ret == DF_RESUME)
			ret = exit_handle(vcpu);
		else if (ret == -EAGAIN)
			ret = do_host_work(vcpu);
	}
	tell_user(vcpu);
	return ret == DF_TO_USER ? 0 : ret;
}
