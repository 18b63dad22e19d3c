// SPDX-License-Identifier: GPL-2.0-only
/*
 * The log of pages that the guest wrote, which moves a VM while it runs.
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm;
 * with --cpus 2 vCPUs write while the log is read.
 */
#include <pthread.h>
#include <sys/prctl.h>

#include "kselftest_harness.h"
#include "guest.h"

#define PAGE 0x1000UL
#define BASE 0x40000000UL
#define SLOT 1
#define MAX_PAGES 1536
#define WORDS (MAX_PAGES / 64)

FIXTURE(log)
{
	struct guest g;
	uint8_t *bytes;
	size_t pages;
	uint64_t bits[WORDS + 1]; /* of the last harvest, and a word that stays as it is */
};

FIXTURE_VARIANT(log)
{
	size_t pages;
	int flags; /* for mmap() */
};

/* No multiple of 64, and more than the CPU logs by itself. */
FIXTURE_VARIANT_ADD(log, small_pages){
	.pages = 1100,
};

/* The host has them in 2 MiB, the log has 4 KiB all the same. */
FIXTURE_VARIANT_ADD(log, huge_pages){
	.pages = 1536,
	.flags = MAP_HUGETLB | 21 << 26,
};

FIXTURE_SETUP(log)
{
	int fd = open("/proc/sys/vm/nr_hugepages", O_WRONLY | O_CLOEXEC);

	if (variant->flags && fd >= 0)
		ASSERT_EQ(1, write(fd, "4", 1));
	close(fd);
	/* So that other memory has no huge pages to count. */
	ASSERT_EQ(0, prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	ASSERT_EQ(0, guest_create(&self->g, "", 0));
	guest_to_flat_mode(&self->g);
	self->pages = variant->pages;
	self->bytes = mmap(NULL, self->pages * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | variant->flags, -1, 0);
	if (self->bytes == MAP_FAILED)
		SKIP(return, "this host has no such pages");
}

FIXTURE_TEARDOWN(log)
{
	guest_destroy(&self->g);
	if (self->bytes != MAP_FAILED)
		munmap(self->bytes, self->pages * PAGE);
}

static int set_slot(FIXTURE_DATA(log) * self, uint32_t flags)
{
	return guest_memory(self->g.vm, SLOT, flags, BASE, self->pages * PAGE, self->bytes);
}

static int get_log(FIXTURE_DATA(log) * self)
{
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = self->bits };

	memset(self->bits, 0x77, sizeof(self->bits));
	return ioctl(self->g.vm, KVM_GET_DIRTY_LOG, &log);
}

static int clear_log(FIXTURE_DATA(log) * self, uint64_t first, uint32_t pages, const void *bits)
{
	struct kvm_clear_dirty_log log = {
		.slot = SLOT,
		.first_page = first,
		.num_pages = pages,
		.dirty_bitmap = (void *)bits,
	};

	return ioctl(self->g.vm, KVM_CLEAR_DIRTY_LOG, &log);
}

static bool is_set(const uint64_t *bits, size_t page)
{
	return bits[page / 64] >> page % 64 & 1;
}

static void set_bits(uint64_t *bits, size_t first, size_t step, size_t end)
{
	for (size_t page = first; page < end; page += step)
		bits[page / 64] |= 1ULL << page % 64;
}

/* The guest writes every @step-th page from @first on, up to @end. */
static int write_pages(FIXTURE_DATA(log) * self, size_t first, size_t step, size_t end)
{
	return guest_fill(&self->g, BASE + first * PAGE + 0x120, step * PAGE,
			  (end - first + step - 1) / step, 0x1000);
}

#define EXPECT_LOG(expected) expect_log(_metadata, self, expected, __LINE__)

static void expect_log(struct __test_metadata *_metadata, FIXTURE_DATA(log) * self,
		       const uint64_t *expected, int line)
{
	size_t words = (self->pages + 63) / 64, wrong = 0;

	ASSERT_EQ(0, get_log(self)) TH_LOG("line %d", line);
	for (size_t page = 0; page < words * 64; page++) {
		if (is_set(self->bits, page) == is_set(expected, page))
			continue;
		if (!wrong++)
			TH_LOG("line %d: page %zu is %s", line, page,
			       is_set(self->bits, page) ? "logged" : "not logged");
	}
	EXPECT_EQ(0, wrong);
	EXPECT_EQ(0x7777777777777777, self->bits[words]) TH_LOG("it ends with the slot");
}

#define WRITE(first, step, end) ASSERT_EQ(KVM_EXIT_HLT, write_pages(self, first, step, end))

TEST_F(log, says_what_was_written_and_nothing_else)
{
	uint64_t none[WORDS] = {}, some[WORDS] = {}, others[WORDS] = {};
	int reason;

	set_bits(some, 3, 7, self->pages);
	set_bits(others, 4, 11, self->pages);
	ASSERT_EQ(0, set_slot(self, KVM_MEM_LOG_DIRTY_PAGES));
	EXPECT_LOG(none);
	WRITE(3, 7, self->pages);
	EXPECT_LOG(some);
	EXPECT_LOG(none);
	/* Pages that are known to the CPU as dirty count again. */
	WRITE(3, 7, self->pages);
	EXPECT_LOG(some);
	WRITE(4, 11, self->pages);
	EXPECT_LOG(others);
	/* Neither does it count if the guest reads, or user space writes. */
	for (size_t page = 3; page < self->pages; page += 70)
		guest_peek(&self->g, BASE + page * PAGE, &reason);
	memset(self->bytes, 0, 16 * PAGE);
	EXPECT_LOG(none);
	WRITE(self->pages - 1, 1, self->pages);
	memset(others, 0, sizeof(others));
	set_bits(others, self->pages - 1, 1, self->pages);
	EXPECT_LOG(others);
}

/* The CPU's own buffer has 512 entries. */
TEST_F(log, has_room_for_all_pages_in_one_run)
{
	uint64_t all[WORDS] = {};

	set_bits(all, 0, 1, self->pages);
	ASSERT_EQ(0, set_slot(self, KVM_MEM_LOG_DIRTY_PAGES));
	for (int round = 0; round < 3; round++) {
		WRITE(0, 1, self->pages);
		EXPECT_LOG(all);
	}
}

TEST_F(log, may_be_kept_from_any_time_on)
{
	uint64_t none[WORDS] = {}, some[WORDS] = {};

	set_bits(some, 5, 13, self->pages);
	ASSERT_EQ(0, set_slot(self, 0));
	WRITE(0, 1, self->pages);
	for (int round = 0; round < 3; round++) {
		ASSERT_EQ(0, set_slot(self, KVM_MEM_LOG_DIRTY_PAGES));
		EXPECT_LOG(none);
		WRITE(5, 13, self->pages);
		EXPECT_LOG(some);
		/* What is not asked for is forgotten. */
		WRITE(0, 3, self->pages);
		ASSERT_EQ(0, set_slot(self, 0));
		EXPECT_EQ(-1, get_log(self));
		EXPECT_EQ(ENOENT, errno);
		WRITE(0, 2, self->pages);
	}
}

/* Once nobody asks any longer, huge pages are whole again. */
TEST_F(log, gives_huge_leaves_back)
{
	if (!variant->flags)
		SKIP(return, "of small pages there is nothing to see");
	ASSERT_EQ(0, set_slot(self, 0));
	WRITE(0, 1, self->pages);
	EXPECT_EQ(self->pages / 512, guest_stat(self->g.vm, "pages_2m"));
	ASSERT_EQ(0, set_slot(self, KVM_MEM_LOG_DIRTY_PAGES));
	WRITE(0, 1, self->pages);
	EXPECT_EQ(0, guest_stat(self->g.vm, "pages_2m"));
	ASSERT_EQ(0, set_slot(self, 0));
	WRITE(0, 1, self->pages);
	EXPECT_EQ(self->pages / 512, guest_stat(self->g.vm, "pages_2m"));
}

TEST_F(log, moves_with_its_slot)
{
	uint64_t some[WORDS] = {};
	int reason;

	set_bits(some, 5, 13, self->pages);
	ASSERT_EQ(0, set_slot(self, KVM_MEM_LOG_DIRTY_PAGES));
	WRITE(5, 13, self->pages);
	ASSERT_EQ(0, guest_memory(self->g.vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, BASE + (16 << 20),
				  self->pages * PAGE, self->bytes));
	EXPECT_LOG(some);
	EXPECT_EQ(0x1000, guest_peek(&self->g, BASE + (16 << 20) + 5 * PAGE + 0x120, &reason));
}

TEST_F(log, is_refused_where_there_is_none)
{
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = self->bits };
	struct kvm_clear_dirty_log clear = { .num_pages = 64 };
	int slots = ioctl(self->g.vm, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);

#define REFUSED(err)                                                           \
	do {                                                                   \
		clear.slot = log.slot;                                         \
		clear.dirty_bitmap = log.dirty_bitmap;                         \
		EXPECT_EQ(-1, ioctl(self->g.vm, KVM_GET_DIRTY_LOG, &log));     \
		EXPECT_EQ(err, errno);                                         \
		EXPECT_EQ(-1, ioctl(self->g.vm, KVM_CLEAR_DIRTY_LOG, &clear)); \
		EXPECT_EQ(err, errno);                                         \
	} while (0)
	REFUSED(ENOENT);
	ASSERT_EQ(0, set_slot(self, 0));
	REFUSED(ENOENT);
	ASSERT_EQ(0, set_slot(self, KVM_MEM_LOG_DIRTY_PAGES));
	log.slot = slots;
	REFUSED(EINVAL);
	log.slot = slots - 1;
	REFUSED(ENOENT);
	log.slot = 0x30000 | SLOT;
	REFUSED(EINVAL);
	log.slot = SLOT;
	log.dirty_bitmap = NULL;
	REFUSED(EFAULT);
#undef REFUSED
}

GUEST_ASM(code_insb, 32, "mov $0x40002ffd, %edi\n mov $6, %ecx\n mov $0x10, %dx\n rep insb\n hlt");
GUEST_ASM(code_copy, 32,
	  "mov $0x40004ffe, %edi\n mov $0xd0000000, %esi\n mov $2, %ecx\n rep movsl\n hlt");

/* What is written for the guest counts as what it writes itself. */
TEST_F(log, has_what_emulation_writes)
{
	uint64_t some[WORDS] = {};
	int reason;

	ASSERT_EQ(0, set_slot(self, KVM_MEM_LOG_DIRTY_PAGES));
	guest_load(&self->g, code_insb, GUEST_SIZE(code_insb));
	while ((reason = guest_run(&self->g)) == KVM_EXIT_IO)
		;
	ASSERT_EQ(KVM_EXIT_HLT, reason);
	set_bits(some, 2, 1, 4);
	EXPECT_LOG(some);

	guest_load(&self->g, code_copy, GUEST_SIZE(code_copy));
	ASSERT_EQ(KVM_EXIT_HLT, guest_run_to_halt(&self->g));
	EXPECT_EQ(GUEST_NOTHING, *(uint32_t *)(self->bytes + 0x4ffe));
	memset(some, 0, sizeof(some));
	set_bits(some, 4, 1, 6);
	EXPECT_LOG(some);

	/* And to pages that the guest has had before. */
	WRITE(0, 1, 8);
	ASSERT_EQ(0, get_log(self));
	guest_load(&self->g, code_copy, GUEST_SIZE(code_copy));
	ASSERT_EQ(KVM_EXIT_HLT, guest_run_to_halt(&self->g));
	EXPECT_LOG(some);
}

/* --- clearing by hand ------------------------------------------------------ */

static int enable_manual(FIXTURE_DATA(log) * self, uint64_t how, uint32_t flags)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
				      .flags = flags,
				      .args = { how } };

	return ioctl(self->g.vm, KVM_ENABLE_CAP, &cap);
}

TEST_F(log, manual_mode_is_enabled_by_known_flags)
{
	static const struct {
		uint64_t how;
		uint32_t flags;
		int result;
	} rows[] = { { 1, 0, 0 },  { 3, 0, 0 },	 { 0, 0, 0 }, { 2, 0, -1 },
		     { 4, 0, -1 }, { 7, 0, -1 }, { 1, 1, -1 } };

	EXPECT_EQ(3, ioctl(self->g.vm, KVM_CHECK_EXTENSION, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		errno = 0;
		EXPECT_EQ(rows[i].result, enable_manual(self, rows[i].how, rows[i].flags));
		EXPECT_EQ(rows[i].result ? EINVAL : 0, errno) TH_LOG("row %zu", i);
	}
}

TEST_F(log, stays_until_it_is_cleared)
{
	uint64_t expected[WORDS] = {}, all[WORDS], bits = 0xf0f0;

	memset(all, 0xff, sizeof(all));
	ASSERT_EQ(0, enable_manual(self, 1, 0));
	ASSERT_EQ(0, set_slot(self, KVM_MEM_LOG_DIRTY_PAGES));
	WRITE(0, 2, self->pages);
	set_bits(expected, 0, 2, self->pages);
	EXPECT_LOG(expected);
	EXPECT_LOG(expected);

	/* Some bits of one word: set ones go, others are not made. */
	ASSERT_EQ(0, clear_log(self, 128, 64, &bits));
	expected[2] &= ~bits;
	EXPECT_LOG(expected);
	/* A page that was cleared counts again; one that was not is still there. */
	WRITE(128 + 4, 1, 128 + 9);
	set_bits(expected, 128 + 4, 1, 128 + 9);
	EXPECT_LOG(expected);

	/* Up to the end, where a part of a word is left. */
	ASSERT_EQ(0, clear_log(self, self->pages & ~63UL, self->pages % 64, all));
	for (size_t page = self->pages & ~63UL; page < self->pages; page++)
		expected[page / 64] = 0;
	EXPECT_LOG(expected);

	ASSERT_EQ(0, clear_log(self, 0, self->pages, all));
	memset(expected, 0, sizeof(expected));
	EXPECT_LOG(expected);
	WRITE(1, 5, self->pages);
	set_bits(expected, 1, 5, self->pages);
	EXPECT_LOG(expected);
}

TEST_F(log, is_cleared_in_whole_words_only)
{
	uint64_t expected[WORDS] = {}, all[WORDS];
	const uint64_t pages = self->pages;

	memset(all, 0xff, sizeof(all));
	ASSERT_EQ(0, enable_manual(self, 1, 0));
	ASSERT_EQ(0, set_slot(self, KVM_MEM_LOG_DIRTY_PAGES));
	WRITE(0, 1, pages);
	set_bits(expected, 0, 1, pages);
#define REFUSED(first, count)                                                           \
	do {                                                                            \
		EXPECT_EQ(-1, clear_log(self, first, count, all));                      \
		EXPECT_EQ(EINVAL, errno) TH_LOG("%s pages from %s on", #count, #first); \
	} while (0)
	REFUSED(1, 64);
	REFUSED(32, 64);
	REFUSED(0, 63);
	REFUSED(64, 1);
	REFUSED(0, pages + 1);
	REFUSED(0, pages + 64);
	REFUSED(64, pages);
	REFUSED((pages + 127) & ~63UL, 64);
	REFUSED(~63ULL, 64);
	REFUSED(1ULL << 63, 128);
#undef REFUSED
	EXPECT_EQ(0, clear_log(self, 0, 0, all));
	EXPECT_LOG(expected);
	EXPECT_EQ(-1, clear_log(self, 0, 64, NULL));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_LOG(expected);
}

TEST_F(log, may_begin_with_all_pages)
{
	uint64_t expected[WORDS] = {}, all[WORDS];

	memset(all, 0xff, sizeof(all));
	ASSERT_EQ(0, enable_manual(self, 3, 0));
	for (int round = 0; round < 2; round++) {
		/* With the slot, and later to one that is in use. */
		ASSERT_EQ(0, set_slot(self, KVM_MEM_LOG_DIRTY_PAGES));
		memset(expected, 0, sizeof(expected));
		set_bits(expected, 0, 1, self->pages);
		EXPECT_LOG(expected);
		WRITE(0, 3, self->pages);
		EXPECT_LOG(expected);
		ASSERT_EQ(0, clear_log(self, 0, 512, all));
		memset(expected, 0, 512 / 8);
		EXPECT_LOG(expected);
		WRITE(6, 7, self->pages);
		set_bits(expected, 6, 7, 512);
		EXPECT_LOG(expected);
		ASSERT_EQ(0, clear_log(self, 0, self->pages, all));
		WRITE(1, 2, self->pages);
		memset(expected, 0, sizeof(expected));
		set_bits(expected, 1, 2, self->pages);
		EXPECT_LOG(expected);
		ASSERT_EQ(0, set_slot(self, 0));
		WRITE(0, 1, self->pages);
	}
}

/* --- at the same time ------------------------------------------------------ */

#define WRITERS 2
#define RUNS 12

struct writer {
	struct guest g;
	pthread_t thread;
	uint32_t first, count;
	int failed, *running;
};

/* Each has its own half of the pages, and the last one of the other's. */
static void *keep_writing(void *data)
{
	struct writer *w = data;

	for (uint32_t run = 0; run < RUNS; run++) {
		struct kvm_regs regs = guest_regs(&w->g);

		regs.rip = GUEST_CODE;
		regs.rdi = BASE + w->first * PAGE;
		regs.rdx = PAGE;
		regs.rcx = w->count;
		regs.rax = (run + 1) << 16;
		ioctl(w->g.vcpu, KVM_SET_REGS, &regs);
		if (guest_run(&w->g) != KVM_EXIT_HLT)
			w->failed++;
	}
	__atomic_sub_fetch(w->running, 1, 5);
	return NULL;
}

/* One round of what moves a VM: ask, then copy what is said to be new. */
static int harvest(FIXTURE_DATA(log) * self, bool manual, uint32_t *copy)
{
	static uint64_t bits[WORDS];

	if (get_log(self))
		return -1;
	memcpy(bits, self->bits, sizeof(bits));
	if (manual && clear_log(self, 0, self->pages, bits))
		return -1;
	for (size_t page = 0; page < self->pages; page++)
		if (is_set(bits, page))
			copy[page] = __atomic_load_n((uint32_t *)(self->bytes + page * PAGE), 5);
	return 0;
}

static void move_while_written(struct __test_metadata *_metadata, FIXTURE_DATA(log) * self,
			       bool manual)
{
	struct writer w[WRITERS] = {};
	uint32_t *copy = calloc(self->pages, sizeof(*copy));
	int running = WRITERS, rounds = 0;

	if (manual)
		ASSERT_EQ(0, enable_manual(self, 1, 0));
	ASSERT_EQ(0, set_slot(self, KVM_MEM_LOG_DIRTY_PAGES));
	guest_load(&self->g, guest_code_fill, GUEST_SIZE(guest_code_fill));
	for (int i = 0; i < WRITERS; i++) {
		w[i].g = self->g;
		w[i].running = &running;
		w[i].first = i * self->pages / WRITERS;
		w[i].count = self->pages / WRITERS;
		if (i) {
			w[i].g.vcpu = ioctl(self->g.vm, KVM_CREATE_VCPU, i);
			w[i].g.run = mmap(NULL, self->g.run_size, PROT_READ | PROT_WRITE,
					  MAP_SHARED, w[i].g.vcpu, 0);
			ASSERT_NE(MAP_FAILED, w[i].g.run);
			guest_to_flat_mode(&w[i].g);
			guest_load(&w[i].g, guest_code_fill, GUEST_SIZE(guest_code_fill));
		}
	}
	for (int i = 0; i < WRITERS; i++)
		ASSERT_EQ(0, pthread_create(&w[i].thread, NULL, keep_writing, &w[i]));
	while (__atomic_load_n(&running, 5)) {
		ASSERT_EQ(0, harvest(self, manual, copy));
		rounds++;
	}
	for (int i = 0; i < WRITERS; i++) {
		pthread_join(w[i].thread, NULL);
		EXPECT_EQ(0, w[i].failed);
	}
	ASSERT_EQ(0, harvest(self, manual, copy));
	for (size_t page = 0; page < self->pages; page++) {
		uint32_t last = *(uint32_t *)(self->bytes + page * PAGE);

		EXPECT_EQ(RUNS, last >> 16);
		ASSERT_EQ(last, copy[page])
		{
			TH_LOG("page %zu was lost, after %d rounds", page, rounds);
		}
	}
	munmap(w[1].g.run, self->g.run_size);
	close(w[1].g.vcpu);
	free(copy);
}

TEST_F(log, loses_nothing_while_vcpus_write)
{
	move_while_written(_metadata, self, false);
}

TEST_F(log, loses_nothing_when_cleared_while_vcpus_write)
{
	move_while_written(_metadata, self, true);
}

TEST_HARNESS_MAIN
