// SPDX-License-Identifier: GPL-2.0-only
/*
 * A hot fix of dragonfly.ko: KVM_HC_CLOCK_PAIRING, whose exit the middle ring handles,
 * is answered with KVM_EPERM. For selftests/livepatch.c; a real one looks no different.
 */
#include <linux/livepatch.h>
#include <linux/module.h>
#include <uapi/linux/kvm_para.h>

struct df_vcpu;

/* Instead of clock_pair() in arch/x86/clock.c. */
static int refuse_to_pair(struct df_vcpu *vcpu, u64 gpa)
{
	return -KVM_EPERM;
}

static struct klp_func functions[] = {
	{ .old_name = "clock_pair", .new_func = refuse_to_pair },
	{},
};

static struct klp_object objects[] = {
	{ .name = "dragonfly", .funcs = functions },
	{},
};

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objects,
};

static int __init hotfix_init(void)
{
	return klp_enable_patch(&patch);
}

/* Only when it is disabled, and nobody is in it any more. */
static void __exit hotfix_exit(void)
{
}

module_init(hotfix_init);
module_exit(hotfix_exit);

MODULE_DESCRIPTION("A hot fix of dragonfly.ko, for its selftest");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
