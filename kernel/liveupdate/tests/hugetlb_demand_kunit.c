// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages of memfds on huge pages that come in when they are needed:
 * mm/hugetlb_luo_demand.c.
 */

#include <kunit/test.h>
#include <linux/falloc.h>
#include <linux/file.h>
#include <linux/hugetlb.h>
#include <linux/memfd.h>
#include <linux/mman.h>
#include <linux/uaccess.h>

#include "../../../mm/hugetlb_luo.h"
#include "hugetlb_test.h"

#define HUGE_SIZE	(PAGE_SIZE << ORDER)

static unsigned int demand_min;

static int demand_init(struct kunit *test)
{
	int err = huge_test_init(test);

	demand_min = hugetlb_demand_min;
	hugetlb_demand_min = 1;
	hugetlb_demand_only = true;
	return err;
}

static void demand_exit(struct kunit *test)
{
	hugetlb_demand_min = demand_min;
	hugetlb_demand_only = false;
}

static struct file *retrieved(struct huge *h)
{
	struct file *file;

	KUNIT_ASSERT_EQ(h->blocks.test, retrieve(h, &file), 0);
	return file;
}

/* Also in terms of blocks, and of what LIST_FILES tells. */
static void expect_waiting(struct huge *h, struct file *file, unsigned int pages)
{
	struct kunit *test = h->blocks.test;

	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), pages);
	KUNIT_EXPECT_EQ(test, huge_ops()->waiting(file), pages * HUGE_SIZE);
}

/* What the huge page's first byte is, or an error. */
static int read_byte(struct file *file, u64 index)
{
	loff_t pos = index * HUGE_SIZE;
	ssize_t len;
	u8 byte;

	len = kernel_read(file, &byte, 1, &pos);
	return len < 0 ? len : byte;
}

/* ---- who needs a page ---- */

static void pages_come_in_one_by_one(struct kunit *test)
{
	const unsigned long committable = hugetlb_total_pages();
	struct huge *h = huge_new(test);
	struct file *file;

	tell_pool(h);
	file = retrieved(h);
	expect_waiting(h, file, 2);
	expect_pool(h, 2);
	KUNIT_EXPECT_EQ(test, hugetlb_total_pages(), committable);
	KUNIT_EXPECT_EQ(test, file_inode(file)->i_blocks, 2 * HUGE_SIZE / 512);
	KUNIT_EXPECT_EQ(test, file->f_pos, 12345);
	KUNIT_EXPECT_EQ(test, HUGETLBFS_I(file_inode(file))->seals,
			F_SEAL_SEAL | F_SEAL_GROW);

	/* A hole is one at once. */
	KUNIT_EXPECT_EQ(test, read_byte(file, 1), 0);
	expect_waiting(h, file, 2);
	KUNIT_EXPECT_EQ(test, read_byte(file, 2), content_of(2));
	expect_waiting(h, file, 1);
	expect_pool(h, 2);
	KUNIT_EXPECT_EQ(test, hugetlb_total_pages(), committable + (1 << ORDER));
	KUNIT_EXPECT_EQ(test, file_inode(file)->i_blocks, 2 * HUGE_SIZE / 512);

	expect_content(h, file);
	expect_waiting(h, file, 0);
	expect_pool(h, 2);
	KUNIT_EXPECT_EQ(test, file_inode(file)->i_blocks, 2 * HUGE_SIZE / 512);
	memfd_put_file(file);
	expect_pool(h, 0);
	KUNIT_EXPECT_EQ(test, hugetlb_total_pages(), committable);
}

/* A pool that did not expect them has them at once, too. */
static void pages_are_counted_before_they_are_there(struct kunit *test)
{
	struct huge *h = huge_new(test);
	struct file *file = retrieved(h);

	expect_waiting(h, file, 2);
	expect_pool(h, 2);
	expect_content(h, file);
	expect_pool(h, 2);
	memfd_put_file(file);
	expect_pool(h, 0);
}

/* Returns the byte there, or an error. */
static int fault_byte(struct file *file, u64 index)
{
	unsigned long addr;
	int err;
	u8 byte;

	addr = vm_mmap(file, 0, HUGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		       index * HUGE_SIZE);
	if (IS_ERR_VALUE(addr))
		return addr;
	err = get_user(byte, (u8 __user *)addr);
	vm_munmap(addr, HUGE_SIZE);
	return err ?: byte;
}

static void pages_come_in_when_they_are_mapped_and_touched(struct kunit *test)
{
	struct huge *h = huge_new(test);
	struct file *file = retrieved(h);

	KUNIT_ASSERT_EQ(test, kunit_attach_mm(), 0);
	KUNIT_EXPECT_EQ(test, fault_byte(file, 2), content_of(2));
	expect_waiting(h, file, 1);
	KUNIT_EXPECT_EQ(test, fault_byte(file, 0), content_of(0));
	expect_waiting(h, file, 0);
	expect_content(h, file);
	memfd_put_file(file);
	expect_pool(h, 0);
}

static void pages_come_in_when_they_are_pinned(struct kunit *test)
{
	struct huge *h = huge_new(test);
	struct file *file = retrieved(h);
	struct folio *folios[1];
	pgoff_t offset;

	KUNIT_ASSERT_EQ(test, memfd_pin_folios(file, 0, HUGE_SIZE - 1, folios, 1, &offset), 1);
	KUNIT_EXPECT_EQ(test, *(u8 *)folio_address(folios[0]), content_of(0));
	unpin_folios(folios, 1);
	expect_waiting(h, file, 1);
	memfd_put_file(file);
	expect_pool(h, 0);
}

static void place_of_a_page_that_waits_is_no_hole(struct kunit *test)
{
	struct huge *h = huge_new(test);
	struct file *file = retrieved(h);

	KUNIT_EXPECT_EQ(test, vfs_fallocate(file, 0, 0, HUGE_SIZE), 0);
	expect_waiting(h, file, 1);
	KUNIT_EXPECT_EQ(test, PTR_ERR(memfd_alloc_folio(file, 2 << ORDER)), -EEXIST);
	expect_waiting(h, file, 0);
	expect_content(h, file);
	memfd_put_file(file);
	expect_pool(h, 0);
}

static void pages_are_waited_for(struct huge *h, struct file *file)
{
	unsigned long end = jiffies + 10 * HZ;

	while (huge_ops()->waiting(file) && time_before(jiffies, end))
		schedule_timeout_uninterruptible(1);
	expect_waiting(h, file, 0);
}

static void the_rest_comes_in_meanwhile(struct kunit *test)
{
	struct huge *h = huge_new(test);
	struct file *file;

	hugetlb_demand_only = false;
	file = retrieved(h);
	pages_are_waited_for(h, file);
	expect_content(h, file);
	expect_pool(h, 2);
	memfd_put_file(file);
	expect_pool(h, 0);
}

static void records_may_come_in_any_order(struct kunit *test)
{
	struct huge *h = huge_new(test);
	struct file *file;

	swap(h->records[0], h->records[1]);
	file = retrieved(h);
	KUNIT_EXPECT_EQ(test, read_byte(file, 0), content_of(0));
	expect_waiting(h, file, 1);
	expect_content(h, file);
	memfd_put_file(file);
}

/* ---- who needs more ---- */

static int op_truncate(struct file *file)
{
	return do_truncate(file_mnt_idmap(file), file->f_path.dentry, HUGE_SIZE, 0, file);
}

static int op_punch(struct file *file)
{
	return vfs_fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			     HUGE_SIZE, 2 * HUGE_SIZE);
}

/* What is punched of a page is cleared. */
static int op_punch_a_part(struct file *file)
{
	return vfs_fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			     2 * HUGE_SIZE, HUGE_SIZE / 2);
}

static int op_preserve(struct file *file)
{
	struct liveupdate_file_op_args args = memfd_args_at(0);
	int err;

	args.file = file;
	err = huge_ops()->preserve(&args);
	if (!err)
		huge_ops()->unpreserve(&args);
	return err;
}

static const struct op_row {
	const char *name;
	int (*op)(struct file *file);
	/* How many pages of the file wait then, and how many it has. */
	unsigned int waiting, has;
	/* What it says if one is lost. */
	int late;
} op_rows[] = {
	{ "truncate", op_truncate, .waiting = 1, .has = 1 },
	{ "punch", op_punch, .waiting = 1, .has = 1 },
	{ "punch a part", op_punch_a_part, .waiting = 1, .has = 2 },
	{ "preserve", op_preserve, .waiting = 0, .has = 2, .late = -EIO },
};
KUNIT_ARRAY_PARAM_DESC(op, op_rows, name);

static void what_an_operation_needs_comes_in_before(struct kunit *test)
{
	const struct op_row *row = test->param_value;
	struct huge *h = huge_new(test);
	struct file *file = retrieved(h);

	KUNIT_EXPECT_EQ(test, row->op(file), 0);
	expect_waiting(h, file, row->waiting);
	expect_pool(h, row->has);
	KUNIT_EXPECT_EQ(test, file_inode(file)->i_blocks, row->has * HUGE_SIZE / 512);
	KUNIT_EXPECT_EQ(test, read_byte(file, 0), content_of(0));
	if (i_size_read(file_inode(file)) > HUGE_SIZE)
		KUNIT_EXPECT_EQ(test, read_byte(file, 2),
				row->waiting ? 0 : content_of(2));
	memfd_put_file(file);
	expect_pool(h, 0);
}

static void what_nobody_used_goes_with_the_file(struct kunit *test)
{
	struct huge *h = huge_new(test);
	struct file *file;

	tell_pool(h);
	file = retrieved(h);
	KUNIT_EXPECT_EQ(test, read_byte(file, 2), content_of(2));
	memfd_put_file(file);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), 0);
	expect_pool(h, 0);
}

static void what_nobody_used_stays_in_a_pool_that_wants_it(struct kunit *test)
{
	struct huge *h = huge_new(test);
	void *folios[] = { folio_of(h, 0), folio_of(h, 1) };

	hstate()->max_huge_pages += 2;
	tell_pool(h);
	memfd_put_file(retrieved(h));
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), 0);
	expect_pool_has(h, 2, 2, 0);
	leave_pool(folios[0]);
	leave_pool(folios[1]);
	expect_pool(h, 0);
}

/* When nobody hands on any more what is not restored, it is the file's all the same. */
static void pages_of_a_file_are_not_forgotten(struct kunit *test)
{
	struct huge *h = huge_new(test);
	struct file *file;

	tell_pool(h);
	file = retrieved(h);
	kho_hold_unclaimed();
	kho_release_unclaimed();
	expect_pool(h, 2);
	expect_waiting(h, file, 2);
	expect_content(h, file);
	expect_pool(h, 2);
	memfd_put_file(file);
	expect_pool(h, 0);
}

/* ---- at once ---- */

static void never_is_a_choice(struct huge *h)
{
	hugetlb_demand_min = 0;
}

static void file_is_small(struct huge *h)
{
	hugetlb_demand_min = 2 * HUGE_SIZE / SZ_1M + 1;
}

static void there_is_no_sum(struct huge *h)
{
	h->ser->ext.version = 2;
}

static const struct once_row {
	const char *name;
	void (*make)(struct huge *h);
} once_rows[] = {
	{ "never", never_is_a_choice },
	{ "small", file_is_small },
	{ "without a sum", there_is_no_sum },
};
KUNIT_ARRAY_PARAM_DESC(once, once_rows, name);

static void all_come_in_at_once(struct kunit *test)
{
	const struct once_row *row = test->param_value;
	struct huge *h = huge_new(test);
	struct file *file;

	row->make(h);
	file = retrieved(h);
	expect_waiting(h, file, 0);
	KUNIT_EXPECT_FALSE(test, hugetlb_on_demand(file_inode(file)));
	expect_content(h, file);
	memfd_put_file(file);
	expect_pool(h, 0);
}

/* ---- what is lost ---- */

/* The sum is right all the same. */
static struct file *retrieved_with_a_page_twice(struct huge *h)
{
	h->records[1].pfn_flags = h->records[0].pfn_flags;
	h->ser->ext.sum = sum_of(h);
	return retrieved(h);
}

static void page_that_comes_twice_is_lost_and_no_other(struct kunit *test)
{
	struct huge *h = huge_new(test);
	struct file *file = retrieved_with_a_page_twice(h);

	KUNIT_ASSERT_EQ(test, kunit_attach_mm(), 0);
	expect_pool(h, 2);
	KUNIT_EXPECT_EQ(test, read_byte(file, 0), content_of(0));
	KUNIT_EXPECT_EQ(test, fault_byte(file, 2), -EFAULT);
	KUNIT_EXPECT_EQ(test, read_byte(file, 2), -EIO);
	expect_pool(h, 1);
	KUNIT_EXPECT_EQ(test, vfs_fallocate(file, 0, 2 * HUGE_SIZE, HUGE_SIZE), -EIO);
	KUNIT_EXPECT_EQ(test, PTR_ERR(memfd_alloc_folio(file, 2 << ORDER)), -EIO);
	KUNIT_EXPECT_EQ(test, read_byte(file, 2), -EIO);
	KUNIT_EXPECT_EQ(test, read_byte(file, 0), content_of(0));
	KUNIT_EXPECT_EQ(test, read_byte(file, 1), 0);
	KUNIT_EXPECT_EQ(test, huge_ops()->waiting(file), 0);
	KUNIT_EXPECT_EQ(test, file_inode(file)->i_blocks, HUGE_SIZE / 512);
	memfd_put_file(file);
	/* The one that no record names is not ours to free. */
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), 1);
	expect_pool(h, 0);
}

static void operations_say_that_a_page_is_lost(struct kunit *test)
{
	const struct op_row *row = test->param_value;
	struct huge *h = huge_new(test);
	struct file *file = retrieved_with_a_page_twice(h);

	KUNIT_EXPECT_EQ(test, read_byte(file, 0), content_of(0));
	KUNIT_EXPECT_EQ(test, row->op(file), row->late);
	KUNIT_EXPECT_EQ(test, huge_ops()->waiting(file), 0);
	memfd_put_file(file);
	expect_pool(h, 0);
}

static struct kunit_case hugetlb_demand_cases[] = {
	KUNIT_CASE(pages_come_in_one_by_one),
	KUNIT_CASE(pages_are_counted_before_they_are_there),
	KUNIT_CASE(pages_come_in_when_they_are_mapped_and_touched),
	KUNIT_CASE(pages_come_in_when_they_are_pinned),
	KUNIT_CASE(place_of_a_page_that_waits_is_no_hole),
	KUNIT_CASE(the_rest_comes_in_meanwhile),
	KUNIT_CASE(records_may_come_in_any_order),
	KUNIT_CASE_PARAM(what_an_operation_needs_comes_in_before, op_gen_params),
	KUNIT_CASE(what_nobody_used_goes_with_the_file),
	KUNIT_CASE(what_nobody_used_stays_in_a_pool_that_wants_it),
	KUNIT_CASE(pages_of_a_file_are_not_forgotten),
	KUNIT_CASE_PARAM(all_come_in_at_once, once_gen_params),
	KUNIT_CASE(page_that_comes_twice_is_lost_and_no_other),
	KUNIT_CASE_PARAM(operations_say_that_a_page_is_lost, op_gen_params),
	{}
};

static struct kunit_suite hugetlb_demand_suite = {
	.name = "hugetlb_demand",
	.init = demand_init,
	.exit = demand_exit,
	.test_cases = hugetlb_demand_cases,
};
kunit_test_suite(hugetlb_demand_suite);
