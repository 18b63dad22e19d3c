// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts of a device that are posted to vCPUs without the host: faults/vtd.c is
 * the device and the IOMMU, of which no emulator has one that posts.
 *
 * In a test host with vtd.ko, and irqbypass.ko before it.  KVM_KO and KVM_INTEL_KO
 * in the environment say where those lie.
 */
#include <sys/eventfd.h>

#include "kselftest_harness.h"
#include "irq.h"
#include "module.h"

#define GSI 30
#define VECTOR 0x41
#define WAKE_UP 0xf1 /* the kernel's POSTED_INTR_WAKEUP_VECTOR */
#define NOTIFY 0xf2 /* POSTED_INTR_VECTOR */
#define ROUNDS 3000

#define VTD "/sys/kernel/debug/vtd/"

static int vtd_write(const char *file, long value)
{
	char path[64];
	int fd, err;

	snprintf(path, sizeof(path), VTD "%s", file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	err = fd < 0 || dprintf(fd, "%ld", value) < 0 ? -errno : 0;
	close(fd);
	return err;
}

static int vtd_read(const char *file)
{
	char path[64];

	snprintf(path, sizeof(path), VTD "%s", file);
	return atoi(first_line(path));
}

FIXTURE(bypass)
{
	struct irq_vm vm;
	int fd, post;
};

FIXTURE_SETUP(bypass)
{
	self->post = open(VTD "post", O_WRONLY | O_CLOEXEC);
	ASSERT_LE(0, self->post) TH_LOG("vtd.ko is not there");
	ASSERT_EQ(0, irq_create(&self->vm, 2, true));
	self->fd = eventfd(0, EFD_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, irq_route(&self->vm, GSI, IRQ_TO(0), VECTOR));
}

FIXTURE_TEARDOWN(bypass)
{
	vtd_write("eventfd", -1);
	close(self->fd);
	close(self->post);
	irq_destroy(&self->vm);
}

#define ASSIGN() ASSERT_EQ(0, irq_fd(&self->vm, self->fd, GSI, 0))
#define PLUG() ASSERT_EQ(0, vtd_write("eventfd", self->fd))
#define RAISE() ASSERT_EQ(1, write(self->post, "1", 1))
#define POSTED_AS(vector) ASSERT_EQ(vector, vtd_read("vector"))
#define TAKEN(first, second, vector)                                \
	do {                                                        \
		ASSERT_TRUE(irq_take_all(&self->vm));               \
		EXPECT_EQ(first, irq_count(&self->vm, 0, vector));  \
		EXPECT_EQ(second, irq_count(&self->vm, 1, vector)); \
	} while (0)

TEST_F(bypass, a_device_posts_to_the_vcpu_of_its_route)
{
	ASSIGN();
	PLUG();
	POSTED_AS(VECTOR);
	RAISE();
	TAKEN(1, 0, VECTOR);
	EXPECT_EQ(NOTIFY, vtd_read("notified"));
}

TEST_F(bypass, the_device_may_come_first)
{
	PLUG();
	POSTED_AS(-1);
	ASSIGN();
	POSTED_AS(VECTOR);
}

TEST_F(bypass, another_route_is_followed)
{
	ASSIGN();
	PLUG();
	ASSERT_EQ(0, irq_route(&self->vm, GSI, IRQ_TO(1), VECTOR + 1));
	POSTED_AS(VECTOR + 1);
	RAISE();
	TAKEN(0, 1, VECTOR + 1);
}

TEST_F(bypass, what_cannot_be_posted_is_the_hosts)
{
	ASSIGN();
	PLUG();
	ASSERT_EQ(0, irq_route(&self->vm, GSI, IRQ_TO(0xff), VECTOR));
	POSTED_AS(-1) TH_LOG("it is for both");
	RAISE();
	TAKEN(1, 1, VECTOR);
	ASSERT_EQ(0, irq_route(&self->vm, GSI, IRQ_TO(0), VECTOR | IRQ_LEVEL));
	POSTED_AS(-1) TH_LOG("its end may be waited for");
	ASSERT_EQ(0, irq_route(&self->vm, GSI, IRQ_TO(0), APIC_DM_NMI));
	POSTED_AS(-1) TH_LOG("it has no vector");
	ASSERT_EQ(0, irq_route(&self->vm, GSI, IRQ_TO(7), VECTOR));
	POSTED_AS(-1) TH_LOG("there is no such vCPU");
	ASSERT_EQ(0, irq_route(&self->vm, GSI + 1, IRQ_TO(0), VECTOR));
	POSTED_AS(-1) TH_LOG("there is no route");
	ASSERT_EQ(0, irq_route(&self->vm, GSI, IRQ_TO(1) | IRQ_LOGICAL, APIC_DM_LOWEST | VECTOR));
	POSTED_AS(VECTOR) TH_LOG("a set of one");
}

TEST_F(bypass, without_its_irqfd_the_device_is_the_hosts)
{
	ASSIGN();
	PLUG();
	ASSERT_EQ(0, irq_fd(&self->vm, self->fd, GSI, KVM_IRQFD_FLAG_DEASSIGN));
	POSTED_AS(-1);
	RAISE();
	TAKEN(0, 0, VECTOR);
}

TEST_F(bypass, a_vm_that_goes_takes_its_descriptors_along)
{
	ASSIGN();
	PLUG();
	POSTED_AS(VECTOR);
	irq_destroy(&self->vm);
	POSTED_AS(-1);
	ASSERT_EQ(0, irq_create(&self->vm, 1, true));
}

TEST_F(bypass, a_running_vcpu_takes_all_that_is_posted)
{
	pthread_t thread;

	ASSIGN();
	PLUG();
	ASSERT_EQ(0, irq_spawn(&self->vm, 0, apic_busy, &thread));
	for (int i = 1; i <= ROUNDS; i++) {
		RAISE();
		irq_await(&self->vm, 0, VECTOR, i);
	}
	EXPECT_EQ(NOTIFY, vtd_read("notified"));
	EXPECT_EQ(KVM_EXIT_IO, irq_join(&self->vm, 0, thread));
	EXPECT_EQ(ROUNDS, irq_count(&self->vm, 0, VECTOR));
}

TEST_F(bypass, a_halted_vcpu_is_woken_by_all_that_is_posted)
{
	pthread_t thread;

	ASSIGN();
	PLUG();
	ASSERT_EQ(0, irq_spawn(&self->vm, 0, apic_idle, &thread));
	for (int i = 1; i <= ROUNDS; i++) {
		RAISE();
		irq_await(&self->vm, 0, VECTOR, i);
	}
	EXPECT_EQ(WAKE_UP, vtd_read("notified"));
	EXPECT_EQ(KVM_EXIT_IO, irq_join(&self->vm, 0, thread));
	EXPECT_EQ(ROUNDS, irq_count(&self->vm, 0, VECTOR));
}

/* Each write returns when the vCPU has seen all of them: a wake-up that is lost lasts. */
TEST_F(bypass, no_wake_up_is_lost_on_the_way_into_hlt)
{
	int awake = 0, asleep = 0;
	pthread_t thread;

	ASSIGN();
	PLUG();
	ASSERT_EQ(0, irq_spawn(&self->vm, 0, apic_idle, &thread));
	/* The more of them, the longer is the last pause. */
	for (int i = 2; i < 400; i += 3) {
		char times[8];
		int length = snprintf(times, sizeof(times), "%d", i);

		ASSERT_EQ(length, write(self->post, times, length));
		*(vtd_read("notified") == NOTIFY ? &awake : &asleep) += 1;
	}
	TH_LOG("the last found it awake %d times, asleep %d times", awake, asleep);
	EXPECT_EQ(KVM_EXIT_IO, irq_join(&self->vm, 0, thread));
}

TEST_F(bypass, one_that_was_halted_before_the_device_came_is_woken)
{
	pthread_t thread;

	ASSIGN();
	ASSERT_EQ(0, irq_spawn(&self->vm, 0, apic_idle, &thread));
	for (int i = 1; i <= 20; i++) {
		usleep(i * 100);
		PLUG();
		RAISE();
		irq_await(&self->vm, 0, VECTOR, i);
	}
	EXPECT_EQ(KVM_EXIT_IO, irq_join(&self->vm, 0, thread));
}

#define CPU1 "/sys/devices/system/cpu/cpu1/online"

static int set_online(const char *value)
{
	int fd = open(CPU1, O_WRONLY | O_CLOEXEC), err;

	err = fd < 0 || write(fd, value, 1) != 1;
	close(fd);
	return err;
}

TEST_F(bypass, one_whose_cpu_goes_offline_waits_on_another)
{
	cpu_set_t second;
	pthread_t thread;

	if (!exists(CPU1))
		SKIP(return, "there is one CPU");
	CPU_ZERO(&second);
	CPU_SET(1, &second);
	ASSIGN();
	PLUG();
	ASSERT_EQ(0, irq_spawn(&self->vm, 0, apic_idle, &thread));
	ASSERT_EQ(0, pthread_setaffinity_np(thread, sizeof(second), &second));
	for (int i = 1; i <= 5; i++) {
		RAISE();
		irq_await(&self->vm, 0, VECTOR, 2 * i - 1);
		usleep(1000);
		ASSERT_EQ(0, set_online("0"));
		RAISE();
		irq_await(&self->vm, 0, VECTOR, 2 * i);
		ASSERT_EQ(0, set_online("1"));
		ASSERT_EQ(0, pthread_setaffinity_np(thread, sizeof(second), &second));
	}
	EXPECT_EQ(KVM_EXIT_IO, irq_join(&self->vm, 0, thread));
}

/* --- the kernel has one wake-up handler ----------------------------------- */

static int remove_module(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? -errno : 0;
}

TEST_F(bypass, kvm_is_kept_out_while_a_device_posts)
{
	ASSERT_NE(NULL, getenv("KVM_KO"));
	ASSERT_NE(NULL, getenv("KVM_INTEL_KO"));
	ASSIGN();
	PLUG();
	ASSERT_EQ(0, module_load_file(getenv("KVM_KO"), ""));
	EXPECT_EQ(-EBUSY, module_load_file(getenv("KVM_INTEL_KO"), ""));
	RAISE();
	TAKEN(1, 0, VECTOR);
	ASSERT_EQ(0, remove_module("kvm"));
}

TEST_F(bypass, where_kvm_is_the_interrupt_is_the_hosts)
{
	ASSERT_NE(NULL, getenv("KVM_KO"));
	ASSERT_EQ(0, module_load_file(getenv("KVM_KO"), ""));
	ASSIGN();
	EXPECT_EQ(-EBUSY, vtd_write("eventfd", self->fd));
	POSTED_AS(-1);
	ASSERT_EQ(0, remove_module("kvm"));
	PLUG();
	POSTED_AS(VECTOR);
}

TEST_HARNESS_MAIN
