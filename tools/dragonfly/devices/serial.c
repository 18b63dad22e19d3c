// SPDX-License-Identifier: GPL-2.0-only
/*
 * The serial port. A character is sent when it is written, so the transmitter is
 * always empty; the modem at the other end is always ready.
 */
#include "devices/serial.h"

#include <linux/serial_reg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "devices/console.h"
#include "devices/ioapic.h"
#include "dragonfly.h"
#include "machine/machine.h"

#define SERIAL_SIZE 8
#define FIFO_SIZE 16

#define IER_BITS (UART_IER_RDI | UART_IER_THRI | UART_IER_RLSI | UART_IER_MSI)
#define MCR_BITS (UART_MCR_DTR | UART_MCR_RTS | UART_MCR_OUT1 | UART_MCR_OUT2 | UART_MCR_LOOP)
#define MSR_LINES (UART_MSR_DCD | UART_MSR_RI | UART_MSR_DSR | UART_MSR_CTS)

struct serial {
	struct machine *machine;
	struct region region;
	struct console_port port;
	uint8_t ier, fcr, lcr, mcr, scr;
	uint8_t divisor[2];
	bool overrun; /* LSR has it until it is read */
	bool sent; /* the transmitter became empty, and IIR has not told */
	uint8_t delta; /* of MSR's lines */
	char fifo[FIFO_SIZE];
	unsigned int first, filled;
};

/* ---- what is received ---- */

static unsigned int room(const struct serial *serial)
{
	unsigned int depth = serial->fcr & UART_FCR_ENABLE_FIFO ? FIFO_SIZE : 1;

	return depth > serial->filled ? depth - serial->filled : 0;
}

static void receive(struct serial *serial, char character)
{
	if (!room(serial)) {
		serial->overrun = true;
		return;
	}
	serial->fifo[(serial->first + serial->filled++) % FIFO_SIZE] = character;
}

static uint8_t take(struct serial *serial)
{
	uint8_t character = serial->fifo[serial->first];

	if (!serial->filled)
		return 0;
	serial->first = (serial->first + 1) % FIFO_SIZE;
	serial->filled--;
	return character;
}

/*
 * Without a driver nobody takes input, and the one that comes first empties the
 * FIFO: what is typed before is better kept. A driver has interrupts on.
 */
static bool listens(const struct serial *serial)
{
	return serial->ier & UART_IER_RDI &&
	       (serial->mcr & (UART_MCR_OUT2 | UART_MCR_LOOP)) == UART_MCR_OUT2;
}

/* ---- interrupts ---- */

/* Received characters below the trigger level have waited long enough at once. */
static uint8_t received_cause(const struct serial *serial)
{
	static const uint8_t triggers[] = { 1, 4, 8, 14 };

	if (!(serial->fcr & UART_FCR_ENABLE_FIFO) || serial->filled >= triggers[serial->fcr >> 6])
		return UART_IIR_RDI;
	return UART_IIR_RX_TIMEOUT;
}

/* The most urgent one */
static uint8_t cause(const struct serial *serial)
{
	if (serial->ier & UART_IER_RLSI && serial->overrun)
		return UART_IIR_RLSI;
	if (serial->ier & UART_IER_RDI && serial->filled)
		return received_cause(serial);
	if (serial->ier & UART_IER_THRI && serial->sent)
		return UART_IIR_THRI;
	if (serial->ier & UART_IER_MSI && serial->delta)
		return UART_IIR_MSI;
	return UART_IIR_NO_INT;
}

/* On a PC, OUT2 lets the interrupt through. */
static void update_line(struct serial *serial)
{
	bool out = serial->mcr & UART_MCR_OUT2 && !(serial->mcr & UART_MCR_LOOP);

	ioapic__line(serial->machine->ioapic, SERIAL_IRQ, out && cause(serial) != UART_IIR_NO_INT);
}

/* ---- registers ---- */

/* In a loop the modem's lines are those of MCR. */
static uint8_t modem_lines(uint8_t mcr)
{
	if (!(mcr & UART_MCR_LOOP))
		return UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;
	return (mcr & UART_MCR_RTS ? UART_MSR_CTS : 0) | (mcr & UART_MCR_DTR ? UART_MSR_DSR : 0) |
	       (mcr & UART_MCR_OUT1 ? UART_MSR_RI : 0) | (mcr & UART_MCR_OUT2 ? UART_MSR_DCD : 0);
}

static void write_mcr(struct serial *serial, uint8_t value)
{
	uint8_t before = modem_lines(serial->mcr), changed;

	serial->mcr = value & MCR_BITS;
	changed = before ^ modem_lines(serial->mcr);
	/* Of the ring indicator only its end counts. */
	if (!(before & UART_MSR_RI))
		changed &= ~UART_MSR_RI;
	serial->delta |= changed >> 4;
}

/*
 * Turning FIFOs on or off should empty them. But Linux turns them on behind the
 * interrupt, and the first character that waited for it would be lost.
 */
static void write_fcr(struct serial *serial, uint8_t value)
{
	bool fifos = value & UART_FCR_ENABLE_FIFO;

	serial->fcr = fifos ? value & (UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_MASK) : 0;
	if (value & UART_FCR_CLEAR_RCVR)
		serial->filled = 0;
}

static void transmit(struct serial *serial, char character)
{
	serial->sent = true;
	if (serial->mcr & UART_MCR_LOOP) {
		receive(serial, character);
		return;
	}
	console__listen(serial->machine->console, &serial->port);
	console__write(serial->machine->console, &character, 1);
}

static void write_register(struct serial *serial, unsigned int number, uint8_t value)
{
	bool divisor = serial->lcr & UART_LCR_DLAB && number <= UART_DLM;

	if (divisor) {
		serial->divisor[number] = value;
		return;
	}
	switch (number) {
	case UART_TX:
		transmit(serial, value);
		break;
	case UART_IER:
		/* Who turns it on wants to know that the transmitter is empty. */
		if (value & ~serial->ier & UART_IER_THRI)
			serial->sent = true;
		serial->ier = value & IER_BITS;
		break;
	case UART_FCR:
		write_fcr(serial, value);
		break;
	case UART_LCR:
		serial->lcr = value;
		break;
	case UART_MCR:
		write_mcr(serial, value);
		break;
	case UART_SCR:
		serial->scr = value;
		break;
	}
}

static uint8_t read_iir(struct serial *serial)
{
	uint8_t value = cause(serial);

	if (value == UART_IIR_THRI)
		serial->sent = false;
	return value | (serial->fcr & UART_FCR_ENABLE_FIFO ? 0xc0 : 0);
}

static uint8_t read_lsr(struct serial *serial)
{
	uint8_t value = UART_LSR_THRE | UART_LSR_TEMT | (serial->filled ? UART_LSR_DR : 0) |
			(serial->overrun ? UART_LSR_OE : 0);

	serial->overrun = false;
	return value;
}

static uint8_t read_msr(struct serial *serial)
{
	uint8_t value = modem_lines(serial->mcr) | serial->delta;

	serial->delta = 0;
	return value;
}

static uint8_t read_register(struct serial *serial, unsigned int number)
{
	if (serial->lcr & UART_LCR_DLAB && number <= UART_DLM)
		return serial->divisor[number];
	switch (number) {
	case UART_RX:
		return take(serial);
	case UART_IER:
		return serial->ier;
	case UART_IIR:
		return read_iir(serial);
	case UART_LCR:
		return serial->lcr;
	case UART_MCR:
		return serial->mcr;
	case UART_LSR:
		return read_lsr(serial);
	case UART_MSR:
		return read_msr(serial);
	default:
		return serial->scr;
	}
}

/* A wide access is to as many registers, as on the ISA bus. */
static void serial_read(void *device, uint64_t offset, void *data, unsigned int size)
{
	struct serial *serial = device;
	uint8_t *bytes = data;

	for (unsigned int i = 0; i < size; i++)
		bytes[i] = read_register(serial, offset + i);
	update_line(serial);
	if (listens(serial) && !serial->filled)
		console__more(serial->machine->console);
}

static void serial_write(void *device, uint64_t offset, const void *data, unsigned int size)
{
	struct serial *serial = device;
	const uint8_t *bytes = data;
	bool listened = listens(serial);

	for (unsigned int i = 0; i < size; i++)
		write_register(serial, offset + i, bytes[i]);
	update_line(serial);
	if (!listened && listens(serial))
		console__more(serial->machine->console);
}

size_t serial__type(struct serial *serial, const char *text, size_t size)
{
	size_t typed;

	if (!listens(serial))
		return 0;
	for (typed = 0; typed < size && room(serial); typed++)
		receive(serial, text[typed]);
	update_line(serial);
	return typed;
}

static size_t type(void *device, const char *text, size_t size)
{
	return serial__type(device, text, size);
}

struct serial *serial__create(struct machine *machine)
{
	struct serial *serial = calloc(1, sizeof(*serial));

	if (!serial) {
		complain("no memory for the serial port");
		return NULL;
	}
	serial->machine = machine;
	serial->port = (struct console_port){ .type = type, .device = serial };
	serial->region = (struct region){
		.start = SERIAL_PORT,
		.size = SERIAL_SIZE,
		.read = serial_read,
		.write = serial_write,
		.device = serial,
	};
	if (bus__add(&machine->ports, &serial->region)) {
		complain("something else is at the ports of the serial port");
		free(serial);
		return NULL;
	}
	return serial;
}

void serial__destroy(struct serial *serial)
{
	if (!serial)
		return;
	bus__remove(&serial->machine->ports, &serial->region);
	console__forget(serial->machine->console, &serial->port);
	free(serial);
}
