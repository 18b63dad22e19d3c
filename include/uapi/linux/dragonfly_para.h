/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * What a guest of Dragonfly's finds, and can do without an exit.
 */
#ifndef _UAPI_LINUX_DRAGONFLY_PARA_H
#define _UAPI_LINUX_DRAGONFLY_PARA_H

#include <linux/types.h>

/**
 * DOC: Two leaves of CPUID
 *
 * %DRAGONFLY_CPUID_SIGNATURE has the highest of the leaves in EAX, and
 * %DRAGONFLY_SIGNATURE in EBX, ECX and EDX. %DRAGONFLY_CPUID_FEATURES has
 * DRAGONFLY_FEATURE_* in EAX, and in EDX:ECX the guest-physical address of a &struct
 * dragonfly_area, which is no memory of the guest's. KVM's leaves are in front of them.
 */
#define DRAGONFLY_CPUID_SIGNATURE	0x40000100
#define DRAGONFLY_CPUID_FEATURES	0x40000101
#define DRAGONFLY_SIGNATURE		"DragonflyVMM"

/** DRAGONFLY_FEATURE_TIMER - there is %MSR_DRAGONFLY_TIMER. */
#define DRAGONFLY_FEATURE_TIMER		(1 << 0)
/** DRAGONFLY_FEATURE_IPI - somebody looks at &dragonfly_area.notify. */
#define DRAGONFLY_FEATURE_IPI		(1 << 1)

/**
 * MSR_DRAGONFLY_TIMER - how a vCPU's TSC deadline fires; 0 after a reset, an INIT or a
 * write of LVTT
 *
 * With %DRAGONFLY_TIMER_POSTED a deadline that is over takes in what is posted in the
 * vCPU's descriptor, as a notification does: the vCPU has set there the bit of LVTT's
 * vector before it wrote IA32_TSC_DEADLINE. Then it causes no exit.
 *
 * The interrupt comes early if the vCPU is notified of another one before: it sets
 * the bit again, and looks once more at the clock. It can come twice. It never is late,
 * and never lost, if LVTT is not masked and its vector is used for nothing else.
 * Writing another bit is #GP.
 */
#define MSR_DRAGONFLY_TIMER		0x44464e00
#define DRAGONFLY_TIMER_POSTED		(1 << 0)

/** DRAGONFLY_MAX_VCPUS - vCPUs that an area is for: those with an ID below. */
#define DRAGONFLY_MAX_VCPUS		64

/** DRAGONFLY_POSTED_ON - of &dragonfly_descriptor.control: somebody has posted, and notified. */
#define DRAGONFLY_POSTED_ON		(1 << 0)

/**
 * struct dragonfly_descriptor - a posted-interrupt descriptor (SDM, "Posted-Interrupt Processing")
 * @requests: PIR, a bit for each vector
 * @control: %DRAGONFLY_POSTED_ON; the rest is not the guest's
 * @reserved: not the guest's
 *
 * Whoever posts sets the vector's bit in @requests first, and then ON; who sets ON
 * first notifies. All with locked instructions.
 */
struct dragonfly_descriptor {
	__u64 requests[4];
	__u64 control;
	__u64 reserved[3];
} __attribute__((aligned(64)));

/**
 * struct dragonfly_area - two pages, of a VM and its guest
 * @descriptors: of the vCPU with the x2APIC ID that is the index
 * @notify: a bit for each of them: who sets it, with a locked instruction, has posted
 *	something to that vCPU, which is going to take it. Any number at once
 * @reserved: 0
 */
struct dragonfly_area {
	struct dragonfly_descriptor descriptors[DRAGONFLY_MAX_VCPUS];
	__u64 notify;
	__u64 reserved[511];
};

#endif
