/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's for unit tests: user space has the type, of another size. */
#ifndef UNIT_LINUX_SIGNAL_TYPES_H
#define UNIT_LINUX_SIGNAL_TYPES_H

#include <signal.h>

#endif
