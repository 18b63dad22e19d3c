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

static void check_cpu(void)
{
	char *model = cpuinfo("model name"), *flags = cpuinfo("flags");

	note("cpu", "%s, %ld online", model ? model : "unknown", sysconf(_SC_NPROCESSORS_ONLN));
	if (has_word(flags, "vmx"))
		good("vmx", "the CPU has VMX and the firmware allows it");
	else
		miss("vmx", "no VMX: enable virtualization in the firmware, or use tools/testhost");
	free(model);
	free(flags);
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
	while (in && fscanf(in, "%15s %7s %255[^\n]", state, there, text) == 3) {
		if (!strcmp(state, "required"))
			required++;
		else
			note("optional", "%s: %s", there, text);
	}
	if (in)
		fclose(in);
	good("features", "all %u required VMX features are there", required);
}

int doctor__main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "--help")) {
		printf("usage: dragonfly doctor\n\n"
		       "Says in a line each what this host has of what Dragonfly needs, and what to\n"
		       "do about each miss. Exit status 0 if nothing is missing, else 1.\n");
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
	return healthy ? STATUS_OK : STATUS_NO;
}
