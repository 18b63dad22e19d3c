/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Queues of devices that a VM is given: the unit of I/O.
 */
#ifndef DF_QUEUE_H
#define DF_QUEUE_H

#include <linux/atomic.h>

#include "types.h"

struct df_queue;

#define DF_MAX_QUEUES	1024
#define DF_QUEUE_STATS	2

/* How many there are, of all VMs. */
extern atomic_t df_queues;

/**
 * df_queue_assign() - DRAGONFLY_QUEUE_ASSIGN
 *
 * Context: Process context of the VM's creator, may sleep.
 * Return: a file descriptor that is the queue, or a negative errno.
 */
int df_queue_assign(struct df_vm *vm, void *arg);

/** df_queue_get() - it stays, for its statistics, also when it is released. */
void df_queue_get(struct df_queue *queue);
void df_queue_put(struct df_queue *queue);

/* Its statistics, and what its kicks are known by. */
extern const char * const df_queue_stats[DF_QUEUE_STATS];
u64 df_queue_stat(const struct df_queue *queue, unsigned int n);
u64 df_queue_gpa(const struct df_queue *queue);

#endif
