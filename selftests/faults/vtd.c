// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device whose interrupt an IOMMU can post, for a host that has neither: what
 * selftests/bypass loads.  It answers in the kernel's place that interrupts can be
 * posted, listens to where one is to go, and posts it there as VT-d does.
 *
 * Below /sys/kernel/debug/vtd/:
 *
 * eventfd	write one, as a descriptor, that the device is to signal; -1: none
 * vector	what the interrupt is posted as; -1: it is the host's
 * notified	the vector that the last one was notified by
 * post		write how often the device is to raise it: each time a little later after
 *		the vCPU has looked at the one before
 */
#include <linux/debugfs.h>
#include <linux/eventfd.h>
#include <linux/irqbypass.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/spinlock.h>
#include <asm/apic.h>
#include <asm/irq_remapping.h>
#include <asm/posted_intr.h>

/* No machine has so many. */
#define HOST_IRQ	0x7ffffff0

static struct irq_bypass_producer producer = { .irq = HOST_IRQ };
static struct dentry *folder;

/* The entry of the interrupt-remapping table; guards what follows. */
static DEFINE_RAW_SPINLOCK(entry);
static struct pi_desc *descriptor;
static int vector = -1;
static int notified = -1;

/* ---- in the kernel's place --------------------------------------------------------- */

static int say_yes(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	regs_set_return_value(regs, true);
	return 0;
}

static struct kretprobe capability = {
	.kp.symbol_name	= "irq_remapping_cap",
	.handler	= say_yes,
	.maxactive	= 64,
};

static int is_ours(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	const struct vcpu_data *data = (void *)regs_get_kernel_argument(regs, 1);

	if ((u32)regs_get_kernel_argument(regs, 0) != HOST_IRQ)
		return 1;
	raw_spin_lock(&entry);
	descriptor = data ? phys_to_virt(data->pi_desc_addr) : NULL;
	vector = data ? data->vector : -1;
	raw_spin_unlock(&entry);
	return 0;
}

static int say_done(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	regs_set_return_value(regs, 0);
	return 0;
}

static struct kretprobe affinity = {
	.kp.symbol_name	= "irq_set_vcpu_affinity",
	.entry_handler	= is_ours,
	.handler	= say_done,
	.maxactive	= 64,
};

static struct kretprobe *probes[] = { &capability, &affinity };

/* ---- the device and VT-d ------------------------------------------------------------- */

static void notify(u32 destination, u8 by)
{
	int cpu;

	for_each_online_cpu(cpu)
		if (cpu_physical_id(cpu) == (x2apic_mode ? destination : destination >> 8))
			__apic_send_IPI_mask(cpumask_of(cpu), by);
}

/* ON, NV and NDST are one access, as in the IOMMU. */
static void post_one(struct pi_desc *pi)
{
	struct pi_desc was, is;

	pi_test_and_set_pir(vector, pi);
	was.control = READ_ONCE(pi->control);
	do {
		is.control = was.control;
		if (pi_test_sn(&was) || pi_test_on(&was))
			return;
		pi_set_on(&is);
	} while (!try_cmpxchg64(&pi->control, &was.control, is.control));
	notified = was.nv;
	notify(was.ndst, was.nv);
}

static bool raise_one(void)
{
	unsigned long flags;
	bool posted;

	raw_spin_lock_irqsave(&entry, flags);
	posted = descriptor;
	if (posted)
		post_one(descriptor);
	raw_spin_unlock_irqrestore(&entry, flags);
	if (!posted && producer.token)
		eventfd_signal(producer.token);
	return posted;
}

static bool is_looked_at(void)
{
	unsigned long flags;
	bool on;

	raw_spin_lock_irqsave(&entry, flags);
	on = descriptor && pi_test_on(descriptor);
	raw_spin_unlock_irqrestore(&entry, flags);
	return !on;
}

static int raise(void *unused, u64 times)
{
	for (u64 i = 0; i < times; i++) {
		if (!raise_one() || times == 1)
			continue;
		while (!is_looked_at()) {
			cond_resched();
			if (signal_pending(current))
				return -EINTR;
		}
		for (u64 wait = i * 7 % 2048; wait; wait--)
			cpu_relax();
	}
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(post_fops, NULL, raise, "%llu\n");

static int get_vector(void *value, u64 *answer)
{
	*answer = READ_ONCE(*(int *)value);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE_SIGNED(vector_fops, get_vector, NULL, "%lld\n");

static void unplug(void)
{
	struct eventfd_ctx *eventfd = producer.token;

	if (!eventfd)
		return;
	irq_bypass_unregister_producer(&producer);
	producer.token = NULL;
	eventfd_ctx_put(eventfd);
}

static int plug(void *unused, u64 fd)
{
	struct eventfd_ctx *eventfd;
	int err;

	unplug();
	if ((s64)fd < 0)
		return 0;
	eventfd = eventfd_ctx_fdget(fd);
	if (IS_ERR(eventfd))
		return PTR_ERR(eventfd);
	producer.token = eventfd;
	err = irq_bypass_register_producer(&producer);
	if (err) {
		producer.token = NULL;
		eventfd_ctx_put(eventfd);
	}
	return err;
}
DEFINE_DEBUGFS_ATTRIBUTE_SIGNED(eventfd_fops, NULL, plug, "%lld\n");

static int __init vtd_init(void)
{
	int err;

	err = register_kretprobes(probes, ARRAY_SIZE(probes));
	if (err)
		return err;
	folder = debugfs_create_dir("vtd", NULL);
	debugfs_create_file_unsafe("eventfd", 0200, folder, NULL, &eventfd_fops);
	debugfs_create_file_unsafe("vector", 0400, folder, &vector, &vector_fops);
	debugfs_create_file_unsafe("notified", 0400, folder, &notified, &vector_fops);
	debugfs_create_file_unsafe("post", 0200, folder, NULL, &post_fops);
	return 0;
}

static void __exit vtd_exit(void)
{
	debugfs_remove(folder);
	unplug();
	unregister_kretprobes(probes, ARRAY_SIZE(probes));
}

module_init(vtd_init);
module_exit(vtd_exit);

MODULE_DESCRIPTION("An IOMMU that posts interrupts, as far as a test needs one");
MODULE_LICENSE("GPL");
