/* SPDX-License-Identifier: GPL-2.0-only */
/* A stand-in for tests. */
#ifndef UNIT_KERNEL_SLAB_H
#define UNIT_KERNEL_SLAB_H

#include <stdlib.h>

#define kfree(pointer) free((void *)(pointer))

#endif
