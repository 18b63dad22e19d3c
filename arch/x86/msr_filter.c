// SPDX-License-Identifier: GPL-2.0-only
#include <linux/bitmap.h>

#include "x86.h"

/**
 * struct msr_filter - does not change
 * @bitmap: what does not exit without and with x2APIC mode: what is allowed of it
 * @wanted: with bitmaps of the kernel's own
 */
struct msr_filter {
	unsigned long *bitmap[2];
	struct kvm_msr_filter wanted;
};

/* As KVM: those of x2APIC are never kept. */
static bool allows(const struct kvm_msr_filter *wanted, u32 index, bool write)
{
	u32 access = write ? KVM_MSR_FILTER_WRITE : KVM_MSR_FILTER_READ;

	if (index >= APIC_BASE_MSR && index <= LAPIC_LAST_MSR)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(wanted->ranges); i++) {
		const struct kvm_msr_filter_range *range = &wanted->ranges[i];
		u32 bit = index - range->base;

		if (bit >= range->nmsrs || !(range->flags & access))
			continue;
		bit = array_index_nospec(bit, range->nmsrs);
		return range->bitmap[bit / 8] & BIT(bit % 8);
	}
	return !(wanted->flags & KVM_MSR_FILTER_DEFAULT_DENY);
}

void msr_filter_free(struct msr_filter *filter)
{
	if (!filter)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(filter->wanted.ranges); i++)
		kfree((void *)filter->wanted.ranges[i].bitmap);
	free_page((unsigned long)filter->bitmap[0]);
	free_page((unsigned long)filter->bitmap[1]);
	kfree(filter);
}

static int copy_range(struct kvm_msr_filter_range *range, const struct kvm_msr_filter_range *user)
{
	size_t size = BITS_TO_LONGS((u64)user->nmsrs) * sizeof(long);
	void *bitmap;

	if (!user->nmsrs)
		return 0;
	if (!user->flags || user->flags & ~KVM_MSR_FILTER_RANGE_VALID_MASK ||
	    size > KVM_MSR_FILTER_MAX_BITMAP_SIZE)
		return -EINVAL;
	bitmap = df_memdup_user((void __user *)user->bitmap, 1, size);
	if (IS_ERR(bitmap))
		return PTR_ERR(bitmap);
	*range = *user;
	range->bitmap = bitmap;
	return 0;
}

/* Of four bitmaps of 8192 MSRs the second is of high ones, and the last two of writes. */
static int make_bitmap(struct msr_filter *filter, bool x2apic)
{
	unsigned long bit, *bitmap = (void *)__get_free_page(GFP_KERNEL_ACCOUNT);

	filter->bitmap[x2apic] = bitmap;
	if (!bitmap)
		return -ENOMEM;
	memcpy(bitmap, apic_mode_bitmaps[x2apic], PAGE_SIZE);
	for_each_clear_bit(bit, bitmap, 4 * 8192) {
		u32 index = (bit & 0x1fff) | (bit & 0x2000 ? 0xc0000000 : 0);

		if (!allows(&filter->wanted, index, bit & 0x4000))
			__set_bit(bit, bitmap);
	}
	return 0;
}

static struct msr_filter *make(const struct kvm_msr_filter *wanted)
{
	struct msr_filter *filter = kzalloc(sizeof(*filter), GFP_KERNEL_ACCOUNT);
	int err = 0;

	if (!filter)
		return ERR_PTR(-ENOMEM);
	filter->wanted.flags = wanted->flags;
	for (size_t i = 0; i < ARRAY_SIZE(wanted->ranges) && !err; i++)
		err = copy_range(&filter->wanted.ranges[i], &wanted->ranges[i]);
	if (!err)
		err = make_bitmap(filter, false);
	if (!err)
		err = make_bitmap(filter, true);
	if (!err)
		return filter;
	msr_filter_free(filter);
	return ERR_PTR(err);
}

static bool is_empty(const struct kvm_msr_filter *wanted)
{
	for (size_t i = 0; i < ARRAY_SIZE(wanted->ranges); i++)
		if (wanted->ranges[i].nmsrs)
			return false;
	return true;
}

int msr_filter_set(struct df_vm *vm, void *arg)
{
	const struct kvm_msr_filter *wanted = arg;
	struct msr_filter *filter = NULL, *old;

	if (wanted->flags & ~KVM_MSR_FILTER_VALID_MASK || (is_empty(wanted) && wanted->flags))
		return -EINVAL;
	if (!is_empty(wanted))
		filter = make(wanted);
	if (IS_ERR(filter))
		return PTR_ERR(filter);
	scoped_guard(mutex, &vm->lock)
		old = rcu_replace_pointer(vm->arch.msr_filter, filter, lockdep_is_held(&vm->lock));
	/* Whoever was in the guest with the old bitmap enters with the new one. */
	run_request_all(vm, DF_REQ_APIC_MODE);
	synchronize_rcu_expedited();
	msr_filter_free(old);
	return 0;
}

bool msr_filter_allows(const struct df_vm *vm, u32 index, bool write)
{
	const struct msr_filter *filter;

	guard(rcu)();
	filter = rcu_dereference(vm->arch.msr_filter);
	return !filter || allows(&filter->wanted, index, write);
}

unsigned long *msr_filter_bitmap(const struct df_vm *vm, bool x2apic)
{
	const struct msr_filter *filter = rcu_dereference_sched(vm->arch.msr_filter);

	return filter ? filter->bitmap[x2apic] : NULL;
}
