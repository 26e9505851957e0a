/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Between the parts of the handler of memfds on huge pages.
 */
#ifndef _MM_HUGETLB_LUO_H
#define _MM_HUGETLB_LUO_H

#include <linux/init.h>
#include <linux/mm.h>
#include <linux/pfn.h>
#include <linux/types.h>

struct file;
struct hstate;
struct hugetlb_adoption;
struct liveupdate_file_op_args;
struct memfd_hugepages_ser;

/* A page of a file, and its number there. */
struct hugetlb_record {
	phys_addr_t phys;
	unsigned long index;
};

/* Its first struct page can be looked at before it is restored, even if it is lazy. */
static inline int hugetlb_record_nid(const struct hugetlb_record *record)
{
	return page_to_nid(pfn_to_page(PHYS_PFN(record->phys)));
}

/* hugetlb_luo_pool.c */
void hugetlb_expect_less(struct hstate *h, int nid);
void __init hugetlb_pool_hand_on(void);

/* hugetlb_luo_retrieve.c */
int hugetlb_luo_retrieve(struct liveupdate_file_op_args *args);
bool hugetlb_luo_can_finish(struct liveupdate_file_op_args *args);
void hugetlb_luo_finish(struct liveupdate_file_op_args *args);

/* hugetlb_luo_demand.c */
struct hugetlb_demand;
#ifdef CONFIG_LIVEUPDATE_MEMFD_ON_DEMAND
extern bool hugetlb_demand_only;
extern unsigned int hugetlb_demand_min;
struct hugetlb_demand *hugetlb_demand_new(const struct memfd_hugepages_ser *ser,
					  struct hugetlb_record *records,
					  unsigned long nr);
void hugetlb_demand_start(struct hugetlb_demand *d,
			  const struct hugetlb_adoption *adoption);
u64 hugetlb_demand_waiting(struct file *file);
#else
#define hugetlb_demand_waiting	NULL

static inline struct hugetlb_demand *
hugetlb_demand_new(const struct memfd_hugepages_ser *ser,
		   struct hugetlb_record *records, unsigned long nr)
{
	return NULL;
}

static inline void hugetlb_demand_start(struct hugetlb_demand *d,
					const struct hugetlb_adoption *adoption)
{
}
#endif

#endif /* _MM_HUGETLB_LUO_H */
