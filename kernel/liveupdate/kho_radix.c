// SPDX-License-Identifier: GPL-2.0-only
/*
 * The preserved-memory map: a radix tree that the next kernel reads in place.
 *
 * A node is a zeroed page that is complete before it is linked with cmpxchg(),
 * and that stays until the tree is destroyed. A block is preserved by one
 * atomic bit in a leaf. So whatever other CPUs do, and whenever the machine
 * jumps into the next kernel, all links lead to valid nodes.
 */

#include <linux/atomic.h>
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/kho/place.h>
#include <linux/mm.h>

#include "../kexec_handover_internal.h"
#include "kho_radix.h"

static inline u64 *kho_radix_slot(u64 *table, u64 key, unsigned int level)
{
	return &table[(key >> kho_radix_shift(level)) &
		      (KHO_RADIX_TABLE_ENTRIES - 1)];
}

/**
 * kho_radix_leaf - find the leaf of a key
 * @tree: the tree
 * @key: see kho_radix_key()
 *
 * Context: Any. Needs no lock.
 * Return: the leaf, NULL if there is none yet.
 */
unsigned long *kho_radix_leaf(const struct kho_radix *tree, u64 key)
{
	unsigned int level;
	u64 *node = tree->root;

	for (level = KHO_RADIX_ROOT_LEVEL; level; level--) {
		/* The address dependency orders this after the page's zeroing. */
		u64 pa = READ_ONCE(*kho_radix_slot(node, key, level));

		if (!pa)
			return NULL;
		node = phys_to_virt(pa);
	}

	return (unsigned long *)node;
}

static u64 *kho_radix_alloc_node(void)
{
	struct folio *folio = kho_folio_alloc(GFP_KERNEL | __GFP_ZERO, 0);

	return folio ? folio_address(folio) : NULL;
}

/*
 * The node must be outside of the scratch areas: these are CMA, which gives
 * no memory to allocations that are not movable.
 */
static u64 *kho_radix_add_node(u64 *slot)
{
	u64 *node = kho_radix_alloc_node();
	u64 pa;

	if (!node)
		return NULL;

	if (IS_ENABLED(CONFIG_KEXEC_HANDOVER_DEBUG))
		WARN_ON_ONCE(kho_scratch_overlap(virt_to_phys(node), PAGE_SIZE));

	pa = cmpxchg(slot, 0, virt_to_phys(node));
	if (!pa)
		return node;

	free_page((unsigned long)node);
	return phys_to_virt(pa);
}

/* As kho_radix_leaf(), but adds what is missing. */
static unsigned long *kho_radix_grow(struct kho_radix *tree, u64 key)
{
	unsigned int level;
	u64 *node = tree->root;

	for (level = KHO_RADIX_ROOT_LEVEL; node && level; level--) {
		u64 *slot = kho_radix_slot(node, key, level);
		u64 pa = READ_ONCE(*slot);

		node = pa ? phys_to_virt(pa) : kho_radix_add_node(slot);
	}

	return (unsigned long *)node;
}

/**
 * kho_radix_init - make an empty tree
 * @tree: the tree
 *
 * Context: May sleep.
 * Return: 0, or -ENOMEM.
 */
int kho_radix_init(struct kho_radix *tree)
{
	tree->root = kho_radix_alloc_node();

	return tree->root ? 0 : -ENOMEM;
}

static void kho_radix_free(u64 *node, unsigned int level)
{
	unsigned int i;

	for (i = 0; level && i < KHO_RADIX_TABLE_ENTRIES; i++)
		if (node[i])
			kho_radix_free(phys_to_virt(node[i]), level - 1);

	free_page((unsigned long)node);
}

/**
 * kho_radix_destroy - free a tree that this kernel made
 * @tree: the tree, used by nobody else any more
 *
 * The blocks in it are not touched.
 */
void kho_radix_destroy(struct kho_radix *tree)
{
	if (tree->root)
		kho_radix_free(tree->root, KHO_RADIX_ROOT_LEVEL);
	tree->root = NULL;
}

/**
 * kho_radix_set_near - kho_radix_set() for many blocks
 * @tree: the tree
 * @finger: kept by the caller from block to block, zeroed at first
 * @pfn: first page of the block, aligned to @order
 * @order: log2 of its size in pages
 *
 * Context: May sleep. Needs no lock.
 * Return: as kho_radix_set().
 */
int kho_radix_set_near(struct kho_radix *tree, struct kho_radix_finger *finger,
		       unsigned long pfn, unsigned int order)
{
	u64 key;

	might_sleep();

	if (unlikely(order > KHO_RADIX_MAX_ORDER))
		return -EINVAL;

	key = kho_radix_key(pfn, order);
	if (!kho_radix_is_near(finger, key)) {
		finger->key = key >> KHO_RADIX_LEAF_SHIFT;
		finger->leaf = kho_radix_leaf(tree, key) ?: kho_radix_grow(tree, key);
		if (!finger->leaf)
			return -ENOMEM;
	}

	set_bit(key & (KHO_RADIX_LEAF_BITS - 1), finger->leaf);
	return 0;
}

/**
 * kho_radix_set - add a block
 * @tree: the tree
 * @pfn: first page of the block, aligned to @order
 * @order: log2 of its size in pages
 *
 * Context: May sleep. Needs no lock.
 * Return: 0, -EINVAL if the map has no key for the block, or -ENOMEM.
 */
int kho_radix_set(struct kho_radix *tree, unsigned long pfn, unsigned int order)
{
	struct kho_radix_finger nowhere = {};

	return kho_radix_set_near(tree, &nowhere, pfn, order);
}

/**
 * kho_radix_clear - take out a block, if it is there
 * @tree: the tree
 * @pfn: first page of the block
 * @order: log2 of its size in pages
 *
 * Context: Any. Needs no lock.
 */
void kho_radix_clear(struct kho_radix *tree, unsigned long pfn,
		     unsigned int order)
{
	struct kho_radix_finger nowhere = {};

	kho_radix_clear_near(tree, &nowhere, pfn, order);
}

/**
 * kho_radix_test - look up a block
 * @tree: the tree
 * @pfn: first page of the block
 * @order: log2 of its size in pages
 *
 * Context: Any. Needs no lock.
 * Return: true if the block is in the tree.
 */
bool kho_radix_test(const struct kho_radix *tree, unsigned long pfn,
		    unsigned int order)
{
	u64 key = kho_radix_key(pfn, order);
	unsigned long *leaf = kho_radix_leaf(tree, key);

	return leaf && test_bit(key & (KHO_RADIX_LEAF_BITS - 1), leaf);
}

static void kho_radix_walk_table(u64 *table, u64 key, unsigned int level,
				 kho_radix_visit_fn visit, void *arg)
{
	struct kho_radix_node child = { .level = level - 1 };
	unsigned int i;

	for (i = 0; i < KHO_RADIX_TABLE_ENTRIES; i++) {
		child.slot = &table[i];
		child.pa = READ_ONCE(table[i]);
		child.key = key + i * kho_radix_span(level - 1);

		if (child.pa && visit(&child, arg) && child.level)
			kho_radix_walk_table(phys_to_virt(child.pa), child.key,
					     child.level, visit, arg);
	}
}

/**
 * kho_radix_walk - visit the nodes below the root in order of their keys
 * @tree: the tree
 * @visit: called for a table before what is below it; returns whether to go on
 *         below it
 * @arg: passed to @visit
 *
 * The keys are those of all blocks of the highest order first, by address,
 * then those of the next lower order, down to order 0.
 *
 * Nothing is read from a node before @visit has returned true for it, so that
 * @visit can judge a tree that comes from another kernel.
 */
void kho_radix_walk(const struct kho_radix *tree, kho_radix_visit_fn visit,
		    void *arg)
{
	kho_radix_walk_table(tree->root, 0, KHO_RADIX_ROOT_LEVEL, visit, arg);
}
