// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether this host will do: asked once of the machine, and again of each CPU
 * that is, or comes, online.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpuhotplug.h>
#include <linux/debugfs.h>
#include <linux/seq_file.h>
#include <linux/string_helpers.h>

#include "x86.h"

#define CPUID_1_ECX_VMX		BIT(5)
#define MISSING_TEXT_SIZE	4096

struct vmx_capabilities vmx_host_caps;

/* CPUs that passed the self-test when they last came online. */
static struct cpumask tested_cpus;
static enum cpuhp_state hotplug_state;
static bool loaded;

/* The kernel drops the feature bit where IA32_FEATURE_CONTROL has no VMX. */
static int check_vmx(void)
{
	if (!(cpuid_ecx(1) & CPUID_1_ECX_VMX)) {
		pr_err("this CPU has no VMX\n");
		return -EOPNOTSUPP;
	}
	if (!boot_cpu_has(X86_FEATURE_VMX)) {
		pr_err("VMX is disabled by the firmware; enable virtualization in its set-up\n");
		return -EACCES;
	}
	if (df_host_uses_fred()) {
		pr_err("the host runs with FRED; boot it with fred=off\n");
		return -EOPNOTSUPP;
	}
	return 0;
}

static int check_features(void)
{
	char *text __free(kfree) = kmalloc(MISSING_TEXT_SIZE, GFP_KERNEL);
	unsigned int missing;

	if (!text)
		return -ENOMEM;
	missing = vmx_name_missing(&vmx_host_caps, text, MISSING_TEXT_SIZE);
	if (missing)
		pr_err("this CPU lacks %s\n", text);
	return missing ? -ENODEV : 0;
}

/*
 * Called on the CPU itself, by its hotplug thread; may sleep.  A CPU that
 * cannot run guests is not let online: a vCPU could be scheduled there.  One
 * that comes while another hypervisor has VMX is not tested and no harm: the
 * same hypervisor keeps our own guests from starting.
 */
static int test_cpu(unsigned int cpu)
{
	struct vmx_capabilities caps;
	const char *step;
	int err;

	vmx_read_capabilities(&caps);
	if (memcmp(&caps, &vmx_host_caps, sizeof(caps))) {
		pr_err("CPU %u differs in its VMX features from the others\n", cpu);
		return -ENODEV;
	}
	err = vmx_selftest(&step);
	if (!err)
		cpumask_set_cpu(cpu, &tested_cpus);
	else if (err == -EBUSY && loaded)
		err = 0;
	else if (err == -EBUSY)
		pr_err("VMX is held by another hypervisor on CPU %u; unload kvm_intel\n", cpu);
	else
		pr_err("the VMX self-test failed on CPU %u: %s, error %d\n", cpu, step, err);
	return err ? err : vmx_cpu_online();
}

static int forget_cpu(unsigned int cpu)
{
	cpumask_clear_cpu(cpu, &tested_cpus);
	vmx_cpu_offline();
	bypass_cpu_offline();
	dedicated_cpu_offline(cpu);
	return 0;
}

/* A line a feature: required or used, there or not, its name and what for. */
static int features_show(struct seq_file *m, void *unused)
{
	for (unsigned int i = 0; i < nr_vmx_features; i++) {
		const struct vmx_feature *f = &vmx_features[i];

		seq_printf(m, "%-8s %-3s %s: %s\n", f->required ? "required" : "optional",
			   str_yes_no(vmx_has_feature(&vmx_host_caps, f)), f->name, f->need);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(features);

/* The CPUs on which VMX was tried and worked, as a list like 0-3,6. */
static int selftest_show(struct seq_file *m, void *unused)
{
	seq_printf(m, "%*pbl\n", cpumask_pr_args(&tested_cpus));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(selftest);

int df_arch_init(struct dentry *debugfs)
{
	int err = check_vmx();

	if (err)
		return err;

	vmx_read_capabilities(&vmx_host_caps);
	err = check_features();
	if (err)
		return err;
	err = vmx_mitigations_init();
	if (err)
		return err;
	vmcs_resolve_controls();
	msr_init();
	apic_mode_init();
	timer_init();
	run_init();
	err = boot_cpu_has(X86_FEATURE_FSGSBASE) ? fpu_init() : -ENODEV;
	if (err == -ENODEV)
		pr_err("this CPU lacks XSAVE or FSGSBASE (guest state is switched by them)\n");
	if (err)
		return err;

	err = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "dragonfly:online", test_cpu, forget_cpu);
	if (err < 0) {
		fpu_exit();
		return err == -EFAULT ? -EIO : err;
	}
	hotplug_state = err;
	deadline_init();
	loaded = true;

	debugfs_create_file("features", 0444, debugfs, NULL, &features_fops);
	debugfs_create_file("selftest", 0444, debugfs, NULL, &selftest_fops);
	pr_info("VMX works on CPUs %*pbl\n", cpumask_pr_args(&tested_cpus));
	return 0;
}

void df_arch_exit(void)
{
	vmx_exit();
	cpuhp_remove_state(hotplug_state);
	deadline_exit();
	fpu_exit();
}
