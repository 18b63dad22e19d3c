// SPDX-License-Identifier: GPL-2.0-only
/*
 * A queue whose doorbell is mapped: the guest kicks a device, and is interrupted by
 * it, without the hypervisor's seeing the kick. The device is a model, and says so:
 * models/model_vdpa_blk.c.
 *
 * In a test host with --with dragonfly, vhost_vdpa.ko and model_vdpa_blk.ko.
 */
#include <linux/vhost.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "kselftest_harness.h"
#include "queue.h"
#include "vcpu-ioctl.h"

#define DEVICE "/dev/vhost-vdpa-0"
#define MODEL "/sys/kernel/debug/model_vdpa_blk/"
#define VECTOR 0x41
#define SIZE 8 /* of the virtqueue */
#define RINGS 0x38000 /* in guest memory: descriptors, 1 KiB further what is offered, used */
#define REQUEST 0x39000 /* the header, 1 KiB further the result, and 4 KiB further the data */
#define SECTOR 512

static long model_figure(const char *name)
{
	char path[64];
	FILE *in;
	long value = -1;

	snprintf(path, sizeof(path), MODEL "%s", name);
	in = fopen(path, "re");
	if (in) {
		if (fscanf(in, "%ld", &value) != 1)
			value = -1;
		fclose(in);
	}
	return value;
}

FIXTURE(doorbell)
{
	struct irq_vm vm;
	int device, call, queue;
	void *page;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
};

/* Guest memory, for the device too: its addresses are the guest's. */
static int share_memory(int device, void *memory)
{
	struct vhost_msg_v2 msg = {
		.type = VHOST_IOTLB_MSG_V2,
		.iotlb = { .size = GUEST_MEMORY,
			   .uaddr = (uintptr_t)memory,
			   .perm = VHOST_ACCESS_RW,
			   .type = VHOST_IOTLB_UPDATE },
	};

	return write(device, &msg, sizeof(msg)) == sizeof(msg) ? 0 : -1;
}

static int set_status(int device, uint8_t status)
{
	return ioctl(device, VHOST_VDPA_SET_STATUS, &status);
}

/* From reset to DRIVER_OK, in the order that vhost-vdpa wants. */
static int start_device(int device, uint8_t *memory, int call)
{
	uint64_t backend = 1 << VHOST_BACKEND_F_IOTLB_MSG_V2, features;
	struct vhost_vring_state num = { .num = SIZE }, base = {}, ready = { .num = 1 };
	struct vhost_vring_file file = { .fd = call };
	struct vhost_vring_addr addr = {
		.desc_user_addr = RINGS,
		.avail_user_addr = RINGS + 0x400,
		.used_user_addr = RINGS + 0x800,
	};
	uint8_t driver = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
	uint8_t agreed = driver | VIRTIO_CONFIG_S_FEATURES_OK;

	if (ioctl(device, VHOST_SET_OWNER) || ioctl(device, VHOST_SET_BACKEND_FEATURES, &backend) ||
	    set_status(device, driver) || ioctl(device, VHOST_GET_FEATURES, &features) ||
	    ioctl(device, VHOST_SET_FEATURES, &features) || set_status(device, agreed) ||
	    share_memory(device, memory) || ioctl(device, VHOST_SET_VRING_NUM, &num) ||
	    ioctl(device, VHOST_SET_VRING_BASE, &base) ||
	    ioctl(device, VHOST_SET_VRING_ADDR, &addr) ||
	    ioctl(device, VHOST_SET_VRING_CALL, &file) ||
	    ioctl(device, VHOST_VDPA_SET_VRING_ENABLE, &ready))
		return -1;
	return set_status(device, agreed | VIRTIO_CONFIG_S_DRIVER_OK);
}

FIXTURE_SETUP(doorbell)
{
	uint8_t *memory;

	if (guest_on_kvm())
		SKIP(return, "KVM has no queues");
	self->device = open(DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->device) TH_LOG("vhost_vdpa or the model is not there");
	ASSERT_EQ(0, irq_create(&self->vm, 1, true));
	queue_prepare(&self->vm);
	memory = self->vm.cpu[0].memory;
	self->desc = (void *)(memory + RINGS);
	self->avail = (void *)(memory + RINGS + 0x400);
	self->used = (void *)(memory + RINGS + 0x800);
	self->call = eventfd(0, EFD_NONBLOCK);
	ASSERT_EQ(0, start_device(self->device, memory, self->call));
	self->page = mmap(NULL, QUEUE_PAGE, PROT_WRITE, MAP_SHARED, self->device, 0);
	ASSERT_NE(MAP_FAILED, self->page);
	self->queue = queue_assign(&self->vm,
				   QUEUE(.flags = DRAGONFLY_QUEUE_DOORBELL | DRAGONFLY_QUEUE_MSI,
					 .notify_gpa = QUEUE_GPA, .doorbell = (uintptr_t)self->page,
					 .call_fd = self->call,
					 .msi = { .address_lo = IRQ_TO(0), .data = VECTOR }));
	ASSERT_LE(0, self->queue) TH_LOG("errno %d", errno);
	/* What the guest touches first is no exit of a kick's. */
	ASSERT_EQ(0, irq_run(&self->vm, 0, apic_take));
	queue_enter(&self->vm, 0, queue_busy, QUEUE_GPA + 8, 0);
	irq_cpu(&self->vm, 0)->stop = 1;
	ASSERT_EQ(0, irq_go_on(&self->vm, 0));
}

FIXTURE_TEARDOWN(doorbell)
{
	if (guest_on_kvm())
		return;
	close(self->queue);
	munmap(self->page, QUEUE_PAGE);
	close(self->device);
	close(self->call);
	irq_destroy(&self->vm);
}

/* What a driver does before it kicks: one request, for the sector where @n says. */
static void offer(const struct irq_vm *vm, struct vring_desc *desc, struct vring_avail *avail,
		  uint32_t type, uint64_t sector)
{
	uint8_t *request = vm->cpu[0].memory + REQUEST;
	struct virtio_blk_outhdr head = { .type = type, .sector = sector };

	memcpy(request, &head, sizeof(head));
	request[0x400] = 0xff;
	desc[0] = (struct vring_desc){ REQUEST, sizeof(head), VRING_DESC_F_NEXT, 1 };
	desc[1] = (struct vring_desc){ REQUEST + 0x1000, SECTOR,
				       VRING_DESC_F_NEXT |
					       (type == VIRTIO_BLK_T_IN ? VRING_DESC_F_WRITE : 0),
				       2 };
	desc[2] = (struct vring_desc){ REQUEST + 0x400, 1, VRING_DESC_F_WRITE, 0 };
	avail->ring[avail->idx % SIZE] = 0;
	__atomic_store_n(&avail->idx, avail->idx + 1, __ATOMIC_RELEASE);
}

#define STAT(name) guest_stat(self->vm.cpu[0].vm, name)
#define RESULT() self->vm.cpu[0].memory[REQUEST + 0x400]
#define DATA() (self->vm.cpu[0].memory + REQUEST + 0x1000)

/* The guest kicks, and halts until it is interrupted. */
#define ASK(type, sector)                                                    \
	do {                                                                 \
		offer(&self->vm, self->desc, self->avail, type, sector);     \
		irq_cpu(&self->vm, 0)->count = 0;                            \
		ASSERT_EQ(0, queue_run(&self->vm, queue_ask, QUEUE_GPA, 1)); \
		EXPECT_EQ(self->avail->idx, self->used->idx);                \
	} while (0)

TEST_F(doorbell, a_kick_reaches_the_device_without_an_exit)
{
	long seen = model_figure("doorbells");
	int64_t exits, interrupts;

	exits = STAT("exits");
	interrupts = STAT("exit_external_interrupt");
	ASSERT_EQ(0, queue_run(&self->vm, queue_kick2, QUEUE_GPA, 1000));
	interrupts = STAT("exit_external_interrupt") - interrupts;
	EXPECT_EQ(1, STAT("exits") - exits - interrupts) TH_LOG("the end, and the host's own");
	while (model_figure("doorbells") == seen)
		sched_yield();
	EXPECT_EQ(0, guest_stat(self->queue, "kicks"));
	EXPECT_EQ(0, model_figure("kicks"));
}

TEST_F(doorbell, the_device_answers_with_its_interrupt)
{
	int64_t violations;

	/* With its handler's pages touched for the first time. */
	ASK(VIRTIO_BLK_T_FLUSH, 0);
	violations = STAT("exit_ept_violation");
	for (unsigned int n = 0; n < 20; n++) {
		memset(DATA(), n + 1, SECTOR);
		ASK(VIRTIO_BLK_T_OUT, n);
		EXPECT_EQ(VIRTIO_BLK_S_OK, RESULT());
	}
	for (unsigned int n = 0; n < 20; n++) {
		memset(DATA(), 0, SECTOR);
		ASK(VIRTIO_BLK_T_IN, n);
		EXPECT_EQ(VIRTIO_BLK_S_OK, RESULT());
		EXPECT_EQ(n + 1, DATA()[0]);
		EXPECT_EQ(n + 1, DATA()[SECTOR - 1]);
		EXPECT_EQ(SECTOR + 1, self->used->ring[(self->used->idx - 1) % SIZE].len);
	}
	EXPECT_EQ(violations, STAT("exit_ept_violation"));
	EXPECT_EQ(41, guest_stat(self->queue, "interrupts"));
	EXPECT_EQ(41, irq_count(&self->vm, 0, VECTOR));
	EXPECT_EQ(0, guest_stat(self->queue, "kicks"));
}

/* The model is as careful as a device. */
TEST_F(doorbell, the_model_refuses_what_is_wrong)
{
	uint8_t status;

	ASK(VIRTIO_BLK_T_IN, 1UL << 40);
	EXPECT_EQ(VIRTIO_BLK_S_IOERR, RESULT());
	ASK(VIRTIO_BLK_T_OUT, ~0UL);
	EXPECT_EQ(VIRTIO_BLK_S_IOERR, RESULT());
	ASK(1234, 0);
	EXPECT_EQ(VIRTIO_BLK_S_UNSUPP, RESULT());
	offer(&self->vm, self->desc, self->avail, VIRTIO_BLK_T_IN, 0);
	self->desc[1].next = 1;
	ASSERT_EQ(0, queue_run(&self->vm, queue_kick2, QUEUE_GPA, 1));
	do {
		ASSERT_EQ(0, ioctl(self->device, VHOST_VDPA_GET_STATUS, &status));
	} while (!(status & VIRTIO_CONFIG_S_NEEDS_RESET));
}

TEST_F(doorbell, a_queue_that_is_released_leaves_the_device)
{
	long seen;

	close(self->queue);
	self->queue = -1;
	seen = model_figure("doorbells");
	ASSERT_EQ(KVM_EXIT_MMIO, queue_run(&self->vm, queue_kick2, QUEUE_GPA, 1));
	EXPECT_EQ(0, irq_go_on(&self->vm, 0));
	usleep(2000);
	EXPECT_EQ(seen, model_figure("doorbells"));
	/* User space has the page as before. */
	*(volatile uint16_t *)self->page = 0;
	while (model_figure("doorbells") == seen)
		sched_yield();
}

TEST_HARNESS_MAIN
