// SPDX-License-Identifier: GPL-2.0-only
/*
 * Split virtqueues, filled by a driver that keeps to the specification and by others.
 */
#include "machine.h"

#include "devices/virtqueue.h"
#include "rings.h"

#define RINGS 0x10000
#define BUFFERS 0x20000

static const struct virtio_ops nothing;

FIXTURE(ring)
{
	struct virtio_device dev;
	struct guest_ring guest;
	struct ring ring;
	struct chain chain;
};

FIXTURE_SETUP(ring)
{
	machine_setup();
	self->dev = (struct virtio_device){ .ops = &nothing, .machine = &machine };
	ASSERT_EQ(0, virtio__create_queues(&self->dev, 1, 256));
	self->dev.queues[0].size = RING_ENTRIES;
	self->dev.queues[0].desc = RINGS;
	self->dev.queues[0].driver = RINGS + 0x1000;
	self->dev.queues[0].device = RINGS + 0x2000;
	self->guest = guest_ring(&machine.memory, RINGS);
	ASSERT_EQ(0, ring__start(&self->ring, &self->dev, &self->dev.queues[0]));
}

FIXTURE_TEARDOWN(ring)
{
	virtio__destroy_queues(&self->dev);
	machine_teardown();
}

static bool start_at(FIXTURE_DATA(ring) * self, uint64_t desc, uint64_t driver, uint64_t device)
{
	struct virtqueue vq = { .size = RING_ENTRIES, .max = 256 };

	vq.desc = desc;
	vq.driver = driver;
	vq.device = device;
	return !ring__start(&self->ring, &self->dev, &vq);
}

/* The driver offers @head: the device must be broken by it, and stay so. */
static bool breaks(FIXTURE_DATA(ring) * self, uint16_t head)
{
	bool popped;

	offer(&self->guest, head);
	popped = ring__pop(&self->ring, &self->chain);
	return !popped && self->dev.broken && !ring__pop(&self->ring, &self->chain);
}

TEST_F(ring, an_empty_one_has_no_chain)
{
	EXPECT_FALSE(ring__pop(&self->ring, &self->chain));
	EXPECT_FALSE(self->dev.broken);
}

TEST_F(ring, a_chain_is_what_is_read_and_then_what_is_written)
{
	describe(&self->guest, 5, BUFFERS, 10, VRING_DESC_F_NEXT, 2);
	describe(&self->guest, 2, BUFFERS + 0x100, 20, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 7);
	describe(&self->guest, 7, BUFFERS + 0x200, 30, VRING_DESC_F_WRITE, 0);
	offer(&self->guest, 5);
	ASSERT_TRUE(ring__pop(&self->ring, &self->chain));
	EXPECT_EQ(1, self->chain.readable);
	EXPECT_EQ(2, self->chain.writable);
	EXPECT_EQ(30, self->chain.buffers[2].iov_len);
	EXPECT_EQ(memory__at(&machine.memory, BUFFERS + 0x100, 1), self->chain.buffers[1].iov_base);
	ring__push(&self->ring, &self->chain, 42);
	EXPECT_EQ(1, self->guest.used->idx);
	EXPECT_EQ(5, self->guest.used->ring[0].id);
	EXPECT_EQ(42, self->guest.used->ring[0].len);
}

TEST_F(ring, it_goes_round_and_its_indices_wrap)
{
	describe(&self->guest, 1, BUFFERS, 1, 0, 0);
	for (unsigned int i = 0; i < 0x10000 + 3; i++) {
		offer(&self->guest, 1);
		ASSERT_TRUE(ring__pop(&self->ring, &self->chain));
		ring__push(&self->ring, &self->chain, 0);
	}
	EXPECT_EQ(3, self->guest.used->idx);
	EXPECT_FALSE(ring__pop(&self->ring, &self->chain));
}

TEST_F(ring, the_driver_is_called_unless_it_wants_no_interrupt)
{
	ring__call(&self->ring);
	EXPECT_TRUE(is_signalled(self->dev.queues[0].call));
	self->guest.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	ring__call(&self->ring);
	EXPECT_FALSE(is_signalled(self->dev.queues[0].call));
}

TEST_F(ring, one_that_is_not_in_memory_does_not_start)
{
	EXPECT_TRUE(start_at(self, RINGS, RINGS + 0x1000, RINGS + 0x2000));
	EXPECT_FALSE(start_at(self, MEMORY_SIZE, RINGS + 0x1000, RINGS + 0x2000));
	EXPECT_FALSE(start_at(self, RINGS, MEMORY_SIZE - 2, RINGS + 0x2000));
	EXPECT_FALSE(start_at(self, RINGS, RINGS + 0x1000, MEMORY_SIZE - 4));
	EXPECT_FALSE(start_at(self, UINT64_MAX - 15, UINT64_MAX - 1, UINT64_MAX - 3));
	EXPECT_FALSE(start_at(self, PCI_ECAM, RINGS + 0x1000, RINGS + 0x2000));
}

TEST_F(ring, one_that_is_not_aligned_does_not_start)
{
	EXPECT_FALSE(start_at(self, RINGS + 8, RINGS + 0x1000, RINGS + 0x2000));
	EXPECT_FALSE(start_at(self, RINGS, RINGS + 0x1001, RINGS + 0x2000));
	EXPECT_FALSE(start_at(self, RINGS, RINGS + 0x1000, RINGS + 0x2002));
}

TEST_F(ring, one_of_an_odd_size_does_not_start)
{
	static const uint16_t sizes[] = { 0, 3, RING_MAX * 2, 0x8000, 0xffff };

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		self->dev.queues[0].size = sizes[i];
		EXPECT_EQ(-1, ring__start(&self->ring, &self->dev, &self->dev.queues[0]));
	}
}

TEST_F(ring, a_loop_of_descriptors_breaks_the_device)
{
	describe(&self->guest, 0, BUFFERS, 1, VRING_DESC_F_NEXT, 1);
	describe(&self->guest, 1, BUFFERS, 1, VRING_DESC_F_NEXT, 0);
	EXPECT_TRUE(breaks(self, 0));
}

TEST_F(ring, a_descriptor_that_follows_itself_breaks_the_device)
{
	describe(&self->guest, 0, BUFFERS, 1, VRING_DESC_F_NEXT, 0);
	EXPECT_TRUE(breaks(self, 0));
}

TEST_F(ring, a_chain_of_all_descriptors_is_fine)
{
	for (unsigned int i = 0; i < RING_ENTRIES; i++)
		describe(&self->guest, i, BUFFERS, 1, i < RING_ENTRIES - 1 ? VRING_DESC_F_NEXT : 0,
			 i + 1);
	offer(&self->guest, 0);
	ASSERT_TRUE(ring__pop(&self->ring, &self->chain));
	EXPECT_EQ(RING_ENTRIES, self->chain.readable);
}

TEST_F(ring, a_head_beyond_the_ring_breaks_the_device)
{
	EXPECT_TRUE(breaks(self, RING_ENTRIES));
}

TEST_F(ring, a_link_beyond_the_ring_breaks_the_device)
{
	describe(&self->guest, 0, BUFFERS, 1, VRING_DESC_F_NEXT, 0xffff);
	EXPECT_TRUE(breaks(self, 0));
}

TEST_F(ring, more_chains_than_the_ring_has_break_the_device)
{
	describe(&self->guest, 0, BUFFERS, 1, 0, 0);
	self->guest.avail->idx = RING_ENTRIES;
	EXPECT_TRUE(breaks(self, 0));
}

TEST_F(ring, an_index_that_goes_back_breaks_the_device)
{
	self->guest.avail->idx = 0xfffe;
	EXPECT_TRUE(breaks(self, 0));
}

TEST_F(ring, a_buffer_that_is_not_in_memory_breaks_the_device)
{
	describe(&self->guest, 0, MEMORY_SIZE - 1, 2, 0, 0);
	EXPECT_TRUE(breaks(self, 0));
}

TEST_F(ring, a_buffer_that_wraps_around_breaks_the_device)
{
	describe(&self->guest, 0, UINT64_MAX, 2, 0, 0);
	EXPECT_TRUE(breaks(self, 0));
}

TEST_F(ring, a_buffer_of_registers_breaks_the_device)
{
	describe(&self->guest, 0, PCI_ECAM, 4, VRING_DESC_F_WRITE, 0);
	EXPECT_TRUE(breaks(self, 0));
}

TEST_F(ring, an_empty_buffer_breaks_the_device)
{
	describe(&self->guest, 0, BUFFERS, 0, 0, 0);
	EXPECT_TRUE(breaks(self, 0));
}

TEST_F(ring, an_absurd_length_breaks_the_device)
{
	describe(&self->guest, 0, 0, UINT32_MAX, 0, 0);
	EXPECT_TRUE(breaks(self, 0));
}

TEST_F(ring, many_large_buffers_break_the_device)
{
	for (unsigned int i = 0; i < 4; i++)
		describe(&self->guest, i, 0, CHAIN_MAX / 2, i < 3 ? VRING_DESC_F_NEXT : 0, i + 1);
	EXPECT_TRUE(breaks(self, 0));
}

TEST_F(ring, an_indirect_descriptor_that_nobody_agreed_upon_breaks_the_device)
{
	describe(&self->guest, 0, BUFFERS, 16, VRING_DESC_F_INDIRECT, 0);
	EXPECT_TRUE(breaks(self, 0));
}

TEST_F(ring, what_is_read_after_what_is_written_breaks_the_device)
{
	describe(&self->guest, 0, BUFFERS, 1, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
	describe(&self->guest, 1, BUFFERS, 1, 0, 0);
	EXPECT_TRUE(breaks(self, 0));
}

TEST_F(ring, a_driver_that_scribbles_over_its_used_ring_harms_only_itself)
{
	describe(&self->guest, 0, BUFFERS, 1, 0, 0);
	for (unsigned int i = 0; i < 100; i++) {
		self->guest.used->idx = i * 0x3fd;
		offer(&self->guest, 0);
		ASSERT_TRUE(ring__pop(&self->ring, &self->chain));
		ring__push(&self->ring, &self->chain, 0);
	}
}

/* What the driver accepts beyond plain rings. */
static void accept_features(FIXTURE_DATA(ring) * self)
{
	self->dev.negotiated = 1ULL << VIRTIO_RING_F_INDIRECT_DESC |
			       1ULL << VIRTIO_RING_F_EVENT_IDX;
	ring__start(&self->ring, &self->dev, &self->dev.queues[0]);
}

/* An indirect table of @entries at TABLE, that has one buffer after the other. */
#define TABLE 0x30000

static struct vring_desc *indirect(FIXTURE_DATA(ring) * self, unsigned int entries)
{
	struct vring_desc *table = memory__at(&machine.memory, TABLE, entries * sizeof(*table));

	accept_features(self);
	for (unsigned int i = 0; i < entries; i++)
		table[i] = (struct vring_desc){ BUFFERS, 1, VRING_DESC_F_NEXT, i + 1 };
	table[entries - 1].flags = 0;
	describe(&self->guest, 0, TABLE, entries * sizeof(*table), VRING_DESC_F_INDIRECT, 0);
	return table;
}

TEST_F(ring, an_indirect_table_is_a_chain_where_the_driver_has_accepted_them)
{
	indirect(self, RING_ENTRIES);
	offer(&self->guest, 0);
	ASSERT_TRUE(ring__pop(&self->ring, &self->chain));
	EXPECT_EQ(RING_ENTRIES, self->chain.readable);
}

TEST_F(ring, an_indirect_table_may_follow_other_descriptors)
{
	indirect(self, 2);
	describe(&self->guest, 1, BUFFERS, 1, VRING_DESC_F_NEXT, 0);
	offer(&self->guest, 1);
	ASSERT_TRUE(ring__pop(&self->ring, &self->chain));
	EXPECT_EQ(3, self->chain.readable);
}

TEST_F(ring, a_table_of_more_descriptors_than_the_ring_breaks_the_device)
{
	indirect(self, RING_ENTRIES + 1);
	EXPECT_TRUE(breaks(self, 0));
}

TEST_F(ring, a_loop_in_an_indirect_table_breaks_the_device)
{
	struct vring_desc *table = indirect(self, 2);

	table[1].flags = VRING_DESC_F_NEXT;
	table[1].next = 0;
	EXPECT_TRUE(breaks(self, 0));
}

TEST_F(ring, a_link_beyond_an_indirect_table_breaks_the_device)
{
	indirect(self, 2)[0].next = 2;
	EXPECT_TRUE(breaks(self, 0));
}

TEST_F(ring, a_table_in_a_table_breaks_the_device)
{
	indirect(self, 2)[0] = (struct vring_desc){ TABLE, 32, VRING_DESC_F_INDIRECT, 0 };
	EXPECT_TRUE(breaks(self, 0));
}

TEST_F(ring, a_table_that_is_the_ring_itself_breaks_the_device)
{
	accept_features(self);
	describe(&self->guest, 0, RINGS, RING_ENTRIES * sizeof(*self->guest.desc),
		 VRING_DESC_F_INDIRECT, 0);
	EXPECT_TRUE(breaks(self, 0));
}

TEST_F(ring, a_descriptor_behind_an_indirect_one_breaks_the_device)
{
	indirect(self, 1);
	self->guest.desc[0].flags |= VRING_DESC_F_NEXT;
	EXPECT_TRUE(breaks(self, 0));
}

TEST_F(ring, a_table_of_no_descriptor_or_half_a_one_breaks_the_device)
{
	indirect(self, 1);
	self->guest.desc[0].len = 0;
	EXPECT_TRUE(breaks(self, 0));
	self->dev.broken = false;
	self->guest.desc[0].len = 8;
	EXPECT_TRUE(breaks(self, 0));
}

TEST_F(ring, a_table_that_is_not_in_memory_breaks_the_device)
{
	indirect(self, 1);
	self->guest.desc[0].addr = MEMORY_SIZE - 8;
	EXPECT_TRUE(breaks(self, 0));
}

TEST_F(ring, an_empty_one_says_that_the_next_chain_is_to_be_kicked)
{
	const __virtio16 *avail_event = (__virtio16 *)&self->guest.used->ring[RING_ENTRIES];

	accept_features(self);
	describe(&self->guest, 0, BUFFERS, 1, 0, 0);
	for (unsigned int i = 1; i < 3; i++) {
		offer(&self->guest, 0);
		EXPECT_TRUE(ring__pop(&self->ring, &self->chain));
		EXPECT_FALSE(ring__pop(&self->ring, &self->chain));
		EXPECT_EQ(i, *avail_event);
	}
}

TEST_HARNESS_MAIN
