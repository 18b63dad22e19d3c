// SPDX-License-Identifier: GPL-2.0-only
/*
 * The walk through page tables, in tables made up here.
 */
#include "kselftest_harness.h"

#include "arch/x86/emulate/paging.c"

#define P ENTRY_PRESENT
#define W ENTRY_WRITE
#define U ENTRY_USER
#define A ENTRY_ACCESSED
#define D ENTRY_DIRTY
#define PS ENTRY_LARGE
#define NX ENTRY_NO_EXECUTE
#define ALL (P | W | U)

#define READ 0
#define WRITE DF_PAGING_WRITE
#define FETCH DF_PAGING_FETCH

/* Guest memory: a table of each level, at its number times a page. */
#define MEMORY_BYTES 0x5000
#define TABLE(level) ((level)*0x1000ULL)
#define FRAME 0x12345000ULL

/**
 * struct mode - a kind of paging
 * @name: for people
 * @cr4: that makes it so
 * @efer: likewise
 * @levels: of tables in memory
 * @bits: of the address that choose an entry
 * @bytes: of an entry
 * @linear: an address with a different index at each level
 * @reserved: in the entry of each level, from the last; of a CPU with 40 bits
 *	of physical address and NXE
 */
struct mode {
	const char *name;
	u64 cr4;
	u64 efer;
	unsigned int levels;
	unsigned int bits;
	unsigned int bytes;
	u64 linear;
	u64 reserved[MAX_LEVELS];
};

static const struct mode modes[] = {
	{ "32-bit", X86_CR4_PSE, 0, 2, 10, 4, 0xcafeaabe, { 0, 0 } },
	{ "PAE",
	  X86_CR4_PAE,
	  EFER_NX,
	  2,
	  9,
	  8,
	  0xcafeaabe,
	  { 0x7fffff0000000000, 0x7fffff0000000000 } },
	{ "4-level",
	  X86_CR4_PAE,
	  EFER_NX | EFER_LME | EFER_LMA,
	  4,
	  9,
	  8,
	  0xffff9876cafeaabe,
	  { 0x000fff0000000000, 0x000fff0000000000, 0x000fff0000000000, 0x000fff0000000080 } },
};

#define MODE_32 (&modes[0])
#define MODE_PAE (&modes[1])
#define MODE_LONG (&modes[2])

static const struct mode *const end_of_modes = modes + ARRAY_SIZE(modes);

/**
 * struct guest - what there is to walk through
 * @mode: the kind of paging
 * @paging: the registers
 * @memory: its tables
 * @reads: of entries
 * @changes: of flags
 * @racing: every entry changes before flags can be set in it
 */
struct guest {
	const struct mode *mode;
	struct df_paging paging;
	u8 memory[MEMORY_BYTES];
	unsigned int reads;
	unsigned int changes;
	bool racing;
};

static u64 peek(const struct guest *g, u64 gpa)
{
	u64 entry = 0;

	memcpy(&entry, g->memory + gpa, g->mode->bytes);
	return entry;
}

static void poke(struct guest *g, u64 gpa, u64 entry)
{
	memcpy(g->memory + gpa, &entry, g->mode->bytes);
}

static int read_entry(void *data, u64 gpa, unsigned int bytes, u64 *entry)
{
	struct guest *g = data;

	g->reads++;
	if (gpa % bytes || bytes != g->mode->bytes)
		return -EDOM;
	if (gpa + bytes > MEMORY_BYTES)
		return -EFAULT;
	*entry = peek(g, gpa);
	return 0;
}

static int change_entry(void *data, u64 gpa, unsigned int bytes, u64 old, u64 flags)
{
	struct guest *g = data;

	g->changes++;
	if (gpa % bytes || bytes != g->mode->bytes)
		return -EDOM;
	if (g->racing || peek(g, gpa) != old)
		return -EAGAIN;
	poke(g, gpa, old | flags);
	return 0;
}

static const struct df_paging_ops ops = { .read = read_entry, .set_flags = change_entry };

/* Where the entry of this level for the mode's address is. */
static u64 place(const struct guest *g, unsigned int level)
{
	const struct mode *m = g->mode;
	u64 index = m->linear >> (12 + m->bits * (level - 1)) & ((1 << m->bits) - 1);

	return TABLE(level) + index * m->bytes;
}

/* A supervisor with WP, and the mode's address mapped to FRAME with all rights. */
static struct guest guest_in(const struct mode *mode)
{
	struct guest g = {
		.mode = mode,
		.paging = {
			.cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_WP,
			.cr3 = TABLE(mode->levels),
			.cr4 = mode->cr4,
			.efer = mode->efer,
			.phys_bits = 40,
		},
	};

	for (unsigned int level = mode->levels; level > 1; level--)
		poke(&g, place(&g, level), TABLE(level - 1) | ALL);
	poke(&g, place(&g, 1), FRAME | ALL);
	if (mode == MODE_PAE) {
		g.paging.cr3 = 0;
		g.paging.pdpte[mode->linear >> 30] = TABLE(2) | P;
	}
	return g;
}

static int translate(struct guest *g, unsigned int access, u64 *gpa, u32 *error_code)
{
	*gpa = ~0ULL;
	*error_code = ~0U;
	return df_paging_translate(&g->paging, g->mode->linear, access, &ops, g, gpa, error_code);
}

#define EXPECT_GPA(expected, g, access)                                      \
	do {                                                                 \
		u32 _error_code;                                             \
		u64 _gpa;                                                    \
		EXPECT_EQ(0, translate(g, access, &_gpa, &_error_code))      \
		TH_LOG("%s, error code 0x%x", (g)->mode->name, _error_code); \
		EXPECT_EQ((expected), _gpa) TH_LOG("%s", (g)->mode->name);   \
		EXPECT_EQ(~0U, _error_code);                                 \
	} while (0)

#define EXPECT_FAULT(expected, g, access)                                              \
	do {                                                                           \
		u32 _error_code;                                                       \
		u64 _gpa;                                                              \
		EXPECT_EQ(1, translate(g, access, &_gpa, &_error_code))                \
		TH_LOG("%s", (g)->mode->name);                                         \
		EXPECT_EQ((u32)(expected), _error_code) TH_LOG("%s", (g)->mode->name); \
		EXPECT_EQ(~0ULL, _gpa);                                                \
	} while (0)

#define EXPECT_ERROR(expected, g, access)                                         \
	do {                                                                      \
		u32 _error_code;                                                  \
		u64 _gpa;                                                         \
		EXPECT_EQ((expected), translate(g, access, &_gpa, &_error_code)); \
		EXPECT_EQ(~0U, _error_code);                                      \
		EXPECT_EQ(~0ULL, _gpa);                                           \
	} while (0)

/* --- where it leads ------------------------------------------------------- */

TEST(without_paging_an_address_is_its_low_half)
{
	struct guest g = guest_in(MODE_32);
	struct mode mode = *MODE_32;

	mode.linear = 0x1234567890;
	g.mode = &mode;
	g.paging.cr0 = X86_CR0_PE;
	g.paging.user = true;
	EXPECT_GPA(0x34567890, &g, WRITE);
	EXPECT_EQ(0, g.reads);
	EXPECT_EQ(0, g.changes);
}

TEST(each_mode_finds_a_small_page)
{
	for (const struct mode *mode = modes; mode < end_of_modes; mode++) {
		struct guest g = guest_in(mode);

		EXPECT_GPA(FRAME | 0xabe, &g, READ);
		EXPECT_EQ(mode->levels, g.reads);
		EXPECT_GPA(FRAME | 0xabe, &g, WRITE);
		EXPECT_GPA(FRAME | 0xabe, &g, FETCH);
	}
}

TEST(outside_of_long_mode_the_upper_half_of_an_address_is_nothing)
{
	for (const struct mode *mode = modes; mode < end_of_modes; mode++) {
		struct guest g = guest_in(mode);
		struct mode high = *mode;

		if (mode == MODE_LONG)
			continue;
		high.linear |= 0x123456789ULL << 32;
		g.mode = &high;
		EXPECT_GPA(FRAME | 0xabe, &g, READ);
	}
}

/* An address below, at, and beyond the hole. */
TEST(only_canonical_addresses_are_walked)
{
	static const struct {
		u64 linear;
		int result;
	} cases[] = {
		{ 0x00007fffffffffff, 1 },	 { 0x0000800000000000, -ERANGE },
		{ 0x0001000000000000, -ERANGE }, { 0x1000000000000000, -ERANGE },
		{ 0xffff7fffffffffff, -ERANGE }, { 0xffff800000000000, 1 },
		{ 0x7fff800000000000, -ERANGE }, { 0, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct guest g = guest_in(MODE_LONG);
		struct mode mode = *MODE_LONG;
		u32 error_code;
		u64 gpa;

		memset(g.memory, 0, sizeof(g.memory));
		mode.linear = cases[i].linear;
		g.mode = &mode;
		EXPECT_EQ(cases[i].result, translate(&g, READ, &gpa, &error_code))
		TH_LOG("0x%lx", mode.linear);
		EXPECT_EQ(cases[i].result == 1, g.reads);
	}
}

/* PCID and the caching flags in CR3; in 32-bit paging its upper half as well. */
TEST(not_all_of_cr3_is_an_address)
{
	struct guest g = guest_in(MODE_LONG);

	g.paging.cr3 |= 0xfff | BIT_ULL(63) | BIT_ULL(62);
	EXPECT_GPA(FRAME | 0xabe, &g, READ);
	g = guest_in(MODE_32);
	g.paging.cr3 |= 0xfff | BIT_ULL(32);
	EXPECT_GPA(FRAME | 0xabe, &g, READ);
}

TEST(every_pdpte_is_used)
{
	struct guest g = guest_in(MODE_PAE);
	struct mode mode = *MODE_PAE;

	g.mode = &mode;
	for (unsigned int i = 0; i < 4; i++) {
		mode.linear = (mode.linear & 0x3fffffff) | i << 30;
		memset(g.paging.pdpte, 0, sizeof(g.paging.pdpte));
		g.paging.pdpte[i] = TABLE(2);
		EXPECT_FAULT(0, &g, READ);
		EXPECT_EQ(2 * i, g.reads);
		g.paging.pdpte[i] = TABLE(2) | P;
		EXPECT_GPA(FRAME | 0xabe, &g, READ);
	}
}

TEST(large_pages)
{
	static const struct {
		const struct mode *mode;
		unsigned int level;
		u64 entry;
		u64 gpa;
	} cases[] = {
		{ MODE_32, 2, 0xc0400000 | ALL | PS, 0xc0400000 | 0x3eaabe },
		{ MODE_32, 2, 0xc0400000 | BIT(12) | ALL | PS, 0xc0400000 | 0x3eaabe },
		{ MODE_32, 2, 0xc0400000 | 0xa5 << 13 | ALL | PS, 0xa5c0400000 | 0x3eaabe },
		{ MODE_PAE, 2, 0x12c0600000 | ALL | PS, 0x12c0600000 | 0x1eaabe },
		{ MODE_PAE, 2, 0x12c0600000 | BIT(12) | ALL | PS, 0x12c0600000 | 0x1eaabe },
		{ MODE_LONG, 2, 0x12c0600000 | ALL | PS, 0x12c0600000 | 0x1eaabe },
		{ MODE_LONG, 2, 0x12c0600000 | BIT(12) | ALL | PS, 0x12c0600000 | 0x1eaabe },
		{ MODE_LONG, 3, 0x1280000000 | ALL | PS, 0x1280000000 | 0x0afeaabe },
		{ MODE_LONG, 3, 0x1280000000 | BIT(12) | ALL | PS, 0x1280000000 | 0x0afeaabe },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct guest g = guest_in(cases[i].mode);

		poke(&g, place(&g, cases[i].level), cases[i].entry);
		EXPECT_GPA(cases[i].gpa, &g, READ);
		EXPECT_EQ(cases[i].mode->levels - cases[i].level + 1, g.reads);
	}
}

/* PS where it is something else: PAT in the last level, nothing without PSE. */
TEST(not_every_bit_7_is_a_large_page)
{
	struct guest g;

	for (const struct mode *mode = modes; mode < end_of_modes; mode++) {
		g = guest_in(mode);
		poke(&g, place(&g, 1), FRAME | ALL | PS);
		EXPECT_GPA(FRAME | 0xabe, &g, READ);
	}
	g = guest_in(MODE_32);
	g.paging.cr4 &= ~X86_CR4_PSE;
	poke(&g, place(&g, 2), TABLE(1) | ALL | PS);
	EXPECT_GPA(FRAME | 0xabe, &g, READ);
}

/* --- what is refused ------------------------------------------------------ */

TEST(not_present_at_any_level)
{
	for (const struct mode *mode = modes; mode < end_of_modes; mode++) {
		u32 fetch = mode == MODE_32 ? 0 : X86_PF_INSTR;

		for (unsigned int level = 1; level <= mode->levels; level++) {
			struct guest g = guest_in(mode);

			/* Whatever else it says, even what is reserved. */
			poke(&g, place(&g, level), ~P);
			EXPECT_FAULT(0, &g, READ);
			EXPECT_FAULT(X86_PF_WRITE, &g, WRITE);
			EXPECT_FAULT(fetch, &g, FETCH);
			g.paging.user = true;
			EXPECT_FAULT(X86_PF_USER, &g, READ);
			EXPECT_FAULT(X86_PF_USER | X86_PF_WRITE, &g, WRITE);
			EXPECT_FAULT(X86_PF_USER | fetch, &g, FETCH);
			EXPECT_EQ(0, g.changes);
		}
	}
}

/* A fetch shows in the error code if the CPU can refuse any. */
TEST(the_fetch_bit)
{
	struct guest g = guest_in(MODE_32);

	poke(&g, place(&g, 1), 0);
	EXPECT_FAULT(0, &g, FETCH);
	g.paging.efer = EFER_NX;
	EXPECT_FAULT(0, &g, FETCH);
	g.paging.cr4 |= X86_CR4_SMEP;
	EXPECT_FAULT(X86_PF_INSTR, &g, FETCH);
	EXPECT_FAULT(0, &g, READ);

	g = guest_in(MODE_LONG);
	poke(&g, place(&g, 1), 0);
	EXPECT_FAULT(X86_PF_INSTR, &g, FETCH);
	g.paging.efer &= ~EFER_NX;
	EXPECT_FAULT(0, &g, FETCH);
}

/**
 * struct rights - an access and whether it is granted
 * @user: who
 * @access: what
 * @lacks: of ALL, at any one level
 * @cr0: beside PE and PG
 * @cr4: beside the mode's
 * @ac: RFLAGS.AC
 * @granted: or else refused, with P in the error code
 */
struct rights {
	bool user;
	unsigned int access;
	u64 lacks;
	u64 cr0;
	u64 cr4;
	bool ac;
	bool granted;
};

#define USER true
#define SUPERVISOR false
#define WP X86_CR0_WP
#define SMEP X86_CR4_SMEP
#define SMAP X86_CR4_SMAP

static const struct rights rights[] = {
	/* The user has what each level grants to users; WP is not about them. */
	{ USER, READ, 0, 0, 0, false, true },
	{ USER, WRITE, 0, 0, 0, false, true },
	{ USER, FETCH, 0, 0, 0, false, true },
	{ USER, READ, U, 0, 0, false, false },
	{ USER, WRITE, U, 0, 0, false, false },
	{ USER, FETCH, U, 0, 0, false, false },
	{ USER, READ, W, WP, 0, false, true },
	{ USER, FETCH, W, WP, 0, false, true },
	{ USER, WRITE, W, WP, 0, false, false },
	{ USER, WRITE, W, 0, 0, false, false },
	{ USER, READ, 0, WP, SMEP | SMAP, false, true },
	{ USER, WRITE, 0, WP, SMEP | SMAP, false, true },
	{ USER, FETCH, 0, WP, SMEP | SMAP, false, true },
	{ USER, READ, U, WP, SMEP | SMAP, true, false },

	/* The supervisor's own pages. */
	{ SUPERVISOR, READ, U, WP, SMEP | SMAP, false, true },
	{ SUPERVISOR, WRITE, U, WP, SMEP | SMAP, false, true },
	{ SUPERVISOR, FETCH, U, WP, SMEP | SMAP, false, true },
	{ SUPERVISOR, READ, U | W, WP, 0, false, true },
	{ SUPERVISOR, WRITE, U | W, WP, 0, false, false },
	{ SUPERVISOR, WRITE, U | W, WP, SMAP, true, false },
	{ SUPERVISOR, WRITE, U | W, 0, 0, false, true },
	{ SUPERVISOR, FETCH, U | W, WP, 0, false, true },

	/* The user's pages, without and with protection from them. */
	{ SUPERVISOR, READ, 0, WP, 0, false, true },
	{ SUPERVISOR, WRITE, 0, WP, 0, false, true },
	{ SUPERVISOR, FETCH, 0, WP, 0, false, true },
	{ SUPERVISOR, WRITE, W, WP, 0, false, false },
	{ SUPERVISOR, WRITE, W, 0, 0, false, true },
	{ SUPERVISOR, READ, 0, WP, SMEP, false, true },
	{ SUPERVISOR, WRITE, 0, WP, SMEP, false, true },
	{ SUPERVISOR, FETCH, 0, WP, SMEP, false, false },
	{ SUPERVISOR, FETCH, 0, WP, SMEP, true, false },
	{ SUPERVISOR, READ, 0, WP, SMAP, false, false },
	{ SUPERVISOR, READ, 0, WP, SMAP, true, true },
	{ SUPERVISOR, WRITE, 0, WP, SMAP, false, false },
	{ SUPERVISOR, WRITE, 0, WP, SMAP, true, true },
	{ SUPERVISOR, WRITE, 0, 0, SMAP, false, false },
	{ SUPERVISOR, WRITE, W, WP, SMAP, true, false },
	{ SUPERVISOR, WRITE, W, 0, SMAP, true, true },
	{ SUPERVISOR, FETCH, 0, WP, SMAP, false, true },
};

/* Return: the error code of what the access is, without P. */
static u32 code_of(const struct guest *g, unsigned int access)
{
	bool fetch = g->paging.cr4 & X86_CR4_SMEP || g->mode != MODE_32;

	return (g->paging.user ? X86_PF_USER : 0) | (access == WRITE ? X86_PF_WRITE : 0) |
	       (access == FETCH && fetch ? X86_PF_INSTR : 0);
}

static void check_rights(struct __test_metadata *_metadata, const struct mode *mode,
			 const struct rights *r, unsigned int level)
{
	struct guest g = guest_in(mode);

	g.paging.user = r->user;
	g.paging.ac = r->ac;
	g.paging.cr0 = X86_CR0_PE | X86_CR0_PG | r->cr0;
	g.paging.cr4 |= r->cr4;
	poke(&g, place(&g, level), peek(&g, place(&g, level)) & ~r->lacks);
	if (r->granted)
		EXPECT_GPA(FRAME | 0xabe, &g, r->access);
	else
		EXPECT_FAULT(X86_PF_PROT | code_of(&g, r->access), &g, r->access);
	EXPECT_EQ(r->granted ? mode->levels : 0, g.changes);
}

TEST(what_is_granted_to_whom)
{
	for (const struct mode *mode = modes; mode < end_of_modes; mode++) {
		for (size_t i = 0; i < ARRAY_SIZE(rights); i++) {
			for (unsigned int level = 1; level <= mode->levels; level++) {
				check_rights(_metadata, mode, &rights[i], level);
				if (!_metadata->exit_code)
					continue;
				TH_LOG("row %zu, level %u", i, level);
				return;
			}
		}
	}
}

TEST(no_execute_at_any_level)
{
	for (const struct mode *mode = modes; mode < end_of_modes; mode++) {
		if (mode == MODE_32)
			continue;
		for (unsigned int level = 1; level <= mode->levels; level++) {
			struct guest g = guest_in(mode);
			u64 gpa = place(&g, level);

			poke(&g, gpa, peek(&g, gpa) | NX);
			EXPECT_GPA(FRAME | 0xabe, &g, READ);
			EXPECT_GPA(FRAME | 0xabe, &g, WRITE);
			EXPECT_FAULT(X86_PF_PROT | X86_PF_INSTR, &g, FETCH);
			g.paging.user = true;
			EXPECT_FAULT(X86_PF_PROT | X86_PF_INSTR | X86_PF_USER, &g, FETCH);
		}
	}
}

/* Every bit of every level's entry, alone. */
static void check_reserved(struct __test_metadata *_metadata, const struct mode *mode,
			   unsigned int level, u64 reserved)
{
	for (unsigned int bit = 12; bit < 8 * mode->bytes; bit++) {
		struct guest g = guest_in(mode);
		u64 gpa = place(&g, level);
		u32 error_code;
		int result;
		u64 to;

		poke(&g, gpa, peek(&g, gpa) | BIT_ULL(bit));
		result = translate(&g, READ, &to, &error_code);
		if (reserved & BIT_ULL(bit)) {
			EXPECT_EQ(1, result) TH_LOG("%s, level %u, bit %u", mode->name, level, bit);
			EXPECT_EQ(X86_PF_PROT | X86_PF_RSVD, error_code);
		} else {
			/* An address bit leads elsewhere, and maybe to nothing. */
			EXPECT_EQ(0, result == 1 && error_code & X86_PF_RSVD)
			TH_LOG("%s, level %u, bit %u", mode->name, level, bit);
		}
	}
}

TEST(reserved_bits)
{
	for (const struct mode *mode = modes; mode < end_of_modes; mode++)
		for (unsigned int level = 1; level <= mode->levels; level++)
			check_reserved(_metadata, mode, level, mode->reserved[level - 1]);
}

TEST(no_page_is_as_large_as_the_top_level)
{
	struct guest g = guest_in(MODE_LONG);

	poke(&g, place(&g, 4), ALL | PS);
	EXPECT_FAULT(X86_PF_PROT | X86_PF_RSVD | X86_PF_WRITE, &g, WRITE);
}

TEST(reserved_bits_of_large_pages)
{
	static const struct {
		const struct mode *mode;
		unsigned int level;
		unsigned int phys_bits;
		u64 reserved;
	} cases[] = {
		{ MODE_32, 2, 40, 0x200000 },
		{ MODE_32, 2, 52, 0x200000 },
		{ MODE_32, 2, 36, 0x3e0000 },
		{ MODE_32, 2, 32, 0x3fe000 },
		{ MODE_PAE, 2, 40, 0x7fffff00001fe000 },
		{ MODE_PAE, 2, 52, 0x7ff00000001fe000 },
		{ MODE_LONG, 2, 46, 0x000fc000001fe000 },
		{ MODE_LONG, 2, 52, 0x00000000001fe000 },
		{ MODE_LONG, 3, 40, 0x000fff003fffe000 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct mode *mode = cases[i].mode;

		for (unsigned int bit = 12; bit < 8 * mode->bytes; bit++) {
			bool reserved = cases[i].reserved & BIT_ULL(bit);
			struct guest g = guest_in(mode);
			u32 error_code;
			u64 gpa;

			g.paging.phys_bits = cases[i].phys_bits;
			poke(&g, place(&g, cases[i].level), ALL | PS | BIT_ULL(bit));
			EXPECT_EQ(reserved, translate(&g, WRITE, &gpa, &error_code))
			TH_LOG("row %zu, bit %u", i, bit);
			if (reserved)
				EXPECT_EQ(X86_PF_PROT | X86_PF_RSVD | X86_PF_WRITE, error_code);
		}
	}
}

/* Without NXE, bit 63 is reserved, and not a word of fetches. */
TEST(no_execute_without_nxe_is_reserved)
{
	for (const struct mode *mode = modes; mode < end_of_modes; mode++) {
		if (mode == MODE_32)
			continue;
		for (unsigned int level = 1; level <= mode->levels; level++) {
			struct guest g = guest_in(mode);
			u64 gpa = place(&g, level);

			g.paging.efer &= ~EFER_NX;
			poke(&g, gpa, peek(&g, gpa) | NX);
			EXPECT_FAULT(X86_PF_PROT | X86_PF_RSVD, &g, READ);
			EXPECT_FAULT(X86_PF_PROT | X86_PF_RSVD, &g, FETCH);
		}
	}
}

/* What is wrong with an entry counts more than what those before it refuse. */
TEST(rights_come_last)
{
	struct guest g = guest_in(MODE_LONG);

	g.paging.user = true;
	poke(&g, place(&g, 4), TABLE(3) | P);
	EXPECT_FAULT(X86_PF_PROT | X86_PF_USER | X86_PF_WRITE, &g, WRITE);
	poke(&g, place(&g, 1), FRAME | ALL | BIT_ULL(45));
	EXPECT_FAULT(X86_PF_PROT | X86_PF_RSVD | X86_PF_USER | X86_PF_WRITE, &g, WRITE);
	poke(&g, place(&g, 1), 0);
	EXPECT_FAULT(X86_PF_USER | X86_PF_WRITE, &g, WRITE);
}

/* --- flags ---------------------------------------------------------------- */

static void expect_flags(struct __test_metadata *_metadata, const struct guest *g, u64 leaf,
			 u64 others)
{
	for (unsigned int level = 1; level <= g->mode->levels; level++) {
		EXPECT_EQ(level == 1 ? leaf : others, peek(g, place(g, level)) & (A | D))
		TH_LOG("%s, level %u", g->mode->name, level);
	}
}

TEST(accessed_and_dirty)
{
	for (const struct mode *mode = modes; mode < end_of_modes; mode++) {
		struct guest g = guest_in(mode);

		EXPECT_GPA(FRAME | 0xabe, &g, READ);
		expect_flags(_metadata, &g, A, A);
		EXPECT_EQ(mode->levels, g.changes);

		/* Only what is not set yet. */
		EXPECT_GPA(FRAME | 0xabe, &g, FETCH);
		EXPECT_EQ(mode->levels, g.changes);
		EXPECT_GPA(FRAME | 0xabe, &g, WRITE);
		expect_flags(_metadata, &g, A | D, A);
		EXPECT_EQ(mode->levels + 1, g.changes);
		EXPECT_GPA(FRAME | 0xabe, &g, WRITE);
		EXPECT_EQ(mode->levels + 1, g.changes);
	}
}

TEST(a_large_page_gets_dirty)
{
	struct guest g = guest_in(MODE_LONG);

	poke(&g, place(&g, 3), ALL | PS);
	EXPECT_GPA(0x0afeaabe, &g, WRITE);
	EXPECT_EQ(ALL | PS | A | D, peek(&g, place(&g, 3)));
	EXPECT_EQ(TABLE(3) | ALL | A, peek(&g, place(&g, 4)));
	EXPECT_EQ(2, g.changes);
}

TEST(a_fault_sets_no_flags)
{
	struct guest g = guest_in(MODE_LONG);

	poke(&g, place(&g, 1), FRAME | P | U);
	EXPECT_FAULT(X86_PF_PROT | X86_PF_WRITE, &g, WRITE);
	expect_flags(_metadata, &g, 0, 0);
	EXPECT_EQ(0, g.changes);
}

TEST(flags_can_be_left_alone)
{
	static const struct df_paging_ops read_only = { .read = read_entry };
	struct guest g = guest_in(MODE_LONG);
	u32 error_code;
	u64 gpa;

	EXPECT_EQ(0, df_paging_translate(&g.paging, g.mode->linear, WRITE, &read_only, &g, &gpa,
					 &error_code));
	EXPECT_EQ(FRAME | 0xabe, gpa);
	expect_flags(_metadata, &g, 0, 0);
}

TEST(tables_that_change_meanwhile)
{
	struct guest g = guest_in(MODE_LONG);

	g.racing = true;
	EXPECT_ERROR(-EAGAIN, &g, READ);
	EXPECT_EQ(1, g.changes) TH_LOG("no second try in there");
	g.racing = false;
	EXPECT_GPA(FRAME | 0xabe, &g, READ);
}

/* A top table that is its own next, four times over: the page is that table. */
TEST(a_table_that_maps_itself)
{
	struct guest g = guest_in(MODE_LONG);
	struct mode mode = *MODE_LONG;
	u64 self = TABLE(4) + 0x1ed * 8;

	mode.linear = 0xfffff6fb7dbed123;
	g.mode = &mode;
	poke(&g, self, TABLE(4) | P | W);
	EXPECT_GPA(TABLE(4) | 0x123, &g, READ);
	EXPECT_EQ(TABLE(4) | P | W | A, peek(&g, self));
	EXPECT_EQ(4, g.reads);
	EXPECT_EQ(1, g.changes);
	EXPECT_GPA(TABLE(4) | 0x123, &g, WRITE);
	EXPECT_EQ(TABLE(4) | P | W | A | D, peek(&g, self));
}

/* --- what is not there ---------------------------------------------------- */

TEST(tables_outside_of_memory)
{
	for (const struct mode *mode = modes; mode < end_of_modes; mode++) {
		struct guest g = guest_in(mode);

		for (unsigned int level = 2; level <= mode->levels; level++) {
			poke(&g, place(&g, level), 0x80000000 | ALL);
			EXPECT_ERROR(-EFAULT, &g, WRITE);
			EXPECT_EQ(0, g.changes);
		}
		g.paging.cr3 = 0x80000000;
		g.paging.pdpte[mode->linear >> 30 & 3] = 0x80000000 | P;
		EXPECT_ERROR(-EFAULT, &g, WRITE);
	}
}

static u64 seed = 1;

/* xorshift64: the same numbers each time. */
static u64 noise(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Entries that mostly lead somewhere, in no order that makes sense. */
static void scramble(struct guest *g)
{
	g->paging.cr0 |= noise() & WP;
	g->paging.cr4 |= noise() & (SMEP | SMAP);
	g->paging.user = noise() & 1;
	g->paging.ac = noise() & 1;
	g->paging.phys_bits = 32 + noise() % 21;
	for (unsigned int level = 1; level <= g->mode->levels; level++) {
		u64 entry = (noise() & 7 ? P : 0) | (noise() & (W | U | A | D | 0xff8));

		entry |= noise() & 3 ? TABLE(noise() % 6) : noise();
		poke(g, place(g, level), entry);
	}
}

TEST(noise_is_no_harm)
{
	unsigned int results[3] = {};

	for (unsigned int i = 0; i < 300000; i++) {
		static struct guest g;
		u32 error_code;
		int result;
		u64 gpa;

		if (i % 100000 == 0)
			g = guest_in(&modes[i / 100000]);
		scramble(&g);
		g.reads = 0;
		g.changes = 0;
		result = translate(&g, noise() % 3, &gpa, &error_code);
		ASSERT_GE(4, g.reads);
		ASSERT_GE(4, g.changes);
		ASSERT_TRUE(!result || result == 1 || result == -EFAULT);
		if (!result)
			ASSERT_EQ(0, gpa >> g.paging.phys_bits);
		if (result == 1)
			ASSERT_EQ(0, error_code & ~0x1f);
		results[result < 0 ? 2 : result]++;
	}
	for (size_t i = 0; i < ARRAY_SIZE(results); i++)
		EXPECT_LT(5000, results[i]);
}

TEST_HARNESS_MAIN
