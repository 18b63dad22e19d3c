/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where bootimage.c puts things and pvhboot.S finds them.
 *
 * Everything that is not the kernel or the initrd lies in one page of low
 * memory, the boot page, which starts with the PVH start_info structure
 * (Xen's public/arch-x86/hvm/start_info.h).
 */
#ifndef TESTHOST_BOOT_LAYOUT_H
#define TESTHOST_BOOT_LAYOUT_H

#define BOOT_PAGE 0x80000
#define BOOT_PAGE_SIZE 0x1000

/* Offsets into the boot page. */
#define BOOT_START_INFO 0x000
#define BOOT_MEMMAP_ENTRIES 0x030 /* start_info.memmap_entries */
#define BOOT_MODLIST 0x040
#define BOOT_ENTRY 0x080 /* u32: the kernel's 32-bit PVH entry */
#define BOOT_MEMMAP 0x100 /* filled in by pvhboot.S from E820 */
#define BOOT_MEMMAP_MAX 32
#define BOOT_CMDLINE 0x800

#define BOOT_KERNEL_BASE 0x1000000 /* CONFIG_PHYSICAL_START */

#endif
