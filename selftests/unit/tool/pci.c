// SPDX-License-Identifier: GPL-2.0-only
/*
 * The PCI bus as a guest finds it, and as a hostile one would have it.
 */
#include "machine.h"

#define BAR_SIZE 0x4000
#define MOVED (PCI_WINDOW + 0x10000000)

struct device {
	struct pci_device pci;
	unsigned int nr_written, nr_mapped, nr_removed;
	uint64_t offset, value;
};

static void device_read(void *context, uint64_t offset, void *data, unsigned int size)
{
	struct device *device = context;

	device->offset = offset;
	memcpy(data, &device->value, size);
}

static void device_write(void *context, uint64_t offset, const void *data, unsigned int size)
{
	struct device *device = context;

	device->offset = offset;
	memcpy(&device->value, data, size);
}

static void written(struct pci_device *pci, unsigned int offset, unsigned int size)
{
	struct device *device = (struct device *)pci;

	(void)offset;
	(void)size;
	device->nr_written++;
}

static void mapped(struct pci_device *pci, unsigned int number)
{
	(void)number;
	((struct device *)pci)->nr_mapped++;
}

static void removed(struct pci_device *pci)
{
	((struct device *)pci)->nr_removed++;
}

static struct device new_device(struct device *device)
{
	struct device fresh = {
		.pci = { .written = written, .mapped = mapped, .removed = removed },
	};

	fresh.pci.bars[0].region = (struct region){
		.size = BAR_SIZE,
		.read = device_read,
		.write = device_write,
		.device = device,
	};
	pci__identify(&fresh.pci, 0x1234, 0x5678, 0xff);
	return fresh;
}

FIXTURE(bus)
{
	struct device a, b;
};

FIXTURE_SETUP(bus)
{
	machine_setup();
	self->a = new_device(&self->a);
	self->b = new_device(&self->b);
	ASSERT_EQ(0, pci__add(machine.pci, &self->a.pci));
	ASSERT_EQ(0, pci__add(machine.pci, &self->b.pci));
}

FIXTURE_TEARDOWN(bus)
{
	machine_teardown();
}

static void decode(unsigned int slot)
{
	config_write(slot, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
}

static void select_register(uint32_t address)
{
	bus__write(&machine.ports, 0xcf8, &address, 4);
}

static uint32_t data_read(unsigned int port, unsigned int size)
{
	uint32_t value = 0;

	bus__read(&machine.ports, port, &value, size);
	return value;
}

TEST_F(bus, a_host_bridge_is_in_slot_0_and_devices_follow)
{
	EXPECT_EQ(0x0600, config_read(0, PCI_CLASS_DEVICE, 2));
	EXPECT_EQ(0x56781234, config_read(1, PCI_VENDOR_ID, 4));
	EXPECT_EQ(0x56781234, config_read(2, PCI_VENDOR_ID, 4));
	EXPECT_EQ(&self->b.pci, pci__device(machine.pci, 2));
}

TEST_F(bus, an_empty_slot_and_other_functions_read_all_ones)
{
	EXPECT_EQ(UINT32_MAX, config_read(3, PCI_VENDOR_ID, 4));
	EXPECT_EQ(UINT32_MAX, config_read(1, 0x1000 | PCI_VENDOR_ID, 4));
	config_write(3, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
}

TEST_F(bus, the_ports_reach_the_same_registers_in_bytes_words_and_dwords)
{
	select_register(0x80000000 | 1 << 11);
	EXPECT_EQ(0x56781234, data_read(0xcfc, 4));
	EXPECT_EQ(0x5678, data_read(0xcfe, 2));
	EXPECT_EQ(0x56, data_read(0xcff, 1));
	EXPECT_EQ(0x80000000 | 1 << 11, data_read(0xcf8, 4));
}

TEST_F(bus, the_ports_answer_for_no_other_bus_and_not_when_disabled)
{
	select_register(0x80000000 | 1 << 16 | 1 << 11);
	EXPECT_EQ(UINT32_MAX, data_read(0xcfc, 4));
	select_register(1 << 11);
	EXPECT_EQ(UINT32_MAX, data_read(0xcfc, 4));
}

TEST_F(bus, only_a_whole_dword_changes_the_address_register)
{
	uint8_t byte = 1;

	select_register(0x80000000 | 1 << 11);
	bus__write(&machine.ports, 0xcf8, &byte, 1);
	bus__write(&machine.ports, 0xcfb, &byte, 1);
	EXPECT_EQ(0x80000000 | 1 << 11, data_read(0xcf8, 4));
}

TEST_F(bus, read_only_registers_stay_as_they_are)
{
	config_write(1, PCI_VENDOR_ID, 0, 4);
	config_write(1, PCI_CLASS_REVISION, 0, 4);
	config_write(1, PCI_BASE_ADDRESS_1, UINT32_MAX, 4);
	EXPECT_EQ(0x56781234, config_read(1, PCI_VENDOR_ID, 4));
	EXPECT_EQ(0xff00, config_read(1, PCI_CLASS_DEVICE, 2));
	EXPECT_EQ(0, config_read(1, PCI_BASE_ADDRESS_1, 4));
}

TEST_F(bus, accesses_at_the_end_and_beyond_it_stay_inside)
{
	for (unsigned int size = 1; size <= 8; size++) {
		for (unsigned int offset = 0xf8; offset < 0x108; offset++) {
			mmio_write(ecam(1, offset), UINT64_MAX, size);
			mmio_read(ecam(1, offset), size);
		}
		mmio_write(ecam(31, 0xfff), UINT64_MAX, size);
		mmio_read(ecam(31, 0x1000 * 8 - size), size);
	}
	EXPECT_EQ(UINT32_MAX, config_read(1, 0x100, 4));
	EXPECT_EQ(0xffffff00, config_read(1, 0xff, 4));
	EXPECT_EQ(0x56781234, config_read(2, PCI_VENDOR_ID, 4));
}

TEST_F(bus, bars_have_addresses_of_their_own_from_the_start)
{
	EXPECT_GE(bar(1, 0), PCI_WINDOW);
	EXPECT_EQ(0, bar(1, 0) % BAR_SIZE);
	EXPECT_NE(bar(1, 0), bar(2, 0));
	EXPECT_FALSE(self->a.pci.bars[0].mapped);
}

TEST_F(bus, a_bar_answers_while_memory_decoding_is_on)
{
	decode(1);
	mmio_write(bar(1, 0) + 8, 0x77, 4);
	EXPECT_EQ(0x77, self->a.value);
	EXPECT_EQ(8, self->a.offset);
	EXPECT_EQ(0x77, mmio_read(bar(1, 0), 4));
	config_write(1, PCI_COMMAND, 0, 2);
	EXPECT_EQ(UINT32_MAX, mmio_read(bar(1, 0), 4));
	EXPECT_EQ(2, self->a.nr_mapped);
}

TEST_F(bus, a_bar_tells_its_size_also_while_it_is_decoded)
{
	uint32_t before = bar(1, 0);

	decode(1);
	config_write(1, PCI_BASE_ADDRESS_0, UINT32_MAX, 4);
	EXPECT_EQ(-BAR_SIZE, (int)bar(1, 0));
	EXPECT_FALSE(self->a.pci.bars[0].mapped);
	config_write(1, PCI_BASE_ADDRESS_0, before, 4);
	EXPECT_TRUE(self->a.pci.bars[0].mapped);
}

TEST_F(bus, a_bar_moves_byte_by_byte)
{
	decode(1);
	for (unsigned int i = 0; i < 4; i++)
		config_write(1, PCI_BASE_ADDRESS_0 + i, MOVED >> i * 8 & 0xff, 1);
	EXPECT_EQ(MOVED, bar(1, 0));
	self->a.value = 5;
	EXPECT_EQ(5, mmio_read(MOVED, 1));
}

TEST_F(bus, a_bar_over_what_is_not_its_own_is_only_not_mapped)
{
	static const uint32_t places[] = {
		0,
		MEMORY_SIZE / 2,
		PCI_WINDOW - BAR_SIZE,
		PCI_ECAM,
		IOAPIC_ADDRESS,
		LAPIC_ADDRESS,
		(uint32_t)-BAR_SIZE,
	};

	decode(1);
	for (unsigned int i = 0; i < sizeof(places) / sizeof(*places); i++) {
		config_write(1, PCI_BASE_ADDRESS_0, places[i], 4);
		EXPECT_FALSE(self->a.pci.bars[0].mapped);
	}
	EXPECT_EQ(0x56781234, config_read(1, PCI_VENDOR_ID, 4));
}

TEST_F(bus, two_bars_at_one_place_are_the_first_ones_until_it_leaves)
{
	decode(1);
	decode(2);
	config_write(2, PCI_BASE_ADDRESS_0, bar(1, 0), 4);
	EXPECT_TRUE(self->a.pci.bars[0].mapped);
	EXPECT_FALSE(self->b.pci.bars[0].mapped);
	config_write(1, PCI_BASE_ADDRESS_0, MOVED, 4);
	EXPECT_TRUE(self->a.pci.bars[0].mapped);
	EXPECT_TRUE(self->b.pci.bars[0].mapped);
}

TEST_F(bus, a_removed_device_leaves_its_bar_and_its_slot)
{
	uint64_t was = bar(1, 0);

	decode(1);
	pci__remove(machine.pci, &self->a.pci);
	EXPECT_EQ(1, self->a.nr_removed);
	EXPECT_EQ(UINT32_MAX, mmio_read(was, 4));
	EXPECT_EQ(UINT32_MAX, config_read(1, PCI_VENDOR_ID, 4));
	self->a = new_device(&self->a);
	EXPECT_EQ(0, pci__add(machine.pci, &self->a.pci));
	EXPECT_EQ(1, self->a.pci.slot);
}

TEST_F(bus, a_slot_that_is_to_be_ejected_is_filled_last)
{
	static struct device more[PCI_SLOTS];

	pci__expect(machine.pci, 1, true);
	pci__remove(machine.pci, &self->a.pci);
	for (unsigned int slot = 3; slot < PCI_SLOTS; slot++) {
		more[slot] = new_device(&more[slot]);
		ASSERT_EQ(0, pci__add(machine.pci, &more[slot].pci));
		EXPECT_EQ(slot, more[slot].pci.slot);
	}
	self->a = new_device(&self->a);
	EXPECT_EQ(0, pci__add(machine.pci, &self->a.pci));
	EXPECT_EQ(1, self->a.pci.slot);
}

TEST_F(bus, a_33rd_device_is_refused_with_a_sentence)
{
	static struct device more[PCI_SLOTS];

	for (unsigned int i = 3; i < PCI_SLOTS; i++) {
		more[i] = new_device(&more[i]);
		ASSERT_EQ(0, pci__add(machine.pci, &more[i].pci));
	}
	more[0] = new_device(&more[0]);
	EXPECT_EQ(-1, pci__add(machine.pci, &more[0].pci));
	EXPECT_SAYS("slots");
}

TEST_F(bus, a_bar_larger_than_the_window_is_refused_with_a_sentence)
{
	static struct device big;

	big = new_device(&big);
	big.pci.bars[0].region.size = 2 * PCI_WINDOW_SIZE;
	EXPECT_EQ(-1, pci__add(machine.pci, &big.pci));
	EXPECT_SAYS("room");
	EXPECT_EQ(NULL, pci__device(machine.pci, 3));
}

TEST_F(bus, capabilities_are_found_in_the_list)
{
	static const uint8_t one[] = { PCI_CAP_ID_VNDR, 0, 7 }, two[] = { PCI_CAP_ID_MSIX, 0 };
	unsigned int first = pci__add_capability(&self->a.pci, one, sizeof(one));
	unsigned int second = pci__add_capability(&self->a.pci, two, sizeof(two));

	EXPECT_EQ(first, capability(1, PCI_CAP_ID_VNDR, 0));
	EXPECT_EQ(second, capability(1, PCI_CAP_ID_MSIX, 0));
	EXPECT_EQ(0, capability(1, PCI_CAP_ID_PM, 0));
	EXPECT_EQ(7, config_read(1, first + 2, 1));
}

TEST_HARNESS_MAIN
