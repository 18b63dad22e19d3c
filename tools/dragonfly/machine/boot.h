/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A Linux kernel in the guest's memory and the boot vCPU in front of it.
 */
#ifndef DRAGONFLY_BOOT_H
#define DRAGONFLY_BOOT_H

#include <stdbool.h>
#include <stdint.h>

struct machine;
struct vcpu;

/* How the boot vCPU starts: by Linux' 64-bit boot protocol, or by PVH in 32-bit mode. */
struct entry {
	bool long_mode;
	uint64_t rip;
};

/* Guest-physical places in the first MiB. */
#define BOOT_GDT 0x1000
#define BOOT_INFO 0x2000 /* PVH start info, or boot_params */
#define BOOT_TABLES 0x9000 /* six page tables */
#define BOOT_CMDLINE 0x20000
#define ACPI_TABLES 0xe0000 /* RSDP first */
#define ACPI_SIZE 0x10000
#define BOOT_RESET_VECTOR 0xffff0 /* F000:FFF0 in real mode */

/* bzImage or vmlinux, the initrd, the command line, and what says where memory is. */
int boot__load(struct machine *machine, struct entry *entry);

/* The registers of the boot vCPU. */
int boot__enter(struct vcpu *vcpu, const struct entry *entry);

#endif
