// SPDX-License-Identifier: GPL-2.0-only
/*
 * The end of level-triggered interrupts: who waits for it, and how he is told.
 */

#include "df.h"

void df_irq_init(struct df_irq *irq)
{
	mutex_init(&irq->lock);
	spin_lock_init(&irq->irqfd_lock);
	INIT_LIST_HEAD(&irq->irqfds);
	INIT_LIST_HEAD(&irq->resampled);
	INIT_LIST_HEAD(&irq->bypassed);
}

/* What the end of a GSI is to a vCPU: a vector, or a negative value. */
static int level_vector(const struct df_vcpu *vcpu, u32 gsi)
{
	const struct msi_msg *msi = df_routes_find(rcu_dereference(vcpu->vm->irq.routes), gsi);

	return msi && df_arch_msi_level(msi) ? df_arch_msi_vector(vcpu, msi) : -1;
}

static void add_vector(const struct df_vcpu *vcpu, u32 gsi, unsigned long *vectors)
{
	int vector = level_vector(vcpu, gsi);

	if (vector >= 0)
		__set_bit((u8)vector, vectors);
}

void df_irq_eoi_vectors(const struct df_vcpu *vcpu, unsigned long *vectors)
{
	const struct df_irq *irq = &vcpu->vm->irq;
	const struct df_irqfd *irqfd;

	guard(rcu)();
	for (u32 gsi = 0; gsi < irq->pins; gsi++)
		add_vector(vcpu, gsi, vectors);
	list_for_each_entry_rcu(irqfd, &irq->resampled, resampled)
		add_vector(vcpu, irqfd->gsi, vectors);
}

bool df_irq_eoi(const struct df_vcpu *vcpu, u8 vector)
{
	const struct df_irq *irq = &vcpu->vm->irq;
	const struct df_irqfd *irqfd;
	bool resampled = false;

	guard(rcu)();
	list_for_each_entry_rcu(irqfd, &irq->resampled, resampled)
		if (level_vector(vcpu, irqfd->gsi) == vector) {
			eventfd_signal(irqfd->resamplefd);
			resampled = true;
		}
	for (u32 gsi = 0; gsi < irq->pins; gsi++)
		if (level_vector(vcpu, gsi) == vector)
			return true;
	/* Nobody's: its route has changed since it came. User space knows what was. */
	return irq->pins && !resampled;
}

static bool is_level(const struct msi_msg *msi)
{
	return msi && df_arch_msi_level(msi);
}

/* Is the end of a GSI another one than it was? */
static bool end_differs(const struct df_routes *old, const struct df_routes *new, u32 gsi)
{
	const struct msi_msg *was = df_routes_find(old, gsi), *is = df_routes_find(new, gsi);

	if (!is_level(was) && !is_level(is))
		return false;
	return !was || !is || memcmp(was, is, sizeof(*was));
}

static bool any_end_differs(const struct df_irq *irq, const struct df_routes *old,
			    const struct df_routes *new)
{
	const struct df_irqfd *irqfd;

	for (u32 gsi = 0; gsi < irq->pins; gsi++)
		if (end_differs(old, new, gsi))
			return true;
	list_for_each_entry(irqfd, &irq->resampled, resampled)
		if (end_differs(old, new, irqfd->gsi))
			return true;
	return false;
}

void df_irq_rerouted(struct df_vm *vm, const struct df_routes *old)
{
	const struct df_irq *irq = &vm->irq;
	const struct df_routes *new = rcu_dereference_protected(irq->routes,
								lockdep_is_held(&irq->lock));
	const struct df_irqfd *irqfd;

	if (any_end_differs(irq, old, new))
		df_arch_eoi_changed(vm);
	df_bypass_rerouted(vm, old);
	if (!old)
		return;
	/* Whoever masks a device's message by this counts on that none comes later. */
	synchronize_rcu_expedited();
	/*
	 * The end of one that has come the old way is no longer noticed. It is as good
	 * as there: a device that still wants its interrupt raises it again.
	 */
	list_for_each_entry(irqfd, &irq->resampled, resampled)
		if (is_level(df_routes_find(old, irqfd->gsi)) && end_differs(old, new, irqfd->gsi))
			eventfd_signal(irqfd->resamplefd);
}
