/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DF_VCPU_H
#define DF_VCPU_H

#include <linux/atomic.h>
#include <linux/mutex.h>
#include <linux/signal_types.h>

#include "types.h"

/* The shared page, and behind it the data of port I/O, as in KVM. */
#define DF_RUN_SIZE		(2 * PAGE_SIZE)
#define DF_RUN_PIO_OFFSET	PAGE_SIZE

/**
 * struct df_vcpu - a virtual CPU
 * @vm: its VM, whose lifetime it shares
 * @id: as user space numbers it
 * @lock: one thread at a time runs it or looks at it
 * @run: shared with user space, which may write to it at any time
 * @sigmask: signals while it runs, if @has_sigmask
 * @arch: the architecture's
 */
struct df_vcpu {
	struct df_vm *vm;
	u32 id;
	struct mutex lock;
	struct kvm_run *run;
	sigset_t sigmask;
	bool has_sigmask;
	struct df_vcpu_arch arch;
};

/* How many there are. */
extern atomic_t df_vcpus;

/**
 * df_vcpu_create() - a new vCPU
 *
 * Context: Process context, may sleep.
 * Return: a file descriptor that holds it and its VM, or a negative errno:
 * -EINVAL for an ID that is too large or one vCPU too many, -EEXIST for one that
 * is taken.
 */
int df_vcpu_create(struct df_vm *vm, unsigned long id);

/** df_vcpu_free() - with its VM, when no file holds it any more. May sleep. */
void df_vcpu_free(struct df_vcpu *vcpu);

static inline void *df_vcpu_pio_data(struct df_vcpu *vcpu)
{
	return (void *)vcpu->run + DF_RUN_PIO_OFFSET;
}

#endif
