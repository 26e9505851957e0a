// SPDX-License-Identifier: GPL-2.0-only
/*
 * Struct pages of preserved memory.
 *
 * To set up the struct pages of a GiB takes 10 million instructions. Whoever
 * gets preserved memory back can do that as well, so pageblocks in which every
 * page is preserved are left out while the system boots. They are lazy until
 * somebody looks at one of their pages: pfn_to_online_page() sets them up.
 *
 * The first page of a lazy pageblock is set up and reserved, as the page
 * allocator may look at it when it frees the neighbours.
 */

#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/export.h>
#include <linux/kho/lazy_pages.h>
#include <linux/memblock.h>
#include <linux/mm.h>
#include <linux/pageblock-flags.h>
#include <linux/spinlock.h>

#include "../../mm/internal.h"
#include "../kexec_handover_internal.h"
#include "kho_lazy.h"
#include "kho_radix.h"

/* A bit for each pageblock. */
static unsigned long *kho_lazy __ro_after_init;
static unsigned long kho_lazy_bits __ro_after_init;
static const struct kho_radix *kho_lazy_tree __ro_after_init;

/* Held while a pageblock is set up. */
static DEFINE_SPINLOCK(kho_lazy_lock);
static unsigned long kho_lazy_left;

DEFINE_STATIC_KEY_FALSE(kho_lazy_pages);
EXPORT_SYMBOL_GPL(kho_lazy_pages);

bool __kho_block_is_lazy(unsigned long pfn)
{
	unsigned long block = pfn >> pageblock_order;

	return block < kho_lazy_bits && test_bit_acquire(block, kho_lazy);
}
EXPORT_SYMBOL_GPL(__kho_block_is_lazy);

/*
 * Mark the blocks of @order that begin in the pageblock at @pfn. All of them
 * came from the previous kernel, as nobody had a page of it yet.
 */
static void kho_lazy_mark(unsigned long pfn, unsigned int order)
{
	u64 key = kho_radix_key(pfn, order);
	const unsigned long *leaf = kho_radix_leaf(kho_lazy_tree, key);
	unsigned long bit = key & (KHO_RADIX_LEAF_BITS - 1), end = bit + 1;
	const u64 first = key - bit;

	if (order < pageblock_order)
		end = bit + (pageblock_nr_pages >> order);

	if (leaf)
		for_each_set_bit_from(bit, leaf, end)
			kho_mark_block(pfn_to_page(kho_radix_key_pfn(first + bit)),
				       order);
}

static void kho_lazy_set_up(unsigned long pfn)
{
	struct page *page = pfn_to_page(pfn);
	const int nid = page_to_nid(page);
	const enum zone_type zone = page_zonenum(page);
	unsigned long i;
	unsigned int order;

	for (i = 0; i < pageblock_nr_pages; i++)
		__init_single_page(page + i, pfn + i, zone, nid);

	for (order = 0; order <= KHO_RADIX_MAX_ORDER; order++)
		if (IS_ALIGNED(pfn, 1UL << order) || order < pageblock_order)
			kho_lazy_mark(pfn, order);
}

/* Context: Any. */
void __kho_touch_page(unsigned long pfn)
{
	unsigned long block = pfn >> pageblock_order;
	unsigned long flags;

	if (!__kho_block_is_lazy(pfn))
		return;

	spin_lock_irqsave(&kho_lazy_lock, flags);
	if (test_bit(block, kho_lazy)) {
		kho_lazy_set_up(pageblock_start_pfn(pfn));
		clear_bit_unlock(block, kho_lazy);
		WRITE_ONCE(kho_lazy_left, kho_lazy_left - 1);
	}
	spin_unlock_irqrestore(&kho_lazy_lock, flags);
}
EXPORT_SYMBOL_GPL(__kho_touch_page);

/**
 * kho_touch_pages - make sure that struct pages are set up
 * @pfn: the first
 * @nr_pages: their number
 *
 * Context: Any.
 */
void kho_touch_pages(unsigned long pfn, unsigned long nr_pages)
{
	const unsigned long end = pfn + nr_pages;

	for (; pfn < end; pfn = pageblock_end_pfn(pfn))
		kho_touch_page(pfn);
}

/**
 * kho_lazy_none_left - say if all struct pages are set up
 *
 * Return: true if there are no lazy pageblocks.
 */
bool kho_lazy_none_left(void)
{
	return !READ_ONCE(kho_lazy_left);
}

/**
 * kho_lazy_init - prepare for lazy pageblocks
 * @tree: the map in which their blocks are found
 *
 * Without, for want of memory, there are none.
 */
void __init kho_lazy_init(const struct kho_radix *tree)
{
	unsigned long bits = (max_pfn >> pageblock_order) + 1;

	kho_lazy = memblock_alloc(BITS_TO_LONGS(bits) * sizeof(long),
				  SMP_CACHE_BYTES);
	if (!kho_lazy)
		return;

	kho_lazy_bits = bits;
	kho_lazy_tree = tree;
}

/**
 * kho_lazy_add - do not set up struct pages at boot
 * @pfn: the first page
 * @end: the page after the last
 *
 * Context: Before struct pages are set up.
 */
void __init kho_lazy_add(unsigned long pfn, unsigned long end)
{
	pfn = pageblock_align(pfn);

	for (; pfn + pageblock_nr_pages <= end; pfn += pageblock_nr_pages) {
		if (pfn >> pageblock_order >= kho_lazy_bits ||
		    early_pfn_to_nid(pfn) != early_pfn_to_nid(pageblock_end_pfn(pfn) - 1))
			continue;
		__set_bit(pfn >> pageblock_order, kho_lazy);
		kho_lazy_left++;
	}
}

/**
 * kho_lazy_remove - undo kho_lazy_add() where it is in the way
 * @pfn: the first page
 * @end: the page after the last
 */
void __init kho_lazy_remove(unsigned long pfn, unsigned long end)
{
	for (; pfn < end; pfn = pageblock_end_pfn(pfn))
		if (__kho_block_is_lazy(pfn)) {
			__clear_bit(pfn >> pageblock_order, kho_lazy);
			kho_lazy_left--;
		}
}

/** kho_lazy_start - heed the lazy pageblocks from now on */
void __init kho_lazy_start(void)
{
	if (kho_lazy_left)
		static_branch_enable(&kho_lazy_pages);
}
