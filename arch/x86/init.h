/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DF_X86_INIT_H
#define DF_X86_INIT_H

#include "types.h"

/** init_host_caps() - what VMX can do here, the same on every CPU. */
const struct vmx_capabilities *init_host_caps(void);

#endif
