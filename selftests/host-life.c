// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a host goes through while VMs run: CPUs go and come, it would like to suspend,
 * cgroups are frozen and limited, memory is short.
 *
 * In a test host with --with dragonfly --cpus 2.
 */
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "kselftest_harness.h"
#include "busy.h"
#include "module.h"

#define CPU1_ONLINE "/sys/devices/system/cpu/cpu1/online"
#define CGROUP "/sys/fs/cgroup/life"
#define RESOURCES MODULE_DEBUGFS "/resources"
#define VMS 4
#define MIB (1UL << 20)

FIXTURE(host)
{
	struct busy vms[VMS];
};

FIXTURE_SETUP(host)
{
	write_file(CPU1_ONLINE, "1");
}

FIXTURE_TEARDOWN(host)
{
	write_file(CPU1_ONLINE, "1");
}

#define NEEDS_TWO_CPUS()                                       \
	do {                                                   \
		if (!exists(CPU1_ONLINE))                      \
			SKIP(return, "this host has one CPU"); \
	} while (0)

/* Half of them spin, half of them halt. */
static int start_all(struct busy *vms)
{
	for (int i = 0; i < VMS; i++)
		if (busy_start(&vms[i], i % 2 ? apic_idle : apic_busy))
			return -1;
	return 0;
}

static bool all_go_on(const struct busy *vms)
{
	for (int i = 0; i < VMS; i++)
		if (!busy_goes_on(&vms[i], 5))
			return false;
	return true;
}

static int stop_all(struct busy *vms)
{
	int result = 0;

	for (int i = 0; i < VMS; i++)
		result = busy_stop(&vms[i]) ?: result;
	return result;
}

/* Everything that VMs have of the host is given back; what is on its way gets its time. */
static bool nothing_is_left(void)
{
	for (int i = 0; i < 300; i++) {
		if (!guest_figure(RESOURCES, "vms") && !guest_figure(RESOURCES, "vcpus") &&
		    !guest_figure(RESOURCES, "vmcs") && !guest_pinned_pages())
			return true;
		usleep(10000);
	}
	return false;
}

/* --- CPUs ------------------------------------------------------------------- */

TEST_F(host, cpus_go_and_come_under_running_vms)
{
	NEEDS_TWO_CPUS();
	ASSERT_EQ(0, start_all(self->vms));
	for (int i = 0; i < 5; i++) {
		ASSERT_EQ(0, write_file(CPU1_ONLINE, "0"));
		EXPECT_TRUE(all_go_on(self->vms));
		ASSERT_EQ(0, write_file(CPU1_ONLINE, "1"));
		EXPECT_TRUE(all_go_on(self->vms));
	}
	EXPECT_EQ(0, stop_all(self->vms));
	EXPECT_TRUE(nothing_is_left());
}

/* A deadline @ms from now. */
static uint64_t arm(struct guest *g, unsigned int ms)
{
	uint64_t now = apic_get(g, apic_rdtsc, 0);
	uint64_t deadline = now + (uint64_t)ioctl(g->vcpu, KVM_GET_TSC_KHZ, 0) * ms;

	if (apic_set_reg(g, APIC_LVTT, APIC_LVT_TIMER_TSCDEADLINE | BUSY_VECTOR) ||
	    wrmsr(g, MSR_IA32_TSC_DEADLINE, deadline))
		return 0;
	return deadline;
}

static void expect_one_deadline(struct __test_metadata *_metadata, struct busy *b,
				uint64_t deadline)
{
	EXPECT_EQ(0, b->result);
	EXPECT_EQ(1, busy_ticks(b));
	EXPECT_LE(deadline, apic_cpu(&b->g, 0)->tsc);
	apic_destroy(&b->g, 1);
}

/* With its CPU goes what the guest's timer was armed in. */
TEST_F(host, an_armed_timer_outlives_its_cpu)
{
	static const uint8_t *const labels[] = { apic_spin, apic_await };

	NEEDS_TWO_CPUS();
	for (int i = 0; i < 2; i++) {
		struct busy *b = &self->vms[i];
		uint64_t deadline;

		ASSERT_EQ(0, apic_pin(1));
		ASSERT_EQ(0, apic_create(&b->g, 1, true));
		deadline = arm(&b->g, 500);
		apic_enter(&b->g, 0, APIC_AT(labels[i]), 0, 1);
		ASSERT_EQ(0, pthread_create(&b->thread, NULL, busy_thread, b));
		ASSERT_EQ(0, apic_pin(0));
		usleep(50000);
		ASSERT_EQ(0, write_file(CPU1_ONLINE, "0"));
		EXPECT_FALSE(b->over) TH_LOG("it was gone before its deadline");
		pthread_join(b->thread, NULL);
		expect_one_deadline(_metadata, b, deadline);
		ASSERT_EQ(0, write_file(CPU1_ONLINE, "1"));
	}
}

/* Its thread may move then: it is asked for another CPU, and loses nothing. */
TEST_F(host, a_dedicated_vcpu_outlives_its_cpu)
{
	struct busy *b = &self->vms[0];
	uint64_t deadline;

	NEEDS_TWO_CPUS();
	ASSERT_EQ(0, apic_pin(1));
	ASSERT_EQ(0, apic_create_dedicated(&b->g));
	deadline = arm(&b->g, 500);
	apic_enter(&b->g, 0, APIC_AT(apic_spin), 0, 1);
	ASSERT_EQ(0, pthread_create(&b->thread, NULL, busy_thread, b));
	ASSERT_EQ(0, apic_pin(0));
	usleep(50000);
	ASSERT_EQ(0, write_file(CPU1_ONLINE, "0"));
	pthread_join(b->thread, NULL);
	EXPECT_EQ(-EINVAL, b->result);
	EXPECT_EQ(0, busy_ticks(b));
	b->result = apic_resume(&b->g);
	expect_one_deadline(_metadata, b, deadline);
}

/* Its VMCS was active there. */
TEST_F(host, a_vcpu_at_rest_outlives_its_cpu)
{
	struct guest g;

	NEEDS_TWO_CPUS();
	ASSERT_EQ(0, apic_pin(1));
	ASSERT_EQ(0, apic_create(&g, 1, true));
	ASSERT_EQ(0, wrmsr(&g, 0x174, 0x1234));
	ASSERT_EQ(0, apic_pin(0));
	ASSERT_EQ(0, write_file(CPU1_ONLINE, "0"));
	EXPECT_EQ(0x1234, apic_get(&g, apic_rdmsr, 0x174));
	/* And a CPU that comes has VMX on. */
	ASSERT_EQ(0, write_file(CPU1_ONLINE, "1"));
	ASSERT_EQ(0, apic_pin(1));
	EXPECT_EQ(0x1234, apic_get(&g, apic_rdmsr, 0x174));
	apic_destroy(&g, 1);
}

/* --- suspend ---------------------------------------------------------------- */

TEST_F(host, does_not_sleep_under_running_vms)
{
	if (!exists("/sys/power/state"))
		SKIP(return, "this kernel cannot suspend");
	ASSERT_EQ(0, start_all(self->vms));
	EXPECT_EQ(-EBUSY, write_file("/sys/power/state", "freeze"));
	if (strstr(first_line("/sys/power/state"), "mem"))
		EXPECT_EQ(-EBUSY, write_file("/sys/power/state", "mem"));
	EXPECT_TRUE(all_go_on(self->vms)) TH_LOG("they were not even stopped");
	EXPECT_EQ(0, stop_all(self->vms));
}

/* As far as the kernel's own test of it goes: every CPU but one is off. */
TEST_F(host, sleeps_and_wakes_between_vms)
{
	bool deep = strstr(first_line("/sys/power/mem_sleep"), "deep");

	if (!exists("/sys/power/pm_test"))
		SKIP(return, "this kernel cannot try to suspend");
	write_file("/sys/module/suspend/parameters/pm_test_delay", "1");
	ASSERT_EQ(0, write_file("/sys/power/pm_test", deep ? "processors" : "devices"));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, start_all(self->vms));
		EXPECT_TRUE(all_go_on(self->vms));
		EXPECT_EQ(0, stop_all(self->vms));
		/* VMX stays on for a moment. */
		usleep(500000);
		EXPECT_EQ(0, write_file("/sys/power/state", deep ? "mem" : "freeze"));
	}
	write_file("/sys/power/pm_test", "none");
	ASSERT_EQ(0, start_all(self->vms));
	EXPECT_TRUE(all_go_on(self->vms));
	EXPECT_EQ(0, stop_all(self->vms));
}

/* --- the module ------------------------------------------------------------- */

/* Each file of a VM keeps the module, and all that it needs. */
TEST_F(host, any_file_of_a_vm_keeps_the_module)
{
	struct guest g;
	int fds[4];

	ASSERT_EQ(0, apic_create(&g, 1, true));
	fds[0] = ioctl(g.vm, KVM_GET_STATS_FD, NULL);
	fds[1] = ioctl(g.vcpu, KVM_GET_STATS_FD, NULL);
	fds[2] = g.vcpu;
	fds[3] = g.vm;
	close(g.device);
	for (int i = 0; i < 4; i++) {
		ASSERT_LE(0, fds[i]);
		EXPECT_EQ(-EAGAIN, module_unload());
		close(fds[i]);
	}
	/* What is left is the page that user space shares with the vCPU. */
	EXPECT_EQ(-EAGAIN, module_unload());
	EXPECT_EQ(1, guest_figure(RESOURCES, "vcpus"));
	EXPECT_EQ(KVM_EXIT_UNKNOWN, g.run->exit_reason);
	munmap(g.run, g.run_size);
	munmap(g.memory, GUEST_MEMORY);
	EXPECT_TRUE(nothing_is_left());
}

/* --- cgroups ---------------------------------------------------------------- */

static int cgroup_create(void)
{
	if (!exists("/sys/fs/cgroup/cgroup.controllers"))
		return -ENOENT;
	write_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	return mkdir(CGROUP, 0755) ? -errno : 0;
}

#define NEEDS_CGROUPS(what)                                                    \
	do {                                                                   \
		if (cgroup_create() || !exists(CGROUP "/" what)) {             \
			rmdir(CGROUP);                                         \
			SKIP(return, "this kernel has no cgroups with " what); \
		}                                                              \
	} while (0)

static int cgroup_set(const char *file, unsigned long value)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), CGROUP "/%s", file);
	snprintf(text, sizeof(text), "%lu", value);
	return write_file(path, text);
}

/* Nobody is in it any more, and no page is charged to what was it. */
static bool cgroup_goes(void)
{
	for (int i = 0; i < 500; i++) {
		if (exists(CGROUP))
			rmdir(CGROUP);
		else if (!guest_figure("/sys/fs/cgroup/cgroup.stat", "nr_dying_descendants"))
			return true;
		usleep(10000);
	}
	return false;
}

/* Waits for it: the kernel stops one task after the other. */
static bool cgroup_freeze(bool frozen)
{
	cgroup_set("cgroup.freeze", frozen);
	for (int i = 0; i < 1000; i++) {
		if (guest_figure(CGROUP "/cgroup.events", "frozen") == frozen)
			return true;
		usleep(1000);
	}
	return false;
}

/* What another process has in a guest's memory. */
static struct apic_cpu peek(pid_t pid, const struct guest *g)
{
	struct apic_cpu cpu = {};
	struct iovec here = { &cpu, sizeof(cpu) };
	struct iovec there = { (void *)apic_cpu(g, 0), sizeof(cpu) };

	process_vm_readv(pid, &here, 1, &there, 1, 0);
	return cpu;
}

/* By a process outside, while our own are frozen: how many VMs went on nevertheless. */
static int freeze_and_look(pid_t pid, const struct busy *vms, int n)
{
	struct apic_cpu before[VMS];
	int moved = 0;

	if (!cgroup_freeze(true))
		return 100;
	for (int i = 0; i < n; i++)
		before[i] = peek(pid, &vms[i].g);
	usleep(500000);
	for (int i = 0; i < n; i++) {
		struct apic_cpu now = peek(pid, &vms[i].g);

		moved += now.count != before[i].count || now.mail != before[i].mail;
	}
	return cgroup_freeze(false) ? moved : 101;
}

/* Freezes us for a while: 0 if all VMs stood still. */
static int freeze_for_a_while(const struct busy *vms, int n)
{
	int status = -1;
	pid_t child;

	cgroup_set("cgroup.procs", getpid());
	child = fork();
	if (!child) {
		write_file("/sys/fs/cgroup/cgroup.procs", "0");
		_exit(freeze_and_look(getppid(), vms, n));
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	write_file("/sys/fs/cgroup/cgroup.procs", "0");
	return status;
}

TEST_F(host, frozen_vms_stand_still_and_go_on)
{
	NEEDS_CGROUPS("cgroup.freeze");
	ASSERT_EQ(0, start_all(self->vms));
	for (int i = 0; i < 3; i++) {
		EXPECT_TRUE(all_go_on(self->vms));
		EXPECT_EQ(0, freeze_for_a_while(self->vms, VMS));
	}
	EXPECT_TRUE(all_go_on(self->vms));
	EXPECT_EQ(0, stop_all(self->vms));
	EXPECT_EQ(0, rmdir(CGROUP));
}

/* One that is over while the guest is frozen comes once, when it is thawed. */
TEST_F(host, a_timer_is_late_in_a_frozen_vm_and_not_lost)
{
	static const uint8_t *const labels[] = { apic_spin, apic_await };
	uint64_t deadlines[2];

	NEEDS_CGROUPS("cgroup.freeze");
	for (int i = 0; i < 2; i++) {
		struct busy *b = &self->vms[i];

		ASSERT_EQ(0, apic_create(&b->g, 1, true));
		deadlines[i] = arm(&b->g, 300);
		apic_enter(&b->g, 0, APIC_AT(labels[i]), 0, 1);
		ASSERT_EQ(0, pthread_create(&b->thread, NULL, busy_thread, b));
	}
	EXPECT_EQ(0, freeze_for_a_while(self->vms, 2));
	for (int i = 0; i < 2; i++) {
		pthread_join(self->vms[i].thread, NULL);
		expect_one_deadline(_metadata, &self->vms[i], deadlines[i]);
	}
	EXPECT_EQ(0, rmdir(CGROUP));
}

/* --- memory ----------------------------------------------------------------- */

/* In the cgroup, which may have so much: the signal that ends @body, or 0. */
static int in_cgroup(unsigned long limit, void (*body)(void))
{
	pid_t child;
	int status;

	cgroup_set("memory.max", limit);
	cgroup_set("memory.swap.max", 0);
	child = fork();
	if (!child) {
		if (cgroup_set("cgroup.procs", getpid()))
			_exit(1);
		body();
		_exit(0);
	}
	waitpid(child, &status, 0);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

GUEST_ASM(code_touch, 32, "1: incl (%edi)\n add $0x1000, %edi\n jmp 1b");

/* A guest that touches all of its memory, over and over. */
static void touch_memory(size_t size)
{
	struct guest g;
	struct kvm_regs regs;
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	madvise(memory, size, MADV_NOHUGEPAGE);
	if (guest_create(&g, code_touch, GUEST_SIZE(code_touch)) ||
	    guest_memory(g.vm, 1, 0, 16 * MIB, size, memory))
		return;
	guest_to_flat_mode(&g);
	regs = guest_regs(&g);
	regs.rdi = 16 * MIB;
	ioctl(g.vcpu, KVM_SET_REGS, &regs);
	guest_run(&g);
}

static void touch_128_mib(void)
{
	touch_memory(128 * MIB);
}

TEST_F(host, guest_memory_is_charged_to_its_owners_cgroup)
{
	NEEDS_CGROUPS("memory.max");
	EXPECT_EQ(SIGKILL, in_cgroup(32 * MIB, touch_128_mib));
	EXPECT_LT(0, guest_figure(CGROUP "/memory.events", "oom_kill"));
	EXPECT_TRUE(nothing_is_left());
	EXPECT_TRUE(cgroup_goes());
}

static void create_vms(int n)
{
	for (int vm = 0; vm < n; vm++) {
		struct guest g;

		apic_create_vm(&g);
		for (int id = 0; id < 64; id++)
			ioctl(g.vm, KVM_CREATE_VCPU, id);
	}
}

static void create_15_vms(void)
{
	create_vms(15);
}

/* So many vCPUs take more than that, and nobody could stop who makes them. */
TEST_F(host, a_cgroup_limits_what_vms_take_of_the_kernel)
{
	NEEDS_CGROUPS("memory.max");
	EXPECT_EQ(SIGKILL, in_cgroup(8 * MIB, create_15_vms));
	EXPECT_TRUE(nothing_is_left());
	EXPECT_TRUE(cgroup_goes());
}

static long charged(void)
{
	return atol(first_line(CGROUP "/memory.current"));
}

/* In the cgroup: how much that charges it. Each CPU has up to 64 pages in reserve. */
static long charge_of(void (*body)(void))
{
	long *charge = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	long result = -1;
	pid_t child;

	/* The page is ours. */
	*charge = 0;
	child = fork();
	if (!child) {
		cgroup_set("cgroup.procs", getpid());
		*charge = -charged();
		body();
		*charge += charged();
		_exit(0);
	}
	waitpid(child, NULL, 0);
	result = *charge + 2 * 64 * 4096;
	munmap(charge, 4096);
	return result;
}

#define VCPU_PAGES 6

static void create_4_vms(void)
{
	create_vms(4);
}

TEST_F(host, vcpus_are_charged_to_their_owners_cgroup)
{
	NEEDS_CGROUPS("memory.max");
	/* What is shared with user space, the VMCS, the virtual APIC, its state and the FPU's. */
	EXPECT_LE(4 * 64 * VCPU_PAGES * 4096, charge_of(create_4_vms));
	EXPECT_TRUE(cgroup_goes());
}

#define TABLES 400

/* One page in as many GiB: each has tables of its own. */
static void map_sparsely(void)
{
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct kvm_pre_fault_memory range;
	struct guest g;

	apic_create(&g, 1, true);
	for (int i = 1; i <= TABLES; i++) {
		range = (struct kvm_pre_fault_memory){ .gpa = (uint64_t)i << 30, .size = 4096 };
		if (guest_memory(g.vm, i, 0, range.gpa, 4096, memory) ||
		    ioctl(g.vcpu, KVM_PRE_FAULT_MEMORY, &range))
			_exit(1);
	}
}

TEST_F(host, page_tables_are_charged_to_their_owners_cgroup)
{
	NEEDS_CGROUPS("memory.max");
	EXPECT_LE(2 * TABLES * 4096, charge_of(map_sparsely));
	EXPECT_TRUE(cgroup_goes());
}

/* The owner of the memory is chosen; it is given back whatever holds it pinned. */
TEST_F(host, out_of_memory_ends_a_vm_and_frees_all)
{
	unsigned long size = guest_figure("/proc/meminfo", "MemTotal") * 1024;
	struct guest g;
	int status;
	pid_t child;

	if (size > 1024 * MIB)
		SKIP(return, "this host has too much memory for it");
	child = fork();
	if (!child) {
		write_file("/proc/self/oom_score_adj", "1000");
		touch_memory(size);
		_exit(0);
	}
	waitpid(child, &status, 0);
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	EXPECT_TRUE(nothing_is_left());
	/* And the next one is none the worse for it. */
	ASSERT_EQ(0, apic_create(&g, 1, true));
	EXPECT_EQ(0, apic_do(&g, apic_nothing, 0, 0));
	apic_destroy(&g, 1);
}

TEST_HARNESS_MAIN
