// SPDX-License-Identifier: GPL-2.0-only
/*
 * The walk through a guest's page tables.  Pure: it is also compiled, and
 * tested, on the build machine (selftests/unit/).
 */
#include <linux/bits.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <asm/msr-index.h>
#include <asm/trap_pf.h>
#include <uapi/asm/processor-flags.h>

#include "paging.h"

/* Bits of an entry, at the same place in every kind of paging. */
#define ENTRY_PRESENT		BIT_ULL(0)
#define ENTRY_WRITE		BIT_ULL(1)
#define ENTRY_USER		BIT_ULL(2)
#define ENTRY_ACCESSED		BIT_ULL(5)
#define ENTRY_DIRTY		BIT_ULL(6)
#define ENTRY_LARGE		BIT_ULL(7)
#define ENTRY_NO_EXECUTE	BIT_ULL(63)

#define PAGE_BITS		12
#define LINEAR_BITS		48
#define MAX_LEVELS		4

/* The lowest bit of a large page's entry that can be of its address; below is PAT. */
#define LARGE_ADDRESS_BIT	13

/**
 * struct step - an entry that the walk went through
 * @gpa: where it is
 * @value: what it is
 */
struct step {
	u64 gpa, value;
};

/**
 * struct walk - how far a walk is
 * @paging: the vCPU's registers
 * @ops: how page tables are reached
 * @data: for @ops
 * @linear: the address
 * @access: DF_PAGING_*
 * @entry_bytes: 4 in 32-bit paging, otherwise 8
 * @index_bits: of @linear that choose an entry of a table
 * @level: of the table at hand; the last one is 1
 * @table: where it is
 * @granted: ENTRY_WRITE and ENTRY_USER if every entry so far has them
 * @no_execute: some entry forbids fetches
 * @steps: the entries so far
 * @nr_steps: how many
 */
struct walk {
	const struct df_paging *paging;
	const struct df_paging_ops *ops;
	void *data;
	u64 linear;
	unsigned int access, entry_bytes, index_bits, level;
	u64 table, granted;
	bool no_execute;
	struct step steps[MAX_LEVELS];
	unsigned int nr_steps;
};

static bool is_long_mode(const struct df_paging *paging)
{
	return paging->efer & EFER_LMA;
}

static bool is_pae(const struct df_paging *paging)
{
	return paging->cr4 & X86_CR4_PAE;
}

static bool has_no_execute(const struct df_paging *paging)
{
	return is_pae(paging) && paging->efer & EFER_NX;
}

static bool is_canonical(u64 linear)
{
	u64 top = linear >> (LINEAR_BITS - 1);

	return !top || top == ~0ULL >> (LINEAR_BITS - 1);
}

static u64 address_of(const struct df_paging *paging, u64 entry)
{
	return entry & GENMASK_ULL(paging->phys_bits - 1, PAGE_BITS);
}

/* The error code is what the CPU pushes; @why is X86_PF_PROT and the like, or 0. */
static int page_fault(const struct walk *w, u32 why, u32 *error_code)
{
	const struct df_paging *paging = w->paging;
	bool tells_fetch = paging->cr4 & X86_CR4_SMEP || has_no_execute(paging);

	if (w->access & DF_PAGING_WRITE)
		why |= X86_PF_WRITE;
	if (w->access & DF_PAGING_FETCH && tells_fetch)
		why |= X86_PF_INSTR;
	if (paging->user)
		why |= X86_PF_USER;
	*error_code = why;
	return 1;
}

/* Bits of @linear below those that choose an entry of the table at hand. */
static unsigned int offset_bits(const struct walk *w)
{
	return PAGE_BITS + (w->level - 1) * w->index_bits;
}

static u64 entry_gpa(const struct walk *w)
{
	u64 index = w->linear >> offset_bits(w) & GENMASK_ULL(w->index_bits - 1, 0);

	return w->table + index * w->entry_bytes;
}

/*
 * PS is a bit like others in a last table, and in 32-bit paging without PSE. At
 * the top of 4 levels it is reserved, which comes first.
 */
static bool is_leaf(const struct walk *w, u64 entry)
{
	if (w->level == 1)
		return true;
	if (!(entry & ENTRY_LARGE))
		return false;
	return is_pae(w->paging) || w->paging->cr4 & X86_CR4_PSE;
}

/* PSE-36: a 4 MiB page has address bits 39:32 where larger entries have none. */
static u64 pse36_address(u64 entry)
{
	return (entry & GENMASK_ULL(31, 22)) | (entry & GENMASK_ULL(20, 13)) << (32 - 13);
}

static u64 page_address(const struct walk *w, u64 entry)
{
	u64 address = address_of(w->paging, entry);

	if (w->entry_bytes == 4 && w->level > 1)
		address = pse36_address(entry);
	return address & ~GENMASK_ULL(offset_bits(w) - 1, 0);
}

static bool is_reserved32(const struct walk *w, u64 entry)
{
	if (w->level == 1 || !is_leaf(w, entry))
		return false;
	return entry & BIT_ULL(21) || pse36_address(entry) >> w->paging->phys_bits;
}

static u64 reserved_mask(const struct walk *w, u64 entry)
{
	const struct df_paging *paging = w->paging;
	u64 mask = GENMASK_ULL(is_long_mode(paging) ? 51 : 62, 0) &
		   ~GENMASK_ULL(paging->phys_bits - 1, 0);

	if (!has_no_execute(paging))
		mask |= ENTRY_NO_EXECUTE;
	if (w->level == MAX_LEVELS)
		mask |= ENTRY_LARGE;
	else if (w->level > 1 && is_leaf(w, entry))
		mask |= GENMASK_ULL(offset_bits(w) - 1, LARGE_ADDRESS_BIT);
	return mask;
}

static bool is_reserved(const struct walk *w, u64 entry)
{
	if (w->entry_bytes == 4)
		return is_reserved32(w, entry);
	return entry & reserved_mask(w, entry);
}

static bool is_granted(const struct walk *w)
{
	const struct df_paging *paging = w->paging;
	bool fetch = w->access & DF_PAGING_FETCH;

	if (fetch && w->no_execute)
		return false;
	if (w->access & DF_PAGING_WRITE && !(w->granted & ENTRY_WRITE) &&
	    (paging->user || paging->cr0 & X86_CR0_WP))
		return false;
	if (!(w->granted & ENTRY_USER))
		return !paging->user;
	if (paging->user)
		return true;
	/* A supervisor at a user's page. */
	return fetch ? !(paging->cr4 & X86_CR4_SMEP) : paging->ac || !(paging->cr4 & X86_CR4_SMAP);
}

/* Return: 0 at the page's entry, 1 for a fault, or a negative errno. */
static int descend(struct walk *w, u32 *error_code)
{
	for (;; w->level--) {
		struct step *step = &w->steps[w->nr_steps++];
		int error;

		step->gpa = entry_gpa(w);
		error = w->ops->read(w->data, step->gpa, w->entry_bytes, &step->value);
		if (error)
			return error;
		if (!(step->value & ENTRY_PRESENT))
			return page_fault(w, 0, error_code);
		if (is_reserved(w, step->value))
			return page_fault(w, X86_PF_PROT | X86_PF_RSVD, error_code);
		w->granted &= step->value;
		w->no_execute |= step->value & ENTRY_NO_EXECUTE;
		if (is_leaf(w, step->value))
			return 0;
		w->table = address_of(w->paging, step->value);
	}
}

/* A table that maps itself is walked through the same entry more than once. */
static void note_flags(struct walk *w, u64 gpa, u64 flags)
{
	for (unsigned int i = 0; i < w->nr_steps; i++)
		if (w->steps[i].gpa == gpa)
			w->steps[i].value |= flags;
}

/*
 * From the top, as the CPU does. Each entry has to be as it was, so that no
 * flag lands in a page that has become something else.
 */
static int set_flags(struct walk *w)
{
	u64 flags = ENTRY_ACCESSED;

	for (unsigned int i = 0; i < w->nr_steps; i++) {
		const struct step *step = &w->steps[i];
		int error;

		if (i == w->nr_steps - 1 && w->access & DF_PAGING_WRITE)
			flags |= ENTRY_DIRTY;
		if ((step->value & flags) == flags)
			continue;
		error = w->ops->set_flags(w->data, step->gpa, w->entry_bytes, step->value, flags);
		if (error)
			return error;
		note_flags(w, step->gpa, flags);
	}
	return 0;
}

/* Return: false if there is no table to begin with. */
static bool find_top(struct walk *w)
{
	const struct df_paging *paging = w->paging;
	u64 top = is_long_mode(paging) ? paging->cr3 : (u32)paging->cr3;

	w->entry_bytes = is_pae(paging) ? 8 : 4;
	w->index_bits = is_pae(paging) ? 9 : 10;
	w->level = is_long_mode(paging) ? MAX_LEVELS : 2;
	if (is_pae(paging) && !is_long_mode(paging)) {
		top = paging->pdpte[w->linear >> 30];
		if (!(top & ENTRY_PRESENT))
			return false;
	}
	w->table = address_of(paging, top);
	return true;
}

int df_paging_translate(const struct df_paging *paging, u64 linear, unsigned int access,
			const struct df_paging_ops *ops, void *data, u64 *gpa, u32 *error_code)
{
	struct walk w = {
		.paging = paging,
		.ops = ops,
		.data = data,
		.linear = is_long_mode(paging) ? linear : (u32)linear,
		.access = access,
		.granted = ENTRY_WRITE | ENTRY_USER,
	};
	int error;

	if (!(paging->cr0 & X86_CR0_PG)) {
		*gpa = w.linear;
		return 0;
	}
	if (is_long_mode(paging) && !is_canonical(linear))
		return -ERANGE;
	if (!find_top(&w))
		return page_fault(&w, 0, error_code);
	error = descend(&w, error_code);
	if (error)
		return error;
	if (!is_granted(&w))
		return page_fault(&w, X86_PF_PROT, error_code);
	error = ops->set_flags ? set_flags(&w) : 0;
	if (error)
		return error;
	*gpa = page_address(&w, w.steps[w.nr_steps - 1].value) |
	       (w.linear & GENMASK_ULL(offset_bits(&w) - 1, 0));
	return 0;
}
