// SPDX-License-Identifier: GPL-2.0-only
/*
 * No memory for what interrupts a VM and what it kicks: see fail-nth-walk.h.
 *
 * In a test host with --kernel debug, --with dragonfly; kmemleak=on sees more. ONLY in the
 * environment is a part of the names of the operations that it is to be.
 */
#include "kselftest_harness.h"
#include "fail-nth-walk.h"

/* --- scenes --- */

static int with_queue_code(struct scene *s)
{
	int err = with_apic(s);

	if (!err)
		queue_prepare(&s->vm);
	return err;
}

static int route(struct scene *s, uint32_t vector)
{
	return irq_route(&s->vm, GSI, IRQ_TO(0), vector);
}

static int with_route(struct scene *s)
{
	return with_apic(s) ?: route(s, 0x41);
}

static int assign_irqfd(struct scene *s, uint32_t flags)
{
	struct kvm_irqfd irqfd = {
		.fd = s->event[0], .gsi = GSI, .flags = flags, .resamplefd = s->event[1]
	};

	return ioctl(vm(s), KVM_IRQFD, &irqfd);
}

static int with_irqfd(struct scene *s)
{
	return with_route(s) ?: assign_irqfd(s, 0);
}

static int set_ioeventfd(struct scene *s, unsigned int n, uint32_t flags)
{
	struct kvm_ioeventfd ioeventfd = {
		.addr = QUEUE_GPA + n * 8, .len = 4, .fd = s->event[n], .flags = flags
	};

	return ioctl(vm(s), KVM_IOEVENTFD, &ioeventfd);
}

static int with_ioeventfd(struct scene *s)
{
	return with_queue_code(s) ?: set_ioeventfd(s, 0, 0);
}

static int with_kick(struct scene *s)
{
	int err = with_ioeventfd(s);

	if (!err)
		queue_enter(&s->vm, 0, queue_kick4, QUEUE_GPA, 1);
	return err;
}

static int with_ioeventfds(struct scene *s)
{
	return with_ioeventfd(s) ?: set_ioeventfd(s, 1, 0);
}

static struct dragonfly_queue queue_of(struct scene *s)
{
	return QUEUE(.notify_gpa = QUEUE_GPA, .kick_fd = s->event[0], .call_fd = s->event[1],
		     .flags = DRAGONFLY_QUEUE_MSI,
		     .msi = { .address_lo = IRQ_TO(0), .data = 0x41 });
}

static int with_queue(struct scene *s)
{
	int err = with_queue_code(s);

	if (!err)
		s->fd = queue_assign(&s->vm, queue_of(s));
	return err ?: s->fd < 0;
}

/* --- operations --- */

static int set_routing(struct scene *s)
{
	return result_of(route(s, 0x42));
}

static int signal_msi(struct scene *s)
{
	return result_of(irq_signal(&s->vm, IRQ_TO(0), 0x42));
}

static int raise_gsi(struct scene *s, unsigned long cmd)
{
	struct kvm_irq_level line = { .irq = GSI, .level = 1 };

	return ioctl(vm(s), cmd, &line);
}

static int raise_line(struct scene *s)
{
	return result_of(raise_gsi(s, s->o->cmd));
}

static int add_irqfd(struct scene *s)
{
	return result_of(assign_irqfd(s, 0));
}

static int add_resampled_irqfd(struct scene *s)
{
	return result_of(assign_irqfd(s, KVM_IRQFD_FLAG_RESAMPLE));
}

static int remove_irqfd(struct scene *s)
{
	return result_of(assign_irqfd(s, KVM_IRQFD_FLAG_DEASSIGN));
}

static int add_ioeventfd(struct scene *s)
{
	return result_of(set_ioeventfd(s, 0, 0));
}

static int add_second_ioeventfd(struct scene *s)
{
	return result_of(set_ioeventfd(s, 1, 0));
}

static int remove_second_ioeventfd(struct scene *s)
{
	return result_of(set_ioeventfd(s, 1, KVM_IOEVENTFD_FLAG_DEASSIGN));
}

static int assign_queue(struct scene *s)
{
	return result_of(queue_assign(&s->vm, queue_of(s)));
}

static int assign_doorbell(struct scene *s)
{
	return result_of(queue_assign(&s->vm, QUEUE(.notify_gpa = QUEUE_GPA,
						    .flags = DRAGONFLY_QUEUE_DOORBELL,
						    .doorbell = (uintptr_t)s->memory)));
}

static int set_msi(struct scene *s)
{
	return result_of(queue_set_msi(s->fd, IRQ_TO(0), 0x42, 0));
}

/* With another descriptor in place: this one has its last. */
static int close_queue(struct scene *s)
{
	int err = close(s->fd);

	s->fd = -1;
	return err;
}

static int kick(struct scene *s)
{
	int reason = irq_go_on(&s->vm, 0);

	return reason > 0 ? -EPROTO : reason;
}

/* --- what they have done --- */

static bool comes(struct scene *s, unsigned int vector)
{
	return irq_take_all(&s->vm) && irq_count(&s->vm, 0, vector) == 1;
}

static bool second_comes(struct scene *s)
{
	return comes(s, 0x42);
}

static bool routes(struct scene *s)
{
	return !raise_gsi(s, KVM_IRQ_LINE) && comes(s, 0x42);
}

static bool raises(struct scene *s)
{
	return !eventfd_write(s->event[0], 1) && comes(s, 0x41);
}

static bool raises_nothing(struct scene *s)
{
	return !eventfd_write(s->event[0], 1) && irq_take_all(&s->vm) &&
	       !irq_count(&s->vm, 0, 0x41);
}

static bool kicks(struct scene *s)
{
	return !queue_run(&s->vm, queue_kick4, QUEUE_GPA, 1) && queue_signals(s->event[0]) == 1;
}

static bool has_kicked(struct scene *s)
{
	return queue_signals(s->event[0]) == 1;
}

static bool second_is_there(struct scene *s)
{
	return set_ioeventfd(s, 1, 0) && errno == EEXIST && kicks(s);
}

static bool second_is_gone(struct scene *s)
{
	return !set_ioeventfd(s, 1, 0) && kicks(s);
}

static bool queue_is_there(struct scene *s)
{
	return !eventfd_write(s->event[1], 1) && comes(s, 0x41) && kicks(s) &&
	       guest_stat(s->made, "kicks") == 1;
}

static bool queue_is_gone(struct scene *s)
{
	return !set_ioeventfd(s, 0, 0) && !assign_irqfd(s, 0);
}

static const struct operation operations[] = {
	OPERATION("KVM_GET_STATS_FD of a queue", with_queue, run_plain, .cmd = KVM_GET_STATS_FD,
		  .makes = true),
	OPERATION("KVM_SET_GSI_ROUTING", with_apic, set_routing, .worked = routes),
	OPERATION("KVM_SET_GSI_ROUTING again", with_route, set_routing, .worked = routes),
	OPERATION("KVM_SIGNAL_MSI", with_apic, signal_msi, .worked = second_comes),
	OPERATION("KVM_IRQ_LINE", with_route, raise_line, .cmd = KVM_IRQ_LINE),
	OPERATION("KVM_IRQ_LINE_STATUS", with_route, raise_line, .cmd = KVM_IRQ_LINE_STATUS),
	OPERATION("KVM_IRQFD", with_route, add_irqfd, .worked = raises),
	OPERATION("KVM_IRQFD with a resample eventfd", with_route, add_resampled_irqfd,
		  .worked = raises),
	OPERATION("KVM_IRQFD deassigned", with_irqfd, remove_irqfd, .worked = raises_nothing),
	OPERATION("KVM_IOEVENTFD", with_queue_code, add_ioeventfd, .worked = kicks),
	OPERATION("KVM_IOEVENTFD, a second one", with_ioeventfd, add_second_ioeventfd,
		  .worked = second_is_there),
	OPERATION("KVM_IOEVENTFD deassigned", with_ioeventfds, remove_second_ioeventfd,
		  .worked = second_is_gone),
	OPERATION("DRAGONFLY_QUEUE_ASSIGN", with_queue_code, assign_queue, .worked = queue_is_there,
		  .makes = true),
	OPERATION("DRAGONFLY_QUEUE_ASSIGN with a doorbell", with_device_pages, assign_doorbell,
		  .makes = true),
	OPERATION("DRAGONFLY_QUEUE_SET_MSI", with_queue, set_msi),
	OPERATION("close() of a queue", with_queue, close_queue, .worked = queue_is_gone),
	OPERATION("KVM_RUN with an ioeventfd", with_kick, kick, .worked = has_kicked),
};

FIXTURE(fail_nth){};

FIXTURE_SETUP(fail_nth)
{
	if (!fail_nth_prepare())
		SKIP(return, "this kernel injects no faults");
	/* Large pages only where they are asked for. */
	ASSERT_EQ(0, prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
}

FIXTURE_TEARDOWN(fail_nth)
{
}

TEST_F_TIMEOUT(fail_nth, each_allocation_of_interrupts_and_queues, 3600)
{
	walk_all(_metadata, operations, ARRAY_SIZE(operations));
}

TEST_HARNESS_MAIN
