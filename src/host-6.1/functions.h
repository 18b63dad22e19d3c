/* SPDX-License-Identifier: GPL-2.0-only */
/* What 6.12's kernel does or defines and 6.1's does not, or not so. */
#ifndef DF_HOST_6_1_FUNCTIONS_H
#define DF_HOST_6_1_FUNCTIONS_H

#include <linux/cleanup.h>
#include <linux/cpu.h>
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/kvm.h>
#include <linux/kvm_types.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

DEFINE_FREE(kvfree, void *, if (!IS_ERR_OR_NULL(_T)) kvfree(_T))
DEFINE_LOCK_GUARD_0(cpus_read_lock, cpus_read_lock(), cpus_read_unlock())

#ifdef __CHECKER__
/* sparse does not see what a guard does as it goes out of scope. */
#define class_rcu_constructor() \
	({ class_rcu_t held = class_rcu_constructor(); __release(RCU); held; })
#endif

/* The kernel's own has no room for the name. */
struct kvm_stats_named_desc {
	__u32 flags;
	__s16 exponent;
	__u16 size;
	__u32 offset;
	__u32 bucket_size;
	char name[KVM_STATS_NAME_SIZE];
};

#define kvm_stats_desc kvm_stats_named_desc

#define take_fd(fd) ({ int taken = (fd); (fd) = -EBADF; taken; })

#define eventfd_signal(eventfd) eventfd_signal(eventfd, 1)

#define rcu_virt_note_context_switch() rcu_virt_note_context_switch(smp_processor_id())

#define __apic_send_IPI_mask(mask, vector) apic->send_IPI_mask(mask, vector)

/* A mapping without struct pages has none but small ones here. */
struct follow_pfnmap_args {
	struct vm_area_struct *vma;
	unsigned long address;
	unsigned long pfn;
	pgprot_t pgprot;
	bool writable;
};

static inline int follow_pfnmap_start(struct follow_pfnmap_args *args)
{
	spinlock_t *lock;
	pte_t *pte;
	int err = follow_pte(args->vma->vm_mm, args->address, &pte, &lock);

	if (err)
		return err;
	__acquire(lock);	/* which its declaration does not say */
	args->pfn = pte_pfn(*pte);
	args->pgprot = pte_pgprot(*pte);
	args->writable = pte_write(*pte);
	pte_unmap_unlock(pte, lock);
	return 0;
}

/* What is told by then holds as long as it would if the lock were held until here. */
static inline void follow_pfnmap_end(struct follow_pfnmap_args *args)
{
}

#endif
