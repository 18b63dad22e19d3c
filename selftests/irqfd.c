// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts from outside: messages, routes, eventfds, and the ends of those that
 * are level-triggered; in both modes of the LAPIC.
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm.
 */
#include <sys/eventfd.h>

#include "kselftest_harness.h"
#include "irq.h"
#include "vcpu-ioctl.h"

#define GSI 30 /* beyond the IOAPIC's pins */
#define VECTOR 0x41
#define MAX_ROUTES 4096

FIXTURE(irqfd)
{
	struct irq_vm vm;
	int fd, resample;
};

FIXTURE_VARIANT(irqfd)
{
	bool x2apic;
};

/* clang-format off */
FIXTURE_VARIANT_ADD(irqfd, x2apic) { .x2apic = true };
FIXTURE_VARIANT_ADD(irqfd, xapic) { .x2apic = false };
/* clang-format on */

FIXTURE_SETUP(irqfd)
{
	ASSERT_EQ(0, irq_create(&self->vm, 2, variant->x2apic));
	self->fd = eventfd(0, EFD_NONBLOCK);
	self->resample = eventfd(0, EFD_NONBLOCK);
	ASSERT_LE(0, self->resample);
}

FIXTURE_TEARDOWN(irqfd)
{
	close(self->fd);
	close(self->resample);
	irq_destroy(&self->vm);
}

#define VM(cmd, arg) ioctl(self->vm.cpu[0].vm, cmd, arg)
/* How often each of the two vCPUs has taken the vector, once both have run. */
#define TAKEN(first, second, vector)                               \
	do {                                                       \
		ASSERT_TRUE(irq_take_all(&self->vm));              \
		EXPECT_EQ(first, irq_count(&self->vm, 0, vector))  \
		{                                                  \
			TH_LOG("line %d: vCPU 0", __LINE__);       \
		}                                                  \
		EXPECT_EQ(second, irq_count(&self->vm, 1, vector)) \
		{                                                  \
			TH_LOG("line %d: vCPU 1", __LINE__);       \
		}                                                  \
	} while (0)
#define ROUTE(gsi, address, data) ASSERT_EQ(0, irq_route(&self->vm, gsi, address, data))
#define ASSIGN(fd, gsi) ASSERT_EQ(0, irq_fd(&self->vm, fd, gsi, 0))
#define DEASSIGN(fd, gsi) ASSERT_EQ(0, irq_fd(&self->vm, fd, gsi, KVM_IRQFD_FLAG_DEASSIGN))
#define KICK(fd) ASSERT_EQ(0, eventfd_write(fd, 1))

/* What was counted and not consumed. */
static uint64_t left(int fd)
{
	eventfd_t value;

	return eventfd_read(fd, &value) ? 0 : value;
}

/* vCPU @n ends the interrupt that its handler has not ended: what comes of it. */
static int end_interrupt(struct irq_vm *vm, unsigned int n, bool x2apic)
{
	apic_enter(&vm->cpu[n], n, APIC_AT(x2apic ? apic_wrmsr : apic_store),
		   x2apic ? X2APIC_MSR(APIC_EOI) : APIC_BASE + APIC_EOI, 0);
	return irq_go_on(vm, n);
}

/* --- messages ------------------------------------------------------------- */

TEST_F(irqfd, a_message_reaches_the_vcpu_that_it_names)
{
	EXPECT_EQ(1, irq_signal(&self->vm, IRQ_TO(0), VECTOR));
	TAKEN(1, 0, VECTOR);
	EXPECT_EQ(1, irq_signal(&self->vm, IRQ_TO(1), VECTOR));
	TAKEN(1, 1, VECTOR);
	EXPECT_EQ(0, irq_signal(&self->vm, IRQ_TO(7), VECTOR)) TH_LOG("there is none");
	TAKEN(1, 1, VECTOR);
}

TEST_F(irqfd, a_message_can_be_for_all)
{
	EXPECT_EQ(2, irq_signal(&self->vm, IRQ_TO(0xff), VECTOR));
	TAKEN(1, 1, VECTOR);
}

TEST_F(irqfd, a_message_can_have_logical_destinations)
{
	EXPECT_EQ(1, irq_signal(&self->vm, IRQ_TO(1) | IRQ_LOGICAL, VECTOR));
	TAKEN(1, 0, VECTOR);
	EXPECT_EQ(1, irq_signal(&self->vm, IRQ_TO(2) | IRQ_LOGICAL, VECTOR));
	TAKEN(1, 1, VECTOR);
	EXPECT_EQ(2, irq_signal(&self->vm, IRQ_TO(3) | IRQ_LOGICAL, VECTOR));
	TAKEN(2, 2, VECTOR);
	EXPECT_EQ(0, irq_signal(&self->vm, IRQ_TO(4) | IRQ_LOGICAL, VECTOR));
	TAKEN(2, 2, VECTOR);
}

TEST_F(irqfd, a_message_of_lowest_priority_reaches_one_of_them)
{
	for (unsigned int vector = 0x40; vector < 0x60; vector++) {
		EXPECT_EQ(1,
			  irq_signal(&self->vm, IRQ_TO(3) | IRQ_LOGICAL, APIC_DM_LOWEST | vector));
		ASSERT_TRUE(irq_take_all(&self->vm));
		EXPECT_EQ(1, irq_count(&self->vm, 0, vector) + irq_count(&self->vm, 1, vector));
	}
}

TEST_F(irqfd, messages_that_wait_for_the_same_vector_are_one)
{
	for (int again = 0; again < 3; again++)
		EXPECT_EQ(1, irq_signal(&self->vm, IRQ_TO(0), VECTOR));
	TAKEN(1, 0, VECTOR);
}

TEST_F(irqfd, messages_are_taken_by_priority)
{
	irq_signal(&self->vm, IRQ_TO(0), 0x31);
	irq_signal(&self->vm, IRQ_TO(0), 0xe1);
	irq_signal(&self->vm, IRQ_TO(0), 0x91);
	TAKEN(1, 0, 0x31);
	TAKEN(1, 0, 0xe1);
	TAKEN(1, 0, 0x91);
	EXPECT_EQ(0x31, irq_cpu(&self->vm, 0)->log[2]);
}

TEST_F(irqfd, an_interrupt_that_is_not_ended_holds_back_those_below)
{
	irq_cpu(&self->vm, 0)->eoi = APIC_EOI_NONE;
	irq_signal(&self->vm, IRQ_TO(0), 0x91);
	TAKEN(1, 0, 0x91);
	irq_cpu(&self->vm, 0)->eoi = variant->x2apic ? APIC_EOI_X2APIC : APIC_EOI_XAPIC;
	irq_signal(&self->vm, IRQ_TO(0), 0x31);
	irq_signal(&self->vm, IRQ_TO(0), 0xe1);
	TAKEN(0, 0, 0x31);
	TAKEN(1, 0, 0xe1);
	ASSERT_EQ(0, end_interrupt(&self->vm, 0, variant->x2apic));
	TAKEN(1, 0, 0x31);
}

TEST_F(irqfd, a_message_can_be_an_nmi)
{
	EXPECT_EQ(1, irq_signal(&self->vm, IRQ_TO(1), APIC_DM_NMI));
	TAKEN(0, 1, 2);
	EXPECT_EQ(1, irq_signal(&self->vm, IRQ_TO(0), APIC_DM_NMI | VECTOR));
	TAKEN(1, 1, 2);
	TAKEN(0, 0, VECTOR);
}

TEST_F(irqfd, a_message_can_be_an_init)
{
	EXPECT_EQ(1, irq_signal(&self->vm, IRQ_TO(1), APIC_DM_INIT));
	EXPECT_EQ(KVM_MP_STATE_INIT_RECEIVED, apic_mp_state(&self->vm.cpu[1]));
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, apic_mp_state(&self->vm.cpu[0]));
}

TEST_F(irqfd, a_lapic_that_is_switched_off_takes_no_message)
{
	ASSERT_EQ(0, apic_set_reg(&self->vm.cpu[0], APIC_SPIV, APIC_SPURIOUS));
	EXPECT_EQ(0, irq_signal(&self->vm, IRQ_TO(0), VECTOR));
	EXPECT_EQ(1, irq_signal(&self->vm, IRQ_TO(0), APIC_DM_NMI)) TH_LOG("but an NMI it does");
	EXPECT_EQ(1, irq_signal(&self->vm, IRQ_TO(0xff), VECTOR));
	TAKEN(0, 1, VECTOR);
	TAKEN(1, 0, 2);
}

TEST_F(irqfd, a_message_is_looked_at)
{
	struct kvm_msi msi = { .address_lo = IRQ_TO(0), .data = VECTOR };

	for (uint32_t flag = 2; flag; flag <<= 1) {
		msi.flags = flag;
		FAILS(EINVAL, VM(KVM_SIGNAL_MSI, &msi));
	}
	FAILS(EFAULT, VM(KVM_SIGNAL_MSI, (void *)8));
	TAKEN(0, 0, VECTOR);
	/* Of ARM's interrupt controller; KVM takes it everywhere. */
	msi.flags = KVM_MSI_VALID_DEVID;
	EXPECT_EQ(1, VM(KVM_SIGNAL_MSI, &msi));
	TAKEN(1, 0, VECTOR);
}

/* --- routes --------------------------------------------------------------- */

TEST_F(irqfd, capabilities_are_those_of_a_split_irqchip)
{
	static const int caps[] = { KVM_CAP_IRQFD, KVM_CAP_SIGNAL_MSI, KVM_CAP_SPLIT_IRQCHIP,
				    KVM_CAP_IRQCHIP };

	for (size_t i = 0; i < ARRAY_SIZE(caps); i++)
		EXPECT_EQ(1, VM(KVM_CHECK_EXTENSION, caps[i]));
	EXPECT_EQ(1, VM(KVM_CHECK_EXTENSION, KVM_CAP_IRQFD_RESAMPLE));
	EXPECT_EQ(MAX_ROUTES, VM(KVM_CHECK_EXTENSION, KVM_CAP_IRQ_ROUTING));
}

TEST_F(irqfd, routes_are_looked_at_one_by_one)
{
	const struct kvm_irq_routing_entry good = irq_msi(GSI, IRQ_TO(0), VECTOR);
	struct irq_routes r = { .head.nr = 1, .entries = { good } };

	r.head.flags = 1;
	FAILS(EINVAL, VM(KVM_SET_GSI_ROUTING, &r));
	r.head.flags = 0;
	r.head.nr = MAX_ROUTES + 1;
	FAILS(EINVAL, VM(KVM_SET_GSI_ROUTING, &r));
	r.head.nr = 1;
	r.entries[0].gsi = MAX_ROUTES;
	FAILS(EINVAL, VM(KVM_SET_GSI_ROUTING, &r));
	r.entries[0] = good;
	for (uint32_t flag = 2; flag; flag <<= 1) {
		r.entries[0].flags = flag;
		FAILS(EINVAL, VM(KVM_SET_GSI_ROUTING, &r));
	}
	r.entries[0] = good;
	r.entries[0].type = 0;
	FAILS(EINVAL, VM(KVM_SET_GSI_ROUTING, &r));
	r.entries[0].type = KVM_IRQ_ROUTING_S390_ADAPTER;
	FAILS(EINVAL, VM(KVM_SET_GSI_ROUTING, &r));
	r.entries[0].type = KVM_IRQ_ROUTING_IRQCHIP;
	FAILS(EINVAL, VM(KVM_SET_GSI_ROUTING, &r));
	r.entries[0] = good;
	r.entries[1] = good;
	r.head.nr = 2;
	FAILS(EINVAL, VM(KVM_SET_GSI_ROUTING, &r));
	r.entries[1].gsi++;
	EXPECT_EQ(0, VM(KVM_SET_GSI_ROUTING, &r));
	FAILS(EFAULT, VM(KVM_SET_GSI_ROUTING, (void *)8));
}

TEST_F(irqfd, routes_that_cannot_be_read_to_the_end_are_refused)
{
	uint8_t *pages =
		mmap(NULL, 0x2000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct irq_routes r = { .head.nr = 2, .entries = { irq_msi(GSI, IRQ_TO(0), VECTOR) } };
	size_t size = sizeof(r.head) + sizeof(r.entries[0]);

	ASSERT_NE(MAP_FAILED, pages);
	munmap(pages + 0x1000, 0x1000);
	memcpy(pages + 0x1000 - size, &r, size);
	FAILS(EFAULT, VM(KVM_SET_GSI_ROUTING, pages + 0x1000 - size));
	munmap(pages, 0x1000);
}

TEST_F(irqfd, there_can_be_a_route_for_each_of_4096_gsis)
{
	struct kvm_irq_routing *r =
		calloc(1, sizeof(*r) + MAX_ROUTES * sizeof(struct kvm_irq_routing_entry));

	ASSERT_NE(NULL, r);
	r->nr = MAX_ROUTES;
	for (uint32_t gsi = 0; gsi < MAX_ROUTES; gsi++)
		r->entries[gsi] = irq_msi(gsi, IRQ_TO(gsi & 1), 0x20 + gsi % 0xd0);
	ASSERT_EQ(0, VM(KVM_SET_GSI_ROUTING, r));
	free(r);
	ASSIGN(self->fd, MAX_ROUTES - 1);
	KICK(self->fd);
	TAKEN(0, 1, 0x20 + (MAX_ROUTES - 1) % 0xd0);
}

TEST_F(irqfd, routes_that_are_refused_leave_what_was)
{
	struct irq_routes r = {
		.head.nr = 3,
		.entries = { irq_msi(GSI, IRQ_TO(1), 0x77), irq_msi(GSI + 1, IRQ_TO(1), 0x78) },
	};

	ROUTE(GSI, IRQ_TO(0), VECTOR);
	ASSIGN(self->fd, GSI);
	FAILS(EINVAL, VM(KVM_SET_GSI_ROUTING, &r));
	KICK(self->fd);
	TAKEN(1, 0, VECTOR);
	TAKEN(0, 0, 0x77);
}

TEST_F(irqfd, a_new_route_is_that_of_eventfds_assigned_before)
{
	struct irq_routes none = {};

	ASSIGN(self->fd, GSI);
	KICK(self->fd);
	TAKEN(0, 0, VECTOR);
	EXPECT_EQ(0, left(self->fd)) TH_LOG("it is lost, and not kept");
	ROUTE(GSI, IRQ_TO(0), VECTOR);
	TAKEN(0, 0, VECTOR);
	KICK(self->fd);
	TAKEN(1, 0, VECTOR);
	ROUTE(GSI, IRQ_TO(1), VECTOR + 1);
	KICK(self->fd);
	TAKEN(1, 0, VECTOR);
	TAKEN(0, 1, VECTOR + 1);
	ROUTE(GSI + 1, IRQ_TO(1), VECTOR + 1);
	KICK(self->fd);
	TAKEN(0, 1, VECTOR + 1);
	ROUTE(GSI, IRQ_TO(0), VECTOR);
	EXPECT_EQ(0, VM(KVM_SET_GSI_ROUTING, &none));
	KICK(self->fd);
	TAKEN(1, 0, VECTOR);
}

TEST_F(irqfd, a_route_can_be_for_several_vcpus)
{
	ROUTE(GSI, IRQ_TO(3) | IRQ_LOGICAL, VECTOR);
	ASSIGN(self->fd, GSI);
	KICK(self->fd);
	TAKEN(1, 1, VECTOR);
}

/* --- eventfds ------------------------------------------------------------- */

TEST_F(irqfd, an_eventfd_is_an_interrupt)
{
	ROUTE(GSI, IRQ_TO(1), VECTOR);
	ASSIGN(self->fd, GSI);
	TAKEN(0, 0, VECTOR);
	for (unsigned int n = 1; n < 4; n++) {
		KICK(self->fd);
		EXPECT_EQ(0, left(self->fd));
		TAKEN(0, n, VECTOR);
	}
	ASSERT_EQ(0, eventfd_write(self->fd, 1000));
	KICK(self->fd);
	TAKEN(0, 4, VECTOR);
}

TEST_F(irqfd, what_is_no_eventfd_is_refused)
{
	int pipes[2], closed = dup(self->fd);

	ROUTE(GSI, IRQ_TO(0), VECTOR);
	ASSERT_EQ(0, pipe(pipes));
	close(closed);
	for (uint32_t flags = 0; flags <= KVM_IRQFD_FLAG_DEASSIGN; flags++) {
		FAILS(EBADF, irq_fd(&self->vm, closed, GSI, flags));
		FAILS(EBADF, irq_fd(&self->vm, -1, GSI, flags));
		FAILS(EINVAL, irq_fd(&self->vm, pipes[0], GSI, flags));
		FAILS(EINVAL, irq_fd(&self->vm, self->vm.cpu[0].vm, GSI, flags));
	}
	for (uint32_t flag = 4; flag; flag <<= 1) {
		FAILS(EINVAL, irq_fd(&self->vm, self->fd, GSI, flag));
		FAILS(EINVAL, irq_fd(&self->vm, self->fd, GSI, flag | KVM_IRQFD_FLAG_DEASSIGN));
	}
	FAILS(EFAULT, VM(KVM_IRQFD, (void *)8));
	close(pipes[0]);
	close(pipes[1]);
}

TEST_F(irqfd, an_eventfd_is_assigned_once)
{
	int twin = dup(self->fd);

	ROUTE(GSI, IRQ_TO(0), VECTOR);
	ASSIGN(self->fd, GSI);
	FAILS(EBUSY, irq_fd(&self->vm, self->fd, GSI, 0));
	FAILS(EBUSY, irq_fd(&self->vm, self->fd, GSI + 1, 0));
	FAILS(EBUSY, irq_fd(&self->vm, twin, GSI, 0));
	KICK(twin);
	TAKEN(1, 0, VECTOR);
	DEASSIGN(twin, GSI);
	ASSIGN(self->fd, GSI + 1);
	close(twin);
}

/* Its route may be written later, or never. */
TEST_F(irqfd, any_gsi_can_be_assigned)
{
	static const uint32_t gsis[] = { 0, GSI, MAX_ROUTES - 1, MAX_ROUTES, 1U << 31, ~0U };

	for (size_t i = 0; i < ARRAY_SIZE(gsis); i++) {
		EXPECT_EQ(0, irq_fd(&self->vm, self->fd, gsis[i], 0)) TH_LOG("%x", gsis[i]);
		KICK(self->fd);
		ASSERT_TRUE(irq_take_all(&self->vm));
		DEASSIGN(self->fd, gsis[i]);
	}
}

TEST_F(irqfd, a_gsi_can_have_several_eventfds)
{
	ROUTE(GSI, IRQ_TO(0), VECTOR);
	ASSIGN(self->fd, GSI);
	ASSIGN(self->resample, GSI);
	KICK(self->fd);
	TAKEN(1, 0, VECTOR);
	KICK(self->resample);
	TAKEN(2, 0, VECTOR);
	DEASSIGN(self->fd, GSI);
	KICK(self->resample);
	TAKEN(3, 0, VECTOR);
}

TEST_F(irqfd, once_deassigned_it_is_an_eventfd_like_others)
{
	ROUTE(GSI, IRQ_TO(0), VECTOR);
	ASSIGN(self->fd, GSI);
	DEASSIGN(self->fd, GSI + 1);
	KICK(self->fd);
	TAKEN(1, 0, VECTOR);
	DEASSIGN(self->fd, GSI);
	KICK(self->fd);
	KICK(self->fd);
	TAKEN(1, 0, VECTOR);
	EXPECT_EQ(2, left(self->fd));
	DEASSIGN(self->fd, GSI);
	ASSIGN(self->fd, GSI);
	KICK(self->fd);
	TAKEN(2, 0, VECTOR);
}

/* KVM raises it from a work queue, so that the guest may have to wait. */
TEST_F(irqfd, what_was_counted_before_is_one_interrupt)
{
	ROUTE(GSI, IRQ_TO(0), VECTOR);
	ASSERT_EQ(0, eventfd_write(self->fd, 3));
	ASSIGN(self->fd, GSI);
	while (!irq_count(&self->vm, 0, VECTOR))
		ASSERT_TRUE(irq_take_all(&self->vm));
	TAKEN(1, 0, VECTOR);
	KICK(self->fd);
	TAKEN(2, 0, VECTOR);
	EXPECT_EQ(0, left(self->fd));
}

TEST_F(irqfd, a_closed_eventfd_needs_no_deassignment)
{
	int twin = dup(self->fd);

	ROUTE(GSI, IRQ_TO(0), VECTOR);
	ASSIGN(self->fd, GSI);
	close(self->fd);
	KICK(twin);
	TAKEN(1, 0, VECTOR);
	close(twin);
	for (int again = 0; again < 100; again++) {
		self->fd = eventfd(0, EFD_NONBLOCK);
		ASSIGN(self->fd, GSI);
		if (again & 1)
			KICK(self->fd);
		if (again < 99)
			close(self->fd);
	}
	ASSERT_TRUE(irq_take_all(&self->vm));
	KICK(self->fd);
	TAKEN(3, 0, VECTOR);
}

TEST_F(irqfd, a_closed_vm_leaves_its_eventfds)
{
	ROUTE(GSI, IRQ_TO(0), VECTOR);
	ASSIGN(self->fd, GSI);
	KICK(self->fd);
	TAKEN(1, 0, VECTOR);
	close(self->vm.cpu[0].vm);
	self->vm.cpu[0].vm = -1;
	KICK(self->fd);
	EXPECT_EQ(1, left(self->fd));
	TAKEN(1, 0, VECTOR);
}

TEST_F(irqfd, the_interrupts_of_200_eventfds_all_come)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entries[200];
	} r = { .head.nr = 200 };
	int fds[200];

	for (uint32_t i = 0; i < 200; i++)
		r.entries[i] = irq_msi(100 + i, IRQ_TO(i & 1), 0x20 + i);
	ASSERT_EQ(0, VM(KVM_SET_GSI_ROUTING, &r));
	for (uint32_t i = 0; i < 200; i++) {
		fds[i] = eventfd(0, EFD_NONBLOCK);
		ASSIGN(fds[i], 100 + i);
	}
	for (uint32_t i = 0; i < 200; i++)
		KICK(fds[i]);
	ASSERT_TRUE(irq_take_all(&self->vm));
	for (uint32_t i = 0; i < 200; i++) {
		EXPECT_EQ(1, irq_count(&self->vm, i & 1, 0x20 + i)) TH_LOG("%u", i);
		close(fds[i]);
	}
}

/* --- the end of an interrupt ---------------------------------------------- */

#define PIN 5
#define LEVEL_VECTOR 0x50
/* vCPU @n takes the interrupt, whose end goes to user space before the guest goes on. */
#define TAKES_AND_TELLS(n, number)                                                \
	do {                                                                      \
		ASSERT_EQ(KVM_EXIT_IOAPIC_EOI, irq_run(&self->vm, n, apic_take)); \
		EXPECT_EQ(number, self->vm.cpu[n].run->eoi.vector);               \
		EXPECT_EQ(0, irq_go_on(&self->vm, n));                            \
	} while (0)

TEST_F(irqfd, user_space_hears_of_the_end_of_a_level_triggered_interrupt)
{
	ROUTE(PIN, IRQ_TO(1), IRQ_LEVEL | LEVEL_VECTOR);
	ASSIGN(self->fd, PIN);
	for (unsigned int n = 1; n < 4; n++) {
		KICK(self->fd);
		TAKES_AND_TELLS(1, LEVEL_VECTOR);
		TAKEN(0, n, LEVEL_VECTOR);
	}
	irq_signal(&self->vm, IRQ_TO(1), IRQ_LEVEL | LEVEL_VECTOR);
	TAKES_AND_TELLS(1, LEVEL_VECTOR);
}

TEST_F(irqfd, user_space_does_not_hear_of_the_end_of_others)
{
	/* Edge-triggered; not the IOAPIC's; for another vCPU. */
	struct irq_routes r = {
		.head.nr = 4,
		.entries = { irq_msi(PIN, IRQ_TO(0), 0x51),
			     irq_msi(IRQ_PINS, IRQ_TO(0), IRQ_LEVEL | 0x52),
			     irq_msi(IRQ_PINS - 1, IRQ_TO(1), IRQ_LEVEL | 0x53),
			     irq_msi(IRQ_PINS - 2, IRQ_TO(0), IRQ_LEVEL | 0x54) },
	};

	ASSERT_EQ(0, VM(KVM_SET_GSI_ROUTING, &r));
	irq_signal(&self->vm, IRQ_TO(0), 0x51);
	TAKEN(1, 0, 0x51);
	irq_signal(&self->vm, IRQ_TO(0), IRQ_LEVEL | 0x52);
	TAKEN(1, 0, 0x52);
	irq_signal(&self->vm, IRQ_TO(0), IRQ_LEVEL | 0x53);
	TAKEN(1, 0, 0x53);
	irq_signal(&self->vm, IRQ_TO(0), IRQ_LEVEL | 0x55);
	TAKEN(1, 0, 0x55);
	irq_signal(&self->vm, IRQ_TO(0), IRQ_LEVEL | 0x54);
	TAKES_AND_TELLS(0, 0x54);
	/* An end of nothing. */
	EXPECT_EQ(0, end_interrupt(&self->vm, 0, variant->x2apic));
}

TEST_F(irqfd, the_end_of_an_interrupt_is_that_of_the_highest_one)
{
	struct irq_routes r = {
		.head.nr = 2,
		.entries = { irq_msi(1, IRQ_TO(0), IRQ_LEVEL | 0x51),
			     irq_msi(2, IRQ_TO(0), IRQ_LEVEL | 0x91) },
	};

	ASSERT_EQ(0, VM(KVM_SET_GSI_ROUTING, &r));
	irq_cpu(&self->vm, 0)->eoi = APIC_EOI_NONE;
	irq_signal(&self->vm, IRQ_TO(0), IRQ_LEVEL | 0x51);
	TAKEN(1, 0, 0x51);
	irq_signal(&self->vm, IRQ_TO(0), IRQ_LEVEL | 0x91);
	TAKEN(1, 0, 0x91);
	irq_cpu(&self->vm, 0)->eoi = variant->x2apic ? APIC_EOI_X2APIC : APIC_EOI_XAPIC;
	ASSERT_EQ(KVM_EXIT_IOAPIC_EOI, end_interrupt(&self->vm, 0, variant->x2apic));
	EXPECT_EQ(0x91, self->vm.cpu[0].run->eoi.vector);
	ASSERT_EQ(0, irq_go_on(&self->vm, 0));
	ASSERT_EQ(KVM_EXIT_IOAPIC_EOI, end_interrupt(&self->vm, 0, variant->x2apic));
	EXPECT_EQ(0x51, self->vm.cpu[0].run->eoi.vector);
	ASSERT_EQ(0, irq_go_on(&self->vm, 0));
}

/* As when a guest moves an interrupt elsewhere from its handler. */
TEST_F(irqfd, an_interrupt_ends_where_it_was_taken)
{
	ROUTE(PIN, IRQ_TO(0), IRQ_LEVEL | LEVEL_VECTOR);
	irq_cpu(&self->vm, 0)->eoi = APIC_EOI_NONE;
	irq_signal(&self->vm, IRQ_TO(0), IRQ_LEVEL | LEVEL_VECTOR);
	TAKEN(1, 0, LEVEL_VECTOR);
	irq_cpu(&self->vm, 0)->eoi = variant->x2apic ? APIC_EOI_X2APIC : APIC_EOI_XAPIC;
	ROUTE(PIN, IRQ_TO(1), IRQ_LEVEL | LEVEL_VECTOR);
	ASSERT_EQ(KVM_EXIT_IOAPIC_EOI, end_interrupt(&self->vm, 0, variant->x2apic));
	EXPECT_EQ(LEVEL_VECTOR, self->vm.cpu[0].run->eoi.vector);
	EXPECT_EQ(0, irq_go_on(&self->vm, 0));
	irq_signal(&self->vm, IRQ_TO(1), IRQ_LEVEL | LEVEL_VECTOR);
	TAKES_AND_TELLS(1, LEVEL_VECTOR);
}

/* KVM has resampling of its own IOAPIC's pins only. */
TEST_F(irqfd, the_end_of_an_interrupt_can_be_an_eventfd)
{
	struct kvm_irqfd irqfd = { .fd = self->fd,
				   .gsi = PIN,
				   .flags = KVM_IRQFD_FLAG_RESAMPLE,
				   .resamplefd = self->resample };

	ROUTE(PIN, IRQ_TO(0), IRQ_LEVEL | LEVEL_VECTOR);
	if (guest_on_kvm()) {
		FAILS(EINVAL, VM(KVM_IRQFD, &irqfd));
		return;
	}
	irqfd.resamplefd = self->vm.cpu[0].vm;
	FAILS(EINVAL, VM(KVM_IRQFD, &irqfd));
	irqfd.resamplefd = -1;
	FAILS(EBADF, VM(KVM_IRQFD, &irqfd));
	irqfd.resamplefd = self->resample;
	ASSERT_EQ(0, VM(KVM_IRQFD, &irqfd));
	for (unsigned int n = 1; n < 4; n++) {
		KICK(self->fd);
		EXPECT_EQ(0, left(self->resample));
		while (irq_run(&self->vm, 0, apic_take))
			ASSERT_EQ(KVM_EXIT_IOAPIC_EOI, self->vm.cpu[0].run->exit_reason);
		EXPECT_EQ(n, irq_count(&self->vm, 0, LEVEL_VECTOR));
		EXPECT_EQ(1, left(self->resample));
	}
	DEASSIGN(self->fd, PIN);
	irq_signal(&self->vm, IRQ_TO(0), IRQ_LEVEL | LEVEL_VECTOR);
	TAKES_AND_TELLS(0, LEVEL_VECTOR);
	EXPECT_EQ(0, left(self->resample));
}

/* --- guests that do something else at that moment -------------------------- */

#define ROUNDS 1000

/* Where the guest has the only CPU, it also has to lose it in each round. */
static unsigned int rounds_with_a_spinning_guest(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN) > 1 ? ROUNDS : 30;
}

TEST_F(irqfd, a_running_vcpu_is_interrupted)
{
	unsigned int rounds = rounds_with_a_spinning_guest();
	int stats = ioctl(self->vm.cpu[0].vcpu, KVM_GET_STATS_FD, NULL);
	pthread_t thread;
	int64_t exits;

	ROUTE(GSI, IRQ_TO(0), VECTOR);
	ASSIGN(self->fd, GSI);
	ASSERT_EQ(0, irq_spawn(&self->vm, 0, apic_busy, &thread));
	while (!irq_cpu(&self->vm, 0)->mail)
		sched_yield();
	exits = guest_stat_from(stats, "exits");
	for (unsigned int n = 1; n <= rounds; n++) {
		KICK(self->fd);
		irq_await(&self->vm, 0, VECTOR, n);
	}
	exits = guest_stat_from(stats, "exits") - exits;
	EXPECT_EQ(KVM_EXIT_IO, irq_join(&self->vm, 0, thread));
	EXPECT_EQ(rounds, irq_count(&self->vm, 0, VECTOR));
	/* The host's own interrupts, but none of the guest's. */
	if (!guest_on_kvm() && rounds == ROUNDS)
		EXPECT_LT(exits, rounds / 2);
	close(stats);
}

TEST_F(irqfd, a_halted_vcpu_is_woken)
{
	pthread_t thread;

	ROUTE(GSI, IRQ_TO(1), VECTOR);
	ASSIGN(self->fd, GSI);
	ASSERT_EQ(0, irq_spawn(&self->vm, 1, apic_idle, &thread));
	for (unsigned int n = 1; n <= ROUNDS; n++) {
		KICK(self->fd);
		irq_await(&self->vm, 1, VECTOR, n);
	}
	EXPECT_EQ(KVM_EXIT_IO, irq_join(&self->vm, 1, thread));
	EXPECT_EQ(ROUNDS, irq_count(&self->vm, 1, VECTOR));
}

TEST_F(irqfd, routes_and_eventfds_come_and_go_under_a_running_guest)
{
	unsigned int rounds = rounds_with_a_spinning_guest();
	struct irq_routes none = {};
	pthread_t threads[2];

	ASSERT_EQ(0, irq_spawn(&self->vm, 0, apic_busy, &threads[0]));
	ASSERT_EQ(0, irq_spawn(&self->vm, 1, apic_idle, &threads[1]));
	for (unsigned int n = 1; n <= rounds; n++) {
		uint64_t before = irq_count(&self->vm, n & 1, VECTOR);

		ROUTE(GSI, IRQ_TO(n & 1), VECTOR);
		ASSIGN(self->fd, GSI);
		KICK(self->fd);
		irq_await(&self->vm, n & 1, VECTOR, before + 1);
		if (n & 2)
			DEASSIGN(self->fd, GSI);
		EXPECT_EQ(0, VM(KVM_SET_GSI_ROUTING, &none));
		if (!(n & 2))
			DEASSIGN(self->fd, GSI);
	}
	for (unsigned int n = 0; n < 2; n++) {
		EXPECT_EQ(KVM_EXIT_IO, irq_join(&self->vm, n, threads[n]));
		EXPECT_EQ(rounds / 2, irq_count(&self->vm, n, VECTOR));
	}
}

/* --- lines, and what there is not ------------------------------------------ */

/* Which has no pin here, so that its level is nothing. */
TEST_F(irqfd, an_irq_line_is_a_message_when_it_rises)
{
	struct kvm_irq_level line = { .irq = PIN, .level = 1 };

	EXPECT_EQ(0, VM(KVM_IRQ_LINE_STATUS, &line));
	EXPECT_EQ(-1, line.status) TH_LOG("it has no route");
	ROUTE(PIN, IRQ_TO(0), VECTOR);
	line.irq = PIN;
	EXPECT_EQ(0, VM(KVM_IRQ_LINE, &line));
	TAKEN(1, 0, VECTOR);
	line.irq = PIN;
	EXPECT_EQ(0, VM(KVM_IRQ_LINE_STATUS, &line));
	EXPECT_EQ(1, line.status);
	TAKEN(2, 0, VECTOR);
	line = (struct kvm_irq_level){ .irq = PIN };
	EXPECT_EQ(0, VM(KVM_IRQ_LINE_STATUS, &line));
	EXPECT_EQ(-1, line.status);
	TAKEN(2, 0, VECTOR);
	FAILS(EFAULT, VM(KVM_IRQ_LINE, (void *)8));
}

TEST(a_vm_without_an_irqchip_has_no_interrupts)
{
	struct irq_vm vm = {};
	struct kvm_irq_level line = { .irq = PIN, .level = 1 };
	int fd = eventfd(0, 0);

	ASSERT_EQ(0, guest_create(&vm.cpu[0], "\xf4", 1));
	FAILS(EINVAL, irq_signal(&vm, IRQ_TO(0), VECTOR));
	FAILS(EINVAL, irq_route(&vm, GSI, IRQ_TO(0), VECTOR));
	FAILS(EINVAL, irq_fd(&vm, fd, GSI, 0));
	FAILS(ENXIO, ioctl(vm.cpu[0].vm, KVM_IRQ_LINE, &line));
	EXPECT_EQ(0, irq_fd(&vm, fd, GSI, KVM_IRQFD_FLAG_DEASSIGN));
	close(fd);
	guest_destroy(&vm.cpu[0]);
}

TEST(the_irqchip_is_chosen_once_and_before_the_vcpus)
{
	struct guest g;

	ASSERT_EQ(0, guest_create_vm(&g));
	FAILS(EINVAL, apic_enable_cap(g.vm, KVM_CAP_SPLIT_IRQCHIP, MAX_ROUTES + 1));
	ASSERT_EQ(0, apic_enable_cap(g.vm, KVM_CAP_SPLIT_IRQCHIP, IRQ_PINS));
	FAILS(EEXIST, apic_enable_cap(g.vm, KVM_CAP_SPLIT_IRQCHIP, IRQ_PINS));
	FAILS(EEXIST, ioctl(g.vm, KVM_CREATE_IRQCHIP, 0));
	guest_destroy(&g);
	ASSERT_EQ(0, guest_create(&g, "\xf4", 1));
	FAILS(EEXIST, apic_enable_cap(g.vm, KVM_CAP_SPLIT_IRQCHIP, IRQ_PINS));
	guest_destroy(&g);
}

TEST_HARNESS_MAIN
