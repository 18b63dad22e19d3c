/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DF_VM_H
#define DF_VM_H

#include <linux/atomic.h>
#include <linux/refcount.h>
#include <linux/rwsem.h>
#include <linux/xarray.h>

#include "arch.h"
#include "irq.h"
#include "slots.h"
#include "vcpu.h"

#define DF_MAX_VCPUS	64
#define DF_MAX_VCPU_ID	4096	/* one more than the largest */

/**
 * struct df_vm - a virtual machine
 * @refs: one of the VM's file, one of each of its vCPUs' files
 * @mm: the address space that guest memory comes from, the creator's
 * @lock: guards @vcpus
 * @vcpus: in the order of their making, without holes; they go with the VM
 * @memory_lock: guards the next six; taken before @lock
 * @slots: by their IDs
 * @slots_end: behind the last one that is in use
 * @slots_age: how often they have changed; read without the lock
 * @logged_slots: how many of them have a dirty log
 * @dirty_log: KVM_DIRTY_LOG_*: what of it is left to user space
 * @doorbells: slots of one page, by their gfn; the queues' own
 * @queues: how many there are
 * @irq: its own locks
 * @arch: the architecture's
 */
struct df_vm {
	refcount_t refs;
	struct mm_struct *mm;
	struct mutex lock;
	struct df_vcpu *vcpus[DF_MAX_VCPUS];
	struct rw_semaphore memory_lock;
	struct df_slot slots[DF_MAX_SLOTS];
	unsigned int slots_end;
	u64 slots_age;
	unsigned int logged_slots;
	u64 dirty_log;
	struct xarray doorbells;
	atomic_t queues;
	struct df_irq irq;
	struct df_vm_arch arch;
};

/* How many there are. */
extern atomic_t df_vms;

/**
 * df_vm_create() - a new VM
 *
 * Context: Process context, may sleep.
 * Return: a file descriptor that holds it, or a negative errno.
 */
int df_vm_create(void);

void df_vm_get(struct df_vm *vm);
void df_vm_put(struct df_vm *vm);

/**
 * df_vm_vcpu() - a vCPU by its place, or NULL behind the last one
 *
 * It lives as long as the VM.
 *
 * Context: Any.
 */
static inline struct df_vcpu *df_vm_vcpu(const struct df_vm *vm, unsigned int n)
{
	/* Pairs with df_vcpu_create(): what is found is initialized. */
	return smp_load_acquire(&vm->vcpus[n]);
}

/* Those that there are by now. */
#define for_each_df_vcpu(n, vcpu, vm)						\
	for (unsigned int n = 0;						\
	     n < DF_MAX_VCPUS && ((vcpu) = df_vm_vcpu(vm, n)); n++)

#endif
