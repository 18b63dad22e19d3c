// SPDX-License-Identifier: GPL-2.0-only
/*
 * The virtio console between a driver and the host's side.
 */
#include "machine.h"

#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <sys/epoll.h>

#include "devices/console.h"
#include "devices/virtio-console.h"
#include "devices/virtio-pci.h"
#include "rings.h"

#define RINGS(queue) (0x10000 + (queue)*0x4000)
#define BUFFERS 0x20000

enum { RECEIVE, TRANSMIT, QUEUES };

/* --- the host's side --- */

static char shown[0x10000];
static size_t nr_shown;
static unsigned int nr_more;
static const struct console_port *listening;

void console__write(struct console *console, const char *text, size_t size)
{
	(void)console;
	for (size_t i = 0; i < size; i++)
		shown[nr_shown++ % sizeof(shown)] = text[i];
}

void console__listen(struct console *console, const struct console_port *port)
{
	(void)console;
	listening = port;
}

void console__forget(struct console *console, const struct console_port *port)
{
	(void)console;
	if (listening == port)
		listening = NULL;
}

void console__more(struct console *console)
{
	(void)console;
	nr_more++;
}

/* --- a driver --- */

FIXTURE(console)
{
	struct virtio_pci *vp;
	struct guest_ring rings[QUEUES];
};

static void write_common(struct virtio_pci *vp, unsigned int offset, uint32_t value,
			 unsigned int size)
{
	virtio_common__write(vp, offset, &value, size);
}

static void bring_up(FIXTURE_DATA(console) * self)
{
	const unsigned int status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
				    VIRTIO_CONFIG_S_FEATURES_OK;

	write_common(self->vp, VIRTIO_PCI_COMMON_GFSELECT, 1, 4);
	write_common(self->vp, VIRTIO_PCI_COMMON_GF, 1 << (VIRTIO_F_VERSION_1 - 32), 4);
	for (unsigned int i = 0; i < QUEUES; i++) {
		self->rings[i] = guest_ring(&machine.memory, RINGS(i));
		write_common(self->vp, VIRTIO_PCI_COMMON_Q_SELECT, i, 2);
		write_common(self->vp, VIRTIO_PCI_COMMON_Q_SIZE, RING_ENTRIES, 2);
		write_common(self->vp, VIRTIO_PCI_COMMON_Q_DESCLO, RINGS(i), 4);
		write_common(self->vp, VIRTIO_PCI_COMMON_Q_AVAILLO, RINGS(i) + 0x1000, 4);
		write_common(self->vp, VIRTIO_PCI_COMMON_Q_USEDLO, RINGS(i) + 0x2000, 4);
		write_common(self->vp, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	}
	write_common(self->vp, VIRTIO_PCI_COMMON_STATUS, status, 1);
	write_common(self->vp, VIRTIO_PCI_COMMON_STATUS, status | VIRTIO_CONFIG_S_DRIVER_OK, 1);
}

FIXTURE_SETUP(console)
{
	machine_setup();
	ASSERT_EQ(0, virtio_console__add(&machine));
	self->vp = (struct virtio_pci *)pci__device(machine.pci, 1);
	bring_up(self);
}

FIXTURE_TEARDOWN(console)
{
	(void)self;
	machine_teardown();
	EXPECT_EQ(NULL, listening);
}

/* Until nothing is ready any more. */
static void run_loop(void)
{
	struct epoll_event event;

	while (epoll_wait(machine.loop.epoll, &event, 1, 0) == 1) {
		struct watch *watch = event.data.ptr;

		watch->ready(watch->context, event.events);
	}
}

static void kick(FIXTURE_DATA(console) * self, unsigned int queue)
{
	virtio__signal(self->vp->dev->queues[queue].kick);
	run_loop();
}

static void put(uint64_t address, const char *text)
{
	memcpy(memory__at(&machine.memory, address, strlen(text)), text, strlen(text));
}

TEST_F(console, what_is_transmitted_is_shown)
{
	put(BUFFERS, "Hello, ");
	put(BUFFERS + 0x100, "host");
	describe(&self->rings[TRANSMIT], 0, BUFFERS, 7, VRING_DESC_F_NEXT, 1);
	describe(&self->rings[TRANSMIT], 1, BUFFERS + 0x100, 4, 0, 0);
	offer(&self->rings[TRANSMIT], 0);
	kick(self, TRANSMIT);
	EXPECT_EQ(11, nr_shown);
	EXPECT_STREQ("Hello, host", shown);
	EXPECT_EQ(1, self->rings[TRANSMIT].used->idx);
	EXPECT_TRUE(is_signalled(self->vp->dev->queues[TRANSMIT].call));
}

TEST_F(console, what_is_typed_fills_the_buffers_there_are)
{
	describe(&self->rings[TRANSMIT], 0, BUFFERS, 1, 0, 0);
	offer(&self->rings[TRANSMIT], 0);
	kick(self, TRANSMIT);
	ASSERT_NE(NULL, listening);
	EXPECT_EQ(0, listening->type(listening->device, "lost", 4));
	describe(&self->rings[RECEIVE], 3, BUFFERS, 4, VRING_DESC_F_WRITE, 0);
	offer(&self->rings[RECEIVE], 3);
	kick(self, RECEIVE);
	EXPECT_EQ(1, nr_more);
	EXPECT_EQ(4, listening->type(listening->device, "root\n", 5));
	EXPECT_EQ(0, memcmp(memory__at(&machine.memory, BUFFERS, 4), "root", 4));
	EXPECT_EQ(3, self->rings[RECEIVE].used->ring[0].id);
	EXPECT_EQ(4, self->rings[RECEIVE].used->ring[0].len);
	EXPECT_TRUE(is_signalled(self->vp->dev->queues[RECEIVE].call));
}

TEST_F(console, a_buffer_to_receive_into_that_is_only_readable_gets_nothing)
{
	describe(&self->rings[TRANSMIT], 0, BUFFERS, 1, 0, 0);
	offer(&self->rings[TRANSMIT], 0);
	kick(self, TRANSMIT);
	describe(&self->rings[RECEIVE], 0, BUFFERS, 4, 0, 0);
	offer(&self->rings[RECEIVE], 0);
	EXPECT_EQ(0, listening->type(listening->device, "text", 4));
	EXPECT_EQ(0, self->rings[RECEIVE].used->ring[0].len);
}

TEST_F(console, a_broken_ring_marks_the_device_and_ends_it_until_reset)
{
	describe(&self->rings[TRANSMIT], 0, BUFFERS, 1, VRING_DESC_F_NEXT, 0);
	offer(&self->rings[TRANSMIT], 0);
	kick(self, TRANSMIT);
	EXPECT_NE(0, self->vp->status & VIRTIO_CONFIG_S_NEEDS_RESET);
	describe(&self->rings[TRANSMIT], 0, BUFFERS, 1, 0, 0);
	kick(self, TRANSMIT);
	EXPECT_EQ(0, nr_shown);
	write_common(self->vp, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	memset(memory__at(&machine.memory, RINGS(0), 0x8000), 0, 0x8000);
	bring_up(self);
	describe(&self->rings[TRANSMIT], 0, BUFFERS, 1, 0, 0);
	offer(&self->rings[TRANSMIT], 0);
	kick(self, TRANSMIT);
	EXPECT_EQ(1, nr_shown);
}

TEST_F(console, rings_out_of_memory_need_a_reset)
{
	write_common(self->vp, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	write_common(self->vp, VIRTIO_PCI_COMMON_Q_SELECT, 0, 2);
	write_common(self->vp, VIRTIO_PCI_COMMON_Q_DESCHI, 0xdead, 4);
	write_common(self->vp, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	bring_up(self);
	EXPECT_NE(0, self->vp->status & VIRTIO_CONFIG_S_NEEDS_RESET);
	EXPECT_FALSE(self->vp->dev->started);
}

TEST_HARNESS_MAIN
