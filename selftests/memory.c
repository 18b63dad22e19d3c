// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest memory: slots that come, move and go, and all that can be behind them.
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm.
 * What needs huge pages of 1 GiB is left out unless the host has them: --mem 4G
 * --append 'hugepagesz=1G hugepages=1'.
 */
#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "kselftest_harness.h"
#include "guest.h"

#define KIB 1024UL
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define PAGE 0x1000UL
#define BASE 0x40000000UL /* of guest memory that tests add, on a boundary of 1 GiB */
#define SLOT 1

FIXTURE(slots)
{
	struct guest g;
	uint8_t *bytes;
	size_t size;
};

/* Memory that starts on a boundary of @align, however it is made. */
static void *map_aligned(size_t size, size_t align, int prot, int flags, int fd)
{
	uint8_t *space = mmap(NULL, size + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *start = (uint8_t *)(((uintptr_t)space + align - 1) & -align);
	void *memory;

	if (space == MAP_FAILED)
		return MAP_FAILED;
	memory = mmap(start, size, prot, flags | MAP_FIXED, fd, 0);
	if (memory == MAP_FAILED)
		munmap(space, size + align);
	return memory;
}

static void *map_anonymous(size_t size)
{
	return map_aligned(size, 2 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

FIXTURE_SETUP(slots)
{
	/* So that pages can be counted. */
	ASSERT_EQ(0, prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	ASSERT_EQ(0, guest_create(&self->g, "", 0));
	guest_to_flat_mode(&self->g);
	self->size = 64 * PAGE;
	self->bytes = map_anonymous(self->size);
	ASSERT_NE(MAP_FAILED, self->bytes);
}

FIXTURE_TEARDOWN(slots)
{
	guest_destroy(&self->g);
	munmap(self->bytes, self->size);
}

#define EXPECT_PEEK(value, gpa)                                                               \
	do {                                                                                  \
		int _reason;                                                                  \
		uint32_t _value = guest_peek(&self->g, gpa, &_reason);                        \
		EXPECT_EQ(KVM_EXIT_HLT, _reason) TH_LOG("at %#lx", (unsigned long)(gpa));     \
		EXPECT_EQ((uint32_t)(value), _value) TH_LOG("at %#lx", (unsigned long)(gpa)); \
	} while (0)
#define EXPECT_POKE(gpa, value) EXPECT_EQ(KVM_EXIT_HLT, guest_poke(&self->g, gpa, value))
#define SET(flags, gpa, size, hva) guest_memory(self->g.vm, SLOT, flags, gpa, size, hva)
#define EXPECT_ERROR(err, call)                      \
	do {                                         \
		EXPECT_EQ(-1, call);                 \
		EXPECT_EQ(err, errno) TH_LOG(#call); \
	} while (0)

static void mark(void *page, uint32_t value)
{
	memcpy(page, &value, 4);
}

static uint32_t marked(const void *page)
{
	uint32_t value;

	memcpy(&value, page, 4);
	return value;
}

TEST_F(slots, memory_comes_moves_and_goes)
{
	mark(self->bytes, 0x11111111);
	EXPECT_PEEK(GUEST_NOTHING, BASE);
	ASSERT_EQ(0, SET(0, BASE, self->size, self->bytes));
	EXPECT_PEEK(0x11111111, BASE);
	EXPECT_POKE(BASE + PAGE, 0x22222222);
	EXPECT_EQ(0x22222222, marked(self->bytes + PAGE));
	EXPECT_PEEK(GUEST_NOTHING, BASE + self->size);
	EXPECT_PEEK(GUEST_NOTHING, BASE - PAGE);

	ASSERT_EQ(0, SET(0, BASE + 16 * MIB, self->size, self->bytes));
	EXPECT_PEEK(GUEST_NOTHING, BASE);
	EXPECT_PEEK(0x11111111, BASE + 16 * MIB);
	EXPECT_PEEK(0x22222222, BASE + 16 * MIB + PAGE);

	/* By a page, over what it was. */
	ASSERT_EQ(0, SET(0, BASE + 16 * MIB + PAGE, self->size, self->bytes));
	EXPECT_PEEK(GUEST_NOTHING, BASE + 16 * MIB);
	EXPECT_PEEK(0x11111111, BASE + 16 * MIB + PAGE);
	EXPECT_PEEK(0x22222222, BASE + 16 * MIB + 2 * PAGE);

	ASSERT_EQ(0, SET(0, 0, 0, NULL));
	EXPECT_PEEK(GUEST_NOTHING, BASE + 16 * MIB + PAGE);
	EXPECT_EQ(0x11111111, marked(self->bytes));

	/* The other way round: what is there again is what is there now. */
	mark(self->bytes, 0x33333333);
	ASSERT_EQ(0, SET(0, BASE, self->size, self->bytes));
	EXPECT_PEEK(0x33333333, BASE);
}

TEST_F(slots, each_slot_is_its_own)
{
	const int count = 32;

	for (int i = 0; i < count; i++) {
		/* Backwards, so that neighbours in the guest are none in user space. */
		uint8_t *page = self->bytes + (count - 1 - i) * PAGE;

		mark(page, 0x1000 + i);
		ASSERT_EQ(0, guest_memory(self->g.vm, 1 + i, 0, BASE + i * PAGE, PAGE, page));
	}
	for (int i = 0; i < count; i++)
		EXPECT_PEEK(0x1000 + i, BASE + i * PAGE);
	for (int i = 0; i < count; i += 2)
		ASSERT_EQ(0, guest_memory(self->g.vm, 1 + i, 0, 0, 0, NULL));
	for (int i = 0; i < count; i++)
		EXPECT_PEEK(i % 2 ? 0x1000U + i : GUEST_NOTHING, BASE + i * PAGE);
	/* The same user memory twice. */
	ASSERT_EQ(0, guest_memory(self->g.vm, 1, 0, BASE, PAGE, self->bytes));
	EXPECT_PEEK(0x1000 + count - 1, BASE);
	EXPECT_POKE(BASE, 0x77777777);
	EXPECT_PEEK(0x77777777, BASE + (count - 1) * PAGE);
}

TEST_F(slots, flags_change_only_where_they_may)
{
	ASSERT_EQ(0, SET(0, BASE, self->size, self->bytes));
	EXPECT_POKE(BASE, 1);
	EXPECT_EQ(0, SET(0, BASE, self->size, self->bytes)) TH_LOG("no change");
	EXPECT_EQ(0, SET(KVM_MEM_LOG_DIRTY_PAGES, BASE, self->size, self->bytes));
	EXPECT_PEEK(1, BASE);
	EXPECT_POKE(BASE, 2);
	EXPECT_EQ(0, SET(0, BASE, self->size, self->bytes));
	EXPECT_PEEK(2, BASE);
	EXPECT_POKE(BASE, 3);
	EXPECT_ERROR(EINVAL, SET(KVM_MEM_READONLY, BASE, self->size, self->bytes));
	EXPECT_ERROR(EINVAL, SET(1 << 2, BASE, self->size, self->bytes));
	EXPECT_ERROR(EINVAL, SET(1U << 31, BASE, self->size, self->bytes));
	EXPECT_ERROR(EINVAL, SET(0, BASE, self->size - PAGE, self->bytes));
	EXPECT_ERROR(EINVAL, SET(0, BASE, self->size, self->bytes + PAGE));
	EXPECT_PEEK(3, BASE);

	ASSERT_EQ(0, SET(0, 0, 0, NULL));
	ASSERT_EQ(0, SET(KVM_MEM_READONLY, BASE, self->size, self->bytes));
	EXPECT_ERROR(EINVAL, SET(0, BASE, self->size, self->bytes));
	EXPECT_EQ(0,
		  SET(KVM_MEM_READONLY | KVM_MEM_LOG_DIRTY_PAGES, BASE, self->size, self->bytes));
	EXPECT_EQ(0, SET(KVM_MEM_READONLY, BASE + MIB, self->size, self->bytes));
	EXPECT_PEEK(3, BASE + MIB);
}

TEST_F(slots, overlaps_and_odd_places_are_refused)
{
	int slots = ioctl(self->g.vm, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);
	const int vm = self->g.vm;

	ASSERT_EQ(0, SET(0, BASE, 2 * PAGE, self->bytes));
	EXPECT_ERROR(EEXIST, guest_memory(vm, 2, 0, BASE + PAGE, PAGE, self->bytes));
	EXPECT_ERROR(EEXIST, guest_memory(vm, 2, 0, BASE - PAGE, 4 * PAGE, self->bytes));
	EXPECT_ERROR(EEXIST, guest_memory(vm, 2, 0, BASE - PAGE, 2 * PAGE, self->bytes));
	ASSERT_EQ(0, guest_memory(vm, 2, 0, BASE + 2 * PAGE, PAGE, self->bytes));
	ASSERT_EQ(0, guest_memory(vm, 3, 0, BASE - PAGE, PAGE, self->bytes));
	EXPECT_ERROR(EEXIST, SET(0, BASE + PAGE, 2 * PAGE, self->bytes));
	EXPECT_ERROR(EEXIST, SET(0, 0, 2 * PAGE, self->bytes));
	mark(self->bytes, 0x12345678);
	EXPECT_PEEK(0x12345678, BASE);

	EXPECT_ERROR(EINVAL, SET(0, BASE + 4 * MIB + 1, 2 * PAGE, self->bytes));
	EXPECT_ERROR(EINVAL, SET(0, BASE + 4 * MIB, 2 * PAGE + 1, self->bytes));
	EXPECT_ERROR(EINVAL, SET(0, BASE + 4 * MIB, 2 * PAGE, self->bytes + 1));
	EXPECT_ERROR(EINVAL, guest_memory(vm, 9, 0, 0, 0, NULL));
	ASSERT_LT(31, slots);
	EXPECT_EQ(0, guest_memory(vm, slots - 1, 0, BASE + 4 * MIB, PAGE, self->bytes));
	EXPECT_PEEK(0x12345678, BASE + 4 * MIB);
	/* KVM has some slots of its own behind them, and a second address space. */
	if (!guest_on_kvm()) {
		EXPECT_ERROR(EINVAL, guest_memory(vm, slots, 0, BASE + 8 * MIB, PAGE, self->bytes));
		EXPECT_ERROR(EINVAL,
			     guest_memory(vm, 1 << 16, 0, BASE + 8 * MIB, PAGE, self->bytes));
	}
}

TEST_F(slots, the_second_form_of_the_call_does_the_same)
{
	struct kvm_userspace_memory_region2 region = {
		.slot = SLOT,
		.guest_phys_addr = BASE,
		.memory_size = self->size,
		.userspace_addr = (uintptr_t)self->bytes,
	};

	mark(self->bytes, 0x5678);
	ASSERT_LT(0, ioctl(self->g.device, KVM_CHECK_EXTENSION, 231 /* USER_MEMORY2 */));
	ASSERT_EQ(0, ioctl(self->g.vm, KVM_SET_USER_MEMORY_REGION2, &region));
	EXPECT_PEEK(0x5678, BASE);
	region.slot = 2;
	EXPECT_ERROR(EEXIST, ioctl(self->g.vm, KVM_SET_USER_MEMORY_REGION2, &region));
	region.guest_phys_addr = BASE + MIB;
	/* A guest_memfd is for private memory, which nobody has here. */
	region.flags = 1 << 2;
	EXPECT_ERROR(EINVAL, ioctl(self->g.vm, KVM_SET_USER_MEMORY_REGION2, &region));
	region.flags = 1 << 5;
	EXPECT_ERROR(EINVAL, ioctl(self->g.vm, KVM_SET_USER_MEMORY_REGION2, &region));
	EXPECT_ERROR(EFAULT, ioctl(self->g.vm, KVM_SET_USER_MEMORY_REGION2, NULL));
	region.slot = SLOT;
	region.flags = 0;
	region.memory_size = 0;
	ASSERT_EQ(0, ioctl(self->g.vm, KVM_SET_USER_MEMORY_REGION2, &region));
	EXPECT_PEEK(GUEST_NOTHING, BASE);
}

/* Where user space has nothing that can be had, the guest does not go on. */
TEST_F(slots, memory_that_user_space_lacks_is_efault)
{
	void *page = self->bytes;

	ASSERT_EQ(0, SET(0, BASE, self->size, self->bytes));
	ASSERT_EQ(0, mprotect(page, PAGE, PROT_NONE));
	EXPECT_EQ(-EFAULT, guest_poke(&self->g, BASE, 1));
	/* And when it comes, goes on where it stood. */
	ASSERT_EQ(0, mprotect(page, PAGE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	EXPECT_EQ(1, marked(page));

	/* Not among those that came with the first. */
	ASSERT_EQ(0, munmap(self->bytes + 18 * PAGE, PAGE));
	EXPECT_EQ(-EFAULT, guest_poke(&self->g, BASE + 18 * PAGE, 1));
	EXPECT_POKE(BASE + 19 * PAGE, 1);
}

TEST_F(slots, what_user_space_may_not_write_the_guest_may_not)
{
	int reason;

	for (size_t i = 0; i < 8; i++)
		mark(self->bytes + i * PAGE, 0x100 + i);
	ASSERT_EQ(0, mprotect(self->bytes, 8 * PAGE, PROT_READ));
	ASSERT_EQ(0, SET(KVM_MEM_READONLY, BASE, 8 * PAGE, self->bytes));
	EXPECT_PEEK(0x107, BASE + 7 * PAGE);
	EXPECT_POKE(BASE + 7 * PAGE, 1);
	EXPECT_EQ(0x107, marked(self->bytes + 7 * PAGE));

	ASSERT_EQ(0, SET(0, 0, 0, NULL));
	ASSERT_EQ(0, SET(0, BASE, 8 * PAGE, self->bytes));
	/* Pages are had for writing, where KVM is content with less. */
	guest_peek(&self->g, BASE, &reason);
	EXPECT_EQ(guest_on_kvm() ? KVM_EXIT_HLT : -EFAULT, reason);
	EXPECT_EQ(-EFAULT, guest_poke(&self->g, BASE, 1));
	EXPECT_EQ(0x100, marked(self->bytes));
}

/* --- what is behind it ---------------------------------------------------- */

enum kind { ANONYMOUS, SHARED, MEMFD, ZERO, THP, HUGETLB_2M, HUGETLB_1G };

FIXTURE(backing)
{
	struct guest g;
	uint8_t *bytes;
};

FIXTURE_VARIANT(backing)
{
	enum kind kind;
	size_t size, leaf;
};

#define BACKING(name, kind_, size_, leaf_)                  \
	FIXTURE_VARIANT_ADD(backing, name)                  \
	{                                                   \
		.kind = kind_, .size = size_, .leaf = leaf_ \
	}
BACKING(anonymous, ANONYMOUS, 1 * MIB, PAGE);
BACKING(shared, SHARED, 1 * MIB, PAGE);
BACKING(memfd, MEMFD, 1 * MIB, PAGE);
BACKING(dev_zero, ZERO, 1 * MIB, PAGE);
BACKING(transparent_huge, THP, 4 * MIB, 2 * MIB);
BACKING(huge_2m, HUGETLB_2M, 4 * MIB, 2 * MIB);
BACKING(huge_1g, HUGETLB_1G, GIB, GIB);

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		perror(path);
	close(fd);
}

static void *map_huge(size_t size, size_t leaf)
{
	int log = leaf == GIB ? 30 : 21;

	/* Those of 1 GiB have to be there from boot on. */
	if (leaf != GIB)
		write_file("/proc/sys/vm/nr_hugepages", "4");
	return mmap(NULL, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | log << 26, -1, 0);
}

static void *map_kind(enum kind kind, size_t size)
{
	const int rw = PROT_READ | PROT_WRITE;
	void *memory = MAP_FAILED;
	int fd;

	switch (kind) {
	case ANONYMOUS:
		return map_anonymous(size);
	case SHARED:
		return map_aligned(size, 2 * MIB, rw, MAP_SHARED | MAP_ANONYMOUS, -1);
	case MEMFD:
	case ZERO:
		fd = kind == MEMFD ? memfd_create("guest", MFD_CLOEXEC) :
				     open("/dev/zero", O_RDWR | O_CLOEXEC);
		if (kind == ZERO || !ftruncate(fd, size))
			memory = map_aligned(size, 2 * MIB, rw,
					     kind == MEMFD ? MAP_SHARED : MAP_PRIVATE, fd);
		close(fd);
		return memory;
	case THP:
		memory = map_anonymous(size);
		if (memory != MAP_FAILED)
			madvise(memory, size, MADV_HUGEPAGE);
		return memory;
	case HUGETLB_2M:
		return map_huge(size, 2 * MIB);
	case HUGETLB_1G:
		return map_huge(size, GIB);
	}
	return MAP_FAILED;
}

FIXTURE_SETUP(backing)
{
	ASSERT_EQ(0, guest_create(&self->g, "", 0));
	guest_to_flat_mode(&self->g);
	self->bytes = map_kind(variant->kind, variant->size);
}

FIXTURE_TEARDOWN(backing)
{
	guest_destroy(&self->g);
	if (self->bytes != MAP_FAILED)
		munmap(self->bytes, variant->size);
}

static const char *leaf_name(size_t leaf)
{
	return leaf == GIB ? "pages_1g" : leaf == 2 * MIB ? "pages_2m" : "pages_4k";
}

/* The guest and user space see the same bytes, and huge pages are mapped as such. */
TEST_F(backing, is_the_guests_memory)
{
	const size_t step = variant->size == GIB ? 2 * MIB : PAGE, count = variant->size / step;
	int64_t small, leaves;

	if (self->bytes == MAP_FAILED)
		SKIP(return, "this host has no such pages: %s", strerror(errno));
	/* Some of it user space touches first, the rest the guest. */
	for (size_t i = 0; i < count / 2; i++)
		mark(self->bytes + i * step + 4, ~i);
	ASSERT_EQ(0, SET(0, BASE, variant->size, self->bytes));
	EXPECT_PEEK(~1, BASE + step + 4);
	/* What is only read first is no huge page, but the zero page. */
	if (variant->kind != THP)
		EXPECT_PEEK(0, BASE + (count - 1) * step);
	small = guest_stat(self->g.vm, "pages_4k");
	ASSERT_EQ(KVM_EXIT_HLT, guest_fill(&self->g, BASE, step, count, 0x1000));
	for (size_t i = 0; i < count; i++) {
		ASSERT_EQ(0x1000 + i, marked(self->bytes + i * step)) TH_LOG("page %zu", i);
		ASSERT_EQ(i < count / 2 ? ~i & ~0U : 0, marked(self->bytes + i * step + 4));
	}
	EXPECT_PEEK(0x1000 + count - 1, BASE + (count - 1) * step);

	if (variant->kind == THP &&
	    guest_figure("/proc/self/smaps_rollup", "AnonHugePages") < (long)(4 * MIB / KIB))
		SKIP(return, "this host gave no huge pages");
	leaves = guest_stat(self->g.vm, leaf_name(variant->leaf));
	EXPECT_LE(variant->size / variant->leaf, leaves) TH_LOG("%s", leaf_name(variant->leaf));
	if (variant->leaf != PAGE)
		EXPECT_EQ(small, guest_stat(self->g.vm, "pages_4k"));
	ASSERT_EQ(0, SET(0, 0, 0, NULL));
	EXPECT_GT(leaves, guest_stat(self->g.vm, leaf_name(variant->leaf)));
	EXPECT_PEEK(GUEST_NOTHING, BASE);
}

/* A slot that is only a part of a huge page gives the guest no more than that part. */
TEST_F(backing, ends_where_the_slot_ends)
{
	const size_t start = variant->size / 2 - 3 * PAGE, size = 7 * PAGE;
	const uint32_t odd = BASE + 5 * PAGE, even = BASE + 16 * MIB + start;

	if (self->bytes == MAP_FAILED)
		SKIP(return, "this host has no such pages: %s", strerror(errno));
	for (size_t i = 0; i < size; i += PAGE)
		mark(self->bytes + start + i, 0x4000 + i);
	/* Once with the huge page's offsets, once with others. */
	ASSERT_EQ(0, guest_memory(self->g.vm, 1, 0, odd, size, self->bytes + start));
	ASSERT_EQ(0, guest_memory(self->g.vm, 2, 0, even, size, self->bytes + start));
	for (size_t i = 0; i < size; i += PAGE) {
		EXPECT_PEEK(0x4000 + i, odd + i);
		EXPECT_PEEK(0x4000 + i, even + i);
		EXPECT_POKE(odd + i, 0x5000 + i);
		EXPECT_PEEK(0x5000 + i, even + i);
	}
	EXPECT_PEEK(GUEST_NOTHING, odd - PAGE);
	EXPECT_PEEK(GUEST_NOTHING, odd + size);
	EXPECT_PEEK(GUEST_NOTHING, even - PAGE);
	EXPECT_PEEK(GUEST_NOTHING, even + size);
	EXPECT_EQ(0, marked(self->bytes + start - PAGE));
	EXPECT_EQ(0, marked(self->bytes + start + size));
}

/* Half of a large slot moves to an offset at which huge leaves do not fit. */
TEST_F(backing, survives_a_move)
{
	const size_t size = variant->size == GIB ? 8 * MIB : variant->size;

	if (self->bytes == MAP_FAILED)
		SKIP(return, "this host has no such pages: %s", strerror(errno));
	ASSERT_EQ(0, SET(0, BASE, size, self->bytes));
	ASSERT_EQ(KVM_EXIT_HLT, guest_fill(&self->g, BASE, PAGE, size / PAGE, 0x1000));
	ASSERT_EQ(0, SET(0, BASE + PAGE, size, self->bytes));
	EXPECT_PEEK(GUEST_NOTHING, BASE);
	EXPECT_PEEK(0x1000, BASE + PAGE);
	EXPECT_PEEK(0x1000 + size / PAGE - 1, BASE + size);
	ASSERT_EQ(KVM_EXIT_HLT, guest_fill(&self->g, BASE + PAGE, PAGE, size / PAGE, 0x8000));
	for (size_t i = 0; i < size / PAGE; i++)
		ASSERT_EQ(0x8000 + i, marked(self->bytes + i * PAGE));
}

/* --- pages that are held -------------------------------------------------- */

#define FILL_ALL() guest_fill(&self->g, BASE, PAGE, self->size / PAGE, 0x1000)

/* Dragonfly pins what the guest uses, KVM follows what user space does. */
TEST_F(slots, a_deleted_slot_holds_no_pages)
{
	long accounted = guest_figure("/proc/self/status", "VmLck"), pinned = guest_pinned_pages();

	ASSERT_LE(0, accounted);
	for (int round = 0; round < 3; round++) {
		ASSERT_EQ(0, SET(0, BASE, self->size, self->bytes));
		ASSERT_EQ(KVM_EXIT_HLT, FILL_ALL());
		if (!guest_on_kvm()) {
			EXPECT_LE(pinned + 64, guest_pinned_pages());
			EXPECT_LE(accounted + 64 * 4, guest_figure("/proc/self/status", "VmLck"));
		}
		/* In turn: deleted, moved and deleted, deleted with its VM. */
		if (round == 1)
			ASSERT_EQ(0, SET(0, BASE + MIB, self->size, self->bytes));
		if (round == 2)
			break;
		ASSERT_EQ(0, SET(0, 0, 0, NULL));
		/* What is left is around the page with the code. */
		EXPECT_GE(pinned + 32, guest_pinned_pages());
	}
	guest_destroy(&self->g);
	self->g = (struct guest){ .device = -1, .vm = -1, .vcpu = -1 };
	EXPECT_EQ(pinned, guest_pinned_pages());
	EXPECT_EQ(accounted, guest_figure("/proc/self/status", "VmLck"));
}

/* Becomes somebody who may lock as much memory as the limit says, and no more. */
static int limit_locked_memory(rlim_t now, rlim_t ever)
{
	struct rlimit limit = { now, ever };

	if (setrlimit(RLIMIT_MEMLOCK, &limit))
		return -1;
	return setgroups(0, NULL) || setresgid(65534, 65534, 65534) ||
			       setresuid(65534, 65534, 65534) ?
		       -1 :
		       0;
}

TEST_F(slots, pinned_memory_is_limited)
{
	struct rlimit limit;

	if (guest_on_kvm())
		SKIP(return, "KVM pins nothing");
	ASSERT_EQ(0, SET(0, BASE, self->size, self->bytes));
	ASSERT_EQ(0, limit_locked_memory(32 * PAGE, 4096 * PAGE));
	EXPECT_EQ(-ENOMEM, FILL_ALL());
	EXPECT_EQ(-ENOMEM, guest_run(&self->g)) TH_LOG("for as long as it is so");
	EXPECT_GE(32 * 4, guest_figure("/proc/self/status", "VmLck"));
	/* With a higher limit it goes on, and has done everything once. */
	limit = (struct rlimit){ 4096 * PAGE, 4096 * PAGE };
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
	EXPECT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	for (size_t i = 0; i < self->size / PAGE; i++)
		EXPECT_EQ(0x1000 + i, marked(self->bytes + i * PAGE));
}

/* What a deleted slot had counts no longer. */
TEST_F(slots, the_limit_is_on_what_is_held)
{
	if (guest_on_kvm())
		SKIP(return, "KVM pins nothing");
	ASSERT_EQ(0, limit_locked_memory(128 * PAGE, 128 * PAGE));
	for (int round = 0; round < 10; round++) {
		ASSERT_EQ(0, SET(0, BASE, self->size, self->bytes));
		ASSERT_EQ(KVM_EXIT_HLT, FILL_ALL()) TH_LOG("round %d", round);
		ASSERT_EQ(0, SET(0, 0, 0, NULL));
	}
}

/* --- populated in advance ------------------------------------------------- */

static int pre_fault(struct guest *g, struct kvm_pre_fault_memory *range)
{
	return ioctl(g->vcpu, KVM_PRE_FAULT_MEMORY, range);
}

TEST_F(slots, memory_may_be_populated_in_advance)
{
	struct kvm_pre_fault_memory range = { .gpa = BASE, .size = self->size };
	int64_t violations;

	if (guest_on_kvm() && !ioctl(self->g.vm, KVM_CHECK_EXTENSION, KVM_CAP_PRE_FAULT_MEMORY))
		SKIP(return, "this KVM cannot");
	ASSERT_LT(0, ioctl(self->g.vm, KVM_CHECK_EXTENSION, KVM_CAP_PRE_FAULT_MEMORY));
	memset(self->bytes, 1, self->size);
	ASSERT_EQ(0, SET(0, BASE, self->size, self->bytes));
	/* The page with the code first. */
	ASSERT_EQ(KVM_EXIT_HLT, guest_poke(&self->g, 0x20000, 1));
	ASSERT_EQ(0, pre_fault(&self->g, &range));
	EXPECT_EQ(BASE + self->size, range.gpa);
	EXPECT_EQ(0, range.size);
	EXPECT_LE(64, guest_stat(self->g.vm, "pages_4k"));
	violations = guest_stat(self->g.vcpu, "exit_ept_violation");
	ASSERT_EQ(KVM_EXIT_HLT, FILL_ALL());
	EXPECT_EQ(violations, guest_stat(self->g.vcpu, "exit_ept_violation"));
	if (!guest_on_kvm())
		EXPECT_LE(0, violations);
	/* Once more does no harm, nor does it undo what the guest wrote. */
	range = (struct kvm_pre_fault_memory){ .gpa = BASE, .size = self->size };
	ASSERT_EQ(0, pre_fault(&self->g, &range));
	EXPECT_PEEK(0x1000, BASE);
}

TEST_F(slots, what_is_to_be_populated_is_checked)
{
	struct kvm_pre_fault_memory range;

	if (guest_on_kvm() && !ioctl(self->g.vm, KVM_CHECK_EXTENSION, KVM_CAP_PRE_FAULT_MEMORY))
		SKIP(return, "this KVM cannot");
	memset(self->bytes, 1, self->size);
	ASSERT_EQ(0, SET(0, BASE, self->size, self->bytes));
#define REFUSED(err, ...)                                             \
	do {                                                          \
		range = (struct kvm_pre_fault_memory){ __VA_ARGS__ }; \
		EXPECT_ERROR(err, pre_fault(&self->g, &range));       \
	} while (0)
	REFUSED(EINVAL, .gpa = BASE + 1, .size = PAGE);
	REFUSED(EINVAL, .gpa = BASE, .size = PAGE + 1);
	REFUSED(EINVAL, .gpa = BASE, .size = 0);
	REFUSED(EINVAL, .gpa = BASE, .size = PAGE, .flags = 1);
	REFUSED(EINVAL, .gpa = -PAGE, .size = 2 * PAGE);
	REFUSED(ENOENT, .gpa = BASE + self->size, .size = PAGE);
	REFUSED(ENOENT, .gpa = BASE - PAGE, .size = 2 * PAGE);
	EXPECT_EQ(BASE - PAGE, range.gpa);
	EXPECT_EQ(2 * PAGE, range.size);
#undef REFUSED
	/* A part is success, and what is left is said. */
	range = (struct kvm_pre_fault_memory){ .gpa = BASE + self->size - 2 * PAGE,
					       .size = 5 * PAGE };
	EXPECT_EQ(0, pre_fault(&self->g, &range));
	EXPECT_EQ(BASE + self->size, range.gpa);
	EXPECT_EQ(3 * PAGE, range.size);
	EXPECT_ERROR(ENOENT, pre_fault(&self->g, &range));
	EXPECT_ERROR(EFAULT, pre_fault(&self->g, NULL));
}

/* --- memory that is a device's -------------------------------------------- */

/*
 * The end of the firmware, just below 4 GiB: nobody's, so that a kernel with
 * STRICT_DEVMEM lets it be mapped, and it stays the same.
 */
#define FIRMWARE 0xfffff000

TEST_F(slots, device_memory_is_mapped_for_as_long_as_user_space_has_it)
{
	int fd = open("/dev/mem", O_RDWR | O_CLOEXEC), reason;
	uint32_t *rom = MAP_FAILED, first, last;

	if (fd >= 0)
		rom = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, FIRMWARE);
	if (rom == MAP_FAILED)
		SKIP(return, "no device memory to be had: %s", strerror(errno));
	close(fd);
	first = rom[0];
	last = rom[PAGE / 4 - 4];
	ASSERT_EQ(0, SET(0, BASE, PAGE, rom));
	EXPECT_PEEK(first, BASE);
	EXPECT_PEEK(last, BASE + PAGE - 16);
	ASSERT_EQ(0, munmap(rom, PAGE));
	guest_peek(&self->g, BASE, &reason);
	EXPECT_EQ(-EFAULT, reason);
	ASSERT_EQ(0, SET(0, 0, 0, NULL));
	EXPECT_PEEK(GUEST_NOTHING, BASE);
}

/*
 * The data of the vDSO is such memory that the user can only read. Whoever moves it
 * has no clock_gettime() any more. What is in it once does not change: a kind of clock.
 * Later kernels have pages there like any others ("pf" is VM_PFNMAP).
 */
#define VVAR_CLOCK_MODE 0x84

static uint8_t *find_vvar(size_t *size)
{
	FILE *maps = fopen("/proc/self/smaps", "re");
	unsigned long start = 0, end;
	bool is_device = false;
	char line[256];

	while (maps && fgets(line, sizeof(line), maps)) {
		if (strstr(line, "[vvar]") && sscanf(line, "%lx-%lx", &start, &end) == 2)
			*size = end - start;
		if (!start || strncmp(line, "VmFlags:", 8))
			continue;
		is_device = strstr(line, " pf");
		break;
	}
	if (maps)
		fclose(maps);
	return is_device ? (uint8_t *)start : NULL;
}

/* As guest_poke(), but to the first exit. */
static int guest_write(struct guest *g, uint32_t gpa)
{
	struct kvm_regs regs;

	guest_load(g, guest_code_fill, GUEST_SIZE(guest_code_fill));
	regs = guest_regs(g);
	regs.rdi = gpa;
	regs.rcx = 1;
	regs.rax = ~0U;
	ioctl(g->vcpu, KVM_SET_REGS, &regs);
	return guest_run(g);
}

TEST_F(slots, device_memory_that_the_user_may_only_read_is_read_only)
{
	/* KVM takes it for a slot that is read-only, as there is nothing else to say. */
	const int refusal = guest_on_kvm() ? KVM_EXIT_MMIO : -EFAULT;
	uint32_t clock_mode;
	uint8_t *vvar;
	size_t size;

	vvar = find_vvar(&size);
	if (!vvar)
		SKIP(return, "no [vvar] here that is device memory");
	clock_mode = marked(vvar + VVAR_CLOCK_MODE);
	ASSERT_EQ(0, SET(0, BASE, PAGE, vvar));
	EXPECT_EQ(refusal, guest_write(&self->g, BASE + VVAR_CLOCK_MODE));
	if (guest_on_kvm())
		EXPECT_EQ(KVM_EXIT_HLT, guest_run(&self->g));
	EXPECT_PEEK(clock_mode, BASE + VVAR_CLOCK_MODE);
	/* Also when it is there to be read, and for as long as it is so. */
	EXPECT_EQ(refusal, guest_write(&self->g, BASE + VVAR_CLOCK_MODE));
	EXPECT_EQ(guest_on_kvm() ? KVM_EXIT_HLT : -EFAULT, guest_run(&self->g));
	EXPECT_PEEK(clock_mode, BASE + VVAR_CLOCK_MODE);
	EXPECT_EQ(clock_mode, marked(vvar + VVAR_CLOCK_MODE));
	/* In a slot that is itself read-only a write is user space's. */
	ASSERT_EQ(0, SET(0, 0, 0, NULL));
	ASSERT_EQ(0, SET(KVM_MEM_READONLY, BASE, PAGE, vvar));
	EXPECT_PEEK(clock_mode, BASE + VVAR_CLOCK_MODE);
	EXPECT_POKE(BASE + VVAR_CLOCK_MODE, ~clock_mode);
	EXPECT_PEEK(clock_mode, BASE + VVAR_CLOCK_MODE);
}

/*
 * What changes in a slot where little is mapped costs as much as is mapped: looked at
 * page by page, the rounds would not be done in this test's time.
 */
TEST_F(slots, a_large_slot_with_little_device_memory_changes_fast)
{
	const size_t large = 32 * GIB;
	const int rounds = 128;
	uint32_t clock_mode;
	uint8_t *vvar, *space;
	size_t size;
	int reason;

	vvar = find_vvar(&size);
	if (!vvar)
		SKIP(return, "no [vvar] here that is device memory");
	clock_mode = marked(vvar + VVAR_CLOCK_MODE);
	space = mmap(NULL, large, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, space);
	/* In the middle of it. */
	vvar = mremap(vvar, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, space + GIB);
	ASSERT_EQ(space + GIB, vvar);
	ASSERT_EQ(0, SET(0, BASE, large, space));
	EXPECT_PEEK(clock_mode, BASE + GIB + VVAR_CLOCK_MODE);
	for (int i = 0; i < rounds; i++)
		ASSERT_EQ(0, mprotect(vvar + size, space + large - vvar - size,
				      i % 2 ? PROT_NONE : PROT_READ));
	EXPECT_PEEK(clock_mode, BASE + GIB + VVAR_CLOCK_MODE);
	for (int i = 0; i < rounds; i++) {
		ASSERT_EQ(0, SET(0, 0, 0, NULL));
		ASSERT_EQ(0, SET(0, BASE, large, space));
	}
	EXPECT_PEEK(clock_mode, BASE + GIB + VVAR_CLOCK_MODE);
	ASSERT_EQ(0, munmap(space, large));
	guest_peek(&self->g, BASE + GIB + VVAR_CLOCK_MODE, &reason);
	EXPECT_EQ(-EFAULT, reason);
}

TEST_HARNESS_MAIN
