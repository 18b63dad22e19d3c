/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * KVM_RUN with what a process has in its registers known before it, and looked at
 * right behind it: segments, FPU.
 */
#ifndef SELFTESTS_HOST_STATE_H
#define SELFTESTS_HOST_STATE_H

#include <sys/auxv.h>
#include <sys/syscall.h>

#include "guest.h"

/* --- segments ------------------------------------------------------------- */

#define FS_BASE 0x7f0011223000UL
#define GS_BASE 0x7f0044556000UL

struct segments {
	uint64_t ds, es, fs, gs, fs_base, gs_base;
	uint64_t with_bases; /* those of FS and GS are not as the selectors have them */
};

static inline bool has_fsgsbase(void)
{
	return getauxval(AT_HWCAP2) & 2;
}

/* Without FS there are no thread-local variables: nothing in between is C. */
static inline long run_with_segments(const struct guest *g, struct segments *s)
{
	long ret = SYS_ioctl;

	asm volatile("rdfsbase %%r12\n rdgsbase %%r13\n"
		     "mov (%[s]), %%ds\n mov 8(%[s]), %%es\n"
		     "mov 16(%[s]), %%fs\n mov 24(%[s]), %%gs\n"
		     "cmpq $0, 48(%[s])\n je 1f\n"
		     "mov 32(%[s]), %%r8\n wrfsbase %%r8\n mov 40(%[s]), %%r8\n wrgsbase %%r8\n"
		     "1: syscall\n"
		     "mov %%ds, %%r8\n mov %%r8, (%[s])\n mov %%es, %%r8\n mov %%r8, 8(%[s])\n"
		     "mov %%fs, %%r8\n mov %%r8, 16(%[s])\n mov %%gs, %%r8\n mov %%r8, 24(%[s])\n"
		     "rdfsbase %%r8\n mov %%r8, 32(%[s])\n rdgsbase %%r8\n mov %%r8, 40(%[s])\n"
		     "xor %%r8d, %%r8d\n mov %%r8d, %%ds\n mov %%r8d, %%es\n"
		     "mov %%r8d, %%fs\n mov %%r8d, %%gs\n"
		     "wrfsbase %%r12\n wrgsbase %%r13"
		     : "+a"(ret)
		     : [s] "b"(s), "D"((long)g->vcpu), "S"((long)KVM_RUN), "d"(0L)
		     : "rcx", "r8", "r11", "r12", "r13", "memory");
	return ret;
}

/* --- the FPU -------------------------------------------------------------- */

#define XSAVE_CW 0
#define XSAVE_MXCSR 24
#define XSAVE_ST0 32
#define XSAVE_XMM0 160
#define XSAVE_HEADER 512
#define XSAVE_YMM0 576
#define XSAVE_SIZE 832
/* Rounding towards zero and flushing to it, everything masked; 53 bits of precision. */
#define HOST_MXCSR 0xff80
#define HOST_CW 0x0e7f

struct fpu {
	uint8_t bytes[XSAVE_SIZE];
} __attribute__((aligned(64)));

/* KVM_RUN between the one and the other, then what was there before. */
static inline long run_with_fpu(const struct guest *g, const struct fpu *before, struct fpu *after)
{
	static struct fpu own;
	long ret;

	asm volatile(
		"mov $7, %%eax\n xor %%edx, %%edx\n"
		"xsave64 (%[own])\n xrstor64 (%[before])\n"
		"mov %[nr], %%eax\n syscall\n mov %%rax, %%r8\n"
		"mov $7, %%eax\n xor %%edx, %%edx\n"
		"xsave64 (%[after])\n xrstor64 (%[own])\n mov %%r8, %%rax"
		: "=&a"(ret)
		: [own] "r"(&own), [before] "r"(before), [after] "r"(after), [nr] "i"(SYS_ioctl),
		  "D"((long)g->vcpu), "S"((long)KVM_RUN)
		: "rcx", "rdx", "r8", "r11", "memory");
	return ret;
}

static inline void fill(uint8_t *bytes, size_t size, uint8_t seed)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = seed + i * 7;
}

static inline struct fpu fpu_of_host(uint8_t seed)
{
	struct fpu f = {};

	*(uint16_t *)(f.bytes + XSAVE_CW) = HOST_CW;
	*(uint32_t *)(f.bytes + XSAVE_MXCSR) = HOST_MXCSR;
	f.bytes[4] = 0xff; /* no register of the x87 is empty */
	for (int i = 0; i < 8; i++)
		fill(f.bytes + XSAVE_ST0 + i * 16, 10, seed + i);
	fill(f.bytes + XSAVE_XMM0, 256, seed);
	fill(f.bytes + XSAVE_YMM0, 256, seed + 1);
	f.bytes[XSAVE_HEADER] = 7;
	return f;
}

static inline bool is_host_fpu(const struct fpu *before, const struct fpu *after)
{
	const uint8_t *b = before->bytes, *a = after->bytes;

	return *(uint16_t *)(a + XSAVE_CW) == HOST_CW &&
	       *(uint32_t *)(a + XSAVE_MXCSR) == HOST_MXCSR &&
	       !memcmp(a + XSAVE_ST0, b + XSAVE_ST0, 128) &&
	       !memcmp(a + XSAVE_XMM0, b + XSAVE_XMM0, 256) &&
	       !memcmp(a + XSAVE_YMM0, b + XSAVE_YMM0, 256);
}

#endif
