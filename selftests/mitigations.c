// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each vulnerability that the host's kernel knows of has an answer here, and where the
 * kernel says that it mitigates it and a guest could use it, the module's code does:
 * it is looked for in the text that runs, as it was patched for this CPU.
 *
 * In a test host with --with dragonfly.
 */
#include <elf.h>

#include "kselftest_harness.h"
#include "module.h"

/* All symbols of a kernel take a while in an emulated one. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 300

#define VULNERABILITIES "/sys/devices/system/cpu/vulnerabilities/"

/* --- the text of vmx_enter(), as it is in memory ------------------------------ */

struct text {
	uint8_t bytes[4096];
	size_t size;
	uint64_t address;
};

enum symbol { ENTER, BEHIND, CLEAR_HISTORY, SYMBOLS };

static const char *const names[] = { " vmx_enter\t", " vmx_call_gate\t", " clear_bhb_loop\n" };

static bool find_symbols(uint64_t *addresses)
{
	FILE *in = fopen("/proc/kallsyms", "re");
	char line[512];

	memset(addresses, 0, SYMBOLS * sizeof(*addresses));
	while (in && fgets(line, sizeof(line), in))
		for (int i = 0; i < SYMBOLS; i++)
			if (strstr(line, names[i]))
				addresses[i] = strtoull(line, NULL, 16);
	if (in)
		fclose(in);
	return addresses[ENTER] && addresses[BEHIND] > addresses[ENTER];
}

static bool read_core(uint64_t address, void *to, size_t size)
{
	FILE *in = fopen("/proc/kcore", "re");
	Elf64_Ehdr head;
	Elf64_Phdr part;
	bool done = false;

	if (!in || fread(&head, sizeof(head), 1, in) != 1)
		return false;
	for (int i = 0; i < head.e_phnum && !done; i++) {
		fseek(in, head.e_phoff + i * head.e_phentsize, SEEK_SET);
		if (fread(&part, sizeof(part), 1, in) != 1)
			break;
		if (part.p_type != PT_LOAD || address - part.p_vaddr >= part.p_memsz)
			continue;
		fseek(in, part.p_offset + (address - part.p_vaddr), SEEK_SET);
		done = fread(to, size, 1, in) == 1;
	}
	fclose(in);
	return done;
}

static bool read_text(struct text *t, const uint64_t *addresses)
{
	t->address = addresses[ENTER];
	t->size = addresses[BEHIND] - addresses[ENTER];
	return t->size <= sizeof(t->bytes) && read_core(t->address, t->bytes, t->size);
}

/* VERW of a word at an address relative to RIP. */
static unsigned int count_verw(const struct text *t)
{
	unsigned int n = 0;

	for (size_t i = 0; i + 3 <= t->size; i++)
		n += t->bytes[i] == 0x0f && !t->bytes[i + 1] && t->bytes[i + 2] == 0x2d;
	return n;
}

static unsigned int count_calls(const struct text *t, uint64_t to)
{
	unsigned int n = 0;

	for (size_t i = 0; i + 5 <= t->size; i++) {
		int32_t distance;

		memcpy(&distance, t->bytes + i + 1, sizeof(distance));
		n += t->bytes[i] == 0xe8 && t->address + i + 5 + distance == to;
	}
	return n;
}

/* CALL over an INT3, which is how a return stack is filled: at least one has retired. */
static unsigned int count_fills(const struct text *t)
{
	unsigned int n = 0;

	for (size_t i = 0; i + 6 <= t->size; i++)
		n += !memcmp(t->bytes + i, "\xe8\x01\0\0\0\xcc", 6);
	return n;
}

/* --- what answers to what ------------------------------------------------------ */

enum answer {
	NOTHING, /* what a guest could use is closed by what the host does for itself */
	BUFFERS, /* VERW before each entry */
	BRANCHES, /* the history and the return stack after each exit; IBPB between guests */
	OTHER, /* looked for elsewhere, or not to be seen in the text */
};

/* Documentation/exits.rst, "Mitigations", says more. */
static const struct {
	const char *name;
	enum answer answer;
} answers[] = {
	{ "gather_data_sampling", NOTHING }, /* microcode, locked against guests */
	{ "ghostwrite", NOTHING }, /* not of this architecture */
	{ "indirect_target_selection", NOTHING }, /* thunks: the compiler's and the kernel's */
	{ "itlb_multihit", OTHER }, /* code of 4 KiB pages: vmx_has_small_code() */
	{ "l1tf", OTHER }, /* vmx_mitigations_init(), else the load fails */
	{ "mds", BUFFERS },
	{ "meltdown", NOTHING }, /* a guest has other page tables */
	{ "mmio_stale_data", BUFFERS },
	{ "old_microcode", NOTHING }, /* a report */
	{ "reg_file_data_sampling", BUFFERS },
	{ "retbleed", BRANCHES },
	{ "spec_rstack_overflow", NOTHING }, /* not of CPUs with VMX */
	{ "spec_store_bypass", NOTHING }, /* per thread: the host's SPEC_CTRL holds */
	{ "spectre_v1", NOTHING }, /* array_index_nospec(), where numbers are users' */
	{ "spectre_v2", BRANCHES },
	{ "srbds", NOTHING }, /* microcode */
	{ "tsa", NOTHING }, /* not of CPUs with VMX */
	{ "tsx_async_abort", BUFFERS },
	{ "vmscape", OTHER }, /* IBPB before user space runs */
};

static const char *state_of(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), VULNERABILITIES "%s", name);
	return first_line(path);
}

/* A new kernel with a new one: somebody has to look whether guests can use it. */
TEST(each_vulnerability_is_known)
{
	char name[256];
	FILE *in = popen("ls " VULNERABILITIES, "r");

	ASSERT_NE(NULL, in);
	while (fscanf(in, "%255s", name) == 1) {
		bool known = false;

		for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
			known |= !strcmp(answers[i].name, name);
		EXPECT_TRUE(known) TH_LOG("%s: %s", name, state_of(name));
	}
	pclose(in);
}

TEST(buffers_are_cleared_before_each_entry_where_the_host_clears_them)
{
	bool wanted = false;
	uint64_t addresses[SYMBOLS];
	struct text t;

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		wanted |= answers[i].answer == BUFFERS &&
			  strstr(state_of(answers[i].name), "Clear CPU buffers");
	ASSERT_TRUE(find_symbols(addresses));
	ASSERT_TRUE(read_text(&t, addresses));
	/* The first entry and the next ones. */
	EXPECT_EQ(wanted ? 2 : 0, count_verw(&t));
}

TEST(branches_of_a_guest_are_forgotten_where_the_host_forgets_them)
{
	const char *state = state_of("spectre_v2");
	bool history = strstr(state, "BHI: SW loop") || strstr(state, "KVM: SW loop");
	bool returns = strstr(state, "PBRSB-eIBRS: SW sequence") || strstr(state, "RSB filling") ||
		       strstr(state, "Retpolines");
	uint64_t addresses[SYMBOLS];
	struct text t;

	ASSERT_TRUE(find_symbols(addresses));
	ASSERT_TRUE(read_text(&t, addresses));
	/* Before others are woken, and on the way out. */
	EXPECT_EQ(history ? 2 : 0, count_calls(&t, addresses[CLEAR_HISTORY]));
	EXPECT_EQ(returns, count_fills(&t) > 0);
}

TEST_HARNESS_MAIN
