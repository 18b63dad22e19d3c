/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM of several vCPUs with local APICs, and what interrupts it from outside:
 * messages, routes, eventfds.
 */
#ifndef SELFTESTS_IRQ_H
#define SELFTESTS_IRQ_H

#include <pthread.h>
#include <sched.h>

#include "apic.h"

#define IRQ_PINS 24 /* of user space's IOAPIC */
#define IRQ_STOP 0xfe /* a vector that is no test's */

struct irq_vm {
	struct guest cpu[APIC_CPUS]; /* all with the VM and the memory of the first */
	unsigned int cpus;
};

static inline volatile struct apic_cpu *irq_cpu(const struct irq_vm *vm, unsigned int n)
{
	return apic_cpu(&vm->cpu[0], n);
}

/* How often vCPU @n has taken @vector. */
static inline uint32_t irq_count(const struct irq_vm *vm, unsigned int n, unsigned int vector)
{
	return irq_cpu(vm, n)->taken[vector];
}

/* A test's own code, beside that of all. */
#define IRQ_CODE 0x30000
#define IRQ_AT(name, label) ((uint64_t)(IRQ_CODE + ((label) - (name))))

static inline void irq_load(struct irq_vm *vm, const void *code, size_t size)
{
	memcpy(vm->cpu[0].memory + IRQ_CODE, code, size);
}

/* --- making them ---------------------------------------------------------- */

/* One more, which in xAPIC mode has a flat logical ID of its own, and is runnable. */
static inline int irq_add(struct irq_vm *vm, uint32_t id, bool x2apic)
{
	unsigned int n = vm->cpus++;

	return apic_add(vm->cpu, n, id, x2apic) ?:
		       !x2apic && apic_set_reg(&vm->cpu[n], APIC_LDR, 1U << (24 + n)) ?
		       -1 :
		       apic_set_mp_state(&vm->cpu[n], KVM_MP_STATE_RUNNABLE);
}

static inline int irq_create(struct irq_vm *vm, unsigned int cpus, bool x2apic)
{
	int error;

	*vm = (struct irq_vm){};
	error = apic_create_vm(&vm->cpu[0]);
	for (unsigned int n = 0; !error && n < cpus; n++)
		error = irq_add(vm, n, x2apic);
	return error;
}

static inline void irq_destroy(struct irq_vm *vm)
{
	apic_destroy(vm->cpu, vm->cpus);
}

/* --- running them --------------------------------------------------------- */

/* One of the pieces of apic.h. */
static inline void irq_start(struct irq_vm *vm, unsigned int n, const uint8_t *label)
{
	apic_enter(&vm->cpu[n], n, APIC_AT(label), 0, 0);
}

/* To its end: 0, or what came instead. */
static inline int irq_go_on(struct irq_vm *vm, unsigned int n)
{
	int reason = guest_run(&vm->cpu[n]);

	return reason == KVM_EXIT_IO && vm->cpu[n].run->io.port == APIC_PORT_DONE ? 0 : reason;
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
		if (irq_run(vm, n, apic_take))
			return false;
	return true;
}

/* --- what comes from outside ---------------------------------------------- */

/* A message's address for the vCPU with that ID. */
#define IRQ_TO(id) (APIC_BASE | (uint32_t)(id) << 12)
#define IRQ_LOGICAL 4
#define IRQ_LEVEL (APIC_INT_LEVELTRIG | APIC_INT_ASSERT)

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

/* apic_busy or apic_idle, up to irq_join(). */
static inline int irq_spawn(struct irq_vm *vm, unsigned int n, const uint8_t *label,
			    pthread_t *thread)
{
	irq_cpu(vm, n)->stop = 0;
	irq_start(vm, n, label);
	return pthread_create(thread, NULL, irq_thread, &vm->cpu[n]);
}

/* With a last interrupt, for one that is halted. What its KVM_RUN returned. */
static inline int irq_join(struct irq_vm *vm, unsigned int n, pthread_t thread)
{
	void *reason;

	irq_cpu(vm, n)->stop = 1;
	irq_signal(vm, IRQ_TO(n), IRQ_STOP);
	pthread_join(thread, &reason);
	return (intptr_t)reason;
}

static inline void irq_await(struct irq_vm *vm, unsigned int n, unsigned int vector, uint32_t count)
{
	while (irq_count(vm, n, vector) < count)
		sched_yield();
}

#endif
