/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest's linear addresses, translated through the guest's own page tables.
 */
#ifndef DF_EMULATE_PAGING_H
#define DF_EMULATE_PAGING_H

#include <linux/bits.h>
#include <linux/types.h>

/* What an access does beside reading. */
#define DF_PAGING_WRITE		BIT(0)
#define DF_PAGING_FETCH		BIT(1)

/**
 * struct df_paging - the registers that paging depends on
 * @cr0: PG and WP
 * @cr3: where the tables are
 * @cr4: PSE, PAE, SMEP and SMAP
 * @efer: LMA and NXE
 * @pdpte: what the CPU has loaded for 32-bit PAE paging
 * @phys_bits: width of guest-physical addresses (MAXPHYADDR), 32 to 52
 * @user: CPL is 3
 * @ac: RFLAGS.AC
 */
struct df_paging {
	u64 cr0, cr3, cr4, efer;
	u64 pdpte[4];
	unsigned int phys_bits;
	bool user, ac;
};

/**
 * struct df_paging_ops - how page tables are reached
 * @read: the entry of @bytes (4 or 8) at @gpa, into @entry.
 *	Return: 0 or a negative errno.
 * @set_flags: set @flags in the entry of @bytes at @gpa, atomically, if it
 *	still is @old. Return: 0, -EAGAIN if it is not, or a negative errno.
 *	NULL leaves the accessed and dirty flags alone.
 */
struct df_paging_ops {
	int (*read)(void *data, u64 gpa, unsigned int bytes, u64 *entry);
	int (*set_flags)(void *data, u64 gpa, unsigned int bytes, u64 old, u64 flags);
};

/**
 * df_paging_translate() - where a linear address is in guest-physical memory
 * @paging: the vCPU's registers
 * @linear: the address; outside of IA-32e mode the low 32 bits count
 * @access: DF_PAGING_*
 * @ops: how page tables are reached
 * @data: for @ops
 * @gpa: filled if 0 is returned
 * @error_code: of the page fault, filled if 1 is returned
 *
 * As the CPU would, this sets the accessed flag in every entry and for a write
 * the dirty flag in the last; but not before all is known to be granted.
 * Protection keys are not looked at, 5-level paging is not known, and the CPU
 * is taken to have PSE-36 and 1 GiB pages.
 *
 * Source: SDM volume 3, "Paging".
 *
 * Context: As @ops have it. Pure: touches nothing but its arguments.
 * Return: 0, 1 for a page fault, -ERANGE if @linear is not canonical, which is
 * a general-protection fault (a stack fault if SS is meant), or what @ops
 * return. After -EAGAIN the guest has changed the tables meanwhile; there is
 * no loop in here that it could keep going.
 */
int df_paging_translate(const struct df_paging *paging, u64 linear, unsigned int access,
			const struct df_paging_ops *ops, void *data, u64 *gpa, u32 *error_code);

#endif
