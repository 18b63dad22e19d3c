// SPDX-License-Identifier: GPL-2.0-only
#include "df.h"

/* A channel I/O notification is nothing that an x86 guest could send. */
#define KNOWN_FLAGS	(KVM_IOEVENTFD_VALID_FLAG_MASK & ~KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY)

/* Those of ports, or of memory; but for @bare_age never changed, only replaced. */
struct df_ioeventfds {
	struct rcu_head rcu;
	u32 nr;
	struct df_ioeventfd sorted[] __counted_by(nr);
};

/* ---- the order, and finding by it ------------------------------------------------------- */

static int order_of(u64 a, u64 b)
{
	return a < b ? -1 : a > b;
}

/*
 * 0 if there is a write that is for both. No two such are in one table, so that
 * what is in it has an order, and whatever is looked for, at most one place.
 */
static int order(const struct df_ioeventfd *it, u64 addr, u32 len, bool any, u64 data)
{
	if (it->addr != addr)
		return order_of(it->addr, addr);
	if (!it->len || !len)
		return 0;
	if (it->len != len)
		return order_of(it->len, len);
	if (it->any || any)
		return 0;
	return order_of(it->data, data);
}

/* Where it is, or, if that is negative: ~ where it would have to be. */
static long locate(const struct df_ioeventfds *table, u64 addr, u32 len, bool any, u64 data)
{
	u32 first = 0, end = table ? table->nr : 0;

	while (first < end) {
		u32 middle = first + (end - first) / 2;
		int o = order(&table->sorted[middle], addr, len, any, data);

		if (!o)
			return middle;
		if (o < 0)
			first = middle + 1;
		else
			end = middle;
	}
	return ~(long)first;
}

static noinline struct df_ioeventfd *find_matching(struct df_ioeventfds *table, u64 addr,
						   unsigned int len, u64 data)
{
	long at;

	if (len && len < sizeof(data))
		data &= BIT_ULL(len * 8) - 1;
	at = locate(table, addr, len, false, data);
	if (at < 0 || (!len && table->sorted[at].len))
		return NULL;
	return &table->sorted[at];
}

/* Most are the only one at their address, and do not ask what is written. */
static __always_inline struct df_ioeventfd *find(const struct df_vm *vm, bool mmio, u64 addr,
						 unsigned int len, u64 data)
{
	struct df_ioeventfds *table = rcu_dereference_sched(vm->irq.ioeventfds[mmio]);
	struct df_ioeventfd *it;

	if (!table)
		return NULL;
	/* The last one that is not behind it; no table is empty. */
	it = table->sorted;
	for (u32 n = table->nr; n > 1; n -= n / 2)
		if (it[n / 2].addr <= addr)
			it += n / 2;
	if (it->addr != addr)
		return NULL;
	if (likely(!it->len || (it->len == len && it->any)))
		return it;
	return find_matching(table, addr, len, data);
}

static struct eventfd_ctx *kick(const struct df_ioeventfd *it)
{
	if (it->kicks)
		atomic64_inc(it->kicks);
	return it->eventfd;
}

struct eventfd_ctx *df_ioeventfd_find(const struct df_vm *vm, bool mmio, u64 addr,
				      unsigned int len, u64 data)
{
	const struct df_ioeventfd *it = find(vm, mmio, addr, len, data);

	return it ? kick(it) : NULL;
}

struct eventfd_ctx *df_ioeventfd_find_bare(const struct df_vm *vm, u64 gpa)
{
	const struct df_ioeventfd *it = find(vm, true, gpa, 0, 0);

	return it && READ_ONCE(it->bare_age) == READ_ONCE(vm->slots_age) ? kick(it) : NULL;
}

void df_ioeventfd_set_bare(const struct df_vm *vm, u64 gpa, u64 slots_age)
{
	struct df_ioeventfd *it;

	guard(preempt)();
	it = find(vm, true, gpa, 0, 0);
	if (it)
		WRITE_ONCE(it->bare_age, slots_age);
}

bool df_ioeventfd_signal(const struct df_vm *vm, bool mmio, u64 addr, unsigned int len, u64 data)
{
	struct eventfd_ctx *eventfd;

	guard(preempt)();
	eventfd = df_ioeventfd_find(vm, mmio, addr, len, data);
	if (eventfd)
		eventfd_signal(eventfd);
	return eventfd;
}

/* ---- assigning and deassigning ------------------------------------------------------------ */

static struct df_ioeventfds *create(u32 nr, gfp_t gfp)
{
	struct df_ioeventfds *table;

	table = kvmalloc(struct_size(table, sorted, nr), GFP_KERNEL_ACCOUNT | gfp);
	if (table)
		table->nr = nr;
	return table;
}

static void replace(struct df_irq *irq, bool mmio, struct df_ioeventfds *new)
{
	struct df_ioeventfds *old;

	old = rcu_replace_pointer(irq->ioeventfds[mmio], new, lockdep_is_held(&irq->lock));
	kvfree_rcu(old, rcu);
}

static struct df_ioeventfds *current_table(struct df_irq *irq, bool mmio)
{
	return rcu_dereference_protected(irq->ioeventfds[mmio], lockdep_is_held(&irq->lock));
}

static int insert(struct df_irq *irq, bool mmio, const struct df_ioeventfd *it)
{
	struct df_ioeventfds *old, *new;
	long at;
	u32 nr;

	guard(mutex)(&irq->lock);
	old = current_table(irq, mmio);
	at = locate(old, it->addr, it->len, it->any, it->data);
	if (at >= 0)
		return -EEXIST;
	at = ~at;
	nr = old ? old->nr : 0;
	new = create(nr + 1, 0);
	if (!new)
		return -ENOMEM;
	if (old) {
		memcpy(new->sorted, old->sorted, at * sizeof(*it));
		memcpy(&new->sorted[at + 1], &old->sorted[at], (nr - at) * sizeof(*it));
	}
	new->sorted[at] = *it;
	replace(irq, mmio, new);
	return 0;
}

static bool is_same(const struct df_ioeventfd *a, const struct df_ioeventfd *b)
{
	return a->eventfd == b->eventfd && a->len == b->len && a->any == b->any &&
	       a->data == b->data && a->kicks == b->kicks;
}

/* That a queue is closed has to succeed. */
int df_ioeventfd_remove(struct df_irq *irq, bool mmio, const struct df_ioeventfd *it)
{
	struct df_ioeventfds *old, *new = NULL;
	long at;

	scoped_guard(mutex, &irq->lock) {
		old = current_table(irq, mmio);
		at = locate(old, it->addr, it->len, it->any, it->data);
		if (at < 0 || !is_same(&old->sorted[at], it))
			return -ENOENT;
		if (old->nr > 1) {
			new = create(old->nr - 1, __GFP_NOFAIL);
			memcpy(new->sorted, old->sorted, at * sizeof(*it));
			memcpy(&new->sorted[at], &old->sorted[at + 1],
			       (old->nr - at - 1) * sizeof(*it));
		}
		replace(irq, mmio, new);
	}
	/* A vCPU may just be signalling it, and user space is about to count. */
	synchronize_rcu_expedited();
	eventfd_ctx_put(it->eventfd);
	return 0;
}

int df_ioeventfd_open(struct df_irq *irq, bool mmio, struct df_ioeventfd *it, int fd)
{
	struct eventfd_ctx *eventfd = eventfd_ctx_fdget(fd);
	int err;

	if (IS_ERR(eventfd))
		return PTR_ERR(eventfd);
	it->eventfd = eventfd;
	err = insert(irq, mmio, it);
	if (err) {
		it->eventfd = NULL;
		eventfd_ctx_put(eventfd);
	}
	return err;
}

/* As KVM: only of what is to be assigned. */
static bool is_valid(const struct kvm_ioeventfd *args)
{
	bool matches = args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH;

	if (args->flags & ~KNOWN_FLAGS || args->addr + args->len < args->addr)
		return false;
	if (!args->len)
		return !matches;
	return args->len <= sizeof(args->datamatch) && is_power_of_2(args->len);
}

int df_ioeventfd(struct df_vm *vm, void *arg)
{
	const struct kvm_ioeventfd *args = arg;
	bool mmio = !(args->flags & KVM_IOEVENTFD_FLAG_PIO);
	struct df_ioeventfd it = { .addr = args->addr, .len = args->len };
	int err;

	if (args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH)
		it.data = args->datamatch;
	else
		it.any = true;
	if (!(args->flags & KVM_IOEVENTFD_FLAG_DEASSIGN))
		return is_valid(args) ? df_ioeventfd_open(&vm->irq, mmio, &it, args->fd) : -EINVAL;
	it.eventfd = eventfd_ctx_fdget(args->fd);
	if (IS_ERR(it.eventfd))
		return PTR_ERR(it.eventfd);
	err = df_ioeventfd_remove(&vm->irq, mmio, &it);
	eventfd_ctx_put(it.eventfd);
	return err;
}

void df_ioeventfd_destroy(struct df_vm *vm)
{
	for (int mmio = 0; mmio < 2; mmio++) {
		struct df_ioeventfds *table = rcu_dereference_protected(vm->irq.ioeventfds[mmio],
									true);

		for (u32 i = 0; table && i < table->nr; i++)
			eventfd_ctx_put(table->sorted[i].eventfd);
		kvfree(table);
	}
}
