// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guests that wait for events: making and running them.
 */
#include "events.h"

#include <linux/dragonfly_para.h>
#include <sys/eventfd.h>
#include <x86intrin.h>

/* A program's place in guest memory: one for each vCPU. */
static uint64_t code_of(unsigned int cpu)
{
	return IRQ_CODE + cpu * 0x1000UL;
}

static int install(struct irq_vm *vm)
{
	uint8_t *memory = vm->cpu[0].memory, *stub;
	int32_t to_handler = EVENT_HANDLER - (GUEST_HANDLERS + EVENT_VECTOR * 16 + 5);

	memcpy(memory + EVENT_HANDLER, event_handler, GUEST_SIZE(event_handler));
	stub = memory + GUEST_HANDLERS + EVENT_VECTOR * 16;
	*stub++ = 0xe9; /* jmp */
	memcpy(stub, &to_handler, sizeof(to_handler));
	((uint64_t *)(memory + 0x12000))[EVENT_KICK >> 21] = EVENT_KICK | 0x93;
	/* All of it is there already, so that no sample has a page fault of the host's. */
	memset(memory + EVENT_SAMPLES, 0, (2UL << 20) - EVENT_SAMPLES);
	return apic_set_reg(&vm->cpu[0], APIC_LVTT, APIC_LVT_TIMER_TSCDEADLINE | EVENT_VECTOR);
}

int events_create(struct irq_vm *vm, unsigned int cpus)
{
	return irq_create(vm, cpus, true) ?: install(vm);
}

/* The guest's own posted interrupts, its timer's by the MSR; one at a time. */
static struct dragonfly_area *area = MAP_FAILED;

static int map_area(struct irq_vm *vm)
{
	const size_t size = sizeof(*area);
	int fd = vm->cpu[0].vm;

	if (apic_enable_cap(fd, DRAGONFLY_CAP_EXITLESS, DRAGONFLY_EXITLESS_TIMER))
		return -1;
	area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (area == MAP_FAILED)
		return -1;
	((uint64_t *)(vm->cpu[0].memory + 0x12000))[EVENT_AREA >> 21] = EVENT_AREA | 0x83;
	return guest_memory(fd, 2, 0, EVENT_AREA, size, area);
}

int events_create_alone(struct irq_vm *vm)
{
	const uint64_t exits = KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE;
	int fd, error;

	*vm = (struct irq_vm){ .cpus = 1 };
	if (apic_create_vm(&vm->cpu[0]))
		return -1;
	fd = vm->cpu[0].vm;
	if (ioctl(fd, KVM_CHECK_EXTENSION, DRAGONFLY_CAP_DEDICATED) > 0) {
		error = apic_enable_cap(fd, DRAGONFLY_CAP_DEDICATED, 1) ?: map_area(vm);
		error = error ?: apic_add_dedicated(vm->cpu, 0);
	} else {
		error = apic_enable_cap(fd, KVM_CAP_X86_DISABLE_EXITS, exits);
		error = error ?: apic_add(vm->cpu, 0, 0, true);
	}
	return error ?: install(vm);
}

/* Whoever maps its area has the VM, and the VM its CPU. */
void events_destroy_alone(struct irq_vm *vm)
{
	irq_destroy(vm);
	if (area != MAP_FAILED)
		munmap(area, sizeof(*area));
	area = MAP_FAILED;
}

void events_load(struct irq_vm *vm, unsigned int cpu, const uint8_t *code, const uint8_t *end,
		 uint64_t r10, uint64_t r11, unsigned int events)
{
	struct kvm_regs regs = {
		.rip = code_of(cpu),
		.rsp = APIC_CPU(cpu + 1),
		.rflags = 2,
		.rdi = cpu ? EVENT_SAMPLES_1 : EVENT_SAMPLES,
		.r9 = events,
		.r10 = r10,
		.r11 = r11,
	};

	irq_cpu(vm, cpu)->count = 0;
	irq_cpu(vm, cpu)->stop = 0;
	memcpy(vm->cpu[0].memory + code_of(cpu), code, end - code);
	if (ioctl(vm->cpu[cpu].vcpu, KVM_SET_REGS, &regs))
		err(1, "%s: KVM_SET_REGS", bench.device);
}

void events_run(struct irq_vm *vm, unsigned int cpu)
{
	int reason = irq_go_on(vm, cpu);

	if (reason)
		errx(1, "%s: a guest that waits for events stopped with %d", bench.device, reason);
}

struct thread {
	struct irq_vm *vm;
	unsigned int cpu;
	int on;
};

static void *run(void *argument)
{
	struct thread thread = *(struct thread *)argument;

	free(argument);
	events_pin(thread.on);
	events_run(thread.vm, thread.cpu);
	return NULL;
}

pthread_t events_spawn(struct irq_vm *vm, unsigned int cpu, int on)
{
	struct thread *thread = malloc(sizeof(*thread));
	pthread_t id;

	*thread = (struct thread){ vm, cpu, on };
	if (pthread_create(&id, NULL, run, thread))
		errx(1, "there is no thread for a vCPU");
	return id;
}

void events_call(struct irq_vm *vm, int call, int64_t offset)
{
	volatile struct apic_cpu *cpu = irq_cpu(vm, 0);

	for (unsigned int i = 0; i < bench.events; i++) {
		cpu->mail = __rdtsc() + offset;
		eventfd_write(call, 1);
		while (cpu->count <= i)
			_mm_pause();
	}
}

void events_pin(int on)
{
	cpu_set_t set;

	if (on < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(on, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		err(1, "CPU %d", on);
}

int64_t events_tsc_offset(const struct irq_vm *vm, unsigned int cpu)
{
	int64_t offset;
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&offset,
	};

	if (ioctl(vm->cpu[cpu].vcpu, KVM_GET_DEVICE_ATTR, &attr))
		err(1, "%s: KVM_VCPU_TSC_OFFSET", bench.device);
	return offset;
}
