/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Handles as another kernel leaves them, made from pages that are marked as if they
 * waited to be restored, and calls of the handler that is registered.
 */
#ifndef _MEMFD_TEST_HANDLE_H
#define _MEMFD_TEST_HANDLE_H

#include <kunit/test.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/kho/abi/memfd.h>
#include <linux/liveupdate.h>
#include <linux/pfn.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>

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

static inline long pages_left(const struct handle *h)
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
static inline u64 sum_of(const struct handle *h)
{
	u64 i, factor = 0x5bd1e995;
	u64 sum = (virt_to_phys(h->chunk) + virt_to_phys(h->records)) * factor;

	for (i = 0; i < h->ser->nr_folios; i++)
		sum += h->records[i].pfn_flags * (2 * h->records[i].index + factor);
	return sum;
}

static inline void add_folio(struct handle *h, u64 index, unsigned int order)
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
static inline struct handle *handle_new(struct kunit *test, unsigned int order)
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
static inline struct handle *handle_with_folios(struct kunit *test)
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

static inline int retrieve_at(u64 data, struct file **file)
{
	struct liveupdate_file_op_args args = memfd_args_at(data);
	int err = memfd_ops()->retrieve(&args);

	*file = args.file;
	return err;
}

static inline int retrieve(struct handle *h, struct file **file)
{
	return retrieve_at(virt_to_phys(h->ser), file);
}

static inline void finish_at(u64 data, int status)
{
	struct liveupdate_file_op_args args = memfd_args_at(data);

	args.retrieve_status = status;
	memfd_ops()->finish(&args);
}

static inline void finish(struct handle *h, int status)
{
	finish_at(virt_to_phys(h->ser), status);
}

static inline struct file *retrieved(struct handle *h)
{
	struct file *file;

	KUNIT_ASSERT_EQ(h->blocks.test, retrieve(h, &file), 0);
	return file;
}

/* Every byte of the page is @byte, up to the end of the file. */
static inline void expect_page(struct kunit *test, struct file *file, u64 index, u8 byte)
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

static inline void pretend_to_be_killed(bool killed)
{
	/* Nobody else sends signals to a thread of the tests. */
	if (killed)
		sigaddset(&current->pending.signal, SIGKILL);
	else
		sigdelset(&current->pending.signal, SIGKILL);
	recalc_sigpending();
}

#endif /* _MEMFD_TEST_HANDLE_H */
