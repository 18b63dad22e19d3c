/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A bzImage as loaders like it, for tests to spoil.
 */
#ifndef UNIT_TOOL_BZIMAGE_H
#define UNIT_TOOL_BZIMAGE_H

#include <asm/bootparam.h>
#include <stdint.h>

#define BZIMAGE_HEADER 0x1f1 /* where it is in the file */
#define BZIMAGE_PAYLOAD 1024 /* likewise: behind one sector of setup */
#define BZIMAGE_ADDRESS 0x1000000 /* where the payload wants to be */

/* Of a payload of @size bytes that takes @memory bytes when it runs. */
static inline struct setup_header bzimage_header(uint32_t size, uint32_t memory)
{
	return (struct setup_header){
		.setup_sects = 1,
		.syssize = size / 16,
		.header = 0x53726448,
		.version = 0x20c,
		.jump = 0x66eb,
		.kernel_alignment = 0x200000,
		.relocatable_kernel = 1,
		.xloadflags = XLF_KERNEL_64,
		.cmdline_size = 2047,
		.initrd_addr_max = 0x7fffffff,
		.pref_address = BZIMAGE_ADDRESS,
		.init_size = memory,
	};
}

#endif
