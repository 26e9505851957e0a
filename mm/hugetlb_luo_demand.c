// SPDX-License-Identifier: GPL-2.0-only
/*
 * Take the pages of a memfd on huge pages in when they are needed.
 *
 * All that can be said of them without setting up their struct pages was checked,
 * and the pool, cgroups and the file's map have them already, so there is nothing
 * left that can fail but to restore one: another file may have named it, too. It is
 * lost then.
 *
 * The mutex under which hugetlbfs fills the place of a page protects its record, too.
 * Who finds no page there, under that mutex, looks for a record that waits, and so
 * do a worker and who needs many pages. Without it, records can be read under RCU;
 * they stay as long as one of them waits. What is around them stays with the inode,
 * in its i_private.
 */

#define pr_fmt(fmt) "hugetlb: " fmt

#include <linux/atomic.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/hugetlb_luo.h>
#include <linux/kexec.h>
#include <linux/kexec_handover.h>
#include <linux/kho/abi/memfd_hugepages.h>
#include <linux/list.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/printk.h>
#include <linux/rcupdate.h>
#include <linux/reboot.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include "hugetlb_luo.h"
#include "hugetlb_vmemmap.h"
#include "memfd_luo.h"

/* What a record has in place of an address when it does not wait. */
#define RECORD_DONE		0
#define RECORD_LOST		1

/* A file whose pages are not all there, or were not once. */
struct hugetlb_demand {
	struct hugetlb_adoption adoption;
	char name[MEMFD_EXT_NAME_LENGTH];
	/* In order of the index; NULL when all have come in. */
	struct hugetlb_record __rcu *records;
	unsigned long nr;
	/* Records that wait, and those lost. */
	atomic_long_t left, lost;
	/* The worker is not to go on. */
	bool stop;
	struct delayed_work work;
	/* Of hugetlb_demands. */
	struct list_head node;
};

static LIST_HEAD(hugetlb_demands);
static DEFINE_MUTEX(hugetlb_demands_lock);
static bool hugetlb_demand_jumps;

/* Smaller files are taken in at once. 0: all files are. */
unsigned int hugetlb_demand_min = 64;
module_param_named(min_mb, hugetlb_demand_min, uint, 0644);
MODULE_PARM_DESC(min_mb, "MiB of huge pages from which on a file's are taken in on demand, 0 for never");

/* Whether all is left to those who miss a page. */
bool hugetlb_demand_only;
module_param_named(only, hugetlb_demand_only, bool, 0644);
MODULE_PARM_DESC(only, "take nothing in that nobody asks for");

/* ---- records ---- */

static bool record_waits(const struct hugetlb_record *record)
{
	return READ_ONCE(record->phys) > RECORD_LOST;
}

/* The first record from @index on, or NULL; under RCU. */
static struct hugetlb_record *hugetlb_demand_find(struct hugetlb_demand *d, pgoff_t index)
{
	struct hugetlb_record *records = rcu_dereference(d->records);
	unsigned long low = 0, high = records ? d->nr : 0;

	while (low < high) {
		unsigned long mid = low + (high - low) / 2;

		if (records[mid].index < index)
			low = mid + 1;
		else
			high = mid;
	}
	return records && low < d->nr ? &records[low] : NULL;
}

/* As seen at one moment: that of @index, and what its address was. */
static struct hugetlb_record *hugetlb_demand_peek(struct hugetlb_demand *d, pgoff_t index,
						  phys_addr_t *phys)
{
	struct hugetlb_record *record;

	guard(rcu)();
	record = hugetlb_demand_find(d, index);
	if (record && record->index == index)
		*phys = READ_ONCE(record->phys);
	else
		*phys = RECORD_DONE;
	return record;
}

/* The index of the first page that waits from @index on, or @end. */
static pgoff_t hugetlb_demand_next(struct hugetlb_demand *d, pgoff_t index, pgoff_t end)
{
	struct hugetlb_record *record, *last;

	guard(rcu)();
	record = hugetlb_demand_find(d, index);
	if (!record)
		return end;

	last = rcu_dereference(d->records) + d->nr - 1;
	while (record < last && !record_waits(record))
		record++;
	return record_waits(record) ? min(record->index, end) : end;
}

/* ---- taking in ---- */

/* All pages have come in, or never will: what was paid for others is given back. */
static void hugetlb_demand_end(struct hugetlb_demand *d)
{
	struct hugetlb_record *records;

	hugetlb_adopt_end(&d->adoption);
	if (atomic_long_read(&d->lost))
		return;

	records = rcu_replace_pointer(d->records, NULL, true);
	kvfree_rcu_mightsleep(records);
}

static void hugetlb_demand_lose(struct hugetlb_demand *d, struct hugetlb_record *record)
{
	pr_warn_ratelimited("%*pE: the huge page of index %lu is not there or another file's: it is lost\n",
			    (int)strlen(d->name), d->name, record->index);
	hugetlb_adopt_skip(&d->adoption, record->index, hugetlb_record_nid(record));
}

/*
 * Of who has the mutex of a record that waits. Who reclaims memory may wait for what
 * is in the file, if that is a disk of somebody.
 */
static int hugetlb_demand_take(struct hugetlb_demand *d, struct hugetlb_record *record)
{
	unsigned int flags = memalloc_noio_save();
	struct folio *folio;
	LIST_HEAD(folios);
	int err = -EIO;

	folio = kho_restore_folio_of(record->phys, huge_page_order(d->adoption.h));
	if (folio) {
		hugetlb_adopt_add(&d->adoption, folio, record->index, &folios);
		err = hugetlb_adopt_take(&d->adoption, &folios);
	} else {
		hugetlb_demand_lose(d, record);
	}
	memalloc_noio_restore(flags);

	if (err)
		atomic_long_inc(&d->lost);
	WRITE_ONCE(record->phys, err ? RECORD_LOST : RECORD_DONE);
	/* Behind this the record is gone, if it was the last. */
	if (atomic_long_dec_and_test(&d->left))
		hugetlb_demand_end(d);
	return err;
}

static int hugetlb_demand_forget(struct hugetlb_demand *d, struct hugetlb_record *record)
{
	kho_forget_folio(record->phys);
	return 0;
}

/* Use the page at @index, if it waits, under its mutex. */
static int hugetlb_demand_use(struct hugetlb_demand *d, pgoff_t index,
			      int (*use)(struct hugetlb_demand *d,
					 struct hugetlb_record *record))
{
	struct address_space *mapping = d->adoption.inode->i_mapping;
	u32 hash = hugetlb_fault_mutex_hash(mapping, index);
	struct hugetlb_record *record;
	phys_addr_t phys;
	int err = 0;

	mutex_lock(&hugetlb_fault_mutex_table[hash]);
	record = hugetlb_demand_peek(d, index, &phys);
	if (phys > RECORD_LOST)
		err = use(d, record);
	mutex_unlock(&hugetlb_fault_mutex_table[hash]);
	return err ?: phys == RECORD_LOST ? -EIO : 0;
}

static void hugetlb_demand_workfn(struct work_struct *work)
{
	struct hugetlb_demand *d = container_of(to_delayed_work(work),
						struct hugetlb_demand, work);
	pgoff_t index = 0;

	while (!READ_ONCE(d->stop) && !READ_ONCE(hugetlb_demand_jumps)) {
		index = hugetlb_demand_next(d, index, ULONG_MAX);
		if (index == ULONG_MAX)
			break;
		hugetlb_demand_use(d, index, hugetlb_demand_take);
		cond_resched();
	}
}

/* ---- retrieve ---- */

/**
 * hugetlb_demand_new - decide if pages of a file are to come in when they are needed
 * @ser:     its handle
 * @records: its pages, which were checked, in order of the index
 * @nr:      how many
 *
 * Without a sum, or for a few pages, it is better to know at once. To free the vmemmap
 * of each page alone would wait for a grace period of RCU each time.
 *
 * Return: what hugetlb_demand_start() needs, and has @records; or NULL if they are to
 * be taken in at once.
 */
struct hugetlb_demand *hugetlb_demand_new(const struct memfd_hugepages_ser *ser,
					  struct hugetlb_record *records,
					  unsigned long nr)
{
	const struct hstate *h = size_to_hstate(PAGE_SIZE << ser->order);
	unsigned long min = READ_ONCE(hugetlb_demand_min);
	struct hugetlb_demand *d;

	if (!memfd_demand_wq || READ_ONCE(hugetlb_demand_jumps) || ser->ext.version < 3 ||
	    !min || !nr || nr << ser->order < min * (SZ_1M / PAGE_SIZE) ||
	    hugetlb_vmemmap_optimizes(h))
		return NULL;

	d = kzalloc(sizeof(*d), GFP_KERNEL_ACCOUNT);
	if (!d)
		return NULL;

	strscpy(d->name, ser->ext.name);
	RCU_INIT_POINTER(d->records, records);
	d->nr = nr;
	atomic_long_set(&d->left, nr);
	INIT_DELAYED_WORK(&d->work, hugetlb_demand_workfn);
	return d;
}

/**
 * hugetlb_demand_start - let pages of a new file come in when they are needed
 * @d:        from hugetlb_demand_new()
 * @adoption: the file; all its pages are paid for, planned, and counted in the pool
 */
void hugetlb_demand_start(struct hugetlb_demand *d,
			  const struct hugetlb_adoption *adoption)
{
	d->adoption = *adoption;
	WRITE_ONCE(adoption->inode->i_private, d);

	mutex_lock(&hugetlb_demands_lock);
	list_add_tail(&d->node, &hugetlb_demands);
	mutex_unlock(&hugetlb_demands_lock);

	if (!READ_ONCE(hugetlb_demand_only))
		queue_delayed_work(memfd_demand_wq, &d->work, MEMFD_WORKER_DELAY);
}

/* ---- who needs pages ---- */

/**
 * hugetlb_demand_index - take in what a file has at an index
 * @inode: file for which hugetlb_on_demand() is true
 * @index: huge page of the file, at which there was none
 *
 * After this there is one, or a hole.
 *
 * Context: Holds the mutex of hugetlb_fault_mutex_table[] for @index.
 * Return: 0, or -EIO if the page is lost.
 */
int hugetlb_demand_index(struct inode *inode, pgoff_t index)
{
	struct hugetlb_demand *d = inode->i_private;
	struct hugetlb_record *record;
	phys_addr_t phys;

	record = hugetlb_demand_peek(d, index, &phys);
	if (phys > RECORD_LOST)
		return hugetlb_demand_take(d, record);
	return phys == RECORD_LOST ? -EIO : 0;
}

/**
 * hugetlb_demand_get - hugetlb_demand_index() without the mutex
 * @inode: file for which hugetlb_on_demand() is true
 * @index: huge page of the file, at which there was none
 *
 * Context: May sleep, with the i_rwsem and the mmap lock held or not.
 * Return: 0, or -EIO if the page is lost.
 */
int hugetlb_demand_get(struct inode *inode, pgoff_t index)
{
	return hugetlb_demand_use(inode->i_private, index, hugetlb_demand_take);
}

/**
 * hugetlb_demand_waits - say if a file has a page that is not there yet
 * @inode: file for which hugetlb_on_demand() is true
 * @index: huge page of the file
 *
 * Context: Any.
 * Return: true if so, or it is lost, so that the place is no hole.
 */
bool hugetlb_demand_waits(struct inode *inode, pgoff_t index)
{
	phys_addr_t phys;

	hugetlb_demand_peek(inode->i_private, index, &phys);
	return phys != RECORD_DONE;
}

/**
 * hugetlb_demand_range - take in what a file has in a range
 * @inode: file for which hugetlb_on_demand() is true
 * @index: the first huge page
 * @end:   the one behind the last
 *
 * Context: May sleep, with the i_rwsem held or not.
 * Return: 0, -EIO if a page of the file is lost, or -EINTR if the task was killed.
 */
int hugetlb_demand_range(struct inode *inode, pgoff_t index, pgoff_t end)
{
	struct hugetlb_demand *d = inode->i_private;

	while ((index = hugetlb_demand_next(d, index, end)) < end) {
		hugetlb_demand_use(d, index, hugetlb_demand_take);
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return atomic_long_read(&d->lost) ? -EIO : 0;
}

/**
 * hugetlb_demand_evict - take in what waits of a file that nobody has any more
 * @inode: file for which hugetlb_on_demand() is true
 *
 * It goes where all pages of the file go.
 */
void hugetlb_demand_evict(struct inode *inode)
{
	struct hugetlb_demand *d = inode->i_private;
	pgoff_t index = 0;

	WRITE_ONCE(d->stop, true);
	cancel_delayed_work_sync(&d->work);
	while ((index = hugetlb_demand_next(d, index, ULONG_MAX)) < ULONG_MAX) {
		hugetlb_demand_use(d, index, hugetlb_demand_take);
		cond_resched();
	}

	/* Until then a jump finds it. */
	mutex_lock(&hugetlb_demands_lock);
	list_del(&d->node);
	mutex_unlock(&hugetlb_demands_lock);

	WRITE_ONCE(inode->i_private, NULL);
	kvfree(rcu_dereference_protected(d->records, true));
	kfree(d);
}

#ifdef CONFIG_CGROUP_HUGETLB
/**
 * hugetlb_demand_reparent - let a cgroup go that pays for pages that are not there yet
 * @cg: the cgroup, whose parent will pay for their use
 *
 * Pages that are there are moved to the parent one by one.
 *
 * Context: May sleep.
 */
void hugetlb_demand_reparent(struct hugetlb_cgroup *cg)
{
	struct hugetlb_demand *d;

	mutex_lock(&hugetlb_demands_lock);
	list_for_each_entry(d, &hugetlb_demands, node)
		hugetlb_adopt_reparent(&d->adoption, cg);
	mutex_unlock(&hugetlb_demands_lock);
}
#endif

/* ---- the jump ---- */

/* What waits is nobody's in the next kernel. */
static int hugetlb_demand_reboot(struct notifier_block *nb, unsigned long action,
				 void *data)
{
	struct hugetlb_demand *d;
	pgoff_t index;

	if (!kexec_in_progress)
		return NOTIFY_DONE;

	WRITE_ONCE(hugetlb_demand_jumps, true);
	mutex_lock(&hugetlb_demands_lock);
	list_for_each_entry(d, &hugetlb_demands, node) {
		for (index = 0;
		     (index = hugetlb_demand_next(d, index, ULONG_MAX)) < ULONG_MAX; index++) {
			hugetlb_demand_use(d, index, hugetlb_demand_forget);
			cond_resched();
		}
	}
	mutex_unlock(&hugetlb_demands_lock);
	return NOTIFY_DONE;
}

static struct notifier_block hugetlb_demand_reboot_nb = {
	.notifier_call = hugetlb_demand_reboot,
};

/* ---- what is shown ---- */

/**
 * hugetlb_demand_waiting - say how much of a file is not in it yet
 * @file: any file of hugetlbfs
 *
 * Return: bytes.
 */
u64 hugetlb_demand_waiting(struct file *file)
{
	struct inode *inode = file_inode(file);
	struct hugetlb_demand *d = inode->i_private;

	return hugetlb_on_demand(inode) ?
	       (u64)atomic_long_read(&d->left) << huge_page_shift(d->adoption.h) : 0;
}

/**
 * hugetlb_demand_show_fdinfo - say how much of a file is not in it yet
 * @m:    where to
 * @file: any file of hugetlbfs
 */
void hugetlb_demand_show_fdinfo(struct seq_file *m, struct file *file)
{
	u64 waiting = hugetlb_demand_waiting(file);

	if (waiting)
		seq_printf(m, "waiting_kb:\t%llu\n", waiting >> 10);
}

static int __init hugetlb_demand_init(void)
{
	return register_reboot_notifier(&hugetlb_demand_reboot_nb);
}
/* Before the handler is there, which needs hugetlbfs. */
fs_initcall(hugetlb_demand_init);
