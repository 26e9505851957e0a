// SPDX-License-Identifier: GPL-2.0-only
/* What is handed over while others work on it: kexec_handover.c. */

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/hrtimer.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/kthread.h>
#include <linux/libfdt.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/pfn.h>
#include <linux/string.h>
#include <linux/utsname.h>

#include <linux/kho/abi/kexec_metadata.h>

#include "../../kexec_handover_internal.h"
#include "../../kexec_internal.h"
#include "../kho_metadata.h"
#include "../kho_radix.h"
#include "luo_test.h"

#define BLOB_NAME	"kho-kunit"

static int handover_init(struct kunit *test)
{
	if (!kho_is_enabled())
		kunit_skip(test, "needs kho=on");
	return 0;
}

/* ---- the tree ---- */

struct adder {
	void *blob;
	int err;
	struct completion done;
};

static int add_blob(void *arg)
{
	struct adder *adder = arg;

	adder->err = kho_add_subtree(BLOB_NAME, adder->blob, PAGE_SIZE);
	complete(&adder->done);
	return 0;
}

static bool blob_is_in_tree(void)
{
	return fdt_subnode_offset(kho_test_tree(), 0, BLOB_NAME) >= 0;
}

static void tree_that_is_held_stays_as_it_is(struct kunit *test)
{
	struct adder adder = { .blob = kho_alloc_preserve(PAGE_SIZE) };
	struct task_struct *task;
	bool early;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, adder.blob);
	init_completion(&adder.done);

	kho_hold_tree();
	task = kthread_run(add_blob, &adder, "kho_adder");
	early = wait_for_completion_timeout(&adder.done, HZ / 10) ||
		blob_is_in_tree();
	kho_release_tree();

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	KUNIT_EXPECT_FALSE(test, early);
	if (!early)
		wait_for_completion(&adder.done);
	KUNIT_EXPECT_EQ(test, adder.err, 0);
	KUNIT_EXPECT_TRUE(test, blob_is_in_tree());

	kho_remove_subtree(adder.blob);
	KUNIT_EXPECT_FALSE(test, blob_is_in_tree());
	kho_unpreserve_free(adder.blob);
}

/* Of reserve_mem= on the kernel's command line. */
#define AREA_NAME	"kunit"

static int release_area(void *arg)
{
	reserve_mem_release_by_name(AREA_NAME);
	complete(arg);
	return 0;
}

static void area_stays_in_a_tree_that_is_held(struct kunit *test)
{
	DECLARE_COMPLETION_ONSTACK(done);
	struct task_struct *task;
	phys_addr_t start, size;
	bool early;

	if (!reserve_mem_find_by_name(AREA_NAME, &start, &size))
		kunit_skip(test, "needs reserve_mem=64K:4096:" AREA_NAME);

	kho_hold_tree();
	task = kthread_run(release_area, &done, "kho_releaser");
	early = wait_for_completion_timeout(&done, HZ / 10);
	kho_release_tree();

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	KUNIT_EXPECT_FALSE(test, early);
	if (!early)
		wait_for_completion(&done);
	KUNIT_EXPECT_EQ(test, reserve_mem_find_by_name(AREA_NAME, &start, &size), 0);
}

/* ---- blocks that nobody restored ---- */

/* As if the previous kernel had preserved it and nobody had restored it yet. */
static void leave_unrestored(struct folio *folio)
{
	kho_mark_block(&folio->page, 0);
	set_page_count(&folio->page, 0);
	adjust_managed_page_count(&folio->page, -1);
}

/* A block that an interrupt restores and preserves again. */
struct victim {
	struct hrtimer timer;
	struct folio *folio;
	unsigned long pfn;
	unsigned long *leaf;
	u64 first_key;		/* of the leaf */
	bool done;
};

static unsigned int bit_of(const struct victim *v)
{
	return kho_radix_key(v->pfn, 0) - v->first_key;
}

static enum hrtimer_restart take_back(struct hrtimer *timer)
{
	struct victim *v = container_of(timer, struct victim, timer);

	v->folio = kho_restore_folio(PFN_PHYS(v->pfn));
	set_bit(bit_of(v), v->leaf);
	/* Pairs with the load of who reads what was done. */
	smp_store_release(&v->done, true);
	return HRTIMER_NORESTART;
}

static bool find_leaf(const struct kho_radix_node *node, void *arg)
{
	struct victim *v = arg;
	u64 key = kho_radix_key(v->pfn, 0);

	if (key < node->key || key - node->key >= kho_radix_span(node->level))
		return false;
	if (!node->level) {
		v->leaf = phys_to_virt(node->pa);
		v->first_key = node->key;
	}
	return true;
}

/* Forgets the block again and again until it is somebody's. */
static void forget_until_taken(struct victim *v, unsigned int delay_ns)
{
	v->done = false;
	set_bit(bit_of(v), v->leaf);
	leave_unrestored(v->folio);
	hrtimer_start(&v->timer, ns_to_ktime(delay_ns), HRTIMER_MODE_REL_HARD);
	/* Pairs with the store above. */
	while (!smp_load_acquire(&v->done))
		kho_test_forget_block(v->first_key + bit_of(v), bit_of(v), v->leaf);
	hrtimer_cancel(&v->timer);
}

static void block_preserved_again_is_not_forgotten(struct kunit *test)
{
	struct folio *folio = folio_alloc(GFP_KERNEL, 0);
	struct victim *v = kunit_kzalloc(test, sizeof(*v), GFP_KERNEL);
	unsigned int i, lost = 0;

	KUNIT_ASSERT_NOT_NULL(test, folio);
	KUNIT_ASSERT_NOT_NULL(test, v);
	KUNIT_ASSERT_EQ(test, kho_preserve_folio(folio), 0);
	v->folio = folio;
	v->pfn = folio_pfn(folio);
	kho_radix_walk(kho_test_map(), find_leaf, v);
	KUNIT_ASSERT_NOT_NULL(test, v->leaf);
	hrtimer_setup(&v->timer, take_back, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);

	for (i = 0; i < 2000 && v->folio; i++) {
		forget_until_taken(v, 20000 + 37 * i);
		lost += !test_bit(bit_of(v), v->leaf);
	}

	KUNIT_EXPECT_EQ(test, lost, 0);
	KUNIT_ASSERT_PTR_EQ(test, v->folio, folio);
	kho_unpreserve_folio(folio);
	folio_put(folio);
}

static void block_that_nobody_holds_is_forgotten(struct kunit *test)
{
	struct folio *folio = folio_alloc(GFP_KERNEL, 0);
	unsigned long pfn;

	KUNIT_ASSERT_NOT_NULL(test, folio);
	pfn = folio_pfn(folio);
	KUNIT_ASSERT_EQ(test, kho_preserve_folio(folio), 0);
	leave_unrestored(folio);

	kho_hold_unclaimed();
	kho_hold_unclaimed();
	kho_release_unclaimed();
	KUNIT_EXPECT_TRUE(test, kho_radix_test(kho_test_map(), pfn, 0));
	kho_release_unclaimed();
	KUNIT_EXPECT_FALSE(test, kho_radix_test(kho_test_map(), pfn, 0));

	folio = kho_restore_folio(PFN_PHYS(pfn));
	KUNIT_ASSERT_NOT_NULL(test, folio);
	folio_put(folio);
}

static void blocks_of_an_order_are_counted(struct kunit *test)
{
	const unsigned int orders[] = { 0, 2, 3, 4, MAX_PAGE_ORDER };
	unsigned long before[ARRAY_SIZE(orders)];
	struct folio *folio = folio_alloc(GFP_KERNEL, 3);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, folio);
	for (i = 0; i < ARRAY_SIZE(orders); i++)
		before[i] = kho_count_blocks(orders[i]);
	KUNIT_ASSERT_EQ(test, kho_preserve_folio(folio), 0);
	for (i = 0; i < ARRAY_SIZE(orders); i++)
		KUNIT_EXPECT_EQ(test, kho_count_blocks(orders[i]),
				before[i] + (orders[i] == 3));
	kho_unpreserve_folio(folio);
	KUNIT_EXPECT_EQ(test, kho_count_blocks(3), before[2]);
	folio_put(folio);
}

/* ---- ranges ---- */

/* Where the last node begins, or without nodes some block that could be larger. */
static unsigned long border(void)
{
	int nid, last = first_memory_node;

	for_each_node_state(nid, N_MEMORY)
		last = nid;
	if (last != first_memory_node)
		return node_start_pfn(last);
	return round_up(node_start_pfn(last) + node_spanned_pages(last) / 8,
			MAX_ORDER_NR_PAGES);
}

static void count_blocks(unsigned long *counts)
{
	unsigned int order;

	for (order = 0; order <= MAX_PAGE_ORDER; order++)
		counts[order] = kho_count_blocks(order);
}

/* As far as the largest blocks go. */
#define REACH	((long)MAX_ORDER_NR_PAGES)

/* Nothing is written there, so it may be anybody's memory. */
static void range_across_a_border_is_forgotten_as_a_whole(struct kunit *test)
{
	static const struct {
		long first, end;
	} ranges[] = {
		{ -1, 1 }, { -5, 3 }, { -3, 37 }, { -61, 0 }, { 0, 77 }, { -REACH, REACH },
	};
	unsigned long before[MAX_PAGE_ORDER + 1], after[MAX_PAGE_ORDER + 1];
	unsigned long at = border();
	unsigned int i;

	if (kho_scratch_overlap(PFN_PHYS(at - REACH), 2 * PFN_PHYS(REACH)))
		kunit_skip(test, "there is a scratch area at page frame %#lx", at);

	count_blocks(before);
	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		struct page *first = pfn_to_page(at + ranges[i].first);
		unsigned long nr = ranges[i].end - ranges[i].first;

		KUNIT_ASSERT_EQ(test, kho_preserve_pages(first, nr), 0);
		count_blocks(after);
		KUNIT_EXPECT_MEMNEQ(test, before, after, sizeof(before));
		kho_unpreserve_pages(first, nr);
		count_blocks(after);
		KUNIT_EXPECT_MEMEQ(test, before, after, sizeof(before));
	}
}

#ifdef CONFIG_CONTIG_ALLOC
/* As pages of 1 GiB are, of which this machine may have none. */
static void block_larger_than_the_page_allocators_is_asked_for_by_its_order(struct kunit *test)
{
	const unsigned int order = MAX_PAGE_ORDER + 1;
	struct page *page = alloc_contig_pages(1UL << order, GFP_KERNEL, first_online_node,
					       NULL);
	struct folio *folio;
	phys_addr_t phys;
	unsigned long i;

	KUNIT_ASSERT_NOT_NULL(test, page);
	phys = page_to_phys(page);
	for (i = 0; i < 1UL << order; i++)
		set_page_count(page + i, 0);
	adjust_managed_page_count(page, -(1L << order));
	kho_mark_block(page, order);

	KUNIT_EXPECT_NULL(test, kho_restore_folio(phys));
	KUNIT_EXPECT_NULL(test, kho_restore_folio_of(phys, MAX_PAGE_ORDER));
	KUNIT_EXPECT_EQ(test, kho_restore_folios(&phys, 1, &folio), 0);
	folio = kho_restore_folio_of(phys, order);
	KUNIT_ASSERT_NOT_NULL(test, folio);
	KUNIT_EXPECT_EQ(test, folio_order(folio), order);
	KUNIT_EXPECT_PTR_EQ(test, page_folio(page + (1UL << order) - 1), folio);
	KUNIT_EXPECT_NULL(test, kho_restore_folio_of(phys, order));
	folio_put(folio);
}
#endif

/* ---- who started this kernel ---- */

static void metadata_is_as_the_format_says(struct kunit *test)
{
	struct kho_kexec_metadata next;
	u32 word;

	memset(&next, 0xff, sizeof(next));
	kho_metadata_fill(&next, 41);
	memcpy(&word, &next, 4);
	KUNIT_EXPECT_EQ(test, word, 1);
	KUNIT_EXPECT_STREQ(test, (char *)&next + 4, init_uts_ns.name.release);
	KUNIT_EXPECT_NULL(test, memchr_inv((char *)&next + 4 + strlen((char *)&next + 4),
					   0, 65 - strlen((char *)&next + 4)));
	memcpy(&word, (char *)&next + 69, 4);
	KUNIT_EXPECT_EQ(test, word, 42);

	kho_metadata_fill(&next, U32_MAX);
	KUNIT_EXPECT_EQ(test, next.count, U32_MAX);
}

static void metadata_that_is_damaged_is_not_believed(struct kunit *test)
{
	struct kho_kexec_metadata whole, m;

	kho_metadata_fill(&whole, 0);
	KUNIT_EXPECT_TRUE(test, kho_metadata_is_sane(&whole, sizeof(whole)));
	KUNIT_EXPECT_TRUE(test, kho_metadata_is_sane(&whole, PAGE_SIZE));
	KUNIT_EXPECT_FALSE(test, kho_metadata_is_sane(&whole, sizeof(whole) - 1));

	m = whole;
	m.version = 2;
	KUNIT_EXPECT_FALSE(test, kho_metadata_is_sane(&m, sizeof(m)));
	m = whole;
	memset(m.release, 'x', sizeof(m.release));
	KUNIT_EXPECT_FALSE(test, kho_metadata_is_sane(&m, sizeof(m)));
	m = whole;
	memset(m.release, 0, sizeof(m.release));
	KUNIT_EXPECT_FALSE(test, kho_metadata_is_sane(&m, sizeof(m)));
	m = whole;
	m.release[1] = '\033';
	KUNIT_EXPECT_FALSE(test, kho_metadata_is_sane(&m, sizeof(m)));
}

static struct kunit_case kho_handover_cases[] = {
	KUNIT_CASE(area_stays_in_a_tree_that_is_held),
	KUNIT_CASE(tree_that_is_held_stays_as_it_is),
	KUNIT_CASE(block_preserved_again_is_not_forgotten),
	KUNIT_CASE(block_that_nobody_holds_is_forgotten),
	KUNIT_CASE(blocks_of_an_order_are_counted),
	KUNIT_CASE(range_across_a_border_is_forgotten_as_a_whole),
#ifdef CONFIG_CONTIG_ALLOC
	KUNIT_CASE(block_larger_than_the_page_allocators_is_asked_for_by_its_order),
#endif
	KUNIT_CASE(metadata_is_as_the_format_says),
	KUNIT_CASE(metadata_that_is_damaged_is_not_believed),
	{}
};

static struct kunit_suite kho_handover_suite = {
	.name = "kho_handover",
	.init = handover_init,
	.test_cases = kho_handover_cases,
};
kunit_test_suite(kho_handover_suite);
