// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that can be handed over.
 *
 * The next kernel is told of the memory that this one was booted with. Memory
 * that was added since it finds long after it has read the map of preserved
 * memory, or never.
 */

#include <linux/export.h>
#include <linux/gfp.h>
#include <linux/kho/place.h>
#include <linux/mm.h>
#include <linux/mmzone.h>

/**
 * kho_was_there_at_boot - say if the next kernel is told of a page
 * @pfn: a page that there is
 *
 * Context: Any.
 * Return: false if the page was added while this kernel ran. The same is true
 * of its section.
 */
bool kho_was_there_at_boot(unsigned long pfn)
{
#ifdef CONFIG_MEMORY_HOTPLUG
	return early_section(__pfn_to_section(pfn));
#else
	return true;
#endif
}

/**
 * kho_has_zone_movable - say if there is memory that is for movable pages only
 *
 * Context: Any.
 * Return: true if a node has it.
 */
bool kho_has_zone_movable(void)
{
	int nid;

	for_each_online_node(nid) {
		if (populated_zone(&NODE_DATA(nid)->node_zones[ZONE_MOVABLE]))
			return true;
	}
	return false;
}

/**
 * kho_spare_scratch - keep out of scratch areas, where that costs no memory
 * @gfp: how to allocate what may be preserved later
 *
 * Scratch areas are CMA, which is for movable pages only, as is ZONE_MOVABLE,
 * which may be the larger part of a machine. What lies in either has to be moved
 * before it is preserved.
 *
 * Context: Any.
 * Return: @gfp, without __GFP_MOVABLE if there is no ZONE_MOVABLE.
 */
gfp_t kho_spare_scratch(gfp_t gfp)
{
	return kho_has_zone_movable() ? gfp : gfp & ~__GFP_MOVABLE;
}

/**
 * kho_folio_alloc - allocate memory that can be preserved
 * @gfp: GFP_KERNEL, with or without __GFP_ACCOUNT and __GFP_ZERO
 * @order: log2 of its size in pages
 *
 * Nobody is killed for it.
 *
 * Context: May sleep.
 * Return: a folio that is neither in a scratch area nor was added after boot,
 * or NULL.
 */
struct folio *kho_folio_alloc(gfp_t gfp, unsigned int order)
{
	struct folio *folio;

	gfp |= __GFP_RETRY_MAYFAIL | __GFP_NOWARN;
	folio = folio_alloc(gfp, order);
	if (!folio || kho_was_there_at_boot(folio_pfn(folio)))
		return folio;

	/* What is added is above 4 GiB. */
	folio_put(folio);
	folio = folio_alloc(gfp | __GFP_DMA32, order);
	if (!folio || kho_was_there_at_boot(folio_pfn(folio)))
		return folio;

	folio_put(folio);
	return NULL;
}
EXPORT_SYMBOL_GPL(kho_folio_alloc);
