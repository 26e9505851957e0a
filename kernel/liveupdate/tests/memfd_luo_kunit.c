// SPDX-License-Identifier: GPL-2.0-only
/*
 * The handler of memfds and its records: mm/memfd_luo*.
 *
 * What a previous kernel might have left is made from pages that are marked as
 * if they waited to be restored. The handler under test is the one that is
 * registered.
 */

#include <kunit/test.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/kthread.h>
#include <linux/liveupdate.h>
#include <linux/memfd.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/kho/abi/memfd.h>
#include <uapi/linux/memfd.h>

#include "../../kexec_handover_internal.h"
#include "memfd_test.h"

#define RECORD_FLAGS	(MEMFD_FOLIO_DIRTY | MEMFD_FOLIO_UPTODATE)
#define FILE_PAGES	8
#define LARGE_ORDER	2

/* A handle that is valid until a test damages it, and all that belongs to it. */
struct handle {
	struct memfd_ser *ser;
	struct memfd_ext_ser *ext;
	struct kho_vmalloc_chunk *chunk;
	struct memfd_folio_ser *records;
	struct waiting_blocks blocks;
};

static long pages_left(const struct handle *h)
{
	long pages = 0;
	unsigned int i;
	int order;

	for (i = 0; i < h->blocks.nr; i++) {
		order = kho_block_order(virt_to_phys(h->blocks.at[i]));
		pages += order < 0 ? 0 : 1L << order;
	}
	return pages;
}

/* ---- handles ---- */

/* As Documentation/core-api/kho/memfd.rst has it, of all that is part of the file. */
static u64 sum_of(const struct handle *h)
{
	u64 i, factor = 0x5bd1e995;
	u64 sum = (virt_to_phys(h->chunk) + virt_to_phys(h->records)) * factor;

	for (i = 0; i < h->ser->nr_folios; i++)
		sum += h->records[i].pfn_flags * (2 * h->records[i].index + factor);
	return sum;
}

static void add_folio(struct handle *h, u64 index, unsigned int order)
{
	void *folio = waiting_block_new(&h->blocks, order);
	struct memfd_folio_ser *record = &h->records[h->ser->nr_folios++];
	unsigned int i;

	for (i = 0; i < 1U << order; i++)
		memset(folio + i * PAGE_SIZE, content_of(index + i), PAGE_SIZE);
	record->pfn_flags = PHYS_PFN(virt_to_phys(folio)) | RECORD_FLAGS;
	record->index = index;
	h->ext->sum = sum_of(h);
}

/* Records in blocks of @order pages. */
static struct handle *handle_new(struct kunit *test, unsigned int order)
{
	struct handle *h = kunit_kzalloc(test, sizeof(*h), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, h);
	h->blocks.test = test;
	h->ser = waiting_block_new(&h->blocks, 0);
	h->ext = (void *)(h->ser + 1);
	h->chunk = waiting_block_new(&h->blocks, 0);
	h->records = waiting_block_new(&h->blocks, order);

	h->ser->size = FILE_SIZE;
	h->ser->pos = 12345;
	h->ser->folios.first = virt_to_phys(h->chunk);
	h->ser->folios.total_pages = 1 << order;
	h->ser->folios.flags = KHO_VMALLOC_ALLOC;
	h->ser->folios.order = order;
	h->chunk->phys[0] = virt_to_phys(h->records);
	h->ext->magic = MEMFD_EXT_MAGIC;
	h->ext->version = MEMFD_EXT_VERSION;
	h->ext->mode = 0640;
	strscpy(h->ext->name, "guest");
	h->ext->token = MEMFD_TEST_TOKEN;
	strscpy(h->ext->session, memfd_test_session.name);
	h->ext->sum_magic = MEMFD_SUM_MAGIC;
	h->ext->sum = sum_of(h);
	return h;
}

/* Pages 0 and 2, a hole around each, and pages 4 to 7 in one folio. */
static struct handle *handle_with_folios(struct kunit *test)
{
	struct handle *h = handle_new(test, 0);

	/* Without it, files with large folios are refused. */
	if (!IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE))
		kunit_skip(test, "needs TRANSPARENT_HUGEPAGE");
	add_folio(h, 0, 0);
	add_folio(h, 2, 0);
	add_folio(h, 4, LARGE_ORDER);
	return h;
}

/* ---- the handler ---- */

/* Whose files they are; only its name is asked for. */
struct liveupdate_session memfd_test_session = { .name = "kunit" };

const struct liveupdate_file_ops *memfd_ops(void)
{
	struct liveupdate_file_handler *fh;

	guard(rwsem_read)(&luo_get()->handlers_lock);
	list_for_each_entry(fh, &luo_get()->handlers, node) {
		if (!strcmp(fh->compatible, MEMFD_LUO_FORMAT))
			return fh->ops;
	}
	return NULL;
}

int memfd_test_init(struct kunit *test)
{
	if (!liveupdate_enabled())
		kunit_skip(test, "needs kho=on liveupdate=on");
	if (!memfd_ops())
		kunit_skip(test, "needs LIVEUPDATE_MEMFD");
	return luo_test_init(test);
}

void memfd_test_exit(struct kunit *test)
{
	if (test->priv)
		luo_test_exit(test);
}

struct liveupdate_file_op_args memfd_args_at(u64 data)
{
	return (struct liveupdate_file_op_args) {
		.session = &memfd_test_session,
		.token = MEMFD_TEST_TOKEN,
		.serialized_data = data,
	};
}

void memfd_put_file(struct file *file)
{
	fput(file);
	flush_delayed_fput();
}

static int retrieve_at(u64 data, struct file **file)
{
	struct liveupdate_file_op_args args = memfd_args_at(data);
	int err = memfd_ops()->retrieve(&args);

	*file = args.file;
	return err;
}

static int retrieve(struct handle *h, struct file **file)
{
	return retrieve_at(virt_to_phys(h->ser), file);
}

static void finish_at(u64 data, int status)
{
	struct liveupdate_file_op_args args = memfd_args_at(data);

	args.retrieve_status = status;
	memfd_ops()->finish(&args);
}

static void finish(struct handle *h, int status)
{
	finish_at(virt_to_phys(h->ser), status);
}

static struct file *retrieved(struct handle *h)
{
	struct file *file;

	KUNIT_ASSERT_EQ(h->blocks.test, retrieve(h, &file), 0);
	return file;
}

/* Every byte of the page is @byte, up to the end of the file. */
static void expect_page(struct kunit *test, struct file *file, u64 index, u8 byte)
{
	loff_t pos = index << PAGE_SHIFT;
	u8 *page = kunit_kmalloc(test, PAGE_SIZE, GFP_KERNEL);
	ssize_t len;

	KUNIT_ASSERT_NOT_NULL(test, page);
	len = kernel_read(file, page, PAGE_SIZE, &pos);
	KUNIT_EXPECT_EQ(test, len, min_t(loff_t, PAGE_SIZE, i_size_read(file_inode(file)) -
					 (index << PAGE_SHIFT)));
	KUNIT_EXPECT_TRUE_MSG(test, len > 0 && !memchr_inv(page, byte, len),
			      "page %llu", index);
	kunit_kfree(test, page);
}

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

static void pretend_to_be_killed(bool killed)
{
	/* Nobody else sends signals to a thread of the tests. */
	if (killed)
		sigaddset(&current->pending.signal, SIGKILL);
	else
		sigdelset(&current->pending.signal, SIGKILL);
	recalc_sigpending();
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
	KUNIT_CASE_PARAM(damaged_handle_gives_no_file_and_what_was_checked_is_freed,
			 damage_gen_params),
	KUNIT_CASE(owner_is_not_asked_for_before_version_2),
	KUNIT_CASE_PARAM(what_leads_to_another_file_takes_nothing_of_it, theft_gen_params),
	KUNIT_CASE(sum_is_not_asked_for_before_version_3),
	KUNIT_CASE_PARAM(page_of_zeros_is_left_to_its_owner, zeros_gen_params),
	KUNIT_CASE_PARAM(page_of_zeros_is_not_freed_by_finish, zeros_gen_params),
	KUNIT_CASE(handle_is_nowhere),
	KUNIT_CASE(file_may_be_larger_than_the_ram_left),
	KUNIT_CASE(retrieve_can_be_killed_and_tried_again),
	KUNIT_CASE(more_records_than_memory_are_not_walked),
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
