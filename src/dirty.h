/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The dirty log: which pages of a slot were written since user space last asked.
 */
#ifndef DF_DIRTY_H
#define DF_DIRTY_H

#include "types.h"

/* What KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 can be given. */
#define DF_DIRTY_LOG_MODES (KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET)

/** df_dirty_start() - begin to log a slot that asks for it; under the memory lock. 0 or -ENOMEM. */
int df_dirty_start(struct df_vm *vm, struct df_slot *slot);

/** df_dirty_stop() - end it, if there is a log; under the memory lock. */
void df_dirty_stop(struct df_vm *vm, struct df_slot *slot);

/** df_dirty_mark() - a page was written; under the memory lock, for reading. */
void df_dirty_mark(struct df_vm *vm, u64 gfn);

/* KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG. May sleep. */
int df_dirty_get(struct df_vm *vm, void *arg);
int df_dirty_clear(struct df_vm *vm, void *arg);

#endif
