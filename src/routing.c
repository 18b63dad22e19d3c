// SPDX-License-Identifier: GPL-2.0-only
#include "df.h"

/**
 * struct df_routes - what GSIs stand for; never changed, only replaced
 * @nr: the highest GSI that has a route, and one
 * @route: by GSI; user space numbers them densely
 */
struct df_routes {
	u32 nr;
	struct df_route {
		bool there;
		struct msi_msg msi;
	} route[] __counted_by(nr);
};

const struct msi_msg *df_routes_find(const struct df_routes *routes, u32 gsi)
{
	const struct df_route *route;

	if (!routes || gsi >= routes->nr)
		return NULL;
	route = &routes->route[array_index_nospec(gsi, routes->nr)];
	return route->there ? &route->msi : NULL;
}

/*
 * KVM refuses KVM_IRQ_ROUTING_IRQCHIP too where the IOAPIC is user space's, and
 * a second message for a GSI.
 */
static int add(struct df_vm *vm, struct df_routes *routes, const struct kvm_irq_routing_entry *e)
{
	struct df_route *route = &routes->route[array_index_nospec(e->gsi, routes->nr)];

	if (e->type != KVM_IRQ_ROUTING_MSI || e->flags & ~KVM_MSI_VALID_DEVID || route->there)
		return -EINVAL;
	route->there = true;
	route->msi = df_msi(e->u.msi.address_lo, e->u.msi.address_hi, e->u.msi.data);
	return df_arch_msi_valid(vm, &route->msi) ? 0 : -EINVAL;
}

static struct df_routes *create(struct df_vm *vm, const struct kvm_irq_routing_entry *entries,
				u32 nr)
{
	struct df_routes *routes;
	u32 last = 0;

	for (u32 i = 0; i < nr; i++) {
		if (entries[i].gsi >= DF_MAX_ROUTES)
			return ERR_PTR(-EINVAL);
		last = max(last, entries[i].gsi);
	}
	if (!nr)
		return NULL;
	routes = kvzalloc(struct_size(routes, route, last + 1), GFP_KERNEL_ACCOUNT);
	if (!routes)
		return ERR_PTR(-ENOMEM);
	routes->nr = last + 1;
	for (u32 i = 0; i < nr; i++) {
		int err = add(vm, routes, &entries[i]);

		if (err) {
			kvfree(routes);
			return ERR_PTR(err);
		}
	}
	return routes;
}

int df_routing_set(struct df_vm *vm, const struct kvm_irq_routing_entry *entries, u32 nr)
{
	struct df_irq *irq = &vm->irq;
	struct df_routes *new, *old;

	new = create(vm, entries, nr);
	if (IS_ERR(new))
		return PTR_ERR(new);
	guard(mutex)(&irq->lock);
	old = rcu_replace_pointer(irq->routes, new, lockdep_is_held(&irq->lock));
	df_irq_rerouted(vm, old);
	kvfree(old);
	return 0;
}

void df_routing_destroy(struct df_vm *vm)
{
	kvfree(rcu_dereference_protected(vm->irq.routes, true));
}

int df_routing_deliver(struct df_vm *vm, u32 gsi)
{
	const struct msi_msg *msi;

	/* Until it is delivered: df_routing_set() waits. */
	guard(rcu)();
	msi = df_routes_find(rcu_dereference(vm->irq.routes), gsi);
	return msi ? df_arch_msi(vm, msi) : -1;
}

int df_routing_signal_msi(struct df_vm *vm, void *arg)
{
	const struct kvm_msi *msi = arg;
	const struct msi_msg message = df_msi(msi->address_lo, msi->address_hi, msi->data);

	if (!df_arch_has_irqchip(vm) || msi->flags & ~KVM_MSI_VALID_DEVID ||
	    !df_arch_msi_valid(vm, &message))
		return -EINVAL;
	return df_arch_msi(vm, &message);
}

int df_routing_line(struct df_vm *vm, void *arg)
{
	struct kvm_irq_level *line = arg;

	if (!df_arch_has_irqchip(vm))
		return -ENXIO;
	line->status = line->level ? df_routing_deliver(vm, line->irq) : -1;
	return 0;
}
