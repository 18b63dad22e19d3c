// SPDX-License-Identifier: GPL-2.0-only
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dragonfly.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "acpi.h"
#include "boot.h"
#include "control/control.h"
#include "dedicated.h"
#include "devices/console.h"
#include "devices/hotplug.h"
#include "devices/ioapic.h"
#include "devices/pci.h"
#include "devices/power.h"
#include "devices/serial.h"
#include "devices/virtio-console.h"
#include "dragonfly.h"
#include "queues/queues.h"

/* Three pages that KVM asks for on CPUs without unrestricted guests; behind the LAPICs. */
#define TSS_ADDRESS 0xfffbd000UL

int machine__ioctl(struct machine *machine, unsigned long request, void *argument)
{
	return ioctl(machine->vm, request, argument);
}

static int open_device(struct machine *machine)
{
	const char *path = machine->options->device;
	int version;

	machine->kvm = open(path, O_RDWR | O_CLOEXEC);
	if (machine->kvm < 0)
		return complain("%s does not open: %s; see dragonfly doctor", path,
				strerror(errno));
	version = ioctl(machine->kvm, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION)
		return complain("%s does not speak the KVM API", path);
	machine->vm = ioctl(machine->kvm, KVM_CREATE_VM, 0UL);
	if (machine->vm < 0)
		return complain("%s gives no VM: %s", path, strerror(errno));
	machine->has_queues = ioctl(machine->vm, KVM_CHECK_EXTENSION, DRAGONFLY_CAP_QUEUES) > 0;
	return 0;
}

static int add_slots(struct machine *machine)
{
	const struct memory *memory = &machine->memory;

	for (unsigned int i = 0; i < memory->nr_pieces; i++) {
		struct kvm_userspace_memory_region region = {
			.slot = i,
			.guest_phys_addr = memory->pieces[i].guest,
			.memory_size = memory->pieces[i].size,
			.userspace_addr = (uintptr_t)memory->pieces[i].host,
		};

		if (machine__ioctl(machine, KVM_SET_USER_MEMORY_REGION, &region))
			return complain("the guest's memory is not taken: %s", strerror(errno));
	}
	return 0;
}

/* LAPICs in the kernel, the IOAPIC here. */
static int set_irqchip(struct machine *machine)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { IOAPIC_PINS } };

	ioctl(machine->vm, KVM_SET_TSS_ADDR, TSS_ADDRESS);
	if (machine__ioctl(machine, KVM_ENABLE_CAP, &cap))
		return complain("%s has no split irqchip: %s", machine->options->device,
				strerror(errno));
	return 0;
}

static int add_devices(struct machine *machine)
{
	const struct options *options = machine->options;

	machine->console = console__create(machine, options->console);
	if (!machine->console)
		return -1;
	machine->ioapic = ioapic__create(machine);
	if (!machine->ioapic)
		return -1;
	machine->serial = serial__create(machine);
	if (!machine->serial)
		return -1;
	machine->power = power__create(machine);
	if (!machine->power)
		return -1;
	machine->hotplug = hotplug__create(machine);
	if (!machine->hotplug)
		return -1;
	machine->pci = pci__create(machine);
	if (!machine->pci || virtio_console__add(machine))
		return -1;
	for (unsigned int i = 0; i < options->nr_queues; i++)
		if (queues__assign(machine, &options->queues[i]))
			return -1;
	return 0;
}

static int add_vcpus(struct machine *machine, const struct entry *entry)
{
	for (unsigned int i = 0; i < machine->options->cpus; i++) {
		machine->nr_vcpus++;
		if (vcpu__create(&machine->vcpus[i], machine, i))
			return -1;
	}
	return boot__enter(&machine->vcpus[0], entry);
}

static void stopped(void *context, uint32_t events)
{
	struct machine *machine = context;

	(void)events;
	loop__end(&machine->loop);
}

static void signalled(void *context, uint32_t events)
{
	(void)events;
	machine__stop(context, STOPPED);
}

static int watch(struct machine *machine, struct watch *watch, int fd,
		 void (*ready)(void *context, uint32_t events))
{
	*watch = (struct watch){ .fd = fd, .ready = ready, .context = machine };
	if (fd < 0)
		return complain("no file descriptor is left: %s", strerror(errno));
	return loop__add(&machine->loop, watch, EPOLLIN);
}

static int create_loop(struct machine *machine)
{
	if (loop__create(&machine->loop) ||
	    watch(machine, &machine->ended, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), stopped) ||
	    watch(machine, &machine->signals, signals__open(), signalled))
		return -1;
	return 0;
}

int machine__create(struct machine *machine, const struct options *options)
{
	struct entry entry;

	*machine = (struct machine){
		.options = options,
		.outcome = RUNNING,
		.kvm = -1,
		.vm = -1,
		.loop.epoll = -1,
		.memory.fd = -1,
		.ended.fd = -1,
		.signals.fd = -1,
	};
	pthread_mutex_init(&machine->lock, NULL);
	pthread_cond_init(&machine->changed, NULL);

	if (create_loop(machine))
		return -1;
	machine->control = control__create(machine, options->name);
	if (!machine->control || open_device(machine) || set_irqchip(machine) ||
	    dedicated__enable(machine) ||
	    memory__create(&machine->memory, options->memory, options->huge) ||
	    add_slots(machine) || add_devices(machine) ||
	    acpi__write(&machine->memory, options->cpus) || boot__load(machine, &entry) ||
	    add_vcpus(machine, &entry))
		return -1;
	control__count(machine->control);
	return 0;
}

enum outcome machine__run(struct machine *machine)
{
	pthread_mutex_lock(&machine->lock);
	for (unsigned int i = 0; i < machine->nr_vcpus; i++) {
		if (vcpu__start(&machine->vcpus[i])) {
			machine__stop(machine, FAILED);
			break;
		}
	}
	pthread_mutex_unlock(&machine->lock);

	loop__run(&machine->loop, &machine->lock);
	for (unsigned int i = 0; i < machine->nr_vcpus; i++)
		vcpu__join(&machine->vcpus[i]);
	return machine->outcome;
}

void machine__stop(struct machine *machine, enum outcome outcome)
{
	if (machine->outcome != RUNNING)
		return;
	machine->outcome = outcome;
	machine->paused = false;
	pthread_cond_broadcast(&machine->changed);
	for (unsigned int i = 0; i < machine->nr_vcpus; i++)
		if (machine->vcpus[i].started)
			vcpu__kick(&machine->vcpus[i]);
	eventfd_write(machine->ended.fd, 1);
}

void machine__pause(struct machine *machine)
{
	machine->paused = true;
	for (unsigned int i = 0; i < machine->nr_vcpus; i++)
		if (machine->vcpus[i].started)
			vcpu__kick(&machine->vcpus[i]);
	while (machine->active && machine->outcome == RUNNING)
		pthread_cond_wait(&machine->changed, &machine->lock);
}

void machine__resume(struct machine *machine)
{
	machine->paused = false;
	pthread_cond_broadcast(&machine->changed);
}

/*
 * The way of machine__create() backwards; what makes interrupts goes before who takes
 * them. The VM's name is free when all is that it had: who takes it next may want that.
 */
void machine__destroy(struct machine *machine)
{
	if (machine->control)
		control__close(machine->control);
	if (machine->pci)
		pci__destroy(machine->pci);
	if (machine->hotplug)
		hotplug__destroy(machine->hotplug);
	if (machine->power)
		power__destroy(machine->power);
	if (machine->serial)
		serial__destroy(machine->serial);
	if (machine->ioapic)
		ioapic__destroy(machine->ioapic);
	if (machine->console)
		console__destroy(machine->console);
	for (unsigned int i = 0; i < machine->nr_vcpus; i++)
		vcpu__destroy(&machine->vcpus[i]);
	dedicated__destroy(machine);
	if (machine->vm >= 0)
		close(machine->vm);
	if (machine->kvm >= 0)
		close(machine->kvm);
	memory__destroy(&machine->memory);
	if (machine->control)
		control__destroy(machine->control);
	if (machine->signals.fd >= 0)
		close(machine->signals.fd);
	if (machine->ended.fd >= 0)
		close(machine->ended.fd);
	loop__destroy(&machine->loop);
}
