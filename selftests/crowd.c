// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many VMs on few CPUs, of which some come and go all the while: nobody starves, no
 * ioctl waits for the others, and nothing is left behind. VMS (100), of two vCPUs
 * each, and DURATION (8), in seconds, in the environment.
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm.
 */
#include <sys/resource.h>
#include <time.h>

#include "kselftest_harness.h"

/* Each timer is an exit to the host, and there are many. */
#define BUSY_PERIOD 500000000

#include "busy.h"

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 36000

#define RESOURCES "/sys/kernel/debug/dragonfly/resources"
#define LEAVING 5 /* of them at a time */

static long from_environment(const char *name, long otherwise)
{
	const char *value = getenv(name);

	return value ? strtol(value, NULL, 0) : otherwise;
}

/* Its first vCPU spins, the second one halts. */
struct vm {
	struct busy b[2];
	unsigned int born; /* in which round */
	uint64_t seen[2];
};

static int vm_start(struct vm *vm, unsigned int round)
{
	*vm = (struct vm){ .born = round };
	return busy_start_two(vm->b);
}

/* 0 if both ended as they should. */
static int vm_stop(struct vm *vms, int n)
{
	int result = 0;

	for (int i = 0; i < n; i++)
		for (int cpu = 0; cpu < 2; cpu++)
			apic_cpu(&vms[i].b[0].g, cpu)->stop = 1;
	for (int i = 0; i < n; i++)
		result = busy_stop_two(vms[i].b) ?: result;
	return result;
}

/* What a vCPU has done: rounds of a spinning one, wake-ups of one that halts. */
static uint64_t progress(const struct vm *vm, int cpu)
{
	const volatile struct apic_cpu *c = apic_cpu(&vm->b[0].g, cpu);

	return cpu ? c->count : c->mail;
}

/* All go on from where they were seen last. */
static bool all_go_on(struct vm *vms, int n)
{
	for (int i = 0; i < n; i++)
		for (int cpu = 0; cpu < 2; cpu++) {
			while (progress(&vms[i], cpu) == vms[i].seen[cpu]) {
				if (__atomic_load_n(&vms[i].b[cpu].over, 5))
					return false;
				usleep(1000);
			}
			vms[i].seen[cpu] = progress(&vms[i], cpu);
		}
	return true;
}

/* --- what an ioctl waits for ------------------------------------------------ */

static long waits(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nvcsw;
}

/*
 * How often it gave its CPU away to wait for something: what takes long here takes
 * long because others have their turn, and that is the scheduler's affair.
 */
#define WAITS(call)                                                         \
	do {                                                                \
		long before = waits();                                      \
		ASSERT_LE(0, call);                                         \
		EXPECT_GE(MAX_WAITS, waits() - before) TH_LOG("%s", #call); \
	} while (0)
#define MAX_WAITS 3

static void use_a_vm(struct __test_metadata *_metadata)
{
	struct kvm_regs regs = { .rip = GUEST_CODE, .rflags = 2 };
	struct guest g;

	WAITS(guest_create_vm(&g));
	WAITS(apic_enable_cap(g.vm, KVM_CAP_SPLIT_IRQCHIP, 24));
	WAITS(guest_create_vcpu(&g, 0));
	ASSERT_EQ(0, apic_prepare(&g, 0, 0, true));
	WAITS(ioctl(g.vcpu, KVM_GET_REGS, &regs));
	regs.rip = APIC_AT(apic_nothing);
	WAITS(ioctl(g.vcpu, KVM_SET_REGS, &regs));
	WAITS(ioctl(g.vcpu, KVM_RUN, 0));
	WAITS(apic_msi(&g, 0, 0x61));
	WAITS(guest_memory(g.vm, 0, 0, 0, 0, NULL));
	WAITS(close(g.vcpu));
	WAITS(munmap(g.run, g.run_size));
	WAITS(close(g.vm));
	g.run = NULL;
	g.vcpu = -1;
	g.vm = -1;
	guest_destroy(&g);
}

/* --- the crowd --------------------------------------------------------------- */

/* Of those that were there all the time, nobody got much less than another. */
static void expect_fair(struct __test_metadata *_metadata, const struct vm *vms, int n)
{
	uint64_t least = ~0ULL, most = 0;

	for (int i = 0; i < n; i++) {
		if (vms[i].born)
			continue;
		least = progress(&vms[i], 0) < least ? progress(&vms[i], 0) : least;
		most = progress(&vms[i], 0) > most ? progress(&vms[i], 0) : most;
	}
	EXPECT_LE(most, 10 * least) TH_LOG("%lu rounds and %lu", least, most);
}

static bool nothing_is_left(void)
{
	for (int i = 0; i < 500; i++) {
		if (guest_on_kvm() ||
		    (!guest_figure(RESOURCES, "vms") && !guest_figure(RESOURCES, "vcpus") &&
		     !guest_figure(RESOURCES, "vmcs") && !guest_pinned_pages()))
			return true;
		usleep(10000);
	}
	return false;
}

TEST(many_vms_share_few_cpus)
{
	int n = from_environment("VMS", 100), stay = n / 2;
	time_t end = time(NULL) + from_environment("DURATION", 8);
	struct vm *vms = calloc(n, sizeof(*vms));
	unsigned int round = 0;

	/* Who makes and ends VMs has its turn among all that spin. */
	ASSERT_EQ(0, setpriority(PRIO_PROCESS, 0, -15));
	for (int i = 0; i < n; i++)
		ASSERT_EQ(0, vm_start(&vms[i], 0));
	do {
		int first = stay + round++ * LEAVING % (n - stay - LEAVING + 1);

		EXPECT_TRUE(all_go_on(vms, n));
		use_a_vm(_metadata);
		EXPECT_EQ(0, vm_stop(vms + first, LEAVING));
		for (int i = 0; i < LEAVING; i++)
			ASSERT_EQ(0, vm_start(&vms[first + i], round));
	} while (time(NULL) < end);
	TH_LOG("%u rounds", round);
	expect_fair(_metadata, vms, n);
	EXPECT_EQ(0, vm_stop(vms, n));
	EXPECT_TRUE(nothing_is_left());
	free(vms);
}

TEST_HARNESS_MAIN
