// SPDX-License-Identifier: GPL-2.0-only
/*
 * The serial port as a driver finds it, with a console of the test's own behind it.
 */
#include "board.h"

#include <linux/serial_reg.h>

#include "devices/console.h"
#include "devices/serial.h"

#define IIR_FIFOS 0xc0

/* What the guest wrote, and who is typed into. */
static char written[64];
static size_t nr_written;
static const struct console_port *port;
static unsigned int nr_more;

void console__write(struct console *console, const char *text, size_t size)
{
	(void)console;
	for (size_t i = 0; i < size && nr_written < sizeof(written); i++)
		written[nr_written++] = text[i];
}

void console__listen(struct console *console, const struct console_port *listener)
{
	(void)console;
	port = listener;
}

void console__forget(struct console *console, const struct console_port *listener)
{
	(void)console;
	if (port == listener)
		port = NULL;
}

void console__more(struct console *console)
{
	(void)console;
	nr_more++;
}

FIXTURE(serial)
{
	struct serial *serial;
};

static uint8_t get(unsigned int number)
{
	return in(SERIAL_PORT + number, 1);
}

static void set(unsigned int number, uint8_t value)
{
	out(SERIAL_PORT + number, value, 1);
}

FIXTURE_SETUP(serial)
{
	board_setup();
	memset(written, 0, sizeof(written));
	nr_written = 0;
	nr_more = 0;
	port = NULL;
	set_pin(SERIAL_IRQ, 0, 0x31);
	self->serial = serial__create(&machine);
	ASSERT_NE(NULL, self->serial);
}

FIXTURE_TEARDOWN(serial)
{
	serial__destroy(self->serial);
	board_teardown();
}

/* As a driver does that opens the port. */
static void open_port(uint8_t ier)
{
	set(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR | UART_FCR_CLEAR_XMIT);
	set(UART_MCR, UART_MCR_DTR | UART_MCR_RTS | UART_MCR_OUT2);
	set(UART_IER, ier);
}

/* ---- a driver that looks for it ---------------------------------------------------- */

TEST_F(serial, linux_finds_a_16550a)
{
	set(UART_IER, 0);
	EXPECT_EQ(0, get(UART_IER) & 0xf);
	set(UART_IER, 0xff);
	EXPECT_EQ(0xf, get(UART_IER));
	set(UART_IER, 0);

	set(UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS);
	EXPECT_EQ(UART_MSR_DCD | UART_MSR_CTS, get(UART_MSR) & 0xf0);
	set(UART_MCR, 0);
	EXPECT_EQ(UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS, get(UART_MSR) & 0xf0);

	set(UART_FCR, UART_FCR_ENABLE_FIFO);
	EXPECT_EQ(IIR_FIFOS, get(UART_IIR) & IIR_FIFOS);
	/* No 16650, whose EFR would be 0 behind this value of LCR. */
	set(UART_LCR, UART_LCR_CONF_MODE_B);
	EXPECT_NE(0, get(UART_EFR));
	/* No 16750, which has a bit for its longer FIFOs. */
	set(UART_LCR, UART_LCR_CONF_MODE_A);
	set(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR7_64BYTE);
	EXPECT_EQ(6, get(UART_IIR) >> 5);
	set(UART_LCR, 0);
}

TEST_F(serial, the_divisor_hides_two_registers)
{
	set(UART_IER, UART_IER_RDI);
	set(UART_LCR, UART_LCR_DLAB | UART_LCR_WLEN8);
	set(UART_DLL, 0x34);
	set(UART_DLM, 0x12);
	EXPECT_EQ(0x34, get(UART_DLL));
	EXPECT_EQ(0x12, get(UART_DLM));
	set(UART_LCR, UART_LCR_WLEN8);
	EXPECT_EQ(UART_IER_RDI, get(UART_IER));
	EXPECT_EQ(0, nr_written);
}

TEST_F(serial, the_loop_is_as_deep_as_the_fifo)
{
	set(UART_FCR, UART_FCR_ENABLE_FIFO);
	set(UART_MCR, UART_MCR_LOOP);
	for (unsigned int i = 0; i < 20; i++)
		set(UART_TX, i);
	EXPECT_EQ(UART_LSR_OE | UART_LSR_DR, get(UART_LSR) & 0x1f);
	EXPECT_EQ(UART_LSR_DR, get(UART_LSR) & 0x1f);
	for (unsigned int i = 0; i < 16; i++)
		EXPECT_EQ(i, get(UART_RX));
	EXPECT_EQ(0, get(UART_LSR) & 0x1f);
	EXPECT_EQ(0, get(UART_RX));
	EXPECT_EQ(0, nr_written);
}

TEST_F(serial, modem_lines_tell_of_their_changes_once)
{
	set(UART_MCR, UART_MCR_LOOP | UART_MCR_OUT1);
	/* DCD, DSR and CTS went; RI came, which does not count. */
	EXPECT_EQ(UART_MSR_RI | UART_MSR_DDCD | UART_MSR_DDSR | UART_MSR_DCTS, get(UART_MSR));
	EXPECT_EQ(UART_MSR_RI, get(UART_MSR));
	set(UART_MCR, UART_MCR_LOOP);
	EXPECT_EQ(UART_MSR_TERI, get(UART_MSR));
}

/* ---- output ------------------------------------------------------------------------ */

TEST_F(serial, what_is_written_is_the_consoles)
{
	out(SERIAL_PORT, 'h', 1);
	out(SERIAL_PORT, 'i', 1);
	EXPECT_STREQ("hi", written);
	ASSERT_NE(NULL, port);
	EXPECT_EQ(UART_LSR_THRE | UART_LSR_TEMT, get(UART_LSR));
}

TEST_F(serial, an_empty_transmitter_interrupts_once)
{
	open_port(UART_IER_THRI);
	EXPECT_EQ(1, messages());
	EXPECT_EQ(IIR_FIFOS | UART_IIR_THRI, get(UART_IIR));
	EXPECT_EQ(IIR_FIFOS | UART_IIR_NO_INT, get(UART_IIR));
	set(UART_TX, 'x');
	EXPECT_EQ(1, messages());
	EXPECT_EQ(IIR_FIFOS | UART_IIR_THRI, get(UART_IIR));
	/* Whoever turns it on again is told again: a driver's test for a bug. */
	set(UART_IER, 0);
	set(UART_IER, UART_IER_THRI);
	EXPECT_EQ(1, messages());
	EXPECT_EQ(IIR_FIFOS | UART_IIR_THRI, get(UART_IIR));
}

TEST_F(serial, without_out2_nothing_interrupts)
{
	set(UART_IER, UART_IER_THRI);
	EXPECT_EQ(0, messages());
	set(UART_MCR, UART_MCR_OUT2);
	EXPECT_EQ(1, messages());
}

/* ---- input ------------------------------------------------------------------------- */

TEST_F(serial, nobody_is_typed_to_before_a_driver_is_up)
{
	EXPECT_EQ(0, serial__type(self->serial, "abc", 3));
	set(UART_IER, UART_IER_RDI);
	EXPECT_EQ(0, serial__type(self->serial, "abc", 3));
	EXPECT_EQ(0, nr_more);
	open_port(UART_IER_RDI);
	EXPECT_EQ(1, nr_more);
	EXPECT_EQ(3, serial__type(self->serial, "abc", 3));
}

TEST_F(serial, input_interrupts_and_has_room_for_sixteen)
{
	open_port(UART_IER_RDI);
	EXPECT_EQ(1, serial__type(self->serial, "a", 1));
	EXPECT_EQ(1, messages());
	EXPECT_EQ(IIR_FIFOS | UART_IIR_RDI, get(UART_IIR));
	set(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_8);
	EXPECT_EQ(IIR_FIFOS | UART_IIR_RX_TIMEOUT, get(UART_IIR));
	EXPECT_EQ(15, serial__type(self->serial, "bcdefghijklmnopqrst", 19));
	EXPECT_EQ(IIR_FIFOS | UART_IIR_RDI, get(UART_IIR));
	EXPECT_EQ(0, serial__type(self->serial, "q", 1));
	nr_more = 0;
	for (char c = 'a'; c <= 'p'; c++) {
		EXPECT_EQ(0, nr_more);
		EXPECT_EQ(c, get(UART_RX));
	}
	EXPECT_EQ(1, nr_more);
	EXPECT_EQ(IIR_FIFOS | UART_IIR_NO_INT, get(UART_IIR));
	EXPECT_EQ(0, messages());
	EXPECT_EQ(1, serial__type(self->serial, "q", 1));
	EXPECT_EQ(1, messages());
}

TEST_F(serial, without_fifos_there_is_room_for_one)
{
	open_port(UART_IER_RDI);
	set(UART_FCR, 0);
	EXPECT_EQ(1, serial__type(self->serial, "abc", 3));
	EXPECT_EQ(UART_IIR_RDI, get(UART_IIR));
	EXPECT_EQ('a', get(UART_RX));
}

TEST_F(serial, a_driver_clears_what_came_before_it)
{
	open_port(UART_IER_RDI);
	EXPECT_EQ(3, serial__type(self->serial, "abc", 3));
	set(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR);
	EXPECT_EQ(0, get(UART_LSR) & UART_LSR_DR);
}

/* Linux' order: the interrupt, then the FIFOs. */
TEST_F(serial, no_character_is_lost_when_fifos_are_turned_on)
{
	set(UART_MCR, UART_MCR_OUT2);
	set(UART_IER, UART_IER_RDI);
	EXPECT_EQ(1, serial__type(self->serial, "abc", 3));
	set(UART_FCR, UART_FCR_ENABLE_FIFO);
	EXPECT_EQ(2, serial__type(self->serial, "bc", 2));
	EXPECT_EQ('a', get(UART_RX));
	EXPECT_EQ('b', get(UART_RX));
}

/* ---- hostility --------------------------------------------------------------------- */

TEST_F(serial, any_access_is_harmless)
{
	access_at_random(&machine.ports, SERIAL_PORT - 4, 16);
	set(UART_LCR, 0);
	set(UART_SCR, 0x5a);
	EXPECT_EQ(0x5a, get(UART_SCR));
}

TEST_F(serial, a_wide_access_is_to_each_register)
{
	set(UART_SCR, 0x77);
	set(UART_MSR, 0xff);
	EXPECT_EQ(0x77b0, in(SERIAL_PORT + UART_MSR, 2));
	out(SERIAL_PORT + UART_LCR, 0x0203, 2);
	EXPECT_EQ(3, get(UART_LCR));
	EXPECT_EQ(2, get(UART_MCR));
	/* One that leaves the port is nobody's. */
	EXPECT_EQ(0xffff, in(SERIAL_PORT + UART_SCR, 2));
}

TEST_HARNESS_MAIN
