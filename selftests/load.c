// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module loads, shows its device, and goes without a trace.
 *
 * In a test host with VMX that nobody holds; root.
 */
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "kselftest_harness.h"
#include "module.h"

#define CPU1_ONLINE "/sys/devices/system/cpu/cpu1/online"
#define RELOADS 20

FIXTURE(loaded)
{
	int fd;
};

FIXTURE_SETUP(loaded)
{
	self->fd = -1;
	ASSERT_EQ(0, module_load());
	self->fd = open(MODULE_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(loaded)
{
	if (self->fd >= 0)
		close(self->fd);
	EXPECT_EQ(0, module_unload());
}

TEST_F(loaded, api_version_is_kvms)
{
	EXPECT_EQ(KVM_API_VERSION, ioctl(self->fd, KVM_GET_API_VERSION, 0));
}

TEST_F(loaded, api_version_takes_no_argument)
{
	EXPECT_EQ(-1, ioctl(self->fd, KVM_GET_API_VERSION, 1));
	EXPECT_EQ(EINVAL, errno);
}

/* No capability before its ioctls are all there. */
TEST_F(loaded, only_what_works_is_offered)
{
	static const int offered[] = {
		KVM_CAP_NR_MEMSLOTS,
		KVM_CAP_MAX_VCPUS,
		KVM_CAP_XCRS,
		KVM_CAP_DEBUGREGS,
		KVM_CAP_READONLY_MEM,
		KVM_CAP_SIGNAL_MSI,
		KVM_CAP_X2APIC_API,
		/* And all that Cloud Hypervisor insists on. */
		KVM_CAP_ADJUST_CLOCK,
		KVM_CAP_EXT_CPUID,
		KVM_CAP_GET_TSC_KHZ,
		KVM_CAP_IMMEDIATE_EXIT,
		KVM_CAP_IOEVENTFD,
		KVM_CAP_IRQCHIP,
		KVM_CAP_IRQFD,
		KVM_CAP_IRQ_ROUTING,
		KVM_CAP_MP_STATE,
		KVM_CAP_SET_IDENTITY_MAP_ADDR,
		KVM_CAP_SET_TSS_ADDR,
		KVM_CAP_SPLIT_IRQCHIP,
		KVM_CAP_TSC_DEADLINE_TIMER,
		KVM_CAP_USER_MEMORY,
		KVM_CAP_USER_NMI,
		KVM_CAP_VCPU_EVENTS,
		KVM_CAP_XSAVE,
	};
	static const int absent[] = {
		-1, KVM_CAP_SYNC_MMU, KVM_CAP_PIT2, KVM_CAP_NESTED_STATE, 100000,
	};

	for (size_t i = 0; i < ARRAY_SIZE(offered); i++) {
		EXPECT_LT(0, ioctl(self->fd, KVM_CHECK_EXTENSION, offered[i]))
		TH_LOG("capability %d", offered[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(absent); i++) {
		EXPECT_EQ(0, ioctl(self->fd, KVM_CHECK_EXTENSION, absent[i]))
		TH_LOG("capability %d", absent[i]);
	}
}

TEST_F(loaded, unknown_ioctls_are_enotty)
{
	static const unsigned int unknown[] = {
		0,
		~0U,
		KVM_CREATE_VCPU,
		KVM_SET_SREGS,
		KVM_RUN,
		KVM_GET_API_VERSION ^ 0x100,
		_IOC(_IOC_WRITE, KVMIO, _IOC_NR(KVM_GET_API_VERSION), 8),
	};

	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		EXPECT_EQ(-1, ioctl(self->fd, unknown[i], 0));
		EXPECT_EQ(ENOTTY, errno) TH_LOG("ioctl %#x", unknown[i]);
	}
}

TEST_F(loaded, device_has_neither_data_nor_memory)
{
	char byte = 0;

	EXPECT_EQ(-1, read(self->fd, &byte, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, write(self->fd, &byte, 1));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(loaded, device_is_for_owner_and_group)
{
	struct stat st;

	ASSERT_EQ(0, stat(MODULE_DEVICE, &st));
	EXPECT_TRUE(S_ISCHR(st.st_mode));
	EXPECT_EQ(0660, st.st_mode & 07777);
	EXPECT_EQ(10, major(st.st_rdev)) TH_LOG("a misc device");
}

TEST_F(loaded, others_may_not_open_it)
{
	pid_t child = fork();
	int status;

	if (!child) {
		if (setgid(65534) || setuid(65534))
			_exit(2);
		_exit(open(MODULE_DEVICE, O_RDWR) < 0 && errno == EACCES ? 0 : 1);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_F(loaded, an_open_file_keeps_the_module)
{
	EXPECT_EQ(-EAGAIN, module_unload());
	EXPECT_EQ(KVM_API_VERSION, ioctl(self->fd, KVM_GET_API_VERSION, 0));
}

TEST_F(loaded, a_second_load_is_eexist)
{
	EXPECT_EQ(-EEXIST, module_load());
}

TEST_F(loaded, every_required_feature_is_there)
{
	FILE *in = fopen(MODULE_DEBUGFS "/features", "re");
	char state[16], there[8], text[256];
	int required = 0;

	ASSERT_NE(NULL, in);
	while (fscanf(in, "%15s %7s %255[^\n]", state, there, text) == 3) {
		if (strcmp(state, "required"))
			continue;
		required++;
		EXPECT_STREQ("yes", there) TH_LOG("%s", text);
	}
	fclose(in);
	EXPECT_LT(30, required);
}

TEST_F(loaded, selftest_passed_on_every_online_cpu)
{
	char online[256];

	snprintf(online, sizeof(online), "%s", first_line("/sys/devices/system/cpu/online"));
	EXPECT_STREQ(online, first_line(MODULE_DEBUGFS "/selftest"));
}

TEST_F(loaded, a_cpu_goes_and_comes_back)
{
	if (!exists(CPU1_ONLINE))
		SKIP(return, "this host has one CPU");

	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, write_file(CPU1_ONLINE, "0"));
		EXPECT_STREQ("0", first_line(MODULE_DEBUGFS "/selftest"));
		ASSERT_EQ(0, write_file(CPU1_ONLINE, "1"));
		EXPECT_STREQ("0-1", first_line(MODULE_DEBUGFS "/selftest"));
	}
}

/* Not loaded; with time enough for a KASAN kernel in an emulator. */
FIXTURE(host){};

FIXTURE_SETUP(host)
{
}

FIXTURE_TEARDOWN(host)
{
}

TEST_F(host, loads_while_a_cpu_is_offline)
{
	if (!exists(CPU1_ONLINE))
		SKIP(return, "this host has one CPU");

	ASSERT_EQ(0, write_file(CPU1_ONLINE, "0"));
	ASSERT_EQ(0, module_load());
	EXPECT_STREQ("0", first_line(MODULE_DEBUGFS "/selftest"));
	ASSERT_EQ(0, write_file(CPU1_ONLINE, "1"));
	EXPECT_STREQ("0-1", first_line(MODULE_DEBUGFS "/selftest"));
	EXPECT_EQ(0, module_unload());
	ASSERT_EQ(0, write_file(CPU1_ONLINE, "0"));
	ASSERT_EQ(0, write_file(CPU1_ONLINE, "1"));
}

TEST_F_TIMEOUT(host, reloads_and_leaves_nothing, 3600)
{
	char last[1024] = "";
	int log = kernel_log_open();

	ASSERT_LE(0, log);
	for (int i = 0; i < RELOADS; i++) {
		ASSERT_EQ(0, module_load()) TH_LOG("load %d", i);
		EXPECT_TRUE(exists(MODULE_DEVICE));
		EXPECT_TRUE(exists(MODULE_DEBUGFS));
		ASSERT_EQ(0, module_unload()) TH_LOG("unload %d", i);
		EXPECT_FALSE(exists(MODULE_DEVICE));
		EXPECT_FALSE(exists(MODULE_DEBUGFS));
		EXPECT_FALSE(exists(MODULE_SYSFS));
	}
	EXPECT_EQ(0, kernel_log_errors(log, last, sizeof(last))) TH_LOG("%s", last);
	close(log);
}

TEST_HARNESS_MAIN
