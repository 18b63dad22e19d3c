/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of this folder have of each other, and most of them of the kernel.
 * The few that are compiled, and tested, on the build machine do without.
 */
#ifndef DF_H
#define DF_H

#include <linux/anon_inodes.h>
#include <linux/dragonfly.h>
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/msi.h>
#include <linux/nospec.h>
#include <linux/rculist.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/xarray.h>

#include "arch.h"
#include "bypass.h"
#include "device.h"
#include "dirty.h"
#include "host.h"
#include "ioctl.h"
#include "ioeventfd.h"
#include "irq.h"
#include "irqfd.h"
#include "memory.h"
#include "queue.h"
#include "routing.h"
#include "stats.h"
#include "trace.h"
#include "vcpu.h"
#include "vm.h"

#endif
