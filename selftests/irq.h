/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM of several vCPUs in 64-bit mode, whose LAPICs are in the kernel and whose
 * IOAPIC is user space's: for tests of interrupts. Each vCPU counts what comes.
 */
#ifndef SELFTESTS_IRQ_H
#define SELFTESTS_IRQ_H

#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>

#include "guest.h"

#define IRQ_CPUS 4
#define IRQ_PINS 24 /* of user space's IOAPIC */
#define IRQ_PORT 0x10 /* where a guest says that it is done */
#define IRQ_STOP 0xfe /* a vector that is no test's */

#define IRQ_APIC_PD 0x13000
#define IRQ_IDT 0x20000
#define IRQ_STUBS 0x22000
#define IRQ_CODE 0x24000

struct irq_vm {
	struct guest cpu[IRQ_CPUS]; /* all with the VM and the memory of the first */
	unsigned int cpus;
};

/* What a vCPU has for itself, at GS; its stack ends where the next one's begins. */
struct irq_block {
	uint64_t counts[256]; /* of the interrupts taken, by vector */
	uint64_t last; /* vector */
	uint64_t spins; /* of irq_spin */
	uint32_t eoi; /* how a handler ends: 0 not at all, 1 x2APIC, 2 xAPIC */
	uint32_t stop; /* irq_spin and irq_idle end */
	uint8_t stack[0x2000 - 0x818];
};

#define IRQ_BLOCK(n) (0x40000UL + (n) * sizeof(struct irq_block))

/* Every vector's stub pushes the vector. NMIs and exceptions are not the LAPIC's to end. */
GUEST_ASM(irq_code, 64,
	  "push %rax\n push %rcx\n push %rdx\n mov 24(%rsp), %rcx\n"
	  "lock incq %gs:(,%rcx,8)\n mov %rcx, %gs:0x800\n cmp $32, %ecx\n jb 2f\n"
	  "mov %gs:0x810, %eax\n test %eax, %eax\n jz 2f\n dec %eax\n jnz 1f\n"
	  "mov $0x80b, %ecx\n xor %edx, %edx\n wrmsr\n jmp 2f\n"
	  "1: mov $0xfee000b0, %ecx\n movl $0, (%rcx)\n"
	  "2: pop %rdx\n pop %rcx\n pop %rax\n add $8, %rsp\n iretq\n"
	  /* A LAPIC switched on by its spurious vector's register; RAX says its flat logical ID. */
	  "irq_x2apic: mov $0x1b, %ecx\n rdmsr\n or $0xc00, %eax\n wrmsr\n"
	  "mov $0x80f, %ecx\n mov $0x1ff, %eax\n xor %edx, %edx\n wrmsr\n out %al, $0x10\n"
	  "irq_xapic: mov $0xfee000d0, %ecx\n mov %eax, (%rcx)\n"
	  "mov $0xfee000f0, %ecx\n movl $0x1ff, (%rcx)\n out %al, $0x10\n"
	  /* Takes what waits. */
	  "irq_take: sti\n nop\n nop\n nop\n cli\n out %al, $0x10\n"
	  "irq_spin: sti\n 1: incq %gs:0x808\n cmpl $0, %gs:0x814\n je 1b\n cli\n out %al, $0x10\n"
	  "irq_idle: cli\n cmpl $0, %gs:0x814\n jne 1f\n sti\n hlt\n jmp irq_idle\n"
	  "1: out %al, $0x10\n"
	  /* Ends an interrupt that its handler has not ended. */
	  "irq_end: cmpl $2, %gs:0x810\n je 1f\n mov $0x80b, %ecx\n xor %eax, %eax\n"
	  "xor %edx, %edx\n wrmsr\n out %al, $0x10\n"
	  "1: mov $0xfee000b0, %ecx\n movl $0, (%rcx)\n out %al, $0x10");
GUEST_LABEL(irq_x2apic);
GUEST_LABEL(irq_xapic);
GUEST_LABEL(irq_take);
GUEST_LABEL(irq_spin);
GUEST_LABEL(irq_idle);
GUEST_LABEL(irq_end);

static inline struct irq_block *irq_block(struct irq_vm *vm, unsigned int n)
{
	return (struct irq_block *)(vm->cpu[0].memory + IRQ_BLOCK(n));
}

/* How often vCPU @n has taken @vector. */
static inline uint64_t irq_count(struct irq_vm *vm, unsigned int n, unsigned int vector)
{
	return __atomic_load_n(&irq_block(vm, n)->counts[vector], __ATOMIC_ACQUIRE);
}

/* vCPU @n is to run from @rip on. */
static inline void irq_start_at(struct irq_vm *vm, unsigned int n, uint64_t rip)
{
	struct kvm_regs regs = {
		.rax = 1U << (24 + n), .rip = rip, .rsp = IRQ_BLOCK(n + 1), .rflags = 2
	};

	ioctl(vm->cpu[n].vcpu, KVM_SET_REGS, &regs);
}

static inline void irq_start(struct irq_vm *vm, unsigned int n, const uint8_t *label)
{
	irq_start_at(vm, n, IRQ_CODE + (label - irq_code));
}

/* As far as the guest's own OUT: 0, or what came instead. */
static inline int irq_go_on(struct irq_vm *vm, unsigned int n)
{
	int reason = guest_run(&vm->cpu[n]);

	return reason == KVM_EXIT_IO && vm->cpu[n].run->io.port == IRQ_PORT ? 0 : reason;
}

static inline int irq_run(struct irq_vm *vm, unsigned int n, const uint8_t *label)
{
	irq_start(vm, n, label);
	return irq_go_on(vm, n);
}

/* Lets each vCPU take what waits for it; false if one did not come that far. */
static inline bool irq_take_all(struct irq_vm *vm)
{
	for (unsigned int n = 0; n < vm->cpus; n++)
		if (irq_run(vm, n, irq_take))
			return false;
	return true;
}

static inline void irq_write_tables(struct guest *g)
{
	for (unsigned int vector = 0; vector < 256; vector++) {
		uint64_t *gate = (uint64_t *)(g->memory + IRQ_IDT + vector * 16);
		uint8_t *stub = g->memory + IRQ_STUBS + vector * 16;
		uint64_t at = IRQ_STUBS + vector * 16;
		uint32_t jump = IRQ_CODE - (at + 10);

		stub[0] = 0x68; /* push $vector */
		memcpy(stub + 1, &vector, 4);
		stub[5] = 0xe9; /* jmp irq_code */
		memcpy(stub + 6, &jump, 4);
		gate[0] = (at & 0xffff) | 8 << 16 | 0x8eULL << 40 | (at >> 16) << 48;
	}
	memcpy(g->memory + IRQ_CODE, irq_code, GUEST_SIZE(irq_code));
	/* Of GUEST_GDT's segments only the code's is ever loaded, by IRET and by a gate. */
	*(uint64_t *)(g->memory + GUEST_GDT + 8) = 0x00af9b000000ffff;
	*(uint64_t *)(g->memory + GUEST_GDT + 16) = 0x00cf93000000ffff;
	/* The xAPIC's page. */
	*(uint64_t *)(g->memory + 0x11000 + 3 * 8) = IRQ_APIC_PD | 3;
	*(uint64_t *)(g->memory + IRQ_APIC_PD + 0x1f7 * 8) = 0xfee00000 | 0x93;
}

/* 64-bit mode with interrupts, and all that the device supports. */
static inline int irq_set_up_vcpu(struct guest *g, unsigned int n)
{
	struct kvm_mp_state running = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct kvm_sregs s;

	guest_to_long_mode(g);
	irq_write_tables(g);
	if (guest_set_supported_cpuid(g) || ioctl(g->vcpu, KVM_GET_SREGS, &s))
		return -1;
	s.idt.base = IRQ_IDT;
	s.idt.limit = 256 * 16 - 1;
	s.gdt.base = GUEST_GDT;
	s.gdt.limit = 3 * 8 - 1;
	s.gs.base = IRQ_BLOCK(n);
	return ioctl(g->vcpu, KVM_SET_SREGS, &s) ?:
		       n			 ? ioctl(g->vcpu, KVM_SET_MP_STATE, &running) :
						   0;
}

static inline int irq_split(int vm, uint64_t pins)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { pins } };

	return ioctl(vm, KVM_ENABLE_CAP, &cap);
}

/* @cpus vCPUs, their LAPICs switched on, that are about to take interrupts. -1 if not. */
static inline int irq_create(struct irq_vm *vm, unsigned int cpus, bool x2apic)
{
	*vm = (struct irq_vm){};
	if (guest_create_vm(&vm->cpu[0]) || irq_split(vm->cpu[0].vm, IRQ_PINS))
		return -1;
	for (unsigned int n = 0; n < cpus; n++) {
		vm->cpu[n] = vm->cpu[0];
		vm->cpus = n + 1;
		if (guest_create_vcpu(&vm->cpu[n], n) || irq_set_up_vcpu(&vm->cpu[n], n) ||
		    irq_run(vm, n, x2apic ? irq_x2apic : irq_xapic))
			return -1;
		irq_block(vm, n)->eoi = x2apic ? 1 : 2;
		irq_start(vm, n, irq_take);
	}
	return 0;
}

static inline void irq_destroy(struct irq_vm *vm)
{
	for (unsigned int n = vm->cpus; n-- > 1;) {
		munmap(vm->cpu[n].run, vm->cpu[n].run_size);
		close(vm->cpu[n].vcpu);
	}
	guest_destroy(&vm->cpu[0]);
}

/* --- messages, routes, eventfds ------------------------------------------- */

/* A message for a vCPU's physical ID; beyond the vector are delivery mode and level. */
#define IRQ_TO(id) (0xfee00000 | (uint32_t)(id) << 12)
#define IRQ_LOGICAL 4
#define IRQ_LOWEST_PRIORITY 0x100
#define IRQ_NMI 0x400
#define IRQ_INIT 0x500
#define IRQ_LEVEL 0xc000 /* and asserted */

static inline int irq_signal(struct irq_vm *vm, uint32_t address, uint32_t data)
{
	struct kvm_msi msi = { .address_lo = address, .data = data };

	return ioctl(vm->cpu[0].vm, KVM_SIGNAL_MSI, &msi);
}

static inline int irq_fd(struct irq_vm *vm, int fd, uint32_t gsi, uint32_t flags)
{
	struct kvm_irqfd irqfd = { .fd = fd, .gsi = gsi, .flags = flags };

	return ioctl(vm->cpu[0].vm, KVM_IRQFD, &irqfd);
}

struct irq_routes {
	struct kvm_irq_routing head;
	struct kvm_irq_routing_entry entries[8];
};

static inline struct kvm_irq_routing_entry irq_msi(uint32_t gsi, uint32_t address, uint32_t data)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = address, .data = data },
	};
}

/* The only route from now on. */
static inline int irq_route(struct irq_vm *vm, uint32_t gsi, uint32_t address, uint32_t data)
{
	struct irq_routes r = { .head.nr = 1, .entries = { irq_msi(gsi, address, data) } };

	return ioctl(vm->cpu[0].vm, KVM_SET_GSI_ROUTING, &r);
}

/* --- vCPUs that run by themselves ----------------------------------------- */

static inline void *irq_thread(void *cpu)
{
	return (void *)(intptr_t)guest_run(cpu);
}

static inline int irq_spawn(struct irq_vm *vm, unsigned int n, const uint8_t *label,
			    pthread_t *thread)
{
	irq_block(vm, n)->stop = 0;
	irq_start(vm, n, label);
	return pthread_create(thread, NULL, irq_thread, &vm->cpu[n]);
}

/* With a last interrupt, for one that is halted. What its KVM_RUN returned. */
static inline int irq_join(struct irq_vm *vm, unsigned int n, pthread_t thread)
{
	void *reason;

	__atomic_store_n(&irq_block(vm, n)->stop, 1, __ATOMIC_RELEASE);
	irq_signal(vm, IRQ_TO(n), IRQ_STOP);
	pthread_join(thread, &reason);
	return (intptr_t)reason;
}

static inline void irq_await(struct irq_vm *vm, unsigned int n, unsigned int vector, uint64_t count)
{
	while (irq_count(vm, n, vector) < count)
		sched_yield();
}

#endif
