// SPDX-License-Identifier: GPL-2.0-only
#include "cpuid.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "dedicated.h"
#include "dragonfly.h"
#include "machine.h"

#define MAX_ENTRIES 256

#define ECX_TSC_DEADLINE (1u << 24)
#define ECX_HYPERVISOR (1u << 31)
#define EDX_HTT (1u << 28)
#define EAX_ARAT (1u << 2)

/* Levels of leaves 0xb and 0x1f, in ECX[15:8]. */
#define LEVEL_THREAD (1u << 8)
#define LEVEL_CORE (2u << 8)

/* Bits of an APIC ID that tell @cpus of them apart. */
static unsigned int id_bits(unsigned int cpus)
{
	return cpus > 1 ? 32 - __builtin_clz(cpus - 1) : 0;
}

static void set_topology_level(struct kvm_cpuid_entry2 *entry, unsigned int id, unsigned int cpus)
{
	entry->eax = 0;
	entry->ebx = 0;
	entry->ecx = entry->index;
	entry->edx = id;
	if (entry->index == 0) {
		entry->ebx = 1;
		entry->ecx |= LEVEL_THREAD;
	} else if (entry->index == 1) {
		entry->eax = id_bits(cpus);
		entry->ebx = cpus;
		entry->ecx |= LEVEL_CORE;
	}
}

/* Caches of level 3 are shared by all, others are a core's own; type 0 ends the list. */
static void set_cache(struct kvm_cpuid_entry2 *entry, unsigned int cpus)
{
	unsigned int level = entry->eax >> 5 & 7, cores = (1u << id_bits(cpus)) - 1;

	if (!(entry->eax & 0x1f))
		return;
	entry->eax &= 0x3fff;
	entry->eax |= (cores & 0x3f) << 26;
	if (level >= 3)
		entry->eax |= cores << 14;
}

static void adapt(struct kvm_cpuid_entry2 *entry, const struct vcpu *vcpu)
{
	unsigned int cpus = vcpu->machine->options->cpus;

	switch (entry->function) {
	case 1:
		entry->ebx &= 0xffff;
		entry->ebx |= vcpu->index << 24 | 1u << (16 + id_bits(cpus));
		entry->ecx |= ECX_HYPERVISOR | ECX_TSC_DEADLINE;
		entry->edx &= ~EDX_HTT;
		if (cpus > 1)
			entry->edx |= EDX_HTT;
		break;
	case 4:
		set_cache(entry, cpus);
		break;
	case 6:
		/* Virtual LAPIC timers never stop. */
		entry->eax |= EAX_ARAT;
		break;
	case 0xb:
	case 0x1f:
		set_topology_level(entry, vcpu->index, cpus);
		break;
	}
}

static unsigned int count(const struct kvm_cpuid2 *cpuid, uint32_t leaf)
{
	unsigned int levels = 0;

	for (unsigned int i = 0; i < cpuid->nent; i++)
		levels += cpuid->entries[i].function == leaf;
	return levels;
}

/* The hypervisor may list fewer levels than there are. */
static void add_topology(struct kvm_cpuid2 *cpuid, const struct vcpu *vcpu, uint32_t leaf)
{
	unsigned int levels = count(cpuid, leaf);

	for (; levels < 3 && cpuid->nent < MAX_ENTRIES; levels++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[cpuid->nent++];

		*entry = (struct kvm_cpuid_entry2){ .function = leaf,
						    .index = levels,
						    .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX };
		adapt(entry, vcpu);
	}
}

int cpuid__set(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *cpuid;
	int err;

	cpuid = calloc(1, sizeof(*cpuid) + MAX_ENTRIES * sizeof(cpuid->entries[0]));
	if (!cpuid)
		return complain("no memory for CPUID");
	cpuid->nent = MAX_ENTRIES;
	err = ioctl(vcpu->machine->kvm, KVM_GET_SUPPORTED_CPUID, cpuid);
	for (unsigned int i = 0; !err && i < cpuid->nent; i++)
		adapt(&cpuid->entries[i], vcpu);
	if (!err) {
		add_topology(cpuid, vcpu, 0xb);
		/* Where there is 0x1f, the guest reads it first. */
		if (count(cpuid, 0x1f))
			add_topology(cpuid, vcpu, 0x1f);
		if (cpuid->nent + DEDICATED_LEAVES <= MAX_ENTRIES)
			cpuid->nent +=
				dedicated__leaves(vcpu->machine, &cpuid->entries[cpuid->nent]);
		err = ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid);
	}
	free(cpuid);
	return err ? complain("cannot set the CPUID of vCPU %u: %s", vcpu->index, strerror(errno)) :
		     0;
}
