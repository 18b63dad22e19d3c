// SPDX-License-Identifier: GPL-2.0-only
/*
 * client [-t] [-n EVENTS] [-r MSR] [-w MSR] DEVICE PART... - what a hypervisor costs,
 * through the KVM API.
 *
 * On a host with one emulated CPU a tick of the TSC is an instruction of host or guest.
 * -t is for any other host: ticks are only that then. -n is how many events a latency is
 * taken from. -r and -w choose the MSR to read and to write.
 */
#include <math.h>
#include <stdarg.h>
#include <x86intrin.h>

#include "client.h"

struct bench bench = {
	.unit = "instructions",
	.events = 1000,
	.rdmsr = 0x1a0, /* IA32_MISC_ENABLE */
	.wrmsr = 0x8b, /* IA32_BIOS_SIGN_ID */
};

static const struct {
	const char *name;
	void (*measure)(void);
} parts[] = {
	{ "trips", bench_trips },
	{ "latencies", bench_latencies },
	{ "latencies-smp", bench_latencies_smp },
	{ "lives", bench_lives },
	{ "crowds", bench_crowds },
	{ "memory", bench_memory },
	{ "tables", bench_tables },
	{ "steady", bench_steady },
	{ "jitter", bench_jitter },
};

void bench_report(const char *unit, double value, enum bench_kind kind, const char *format, ...)
{
	va_list ap;

	printf("%s ", bench.device);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	printf(" %s %.*f %s\n", unit, value == floor(value) ? 0 : 2, value,
	       kind == EXACT && !bench.ticks ? "exact" : "varies");
	/* What came before a failure is worth something too. */
	fflush(stdout);
}

void bench_report_none(const char *unit, const char *format, ...)
{
	va_list ap;

	printf("%s ", bench.device);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	printf(" %s n/a exact\n", unit);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

uint64_t bench_quantile(uint64_t *values, size_t n, double part)
{
	size_t at = n * part;

	qsort(values, n, sizeof(*values), compare);
	return values[at < n ? at : n - 1];
}

uint64_t bench_median(uint64_t *values, size_t n)
{
	return bench_quantile(values, n, 0.5);
}

/* Huge pages come from where the host has some; NULL if it has none. */
static int alias_file(size_t page)
{
	unsigned int flags = MFD_CLOEXEC;

	if (page > 4096)
		flags |= MFD_HUGETLB | (unsigned int)__builtin_ctzl(page) << MAP_HUGE_SHIFT;
	return memfd_create("alias", flags);
}

uint8_t *bench_alias(size_t size, size_t page)
{
	/* Of small pages as many as one table maps, so that not each page is a mapping. */
	size_t piece = page > 4096 ? page : 2UL << 20, align = page > piece ? page : piece;
	uint8_t *room, *memory;
	int fd = alias_file(page);

	if (fd < 0 || ftruncate(fd, piece)) {
		close(fd);
		return NULL;
	}
	room = mmap(NULL, size + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		    0);
	if (room == MAP_FAILED)
		err(1, "mmap");
	memory = (uint8_t *)(((uintptr_t)room + align - 1) & -align);
	for (size_t at = 0; at < size; at += piece)
		if (mmap(memory + at, piece, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) == MAP_FAILED) {
			munmap(room, size + align);
			close(fd);
			return NULL;
		}
	close(fd);
	return memory;
}

/*
 * Two instructions a turn: on any other host the numbers would be of another kind. What
 * interrupts it once or twice, does not do so every time.
 */
static void check_tick(void)
{
	uint64_t ticks = 0;

	for (int i = 0; i < 20; i++) {
		ticks = __rdtsc();
		asm volatile("mov $10000, %%ecx\n1: dec %%ecx\n jnz 1b" : : : "ecx", "cc");
		ticks = __rdtsc() - ticks;
		if (ticks >= 20000 && ticks <= 22000)
			return;
	}
	errx(1, "a tick is not an instruction here: 20000 instructions took %lu; try -t", ticks);
}

static void measure(const char *part)
{
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (!strcmp(part, parts[i].name)) {
			parts[i].measure();
			return;
		}
	errx(2, "there is no part '%s' to measure", part);
}

int main(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "tn:r:w:")) != -1) {
		switch (option) {
		case 't':
			bench.ticks = true;
			bench.unit = "ticks";
			break;
		case 'n':
			bench.events = strtoul(optarg, NULL, 0);
			break;
		case 'r':
			bench.rdmsr = strtoul(optarg, NULL, 0);
			break;
		case 'w':
			bench.wrmsr = strtoul(optarg, NULL, 0);
			break;
		default:
			return 2;
		}
	}
	if (argc < optind + 2)
		errx(2, "usage: client [-t] [-n EVENTS] [-r MSR] [-w MSR] DEVICE PART...");
	setenv("KVM_DEVICE", argv[optind], 1);
	bench.device = strrchr(argv[optind], '/');
	bench.device = bench.device ? bench.device + 1 : argv[optind];
	if (!bench.ticks)
		check_tick();
	while (++optind < argc)
		measure(argv[optind]);
	return 0;
}
