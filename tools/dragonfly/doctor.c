// SPDX-License-Identifier: GPL-2.0-only
/*
 * dragonfly doctor: a line for each thing that Dragonfly needs of a host, and
 * what to do where it is missing.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <linux/dragonfly.h>

#include "dragonfly.h"

#define DEBUGFS "/sys/kernel/debug/dragonfly/"

static bool healthy;

static void __attribute__((format(printf, 3, 4)))
tell(const char *state, const char *what, const char *fmt, ...)
{
	va_list ap;

	printf("%-5s %-10s ", state, what);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

#define good(what, ...) tell("ok", what, __VA_ARGS__)
#define note(what, ...) tell("-", what, __VA_ARGS__)
#define miss(what, ...) (healthy = false, tell("miss", what, __VA_ARGS__))

/* The value of the first line "key<tabs>: value" of /proc/cpuinfo; free() it. */
static char *cpuinfo(const char *key)
{
	FILE *in = fopen("/proc/cpuinfo", "re");
	char *line = NULL, *value = NULL;
	size_t size = 0, len = strlen(key);

	while (in && !value && getline(&line, &size, in) > 0) {
		char *colon = strchr(line, ':');

		if (colon && !strncmp(line, key, len) && strchr("\t :", line[len])) {
			line[strcspn(line, "\n")] = '\0';
			value = strdup(colon[1] ? colon + 2 : "");
		}
	}
	free(line);
	if (in)
		fclose(in);
	return value;
}

static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = list; at && (at = strstr(at, word)); at += len)
		if ((at == list || at[-1] == ' ') && (at[len] == ' ' || !at[len]))
			return true;
	return false;
}

/* The VMX features that Linux has a name for; the module looks at all of them. */
static const struct {
	const char *flag, *name, *need;
	bool required;
} features[] = {
	{ "ept", "EPT", "guest memory is translated without exits", true },
	{ "ept_ad", "EPT accessed and dirty flags", "the dirty log is kept by hardware", true },
	{ "vpid", "VPID", "the TLB survives exits", true },
	{ "invvpid", "INVVPID", "a VPID can be used again", true },
	{ "unrestricted_guest", "unrestricted guest", "real mode runs without an emulator", true },
	{ "vtpr", "TPR shadow", "the virtual-APIC page exists", true },
	{ "vapic", "virtualize APIC accesses", "xAPIC guests need no decoder", true },
	{ "vapic_reg", "APIC-register virtualization", "reading the APIC does not exit", true },
	{ "vid", "virtual-interrupt delivery", "interrupts are delivered without exits", true },
	{ "posted_intr", "posted interrupts", "interrupts reach a running vCPU", true },
	{ "preemption_timer", "VMX-preemption timer", "the host keeps its deadlines", true },
	{ "vnmi", "virtual NMIs", "a guest's NMI blocking is kept by hardware", true },
	{ "tsc_offset", "TSC offsetting", "RDTSC does not exit", true },
	{ "ept_1gb", "EPT 1 GiB pages", "a large VM's memory costs next to none", false },
	{ "pml", "page-modification logging", "the dirty log costs no write faults", false },
	{ "tsc_scaling", "TSC scaling", "a guest keeps its TSC frequency when it moves", false },
	{ "ple", "PAUSE-loop exiting", "a spinning vCPU on a shared core gives way", false },
	{ "ipi_virt", "IPI virtualization", "sending an IPI does not exit", false },
};

#define NR(array) (sizeof(array) / sizeof((array)[0]))

static void check_features(void)
{
	char *flags = cpuinfo("vmx flags");

	if (!flags)
		note("features", "this kernel does not name them; the module does when it loads");
	for (size_t i = 0; flags && i < NR(features); i++) {
		if (has_word(flags, features[i].flag))
			good("feature", "%s", features[i].name);
		else if (features[i].required)
			miss("feature", "no %s (%s): it takes another CPU", features[i].name,
			     features[i].need);
		else
			note("feature", "no %s: not needed; with it %s", features[i].name,
			     features[i].need);
	}
	free(flags);
}

static void check_cpu(void)
{
	char *model = cpuinfo("model name"), *flags = cpuinfo("flags");
	bool vmx = has_word(flags, "vmx");

	note("cpu", "%s, %ld online", model ? model : "unknown", sysconf(_SC_NPROCESSORS_ONLN));
	if (vmx)
		good("vmx", "the CPU has VMX and the firmware allows it");
	else
		miss("vmx", "no VMX: enable virtualization in the firmware, or use tools/testhost");
	free(model);
	free(flags);
	if (vmx)
		check_features();
}

static void check_kernel(void)
{
	struct utsname name;

	if (!uname(&name))
		note("kernel", "%s", name.release);
	if (!access("/sys/module/kvm_intel", F_OK))
		note("kvm",
		     "kvm_intel is loaded and may hold VMX; modprobe -r kvm_intel gives it back");
	else
		good("kvm", "kvm_intel is not loaded: VMX is free");
}

static void check_device(void)
{
	int fd, version;

	if (access("/sys/module/dragonfly", F_OK)) {
		miss("module",
		     "dragonfly is not loaded: modprobe dragonfly, and see dmesg if it refuses");
		return;
	}
	good("module", "dragonfly is loaded");

	fd = open(DRAGONFLY_DEVICE, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		miss("device", "%s does not open (%s)%s", DRAGONFLY_DEVICE, strerror(errno),
		     errno == EACCES ? ": join the group kvm" : "");
		return;
	}
	version = ioctl(fd, KVM_GET_API_VERSION, 0);
	if (version == KVM_API_VERSION)
		good("device", "%s speaks version %d of the KVM API", DRAGONFLY_DEVICE, version);
	else
		miss("device", "%s speaks version %d of the KVM API, not %d", DRAGONFLY_DEVICE,
		     version, KVM_API_VERSION);
	close(fd);
}

/* What the module found out when it was loaded; root only, as debugfs is. */
static void check_report(void)
{
	char state[16], there[8], text[256];
	unsigned int required = 0;
	FILE *in;

	in = fopen(DEBUGFS "selftest", "re");
	if (!in) {
		if (!access("/sys/module/dragonfly", F_OK))
			note("features", "only root may read what the module found (%s)", DEBUGFS);
		return;
	}
	if (fgets(text, sizeof(text), in)) {
		text[strcspn(text, "\n")] = '\0';
		good("self-test", "VMX was entered and left on CPUs %s", text);
	}
	fclose(in);

	in = fopen(DEBUGFS "features", "re");
	while (in && fscanf(in, "%15s %7s %255[^\n]", state, there, text) == 3)
		required += !strcmp(state, "required");
	if (in)
		fclose(in);
	good("features", "the module has found all %u that it requires", required);
}

/* ---- what queues and speed ask for ----------------------------------------------- */

/* The first line of a small file; "" if there is none. */
static const char *line_of(const char *path, char *line, int size)
{
	FILE *in = fopen(path, "re");

	if (!in || !fgets(line, size, in))
		*line = '\0';
	if (in)
		fclose(in);
	line[strcspn(line, "\n")] = '\0';
	return line;
}

static void check_hugepages(const char *name, unsigned long kib)
{
	char dir[64], path[96], line[32];
	long all, left;

	snprintf(dir, sizeof(dir), "/sys/kernel/mm/hugepages/hugepages-%lukB", kib);
	if (access(dir, F_OK)) {
		note("hugepages", "%s: this host has none of that size", name);
		return;
	}
	snprintf(path, sizeof(path), "%s/free_hugepages", dir);
	left = atol(line_of(path, line, sizeof(line)));
	snprintf(path, sizeof(path), "%s/nr_hugepages", dir);
	all = atol(line_of(path, line, sizeof(line)));
	if (left)
		good("hugepages", "%s: %ld free of %ld", name, left, all);
	else
		note("hugepages", "%s: none free of %ld; for --hugepages %s: echo NUMBER >%s", name,
		     all, name, path);
}

static void check_isolation(const char *file, const char *parameter)
{
	char path[64], line[256];

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/%s", file);
	line_of(path, line, sizeof(line));
	/* The kernel's way to print an empty nohz_full. */
	if (*line && !strstr(line, "(null)"))
		good("isolation", "CPUs %s: %s", line, parameter);
	else
		note("isolation",
		     "no CPUs; for vCPUs alone on theirs (--dedicated) boot with %s=LIST",
		     parameter);
}

/* What writes its deadlines to the CPU itself can leave them to a guest. */
static void check_timer(void)
{
	char line[64];

	line_of("/sys/devices/system/clockevents/clockevent0/current_device", line, sizeof(line));
	if (!strcmp(line, "lapic-deadline"))
		good("timer",
		     "the host's clock is the CPU's TSC deadline: dedicated vCPUs have it");
	else
		note("timer", "the host's clock is %s: deadlines of dedicated vCPUs exit",
		     *line ? line : "not known");
}

/* What --queue and --net go through. */
static const struct {
	const char *path, *name, *load, *need;
} modules[] = {
	{ "/dev/net/tun", "tun", "tun", "--net tap=" },
	{ "/dev/vhost-net", "vhost-net", "vhost_net", "--net tap=...,vhost" },
	{ "/sys/bus/vdpa", "vdpa", "vdpa", "--queue vdpa=" },
	{ "/sys/module/vhost_vdpa", "vhost-vdpa", "vhost_vdpa", "--queue vdpa=" },
	{ "/dev/vduse/control", "vduse", "vduse", "vDPA devices that a process serves" },
};

static void check_modules(void)
{
	for (size_t i = 0; i < NR(modules); i++) {
		bool node = !strncmp(modules[i].path, "/dev/", 5);

		if (access(modules[i].path, F_OK))
			note("queues", "no %s; modprobe %s for %s", modules[i].name,
			     modules[i].load, modules[i].need);
		else if (node && access(modules[i].path, R_OK | W_OK))
			note("queues", "%s is not yours to open: %s needs leave, or root",
			     modules[i].path, modules[i].need);
		else
			good("queues", "%s is there", modules[i].name);
	}
}

/* @needed: of a VM with the defaults. Root's memory is locked without limit. */
static void check_limit(const char *name, int resource, rlim_t needed, const char *what)
{
	struct rlimit limit;

	getrlimit(resource, &limit);
	if (resource == RLIMIT_MEMLOCK && !geteuid())
		good("limit", "%s: none for root", name);
	else if (limit.rlim_cur == RLIM_INFINITY)
		good("limit", "%s: none", name);
	else if (limit.rlim_cur >= needed)
		good("limit", "%s: %llu", name, (unsigned long long)limit.rlim_cur);
	else
		miss("limit", "%s: %llu, less than the %llu for %s: raise it in limits.conf", name,
		     (unsigned long long)limit.rlim_cur, (unsigned long long)needed, what);
}

static void check_host(void)
{
	check_hugepages("2M", 2048);
	check_hugepages("1G", 1048576);
	check_isolation("isolated", "isolcpus");
	check_isolation("nohz_full", "nohz_full");
	check_timer();
	check_modules();
	check_limit("memlock", RLIMIT_MEMLOCK, 512UL << 20, "a guest's memory of 512M");
	check_limit("nofile", RLIMIT_NOFILE, 1024, "a VM's descriptors");
}

int doctor__main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "--help")) {
		printf("usage: dragonfly doctor\n\n"
		       "Says in a line each what this host has of what Dragonfly needs, and what to\n"
		       "do about each miss: \"miss\" is needed, \"-\" is not for every VM. Exit status\n"
		       "0 if nothing that is needed is missing, else 1.\n");
		return STATUS_OK;
	}
	if (argc > 1) {
		complain("doctor takes no arguments");
		return STATUS_USAGE;
	}
	healthy = true;
	check_kernel();
	check_cpu();
	check_device();
	check_report();
	check_host();
	return healthy ? STATUS_OK : STATUS_NO;
}
