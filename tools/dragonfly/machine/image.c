// SPDX-License-Identifier: GPL-2.0-only
/*
 * bzImage, by Linux' 64-bit boot protocol (Documentation/arch/x86/boot.rst), and
 * vmlinux, by PVH where it has the note and the 64-bit protocol where not.
 */
#include "image.h"

#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dragonfly.h"

#define SETUP_OFFSET 0x1f1 /* of struct setup_header in the file */
#define SETUP_MAGIC 0x53726448 /* "HdrS" */
#define SECTOR 512
#define LINUX64_ENTRY 0x200
#define OLDEST 0x020c /* boot protocol 2.12: xloadflags */

/* Below lies what boot.c writes. */
#define LOWEST 0x100000ULL

#define XEN_NOTE_PHYS32_ENTRY 18
#define LINUX_CMDLINE_SIZE 2047

int file__map(struct file *file, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO may have no writer */
	struct stat stat;
	void *data;

	*file = (struct file){ .path = path };
	if (fd < 0)
		return complain("cannot read %s: %s", path, strerror(errno));
	if (fstat(fd, &stat) || !S_ISREG(stat.st_mode) || !stat.st_size) {
		close(fd);
		return complain("%s is empty, or no file", path);
	}
	data = mmap(NULL, stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (data == MAP_FAILED)
		return complain("cannot map %s: %s", path, strerror(errno));
	file->data = data;
	file->size = stat.st_size;
	return 0;
}

void file__unmap(struct file *file)
{
	if (file->data)
		munmap((void *)file->data, file->size);
	*file = (struct file){};
}

static int truncated(const struct file *file)
{
	return complain("%s ends before the kernel does: it is truncated", file->path);
}

static int damaged(const struct file *file)
{
	return complain("%s is damaged: its headers contradict themselves", file->path);
}

/* Is there memory for the kernel, below the hole that ends low memory? */
static int check_place(const struct file *file, const struct memory *memory, uint64_t start,
		       uint64_t size)
{
	if (start < LOWEST || start > MEMORY_LOW_END || size > MEMORY_LOW_END - start)
		return complain("%s goes to %" PRIu64 " MiB, which no guest has: give another",
				file->path, start >> 20);
	if (!memory__at(memory, start, size))
		return complain("%s needs %" PRIu64 " MiB at %" PRIu64 " MiB: give more with --mem",
				file->path, (size >> 20) + 1, start >> 20);
	return 0;
}

static int load_bzimage(struct image *image, const struct file *file, const struct memory *memory)
{
	const struct setup_header *setup = (const void *)(file->data + SETUP_OFFSET);
	size_t sectors = setup->setup_sects ? setup->setup_sects : 4;
	size_t start = (sectors + 1) * SECTOR, size = (size_t)setup->syssize * 16;
	uint64_t place = setup->pref_address;

	if (setup->version < OLDEST || !(setup->xloadflags & XLF_KERNEL_64))
		return complain("%s is no 64-bit kernel with boot protocol 2.12 or later",
				file->path);
	if (file->size < start || file->size - start < size)
		return truncated(file);
	if (setup->relocatable_kernel) {
		uint64_t align = setup->kernel_alignment;

		if (!align || align & (align - 1))
			return damaged(file);
		/* It would move itself up to there anyway, over what lies behind it. */
		place = (place + align - 1) & ~(align - 1);
	}
	if (size <= LINUX64_ENTRY || setup->init_size < size)
		return damaged(file);
	if (check_place(file, memory, place, setup->init_size))
		return -1;
	memcpy(memory__at(memory, place, size), file->data + start, size);
	*image = (struct image){
		.protocol = IMAGE_LINUX64,
		.entry = place + LINUX64_ENTRY,
		.end = place + setup->init_size,
		.initrd_end = (uint64_t)setup->initrd_addr_max + 1,
		.cmdline_size = setup->cmdline_size,
		.setup = setup,
		/* The byte at 0x201 says where the header ends, from 0x202 on. */
		.setup_size = 0x202 + file->data[0x201] - SETUP_OFFSET,
	};
	if (image->setup_size > sizeof(*setup))
		image->setup_size = sizeof(*setup);
	return 0;
}

static bool in_file(const struct file *file, uint64_t offset, uint64_t size)
{
	return offset <= file->size && size <= file->size - offset;
}

/* The 32-bit entry that a note of the Xen project's names, or 0. */
static uint32_t pvh_entry(const uint8_t *note, uint64_t size)
{
	Elf64_Nhdr header;

	while (size >= sizeof(header)) {
		const uint8_t *data = note + sizeof(header);
		uint64_t name, desc;
		uint32_t entry;

		memcpy(&header, note, sizeof(header)); /* p_offset may be odd */
		name = (header.n_namesz + 3ULL) & ~3ULL;
		desc = (header.n_descsz + 3ULL) & ~3ULL;
		if (name + desc > size - sizeof(header))
			return 0;
		if (header.n_type == XEN_NOTE_PHYS32_ENTRY && header.n_namesz == 4 &&
		    !memcmp(data, "Xen", 4) && header.n_descsz >= sizeof(entry)) {
			memcpy(&entry, data + name, sizeof(entry));
			return entry;
		}
		note += sizeof(header) + name + desc;
		size -= sizeof(header) + name + desc;
	}
	return 0;
}

static int load_segment(struct image *image, const struct file *file, const Elf64_Phdr *segment,
			const struct memory *memory)
{
	if (!segment->p_memsz)
		return 0;
	if (segment->p_filesz > segment->p_memsz)
		return damaged(file);
	if (!in_file(file, segment->p_offset, segment->p_filesz))
		return truncated(file);
	if (check_place(file, memory, segment->p_paddr, segment->p_memsz))
		return -1;
	memcpy(memory__at(memory, segment->p_paddr, segment->p_filesz),
	       file->data + segment->p_offset, segment->p_filesz);
	if (image->end < segment->p_paddr + segment->p_memsz)
		image->end = segment->p_paddr + segment->p_memsz;
	return 0;
}

static int load_vmlinux(struct image *image, const struct file *file, const struct memory *memory)
{
	const Elf64_Ehdr *elf = (const void *)file->data;
	uint32_t pvh = 0;

	if (elf->e_ident[EI_CLASS] != ELFCLASS64 || elf->e_machine != EM_X86_64 ||
	    elf->e_type != ET_EXEC || elf->e_phentsize != sizeof(Elf64_Phdr))
		return complain("%s is no x86-64 kernel", file->path);
	if (!in_file(file, elf->e_phoff, (uint64_t)elf->e_phnum * sizeof(Elf64_Phdr)))
		return truncated(file);
	*image = (struct image){
		.protocol = IMAGE_LINUX64,
		.entry = elf->e_entry,
		.initrd_end = MEMORY_LOW_END,
		.cmdline_size = LINUX_CMDLINE_SIZE,
	};
	for (unsigned int i = 0; i < elf->e_phnum; i++) {
		Elf64_Phdr segment;

		memcpy(&segment, file->data + elf->e_phoff + i * sizeof(segment), sizeof(segment));
		if (segment.p_type == PT_LOAD && load_segment(image, file, &segment, memory))
			return -1;
		if (segment.p_type == PT_NOTE && !pvh &&
		    in_file(file, segment.p_offset, segment.p_filesz))
			pvh = pvh_entry(file->data + segment.p_offset, segment.p_filesz);
	}
	if (!image->end)
		return complain("%s has nothing to load", file->path);
	if (pvh) {
		image->protocol = IMAGE_PVH;
		image->entry = pvh;
	}
	if (image->entry < LOWEST || image->entry >= image->end)
		return damaged(file);
	return 0;
}

int image__load(struct image *image, const struct file *file, const struct memory *memory)
{
	const struct setup_header *setup = (const void *)(file->data + SETUP_OFFSET);

	if (file->size >= sizeof(Elf64_Ehdr) && !memcmp(file->data, ELFMAG, SELFMAG))
		return load_vmlinux(image, file, memory);
	if (file->size >= SETUP_OFFSET + sizeof(*setup) && setup->header == SETUP_MAGIC)
		return load_bzimage(image, file, memory);
	return complain("%s is neither a bzImage nor a vmlinux", file->path);
}
