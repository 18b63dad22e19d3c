/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The modes of the local APIC, as the CPU knows them: what it serves by MSR, what
 * by the page at 0xfee00000, and what it leaves to us.
 */
#ifndef DF_APIC_MODE_H
#define DF_APIC_MODE_H

#include "types.h"

/** apic_mode_init() - once, at load; after msr_init(). */
void apic_mode_init(void);

/*
 * Which MSRs do not exit, if the VM has no filter: without those of x2APIC mode, with
 * them, and with the deadline too; the last two again where the CPU virtualizes the ICR,
 * which would be the host's otherwise.
 */
extern unsigned long apic_mode_bitmaps[5][PAGE_SIZE / sizeof(long)];

/** apic_mode_vmcs() - controls and pages of a new VMCS, which is current. */
void apic_mode_vmcs(struct df_vcpu *vcpu);

/** apic_mode_write() - those that IA32_APIC_BASE decides; the VMCS current. */
void apic_mode_write(struct df_vcpu *vcpu);

/** apic_mode_write_eoi() - which EOIs exit; the VMCS current. */
void apic_mode_write_eoi(const struct df_vcpu *vcpu);

/**
 * apic_page_fault() - the guest touched its xAPIC, which is not mapped
 *
 * Context: The vCPU's thread, may sleep.
 * Return: 0 with the page mapped, -ENXIO if the address is another, -ENOMEM.
 */
int apic_page_fault(struct df_vcpu *vcpu, u64 gpa);

#endif
