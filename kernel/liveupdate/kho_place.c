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
#include <linux/list.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/pfn.h>
#include <linux/sched/signal.h>

#include <kunit/static_stub.h>

#include "../kexec_handover_internal.h"

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
	KUNIT_STATIC_STUB_REDIRECT(kho_was_there_at_boot, pfn);

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

	KUNIT_STATIC_STUB_REDIRECT(kho_has_zone_movable);

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

static bool kho_folio_fits(struct folio *folio)
{
	unsigned long pfn = folio_pfn(folio);

	return kho_was_there_at_boot(pfn) &&
	       !kho_scratch_overlap(PFN_PHYS(pfn), folio_size(folio));
}

/* What is free, and not needed by those who can't wait for more. */
static struct folio *kho_folio_alloc_free(gfp_t gfp, unsigned int order)
{
	struct folio *folio = folio_alloc((gfp & ~__GFP_RECLAIM) | __GFP_NORETRY |
					  __GFP_NOMEMALLOC, order);
	struct zone *zone;

	if (!folio)
		return NULL;

	zone = folio_zone(folio);
	if (zone_watermark_ok(zone, 0, low_wmark_pages(zone), 0, 0))
		return folio;

	folio_put(folio);
	return NULL;
}

static bool kho_keep_unfit(struct folio *folio, struct list_head *unfit)
{
	if (!folio || kho_folio_fits(folio))
		return false;

	list_add(&folio->lru, unfit);
	return true;
}

/* There is nothing else in the zone. */
static bool kho_search_is_futile(struct folio *folio)
{
	/* What is added is above all else. */
	return !kho_was_there_at_boot(folio_zone(folio)->zone_start_pfn);
}

/*
 * The page allocator gives what it got back last, so what does not fit is kept
 * meanwhile: small pieces as they come, and with each a large one, of which so
 * none is split.
 */
static struct folio *kho_folio_search(gfp_t gfp, unsigned int order,
				      struct list_head *unfit)
{
	struct folio *folio, *large;
	bool split = false;

	for (;;) {
		folio = kho_folio_alloc_free(gfp, order);
		if (!kho_keep_unfit(folio, unfit))
			return folio;
		if (kho_search_is_futile(folio) || fatal_signal_pending(current))
			return NULL;

		cond_resched();
		if (split)
			continue;
		large = kho_folio_alloc_free(gfp & ~__GFP_ZERO, MAX_PAGE_ORDER);
		split = !kho_keep_unfit(large, unfit);
		if (large && split)
			folio_put(large);
	}
}

/* What is added is above 4 GiB. */
static struct folio *kho_folio_alloc_low(gfp_t gfp, unsigned int order)
{
	struct folio *folio = folio_alloc(gfp | __GFP_RETRY_MAYFAIL | __GFP_DMA32,
					  order);

	if (!folio || kho_folio_fits(folio))
		return folio;

	folio_put(folio);
	return NULL;
}

/**
 * kho_folio_alloc_keeping - allocate many pieces of memory to be preserved
 * @gfp: GFP_USER
 * @order: log2 of its size in pages
 * @unfit: list of what did not fit, empty at first; shared by the calls, as it
 * spares the next one the search
 *
 * Until kho_put_unfit() all free memory that does not fit may be on the list, but
 * what the watermarks keep, so that is to be called soon.
 *
 * Context: May sleep.
 * Return: as kho_folio_alloc().
 */
struct folio *kho_folio_alloc_keeping(gfp_t gfp, unsigned int order,
				      struct list_head *unfit)
{
	struct folio *folio;

	gfp |= __GFP_NOWARN;
	folio = folio_alloc(gfp | __GFP_RETRY_MAYFAIL, order);
	if (!folio || kho_folio_fits(folio))
		return folio;

	folio_put(folio);
	return kho_folio_search(gfp, order, unfit) ?: kho_folio_alloc_low(gfp, order);
}

/**
 * kho_put_unfit - free what kho_folio_alloc_keeping() kept
 * @unfit: the list, empty afterwards
 *
 * Context: May sleep.
 */
void kho_put_unfit(struct list_head *unfit)
{
	struct folio *folio, *next;

	list_for_each_entry_safe(folio, next, unfit, lru) {
		list_del(&folio->lru);
		folio_put(folio);
		cond_resched();
	}
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
	const gfp_t plain = (gfp & ~__GFP_ACCOUNT) | __GFP_NOWARN;
	struct folio *folio;
	LIST_HEAD(unfit);

	folio = folio_alloc(gfp | __GFP_NOWARN | __GFP_RETRY_MAYFAIL, order);
	if (!folio || kho_folio_fits(folio))
		return folio;

	folio_put(folio);
	/* A single one is not worth the search, as long as there is low memory. */
	folio = kho_folio_alloc_low(plain, order) ?:
		kho_folio_search(plain, order, &unfit);
	kho_put_unfit(&unfit);
	if (folio && gfp & __GFP_ACCOUNT &&
	    memcg_kmem_charge_page(&folio->page, gfp, order)) {
		folio_put(folio);
		return NULL;
	}
	return folio;
}
EXPORT_SYMBOL_GPL(kho_folio_alloc);
