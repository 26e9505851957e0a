// SPDX-License-Identifier: GPL-2.0-only
/*
 * Folios of memfds that come in when they are needed: mm/memfd_luo_demand.c.
 */

#include <kunit/test.h>
#include <linux/falloc.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/liveupdate.h>
#include <linux/memfd.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/shmem_fs.h>

#include "memfd_test_index.h"

/* The first unit is full, the second is not; a hole is in each. */
#define NR_FOLIOS	(PER_PAGE + 20)
#define FILE_END	(NR_FOLIOS + 2)
#define LATE		(PER_PAGE + 5)

/* Whoever has looked before the last folio came in looks once more. */
static bool holes_are_doubted(struct file *file)
{
	return READ_ONCE(SHMEM_I(file_inode(file))->seals) & SHMEM_SEAL_DEMAND;
}

static void folios_come_in_with_their_unit(struct kunit *test)
{
	struct indexed *h = indexed_new(test, NR_FOLIOS);
	const long ram = totalram_pages() + waiting_blocks_left(&h->blocks);
	struct file *file = retrieved(h);
	struct kstat stat;

	KUNIT_EXPECT_TRUE(test, is_partial(file));
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), NR_FOLIOS + 2);
	KUNIT_ASSERT_EQ(test, vfs_getattr(&file->f_path, &stat, STATX_BASIC_STATS, 0), 0);
	KUNIT_EXPECT_EQ(test, stat.blocks, NR_FOLIOS * (PAGE_SIZE / 512));

	KUNIT_EXPECT_EQ(test, read_byte(file, LATE), content_of(LATE));
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), PER_PAGE + 1);
	KUNIT_EXPECT_TRUE(test, is_partial(file));
	KUNIT_ASSERT_EQ(test, vfs_getattr(&file->f_path, &stat, STATX_BASIC_STATS, 0), 0);
	KUNIT_EXPECT_EQ(test, stat.blocks, NR_FOLIOS * (PAGE_SIZE / 512));

	KUNIT_EXPECT_EQ(test, read_byte(file, 0), content_of(0));
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), 0);
	KUNIT_EXPECT_FALSE(test, is_partial(file));
	KUNIT_EXPECT_TRUE(test, holes_are_doubted(file));
	KUNIT_EXPECT_EQ(test, memfd_demand_index(file_inode(file), HOLE), 0);
	KUNIT_EXPECT_EQ(test, totalram_pages(), ram);
	KUNIT_EXPECT_EQ(test, SHMEM_I(file_inode(file))->alloced, NR_FOLIOS);
	expect_pages(test, file, 0, FILE_END);
	memfd_put_file(file);
}

/* Also when who fills it comes before its unit. */
static void hole_can_be_filled(struct kunit *test)
{
	struct indexed *h = indexed_new(test, NR_FOLIOS);
	struct file *file = retrieved(h);
	loff_t pos = HOLE << PAGE_SHIFT;
	u8 byte = 99;

	KUNIT_EXPECT_EQ(test, kernel_write(file, &byte, 1, &pos), 1);
	KUNIT_EXPECT_EQ(test, read_byte(file, HOLE), 99);
	expect_pages(test, file, HOLE + 1, FILE_END);
	KUNIT_EXPECT_FALSE(test, is_partial(file));
	memfd_put_file(file);
}

static void the_rest_comes_in_meanwhile(struct kunit *test)
{
	struct indexed *h = indexed_new(test, NR_FOLIOS);
	unsigned long end = jiffies + 10 * HZ;
	struct file *file;

	memfd_demand_only = false;
	file = retrieved(h);
	while (is_partial(file) && time_before(jiffies, end))
		schedule_timeout_uninterruptible(1);
	KUNIT_EXPECT_FALSE(test, is_partial(file));
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), 0);
	expect_pages(test, file, 0, FILE_END);
	memfd_put_file(file);
}

static void what_nobody_used_is_freed_with_the_file(struct kunit *test)
{
	struct indexed *h = indexed_new(test, NR_FOLIOS);
	const long ram = totalram_pages() + waiting_blocks_left(&h->blocks);
	struct file *file = retrieved(h);

	KUNIT_EXPECT_EQ(test, read_byte(file, LATE), content_of(LATE));
	memfd_put_file(file);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), 0);
	KUNIT_EXPECT_EQ(test, totalram_pages(), ram);
}

/* ---- what needs all folios ---- */

static int op_truncate(struct file *file)
{
	return do_truncate(file_mnt_idmap(file), file->f_path.dentry, PAGE_SIZE, 0, file);
}

static int op_punch(struct file *file)
{
	return vfs_fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			     PAGE_SIZE, (FILE_END - 1) << PAGE_SHIFT);
}

/* What is behind the end in the last page is cleared. */
static int op_truncate_to_its_size(struct file *file)
{
	return do_truncate(file_mnt_idmap(file), file->f_path.dentry,
			   i_size_read(file_inode(file)), 0, file);
}

static int op_seek(struct file *file)
{
	loff_t found = vfs_llseek(file, 0, SEEK_HOLE);

	return found < 0 ? found : found == HOLE << PAGE_SHIFT ? 0 : -EBADMSG;
}

struct op_row {
	const char *name;
	int (*op)(struct file *file);
	bool loses;
	/* What it says where something is lost. */
	int late;
};

static const struct op_row op_rows[] = {
	{ "truncate", op_truncate, .loses = true },
	{ "punch", op_punch, .loses = true },
	{ "truncate to its size", op_truncate_to_its_size },
	{ "seek", op_seek, .late = -EIO },
};
KUNIT_ARRAY_PARAM_DESC(op, op_rows, name);

static void all_come_in_before(struct kunit *test)
{
	const struct op_row *row = test->param_value;
	struct indexed *h = indexed_new(test, NR_FOLIOS);
	struct file *file = retrieved(h);

	KUNIT_EXPECT_EQ(test, row->op(file), 0);
	KUNIT_EXPECT_FALSE(test, is_partial(file));
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), 0);
	if (row->loses)
		KUNIT_EXPECT_EQ(test, SHMEM_I(file_inode(file))->alloced, 1);
	expect_pages(test, file, 0, row->loses ? 1 : FILE_END);
	memfd_put_file(file);
}

/* ---- damage ---- */

static void folio_is_nowhere(struct indexed *h)
{
	record_of(h, LATE)->pfn_flags = RECORD_FLAGS | PHYS_PFN(virt_to_phys(h));
}

static void folio_is_another(struct indexed *h)
{
	swap(record_of(h, LATE)->pfn_flags, record_of(h, LATE + 1)->pfn_flags);
}

static void index_is_far_away(struct indexed *h)
{
	record_of(h, LATE)->index |= BIT_ULL(62);
}

static void records_change_places(struct indexed *h)
{
	swap(*record_of(h, LATE), *record_of(h, LATE + 1));
}

static void first_is_another(struct indexed *h)
{
	record_of(h, PER_PAGE)->index |= BIT_ULL(40);
}

static void content_is_said_to_be_none(struct indexed *h)
{
	record_of(h, LATE)->pfn_flags &= ~MEMFD_FOLIO_UPTODATE;
}

struct damage_row {
	const char *name;
	void (*damage)(struct indexed *h);
};

static const struct damage_row damage_rows[] = {
	{ "a folio is nowhere", folio_is_nowhere },
	{ "a folio is another", folio_is_another },
	{ "an index is far away", index_is_far_away },
	{ "the first index is another", first_is_another },
	{ "records change places", records_change_places },
	{ "content is said to be none", content_is_said_to_be_none },
};
KUNIT_ARRAY_PARAM_DESC(damage, damage_rows, name);

static void what_a_damaged_page_of_records_names_is_lost(struct kunit *test)
{
	const struct damage_row *row = test->param_value;
	struct indexed *h = indexed_new(test, NR_FOLIOS);
	struct file *file;
	unsigned int i;

	row->damage(h);
	file = retrieved(h);
	for (i = PER_PAGE + 1; i < FILE_END; i++)
		KUNIT_EXPECT_EQ(test, read_byte(file, i), -EIO);
	KUNIT_EXPECT_TRUE(test, is_partial(file));
	expect_pages(test, file, 0, PER_PAGE);
	KUNIT_EXPECT_TRUE(test, is_partial(file));
	/* Nobody can say whose they are. */
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), NR_FOLIOS - PER_PAGE + 1);
	memfd_put_file(file);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), NR_FOLIOS - PER_PAGE + 1);
}

/* The sum is right, but nothing else is. */
static void unsorted_records_are_no_holes(struct kunit *test)
{
	struct indexed *h = indexed_new(test, NR_FOLIOS);
	struct file *file;

	records_change_places(h);
	index_make(h);
	file = retrieved(h);
	KUNIT_EXPECT_EQ(test, read_byte(file, LATE), -EIO);
	KUNIT_EXPECT_EQ(test, read_byte(file, 0), content_of(0));
	memfd_put_file(file);
}

/* A unit that claims more than all have must not take what is another's. */
static void pages_that_nobody_paid_for_are_lost(struct kunit *test)
{
	struct indexed *h = indexed_new(test, NR_FOLIOS);
	struct file *file;

	h->ext->pages = PER_PAGE - 1;
	index_make(h);
	file = retrieved(h);
	KUNIT_EXPECT_EQ(test, read_byte(file, 0), -EIO);
	KUNIT_EXPECT_EQ(test, read_byte(file, LATE), content_of(LATE));
	memfd_put_file(file);
}

static void nothing_is_done_by_halves_with_a_lossy_file(struct kunit *test)
{
	const struct op_row *row = test->param_value;
	struct indexed *h = indexed_new(test, NR_FOLIOS);
	struct file *file;

	folio_is_nowhere(h);
	file = retrieved(h);
	KUNIT_EXPECT_EQ(test, row->op(file), row->late);
	KUNIT_EXPECT_TRUE(test, is_partial(file));
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), NR_FOLIOS - PER_PAGE + 1);
	memfd_put_file(file);
}

/* Records that are in no order come in at once, and so does all without an index. */
static void unsorted_pages_come_in_at_once(struct kunit *test)
{
	struct indexed *h = indexed_new(test, NR_FOLIOS);
	struct file *file;

	records_change_places(h);
	h->ext->sorted = 1;
	index_make(h);
	file = retrieved(h);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), PER_PAGE + 1);
	expect_pages(test, file, 0, FILE_END);
	KUNIT_EXPECT_FALSE(test, is_partial(file));
	memfd_put_file(file);
}

static void index_has_a_wrong_sum(struct indexed *h)
{
	h->index->sum[0]++;
}

static void index_has_a_wrong_first(struct indexed *h)
{
	h->index->first[1]++;
}

static void index_says_more_is_sorted(struct indexed *h)
{
	h->ext->sorted = 3;
}

static void index_says_other_pages(struct indexed *h)
{
	h->ext->pages--;
}

static void index_is_not_there(struct indexed *h)
{
	h->ext->version = MEMFD_EXT_VERSION;
}

static const struct damage_row index_rows[] = {
	{ "a sum is wrong", index_has_a_wrong_sum },
	{ "the index of a first record is wrong", index_has_a_wrong_first },
	{ "more is said to be sorted", index_says_more_is_sorted },
	{ "folios have fewer pages", index_says_other_pages },
	{ "there is none", index_is_not_there },
};
KUNIT_ARRAY_PARAM_DESC(index, index_rows, name);

static void without_a_sound_index_all_come_in_at_once(struct kunit *test)
{
	const struct damage_row *row = test->param_value;
	struct indexed *h = indexed_new(test, NR_FOLIOS);
	struct file *file;

	row->damage(h);
	file = retrieved(h);
	KUNIT_EXPECT_FALSE(test, is_partial(file));
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), 0);
	expect_pages(test, file, 0, FILE_END);
	memfd_put_file(file);
}

/* So that pages allocated next hold anything but zeros. */
static void litter_free_pages(struct kunit *test)
{
	LIST_HEAD(pages);
	struct page *page, *next;
	int i;

	for (i = 0; i < 64; i++) {
		page = alloc_page(GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, page);
		memset(page_address(page), 0xff, PAGE_SIZE);
		list_add(&page->lru, &pages);
	}
	list_for_each_entry_safe(page, next, &pages, lru)
		__free_page(page);
}

/* What preserve leaves has an index that retrieve takes. */
static void preserved_file_has_an_index(struct kunit *test)
{
	struct indexed *h = indexed_new(test, NR_FOLIOS);
	struct file *file = retrieved(h);
	struct liveupdate_file_op_args args = memfd_args_at(0);
	struct memfd_index_ser *index;
	struct memfd_ser *ser;

	/* Its folios come in before the pages of the index are allocated. */
	KUNIT_ASSERT_EQ(test, op_seek(file), 0);
	litter_free_pages(test);
	args.file = file;
	KUNIT_ASSERT_EQ(test, memfd_ops()->preserve(&args), 0);
	ser = phys_to_virt(args.serialized_data);
	index = phys_to_virt(ser->folios.first);
	KUNIT_EXPECT_EQ(test, memfd_ext(ser)->version, MEMFD_EXT_VERSION_INDEX);
	KUNIT_EXPECT_EQ(test, memfd_ext(ser)->sorted, 2);
	KUNIT_EXPECT_EQ(test, memfd_ext(ser)->pages, NR_FOLIOS);
	KUNIT_EXPECT_EQ(test, index->end, 0);
	KUNIT_EXPECT_EQ(test, index->first[0], 0);
	KUNIT_EXPECT_EQ(test, index->first[1], PER_PAGE + 1);
	KUNIT_EXPECT_EQ(test, index->sum[0] + index->sum[1] +
			      memfd_sum(index->phys[0], 0) + memfd_sum(index->phys[1], 0) +
			      memfd_sum(ser->folios.first, 0), memfd_ext(ser)->sum);
	KUNIT_EXPECT_EQ(test, memfd_sum(2, NR_FOLIOS) +
			      memfd_sum(index->first[0], index->sum[0]) +
			      memfd_sum(index->first[1], index->sum[1]),
			memfd_ext(ser)->index_sum);

	/* What fills a hole is recorded behind the others. */
	KUNIT_EXPECT_EQ(test, vfs_fallocate(file, 0, HOLE << PAGE_SHIFT, PAGE_SIZE), 0);
	KUNIT_ASSERT_EQ(test, memfd_ops()->freeze(&args), 0);
	KUNIT_EXPECT_EQ(test, memfd_ext(ser)->sorted, 1);
	KUNIT_EXPECT_EQ(test, memfd_ext(ser)->pages, NR_FOLIOS + 1);
	memfd_ops()->unfreeze(&args);
	memfd_ops()->unpreserve(&args);
	memfd_put_file(file);
}

static struct kunit_case memfd_demand_cases[] = {
	KUNIT_CASE(folios_come_in_with_their_unit),
	KUNIT_CASE(hole_can_be_filled),
	KUNIT_CASE(the_rest_comes_in_meanwhile),
	KUNIT_CASE(what_nobody_used_is_freed_with_the_file),
	KUNIT_CASE_PARAM(all_come_in_before, op_gen_params),
	KUNIT_CASE_PARAM(what_a_damaged_page_of_records_names_is_lost, damage_gen_params),
	KUNIT_CASE(unsorted_records_are_no_holes),
	KUNIT_CASE(pages_that_nobody_paid_for_are_lost),
	KUNIT_CASE_PARAM(nothing_is_done_by_halves_with_a_lossy_file, op_gen_params),
	KUNIT_CASE(unsorted_pages_come_in_at_once),
	KUNIT_CASE_PARAM(without_a_sound_index_all_come_in_at_once, index_gen_params),
	KUNIT_CASE(preserved_file_has_an_index),
	{}
};

static struct kunit_suite memfd_demand_suite = {
	.name = "memfd_demand",
	.init = memfd_demand_test_init,
	.exit = memfd_demand_test_exit,
	.test_cases = memfd_demand_cases,
};
kunit_test_suite(memfd_demand_suite);
