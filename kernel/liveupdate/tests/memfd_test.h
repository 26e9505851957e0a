/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of both sides of the memfd handler share.
 */
#ifndef _MEMFD_TEST_H
#define _MEMFD_TEST_H

#include <linux/kho/abi/memfd.h>

#include "luo_test.h"

#define FILE_SIZE		(7 * PAGE_SIZE + 100)
#define PER_PAGE		(PAGE_SIZE / sizeof(struct memfd_folio_ser))
#define MEMFD_TEST_TOKEN	7

/*
 * Blocks that wait to be restored, in the map of what is preserved; those nobody
 * restores are freed with the test.
 */
struct waiting_blocks {
	struct kunit *test;
	void *at[800];
	unsigned int nr;
};

extern struct liveupdate_session memfd_test_session;

int memfd_test_init(struct kunit *test);
void memfd_test_exit(struct kunit *test);

/* The handler that is registered. */
const struct liveupdate_file_ops *memfd_ops(void);
/* Of the test's session and token. */
struct liveupdate_file_op_args memfd_args_at(u64 data);
void memfd_put_file(struct file *file);

void *waiting_block_new(struct waiting_blocks *b, unsigned int order);
unsigned int waiting_blocks_left(const struct waiting_blocks *b);
/* Whether the next kernel gets the page. */
bool page_is_preserved(const void *page);

/* What a page of a test's file is filled with. */
static inline u8 content_of(u64 index)
{
	return (0x10 + index) & U8_MAX;
}

#endif /* _MEMFD_TEST_H */
