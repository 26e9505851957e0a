// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hold a memfd that is preserved, and find its folios.
 *
 * Every folio is pinned and recorded, size and seals stay, and a folio that
 * fills a hole is tagged (see SHMEM_SEAL_HELD). So the content may be written up
 * to the jump, and freeze has work only for the tagged folios.
 */

#include <linux/cma.h>
#include <linux/hugetlb.h>
#include <linux/kho/place.h>
#include <linux/memfd.h>
#include <linux/migrate.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/sizes.h>
#include <linux/swap.h>
#include <linux/wait_bit.h>

#include "cma.h"
#include "internal.h"
#include "memfd_luo.h"

/* ---- holding ---- */

static void memfd_set_unevictable(struct address_space *mapping, bool on)
{
	/* The page cache reads other flags of the same word plainly. */
	data_race(({ assign_bit(AS_UNEVICTABLE, &mapping->flags, on); 0; }));
}

static void memfd_set_gfp(struct address_space *mapping, gfp_t gfp)
{
	/* Who fills a hole at this moment, without the lock, may take either. */
	data_race(mapping->gfp_mask = gfp);
}

static long memfd_poisoned_pages(void)
{
	return IS_ENABLED(CONFIG_MEMORY_FAILURE) ?
	       atomic_long_read(&num_poisoned_pages) : 0;
}

/*
 * Look for pages that were lost to memory errors since the file is held, if
 * there are any in the machine. The next kernel would not know of it and take
 * whatever it reads there for content.
 */
int memfd_check_poison(struct memfd_luo *m)
{
	long poisoned = memfd_poisoned_pages();

	if (likely(poisoned == m->poisoned))
		return 0;
	if (memfd_records_poisoned(m))
		return -EHWPOISON;
	m->poisoned = poisoned;
	return 0;
}

static bool memfd_must_check_place(void)
{
	return kho_has_zone_movable() ||
	       (IS_ENABLED(CONFIG_CMA) && cma_area_count);
}

/*
 * Who writes has the lock, and waits in it for memory that userspace may never
 * give. Whoever waits for him here keeps reboot() waiting, too.
 */
static int memfd_lock_inode(struct inode *inode)
{
	unsigned long end = jiffies + HZ;

	while (!inode_trylock(inode)) {
		if (time_after(jiffies, end))
			return -EBUSY;
		schedule_timeout_killable(1);
		if (fatal_signal_pending(current))
			return -EINTR;
	}
	return 0;
}

int memfd_hold(struct memfd_luo *m)
{
	struct inode *inode = file_inode(m->file);
	struct address_space *mapping = inode->i_mapping;
	unsigned int *seals = memfd_seals(inode);
	int err;

	/* What waits can't be moved, and what is handed on is pinned when it comes in. */
	if (READ_ONCE(*seals) & SHMEM_SEAL_DEMAND && memfd_must_check_place()) {
		err = memfd_demand_all(inode);
		if (err)
			return err < 0 ? err : -EIO;
	}
	err = memfd_lock_inode(inode);
	if (err)
		return err;

	if (*seals & SHMEM_SEAL_HELD) {
		err = -EBUSY;
	} else if (*seals & ~(MEMFD_LUO_SEALS | SHMEM_SEAL_DEMAND)) {
		err = -EOPNOTSUPP;
	} else {
		m->poisoned = memfd_poisoned_pages();
		m->check_place = memfd_must_check_place();
		m->unevictable = m->huge || mapping_unevictable(mapping);
		if (!m->unevictable)
			memfd_set_unevictable(mapping, true);
		xa_lock_irq(&mapping->i_pages);
		WRITE_ONCE(*seals, *seals | SHMEM_SEAL_HELD);
		/* Folios that can't be moved do not come from scratch memory. */
		m->gfp = mapping_gfp_mask(mapping);
		memfd_set_gfp(mapping, m->gfp & ~__GFP_MOVABLE);
		xa_unlock_irq(&mapping->i_pages);
	}
	inode_unlock(inode);
	return err;
}

bool memfd_has_tags(struct address_space *mapping)
{
	/* A folio that comes in at this moment gets its tag for freeze to see. */
	return data_race(mapping_tagged(mapping, SHMEM_TAG_FILLED));
}

static void memfd_clear_tags(struct address_space *mapping)
{
	XA_STATE(xas, &mapping->i_pages, 0);
	unsigned int cleared = 0;
	void *entry;

	xas_lock_irq(&xas);
	xas_for_each_marked(&xas, entry, ULONG_MAX, SHMEM_TAG_FILLED) {
		xas_clear_mark(&xas, SHMEM_TAG_FILLED);
		if (++cleared % XA_CHECK_SCHED)
			continue;
		xas_pause(&xas);
		xas_unlock_irq(&xas);
		cond_resched();
		xas_lock_irq(&xas);
	}
	xas_unlock_irq(&xas);
}

/*
 * Only when no tag is left, as from then on memfd_wait_for_pins() may run, whose
 * tags are the same.
 */
static bool memfd_end_hold(struct memfd_luo *m)
{
	struct inode *inode = file_inode(m->file);
	struct address_space *mapping = inode->i_mapping;
	unsigned int *seals = memfd_seals(inode);
	bool clean;

	xa_lock_irq(&mapping->i_pages);
	clean = !mapping_tagged(mapping, SHMEM_TAG_FILLED);
	if (clean) {
		memfd_set_gfp(mapping, m->gfp);
		WRITE_ONCE(*seals, *seals & ~SHMEM_SEAL_HELD);
	}
	xa_unlock_irq(&mapping->i_pages);
	return clean;
}

void memfd_let_go(struct memfd_luo *m)
{
	struct address_space *mapping = m->file->f_mapping;

	/* Who fills holes meanwhile can't do so for ever: there is an end of them. */
	while (!memfd_end_hold(m))
		memfd_clear_tags(mapping);

	if (!m->unevictable) {
		memfd_set_unevictable(mapping, false);
		shmem_unlock_mapping(mapping);
	}
}

/* Returns true if folios were added that nobody recorded. */
bool memfd_freeze_holes(struct address_space *mapping)
{
	unsigned int *seals = memfd_seals(mapping->host);
	bool filled;

	xa_lock_irq(&mapping->i_pages);
	WRITE_ONCE(*seals, *seals | SHMEM_SEAL_FROZEN);
	filled = mapping_tagged(mapping, SHMEM_TAG_FILLED);
	xa_unlock_irq(&mapping->i_pages);
	return filled;
}

void memfd_thaw_holes(struct address_space *mapping)
{
	unsigned int *seals = memfd_seals(mapping->host);

	xa_lock_irq(&mapping->i_pages);
	WRITE_ONCE(*seals, *seals & ~SHMEM_SEAL_FROZEN);
	xa_unlock_irq(&mapping->i_pages);

	smp_mb(); /* pairs with prepare_to_wait() in wait_var_event_killable() */
	wake_up_var(seals);
}

/* ---- walking ---- */

static bool memfd_tag_test(struct address_space *mapping, pgoff_t index)
{
	return memfd_has_tags(mapping) &&
	       xa_get_mark(&mapping->i_pages, index, SHMEM_TAG_FILLED);
}

static void memfd_tag_clear(struct address_space *mapping, pgoff_t index)
{
	XA_STATE(xas, &mapping->i_pages, index);

	xas_lock_irq(&xas);
	xas_load(&xas);
	xas_clear_mark(&xas, SHMEM_TAG_FILLED);
	xas_unlock_irq(&xas);
}

/*
 * Whether a folio is one to record. A reference is held, so once it is seen
 * under the lock that reclaim is not about to write it to swap, it stays where
 * it is: take. Else leave it to the walk for folios of the other kind, so that
 * none comes twice, or care is needed first: it is gone, or not written since
 * fallocate().
 */
enum memfd_verdict { MEMFD_TAKE, MEMFD_LEAVE, MEMFD_CARE };

static enum memfd_verdict memfd_judge(struct memfd_luo *m, struct folio *folio,
				      bool tagged)
{
	struct address_space *mapping = m->file->f_mapping;
	enum memfd_verdict verdict = MEMFD_TAKE;

	if (xa_is_value(folio))
		return MEMFD_CARE;

	folio_lock(folio);
	if (folio->mapping != mapping || !folio_test_uptodate(folio) ||
	    folio_contain_hwpoisoned_page(folio))
		verdict = MEMFD_CARE;
	else if (memfd_tag_test(mapping, folio->index) != tagged)
		verdict = MEMFD_LEAVE;
	folio_unlock(folio);
	return verdict;
}

/* Record folios that were judged; references of those recorded stay as pins. */
static int memfd_take(struct memfd_luo *m, struct folio **folios,
		      unsigned int nr, bool tagged)
{
	int i, done = memfd_record_all(m, folios, nr);

	for (i = 0; tagged && i < done; i++)
		memfd_tag_clear(m->file->f_mapping, folios[i]->index);
	return done;
}

/* As memfd_take() for a folio that needs no care; its reference is used up. */
static int memfd_take_one(struct memfd_luo *m, struct folio *folio, bool tagged)
{
	int done = 0;

	if (memfd_tag_test(m->file->f_mapping, folio->index) == tagged)
		done = memfd_take(m, &folio, 1, tagged);
	if (done <= 0)
		folio_put(folio);
	return min(done, 0);
}

/*
 * Folios in memory that was added after boot, of which the next kernel is not
 * told; returns how many. With @list they are put there, off the LRU.
 */
static unsigned int memfd_find_added(struct address_space *mapping, pgoff_t index,
				     pgoff_t last, struct list_head *list)
{
	unsigned int nr = 0;

	while (index <= last) {
		struct folio *folio = filemap_get_folio(mapping, index);

		cond_resched();
		if (IS_ERR(folio)) {
			index++;
			continue;
		}
		index = folio_next_index(folio);
		if (!kho_was_there_at_boot(folio_pfn(folio))) {
			nr++;
			if (list && folio_isolate_lru(folio)) {
				list_add_tail(&folio->lru, list);
				node_stat_mod_folio(folio, NR_ISOLATED_ANON,
						    folio_nr_pages(folio));
			}
		}
		folio_put(folio);
	}

	return nr;
}

static struct folio *memfd_alloc_place(struct folio *src, unsigned long unfit)
{
	return kho_folio_alloc_keeping(GFP_USER, folio_order(src),
				       (struct list_head *)unfit);
}

/* How much is moved at once, for which all CPUs have to take part. */
#define MEMFD_MOVE_PAGES	(SZ_64M >> PAGE_SHIFT)

/* Where a run of such folios ends. */
static pgoff_t memfd_added_end(struct address_space *mapping, pgoff_t index)
{
	const pgoff_t end = index + MEMFD_MOVE_PAGES;
	bool added = true;

	while (added && index < end) {
		struct folio *folio = filemap_get_folio(mapping, index);

		if (IS_ERR(folio))
			break;
		added = !kho_was_there_at_boot(folio_pfn(folio));
		if (added)
			index = folio_next_index(folio);
		folio_put(folio);
		cond_resched();
	}

	return index;
}

static int memfd_move_added(struct address_space *mapping, pgoff_t first,
			    pgoff_t last)
{
	LIST_HEAD(list);
	LIST_HEAD(unfit);

	if (!memfd_find_added(mapping, first, last, NULL))
		return 0;

	lru_add_drain_all();
	memfd_find_added(mapping, first, memfd_added_end(mapping, last + 1) - 1,
			 &list);
	if (migrate_pages(&list, memfd_alloc_place, NULL, (unsigned long)&unfit,
			  MIGRATE_SYNC, MR_LONGTERM_PIN, NULL))
		putback_movable_pages(&list);
	kho_put_unfit(&unfit);

	return memfd_find_added(mapping, first, last, NULL) ? -ENOMEM : 0;
}

#define MEMFD_MOVE_TRIES	10

/* Who has a reference for a moment, as write() does, keeps a folio where it is. */
static long memfd_pin_moved(struct memfd_luo *m, pgoff_t first, loff_t last,
			    struct folio **folios, pgoff_t *offset)
{
	unsigned int tries = 0;
	long nr;

	do {
		nr = memfd_move_added(m->file->f_mapping, first, last >> PAGE_SHIFT) ?:
		     memfd_pin_folios(m->file, (loff_t)first << PAGE_SHIFT, last,
				      folios, PAGEVEC_SIZE, offset);
	} while (nr == -ENOMEM && ++tries < MEMFD_MOVE_TRIES &&
		 !schedule_timeout_killable(1) && !fatal_signal_pending(current));

	return nr;
}

/* Take what is pinned, up to the first folio that is not simply to be taken. */
static int memfd_take_pinned(struct memfd_luo *m, struct folio **folios,
			     unsigned int nr, bool tagged, pgoff_t *next)
{
	unsigned int i;
	int err;

	for (i = 0; i < nr; i++) {
		if (memfd_judge(m, folios[i], tagged) == MEMFD_CARE)
			return 0;
		folio_get(folios[i]);
		err = memfd_take_one(m, folios[i], tagged);
		if (err)
			return err;
		*next = folio_next_index(folios[i]);
	}
	return 0;
}

/*
 * Some folios are where they can't stay, because the next kernel boots there, or
 * does not know the memory, or others need the place: move them. As many as
 * possible at once, since each time all CPUs have to take part. Who pins moves
 * them on, and may do so to memory that the next kernel does not know.
 *
 * The range has no holes and gets none, as what was written does not go away
 * while the file is held. So none is filled, for which freeze would have to wait
 * until it has ended itself.
 */
static int memfd_take_moved(struct memfd_luo *m, pgoff_t first, pgoff_t end,
			    bool tagged, pgoff_t *next)
{
	loff_t last = min_t(u64, (u64)end << PAGE_SHIFT,
			    i_size_read(file_inode(m->file))) - 1;
	struct folio *folios[PAGEVEC_SIZE];
	unsigned int tries = 0;
	pgoff_t offset;
	long nr;
	int err;

	*next = first;
	do {
		nr = memfd_pin_moved(m, *next, last, folios, &offset);
		if (nr < 0)
			return nr;
		err = memfd_take_pinned(m, folios, nr, tagged, next);
		unpin_folios(folios, nr);
	} while (err == -EINVAL && ++tries < MEMFD_MOVE_TRIES);

	return err == -EINVAL ? -ENOMEM : err;
}

/* The folio at @index, locked and with its content; a huge page has that anyway. */
static int memfd_get_folio(struct inode *inode, pgoff_t index, struct folio **folio)
{
	if (!shmem_mapping(inode->i_mapping)) {
		*folio = filemap_lock_folio(inode->i_mapping, index);
		return PTR_ERR_OR_ZERO(*folio);
	}
	return shmem_get_folio(inode, index, 0, folio, SGP_NOALLOC);
}

/*
 * What is at @index is in swap, or not written since fallocate(): get it, and
 * in the latter case clear it.
 */
static int memfd_take_careful(struct memfd_luo *m, pgoff_t index, bool tagged,
			      pgoff_t *next)
{
	struct folio *folio;
	int err;

	*next = index + 1;
	err = memfd_get_folio(file_inode(m->file), index, &folio);
	/* A fallocate() that failed took it away again. */
	if (err == -ENOENT)
		return 0;
	if (err)
		return err;

	err = folio_contain_hwpoisoned_page(folio) ? -EHWPOISON : 0;
	index = folio->index;
	*next = folio_next_index(folio);
	folio_unlock(folio);
	if (err) {
		folio_put(folio);
		return err;
	}

	err = memfd_take_one(m, folio, tagged);
	return err == -EINVAL ?
	       memfd_take_moved(m, index, *next, tagged, next) : err;
}

/* Where the batch's folios from the first on stop being side by side. */
static pgoff_t memfd_batch_run(struct folio_batch *fbatch, unsigned int nr)
{
	pgoff_t end = fbatch->folios[0]->index;
	unsigned int i;

	for (i = 0; i < nr && fbatch->folios[i]->index == end; i++)
		end = folio_next_index(fbatch->folios[i]);
	return end;
}

static void memfd_batch_put(struct folio_batch *fbatch, unsigned int i)
{
	for (; i < folio_batch_count(fbatch); i++) {
		if (!xa_is_value(fbatch->folios[i]))
			folio_put(fbatch->folios[i]);
	}
}

/*
 * Take the folios of a batch up to the first that is not simply to be taken,
 * and that one too. The next walk starts at @next.
 */
static int memfd_take_batch(struct memfd_luo *m, struct folio_batch *fbatch,
			    pgoff_t *indices, bool tagged, pgoff_t *next)
{
	enum memfd_verdict verdict = MEMFD_TAKE;
	unsigned int nr = 0;
	pgoff_t first, end;
	int done;

	while (nr < folio_batch_count(fbatch)) {
		verdict = memfd_judge(m, fbatch->folios[nr], tagged);
		if (verdict != MEMFD_TAKE)
			break;
		nr++;
	}
	if (verdict == MEMFD_LEAVE)
		*next = folio_next_index(fbatch->folios[nr]);

	done = memfd_take(m, fbatch->folios, nr, tagged);
	if (done == (int)nr) {
		memfd_batch_put(fbatch, nr);
		return verdict == MEMFD_CARE ?
		       memfd_take_careful(m, indices[nr], tagged, next) : 0;
	}

	/* Go on where it failed, to see why. */
	first = indices[max(done, 0)];
	end = memfd_batch_run(fbatch, nr);
	memfd_batch_put(fbatch, max(done, 0));
	*next = first;
	if (done > 0)
		return 0;
	return done == -EINVAL ?
	       memfd_take_moved(m, first, end, tagged, next) : done;
}

/* As find_get_entries(), but each further entry in a node costs little. */
static void memfd_get_entries(struct address_space *mapping, pgoff_t first,
			      pgoff_t last, struct folio_batch *fbatch,
			      pgoff_t *indices)
{
	XA_STATE(xas, &mapping->i_pages, first);
	struct folio *folio;

	rcu_read_lock();
	xas_for_each(&xas, folio, last) {
		if (xas_retry(&xas, folio))
			continue;
		if (!xa_is_value(folio)) {
			if (!folio_try_get(folio)) {
				xas_reset(&xas);
				continue;
			}
			if (folio != xas_reload(&xas)) {
				folio_put(folio);
				xas_reset(&xas);
				continue;
			}
		}
		indices[folio_batch_count(fbatch)] = xas.xa_index;
		if (!folio_batch_add(fbatch, folio))
			break;
	}
	rcu_read_unlock();
}

static void memfd_get_tagged(struct address_space *mapping, pgoff_t first,
			     pgoff_t last, struct folio_batch *fbatch,
			     pgoff_t *indices)
{
	unsigned int i;

	filemap_get_folios_tag(mapping, &first, last, SHMEM_TAG_FILLED, fbatch);
	for (i = 0; i < folio_batch_count(fbatch); i++)
		indices[i] = fbatch->folios[i]->index;
}

/* Entries from @next on, which is moved behind them; false if there are none. */
static bool memfd_next_batch(struct address_space *mapping,
			     struct folio_batch *fbatch, pgoff_t *indices,
			     bool tagged, pgoff_t *next, pgoff_t last)
{
	unsigned int i;

	folio_batch_init(fbatch);
	if (tagged)
		memfd_get_tagged(mapping, *next, last, fbatch, indices);
	else
		memfd_get_entries(mapping, *next, last, fbatch, indices);

	i = folio_batch_count(fbatch);
	if (!i)
		return false;

	/* If it is a value, the walk goes on behind what comes in its place. */
	*next = indices[i - 1] + 1;
	if (!xa_is_value(fbatch->folios[i - 1]))
		*next = folio_next_index(fbatch->folios[i - 1]);
	return true;
}

/*
 * Pin and record all folios from @first up to @end, or all those that filled a hole
 * since the file is held. What fallocate() put beyond the size holds no data and is
 * left out.
 */
int memfd_take_range(struct memfd_luo *m, bool tagged, pgoff_t first, pgoff_t end)
{
	struct inode *inode = file_inode(m->file);
	pgoff_t indices[PAGEVEC_SIZE];
	struct folio_batch fbatch;
	int err;

	end = min(end, memfd_end(i_size_read(inode)));
	while (first < end && memfd_next_batch(inode->i_mapping, &fbatch, indices,
					       tagged, &first, end - 1)) {
		err = memfd_take_batch(m, &fbatch, indices, tagged, &first);
		if (err)
			return err;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}
