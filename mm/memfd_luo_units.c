// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages of records of a memfd whose folios come in when they are needed: finding,
 * checking and restoring them. See mm/memfd_luo_demand.c.
 */

#include <linux/atomic.h>
#include <linux/kexec_handover.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/pagevec.h>
#include <linux/sched.h>

#include "internal.h"
#include "memfd_luo_demand.h"

/* ---- the index ---- */

/* What vouches for the index, and for all that it says. */
struct memfd_index_sums {
	u64 all;
	u64 index;
};

static int memfd_read_index_page(struct memfd_demand *d, unsigned int done,
				 const struct memfd_index_ser *index,
				 struct memfd_index_sums *sums)
{
	unsigned int i, nr = min(d->nr - done, MEMFD_INDEX_PAGES);

	if (index->end || !!index->next != (done + nr < d->nr))
		return -EBADMSG;

	for (i = 0; i < nr; i++) {
		struct memfd_unit *unit = &d->units[done + i];

		if (kho_block_order(index->phys[i]))
			return -EBADMSG;
		unit->phys = index->phys[i];
		unit->sum = index->sum[i];
		unit->first = index->first[i];
		sums->all += memfd_sum(unit->phys, 0) + unit->sum;
		sums->index += memfd_sum(unit->first, unit->sum);
	}
	return 0;
}

bool memfd_read_index(struct memfd_demand *d, const struct memfd_ext_ser *ext)
{
	struct memfd_index_sums sums = { .index = memfd_sum(ext->sorted, ext->pages) };
	u64 phys = d->ser.folios.first;
	struct memfd_index_ser *index;
	unsigned int i;

	for (i = 0; i < d->nr; i += MEMFD_INDEX_PAGES) {
		index = kho_peek(phys, PAGE_SIZE);
		if (!index || kho_block_order(phys) ||
		    memfd_read_index_page(d, i, index, &sums))
			return false;
		sums.all += memfd_sum(phys, 0);
		phys = index->next;
		cond_resched();
	}
	if (sums.all != ext->sum || sums.index != ext->index_sum)
		return false;

	for (i = 1; i < d->nr_sorted; i++) {
		if (d->units[i].first <= d->units[i - 1].first)
			return false;
	}
	return true;
}

unsigned int memfd_unit_records(const struct memfd_demand *d, unsigned int i)
{
	return min(d->ser.nr_folios - (u64)i * RECORDS_PER_PAGE, RECORDS_PER_PAGE);
}

/* The unit that would have the record of @index, or d->nr_sorted. */
unsigned int memfd_unit_at(const struct memfd_demand *d, pgoff_t index)
{
	unsigned int low = 0, high = d->nr_sorted;

	while (low < high) {
		unsigned int mid = low + (high - low) / 2;

		if (d->units[mid].first <= index)
			low = mid + 1;
		else
			high = mid;
	}
	return low ? low - 1 : d->nr_sorted;
}

/* ---- checking ---- */

/* What is found while the records of a unit are gone through. */
struct memfd_unit_check {
	bool sorted;
	/* What the next record may begin with. */
	pgoff_t next;
	u64 sum;
	u64 pages;
};

static bool memfd_check_records(const struct memfd_demand *d,
				const struct memfd_folio_ser *records,
				unsigned int nr, struct memfd_unit_check *check)
{
	phys_addr_t phys[PAGEVEC_SIZE];
	u8 orders[PAGEVEC_SIZE];
	unsigned int i;

	memfd_record_addresses(records, nr, phys);
	if (kho_block_orders(phys, nr, orders) < nr)
		return false;

	for (i = 0; i < nr; i++) {
		if (orders[i] > MAX_PAGECACHE_ORDER ||
		    !memfd_record_ok(&d->ser, &records[i], orders[i]) ||
		    (check->sorted && records[i].index < check->next))
			return false;
		check->next = records[i].index + (1UL << orders[i]);
		check->pages += 1UL << orders[i];
		check->sum += memfd_sum(records[i].pfn_flags, records[i].index);
	}
	return true;
}

/*
 * The records of a unit, which nobody has restored yet, if they are those that were
 * written and all their folios wait; else NULL.
 */
struct memfd_folio_ser *memfd_unit_peek(const struct memfd_demand *d, unsigned int i,
					u64 *pages)
{
	const struct memfd_unit *unit = &d->units[i];
	struct memfd_folio_ser *records = kho_peek(unit->phys, PAGE_SIZE);
	unsigned int done, step, nr = memfd_unit_records(d, i);
	struct memfd_unit_check check = { .sorted = i < d->nr_sorted };

	if (!records || records->index != unit->first)
		return NULL;

	for (done = 0; done < nr; done += step) {
		step = min(nr - done, PAGEVEC_SIZE);
		if (!memfd_check_records(d, records + done, step, &check))
			return NULL;
	}
	if (check.sum != unit->sum ||
	    (i + 1 < d->nr_sorted && check.next > d->units[i + 1].first))
		return NULL;

	*pages = check.pages;
	return records;
}

/* ---- restoring ---- */

/* A page that was lost to a memory error while it waited. */
static void memfd_restore_poison(struct folio *folio)
{
	long i, nr = folio_nr_pages(folio);

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE) || nr == 1 ||
	    !atomic_long_read(&num_poisoned_pages))
		return;

	for (i = 0; i < nr; i++) {
		if (PageHWPoison(folio_page(folio, i)))
			folio_set_has_hwpoisoned(folio);
	}
}

/* What is handed on is in the map of this kernel at every moment. */
static unsigned int memfd_restore(const phys_addr_t *phys, unsigned int nr,
				  struct folio **folios, bool handed)
{
	return handed ? kho_restore_kept_folios(phys, nr, folios) :
			kho_restore_folios(phys, nr, folios);
}

/*
 * Returns how many of the folios of records could be restored. Those that are
 * handed on are pinned, as if they had been recorded.
 */
static unsigned int memfd_restore_records(const struct memfd_folio_ser *records,
					  unsigned int nr, struct folio_batch *fbatch,
					  bool handed)
{
	phys_addr_t phys[PAGEVEC_SIZE];
	unsigned int i;

	memfd_record_addresses(records, nr, phys);

	folio_batch_init(fbatch);
	fbatch->nr = memfd_restore(phys, nr, fbatch->folios, handed);
	for (i = 0; i < folio_batch_count(fbatch); i++) {
		memfd_restore_state(fbatch->folios[i], &records[i]);
		memfd_restore_poison(fbatch->folios[i]);
		if (handed)
			folio_get(fbatch->folios[i]);
	}
	return fbatch->nr;
}

static void memfd_unpin_records(const struct memfd_folio_ser *records, unsigned int nr)
{
	struct folio *folio;

	while (nr--) {
		folio = pfn_folio(memfd_record_pfn(&records[nr]));
		kho_unpreserve_folio(folio);
		folio_put(folio);
	}
}

/*
 * Without @adoption the folios are freed. If not all are good, those that are come
 * in, but none is handed on.
 */
static bool memfd_use_records(struct shmem_adoption *adoption,
			      const struct memfd_folio_ser *records, unsigned int nr,
			      bool handed)
{
	unsigned int done, step, got, i;
	struct folio_batch fbatch;
	bool good = true, fine;

	for (done = 0; done < nr; done += step) {
		step = min(nr - done, PAGEVEC_SIZE);
		got = memfd_restore_records(records + done, step, &fbatch, handed && good);
		fine = got == step;
		for (i = 0; i < got && !adoption; i++)
			folio_put(fbatch.folios[i]);
		if (adoption && got && shmem_adopt_folios(adoption, &fbatch))
			fine = false;
		if (handed && good && !fine)
			memfd_unpin_records(records, done + got);
		good &= fine;
	}
	return good;
}

static bool memfd_demand_take_pages(struct memfd_demand *d, u64 pages)
{
	long left = atomic_long_read(&d->pages);

	do {
		if (left < (long)pages)
			return false;
	} while (!atomic_long_try_cmpxchg(&d->pages, &left, left - pages));
	return true;
}

/* Of the owner: make a unit part of the file, or free its memory. */
bool memfd_unit_use(struct memfd_demand *d, unsigned int i, bool adopt)
{
	struct shmem_adoption adoption = {
		.inode = d->inode,
		.memcg = d->memcg,
		.in_use = true,
	};
	struct memfd_unit *unit = &d->units[i];
	const bool handed = unit->handed;
	const phys_addr_t phys = unit->phys;
	struct memfd_folio_ser *records;
	struct folio *folio;
	u64 pages;
	bool good;

	records = memfd_unit_peek(d, i, &pages);
	if (!records || !memfd_demand_take_pages(d, pages))
		return false;

	adoption.pages = pages;
	unit->pages = pages;
	if (memfd_restore(&phys, 1, &folio, handed)) {
		good = memfd_use_records(adopt ? &adoption : NULL, records,
					 memfd_unit_records(d, i), handed);
		/* If it is handed on, who preserved the file frees it in the end. */
		if (!handed)
			folio_put(folio);
		else if (!good)
			kho_unpreserve_free(records);
	} else {
		good = false;
	}
	/* What is paid for and was not taken in is given back in the end. */
	atomic_long_add(adoption.pages, &d->pages);
	return good;
}
