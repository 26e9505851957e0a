/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Between the parts of the handler of memfds on huge pages.
 */
#ifndef _MM_HUGETLB_LUO_H
#define _MM_HUGETLB_LUO_H

#include <linux/init.h>

struct hstate;
struct liveupdate_file_op_args;

/* hugetlb_luo_pool.c */
void hugetlb_expect_less(struct hstate *h, int nid);
void __init hugetlb_pool_hand_on(void);

/* hugetlb_luo_retrieve.c */
int hugetlb_luo_retrieve(struct liveupdate_file_op_args *args);
bool hugetlb_luo_can_finish(struct liveupdate_file_op_args *args);
void hugetlb_luo_finish(struct liveupdate_file_op_args *args);

#endif /* _MM_HUGETLB_LUO_H */
