// SPDX-License-Identifier: GPL-2.0-only
/*
 * Chains of records: the only writer. Who reads them is luo_records_incoming.c.
 *
 * A record that goes leaves a hole, which the last record of the chain fills,
 * so that adding and removing cost the same at any length. Owners learn where
 * their record went through their slot.
 */

#include <linux/io.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "luo_records.h"

#define LUO_RECORD_SPACE	(PAGE_SIZE - sizeof(struct luo_block_ser))

/**
 * luo_block_record - Find a record by its place.
 * @chain: Chain of the block.
 * @block: Block.
 * @index: Number of the record in it.
 *
 * Return: address of the record, good until the chain changes.
 */
void *luo_block_record(const struct luo_chain *chain,
		       const struct luo_block *block, u32 index)
{
	return (void *)(block->ser + 1) + (size_t)index * chain->record_size;
}

/**
 * luo_chain_init - Start a chain.
 * @chain:       Chain to set up.
 * @memory:      Where its blocks live.
 * @record_size: Bytes of a record.
 * @incoming:    Address of the first block the previous kernel left, or 0.
 */
void luo_chain_init(struct luo_chain *chain, const struct luo_memory *memory,
		    u32 record_size, u64 incoming)
{
	chain->memory = memory;
	INIT_LIST_HEAD(&chain->blocks);
	chain->incoming = incoming;
	chain->count = 0;
	chain->owner = 0;
	chain->sessions = false;
	chain->record_size = record_size;
	chain->per_block = LUO_RECORD_SPACE / record_size;
}

/**
 * luo_block_new - Make what is known of a block.
 * @chain: Its chain.
 * @gfp:   How to allocate.
 *
 * Return: the block, without its page, or NULL.
 */
struct luo_block *luo_block_new(const struct luo_chain *chain, gfp_t gfp)
{
	struct luo_block *block;

	return kzalloc(struct_size(block, owners, chain->per_block), gfp);
}

/**
 * luo_chain_append - Put a block at the end of a chain.
 * @chain: Chain.
 * @block: Block with its page.
 */
void luo_chain_append(struct luo_chain *chain, struct luo_block *block)
{
	struct luo_block *last = luo_chain_last(chain);

	list_add_tail(&block->node, &chain->blocks);
	if (last)
		last->ser->next = virt_to_phys(block->ser);
	chain->count += block->ser->count;
}

/**
 * luo_chain_first - Say what the next kernel needs to find the chain.
 * @chain: Chain.
 *
 * Return: physical address of the first block, 0 if there is none.
 */
u64 luo_chain_first(struct luo_chain *chain)
{
	struct luo_block *first;

	first = list_first_entry_or_null(&chain->blocks, struct luo_block, node);
	return first ? virt_to_phys(first->ser) : chain->incoming;
}

/**
 * luo_slot_record - Find a slot's record.
 * @chain: Chain of the slot.
 * @slot:  Slot with a record.
 *
 * Return: address of the record, good until the chain changes.
 */
void *luo_slot_record(const struct luo_chain *chain, const struct luo_slot *slot)
{
	return luo_block_record(chain, slot->block, slot->index);
}

/**
 * luo_slot_own - Tie a slot to the record at @index of @block.
 * @slot:  Slot without a record.
 * @block: Block of the chain.
 * @index: Record in it.
 */
void luo_slot_own(struct luo_slot *slot, struct luo_block *block, u32 index)
{
	slot->block = block;
	slot->index = index;
	block->owners[index] = slot;
}

static int luo_chain_grow(struct luo_chain *chain)
{
	struct luo_block *block = luo_block_new(chain, GFP_KERNEL_ACCOUNT);
	void *page;

	if (!block)
		return -ENOMEM;

	page = chain->memory->alloc();
	if (IS_ERR(page)) {
		kfree(block);
		return PTR_ERR(page);
	}
	block->ser = page;
	if (chain->owner)
		luo_page_note(page, chain->owner);
	luo_chain_append(chain, block);
	return 0;
}

/**
 * luo_chain_add - Get a place for a record.
 * @chain: Chain, with nothing left to take over.
 * @slot:  Slot without a record; gets one of zeros.
 *
 * Return: 0, or a negative errno and nothing has changed.
 */
int luo_chain_add(struct luo_chain *chain, struct luo_slot *slot)
{
	struct luo_block *last = luo_chain_last(chain);

	if (!last || last->ser->count == chain->per_block) {
		int err = luo_chain_grow(chain);

		if (err)
			return err;
		last = luo_chain_last(chain);
	}
	luo_slot_own(slot, last, last->ser->count);
	memset(luo_slot_record(chain, slot), 0, chain->record_size);
	last->ser->count++;
	chain->count++;
	return 0;
}

static void luo_block_free(struct luo_chain *chain, struct luo_block *block)
{
	list_del(&block->node);
	chain->memory->free(block->ser);
	kfree(block);
}

static void luo_chain_trim(struct luo_chain *chain)
{
	struct luo_block *last;

	while ((last = luo_chain_last(chain)) && !last->ser->count) {
		luo_block_free(chain, last);
		last = luo_chain_last(chain);
		if (last)
			last->ser->next = 0;
	}
}

/* The last record of the chain moves into the hole; its block may be empty then. */
static void luo_chain_vacate(struct luo_chain *chain, struct luo_slot *slot)
{
	struct luo_block *last;
	u32 tail;

	luo_chain_trim(chain);
	last = luo_chain_last(chain);
	tail = last->ser->count - 1;

	if (slot->block != last || slot->index != tail) {
		struct luo_slot *moved = last->owners[tail];

		memcpy(luo_slot_record(chain, slot),
		       luo_block_record(chain, last, tail), chain->record_size);
		slot->block->owners[slot->index] = NULL;
		if (moved)
			luo_slot_own(moved, slot->block, slot->index);
	}
	last->owners[tail] = NULL;
	memset(luo_block_record(chain, last, tail), 0, chain->record_size);
	last->ser->count = tail;
	chain->count--;
	slot->block = NULL;
}

/**
 * luo_chain_remove - Give a record's place back.
 * @chain: Chain of the slot, with nothing left to take over.
 * @slot:  Slot with a record; has none afterwards.
 */
void luo_chain_remove(struct luo_chain *chain, struct luo_slot *slot)
{
	luo_chain_vacate(chain, slot);
	luo_chain_trim(chain);
}

/**
 * luo_chain_drop_unowned - Remove the records that no slot owns.
 * @chain: Chain, with nothing left to take over.
 *
 * From the end, so that only records that are kept move into the holes, and
 * without freeing a block that is still to be visited.
 *
 * Return: number of records removed.
 */
u64 luo_chain_drop_unowned(struct luo_chain *chain)
{
	struct luo_block *block;
	struct luo_slot slot;
	u64 dropped = 0;
	u32 i;

	list_for_each_entry_reverse(block, &chain->blocks, node) {
		for (i = block->ser->count; i-- > 0;) {
			if (block->owners[i])
				continue;
			luo_slot_own(&slot, block, i);
			luo_chain_vacate(chain, &slot);
			dropped++;
		}
	}
	luo_chain_trim(chain);
	return dropped;
}

/**
 * luo_chain_forget - Leave every block where it is, for ever.
 * @chain: Chain; slots into it have no record afterwards.
 */
void luo_chain_forget(struct luo_chain *chain)
{
	struct luo_block *block, *next;

	list_for_each_entry_safe(block, next, &chain->blocks, node)
		kfree(block);
	INIT_LIST_HEAD(&chain->blocks);
	chain->count = 0;
	chain->incoming = 0;
}

/**
 * luo_chain_free - Free every block.
 * @chain: Chain; slots into it have no record afterwards.
 */
void luo_chain_free(struct luo_chain *chain)
{
	struct luo_block *block;

	list_for_each_entry(block, &chain->blocks, node)
		chain->memory->free(block->ser);
	luo_chain_forget(chain);
}
