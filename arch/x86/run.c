// SPDX-License-Identifier: GPL-2.0-only
/*
 * The run loop: its inner ring, with interrupts off, and the way out of it.
 */
#include <linux/irqflags.h>
#include <linux/kvm.h>
#include <linux/preempt.h>
#include <linux/sched/signal.h>
#include <asm/trapnr.h>

#include "arch.h"
#include "host.h"
#include "run.h"
#include "state.h"
#include "vcpu.h"
#include "vm.h"
#include "vmx/cpu.h"
#include "vmx/operation.h"
#include "vmx/vmcs.h"

#define INTR_NMI	(INTR_INFO_VALID_MASK | INTR_TYPE_NMI_INTR)
#define INTR_MC		(INTR_INFO_VALID_MASK | INTR_TYPE_HARD_EXCEPTION | X86_TRAP_MC)
#define INTR_MC_MASK	(INTR_INFO_VALID_MASK | INTR_INFO_INTR_TYPE_MASK | INTR_INFO_VECTOR_MASK)

int run_vmcs_begin(struct df_vcpu_arch *arch)
{
	int moved;

	preempt_disable();
	moved = vmx_load(arch);
	if (moved < 0) {
		preempt_enable();
		return moved;
	}
	if (moved) {
		vmcs_host_on_cpu();
		/* The guest may have flushed elsewhere what is remembered here. */
		vmx_invvpid_context(arch->vpid);
	}
	return 0;
}

void run_vmcs_end(void)
{
	preempt_enable();
}

static void write_dirty(struct df_vcpu_arch *arch)
{
	if (arch->dirty & DF_DIRTY_RIP)
		vmcs_write(GUEST_RIP, arch->rip);
	if (arch->dirty & DF_DIRTY_RSP)
		vmcs_write(GUEST_RSP, arch->regs[DF_RSP]);
	if (arch->dirty & DF_DIRTY_RFLAGS)
		vmcs_write(GUEST_RFLAGS, arch->rflags);
	arch->dirty = 0;
}

static void inject(struct df_vcpu_arch *arch)
{
	if (!arch->inject_info)
		return;
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, arch->inject_info);
	vmcs_write(VM_ENTRY_EXCEPTION_ERROR_CODE, arch->inject_error);
	vmcs_write(VM_ENTRY_INSTRUCTION_LEN, arch->inject_len);
	arch->inject_info = 0;
}

/* An exit in the middle of a delivery: the event goes in again at the next entry. */
static void requeue(struct df_vcpu_arch *arch)
{
	const struct vmx_exit *exit = &arch->exit;

	if (!(exit->idt_info & VECTORING_INFO_VALID_MASK))
		return;
	arch->inject_info = exit->idt_info & ~(u32)BIT(12);
	arch->inject_error = exit->idt_error;
	arch->inject_len = exit->insn_len;
}

static void read_exit(struct df_vcpu_arch *arch)
{
	struct vmx_exit *exit = &arch->exit;

	exit->reason = vmcs_read(VM_EXIT_REASON);
	exit->qualification = vmcs_read(EXIT_QUALIFICATION);
	exit->intr_info = vmcs_read(VM_EXIT_INTR_INFO);
	exit->intr_error = vmcs_read(VM_EXIT_INTR_ERROR_CODE);
	exit->insn_len = vmcs_read(VM_EXIT_INSTRUCTION_LEN);
	exit->idt_info = vmcs_read(IDT_VECTORING_INFO_FIELD);
	exit->idt_error = vmcs_read(IDT_VECTORING_ERROR_CODE);
	exit->gpa = vmcs_read(GUEST_PHYSICAL_ADDRESS);
	arch->rip = vmcs_read(GUEST_RIP);
	arch->regs[DF_RSP] = vmcs_read(GUEST_RSP);
	arch->rflags = vmcs_read(GUEST_RFLAGS);
}

/*
 * The host's own events. An interrupt is still pending in its APIC and is
 * taken when interrupts are on; an NMI or a machine check has been taken by the
 * exit and is raised again, an NMI with NMIs blocked, as in its handler, until
 * the IRET.
 */
static bool is_the_hosts(const struct vmx_exit *exit)
{
	if (exit->reason == EXIT_REASON_EXTERNAL_INTERRUPT) {
		local_irq_enable();
		cpu_relax();
		local_irq_disable();
		return true;
	}
	if (exit->reason != EXIT_REASON_EXCEPTION_NMI)
		return false;
	if ((exit->intr_info & (INTR_INFO_VALID_MASK | INTR_INFO_INTR_TYPE_MASK)) == INTR_NMI) {
		asm volatile("int $2");
		return true;
	}
	if ((exit->intr_info & INTR_MC_MASK) == INTR_MC) {
		asm volatile("int $18");
		return true;
	}
	return false;
}

static int fail_entry(struct df_vcpu *vcpu, u64 reason)
{
	vcpu->run->exit_reason = KVM_EXIT_FAIL_ENTRY;
	vcpu->run->fail_entry.hardware_entry_failure_reason = reason;
	vcpu->run->fail_entry.cpu = raw_smp_processor_id();
	return DF_TO_USER;
}

/*
 * In and out of the guest until an exit needs the middle ring.
 *
 * Return: DF_RESUME with the exit read, DF_TO_USER if there was no entry, or
 * -EAGAIN if the host has work to do first.
 */
static int inner_ring(struct df_vcpu *vcpu)
{
	struct df_vcpu_arch *arch = &vcpu->arch;

	lockdep_assert_irqs_disabled();
	for (;;) {
		int failed;

		if (df_host_work_pending())
			return -EAGAIN;
		vmcs_write(HOST_CR4, __read_cr4());
		write_dirty(arch);
		inject(arch);
		if (native_read_cr2() != arch->cr2)
			native_write_cr2(arch->cr2);

		failed = vmx_enter(arch->regs, arch->launched);
		if (unlikely(failed))
			return fail_entry(vcpu, failed > 0 ? vmcs_read(VM_INSTRUCTION_ERROR) : 0);
		arch->launched = true;
		arch->cr2 = native_read_cr2();
		read_exit(arch);
		requeue(arch);
		if (unlikely(arch->exit.reason & VMX_EXIT_REASONS_FAILED_VMENTRY))
			return fail_entry(vcpu, arch->exit.reason);
		if (!is_the_hosts(&arch->exit))
			return DF_RESUME;
	}
}

static int enter_guest(struct df_vcpu *vcpu)
{
	struct df_vcpu_arch *arch = &vcpu->arch;
	int ret;

	ret = run_vmcs_begin(arch);
	if (ret)
		return ret;
	state_guest_in(arch);
	local_irq_disable();
	ret = inner_ring(vcpu);
	local_irq_enable();
	state_guest_out(arch);
	run_vmcs_end();
	return ret;
}

static int finish_last_exit(struct df_vcpu *vcpu)
{
	int (*complete)(struct df_vcpu *vcpu) = vcpu->arch.complete;

	vcpu->arch.complete = NULL;
	return complete ? complete(vcpu) : DF_RESUME;
}

int df_arch_vcpu_run(struct df_vcpu *vcpu)
{
	int ret = finish_last_exit(vcpu);

	if (ret == DF_RESUME && df_host_immediate_exit(vcpu->run))
		ret = -EINTR;
	while (ret == DF_RESUME) {
		if (df_host_do_work()) {
			vcpu->run->exit_reason = KVM_EXIT_INTR;
			ret = -EINTR;
			break;
		}
		ret = enter_guest(vcpu);
		if (ret == DF_RESUME)
			ret = exit_handle(vcpu);
		else if (ret == -EAGAIN)
			ret = DF_RESUME;
	}
	return ret == DF_TO_USER ? 0 : ret;
}
