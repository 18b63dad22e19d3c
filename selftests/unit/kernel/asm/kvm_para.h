/* SPDX-License-Identifier: GPL-2.0-only */
/* A stand-in for tests: of the kernel's own only what user space has too. */
#include <uapi/asm/kvm_para.h>
