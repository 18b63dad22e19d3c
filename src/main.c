// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dragonfly, a thin hypervisor: loading and unloading.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/seq_file.h>

#include "df.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

static struct dentry *debugfs;

/* What is in use just now: all zeroes when nobody has a VM. */
static int resources_show(struct seq_file *m, void *unused)
{
	seq_printf(m, "vms %d\nvcpus %d\nvmcs %d\nqueues %d\n", atomic_read(&df_vms),
		   atomic_read(&df_vcpus), df_arch_active_vcpus(), atomic_read(&df_queues));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(resources);

static int __init dragonfly_init(void)
{
	int err = df_host_init();

	if (err)
		return err;
	err = df_irqfd_init();
	if (err)
		goto exit_host;
	debugfs = debugfs_create_dir(KBUILD_MODNAME, NULL);
	err = df_arch_init(debugfs);
	if (err)
		goto remove_debugfs;

	err = misc_register(&df_device);
	if (err) {
		pr_err("cannot create the device: error %d\n", err);
		goto exit_arch;
	}
	debugfs_create_file("resources", 0444, debugfs, NULL, &resources_fops);
	return 0;

exit_arch:
	df_arch_exit();
remove_debugfs:
	debugfs_remove(debugfs);
	df_irqfd_exit();
exit_host:
	df_host_exit();
	return err;
}

static void __exit dragonfly_exit(void)
{
	misc_deregister(&df_device);
	df_arch_exit();
	debugfs_remove(debugfs);
	df_irqfd_exit();
	df_host_exit();
}

module_init(dragonfly_init);
module_exit(dragonfly_exit);

MODULE_DESCRIPTION("Dragonfly, a thin hypervisor");
MODULE_AUTHOR("The Dragonfly authors");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
