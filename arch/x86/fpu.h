/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Extended state: x87, SSE and what XSAVE knows beyond them.
 *
 * A vCPU's is in an XSAVE area of its own, in the standard format, which is
 * also what user space gets.
 */
#ifndef DF_FPU_H
#define DF_FPU_H

#include "types.h"

/** fpu_init() - what of the host's extended state guests can have. 0, -ENODEV or -ENOMEM. */
int fpu_init(void);
void fpu_exit(void);

/** fpu_features() - the bits of XCR0 that guests can have. */
u64 fpu_features(void);

/** fpu_size() - bytes of an area with these features, in the standard or compacted format. */
unsigned int fpu_size(u64 features, bool compacted);

/** fpu_alloc() - an area in the state that a reset leaves, or NULL. Free with kfree(). */
void *fpu_alloc(void);

/* The CPU gets the guest's state, and gives it back; interrupts off between. */
void fpu_in(struct df_vcpu *vcpu);
void fpu_out(struct df_vcpu *vcpu);

/** fpu_handle_xsetbv() - XSETBV. */
int fpu_handle_xsetbv(struct df_vcpu *vcpu);

/* The ioctls; the vCPU's lock held. 0, -EINVAL or -EFAULT. */
int fpu_get(struct df_vcpu *vcpu, void *arg);
int fpu_set(struct df_vcpu *vcpu, void *arg);
int fpu_get_xsave(const struct df_vcpu *vcpu, struct kvm_xsave __user *user, size_t size);
int fpu_set_xsave(struct df_vcpu *vcpu, const struct kvm_xsave __user *user);
int fpu_get_xcrs(struct df_vcpu *vcpu, void *arg);
int fpu_set_xcrs(struct df_vcpu *vcpu, void *arg);

/** fpu_xsave_size() - what KVM_GET_XSAVE2 fills; KVM_CAP_XSAVE2. */
unsigned int fpu_xsave_size(void);

#endif
