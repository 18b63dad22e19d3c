// SPDX-License-Identifier: GPL-2.0-only
/*
 * MSI-X: masks, messages, pending bits, and accesses that no guest should make.
 */
#include "machine.h"

#include "devices/msix.h"

#define VECTORS 70
#define CONTROL(vector) ((vector)*PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL)

FIXTURE(msix)
{
	struct pci_device pci;
	struct msix msix;
	uint64_t table;
	unsigned int flags; /* where in configuration space */
};

static unsigned int nr_changed;
static int last_changed;
static bool waits[VECTORS];

static void changed(struct msix *msix, int vector)
{
	(void)msix;
	nr_changed++;
	last_changed = vector;
}

static bool pending(struct msix *msix, unsigned int vector)
{
	(void)msix;
	return waits[vector];
}

static void written(struct pci_device *pci, unsigned int offset, unsigned int size)
{
	(void)offset;
	(void)size;
	msix__written(pci->bars[0].region.device);
}

FIXTURE_SETUP(msix)
{
	machine_setup();
	self->msix = (struct msix){ .changed = changed, .pending = pending };
	self->pci = (struct pci_device){ .written = written };
	ASSERT_EQ(0, msix__create(&self->msix, &self->pci, 0, VECTORS));
	ASSERT_EQ(0, pci__add(machine.pci, &self->pci));
	config_write(1, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	self->table = bar(1, 0);
	self->flags = capability(1, PCI_CAP_ID_MSIX, 0) + PCI_MSIX_FLAGS;
}

FIXTURE_TEARDOWN(msix)
{
	msix__destroy(&self->msix);
	machine_teardown();
}

static void enable(FIXTURE_DATA(msix) * self)
{
	config_write(1, self->flags, PCI_MSIX_FLAGS_ENABLE, 2);
}

static void unmask(FIXTURE_DATA(msix) * self, unsigned int vector, uint32_t data)
{
	uint64_t entry = self->table + vector * PCI_MSIX_ENTRY_SIZE;

	mmio_write(entry + PCI_MSIX_ENTRY_LOWER_ADDR, 0xfee01000, 4);
	mmio_write(entry + PCI_MSIX_ENTRY_UPPER_ADDR, 0, 4);
	mmio_write(entry + PCI_MSIX_ENTRY_DATA, data, 4);
	mmio_write(entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 0, 4);
}

TEST_F(msix, the_capability_says_how_many_vectors_and_where)
{
	unsigned int at = self->flags - PCI_MSIX_FLAGS;

	EXPECT_EQ(VECTORS - 1, config_read(1, self->flags, 2));
	EXPECT_EQ(0, config_read(1, at + PCI_MSIX_TABLE, 4));
	EXPECT_EQ(VECTORS * PCI_MSIX_ENTRY_SIZE, config_read(1, at + PCI_MSIX_PBA, 4));
}

TEST_F(msix, the_size_of_the_table_cannot_be_written)
{
	config_write(1, self->flags, 0xffff, 2);
	EXPECT_EQ(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL | (VECTORS - 1),
		  config_read(1, self->flags, 2));
}

TEST_F(msix, vectors_are_masked_at_first)
{
	struct msi msi;

	enable(self);
	for (unsigned int i = 0; i < VECTORS; i++)
		EXPECT_FALSE(msix__message(&self->msix, i, &msi));
	EXPECT_EQ(1, mmio_read(self->table + CONTROL(VECTORS - 1), 4));
}

TEST_F(msix, an_unmasked_vector_is_its_message)
{
	struct msi msi;

	enable(self);
	unmask(self, 3, 0x41);
	ASSERT_TRUE(msix__message(&self->msix, 3, &msi));
	EXPECT_EQ(0xfee01000, msi.address);
	EXPECT_EQ(0x41, msi.data);
	EXPECT_EQ(3, last_changed);
}

TEST_F(msix, the_device_hears_only_of_what_changes_for_it)
{
	unmask(self, 3, 0x41);
	EXPECT_EQ(0, nr_changed);
	enable(self);
	EXPECT_EQ(1, nr_changed);
	EXPECT_EQ(-1, last_changed);
	mmio_write(self->table + CONTROL(3), 0, 4);
	mmio_write(self->table + CONTROL(4), 1, 4);
	mmio_write(self->table + 4 * PCI_MSIX_ENTRY_SIZE, 0xfee00000, 4);
	EXPECT_EQ(1, nr_changed);
	mmio_write(self->table + CONTROL(3), 1, 4);
	EXPECT_EQ(2, nr_changed);
}

TEST_F(msix, the_function_mask_closes_all_and_keeps_each)
{
	struct msi msi;

	unmask(self, 0, 0x20);
	config_write(1, self->flags, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL, 2);
	EXPECT_FALSE(msix__message(&self->msix, 0, &msi));
	enable(self);
	EXPECT_TRUE(msix__message(&self->msix, 0, &msi));
	config_write(1, self->flags, 0, 2);
	EXPECT_FALSE(msix__message(&self->msix, 0, &msi));
}

TEST_F(msix, what_waits_behind_a_mask_shows_as_pending)
{
	uint64_t pba = self->table + VECTORS * PCI_MSIX_ENTRY_SIZE;

	enable(self);
	waits[0] = waits[65] = true;
	EXPECT_EQ(1, mmio_read(pba, 8));
	EXPECT_EQ(2, mmio_read(pba + 8, 4));
	unmask(self, 65, 0x20);
	EXPECT_EQ(0, mmio_read(pba + 8, 8));
}

TEST_F(msix, pending_bits_cannot_be_written)
{
	mmio_write(self->table + VECTORS * PCI_MSIX_ENTRY_SIZE, UINT64_MAX, 8);
	EXPECT_EQ(0, mmio_read(self->table + VECTORS * PCI_MSIX_ENTRY_SIZE, 8));
}

TEST_F(msix, odd_accesses_change_nothing)
{
	static const unsigned int sizes[] = { 1, 2, 3, 5, 6, 7 };

	unmask(self, 1, 0x55);
	for (unsigned int i = 0; i < 6; i++)
		mmio_write(self->table + PCI_MSIX_ENTRY_SIZE, 0, sizes[i]);
	mmio_write(self->table + PCI_MSIX_ENTRY_SIZE + 2, 0, 4);
	mmio_write(self->table + PCI_MSIX_ENTRY_SIZE + 4, 0, 8);
	EXPECT_EQ(0xfee01000, mmio_read(self->table + PCI_MSIX_ENTRY_SIZE, 8));
	EXPECT_EQ(0x55, mmio_read(self->table + PCI_MSIX_ENTRY_SIZE + 8, 8));
	EXPECT_EQ(0xffff, mmio_read(self->table + PCI_MSIX_ENTRY_SIZE, 2));
}

TEST_F(msix, every_access_to_the_whole_bar_stays_inside)
{
	uint64_t size = self->pci.bars[0].region.size;

	enable(self);
	for (uint64_t at = 0; at < size; at += 4) {
		mmio_write(self->table + at, UINT64_MAX, 4);
		mmio_read(self->table + at, 4);
		mmio_write(self->table + at, UINT64_MAX, 8);
		mmio_read(self->table + at, 8);
	}
	EXPECT_EQ(1, mmio_read(self->table + CONTROL(VECTORS - 1), 4));
}

TEST_F(msix, a_vector_out_of_range_has_no_message)
{
	struct msi msi;

	enable(self);
	EXPECT_FALSE(msix__message(&self->msix, VECTORS, &msi));
	EXPECT_FALSE(msix__message(&self->msix, 0xffff, &msi));
}

TEST_HARNESS_MAIN
