/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Queues of a VM, and guest code that kicks them.
 */
#ifndef SELFTESTS_QUEUE_H
#define SELFTESTS_QUEUE_H

#include <linux/dragonfly.h>
#include <sys/eventfd.h>

#include "irq.h"

#define QUEUE_PAGE 0x1000
#define QUEUE_GPA 0x10000000UL /* no memory; 4 MiB of it are mapped for the guest at */
#define QUEUE_GVA 0x200000UL
#define QUEUE_MAX 1024

/* Stores RAX at RDI, RCX times. */
GUEST_ASM(queue_code, 64,
	  "queue_kick2: mov %ax, (%rdi)\n loop queue_kick2\n out %al, $0x10\n"
	  "queue_kick4: mov %eax, (%rdi)\n loop queue_kick4\n out %al, $0x10\n"
	  /* Once at each of RCX pages. */
	  "queue_sweep: mov %ax, (%rdi)\n add $0x1000, %rdi\n loop queue_sweep\n out %al, $0x10\n"
	  /* Until it is told to stop. */
	  "queue_busy: sti\n 1: mov %ax, (%rdi)\n incq %gs:24\n cmpq $0, %gs:32\n je 1b\n"
	  "cli\n out %al, $0x10\n"
	  /* Kicks, and halts until the interrupt that answers it has come; RCX times. */
	  "queue_ask: xor %ebx, %ebx\n"
	  "1: mov %ax, (%rdi)\n inc %rbx\n"
	  "2: cli\n cmp %rbx, %gs:0\n jae 3f\n sti\n hlt\n jmp 2b\n"
	  "3: loop 1b\n out %al, $0x10");
GUEST_LABEL(queue_kick2);
GUEST_LABEL(queue_kick4);
GUEST_LABEL(queue_sweep);
GUEST_LABEL(queue_busy);
GUEST_LABEL(queue_ask);

/* To be called once for a VM. */
static inline void queue_prepare(struct irq_vm *vm)
{
	uint64_t *leaves = (uint64_t *)(vm->cpu[0].memory + 0x12008);

	irq_load(vm, queue_code, GUEST_SIZE(queue_code));
	leaves[0] = QUEUE_GPA | 0x93;
	leaves[1] = (QUEUE_GPA + 0x200000) | 0x93;
}

static inline void queue_enter(struct irq_vm *vm, unsigned int n, const uint8_t *label,
			       uint64_t gpa, uint64_t count)
{
	struct kvm_regs regs;

	irq_cpu(vm, n)->stop = 0;
	apic_enter(&vm->cpu[n], n, IRQ_AT(queue_code, label), count, 0);
	regs = guest_regs(&vm->cpu[n]);
	regs.rdi = gpa - QUEUE_GPA + QUEUE_GVA;
	ioctl(vm->cpu[n].vcpu, KVM_SET_REGS, &regs);
}

/* To its end: 0, or what came instead. */
static inline int queue_run(struct irq_vm *vm, const uint8_t *label, uint64_t gpa, uint64_t count)
{
	queue_enter(vm, 0, label, gpa, count);
	return irq_go_on(vm, 0);
}

/* Without eventfds, unless they are named: what the compiler would warn of. */
#pragma GCC diagnostic ignored "-Woverride-init"
#define QUEUE(...) ((struct dragonfly_queue){ .kick_fd = -1, .call_fd = -1, __VA_ARGS__ })

static inline int queue_assign(const struct irq_vm *vm, struct dragonfly_queue queue)
{
	return ioctl(vm->cpu[0].vm, DRAGONFLY_QUEUE_ASSIGN, &queue);
}

static inline int queue_set_msi(int queue, uint32_t address, uint32_t data, uint32_t flags)
{
	struct dragonfly_msi msi = { .address_lo = address, .data = data, .flags = flags };

	return ioctl(queue, DRAGONFLY_QUEUE_SET_MSI, &msi);
}

/* How often an eventfd was signalled since. */
static inline uint64_t queue_signals(int fd)
{
	eventfd_t value;

	return eventfd_read(fd, &value) ? 0 : value;
}

/* How many there are in the host. */
static inline long queue_all(void)
{
	return guest_figure("/sys/kernel/debug/dragonfly/resources", "queues");
}

#endif
