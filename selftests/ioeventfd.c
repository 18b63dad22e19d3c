// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest's writes that are counted by eventfds and do not go to user space.
 *
 * In a test host with --with dragonfly, or --with kvm and KVM_DEVICE=/dev/kvm.
 */
#include <sys/eventfd.h>

#include "kselftest_harness.h"
#include "irq.h"
#include "vcpu-ioctl.h"

#define PORT 0x1230
#define ADDRESS 0x10000000 /* no memory; mapped for the guest at DEVICE */
#define DEVICE 0x200000
#define MANY 300

/* In each, RCX says how often. */
GUEST_ASM(code_out, 64,
	  "code_outb: out %al, %dx\n loop code_outb\n out %al, $0x10\n"
	  "code_outw: out %ax, %dx\n loop code_outw\n out %al, $0x10\n"
	  "code_outl: out %eax, %dx\n loop code_outl\n out %al, $0x10\n"
	  "code_repb: rep outsb\n out %al, $0x10\n"
	  "code_repw: rep outsw\n out %al, $0x10\n"
	  "code_repl: rep outsl\n out %al, $0x10\n"
	  "code_inl: in %dx, %eax\n out %al, $0x10\n"
	  "code_movb: mov %al, (%rdi)\n loop code_movb\n out %al, $0x10\n"
	  "code_movw: mov %ax, (%rdi)\n loop code_movw\n out %al, $0x10\n"
	  "code_movl: mov %eax, (%rdi)\n loop code_movl\n out %al, $0x10\n"
	  "code_movq: mov %rax, (%rdi)\n loop code_movq\n out %al, $0x10\n"
	  "code_load: mov (%rdi), %eax\n out %al, $0x10\n"
	  /* Writes and takes the interrupt that it is. */
	  "code_loop: sti\n 1: out %ax, %dx\n loop 1b\n nop\n nop\n cli\n out %al, $0x10");
GUEST_LABEL(code_outb);
GUEST_LABEL(code_outw);
GUEST_LABEL(code_outl);
GUEST_LABEL(code_repb);
GUEST_LABEL(code_repw);
GUEST_LABEL(code_repl);
GUEST_LABEL(code_inl);
GUEST_LABEL(code_movb);
GUEST_LABEL(code_movw);
GUEST_LABEL(code_movl);
GUEST_LABEL(code_movq);
GUEST_LABEL(code_load);
GUEST_LABEL(code_loop);

static const uint8_t *const code_outs[] = { [1] = code_outb, [2] = code_outw, [4] = code_outl };
static const uint8_t *const code_reps[] = { [1] = code_repb, [2] = code_repw, [4] = code_repl };
static const uint8_t
	*const code_movs[] = { [1] = code_movb, [2] = code_movw, [4] = code_movl, [8] = code_movq };

FIXTURE(ioeventfd)
{
	struct irq_vm vm;
	int fd, other;
};

FIXTURE_SETUP(ioeventfd)
{
	ASSERT_EQ(0, irq_create(&self->vm, 1, true));
	irq_load(&self->vm, code_out, GUEST_SIZE(code_out));
	/* A page of 2 MiB. */
	*(uint64_t *)(self->vm.cpu[0].memory + 0x12008) = ADDRESS | 0x93;
	self->fd = eventfd(0, EFD_NONBLOCK);
	self->other = eventfd(0, EFD_NONBLOCK);
	ASSERT_LE(0, self->other);
}

FIXTURE_TEARDOWN(ioeventfd)
{
	close(self->fd);
	close(self->other);
	irq_destroy(&self->vm);
}

#define PIO KVM_IOEVENTFD_FLAG_PIO
#define MATCH KVM_IOEVENTFD_FLAG_DATAMATCH
#define DEASSIGN KVM_IOEVENTFD_FLAG_DEASSIGN

static int set(struct irq_vm *vm, int fd, uint32_t flags, uint64_t addr, uint32_t len,
	       uint64_t datamatch)
{
	struct kvm_ioeventfd e = {
		.fd = fd, .flags = flags, .addr = addr, .len = len, .datamatch = datamatch
	};

	return ioctl(vm->cpu[0].vm, KVM_IOEVENTFD, &e);
}

#define SET(...) ASSERT_EQ(0, set(&self->vm, __VA_ARGS__))

/* How often it was signalled since. */
static uint64_t counted(int fd)
{
	eventfd_t value;

	return eventfd_read(fd, &value) ? 0 : value;
}

/* The guest writes @value @count times; what comes first, as irq_run() says. */
static int guest_writes(struct irq_vm *vm, const uint8_t *label, uint64_t where, uint64_t value,
			uint64_t count)
{
	struct guest *g = &vm->cpu[0];
	struct kvm_regs regs;

	apic_enter(g, 0, IRQ_AT(code_out, label), 0, 0);
	regs = guest_regs(g);
	regs.rax = value;
	regs.rcx = count;
	regs.rdx = where;
	regs.rdi = where - ADDRESS + DEVICE;
	regs.rsi = 0x3000;
	ioctl(g->vcpu, KVM_SET_REGS, &regs);
	for (uint64_t i = 0; i < 0x100; i++)
		memcpy(g->memory + 0x3000 + i * 8, &value, 8);
	return irq_go_on(vm, 0);
}

/* A write that nothing takes, seen by user space, after which the guest comes to its end. */
#define EXITS(reason, label, where, value)                                         \
	do {                                                                       \
		ASSERT_EQ(reason, guest_writes(&self->vm, label, where, value, 1)) \
		{                                                                  \
			TH_LOG("line %d", __LINE__);                               \
		}                                                                  \
		EXPECT_EQ(0, irq_go_on(&self->vm, 0));                             \
	} while (0)
#define TAKEN(label, where, value, count) \
	ASSERT_EQ(0, guest_writes(&self->vm, label, where, value, count))

/* --- what is counted ------------------------------------------------------ */

TEST_F(ioeventfd, ports_count_exactly_the_writes_of_their_length)
{
	for (uint32_t len = 1; len <= 4; len *= 2) {
		SET(self->fd, PIO, PORT, len, 0);
		for (uint32_t size = 1; size <= 4; size *= 2) {
			if (size != len) {
				EXITS(KVM_EXIT_IO, code_outs[size], PORT, 7);
				EXPECT_EQ(0, counted(self->fd));
				continue;
			}
			TAKEN(code_outs[size], PORT, 7, 1000);
			EXPECT_EQ(1000, counted(self->fd));
		}
		EXITS(KVM_EXIT_IO, code_outs[len], PORT + len, 7);
		EXITS(KVM_EXIT_IO, code_outs[len], PORT - 1, 7);
		EXPECT_EQ(0, counted(self->fd));
		SET(self->fd, PIO | DEASSIGN, PORT, len, 0);
		EXITS(KVM_EXIT_IO, code_outs[len], PORT, 7);
	}
}

TEST_F(ioeventfd, memory_counts_exactly_the_writes_of_its_length)
{
	for (uint32_t len = 1; len <= 8; len *= 2) {
		SET(self->fd, 0, ADDRESS + 0x100, len, 0);
		for (uint32_t size = 1; size <= 8; size *= 2) {
			if (size != len) {
				EXITS(KVM_EXIT_MMIO, code_movs[size], ADDRESS + 0x100, 7);
				EXPECT_EQ(0, counted(self->fd));
				continue;
			}
			TAKEN(code_movs[size], ADDRESS + 0x100, 7, 100);
			EXPECT_EQ(100, counted(self->fd));
		}
		EXITS(KVM_EXIT_MMIO, code_movs[len], ADDRESS + 0x100 + len, 7);
		EXITS(KVM_EXIT_MMIO, code_movs[len], ADDRESS + 0x100 - len, 7);
		EXPECT_EQ(0, counted(self->fd));
		SET(self->fd, DEASSIGN, ADDRESS + 0x100, len, 0);
		EXITS(KVM_EXIT_MMIO, code_movs[len], ADDRESS + 0x100, 7);
	}
}

TEST_F(ioeventfd, length_0_is_any_length)
{
	SET(self->fd, PIO, PORT, 0, 0);
	SET(self->other, 0, ADDRESS, 0, 0);
	for (uint32_t size = 1; size <= 4; size *= 2)
		TAKEN(code_outs[size], PORT, size, 10);
	EXPECT_EQ(30, counted(self->fd));
	for (uint32_t size = 1; size <= 8; size *= 2)
		TAKEN(code_movs[size], ADDRESS, size, 10);
	EXPECT_EQ(40, counted(self->other));
	EXPECT_EQ(0, counted(self->fd));
	EXITS(KVM_EXIT_IO, code_outb, PORT + 1, 0);
	EXITS(KVM_EXIT_MMIO, code_movb, ADDRESS + 1, 0);
}

TEST_F(ioeventfd, a_value_can_be_asked_for)
{
	for (uint32_t size = 1; size <= 8; size *= 2) {
		uint64_t value = 0x8182838485868788 >> (64 - 8 * size);

		SET(self->fd, MATCH, ADDRESS, size, value);
		TAKEN(code_movs[size], ADDRESS, value, 5);
		EXPECT_EQ(5, counted(self->fd));
		for (unsigned int bit = 0; bit < 8 * size; bit += 7)
			EXITS(KVM_EXIT_MMIO, code_movs[size], ADDRESS, value ^ 1UL << bit);
		if (size < 8) {
			/* What is in the register beyond is not written. */
			TAKEN(code_movs[size], ADDRESS, value | 1UL << 8 * size, 1);
			EXPECT_EQ(1, counted(self->fd));
		}
		SET(self->fd, MATCH | DEASSIGN, ADDRESS, size, value);
		if (size == 8)
			continue;
		SET(self->fd, PIO | MATCH, PORT, size, value);
		TAKEN(code_outs[size], PORT, value, 5);
		EXPECT_EQ(5, counted(self->fd));
		EXITS(KVM_EXIT_IO, code_outs[size], PORT, value ^ 1);
		SET(self->fd, PIO | MATCH | DEASSIGN, PORT, size, value);
	}
	EXPECT_EQ(0, counted(self->fd));
}

/* The value is compared whole. */
TEST_F(ioeventfd, a_value_that_does_not_fit_is_never_written)
{
	SET(self->fd, PIO | MATCH, PORT, 2, 0x10005);
	EXITS(KVM_EXIT_IO, code_outw, PORT, 0x10005);
	EXITS(KVM_EXIT_IO, code_outl, PORT, 0x10005);
	EXPECT_EQ(0, counted(self->fd));
}

TEST_F(ioeventfd, an_address_can_have_several_values)
{
	SET(self->fd, PIO | MATCH, PORT, 2, 1);
	SET(self->other, PIO | MATCH, PORT, 2, 2);
	TAKEN(code_outw, PORT, 1, 3);
	TAKEN(code_outw, PORT, 2, 4);
	EXITS(KVM_EXIT_IO, code_outw, PORT, 3);
	EXPECT_EQ(3, counted(self->fd));
	EXPECT_EQ(4, counted(self->other));
	/* As virtio's queues by one eventfd, and each length for itself. */
	SET(self->fd, PIO | MATCH, PORT, 2, 3);
	SET(self->other, PIO, PORT, 4, 0);
	TAKEN(code_outw, PORT, 3, 1);
	TAKEN(code_outl, PORT, 3, 2);
	EXPECT_EQ(1, counted(self->fd));
	EXPECT_EQ(2, counted(self->other));
}

TEST_F(ioeventfd, ports_and_memory_do_not_meet)
{
	SET(self->fd, PIO, ADDRESS, 4, 0);
	SET(self->other, 0, PORT, 4, 0);
	EXITS(KVM_EXIT_MMIO, code_movl, ADDRESS, 0);
	EXITS(KVM_EXIT_IO, code_outl, PORT, 0);
	EXPECT_EQ(0, counted(self->fd));
	EXPECT_EQ(0, counted(self->other));
}

TEST_F(ioeventfd, strings_are_counted_one_by_one)
{
	for (uint32_t size = 1; size <= 4; size *= 2) {
		SET(self->fd, PIO | MATCH, PORT, size,
		    0x05050505 & (0xffffffffU >> (32 - 8 * size)));
		TAKEN(code_reps[size], PORT, 0x0505050505050505, 20);
		EXPECT_EQ(20, counted(self->fd));
		EXPECT_EQ(0, guest_regs(&self->vm.cpu[0]).rcx);
		EXPECT_EQ(0x3000 + 20 * size, guest_regs(&self->vm.cpu[0]).rsi);
		TAKEN(code_reps[size], PORT, 0, 0);
		EXPECT_EQ(0, counted(self->fd));
	}
}

TEST_F(ioeventfd, reads_go_to_user_space)
{
	SET(self->fd, PIO, PORT, 4, 0);
	SET(self->other, 0, ADDRESS, 0, 0);
	ASSERT_EQ(KVM_EXIT_IO, guest_writes(&self->vm, code_inl, PORT, 0, 1));
	EXPECT_EQ(KVM_EXIT_IO_IN, self->vm.cpu[0].run->io.direction);
	EXPECT_EQ(0, irq_go_on(&self->vm, 0));
	ASSERT_EQ(KVM_EXIT_MMIO, guest_writes(&self->vm, code_load, ADDRESS, 0, 1));
	EXPECT_EQ(0, self->vm.cpu[0].run->mmio.is_write);
	EXPECT_EQ(0, irq_go_on(&self->vm, 0));
	EXPECT_EQ(0, counted(self->fd));
	EXPECT_EQ(0, counted(self->other));
}

TEST_F(ioeventfd, memory_comes_before)
{
	struct guest *g = &self->vm.cpu[0];
	uint8_t *page =
		mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, page);
	SET(self->fd, 0, ADDRESS, 4, 0);
	ASSERT_EQ(0, guest_memory(g->vm, 1, 0, ADDRESS, 0x1000, page));
	TAKEN(code_movl, ADDRESS, 0x1234567, 1);
	EXPECT_EQ(0x1234567, *(uint32_t *)page);
	EXPECT_EQ(0, counted(self->fd));
	/* Read-only memory is a device when it is written. */
	ASSERT_EQ(0, guest_memory(g->vm, 1, 0, ADDRESS, 0, page));
	ASSERT_EQ(0, guest_memory(g->vm, 1, KVM_MEM_READONLY, ADDRESS, 0x1000, page));
	TAKEN(code_movl, ADDRESS, 0x7654321, 3);
	EXPECT_EQ(0x1234567, *(uint32_t *)page);
	EXPECT_EQ(3, counted(self->fd));
	ASSERT_EQ(0, guest_memory(g->vm, 1, 0, ADDRESS, 0, page));
	TAKEN(code_movl, ADDRESS, 1, 2);
	EXPECT_EQ(2, counted(self->fd));
	munmap(page, 0x1000);
}

/* Where it was known that there is none; KVM goes on to signal. */
TEST_F(ioeventfd, memory_can_come_later)
{
	struct guest *g = &self->vm.cpu[0];
	uint8_t *page =
		mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, page);
	SET(self->fd, 0, ADDRESS, 0, 0);
	for (uint32_t value = 1; value <= 3; value++) {
		TAKEN(code_movl, ADDRESS, value, 10);
		EXPECT_EQ(10, counted(self->fd));
		ASSERT_EQ(0, guest_memory(g->vm, 1, 0, ADDRESS, 0x1000, page));
		TAKEN(code_movl, ADDRESS, value, 10);
		EXPECT_EQ(guest_on_kvm() ? 0 : value, *(uint32_t *)page);
		EXPECT_EQ(guest_on_kvm() ? 10 : 0, counted(self->fd));
		ASSERT_EQ(0, guest_memory(g->vm, 1, 0, ADDRESS, 0, page));
	}
	munmap(page, 0x1000);
}

TEST_F(ioeventfd, there_can_be_hundreds)
{
	int fds[MANY];

	for (unsigned int i = 0; i < MANY; i++) {
		fds[i] = eventfd(0, EFD_NONBLOCK);
		SET(fds[i], i & 1 ? PIO : 0, (i & 1 ? PORT : ADDRESS) + i * 4, 4, 0);
	}
	for (unsigned int i = 0; i < MANY; i++)
		TAKEN(i & 1 ? code_outl : code_movl, (i & 1 ? PORT : ADDRESS) + i * 4, i,
		      1 + i % 3);
	for (unsigned int i = 0; i < MANY; i++) {
		EXPECT_EQ(1 + i % 3, counted(fds[i])) TH_LOG("%u", i);
		SET(fds[i], DEASSIGN | (i & 1 ? PIO : 0), (i & 1 ? PORT : ADDRESS) + i * 4, 4, 0);
		close(fds[i]);
	}
	EXITS(KVM_EXIT_IO, code_outl, PORT + 4, 0);
}

/* --- what is refused ------------------------------------------------------ */

TEST_F(ioeventfd, capabilities_are_kvms)
{
	static const int caps[] = { KVM_CAP_IOEVENTFD, KVM_CAP_IOEVENTFD_NO_LENGTH,
				    KVM_CAP_IOEVENTFD_ANY_LENGTH };

	for (size_t i = 0; i < ARRAY_SIZE(caps); i++)
		EXPECT_EQ(1, ioctl(self->vm.cpu[0].vm, KVM_CHECK_EXTENSION, caps[i]));
}

TEST_F(ioeventfd, what_makes_no_sense_is_refused)
{
	static const uint32_t lengths[] = { 3, 5, 6, 7, 9, 16, 0x80000001, ~0U };
	int pipes[2];

	ASSERT_EQ(0, pipe(pipes));
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		FAILS(EINVAL, set(&self->vm, self->fd, PIO, PORT, lengths[i], 0));
		FAILS(EINVAL, set(&self->vm, self->fd, 0, ADDRESS, lengths[i], 0));
	}
	for (uint32_t flag = 0x20; flag; flag <<= 1)
		FAILS(EINVAL, set(&self->vm, self->fd, PIO | flag, PORT, 4, 0));
	FAILS(EINVAL, set(&self->vm, self->fd, PIO, ~0UL, 2, 0));
	FAILS(EINVAL, set(&self->vm, self->fd, 0, ~0UL - 2, 4, 0));
	FAILS(EINVAL, set(&self->vm, self->fd, 0, ~0UL - 7, 8, 0));
	FAILS(EINVAL, set(&self->vm, self->fd, PIO | MATCH, PORT, 0, 0));
	FAILS(EBADF, set(&self->vm, -1, PIO, PORT, 4, 0));
	FAILS(EINVAL, set(&self->vm, pipes[0], PIO, PORT, 4, 0));
	FAILS(EFAULT, ioctl(self->vm.cpu[0].vm, KVM_IOEVENTFD, (void *)8));
	EXITS(KVM_EXIT_IO, code_outl, PORT, 0);
	close(pipes[0]);
	close(pipes[1]);
}

TEST_F(ioeventfd, no_write_is_for_two)
{
	SET(self->fd, PIO | MATCH, PORT, 2, 1);
	FAILS(EEXIST, set(&self->vm, self->other, PIO | MATCH, PORT, 2, 1));
	FAILS(EEXIST, set(&self->vm, self->fd, PIO | MATCH, PORT, 2, 1));
	FAILS(EEXIST, set(&self->vm, self->other, PIO, PORT, 2, 0));
	FAILS(EEXIST, set(&self->vm, self->other, PIO, PORT, 0, 0));
	SET(self->other, PIO, PORT, 4, 0);
	FAILS(EEXIST, set(&self->vm, self->fd, PIO | MATCH, PORT, 4, 9));
	/* Each is at its own address, be it within another's length. */
	SET(self->other, PIO, PORT + 1, 2, 0);
	SET(self->fd, 0, ADDRESS, 0, 0);
	FAILS(EEXIST, set(&self->vm, self->other, 0, ADDRESS, 4, 0));
	FAILS(EEXIST, set(&self->vm, self->other, MATCH, ADDRESS, 8, 1));
	FAILS(EEXIST, set(&self->vm, self->other, 0, ADDRESS, 0, 0));
	TAKEN(code_movl, ADDRESS, 0, 1);
	EXPECT_EQ(1, counted(self->fd));
	EXPECT_EQ(0, counted(self->other));
}

TEST_F(ioeventfd, what_is_taken_away_must_be_named_exactly)
{
	SET(self->fd, PIO | MATCH, PORT, 2, 1);
	FAILS(ENOENT, set(&self->vm, self->other, DEASSIGN | PIO | MATCH, PORT, 2, 1));
	FAILS(ENOENT, set(&self->vm, self->fd, DEASSIGN | PIO, PORT, 2, 1));
	FAILS(ENOENT, set(&self->vm, self->fd, DEASSIGN | MATCH, PORT, 2, 1));
	FAILS(ENOENT, set(&self->vm, self->fd, DEASSIGN | PIO | MATCH, PORT, 2, 2));
	FAILS(ENOENT, set(&self->vm, self->fd, DEASSIGN | PIO | MATCH, PORT, 4, 1));
	FAILS(ENOENT, set(&self->vm, self->fd, DEASSIGN | PIO | MATCH, PORT + 1, 2, 1));
	FAILS(EBADF, set(&self->vm, -1, DEASSIGN | PIO | MATCH, PORT, 2, 1));
	TAKEN(code_outw, PORT, 1, 1);
	EXPECT_EQ(1, counted(self->fd));
	SET(self->fd, DEASSIGN | PIO | MATCH, PORT, 2, 1);
	FAILS(ENOENT, set(&self->vm, self->fd, DEASSIGN | PIO | MATCH, PORT, 2, 1));
	EXITS(KVM_EXIT_IO, code_outw, PORT, 1);
	/* Any length: both where KVM keeps it. */
	SET(self->fd, 0, ADDRESS, 0, 0);
	FAILS(ENOENT, set(&self->vm, self->fd, DEASSIGN, ADDRESS, 4, 0));
	SET(self->fd, DEASSIGN, ADDRESS, 0, 0);
	EXITS(KVM_EXIT_MMIO, code_movl, ADDRESS, 1);
}

TEST_F(ioeventfd, it_stays_when_the_eventfd_is_closed)
{
	int twin = dup(self->fd);

	SET(twin, PIO, PORT, 2, 0);
	close(twin);
	TAKEN(code_outw, PORT, 1, 2);
	EXPECT_EQ(2, counted(self->fd));
	close(self->fd);
	TAKEN(code_outw, PORT, 1, 2);
	self->fd = eventfd(0, EFD_NONBLOCK);
	FAILS(EEXIST, set(&self->vm, self->fd, PIO, PORT, 2, 0));
	FAILS(ENOENT, set(&self->vm, self->fd, PIO | DEASSIGN, PORT, 2, 0));
}

/* Blocking eventfds do not block a guest: what is too much is not counted. */
TEST_F(ioeventfd, a_full_eventfd_does_not_stop_the_guest)
{
	SET(self->fd, PIO, PORT, 2, 0);
	ASSERT_EQ(0, eventfd_write(self->fd, ~0UL - 3));
	TAKEN(code_outw, PORT, 1, 20);
	EXPECT_EQ(~0UL, counted(self->fd)) TH_LOG("which poll() calls an error");
	TAKEN(code_outw, PORT, 1, 2);
	EXPECT_EQ(2, counted(self->fd));
}

/* --- with an irqfd -------------------------------------------------------- */

TEST_F(ioeventfd, a_guest_can_interrupt_itself)
{
	const uint64_t writes = 1000;

	SET(self->fd, PIO, PORT, 2, 0);
	ASSERT_EQ(0, irq_route(&self->vm, 30, IRQ_TO(0), 0x41));
	ASSERT_EQ(0, irq_fd(&self->vm, self->fd, 30, 0));
	TAKEN(code_loop, PORT, 1, writes);
	EXPECT_EQ(writes, irq_count(&self->vm, 0, 0x41));
	EXPECT_EQ(0, counted(self->fd));
}

/* A VM needs no irqchip for it. */
TEST_F(ioeventfd, another_vms_guest_can_be_interrupted)
{
	struct guest g;

	ASSERT_EQ(0, guest_create(&g, "\xe6\x10\xf4", 3)); /* out %al, $0x10; hlt */
	ASSERT_EQ(0, irq_route(&self->vm, 30, IRQ_TO(0), 0x41));
	ASSERT_EQ(0, irq_fd(&self->vm, self->fd, 30, 0));
	ASSERT_EQ(0, ioctl(g.vm, KVM_IOEVENTFD,
			   &(struct kvm_ioeventfd){
				   .fd = self->fd, .flags = PIO, .addr = 0x10, .len = 1 }));
	EXPECT_EQ(KVM_EXIT_HLT, guest_run(&g));
	ASSERT_TRUE(irq_take_all(&self->vm));
	EXPECT_EQ(1, irq_count(&self->vm, 0, 0x41));
	guest_destroy(&g);
}

TEST_HARNESS_MAIN
