/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Between the parts of the memfd handler.
 */
#ifndef _MM_MEMFD_LUO_H
#define _MM_MEMFD_LUO_H

#include <linux/hugetlb.h>
#include <linux/kho/abi/memfd.h>
#include <linux/mm.h>
#include <linux/pfn.h>
#include <linux/shmem_fs.h>
#include <linux/types.h>
#include <uapi/linux/magic.h>

/* In a page. */
#define RECORDS_PER_PAGE	(PAGE_SIZE / sizeof(struct memfd_folio_ser))

struct address_space;
struct file;
struct liveupdate_file_op_args;
struct memfd_demand;
struct memfd_stash;
struct shmem_adoption;
struct user_struct;
struct workqueue_struct;

/* A preserved memfd. */
struct memfd_luo {
	struct file *file;
	struct memfd_ser *ser;
	u64 pages;

	/* It is on huge pages. */
	bool huge;

	/* Whose RLIMIT_MEMLOCK it counts against, or NULL, and by how many pages. */
	struct user_struct *user;
	unsigned long locked;

	/* The machine has memory where pages must not be pinned. */
	bool check_place;

	/* The pages being filled. */
	struct kho_vmalloc_chunk *chunk;
	struct memfd_folio_ser *records;
	/* Those that had to make room for a page of the previous kernel's. */
	struct memfd_stash *stash;

	/* Of the index: pages of sorted records, and what may be the next of them. */
	u64 sorted;
	u64 next_index;

	/* What hold changed. */
	gfp_t gfp;
	bool unevictable;

	/* Of the machine, when none of the file's was among them. */
	long poisoned;
};

static inline struct memfd_ext_ser *memfd_ext(struct memfd_ser *ser)
{
	return (struct memfd_ext_ser *)(ser + 1);
}

static inline u64 memfd_record_pfn(const struct memfd_folio_ser *record)
{
	return record->pfn_flags & MEMFD_FOLIO_PFN_MASK;
}

/* Addresses of the folios of records. */
static inline void memfd_record_addresses(const struct memfd_folio_ser *records,
					  unsigned int nr, phys_addr_t *phys)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		phys[i] = PFN_PHYS(memfd_record_pfn(&records[i]));
}

/* As what belongs to the file grows, so does its sum. */
static inline void memfd_sum_add(struct memfd_ser *ser, u64 a, u64 b)
{
	memfd_ext(ser)->sum += memfd_sum(a, b);
}

/* The pages of records have an index, so that the next kernel finds them by need. */
static inline bool memfd_has_index(const struct memfd_luo *m)
{
	return IS_ENABLED(CONFIG_LIVEUPDATE_MEMFD_ON_DEMAND) && !m->huge;
}

/* Memory is full of zeros, and they look like an empty file. */
static inline bool memfd_may_be_zeros(struct memfd_ser *ser)
{
	return ser && memfd_ext(ser)->magic != MEMFD_EXT_MAGIC && !ser->nr_folios;
}

/* Seals, and the bits of SHMEM_SEAL_HELD and _FROZEN, of both kinds of memfds. */
static inline unsigned int *memfd_seals(struct inode *inode)
{
#ifdef CONFIG_HUGETLBFS
	if (inode->i_sb->s_magic == HUGETLBFS_MAGIC)
		return &HUGETLBFS_I(inode)->seals;
#endif
	return &SHMEM_I(inode)->seals;
}

/* Pages that begin within the size, which is the same as below it. */
static inline pgoff_t memfd_end(u64 size)
{
	return size ? ((size - 1) >> PAGE_SHIFT) + 1 : 0;
}

static inline bool memfd_record_fits(const struct memfd_folio_ser *record, pgoff_t end,
				     unsigned int order)
{
	const u64 known = MEMFD_FOLIO_PFN_MASK | MEMFD_FOLIO_DIRTY |
			  MEMFD_FOLIO_UPTODATE;

	return !(record->pfn_flags & ~known) && record->index < end &&
	       IS_ALIGNED(record->index, 1UL << order);
}

static inline bool memfd_record_ok(const struct memfd_ser *ser,
				   const struct memfd_folio_ser *record,
				   unsigned int order)
{
	return memfd_record_fits(record, memfd_end(ser->size), order);
}

/* Make a folio that nobody else has what the record says. */
static inline void memfd_restore_state(struct folio *folio,
				       const struct memfd_folio_ser *record)
{
	folio->index = record->index;
	/* What fallocate() made and nobody wrote is cleared on first use. */
	if (record->pfn_flags & MEMFD_FOLIO_UPTODATE)
		__folio_mark_uptodate(folio);
	/* A clean folio would be dropped under pressure: there is no backing. */
	folio_set_dirty(folio);
}

/* memfd_luo.c */
unsigned long memfd_luo_get_id(struct file *file);
int memfd_preserve(struct liveupdate_file_op_args *args);
void memfd_luo_unpreserve(struct liveupdate_file_op_args *args);
int memfd_luo_freeze(struct liveupdate_file_op_args *args);
void memfd_luo_unfreeze(struct liveupdate_file_op_args *args);

/* memfd_luo_records.c */
void *memfd_page_alloc(void);
int memfd_record_all(struct memfd_luo *m, struct folio **folios,
		     unsigned int nr);
int memfd_record_unit(struct memfd_luo *m, u64 phys, u64 sum, u64 first, u64 end);
int memfd_record_rest(struct memfd_luo *m);
int memfd_limit(struct memfd_luo *m);
void memfd_forget(struct memfd_luo *m);
void memfd_index_end(struct memfd_luo *m);
bool memfd_records_poisoned(struct memfd_luo *m);

/* A walk over the records of another kernel. */
struct memfd_walk {
	const struct memfd_ser *ser;
	/* Make each page ours before looking at it, and free it afterwards. */
	bool consume;
	/* Who waits for the end of it may be killed. */
	bool killable;
	/* Sees up to PAGEVEC_SIZE records at a time. */
	int (*visit)(struct memfd_walk *walk,
		     const struct memfd_folio_ser *records, unsigned int nr);

	u64 sum;		/* of what was seen without @consume */
	u64 left;		/* records */
	u32 area_left;		/* pages */
	u64 pages;		/* of folios */
	u64 max_pages;

	/* Where folios go, and what became of it. */
	struct shmem_adoption *adoption;
	int err;
};

int memfd_walk(struct memfd_walk *walk);
bool memfd_sum_ok(const struct memfd_walk *walk);

/* hugetlb_luo_pool.c */
#ifdef CONFIG_LIVEUPDATE_HUGETLB
void hugetlb_pool_record(struct folio **folios, unsigned int nr, int sign);
#else
static inline void hugetlb_pool_record(struct folio **folios, unsigned int nr,
				       int sign)
{
}
#endif

/* memfd_luo_hold.c */
int memfd_hold(struct memfd_luo *m);
void memfd_let_go(struct memfd_luo *m);
int memfd_check_poison(struct memfd_luo *m);
bool memfd_has_tags(struct address_space *mapping);
int memfd_take_range(struct memfd_luo *m, bool tagged, pgoff_t first, pgoff_t end);
bool memfd_freeze_holes(struct address_space *mapping);
void memfd_thaw_holes(struct address_space *mapping);

/* memfd_luo_retrieve.c */
int memfd_check_header(struct memfd_ser *ser,
		       const struct liveupdate_file_op_args *args);
struct file *memfd_make(struct memfd_ser *ser, unsigned int flags);
void memfd_apply_seals(struct file *file, u32 seals);
int memfd_luo_retrieve(struct liveupdate_file_op_args *args);
void memfd_luo_finish(struct liveupdate_file_op_args *args);

/* memfd_luo_demand.c, memfd_luo_again.c */
#ifdef CONFIG_LIVEUPDATE_MEMFD_ON_DEMAND
extern bool memfd_demand_only;

/* Who has the file goes first, as does RETRIEVE_FD itself. */
#define MEMFD_WORKER_DELAY	(HZ / 50)

/* Of workers that take in what nobody asks for, of low priority. */
extern struct workqueue_struct *memfd_demand_wq;

struct memfd_demand *memfd_demand_new(struct memfd_ser *ser);
void memfd_demand_free(struct memfd_demand *d);
int memfd_demand_retrieve(struct memfd_demand *d, struct file *file, u64 phys);
u64 memfd_demand_waiting(struct file *file);
struct memfd_demand *memfd_demand_get(struct inode *inode);
void memfd_demand_put(struct memfd_demand *d);
int memfd_demand_preserve(struct memfd_luo *m, struct memfd_demand *d);
bool memfd_demand_take_back(struct memfd_demand *d, u64 phys, u64 first);
int memfd_demand_poisoned(struct memfd_demand *d, u64 phys, u64 first);
bool memfd_demand_is_lossy(struct memfd_demand *d);
#else
#define memfd_demand_waiting	NULL

static inline struct memfd_demand *memfd_demand_get(struct inode *inode)
{
	return NULL;
}

static inline void memfd_demand_put(struct memfd_demand *d)
{
}

static inline int memfd_demand_preserve(struct memfd_luo *m, struct memfd_demand *d)
{
	return -EOPNOTSUPP;
}

static inline bool memfd_demand_take_back(struct memfd_demand *d, u64 phys, u64 first)
{
	return false;
}

static inline int memfd_demand_poisoned(struct memfd_demand *d, u64 phys, u64 first)
{
	return -ENOENT;
}

static inline bool memfd_demand_is_lossy(struct memfd_demand *d)
{
	return false;
}

static inline struct memfd_demand *memfd_demand_new(struct memfd_ser *ser)
{
	return NULL;
}

static inline void memfd_demand_free(struct memfd_demand *d)
{
}

static inline int memfd_demand_retrieve(struct memfd_demand *d, struct file *file,
					u64 phys)
{
	return -EOPNOTSUPP;
}
#endif

/* What a file has that is not in it yet, or NULL: to put it is the caller's. */
static inline struct memfd_demand *memfd_demand_of(struct file *file)
{
	return READ_ONCE(*memfd_seals(file_inode(file))) & SHMEM_SEAL_DEMAND ?
	       memfd_demand_get(file_inode(file)) : NULL;
}

#endif /* _MM_MEMFD_LUO_H */
