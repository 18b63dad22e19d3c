/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Statistics, in KVM's binary form: a file that describes itself.
 */
#ifndef DF_STATS_H
#define DF_STATS_H

struct df_queue;
struct df_vcpu;
struct df_vm;

/* KVM_GET_STATS_FD: a file descriptor that holds its VM, or a negative errno. May sleep. */
int df_stats_vm(struct df_vm *vm);
int df_stats_vcpu(struct df_vcpu *vcpu);

/* Of a queue; holds it, but not what it has of its VM. */
int df_stats_queue(struct df_queue *queue);

#endif
