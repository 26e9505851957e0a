/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hugetlb files across live update: what mm/hugetlb.c, hugetlbfs and the file
 * handler have to do with each other.
 */
#ifndef _LINUX_HUGETLB_LUO_H
#define _LINUX_HUGETLB_LUO_H

#include <linux/hugetlb.h>
#include <linux/list.h>
#include <linux/liveupdate.h>
#include <linux/shmem_fs.h>

struct file;
struct hugetlb_cgroup;
struct mem_cgroup;
struct memfd_hugepages_range_ser;
struct seq_file;

/**
 * struct hugetlb_adoption - a hugetlb file that takes in folios that exist already
 * @inode:   the file
 * @h:       its page size
 * @cg:      who pays for what is reserved
 * @memcg:   who pays where huge pages count as memory, or NULL
 * @user:    who pays for what is in use: @cg, or if that has gone, a parent
 * @paid:    huge pages paid for and not taken in
 * @planned: huge pages of the file's map that are to be taken in and are not yet
 *
 * Once it has begun to take folios in, hugetlb_lock protects what is from @user on.
 */
struct hugetlb_adoption {
	struct inode *inode;
	struct hstate *h;
	struct hugetlb_cgroup *cg;
	struct mem_cgroup *memcg;
	struct hugetlb_cgroup *user;
	unsigned long paid;
	unsigned long planned;
};

#ifdef CONFIG_LIVEUPDATE_HUGETLB
/**
 * hugetlb_held - say if a hugetlb file is preserved for live update
 * @inode: the file, its i_rwsem held
 *
 * Its size does not change, and it loses no folio.
 *
 * Return: true if so.
 */
static inline bool hugetlb_held(struct inode *inode)
{
	return HUGETLBFS_I(inode)->seals & SHMEM_SEAL_HELD;
}

int hugetlb_wait_thawed(struct inode *inode);

unsigned long hugetlb_reserved(struct inode *inode, unsigned long *pages,
			       struct memfd_hugepages_range_ser *ranges,
			       unsigned long max);

int hugetlb_adopt_begin(struct hugetlb_adoption *adoption, struct inode *inode,
			unsigned long nr);
int hugetlb_adopt_plan(struct hugetlb_adoption *adoption, unsigned long from,
		       unsigned long to);
void hugetlb_adopt_cancel(struct hugetlb_adoption *adoption);
void hugetlb_adopt_join(struct hugetlb_adoption *adoption, int nid, unsigned long nr);
void hugetlb_adopt_add(struct hugetlb_adoption *adoption, struct folio *folio,
		       unsigned long index, struct list_head *folios);
void hugetlb_adopt_skip(struct hugetlb_adoption *adoption, unsigned long index,
			int nid);
int hugetlb_adopt_take(struct hugetlb_adoption *adoption, struct list_head *folios);
void hugetlb_adopt_end(struct hugetlb_adoption *adoption);

void hugetlb_return_add(struct hstate *h, struct folio *folio,
			struct list_head *folios);
void hugetlb_return_end(struct hstate *h, struct list_head *folios);

unsigned long hugetlb_absent_pages(void);
void hugetlb_count_absent(struct hstate *h, long pages);
void hugetlb_count_gone(struct hstate *h, int nid, unsigned long pages);
void hugetlb_expect(struct hstate *h, int nid, unsigned long pages);
void hugetlb_settle_expected(struct hstate *h);
bool hugetlb_expected(struct hstate *h, int nid);
unsigned long hugetlb_claim_expected(struct hstate *h, int nid, unsigned long pages);
void hugetlb_pool_receive(struct hstate *h);
void hugetlb_pool_forget(void);
#else
static inline bool hugetlb_held(struct inode *inode)
{
	return false;
}

static inline int hugetlb_wait_thawed(struct inode *inode)
{
	return -EAGAIN;
}

static inline unsigned long hugetlb_absent_pages(void)
{
	return 0;
}

static inline void hugetlb_pool_receive(struct hstate *h)
{
}

static inline void hugetlb_pool_forget(void)
{
}

static inline void hugetlb_settle_expected(struct hstate *h)
{
}
#endif /* CONFIG_LIVEUPDATE_HUGETLB */

#if defined(CONFIG_LIVEUPDATE_HUGETLB) && defined(CONFIG_LIVEUPDATE_MEMFD_ON_DEMAND)
/**
 * hugetlb_on_demand - say if pages of a file may not be there yet
 * @inode: a file of hugetlbfs
 *
 * If so, who finds none in the page cache has to ask for it. This stays when all
 * have come in, as who has found none may have looked before that.
 *
 * Return: true if so.
 */
static inline bool hugetlb_on_demand(struct inode *inode)
{
	return READ_ONCE(inode->i_private);
}

int hugetlb_demand_index(struct inode *inode, pgoff_t index);
int hugetlb_demand_get(struct inode *inode, pgoff_t index);
bool hugetlb_demand_waits(struct inode *inode, pgoff_t index);
int hugetlb_demand_range(struct inode *inode, pgoff_t index, pgoff_t end);
void hugetlb_demand_evict(struct inode *inode);
void hugetlb_demand_reparent(struct hugetlb_cgroup *cg);
void hugetlb_demand_show_fdinfo(struct seq_file *m, struct file *file);
#define hugetlb_demand_show_fdinfo	hugetlb_demand_show_fdinfo

/* mm/hugetlb_cgroup.c */
void hugetlb_adopt_reparent(struct hugetlb_adoption *adoption,
			    struct hugetlb_cgroup *h_cg);
#else
static inline bool hugetlb_on_demand(struct inode *inode)
{
	return false;
}

static inline int hugetlb_demand_index(struct inode *inode, pgoff_t index)
{
	return 0;
}

static inline int hugetlb_demand_get(struct inode *inode, pgoff_t index)
{
	return 0;
}

static inline bool hugetlb_demand_waits(struct inode *inode, pgoff_t index)
{
	return false;
}

static inline int hugetlb_demand_range(struct inode *inode, pgoff_t index, pgoff_t end)
{
	return 0;
}

static inline void hugetlb_demand_evict(struct inode *inode)
{
}

static inline void hugetlb_demand_reparent(struct hugetlb_cgroup *cg)
{
}
#endif

#endif /* _LINUX_HUGETLB_LUO_H */
