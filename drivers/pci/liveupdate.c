// SPDX-License-Identifier: GPL-2.0-only
/*
 * PCI devices that go on with their work over a live update.
 *
 * A driver that preserves a device's file has the device kept: shutdown leaves it
 * and the bridges above alone, and the next kernel knows of it before the bus is
 * scanned. There it came in until the driver takes it over, or until nobody will,
 * which ends its work. Documentation/PCI/liveupdate.rst is for drivers.
 *
 * Nothing that came in is believed. Of what can't be made sense of the worst is
 * assumed: a device could be at work in memory that is none of its own.
 */

#define pr_fmt(fmt) "PCI: live update: " fmt

#include <linux/cleanup.h>
#include <linux/delay.h>
#include <linux/init.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/kho/abi/luo.h>
#include <linux/liveupdate.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/pci_liveupdate.h>
#include <linux/pm_runtime.h>
#include <linux/slab.h>

#include "liveupdate.h"

LIVEUPDATE_READS(PCI_KEPT_FORMAT);

/*
 * Guards all below, and the bits of devices. Taken under locks of devices, of the
 * bus, of sessions and of the FLB; no other mutex is taken under it.
 */
static DEFINE_MUTEX(pci_keep_lock);

/* Obj of the FLB that goes out, or NULL. */
static struct pci_kept_ser *pci_kept;

/* Obj of the FLB that came in, or NULL. */
static struct pci_incoming *pci_incoming;

/*
 * Something came in: as a kernel stops all that it does not keep, a device at work
 * of which nothing is known is one that was to be known.
 */
static bool pci_stops_unknown;

/* ---- devices ---- */

/* As the hardware has it: quirks change what struct pci_dev says. */
static void pci_kept_describe(struct pci_dev *dev, struct pci_kept_dev_ser *rec)
{
	u32 buses;

	*rec = (struct pci_kept_dev_ser) {
		.segment = pci_kept_segment(dev),
		.bdf = pci_dev_id(dev),
		.vendor = dev->vendor,
		.device = dev->device,
	};
	pci_read_config_dword(dev, PCI_CLASS_REVISION, &rec->class_revision);
	if (dev->hdr_type != PCI_HEADER_TYPE_BRIDGE)
		return;

	pci_read_config_dword(dev, PCI_PRIMARY_BUS, &buses);
	rec->flags = PCI_KEPT_BRIDGE;
	rec->secondary = buses >> 8;
	rec->subordinate = buses >> 16;
}

/* ---- what goes out ---- */

static bool pci_kept_has_room(struct pci_dev *dev)
{
	unsigned int more = 0;

	for (; dev; dev = pci_upstream_bridge(dev))
		more += !pci_dev_is_kept(dev);
	return more <= PCI_KEPT_MAX - pci_kept->count;
}

/* With the bridges above. */
static void pci_keep(struct pci_dev *dev, const char *driver)
{
	struct pci_kept_dev_ser rec;

	lockdep_assert_held(&pci_keep_lock);
	for (; dev; dev = pci_upstream_bridge(dev)) {
		pci_kept_describe(dev, &rec);
		strscpy_pad(rec.driver, driver);
		pci_kept_add(pci_kept, &rec);
		set_bit(PCI_DEV_KEPT, &dev->priv_flags);
		/* Bridges above have none to say. */
		driver = "";
	}
}

static void pci_unkeep(struct pci_dev *dev)
{
	lockdep_assert_held(&pci_keep_lock);
	for (; dev; dev = pci_upstream_bridge(dev)) {
		if (pci_kept_remove(pci_kept, pci_kept_segment(dev), pci_dev_id(dev)))
			clear_bit(PCI_DEV_KEPT, &dev->priv_flags);
	}
}

static int pci_keep_with_driver(struct pci_dev *dev)
{
	const struct pci_driver *drv = dev->driver;

	if (pci_dev_is_at_work(dev))
		return -EBUSY;
	if (!drv || !pci_device_is_present(dev))
		return -ENODEV;
	if (strlen(drv->name) >= sizeof_field(struct pci_kept_dev_ser, driver))
		return -ENAMETOOLONG;

	guard(mutex)(&pci_keep_lock);
	if (!pci_kept)
		return -ENXIO;
	if (!pci_kept_has_room(dev))
		return -ENOSPC;

	pci_keep(dev, drv->name);
	return 0;
}

/*
 * Who resets a device, or gives it virtual functions, has it locked for long; who
 * looks at it does not. Not waited for: a driver's remove may wait for the caller.
 */
static bool pci_lock_to_keep(struct pci_dev *dev)
{
	unsigned int tries = 0;

	while (!device_trylock(&dev->dev)) {
		if (tries++ == 10)
			return false;
		fsleep(1000);
	}
	return true;
}

/**
 * pci_liveupdate_preserve - Keep a device.
 * @dev: Device that the caller is the driver of, and stays until
 *       pci_liveupdate_unpreserve().
 *
 * It is in D0 from now on, and the next kexec leaves it as it is, with the bridges
 * above: nobody calls the driver's shutdown. Until then it can't be reset, removed
 * or get virtual functions by userspace.
 *
 * Context: preserve of a file whose handler is known to pci_liveupdate_register().
 * Return: 0; -EOPNOTSUPP if it is of a kind that can't be kept, and the log says
 * why; -EBUSY if it is kept, came in and was not taken over, or is locked, as for a
 * reset; -ENODEV without driver or device; -ENAMETOOLONG if the driver's name has 40
 * characters or more; -ENOSPC if 1023 devices and bridges are kept; -ENXIO if the
 * handler is not known; or an error of runtime PM.
 */
int pci_liveupdate_preserve(struct pci_dev *dev)
{
	int err;

	if (!pci_lock_to_keep(dev))
		return -EBUSY;

	err = pci_liveupdate_refuses(dev) ?: pm_runtime_resume_and_get(&dev->dev);
	if (err)
		goto unlock;

	err = pci_keep_with_driver(dev);
	if (err)
		pm_runtime_put(&dev->dev);
	else
		pci_dev_get(dev);
unlock:
	device_unlock(&dev->dev);
	return err;
}
EXPORT_SYMBOL_GPL(pci_liveupdate_preserve);

/**
 * pci_liveupdate_unpreserve - Undo pci_liveupdate_preserve().
 * @dev: Device that is kept.
 *
 * Context: unpreserve of the file.
 */
void pci_liveupdate_unpreserve(struct pci_dev *dev)
{
	/* One that was pulled out is not kept any more. */
	scoped_guard(mutex, &pci_keep_lock) {
		if (pci_dev_is_kept(dev))
			pci_unkeep(dev);
	}
	pm_runtime_put(&dev->dev);
	pci_dev_put(dev);
}
EXPORT_SYMBOL_GPL(pci_liveupdate_unpreserve);

/**
 * pci_liveupdate_leave - Note how what is kept is left for the next kernel.
 * @dev: Device or bridge that is kept.
 *
 * One that is stopped by a kernel in between, which does not know what to do with
 * it, is not what was kept.
 */
void pci_liveupdate_leave(struct pci_dev *dev)
{
	struct pci_kept_dev_ser *rec;

	guard(mutex)(&pci_keep_lock);
	rec = pci_kept ? pci_kept_find(pci_kept, pci_kept_segment(dev), pci_dev_id(dev)) : NULL;
	if (rec && pci_is_bus_master(dev))
		rec->flags |= PCI_KEPT_BUS_MASTER;
}

/* ---- what came in ---- */

/* What came in is a certain device, not one that was put into its place. */
static struct pci_dev *pci_incoming_get(const struct pci_incoming_dev *dev)
{
	struct pci_dev *pdev = pci_get_domain_bus_and_slot(dev->rec.segment,
							   PCI_BUS_NUM(dev->rec.bdf),
							   dev->rec.bdf & 0xff);

	if (pdev && (pci_dev_came_in(pdev) || pci_dev_is_stopped(pdev)))
		return pdev;

	pci_dev_put(pdev);
	return NULL;
}

static bool pci_incoming_let_go(struct pci_dev *pdev)
{
	if (!test_and_clear_bit(PCI_DEV_CAME_IN, &pdev->priv_flags))
		return false;

	pm_runtime_put(&pdev->dev);
	return true;
}

/* Nobody waits for it any more. The last user of a bridge releases it. */
static void pci_incoming_release(struct pci_incoming_dev *dev, enum pci_incoming_state state)
{
	struct pci_incoming_dev *bridge = pci_incoming->devs;
	struct pci_dev *pdev;

	lockdep_assert_held(&pci_keep_lock);
	dev->state = state;
	for (; bridge < pci_incoming->devs + pci_incoming->count; bridge++) {
		if (pci_kept_is_bridge(&dev->rec) ||
		    !pci_kept_is_behind(&dev->rec, &bridge->rec) || --bridge->users)
			continue;
		bridge->state = PCI_RELEASED;
		pdev = pci_incoming_get(bridge);
		if (pdev)
			pci_incoming_let_go(pdev);
		pci_dev_put(pdev);
	}
}

static void pci_incoming_give_up(struct pci_incoming_dev *dev, struct pci_dev *pdev,
				 const char *why)
{
	pci_stop_dma(pdev, why);
	pci_incoming_let_go(pdev);
	pci_incoming_release(dev, PCI_STOPPED);
}

static struct pci_incoming_dev *pci_incoming_of(const struct pci_dev *pdev)
{
	lockdep_assert_held(&pci_keep_lock);
	if (!pci_incoming)
		return NULL;
	return pci_incoming_find(pci_incoming, pci_kept_segment(pdev),
				 PCI_DEVID(pdev->bus->number, pdev->devfn));
}

/*
 * What it was told stands in its registers: it goes on with that as soon as a driver
 * has it be bus master. One try, as it is somebody's then.
 */
static int pci_incoming_reset(struct pci_dev *pdev)
{
	int err = pci_reset_stopped(pdev);
	struct pci_incoming_dev *dev;

	guard(mutex)(&pci_keep_lock);
	dev = pci_incoming_of(pdev);
	/* Without a record, what it may write to could be anybody's. */
	if (err && !dev)
		return -EBUSY;

	clear_bit(PCI_DEV_STOPPED, &pdev->priv_flags);
	if (!err && dev && dev->state == PCI_STOPPED)
		dev->state = PCI_RELEASED;
	return 0;
}

static bool pci_incoming_fits(const struct pci_incoming_dev *dev, struct pci_dev *pdev)
{
	struct pci_kept_dev_ser rec;

	pci_kept_describe(pdev, &rec);
	rec.flags |= dev->rec.flags & PCI_KEPT_BUS_MASTER;
	rec.users = dev->rec.users;
	memcpy(rec.driver, dev->rec.driver, sizeof(rec.driver));
	return !memcmp(&rec, &dev->rec, sizeof(rec));
}

static bool pci_bridges_came_in(struct pci_dev *pdev)
{
	while ((pdev = pci_upstream_bridge(pdev))) {
		if (!pci_dev_came_in(pdev))
			return false;
	}
	return true;
}

static u8 pci_bars_with_address(const struct pci_dev *pdev)
{
	unsigned int i;
	u8 bars = 0;

	for (i = 0; i < PCI_STD_NUM_BARS; i++) {
		if (pdev->resource[i].start && !(pdev->resource[i].flags & IORESOURCE_UNSET))
			bars |= BIT(i);
	}
	return bars;
}

/* Bridges to other buses than PCI may have their bus master on for good. */
static bool pci_is_to_be_stopped(struct pci_dev *pdev)
{
	return pci_stops_unknown && pdev->hdr_type == PCI_HEADER_TYPE_NORMAL &&
	       pdev->class >> 16 != PCI_BASE_CLASS_BRIDGE && pci_is_bus_master(pdev);
}

/**
 * pci_liveupdate_scanned - Recognise what came in.
 * @pdev: Device or bridge that was found on the bus, which nobody else knows of
 *        yet; its configuration was read and not written.
 */
void pci_liveupdate_scanned(struct pci_dev *pdev)
{
	struct pci_incoming_dev *dev;

	guard(mutex)(&pci_keep_lock);
	dev = pci_incoming_of(pdev);
	if (!dev || dev->state != PCI_AWAITED) {
		if (pci_is_to_be_stopped(pdev))
			pci_stop_dma(pdev, "at work without a record");
		/* It was removed, and comes back. */
		if (dev && dev->state == PCI_STOPPED)
			set_bit(PCI_DEV_STOPPED, &pdev->priv_flags);
		return;
	}
	/* What was kept may be elsewhere. */
	if (!pci_incoming_fits(dev, pdev)) {
		pci_stop_dma(pdev, "another device than was kept");
		pci_incoming_release(dev, PCI_LOST);
		return;
	}
	if (dev->rec.flags & PCI_KEPT_BUS_MASTER && !pci_is_bus_master(pdev)) {
		pci_incoming_give_up(dev, pdev, "stopped on the way");
		return;
	}
	if (!pci_bridges_came_in(pdev)) {
		pci_incoming_give_up(dev, pdev, "a bridge above was not kept");
		return;
	}
	dev->state = PCI_FOUND;
	dev->bars = pci_bars_with_address(pdev);
	set_bit(PCI_DEV_CAME_IN, &pdev->priv_flags);
}

/**
 * pci_liveupdate_removed - Forget a device that is taken out.
 * @pdev: Device or bridge.
 *
 * What comes into its place is not what was kept. Devices go before the bridges
 * above them.
 */
void pci_liveupdate_removed(struct pci_dev *pdev)
{
	struct pci_incoming_dev *dev;

	if (!pci_dev_is_at_work(pdev)) {
		/* Not to be taken for one that came in when it comes back. */
		if (pci_is_to_be_stopped(pdev))
			pci_clear_master(pdev);
		return;
	}
	if (pdev->hdr_type != PCI_HEADER_TYPE_NORMAL)
		return;

	guard(mutex)(&pci_keep_lock);
	if (pci_dev_is_kept(pdev)) {
		pci_warn(pdev, "live update: removed while it was kept\n");
		pci_unkeep(pdev);
	}
	dev = pci_dev_came_in(pdev) ? pci_incoming_of(pdev) : NULL;
	/* It may still be there, and nobody will know of it any more. */
	if (dev)
		pci_incoming_give_up(dev, pdev, "removed");
}

static bool pci_incoming_is_for(struct pci_dev *pdev, const struct pci_driver *drv)
{
	struct pci_incoming_dev *dev;

	guard(mutex)(&pci_keep_lock);
	dev = pci_dev_came_in(pdev) ? pci_incoming_of(pdev) : NULL;
	if (!dev || pci_kept_is_bridge(&dev->rec) || !strcmp(dev->rec.driver, drv->name))
		return true;

	pci_info(pdev, "live update: waits for %s, not for %s\n", dev->rec.driver, drv->name);
	return false;
}

/**
 * pci_liveupdate_may_bind - Say if a driver may have a device.
 * @pdev: Device, locked.
 * @drv:  Driver.
 *
 * One that was stopped is reset before.
 *
 * Return: 0, or -EBUSY if it came in and another driver kept it, or if it was at
 * work without a record and can't be reset.
 */
int pci_liveupdate_may_bind(struct pci_dev *pdev, const struct pci_driver *drv)
{
	if (pci_dev_came_in(pdev) && !pci_incoming_is_for(pdev, drv))
		return -EBUSY;

	return pci_dev_is_stopped(pdev) ? pci_incoming_reset(pdev) : 0;
}

/**
 * pci_liveupdate_moves - Give up a device that can't stay where it is.
 * @pdev:  Device.
 * @resno: Which of its resources gets another address.
 */
void pci_liveupdate_moves(struct pci_dev *pdev, int resno)
{
	struct pci_incoming_dev *dev;

	if (!pci_dev_came_in(pdev) || resno >= PCI_STD_NUM_BARS)
		return;

	guard(mutex)(&pci_keep_lock);
	dev = pci_dev_came_in(pdev) ? pci_incoming_of(pdev) : NULL;
	if (dev && !pci_kept_is_bridge(&dev->rec) && dev->bars & BIT(resno))
		pci_incoming_give_up(dev, pdev, "a BAR has to move");
}

/**
 * pci_liveupdate_came_in - Say if a device came in.
 * @dev: Device.
 *
 * Its driver must not touch what the device does before it has taken it over. The
 * answer stays true until pci_liveupdate_retrieve(), until the device was given up,
 * or the file that it belongs to is finished.
 *
 * Context: Any.
 * Return: true if the previous kernel kept it.
 */
bool pci_liveupdate_came_in(const struct pci_dev *dev)
{
	return pci_dev_came_in(dev);
}
EXPORT_SYMBOL_GPL(pci_liveupdate_came_in);

/**
 * pci_liveupdate_retrieve - Take a device over.
 * @dev: Device that the caller is the driver of.
 *
 * It is a device like any other from now on.
 *
 * Context: retrieve of the file, after all that may fail.
 * Return: 0, or -ENOENT if it did not come in, was given up, or is finished.
 */
int pci_liveupdate_retrieve(struct pci_dev *dev)
{
	struct pci_incoming_dev *in;

	guard(mutex)(&pci_keep_lock);
	in = pci_incoming_of(dev);
	if (!in || !pci_incoming_let_go(dev))
		return -ENOENT;

	/* That it is one is known to the core by its calls only, so far. */
	dev->is_busmaster = pci_is_bus_master(dev);
	pci_incoming_release(in, PCI_TAKEN);
	return 0;
}
EXPORT_SYMBOL_GPL(pci_liveupdate_retrieve);

static void pci_incoming_end(struct pci_incoming_dev *dev, struct pci_dev *pdev)
{
	lockdep_assert_held(&pci_keep_lock);
	if (dev->state != PCI_AWAITED && dev->state != PCI_FOUND)
		return;

	if (pdev) {
		pci_incoming_give_up(dev, pdev, "nobody took it over");
	} else {
		pci_kept_warn(dev->rec.segment, dev->rec.bdf, "was kept, and is not there");
		pci_incoming_release(dev, PCI_LOST);
	}
}

static struct pci_dev *pci_incoming_get_or_end(struct pci_incoming_dev *dev)
{
	struct pci_dev *pdev;

	guard(mutex)(&pci_keep_lock);
	pdev = pci_incoming_get(dev);
	if (!pdev)
		pci_incoming_end(dev, NULL);
	return pdev;
}

/* The driver that it may have must not be about to enable it, or to go. */
static void pci_incoming_finish(struct pci_incoming_dev *dev)
{
	struct pci_dev *pdev = pci_incoming_get_or_end(dev);

	if (!pdev)
		return;

	device_lock(&pdev->dev);
	scoped_guard(mutex, &pci_keep_lock)
		pci_incoming_end(dev, pdev);
	if (pci_dev_is_stopped(pdev))
		pci_incoming_reset(pdev);
	device_unlock(&pdev->dev);
	pci_dev_put(pdev);
}

static struct pci_incoming_dev *pci_incoming_device(u32 segment, u16 bdf)
{
	struct pci_incoming_dev *dev;

	guard(mutex)(&pci_keep_lock);
	dev = pci_incoming ? pci_incoming_find(pci_incoming, segment, bdf) : NULL;
	return dev && !pci_kept_is_bridge(&dev->rec) ? dev : NULL;
}

/**
 * pci_liveupdate_finish - End the work of a device that nobody took over.
 * @segment: Segment of the device.
 * @bdf:     Its bus, device and function, see PCI_DEVID().
 *
 * Its bus master goes off, and it is reset. If this returns 0, the memory that it
 * had may be freed; after any error, which the log tells of, it may still be
 * written to, now or as soon as a driver has the device.
 *
 * Context: finish of a file that was not retrieved. May sleep, and takes the lock of
 * the device.
 * Return: 0; -ENOTTY if it can't be, or was not, reset; -ENODEV if it was not found;
 * -EBUSY if it was retrieved, for another file; -ENOENT if no such device came in, so
 * that what the caller knows is damaged.
 */
int pci_liveupdate_finish(u32 segment, u16 bdf)
{
	struct pci_incoming_dev *dev = pci_incoming_device(segment, bdf);
	int err = -ENOENT;

	if (dev) {
		pci_incoming_finish(dev);
		err = pci_incoming_verdict(dev);
	}
	if (err)
		pci_kept_warn(segment, bdf, pci_why_reserved(err));
	return err;
}
EXPORT_SYMBOL_GPL(pci_liveupdate_finish);

/* ---- FLB ---- */

static int pci_keep_preserve(struct liveupdate_flb_op_args *args)
{
	struct pci_kept_ser *ser = kho_alloc_preserve(PCI_KEPT_SIZE);

	if (IS_ERR(ser))
		return PTR_ERR(ser);

	ser->magic = PCI_KEPT_MAGIC;
	args->obj = ser;
	args->data = virt_to_phys(ser);
	guard(mutex)(&pci_keep_lock);
	pci_kept = ser;
	return 0;
}

static void pci_keep_unpreserve(struct liveupdate_flb_op_args *args)
{
	scoped_guard(mutex, &pci_keep_lock) {
		WARN_ON_ONCE(pci_kept->count);
		pci_kept = NULL;
	}
	kho_unpreserve_free(args->obj);
}

/* A damaged record may name a block of somebody else. */
static struct pci_kept_ser *pci_kept_peek(u64 data)
{
	struct pci_kept_ser *ser = kho_peek(data, PCI_KEPT_SIZE);

	return pci_kept_valid(ser) ? ser : NULL;
}

static int pci_keep_retrieve(struct liveupdate_flb_op_args *args)
{
	struct pci_kept_ser *ser = pci_kept_peek(args->data);
	struct pci_incoming *in;

	if (!ser)
		return -EBADMSG;

	in = pci_incoming_read(ser);
	if (!in)
		return -ENOMEM;

	kho_restore_free(ser);
	args->obj = in;
	guard(mutex)(&pci_keep_lock);
	pci_incoming = in;
	return 0;
}

/*
 * No lock of a device may be taken under that of the FLB. What is ended here is reset
 * when a driver comes, and its memory stays reserved, as nobody has come to free it.
 */
static void pci_keep_finish(struct liveupdate_flb_op_args *args)
{
	struct pci_incoming *in = args->obj;
	struct pci_dev *pdev;
	unsigned int i;

	if (!in) {
		kho_restore_free(pci_kept_peek(args->data));
		return;
	}
	scoped_guard(mutex, &pci_keep_lock) {
		for (i = 0; i < in->count; i++) {
			if (pci_kept_is_bridge(&in->devs[i].rec))
				continue;
			pdev = pci_incoming_get(&in->devs[i]);
			pci_incoming_end(&in->devs[i], pdev);
			pci_dev_put(pdev);
		}
		pci_incoming = NULL;
	}
	kvfree(in);
}

static int pci_incoming_keep(struct pci_incoming_dev *dev)
{
	struct pci_dev *pdev;
	int err = 0;

	if (dev->state != PCI_FOUND || pci_kept_is_bridge(&dev->rec))
		return 0;

	pdev = pci_incoming_get(dev);
	if (pdev && !pci_kept_has_room(pdev)) {
		err = -ENOSPC;
	} else if (pdev) {
		pci_keep(pdev, dev->rec.driver);
		dev->carried = true;
	}
	pci_dev_put(pdev);
	return err;
}

static void pci_incoming_unkeep(struct pci_incoming_dev *dev)
{
	struct pci_dev *pdev;

	if (!dev->carried)
		return;

	dev->carried = false;
	pdev = pci_incoming_get(dev);
	if (pdev && pci_dev_is_kept(pdev))
		pci_unkeep(pdev);
	pci_dev_put(pdev);
}

static void pci_keep_uncarry(struct liveupdate_flb_op_args *args)
{
	struct pci_incoming *in = args->incoming;
	unsigned int i;

	guard(mutex)(&pci_keep_lock);
	for (i = 0; i < in->count; i++)
		pci_incoming_unkeep(&in->devs[i]);
}

/* Who retrieved a device has kept it once more by then. */
static int pci_keep_carry(struct liveupdate_flb_op_args *args)
{
	struct pci_incoming *in = args->incoming;
	unsigned int i;
	int err = 0;

	scoped_guard(mutex, &pci_keep_lock) {
		for (i = 0; i < in->count && !err; i++)
			err = pci_incoming_keep(&in->devs[i]);
	}
	if (err)
		pci_keep_uncarry(args);
	return err;
}

static const struct liveupdate_flb_ops pci_keep_ops = {
	.preserve	= pci_keep_preserve,
	.unpreserve	= pci_keep_unpreserve,
	.retrieve	= pci_keep_retrieve,
	.finish		= pci_keep_finish,
	.carry		= pci_keep_carry,
	.uncarry	= pci_keep_uncarry,
};

static struct liveupdate_flb pci_keep_flb = {
	.ops		= &pci_keep_ops,
	.compatible	= PCI_KEPT_FORMAT,
};

/**
 * pci_liveupdate_register - Let files of a handler have devices kept.
 * @fh: Registered handler; each of its files may be a device.
 *
 * Return: 0 or an errno of liveupdate_register_flb().
 */
int pci_liveupdate_register(struct liveupdate_file_handler *fh)
{
	return liveupdate_register_flb(fh, &pci_keep_flb);
}
EXPORT_SYMBOL_GPL(pci_liveupdate_register);

/**
 * pci_liveupdate_unregister - Undo pci_liveupdate_register().
 * @fh: Handler; liveupdate_unregister_file_handler() does the same.
 */
void pci_liveupdate_unregister(struct liveupdate_file_handler *fh)
{
	liveupdate_unregister_flb(fh, &pci_keep_flb);
}
EXPORT_SYMBOL_GPL(pci_liveupdate_unregister);

/* There is a handover that this kernel does not read, or could not. */
static bool __init pci_handover_is_unread(void)
{
	phys_addr_t phys;

	return is_kho_boot() || kho_retrieve_subtree(LUO_BLOB_NAME, &phys, NULL) == -EINVAL;
}

/* Before the first bus is scanned, which is done by subsys_initcall(). */
static int __init pci_liveupdate_init(void)
{
	void *in;
	int err = liveupdate_flb_get_incoming(&pci_keep_flb, &in);

	if (!err)
		liveupdate_flb_put_incoming(&pci_keep_flb);
	pci_stops_unknown = err == -EOPNOTSUPP ? pci_handover_is_unread() : err != -ENOENT;
	return 0;
}
arch_initcall_sync(pci_liveupdate_init);
