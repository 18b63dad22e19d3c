/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DF_VCPU_H
#define DF_VCPU_H

#include <linux/atomic.h>

#include "types.h"

/* The shared page, and behind it the data of port I/O, as in KVM. */
#define DF_RUN_SIZE		(2 * PAGE_SIZE)
#define DF_RUN_PIO_OFFSET	PAGE_SIZE

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
