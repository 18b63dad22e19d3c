/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PCI hotplug by ACPI: registers that the DSDT's methods read, and a Generic
 * Event Device whose interrupt makes them look.
 */
#ifndef DRAGONFLY_HOTPLUG_H
#define DRAGONFLY_HOTPLUG_H

#define HOTPLUG_PORT 0x620 /* 4 bytes each */
#define HOTPLUG_UP 0 /* slots that came; reading clears */
#define HOTPLUG_DOWN 4 /* slots that shall go; reading clears */
#define HOTPLUG_EJECT 8 /* write: the guest has let go of these slots */
#define HOTPLUG_THERE 12 /* slots that have a device */
#define HOTPLUG_IRQ 5

struct machine;
struct hotplug;

struct hotplug *hotplug__create(struct machine *machine);
void hotplug__destroy(struct hotplug *hotplug);

/* A device has been added to the running guest; the guest is asked to let one go. */
void hotplug__came(struct hotplug *hotplug, unsigned int slot);
void hotplug__ask(struct hotplug *hotplug, unsigned int slot);

#endif
