// SPDX-License-Identifier: GPL-2.0-only
/*
 * Port I/O goes to user space, one value at a time or as strings.
 *
 * A string instruction does what the same thing spelled out does, a loop of LODS
 * and OUT or of IN and STOS: most tests run both and compare what user space saw,
 * memory and registers.
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm.
 */
#include "kselftest_harness.h"
#include "guest.h"

#define BUFFER 0x30000
#define BUFFER_SIZE 0x4000
#define SEGMENT_BASE 0x32000 /* of FS */
#define MAX_LOG 512

/*
 * Linear addresses in long mode beyond the first 2 MiB, a page each: 0x200000 is
 * the buffer's first page, 0x201000 its third, 0x202000 not present, 0x203000 its
 * second, read-only.
 */
#define TABLES 0x13000

enum mode { REAL, FLAT, LONG };

struct element {
	uint32_t value;
	uint16_t port;
	uint8_t size, in;
};

FIXTURE(port)
{
	struct guest g;
	struct kvm_sregs reset;
	struct element log[MAX_LOG];
	unsigned int count;
};

FIXTURE_SETUP(port)
{
	ASSERT_EQ(0, guest_create(&self->g, "", 0));
	ASSERT_EQ(0, ioctl(self->g.vcpu, KVM_GET_SREGS, &self->reset));
	/* Before it has run in any mode: KVM takes no other CPUID later. */
	guest_set_cpuid(&self->g);
}

FIXTURE_TEARDOWN(port)
{
	guest_destroy(&self->g);
}

/* What the n-th element reads as. */
static uint32_t device_value(unsigned int n)
{
	return 0x9e3779b9 * (n + 1);
}

/*
 * The exit's elements, however many there are: KVM gives several of a string at
 * once, Dragonfly one.
 */
static bool do_io(FIXTURE_DATA(port) * self)
{
	struct kvm_run *run = self->g.run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	unsigned int size = run->io.size;

	if (!run->io.count || run->io.data_offset + (size_t)size * run->io.count > self->g.run_size)
		return false;
	for (uint32_t i = 0; i < run->io.count; i++, data += size) {
		struct element e = { .port = run->io.port, .size = size };

		if (self->count == MAX_LOG)
			return false;
		e.in = run->io.direction == KVM_EXIT_IO_IN;
		if (e.in) {
			uint32_t value = device_value(self->count);

			memcpy(data, &value, size);
		}
		memcpy(&e.value, data, size);
		self->log[self->count++] = e;
	}
	return true;
}

/* Runs the guest as far as the next exit that is not for I/O. */
static int run_with_ports(FIXTURE_DATA(port) * self)
{
	int reason;

	while ((reason = guest_run(&self->g)) == KVM_EXIT_IO)
		if (!do_io(self))
			return -EPROTO;
	return reason;
}

static void prepare(FIXTURE_DATA(port) * self, enum mode mode, const uint8_t *code, size_t size)
{
	struct guest *g = &self->g;
	struct kvm_regs regs = {
		.rax = 0x81828384,
		.rcx = 5,
		.rdx = 0x1234,
		.rbx = 0x85868788,
		.rsi = BUFFER + 0x100,
		.rdi = BUFFER + 0x200,
		.rsp = GUEST_STACK,
		.rip = GUEST_CODE,
		.rflags = 0x8d7 & ~0x200, /* all of CF, PF, AF, ZF, SF, OF */
	};
	uint64_t pages[] = { BUFFER | 3, (BUFFER + 0x2000) | 3, 0, (BUFFER + 0x1000) | 1 };
	struct kvm_sregs s;

	ioctl(g->vcpu, KVM_SET_SREGS, &self->reset);
	if (mode == LONG) {
		guest_to_long_mode(g);
		guest_catch(g);
		*(uint64_t *)(g->memory + 0x12008) = TABLES | 3;
		memcpy(g->memory + TABLES, pages, sizeof(pages));
	} else if (mode == FLAT) {
		guest_to_flat_mode(g);
	}
	ioctl(g->vcpu, KVM_GET_SREGS, &s);
	if (mode == REAL) {
		s.cs.base = 0;
		s.cs.selector = 0;
		s.ds.base = BUFFER;
		s.es.base = BUFFER;
		regs.rsi = 0x100;
		regs.rdi = 0x200;
		for (unsigned int vector = 0; vector < 32; vector++)
			memcpy(g->memory + 4 * vector, &(uint32_t){ 0x2000 + 16 * vector }, 4);
		memset(g->memory + 0x2000, 0xf4, 32 * 16);
	} else {
		s.cr0 |= 1 << 16;
		s.fs = s.ds;
	}
	s.fs.base = SEGMENT_BASE;
	ioctl(g->vcpu, KVM_SET_SREGS, &s);
	ioctl(g->vcpu, KVM_SET_REGS, &regs);
	memcpy(g->memory + GUEST_CODE, code, size);
	for (int i = 0; i < BUFFER_SIZE; i++)
		g->memory[BUFFER + i] = i * 59 + (i >> 8) + 0x93;
	self->count = 0;
	self->g.run->immediate_exit = 0;
}

struct row {
	const char *name;
	const uint8_t *string, *string_end, *spelled, *spelled_end;
};

struct outcome {
	struct kvm_regs regs;
	unsigned int count;
	struct element log[MAX_LOG];
	uint8_t buffer[BUFFER_SIZE];
};

static int observe(FIXTURE_DATA(port) * self, enum mode mode, const uint8_t *code,
		   const uint8_t *end, struct outcome *o)
{
	int reason;

	prepare(self, mode, code, end - code);
	reason = run_with_ports(self);
	o->regs = guest_regs(&self->g);
	/* Where the code ends, and what a loop has in its hands: not the string's. */
	o->regs.rip = 0;
	o->regs.rax = 0;
	o->count = self->count;
	memcpy(o->log, self->log, sizeof(o->log));
	memcpy(o->buffer, self->g.memory + BUFFER, BUFFER_SIZE);
	return reason;
}

static void compare(struct __test_metadata *_metadata, FIXTURE_DATA(port) * self, enum mode mode,
		    const struct row *rows, size_t count)
{
	struct outcome *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));

	for (size_t i = 0; i < count; i++) {
		const struct row *row = &rows[i];

		EXPECT_EQ(KVM_EXIT_HLT, observe(self, mode, row->string, row->string_end, a))
		{
			TH_LOG("%s", row->name);
		}
		EXPECT_EQ(KVM_EXIT_HLT, observe(self, mode, row->spelled, row->spelled_end, b))
		{
			TH_LOG("%s, spelled out", row->name);
		}
		EXPECT_EQ(b->count, a->count) TH_LOG("%s: elements", row->name);
		EXPECT_EQ(0, memcmp(b->log, a->log, b->count * sizeof(*b->log)))
		{
			TH_LOG("%s: what user space saw", row->name);
		}
		EXPECT_EQ(0, memcmp(b->buffer, a->buffer, BUFFER_SIZE))
		{
			TH_LOG("%s: memory", row->name);
		}
		EXPECT_EQ(0, memcmp(&b->regs, &a->regs, sizeof(b->regs)))
		{
			TH_LOG("%s: RCX %llx %llx, RSI %llx %llx, RDI %llx %llx, RFLAGS %llx %llx",
			       row->name, b->regs.rcx, a->regs.rcx, b->regs.rsi, a->regs.rsi,
			       b->regs.rdi, a->regs.rdi, b->regs.rflags, a->regs.rflags);
		}
	}
	free(a);
	free(b);
}

#define ASSEMBLE(bits, name, setup, string, spelled)             \
	GUEST_ASM(row_##name, bits, setup "\n" string "\n hlt"); \
	GUEST_ASM(spelled_##name, bits, setup "\n" spelled "\n hlt");
#define ROW(bits, name, ...) \
	{ #name, row_##name, row_##name##_end, spelled_##name, spelled_##name##_end },
#define TEST_TABLE(test, mode, table)                                                   \
	table(ASSEMBLE) static const struct row table##_rows[] = { table(ROW) };        \
	TEST_F(port, test)                                                              \
	{                                                                               \
		compare(_metadata, self, mode, table##_rows, ARRAY_SIZE(table##_rows)); \
	}

#define REPEAT(jump, loop, body) jump " 2f\n 1: " body "\n " loop " 1b\n 2:"
#define REP64(body) REPEAT("jrcxz", "loop", body)
#define REP64A32(body) REPEAT("jecxz", "addr32 loop", body)
#define REP32(body) REPEAT("jecxz", "loop", body)
#define REP32A16(body) REPEAT("jcxz", "addr16 loop", body)
#define REP16(body) REPEAT("jcxz", "loop", body)
#define REP16A32(body) REPEAT("jecxz", "addr32 loop", body)

#define OUTSB "lodsb\n outb %al, %dx"
#define OUTSW "lodsw\n outw %ax, %dx"
#define OUTSL "lodsl\n outl %eax, %dx"
#define INSB "inb %dx, %al\n stosb"
#define INSW "inw %dx, %ax\n stosw"
#define INSL "inl %dx, %eax\n stosl"

#define LONG_OUTS(X)                                                                         \
	X(64, outsb, "", "outsb", OUTSB)                                                     \
	X(64, outsw, "", "outsw", OUTSW)                                                     \
	X(64, outsl, "", "outsl", OUTSL)                                                     \
	X(64, outsl_down, "std", "outsl", OUTSL)                                             \
	X(64, outsl_with_rex_w, "", ".byte 0x48, 0x6f", OUTSL)                               \
	X(64, rep_outsb, "", "rep outsb", REP64(OUTSB))                                      \
	X(64, rep_outsw, "", "rep outsw", REP64(OUTSW))                                      \
	X(64, rep_outsl, "", "rep outsl", REP64(OUTSL))                                      \
	X(64, repnz_outsb, "", ".byte 0xf2\n outsb", REP64(OUTSB))                           \
	X(64, rep_outsb_down, "std", "rep outsb", REP64(OUTSB))                              \
	X(64, rep_outsl_down, "std", "rep outsl", REP64(OUTSL))                              \
	X(64, rep_outsl_none, "xor %ecx, %ecx", "rep outsl", REP64(OUTSL))                   \
	X(64, rep_outsb_many, "mov $300, %ecx", "rep outsb", REP64(OUTSB))                   \
	X(64, rep_outsl_across, "mov $0x200ff2, %esi", "rep outsl", REP64(OUTSL))            \
	X(64, rep_outsl_down_across, "mov $0x201006, %esi\n std", "rep outsl", REP64(OUTSL)) \
	X(64, outsw_fs, "mov $0x20, %esi", "outsw %fs:(%rsi), %dx",                          \
	  "lodsw %fs:(%rsi)\n outw %ax, %dx")                                                \
	X(64, rep_outsl_fs, "mov $0x20, %esi", "rep outsl %fs:(%rsi), %dx",                  \
	  REP64("lodsl %fs:(%rsi)\n outl %eax, %dx"))                                        \
	X(64, rep_outsb_addr32, "bts $40, %rsi\n bts $41, %rcx", "addr32 rep outsb",         \
	  REP64A32("addr32 lodsb\n outb %al, %dx"))

#define LONG_INS(X)                                                                       \
	X(64, insb, "", "insb", INSB)                                                     \
	X(64, insw, "", "insw", INSW)                                                     \
	X(64, insl, "", "insl", INSL)                                                     \
	X(64, insw_down, "std", "insw", INSW)                                             \
	X(64, insl_with_rex_w, "", ".byte 0x48, 0x6d", INSL)                              \
	X(64, rep_insb, "", "rep insb", REP64(INSB))                                      \
	X(64, rep_insw, "", "rep insw", REP64(INSW))                                      \
	X(64, rep_insl, "", "rep insl", REP64(INSL))                                      \
	X(64, repnz_insl, "", ".byte 0xf2\n insl", REP64(INSL))                           \
	X(64, rep_insb_down, "std", "rep insb", REP64(INSB))                              \
	X(64, rep_insl_down, "std", "rep insl", REP64(INSL))                              \
	X(64, rep_insw_none, "xor %ecx, %ecx", "rep insw", REP64(INSW))                   \
	X(64, rep_insb_many, "mov $300, %ecx", "rep insb", REP64(INSB))                   \
	X(64, rep_insl_across, "mov $0x200ff2, %edi", "rep insl", REP64(INSL))            \
	X(64, rep_insl_down_across, "mov $0x201006, %edi\n std", "rep insl", REP64(INSL)) \
	X(64, insl_ignores_fs, "", ".byte 0x64\n insl", INSL)                             \
	X(64, rep_insw_addr32, "bts $40, %rdi\n bts $41, %rcx", "addr32 rep insw",        \
	  REP64A32("inw %dx, %ax\n addr32 stosw"))

#define FLAT_STRINGS(X)                                                                           \
	X(32, flat_outsb, "", "outsb", OUTSB)                                                     \
	X(32, flat_rep_outsw, "", "rep outsw", REP32(OUTSW))                                      \
	X(32, flat_rep_outsl_down, "std", "rep outsl", REP32(OUTSL))                              \
	X(32, flat_rep_outsl_fs, "mov $0x20, %esi", "rep outsl %fs:(%esi), %dx",                  \
	  REP32("lodsl %fs:(%esi)\n outl %eax, %dx"))                                             \
	X(32, flat_rep_outsb_addr16, "mov $0x5678fffe, %esi\n bts $20, %ecx", "addr16 rep outsb", \
	  REP32A16("addr16 lodsb\n outb %al, %dx"))                                               \
	X(32, flat_insl, "", "insl", INSL)                                                        \
	X(32, flat_rep_insb, "", "rep insb", REP32(INSB))                                         \
	X(32, flat_rep_insl_down, "std", "rep insl", REP32(INSL))                                 \
	X(32, flat_rep_insw_addr16, "mov $0x56782002, %edi\n bts $20, %ecx", "addr16 rep insw",   \
	  REP32A16("inw %dx, %ax\n addr16 stosw"))

#define REAL_STRINGS(X)                                                                     \
	X(16, real_outsb, "", "outsb", OUTSB)                                               \
	X(16, real_rep_outsw, "", "rep outsw", REP16(OUTSW))                                \
	X(16, real_rep_outsl, "bts $20, %ecx\n bts $20, %esi", "rep outsl", REP16(OUTSL))   \
	X(16, real_rep_outsb_wraps, "mov $0x3ffd, %si\n mov $0x33000, %ebx\n", "rep outsb", \
	  REP16(OUTSB))                                                                     \
	X(16, real_rep_outsb_fs, "", "rep outsb %fs:(%si), %dx",                            \
	  REP16("lodsb %fs:(%si)\n outb %al, %dx"))                                         \
	X(16, real_rep_outsw_addr32, "", "addr32 rep outsw",                                \
	  REP16A32("addr32 lodsw\n outw %ax, %dx"))                                         \
	X(16, real_insw_down, "std", "insw", INSW)                                          \
	X(16, real_rep_insb, "", "rep insb", REP16(INSB))                                   \
	X(16, real_rep_insl, "bts $20, %ecx\n bts $20, %edi", "rep insl", REP16(INSL))      \
	X(16, real_rep_insb_wraps_down, "mov $2, %di\n std", "rep insb", REP16(INSB))       \
	X(16, real_rep_insw_addr32, "", "addr32 rep insw",                                  \
	  REP16A32("inw %dx, %ax\n addr32 stosw"))                                          \
	X(16, real_rep_outsw_beyond_limit, "mov $0xfffb, %si", "rep outsw", REP16(OUTSW))

TEST_TABLE(outs_sends_what_is_in_memory, LONG, LONG_OUTS)
TEST_TABLE(ins_stores_what_user_space_gives, LONG, LONG_INS)
TEST_TABLE(protected_mode_has_strings_too, FLAT, FLAT_STRINGS)
TEST_TABLE(real_mode_has_strings_too, REAL, REAL_STRINGS)

GUEST_ASM(code_out_16, 16,
	  "outb %al, $0x10\n outw %ax, $0x20\n outl %eax, $0xff\n"
	  "outb %al, %dx\n outw %ax, %dx\n outl %eax, %dx\n hlt");
GUEST_ASM(code_out_32, 32,
	  "outb %al, $0x10\n outw %ax, $0x20\n outl %eax, $0xff\n"
	  "outb %al, %dx\n outw %ax, %dx\n outl %eax, %dx\n hlt");
GUEST_ASM(code_out_64, 64,
	  "outb %al, $0x10\n outw %ax, $0x20\n outl %eax, $0xff\n"
	  "outb %al, %dx\n outw %ax, %dx\n .byte 0x48\n outl %eax, %dx\n hlt");

TEST_F(port, out_tells_port_size_and_value)
{
	static const struct element expected[] = {
		{ 0x84, 0x10, 1, 0 },	{ 0x8384, 0x20, 2, 0 },	  { 0x81828384, 0xff, 4, 0 },
		{ 0x84, 0x1234, 1, 0 }, { 0x8384, 0x1234, 2, 0 }, { 0x81828384, 0x1234, 4, 0 },
	};
	static const struct {
		enum mode mode;
		const uint8_t *code, *end;
	} rows[] = {
		{ REAL, code_out_16, code_out_16_end },
		{ FLAT, code_out_32, code_out_32_end },
		{ LONG, code_out_64, code_out_64_end },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		prepare(self, rows[i].mode, rows[i].code, rows[i].end - rows[i].code);
		ASSERT_EQ(KVM_EXIT_HLT, run_with_ports(self));
		ASSERT_EQ(ARRAY_SIZE(expected), self->count);
		EXPECT_EQ(0, memcmp(expected, self->log, sizeof(expected))) TH_LOG("mode %zu", i);
		EXPECT_EQ(0x81828384, guest_regs(&self->g).rax);
		EXPECT_EQ(GUEST_CODE + (rows[i].end - rows[i].code), guest_regs(&self->g).rip);
	}
}

GUEST_ASM(code_in_b, 64, "inb $0x10, %al\n hlt");
GUEST_ASM(code_in_w, 64, "inw $0x10, %ax\n hlt");
GUEST_ASM(code_in_l, 64, "inl $0x10, %eax\n hlt");
GUEST_ASM(code_in_b_dx, 64, "inb %dx, %al\n hlt");
GUEST_ASM(code_in_w_dx, 64, "inw %dx, %ax\n hlt");
GUEST_ASM(code_in_l_dx, 64, "inl %dx, %eax\n hlt");
GUEST_ASM(code_in_q_dx, 64, ".byte 0x48\n inl %dx, %eax\n hlt");

TEST_F(port, in_changes_as_much_of_rax_as_it_reads)
{
#define ROW_IN(name, port, size, keep)             \
	{                                          \
		name, name##_end, port, size, keep \
	}
	static const struct {
		const uint8_t *code, *end;
		uint16_t port, size;
		uint64_t keep;
	} rows[] = {
		ROW_IN(code_in_b, 0x10, 1, ~0xffULL),
		ROW_IN(code_in_w, 0x10, 2, ~0xffffULL),
		ROW_IN(code_in_l, 0x10, 4, 0),
		ROW_IN(code_in_b_dx, 0x1234, 1, ~0xffULL),
		ROW_IN(code_in_w_dx, 0x1234, 2, ~0xffffULL),
		ROW_IN(code_in_l_dx, 0x1234, 4, 0),
		ROW_IN(code_in_q_dx, 0x1234, 4, 0),
	};
#undef ROW_IN

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t before = 0x8182838485868788, value = device_value(0);
		struct kvm_regs regs;

		prepare(self, LONG, rows[i].code, rows[i].end - rows[i].code);
		regs = guest_regs(&self->g);
		regs.rax = before;
		ASSERT_EQ(0, ioctl(self->g.vcpu, KVM_SET_REGS, &regs));
		ASSERT_EQ(KVM_EXIT_HLT, run_with_ports(self));
		ASSERT_EQ(1, self->count);
		EXPECT_EQ(rows[i].port, self->log[0].port) TH_LOG("row %zu", i);
		EXPECT_EQ(rows[i].size, self->log[0].size) TH_LOG("row %zu", i);
		EXPECT_EQ(1, self->log[0].in);
		value &= ~0ULL >> (64 - 8 * rows[i].size);
		EXPECT_EQ((before & rows[i].keep) | value, guest_regs(&self->g).rax)
		{
			TH_LOG("row %zu", i);
		}
	}
}

GUEST_ASM(code_rep_insl, 64, "rep insl\n hlt");
GUEST_ASM(code_rep_outsl, 64, "rep outsl\n hlt");
GUEST_ASM(code_insb_then_spin, 64, "insb\n hlt");

#define PREPARE(mode, code) prepare(self, mode, code, GUEST_SIZE(code))

/* Runs into a page fault after @done elements of 4 bytes. */
static void expect_fault(struct __test_metadata *_metadata, FIXTURE_DATA(port) * self,
			 uint64_t start, bool in, unsigned int done, uint64_t error)
{
	struct guest_trap trap = {};
	struct kvm_regs regs;
	struct kvm_sregs s;
	int vector;

	regs = guest_regs(&self->g);
	if (in)
		regs.rdi = start;
	else
		regs.rsi = start;
	ASSERT_EQ(0, ioctl(self->g.vcpu, KVM_SET_REGS, &regs));
	do {
		vector = guest_trap(&self->g, &trap);
		if (vector == -1) {
			ASSERT_EQ(KVM_EXIT_IO, self->g.run->exit_reason);
			ASSERT_TRUE(do_io(self));
		}
	} while (vector == -1);
	ASSERT_EQ(14, vector);
	EXPECT_EQ(error, trap.error);
	EXPECT_EQ(GUEST_CODE, trap.rip);
	ASSERT_EQ(0, ioctl(self->g.vcpu, KVM_GET_SREGS, &s));
	regs = guest_regs(&self->g);
	EXPECT_EQ(start + 4 * done, s.cr2 & ~3);
	/* KVM stores several elements as one, and then none of them is done. */
	if (in && done && guest_on_kvm())
		return;
	EXPECT_EQ(5 - done, regs.rcx);
	EXPECT_EQ(start + 4 * done, in ? regs.rdi : regs.rsi);
}

TEST_F(port, ins_into_a_page_that_is_not_there_faults)
{
	PREPARE(LONG, code_rep_insl);
	expect_fault(_metadata, self, 0x202000, true, 0, 2);

	PREPARE(LONG, code_rep_insl);
	expect_fault(_metadata, self, 0x201ff4, true, 3, 2);
	for (unsigned int i = 0; i < 3; i++)
		EXPECT_EQ(device_value(i), *(uint32_t *)(self->g.memory + BUFFER + 0x2ff4 + 4 * i));

	PREPARE(LONG, code_rep_insl);
	expect_fault(_metadata, self, 0x203000, true, 0, 3);
}

/* The guest's handler maps the page and goes on: no element is sent twice or left out. */
TEST_F(port, outs_goes_on_after_a_fault)
{
	PREPARE(LONG, code_rep_outsl);
	expect_fault(_metadata, self, 0x201ff4, false, 3, 0);
	EXPECT_EQ(3, self->count);
	*(uint64_t *)(self->g.memory + TABLES + 2 * 8) = (BUFFER + 0x3000) | 3;
	ASSERT_EQ(KVM_EXIT_HLT, run_with_ports(self));
	ASSERT_EQ(5, self->count);
	for (int i = 0; i < 5; i++)
		EXPECT_EQ(*(uint32_t *)(self->g.memory + BUFFER + 0x2ff4 + 4 * i),
			  self->log[i].value);
}

TEST_F(port, a_forged_run_page_is_harmless)
{
	struct kvm_run *run = self->g.run;

	for (int in = 0; in < 2; in++) {
		if (in)
			PREPARE(LONG, code_rep_insl);
		else
			PREPARE(LONG, code_rep_outsl);
		for (;;) {
			if (guest_run(&self->g) != KVM_EXIT_IO)
				break;
			ASSERT_TRUE(do_io(self));
			memset(&run->io, 0xff, sizeof(run->io));
			run->exit_reason = KVM_EXIT_MMIO;
		}
		EXPECT_EQ(KVM_EXIT_HLT, run->exit_reason);
		EXPECT_EQ(5, self->count);
		EXPECT_EQ(0, guest_regs(&self->g).rcx);
		for (int i = 0; i < 5; i++) {
			uint32_t value = *(uint32_t *)(self->g.memory + BUFFER +
						       (in ? 0x200 : 0x100) + 4 * i);

			EXPECT_EQ(value, self->log[i].value) TH_LOG("in %d, element %d", in, i);
		}
	}
}

TEST_F(port, immediate_exit_completes_an_access)
{
	struct kvm_run *run = self->g.run;

	PREPARE(LONG, code_in_l);
	ASSERT_EQ(KVM_EXIT_IO, guest_run(&self->g));
	ASSERT_TRUE(do_io(self));
	run->immediate_exit = 1;
	ASSERT_EQ(-EINTR, guest_run(&self->g));
	EXPECT_EQ(device_value(0), guest_regs(&self->g).rax);
	EXPECT_EQ(GUEST_CODE + 2, guest_regs(&self->g).rip);
	run->immediate_exit = 0;
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));

	PREPARE(LONG, code_insb_then_spin);
	ASSERT_EQ(KVM_EXIT_IO, guest_run(&self->g));
	ASSERT_TRUE(do_io(self));
	run->immediate_exit = 1;
	ASSERT_EQ(-EINTR, guest_run(&self->g));
	EXPECT_EQ((uint8_t)device_value(0), self->g.memory[BUFFER + 0x200]);
	EXPECT_EQ(BUFFER + 0x201, guest_regs(&self->g).rdi);
	EXPECT_EQ(GUEST_CODE + 1, guest_regs(&self->g).rip);

	PREPARE(LONG, code_out_64);
	ASSERT_EQ(KVM_EXIT_IO, guest_run(&self->g));
	run->immediate_exit = 1;
	ASSERT_EQ(-EINTR, guest_run(&self->g));
	EXPECT_EQ(GUEST_CODE + 2, guest_regs(&self->g).rip);
	run->immediate_exit = 0;
	EXPECT_EQ(KVM_EXIT_HLT, run_with_ports(self));
	EXPECT_EQ(5, self->count) TH_LOG("the first one is not sent again");
}

/* Stopped after every exit, a string has registers that say how far it is. */
TEST_F(port, immediate_exit_interrupts_a_string)
{
	struct kvm_run *run = self->g.run;
	int reason;

	PREPARE(LONG, code_rep_insl);
	while ((reason = guest_run(&self->g)) == KVM_EXIT_IO || reason == -EINTR) {
		struct kvm_regs regs = guest_regs(&self->g);

		run->immediate_exit = reason == KVM_EXIT_IO;
		if (reason == KVM_EXIT_IO) {
			ASSERT_TRUE(do_io(self));
			continue;
		}
		EXPECT_EQ(5 - self->count, regs.rcx);
		EXPECT_EQ(BUFFER + 0x200 + 4 * self->count, regs.rdi);
		for (unsigned int i = 0; i < self->count; i++)
			EXPECT_EQ(device_value(i),
				  *(uint32_t *)(self->g.memory + BUFFER + 0x200 + 4 * i));
	}
	EXPECT_EQ(KVM_EXIT_HLT, reason);
	EXPECT_EQ(5, self->count);
}

TEST_HARNESS_MAIN
