/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KERNEL_LINUX_RCUWAIT_H
#define KERNEL_LINUX_RCUWAIT_H

struct rcuwait {
	void *task;
};

#endif
