/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _KHO_LAZY_H
#define _KHO_LAZY_H

#include <linux/bitops.h>
#include <linux/init.h>
#include <linux/pageblock-flags.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct kho_radix;

/**
 * struct kho_lazy - lazy pageblocks
 * @blocks: a bit for each pageblock
 * @nr_blocks: the number of bits
 * @tree: the map in which their blocks are found
 * @lock: held while a pageblock is set up
 * @left: how many bits are set
 */
struct kho_lazy {
	unsigned long *blocks;
	unsigned long nr_blocks;
	const struct kho_radix *tree;
	raw_spinlock_t lock;
	unsigned long left;
};

static inline bool kho_lazy_test(const struct kho_lazy *lazy, unsigned long pfn)
{
	unsigned long block = pfn >> pageblock_order;

	return block < lazy->nr_blocks && test_bit_acquire(block, lazy->blocks);
}

void kho_lazy_touch(struct kho_lazy *lazy, unsigned long pfn);
void kho_touch_pages(unsigned long pfn, unsigned long nr_pages);
unsigned long kho_lazy_left(void);
unsigned int kho_lazy_blocks(const struct kho_lazy *lazy, const phys_addr_t *phys,
			     unsigned int nr, unsigned int order);
unsigned int kho_count_lazy_blocks(const phys_addr_t *phys, unsigned int nr,
				   unsigned int order);

void __init kho_lazy_init(const struct kho_radix *tree);
void __init kho_lazy_add(unsigned long pfn, unsigned long end);
void __init kho_lazy_remove(unsigned long pfn, unsigned long end);
void __init kho_lazy_start(void);

#endif /* _KHO_LAZY_H */
