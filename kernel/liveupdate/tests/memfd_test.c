// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a previous kernel might have left, for the tests of memfd handlers: made from
 * pages that are marked as if they waited to be restored.
 */

#include <kunit/test.h>
#include <linux/cleanup.h>
#include <linux/file.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/list.h>
#include <linux/liveupdate.h>
#include <linux/mm.h>

#include "../../kexec_handover_internal.h"
#include "../kho_radix.h"
#include "memfd_test.h"

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

static void block_free(void *block)
{
	int order = kho_block_order(virt_to_phys(block));
	struct page *page = virt_to_page(block);

	/* Whoever restored it has freed it. */
	if (order < 0)
		return;
	kho_unmark_block(page);
	kho_unpreserve_pages(page, 1UL << order);
	adjust_managed_page_count(page, 1L << order);
	__free_pages(page, order);
}

void *waiting_block_new(struct waiting_blocks *b, unsigned int order)
{
	struct page *page = alloc_pages(GFP_KERNEL | __GFP_ZERO, order);

	KUNIT_ASSERT_NOT_NULL(b->test, page);
	KUNIT_ASSERT_LT(b->test, b->nr, ARRAY_SIZE(b->at));
	KUNIT_ASSERT_EQ(b->test, kho_preserve_pages(page, 1UL << order), 0);
	/* It becomes the page allocator's again when it is restored. */
	adjust_managed_page_count(page, -(1L << order));
	kho_mark_block(page, order);
	KUNIT_ASSERT_EQ(b->test, 0, kunit_add_action_or_reset(b->test, block_free,
							      page_address(page)));
	b->at[b->nr++] = page_address(page);
	return page_address(page);
}

unsigned int waiting_blocks_left(const struct waiting_blocks *b)
{
	unsigned int i, left = 0;

	for (i = 0; i < b->nr; i++)
		left += kho_block_order(virt_to_phys(b->at[i])) >= 0;
	return left;
}

bool page_is_preserved(const void *page)
{
	return kho_radix_test(kho_test_map(), page_to_pfn(virt_to_page(page)), 0);
}
