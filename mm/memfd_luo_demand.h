/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files whose folios are not all there, as taking them in and handing them on see
 * them.
 */
#ifndef _MM_MEMFD_LUO_DEMAND_H
#define _MM_MEMFD_LUO_DEMAND_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/refcount.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "memfd_luo.h"

/* More would wait for the lock of i_pages most of the time. */
#define MAX_WORKERS		8

enum memfd_unit_state { UNIT_WAITS, UNIT_BUSY, UNIT_DONE, UNIT_LOST };

/* A page of records. All but the first three members are its owner's. */
struct memfd_unit {
	u64 phys;
	u64 sum;
	pgoff_t first;
	atomic_t state;
	/* Of its folios; 0 until they have come in. */
	u32 pages;
	/* The file is preserved again, and hands it on as it is. */
	bool handed;
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
	/* Pages that all folios have, and those that are paid for and not there. */
	u64 all_pages;
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
	struct work_struct release;

	/* The first @nr_sorted go up by index; the others are done from the start. */
	unsigned int nr, nr_sorted;
	struct memfd_unit units[] __counted_by(nr);
};

/* memfd_luo_units.c */
bool memfd_read_index(struct memfd_demand *d, const struct memfd_ext_ser *ext);
unsigned int memfd_unit_at(const struct memfd_demand *d, pgoff_t index);
unsigned int memfd_unit_records(const struct memfd_demand *d, unsigned int i);
struct memfd_folio_ser *memfd_unit_peek(const struct memfd_demand *d, unsigned int i,
					u64 *pages);
bool memfd_unit_use(struct memfd_demand *d, unsigned int i, bool adopt);

/* memfd_luo_demand.c */
void memfd_unit_let_go(struct memfd_unit *unit, enum memfd_unit_state state);
enum memfd_unit_state memfd_unit_claim(struct memfd_unit *unit);
enum memfd_unit_state memfd_unit_finish(struct memfd_demand *d, unsigned int i,
					bool adopt);

#endif /* _MM_MEMFD_LUO_DEMAND_H */
