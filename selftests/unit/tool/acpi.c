// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ACPI tables as a guest finds them, and as iasl reads them.
 */
#include "kselftest_harness.h"

#include <string.h>

#include "devices/hotplug.h"
#include "devices/power.h"
#include "devices/serial.h"
#include "dragonfly.h"
#include "machine/acpi.h"
#include "machine/boot.h"
#include "machine/machine.h"

FIXTURE(acpi)
{
	struct memory memory;
	const uint8_t *rsdp;
	char why[256];
};

FIXTURE_SETUP(acpi)
{
	complain_to(self->why, sizeof(self->why));
	ASSERT_EQ(0, memory__create(&self->memory, 0x100000, 0));
	self->rsdp = memory__at(&self->memory, ACPI_TABLES, ACPI_SIZE);
	ASSERT_NE(NULL, self->rsdp);
}

FIXTURE_TEARDOWN(acpi)
{
	memory__destroy(&self->memory);
	complain_to(NULL, 0);
}

static uint64_t word(const uint8_t *at, unsigned int size)
{
	uint64_t value = 0;

	memcpy(&value, at, size);
	return value;
}

static uint8_t sum(const uint8_t *at, size_t size)
{
	uint8_t total = 0;

	while (size--)
		total += *at++;
	return total;
}

/* A table at a guest-physical address; its checksum has been checked. */
static const uint8_t *table_at(const struct memory *memory, uint64_t address)
{
	const uint8_t *table = memory__at(memory, address, 36);

	if (!table || address % 16 || address < ACPI_TABLES ||
	    address + word(table + 4, 4) > ACPI_TABLES + ACPI_SIZE)
		return NULL;
	return sum(table, word(table + 4, 4)) ? NULL : table;
}

/* By its signature: "DSDT" is found through the FADT. */
static const uint8_t *find(const struct memory *memory, const char *signature)
{
	const uint8_t *rsdp = memory__at(memory, ACPI_TABLES, 36);
	const uint8_t *xsdt = table_at(memory, word(rsdp + 24, 8));

	if (!xsdt || !strcmp(signature, "XSDT"))
		return xsdt;
	if (!strcmp(signature, "DSDT")) {
		const uint8_t *fadt = find(memory, "FACP");

		return fadt ? table_at(memory, word(fadt + 140, 8)) : NULL;
	}
	for (size_t at = 36; at < word(xsdt + 4, 4); at += 8) {
		const uint8_t *table = table_at(memory, word(xsdt + at, 8));

		if (table && !memcmp(table, signature, 4))
			return table;
	}
	return NULL;
}

static bool mentions(const uint8_t *table, const void *bytes, size_t size)
{
	return memmem(table, word(table + 4, 4), bytes, size);
}

/* iasl takes a table apart without finding fault. */
static bool is_read_by_iasl(const uint8_t *table)
{
	char folder[] = "/tmp/acpi-XXXXXX", name[32], command[256];
	bool is_read;
	FILE *out;

	if (!mkdtemp(folder))
		return false;
	snprintf(name, sizeof(name), "%s/table", folder);
	out = fopen(name, "w");
	if (!out)
		return false;
	fwrite(table, word(table + 4, 4), 1, out);
	fclose(out);
	snprintf(command, sizeof(command),
		 "cd %s && iasl -d table >log 2>&1 && test -s table.dsl && "
		 "! grep -iE 'error|warning|invalid|incorrect|unknown' log table.dsl >&2",
		 folder);
	is_read = !system(command);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return !system(command) && is_read;
}

TEST_F(acpi, the_rsdp_is_first)
{
	ASSERT_EQ(0, acpi__write(&self->memory, 1));
	EXPECT_EQ(0, memcmp(self->rsdp, "RSD PTR ", 8));
	EXPECT_EQ(0, sum(self->rsdp, 20));
	EXPECT_EQ(0, sum(self->rsdp, 36));
	EXPECT_EQ(2, self->rsdp[15]);
	EXPECT_EQ(36, word(self->rsdp + 20, 4));
}

TEST_F(acpi, iasl_reads_every_table)
{
	static const char *const signatures[] = { "XSDT", "FACP", "APIC", "MCFG", "DSDT" };

	ASSERT_EQ(0, acpi__write(&self->memory, MAX_CPUS));
	for (size_t i = 0; i < ARRAY_SIZE(signatures); i++) {
		const uint8_t *table = find(&self->memory, signatures[i]);

		ASSERT_NE(NULL, table) TH_LOG("%s", signatures[i]);
		EXPECT_TRUE(is_read_by_iasl(table)) TH_LOG("%s", signatures[i]);
	}
}

TEST_F(acpi, every_vcpu_has_an_enabled_lapic)
{
	for (unsigned int cpus = 1; cpus <= MAX_CPUS; cpus++) {
		unsigned int found = 0, ioapics = 0, at = 44;
		const uint8_t *madt;

		ASSERT_EQ(0, acpi__write(&self->memory, cpus));
		madt = find(&self->memory, "APIC");
		ASSERT_NE(NULL, madt);
		EXPECT_EQ(LAPIC_ADDRESS, word(madt + 36, 4));
		EXPECT_EQ(0, word(madt + 40, 4)); /* no 8259s */
		for (; at < word(madt + 4, 4); at += madt[at + 1]) {
			ASSERT_NE(0, madt[at + 1]);
			if (madt[at] == 1) {
				EXPECT_EQ(IOAPIC_ADDRESS, word(madt + at + 4, 4));
				ioapics++;
				continue;
			}
			EXPECT_EQ(0, madt[at]);
			EXPECT_EQ(found, madt[at + 2]);
			EXPECT_EQ(found, madt[at + 3]);
			EXPECT_EQ(1, word(madt + at + 4, 4));
			found++;
		}
		EXPECT_EQ(at, word(madt + 4, 4));
		EXPECT_EQ(cpus, found);
		EXPECT_EQ(1, ioapics);
	}
}

TEST_F(acpi, the_fadt_names_the_power_registers_and_nothing_fixed)
{
	const uint8_t *fadt;

	ASSERT_EQ(0, acpi__write(&self->memory, 1));
	fadt = find(&self->memory, "FACP");
	ASSERT_NE(NULL, fadt);
	EXPECT_EQ(276, word(fadt + 4, 4));
	EXPECT_EQ(1 << 20 | 1 << 10, word(fadt + 112, 4) & (1 << 20 | 1 << 10));
	EXPECT_EQ(POWER_PORT + POWER_RESET, word(fadt + 120, 8));
	EXPECT_EQ(POWER_RESET_VALUE, fadt[128]);
	EXPECT_EQ(POWER_PORT + POWER_SLEEP_CONTROL, word(fadt + 248, 8));
	EXPECT_EQ(POWER_PORT + POWER_SLEEP_STATUS, word(fadt + 260, 8));
	for (unsigned int at = 46; at < 109; at++)
		EXPECT_EQ(0, fadt[at]);
}

TEST_F(acpi, configuration_space_is_one_bus_at_its_place)
{
	const uint8_t *mcfg;

	ASSERT_EQ(0, acpi__write(&self->memory, 1));
	mcfg = find(&self->memory, "MCFG");
	ASSERT_NE(NULL, mcfg);
	EXPECT_EQ(60, word(mcfg + 4, 4));
	EXPECT_EQ(PCI_ECAM, word(mcfg + 44, 8));
	EXPECT_EQ(0, word(mcfg + 52, 4));
}

TEST_F(acpi, the_dsdt_has_the_headers_numbers)
{
	static const uint32_t window[] = { PCI_WINDOW, PCI_WINDOW + PCI_WINDOW_SIZE - 1, 0,
					   PCI_WINDOW_SIZE };
	static const uint32_t ecam[] = { PCI_ECAM, PCI_ECAM_SIZE };
	static const uint16_t serial[] = { SERIAL_PORT, SERIAL_PORT };
	static const uint8_t plug[] = {
		'P', 'L', 'U', 'G', 1, 0x0b, HOTPLUG_PORT & 0xff, HOTPLUG_PORT >> 8
	};
	static const uint8_t s5[] = { '_', 'S', '5', '_', 0x12, 8, 4, 0x0a, POWER_S5 };
	const uint8_t *dsdt;

	ASSERT_EQ(0, acpi__write(&self->memory, 1));
	dsdt = find(&self->memory, "DSDT");
	ASSERT_NE(NULL, dsdt);
	EXPECT_TRUE(mentions(dsdt, window, sizeof(window)));
	EXPECT_TRUE(mentions(dsdt, ecam, sizeof(ecam)));
	EXPECT_TRUE(mentions(dsdt, serial, sizeof(serial)));
	EXPECT_TRUE(mentions(dsdt, plug, sizeof(plug)));
	EXPECT_TRUE(mentions(dsdt, s5, sizeof(s5)));
	EXPECT_TRUE(mentions(dsdt, "S01_", 4));
	EXPECT_TRUE(mentions(dsdt, "S31_", 4));
}

TEST(a_memory_that_is_too_small_is_refused)
{
	struct memory memory;
	char why[256] = "";

	complain_to(why, sizeof(why));
	ASSERT_EQ(0, memory__create(&memory, 0x10000, 0));
	EXPECT_EQ(-1, acpi__write(&memory, 1));
	EXPECT_NE('\0', *why);
	memory__destroy(&memory);
	complain_to(NULL, 0);
}

TEST_HARNESS_MAIN
