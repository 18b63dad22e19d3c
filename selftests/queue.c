// SPDX-License-Identifier: GPL-2.0-only
/*
 * Queues that a VM is given: kicks, interrupts, and who owns what.
 *
 * In a test host with --with dragonfly; KVM has none. What a doorbell does is
 * also selftests/doorbell.c's, where there is a device behind it.
 */
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "queue.h"
#include "vcpu-ioctl.h"

#define VECTOR 0x41
#define GSI 30
#define MSI_TO(n, vector)                               \
	{                                               \
		.address_lo = IRQ_TO(n), .data = vector \
	}

/*
 * Pages of a device's: of the model in models/, if that is there with two queues; else
 * of the firmware, just below 4 GiB, which nobody owns. What is written there is lost.
 */
#define MODEL "/dev/vhost-vdpa-0"
#define FIRMWARE 0xffff0000

struct device {
	int fd;
	off_t base;
};

FIXTURE(queue)
{
	struct irq_vm vm;
	struct device device;
	int kick, call;
};

FIXTURE_SETUP(queue)
{
	if (guest_on_kvm())
		SKIP(return, "KVM has no queues");
	ASSERT_EQ(0, irq_create(&self->vm, 2, true));
	queue_prepare(&self->vm);
	self->kick = eventfd(0, EFD_NONBLOCK);
	self->call = eventfd(0, EFD_NONBLOCK);
	ASSERT_LE(0, self->call);
	self->device.fd = open(MODEL, O_RDWR | O_CLOEXEC);
	if (self->device.fd < 0)
		self->device = (struct device){ open("/dev/mem", O_RDWR | O_CLOEXEC), FIRMWARE };
}

FIXTURE_TEARDOWN(queue)
{
	if (guest_on_kvm())
		return;
	close(self->kick);
	close(self->call);
	close(self->device.fd);
	irq_destroy(&self->vm);
}

/* A descriptor that the test goes on with. */
#define ASSIGN(...)                                                    \
	({                                                             \
		int fd_ = queue_assign(&self->vm, QUEUE(__VA_ARGS__)); \
		ASSERT_LE(0, fd_)                                      \
		{                                                      \
			TH_LOG("line %d: errno %d", __LINE__, errno);  \
		}                                                      \
		fd_;                                                   \
	})
#define DENIED(error, ...) FAILS(error, queue_assign(&self->vm, QUEUE(__VA_ARGS__)))
#define DOORBELL(page, gpa) \
	.flags = DRAGONFLY_QUEUE_DOORBELL, .doorbell = (uintptr_t)(page), .notify_gpa = (gpa)
#define CALL(fd, n, vector) .flags = DRAGONFLY_QUEUE_MSI, .call_fd = (fd), .msi = MSI_TO(n, vector)
#define SET_MSI(queue, n, vector, flags) \
	ASSERT_EQ(0, queue_set_msi(queue, IRQ_TO(n), vector, flags))
#define SIGNAL(fd) ASSERT_EQ(0, eventfd_write(fd, 1))
/* How often each vCPU has taken the vector, once both have run. */
#define TAKEN(first, second, vector)                                \
	do {                                                        \
		ASSERT_TRUE(irq_take_all(&self->vm));               \
		EXPECT_EQ(first, irq_count(&self->vm, 0, vector));  \
		EXPECT_EQ(second, irq_count(&self->vm, 1, vector)); \
	} while (0)
#define KICKS(reason, label, gpa, count)                                   \
	do {                                                               \
		ASSERT_EQ(reason, queue_run(&self->vm, label, gpa, count)) \
		{                                                          \
			TH_LOG("line %d", __LINE__);                       \
		}                                                          \
		/* The store is done; what comes next is the end. */       \
		if ((reason) == KVM_EXIT_MMIO)                             \
			EXPECT_EQ(0, irq_go_on(&self->vm, 0));             \
	} while (0)

static void *device_page(const struct device *device, int flags, void *at, unsigned int n)
{
	return mmap(at, QUEUE_PAGE, PROT_WRITE, flags, device->fd, device->base + n * QUEUE_PAGE);
}

#define DEVICE_PAGE(name, n)                                          \
	void *name = device_page(&self->device, MAP_SHARED, NULL, n); \
	do {                                                          \
		if (name == MAP_FAILED)                               \
			SKIP(return, "no device memory to be had");   \
	} while (0)

/* --- what it is for ------------------------------------------------------- */

TEST(the_device_says_how_many_queues_there_can_be)
{
	int device = guest_device();

	EXPECT_EQ(guest_on_kvm() ? 0 : QUEUE_MAX,
		  ioctl(device, KVM_CHECK_EXTENSION, DRAGONFLY_CAP_QUEUES));
	close(device);
}

TEST(kvm_knows_of_no_queues)
{
	struct guest g;

	if (!guest_on_kvm())
		SKIP(return, "this is not KVM");
	ASSERT_EQ(0, guest_create_vm(&g));
	FAILS(ENOTTY, ioctl(g.vm, DRAGONFLY_QUEUE_ASSIGN, &QUEUE()));
	guest_destroy(&g);
}

TEST_F(queue, a_kick_signals_its_eventfd_and_is_counted)
{
	int queue = ASSIGN(.notify_gpa = QUEUE_GPA, .kick_fd = self->kick);

	KICKS(0, queue_kick2, QUEUE_GPA, 100);
	EXPECT_EQ(100, queue_signals(self->kick));
	KICKS(0, queue_kick4, QUEUE_GPA, 10);
	EXPECT_EQ(10, queue_signals(self->kick));
	EXPECT_EQ(110, guest_stat(queue, "kicks"));
	EXPECT_EQ(0, guest_stat(queue, "interrupts"));
	KICKS(KVM_EXIT_MMIO, queue_kick2, QUEUE_GPA + 2, 1);
	KICKS(KVM_EXIT_MMIO, queue_kick2, QUEUE_GPA + QUEUE_PAGE, 1);
	close(queue);
}

TEST_F(queue, a_store_of_another_length_is_no_kick)
{
	int queue = ASSIGN(.notify_gpa = QUEUE_GPA, .notify_len = 2, .kick_fd = self->kick);

	KICKS(0, queue_kick2, QUEUE_GPA, 100);
	KICKS(KVM_EXIT_MMIO, queue_kick4, QUEUE_GPA, 1);
	EXPECT_EQ(100, queue_signals(self->kick));
	EXPECT_EQ(100, guest_stat(queue, "kicks"));
	close(queue);
}

TEST_F(queue, a_signal_becomes_the_interrupt)
{
	int queue = ASSIGN(CALL(self->call, 1, VECTOR));

	TAKEN(0, 0, VECTOR);
	for (unsigned int n = 1; n < 4; n++) {
		SIGNAL(self->call);
		TAKEN(0, n, VECTOR);
	}
	EXPECT_EQ(0, queue_signals(self->call));
	SET_MSI(queue, 0, VECTOR + 1, 0);
	SIGNAL(self->call);
	TAKEN(0, 3, VECTOR);
	TAKEN(1, 0, VECTOR + 1);
	EXPECT_EQ(4, guest_stat(queue, "interrupts"));
	SET_MSI(queue, 7, VECTOR, 0);
	SIGNAL(self->call);
	EXPECT_EQ(4, guest_stat(queue, "interrupts")) TH_LOG("there is no such vCPU");
	close(queue);
}

TEST_F(queue, what_was_signalled_before_is_one_interrupt)
{
	int queue;

	ASSERT_EQ(0, eventfd_write(self->call, 3));
	queue = ASSIGN(CALL(self->call, 0, VECTOR));
	TAKEN(1, 0, VECTOR);
	EXPECT_EQ(0, queue_signals(self->call));
	close(queue);
}

TEST_F(queue, a_masked_interrupt_waits_in_its_eventfd)
{
	int queue = ASSIGN(CALL(self->call, 0, VECTOR));
	struct pollfd pending = { .fd = self->call, .events = POLLIN };

	for (unsigned int n = 1; n < 4; n++) {
		SET_MSI(queue, 0, VECTOR, DRAGONFLY_MSI_MASKED);
		EXPECT_EQ(0, poll(&pending, 1, 0));
		SIGNAL(self->call);
		SIGNAL(self->call);
		TAKEN(n - 1, 0, VECTOR);
		EXPECT_EQ(1, poll(&pending, 1, 0)) TH_LOG("where user space sees it");
		SET_MSI(queue, 0, VECTOR, 0);
		EXPECT_EQ(0, poll(&pending, 1, 0));
		TAKEN(n, 0, VECTOR);
	}
	SET_MSI(queue, 0, VECTOR, DRAGONFLY_MSI_MASKED);
	SET_MSI(queue, 0, VECTOR, 0);
	TAKEN(3, 0, VECTOR);
	EXPECT_EQ(3, guest_stat(queue, "interrupts"));
	close(queue);
}

TEST_F(queue, without_a_message_it_is_masked_at_first)
{
	int queue = ASSIGN(.call_fd = self->call, .msi = MSI_TO(0, VECTOR));

	SIGNAL(self->call);
	TAKEN(0, 0, VECTOR);
	SET_MSI(queue, 1, VECTOR, 0);
	TAKEN(0, 1, VECTOR);
	close(queue);
	queue = ASSIGN(.flags = DRAGONFLY_QUEUE_MSI, .call_fd = self->call,
		       .msi.flags = DRAGONFLY_MSI_MASKED);
	SIGNAL(self->call);
	close(queue);
	EXPECT_EQ(1, queue_signals(self->call)) TH_LOG("a queue that goes leaves it there");
}

/* The other end of both eventfds, as a device is. */
struct echo {
	int kick, call;
};

static void *echo(void *arg)
{
	struct echo *e = arg;
	struct pollfd kicked = { .fd = e->kick, .events = POLLIN };

	while (poll(&kicked, 1, -1) == 1 && queue_signals(e->kick) < 1000)
		eventfd_write(e->call, 1);
	return NULL;
}

TEST_F(queue, each_kick_comes_back_as_an_interrupt)
{
	int queue =
		ASSIGN(.notify_gpa = QUEUE_GPA, .kick_fd = self->kick, CALL(self->call, 0, VECTOR));
	struct echo ends = { self->kick, self->call };
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, echo, &ends));
	KICKS(0, queue_ask, QUEUE_GPA, 200);
	EXPECT_EQ(200, irq_count(&self->vm, 0, VECTOR));
	EXPECT_EQ(200, guest_stat(queue, "kicks"));
	EXPECT_EQ(200, guest_stat(queue, "interrupts"));
	ASSERT_EQ(0, eventfd_write(self->kick, 1000));
	pthread_join(thread, NULL);
	close(queue);
}

TEST_F(queue, there_can_be_1024_and_no_more)
{
	struct rlimit files = { 4096, 4096 };
	int queues[QUEUE_MAX], calls[QUEUE_MAX];

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	for (int i = 0; i < QUEUE_MAX; i++) {
		/* From both ends, so that the order is not that of the addresses. */
		uint64_t page = i % 2 ? QUEUE_MAX - 1 - i / 2 : i / 2;

		calls[i] = eventfd(0, EFD_NONBLOCK);
		queues[i] = ASSIGN(.notify_gpa = QUEUE_GPA + page * QUEUE_PAGE, .notify_len = 2,
				   .kick_fd = self->kick, CALL(calls[i], i % 2, 0x20 + i % 0xd0));
	}
	DENIED(ENOSPC, .kick_fd = self->kick);
	KICKS(0, queue_sweep, QUEUE_GPA, QUEUE_MAX);
	EXPECT_EQ(QUEUE_MAX, queue_signals(self->kick));
	for (int i = 0; i < QUEUE_MAX; i++) {
		SIGNAL(calls[i]);
		EXPECT_EQ(1, guest_stat(queues[i], "kicks"));
		EXPECT_EQ(1, guest_stat(queues[i], "interrupts"));
	}
	for (int i = 0; i < QUEUE_MAX; i++) {
		close(calls[i]);
		close(queues[i]);
	}
	EXPECT_EQ(0, queue_all());
	close(ASSIGN(.notify_gpa = QUEUE_GPA, .kick_fd = self->kick));
}

/* --- doorbells ------------------------------------------------------------ */

#define VIOLATIONS() guest_stat(self->vm.cpu[0].vcpu, "exit_ept_violation")

TEST_F(queue, a_store_to_a_doorbell_does_not_exit)
{
	DEVICE_PAGE(page, 0);
	int queue = ASSIGN(DOORBELL(page, QUEUE_GPA));
	int64_t before;

	/* Its code, stack and tables are touched for the first time elsewhere. */
	KICKS(KVM_EXIT_MMIO, queue_kick2, QUEUE_GPA + QUEUE_PAGE, 1);
	before = VIOLATIONS();
	KICKS(0, queue_kick2, QUEUE_GPA, 1);
	KICKS(0, queue_kick2, QUEUE_GPA + 0x123, 1000);
	EXPECT_EQ(before, VIOLATIONS());
	EXPECT_EQ(0, guest_stat(queue, "kicks"));
	close(queue);
	KICKS(KVM_EXIT_MMIO, queue_kick2, QUEUE_GPA, 1);
	munmap(page, QUEUE_PAGE);
}

TEST_F(queue, a_doorbell_that_the_user_takes_away_is_gone)
{
	DEVICE_PAGE(page, 0);
	int queue = ASSIGN(DOORBELL(page, QUEUE_GPA));

	KICKS(0, queue_kick2, QUEUE_GPA, 1);
	ASSERT_EQ(0, munmap(page, QUEUE_PAGE));
	KICKS(-EFAULT, queue_kick2, QUEUE_GPA, 1);
	/* Nor does something else come in its place. */
	ASSERT_EQ(page, mmap(page, QUEUE_PAGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	KICKS(-EFAULT, queue_kick2, QUEUE_GPA, 1);
	ASSERT_EQ(page, device_page(&self->device, MAP_SHARED | MAP_FIXED, page, 1));
	KICKS(-EFAULT, queue_kick2, QUEUE_GPA, 1);
	ASSERT_EQ(page, device_page(&self->device, MAP_SHARED | MAP_FIXED, page, 0));
	KICKS(0, queue_kick2, QUEUE_GPA, 1);
	close(queue);
	munmap(page, QUEUE_PAGE);
}

TEST_F(queue, what_is_no_page_of_a_devices_is_no_doorbell)
{
	DEVICE_PAGE(page, 0);
	uint8_t *copy = device_page(&self->device, MAP_PRIVATE, NULL, 0);

	DENIED(EFAULT, DOORBELL(self->vm.cpu[0].memory, QUEUE_GPA));
	DENIED(EFAULT, DOORBELL(NULL, QUEUE_GPA));
	if (copy != MAP_FAILED)
		DENIED(EFAULT, DOORBELL(copy, QUEUE_GPA));
	ASSERT_EQ(0, mprotect(page, QUEUE_PAGE, PROT_READ));
	DENIED(EFAULT, DOORBELL(page, QUEUE_GPA));
	ASSERT_EQ(0, mprotect(page, QUEUE_PAGE, PROT_WRITE));
	DENIED(EINVAL, DOORBELL((uintptr_t)page + 8, QUEUE_GPA));
	DENIED(EINVAL, DOORBELL(page, QUEUE_GPA + 8));
	DENIED(EINVAL, DOORBELL(page, 1ULL << 60));
	DENIED(EINVAL, DOORBELL(page, QUEUE_GPA), .notify_len = 2);
	DENIED(EINVAL, DOORBELL(page, QUEUE_GPA), .kick_fd = self->kick);
	DENIED(EINVAL, .doorbell = (uintptr_t)page, .notify_gpa = QUEUE_GPA);
	close(ASSIGN(DOORBELL(page, QUEUE_GPA)));
	munmap(page, QUEUE_PAGE);
	if (copy != MAP_FAILED)
		munmap(copy, QUEUE_PAGE);
}

TEST_F(queue, a_doorbell_is_where_nothing_else_is)
{
	DEVICE_PAGE(page, 0);
	DEVICE_PAGE(other, 1);
	int vm = self->vm.cpu[0].vm, queue;

	DENIED(EEXIST, DOORBELL(page, 0));
	DENIED(EEXIST, DOORBELL(page, GUEST_MEMORY - QUEUE_PAGE));
	DENIED(EEXIST, DOORBELL(page, APIC_BASE));
	queue = ASSIGN(DOORBELL(page, QUEUE_GPA));
	DENIED(EEXIST, DOORBELL(other, QUEUE_GPA));
	FAILS(EEXIST, guest_memory(vm, 1, 0, QUEUE_GPA, QUEUE_PAGE, other));
	FAILS(EEXIST, guest_memory(vm, 1, 0, QUEUE_GPA - QUEUE_PAGE, 4 * QUEUE_PAGE,
				   self->vm.cpu[0].memory));
	ASSERT_EQ(0, guest_memory(vm, 1, 0, QUEUE_GPA + QUEUE_PAGE, QUEUE_PAGE, other));
	KICKS(0, queue_sweep, QUEUE_GPA, 2);
	close(queue);
	ASSERT_EQ(0, guest_memory(vm, 2, 0, QUEUE_GPA, QUEUE_PAGE, page));
	DENIED(EEXIST, DOORBELL(page, QUEUE_GPA));
}

/* --- one owner ------------------------------------------------------------ */

TEST_F(queue, a_doorbell_has_one_owner)
{
	DEVICE_PAGE(page, 0);
	void *twin = device_page(&self->device, MAP_SHARED, NULL, 0);
	struct irq_vm second;
	int queue;

	ASSERT_EQ(0, irq_create(&second, 1, true));
	queue = ASSIGN(DOORBELL(page, QUEUE_GPA));
	DENIED(EBUSY, DOORBELL(twin, QUEUE_GPA + QUEUE_PAGE));
	FAILS(EBUSY, queue_assign(&second, QUEUE(DOORBELL(twin, QUEUE_GPA))));
	close(queue);
	queue = queue_assign(&second, QUEUE(DOORBELL(twin, QUEUE_GPA)));
	ASSERT_LE(0, queue);
	DENIED(EBUSY, DOORBELL(page, QUEUE_GPA));
	close(queue);
	irq_destroy(&second);
}

TEST_F(queue, an_interrupt_has_one_owner)
{
	int twin = dup(self->call), queue;
	struct irq_vm second;

	ASSERT_EQ(0, irq_create(&second, 1, true));
	queue = ASSIGN(CALL(self->call, 0, VECTOR));
	DENIED(EBUSY, CALL(twin, 0, VECTOR));
	FAILS(EBUSY, queue_assign(&second, QUEUE(CALL(twin, 0, VECTOR))));
	FAILS(EBUSY, irq_fd(&self->vm, twin, GSI, 0));
	FAILS(EBUSY, irq_fd(&second, twin, GSI, 0));
	SIGNAL(twin);
	TAKEN(1, 0, VECTOR);
	close(queue);
	ASSERT_EQ(0, irq_fd(&second, twin, GSI, 0));
	DENIED(EBUSY, CALL(twin, 0, VECTOR));
	FAILS(EBUSY, queue_assign(&second, QUEUE(CALL(twin, 0, VECTOR))));
	/* To irqfds alone nothing has changed: each VM may have it. */
	EXPECT_EQ(0, irq_fd(&self->vm, twin, GSI, 0));
	irq_destroy(&second);
	DENIED(EBUSY, CALL(twin, 0, VECTOR));
	ASSERT_EQ(0, irq_fd(&self->vm, twin, GSI, KVM_IRQFD_FLAG_DEASSIGN));
	close(ASSIGN(CALL(twin, 0, VECTOR)));
	close(twin);
}

TEST_F(queue, an_address_is_kicked_for_one)
{
	struct kvm_ioeventfd e = { .fd = self->kick, .addr = QUEUE_GPA, .len = 2 };
	int vm = self->vm.cpu[0].vm, queue;

	queue = ASSIGN(.notify_gpa = QUEUE_GPA, .notify_len = 2, .kick_fd = self->kick);
	DENIED(EEXIST, .notify_gpa = QUEUE_GPA, .notify_len = 2, .kick_fd = self->call);
	DENIED(EEXIST, .notify_gpa = QUEUE_GPA, .kick_fd = self->call);
	FAILS(EEXIST, ioctl(vm, KVM_IOEVENTFD, &e));
	e.flags = KVM_IOEVENTFD_FLAG_DEASSIGN;
	FAILS(ENOENT, ioctl(vm, KVM_IOEVENTFD, &e)); /* it is the queue's */
	close(ASSIGN(.notify_gpa = QUEUE_GPA, .notify_len = 4, .kick_fd = self->kick));
	close(queue);
	e.flags = 0;
	ASSERT_EQ(0, ioctl(vm, KVM_IOEVENTFD, &e));
	DENIED(EEXIST, .notify_gpa = QUEUE_GPA, .notify_len = 2, .kick_fd = self->call);
}

/* --- what is refused ------------------------------------------------------ */

TEST_F(queue, what_cannot_be_is_refused)
{
	int pipes[2], closed = dup(self->kick), queue;

	ASSERT_EQ(0, pipe(pipes));
	close(closed);
	for (uint32_t flag = 4; flag; flag <<= 1)
		DENIED(EINVAL, .flags = flag);
	DENIED(EINVAL, .reserved = { 1 });
	DENIED(EINVAL, .reserved = { 0, 0, 0, 1 });
	DENIED(EINVAL, .notify_len = 3, .kick_fd = self->kick);
	DENIED(EINVAL, .notify_len = 16, .kick_fd = self->kick);
	DENIED(EINVAL, .notify_len = 2, .notify_gpa = ~0UL, .kick_fd = self->kick);
	DENIED(EBADF, .kick_fd = closed);
	DENIED(EBADF, .kick_fd = -2);
	DENIED(EINVAL, .kick_fd = pipes[0]);
	DENIED(EBADF, .call_fd = closed);
	DENIED(EBADF, .call_fd = -2);
	DENIED(EINVAL, .call_fd = pipes[0]);
	DENIED(EINVAL, .flags = DRAGONFLY_QUEUE_MSI, .msi.flags = 2);
	FAILS(EFAULT, ioctl(self->vm.cpu[0].vm, DRAGONFLY_QUEUE_ASSIGN, (void *)8));
	/* Nothing of them stays: also not of those that fail late. */
	DENIED(EBADF, .kick_fd = closed, .call_fd = self->call);
	queue = ASSIGN(.kick_fd = self->kick, .call_fd = self->call);
	EXPECT_EQ(1, queue_all());
	FAILS(EINVAL, queue_set_msi(queue, IRQ_TO(0), VECTOR, 2));
	FAILS(EFAULT, ioctl(queue, DRAGONFLY_QUEUE_SET_MSI, (void *)8));
	FAILS(EINVAL, ioctl(queue, KVM_GET_STATS_FD, 1));
	FAILS(ENOTTY, ioctl(queue, KVM_RUN, 0));
	FAILS(ENOTTY, ioctl(self->vm.cpu[0].device, DRAGONFLY_QUEUE_ASSIGN, NULL));
	close(queue);
	queue = ASSIGN(.kick_fd = self->kick);
	FAILS(EINVAL, queue_set_msi(queue, IRQ_TO(0), VECTOR, 0)); /* it has none */
	close(queue);
	close(pipes[0]);
	close(pipes[1]);
}

TEST_F(queue, an_interrupt_needs_apics_in_the_kernel)
{
	struct irq_vm bare = {};

	ASSERT_EQ(0, guest_create_vm(&bare.cpu[0]));
	FAILS(EINVAL, queue_assign(&bare, QUEUE(CALL(self->call, 0, VECTOR))));
	close(queue_assign(&bare, QUEUE(.kick_fd = self->kick)));
	guest_destroy(&bare.cpu[0]);
}

TEST_F(queue, a_message_has_the_form_that_the_vm_has)
{
	int vm = self->vm.cpu[0].vm, queue;
	struct dragonfly_msi msi = { .address_hi = 1 };

	ASSERT_EQ(0, apic_enable_cap(vm, KVM_CAP_X2APIC_API, KVM_X2APIC_API_USE_32BIT_IDS));
	DENIED(EINVAL, .flags = DRAGONFLY_QUEUE_MSI, .call_fd = self->call, .msi = msi);
	queue = ASSIGN(.call_fd = self->call, .msi = msi);
	FAILS(EINVAL, ioctl(queue, DRAGONFLY_QUEUE_SET_MSI, &msi));
	msi.flags = DRAGONFLY_MSI_MASKED;
	EXPECT_EQ(0, ioctl(queue, DRAGONFLY_QUEUE_SET_MSI, &msi)) TH_LOG("nobody looks at it");
	close(queue);
}

/* --- lives ---------------------------------------------------------------- */

TEST_F(queue, it_holds_its_eventfds)
{
	int kick = dup(self->kick), call = dup(self->call);
	int queue = ASSIGN(.notify_gpa = QUEUE_GPA, .kick_fd = kick, CALL(call, 0, VECTOR));
	int closed = eventfd(0, 0), other;

	close(kick);
	close(call);
	KICKS(0, queue_kick2, QUEUE_GPA, 1);
	EXPECT_EQ(1, queue_signals(self->kick));
	SIGNAL(self->call);
	TAKEN(1, 0, VECTOR);
	/* One whose last descriptor goes, which an irqfd would not survive. */
	other = ASSIGN(.notify_gpa = QUEUE_GPA + 8, .kick_fd = closed, .call_fd = closed);
	close(closed);
	KICKS(0, queue_kick2, QUEUE_GPA + 8, 1);
	SET_MSI(other, 0, VECTOR, 0);
	TAKEN(2, 0, VECTOR);
	close(other);
	close(queue);
}

TEST_F(queue, once_released_all_is_as_before)
{
	int queue =
		ASSIGN(.notify_gpa = QUEUE_GPA, .kick_fd = self->kick, CALL(self->call, 0, VECTOR));
	int stats = ioctl(queue, KVM_GET_STATS_FD, NULL), twin = dup(queue);

	close(queue);
	KICKS(0, queue_kick2, QUEUE_GPA, 3);
	close(twin);
	KICKS(KVM_EXIT_MMIO, queue_kick2, QUEUE_GPA, 1);
	SIGNAL(self->call);
	TAKEN(0, 0, VECTOR);
	EXPECT_EQ(1, queue_signals(self->call));
	EXPECT_EQ(3, guest_stat_from(stats, "kicks")) TH_LOG("its statistics can still be read");
	close(stats);
}

TEST_F(queue, it_may_outlive_the_descriptors_of_its_vm)
{
	DEVICE_PAGE(page, 0);
	int queue =
		ASSIGN(.notify_gpa = QUEUE_GPA, .kick_fd = self->kick, CALL(self->call, 0, VECTOR));
	int bell = ASSIGN(DOORBELL(page, QUEUE_GPA + QUEUE_PAGE));

	close(self->vm.cpu[0].vm);
	self->vm.cpu[0].vm = -1;
	KICKS(0, queue_sweep, QUEUE_GPA, 2);
	EXPECT_EQ(1, queue_signals(self->kick));
	SIGNAL(self->call);
	TAKEN(1, 0, VECTOR);
	irq_destroy(&self->vm);
	SIGNAL(self->call);
	EXPECT_EQ(0, queue_signals(self->call));
	EXPECT_EQ(2, queue_all());
	close(queue);
	close(bell);
	EXPECT_EQ(0, queue_all());
	ASSERT_EQ(0, irq_create(&self->vm, 1, true));
}

TEST_F(queue, a_child_may_release_it)
{
	DEVICE_PAGE(page, 0);
	int queue = ASSIGN(DOORBELL(page, QUEUE_GPA)), ready[2];
	pid_t child;
	char c;

	ASSERT_EQ(0, pipe(ready));
	child = fork();
	if (!child) {
		if (read(ready[0], &c, 1) == 1)
			close(queue);
		_exit(read(ready[0], &c, 1) != 1);
	}
	close(queue);
	KICKS(0, queue_kick2, QUEUE_GPA, 1);
	ASSERT_EQ(1, write(ready[1], "1", 1));
	while (queue_all())
		sched_yield();
	KICKS(KVM_EXIT_MMIO, queue_kick2, QUEUE_GPA, 1);
	ASSERT_EQ(1, write(ready[1], "2", 1));
	ASSERT_EQ(child, waitpid(child, NULL, 0));
}

/* --- while the guest runs ------------------------------------------------- */

/* What is MMIO is done, and the guest goes on; to its end, or an error. */
static void *run_on(void *cpu)
{
	int reason;

	do
		reason = guest_run(cpu);
	while (reason == KVM_EXIT_MMIO);
	return (void *)(intptr_t)reason;
}

static int run_busy(struct irq_vm *vm, unsigned int n, uint64_t gpa, void *(*run)(void *),
		    pthread_t *thread)
{
	queue_enter(vm, n, queue_busy, gpa, 0);
	irq_cpu(vm, n)->mail = 0;
	return pthread_create(thread, NULL, run, &vm->cpu[n]);
}

static void await_kicks(struct irq_vm *vm, unsigned int n)
{
	uint64_t seen = irq_cpu(vm, n)->mail;

	while (irq_cpu(vm, n)->mail < seen + 2)
		sched_yield();
}

TEST_F(queue, it_is_released_under_a_running_vcpu)
{
	DEVICE_PAGE(page, 0);
	pthread_t thread;
	void *reason;
	int queue;

	for (int bell = 0; bell < 2; bell++) {
		queue = bell ? ASSIGN(DOORBELL(page, QUEUE_GPA)) :
			       ASSIGN(.notify_gpa = QUEUE_GPA, .kick_fd = self->kick);
		ASSERT_EQ(0, run_busy(&self->vm, 0, QUEUE_GPA, irq_thread, &thread));
		await_kicks(&self->vm, 0);
		close(queue);
		queue_signals(self->kick);
		pthread_join(thread, &reason);
		EXPECT_EQ(KVM_EXIT_MMIO, (intptr_t)reason);
		irq_cpu(&self->vm, 0)->stop = 1;
		EXPECT_EQ(0, irq_go_on(&self->vm, 0));
		EXPECT_EQ(0, queue_signals(self->kick)) TH_LOG("closed is closed");
	}
}

/* Two vCPUs kick what comes and goes, with its interrupts for both. */
static int come_and_go(struct irq_vm *vm, void *page, int kick, int call, int rounds)
{
	for (int i = 0; i < rounds; i++) {
		int bell = page == MAP_FAILED ? -1 :
						queue_assign(vm, QUEUE(DOORBELL(page, QUEUE_GPA)));
		int queue = queue_assign(vm, QUEUE(.notify_gpa = QUEUE_GPA + QUEUE_PAGE,
						   .notify_len = i % 2 ? 2 : 0, .kick_fd = kick,
						   CALL(call, i % 2, VECTOR)));

		if (queue < 0 || (page != MAP_FAILED && bell < 0))
			return -1;
		await_kicks(vm, i % 2);
		eventfd_write(call, 1);
		queue_set_msi(queue, IRQ_TO(i % 2), VECTOR, i % 3 ? 0 : DRAGONFLY_MSI_MASKED);
		eventfd_write(call, 1);
		close(queue);
		close(bell);
		queue_signals(call);
	}
	return 0;
}

static int rounds(int otherwise)
{
	return getenv("ROUNDS") ? atoi(getenv("ROUNDS")) : otherwise;
}

TEST_F(queue, two_vcpus_kick_what_comes_and_goes)
{
	void *page = device_page(&self->device, MAP_SHARED, NULL, 0), *reason;
	pthread_t threads[2];

	for (int n = 0; n < 2; n++)
		ASSERT_EQ(0,
			  run_busy(&self->vm, n, QUEUE_GPA + n * QUEUE_PAGE, run_on, &threads[n]));
	EXPECT_EQ(0, come_and_go(&self->vm, page, self->kick, self->call, rounds(100)));
	for (int n = 0; n < 2; n++) {
		irq_cpu(&self->vm, n)->stop = 1;
		pthread_join(threads[n], &reason);
		EXPECT_EQ(KVM_EXIT_IO, (intptr_t)reason);
	}
	EXPECT_EQ(0, queue_all());
}

/* Somewhere in the middle of what the test above does. */
TEST_F(queue, a_vm_that_dies_leaves_none)
{
	struct rlimit no_core = {};
	void *page = device_page(&self->device, MAP_SHARED, NULL, 0);

	for (int i = 0; i < rounds(100) / 10 + 1; i++) {
		pid_t child = fork();

		if (!child) {
			struct irq_vm vm;
			pthread_t thread;

			setrlimit(RLIMIT_CORE, &no_core);
			if (irq_create(&vm, 2, true))
				_exit(1);
			queue_prepare(&vm);
			for (int n = 0; n < 2; n++)
				run_busy(&vm, n, QUEUE_GPA + n * QUEUE_PAGE, run_on, &thread);
			come_and_go(&vm, page, self->kick, self->call, 1 << 30);
			_exit(1);
		}
		usleep(20000 + i * 3000);
		kill(child, SIGKILL);
		ASSERT_EQ(child, waitpid(child, NULL, 0));
		while (queue_all())
			sched_yield();
	}
	/* Whoever takes them next finds them free. */
	close(ASSIGN(CALL(self->call, 0, VECTOR)));
	if (page != MAP_FAILED)
		close(ASSIGN(DOORBELL(page, QUEUE_GPA)));
}

TEST_HARNESS_MAIN
