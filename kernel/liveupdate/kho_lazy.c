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
#include <linux/export.h>
#include <linux/kho/lazy_pages.h>
#include <linux/memblock.h>
#include <linux/mm.h>
#include <linux/pageblock-flags.h>
#include <linux/pfn.h>
#include <linux/preempt.h>

#include "../../mm/internal.h"
#include "../kexec_handover_internal.h"
#include "kho_lazy.h"
#include "kho_radix.h"

static struct kho_lazy kho_lazy = {
	.lock = __RAW_SPIN_LOCK_UNLOCKED(kho_lazy.lock),
};

DEFINE_STATIC_KEY_FALSE(kho_lazy_pages);
EXPORT_SYMBOL_GPL(kho_lazy_pages);

bool __kho_block_is_lazy(unsigned long pfn)
{
	return kho_lazy_test(&kho_lazy, pfn);
}
EXPORT_SYMBOL_GPL(__kho_block_is_lazy);

/*
 * Mark the blocks of @order that begin in the pageblock at @pfn. All of them
 * came from the previous kernel, as nobody had a page of it yet.
 */
static void kho_lazy_mark(const struct kho_radix *tree, unsigned long pfn,
			  unsigned int order)
{
	const u64 key = kho_radix_key(pfn, order);
	const unsigned long *leaf = kho_radix_leaf(tree, key);
	const unsigned long nr = order < pageblock_order ? pageblock_nr_pages >> order : 1;
	unsigned long done, step, set, bit;

	for (done = 0; leaf && done < nr; done += step) {
		step = min(nr - done, BITS_PER_LONG);
		set = bitmap_read(leaf, (key & (KHO_RADIX_LEAF_BITS - 1)) + done, step);
		for_each_set_bit(bit, &set, BITS_PER_LONG)
			kho_mark_block(pfn_to_page(pfn + ((done + bit) << order)), order);
	}
}

static void kho_lazy_set_up(const struct kho_radix *tree, unsigned long pfn)
{
	struct page *page = pfn_to_page(pfn);
	unsigned int order;

	__init_pages(page, pfn, pageblock_nr_pages, page_zonenum(page), page_to_nid(page));
	for (order = 0; order <= KHO_RADIX_MAX_ORDER; order++)
		if (IS_ALIGNED(pfn, 1UL << order) || order < pageblock_order)
			kho_lazy_mark(tree, pfn, order);
}

/**
 * kho_lazy_touch - make sure that a struct page is set up
 * @lazy: the lazy pageblocks
 * @pfn: a page that there is
 *
 * Context: Any. In an NMI the pageblock may stay lazy, if it or another one is
 * just being set up.
 */
void kho_lazy_touch(struct kho_lazy *lazy, unsigned long pfn)
{
	unsigned long block = pfn >> pageblock_order;
	unsigned long flags;

	if (!kho_lazy_test(lazy, pfn))
		return;
	/*
	 * A machine check is an NMI on x86, and may have interrupted who holds the
	 * lock, here or on a CPU that waits for this one.
	 */
	if (!in_nmi())
		raw_spin_lock_irqsave(&lazy->lock, flags);
	else if (!raw_spin_trylock_irqsave(&lazy->lock, flags))
		return;

	if (test_bit(block, lazy->blocks)) {
		kho_lazy_set_up(lazy->tree, pageblock_start_pfn(pfn));
		clear_bit_unlock(block, lazy->blocks);
		WRITE_ONCE(lazy->left, lazy->left - 1);
	}
	raw_spin_unlock_irqrestore(&lazy->lock, flags);
}

void __kho_touch_page(unsigned long pfn)
{
	kho_lazy_touch(&kho_lazy, pfn);
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
 * kho_lazy_blocks - look at blocks without setting up their struct pages
 * @lazy: the lazy pageblocks
 * @phys: physical addresses of pages, best in ascending order
 * @nr: their number
 * @order: the order that blocks have to have
 *
 * Nobody has taken a page of a lazy pageblock, so all that the map has there waits.
 *
 * Context: Any.
 * Return: how many of them, from the first on, begin in a lazy pageblock and wait to
 * be restored.
 */
unsigned int kho_lazy_blocks(const struct kho_lazy *lazy, const phys_addr_t *phys,
			     unsigned int nr, unsigned int order)
{
	const unsigned long unaligned = (1UL << order) - 1;
	const struct kho_radix *tree = lazy->tree;
	struct kho_radix_finger finger = {};
	unsigned int i;

	for (i = 0; i < nr; i++) {
		unsigned long pfn = PHYS_PFN(phys[i]);

		if (pfn & unaligned || !kho_lazy_test(lazy, pfn) ||
		    !kho_radix_test_near(tree, &finger, pfn, order))
			break;
	}
	return i;
}

unsigned int kho_count_lazy_blocks(const phys_addr_t *phys, unsigned int nr,
				   unsigned int order)
{
	if (!static_branch_unlikely(&kho_lazy_pages))
		return 0;

	return kho_lazy_blocks(&kho_lazy, phys, nr, order);
}

/**
 * kho_lazy_left - count pageblocks whose struct pages are not set up
 *
 * Return: the number of lazy pageblocks.
 */
unsigned long kho_lazy_left(void)
{
	return READ_ONCE(kho_lazy.left);
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

	kho_lazy.blocks = memblock_alloc(BITS_TO_LONGS(bits) * sizeof(long),
					 SMP_CACHE_BYTES);
	if (!kho_lazy.blocks)
		return;

	kho_lazy.nr_blocks = bits;
	kho_lazy.tree = tree;
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
		if (pfn >> pageblock_order >= kho_lazy.nr_blocks ||
		    early_pfn_to_nid(pfn) != early_pfn_to_nid(pageblock_end_pfn(pfn) - 1))
			continue;
		__set_bit(pfn >> pageblock_order, kho_lazy.blocks);
		kho_lazy.left++;
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
			__clear_bit(pfn >> pageblock_order, kho_lazy.blocks);
			kho_lazy.left--;
		}
}

/** kho_lazy_start - heed the lazy pageblocks from now on */
void __init kho_lazy_start(void)
{
	if (kho_lazy.left)
		static_branch_enable(&kho_lazy_pages);
}
