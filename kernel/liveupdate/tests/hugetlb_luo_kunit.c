// SPDX-License-Identifier: GPL-2.0-only
/*
 * The new kernel's side of the handler of memfds on huge pages:
 * mm/hugetlb_luo_retrieve.c, and what the pool knows of it.
 *
 * What a previous kernel might have left is made from pages that are marked as
 * if they waited to be restored.
 */

#include <kunit/test.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/hugetlb_luo.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/memfd.h>
#include <linux/mm.h>
#include <linux/kho/abi/memfd_hugepages.h>

#include "../../kexec_handover_internal.h"
#include "memfd_test.h"

#define ORDER		HUGETLB_PAGE_ORDER
#define RECORD_FLAGS	(MEMFD_FOLIO_DIRTY | MEMFD_FOLIO_UPTODATE)
#define PAGES		4

/* What the pool says of itself. */
struct pool {
	unsigned long total, free, reserved, surplus;
};

/* A handle that is valid until a test damages it, and all that belongs to it. */
struct huge {
	struct memfd_hugepages_ser *ser;
	struct kho_vmalloc_chunk *chunk;
	struct memfd_folio_ser *records;
	struct memfd_hugepages_range_ser *ranges;
	struct waiting_blocks blocks;
	struct pool before;
};

static struct hstate *hstate(void)
{
	return size_to_hstate(PAGE_SIZE << ORDER);
}

static struct pool pool_now(void)
{
	const struct hstate *h = hstate();

	return (struct pool) {
		.total = h->nr_huge_pages,
		.free = h->free_huge_pages,
		.reserved = h->resv_huge_pages,
		.surplus = h->surplus_huge_pages,
	};
}

static void expect_pool_has(struct huge *h, long total, long free, long surplus)
{
	struct pool now = pool_now();

	KUNIT_EXPECT_EQ(h->blocks.test, now.total, h->before.total + total);
	KUNIT_EXPECT_EQ(h->blocks.test, now.free, h->before.free + free);
	KUNIT_EXPECT_EQ(h->blocks.test, now.reserved, h->before.reserved);
	KUNIT_EXPECT_EQ(h->blocks.test, now.surplus, h->before.surplus + surplus);
}

static void expect_pool(struct huge *h, long used)
{
	expect_pool_has(h, used, 0, used);
}

/* As Documentation/core-api/kho/memfd_hugepages.rst has it. */
static u64 sum_of(const struct huge *h)
{
	const u64 factor = 0x5bd1e995;
	u64 i, sum = (virt_to_phys(h->chunk) + virt_to_phys(h->records)) * factor;

	if (h->ser->ranges)
		sum += h->ser->ranges * (2ull * h->ser->nr_ranges + factor);
	for (i = 0; i < h->ser->memfd.nr_folios; i++)
		sum += h->records[i].pfn_flags * (2 * h->records[i].index + factor);
	return sum;
}

static void add_folio(struct huge *h, unsigned int index)
{
	void *folio = waiting_block_new(&h->blocks, ORDER);

	memset(folio, content_of(index), PAGE_SIZE << ORDER);
	h->records[h->ser->memfd.nr_folios++] = (struct memfd_folio_ser) {
		.pfn_flags = PHYS_PFN(virt_to_phys(folio)) | RECORD_FLAGS,
		.index = (u64)index << ORDER,
	};
	h->ser->ext.sum = sum_of(h);
}

/* Huge pages 0 and 2 of four; only these are reserved. */
static struct huge *huge_new(struct kunit *test)
{
	struct huge *h = kunit_kzalloc(test, sizeof(*h), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, h);
	h->blocks.test = test;
	h->before = pool_now();
	h->ser = waiting_block_new(&h->blocks, 0);
	h->chunk = waiting_block_new(&h->blocks, 0);
	h->records = waiting_block_new(&h->blocks, 0);
	h->ranges = waiting_block_new(&h->blocks, 0);

	h->ser->order = ORDER;
	h->ser->memfd.size = PAGES * (PAGE_SIZE << ORDER);
	h->ser->memfd.pos = 12345;
	h->ser->memfd.seals = F_SEAL_SEAL | F_SEAL_GROW;
	h->ser->memfd.folios.first = virt_to_phys(h->chunk);
	h->ser->memfd.folios.total_pages = 1;
	h->ser->memfd.folios.flags = KHO_VMALLOC_ALLOC;
	h->chunk->phys[0] = virt_to_phys(h->records);
	h->ser->ext.magic = MEMFD_EXT_MAGIC;
	h->ser->ext.version = MEMFD_EXT_VERSION;
	h->ser->ext.mode = 0640;
	strscpy(h->ser->ext.name, "guest");
	h->ser->ext.token = MEMFD_TEST_TOKEN;
	strscpy(h->ser->ext.session, memfd_test_session.name);
	h->ser->ext.sum_magic = MEMFD_SUM_MAGIC;
	h->ser->ranges = virt_to_phys(h->ranges);
	h->ser->nr_ranges = 2;
	h->ranges[0] = (struct memfd_hugepages_range_ser) { .from = 0, .to = 1 };
	h->ranges[1] = (struct memfd_hugepages_range_ser) { .from = 2, .to = 3 };
	add_folio(h, 0);
	add_folio(h, 2);
	return h;
}

/* ---- the handler ---- */

static struct liveupdate_file_handler *huge_handler(void)
{
	struct liveupdate_file_handler *fh;

	guard(rwsem_read)(&luo_get()->handlers_lock);
	list_for_each_entry(fh, &luo_get()->handlers, node) {
		if (!strcmp(fh->compatible, MEMFD_HUGEPAGES_FORMAT))
			return fh;
	}
	return NULL;
}

static const struct liveupdate_file_ops *huge_ops(void)
{
	return huge_handler()->ops;
}

static int hugetlb_luo_test_init(struct kunit *test)
{
	if (!liveupdate_enabled())
		kunit_skip(test, "needs kho=on liveupdate=on");
	if (!huge_handler() || !size_to_hstate(PAGE_SIZE << ORDER))
		kunit_skip(test, "needs LIVEUPDATE_HUGETLB and a CPU with huge pages");
	return 0;
}

static int retrieve(struct huge *h, struct file **file)
{
	struct liveupdate_file_op_args args = memfd_args_at(virt_to_phys(h->ser));
	int err = huge_ops()->retrieve(&args);

	*file = args.file;
	return err;
}

static void finish(struct huge *h)
{
	struct liveupdate_file_op_args args = memfd_args_at(virt_to_phys(h->ser));

	huge_ops()->finish(&args);
}

/* ---- valid handles ---- */

/* The first and the last byte of each huge page. */
static void expect_content(struct huge *h, struct file *file)
{
	u8 byte;
	u64 i;

	for (i = 0; i < 2 * PAGES; i++) {
		loff_t pos = (i + 1) / 2 * (PAGE_SIZE << ORDER) - (i & 1);
		u8 wanted = i / 2 & 1 ? 0 : content_of(i / 2);

		KUNIT_ASSERT_EQ(h->blocks.test, kernel_read(file, &byte, 1, &pos), 1);
		KUNIT_EXPECT_EQ_MSG(h->blocks.test, byte, wanted, "end %llu", i);
	}
}

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

static void *folio_of(struct huge *h, unsigned int i)
{
	return phys_to_virt(PFN_PHYS(h->records[i].pfn_flags & MEMFD_FOLIO_PFN_MASK));
}

static void tell_pool(struct huge *h)
{
	unsigned int i;

	for (i = 0; i < h->ser->memfd.nr_folios; i++)
		hugetlb_expect(hstate(), page_to_nid(virt_to_page(folio_of(h, i))), 1);
	hugetlb_settle_expected(hstate());
}

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

static void leave_pool(void *folio)
{
	/* What was asked for becomes less by that. */
	WARN_ON_ONCE(dissolve_free_hugetlb_folio(virt_to_folio(folio)));
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
	.init = hugetlb_luo_test_init,
	.test_cases = hugetlb_luo_cases,
};

kunit_test_suite(hugetlb_luo_suite);
