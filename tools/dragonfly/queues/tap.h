/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A tap interface of the host's, as one file descriptor for each pair of queues.
 */
#ifndef DRAGONFLY_TAP_H
#define DRAGONFLY_TAP_H

#include <stdbool.h>
#include <stdint.h>

#define TAP_QUEUES_MAX 64 /* pairs of one */

/* What the interface was made with, IFF_MULTI_QUEUE or not; 0: it is no tap. */
unsigned int tap__flags(const char *name);

/* @nr descriptors of an interface that is there; -1 with a sentence. */
int tap__open(const char *name, int *fds, unsigned int nr);

/* What the guest takes off the host's hands, by the features that it has accepted. */
int tap__set_offload(const char *name, int fd, uint64_t features);

/* Whether packets for the guest come this way; of an interface with several queues. */
int tap__attach(const char *name, int fd, bool attach);

/*
 * A descriptor that is ready when some interface of the host has come, gone or
 * changed; reading it empty. The tap itself tells nobody that it has been deleted.
 */
int tap__watch(void);
void tap__seen(int watch);

#endif
