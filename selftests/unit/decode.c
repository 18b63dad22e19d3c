// SPDX-License-Identifier: GPL-2.0-only
/*
 * The decoder for memory-mapped devices, against what the assembler makes of
 * a text, against this CPU, and against noise.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "arch/x86/emulate/decode.c"

/* The registers that the module has no names for, and how many there are. */
enum { R8 = RDI + 1, R9, R10, R11, R12, R13, R14, R15, NR_REGS };

#define PAGE 4096

/**
 * struct row - an instruction and what there is to know of it
 * @text: for people
 * @bytes: what the assembler made of it
 * @len: how much of that there is
 * @mode: bytes of addresses by default
 * @expect: as describe() puts it
 */
struct row {
	const char *text;
	const u8 *bytes;
	size_t len;
	unsigned int mode;
	const char *expect;
};

/* In Intel's syntax, where text needs no percent signs. */
#define ROW(bits, assembly, description)                                              \
	({                                                                            \
		const u8 *start, *end;                                                \
		asm(".pushsection .text.rows, \"ax\"\n\t"                             \
		    ".intel_syntax noprefix\n\t"                                      \
		    ".code" #bits "\n"                                                \
		    "661:\t" assembly "\n"                                            \
		    "662:\t.code64\n\t"                                               \
		    ".att_syntax prefix\n\t"                                          \
		    ".popsection\n\t"                                                 \
		    "lea 661b(%%rip), %0\n\t"                                         \
		    "lea 662b(%%rip), %1"                                             \
		    : "=r"(start), "=r"(end));                                        \
		(struct row){ #bits "-bit " assembly, start, end - start, (bits) / 8, \
			      description };                                          \
	})

static const char *register_name(int reg)
{
	static const char *const names[NR_REGS] = {
		"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
		"r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15",
	};

	return reg >= 0 && reg < NR_REGS ? names[reg] : "bad";
}

/* base+index*scale+disp, what there is of them; and with RIP, that. */
static int describe_address(const struct df_insn *insn, char *text, size_t size)
{
	const char *plus = "";
	int used = 0;

	if (insn->rip_relative) {
		used += snprintf(text + used, size - used, "rip");
		plus = "+";
	}
	if (insn->base != NONE) {
		used += snprintf(text + used, size - used, "%s%s", plus, register_name(insn->base));
		plus = "+";
	}
	if (insn->index != NONE || insn->scale != 1) {
		used += snprintf(text + used, size - used, "%s%s*%u", plus,
				 register_name(insn->index), insn->scale);
		plus = "+";
	}
	if (insn->disp || !*plus)
		used += snprintf(text + used, size - used, "%s0x%lx", insn->disp < 0 ? "-" : plus,
				 insn->disp < 0 ? -(u64)insn->disp : (u64)insn->disp);
	return used;
}

/*
 * Every field: a load as "load SIZE > REGISTER/SIZE", a store as "store SIZE <
 * REGISTER", with its address and the address size: "ds:[rax+0x12] a8".
 */
static const char *describe(const struct df_insn *insn)
{
	static const char *const kinds[] = { "load", "store", "movs", "stos" };
	static const char *const segments[] = { "es", "cs", "ss", "ds", "fs", "gs" };
	static char text[256];
	const size_t size = sizeof(text);
	int used = snprintf(text, size, "%s%s %u", insn->rep ? "rep " : "", kinds[insn->kind],
			    insn->size);

	if (insn->kind == DF_INSN_LOAD)
		used += snprintf(text + used, size - used, " > %s%s/%u%s", register_name(insn->reg),
				 insn->high_byte ? ".high" : "", insn->reg_size,
				 insn->sign_extend ? " signed" : "");
	else if (insn->has_imm)
		used += snprintf(text + used, size - used, " < 0x%lx", insn->imm);
	else if (insn->kind == DF_INSN_STORE)
		used += snprintf(text + used, size - used, " < %s%s", register_name(insn->reg),
				 insn->high_byte ? ".high" : "");
	used += snprintf(text + used, size - used, " %s", segments[insn->segment]);
	if (insn->kind == DF_INSN_LOAD || insn->kind == DF_INSN_STORE) {
		used += snprintf(text + used, size - used, ":[");
		used += describe_address(insn, text + used, size - used);
		used += snprintf(text + used, size - used, "]");
	}
	snprintf(text + used, size - used, " a%u", insn->address_size);
	return text;
}

/* What a field may be at all, and that what a kind does not have is empty. */
static const char *what_is_wrong(const struct df_insn *insn, size_t n)
{
	bool string = insn->kind == DF_INSN_MOVS || insn->kind == DF_INSN_STOS;
	bool load = insn->kind == DF_INSN_LOAD;

	if (insn->len < 1 || insn->len > n || insn->len > DF_INSN_MAX_BYTES)
		return "len";
	if (insn->size != 1 && insn->size != 2 && insn->size != 4 && insn->size != 8)
		return "size";
	if (insn->address_size != 2 && insn->address_size != 4 && insn->address_size != 8)
		return "address_size";
	if (insn->reg >= NR_REGS || (insn->high_byte && insn->reg > RBX))
		return "reg";
	if (load ? insn->reg_size < insn->size || insn->reg_size > 8 : insn->reg_size != insn->size)
		return "reg_size";
	if (insn->sign_extend && !load)
		return "sign_extend";
	if (insn->segment > DF_SEG_GS)
		return "segment";
	if (insn->base < NONE || insn->base >= NR_REGS || insn->index < NONE ||
	    insn->index >= NR_REGS || insn->index == RSP)
		return "base or index";
	if (insn->scale != 1 && insn->scale != 2 && insn->scale != 4 && insn->scale != 8)
		return "scale";
	if (insn->has_imm ? insn->kind != DF_INSN_STORE || insn->reg : insn->imm)
		return "imm";
	if (string && (insn->disp || insn->base != NONE || insn->index != NONE || insn->reg))
		return "operands of a string";
	if (insn->rep && !string)
		return "rep";
	return NULL;
}

/* A page that ends where nothing may be read. */
static u8 *page_before_nothing(void)
{
	u8 *pages =
		mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED || mprotect(pages + PAGE, PAGE, PROT_NONE))
		ksft_exit_fail_msg("no memory for a guard page\n");
	return pages;
}

/* At the very end of a page, so that reading one byte too many is a fault. */
static int decode_at_end(u8 *page, struct df_insn *insn, const u8 *bytes, size_t n,
			 unsigned int mode)
{
	u8 *start = page + PAGE - n;

	memcpy(start, bytes, n);
	return df_insn_decode(insn, start, n, mode);
}

/* The row as it is, each of its beginnings, and with something after it. */
static void check_row(struct __test_metadata *_metadata, const struct row *row, u8 *page)
{
	u8 longer[DF_INSN_MAX_BYTES + 1];
	struct df_insn insn;

	ASSERT_GE(DF_INSN_MAX_BYTES, row->len) TH_LOG("%s", row->text);
	ASSERT_EQ(0, decode_at_end(page, &insn, row->bytes, row->len, row->mode))
	TH_LOG("%s", row->text);
	EXPECT_STREQ(row->expect, describe(&insn)) TH_LOG("%s", row->text);
	EXPECT_EQ(row->len, insn.len) TH_LOG("%s", row->text);
	EXPECT_EQ(NULL, what_is_wrong(&insn, row->len)) TH_LOG("%s", row->text);

	for (size_t n = 0; n < row->len; n++) {
		EXPECT_EQ(-ENODATA, decode_at_end(page, &insn, row->bytes, n, row->mode))
		TH_LOG("%zu bytes of %s", n, row->text);
	}

	memset(longer, 0xf0, sizeof(longer));
	memcpy(longer, row->bytes, row->len);
	EXPECT_EQ(0, decode_at_end(page, &insn, longer, sizeof(longer), row->mode));
	EXPECT_EQ(row->len, insn.len) TH_LOG("more than %s", row->text);
}

static void check_rows(struct __test_metadata *_metadata, const struct row *rows, size_t n)
{
	u8 *page = page_before_nothing();

	for (size_t i = 0; i < n; i++)
		check_row(_metadata, &rows[i], page);
	munmap(page, 2 * PAGE);
}

#define CHECK_ROWS(rows) check_rows(_metadata, rows, ARRAY_SIZE(rows))

TEST(mov_in_64_bit_mode)
{
	const struct row rows[] = {
		ROW(64, "mov [rbx], al", "store 1 < rax ds:[rbx] a8"),
		ROW(64, "mov [rbx], bh", "store 1 < rbx.high ds:[rbx] a8"),
		ROW(64, "mov [rbx], ah", "store 1 < rax.high ds:[rbx] a8"),
		ROW(64, "mov [rbx], sil", "store 1 < rsi ds:[rbx] a8"),
		ROW(64, "mov [rbx], spl", "store 1 < rsp ds:[rbx] a8"),
		ROW(64, "mov [rbx], r9b", "store 1 < r9 ds:[rbx] a8"),
		ROW(64, "mov [rbx], cx", "store 2 < rcx ds:[rbx] a8"),
		ROW(64, "mov [rbx], edx", "store 4 < rdx ds:[rbx] a8"),
		ROW(64, "mov [rbx], rdi", "store 8 < rdi ds:[rbx] a8"),
		ROW(64, "mov [rbx], r15", "store 8 < r15 ds:[rbx] a8"),
		ROW(64, "mov ch, [rbx]", "load 1 > rcx.high/1 ds:[rbx] a8"),
		ROW(64, "mov dil, [rbx]", "load 1 > rdi/1 ds:[rbx] a8"),
		ROW(64, "mov r12w, [rbx]", "load 2 > r12/2 ds:[rbx] a8"),
		ROW(64, "mov ebp, [rbx]", "load 4 > rbp/4 ds:[rbx] a8"),
		ROW(64, "mov r8, [rbx]", "load 8 > r8/8 ds:[rbx] a8"),
		ROW(64, "mov byte ptr [rbx], 0x7f", "store 1 < 0x7f ds:[rbx] a8"),
		ROW(64, "mov byte ptr [rbx], -1", "store 1 < 0xffffffffffffffff ds:[rbx] a8"),
		ROW(64, "mov word ptr [rbx], 0x1234", "store 2 < 0x1234 ds:[rbx] a8"),
		ROW(64, "mov dword ptr [rbx], 0x12345678", "store 4 < 0x12345678 ds:[rbx] a8"),
		ROW(64, "mov qword ptr [rbx], -2", "store 8 < 0xfffffffffffffffe ds:[rbx] a8"),
		ROW(64, "mov qword ptr [r13+r12*8+0x12345678], 0x55",
		    "store 8 < 0x55 ds:[r13+r12*8+0x12345678] a8"),
		ROW(64, "movabs al, [0x1122334455667788]",
		    "load 1 > rax/1 ds:[0x1122334455667788] a8"),
		ROW(64, "movabs rax, [0xffffffff80000000]", "load 8 > rax/8 ds:[-0x80000000] a8"),
		ROW(64, "movabs [0x1122334455667788], al",
		    "store 1 < rax ds:[0x1122334455667788] a8"),
		ROW(64, "movabs fs:[0x1122334455667788], eax",
		    "store 4 < rax fs:[0x1122334455667788] a8"),
		ROW(64, ".byte 0x67, 0xa1, 0xf0, 0xff, 0xff, 0xff",
		    "load 4 > rax/4 ds:[0xfffffff0] a4"),
	};

	CHECK_ROWS(rows);
}

TEST(mov_in_32_and_16_bit_mode)
{
	const struct row rows[] = {
		ROW(32, "mov [ebx], dh", "store 1 < rdx.high ds:[rbx] a4"),
		ROW(32, "mov [ebx], ax", "store 2 < rax ds:[rbx] a4"),
		ROW(32, "mov [ebx], esi", "store 4 < rsi ds:[rbx] a4"),
		ROW(32, "mov bl, [ecx]", "load 1 > rbx/1 ds:[rcx] a4"),
		ROW(32, "mov esp, [ecx]", "load 4 > rsp/4 ds:[rcx] a4"),
		ROW(32, "mov byte ptr [ecx], 1", "store 1 < 0x1 ds:[rcx] a4"),
		ROW(32, "mov word ptr [ecx], 0x8000", "store 2 < 0xffffffffffff8000 ds:[rcx] a4"),
		ROW(32, "mov dword ptr [ecx+4], 1", "store 4 < 0x1 ds:[rcx+0x4] a4"),
		ROW(32, "mov al, [0xfee00020]", "load 1 > rax/1 ds:[0xfee00020] a4"),
		ROW(32, "mov eax, [0xfee00020]", "load 4 > rax/4 ds:[0xfee00020] a4"),
		ROW(32, "mov [0xfee00020], ax", "store 2 < rax ds:[0xfee00020] a4"),
		ROW(32, ".byte 0x67, 0xa3, 0x34, 0xf2", "store 4 < rax ds:[0xf234] a2"),

		ROW(16, "mov [bx], ah", "store 1 < rax.high ds:[rbx] a2"),
		ROW(16, "mov [bx], cx", "store 2 < rcx ds:[rbx] a2"),
		ROW(16, "mov [bx], ecx", "store 4 < rcx ds:[rbx] a2"),
		ROW(16, "mov dx, [bx]", "load 2 > rdx/2 ds:[rbx] a2"),
		ROW(16, "mov edx, [bx]", "load 4 > rdx/4 ds:[rbx] a2"),
		ROW(16, "mov byte ptr [bx], 2", "store 1 < 0x2 ds:[rbx] a2"),
		ROW(16, "mov word ptr [bx], 2", "store 2 < 0x2 ds:[rbx] a2"),
		ROW(16, "mov dword ptr [bx], 2", "store 4 < 0x2 ds:[rbx] a2"),
		ROW(16, ".byte 0xa0, 0x34, 0xf2", "load 1 > rax/1 ds:[0xf234] a2"),
		ROW(16, ".byte 0x66, 0xa1, 0x34, 0xf2", "load 4 > rax/4 ds:[0xf234] a2"),
		ROW(16, ".byte 0xa3, 0x34, 0xf2", "store 2 < rax ds:[0xf234] a2"),
		ROW(16, ".byte 0x67, 0xa2, 1, 2, 3, 0x84", "store 1 < rax ds:[0x84030201] a4"),
	};

	CHECK_ROWS(rows);
}

TEST(loads_that_extend)
{
	const struct row rows[] = {
		ROW(64, "movzx ecx, byte ptr [rax+rbx*4+0x12]",
		    "load 1 > rcx/4 ds:[rax+rbx*4+0x12] a8"),
		ROW(64, "movzx cx, byte ptr [rax]", "load 1 > rcx/2 ds:[rax] a8"),
		ROW(64, "movzx rsp, byte ptr [rax]", "load 1 > rsp/8 ds:[rax] a8"),
		ROW(64, "movzx ebp, word ptr [rax]", "load 2 > rbp/4 ds:[rax] a8"),
		ROW(64, "movzx r9, word ptr [rax]", "load 2 > r9/8 ds:[rax] a8"),
		ROW(64, ".byte 0x66; movzx ebp, word ptr [rax]", "load 2 > rbp/2 ds:[rax] a8"),
		ROW(64, "movsx ebp, byte ptr [rax]", "load 1 > rbp/4 signed ds:[rax] a8"),
		ROW(64, "movsx bp, byte ptr [rax]", "load 1 > rbp/2 signed ds:[rax] a8"),
		ROW(64, "movsx rbp, byte ptr [rax]", "load 1 > rbp/8 signed ds:[rax] a8"),
		ROW(64, "movsx ebp, word ptr [rax]", "load 2 > rbp/4 signed ds:[rax] a8"),
		ROW(64, "movsx r10, word ptr [rax]", "load 2 > r10/8 signed ds:[rax] a8"),
		ROW(64, "movsxd r10, dword ptr [rax]", "load 4 > r10/8 signed ds:[rax] a8"),
		ROW(64, ".byte 0x63, 0x08", "load 4 > rcx/4 signed ds:[rax] a8"),
		ROW(64, ".byte 0x66, 0x63, 0x08", "load 2 > rcx/2 signed ds:[rax] a8"),

		ROW(32, "movzx esi, byte ptr [eax]", "load 1 > rsi/4 ds:[rax] a4"),
		ROW(32, "movzx si, byte ptr [eax]", "load 1 > rsi/2 ds:[rax] a4"),
		ROW(32, "movsx edi, word ptr [eax]", "load 2 > rdi/4 signed ds:[rax] a4"),
		ROW(16, "movzx si, byte ptr [bx]", "load 1 > rsi/2 ds:[rbx] a2"),
		ROW(16, "movzx esi, byte ptr [bx]", "load 1 > rsi/4 ds:[rbx] a2"),
		ROW(16, "movzx esi, word ptr [bx]", "load 2 > rsi/4 ds:[rbx] a2"),
		ROW(16, "movsx edi, word ptr [bx]", "load 2 > rdi/4 signed ds:[rbx] a2"),
	};

	CHECK_ROWS(rows);
}

TEST(strings)
{
	const struct row rows[] = {
		ROW(64, "movsb", "movs 1 ds a8"),
		ROW(64, "movsw", "movs 2 ds a8"),
		ROW(64, "movsd", "movs 4 ds a8"),
		ROW(64, "movsq", "movs 8 ds a8"),
		ROW(64, "rep movsb", "rep movs 1 ds a8"),
		ROW(64, "rep movsq", "rep movs 8 ds a8"),
		ROW(64, "repne movsd", "rep movs 4 ds a8"),
		ROW(64, ".byte 0x65; rep movsd", "rep movs 4 gs a8"),
		ROW(64, ".byte 0x26; movsd", "movs 4 ds a8"),
		ROW(64, ".byte 0x67; rep movsd", "rep movs 4 ds a4"),
		ROW(64, "stosb", "stos 1 es a8"),
		ROW(64, "stosw", "stos 2 es a8"),
		ROW(64, "stosd", "stos 4 es a8"),
		ROW(64, "rep stosq", "rep stos 8 es a8"),
		ROW(64, ".byte 0x64; stosb", "stos 1 es a8"),

		ROW(32, "movsb", "movs 1 ds a4"),
		ROW(32, "movsw", "movs 2 ds a4"),
		ROW(32, "rep movsd", "rep movs 4 ds a4"),
		ROW(32, ".byte 0x36; rep movsd", "rep movs 4 ss a4"),
		ROW(32, ".byte 0x67; rep movsd", "rep movs 4 ds a2"),
		ROW(32, ".byte 0x3e; rep stosd", "rep stos 4 es a4"),

		ROW(16, "movsb", "movs 1 ds a2"),
		ROW(16, "movsw", "movs 2 ds a2"),
		ROW(16, "rep movsd", "rep movs 4 ds a2"),
		ROW(16, ".byte 0x2e; rep movsw", "rep movs 2 cs a2"),
		ROW(16, ".byte 0x67; rep stosw", "rep stos 2 es a4"),
	};

	CHECK_ROWS(rows);
}

TEST(addresses_of_16_bits)
{
	const struct row rows[] = {
		ROW(16, "mov al, [bx+si]", "load 1 > rax/1 ds:[rbx+rsi*1] a2"),
		ROW(16, "mov al, [bx+di]", "load 1 > rax/1 ds:[rbx+rdi*1] a2"),
		ROW(16, "mov al, [bp+si]", "load 1 > rax/1 ss:[rbp+rsi*1] a2"),
		ROW(16, "mov al, [bp+di]", "load 1 > rax/1 ss:[rbp+rdi*1] a2"),
		ROW(16, "mov al, [si]", "load 1 > rax/1 ds:[rsi] a2"),
		ROW(16, "mov al, [di]", "load 1 > rax/1 ds:[rdi] a2"),
		ROW(16, ".byte 0x8a, 0x06, 0x34, 0x12", "load 1 > rax/1 ds:[0x1234] a2"),
		ROW(16, "mov al, [bx]", "load 1 > rax/1 ds:[rbx] a2"),
		ROW(16, "mov al, [bx+si+1]", "load 1 > rax/1 ds:[rbx+rsi*1+0x1] a2"),
		ROW(16, "mov al, [bp+di-1]", "load 1 > rax/1 ss:[rbp+rdi*1-0x1] a2"),
		ROW(16, ".byte 0x8a, 0x46, 0x00", "load 1 > rax/1 ss:[rbp] a2"),
		ROW(16, "mov al, [bp+0x10]", "load 1 > rax/1 ss:[rbp+0x10] a2"),
		ROW(16, "mov al, [bx+si+0x1234]", "load 1 > rax/1 ds:[rbx+rsi*1+0x1234] a2"),
		ROW(16, "mov al, [bp+0x7fff]", "load 1 > rax/1 ss:[rbp+0x7fff] a2"),
		ROW(16, "mov al, [di-0x7000]", "load 1 > rax/1 ds:[rdi-0x7000] a2"),
		ROW(16, "mov al, [esp+ecx*2]", "load 1 > rax/1 ss:[rsp+rcx*2] a4"),
		ROW(32, "mov al, [bp+si+0x1234]", "load 1 > rax/1 ss:[rbp+rsi*1+0x1234] a2"),
		ROW(32, ".byte 0x67, 0x8b, 0x06, 0x34, 0x12", "load 4 > rax/4 ds:[0x1234] a2"),
	};

	CHECK_ROWS(rows);
}

TEST(addresses_of_32_bits)
{
	const struct row rows[] = {
		ROW(32, "mov al, [eax]", "load 1 > rax/1 ds:[rax] a4"),
		ROW(32, "mov al, [edi-0x80]", "load 1 > rax/1 ds:[rdi-0x80] a4"),
		ROW(32, "mov al, [edi+0x80]", "load 1 > rax/1 ds:[rdi+0x80] a4"),
		ROW(32, "mov al, [ebp]", "load 1 > rax/1 ss:[rbp] a4"),
		ROW(32, "mov al, [esp]", "load 1 > rax/1 ss:[rsp] a4"),
		ROW(32, "mov al, [esp+ebp*8]", "load 1 > rax/1 ss:[rsp+rbp*8] a4"),
		ROW(32, "mov al, [eax+ebp*8]", "load 1 > rax/1 ds:[rax+rbp*8] a4"),
		ROW(32, "mov al, [ebp+eax*1]", "load 1 > rax/1 ss:[rbp+rax*1] a4"),
		ROW(32, "mov al, [ecx*4+0x1234]", "load 1 > rax/1 ds:[rcx*4+0x1234] a4"),
		ROW(32, "mov al, [ebp*4]", "load 1 > rax/1 ds:[rbp*4] a4"),
		ROW(32, ".byte 0x8a, 0x05; .long 0xfee00020", "load 1 > rax/1 ds:[-0x11fffe0] a4"),
		ROW(32, ".byte 0x8a, 0x04, 0xe1", "load 1 > rax/1 ds:[rcx] a4"),
		ROW(32, ".byte 0x8a, 0x04, 0x25, 1, 2, 3, 4", "load 1 > rax/1 ds:[0x4030201] a4"),
	};

	CHECK_ROWS(rows);
}

TEST(addresses_of_64_bits)
{
	const struct row rows[] = {
		ROW(64, "mov al, [rip+0x10]", "load 1 > rax/1 ds:[rip+0x10] a8"),
		ROW(64, "mov al, [rip-0x10]", "load 1 > rax/1 ds:[rip-0x10] a8"),
		ROW(64, "mov al, [eip+0x10]", "load 1 > rax/1 ds:[rip+0x10] a4"),
		ROW(64, "mov dword ptr [rip+1], 7", "store 4 < 0x7 ds:[rip+0x1] a8"),
		ROW(64, ".byte 0x41, 0x8a, 0x05, 0, 0, 0, 0", "load 1 > rax/1 ds:[rip] a8"),
		ROW(64, "mov al, ds:[0x12345678]", "load 1 > rax/1 ds:[0x12345678] a8"),
		ROW(64, "mov al, [rsp+8]", "load 1 > rax/1 ss:[rsp+0x8] a8"),
		ROW(64, "mov al, [rbp+8]", "load 1 > rax/1 ss:[rbp+0x8] a8"),
		ROW(64, "mov al, [r12]", "load 1 > rax/1 ds:[r12] a8"),
		ROW(64, "mov al, [r13]", "load 1 > rax/1 ds:[r13] a8"),
		ROW(64, "mov al, [rax+r12*2]", "load 1 > rax/1 ds:[rax+r12*2] a8"),
		ROW(64, "mov al, [r13+r13*4-4]", "load 1 > rax/1 ds:[r13+r13*4-0x4] a8"),
		ROW(64, "mov al, [r13*8-0x80000000]", "load 1 > rax/1 ds:[r13*8-0x80000000] a8"),
		ROW(64, "mov al, [r8d+r9d*2]", "load 1 > rax/1 ds:[r8+r9*2] a4"),
		ROW(64, "mov al, [esp]", "load 1 > rax/1 ss:[rsp] a4"),
	};

	CHECK_ROWS(rows);
}

TEST(prefixes)
{
	const struct row rows[] = {
		ROW(32, "mov al, es:[ebp]", "load 1 > rax/1 es:[rbp] a4"),
		ROW(32, "mov al, cs:[ebx]", "load 1 > rax/1 cs:[rbx] a4"),
		ROW(32, "mov al, ss:[ebx]", "load 1 > rax/1 ss:[rbx] a4"),
		ROW(32, "mov al, ds:[ebp]", "load 1 > rax/1 ds:[rbp] a4"),
		ROW(32, "mov al, fs:[ebx]", "load 1 > rax/1 fs:[rbx] a4"),
		ROW(32, "mov gs:[0x1234], eax", "store 4 < rax gs:[0x1234] a4"),
		ROW(64, "mov al, fs:[rbx]", "load 1 > rax/1 fs:[rbx] a8"),
		ROW(64, "mov al, gs:[rsp]", "load 1 > rax/1 gs:[rsp] a8"),
		ROW(64, ".byte 0x26; mov al, [rbx]", "load 1 > rax/1 ds:[rbx] a8"),
		ROW(64, ".byte 0x3e; mov al, [rbp]", "load 1 > rax/1 ss:[rbp] a8"),

		/* The last segment counts, but in 64-bit mode only FS and GS are any. */
		ROW(32, ".byte 0x64, 0x2e; mov al, [ebx]", "load 1 > rax/1 cs:[rbx] a4"),
		ROW(64, ".byte 0x64, 0x2e; mov al, [rbx]", "load 1 > rax/1 fs:[rbx] a8"),
		ROW(64, ".byte 0x64, 0x65; mov al, [rbx]", "load 1 > rax/1 gs:[rbx] a8"),

		/* REX counts right before the opcode, and there is more than 66. */
		ROW(64, ".byte 0x48, 0x66, 0x8b, 0x03", "load 2 > rax/2 ds:[rbx] a8"),
		ROW(64, ".byte 0x66, 0x48, 0x8b, 0x03", "load 8 > rax/8 ds:[rbx] a8"),
		ROW(64, ".byte 0x49, 0x41, 0x8b, 0x03", "load 4 > rax/4 ds:[r11] a8"),
		ROW(64, ".byte 0x40, 0x66, 0x88, 0x23", "store 1 < rax.high ds:[rbx] a8"),
		ROW(64, ".byte 0x41, 0xa2, 1, 2, 3, 4, 5, 6, 7, 8",
		    "store 1 < rax ds:[0x807060504030201] a8"),
		ROW(64, ".byte 0x44, 0xc6, 0x03, 0x05", "store 1 < 0x5 ds:[rbx] a8"),

		/* Each as often as one likes; F2 and F3 do nothing to MOV. */
		ROW(32, ".byte 0x66, 0x66, 0x67, 0x67; mov [ebx], eax",
		    "store 2 < rax ss:[rbp+rdi*1] a2"),
		ROW(64, ".byte 0xf3; mov [rbx], eax", "store 4 < rax ds:[rbx] a8"),
		ROW(64, ".byte 0xf2; mov dword ptr [rbx], 1", "store 4 < 0x1 ds:[rbx] a8"),
		ROW(64, ".byte 0xf3; movzx eax, byte ptr [rbx]", "load 1 > rax/4 ds:[rbx] a8"),

		/* 15 bytes. */
		ROW(64, ".fill 8, 1, 0x2e; mov dword ptr [rax+0x7f], 0x12345678",
		    "store 4 < 0x12345678 ds:[rax+0x7f] a8"),
	};

	CHECK_ROWS(rows);
}

/* What there is no end to, and what is not ours; enough of it that no byte is missing. */
TEST(refusals)
{
	const struct row rows[] = {
		ROW(64, "mov eax, ebx", "registers"),
		ROW(64, "mov bl, al", "registers"),
		ROW(64, "mov eax, 1; nop", "registers"),
		ROW(64, ".byte 0xc7, 0xc0, 1, 0, 0, 0", "registers"),
		ROW(64, "movzx eax, bl", "registers"),
		ROW(64, "movsxd rax, ebx", "registers"),
		ROW(32, "mov [ebx], ds", "MOV of a segment"),
		ROW(32, "mov ds, [ebx]", "MOV of a segment"),
		ROW(64, "mov rax, cr0", "MOV of CR0"),
		ROW(64, ".byte 0xf0; mov [rbx], eax", "LOCK"),
		ROW(64, ".byte 0xf0; stosb", "LOCK"),
		ROW(64, ".byte 0x66, 0xf0, 0x88, 0x03", "LOCK"),
		ROW(64, ".byte 0xc6, 0x08, 0", "C6 /1"),
		ROW(64, ".byte 0xc6, 0xf8, 0", "XABORT"),
		ROW(64, ".byte 0xc7, 0x38, 0, 0, 0, 0", "C7 /7"),
		ROW(32, ".byte 0x63, 0x03", "ARPL"),
		ROW(16, ".byte 0x63, 0x07", "ARPL"),
		ROW(32, ".byte 0x48, 0x8b, 0x03", "DEC"),
		ROW(64, "vmovups xmm0, [rbx]", "VEX"),
		ROW(64, "vmovups [rbx+rcx*4+0x100], xmm9", "VEX"),
		ROW(64, "vmovups zmm0, [rbx]", "EVEX"),
		ROW(32, "les eax, [ebx]", "LES"),
		ROW(64, "movups xmm0, [rbx]", "SSE"),
		ROW(64, "movnti [rbx], eax", "MOVNTI"),
		ROW(64, "movbe eax, [rbx]", "three bytes of opcode"),
		ROW(64, "popcnt eax, [rbx]", "POPCNT"),
		ROW(64, "add [rbx], eax", "ADD"),
		ROW(64, "and dword ptr [rbx], 1", "AND"),
		ROW(64, "test [rbx], eax", "TEST"),
		ROW(64, "xchg [rbx], eax", "XCHG"),
		ROW(64, "push [rbx]", "PUSH"),
		ROW(64, "lodsb", "LODS"),
		ROW(64, "rep cmpsb", "CMPS"),
		ROW(64, "nop", "NOP"),
	};
	struct df_insn insn;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		EXPECT_EQ(-EINVAL, df_insn_decode(&insn, rows[i].bytes, rows[i].len, rows[i].mode))
		TH_LOG("%s: %s", rows[i].expect, rows[i].text);
	}
}

TEST(sixteen_bytes_are_too_many)
{
	u8 mov[] = { [0 ... 8] = 0x66, 0xc7, 0x40, 0x7f, 0x78, 0x56 };
	u8 long_mov[17] = { [0 ... 8] = 0x2e, 0xc7, 0x40, 0x7f, 0x78, 0x56, 0x34, 0x12 };
	u8 prefixes[32];
	struct df_insn insn;

	EXPECT_EQ(0, df_insn_decode(&insn, mov, sizeof(mov), 8));
	for (size_t n = 15; n <= sizeof(long_mov); n++)
		EXPECT_EQ(-EINVAL, df_insn_decode(&insn, long_mov, n, 8));
	memset(prefixes, 0x66, sizeof(prefixes));
	EXPECT_EQ(-ENODATA, df_insn_decode(&insn, prefixes, 14, 8));
	EXPECT_EQ(-EINVAL, df_insn_decode(&insn, prefixes, 15, 8));
	EXPECT_EQ(-EINVAL, df_insn_decode(&insn, prefixes, sizeof(prefixes), 8));
}

/* --- registers ------------------------------------------------------------ */

#define OLD 0x1122334455667788ULL
#define DATA 0xfedcba9876548281ULL

TEST(what_a_load_does_to_its_register)
{
	const struct {
		struct row row;
		u64 result;
	} cases[] = {
		{ ROW(64, "mov cl, [rbx]", ""), 0x1122334455667781 },
		{ ROW(64, "mov ch, [rbx]", ""), 0x1122334455668188 },
		{ ROW(64, "mov cx, [rbx]", ""), 0x1122334455668281 },
		{ ROW(64, "mov ecx, [rbx]", ""), 0x0000000076548281 },
		{ ROW(64, "mov rcx, [rbx]", ""), DATA },
		{ ROW(64, "movzx cx, byte ptr [rbx]", ""), 0x1122334455660081 },
		{ ROW(64, "movzx ecx, byte ptr [rbx]", ""), 0x81 },
		{ ROW(64, "movzx ecx, word ptr [rbx]", ""), 0x8281 },
		{ ROW(64, "movzx rcx, word ptr [rbx]", ""), 0x8281 },
		{ ROW(64, "movsx cx, byte ptr [rbx]", ""), 0x112233445566ff81 },
		{ ROW(64, "movsx ecx, byte ptr [rbx]", ""), 0xffffff81 },
		{ ROW(64, "movsx rcx, byte ptr [rbx]", ""), 0xffffffffffffff81 },
		{ ROW(64, "movsx ecx, word ptr [rbx]", ""), 0xffff8281 },
		{ ROW(64, "movsx rcx, word ptr [rbx]", ""), 0xffffffffffff8281 },
		{ ROW(64, "movsxd rcx, dword ptr [rbx]", ""), 0x0000000076548281 },
		{ ROW(32, "mov ch, [ebx]", ""), 0x1122334455668188 },
		{ ROW(16, "mov cx, [bx]", ""), 0x1122334455668281 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct row *row = &cases[i].row;
		u64 regs[NR_REGS], expect[NR_REGS];
		struct df_insn insn;

		for (int r = 0; r < NR_REGS; r++)
			regs[r] = OLD;
		memcpy(expect, regs, sizeof(regs));
		expect[RCX] = cases[i].result;
		ASSERT_EQ(0, df_insn_decode(&insn, row->bytes, row->len, row->mode));
		df_insn_load(&insn, regs, DATA);
		EXPECT_EQ(0, memcmp(expect, regs, sizeof(regs)))
		TH_LOG("%s: 0x%lx, not 0x%lx", row->text, regs[RCX], expect[RCX]);
	}
}

TEST(what_a_store_stores)
{
	const struct {
		struct row row;
		u64 value;
	} cases[] = {
		{ ROW(64, "mov [rbx], cl", ""), 0x88 },
		{ ROW(64, "mov [rbx], ch", ""), 0x77 },
		{ ROW(64, "mov [rbx], cx", ""), 0x7788 },
		{ ROW(64, "mov [rbx], ecx", ""), 0x55667788 },
		{ ROW(64, "mov [rbx], rcx", ""), OLD },
		{ ROW(64, "mov byte ptr [rbx], -1", ""), 0xff },
		{ ROW(64, "mov word ptr [rbx], -2", ""), 0xfffe },
		{ ROW(64, "mov dword ptr [rbx], -2", ""), 0xfffffffe },
		{ ROW(64, "mov qword ptr [rbx], -2", ""), 0xfffffffffffffffe },
	};
	const u64 regs[NR_REGS] = { [RCX] = OLD };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct row *row = &cases[i].row;
		struct df_insn insn;

		ASSERT_EQ(0, df_insn_decode(&insn, row->bytes, row->len, row->mode));
		EXPECT_EQ(cases[i].value, df_insn_store_value(&insn, regs)) TH_LOG("%s", row->text);
	}
}

TEST(offsets_wrap_at_the_address_size)
{
	const struct {
		struct row row;
		u64 offset;
	} cases[] = {
		{ ROW(16, "mov al, [bx+si+2]", ""), 0x0000 },
		{ ROW(16, ".byte 0xa0, 0x34, 0xf2", ""), 0xf234 },
		{ ROW(32, "mov al, [ebx+esi*8+0x10]", ""), 0x00000007 },
		{ ROW(32, "mov al, [ebx+esi*1-1]", ""), 0xfffffffd },
		{ ROW(64, "mov al, [rbx+rsi*1-1]", ""), 0xfffffffffffffffd },
		{ ROW(64, "mov al, [ebx+esi*1-1]", ""), 0xfffffffd },
		{ ROW(64, "mov al, [rip+0x100]", ""), 0xffffffff000000f6 },
		{ ROW(64, "mov al, [eip+0x100]", ""), 0x000000f7 },
		{ ROW(64, "mov dword ptr [rip+0x100], 1", ""), 0xffffffff000000fa },
		{ ROW(64, "movabs eax, [0xfedcba9876543210]", ""), 0xfedcba9876543210 },
	};
	const u64 regs[NR_REGS] = { [RBX] = ~0ULL, [RSI] = ~0ULL };
	const u64 rip = 0xfffffffefffffff0;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct row *row = &cases[i].row;
		struct df_insn insn;

		ASSERT_EQ(0, df_insn_decode(&insn, row->bytes, row->len, row->mode));
		EXPECT_EQ(cases[i].offset, df_insn_offset(&insn, regs, rip))
		TH_LOG("%s", row->text);
	}
}

/* RSI, RDI and RCX before and after one element. */
TEST(a_step_of_a_string)
{
	const struct {
		struct row row;
		bool down;
		u64 before[3];
		u64 after[3];
		bool last;
	} cases[] = {
		{ ROW(64, "movsd", ""), false, { 0x10, 0x20, 9 }, { 0x14, 0x24, 9 }, true },
		{ ROW(64, "movsd", ""), true, { 0x10, 0x20, 9 }, { 0xc, 0x1c, 9 }, true },
		{ ROW(64, "stosq", ""), true, { 0x10, 0, 9 }, { 0x10, -8, 9 }, true },
		{ ROW(64, "rep movsb", ""), false, { 1, -1, 2 }, { 2, 0, 1 }, false },
		{ ROW(64, "rep movsb", ""), false, { 1, -1, 1 }, { 2, 0, 0 }, true },
		{ ROW(64, "rep stosw", ""),
		  false,
		  { 1, 2, 0x100000000 },
		  { 1, 4, 0xffffffff },
		  false },
		{ ROW(64, ".byte 0x67; rep movsw", ""),
		  false,
		  { OLD, 0xffffffff, 0x100000002 },
		  { 0x5566778a, 1, 1 },
		  false },
		{ ROW(64, ".byte 0x67; rep stosw", ""),
		  true,
		  { OLD, 0, 0x100000001 },
		  { OLD, 0xfffffffe, 0 },
		  true },
		{ ROW(16, "rep movsw", ""),
		  false,
		  { 0x1234ffff, OLD, 0x12340001 },
		  { 0x12340001, 0x112233445566778a, 0x12340000 },
		  true },
		{ ROW(16, "rep movsw", ""),
		  true,
		  { 0x12340001, OLD, 0x12340003 },
		  { 0x1234ffff, 0x1122334455667786, 0x12340002 },
		  false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct row *row = &cases[i].row;
		u64 regs[NR_REGS] = { [RSI] = cases[i].before[0],
				      [RDI] = cases[i].before[1],
				      [RCX] = cases[i].before[2] };
		struct df_insn insn;

		ASSERT_EQ(0, df_insn_decode(&insn, row->bytes, row->len, row->mode));
		EXPECT_EQ(cases[i].last, df_insn_step(&insn, regs, cases[i].down))
		TH_LOG("%s", row->text);
		EXPECT_EQ(cases[i].after[0], regs[RSI]) TH_LOG("%s", row->text);
		EXPECT_EQ(cases[i].after[1], regs[RDI]) TH_LOG("%s", row->text);
		EXPECT_EQ(cases[i].after[2], regs[RCX]) TH_LOG("%s", row->text);
	}
}

TEST(where_a_string_is_and_how_long)
{
	const struct {
		struct row row;
		u64 mask;
		bool rep;
	} cases[] = {
		{ ROW(64, "movsb", ""), ~0ULL, false },
		{ ROW(64, "rep movsb", ""), ~0ULL, true },
		{ ROW(64, ".byte 0x67; rep movsb", ""), 0xffffffff, true },
		{ ROW(32, "rep movsb", ""), 0xffffffff, true },
		{ ROW(16, "rep stosb", ""), 0xffff, true },
	};
	const u64 regs[NR_REGS] = { [RSI] = OLD, [RDI] = DATA, [RCX] = OLD };
	const u64 none[NR_REGS] = { [RCX] = 0x10000 };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct row *row = &cases[i].row;
		u64 mask = cases[i].mask;
		struct df_insn insn;

		ASSERT_EQ(0, df_insn_decode(&insn, row->bytes, row->len, row->mode));
		EXPECT_EQ(OLD & mask, df_insn_source(&insn, regs)) TH_LOG("%s", row->text);
		EXPECT_EQ(DATA & mask, df_insn_destination(&insn, regs)) TH_LOG("%s", row->text);
		EXPECT_EQ(cases[i].rep ? OLD & mask : 1, df_insn_count(&insn, regs))
		TH_LOG("%s", row->text);
		EXPECT_EQ(cases[i].rep ? none[RCX] & mask : 1, df_insn_count(&insn, none))
		TH_LOG("%s", row->text);
	}
}

/* --- this CPU ------------------------------------------------------------- */

/*
 * run_here() - have the CPU execute code with all 16 registers as they are in
 * @regs, and put there what they are afterwards. The code ends with a jump to
 * run_here_end.
 *
 *	rdi	registers
 *	rsi	code
 *
 * The stack pointer is the code's too, so what has to survive is in memory.
 */
__attribute__((naked)) static void run_here(__maybe_unused u64 *regs, __maybe_unused const u8 *code)
{
	asm("push %rbx\n\t"
	    "push %rbp\n\t"
	    "push %r12\n\t"
	    "push %r13\n\t"
	    "push %r14\n\t"
	    "push %r15\n\t"
	    "mov %rsp, run_here_rsp(%rip)\n\t"
	    "mov %rdi, run_here_regs(%rip)\n\t"
	    "mov %rsi, run_here_code(%rip)\n\t"
	    "mov 0(%rdi), %rax\n\t"
	    "mov 8(%rdi), %rcx\n\t"
	    "mov 16(%rdi), %rdx\n\t"
	    "mov 24(%rdi), %rbx\n\t"
	    "mov 32(%rdi), %rsp\n\t"
	    "mov 40(%rdi), %rbp\n\t"
	    "mov 48(%rdi), %rsi\n\t"
	    "mov 64(%rdi), %r8\n\t"
	    "mov 72(%rdi), %r9\n\t"
	    "mov 80(%rdi), %r10\n\t"
	    "mov 88(%rdi), %r11\n\t"
	    "mov 96(%rdi), %r12\n\t"
	    "mov 104(%rdi), %r13\n\t"
	    "mov 112(%rdi), %r14\n\t"
	    "mov 120(%rdi), %r15\n\t"
	    "mov 56(%rdi), %rdi\n\t"
	    "jmp *run_here_code(%rip)\n"
	    "run_here_end:\n\t"
	    "cld\n\t"
	    "mov %rsp, run_here_code(%rip)\n\t"
	    "mov run_here_regs(%rip), %rsp\n\t"
	    "mov %rax, 0(%rsp)\n\t"
	    "mov %rcx, 8(%rsp)\n\t"
	    "mov %rdx, 16(%rsp)\n\t"
	    "mov %rbx, 24(%rsp)\n\t"
	    "mov %rbp, 40(%rsp)\n\t"
	    "mov %rsi, 48(%rsp)\n\t"
	    "mov %rdi, 56(%rsp)\n\t"
	    "mov %r8, 64(%rsp)\n\t"
	    "mov %r9, 72(%rsp)\n\t"
	    "mov %r10, 80(%rsp)\n\t"
	    "mov %r11, 88(%rsp)\n\t"
	    "mov %r12, 96(%rsp)\n\t"
	    "mov %r13, 104(%rsp)\n\t"
	    "mov %r14, 112(%rsp)\n\t"
	    "mov %r15, 120(%rsp)\n\t"
	    "mov run_here_code(%rip), %rax\n\t"
	    "mov %rax, 32(%rsp)\n\t"
	    "mov run_here_rsp(%rip), %rsp\n\t"
	    "pop %r15\n\t"
	    "pop %r14\n\t"
	    "pop %r13\n\t"
	    "pop %r12\n\t"
	    "pop %rbp\n\t"
	    "pop %rbx\n\t"
	    "ret\n\t"
	    ".local run_here_rsp, run_here_regs, run_here_code\n\t"
	    ".comm run_here_rsp, 8\n\t"
	    ".comm run_here_regs, 8\n\t"
	    ".comm run_here_code, 8\n");
}

/**
 * struct here - a page to execute and one with the memory it is about
 * @code: the first page
 * @memory: the second
 */
struct here {
	u8 *code;
	u8 *memory;
};

/* Below 2 GiB, for addresses of 32 bits. */
static bool here_open(struct here *here)
{
	here->code = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	here->memory = here->code + PAGE;
	return here->code != MAP_FAILED;
}

static void here_close(struct here *here)
{
	munmap(here->code, 2 * PAGE);
}

/* Strings go down if the code starts with STD. */
static void here_run(struct here *here, u64 *regs, const u8 *bytes, size_t n, bool down)
{
	static const u8 jump[] = { 0xff, 0x25, 0, 0, 0, 0 };
	u8 *at = here->code + 1;
	void *end;

	asm("lea run_here_end(%%rip), %0" : "=r"(end));
	here->code[0] = down ? 0xfd : 0x90;
	memcpy(at, bytes, n);
	memcpy(at + n, jump, sizeof(jump));
	memcpy(at + n + sizeof(jump), &end, sizeof(end));
	run_here(regs, here->code);
}

static u64 rip_of(const struct here *here)
{
	return (u64)here->code + 1;
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

static void fill_with_noise(void *to, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		((u8 *)to)[i] = noise() >> 32;
}

/* LEA with the operand of a MOV says where that would go. */
static void check_lea(struct __test_metadata *_metadata, struct here *here, bool short_address,
		      u8 rex, u8 modrm, u8 sib)
{
	u8 bytes[16] = { short_address ? 0x67 : 0x3e, rex, 0x8b, modrm, sib };
	struct df_insn insn;
	u64 regs[NR_REGS];
	u64 offset;

	fill_with_noise(bytes + 5, 6);
	if ((modrm & 7) != RSP)
		bytes[4] = noise();
	fill_with_noise(regs, sizeof(regs));
	ASSERT_EQ(0, df_insn_decode(&insn, bytes, sizeof(bytes), 8));
	offset = df_insn_offset(&insn, regs, rip_of(here));
	bytes[2] = 0x8d;
	here_run(here, regs, bytes, insn.len, false);
	EXPECT_EQ(regs[insn.reg], offset)
	TH_LOG("REX %02x ModRM %02x SIB %02x: %s", rex, modrm, sib, describe(&insn));
}

TEST(this_cpu_finds_the_same_addresses)
{
	struct here here;

	if (!here_open(&here))
		SKIP(return, "no memory to execute in");
	for (unsigned int i = 0; i < 8 * 0xc0 * 256; i++) {
		u8 modrm = i / 256 % 0xc0, sib = i % 256;
		unsigned int rex = i / 256 / 0xc0;

		/* REX.W, X and B; a SIB byte there is only with some. */
		if ((modrm & 7) == RSP || !sib)
			check_lea(_metadata, &here, rex & 4, 0x48 | (rex & 3), modrm, sib);
	}
	here_close(&here);
}

/* What the caller of the decoder does with an instruction. */
static void emulate(const struct df_insn *insn, u64 *regs, u64 rip, bool down)
{
	u64 data = 0;

	switch (insn->kind) {
	case DF_INSN_LOAD:
		memcpy(&data, (void *)df_insn_offset(insn, regs, rip), insn->size);
		df_insn_load(insn, regs, data);
		break;
	case DF_INSN_STORE:
		data = df_insn_store_value(insn, regs);
		memcpy((void *)df_insn_offset(insn, regs, rip), &data, insn->size);
		break;
	default:
		while (df_insn_count(insn, regs)) {
			data = df_insn_store_value(insn, regs);
			if (insn->kind == DF_INSN_MOVS)
				memcpy(&data, (void *)df_insn_source(insn, regs), insn->size);
			memcpy((void *)df_insn_destination(insn, regs), &data, insn->size);
			if (df_insn_step(insn, regs, down))
				break;
		}
	}
}

/* One instruction, done by the CPU and then by us with what was there before. */
static void check_here(struct __test_metadata *_metadata, struct here *here, const u64 *before,
		       const u8 *bytes, size_t n, bool down)
{
	u64 regs[NR_REGS], ours[NR_REGS];
	u8 memory[PAGE], theirs[PAGE];
	struct df_insn insn;

	ASSERT_EQ(0, df_insn_decode(&insn, bytes, n, 8));
	ASSERT_EQ(n, insn.len) TH_LOG("%s", describe(&insn));
	memcpy(memory, here->memory, PAGE);
	memcpy(regs, before, sizeof(regs));
	here_run(here, regs, bytes, n, down);

	memcpy(theirs, here->memory, PAGE);
	memcpy(here->memory, memory, PAGE);
	memcpy(ours, before, sizeof(ours));
	emulate(&insn, ours, rip_of(here), down);
	for (int r = 0; r < NR_REGS; r++) {
		EXPECT_EQ(regs[r], ours[r])
		TH_LOG("%s of %s from 0x%lx", register_name(r), describe(&insn), before[r]);
	}
	EXPECT_EQ(0, memcmp(theirs, here->memory, PAGE)) TH_LOG("memory of %s", describe(&insn));
}

/* @opcode with prefixes and a RIP-relative operand amid the memory. */
static void check_mov(struct __test_metadata *_metadata, struct here *here, const struct form *form,
		      bool operand_prefix, u8 rex, unsigned int reg)
{
	unsigned int size = form->size ? form->size : rex & REX_W ? 8 : operand_prefix ? 2 : 4;
	unsigned int imm = form->operands == MODRM_IMM ? min(4u, size) : 0;
	u64 regs[NR_REGS];
	u8 bytes[16];
	size_t n = 0;
	s32 disp;

	if (operand_prefix)
		bytes[n++] = 0x66;
	if (rex)
		bytes[n++] = rex;
	if (form->opcode > 0xff)
		bytes[n++] = 0x0f;
	bytes[n++] = form->opcode;
	bytes[n++] = (imm ? 0 : reg << 3) | RBP;
	disp = PAGE - 1 - (n + 4 + imm) + 100;
	memcpy(&bytes[n], &disp, 4);
	n += 4;
	fill_with_noise(&bytes[n], imm);
	n += imm;

	fill_with_noise(regs, sizeof(regs));
	fill_with_noise(here->memory, PAGE);
	check_here(_metadata, here, regs, bytes, n, false);
}

TEST(this_cpu_moves_the_same)
{
	struct here here;

	if (!here_open(&here))
		SKIP(return, "no memory to execute in");
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		if (forms[i].operands != MODRM && forms[i].operands != MODRM_IMM)
			continue;
		for (unsigned int v = 0; v < 2 * 17 * 8; v++) {
			u8 rex = v / 16 ? 0x40 + v / 16 - 1 : 0;

			check_mov(_metadata, &here, &forms[i], v & 1, rex, v / 2 % 8);
		}
	}
	here_close(&here);
}

/* A string amid the memory, of few elements; with 67, registers have high halves. */
static void check_string(struct __test_metadata *_metadata, struct here *here, u8 opcode, u8 rex,
			 u8 rep, bool short_address)
{
	u64 high = short_address ? noise() << 32 : 0;
	u8 bytes[8];
	u64 regs[NR_REGS];
	size_t n = 0;

	if (noise() & 1 << 20)
		bytes[n++] = 0x66;
	if (short_address)
		bytes[n++] = 0x67;
	if (rep)
		bytes[n++] = rep;
	if (rex)
		bytes[n++] = rex;
	bytes[n++] = opcode;

	fill_with_noise(regs, sizeof(regs));
	fill_with_noise(here->memory, PAGE);
	regs[RSI] = (u64)here->memory + 1000 + (noise() & 0xff) + high;
	regs[RDI] = (u64)here->memory + 1000 + (noise() & 0xff) + high;
	regs[RCX] = 1 + (noise() & 0x1f) + high;
	check_here(_metadata, here, regs, bytes, n, noise() & 1 << 20);
}

TEST(this_cpu_repeats_the_same)
{
	static const u8 opcodes[] = { 0xa4, 0xa5, 0xaa, 0xab };
	static const u8 reps[] = { 0, 0xf2, 0xf3 };
	struct here here;

	if (!here_open(&here))
		SKIP(return, "no memory to execute in");
	for (unsigned int i = 0; i < 4000; i++)
		check_string(_metadata, &here, opcodes[i % 4], i & 4 ? 0x48 : 0, reps[i / 8 % 3],
			     i / 24 % 2);
	here_close(&here);
}

/* --- noise ---------------------------------------------------------------- */

/* Bytes of which many begin like an instruction of ours. */
static void likely_bytes(u8 *bytes, size_t n)
{
	static const u8 starts[] = {
		0x26, 0x2e, 0x36, 0x3e, 0x40, 0x48, 0x4f, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3,
	};
	size_t i = 0;

	fill_with_noise(bytes, n);
	while (i < n && (noise() & 3 << 20))
		bytes[i++] = starts[(noise() >> 20) % ARRAY_SIZE(starts)];
	if (i + 1 < n && (noise() & 7 << 20)) {
		u16 opcode = forms[(noise() >> 20) % ARRAY_SIZE(forms)].opcode;

		if (opcode > 0xff)
			bytes[i++] = 0x0f;
		bytes[i] = opcode;
	}
}

/* An answer holds for what is decoded, not for what comes after or is missing. */
static void check_answer(struct __test_metadata *_metadata, u8 *page, int answer,
			 const struct df_insn *insn, const u8 *bytes, size_t n, unsigned int mode)
{
	u64 top = insn->address_size == 8 ? 0 : 1ULL << 8 * insn->address_size;
	u64 regs[NR_REGS];
	struct df_insn again;

	ASSERT_EQ(NULL, what_is_wrong(insn, n)) TH_LOG("%s", describe(insn));
	ASSERT_EQ(answer, decode_at_end(page, &again, bytes, insn->len, mode));
	ASSERT_STREQ(strdupa(describe(insn)), describe(&again));
	for (size_t less = 0; less < insn->len; less++) {
		ASSERT_EQ(-ENODATA, decode_at_end(page, &again, bytes, less, mode))
		TH_LOG("%zu bytes of %s", less, describe(insn));
	}

	fill_with_noise(regs, sizeof(regs));
	if (top)
		ASSERT_GT(top, df_insn_offset(insn, regs, noise()));
	if (insn->size < 8)
		ASSERT_GT(1ULL << 8 * insn->size, df_insn_store_value(insn, regs));
}

TEST(noise_is_no_harm)
{
	unsigned int answers[3] = {};
	u8 *page = page_before_nothing();

	for (unsigned int i = 0; i < 600000; i++) {
		unsigned int mode = 2 << i % 3;
		size_t n = noise() % 18;
		struct df_insn insn;
		u8 bytes[18];
		int answer;

		likely_bytes(bytes, n);
		answer = decode_at_end(page, &insn, bytes, n, mode);
		if (!answer) {
			answers[0]++;
			check_answer(_metadata, page, answer, &insn, bytes, n, mode);
		} else if (answer == -ENODATA) {
			answers[1]++;
			ASSERT_GT(DF_INSN_MAX_BYTES, n);
		} else {
			answers[2]++;
			ASSERT_EQ(-EINVAL, answer);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		EXPECT_LT(50000, answers[i]);
	munmap(page, 2 * PAGE);
}

TEST_HARNESS_MAIN
