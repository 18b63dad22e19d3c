// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dragonfly, a thin hypervisor: loading and unloading.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/module.h>

#include "arch.h"
#include "device.h"
#include "host.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

static struct dentry *debugfs;

static int __init dragonfly_init(void)
{
	int err;

	err = df_host_init();
	if (err)
		return err;
	debugfs = debugfs_create_dir(KBUILD_MODNAME, NULL);
	err = df_arch_init(debugfs);
	if (err)
		goto remove_debugfs;

	err = df_device_create();
	if (err) {
		pr_err("cannot create the device: error %d\n", err);
		goto exit_arch;
	}
	return 0;

exit_arch:
	df_arch_exit();
remove_debugfs:
	debugfs_remove(debugfs);
	df_host_exit();
	return err;
}

static void __exit dragonfly_exit(void)
{
	df_device_destroy();
	df_arch_exit();
	debugfs_remove(debugfs);
	df_host_exit();
}

module_init(dragonfly_init);
module_exit(dragonfly_exit);

MODULE_DESCRIPTION("Dragonfly, a thin hypervisor");
MODULE_AUTHOR("The Dragonfly authors");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
