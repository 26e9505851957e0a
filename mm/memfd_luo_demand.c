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
#include "memfd_luo_demand.h"

/* Low, but who waits for what a worker is about to take in must not wait for long. */
#define WORKER_NICE		10

static LIST_HEAD(memfd_demands);
static DEFINE_MUTEX(memfd_demands_lock);
/* Tests wait for what was queued. */
struct workqueue_struct *memfd_demand_wq;
static bool memfd_demand_jumps;

/* Files with fewer pages of records are taken in at once. 0: all files are. */
static unsigned int memfd_demand_min = 2;
module_param_named(min_pages, memfd_demand_min, uint, 0644);
MODULE_PARM_DESC(min_pages, "pages of records (256 folios each) from which on a file's folios are taken in on demand, 0 for never");

/* Whether all is left to those who miss a folio. */
bool memfd_demand_only;
module_param_named(only, memfd_demand_only, bool, 0644);
MODULE_PARM_DESC(only, "take nothing in that nobody asks for");

/* ---- units ---- */

static bool memfd_unit_own(struct memfd_unit *unit)
{
	int state = UNIT_WAITS;

	return atomic_try_cmpxchg_acquire(&unit->state, &state, UNIT_BUSY);
}

void memfd_unit_let_go(struct memfd_unit *unit, enum memfd_unit_state state)
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

/* UNIT_BUSY if the unit is the caller's, else UNIT_DONE or UNIT_LOST. */
enum memfd_unit_state memfd_unit_claim(struct memfd_unit *unit)
{
	enum memfd_unit_state state;

	do {
		if (memfd_unit_own(unit))
			return UNIT_BUSY;
		state = memfd_unit_wait(unit);
	} while (state == UNIT_WAITS);
	return state;
}

/* ---- files ---- */

/**
 * memfd_demand_put - End memfd_demand_get().
 * @d: Its result, not NULL.
 */
void memfd_demand_put(struct memfd_demand *d)
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

/**
 * memfd_demand_get - Find what a file has and what is not in it yet.
 * @inode: File of shmem.
 *
 * Return: with a reference for memfd_demand_put(), or NULL if the file is whole.
 */
struct memfd_demand *memfd_demand_get(struct inode *inode)
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

/* To look for what is nobody's takes long, and who missed a folio must not wait for it. */
static void memfd_demand_release(struct work_struct *work)
{
	struct memfd_demand *d = container_of(work, struct memfd_demand, release);

	kho_release_unclaimed();
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
	refcount_inc(&d->users);
	queue_work(memfd_demand_wq, &d->release);
	if (!atomic_read(&d->lost))
		memfd_demand_detach(d);
	/* pairs with memfd_demand_all(): what is lost is known by then */
	smp_store_release(&d->ended, true);
	smp_mb(); /* pairs with prepare_to_wait() in wait_var_event() */
	wake_up_var(&d->ended);
}

/*
 * Of the owner. The caller has a reference. Returns UNIT_DONE or UNIT_LOST.
 *
 * Who reclaims memory may wait for what is in the file, if that is a disk of somebody.
 * Nodes of the page cache are charged to who misses a folio, and not if it is a worker:
 * nobody has asked for it, and the limit would be enforced on who has the file.
 */
enum memfd_unit_state memfd_unit_finish(struct memfd_demand *d, unsigned int i,
					bool adopt)
{
	struct memfd_unit *unit = &d->units[i];
	unsigned int flags = memalloc_noio_save();
	enum memfd_unit_state state = memfd_unit_use(d, i, adopt) ? UNIT_DONE : UNIT_LOST;

	memalloc_noio_restore(flags);
	if (state == UNIT_LOST) {
		pr_warn_ratelimited("%*pE: records of folios from index %lu on are damaged: they are lost\n",
				    (int)strlen(d->name), d->name, unit->first);
		atomic_inc(&d->lost);
	}
	memfd_unit_let_go(unit, state);
	if (atomic_dec_and_test(&d->left))
		memfd_demand_end(d);
	return state;
}

/* Whoever owns the unit, in the end it is done or lost. */
static enum memfd_unit_state memfd_unit_end(struct memfd_demand *d, unsigned int i,
					    bool adopt)
{
	enum memfd_unit_state state = memfd_unit_claim(&d->units[i]);

	return state == UNIT_BUSY ? memfd_unit_finish(d, i, adopt) : state;
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
		queue_delayed_work(memfd_demand_wq, &d->workers[i].work, MEMFD_WORKER_DELAY);
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
	d->all_pages = ext->pages;
	atomic_long_set(&d->pages, ext->pages);
	atomic_set(&d->left, nr);
	INIT_LIST_HEAD(&d->node);
	INIT_WORK(&d->release, memfd_demand_release);
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

	/* If it is preserved again before all is in it, what waits must not be forgotten. */
	kho_hold_unclaimed();
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

/* What waits and is not handed on is nobody's in the next kernel. */
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
	mutex_lock(&memfd_demands_lock);
	list_for_each_entry(d, &memfd_demands, node) {
		for (i = 0; i < d->nr; i++) {
			/* It does not change any more: what is preserved is frozen. */
			if (READ_ONCE(d->units[i].handed))
				continue;
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
	struct memfd_demand *d = memfd_demand_of(file);
	u64 pages;

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
