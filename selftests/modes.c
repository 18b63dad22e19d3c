// SPDX-License-Identifier: GPL-2.0-only
/*
 * Devices in the modes that guests seldom are in: virtual-8086 mode, 16-bit protected
 * mode, and compatibility mode. The others are in mmio.c and port-io.c; as there,
 * the CPU itself says what is right: with memory in the device's place.
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm.
 */
#include "kselftest_harness.h"
#include "guest.h"

#define DEVICE 0xd0000000
#define DEVICE_SIZE 0x4000
#define DEVICE_SLOT 1
#define WINDOW 0x40000 /* where the device is, if there is paging */
#define BUFFER 0x20000
#define TABLES 0x10000
#define GDT 0x3000
#define IDT 0x4000
#define HANDLERS 0x5000 /* 16 bytes for each vector, with a HLT in them */
#define TSS 0x14000 /* and behind its 0x68 bytes a bit for each port */
#define TRAP_STACK 0x7000
#define LOOKED_AT 0x30000
#define CLOSED_PORT 0x99

/*
 * The same in each mode: DS and GS are the device, FS is memory, and ES what a test
 * wants; all end at 64 KiB. In virtual-8086 mode HLT is a #GP.
 */
enum es { TO_DEVICE, TO_MEMORY };

struct snippet {
	const char *name;
	enum es es;
	bool faults;
	const uint8_t *code[2], *end[2]; /* assembled for 16 and for 32 bits */
};

#define ASSEMBLE(name, es, faults, text)             \
	GUEST_ASM(narrow_##name, 16, text "\n hlt"); \
	GUEST_ASM(wide_##name, 32, text "\n hlt");
#define ROW(name, es, faults, text)       \
	{ #name,                          \
	  es,                             \
	  faults,                         \
	  { narrow_##name, wide_##name }, \
	  { narrow_##name##_end, wide_##name##_end } },

FIXTURE(modes)
{
	struct guest g;
	uint8_t *device;
	struct kvm_sregs reset;
	unsigned int exits;
};

FIXTURE_VARIANT(modes)
{
	bool wide, paging, v86;
};

FIXTURE_VARIANT_ADD(modes, virtual_8086){ .paging = true, .v86 = true };
FIXTURE_VARIANT_ADD(modes, protected_16){};
FIXTURE_VARIANT_ADD(modes, compatibility){ .wide = true, .paging = true };

FIXTURE_SETUP(modes)
{
	ASSERT_EQ(0, guest_create(&self->g, "", 0));
	guest_set_cpuid(&self->g);
	ASSERT_EQ(0, ioctl(self->g.vcpu, KVM_GET_SREGS, &self->reset));
	self->device =
		mmap(NULL, DEVICE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->device);
}

FIXTURE_TEARDOWN(modes)
{
	guest_destroy(&self->g);
	munmap(self->device, DEVICE_SIZE);
}

static void put(struct guest *g, uint64_t gpa, uint64_t value, size_t size)
{
	memcpy(g->memory + gpa, &value, size);
}

/* One to one but for the window; three tables more than 32-bit paging has. */
static void fill_tables(struct guest *g, bool wide)
{
	unsigned int size = wide ? 8 : 4, levels = wide ? 3 : 1;
	uint64_t table = TABLES;

	for (unsigned int level = 0; level < levels; level++, table += 0x1000)
		put(g, table, (table + 0x1000) | 7, size);
	for (uint64_t page = 0; page < 512; page++) {
		uint64_t offset = (page << 12) - WINDOW;

		put(g, table + page * size,
		    (offset < DEVICE_SIZE ? DEVICE + offset : page << 12) | 7, size);
	}
}

static void fill_memory(FIXTURE_DATA(modes) * self, const FIXTURE_VARIANT(modes) * variant)
{
	struct guest *g = &self->g;

	memset(g->memory, 0, LOOKED_AT);
	memset(g->memory + HANDLERS, 0xf4, 32 * 16);
	for (uint64_t i = 0; i < 32; i++)
		put(g, IDT + (variant->wide ? 16 : 8) * i,
		    (HANDLERS + 16 * i) | 8 << 16 | 0x8e00ULL << 32, 8);
	put(g, GDT + 8, variant->wide ? 0x00af9b000000ffff : 0x00cf9b000000ffff, 8);
	put(g, GDT + 16, 0x00cf93000000ffff, 8);
	put(g, TSS + 4, TRAP_STACK, 8);
	put(g, TSS + 8, 16, 2);
	put(g, TSS + 0x66, 0x68, 2);
	put(g, TSS + 0x68 + CLOSED_PORT / 8, 1 << CLOSED_PORT % 8, 1);
	if (variant->paging)
		fill_tables(g, variant->wide);
	for (int i = 0; i < 0x10000; i++)
		g->memory[BUFFER + i] = i * 59 + 0x93;
	for (int i = 0; i < DEVICE_SIZE; i++)
		self->device[i] = i * 37 + (i >> 8) + 0x85;
}

static struct kvm_segment segment(const FIXTURE_VARIANT(modes) * variant, uint64_t base)
{
	struct kvm_segment s = {
		.base = base, .limit = 0xffff, .type = 3, .present = 1, .s = 1, .selector = 16
	};

	s.db = variant->wide;
	if (variant->v86) {
		s.selector = base >> 4;
		s.dpl = 3;
	}
	return s;
}

static void set_segments(FIXTURE_DATA(modes) * self, const FIXTURE_VARIANT(modes) * variant,
			 enum es es)
{
	uint64_t device = variant->paging ? WINDOW : DEVICE;
	struct kvm_sregs s = self->reset;

	s.ds = segment(variant, device);
	s.gs = s.ds;
	s.fs = segment(variant, BUFFER);
	s.es = es == TO_MEMORY ? s.fs : s.ds;
	s.ss = segment(variant, 0);
	s.cs = s.ss;
	if (!variant->v86) {
		s.cs.type = 11;
		s.cs.selector = 24;
	}
	s.gdt.base = GDT;
	s.gdt.limit = 0xff;
	s.idt.base = IDT;
	s.idt.limit = 0x1ff;
	s.tr = (struct kvm_segment){
		.base = TSS, .limit = 0x2068, .selector = 40, .type = 11, .present = 1
	};
	s.cr3 = TABLES;
	s.cr0 = 0x21 | (variant->paging ? 1UL << 31 : 0);
	if (variant->wide) {
		s.cr4 = 1 << 5;
		s.efer = 1 << 8 | 1 << 10;
	}
	ioctl(self->g.vcpu, KVM_SET_SREGS, &s);
}

static void prepare(FIXTURE_DATA(modes) * self, const FIXTURE_VARIANT(modes) * variant,
		    const struct snippet *snippet)
{
	struct kvm_regs regs = {
		.rax = 0x81828384,
		.rbx = 0x100,
		.rcx = 4,
		.rdx = 0x1234,
		.rbp = 0xc1c2c3c4,
		.rsi = 0x120,
		.rdi = 0x140,
		.rsp = GUEST_STACK,
		.rip = GUEST_CODE,
		.rflags = 2 | (variant->v86 ? 1 << 17 : 0),
	};

	ioctl(self->g.vcpu, KVM_SET_REGS, &(struct kvm_regs){ .rflags = 2 });
	set_segments(self, variant, snippet->es);
	ioctl(self->g.vcpu, KVM_SET_REGS, &regs);
	fill_memory(self, variant);
	memcpy(self->g.memory + GUEST_CODE, snippet->code[variant->wide],
	       snippet->end[variant->wide] - snippet->code[variant->wide]);
	self->exits = 0;
}

/* As far as the next exit that is no access to the device. */
static int run_with_device(FIXTURE_DATA(modes) * self)
{
	struct kvm_run *run = self->g.run;
	int reason;

	for (;; self->exits++) {
		uint64_t offset;

		reason = guest_run(&self->g);
		offset = run->mmio.phys_addr - DEVICE;
		if (reason != KVM_EXIT_MMIO || run->mmio.len > 8 ||
		    offset > DEVICE_SIZE - run->mmio.len)
			return reason;
		if (run->mmio.is_write)
			memcpy(self->device + offset, run->mmio.data, run->mmio.len);
		else
			memcpy(run->mmio.data, self->device + offset, run->mmio.len);
	}
}

/* The instruction that #GP was raised for, or 0. */
static uint64_t faulted_at(const struct guest *g, bool wide)
{
	struct kvm_regs regs = guest_regs(g);
	uint64_t rip = 0;

	if (regs.rip == HANDLERS + 16 * 13 + 1)
		memcpy(&rip, g->memory + regs.rsp + (wide ? 8 : 4), wide ? 8 : 4);
	return rip;
}

/* It has come to its HLT. */
static bool is_done(const FIXTURE_DATA(modes) * self, const FIXTURE_VARIANT(modes) * variant,
		    const struct snippet *snippet)
{
	uint64_t halt =
		GUEST_CODE + (snippet->end[variant->wide] - snippet->code[variant->wide]) - 1;

	if (variant->v86)
		return faulted_at(&self->g, false) == halt;
	return guest_regs(&self->g).rip == halt + 1;
}

struct outcome {
	unsigned int exits;
	struct kvm_regs regs;
	uint8_t memory[LOOKED_AT], device[DEVICE_SIZE];
};

#define SNIPPETS(X)                                                                            \
	X(load_8, 0, 0, "movb (%ebx), %ch")                                                    \
	X(load_16, 0, 0, "movw 2(%ebx,%ecx), %ax")                                             \
	X(load_32, 0, 0, "movl 0x10(%ebx,%ecx,2), %eax")                                       \
	X(movzx, 0, 0, "movzwl (%ebx), %edx")                                                  \
	X(movsx, 0, 0, "movsbl 1(%ebx), %ebp")                                                 \
	X(moffs, 0, 0, "movl 0x104, %eax\n movb %al, 0x206")                                   \
	X(store_8, 0, 0, "movb %ah, (%ebx)")                                                   \
	X(store_16, 0, 0, "movw %ax, 2(%ebx)")                                                 \
	X(store_32, 0, 0, "movl %eax, 0x10(%ebx,%ecx,8)")                                      \
	X(store_immediate, 0, 0, "movl $0x8a5b5c5d, (%ebx)\n movw $0x1234, 8(%ebx)")           \
	X(across_pages, 0, 0, "movl 0xffe, %eax\n movl %eax, 0x1ffd")                          \
	X(another_segment, 0, 0, "movl %gs:8, %eax\n movl %eax, %es:(%edi)")                   \
	X(movsb_in_device, TO_DEVICE, 0, "rep movsb")                                          \
	X(movsl_to_device, TO_DEVICE, 0, "rep movsl %fs:(%esi), %es:(%edi)")                   \
	X(movsl_down_to_device, TO_DEVICE, 0, "std\n rep movsl %fs:(%esi), %es:(%edi)")        \
	X(movsw_from_device, TO_MEMORY, 0, "rep movsw")                                        \
	X(stosb, TO_DEVICE, 0, "stosb")                                                        \
	X(stosl, TO_DEVICE, 0, "rep stosl")                                                    \
	X(stosw_across_pages, TO_DEVICE, 0, "mov $0xffb, %edi\n rep stosw")                    \
	X(movsl_beyond_limit, TO_MEMORY, true, "mov $0xfffe, %edi\n movb (%ebx), %al\n movsl") \
	X(movsw_up_to_limit, TO_MEMORY, true, "mov $0xfff9, %edi\n movb (%ebx), %al\n rep movsw")

SNIPPETS(ASSEMBLE)

TEST_F(modes, an_access_to_a_device_is_as_to_memory)
{
	static const struct snippet rows[] = { SNIPPETS(ROW) };
	struct outcome *seen = calloc(2, sizeof(*seen));

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (int memory = 0; memory < 2; memory++) {
			struct outcome *o = &seen[memory];

			guest_memory(self->g.vm, DEVICE_SLOT, 0, DEVICE, memory ? DEVICE_SIZE : 0,
				     self->device);
			prepare(self, variant, &rows[i]);
			EXPECT_EQ(KVM_EXIT_HLT, run_with_device(self)) TH_LOG("%s", rows[i].name);
			EXPECT_EQ(!rows[i].faults, is_done(self, variant, &rows[i]))
			{
				TH_LOG("%s: RIP %#llx", rows[i].name, guest_regs(&self->g).rip);
			}
			o->exits = self->exits;
			o->regs = guest_regs(&self->g);
			memcpy(o->memory, self->g.memory, LOOKED_AT);
			memcpy(o->device, self->device, DEVICE_SIZE);
		}
		guest_memory(self->g.vm, DEVICE_SLOT, 0, 0, 0, NULL);
		EXPECT_NE(0, seen[0].exits) TH_LOG("%s", rows[i].name);
		EXPECT_EQ(0, seen[1].exits) TH_LOG("%s", rows[i].name);
		seen[0].exits = 0;
		EXPECT_EQ(0, memcmp(&seen[0], &seen[1], sizeof(*seen))) TH_LOG("%s", rows[i].name);
	}
	free(seen);
}

/* --- ports ------------------------------------------------------------------ */

#define MAX_LOG 32

struct element {
	uint32_t value;
	uint16_t port;
	uint8_t size, in;
};

static uint32_t device_value(unsigned int n)
{
	return 0x9e3779b9 * (n + 1);
}

/* KVM gives several elements of a string at once, Dragonfly one. */
static int run_with_ports(struct guest *g, struct element log[MAX_LOG], unsigned int *count)
{
	struct kvm_run *run = g->run;
	int reason;

	for (*count = 0; (reason = guest_run(g)) == KVM_EXIT_IO;) {
		uint8_t *data = (uint8_t *)run + run->io.data_offset, size = run->io.size;

		for (uint32_t i = 0; i < run->io.count; i++, data += size) {
			struct element *e = &log[*count];

			if (*count == MAX_LOG)
				return -EPROTO;
			*e = (struct element){ .port = run->io.port, .size = size };
			e->in = run->io.direction == KVM_EXIT_IO_IN;
			if (e->in)
				memcpy(data, &(uint32_t){ device_value(*count) }, size);
			memcpy(&e->value, data, size);
			++*count;
		}
	}
	return reason;
}

#define PORTS(X)                                                   \
	X(ports, TO_MEMORY, 0,                                     \
	  "outb %al, $0x10\n outw %ax, $0x20\n outl %eax, $0xff\n" \
	  "inb $0x30, %al\n outb %al, $0x10\n inw %dx, %ax\n"      \
	  "inl %dx, %eax\n outl %eax, $0x10\n"                     \
	  "rep outsw %fs:(%esi), %dx\n mov $3, %ecx\n rep insl")

PORTS(ASSEMBLE)

TEST_F(modes, ports_are_user_spaces)
{
	static const struct snippet row[] = { PORTS(ROW) };
	const struct element expected[] = {
		{ 0x84, 0x10, 1, 0 },
		{ 0x8384, 0x20, 2, 0 },
		{ 0x81828384, 0xff, 4, 0 },
		{ (uint8_t)device_value(3), 0x30, 1, 1 },
		{ (uint8_t)device_value(3), 0x10, 1, 0 },
		{ (uint16_t)device_value(5), 0x1234, 2, 1 },
		{ device_value(6), 0x1234, 4, 1 },
		{ device_value(6), 0x10, 4, 0 },
	};
	struct element log[MAX_LOG];
	unsigned int count;

	prepare(self, variant, row);
	ASSERT_EQ(KVM_EXIT_HLT, run_with_ports(&self->g, log, &count));
	EXPECT_TRUE(is_done(self, variant, row));
	ASSERT_EQ(8 + 4 + 3, count);
	EXPECT_EQ(0, memcmp(expected, log, sizeof(expected)));
	for (unsigned int i = 8; i < count; i++) {
		bool in = i >= 12;
		struct element want = { 0, 0x1234, in ? 4 : 2, in };
		unsigned int from = in ? 0x140 + 4 * (i - 12) : 0x120 + 2 * (i - 8);

		memcpy(&want.value, self->g.memory + BUFFER + from, want.size);
		EXPECT_EQ(0, memcmp(&want, &log[i], sizeof(want))) TH_LOG("element %u", i);
		if (in)
			EXPECT_EQ(device_value(i), want.value);
	}
	EXPECT_EQ(0, guest_regs(&self->g).rcx);
	EXPECT_EQ(0x128, guest_regs(&self->g).rsi);
	EXPECT_EQ(0x14c, guest_regs(&self->g).rdi);
}

#define CLOSED(X) X(closed, TO_MEMORY, 0, "outb %al, $0x98\n outb %al, $0x99")

CLOSED(ASSEMBLE)

/* Whose bitmap is asked in virtual-8086 mode whatever the privilege, before any exit. */
TEST_F(modes, a_port_that_the_task_does_not_have_is_for_cpl_0)
{
	static const struct snippet row[] = { CLOSED(ROW) };
	struct element log[MAX_LOG];
	unsigned int count;

	prepare(self, variant, row);
	ASSERT_EQ(KVM_EXIT_HLT, run_with_ports(&self->g, log, &count));
	EXPECT_EQ(variant->v86 ? 1 : 2, count);
	EXPECT_EQ(!variant->v86, is_done(self, variant, row));
	EXPECT_EQ(variant->v86 ? GUEST_CODE + 2 : 0, faulted_at(&self->g, false));
}

TEST_HARNESS_MAIN
