/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of this folder have of each other, and all of them of the kernel.
 * The few that are compiled, and tested, on the build machine do without.
 */
#ifndef DF_X86_H
#define DF_X86_H

#include <linux/bitops.h>
#include <linux/kvm_para.h>
#include <linux/math64.h>
#include <linux/preempt.h>
#include <linux/spinlock.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/fpu/types.h>
#include <asm/mtrr.h>
#include <asm/perf_event.h>
#include <asm/processor.h>
#include <asm/pvclock.h>
#include <asm/segment.h>
#include <asm/trapnr.h>
#include <asm/tsc.h>

#include "apic/bypass.h"
#include "apic/deadline.h"
#include "apic/delivery.h"
#include "apic/exitless.h"
#include "apic/ipi.h"
#include "apic/lapic.h"
#include "apic/mode.h"
#include "apic/posted.h"
#include "apic/timer.h"
#include "clock.h"
#include "cpuid.h"
#include "debug.h"
#include "dedicated.h"
#include "df.h"
#include "emulate/access.h"
#include "events.h"
#include "fpu.h"
#include "halt.h"
#include "hypercall.h"
#include "mapping.h"
#include "mce.h"
#include "msr.h"
#include "msr_filter.h"
#include "pml.h"
#include "run.h"
#include "state.h"
#include "tsc.h"
#include "vmx/cpu.h"
#include "vmx/mitigations.h"
#include "vmx/operation.h"
#include "vmx/selftest.h"
#include "vmx/vmcs.h"

#endif
