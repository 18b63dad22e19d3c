/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guests with a local APIC in the kernel: vCPUs in 64-bit mode that count and log
 * the interrupts they take, and pieces of code to be run on them one at a time.
 *
 * HLT stays in the kernel here, so a piece of code ends with an OUT.
 */
#ifndef SELFTESTS_APIC_H
#define SELFTESTS_APIC_H

#include <linux/dragonfly.h>
#include <sched.h>

#include "guest.h"

#define APIC_BASE 0xfee00000
#define APIC_ID 0x20
#define APIC_LVR 0x30
#define APIC_TASKPRI 0x80
#define APIC_ARBPRI 0x90
#define APIC_PROCPRI 0xa0
#define APIC_EOI 0xb0
#define APIC_LDR 0xd0
#define APIC_DFR 0xe0
#define APIC_SPIV 0xf0
#define APIC_ISR 0x100
#define APIC_TMR 0x180
#define APIC_IRR 0x200
#define APIC_ESR 0x280
#define APIC_LVTCMCI 0x2f0
#define APIC_ICR 0x300
#define APIC_ICR2 0x310
#define APIC_LVTT 0x320
#define APIC_LVTTHMR 0x330
#define APIC_LVTPC 0x340
#define APIC_LVT0 0x350
#define APIC_LVT1 0x360
#define APIC_LVTERR 0x370
#define APIC_TMICT 0x380
#define APIC_TMCCT 0x390
#define APIC_TDCR 0x3e0
#define APIC_SELF_IPI 0x3f0

#define APIC_SPIV_APIC_ENABLED (1 << 8)
#define APIC_LVT_MASKED (1 << 16)
#define APIC_LVT_TIMER_ONESHOT 0
#define APIC_LVT_TIMER_PERIODIC (1 << 17)
#define APIC_LVT_TIMER_TSCDEADLINE (2 << 17)
#define APIC_DM_FIXED 0
#define APIC_DM_LOWEST (1 << 8)
#define APIC_DM_SMI (2 << 8)
#define APIC_DM_REMRD (3 << 8)
#define APIC_DM_NMI (4 << 8)
#define APIC_DM_INIT (5 << 8)
#define APIC_DM_STARTUP (6 << 8)
#define APIC_DEST_LOGICAL (1 << 11)
#define APIC_INT_ASSERT (1 << 14)
#define APIC_INT_LEVELTRIG (1 << 15)
#define APIC_DEST_SELF (1 << 18)
#define APIC_DEST_ALLINC (2 << 18)
#define APIC_DEST_ALLBUT (3 << 18)

/* The MSR of a register in x2APIC mode. */
#define X2APIC_MSR(reg) (0x800 + ((reg) >> 4))

#define MSR_IA32_TSC 0x10
#define MSR_IA32_APICBASE 0x1b
#define MSR_IA32_APICBASE_BSP (1UL << 8)
#define X2APIC_ENABLE (1UL << 10)
#define MSR_IA32_APICBASE_ENABLE (1UL << 11)
#define MSR_IA32_TSC_DEADLINE 0x6e0

#define APIC_CPUS 4 /* as many as a guest here has at most */
#define APIC_NMI 2
#define APIC_SPURIOUS 0xff

/* What a vCPU writes down, at its GS base. */
struct apic_cpu {
	uint64_t count; /* interrupts taken, of all vectors */
	uint64_t tsc; /* when the last one came */
	uint64_t eoi; /* how its handlers end them */
	uint64_t mail; /* for a piece of code's own use */
	uint64_t stop; /* for apic_busy and apic_idle: to their end */
	uint8_t rest[0x100 - 40];
	uint8_t log[256]; /* vectors in the order in which they came */
	uint32_t taken[256];
};

enum apic_eoi { APIC_EOI_NONE, APIC_EOI_X2APIC, APIC_EOI_XAPIC };

#define APIC_CPU(id) (0x100000 + (id)*0x1000UL)

static inline volatile struct apic_cpu *apic_cpu(const struct guest *g, unsigned int id)
{
	return (volatile struct apic_cpu *)(g->memory + APIC_CPU(id));
}

/*
 * Every interrupt's handler, with its vector on the stack. The count goes up by one
 * instruction, for an NMI may come at any other.
 */
GUEST_ASM(apic_handler, 64,
	  "push %rax\n push %rcx\n push %rdx\n mov 24(%rsp), %ecx\n"
	  "rdtsc\n shl $32, %rdx\n or %rdx, %rax\n mov %rax, %gs:8\n"
	  "mov $1, %eax\n xadd %rax, %gs:0\n movzbl %al, %eax\n mov %cl, %gs:0x100(%rax)\n"
	  "incl %gs:0x200(, %rcx, 4)\n"
	  "cmp $2, %ecx\n je 3f\n"
	  "cmpl $1, %gs:16\n jb 3f\n ja 2f\n"
	  "mov $0x80b, %ecx\n xor %eax, %eax\n xor %edx, %edx\n wrmsr\n jmp 3f\n"
	  "2: mov $0xfee000b0, %ecx\n movl $0, (%rcx)\n"
	  "3: pop %rdx\n pop %rcx\n pop %rax\n add $8, %rsp\n iretq");
#define APIC_HANDLER 0x24000

#define APIC_DONE "out %al, $0x10\n"
#define APIC_PORT_DONE 0x10
#define APIC_PORT_TRAP 0x11

/* What can be run: in RCX the MSR or address, in RAX and RDX the value. */
GUEST_ASM(apic_code, 64,
	  "apic_rdmsr: rdmsr\n" APIC_DONE "apic_wrmsr: wrmsr\n" APIC_DONE
	  "apic_load: movl (%rcx), %eax\n" APIC_DONE "apic_load8: movzbl (%rcx), %eax\n" APIC_DONE
	  "apic_store: movl %eax, (%rcx)\n" APIC_DONE "apic_get_cr8: mov %cr8, %rax\n" APIC_DONE
	  "apic_set_cr8: mov %rax, %cr8\n" APIC_DONE "apic_take: sti\n nop\n cli\n" APIC_DONE
	  "apic_halt: sti\n hlt\n cli\n" APIC_DONE "apic_halt_closed: hlt\n" APIC_DONE
	  /* Halts until RAX interrupts have come in all. */
	  "apic_await: cli\n cmp %rax, %gs:0\n jae 1f\n sti\n hlt\n jmp apic_await\n"
	  "1:" APIC_DONE
	  /* The same without halting. */
	  "apic_spin: sti\n 1: pause\n cmp %rax, %gs:0\n jb 1b\n cli\n" APIC_DONE
	  /* Until it is told to stop: takes what comes, and counts its own rounds or halts. */
	  "apic_busy: sti\n 1: incq %gs:24\n cmpq $0, %gs:32\n je 1b\n cli\n" APIC_DONE
	  "apic_idle: cli\n cmpq $0, %gs:32\n jne 1f\n sti\n hlt\n jmp apic_idle\n"
	  "1:" APIC_DONE
	  /* Reads the TSC. */
	  "apic_rdtsc: rdtsc\n shl $32, %rdx\n or %rdx, %rax\n" APIC_DONE
	  "apic_nothing: nop\n" APIC_DONE);
GUEST_LABEL(apic_rdmsr);
GUEST_LABEL(apic_wrmsr);
GUEST_LABEL(apic_load);
GUEST_LABEL(apic_load8);
GUEST_LABEL(apic_store);
GUEST_LABEL(apic_get_cr8);
GUEST_LABEL(apic_set_cr8);
GUEST_LABEL(apic_take);
GUEST_LABEL(apic_halt);
GUEST_LABEL(apic_halt_closed);
GUEST_LABEL(apic_await);
GUEST_LABEL(apic_spin);
GUEST_LABEL(apic_busy);
GUEST_LABEL(apic_idle);
GUEST_LABEL(apic_rdtsc);
GUEST_LABEL(apic_nothing);

/* --- making them ---------------------------------------------------------- */

static inline int apic_enable_cap(int vm, uint32_t cap, uint64_t arg)
{
	struct kvm_enable_cap enable = { .cap = cap, .args = { arg } };

	return ioctl(vm, KVM_ENABLE_CAP, &enable);
}

/* Interrupts to the handler, exceptions to user space. */
static inline void apic_install(struct guest *g)
{
	for (unsigned int vector = 0; vector < 256; vector++) {
		uint32_t at = GUEST_HANDLERS + vector * 16;
		uint8_t *stub = g->memory + at;
		int32_t to_handler = APIC_HANDLER - (int32_t)(at + 10);

		if (vector < 32 && vector != APIC_NMI) {
			/* mov $vector, %al; out %al, $APIC_PORT_TRAP */
			memcpy(stub, (uint8_t[]){ 0xb0, vector, 0xe6, APIC_PORT_TRAP }, 4);
			continue;
		}
		*stub++ = 0x68; /* push $vector */
		memcpy(stub, &vector, 4);
		stub[4] = 0xe9; /* jmp */
		memcpy(stub + 5, &to_handler, 4);
	}
	memcpy(g->memory + APIC_HANDLER, apic_handler, GUEST_SIZE(apic_handler));
	memcpy(g->memory + GUEST_CODE, apic_code, GUEST_SIZE(apic_code));
	/* The page of xAPIC mode, uncached, behind a table of the fourth GiB. */
	*(uint64_t *)(g->memory + 0x11018) = 0x13000 | 3;
	*(uint64_t *)(g->memory + 0x13000 + 0x1f7 * 8) = APIC_BASE | 0x93;
}

/* All that the device supports, and a TSC deadline, for the vCPU with that ID. */
static inline int apic_set_cpuid(struct guest *g, uint32_t id)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[256];
	} cpuid = { .head.nent = 256 };

	if (ioctl(g->device, KVM_GET_SUPPORTED_CPUID, &cpuid))
		return -1;
	for (uint32_t i = 0; i < cpuid.head.nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid.entries[i];

		if (e->function == 1) {
			e->ebx = (e->ebx & 0xffffff) | id << 24;
			e->ecx |= 1 << 21 | 1 << 24;
		} else if (e->function == 0xb) {
			e->edx = id;
		}
	}
	return ioctl(g->vcpu, KVM_SET_CPUID2, &cpuid);
}

static inline uint64_t apic_base(const struct guest *g)
{
	struct kvm_sregs s = {};

	ioctl(g->vcpu, KVM_GET_SREGS, &s);
	return s.apic_base;
}

static inline int apic_set_base(const struct guest *g, uint64_t base)
{
	struct kvm_sregs s;

	if (ioctl(g->vcpu, KVM_GET_SREGS, &s))
		return -1;
	s.apic_base = base;
	return ioctl(g->vcpu, KVM_SET_SREGS, &s);
}

/* A register as KVM_GET_LAPIC shows it. */
static inline uint32_t apic_reg(const struct guest *g, uint32_t reg)
{
	struct kvm_lapic_state lapic = {};
	uint32_t value;

	ioctl(g->vcpu, KVM_GET_LAPIC, &lapic);
	memcpy(&value, lapic.regs + reg, sizeof(value));
	return value;
}

static inline int apic_set_reg(const struct guest *g, uint32_t reg, uint32_t value)
{
	struct kvm_lapic_state lapic;

	if (ioctl(g->vcpu, KVM_GET_LAPIC, &lapic))
		return -1;
	memcpy(lapic.regs + reg, &value, sizeof(value));
	return ioctl(g->vcpu, KVM_SET_LAPIC, &lapic);
}

/* A vector's bit in ISR, TMR or IRR. */
static inline bool apic_bit(const struct guest *g, uint32_t set, unsigned int vector)
{
	return apic_reg(g, set + vector / 32 * 0x10) >> vector % 32 & 1;
}

/* From reset on: 64-bit mode, x2APIC mode or xAPIC mode, enabled by software. */
static inline int apic_prepare(struct guest *g, unsigned int cpu, uint32_t id, bool x2apic)
{
	uint64_t mode = MSR_IA32_APICBASE_ENABLE | (x2apic ? X2APIC_ENABLE : 0);
	struct kvm_sregs s;

	guest_to_long_mode(g);
	guest_catch(g);
	apic_install(g);
	if (apic_set_cpuid(g, id) || ioctl(g->vcpu, KVM_GET_SREGS, &s))
		return -1;
	s.apic_base = APIC_BASE | mode | (s.apic_base & MSR_IA32_APICBASE_BSP);
	s.gs.base = APIC_CPU(cpu);
	apic_cpu(g, cpu)->eoi = x2apic ? APIC_EOI_X2APIC : APIC_EOI_XAPIC;
	if (ioctl(g->vcpu, KVM_SET_SREGS, &s))
		return -1;
	return apic_set_reg(g, APIC_SPIV, APIC_SPIV_APIC_ENABLED | APIC_SPURIOUS);
}

/* A VM with an irqchip, and one of its vCPUs: @cpu is its place in the array @g. */
static inline int apic_create_vm(struct guest *g)
{
	return guest_create_vm(g) ?: apic_enable_cap(g->vm, KVM_CAP_SPLIT_IRQCHIP, 24);
}

static inline int apic_add(struct guest *g, unsigned int cpu, uint32_t id, bool x2apic)
{
	if (cpu)
		g[cpu] = (struct guest){
			.device = g->device,
			.vm = g->vm,
			.run_size = g->run_size,
			.memory = g->memory,
		};
	return guest_create_vcpu(&g[cpu], id) ?: apic_prepare(&g[cpu], cpu, id, x2apic);
}

/* Dragonfly's dedicated vCPUs, whose TSC is the host's. */
static inline int apic_add_dedicated(struct guest *g, unsigned int cpu)
{
	static const uint64_t zero;
	const struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&zero,
	};

	return apic_add(g, cpu, cpu, true) ?: ioctl(g[cpu].vcpu, KVM_SET_DEVICE_ATTR, &attr);
}

/* A VM of them, and the first one here. */
static inline int apic_create_dedicated(struct guest *g)
{
	if (apic_create_vm(g) || apic_enable_cap(g->vm, DRAGONFLY_CAP_DEDICATED, 1))
		return -1;
	return apic_add_dedicated(g, 0);
}

/* This thread on one CPU of the host. */
static inline int apic_pin(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

/* As many as there shall be, with IDs from 0 on: only the first one is runnable. */
static inline int apic_create(struct guest *g, unsigned int cpus, bool x2apic)
{
	int error = apic_create_vm(g);

	for (unsigned int cpu = 0; !error && cpu < cpus; cpu++)
		error = apic_add(g, cpu, cpu, x2apic);
	return error;
}

static inline void apic_destroy(struct guest *g, unsigned int cpus)
{
	for (unsigned int cpu = 1; cpu < cpus; cpu++) {
		if (g[cpu].run && g[cpu].run != MAP_FAILED)
			munmap(g[cpu].run, g[cpu].run_size);
		if (g[cpu].vcpu > 0)
			close(g[cpu].vcpu);
	}
	guest_destroy(&g[0]);
}

/* --- running them --------------------------------------------------------- */

/*
 * Run from where the vCPU is to the end of a piece of code: 0, the exception that it
 * ran into instead, -errno, or 0x100 + the reason of another exit.
 */
static inline int apic_resume(struct guest *g)
{
	int reason = guest_run(g);

	if (reason < 0)
		return reason;
	if (reason == KVM_EXIT_IO && g->run->io.port == APIC_PORT_DONE)
		return 0;
	if (reason == KVM_EXIT_IO && g->run->io.port == APIC_PORT_TRAP)
		return (int)guest_io_data(g);
	return 0x100 + reason;
}

static inline void apic_enter(struct guest *g, unsigned int cpu, uint64_t rip, uint64_t rcx,
			      uint64_t value)
{
	struct kvm_regs regs = {
		.rip = rip,
		.rsp = APIC_CPU(cpu + 1),
		.rflags = 2,
		.rcx = rcx,
		.rax = value,
		.rdx = value >> 32,
	};

	ioctl(g->vcpu, KVM_SET_REGS, &regs);
}

#define APIC_AT(label) GUEST_AT(apic_code, label)

/* One piece of code on the first vCPU. */
static inline int apic_do(struct guest *g, const uint8_t *label, uint64_t rcx, uint64_t value)
{
	apic_enter(g, 0, APIC_AT(label), rcx, value);
	return apic_resume(g);
}

/* What the guest reads, or ~0 for an exception. */
static inline uint64_t apic_get(struct guest *g, const uint8_t *label, uint64_t rcx)
{
	struct kvm_regs regs;

	if (apic_do(g, label, rcx, 0))
		return ~0ULL;
	regs = guest_regs(g);
	return label == apic_rdmsr ? (regs.rdx << 32 | (uint32_t)regs.rax) : regs.rax;
}

/* An MSR: 0 or the exception. */
static inline int rdmsr(struct guest *g, uint32_t msr)
{
	return apic_do(g, apic_rdmsr, msr, 0);
}

static inline int wrmsr(struct guest *g, uint32_t msr, uint64_t value)
{
	return apic_do(g, apic_wrmsr, msr, value);
}

/* A register in x2APIC mode, as the guest reads and writes it. */
static inline uint64_t x2apic_get(struct guest *g, uint32_t reg)
{
	return apic_get(g, apic_rdmsr, X2APIC_MSR(reg));
}

static inline int x2apic_set(struct guest *g, uint32_t reg, uint64_t value)
{
	return wrmsr(g, X2APIC_MSR(reg), value);
}

/* And in xAPIC mode. */
static inline uint32_t xapic_get(struct guest *g, uint32_t reg)
{
	return apic_get(g, apic_load, APIC_BASE + reg);
}

static inline int xapic_set(struct guest *g, uint32_t reg, uint32_t value)
{
	return apic_do(g, apic_store, APIC_BASE + reg, value);
}

/* A message as a device would send it: what KVM_SIGNAL_MSI returns. */
static inline int apic_msi(const struct guest *g, uint32_t destination, uint32_t data)
{
	struct kvm_msi msi = {
		.address_lo = APIC_BASE | (destination & 0xff) << 12,
		.address_hi = destination & ~0xffU,
		.data = data,
	};

	return ioctl(g->vm, KVM_SIGNAL_MSI, &msi);
}

static inline uint32_t apic_mp_state(const struct guest *g)
{
	struct kvm_mp_state state = { .mp_state = ~0U };

	ioctl(g->vcpu, KVM_GET_MP_STATE, &state);
	return state.mp_state;
}

static inline int apic_set_mp_state(const struct guest *g, uint32_t mp_state)
{
	struct kvm_mp_state state = { .mp_state = mp_state };

	return ioctl(g->vcpu, KVM_SET_MP_STATE, &state);
}

/* --- for a fixture whose first vCPU is self->g ---------------------------- */

#define GP 13 /* the exception */

#define CPU0 apic_cpu(&self->g, 0)
#define TAKE() ASSERT_EQ(0, apic_do(&self->g, apic_take, 0, 0))
#define MSI(data) EXPECT_EQ(1, apic_msi(&self->g, 0, data))
#define VM_REFUSED(error, call)                              \
	do {                                                 \
		errno = 0;                                   \
		EXPECT_EQ(-1, call);                         \
		EXPECT_EQ(error, errno) TH_LOG("%s", #call); \
	} while (0)

#endif
