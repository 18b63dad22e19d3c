/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * What Dragonfly's device says beyond the KVM API.
 */
#ifndef _UAPI_LINUX_DRAGONFLY_H
#define _UAPI_LINUX_DRAGONFLY_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * DOC: The device
 *
 * /dev/dragonfly speaks the KVM API: the numbers, structures and meanings of
 * <linux/kvm.h>, for the part that Documentation/abi.rst lists.  What KVM
 * cannot say is added here, with ioctl numbers of type %DRAGONFLY_IOCTL_TYPE.
 *
 * DOC: What an errno means
 *
 * Every ioctl of the device keeps to these meanings:
 *
 * * ENOTTY - the file descriptor has no such ioctl
 * * EINVAL - an argument is not of its documented form: an unknown flag, a
 *   reserved field that is not zero, a value out of its range
 * * EFAULT - a pointer argument does not lead to readable or writable memory
 * * E2BIG - the caller's array is too small; its size field holds the need
 * * EOPNOTSUPP - the request is well formed, but this CPU or this
 *   configuration cannot do it
 * * EBUSY - what the request names is in use by somebody else
 * * EEXIST - where the request would put something there is something already
 * * ENOSPC - there are as many as there can be
 *
 * DOC: Why the module refuses to load
 *
 * insmod fails with one line in the kernel log and one of these:
 *
 * * EOPNOTSUPP - the CPU has no VMX, or the host runs with FRED
 * * EACCES - the firmware has locked VMX away
 * * ENODEV - the CPU lacks VMX features that Dragonfly needs; the line names
 *   each of them
 * * EBUSY - VMX is held by another hypervisor, usually kvm_intel
 * * EIO - the self-test failed: a VMX instruction did not do as documented
 */

/** DRAGONFLY_DEVICE - where the device is found. */
#define DRAGONFLY_DEVICE	"/dev/dragonfly"

/** DRAGONFLY_IOCTL_TYPE - the ioctl type of all that KVM does not have. */
#define DRAGONFLY_IOCTL_TYPE	0xDF

/**
 * DRAGONFLY_CAP_QUEUES - for KVM_CHECK_EXTENSION, of the device and of a VM: how
 * many queues a VM can have; 0 where there are none, as on KVM.
 */
#define DRAGONFLY_CAP_QUEUES	0xDF00

/**
 * DRAGONFLY_CAP_DEDICATED - for KVM_ENABLE_CAP of a VM without vCPUs, @args[0] 1: each
 * vCPU has a CPU of the host for itself
 *
 * HLT and PAUSE do not exit (as with KVM_CAP_X86_DISABLE_EXITS), and neither do a
 * guest's writes to IA32_TSC_DEADLINE while it is in x2APIC mode, its TSC is the host's
 * (a KVM_VCPU_TSC_OFFSET of 0), there is no MSR filter, and the host's clock events are
 * TSC deadlines of its local APIC; otherwise they exit as ever.
 *
 * KVM_RUN is EINVAL then for a thread that may run on more than one CPU, and EBUSY
 * on a CPU that is another dedicated vCPU's, or a thread of whose core is another
 * VM's. The CPU is the vCPU's until it runs on another, or the VM is gone.
 */
#define DRAGONFLY_CAP_DEDICATED	0xDF01

/**
 * DRAGONFLY_CAP_EXITLESS - the guest posts interrupts itself
 *
 * KVM_CHECK_EXTENSION, of the device and of a VM: the size of a &struct dragonfly_area in
 * bytes; 0 where there is none, as on KVM.
 *
 * KVM_ENABLE_CAP, of a VM that is dedicated and has no vCPUs, with local APICs in the
 * kernel: @args[0] is DRAGONFLY_EXITLESS_*. With DRAGONFLY_EXITLESS_IPI @args[1] is
 * the CPU of the host that looks at &dragonfly_area.notify: a kernel thread there serves
 * all VMs that name it, and does nothing else, until the last of them is gone. Once, and
 * for good; the VM's area is what an mmap() of the VM's file descriptor, of that size,
 * shared, and from 0 on, shows. It is there for the guest when it is a slot's memory, and the
 * guest hears of it by two leaves of CPUID (<linux/dragonfly_para.h>), both of which is
 * user space's to do. vCPUs have IDs below DRAGONFLY_MAX_VCPUS (EINVAL).
 *
 * Beside the errnos above: EINVAL for a CPU that is not online; EPERM for one on which the
 * calling thread may not run (sched_setaffinity(2)); EBUSY for one that is a dedicated
 * vCPU's, and if VT-d posts to the VM; EEXIST; ENOMEM.
 *
 * What the guest writes there can harm only the guest; it can have its notifier look at
 * it before each other VM. While the area is there VT-d does not post to the VM.
 */
#define DRAGONFLY_CAP_EXITLESS	0xDF02

/** DRAGONFLY_EXITLESS_TIMER - always: deadlines fire without an exit. */
#define DRAGONFLY_EXITLESS_TIMER	(1 << 0)
/** DRAGONFLY_EXITLESS_IPI - and interrupts between vCPUs are sent without one. */
#define DRAGONFLY_EXITLESS_IPI		(1 << 1)

/**
 * DRAGONFLY_MSI_MASKED - the interrupt is held back
 *
 * It stays in the call eventfd, where user space can see it, and comes, once, with
 * the next message that is not masked. Nothing else of the message is looked at.
 */
#define DRAGONFLY_MSI_MASKED	(1 << 0)

/**
 * struct dragonfly_msi - a message-signalled interrupt
 * @address_lo: the address, as an MSI-X table has it
 * @address_hi: its upper half
 * @data: what is written there
 * @flags: DRAGONFLY_MSI_MASKED; another bit is EINVAL
 */
struct dragonfly_msi {
	__u32 address_lo;
	__u32 address_hi;
	__u32 data;
	__u32 flags;
};

/** DRAGONFLY_QUEUE_DOORBELL - the guest kicks the device itself, at @doorbell. */
#define DRAGONFLY_QUEUE_DOORBELL	(1 << 0)
/** DRAGONFLY_QUEUE_MSI - @msi counts; without it the interrupt is masked at first. */
#define DRAGONFLY_QUEUE_MSI		(1 << 1)

/**
 * struct dragonfly_queue - a queue of a device: how it is kicked, and what its interrupt is
 * @notify_gpa: the guest-physical address at which the guest kicks
 * @notify_len: how many bytes a store has that is a kick: 1, 2, 4 or 8; 0: any number.
 *	With a doorbell it has to be 0
 * @flags: DRAGONFLY_QUEUE_*
 * @doorbell: a page of a device's that the caller has mapped, shared and writable (VM_PFNMAP:
 *	of vhost-vdpa or VFIO, say); it is there for the guest as the page at
 *	@notify_gpa, and kicks do not exit. Both are aligned to pages. If the caller
 *	unmaps it, the guest's next kick is EFAULT for KVM_RUN
 * @kick_fd: an eventfd that is signalled by a kick; or -1, which it has to be with
 *	a doorbell. Without both the guest's kicks are user space's, as MMIO
 * @call_fd: an eventfd whose signals become @msi; or -1: the queue has no interrupt
 * @msi: the message, with DRAGONFLY_QUEUE_MSI
 * @reserved: 0
 */
struct dragonfly_queue {
	__u64 notify_gpa;
	__u32 notify_len;
	__u32 flags;
	__u64 doorbell;
	__s32 kick_fd;
	__s32 call_fd;
	struct dragonfly_msi msi;
	__u64 reserved[4];
};

/**
 * DRAGONFLY_QUEUE_ASSIGN - of a VM: give it a queue
 *
 * Returns a file descriptor, closed on exec, that is the queue: when its last
 * copy is closed the queue is released, also under a running VM. It holds
 * the VM, and the two eventfds, which the caller may close.
 *
 * Beside the errnos above: EBADF for a kick_fd or call_fd that is not open, EINVAL for
 * one that is no eventfd; EINVAL for a call_fd without local APICs in the kernel;
 * EFAULT for a doorbell that is not as said; EBUSY for a doorbell that a
 * queue of any VM has, or a call_fd that a queue of any VM or an irqfd has; EEXIST
 * for a doorbell where the VM has a slot or a doorbell, and for a kick_fd if there
 * is an ioeventfd or a queue that the same store could be for (memory at that place
 * comes first, as for KVM_IOEVENTFD); ENOSPC; ENOMEM; EMFILE.
 */
#define DRAGONFLY_QUEUE_ASSIGN	_IOW(DRAGONFLY_IOCTL_TYPE, 0x00, struct dragonfly_queue)

/**
 * DRAGONFLY_QUEUE_SET_MSI - of a queue: its interrupt is another one from now on
 *
 * When it returns none comes by the message before. EINVAL for a queue that has no
 * call_fd too.
 *
 * The other ioctl of a queue is KVM_GET_STATS_FD: "kicks", those that exited and
 * signalled the kick_fd, and "interrupts", those that a vCPU was given. What it
 * returns does not keep the queue from being released.
 */
#define DRAGONFLY_QUEUE_SET_MSI	_IOW(DRAGONFLY_IOCTL_TYPE, 0x01, struct dragonfly_msi)

#endif
