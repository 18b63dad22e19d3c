/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DF_VM_H
#define DF_VM_H

#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/rwsem.h>

#include "types.h"

#define DF_MAX_VCPUS	64
#define DF_MAX_SLOTS	512

struct df_vcpu;

/**
 * struct df_slot - a piece of guest memory
 * @gfn: its first guest page
 * @pages: its size; 0 for a slot that is not in use
 * @hva: where it lies in the address space of the VM's creator
 */
struct df_slot {
	u64 gfn;
	u64 pages;
	unsigned long hva;
};

/**
 * struct df_vm - a virtual machine
 * @refs: one of the VM's file, one of each of its vCPUs' files
 * @mm: the address space that guest memory comes from, the creator's
 * @lock: guards @vcpus
 * @vcpus: by their IDs; they go with the VM
 * @memory_lock: guards @slots; taken before @lock
 * @slots: by their IDs
 * @arch: the architecture's
 */
struct df_vm {
	refcount_t refs;
	struct mm_struct *mm;
	struct mutex lock;
	struct df_vcpu *vcpus[DF_MAX_VCPUS];
	struct rw_semaphore memory_lock;
	struct df_slot *slots;
	struct df_vm_arch arch;
};

/**
 * df_vm_create() - a new VM
 *
 * Context: Process context, may sleep.
 * Return: a file descriptor that holds it, or a negative errno.
 */
int df_vm_create(void);

void df_vm_get(struct df_vm *vm);
void df_vm_put(struct df_vm *vm);

#endif
