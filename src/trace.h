/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints, for trace-cmd and perf: what guests make Dragonfly do.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM dragonfly

#if !defined(DF_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define DF_TRACE_H

#include <linux/tracepoint.h>

#include "types.h"

TRACE_EVENT(df_entry,
	TP_PROTO(u32 vcpu, u64 rip, u32 event),
	TP_ARGS(vcpu, rip, event),
	TP_STRUCT__entry(
		__field(u32, vcpu)
		__field(u32, event)
		__field(u64, rip)
	),
	TP_fast_assign(
		__entry->vcpu = vcpu;
		__entry->event = event;
		__entry->rip = rip;
	),
	TP_printk("vcpu %u rip %#llx event %#x", __entry->vcpu, __entry->rip, __entry->event)
);

TRACE_EVENT(df_exit,
	TP_PROTO(u32 vcpu, u32 reason, u64 rip, u64 qualification),
	TP_ARGS(vcpu, reason, rip, qualification),
	TP_STRUCT__entry(
		__field(u32, vcpu)
		__field(u32, reason)
		__field(u64, rip)
		__field(u64, qualification)
	),
	TP_fast_assign(
		__entry->vcpu = vcpu;
		__entry->reason = reason;
		__entry->rip = rip;
		__entry->qualification = qualification;
	),
	TP_printk("vcpu %u reason %s rip %#llx qualification %#llx", __entry->vcpu,
		  __print_symbolic(__entry->reason, DF_EXIT_REASON_NAMES),
		  __entry->rip, __entry->qualification)
);

/* Port and memory-mapped I/O: an element, as it leaves for or comes from user space. */
DECLARE_EVENT_CLASS(df_io,
	TP_PROTO(u32 vcpu, bool write, u64 address, u32 size, u64 value),
	TP_ARGS(vcpu, write, address, size, value),
	TP_STRUCT__entry(
		__field(u32, vcpu)
		__field(bool, write)
		__field(u32, size)
		__field(u64, address)
		__field(u64, value)
	),
	TP_fast_assign(
		__entry->vcpu = vcpu;
		__entry->write = write;
		__entry->size = size;
		__entry->address = address;
		__entry->value = value;
	),
	TP_printk("vcpu %u %s %#llx size %u value %#llx", __entry->vcpu,
		  __entry->write ? "write" : "read", __entry->address, __entry->size,
		  __entry->value)
);

DEFINE_EVENT(df_io, df_pio,
	TP_PROTO(u32 vcpu, bool write, u64 address, u32 size, u64 value),
	TP_ARGS(vcpu, write, address, size, value)
);

DEFINE_EVENT(df_io, df_mmio,
	TP_PROTO(u32 vcpu, bool write, u64 address, u32 size, u64 value),
	TP_ARGS(vcpu, write, address, size, value)
);

TRACE_EVENT(df_msr,
	TP_PROTO(u32 vcpu, bool write, u32 index, u64 value, int result),
	TP_ARGS(vcpu, write, index, value, result),
	TP_STRUCT__entry(
		__field(u32, vcpu)
		__field(bool, write)
		__field(u32, index)
		__field(u64, value)
		__field(int, result)
	),
	TP_fast_assign(
		__entry->vcpu = vcpu;
		__entry->write = write;
		__entry->index = index;
		__entry->value = value;
		__entry->result = result;
	),
	TP_printk("vcpu %u %s %#x value %#llx%s", __entry->vcpu,
		  __entry->write ? "write" : "read", __entry->index, __entry->value,
		  __entry->result ? " refused" : "")
);

TRACE_EVENT(df_ept_violation,
	TP_PROTO(u32 vcpu, u64 gpa, u64 qualification, u64 rip),
	TP_ARGS(vcpu, gpa, qualification, rip),
	TP_STRUCT__entry(
		__field(u32, vcpu)
		__field(u64, gpa)
		__field(u64, qualification)
		__field(u64, rip)
	),
	TP_fast_assign(
		__entry->vcpu = vcpu;
		__entry->gpa = gpa;
		__entry->qualification = qualification;
		__entry->rip = rip;
	),
	TP_printk("vcpu %u gpa %#llx qualification %#llx rip %#llx", __entry->vcpu, __entry->gpa,
		  __entry->qualification, __entry->rip)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace

#include <trace/define_trace.h>
