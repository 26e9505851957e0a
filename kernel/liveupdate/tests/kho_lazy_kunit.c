// SPDX-License-Identifier: GPL-2.0-only
/* Struct pages of preserved memory: kho_lazy.c. */

#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/hardirq.h>
#include <linux/kexec_handover.h>
#include <linux/mm.h>
#include <linux/pfn.h>

#include "../../kexec_handover_internal.h"
#include "../kho_lazy.h"
#include "../kho_radix.h"

/* A pageblock of which some blocks are in the map. */
struct lazy_test {
	struct kho_lazy lazy;
	struct kho_radix tree;
	struct page *page;
	unsigned long pfn;
};

#define BLOCK	5	/* in the pageblock */

/* By the first page in it; their bits are in several words of the map. */
static const struct {
	unsigned int page;
	unsigned int order;
} blocks[] = {
	{ BLOCK, 0 }, { 63, 0 }, { 64, 0 }, { 130, 0 }, { 200, 3 }, { 256, 7 }, { 511, 0 },
};

static int lazy_init(struct kunit *test)
{
	struct lazy_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	unsigned long block;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, t);
	test->priv = t;
	KUNIT_ASSERT_EQ(test, kho_radix_init(&t->tree), 0);
	t->page = alloc_pages(GFP_KERNEL, pageblock_order);
	KUNIT_ASSERT_NOT_NULL(test, t->page);
	split_page(t->page, pageblock_order);
	t->pfn = page_to_pfn(t->page);
	for (i = 0; i < ARRAY_SIZE(blocks); i++)
		KUNIT_ASSERT_EQ(test, kho_radix_set(&t->tree, t->pfn + blocks[i].page,
						    blocks[i].order), 0);

	block = t->pfn >> pageblock_order;
	t->lazy.blocks = kunit_kcalloc(test, BITS_TO_LONGS(block + 1), sizeof(long),
				       GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t->lazy.blocks);
	raw_spin_lock_init(&t->lazy.lock);
	t->lazy.nr_blocks = block + 1;
	t->lazy.tree = &t->tree;
	t->lazy.left = 1;
	__set_bit(block, t->lazy.blocks);
	return 0;
}

static void lazy_exit(struct kunit *test)
{
	struct lazy_test *t = test->priv;
	unsigned long i;

	for (i = 0; t && t->page && i < pageblock_nr_pages; i++) {
		if (page_private(t->page + i))
			kho_unmark_block(t->page + i);
		__free_page(t->page + i);
	}
	if (t && t->tree.root)
		kho_radix_destroy(&t->tree);
}

static bool is_set_up(const struct lazy_test *t)
{
	return !kho_lazy_test(&t->lazy, t->pfn) && !t->lazy.left &&
	       page_private(t->page + BLOCK);
}

static bool is_lazy(const struct lazy_test *t)
{
	return kho_lazy_test(&t->lazy, t->pfn) && t->lazy.left == 1 &&
	       !page_private(t->page + BLOCK);
}

/* Of the block that begins at a page of the pageblock, or -ENOENT. */
static int order_at(unsigned long page)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(blocks); i++)
		if (blocks[i].page == page)
			return blocks[i].order;
	return -ENOENT;
}

static void page_that_is_touched_sets_up_its_pageblock(struct kunit *test)
{
	struct lazy_test *t = test->priv;
	unsigned long i;

	set_page_count(t->page + 1, 7);
	kho_lazy_touch(&t->lazy, t->pfn + pageblock_nr_pages - 1);
	KUNIT_EXPECT_TRUE(test, is_set_up(t));
	for (i = 0; i < pageblock_nr_pages; i++) {
		KUNIT_EXPECT_EQ(test, page_count(t->page + i), 1);
		KUNIT_EXPECT_EQ(test, kho_block_order(PFN_PHYS(t->pfn + i)), order_at(i));
	}
}

static void page_beyond_what_can_be_lazy_is_left_alone(struct kunit *test)
{
	struct lazy_test *t = test->priv;

	kho_lazy_touch(&t->lazy, t->pfn + pageblock_nr_pages);
	KUNIT_EXPECT_TRUE(test, is_lazy(t));
}

/* It may have come between, so that who holds the lock goes on only after it. */
static void nmi_does_not_wait_for_who_sets_up(struct kunit *test)
{
	struct lazy_test *t = test->priv;
	unsigned long flags;
	bool before;

	raw_spin_lock_irqsave(&t->lazy.lock, flags);
	nmi_enter();
	kho_lazy_touch(&t->lazy, t->pfn);
	nmi_exit();
	before = is_lazy(t);
	raw_spin_unlock_irqrestore(&t->lazy.lock, flags);
	KUNIT_EXPECT_TRUE(test, before);

	local_irq_save(flags);
	nmi_enter();
	kho_lazy_touch(&t->lazy, t->pfn);
	nmi_exit();
	local_irq_restore(flags);
	KUNIT_EXPECT_TRUE(test, is_set_up(t));
}

/* How many of those side by side from a page of the pageblock on. */
static unsigned int blocks_from(const struct lazy_test *t, unsigned int page,
				unsigned int order)
{
	phys_addr_t phys[3];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(phys); i++)
		phys[i] = PFN_PHYS(t->pfn + page + (i << order));
	return kho_lazy_blocks(&t->lazy, phys, ARRAY_SIZE(phys), order);
}

static void blocks_are_seen_without_their_pages(struct kunit *test)
{
	struct lazy_test *t = test->priv;

	KUNIT_EXPECT_EQ(test, blocks_from(t, 63, 0), 2);
	KUNIT_EXPECT_EQ(test, blocks_from(t, 200, 3), 1);
	KUNIT_EXPECT_EQ(test, blocks_from(t, 200, 2), 0);
	KUNIT_EXPECT_EQ(test, blocks_from(t, 201, 3), 0);
	KUNIT_EXPECT_EQ(test, blocks_from(t, 256, 7), 1);
	KUNIT_EXPECT_TRUE(test, is_lazy(t));

	/* Somebody may have taken them since. */
	kho_lazy_touch(&t->lazy, t->pfn);
	KUNIT_EXPECT_EQ(test, blocks_from(t, 63, 0), 0);
}

static struct kunit_case kho_lazy_cases[] = {
	KUNIT_CASE(page_that_is_touched_sets_up_its_pageblock),
	KUNIT_CASE(page_beyond_what_can_be_lazy_is_left_alone),
	KUNIT_CASE(nmi_does_not_wait_for_who_sets_up),
	KUNIT_CASE(blocks_are_seen_without_their_pages),
	{}
};

static struct kunit_suite kho_lazy_suite = {
	.name = "kho_lazy",
	.init = lazy_init,
	.exit = lazy_exit,
	.test_cases = kho_lazy_cases,
};
kunit_test_suite(kho_lazy_suite);
