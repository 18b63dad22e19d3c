/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An operation, and each allocation that it makes: one after the other they fail. The
 * operation succeeds all the same, or it is ENOMEM and can be repeated; nothing is lost.
 */
#ifndef SELFTESTS_FAIL_NTH_WALK_H
#define SELFTESTS_FAIL_NTH_WALK_H

#include <dirent.h>
#include <linux/dragonfly_para.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

#include "fail-nth.h"
#include "queue.h"

#define RESOURCES "/sys/kernel/debug/dragonfly/resources"
#define BASE 0x40000000UL /* guest-physical, of the slot that operations are about */
#define SLOT 1
#define GSI 5
#define HUGE_PAGE 0x200000UL
#define MAX_NTH 1000 /* no operation has so many */

/**
 * struct scene - what an operation works on; made anew for each allocation
 * @o: that operation
 * @vm: its VM, with the vCPUs that it needs
 * @fd: what the operation works on, or -1
 * @made: what it returned, if that is a descriptor, or -1
 * @event: two eventfds
 * @memory: that of the slot, if there is one
 * @size: of @memory
 * @buffer: an argument
 */
struct scene {
	const struct operation *o;
	struct irq_vm vm;
	int fd, made, event[2];
	void *memory;
	size_t size;
	uint64_t buffer[1024];
};

/**
 * struct operation - something that allocates
 * @name: its own
 * @prepare: what has to be there before it
 * @run: the operation: what it returned, or a negative errno
 * @worked: what it has to have done, once it said so
 * @kept: what has to be as it was, once it failed
 * @cmd: with run_device(), run_vm()..., and its argument is the scene's buffer
 * @get: what fills that first
 * @arg: the first word of it otherwise
 * @makes: it returns a descriptor
 */
struct operation {
	const char *name;
	int (*prepare)(struct scene *s);
	int (*run)(struct scene *s);
	bool (*worked)(struct scene *s), (*kept)(struct scene *s);
	unsigned long cmd, get, arg;
	bool makes;
};

#define OPERATION(title, before, what, ...)                                      \
	{                                                                        \
		.name = (title), .prepare = (before), .run = (what), __VA_ARGS__ \
	}

static inline struct guest *vcpu(struct scene *s)
{
	return &s->vm.cpu[0];
}

static inline int vm(struct scene *s)
{
	return s->vm.cpu[0].vm;
}

/* --- what there is before, and has to be afterwards --- */

struct figures {
	long vms, vcpus, vmcs, queues, pinned, locked, files;
};

static inline long open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	long n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static inline struct figures take_figures(void)
{
	return (struct figures){
		.vms = guest_figure(RESOURCES, "vms"),
		.vcpus = guest_figure(RESOURCES, "vcpus"),
		.vmcs = guest_figure(RESOURCES, "vmcs"),
		.queues = guest_figure(RESOURCES, "queues"),
		.pinned = guest_pinned_pages(),
		.locked = guest_figure("/proc/self/status", "VmLck"),
		.files = open_files(),
	};
}

static inline bool are_same(const struct figures *a, const struct figures *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/* --- scenes --- */

static inline void scene_init(struct scene *s, const struct operation *o)
{
	memset(s, 0, sizeof(*s));
	s->o = o;
	s->buffer[0] = o->arg;
	s->vm.cpu[0] = (struct guest){ .device = -1, .vm = -1, .vcpu = -1 };
	s->fd = -1;
	s->made = -1;
	for (int i = 0; i < 2; i++)
		s->event[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static inline void close_if(int fd)
{
	if (fd >= 0)
		close(fd);
}

static inline void scene_end(struct scene *s)
{
	close_if(s->made);
	close_if(s->fd);
	if (s->memory)
		munmap(s->memory, s->size);
	if (s->vm.cpus > 1)
		irq_destroy(&s->vm);
	else
		guest_destroy(vcpu(s));
	close(s->event[0]);
	close(s->event[1]);
}

static inline int with_irqchip(struct scene *s)
{
	return apic_create_vm(vcpu(s));
}

static inline int with_dedicated(struct scene *s)
{
	return with_irqchip(s) ?: apic_enable_cap(vm(s), DRAGONFLY_CAP_DEDICATED, 1);
}

static inline int with_area(struct scene *s)
{
	struct kvm_enable_cap cap = { .cap = DRAGONFLY_CAP_EXITLESS,
				      .args = { DRAGONFLY_EXITLESS_TIMER } };

	return with_dedicated(s) ?: ioctl(vm(s), KVM_ENABLE_CAP, &cap);
}

static inline int with_apic(struct scene *s)
{
	return irq_create(&s->vm, 1, true);
}

/* Pages that cannot be pinned: those of an area, which is no memory of a process. */
static inline int with_device_pages(struct scene *s)
{
	if (with_area(s))
		return -1;
	s->size = sizeof(struct dragonfly_area);
	s->memory = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_SHARED, vm(s), 0);
	return s->memory == MAP_FAILED;
}

/* --- operations --- */

static inline int result_of(int result)
{
	return result < 0 ? -errno : result;
}

/* Those whose argument is a number: 0. */
static inline int run_plain(struct scene *s)
{
	int fd = s->fd >= 0 ? s->fd : vcpu(s)->vcpu >= 0 ? vcpu(s)->vcpu : vm(s);

	return result_of(ioctl(fd, s->o->cmd, 0));
}

/* --- the walk --- */

/* The @n-th allocation fails; false if there are fewer. */
static inline bool attempt(struct __test_metadata *_metadata, const struct operation *o,
			   unsigned int n)
{
	struct figures before = take_figures(), now;
	static struct scene s;
	int fd = fail_nth_open(getpid()), result;
	unsigned int left;
	long files;

	ASSERT_LE(0, fd);
	scene_init(&s, o);
	ASSERT_EQ(0, o->prepare ? o->prepare(&s) : 0) TH_LOG("%s: errno %d", o->name, errno);
	files = open_files();
	ASSERT_TRUE(fail_nth_set(fd, n));
	result = o->run(&s);
	left = fail_nth_end(fd);
	close(fd);

	if (result < 0) {
		EXPECT_EQ(-ENOMEM, result) TH_LOG("%s, allocation %u", o->name, n);
		EXPECT_EQ(0, left) TH_LOG("%s fails by itself", o->name);
		EXPECT_EQ(files - 1, open_files()) TH_LOG("%s, allocation %u", o->name, n);
		if (o->kept)
			EXPECT_TRUE(o->kept(&s)) TH_LOG("%s, allocation %u", o->name, n);
		result = o->run(&s);
	}
	EXPECT_LE(0, result) TH_LOG("%s again after allocation %u", o->name, n);
	if (o->makes)
		s.made = result;
	if (o->worked && result >= 0)
		EXPECT_TRUE(o->worked(&s)) TH_LOG("%s, allocation %u", o->name, n);
	scene_end(&s);
	now = take_figures();
	EXPECT_TRUE(are_same(&before, &now))
	TH_LOG("%s, allocation %u: %ld %ld %ld %ld VMs, vCPUs, VMCSs, queues, "
	       "%ld pages pinned, %ld KiB locked, %ld files more than before",
	       o->name, n, now.vms - before.vms, now.vcpus - before.vcpus, now.vmcs - before.vmcs,
	       now.queues - before.queues, now.pinned - before.pinned, now.locked - before.locked,
	       now.files - before.files);
	return !left;
}

static inline void walk(struct __test_metadata *_metadata, const struct operation *o)
{
	unsigned int n = 1;

	while (n < MAX_NTH && attempt(_metadata, o, n))
		n += fail_nth_step();
	EXPECT_LT(n, MAX_NTH);
}

/* Each, or those that ONLY in the environment is a part of the name of. */
static inline void walk_all(struct __test_metadata *_metadata, const struct operation *operations,
			    size_t count)
{
	const char *only = getenv("ONLY");

	for (size_t i = 0; i < count; i++)
		if (!only || strstr(operations[i].name, only))
			walk(_metadata, &operations[i]);
}

#endif
