// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of VMX features, against capability MSRs made up here.
 */
#include "kselftest_harness.h"

#include "arch/x86/vmx/features.c"

/* A CPU that has everything that the table knows. */
static struct vmx_capabilities perfect_cpu(void)
{
	struct vmx_capabilities caps = {};

	for (unsigned int i = 0; i < nr_vmx_features; i++)
		caps.msr[vmx_features[i].capability] |= vmx_features[i].value;
	return caps;
}

TEST(a_perfect_cpu_misses_nothing)
{
	struct vmx_capabilities caps = perfect_cpu();
	char text[256] = "left over";

	EXPECT_EQ(0, vmx_name_missing(&caps, text, sizeof(text)));
	EXPECT_STREQ("", text);
}

TEST(a_cpu_without_vmx_misses_all_that_is_required)
{
	struct vmx_capabilities caps = {};
	unsigned int required = 0;
	char text[8192];

	for (unsigned int i = 0; i < nr_vmx_features; i++)
		required += vmx_features[i].required;
	EXPECT_EQ(required, vmx_name_missing(&caps, text, sizeof(text)));
	EXPECT_GT(4096, strlen(text)) TH_LOG("the module's buffer has to hold it");
}

/* Each row alone: taking away its bits is noticed, and named if it is required. */
TEST(each_row_is_seen)
{
	for (unsigned int i = 0; i < nr_vmx_features; i++) {
		const struct vmx_feature *f = &vmx_features[i];
		struct vmx_capabilities caps = perfect_cpu();
		char text[4096];

		caps.msr[f->capability] &= ~f->mask;
		EXPECT_FALSE(vmx_has_feature(&caps, f)) TH_LOG("%s", f->name);
		vmx_name_missing(&caps, text, sizeof(text));
		EXPECT_EQ(f->required, !!strstr(text, f->name)) TH_LOG("%s in %s", f->name, text);
	}
}

TEST(each_row_has_a_name_a_need_and_bits)
{
	for (unsigned int i = 0; i < nr_vmx_features; i++) {
		const struct vmx_feature *f = &vmx_features[i];

		EXPECT_LT(0, strlen(f->name)) TH_LOG("row %u", i);
		EXPECT_LT(0, strlen(f->need)) TH_LOG("row %u", i);
		EXPECT_NE(0, f->value) TH_LOG("row %u", i);
		EXPECT_EQ(f->value, f->value & f->mask) TH_LOG("row %u", i);
		EXPECT_GT(NR_VMX_CAPS, f->capability) TH_LOG("row %u", i);
	}
}

/* A mask of several bits: one of them missing is enough. */
TEST(half_a_feature_is_none)
{
	for (unsigned int i = 0; i < nr_vmx_features; i++) {
		const struct vmx_feature *f = &vmx_features[i];
		struct vmx_capabilities caps = perfect_cpu();

		caps.msr[f->capability] &= ~(f->value & -f->value);
		EXPECT_FALSE(vmx_has_feature(&caps, f)) TH_LOG("%s", f->name);
	}
}

/* What the manual names as essential to this design is required indeed. */
TEST(the_design_is_required)
{
	static const char *const names[] = {
		"EPT",
		"unrestricted guest",
		"VPID",
		"posted interrupts",
		"virtual-interrupt delivery",
		"APIC-register virtualization",
		"virtualize x2APIC mode",
		"VMX-preemption timer",
	};

	for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
		bool required = false;

		for (unsigned int i = 0; i < nr_vmx_features; i++)
			if (!strcmp(vmx_features[i].name, names[n]))
				required = vmx_features[i].required;
		EXPECT_TRUE(required) TH_LOG("%s", names[n]);
	}
}

TEST(a_short_buffer_is_not_overrun)
{
	struct vmx_capabilities caps = {};
	char text[32];

	memset(text, 'x', sizeof(text));
	EXPECT_LT(0, vmx_name_missing(&caps, text, 16));
	EXPECT_EQ(15, strlen(text));
	EXPECT_EQ('x', text[16]);
	EXPECT_LT(0, vmx_name_missing(&caps, text, 1));
}

TEST_HARNESS_MAIN
