/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Statistics, in KVM's binary form: a file that describes itself.
 */
#ifndef DF_STATS_H
#define DF_STATS_H

#include "types.h"

struct df_queue;

/**
 * df_stats_open() - KVM_GET_STATS_FD
 * @vm: the VM; held, but for a queue's
 * @vcpu: one of its vCPUs, or NULL
 * @queue: one of its queues, or NULL; held, but not what it has of its VM
 *
 * Context: May sleep. Return: a file descriptor, or a negative errno.
 */
int df_stats_open(struct df_vm *vm, struct df_vcpu *vcpu, struct df_queue *queue);

#endif
