/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Handles of memfds on huge pages as another kernel leaves them, made from pages that
 * are marked as if they waited to be restored, and what the pool says.
 */
#ifndef _HUGETLB_TEST_H
#define _HUGETLB_TEST_H

#include <kunit/test.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/hugetlb_luo.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/kho/abi/memfd_hugepages.h>
#include <linux/mm.h>

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

static inline struct hstate *hstate(void)
{
	return size_to_hstate(PAGE_SIZE << ORDER);
}

static inline struct pool pool_now(void)
{
	const struct hstate *h = hstate();

	return (struct pool) {
		.total = h->nr_huge_pages,
		.free = h->free_huge_pages,
		.reserved = h->resv_huge_pages,
		.surplus = h->surplus_huge_pages,
	};
}

static inline void expect_pool_has(struct huge *h, long total, long free, long surplus)
{
	struct pool now = pool_now();

	KUNIT_EXPECT_EQ(h->blocks.test, now.total, h->before.total + total);
	KUNIT_EXPECT_EQ(h->blocks.test, now.free, h->before.free + free);
	KUNIT_EXPECT_EQ(h->blocks.test, now.reserved, h->before.reserved);
	KUNIT_EXPECT_EQ(h->blocks.test, now.surplus, h->before.surplus + surplus);
}

static inline void expect_pool(struct huge *h, long used)
{
	expect_pool_has(h, used, 0, used);
}

/* As Documentation/core-api/kho/memfd_hugepages.rst has it. */
static inline u64 sum_of(const struct huge *h)
{
	const u64 factor = 0x5bd1e995;
	u64 i, sum = (virt_to_phys(h->chunk) + virt_to_phys(h->records)) * factor;

	if (h->ser->ranges)
		sum += h->ser->ranges * (2ull * h->ser->nr_ranges + factor);
	for (i = 0; i < h->ser->memfd.nr_folios; i++)
		sum += h->records[i].pfn_flags * (2 * h->records[i].index + factor);
	return sum;
}

static inline void add_folio(struct huge *h, unsigned int index)
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
static inline struct huge *huge_new(struct kunit *test)
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

static inline struct liveupdate_file_handler *huge_handler(void)
{
	struct liveupdate_file_handler *fh;

	guard(rwsem_read)(&luo_get()->handlers_lock);
	list_for_each_entry(fh, &luo_get()->handlers, node) {
		if (!strcmp(fh->compatible, MEMFD_HUGEPAGES_FORMAT))
			return fh;
	}
	return NULL;
}

static inline const struct liveupdate_file_ops *huge_ops(void)
{
	return huge_handler()->ops;
}

static inline int huge_test_init(struct kunit *test)
{
	if (!liveupdate_enabled())
		kunit_skip(test, "needs kho=on liveupdate=on");
	if (!huge_handler() || !size_to_hstate(PAGE_SIZE << ORDER))
		kunit_skip(test, "needs LIVEUPDATE_HUGETLB and a CPU with huge pages");
	return 0;
}

static inline int retrieve(struct huge *h, struct file **file)
{
	struct liveupdate_file_op_args args = memfd_args_at(virt_to_phys(h->ser));
	int err = huge_ops()->retrieve(&args);

	*file = args.file;
	return err;
}

static inline void finish(struct huge *h)
{
	struct liveupdate_file_op_args args = memfd_args_at(virt_to_phys(h->ser));

	huge_ops()->finish(&args);
}

/* The first and the last byte of each huge page. */
static inline void expect_content(struct huge *h, struct file *file)
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

/* ---- the pool ---- */

static inline void *folio_of(struct huge *h, unsigned int i)
{
	return phys_to_virt(PFN_PHYS(h->records[i].pfn_flags & MEMFD_FOLIO_PFN_MASK));
}

static inline void tell_pool(struct huge *h)
{
	unsigned int i;

	for (i = 0; i < h->ser->memfd.nr_folios; i++)
		hugetlb_expect(hstate(), page_to_nid(virt_to_page(folio_of(h, i))), 1);
	hugetlb_settle_expected(hstate());
}

static inline void leave_pool(void *folio)
{
	/* What was asked for becomes less by that. */
	WARN_ON_ONCE(dissolve_free_hugetlb_folio(virt_to_folio(folio)));
}

#endif /* _HUGETLB_TEST_H */
