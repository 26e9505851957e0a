// SPDX-License-Identifier: GPL-2.0-only
/*
 * PCI devices that go on with their work over a live update: what is asked of one
 * device, and done to it.
 */

#include <linux/device.h>
#include <linux/pci.h>

#include "liveupdate.h"

/* ---- its work ---- */

/**
 * pci_is_bus_master - Say if a device may do DMA.
 * @dev: Device or bridge.
 *
 * Return: what its configuration space says, false if it does not answer.
 */
bool pci_is_bus_master(struct pci_dev *dev)
{
	u16 command;

	pci_read_config_word(dev, PCI_COMMAND, &command);
	return !PCI_POSSIBLE_ERROR(command) && command & PCI_COMMAND_MASTER;
}

/**
 * pci_stop_dma - Have a device do no DMA any more.
 * @dev: Device or bridge.
 * @why: For the log.
 *
 * What it had begun is in memory when this returns. What it was told is still there:
 * who switches the bus master on has it go on, before pci_reset_stopped().
 */
void pci_stop_dma(struct pci_dev *dev, const char *why)
{
	if (dev->hdr_type == PCI_HEADER_TYPE_NORMAL)
		set_bit(PCI_DEV_STOPPED, &dev->priv_flags);
	if (pci_is_bus_master(dev)) {
		pci_clear_master(dev);
		if (pci_is_bus_master(dev)) {
			pci_warn(dev, "live update: %s, and the bus master can't be switched off\n",
				 why);
			return;
		}
		pci_wait_for_pending_transaction(dev);
	}
	pci_warn(dev, "live update: %s: bus master is off\n", why);
}

/**
 * pci_reset_stopped - Reset a device that was stopped in the middle of its work.
 * @dev: Device, locked.
 *
 * Other devices are not reset with it.
 *
 * Return: 0; -ENOTTY if it has no method for that; or the error of one.
 */
int pci_reset_stopped(struct pci_dev *dev)
{
	struct pci_dev *bridge = pci_upstream_bridge(dev);
	/* Not waited for: who has it may be waiting for the device. */
	bool blocked = bridge && pci_cfg_access_trylock(bridge);
	int err;

	device_lock_assert(&dev->dev);
	pci_config_pm_runtime_get(dev);
	pci_cfg_access_lock(dev);
	err = pci_reset_function_locked(dev);
	pci_cfg_access_unlock(dev);
	pci_config_pm_runtime_put(dev);
	if (blocked)
		pci_cfg_access_unlock(bridge);

	if (err)
		pci_warn(dev, "live update: can't be reset: %pe\n", ERR_PTR(err));
	else
		pci_info(dev, "live update: was reset\n");
	return err;
}

/* ---- its kind ---- */

static int pci_is_other_alias(struct pci_dev *dev, u16 alias, void *data)
{
	struct pci_dev *asked = data;

	return dev != asked || alias != pci_dev_id(asked);
}

static bool pci_has_acs_quirk(struct pci_dev *dev)
{
	return dev->dev_flags & PCI_DEV_FLAGS_ACS_ENABLED_QUIRK ||
	       pci_dev_specific_acs_enabled(dev, 0) >= 0;
}

static bool pci_path_has_acs_quirk(struct pci_dev *dev)
{
	for (; dev; dev = pci_upstream_bridge(dev)) {
		if (pci_has_acs_quirk(dev))
			return true;
	}
	return false;
}

static const char *pci_why_not_kept(struct pci_dev *dev)
{
	if (dev->hdr_type != PCI_HEADER_TYPE_NORMAL)
		return "a bridge";
	if (dev->is_virtfn || pci_num_vf(dev))
		return "virtual functions";
	/* It translates at any time after the jump, until the device is known there. */
	if (device_iommu_mapped(&dev->dev))
		return "an IOMMU";
	if (dev->ats_enabled || dev->pasid_enabled || dev->pri_enabled)
		return "ATS, PASID or PRI in use";
	if (pci_for_each_dma_alias(dev, pci_is_other_alias, dev))
		return "DMA under another name";
	if (pci_path_has_acs_quirk(dev))
		return "isolation by a quirk only";
	return NULL;
}

/**
 * pci_liveupdate_refuses - Say if a device can't be kept.
 * @dev: Device.
 *
 * Return: 0 or -EOPNOTSUPP, and the log says why.
 */
int pci_liveupdate_refuses(struct pci_dev *dev)
{
	const char *why = pci_why_not_kept(dev);

	if (!why)
		return 0;

	pci_warn(dev, "live update: refused: %s\n", why);
	return -EOPNOTSUPP;
}
