/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Calls that fail as they should, and ioctls of the vCPU of a fixture's guest, self->g.
 */
#ifndef SELFTESTS_VCPU_IOCTL_H
#define SELFTESTS_VCPU_IOCTL_H

#define FAILS(error, call)                                      \
	do {                                                    \
		errno = 0;                                      \
		EXPECT_EQ(-1, call);                            \
		EXPECT_EQ(error, errno)                         \
		{                                               \
			TH_LOG("line %d: %s", __LINE__, #call); \
		}                                               \
	} while (0)

#define VCPU(cmd, arg) ioctl(self->g.vcpu, cmd, arg)
#define OK(cmd, arg) ASSERT_EQ(0, VCPU(cmd, arg))
#define REFUSED(error, cmd, arg) FAILS(error, VCPU(cmd, arg))

#endif
