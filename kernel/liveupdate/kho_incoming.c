// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading the preserved-memory map of the previous kernel at boot.
 *
 * The map is not trusted: whatever it says, only memory that nobody else has
 * becomes restorable, and the work is bounded by the size of RAM.
 *
 * Which nodes of it make sense is found out in kho_incoming_nodes.c, which of
 * their blocks in kho_incoming_blocks.c; what is preserved is reserved in
 * kho_incoming_reserve.c.
 *
 * Glossary:
 * - taken: memory that cannot have been preserved, because it is no RAM, is
 *   scratch, or is used by this kernel already. An entry that claims such
 *   memory is dropped.
 * - doubtful: a block that overlaps another block or a node of the map, or that
 *   stands in a node with several parents. It is reserved, so that nobody gets
 *   it, but it cannot be restored.
 * - run: neighbouring blocks of one order.
 * - gap: free memory between two runs. Small ones are withheld until the system
 *   is up: see kho_gaps.c.
 *
 * Dropped and doubtful entries are cleared, so the map can go on as this
 * kernel's own.
 */

#define pr_fmt(fmt) "KHO: " fmt

#include <linux/bitmap.h>
#include <linux/io.h>
#include <linux/kho/lazy_pages.h>
#include <linux/memblock.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/pageblock-flags.h>
#include <linux/pfn.h>
#include <linux/printk.h>
#include <linux/sizes.h>

#include "../kexec_handover_internal.h"
#include "kho_gaps.h"
#include "kho_incoming.h"
#include "kho_radix.h"
#include "kho_reader.h"

/* Too big for the stack, and used but once. */
static struct kho_reader kho_reader __initdata;

static bool __init kho_mark_leaf(const struct kho_radix_node *node, void *arg)
{
	const unsigned long *leaf = phys_to_virt(node->pa);
	unsigned long bit = 0, next, step = 1;
	unsigned int order;

	if (node->level)
		return true;

	order = kho_radix_key_order(node->key);
	if (order < pageblock_order)
		step = pageblock_nr_pages >> order;

	/* From pageblock to pageblock, as most are lazy. */
	while ((bit = find_next_bit(leaf, KHO_RADIX_LEAF_BITS, bit)) <
	       KHO_RADIX_LEAF_BITS) {
		next = round_down(bit, step) + step;
		if (kho_block_is_lazy(kho_radix_key_pfn(node->key + bit))) {
			bit = next;
			continue;
		}
		for_each_set_bit_from(bit, leaf, next)
			kho_mark_block(pfn_to_page(kho_radix_key_pfn(node->key + bit)),
				       order);
	}

	return false;
}

static void __init kho_report_damage(struct kho_reader *r)
{
	if (r->nr_bad_nodes || r->nr_dropped || r->nr_doubtful)
		pr_warn("the preserved-memory map is damaged: %lu bad nodes, %lu blocks of foreign memory, %lu doubtful blocks\n",
			r->nr_bad_nodes, r->nr_dropped, r->nr_doubtful);
}

static void __init kho_report_ranges(struct kho_reader *r)
{
	pr_debug("%lu blocks in %lu ranges, %lu at first, %lu nodes, %lu pages withheld in %lu gaps\n",
		 r->nr_blocks, r->nr_ranges, r->nr_coarse, r->nr_nodes,
		 r->nr_withheld, r->nr_gaps);

	if (r->gap)
		pr_warn("short of memory, gaps of up to %pa bytes are reserved with what is preserved\n",
			&r->gap);
}

static void __init kho_reader_free(struct kho_reader *r)
{
	if (r->taken)
		memblock_free(r->taken, r->max_taken * sizeof(*r->taken));
	if (r->ranges)
		memblock_free(r->ranges, r->max_ranges * sizeof(*r->ranges));
	if (r->gaps)
		memblock_free(r->gaps, r->max_gaps * sizeof(*r->gaps));
	kho_free_coarse(r);
}

/**
 * kho_early_size - what a kernel allocates before it has read the map
 *
 * Besides the arrays of the reader, which does with less if need be, that is
 * page tables, ACPI tables, the log and the like.
 *
 * Return: size in bytes of the scratch memory that is needed for it.
 */
u64 kho_early_size(void)
{
	return SZ_8M + PFN_PHYS(get_num_physpages()) / 2048;
}

/**
 * kho_image_room - how much can be loaded for the next kernel
 *
 * Return: bytes that there are for an image, unpacked, and its initrd together.
 */
u64 kho_image_room(void)
{
	u64 size = 0, early = kho_early_size();
	unsigned int i;

	for (i = 0; i < kho_scratch_cnt; i++)
		size = max_t(u64, size, kho_scratch[i].size);

	return size > early ? size - early : 0;
}

/**
 * kho_incoming_read - make the previous kernel's map this one's own
 * @tree: set to the map
 * @root_pa: its root
 * @early: struct pages are not set up yet
 *
 * Removes entries that make no sense, and reserves what is preserved and some
 * of what lies between.
 *
 * Context: While memblock allocates from scratch areas only. Others may be
 * allowed from then on.
 * Return: 0, -EINVAL if there is no map at @root_pa, or -ENOMEM.
 */
int __init kho_incoming_read(struct kho_radix *tree, u64 root_pa, bool early)
{
	struct kho_reader *r = &kho_reader;
	int err;

	if (!kho_node_is_sane(root_pa))
		return -EINVAL;

	tree->root = phys_to_virt(root_pa);
	r->tree = tree;

	err = kho_collect_nodes(r, root_pa);
	if (!err)
		err = kho_collect_taken(r);
	if (!err)
		err = kho_alloc_ranges(r);
	if (!err) {
		kho_merge_sources(r);
		kho_report_damage(r);
		err = kho_reserve_coarse(r);
	}
	if (!err && early)
		kho_add_lazy(r);
	kho_nodes_free(r);
	if (err) {
		tree->root = NULL;
		kho_reader_free(r);
	}
	return err;
}

/**
 * kho_incoming_pages - tell how much memory is preserved
 *
 * Context: After kho_incoming_read(), before kho_incoming_settle().
 * Return: the number of pages, with those of the map itself.
 */
unsigned long __init kho_incoming_pages(void)
{
	const struct kho_reader *r = &kho_reader;
	unsigned long i, pages = 0;

	for (i = 0; i < r->nr_ranges; i++)
		pages += PHYS_PFN(r->ranges[i].end - r->ranges[i].start);

	return pages;
}

/**
 * kho_incoming_settle - reserve exactly what is preserved, and mark the blocks
 *
 * Makes the blocks restorable, and leaves the rest to the page allocator.
 *
 * Context: After kho_incoming_read(), when struct pages are set up, as long as
 * memblock is in use.
 */
void __init kho_incoming_settle(void)
{
	struct kho_reader *r = &kho_reader;

	kho_reserve_ranges(r);
	kho_report_ranges(r);
	if (IS_ENABLED(CONFIG_DEFERRED_STRUCT_PAGE_INIT))
		kho_init_deferred(r);
	kho_radix_walk(r->tree, kho_mark_leaf, NULL);
	if (r->nr_gaps) {
		kho_gaps_keep(r->gaps, r->nr_gaps, r->max_gaps);
		r->gaps = NULL;
	}
	kho_reader_free(r);
}

/**
 * kho_incoming_adopt - kho_incoming_read() and kho_incoming_settle()
 * @tree: set to the map
 * @root_pa: its root
 *
 * Context: While memblock allocates from scratch areas only, when struct pages
 * are set up.
 * Return: as kho_incoming_read().
 */
int __init kho_incoming_adopt(struct kho_radix *tree, u64 root_pa)
{
	int err = kho_incoming_read(tree, root_pa, false);

	if (!err)
		kho_incoming_settle();
	return err;
}
