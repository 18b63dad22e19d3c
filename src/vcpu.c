// SPDX-License-Identifier: GPL-2.0-only
/*
 * Virtual CPUs: their life, and the ioctls of their file that are no register
 * state.
 */
#include "df.h"

atomic_t df_vcpus = ATOMIC_INIT(0);

void df_vcpu_free(struct df_vcpu *vcpu)
{
	df_arch_vcpu_destroy(vcpu);
	free_pages_exact(vcpu->run, DF_RUN_SIZE);
	kfree(vcpu);
	atomic_dec(&df_vcpus);
}

static noinline long run_masked(struct df_vcpu *vcpu)
{
	sigset_t saved;
	int err;

	sigprocmask(SIG_SETMASK, &vcpu->sigmask, &saved);
	err = df_arch_vcpu_run(vcpu);
	sigprocmask(SIG_SETMASK, &saved, NULL);
	return err;
}

static long vcpu_run(struct df_vcpu *vcpu)
{
	return unlikely(vcpu->has_sigmask) ? run_masked(vcpu) : df_arch_vcpu_run(vcpu);
}

/* The kernel's sigset is what user space passes, in a length of its own. */
static noinline long set_signal_mask(struct df_vcpu *vcpu, void __user *arg)
{
	struct kvm_signal_mask head;
	sigset_t mask;

	if (!arg) {
		vcpu->has_sigmask = false;
		return 0;
	}
	if (copy_from_user(&head, arg, sizeof(head)))
		return -EFAULT;
	if (head.len != sizeof(mask))
		return -EINVAL;
	if (copy_from_user(&mask, arg + offsetof(struct kvm_signal_mask, sigset), sizeof(mask)))
		return -EFAULT;
	sigdelsetmask(&mask, sigmask(SIGKILL) | sigmask(SIGSTOP));
	vcpu->sigmask = mask;
	vcpu->has_sigmask = true;
	return 0;
}

static long vcpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct df_vcpu *vcpu = file->private_data;
	long ret;

	if (vcpu->vm->mm != current->mm)
		return -EIO;
	/* Another thread may be in the guest for ever: a signal ends the wait. */
	if (mutex_lock_killable(&vcpu->lock))
		return -EINTR;
	if (likely(cmd == KVM_RUN)) {
		ret = arg ? -EINVAL : vcpu_run(vcpu);
		mutex_unlock(&vcpu->lock);
		return ret;
	}
	switch (cmd) {
	case KVM_GET_STATS_FD:
		ret = arg ? -EINVAL : df_stats_open(vcpu->vm, vcpu, NULL);
		break;
	case KVM_SET_SIGNAL_MASK:
		ret = set_signal_mask(vcpu, (void __user *)arg);
		break;
	default:
		ret = df_arch_vcpu_ioctl(vcpu, cmd, arg);
		break;
	}
	mutex_unlock(&vcpu->lock);
	return ret;
}

static int vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	const struct df_vcpu *vcpu = file->private_data;
	struct page *pages[DF_RUN_SIZE / PAGE_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		pages[i] = virt_to_page((void *)vcpu->run + i * PAGE_SIZE);
	return vm_map_pages(vma, pages, ARRAY_SIZE(pages));
}

static int vcpu_release(struct inode *inode, struct file *file)
{
	struct df_vcpu *vcpu = file->private_data;

	df_vm_put(vcpu->vm);
	return 0;
}

static const struct file_operations vcpu_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= vcpu_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.mmap		= vcpu_mmap,
	.release	= vcpu_release,
	.llseek		= noop_llseek,
};

static struct df_vcpu *vcpu_alloc(struct df_vm *vm, u32 id)
{
	struct df_vcpu *vcpu;

	vcpu = kzalloc(sizeof(*vcpu), GFP_KERNEL_ACCOUNT);
	if (!vcpu)
		return NULL;
	vcpu->vm = vm;
	vcpu->id = id;
	mutex_init(&vcpu->lock);
	vcpu->run = alloc_pages_exact(DF_RUN_SIZE, GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!vcpu->run || df_arch_vcpu_init(vcpu)) {
		if (vcpu->run)
			free_pages_exact(vcpu->run, DF_RUN_SIZE);
		kfree(vcpu);
		return NULL;
	}
	atomic_inc(&df_vcpus);
	return vcpu;
}

/* But for what debugs locks, which is in it. */
static_assert(IS_ENABLED(CONFIG_DEBUG_SPINLOCK) || sizeof(struct df_vcpu) <= PAGE_SIZE);

int df_vcpu_create(struct df_vm *vm, unsigned long id)
{
	struct df_vcpu *vcpu;
	unsigned int n;
	int fd;

	guard(mutex)(&vm->lock);
	if (id >= df_arch_max_vcpu_id(vm))
		return -EINVAL;
	for (n = 0; n < DF_MAX_VCPUS && vm->vcpus[n]; n++)
		if (vm->vcpus[n]->id == id)
			return -EEXIST;
	if (n == DF_MAX_VCPUS)
		return -EINVAL;
	vcpu = vcpu_alloc(vm, id);
	if (!vcpu)
		return -ENOMEM;

	df_vm_get(vm);
	fd = anon_inode_getfd("dragonfly-vcpu", &vcpu_fops, vcpu, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		/* The caller's own file still holds the VM. */
		refcount_dec(&vm->refs);
		df_vcpu_free(vcpu);
		return fd;
	}
	/* Pairs with df_vm_vcpu(). */
	smp_store_release(&vm->vcpus[n], vcpu);
	return fd;
}
