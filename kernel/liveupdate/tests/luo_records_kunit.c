// SPDX-License-Identifier: GPL-2.0-only
/* Chains of records: luo_records.c. */

#include <kunit/test.h>
#include <linux/io.h>
#include <linux/slab.h>

#include "luo_test.h"

#define PER_BLOCK	((PAGE_SIZE - 16) / sizeof(struct luo_file_ser))

/* A record that knows its owner. */
struct owner {
	struct luo_slot slot;
	u64 id;
};

static struct luo_file_ser *owner_record(struct luo_chain *chain, struct owner *o)
{
	return luo_slot_record(chain, &o->slot);
}

static int add(struct luo_chain *chain, struct owner *o, u64 id)
{
	int err = luo_chain_add(chain, &o->slot);

	o->id = id;
	if (!err)
		owner_record(chain, o)->token = id;
	return err;
}

static struct owner *owners_new(struct kunit *test, struct luo_chain *chain,
				unsigned int n)
{
	struct owner *owners = kunit_kcalloc(test, n, sizeof(*owners), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, owners);
	for (i = 0; i < n; i++)
		KUNIT_ASSERT_EQ(test, add(chain, &owners[i], i), 0);
	return owners;
}

static void chain_init(struct kunit *test, struct luo_chain *chain, u64 incoming)
{
	luo_chain_init(chain, luo_test_of(test)->luo.memory,
		       sizeof(struct luo_file_ser), incoming);
}

/* Full blocks, then the rest; linked in order and ended by 0. */
static void expect_blocks(struct kunit *test, struct luo_chain *chain, u64 n)
{
	u64 pa = luo_chain_first(chain);
	struct luo_block *block;

	KUNIT_EXPECT_EQ(test, chain->count, n);
	list_for_each_entry(block, &chain->blocks, node) {
		KUNIT_EXPECT_EQ(test, pa, virt_to_phys(block->ser));
		KUNIT_EXPECT_EQ(test, block->ser->count, min(n, PER_BLOCK));
		n -= block->ser->count;
		pa = block->ser->next;
	}
	KUNIT_EXPECT_EQ(test, pa, 0);
	KUNIT_EXPECT_EQ(test, n, 0);
}

/* ---- limits ---- */

struct length_row {
	const char *name;
	unsigned int records;
	unsigned int blocks;
};

static const struct length_row length_rows[] = {
	{ "no record needs no block", 0, 0 },
	{ "one record", 1, 1 },
	{ "one less than a block holds", PER_BLOCK - 1, 1 },
	{ "as many as a block holds", PER_BLOCK, 1 },
	{ "one more than a block holds", PER_BLOCK + 1, 2 },
	{ "as many as two blocks hold", 2 * PER_BLOCK, 2 },
	{ "seven blocks and one", 7 * PER_BLOCK + 1, 8 },
};
KUNIT_ARRAY_PARAM_DESC(length, length_rows, name);

static void chain_uses_as_few_blocks_as_can_be(struct kunit *test)
{
	const struct length_row *row = test->param_value;
	struct luo_test *t = luo_test_of(test);
	unsigned int before = luo_test_pages(t);
	struct luo_chain chain;

	chain_init(test, &chain, 0);
	owners_new(test, &chain, row->records);
	expect_blocks(test, &chain, row->records);
	KUNIT_EXPECT_EQ(test, luo_test_pages(t) - before, row->blocks);

	luo_chain_free(&chain);
	KUNIT_EXPECT_EQ(test, luo_test_pages(t), before);
	KUNIT_EXPECT_EQ(test, luo_chain_first(&chain), 0);
}

static void block_holds_what_the_format_says(struct kunit *test)
{
	struct luo_chain chain;

	luo_chain_init(&chain, luo_test_of(test)->luo.memory,
		       sizeof(struct luo_session_ser), 0);
	KUNIT_EXPECT_EQ(test, chain.per_block, (PAGE_SIZE - 16) / 80);
	chain_init(test, &chain, 0);
	KUNIT_EXPECT_EQ(test, chain.per_block, (PAGE_SIZE - 16) / 64);
}

/* ---- removal ---- */

static unsigned int take_first(unsigned int left)
{
	return 0;
}

static unsigned int take_last(unsigned int left)
{
	return left - 1;
}

static unsigned int take_middle(unsigned int left)
{
	return left / 2;
}

/* No order at all, but the same one each time. */
static unsigned int take_any(unsigned int left)
{
	return (left * 2654435761U >> 8) % left;
}

struct order_row {
	const char *name;
	unsigned int (*take)(unsigned int left);
};

static const struct order_row order_rows[] = {
	{ "oldest first", take_first },
	{ "newest first", take_last },
	{ "middle first", take_middle },
	{ "in no order", take_any },
};
KUNIT_ARRAY_PARAM_DESC(order, order_rows, name);

static void expect_owned(struct kunit *test, struct luo_chain *chain,
			 struct owner **owners, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		KUNIT_EXPECT_EQ(test, owner_record(chain, owners[i])->token,
				owners[i]->id);
}

static void owners_keep_their_records_when_others_are_removed(struct kunit *test)
{
	const struct order_row *row = test->param_value;
	unsigned int before = luo_test_pages(luo_test_of(test));
	unsigned int left = 2 * PER_BLOCK + 3, i;
	struct luo_chain chain;
	struct owner *all, **owners;

	chain_init(test, &chain, 0);
	all = owners_new(test, &chain, left);
	owners = kunit_kcalloc(test, left, sizeof(*owners), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, owners);
	for (i = 0; i < left; i++)
		owners[i] = &all[i];

	while (left) {
		i = row->take(left);
		luo_chain_remove(&chain, &owners[i]->slot);
		KUNIT_EXPECT_NULL(test, owners[i]->slot.block);
		owners[i] = owners[--left];
		expect_owned(test, &chain, owners, left);
		expect_blocks(test, &chain, left);
	}
	KUNIT_EXPECT_EQ(test, luo_test_pages(luo_test_of(test)), before);
}

static void place_that_is_used_again_is_zeroed(struct kunit *test)
{
	struct luo_chain chain;
	struct owner *owners, again;

	chain_init(test, &chain, 0);
	owners = owners_new(test, &chain, 2);
	memset(owner_record(&chain, &owners[1]), 0xff, sizeof(struct luo_file_ser));
	luo_chain_remove(&chain, &owners[1].slot);
	KUNIT_ASSERT_EQ(test, luo_chain_add(&chain, &again.slot), 0);
	KUNIT_EXPECT_TRUE(test, mem_is_zero(owner_record(&chain, &again),
					    sizeof(struct luo_file_ser)));
	luo_chain_free(&chain);
}

static void removed_record_leaves_no_trace(struct kunit *test)
{
	struct luo_file_ser *second;
	struct luo_chain chain;
	struct owner *owners;

	chain_init(test, &chain, 0);
	owners = owners_new(test, &chain, 2);
	second = owner_record(&chain, &owners[1]);
	luo_chain_remove(&chain, &owners[0].slot);
	KUNIT_EXPECT_TRUE(test, mem_is_zero(second, sizeof(*second)));
	luo_chain_free(&chain);
}

/* ---- want of memory ---- */

static void chain_that_can_not_grow_is_as_before(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_chain chain;
	struct owner more;

	chain_init(test, &chain, 0);
	luo_test_fail_step(t, 1, -ENOMEM);
	KUNIT_EXPECT_EQ(test, add(&chain, &more, 0), -ENOMEM);
	expect_blocks(test, &chain, 0);

	owners_new(test, &chain, PER_BLOCK);
	luo_test_fail_step(t, 1, -ENOSPC);
	KUNIT_EXPECT_EQ(test, add(&chain, &more, 0), -ENOSPC);
	expect_blocks(test, &chain, PER_BLOCK);
	KUNIT_EXPECT_EQ(test, add(&chain, &more, 0), 0);
	expect_blocks(test, &chain, PER_BLOCK + 1);
	luo_chain_free(&chain);
}

static void chain_that_can_not_note_a_block_is_as_before(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	unsigned int before = luo_test_pages(t);
	struct luo_chain chain;
	struct owner more;

	luo_test_need_fail_alloc(t);
	chain_init(test, &chain, 0);
	luo_test_fail_alloc(1);
	KUNIT_EXPECT_EQ(test, add(&chain, &more, 0), -ENOMEM);
	KUNIT_EXPECT_TRUE(test, luo_test_fail_alloc_done());
	expect_blocks(test, &chain, 0);
	KUNIT_EXPECT_EQ(test, luo_test_pages(t), before);
}

/* ---- the previous kernel's chains ---- */

#define PREVIOUS_BLOCKS	3

/* Three blocks, full but for the last, which has one record. */
static void previous_blocks(struct kunit *test,
			    struct luo_block_ser *blocks[PREVIOUS_BLOCKS])
{
	struct luo_file_ser *file;
	unsigned int i, j;
	u64 id = 0;

	for (i = 0; i < PREVIOUS_BLOCKS; i++) {
		blocks[i] = luo_test_previous_page(luo_test_of(test));
		if (i)
			blocks[i - 1]->next = virt_to_phys(blocks[i]);
		blocks[i]->count = i == PREVIOUS_BLOCKS - 1 ? 1 : PER_BLOCK;
		file = (void *)(blocks[i] + 1);
		for (j = 0; j < blocks[i]->count; j++)
			file[j].token = id++;
	}
}

#define PREVIOUS_RECORDS	(2 * PER_BLOCK + 1)

static void own_all(struct kunit *test, struct luo_chain *chain)
{
	struct luo_block *block;
	struct owner *o;
	u32 i;

	list_for_each_entry(block, &chain->blocks, node) {
		for (i = 0; i < block->ser->count; i++) {
			o = kunit_kzalloc(test, sizeof(*o), GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, o);
			luo_slot_own(&o->slot, block, i);
			o->id = owner_record(chain, o)->token;
		}
	}
}

static void chain_taken_over_is_a_chain_of_ours(struct kunit *test)
{
	struct luo_block_ser *blocks[PREVIOUS_BLOCKS];
	struct luo_chain chain;
	struct owner more;

	previous_blocks(test, blocks);
	chain_init(test, &chain, virt_to_phys(blocks[0]));
	KUNIT_EXPECT_EQ(test, luo_chain_first(&chain), virt_to_phys(blocks[0]));
	KUNIT_EXPECT_EQ(test, luo_chain_take_over(&chain, PREVIOUS_RECORDS), 0);
	expect_blocks(test, &chain, PREVIOUS_RECORDS);
	KUNIT_EXPECT_EQ(test, luo_chain_take_over(&chain, PREVIOUS_RECORDS), 0);

	own_all(test, &chain);
	KUNIT_EXPECT_EQ(test, add(&chain, &more, 0), 0);
	expect_blocks(test, &chain, PREVIOUS_RECORDS + 1);
	luo_chain_free(&chain);
}

static void blocks_with_few_records_are_taken_over(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	unsigned int before = luo_test_pages(t);
	struct luo_block_ser *blocks[PREVIOUS_BLOCKS];
	struct luo_chain chain;
	struct owner first, second, more;

	previous_blocks(test, blocks);
	blocks[0]->count = 1;
	blocks[1]->count = 1;
	blocks[1]->next = 0;
	chain_init(test, &chain, virt_to_phys(blocks[0]));
	KUNIT_EXPECT_EQ(test, luo_chain_take_over(&chain, 2), 0);
	KUNIT_EXPECT_EQ(test, chain.count, 2);

	luo_slot_own(&first.slot, list_first_entry(&chain.blocks, struct luo_block,
						   node), 0);
	luo_slot_own(&second.slot, list_last_entry(&chain.blocks, struct luo_block,
						   node), 0);
	KUNIT_EXPECT_EQ(test, add(&chain, &more, 7), 0);
	luo_chain_remove(&chain, &first.slot);
	KUNIT_EXPECT_EQ(test, owner_record(&chain, &more)->token, 7);
	luo_chain_remove(&chain, &more.slot);
	luo_chain_remove(&chain, &second.slot);
	KUNIT_EXPECT_EQ(test, luo_chain_first(&chain), 0);
	KUNIT_EXPECT_EQ(test, luo_test_pages(t), before);
}

/* Memory is full of pages of zeros, and each belongs to somebody. */
struct zeros_row {
	const char *name;
	unsigned int behind;
	u64 records;
	int err;
};

static const struct zeros_row zeros_rows[] = {
	{ "chain of as many as there are is empty", 0, U64_MAX, 0 },
	{ "chain of none is empty", 0, 0, 0 },
	{ "chain of one is none", 0, 1, -EBADMSG },
	{ "behind as many as there are", 1, U64_MAX, 0 },
	{ "behind as many as there must be", 1, PER_BLOCK, -EBADMSG },
	{ "behind one too few", 2, 2 * PER_BLOCK + 1, -EBADMSG },
};
KUNIT_ARRAY_PARAM_DESC(zeros, zeros_rows, name);

static void page_of_zeros_is_nobodys_block(struct kunit *test)
{
	const struct zeros_row *row = test->param_value;
	struct luo_test *t = luo_test_of(test);
	void *zeros = luo_test_previous_page(t);
	struct luo_block_ser *blocks[PREVIOUS_BLOCKS];
	u64 pa = virt_to_phys(zeros);
	struct luo_chain chain;

	previous_blocks(test, blocks);
	if (row->behind)
		blocks[row->behind - 1]->next = pa;
	chain_init(test, &chain, row->behind ? virt_to_phys(blocks[0]) : pa);
	KUNIT_EXPECT_EQ(test, luo_chain_take_over(&chain, row->records), row->err);
	KUNIT_EXPECT_EQ(test, chain.count, row->records == U64_MAX ?
			row->behind * PER_BLOCK : 0);
	KUNIT_EXPECT_TRUE(test, luo_test_page_is_previous(t, pa));
	luo_chain_free(&chain);
	KUNIT_EXPECT_TRUE(test, luo_test_page_is_previous(t, pa));
}

static void block_without_records_leads_nowhere(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_block_ser *none = luo_test_previous_page(t);
	struct luo_block_ser *blocks[PREVIOUS_BLOCKS];
	u64 pa = virt_to_phys(none);
	struct luo_chain chain;

	previous_blocks(test, blocks);
	blocks[0]->next = pa;
	none->next = virt_to_phys(blocks[1]);
	chain_init(test, &chain, virt_to_phys(blocks[0]));
	KUNIT_EXPECT_EQ(test, luo_chain_take_over(&chain, U64_MAX), -EBADMSG);
	KUNIT_EXPECT_EQ(test, chain.count, PER_BLOCK);
	KUNIT_EXPECT_TRUE(test, luo_test_page_is_previous(t, pa));
	luo_chain_free(&chain);
}

static void chain_that_is_left_keeps_its_blocks(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	unsigned int before = luo_test_pages(t);
	struct luo_block_ser *blocks[PREVIOUS_BLOCKS];
	struct luo_chain chain;
	unsigned int i;

	previous_blocks(test, blocks);
	chain_init(test, &chain, virt_to_phys(blocks[0]));
	KUNIT_EXPECT_EQ(test, luo_chain_take_over(&chain, PREVIOUS_RECORDS), 0);
	luo_chain_forget(&chain);
	KUNIT_EXPECT_EQ(test, luo_chain_first(&chain), 0);
	KUNIT_EXPECT_EQ(test, luo_test_pages(t), before + PREVIOUS_BLOCKS);
	for (i = 0; i < PREVIOUS_BLOCKS; i++)
		t->luo.memory->free(blocks[i]);
}

/* @blocks_left and @records_left are what can still be believed. */
struct damage_row {
	const char *name;
	void (*damage)(struct luo_block_ser *blocks[PREVIOUS_BLOCKS]);
	u64 records;
	unsigned int fail_step;
	unsigned int blocks_left;
};

static void leads_nowhere(struct luo_block_ser *blocks[PREVIOUS_BLOCKS])
{
	blocks[1]->next = PAGE_SIZE * 3;
}

static void is_not_aligned(struct luo_block_ser *blocks[PREVIOUS_BLOCKS])
{
	blocks[0]->next += 8;
}

static void leads_outside_of_memory(struct luo_block_ser *blocks[PREVIOUS_BLOCKS])
{
	blocks[0]->next = U64_MAX & PAGE_MASK;
}

static void leads_to_itself(struct luo_block_ser *blocks[PREVIOUS_BLOCKS])
{
	blocks[1]->next = virt_to_phys(blocks[1]);
}

static void leads_back(struct luo_block_ser *blocks[PREVIOUS_BLOCKS])
{
	blocks[2]->next = virt_to_phys(blocks[0]);
}

static void has_one_too_many(struct luo_block_ser *blocks[PREVIOUS_BLOCKS])
{
	blocks[1]->count = PER_BLOCK + 1;
}

static void has_as_many_as_can_be_said(struct luo_block_ser *blocks[PREVIOUS_BLOCKS])
{
	blocks[0]->count = U64_MAX;
}

static void is_sound(struct luo_block_ser *blocks[PREVIOUS_BLOCKS])
{
}

static const struct damage_row damage_rows[] = {
	{ "link leads to a page not preserved", leads_nowhere, U64_MAX, 0, 2 },
	{ "link is not aligned", is_not_aligned, U64_MAX, 0, 1 },
	{ "link leads outside of memory", leads_outside_of_memory, U64_MAX, 0, 1 },
	{ "block leads to itself", leads_to_itself, U64_MAX, 0, 2 },
	{ "last block leads to the first", leads_back, U64_MAX, 0, 3 },
	{ "block has one record too many", has_one_too_many, U64_MAX, 0, 1 },
	{ "count is the largest number", has_as_many_as_can_be_said, U64_MAX, 0, 0 },
	{ "one record more than there must be", is_sound, 2 * PER_BLOCK, 0, 0 },
	{ "one record less than there must be", is_sound, 2 * PER_BLOCK + 2, 0, 0 },
	{ "records although there must be none", is_sound, 0, 0, 0 },
	{ "any number of records in a circle", leads_back, U64_MAX - 1, 0, 0 },
	{ "any number of records in one block", leads_to_itself, U64_MAX - 1, 0, 0 },
	{ "as many records as there must be in a circle", leads_back,
	  2 * PER_BLOCK + 1, 0, 0 },
	{ "block of a known number can't be claimed", is_sound, 2 * PER_BLOCK + 1, 2, 1 },
	{ "first block can't be claimed", is_sound, U64_MAX, 1, 0 },
	{ "last block can't be claimed", is_sound, U64_MAX, 3, 2 },
};
KUNIT_ARRAY_PARAM_DESC(damage, damage_rows, name);

static void damaged_chain_ends_where_it_is_damaged(struct kunit *test)
{
	const struct damage_row *row = test->param_value;
	struct luo_block_ser *blocks[PREVIOUS_BLOCKS];
	struct luo_test *t = luo_test_of(test);
	struct luo_block *block;
	struct luo_chain chain;
	u64 count = 0, pa;
	unsigned int i;

	previous_blocks(test, blocks);
	row->damage(blocks);
	for (i = 0; i < row->blocks_left; i++)
		count += blocks[i]->count;
	chain_init(test, &chain, virt_to_phys(blocks[0]));
	luo_test_fail_step(t, row->fail_step, -ENOMEM);
	KUNIT_EXPECT_EQ(test, luo_chain_take_over(&chain, row->records),
			-EBADMSG);

	KUNIT_EXPECT_EQ(test, list_count_nodes(&chain.blocks), row->blocks_left);
	KUNIT_EXPECT_EQ(test, chain.count, count);
	pa = luo_chain_first(&chain);
	list_for_each_entry(block, &chain.blocks, node) {
		KUNIT_EXPECT_EQ(test, pa, virt_to_phys(block->ser));
		pa = block->ser->next;
	}
	KUNIT_EXPECT_EQ(test, pa, 0);
	for (i = row->blocks_left; i < PREVIOUS_BLOCKS; i++)
		KUNIT_EXPECT_TRUE(test, luo_test_page_is_previous(t, virt_to_phys(blocks[i])));
	luo_chain_free(&chain);
}

static void first_address_may_be_nonsense(struct kunit *test)
{
	static const u64 addresses[] = { 1, PAGE_SIZE, PAGE_SIZE - 1, U64_MAX,
					 U64_MAX & PAGE_MASK };
	struct luo_chain chain;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(addresses); i++) {
		chain_init(test, &chain, addresses[i]);
		KUNIT_EXPECT_EQ(test, luo_chain_take_over(&chain, U64_MAX), -EBADMSG);
		KUNIT_EXPECT_EQ(test, luo_chain_first(&chain), 0);
	}
}

static void block_of_two_chains_belongs_to_the_first(struct kunit *test)
{
	struct luo_block_ser *blocks[PREVIOUS_BLOCKS], *other;
	struct luo_chain chain, thief;

	previous_blocks(test, blocks);
	other = luo_test_previous_page(luo_test_of(test));
	other->count = 1;
	other->next = virt_to_phys(blocks[1]);

	chain_init(test, &chain, virt_to_phys(blocks[0]));
	KUNIT_EXPECT_EQ(test, luo_chain_take_over(&chain, U64_MAX), 0);
	chain_init(test, &thief, virt_to_phys(other));
	KUNIT_EXPECT_EQ(test, luo_chain_take_over(&thief, U64_MAX), -EBADMSG);
	KUNIT_EXPECT_EQ(test, thief.count, 1);
	KUNIT_EXPECT_EQ(test, other->next, 0);
	expect_blocks(test, &chain, PREVIOUS_RECORDS);
	luo_chain_free(&thief);
	luo_chain_free(&chain);
}

static void reading_goes_on_when_there_is_memory_again(struct kunit *test)
{
	struct luo_block_ser *blocks[PREVIOUS_BLOCKS];
	unsigned int nth, failures = 0;
	struct luo_chain chain;
	bool done;
	int err;

	luo_test_need_fail_alloc(luo_test_of(test));
	for (nth = 1, done = true; done; nth++) {
		previous_blocks(test, blocks);
		chain_init(test, &chain, virt_to_phys(blocks[0]));
		luo_test_fail_alloc(nth);
		err = luo_chain_take_over(&chain, U64_MAX);
		done = luo_test_fail_alloc_done();
		KUNIT_EXPECT_EQ(test, luo_chain_first(&chain), virt_to_phys(blocks[0]));
		if (err) {
			failures++;
			KUNIT_EXPECT_EQ(test, err, -ENOMEM);
			KUNIT_EXPECT_LT(test, list_count_nodes(&chain.blocks), PREVIOUS_BLOCKS);
		}
		KUNIT_EXPECT_EQ(test, luo_chain_take_over(&chain, U64_MAX), 0);
		expect_blocks(test, &chain, PREVIOUS_RECORDS);
		luo_chain_free(&chain);
	}
	KUNIT_EXPECT_GT(test, failures, 0);
}

/* ---- names ---- */

struct name_row {
	const char *name;
	const char *text;
	bool valid;
};

#define FORTY_SEVEN	"12345678901234567890123456789012345678901234567"

static const struct name_row name_rows[] = {
	{ "no character is too few", "", false },
	{ "one character is enough", "1", true },
	{ "all but the last byte may be used", FORTY_SEVEN, true },
	{ "the last byte must be NUL", FORTY_SEVEN "8", false },
};
KUNIT_ARRAY_PARAM_DESC(name, name_rows, name);

static void name_has_a_character_and_its_nul(struct kunit *test)
{
	const struct name_row *row = test->param_value;
	char field[LUO_HANDLER_NAME_LENGTH];

	memset(field, 0, sizeof(field));
	memcpy(field, row->text, strlen(row->text));
	KUNIT_EXPECT_EQ(test, luo_name_valid(field), row->valid);
}

static struct kunit_case luo_records_cases[] = {
	KUNIT_CASE(block_holds_what_the_format_says),
	KUNIT_CASE_PARAM(chain_uses_as_few_blocks_as_can_be, length_gen_params),
	KUNIT_CASE_PARAM(owners_keep_their_records_when_others_are_removed,
			 order_gen_params),
	KUNIT_CASE(place_that_is_used_again_is_zeroed),
	KUNIT_CASE(removed_record_leaves_no_trace),
	KUNIT_CASE(chain_that_can_not_grow_is_as_before),
	KUNIT_CASE(chain_that_can_not_note_a_block_is_as_before),
	KUNIT_CASE(chain_taken_over_is_a_chain_of_ours),
	KUNIT_CASE(blocks_with_few_records_are_taken_over),
	KUNIT_CASE_PARAM(page_of_zeros_is_nobodys_block, zeros_gen_params),
	KUNIT_CASE(block_without_records_leads_nowhere),
	KUNIT_CASE(chain_that_is_left_keeps_its_blocks),
	KUNIT_CASE_PARAM(damaged_chain_ends_where_it_is_damaged, damage_gen_params),
	KUNIT_CASE(first_address_may_be_nonsense),
	KUNIT_CASE(block_of_two_chains_belongs_to_the_first),
	KUNIT_CASE(reading_goes_on_when_there_is_memory_again),
	KUNIT_CASE_PARAM(name_has_a_character_and_its_nul, name_gen_params),
	{}
};

static struct kunit_suite luo_records_suite = {
	.name = "luo_records",
	.init = luo_test_init,
	.exit = luo_test_exit,
	.test_cases = luo_records_cases,
};
kunit_test_suite(luo_records_suite);
