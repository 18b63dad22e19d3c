// SPDX-License-Identifier: GPL-2.0-only
#include <linux/irqbypass.h>

#include "df.h"

static const struct df_routes *routes_of(const struct df_irq *irq)
{
	return rcu_dereference_protected(irq->routes, lockdep_is_held(&irq->lock));
}

static const struct msi_msg *msi_of(const struct df_irqfd *irqfd, const struct df_routes *routes)
{
	if (irqfd->is_queue)
		return irqfd->masked ? NULL : &irqfd->msi;
	return df_routes_find(routes, irqfd->gsi);
}

static int post(const struct df_irqfd *irqfd)
{
	return df_arch_irq_bypass(irqfd->vm, irqfd->host_irq,
				  msi_of(irqfd, routes_of(&irqfd->vm->irq)));
}

/* Both under the lock of the kernel's irqbypass module. */
static int add_producer(struct irq_bypass_consumer *consumer, struct irq_bypass_producer *producer)
{
	struct df_irqfd *irqfd = container_of(consumer, struct df_irqfd, consumer);
	struct df_irq *irq = &irqfd->vm->irq;
	int err;

	guard(mutex)(&irq->lock);
	irqfd->host_irq = producer->irq;
	err = post(irqfd);
	if (!err)
		list_add(&irqfd->bypassed, &irq->bypassed);
	return err;
}

static void del_producer(struct irq_bypass_consumer *consumer, struct irq_bypass_producer *producer)
{
	struct df_irqfd *irqfd = container_of(consumer, struct df_irqfd, consumer);

	guard(mutex)(&irqfd->vm->irq.lock);
	list_del_init(&irqfd->bypassed);
	df_arch_irq_bypass(irqfd->vm, irqfd->host_irq, NULL);
}

void df_bypass_add(struct df_irqfd *irqfd)
{
	irqfd->consumer.add_producer = add_producer;
	irqfd->consumer.del_producer = del_producer;
	irqfd->found = !df_host_bypass_register(&irqfd->consumer, irqfd->eventfd);
}

void df_bypass_remove(struct df_irqfd *irqfd)
{
	if (irqfd->found)
		df_host_bypass_unregister(&irqfd->consumer);
}

static bool is_same(const struct msi_msg *a, const struct msi_msg *b)
{
	return a && b ? !memcmp(a, b, sizeof(*a)) : a == b;
}

void df_bypass_rerouted(struct df_vm *vm, const struct df_routes *old)
{
	const struct df_routes *new = routes_of(&vm->irq);
	const struct df_irqfd *irqfd;

	list_for_each_entry(irqfd, &vm->irq.bypassed, bypassed)
		if (!is_same(msi_of(irqfd, old), msi_of(irqfd, new)))
			post(irqfd);
}

void df_bypass_changed(const struct df_irqfd *irqfd)
{
	lockdep_assert_held(&irqfd->vm->irq.lock);
	if (!list_empty(&irqfd->bypassed))
		post(irqfd);
}
