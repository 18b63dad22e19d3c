// SPDX-License-Identifier: GPL-2.0-only
/*
 * The IOAPIC: a table of pins, each with the message that it sends.
 *
 * A level-triggered pin that has sent is quiet (remote IRR) until the EOI of its
 * vector has come back, and sends again if its line is still high.
 */
#include "devices/ioapic.h"

#include <stdlib.h>
#include <string.h>

#include "dragonfly.h"
#include "machine/machine.h"

/* What the guest sees: an index, a window onto the register of that index, and EOI. */
#define IOAPIC_SELECT 0x00
#define IOAPIC_WINDOW 0x10
#define IOAPIC_EOI 0x40
#define IOAPIC_SIZE 0x1000

/* Registers behind the window. */
#define REGISTER_ID 0
#define REGISTER_VERSION 1
#define REGISTER_ARBITRATION 2
#define REGISTER_ENTRIES 0x10 /* two of each pin, the lower half first */
#define ID_BITS 0x0f000000
#define VERSION_WITH_EOI 0x20

/* Redirection table entry */
#define ENTRY_VECTOR 0xffULL
#define ENTRY_DELIVERY_MODE (7ULL << 8)
#define ENTRY_LOGICAL (1ULL << 11)
#define ENTRY_STATUS (1ULL << 12)
#define ENTRY_REMOTE_IRR (1ULL << 14)
#define ENTRY_LEVEL (1ULL << 15)
#define ENTRY_MASKED (1ULL << 16)
#define ENTRY_EXT_DESTINATION 49 /* 7 bits: KVM_FEATURE_MSI_EXT_DEST_ID */
#define ENTRY_DESTINATION 56 /* 8 bits */
#define ENTRY_WRITABLE (0xfffe00000001ffffULL & ~(ENTRY_STATUS | ENTRY_REMOTE_IRR))

/* Message address and data */
#define MSI_LOGICAL (1U << 2)
#define MSI_EXT_DESTINATION 5
#define MSI_DESTINATION 12
#define MSI_ASSERT (1U << 14)
#define MSI_LEVEL (1U << 15)

struct pin {
	uint64_t entry;
	bool line;
};

struct ioapic {
	struct machine *machine;
	struct region region;
	uint8_t select;
	uint32_t id;
	struct pin pins[IOAPIC_PINS];
};

static struct msi message(uint64_t entry)
{
	bool level = entry & ENTRY_LEVEL;
	struct msi msi = {
		.address = LAPIC_ADDRESS | (entry >> ENTRY_DESTINATION) << MSI_DESTINATION |
			   (entry >> ENTRY_EXT_DESTINATION & 0x7f) << MSI_EXT_DESTINATION |
			   (entry & ENTRY_LOGICAL ? MSI_LOGICAL : 0),
		.data = (entry & (ENTRY_VECTOR | ENTRY_DELIVERY_MODE)) |
			(level ? MSI_LEVEL | MSI_ASSERT : 0),
	};

	return msi;
}

static void send(struct ioapic *ioapic, struct pin *pin)
{
	struct msi msi = message(pin->entry);

	if (pin->entry & ENTRY_LEVEL)
		pin->entry |= ENTRY_REMOTE_IRR;
	interrupt__signal(ioapic->machine, &msi);
}

static void send_if_high(struct ioapic *ioapic, struct pin *pin)
{
	uint64_t state = pin->entry & (ENTRY_LEVEL | ENTRY_MASKED | ENTRY_REMOTE_IRR);

	if (pin->line && state == ENTRY_LEVEL)
		send(ioapic, pin);
}

/*
 * The kernel tells of the EOIs of vectors that level-triggered routes have. A pin
 * that is masked keeps its route: what it has sent may be in service still.
 */
static void route(struct ioapic *ioapic, const struct pin *pin)
{
	struct msi msi = message(pin->entry);

	if (!(pin->entry & ENTRY_MASKED) &&
	    interrupt__route(ioapic->machine, pin - ioapic->pins, &msi))
		machine__stop(ioapic->machine, FAILED);
}

/* A guest turns a pin to edge and back to be rid of its remote IRR. */
static void write_entry(struct ioapic *ioapic, struct pin *pin, uint64_t entry)
{
	pin->entry = (entry & ENTRY_WRITABLE) | (pin->entry & ENTRY_REMOTE_IRR);
	if (!(entry & ENTRY_LEVEL))
		pin->entry &= ~ENTRY_REMOTE_IRR;
	route(ioapic, pin);
	send_if_high(ioapic, pin);
}

/* The pin whose entry is the selected register, or NULL. */
static struct pin *selected_pin(struct ioapic *ioapic)
{
	unsigned int pin = (ioapic->select - REGISTER_ENTRIES) / 2;

	return ioapic->select >= REGISTER_ENTRIES && pin < IOAPIC_PINS ? &ioapic->pins[pin] : NULL;
}

static void write_window(struct ioapic *ioapic, uint32_t value)
{
	struct pin *pin = selected_pin(ioapic);

	if (pin && ioapic->select & 1)
		write_entry(ioapic, pin, (uint64_t)value << 32 | (uint32_t)pin->entry);
	else if (pin)
		write_entry(ioapic, pin, (pin->entry >> 32) << 32 | value);
	else if (ioapic->select == REGISTER_ID)
		ioapic->id = value & ID_BITS;
}

static uint32_t read_window(struct ioapic *ioapic)
{
	const struct pin *pin = selected_pin(ioapic);

	if (pin)
		return pin->entry >> (ioapic->select & 1 ? 32 : 0);
	switch (ioapic->select) {
	case REGISTER_ID:
	case REGISTER_ARBITRATION:
		return ioapic->id;
	case REGISTER_VERSION:
		return (IOAPIC_PINS - 1) << 16 | VERSION_WITH_EOI;
	default:
		return 0;
	}
}

/* Registers are four bytes; of a wider or narrower access they are the first. */
static void ioapic_read(void *device, uint64_t offset, void *data, unsigned int size)
{
	struct ioapic *ioapic = device;
	uint64_t value;

	switch (offset) {
	case IOAPIC_SELECT:
		value = ioapic->select;
		break;
	case IOAPIC_WINDOW:
		value = read_window(ioapic);
		break;
	default:
		value = 0;
	}
	memcpy(data, &value, size);
}

static void ioapic_write(void *device, uint64_t offset, const void *data, unsigned int size)
{
	struct ioapic *ioapic = device;
	uint64_t value = 0;

	memcpy(&value, data, size);
	switch (offset) {
	case IOAPIC_SELECT:
		ioapic->select = value;
		break;
	case IOAPIC_WINDOW:
		write_window(ioapic, value);
		break;
	case IOAPIC_EOI:
		ioapic__eoi(ioapic, value);
		break;
	}
}

void ioapic__line(struct ioapic *ioapic, unsigned int number, bool level)
{
	struct pin *pin = &ioapic->pins[number];
	bool rises = level && !pin->line;

	pin->line = level;
	/* An edge at a masked pin is lost, as the datasheet has it. */
	if (rises && !(pin->entry & (ENTRY_LEVEL | ENTRY_MASKED)))
		send(ioapic, pin);
	send_if_high(ioapic, pin);
}

void ioapic__eoi(struct ioapic *ioapic, uint8_t vector)
{
	for (struct pin *pin = ioapic->pins; pin < ioapic->pins + IOAPIC_PINS; pin++) {
		if (!(pin->entry & ENTRY_REMOTE_IRR) || (uint8_t)pin->entry != vector)
			continue;
		pin->entry &= ~ENTRY_REMOTE_IRR;
		send_if_high(ioapic, pin);
	}
}

struct ioapic *ioapic__create(struct machine *machine)
{
	struct ioapic *ioapic = calloc(1, sizeof(*ioapic));

	if (!ioapic) {
		complain("no memory for the IOAPIC");
		return NULL;
	}
	ioapic->machine = machine;
	for (unsigned int i = 0; i < IOAPIC_PINS; i++)
		ioapic->pins[i].entry = ENTRY_MASKED;
	ioapic->region = (struct region){
		.start = IOAPIC_ADDRESS,
		.size = IOAPIC_SIZE,
		.read = ioapic_read,
		.write = ioapic_write,
		.device = ioapic,
	};
	if (bus__add(&machine->mmio, &ioapic->region)) {
		complain("something else is at the IOAPIC's address");
		free(ioapic);
		return NULL;
	}
	return ioapic;
}

void ioapic__destroy(struct ioapic *ioapic)
{
	if (!ioapic)
		return;
	bus__remove(&ioapic->machine->mmio, &ioapic->region);
	free(ioapic);
}
