/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _KHO_READER_H
#define _KHO_READER_H

#include <linux/init.h>
#include <linux/types.h>

#include "kho_radix.h"

struct kho_span;
struct memblock_range;

struct kho_node {
	u64 pa;
	u64 *slot;
	u64 key;
	u32 level;
	bool shared;
};

struct kho_node_ref {
	u64 pa;
	unsigned long idx;
};

/*
 * A sequence of spans in ascending order: the runs of one order, or the nodes.
 * @start and @end are what is left of the current run, of which the part before
 * @limit overlaps nothing that is taken.
 */
struct kho_source {
	unsigned long start;
	unsigned long limit;
	unsigned long end;
	unsigned long idx;		/* into nodes, or by_pa */
	unsigned long last;
	unsigned long taken;
	unsigned int bit;		/* where to go on in the leaf nodes[idx] */
	unsigned int order;
	bool is_nodes;
	bool shared;
};

struct kho_reader {
	struct kho_radix *tree;

	struct kho_node *nodes;		/* in order of their keys, root last */
	struct kho_node_ref *by_pa;
	unsigned long nr_nodes;
	unsigned long max_nodes;

	struct kho_span *taken;		/* disjoint, ends with a sentinel */
	unsigned long nr_taken;
	unsigned long max_taken;

	struct memblock_range *ranges;	/* the result */
	unsigned long nr_ranges;
	unsigned long max_ranges;
	phys_addr_t gap;		/* ranges this close are merged */

	struct memblock_range *coarse;	/* enclose @ranges, reserved meanwhile */
	unsigned long nr_coarse;
	unsigned long max_coarse;

	struct kho_span *gaps;		/* withheld */
	unsigned long nr_gaps;
	unsigned long max_gaps;
	unsigned long nr_withheld;
	unsigned long max_withheld;
	unsigned long gap_taken;

	struct kho_source sources[KHO_RADIX_MAX_ORDER + 2];
	unsigned int nr_sources;
	unsigned long done;		/* all below is in ranges, or free */

	unsigned long nr_blocks;
	unsigned long nr_doubtful;
	unsigned long nr_dropped;
	unsigned long nr_bad_nodes;
};

bool __init kho_node_is_sane(u64 pa);
int __init kho_collect_nodes(struct kho_reader *r, u64 root_pa);
void __init kho_nodes_free(struct kho_reader *r);

int __init kho_collect_taken(struct kho_reader *r);
void *__init kho_alloc_array(unsigned long nr, size_t size);
int __init kho_alloc_ranges(struct kho_reader *r);
void __init kho_merge_sources(struct kho_reader *r);

phys_addr_t __init kho_next_gap(phys_addr_t gap);
unsigned long __init kho_join_ranges(struct kho_reader *r,
				     struct memblock_range *to,
				     unsigned long max, phys_addr_t gap);
void __init kho_compact_ranges(struct kho_reader *r, unsigned long max);

int __init kho_reserve_coarse(struct kho_reader *r);
void __init kho_free_coarse(struct kho_reader *r);
void __init kho_reserve_ranges(struct kho_reader *r);

void __init kho_add_lazy(struct kho_reader *r);
void __init kho_init_deferred(struct kho_reader *r);

#endif /* _KHO_READER_H */
