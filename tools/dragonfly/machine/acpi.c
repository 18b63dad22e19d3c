// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ACPI tables, as "ACPI Specification" 6.5 and "PCI Firmware Specification"
 * lay them out, one behind the other from the RSDP on.
 */
#include "acpi.h"

#include <stddef.h>
#include <string.h>

#include "boot.h"
#include "devices/power.h"
#include "dragonfly.h"
#include "dsdt.hex"
#include "machine.h"

#define PACKED __attribute__((packed))

struct rsdp {
	char signature[8];
	uint8_t checksum; /* of the first 20 bytes, all that revision 0 had */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} PACKED;

struct header {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} PACKED;

struct generic_address {
	uint8_t space, bits, offset, access;
	uint64_t address;
} PACKED;

#define SPACE_SYSTEM_IO 1
#define ACCESS_BYTE 1

/* What only a machine with fixed hardware has is left out of the names. */
struct fadt {
	struct header header;
	uint32_t facs, dsdt;
	uint8_t reserved;
	uint8_t preferred_profile;
	uint8_t fixed_hardware[63];
	uint16_t boot_flags;
	uint8_t reserved2;
	uint32_t flags;
	struct generic_address reset_register;
	uint8_t reset_value;
	uint16_t arm_boot_flags;
	uint8_t minor_revision;
	uint64_t x_facs, x_dsdt;
	struct generic_address x_fixed_hardware[8];
	struct generic_address sleep_control, sleep_status;
	uint64_t hypervisor;
} PACKED;

#define PROFILE_ENTERPRISE_SERVER 4
#define BOOT_NO_VGA (1U << 2)
#define BOOT_NO_ASPM (1U << 4)
#define BOOT_NO_CMOS_RTC (1U << 5)
#define FADT_WBINVD (1U << 0)
#define FADT_CONTROL_METHOD_POWER_BUTTON (1U << 4)
#define FADT_CONTROL_METHOD_SLEEP_BUTTON (1U << 5)
#define FADT_RESET_REGISTER (1U << 10)
#define FADT_HARDWARE_REDUCED (1U << 20)

struct madt_lapic {
	uint8_t type, length;
	uint8_t uid, id;
	uint32_t flags;
} PACKED;

struct madt_ioapic {
	uint8_t type, length;
	uint8_t id, reserved;
	uint32_t address, first_gsi;
} PACKED;

/* The IOAPIC stands first: it is one, vCPUs are any number. */
struct madt {
	struct header header;
	uint32_t lapic_address, flags;
	struct madt_ioapic ioapic;
	struct madt_lapic lapics[MAX_CPUS];
} PACKED;

#define MADT_LAPIC 0
#define MADT_IOAPIC 1
#define LAPIC_ENABLED 1

struct mcfg {
	struct header header;
	uint8_t reserved[8];
	uint64_t base;
	uint16_t segment;
	uint8_t first_bus, last_bus;
	uint8_t reserved2[4];
} PACKED;

struct xsdt {
	struct header header;
	uint64_t tables[3];
} PACKED;

/* Where the next table goes. */
struct writer {
	uint8_t *host;
	uint64_t used;
};

static uint8_t checksum(const void *data, size_t size)
{
	const uint8_t *bytes = data;
	uint8_t sum = 0;

	while (size--)
		sum -= *bytes++;
	return sum;
}

/* The next @size bytes; where they are in the guest is their place from ACPI_TABLES on. */
static uint64_t put(struct writer *writer, const void *data, size_t size)
{
	uint64_t at = writer->used;

	memcpy(writer->host + at, data, size);
	writer->used += (size + 15) & ~15ULL;
	return ACPI_TABLES + at;
}

static uint64_t put_table(struct writer *writer, void *table, const char *signature,
			  unsigned int revision, size_t size)
{
	struct header *header = table;

	*header = (struct header){
		.length = size,
		.revision = revision,
		.oem_id = "DRAGON",
		.oem_table_id = "DRAGONFL",
		.oem_revision = 1,
		.creator_id = "DRGN",
		.creator_revision = 1,
	};
	memcpy(header->signature, signature, sizeof(header->signature));
	header->checksum = checksum(table, size);
	return put(writer, table, size);
}

static struct generic_address power_register(unsigned int offset)
{
	struct generic_address address = {
		.space = SPACE_SYSTEM_IO,
		.bits = 8,
		.access = ACCESS_BYTE,
		.address = POWER_PORT + offset,
	};

	return address;
}

static uint64_t put_fadt(struct writer *writer, uint64_t dsdt)
{
	struct fadt fadt = {
		.preferred_profile = PROFILE_ENTERPRISE_SERVER,
		.boot_flags = BOOT_NO_VGA | BOOT_NO_ASPM | BOOT_NO_CMOS_RTC,
		.flags = FADT_WBINVD | FADT_CONTROL_METHOD_POWER_BUTTON |
			 FADT_CONTROL_METHOD_SLEEP_BUTTON | FADT_RESET_REGISTER |
			 FADT_HARDWARE_REDUCED,
		.reset_register = power_register(POWER_RESET),
		.reset_value = POWER_RESET_VALUE,
		.minor_revision = 5,
		.x_dsdt = dsdt,
		.sleep_control = power_register(POWER_SLEEP_CONTROL),
		.sleep_status = power_register(POWER_SLEEP_STATUS),
	};

	return put_table(writer, &fadt, "FACP", 6, sizeof(fadt));
}

static uint64_t put_madt(struct writer *writer, unsigned int cpus)
{
	struct madt madt = {
		.lapic_address = LAPIC_ADDRESS,
		.ioapic = {
			.type = MADT_IOAPIC,
			.length = sizeof(madt.ioapic),
			.address = IOAPIC_ADDRESS,
		},
	};

	for (unsigned int i = 0; i < cpus; i++)
		madt.lapics[i] = (struct madt_lapic){
			.type = MADT_LAPIC,
			.length = sizeof(madt.lapics[i]),
			.uid = i,
			.id = i,
			.flags = LAPIC_ENABLED,
		};
	return put_table(writer, &madt, "APIC", 5, offsetof(struct madt, lapics[cpus]));
}

static uint64_t put_mcfg(struct writer *writer)
{
	struct mcfg mcfg = { .base = PCI_ECAM };

	return put_table(writer, &mcfg, "MCFG", 1, sizeof(mcfg));
}

static void write_rsdp(struct rsdp *at, uint64_t xsdt)
{
	struct rsdp rsdp = {
		.signature = "RSD PTR ",
		.oem_id = "DRAGON",
		.revision = 2,
		.length = sizeof(rsdp),
		.xsdt = xsdt,
	};

	rsdp.checksum = checksum(&rsdp, offsetof(struct rsdp, length));
	rsdp.extended_checksum = checksum(&rsdp, sizeof(rsdp));
	*at = rsdp;
}

_Static_assert(sizeof(struct rsdp) == 36 && sizeof(struct header) == 36, "as in ACPI");
_Static_assert(sizeof(struct fadt) == 276 && sizeof(struct mcfg) == 60, "as in ACPI");
_Static_assert(sizeof(dsdt_aml_code) < ACPI_SIZE - 4096, "all tables have room");

int acpi__write(const struct memory *memory, unsigned int cpus)
{
	struct writer writer = { .host = memory__at(memory, ACPI_TABLES, ACPI_SIZE) };
	struct xsdt xsdt;

	if (!writer.host)
		return complain("no room for the ACPI tables: the guest needs more memory");
	writer.used = sizeof(struct rsdp) + 12; /* aligned */
	xsdt.tables[0] = put_fadt(&writer, put(&writer, dsdt_aml_code, sizeof(dsdt_aml_code)));
	xsdt.tables[1] = put_madt(&writer, cpus);
	xsdt.tables[2] = put_mcfg(&writer);
	write_rsdp((void *)writer.host, put_table(&writer, &xsdt, "XSDT", 1, sizeof(xsdt)));
	return 0;
}
