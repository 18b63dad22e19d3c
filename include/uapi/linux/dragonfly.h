/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * What Dragonfly's device says beyond the KVM API.
 */
#ifndef _UAPI_LINUX_DRAGONFLY_H
#define _UAPI_LINUX_DRAGONFLY_H

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

#endif
