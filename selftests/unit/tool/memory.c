// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's memory, from edge to edge.
 */
#include "complaints.h"

#include <fcntl.h>

#include "machine/memory.h"

#define MIB 0x100000ULL
#define GIB 0x40000000ULL

FIXTURE(memory)
{
	struct memory memory;
};

FIXTURE_SETUP(memory)
{
	self->memory.fd = -1;
}

FIXTURE_TEARDOWN(memory)
{
	memory__destroy(&self->memory);
}

#define AT(guest, size) memory__at(&self->memory, guest, size)

TEST_F(memory, below_3_gib_is_one_piece)
{
	char *start;

	ASSERT_EQ(0, memory__create(&self->memory, 16 * MIB, 0));
	ASSERT_EQ(1, self->memory.nr_pieces);
	start = AT(0, 16 * MIB);
	ASSERT_NE(NULL, start);
	EXPECT_EQ(start + 16 * MIB - 1, AT(16 * MIB - 1, 1));
	EXPECT_EQ(start + 1, AT(1, 16 * MIB - 1));
	EXPECT_EQ(NULL, AT(0, 16 * MIB + 1));
	EXPECT_EQ(NULL, AT(16 * MIB - 1, 2));
	EXPECT_EQ(NULL, AT(16 * MIB, 1));
	EXPECT_EQ(NULL, AT(MEMORY_HIGH, 1));
}

TEST_F(memory, of_3_gib_is_one_piece_still)
{
	ASSERT_EQ(0, memory__create(&self->memory, 3 * GIB, 0));
	EXPECT_EQ(1, self->memory.nr_pieces);
	EXPECT_NE(NULL, AT(MEMORY_LOW_END - 1, 1));
	EXPECT_EQ(NULL, AT(MEMORY_LOW_END, 1));
	EXPECT_EQ(NULL, AT(MEMORY_HIGH, 1));
}

TEST_F(memory, above_3_gib_goes_on_at_4_gib)
{
	ASSERT_EQ(0, memory__create(&self->memory, 3 * GIB + 4096, 0));
	ASSERT_EQ(2, self->memory.nr_pieces);
	EXPECT_EQ(MEMORY_LOW_END, self->memory.pieces[1].offset);
	EXPECT_EQ(self->memory.pieces[1].host, AT(MEMORY_HIGH, 4096));
	EXPECT_EQ(NULL, AT(MEMORY_HIGH - 1, 1));
	EXPECT_EQ(NULL, AT(MEMORY_HIGH - 1, 2));
	EXPECT_EQ(NULL, AT(MEMORY_HIGH, 4097));
	EXPECT_EQ(NULL, AT(MEMORY_HIGH + 4096, 1));
	EXPECT_EQ(NULL, AT(MEMORY_LOW_END - 1, 2));
	EXPECT_EQ(NULL, AT(MEMORY_LOW_END - 1, MEMORY_HIGH));
}

TEST_F(memory, sizes_and_addresses_do_not_wrap)
{
	ASSERT_EQ(0, memory__create(&self->memory, 3 * GIB + 4096, 0));
	EXPECT_EQ(NULL, AT(0, UINT64_MAX));
	EXPECT_EQ(NULL, AT(1, UINT64_MAX));
	EXPECT_EQ(NULL, AT(4096, UINT64_MAX - 4095));
	EXPECT_EQ(NULL, AT(UINT64_MAX, 1));
	EXPECT_EQ(NULL, AT(UINT64_MAX, 2));
	EXPECT_EQ(NULL, AT(MEMORY_HIGH + 1, UINT64_MAX));
}

TEST_F(memory, is_shared_by_its_file)
{
	char byte = 0;

	ASSERT_EQ(0, memory__create(&self->memory, 3 * GIB + 4096, 0));
	*(char *)AT(MEMORY_HIGH + 5, 1) = 0x77;
	EXPECT_EQ(1, pread(self->memory.fd, &byte, 1, self->memory.pieces[1].offset + 5));
	EXPECT_EQ(0x77, byte);
	EXPECT_EQ(FD_CLOEXEC, fcntl(self->memory.fd, F_GETFD));
}

TEST_F(memory, that_cannot_be_is_refused_and_leaves_nothing)
{
	EXPECT_EQ(-1, memory__create(&self->memory, UINT64_MAX, 0));
	EXPECT_SAYS("for the guest");
	memory__destroy(&self->memory);
	EXPECT_EQ(-1, self->memory.fd);
	/* Of pages that no CPU has. */
	EXPECT_EQ(-1, memory__create(&self->memory, 16 * MIB, 8192));
	EXPECT_SAYS("does the host have huge pages of this size");
}

TEST_F(memory, of_huge_pages_is_given_up_when_a_signal_comes)
{
	int signals = signals__open();

	ASSERT_LE(0, signals);
	raise(SIGTERM);
	EXPECT_EQ(-1, memory__create(&self->memory, 16 * MIB, 2 * MIB));
	if (self->memory.fd < 0)
		SKIP(return, "this machine's kernel has no huge pages of 2 MiB");
	EXPECT_STREQ("stopped", why);
}

TEST_F(memory, is_closed_when_it_is_file_0_and_destroyed_once)
{
	close(0);
	ASSERT_EQ(0, memory__create(&self->memory, MIB, 0));
	ASSERT_EQ(0, self->memory.fd);
	memory__destroy(&self->memory);
	EXPECT_EQ(-1, fcntl(0, F_GETFD));
	memory__destroy(&self->memory);
}

TEST_HARNESS_MAIN
