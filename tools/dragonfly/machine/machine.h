/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A virtual machine: memory, vCPUs, devices, and the thread that looks after them.
 *
 * Everything below, and every device, is guarded by @lock: vCPU threads take it
 * around the exits that they bring, the loop around each handler.
 */
#ifndef DRAGONFLY_MACHINE_H
#define DRAGONFLY_MACHINE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus.h"
#include "interrupt.h"
#include "loop.h"
#include "memory.h"

#define MAX_CPUS 64
#define MAX_QUEUES 30 /* PCI slots beside the host bridge and the console */

/* What --queue and --net say. */
struct queue_options {
	enum queue_kind { QUEUE_VDPA, QUEUE_TAP } kind;
	char *name; /* /dev/vhost-vdpa-0; the tap's interface */
	unsigned int queues; /* virtqueues to use, of a net pairs; 0: all */
};

struct options {
	const char *name, *device, *kernel, *initrd, *append, *console;
	unsigned int cpus, nr_queues;
	uint64_t memory, huge; /* bytes */
	int pin[MAX_CPUS]; /* the host CPU of each vCPU, or -1 */
	struct queue_options queues[MAX_QUEUES];
	bool detach, dedicated;
	int notifier; /* the host CPU that serves the guest's IPIs, or -1 */
};

/* Why a machine stopped, and the exit status of "dragonfly run". */
enum outcome {
	RUNNING = -1,
	POWERED_OFF = 0,
	FAILED = 1, /* an exit that nobody expects, or a device that gave up */
	RESET = 3, /* the guest asked for a reboot */
	CRASHED = 4, /* triple fault */
	STOPPED = 5, /* by "dragonfly stop", Ctrl-A x or a signal */
};

struct vcpu {
	struct machine *machine;
	unsigned int index;
	int fd;
	struct kvm_run *run;
	size_t run_size;
	pthread_t thread;
	bool started;
};

struct machine {
	const struct options *options;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* @paused or @active */
	struct loop loop;
	int kvm, vm;
	bool has_queues; /* the device has DRAGONFLY_QUEUE_ASSIGN */
	bool paused;
	unsigned int active; /* vCPU threads that are neither parked nor at their end */
	enum outcome outcome;
	struct watch ended; /* an eventfd that machine__stop() signals */
	struct watch signals; /* SIGINT and the like */
	struct memory memory;
	void *area; /* in which the guest posts interrupts, or NULL (dedicated.h) */
	struct bus ports, mmio;
	struct interrupts interrupts;
	unsigned int nr_vcpus;
	struct vcpu vcpus[MAX_CPUS];
	struct ioapic *ioapic;
	struct serial *serial;
	struct power *power;
	struct hotplug *hotplug;
	struct pci *pci;
	struct queue *queues; /* that it holds (queues.h) */
	struct console *console;
	struct control *control;
};

/*
 * machine__create() makes it all but the vCPUs' threads, machine__run() runs it on
 * this thread to its end. Destroying one that was not created in full is fine.
 */
int machine__create(struct machine *machine, const struct options *options);
enum outcome machine__run(struct machine *machine);
void machine__destroy(struct machine *machine);

/* From anywhere, with the lock held; the first outcome stays. */
void machine__stop(struct machine *machine, enum outcome outcome);

/* No vCPU is in the guest when machine__pause() returns. With the lock held. */
void machine__pause(struct machine *machine);
void machine__resume(struct machine *machine);

/* An ioctl on the VM. */
int machine__ioctl(struct machine *machine, unsigned long request, void *argument);

/* vcpu.c */
int vcpu__create(struct vcpu *vcpu, struct machine *machine, unsigned int index);
void vcpu__destroy(struct vcpu *vcpu);
int vcpu__start(struct vcpu *vcpu);
void vcpu__kick(struct vcpu *vcpu); /* out of the guest, soon */
void vcpu__join(struct vcpu *vcpu);

#endif
