// SPDX-License-Identifier: GPL-2.0-only
/*
 * VMs, what is below them, and what runs in them.
 */
#include <sched.h>

#include "fuzz.h"

/* --- VMs ------------------------------------------------------------------------ */

void fuzz_replace(int *fd, int by)
{
	int old = __atomic_exchange_n(fd, by, __ATOMIC_RELAXED);

	if (old >= 0)
		close(old);
}

static void enable(int vm, uint32_t capability, uint64_t first, uint64_t second)
{
	struct kvm_enable_cap cap = { .cap = capability, .args = { first, second } };

	ioctl(vm, KVM_ENABLE_CAP, &cap);
}

static void map_area(struct fuzz_vm *vm, int fd)
{
	mmap(vm->area, sizeof(struct dragonfly_area), PROT_READ | PROT_WRITE,
	     MAP_SHARED | MAP_FIXED, fd, 0);
}

void fuzz_need_vm(struct fuzzer *f, struct fuzz_vm *vm)
{
	uint64_t flags = DRAGONFLY_EXITLESS_TIMER |
			 (fuzz_one_in(f, 4) ? DRAGONFLY_EXITLESS_IPI : 0);
	uint32_t cpu = fuzz_below(f, f->world->cpus);
	int fd;

	if (fuzz_fd(&vm->vm) >= 0)
		return;
	fd = ioctl(f->world->device, KVM_CREATE_VM, 0);
	if (fd < 0)
		return;
	if (!fuzz_one_in(f, 4))
		enable(fd, KVM_CAP_SPLIT_IRQCHIP, 24, 0);
	if (fuzz_one_in(f, 4))
		enable(fd, DRAGONFLY_CAP_DEDICATED, 1, 0);
	if (fuzz_one_in(f, 2))
		enable(fd, DRAGONFLY_CAP_EXITLESS, flags, flags & DRAGONFLY_EXITLESS_IPI ? cpu : 0);
	guest_memory(fd, 0, 0, 0, GUEST_MEMORY, vm->memory);
	map_area(vm, fd);
	guest_memory(fd, FUZZ_SLOTS, 0, FUZZ_GPA + GUEST_MEMORY, sizeof(struct dragonfly_area),
		     vm->area);
	fuzz_replace(&vm->vm, fd);
}

struct guest fuzz_guest(struct fuzzer *f, struct fuzz_vm *vm, unsigned int n)
{
	return (struct guest){
		.device = f->world->device,
		.vm = fuzz_fd(&vm->vm),
		.vcpu = fuzz_fd(&vm->vcpu[n]),
		.run = vm->run[n],
		.run_size = f->world->run_size,
		.memory = vm->memory,
	};
}

/* Over what was there, so that nobody ever finds nothing there. */
void fuzz_need_vcpu(struct fuzzer *f, struct fuzz_vm *vm, unsigned int n)
{
	struct guest g;
	int fd;

	fuzz_need_vm(f, vm);
	if (fuzz_fd(&vm->vcpu[n]) >= 0)
		return;
	fd = ioctl(fuzz_fd(&vm->vm), KVM_CREATE_VCPU, n);
	if (fd < 0)
		return;
	mmap(vm->run[n], f->world->run_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	fuzz_replace(&vm->vcpu[n], fd);
	g = fuzz_guest(f, vm, n);
	guest_set_supported_cpuid(&g);
}

/* --- memory below them ------------------------------------------------------------ */

void fuzz_remap(struct fuzzer *f)
{
	struct fuzz_vm *vm = fuzz_vm(f);
	size_t offset = fuzz_below(f, 1024) << 12, size = (1 + fuzz_below(f, 64)) << 12;
	uint8_t *at = vm->window + offset;

	if (offset + size > GUEST_MEMORY)
		size = GUEST_MEMORY - offset;
	switch (fuzz_below(f, 8)) {
	case 0:
		munmap(at, size);
		break;
	case 1:
		mprotect(at, size, fuzz_below(f, 4));
		break;
	case 2:
		madvise(at, size, MADV_DONTNEED);
		break;
	case 3:
		madvise(vm->window, GUEST_MEMORY, MADV_HUGEPAGE);
		break;
	case 4:
		mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, vm->file, offset);
		break;
	case 5:
		mmap(at, sizeof(struct dragonfly_area), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_FIXED, fuzz_fd(&vm->vm), 0);
		break;
	case 6:
		map_area(vm, fuzz_fd(&fuzz_vm(f)->vm));
		break;
	default:
		mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		     0);
	}
}

/* --- what runs in them ------------------------------------------------------------- */

GUEST_ASM(fuzz_store, 64, "1: mov %rax, (%rdi)\n add %rdx, %rdi\n loop 1b\n hlt");
GUEST_ASM(fuzz_narrow, 64, "1: mov %ax, (%rdi)\n movzbl (%rdi), %ebx\n add %rdx, %rdi\n loop 1b");
GUEST_ASM(fuzz_strings, 64, "rep movsb\n mov %ebx, %ecx\n rep stosl\n hlt");
GUEST_ASM(fuzz_ports, 64, "1: out %eax, %dx\n in %dx, %al\n outsb\n insw\n loop 1b\n hlt");
GUEST_ASM(fuzz_msrs, 64, "mov %ecx, %ebx\n rdmsr\n mov %ebx, %ecx\n mov %edi, %eax\n wrmsr\n hlt");
GUEST_ASM(fuzz_leaves, 64, "1: mov %ebx, %eax\n cpuid\n xgetbv\n rdtscp\n inc %ebx\n jmp 1b");
GUEST_ASM(fuzz_calls, 64, "1: vmcall\n inc %eax\n and $15, %eax\n dec %edi\n jnz 1b\n hlt");
GUEST_ASM(fuzz_idle, 64, "sti\n 1: hlt\n pause\n jmp 1b");
GUEST_ASM(fuzz_spin, 64, "1: pause\n incl 0x3000\n jmp 1b");
GUEST_ASM(fuzz_deadline, 64,
	  "rdtsc\n add %ebx, %eax\n mov $0x6e0, %ecx\n wrmsr\n sti\n hlt\n jmp fuzz_deadline");
GUEST_ASM(fuzz_ipis, 64,
	  "sti\n 1: mov $0x830, %ecx\n mov %edi, %eax\n mov %esi, %edx\n wrmsr\n inc %edi\n"
	  "mov $0xfee00300, %ebx\n mov %edi, (%rbx)\n jmp 1b");
GUEST_ASM(fuzz_controls, 64,
	  "mov %cr0, %rbx\n xor %rax, %rbx\n mov %rbx, %cr0\n mov %cr4, %rbx\n xor %rdx, %rbx\n"
	  "mov %rbx, %cr4\n mov %rdi, %cr8\n mov %rsi, %dr7\n mov %cr3, %rbx\n mov %rbx, %cr3\n"
	  "invlpg (%rdi)\n wbinvd\n hlt");
GUEST_ASM(fuzz_traps, 64, "ud2\n int3\n int $0x80\n .byte 0xf1\n mov %rdi, %gs:(%rsi)\n hlt");
GUEST_ASM(fuzz_posted, 64,
	  "sti\n 1: lock bts %rdi, (%rsi)\n lock btsq $0, 32(%rsi)\n mov %rax, 0x1000(%rsi)\n"
	  "hlt\n jmp 1b");

static const struct {
	const uint8_t *first, *end;
} snippets[] = {
#define SNIPPET(name)            \
	{                        \
		name, name##_end \
	}
	SNIPPET(fuzz_store), SNIPPET(fuzz_narrow),   SNIPPET(fuzz_strings), SNIPPET(fuzz_ports),
	SNIPPET(fuzz_msrs),  SNIPPET(fuzz_leaves),   SNIPPET(fuzz_calls),   SNIPPET(fuzz_idle),
	SNIPPET(fuzz_spin),  SNIPPET(fuzz_deadline), SNIPPET(fuzz_ipis),    SNIPPET(fuzz_controls),
	SNIPPET(fuzz_traps), SNIPPET(fuzz_posted),
};

/* The first GiB, and the one that has the local APIC, one to one. */
static void map_more(struct guest *g)
{
	uint64_t *directory = (uint64_t *)(g->memory + 0x12000);

	for (uint64_t i = 1; i < 512; i++)
		directory[i] = i << 21 | 0x83;
	((uint64_t *)(g->memory + 0x11000))[3] = 3UL << 30 | 0x83;
}

/* Code of ours, or none of anybody's, in one mode or another. */
static void load(struct fuzzer *f, struct guest *g)
{
	unsigned int snippet = fuzz_below(f, sizeof(snippets) / sizeof(snippets[0]));
	unsigned int mode = fuzz_below(f, 6);
	struct kvm_regs regs = {
		.rax = fuzz_value(f),
		.rbx = fuzz_below(f, 0x10000),
		.rcx = fuzz_one_in(f, 4) ? fuzz_value(f) : fuzz_below(f, 64),
		.rdx = fuzz_below(f, 0x2000),
		.rsi = fuzz_gpa(f),
		.rdi = fuzz_gpa(f),
		.rsp = GUEST_STACK,
		.rip = GUEST_CODE,
		.rflags = 2,
	};

	if (fuzz_one_in(f, 8))
		for (unsigned int i = 0; i < 64; i++)
			g->memory[GUEST_CODE + i] = fuzz_random(f);
	else
		memcpy(g->memory + GUEST_CODE, snippets[snippet].first,
		       snippets[snippet].end - snippets[snippet].first);
	if (mode == 0) {
		guest_to_flat_mode(g);
	} else if (mode < 5) {
		guest_to_long_mode(g);
		map_more(g);
		if (fuzz_one_in(f, 2))
			guest_catch(g);
	}
	ioctl(g->vcpu, KVM_SET_REGS, &regs);
}

/* A vCPU that is in the guest for too long is called back, again and again. */
static void set_timer(struct fuzzer *f, long ns)
{
	struct itimerspec when = { .it_value.tv_nsec = ns, .it_interval.tv_nsec = ns };

	timer_settime(f->timer, 0, &when, NULL);
}

/* What user space answers, and asks. */
static void answer(struct fuzzer *f, struct kvm_run *run)
{
	uint64_t value = fuzz_random(f);

	run->immediate_exit = fuzz_one_in(f, 20);
	run->request_interrupt_window = fuzz_one_in(f, 10);
	run->cr8 = fuzz_below(f, 16);
	if (run->exit_reason == KVM_EXIT_MMIO || run->exit_reason == KVM_EXIT_X86_RDMSR)
		memcpy(run->mmio.data, &value, sizeof(value));
	memcpy((uint8_t *)run + 0x1000, &value, sizeof(value));
	if (fuzz_one_in(f, 20))
		memcpy((uint8_t *)run + (fuzz_below(f, f->world->run_size / 8) * 8), &value,
		       sizeof(value));
}

void fuzz_run(struct fuzzer *f)
{
	unsigned int n = fuzz_below(f, FUZZ_VCPUS), rounds = 1 + fuzz_below(f, 8);
	struct fuzz_vm *vm = fuzz_vm(f);
	struct guest g;

	f->doing = "KVM_RUN";
	fuzz_need_vcpu(f, vm, n);
	g = fuzz_guest(f, vm, n);
	if (!fuzz_one_in(f, 4))
		load(f, &g);
	set_timer(f, 1000000 + fuzz_below(f, 1000000));
	while (rounds--) {
		answer(f, g.run);
		if (ioctl(g.vcpu, KVM_RUN, 0) && errno != EINTR && errno != EAGAIN)
			break;
	}
	set_timer(f, 0);
}
