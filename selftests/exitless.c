// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts that guests post themselves: deadlines that are over and IPIs, without an
 * exit; and guests that write whatever they like there. SCRIBBLES in the environment
 * says how often.
 *
 * In a test host with --with dragonfly; with two CPUs there is one for a notifier.
 */
#include <linux/dragonfly_para.h>
#include <pthread.h>
#include <stddef.h>

#include "kselftest_harness.h"
#include "apic.h"
#include "vcpu-ioctl.h"

#define VECTOR 0xec
#define ROUNDS 200
#define AREA 0xfe000000 /* guest-physical, and the guest's own address */
#define SLOT 7
#define DESCRIPTOR(id) (AREA + (id) * sizeof(struct dragonfly_descriptor))
#define NOTIFY (AREA + offsetof(struct dragonfly_area, notify))

/*
 * posted_ticks arms, as the timer posts, a deadline RAX from now, RCX times, waits for
 * each, and halts where it waits if RBX is odd; R8 counts those that were over before
 * the clock said so. RSI is the descriptor, EDI the vector.
 *
 * posted_ring posts EDI to the vCPU with the descriptor RSI and the bit RBX of the word
 * R9, RCX times, and each time waits until the word R10 has changed.
 */
GUEST_ASM(posted_code, 64,
	  "posted_ticks: mov %rax, %r12\n mov %rcx, %r13\n xor %r8d, %r8d\n mov $0x6e0, %ecx\n"
	  "1: mov %gs:0, %rbp\n rdtsc\n shl $32, %rdx\n or %rdx, %rax\n add %r12, %rax\n"
	  "mov %rax, %r9\n mov %rax, %rdx\n shr $32, %rdx\n lock bts %rdi, (%rsi)\n wrmsr\n"
	  "2: cli\n cmp %rbp, %gs:0\n ja 4f\n test $1, %ebx\n jz 3f\n sti\n hlt\n jmp 2b\n"
	  "3: sti\n pause\n jmp 2b\n"
	  "4: cmp %r9, %gs:8\n adc $0, %r8\n dec %r13\n jnz 1b\n" APIC_DONE "posted_ring: sti\n"
	  "5: mov (%r10), %rbp\n lock bts %rdi, (%rsi)\n lock btsq $0, 32(%rsi)\n jc 6f\n"
	  "lock bts %rbx, (%r9)\n"
	  "6: pause\n cmp %rbp, (%r10)\n je 6b\n loop 5b\n cli\n" APIC_DONE
	  /* Two pages of random words at RSI, RCX times one of them, by the seed RAX. */
	  "posted_scribble: mov %rax, %rdx\n shl $13, %rdx\n xor %rdx, %rax\n"
	  "mov %rax, %rdx\n shr $7, %rdx\n xor %rdx, %rax\n"
	  "mov %rax, %rdx\n shl $17, %rdx\n xor %rdx, %rax\n"
	  "mov %rax, %rdx\n shr $20, %rdx\n and $0x3ff, %edx\n mov %rax, (%rsi, %rdx, 8)\n"
	  "loop posted_scribble\n" APIC_DONE);
GUEST_LABEL(posted_ticks);
GUEST_LABEL(posted_ring);
GUEST_LABEL(posted_scribble);
#define CODE 0x2000
#define AT(label) (CODE + ((label)-posted_code))

static int enable(int vm, uint64_t flags, uint64_t cpu)
{
	struct kvm_enable_cap cap = { .cap = DRAGONFLY_CAP_EXITLESS, .args = { flags, cpu } };

	return ioctl(vm, KVM_ENABLE_CAP, &cap);
}

static struct dragonfly_area *map(int vm)
{
	return mmap(NULL, sizeof(struct dragonfly_area), PROT_READ | PROT_WRITE, MAP_SHARED, vm, 0);
}

static long cpus(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN);
}

/* A VM with an area, its notifier on the last CPU if @flags ask for one, and a vCPU. */
static int create(struct guest *g, struct dragonfly_area **area, uint64_t flags)
{
	uint64_t cpu = flags & DRAGONFLY_EXITLESS_IPI ? cpus() - 1 : 0;

	if (apic_create_vm(g) || apic_enable_cap(g->vm, DRAGONFLY_CAP_DEDICATED, 1) ||
	    enable(g->vm, flags, cpu) || apic_add_dedicated(g, 0) ||
	    apic_set_reg(g, APIC_LVTT, APIC_LVT_TIMER_TSCDEADLINE | VECTOR))
		return -1;
	*area = map(g->vm);
	if (*area == MAP_FAILED)
		return -1;
	/* A large page, cached. */
	*(uint64_t *)(g->memory + 0x13000 + (AREA >> 21 & 0x1ff) * 8) = AREA | 0x83;
	memcpy(g->memory + CODE, posted_code, GUEST_SIZE(posted_code));
	return guest_memory(g->vm, SLOT, 0, AREA, sizeof(**area), *area);
}

static void destroy(struct guest *g, struct dragonfly_area *area)
{
	if (area)
		munmap(area, sizeof(*area));
	apic_destroy(g, 1);
}

FIXTURE(exitless)
{
	struct guest g;
	struct dragonfly_area *area;
};

FIXTURE_VARIANT(exitless)
{
	uint64_t flags;
};

FIXTURE_VARIANT_ADD(exitless, alone){ .flags = DRAGONFLY_EXITLESS_TIMER };

/* The last CPU looks at the word. */
FIXTURE_VARIANT_ADD(exitless, notified){
	.flags = DRAGONFLY_EXITLESS_TIMER | DRAGONFLY_EXITLESS_IPI,
};

static bool is_notified(const FIXTURE_VARIANT(exitless) * variant)
{
	return variant->flags & DRAGONFLY_EXITLESS_IPI;
}

FIXTURE_SETUP(exitless)
{
	if (guest_on_kvm())
		SKIP(return, "KVM has no area");
	if (is_notified(variant) && cpus() < 2)
		SKIP(return, "this host has no CPU for a notifier");
	ASSERT_EQ(0, create(&self->g, &self->area, variant->flags));
	ASSERT_EQ(0, apic_pin(0));
}

FIXTURE_TEARDOWN(exitless)
{
	destroy(&self->g, self->area);
}

/* From a label on, with what it wants in other registers than RAX and RCX. */
static int run(struct guest *g, const uint8_t *label, uint64_t rax, uint64_t rcx, uint64_t rbx)
{
	struct kvm_regs regs;

	apic_enter(g, 0, AT(label), rcx, rax);
	regs = guest_regs(g);
	regs.rbx = rbx;
	regs.rsi = label == posted_scribble ? AREA : DESCRIPTOR(0);
	regs.rdi = VECTOR;
	regs.r9 = NOTIFY;
	regs.r10 = APIC_CPU(0);
	ioctl(g->vcpu, KVM_SET_REGS, &regs);
	return apic_resume(g);
}

/* --- what can be asked for -------------------------------------------------- */

TEST_F(exitless, is_asked_for_once_before_there_are_vcpus)
{
	struct guest *g = &self->g;
	int vm;

	EXPECT_EQ(sizeof(*self->area), ioctl(g->vm, KVM_CHECK_EXTENSION, DRAGONFLY_CAP_EXITLESS));
	FAILS(EINVAL, enable(g->vm, DRAGONFLY_EXITLESS_TIMER, 0));
	vm = ioctl(g->device, KVM_CREATE_VM, 0);
	ASSERT_EQ(0, apic_enable_cap(vm, KVM_CAP_SPLIT_IRQCHIP, 24));
	FAILS(EINVAL, enable(vm, DRAGONFLY_EXITLESS_TIMER, 0));
	ASSERT_EQ(0, apic_enable_cap(vm, DRAGONFLY_CAP_DEDICATED, 1));
	FAILS(EINVAL, enable(vm, 0, 0));
	FAILS(EINVAL, enable(vm, DRAGONFLY_EXITLESS_IPI, 0));
	FAILS(EINVAL, enable(vm, DRAGONFLY_EXITLESS_TIMER | 4, 0));
	FAILS(EINVAL, enable(vm, DRAGONFLY_EXITLESS_TIMER, 1));
	FAILS(EINVAL, enable(vm, 3, cpus()));
	FAILS(EINVAL, enable(vm, 3, ~0ULL));
	EXPECT_EQ(MAP_FAILED, map(vm));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(0, enable(vm, DRAGONFLY_EXITLESS_TIMER, 0));
	FAILS(EEXIST, enable(vm, DRAGONFLY_EXITLESS_TIMER, 0));
	FAILS(EINVAL, ioctl(vm, KVM_CREATE_VCPU, DRAGONFLY_MAX_VCPUS));
	close(vm);
}

TEST_F(exitless, is_shown_whole_and_shared)
{
	const size_t size = sizeof(*self->area);
	int vm = self->g.vm;

	EXPECT_EQ(MAP_FAILED, mmap(NULL, size, PROT_READ, MAP_PRIVATE, vm, 0));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, size / 2, PROT_READ, MAP_SHARED, vm, 0));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, size, PROT_READ, MAP_SHARED, vm, size / 2));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 2 * size, PROT_READ, MAP_SHARED, vm, 0));
}

TEST_F(exitless, a_cpu_is_a_notifiers_or_a_vcpus)
{
	struct guest other;
	int vm;

	ASSERT_EQ(0, apic_do(&self->g, apic_nothing, 0, 0));
	vm = ioctl(self->g.device, KVM_CREATE_VM, 0);
	ASSERT_EQ(0, apic_enable_cap(vm, KVM_CAP_SPLIT_IRQCHIP, 24));
	ASSERT_EQ(0, apic_enable_cap(vm, DRAGONFLY_CAP_DEDICATED, 1));
	FAILS(EBUSY, enable(vm, 3, 0));
	if (is_notified(variant)) {
		FAILS(EPERM, enable(vm, 3, cpus() - 1));
		/* Several may have one notifier, if they may run where it does. */
		ASSERT_EQ(0, apic_pin(cpus() - 1));
		EXPECT_EQ(0, enable(vm, 3, cpus() - 1));
	}
	close(vm);
	if (!is_notified(variant))
		return;
	ASSERT_EQ(0, apic_create_dedicated(&other));
	apic_enter(&other, 0, APIC_AT(apic_nothing), 0, 0);
	FAILS(EBUSY, ioctl(other.vcpu, KVM_RUN, NULL));
	apic_destroy(&other, 1);
}

TEST_F(exitless, its_msr_has_one_bit)
{
	struct guest plain;

	EXPECT_EQ(0, apic_get(&self->g, apic_rdmsr, MSR_DRAGONFLY_TIMER));
	EXPECT_EQ(13, wrmsr(&self->g, MSR_DRAGONFLY_TIMER, 2));
	EXPECT_EQ(13, wrmsr(&self->g, MSR_DRAGONFLY_TIMER, 1ULL << 32));
	EXPECT_EQ(0, wrmsr(&self->g, MSR_DRAGONFLY_TIMER, DRAGONFLY_TIMER_POSTED));
	EXPECT_EQ(1, apic_get(&self->g, apic_rdmsr, MSR_DRAGONFLY_TIMER));
	/* Whoever has LVTT next may not know of it. */
	EXPECT_EQ(0, x2apic_set(&self->g, APIC_LVTT, APIC_LVT_TIMER_TSCDEADLINE | VECTOR));
	EXPECT_EQ(0, apic_get(&self->g, apic_rdmsr, MSR_DRAGONFLY_TIMER));
	ASSERT_EQ(0, apic_create(&plain, 1, true));
	EXPECT_EQ(13, rdmsr(&plain, MSR_DRAGONFLY_TIMER));
	EXPECT_EQ(13, wrmsr(&plain, MSR_DRAGONFLY_TIMER, DRAGONFLY_TIMER_POSTED));
	apic_destroy(&plain, 1);
}

/* --- deadlines ---------------------------------------------------------------- */

static void expect_ticks(struct __test_metadata *_metadata, struct guest *g, uint64_t halting)
{
	volatile struct apic_cpu *cpu = apic_cpu(g, 0);
	int64_t all;

	ASSERT_EQ(0, wrmsr(g, MSR_DRAGONFLY_TIMER, DRAGONFLY_TIMER_POSTED));
	all = guest_stat(g->vcpu, "exits");
	ASSERT_EQ(0, run(g, posted_ticks, 20000, ROUNDS, halting));
	EXPECT_EQ(ROUNDS, cpu->taken[VECTOR]);
	EXPECT_EQ(ROUNDS, cpu->count);
	EXPECT_EQ(0, guest_regs(g).r8) TH_LOG("early");
	/* The host's own ticks, and the end. */
	EXPECT_LE(guest_stat(g->vcpu, "exits") - all, ROUNDS / 2);
}

TEST_F(exitless, a_deadline_that_is_over_does_not_exit)
{
	expect_ticks(_metadata, &self->g, 0);
}

TEST_F(exitless, nor_does_one_that_ends_a_halt)
{
	expect_ticks(_metadata, &self->g, 1);
}

/* Exits may take in early what is posted for it: then that is done again. */
TEST_F(exitless, a_deadline_is_not_lost_outside_of_the_guest)
{
	volatile struct apic_cpu *cpu = apic_cpu(&self->g, 0);
	struct guest *g = &self->g;

	ASSERT_EQ(0, wrmsr(g, MSR_DRAGONFLY_TIMER, DRAGONFLY_TIMER_POSTED));
	for (unsigned int round = 0; round < 20; round++) {
		uint64_t deadline = apic_get(g, apic_rdtsc, 0) + round * 20000;

		ASSERT_EQ(0, wrmsr(g, MSR_IA32_TSC_DEADLINE, deadline));
		do {
			__u64 *requests = &self->area->descriptors[0].requests[VECTOR / 64];

			__atomic_or_fetch(requests, 1ULL << VECTOR % 64, __ATOMIC_SEQ_CST);
			usleep(round % 2 * 3000);
			ASSERT_EQ(0, apic_do(g, apic_await, 0, cpu->count + 1));
		} while (cpu->tsc < deadline);
	}
	EXPECT_EQ(cpu->count, cpu->taken[VECTOR]);
}

/* Then it is the CPU's own timer again. */
TEST_F(exitless, without_its_msr_a_deadline_exits)
{
	int64_t all;

	ASSERT_EQ(0, wrmsr(&self->g, MSR_DRAGONFLY_TIMER, DRAGONFLY_TIMER_POSTED));
	ASSERT_EQ(0, wrmsr(&self->g, MSR_DRAGONFLY_TIMER, 0));
	all = guest_stat(self->g.vcpu, "exits");
	ASSERT_EQ(0, run(&self->g, posted_ticks, 20000, ROUNDS, 0));
	EXPECT_LE(ROUNDS, apic_cpu(&self->g, 0)->taken[VECTOR]);
	EXPECT_LE(ROUNDS, guest_stat(self->g.vcpu, "exits") - all);
}

/* --- interrupts between vCPUs ---------------------------------------------------- */

TEST_F(exitless, a_vcpu_is_notified_without_an_exit)
{
	int64_t all;

	if (!is_notified(variant))
		SKIP(return, "nobody looks at the word");
	all = guest_stat(self->g.vcpu, "exits");
	ASSERT_EQ(0, run(&self->g, posted_ring, 0, ROUNDS, 0));
	EXPECT_EQ(ROUNDS, apic_cpu(&self->g, 0)->taken[VECTOR]);
	EXPECT_LE(guest_stat(self->g.vcpu, "exits") - all, ROUNDS / 2);
}

static int set_online(long cpu, char state)
{
	char path[64];
	int fd, written;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%ld/online", cpu);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	written = write(fd, &state, 1);
	close(fd);
	return written == 1 ? 0 : -1;
}

TEST_F(exitless, a_notifier_whose_cpu_goes_serves_on)
{
	volatile struct apic_cpu *cpu = apic_cpu(&self->g, 0);
	long last = cpus() - 1;

	if (!is_notified(variant))
		SKIP(return, "nobody looks at the word");
	ASSERT_EQ(0, set_online(last, '0'));
	EXPECT_EQ(0, run(&self->g, posted_ring, 0, 10, 0));
	EXPECT_EQ(10, cpu->taken[VECTOR]);
	ASSERT_EQ(0, set_online(last, '1'));
	EXPECT_EQ(0, run(&self->g, posted_ring, 0, ROUNDS, 0));
	EXPECT_EQ(10 + ROUNDS, cpu->taken[VECTOR]);
}

TEST_F(exitless, a_vcpu_that_does_not_run_has_it_when_it_does)
{
	struct dragonfly_descriptor *descriptor = &self->area->descriptors[1];
	struct guest g[2] = { self->g };

	ASSERT_EQ(0, apic_add_dedicated(g, 1));
	ASSERT_EQ(0, apic_set_mp_state(&g[1], KVM_MP_STATE_RUNNABLE));
	descriptor->requests[VECTOR / 64] = 1ULL << VECTOR % 64;
	__atomic_store_n(&descriptor->control, DRAGONFLY_POSTED_ON, __ATOMIC_SEQ_CST);
	__atomic_store_n(&self->area->notify, ~0ULL, __ATOMIC_SEQ_CST);
	apic_enter(&g[1], 1, APIC_AT(apic_take), 0, 0);
	EXPECT_EQ(0, apic_resume(&g[1]));
	EXPECT_EQ(1, apic_cpu(g, 1)->taken[VECTOR]);
	munmap(g[1].run, g[1].run_size);
	close(g[1].vcpu);
}

/* --- guests that write what they like --------------------------------------------- */

static uint64_t scribbles(void)
{
	const char *value = getenv("SCRIBBLES");

	return value ? strtoull(value, NULL, 0) : 1000000;
}

TEST_F(exitless, whoever_scribbles_harms_nobody_else)
{
	struct guest *g = &self->g, other;

	ASSERT_EQ(0, wrmsr(g, MSR_DRAGONFLY_TIMER, DRAGONFLY_TIMER_POSTED));
	ASSERT_EQ(0, run(g, posted_scribble, 0x9e3779b97f4a7c15, scribbles(), 0));
	/* With a deadline that is over long ago, again and again. */
	for (int i = 0; i < 100; i++) {
		ASSERT_EQ(0, wrmsr(g, MSR_IA32_TSC_DEADLINE, i % 3));
		ASSERT_EQ(0, run(g, posted_scribble, i + 1, 100, 0));
	}
	EXPECT_EQ(0, apic_do(g, apic_nothing, 0, 0));
	ASSERT_EQ(0, apic_create(&other, 1, true));
	EXPECT_EQ(0, apic_do(&other, apic_nothing, 0, 0));
	EXPECT_EQ(0, x2apic_set(&other, APIC_SELF_IPI, VECTOR));
	EXPECT_EQ(0, apic_do(&other, apic_take, 0, 0));
	EXPECT_EQ(1, apic_cpu(&other, 0)->taken[VECTOR]);
	EXPECT_EQ(1, apic_cpu(&other, 0)->count);
	apic_destroy(&other, 1);
}

struct scribbler {
	struct guest g;
	struct dragonfly_area *area;
	int result;
	bool over;
};

static void *scribble(void *data)
{
	struct scribbler *s = data;

	apic_pin(2);
	for (uint64_t seed = 1; !s->result && !__atomic_load_n(&s->over, __ATOMIC_RELAXED); seed++)
		s->result = run(&s->g, posted_scribble, seed, 1000, 0);
	return NULL;
}

/* The other VM has the same notifier. */
TEST_F(exitless, nor_whom_its_notifier_serves_too)
{
	struct scribbler s = {};
	pthread_t thread;
	int64_t all;

	if (!is_notified(variant) || cpus() < 4)
		SKIP(return, "this host has no cores for two VMs and a notifier");
	ASSERT_EQ(0, apic_pin(3));
	ASSERT_EQ(0, create(&s.g, &s.area, variant->flags));
	ASSERT_EQ(0, apic_pin(0));
	ASSERT_EQ(0, pthread_create(&thread, NULL, scribble, &s));
	all = guest_stat(self->g.vcpu, "exits");
	EXPECT_EQ(0, run(&self->g, posted_ring, 0, ROUNDS, 0));
	EXPECT_EQ(ROUNDS, apic_cpu(&self->g, 0)->taken[VECTOR]);
	EXPECT_EQ(ROUNDS, apic_cpu(&self->g, 0)->count);
	EXPECT_LE(guest_stat(self->g.vcpu, "exits") - all, ROUNDS / 2);
	__atomic_store_n(&s.over, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT_EQ(0, s.result);
	destroy(&s.g, s.area);
}

TEST_HARNESS_MAIN
