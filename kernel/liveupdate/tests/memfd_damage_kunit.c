// SPDX-License-Identifier: GPL-2.0-only
/* What is believed of handles and records of memfds: mm/memfd_luo*. */

#include <kunit/test.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/kho/abi/memfd.h>
#include <linux/mm.h>
#include <linux/pagemap.h>

#include "memfd_test_handle.h"

/* ---- damaged handles ---- */

static void size_is_none(struct handle *h)
{
	h->ser->size = U64_MAX;
}

static void position_is_negative(struct handle *h)
{
	h->ser->pos = U64_MAX;
}

static void seal_is_unknown(struct handle *h)
{
	h->ser->seals = BIT(31);
}

static void flag_is_unknown(struct handle *h)
{
	h->ser->flags = 1;
}

static void mode_has_more_bits(struct handle *h)
{
	h->ext->mode = S_IFDIR | 0777;
}

static void owner_is_none(struct handle *h)
{
	h->ext->uid = U32_MAX;
}

static void group_is_none(struct handle *h)
{
	h->ext->gid = U32_MAX;
}

static void name_does_not_end(struct handle *h)
{
	memset(h->ext->name, 'x', sizeof(h->ext->name));
}

static void token_is_of_another(struct handle *h)
{
	h->ext->token = MEMFD_TEST_TOKEN + 1;
}

static void session_is_another(struct handle *h)
{
	strscpy(h->ext->session, "kunit2");
}

static void session_does_not_end(struct handle *h)
{
	memset(h->ext->session, 'x', sizeof(h->ext->session));
}

static void area_is_of_no_order(struct handle *h)
{
	h->ser->folios.order = MAX_PAGE_ORDER + 1;
}

static void area_has_more_pages_than_said(struct handle *h)
{
	h->ser->folios.total_pages = 0;
}

static void area_has_fewer_pages_than_said(struct handle *h)
{
	h->ser->folios.total_pages = 2;
}

static void block_is_larger_than_said(struct handle *h)
{
	h->chunk->phys[0] = virt_to_phys(waiting_block_new(&h->blocks, 1));
}

static void records_are_cut_off(struct handle *h)
{
	h->ser->nr_folios = PER_PAGE + 1;
}

static void chunk_is_nowhere(struct handle *h)
{
	h->ser->folios.first = 0x123;
}

static void chunk_leads_to_itself(struct handle *h)
{
	h->chunk->next = virt_to_phys(h->chunk);
}

static void empty_chunk_leads_to_itself(struct handle *h)
{
	h->chunk->phys[0] = 0;
	chunk_leads_to_itself(h);
}

static void next_chunk_is_nowhere(struct handle *h)
{
	h->chunk->next = PHYS_ADDR_MAX & PAGE_MASK;
}

static void records_are_nowhere(struct handle *h)
{
	h->chunk->phys[0] = virt_to_phys(h);
}

static void records_come_twice(struct handle *h)
{
	h->chunk->phys[1] = h->chunk->phys[0];
	h->ser->folios.total_pages = 2;
}

static void folio_is_nowhere(struct handle *h)
{
	h->records[1].pfn_flags = MEMFD_FOLIO_PFN_MASK | RECORD_FLAGS;
}

static void folio_comes_twice(struct handle *h)
{
	h->records[1].pfn_flags = h->records[0].pfn_flags;
}

static void place_comes_twice(struct handle *h)
{
	h->records[1].index = h->records[0].index;
}

static void index_is_beyond_the_end(struct handle *h)
{
	h->records[1].index = FILE_PAGES;
}

static void index_is_not_aligned(struct handle *h)
{
	h->records[2].index = 3;
}

static void record_has_unknown_flags(struct handle *h)
{
	h->records[0].pfn_flags |= BIT_ULL(54);
}

static void more_than_fits(struct handle *h)
{
	u64 i;

	h->ser->nr_folios = PER_PAGE;
	for (i = 0; i < PER_PAGE; i++)
		h->records[i] = h->records[2];
}

static void folio_is_too_large(struct handle *h)
{
	add_folio(h, 0, MAX_PAGECACHE_ORDER + 1);
}

static void records_without_folio(struct handle *h)
{
	h->records[0].pfn_flags = 0;
	h->records[1].pfn_flags = RECORD_FLAGS;
}

/* What was not checked whole is freed by nobody. */
#define ALL		UINT_MAX

/* Of records that have no sum yet. @left: blocks that stay reserved. */
struct damage_row {
	const char *name;
	void (*damage)(struct handle *h);
	int err;
	unsigned int left;
};

static const struct damage_row damage_rows[] = {
	{ "size is none", size_is_none, -EBADMSG, ALL },
	{ "position is negative", position_is_negative, -EBADMSG, ALL },
	{ "seal is unknown", seal_is_unknown, -EOPNOTSUPP, 0 },
	{ "flag is unknown", flag_is_unknown, -EOPNOTSUPP, 0 },
	{ "mode has more bits", mode_has_more_bits, -EBADMSG, ALL },
	{ "owner is none", owner_is_none, -EBADMSG, ALL },
	{ "group is none", group_is_none, -EBADMSG, ALL },
	{ "name does not end", name_does_not_end, -EBADMSG, ALL },
	{ "token is of another", token_is_of_another, -EBADMSG, ALL },
	{ "session is another", session_is_another, -EBADMSG, ALL },
	{ "session does not end", session_does_not_end, -EBADMSG, ALL },
	{ "area is of no order", area_is_of_no_order, -EBADMSG, ALL },
	{ "area has more pages than said", area_has_more_pages_than_said, -EBADMSG, ALL },
	{ "area has fewer pages than said", area_has_fewer_pages_than_said, -EBADMSG, ALL },
	{ "block is larger than said", block_is_larger_than_said, -EBADMSG, ALL },
	{ "records are cut off", records_are_cut_off, -EBADMSG, ALL },
	{ "chunk is nowhere", chunk_is_nowhere, -EBADMSG, ALL },
	{ "chunk leads to itself", chunk_leads_to_itself, -EBADMSG, ALL },
	{ "empty chunk leads to itself", empty_chunk_leads_to_itself, -EBADMSG, ALL },
	{ "next chunk is nowhere", next_chunk_is_nowhere, -EBADMSG, ALL },
	{ "records are nowhere", records_are_nowhere, -EBADMSG, ALL },
	{ "records come twice", records_come_twice, -EBADMSG, 0 },
	{ "folio is nowhere", folio_is_nowhere, -EBADMSG, ALL },
	{ "folio comes twice", folio_comes_twice, -EBADMSG, 1 },
	{ "place comes twice", place_comes_twice, -EBADMSG, 0 },
	{ "index is beyond the end", index_is_beyond_the_end, -EBADMSG, ALL },
	{ "index is not aligned", index_is_not_aligned, -EBADMSG, ALL },
	{ "record has unknown flags", record_has_unknown_flags, -EBADMSG, ALL },
	{ "more than fits", more_than_fits, -EBADMSG, ALL },
	{ "folio is too large", folio_is_too_large, -EOPNOTSUPP, 0 },
	{ "records without folio", records_without_folio, 0, 2 },
};
KUNIT_ARRAY_PARAM_DESC(damage, damage_rows, name);

static void damaged_handle_gives_no_file_and_what_was_checked_is_freed(struct kunit *test)
{
	const struct damage_row *row = test->param_value;
	struct handle *h = handle_with_folios(test);
	u64 phys = virt_to_phys(h->ser);
	struct liveupdate_file_op_args args = memfd_args_at(phys);
	const long ram = totalram_pages() + pages_left(h);
	unsigned int left;
	int err;

	h->ext->version = 2;
	row->damage(h);
	err = memfd_ops()->retrieve(&args);
	KUNIT_EXPECT_EQ(test, err, row->err);
	/* Only what is still preserved may be handed over again. */
	if (err)
		KUNIT_EXPECT_EQ(test, args.serialized_data, kho_block_order(phys) < 0 ? 0 : phys);
	if (args.file)
		memfd_put_file(args.file);
	finish_at(args.serialized_data, err ?: 1);
	left = row->left == ALL ? h->blocks.nr : row->left;
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), left);
	KUNIT_EXPECT_EQ(test, totalram_pages() + pages_left(h), ram);
}

static void owner_is_not_asked_for_before_version_2(struct kunit *test)
{
	struct handle *h = handle_with_folios(test);

	h->ext->version = 1;
	h->ext->token = MEMFD_TEST_TOKEN + 1;
	memfd_put_file(retrieved(h));
}

/* ---- what leads to another file's ---- */

/* Both have as many records, in as many pages, of the same places. */
struct theft_row {
	const char *name;
	void (*damage)(struct handle *h, const struct handle *other);
};

static void list_is_another_files(struct handle *h, const struct handle *other)
{
	h->ser->folios.first = other->ser->folios.first;
}

static void records_are_another_files(struct handle *h, const struct handle *other)
{
	h->chunk->phys[0] = other->chunk->phys[0];
}

static void folio_is_another_files(struct handle *h, const struct handle *other)
{
	h->records[1].pfn_flags = other->records[1].pfn_flags;
}

/* Records of which there are none need no check. */
static void page_without_records_is_another_files(struct handle *h,
						  const struct handle *other)
{
	h->ser->folios.total_pages = 2;
	h->chunk->phys[1] = other->chunk->phys[0];
}

static void list_goes_on_in_another_files(struct handle *h, const struct handle *other)
{
	h->ser->folios.total_pages = 2;
	h->chunk->next = virt_to_phys(other->chunk);
}

static void two_folios_change_places(struct handle *h, const struct handle *other)
{
	swap(h->records[0].index, h->records[1].index);
}

static void extension_is_damaged_too(struct handle *h, const struct handle *other)
{
	h->ext->magic = 0;
	folio_is_another_files(h, other);
}

static const struct theft_row theft_rows[] = {
	{ "the list", list_is_another_files },
	{ "records", records_are_another_files },
	{ "a folio", folio_is_another_files },
	{ "a folio, and the extension is damaged", extension_is_damaged_too },
	{ "a page without records", page_without_records_is_another_files },
	{ "the list goes on", list_goes_on_in_another_files },
	{ "none, but two folios change places", two_folios_change_places },
};
KUNIT_ARRAY_PARAM_DESC(theft, theft_rows, name);

static void what_leads_to_another_file_takes_nothing_of_it(struct kunit *test)
{
	const struct theft_row *row = test->param_value;
	struct handle *h = handle_with_folios(test);
	struct handle *other = handle_with_folios(test);
	struct liveupdate_file_op_args args = memfd_args_at(virt_to_phys(h->ser));
	struct file *file;

	row->damage(h, other);
	KUNIT_EXPECT_EQ(test, retrieve(h, &file), -EBADMSG);
	memfd_ops()->finish(&args);
	KUNIT_EXPECT_EQ(test, args.retrieve_status, -EBADMSG);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), h->blocks.nr);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&other->blocks), other->blocks.nr);
	file = retrieved(other);
	expect_page(test, file, 2, content_of(2));
	memfd_put_file(file);
}

static void sum_is_not_asked_for_before_version_3(struct kunit *test)
{
	struct handle *h = handle_with_folios(test);

	h->ext->version = 2;
	h->ext->sum++;
	memfd_put_file(retrieved(h));
}

/* Of the RAM of a guest, for instance, which would see what others write there. */
struct zeros_row {
	const char *name;
	void (*damage)(struct handle *h, void *zeros);
	int err;
};

static void zeros_are_the_handle(struct handle *h, void *zeros)
{
	h->ser = zeros;
}

static void zeros_are_the_list_of_an_empty_file(struct handle *h, void *zeros)
{
	h->ser->nr_folios = 0;
	h->ser->folios.total_pages = 0;
	h->ser->folios.first = virt_to_phys(zeros);
}

static void zeros_end_the_list(struct handle *h, void *zeros)
{
	h->chunk->next = virt_to_phys(zeros);
}

static void zeros_are_the_records(struct handle *h, void *zeros)
{
	h->chunk->phys[0] = virt_to_phys(zeros);
}

static const struct zeros_row zeros_rows[] = {
	{ "as handle", zeros_are_the_handle, 0 },
	{ "as list of an empty file", zeros_are_the_list_of_an_empty_file, 0 },
	{ "behind the list", zeros_end_the_list, 0 },
	{ "as records", zeros_are_the_records, -EBADMSG },
};
KUNIT_ARRAY_PARAM_DESC(zeros, zeros_rows, name);

static void page_of_zeros_is_left_to_its_owner(struct kunit *test)
{
	const struct zeros_row *row = test->param_value;
	struct handle *h = handle_with_folios(test);
	void *zeros = waiting_block_new(&h->blocks, 0);
	struct file *file;

	h->ext->version = 2;
	row->damage(h, zeros);
	KUNIT_EXPECT_EQ(test, retrieve(h, &file), row->err);
	if (file)
		memfd_put_file(file);
	KUNIT_EXPECT_EQ(test, kho_block_order(virt_to_phys(zeros)), 0);
}

static void page_of_zeros_is_not_freed_by_finish(struct kunit *test)
{
	const struct zeros_row *row = test->param_value;
	struct handle *h = handle_with_folios(test);
	void *zeros = waiting_block_new(&h->blocks, 0);

	h->ext->version = 2;
	row->damage(h, zeros);
	finish(h, 0);
	KUNIT_EXPECT_EQ(test, kho_block_order(virt_to_phys(zeros)), 0);
}

static void handle_is_nowhere(struct kunit *test)
{
	struct handle *h = handle_with_folios(test);
	const u64 places[] = {
		0, 1, virt_to_phys(h->ser) + 8, virt_to_phys(h),
		PHYS_ADDR_MAX & PAGE_MASK, virt_to_phys(waiting_block_new(&h->blocks, 1)),
	};
	struct file *file;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(places); i++)
		KUNIT_EXPECT_EQ(test, retrieve_at(places[i], &file), -EBADMSG);
	for (i = 0; i < ARRAY_SIZE(places); i++)
		finish_at(places[i], -EBADMSG);
	KUNIT_EXPECT_EQ(test, waiting_blocks_left(&h->blocks), h->blocks.nr);
}

/* Who can't be killed, as in finish, would walk for days: so it is not begun. */
static void more_records_than_memory_are_not_walked(struct kunit *test)
{
	const struct { u32 pages; u64 records; } rows[] = {
		{ U32_MAX, 1 }, { 1, U64_MAX },
	};
	struct handle *h = handle_with_folios(test);
	struct file *file;
	unsigned int i;
	int err;

	chunk_leads_to_itself(h);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		h->ser->folios.total_pages = rows[i].pages;
		h->ser->nr_folios = rows[i].records;
		pretend_to_be_killed(true);
		err = retrieve(h, &file);
		pretend_to_be_killed(false);
		KUNIT_EXPECT_EQ(test, err, -EBADMSG);
	}
}

static struct kunit_case memfd_damage_cases[] = {
	KUNIT_CASE_PARAM(damaged_handle_gives_no_file_and_what_was_checked_is_freed,
			 damage_gen_params),
	KUNIT_CASE(owner_is_not_asked_for_before_version_2),
	KUNIT_CASE_PARAM(what_leads_to_another_file_takes_nothing_of_it, theft_gen_params),
	KUNIT_CASE(sum_is_not_asked_for_before_version_3),
	KUNIT_CASE_PARAM(page_of_zeros_is_left_to_its_owner, zeros_gen_params),
	KUNIT_CASE_PARAM(page_of_zeros_is_not_freed_by_finish, zeros_gen_params),
	KUNIT_CASE(handle_is_nowhere),
	KUNIT_CASE(more_records_than_memory_are_not_walked),
	{}
};

static struct kunit_suite memfd_damage_suite = {
	.name = "memfd_damage",
	.init = memfd_test_init,
	.exit = memfd_test_exit,
	.test_cases = memfd_damage_cases,
};
kunit_test_suite(memfd_damage_suite);
