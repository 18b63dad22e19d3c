// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vCPU: its thread, and the exits that reach user space.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpuid.h"
#include "devices/ioapic.h"
#include "dragonfly.h"
#include "machine.h"

#define KICK_SIGNAL SIGUSR1

#define IA32_MISC_ENABLE 0x1a0
#define FAST_STRINGS (1ULL << 0)

/*
 * CPUs come out of reset with it, the hypervisor's vCPUs do not. Without it, Linux
 * drops ERMS whatever CPUID says, but not FSRM; up to 6.2, its memmove() then lets
 * the length of a short copy fall below zero, and overwrites the kernel.
 */
static int enable_fast_strings(int fd)
{
	struct {
		struct kvm_msrs header;
		struct kvm_msr_entry misc_enable;
	} msrs = { .header.nmsrs = 1, .misc_enable.index = IA32_MISC_ENABLE };

	if (ioctl(fd, KVM_GET_MSRS, &msrs) != 1)
		return -1;
	msrs.misc_enable.data |= FAST_STRINGS;
	return ioctl(fd, KVM_SET_MSRS, &msrs) == 1 ? 0 : -1;
}

/* A guest whose TSC is the host's can have the CPU's own timer. */
static int share_tsc(int fd)
{
	static const uint64_t offset;
	const struct kvm_device_attr attribute = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&offset,
	};

	return ioctl(fd, KVM_SET_DEVICE_ATTR, &attribute);
}

int vcpu__create(struct vcpu *vcpu, struct machine *machine, unsigned int index)
{
	int size = ioctl(machine->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	void *run;

	*vcpu = (struct vcpu){ .machine = machine, .index = index };
	vcpu->fd = ioctl(machine->vm, KVM_CREATE_VCPU, (unsigned long)index);
	if (vcpu->fd < 0)
		return complain("cannot create vCPU %u: %s", index, strerror(errno));
	run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (run == MAP_FAILED)
		return complain("cannot map vCPU %u: %s", index, strerror(errno));
	vcpu->run = run;
	vcpu->run_size = size;
	if (cpuid__set(vcpu))
		return -1;
	if (enable_fast_strings(vcpu->fd))
		return complain("cannot set IA32_MISC_ENABLE of vCPU %u", index);
	if (machine->options->dedicated && share_tsc(vcpu->fd))
		return complain("cannot set the TSC of vCPU %u: %s", index, strerror(errno));
	return 0;
}

void vcpu__destroy(struct vcpu *vcpu)
{
	if (vcpu->run)
		munmap(vcpu->run, vcpu->run_size);
	if (vcpu->fd > 0)
		close(vcpu->fd);
	*vcpu = (struct vcpu){};
}

static void ports(struct machine *machine, const struct kvm_run *run)
{
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_IN)
			bus__read(&machine->ports, run->io.port, data, run->io.size);
		else
			bus__write(&machine->ports, run->io.port, data, run->io.size);
	}
}

/* What nobody expects: this VM ends, and its user learns where it was. */
static void report(struct vcpu *vcpu, const char *what)
{
	const struct kvm_run *run = vcpu->run;
	struct kvm_regs regs;

	complain("vCPU %u: %s", vcpu->index, what);
	if (!ioctl(vcpu->fd, KVM_GET_REGS, &regs))
		complain("rip %#llx rsp %#llx rflags %#llx rax %#llx rbx %#llx rcx %#llx rdx %#llx",
			 regs.rip, regs.rsp, regs.rflags, regs.rax, regs.rbx, regs.rcx, regs.rdx);
	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		for (unsigned int i = 0; i < run->internal.ndata && i < 16; i++)
			complain("data %u: %#llx", i, run->internal.data[i]);
}

static void handle_exit(struct vcpu *vcpu)
{
	struct machine *machine = vcpu->machine;
	struct kvm_run *run = vcpu->run;
	char what[80];

	switch (run->exit_reason) {
	case KVM_EXIT_INTR:
		return;
	case KVM_EXIT_IO:
		return ports(machine, run);
	case KVM_EXIT_MMIO:
		if (run->mmio.is_write)
			bus__write(&machine->mmio, run->mmio.phys_addr, run->mmio.data,
				   run->mmio.len);
		else
			bus__read(&machine->mmio, run->mmio.phys_addr, run->mmio.data,
				  run->mmio.len);
		return;
	case KVM_EXIT_IOAPIC_EOI:
		return ioapic__eoi(machine->ioapic, run->eoi.vector);
	case KVM_EXIT_SHUTDOWN:
		report(vcpu, "triple fault");
		return machine__stop(machine, CRASHED);
	case KVM_EXIT_FAIL_ENTRY:
		snprintf(what, sizeof(what), "the CPU refuses to enter the guest (%#llx)",
			 run->fail_entry.hardware_entry_failure_reason);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		snprintf(what, sizeof(what), "internal error %u", run->internal.suberror);
		break;
	default:
		snprintf(what, sizeof(what), "unexpected exit %u", run->exit_reason);
	}
	report(vcpu, what);
	machine__stop(machine, FAILED);
}

static void tell_why(const struct vcpu *vcpu, int err)
{
	const struct options *options = vcpu->machine->options;

	if (err == EBUSY && options->dedicated)
		complain("vCPU %u does not run: CPU %d, or its core, belongs to another VM",
			 vcpu->index, options->pin[vcpu->index]);
	else
		complain("vCPU %u does not run: %s", vcpu->index, strerror(err));
}

static void run_once(struct vcpu *vcpu)
{
	struct machine *machine = vcpu->machine;
	int err;

	pthread_mutex_unlock(&machine->lock);
	err = ioctl(vcpu->fd, KVM_RUN, 0) ? errno : 0;
	pthread_mutex_lock(&machine->lock);

	if (!err) {
		handle_exit(vcpu);
	} else if (err != EINTR && err != EAGAIN) {
		tell_why(vcpu, err);
		machine__stop(machine, FAILED);
	}
}

/* Not in the guest until machine__resume(). */
static void park(struct machine *machine)
{
	machine->active--;
	pthread_cond_broadcast(&machine->changed);
	while (machine->paused && machine->outcome == RUNNING)
		pthread_cond_wait(&machine->changed, &machine->lock);
	machine->active++;
}

static void *thread(void *argument)
{
	struct vcpu *vcpu = argument;
	struct machine *machine = vcpu->machine;

	pthread_mutex_lock(&machine->lock);
	while (machine->outcome == RUNNING) {
		/* Kicks come with the lock held: none is lost between here and KVM_RUN. */
		vcpu->run->immediate_exit = 0;
		if (machine->paused)
			park(machine);
		else
			run_once(vcpu);
	}
	machine->active--;
	pthread_cond_broadcast(&machine->changed);
	pthread_mutex_unlock(&machine->lock);
	return NULL;
}

static void kicked(int signal)
{
	(void)signal;
}

int vcpu__start(struct vcpu *vcpu)
{
	const struct sigaction action = { .sa_handler = kicked };
	int cpu = vcpu->machine->options->pin[vcpu->index];
	pthread_attr_t attributes;
	char name[16];
	cpu_set_t set;
	int err;

	sigaction(KICK_SIGNAL, &action, NULL);
	pthread_attr_init(&attributes);
	if (cpu >= 0) {
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		pthread_attr_setaffinity_np(&attributes, sizeof(set), &set);
	}
	err = pthread_create(&vcpu->thread, &attributes, thread, vcpu);
	pthread_attr_destroy(&attributes);
	if (err && cpu >= 0)
		return complain("vCPU %u cannot be on CPU %d (%s): is it online and allowed?",
				vcpu->index, cpu, strerror(err));
	if (err)
		return complain("no thread for vCPU %u: %s", vcpu->index, strerror(err));
	snprintf(name, sizeof(name), "vcpu-%u", vcpu->index);
	pthread_setname_np(vcpu->thread, name);
	vcpu->started = true;
	vcpu->machine->active++;
	return 0;
}

void vcpu__kick(struct vcpu *vcpu)
{
	vcpu->run->immediate_exit = 1;
	pthread_kill(vcpu->thread, KICK_SIGNAL);
}

void vcpu__join(struct vcpu *vcpu)
{
	if (vcpu->started)
		pthread_join(vcpu->thread, NULL);
	vcpu->started = false;
}
