/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's memory: one memfd, which vhost and VDUSE can share.
 */
#ifndef DRAGONFLY_MEMORY_H
#define DRAGONFLY_MEMORY_H

#include <stdint.h>

/* Guest-physical places; below LOW_END there is memory, the rest of it from 4 GiB on. */
#define MEMORY_LOW_END 0xc0000000ULL
#define MEMORY_HIGH 0x100000000ULL
#define PCI_WINDOW 0xc0000000ULL /* BARs */
#define PCI_WINDOW_SIZE 0x20000000ULL
#define PCI_ECAM 0xe0000000ULL /* one bus */
#define PCI_ECAM_SIZE 0x00100000ULL
#define IOAPIC_ADDRESS 0xfec00000ULL
#define IOAPIC_PINS 24
#define EXITLESS_AREA 0xfec10000ULL /* see <linux/dragonfly_para.h> */
#define LAPIC_ADDRESS 0xfee00000ULL

#define MEMORY_MAX_PIECES 2

struct memory_piece {
	uint64_t guest, size, offset; /* guest-physical; in bytes; in the memfd */
	void *host;
};

struct memory {
	int fd;
	uint64_t size;
	unsigned int nr_pieces; /* 1 or 2 */
	struct memory_piece pieces[MEMORY_MAX_PIECES];
};

/* @huge: bytes of a huge page, or 0. */
int memory__create(struct memory *memory, uint64_t size, uint64_t huge);
void memory__destroy(struct memory *memory);

/* Where @size bytes at a guest-physical address lie, or NULL if not all of them are memory. */
void *memory__at(const struct memory *memory, uint64_t guest, uint64_t size);

#endif
