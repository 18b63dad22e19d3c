// SPDX-License-Identifier: GPL-2.0-only
/*
 * An access to where no memory is goes to user space, and then it is as if
 * memory had been there.
 *
 * Most tests take this at its word: they run a snippet twice, once with memory
 * and once with user space in its place, and compare all registers, the guest's
 * memory and what is in the device. The CPU itself says what is right.
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm.
 */
#include "kselftest_harness.h"
#include "guest.h"

#define DEVICE 0xd0000000
#define DEVICE_SIZE 0x4000
#define DEVICE_SLOT 1

/* What of the guest's memory is put in order before a run and looked at after it. */
#define LOOKED_AT 0x28000
#define GDT 0x3000
#define TSS 0x3800
#define IDT 0x4000
#define HANDLERS 0x5000 /* 16 bytes for each vector, with a HLT in them */
#define TABLES 0x10000
#define BUFFERS 0x20000

/*
 * Linear addresses in long mode, a page each:
 *
 *	0x200000  memory at 0x20000
 *	0x201000  the device's second page
 *	0x202000  its first page
 *	0x203000  memory at 0x21000
 *	0x204000  not present
 *	0x205000  memory at 0x22000, read-only
 *	0x206000  the device's third page
 *	0x207000  its first page, read-only
 *	0x208000  its last page
 *	0x209000  not present
 *	0x20a000  memory at 0x23000, supervisor only
 */
static const uint64_t pages[] = {
	0x20000 | 7, (DEVICE + 0x1000) | 7, DEVICE | 7, 0x21000 | 7,	       0,
	0x22000 | 5, (DEVICE + 0x2000) | 7, DEVICE | 5, (DEVICE + 0x3000) | 7, 0,
	0x23000 | 3,
};

enum mode { REAL, FLAT, LONG, USER };

struct snippet {
	const char *name;
	const uint8_t *code, *end;
};

#define ASSEMBLE(bits, name, text) GUEST_ASM(row_##name, bits, text "\n hlt");
#define ROW(bits, name, text) { #name, row_##name, row_##name##_end },

FIXTURE(mmio)
{
	struct guest g;
	enum mode mode;
	uint8_t *device;
	struct kvm_sregs reset;
	unsigned int exits;
};

FIXTURE_SETUP(mmio)
{
	ASSERT_EQ(0, guest_create(&self->g, "", 0));
	ASSERT_EQ(0, ioctl(self->g.vcpu, KVM_GET_SREGS, &self->reset));
	self->device =
		mmap(NULL, DEVICE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->device);
}

FIXTURE_TEARDOWN(mmio)
{
	guest_destroy(&self->g);
	munmap(self->device, DEVICE_SIZE);
}

static void put64(struct guest *g, uint64_t gpa, uint64_t value)
{
	memcpy(g->memory + gpa, &value, 8);
}

/* Every vector's handler is a HLT of its own, so that RIP tells where it ended. */
static void fill_memory(FIXTURE_DATA(mmio) * self)
{
	struct guest *g = &self->g;
	bool wide = self->mode == LONG || self->mode == USER;

	memset(g->memory, 0, LOOKED_AT);
	for (int i = 0; i < 32; i++) {
		uint64_t handler = HANDLERS + 16 * i;

		g->memory[handler] = 0xf4;
		if (self->mode == REAL)
			memcpy(g->memory + 4 * i, &handler, 4);
		else
			put64(g, IDT + (wide ? 16 : 8) * i, handler | 8 << 16 | 0x8e00ULL << 32);
	}
	put64(g, GDT + 8, wide ? 0x00af9b000000ffff : 0x00cf9b000000ffff);
	put64(g, GDT + 16, 0x00cf93000000ffff);
	put64(g, TSS + 4, 0x7000);
	for (int i = 0; i < 0x4000; i++)
		g->memory[BUFFERS + i] = i * 59 + 0x93;
	for (int i = 0; i < DEVICE_SIZE; i++)
		self->device[i] = i * 37 + (i >> 8) + 0x85;
	put64(g, TABLES, (TABLES + 0x1000) | 7);
	put64(g, TABLES + 0x1000, (TABLES + 0x2000) | 7);
	put64(g, TABLES + 0x2000, 0x87);
	put64(g, TABLES + 0x2008, (TABLES + 0x3000) | 7);
	memcpy(g->memory + TABLES + 0x3000, pages, sizeof(pages));
}

static void set_registers(FIXTURE_DATA(mmio) * self)
{
	uint64_t keep = self->mode == REAL || self->mode == FLAT ? ~0U : ~0ULL;
	struct kvm_regs regs = {
		.rax = keep & 0x8182838485868788,
		.rbx = self->mode == REAL ? 0x100 :
		       self->mode == FLAT ? DEVICE + 0x100 :
					    0x201100,
		.rcx = 4,
		.rdx = keep & 0x9192939495969798,
		.rsi = keep & 0xa1a2a3a4a5a6a7a8,
		.rdi = keep & 0xb1b2b3b4b5b6b7b8,
		.rbp = keep & 0xc1c2c3c4c5c6c7c8,
		.rsp = GUEST_STACK,
		.r8 = 0xd1d2d3d4d5d6d7d8,
		.r9 = 0xe1e2e3e4e5e6e7e8,
		.r10 = 0xf1f2f3f4f5f6f7f8,
		.r12 = 0x201208,
		.r13 = 0x201300,
		.rip = GUEST_CODE,
		.rflags = 0x8d7 & ~0x200, /* all of CF, PF, AF, ZF, SF, OF */
	};

	ioctl(self->g.vcpu, KVM_SET_REGS, &regs);
}

static void set_segments(FIXTURE_DATA(mmio) * self)
{
	struct kvm_sregs s;

	ioctl(self->g.vcpu, KVM_SET_SREGS, &self->reset);
	if (self->mode == LONG || self->mode == USER)
		guest_to_long_mode(&self->g);
	else if (self->mode == FLAT)
		guest_to_flat_mode(&self->g);
	ioctl(self->g.vcpu, KVM_GET_SREGS, &s);
	if (self->mode == REAL) {
		s.cs.base = 0;
		s.cs.selector = 0;
		s.ds.base = DEVICE;
		s.es.base = DEVICE;
		s.gs.base = BUFFERS;
	} else {
		s.gdt.base = GDT;
		s.gdt.limit = 0xff;
		s.idt.base = IDT;
		s.idt.limit = 0x1ff;
		s.tr.base = TSS;
		s.tr.limit = 0x67;
		s.cr0 |= 1 << 16;
		s.fs = s.ds;
		s.gs = s.ds;
		s.fs.base = self->mode == FLAT ? DEVICE : 0x201000;
		s.gs.base = self->mode == FLAT ? BUFFERS : 0x200000;
	}
	if (self->mode == USER) {
		s.cs.selector |= 3;
		s.cs.dpl = 3;
		s.ss.selector |= 3;
		s.ss.dpl = 3;
		s.ds.dpl = 3;
		s.es.dpl = 3;
	}
	ioctl(self->g.vcpu, KVM_SET_SREGS, &s);
}

/* Runs the guest as far as the next exit that is no access to the device. */
static int run_with_device(FIXTURE_DATA(mmio) * self)
{
	struct kvm_run *run = self->g.run;
	int reason;

	for (;;) {
		uint64_t offset;

		reason = guest_run(&self->g);
		offset = run->mmio.phys_addr - DEVICE;
		if (reason != KVM_EXIT_MMIO || run->mmio.len > 8 ||
		    offset > DEVICE_SIZE - run->mmio.len)
			return reason;
		self->exits++;
		if (run->mmio.is_write)
			memcpy(self->device + offset, run->mmio.data, run->mmio.len);
		else
			memcpy(run->mmio.data, self->device + offset, run->mmio.len);
	}
}

struct outcome {
	int reason;
	unsigned int exits;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	uint8_t memory[LOOKED_AT];
	uint8_t device[DEVICE_SIZE];
};

static void prepare(FIXTURE_DATA(mmio) * self, const struct snippet *snippet)
{
	set_segments(self);
	fill_memory(self);
	set_registers(self);
	memcpy(self->g.memory + GUEST_CODE, snippet->code, snippet->end - snippet->code);
	self->exits = 0;
}

static void observe(FIXTURE_DATA(mmio) * self, const struct snippet *snippet, bool memory,
		    struct outcome *o)
{
	if (memory)
		guest_memory(self->g.vm, DEVICE_SLOT, 0, DEVICE, DEVICE_SIZE, self->device);
	prepare(self, snippet);
	o->reason = run_with_device(self);
	o->exits = self->exits;
	o->regs = guest_regs(&self->g);
	ioctl(self->g.vcpu, KVM_GET_SREGS, &o->sregs);
	memcpy(o->memory, self->g.memory, LOOKED_AT);
	memcpy(o->device, self->device, DEVICE_SIZE);
	if (memory)
		guest_memory(self->g.vm, DEVICE_SLOT, 0, 0, 0, NULL);
}

static long difference(const void *a, const void *b, size_t size)
{
	const uint8_t *x = a, *y = b;

	for (size_t i = 0; i < size; i++)
		if (x[i] != y[i])
			return i;
	return -1;
}

/* It ended in a handler, not behind the snippet. */
static bool faulted(const struct outcome *o)
{
	return o->regs.rip - HANDLERS < 0x1000;
}

/* Each snippet has the same effect with user space as with memory. */
static void compare(struct __test_metadata *_metadata, FIXTURE_DATA(mmio) * self, enum mode mode,
		    const struct snippet *rows, size_t count, bool as_kvm)
{
	struct outcome *memory = malloc(sizeof(*memory)), *device = malloc(sizeof(*device));

	self->mode = mode;
	for (size_t i = 0; i < count; i++) {
		const char *name = rows[i].name;

		observe(self, &rows[i], true, memory);
		observe(self, &rows[i], false, device);
		EXPECT_EQ(0, memory->exits) TH_LOG("%s", name);
		/* Dragonfly reads nothing from a device for an instruction that faults. */
		if (guest_on_kvm() || !faulted(memory))
			EXPECT_NE(0, device->exits) TH_LOG("%s", name);
		EXPECT_EQ(KVM_EXIT_HLT, memory->reason) TH_LOG("%s", name);
		EXPECT_EQ(KVM_EXIT_HLT, device->reason) TH_LOG("%s", name);
		EXPECT_EQ(-1, difference(&memory->regs, &device->regs, sizeof(memory->regs)))
		{
			TH_LOG("%s: byte of struct kvm_regs; RIP %#llx, with memory %#llx", name,
			       device->regs.rip, memory->regs.rip);
		}
		EXPECT_EQ(memory->sregs.cr2, device->sregs.cr2) TH_LOG("%s", name);
		if (!as_kvm && guest_on_kvm())
			continue;
		EXPECT_EQ(-1, difference(memory->memory, device->memory, LOOKED_AT))
		{
			TH_LOG("%s: address in the guest's memory", name);
		}
		EXPECT_EQ(-1, difference(memory->device, device->device, DEVICE_SIZE))
		{
			TH_LOG("%s: offset in the device", name);
		}
	}
	free(memory);
	free(device);
}

#define LOADS(X)                                                             \
	X(64, load_8, "movb (%rbx), %al")                                    \
	X(64, load_16, "movw (%rbx), %ax")                                   \
	X(64, load_32, "movl (%rbx), %eax")                                  \
	X(64, load_64, "movq (%rbx), %rax")                                  \
	X(64, load_high, "movb (%rbx), %dh")                                 \
	X(64, load_high_of_base, "movb (%rbx), %bh")                         \
	X(64, load_sil, "movb (%rbx), %sil")                                 \
	X(64, load_spl, "movb (%rbx), %spl")                                 \
	X(64, load_r9b, "movb (%rbx), %r9b")                                 \
	X(64, load_into_base, "movq (%rbx), %rbx")                           \
	X(64, movzx_8_16, "movzbw (%rbx), %ax")                              \
	X(64, movzx_8_32, "movzbl (%rbx), %eax")                             \
	X(64, movzx_8_64, "movzbq (%rbx), %rax")                             \
	X(64, movzx_16_32, "movzwl (%rbx), %r10d")                           \
	X(64, movsx_8_16, "movsbw (%rbx), %ax")                              \
	X(64, movsx_8_32, "movsbl (%rbx), %r8d")                             \
	X(64, movsx_8_64, "movsbq (%rbx), %rax")                             \
	X(64, movsx_16_32, "movswl (%rbx), %eax")                            \
	X(64, movsx_16_64, "movswq (%rbx), %rax")                            \
	X(64, movsxd, "movslq (%rbx), %rax")                                 \
	X(64, movsxd_without_rex_w, ".byte 0x63, 0x03")                      \
	X(64, movsxd_16, ".byte 0x66, 0x63, 0x03")                           \
	X(64, load_moffs_8, "movabs 0x201100, %al")                          \
	X(64, load_moffs_32, "movabs 0x201104, %eax")                        \
	X(64, load_moffs_64, "movabs 0x201108, %rax")                        \
	X(64, load_moffs_addr32, ".byte 0x67, 0xa1, 0x10, 0x11, 0x20, 0x00") \
	X(64, load_rex_w_beats_data16, ".byte 0x66, 0x48, 0x8b, 0x03")

#define STORES(X)                                                                  \
	X(64, store_8, "movb %al, (%rbx)")                                         \
	X(64, store_16, "movw %ax, (%rbx)")                                        \
	X(64, store_32, "movl %eax, (%rbx)")                                       \
	X(64, store_64, "movq %rax, (%rbx)")                                       \
	X(64, store_high, "movb %ah, (%rbx)")                                      \
	X(64, store_dil, "movb %dil, (%rbx)")                                      \
	X(64, store_r8b, "movb %r8b, (%rbx)")                                      \
	X(64, store_base, "movq %rbx, (%rbx)")                                     \
	X(64, store_immediate_8, "movb $0x5a, (%rbx)")                             \
	X(64, store_immediate_16, "movw $0x5a5b, (%rbx)")                          \
	X(64, store_immediate_32, "movl $0x8a5b5c5d, (%rbx)")                      \
	X(64, store_immediate_64, "movq $-0x12345678, (%rbx)")                     \
	X(64, store_moffs_8, "movabs %al, 0x201100")                               \
	X(64, store_moffs_32, "movabs %eax, 0x201104")                             \
	X(64, store_moffs_64, "movabs %rax, 0x201108")                             \
	X(64, store_then_load, "movl $0x11223344, 8(%rbx)\n movl 8(%rbx), %edx\n") \
	X(64, store_rip_relative, "movl %ecx, 0x200000(%rip)")                     \
	X(64, store_rip_relative_immediate, "movl $0x12345678, 0x200100(%rip)")    \
	X(64, store_rip_relative_immediate_8, "movb $0x12, 0x200100(%rip)")

#define ADDRESSES(X)                                                                    \
	X(64, at_disp8, "movl -0x20(%rbx), %eax")                                       \
	X(64, at_disp32, "movl 0x123(%rbx), %eax")                                      \
	X(64, at_sib, "movl 0x10(%rbx,%rcx,8), %eax")                                   \
	X(64, at_sib_negative, "neg %rcx\n movq (%rbx,%rcx,4), %rax")                   \
	X(64, at_sib_without_base, "movl 0x201000(,%rcx,4), %eax")                      \
	X(64, at_absolute, "movl 0x201010, %eax")                                       \
	X(64, at_r12, "movl (%r12), %eax")                                              \
	X(64, at_r13_indexed_by_r12, "mov $8, %r12d\n movl (%r13,%r12,2), %r12d")       \
	X(64, at_rsp, "mov $0x201308, %rsp\n movl (%rsp), %eax")                        \
	X(64, at_rip, "movl 0x200000(%rip), %eax")                                      \
	X(64, at_addr32, "mov $0x1111111100201100, %rbx\n movl (%ebx), %eax")           \
	X(64, at_addr32_wrapping, "movl $0xfffffff0, %ebx\n movl 0x201110(%ebx), %eax") \
	X(64, at_fs, "movl %fs:0x100, %eax")                                            \
	X(64, at_gs, "movl %eax, %gs:0x1100(,%rcx,4)")                                  \
	X(64, at_ignored_override, ".byte 0x26, 0x8b, 0x03")                            \
	X(64, at_last_override, ".byte 0x2e, 0x64, 0x8b, 0x41, 0x10")                   \
	X(64, at_another_page, "movl %eax, 0x206ffc")

#define ACROSS(X)                                           \
	X(64, load_across_device, "movq 0x201ffd, %rax")    \
	X(64, store_across_device, "movq %rax, 0x201ffb")   \
	X(64, load_from_memory_on, "movq 0x200ffc, %rax")   \
	X(64, store_from_memory_on, "movq %rax, 0x200fff")  \
	X(64, load_into_memory, "movl 0x202ffd, %eax")      \
	X(64, store_into_memory, "movq %rax, 0x202ff9")     \
	X(64, load_16_across, "movw 0x202fff, %ax")         \
	X(64, movzx_across, "movzwl 0x201fff, %eax")        \
	X(64, store_immediate_across, "movq $-2, 0x202ffd") \
	X(64, unaligned_in_a_page, "movq 0x201123, %rax\n movq %rax, 0x201135")

#define COPY(to, from, n, insn) \
	"mov $" #from ", %rsi\n mov $" #to ", %rdi\n mov $" #n ", %ecx\n" insn

#define STRINGS(X)                                                                             \
	X(64, movsb_to_device, COPY(0x201100, 0x200100, 9, "movsb"))                           \
	X(64, movsq_from_device, COPY(0x200100, 0x201100, 9, "movsq"))                         \
	X(64, rep_movsb_to_device, COPY(0x201100, 0x200103, 9, "rep movsb"))                   \
	X(64, rep_movsl_to_device, COPY(0x201100, 0x200100, 40, "rep movsl"))                  \
	X(64, rep_movsb_from_device, COPY(0x200100, 0x201100, 7, "rep movsb"))                 \
	X(64, rep_movsl_from_device, COPY(0x200101, 0x201103, 7, "rep movsl"))                 \
	X(64, rep_movsq_from_device, COPY(0x200100, 0x201100, 7, "rep movsq"))                 \
	X(64, rep_movsl_in_device, COPY(0x201100, 0x202100, 6, "rep movsl"))                   \
	X(64, rep_movsq_in_device_overlapping, COPY(0x201108, 0x201100, 6, "rep movsq"))       \
	X(64, rep_movsl_down_to_device, COPY(0x201100, 0x200100, 6, "std\n rep movsl"))        \
	X(64, rep_movsb_down_from_device, COPY(0x200100, 0x201100, 6, "std\n rep movsb"))      \
	X(64, rep_movsq_down_in_device, COPY(0x201100, 0x201200, 6, "std\n rep movsq"))        \
	X(64, repnz_movsl_repeats_too, COPY(0x201100, 0x200100, 3, ".byte 0xf2\n movsl"))      \
	X(64, rep_movsl_into_device, COPY(0x200ff6, 0x203100, 6, "rep movsl"))                 \
	X(64, rep_movsl_out_of_device, COPY(0x203100, 0x202ff6, 6, "rep movsl"))               \
	X(64, rep_movsq_through_device, COPY(0x201fe4, 0x203100, 6, "rep movsq"))              \
	X(64, rep_movsl_fs,                                                                    \
	  "mov $0x200100, %rdi\n mov $0x10, %esi\n rep movsl %fs:(%rsi), %es:(%rdi)")          \
	X(64, rep_movsl_addr32,                                                                \
	  COPY(0x2222222200200100, 0x1111111100201100, 3, "bts $40, %rcx\n addr32 rep movsl")) \
	X(64, stosb, COPY(0x201100, 0, 9, "stosb"))                                            \
	X(64, rep_stosb, COPY(0x201100, 0, 9, "rep stosb"))                                    \
	X(64, rep_stosw, COPY(0x201ffb, 0, 9, "rep stosw"))                                    \
	X(64, rep_stosl, COPY(0x201100, 0, 33, "rep stosl"))                                   \
	X(64, rep_stosq, COPY(0x202ff1, 0, 9, "rep stosq"))                                    \
	X(64, rep_stosl_down, COPY(0x203008, 0, 9, "std\n rep stosl"))

#define FAULTS(X)                                                                         \
	X(64, movsl_to_nowhere, COPY(0x204100, 0x201100, 1, "movsl"))                     \
	X(64, movsl_from_nowhere, COPY(0x201100, 0x204100, 1, "movl $1, (%rbx)\n movsl")) \
	X(64, movsl_to_read_only, COPY(0x205100, 0x201100, 1, "movsl"))                   \
	X(64, movsl_to_non_canonical, COPY(0x8000000000201100, 0x201100, 1, "movsl"))     \
	X(64, rep_movsl_into_nowhere, COPY(0x203ff0, 0x201100, 9, "rep movsl"))           \
	X(64, rep_movsl_out_of_memory, COPY(0x201100, 0x203ff0, 9, "rep movsl"))          \
	X(64, rep_movsw_device_to_nowhere, COPY(0x208ff8, 0x201100, 9, "rep movsw"))      \
	X(64, rep_movsq_down_to_nowhere, COPY(0x201100, 0x205008, 9, "std\n rep movsq"))  \
	X(64, load_into_nowhere, "movb (%rbx), %al\n movq 0x208ffd, %rdx")                \
	X(64, store_into_nowhere, "movb (%rbx), %al\n movq %rdx, 0x208ffd")               \
	X(64, store_to_read_only_device, "movl 0x207100, %eax\n movl %eax, 0x207100")     \
	X(64, rep_stosl_into_nowhere, COPY(0x208ff0, 0, 9, "rep stosl"))

/* KVM has written as far as the page ends, the CPU nothing. */
#define LATE_FAULTS(X) X(64, movsl_into_nowhere, COPY(0x203ffe, 0x201100, 1, "movsl"))

/* A HLT is not for them: it ends the snippet with #GP. */
#define USER_CODE(X)                                                                              \
	X(64, user_load, "movl (%rbx), %eax")                                                     \
	X(64, user_store, "movl %eax, (%rbx)")                                                    \
	X(64, user_movsl_to_supervisor, COPY(0x20a100, 0x201100, 1, "movsl"))                     \
	X(64, user_movsl_from_supervisor, COPY(0x201100, 0x20a100, 1, "movl $1, (%rbx)\n movsl")) \
	X(64, user_rep_movsb_to_read_only, COPY(0x205000, 0x201100, 2, "rep movsb"))

#define FLAT_CODE(X)                                                                    \
	X(32, flat_load_8, "movb (%ebx), %ch")                                          \
	X(32, flat_load_16, "movw (%ebx), %ax")                                         \
	X(32, flat_load_32, "movl 0x10(%ebx,%ecx,2), %eax")                             \
	X(32, flat_store_immediate, "movl $0x12345678, 0xd0000204")                     \
	X(32, flat_moffs, "movl 0xd0000200, %eax\n movb %al, 0xd0000300")               \
	X(32, flat_movzx, "movzwl (%ebx), %edx\n movsbl 1(%ebx), %esi")                 \
	X(32, flat_arpl_is_not_movsxd, "movl (%ebx), %eax\n .byte 0x63, 0xc1")          \
	X(32, flat_inc_is_not_rex, ".byte 0x40, 0x8b, 0x03")                            \
	X(32, flat_fs, "movl %fs:0x40, %eax\n movw %ax, %fs:0x50(%ecx)")                \
	X(32, flat_addr16, "mov $0x20, %edi\n .byte 0x64, 0x67, 0x8b, 0x45, 0x10")      \
	X(32, flat_rep_movsl, "mov $0xd0000200, %edi\n mov $0x20000, %esi\n rep movsl") \
	X(32, flat_rep_movsb, "mov $0x20000, %edi\n mov $0xd0000ffe, %esi\n rep movsb") \
	X(32, flat_rep_movsw_gs,                                                        \
	  "mov $0xd0000200, %edi\n mov $0x10, %esi\n rep movsw %gs:(%esi), %es:(%edi)") \
	X(32, flat_rep_stosl, "mov $0xd0000200, %edi\n rep stosl")                      \
	X(32, flat_movsl_to_null_segment,                                               \
	  "mov %ebx, %esi\n mov $0x20000, %edi\n xor %edx, %edx\n mov %edx, %es\n"      \
	  " movl %edx, (%ebx)\n movsl")

#define REAL_CODE(X)                                                                              \
	X(16, real_load_8, "movb (%bx), %al")                                                     \
	X(16, real_load_32, "movl 2(%bx), %eax")                                                  \
	X(16, real_store, "movw %cx, 0x1234\n movl $0x11223344, 0x20")                            \
	X(16, real_base_and_index, "mov $0x20, %si\n movw 0x10(%bx,%si), %ax")                    \
	X(16, real_stack_segment, "mov %bx, %bp\n movw %ds:4(%bp), %ax")                          \
	X(16, real_wraps, "mov $0xff00, %bx\n movb 0x1ff(%bx), %al")                              \
	X(16, real_moffs, "movb 0x123, %al\n movl %eax, 0x124")                                   \
	X(16, real_addr32, "movl (%ebx,%ecx,4), %eax")                                            \
	X(16, real_rep_movsw, "mov $0x20, %si\n mov $0x40, %di\n rep movsw %gs:(%si), %es:(%di)") \
	X(16, real_rep_movsl_keeps_upper_halves,                                                  \
	  "mov $0x11110020, %esi\n mov $0x22220040, %edi\n"                                       \
	  "mov $0x33330003, %ecx\n rep movsl %gs:(%si), %es:(%di)")                               \
	X(16, real_rep_movsb_from_device,                                                         \
	  "xor %ax, %ax\n mov %ax, %es\n mov $0x5800, %di\n mov $0x10, %si\n rep movsb")          \
	X(16, real_rep_stosb_wraps, "mov $0x3ffe, %di\n mov $2, %cx\n rep stosb")                 \
	X(16, real_movsl_beyond_limit,                                                            \
	  "xor %ax, %ax\n mov %ax, %es\n mov $0xfffe, %di\n mov %bx, %si\n movb %al, (%si)\n movsl")

#define TEST_TABLE(test, mode, table, as_kvm)                                                   \
	table(ASSEMBLE) static const struct snippet table##_rows[] = { table(ROW) };            \
	TEST_F(mmio, test)                                                                      \
	{                                                                                       \
		compare(_metadata, self, mode, table##_rows, ARRAY_SIZE(table##_rows), as_kvm); \
	}

TEST_TABLE(loads_are_as_from_memory, LONG, LOADS, true)
TEST_TABLE(stores_are_as_to_memory, LONG, STORES, true)
TEST_TABLE(every_addressing_mode_finds_its_place, LONG, ADDRESSES, true)
TEST_TABLE(an_access_across_pages_has_its_whole_effect, LONG, ACROSS, true)
TEST_TABLE(string_instructions_copy_and_fill, LONG, STRINGS, true)
TEST_TABLE(the_other_operand_may_fault, LONG, FAULTS, true)
TEST_TABLE(the_other_operand_may_fault_in_its_second_page, LONG, LATE_FAULTS, false)
TEST_TABLE(user_code_has_no_more_rights, USER, USER_CODE, true)
TEST_TABLE(protected_mode_has_devices_too, FLAT, FLAT_CODE, true)
TEST_TABLE(real_mode_has_devices_too, REAL, REAL_CODE, true)

GUEST_ASM(code_load, 64, "movl (%rbx), %eax\n hlt");
GUEST_ASM(code_store, 64, "movw %ax, 2(%rbx)\n hlt");
GUEST_ASM(code_add, 64, "addl %eax, (%rbx)\n hlt");
GUEST_ASM(code_fld, 64, "fldl (%rbx)\n hlt");
GUEST_ASM(code_cmpxchg, 64, "lock cmpxchgl %edx, (%rbx)\n hlt");
GUEST_ASM(code_movups, 64, "movups (%rbx), %xmm1\n hlt");
GUEST_ASM(code_jump, 64, "jmp *%rbx");
GUEST_ASM(code_rep_movsl, 64, COPY(0x201100, 0x200100, 3, "rep movsl\n hlt"));

static void start(FIXTURE_DATA(mmio) * self, const uint8_t *code, const uint8_t *end)
{
	self->mode = LONG;
	prepare(self, &(struct snippet){ "", code, end });
}

#define START(code) start(self, code, code##_end)

TEST_F(mmio, a_load_asks_user_space)
{
	struct kvm_run *run = self->g.run;

	START(code_load);
	ASSERT_EQ(KVM_EXIT_MMIO, guest_run(&self->g));
	EXPECT_EQ(DEVICE + 0x1100, run->mmio.phys_addr);
	EXPECT_EQ(4, run->mmio.len);
	EXPECT_EQ(0, run->mmio.is_write);
	memcpy(run->mmio.data, &(uint32_t){ 0xcafef00d }, 4);
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	EXPECT_EQ(0xcafef00d, guest_regs(&self->g).rax);
}

TEST_F(mmio, a_store_tells_user_space)
{
	struct kvm_run *run = self->g.run;

	START(code_store);
	ASSERT_EQ(KVM_EXIT_MMIO, guest_run(&self->g));
	EXPECT_EQ(DEVICE + 0x1102, run->mmio.phys_addr);
	EXPECT_EQ(2, run->mmio.len);
	EXPECT_EQ(1, run->mmio.is_write);
	EXPECT_EQ(0x8788, *(uint16_t *)run->mmio.data);
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	EXPECT_EQ(GUEST_CODE + GUEST_SIZE(code_store), guest_regs(&self->g).rip);
}

/* What user space writes into the page after the exit is data, never a length. */
TEST_F(mmio, a_forged_run_page_is_harmless)
{
	struct kvm_run *run = self->g.run;

	START(code_load);
	ASSERT_EQ(KVM_EXIT_MMIO, guest_run(&self->g));
	memset(&run->mmio, 0xff, sizeof(run->mmio));
	memcpy(run->mmio.data, &(uint32_t){ 0x12345678 }, 4);
	run->exit_reason = KVM_EXIT_IO;
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	EXPECT_EQ(0x12345678, guest_regs(&self->g).rax);

	START(code_store);
	ASSERT_EQ(KVM_EXIT_MMIO, guest_run(&self->g));
	memset(&run->mmio, 0, sizeof(run->mmio));
	run->exit_reason = ~0U;
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	EXPECT_EQ(GUEST_CODE + GUEST_SIZE(code_store), guest_regs(&self->g).rip);
}

/* This is how a VMM gets registers that it can save. */
TEST_F(mmio, immediate_exit_completes_the_access)
{
	struct kvm_run *run = self->g.run;

	START(code_load);
	ASSERT_EQ(KVM_EXIT_MMIO, guest_run(&self->g));
	memcpy(run->mmio.data, &(uint32_t){ 0x12345678 }, 4);
	run->immediate_exit = 1;
	ASSERT_EQ(-EINTR, guest_run(&self->g));
	EXPECT_EQ(0x12345678, guest_regs(&self->g).rax);
	EXPECT_EQ(GUEST_CODE + GUEST_SIZE(code_load) - 1, guest_regs(&self->g).rip);
	run->immediate_exit = 0;
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));

	START(code_store);
	ASSERT_EQ(KVM_EXIT_MMIO, guest_run(&self->g));
	run->immediate_exit = 1;
	ASSERT_EQ(-EINTR, guest_run(&self->g));
	EXPECT_EQ(GUEST_CODE + GUEST_SIZE(code_store) - 1, guest_regs(&self->g).rip);
	run->immediate_exit = 0;
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
}

/*
 * With immediate_exit between the elements too, registers are those of an
 * instruction that was interrupted, and nothing is lost or done twice.
 */
TEST_F(mmio, immediate_exit_interrupts_a_repeated_store)
{
	struct kvm_run *run = self->g.run;
	uint8_t expected[12];
	int reason, done = 0;

	START(code_rep_movsl);
	memcpy(expected, self->g.memory + BUFFERS + 0x100, 12);
	for (;;) {
		reason = guest_run(&self->g);
		if (reason == -EINTR) {
			struct kvm_regs regs = guest_regs(&self->g);

			EXPECT_EQ(0x200100 + done, regs.rsi);
			EXPECT_EQ(0x201100 + done, regs.rdi);
			EXPECT_EQ((12 - done) / 4, regs.rcx);
			run->immediate_exit = 0;
			continue;
		}
		if (reason != KVM_EXIT_MMIO)
			break;
		ASSERT_EQ(1, run->mmio.is_write);
		ASSERT_EQ(4, run->mmio.len);
		ASSERT_GT(12, done);
		EXPECT_EQ(DEVICE + 0x1100 + done, run->mmio.phys_addr);
		EXPECT_EQ(0, memcmp(expected + done, run->mmio.data, 4));
		done += 4;
		run->immediate_exit = 1;
	}
	EXPECT_EQ(KVM_EXIT_HLT, reason);
	EXPECT_EQ(12, done);
}

static void expect_refusal(struct __test_metadata *_metadata, FIXTURE_DATA(mmio) * self,
			   const uint8_t *code, size_t size)
{
	struct kvm_run *run = self->g.run;
	struct kvm_regs before;

	start(self, code, code + size);
	before = guest_regs(&self->g);
	ASSERT_EQ(KVM_EXIT_INTERNAL_ERROR, guest_run(&self->g));
	EXPECT_EQ(KVM_INTERNAL_ERROR_EMULATION, run->emulation_failure.suberror);
	EXPECT_LE(3, run->emulation_failure.ndata);
	ASSERT_EQ(KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES,
		  run->emulation_failure.flags);
	ASSERT_LE(size - 1, run->emulation_failure.insn_size);
	ASSERT_GE(15, run->emulation_failure.insn_size);
	EXPECT_EQ(0, memcmp(code, run->emulation_failure.insn_bytes, size - 1));

	struct kvm_regs after = guest_regs(&self->g);

	/* RF: what stops like a fault, has not been done. */
	after.rflags &= ~(1ULL << 16);
	EXPECT_EQ(-1, difference(&before, &after, sizeof(before)));
}

#define EXPECT_REFUSAL(code) expect_refusal(_metadata, self, code, GUEST_SIZE(code))

TEST_F(mmio, an_unknown_instruction_is_shown_to_user_space)
{
	EXPECT_REFUSAL(code_fld);
	/* KVM emulates many more than MOV, MOVS and STOS. */
	if (guest_on_kvm())
		return;
	EXPECT_REFUSAL(code_add);
	EXPECT_REFUSAL(code_cmpxchg);
	EXPECT_REFUSAL(code_movups);
}

TEST_F(mmio, no_code_is_fetched_from_a_device)
{
	START(code_jump);
	ASSERT_EQ(KVM_EXIT_INTERNAL_ERROR, guest_run(&self->g));
	EXPECT_EQ(KVM_INTERNAL_ERROR_EMULATION, self->g.run->emulation_failure.suberror);
	EXPECT_EQ(0x201100, guest_regs(&self->g).rip);
}

/* User space may do the instruction itself, or put memory there. */
TEST_F(mmio, memory_may_come_to_where_the_access_failed)
{
	START(code_movups);
	memcpy(self->g.memory + GUEST_CODE, code_fld, GUEST_SIZE(code_fld));
	ASSERT_EQ(KVM_EXIT_INTERNAL_ERROR, guest_run(&self->g));
	ASSERT_EQ(0, guest_memory(self->g.vm, DEVICE_SLOT, 0, DEVICE, DEVICE_SIZE, self->device));
	/* KVM has queued a #UD as well. */
	struct kvm_vcpu_events events = {};

	if (guest_on_kvm())
		ASSERT_EQ(0, ioctl(self->g.vcpu, KVM_SET_VCPU_EVENTS, &events));
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	EXPECT_EQ(GUEST_CODE + GUEST_SIZE(code_fld), guest_regs(&self->g).rip);
}

/* Memory that goes away between the exit and its completion changes nothing. */
TEST_F(mmio, a_half_done_access_outlives_changes_of_memory)
{
	struct kvm_run *run = self->g.run;

	START(code_load);
	ASSERT_EQ(KVM_EXIT_MMIO, guest_run(&self->g));
	ASSERT_EQ(0, guest_memory(self->g.vm, DEVICE_SLOT, 0, DEVICE, DEVICE_SIZE, self->device));
	memcpy(run->mmio.data, &(uint32_t){ 0x12345678 }, 4);
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	EXPECT_EQ(0x12345678, guest_regs(&self->g).rax);
}

FIXTURE(rom)
{
	struct guest g;
	uint8_t *bytes;
};

FIXTURE_SETUP(rom)
{
	ASSERT_EQ(0, guest_create(&self->g, "", 0));
	guest_to_flat_mode(&self->g);
	self->bytes =
		mmap(NULL, 0x2000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->bytes);
	for (int i = 0; i < 0x2000; i++)
		self->bytes[i] = i * 3;
	ASSERT_EQ(0, guest_memory(self->g.vm, 1, KVM_MEM_READONLY, DEVICE, 0x2000, self->bytes));
}

FIXTURE_TEARDOWN(rom)
{
	guest_destroy(&self->g);
	munmap(self->bytes, 0x2000);
}

GUEST_ASM(code_rom_read, 32,
	  "mov $0xd0000000, %esi\n mov $0x20000, %edi\n mov $0x800, %ecx\n"
	  "rep movsl\n hlt");
GUEST_ASM(code_rom_write, 32, "movl $0x11223344, 0xd0000ffe\n movl 0xd0000ffe, %eax\n hlt");
GUEST_ASM(code_rom_copy, 32,
	  "mov $0xd0000ffa, %edi\n mov $0xd0000100, %esi\n mov $3, %ecx\n"
	  "rep movsl\n hlt");
GUEST_ASM(code_rom_jump, 32, "mov $0xd0000000, %eax\n jmp *%eax");

TEST_F(rom, reads_are_of_memory)
{
	guest_load(&self->g, code_rom_read, GUEST_SIZE(code_rom_read));
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	EXPECT_EQ(0, memcmp(self->g.memory + 0x20000, self->bytes, 0x2000));
}

TEST_F(rom, code_runs)
{
	self->bytes[0] = 0xf4;
	guest_load(&self->g, code_rom_jump, GUEST_SIZE(code_rom_jump));
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	EXPECT_EQ(DEVICE + 1, guest_regs(&self->g).rip);
}

/* Writes by the guest, put together from what goes to user space. */
static int collect_writes(struct guest *g, uint8_t *written)
{
	int reason;

	while ((reason = guest_run(g)) == KVM_EXIT_MMIO) {
		uint64_t offset = g->run->mmio.phys_addr - DEVICE;

		if (!g->run->mmio.is_write || g->run->mmio.len > 8 || offset > 0x2000 - 8)
			return -1;
		memcpy(written + offset, g->run->mmio.data, g->run->mmio.len);
	}
	return reason;
}

TEST_F(rom, writes_go_to_user_space_and_change_nothing)
{
	uint8_t written[0x2000] = {}, expected[0x2000] = {}, *before = malloc(0x2000);

	memcpy(before, self->bytes, 0x2000);
	guest_load(&self->g, code_rom_write, GUEST_SIZE(code_rom_write));
	ASSERT_EQ(KVM_EXIT_HLT, collect_writes(&self->g, written));
	memcpy(expected + 0xffe, &(uint32_t){ 0x11223344 }, 4);
	EXPECT_EQ(-1, difference(expected, written, 0x2000));
	EXPECT_EQ(*(uint32_t *)(before + 0xffe), guest_regs(&self->g).rax);

	guest_load(&self->g, code_rom_copy, GUEST_SIZE(code_rom_copy));
	ASSERT_EQ(KVM_EXIT_HLT, collect_writes(&self->g, written));
	memcpy(expected + 0xffa, before + 0x100, 12);
	EXPECT_EQ(-1, difference(expected, written, 0x2000));
	EXPECT_EQ(DEVICE + 0xffa + 12, guest_regs(&self->g).rdi);
	EXPECT_EQ(DEVICE + 0x100 + 12, guest_regs(&self->g).rsi);
	EXPECT_EQ(0, guest_regs(&self->g).rcx);
	EXPECT_EQ(-1, difference(before, self->bytes, 0x2000));
	free(before);
}

/* Writable memory that becomes read-only: not by a flag, but deleted and added anew. */
TEST_F(rom, a_slot_may_become_read_only)
{
	uint8_t written[0x2000] = {};

	ASSERT_EQ(0, guest_memory(self->g.vm, 1, 0, DEVICE, 0, NULL));
	ASSERT_EQ(0, guest_memory(self->g.vm, 1, 0, DEVICE, 0x2000, self->bytes));
	guest_load(&self->g, code_rom_write, GUEST_SIZE(code_rom_write));
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	EXPECT_EQ(0x11223344, *(uint32_t *)(self->bytes + 0xffe));

	ASSERT_EQ(0, guest_memory(self->g.vm, 1, 0, DEVICE, 0, NULL));
	ASSERT_EQ(0, guest_memory(self->g.vm, 1, KVM_MEM_READONLY, DEVICE, 0x2000, self->bytes));
	memset(self->bytes, 0, 0x2000);
	guest_load(&self->g, code_rom_write, GUEST_SIZE(code_rom_write));
	ASSERT_EQ(KVM_EXIT_HLT, collect_writes(&self->g, written));
	EXPECT_EQ(0x11223344, *(uint32_t *)(written + 0xffe));
	EXPECT_EQ(0, *(uint32_t *)(self->bytes + 0xffe));
}

TEST_HARNESS_MAIN
