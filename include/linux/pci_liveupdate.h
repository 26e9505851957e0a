/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PCI devices that go on with their work over a live update: for their drivers.
 *
 * How it is used is told in Documentation/PCI/liveupdate.rst.
 */
#ifndef _LINUX_PCI_LIVEUPDATE_H
#define _LINUX_PCI_LIVEUPDATE_H

#include <linux/types.h>

struct liveupdate_file_handler;
struct pci_dev;

int pci_liveupdate_register(struct liveupdate_file_handler *fh);
void pci_liveupdate_unregister(struct liveupdate_file_handler *fh);

int pci_liveupdate_preserve(struct pci_dev *dev);
void pci_liveupdate_unpreserve(struct pci_dev *dev);

bool pci_liveupdate_came_in(const struct pci_dev *dev);
int pci_liveupdate_retrieve(struct pci_dev *dev);
int pci_liveupdate_finish(u32 segment, u16 bdf);

#endif /* _LINUX_PCI_LIVEUPDATE_H */
