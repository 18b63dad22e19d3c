// SPDX-License-Identifier: GPL-2.0-only
/*
 * The devices of the machine that do not announce themselves.
 *
 * The C preprocessor comes first: what is in capitals and longer than four letters
 * is in machine/memory.h, devices/serial.h, power.h and hotplug.h.
 */

/* What there can be in slots 1 to 31: a device's name and its number. */
#define EACH_SLOT(DO) \
	DO (S01,  1) DO (S02,  2) DO (S03,  3) DO (S04,  4) DO (S05,  5) DO (S06,  6) \
	DO (S07,  7) DO (S08,  8) DO (S09,  9) DO (S10, 10) DO (S11, 11) DO (S12, 12) \
	DO (S13, 13) DO (S14, 14) DO (S15, 15) DO (S16, 16) DO (S17, 17) DO (S18, 18) \
	DO (S19, 19) DO (S20, 20) DO (S21, 21) DO (S22, 22) DO (S23, 23) DO (S24, 24) \
	DO (S25, 25) DO (S26, 26) DO (S27, 27) DO (S28, 28) DO (S29, 29) DO (S30, 30) \
	DO (S31, 31)

/* iasl does not add up in resources. */
#define PCI_WINDOW_LAST 0xDFFFFFFF
#if PCI_WINDOW + PCI_WINDOW_SIZE - 1 != PCI_WINDOW_LAST
#error "PCI_WINDOW_LAST is not where the window ends"
#endif

DefinitionBlock ("", "DSDT", 2, "DRAGON", "DRAGONFL", 1)
{
    // SLP_TYP of soft off; a hardware-reduced machine has one such register.
    Name (\_S5, Package () { POWER_S5, POWER_S5, 0, 0 })

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, "PNP0A08")
            Name (_CID, "PNP0A03")
            Name (_UID, 0)
            Name (_SEG, 0)
            Name (_BBN, 0)

            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    0, 0, 0, 0, 1)
                IO (Decode16, 0xCF8, 0xCF8, 1, 8)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable,
                    ReadWrite, 0, PCI_WINDOW, PCI_WINDOW_LAST, 0,
                    PCI_WINDOW_SIZE)
            })

            // Hotplug stays ours and there are no errors to report: of what the
            // system asks for, it gets the capability structures.
            Method (_OSC, 4, Serialized)
            {
                CreateDWordField (Arg3, 0, RSLT)
                If (Arg0 != ToUUID ("33DB4D5B-1FF7-401C-9657-7441C03DD766"))
                {
                    RSLT |= 4 // not this UUID
                    Return (Arg3)
                }
                CreateDWordField (Arg3, 8, CTRL)
                Local0 = CTRL & 0x10
                If (Local0 != CTRL)
                {
                    RSLT |= 0x10 // masked
                }
                If (Arg1 != 1)
                {
                    RSLT |= 8 // not this revision
                }
                CTRL = Local0
                Return (Arg3)
            }

            OperationRegion (PLUG, SystemIO, HOTPLUG_PORT, HOTPLUG_THERE + 4)
            Field (PLUG, DWordAcc, NoLock, WriteAsZeros)
            {
                Offset (HOTPLUG_UP),
                CAME, 32,
                Offset (HOTPLUG_DOWN),
                LEAV, 32,
                Offset (HOTPLUG_EJECT),
                EJCT, 32,
                Offset (HOTPLUG_THERE),
                HERE, 32
            }

            // Whether slot Arg0 has a device, as _STA says it.
            Method (STAT, 1)
            {
                If (HERE & (1 << Arg0))
                {
                    Return (0x0F)
                }
                Return (0)
            }

#define SLOT(NAME, NUMBER)                                              \
            Device (NAME)                                               \
            {                                                           \
                Name (_ADR, NUMBER << 16)                               \
                Name (_SUN, NUMBER)                                     \
                Method (_STA) { Return (STAT (NUMBER)) }                \
                Method (_EJ0, 1) { EJCT = 1 << NUMBER }                 \
            }
            EACH_SLOT (SLOT)

            // 1 is a device check, 3 a request to eject.
#define TELL(NAME, NUMBER)                                              \
                If (Local0 & (1 << NUMBER)) { Notify (NAME, 1) }        \
                If (Local1 & (1 << NUMBER)) { Notify (NAME, 3) }
            Method (PLGD, 0, Serialized)
            {
                Local0 = CAME
                Local1 = LEAV
                EACH_SLOT (TELL)
            }
        }

        // So that nothing else is put where configuration space is.
        Device (ECAM)
        {
            Name (_HID, "PNP0C02")
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, PCI_ECAM, PCI_ECAM_SIZE)
            })
        }

        Device (COM1)
        {
            Name (_HID, "PNP0501")
            Name (_UID, 1)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, SERIAL_PORT, SERIAL_PORT, 1, 8)
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { SERIAL_IRQ }
            })
        }

        Device (PWRB)
        {
            Name (_HID, "PNP0C0C")
        }

        // Without fixed hardware, events are interrupts of a device of their own.
        Device (GED)
        {
            Name (_HID, "ACPI0013")
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate ()
            {
                Interrupt (ResourceConsumer, Level, ActiveHigh, Exclusive) { HOTPLUG_IRQ }
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { POWER_IRQ }
            })
            Method (_EVT, 1, Serialized)
            {
                Switch (ToInteger (Arg0))
                {
                    Case (HOTPLUG_IRQ)
                    {
                        \_SB.PCI0.PLGD ()
                    }
                    Case (POWER_IRQ)
                    {
                        Notify (PWRB, 0x80)
                    }
                }
            }
        }
    }
}
