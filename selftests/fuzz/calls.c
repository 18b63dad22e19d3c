// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every ioctl, with an argument as it should be, before some of it is changed.
 */
#include <sys/eventfd.h>

#include "../irq.h"
#include "fuzz.h"

#pragma GCC diagnostic ignored "-Woverride-init"

/* Newer than Debian 12's <linux/kvm.h>. */
#ifndef KVM_CAP_X86_APIC_BUS_CYCLES_NS
#define KVM_CAP_X86_APIC_BUS_CYCLES_NS 237
#endif

enum kind { DEVICE, VM, VCPU, OTHER };

/**
 * struct call - an ioctl
 * @name: its own
 * @cmd: its number
 * @on: whose it is
 * @is_number: its argument is, and no pointer
 * @get: another that fills the argument
 * @fill: what else does
 * @fragile: what is no signal mask any more could block the signals that end a run
 */
struct call {
	const char *name;
	unsigned long cmd;
	enum kind on;
	bool is_number;
	unsigned long get;
	void (*fill)(struct fuzzer *f, void *argument);
	bool fragile;
};

/* --- arguments ----------------------------------------------------------------- */

static int event(struct fuzzer *f)
{
	return f->world->events[fuzz_below(f, FUZZ_EVENTS)];
}

/* For arrays: how many, and a size that goes with it. */
static void fill_count(struct fuzzer *f, void *argument)
{
	uint32_t count = fuzz_one_in(f, 4) ? fuzz_value(f) : 256;

	memcpy(argument, &count, sizeof(count));
}

static void fill_cpuid(struct fuzzer *f, void *argument)
{
	struct kvm_cpuid2 *cpuid = argument;

	cpuid->nent = 256;
	if (ioctl(f->world->device, KVM_GET_SUPPORTED_CPUID, cpuid))
		return;
	for (unsigned int i = fuzz_below(f, 4); i; i--) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[fuzz_below(f, cpuid->nent)];

		e->eax ^= 1U << fuzz_below(f, 32);
		e->ecx ^= 1U << fuzz_below(f, 32);
	}
}

static void fill_msrs(struct fuzzer *f, void *argument)
{
	struct kvm_msr_list *list = argument;
	struct kvm_msrs *msrs = argument;
	uint32_t known[512] = {}, n;

	list->nmsrs = 500;
	if (ioctl(f->world->device, KVM_GET_MSR_INDEX_LIST, list))
		return;
	n = list->nmsrs;
	memcpy(known, list->indices, n * sizeof(known[0]));
	msrs->nmsrs = 1 + fuzz_below(f, 8);
	for (uint32_t i = 0; i < msrs->nmsrs; i++)
		msrs->entries[i] = (struct kvm_msr_entry){
			.index = fuzz_one_in(f, 8) ? fuzz_value(f) : known[fuzz_below(f, n)],
			.data = fuzz_value(f),
		};
}

static uint64_t in_window(struct fuzzer *f)
{
	struct fuzz_vm *vm = fuzz_vm(f);

	switch (fuzz_below(f, 8)) {
	case 0:
		return (uintptr_t)vm->area;
	case 1:
		return (uintptr_t)vm->memory;
	default:
		return (uintptr_t)vm->window + (fuzz_below(f, 2) ? 0 : fuzz_below(f, 1024) << 12);
	}
}

/* Each slot has its own place, most of the time. */
static void fill_region(struct fuzzer *f, void *argument)
{
	static const uint32_t flags[] = { 0, 0, KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY };
	static const uint64_t pages[] = { 0, 1, 16, 64, 64, 64, 512 };
	uint32_t slot = 1 + fuzz_below(f, FUZZ_SLOTS - 1);
	uint64_t gpa = fuzz_one_in(f, 4) ? fuzz_gpa(f) & ~0xfffUL : FUZZ_SLOT_GPA(slot);

	*(struct kvm_userspace_memory_region *)argument = (struct kvm_userspace_memory_region){
		.slot = slot,
		.flags = FUZZ_PICK(f, flags),
		.guest_phys_addr = gpa,
		.memory_size = FUZZ_PICK(f, pages) << 12,
		.userspace_addr = in_window(f),
	};
}

static void fill_log(struct fuzzer *f, void *argument)
{
	*(struct kvm_dirty_log *)argument = (struct kvm_dirty_log){
		.slot = fuzz_below(f, FUZZ_SLOTS),
		.dirty_bitmap = f->buffer + 0x2000,
	};
}

static void fill_clear_log(struct fuzzer *f, void *argument)
{
	*(struct kvm_clear_dirty_log *)argument = (struct kvm_clear_dirty_log){
		.slot = fuzz_below(f, FUZZ_SLOTS),
		.num_pages = 64,
		.dirty_bitmap = f->buffer + 0x2000,
	};
	for (unsigned int i = 0; i < 16; i++)
		((uint64_t *)(f->buffer + 0x2000))[i] = fuzz_random(f);
}

static void fill_cap(struct fuzzer *f, void *argument)
{
	static const uint32_t caps[] = {
		KVM_CAP_SPLIT_IRQCHIP,
		KVM_CAP_X2APIC_API,
		KVM_CAP_MAX_VCPU_ID,
		KVM_CAP_X86_USER_SPACE_MSR,
		KVM_CAP_X86_DISABLE_EXITS,
		DRAGONFLY_CAP_DEDICATED,
		DRAGONFLY_CAP_EXITLESS,
		KVM_CAP_MSR_PLATFORM_INFO,
		KVM_CAP_X86_APIC_BUS_CYCLES_NS,
		KVM_CAP_EXIT_ON_EMULATION_FAILURE,
		KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		KVM_CAP_ENFORCE_PV_FEATURE_CPUID,
	};
	struct kvm_enable_cap *cap = argument;

	cap->cap = fuzz_one_in(f, 20) ? fuzz_value(f) : FUZZ_PICK(f, caps);
	cap->args[0] = fuzz_one_in(f, 4) ? fuzz_value(f) : fuzz_below(f, 4);
	cap->args[1] = fuzz_below(f, f->world->cpus);
}

static struct dragonfly_msi message(struct fuzzer *f)
{
	static const uint32_t modes[] = { 0, 0, 0, 0x100, 0x400, 0x500, 0x600, IRQ_LEVEL };

	return (struct dragonfly_msi){
		.address_lo = IRQ_TO(fuzz_below(f, 4)) | (fuzz_one_in(f, 4) ? IRQ_LOGICAL : 0),
		.data = (16 + fuzz_below(f, 240)) | FUZZ_PICK(f, modes),
		.flags = fuzz_one_in(f, 4),
	};
}

static void fill_msi(struct fuzzer *f, void *argument)
{
	struct dragonfly_msi msi = message(f);

	*(struct kvm_msi *)argument =
		(struct kvm_msi){ .address_lo = msi.address_lo, .data = msi.data };
}

static void fill_queue_msi(struct fuzzer *f, void *argument)
{
	*(struct dragonfly_msi *)argument = message(f);
}

static void fill_routing(struct fuzzer *f, void *argument)
{
	struct kvm_irq_routing *routing = argument;

	routing->nr = fuzz_below(f, 8);
	for (uint32_t i = 0; i < routing->nr; i++) {
		struct dragonfly_msi msi = message(f);

		routing->entries[i] = irq_msi(i * (1 + fuzz_below(f, 3)), msi.address_lo, msi.data);
	}
}

static void fill_line(struct fuzzer *f, void *argument)
{
	*(struct kvm_irq_level *)argument =
		(struct kvm_irq_level){ .irq = fuzz_below(f, 24), .level = fuzz_below(f, 2) };
}

static void fill_irqfd(struct fuzzer *f, void *argument)
{
	static const uint32_t flags[] = { 0, 0, KVM_IRQFD_FLAG_DEASSIGN, KVM_IRQFD_FLAG_RESAMPLE };

	*(struct kvm_irqfd *)argument = (struct kvm_irqfd){
		.fd = event(f),
		.gsi = fuzz_below(f, 8),
		.flags = FUZZ_PICK(f, flags),
		.resamplefd = event(f),
	};
}

static void fill_ioeventfd(struct fuzzer *f, void *argument)
{
	static const uint32_t lengths[] = { 0, 1, 2, 4, 8 };

	*(struct kvm_ioeventfd *)argument = (struct kvm_ioeventfd){
		.addr = fuzz_one_in(f, 2) ? 0x10 + fuzz_below(f, 4) : fuzz_gpa(f),
		.len = FUZZ_PICK(f, lengths),
		.fd = event(f),
		.flags = fuzz_below(f, KVM_IOEVENTFD_VALID_FLAG_MASK + 1),
		.datamatch = fuzz_below(f, 3),
	};
}

static void fill_queue(struct fuzzer *f, void *argument)
{
	struct dragonfly_queue *queue = argument;
	bool doorbell = fuzz_one_in(f, 3);

	*queue = (struct dragonfly_queue){
		.notify_gpa = doorbell ? fuzz_gpa(f) & ~0xfffUL : fuzz_gpa(f),
		.notify_len = doorbell ? 0 : 1U << fuzz_below(f, 4),
		.flags = (doorbell ? DRAGONFLY_QUEUE_DOORBELL : 0) |
			 (fuzz_one_in(f, 2) ? DRAGONFLY_QUEUE_MSI : 0),
		.doorbell = doorbell ? (uintptr_t)fuzz_vm(f)->area : 0,
		.kick_fd = doorbell || fuzz_one_in(f, 4) ? -1 : event(f),
		.call_fd = fuzz_one_in(f, 4) ? -1 : event(f),
		.msi = message(f),
	};
}

static void fill_filter(struct fuzzer *f, void *argument)
{
	static const uint32_t bases[] = { 0, 0x10, 0x174, 0x800, 0xc0000080, 0xc0000100 };
	struct kvm_msr_filter *filter = argument;

	filter->flags = fuzz_one_in(f, 2);
	for (unsigned int i = fuzz_below(f, 4); i; i--)
		filter->ranges[i] = (struct kvm_msr_filter_range){
			.flags = 1 + fuzz_below(f, 3),
			.base = FUZZ_PICK(f, bases),
			.nmsrs = 1 + fuzz_below(f, 256),
			.bitmap = f->buffer + 0x2000,
		};
}

/* Never the signal that ends a run. */
static void fill_signals(struct fuzzer *f, void *argument)
{
	struct kvm_signal_mask *mask = argument;
	uint64_t signals = fuzz_random(f) & ~(1UL << (SIGUSR1 - 1));

	mask->len = sizeof(signals);
	memcpy(mask->sigset, &signals, sizeof(signals));
}

static void fill_attr(struct fuzzer *f, void *argument)
{
	*(uint64_t *)(f->buffer + 0x2000) = fuzz_one_in(f, 2) ? 0 : fuzz_value(f);
	*(struct kvm_device_attr *)argument = (struct kvm_device_attr){
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)f->buffer + 0x2000,
	};
}

static void fill_range(struct fuzzer *f, void *argument)
{
	*(struct kvm_pre_fault_memory *)argument =
		(struct kvm_pre_fault_memory){ .gpa = fuzz_gpa(f) & ~0xfffUL,
					       .size = (1 + fuzz_below(f, 64)) << 12 };
}

static void fill_word(struct fuzzer *f, void *argument)
{
	*(uint64_t *)argument = fuzz_value(f);
}

static void fill_mce(struct fuzzer *f, void *argument)
{
	*(struct kvm_x86_mce *)argument = (struct kvm_x86_mce){
		.status = 1UL << 63 | fuzz_value(f),
		.addr = fuzz_value(f),
		.mcg_status = fuzz_below(f, 8),
		.bank = fuzz_below(f, 33),
	};
}

static void fill_debug(struct fuzzer *f, void *argument)
{
	struct kvm_guest_debug *debug = argument;

	debug->control = fuzz_one_in(f, 2) ? 0 : fuzz_below(f, 2) | fuzz_below(f, 16) << 16;
	debug->arch.debugreg[0] = GUEST_CODE + fuzz_below(f, 16);
	debug->arch.debugreg[7] = 0x400 | fuzz_below(f, 4);
}

#define CALL(whose, call, ...)                                       \
	{                                                            \
		.name = #call, .cmd = call, .on = whose, __VA_ARGS__ \
	}
#define NUMBER(whose, call)                                                \
	{                                                                  \
		.name = #call, .cmd = call, .on = whose, .is_number = true \
	}
/* To be read, and written as it was read, or nearly so. */
#define STATE(whose, what) \
	CALL(whose, KVM_GET_##what), CALL(whose, KVM_SET_##what, .get = KVM_GET_##what)

static const struct call calls[] = {
	NUMBER(DEVICE, KVM_GET_API_VERSION),
	NUMBER(DEVICE, KVM_CHECK_EXTENSION),
	NUMBER(DEVICE, KVM_GET_VCPU_MMAP_SIZE),
	NUMBER(DEVICE, KVM_CREATE_VM),
	CALL(DEVICE, KVM_GET_SUPPORTED_CPUID, .fill = fill_count),
	CALL(DEVICE, KVM_GET_MSR_INDEX_LIST, .fill = fill_count),
	CALL(DEVICE, KVM_GET_MSR_FEATURE_INDEX_LIST, .fill = fill_count),
	CALL(DEVICE, KVM_GET_MSRS, .fill = fill_msrs),
	CALL(DEVICE, KVM_X86_GET_MCE_CAP_SUPPORTED),
	NUMBER(VM, KVM_CREATE_VCPU),
	NUMBER(VM, KVM_CHECK_EXTENSION),
	NUMBER(VM, KVM_GET_STATS_FD),
	NUMBER(VM, KVM_SET_TSS_ADDR),
	NUMBER(VM, KVM_SET_IDENTITY_MAP_ADDR),
	NUMBER(VM, KVM_GET_TSC_KHZ),
	NUMBER(VM, KVM_SET_TSC_KHZ),
	NUMBER(VM, KVM_CREATE_IRQCHIP),
	NUMBER(VM, KVM_SET_BOOT_CPU_ID),
	NUMBER(VM, KVM_SET_NR_MMU_PAGES),
	CALL(VM, KVM_GET_IRQCHIP),
	CALL(VM, KVM_SET_USER_MEMORY_REGION, .fill = fill_region),
	CALL(VM, KVM_SET_USER_MEMORY_REGION, .fill = fill_region),
	CALL(VM, KVM_SET_USER_MEMORY_REGION2, .fill = fill_region),
	CALL(VM, KVM_GET_DIRTY_LOG, .fill = fill_log),
	CALL(VM, KVM_CLEAR_DIRTY_LOG, .fill = fill_clear_log),
	CALL(VM, KVM_ENABLE_CAP, .fill = fill_cap),
	CALL(VM, KVM_SIGNAL_MSI, .fill = fill_msi),
	CALL(VM, KVM_IRQ_LINE, .fill = fill_line),
	CALL(VM, KVM_IRQ_LINE_STATUS, .fill = fill_line),
	CALL(VM, KVM_SET_GSI_ROUTING, .fill = fill_routing),
	CALL(VM, KVM_IRQFD, .fill = fill_irqfd),
	CALL(VM, KVM_IOEVENTFD, .fill = fill_ioeventfd),
	CALL(VM, DRAGONFLY_QUEUE_ASSIGN, .fill = fill_queue),
	CALL(VM, KVM_X86_SET_MSR_FILTER, .fill = fill_filter),
	STATE(VM, CLOCK),
	NUMBER(VCPU, KVM_GET_STATS_FD),
	NUMBER(VCPU, KVM_KVMCLOCK_CTRL),
	NUMBER(VCPU, KVM_NMI),
	NUMBER(VCPU, KVM_GET_TSC_KHZ),
	NUMBER(VCPU, KVM_SET_TSC_KHZ),
	STATE(VCPU, REGS),
	STATE(VCPU, SREGS),
	STATE(VCPU, SREGS2),
	STATE(VCPU, FPU),
	STATE(VCPU, XSAVE),
	CALL(VCPU, KVM_GET_XSAVE2),
	STATE(VCPU, XCRS),
	STATE(VCPU, DEBUGREGS),
	STATE(VCPU, VCPU_EVENTS),
	STATE(VCPU, MP_STATE),
	STATE(VCPU, LAPIC),
	CALL(VCPU, KVM_GET_MSRS, .fill = fill_msrs),
	CALL(VCPU, KVM_SET_MSRS, .fill = fill_msrs),
	CALL(VCPU, KVM_GET_CPUID2, .fill = fill_count),
	CALL(VCPU, KVM_SET_CPUID2, .fill = fill_cpuid),
	CALL(VCPU, KVM_SET_SIGNAL_MASK, .fill = fill_signals, .fragile = true),
	CALL(VCPU, KVM_SET_GUEST_DEBUG, .fill = fill_debug),
	CALL(VCPU, KVM_ENABLE_CAP, .fill = fill_cap),
	CALL(VCPU, KVM_INTERRUPT, .fill = fill_word),
	CALL(VCPU, KVM_SET_VAPIC_ADDR, .fill = fill_word),
	CALL(VCPU, KVM_TPR_ACCESS_REPORTING),
	CALL(VCPU, KVM_HAS_DEVICE_ATTR, .fill = fill_attr),
	CALL(VCPU, KVM_GET_DEVICE_ATTR, .fill = fill_attr),
	CALL(VCPU, KVM_SET_DEVICE_ATTR, .fill = fill_attr),
	CALL(VCPU, KVM_PRE_FAULT_MEMORY, .fill = fill_range),
	CALL(VCPU, KVM_X86_SETUP_MCE, .fill = fill_word),
	CALL(VCPU, KVM_X86_SET_MCE, .fill = fill_mce),
	CALL(OTHER, DRAGONFLY_QUEUE_SET_MSI, .fill = fill_queue_msi),
	NUMBER(OTHER, KVM_GET_STATS_FD),
};

/* How often each was made, and went well. */
static struct {
	unsigned int made, well;
} tally[sizeof(calls) / sizeof(calls[0])];

void fuzz_report(void)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		printf("# %s: %u of %u went well\n", calls[i].name, tally[i].well, tally[i].made);
}

/* --- and what is wrong with them ----------------------------------------------- */

static size_t size_of(const struct call *call)
{
	size_t size = _IOC_SIZE(call->cmd);

	return size > 64 ? size : 64;
}

/* A word of it is something else, or a bit. */
static void spoil(struct fuzzer *f, uint8_t *argument, size_t size)
{
	uint32_t at = fuzz_below(f, size / 4) * 4;
	uint64_t value = fuzz_value(f);

	if (fuzz_one_in(f, 2))
		argument[at] ^= 1 << fuzz_below(f, 8);
	else
		memcpy(argument + at, &value, at % 8 || fuzz_one_in(f, 2) ? 4 : 8);
}

/* Where there is nothing, or the kernel; or memory that ends too early. */
static uint64_t absurd_pointer(struct fuzzer *f)
{
	const uint64_t pointers[] = {
		0,
		1,
		FUZZ_WINDOWS - 8,
		0x7ffffffff000,
		0x800000000000,
		0xffff888000000000,
		0xffffffff81000000,
		~0UL,
		(uintptr_t)f->buffer + FUZZ_BUFFER - fuzz_below(f, 64),
	};

	return FUZZ_PICK(f, pointers);
}

static uint64_t argument_of(struct fuzzer *f, const struct call *call, int fd)
{
	if (call->is_number)
		return fuzz_one_in(f, 3) ? fuzz_value(f) : fuzz_below(f, FUZZ_VCPUS);
	memset(f->buffer, 0, 0x1000);
	if (call->get)
		ioctl(fd, call->get, f->buffer);
	if (call->fill)
		call->fill(f, f->buffer);
	if (call->fragile)
		return (uintptr_t)f->buffer;
	for (unsigned int i = fuzz_one_in(f, 3) ? 1 + fuzz_below(f, 3) : 0; i; i--)
		spoil(f, f->buffer, size_of(call));
	return fuzz_one_in(f, 40) ? absurd_pointer(f) : (uintptr_t)f->buffer;
}

static int *slot_for(struct fuzzer *f, struct fuzz_vm *vm, enum kind kind)
{
	switch (kind) {
	case DEVICE:
		return &f->world->device;
	case VM:
		return &vm->vm;
	case VCPU:
		return &vm->vcpu[fuzz_below(f, FUZZ_VCPUS)];
	default:
		return &vm->other[fuzz_below(f, FUZZ_OTHERS)];
	}
}

/* What became of the call, if that is a descriptor. */
static void keep(struct fuzzer *f, struct fuzz_vm *vm, const struct call *call, int fd)
{
	switch (call->cmd) {
	case KVM_CREATE_VM:
		fuzz_replace(&vm->vm, fd);
		break;
	case KVM_CREATE_VCPU:
		close(fd);
		break;
	case KVM_GET_STATS_FD:
	case DRAGONFLY_QUEUE_ASSIGN:
		fuzz_replace(slot_for(f, vm, OTHER), fd);
	}
}

void fuzz_call(struct fuzzer *f)
{
	uint32_t n = fuzz_below(f, sizeof(calls) / sizeof(calls[0]));
	struct call call = calls[n];
	struct fuzz_vm *vm = fuzz_vm(f);
	bool astray = fuzz_one_in(f, 60);
	int fd = fuzz_fd(slot_for(f, vm, astray ? fuzz_below(f, 4) : call.on));
	uint64_t argument;
	int result;

	f->doing = call.name;
	if (fuzz_one_in(f, 100) && !call.fragile)
		call.cmd ^= 1UL << fuzz_below(f, 32);
	argument = argument_of(f, &call, fd);
	result = ioctl(fd, call.cmd, argument);
	__atomic_fetch_add(&tally[n].made, 1, __ATOMIC_RELAXED);
	if (result < 0)
		return;
	__atomic_fetch_add(&tally[n].well, 1, __ATOMIC_RELAXED);
	keep(f, vm, &call, result);
}
