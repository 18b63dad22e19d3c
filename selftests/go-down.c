// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host goes down while VMs run.
 *
 *   go-down kexec|crash IMAGE INITRD CMDLINE
 *   go-down reboot|halt
 *
 * The first two leave it to another kernel: IMAGE is one as it lies in memory ("testhost
 * image"), so that there is nothing to unpack. In a test host, for selftests/host/.
 */
#include <asm/bootparam.h>
#include <err.h>
#include <linux/kexec.h>
#include <stddef.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "busy.h"

#define VMS 4
#define KERNEL_BASE 0x1000000
#define KERNEL_SIZE 0x4000000 /* what it is zeroed for behind its image is in it */
#define ALIGN_UP(value, size) (((value) + (size)-1) & ~((size)-1))

/* --- another kernel (Documentation/arch/x86/boot.rst, "64-bit Boot Protocol") -- */

/* What lies before the kernel's first instruction, and is the first to run. */
struct boot {
	uint8_t code[0x100];
	uint8_t stack[0xf00]; /* for its first CALL */
	struct boot_params params;
	char cmdline[0x1000];
};

/* Where the next kernel is: its own memory, or what is reserved for after a crash. */
struct range {
	unsigned long long first, last;
};

static struct range crash_kernel(void)
{
	FILE *in = fopen("/proc/iomem", "re");
	struct range range = {};
	char line[256];

	while (in && fgets(line, sizeof(line), in))
		if (strstr(line, "Crash kernel") &&
		    sscanf(line, " %llx-%llx", &range.first, &range.last) == 2)
			break;
	if (!range.last)
		errx(1, "no memory is reserved for a crash kernel");
	fclose(in);
	return range;
}

static unsigned long long memory_map(unsigned int n, const char *name, char *text, size_t size)
{
	char path[128];
	FILE *in;

	snprintf(path, sizeof(path), "/sys/firmware/memmap/%u/%s", n, name);
	in = fopen(path, "re");
	if (!in)
		return 0;
	if (!fgets(text, size, in))
		text[0] = '\0';
	fclose(in);
	return strtoull(text, NULL, 0);
}

static void add_memory(struct boot_params *params, uint64_t first, uint64_t last, uint32_t type)
{
	params->e820_table[params->e820_entries++] = (struct boot_e820_entry){
		.addr = first,
		.size = last + 1 - first,
		.type = type,
	};
}

/* The host's; only the first MiB and its own are left to a crash kernel. */
static void add_memory_map(struct boot_params *params, const struct range *own)
{
	char text[64];

	for (unsigned int n = 0; n < E820_MAX_ENTRIES_ZEROPAGE; n++) {
		uint64_t first = memory_map(n, "start", text, sizeof(text));
		uint64_t last = memory_map(n, "end", text, sizeof(text));

		if (!last)
			break;
		memory_map(n, "type", text, sizeof(text));
		if (strncmp(text, "System RAM", 10))
			add_memory(params, first, last, text[0] == 'A' ? 3 : 2);
		else if (!own->last || last < 1 << 20)
			add_memory(params, first, last, 1);
	}
	if (own->last)
		add_memory(params, own->first, own->last, 1);
}

static void *map(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *data;

	if (fd < 0 || fstat(fd, &st))
		err(1, "%s", path);
	*size = st.st_size;
	data = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		err(1, "%s", path);
	close(fd);
	return data;
}

/* The next kernel is of the same build. */
static uint64_t kernel_symbol(const char *name)
{
	FILE *in = fopen("/proc/kallsyms", "re");
	uint64_t value = 0;
	char line[256], symbol[128];

	while (in && !value && fgets(line, sizeof(line), in))
		if (sscanf(line, "%*x %*c %127s", symbol) == 1 && !strcmp(symbol, name))
			value = strtoull(line, NULL, 16);
	if (!value)
		errx(1, "the kernel has no %s", name);
	fclose(in);
	return value;
}

/* lea stack_end(%rip), %rsp; lea params(%rip), %rsi; mov $entry, %rax; jmp *%rax */
static void write_code(struct boot *boot, uint64_t entry)
{
	uint8_t *at = boot->code;
	int32_t stack = offsetof(struct boot, params) - 7;
	int32_t params = offsetof(struct boot, params) - 14;

	at = mempcpy(at, "\x48\x8d\x25", 3);
	at = mempcpy(at, &stack, 4);
	at = mempcpy(at, "\x48\x8d\x35", 3);
	at = mempcpy(at, &params, 4);
	at = mempcpy(at, "\x48\xb8", 2);
	at = mempcpy(at, &entry, 8);
	memcpy(at, "\xff\xe0", 2);
}

static void load_next_kernel(char *const *argv, bool crashes)
{
	static struct boot boot;
	struct range own = crashes ? crash_kernel() : (struct range){};
	uint64_t kernel = crashes ? ALIGN_UP(own.first, 1UL << 21) : KERNEL_BASE;
	uint64_t start = kernel + KERNEL_SIZE, initrd = ALIGN_UP(start + sizeof(boot), 4096UL);
	size_t image_size, initrd_size;
	const void *image = map(argv[0], &image_size), *files = map(argv[1], &initrd_size);
	const struct kexec_segment segments[] = {
		{ image, image_size, (void *)kernel, KERNEL_SIZE },
		{ &boot, sizeof(boot), (void *)start, ALIGN_UP(sizeof(boot), 4096) },
		{ files, initrd_size, (void *)initrd, ALIGN_UP(initrd_size, 4096) },
	};

	write_code(&boot, kernel + kernel_symbol("startup_64") - kernel_symbol("_text"));
	snprintf(boot.cmdline, sizeof(boot.cmdline), "%s", argv[2]);
	boot.params.hdr = (struct setup_header){
		.boot_flag = 0xaa55,
		.header = 0x53726448,
		.version = 0x20f,
		.type_of_loader = 0xff,
		.loadflags = LOADED_HIGH,
		.ramdisk_image = initrd,
		.ramdisk_size = initrd_size,
		.cmd_line_ptr = start + offsetof(struct boot, cmdline),
	};
	add_memory_map(&boot.params, &own);
	if (syscall(SYS_kexec_load, start, 3, segments,
		    KEXEC_ARCH_X86_64 | (crashes ? KEXEC_ON_CRASH : 0)))
		err(1, "cannot load %s", argv[0]);
}

/* --- and the end of this one ----------------------------------------------- */

static void start_vms(void)
{
	static struct busy vms[VMS];

	for (int i = 0; i < VMS; i++)
		if (busy_start(&vms[i], i % 2 ? apic_idle : apic_busy))
			err(1, "cannot run VM %d", i);
	for (int i = 0; i < VMS; i++)
		if (!busy_goes_on(&vms[i], 10))
			errx(1, "VM %d ended by itself: %d", i, vms[i].result);
}

/* On the first CPU: from another one, the next kernel would not dare to start that. */
static void crash(void)
{
	int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

	if (apic_pin(0) || write(fd, "c", 1) < 0)
		err(1, "/proc/sysrq-trigger");
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	bool crashes = !strcmp(how, "crash"), kexec = !strcmp(how, "kexec");

	if (argc != (crashes || kexec ? 5 : 2))
		errx(2, "usage: go-down kexec|crash IMAGE INITRD CMDLINE, or reboot|halt");
	if (crashes || kexec)
		load_next_kernel(argv + 2, crashes);
	start_vms();
	/* What was said until now is to arrive. */
	sleep(1);
	if (crashes)
		crash();
	reboot(kexec ? RB_KEXEC : !strcmp(how, "halt") ? RB_HALT_SYSTEM : RB_AUTOBOOT);
	err(1, "the host did not go down");
}
