// SPDX-License-Identifier: GPL-2.0-only
/* The preserved-memory map: kho_radix.c. */

#include <kunit/test.h>
#include <linux/io.h>
#include <linux/mm.h>

#include "../kho_radix.h"
#include "luo_test.h"

/* The format's own numbers, by the text of it. */
#define KEY_BITS	(64 - PAGE_SHIFT)
#define LEAF_SHIFT	(PAGE_SHIFT + 3)
#define TABLE_SHIFT	(PAGE_SHIFT - 3)
#define LEVELS		(DIV_ROUND_UP(65 - PAGE_SHIFT - LEAF_SHIFT, TABLE_SHIFT) + 1)

static u64 format_key(u64 pa, unsigned int order)
{
	return (1ULL << (KEY_BITS - order)) | (pa >> (PAGE_SHIFT + order));
}

/* Looks a block up as the next kernel does. */
static bool format_lookup(const struct kho_radix *tree, u64 key)
{
	const unsigned long *leaf;
	const u64 *node = tree->root;
	unsigned int level, shift;

	for (level = LEVELS - 1; level; level--) {
		shift = LEAF_SHIFT + TABLE_SHIFT * (level - 1);
		if (!node[(key >> shift) & ((1 << TABLE_SHIFT) - 1)])
			return false;
		node = phys_to_virt(node[(key >> shift) & ((1 << TABLE_SHIFT) - 1)]);
	}
	leaf = (const void *)node;
	return test_bit(key & ((1 << LEAF_SHIFT) - 1), leaf);
}

static struct kho_radix *tree_of(struct kunit *test)
{
	return test->priv;
}

static int radix_init(struct kunit *test)
{
	struct kho_radix *tree = kunit_kzalloc(test, sizeof(*tree), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, tree);
	KUNIT_ASSERT_EQ(test, kho_radix_init(tree), 0);
	test->priv = tree;
	return 0;
}

static void radix_exit(struct kunit *test)
{
	kho_radix_destroy(tree_of(test));
	KUNIT_EXPECT_NULL(test, tree_of(test)->root);
}

/* ---- numbers ---- */

static void sizes_are_those_of_the_format(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, KHO_RADIX_LEVELS, LEVELS);
	KUNIT_EXPECT_EQ(test, KHO_RADIX_ROOT_LEVEL, LEVELS - 1);
	KUNIT_EXPECT_EQ(test, KHO_RADIX_TABLE_ENTRIES, PAGE_SIZE / 8);
	KUNIT_EXPECT_EQ(test, KHO_RADIX_LEAF_BITS, PAGE_SIZE * 8);
	if (PAGE_SHIFT != 12)
		return;
	KUNIT_EXPECT_EQ(test, LEVELS, 6);
	KUNIT_EXPECT_EQ(test, kho_radix_key(0, 0), 0x10000000000000ULL);
	KUNIT_EXPECT_EQ(test, kho_radix_key(0x12345, 0), 0x10000000012345ULL);
	KUNIT_EXPECT_EQ(test, kho_radix_key(0x200, 9), 0x80000000001ULL);
}

/* Blocks at the ends of leaves and tables, and at the ends of all addresses. */
static unsigned int boundary_blocks(unsigned int order, u64 *pfns)
{
	u64 last = BIT_ULL(KEY_BITS - order) - 1;
	unsigned int level, n = 0;
	u64 edge;

	pfns[n++] = 0;
	for (level = 0; level < LEVELS - 1; level++) {
		edge = BIT_ULL(LEAF_SHIFT + TABLE_SHIFT * level);
		if (edge >= last)
			break;
		pfns[n++] = (edge - 1) << order;
		pfns[n++] = edge << order;
	}
	if (last)
		pfns[n++] = last << order;
	return n;
}

#define BOUNDARIES	16

/* One test for each order. */
static const void *order_gen_params(struct kunit *test, const void *prev, char *desc)
{
	static unsigned int orders[KEY_BITS];
	const unsigned int *order = prev ? (const unsigned int *)prev + 1 : orders;

	if (order - orders > KHO_RADIX_MAX_ORDER)
		return NULL;
	orders[order - orders] = order - orders;
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "order %u", *order);
	return order;
}

static void key_tells_block_and_order(struct kunit *test)
{
	unsigned int order = *(const unsigned int *)test->param_value;
	u64 pfns[BOUNDARIES], key;
	unsigned int i, n = boundary_blocks(order, pfns);

	for (i = 0; i < n; i++) {
		key = kho_radix_key(pfns[i], order);
		KUNIT_EXPECT_EQ(test, key, format_key(pfns[i] << PAGE_SHIFT, order));
		KUNIT_EXPECT_EQ(test, kho_radix_key_order(key), order);
		KUNIT_EXPECT_EQ(test, kho_radix_key_pfn(key), pfns[i]);
	}
}

static void block_is_where_the_format_says(struct kunit *test)
{
	unsigned int order = *(const unsigned int *)test->param_value;
	struct kho_radix *tree = tree_of(test);
	u64 pfns[BOUNDARIES], key;
	unsigned int i, j, n = boundary_blocks(order, pfns);

	for (i = 0; i < n; i++) {
		KUNIT_EXPECT_FALSE(test, kho_radix_test(tree, pfns[i], order));
		KUNIT_EXPECT_EQ(test, kho_radix_set(tree, pfns[i], order), 0);
		KUNIT_EXPECT_EQ(test, kho_radix_set(tree, pfns[i], order), 0);
		for (j = 0; j < n; j++) {
			KUNIT_EXPECT_EQ(test, kho_radix_test(tree, pfns[j], order), j <= i);
			key = format_key(pfns[j] << PAGE_SHIFT, order);
			KUNIT_EXPECT_EQ(test, format_lookup(tree, key), j <= i);
		}
	}
	for (i = 0; i < n; i++) {
		kho_radix_clear(tree, pfns[i], order);
		for (j = 0; j < n; j++)
			KUNIT_EXPECT_EQ(test, kho_radix_test(tree, pfns[j], order), j > i);
	}
}

static void block_of_one_order_is_none_of_another(struct kunit *test)
{
	unsigned int order = *(const unsigned int *)test->param_value;
	struct kho_radix *tree = tree_of(test);
	unsigned int other;

	KUNIT_EXPECT_EQ(test, kho_radix_set(tree, 0, order), 0);
	for (other = 0; other <= KHO_RADIX_MAX_ORDER; other++) {
		KUNIT_EXPECT_EQ(test, kho_radix_test(tree, 0, other), other == order);
		if (other != order)
			kho_radix_clear(tree, 0, other);
	}
	KUNIT_EXPECT_TRUE(test, kho_radix_test(tree, 0, order));
}

/* Orders take turns, so that the finger is on the wrong leaf most of the time. */
static void finger_leads_to_the_block_that_is_asked_for(struct kunit *test)
{
	struct kho_radix *tree = tree_of(test);
	struct kho_radix_finger finger = {};
	static const unsigned int orders[] = { 0, 0, 9, 0, 1, 1 };
	unsigned long pfn;
	unsigned int i;

	for (pfn = 0; pfn < 3 * KHO_RADIX_LEAF_BITS; pfn += KHO_RADIX_LEAF_BITS / 2) {
		for (i = 0; i < ARRAY_SIZE(orders); i++)
			KUNIT_EXPECT_EQ(test, kho_radix_set_near(tree, &finger, pfn,
								 orders[i]), 0);
		KUNIT_EXPECT_TRUE(test, kho_radix_test(tree, pfn, 0));
		KUNIT_EXPECT_TRUE(test, kho_radix_test(tree, pfn, 1));
		KUNIT_EXPECT_TRUE(test, kho_radix_test(tree, pfn, 9));
		KUNIT_EXPECT_FALSE(test, kho_radix_test(tree, pfn, 2));
		KUNIT_EXPECT_FALSE(test, kho_radix_test(tree, pfn + 1, 0));
	}
	KUNIT_EXPECT_EQ(test, kho_radix_set_near(tree, &finger, 0,
						 KHO_RADIX_MAX_ORDER + 1), -EINVAL);

	finger = (struct kho_radix_finger){};
	for (pfn = 0; pfn < 3 * KHO_RADIX_LEAF_BITS; pfn += KHO_RADIX_LEAF_BITS) {
		kho_radix_clear_near(tree, &finger, pfn, 9);
		kho_radix_clear_near(tree, &finger, pfn, 0);
		/* What no leaf is there for. */
		kho_radix_clear_near(tree, &finger, pfn, 20);
	}
	for (pfn = 0; pfn < 3 * KHO_RADIX_LEAF_BITS; pfn += KHO_RADIX_LEAF_BITS / 2) {
		bool cleared = !(pfn % KHO_RADIX_LEAF_BITS);

		KUNIT_EXPECT_EQ(test, kho_radix_test(tree, pfn, 0), !cleared);
		KUNIT_EXPECT_EQ(test, kho_radix_test(tree, pfn, 9), !cleared);
		KUNIT_EXPECT_TRUE(test, kho_radix_test(tree, pfn, 1));
	}
}

static void order_without_a_key_is_refused(struct kunit *test)
{
	struct kho_radix *tree = tree_of(test);

	KUNIT_EXPECT_EQ(test, kho_radix_set(tree, 0, KHO_RADIX_MAX_ORDER), 0);
	KUNIT_EXPECT_EQ(test, kho_radix_set(tree, 0, KHO_RADIX_MAX_ORDER + 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, kho_radix_set(tree, 0, KEY_BITS), -EINVAL);
}

static void neighbours_are_left_alone(struct kunit *test)
{
	struct kho_radix *tree = tree_of(test);
	unsigned long pfn;

	for (pfn = 1000; pfn < 1200; pfn++)
		KUNIT_EXPECT_EQ(test, kho_radix_set(tree, pfn, 0), 0);
	for (pfn = 1000; pfn < 1200; pfn += 2)
		kho_radix_clear(tree, pfn, 0);
	for (pfn = 990; pfn < 1210; pfn++)
		KUNIT_EXPECT_EQ(test, kho_radix_test(tree, pfn, 0),
				pfn > 1000 && pfn < 1200 && (pfn & 1));
}

/* ---- nodes ---- */

struct visits {
	struct kunit *test;
	unsigned int n, leaves;
	u64 last_key;
	/* Don't go below nodes of this level. */
	unsigned int stop_level;
};

static bool visit(const struct kho_radix_node *node, void *arg)
{
	struct visits *v = arg;

	v->n++;
	if (!node->level) {
		KUNIT_EXPECT_TRUE(v->test, !v->leaves || node->key > v->last_key);
		KUNIT_EXPECT_EQ(v->test, node->key & (KHO_RADIX_LEAF_BITS - 1), 0);
		v->last_key = node->key;
		v->leaves++;
	}
	KUNIT_EXPECT_EQ(v->test, *node->slot, node->pa);
	KUNIT_EXPECT_TRUE(v->test, PAGE_ALIGNED(node->pa));
	return node->level != v->stop_level;
}

static struct visits walk(struct kunit *test, unsigned int stop_level)
{
	struct visits v = { .test = test, .stop_level = stop_level };

	kho_radix_walk(tree_of(test), visit, &v);
	return v;
}

static void empty_tree_has_only_its_root(struct kunit *test)
{
	kho_radix_clear(tree_of(test), 4711, 3);
	KUNIT_EXPECT_FALSE(test, kho_radix_test(tree_of(test), 4711, 3));
	KUNIT_EXPECT_EQ(test, walk(test, LEVELS).n, 0);
	KUNIT_EXPECT_TRUE(test, mem_is_zero(tree_of(test)->root, PAGE_SIZE));
}

static void nodes_are_visited_in_order_of_keys(struct kunit *test)
{
	struct kho_radix *tree = tree_of(test);
	struct visits v;

	KUNIT_EXPECT_EQ(test, kho_radix_set(tree, 0, 0), 0);
	v = walk(test, LEVELS);
	KUNIT_EXPECT_EQ(test, v.n, LEVELS - 1);
	KUNIT_EXPECT_EQ(test, v.leaves, 1);
	KUNIT_EXPECT_EQ(test, v.last_key, kho_radix_key(0, 0));

	/* The same leaf, the next leaf, another order. */
	KUNIT_EXPECT_EQ(test, kho_radix_set(tree, 1, 0), 0);
	KUNIT_EXPECT_EQ(test, walk(test, LEVELS).n, LEVELS - 1);
	KUNIT_EXPECT_EQ(test, kho_radix_set(tree, KHO_RADIX_LEAF_BITS, 0), 0);
	KUNIT_EXPECT_EQ(test, walk(test, LEVELS).n, LEVELS);
	KUNIT_EXPECT_EQ(test, kho_radix_set(tree, 0, 9), 0);
	v = walk(test, LEVELS);
	KUNIT_EXPECT_EQ(test, v.leaves, 3);
	KUNIT_EXPECT_EQ(test, v.last_key, kho_radix_key(KHO_RADIX_LEAF_BITS, 0));
}

static void walk_ends_where_the_visitor_says(struct kunit *test)
{
	struct kho_radix *tree = tree_of(test);
	unsigned int level;

	KUNIT_EXPECT_EQ(test, kho_radix_set(tree, 0, 0), 0);
	for (level = LEVELS - 2; level; level--)
		KUNIT_EXPECT_EQ(test, walk(test, level).n, LEVELS - 1 - level);
}

static void nodes_stay_when_their_blocks_are_gone(struct kunit *test)
{
	struct kho_radix *tree = tree_of(test);
	unsigned int n;

	KUNIT_EXPECT_EQ(test, kho_radix_set(tree, 4711, 0), 0);
	n = walk(test, LEVELS).n;
	kho_radix_clear(tree, 4711, 0);
	KUNIT_EXPECT_EQ(test, walk(test, LEVELS).n, n);
}

static void block_that_lacks_memory_is_not_there(struct kunit *test)
{
	struct kho_radix *tree = tree_of(test);
	unsigned int nth;
	int err;

	luo_test_page_failures(test, true);
	for (nth = 1;; nth++) {
		luo_test_fail_alloc(nth > 1 ? 2 : 1);
		err = kho_radix_set(tree, 4711, 0);
		if (!luo_test_fail_alloc_done())
			break;
		KUNIT_EXPECT_EQ(test, err, -ENOMEM);
		KUNIT_EXPECT_FALSE(test, kho_radix_test(tree, 4711, 0));
		KUNIT_EXPECT_FALSE(test, format_lookup(tree, format_key(4711 << PAGE_SHIFT, 0)));
		/* What there is serves the next attempt. */
		KUNIT_EXPECT_EQ(test, walk(test, LEVELS).n, nth - 1);
	}
	luo_test_page_failures(test, false);
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, nth, LEVELS);
	KUNIT_EXPECT_TRUE(test, kho_radix_test(tree, 4711, 0));
}

static struct kunit_case kho_radix_cases[] = {
	KUNIT_CASE(sizes_are_those_of_the_format),
	KUNIT_CASE_PARAM(key_tells_block_and_order, order_gen_params),
	KUNIT_CASE_PARAM(block_is_where_the_format_says, order_gen_params),
	KUNIT_CASE_PARAM(block_of_one_order_is_none_of_another, order_gen_params),
	KUNIT_CASE(order_without_a_key_is_refused),
	KUNIT_CASE(finger_leads_to_the_block_that_is_asked_for),
	KUNIT_CASE(neighbours_are_left_alone),
	KUNIT_CASE(empty_tree_has_only_its_root),
	KUNIT_CASE(nodes_are_visited_in_order_of_keys),
	KUNIT_CASE(walk_ends_where_the_visitor_says),
	KUNIT_CASE(nodes_stay_when_their_blocks_are_gone),
	KUNIT_CASE(block_that_lacks_memory_is_not_there),
	{}
};

static struct kunit_suite kho_radix_suite = {
	.name = "kho_radix",
	.init = radix_init,
	.exit = radix_exit,
	.test_cases = kho_radix_cases,
};
kunit_test_suite(kho_radix_suite);
