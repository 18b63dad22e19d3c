// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guests of several vCPUs, each a thread: how one starts another, and whom an
 * interrupt reaches that one sends.
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm.
 */
#include <pthread.h>
#include <semaphore.h>

#include "kselftest_harness.h"
#include "apic.h"

#define VECTOR 0x61
/* The last one of each round, and the lowest: whoever has it has all others. */
#define BARRIER 0x21

/*
 * What a receiver does: in RAX the number of barriers to go through, in RCX 1 for
 * halting meanwhile. It says when it begins.
 */
GUEST_ASM(smp_code, 64,
	  "smp_receive: cli\n cmp %eax, %gs:0x284\n jae 2f\n movq $1, %gs:24\n"
	  "test %ecx, %ecx\n jz 1f\n sti\n hlt\n jmp smp_receive\n"
	  "1: sti\n pause\n jmp smp_receive\n"
	  "2:" APIC_DONE);
#define SMP_CODE 0x2000

/* Where a SIPI sends a vCPU: it stops at once, as it is. */
GUEST_ASM(smp_stop, 16, "out %al, $0x10\n 1: hlt\n jmp 1b");
#define SIPI_VECTOR 0x40
#define SMP_STOP (SIPI_VECTOR << 12)

/*
 * A processor's way up as an operating system has it: from real mode to 64 bits, to
 * x2APIC mode, to its own data by its APIC ID. It says so to the first one, and ends
 * when that one answers.
 */
GUEST_ASM(smp_boot, 16,
	  "cli\n mov %cs, %ax\n mov %ax, %ds\n"
	  "lidtl smp_idtr - smp_boot\n lgdtl smp_gdtr - smp_boot\n"
	  "mov $0x10000, %eax\n mov %eax, %cr3\n"
	  "mov $0x220, %eax\n mov %eax, %cr4\n"
	  "mov $0xc0000080, %ecx\n mov $0x500, %eax\n xor %edx, %edx\n wrmsr\n"
	  "mov $0x80000021, %eax\n mov %eax, %cr0\n"
	  "ljmpl $8, $(0x41000 + smp_boot_64 - smp_boot)\n"
	  ".code64\n smp_boot_64: mov $16, %eax\n mov %eax, %ds\n mov %eax, %es\n mov %eax, %ss\n"
	  "mov $0x1b, %ecx\n rdmsr\n or $0xc00, %eax\n wrmsr\n"
	  "mov $0x802, %ecx\n rdmsr\n mov %eax, %esi\n"
	  "shl $12, %eax\n add $0x100000, %eax\n lea 0x1000(%rax), %rsp\n"
	  "xor %edx, %edx\n mov $0xc0000101, %ecx\n wrmsr\n"
	  "mov $0x80f, %ecx\n mov $0x1ff, %eax\n wrmsr\n"
	  /* Fixed, to APIC 0, with a vector of its own. */
	  "mov $0x830, %ecx\n lea 0x61(%rsi), %eax\n wrmsr\n"
	  "1: cli\n cmpl $1, %gs:0x284\n jae 2f\n sti\n hlt\n jmp 1b\n"
	  "2:" APIC_DONE ".balign 8\n smp_idtr: .word 0xfff\n .long 0x20000\n"
	  "smp_gdtr: .word 0x37\n .long 0x21000");
#define BOOT_VECTOR 0x41
#define SMP_BOOT (BOOT_VECTOR << 12)

enum waiting { NOT_RUNNING, SPINNING, HALTED };

/* A vCPU's thread is the same for all its runs: KVM waits for RCU at each change. */
struct receiver {
	struct guest *g;
	pthread_t thread;
	sem_t go, done;
	bool over;
	int result;
};

struct smp {
	struct guest g[APIC_CPUS];
	struct receiver receivers[APIC_CPUS];
	unsigned int cpus;
	bool x2apic;
	uint32_t rounds;
};

/* KVM goes back to user space once when a SIPI has come; others may just go on. */
static void *run_receiver(void *data)
{
	struct receiver *r = data;

	while (!sem_wait(&r->go) && !r->over) {
		do
			r->result = apic_resume(r->g);
		while (r->result == -EAGAIN);
		sem_post(&r->done);
	}
	return NULL;
}

static void start(struct smp *s, unsigned int cpu)
{
	sem_post(&s->receivers[cpu].go);
}

static int finish(struct smp *s, unsigned int cpu)
{
	sem_wait(&s->receivers[cpu].done);
	return s->receivers[cpu].result;
}

static int create_threads(struct smp *s)
{
	int error = 0;

	for (unsigned int cpu = 1; !error && cpu < s->cpus; cpu++) {
		struct receiver *r = &s->receivers[cpu];

		r->g = &s->g[cpu];
		sem_init(&r->go, 0, 0);
		sem_init(&r->done, 0, 0);
		error = pthread_create(&r->thread, NULL, run_receiver, r);
	}
	return error;
}

static void destroy_threads(struct smp *s)
{
	for (unsigned int cpu = 1; cpu < s->cpus; cpu++) {
		s->receivers[cpu].over = true;
		start(s, cpu);
		pthread_join(s->receivers[cpu].thread, NULL);
	}
}

static int icr(struct smp *s, uint32_t destination, uint32_t low)
{
	if (s->x2apic)
		return x2apic_set(s->g, APIC_ICR, (uint64_t)destination << 32 | low);
	return xapic_set(s->g, APIC_ICR2, destination << 24) ?: xapic_set(s->g, APIC_ICR, low);
}

/* The others are under way, and if they are to halt they may have done so. */
static void start_others(struct smp *s, enum waiting waiting)
{
	for (unsigned int cpu = 1; cpu < s->cpus; cpu++) {
		apic_cpu(s->g, cpu)->mail = 0;
		apic_enter(&s->g[cpu], cpu, SMP_CODE, waiting == HALTED, s->rounds);
		if (waiting == NOT_RUNNING)
			continue;
		start(s, cpu);
		while (!apic_cpu(s->g, cpu)->mail)
			usleep(100);
	}
}

static int finish_others(struct smp *s, enum waiting waiting)
{
	int failed = 0;

	for (unsigned int cpu = 1; cpu < s->cpus; cpu++) {
		if (waiting == NOT_RUNNING)
			start(s, cpu);
		failed |= finish(s, cpu);
	}
	return failed;
}

/*
 * The vCPUs, as a mask, that a message of the first one reaches; -1 if one has been
 * reached twice, or not gone through.
 */
static int reached_while(struct smp *s, uint32_t destination, uint32_t low, enum waiting waiting)
{
	unsigned int vector = (low & 0x700) == APIC_DM_NMI ? APIC_NMI : low & 0xff;
	uint32_t before[APIC_CPUS];
	int mask = 0;

	s->rounds++;
	for (unsigned int cpu = 0; cpu < s->cpus; cpu++)
		before[cpu] = apic_cpu(s->g, cpu)->taken[vector];
	start_others(s, waiting);
	if (icr(s, destination, low) || icr(s, 0, APIC_DEST_ALLINC | BARRIER) ||
	    finish_others(s, waiting) || apic_do(s->g, apic_take, 0, 0))
		return -1;
	for (unsigned int cpu = 0; cpu < s->cpus; cpu++) {
		uint32_t came = apic_cpu(s->g, cpu)->taken[vector] - before[cpu];

		if (came > 1 || apic_cpu(s->g, cpu)->taken[BARRIER] != s->rounds)
			return -1;
		mask |= came << cpu;
	}
	return mask;
}

/* The same however the others wait: -1 if that makes a difference. */
static int reached(struct smp *s, uint32_t destination, uint32_t low)
{
	int mask = reached_while(s, destination, low, NOT_RUNNING);

	for (enum waiting waiting = SPINNING; waiting <= HALTED; waiting++)
		if (reached_while(s, destination, low, waiting) != mask)
			return -1;
	return mask;
}

static int prepare(struct smp *s)
{
	memcpy(s->g->memory + SMP_CODE, smp_code, GUEST_SIZE(smp_code));
	memcpy(s->g->memory + SMP_STOP, smp_stop, GUEST_SIZE(smp_stop));
	memcpy(s->g->memory + SMP_BOOT, smp_boot, GUEST_SIZE(smp_boot));
	return create_threads(s);
}

static void make_runnable(struct smp *s)
{
	for (unsigned int cpu = 1; cpu < s->cpus; cpu++)
		apic_set_mp_state(&s->g[cpu], KVM_MP_STATE_RUNNABLE);
}

FIXTURE(smp)
{
	struct smp s;
};

FIXTURE_VARIANT(smp)
{
	unsigned int cpus;
	bool x2apic;
};

FIXTURE_VARIANT_ADD(smp, one){ .cpus = 1, .x2apic = true };
FIXTURE_VARIANT_ADD(smp, two){ .cpus = 2, .x2apic = true };
FIXTURE_VARIANT_ADD(smp, four){ .cpus = 4, .x2apic = true };
FIXTURE_VARIANT_ADD(smp, one_xapic){ .cpus = 1 };
FIXTURE_VARIANT_ADD(smp, two_xapic){ .cpus = 2 };
FIXTURE_VARIANT_ADD(smp, four_xapic){ .cpus = 4 };

FIXTURE_SETUP(smp)
{
	self->s.cpus = variant->cpus;
	self->s.x2apic = variant->x2apic;
	ASSERT_EQ(0, apic_create(self->s.g, variant->cpus, variant->x2apic));
	ASSERT_EQ(0, prepare(&self->s));
	make_runnable(&self->s);
}

FIXTURE_TEARDOWN(smp)
{
	destroy_threads(&self->s);
	apic_destroy(self->s.g, self->s.cpus);
}

#define ALL ((1 << self->s.cpus) - 1)

/* --- fixed ---------------------------------------------------------------- */

TEST_F(smp, a_physical_destination_is_one_vcpu)
{
	for (unsigned int cpu = 0; cpu < self->s.cpus; cpu++)
		EXPECT_EQ(1 << cpu, reached(&self->s, cpu, VECTOR));
}

TEST_F(smp, a_destination_that_nobody_has_is_nobodys)
{
	EXPECT_EQ(0, reached(&self->s, self->s.cpus, VECTOR));
	EXPECT_EQ(0, reached(&self->s, 0xfe, VECTOR));
	if (self->s.x2apic)
		EXPECT_EQ(0, reached(&self->s, 0x7fffffff, VECTOR));
}

TEST_F(smp, a_broadcast_reaches_all)
{
	uint32_t everybody = self->s.x2apic ? ~0U : 0xff;

	EXPECT_EQ(ALL, reached(&self->s, everybody, VECTOR));
	EXPECT_EQ(ALL, reached(&self->s, everybody, APIC_DEST_LOGICAL | VECTOR));
	/* In x2APIC mode 255 is an ID like any other. */
	if (self->s.x2apic)
		EXPECT_EQ(0, reached(&self->s, 0xff, VECTOR));
}

TEST_F(smp, shorthands_are_as_they_say)
{
	EXPECT_EQ(1, reached(&self->s, 1, APIC_DEST_SELF | VECTOR));
	EXPECT_EQ(ALL, reached(&self->s, 1, APIC_DEST_ALLINC | VECTOR));
	EXPECT_EQ(ALL & ~1, reached(&self->s, 0, APIC_DEST_ALLBUT | VECTOR));
}

/* Each has a bit of its own: in xAPIC mode as it chooses, in x2APIC mode by its ID. */
static void choose_flat(struct smp *s)
{
	for (unsigned int cpu = 0; cpu < s->cpus && !s->x2apic; cpu++)
		apic_set_reg(&s->g[cpu], APIC_LDR, 1 << (24 + cpu));
}

TEST_F(smp, a_logical_destination_is_a_set)
{
	choose_flat(&self->s);
	for (int mask = 0; mask <= ALL; mask++)
		EXPECT_EQ(mask, reached_while(&self->s, mask, APIC_DEST_LOGICAL | VECTOR,
					      mask % 2 ? HALTED : SPINNING));
	EXPECT_EQ(0, reached(&self->s, 1 << self->s.cpus, APIC_DEST_LOGICAL | VECTOR));
}

TEST_F(smp, the_lowest_priority_is_one_vcpus)
{
	choose_flat(&self->s);
	for (unsigned int vector = VECTOR; vector < VECTOR + 2; vector++) {
		for (enum waiting waiting = NOT_RUNNING; waiting <= HALTED; waiting++) {
			int mask = reached_while(&self->s, ALL,
						 APIC_DEST_LOGICAL | APIC_DM_LOWEST | vector,
						 waiting);

			EXPECT_LT(0, mask);
			EXPECT_EQ(0, mask & (mask - 1));
			EXPECT_EQ(0, mask & ~ALL);
		}
	}
}

/* Clusters of two, by the guest's choice. */
TEST_F(smp, clusters_are_apart)
{
	if (self->s.x2apic)
		return;
	for (unsigned int cpu = 0; cpu < self->s.cpus; cpu++) {
		apic_set_reg(&self->s.g[cpu], APIC_DFR, 0x0fffffff);
		apic_set_reg(&self->s.g[cpu], APIC_LDR, (cpu / 2 << 4 | 1 << cpu % 2) << 24);
	}
	EXPECT_EQ(1, reached(&self->s, 0x01, APIC_DEST_LOGICAL | VECTOR));
	EXPECT_EQ(2 & ALL, reached(&self->s, 0x02, APIC_DEST_LOGICAL | VECTOR));
	EXPECT_EQ(3 & ALL, reached(&self->s, 0x03, APIC_DEST_LOGICAL | VECTOR));
	EXPECT_EQ(4 & ALL, reached(&self->s, 0x11, APIC_DEST_LOGICAL | VECTOR));
	EXPECT_EQ(12 & ALL, reached(&self->s, 0x13, APIC_DEST_LOGICAL | VECTOR));
	EXPECT_EQ(0, reached(&self->s, 0x23, APIC_DEST_LOGICAL | VECTOR));
}

/* --- other kinds of messages ---------------------------------------------- */

TEST_F(smp, an_nmi_goes_to_another)
{
	for (unsigned int cpu = 1; cpu < self->s.cpus; cpu++)
		EXPECT_EQ(1 << cpu, reached(&self->s, cpu, APIC_DM_NMI));
	EXPECT_EQ(ALL & ~1, reached(&self->s, 0, APIC_DEST_ALLBUT | APIC_DM_NMI));
}

/* KVM has System Management Mode, of which these guests know nothing. */
TEST_F(smp, what_no_guest_should_send_is_harmless)
{
	EXPECT_EQ(0, reached(&self->s, self->s.cpus - 1, APIC_DM_REMRD | VECTOR));
	if (!guest_on_kvm())
		EXPECT_EQ(0, reached(&self->s, self->s.cpus - 1, APIC_DM_SMI));
	EXPECT_EQ(0, reached(&self->s, self->s.cpus - 1, 7 << 8 | VECTOR));
	/* INIT with its level down is of APIC buses gone by. */
	EXPECT_EQ(0, reached(&self->s, 0, APIC_DEST_ALLBUT | APIC_DM_INIT | APIC_INT_LEVELTRIG));
	/* A SIPI is for those who wait for it. */
	EXPECT_EQ(0, reached(&self->s, 0, APIC_DEST_ALLBUT | APIC_DM_STARTUP | SIPI_VECTOR));
}

TEST_F(smp, a_vcpu_does_not_miss_the_last_interrupt_before_it_halts)
{
	for (int round = 0; round < 20; round++)
		ASSERT_EQ(ALL, reached_while(&self->s, 0, APIC_DEST_ALLINC | VECTOR, HALTED));
}

/* --- IDs beyond eight bits ------------------------------------------------ */

FIXTURE(wide)
{
	struct smp s;
};

/* Two clusters of two, and one far away. */
static const uint32_t wide_ids[] = { 0, 1, 0x10, 0x12f };

FIXTURE_SETUP(wide)
{
	self->s.cpus = ARRAY_SIZE(wide_ids);
	self->s.x2apic = true;
	ASSERT_EQ(0, apic_create_vm(self->s.g));
	ASSERT_EQ(0, apic_enable_cap(self->s.g->vm, KVM_CAP_X2APIC_API, 3));
	for (unsigned int cpu = 0; cpu < self->s.cpus; cpu++)
		ASSERT_EQ(0, apic_add(self->s.g, cpu, wide_ids[cpu], true));
	ASSERT_EQ(0, prepare(&self->s));
	make_runnable(&self->s);
}

FIXTURE_TEARDOWN(wide)
{
	destroy_threads(&self->s);
	apic_destroy(self->s.g, self->s.cpus);
}

TEST_F(wide, ids_of_32_bits_are_reached)
{
	for (unsigned int cpu = 0; cpu < self->s.cpus; cpu++)
		EXPECT_EQ(1 << cpu, reached(&self->s, wide_ids[cpu], VECTOR));
	EXPECT_EQ(0, reached(&self->s, 0x2f, VECTOR));
	EXPECT_EQ(0xf, reached(&self->s, ~0U, VECTOR));
}

TEST_F(wide, clusters_are_of_sixteen)
{
	EXPECT_EQ(1, reached(&self->s, 1, APIC_DEST_LOGICAL | VECTOR));
	EXPECT_EQ(3, reached(&self->s, 0xffff, APIC_DEST_LOGICAL | VECTOR));
	EXPECT_EQ(4, reached(&self->s, 1 << 16 | 1, APIC_DEST_LOGICAL | VECTOR));
	EXPECT_EQ(4, reached(&self->s, 1 << 16 | 0xffff, APIC_DEST_LOGICAL | VECTOR));
	EXPECT_EQ(8, reached(&self->s, 0x12 << 16 | 1 << 15, APIC_DEST_LOGICAL | VECTOR));
	EXPECT_EQ(0, reached(&self->s, 0x12 << 16 | 1, APIC_DEST_LOGICAL | VECTOR));
	EXPECT_EQ(0, reached(&self->s, 2 << 16 | 1, APIC_DEST_LOGICAL | VECTOR));
}

/* With the broadcast quirk off 255 of a message is no broadcast either. */
TEST_F(wide, messages_have_ids_of_32_bits)
{
	for (unsigned int cpu = 0; cpu < self->s.cpus; cpu++) {
		EXPECT_EQ(1, apic_msi(self->s.g, wide_ids[cpu], VECTOR));
		EXPECT_TRUE(apic_bit(&self->s.g[cpu], APIC_IRR, VECTOR));
	}
	EXPECT_GE(0, apic_msi(self->s.g, 0xff, VECTOR + 1));
	EXPECT_FALSE(apic_bit(self->s.g, APIC_IRR, VECTOR + 1));
}

/* --- starting ------------------------------------------------------------- */

FIXTURE(start)
{
	struct smp s;
};

FIXTURE_VARIANT(start)
{
	unsigned int cpus;
	bool x2apic;
};

FIXTURE_VARIANT_ADD(start, two){ .cpus = 2, .x2apic = true };
FIXTURE_VARIANT_ADD(start, four){ .cpus = 4, .x2apic = true };
FIXTURE_VARIANT_ADD(start, two_xapic){ .cpus = 2 };

FIXTURE_SETUP(start)
{
	self->s.cpus = variant->cpus;
	self->s.x2apic = variant->x2apic;
	ASSERT_EQ(0, apic_create(self->s.g, variant->cpus, variant->x2apic));
	ASSERT_EQ(0, prepare(&self->s));
}

FIXTURE_TEARDOWN(start)
{
	destroy_threads(&self->s);
	apic_destroy(self->s.g, self->s.cpus);
}

#define INIT(cpu) ASSERT_EQ(0, icr(&self->s, cpu, APIC_DM_INIT | APIC_INT_ASSERT))
#define SIPI(cpu, vector) ASSERT_EQ(0, icr(&self->s, cpu, APIC_DM_STARTUP | (vector)))

/* What the SDM has after INIT and a SIPI; the first instruction there has been an OUT. */
#define EXPECT_STARTED(cpu)                                                                    \
	do {                                                                                   \
		struct kvm_regs regs = guest_regs(&self->s.g[cpu]);                            \
		struct kvm_sregs sregs;                                                        \
		ASSERT_EQ(0, ioctl(self->s.g[cpu].vcpu, KVM_GET_SREGS, &sregs));               \
		EXPECT_EQ(SIPI_VECTOR << 8, sregs.cs.selector);                                \
		EXPECT_EQ(SMP_STOP, sregs.cs.base);                                            \
		EXPECT_EQ(0xffff, sregs.cs.limit);                                             \
		EXPECT_GE(2, regs.rip);                                                        \
		EXPECT_EQ(2, regs.rflags);                                                     \
		EXPECT_EQ(0, regs.rax | regs.rbx | regs.rcx | regs.rsi | regs.rdi | regs.rbp | \
				     regs.rsp | regs.r8 | regs.r15);                           \
		EXPECT_EQ(0x10, sregs.cr0 & 0x9fffffff);                                       \
		EXPECT_EQ(0, sregs.cr2 | sregs.cr3 | sregs.cr4 | sregs.cr8 | sregs.efer);      \
		EXPECT_EQ(0, sregs.ds.base | sregs.es.base | sregs.ss.base | sregs.gs.base |   \
				     sregs.ds.selector);                                       \
		EXPECT_EQ(0xffff, sregs.ds.limit);                                             \
		EXPECT_EQ(0, sregs.idt.base | sregs.gdt.base);                                 \
		EXPECT_EQ(0xffff, sregs.idt.limit);                                            \
		EXPECT_EQ(0xff, apic_reg(&self->s.g[cpu], APIC_SPIV));                         \
		EXPECT_EQ(KVM_MP_STATE_RUNNABLE, apic_mp_state(&self->s.g[cpu]));              \
	} while (0)

TEST_F(start, user_space_sees_the_states)
{
	struct guest *g = self->s.g;
	uint64_t base = apic_base(&g[1]);

	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, apic_mp_state(&g[0]));
	EXPECT_EQ(KVM_MP_STATE_UNINITIALIZED, apic_mp_state(&g[1]));
	INIT(1);
	EXPECT_EQ(KVM_MP_STATE_INIT_RECEIVED, apic_mp_state(&g[1]));
	EXPECT_EQ(base, apic_base(&g[1])) TH_LOG("INIT leaves the mode alone");
	SIPI(1, SIPI_VECTOR);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, apic_mp_state(&g[1]));
	SIPI(1, BOOT_VECTOR);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, apic_mp_state(&g[1]));
	ASSERT_EQ(0, apic_resume(&g[1]));
	EXPECT_STARTED(1);
}

TEST_F(start, a_sipi_starts_all_that_wait)
{
	for (unsigned int cpu = 1; cpu < self->s.cpus; cpu++)
		start(&self->s, cpu);
	ASSERT_EQ(0, icr(&self->s, 0, APIC_DEST_ALLBUT | APIC_DM_INIT | APIC_INT_ASSERT));
	ASSERT_EQ(0, icr(&self->s, 0, APIC_DEST_ALLBUT | APIC_DM_STARTUP | SIPI_VECTOR));
	ASSERT_EQ(0, icr(&self->s, 0, APIC_DEST_ALLBUT | APIC_DM_STARTUP | SIPI_VECTOR));
	for (unsigned int cpu = 1; cpu < self->s.cpus; cpu++) {
		ASSERT_EQ(0, finish(&self->s, cpu));
		EXPECT_STARTED(cpu);
	}
}

TEST_F(start, init_resets_a_vcpu_that_runs)
{
	make_runnable(&self->s);
	/* They wait for a barrier that does not come. */
	self->s.rounds = 1;
	for (enum waiting waiting = SPINNING; waiting <= HALTED; waiting++) {
		if (waiting == HALTED)
			ASSERT_EQ(0, apic_prepare(&self->s.g[1], 1, 1, self->s.x2apic));
		start_others(&self->s, waiting);
		INIT(1);
		SIPI(1, SIPI_VECTOR);
		ASSERT_EQ(0, finish(&self->s, 1));
		EXPECT_STARTED(1);
		for (unsigned int cpu = 2; cpu < self->s.cpus; cpu++) {
			INIT(cpu);
			SIPI(cpu, SIPI_VECTOR);
			ASSERT_EQ(0, finish(&self->s, cpu));
			ASSERT_EQ(0, apic_prepare(&self->s.g[cpu], cpu, cpu, self->s.x2apic));
		}
	}
}

TEST_F(start, processors_come_up_to_64_bits_and_talk)
{
	unsigned int others = self->s.cpus - 1;

	for (unsigned int cpu = 1; cpu < self->s.cpus; cpu++) {
		apic_cpu(self->s.g, cpu)->eoi = APIC_EOI_X2APIC;
		start(&self->s, cpu);
	}
	ASSERT_EQ(0, icr(&self->s, 0, APIC_DEST_ALLBUT | APIC_DM_INIT | APIC_INT_ASSERT));
	ASSERT_EQ(0, icr(&self->s, 0, APIC_DEST_ALLBUT | APIC_DM_STARTUP | BOOT_VECTOR));
	ASSERT_EQ(0, apic_do(self->s.g, apic_await, 0, others));
	for (unsigned int cpu = 1; cpu < self->s.cpus; cpu++)
		EXPECT_EQ(1, apic_cpu(self->s.g, 0)->taken[0x61 + cpu]);
	ASSERT_EQ(0, icr(&self->s, 0, APIC_DEST_ALLBUT | BARRIER));
	for (unsigned int cpu = 1; cpu < self->s.cpus; cpu++)
		EXPECT_EQ(0, finish(&self->s, cpu));
}

TEST_HARNESS_MAIN
