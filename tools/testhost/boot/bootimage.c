// SPDX-License-Identifier: GPL-2.0-only
/*
 * bootimage - turn a vmlinux into what the emulator loads straight into RAM
 *
 *   bootimage flatten VMLINUX OUT      lay the ELF segments out as they lie in
 *                                      memory from BOOT_KERNEL_BASE on, and
 *                                      print the PVH entry and the first free
 *                                      address behind the kernel, in decimal
 *   bootimage page ENTRY INITRD_ADDR INITRD_SIZE CMDLINE OUT
 *                                      write the boot page (layout.h)
 *
 * An uncompressed kernel that is in place before the first instruction saves
 * the test host the BIOS's reading and the kernel's decompressing itself.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layout.h"

#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define HVM_START_MAGIC 0x336ec578
#define HUGE_PAGE (2UL << 20)

struct start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t nr_modules;
	uint64_t modlist_paddr;
	uint64_t cmdline_paddr;
	uint64_t rsdp_paddr;
	uint64_t memmap_paddr;
	uint32_t memmap_entries;
	uint32_t reserved;
};

struct modlist_entry {
	uint64_t paddr;
	uint64_t size;
	uint64_t cmdline_paddr;
	uint64_t reserved;
};

_Static_assert(offsetof(struct start_info, memmap_entries) == BOOT_MEMMAP_ENTRIES,
	       "pvhboot.S writes the number of ranges there");
_Static_assert(sizeof(struct start_info) <= BOOT_MODLIST, "start_info overlaps");

static int fail(const char *what, const char *why)
{
	fprintf(stderr, "bootimage: %s: %s\n", what, why);
	return 1;
}

static int write_file(const char *path, const void *data, size_t size)
{
	FILE *out = fopen(path, "wb");
	int bad;

	if (!out)
		return fail(path, strerror(errno));
	bad = fwrite(data, 1, size, out) != size;
	if (fclose(out) || bad)
		return fail(path, strerror(errno));
	return 0;
}

/* The 32-bit entry that a PT_NOTE segment names, or 0. */
static uint32_t pvh_entry(const uint8_t *note, size_t size)
{
	while (size >= sizeof(Elf64_Nhdr)) {
		const Elf64_Nhdr *n = (const void *)note;
		size_t name = (n->n_namesz + 3UL) & ~3UL;
		size_t desc = (n->n_descsz + 3UL) & ~3UL;
		size_t step = sizeof(*n) + name + desc;
		uint32_t entry;

		if (step > size)
			return 0;
		if (n->n_type == XEN_ELFNOTE_PHYS32_ENTRY && n->n_namesz == 4 &&
		    !memcmp(n + 1, "Xen", 4) && n->n_descsz >= sizeof(entry)) {
			memcpy(&entry, note + sizeof(*n) + name, sizeof(entry));
			return entry;
		}
		note += step;
		size -= step;
	}
	return 0;
}

static int flatten_elf(const uint8_t *elf, size_t size, const char *path, const char *out)
{
	const Elf64_Ehdr *eh = (const void *)elf;
	uint64_t file_end = BOOT_KERNEL_BASE, mem_end = BOOT_KERNEL_BASE;
	uint32_t entry = 0;
	uint8_t *image;
	int err;

	if (size < sizeof(*eh) || memcmp(eh->e_ident, ELFMAG, SELFMAG) ||
	    eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_machine != EM_X86_64 ||
	    eh->e_phoff > size || eh->e_phentsize != sizeof(Elf64_Phdr) ||
	    eh->e_phnum > (size - eh->e_phoff) / sizeof(Elf64_Phdr))
		return fail(path, "not an x86-64 kernel");

	const Elf64_Phdr *ph = (const void *)(elf + eh->e_phoff);

	for (int i = 0; i < eh->e_phnum; i++) {
		if (ph[i].p_offset > size || ph[i].p_filesz > size - ph[i].p_offset)
			return fail(path, "truncated");
		if (ph[i].p_type == PT_NOTE && !entry)
			entry = pvh_entry(elf + ph[i].p_offset, ph[i].p_filesz);
		if (ph[i].p_type != PT_LOAD)
			continue;
		if (ph[i].p_paddr < BOOT_KERNEL_BASE || ph[i].p_paddr > (1UL << 31) ||
		    ph[i].p_memsz > (1UL << 30) || ph[i].p_filesz > ph[i].p_memsz)
			return fail(path, "segment outside the place for a kernel");
		if (ph[i].p_paddr + ph[i].p_filesz > file_end)
			file_end = ph[i].p_paddr + ph[i].p_filesz;
		if (ph[i].p_paddr + ph[i].p_memsz > mem_end)
			mem_end = ph[i].p_paddr + ph[i].p_memsz;
	}
	if (!entry)
		return fail(path, "no PVH entry (CONFIG_PVH is off)");

	image = calloc(1, file_end - BOOT_KERNEL_BASE);
	if (!image)
		return fail(path, strerror(ENOMEM));
	for (int i = 0; i < eh->e_phnum; i++)
		if (ph[i].p_type == PT_LOAD)
			memcpy(image + ph[i].p_paddr - BOOT_KERNEL_BASE, elf + ph[i].p_offset,
			       ph[i].p_filesz);
	err = write_file(out, image, file_end - BOOT_KERNEL_BASE);
	free(image);
	if (!err)
		printf("%u %lu\n", entry, (mem_end + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
	return err;
}

static int flatten(const char *path, const char *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *elf;
	int err;

	if (fd < 0 || fstat(fd, &st))
		return fail(path, strerror(errno));
	elf = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (elf == MAP_FAILED)
		return fail(path, strerror(errno));
	err = flatten_elf(elf, st.st_size, path, out);
	munmap(elf, st.st_size);
	return err;
}

static int boot_page(char **arg)
{
	static uint8_t page[BOOT_PAGE_SIZE];
	const char *cmdline = arg[3];
	uint32_t entry = strtoul(arg[0], NULL, 0);
	struct modlist_entry initrd = {
		.paddr = strtoull(arg[1], NULL, 0),
		.size = strtoull(arg[2], NULL, 0),
	};
	struct start_info info = {
		.magic = HVM_START_MAGIC,
		.version = 1,
		.nr_modules = 1,
		.modlist_paddr = BOOT_PAGE + BOOT_MODLIST,
		.cmdline_paddr = BOOT_PAGE + BOOT_CMDLINE,
		.memmap_paddr = BOOT_PAGE + BOOT_MEMMAP,
	};

	if (strlen(cmdline) >= BOOT_PAGE_SIZE - BOOT_CMDLINE)
		return fail("kernel command line", strerror(E2BIG));

	memcpy(page + BOOT_START_INFO, &info, sizeof(info));
	memcpy(page + BOOT_MODLIST, &initrd, sizeof(initrd));
	memcpy(page + BOOT_ENTRY, &entry, sizeof(entry));
	strcpy((char *)page + BOOT_CMDLINE, cmdline);
	return write_file(arg[4], page, sizeof(page));
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "flatten"))
		return flatten(argv[2], argv[3]);
	if (argc == 7 && !strcmp(argv[1], "page"))
		return boot_page(argv + 2);
	fprintf(stderr, "usage: bootimage flatten VMLINUX OUT\n"
			"       bootimage page ENTRY INITRD_ADDR INITRD_SIZE CMDLINE OUT\n");
	return 2;
}
