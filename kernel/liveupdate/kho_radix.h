/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _KHO_RADIX_H
#define _KHO_RADIX_H

#include <linux/bits.h>
#include <linux/bitops.h>
#include <linux/types.h>

#include <linux/kho/abi/kexec_handover.h>

/* Blocks beyond this (512 TiB with 4 KiB pages) would share one leaf. */
#define KHO_RADIX_MAX_ORDER	(KHO_RADIX_KEY_BITS - KHO_RADIX_LEAF_SHIFT)

#define KHO_RADIX_ROOT_LEVEL	(KHO_RADIX_LEVELS - 1)

/**
 * struct kho_radix - a preserved-memory map
 * @root: table of the highest level, NULL until kho_radix_init()
 *
 * Nodes are only ever added while the tree lives, so readers and writers need
 * no lock and the tree can be handed over at any moment.
 */
struct kho_radix {
	u64 *root;
};

/**
 * struct kho_radix_node - a node as kho_radix_walk() comes across it
 * @slot: the entry of its parent that leads to it
 * @pa: its physical address, as found in @slot
 * @key: the first key that it covers
 * @level: its level, 0 for a leaf
 */
struct kho_radix_node {
	u64 *slot;
	u64 pa;
	u64 key;
	unsigned int level;
};

/**
 * struct kho_radix_finger - where the last block was
 *
 * For who goes through many blocks, most of which are close together. Zeroed
 * to begin with.
 */
struct kho_radix_finger {
	/* private: */
	u64 key;
	unsigned long *leaf;
};

typedef bool (*kho_radix_visit_fn)(const struct kho_radix_node *node, void *arg);

int kho_radix_init(struct kho_radix *tree);
void kho_radix_destroy(struct kho_radix *tree);
int kho_radix_set(struct kho_radix *tree, unsigned long pfn, unsigned int order);
void kho_radix_clear(struct kho_radix *tree, unsigned long pfn,
		     unsigned int order);
int kho_radix_set_near(struct kho_radix *tree, struct kho_radix_finger *finger,
		       unsigned long pfn, unsigned int order);
bool kho_radix_test(const struct kho_radix *tree, unsigned long pfn,
		    unsigned int order);
unsigned long *kho_radix_leaf(const struct kho_radix *tree, u64 key);
void kho_radix_walk(const struct kho_radix *tree, kho_radix_visit_fn visit,
		    void *arg);

static inline u64 kho_radix_key(unsigned long pfn, unsigned int order)
{
	return BIT_ULL(KHO_RADIX_KEY_BITS - order) | pfn >> order;
}

static inline unsigned int kho_radix_key_order(u64 key)
{
	return KHO_RADIX_KEY_BITS - __fls(key);
}

static inline unsigned long kho_radix_key_pfn(u64 key)
{
	return (key ^ BIT_ULL(__fls(key))) << kho_radix_key_order(key);
}

/* Where a node's index starts in a key: it covers 1 << this many per entry. */
static inline unsigned int kho_radix_shift(unsigned int level)
{
	return level ? KHO_RADIX_LEAF_SHIFT + (level - 1) * KHO_RADIX_TABLE_SHIFT : 0;
}

/* The number of keys that a node covers. */
static inline u64 kho_radix_span(unsigned int level)
{
	return BIT_ULL(kho_radix_shift(level + 1));
}

static inline bool kho_radix_is_near(const struct kho_radix_finger *finger, u64 key)
{
	return finger->leaf && finger->key == key >> KHO_RADIX_LEAF_SHIFT;
}

/* As kho_radix_leaf(), for many keys. */
static __always_inline unsigned long *
kho_radix_leaf_near(const struct kho_radix *tree, struct kho_radix_finger *finger,
		    u64 key)
{
	if (!kho_radix_is_near(finger, key)) {
		finger->key = key >> KHO_RADIX_LEAF_SHIFT;
		finger->leaf = kho_radix_leaf(tree, key);
	}
	return finger->leaf;
}

/**
 * kho_radix_test_near - kho_radix_test() for many blocks
 * @tree: the tree
 * @finger: kept by the caller from block to block, zeroed at first
 * @pfn: first page of the block
 * @order: log2 of its size in pages
 *
 * Context: Any. Needs no lock.
 * Return: true if the block is in the tree.
 */
static __always_inline bool kho_radix_test_near(const struct kho_radix *tree,
						struct kho_radix_finger *finger,
						unsigned long pfn, unsigned int order)
{
	u64 key = kho_radix_key(pfn, order);
	unsigned long *leaf = kho_radix_leaf_near(tree, finger, key);

	return leaf && test_bit(key & (KHO_RADIX_LEAF_BITS - 1), leaf);
}

/**
 * kho_radix_clear_near - kho_radix_clear() for many blocks
 * @tree: the tree
 * @finger: kept by the caller from block to block, zeroed at first
 * @pfn: first page of the block
 * @order: log2 of its size in pages
 *
 * Context: Any. Needs no lock.
 */
static __always_inline void kho_radix_clear_near(struct kho_radix *tree,
						 struct kho_radix_finger *finger,
						 unsigned long pfn, unsigned int order)
{
	u64 key = kho_radix_key(pfn, order);
	unsigned long *leaf = kho_radix_leaf_near(tree, finger, key);

	if (leaf)
		clear_bit(key & (KHO_RADIX_LEAF_BITS - 1), leaf);
}

#endif /* _KHO_RADIX_H */
