/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IPI virtualization (SDM, of that name): what a guest writes to the ICR for one vCPU,
 * named by its APIC ID, the CPU posts itself, by a table of descriptors.
 *
 * The CPU is then one more sender as bypass.h has them, so that a vCPU that waits is
 * woken in the same way. All else that an ICR can say exits, as a write that is done.
 *
 * No hardware has run it: see Documentation/exitless.rst.
 */
#ifndef DF_IPI_H
#define DF_IPI_H

#include "types.h"

/**
 * ipi_create() - a vCPU's APIC is made, of a VM's that may have its IPIs virtualized
 *
 * It has not if the CPU cannot, if KVM is there, whose handler would wake the vCPUs, or
 * if the guest has the descriptors: it could have any CPU sent any vector.
 *
 * Context: Process context, may sleep; df_vm.lock held.
 * Return: 0 or -ENOMEM.
 */
int ipi_create(struct df_vcpu *vcpu);

/** ipi_destroy() - free a VM's table: no vCPU runs any more. */
void ipi_destroy(struct df_vm *vm);

/** ipi_vmcs() - a new VMCS has the VM's table, if there is one; it is current. */
void ipi_vmcs(const struct df_vcpu *vcpu);

/**
 * ipi_publish() - whether the vCPU's APIC is on has changed: IPIs to it are posted, or exit
 *
 * It is off until the vCPU is there, which then stays, and with it the descriptor, for as
 * long as any of the VM's.
 *
 * Context: The vCPU's thread.
 */
void ipi_publish(const struct df_vcpu *vcpu);

#endif
