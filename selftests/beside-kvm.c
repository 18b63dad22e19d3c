// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dragonfly and KVM take turns with VMX on one host.
 *
 * In a test host booted with --with kvm; root.  KVM_INTEL_KO and KVM_INTEL in
 * the environment name its module file and its module.
 */
#include "kselftest_harness.h"
#include "module.h"

#define CPU1_ONLINE "/sys/devices/system/cpu/cpu1/online"

static int kvm_load(void)
{
	return module_load_file(getenv("KVM_INTEL_KO"), "");
}

static int kvm_unload(void)
{
	return syscall(SYS_delete_module, "kvm_intel", O_NONBLOCK) ? -errno : 0;
}

TEST(each_loads_when_the_other_is_gone)
{
	ASSERT_NE(NULL, getenv("KVM_INTEL_KO"));
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(-EBUSY, module_load());
		ASSERT_EQ(0, kvm_unload());
		EXPECT_EQ(0, module_load());
		EXPECT_EQ(0, module_unload());
		ASSERT_EQ(0, kvm_load());
	}
}

/* Dragonfly holds VMX only while it uses it. */
TEST(kvm_loads_beside_an_idle_dragonfly)
{
	ASSERT_EQ(0, kvm_unload());
	ASSERT_EQ(0, module_load());
	EXPECT_EQ(0, kvm_load());
	if (exists(CPU1_ONLINE)) {
		EXPECT_EQ(0, write_file(CPU1_ONLINE, "0"));
		EXPECT_EQ(0, write_file(CPU1_ONLINE, "1"));
		EXPECT_STREQ("0", first_line(MODULE_DEBUGFS "/selftest"))
		TH_LOG("CPU 1 cannot have been tested while KVM has VMX");
	}
	EXPECT_EQ(0, module_unload());
}

TEST_HARNESS_MAIN
