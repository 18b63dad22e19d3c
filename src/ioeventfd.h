/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Writes of a guest, to ports or where it has no memory, that signal an eventfd
 * and are done with that.
 */
#ifndef DF_IOEVENTFD_H
#define DF_IOEVENTFD_H

#include <linux/rcupdate.h>

#include "vm.h"

/**
 * struct df_ioeventfd - the writes that signal an eventfd
 * @addr: where
 * @len: of how many bytes; 0: of any number of them
 * @any: what is written does not matter
 * @data: else: what
 * @bare_age: there is no memory, if this is df_vm.slots_age; without a lock
 * @eventfd: held
 * @kicks: a queue's: how many there were; NULL: it is KVM_IOEVENTFD's
 */
struct df_ioeventfd {
	u64 addr;
	u32 len;
	bool any;
	u64 data;
	u64 bare_age;
	struct eventfd_ctx *eventfd;
	atomic64_t *kicks;
};

/**
 * df_ioeventfd() - KVM_IOEVENTFD
 *
 * When an eventfd has been deassigned no vCPU signals it any more.
 *
 * Context: Process context, may sleep.
 * Return: 0, -ENOMEM, -EBADF or -EINVAL for what is no eventfd, -EINVAL for what
 * cannot be, -EEXIST if a write could be for another one too, -ENOENT if there is
 * none to deassign.
 */
int df_ioeventfd(struct df_vm *vm, void *arg);

/**
 * df_ioeventfd_open() - one more
 * @irq: of its VM
 * @mmio: of memory, not of ports
 * @it: what it is; its eventfd is filled in, or NULL on error
 * @fd: the eventfd, to which it has a reference then
 *
 * Context: Process context, may sleep.
 * Return: As df_ioeventfd().
 */
int df_ioeventfd_open(struct df_irq *irq, bool mmio, struct df_ioeventfd *it, int fd);

/** df_ioeventfd_remove() - as df_ioeventfd() of one, which only can fail by -ENOENT. */
int df_ioeventfd_remove(struct df_irq *irq, bool mmio, const struct df_ioeventfd *it);

/**
 * df_ioeventfd_find() - the eventfd that a write signals, and is about to
 * @vm: the VM
 * @mmio: to memory, not to a port
 * @addr: where
 * @len: of how many bytes; 0: finds only one that takes any length and data
 * @data: what, the bytes above @len ignored
 *
 * Takes no lock and branches to no address that is in memory or a register: the
 * inner ring may call it.  The time it takes grows with the logarithm of their
 * number.
 *
 * Context: Interrupts or preemption off, as long as what it returns is used.
 * RCU waits for that as for any reader: the ring runs only on CPUs where RCU
 * is not told that a guest is like user space.
 * Return: the eventfd, or NULL.
 */
struct eventfd_ctx *df_ioeventfd_find(const struct df_vm *vm, bool mmio, u64 addr,
				      unsigned int len, u64 data);

/**
 * df_ioeventfd_find_bare() - the one that any write signals, of any length and data,
 * if it is known that there is no memory
 *
 * Context: As df_ioeventfd_find(), the inner ring's too.
 */
struct eventfd_ctx *df_ioeventfd_find_bare(const struct df_vm *vm, u64 gpa);

/**
 * df_ioeventfd_set_bare() - there is no memory at an address
 * @vm: the VM
 * @gpa: the address
 * @slots_age: df_vm.slots_age, read before it was looked for
 *
 * Context: Process context.
 */
void df_ioeventfd_set_bare(const struct df_vm *vm, u64 gpa, u64 slots_age);

/** df_ioeventfd_any() - is there one at all? Context: Any. */
static inline bool df_ioeventfd_any(const struct df_vm *vm, bool mmio)
{
	return rcu_access_pointer(vm->irq.ioeventfds[mmio]);
}

/**
 * df_ioeventfd_signal() - signal the eventfd that a write is for
 *
 * Context: Any in which eventfd_signal() may be called.
 * Return: whether there is one, and with that the write is done.
 */
bool df_ioeventfd_signal(const struct df_vm *vm, bool mmio, u64 addr, unsigned int len, u64 data);

/** df_ioeventfd_destroy() - with the VM, whose vCPUs are gone. Context: Process context. */
void df_ioeventfd_destroy(struct df_vm *vm);

#endif
