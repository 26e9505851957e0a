// SPDX-License-Identifier: GPL-2.0-only
/* The handler of memfds and its records: mm/memfd_luo*. */

#include <kunit/test.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/liveupdate.h>
#include <linux/memfd.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/shmem_fs.h>
#include <linux/kho/abi/memfd.h>
#include <uapi/linux/memfd.h>

#include "memfd_test_handle.h"

/* ---- valid handles ---- */

static void file_is_as_it_was(struct kunit *test)
{
	struct handle *h = handle_with_folios(test);
	struct file *file;
	u64 i;

	h->ser->seals = F_SEAL_SEAL | F_SEAL_GROW;
	file = retrieved(h);
	for (i = 0; i < FILE_PAGES; i++)
		expect_page(test, file, i, i == 1 || i == 3 ? 0 : content_of(i));
	KUNIT_EXPECT_EQ(test, i_size_read(file_inode(file)), FILE_SIZE);
	KUNIT_EXPECT_EQ(test, file->f_pos, 12345);
	KUNIT_EXPECT_EQ(test, memfd_fcntl(file, F_GET_SEALS, 0), F_SEAL_SEAL | F_SEAL_GROW);
	KUNIT_EXPECT_EQ(test, file_inode(file)->i_mode, S_IFREG | 0640);
	KUNIT_EXPECT_STREQ(test, file->f_path.dentry->d_name.name, "memfd:guest");
	KUNIT_EXPECT_EQ(test, SHMEM_I(file_inode(file))->alloced, 2 + (1 << LARGE_ORDER));
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), 0);
	finish(h, 1);
	memfd_put_file(file);
}

static void file_without_folios_is_a_hole(struct kunit *test)
{
	struct handle *h = handle_new(test, 0);
	struct file *file;

	memset(&h->ser->folios, 0, sizeof(h->ser->folios));
	h->ext->sum = 0;
	file = retrieved(h);
	expect_page(test, file, 0, 0);
	expect_page(test, file, FILE_PAGES - 1, 0);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), 2);
	memfd_put_file(file);
}

static void records_may_lie_in_larger_blocks(struct kunit *test)
{
	struct handle *h = handle_new(test, 1);
	struct file *file;
	u64 i;

	h->ser->size = 40 * PAGE_SIZE;
	/* A record in the second page, and more than go into the file at once. */
	h->ser->nr_folios = PER_PAGE - 20;
	for (i = 0; i < 40; i++)
		add_folio(h, i, 0);
	file = retrieved(h);
	for (i = 0; i < 40; i++)
		expect_page(test, file, i, content_of(i));
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), 0);
	memfd_put_file(file);
}

static void memory_never_written_is_cleared(struct kunit *test)
{
	struct handle *h = handle_with_folios(test);
	struct file *file;

	h->records[1].pfn_flags &= ~MEMFD_FOLIO_UPTODATE;
	h->ext->sum = sum_of(h);
	file = retrieved(h);
	expect_page(test, file, 0, content_of(0));
	expect_page(test, file, 2, 0);
	memfd_put_file(file);
}

static void extension_of_the_future_is_read(struct kunit *test)
{
	struct handle *h = handle_with_folios(test);
	struct file *file;

	h->ext->version = MEMFD_EXT_VERSION + 1;
	file = retrieved(h);
	KUNIT_EXPECT_STREQ(test, file->f_path.dentry->d_name.name, "memfd:guest");
	memfd_put_file(file);
}

struct mode_row {
	const char *name;
	u32 seals;
	umode_t mode;
};

#define WRITE_SEALS	(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)

static const struct mode_row mode_rows[] = {
	{ "no seal", 0, 0777 },
	{ "a write seal", F_SEAL_WRITE, 0777 },
	{ "no execute bits, ever", F_SEAL_EXEC, 0666 },
	{ "and one of the other seals", F_SEAL_EXEC | F_SEAL_GROW, 0666 },
	{ "execute bits that stay", F_SEAL_EXEC | WRITE_SEALS, 0777 },
};
KUNIT_ARRAY_PARAM_DESC(mode, mode_rows, name);

static void mode_is_guessed_without_an_extension(struct kunit *test)
{
	const struct mode_row *row = test->param_value;
	struct handle *h = handle_with_folios(test);
	struct file *file;

	memset(h->ext, 0, sizeof(*h->ext));
	h->ser->seals = row->seals;
	file = retrieved(h);
	KUNIT_EXPECT_EQ(test, file_inode(file)->i_mode, S_IFREG | row->mode);
	KUNIT_EXPECT_STREQ(test, file->f_path.dentry->d_name.name, "memfd:");
	KUNIT_EXPECT_EQ(test, memfd_fcntl(file, F_GET_SEALS, 0), row->seals);
	memfd_put_file(file);
}

static void file_nobody_retrieves_is_freed(struct kunit *test)
{
	struct handle *h = handle_with_folios(test);

	finish(h, 0);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), 0);
}

/* What waits to be restored is no part of RAM yet. */
static void file_may_be_larger_than_the_ram_left(struct kunit *test)
{
	struct handle *h = handle_with_folios(test);
	const long ram = totalram_pages() + pages_left(h);
	const long withheld = totalram_pages() - 2;
	struct file *file;
	int err;

	totalram_pages_add(-withheld);
	err = retrieve(h, &file);
	totalram_pages_add(withheld);
	KUNIT_ASSERT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, totalram_pages() + pages_left(h), ram);
	memfd_put_file(file);
}

static void retrieve_can_be_killed_and_tried_again(struct kunit *test)
{
	struct handle *h = handle_with_folios(test);
	struct file *file;
	int err;

	pretend_to_be_killed(true);
	err = retrieve(h, &file);
	pretend_to_be_killed(false);
	KUNIT_ASSERT_EQ(test, err, -EINTR);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), h->blocks.nr);
	memfd_put_file(retrieved(h));
}

/* finish has to end what it has begun. */
static void finish_of_the_killed_frees_all(struct kunit *test)
{
	struct handle *h = handle_with_folios(test);

	pretend_to_be_killed(true);
	finish(h, 0);
	pretend_to_be_killed(false);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), 0);
}

static void retrieve_that_lacks_memory_can_be_tried_again(struct kunit *test)
{
	unsigned int nth, failures = 0;
	struct handle *h;
	struct file *file;
	bool done;
	int err;

	luo_test_need_fail_alloc(luo_test_of(test));
	for (nth = 1, done = true; done; nth++) {
		h = handle_with_folios(test);
		luo_test_fail_alloc(nth);
		err = retrieve(h, &file);
		done = luo_test_fail_alloc_done();
		if (err) {
			failures++;
			KUNIT_EXPECT_EQ(test, err, -ENOMEM);
			KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), h->blocks.nr);
			file = retrieved(h);
		}
		expect_page(test, file, 4, content_of(4));
		memfd_put_file(file);
	}
	KUNIT_EXPECT_GT(test, failures, 0);
}

/* ---- where memfds get memory from ---- */

/* Scratch memory is CMA, which takes movable allocations only. */
static void memory_comes_from_outside_of_scratch(struct kunit *test)
{
	struct file *file;

	if (!liveupdate_enabled())
		kunit_skip(test, "live update is off");
	file = memfd_file_setup("memfd:kunit", 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	KUNIT_EXPECT_FALSE(test, mapping_gfp_mask(file->f_mapping) & __GFP_MOVABLE);
	fput(file);
}

static struct kunit_case memfd_luo_cases[] = {
	KUNIT_CASE(memory_comes_from_outside_of_scratch),
	KUNIT_CASE(file_is_as_it_was),
	KUNIT_CASE(file_without_folios_is_a_hole),
	KUNIT_CASE(records_may_lie_in_larger_blocks),
	KUNIT_CASE(memory_never_written_is_cleared),
	KUNIT_CASE(extension_of_the_future_is_read),
	KUNIT_CASE_PARAM(mode_is_guessed_without_an_extension, mode_gen_params),
	KUNIT_CASE(file_nobody_retrieves_is_freed),
	KUNIT_CASE(file_may_be_larger_than_the_ram_left),
	KUNIT_CASE(retrieve_can_be_killed_and_tried_again),
	KUNIT_CASE(finish_of_the_killed_frees_all),
	KUNIT_CASE(retrieve_that_lacks_memory_can_be_tried_again),
	{}
};

static struct kunit_suite memfd_luo_suite = {
	.name = "memfd_luo",
	.init = memfd_test_init,
	.exit = memfd_test_exit,
	.test_cases = memfd_luo_cases,
};
kunit_test_suite(memfd_luo_suite);
