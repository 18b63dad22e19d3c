/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What 6.12 names in its headers and 6.1 does not, or not so. Every file of the module
 * sees it first (Kbuild).
 */
#ifndef DF_HOST_6_1
#define DF_HOST_6_1

#include <linux/kvm.h>

/* ---- KVM's API ------------------------------------------------------------------------- */

#define KVM_CAP_USER_MEMORY2		231
#define KVM_CAP_PRE_FAULT_MEMORY	236
#define KVM_CAP_X86_APIC_BUS_CYCLES_NS	237

#define KVM_MSR_FILTER_RANGE_VALID_MASK	(KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE)
#define KVM_MSR_FILTER_VALID_MASK	KVM_MSR_FILTER_DEFAULT_DENY

#define immediate_exit__unsafe immediate_exit

struct kvm_userspace_memory_region2 {
	__u32 slot;
	__u32 flags;
	__u64 guest_phys_addr;
	__u64 memory_size;
	__u64 userspace_addr;
	__u64 guest_memfd_offset;
	__u32 guest_memfd;
	__u32 pad1;
	__u64 pad2[14];
};

#define KVM_SET_USER_MEMORY_REGION2	_IOW(KVMIO, 0x49, struct kvm_userspace_memory_region2)

struct kvm_pre_fault_memory {
	__u64 gpa;
	__u64 size;
	__u64 flags;
	__u64 padding[5];
};

#define KVM_PRE_FAULT_MEMORY		_IOWR(KVMIO, 0xd5, struct kvm_pre_fault_memory)

/* ---- VMX ------------------------------------------------------------------------------- */

#define SECONDARY_EXEC_ENABLE_XSAVES	SECONDARY_EXEC_XSAVES

#endif
