// SPDX-License-Identifier: GPL-2.0-only
/*
 * The blocks of the previous kernel's map: which can be restored.
 *
 * All orders are gone through at once by ascending address, so that what
 * overlaps meets. The result are the ranges to reserve.
 */

#include <linux/bitmap.h>
#include <linux/find.h>
#include <linux/init.h>
#include <linux/io.h>
#include <linux/limits.h>
#include <linux/log2.h>
#include <linux/math.h>
#include <linux/memblock.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/pfn.h>
#include <linux/sort.h>

#include "../kexec_handover_internal.h"
#include "kho_gaps.h"
#include "kho_radix.h"
#include "kho_reader.h"

/* What kho_emit() can do with if memory is short. */
#define KHO_MIN_RANGES		256UL

/* Larger gaps cost little for each of their pages. */
#define KHO_MAX_GAP		16UL

/* Parts of RAM that may be withheld: 1 / this. */
#define KHO_WITHHELD_PART	16

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
int __init kho_collect_taken(struct kho_reader *r)
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

phys_addr_t __init kho_next_gap(phys_addr_t gap)
{
	return gap ? gap * 2 : PAGE_SIZE;
}

/* Join ranges that are @gap apart; returns their number, at most @max + 1. */
unsigned long __init kho_join_ranges(struct kho_reader *r,
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
void __init kho_compact_ranges(struct kho_reader *r, unsigned long max)
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
void *__init kho_alloc_array(unsigned long nr, size_t size)
{
	return memblock_alloc_raw(array_size(nr, size), PAGE_SIZE);
}

/* Without, all gaps are freed at once. Whole pages: see kho_gaps_keep(). */
static void __init kho_alloc_gaps(struct kho_reader *r)
{
	unsigned long max = round_up(r->max_ranges, PAGE_SIZE / sizeof(*r->gaps));

	r->gaps = kho_alloc_array(max, sizeof(*r->gaps));
	if (!r->gaps)
		return;

	r->max_gaps = max;
	r->max_withheld = PHYS_PFN(memblock_phys_mem_size()) / KHO_WITHHELD_PART;
}

int __init kho_alloc_ranges(struct kho_reader *r)
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
void __init kho_merge_sources(struct kho_reader *r)
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
