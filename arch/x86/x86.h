/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of this folder have of each other, and all of them of the kernel.
 * The few that are compiled, and tested, on the build machine do without.
 */
#ifndef DF_X86_H
#define DF_X86_H

#include <linux/bitops.h>
#include <linux/gfp.h>
#include <linux/kvm.h>
#include <linux/kvm_para.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/rcuwait.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <asm/apicdef.h>
#include <asm/cpufeature.h>
#include <asm/debugreg.h>
#include <asm/irq_vectors.h>
#include <asm/processor.h>
#include <asm/trapnr.h>
#include <asm/tsc.h>
#include <asm/vmx.h>

#include "apic/bypass.h"
#include "apic/delivery.h"
#include "apic/lapic.h"
#include "apic/mode.h"
#include "apic/posted.h"
#include "apic/timer.h"
#include "clock.h"
#include "cpuid.h"
#include "debug.h"
#include "dirty.h"
#include "emulate/access.h"
#include "events.h"
#include "fpu.h"
#include "halt.h"
#include "host.h"
#include "hypercall.h"
#include "init.h"
#include "ioeventfd.h"
#include "mapping.h"
#include "mce.h"
#include "memory.h"
#include "msr.h"
#include "msr_filter.h"
#include "pml.h"
#include "run.h"
#include "state.h"
#include "tsc.h"
#include "vm.h"
#include "vmx/cpu.h"
#include "vmx/mitigations.h"
#include "vmx/operation.h"
#include "vmx/vmcs.h"

#endif
