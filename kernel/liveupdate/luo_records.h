/* SPDX-License-Identifier: GPL-2.0-only */
/* What the writer and the reader of chains share. */
#ifndef _LUO_RECORDS_H
#define _LUO_RECORDS_H

#include <linux/mm.h>

#include "luo_internal.h"

static inline struct luo_block *luo_chain_last(struct luo_chain *chain)
{
	return list_last_entry_or_null(&chain->blocks, struct luo_block, node);
}

static inline struct luo_note_ser *luo_note_at_end_of(const void *page)
{
	return (struct luo_note_ser *)(page + PAGE_SIZE) - 1;
}

static inline void luo_page_note(void *page, u64 owner)
{
	*luo_note_at_end_of(page) = (struct luo_note_ser) { LUO_NOTE_MAGIC, owner };
}

/* 0 if it is not noted, as in those of other kernels and of sessions. */
static inline u64 luo_page_owner(const void *page)
{
	const struct luo_note_ser *note = luo_note_at_end_of(page);

	return note->magic == LUO_NOTE_MAGIC ? note->owner : 0;
}

struct luo_block *luo_block_new(const struct luo_chain *chain, gfp_t gfp);
void luo_chain_append(struct luo_chain *chain, struct luo_block *block);

#endif /* _LUO_RECORDS_H */
