// SPDX-License-Identifier: GPL-2.0-only
/*
 * Make a memfd on huge pages again from what another kernel left of it.
 *
 * The records are checked and copied first. So what is done with them does not
 * depend on what becomes of the originals, which a damaged record may name for
 * another file, too.
 */

#define pr_fmt(fmt) "hugetlb: " fmt

#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hugetlb_luo.h>
#include <linux/kexec_handover.h>
#include <linux/kho/abi/memfd_hugepages.h>
#include <linux/liveupdate.h>
#include <linux/memblock.h>
#include <linux/pagevec.h>
#include <linux/printk.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <uapi/linux/memfd.h>

#include "hugetlb_luo.h"
#include "internal.h"
#include "memfd_luo.h"

/* A file that came in, and copies of what was checked. */
struct hugetlb_incoming {
	struct memfd_hugepages_ser *ser;
	struct memfd_walk walk;
	unsigned int order;
	bool split;		/* a block is in several zones of this kernel */
	unsigned long end;	/* huge pages that begin within the size */
	struct hugetlb_record *records;	/* in order of the index */
	unsigned long nr;
	unsigned long room;
	bool unsorted;
	gfp_t gfp;
	struct memfd_hugepages_range_ser *ranges;
	unsigned long nr_ranges;
};

/* ---- checking ---- */

static void hugetlb_incoming_free(struct hugetlb_incoming *in)
{
	kvfree(in->records);
	kvfree(in->ranges);
}

/* As many again as were read and make sense: a header may say anything. */
static int hugetlb_more_room(struct hugetlb_incoming *in)
{
	unsigned long room = max(2 * in->room, PAGE_SIZE / sizeof(*in->records));
	void *records = kvrealloc(in->records, array_size(room, sizeof(*in->records)),
				  in->gfp | __GFP_NOWARN);

	if (!records)
		return -ENOMEM;

	in->records = records;
	in->room = room;
	return 0;
}

static bool hugetlb_block_is_split(phys_addr_t phys, unsigned int order)
{
	return order > MAX_PAGE_ORDER &&
	       pfn_range_intersects_zones(NUMA_NO_NODE, PHYS_PFN(phys), 1UL << order);
}

/* The guest waits for this, page by page: what does not change is in variables here. */
static bool hugetlb_copy_checked(struct hugetlb_incoming *in,
				 const struct memfd_folio_ser *records, unsigned int nr,
				 phys_addr_t *phys)
{
	const pgoff_t end = memfd_end(in->ser->memfd.size);
	struct hugetlb_record *to = in->records + in->nr;
	const unsigned int order = in->order;
	u64 sum = 0, last = in->nr ? to[-1].index : 0;
	bool unsorted = false;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		const struct memfd_folio_ser record = records[i];

		if (!memfd_record_fits(&record, end, order))
			return false;
		sum += memfd_sum(record.pfn_flags, record.index);
		phys[i] = PFN_PHYS(memfd_record_pfn(&record));
		to[i].phys = phys[i];
		to[i].index = record.index >> order;
		unsorted |= to[i].index < last;
		last = to[i].index;
	}
	in->walk.sum += sum;
	in->unsorted |= unsorted;
	return true;
}

static int hugetlb_visit_check(struct memfd_walk *walk,
			       const struct memfd_folio_ser *records,
			       unsigned int nr)
{
	struct hugetlb_incoming *in = container_of(walk, struct hugetlb_incoming, walk);
	phys_addr_t phys[PAGEVEC_SIZE];
	unsigned int i;

	if (in->nr + nr > in->room && hugetlb_more_room(in))
		return -ENOMEM;
	if (!hugetlb_copy_checked(in, records, nr, phys) ||
	    !kho_blocks_wait(phys, nr, in->order))
		return -EBADMSG;

	in->nr += nr;
	/* Smaller blocks are in one zone wherever zones begin. */
	for (i = 0; in->order > MAX_PAGE_ORDER && i < nr; i++)
		in->split |= hugetlb_block_is_split(phys[i], in->order);
	return 0;
}

static int hugetlb_cmp_records(const void *a, const void *b)
{
	const struct hugetlb_record *x = a, *y = b;

	return x->index < y->index ? -1 : x->index > y->index;
}

/* Holes that were filled while the file was held come behind the others. */
static void hugetlb_sort_records(struct hugetlb_incoming *in)
{
	if (in->unsorted)
		sort(in->records, in->nr, sizeof(*in->records), hugetlb_cmp_records,
		     NULL);
}

static int hugetlb_copy_records(struct hugetlb_incoming *in)
{
	u64 max = min(in->end, max_pfn >> in->order);
	int err;

	/* Each has a place of its own, in the file and in memory. */
	if (in->ser->memfd.nr_folios > max)
		return -EBADMSG;

	err = hugetlb_more_room(in);
	if (err)
		return err;
	in->walk.ser = &in->ser->memfd;
	in->walk.visit = hugetlb_visit_check;
	if (in->ser->ranges)
		in->walk.sum = memfd_sum(in->ser->ranges, in->ser->nr_ranges);
	err = memfd_walk(&in->walk);
	if (!err && !memfd_sum_ok(&in->walk))
		err = -EBADMSG;
	if (!err)
		hugetlb_sort_records(in);
	return err;
}

static bool hugetlb_ranges_ok(const struct hugetlb_incoming *in)
{
	unsigned long i;
	u64 last = 0;

	for (i = 0; i < in->nr_ranges; i++) {
		if (in->ranges[i].from < last || in->ranges[i].to <= in->ranges[i].from)
			return false;
		last = in->ranges[i].to;
	}
	return last <= in->end;
}

static int hugetlb_copy_ranges(struct hugetlb_incoming *in)
{
	const void *ranges;
	size_t size;

	in->nr_ranges = in->ser->nr_ranges;
	if (!in->ser->ranges)
		return in->nr_ranges ? -EBADMSG : 0;
	size = array_size(in->nr_ranges, sizeof(*in->ranges));
	ranges = size ? kho_peek(in->ser->ranges, size) : NULL;
	if (!ranges)
		return -EBADMSG;

	in->ranges = kvmalloc(size, in->gfp);
	if (!in->ranges)
		return -ENOMEM;

	memcpy(in->ranges, ranges, size);
	return hugetlb_ranges_ok(in) ? 0 : -EBADMSG;
}

/*
 * Returns 0 or -EOPNOTSUPP if everything is there and nobody else's, in the
 * latter case for another kernel than this; if so, and the records could be
 * copied, @in has them.
 */
static int hugetlb_check(struct hugetlb_incoming *in,
			 const struct liveupdate_file_op_args *args)
{
	int header, err;

	in->ser = kho_peek(args->serialized_data, PAGE_SIZE);
	if (!in->ser || in->ser->ext.magic != MEMFD_EXT_MAGIC ||
	    in->ser->ext.version < 2)
		return -EBADMSG;

	header = memfd_check_header(&in->ser->memfd, args);
	if (header == -EBADMSG)
		return header;
	in->order = in->ser->order;
	if (!in->order || in->order >= BITS_PER_LONG - PAGE_SHIFT)
		return -EBADMSG;
	if (in->order > MAX_FOLIO_ORDER)
		return -EOPNOTSUPP;

	in->end = (memfd_end(in->ser->memfd.size) + (1UL << in->order) - 1) >> in->order;
	err = hugetlb_copy_ranges(in) ?: hugetlb_copy_records(in);
	if (err)
		return err;
	if (in->split || !size_to_hstate(PAGE_SIZE << in->order))
		return -EOPNOTSUPP;
	return header;
}

/* ---- using records up ---- */

static int hugetlb_visit_used(struct memfd_walk *walk,
			      const struct memfd_folio_ser *records,
			      unsigned int nr)
{
	return 0;
}

static void hugetlb_free_block(phys_addr_t phys)
{
	struct folio *folio = kho_restore_folio(phys);

	if (folio)
		folio_put(folio);
}

/* Free what held the records; the folios have been taken care of. */
static void hugetlb_free_records(u64 phys)
{
	struct folio *handle = kho_restore_folio_of(phys, 0);
	struct memfd_walk walk = {
		.consume = true,
		.visit = hugetlb_visit_used,
	};
	struct memfd_hugepages_ser *ser;

	if (!handle)
		return;

	ser = folio_address(handle);
	if (ser->ranges)
		hugetlb_free_block(ser->ranges);
	walk.ser = &ser->memfd;
	memfd_walk(&walk);
	folio_put(handle);
}

/* ---- the file ---- */

static int hugetlb_plan_records(struct hugetlb_incoming *in,
				struct hugetlb_adoption *adoption)
{
	const struct hugetlb_record *records = in->records;
	unsigned long i, next;
	int err;

	for (i = 0; i < in->nr; i = next) {
		next = i + 1;
		while (next < in->nr &&
		       records[next].index == records[next - 1].index + 1)
			next++;

		err = hugetlb_adopt_plan(adoption, records[i].index,
					 records[next - 1].index + 1);
		if (err)
			return err == -EEXIST ? -EBADMSG : err;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/* How many of the records, which come in the same order, lie before @end. */
static unsigned long hugetlb_records_before(struct hugetlb_incoming *in,
					    unsigned long i, unsigned long end)
{
	while (i < in->nr && in->records[i].index < end)
		i++;
	return i;
}

static int hugetlb_reserve_ranges(struct hugetlb_incoming *in, struct inode *inode)
{
	unsigned long i, first, last = 0;

	for (i = 0; i < in->nr_ranges; i++) {
		first = hugetlb_records_before(in, last, in->ranges[i].from);
		last = hugetlb_records_before(in, first, in->ranges[i].to);
		/* Without holes all is planned: do not look for it. */
		if (last - first == in->ranges[i].to - in->ranges[i].from)
			continue;

		if (hugetlb_reserve_pages(inode, in->ranges[i].from,
					  in->ranges[i].to, NULL, 0) < 0)
			return -ENOMEM;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/* Records of one node that follow each other are counted at once. */
static void hugetlb_join_records(struct hugetlb_incoming *in,
				 struct hugetlb_adoption *adoption)
{
	unsigned long i, next;
	int nid;

	for (i = 0; i < in->nr; i = next) {
		nid = hugetlb_record_nid(&in->records[i]);
		for (next = i + 1; next < in->nr; next++) {
			if (hugetlb_record_nid(&in->records[next]) != nid)
				break;
		}
		hugetlb_adopt_join(adoption, nid, next - i);
		cond_resched();
	}
}

/* As kho_restore_folios(), which leaves out what is larger than a block. */
static unsigned int hugetlb_restore_folios(struct hugetlb_incoming *in,
					   const phys_addr_t *phys, unsigned int nr,
					   struct folio **folios)
{
	unsigned int i;

	if (in->order <= MAX_PAGE_ORDER)
		return kho_restore_folios(phys, nr, folios);

	for (i = 0; i < nr; i++) {
		folios[i] = kho_restore_folio_of(phys[i], in->order);
		if (!folios[i])
			break;
		cond_resched();
	}
	return i;
}

/* There is no way back from here. What comes twice makes the file useless. */
static int hugetlb_adopt_records(struct hugetlb_incoming *in,
				 struct hugetlb_adoption *adoption)
{
	struct folio *folios[PAGEVEC_SIZE];
	phys_addr_t phys[PAGEVEC_SIZE];
	unsigned long i, j, nr, done;
	LIST_HEAD(list);
	int err = 0;

	for (i = 0; i < in->nr; i += done) {
		const struct hugetlb_record *records = &in->records[i];

		nr = min(in->nr - i, PAGEVEC_SIZE);
		for (j = 0; j < nr; j++)
			phys[j] = records[j].phys;

		done = hugetlb_restore_folios(in, phys, nr, folios);
		for (j = 0; j < done; j++)
			hugetlb_adopt_add(adoption, folios[j], records[j].index, &list);
		if (done < nr) {
			hugetlb_adopt_skip(adoption, records[done].index,
					   hugetlb_record_nid(&records[done]));
			done++;
			err = -EBADMSG;
		}
		cond_resched();
	}
	if (hugetlb_adopt_take(adoption, &list))
		err = -EBADMSG;
	hugetlb_adopt_end(adoption);
	return err;
}

static int hugetlb_fill(struct hugetlb_incoming *in, struct file *file,
			struct liveupdate_file_op_args *args)
{
	struct hugetlb_adoption adoption;
	u32 seals = in->ser->memfd.seals;
	struct hugetlb_demand *demand;
	int err;

	err = hugetlb_adopt_begin(&adoption, file_inode(file), in->nr);
	if (err)
		return err;
	err = hugetlb_plan_records(in, &adoption) ?:
	      hugetlb_reserve_ranges(in, file_inode(file));
	if (err) {
		hugetlb_adopt_cancel(&adoption);
		return err;
	}

	hugetlb_join_records(in, &adoption);
	demand = hugetlb_demand_new(in->ser, in->records, in->nr);
	if (demand) {
		in->records = NULL;
		hugetlb_demand_start(demand, &adoption);
	} else {
		err = hugetlb_adopt_records(in, &adoption);
	}
	hugetlb_free_records(args->serialized_data);
	if (err) {
		/* The handle is gone, and its page may get another owner. */
		args->serialized_data = 0;
		return err;
	}
	memfd_apply_seals(file, seals);
	return 0;
}

int hugetlb_luo_retrieve(struct liveupdate_file_op_args *args)
{
	struct hugetlb_incoming in = {
		.walk.killable = true,
		.gfp = GFP_KERNEL_ACCOUNT,
	};
	unsigned int shift;
	struct file *file;
	int err;

	err = hugetlb_check(&in, args);
	if (err)
		goto out;

	/* Too many files or no memory: it may be better next time. */
	shift = in.order + PAGE_SHIFT;
	file = memfd_make(&in.ser->memfd, MFD_HUGETLB | shift << MFD_HUGE_SHIFT);
	if (IS_ERR(file)) {
		err = -ENOMEM;
		goto out;
	}

	err = hugetlb_fill(&in, file, args);
	if (err)
		fput(file);
	else
		args->file = file;
out:
	args->private_data = err == -ENOMEM ? args->handler : NULL;
	hugetlb_incoming_free(&in);
	return err;
}

/*
 * All is there, and the pool or a limit may be raised: who gives up, or dies, does
 * not take the file with him.
 */
bool hugetlb_luo_can_finish(struct liveupdate_file_op_args *args)
{
	return args->retrieve_status == 1 || !args->private_data;
}

/* What is in several zones here can't be a huge page of the pool. */
static void hugetlb_free_split(struct hstate *h, phys_addr_t phys, unsigned int order)
{
	struct page *page = kho_restore_pages(phys, 1UL << order);
	unsigned long i;

	if (!page)
		return;

	if (h)
		hugetlb_expect_less(h, page_to_nid(page));
	for (i = 0; i < 1UL << order; i++) {
		__free_page(page + i);
		cond_resched();
	}
}

static void hugetlb_return_records(struct hugetlb_incoming *in)
{
	struct hstate *h = size_to_hstate(PAGE_SIZE << in->order);
	LIST_HEAD(folios);
	unsigned long i;

	for (i = 0; i < in->nr; i++) {
		phys_addr_t phys = in->records[i].phys;
		struct folio *folio = kho_restore_folio_of(phys, in->order);

		if (folio)
			hugetlb_return_add(h, folio, &folios);
		else if (hugetlb_block_is_split(phys, in->order))
			hugetlb_free_split(h, phys, in->order);
		cond_resched();
	}
	hugetlb_return_end(h, &folios);
}

void hugetlb_luo_finish(struct liveupdate_file_op_args *args)
{
	struct hugetlb_incoming in = { .gfp = GFP_KERNEL | __GFP_NOFAIL };
	int err;

	if (args->retrieve_status == 1 || !args->serialized_data)
		return;

	err = hugetlb_check(&in, args);
	if (in.records && (!err || err == -EOPNOTSUPP)) {
		hugetlb_return_records(&in);
		hugetlb_free_records(args->serialized_data);
	} else {
		pr_warn_ratelimited("token %llu: damaged or another file's: its memory stays reserved\n",
				    args->token);
		args->retrieve_status = -EBADMSG;
	}
	hugetlb_incoming_free(&in);
}
