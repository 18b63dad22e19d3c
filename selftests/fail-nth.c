// SPDX-License-Identifier: GPL-2.0-only
/*
 * No memory: see fail-nth-walk.h.
 *
 * In a test host with --kernel debug, --with dragonfly; kmemleak=on sees more. ONLY in the
 * environment is a part of the names of the operations that it is to be.
 */
#include "kselftest_harness.h"
#include "fail-nth-walk.h"

/* --- scenes --- */

static int with_device(struct scene *s)
{
	vcpu(s)->device = guest_device();
	return vcpu(s)->device < 0;
}

static int with_vm(struct scene *s)
{
	return guest_create_vm(vcpu(s));
}

/* In flat mode: what it is to read or write is up to guest_poke(). */
static int with_vcpu(struct scene *s)
{
	int err = guest_create(vcpu(s), "\xf4", 1);

	if (!err)
		guest_to_flat_mode(vcpu(s));
	return err;
}

static int with_kernel_memory(struct scene *s, size_t size, int flags)
{
	s->size = size;
	s->memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags,
			 -1, 0);
	if (s->memory == MAP_FAILED)
		s->memory = NULL;
	return !s->memory;
}

static int set_slot(struct scene *s, uint32_t flags, uint64_t gpa)
{
	return guest_memory(vm(s), SLOT, flags, gpa, s->size, s->memory);
}

static int with_memory(struct scene *s)
{
	return with_vcpu(s) ?: with_kernel_memory(s, 64 * 0x1000, 0);
}

static int with_slot(struct scene *s)
{
	return with_memory(s) ?: set_slot(s, 0, BASE);
}

static int with_logged_slot(struct scene *s)
{
	return with_memory(s)					  ?:
		       set_slot(s, KVM_MEM_LOG_DIRTY_PAGES, BASE) ?:
		       guest_poke(vcpu(s), BASE + 0x3000, 1) != KVM_EXIT_HLT;
}

static int with_huge_slot(struct scene *s)
{
	return write_file("/proc/sys/vm/nr_hugepages", "2")			?:
		       with_vcpu(s)						?:
		       with_kernel_memory(s, HUGE_PAGE, MAP_HUGETLB | 21 << 26) ?:
		       set_slot(s, 0, BASE);
}

/* Mapped by one entry, which a log has to split. */
static int with_touched_huge_slot(struct scene *s)
{
	return with_huge_slot(s) || guest_poke(vcpu(s), BASE, 1) != KVM_EXIT_HLT ||
	       guest_stat(vm(s), "pages_2m") != 1;
}

/* All dirty at first: the log is split when it is cleared. */
static int with_huge_log(struct scene *s)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = { 3 } };

	return with_touched_huge_slot(s)		  ?:
		       ioctl(vm(s), KVM_ENABLE_CAP, &cap) ?:
		       set_slot(s, KVM_MEM_LOG_DIRTY_PAGES, BASE);
}

static int with_device_slot(struct scene *s)
{
	return with_device_pages(s) ?: guest_create_vcpu(vcpu(s), 0) ?: set_slot(s, 0, BASE);
}

/* About to store there. */
static int will_touch(struct scene *s, uint64_t gpa)
{
	struct kvm_regs regs;

	guest_load(vcpu(s), guest_code_fill, GUEST_SIZE(guest_code_fill));
	regs = guest_regs(vcpu(s));
	regs.rdi = gpa;
	regs.rcx = 1;
	regs.rax = 0x1234;
	return ioctl(vcpu(s)->vcpu, KVM_SET_REGS, &regs);
}

static int with_untouched_slot(struct scene *s)
{
	return with_slot(s) ?: will_touch(s, BASE);
}

static int with_untouched_log(struct scene *s)
{
	return with_logged_slot(s) ?: will_touch(s, BASE);
}

static int with_untouched_huge_slot(struct scene *s)
{
	return with_huge_slot(s) ?: will_touch(s, BASE);
}

static int with_store_to_nowhere(struct scene *s)
{
	return with_vcpu(s) ?: will_touch(s, BASE);
}

static int with_stats(struct scene *s)
{
	int err = with_vcpu(s);

	if (!err)
		s->fd = ioctl(vcpu(s)->vcpu, KVM_GET_STATS_FD, NULL);
	return err ?: s->fd < 0;
}

/* --- operations --- */

static int run_device(struct scene *s)
{
	return result_of(ioctl(vcpu(s)->device, s->o->cmd, s->buffer));
}

static int run_vm(struct scene *s)
{
	return result_of(ioctl(vm(s), s->o->cmd, s->buffer));
}

static int run_vcpu(struct scene *s)
{
	return result_of(ioctl(vcpu(s)->vcpu, s->o->cmd, s->buffer));
}

/* An argument that its counterpart has filled. */
static int set_vcpu(struct scene *s)
{
	return ioctl(vcpu(s)->vcpu, s->o->get, s->buffer) < 0 ? -errno : run_vcpu(s);
}

static int set_offset(struct scene *s)
{
	const struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)s->buffer,
	};

	return result_of(ioctl(vcpu(s)->vcpu, KVM_SET_DEVICE_ATTR, &attr));
}

static int open_device(struct scene *s __attribute__((unused)))
{
	return result_of(guest_device());
}

static int create_vm(struct scene *s)
{
	return result_of(ioctl(vcpu(s)->device, KVM_CREATE_VM, 0));
}

static int add_slot(struct scene *s)
{
	return result_of(set_slot(s, 0, BASE));
}

static int add_logged_slot(struct scene *s)
{
	return result_of(set_slot(s, KVM_MEM_LOG_DIRTY_PAGES, BASE));
}

static int move_and_log_slot(struct scene *s)
{
	return result_of(set_slot(s, KVM_MEM_LOG_DIRTY_PAGES, 2 * BASE));
}

static int delete_slot(struct scene *s)
{
	return result_of(guest_memory(vm(s), SLOT, 0, BASE, 0, NULL));
}

static int get_log(struct scene *s)
{
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = s->buffer };

	return result_of(ioctl(vm(s), KVM_GET_DIRTY_LOG, &log));
}

static int clear_log(struct scene *s)
{
	struct kvm_clear_dirty_log log = { .slot = SLOT,
					   .num_pages = s->size / 0x1000,
					   .dirty_bitmap = s->buffer };

	memset(s->buffer, 0xff, sizeof(s->buffer));
	return result_of(ioctl(vm(s), KVM_CLEAR_DIRTY_LOG, &log));
}

static int enable_split(struct scene *s)
{
	return result_of(apic_enable_cap(vm(s), KVM_CAP_SPLIT_IRQCHIP, 24));
}

static int enable_dedicated(struct scene *s)
{
	return result_of(apic_enable_cap(vm(s), DRAGONFLY_CAP_DEDICATED, 1));
}

static int enable_timer(struct scene *s)
{
	return result_of(apic_enable_cap(vm(s), DRAGONFLY_CAP_EXITLESS, DRAGONFLY_EXITLESS_TIMER));
}

static int enable_notifier(struct scene *s)
{
	return result_of(apic_enable_cap(vm(s), DRAGONFLY_CAP_EXITLESS,
					 DRAGONFLY_EXITLESS_TIMER | DRAGONFLY_EXITLESS_IPI));
}

static int map_area(struct scene *s)
{
	void *at;

	s->size = sizeof(struct dragonfly_area);
	at = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_SHARED, vm(s), 0);
	if (at == MAP_FAILED)
		return -errno;
	s->memory = at;
	return 0;
}

static int map_run(struct scene *s)
{
	struct guest *g = vcpu(s);
	void *at = mmap(NULL, g->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, g->vcpu, 0);

	return at == MAP_FAILED ? -errno : munmap(at, g->run_size);
}

static int set_filter(struct scene *s)
{
	uint8_t bits[16] = {};
	struct kvm_msr_filter filter = {
		.ranges = {
			{ .flags = KVM_MSR_FILTER_READ, .base = 0x10, .nmsrs = 64, .bitmap = bits },
			{ .flags = KVM_MSR_FILTER_WRITE, .base = 0, .nmsrs = 3, .bitmap = bits },
		},
	};

	return result_of(ioctl(vm(s), KVM_X86_SET_MSR_FILTER, &filter));
}

static int read_stats(struct scene *s)
{
	return result_of(pread(s->fd, s->buffer, sizeof(s->buffer), 0));
}

static int pre_fault(struct scene *s)
{
	struct kvm_pre_fault_memory range = { .gpa = BASE, .size = s->size };
	int err;

	do
		err = ioctl(vcpu(s)->vcpu, KVM_PRE_FAULT_MEMORY, &range);
	while (!err && range.size);
	return result_of(err);
}

/* What happens on the way to a HLT; what was not done is done when it is repeated. */
static int run_guest(struct scene *s)
{
	int reason = guest_run_to_halt(vcpu(s));

	return reason == KVM_EXIT_HLT ? 0 : reason < 0 ? reason : -EPROTO;
}

/* --- what they have done --- */

static bool is_touched(struct scene *s)
{
	return *(uint32_t *)s->memory == 0x1234;
}

static bool can_touch(struct scene *s)
{
	return guest_poke(vcpu(s), BASE, 0x1234) == KVM_EXIT_HLT && is_touched(s);
}

/* It is behind a slot that was moved. */
static bool is_moved(struct scene *s)
{
	return guest_poke(vcpu(s), 2 * BASE, 0x1234) == KVM_EXIT_HLT && is_touched(s) &&
	       !get_log(s) && s->buffer[0] & 1;
}

static bool logs(struct scene *s)
{
	return can_touch(s) && !get_log(s) && s->buffer[0] & 1;
}

static bool has_logged(struct scene *s)
{
	return s->buffer[0] == 1 << 3;
}

static const struct operation operations[] = {
	OPERATION("open", NULL, open_device, .makes = true),
	OPERATION("KVM_CREATE_VM", with_device, create_vm, .makes = true),
	OPERATION("KVM_CREATE_VCPU", with_vm, run_plain, .cmd = KVM_CREATE_VCPU, .makes = true),
	OPERATION("KVM_CREATE_VCPU with a local APIC", with_irqchip, run_plain,
		  .cmd = KVM_CREATE_VCPU, .makes = true),
	OPERATION("KVM_CREATE_VCPU with an area", with_area, run_plain, .cmd = KVM_CREATE_VCPU,
		  .makes = true),
	OPERATION("KVM_GET_STATS_FD of a VM", with_vm, run_plain, .cmd = KVM_GET_STATS_FD,
		  .makes = true),
	OPERATION("KVM_GET_STATS_FD of a vCPU", with_vcpu, run_plain, .cmd = KVM_GET_STATS_FD,
		  .makes = true),
	OPERATION("reading statistics", with_stats, read_stats),
	OPERATION("mmap() of a vCPU", with_vcpu, map_run),
	OPERATION("mmap() of an area", with_area, map_area),
	OPERATION("KVM_SET_USER_MEMORY_REGION", with_memory, add_slot, .worked = can_touch),
	OPERATION("a slot with a log", with_memory, add_logged_slot, .worked = logs),
	OPERATION("a log for a slot", with_slot, add_logged_slot, .worked = logs),
	OPERATION("a log for a slot of large pages", with_touched_huge_slot, add_logged_slot,
		  .worked = logs),
	OPERATION("a slot that is moved, and logged", with_slot, move_and_log_slot,
		  .worked = is_moved, .kept = can_touch),
	OPERATION("a slot that is deleted", with_slot, delete_slot),
	OPERATION("KVM_GET_DIRTY_LOG", with_logged_slot, get_log, .worked = has_logged),
	OPERATION("KVM_CLEAR_DIRTY_LOG", with_logged_slot, clear_log, .worked = logs),
	OPERATION("KVM_CLEAR_DIRTY_LOG of large pages", with_huge_log, clear_log, .worked = logs),
	OPERATION("KVM_CREATE_IRQCHIP", with_vm, run_plain, .cmd = KVM_CREATE_IRQCHIP),
	OPERATION("KVM_CAP_SPLIT_IRQCHIP", with_vm, enable_split),
	OPERATION("DRAGONFLY_CAP_DEDICATED", with_irqchip, enable_dedicated),
	OPERATION("DRAGONFLY_CAP_EXITLESS", with_dedicated, enable_timer),
	OPERATION("DRAGONFLY_CAP_EXITLESS with a notifier", with_dedicated, enable_notifier),
	OPERATION("KVM_X86_SET_MSR_FILTER", with_vcpu, set_filter),
	OPERATION("KVM_GET_SUPPORTED_CPUID", with_device, run_device,
		  .cmd = KVM_GET_SUPPORTED_CPUID, .arg = 100),
	OPERATION("KVM_GET_MSR_INDEX_LIST", with_device, run_device, .cmd = KVM_GET_MSR_INDEX_LIST,
		  .arg = 500),
	OPERATION("KVM_GET_MSR_FEATURE_INDEX_LIST", with_device, run_device,
		  .cmd = KVM_GET_MSR_FEATURE_INDEX_LIST, .arg = 500),
	OPERATION("KVM_GET_MSRS of features", with_device, run_device, .cmd = KVM_GET_MSRS,
		  .arg = 2),
	OPERATION("KVM_SET_GUEST_DEBUG", with_vcpu, run_vcpu, .cmd = KVM_SET_GUEST_DEBUG),
	OPERATION("KVM_SET_VAPIC_ADDR", with_apic, run_vcpu, .cmd = KVM_SET_VAPIC_ADDR),
	OPERATION("KVM_TPR_ACCESS_REPORTING", with_vcpu, run_vcpu, .cmd = KVM_TPR_ACCESS_REPORTING),
	OPERATION("KVM_ENABLE_CAP of a vCPU", with_vcpu, run_vcpu, .cmd = KVM_ENABLE_CAP,
		  .arg = KVM_CAP_ENFORCE_PV_FEATURE_CPUID),
	OPERATION("KVM_X86_SETUP_MCE", with_apic, run_vcpu, .cmd = KVM_X86_SETUP_MCE, .arg = 8),
	OPERATION("KVM_X86_SET_MCE", with_apic, run_vcpu, .cmd = KVM_X86_SET_MCE, .arg = 1UL << 63),
	OPERATION("KVM_SET_DEVICE_ATTR", with_vcpu, set_offset),
	OPERATION("KVM_INTERRUPT", with_vcpu, run_vcpu, .cmd = KVM_INTERRUPT, .arg = 32),
	OPERATION("KVM_GET_CLOCK", with_vm, run_vm, .cmd = KVM_GET_CLOCK),
	OPERATION("KVM_SET_CLOCK", with_vm, run_vm, .cmd = KVM_SET_CLOCK),
	OPERATION("KVM_RUN, the first touch of memory", with_untouched_slot, run_guest,
		  .worked = is_touched),
	OPERATION("KVM_RUN, that of a log", with_untouched_log, run_guest, .worked = logs),
	OPERATION("KVM_RUN, that of a large page", with_untouched_huge_slot, run_guest,
		  .worked = is_touched),
	OPERATION("KVM_RUN with MMIO", with_store_to_nowhere, run_guest),
	OPERATION("KVM_PRE_FAULT_MEMORY", with_slot, pre_fault, .worked = can_touch),
	OPERATION("KVM_PRE_FAULT_MEMORY of a device", with_device_slot, pre_fault),
};

/* Of a vCPU, what is read first, and then may be written again. */
#define STATE(name)                                              \
	{                                                        \
		"KVM_SET_" #name, KVM_GET_##name, KVM_SET_##name \
	}

static const struct {
	const char *name;
	unsigned long get, set;
} states[] = {
	STATE(REGS),
	STATE(SREGS),
	STATE(SREGS2),
	STATE(FPU),
	STATE(XSAVE),
	STATE(XCRS),
	STATE(DEBUGREGS),
	STATE(VCPU_EVENTS),
	STATE(MP_STATE),
	STATE(LAPIC),
	STATE(MSRS),
	STATE(CPUID2),
	{ "KVM_GET_XSAVE2", KVM_GET_XSAVE2, KVM_SET_XSAVE },
};

FIXTURE(fail_nth){};

FIXTURE_SETUP(fail_nth)
{
	if (!fail_nth_prepare())
		SKIP(return, "this kernel injects no faults");
	/* Large pages only where they are asked for. */
	ASSERT_EQ(0, prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
}

FIXTURE_TEARDOWN(fail_nth)
{
}

TEST_F_TIMEOUT(fail_nth, each_allocation_of_each_operation, 3600)
{
	walk_all(_metadata, operations, ARRAY_SIZE(operations));
}

TEST_F_TIMEOUT(fail_nth, each_allocation_of_each_ioctl_of_a_vcpus_state, 3600)
{
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		struct operation set = OPERATION(states[i].name, with_apic, set_vcpu,
						 .cmd = states[i].set, .get = states[i].get,
						 .arg = 100);

		walk(_metadata, &set);
	}
}

TEST_HARNESS_MAIN
