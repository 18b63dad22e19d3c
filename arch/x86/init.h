/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DF_X86_INIT_H
#define DF_X86_INIT_H

#include <linux/types.h>

struct vmx_capabilities;

/** init_host_caps() - what VMX can do here, the same on every CPU. */
const struct vmx_capabilities *init_host_caps(void);

/** init_host_has_1g_pages() - can EPT map 1 GiB with one entry? */
bool init_host_has_1g_pages(void);

#endif
