/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PCI devices that go on with their work over a live update.
 *
 * kept:    goes on over the jump that is to come; the previous kernel's word for
 *          what came in.
 * came in: was kept by the previous kernel, and nobody has taken it over yet.
 * stopped: was at work, has its bus master off, and was not reset yet.
 *
 * Bridges above a device that is kept or came in are that, too. Each is a bit of
 * pci_dev::priv_flags, which changes under pci_keep_lock.
 */
#ifndef DRIVERS_PCI_LIVEUPDATE_H
#define DRIVERS_PCI_LIVEUPDATE_H

#include <linux/bitops.h>
#include <linux/kho/abi/pci_kept.h>
#include <linux/pci.h>
#include <linux/pm_runtime.h>

#include "pci.h"

struct pci_driver;

/* ---- records, drivers/pci/liveupdate_records.c ---- */

enum pci_incoming_state {
	PCI_AWAITED,
	PCI_FOUND,
	/* Nobody has found it. */
	PCI_LOST,
	/* Its bus master is off. */
	PCI_STOPPED,
	/* Its driver has it. */
	PCI_TAKEN,
	/* It was reset; of a bridge, it is one like any other. */
	PCI_RELEASED,
};

/**
 * struct pci_incoming_dev - A device or bridge that came in.
 * @rec:     What the previous kernel says, as far as it makes sense.
 * @users:   Of a bridge, how many devices behind it are awaited or found.
 * @state:   How far it is.
 * @bars:    Bit for each BAR that has an address.
 * @carried: It is kept once more, as nobody took it over.
 */
struct pci_incoming_dev {
	struct pci_kept_dev_ser rec;
	u32 users;
	enum pci_incoming_state state;
	u8 bars;
	bool carried;
};

/**
 * struct pci_incoming - All that came in.
 * @count:   Number of devices.
 * @damaged: How many records made no sense.
 * @devs:    In the order of their places.
 */
struct pci_incoming {
	unsigned int count;
	unsigned int damaged;
	struct pci_incoming_dev devs[];
};

static inline u32 pci_kept_segment(const struct pci_dev *dev)
{
	return pci_domain_nr(dev->bus);
}

static inline bool pci_kept_is_bridge(const struct pci_kept_dev_ser *rec)
{
	return rec->flags & PCI_KEPT_BRIDGE;
}

void pci_kept_warn(u32 segment, u16 bdf, const char *what);
struct pci_kept_dev_ser *pci_kept_find(struct pci_kept_ser *ser, u32 segment, u16 bdf);
void pci_kept_add(struct pci_kept_ser *ser, const struct pci_kept_dev_ser *rec);
bool pci_kept_remove(struct pci_kept_ser *ser, u32 segment, u16 bdf);
bool pci_kept_valid(const struct pci_kept_ser *ser);
bool pci_kept_is_behind(const struct pci_kept_dev_ser *rec,
			const struct pci_kept_dev_ser *bridge);
struct pci_incoming *pci_incoming_read(const struct pci_kept_ser *ser);
struct pci_incoming_dev *pci_incoming_find(struct pci_incoming *in, u32 segment, u16 bdf);
int pci_incoming_verdict(const struct pci_incoming_dev *dev);
const char *pci_why_reserved(int err);

/* ---- one device, drivers/pci/liveupdate_device.c ---- */

bool pci_is_bus_master(struct pci_dev *dev);
void pci_stop_dma(struct pci_dev *dev, const char *why);
int pci_reset_stopped(struct pci_dev *dev);
int pci_liveupdate_refuses(struct pci_dev *dev);

/* ---- for the PCI core, drivers/pci/liveupdate.c ---- */

#ifdef CONFIG_PCI_LIVEUPDATE

static inline bool pci_dev_is_kept(const struct pci_dev *dev)
{
	return test_bit(PCI_DEV_KEPT, &dev->priv_flags);
}

static inline bool pci_dev_came_in(const struct pci_dev *dev)
{
	return test_bit(PCI_DEV_CAME_IN, &dev->priv_flags);
}

static inline bool pci_dev_is_stopped(const struct pci_dev *dev)
{
	return test_bit(PCI_DEV_STOPPED, &dev->priv_flags);
}

/* Of what came in, and has a struct device by now: it stays in D0. */
static inline void pci_liveupdate_initialized(struct pci_dev *dev)
{
	if (pci_dev_came_in(dev))
		pm_runtime_get_noresume(&dev->dev);
}

void pci_liveupdate_scanned(struct pci_dev *dev);
void pci_liveupdate_removed(struct pci_dev *dev);
int pci_liveupdate_may_bind(struct pci_dev *dev, const struct pci_driver *drv);
void pci_liveupdate_moves(struct pci_dev *dev, int resno);
void pci_liveupdate_leave(struct pci_dev *dev);

#else /* CONFIG_PCI_LIVEUPDATE */

static inline bool pci_dev_is_kept(const struct pci_dev *dev)
{
	return false;
}

static inline bool pci_dev_came_in(const struct pci_dev *dev)
{
	return false;
}

static inline void pci_liveupdate_initialized(struct pci_dev *dev)
{
}

static inline void pci_liveupdate_scanned(struct pci_dev *dev)
{
}

static inline void pci_liveupdate_removed(struct pci_dev *dev)
{
}

static inline int pci_liveupdate_may_bind(struct pci_dev *dev,
					  const struct pci_driver *drv)
{
	return 0;
}

static inline void pci_liveupdate_moves(struct pci_dev *dev, int resno)
{
}

static inline void pci_liveupdate_leave(struct pci_dev *dev)
{
}

#endif /* CONFIG_PCI_LIVEUPDATE */

/* Nobody may reset, renumber or remove it. */
static inline bool pci_dev_is_at_work(const struct pci_dev *dev)
{
	return pci_dev_is_kept(dev) || pci_dev_came_in(dev);
}

#endif /* DRIVERS_PCI_LIVEUPDATE_H */
