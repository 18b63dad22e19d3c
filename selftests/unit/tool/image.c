// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kernels' files that are what they should be, and those that are made to do harm.
 */
#include "bzimage.h"
#include "complaints.h"

#include <elf.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "machine/image.h"

#define MIB 0x100000ULL
#define MEMORY (64 * MIB)

FIXTURE(image)
{
	struct memory memory;
	struct image image;
	uint8_t data[0x24000];
	size_t size;
	struct setup_header *setup; /* of a bzImage */
	Elf64_Ehdr *elf; /* of a vmlinux, with what follows */
	Elf64_Phdr *segments;
};

FIXTURE_SETUP(image)
{
	ASSERT_EQ(0, memory__create(&self->memory, MEMORY, 0));
}

FIXTURE_TEARDOWN(image)
{
	memory__destroy(&self->memory);
}

/* From a block of exactly its size, for what reads too far to be found. */
static int load(FIXTURE_DATA(image) * self)
{
	uint8_t *copy = malloc(self->size);
	struct file file = { "kernel", copy, self->size };
	int err;

	memcpy(copy, self->data, self->size);
	*why = '\0';
	err = image__load(&self->image, &file, &self->memory);
	free(copy);
	return err;
}

static uint8_t byte_at(FIXTURE_DATA(image) * self, uint64_t guest)
{
	return *(uint8_t *)memory__at(&self->memory, guest, 1);
}

TEST_F(image, of_neither_kind_is_refused)
{
	static const size_t sizes[] = { 1, 4, 63, 0x1f1, 0x202, 0x26c, 0x1000 };

	memset(self->data, 0x55, sizeof(self->data));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		self->size = sizes[i];
		EXPECT_EQ(-1, load(self)) TH_LOG("%zu bytes", sizes[i]);
		EXPECT_SAYS("neither a bzImage nor a vmlinux");
	}
}

/* ---- bzImage --------------------------------------------------------------------- */

#define PAYLOAD 0x4000

/* One sector of setup, PAYLOAD bytes of 0x90. */
static void make_bzimage(FIXTURE_DATA(image) * self)
{
	self->setup = (void *)(self->data + BZIMAGE_HEADER);
	*self->setup = bzimage_header(PAYLOAD, MIB);
	memset(self->data + BZIMAGE_PAYLOAD, 0x90, PAYLOAD);
	self->size = BZIMAGE_PAYLOAD + PAYLOAD;
}

#define EXPECT_REFUSED(text)               \
	do {                               \
		EXPECT_EQ(-1, load(self)); \
		EXPECT_SAYS(text);         \
	} while (0)

TEST_F(image, bzimage_is_loaded_where_it_prefers_to_be)
{
	make_bzimage(self);
	ASSERT_EQ(0, load(self)) TH_LOG("%s", why);
	EXPECT_EQ(IMAGE_LINUX64, self->image.protocol);
	EXPECT_EQ(16 * MIB + 0x200, self->image.entry);
	EXPECT_EQ(17 * MIB, self->image.end);
	EXPECT_EQ(0x80000000, self->image.initrd_end);
	EXPECT_EQ(2047, self->image.cmdline_size);
	EXPECT_EQ(0x90, byte_at(self, 16 * MIB));
	EXPECT_EQ(0x90, byte_at(self, 16 * MIB + PAYLOAD - 1));
	EXPECT_EQ(0, byte_at(self, 16 * MIB + PAYLOAD));
	EXPECT_EQ(0, byte_at(self, 16 * MIB - 1));
}

TEST_F(image, bzimage_without_setup_sectors_has_four)
{
	make_bzimage(self);
	self->setup->setup_sects = 0;
	EXPECT_REFUSED("truncated");
	self->size = 5 * 512 + PAYLOAD;
	EXPECT_EQ(0, load(self));
}

TEST_F(image, bzimage_that_ends_early_is_truncated)
{
	make_bzimage(self);
	self->size--;
	EXPECT_REFUSED("truncated");
	self->size = BZIMAGE_HEADER + sizeof(*self->setup);
	EXPECT_REFUSED("truncated");
	make_bzimage(self);
	self->setup->setup_sects = 255;
	EXPECT_REFUSED("truncated");
	self->size = 256 * 512 + PAYLOAD;
	EXPECT_EQ(0, load(self));
	self->setup->syssize = UINT32_MAX;
	EXPECT_REFUSED("truncated");
	self->setup->syssize = PAYLOAD / 16 + 1;
	EXPECT_REFUSED("truncated");
}

TEST_F(image, bzimage_for_less_than_its_payload_is_damaged)
{
	make_bzimage(self);
	self->setup->init_size = PAYLOAD - 1;
	EXPECT_REFUSED("damaged");
	self->setup->init_size = 0;
	EXPECT_REFUSED("damaged");
	self->setup->init_size = PAYLOAD;
	EXPECT_EQ(0, load(self));
	self->setup->syssize = 0x200 / 16;
	EXPECT_REFUSED("damaged");
	self->setup->syssize = 0;
	EXPECT_REFUSED("damaged");
}

TEST_F(image, bzimage_is_aligned_by_a_power_of_two)
{
	make_bzimage(self);
	self->setup->kernel_alignment = 0;
	EXPECT_REFUSED("damaged");
	self->setup->kernel_alignment = 3;
	EXPECT_REFUSED("damaged");
	self->setup->kernel_alignment = UINT32_MAX;
	EXPECT_REFUSED("damaged");
	self->setup->kernel_alignment = 1;
	self->setup->pref_address = 16 * MIB + 1;
	EXPECT_EQ(0, load(self));
	EXPECT_EQ(16 * MIB + 0x201, self->image.entry);
	self->setup->kernel_alignment = 32 * MIB;
	EXPECT_EQ(0, load(self));
	EXPECT_EQ(32 * MIB + 0x200, self->image.entry);
	self->setup->kernel_alignment = 1u << 31;
	EXPECT_REFUSED("--mem");
	/* Nobody aligns what cannot move. */
	self->setup->relocatable_kernel = 0;
	self->setup->kernel_alignment = 0;
	EXPECT_EQ(0, load(self));
	EXPECT_EQ(16 * MIB + 0x201, self->image.entry);
}

TEST_F(image, bzimage_goes_where_there_is_memory_for_all_of_it)
{
	static const struct {
		uint64_t address;
		uint32_t size;
		const char *text; /* NULL: it fits */
	} rows[] = {
		{ MIB, MIB, NULL },
		{ MEMORY - MIB, MIB, NULL },
		{ MIB, MEMORY - MIB, NULL },
		{ MEMORY - MIB, MIB + 1, "--mem" },
		{ MEMORY, MIB, "--mem" },
		{ 16 * MIB, 0xb0000000, "--mem" },
		{ 0, MIB, "which no guest has" },
		{ 0x10000, MIB, "which no guest has" },
		{ MIB - 4096, MIB, "which no guest has" },
		{ 16 * MIB, UINT32_MAX, "which no guest has" },
		{ 0xc0000000, MIB, "which no guest has" },
		{ 0xbff00001, MIB, "which no guest has" },
		{ 0x100000000, MIB, "which no guest has" },
		{ 1ULL << 63, MIB, "which no guest has" },
		{ UINT64_MAX, MIB, "which no guest has" },
		{ UINT64_MAX - PAYLOAD + 1, MIB, "which no guest has" },
	};

	make_bzimage(self);
	self->setup->kernel_alignment = 1;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		self->setup->relocatable_kernel = i % 2;
		self->setup->pref_address = rows[i].address;
		self->setup->init_size = rows[i].size;
		EXPECT_EQ(rows[i].text ? -1 : 0, load(self)) TH_LOG("row %zu", i);
		EXPECT_SAYS(rows[i].text ?: "");
	}
	self->setup->relocatable_kernel = 1;
	self->setup->init_size = MIB;
	self->setup->pref_address = UINT64_MAX;
	self->setup->kernel_alignment = 1u << 31;
	EXPECT_REFUSED("which no guest has");
}

TEST_F(image, bzimage_does_not_go_above_4_gib)
{
	memory__destroy(&self->memory);
	ASSERT_EQ(0, memory__create(&self->memory, 0x140000000, 0));
	make_bzimage(self);
	self->setup->relocatable_kernel = 0;
	self->setup->pref_address = 0x100000000;
	EXPECT_REFUSED("which no guest has");
	self->setup->pref_address = 0xbff00000;
	EXPECT_EQ(0, load(self));
}

TEST_F(image, bzimage_says_where_its_header_ends)
{
	make_bzimage(self);
	self->data[0x201] = 0;
	EXPECT_EQ(0, load(self));
	EXPECT_EQ(0x11, self->image.setup_size);
	self->data[0x201] = 0x6a;
	EXPECT_EQ(0, load(self));
	EXPECT_EQ(0x7b, self->image.setup_size);
	self->data[0x201] = 255;
	EXPECT_EQ(0, load(self));
	EXPECT_EQ(sizeof(*self->setup), self->image.setup_size);
}

TEST_F(image, bzimage_that_is_old_or_of_32_bits_is_refused)
{
	make_bzimage(self);
	self->setup->version = 0x20b;
	EXPECT_REFUSED("64-bit kernel");
	make_bzimage(self);
	self->setup->xloadflags = (uint16_t)~XLF_KERNEL_64;
	EXPECT_REFUSED("64-bit kernel");
}

TEST_F(image, bzimage_limits_its_initrd_without_wrapping)
{
	make_bzimage(self);
	self->setup->initrd_addr_max = UINT32_MAX;
	EXPECT_EQ(0, load(self));
	EXPECT_EQ(0x100000000, self->image.initrd_end);
	self->setup->initrd_addr_max = 0;
	EXPECT_EQ(0, load(self));
	EXPECT_EQ(1, self->image.initrd_end);
}

/* ---- vmlinux --------------------------------------------------------------------- */

#define NR_SEGMENTS 3
#define NOTES 0x800
#define CODE 0x1000

/* 4 KiB of code at 16 MiB in a segment of 8 KiB, one of nothing, and room for notes. */
static void make_vmlinux(FIXTURE_DATA(image) * self)
{
	self->elf = (void *)self->data;
	self->segments = (void *)(self->elf + 1);
	memset(self->data, 0, sizeof(self->data));
	memcpy(self->elf->e_ident, ELFMAG, SELFMAG);
	self->elf->e_ident[EI_CLASS] = ELFCLASS64;
	self->elf->e_type = ET_EXEC;
	self->elf->e_machine = EM_X86_64;
	self->elf->e_phentsize = sizeof(Elf64_Phdr);
	self->elf->e_phoff = sizeof(*self->elf);
	self->elf->e_phnum = NR_SEGMENTS;
	self->elf->e_entry = 16 * MIB + 0x10;
	self->segments[0] = (Elf64_Phdr){ .p_type = PT_LOAD,
					  .p_offset = CODE,
					  .p_paddr = 16 * MIB,
					  .p_filesz = 0x1000,
					  .p_memsz = 0x2000 };
	self->segments[1] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_offset = UINT64_MAX };
	self->segments[2] = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = NOTES, .p_filesz = 0x40 };
	memset(self->data + CODE, 0x90, 0x1000);
	self->size = CODE + 0x1000;
}

TEST_F(image, vmlinux_is_loaded_by_its_segments)
{
	make_vmlinux(self);
	ASSERT_EQ(0, load(self)) TH_LOG("%s", why);
	EXPECT_EQ(IMAGE_LINUX64, self->image.protocol);
	EXPECT_EQ(16 * MIB + 0x10, self->image.entry);
	EXPECT_EQ(16 * MIB + 0x2000, self->image.end);
	EXPECT_EQ(NULL, self->image.setup);
	EXPECT_EQ(0x90, byte_at(self, 16 * MIB + 0xfff));
	EXPECT_EQ(0, byte_at(self, 16 * MIB + 0x1000));
}

TEST_F(image, vmlinux_for_another_machine_is_refused)
{
	make_vmlinux(self);
	self->elf->e_machine = EM_386;
	EXPECT_REFUSED("no x86-64 kernel");
	make_vmlinux(self);
	self->elf->e_ident[EI_CLASS] = ELFCLASS32;
	EXPECT_REFUSED("no x86-64 kernel");
	make_vmlinux(self);
	self->elf->e_type = ET_REL;
	EXPECT_REFUSED("no x86-64 kernel");
	make_vmlinux(self);
	self->elf->e_phentsize = 0;
	EXPECT_REFUSED("no x86-64 kernel");
	self->elf->e_phentsize = sizeof(Elf64_Phdr) + 1;
	EXPECT_REFUSED("no x86-64 kernel");
}

TEST_F(image, vmlinux_whose_program_headers_are_not_in_it_is_truncated)
{
	static const uint64_t offsets[] = { 0x2000,	0x1f60,	    0x10000,
					    1ULL << 63, UINT64_MAX, UINT64_MAX - 0xa7 };

	make_vmlinux(self);
	for (size_t i = 0; i < sizeof(offsets) / sizeof(*offsets); i++) {
		self->elf->e_phoff = offsets[i];
		EXPECT_REFUSED("truncated");
	}
	self->elf->e_phoff = sizeof(*self->elf);
	self->elf->e_phnum = UINT16_MAX;
	EXPECT_REFUSED("truncated");
	self->size = sizeof(*self->elf);
	EXPECT_REFUSED("truncated");
}

TEST_F(image, vmlinux_may_have_its_program_headers_at_its_very_end)
{
	make_vmlinux(self);
	memcpy(self->data + self->size, self->segments, NR_SEGMENTS * sizeof(*self->segments));
	self->elf->e_phoff = self->size;
	self->size += NR_SEGMENTS * sizeof(*self->segments);
	EXPECT_EQ(0, load(self));
}

TEST_F(image, vmlinux_with_nothing_to_load_is_refused)
{
	make_vmlinux(self);
	self->elf->e_phnum = 0;
	EXPECT_REFUSED("nothing to load");
	self->elf->e_phnum = 1;
	self->segments[0].p_memsz = 0;
	EXPECT_REFUSED("nothing to load");
}

TEST_F(image, vmlinux_whose_segments_are_absurd_is_refused)
{
	static const struct {
		uint64_t offset, address, filesz, memsz;
		const char *text;
	} rows[] = {
		{ CODE, 16 * MIB, 0x1001, 0x2000, "truncated" },
		{ CODE + 1, 16 * MIB, 0x1000, 0x2000, "truncated" },
		{ UINT64_MAX, 16 * MIB, 0x1000, 0x2000, "truncated" },
		{ UINT64_MAX - 0xfff, 16 * MIB, 0x1000, 0x2000, "truncated" },
		{ CODE, 16 * MIB, UINT64_MAX, UINT64_MAX, "truncated" },
		{ CODE, 16 * MIB, 0x1000, 0xfff, "damaged" },
		{ CODE, 16 * MIB, 0x1000, MEMORY, "--mem" },
		{ CODE, MEMORY - 0x1fff, 0x1000, 0x2000, "--mem" },
		{ CODE, 16 * MIB, 0x1000, UINT64_MAX, "which no guest has" },
		{ CODE, 0, 0x1000, 0x2000, "which no guest has" },
		{ CODE, MIB - 1, 0x1000, 0x2000, "which no guest has" },
		{ CODE, 0xc0000000, 0x1000, 0x2000, "which no guest has" },
		{ CODE, UINT64_MAX, 0x1000, 0x2000, "which no guest has" },
		{ CODE, UINT64_MAX - 0x1fff, 0x1000, 0x2000, "which no guest has" },
		{ CODE, 0xffffffff81000000, 0x1000, 0x2000, "which no guest has" },
	};

	make_vmlinux(self);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		self->segments[0].p_offset = rows[i].offset;
		self->segments[0].p_paddr = rows[i].address;
		self->segments[0].p_filesz = rows[i].filesz;
		self->segments[0].p_memsz = rows[i].memsz;
		EXPECT_EQ(-1, load(self)) TH_LOG("row %zu", i);
		EXPECT_SAYS(rows[i].text);
	}
}

TEST_F(image, vmlinux_ends_where_its_highest_segment_does)
{
	make_vmlinux(self);
	self->segments[1] = (Elf64_Phdr){
		.p_type = PT_LOAD, .p_offset = self->size, .p_paddr = MIB, .p_memsz = 0x1000
	};
	EXPECT_EQ(0, load(self));
	EXPECT_EQ(16 * MIB + 0x2000, self->image.end);
	self->segments[1].p_paddr = MEMORY - 0x1000;
	EXPECT_EQ(0, load(self));
	EXPECT_EQ(MEMORY, self->image.end);
}

TEST_F(image, vmlinux_is_entered_where_it_was_loaded)
{
	static const uint64_t entries[] = { 0, MIB - 1, 16 * MIB + 0x2000, 0xffffffff81000000,
					    1ULL << 63 };

	make_vmlinux(self);
	for (size_t i = 0; i < sizeof(entries) / sizeof(*entries); i++) {
		self->elf->e_entry = entries[i];
		EXPECT_REFUSED("damaged");
	}
}

/* ---- notes ----------------------------------------------------------------------- */

/* A note with a name of four bytes behind what notes there are; where the next one goes. */
static size_t put_note(FIXTURE_DATA(image) * self, size_t at, const Elf64_Nhdr *note,
		       const char *name, uint32_t entry)
{
	memcpy(self->data + at, note, sizeof(*note));
	memcpy(self->data + at + sizeof(*note), name, 4);
	memcpy(self->data + at + sizeof(*note) + 4, &entry, sizeof(entry));
	return at + sizeof(*note) + 8;
}

static const Elf64_Nhdr pvh_note = { .n_namesz = 4, .n_descsz = 4, .n_type = 18 };

#define PVH_ENTRY (16 * MIB + 0x100)

TEST_F(image, vmlinux_with_the_note_is_entered_by_pvh)
{
	size_t at;

	make_vmlinux(self);
	at = put_note(self, NOTES, &(Elf64_Nhdr){ 4, 4, 3 }, "GNU", 1);
	put_note(self, at, &pvh_note, "Xen", PVH_ENTRY);
	ASSERT_EQ(0, load(self)) TH_LOG("%s", why);
	EXPECT_EQ(IMAGE_PVH, self->image.protocol);
	EXPECT_EQ(PVH_ENTRY, self->image.entry);
}

TEST_F(image, notes_may_lie_anywhere_up_to_the_end_of_the_file)
{
	make_vmlinux(self);
	self->segments[2].p_offset = self->size + 1;
	self->segments[2].p_filesz =
		put_note(self, self->size + 1, &pvh_note, "Xen", PVH_ENTRY) - self->size - 1;
	self->size += 1 + self->segments[2].p_filesz;
	ASSERT_EQ(0, load(self));
	EXPECT_EQ(IMAGE_PVH, self->image.protocol);
	self->size--;
	ASSERT_EQ(0, load(self));
	EXPECT_EQ(IMAGE_LINUX64, self->image.protocol);
}

TEST_F(image, notes_that_are_absurd_are_none)
{
	static const Elf64_Nhdr rows[] = {
		{ UINT32_MAX, 4, 18 },
		{ 4, UINT32_MAX, 18 },
		{ UINT32_MAX, UINT32_MAX, 18 },
		{ 0xfffffffd, 0xfffffffd, 18 },
		{ 0x80000000, 0x80000000, 18 },
		{ 4, 0x31, 18 },
		{ 4, 0, 18 },
		{ 4, 3, 18 },
		{ 0, 4, 18 },
		{ 5, 4, 18 },
		{ 4, 4, 17 },
	};

	make_vmlinux(self);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		put_note(self, NOTES, &rows[i], "Xen", PVH_ENTRY);
		EXPECT_EQ(0, load(self)) TH_LOG("row %zu", i);
		EXPECT_EQ(IMAGE_LINUX64, self->image.protocol) TH_LOG("row %zu", i);
	}
	put_note(self, NOTES, &pvh_note, "Xfn", PVH_ENTRY);
	EXPECT_EQ(0, load(self));
	EXPECT_EQ(IMAGE_LINUX64, self->image.protocol);
}

TEST_F(image, notes_are_read_as_far_as_their_segment_goes)
{
	make_vmlinux(self);
	put_note(self, NOTES, &pvh_note, "Xen", PVH_ENTRY);
	for (self->segments[2].p_filesz = 0; self->segments[2].p_filesz < 20;
	     self->segments[2].p_filesz++) {
		EXPECT_EQ(0, load(self));
		EXPECT_EQ(IMAGE_LINUX64, self->image.protocol);
	}
	EXPECT_EQ(0, load(self));
	EXPECT_EQ(IMAGE_PVH, self->image.protocol);
}

TEST_F(image, pvh_enters_what_was_loaded)
{
	make_vmlinux(self);
	put_note(self, NOTES, &pvh_note, "Xen", UINT32_MAX);
	EXPECT_REFUSED("damaged");
	put_note(self, NOTES, &pvh_note, "Xen", 0x1000);
	EXPECT_REFUSED("damaged");
}

/* ---- files ----------------------------------------------------------------------- */

static int map(const char *path)
{
	struct file file;
	int err = file__map(&file, path);

	file__unmap(&file);
	file__unmap(&file);
	return err;
}

TEST(what_is_no_file_is_refused)
{
	char directory[] = "/tmp/image-XXXXXX", fifo[32];

	ASSERT_NE(NULL, mkdtemp(directory));
	EXPECT_EQ(-1, map(directory));
	EXPECT_SAYS("no file");
	snprintf(fifo, sizeof(fifo), "%s/fifo", directory);
	EXPECT_EQ(-1, map(fifo));
	EXPECT_SAYS("No such file");
	ASSERT_EQ(0, mkfifo(fifo, 0600));
	EXPECT_EQ(-1, map(fifo));
	EXPECT_SAYS("no file");
	unlink(fifo);
	rmdir(directory);
	EXPECT_EQ(-1, map("/dev/null"));
	EXPECT_SAYS("no file");
	EXPECT_EQ(0, map("/proc/self/exe"));
}

TEST_HARNESS_MAIN
