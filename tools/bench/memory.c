// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's memory for a VM, for each of its vCPUs, and for the page tables of its
 * memory.
 */
#include "client.h"

#define KIB 1024UL
#define MIB (KIB * KIB)
#define GIB (MIB * KIB)
#define CROWD 32 /* VMs at once */
#define TABLES 8 /* the same of VMs with page tables */
#define ROUNDS 5
#define BASE (4 * GIB) /* where no APIC's page is */

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		err(1, "%s", path);
	close(fd);
}

/*
 * Free pages of all zones, with those that a CPU keeps at hand, of which MemFree
 * knows nothing. Counters that CPUs keep are folded in first.
 */
static long free_pages(void)
{
	char line[256];
	long sum = 0, n;
	FILE *in;

	write_file("/proc/sys/vm/drop_caches", "3");
	write_file("/proc/sys/vm/stat_refresh", "1");
	in = fopen("/proc/zoneinfo", "re");
	if (!in)
		err(1, "/proc/zoneinfo");
	while (fgets(line, sizeof(line), in))
		if (sscanf(line, " pages free %ld", &n) == 1 ||
		    sscanf(line, " count: %ld", &n) == 1)
			sum += n;
	fclose(in);
	return sum;
}

static uint64_t used_since(long before)
{
	long after = free_pages();

	return before > after ? before - after : 0;
}

/* In whole pages: what there is less is somebody else's. */
static double to_kib(uint64_t pages, unsigned int vms)
{
	return (double)((pages + vms / 2) / vms) * (getpagesize() / KIB);
}

/* ---- of a VM ----------------------------------------------------------------- */

struct kind {
	const char *name;
	unsigned int vcpus;
	bool apic, enter;
};

/* Some memory is there only from the first entry on, and the page tables for one page. */
static void enter(struct bench_vm *vm)
{
	struct guest g = { .vcpu = vm->vcpu[0].fd, .run = vm->vcpu[0].run };
	struct kvm_regs regs = { .rip = GUEST_CODE, .rflags = 2 };
	struct kvm_sregs sregs;

	if (ioctl(g.vcpu, KVM_GET_SREGS, &sregs))
		err(1, "%s: KVM_GET_SREGS", bench.device);
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	if (ioctl(g.vcpu, KVM_SET_SREGS, &sregs) || ioctl(g.vcpu, KVM_SET_REGS, &regs))
		err(1, "%s: cannot set registers", bench.device);
	if (guest_run(&g) != KVM_EXIT_HLT)
		errx(1, "%s: a guest of one HLT did not halt", bench.device);
}

static double measure_kind(const struct kind *kind)
{
	static struct bench_vm crowd[CROWD];
	uint64_t used[ROUNDS];

	/* The first round is a warm-up. */
	for (int i = -1; i < ROUNDS; i++) {
		long before = free_pages();
		uint64_t pages;

		for (int j = 0; j < CROWD; j++) {
			bench_vm_create(&crowd[j], kind->vcpus, kind->apic);
			if (kind->enter)
				enter(&crowd[j]);
		}
		pages = used_since(before);
		for (int j = 0; j < CROWD; j++)
			bench_vm_destroy(&crowd[j]);
		/* What is freed after a grace period. */
		sleep(1);
		if (i >= 0)
			used[i] = pages;
	}
	return to_kib(bench_median(used, ROUNDS), CROWD);
}

void bench_memory(void)
{
	static const struct kind kinds[] = {
		{ .name = "memory", .vcpus = 1 },
		{ .name = "memory-apic", .vcpus = 1, .apic = true },
		{ .name = "memory-entered", .vcpus = 1, .enter = true },
	};
	const struct kind many = { .vcpus = BENCH_VCPUS, .apic = true };
	double one = 0;

	bench_lives_begin();
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		double kib = measure_kind(&kinds[i]);

		bench_report("KiB", kib, EXACT, "%s", kinds[i].name);
		if (kinds[i].apic)
			one = kib;
	}
	bench_report("KiB", (measure_kind(&many) - one) / (BENCH_VCPUS - 1), VARIES, "memory-vcpu");
}

/* ---- of page tables ------------------------------------------------------------ */

struct guest_memory_kind {
	const char *size_name, *page_name;
	uint64_t size, page;
};

/* The first page behind each table is mapped: then all tables are there. */
static int map_some(const struct bench_vm *vm, uint64_t size, uint64_t page)
{
	uint64_t step = page < 2 * MIB ? 2 * MIB : page;

	for (uint64_t at = 0; at < size; at += step) {
		struct kvm_pre_fault_memory some = { .gpa = BASE + at, .size = page };

		while (some.size)
			if (ioctl(vm->vcpu[0].fd, KVM_PRE_FAULT_MEMORY, &some) && errno != EINTR &&
			    errno != EAGAIN)
				return -1;
	}
	return 0;
}

/* Of so many VMs at once that the tables are more than what else comes and goes. */
static void measure_tables(const struct guest_memory_kind *kind, uint8_t *memory, bool report)
{
	static struct bench_vm crowd[TABLES];
	long before = free_pages();
	double vm, both;

	for (unsigned int i = 0; i < TABLES; i++) {
		bench_vm_create(&crowd[i], 1, false);
		if (guest_memory(crowd[i].fd, 1, 0, BASE, kind->size, memory))
			err(1, "%s: a slot of %lu MiB", bench.device, kind->size / MIB);
	}
	vm = to_kib(used_since(before), TABLES);
	for (unsigned int i = 0; i < TABLES; i++)
		if (map_some(&crowd[i], kind->size, kind->page))
			err(1, "%s: KVM_PRE_FAULT_MEMORY", bench.device);
	both = to_kib(used_since(before), TABLES);
	for (unsigned int i = 0; i < TABLES; i++)
		bench_vm_destroy(&crowd[i]);
	sleep(1);
	if (!report)
		return;
	bench_report("KiB", vm, EXACT, "memory-%s-of-%s", kind->size_name, kind->page_name);
	bench_report("KiB", both - vm, EXACT, "ept-%s-of-%s", kind->size_name, kind->page_name);
}

/* The same little memory again and again: what the tables are like does not change. */
static void measure_ept(const struct guest_memory_kind *kind)
{
	uint8_t *memory = bench_alias(kind->size, kind->page);

	if (!memory) {
		bench_report_none("KiB", "ept-%s-of-%s", kind->size_name, kind->page_name);
		return;
	}
	measure_tables(kind, memory, false);
	measure_tables(kind, memory, true);
	munmap(memory, kind->size);
}

void bench_tables(void)
{
	static const struct guest_memory_kind kinds[] = {
		{ "128m", "4k", 128 * MIB, 4 * KIB },
		{ "1g", "4k", GIB, 4 * KIB },
		{ "4g", "4k", 4 * GIB, 4 * KIB },
		{ "128m", "2m", 128 * MIB, 2 * MIB },
		{ "1g", "2m", GIB, 2 * MIB },
		{ "4g", "2m", 4 * GIB, 2 * MIB },
		{ "1g", "1g", GIB, GIB },
		{ "4g", "1g", 4 * GIB, GIB },
	};

	bench_lives_begin();
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		measure_ept(&kinds[i]);
}
