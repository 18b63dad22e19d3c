// SPDX-License-Identifier: GPL-2.0-only
#include "dedicated.h"

#include <errno.h>
#include <linux/dragonfly.h>
#include <linux/dragonfly_para.h>
#include <linux/kvm.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "dragonfly.h"
#include "machine.h"

#define AREA_SIZE sizeof(struct dragonfly_area)

static bool has(const struct machine *machine, unsigned long cap)
{
	return ioctl(machine->vm, KVM_CHECK_EXTENSION, cap) > 0;
}

static int enable(struct machine *machine, uint32_t cap, uint64_t flags, uint64_t cpu)
{
	struct kvm_enable_cap enable = { .cap = cap, .args = { flags, cpu } };

	return machine__ioctl(machine, KVM_ENABLE_CAP, &enable);
}

/* In the guest, behind the memory's own slots. */
static int show_area(struct machine *machine)
{
	struct kvm_userspace_memory_region region = {
		.slot = MEMORY_MAX_PIECES,
		.guest_phys_addr = EXITLESS_AREA,
		.memory_size = AREA_SIZE,
	};
	void *area;

	area = mmap(NULL, AREA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, machine->vm, 0);
	if (area == MAP_FAILED)
		return complain("the guest's area is not mapped: %s", strerror(errno));
	machine->area = area;
	region.userspace_addr = (uintptr_t)area;
	if (machine__ioctl(machine, KVM_SET_USER_MEMORY_REGION, &region))
		return complain("the guest's area is not taken: %s", strerror(errno));
	return 0;
}

/* It is for those who may run there: where isolcpus has it, that has to be asked for. */
static int enable_notifier(struct machine *machine, int cpu)
{
	cpu_set_t before, there;
	int err = 0;

	CPU_ZERO(&there);
	CPU_SET(cpu, &there);
	if (sched_getaffinity(0, sizeof(before), &before) ||
	    sched_setaffinity(0, sizeof(there), &there))
		return complain("CPU %d is no notifier: it is not online, or not yours", cpu);
	if (enable(machine, DRAGONFLY_CAP_EXITLESS,
		   DRAGONFLY_EXITLESS_TIMER | DRAGONFLY_EXITLESS_IPI, cpu))
		err = errno;
	sched_setaffinity(0, sizeof(before), &before);
	if (err)
		return complain("CPU %d is no notifier: %s", cpu,
				err == EBUSY ? "it belongs to a VM" : strerror(err));
	return 0;
}

static int enable_exitless(struct machine *machine)
{
	int cpu = machine->options->notifier;

	if (cpu >= 0 && enable_notifier(machine, cpu))
		return -1;
	if (cpu < 0 && enable(machine, DRAGONFLY_CAP_EXITLESS, DRAGONFLY_EXITLESS_TIMER, 0))
		return complain("the guest can have no area: %s", strerror(errno));
	return show_area(machine);
}

/* KVM has a part of it, and leaves it to its user who runs where. */
int dedicated__enable(struct machine *machine)
{
	const uint64_t exits = KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE;
	const struct options *options = machine->options;

	if (!options->dedicated)
		return 0;
	if (has(machine, DRAGONFLY_CAP_DEDICATED) ?
		    enable(machine, DRAGONFLY_CAP_DEDICATED, 1, 0) :
		    enable(machine, KVM_CAP_X86_DISABLE_EXITS, exits, 0))
		return complain("%s has no dedicated vCPUs: %s", options->device, strerror(errno));
	if (has(machine, DRAGONFLY_CAP_EXITLESS))
		return enable_exitless(machine);
	if (options->notifier >= 0)
		return complain("%s has no notifiers: leave out --notifier-cpu", options->device);
	return 0;
}

unsigned int dedicated__leaves(const struct machine *machine, struct kvm_cpuid_entry2 *entries)
{
	uint32_t name[3];

	if (!machine->area)
		return 0;
	memcpy(name, DRAGONFLY_SIGNATURE, sizeof(name));
	entries[0] = (struct kvm_cpuid_entry2){
		.function = DRAGONFLY_CPUID_SIGNATURE,
		.eax = DRAGONFLY_CPUID_FEATURES,
		.ebx = name[0],
		.ecx = name[1],
		.edx = name[2],
	};
	entries[1] = (struct kvm_cpuid_entry2){
		.function = DRAGONFLY_CPUID_FEATURES,
		.eax = DRAGONFLY_FEATURE_TIMER,
		.ecx = (uint32_t)EXITLESS_AREA,
	};
	if (machine->options->notifier >= 0)
		entries[1].eax |= DRAGONFLY_FEATURE_IPI;
	return DEDICATED_LEAVES;
}

void dedicated__destroy(struct machine *machine)
{
	if (machine->area)
		munmap(machine->area, AREA_SIZE);
}
