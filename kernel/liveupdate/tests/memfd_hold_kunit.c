// SPDX-License-Identifier: GPL-2.0-only
/*
 * The old kernel's side of the handler of memfds: mm/memfd_luo_hold.c.
 */

#include <kunit/static_stub.h>
#include <kunit/test.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/kho/place.h>
#include <linux/kthread.h>
#include <linux/memfd.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/shmem_fs.h>
#include <linux/workqueue.h>

#include "memfd_test.h"

static struct liveupdate_file_op_args args_for(struct file *file)
{
	struct liveupdate_file_op_args args = memfd_args_at(0);

	args.file = file;
	return args;
}

static struct file *memfd_new(struct kunit *test, u64 pages)
{
	struct file *file = memfd_file_setup("memfd:kunit", 0);
	loff_t pos = 0;
	u8 *page = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	KUNIT_ASSERT_NOT_NULL(test, page);
	while (pos < pages << PAGE_SHIFT)
		KUNIT_ASSERT_EQ(test, kernel_write(file, page, PAGE_SIZE, &pos), PAGE_SIZE);
	return file;
}

static void fill(struct kunit *test, struct file *file, u64 index)
{
	loff_t pos = index << PAGE_SHIFT;
	u8 byte = content_of(index);

	KUNIT_ASSERT_EQ(test, kernel_write(file, &byte, 1, &pos), 1);
}

static void expect_free(struct kunit *test, struct file *file)
{
	gfp_t gfp = GFP_HIGHUSER_MOVABLE;

	KUNIT_EXPECT_EQ(test, memfd_fcntl(file, F_GET_SEALS, 0), F_SEAL_SEAL);
	KUNIT_EXPECT_FALSE(test, SHMEM_I(file_inode(file))->seals &
				 (SHMEM_SEAL_HELD | SHMEM_SEAL_FROZEN));
	KUNIT_EXPECT_FALSE(test, mapping_tagged(file->f_mapping, SHMEM_TAG_FILLED));
	KUNIT_EXPECT_FALSE(test, mapping_unevictable(file->f_mapping));
	if (liveupdate_enabled())
		gfp = kho_spare_scratch(gfp);
	KUNIT_EXPECT_TRUE(test, mapping_gfp_mask(file->f_mapping) == gfp);
}

/* What preserve says of the owner is what retrieve asks for. */
static void handle_says_whose_it_is(struct kunit *test)
{
	struct file *file = memfd_new(test, 1);
	struct liveupdate_file_op_args args = args_for(file);
	const struct memfd_ser *ser;
	const struct memfd_ext_ser *ext;

	KUNIT_ASSERT_EQ(test, memfd_ops()->preserve(&args), 0);
	ser = phys_to_virt(args.serialized_data);
	ext = (const void *)(ser + 1);
	KUNIT_EXPECT_EQ(test, ext->version,
			IS_ENABLED(CONFIG_LIVEUPDATE_MEMFD_ON_DEMAND) ? 4 : 3);
	KUNIT_EXPECT_EQ(test, ext->token, MEMFD_TEST_TOKEN);
	KUNIT_EXPECT_STREQ(test, ext->session, memfd_test_session.name);
	memfd_ops()->unpreserve(&args);
	memfd_put_file(file);
}

static u64 sum_of(const struct memfd_ser *ser)
{
	const struct kho_vmalloc_chunk *chunk = phys_to_virt(ser->folios.first);
	const u64 factor = 0x5bd1e995;
	u64 i, sum = ser->folios.first * factor;

	for (i = 0; i < ser->folios.total_pages; i++)
		sum += chunk->phys[i] * factor;
	for (i = 0; i < ser->nr_folios; i++) {
		const struct memfd_folio_ser *record = phys_to_virt(chunk->phys[i / PER_PAGE]);

		record += i % PER_PAGE;
		sum += record->pfn_flags * (2 * record->index + factor);
	}
	return sum;
}

/* Also while holes are filled: what is in the sum is what retrieve looks at. */
static void handle_has_the_sum_of_its_records(struct kunit *test)
{
	struct file *file = memfd_new(test, PER_PAGE);
	struct liveupdate_file_op_args args = args_for(file);
	const struct memfd_ser *ser;
	const struct memfd_ext_ser *ext;

	i_size_write(file_inode(file), FILE_SIZE + (PER_PAGE << PAGE_SHIFT));
	KUNIT_ASSERT_EQ(test, memfd_ops()->preserve(&args), 0);
	ser = phys_to_virt(args.serialized_data);
	ext = (const void *)(ser + 1);
	KUNIT_EXPECT_EQ(test, ext->sum_magic, MEMFD_SUM_MAGIC);
	KUNIT_EXPECT_EQ(test, ser->folios.total_pages, 1);
	KUNIT_EXPECT_EQ(test, ext->sum, sum_of(ser));

	fill(test, file, PER_PAGE + 3);
	KUNIT_ASSERT_EQ(test, memfd_ops()->freeze(&args), 0);
	KUNIT_EXPECT_EQ(test, ser->folios.total_pages, 2);
	KUNIT_EXPECT_EQ(test, ext->sum, sum_of(ser));
	memfd_ops()->unfreeze(&args);
	memfd_ops()->unpreserve(&args);
	memfd_put_file(file);
}

static void preserve_that_lacks_memory_leaves_the_file_free(struct kunit *test)
{
	struct file *file = memfd_new(test, PER_PAGE + 1);
	struct liveupdate_file_op_args args = args_for(file);
	unsigned int nth, failures = 0;
	bool done;
	int err;

	luo_test_need_fail_alloc(luo_test_of(test));
	luo_test_page_failures(test, true);
	for (nth = 1, done = true; done; nth++) {
		luo_test_fail_alloc(nth);
		err = memfd_ops()->preserve(&args);
		done = luo_test_fail_alloc_done();
		if (err) {
			failures++;
			KUNIT_EXPECT_EQ(test, err, -ENOMEM);
		} else {
			memfd_ops()->unpreserve(&args);
		}
		expect_free(test, file);
	}
	luo_test_page_failures(test, false);
	KUNIT_EXPECT_GT(test, failures, 0);
	memfd_put_file(file);
}

/* Freeze needs memory for what filled a hole and is not recorded yet. */
static void freeze_that_lacks_memory_can_be_tried_again(struct kunit *test)
{
	struct file *file = memfd_new(test, PER_PAGE);
	struct liveupdate_file_op_args args = args_for(file);
	unsigned int nth, failures = 0;
	bool done;
	int err;

	luo_test_need_fail_alloc(luo_test_of(test));
	i_size_write(file_inode(file), FILE_SIZE + (PER_PAGE << PAGE_SHIFT));
	for (nth = 1, done = true; done; nth++) {
		KUNIT_ASSERT_EQ(test, memfd_ops()->preserve(&args), 0);
		fill(test, file, PER_PAGE + nth);
		luo_test_page_failures(test, true);
		luo_test_fail_alloc(nth);
		err = memfd_ops()->freeze(&args);
		done = luo_test_fail_alloc_done();
		luo_test_page_failures(test, false);
		if (err) {
			failures++;
			KUNIT_EXPECT_EQ(test, err, -ENOMEM);
			KUNIT_EXPECT_EQ(test, memfd_ops()->freeze(&args), 0);
		}
		memfd_ops()->unfreeze(&args);
		memfd_ops()->unpreserve(&args);
		expect_free(test, file);
	}
	KUNIT_EXPECT_GT(test, failures, 0);
	memfd_put_file(file);
}

/* More tags than are cleared in one go. */
static void holes_filled_meanwhile_are_forgotten(struct kunit *test)
{
	struct file *file = memfd_new(test, 1);
	struct liveupdate_file_op_args args = args_for(file);
	u64 i;

	i_size_write(file_inode(file), 3 * XA_CHECK_SCHED << PAGE_SHIFT);
	KUNIT_ASSERT_EQ(test, memfd_ops()->preserve(&args), 0);
	for (i = 1; i <= XA_CHECK_SCHED + 1; i++)
		fill(test, file, i);
	KUNIT_EXPECT_TRUE(test, mapping_tagged(file->f_mapping, SHMEM_TAG_FILLED));
	memfd_ops()->unpreserve(&args);
	expect_free(test, file);
	memfd_put_file(file);
}

struct watch {
	struct file *file;
	bool marked;
};

/* Whether the file was ever neither held nor without marks. */
static int watch_marks(void *data)
{
	struct watch *watch = data;
	struct address_space *mapping = watch->file->f_mapping;
	unsigned int *seals = &SHMEM_I(mapping->host)->seals;

	while (!kthread_should_stop()) {
		xa_lock_irq(&mapping->i_pages);
		if (!(*seals & SHMEM_SEAL_HELD) &&
		    mapping_tagged(mapping, SHMEM_TAG_FILLED))
			watch->marked = true;
		xa_unlock_irq(&mapping->i_pages);
		cond_resched();
	}
	return 0;
}

/* They are those of memfd_wait_for_pins() from then on. */
static void file_is_held_until_its_marks_are_gone(struct kunit *test)
{
	struct file *file = memfd_new(test, 1);
	struct liveupdate_file_op_args args = args_for(file);
	struct watch watch = { .file = file };
	struct task_struct *watcher;
	u64 i;

	i_size_write(file_inode(file), 3 * XA_CHECK_SCHED << PAGE_SHIFT);
	KUNIT_ASSERT_EQ(test, memfd_ops()->preserve(&args), 0);
	for (i = 1; i <= XA_CHECK_SCHED + 1; i++)
		fill(test, file, i);
	watcher = kthread_run(watch_marks, &watch, "kunit-marks");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, watcher);
	memfd_ops()->unpreserve(&args);
	kthread_stop(watcher);
	KUNIT_EXPECT_FALSE(test, watch.marked);
	expect_free(test, file);
	memfd_put_file(file);
}

static void page_lost_to_a_memory_error_stops_freeze(struct kunit *test)
{
	struct liveupdate_file_op_args args;
	struct folio *folio;
	struct file *file;

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE))
		kunit_skip(test, "needs MEMORY_FAILURE");
	file = memfd_new(test, 2);
	args = args_for(file);
	KUNIT_ASSERT_EQ(test, memfd_ops()->preserve(&args), 0);
	folio = filemap_get_folio(file->f_mapping, 1);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, folio);
	/* As memory_failure() does; one of another file is none of ours. */
	num_poisoned_pages_inc(folio_pfn(folio));
	KUNIT_EXPECT_EQ(test, memfd_ops()->freeze(&args), 0);
	memfd_ops()->unfreeze(&args);
	SetPageHWPoison(&folio->page);
	num_poisoned_pages_inc(folio_pfn(folio));
	KUNIT_EXPECT_EQ(test, memfd_ops()->freeze(&args), -EHWPOISON);
	KUNIT_EXPECT_FALSE(test, SHMEM_I(file_inode(file))->seals & SHMEM_SEAL_FROZEN);
	ClearPageHWPoison(&folio->page);
	num_poisoned_pages_sub(folio_pfn(folio), 2);
	folio_put(folio);
	memfd_ops()->unpreserve(&args);
	expect_free(test, file);
	memfd_put_file(file);
}

/* Where the folio at @index is, 0 if there is a hole. */
static unsigned long pfn_at(struct file *file, u64 index)
{
	struct folio *folio = filemap_get_folio(file->f_mapping, index);
	unsigned long pfn;

	if (IS_ERR(folio))
		return 0;
	pfn = folio_pfn(folio);
	folio_put(folio);
	return pfn;
}

static struct {
	unsigned long pfn;
	unsigned int asked;
} moving;

/* Where it is first, and where it gets when it is pinned, it can't stay. */
static bool was_there_after_two_moves(unsigned long pfn)
{
	if (pfn != moving.pfn)
		return true;

	moving.asked++;
	return moving.asked != 1 && moving.asked != 3;
}

static void folio_that_is_pinned_to_a_wrong_place_is_moved_again(struct kunit *test)
{
	struct file *file = memfd_new(test, 1);
	struct liveupdate_file_op_args args = args_for(file);

	moving.pfn = pfn_at(file, 0);
	moving.asked = 0;
	KUNIT_ASSERT_NE(test, moving.pfn, 0);
	kunit_activate_static_stub(test, kho_was_there_at_boot, was_there_after_two_moves);
	KUNIT_EXPECT_EQ(test, memfd_ops()->preserve(&args), 0);
	kunit_deactivate_static_stub(test, kho_was_there_at_boot);
	KUNIT_EXPECT_GT(test, moving.asked, 3);
	memfd_ops()->unpreserve(&args);
	expect_free(test, file);
	memfd_put_file(file);
}

static bool was_there_unless_moved(unsigned long pfn)
{
	return pfn != moving.pfn;
}

/* Who waits for himself to thaw a file is let go at some time. */
struct rescue {
	struct delayed_work work;
	struct liveupdate_file_op_args *args;
	bool done;
};

static void thaw(struct work_struct *work)
{
	struct rescue *rescue = container_of(to_delayed_work(work), struct rescue, work);

	rescue->done = true;
	memfd_ops()->unfreeze(rescue->args);
}

static void freeze_that_moves_folios_fills_no_hole(struct kunit *test)
{
	struct file *file = memfd_new(test, 1);
	struct liveupdate_file_op_args args = args_for(file);
	struct rescue rescue = { .args = &args };
	const struct memfd_ser *ser;

	i_size_write(file_inode(file), FILE_SIZE);
	KUNIT_ASSERT_EQ(test, memfd_ops()->preserve(&args), 0);
	ser = phys_to_virt(args.serialized_data);
	fill(test, file, 2);
	fill(test, file, 3);
	fill(test, file, 5);
	moving.pfn = pfn_at(file, 2);
	KUNIT_ASSERT_NE(test, moving.pfn, 0);

	INIT_DELAYED_WORK_ONSTACK(&rescue.work, thaw);
	kunit_activate_static_stub(test, kho_was_there_at_boot, was_there_unless_moved);
	schedule_delayed_work(&rescue.work, 20 * HZ);
	KUNIT_EXPECT_EQ(test, memfd_ops()->freeze(&args), 0);
	cancel_delayed_work_sync(&rescue.work);
	destroy_delayed_work_on_stack(&rescue.work);
	kunit_deactivate_static_stub(test, kho_was_there_at_boot);

	KUNIT_EXPECT_FALSE(test, rescue.done);
	KUNIT_EXPECT_EQ(test, pfn_at(file, 4), 0);
	KUNIT_EXPECT_EQ(test, ser->nr_folios, 4);
	KUNIT_ASSERT_NE(test, pfn_at(file, 2), 0);
	KUNIT_EXPECT_NE(test, pfn_at(file, 2), moving.pfn);
	memfd_ops()->unfreeze(&args);
	memfd_ops()->unpreserve(&args);
	expect_free(test, file);
	memfd_put_file(file);
}

static struct kunit_case memfd_hold_cases[] = {
	KUNIT_CASE(handle_says_whose_it_is),
	KUNIT_CASE(handle_has_the_sum_of_its_records),
	KUNIT_CASE(preserve_that_lacks_memory_leaves_the_file_free),
	KUNIT_CASE(freeze_that_lacks_memory_can_be_tried_again),
	KUNIT_CASE(holes_filled_meanwhile_are_forgotten),
	KUNIT_CASE(file_is_held_until_its_marks_are_gone),
	KUNIT_CASE(folio_that_is_pinned_to_a_wrong_place_is_moved_again),
	KUNIT_CASE(freeze_that_moves_folios_fills_no_hole),
	KUNIT_CASE(page_lost_to_a_memory_error_stops_freeze),
	{}
};

static struct kunit_suite memfd_hold_suite = {
	.name = "memfd_hold",
	.init = memfd_test_init,
	.exit = memfd_test_exit,
	.test_cases = memfd_hold_cases,
};
kunit_test_suite(memfd_hold_suite);
