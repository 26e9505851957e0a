/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Handles with an index, as another kernel leaves them, whose folios can come in on
 * demand, and the files made of them.
 */
#ifndef _MEMFD_TEST_INDEX_H
#define _MEMFD_TEST_INDEX_H

#include <kunit/test.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/kho/abi/memfd.h>
#include <linux/liveupdate.h>
#include <linux/pfn.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include "../../../mm/memfd_luo.h"
#include "memfd_test.h"

#define RECORD_FLAGS	(MEMFD_FOLIO_DIRTY | MEMFD_FOLIO_UPTODATE)
#define MAX_UNITS	4

/* One in the first unit, one in the second. */
#define HOLE		3
#define LATE_HOLE	(PER_PAGE + 10)

struct indexed {
	struct memfd_ser *ser;
	struct memfd_ext_ser *ext;
	struct memfd_index_ser *index;
	struct memfd_folio_ser *records[MAX_UNITS];
	unsigned int nr;
	struct waiting_blocks blocks;
};

static inline struct memfd_folio_ser *record_of(struct indexed *h, unsigned int i)
{
	return &h->records[i / PER_PAGE][i % PER_PAGE];
}

/* As Documentation/core-api/kho/memfd.rst has it. */
static inline void index_make(struct indexed *h)
{
	const u64 factor = 0x5bd1e995;
	unsigned int i, k;

	h->ext->sum = virt_to_phys(h->index) * factor;
	h->ext->index_sum = h->ext->sorted * (2 * h->ext->pages + factor);
	for (i = 0; i < h->ser->folios.total_pages; i++) {
		u64 sum = 0;

		for (k = i * PER_PAGE; k < min((i + 1) * PER_PAGE, h->nr); k++)
			sum += record_of(h, k)->pfn_flags *
			       (2 * record_of(h, k)->index + factor);
		h->index->phys[i] = virt_to_phys(h->records[i]);
		h->index->sum[i] = sum;
		h->index->first[i] = h->records[i]->index;
		h->ext->sum += h->index->phys[i] * factor + sum;
		h->ext->index_sum += h->index->first[i] * (2 * sum + factor);
	}
}

static inline void folios_make(struct indexed *h)
{
	unsigned int i;
	u64 at = 0;

	for (i = 0; i < h->nr; i++, at++) {
		void *folio = waiting_block_new(&h->blocks, 0);

		if (at == HOLE || at == LATE_HOLE)
			at++;
		memset(folio, content_of(at), PAGE_SIZE);
		record_of(h, i)->pfn_flags = PHYS_PFN(virt_to_phys(folio)) | RECORD_FLAGS;
		record_of(h, i)->index = at;
	}
}

/* Of @nr pages, and two holes. */
static inline struct indexed *indexed_new(struct kunit *test, unsigned int nr)
{
	struct indexed *h = kunit_kzalloc(test, sizeof(*h), GFP_KERNEL);
	unsigned int i, units = DIV_ROUND_UP(nr, PER_PAGE);

	KUNIT_ASSERT_NOT_NULL(test, h);
	h->nr = nr;
	h->blocks.test = test;
	h->ser = waiting_block_new(&h->blocks, 0);
	h->ext = (void *)(h->ser + 1);
	h->index = waiting_block_new(&h->blocks, 0);
	for (i = 0; i < units; i++)
		h->records[i] = waiting_block_new(&h->blocks, 0);
	folios_make(h);

	h->ser->size = (nr + 2) << PAGE_SHIFT;
	h->ser->nr_folios = nr;
	h->ser->folios.first = virt_to_phys(h->index);
	h->ser->folios.total_pages = units;
	h->ser->folios.flags = KHO_VMALLOC_ALLOC;
	h->ext->magic = MEMFD_EXT_MAGIC;
	h->ext->version = MEMFD_EXT_VERSION_INDEX;
	h->ext->mode = 0640;
	h->ext->token = MEMFD_TEST_TOKEN;
	strscpy(h->ext->session, memfd_test_session.name);
	h->ext->sum_magic = MEMFD_SUM_MAGIC;
	h->ext->sorted = units;
	h->ext->pages = nr;
	index_make(h);
	return h;
}

static inline struct file *retrieved(struct indexed *h)
{
	struct liveupdate_file_op_args args = memfd_args_at(virt_to_phys(h->ser));

	KUNIT_ASSERT_EQ(h->blocks.test, memfd_ops()->retrieve(&args), 0);
	return args.file;
}

/* Nothing comes in that nobody asks for. */
static inline int memfd_demand_test_init(struct kunit *test)
{
	int err = memfd_test_init(test);

	memfd_demand_only = true;
	return err;
}

static inline void memfd_demand_test_exit(struct kunit *test)
{
	memfd_demand_only = false;
	/* What is forgotten when a file is whole must not be of the next test. */
	flush_workqueue(memfd_demand_wq);
	memfd_test_exit(test);
}

static inline bool is_partial(struct file *file)
{
	return READ_ONCE(file->f_mapping->i_private_data);
}

/* What the page's first byte is, or an error. */
static inline int read_byte(struct file *file, u64 index)
{
	loff_t pos = index << PAGE_SHIFT;
	ssize_t len;
	u8 byte;

	len = kernel_read(file, &byte, 1, &pos);
	return len < 0 ? len : byte;
}

static inline void expect_pages(struct kunit *test, struct file *file, u64 from, u64 to)
{
	u64 i;

	for (i = from; i < to; i++)
		KUNIT_EXPECT_EQ_MSG(test, read_byte(file, i),
				    i == HOLE || i == LATE_HOLE ? 0 : content_of(i),
				    "page %llu", i);
}

#endif /* _MEMFD_TEST_INDEX_H */
