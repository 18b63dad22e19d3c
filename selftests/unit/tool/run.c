// SPDX-License-Identifier: GPL-2.0-only
/*
 * The options of "dragonfly run": numbers, sizes, lists of CPUs.
 */
#include "complaints.h"

#include <run.c>

/* ---- numbers --------------------------------------------------------------------- */

TEST(numbers_are_digits_between_two_others)
{
	static const char *const bad[] = { "",
					   "0",
					   "65",
					   "-1",
					   " 1",
					   "+1",
					   "1 ",
					   "1x",
					   "x1",
					   "0x10",
					   "1.5",
					   "99999999999999999999",
					   " -18446744073709551615",
					   "4294967297" };
	unsigned int value = 7;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		int err = parse_number("--cpus", bad[i], 1, 64, &value);

		EXPECT_EQ(-1, err) TH_LOG("%s", bad[i]);
	}
	EXPECT_SAYS("--cpus is a number from 1 to 64, not '4294967297'");
	EXPECT_EQ(7, value);
	EXPECT_EQ(0, parse_number("--cpus", "1", 1, 64, &value));
	EXPECT_EQ(1, value);
	EXPECT_EQ(0, parse_number("--cpus", "064", 1, 64, &value));
	EXPECT_EQ(64, value);
}

/* ---- sizes ----------------------------------------------------------------------- */

TEST(sizes_are_mib_or_have_a_suffix)
{
	static const struct {
		const char *text;
		uint64_t size;
	} rows[] = {
		{ "0", 0 },
		{ "1", 1ULL << 20 },
		{ "1K", 1ULL << 10 },
		{ "1M", 1ULL << 20 },
		{ "1G", 1ULL << 30 },
		{ "512", 1ULL << 29 },
		{ "1024G", 1ULL << 40 },
		{ "1048576", 1ULL << 40 },
		{ "1073741824K", 1ULL << 40 },
	};
	uint64_t size;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		size = 1;
		EXPECT_EQ(0, parse_size(rows[i].text, &size)) TH_LOG("%s", rows[i].text);
		EXPECT_EQ(rows[i].size, size) TH_LOG("%s", rows[i].text);
	}
}

TEST(what_is_no_size_or_beyond_1_tib_is_refused)
{
	static const char *const bad[] = {
		"",
		"K",
		"G",
		"-1",
		"+1",
		" 1",
		"1 ",
		"1T",
		"1k",
		"1KK",
		"1MB",
		"0x10",
		"1.5G",
		"--1",
		"1025G",
		"1048577",
		"1073741825K",
		"18446744073709551615",
		"18446744073709551615G",
		"18446744073709551616",
		" -18446744073709551615",
	};
	uint64_t size;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		*why = '\0';
		EXPECT_EQ(-1, parse_size(bad[i], &size)) TH_LOG("%s", bad[i]);
		EXPECT_SAYS("is no size");
	}
}

TEST(huge_pages_have_one_of_two_sizes)
{
	uint64_t size = 0;

	EXPECT_EQ(0, parse_huge("2M", &size));
	EXPECT_EQ(2 * MIB, size);
	EXPECT_EQ(0, parse_huge("1G", &size));
	EXPECT_EQ(1024 * MIB, size);
	EXPECT_EQ(-1, parse_huge("", &size));
	EXPECT_EQ(-1, parse_huge("2", &size));
	EXPECT_EQ(-1, parse_huge("4K", &size));
}

/* ---- pins ------------------------------------------------------------------------ */

TEST(pins_are_cpus_and_ranges_of_them)
{
	int pins[MAX_CPUS];

	EXPECT_EQ(0, parse_pins("0", pins));
	EXPECT_EQ(0, pins[0]);
	EXPECT_EQ(-1, pins[1]);
	EXPECT_EQ(0, parse_pins("7,0-2,1-1,1023", pins));
	EXPECT_EQ(0, memcmp(pins, (int[]){ 7, 0, 1, 2, 1, 1023, -1 }, 7 * sizeof(int)));
	EXPECT_EQ(0, parse_pins("0-63", pins));
	EXPECT_EQ(63, pins[63]);
	/* The last list is the list. */
	EXPECT_EQ(0, parse_pins("4", pins));
	EXPECT_EQ(4, pins[0]);
	EXPECT_EQ(-1, pins[1]);
}

TEST(what_is_no_list_of_cpus_is_refused)
{
	static const char *const bad[] = {
		"",
		",",
		"1,",
		",1",
		"1,,2",
		"1-",
		"-1",
		"-",
		"3-1",
		"1-2-3",
		"1--2",
		"1 ,2",
		" 1",
		"+1",
		"1-+2",
		"1- 2",
		"a",
		"1a",
		"0x1",
		"1024",
		"0-1024",
		"1;2",
		"99999999999",
		"99999999999999999999",
		"0-99999999999999999999",
		"0--18446744073709551615",
		"18446744073709551615-18446744073709551615",
	};
	int pins[MAX_CPUS];

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		*why = '\0';
		EXPECT_EQ(-1, parse_pins(bad[i], pins)) TH_LOG("%s", bad[i]);
		EXPECT_SAYS("--pin takes host CPUs such as");
	}
}

TEST(more_pins_than_there_can_be_vcpus_are_refused)
{
	int pins[MAX_CPUS + 1];

	pins[MAX_CPUS] = 77;
	EXPECT_EQ(-1, parse_pins("0-64", pins));
	EXPECT_SAYS("more than 64 CPUs");
	EXPECT_EQ(-1, parse_pins("0-62,5,6", pins));
	EXPECT_EQ(-1, parse_pins("0-1023", pins));
	EXPECT_EQ(77, pins[MAX_CPUS]);
}

/* ---- all of them together -------------------------------------------------------- */

#define MAX_ARGUMENTS 40

/* One run a test: getopt and the options start afresh with the process. */
static int run_with(const char *const *arguments)
{
	char *argv[MAX_ARGUMENTS + 2] = { "run" };
	int argc = 1;

	for (; arguments[argc - 1]; argc++)
		argv[argc] = (char *)arguments[argc - 1];
	/* The harness has used getopt too. */
	optind = 0;
	getopt(1, argv, "+");
	return run__main(argc, argv);
}

#define RUN(...) run_with((const char *const[]){ __VA_ARGS__, NULL })

#define TEST_REFUSED(name, text, ...)                      \
	TEST(name)                                         \
	{                                                  \
		EXPECT_EQ(STATUS_USAGE, RUN(__VA_ARGS__)); \
		EXPECT_SAYS(text);                         \
	}

TEST_REFUSED(dedicated_vcpus_are_pinned, "--dedicated needs a CPU for each vCPU", "--dedicated")
TEST_REFUSED(dedicated_vcpus_have_a_cpu_each, "names CPU 3 twice", "--dedicated", "--cpus", "3",
	     "--pin", "3,4,3")
TEST_REFUSED(an_option_that_is_none_is_named, "no option '--kernels=x'", "--cpus", "1",
	     "--kernels=x")
TEST_REFUSED(an_option_with_one_dash_is_named, "no option '-kernel'", "--cpus", "1", "-kernel", "x")
TEST_REFUSED(an_option_without_its_value_is_named, "value with '--mem'", "--cpus", "1", "--mem")
TEST_REFUSED(an_option_that_could_be_two_is_named, "no option '--c'", "--c", "1")
TEST_REFUSED(a_value_for_one_that_takes_none_is_named, "'--detach=1'", "--detach=1")
TEST_REFUSED(an_argument_is_refused, "takes no argument 'x'", "x", "--bogus")
TEST_REFUSED(an_argument_behind_the_options_is_refused, "takes no argument '--mem'", "--", "--mem")
TEST_REFUSED(no_vcpus_are_refused, "from 1 to 64", "--cpus", "0")
TEST_REFUSED(too_many_vcpus_are_refused, "from 1 to 64", "--cpus", "65")
TEST_REFUSED(memory_of_nothing_is_refused, "too little", "--mem", "0")
TEST_REFUSED(memory_below_16_mib_is_refused, "too little", "--mem", "16383K")
TEST_REFUSED(memory_of_half_a_page_is_refused, "no multiple", "--mem", "16385K")
TEST_REFUSED(memory_of_half_a_huge_page_is_refused, "no multiple", "--hugepages", "1G")
TEST_REFUSED(fewer_pins_than_vcpus_are_refused, "names 2 CPUs for 3 vCPUs", "--cpus", "3", "--pin",
	     "0-1")

TEST(more_queues_than_a_vm_has_are_refused)
{
	const char *arguments[MAX_ARGUMENTS + 1] = {};

	for (unsigned int i = 0; i <= MAX_QUEUES; i++)
		arguments[i] = "--net=tap=tap0";
	EXPECT_EQ(STATUS_USAGE, run_with(arguments));
	EXPECT_SAYS("at most 30 devices");
}

/* /dev/null opens, but is no hypervisor. */
TEST(a_vm_that_cannot_be_made_leaves_nothing_behind)
{
	char root[] = "/tmp/run-XXXXXX", command[64];

	ASSERT_NE(NULL, mkdtemp(root));
	setenv("XDG_RUNTIME_DIR", root, 1);
	EXPECT_EQ(FAILED, RUN("--device", "/dev/null", "--console", "none", "--name", "a"));
	EXPECT_SAYS("/dev/null does not speak the KVM API");
	snprintf(command, sizeof(command), "test -z \"$(find %s -type s)\"", root);
	EXPECT_EQ(0, system(command));
	snprintf(command, sizeof(command), "rm -r %s", root);
	EXPECT_EQ(0, system(command));
}

TEST_HARNESS_MAIN
