// SPDX-License-Identifier: GPL-2.0-only
#include <linux/log2.h>
#include <asm/fpu/api.h>
#include <asm/fpu/xcr.h>

#include "x86.h"

#define FEATURES_AVX	XFEATURE_MASK_YMM
#define FEATURES_AVX512	(XFEATURE_MASK_OPMASK | XFEATURE_MASK_ZMM_Hi256 | XFEATURE_MASK_Hi16_ZMM)

/* User state that no host setting hangs on; all of it in the lower half. */
#define FEATURES	(XFEATURE_MASK_FPSSE | FEATURES_AVX | FEATURES_AVX512)
#define LAST_FEATURE	XFEATURE_Hi16_ZMM

#define LEGACY_SIZE	sizeof(struct fxregs_state)
#define HEADER_SIZE	sizeof(struct xstate_header)
#define XSAVE_ALIGN	64
#define FCW_RESET	0x37f
#define MXCSR_RESET	0x1f80

/* Of the features beyond x87 and SSE (SDM, "XSAVE Area"). */
struct feature {
	u32 size, offset;
	bool aligned;
};

static struct {
	u64 xcr0;		/* the host's */
	u64 features;		/* of it, a guest's */
	u64 xss;
	u32 mxcsr;		/* the bits that there are */
	unsigned int size;
	struct feature feature[LAST_FEATURE + 1];
} host;

/* A CPU's registers while a guest has them. */
static void __percpu *host_area;

static void read_features(void)
{
	for (int i = XFEATURE_YMM; i <= LAST_FEATURE; i++) {
		struct feature *f = &host.feature[i];
		u32 ecx, edx;

		if (!(host.features & BIT_ULL(i)))
			continue;
		cpuid_count(0xd, i, &f->size, &f->offset, &ecx, &edx);
		f->aligned = ecx & BIT(1);
	}
}

/* SDM, "Checking for the DAZ Flag in the MXCSR Register". */
static void read_mxcsr(void)
{
	static struct fxregs_state state;

	asm volatile("fxsave %0" : "=m" (state));
	host.mxcsr = state.mxcsr_mask ?: 0xffbf;
}

unsigned int fpu_size(u64 features, bool compacted)
{
	unsigned int end = LEGACY_SIZE + HEADER_SIZE;

	for (int i = XFEATURE_YMM; i <= LAST_FEATURE; i++) {
		const struct feature *f = &host.feature[i];

		if (!(features & BIT_ULL(i)))
			continue;
		if (!compacted)
			end = max(end, f->offset + f->size);
		else
			end = (f->aligned ? ALIGN(end, 64) : end) + f->size;
	}
	return end;
}

u64 fpu_features(void)
{
	return host.features;
}

unsigned int fpu_xsave_size(void)
{
	return max_t(unsigned int, host.size, sizeof(struct kvm_xsave));
}

int fpu_init(void)
{
	if (!boot_cpu_has(X86_FEATURE_XSAVE))
		return -ENODEV;
	host.xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	host.features = host.xcr0 & FEATURES;
	if ((host.features & FEATURES_AVX512) != FEATURES_AVX512)
		host.features &= ~(u64)FEATURES_AVX512;
	host.xss = boot_cpu_has(X86_FEATURE_XSAVES) ? read_msr_or_0(MSR_IA32_XSS) : 0;
	read_features();
	read_mxcsr();
	host.size = fpu_size(host.features, false);
	host_area = __alloc_percpu(host.size, XSAVE_ALIGN);
	return host_area ? 0 : -ENOMEM;
}

void fpu_exit(void)
{
	free_percpu(host_area);
}

/* Of zeroes, which is the initial state of all but these two. */
void *fpu_alloc(void)
{
	/* Of a power of two kmalloc() promises to be aligned to it. */
	struct xregs_state *area = kzalloc(roundup_pow_of_two(host.size), GFP_KERNEL_ACCOUNT);

	if (area) {
		area->i387.cwd = FCW_RESET;
		area->i387.mxcsr = MXCSR_RESET;
	}
	return area;
}

/* ---- between host and guest ------------------------------------------------------ */

static __always_inline void xsave(void *area, u32 features)
{
	asm volatile("xsave64 (%[area])"
		     : : [area] "D" (area), "a" (features), "d" (0) : "memory");
}

/* What is in the area came from XSAVE, or was checked; a fault is our mistake. */
static __always_inline void xrstor(const void *area, u32 features)
{
	asm goto("1: xrstor64 (%%rdi)\n\t"
		 _ASM_EXTABLE(1b, %l[fault])
		 : : "D" (area), "a" (features), "d" (0) : "memory" : fault);
	return;
fault:
	WARN_ON_ONCE(1);
}

/* For XSAVE and its likes; a guest that can never set CR4.OSXSAVE has none of them. */
static __always_inline void switch_features(struct df_vcpu *vcpu, u64 xcr0, u64 xss)
{
	if (!(vcpu->cr4_guest & X86_CR4_OSXSAVE))
		return;
	if (vcpu->xcr0 != host.xcr0)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, xcr0);
	if (host.xss)
		native_wrmsr(MSR_IA32_XSS, xss, xss >> 32);
}

/*
 * Whatever the kernel has left in the registers is there again afterwards: a
 * task's state, or what it takes for one's. Nobody looks meanwhile, since
 * interrupts are off; the kernel's own way of borrowing the FPU, which lets
 * them on, costs ten times as much.
 */
void fpu_in(struct df_vcpu *vcpu)
{
	u32 features = host.features;

	lockdep_assert_irqs_disabled();
	xsave(this_cpu_ptr(host_area), features);
	xrstor(vcpu->fpu, features);
	switch_features(vcpu, vcpu->xcr0, 0);
}

void fpu_out(struct df_vcpu *vcpu)
{
	u32 features = host.features;

	switch_features(vcpu, host.xcr0, host.xss);
	xsave(vcpu->fpu, features);
	xrstor(this_cpu_ptr(host_area), features);
}

/* ---- XCR0 ------------------------------------------------------------------------ */

/* SDM, "XSETBV": x87 always; AVX wants SSE; AVX-512 is three features or none, and AVX. */
static bool xcr0_valid(const struct df_vcpu *vcpu, u64 value)
{
	u64 avx512 = value & FEATURES_AVX512;

	if (!(value & XFEATURE_MASK_FP) || value & ~cpuid_xfeatures(vcpu))
		return false;
	if (value & FEATURES_AVX && !(value & XFEATURE_MASK_SSE))
		return false;
	return !avx512 || (avx512 == FEATURES_AVX512 && value & FEATURES_AVX);
}

int fpu_handle_xsetbv(struct df_vcpu *vcpu)
{
	u64 value = (u32)vcpu->regs[DF_RAX] | vcpu->regs[DF_RDX] << 32;
	struct df_mode mode;

	if (state_mode(vcpu, &mode))
		return -EIO;
	if (mode.cpl || (u32)vcpu->regs[DF_RCX] || !xcr0_valid(vcpu, value))
		return events_gp(vcpu);
	vcpu->xcr0 = value;
	exit_skip(vcpu);
	return DF_RESUME;
}

int fpu_get_xcrs(struct df_vcpu *vcpu, void *arg)
{
	*(struct kvm_xcrs *)arg = (struct kvm_xcrs){
		.nr_xcrs = 1,
		.xcrs[0] = { .xcr = XCR_XFEATURE_ENABLED_MASK, .value = vcpu->xcr0 },
	};
	return 0;
}

int fpu_set_xcrs(struct df_vcpu *vcpu, void *arg)
{
	const struct kvm_xcrs *xcrs = arg;

	if (xcrs->nr_xcrs > KVM_MAX_XCRS || xcrs->flags)
		return -EINVAL;
	for (u32 i = 0; i < xcrs->nr_xcrs; i++) {
		if (xcrs->xcrs[i].xcr != XCR_XFEATURE_ENABLED_MASK)
			continue;
		if (!xcr0_valid(vcpu, xcrs->xcrs[i].value))
			return -EINVAL;
		vcpu->xcr0 = xcrs->xcrs[i].value;
		break;
	}
	return 0;
}

/* ---- what user space sees --------------------------------------------------------- */

/*
 * A feature that its header says is initial has no data. What of the legacy
 * part is read as it lies, gets it.
 */
static void fill_initial(struct xregs_state *area)
{
	u64 there = area->header.xfeatures;

	if (!(there & XFEATURE_MASK_FP)) {
		memset(&area->i387, 0, offsetof(struct fxregs_state, mxcsr));
		memset(area->i387.st_space, 0, sizeof(area->i387.st_space));
		area->i387.cwd = FCW_RESET;
	}
	if (!(there & XFEATURE_MASK_SSE))
		memset(area->i387.xmm_space, 0, sizeof(area->i387.xmm_space));
}

int fpu_get_xsave(const struct df_vcpu *vcpu, struct kvm_xsave __user *user, size_t size)
{
	const struct xregs_state *area = vcpu->fpu;
	const size_t software = offsetof(struct xregs_state, i387.sw_reserved);
	size_t n = min_t(size_t, size, host.size);

	if (copy_to_user(user, area, n) || clear_user((void __user *)user + n, size - n))
		return -EFAULT;
	if (clear_user((void __user *)user + software, sizeof(area->i387.sw_reserved)))
		return -EFAULT;
	return 0;
}

int fpu_set_xsave(struct df_vcpu *vcpu, const struct kvm_xsave __user *user)
{
	struct xregs_state *area;
	int err = -EINVAL;

	area = memdup_user(user, host.size);
	if (IS_ERR(area))
		return PTR_ERR(area);
	if (area->header.xfeatures & ~host.features || area->header.xcomp_bv ||
	    memchr_inv(area->header.reserved, 0, sizeof(area->header.reserved)) ||
	    area->i387.mxcsr & ~host.mxcsr)
		goto out;
	fill_initial(area);
	memcpy(vcpu->fpu, area, host.size);
	err = 0;
out:
	kfree(area);
	return err;
}

int fpu_get(struct df_vcpu *vcpu, void *arg)
{
	const struct fxregs_state *fx = &((const struct xregs_state *)vcpu->fpu)->i387;
	struct kvm_fpu *fpu = arg;

	*fpu = (struct kvm_fpu){
		.fcw = fx->cwd, .fsw = fx->swd, .ftwx = fx->twd, .last_opcode = fx->fop,
		.last_ip = fx->rip, .last_dp = fx->rdp, .mxcsr = fx->mxcsr,
	};
	memcpy(fpu->fpr, fx->st_space, sizeof(fpu->fpr));
	memcpy(fpu->xmm, fx->xmm_space, sizeof(fpu->xmm));
	return 0;
}

int fpu_set(struct df_vcpu *vcpu, void *arg)
{
	const struct kvm_fpu *fpu = arg;
	struct xregs_state *area = vcpu->fpu;
	struct fxregs_state *fx = &area->i387;

	/* XRSTOR would fault on it. */
	if (fpu->mxcsr & ~host.mxcsr)
		return -EINVAL;
	fx->cwd = fpu->fcw;
	fx->swd = fpu->fsw;
	fx->twd = fpu->ftwx;
	fx->fop = fpu->last_opcode;
	fx->rip = fpu->last_ip;
	fx->rdp = fpu->last_dp;
	fx->mxcsr = fpu->mxcsr;
	memcpy(fx->st_space, fpu->fpr, sizeof(fpu->fpr));
	memcpy(fx->xmm_space, fpu->xmm, sizeof(fpu->xmm));
	area->header.xfeatures |= XFEATURE_MASK_FPSSE;
	return 0;
}
