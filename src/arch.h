/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the machine-independent part asks of an architecture, and the whole of
 * what it may ask.
 */
#ifndef DF_ARCH_H
#define DF_ARCH_H

#include "types.h"

struct dentry;
struct vm_area_struct;

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

/** df_arch_vm_stop() - nothing but this thread looks at the vCPUs from now on. May sleep. */
void df_arch_vm_stop(struct df_vm *vm);

/** df_arch_vm_destroy() - undo df_arch_vm_init(), after the vCPUs are gone. May sleep. */
void df_arch_vm_destroy(struct df_vm *vm);

/** df_arch_max_gfn() - the first guest page that can have no memory. */
u64 df_arch_max_gfn(void);

/** df_arch_memory_reserved() - are there pages among these that no slot may have? */
bool df_arch_memory_reserved(const struct df_vm *vm, u64 gfn, u64 pages);

/**
 * df_arch_memory_unmap() - take a slot's memory away from all vCPUs
 *
 * When it returns no CPU can reach the pages any more, and they are unpinned.
 *
 * Context: Process context, may sleep; under the memory lock, for writing.
 */
void df_arch_memory_unmap(struct df_vm *vm, struct df_slot *slot);

/**
 * df_arch_memory_map() - map a page before it is first written
 *
 * Context: Process context of the VM's creator, may sleep; takes the memory lock.
 * Return: 0, -ENXIO where there is no slot, or another errno.
 */
int df_arch_memory_map(struct df_vm *vm, u64 gfn);

/**
 * df_arch_log_start() - first writes to pages are to be noticed from now on
 *
 * They come by df_dirty_mark(). df_arch_log_stop() undoes it.
 *
 * Context: Process context, may sleep; under the memory lock, for writing.
 * Return: 0 or -ENOMEM.
 */
int df_arch_log_start(struct df_vm *vm);
void df_arch_log_stop(struct df_vm *vm);

/**
 * df_arch_log_watch() - watch all pages of a slot, from now on
 *
 * Context: As df_arch_log_start().
 * Return: 0 or -ENOMEM.
 */
int df_arch_log_watch(struct df_vm *vm, const struct df_slot *slot);

/**
 * df_arch_log_rearm() - watch pages for their next write
 * @vm: the VM
 * @slot: the slot
 * @first: of BITS_PER_LONG pages, counted from the slot's beginning
 * @mask: which of them
 *
 * Takes effect with df_arch_flush().
 *
 * Context: As df_arch_log_start().
 * Return: those that could not be watched, for want of memory.
 */
unsigned long df_arch_log_rearm(struct df_vm *vm, const struct df_slot *slot, u64 first,
				unsigned long mask);

/** df_arch_flush() - no CPU knows a page any more as it was before. Interrupts on. */
void df_arch_flush(struct df_vm *vm);

/** df_arch_max_vcpu_id() - one more than the largest ID that a vCPU may have; df_vm.lock. */
u32 df_arch_max_vcpu_id(const struct df_vm *vm);

/** df_arch_vcpu_init() - a vCPU in the state that a reset leaves. 0 or -ENOMEM. May sleep. */
int df_arch_vcpu_init(struct df_vcpu *vcpu);
void df_arch_vcpu_destroy(struct df_vcpu *vcpu);

/** df_arch_vm_mmap() - show user space what of a VM it may see. 0 or a negative errno. */
int df_arch_vm_mmap(const struct df_vm *vm, struct vm_area_struct *vma);

/** df_arch_has_irqchip() - are the vCPUs' interrupt controllers in the kernel? */
bool df_arch_has_irqchip(const struct df_vm *vm);

/**
 * df_arch_msi() - a message-signalled interrupt reaches a VM
 *
 * Context: Any, interrupts on or off; holds no lock for long.
 * Return: how many vCPUs took it, which may be none.
 */
int df_arch_msi(struct df_vm *vm, const struct msi_msg *msi);

/**
 * df_arch_irq_bypass() - let the IOMMU deliver a device's interrupt to a VM
 * @vm: the VM, its df_irq.lock held
 * @host_irq: the interrupt, as the host numbers it
 * @msi: what it is to the VM, or NULL: the host gets it again
 *
 * A message that is not for exactly one vCPU, or that has no edge, is the
 * host's too. Who it is for is asked here, once, as KVM does it: a guest that
 * gives its CPUs other IDs has to write the message again.
 *
 * Context: Process context, may sleep.
 * Return: 0, -EBUSY if KVM has what wakes vCPUs, or what the interrupt's driver says.
 */
int df_arch_irq_bypass(struct df_vm *vm, unsigned int host_irq, const struct msi_msg *msi);

/** df_arch_msi_valid() - is it of a form that this VM can have? */
bool df_arch_msi_valid(const struct df_vm *vm, const struct msi_msg *msi);

/** df_arch_msi_level() - is its end to be told to whoever raised it? */
bool df_arch_msi_level(const struct msi_msg *msi);

/** df_arch_msi_vector() - what it is to a vCPU; a negative value if not for that one. */
int df_arch_msi_vector(const struct df_vcpu *vcpu, const struct msi_msg *msi);

/**
 * df_arch_eoi_changed() - df_irq_eoi_vectors() has other answers now
 *
 * vCPUs look at it again before they next enter their guest, and those that run
 * leave it for that.
 *
 * Context: Process context.
 */
void df_arch_eoi_changed(struct df_vm *vm);

/** df_arch_active_vcpus() - vCPUs that a CPU has state of (on x86: active VMCSs). */
int df_arch_active_vcpus(void);

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

/** df_arch_vm_ioctl() - of a VM; -ENOTTY for what there is not. */
long df_arch_vm_ioctl(struct df_vm *vm, unsigned int cmd, unsigned long arg);

/** df_arch_check_extension() - KVM_CHECK_EXTENSION of what the architecture has. */
long df_arch_check_extension(unsigned long capability);

/** df_arch_enable_cap() - KVM_ENABLE_CAP of a VM; -EINVAL for what there is not. */
int df_arch_enable_cap(struct df_vm *vm, const struct kvm_enable_cap *cap);

/*
 * Statistics: so many rows of a vCPU, counts since the beginning; and of a VM behind the
 * sums of those so many values of now.
 */
#define DF_STAT_NAME_SIZE	KVM_STATS_NAME_SIZE
extern const unsigned int df_arch_vcpu_stats, df_arch_vm_stats;
void df_arch_stat_name(unsigned int n, char *name);
u64 df_arch_vcpu_stat(const struct df_vcpu *vcpu, unsigned int n);
u64 df_arch_vm_stat(const struct df_vm *vm, unsigned int n);

/** df_arch_vcpu_ioctl() - register state and the like; the vCPU's lock held. */
long df_arch_vcpu_ioctl(struct df_vcpu *vcpu, unsigned int cmd, unsigned long arg);

#endif
