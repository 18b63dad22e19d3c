/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which VM has a queue: a file of the run directory with the VM's name in it, locked
 * as long as the VM has the queue.  The kernel lets go of the lock however the VM ends.
 */
#ifndef DRAGONFLY_HOLDER_H
#define DRAGONFLY_HOLDER_H

/* The descriptor that holds it, or -1 with a sentence that names who does. */
int holder__take(const char *queue, const char *vm);
void holder__give_back(const char *queue, int holder);

/* The VM's name, to be freed; NULL (without a sentence) if none has it. */
char *holder__of(const char *queue);

#endif
