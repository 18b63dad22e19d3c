/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A virtio console with one port, hvc0 to Linux.
 */
#ifndef DRAGONFLY_VIRTIO_CONSOLE_H
#define DRAGONFLY_VIRTIO_CONSOLE_H

struct machine;

/* On the PCI bus, which destroys it; machine->console is there by then. */
int virtio_console__add(struct machine *machine);

#endif
