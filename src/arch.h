/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the machine-independent part asks of an architecture, and the whole of
 * what it may ask.
 */
#ifndef DF_ARCH_H
#define DF_ARCH_H

struct dentry;

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

#endif
