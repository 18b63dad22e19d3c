/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a vCPU's CPUID says: all that the hypervisor supports, and the machine's
 * topology, one thread a core, all cores in one package.
 */
#ifndef DRAGONFLY_CPUID_H
#define DRAGONFLY_CPUID_H

struct vcpu;

int cpuid__set(struct vcpu *vcpu);

#endif
