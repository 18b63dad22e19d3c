/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A small client of the KVM API: a VM with a piece of memory and some code in
 * it. KVM_DEVICE in the environment names the device, so that every test runs
 * on /dev/kvm too.
 */
#ifndef SELFTESTS_GUEST_H
#define SELFTESTS_GUEST_H

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUEST_CODE 0x1000
#define GUEST_STACK 0x8000
#define GUEST_MEMORY (4UL << 20)

struct guest {
	int device, vm, vcpu;
	struct kvm_run *run;
	size_t run_size;
	uint8_t *memory; /* GUEST_MEMORY bytes from guest-physical 0 on */
};

static inline int guest_device(void)
{
	const char *path = getenv("KVM_DEVICE");

	return open(path ? path : "/dev/dragonfly", O_RDWR | O_CLOEXEC);
}

static inline int guest_memory(int vm, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size,
			       void *hva)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};

	return ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region);
}

/* 16-bit real mode, all segments at 0, about to run @code. -1 with errno if not. */
static inline int guest_create(struct guest *g, const void *code, size_t size)
{
	struct kvm_regs regs = { .rip = GUEST_CODE, .rsp = GUEST_STACK, .rflags = 2 };
	struct kvm_sregs sregs;

	*g = (struct guest){ .vm = -1, .vcpu = -1 };
	g->device = guest_device();
	if (g->device < 0)
		return -1;
	g->run_size = ioctl(g->device, KVM_GET_VCPU_MMAP_SIZE, 0);
	g->vm = ioctl(g->device, KVM_CREATE_VM, 0);
	if (g->vm < 0)
		return -1;
	g->memory = mmap(NULL, GUEST_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	if (g->memory == MAP_FAILED || guest_memory(g->vm, 0, 0, 0, GUEST_MEMORY, g->memory))
		return -1;
	g->vcpu = ioctl(g->vm, KVM_CREATE_VCPU, 0);
	if (g->vcpu < 0)
		return -1;
	g->run = mmap(NULL, g->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, g->vcpu, 0);
	if (g->run == MAP_FAILED)
		return -1;
	memcpy(g->memory + GUEST_CODE, code, size);
	if (ioctl(g->vcpu, KVM_GET_SREGS, &sregs))
		return -1;
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	return ioctl(g->vcpu, KVM_SET_SREGS, &sregs) || ioctl(g->vcpu, KVM_SET_REGS, &regs) ? -1 :
											      0;
}

static inline void guest_destroy(struct guest *g)
{
	if (g->run && g->run != MAP_FAILED)
		munmap(g->run, g->run_size);
	if (g->vcpu >= 0)
		close(g->vcpu);
	if (g->vm >= 0)
		close(g->vm);
	if (g->memory && g->memory != MAP_FAILED)
		munmap(g->memory, GUEST_MEMORY);
	if (g->device >= 0)
		close(g->device);
}

static inline int guest_run(struct guest *g)
{
	return ioctl(g->vcpu, KVM_RUN, 0) ? -errno : (int)g->run->exit_reason;
}

static inline uint32_t guest_io_data(const struct guest *g)
{
	uint32_t value = 0;

	memcpy(&value, (uint8_t *)g->run + g->run->io.data_offset, g->run->io.size);
	return value;
}

/*
 * KVM lets a guest have what its CPUID has: FPU, PSE, MSR, PAE, FXSR, SSE, SSE2; long
 * mode, no-execute, SYSCALL.
 */
static inline void guest_set_cpuid(struct guest *g)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[3];
	} cpuid = {
		.head.nent = 3,
		.entries = {
			{ .function = 1, .edx = 0x07000069 },
			{ .function = 0x80000000, .eax = 0x80000001 },
			{ .function = 0x80000001, .edx = 1 << 11 | 1 << 20 | 1 << 29 },
		},
	};

	ioctl(g->vcpu, KVM_SET_CPUID2, &cpuid);
}

/* 64-bit mode, CPL 0, the first 2 MiB mapped one to one; the tables are from 0x10000 on. */
static inline void guest_to_long_mode(struct guest *g)
{
	struct kvm_sregs s;
	struct kvm_segment code = {
		.limit = ~0U, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1
	};
	struct kvm_segment data = {
		.limit = ~0U, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1
	};

	guest_set_cpuid(g);
	/* One table each of the upper levels, and one leaf of 2 MiB. */
	*(uint64_t *)(g->memory + 0x10000) = 0x11000 | 3;
	*(uint64_t *)(g->memory + 0x11000) = 0x12000 | 3;
	*(uint64_t *)(g->memory + 0x12000) = 0x83;
	ioctl(g->vcpu, KVM_GET_SREGS, &s);
	s.cr3 = 0x10000;
	s.cr4 = 1 << 5 | 1 << 9;
	s.cr0 = 1UL << 31 | 1 << 5 | 1;
	s.efer = 1 << 8 | 1 << 10;
	s.cs = code;
	s.ds = data;
	s.es = data;
	s.ss = data;
	ioctl(g->vcpu, KVM_SET_SREGS, &s);
}

/*
 * Code for a guest, in 16- or 64-bit mode: an array of bytes in the test's own
 * read-only data, between two labels.
 */
#define GUEST_ASM(name, bits, text)                                                        \
	extern const uint8_t name[], name##_end[];                                         \
	asm(".pushsection .rodata\n.code" #bits "\n" #name ":\n" text "\n" #name "_end:\n" \
	    ".code64\n.popsection")
#define GUEST_SIZE(name) ((size_t)(name##_end - name))

#endif
