// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hand a memfd on whose folios are not all there.
 *
 * A unit that waits, a page of records of the previous kernel, becomes part of the
 * list of this one as it is: neither the page nor what it names is looked at, and all
 * of it is in the map of preserved memory since the boot, see kho_hold_unclaimed().
 * What has come in is recorded anew, in pages between those of units, so that the list
 * goes up by index. Pages of records are full but for the last: so what does not fill
 * one between two units stands behind all else, and the last unit comes in if it is not
 * full.
 *
 * A unit that is handed on may be taken in at any time. Its folios and its page stay
 * where they are and in the map, pinned as if they had been recorded. Taken back, what
 * still waits is as it was, and what came in is the file's and nothing else.
 */

#include <linux/kexec_handover.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/xarray.h>

#include "memfd_luo_demand.h"

/* What the first of the next unit's folios begins with, if there is one. */
static pgoff_t memfd_unit_end_index(const struct memfd_demand *d, unsigned int i)
{
	return i + 1 < d->nr_sorted ? d->units[i + 1].first : ULONG_MAX;
}

/*
 * Of the owner: whether a unit can be handed on. What filled holes in it before this
 * kernel came would have to be found between folios that come in at any moment.
 */
static bool memfd_unit_fits(const struct memfd_demand *d, unsigned int i)
{
	unsigned long index = d->units[i].first;

	return memfd_unit_records(d, i) == RECORDS_PER_PAGE &&
	       !xa_find(&d->inode->i_mapping->i_pages, &index,
			memfd_unit_end_index(d, i) - 1, XA_PRESENT);
}

/* Who reclaims memory may wait for what is in the file, as when a unit comes in. */
static int memfd_unit_record(struct memfd_luo *m, const struct memfd_demand *d,
			     unsigned int i)
{
	const struct memfd_unit *unit = &d->units[i];
	unsigned int flags = memalloc_noio_save();
	int err = memfd_record_unit(m, unit->phys, unit->sum, unit->first,
				    memfd_unit_end_index(d, i));

	memalloc_noio_restore(flags);
	return err;
}

/* Returns 1 if the unit is handed on, 0 if it is in the file, -EIO if it is lost. */
static int memfd_unit_hand_on(struct memfd_luo *m, struct memfd_demand *d, unsigned int i)
{
	struct memfd_unit *unit = &d->units[i];
	enum memfd_unit_state state = memfd_unit_claim(unit);
	int err;

	if (state == UNIT_BUSY && memfd_unit_fits(d, i)) {
		err = memfd_unit_record(m, d, i);
		WRITE_ONCE(unit->handed, !err);
		memfd_unit_let_go(unit, UNIT_WAITS);
		return err ?: 1;
	}
	if (state == UNIT_BUSY)
		state = memfd_unit_finish(d, i, true);
	return state == UNIT_LOST ? -EIO : 0;
}

/*
 * Record what the file has from @next up to a unit, and the unit; @next moves behind
 * what was recorded.
 */
static int memfd_record_up_to(struct memfd_luo *m, struct memfd_demand *d, unsigned int i,
			      pgoff_t *next)
{
	struct memfd_unit *unit = &d->units[i];
	int err;

	if (i >= d->nr_sorted || atomic_read_acquire(&unit->state) == UNIT_DONE)
		return 0;

	if (*next < unit->first) {
		err = memfd_take_range(m, false, *next, unit->first);
		if (err)
			return err;
		*next = unit->first;
	}
	err = memfd_unit_hand_on(m, d, i);
	if (err > 0)
		*next = memfd_unit_end_index(d, i);
	return err;
}

/**
 * memfd_demand_preserve - Record a file, and hand on what is not in it.
 * @m: Memfd that is held.
 * @d: From memfd_demand_get().
 *
 * Context: May sleep.
 * Return: 0; -EIO if something of the file is lost; or as memfd_take_range().
 */
int memfd_demand_preserve(struct memfd_luo *m, struct memfd_demand *d)
{
	u64 pages = d->all_pages;
	pgoff_t next = 0;
	unsigned int i;
	int err;

	for (i = 0; i < d->nr; i++) {
		err = memfd_record_up_to(m, d, i, &next);
		if (!err)
			pages -= d->units[i].pages;
		else if (err < 0)
			return err;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	m->pages += pages;
	/* What waits was not looked at: any that is lost in the machine may be of it. */
	m->poisoned = 0;
	return memfd_take_range(m, false, next, ULONG_MAX) ?: memfd_record_rest(m) ?:
	       memfd_check_poison(m);
}

/* ---- what became of it ---- */

/* The unit whose page is in a list, or NULL if the page is another. */
static struct memfd_unit *memfd_unit_listed(struct memfd_demand *d, u64 phys, u64 first)
{
	unsigned int i = memfd_unit_at(d, first);

	return i < d->nr_sorted && d->units[i].phys == phys ? &d->units[i] : NULL;
}

/**
 * memfd_demand_take_back - Hand a page of records on no longer.
 * @d:     From memfd_demand_get().
 * @phys:  Page of records that the file was preserved with.
 * @first: Index of the first of its folios.
 *
 * Return: true if it was handed on and nobody took it in, so that nothing of it is to
 * be undone.
 */
bool memfd_demand_take_back(struct memfd_demand *d, u64 phys, u64 first)
{
	struct memfd_unit *unit = memfd_unit_listed(d, phys, first);
	enum memfd_unit_state state;

	if (!unit)
		return false;

	state = memfd_unit_claim(unit);
	if (state == UNIT_BUSY) {
		WRITE_ONCE(unit->handed, false);
		memfd_unit_let_go(unit, UNIT_WAITS);
	}
	return state != UNIT_DONE;
}

static bool memfd_unit_is_poisoned(const struct memfd_demand *d, unsigned int i)
{
	const struct memfd_folio_ser *records;
	unsigned int j;
	u64 pages, pfn;
	int order;
	long k;

	/* If it is damaged, that is seen when it comes in. */
	records = memfd_unit_peek(d, i, &pages);
	for (j = 0; records && j < memfd_unit_records(d, i); j++) {
		pfn = memfd_record_pfn(&records[j]);
		order = kho_block_order(PFN_PHYS(pfn));
		for (k = 0; order >= 0 && k < 1L << order; k++) {
			if (PageHWPoison(pfn_to_page(pfn + k)))
				return true;
		}
	}
	return false;
}

/**
 * memfd_demand_poisoned - Look for memory errors in what is handed on.
 * @d:     From memfd_demand_get().
 * @phys:  Page of records that the file is preserved with.
 * @first: Index of the first of its folios.
 *
 * Return: 1 if there are any, 0 if not; -ENOENT if the page or what it names is not
 * that of the previous kernel any more.
 */
int memfd_demand_poisoned(struct memfd_demand *d, u64 phys, u64 first)
{
	struct memfd_unit *unit = memfd_unit_listed(d, phys, first);
	enum memfd_unit_state state;
	int poisoned = 0;

	state = unit ? memfd_unit_claim(unit) : UNIT_DONE;
	if (state == UNIT_BUSY) {
		poisoned = memfd_unit_is_poisoned(d, unit - d->units);
		memfd_unit_let_go(unit, UNIT_WAITS);
		cond_resched();
	}
	return state == UNIT_DONE ? -ENOENT : poisoned;
}

/**
 * memfd_demand_is_lossy - Say if something of a file is lost.
 * @d: From memfd_demand_get().
 *
 * Return: true if it is; it may come to light later.
 */
bool memfd_demand_is_lossy(struct memfd_demand *d)
{
	return atomic_read(&d->lost);
}
