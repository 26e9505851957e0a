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
