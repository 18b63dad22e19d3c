// SPDX-License-Identifier: GPL-2.0-only
/*
 * IPIs that the CPU posts by itself: which of them do not exit, and whom they reach
 * wherever he is. What each kind of IPI does is what selftests/smp.c sees to.
 *
 * In a test host of two CPUs with IPI virtualization, and --with dragonfly.
 */
#include <pthread.h>

#include "kselftest_harness.h"
#include "apic.h"
#include "module.h"

#define VECTOR 0x61
#define ROUNDS 1000
#define HALTS 200
#define LONG_ENOUGH_TO_HALT 20000 /* instructions */
#define SWITCHES 20
#define NOBODY 2

/*
 * Sends EAX to the APIC with the ID EDX, EDI times, and each time waits until the word
 * R8 has changed, and then for ESI rounds of a loop.
 */
GUEST_ASM(ipi_code, 64,
	  "ipi_x2apic: mov %eax, %ebx\n mov %edx, %r9d\n mov $0x830, %ecx\n"
	  "1: mov (%r8), %rbp\n mov %ebx, %eax\n mov %r9d, %edx\n wrmsr\n"
	  "2: cmp %rbp, (%r8)\n je 2b\n mov %esi, %ecx\n 3: loop 3b\n mov $0x830, %ecx\n"
	  "dec %edi\n jnz 1b\n" APIC_DONE "ipi_xapic: mov $0xfee00000, %ebx\n shl $24, %edx\n"
	  "4: mov (%r8), %rbp\n mov %edx, 0x310(%rbx)\n mov %eax, 0x300(%rbx)\n"
	  "5: cmp %rbp, (%r8)\n je 5b\n mov %esi, %ecx\n 6: loop 6b\n"
	  "dec %edi\n jnz 4b\n" APIC_DONE);
GUEST_LABEL(ipi_x2apic);
GUEST_LABEL(ipi_xapic);
#define CODE 0x2000

/* The CPU has it, and nobody else has the wake-up vector. */
static bool is_virtualized(void)
{
	FILE *in = fopen(MODULE_DEBUGFS "/features", "re");
	char line[256];
	bool is = false;

	while (in && fgets(line, sizeof(line), in))
		is |= !!strstr(line, "yes IPI virtualization");
	if (in)
		fclose(in);
	return is && !exists("/sys/module/kvm");
}

struct pair {
	struct guest g[2];
	pthread_t receiver;
	bool x2apic;
	int error; /* the receiver's */
};

FIXTURE(ipi)
{
	struct pair p;
};

FIXTURE_VARIANT(ipi)
{
	bool x2apic, dedicated;
};

FIXTURE_VARIANT_ADD(ipi, x2apic){ .x2apic = true };
FIXTURE_VARIANT_ADD(ipi, xapic){ .x2apic = false };
FIXTURE_VARIANT_ADD(ipi, dedicated){ .x2apic = true, .dedicated = true };

FIXTURE_SETUP(ipi)
{
	if (!is_virtualized())
		SKIP(return, "no IPI virtualization here, or KVM is there");
	ASSERT_LE(2, sysconf(_SC_NPROCESSORS_ONLN));
	ASSERT_EQ(0, apic_pin(0));
	self->p.x2apic = variant->x2apic;
	if (variant->dedicated) {
		ASSERT_EQ(0, apic_create_dedicated(self->p.g));
		ASSERT_EQ(0, apic_add_dedicated(self->p.g, 1));
	} else {
		ASSERT_EQ(0, apic_create(self->p.g, 2, variant->x2apic));
	}
	ASSERT_EQ(0, apic_set_mp_state(&self->p.g[1], KVM_MP_STATE_RUNNABLE));
	memcpy(self->p.g->memory + CODE, ipi_code, GUEST_SIZE(ipi_code));
}

FIXTURE_TEARDOWN(ipi)
{
	apic_destroy(self->p.g, 2);
}

/* Exits for what is written to the APIC, whatever has become of it. */
static int64_t writes(const struct guest *g)
{
	return guest_stat(g->vcpu, "exit_apic_write") + guest_stat(g->vcpu, "exit_msr_write") +
	       guest_stat(g->vcpu, "exit_apic_access");
}

/* What one write of the ICR by the first vCPU exits; -1 if it went wrong. */
static int64_t icr(struct guest *g, bool x2apic, uint32_t destination, uint32_t low)
{
	int64_t before;

	if (x2apic) {
		before = writes(g);
		if (x2apic_set(g, APIC_ICR, (uint64_t)destination << 32 | low))
			return -1;
	} else {
		if (xapic_set(g, APIC_ICR2, destination << 24))
			return -1;
		before = writes(g);
		if (xapic_set(g, APIC_ICR, low))
			return -1;
	}
	return writes(g) - before;
}

#define ICR(destination, low) icr(self->p.g, self->p.x2apic, destination, low)

/* A piece of code on the second one, on a CPU of its own. */
static int run_second(struct guest *g, const uint8_t *label, uint64_t rcx, uint64_t value)
{
	int result;

	apic_enter(&g[1], 1, APIC_AT(label), rcx, value);
	apic_pin(1);
	result = apic_resume(&g[1]);
	apic_pin(0);
	return result;
}

#define SECOND(label) ASSERT_EQ(0, run_second(self->p.g, label, 0, 0))
#define TAKEN(vector) apic_cpu(self->p.g, 1)->taken[vector]

static int set_second(struct guest *g, bool x2apic, uint32_t reg, uint32_t value)
{
	return x2apic ? run_second(g, apic_wrmsr, X2APIC_MSR(reg), value) :
			run_second(g, apic_store, APIC_BASE + reg, value);
}

static void *receive(void *data)
{
	struct pair *p = data;

	p->error = apic_resume(&p->g[1]);
	return NULL;
}

/* The second vCPU takes what comes, on that CPU of the host. */
static int start(struct pair *p, const uint8_t *label, unsigned int cpu)
{
	int error;

	apic_cpu(p->g, 1)->stop = 0;
	apic_enter(&p->g[1], 1, APIC_AT(label), 0, 0);
	apic_pin(cpu);
	error = pthread_create(&p->receiver, NULL, receive, p);
	apic_pin(0);
	return error;
}

/* Told by an interrupt of user space's, which is taken too. */
static int stop(struct pair *p)
{
	apic_cpu(p->g, 1)->stop = 1;
	apic_msi(p->g, 1, VECTOR);
	return pthread_join(p->receiver, NULL) ?: p->error;
}

/* The exits of that many IPIs to the second vCPU, each sent when the one before is taken. */
static int64_t send_rounds(struct pair *p, uint64_t rounds, uint64_t pause)
{
	const uint8_t *label = p->x2apic ? ipi_x2apic : ipi_xapic;
	int64_t before = writes(p->g);
	struct kvm_regs regs;

	apic_enter(p->g, 0, CODE + (label - ipi_code), 0, 1ULL << 32 | VECTOR);
	regs = guest_regs(p->g);
	regs.rdi = rounds;
	regs.rsi = pause;
	regs.r8 = APIC_CPU(1);
	ioctl(p->g->vcpu, KVM_SET_REGS, &regs);
	return apic_resume(p->g) ? -1 : writes(p->g) - before;
}

/* --- wherever the receiver is ----------------------------------------------- */

TEST_F(ipi, to_a_running_vcpu_exits_neither_here_nor_there)
{
	int64_t before = guest_stat(self->p.g[1].vcpu, "exits");

	ASSERT_EQ(0, start(&self->p, apic_busy, 1));
	EXPECT_EQ(0, send_rounds(&self->p, ROUNDS, 1));
	ASSERT_EQ(0, stop(&self->p));
	EXPECT_LE(ROUNDS, TAKEN(VECTOR));
	/* What the host has to do. */
	EXPECT_GT(ROUNDS / 2, guest_stat(self->p.g[1].vcpu, "exits") - before);
}

TEST_F(ipi, wakes_a_vcpu_that_halts)
{
	int64_t halts;

	ASSERT_EQ(0, start(&self->p, apic_idle, 1));
	EXPECT_EQ(0, send_rounds(&self->p, HALTS, LONG_ENOUGH_TO_HALT));
	ASSERT_EQ(0, stop(&self->p));
	EXPECT_LE(HALTS, TAKEN(VECTOR));
	halts = guest_stat(self->p.g[1].vcpu, "exit_hlt");
	EXPECT_TRUE(variant->dedicated ? !halts : halts > HALTS / 2);
}

/* Two vCPUs on one CPU of the host: whoever sends has it. */
TEST_F(ipi, reaches_a_vcpu_that_is_scheduled_out)
{
	if (variant->dedicated)
		SKIP(return, "a dedicated vCPU shares its CPU with nobody");
	ASSERT_EQ(0, start(&self->p, apic_busy, 0));
	EXPECT_EQ(0, send_rounds(&self->p, SWITCHES, 1));
	ASSERT_EQ(0, stop(&self->p));
	EXPECT_LE(SWITCHES, TAKEN(VECTOR));
}

TEST_F(ipi, waits_for_a_vcpu_in_user_space)
{
	SECOND(apic_nothing);
	EXPECT_EQ(0, ICR(1, VECTOR));
	EXPECT_EQ(0, ICR(1, VECTOR + 1));
	EXPECT_EQ(0, ICR(1, VECTOR));
	EXPECT_TRUE(apic_bit(&self->p.g[1], APIC_IRR, VECTOR));
	SECOND(apic_take);
	EXPECT_EQ(1, TAKEN(VECTOR));
	EXPECT_EQ(1, TAKEN(VECTOR + 1));
}

TEST_F(ipi, waits_for_a_vcpu_that_has_never_run)
{
	EXPECT_EQ(0, ICR(1, VECTOR));
	SECOND(apic_take);
	EXPECT_EQ(1, TAKEN(VECTOR));
}

TEST_F(ipi, to_itself_waits_until_it_is_let_in)
{
	EXPECT_EQ(0, apic_do(self->p.g, apic_nothing, 0, 0));
	EXPECT_EQ(0, ICR(0, VECTOR));
	EXPECT_EQ(0, apic_do(self->p.g, apic_take, 0, 0));
	EXPECT_EQ(1, apic_cpu(self->p.g, 0)->taken[VECTOR]);
}

/* --- what is left to the hypervisor ----------------------------------------- */

TEST_F(ipi, of_another_kind_exits_and_arrives)
{
	uint32_t everybody = self->p.x2apic ? ~0U : 0xff;
	const struct {
		uint32_t destination, low, vector, times;
	} sent[] = {
		{ everybody, VECTOR, VECTOR, 1 },
		{ 0, APIC_DEST_ALLINC | VECTOR, VECTOR, 1 },
		{ 0, APIC_DEST_ALLBUT | VECTOR, VECTOR, 1 },
		{ 2, APIC_DEST_LOGICAL | VECTOR, VECTOR, 1 },
		{ 1, APIC_DM_LOWEST | VECTOR, VECTOR, 1 },
		{ 1, APIC_INT_LEVELTRIG | APIC_INT_ASSERT | VECTOR, VECTOR, 1 },
		{ 1, 1 << 12 | VECTOR, VECTOR, 1 }, /* delivery status */
		{ 1, APIC_DM_NMI, APIC_NMI, 1 },
		{ 1, APIC_DM_SMI, VECTOR, 0 },
		{ 1, APIC_DM_STARTUP | 0x40, 0x40, 0 },
		{ 1, 8, 8, 0 },
		{ NOBODY, VECTOR, VECTOR, 0 },
		{ 0xfe, VECTOR, VECTOR, 0 },
	};

	SECOND(apic_nothing);
	if (!self->p.x2apic)
		ASSERT_EQ(0, apic_set_reg(&self->p.g[1], APIC_LDR, 2 << 24));
	for (size_t i = 0; i < ARRAY_SIZE(sent); i++) {
		uint32_t before = TAKEN(sent[i].vector);

		EXPECT_EQ(1, ICR(sent[i].destination, sent[i].low)) TH_LOG("%#x", sent[i].low);
		SECOND(apic_take);
		EXPECT_EQ(sent[i].times, TAKEN(sent[i].vector) - before)
		{
			TH_LOG("%#x to %#x", sent[i].low, sent[i].destination);
		}
	}
}

TEST_F(ipi, to_an_id_behind_the_table_exits)
{
	if (!self->p.x2apic)
		SKIP(return, "an xAPIC has IDs of eight bits");
	SECOND(apic_nothing);
	EXPECT_EQ(1, ICR(0xff, VECTOR));
	EXPECT_EQ(1, ICR(0x100 + 1, VECTOR));
	EXPECT_EQ(1, ICR(0x80000001, VECTOR));
	EXPECT_EQ(1, ICR(~0U - 1, VECTOR));
	SECOND(apic_take);
	EXPECT_EQ(0, TAKEN(VECTOR));
}

TEST_F(ipi, with_a_reserved_bit_faults)
{
	if (!self->p.x2apic)
		SKIP(return, "an xAPIC ignores them");
	SECOND(apic_nothing);
	for (unsigned int bit = 13; bit < 32; bit += bit == 13 ? 3 : bit == 17 ? 3 : 1)
		EXPECT_EQ(GP, x2apic_set(self->p.g, APIC_ICR, 1ULL << 32 | 1U << bit | VECTOR));
	SECOND(apic_take);
	EXPECT_EQ(0, TAKEN(VECTOR));
}

/* --- whose APIC is off -------------------------------------------------------- */

TEST_F(ipi, is_lost_while_software_has_the_apic_off)
{
	SECOND(apic_nothing);
	ASSERT_EQ(0, set_second(self->p.g, self->p.x2apic, APIC_SPIV, APIC_SPURIOUS));
	EXPECT_EQ(1, ICR(1, VECTOR));
	ASSERT_EQ(0, set_second(self->p.g, self->p.x2apic, APIC_SPIV,
				APIC_SPIV_APIC_ENABLED | APIC_SPURIOUS));
	EXPECT_EQ(0, ICR(1, VECTOR + 1));
	SECOND(apic_take);
	EXPECT_EQ(0, TAKEN(VECTOR));
	EXPECT_EQ(1, TAKEN(VECTOR + 1));
}

TEST_F(ipi, is_lost_while_there_is_no_apic)
{
	uint64_t base = apic_base(&self->p.g[1]);

	SECOND(apic_nothing);
	ASSERT_EQ(0, apic_set_base(&self->p.g[1], APIC_BASE));
	EXPECT_EQ(1, ICR(1, VECTOR));
	ASSERT_EQ(0, apic_set_base(&self->p.g[1], base));
	EXPECT_EQ(0, ICR(1, VECTOR + 1));
	SECOND(apic_take);
	EXPECT_EQ(0, TAKEN(VECTOR));
	EXPECT_EQ(1, TAKEN(VECTOR + 1));
}

TEST_F(ipi, is_lost_while_the_vcpu_waits_to_be_started)
{
	SECOND(apic_nothing);
	EXPECT_EQ(0, ICR(1, VECTOR));
	EXPECT_EQ(1, ICR(1, APIC_DM_INIT | APIC_INT_ASSERT));
	EXPECT_EQ(KVM_MP_STATE_INIT_RECEIVED, apic_mp_state(&self->p.g[1]));
	EXPECT_EQ(1, ICR(1, VECTOR + 1));
	EXPECT_FALSE(apic_bit(&self->p.g[1], APIC_IRR, VECTOR));
	EXPECT_FALSE(apic_bit(&self->p.g[1], APIC_IRR, VECTOR + 1));
}

/* --- which VMs have it -------------------------------------------------------- */

/* The guest of an area could name any CPU, and any vector. */
TEST(ipis_of_a_guest_with_an_area_exit)
{
	struct kvm_enable_cap cap = { .cap = DRAGONFLY_CAP_EXITLESS,
				      .args = { DRAGONFLY_EXITLESS_TIMER } };
	struct guest g;

	if (!is_virtualized())
		SKIP(return, "no IPI virtualization here, or KVM is there");
	ASSERT_EQ(0, apic_pin(0));
	ASSERT_EQ(0, apic_create_vm(&g));
	ASSERT_EQ(0, apic_enable_cap(g.vm, DRAGONFLY_CAP_DEDICATED, 1));
	ASSERT_EQ(0, ioctl(g.vm, KVM_ENABLE_CAP, &cap));
	ASSERT_EQ(0, apic_add_dedicated(&g, 0));
	ASSERT_EQ(0, apic_do(&g, apic_nothing, 0, 0));
	EXPECT_EQ(1, icr(&g, true, 0, VECTOR));
	EXPECT_EQ(1, guest_stat(g.vcpu, "exit_msr_write"));
	EXPECT_EQ(0, apic_do(&g, apic_take, 0, 0));
	EXPECT_EQ(1, apic_cpu(&g, 0)->taken[VECTOR]);
	apic_destroy(&g, 1);
}

TEST_HARNESS_MAIN
