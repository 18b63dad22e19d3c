// SPDX-License-Identifier: GPL-2.0-only
/*
 * For a Linux guest of Dragonfly's: timers and IPIs without exits.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/io.h>
#include <linux/module.h>
#include <asm/apic.h>
#include <asm/cpufeature.h>
#include <asm/cpuid.h>

#include "guest.h"

static bool timer = true;
module_param(timer, bool, 0444);
MODULE_PARM_DESC(timer, "whether timers fire without exits");

static bool ipi = true;
module_param(ipi, bool, 0444);
MODULE_PARM_DESC(ipi, "whether IPIs are sent without exits");

struct dragonfly_area *guest_area;

/* What of it is in use. */
static u32 features;

static bool is_dragonfly(void)
{
	u32 highest, signature[3];

	if (!boot_cpu_has(X86_FEATURE_HYPERVISOR))
		return false;
	cpuid(DRAGONFLY_CPUID_SIGNATURE, &highest, &signature[0], &signature[1], &signature[2]);
	return highest >= DRAGONFLY_CPUID_FEATURES &&
	       !memcmp(signature, DRAGONFLY_SIGNATURE, sizeof(signature));
}

/* Returns where the area is. */
static u64 find_features(void)
{
	u32 ebx, low, high;

	cpuid(DRAGONFLY_CPUID_FEATURES, &features, &ebx, &low, &high);
	if (!timer || !boot_cpu_has(X86_FEATURE_TSC_DEADLINE_TIMER))
		features &= ~DRAGONFLY_FEATURE_TIMER;
	if (!ipi)
		features &= ~DRAGONFLY_FEATURE_IPI;
	features &= DRAGONFLY_FEATURE_TIMER | DRAGONFLY_FEATURE_IPI;
	return (u64)high << 32 | low;
}

static int __init guest_init(void)
{
	u64 address;
	int err;

	if (!is_dragonfly()) {
		pr_err("this is no guest of Dragonfly's\n");
		return -ENODEV;
	}
	if (!x2apic_mode) {
		pr_err("the kernel does not use its APICs in x2APIC mode; boot it without nox2apic\n");
		return -ENODEV;
	}
	address = find_features();
	if (!features) {
		pr_err("nothing is to be had here; run the VM with --dedicated or --notifier-cpu\n");
		return -ENODEV;
	}

	guest_area = memremap(address, sizeof(*guest_area), MEMREMAP_WB);
	if (!guest_area)
		return -ENOMEM;
	if (features & DRAGONFLY_FEATURE_TIMER) {
		err = guest_timer_start();
		if (err) {
			memunmap(guest_area);
			return err;
		}
	}
	if (features & DRAGONFLY_FEATURE_IPI)
		guest_ipi_start();
	return 0;
}
module_init(guest_init);

static void __exit guest_exit(void)
{
	if (features & DRAGONFLY_FEATURE_IPI)
		guest_ipi_stop();
	if (features & DRAGONFLY_FEATURE_TIMER)
		guest_timer_stop();
	memunmap(guest_area);
}
module_exit(guest_exit);

MODULE_DESCRIPTION("Timers and IPIs without exits, for guests of Dragonfly");
MODULE_AUTHOR("The Dragonfly authors");
MODULE_LICENSE("GPL");
