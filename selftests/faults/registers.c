// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a CPU has that no guest may change and no user may read: what selftests/hostile
 * compares.  /sys/kernel/debug/registers has a line "cpuN NAME VALUE" for each.
 */
#include <linux/cpu.h>
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/smp.h>
#include <asm/apic.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/fpu/xcr.h>
#include <asm/msr.h>
#include <asm/special_insns.h>

/* Those that are not a thread's own, a counter, or a deadline. */
static const u32 msrs[] = {
	MSR_IA32_APICBASE,
	MSR_IA32_FEAT_CTL,
	MSR_IA32_TSC_ADJUST,
	MSR_IA32_SPEC_CTRL,
	MSR_IA32_UMWAIT_CONTROL,
	MSR_IA32_TSX_CTRL,
	MSR_IA32_SYSENTER_CS,
	MSR_IA32_SYSENTER_ESP,
	MSR_IA32_SYSENTER_EIP,
	MSR_IA32_MCG_CTL,
	MSR_IA32_MISC_ENABLE,
	MSR_IA32_XFD,
	MSR_IA32_DEBUGCTLMSR,
	MSR_IA32_CR_PAT,
	MSR_MTRRdefType,
	MSR_MTRRfix64K_00000,
	MSR_MTRRfix16K_80000,
	MSR_MTRRfix16K_A0000,
	MSR_MTRRfix4K_C0000,
	MSR_MTRRfix4K_F8000,
	0x200,
	0x201,
	0x202,
	0x203,
	0x204,
	0x205,
	MSR_CORE_PERF_FIXED_CTR_CTRL,
	MSR_CORE_PERF_GLOBAL_CTRL,
	MSR_IA32_PEBS_ENABLE,
	MSR_IA32_MC0_CTL,
	MSR_IA32_RTIT_CTL,
	MSR_IA32_U_CET,
	MSR_IA32_S_CET,
	MSR_IA32_PL0_SSP,
	MSR_IA32_PL1_SSP,
	MSR_IA32_PL2_SSP,
	MSR_IA32_PL3_SSP,
	MSR_IA32_INT_SSP_TAB,
	MSR_ARCH_LBR_CTL,
	MSR_IA32_BNDCFGS,
	MSR_IA32_XSS,
	MSR_EFER,
	MSR_STAR,
	MSR_LSTAR,
	MSR_CSTAR,
	MSR_SYSCALL_MASK,
	MSR_TSC_AUX,
};

static const u32 lapic[] = {
	APIC_ID,      APIC_TASKPRI, APIC_LDR,  APIC_SPIV, APIC_LVTT,
	APIC_LVTTHMR, APIC_LVTPC,   APIC_LVT0, APIC_LVT1, APIC_LVTERR,
};

struct registers {
	u64 cr0, cr4, xcr0, dr7;
	struct desc_ptr gdt, idt;
	u16 tr, ldt, selectors[6];
	u64 msr[ARRAY_SIZE(msrs)];
	u32 lapic[ARRAY_SIZE(lapic)];
};

static u64 lapic_read(u32 reg)
{
	u64 value;

	if (!x2apic_mode)
		return native_apic_mem_read(reg);
	rdmsrl(APIC_BASE_MSR + (reg >> 4), value);
	return value;
}

static void take(void *data)
{
	struct registers *r = data;

	r->cr0 = read_cr0();
	r->cr4 = __read_cr4();
	if (r->cr4 & X86_CR4_OSXSAVE)
		r->xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	get_debugreg(r->dr7, 7);
	native_store_gdt(&r->gdt);
	store_idt(&r->idt);
	store_tr(r->tr);
	store_ldt(r->ldt);
	asm("mov %%cs, %0\n mov %%ss, %1\n mov %%ds, %2\n"
	    "mov %%es, %3\n mov %%fs, %4\n mov %%gs, %5"
	    : "=m"(r->selectors[0]), "=m"(r->selectors[1]), "=m"(r->selectors[2]),
	      "=m"(r->selectors[3]), "=m"(r->selectors[4]), "=m"(r->selectors[5]));
	for (size_t i = 0; i < ARRAY_SIZE(msrs); i++)
		if (rdmsrl_safe(msrs[i], &r->msr[i]))
			r->msr[i] = ~0ULL;
	for (size_t i = 0; i < ARRAY_SIZE(lapic); i++)
		r->lapic[i] = lapic_read(lapic[i]);
}

static void print(struct seq_file *out, int cpu, const struct registers *r)
{
	seq_printf(out, "cpu%d cr0 %llx\ncpu%d cr4 %llx\n", cpu, r->cr0, cpu, r->cr4);
	seq_printf(out, "cpu%d xcr0 %llx\ncpu%d dr7 %llx\n", cpu, r->xcr0, cpu, r->dr7);
	seq_printf(out, "cpu%d gdt %lx %x\n", cpu, r->gdt.address, r->gdt.size);
	seq_printf(out, "cpu%d idt %lx %x\n", cpu, r->idt.address, r->idt.size);
	seq_printf(out, "cpu%d tr %x\ncpu%d ldt %x\n", cpu, r->tr, cpu, r->ldt);
	for (size_t i = 0; i < ARRAY_SIZE(r->selectors); i++)
		seq_printf(out, "cpu%d selector%zu %x\n", cpu, i, r->selectors[i]);
	for (size_t i = 0; i < ARRAY_SIZE(msrs); i++)
		seq_printf(out, "cpu%d msr%x %llx\n", cpu, msrs[i], r->msr[i]);
	for (size_t i = 0; i < ARRAY_SIZE(lapic); i++)
		seq_printf(out, "cpu%d apic%x %x\n", cpu, lapic[i], r->lapic[i]);
}

static int registers_show(struct seq_file *out, void *unused)
{
	struct registers r;
	int cpu;

	cpus_read_lock();
	for_each_online_cpu(cpu) {
		memset(&r, 0, sizeof(r));
		smp_call_function_single(cpu, take, &r, 1);
		print(out, cpu, &r);
	}
	cpus_read_unlock();
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(registers);

static struct dentry *file;

static int __init registers_init(void)
{
	file = debugfs_create_file("registers", 0400, NULL, NULL, &registers_fops);
	return 0;
}

static void __exit registers_exit(void)
{
	debugfs_remove(file);
}

module_init(registers_init);
module_exit(registers_exit);

MODULE_DESCRIPTION("The registers of each CPU, for a test to compare");
MODULE_LICENSE("GPL");
