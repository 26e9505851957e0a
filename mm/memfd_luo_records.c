// SPDX-License-Identifier: GPL-2.0-only
/*
 * The records of a memfd for the next kernel: writing, and reading what another
 * kernel wrote.
 *
 * They lie in single pages that are linked like the pages of a vmalloc area, so
 * that neither side needs memory in one piece for a large file.
 */

#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/kho/place.h>
#include <linux/memblock.h>
#include <linux/mm.h>
#include <linux/pagevec.h>
#include <linux/sched/signal.h>
#include <linux/sched/user.h>

#include "memfd_luo.h"

/* Over a page of records that is not full, while it is put aside. */
struct memfd_stash {
	struct memfd_folio_ser records[RECORDS_PER_PAGE - 1];
	struct memfd_stash *next;
	unsigned long nr;
};

static_assert(sizeof(struct memfd_stash) == PAGE_SIZE);

/* ---- RLIMIT_MEMLOCK ---- */

/*
 * From now on the file counts as locked by this task's user: all of its size,
 * as what fills a hole later can't go away either.
 */
int memfd_limit(struct memfd_luo *m)
{
	unsigned long pages = memfd_end(i_size_read(file_inode(m->file)));
	unsigned long max = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT;
	struct user_struct *user = current_user();
	unsigned long locked;

	if (capable(CAP_IPC_LOCK))
		return 0;

	locked = atomic_long_read(&user->locked_vm);
	do {
		if (locked > max || pages > max - locked)
			return -ENOMEM;
	} while (!atomic_long_try_cmpxchg(&user->locked_vm, &locked,
					  locked + pages));
	m->user = get_uid(user);
	m->locked = pages;
	return 0;
}

static void memfd_unlimit(struct memfd_luo *m)
{
	if (!m->user)
		return;

	atomic_long_sub(m->locked, &m->user->locked_vm);
	free_uid(m->user);
}

/* ---- writing ---- */

/* Not zeroed: that would cost more than all else for a small file. */
void *memfd_page_alloc(void)
{
	struct folio *folio = kho_folio_alloc(GFP_KERNEL_ACCOUNT, 0);
	int err;

	if (!folio)
		return ERR_PTR(-ENOMEM);

	err = kho_preserve_folio(folio);
	if (err) {
		folio_put(folio);
		return ERR_PTR(err);
	}
	return folio_address(folio);
}

static struct kho_vmalloc_chunk *memfd_chunk_add(struct memfd_luo *m)
{
	struct kho_vmalloc_chunk *chunk = memfd_page_alloc();

	if (IS_ERR(chunk))
		return chunk;

	chunk->next = 0;
	chunk->phys[0] = 0;
	if (memfd_has_index(m))
		((struct memfd_index_ser *)chunk)->end = 0;
	if (m->chunk)
		m->chunk->next = virt_to_phys(chunk);
	else
		m->ser->folios.first = virt_to_phys(chunk);
	memfd_sum_add(m->ser, virt_to_phys(chunk), 0);
	m->chunk = chunk;
	return chunk;
}

/* How many records fit into the page being filled. */
static unsigned int memfd_records_room(struct memfd_luo *m)
{
	return (u64)m->ser->folios.total_pages * RECORDS_PER_PAGE -
	       m->ser->nr_folios;
}

/* How many pages of records a page of the list has. */
static unsigned int memfd_chunk_pages(const struct memfd_luo *m)
{
	return memfd_has_index(m) ? MEMFD_INDEX_PAGES : KHO_VMALLOC_CHUNK_ENTRIES;
}

/* Add a page of records to the list. */
static int memfd_list_add(struct memfd_luo *m, u64 phys)
{
	struct kho_vmalloc *area = &m->ser->folios;
	unsigned int slot = area->total_pages % memfd_chunk_pages(m);
	struct kho_vmalloc_chunk *chunk;

	if (area->total_pages == U32_MAX)
		return -EFBIG;

	if (!slot) {
		chunk = memfd_chunk_add(m);
		if (IS_ERR(chunk))
			return PTR_ERR(chunk);
	}

	if (slot + 1 < KHO_VMALLOC_CHUNK_ENTRIES)
		m->chunk->phys[slot + 1] = 0;
	m->chunk->phys[slot] = phys;
	memfd_sum_add(m->ser, phys, 0);
	area->flags = KHO_VMALLOC_ALLOC;
	area->total_pages++;
	return 0;
}

static int memfd_records_grow(struct memfd_luo *m)
{
	void *records = memfd_page_alloc();
	int err;

	if (IS_ERR(records))
		return PTR_ERR(records);

	err = memfd_list_add(m, virt_to_phys(records));
	if (err) {
		kho_unpreserve_free(records);
		return err;
	}
	m->records = records;
	return 0;
}

/* Where the index has what it says of the last page of records. */
static unsigned int memfd_index_slot(const struct memfd_luo *m)
{
	return (m->ser->folios.total_pages - 1) % MEMFD_INDEX_PAGES;
}

/* Note what was recorded last. */
static void memfd_index_add(struct memfd_luo *m, const struct memfd_folio_ser *record,
			    unsigned long nr_pages)
{
	struct memfd_index_ser *index = (void *)m->chunk;
	unsigned int slot = memfd_index_slot(m);

	if (record == m->records) {
		index->first[slot] = record->index;
		index->sum[slot] = 0;
	}
	index->sum[slot] += memfd_sum(record->pfn_flags, record->index);

	if (record->index < m->next_index)
		m->sorted = min(m->sorted, m->ser->folios.total_pages - 1);
	m->next_index = record->index + nr_pages;
}

/**
 * memfd_index_end - Make the index that of all that was recorded.
 * @m: Memfd that has one, or not.
 */
void memfd_index_end(struct memfd_luo *m)
{
	struct memfd_ext_ser *ext = memfd_ext(m->ser);
	u32 i, slot, total = m->ser->folios.total_pages;
	u64 phys = m->ser->folios.first;
	struct memfd_index_ser *index = NULL;

	if (!memfd_has_index(m))
		return;

	ext->sorted = min(m->sorted, total);
	ext->pages = m->pages;
	ext->index_sum = memfd_sum(ext->sorted, ext->pages);
	for (i = 0; i < total; i++) {
		slot = i % MEMFD_INDEX_PAGES;
		if (!slot) {
			index = phys_to_virt(phys);
			phys = index->next;
		}
		ext->index_sum += memfd_sum(index->first[slot], index->sum[slot]);
	}
	ext->version = MEMFD_EXT_VERSION_INDEX;
}

static void memfd_record(struct memfd_luo *m, struct memfd_folio_ser of,
			 unsigned long nr_pages)
{
	struct memfd_folio_ser *record;

	record = &m->records[m->ser->nr_folios++ % RECORDS_PER_PAGE];
	*record = of;
	memfd_sum_add(m->ser, of.pfn_flags, of.index);
	if (memfd_has_index(m))
		memfd_index_add(m, record, nr_pages);
}

/*
 * A folio may be written after it was recorded, through a mapping without any
 * sign of it in the folio. So each is recorded as dirty, else the next kernel
 * might drop it under pressure, and as uptodate, else it would be cleared.
 */
static void memfd_record_folio(struct memfd_luo *m, struct folio *folio)
{
	struct memfd_folio_ser record = {
		.pfn_flags = folio_pfn(folio) | MEMFD_FOLIO_DIRTY | MEMFD_FOLIO_UPTODATE,
		.index = folio->index,
	};

	memfd_record(m, record, folio_nr_pages(folio));
	m->pages += folio_nr_pages(folio);
}

/*
 * Who needs ZONE_MOVABLE or a CMA area empty counts on that what is there can be
 * moved. KHO itself refuses scratch areas only, with the same error.
 */
static int memfd_check_place(struct memfd_luo *m, struct folio **folios,
			     unsigned int nr)
{
	if (!m->check_place)
		return 0;

	while (nr--) {
		if (!folio_is_longterm_pinnable(folios[nr]))
			return -EINVAL;
	}
	return 0;
}

/*
 * Preserve and record folios. On an error those that were recorded, from the
 * first on, are pinned for good; returns how many or, if none, the error.
 */
int memfd_record_all(struct memfd_luo *m, struct folio **folios,
		     unsigned int nr)
{
	unsigned int i, done = 0, room;
	int err;

	while (done < nr) {
		room = memfd_records_room(m);
		if (!room) {
			err = memfd_records_grow(m);
			if (err)
				return done ?: err;
			continue;
		}

		room = min(room, nr - done);
		err = memfd_check_place(m, folios + done, room);
		if (err)
			return done ?: err;
		err = kho_preserve_folios(folios + done, room);
		if (err)
			return done ?: err;
		if (m->huge)
			hugetlb_pool_record(folios + done, room, 1);
		for (i = 0; i < room; i++)
			memfd_record_folio(m, folios[done++]);
	}
	return done;
}

/* ---- a page of records that stays as it is ---- */

/* Each page of records but the last is full: take the last one off the list. */
static void memfd_put_aside(struct memfd_luo *m, unsigned int nr)
{
	struct memfd_index_ser *index = (void *)m->chunk;
	unsigned int slot = memfd_index_slot(m);
	struct memfd_stash *stash = (void *)m->records;

	memfd_ext(m->ser)->sum -= memfd_sum(index->phys[slot], 0) + index->sum[slot];
	m->ser->nr_folios -= nr;
	stash->nr = nr;
	stash->next = m->stash;
	m->stash = stash;
}

/**
 * memfd_record_unit - Record a full page of records of the previous kernel.
 * @m:     Memfd that has an index.
 * @phys:  The page, which is preserved, and so are its folios.
 * @sum:   What its records add to the sum.
 * @first: Index of the first of its folios.
 * @end:   What comes behind its last.
 *
 * What was recorded before is of lower indices, and what comes next of others.
 *
 * Return: 0, or -ENOMEM or -EFBIG and nothing has changed.
 */
int memfd_record_unit(struct memfd_luo *m, u64 phys, u64 sum, u64 first, u64 end)
{
	unsigned int nr = m->ser->nr_folios % RECORDS_PER_PAGE, slot;
	struct memfd_index_ser *index;
	int err;

	if (nr) {
		memfd_put_aside(m, nr);
		m->chunk->phys[memfd_index_slot(m)] = phys;
		memfd_sum_add(m->ser, phys, 0);
	} else {
		err = memfd_list_add(m, phys);
		if (err)
			return err;
	}

	index = (void *)m->chunk;
	slot = memfd_index_slot(m);
	index->first[slot] = first;
	index->sum[slot] = sum;
	memfd_ext(m->ser)->sum += sum;
	m->ser->nr_folios += RECORDS_PER_PAGE;
	m->next_index = end;
	return 0;
}

/**
 * memfd_record_rest - Record behind all else what had to make room.
 * @m: Memfd, all of whose units were recorded.
 *
 * Return: 0, or -ENOMEM or -EFBIG.
 */
int memfd_record_rest(struct memfd_luo *m)
{
	struct memfd_stash *stash;
	int err;

	while ((stash = m->stash)) {
		for (; stash->nr; stash->nr--) {
			err = memfd_records_room(m) ? 0 : memfd_records_grow(m);
			if (err)
				return err;
			memfd_record(m, stash->records[stash->nr - 1], 1);
		}
		m->stash = stash->next;
		kho_unpreserve_free(stash);
		cond_resched();
	}
	return 0;
}

/* ---- undo, and memory errors ---- */

static void memfd_forget_page(struct memfd_luo *m, struct memfd_folio_ser *records,
			      unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		u64 pfn = memfd_record_pfn(&records[i]);
		struct folio *folio = pfn_folio(pfn);

		if (m->huge)
			hugetlb_pool_record(&folio, 1, -1);
		kho_unpreserve_folio(folio);
		folio_put(folio);
	}
	kho_unpreserve_free(records);
	cond_resched();
}

static void memfd_forget_chunk(struct memfd_luo *m, struct memfd_demand *d,
			       struct kho_vmalloc_chunk *chunk, u64 *left)
{
	const struct memfd_index_ser *index = (void *)chunk;
	unsigned int i, nr;

	for (i = 0; i < KHO_VMALLOC_CHUNK_ENTRIES && chunk->phys[i]; i++) {
		nr = min(*left, RECORDS_PER_PAGE);
		if (!d || !memfd_demand_take_back(d, index->phys[i], index->first[i]))
			memfd_forget_page(m, phys_to_virt(chunk->phys[i]), nr);
		*left -= nr;
	}
}

/* Undo memfd_limit() and all that was recorded. */
void memfd_forget(struct memfd_luo *m)
{
	struct memfd_demand *d = memfd_demand_of(m->file);
	struct kho_vmalloc *area = &m->ser->folios;
	struct kho_vmalloc_chunk *chunk;
	u64 left = m->ser->nr_folios;
	struct memfd_stash *stash;

	while (area->first) {
		chunk = phys_to_virt(area->first);
		memfd_forget_chunk(m, d, chunk, &left);
		area->first = chunk->next;
		kho_unpreserve_free(chunk);
	}
	while ((stash = m->stash)) {
		m->stash = stash->next;
		memfd_forget_page(m, stash->records, stash->nr);
	}
	if (d)
		memfd_demand_put(d);
	memfd_unlimit(m);
}

static bool memfd_page_poisoned(const struct memfd_folio_ser *records,
				unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		u64 pfn = memfd_record_pfn(&records[i]);

		if (folio_contain_hwpoisoned_page(pfn_folio(pfn)))
			return true;
	}
	cond_resched();
	return false;
}

static bool memfd_chunk_poisoned(struct memfd_demand *d,
				 const struct kho_vmalloc_chunk *chunk, u64 *left)
{
	const struct memfd_index_ser *index = (void *)chunk;
	unsigned int i, nr;
	int poisoned;

	for (i = 0; i < KHO_VMALLOC_CHUNK_ENTRIES && chunk->phys[i]; i++) {
		nr = min(*left, RECORDS_PER_PAGE);
		poisoned = d ? memfd_demand_poisoned(d, index->phys[i], index->first[i]) :
			       -ENOENT;
		if (poisoned < 0)
			poisoned = memfd_page_poisoned(phys_to_virt(chunk->phys[i]), nr);
		if (poisoned)
			return true;
		*left -= nr;
	}
	return false;
}

/* Whether a recorded folio is lost to a memory error. */
bool memfd_records_poisoned(struct memfd_luo *m)
{
	struct memfd_demand *d = memfd_demand_of(m->file);
	u64 phys = m->ser->folios.first, left = m->ser->nr_folios;
	const struct kho_vmalloc_chunk *chunk;
	bool poisoned = false;

	for (; phys && !poisoned; phys = chunk->next) {
		chunk = phys_to_virt(phys);
		poisoned = memfd_chunk_poisoned(d, chunk, &left);
	}
	if (d)
		memfd_demand_put(d);
	return poisoned;
}

/* ---- reading ---- */

static void *memfd_block_get(struct memfd_walk *walk, u64 phys, unsigned int order)
{
	struct folio *folio;

	if (!walk->consume) {
		walk->sum += memfd_sum(phys, 0);
		return kho_peek(phys, PAGE_SIZE << order);
	}

	folio = kho_restore_folio_of(phys, order);
	return folio ? folio_address(folio) : NULL;
}

static void memfd_block_put(struct memfd_walk *walk, void *block)
{
	if (walk->consume)
		folio_put(virt_to_folio(block));
}

/* Nobody writes so many records to say nothing: it is a page of somebody else. */
static bool memfd_records_blank(const struct memfd_folio_ser *records, u64 nr)
{
	u64 i;

	for (i = 0; i < nr; i++) {
		if (memfd_record_pfn(&records[i]))
			return false;
	}
	return nr;
}

static int memfd_walk_block(struct memfd_walk *walk, u64 phys)
{
	unsigned int order = walk->ser->folios.order;
	u64 i, step, nr = RECORDS_PER_PAGE << order;
	struct memfd_folio_ser *records;
	int err = 0;

	if (walk->area_left < 1UL << order)
		return -EBADMSG;
	if (walk->killable && fatal_signal_pending(current))
		return -EINTR;
	records = memfd_block_get(walk, phys, order);
	if (!records)
		return -EBADMSG;

	nr = min(nr, walk->left);
	if (!walk->consume && memfd_records_blank(records, nr))
		return -EBADMSG;
	for (i = 0; i < nr && !err; i += step) {
		step = min(nr - i, PAGEVEC_SIZE);
		err = walk->visit(walk, records + i, step);
		cond_resched();
	}
	memfd_block_put(walk, records);
	walk->left -= nr;
	walk->area_left -= 1UL << order;
	return err;
}

static int memfd_walk_chunk(struct memfd_walk *walk, u64 *phys)
{
	struct kho_vmalloc_chunk *chunk = kho_peek(*phys, PAGE_SIZE);
	unsigned int i;
	int err = 0;

	/* The last may be empty, and is left alone: zeros may be anybody's. */
	if (chunk && !chunk->phys[0]) {
		*phys = 0;
		return chunk->next ? -EBADMSG : 0;
	}
	chunk = memfd_block_get(walk, *phys, 0);
	if (!chunk)
		return -EBADMSG;

	*phys = chunk->next;
	for (i = 0; i < KHO_VMALLOC_CHUNK_ENTRIES && chunk->phys[i] && !err; i++)
		err = memfd_walk_block(walk, chunk->phys[i]);
	memfd_block_put(walk, chunk);
	return err;
}

/**
 * memfd_sum_ok - Say if records and what holds them are the file's.
 * @walk: Walk that has seen them all.
 *
 * Return: true if they are, or nothing says what they were.
 */
bool memfd_sum_ok(const struct memfd_walk *walk)
{
	const struct memfd_ext_ser *ext = (const void *)(walk->ser + 1);

	if (ext->magic == MEMFD_EXT_MAGIC ? ext->version < 3 :
					    ext->sum_magic != MEMFD_SUM_MAGIC)
		return true;
	return ext->sum == walk->sum;
}

/* Records and what they name have a place of their own each. */
static bool memfd_records_fit(const struct memfd_ser *ser)
{
	return ser->nr_folios <= max_pfn && ser->folios.total_pages <= max_pfn;
}

/*
 * Call visit for each record. Every chunk but the last takes its part of the
 * area's pages, of which there are no more than the machine has, so the walk
 * ends.
 */
int memfd_walk(struct memfd_walk *walk)
{
	const struct kho_vmalloc *area = &walk->ser->folios;
	u64 phys = area->first;
	int err;

	walk->left = walk->ser->nr_folios;
	walk->area_left = area->total_pages;
	if (area->order > MAX_PAGE_ORDER || !memfd_records_fit(walk->ser) ||
	    area->flags & ~(KHO_VMALLOC_ALLOC | KHO_VMALLOC_HUGE_VMAP))
		return -EBADMSG;

	while (phys) {
		err = memfd_walk_chunk(walk, &phys);
		if (err)
			return err;
	}
	return walk->area_left || walk->left ? -EBADMSG : 0;
}
