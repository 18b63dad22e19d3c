// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults on purpose, to see that the test host reports them: what a run of
 * selftests/testhost boots, never anything else.
 */
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>

static char *fault = "none";
module_param(fault, charp, 0444);
MODULE_PARM_DESC(fault, "oops, warn, kasan, lockdep, atomic, hold or leak");

static DEFINE_MUTEX(first);
static DEFINE_MUTEX(second);

static void *leaked;

static void oops(void)
{
	int *nowhere = (int *)8;

	OPTIMIZER_HIDE_VAR(nowhere);
	WRITE_ONCE(*nowhere, 1);
}

static void use_after_free(void)
{
	int *p = kmalloc(sizeof(*p), GFP_KERNEL);

	if (!p)
		return;
	kfree(p);
	OPTIMIZER_HIDE_VAR(p);
	WRITE_ONCE(*p, 1);
}

/* Never a deadlock with one thread, but an order that could become one. */
static void lock_both_ways(void)
{
	mutex_lock(&first);
	mutex_lock(&second);
	mutex_unlock(&second);
	mutex_unlock(&first);

	mutex_lock(&second);
	mutex_lock(&first);
	mutex_unlock(&first);
	mutex_unlock(&second);
}

static void sleep_in_atomic(void)
{
	preempt_disable();
	msleep(20);
	preempt_enable();
}

/* Hold a module that is there, and never let go. */
static void hold_dragonfly(void)
{
	struct file *file = filp_open("/dev/dragonfly", O_RDWR, 0);

	WARN_ON(IS_ERR(file));
}

static const struct {
	const char *name;
	void (*commit)(void);
} faults[] = {
	{ "oops",	oops },
	{ "kasan",	use_after_free },
	{ "lockdep",	lock_both_ways },
	{ "atomic",	sleep_in_atomic },
	{ "hold",	hold_dragonfly },
};

static int __init faults_init(void)
{
	WARN(!strcmp(fault, "warn"), "a warning on purpose\n");
	if (!strcmp(fault, "leak")) {
		leaked = kmalloc(64, GFP_KERNEL);
		leaked = NULL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
		if (!strcmp(fault, faults[i].name))
			faults[i].commit();
	return 0;
}

static void __exit faults_exit(void)
{
}

module_init(faults_init);
module_exit(faults_exit);

MODULE_DESCRIPTION("Faults on purpose, for testing the test host");
MODULE_LICENSE("GPL");
