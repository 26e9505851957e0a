// SPDX-License-Identifier: GPL-2.0-only
/*
 * The new kernel's side of the handler of memfds on huge pages:
 * mm/hugetlb_luo_retrieve.c, and what the pool knows of it.
 */

#include <linux/file.h>
#include <linux/hugetlb.h>
#include <linux/memfd.h>

#include "hugetlb_test.h"

/* ---- valid handles ---- */

static void file_is_as_it_was_and_so_is_the_pool_after_it(struct kunit *test)
{
	struct huge *h = huge_new(test);
	struct inode *inode;
	struct file *file;

	KUNIT_ASSERT_EQ(test, retrieve(h, &file), 0);
	inode = file_inode(file);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), 0);
	expect_content(h, file);
	KUNIT_EXPECT_EQ(test, i_size_read(inode), PAGES * (PAGE_SIZE << ORDER));
	KUNIT_EXPECT_EQ(test, inode->i_blocks, 2 * (PAGE_SIZE << ORDER) / 512);
	KUNIT_EXPECT_EQ(test, file->f_pos, 12345);
	KUNIT_EXPECT_EQ(test, HUGETLBFS_I(inode)->seals, F_SEAL_SEAL | F_SEAL_GROW);
	KUNIT_EXPECT_EQ(test, inode->i_mode, S_IFREG | 0640);
	expect_pool(h, 2);

	memfd_put_file(file);
	expect_pool(h, 0);
}

/* There is no pool, so holes can't be reserved: an admin may mend that. */
static void reservation_that_cant_be_had_changes_nothing(struct kunit *test)
{
	struct huge *h = huge_new(test);
	struct file *file;

	if (h->before.total)
		kunit_skip(test, "there are huge pages");
	h->ranges[1].to = PAGES;
	KUNIT_EXPECT_EQ(test, retrieve(h, &file), -ENOMEM);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), h->blocks.nr);
	flush_delayed_fput();
	expect_pool(h, 0);

	h->ranges[1].to = 3;
	KUNIT_ASSERT_EQ(test, retrieve(h, &file), 0);
	memfd_put_file(file);
	expect_pool(h, 0);
}

/* Who has failed to get it may die of that, and another come. */
static void file_that_is_whole_is_not_lost_for_want_of_memory(struct kunit *test)
{
	struct huge *h = huge_new(test);
	struct liveupdate_file_op_args args = memfd_args_at(virt_to_phys(h->ser));
	struct file *file;

	if (h->before.total)
		kunit_skip(test, "there are huge pages");
	args.handler = huge_handler();
	KUNIT_EXPECT_TRUE(test, huge_ops()->can_finish(&args));
	h->ranges[1].to = PAGES;
	KUNIT_EXPECT_EQ(test, huge_ops()->retrieve(&args), -ENOMEM);
	KUNIT_EXPECT_FALSE(test, huge_ops()->can_finish(&args));
	flush_delayed_fput();

	h->ranges[1].to = 3;
	KUNIT_ASSERT_EQ(test, huge_ops()->retrieve(&args), 0);
	file = args.file;
	KUNIT_EXPECT_TRUE(test, huge_ops()->can_finish(&args));
	memfd_put_file(file);
}

static void records_may_come_in_any_order(struct kunit *test)
{
	struct huge *h = huge_new(test);
	struct file *file;

	swap(h->records[0], h->records[1]);
	KUNIT_ASSERT_EQ(test, retrieve(h, &file), 0);
	expect_content(h, file);
	memfd_put_file(file);
	expect_pool(h, 0);
}

/* What is planned costs the same however much there is already. */
static void plans_go_behind_what_is_there(struct kunit *test)
{
	struct huge *h = huge_new(test);
	struct hugetlb_adoption adoption;
	struct file *file;

	KUNIT_ASSERT_EQ(test, retrieve(h, &file), 0);
	adoption = (struct hugetlb_adoption) {
		.inode = file_inode(file),
		.h = hstate(),
	};
	KUNIT_EXPECT_EQ(test, hugetlb_adopt_plan(&adoption, 1, 2), -EEXIST);
	KUNIT_EXPECT_EQ(test, adoption.planned, 0);
	memfd_put_file(file);
	expect_pool(h, 0);
}

static void regions_that_touch_are_one_range(struct kunit *test)
{
	struct huge *h = huge_new(test);
	struct memfd_hugepages_range_ser ranges[2] = {};
	struct file_region hole = { .from = 1, .to = 2 };
	struct resv_map *resv;
	unsigned long pages;
	struct file *file;

	KUNIT_ASSERT_EQ(test, retrieve(h, &file), 0);
	KUNIT_EXPECT_EQ(test, hugetlb_reserved(file_inode(file), &pages, ranges, 2), 2);
	KUNIT_EXPECT_EQ(test, pages, 2);
	KUNIT_EXPECT_EQ(test, ranges[0].to, 1);
	KUNIT_EXPECT_EQ(test, ranges[1].from, 2);

	/* As if another cgroup had paid for it. */
	resv = file_inode(file)->i_data.i_private_data;
	list_add(&hole.link, resv->regions.next);
	KUNIT_EXPECT_EQ(test, hugetlb_reserved(file_inode(file), &pages, NULL, 0), 1);
	KUNIT_EXPECT_EQ(test, hugetlb_reserved(file_inode(file), &pages, ranges, 1), 1);
	KUNIT_EXPECT_EQ(test, pages, 3);
	KUNIT_EXPECT_EQ(test, ranges[0].from, 0);
	KUNIT_EXPECT_EQ(test, ranges[0].to, 3);
	list_del(&hole.link);
	memfd_put_file(file);
}

static void finish_frees_what_nobody_retrieved(struct kunit *test)
{
	struct huge *h = huge_new(test);

	finish(h);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), 0);
	expect_pool(h, 0);
}

/* ---- pools that know what they will get ---- */

static void pages_that_were_not_asked_for_are_counted_until_they_go(struct kunit *test)
{
	struct huge *h = huge_new(test);
	struct file *file;

	tell_pool(h);
	expect_pool(h, 2);
	KUNIT_ASSERT_EQ(test, retrieve(h, &file), 0);
	expect_pool(h, 2);
	memfd_put_file(file);
	expect_pool(h, 0);
}

static void pages_that_were_not_asked_for_are_given_back(struct kunit *test)
{
	struct huge *h = huge_new(test);

	tell_pool(h);
	finish(h);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), 0);
	expect_pool(h, 0);
}

/* The limit of what may be committed is that of the memory that is there. */
static void pages_that_wait_are_no_memory_yet(struct kunit *test)
{
	const unsigned long before = hugetlb_total_pages();
	struct huge *h = huge_new(test);
	struct file *file;

	tell_pool(h);
	KUNIT_EXPECT_EQ(test, hugetlb_total_pages(), before);
	KUNIT_ASSERT_EQ(test, retrieve(h, &file), 0);
	KUNIT_EXPECT_EQ(test, hugetlb_total_pages(), before + (2 << ORDER));
	memfd_put_file(file);
	KUNIT_EXPECT_EQ(test, hugetlb_total_pages(), before);
}

static void pages_that_nobody_knows_any_more_do_not_count(struct kunit *test)
{
	const unsigned long before = hugetlb_total_pages();
	struct huge *h = huge_new(test);
	struct file *file;

	tell_pool(h);
	/* When nobody hands on what is not restored. */
	kho_hold_unclaimed();
	kho_release_unclaimed();
	expect_pool(h, 0);
	KUNIT_EXPECT_EQ(test, hugetlb_total_pages(), before);
	/* They are there all the same. */
	KUNIT_ASSERT_EQ(test, retrieve(h, &file), 0);
	expect_pool(h, 2);
	memfd_put_file(file);
	expect_pool(h, 0);
}

static void pages_that_were_asked_for_stay(struct kunit *test, bool retrieved)
{
	struct huge *h = huge_new(test);
	void *folios[] = { folio_of(h, 0), folio_of(h, 1) };
	struct file *file;

	hstate()->max_huge_pages += 2;
	tell_pool(h);
	expect_pool_has(h, 2, 0, 0);
	if (retrieved) {
		KUNIT_ASSERT_EQ(test, retrieve(h, &file), 0);
		expect_pool_has(h, 2, 0, 0);
		memfd_put_file(file);
	} else {
		finish(h);
	}
	expect_pool_has(h, 2, 2, 0);
	leave_pool(folios[0]);
	leave_pool(folios[1]);
	expect_pool(h, 0);
}

static void pages_of_a_file_that_is_closed_stay(struct kunit *test)
{
	pages_that_were_asked_for_stay(test, true);
}

static void pages_of_a_file_that_nobody_retrieves_stay(struct kunit *test)
{
	pages_that_were_asked_for_stay(test, false);
}

/* ---- reservations ---- */

static struct file *empty_file(struct kunit *test)
{
	struct file *file = hugetlb_file_setup("empty", PAGES * (PAGE_SIZE << ORDER),
					       VM_NORESERVE, HUGETLB_ANONHUGE_INODE,
					       ORDER + PAGE_SHIFT);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	return file;
}

/* As when the file is frozen, which can't be waited for here. */
static void folio_that_is_not_taken_in_gives_its_reservation_back(struct kunit *test)
{
	struct huge *h = huge_new(test);
	void *folios[] = { folio_of(h, 0), folio_of(h, 1) };
	struct folio *folio;
	struct file *file;

	hstate()->max_huge_pages += 2;
	tell_pool(h);
	finish(h);
	file = empty_file(test);
	folio = memfd_alloc_folio(file, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR(folio));
	KUNIT_ASSERT_EQ(test, hugetlb_reserve_pages(file_inode(file), 1, 2, NULL, 0), 1);
	KUNIT_EXPECT_EQ(test, PTR_ERR(memfd_alloc_folio(file, 0)), -EEXIST);
	KUNIT_EXPECT_EQ(test, pool_now().reserved, h->before.reserved + 1);
	KUNIT_EXPECT_EQ(test, pool_now().free, h->before.free + 1);
	folio_put(folio);
	memfd_put_file(file);
	expect_pool_has(h, 2, 2, 0);
	leave_pool(folios[0]);
	leave_pool(folios[1]);
}

/* ---- damage ---- */

struct damage {
	const char *name;
	void (*damage)(struct huge *h);
	int err;
};

static void order_is_zero(struct huge *h)
{
	h->ser->order = 0;
}

static void order_is_another(struct huge *h)
{
	h->ser->order = ORDER - 1;
}

static void order_is_nonsense(struct huge *h)
{
	h->ser->order = 64;
}

static void order_is_of_another_kernel(struct huge *h)
{
	h->ser->order = MAX_FOLIO_ORDER + 1;
}

/* Of a size that there is, and there are places for the pages. */
static void order_is_of_larger_pages(struct huge *h)
{
	h->ser->order = PUD_SHIFT - PAGE_SHIFT;
	h->ser->memfd.size = 2 * PUD_SIZE;
}

static void no_extension(struct huge *h)
{
	h->ser->ext.magic = 0;
}

static void other_token(struct huge *h)
{
	h->ser->ext.token++;
}

static void size_is_too_small(struct huge *h)
{
	h->ser->memfd.size = PAGE_SIZE << ORDER;
}

static void more_records_than_pages(struct huge *h)
{
	h->ser->memfd.nr_folios = PAGES + 1;
}

static void more_records_than_there_are(struct huge *h)
{
	h->ser->memfd.nr_folios = PAGES;
}

static void records_without_number(struct huge *h)
{
	h->ser->memfd.nr_folios = U64_MAX;
}

static void record_without_page(struct huge *h)
{
	h->records[1].pfn_flags = RECORD_FLAGS;
}

static void record_of_a_small_page(struct huge *h)
{
	h->records[1].pfn_flags = PHYS_PFN(virt_to_phys(h->ranges)) | RECORD_FLAGS;
}

static void unknown_flag(struct huge *h)
{
	h->records[0].pfn_flags |= BIT_ULL(63);
}

static void index_is_crooked(struct huge *h)
{
	h->records[1].index++;
}

static void index_comes_twice(struct huge *h)
{
	h->records[1].index = 0;
}

static void ranges_are_nowhere(struct huge *h)
{
	h->ser->ranges = 0;
}

static void ranges_without_number(struct huge *h)
{
	h->ser->nr_ranges = 0;
}

static void more_ranges_than_fit(struct huge *h)
{
	h->ser->nr_ranges = 4096 / 16 + 1;
}

static void range_beyond_the_end(struct huge *h)
{
	h->ranges[1].to = PAGES + 1;
}

static void range_is_empty(struct huge *h)
{
	h->ranges[0].to = 0;
}

static void ranges_overlap(struct huge *h)
{
	h->ranges[0].to = 3;
}

static void seal_is_unknown(struct huge *h)
{
	h->ser->memfd.seals = BIT(20);
}

#define DAMAGE(_what, _err)	{ #_what, _what, _err }

static const struct damage damages[] = {
	DAMAGE(order_is_zero, -EBADMSG),
	DAMAGE(order_is_another, -EBADMSG),
	DAMAGE(order_is_nonsense, -EBADMSG),
	DAMAGE(order_is_of_another_kernel, -EOPNOTSUPP),
	DAMAGE(order_is_of_larger_pages, -EBADMSG),
	DAMAGE(no_extension, -EBADMSG),
	DAMAGE(other_token, -EBADMSG),
	DAMAGE(size_is_too_small, -EBADMSG),
	DAMAGE(more_records_than_pages, -EBADMSG),
	DAMAGE(more_records_than_there_are, -EBADMSG),
	DAMAGE(records_without_number, -EBADMSG),
	DAMAGE(record_without_page, -EBADMSG),
	DAMAGE(record_of_a_small_page, -EBADMSG),
	DAMAGE(unknown_flag, -EBADMSG),
	DAMAGE(index_is_crooked, -EBADMSG),
	DAMAGE(index_comes_twice, -EBADMSG),
	DAMAGE(ranges_are_nowhere, -EBADMSG),
	DAMAGE(ranges_without_number, -EBADMSG),
	DAMAGE(more_ranges_than_fit, -EBADMSG),
	DAMAGE(range_beyond_the_end, -EBADMSG),
	DAMAGE(range_is_empty, -EBADMSG),
	DAMAGE(ranges_overlap, -EBADMSG),
	DAMAGE(seal_is_unknown, -EOPNOTSUPP),
};

KUNIT_ARRAY_PARAM_DESC(damage, damages, name);

static void damaged_handle_is_refused_and_nothing_is_used(struct kunit *test)
{
	const struct damage *d = test->param_value;
	struct huge *h = huge_new(test);
	struct file *file;

	h->ser->ext.version = 2;
	d->damage(h);
	KUNIT_EXPECT_EQ(test, retrieve(h, &file), d->err);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), h->blocks.nr);
	flush_delayed_fput();
	expect_pool(h, 0);
}

/* Of another file with as many pages at the same places. */
static void folios_are_another_files(struct huge *h, const struct huge *other)
{
	h->chunk->phys[0] = other->chunk->phys[0];
}

static void a_folio_is_another_files(struct huge *h, const struct huge *other)
{
	h->records[1].pfn_flags = other->records[1].pfn_flags;
}

static void ranges_are_another_files(struct huge *h, const struct huge *other)
{
	h->ser->ranges = other->ser->ranges;
}

static const struct theft {
	const char *name;
	void (*damage)(struct huge *h, const struct huge *other);
} thefts[] = {
	{ "all folios", folios_are_another_files },
	{ "a folio", a_folio_is_another_files },
	{ "what is reserved", ranges_are_another_files },
};

KUNIT_ARRAY_PARAM_DESC(theft, thefts, name);

static void what_leads_to_another_file_takes_nothing_of_it(struct kunit *test)
{
	const struct theft *d = test->param_value;
	struct huge *h = huge_new(test), *other = huge_new(test);
	struct file *file;

	d->damage(h, other);
	KUNIT_EXPECT_EQ(test, retrieve(h, &file), -EBADMSG);
	finish(h);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), h->blocks.nr);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&other->blocks), other->blocks.nr);
	flush_delayed_fput();
	expect_pool(h, 0);
	finish(other);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&other->blocks), 0);
}

static void sum_is_not_asked_for_before_version_3(struct kunit *test)
{
	struct huge *h = huge_new(test);
	struct file *file;

	h->ser->ext.version = 2;
	h->ser->ext.sum++;
	KUNIT_ASSERT_EQ(test, retrieve(h, &file), 0);
	memfd_put_file(file);
	expect_pool(h, 0);
}

/* A page may be named twice unseen until the second is to be restored. */
static void folio_that_comes_twice_costs_the_file_and_nothing_else(struct kunit *test)
{
	struct huge *h = huge_new(test);
	struct file *file;

	h->ser->ext.version = 2;
	h->records[1].pfn_flags = h->records[0].pfn_flags;
	KUNIT_EXPECT_EQ(test, retrieve(h, &file), -EBADMSG);
	flush_delayed_fput();
	/* The one that no record names is not ours to free. */
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), 1);
	expect_pool(h, 0);
}

static void finish_frees_nothing_that_is_damaged(struct kunit *test)
{
	struct huge *h = huge_new(test);

	h->records[0].index++;
	finish(h);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), h->blocks.nr);
}

/* Another kernel's, but what is there is known. */
static void finish_frees_what_only_another_kernel_could_retrieve(struct kunit *test)
{
	struct huge *h = huge_new(test);

	seal_is_unknown(h);
	finish(h);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), 0);
}

static struct kunit_case hugetlb_luo_cases[] = {
	KUNIT_CASE(file_is_as_it_was_and_so_is_the_pool_after_it),
	KUNIT_CASE(reservation_that_cant_be_had_changes_nothing),
	KUNIT_CASE(file_that_is_whole_is_not_lost_for_want_of_memory),
	KUNIT_CASE(records_may_come_in_any_order),
	KUNIT_CASE(plans_go_behind_what_is_there),
	KUNIT_CASE(regions_that_touch_are_one_range),
	KUNIT_CASE(finish_frees_what_nobody_retrieved),
	KUNIT_CASE(pages_that_wait_are_no_memory_yet),
	KUNIT_CASE(pages_that_nobody_knows_any_more_do_not_count),
	KUNIT_CASE(folio_that_is_not_taken_in_gives_its_reservation_back),
	KUNIT_CASE(pages_that_were_not_asked_for_are_counted_until_they_go),
	KUNIT_CASE(pages_that_were_not_asked_for_are_given_back),
	KUNIT_CASE(pages_of_a_file_that_is_closed_stay),
	KUNIT_CASE(pages_of_a_file_that_nobody_retrieves_stay),
	KUNIT_CASE_PARAM(damaged_handle_is_refused_and_nothing_is_used,
			 damage_gen_params),
	KUNIT_CASE_PARAM(what_leads_to_another_file_takes_nothing_of_it, theft_gen_params),
	KUNIT_CASE(sum_is_not_asked_for_before_version_3),
	KUNIT_CASE(folio_that_comes_twice_costs_the_file_and_nothing_else),
	KUNIT_CASE(finish_frees_nothing_that_is_damaged),
	KUNIT_CASE(finish_frees_what_only_another_kernel_could_retrieve),
	{}
};

static struct kunit_suite hugetlb_luo_suite = {
	.name = "hugetlb_luo",
	.init = huge_test_init,
	.test_cases = hugetlb_luo_cases,
};

kunit_test_suite(hugetlb_luo_suite);
