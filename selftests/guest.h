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
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
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

/* A VM that has memory and no vCPU. -1 with errno if not. */
static inline int guest_create_vm(struct guest *g)
{
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
	/* Of small pages, so that large ones are those that a test has made. */
	madvise(g->memory, GUEST_MEMORY, MADV_NOHUGEPAGE);
	return g->memory == MAP_FAILED ? -1 : guest_memory(g->vm, 0, 0, 0, GUEST_MEMORY, g->memory);
}

static inline int guest_create_vcpu(struct guest *g, uint32_t id)
{
	g->vcpu = ioctl(g->vm, KVM_CREATE_VCPU, id);
	if (g->vcpu < 0)
		return -1;
	g->run = mmap(NULL, g->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, g->vcpu, 0);
	return g->run == MAP_FAILED ? -1 : 0;
}

/* 16-bit real mode, all segments at 0, about to run @code. -1 with errno if not. */
static inline int guest_create(struct guest *g, const void *code, size_t size)
{
	struct kvm_regs regs = { .rip = GUEST_CODE, .rsp = GUEST_STACK, .rflags = 2 };
	struct kvm_sregs sregs;

	if (guest_create_vm(g) || guest_create_vcpu(g, 0))
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
 * Exceptions of a guest in long mode. Its IDT has a handler for each vector that
 * halts at once, with all registers as they were: user space looks at them and at
 * what the CPU pushed, and the next run is an IRET.
 */
#define GUEST_IDT 0x20000
#define GUEST_GDT 0x21000
#define GUEST_TSS 0x21100
#define GUEST_HANDLERS 0x22000
#define GUEST_TRAP_STACK 0x28000
/* What guest_trap() returns for a HLT that is none of a handler's. */
#define GUEST_HALTED 256
#define GUEST_USER_CS (24 | 3)
#define GUEST_USER_DS (32 | 3)

struct guest_trap {
	uint64_t error; /* 0 for a vector that has none */
	uint64_t rip, cs, rflags, rsp, ss;
};

static inline bool guest_vector_has_error(unsigned int vector)
{
	return vector < 32 && (1U << vector & 0x60227d00);
}

static inline void guest_catch(struct guest *g)
{
	static const uint64_t gdt[] = {
		/* code and data for CPL 0, code and data for CPL 3, a busy TSS of 0x68 bytes */
		0,
		0x00af9b000000ffff,
		0x00cf93000000ffff,
		0x00affb000000ffff,
		0x00cff3000000ffff,
		0x00008b0000000067 | (uint64_t)(GUEST_TSS & 0xffff) << 16 |
			(uint64_t)(GUEST_TSS >> 16) << 32,
		0
	};
	uint64_t stack = GUEST_TRAP_STACK;
	struct kvm_sregs s;

	for (unsigned int vector = 0; vector < 256; vector++) {
		uint8_t *handler = g->memory + GUEST_HANDLERS + vector * 16;
		uint64_t *gate = (uint64_t *)(g->memory + GUEST_IDT + vector * 16);
		uint64_t target = GUEST_HANDLERS + vector * 16;

		*handler++ = 0xf4;
		if (guest_vector_has_error(vector)) {
			memcpy(handler, "\x48\x83\xc4\x08", 4); /* add $8, %rsp */
			handler += 4;
		}
		memcpy(handler, "\x48\xcf", 2); /* iretq */
		/* An interrupt gate that CPL 3 may call. */
		gate[0] = (target & 0xffff) | 8 << 16 | 0xeeULL << 40 | (target >> 16) << 48;
		gate[1] = 0;
	}
	memcpy(g->memory + GUEST_GDT, gdt, sizeof(gdt));
	memset(g->memory + GUEST_TSS, 0, 0x68);
	memcpy(g->memory + GUEST_TSS + 4, &stack, sizeof(stack));
	g->memory[GUEST_TSS + 0x66] = 0x68; /* no I/O bitmap */
	ioctl(g->vcpu, KVM_GET_SREGS, &s);
	s.idt.base = GUEST_IDT;
	s.idt.limit = 256 * 16 - 1;
	s.gdt.base = GUEST_GDT;
	s.gdt.limit = sizeof(gdt) - 1;
	s.tr = (struct kvm_segment){
		.base = GUEST_TSS, .limit = 0x67, .selector = 40, .type = 11, .present = 1
	};
	ioctl(g->vcpu, KVM_SET_SREGS, &s);
}

/* Run on: the vector whose handler runs now, GUEST_HALTED, or -1 for another exit. */
static inline int guest_trap(struct guest *g, struct guest_trap *trap)
{
	struct guest_trap t = {};
	struct kvm_regs regs;
	uint64_t vector;

	if (guest_run(g) != KVM_EXIT_HLT || ioctl(g->vcpu, KVM_GET_REGS, &regs))
		return -1;
	vector = (regs.rip - 1 - GUEST_HANDLERS) / 16;
	if (regs.rip <= GUEST_HANDLERS || vector > 255)
		return GUEST_HALTED;
	if (guest_vector_has_error(vector))
		memcpy(&t, g->memory + regs.rsp, sizeof(t));
	else
		memcpy(&t.rip, g->memory + regs.rsp, sizeof(t) - sizeof(t.error));
	if (trap)
		*trap = t;
	return (int)vector;
}

/* Leave out @size bytes at the instruction that faulted, whose handler runs now. */
static inline void guest_skip(struct guest *g, unsigned int size)
{
	struct kvm_regs regs;

	ioctl(g->vcpu, KVM_GET_REGS, &regs);
	if (guest_vector_has_error((regs.rip - 1 - GUEST_HANDLERS) / 16))
		regs.rsp += 8;
	*(uint64_t *)(g->memory + regs.rsp) += size;
}

/* From long mode with guest_catch() on to CPL 3. */
static inline void guest_to_user(struct guest *g)
{
	struct kvm_sregs s;

	for (unsigned int table = 0x10000; table <= 0x12000; table += 0x1000)
		*(uint64_t *)(g->memory + table) |= 4;
	ioctl(g->vcpu, KVM_GET_SREGS, &s);
	s.cs.selector = GUEST_USER_CS;
	s.cs.dpl = 3;
	s.ss.selector = GUEST_USER_DS;
	s.ss.dpl = 3;
	s.ds = s.ss;
	s.es = s.ss;
	ioctl(g->vcpu, KVM_SET_SREGS, &s);
}

/* The CPUID of the host as far as the device supports it, instead of the little one. */
static inline int guest_set_supported_cpuid(struct guest *g)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[256];
	} cpuid = { .head.nent = 256 };

	return ioctl(g->device, KVM_GET_SUPPORTED_CPUID, &cpuid) ?:
		       ioctl(g->vcpu, KVM_SET_CPUID2, &cpuid);
}

/* A register of a leaf (eax 0, ebx 1, ecx 2, edx 3) as the device supports it; 0 if not. */
static inline uint32_t guest_supported(struct guest *g, uint32_t leaf, uint32_t subleaf, int reg)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[256];
	} cpuid = { .head.nent = 256 };

	if (ioctl(g->device, KVM_GET_SUPPORTED_CPUID, &cpuid))
		return 0;
	for (uint32_t i = 0; i < cpuid.head.nent; i++)
		if (cpuid.entries[i].function == leaf && cpuid.entries[i].index == subleaf)
			return (&cpuid.entries[i].eax)[reg];
	return 0;
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
/* A label in such code, and where it is for the guest. */
#define GUEST_LABEL(label) extern const uint8_t label[]
#define GUEST_AT(name, label) ((uint64_t)(GUEST_CODE + ((label) - (name))))

/* --- what mmio.c, port-io.c, memory.c, dirty-log.c and life.c share --- */

/* An emulated host is slow, one with KASAN more so: 30 seconds are too few. */
#ifdef TEST_TIMEOUT_DEFAULT
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 300
#endif

/* Newer than Debian 12's <linux/kvm.h>. */
#ifndef KVM_SET_USER_MEMORY_REGION2
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
#define KVM_SET_USER_MEMORY_REGION2 _IOW(KVMIO, 0x49, struct kvm_userspace_memory_region2)
#endif

#ifndef KVM_PRE_FAULT_MEMORY
struct kvm_pre_fault_memory {
	__u64 gpa;
	__u64 size;
	__u64 flags;
	__u64 padding[5];
};
#define KVM_PRE_FAULT_MEMORY _IOWR(KVMIO, 0xd5, struct kvm_pre_fault_memory)
#define KVM_CAP_PRE_FAULT_MEMORY 236
#endif

/* The same binary runs on stock KVM, which differs here and there. */
static inline bool guest_on_kvm(void)
{
	return getenv("KVM_DEVICE");
}

static inline struct kvm_regs guest_regs(const struct guest *g)
{
	struct kvm_regs regs = {};

	ioctl(g->vcpu, KVM_GET_REGS, &regs);
	return regs;
}

/* Replaces what is at GUEST_CODE, to be run from there with registers cleared. */
static inline void guest_load(struct guest *g, const void *code, size_t size)
{
	struct kvm_regs regs = { .rip = GUEST_CODE, .rsp = GUEST_STACK, .rflags = 2 };

	memcpy(g->memory + GUEST_CODE, code, size);
	ioctl(g->vcpu, KVM_SET_REGS, &regs);
}

/* 32-bit protected mode, CPL 0, flat, without paging. */
static inline void guest_to_flat_mode(struct guest *g)
{
	struct kvm_segment code = {
		.limit = ~0U, .selector = 8, .type = 11, .present = 1, .s = 1, .db = 1, .g = 1
	};
	struct kvm_segment data = {
		.limit = ~0U, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1
	};
	struct kvm_sregs s;

	ioctl(g->vcpu, KVM_GET_SREGS, &s);
	s.cr0 |= 1;
	s.cs = code;
	s.ds = data;
	s.es = data;
	s.fs = data;
	s.gs = data;
	s.ss = data;
	ioctl(g->vcpu, KVM_SET_SREGS, &s);
}

/* The figure behind @name in a file of "name figure" lines such as /proc/meminfo, or -1. */
static inline long guest_figure(const char *path, const char *name)
{
	FILE *in = fopen(path, "re");
	size_t len = strlen(name);
	char line[256];
	long figure = -1;

	while (in && fgets(line, sizeof(line), in))
		if (!strncmp(line, name, len) && strchr(": \t", line[len])) {
			figure = strtol(line + len + 1, NULL, 0);
			break;
		}
	if (in)
		fclose(in);
	return figure;
}

/* How many pages are pinned now, as each CPU's own count is added to the others'. */
static inline long guest_pinned_pages(void)
{
	int fd = open("/proc/sys/vm/stat_refresh", O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (write(fd, "1", 1) != 1)
			perror("stat_refresh");
		close(fd);
	}
	return guest_figure("/proc/vmstat", "nr_foll_pin_acquired") -
	       guest_figure("/proc/vmstat", "nr_foll_pin_released");
}

/* A binary statistic by KVM's name for it, or -1 if there is none. */
static inline int64_t guest_stat_from(int stats, const char *name)
{
	struct kvm_stats_header head;
	int64_t value = -1;

	if (pread(stats, &head, sizeof(head), 0) == sizeof(head)) {
		size_t size = sizeof(struct kvm_stats_desc) + head.name_size;
		struct kvm_stats_desc *desc = malloc(size);

		for (uint32_t i = 0; i < head.num_desc; i++) {
			pread(stats, desc, size, head.desc_offset + i * size);
			if (strcmp((const char *)(desc + 1), name))
				continue;
			pread(stats, &value, sizeof(value), head.data_offset + desc->offset);
			break;
		}
		free(desc);
	}
	return value;
}

/* That of a VM or of a vCPU, which must not be running. */
static inline int64_t guest_stat(int fd, const char *name)
{
	int stats = ioctl(fd, KVM_GET_STATS_FD, NULL);
	int64_t value = guest_stat_from(stats, name);

	close(stats);
	return value;
}

/* --- reading and writing by a guest in flat mode, also shared --- */

GUEST_ASM(guest_code_peek, 32, "movl (%esi), %eax\n hlt");
GUEST_ASM(guest_code_fill, 32, "1: movl %eax, (%edi)\n add %edx, %edi\n inc %eax\n loop 1b\n hlt");

#define GUEST_NOTHING 0xa5a5a5a5 /* what it then reads where there is no memory */

static inline int guest_run_to_halt(struct guest *g)
{
	int reason;

	while ((reason = guest_run(g)) == KVM_EXIT_MMIO)
		if (!g->run->mmio.is_write)
			memset(g->run->mmio.data, 0xa5, sizeof(g->run->mmio.data));
	return reason;
}

/* What the guest reads there; @reason is KVM_EXIT_HLT if all goes well. */
static inline uint32_t guest_peek(struct guest *g, uint32_t gpa, int *reason)
{
	struct kvm_regs regs;

	guest_load(g, guest_code_peek, GUEST_SIZE(guest_code_peek));
	regs = guest_regs(g);
	regs.rsi = gpa;
	ioctl(g->vcpu, KVM_SET_REGS, &regs);
	*reason = guest_run_to_halt(g);
	return guest_regs(g).rax;
}

/* The guest writes @value, @value + 1... at every @step-th byte, in one run. */
static inline int guest_fill(struct guest *g, uint32_t gpa, uint32_t step, uint32_t count,
			     uint32_t value)
{
	struct kvm_regs regs;

	guest_load(g, guest_code_fill, GUEST_SIZE(guest_code_fill));
	regs = guest_regs(g);
	regs.rdi = gpa;
	regs.rdx = step;
	regs.rcx = count;
	regs.rax = value;
	ioctl(g->vcpu, KVM_SET_REGS, &regs);
	return guest_run_to_halt(g);
}

static inline int guest_poke(struct guest *g, uint32_t gpa, uint32_t value)
{
	return guest_fill(g, gpa, 0, 1, value);
}

#endif
