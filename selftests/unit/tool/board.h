/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For tests of the devices on the board: a machine with buses and a loop, and in
 * the kernel's place what notes messages and routes.
 */
#ifndef UNIT_TOOL_BOARD_H
#define UNIT_TOOL_BOARD_H

#include "vm.h"

#include "devices/ioapic.h"

#define NR_NOTED 64

/* Messages that were sent since the last look. */
static struct kvm_msi sent[NR_NOTED];
static unsigned int nr_sent;

int machine__ioctl(struct machine *vm, unsigned long request, void *argument)
{
	(void)vm;
	if (request == KVM_SIGNAL_MSI && nr_sent < NR_NOTED)
		sent[nr_sent++] = *(const struct kvm_msi *)argument;
	else if (request == KVM_SET_GSI_ROUTING)
		note_routes(argument);
	return 0;
}

void machine__stop(struct machine *vm, enum outcome outcome)
{
	if (vm->outcome == RUNNING)
		vm->outcome = outcome;
}

/* How many messages have been sent since the last look. */
static inline unsigned int messages(void)
{
	unsigned int nr = nr_sent;

	nr_sent = 0;
	return nr;
}

static inline uint64_t in(uint64_t port, unsigned int size)
{
	uint64_t value = 0;

	bus__read(&machine.ports, port, &value, size);
	return value;
}

static inline void out(uint64_t port, uint64_t value, unsigned int size)
{
	bus__write(&machine.ports, port, &value, size);
}

/* The IOAPIC's registers */
static inline uint32_t ioapic_get(uint8_t number)
{
	mmio_write(IOAPIC_ADDRESS, number, 4);
	return mmio_read(IOAPIC_ADDRESS + 0x10, 4);
}

static inline void ioapic_set(uint8_t number, uint32_t value)
{
	mmio_write(IOAPIC_ADDRESS, number, 4);
	mmio_write(IOAPIC_ADDRESS + 0x10, value, 4);
}

#define LEVEL 0x8000
#define MASKED 0x10000
#define REMOTE_IRR 0x4000

static inline void set_pin(unsigned int pin, uint32_t destination, uint32_t rest)
{
	ioapic_set(0x11 + 2 * pin, destination);
	ioapic_set(0x10 + 2 * pin, rest);
}

static inline void board_setup(void)
{
	memset(&machine, 0, sizeof(machine));
	machine.outcome = RUNNING;
	nr_sent = 0;
	loop__create(&machine.loop);
	machine.ioapic = ioapic__create(&machine);
}

static inline void board_teardown(void)
{
	ioapic__destroy(machine.ioapic);
	loop__destroy(&machine.loop);
}

/* A few thousand accesses of all sizes and values, in and around a device's registers. */
static inline void access_at_random(struct bus *bus, uint64_t start, uint64_t size)
{
	static const uint64_t seed = 0x9e3779b97f4a7c15;
	uint64_t random = seed;

	for (unsigned int i = 0; i < 20000; i++) {
		uint64_t address, data;

		random = random * 6364136223846793005 + 1442695040888963407;
		address = start + (random >> 40) % size;
		data = random ^ random >> 29;
		if (random >> 62)
			bus__write(bus, address, &data, 1 << (random >> 32 & 3));
		else
			bus__read(bus, address, &data, 1 << (random >> 32 & 3));
	}
}

#endif
