// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions that a hypervisor has to answer for: each does what it does on a
 * CPU, or raises what it raises there, and no guest takes others down.
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm.
 */
#include <sched.h>
#include "kselftest_harness.h"
#include "guest.h"
#include "vcpu-ioctl.h"

#define DATA 0x3000
#define DATA32(g, n) (((uint32_t *)((g)->memory + DATA))[n])

GUEST_ASM(code_hlt, 16, "hlt");
GUEST_ASM(code_hlt64, 64, "hlt");
GUEST_ASM(code_vmcall16, 16, "mov $0x7777, %eax\n vmcall\n hlt");
/* Real mode, 32 bits, 64 bits, and back to 32 bits without paging. */
GUEST_ASM(code_modes, 16,
	  "cli\n lgdtl 0x2f00\n mov %cr0, %eax\n or $1, %al\n mov %eax, %cr0\n"
	  "ljmpl $24, $(1f - code_modes + 0x1000)\n"
	  ".code32\n 1: mov $16, %eax\n mov %eax, %ds\n mov %eax, %es\n mov %eax, %ss\n"
	  "mov $0x8000, %esp\n movl $1, 0x3000\n"
	  "mov %cr4, %eax\n or $0x20, %al\n mov %eax, %cr4\n mov $0x10000, %eax\n mov %eax, %cr3\n"
	  "mov $0xc0000080, %ecx\n rdmsr\n or $0x100, %eax\n wrmsr\n rdmsr\n mov %eax, 0x3004\n"
	  "mov %cr0, %eax\n or $0x80000000, %eax\n mov %eax, %cr0\n"
	  "rdmsr\n mov %eax, 0x3008\n ljmpl $8, $(2f - code_modes + 0x1000)\n"
	  ".code64\n 2: mov $0x1122334455667788, %rax\n mov %rax, 0x3010\n"
	  "pushq $24\n pushq $(3f - code_modes + 0x1000)\n hlt\n lretq\n"
	  ".code32\n 3: mov %cr0, %eax\n and $0x7fffffff, %eax\n mov %eax, %cr0\n"
	  "mov $0xc0000080, %ecx\n rdmsr\n mov %eax, 0x3018\n"
	  "and $~0x100, %eax\n wrmsr\n movl $2, 0x301c\n hlt");
/* PAE in 32 bits, by the guest itself; the second GiB is the first again. */
GUEST_ASM(code_pae, 32,
	  "mov %cr4, %eax\n or $0x20, %al\n mov %eax, %cr4\n mov $0x14000, %eax\n"
	  "mov %eax, %cr3\n mov %cr0, %eax\n or $0x80000000, %eax\n mov %eax, %cr0\n"
	  "movl $0x5a5a5a5a, 0x40003000\n hlt\n"
	  "mov $0x14020, %eax\n mov %eax, %cr3\n hlt");
GUEST_ASM(code_task_switch, 32, "ljmp $32, $0");
GUEST_ASM(code_nm, 64,
	  "mov %cr0, %rax\n or $8, %al\n mov %rax, %cr0\n fninit\n clts\n mov %cr0, %rbx\n"
	  "mov $0xa, %eax\n lmsw %ax\n mov %cr0, %rcx\n fninit\n hlt");
GUEST_ASM(code_cr8, 64,
	  "mov %cr8, %rbx\n mov $5, %eax\n mov %rax, %cr8\n mov %cr8, %rcx\n"
	  "mov $2, %eax\n mov %rax, %cr8\n mov %cr8, %rdx\n hlt");

FIXTURE(exits)
{
	struct guest g;
};

FIXTURE_SETUP(exits)
{
}

FIXTURE_TEARDOWN(exits)
{
	guest_destroy(&self->g);
}

#define START(code) ASSERT_EQ(0, guest_create(&self->g, code, GUEST_SIZE(code)))
#define LONG(code)                            \
	do {                                  \
		START(code);                  \
		guest_to_long_mode(&self->g); \
		guest_catch(&self->g);        \
	} while (0)

/* One instruction, and what comes of it. */
struct instruction {
	const char *name;
	const char *bytes;
	size_t size;
	int vector; /* or GUEST_HALTED: it does nothing that is seen */
	uint64_t rax, rcx;
};

#define INSN(name, bytes, ...)                              \
	{                                                   \
		name, bytes, sizeof(bytes) - 1, __VA_ARGS__ \
	}

/* In long mode at CPL 0, with HLT behind it, or at CPL 3 with INT $0x80. */
static int attempt(struct guest *g, const struct instruction *i, struct guest_trap *trap, bool user)
{
	struct kvm_regs regs = {
		.rip = GUEST_CODE,
		.rsp = GUEST_STACK,
		.rflags = 2,
		.rax = i->rax,
		.rbx = DATA,
		.rcx = i->rcx,
	};

	memcpy(g->memory + GUEST_CODE, i->bytes, i->size);
	memcpy(g->memory + GUEST_CODE + i->size, user ? "\xcd\x80" : "\xf4", user ? 2 : 1);
	ioctl(g->vcpu, KVM_SET_REGS, &regs);
	return guest_trap(g, trap);
}

static void attempt_all(struct __test_metadata *_metadata, struct guest *g,
			const struct instruction *i, unsigned int n, bool user)
{
	struct kvm_sregs s;

	ASSERT_EQ(0, ioctl(g->vcpu, KVM_GET_SREGS, &s));
	for (; n--; i++) {
		struct guest_trap trap = { .rip = GUEST_CODE };

		EXPECT_EQ(i->vector, attempt(g, i, &trap, user))
		{
			TH_LOG("%s", i->name);
		}
		if (i->vector < 32) {
			EXPECT_EQ(GUEST_CODE, trap.rip)
			{
				TH_LOG("%s", i->name);
			}
			EXPECT_EQ(0, trap.error);
		}
		ASSERT_EQ(0, ioctl(g->vcpu, KVM_SET_SREGS, &s));
	}
}

/* Of exceptions that no hypervisor looks at, so that nothing but the CPU delivers them. */
TEST_F(exits, the_first_instruction_of_a_handler_exits_where_it_is)
{
	static const struct instruction list[] = {
		INSN("DIV %ecx", "\xf7\xf1", 0, 0, 0),
		INSN("MOV (%rax), %rax", "\x48\x8b\x00", 13, 1UL << 63, 0),
		/* Now that the handlers are in the EPT, too. */
		INSN("DIV %ecx again", "\xf7\xf1", 0, 0, 0),
		INSN("MOV (%rax), %rax again", "\x48\x8b\x00", 13, 1UL << 63, 0),
	};
	unsigned int cpus = 0;

	LONG(code_hlt64);
	for (int cpu = 0; cpu < sysconf(_SC_NPROCESSORS_CONF); cpu++) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		/* It may be offline. */
		if (sched_setaffinity(0, sizeof(set), &set))
			continue;
		cpus++;
		TH_LOG("CPU %d", cpu);
		attempt_all(_metadata, &self->g, list, ARRAY_SIZE(list), false);
	}
	EXPECT_NE(0, cpus);
}

TEST_F(exits, an_unknown_hypercall_is_enosys)
{
	static const struct instruction vmcall =
		INSN("VMCALL", "\x0f\x01\xc1", GUEST_HALTED, 0x7777, 0);
	struct kvm_regs regs;

	LONG(code_hlt64);
	EXPECT_EQ(GUEST_HALTED, attempt(&self->g, &vmcall, NULL, false));
	OK(KVM_GET_REGS, &regs);
	EXPECT_EQ(-1000ULL, regs.rax);
	guest_to_user(&self->g);
	EXPECT_EQ(0x80, attempt(&self->g, &vmcall, NULL, true));
	OK(KVM_GET_REGS, &regs);
	EXPECT_EQ(-1ULL, regs.rax) TH_LOG("EPERM at CPL 3");
}

TEST_F(exits, a_hypercall_outside_long_mode_has_32_bits)
{
	struct kvm_regs regs;

	START(code_vmcall16);
	OK(KVM_GET_REGS, &regs);
	regs.rax = ~0ULL;
	OK(KVM_SET_REGS, &regs);
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	OK(KVM_GET_REGS, &regs);
	EXPECT_EQ((uint32_t)-1000, regs.rax);
}

TEST_F(exits, what_means_nothing_in_a_vm_does_nothing)
{
	static const struct instruction list[] = {
		INSN("PAUSE", "\xf3\x90", GUEST_HALTED, 0, 0),
		INSN("WBINVD", "\x0f\x09", GUEST_HALTED, 0, 0),
		INSN("INVD", "\x0f\x08", GUEST_HALTED, 0, 0),
		INSN("MONITOR", "\x0f\x01\xc8", GUEST_HALTED, DATA, 0),
		INSN("MWAIT", "\x0f\x01\xc9", GUEST_HALTED, 0, 0),
		INSN("INVLPG", "\x0f\x01\x3b", GUEST_HALTED, 0, 0),
	};

	LONG(code_hlt64);
	attempt_all(_metadata, &self->g, list, ARRAY_SIZE(list), false);
}

TEST_F(exits, what_a_guest_does_not_have_is_an_exception)
{
	static const struct instruction list[] = {
		INSN("RDPMC", "\x0f\x33", 13, 0, 0x1234),
		INSN("RSM", "\x0f\xaa", 6, 0, 0),
		INSN("GETSEC", "\x0f\x37", 6, 0, 0),
		INSN("VMXON", "\xf3\x0f\xc7\x33", 6, 0, 0),
		INSN("VMXOFF", "\x0f\x01\xc4", 6, 0, 0),
		INSN("VMCLEAR", "\x66\x0f\xc7\x33", 6, 0, 0),
		INSN("VMPTRLD", "\x0f\xc7\x33", 6, 0, 0),
		INSN("VMPTRST", "\x0f\xc7\x3b", 6, 0, 0),
		INSN("VMREAD", "\x0f\x78\xc8", 6, 0, 0),
		INSN("VMWRITE", "\x0f\x79\xc8", 6, 0, 0),
		INSN("VMLAUNCH", "\x0f\x01\xc2", 6, 0, 0),
		INSN("VMRESUME", "\x0f\x01\xc3", 6, 0, 0),
		INSN("INVEPT", "\x66\x0f\x38\x80\x03", 6, 0, 0),
		INSN("INVVPID", "\x66\x0f\x38\x81\x03", 6, 0, 0),
		INSN("VMFUNC", "\x0f\x01\xd4", 6, 0, 0),
		INSN("XSETBV", "\x0f\x01\xd1", 6, 1, 0),
		/* There is a CPUID, and these are not in it. */
		INSN("RDTSCP", "\x0f\x01\xf9", 6, 0, 0),
		INSN("INVPCID", "\x66\x0f\x38\x82\x03", 6, 0, 0),
		INSN("RDRAND", "\x0f\xc7\xf0", 6, 0, 0),
		INSN("RDSEED", "\x0f\xc7\xf8", 6, 0, 0),
	};

	LONG(code_hlt64);
	attempt_all(_metadata, &self->g, list, ARRAY_SIZE(list), false);
}

TEST_F(exits, privileged_instructions_fault_at_cpl_3)
{
	static const struct instruction list[] = {
		INSN("HLT", "\xf4", 13, 0, 0),
		INSN("INVD", "\x0f\x08", 13, 0, 0),
		INSN("WBINVD", "\x0f\x09", 13, 0, 0),
		INSN("RDMSR", "\x0f\x32", 13, 0, 0xc0000080),
		INSN("WRMSR", "\x0f\x30", 13, 0, 0xc0000080),
		INSN("RDPMC", "\x0f\x33", 13, 0, 0),
		INSN("XSETBV", "\x0f\x01\xd1", 13, 1, 0),
		INSN("CLTS", "\x0f\x06", 13, 0, 0),
		INSN("LMSW %ax", "\x0f\x01\xf0", 13, 0, 0),
		INSN("MOV %rax, %cr0", "\x0f\x22\xc0", 13, 0, 0),
		INSN("MOV %cr3, %rax", "\x0f\x20\xd8", 13, 0, 0),
		INSN("MOV %rax, %cr4", "\x0f\x22\xe0", 13, 0, 0),
		INSN("MOV %cr8, %rax", "\x44\x0f\x20\xc0", 13, 0, 0),
		INSN("MOV %dr7, %rax", "\x0f\x21\xf8", 13, 0, 0),
		INSN("LGDT (%rbx)", "\x0f\x01\x13", 13, 0, 0),
		INSN("INVLPG (%rbx)", "\x0f\x01\x3b", 13, 0, 0),
		INSN("OUT %al, $0x10", "\xe6\x10", 13, 0, 0),
		INSN("IN $0x10, %al", "\xe4\x10", 13, 0, 0),
		INSN("CPUID", "\x0f\xa2", 0x80, 0, 0),
		INSN("RDTSC", "\x0f\x31", 0x80, 0, 0),
		INSN("PAUSE", "\xf3\x90", 0x80, 0, 0),
	};
	struct kvm_sregs s;

	LONG(code_hlt64);
	if (guest_supported(&self->g, 1, 0, 2) >> 26 & 1) {
		ASSERT_EQ(0, guest_set_supported_cpuid(&self->g));
		OK(KVM_GET_SREGS, &s);
		s.cr4 |= 1 << 18;
		OK(KVM_SET_SREGS, &s);
	}
	guest_to_user(&self->g);
	attempt_all(_metadata, &self->g, list, ARRAY_SIZE(list), true);
}

TEST_F(exits, impossible_control_registers_are_general_protection_faults)
{
	static const struct instruction list[] = {
		INSN("CR0.PG without PE", "\x0f\x22\xc0", 13, 0x80000020, 0),
		INSN("CR0.NW without CD", "\x0f\x22\xc0", 13, 0xa0000021, 0),
		INSN("CR0.PG off in 64-bit code", "\x0f\x22\xc0", 13, 0x21, 0),
		INSN("CR0 beyond 32 bits", "\x0f\x22\xc0", 13, 0x180000021, 0),
		INSN("CR4.PAE off in long mode", "\x0f\x22\xe0", 13, 0x200, 0),
		INSN("CR4 reserved", "\x0f\x22\xe0", 13, 0x80000220, 0),
		INSN("CR4 beyond 32 bits", "\x0f\x22\xe0", 13, 0x100000220, 0),
		INSN("CR4.VMXE without VMX", "\x0f\x22\xe0", 13, 0x2220, 0),
		INSN("CR4.SMXE", "\x0f\x22\xe0", 13, 0x4220, 0),
		INSN("CR4.PCIDE without PCID", "\x0f\x22\xe0", 13, 0x20220, 0),
		INSN("CR4.OSXSAVE without XSAVE", "\x0f\x22\xe0", 13, 0x40220, 0),
		INSN("CR4.SMEP without SMEP", "\x0f\x22\xe0", 13, 0x100220, 0),
		INSN("CR4.SMAP without SMAP", "\x0f\x22\xe0", 13, 0x200220, 0),
		INSN("CR4.FSGSBASE without it", "\x0f\x22\xe0", 13, 0x10220, 0),
		INSN("CR4.LA57 in long mode", "\x0f\x22\xe0", 13, 0x1220, 0),
		INSN("CR3 beyond physical addresses", "\x0f\x22\xd8", 13, 1UL << 62 | 0x10000, 0),
		INSN("CR8 of 16", "\x44\x0f\x22\xc0", 13, 16, 0),
		INSN("CR1", "\x0f\x22\xc8", 6, 0, 0),
		INSN("CR5 read", "\x0f\x20\xe8", 6, 0, 0),
		INSN("CR15", "\x44\x0f\x22\xf8", 6, 0, 0),
	};
	struct kvm_sregs before, after;

	LONG(code_hlt64);
	OK(KVM_GET_SREGS, &before);
	for (unsigned int i = 0; i < ARRAY_SIZE(list); i++) {
		EXPECT_EQ(list[i].vector, attempt(&self->g, &list[i], NULL, false))
		{
			TH_LOG("%s", list[i].name);
		}
		OK(KVM_GET_SREGS, &after);
		EXPECT_EQ(before.cr0, after.cr0)
		{
			TH_LOG("%s", list[i].name);
		}
		EXPECT_EQ(before.cr3, after.cr3);
		EXPECT_EQ(before.cr4, after.cr4);
		EXPECT_EQ(before.cr8, after.cr8);
		OK(KVM_SET_SREGS, &before);
	}
}

TEST_F(exits, possible_control_registers_take_their_values)
{
	static const struct instruction list[] = {
		INSN("CR0, all that goes", "\x0f\x22\xc0", GUEST_HALTED, 0xe005003b, 0),
		INSN("CR0 and no more", "\x0f\x22\xc0", GUEST_HALTED, 0x80000031, 0),
		INSN("CR4, all that goes", "\x0f\x22\xe0", GUEST_HALTED, 0x7ff, 0),
		INSN("CR4 and no more", "\x0f\x22\xe0", GUEST_HALTED, 0x20, 0),
		INSN("CR3 with PWT and PCD", "\x0f\x22\xd8", GUEST_HALTED, 0x10018, 0),
		INSN("CR2", "\x0f\x22\xd0", GUEST_HALTED, 0xffff888012345678, 0),
	};
	struct kvm_sregs good, s;

	LONG(code_hlt64);
	OK(KVM_GET_SREGS, &good);
	for (unsigned int i = 0; i < ARRAY_SIZE(list); i++) {
		uint64_t got;

		EXPECT_EQ(list[i].vector, attempt(&self->g, &list[i], NULL, false))
		{
			TH_LOG("%s", list[i].name);
		}
		OK(KVM_GET_SREGS, &s);
		got = (uint64_t[]){ s.cr0, 0, s.cr2, s.cr3, s.cr4 }[list[i].name[2] - '0'];
		EXPECT_EQ(list[i].rax, got)
		{
			TH_LOG("%s", list[i].name);
		}
		OK(KVM_SET_SREGS, &good);
	}
}

TEST_F(exits, ts_guards_the_fpu_until_clts)
{
	struct guest_trap trap;
	struct kvm_regs regs;

	LONG(code_nm);
	EXPECT_EQ(7, guest_trap(&self->g, &trap));
	guest_skip(&self->g, 2);
	EXPECT_EQ(7, guest_trap(&self->g, &trap)) TH_LOG("LMSW set it again");
	OK(KVM_GET_REGS, &regs);
	EXPECT_EQ(0x80000021, regs.rbx & 0x8000002f);
	EXPECT_EQ(0x8000002b, regs.rcx & 0x8000002f) TH_LOG("LMSW leaves PE alone");
	guest_skip(&self->g, 2);
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, &trap));
}

/* User space has the local APIC, so it has to know of a lower priority. */
TEST_F(exits, cr8_is_shared_with_user_space)
{
	struct kvm_sregs s;
	struct kvm_regs regs;

	LONG(code_cr8);
	self->g.run->cr8 = 3;
	ASSERT_EQ(KVM_EXIT_SET_TPR, guest_run(&self->g));
	EXPECT_EQ(2, self->g.run->cr8);
	ASSERT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	OK(KVM_GET_REGS, &regs);
	EXPECT_EQ(3, regs.rbx);
	EXPECT_EQ(5, regs.rcx);
	EXPECT_EQ(2, regs.rdx);
	OK(KVM_GET_SREGS, &s);
	EXPECT_EQ(2, s.cr8);
}

TEST_F(exits, a_guest_goes_from_real_mode_to_64_bits_and_back)
{
	static const uint64_t gdt[] = { 0, 0x00af9b000000ffff, 0x00cf93000000ffff,
					0x00cf9b000000ffff };
	struct kvm_sregs s;

	START(code_modes);
	guest_set_cpuid(&self->g);
	memcpy(self->g.memory + GUEST_GDT, gdt, sizeof(gdt));
	*(uint16_t *)(self->g.memory + 0x2f00) = sizeof(gdt) - 1;
	*(uint32_t *)(self->g.memory + 0x2f02) = GUEST_GDT;
	*(uint64_t *)(self->g.memory + 0x10000) = 0x11000 | 3;
	*(uint64_t *)(self->g.memory + 0x11000) = 0x12000 | 3;
	*(uint64_t *)(self->g.memory + 0x12000) = 0x83;
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	EXPECT_EQ(1, DATA32(&self->g, 0)) TH_LOG("32 bits");
	EXPECT_EQ(0x100, DATA32(&self->g, 1)) TH_LOG("EFER.LME, not yet LMA");
	EXPECT_EQ(0x500, DATA32(&self->g, 2));
	EXPECT_EQ(0x1122334455667788, *(uint64_t *)(self->g.memory + DATA + 0x10));
	OK(KVM_GET_SREGS, &s);
	EXPECT_EQ(1, s.cs.l);
	EXPECT_EQ(0, s.cs.db);
	EXPECT_EQ(8, s.cs.selector);
	EXPECT_EQ(0x500, s.efer);
	EXPECT_EQ(0x80000001, s.cr0 & 0x80000001);
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	EXPECT_EQ(0x100, DATA32(&self->g, 6)) TH_LOG("LMA goes with paging");
	EXPECT_EQ(2, DATA32(&self->g, 7));
	OK(KVM_GET_SREGS, &s);
	EXPECT_EQ(0, s.efer);
	EXPECT_EQ(1, s.cs.db);
	EXPECT_EQ(1, s.cr0 & 0x80000001);
}

/* 32 bits without paging; a HLT is the handler of #GP. */
static void to_protected_mode(struct guest *g)
{
	struct kvm_segment code = {
		.limit = ~0U, .selector = 8, .type = 11, .present = 1, .s = 1, .db = 1, .g = 1
	};
	struct kvm_segment data = code;
	struct kvm_sregs s;

	guest_set_cpuid(g);
	data.selector = 16;
	data.type = 3;
	*(uint64_t *)(g->memory + GUEST_IDT + 13 * 8) = 0x2000 | 8 << 16 | 0x8eULL << 40;
	g->memory[0x2000] = 0xf4;
	memcpy(g->memory + GUEST_GDT,
	       (uint64_t[]){ 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00008b0060000067,
			     0x0000890060800067 },
	       40);
	ioctl(g->vcpu, KVM_GET_SREGS, &s);
	s.cr0 = 0x21;
	s.cs = code;
	s.ds = data;
	s.es = data;
	s.ss = data;
	s.gdt.base = GUEST_GDT;
	s.gdt.limit = 39;
	s.idt.base = GUEST_IDT;
	s.idt.limit = 14 * 8 - 1;
	s.tr = (struct kvm_segment){
		.base = 0x6000, .limit = 0x67, .selector = 24, .type = 11, .present = 1
	};
	ioctl(g->vcpu, KVM_SET_SREGS, &s);
}

TEST_F(exits, a_guest_enters_pae_and_bad_pdptes_fault)
{
	struct kvm_sregs s;
	struct kvm_regs regs;

	START(code_pae);
	to_protected_mode(&self->g);
	*(uint64_t *)(self->g.memory + 0x14000) = 0x15000 | 1;
	*(uint64_t *)(self->g.memory + 0x14008) = 0x15000 | 1;
	*(uint64_t *)(self->g.memory + 0x15000) = 0x83;
	/* The other table has a reserved bit in its third entry. */
	*(uint64_t *)(self->g.memory + 0x14020) = 0x15000 | 1;
	*(uint64_t *)(self->g.memory + 0x14030) = 0x15000 | 3;
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	EXPECT_EQ(0x5a5a5a5a, DATA32(&self->g, 0));
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	OK(KVM_GET_REGS, &regs);
	EXPECT_EQ(0x2001, regs.rip) TH_LOG("in the handler of #GP");
	OK(KVM_GET_SREGS, &s);
	EXPECT_EQ(0x14000, s.cr3);
}

/* Exit qualification: what caused it, with the selector of the new task. */
#define TASK_SWITCH_JMP (2U << 30)

TEST_F(exits, a_task_switch_is_done_or_reported)
{
	struct kvm_sregs s;
	struct kvm_regs regs, before;
	uint32_t *tss;

	START(code_task_switch);
	to_protected_mode(&self->g);
	/* The second TSS, at 0x6080: a task that halts at 0x2100. */
	tss = (uint32_t *)(self->g.memory + 0x6080);
	tss[8] = 0x2100;
	tss[9] = 2;
	tss[14] = 0x7000;
	for (unsigned int i = 18; i < 24; i++)
		tss[i] = i == 19 ? 8 : 16;
	self->g.memory[0x2100] = 0xf4;
	OK(KVM_GET_REGS, &before);
	for (unsigned int i = 0; i < 16; i++)
		((uint64_t *)&before)[i] += 0x11223300;
	OK(KVM_SET_REGS, &before);
	/* Dragonfly refuses hardware tasks, and says so. */
	if (!guest_on_kvm()) {
		const struct kvm_run *run = self->g.run;

		ASSERT_EQ(KVM_EXIT_INTERNAL_ERROR, guest_run(&self->g));
		EXPECT_EQ(KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON, run->internal.suberror);
		ASSERT_EQ(6, run->internal.ndata);
		EXPECT_EQ(9, run->internal.data[0]) TH_LOG("TASK_SWITCH");
		EXPECT_EQ(TASK_SWITCH_JMP | 32, run->internal.data[1]);
		EXPECT_EQ(GUEST_CODE, run->internal.data[3]);
		EXPECT_EQ(0, run->internal.data[5]) TH_LOG("no event was on its way");
		OK(KVM_GET_REGS, &regs);
		EXPECT_EQ(0, memcmp(&before, &regs, sizeof(regs)));
		OK(KVM_GET_SREGS, &s);
		EXPECT_EQ(24, s.tr.selector) TH_LOG("the old task");
		return;
	}
	ASSERT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	OK(KVM_GET_REGS, &regs);
	EXPECT_EQ(0x2101, regs.rip);
	EXPECT_EQ(0x7000, regs.rsp);
	OK(KVM_GET_SREGS, &s);
	EXPECT_EQ(32, s.tr.selector);
}

/* SDM, "VM-Instruction Error Numbers": VM entry with invalid control fields. */
#define INVALID_CONTROLS 7

static void bad_tr_type(struct kvm_sregs *s)
{
	s->tr.type = 2;
}

static void bad_cs_type(struct kvm_sregs *s)
{
	s->cs.type = 1;
}

static void bad_cs_l_and_db(struct kvm_sregs *s)
{
	s->cs.db = 1;
}

static void bad_ss_dpl(struct kvm_sregs *s)
{
	s->ss.dpl = 3;
}

static void bad_limit(struct kvm_sregs *s)
{
	s->ds.limit = 0xfff00000;
	s->ds.g = 0;
}

static void bad_fs_base(struct kvm_sregs *s)
{
	s->fs.base = 1UL << 63;
}

TEST_F(exits, a_state_that_no_cpu_enters_ends_that_vm_only)
{
	static const struct {
		const char *name;
		void (*spoil)(struct kvm_sregs *s);
	} cases[] = {
		{ "TR of a type that is none", bad_tr_type },
		{ "CS a segment of read-only data", bad_cs_type },
		{ "CS of 64 and 32 bits", bad_cs_l_and_db },
		{ "SS at another level", bad_ss_dpl },
		{ "a limit that its granularity denies", bad_limit },
		{ "a base that is not canonical", bad_fs_base },
	};
	struct kvm_sregs good, bad;
	struct guest other = {};
	int64_t failed;

	LONG(code_hlt64);
	ASSERT_EQ(0, guest_create(&other, code_hlt, GUEST_SIZE(code_hlt)));
	OK(KVM_GET_SREGS, &good);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct kvm_regs regs = { .rip = GUEST_CODE, .rsp = GUEST_STACK, .rflags = 2 };

		bad = good;
		cases[i].spoil(&bad);
		OK(KVM_SET_REGS, &regs);
		/* Who checks earlier may refuse it here. */
		if (VCPU(KVM_SET_SREGS, &bad)) {
			EXPECT_EQ(EINVAL, errno);
			continue;
		}
		failed = guest_stat(self->g.vcpu, "exit_invalid_state");
		for (unsigned int again = 0; again < 2; again++) {
			EXPECT_EQ(KVM_EXIT_FAIL_ENTRY, guest_run(&self->g))
			{
				TH_LOG("%s", cases[i].name);
			}
			EXPECT_EQ(0x80000021,
				  self->g.run->fail_entry.hardware_entry_failure_reason);
		}
		if (!guest_on_kvm())
			EXPECT_EQ(failed + 2, guest_stat(self->g.vcpu, "exit_invalid_state"));
		/* Mended, it runs. */
		OK(KVM_SET_SREGS, &good);
		OK(KVM_SET_REGS, &regs);
		EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
	}
	cases[0].spoil(&bad);
	OK(KVM_SET_SREGS, &bad);
	guest_run(&self->g);
	EXPECT_EQ(KVM_EXIT_HLT, guest_run(&other));
	guest_destroy(&self->g);
	self->g = (struct guest){ .device = -1, .vm = -1, .vcpu = -1 };
	EXPECT_EQ(KVM_EXIT_HLT, guest_run(&other));
	guest_destroy(&other);
}

/* Error codes have 16 bits: the CPU does not even begin with such an entry. */
TEST_F(exits, an_entry_that_the_cpu_refuses_has_its_error_number)
{
	struct kvm_vcpu_events bad, good;
	const struct kvm_run *run;
	struct guest_trap trap;

	LONG(code_hlt64);
	run = self->g.run;
	OK(KVM_GET_VCPU_EVENTS, &good);
	bad = good;
	bad.exception.injected = 1;
	bad.exception.nr = 13;
	bad.exception.has_error_code = 1;
	bad.exception.error_code = 0x10028;
	OK(KVM_SET_VCPU_EVENTS, &bad);
	/* KVM cuts it off. */
	if (guest_on_kvm()) {
		EXPECT_EQ(13, guest_trap(&self->g, &trap));
		EXPECT_EQ(0x28, trap.error);
		return;
	}
	for (unsigned int again = 0; again < 2; again++) {
		ASSERT_EQ(KVM_EXIT_FAIL_ENTRY, guest_run(&self->g));
		EXPECT_EQ(INVALID_CONTROLS, run->fail_entry.hardware_entry_failure_reason);
	}
	OK(KVM_GET_VCPU_EVENTS, &bad);
	EXPECT_EQ(0x10028, bad.exception.error_code);
	OK(KVM_SET_VCPU_EVENTS, &good);
	EXPECT_EQ(GUEST_HALTED, guest_trap(&self->g, NULL));
}

TEST_HARNESS_MAIN
