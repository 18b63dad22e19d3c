/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What 7.2 names otherwise than 6.12. Every file of the module sees it first (Kbuild).
 */
#ifndef DF_HOST_7_2_NAMES_H
#define DF_HOST_7_2_NAMES_H

#define DF_HOST_7_2	1

#define rdmsrl_safe	rdmsrq_safe
#define wrmsrl		wrmsrq
#define native_wrmsrl	native_wrmsrq

/* Of struct pi_desc. */
#define pir64 pir

#endif
