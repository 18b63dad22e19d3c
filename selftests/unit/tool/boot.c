// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the boot vCPU finds in memory, and in its registers.
 */
#include "bzimage.h"
#include "complaints.h"

#include <elf.h>
#include <stdarg.h>
#include <stdlib.h>

#include "machine/boot.c"

#define MIB 0x100000ULL
#define GIB 0x40000000ULL
#define KERNEL_END (18 * MIB)

/* --- the vCPU: the registers that it got --- */

static struct kvm_sregs sregs;
static struct kvm_regs regs;

int ioctl(int fd, unsigned long request, ...)
{
	void *argument;
	va_list ap;

	(void)fd;
	va_start(ap, request);
	argument = va_arg(ap, void *);
	va_end(ap);
	switch (request) {
	case KVM_GET_SREGS:
		memset(argument, 0, sizeof(sregs));
		return 0;
	case KVM_SET_SREGS:
		sregs = *(const struct kvm_sregs *)argument;
		return 0;
	case KVM_SET_REGS:
		regs = *(const struct kvm_regs *)argument;
		return 0;
	}
	errno = EINVAL;
	return -1;
}

/* --- a machine, and files that have no name --- */

FIXTURE(boot)
{
	struct machine machine;
	struct options options;
	struct entry entry;
	char kernel[32], initrd[32];
	int kernel_fd, initrd_fd;
	struct setup_header setup;
};

/* A bzImage of 1 KiB of setup and 4 KiB of kernel, up to KERNEL_END when it runs. */
FIXTURE_SETUP(boot)
{
	self->kernel_fd = memfd_create("kernel", 0);
	self->initrd_fd = memfd_create("initrd", 0);
	snprintf(self->kernel, sizeof(self->kernel), "/proc/self/fd/%d", self->kernel_fd);
	snprintf(self->initrd, sizeof(self->initrd), "/proc/self/fd/%d", self->initrd_fd);
	ASSERT_EQ(0, ftruncate(self->kernel_fd, BZIMAGE_PAYLOAD + 4096));
	self->setup = bzimage_header(4096, KERNEL_END - BZIMAGE_ADDRESS);
	self->setup.hardware_subarch_data = 0x1122334455667788;
	self->options = (struct options){ .kernel = self->kernel, .append = "console=ttyS0" };
	self->machine.options = &self->options;
	ASSERT_EQ(0, memory__create(&self->machine.memory, 64 * MIB, 0));
}

FIXTURE_TEARDOWN(boot)
{
	memory__destroy(&self->machine.memory);
	close(self->kernel_fd);
	close(self->initrd_fd);
}

static int load(FIXTURE_DATA(boot) * self)
{
	*why = '\0';
	if (pwrite(self->kernel_fd, &self->setup, sizeof(self->setup), BZIMAGE_HEADER) < 0)
		return -2;
	return boot__load(&self->machine, &self->entry);
}

static void resize_memory(FIXTURE_DATA(boot) * self, uint64_t size)
{
	memory__destroy(&self->machine.memory);
	memory__create(&self->machine.memory, size, 0);
}

static const void *at(FIXTURE_DATA(boot) * self, uint64_t guest)
{
	return memory__at(&self->machine.memory, guest, 1);
}

/* A vmlinux of one segment up to KERNEL_END, with PVH's note. */
static bool make_vmlinux(FIXTURE_DATA(boot) * self)
{
	struct {
		Elf64_Ehdr elf;
		Elf64_Phdr segments[2];
		Elf64_Nhdr note;
		char name[4];
		uint32_t entry;
	} file = {
		.elf = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64 },
			 .e_type = ET_EXEC,
			 .e_machine = EM_X86_64,
			 .e_phoff = sizeof(file.elf),
			 .e_phentsize = sizeof(Elf64_Phdr),
			 .e_phnum = 2 },
		.segments = { { .p_type = PT_LOAD, .p_paddr = 16 * MIB, .p_memsz = 2 * MIB },
			      { .p_type = PT_NOTE,
				.p_offset = sizeof(file.elf) + sizeof(file.segments),
				.p_filesz = 20 } },
		.note = { .n_namesz = 4, .n_descsz = 4, .n_type = 18 },
		.name = "Xen",
		.entry = 16 * MIB + 0x40,
	};

	return pwrite(self->kernel_fd, &file, sizeof(file), 0) == sizeof(file);
}

/* ---- Linux' 64-bit protocol ------------------------------------------------------ */

TEST_F(boot, bzimage_finds_its_own_header_and_what_the_loader_says)
{
	const struct boot_params *params = at(self, BOOT_INFO);

	/* What was there before is gone. */
	memset((void *)params, 0xff, sizeof(*params));
	ASSERT_EQ(0, load(self)) TH_LOG("%s", why);
	EXPECT_TRUE(self->entry.long_mode);
	EXPECT_EQ(16 * MIB + 0x200, self->entry.rip);
	EXPECT_EQ(0x20c, params->hdr.version);
	EXPECT_EQ(0x1122334455667788, params->hdr.hardware_subarch_data);
	EXPECT_EQ(0xff, params->hdr.type_of_loader);
	EXPECT_EQ(BOOT_CMDLINE, params->hdr.cmd_line_ptr);
	EXPECT_EQ(0, params->hdr.ramdisk_image);
	EXPECT_EQ(0, params->hdr.ramdisk_size);
	EXPECT_EQ(ACPI_TABLES, params->acpi_rsdp_addr);
	EXPECT_EQ(0, params->screen_info.orig_video_isVGA);
	EXPECT_STREQ("console=ttyS0", at(self, BOOT_CMDLINE));
}

TEST_F(boot, bzimage_whose_header_is_short_has_zeros_behind_it)
{
	const struct boot_params *params = at(self, BOOT_INFO);

	self->setup.jump = 0x10eb; /* to behind ramdisk_image's first bytes */
	ASSERT_EQ(0, load(self));
	EXPECT_EQ(0x20c, params->hdr.version);
	EXPECT_EQ(0, params->hdr.pref_address);
	EXPECT_EQ(0, params->hdr.hardware_subarch_data);
	EXPECT_EQ(BOOT_CMDLINE, params->hdr.cmd_line_ptr);
}

TEST_F(boot, a_kernel_that_does_not_load_leaves_no_parameters)
{
	self->setup.version = 0;
	EXPECT_EQ(-1, load(self));
	EXPECT_SAYS("boot protocol");
	EXPECT_EQ(0, *(const uint8_t *)at(self, BOOT_CMDLINE));
	self->options.kernel = "/nonexistent";
	EXPECT_EQ(-1, load(self));
	EXPECT_SAYS("cannot read /nonexistent");
}

/* ---- where memory is ------------------------------------------------------------- */

struct e820 {
	uint64_t address, size;
	uint32_t type;
};

/* The first that differs from what is expected, or -1. */
static int differs(FIXTURE_DATA(boot) * self, const struct e820 *ranges, unsigned int nr)
{
	const struct boot_params *params = at(self, BOOT_INFO);

	if (params->e820_entries != nr)
		return nr;
	for (unsigned int i = 0; i < nr; i++)
		if (params->e820_table[i].addr != ranges[i].address ||
		    params->e820_table[i].size != ranges[i].size ||
		    params->e820_table[i].type != ranges[i].type)
			return i;
	return -1;
}

TEST_F(boot, memory_below_3_gib_is_one_range_behind_the_first_mib)
{
	struct e820 ranges[] = {
		{ 0, 0xa0000, E820_RAM },
		{ ACPI_TABLES, ACPI_SIZE, E820_ACPI },
		{ MIB, 63 * MIB, E820_RAM },
		{ PCI_ECAM, PCI_ECAM_SIZE, E820_RESERVED },
	};

	ASSERT_EQ(0, load(self));
	EXPECT_EQ(-1, differs(self, ranges, 4));
	resize_memory(self, 3 * GIB);
	ranges[2].size = 3 * GIB - MIB;
	ASSERT_EQ(0, load(self));
	EXPECT_EQ(-1, differs(self, ranges, 4));
}

TEST_F(boot, memory_above_3_gib_goes_on_at_4_gib)
{
	static const struct e820 ranges[] = {
		{ 0, 0xa0000, E820_RAM },	  { ACPI_TABLES, ACPI_SIZE, E820_ACPI },
		{ MIB, 3 * GIB - MIB, E820_RAM }, { PCI_ECAM, PCI_ECAM_SIZE, E820_RESERVED },
		{ 4 * GIB, 2 * GIB, E820_RAM },
	};

	resize_memory(self, 5 * GIB);
	ASSERT_EQ(0, load(self));
	EXPECT_EQ(-1, differs(self, ranges, 5));
}

/* ---- the command line ------------------------------------------------------------ */

TEST_F(boot, the_command_line_is_as_long_as_the_kernel_takes)
{
	char line[2049];

	memset(line, 'a', sizeof(line));
	line[2047] = '\0';
	self->options.append = line;
	EXPECT_EQ(0, load(self));
	EXPECT_STREQ(line, at(self, BOOT_CMDLINE));
	line[2047] = 'a';
	line[2048] = '\0';
	EXPECT_EQ(-1, load(self));
	EXPECT_SAYS("may have 2047 characters, not 2048");
	self->setup.cmdline_size = 0;
	EXPECT_EQ(-1, load(self));
	EXPECT_SAYS("may have 0 characters");
	self->options.append = "";
	EXPECT_EQ(0, load(self));
	EXPECT_STREQ("", at(self, BOOT_CMDLINE));
}

TEST_F(boot, the_command_line_fits_where_it_goes_whatever_the_kernel_takes)
{
	char *line = malloc(CMDLINE_MAX + 1);

	self->setup.cmdline_size = UINT32_MAX;
	self->options.append = line;
	memset(line, 'a', CMDLINE_MAX);
	line[CMDLINE_MAX - 1] = '\0';
	EXPECT_EQ(0, load(self));
	line[CMDLINE_MAX - 1] = 'a';
	line[CMDLINE_MAX] = '\0';
	EXPECT_EQ(-1, load(self));
	EXPECT_SAYS("may have 65535 characters, not 65536");
	EXPECT_EQ(0, *(const uint8_t *)at(self, BOOT_CMDLINE + CMDLINE_MAX));
	free(line);
}

/* ---- the initrd ------------------------------------------------------------------ */

/* Loads with an initrd of a size, the last byte of which is 'z'. */
static int load_with_initrd(FIXTURE_DATA(boot) * self, uint64_t size)
{
	self->options.initrd = self->initrd;
	if (ftruncate(self->initrd_fd, 0) || pwrite(self->initrd_fd, "z", 1, size - 1) != 1)
		return -2;
	return load(self);
}

TEST_F(boot, the_initrd_is_at_the_end_of_memory_on_a_page)
{
	const struct boot_params *params = at(self, BOOT_INFO);

	ASSERT_EQ(0, load_with_initrd(self, 4097));
	EXPECT_EQ(64 * MIB - 0x2000, params->hdr.ramdisk_image);
	EXPECT_EQ(4097, params->hdr.ramdisk_size);
	EXPECT_EQ('z', *(const char *)at(self, 64 * MIB - 0x1000));
	ASSERT_EQ(0, load_with_initrd(self, 4096));
	EXPECT_EQ(64 * MIB - 0x1000, params->hdr.ramdisk_image);
}

TEST_F(boot, the_initrd_is_below_what_the_kernel_reaches)
{
	const struct boot_params *params = at(self, BOOT_INFO);

	self->setup.initrd_addr_max = 32 * MIB - 1;
	ASSERT_EQ(0, load_with_initrd(self, 1));
	EXPECT_EQ(32 * MIB - 0x1000, params->hdr.ramdisk_image);
	self->setup.initrd_addr_max = 32 * MIB;
	ASSERT_EQ(0, load_with_initrd(self, 1));
	EXPECT_EQ(32 * MIB, params->hdr.ramdisk_image);
	self->setup.initrd_addr_max = UINT32_MAX;
	resize_memory(self, 5 * GIB);
	params = at(self, BOOT_INFO);
	ASSERT_EQ(0, load_with_initrd(self, 1));
	EXPECT_EQ(3 * GIB - 0x1000, params->hdr.ramdisk_image);
}

TEST_F(boot, the_initrd_is_behind_the_kernel_or_refused)
{
	const struct boot_params *params = at(self, BOOT_INFO);
	static const uint32_t too_low[] = { 0, 1, MIB, 16 * MIB, KERNEL_END - 1, KERNEL_END };

	ASSERT_EQ(0, load_with_initrd(self, 46 * MIB - 4096));
	EXPECT_EQ(KERNEL_END + 4096, params->hdr.ramdisk_image);
	EXPECT_EQ(-1, load_with_initrd(self, 46 * MIB - 4095));
	EXPECT_SAYS("does not fit behind the kernel");
	EXPECT_EQ(-1, load_with_initrd(self, 1ULL << 40));
	EXPECT_SAYS("does not fit behind the kernel");
	for (size_t i = 0; i < sizeof(too_low) / sizeof(*too_low); i++) {
		self->setup.initrd_addr_max = too_low[i];
		EXPECT_EQ(-1, load_with_initrd(self, 1)) TH_LOG("row %zu", i);
	}
}

TEST_F(boot, an_initrd_that_is_empty_or_not_there_is_refused)
{
	self->options.initrd = self->initrd;
	EXPECT_EQ(-1, load(self));
	EXPECT_SAYS("is empty");
	self->options.initrd = "/nonexistent";
	EXPECT_EQ(-1, load(self));
	EXPECT_SAYS("cannot read");
}

/* ---- PVH ------------------------------------------------------------------------- */

TEST_F(boot, pvh_finds_its_start_info)
{
	const struct pvh_page *page = at(self, BOOT_INFO);

	ASSERT_TRUE(make_vmlinux(self));
	ASSERT_EQ(0, boot__load(&self->machine, &self->entry)) TH_LOG("%s", why);
	EXPECT_FALSE(self->entry.long_mode);
	EXPECT_EQ(16 * MIB + 0x40, self->entry.rip);
	EXPECT_EQ(PVH_MAGIC, page->info.magic);
	EXPECT_EQ(0, page->info.nr_modules);
	EXPECT_EQ(BOOT_CMDLINE, page->info.cmdline);
	EXPECT_EQ(ACPI_TABLES, page->info.rsdp);
	EXPECT_EQ(&page->ranges, at(self, page->info.memmap));
	EXPECT_EQ(4, page->info.nr_memmap);
	EXPECT_EQ(63 * MIB, page->ranges[2].size);
	EXPECT_EQ(E820_RAM, page->ranges[2].type);
}

TEST_F(boot, pvh_finds_its_initrd)
{
	const struct pvh_page *page = at(self, BOOT_INFO);

	ASSERT_TRUE(make_vmlinux(self));
	self->options.initrd = self->initrd;
	ASSERT_EQ(1, write(self->initrd_fd, "z", 1));
	ASSERT_EQ(0, boot__load(&self->machine, &self->entry)) TH_LOG("%s", why);
	EXPECT_EQ(1, page->info.nr_modules);
	EXPECT_EQ(&page->initrd, at(self, page->info.modules));
	EXPECT_EQ(64 * MIB - 0x1000, page->initrd.address);
	EXPECT_EQ(1, page->initrd.size);
	EXPECT_EQ('z', *(const char *)at(self, page->initrd.address));
}

/* ---- registers ------------------------------------------------------------------- */

/* Where a CPU comes out that walks the tables as the SDM says. */
static uint64_t translate(FIXTURE_DATA(boot) * self, uint64_t linear)
{
	const uint64_t *table = at(self, sregs.cr3);
	uint64_t entry = 0;

	for (int shift = 39; shift >= 21; shift -= 9) {
		entry = table[linear >> shift & 511];
		if (!(entry & PTE_PRESENT) || !(entry & PTE_WRITE))
			return UINT64_MAX;
		table = at(self, entry & ~0xfffULL);
	}
	return entry & PTE_LARGE ? (entry & ~0x1fffffULL) | (linear & 0x1fffff) : UINT64_MAX;
}

TEST_F(boot, linux_starts_in_long_mode_with_4_gib_where_they_are)
{
	static const uint64_t same[] = { 0,	     0x1234567,	 0x1fffff,   0x3fffffff,
					 0x40000000, 0x7fffffff, 0xbfffffff, 0xffffffff };
	struct vcpu vcpu = { .machine = &self->machine };

	self->entry = (struct entry){ .long_mode = true, .rip = 0x1000200 };
	ASSERT_EQ(0, boot__enter(&vcpu, &self->entry));
	EXPECT_EQ(CR0_PE | CR0_ET | CR0_PG, sregs.cr0);
	EXPECT_EQ(CR4_PAE, sregs.cr4);
	EXPECT_EQ(EFER_LME | EFER_LMA, sregs.efer);
	for (size_t i = 0; i < sizeof(same) / sizeof(*same); i++)
		EXPECT_EQ(same[i], translate(self, same[i]));
	EXPECT_EQ(UINT64_MAX, translate(self, 4 * GIB));
	EXPECT_EQ(UINT64_MAX, translate(self, 0xffffffff81000000));
	EXPECT_EQ(0x1000200, regs.rip);
	EXPECT_EQ(BOOT_INFO, regs.rsi);
	EXPECT_EQ(2, regs.rflags);
}

TEST_F(boot, pvh_starts_in_protected_mode_without_paging)
{
	struct vcpu vcpu = { .machine = &self->machine };

	self->entry = (struct entry){ .rip = 0x1000040 };
	ASSERT_EQ(0, boot__enter(&vcpu, &self->entry));
	EXPECT_EQ(CR0_PE | CR0_ET, sregs.cr0);
	EXPECT_EQ(0, sregs.cr4 | sregs.efer | sregs.cr3);
	EXPECT_EQ(0x1000040, regs.rip);
	EXPECT_EQ(BOOT_INFO, regs.rbx);
}

/* Where Linux goes for a reboot, in real mode; POWER_RESET_VALUE to the port of POWER_RESET. */
TEST_F(boot, the_reset_vector_writes_the_reset_register)
{
	static const uint8_t code[] = { 0xba, 0x02, 0x06, 0xb0, 0x01, 0xee };

	ASSERT_EQ(0, load(self));
	EXPECT_EQ(0, memcmp(at(self, 0xffff0), code, sizeof(code)));
}

/* The descriptor that a selector means says the same as the register that was set. */
static bool is_described(FIXTURE_DATA(boot) * self, const struct kvm_segment *segment)
{
	uint64_t entry = *(const uint64_t *)at(self, sregs.gdt.base + segment->selector);
	uint64_t base = (entry >> 16 & 0xffffff) | (entry >> 56) << 24;
	uint64_t limit = (entry & 0xffff) | (entry >> 32 & 0xf0000);

	return segment->selector + 7 <= sregs.gdt.limit && !base && segment->base == base &&
	       limit == 0xfffff && (entry >> 55 & 1) && segment->g &&
	       segment->limit == 0xffffffff && segment->type == (entry >> 40 & 15) &&
	       segment->s == (entry >> 44 & 1) && segment->dpl == (entry >> 45 & 3) &&
	       segment->present == (entry >> 47 & 1) && segment->l == (entry >> 53 & 1) &&
	       segment->db == (entry >> 54 & 1);
}

TEST_F(boot, segments_are_what_the_gdt_says)
{
	struct vcpu vcpu = { .machine = &self->machine };

	for (unsigned int i = 0; i < 2; i++) {
		self->entry.long_mode = i;
		ASSERT_EQ(0, boot__enter(&vcpu, &self->entry));
		EXPECT_TRUE(is_described(self, &sregs.cs));
		EXPECT_EQ(i, sregs.cs.l);
		EXPECT_TRUE(is_described(self, &sregs.ds));
		EXPECT_TRUE(is_described(self, &sregs.es));
		EXPECT_TRUE(is_described(self, &sregs.fs));
		EXPECT_TRUE(is_described(self, &sregs.gs));
		EXPECT_TRUE(is_described(self, &sregs.ss));
		EXPECT_EQ(0, *(const uint64_t *)at(self, BOOT_GDT));
	}
}

TEST_HARNESS_MAIN
