/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VMX operation: entering and leaving it on a CPU, and the instructions that
 * manage a VMCS (SDM, "VMX Instruction Reference").
 *
 * The instructions return 0, or -EIO for VMfail, or -EFAULT for a fault.
 */
#ifndef DF_VMX_OPERATION_H
#define DF_VMX_OPERATION_H

#include <linux/bug.h>
#include <linux/errno.h>
#include <asm/asm.h>
#include <asm/msr.h>

#include "features.h"
#include "types.h"

/*
 * The first word of a VMXON region and of a VMCS is the revision that the CPU
 * reports; the rest is the CPU's own.
 */
struct vmx_region {
	u32 revision;
	u32 abort;
	u8 data[4096 - 2 * sizeof(u32)];
};

/* An MSR that may not exist; 0 if it does not. */
static inline u64 read_msr_or_0(u32 msr)
{
	u64 value;

	return rdmsrl_safe(msr, &value) ? 0 : value;
}

/* Of the CPU that loaded the module; every other one has to match. */
extern struct vmx_capabilities vmx_host_caps;

/**
 * vmx_read_capabilities() - the capability MSRs of this CPU
 * @caps: filled in
 *
 * Context: Any; the caller stays on the CPU that it means.
 */
void vmx_read_capabilities(struct vmx_capabilities *caps);

/**
 * vmx_region_alloc() - a page for VMXON or a VMCS
 * @node: the memory node of the CPU that will use it
 *
 * Context: Process context, may sleep.
 * Return: the page with its revision set, or NULL. Free with free_page().
 */
struct vmx_region *vmx_region_alloc(int node);

/**
 * vmx_enter_operation() - put this CPU into VMX root operation
 * @region: its VMXON region
 *
 * Context: Interrupts off until vmx_leave_operation().
 * Return: 0, -EBUSY if another hypervisor holds VMX here, or what VMXON says.
 */
int vmx_enter_operation(struct vmx_region *region);
void vmx_leave_operation(void);

/* An instruction that tells of VMfail by its flags. */
#define VMX_INSTRUCTION(insn, clobber, ...) do {			\
	asm goto("1: " insn "\n\t"					\
		 "jna %l[vmfail]\n\t"					\
		 _ASM_EXTABLE(1b, %l[fault])				\
		 : : __VA_ARGS__ : clobber : vmfail, fault);		\
	return 0;							\
vmfail:									\
	return -EIO;							\
fault:									\
	return -EFAULT;							\
} while (0)

static inline int vmxon(u64 pa)
{
	VMX_INSTRUCTION("vmxon %[addr]", "memory", [addr] "m" (pa));
}

static inline int vmclear(u64 pa)
{
	VMX_INSTRUCTION("vmclear %[addr]", "memory", [addr] "m" (pa));
}

static inline int vmptrld(u64 pa)
{
	VMX_INSTRUCTION("vmptrld %[addr]", "memory", [addr] "m" (pa));
}

static inline int vmxoff(void)
{
	VMX_INSTRUCTION("vmxoff", "memory");
}

static inline int vmwrite(enum vmcs_field field, unsigned long value)
{
	VMX_INSTRUCTION("vmwrite %[value], %[field]", "cc",
			[field] "r" ((unsigned long)field), [value] "rm" (value));
}

/* Only in VMX operation: it has no way to tell of a fault. */
static inline int vmread(enum vmcs_field field, unsigned long *value)
{
	bool vmfail;

	asm volatile("vmread %[field], %[value]"
		     : [value] "=rm" (*value), "=@ccna" (vmfail)
		     : [field] "r" ((unsigned long)field));
	return vmfail ? -EIO : 0;
}

/* Fields that exist on every CPU that we take, of the current VMCS. */
static inline void vmcs_write(enum vmcs_field field, u64 value)
{
	WARN_ON_ONCE(vmwrite(field, value));
}

static __always_inline u64 vmcs_read(enum vmcs_field field)
{
	unsigned long value = 0;
#ifdef CONFIG_CC_HAS_ASM_GOTO_OUTPUT
	asm goto("vmread %[field], %[value]\n\t"
		 "jna %l[vmfail]"
		 : [value] "=rm" (value) : [field] "r" ((unsigned long)field) : "cc" : vmfail);
	return value;
vmfail:
	WARN_ON_ONCE(1);
	return 0;
#else
	WARN_ON_ONCE(vmread(field, &value));
	return value;
#endif
}

/*
 * Without asking whether it worked: there is a current VMCS, as another look into it
 * has just shown. Each instruction counts where this is used.
 */
static __always_inline u64 vmcs_peek(enum vmcs_field field)
{
	unsigned long value;

	asm volatile("vmread %[field], %[value]"
		     : [value] "=r" (value) : [field] "r" ((unsigned long)field) : "cc");
	return value;
}

static __always_inline void vmcs_poke(enum vmcs_field field, u64 value)
{
	asm volatile("vmwrite %[value], %[field]"
		     : : [field] "r" ((unsigned long)field), [value] "r" (value) : "cc");
}

/* What this CPU remembers under an EPTP, or (VMX_EPT_EXTENT_GLOBAL) under any. */
static inline void vmx_invept(unsigned long extent, u64 eptp)
{
	struct {
		u64 eptp, reserved;
	} operand = { eptp, 0 };

	asm volatile("invept %[operand], %[extent]"
		     : : [operand] "m" (operand), [extent] "r" (extent) : "cc", "memory");
}

/* What this CPU remembers of a vCPU's translations, by its VPID. */
static inline void vmx_invvpid_context(u16 vpid)
{
	struct {
		u64 vpid, address;
	} operand = { vpid, 0 };
	unsigned long extent = VMX_VPID_EXTENT_SINGLE_CONTEXT;

	asm volatile("invvpid %[operand], %[extent]"
		     : : [operand] "m" (operand), [extent] "r" (extent) : "cc", "memory");
}

#endif
