// SPDX-License-Identifier: GPL-2.0-only
/*
 * Records of PCI devices that go on with their work over a live update.
 *
 * What the previous kernel says of a device is one thing, what is found in its
 * configuration space another: here is what can be judged without looking there.
 */

#define pr_fmt(fmt) "PCI: live update: " fmt

#include <linux/bsearch.h>
#include <linux/limits.h>
#include <linux/pci.h>
#include <linux/printk.h>
#include <linux/ratelimit.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string.h>

#include "liveupdate.h"

/**
 * pci_kept_warn - Warn of a device that need not be there.
 * @segment: Segment of the device.
 * @bdf:     Its bus, device and function.
 * @what:    What is wrong.
 *
 * As what the previous kernel says may be nonsense, of many only some are told.
 */
void pci_kept_warn(u32 segment, u16 bdf, const char *what)
{
	pr_warn_ratelimited("%04x:%02x:%02x.%d: %s\n", segment, PCI_BUS_NUM(bdf),
			    PCI_SLOT(bdf), PCI_FUNC(bdf), what);
}

/* ---- what goes out ---- */

/**
 * pci_kept_find - Look a device up by its place.
 * @ser:     Records.
 * @segment: Its segment.
 * @bdf:     Its bus, device and function.
 *
 * Return: its record or NULL.
 */
struct pci_kept_dev_ser *pci_kept_find(struct pci_kept_ser *ser, u32 segment, u16 bdf)
{
	struct pci_kept_dev_ser *rec;

	for (rec = ser->devs; rec < ser->devs + ser->count; rec++) {
		if (rec->segment == segment && rec->bdf == bdf)
			return rec;
	}
	return NULL;
}

/**
 * pci_kept_add - Add a device, or another user of a bridge.
 * @ser: Records; there is room.
 * @rec: The device; users does not matter.
 */
void pci_kept_add(struct pci_kept_ser *ser, const struct pci_kept_dev_ser *rec)
{
	struct pci_kept_dev_ser *known = pci_kept_find(ser, rec->segment, rec->bdf);

	if (known) {
		known->users++;
		return;
	}
	known = &ser->devs[ser->count++];
	*known = *rec;
	known->users = 1;
}

/**
 * pci_kept_remove - Undo pci_kept_add().
 * @ser:     Records.
 * @segment: Segment of the device.
 * @bdf:     Its bus, device and function.
 *
 * Return: true if it has no record any more.
 */
bool pci_kept_remove(struct pci_kept_ser *ser, u32 segment, u16 bdf)
{
	struct pci_kept_dev_ser *rec = pci_kept_find(ser, segment, bdf);
	struct pci_kept_dev_ser *last;

	if (WARN_ON_ONCE(!rec))
		return true;
	if (--rec->users)
		return false;

	last = &ser->devs[--ser->count];
	*rec = *last;
	memset(last, 0, sizeof(*last));
	return true;
}

/* ---- what came in ---- */

/**
 * pci_kept_valid - Say if a block can be read.
 * @ser: Block of PCI_KEPT_SIZE, or NULL.
 *
 * Return: true if it is one of ours; each record may still be damaged. There is none
 * where all devices were pulled out, or given up.
 */
bool pci_kept_valid(const struct pci_kept_ser *ser)
{
	return ser && ser->magic == PCI_KEPT_MAGIC && !ser->reserved &&
	       ser->count <= PCI_KEPT_MAX;
}

static bool pci_kept_bridge_valid(const struct pci_kept_dev_ser *rec)
{
	return rec->secondary > PCI_BUS_NUM(rec->bdf) &&
	       rec->subordinate >= rec->secondary && rec->users &&
	       !memchr_inv(rec->driver, 0, sizeof(rec->driver));
}

static bool pci_kept_device_valid(const struct pci_kept_dev_ser *rec)
{
	size_t len = strnlen(rec->driver, sizeof(rec->driver));

	return !rec->secondary && !rec->subordinate && rec->users == 1 && len &&
	       len < sizeof(rec->driver);
}

static bool pci_kept_dev_valid(const struct pci_kept_dev_ser *rec)
{
	if (rec->segment > INT_MAX || rec->reserved || rec->flags & ~PCI_KEPT_FLAGS ||
	    rec->vendor == 0xffff)
		return false;

	return pci_kept_is_bridge(rec) ? pci_kept_bridge_valid(rec) :
					 pci_kept_device_valid(rec);
}

/**
 * pci_kept_is_behind - Say where a device is.
 * @rec:    Device.
 * @bridge: Bridge.
 *
 * Return: true if the way to @rec leads over @bridge.
 */
bool pci_kept_is_behind(const struct pci_kept_dev_ser *rec,
			const struct pci_kept_dev_ser *bridge)
{
	u8 bus = PCI_BUS_NUM(rec->bdf);

	return pci_kept_is_bridge(bridge) && rec->segment == bridge->segment &&
	       bus >= bridge->secondary && bus <= bridge->subordinate;
}

static int pci_incoming_compare(const void *a, const void *b)
{
	const struct pci_kept_dev_ser *one = &((const struct pci_incoming_dev *)a)->rec;
	const struct pci_kept_dev_ser *other = &((const struct pci_incoming_dev *)b)->rec;

	if (one->segment != other->segment)
		return one->segment < other->segment ? -1 : 1;
	return (int)one->bdf - (int)other->bdf;
}

static void pci_incoming_condemn(struct pci_incoming *in,
				 const struct pci_kept_dev_ser *rec)
{
	pci_kept_warn(rec->segment, rec->bdf, "its record is damaged");
	in->damaged++;
}

/* Which of two records of a place is right can't be known. */
static void pci_incoming_drop_twins(struct pci_incoming *in)
{
	unsigned int i, n = 0, first;

	for (i = 0; i < in->count; i++) {
		first = i;
		while (i + 1 < in->count &&
		       !pci_incoming_compare(&in->devs[first], &in->devs[i + 1]))
			pci_incoming_condemn(in, &in->devs[++i].rec);
		if (i == first)
			in->devs[n++] = in->devs[i];
	}
	in->count = n;
}

/*
 * Where one is missing, nothing is known of what it is about. A bridge of which no
 * user is left is one like any other.
 */
static void pci_incoming_count_users(struct pci_incoming *in)
{
	struct pci_incoming_dev *bridge, *dev, *end = in->devs + in->count;

	for (bridge = in->devs; bridge < end; bridge++) {
		for (dev = in->devs; dev < end; dev++)
			bridge->users += !pci_kept_is_bridge(&dev->rec) &&
					 pci_kept_is_behind(&dev->rec, &bridge->rec);
		if (pci_kept_is_bridge(&bridge->rec) && bridge->users != bridge->rec.users)
			pci_incoming_condemn(in, &bridge->rec);
		if (pci_kept_is_bridge(&bridge->rec) && !bridge->users)
			bridge->state = PCI_RELEASED;
	}
}

/**
 * pci_incoming_read - Read what came in.
 * @ser: A valid block.
 *
 * Return: what makes sense, to be freed by kvfree(), or NULL without memory.
 */
struct pci_incoming *pci_incoming_read(const struct pci_kept_ser *ser)
{
	struct pci_incoming *in = kvzalloc(struct_size(in, devs, ser->count), GFP_KERNEL);
	unsigned int i;

	if (!in)
		return NULL;

	for (i = 0; i < ser->count; i++) {
		if (pci_kept_dev_valid(&ser->devs[i]))
			in->devs[in->count++].rec = ser->devs[i];
		else
			pci_incoming_condemn(in, &ser->devs[i]);
	}
	sort(in->devs, in->count, sizeof(in->devs[0]), pci_incoming_compare, NULL);
	pci_incoming_drop_twins(in);
	pci_incoming_count_users(in);
	return in;
}

/**
 * pci_incoming_find - Look up what came in.
 * @in:      All of it.
 * @segment: Segment of the device.
 * @bdf:     Its bus, device and function.
 *
 * Return: the device or NULL.
 */
struct pci_incoming_dev *pci_incoming_find(struct pci_incoming *in, u32 segment, u16 bdf)
{
	const struct pci_incoming_dev key = { .rec = { .segment = segment, .bdf = bdf } };

	return bsearch(&key, in->devs, in->count, sizeof(key), pci_incoming_compare);
}

/**
 * pci_incoming_verdict - Say if the memory of a device may be freed.
 * @dev: Device whose file is finished.
 *
 * Return: 0; or, as it may be written to, -ENODEV if it was not found, -ENOTTY if it
 * was stopped and not reset, -EBUSY if its driver has it.
 */
int pci_incoming_verdict(const struct pci_incoming_dev *dev)
{
	switch (dev->state) {
	case PCI_RELEASED:
		return 0;
	case PCI_TAKEN:
		return -EBUSY;
	case PCI_STOPPED:
		return -ENOTTY;
	default:
		return -ENODEV;
	}
}

/**
 * pci_why_reserved - Say why the memory of a device is not freed.
 * @err: From pci_incoming_verdict(), or -ENOENT for a device without a record.
 *
 * Return: text for pci_kept_warn().
 */
const char *pci_why_reserved(int err)
{
	switch (err) {
	case -ENODEV:
		return "was not found: what it may write to stays reserved";
	case -ENOTTY:
		return "stopped, but not reset: what it may write to stays reserved";
	case -EBUSY:
		return "is in use: what it may write to stays reserved";
	default:
		return "nothing is known of it: what it may write to stays reserved";
	}
}
