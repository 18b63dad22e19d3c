// SPDX-License-Identifier: GPL-2.0-only
/*
 * What CPUID says of the machine's topology.
 */
#include "complaints.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>

#include "machine/cpuid.h"
#include "machine/machine.h"

#define MAX_ENTRIES 256

/* --- the hypervisor: what it supports, and what it was told --- */

static struct kvm_cpuid_entry2 supported[MAX_ENTRIES], set[MAX_ENTRIES];
static unsigned int nr_supported, nr_set;
static unsigned long refused;

int ioctl(int fd, unsigned long request, ...)
{
	struct kvm_cpuid2 *cpuid;
	va_list ap;

	(void)fd;
	va_start(ap, request);
	cpuid = va_arg(ap, struct kvm_cpuid2 *);
	va_end(ap);
	if (request == refused) {
		errno = E2BIG;
		return -1;
	}
	if (request == KVM_GET_SUPPORTED_CPUID) {
		cpuid->nent = nr_supported;
		memcpy(cpuid->entries, supported, nr_supported * sizeof(*supported));
	} else {
		nr_set = cpuid->nent;
		memcpy(set, cpuid->entries, nr_set * sizeof(*set));
	}
	return 0;
}

static void support(uint32_t function, uint32_t index, uint32_t eax, uint32_t ebx)
{
	supported[nr_supported++] = (struct kvm_cpuid_entry2){
		.function = function, .index = index, .eax = eax, .ebx = ebx
	};
}

static const struct kvm_cpuid_entry2 *leaf(uint32_t function, uint32_t index)
{
	for (unsigned int i = 0; i < nr_set; i++)
		if (set[i].function == function && set[i].index == index)
			return &set[i];
	return NULL;
}

FIXTURE(cpuid)
{
	struct options options;
	struct machine machine;
};

FIXTURE_VARIANT(cpuid)
{
	unsigned int cpus, bits; /* of an APIC ID */
};

FIXTURE_VARIANT_ADD(cpuid, of_1){
	.cpus = 1,
	.bits = 0,
};

FIXTURE_VARIANT_ADD(cpuid, of_2){
	.cpus = 2,
	.bits = 1,
};

FIXTURE_VARIANT_ADD(cpuid, of_3){
	.cpus = 3,
	.bits = 2,
};

FIXTURE_VARIANT_ADD(cpuid, of_64){
	.cpus = 64,
	.bits = 6,
};

FIXTURE_SETUP(cpuid)
{
	struct vcpu *vcpu;

	self->options.cpus = variant->cpus;
	self->machine.options = &self->options;
	vcpu = &self->machine.vcpus[variant->cpus - 1];
	*vcpu = (struct vcpu){ .machine = &self->machine, .index = variant->cpus - 1 };
	/* The host's own: another APIC ID, 16 threads that share caches. */
	support(1, 0, 0x806f8, 0xaaff0800);
	support(4, 0, 0xfc1fc121, 0);
	support(4, 1, 0xfc1fc163, 0);
	support(4, 2, 0, 0);
	support(6, 0, 0, 0);
	support(0xb, 0, 1, 2);
	support(0x1f, 0, 1, 2);
	ASSERT_EQ(0, cpuid__set(vcpu));
}

FIXTURE_TEARDOWN(cpuid)
{
}

TEST_F(cpuid, leaf_1_has_the_apic_id_and_how_many_there_may_be)
{
	const struct kvm_cpuid_entry2 *entry = leaf(1, 0);

	EXPECT_EQ(variant->cpus - 1, entry->ebx >> 24);
	EXPECT_EQ(1u << variant->bits, entry->ebx >> 16 & 0xff);
	EXPECT_EQ(0x0800, entry->ebx & 0xffff);
	EXPECT_EQ(variant->cpus > 1, entry->edx >> 28 & 1);
	EXPECT_EQ(1, entry->ecx >> 31);
	EXPECT_EQ(1, entry->ecx >> 24 & 1);
}

TEST_F(cpuid, level_3_caches_are_shared_and_others_are_not)
{
	uint32_t ids = (1u << variant->bits) - 1;

	EXPECT_EQ(ids << 26 | 0x121, leaf(4, 0)->eax);
	EXPECT_EQ(ids << 26 | ids << 14 | 0x163, leaf(4, 1)->eax);
	EXPECT_EQ(0, leaf(4, 2)->eax);
}

TEST_F(cpuid, lapic_timers_never_stop)
{
	EXPECT_EQ(4, leaf(6, 0)->eax);
}

TEST_F(cpuid, both_topology_leaves_have_threads_then_cores_then_nothing)
{
	static const uint32_t leaves[] = { 0xb, 0x1f };

	for (unsigned int i = 0; i < 2; i++) {
		const struct kvm_cpuid_entry2 *threads = leaf(leaves[i], 0);
		const struct kvm_cpuid_entry2 *cores = leaf(leaves[i], 1);
		const struct kvm_cpuid_entry2 *end = leaf(leaves[i], 2);

		ASSERT_NE(NULL, cores);
		ASSERT_NE(NULL, end);
		EXPECT_EQ(0, threads->eax);
		EXPECT_EQ(1, threads->ebx);
		EXPECT_EQ(0x100, threads->ecx);
		EXPECT_EQ(variant->bits, cores->eax);
		EXPECT_EQ(variant->cpus, cores->ebx);
		EXPECT_EQ(0x201, cores->ecx);
		EXPECT_EQ(0, end->eax | end->ebx);
		EXPECT_EQ(2, end->ecx);
		EXPECT_EQ(variant->cpus - 1, threads->edx);
		EXPECT_EQ(variant->cpus - 1, cores->edx);
	}
}

static int set_for_one(void)
{
	static const struct options options = { .cpus = 1 };
	static struct machine machine = { .options = &options };
	struct vcpu vcpu = { .machine = &machine };

	return cpuid__set(&vcpu);
}

TEST(leaf_0x1f_is_not_made_up)
{
	EXPECT_EQ(0, set_for_one());
	EXPECT_EQ(3, nr_set);
	EXPECT_NE(NULL, leaf(0xb, 2));
	EXPECT_EQ(NULL, leaf(0x1f, 0));
}

TEST(a_list_that_is_full_stays_as_long)
{
	for (unsigned int i = 0; i < MAX_ENTRIES; i++)
		support(0x80000000, i, 0, 0);
	EXPECT_EQ(0, set_for_one());
	EXPECT_EQ(MAX_ENTRIES, nr_set);
}

TEST(refusals_are_complained_of)
{
	refused = KVM_GET_SUPPORTED_CPUID;
	EXPECT_EQ(-1, set_for_one());
	EXPECT_SAYS("Argument list too long");
	EXPECT_EQ(0, nr_set);
	refused = KVM_SET_CPUID2;
	EXPECT_EQ(-1, set_for_one());
	EXPECT_SAYS("cannot set the CPUID of vCPU 0");
}

TEST_HARNESS_MAIN
