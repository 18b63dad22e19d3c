// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM's life: what it costs to create and to destroy one, alone and beside many
 * others, and what two things cost in a host with many VMs: an interrupt by an
 * eventfd, and an IPI.
 */
#include <sys/eventfd.h>
#include <x86intrin.h>

#include "client.h"

#define ROUNDS 20
#define WARM_UP 3
#define MEMORY (128UL << 20)
#define WRITES 512
#define CROWD 100 /* VMs at most */

static int device;
static size_t run_size;
static uint8_t *memory; /* for all VMs the same */

void bench_lives_begin(void)
{
	device = guest_device();
	if (device < 0)
		err(1, "%s", bench.device);
	run_size = ioctl(device, KVM_GET_VCPU_MMAP_SIZE, 0);
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED || madvise(memory, MEMORY, MADV_NOHUGEPAGE))
		err(1, "mmap");
	memory[GUEST_CODE] = 0xf4; /* HLT */
}

static void create_vcpu(struct bench_vcpu *vcpu, int vm, unsigned int id)
{
	vcpu->fd = ioctl(vm, KVM_CREATE_VCPU, id);
	if (vcpu->fd < 0)
		err(1, "%s: KVM_CREATE_VCPU", bench.device);
	vcpu->run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED)
		err(1, "%s: mmap of a vCPU", bench.device);
}

void bench_vm_create(struct bench_vm *vm, unsigned int vcpus, bool apic)
{
	vm->fd = ioctl(device, KVM_CREATE_VM, 0);
	if (vm->fd < 0)
		err(1, "%s: KVM_CREATE_VM", bench.device);
	if (apic && apic_enable_cap(vm->fd, KVM_CAP_SPLIT_IRQCHIP, IRQ_PINS))
		err(1, "%s: KVM_CAP_SPLIT_IRQCHIP", bench.device);
	if (guest_memory(vm->fd, 0, 0, 0, MEMORY, memory))
		err(1, "%s: KVM_SET_USER_MEMORY_REGION", bench.device);
	for (vm->vcpus = 0; vm->vcpus < vcpus; vm->vcpus++)
		create_vcpu(&vm->vcpu[vm->vcpus], vm->fd, vm->vcpus);
}

void bench_vm_destroy(struct bench_vm *vm)
{
	while (vm->vcpus--) {
		munmap(vm->vcpu[vm->vcpus].run, run_size);
		close(vm->vcpu[vm->vcpus].fd);
	}
	close(vm->fd);
}

static void measure_life(const char *suffix)
{
	uint64_t create[ROUNDS], destroy[ROUNDS];

	for (int i = -WARM_UP; i < ROUNDS; i++) {
		uint64_t t[3];
		struct bench_vm vm;

		t[0] = __rdtsc();
		bench_vm_create(&vm, 1, false);
		t[1] = __rdtsc();
		bench_vm_destroy(&vm);
		t[2] = __rdtsc();
		if (i >= 0) {
			create[i] = t[1] - t[0];
			destroy[i] = t[2] - t[1];
		}
	}
	bench_report(bench.unit, bench_median(create, ROUNDS), VARIES, "create%s", suffix);
	bench_report(bench.unit, bench_median(destroy, ROUNDS), VARIES, "destroy%s", suffix);
}

void bench_lives(void)
{
	bench_lives_begin();
	measure_life("");
}

/* Writing to an eventfd that is an interrupt of a vCPU, which does not run. */
static void measure_irqfd(unsigned int alive)
{
	uint64_t ticks[WRITES];
	struct irq_vm vm;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	if (irq_create(&vm, 1, true) || irq_route(&vm, 1, IRQ_TO(0), 0x41) || irq_fd(&vm, fd, 1, 0))
		err(1, "%s: cannot make a guest with an irqfd", bench.device);
	for (unsigned int i = 0; i < WRITES; i++) {
		uint64_t start = __rdtsc();

		eventfd_write(fd, 1);
		ticks[i] = __rdtsc() - start;
	}
	bench_report(bench.unit, bench_median(ticks, WRITES), EXACT, "irqfd-of-%u", alive);
	close(fd);
	irq_destroy(&vm);
}

/* Each of the others has an APIC, and an irqfd with a route of its own. */
static void add_other(struct bench_vm *vm, int *fd)
{
	struct irq_vm as = {};

	bench_vm_create(vm, 1, true);
	*fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	as.cpu[0].vm = vm->fd;
	if (irq_route(&as, 1, IRQ_TO(0), 0x41) || irq_fd(&as, *fd, 1, 0))
		err(1, "%s: cannot add an irqfd", bench.device);
}

void bench_crowds(void)
{
	static const unsigned int sizes[] = { 1, 10, 50, 100 }; /* with the one measured */
	static struct bench_vm crowd[CROWD];
	int fds[CROWD];
	unsigned int others = 0;
	char suffix[32];

	bench_lives_begin();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (; others + 1 < sizes[i]; others++)
			add_other(&crowd[others], &fds[others]);
		snprintf(suffix, sizeof(suffix), "-of-%u", sizes[i]);
		measure_life(suffix);
		measure_irqfd(sizes[i]);
		bench_crowd_trips(sizes[i]);
	}
	while (others--) {
		close(fds[others]);
		bench_vm_destroy(&crowd[others]);
	}
}
