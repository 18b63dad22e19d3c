// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest reaches the pages of its slots and no other: its tables and what it sees are
 * compared with the slots after each change of one, and nothing that was taken away is
 * within reach of a vCPU that was using it. STEPS in the environment says how many
 * changes, SEED which, ROUNDS how often memory is taken from under running vCPUs.
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm. What only
 * the tables tell needs guest_tables.ko.
 */
#include <pthread.h>
#include <signal.h>

#include "kselftest_harness.h"
#include "apic.h"
#include "hostile-code.h"

#define TABLES "/sys/kernel/debug/guest_tables/"
#define PAGE 0x1000UL

/* --- slots, and a model of them ---------------------------------------------- */

#define SLOTS 8
#define PIECE 1024UL /* pages of each, at most */

struct slot {
	uint64_t gpa, pages; /* none, if it is not there */
	uint32_t flags;
	uint8_t *memory;
};

struct world {
	struct guest g;
	struct random r;
	struct slot slots[SLOTS];
	uint64_t end; /* of what can be addressed */
	uint64_t was; /* where a slot was before the last step */
	int pagemap;
};

/* What each page says of itself; its second word is for writing. */
static uint64_t tag_of(unsigned int slot, uint64_t page)
{
	return 0x7a60000000000000 | (uint64_t)slot << 32 | page;
}

static struct slot *slot_at(struct world *w, uint64_t gpa)
{
	for (int i = 0; i < SLOTS; i++)
		if (gpa - w->slots[i].gpa < w->slots[i].pages * PAGE)
			return &w->slots[i];
	return NULL;
}

static bool is_free(struct world *w, const struct slot *slot, uint64_t gpa, uint64_t pages)
{
	if (gpa < GUEST_MEMORY || gpa + pages * PAGE > w->end)
		return false;
	/* The APIC's page is not memory's. */
	if (gpa < APIC_BASE + PAGE && gpa + pages * PAGE > APIC_BASE)
		return false;
	for (int i = 0; i < SLOTS; i++) {
		const struct slot *other = &w->slots[i];

		if (other != slot && gpa < other->gpa + other->pages * PAGE &&
		    other->gpa < gpa + pages * PAGE)
			return false;
	}
	return true;
}

/* Where tables begin and end, and beside what is there. */
static uint64_t random_place(struct world *w)
{
	const uint64_t places[] = {
		GUEST_MEMORY, 1UL << 30, 2UL << 30, 1UL << 32, 1UL << 38, 1UL << 39, w->end,
	};
	const struct slot *beside = &PICK(&w->r, w->slots);
	uint64_t place = PICK(&w->r, places);

	if (beside->pages && one_in(&w->r, 2))
		place = one_in(&w->r, 2) ? beside->gpa : beside->gpa + beside->pages * PAGE;
	return place + (below(&w->r, 5) - 2) * (one_in(&w->r, 2) ? PAGE : PIECE * PAGE / 2);
}

static int set_slot(struct world *w, const struct slot *slot)
{
	return guest_memory(w->g.vm, 1 + (slot - w->slots), slot->flags, slot->gpa,
			    slot->pages * PAGE, slot->memory);
}

static void tell_pages(struct world *w, struct slot *slot)
{
	for (uint64_t page = 0; page < slot->pages; page++) {
		uint64_t *words = (uint64_t *)(slot->memory + page * PAGE);

		words[0] = tag_of(slot - w->slots, page);
		words[1] = 0;
	}
}

static int step_add(struct world *w, struct slot *slot)
{
	slot->gpa = random_place(w);
	slot->pages = one_in(&w->r, 4) ? PIECE : 1 + below(&w->r, 40);
	slot->flags = below(&w->r, 4);
	if (!is_free(w, slot, slot->gpa, slot->pages)) {
		slot->pages = 0;
		return 0;
	}
	tell_pages(w, slot);
	return set_slot(w, slot);
}

static int step_delete(struct world *w, struct slot *slot)
{
	int ret;

	w->was = slot->gpa;
	slot->pages = 0;
	ret = set_slot(w, slot);
	/* The user has something new there, which is nobody else's. */
	if (one_in(&w->r, 2))
		madvise(slot->memory, PIECE * PAGE, MADV_DONTNEED);
	return ret;
}

static int step_move(struct world *w, struct slot *slot)
{
	uint64_t gpa = random_place(w);

	if (!is_free(w, slot, gpa, slot->pages))
		return 0;
	w->was = slot->gpa;
	slot->gpa = gpa;
	return set_slot(w, slot);
}

static int step_log(struct world *w, struct slot *slot)
{
	uint64_t bitmap[PIECE / 64];
	struct kvm_dirty_log log = { .slot = 1 + (slot - w->slots), .dirty_bitmap = bitmap };

	if (slot->flags & KVM_MEM_LOG_DIRTY_PAGES && one_in(&w->r, 2))
		return ioctl(w->g.vm, KVM_GET_DIRTY_LOG, &log);
	slot->flags ^= KVM_MEM_LOG_DIRTY_PAGES;
	return set_slot(w, slot);
}

static int step(struct world *w)
{
	struct slot *slot = &PICK(&w->r, w->slots);

	if (!slot->pages)
		return step_add(w, slot);
	switch (below(&w->r, 4)) {
	case 0:
		return step_delete(w, slot);
	case 1:
		return step_move(w, slot);
	default:
		return step_log(w, slot);
	}
}

/* --- what a guest sees --------------------------------------------------------- */

#define PROBES 64
#define PROBE_TABLE 0x13000
#define PROBE_AT 0x400000UL /* linear */
#define PROBE_RESULTS 0x30000
#define PROBE_MARK 0x600d0000U

/* It reads the first word of each place, and writes a number of its own to the second. */
GUEST_ASM(probe_code, 64,
	  "mov %cr3, %rax\n mov %rax, %cr3\n"
	  "1: mov (%rbx), %rax\n mov %rax, (%rsi)\n mov %rdi, 8(%rbx)\n"
	  "add $0x1000, %rbx\n add $8, %rsi\n inc %rdi\n loop 1b\n hlt");

struct probe {
	uint64_t gpa;
	bool read, written; /* by user space */
};

static void choose_probes(struct world *w, struct probe *probes)
{
	for (int i = 0; i < PROBES; i++) {
		const struct slot *slot = &w->slots[i % SLOTS];
		uint64_t gpa = slot->pages ? slot->gpa : random_place(w);

		switch (below(&w->r, 8)) {
		case 0:
			gpa -= PAGE;
			break;
		case 1:
			gpa += slot->pages * PAGE;
			break;
		case 2:
			gpa += (slot->pages - 1) * PAGE;
			break;
		case 3:
			gpa = w->was + below(&w->r, 8) * PAGE;
			break;
		case 4:
			gpa = random_next(&w->r) & ~(PAGE - 1);
			break;
		default:
			gpa += below(&w->r, slot->pages + 1) * PAGE;
		}
		gpa &= w->end - 1;
		/* Its own memory is not probed, nor what is the APIC's. */
		if (gpa < GUEST_MEMORY || gpa == APIC_BASE)
			gpa = GUEST_MEMORY;
		probes[i] = (struct probe){ .gpa = gpa };
	}
}

static int run_probes(struct world *w, struct probe *probes)
{
	struct kvm_regs regs = { .rip = GUEST_CODE, .rsp = GUEST_STACK, .rflags = 2 };
	struct kvm_run *run = w->g.run;
	int reason;

	for (int i = 0; i < PROBES; i++)
		((uint64_t *)(w->g.memory + PROBE_TABLE))[i] = probes[i].gpa | 3;
	regs.rbx = PROBE_AT;
	regs.rcx = PROBES;
	regs.rsi = PROBE_RESULTS;
	regs.rdi = PROBE_MARK;
	ioctl(w->g.vcpu, KVM_SET_REGS, &regs);
	while ((reason = guest_run(&w->g)) == KVM_EXIT_MMIO) {
		unsigned int at = (guest_regs(&w->g).rbx - PROBE_AT) / PAGE;
		struct probe *probe = &probes[at % PROBES];

		if (run->mmio.phys_addr != probe->gpa + (run->mmio.is_write ? 8 : 0))
			return -1;
		if (run->mmio.is_write)
			probe->written = true;
		else
			probe->read = true;
		memset(run->mmio.data, 0xa5, 8);
	}
	return reason == KVM_EXIT_HLT ? 0 : -1;
}

/* Exits where there is no slot, and there alone; else the slot's own page. */
static bool is_as_it_should_be(struct world *w, const struct probe *probes, int i)
{
	const struct slot *slot = slot_at(w, probes[i].gpa);
	uint64_t result = ((uint64_t *)(w->g.memory + PROBE_RESULTS))[i], page;
	bool writable = slot && !(slot->flags & KVM_MEM_READONLY);
	uint64_t *words;

	if (probes[i].read != !slot || probes[i].written != !writable)
		return false;
	if (!slot)
		return true;
	page = (probes[i].gpa - slot->gpa) / PAGE;
	words = (uint64_t *)(slot->memory + page * PAGE);
	return result == tag_of(slot - w->slots, page) && words[0] == result &&
	       (writable ? (uint32_t)words[1] >= PROBE_MARK : !words[1]);
}

static bool guest_sees_slots_alone(struct world *w)
{
	struct probe probes[PROBES];

	choose_probes(w, probes);
	if (run_probes(w, probes))
		return false;
	for (int i = 0; i < PROBES; i++)
		if (!is_as_it_should_be(w, probes, i)) {
			printf("# at %#lx: read %s, written %s, %#lx\n", probes[i].gpa,
			       probes[i].read ? "by the user" : "there",
			       probes[i].written ? "by the user" : "there",
			       ((uint64_t *)(w->g.memory + PROBE_RESULTS))[i]);
			return false;
		}
	return true;
}

/* --- what its tables have -------------------------------------------------------- */

#define MAPPED (1UL << 63)

/* The pages of a leaf are those of the user's, one after the other. */
static bool is_users(struct world *w, const uint8_t *at, uint64_t pfn, uint64_t pages)
{
	static uint64_t entries[512];
	size_t size = pages * sizeof(*entries);

	if (pages > ARRAY_SIZE(entries) ||
	    pread(w->pagemap, entries, size, (uintptr_t)at / PAGE * 8) != (ssize_t)size)
		return false;
	for (uint64_t i = 0; i < pages; i++)
		if (!(entries[i] & MAPPED) || (entries[i] & ((1UL << 55) - 1)) != pfn + i)
			return false;
	return true;
}

static bool is_of_slot(struct world *w, uint64_t gfn, uint64_t pfn, uint64_t pages, uint64_t rights)
{
	struct slot low = { .pages = GUEST_MEMORY / PAGE, .memory = w->g.memory };
	const struct slot *slot = gfn < low.pages ? &low : slot_at(w, gfn * PAGE);
	uint64_t first;

	if (!slot || (rights & 2 && slot->flags & KVM_MEM_READONLY))
		return false;
	first = gfn - slot->gpa / PAGE;
	return first + pages <= slot->pages && is_users(w, slot->memory + first * PAGE, pfn, pages);
}

/* Each page that the CPU would let the guest have is its slot's. */
static bool tables_have_slots_alone(struct world *w)
{
	FILE *in = fopen(TABLES "leaves", "re");
	unsigned long gfn, pfn, rights, leaves = 0;
	int level;
	bool same = true;

	if (!in)
		return true;
	while (same && fscanf(in, "%lx %d %lx %lx", &gfn, &level, &pfn, &rights) == 4) {
		same = is_of_slot(w, gfn, pfn, 1UL << (9 * (level - 1)), rights);
		leaves++;
	}
	fclose(in);
	if (!same)
		printf("# leaf of gfn %#lx, level %d: pfn %#lx, rights %lx\n", gfn, level, pfn,
		       rights);
	return same && leaves;
}

static long counted(const char *name)
{
	char path[64];
	long value = 0;
	FILE *in;

	snprintf(path, sizeof(path), TABLES "%s", name);
	in = fopen(path, "re");
	if (!in)
		return -1;
	if (fscanf(in, "%ld", &value) != 1)
		value = -1;
	fclose(in);
	return value;
}

FIXTURE(isolation)
{
	struct world w;
};

FIXTURE_SETUP(isolation)
{
	struct world *w = &self->w;
	unsigned int bits;

	ASSERT_EQ(0, guest_create(&w->g, probe_code, GUEST_SIZE(probe_code)));
	guest_to_long_mode(&w->g);
	ASSERT_EQ(0, guest_set_supported_cpuid(&w->g));
	bits = guest_supported(&w->g, 0x80000008, 0, 0) & 0xff;
	w->end = 1UL << (bits < 46 ? bits : 46);
	*(uint64_t *)(w->g.memory + 0x12010) = PROBE_TABLE | 3;
	w->r = random_of(from_environment("SEED", 1), 0);
	w->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	/* Half of them of large pages. */
	for (int i = 0; i < SLOTS; i++) {
		uint8_t *room = mmap(NULL, 2 * PIECE * PAGE, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		ASSERT_NE(MAP_FAILED, room);
		room += -(uintptr_t)room % (PIECE * PAGE);
		madvise(room, PIECE * PAGE, i % 2 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		w->slots[i].memory = room;
	}
}

FIXTURE_TEARDOWN(isolation)
{
	close(self->w.pagemap);
	guest_destroy(&self->w.g);
}

TEST_F(isolation, a_guest_reaches_its_slots_and_nothing_else)
{
	uint64_t steps = from_environment("STEPS", 300);
	struct world *w = &self->w;

	ASSERT_TRUE(guest_sees_slots_alone(w));
	for (uint64_t i = 0; i < steps; i++) {
		ASSERT_EQ(0, step(w)) TH_LOG("step %lu: %s", i, strerror(errno));
		ASSERT_TRUE(tables_have_slots_alone(w)) TH_LOG("before the guest, step %lu", i);
		ASSERT_TRUE(guest_sees_slots_alone(w)) TH_LOG("step %lu", i);
		ASSERT_TRUE(tables_have_slots_alone(w)) TH_LOG("step %lu", i);
	}
}

TEST_F(isolation, pages_are_unpinned_when_no_cpu_can_reach_them)
{
	long unpinned = counted("unpinned");
	struct world *w = &self->w;

	if (unpinned < 0)
		SKIP(return, "no guest_tables.ko here");
	for (int i = 0; i < 100; i++) {
		ASSERT_EQ(0, step(w));
		ASSERT_TRUE(guest_sees_slots_alone(w));
	}
	EXPECT_LT(unpinned, counted("unpinned"));
	EXPECT_EQ(0, counted("early"));
}

/* --- memory that goes while vCPUs use it -------------------------------------------- */

#define RACED 0x800000UL /* guest-physical; and where it moves to */
#define MOVED 0xc00000UL
#define SECRET 0x5ec2e700
#define COUNTS 0x30000 /* of rounds, one of each vCPU */

/* One looks for the secret, one writes; a device answers where there is no memory. */
GUEST_ASM(reader_code, 32,
	  "1: movl (%esi), %eax\n incl (%edi)\n cmp %ebx, %eax\n jne 1b\n out %al, $0x10\n jmp 1b");
GUEST_ASM(writer_code, 32, "1: movl %eax, 4(%esi)\n incl %eax\n incl (%edi)\n jmp 1b");
#define WRITER 0x2000

struct race {
	struct guest *g; /* of two */
	uint8_t *page;
	bool over, seen;
	pthread_t threads[2];
	unsigned long left[2]; /* how often each was outside */
};

struct racer {
	struct race *race;
	unsigned int n;
};

static void *run_racer(void *data)
{
	struct racer *r = data;
	struct guest *g = &r->race->g[r->n];
	int reason;

	apic_pin(r->n % sysconf(_SC_NPROCESSORS_ONLN));
	while (!__atomic_load_n(&r->race->over, __ATOMIC_RELAXED)) {
		reason = guest_run(g);
		__atomic_add_fetch(&r->race->left[r->n], 1, __ATOMIC_RELEASE);
		if (reason == KVM_EXIT_IO)
			__atomic_store_n(&r->race->seen, true, __ATOMIC_RELAXED);
		else if (reason == KVM_EXIT_MMIO)
			memset(g->run->mmio.data, 0, 8);
		else if (reason != -EINTR)
			break;
	}
	return NULL;
}

static void nothing(int signal)
{
	(void)signal;
}

static uint32_t rounds_of(const struct race *race, unsigned int n)
{
	return __atomic_load_n((uint32_t *)(race->g->memory + COUNTS) + n, __ATOMIC_ACQUIRE);
}

/* Both have been round again, so that what they had remembered is used or forgotten. */
static void await_both(const struct race *race)
{
	for (unsigned int n = 0; n < 2; n++) {
		uint32_t before = rounds_of(race, n);

		while (rounds_of(race, n) - before < 3)
			sched_yield();
	}
}

/* What its CPU has logged is in the log by then. */
static void make_leave(struct race *race, unsigned int n)
{
	unsigned long before = __atomic_load_n(&race->left[n], __ATOMIC_ACQUIRE);

	while (__atomic_load_n(&race->left[n], __ATOMIC_ACQUIRE) == before) {
		pthread_kill(race->threads[n], SIGUSR1);
		usleep(1000);
	}
}

static int start_racer(struct race *race, unsigned int n)
{
	struct kvm_regs regs = {
		.rip = n ? WRITER : GUEST_CODE,
		.rflags = 2,
		.rsi = RACED,
		.rdi = COUNTS + n * 4,
		.rbx = SECRET,
	};
	struct racer *r = malloc(sizeof(*r));

	*r = (struct racer){ race, n };
	guest_to_flat_mode(&race->g[n]);
	return ioctl(race->g[n].vcpu, KVM_SET_REGS, &regs) ?:
		       pthread_create(&race->threads[n], NULL, run_racer, r);
}

static int start_race(struct race *race, struct guest *g)
{
	g[1] = (struct guest){
		.device = g->device, .vm = g->vm, .run_size = g->run_size, .memory = g->memory
	};
	*race = (struct race){ .g = g };
	race->page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(g->memory + WRITER, writer_code, GUEST_SIZE(writer_code));
	signal(SIGUSR1, nothing);
	return guest_create_vcpu(&g[1], 1) ?: start_racer(race, 0) ?: start_racer(race, 1);
}

static void end_race(struct race *race)
{
	__atomic_store_n(&race->over, true, __ATOMIC_RELAXED);
	for (unsigned int n = 0; n < 2; n++) {
		while (pthread_kill(race->threads[n], SIGUSR1), usleep(1000),
		       pthread_tryjoin_np(race->threads[n], NULL))
			;
		munmap(race->g[n].run, race->g[n].run_size);
		close(race->g[n].vcpu);
	}
	close(race->g->vm);
	close(race->g->device);
}

static int put_page(struct race *race, uint64_t gpa, uint64_t size, uint32_t flags)
{
	return guest_memory(race->g->vm, 1, flags, gpa, size, race->page);
}

/* The page is the user's: what it has there, no vCPU reads, and none writes over it. */
static bool is_out_of_reach(struct race *race)
{
	volatile uint32_t *words = (uint32_t *)race->page;
	uint32_t last = words[1];

	words[0] = SECRET;
	await_both(race);
	return words[1] == last && !__atomic_load_n(&race->seen, __ATOMIC_RELAXED);
}

TEST(what_is_taken_away_is_out_of_reach_at_once)
{
	uint64_t rounds = from_environment("ROUNDS", 100);
	struct guest g[2];
	struct race race;

	ASSERT_EQ(0, guest_create(&g[0], reader_code, GUEST_SIZE(reader_code)));
	ASSERT_EQ(0, start_race(&race, g));
	for (uint64_t i = 0; i < rounds; i++) {
		uint32_t flags = i & 2 ? KVM_MEM_LOG_DIRTY_PAGES : 0;

		*(uint32_t *)race.page = 0;
		ASSERT_EQ(0, put_page(&race, RACED, PAGE, flags));
		await_both(&race);
		ASSERT_NE(0, ((uint32_t *)race.page)[1]);
		ASSERT_EQ(0, put_page(&race, MOVED, i & 1 ? PAGE : 0, flags));
		ASSERT_TRUE(is_out_of_reach(&race)) TH_LOG("round %lu", i);
		if (i & 1)
			ASSERT_EQ(0, put_page(&race, MOVED, 0, 0));
	}
	end_race(&race);
}

/* A slot is taken away and comes back to be read alone; a log begins. */
TEST(rights_that_are_taken_away_are_gone_at_once)
{
	uint64_t rounds = from_environment("ROUNDS", 100), bitmap;
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = &bitmap };
	volatile uint32_t *words;
	struct guest g[2];
	struct race race;
	uint32_t last;

	ASSERT_EQ(0, guest_create(&g[0], reader_code, GUEST_SIZE(reader_code)));
	ASSERT_EQ(0, start_race(&race, g));
	words = (uint32_t *)race.page;
	for (uint64_t i = 0; i < rounds; i++) {
		ASSERT_EQ(0, put_page(&race, RACED, PAGE, 0));
		await_both(&race);
		ASSERT_EQ(0, put_page(&race, RACED, PAGE, KVM_MEM_LOG_DIRTY_PAGES));
		for (int j = 0; j < 2; j++) {
			ASSERT_EQ(0, ioctl(g->vm, KVM_GET_DIRTY_LOG, &log));
			last = words[1];
			while (words[1] == last)
				sched_yield();
			make_leave(&race, 1);
			ASSERT_EQ(0, ioctl(g->vm, KVM_GET_DIRTY_LOG, &log));
			ASSERT_EQ(1, bitmap & 1) TH_LOG("round %lu, %d", i, j);
		}
		/* Without a log, whose end has vCPUs leave. */
		ASSERT_EQ(0, put_page(&race, RACED, PAGE, 0));
		await_both(&race);
		ASSERT_EQ(0, put_page(&race, RACED, 0, 0));
		ASSERT_EQ(0, put_page(&race, RACED, PAGE, KVM_MEM_READONLY));
		last = words[1];
		await_both(&race);
		ASSERT_EQ(last, words[1]) TH_LOG("round %lu", i);
		ASSERT_EQ(0, put_page(&race, RACED, 0, 0));
	}
	end_race(&race);
}

TEST_HARNESS_MAIN
