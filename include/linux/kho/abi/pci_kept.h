/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a kernel leaves in memory for the next about PCI devices that go on with
 * their work over the jump.
 *
 * Everything here is a contract between kernels of different versions: a
 * change of a structure or of its meaning needs a new format name.
 */
#ifndef _LINUX_KHO_ABI_PCI_KEPT_H
#define _LINUX_KHO_ABI_PCI_KEPT_H

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/sizes.h>
#include <linux/stddef.h>
#include <linux/types.h>

/* Name of the FLB; its data is the physical address of struct pci_kept_ser. */
#define PCI_KEPT_FORMAT		"pci-kept-devices-v1"
#define PCI_KEPT_MAGIC		0x7665642d74706b70ULL

/* Size of the preserved block. */
#define PCI_KEPT_SIZE		SZ_64K

/* Leads to devices that are kept, and is none itself. */
#define PCI_KEPT_BRIDGE		BIT(0)
/* Its bus master was on when the kernel left it, which is said at shutdown. */
#define PCI_KEPT_BUS_MASTER	BIT(1)
#define PCI_KEPT_FLAGS		(PCI_KEPT_BRIDGE | PCI_KEPT_BUS_MASTER)

/**
 * struct pci_kept_dev_ser - A device that is kept, or a bridge above one.
 * @segment:        Segment, Linux' domain.
 * @bdf:            Bus in the upper byte, device and function in the lower one.
 * @flags:          PCI_KEPT_*.
 * @vendor:         As in its configuration space ...
 * @device:         ... as this ...
 * @class_revision: ... and this.
 * @secondary:      Of a bridge, the bus behind it, else 0.
 * @subordinate:    Of a bridge, the last bus behind it, else 0.
 * @reserved:       0.
 * @users:          Of a bridge, how many kept devices are behind it, else 1.
 * @driver:         Name of the driver that kept it, zero-padded; of a bridge, empty.
 */
struct pci_kept_dev_ser {
	u32	segment;
	u16	bdf;
	u16	flags;
	u16	vendor;
	u16	device;
	u32	class_revision;
	u8	secondary;
	u8	subordinate;
	u16	reserved;
	u32	users;
	char	driver[40];
} __packed;

static_assert(sizeof(struct pci_kept_dev_ser) == 64);
static_assert(offsetof(struct pci_kept_dev_ser, users) == 20);

/**
 * struct pci_kept_ser - All devices that are kept, in no order.
 * @magic:    PCI_KEPT_MAGIC.
 * @count:    Number of devices.
 * @reserved: 0.
 * @devs:     A record for each device and each bridge.
 */
struct pci_kept_ser {
	u64	magic;
	u32	count;
	u32	reserved;
	struct pci_kept_dev_ser devs[];
} __packed;

static_assert(sizeof(struct pci_kept_ser) == 16);

#define PCI_KEPT_MAX \
	((PCI_KEPT_SIZE - sizeof(struct pci_kept_ser)) / sizeof(struct pci_kept_dev_ser))

#endif /* _LINUX_KHO_ABI_PCI_KEPT_H */
