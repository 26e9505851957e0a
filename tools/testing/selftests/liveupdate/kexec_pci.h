/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Scenarios of PCI devices: each has a device of its own, which is named as in sysfs.
 */
#ifndef KEXEC_PCI_H
#define KEXEC_PCI_H

#include <linux/pci_regs.h>

#include "kexec_scenarios.h"

int pci_bus_of(const char *device);
/* Paths in sysfs, good until the next call. */
const char *pci_attribute(const char *device, const char *name);
/* Of the root port above it, which is there when the device is not. */
const char *pci_port_attribute(const char *device, const char *name);

bool pci_is_bus_master(const char *device);
/* Of the controller that is enabled: it runs, and was not reset. */
bool pci_is_running(const char *device);
/* As luo_hda.ko says of its memory. */
bool pci_was_freed(const char *device);

/* Drivers are there, and bind to what they are told to; @what is bind or unbind. */
void pci_load_drivers(void);
int pci_bind(const char *driver, const char *what, const char *device);

int pci_open_stream(const char *device);
/* What it writes arrives, and goes on doing so. */
void pci_check_stream(int stream);

/* Has the scenario's session keep it. */
void pci_keep(const struct scenario *s, const char *device);
void pci_keep_for_the_third(const struct scenario *s);

/* Stopped before anybody had it, and started anew by whoever comes. */
void pci_check_used_anew(const struct scenario *s, const char *device, const char *why);
/* The same, and it goes away. */
void pci_check_given_up(const struct scenario *s, const char *device, const char *why);

#endif /* KEXEC_PCI_H */
