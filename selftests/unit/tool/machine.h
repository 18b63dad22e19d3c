/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A machine for tests of the tool's devices: its own buses, memory and interrupts,
 * and in the kernel's place what notes who asked for what.
 */
#ifndef UNIT_TOOL_MACHINE_H
#define UNIT_TOOL_MACHINE_H

#include "vm.h"

#include <fcntl.h>
#include <linux/dragonfly.h>
#include <linux/pci_regs.h>
#include <stdarg.h>
#include <sys/eventfd.h>

#include "devices/pci.h"

#define MEMORY_SIZE 0x100000

/* --- the kernel --- */

#define MAX_NOTED 4096

static struct kvm_irqfd irqfds[MAX_NOTED];
static struct kvm_ioeventfd ioeventfds[MAX_NOTED];
static unsigned int nr_irqfds, nr_ioeventfds;

static void note_irqfd(const struct kvm_irqfd *irqfd)
{
	unsigned int i = 0;

	if (!(irqfd->flags & KVM_IRQFD_FLAG_DEASSIGN)) {
		irqfds[nr_irqfds++] = *irqfd;
		return;
	}
	while (i < nr_irqfds && (irqfds[i].fd != irqfd->fd || irqfds[i].gsi != irqfd->gsi))
		i++;
	if (i < nr_irqfds)
		irqfds[i] = irqfds[--nr_irqfds];
}

static void note_ioeventfd(const struct kvm_ioeventfd *ioeventfd)
{
	unsigned int i = 0;

	if (!(ioeventfd->flags & KVM_IOEVENTFD_FLAG_DEASSIGN)) {
		ioeventfds[nr_ioeventfds++] = *ioeventfd;
		return;
	}
	while (i < nr_ioeventfds && ioeventfds[i].addr != ioeventfd->addr)
		i++;
	if (i < nr_ioeventfds)
		ioeventfds[i] = ioeventfds[--nr_ioeventfds];
}

/* Queue objects, by their file descriptors: their numbers are free again when they are closed. */
#define MAX_OBJECTS 64

static struct dragonfly_queue objects[MAX_OBJECTS];

static int note_object(const struct dragonfly_queue *queue)
{
	int fd = open("/dev/null", O_RDONLY);

	objects[fd] = *queue;
	if (!(queue->flags & DRAGONFLY_QUEUE_MSI))
		objects[fd].msi.flags = DRAGONFLY_MSI_MASKED;
	return fd;
}

int machine__ioctl(struct machine *vm, unsigned long request, void *argument)
{
	(void)vm;
	switch (request) {
	case KVM_IRQFD:
		note_irqfd(argument);
		break;
	case KVM_IOEVENTFD:
		note_ioeventfd(argument);
		break;
	case KVM_SET_GSI_ROUTING:
		note_routes(argument);
		break;
	case DRAGONFLY_QUEUE_ASSIGN:
		return note_object(argument);
	}
	return 0;
}

/* The only one that is not the VM's: DRAGONFLY_QUEUE_SET_MSI. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;

	va_start(ap, request);
	objects[fd].msi = *va_arg(ap, struct dragonfly_msi *);
	va_end(ap);
	return request == DRAGONFLY_QUEUE_SET_MSI ? 0 : -1;
}

/* The queue object at a guest-physical address; NULL: there is none. */
static inline const struct dragonfly_queue *object_at(uint64_t address)
{
	for (int fd = 0; fd < MAX_OBJECTS; fd++)
		if (objects[fd].notify_gpa == address && fcntl(fd, F_GETFD) >= 0)
			return &objects[fd];
	return NULL;
}

/* The data of the message that a signal of @event sends; -1: it sends none. */
static inline int64_t sent_by(int event)
{
	for (unsigned int i = 0; i < nr_irqfds; i++)
		if ((int)irqfds[i].fd == event)
			return routes[irqfds[i].gsi].data;
	return -1;
}

/* What a write to a guest-physical address signals; -1: nothing. */
static inline int kicked_at(uint64_t address)
{
	for (unsigned int i = 0; i < nr_ioeventfds; i++)
		if (ioeventfds[i].addr == address)
			return ioeventfds[i].fd;
	return -1;
}

/* --- the guest --- */

static inline uint64_t ecam(unsigned int slot, unsigned int offset)
{
	return PCI_ECAM + slot * 0x8000 + offset;
}

static inline uint32_t config_read(unsigned int slot, unsigned int offset, unsigned int size)
{
	return mmio_read(ecam(slot, offset), size);
}

static inline void config_write(unsigned int slot, unsigned int offset, uint32_t value,
				unsigned int size)
{
	mmio_write(ecam(slot, offset), value, size);
}

static inline uint64_t bar(unsigned int slot, unsigned int number)
{
	return config_read(slot, PCI_BASE_ADDRESS_0 + number * 4, 4);
}

/* Where a capability of an ID is, after the one at @after or from the start; 0: there is none. */
static inline unsigned int capability(unsigned int slot, uint8_t id, unsigned int after)
{
	unsigned int at = after ? after + PCI_CAP_LIST_NEXT : PCI_CAPABILITY_LIST;

	do
		at = config_read(slot, at, 1) + PCI_CAP_LIST_NEXT;
	while (at > PCI_CAP_LIST_NEXT && config_read(slot, at - PCI_CAP_LIST_NEXT, 1) != id);
	return at - PCI_CAP_LIST_NEXT;
}

static inline bool is_signalled(int event)
{
	eventfd_t count;

	return !eventfd_read(event, &count);
}

static inline void machine_setup(void)
{
	memory__create(&machine.memory, MEMORY_SIZE, 0);
	loop__create(&machine.loop);
	machine.pci = pci__create(&machine);
}

static inline void machine_teardown(void)
{
	if (machine.pci)
		pci__destroy(machine.pci);
	loop__destroy(&machine.loop);
	memory__destroy(&machine.memory);
	memset(&machine, 0, sizeof(machine));
}

#endif
