// SPDX-License-Identifier: GPL-2.0-only
/*
 * dragonfly run: a VM from its options to its end.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/dragonfly.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include "control/control.h"
#include "dragonfly.h"
#include "machine/machine.h"
#include "queues/queues.h"

#define MIB 0x100000ULL
#define SMALLEST (16 * MIB)
#define LARGEST 0x10000000000ULL /* 1 TiB */
#define DEFAULT_MEMORY (512 * MIB)
#define DEFAULT_APPEND "console=ttyS0"

static const struct option long_options[] = {
	{ "append", required_argument, NULL, 'a' },
	{ "console", required_argument, NULL, 'c' },
	{ "cpus", required_argument, NULL, 'n' },
	{ "dedicated", no_argument, NULL, 'e' },
	{ "detach", no_argument, NULL, 'd' },
	{ "device", required_argument, NULL, 'D' },
	{ "help", no_argument, NULL, 'h' },
	{ "hugepages", required_argument, NULL, 'H' },
	{ "initrd", required_argument, NULL, 'i' },
	{ "kernel", required_argument, NULL, 'k' },
	{ "mem", required_argument, NULL, 'm' },
	{ "name", required_argument, NULL, 'N' },
	{ "net", required_argument, NULL, 't' },
	{ "notifier-cpu", required_argument, NULL, 'o' },
	{ "pin", required_argument, NULL, 'p' },
	{ "queue", required_argument, NULL, 'q' },
	{},
};

static void usage(FILE *out)
{
	fprintf(out,
		"usage: dragonfly run [OPTION]...\n\n"
		"Boots a Linux kernel in a VM and stays until the VM ends.\n\n"
		"  --kernel FILE        a bzImage or vmlinux (the kernel that runs here, in /boot)\n"
		"  --initrd FILE        its initial RAM disk\n"
		"  --append TEXT        its command line (\"" DEFAULT_APPEND "\")\n"
		"  --cpus N             vCPUs, 1 to %d (1)\n"
		"  --mem SIZE           memory, in MiB or with a suffix K, M, G (512M)\n"
		"  --hugepages 2M|1G    memory from the host's huge pages of that size\n"
		"  --pin LIST           host CPUs for the vCPUs, the first for the first: 2,3 or 2-5\n"
		"  --dedicated          nothing else that is dedicated runs on these CPUs, and the guest's\n"
		"                       HLT, PAUSE and timer do not exit; needs --pin\n"
		"  --notifier-cpu CPU   the host CPU that delivers, and does nothing else, what a guest with\n"
		"                       dragonfly_guest.ko sends between its vCPUs; needs --dedicated\n"
		"  --queue vdpa=DEVICE[,queues=N]\n"
		"                       a vDPA device's queues: vdpa=/dev/vhost-vdpa-0; repeatable\n"
		"  --net tap=INTERFACE[,queues=N][,vhost]\n"
		"                       a network device on a tap, served by vhost-net; repeatable\n"
		"  --console stdio|pty|socket=PATH|none\n"
		"                       where the guest's console is (stdio; none with --detach)\n"
		"  --name NAME          what other verbs call it (vm-1, or the next that is free)\n"
		"  --device FILE        the hypervisor: " DRAGONFLY_DEVICE ", or /dev/kvm\n"
		"  --detach             return when it runs\n"
		"  --help               this\n\n"
		"On a terminal, Ctrl-A x ends the VM.\n"
		"Exit status: 0 the guest powered off; 1 the VM could not be made, or failed;\n"
		"2 usage; 3 the guest asked for a reboot; 4 it crashed (triple fault); 5 it was\n"
		"stopped, by Ctrl-A x, a signal or \"dragonfly stop\".\n",
		MAX_CPUS);
}

/* strtoul() would also skip blanks and take a sign, and -1 for the largest. */
static unsigned long number(const char *text, char **end)
{
	if (isdigit((unsigned char)*text))
		return strtoul(text, end, 10);
	*end = (char *)text;
	return 0;
}

/* A number with nothing behind it, between two others. */
static int parse_number(const char *what, const char *text, unsigned long min, unsigned long max,
			unsigned int *value)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = number(text, &end);
	if (errno || end == text || *end || n < min || n > max)
		return complain("%s is a number from %lu to %lu, not '%s'", what, min, max, text);
	*value = n;
	return 0;
}

static int parse_size(const char *text, uint64_t *size)
{
	static const char suffixes[] = "KMG";
	const char *suffix = NULL;
	unsigned int shift = 20;
	char *end;

	errno = 0;
	*size = number(text, &end);
	if (end != text && *end)
		suffix = strchr(suffixes, *end);
	if (suffix) {
		shift = 10 * (suffix - suffixes + 1);
		end++;
	}
	if (errno || end == text || *end || *size > LARGEST >> shift)
		return complain("'%s' is no size: give MiB, or a number with K, M or G", text);
	*size <<= shift;
	return 0;
}

static int parse_huge(const char *text, uint64_t *size)
{
	if (!strcmp(text, "2M"))
		*size = 2 * MIB;
	else if (!strcmp(text, "1G"))
		*size = 1024 * MIB;
	else
		return complain("huge pages have 2M or 1G, not '%s'", text);
	return 0;
}

/* "2,4-6": CPUs for the vCPUs in their order. */
static int parse_pins(const char *text, int *pins)
{
	unsigned int n = 0;

	memset(pins, 0xff, MAX_CPUS * sizeof(*pins));
	while (*text) {
		char *end;
		unsigned long first = number(text, &end), last = first;
		bool good = end != text;

		if (good && *end == '-') {
			text = end + 1;
			last = number(text, &end);
			good = end != text;
		}
		if (!good || (*end && (*end != ',' || !end[1])) || last < first ||
		    last >= CPU_SETSIZE)
			return complain("--pin takes host CPUs such as 2,3 or 2-5");
		for (; first <= last; first++) {
			if (n == MAX_CPUS)
				return complain("--pin has more than %d CPUs", MAX_CPUS);
			pins[n++] = first;
		}
		text = *end ? end + 1 : end;
	}
	return n ? 0 : complain("--pin takes host CPUs such as 2,3 or 2-5");
}

static int parse_notifier(const char *text, int *cpu)
{
	unsigned int n;

	if (parse_number("--notifier-cpu", text, 0, CPU_SETSIZE - 1, &n))
		return -1;
	*cpu = n;
	return 0;
}

static int parse_queue(struct options *options, enum queue_kind kind, const char *text)
{
	if (options->nr_queues == MAX_QUEUES)
		return complain("a VM has at most %d devices of --queue and --net", MAX_QUEUES);
	if (queues__parse(&options->queues[options->nr_queues], kind, text))
		return -1;
	options->nr_queues++;
	return 0;
}

static int parse_option(struct options *options, int option)
{
	switch (option) {
	case 'a':
		options->append = optarg;
		return 0;
	case 'c':
		options->console = optarg;
		return 0;
	case 'd':
		options->detach = true;
		return 0;
	case 'D':
		options->device = optarg;
		return 0;
	case 'e':
		options->dedicated = true;
		return 0;
	case 'H':
		return parse_huge(optarg, &options->huge);
	case 'i':
		options->initrd = optarg;
		return 0;
	case 'k':
		options->kernel = optarg;
		return 0;
	case 'm':
		return parse_size(optarg, &options->memory);
	case 'n':
		return parse_number("--cpus", optarg, 1, MAX_CPUS, &options->cpus);
	case 'N':
		options->name = optarg;
		return 0;
	case 'o':
		return parse_notifier(optarg, &options->notifier);
	case 'p':
		return parse_pins(optarg, options->pin);
	case 'q':
		return parse_queue(options, QUEUE_VDPA, optarg);
	case 't':
		return parse_queue(options, QUEUE_TAP, optarg);
	}
	return -1;
}

static int check_dedicated(const struct options *options)
{
	const int *pin = options->pin;

	if (pin[0] < 0)
		return complain("--dedicated needs a CPU for each vCPU: add --pin");
	for (unsigned int i = 0; i < options->cpus; i++)
		for (unsigned int j = 0; j < i; j++)
			if (pin[i] == pin[j])
				return complain("--dedicated: --pin names CPU %d twice", pin[i]);
	for (unsigned int i = 0; i < options->cpus; i++)
		if (pin[i] == options->notifier)
			return complain("--notifier-cpu %d is a vCPU's", pin[i]);
	return 0;
}

static int check(const struct options *options)
{
	uint64_t page = options->huge ? options->huge : 4096;

	if (options->memory < SMALLEST)
		return complain("--mem %" PRIu64 "K is too little: a guest has at least %llu MiB",
				options->memory >> 10, SMALLEST / MIB);
	if (options->memory % page)
		return complain("--mem %" PRIu64 "K is no multiple of a page of %" PRIu64 "K",
				options->memory >> 10, page >> 10);
	for (unsigned int i = 0; i < options->cpus; i++)
		if (options->pin[0] >= 0 && options->pin[i] < 0)
			return complain("--pin names %u CPUs for %u vCPUs", i, options->cpus);
	if (options->notifier >= 0 && !options->dedicated)
		return complain("--notifier-cpu is for dedicated vCPUs: add --dedicated");
	return options->dedicated ? check_dedicated(options) : 0;
}

static void tell(enum outcome outcome)
{
	static const char *const sentences[] = {
		[RESET] = "the guest asked for a reboot; a VM is started once",
		[CRASHED] = "the guest crashed",
		[STOPPED] = "stopped",
	};

	if (outcome > FAILED)
		complain("%s", sentences[outcome]);
}

/* Each virtqueue has two or three descriptors, and devices without faults pin all memory. */
static void raise_limits(void)
{
	static const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	/* With CAP_SYS_RESOURCE; without it as far as it goes. */
	if (setrlimit(RLIMIT_MEMLOCK, &unlimited) && !getrlimit(RLIMIT_MEMLOCK, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_MEMLOCK, &limit);
	}
}

static int run(const struct options *options)
{
	static struct machine machine;
	enum outcome outcome = FAILED;

	raise_limits();
	if (!machine__create(&machine, options)) {
		outcome = machine__run(&machine);
		tell(outcome);
	} else if (signals__came()) {
		outcome = STOPPED;
	}
	machine__destroy(&machine);
	return outcome;
}

int run__main(int argc, char **argv)
{
	static struct options options = {
		.device = DRAGONFLY_DEVICE,
		.append = DEFAULT_APPEND,
		.cpus = 1,
		.memory = DEFAULT_MEMORY,
		.notifier = -1,
	};
	char kernel[PATH_MAX];
	struct utsname name;
	int option, at = optind;

	memset(options.pin, 0xff, sizeof(options.pin));
	/* "+": what is no option ends them, so that @at is where the next one is. */
	for (; (option = getopt_long(argc, argv, "+:h", long_options, NULL)) != -1; at = optind) {
		if (option == 'h') {
			usage(stdout);
			return STATUS_OK;
		}
		if (option == '?' || option == ':') {
			complain("run %s '%s'; see dragonfly run --help",
				 option == '?' ? "has no option" : "takes a value with", argv[at]);
			return STATUS_USAGE;
		}
		if (parse_option(&options, option))
			return STATUS_USAGE;
	}
	if (optind < argc) {
		complain("run takes no argument '%s'; see dragonfly run --help", argv[optind]);
		return STATUS_USAGE;
	}
	if (!options.kernel && !uname(&name)) {
		snprintf(kernel, sizeof(kernel), "/boot/vmlinuz-%s", name.release);
		options.kernel = kernel;
	}
	if (!options.console)
		options.console = options.detach ? "none" : "stdio";
	if (check(&options))
		return STATUS_USAGE;
	if (options.detach) {
		int status = control__detach();

		if (status >= 0)
			return status;
	}
	return run(&options);
}
