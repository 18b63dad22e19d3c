// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dragonfly and KVM take turns with VMX on one host.
 *
 * In a test host booted with --with kvm; root.  KVM_INTEL_KO and KVM_INTEL in
 * the environment name its module file and its module.
 */
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "kselftest_harness.h"
#include "busy.h"
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

static int vm_create(void)
{
	int fd = open(MODULE_DEVICE, O_RDWR | O_CLOEXEC);
	int vm = ioctl(fd, KVM_CREATE_VM, 0), err = errno;

	close(fd);
	return vm < 0 ? -err : vm;
}

TEST(whoever_comes_second_has_no_vms)
{
	int vm;

	ASSERT_EQ(0, kvm_unload());
	ASSERT_EQ(0, module_load());
	ASSERT_EQ(0, kvm_load());
	EXPECT_EQ(-EBUSY, vm_create());
	ASSERT_EQ(0, kvm_unload());
	vm = vm_create();
	ASSERT_LE(0, vm);
	EXPECT_EQ(-EBUSY, kvm_load());
	close(vm);
	EXPECT_EQ(0, module_unload());
	ASSERT_EQ(0, kvm_load());
}

/* While it uses it, KVM is not let in; its kernel would say that KVM is broken if it were. */
TEST(kvm_does_not_load_under_a_running_vm)
{
	struct busy vms[2];

	ASSERT_EQ(0, kvm_unload());
	ASSERT_EQ(0, module_load());
	for (int i = 0; i < 2; i++)
		ASSERT_EQ(0, busy_start(&vms[i], i ? apic_idle : apic_busy));
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(-EBUSY, kvm_load());
		for (int n = 0; n < 2; n++)
			EXPECT_TRUE(busy_goes_on(&vms[n], 5));
	}
	for (int i = 0; i < 2; i++)
		EXPECT_EQ(0, busy_stop(&vms[i]));
	EXPECT_EQ(0, module_unload());
	EXPECT_EQ(0, kvm_load());
}

#define MAX_CPUID 256

struct cpuid {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entries[MAX_CPUID];
};

static int supported_cpuid(const char *device, struct cpuid *cpuid)
{
	int fd = open(device, O_RDWR | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	cpuid->head.nent = MAX_CPUID;
	err = ioctl(fd, KVM_GET_SUPPORTED_CPUID, cpuid) ? -errno : 0;
	close(fd);
	return err;
}

/* A guest that Dragonfly can have, KVM can have too. */
TEST(supported_cpuid_is_a_subset_of_kvms)
{
	static struct cpuid kvm, ours;

	ASSERT_EQ(0, supported_cpuid("/dev/kvm", &kvm));
	ASSERT_EQ(0, kvm_unload());
	ASSERT_EQ(0, module_load());
	ASSERT_EQ(0, supported_cpuid(MODULE_DEVICE, &ours));
	EXPECT_EQ(0, module_unload());
	ASSERT_EQ(0, kvm_load());

	EXPECT_LT(4, ours.head.nent);
	for (unsigned int i = 0; i < ours.head.nent; i++) {
		struct kvm_cpuid_entry2 *a = &ours.entries[i], *b = NULL;

		for (unsigned int j = 0; j < kvm.head.nent; j++)
			if (kvm.entries[j].function == a->function &&
			    kvm.entries[j].index == a->index)
				b = &kvm.entries[j];
		ASSERT_NE(NULL, b) TH_LOG("KVM has no leaf %#x", a->function);
		switch (a->function) {
		case 0:
		case 0x80000000:
			EXPECT_GE(b->eax, a->eax);
			EXPECT_EQ(b->ebx * !!a->ebx, a->ebx);
			break;
		case 0x80000008:
			EXPECT_EQ(b->eax & 0xffff, a->eax);
			break;
		default:
			/* The highest subleaf, and the CPU's version. */
			if ((a->function != 7 || a->index) && a->function != 1)
				EXPECT_EQ(0, a->eax & ~b->eax) TH_LOG("leaf %#x", a->function);
			EXPECT_EQ(0, a->ecx & ~b->ecx) TH_LOG("leaf %#x", a->function);
			EXPECT_EQ(0, a->edx & ~b->edx) TH_LOG("leaf %#x", a->function);
			EXPECT_EQ(0, a->ebx & ~b->ebx) TH_LOG("leaf %#x", a->function);
		}
	}
}

#define MAX_MSRS 512

struct msr_list {
	struct kvm_msr_list head;
	uint32_t indices[MAX_MSRS];
};

static int msr_list(const char *device, unsigned long request, struct msr_list *list)
{
	int fd = open(device, O_RDWR | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	list->head.nmsrs = MAX_MSRS;
	err = ioctl(fd, request, list) ? -errno : 0;
	close(fd);
	return err;
}

static bool is_listed(const struct msr_list *list, uint32_t index)
{
	for (unsigned int i = 0; i < list->head.nmsrs; i++)
		if (list->indices[i] == index)
			return true;
	return false;
}

/* What is saved of a guest here can be restored there. */
TEST(msrs_are_a_subset_of_kvms)
{
	static const unsigned long requests[] = { KVM_GET_MSR_INDEX_LIST,
						  KVM_GET_MSR_FEATURE_INDEX_LIST };
	static struct msr_list kvm[2], ours[2];

	for (int i = 0; i < 2; i++)
		ASSERT_EQ(0, msr_list("/dev/kvm", requests[i], &kvm[i]));
	ASSERT_EQ(0, kvm_unload());
	ASSERT_EQ(0, module_load());
	for (int i = 0; i < 2; i++)
		EXPECT_EQ(0, msr_list(MODULE_DEVICE, requests[i], &ours[i]));
	EXPECT_EQ(0, module_unload());
	ASSERT_EQ(0, kvm_load());

	for (int i = 0; i < 2; i++) {
		EXPECT_LT(0, ours[i].head.nmsrs);
		for (unsigned int n = 0; n < ours[i].head.nmsrs; n++) {
			EXPECT_TRUE(is_listed(&kvm[i], ours[i].indices[n]))
			{
				TH_LOG("KVM has no MSR %#x", ours[i].indices[n]);
			}
		}
	}
}

/* Too small an array is said so, and not written to. */
TEST(supported_cpuid_needs_room)
{
	struct cpuid cpuid = { .head.nent = 1, .entries[0].function = 42 };
	int fd;

	ASSERT_EQ(0, kvm_unload());
	ASSERT_EQ(0, module_load());
	fd = open(MODULE_DEVICE, O_RDWR | O_CLOEXEC);
	EXPECT_EQ(-1, ioctl(fd, KVM_GET_SUPPORTED_CPUID, &cpuid));
	EXPECT_EQ(E2BIG, errno);
	EXPECT_EQ(42, cpuid.entries[0].function);
	EXPECT_EQ(-1, ioctl(fd, KVM_GET_SUPPORTED_CPUID, 8));
	EXPECT_EQ(EFAULT, errno);
	close(fd);
	EXPECT_EQ(0, module_unload());
	ASSERT_EQ(0, kvm_load());
}

TEST_HARNESS_MAIN
