/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A Linux kernel in the guest's memory and the boot vCPU in front of it.
 */
#ifndef DRAGONFLY_BOOT_H
#define DRAGONFLY_BOOT_H

#include <stdint.h>

struct machine;

/* How the kernel wants to be entered, and where its boot data lie. */
struct entry {
	enum { ENTRY_LINUX64, ENTRY_PVH } protocol;
	uint64_t rip, data; /* guest-physical */
};

/* Guest-physical places in the first MiB. */
#define BOOT_GDT 0x1000
#define BOOT_INFO 0x2000 /* PVH start info and its tables */
#define BOOT_TABLES 0x9000 /* page tables, three pages and more */
#define BOOT_PARAMS 0x10000 /* boot_params, the zero page */
#define BOOT_CMDLINE 0x20000
#define ACPI_TABLES 0xe0000 /* RSDP first */
#define ACPI_SIZE 0x10000
#define KERNEL_START 0x1000000 /* 16 MiB, when it may lie anywhere */

/* bzImage and vmlinux, the initrd, the command line; E820 says what is memory. */
int boot__load(struct machine *machine, struct entry *entry);

/* The registers of the boot vCPU. */
int boot__enter(int vcpu_fd, const struct entry *entry);

#endif
