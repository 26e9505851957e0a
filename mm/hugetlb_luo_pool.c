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

#include <linux/hugetlb.h>
#include <linux/hugetlb_luo.h>
#include <linux/init.h>
#include <linux/kexec_handover.h>
#include <linux/kho/abi/memfd_hugepages.h>
#include <linux/mmzone.h>
#include <linux/overflow.h>
#include <linux/printk.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "hugetlb_luo.h"
#include "memfd_luo.h"

/* Protected by hugetlb_lock, indexed by hugetlb_pool_row(). */
static unsigned long *hugetlb_waiting;
static struct memfd_hugepages_pool_ser *hugetlb_pool_out;

/* Their sum, in pages of PAGE_SIZE. */
static unsigned long hugetlb_waiting_sum;

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
static void hugetlb_count_waiting(struct hstate *h, unsigned int row, long pages)
{
	lockdep_assert_held(&hugetlb_lock);
	hugetlb_waiting[row] += pages;
	WRITE_ONCE(hugetlb_waiting_sum,
		   hugetlb_waiting_sum + pages * (long)pages_per_huge_page(h));
	if (hugetlb_pool_out)
		hugetlb_pool_out->rows[row].pages += pages;
}

/**
 * hugetlb_waiting_pages - say how much of the pools is no memory of this kernel yet
 *
 * Context: Any.
 * Return: number of pages, of PAGE_SIZE.
 */
unsigned long hugetlb_waiting_pages(void)
{
	return READ_ONCE(hugetlb_waiting_sum);
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
	spin_lock_irq(&hugetlb_lock);
	hugetlb_count_waiting(h, hugetlb_pool_row(h, nid), pages);
	h->nr_huge_pages += pages;
	h->nr_huge_pages_node[nid] += pages;
	spin_unlock_irq(&hugetlb_lock);
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

	if (!hugetlb_waiting)
		return;

	spin_lock_irq(&hugetlb_lock);
	excess = h->nr_huge_pages - h->surplus_huge_pages;
	excess -= min(excess, h->max_huge_pages);
	for_each_node_state(nid, N_MEMORY) {
		asked = h->max_huge_pages_node[nid] + h->surplus_huge_pages_node[nid];
		here = h->nr_huge_pages_node[nid];
		here = min3(here - min(here, asked), excess,
			    hugetlb_waiting[hugetlb_pool_row(h, nid)]);
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
	unsigned int row = hugetlb_pool_row(h, nid);

	lockdep_assert_held(&hugetlb_lock);
	if (!hugetlb_waiting || !hugetlb_waiting[row])
		return false;

	hugetlb_count_waiting(h, row, -1);
	return true;
}

static void hugetlb_forget_waiting(struct hstate *h, int nid)
{
	unsigned int row = hugetlb_pool_row(h, nid);
	unsigned long gone = hugetlb_waiting[row];
	unsigned long surplus = min(gone, h->surplus_huge_pages_node[nid]);

	hugetlb_count_waiting(h, row, -gone);
	h->nr_huge_pages -= gone;
	h->nr_huge_pages_node[nid] -= gone;
	h->surplus_huge_pages -= surplus;
	h->surplus_huge_pages_node[nid] -= surplus;
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

	if (!hugetlb_waiting)
		return;

	spin_lock_irq(&hugetlb_lock);
	for_each_hstate(h) {
		for_each_node_state(nid, N_MEMORY)
			hugetlb_forget_waiting(h, nid);
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

	ser = kho_peek(phys, size);
	if (!ser || strncmp(ser->format, MEMFD_HUGEPAGES_POOL_FORMAT, sizeof(ser->format)) ||
	    struct_size(ser, rows, ser->nr) > size)
		return NULL;
	return ser;
}

static unsigned long __init
hugetlb_pool_received(const struct memfd_hugepages_pool_row_ser *row, struct hstate *h)
{
	const u32 nid = row->nid;

	if (row->order != huge_page_order(h) || nid >= nr_node_ids ||
	    !node_state(nid, N_MEMORY))
		return 0;

	/* More than that can't be true. */
	if (row->pages > node_present_pages(nid) >> huge_page_order(h))
		return 0;
	return row->pages;
}

/**
 * hugetlb_pool_receive - count what the previous kernel left for a pool
 * @h: a page size
 */
void __init hugetlb_pool_receive(struct hstate *h)
{
	const struct memfd_hugepages_pool_ser *ser = hugetlb_pool_find();
	unsigned long pages, left;
	u32 i;

	if (!hugetlb_waiting)
		hugetlb_waiting = kcalloc(hugetlb_pool_rows(), sizeof(*hugetlb_waiting),
					  GFP_KERNEL);
	if (!ser || !hugetlb_waiting)
		return;

	/* Whoever they belong to, there are no more than that. */
	left = kho_count_blocks(huge_page_order(h));
	for (i = 0; i < ser->nr; i++) {
		pages = min(hugetlb_pool_received(&ser->rows[i], h), left);
		/* A node comes once. */
		if (pages && !hugetlb_waiting[hugetlb_pool_row(h, ser->rows[i].nid)]) {
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
			row->pages = hugetlb_waiting[hugetlb_pool_row(h, nid)];
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
	if (!kho_is_enabled() || !hugetlb_waiting)
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
