// SPDX-License-Identifier: GPL-2.0-only
/*
 * Take the folios of a memfd in when they are needed.
 *
 * The unit is a page of records. The list of these pages has an index, for which
 * the sum of the file's extension vouches: it tells where in the file the records
 * of each page begin, and what their sum is. So the page that has the record of an
 * index is found without looking at any other, and a page whose sum is wrong is
 * known to be damaged before anything that it names is touched. Files without such
 * an index, or with one that is damaged, are taken in at once.
 *
 * Who takes a unit in owns it: UNIT_WAITS becomes UNIT_BUSY by cmpxchg(), for one
 * of the workers, of those who miss a folio, or who ends the file or the kernel.
 * The others wait. No lock is held meanwhile but those of who comes here, the
 * i_rwsem or the mmap lock: folios are made by kho_restore_folios(), which gives a
 * block to one only, and come into the file under the lock of i_pages, locked until
 * they are on an LRU list, as who splits a folio relies on that.
 *
 * A file has SHMEM_SEAL_DEMAND, and its struct memfd_demand in i_private_data of the
 * mapping until all units have been taken in. If one is lost, for ever.
 */

#define pr_fmt(fmt) "memfd: " fmt

#include <linux/atomic.h>
#include <linux/cpumask.h>
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/kexec.h>
#include <linux/kexec_handover.h>
#include <linux/list.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/pagemap.h>
#include <linux/pagevec.h>
#include <linux/printk.h>
#include <linux/reboot.h>
#include <linux/refcount.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>
#include <linux/workqueue.h>

#include "internal.h"
#include "memfd_luo.h"

#define RECORDS_PER_PAGE	(PAGE_SIZE / sizeof(struct memfd_folio_ser))

/* More would wait for the lock of i_pages most of the time. */
#define MAX_WORKERS		8

/*
 * Who has the file goes first, as does RETRIEVE_FD itself; but who waits for what a
 * worker is about to take in must not wait for long.
 */
#define WORKER_NICE		10
#define WORKER_DELAY		(HZ / 50)

enum memfd_unit_state { UNIT_WAITS, UNIT_BUSY, UNIT_DONE, UNIT_LOST };

/* A page of records. */
struct memfd_unit {
	u64 phys;
	u64 sum;
	pgoff_t first;
	atomic_t state;
};

struct memfd_worker {
	struct delayed_work work;
	struct memfd_demand *demand;
};

/* A file whose folios are not all there. */
struct memfd_demand {
	struct inode *inode;
	struct mem_cgroup *memcg;
	struct memfd_ser ser;
	char name[MEMFD_EXT_NAME_LENGTH];
	/* Who may look at it: the mapping, workers, and who misses a folio. */
	refcount_t users;
	/* Pages that are paid for and not there. */
	atomic_long_t pages;
	/* Units neither done nor lost, and those lost. */
	atomic_t left, lost;
	/* The next that a worker looks at. */
	atomic_t next;
	/* No worker is to go on. */
	bool stop;
	/* None is left, and the file is whole or will never be. */
	bool ended;
	/* Of memfd_demands. */
	struct list_head node;
	struct memfd_worker workers[MAX_WORKERS];

	/* The first @nr_sorted go up by index; the others are done from the start. */
	unsigned int nr, nr_sorted;
	struct memfd_unit units[] __counted_by(nr);
};

static LIST_HEAD(memfd_demands);
static DEFINE_MUTEX(memfd_demands_lock);
static struct workqueue_struct *memfd_demand_wq;
static bool memfd_demand_jumps;

/* Files with fewer pages of records are taken in at once. 0: all files are. */
static unsigned int memfd_demand_min = 2;
module_param_named(min_pages, memfd_demand_min, uint, 0644);
MODULE_PARM_DESC(min_pages, "pages of records (256 folios each) from which on a file's folios are taken in on demand, 0 for never");

/* Whether all is left to those who miss a folio. */
bool memfd_demand_only;
module_param_named(only, memfd_demand_only, bool, 0644);
MODULE_PARM_DESC(only, "take nothing in that nobody asks for");

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

static bool memfd_read_index(struct memfd_demand *d, const struct memfd_ext_ser *ext)
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

static unsigned int memfd_unit_records(const struct memfd_demand *d, unsigned int i)
{
	return min(d->ser.nr_folios - (u64)i * RECORDS_PER_PAGE, RECORDS_PER_PAGE);
}

/* The unit that would have the record of @index, or d->nr_sorted. */
static unsigned int memfd_unit_at(const struct memfd_demand *d, pgoff_t index)
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
static struct memfd_folio_ser *memfd_unit_peek(const struct memfd_demand *d,
					       unsigned int i, u64 *pages)
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

/* ---- units ---- */

static bool memfd_unit_own(struct memfd_unit *unit)
{
	int state = UNIT_WAITS;

	return atomic_try_cmpxchg_acquire(&unit->state, &state, UNIT_BUSY);
}

static void memfd_unit_let_go(struct memfd_unit *unit, enum memfd_unit_state state)
{
	atomic_set_release(&unit->state, state);
	smp_mb(); /* pairs with prepare_to_wait() in wait_var_event() */
	wake_up_var(&unit->state);
}

/* Wait until nobody owns the unit; returns its state then. */
static enum memfd_unit_state memfd_unit_wait(struct memfd_unit *unit)
{
	enum memfd_unit_state state;

	wait_var_event(&unit->state,
		       (state = atomic_read_acquire(&unit->state)) != UNIT_BUSY);
	return state;
}

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

/* Returns how many of the folios of records could be restored. */
static unsigned int memfd_restore_records(const struct memfd_folio_ser *records,
					  unsigned int nr, struct folio_batch *fbatch)
{
	phys_addr_t phys[PAGEVEC_SIZE];
	unsigned int i;

	memfd_record_addresses(records, nr, phys);

	folio_batch_init(fbatch);
	fbatch->nr = kho_restore_folios(phys, nr, fbatch->folios);
	for (i = 0; i < folio_batch_count(fbatch); i++)
		memfd_restore_state(fbatch->folios[i], &records[i]);
	return fbatch->nr;
}

/* Without @adoption the folios are freed. */
static bool memfd_use_records(struct shmem_adoption *adoption,
			      const struct memfd_folio_ser *records, unsigned int nr)
{
	unsigned int done, step, i;
	struct folio_batch fbatch;
	bool good = true;

	for (done = 0; done < nr; done += step) {
		step = min(nr - done, PAGEVEC_SIZE);
		if (memfd_restore_records(records + done, step, &fbatch) < step)
			good = false;
		for (i = 0; i < folio_batch_count(&fbatch); i++) {
			memfd_restore_poison(fbatch.folios[i]);
			if (!adoption)
				folio_put(fbatch.folios[i]);
		}
		if (adoption && i && shmem_adopt_folios(adoption, &fbatch))
			good = false;
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
static bool memfd_unit_use(struct memfd_demand *d, unsigned int i, bool adopt)
{
	struct shmem_adoption adoption = {
		.inode = d->inode,
		.memcg = d->memcg,
		.in_use = true,
	};
	struct memfd_folio_ser *records;
	struct folio *folio;
	u64 pages;
	bool good;

	records = memfd_unit_peek(d, i, &pages);
	if (!records || !memfd_demand_take_pages(d, pages))
		return false;

	adoption.pages = pages;
	folio = kho_restore_folio_of(d->units[i].phys, 0);
	good = folio && memfd_use_records(adopt ? &adoption : NULL, records,
					  memfd_unit_records(d, i));
	if (folio)
		folio_put(folio);
	/* What is paid for and was not taken in is given back in the end. */
	atomic_long_add(adoption.pages, &d->pages);
	return good;
}

/* ---- files ---- */

static void memfd_demand_put(struct memfd_demand *d)
{
	if (refcount_dec_and_test(&d->users))
		kvfree(d);
}

/**
 * memfd_demand_free - Free what memfd_demand_new() made.
 * @d: Its result; the records stay as they are.
 */
void memfd_demand_free(struct memfd_demand *d)
{
	kvfree(d);
}

/* With a reference, or NULL if the file is whole by now. */
static struct memfd_demand *memfd_demand_get(struct inode *inode)
{
	struct address_space *mapping = inode->i_mapping;
	struct memfd_demand *d;

	xa_lock_irq(&mapping->i_pages);
	d = mapping->i_private_data;
	if (d)
		refcount_inc(&d->users);
	xa_unlock_irq(&mapping->i_pages);
	return d;
}

static void memfd_demand_attach(struct memfd_demand *d)
{
	struct address_space *mapping = d->inode->i_mapping;
	unsigned int *seals = memfd_seals(d->inode);

	xa_lock_irq(&mapping->i_pages);
	mapping->i_private_data = d;
	WRITE_ONCE(*seals, *seals | SHMEM_SEAL_DEMAND);
	xa_unlock_irq(&mapping->i_pages);

	mutex_lock(&memfd_demands_lock);
	list_add_tail(&d->node, &memfd_demands);
	mutex_unlock(&memfd_demands_lock);
}

static void memfd_demand_detach(struct memfd_demand *d)
{
	struct address_space *mapping = d->inode->i_mapping;

	mutex_lock(&memfd_demands_lock);
	list_del(&d->node);
	mutex_unlock(&memfd_demands_lock);

	xa_lock_irq(&mapping->i_pages);
	mapping->i_private_data = NULL;
	xa_unlock_irq(&mapping->i_pages);
	memfd_demand_put(d);
}

/* No unit is left. The caller has a reference. */
static void memfd_demand_end(struct memfd_demand *d)
{
	struct shmem_adoption adoption = {
		.inode = d->inode,
		.memcg = d->memcg,
		.pages = atomic_long_xchg(&d->pages, 0),
	};

	shmem_adopt_end(&adoption);
	if (!atomic_read(&d->lost))
		memfd_demand_detach(d);
	/* pairs with memfd_demand_all(): what is lost is known by then */
	smp_store_release(&d->ended, true);
	smp_mb(); /* pairs with prepare_to_wait() in wait_var_event() */
	wake_up_var(&d->ended);
}

/*
 * Of the owner. The caller has a reference.
 *
 * Who reclaims memory may wait for what is in the file, if that is a disk of somebody.
 * Nodes of the page cache are charged to who misses a folio, and not if it is a worker:
 * nobody has asked for it, and the limit would be enforced on who has the file.
 */
static void memfd_unit_finish(struct memfd_demand *d, unsigned int i, bool adopt)
{
	struct memfd_unit *unit = &d->units[i];
	unsigned int flags = memalloc_noio_save();
	bool good = memfd_unit_use(d, i, adopt);

	memalloc_noio_restore(flags);
	if (!good) {
		pr_warn_ratelimited("%*pE: records of folios from index %lu on are damaged: they are lost\n",
				    (int)strlen(d->name), d->name, unit->first);
		atomic_inc(&d->lost);
	}
	memfd_unit_let_go(unit, good ? UNIT_DONE : UNIT_LOST);
	if (atomic_dec_and_test(&d->left))
		memfd_demand_end(d);
}

/* Whoever owns the unit, in the end it is done or lost. */
static enum memfd_unit_state memfd_unit_end(struct memfd_demand *d, unsigned int i,
					    bool adopt)
{
	struct memfd_unit *unit = &d->units[i];
	enum memfd_unit_state state;

	do {
		if (memfd_unit_own(unit))
			memfd_unit_finish(d, i, adopt);
		state = memfd_unit_wait(unit);
	} while (state != UNIT_DONE && state != UNIT_LOST);
	return state;
}

/* Returns 0 if the unit is in the file, else -EIO. */
static int memfd_unit_get(struct memfd_demand *d, unsigned int i)
{
	return memfd_unit_end(d, i, true) == UNIT_LOST ? -EIO : 0;
}

static void memfd_demand_workfn(struct work_struct *work)
{
	struct delayed_work *delayed = to_delayed_work(work);
	struct memfd_worker *worker = container_of(delayed, struct memfd_worker, work);
	struct memfd_demand *d = worker->demand;
	unsigned int i;

	while (!READ_ONCE(d->stop) && !READ_ONCE(memfd_demand_jumps)) {
		i = atomic_fetch_inc(&d->next);
		if (i >= d->nr_sorted)
			break;
		if (memfd_unit_own(&d->units[i]))
			memfd_unit_finish(d, i, true);
		cond_resched();
	}
	memfd_demand_put(d);
}

static void memfd_demand_start(struct memfd_demand *d)
{
	unsigned int i, nr = min3(num_online_cpus(), d->nr_sorted, MAX_WORKERS);

	for (i = 0; i < MAX_WORKERS; i++) {
		INIT_DELAYED_WORK(&d->workers[i].work, memfd_demand_workfn);
		d->workers[i].demand = d;
	}
	for (i = 0; i < nr && !memfd_demand_only; i++) {
		refcount_inc(&d->users);
		queue_delayed_work(memfd_demand_wq, &d->workers[i].work, WORKER_DELAY);
	}
}

/* ---- retrieve ---- */

/**
 * memfd_demand_new - Read the index of the records of a file.
 * @ser: Handle of the file, whose header was checked.
 *
 * Besides the index, this checks that the pages of records and those that list
 * them are there and are the file's. Folios are not looked at.
 *
 * Return: what memfd_demand_retrieve() needs, or NULL if the file is to be taken
 * in at once: it has no index, or a damaged one, or there is no memory.
 */
struct memfd_demand *memfd_demand_new(struct memfd_ser *ser)
{
	const struct memfd_ext_ser *ext = memfd_ext(ser);
	unsigned int i, nr = ser->folios.total_pages, min = READ_ONCE(memfd_demand_min);
	struct memfd_demand *d;
	u64 pages;

	if (!memfd_demand_wq || READ_ONCE(memfd_demand_jumps) || !min || nr < min ||
	    ext->magic != MEMFD_EXT_MAGIC || ext->version < MEMFD_EXT_VERSION_INDEX ||
	    ser->folios.order || ser->nr_folios > max_pfn || ext->pages > max_pfn ||
	    !ext->sorted || ext->sorted > nr ||
	    DIV_ROUND_UP_ULL(ser->nr_folios, RECORDS_PER_PAGE) != nr)
		return NULL;

	d = kvzalloc(struct_size(d, units, nr), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!d)
		return NULL;

	d->nr = nr;
	d->nr_sorted = ext->sorted;
	d->ser = *ser;
	strscpy(d->name, ext->name);
	refcount_set(&d->users, 1);
	atomic_long_set(&d->pages, ext->pages);
	atomic_set(&d->left, nr);
	INIT_LIST_HEAD(&d->node);
	if (!memfd_read_index(d, ext))
		goto err_free;

	/* These are taken in at once, so this is the time to find them damaged. */
	for (i = d->nr_sorted; i < nr; i++) {
		if (!memfd_unit_peek(d, i, &pages))
			goto err_free;
	}
	return d;

err_free:
	kvfree(d);
	return NULL;
}

/* The handle and the list are in @d by now. */
static bool memfd_demand_consume(struct memfd_demand *d, u64 phys)
{
	struct folio *folio = kho_restore_folio_of(phys, 0);
	struct memfd_index_ser *index;

	if (!folio)
		return false;
	folio_put(folio);

	for (phys = d->ser.folios.first; phys;) {
		folio = kho_restore_folio_of(phys, 0);
		if (!folio)
			return false;
		index = folio_address(folio);
		phys = index->next;
		folio_put(folio);
	}
	return true;
}

/* Of all that waits, by who ends the file. */
static void memfd_demand_discard(struct memfd_demand *d)
{
	unsigned int i;

	for (i = 0; i < d->nr; i++) {
		memfd_unit_end(d, i, false);
		cond_resched();
	}
}

/**
 * memfd_demand_retrieve - Let the folios of a new file come in when they are needed.
 * @d:    From memfd_demand_new(), used up.
 * @file: The file, of its size, and nobody's but the caller's.
 * @phys: Handle of the file.
 *
 * All of the file is paid for. Those folios that filled holes while the file was
 * held, whose records are not sorted, come in at once.
 *
 * Return: 0; -ENOMEM, and nothing has changed; -EBADMSG if the records are used up
 * and the file is of no use.
 */
int memfd_demand_retrieve(struct memfd_demand *d, struct file *file, u64 phys)
{
	struct shmem_adoption adoption;
	unsigned int i;
	int err;

	err = shmem_adopt_begin(&adoption, file_inode(file),
				atomic_long_read(&d->pages));
	if (err) {
		kvfree(d);
		return err;
	}
	d->inode = adoption.inode;
	d->memcg = adoption.memcg;
	if (atomic_long_read(&d->pages) > d->ser.nr_folios)
		mapping_set_large_folios(d->inode->i_mapping);

	refcount_inc(&d->users);
	memfd_demand_attach(d);
	memfd_demand_start(d);
	err = memfd_demand_consume(d, phys) ? 0 : -EBADMSG;
	for (i = d->nr_sorted; i < d->nr && !err; i++) {
		if (memfd_unit_get(d, i))
			err = -EBADMSG;
	}
	memfd_demand_put(d);
	return err;
}

/* ---- who needs folios ---- */

/**
 * memfd_demand_index - Take in what the file has at an index.
 * @inode: File with SHMEM_SEAL_DEMAND.
 * @index: Index at which there was no folio.
 *
 * After this there is one, or a hole.
 *
 * Context: May sleep, with the i_rwsem and the mmap lock held or not.
 * Return: 0 if the file is whole; 1 if it is not, so that a hole must be filled with a
 * single page; -EIO if nobody can say what was there.
 */
int memfd_demand_index(struct inode *inode, pgoff_t index)
{
	struct memfd_demand *d = memfd_demand_get(inode);
	unsigned int i;
	int err = 0;

	if (!d)
		return 0;

	i = memfd_unit_at(d, index);
	if (i < d->nr_sorted)
		err = memfd_unit_get(d, i);
	memfd_demand_put(d);
	return err ?: 1;
}

/**
 * memfd_demand_all - Take in all that a file has.
 * @inode: File with SHMEM_SEAL_DEMAND.
 *
 * Context: May sleep, with the i_rwsem held or not.
 * Return: 0 if the file is whole, 1 if something of it is lost, -EINTR if the task was
 * killed.
 */
int memfd_demand_all(struct inode *inode)
{
	struct memfd_demand *d = memfd_demand_get(inode);
	unsigned int i;
	int err = 0;

	if (!d)
		return 0;

	for (i = 0; i < d->nr && !err; i++) {
		memfd_unit_get(d, i);
		if (fatal_signal_pending(current))
			err = -EINTR;
		cond_resched();
	}
	if (!err) {
		/* pairs with memfd_demand_end() */
		wait_var_event(&d->ended, smp_load_acquire(&d->ended));
		err = !!atomic_read(&d->lost);
	}
	memfd_demand_put(d);
	return err;
}

/**
 * memfd_demand_evict - Free what a file has and what is not in it yet.
 * @inode: File with SHMEM_SEAL_DEMAND that nobody has any more.
 */
void memfd_demand_evict(struct inode *inode)
{
	struct memfd_demand *d = memfd_demand_get(inode);
	unsigned int i;

	if (!d)
		return;

	WRITE_ONCE(d->stop, true);
	for (i = 0; i < MAX_WORKERS; i++) {
		if (cancel_delayed_work_sync(&d->workers[i].work))
			memfd_demand_put(d);
	}
	memfd_demand_discard(d);
	/* Until then a jump finds it on the list. */
	if (atomic_read(&d->lost))
		memfd_demand_detach(d);
	memfd_demand_put(d);
}

/* ---- the jump ---- */

/* What waits is nobody's in the next kernel. */
static void memfd_unit_forget(struct memfd_demand *d, unsigned int i)
{
	struct memfd_folio_ser *records;
	unsigned int j;
	u64 pages;

	records = memfd_unit_peek(d, i, &pages);
	if (!records)
		return;

	for (j = 0; j < memfd_unit_records(d, i); j++)
		kho_forget_folio(PFN_PHYS(memfd_record_pfn(&records[j])));
	kho_forget_folio(d->units[i].phys);
}

static int memfd_demand_reboot(struct notifier_block *nb, unsigned long action,
			       void *data)
{
	struct memfd_demand *d;
	unsigned int i;

	if (!kexec_in_progress)
		return NOTIFY_DONE;

	WRITE_ONCE(memfd_demand_jumps, true);
	/* Else what nobody restored is handed on to nobody already. */
	if (!kho_unclaimed_is_held())
		return NOTIFY_DONE;

	mutex_lock(&memfd_demands_lock);
	list_for_each_entry(d, &memfd_demands, node) {
		for (i = 0; i < d->nr; i++) {
			if (memfd_unit_own(&d->units[i])) {
				memfd_unit_forget(d, i);
				memfd_unit_let_go(&d->units[i], UNIT_WAITS);
			}
			memfd_unit_wait(&d->units[i]);
			cond_resched();
		}
	}
	mutex_unlock(&memfd_demands_lock);
	return NOTIFY_DONE;
}

static struct notifier_block memfd_demand_reboot_nb = {
	.notifier_call = memfd_demand_reboot,
};

/* ---- what is shown ---- */

/**
 * memfd_demand_waiting - Say how much of a file is not in it yet.
 * @file: Any file of shmem.
 *
 * Return: bytes.
 */
u64 memfd_demand_waiting(struct file *file)
{
	struct memfd_demand *d;
	u64 pages;

	if (!(READ_ONCE(SHMEM_I(file_inode(file))->seals) & SHMEM_SEAL_DEMAND))
		return 0;

	d = memfd_demand_get(file_inode(file));
	if (!d)
		return 0;
	pages = atomic_long_read(&d->pages);
	memfd_demand_put(d);
	return pages << PAGE_SHIFT;
}

/**
 * memfd_demand_show_fdinfo - Say how much of a file is not in it yet.
 * @m:    Where to.
 * @file: Any file of shmem.
 */
void memfd_demand_show_fdinfo(struct seq_file *m, struct file *file)
{
	u64 waiting = memfd_demand_waiting(file);

	if (waiting)
		seq_printf(m, "waiting_kb:\t%llu\n", waiting >> 10);
}

static int memfd_demand_show(struct seq_file *s, void *data)
{
	struct memfd_demand *d;

	mutex_lock(&memfd_demands_lock);
	list_for_each_entry(d, &memfd_demands, node)
		seq_printf(s, "%*pE: %u of %u pages of records left, %ld pages, %u pages of records lost\n",
			   (int)strlen(d->name), d->name, atomic_read(&d->left), d->nr,
			   atomic_long_read(&d->pages), atomic_read(&d->lost));
	mutex_unlock(&memfd_demands_lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(memfd_demand);

static int __init memfd_demand_init(void)
{
	struct workqueue_attrs *attrs;

	memfd_demand_wq = alloc_workqueue("memfd_demand", WQ_UNBOUND, 0);
	if (!memfd_demand_wq)
		return -ENOMEM;

	attrs = alloc_workqueue_attrs();
	if (attrs) {
		attrs->nice = WORKER_NICE;
		apply_workqueue_attrs(memfd_demand_wq, attrs);
		free_workqueue_attrs(attrs);
	}
	register_reboot_notifier(&memfd_demand_reboot_nb);
	debugfs_create_file("memfd_on_demand", 0400, NULL, NULL, &memfd_demand_fops);
	return 0;
}
/* As the handler of memfds, which may be asked as soon as it is there. */
arch_initcall(memfd_demand_init);
