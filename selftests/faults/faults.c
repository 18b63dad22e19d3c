// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults on purpose, to see that the test host reports them: what a run of
 * selftests/testhost boots, never anything else.
 */
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>

static char *fault = "none";
module_param(fault, charp, 0444);
MODULE_PARM_DESC(fault, "oops, warn, kasan, lockdep, atomic, reference or leak");

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
	msleep(1);
	preempt_enable();
}

static const struct {
	const char *name;
	void (*commit)(void);
} faults[] = {
	{ "oops",	oops },
	{ "kasan",	use_after_free },
	{ "lockdep",	lock_both_ways },
	{ "atomic",	sleep_in_atomic },
};

static int __init faults_init(void)
{
	WARN(!strcmp(fault, "warn"), "a warning on purpose\n");
	if (!strcmp(fault, "leak")) {
		leaked = kmalloc(64, GFP_KERNEL);
		leaked = NULL;
	}
	if (!strcmp(fault, "reference"))
		__module_get(THIS_MODULE);
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
