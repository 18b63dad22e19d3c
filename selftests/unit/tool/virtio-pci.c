// SPDX-License-Identifier: GPL-2.0-only
/*
 * The virtio transport: its status machine, its queues' ways to a backend and back,
 * and drivers that do not keep to the specification.
 */
#include "machine.h"

#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <sys/resource.h>

#include "devices/virtio.h"

#define SLOT 1
#define QUEUES 3
#define CONFIG_SIZE 10
#define FEATURE 5 /* one of the device's own */

static const unsigned int driver_ready = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;

/* --- a backend that notes what it is told --- */

static struct virtio_device device;
static unsigned int nr_started, nr_stopped, nr_destroyed;
static bool refuses, fails;
static uint8_t config[CONFIG_SIZE];

static bool backend_accept(struct virtio_device *dev)
{
	(void)dev;
	return !refuses;
}

static int backend_start(struct virtio_device *dev)
{
	(void)dev;
	nr_started++;
	return fails ? -1 : 0;
}

static void backend_stop(struct virtio_device *dev)
{
	(void)dev;
	nr_stopped++;
}

static void backend_read(struct virtio_device *dev, uint32_t offset, void *data, unsigned int size)
{
	(void)dev;
	memcpy(data, config + offset, size);
}

static void backend_write(struct virtio_device *dev, uint32_t offset, const void *data,
			  unsigned int size)
{
	(void)dev;
	memcpy(config + offset, data, size);
}

static void backend_destroy(struct virtio_device *dev)
{
	nr_destroyed++;
	virtio__destroy_queues(dev);
}

static const struct virtio_ops backend = {
	.accept = backend_accept,
	.start = backend_start,
	.stop = backend_stop,
	.read_config = backend_read,
	.write_config = backend_write,
	.destroy = backend_destroy,
};

static int add_device(unsigned int nr_queues)
{
	device = (struct virtio_device){
		.ops = &backend,
		.machine = &machine,
		.name = "the backend",
		.id = 2,
		.offered = 1ULL << FEATURE | 1ULL << VIRTIO_F_RING_RESET |
			   1ULL << VIRTIO_F_ACCESS_PLATFORM | 1ULL << 63,
		.config_size = CONFIG_SIZE,
	};
	if (virtio__create_queues(&device, nr_queues, 256))
		return -1;
	return virtio_pci__add(&machine, &device);
}

/* --- a driver --- */

static uint64_t common, isr, notify, own, table;
static unsigned int window, msix_flags;

static unsigned int find(uint8_t type)
{
	unsigned int at = 0;

	do
		at = capability(SLOT, PCI_CAP_ID_VNDR, at);
	while (at && config_read(SLOT, at + VIRTIO_PCI_CAP_CFG_TYPE, 1) != type);
	return at;
}

static uint64_t place(uint8_t type)
{
	unsigned int at = find(type);

	return bar(SLOT, config_read(SLOT, at + VIRTIO_PCI_CAP_BAR, 1)) +
	       config_read(SLOT, at + VIRTIO_PCI_CAP_OFFSET, 4);
}

static uint32_t get(unsigned int offset, unsigned int size)
{
	return mmio_read(common + offset, size);
}

static void set(unsigned int offset, uint32_t value, unsigned int size)
{
	mmio_write(common + offset, value, size);
}

static uint8_t status(void)
{
	return get(VIRTIO_PCI_COMMON_STATUS, 1);
}

static void set_status(uint8_t value)
{
	set(VIRTIO_PCI_COMMON_STATUS, value, 1);
}

static void set_features(uint64_t features)
{
	set(VIRTIO_PCI_COMMON_GFSELECT, 0, 4);
	set(VIRTIO_PCI_COMMON_GF, features, 4);
	set(VIRTIO_PCI_COMMON_GFSELECT, 1, 4);
	set(VIRTIO_PCI_COMMON_GF, features >> 32, 4);
}

static void probe(void)
{
	config_write(SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	common = place(VIRTIO_PCI_CAP_COMMON_CFG);
	isr = place(VIRTIO_PCI_CAP_ISR_CFG);
	notify = place(VIRTIO_PCI_CAP_NOTIFY_CFG);
	own = place(VIRTIO_PCI_CAP_DEVICE_CFG);
	window = find(VIRTIO_PCI_CAP_PCI_CFG);
	msix_flags = capability(SLOT, PCI_CAP_ID_MSIX, 0) + PCI_MSIX_FLAGS;
	table = bar(SLOT, config_read(SLOT, msix_flags - PCI_MSIX_FLAGS + PCI_MSIX_TABLE, 4));
}

static void negotiate(void)
{
	set_status(0);
	set_status(driver_ready);
	set_features(1ULL << VIRTIO_F_VERSION_1 | 1 << FEATURE);
	set_status(driver_ready | VIRTIO_CONFIG_S_FEATURES_OK);
}

static void enable_queue(unsigned int queue, uint16_t vector)
{
	set(VIRTIO_PCI_COMMON_Q_SELECT, queue, 2);
	set(VIRTIO_PCI_COMMON_Q_MSIX, vector, 2);
	set(VIRTIO_PCI_COMMON_Q_DESCLO, 0x1000, 4);
	set(VIRTIO_PCI_COMMON_Q_DESCHI, 1, 4);
	set(VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
}

static void open_vector(unsigned int vector)
{
	mmio_write(table + vector * PCI_MSIX_ENTRY_SIZE, 0xfee00000, 8);
	mmio_write(table + vector * PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_DATA, 0x30 + vector, 8);
}

static void mask_vector(unsigned int vector)
{
	mmio_write(table + vector * PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL, 1, 4);
}

/* A driver as it should be: configuration by vector 0, each queue by the one after its own. */
static void bring_up(void)
{
	negotiate();
	config_write(SLOT, msix_flags, PCI_MSIX_FLAGS_ENABLE, 2);
	set(VIRTIO_PCI_COMMON_MSIX, 0, 2);
	for (unsigned int i = 0; i < device.nr_queues; i++)
		enable_queue(i, i + 1);
	for (unsigned int i = 0; i <= device.nr_queues; i++)
		open_vector(i);
	set_status(status() | VIRTIO_CONFIG_S_DRIVER_OK);
}

FIXTURE(virtio){};

FIXTURE_SETUP(virtio)
{
	(void)self;
	machine_setup();
	ASSERT_EQ(0, add_device(QUEUES));
	probe();
}

FIXTURE_TEARDOWN(virtio)
{
	(void)self;
	machine_teardown();
	EXPECT_EQ(1, nr_destroyed);
	EXPECT_EQ(0, nr_irqfds);
	EXPECT_EQ(0, nr_ioeventfds);
}

TEST_F(virtio, the_device_is_a_modern_one_with_all_structures)
{
	EXPECT_EQ(0x10421af4, config_read(SLOT, PCI_VENDOR_ID, 4));
	EXPECT_EQ(1, config_read(SLOT, PCI_REVISION_ID, 1));
	EXPECT_NE(0, find(VIRTIO_PCI_CAP_COMMON_CFG));
	EXPECT_NE(0, find(VIRTIO_PCI_CAP_ISR_CFG));
	EXPECT_NE(0, find(VIRTIO_PCI_CAP_NOTIFY_CFG));
	EXPECT_NE(0, find(VIRTIO_PCI_CAP_DEVICE_CFG));
	EXPECT_NE(0, window);
	EXPECT_EQ(4096,
		  config_read(SLOT, find(VIRTIO_PCI_CAP_NOTIFY_CFG) + VIRTIO_PCI_NOTIFY_CAP_MULT,
			      4));
	EXPECT_EQ(QUEUES, get(VIRTIO_PCI_COMMON_NUMQ, 2));
}

TEST_F(virtio, what_the_transport_cannot_do_is_not_offered)
{
	uint64_t features;

	set(VIRTIO_PCI_COMMON_DFSELECT, 1, 4);
	features = (uint64_t)get(VIRTIO_PCI_COMMON_DF, 4) << 32;
	set(VIRTIO_PCI_COMMON_DFSELECT, 0, 4);
	features |= get(VIRTIO_PCI_COMMON_DF, 4);
	EXPECT_EQ(1ULL << FEATURE | 1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_F_ACCESS_PLATFORM |
			  1ULL << 63,
		  features);
	set(VIRTIO_PCI_COMMON_DFSELECT, 2, 4);
	EXPECT_EQ(0, get(VIRTIO_PCI_COMMON_DF, 4));
}

TEST_F(virtio, features_are_ok_only_with_version_1)
{
	set_status(driver_ready);
	set_features(1 << FEATURE);
	set_status(driver_ready | VIRTIO_CONFIG_S_FEATURES_OK);
	EXPECT_EQ(driver_ready, status());
}

TEST_F(virtio, features_are_ok_only_if_they_were_offered)
{
	set_status(driver_ready);
	set_features(1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_F_RING_RESET);
	set_status(driver_ready | VIRTIO_CONFIG_S_FEATURES_OK);
	EXPECT_EQ(driver_ready, status());
}

TEST_F(virtio, features_are_ok_only_if_the_backend_accepts_them)
{
	refuses = true;
	negotiate();
	EXPECT_EQ(driver_ready, status());
	refuses = false;
	negotiate();
	EXPECT_EQ(driver_ready | VIRTIO_CONFIG_S_FEATURES_OK, status());
}

TEST_F(virtio, features_stay_as_they_were_accepted)
{
	negotiate();
	set_features(0);
	EXPECT_EQ(1ULL << VIRTIO_F_VERSION_1 | 1 << FEATURE, device.negotiated);
}

TEST_F(virtio, no_driver_starts_without_features_ok)
{
	set_status(driver_ready | VIRTIO_CONFIG_S_DRIVER_OK);
	EXPECT_EQ(driver_ready, status());
	EXPECT_EQ(0, nr_started);
}

TEST_F(virtio, a_started_device_has_a_way_to_and_from_each_enabled_queue)
{
	bring_up();
	EXPECT_EQ(1, nr_started);
	EXPECT_TRUE(device.started);
	for (unsigned int i = 0; i < QUEUES; i++) {
		EXPECT_EQ(device.queues[i].kick, kicked_at(notify + i * 4096));
		EXPECT_EQ(0x31 + i, sent_by(device.queues[i].call));
	}
	EXPECT_EQ(0x100001000, device.queues[0].desc);
}

TEST_F(virtio, queues_that_are_not_enabled_have_none)
{
	negotiate();
	enable_queue(1, VIRTIO_MSI_NO_VECTOR);
	set_status(status() | VIRTIO_CONFIG_S_DRIVER_OK);
	EXPECT_EQ(-1, kicked_at(notify));
	EXPECT_EQ(device.queues[1].kick, kicked_at(notify + 4096));
	EXPECT_EQ(1, nr_ioeventfds);
}

TEST_F(virtio, a_reset_stops_the_backend_and_forgets_everything)
{
	bring_up();
	virtio__signal(device.queues[0].call);
	set_status(0);
	EXPECT_EQ(1, nr_stopped);
	EXPECT_EQ(0, status());
	EXPECT_EQ(0, nr_irqfds);
	EXPECT_EQ(0, nr_ioeventfds);
	EXPECT_EQ(0, device.negotiated);
	EXPECT_FALSE(device.queues[0].enabled);
	EXPECT_FALSE(is_signalled(device.queues[0].call));
	EXPECT_EQ(VIRTIO_MSI_NO_VECTOR, get(VIRTIO_PCI_COMMON_MSIX, 2));
	EXPECT_EQ(VIRTIO_MSI_NO_VECTOR, get(VIRTIO_PCI_COMMON_Q_MSIX, 2));
	bring_up();
	EXPECT_EQ(2, nr_started);
}

TEST_F(virtio, a_backend_that_does_not_start_needs_a_reset)
{
	fails = true;
	bring_up();
	EXPECT_NE(0, status() & VIRTIO_CONFIG_S_NEEDS_RESET);
	EXPECT_FALSE(device.started);
	EXPECT_EQ(0, nr_ioeventfds);
	set_status(0);
	EXPECT_EQ(0, nr_stopped);
	EXPECT_EQ(0, status());
}

TEST_F(virtio, a_broken_device_says_so_by_the_configuration_interrupt)
{
	uint8_t generation;

	bring_up();
	generation = get(VIRTIO_PCI_COMMON_CFGGENERATION, 1);
	EXPECT_EQ(1, nr_irqfds - QUEUES);
	virtio__broken(&device);
	EXPECT_NE(0, status() & VIRTIO_CONFIG_S_NEEDS_RESET);
	EXPECT_NE(generation, get(VIRTIO_PCI_COMMON_CFGGENERATION, 1));
	EXPECT_EQ(VIRTIO_PCI_ISR_CONFIG, mmio_read(isr, 1));
	EXPECT_EQ(0, mmio_read(isr, 1));
	set_status(0);
	EXPECT_FALSE(device.broken);
	EXPECT_EQ(1, nr_stopped);
}

TEST_F(virtio, a_change_before_driver_ok_interrupts_nobody)
{
	negotiate();
	virtio__config_changed(&device);
	EXPECT_EQ(0, mmio_read(isr, 1));
}

TEST_F(virtio, a_masked_vector_lets_its_call_wait)
{
	uint64_t pba = table + (QUEUES + 1) * PCI_MSIX_ENTRY_SIZE;

	bring_up();
	mask_vector(1);
	EXPECT_EQ(-1, sent_by(device.queues[0].call));
	virtio__signal(device.queues[0].call);
	EXPECT_EQ(1 << 1, mmio_read(pba, 8));
	open_vector(1);
	EXPECT_EQ(0x31, sent_by(device.queues[0].call));
	EXPECT_EQ(0, mmio_read(pba, 8));
}

TEST_F(virtio, queues_may_share_a_vector)
{
	bring_up();
	for (unsigned int i = 0; i < QUEUES; i++) {
		set(VIRTIO_PCI_COMMON_Q_SELECT, i, 2);
		set(VIRTIO_PCI_COMMON_Q_MSIX, 0, 2);
		EXPECT_EQ(0x30, sent_by(device.queues[i].call));
	}
	mask_vector(0);
	EXPECT_EQ(0, nr_irqfds);
}

TEST_F(virtio, a_vector_that_is_not_there_reads_back_as_none)
{
	set(VIRTIO_PCI_COMMON_MSIX, QUEUES + 1, 2);
	EXPECT_EQ(VIRTIO_MSI_NO_VECTOR, get(VIRTIO_PCI_COMMON_MSIX, 2));
	set(VIRTIO_PCI_COMMON_Q_MSIX, 0x7ff, 2);
	EXPECT_EQ(VIRTIO_MSI_NO_VECTOR, get(VIRTIO_PCI_COMMON_Q_MSIX, 2));
	set(VIRTIO_PCI_COMMON_Q_MSIX, QUEUES, 2);
	EXPECT_EQ(QUEUES, get(VIRTIO_PCI_COMMON_Q_MSIX, 2));
}

TEST_F(virtio, a_queue_that_is_not_there_reads_as_nothing_and_takes_nothing)
{
	negotiate();
	for (unsigned int queue = QUEUES; queue < 0x10000; queue += 0x0fff) {
		enable_queue(queue, 1);
		set(VIRTIO_PCI_COMMON_Q_SIZE, 16, 2);
		EXPECT_EQ(0, get(VIRTIO_PCI_COMMON_Q_SIZE, 2));
		EXPECT_EQ(0, get(VIRTIO_PCI_COMMON_Q_ENABLE, 2));
		EXPECT_EQ(VIRTIO_MSI_NO_VECTOR, get(VIRTIO_PCI_COMMON_Q_MSIX, 2));
	}
}

TEST_F(virtio, a_queue_has_a_size_that_the_backend_takes)
{
	EXPECT_EQ(256, get(VIRTIO_PCI_COMMON_Q_SIZE, 2));
	set(VIRTIO_PCI_COMMON_Q_SIZE, 64, 2);
	EXPECT_EQ(64, get(VIRTIO_PCI_COMMON_Q_SIZE, 2));
	set(VIRTIO_PCI_COMMON_Q_SIZE, 0, 2);
	set(VIRTIO_PCI_COMMON_Q_SIZE, 65, 2);
	set(VIRTIO_PCI_COMMON_Q_SIZE, 512, 2);
	EXPECT_EQ(64, get(VIRTIO_PCI_COMMON_Q_SIZE, 2));
}

TEST_F(virtio, an_enabled_queue_stays_as_it_is)
{
	bring_up();
	set(VIRTIO_PCI_COMMON_Q_SELECT, 0, 2);
	set(VIRTIO_PCI_COMMON_Q_SIZE, 16, 2);
	set(VIRTIO_PCI_COMMON_Q_USEDLO, 0x7000, 4);
	set(VIRTIO_PCI_COMMON_Q_ENABLE, 0, 2);
	EXPECT_EQ(256, device.queues[0].size);
	EXPECT_EQ(0, device.queues[0].device);
	EXPECT_TRUE(device.queues[0].enabled);
}

TEST_F(virtio, a_kick_that_the_kernel_has_not_taken_arrives)
{
	bring_up();
	mmio_write(notify + 2 * 4096, 2, 2);
	EXPECT_TRUE(is_signalled(device.queues[2].kick));
	EXPECT_EQ(0, mmio_read(notify, 4));
}

TEST_F(virtio, a_kick_of_a_queue_that_does_not_run_goes_nowhere)
{
	mmio_write(notify, 0, 2);
	mmio_write(notify + QUEUES * 4096, QUEUES, 2);
	EXPECT_FALSE(is_signalled(device.queues[0].kick));
}

TEST_F(virtio, the_ways_follow_the_bar)
{
	unsigned int number =
		config_read(SLOT, find(VIRTIO_PCI_CAP_NOTIFY_CFG) + VIRTIO_PCI_CAP_BAR, 1);

	bring_up();
	config_write(SLOT, PCI_BASE_ADDRESS_0 + number * 4, PCI_WINDOW + 0x10000000, 4);
	EXPECT_EQ(-1, kicked_at(notify));
	EXPECT_EQ(device.queues[1].kick, kicked_at(PCI_WINDOW + 0x10001000));
	EXPECT_EQ(0x32, sent_by(device.queues[1].call));
	config_write(SLOT, PCI_BASE_ADDRESS_0 + number * 4, 0x1000, 4);
	EXPECT_EQ(0, nr_ioeventfds);
	config_write(SLOT, PCI_BASE_ADDRESS_0 + number * 4, notify, 4);
	EXPECT_EQ(QUEUES, nr_ioeventfds);
}

TEST_F(virtio, the_devices_configuration_ends_where_it_ends)
{
	config[CONFIG_SIZE - 1] = 0x5a;
	EXPECT_EQ(0xffffff5a, mmio_read(own + CONFIG_SIZE - 1, 4));
	EXPECT_EQ(UINT32_MAX, mmio_read(own + CONFIG_SIZE, 4));
	mmio_write(own + CONFIG_SIZE - 1, 0x12345678, 4);
	EXPECT_EQ(0x78, config[CONFIG_SIZE - 1]);
	mmio_write(own + 4095, 0, 1);
}

TEST_F(virtio, no_access_to_any_register_leaves_it)
{
	for (unsigned int size = 1; size <= 8; size++) {
		for (unsigned int at = 0; at < 0x80; at++) {
			mmio_read(common + at, size);
			mmio_write(common + at, UINT64_MAX, size);
			mmio_read(isr + at, size);
			mmio_write(isr + at, UINT64_MAX, size);
		}
		mmio_read(common + 4096 - size, size);
		mmio_read(isr + 4096 - 1, size);
		mmio_read(own + 4096 - 1, size);
		mmio_read(own + 2 * 4096 - size, size);
	}
}

static void point_window(uint8_t number, uint32_t offset, uint32_t length)
{
	config_write(SLOT, window + VIRTIO_PCI_CAP_BAR, number, 1);
	config_write(SLOT, window + VIRTIO_PCI_CAP_OFFSET, offset, 4);
	config_write(SLOT, window + VIRTIO_PCI_CAP_LENGTH, length, 4);
}

TEST_F(virtio, configuration_space_has_a_window_on_the_registers)
{
	unsigned int data = window + sizeof(struct virtio_pci_cap);

	point_window(0, VIRTIO_PCI_COMMON_NUMQ, 2);
	EXPECT_EQ(QUEUES, config_read(SLOT, data, 2));
	point_window(0, VIRTIO_PCI_COMMON_STATUS, 1);
	config_write(SLOT, data, driver_ready, 1);
	EXPECT_EQ(driver_ready, status());
}

TEST_F(virtio, the_window_shows_nothing_outside_a_bar)
{
	static const uint32_t offsets[] = { 0, 1, 2, 0x3ffc, 0x4000, 0x10000000, 0xfffffffc };
	static const uint32_t lengths[] = { 0, 1, 2, 3, 4, 8, 0xffffffff };
	unsigned int data = window + sizeof(struct virtio_pci_cap);

	for (unsigned int number = 0; number < 256; number++)
		for (unsigned int i = 0; i < 7 * 7; i++) {
			point_window(number, offsets[i % 7], lengths[i / 7]);
			config_read(SLOT, data, 4);
			config_write(SLOT, data, UINT32_MAX, 4);
		}
	EXPECT_EQ(0, nr_started);
}

TEST_F(virtio, a_device_that_is_ejected_while_it_runs_is_stopped)
{
	bring_up();
	pci__remove(machine.pci, pci__device(machine.pci, SLOT));
	EXPECT_EQ(1, nr_stopped);
	EXPECT_EQ(UINT32_MAX, get(VIRTIO_PCI_COMMON_STATUS, 4));
}

TEST_F(virtio, where_there_are_queue_objects_each_queue_is_one)
{
	const struct dragonfly_queue *queue;
	int doorbell;

	machine.has_queues = true;
	device.queues[1].doorbell = &doorbell;
	bring_up();
	EXPECT_EQ(0, nr_ioeventfds);
	EXPECT_EQ(1, nr_irqfds);
	queue = object_at(notify);
	ASSERT_NE(NULL, queue);
	EXPECT_EQ(device.queues[0].kick, queue->kick_fd);
	EXPECT_EQ(device.queues[0].call, queue->call_fd);
	EXPECT_EQ(0x31, queue->msi.data);
	EXPECT_EQ(0, queue->msi.flags);
	mask_vector(1);
	EXPECT_EQ(DRAGONFLY_MSI_MASKED, queue->msi.flags);
	queue = object_at(notify + 4096);
	ASSERT_NE(NULL, queue);
	EXPECT_EQ(-1, queue->kick_fd);
	EXPECT_EQ((uintptr_t)&doorbell, queue->doorbell);
	EXPECT_EQ(DRAGONFLY_QUEUE_DOORBELL, queue->flags);
	set_status(0);
	EXPECT_EQ(NULL, object_at(notify));
}

FIXTURE(many){};

FIXTURE_SETUP(many)
{
	(void)self;
	machine_setup();
}

FIXTURE_TEARDOWN(many)
{
	(void)self;
	machine_teardown();
	EXPECT_EQ(1, nr_destroyed);
}

TEST_F(many, a_device_has_1024_queues)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	ASSERT_EQ(0, add_device(VIRTIO_QUEUES_MAX));
	probe();
	bring_up();
	EXPECT_EQ(VIRTIO_QUEUES_MAX, nr_ioeventfds);
	EXPECT_EQ(0x30 + 1024, sent_by(device.queues[1023].call));
	EXPECT_EQ(device.queues[1023].kick, kicked_at(notify + 1023 * 4096));
	set_status(0);
	EXPECT_EQ(0, nr_irqfds);
}

TEST_F(many, too_much_configuration_is_refused_with_a_sentence)
{
	device = (struct virtio_device){ .ops = &backend, .machine = &machine, .name = "much" };
	ASSERT_EQ(0, virtio__create_queues(&device, 1, 16));
	device.config_size = VIRTIO_CONFIG_MAX + 1;
	EXPECT_EQ(-1, virtio_pci__add(&machine, &device));
	EXPECT_SAYS("much");
	EXPECT_EQ(NULL, pci__device(machine.pci, 1));
}

TEST(queues_beyond_1024_are_refused_with_a_sentence)
{
	device = (struct virtio_device){ .name = "many" };
	EXPECT_EQ(-1, virtio__create_queues(&device, VIRTIO_QUEUES_MAX + 1, 16));
	EXPECT_SAYS("many");
}

TEST_HARNESS_MAIN
