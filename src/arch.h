/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the machine-independent part asks of an architecture, and the whole of
 * what it may ask.
 */
#ifndef DF_ARCH_H
#define DF_ARCH_H

#include <linux/types.h>

struct dentry;
struct df_vcpu;
struct df_vm;

/* What a handler wants next; a negative value is an errno for KVM_RUN. */
enum { DF_TO_USER, DF_RESUME };

/**
 * df_arch_init() - see that this machine can run guests
 * @debugfs: where to report what the machine has
 *
 * Says in the kernel log, in one line, why it cannot.  Watches CPUs that come
 * online from then on.
 *
 * Context: Process context, may sleep.
 * Return: 0, or one of the errors that include/uapi/linux/dragonfly.h gives
 * as reasons for refusing to load.
 */
int df_arch_init(struct dentry *debugfs);

/** df_arch_exit() - undo df_arch_init(). Context: Process context, may sleep. */
void df_arch_exit(void);

/**
 * df_arch_vm_init() - the architecture's part of a new VM
 *
 * Switches VMX on if this is the first VM.
 *
 * Context: Process context, may sleep.
 * Return: 0, -ENOMEM, or -EBUSY if another hypervisor holds VMX.
 */
int df_arch_vm_init(struct df_vm *vm);

/** df_arch_vm_destroy() - undo df_arch_vm_init(), after the vCPUs are gone. May sleep. */
void df_arch_vm_destroy(struct df_vm *vm);

/** df_arch_max_gfn() - the first guest page that can have no memory. */
u64 df_arch_max_gfn(void);

/**
 * df_arch_memory_unmap() - take guest memory away from all vCPUs
 *
 * When it returns no CPU can reach the pages any more, and they are unpinned.
 *
 * Context: Process context, may sleep; under the memory lock.
 */
void df_arch_memory_unmap(struct df_vm *vm, u64 gfn, u64 pages);

/** df_arch_vcpu_init() - a vCPU in the state that a reset leaves. 0 or -ENOMEM. May sleep. */
int df_arch_vcpu_init(struct df_vcpu *vcpu);
void df_arch_vcpu_destroy(struct df_vcpu *vcpu);

/**
 * df_arch_vcpu_run() - run the guest until user space is needed
 *
 * Context: The vCPU's lock held; process context of the VM's creator.
 * Return: 0 with an exit in the shared page, or a negative errno; -EINTR for a
 * signal or immediate_exit.
 */
int df_arch_vcpu_run(struct df_vcpu *vcpu);

/** df_arch_device_ioctl() - what can be asked without a VM; -ENOTTY for what cannot. */
long df_arch_device_ioctl(unsigned int cmd, unsigned long arg);

/** df_arch_vcpu_ioctl() - register state and the like; the vCPU's lock held. */
long df_arch_vcpu_ioctl(struct df_vcpu *vcpu, unsigned int cmd, unsigned long arg);

#endif
