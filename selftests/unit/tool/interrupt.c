// SPDX-License-Identifier: GPL-2.0-only
/*
 * GSIs and their routes, and a kernel that refuses some.
 */
#include "complaints.h"

#include <errno.h>
#include <linux/kvm.h>

#include "machine/machine.h"

static struct machine machine;

/* --- the kernel: the last table of routes, and whether it takes one --- */

static struct kvm_irq_routing_entry routes[MAX_GSIS];
static unsigned int nr_routes, nr_tables;
static bool refuses;

int machine__ioctl(struct machine *vm, unsigned long request, void *argument)
{
	const struct kvm_irq_routing *table = argument;

	(void)vm;
	if (refuses) {
		errno = EINVAL;
		return -1;
	}
	if (request == KVM_SET_GSI_ROUTING) {
		nr_tables++;
		nr_routes = table->nr;
		memcpy(routes, table->entries, table->nr * sizeof(*routes));
	}
	return 0;
}

static const struct msi msi = { 0x1fee00000, 0x41 }, other = { 0xfee01000, 0x42 };

TEST(gsis_are_handed_out_behind_the_ioapics_until_there_are_no_more)
{
	for (int gsi = IOAPIC_PINS; gsi < MAX_GSIS; gsi++)
		ASSERT_EQ(gsi, interrupt__allocate(&machine));
	EXPECT_EQ(-1, interrupt__allocate(&machine));
	EXPECT_EQ(-1, interrupt__allocate(&machine));
	interrupt__free(&machine, 1000);
	EXPECT_EQ(1000, interrupt__allocate(&machine));
	EXPECT_EQ(-1, interrupt__allocate(&machine));
	EXPECT_EQ(0, nr_tables);
}

TEST(every_gsi_can_have_a_route)
{
	for (int gsi = 0; gsi < MAX_GSIS - 1; gsi++)
		machine.interrupts.used[gsi] = 2;
	EXPECT_EQ(0, interrupt__route(&machine, MAX_GSIS - 1, &msi));
	ASSERT_EQ(MAX_GSIS, nr_routes);
	EXPECT_EQ(MAX_GSIS - 1, routes[MAX_GSIS - 1].gsi);
}

TEST(a_route_is_given_to_the_kernel_once_until_it_changes)
{
	int gsi = interrupt__allocate(&machine);

	EXPECT_EQ(0, interrupt__route(&machine, gsi, &msi));
	EXPECT_EQ(0, interrupt__route(&machine, gsi, &msi));
	EXPECT_EQ(1, nr_tables);
	ASSERT_EQ(1, nr_routes);
	EXPECT_EQ(gsi, routes[0].gsi);
	EXPECT_EQ(KVM_IRQ_ROUTING_MSI, routes[0].type);
	EXPECT_EQ(0xfee00000, routes[0].u.msi.address_lo);
	EXPECT_EQ(1, routes[0].u.msi.address_hi);
	EXPECT_EQ(0x41, routes[0].u.msi.data);
	EXPECT_EQ(0, interrupt__route(&machine, gsi, &other));
	EXPECT_EQ(2, nr_tables);
	interrupt__free(&machine, gsi);
	EXPECT_EQ(3, nr_tables);
	EXPECT_EQ(0, nr_routes);
}

TEST(a_freed_gsi_has_no_message_of_its_former_life)
{
	int gsi = interrupt__allocate(&machine);

	interrupt__route(&machine, gsi, &msi);
	interrupt__free(&machine, gsi);
	EXPECT_EQ(gsi, interrupt__allocate(&machine));
	EXPECT_EQ(0, interrupt__route(&machine, gsi, &msi));
	EXPECT_EQ(1, nr_routes);
}

TEST(a_route_that_was_refused_is_not_taken_for_made)
{
	int gsi = interrupt__allocate(&machine);

	refuses = true;
	EXPECT_EQ(-1, interrupt__route(&machine, gsi, &msi));
	EXPECT_SAYS("does not take interrupt routes");
	EXPECT_EQ(-1, interrupt__route(&machine, gsi, &msi));
	refuses = false;
	EXPECT_EQ(0, interrupt__route(&machine, gsi, &msi));
	EXPECT_EQ(1, nr_tables);
	refuses = true;
	EXPECT_EQ(-1, interrupt__route(&machine, gsi, &other));
	refuses = false;
	EXPECT_EQ(0, interrupt__route(&machine, gsi, &msi));
	EXPECT_EQ(1, nr_tables);
}

TEST(an_irqfd_that_was_refused_is_complained_of)
{
	EXPECT_EQ(0, interrupt__connect(&machine, 24, 5));
	refuses = true;
	EXPECT_EQ(-1, interrupt__connect(&machine, 24, 5));
	EXPECT_SAYS("does not take an irqfd");
}

TEST_HARNESS_MAIN
