// SPDX-License-Identifier: GPL-2.0-only
#include "interrupt.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>

#include "dragonfly.h"
#include "machine.h"

/* What @used says of a GSI. */
enum { FREE, TAKEN, ROUTED };

void interrupt__signal(struct machine *machine, const struct msi *msi)
{
	struct kvm_msi kvm_msi = {
		.address_lo = msi->address,
		.address_hi = msi->address >> 32,
		.data = msi->data,
	};

	machine__ioctl(machine, KVM_SIGNAL_MSI, &kvm_msi);
}

int interrupt__allocate(struct machine *machine)
{
	uint8_t *used = machine->interrupts.used;

	for (int gsi = IOAPIC_PINS; gsi < MAX_GSIS; gsi++) {
		if (used[gsi] == FREE) {
			used[gsi] = TAKEN;
			return gsi;
		}
	}
	return -1;
}

static struct kvm_irq_routing_entry route(unsigned int gsi, const struct msi *msi)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = msi->address,
			   .address_hi = msi->address >> 32,
			   .data = msi->data },
	};
}

/* The kernel takes all routes at once, and changes nothing for those that stay. */
static int set_routes(struct machine *machine)
{
	const struct interrupts *interrupts = &machine->interrupts;
	struct kvm_irq_routing *table;
	int err;

	table = calloc(1, sizeof(*table) + MAX_GSIS * sizeof(table->entries[0]));
	if (!table)
		return complain("no memory for interrupt routes");
	for (unsigned int gsi = 0; gsi < MAX_GSIS; gsi++)
		if (interrupts->used[gsi] == ROUTED)
			table->entries[table->nr++] = route(gsi, &interrupts->messages[gsi]);
	err = machine__ioctl(machine, KVM_SET_GSI_ROUTING, table);
	free(table);
	return err ? complain("the kernel does not take interrupt routes: %s", strerror(errno)) : 0;
}

void interrupt__free(struct machine *machine, int gsi)
{
	bool routed = machine->interrupts.used[gsi] == ROUTED;

	machine->interrupts.used[gsi] = FREE;
	if (routed)
		set_routes(machine);
}

int interrupt__route(struct machine *machine, int gsi, const struct msi *msi)
{
	uint8_t *used = &machine->interrupts.used[gsi], was_used = *used;
	struct msi *message = &machine->interrupts.messages[gsi], was = *message;

	if (*used == ROUTED && message->address == msi->address && message->data == msi->data)
		return 0;
	*used = ROUTED;
	*message = *msi;
	if (!set_routes(machine))
		return 0;
	/* The kernel has kept the routes before: a second try must not find this one done. */
	*used = was_used;
	*message = was;
	return -1;
}

int interrupt__connect(struct machine *machine, int gsi, int event)
{
	struct kvm_irqfd irqfd = { .fd = event, .gsi = gsi };

	if (machine__ioctl(machine, KVM_IRQFD, &irqfd))
		return complain("the kernel does not take an irqfd: %s", strerror(errno));
	return 0;
}

void interrupt__disconnect(struct machine *machine, int gsi, int event)
{
	struct kvm_irqfd irqfd = { .fd = event, .gsi = gsi, .flags = KVM_IRQFD_FLAG_DEASSIGN };

	machine__ioctl(machine, KVM_IRQFD, &irqfd);
}
