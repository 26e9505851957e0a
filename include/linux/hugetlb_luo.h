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

struct hugetlb_cgroup;
struct mem_cgroup;
struct memfd_hugepages_range_ser;

/**
 * struct hugetlb_adoption - a hugetlb file that takes in folios that exist already
 * @inode:   the file; nobody else can reach it yet
 * @h:       its page size
 * @cg:      who pays
 * @memcg:   who pays where huge pages count as memory, or NULL
 * @paid:    huge pages paid for and not taken in
 * @planned: huge pages of the file's map that are to be taken in and are not yet
 * @folios:  restored, and to be taken in
 */
struct hugetlb_adoption {
	struct inode *inode;
	struct hstate *h;
	struct hugetlb_cgroup *cg;
	struct mem_cgroup *memcg;
	unsigned long paid;
	unsigned long planned;
	struct list_head folios;
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
void hugetlb_adopt_add(struct hugetlb_adoption *adoption, struct folio *folio,
		       unsigned long index);
void hugetlb_adopt_skip(struct hugetlb_adoption *adoption, unsigned long index);
int hugetlb_adopt_end(struct hugetlb_adoption *adoption);

void hugetlb_return_add(struct hstate *h, struct folio *folio,
			struct list_head *folios);
void hugetlb_return_end(struct hstate *h, struct list_head *folios);

unsigned long hugetlb_waiting_pages(void);
void hugetlb_expect(struct hstate *h, int nid, unsigned long pages);
void hugetlb_settle_expected(struct hstate *h);
bool hugetlb_expected(struct hstate *h, int nid);
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

static inline unsigned long hugetlb_waiting_pages(void)
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

#endif /* _LINUX_HUGETLB_LUO_H */
