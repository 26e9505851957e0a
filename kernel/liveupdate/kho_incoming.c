// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading the preserved-memory map of the previous kernel at boot.
 *
 * The map is not trusted: whatever it says, only memory that nobody else has
 * becomes restorable, and the work is bounded by the size of RAM.
 *
 * It is read as soon as memory can be accessed, and from then on memblock
 * allocates from all that is free. Every allocation goes through all reserved
 * ranges, of which there may be as many as blocks, so until the page allocator
 * takes over coarse ranges are reserved, which spare the large gaps only.
 *
 * Glossary:
 * - taken: memory that cannot have been preserved, because it is no RAM, is
 *   scratch, or is used by this kernel already. An entry that claims such
 *   memory is dropped.
 * - doubtful: a block that overlaps another block or a node of the map, or that
 *   stands in a node with several parents. It is reserved, so that nobody gets
 *   it, but it cannot be restored.
 * - run: neighbouring blocks of one order.
 * - gap: free memory between two runs. Small ones are withheld until the system
 *   is up: see kho_gaps.c.
 *
 * Dropped and doubtful entries are cleared, so the map can go on as this
 * kernel's own.
 */

#define pr_fmt(fmt) "KHO: " fmt

#include <linux/bitmap.h>
#include <linux/find.h>
#include <linux/io.h>
#include <linux/kho/lazy_pages.h>
#include <linux/limits.h>
#include <linux/math.h>
#include <linux/memblock.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/pageblock-flags.h>
#include <linux/pfn.h>
#include <linux/sizes.h>
#include <linux/sort.h>

#include "../../mm/internal.h"
#include "../kexec_handover_internal.h"
#include "kho_gaps.h"
#include "kho_incoming.h"
#include "kho_lazy.h"
#include "kho_radix.h"

/* What kho_emit() can do with if memory is short. */
#define KHO_MIN_RANGES		256UL

/* How many ranges are reserved at first, if that leaves enough memory. */
#define KHO_COARSE_RANGES	256UL

/* The part of RAM that is needed before the page allocator: 1 / this. */
#define KHO_EARLY_PART		(IS_ENABLED(CONFIG_KASAN_GENERIC) ? 6 : 32)

/* Larger gaps cost little for each of their pages. */
#define KHO_MAX_GAP		16UL

/* Parts of RAM that may be withheld: 1 / this. */
#define KHO_WITHHELD_PART	16

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

/* Too big for the stack, and used but once. */
static struct kho_reader kho_reader __initdata;

/* Nodes */

/*
 * Bounds the walk, as the keys that denote RAM are limited. Keys that cover
 * more than one order begin at 0, and there is but one such node per level.
 */
static bool __init kho_keys_denote_ram(u64 key, unsigned int level)
{
	u64 nr_pages;

	if (!key)
		return level;

	nr_pages = kho_radix_span(level) << kho_radix_key_order(key);
	nr_pages = min(nr_pages, PHYS_PFN(PHYS_ADDR_MAX));
	return memblock_overlaps_region(&memblock.memory,
					PFN_PHYS(kho_radix_key_pfn(key)),
					PFN_PHYS(nr_pages));
}

static bool __init kho_node_is_sane(u64 pa)
{
	return PAGE_ALIGNED(pa) && memblock_is_map_memory(pa) &&
	       !memblock_is_reserved(pa) && !kho_scratch_overlap(pa, PAGE_SIZE);
}

static bool __init kho_count_node(const struct kho_radix_node *node, void *arg)
{
	struct kho_reader *r = arg;

	if (!kho_node_is_sane(node->pa) ||
	    !kho_keys_denote_ram(node->key, node->level))
		return false;

	r->max_nodes++;
	return true;
}

/* The number of runs in a leaf: bits that are set above one that is not. */
static unsigned long __init kho_count_runs(const unsigned long *leaf)
{
	unsigned long nr = 0, carry = 0;
	unsigned int i;

	for (i = 0; i < BITS_TO_LONGS(KHO_RADIX_LEAF_BITS); i++) {
		nr += hweight_long(leaf[i] & ~(leaf[i] << 1 | carry));
		carry = leaf[i] >> (BITS_PER_LONG - 1);
	}

	return nr;
}

static bool __init kho_record_node(const struct kho_radix_node *node, void *arg)
{
	struct kho_reader *r = arg;
	unsigned long nr_runs = 0;

	if (!kho_node_is_sane(node->pa) ||
	    !kho_keys_denote_ram(node->key, node->level) ||
	    r->nr_nodes == r->max_nodes) {
		*node->slot = 0;
		r->nr_bad_nodes++;
		return false;
	}

	if (!node->level) {
		nr_runs = kho_count_runs(phys_to_virt(node->pa));
		if (!nr_runs) {
			*node->slot = 0;
			return false;
		}
	}

	r->max_ranges += nr_runs + 1;
	r->nodes[r->nr_nodes++] = (struct kho_node){
		.pa = node->pa,
		.slot = node->slot,
		.key = node->key,
		.level = node->level,
	};
	return true;
}

static int __init kho_cmp_node_ref(const void *a, const void *b)
{
	const struct kho_node_ref *x = a, *y = b;

	return x->pa < y->pa ? -1 : x->pa > y->pa;
}

/*
 * A node with several parents would give several names to one bit. Cut it off
 * from all of them; the root has a parent only if it is damaged.
 */
static void __init kho_cut_shared_nodes(struct kho_reader *r)
{
	u64 end = 0;
	unsigned long i;

	for (i = 1; i < r->nr_nodes; i++) {
		if (r->by_pa[i - 1].pa != r->by_pa[i].pa)
			continue;
		r->nodes[r->by_pa[i - 1].idx].shared = true;
		r->nodes[r->by_pa[i].idx].shared = true;
	}

	for (i = 0; i < r->nr_nodes; i++) {
		struct kho_node *node = &r->nodes[i];

		if (node->shared && node->slot) {
			*node->slot = 0;
			r->nr_bad_nodes++;
			end = max(end, node->key + kho_radix_span(node->level));
		}
		if (node->key < end)
			node->shared = true;
	}
}

static int __init kho_collect_nodes(struct kho_reader *r, u64 root_pa)
{
	unsigned long i;

	r->max_nodes = 1;
	kho_radix_walk(r->tree, kho_count_node, r);

	r->nodes = memblock_alloc(array_size(r->max_nodes, sizeof(*r->nodes)),
				  SMP_CACHE_BYTES);
	r->by_pa = memblock_alloc(array_size(r->max_nodes, sizeof(*r->by_pa)),
				  SMP_CACHE_BYTES);
	if (!r->nodes || !r->by_pa)
		return -ENOMEM;

	r->max_nodes--;
	kho_radix_walk(r->tree, kho_record_node, r);
	r->nodes[r->nr_nodes++] = (struct kho_node){
		.pa = root_pa,
		.key = U64_MAX,
		.level = KHO_RADIX_ROOT_LEVEL,
	};
	r->max_nodes++;
	r->max_ranges++;

	for (i = 0; i < r->nr_nodes; i++)
		r->by_pa[i] = (struct kho_node_ref){ r->nodes[i].pa, i };
	sort(r->by_pa, r->nr_nodes, sizeof(*r->by_pa), kho_cmp_node_ref, NULL);
	kho_cut_shared_nodes(r);

	return 0;
}

/* Taken memory */

static int __init kho_cmp_span(const void *a, const void *b)
{
	const struct kho_span *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static void __init kho_add_taken(struct kho_reader *r, unsigned long start,
				 unsigned long end)
{
	if (start < end && !WARN_ON_ONCE(r->nr_taken == r->max_taken))
		r->taken[r->nr_taken++] = (struct kho_span){ start, end };
}

static void __init kho_add_all_taken(struct kho_reader *r)
{
	struct memblock_region *rgn;
	unsigned long hole = 0;
	unsigned int i;

	for_each_mem_region(rgn) {
		if (memblock_is_nomap(rgn))
			continue;
		kho_add_taken(r, hole, PFN_UP(rgn->base));
		hole = PFN_DOWN(rgn->base + rgn->size);
	}
	kho_add_taken(r, hole, ULONG_MAX);

	for_each_reserved_mem_region(rgn)
		kho_add_taken(r, PFN_DOWN(rgn->base),
			      PFN_UP(rgn->base + rgn->size));

	for (i = 0; i < kho_scratch_cnt; i++)
		kho_add_taken(r, PFN_DOWN(kho_scratch[i].addr),
			      PFN_UP(kho_scratch[i].addr + kho_scratch[i].size));
}

/* What is allocated from now on is in scratch, which is taken as a whole. */
static int __init kho_collect_taken(struct kho_reader *r)
{
	unsigned long i, n = 0;

	/* The allocation itself adds a region, or several if it must resize. */
	r->max_taken = memblock.memory.cnt + memblock.reserved.cnt +
		       kho_scratch_cnt + 16;
	r->taken = memblock_alloc(array_size(r->max_taken, sizeof(*r->taken)),
				  SMP_CACHE_BYTES);
	if (!r->taken)
		return -ENOMEM;

	kho_add_all_taken(r);
	sort(r->taken, r->nr_taken, sizeof(*r->taken), kho_cmp_span, NULL);

	for (i = 1; i < r->nr_taken; i++) {
		if (r->taken[i].start <= r->taken[n].end)
			r->taken[n].end = max(r->taken[n].end, r->taken[i].end);
		else
			r->taken[++n] = r->taken[i];
	}
	r->nr_taken = n + 1;

	return 0;
}

/* Ranges to reserve */

static bool __init kho_taken_between(struct kho_reader *r, unsigned long start,
				     unsigned long end)
{
	unsigned long low = 0, high = r->nr_taken - 1;

	/* The sentinel ends behind everything. */
	while (low < high) {
		unsigned long mid = (low + high) / 2;

		if (r->taken[mid].end <= start)
			low = mid + 1;
		else
			high = mid;
	}

	return r->taken[low].start < end;
}

static bool __init kho_ranges_join(struct kho_reader *r,
				   const struct memblock_range *last,
				   phys_addr_t start, phys_addr_t gap)
{
	if (start <= last->end)
		return true;

	return start - last->end <= gap &&
	       !kho_taken_between(r, PHYS_PFN(last->end), PHYS_PFN(start));
}

static phys_addr_t __init kho_next_gap(phys_addr_t gap)
{
	return gap ? gap * 2 : PAGE_SIZE;
}

/* Join ranges that are @gap apart; returns their number, at most @max + 1. */
static unsigned long __init kho_join_ranges(struct kho_reader *r,
					    struct memblock_range *to,
					    unsigned long max, phys_addr_t gap)
{
	unsigned long i, n = 0;

	for (i = 0; i < r->nr_ranges; i++) {
		const struct memblock_range range = r->ranges[i];

		if (n && kho_ranges_join(r, &to[n - 1], range.start, gap)) {
			to[n - 1].end = max(to[n - 1].end, range.end);
			continue;
		}
		if (n == max)
			return max + 1;
		to[n++] = range;
	}

	return n;
}

/* Trade precision for space: what lies in small gaps is reserved, too. */
static void __init kho_compact_ranges(struct kho_reader *r, unsigned long max)
{
	while (r->nr_ranges > max && r->gap < BIT_ULL(62)) {
		r->gap = kho_next_gap(r->gap);
		r->nr_ranges = kho_join_ranges(r, r->ranges, r->nr_ranges, r->gap);
	}
}

/* Returns true if the gap [start, end) was put on the list of those withheld. */
static bool __init kho_withhold(struct kho_reader *r, unsigned long start,
				unsigned long end)
{
	if (end - start > KHO_MAX_GAP || r->nr_gaps == r->max_gaps ||
	    r->nr_withheld + end - start > r->max_withheld)
		return false;

	while (r->taken[r->gap_taken].end <= start)
		r->gap_taken++;
	if (r->taken[r->gap_taken].start < end)
		return false;

	r->gaps[r->nr_gaps++] = (struct kho_span){ start, end };
	r->nr_withheld += end - start;
	return true;
}

/* @start must not be below that of the previous call. */
static __always_inline void kho_emit(struct kho_reader *r,
				     unsigned long start_pfn,
				     unsigned long end_pfn)
{
	phys_addr_t start = PFN_PHYS(start_pfn), end = PFN_PHYS(end_pfn);
	struct memblock_range *last = r->ranges + r->nr_ranges - 1;

	if (r->nr_ranges &&
	    (kho_ranges_join(r, last, start, r->gap) ||
	     kho_withhold(r, PHYS_PFN(last->end), start_pfn))) {
		last->end = max(last->end, end);
		return;
	}

	if (r->nr_ranges == r->max_ranges)
		kho_compact_ranges(r, r->max_ranges / 2);
	r->ranges[r->nr_ranges++] = (struct memblock_range){ start, end };
}

/* Not zeroed, which would be most of the work. */
static void *__init kho_alloc_array(unsigned long nr, size_t size)
{
	return memblock_alloc_raw(array_size(nr, size), PAGE_SIZE);
}

/* Without, all gaps are freed at once. */
static void __init kho_alloc_gaps(struct kho_reader *r)
{
	r->gaps = kho_alloc_array(r->max_ranges, sizeof(*r->gaps));
	if (!r->gaps)
		return;

	r->max_gaps = r->max_ranges;
	r->max_withheld = PHYS_PFN(memblock_phys_mem_size()) / KHO_WITHHELD_PART;
}

static int __init kho_alloc_ranges(struct kho_reader *r)
{
	unsigned long min = KHO_MIN_RANGES + r->nr_taken;

	/* Taken memory can split a run in two, and ranges do not join over it. */
	r->max_ranges += min;

	for (; r->max_ranges >= min; r->max_ranges /= 2) {
		r->ranges = kho_alloc_array(r->max_ranges, sizeof(*r->ranges));
		if (r->ranges) {
			kho_alloc_gaps(r);
			return 0;
		}
	}

	return -ENOMEM;
}

/* Blocks */

static void __init kho_clear_blocks(struct kho_reader *r, unsigned long start,
				    unsigned long end, unsigned int order)
{
	for (; start < end; start += 1UL << order)
		kho_radix_clear(r->tree, start, order);
}

/* The end of the run that begins at @bit; most end in the same word. */
static unsigned int __init kho_run_end(const unsigned long *leaf, unsigned int bit)
{
	unsigned long zeros = ~leaf[BIT_WORD(bit)] & BITMAP_FIRST_WORD_MASK(bit);

	if (likely(zeros))
		return round_down(bit, BITS_PER_LONG) + __ffs(zeros);
	return find_next_zero_bit(leaf, KHO_RADIX_LEAF_BITS, bit);
}

/* The first bit from @bit on that is set. */
static unsigned int __init kho_run_start(const unsigned long *leaf, unsigned int bit)
{
	unsigned long ones;

	if (bit == KHO_RADIX_LEAF_BITS)
		return bit;

	ones = leaf[BIT_WORD(bit)] & BITMAP_FIRST_WORD_MASK(bit);
	if (likely(ones))
		return round_down(bit, BITS_PER_LONG) + __ffs(ones);
	return find_next_bit(leaf, KHO_RADIX_LEAF_BITS, bit);
}

static bool __init kho_next_run(struct kho_reader *r, struct kho_source *s)
{
	for (; s->idx < s->last; s->idx++, s->bit = 0) {
		struct kho_node *node = &r->nodes[s->idx];
		unsigned long *leaf = phys_to_virt(node->pa);
		unsigned long base;
		unsigned int bit;

		if (node->level)
			continue;
		bit = kho_run_start(leaf, s->bit);
		if (bit == KHO_RADIX_LEAF_BITS)
			continue;

		base = kho_radix_key_pfn(node->key);
		s->bit = kho_run_end(leaf, bit);
		s->start = base + ((unsigned long)bit << s->order);
		s->end = base + ((unsigned long)s->bit << s->order);
		s->shared = node->shared;
		return true;
	}

	return false;
}

/* Take blocks off the run until the next one does not overlap taken memory. */
static bool __init kho_skip_taken(struct kho_reader *r, struct kho_source *s)
{
	const unsigned long size = 1UL << s->order;

	while (s->start < s->end) {
		const struct kho_span *taken = &r->taken[s->taken];
		unsigned long end;

		if (taken->end <= s->start) {
			s->taken++;
			continue;
		}

		s->limit = s->end;
		if (taken->start < s->end)
			s->limit = s->start;
		if (taken->start > s->start && taken->start < s->end)
			s->limit += round_down(taken->start - s->start, size);
		if (s->limit > s->start)
			return true;

		end = min(taken->end, s->end);
		end = s->start + round_up(end - s->start, size);
		r->nr_dropped += (end - s->start) >> s->order;
		kho_clear_blocks(r, s->start, end, s->order);
		s->start = end;
	}

	return false;
}

/* Make @s->start up to @s->limit something to look at, if any is left. */
static bool __init kho_source_fill(struct kho_reader *r, struct kho_source *s)
{
	if (s->is_nodes) {
		if (s->start < s->limit)
			return true;
		if (s->idx == s->last)
			return false;
		s->start = PHYS_PFN(r->by_pa[s->idx++].pa);
		s->limit = s->start + 1;
		return true;
	}

	do {
		if (s->start < s->limit || kho_skip_taken(r, s))
			return true;
	} while (kho_next_run(r, s));

	return false;
}

static void __init kho_reserve_doubtful(struct kho_reader *r,
					struct kho_source *s, unsigned long end)
{
	kho_emit(r, s->start, end);
	kho_clear_blocks(r, s->start, end, s->order);
	r->nr_doubtful += (end - s->start) >> s->order;
}

static __always_inline void kho_accept(struct kho_reader *r,
				       struct kho_source *s, unsigned long end)
{
	kho_emit(r, s->start, end);
	r->nr_blocks += (end - s->start) >> s->order;
}

/*
 * The run is accepted; so are those behind it in the same leaf, up to where
 * anything else begins, which is @next in other sources.
 */
static void __init kho_accept_more(struct kho_reader *r, struct kho_source *s,
				   unsigned long next)
{
	const unsigned long clear = min(next, r->taken[s->taken].start);
	const unsigned long *leaf = phys_to_virt(r->nodes[s->idx].pa);
	const unsigned long base = kho_radix_key_pfn(r->nodes[s->idx].key);
	unsigned int bit, end;

	for (;;) {
		bit = kho_run_start(leaf, s->bit);
		if (bit == KHO_RADIX_LEAF_BITS)
			break;
		end = kho_run_end(leaf, bit);
		if (base + ((unsigned long)end << s->order) > clear)
			break;

		s->bit = end;
		s->start = base + ((unsigned long)bit << s->order);
		s->end = base + ((unsigned long)end << s->order);
		kho_accept(r, s, s->end);
	}
	s->start = s->end;
	s->limit = s->end;
	r->done = max(r->done, s->end);
}

/*
 * Deal with the beginning of @s, which begins no later than any other source;
 * @next is where the first of the others begins.
 */
static void __init kho_source_consume(struct kho_reader *r, struct kho_source *s,
				      unsigned long next)
{
	const unsigned long size = 1UL << s->order;
	unsigned long end = s->limit;
	bool accepted = false;

	if (s->is_nodes) {
		kho_emit(r, s->start, end);
	} else if (s->shared) {
		kho_reserve_doubtful(r, s, end);
	} else if (s->start >= r->done && next - s->start >= size) {
		end = min(end, s->start + round_down(next - s->start, size));
		kho_accept(r, s, end);
		accepted = true;
	} else {
		end = s->start + size;
		kho_reserve_doubtful(r, s, end);
	}

	s->start = end;
	r->done = max(r->done, end);
	if (accepted && end == s->end)
		kho_accept_more(r, s, next);
}

static void __init kho_add_source(struct kho_reader *r, struct kho_source s)
{
	if (kho_source_fill(r, &s))
		r->sources[r->nr_sources++] = s;
}

static void __init kho_add_sources(struct kho_reader *r)
{
	unsigned long i, first = 0;

	kho_add_source(r, (struct kho_source){
		.last = r->nr_nodes,
		.is_nodes = true,
	});

	/* A node's order counts down along nodes; key 0 is in all orders. */
	for (i = 0; i < r->nr_nodes; i++) {
		unsigned int order;

		if (!r->nodes[i].key)
			first = i + 1;
		if (!r->nodes[i].key || r->nodes[i].key == U64_MAX)
			continue;

		order = kho_radix_key_order(r->nodes[i].key);
		if (i + 1 < r->nr_nodes && r->nodes[i + 1].key != U64_MAX &&
		    kho_radix_key_order(r->nodes[i + 1].key) == order)
			continue;

		kho_add_source(r, (struct kho_source){
			.idx = first,
			.last = i + 1,
			.order = order,
		});
		first = i + 1;
	}
}

/* Go through all sources at once, in order of addresses. */
static void __init kho_merge_sources(struct kho_reader *r)
{
	kho_add_sources(r);

	while (r->nr_sources) {
		unsigned long next = ULONG_MAX;
		struct kho_source *s = &r->sources[0];
		unsigned int i;

		for (i = 1; i < r->nr_sources; i++) {
			struct kho_source *t = &r->sources[i];

			if (t->start < s->start)
				swap(s, t);
			next = min(next, t->start);
		}

		kho_source_consume(r, s, next);
		if (!kho_source_fill(r, s))
			*s = r->sources[--r->nr_sources];
	}
}

/* Reserving and marking */

/* Enclose all ranges in at most @max. */
static int __init kho_coarsen(struct kho_reader *r, unsigned long max)
{
	phys_addr_t gap = 0;

	max = min(max + r->nr_taken, r->nr_ranges + 1);
	r->coarse = kho_alloc_array(max, sizeof(*r->coarse));
	if (!r->coarse)
		return -ENOMEM;

	r->max_coarse = max;
	while ((r->nr_coarse = kho_join_ranges(r, r->coarse, max, gap)) > max)
		gap = kho_next_gap(gap);
	return 0;
}

static void __init kho_free_coarse(struct kho_reader *r)
{
	if (r->coarse)
		memblock_free(r->coarse, r->max_coarse * sizeof(*r->coarse));
	r->coarse = NULL;
}

/* Whether the coarse ranges leave what is needed until they are refined. */
static bool __init kho_coarse_will_do(struct kho_reader *r)
{
	phys_addr_t total = memblock_phys_mem_size();
	phys_addr_t used = memblock_reserved_size();
	unsigned long i;

	for (i = 0; i < r->nr_coarse; i++)
		used += r->coarse[i].end - r->coarse[i].start;

	return used + total / KHO_EARLY_PART < total;
}

static int __init kho_reserve_coarse(struct kho_reader *r)
{
	unsigned long max = KHO_COARSE_RANGES;
	int err;

	for (;; max *= 8) {
		err = kho_coarsen(r, max);
		if (err || kho_coarse_will_do(r) || r->nr_coarse >= r->nr_ranges)
			break;
		kho_free_coarse(r);
	}

	/* All the memory that there is shall do. */
	if (err)
		err = kho_coarsen(r, 0);
	if (!err)
		err = memblock_reserve_sorted(r->coarse, r->nr_coarse,
					      MEMBLOCK_RSRV_NOINIT);
	return err;
}

/*
 * Reserve what is preserved instead of the coarse ranges. Ranges that get joined
 * become the coarse ones in the end, so memory that was allocated since is in
 * none of them.
 */
static void __init kho_reserve_ranges(struct kho_reader *r)
{
	while (r->nr_ranges > r->nr_coarse &&
	       memblock_refine_sorted(r->coarse, r->nr_coarse, r->ranges,
				      r->nr_ranges, MEMBLOCK_RSRV_NOINIT))
		kho_compact_ranges(r, r->nr_ranges - 1);
}

static bool __init kho_mark_leaf(const struct kho_radix_node *node, void *arg)
{
	const unsigned long *leaf = phys_to_virt(node->pa);
	unsigned long bit = 0, next, step = 1;
	unsigned int order;

	if (node->level)
		return true;

	order = kho_radix_key_order(node->key);
	if (order < pageblock_order)
		step = pageblock_nr_pages >> order;

	/* From pageblock to pageblock, as most are lazy. */
	while ((bit = find_next_bit(leaf, KHO_RADIX_LEAF_BITS, bit)) <
	       KHO_RADIX_LEAF_BITS) {
		next = round_down(bit, step) + step;
		if (kho_block_is_lazy(kho_radix_key_pfn(node->key + bit))) {
			bit = next;
			continue;
		}
		for_each_set_bit_from(bit, leaf, next)
			kho_mark_block(pfn_to_page(kho_radix_key_pfn(node->key + bit)),
				       order);
	}

	return false;
}

/* Struct pages */

/* All pageblocks that are preserved as a whole. */
static void __init kho_add_lazy(struct kho_reader *r)
{
	unsigned long i;

	kho_lazy_init(r->tree);
	for (i = 0; i < r->nr_ranges; i++)
		kho_lazy_add(PHYS_PFN(r->ranges[i].start),
			     PHYS_PFN(r->ranges[i].end));
	for (i = 0; i < r->nr_gaps; i++)
		kho_lazy_remove(r->gaps[i].start, r->gaps[i].end);
	kho_lazy_start();
}

/* Set up those of [@pfn, @end), a pageblock, as far as it is memory. */
static void __init kho_init_pageblock(unsigned long pfn, unsigned long end)
{
	for (; pfn < end; pfn++)
		if (memblock_is_map_memory(PFN_PHYS(pfn)))
			init_deferred_page(pfn, early_pfn_to_nid(pfn));
}

/*
 * Where struct pages are set up later than this. What is preserved may be freed
 * before that, and then the page allocator looks at its neighbours: at the other
 * pages of the same pageblock, and at the first ones of others.
 */
static void __init kho_init_deferred(struct kho_reader *r)
{
	unsigned long i, pfn = 0, next;

	for (i = 0; i < r->nr_ranges; i++) {
		unsigned long start = PHYS_PFN(r->ranges[i].start);
		unsigned long end = PHYS_PFN(r->ranges[i].end);

		pfn = max(pfn, round_down(start, MAX_ORDER_NR_PAGES));
		for (; pfn < round_up(end, MAX_ORDER_NR_PAGES); pfn = next) {
			bool lazy = kho_block_is_lazy(pfn);

			next = pfn + pageblock_nr_pages;
			kho_init_pageblock(pfn, lazy ? pfn + 1 : next);
			if (lazy)
				__SetPageReserved(pfn_to_page(pfn));
		}
	}
}

static void __init kho_report_damage(struct kho_reader *r)
{
	if (r->nr_bad_nodes || r->nr_dropped || r->nr_doubtful)
		pr_warn("the preserved-memory map is damaged: %lu bad nodes, %lu blocks of foreign memory, %lu doubtful blocks\n",
			r->nr_bad_nodes, r->nr_dropped, r->nr_doubtful);
}

static void __init kho_report_ranges(struct kho_reader *r)
{
	pr_debug("%lu blocks in %lu ranges, %lu at first, %lu nodes, %lu pages withheld in %lu gaps\n",
		 r->nr_blocks, r->nr_ranges, r->nr_coarse, r->nr_nodes,
		 r->nr_withheld, r->nr_gaps);

	if (r->gap)
		pr_warn("short of memory, gaps of up to %pa bytes are reserved with what is preserved\n",
			&r->gap);
}

static void __init kho_reader_free(struct kho_reader *r)
{
	if (r->taken)
		memblock_free(r->taken, r->max_taken * sizeof(*r->taken));
	if (r->ranges)
		memblock_free(r->ranges, r->max_ranges * sizeof(*r->ranges));
	if (r->gaps)
		memblock_free(r->gaps, r->max_gaps * sizeof(*r->gaps));
	kho_free_coarse(r);
}

static void __init kho_nodes_free(struct kho_reader *r)
{
	if (r->nodes)
		memblock_free(r->nodes, r->max_nodes * sizeof(*r->nodes));
	if (r->by_pa)
		memblock_free(r->by_pa, r->max_nodes * sizeof(*r->by_pa));
}

/**
 * kho_early_size - what a kernel allocates before it has read the map
 *
 * Besides the arrays of the reader, which does with less if need be, that is
 * page tables, ACPI tables, the log and the like.
 *
 * Return: size in bytes of the scratch memory that is needed for it.
 */
u64 kho_early_size(void)
{
	return SZ_8M + PFN_PHYS(get_num_physpages()) / 2048;
}

/**
 * kho_image_room - how much can be loaded for the next kernel
 *
 * Return: bytes that there are for an image, unpacked, and its initrd together.
 */
u64 kho_image_room(void)
{
	u64 size = 0, early = kho_early_size();
	unsigned int i;

	for (i = 0; i < kho_scratch_cnt; i++)
		size = max_t(u64, size, kho_scratch[i].size);

	return size > early ? size - early : 0;
}

/**
 * kho_incoming_read - make the previous kernel's map this one's own
 * @tree: set to the map
 * @root_pa: its root
 * @early: struct pages are not set up yet
 *
 * Removes entries that make no sense, and reserves what is preserved and some
 * of what lies between.
 *
 * Context: While memblock allocates from scratch areas only. Others may be
 * allowed from then on.
 * Return: 0, -EINVAL if there is no map at @root_pa, or -ENOMEM.
 */
int __init kho_incoming_read(struct kho_radix *tree, u64 root_pa, bool early)
{
	struct kho_reader *r = &kho_reader;
	int err;

	if (!kho_node_is_sane(root_pa))
		return -EINVAL;

	tree->root = phys_to_virt(root_pa);
	r->tree = tree;

	err = kho_collect_nodes(r, root_pa);
	if (!err)
		err = kho_collect_taken(r);
	if (!err)
		err = kho_alloc_ranges(r);
	if (!err) {
		kho_merge_sources(r);
		kho_report_damage(r);
		err = kho_reserve_coarse(r);
	}
	if (!err && early)
		kho_add_lazy(r);
	kho_nodes_free(r);
	if (err) {
		tree->root = NULL;
		kho_reader_free(r);
	}
	return err;
}

/**
 * kho_incoming_settle - reserve exactly what is preserved, and mark the blocks
 *
 * Makes the blocks restorable, and leaves the rest to the page allocator.
 *
 * Context: After kho_incoming_read(), when struct pages are set up, as long as
 * memblock is in use.
 */
void __init kho_incoming_settle(void)
{
	struct kho_reader *r = &kho_reader;

	kho_reserve_ranges(r);
	kho_report_ranges(r);
	if (IS_ENABLED(CONFIG_DEFERRED_STRUCT_PAGE_INIT))
		kho_init_deferred(r);
	kho_radix_walk(r->tree, kho_mark_leaf, NULL);
	if (r->nr_gaps) {
		kho_gaps_keep(r->gaps, r->nr_gaps, r->max_gaps);
		r->gaps = NULL;
	}
	kho_reader_free(r);
}

/**
 * kho_incoming_adopt - kho_incoming_read() and kho_incoming_settle()
 * @tree: set to the map
 * @root_pa: its root
 *
 * Context: While memblock allocates from scratch areas only, when struct pages
 * are set up.
 * Return: as kho_incoming_read().
 */
int __init kho_incoming_adopt(struct kho_radix *tree, u64 root_pa)
{
	int err = kho_incoming_read(tree, root_pa, false);

	if (!err)
		kho_incoming_settle();
	return err;
}

/**
 * kho_incoming_test - look up a block before the map is adopted
 * @root_pa: root of the map
 * @pfn: first page of the block
 * @order: log2 of its size in pages
 * @clear: take it out of the map
 *
 * Return: true if the block was in the map.
 */
bool __init kho_incoming_test(u64 root_pa, unsigned long pfn,
			      unsigned int order, bool clear)
{
	u64 key = kho_radix_key(pfn, order), pa = root_pa;
	unsigned long bit = key & (KHO_RADIX_LEAF_BITS - 1);
	unsigned int level;

	for (level = KHO_RADIX_ROOT_LEVEL; level; level--) {
		if (!kho_node_is_sane(pa))
			return false;
		pa = ((u64 *)phys_to_virt(pa))[key >> kho_radix_shift(level) &
					       (KHO_RADIX_TABLE_ENTRIES - 1)];
	}
	if (!kho_node_is_sane(pa))
		return false;

	return clear ? test_and_clear_bit(bit, phys_to_virt(pa)) :
		       test_bit(bit, phys_to_virt(pa));
}
