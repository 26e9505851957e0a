// SPDX-License-Identifier: GPL-2.0-only
/*
 * Chains of records that the previous kernel left: the only reader.
 *
 * What is not ours for sure is not claimed, because what is claimed is used, and
 * freed in the end.
 */

#include <linux/io.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "luo_records.h"

/* The rest of the chain is lost; what was read so far stays good. */
static int luo_chain_cut(struct luo_chain *chain)
{
	struct luo_block *last = luo_chain_last(chain);

	chain->incoming = 0;
	if (last)
		last->ser->next = 0;
	return -EBADMSG;
}

static const struct luo_block_ser *luo_chain_peek(const struct luo_chain *chain,
						  u64 pa)
{
	const struct luo_block_ser *block;

	block = PAGE_ALIGNED(pa) ? chain->memory->peek(pa) : NULL;
	return block && block->count <= chain->per_block ? block : NULL;
}

/*
 * What holds no record may be anybody's page of zeros, of which memory is full:
 * nobody claims it, so nobody frees it. A chain may be one such block, and
 * mainline's list of sessions may end with one.
 */
static bool luo_block_is_blank(const struct luo_block_ser *block)
{
	return block && !block->count && !block->next;
}

static bool luo_chain_is_empty(const struct luo_chain *chain)
{
	return list_empty(&chain->blocks) &&
	       luo_block_is_blank(luo_chain_peek(chain, chain->incoming));
}

/*
 * A list of sessions leads to no other list, and every block of it was made for a
 * session, whose name it has: what does not is a page of somebody else.
 */
static bool luo_block_may_list_sessions(const struct luo_block_ser *block)
{
	const struct luo_session_ser *record = (const void *)(block + 1);
	u64 i;

	if (luo_page_owner(block))
		return false;
	for (i = 0; i < block->count; i++) {
		if (luo_name_valid(record[i].name))
			return true;
	}
	return false;
}

static bool luo_block_is_usable(const struct luo_chain *chain,
				const struct luo_block_ser *block)
{
	if (!block || !block->count)
		return false;
	return !chain->sessions || luo_block_may_list_sessions(block);
}

/**
 * luo_chain_incoming_owner - Say whose the blocks are that are left to take over.
 * @chain: Chain.
 *
 * Return: luo_owner_of() the name that the first of them is noted for; 0 if there
 * is none, or nothing is noted, as other kernels leave it.
 */
u64 luo_chain_incoming_owner(const struct luo_chain *chain)
{
	const struct luo_block_ser *block = NULL;

	if (chain->incoming)
		block = luo_chain_peek(chain, chain->incoming);
	return block ? luo_page_owner(block) : 0;
}

/*
 * Before anything is claimed: what does not fit together is not ours. Every so
 * often a block is remembered that does not come again unless there is a cycle.
 */
static int luo_chain_check(const struct luo_chain *chain, u64 records)
{
	u64 pa = chain->incoming, remembered = 0, blocks = 0;
	const u64 owner = luo_chain_incoming_owner(chain);
	u64 count = chain->count;

	while (pa) {
		const struct luo_block_ser *block = luo_chain_peek(chain, pa);

		if (!block || !block->count || pa == remembered ||
		    block->count > records - count || luo_page_owner(block) != owner)
			return -EBADMSG;
		if (is_power_of_2(++blocks))
			remembered = pa;
		count += block->count;
		pa = block->next;
		cond_resched();
	}
	return count == records ? 0 : -EBADMSG;
}

static int luo_chain_take_over_one(struct luo_chain *chain)
{
	const struct luo_block_ser *incoming = luo_chain_peek(chain, chain->incoming);
	struct luo_block *block;

	if (luo_block_is_blank(incoming)) {
		luo_chain_cut(chain);
		return 0;
	}
	if (!luo_block_is_usable(chain, incoming))
		return luo_chain_cut(chain);

	/* Not charged: who looks first, as at a counter in sysfs, is not the owner. */
	block = luo_block_new(chain, GFP_KERNEL);
	if (!block)
		return -ENOMEM;

	block->ser = chain->memory->claim(chain->incoming);
	if (!block->ser) {
		kfree(block);
		return luo_chain_cut(chain);
	}
	chain->incoming = block->ser->next;
	luo_chain_append(chain, block);
	return 0;
}

/**
 * luo_chain_take_over - Make the previous kernel's blocks ours.
 * @chain:   Chain started with the address of its first block.
 * @records: Number of records there must be, or U64_MAX for as many as can be read.
 *
 * A block is claimed as it is read and can't be claimed twice, so a cycle ends
 * the walk like any other address that is no block. A last block without records
 * is left where it is.
 *
 * Return: 0; -ENOMEM, and another call goes on where this one stopped;
 * -EBADMSG if a block can't be read: those before it are in the chain. If the
 * number was known and is another, no block was claimed.
 */
int luo_chain_take_over(struct luo_chain *chain, u64 records)
{
	int err = 0;

	if (chain->incoming && luo_chain_is_empty(chain))
		chain->incoming = 0;
	if (records != U64_MAX && luo_chain_check(chain, records))
		return luo_chain_cut(chain);

	while (chain->incoming && !err) {
		err = luo_chain_take_over_one(chain);
		cond_resched();
	}
	return err;
}
