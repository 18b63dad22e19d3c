/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a VM has whose vCPUs are alone on their CPUs.
 */
#ifndef DRAGONFLY_DEDICATED_H
#define DRAGONFLY_DEDICATED_H

#include <stdint.h>

struct kvm_cpuid_entry2;
struct machine;

#define DEDICATED_LEAVES 2

/* The VM is dedicated, if its options say so; before it has vCPUs. */
int dedicated__enable(struct machine *machine);

/* The leaves of CPUID by which a guest finds its area: how many there are. */
unsigned int dedicated__leaves(const struct machine *machine, struct kvm_cpuid_entry2 *entries);

void dedicated__destroy(struct machine *machine);

#endif
