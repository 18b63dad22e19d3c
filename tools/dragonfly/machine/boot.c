// SPDX-License-Identifier: GPL-2.0-only
#include "boot.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "devices/power.h"
#include "dragonfly.h"
#include "image.h"
#include "machine.h"

#define PAGE 4096ULL
#define CMDLINE_MAX 0x10000 /* room at BOOT_CMDLINE */

#define E820_RAM 1
#define E820_RESERVED 2
#define E820_ACPI 3

#define LOADER_UNKNOWN 0xff

#define RESET_PORT (POWER_PORT + POWER_RESET)

/* PVH's structures are Xen's (hvm/start_info.h), at BOOT_INFO one behind the other. */
struct pvh_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modules, cmdline, rsdp, memmap;
	uint32_t nr_memmap, reserved;
};

struct pvh_module {
	uint64_t address, size, cmdline, reserved;
};

struct pvh_range {
	uint64_t address, size;
	uint32_t type, reserved;
};

#define PVH_MAGIC 0x336ec578

#define MAX_RANGES 8

struct pvh_page {
	struct pvh_info info;
	struct pvh_module initrd;
	struct pvh_range ranges[MAX_RANGES];
};

/* What of the guest-physical space is what. */
static unsigned int list_ranges(const struct memory *memory, struct pvh_range *ranges)
{
	unsigned int n = 0;

	ranges[n++] = (struct pvh_range){ 0, 0xa0000, E820_RAM, 0 };
	ranges[n++] = (struct pvh_range){ ACPI_TABLES, ACPI_SIZE, E820_ACPI, 0 };
	ranges[n++] =
		(struct pvh_range){ 0x100000, memory->pieces[0].size - 0x100000, E820_RAM, 0 };
	ranges[n++] = (struct pvh_range){ PCI_ECAM, PCI_ECAM_SIZE, E820_RESERVED, 0 };
	if (memory->nr_pieces > 1)
		ranges[n++] =
			(struct pvh_range){ MEMORY_HIGH, memory->pieces[1].size, E820_RAM, 0 };
	return n;
}

static int load_cmdline(const struct memory *memory, const struct image *image, const char *cmdline)
{
	size_t size = strlen(cmdline), max = CMDLINE_MAX - 1;

	if (max > image->cmdline_size)
		max = image->cmdline_size;
	if (size > max)
		return complain("the kernel's command line may have %zu characters, not %zu", max,
				size);
	memcpy(memory__at(memory, BOOT_CMDLINE, size + 1), cmdline, size + 1);
	return 0;
}

/* As high as the kernel allows: it moves what is in its way, not what is behind it. */
static int load_initrd(const struct memory *memory, const struct image *image, const char *path,
		       struct pvh_module *initrd)
{
	uint64_t end = memory->pieces[0].size;
	struct file file;

	if (!path)
		return 0;
	if (file__map(&file, path))
		return -1;
	if (end > image->initrd_end)
		end = image->initrd_end;
	if (end < image->end || end - image->end < file.size + PAGE) {
		complain("%s does not fit behind the kernel: give more than %" PRIu64
			 "M with --mem",
			 path, memory->size >> 20);
		file__unmap(&file);
		return -1;
	}
	initrd->address = (end - file.size) & ~(PAGE - 1);
	initrd->size = file.size;
	memcpy(memory__at(memory, initrd->address, file.size), file.data, file.size);
	file__unmap(&file);
	return 0;
}

static void write_pvh(const struct memory *memory, const struct pvh_module *initrd)
{
	struct pvh_page *page = memory__at(memory, BOOT_INFO, sizeof(*page));

	*page = (struct pvh_page){
		.info = {
			.magic = PVH_MAGIC,
			.version = 1,
			.nr_modules = initrd->size ? 1 : 0,
			.modules = BOOT_INFO + offsetof(struct pvh_page, initrd),
			.cmdline = BOOT_CMDLINE,
			.rsdp = ACPI_TABLES,
			.memmap = BOOT_INFO + offsetof(struct pvh_page, ranges),
		},
		.initrd = *initrd,
	};
	page->info.nr_memmap = list_ranges(memory, page->ranges);
}

static void write_boot_params(const struct memory *memory, const struct image *image,
			      const struct pvh_module *initrd)
{
	struct boot_params *params = memory__at(memory, BOOT_INFO, sizeof(*params));
	struct pvh_range ranges[MAX_RANGES];

	memset(params, 0, sizeof(*params));
	if (image->setup)
		memcpy(&params->hdr, image->setup, image->setup_size);
	params->hdr.type_of_loader = LOADER_UNKNOWN;
	params->hdr.cmd_line_ptr = BOOT_CMDLINE;
	params->hdr.ramdisk_image = initrd->address;
	params->hdr.ramdisk_size = initrd->size;
	params->acpi_rsdp_addr = ACPI_TABLES;
	params->e820_entries = list_ranges(memory, ranges);
	for (unsigned int i = 0; i < params->e820_entries; i++)
		params->e820_table[i] = (struct boot_e820_entry){ ranges[i].address, ranges[i].size,
								  ranges[i].type };
}

/*
 * All that there is of a BIOS: real mode code that writes the reset register. Linux jumps
 * to it for a reboot when ACPI is hardware-reduced and there is no EFI to ask.
 */
static void write_reset_vector(const struct memory *memory)
{
	static const uint8_t code[] = {
		0xba,
		RESET_PORT & 0xff,
		RESET_PORT >> 8, /* mov $port, %dx */
		0xb0,
		POWER_RESET_VALUE, /* mov $value, %al */
		0xee, /* out %al, %dx */
		0xf4, /* hlt */
		0xeb,
		0xfd, /* jmp to the hlt */
	};

	memcpy(memory__at(memory, BOOT_RESET_VECTOR, sizeof(code)), code, sizeof(code));
}

int boot__load(struct machine *machine, struct entry *entry)
{
	const struct options *options = machine->options;
	const struct memory *memory = &machine->memory;
	struct pvh_module initrd = {};
	struct image image = {};
	struct file file;
	int err;

	if (file__map(&file, options->kernel))
		return -1;
	err = image__load(&image, &file, memory) || load_cmdline(memory, &image, options->append) ||
	      load_initrd(memory, &image, options->initrd, &initrd);
	if (!err && image.protocol == IMAGE_PVH)
		write_pvh(memory, &initrd);
	else if (!err)
		write_boot_params(memory, &image, &initrd);
	if (!err)
		write_reset_vector(memory);
	file__unmap(&file);
	*entry = (struct entry){ .long_mode = image.protocol == IMAGE_LINUX64, .rip = image.entry };
	return err ? -1 : 0;
}

/* ---- the boot vCPU ---------------------------------------------------------------- */

#define SELECTOR_CODE 0x10
#define SELECTOR_DATA 0x18

#define CR0_PE (1ULL << 0)
#define CR0_ET (1ULL << 4)
#define CR0_PG (1ULL << 31)
#define CR4_PAE (1ULL << 5)
#define EFER_LME (1ULL << 8)
#define EFER_LMA (1ULL << 10)

#define PTE_PRESENT (1ULL << 0)
#define PTE_WRITE (1ULL << 1)
#define PTE_LARGE (1ULL << 7)

/* Of a segment that is flat, present, accessed, for ring 0. */
#define GDT_FLAT_CODE64 0x00af9b000000ffffULL
#define GDT_FLAT_CODE32 0x00cf9b000000ffffULL
#define GDT_FLAT_DATA 0x00cf93000000ffffULL

static void write_gdt(const struct memory *memory, bool long_mode)
{
	uint64_t *gdt = memory__at(memory, BOOT_GDT, 4 * sizeof(*gdt));

	gdt[SELECTOR_CODE / 8] = long_mode ? GDT_FLAT_CODE64 : GDT_FLAT_CODE32;
	gdt[SELECTOR_DATA / 8] = GDT_FLAT_DATA;
}

/* The first 4 GiB as they are, in pages of 2 MiB. */
static void write_page_tables(const struct memory *memory)
{
	uint64_t *tables = memory__at(memory, BOOT_TABLES, 6 * PAGE);
	uint64_t *pml4 = tables, *pdpt = tables + 512, *directories = tables + 1024;

	pml4[0] = (BOOT_TABLES + PAGE) | PTE_PRESENT | PTE_WRITE;
	for (unsigned int i = 0; i < 4; i++)
		pdpt[i] = (BOOT_TABLES + (2 + i) * PAGE) | PTE_PRESENT | PTE_WRITE;
	for (uint64_t i = 0; i < 4 * 512; i++)
		directories[i] = i << 21 | PTE_PRESENT | PTE_WRITE | PTE_LARGE;
}

static struct kvm_segment segment(uint16_t selector, uint8_t type, bool long_mode)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.db = !long_mode,
		.s = 1,
		.l = long_mode,
		.g = 1,
	};
}

static int set_sregs(int fd, const struct entry *entry)
{
	struct kvm_sregs sregs;

	if (ioctl(fd, KVM_GET_SREGS, &sregs))
		return -1;
	sregs.cs = segment(SELECTOR_CODE, 0xb, entry->long_mode);
	sregs.ds = segment(SELECTOR_DATA, 0x3, false);
	sregs.es = sregs.fs = sregs.gs = sregs.ss = sregs.ds;
	sregs.gdt = (struct kvm_dtable){ .base = BOOT_GDT, .limit = 4 * 8 - 1 };
	sregs.cr0 = CR0_PE | CR0_ET;
	if (entry->long_mode) {
		sregs.cr0 |= CR0_PG;
		sregs.cr3 = BOOT_TABLES;
		sregs.cr4 = CR4_PAE;
		sregs.efer = EFER_LME | EFER_LMA;
	}
	return ioctl(fd, KVM_SET_SREGS, &sregs);
}

int boot__enter(struct vcpu *vcpu, const struct entry *entry)
{
	const struct memory *memory = &vcpu->machine->memory;
	struct kvm_regs regs = {
		.rip = entry->rip,
		.rflags = 2,
		.rsi = BOOT_INFO, /* Linux' protocol */
		.rbx = BOOT_INFO, /* PVH's */
	};

	write_gdt(memory, entry->long_mode);
	if (entry->long_mode)
		write_page_tables(memory);
	if (set_sregs(vcpu->fd, entry) || ioctl(vcpu->fd, KVM_SET_REGS, &regs))
		return complain("cannot set the boot vCPU's registers: %s", strerror(errno));
	return 0;
}
