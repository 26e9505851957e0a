// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memfds that are preserved again before their folios are there:
 * mm/memfd_luo_again.c.
 */

#include <kunit/static_stub.h>
#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/kho/place.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/shmem_fs.h>
#include <linux/swap.h>
#include <linux/xarray.h>

#include "memfd_test_index.h"

/* Three units are full, and the fourth is not. */
#define NR_FOLIOS	(3 * PER_PAGE + 20)
#define FILE_END	(NR_FOLIOS + 2)
#define MAX_FILE_END	(FILE_END + 2 * PER_PAGE)

/* In the second, and in the third. */
#define LATE		(PER_PAGE + 5)
#define LATER		(2 * PER_PAGE + 5)

static struct liveupdate_file_op_args args_for(struct file *file)
{
	struct liveupdate_file_op_args args = memfd_args_at(0);

	args.file = file;
	return args;
}

static void fill(struct kunit *test, struct file *file, u64 index)
{
	loff_t pos = index << PAGE_SHIFT;
	u8 byte = content_of(index);

	KUNIT_ASSERT_EQ(test, kernel_write(file, &byte, 1, &pos), 1);
}

/* ---- what is handed on ---- */

/* What is found in a list of records, and what it comes to. */
struct list_check {
	struct kunit *test;
	const struct memfd_ser *ser;
	unsigned long *seen;
	u64 next, sum, index_sum, pages;
};

static void check_record(struct list_check *c, const struct memfd_folio_ser *record,
			 bool sorted)
{
	u64 pfn = record->pfn_flags & MEMFD_FOLIO_PFN_MASK, index = record->index;
	const u8 *page = pfn_to_kaddr(pfn);

	KUNIT_ASSERT_TRUE(c->test, pfn_valid(pfn));
	KUNIT_ASSERT_LT(c->test, index, MAX_FILE_END);
	KUNIT_EXPECT_EQ(c->test, record->pfn_flags & ~MEMFD_FOLIO_PFN_MASK, RECORD_FLAGS);
	KUNIT_EXPECT_FALSE_MSG(c->test, __test_and_set_bit(index, c->seen),
			       "index %llu comes twice", index);
	KUNIT_EXPECT_TRUE_MSG(c->test, page_is_preserved(page), "index %llu", index);
	KUNIT_EXPECT_EQ_MSG(c->test, page[0], content_of(index), "index %llu", index);
	if (sorted) {
		KUNIT_EXPECT_GE(c->test, index, c->next);
		c->next = index + 1;
	}
	c->pages++;
}

static void check_page(struct list_check *c, const struct memfd_index_ser *index,
		       unsigned int i, bool sorted)
{
	const struct memfd_folio_ser *records = phys_to_virt(index->phys[i]);
	unsigned int k, nr = min(c->ser->nr_folios - i * PER_PAGE, PER_PAGE);
	u64 sum = 0;

	KUNIT_EXPECT_TRUE(c->test, page_is_preserved(records));
	KUNIT_EXPECT_EQ(c->test, index->first[i], records[0].index);
	for (k = 0; k < nr; k++) {
		check_record(c, &records[k], sorted);
		sum += memfd_sum(records[k].pfn_flags, records[k].index);
	}
	KUNIT_EXPECT_EQ(c->test, index->sum[i], sum);
	c->sum += sum + memfd_sum(index->phys[i], 0);
	c->index_sum += memfd_sum(index->first[i], sum);
}

/* The next kernel finds all @pages of the file, by an index that it can take. */
static void expect_list(struct kunit *test, const struct liveupdate_file_op_args *args,
			u64 pages, unsigned int sorted)
{
	const struct memfd_ser *ser = phys_to_virt(args->serialized_data);
	const struct memfd_ext_ser *ext = (const void *)(ser + 1);
	const struct memfd_index_ser *index = phys_to_virt(ser->folios.first);
	struct list_check c = {
		.test = test,
		.ser = ser,
		.seen = kunit_kcalloc(test, BITS_TO_LONGS(MAX_FILE_END), sizeof(long),
				      GFP_KERNEL),
	};
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, c.seen);
	KUNIT_ASSERT_EQ(test, ser->folios.total_pages, DIV_ROUND_UP(ser->nr_folios, PER_PAGE));
	KUNIT_EXPECT_TRUE(test, page_is_preserved(index));
	KUNIT_EXPECT_EQ(test, index->next, 0);
	KUNIT_EXPECT_EQ(test, index->phys[ser->folios.total_pages], 0);
	for (i = 0; i < ser->folios.total_pages; i++)
		check_page(&c, index, i, i < ext->sorted);

	KUNIT_EXPECT_EQ(test, ser->nr_folios, pages);
	KUNIT_EXPECT_EQ(test, c.pages, pages);
	KUNIT_EXPECT_EQ(test, ext->pages, pages);
	KUNIT_EXPECT_EQ(test, ext->sorted, sorted);
	KUNIT_EXPECT_EQ(test, ext->sum, c.sum + memfd_sum(ser->folios.first, 0));
	KUNIT_EXPECT_EQ(test, ext->index_sum, c.index_sum + memfd_sum(ext->sorted, ext->pages));
	KUNIT_EXPECT_EQ(test, args->preserved_bytes, pages << PAGE_SHIFT);
}

static void expect_free(struct kunit *test, struct file *file)
{
	KUNIT_EXPECT_FALSE(test, SHMEM_I(file_inode(file))->seals &
				 (SHMEM_SEAL_HELD | SHMEM_SEAL_FROZEN));
	KUNIT_EXPECT_FALSE(test, mapping_tagged(file->f_mapping, SHMEM_TAG_FILLED));
	KUNIT_EXPECT_FALSE(test, mapping_unevictable(file->f_mapping));
}

/* Nobody but the page cache has a reference. */
static void expect_unpinned(struct kunit *test, struct file *file)
{
	struct folio *folio;
	u64 i;

	lru_add_drain_all();
	for (i = 0; i < FILE_END; i++) {
		folio = filemap_get_folio(file->f_mapping, i);
		if (IS_ERR(folio))
			continue;
		KUNIT_EXPECT_EQ_MSG(test, folio_ref_count(folio), 2, "page %llu", i);
		KUNIT_EXPECT_FALSE(test, page_is_preserved(folio_address(folio)));
		folio_put(folio);
	}
}

/* Of the pages of records: some may be somebody's by now, but not all. */
static bool some_records_are_free(const struct indexed *h)
{
	unsigned int i, nr = 0;

	for (i = 0; i < MAX_UNITS && h->records[i]; i++)
		nr += !page_count(virt_to_page(h->records[i]));
	return nr;
}

/* ---- states ---- */

static void nothing_comes_in(struct kunit *test, struct file *file)
{
}

static void first_comes_in(struct kunit *test, struct file *file)
{
	KUNIT_ASSERT_EQ(test, read_byte(file, 0), content_of(0));
}

static void second_comes_in(struct kunit *test, struct file *file)
{
	KUNIT_ASSERT_EQ(test, read_byte(file, LATE), content_of(LATE));
}

static void two_come_in(struct kunit *test, struct file *file)
{
	second_comes_in(test, file);
	KUNIT_ASSERT_EQ(test, read_byte(file, LATER), content_of(LATER));
}

static void last_comes_in(struct kunit *test, struct file *file)
{
	KUNIT_ASSERT_EQ(test, read_byte(file, FILE_END - 1), content_of(FILE_END - 1));
}

static void all_come_in(struct kunit *test, struct file *file)
{
	expect_pages(test, file, 0, FILE_END);
}

static void first_hole_is_filled(struct kunit *test, struct file *file)
{
	fill(test, file, HOLE);
}

static void second_hole_is_filled(struct kunit *test, struct file *file)
{
	fill(test, file, LATE_HOLE);
}

static void both_holes_are_filled(struct kunit *test, struct file *file)
{
	fill(test, file, HOLE);
	fill(test, file, LATE_HOLE);
}

static void second_hole_is_filled_and_third_comes_in(struct kunit *test, struct file *file)
{
	fill(test, file, LATE_HOLE);
	KUNIT_ASSERT_EQ(test, read_byte(file, LATER), content_of(LATER));
}

/* What is preserved then: units that wait, folios, pages of records that go up. */
struct state_row {
	const char *name;
	void (*come)(struct kunit *test, struct file *file);
	unsigned int waiting, folios, sorted;
};

static const struct state_row state_rows[] = {
	{ "nothing came in", nothing_comes_in, 3, NR_FOLIOS, 4 },
	{ "the first unit came in", first_comes_in, 2, NR_FOLIOS, 4 },
	{ "the second unit came in", second_comes_in, 2, NR_FOLIOS, 4 },
	{ "the second and the third unit came in", two_come_in, 1, NR_FOLIOS, 4 },
	{ "the last unit came in", last_comes_in, 3, NR_FOLIOS, 4 },
	{ "all came in", all_come_in, 0, NR_FOLIOS, 4 },
	{ "a hole was filled in the first", first_hole_is_filled, 2, NR_FOLIOS + 1, 3 },
	{ "a hole was filled in the second", second_hole_is_filled, 2, NR_FOLIOS + 1, 3 },
	{ "holes were filled in two", both_holes_are_filled, 1, NR_FOLIOS + 2, 3 },
	{ "a hole was filled, and what is behind it came in",
	  second_hole_is_filled_and_third_comes_in, 1, NR_FOLIOS + 1, 4 },
};
KUNIT_ARRAY_PARAM_DESC(state, state_rows, name);

/* The holes of a row that are none any more read as their content. */
static void expect_content(struct kunit *test, struct file *file)
{
	u64 i;
	int byte;

	for (i = 0; i < FILE_END; i++) {
		byte = read_byte(file, i);
		if (!byte && (i == HOLE || i == LATE_HOLE))
			continue;
		KUNIT_EXPECT_EQ_MSG(test, byte, content_of(i), "page %llu", i);
	}
}

static void what_waits_is_handed_on_as_it_is(struct kunit *test)
{
	const struct state_row *row = test->param_value;
	struct indexed *h = indexed_new(test, NR_FOLIOS);
	struct file *file = retrieved(h);
	struct liveupdate_file_op_args args = args_for(file);

	row->come(test, file);
	KUNIT_ASSERT_EQ(test, memfd_ops()->preserve(&args), 0);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), row->waiting * (PER_PAGE + 1));
	KUNIT_EXPECT_EQ(test, memfd_demand_waiting(file), row->waiting * PER_PAGE << PAGE_SHIFT);
	expect_list(test, &args, row->folios, row->sorted);
	KUNIT_EXPECT_EQ(test, memfd_ops()->freeze(&args), 0);
	expect_list(test, &args, row->folios, row->sorted);
	memfd_ops()->unfreeze(&args);

	memfd_ops()->unpreserve(&args);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), row->waiting * (PER_PAGE + 1));
	expect_free(test, file);
	expect_unpinned(test, file);
	expect_content(test, file);
	KUNIT_EXPECT_FALSE(test, is_partial(file));
	expect_unpinned(test, file);
	memfd_put_file(file);
}

static void what_is_handed_on_comes_in_and_stays_preserved(struct kunit *test)
{
	const struct state_row *row = test->param_value;
	struct indexed *h = indexed_new(test, NR_FOLIOS);
	struct file *file = retrieved(h);
	struct liveupdate_file_op_args args = args_for(file);

	row->come(test, file);
	KUNIT_ASSERT_EQ(test, memfd_ops()->preserve(&args), 0);
	expect_content(test, file);
	KUNIT_EXPECT_FALSE(test, is_partial(file));
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), 0);
	KUNIT_EXPECT_EQ(test, SHMEM_I(file_inode(file))->alloced, row->folios);
	expect_list(test, &args, row->folios, row->sorted);
	KUNIT_EXPECT_EQ(test, memfd_ops()->freeze(&args), 0);
	expect_list(test, &args, row->folios, row->sorted);
	memfd_ops()->unfreeze(&args);

	memfd_ops()->unpreserve(&args);
	expect_free(test, file);
	expect_unpinned(test, file);
	expect_content(test, file);
	memfd_put_file(file);
}

/* What came in while it was handed on is recorded anew. */
static void file_can_be_preserved_once_more(struct kunit *test)
{
	const struct state_row *row = test->param_value;
	struct indexed *h = indexed_new(test, NR_FOLIOS);
	struct file *file = retrieved(h);
	struct liveupdate_file_op_args args = args_for(file), again = args_for(file);

	KUNIT_ASSERT_EQ(test, memfd_ops()->preserve(&args), 0);
	row->come(test, file);
	KUNIT_EXPECT_EQ(test, memfd_ops()->freeze(&args), 0);
	memfd_ops()->unfreeze(&args);
	memfd_ops()->unpreserve(&args);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), row->waiting * (PER_PAGE + 1));
	expect_unpinned(test, file);

	KUNIT_ASSERT_EQ(test, memfd_ops()->preserve(&again), 0);
	expect_list(test, &again, row->folios, row->sorted);
	memfd_ops()->unpreserve(&again);
	expect_content(test, file);
	memfd_put_file(file);
}

static void pages_of_records_are_freed_with_the_others(struct kunit *test)
{
	struct indexed *h = indexed_new(test, 3 * PER_PAGE);
	struct file *file = retrieved(h);
	struct liveupdate_file_op_args args = args_for(file);

	KUNIT_ASSERT_EQ(test, memfd_ops()->preserve(&args), 0);
	expect_pages(test, file, 0, 3 * PER_PAGE + 2);
	KUNIT_EXPECT_FALSE(test, some_records_are_free(h));
	memfd_ops()->unpreserve(&args);
	KUNIT_EXPECT_TRUE(test, some_records_are_free(h));
	memfd_put_file(file);
}

/* ---- holes that are filled meanwhile ---- */

static void hole_is_filled_in_what_is_handed_on(struct kunit *test)
{
	struct indexed *h = indexed_new(test, NR_FOLIOS);
	struct file *file = retrieved(h);
	struct liveupdate_file_op_args args = args_for(file);

	KUNIT_ASSERT_EQ(test, memfd_ops()->preserve(&args), 0);
	fill(test, file, HOLE);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), 2 * (PER_PAGE + 1));
	KUNIT_ASSERT_EQ(test, memfd_ops()->freeze(&args), 0);
	expect_list(test, &args, NR_FOLIOS + 1, 3);
	memfd_ops()->unfreeze(&args);
	memfd_ops()->unpreserve(&args);
	expect_unpinned(test, file);
	memfd_put_file(file);
}

/* As it stands behind a unit, whose records may go on behind it for all one knows. */
static void hole_is_filled_behind_the_last_unit(struct kunit *test)
{
	struct indexed *h = indexed_new(test, 3 * PER_PAGE);
	struct file *file;
	struct liveupdate_file_op_args args;

	h->ser->size += 2 * PAGE_SIZE;
	file = retrieved(h);
	args = args_for(file);
	KUNIT_ASSERT_EQ(test, memfd_ops()->preserve(&args), 0);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), 3 * (PER_PAGE + 1));
	expect_list(test, &args, 3 * PER_PAGE, 3);
	fill(test, file, 3 * PER_PAGE + 3);
	KUNIT_ASSERT_EQ(test, memfd_ops()->freeze(&args), 0);
	expect_list(test, &args, 3 * PER_PAGE + 1, 3);
	memfd_ops()->unfreeze(&args);
	memfd_ops()->unpreserve(&args);
	memfd_put_file(file);
}

/* The last page of records has what filled a hole in the first unit, a kernel ago. */
static void unit_with_an_older_folio_comes_in(struct kunit *test)
{
	struct indexed *h = indexed_new(test, 3 * PER_PAGE + 1);
	struct file *file;
	struct liveupdate_file_op_args args;
	void *folio = phys_to_virt(PFN_PHYS(record_of(h, 3 * PER_PAGE)->pfn_flags &
					    MEMFD_FOLIO_PFN_MASK));

	record_of(h, 3 * PER_PAGE)->index = HOLE;
	memset(folio, content_of(HOLE), PAGE_SIZE);
	h->ext->sorted = 3;
	index_make(h);
	file = retrieved(h);
	args = args_for(file);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), 3 * (PER_PAGE + 1));
	KUNIT_ASSERT_EQ(test, memfd_ops()->preserve(&args), 0);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), 2 * (PER_PAGE + 1));
	expect_list(test, &args, 3 * PER_PAGE + 1, 3);
	memfd_ops()->unpreserve(&args);
	expect_unpinned(test, file);
	memfd_put_file(file);
}

/* ---- what goes wrong ---- */

static void folio_is_nowhere(struct indexed *h)
{
	record_of(h, LATE)->pfn_flags = RECORD_FLAGS | PHYS_PFN(virt_to_phys(h));
}

static void what_is_lost_is_not_handed_on(struct kunit *test)
{
	struct indexed *h = indexed_new(test, NR_FOLIOS);
	struct file *file;
	struct liveupdate_file_op_args args;
	unsigned int left = 2 * (PER_PAGE + 1) + PER_PAGE + 1;

	folio_is_nowhere(h);
	file = retrieved(h);
	args = args_for(file);
	last_comes_in(test, file);
	KUNIT_EXPECT_EQ(test, read_byte(file, LATE), -EIO);
	KUNIT_EXPECT_EQ(test, memfd_ops()->preserve(&args), -EIO);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), left);
	expect_free(test, file);
	expect_unpinned(test, file);
	KUNIT_EXPECT_EQ(test, read_byte(file, 0), content_of(0));
	KUNIT_EXPECT_EQ(test, read_byte(file, LATER), content_of(LATER));
	memfd_put_file(file);
}

/* It was handed on before anybody looked at it. */
static void what_is_found_lost_stops_freeze(struct kunit *test)
{
	struct indexed *h = indexed_new(test, NR_FOLIOS);
	struct file *file;
	struct liveupdate_file_op_args args;

	folio_is_nowhere(h);
	file = retrieved(h);
	args = args_for(file);
	KUNIT_ASSERT_EQ(test, memfd_ops()->preserve(&args), 0);
	KUNIT_EXPECT_EQ(test, memfd_ops()->freeze(&args), 0);
	memfd_ops()->unfreeze(&args);
	KUNIT_EXPECT_EQ(test, read_byte(file, LATE), -EIO);
	KUNIT_EXPECT_EQ(test, memfd_ops()->freeze(&args), -EIO);
	KUNIT_EXPECT_FALSE(test, SHMEM_I(file_inode(file))->seals & SHMEM_SEAL_FROZEN);
	memfd_ops()->unpreserve(&args);
	expect_free(test, file);
	KUNIT_EXPECT_EQ(test, read_byte(file, 0), content_of(0));
	KUNIT_EXPECT_EQ(test, read_byte(file, LATER), content_of(LATER));
	expect_unpinned(test, file);
	/* Nobody can say whose they are. */
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), PER_PAGE + 1);
	memfd_put_file(file);
}

/* Somebody is where a folio belongs, which no damage that is noticed before explains. */
static void unit_that_comes_in_by_halves_is_not_handed_on(struct kunit *test)
{
	struct indexed *h = indexed_new(test, NR_FOLIOS);
	struct file *file = retrieved(h);
	struct liveupdate_file_op_args args = args_for(file);
	struct xarray *pages = &file->f_mapping->i_pages;
	const u64 taken = LATE + 100;

	KUNIT_ASSERT_EQ(test, memfd_ops()->preserve(&args), 0);
	KUNIT_ASSERT_NULL(test, xa_store_irq(pages, taken, xa_mk_value(0), GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, read_byte(file, LATER), content_of(LATER));
	KUNIT_EXPECT_EQ(test, read_byte(file, PER_PAGE + 1), -EIO);
	xa_erase_irq(pages, taken);
	KUNIT_EXPECT_EQ(test, memfd_ops()->freeze(&args), -EIO);
	memfd_ops()->unpreserve(&args);
	expect_free(test, file);
	expect_unpinned(test, file);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), PER_PAGE + 1);
	KUNIT_EXPECT_FALSE(test, page_is_preserved(h->records[1]));
	memfd_put_file(file);
}

static void preserve_that_lacks_memory_changes_nothing(struct kunit *test)
{
	struct liveupdate_file_op_args args;
	unsigned int nth, failures = 0;
	struct indexed *h;
	struct file *file;
	bool done;
	int err;

	luo_test_need_fail_alloc(luo_test_of(test));
	h = indexed_new(test, NR_FOLIOS);
	file = retrieved(h);
	args = args_for(file);
	second_hole_is_filled(test, file);
	last_comes_in(test, file);
	luo_test_page_failures(test, true);
	for (nth = 1, done = true; done; nth++) {
		luo_test_fail_alloc(nth);
		err = memfd_ops()->preserve(&args);
		done = luo_test_fail_alloc_done();
		if (err) {
			failures++;
			KUNIT_EXPECT_EQ(test, err, -ENOMEM);
		} else {
			expect_list(test, &args, NR_FOLIOS + 1, 3);
			memfd_ops()->unpreserve(&args);
		}
		KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), 2 * (PER_PAGE + 1));
		expect_free(test, file);
	}
	luo_test_page_failures(test, false);
	KUNIT_EXPECT_GE(test, failures, 4);
	expect_unpinned(test, file);
	expect_content(test, file);
	memfd_put_file(file);
}

/* The third unit's, whose page nobody looks at else. */
static void page_that_waits_and_is_lost_stops_what_hands_it_on(struct kunit *test)
{
	struct liveupdate_file_op_args args;
	struct indexed *h;
	struct file *file;
	unsigned long pfn;

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE))
		kunit_skip(test, "needs MEMORY_FAILURE");
	h = indexed_new(test, NR_FOLIOS);
	file = retrieved(h);
	args = args_for(file);
	pfn = record_of(h, LATER)->pfn_flags & MEMFD_FOLIO_PFN_MASK;
	/* Somewhere else in the machine. */
	num_poisoned_pages_inc(pfn);
	KUNIT_ASSERT_EQ(test, memfd_ops()->preserve(&args), 0);
	SetPageHWPoison(pfn_to_page(pfn));
	num_poisoned_pages_inc(pfn);
	KUNIT_EXPECT_EQ(test, memfd_ops()->freeze(&args), -EHWPOISON);
	memfd_ops()->unpreserve(&args);
	KUNIT_EXPECT_EQ(test, memfd_ops()->preserve(&args), -EHWPOISON);
	expect_free(test, file);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), 3 * (PER_PAGE + 1));
	ClearPageHWPoison(pfn_to_page(pfn));
	num_poisoned_pages_sub(pfn, 2);
	expect_content(test, file);
	memfd_put_file(file);
}

static bool yes(void)
{
	return true;
}

/* Where what is pinned is in the way of others. */
static void zone_movable_is_not_pinned(struct kunit *test)
{
	struct indexed *h = indexed_new(test, NR_FOLIOS);
	struct file *file = retrieved(h);
	struct liveupdate_file_op_args args = args_for(file);

	kunit_activate_static_stub(test, kho_has_zone_movable, yes);
	KUNIT_ASSERT_EQ(test, memfd_ops()->preserve(&args), 0);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), 0);
	expect_list(test, &args, NR_FOLIOS, 4);
	memfd_ops()->unpreserve(&args);
	memfd_put_file(file);
}

static bool is_forgotten(const void *page)
{
	kho_hold_unclaimed();
	kho_release_unclaimed();
	return !page_is_preserved(page);
}

/* Whether or not others wait for something of the previous kernel. */
static void what_waits_is_not_forgotten(struct kunit *test)
{
	struct indexed *h = indexed_new(test, NR_FOLIOS);
	struct file *file = retrieved(h);
	const void *nobodys = waiting_block_new(&h->blocks, 0);

	KUNIT_EXPECT_FALSE(test, is_forgotten(h->records[2]));
	KUNIT_EXPECT_FALSE(test, is_forgotten(nobodys));
	memfd_put_file(file);
	flush_workqueue(memfd_demand_wq);
	KUNIT_EXPECT_TRUE(test, is_forgotten(nobodys));
}

static struct kunit_case memfd_again_cases[] = {
	KUNIT_CASE_PARAM(what_waits_is_handed_on_as_it_is, state_gen_params),
	KUNIT_CASE_PARAM(what_is_handed_on_comes_in_and_stays_preserved, state_gen_params),
	KUNIT_CASE_PARAM(file_can_be_preserved_once_more, state_gen_params),
	KUNIT_CASE(pages_of_records_are_freed_with_the_others),
	KUNIT_CASE(hole_is_filled_in_what_is_handed_on),
	KUNIT_CASE(hole_is_filled_behind_the_last_unit),
	KUNIT_CASE(unit_with_an_older_folio_comes_in),
	KUNIT_CASE(what_is_lost_is_not_handed_on),
	KUNIT_CASE(what_is_found_lost_stops_freeze),
	KUNIT_CASE(unit_that_comes_in_by_halves_is_not_handed_on),
	KUNIT_CASE(preserve_that_lacks_memory_changes_nothing),
	KUNIT_CASE(page_that_waits_and_is_lost_stops_what_hands_it_on),
	KUNIT_CASE(zone_movable_is_not_pinned),
	KUNIT_CASE(what_waits_is_not_forgotten),
	{}
};

static struct kunit_suite memfd_again_suite = {
	.name = "memfd_again",
	.init = memfd_demand_test_init,
	.exit = memfd_demand_test_exit,
	.test_cases = memfd_again_cases,
};
kunit_test_suite(memfd_again_suite);
