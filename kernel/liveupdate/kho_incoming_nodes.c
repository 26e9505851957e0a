// SPDX-License-Identifier: GPL-2.0-only
/*
 * The nodes of the previous kernel's map: which make sense.
 *
 * Subtrees that cannot denote RAM are cut off, so the work is bounded by its
 * size; and so are nodes that have several parents.
 */

#include <linux/bitops.h>
#include <linux/init.h>
#include <linux/io.h>
#include <linux/memblock.h>
#include <linux/minmax.h>
#include <linux/pfn.h>
#include <linux/sort.h>

#include "../kexec_handover_internal.h"
#include "kho_incoming.h"
#include "kho_radix.h"
#include "kho_reader.h"

/*
 * Bounds the walk, as the keys that denote RAM are limited. Keys that cover
 * more than one order begin at 0, and there is but one such node per level.
 */
static bool __init kho_keys_denote_ram(u64 key, unsigned int level)
{
	u64 nr_pages;

	if (!key)
		return level;

	nr_pages = kho_radix_span(level) << kho_radix_key_order(key);
	nr_pages = min(nr_pages, PHYS_PFN(PHYS_ADDR_MAX));
	return memblock_overlaps_region(&memblock.memory,
					PFN_PHYS(kho_radix_key_pfn(key)),
					PFN_PHYS(nr_pages));
}

bool __init kho_node_is_sane(u64 pa)
{
	return PAGE_ALIGNED(pa) && memblock_is_map_memory(pa) &&
	       !memblock_is_reserved(pa) && !kho_scratch_overlap(pa, PAGE_SIZE);
}

static bool __init kho_count_node(const struct kho_radix_node *node, void *arg)
{
	struct kho_reader *r = arg;

	if (!kho_node_is_sane(node->pa) ||
	    !kho_keys_denote_ram(node->key, node->level))
		return false;

	r->max_nodes++;
	return true;
}

/* The number of runs in a leaf: bits that are set above one that is not. */
static unsigned long __init kho_count_runs(const unsigned long *leaf)
{
	unsigned long nr = 0, carry = 0;
	unsigned int i;

	for (i = 0; i < BITS_TO_LONGS(KHO_RADIX_LEAF_BITS); i++) {
		nr += hweight_long(leaf[i] & ~(leaf[i] << 1 | carry));
		carry = leaf[i] >> (BITS_PER_LONG - 1);
	}

	return nr;
}

static bool __init kho_record_node(const struct kho_radix_node *node, void *arg)
{
	struct kho_reader *r = arg;
	unsigned long nr_runs = 0;

	if (!kho_node_is_sane(node->pa) ||
	    !kho_keys_denote_ram(node->key, node->level) ||
	    r->nr_nodes == r->max_nodes) {
		*node->slot = 0;
		r->nr_bad_nodes++;
		return false;
	}

	if (!node->level) {
		nr_runs = kho_count_runs(phys_to_virt(node->pa));
		if (!nr_runs) {
			*node->slot = 0;
			return false;
		}
	}

	r->max_ranges += nr_runs + 1;
	r->nodes[r->nr_nodes++] = (struct kho_node){
		.pa = node->pa,
		.slot = node->slot,
		.key = node->key,
		.level = node->level,
	};
	return true;
}

static int __init kho_cmp_node_ref(const void *a, const void *b)
{
	const struct kho_node_ref *x = a, *y = b;

	return x->pa < y->pa ? -1 : x->pa > y->pa;
}

/*
 * A node with several parents would give several names to one bit. Cut it off
 * from all of them; the root has a parent only if it is damaged.
 */
static void __init kho_cut_shared_nodes(struct kho_reader *r)
{
	u64 end = 0;
	unsigned long i;

	for (i = 1; i < r->nr_nodes; i++) {
		if (r->by_pa[i - 1].pa != r->by_pa[i].pa)
			continue;
		r->nodes[r->by_pa[i - 1].idx].shared = true;
		r->nodes[r->by_pa[i].idx].shared = true;
	}

	for (i = 0; i < r->nr_nodes; i++) {
		struct kho_node *node = &r->nodes[i];

		if (node->shared && node->slot) {
			*node->slot = 0;
			r->nr_bad_nodes++;
			end = max(end, node->key + kho_radix_span(node->level));
		}
		if (node->key < end)
			node->shared = true;
	}
}

int __init kho_collect_nodes(struct kho_reader *r, u64 root_pa)
{
	unsigned long i;

	r->max_nodes = 1;
	kho_radix_walk(r->tree, kho_count_node, r);

	r->nodes = memblock_alloc(array_size(r->max_nodes, sizeof(*r->nodes)),
				  SMP_CACHE_BYTES);
	r->by_pa = memblock_alloc(array_size(r->max_nodes, sizeof(*r->by_pa)),
				  SMP_CACHE_BYTES);
	if (!r->nodes || !r->by_pa)
		return -ENOMEM;

	r->max_nodes--;
	kho_radix_walk(r->tree, kho_record_node, r);
	r->nodes[r->nr_nodes++] = (struct kho_node){
		.pa = root_pa,
		.key = U64_MAX,
		.level = KHO_RADIX_ROOT_LEVEL,
	};
	r->max_nodes++;
	r->max_ranges++;

	for (i = 0; i < r->nr_nodes; i++)
		r->by_pa[i] = (struct kho_node_ref){ r->nodes[i].pa, i };
	sort(r->by_pa, r->nr_nodes, sizeof(*r->by_pa), kho_cmp_node_ref, NULL);
	kho_cut_shared_nodes(r);

	return 0;
}

void __init kho_nodes_free(struct kho_reader *r)
{
	if (r->nodes)
		memblock_free(r->nodes, r->max_nodes * sizeof(*r->nodes));
	if (r->by_pa)
		memblock_free(r->by_pa, r->max_nodes * sizeof(*r->by_pa));
}

/**
 * kho_incoming_test - look up a block before the map is adopted
 * @root_pa: root of the map
 * @pfn: first page of the block
 * @order: log2 of its size in pages
 * @clear: take it out of the map
 *
 * Return: true if the block was in the map.
 */
bool __init kho_incoming_test(u64 root_pa, unsigned long pfn,
			      unsigned int order, bool clear)
{
	u64 key = kho_radix_key(pfn, order), pa = root_pa;
	unsigned long bit = key & (KHO_RADIX_LEAF_BITS - 1);
	unsigned int level;

	for (level = KHO_RADIX_ROOT_LEVEL; level; level--) {
		if (!kho_node_is_sane(pa))
			return false;
		pa = ((u64 *)phys_to_virt(pa))[key >> kho_radix_shift(level) &
					       (KHO_RADIX_TABLE_ENTRIES - 1)];
	}
	if (!kho_node_is_sane(pa))
		return false;

	return clear ? test_and_clear_bit(bit, phys_to_virt(pa)) :
		       test_bit(bit, phys_to_virt(pa));
}
