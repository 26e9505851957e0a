// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reserving what the map of the previous kernel preserves.
 *
 * memblock allocates as soon as the map is read. Every allocation goes through
 * all reserved ranges, of which there may be as many as blocks, so until the
 * page allocator takes over coarse ranges are reserved, which spare the large
 * gaps only.
 */

#include <linux/init.h>
#include <linux/io.h>
#include <linux/kho/lazy_pages.h>
#include <linux/memblock.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/pageblock-flags.h>
#include <linux/pfn.h>

#include "../../mm/internal.h"
#include "../kexec_handover_internal.h"
#include "kho_gaps.h"
#include "kho_lazy.h"
#include "kho_radix.h"
#include "kho_reader.h"

/* How many ranges are reserved at first, if that leaves enough memory. */
#define KHO_COARSE_RANGES	256UL

/* The part of RAM that is needed before the page allocator: 1 / this. */
#define KHO_EARLY_PART		(IS_ENABLED(CONFIG_KASAN_GENERIC) ? 6 : 32)

/* Enclose all ranges in at most @max. */
static int __init kho_coarsen(struct kho_reader *r, unsigned long max)
{
	phys_addr_t gap = 0;

	max = min(max + r->nr_taken, r->nr_ranges + 1);
	r->coarse = kho_alloc_array(max, sizeof(*r->coarse));
	if (!r->coarse)
		return -ENOMEM;

	r->max_coarse = max;
	while ((r->nr_coarse = kho_join_ranges(r, r->coarse, max, gap)) > max)
		gap = kho_next_gap(gap);
	return 0;
}

void __init kho_free_coarse(struct kho_reader *r)
{
	if (r->coarse)
		memblock_free(r->coarse, r->max_coarse * sizeof(*r->coarse));
	r->coarse = NULL;
}

/* Whether the coarse ranges leave what is needed until they are refined. */
static bool __init kho_coarse_will_do(struct kho_reader *r)
{
	phys_addr_t total = memblock_phys_mem_size();
	phys_addr_t used = memblock_reserved_size();
	unsigned long i;

	for (i = 0; i < r->nr_coarse; i++)
		used += r->coarse[i].end - r->coarse[i].start;

	return used + total / KHO_EARLY_PART < total;
}

int __init kho_reserve_coarse(struct kho_reader *r)
{
	unsigned long max = KHO_COARSE_RANGES;
	int err;

	for (;; max *= 8) {
		err = kho_coarsen(r, max);
		if (err || kho_coarse_will_do(r) || r->nr_coarse >= r->nr_ranges)
			break;
		kho_free_coarse(r);
	}

	/* All the memory that there is shall do. */
	if (err)
		err = kho_coarsen(r, 0);
	if (!err)
		err = memblock_reserve_sorted(r->coarse, r->nr_coarse,
					      MEMBLOCK_RSRV_NOINIT);
	return err;
}

/*
 * Reserve what is preserved instead of the coarse ranges. Ranges that get joined
 * become the coarse ones in the end, so memory that was allocated since is in
 * none of them.
 */
void __init kho_reserve_ranges(struct kho_reader *r)
{
	while (r->nr_ranges > r->nr_coarse &&
	       memblock_refine_sorted(r->coarse, r->nr_coarse, r->ranges,
				      r->nr_ranges, MEMBLOCK_RSRV_NOINIT))
		kho_compact_ranges(r, r->nr_ranges - 1);
}

/* Struct pages */

/* All pageblocks that are preserved as a whole. */
void __init kho_add_lazy(struct kho_reader *r)
{
	unsigned long i;

	kho_lazy_init(r->tree);
	for (i = 0; i < r->nr_ranges; i++)
		kho_lazy_add(PHYS_PFN(r->ranges[i].start),
			     PHYS_PFN(r->ranges[i].end));
	for (i = 0; i < r->nr_gaps; i++)
		kho_lazy_remove(r->gaps[i].start, r->gaps[i].end);
	kho_lazy_start();
}

/* Set up those of [@pfn, @end), a pageblock, as far as it is memory. */
static void __init kho_init_pageblock(unsigned long pfn, unsigned long end)
{
	for (; pfn < end; pfn++)
		if (memblock_is_map_memory(PFN_PHYS(pfn)))
			init_deferred_page(pfn, early_pfn_to_nid(pfn));
}

/*
 * Where struct pages are set up later than this. What is preserved may be freed
 * before that, and then the page allocator looks at its neighbours: at the other
 * pages of the same pageblock, and at the first ones of others.
 */
void __init kho_init_deferred(struct kho_reader *r)
{
	unsigned long i, pfn = 0, next;

	for (i = 0; i < r->nr_ranges; i++) {
		unsigned long start = PHYS_PFN(r->ranges[i].start);
		unsigned long end = PHYS_PFN(r->ranges[i].end);

		pfn = max(pfn, round_down(start, MAX_ORDER_NR_PAGES));
		for (; pfn < round_up(end, MAX_ORDER_NR_PAGES); pfn = next) {
			bool lazy = kho_block_is_lazy(pfn);

			next = pfn + pageblock_nr_pages;
			kho_init_pageblock(pfn, lazy ? pfn + 1 : next);
			if (lazy)
				__SetPageReserved(pfn_to_page(pfn));
		}
	}
}
