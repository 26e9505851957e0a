// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keep the pools of huge pages as large as they were asked to be across live
 * update.
 *
 * Pages of preserved files are huge pages of the next kernel, too, which does
 * not know them before somebody retrieves the files or finishes their session.
 * So it is told how many there are, and counts them from boot on, as pages in
 * use: a pool is filled up with what is missing, and no more, which there would
 * be no memory for.
 */

#define pr_fmt(fmt) "hugetlb: " fmt

#include <linux/bitmap.h>
#include <linux/hugetlb.h>
#include <linux/hugetlb_luo.h>
#include <linux/init.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/kho/abi/memfd_hugepages.h>
#include <linux/limits.h>
#include <linux/memblock.h>
#include <linux/mmzone.h>
#include <linux/overflow.h>
#include <linux/printk.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "hugetlb_luo.h"
#include "memfd_luo.h"

/*
 * Protected by hugetlb_lock. Pools of gigantic pages need the first before anything
 * can be allocated for it, or the number of nodes is known.
 */
static unsigned long hugetlb_waiting[HUGE_MAX_HSTATE][MAX_NUMNODES];
static struct memfd_hugepages_pool_ser *hugetlb_pool_out;

/* Of all that pools count and that is not there yet, in pages of PAGE_SIZE. */
static unsigned long hugetlb_absent_sum;

static unsigned int hugetlb_pool_rows(void)
{
	return hugetlb_max_hstate * nr_node_ids;
}

static unsigned int hugetlb_pool_row(struct hstate *h, int nid)
{
	return hstate_index(h) * nr_node_ids + nid;
}

/* ---- the pool of this kernel ---- */

/* What waits here is handed on to the next kernel. */
static void hugetlb_count_waiting(struct hstate *h, int nid, long pages)
{
	lockdep_assert_held(&hugetlb_lock);
	hugetlb_waiting[hstate_index(h)][nid] += pages;
	if (hugetlb_pool_out)
		hugetlb_pool_out->rows[hugetlb_pool_row(h, nid)].pages += pages;
}

/**
 * hugetlb_count_absent - count what the pool has, and is no memory of this kernel yet
 * @h:     a page size
 * @pages: how many huge pages more, or less
 *
 * Context: Under hugetlb_lock.
 */
void hugetlb_count_absent(struct hstate *h, long pages)
{
	lockdep_assert_held(&hugetlb_lock);
	WRITE_ONCE(hugetlb_absent_sum,
		   hugetlb_absent_sum + pages * (long)pages_per_huge_page(h));
}

/**
 * hugetlb_absent_pages - say how much of the pools is no memory of this kernel yet
 *
 * Context: Any.
 * Return: number of pages, of PAGE_SIZE.
 */
unsigned long hugetlb_absent_pages(void)
{
	return READ_ONCE(hugetlb_absent_sum);
}

/**
 * hugetlb_count_gone - let pages leave the pool that are not there yet
 * @h:     their size
 * @nid:   the node they were expected on
 * @pages: how many
 *
 * Context: Under hugetlb_lock.
 */
void hugetlb_count_gone(struct hstate *h, int nid, unsigned long pages)
{
	unsigned long surplus = min(pages, h->surplus_huge_pages_node[nid]);

	hugetlb_count_absent(h, -pages);
	h->nr_huge_pages -= pages;
	h->nr_huge_pages_node[nid] -= pages;
	h->surplus_huge_pages -= surplus;
	h->surplus_huge_pages_node[nid] -= surplus;
}

/**
 * hugetlb_expect - count huge pages that somebody may retrieve
 * @h:     their size
 * @nid:   the node they are on
 * @pages: how many
 *
 * Context: Takes hugetlb_lock.
 */
void hugetlb_expect(struct hstate *h, int nid, unsigned long pages)
{
	unsigned long flags;

	/* Interrupts may be off for the boot. */
	spin_lock_irqsave(&hugetlb_lock, flags);
	hugetlb_count_waiting(h, nid, pages);
	hugetlb_count_absent(h, pages);
	h->nr_huge_pages += pages;
	h->nr_huge_pages_node[nid] += pages;
	spin_unlock_irqrestore(&hugetlb_lock, flags);
}

/**
 * hugetlb_settle_expected - let pages leave the pool again if it did not ask for them
 * @h: a size for which hugetlb_expect() was called
 *
 * Those that the pool has too many become surplus pages, on nodes where it asked
 * for fewer.
 *
 * Context: Takes hugetlb_lock.
 */
void hugetlb_settle_expected(struct hstate *h)
{
	unsigned long excess, asked, here;
	int nid;

	spin_lock_irq(&hugetlb_lock);
	excess = h->nr_huge_pages - h->surplus_huge_pages;
	excess -= min(excess, h->max_huge_pages);
	for_each_node_state(nid, N_MEMORY) {
		asked = h->max_huge_pages_node[nid] + h->surplus_huge_pages_node[nid];
		here = h->nr_huge_pages_node[nid];
		here = min3(here - min(here, asked), excess,
			    hugetlb_waiting[hstate_index(h)][nid]);
		h->surplus_huge_pages += here;
		h->surplus_huge_pages_node[nid] += here;
		excess -= here;
	}
	spin_unlock_irq(&hugetlb_lock);
}

/**
 * hugetlb_expected - say if a huge page that came in was counted already
 * @h:   its size
 * @nid: the node it is on
 *
 * Return: true if the pool expected it, and will do so no more.
 */
bool hugetlb_expected(struct hstate *h, int nid)
{
	lockdep_assert_held(&hugetlb_lock);
	if (!hugetlb_waiting[hstate_index(h)][nid])
		return false;

	hugetlb_count_waiting(h, nid, -1);
	hugetlb_count_absent(h, -1);
	return true;
}

/**
 * hugetlb_claim_expected - keep pages for a file out of those that anybody may retrieve
 * @h:     their size
 * @nid:   the node they are on
 * @pages: how many
 *
 * They are neither forgotten nor handed on any more, and not there yet.
 *
 * Context: Takes hugetlb_lock.
 * Return: how many of them the pool has counted already.
 */
unsigned long hugetlb_claim_expected(struct hstate *h, int nid, unsigned long pages)
{
	spin_lock_irq(&hugetlb_lock);
	pages = min(pages, hugetlb_waiting[hstate_index(h)][nid]);
	hugetlb_count_waiting(h, nid, -pages);
	spin_unlock_irq(&hugetlb_lock);
	return pages;
}

/* @most of those that wait, or all if they are fewer. */
static void hugetlb_forget_waiting(struct hstate *h, int nid, unsigned long most)
{
	unsigned long gone = min(most, hugetlb_waiting[hstate_index(h)][nid]);

	hugetlb_count_waiting(h, nid, -gone);
	hugetlb_count_gone(h, nid, gone);
}

/**
 * hugetlb_expect_less - expect one huge page less
 * @h:   its size
 * @nid: the node it is on
 *
 * For one that can't be a huge page of this kernel.
 *
 * Context: Takes hugetlb_lock.
 */
void hugetlb_expect_less(struct hstate *h, int nid)
{
	spin_lock_irq(&hugetlb_lock);
	hugetlb_forget_waiting(h, nid, 1);
	spin_unlock_irq(&hugetlb_lock);
}

/**
 * hugetlb_pool_forget - expect no more huge pages
 *
 * Nobody can say any more what those are that nobody retrieved, and they are not
 * handed on.
 *
 * Context: Takes hugetlb_lock.
 */
void hugetlb_pool_forget(void)
{
	struct hstate *h;
	int nid;

	spin_lock_irq(&hugetlb_lock);
	for_each_hstate(h) {
		for_each_node_state(nid, N_MEMORY)
			hugetlb_forget_waiting(h, nid, ULONG_MAX);
	}
	spin_unlock_irq(&hugetlb_lock);
}

/* ---- what the previous kernel says ---- */

static struct memfd_hugepages_pool_ser *__init hugetlb_pool_find(void)
{
	struct memfd_hugepages_pool_ser *ser;
	phys_addr_t phys;
	size_t size;

	if (kho_retrieve_subtree(MEMFD_HUGEPAGES_POOL_BLOB, &phys, &size) ||
	    size < sizeof(*ser))
		return NULL;

	/* As kho_peek() has it, but for pools of gigantic pages this is too early. */
	if (kho_block_order(phys) != get_order(size))
		return NULL;
	ser = phys_to_virt(phys);
	if (strncmp(ser->format, MEMFD_HUGEPAGES_POOL_FORMAT, sizeof(ser->format)) ||
	    struct_size(ser, rows, ser->nr) > size)
		return NULL;
	return ser;
}

static unsigned long __init hugetlb_node_pages(int nid)
{
	unsigned long start, end, sum = 0;
	int i;

	if (slab_is_available())
		return node_present_pages(nid);

	for_each_mem_pfn_range(i, nid, &start, &end, NULL)
		sum += end - start;
	return sum;
}

static unsigned long __init
hugetlb_pool_received(const struct memfd_hugepages_pool_row_ser *row, struct hstate *h)
{
	const u32 nid = row->nid;

	if (row->order != huge_page_order(h) || nid >= MAX_NUMNODES ||
	    !node_isset(nid, hugetlb_bootmem_nodes))
		return 0;

	/* More than that can't be true. */
	if (row->pages > hugetlb_node_pages(nid) >> huge_page_order(h))
		return 0;
	return row->pages;
}

/**
 * hugetlb_pool_receive - count what the previous kernel left for a pool
 * @h: a page size
 *
 * Does nothing if it was called before, and could tell.
 *
 * Context: Boot, when memblock or the page allocator is up.
 */
void __init hugetlb_pool_receive(struct hstate *h)
{
	static DECLARE_BITMAP(received, HUGE_MAX_HSTATE) __initdata;
	const struct memfd_hugepages_pool_ser *ser = hugetlb_pool_find();
	unsigned long pages, left;
	u32 i;

	/* Whoever they belong to, there are no more than that. */
	left = kho_count_blocks(huge_page_order(h));
	if (!ser || !left || __test_and_set_bit(hstate_index(h), received))
		return;

	for (i = 0; i < ser->nr; i++) {
		pages = min(hugetlb_pool_received(&ser->rows[i], h), left);
		/* A node comes once. */
		if (pages && !hugetlb_waiting[hstate_index(h)][ser->rows[i].nid]) {
			hugetlb_expect(h, ser->rows[i].nid, pages);
			left -= pages;
		}
	}
}

/* ---- what the next kernel is told ---- */

/**
 * hugetlb_pool_record - tell the next kernel of huge pages that it will get
 * @folios: huge pages that were preserved for it, or no longer are
 * @nr:     how many
 * @sign:   1 or -1
 *
 * Context: Takes hugetlb_lock.
 */
void hugetlb_pool_record(struct folio **folios, unsigned int nr, int sign)
{
	unsigned int i, row;

	if (!hugetlb_pool_out)
		return;

	spin_lock_irq(&hugetlb_lock);
	for (i = 0; i < nr; i++) {
		row = hugetlb_pool_row(folio_hstate(folios[i]), folio_nid(folios[i]));
		hugetlb_pool_out->rows[row].pages += sign;
	}
	spin_unlock_irq(&hugetlb_lock);
}

static void __init hugetlb_pool_fill(struct memfd_hugepages_pool_ser *out)
{
	struct memfd_hugepages_pool_row_ser *row = out->rows;
	struct hstate *h;
	int nid;

	strscpy_pad(out->format, MEMFD_HUGEPAGES_POOL_FORMAT);
	out->nr = hugetlb_pool_rows();
	for_each_hstate(h) {
		for (nid = 0; nid < nr_node_ids; nid++, row++) {
			row->order = huge_page_order(h);
			row->nid = nid;
			row->pages = hugetlb_waiting[hstate_index(h)][nid];
		}
	}
}

/**
 * hugetlb_pool_hand_on - begin to tell the next kernel what it will get
 *
 * Context: Boot, before files can be preserved or retrieved.
 */
void __init hugetlb_pool_hand_on(void)
{
	struct memfd_hugepages_pool_ser *old = hugetlb_pool_find(), *out;
	size_t size = struct_size(out, rows, hugetlb_pool_rows());
	int err;

	if (old)
		kho_restore_free(old);
	if (!kho_is_enabled())
		return;

	out = kho_alloc_preserve(size);
	if (IS_ERR(out)) {
		err = PTR_ERR(out);
		goto err_warn;
	}
	hugetlb_pool_fill(out);
	err = kho_add_subtree(MEMFD_HUGEPAGES_POOL_BLOB, out, size);
	if (!err) {
		hugetlb_pool_out = out;
		return;
	}

	kho_unpreserve_free(out);
err_warn:
	pr_warn("the next kernel does not learn how large pools are: %pe\n", ERR_PTR(err));
}
