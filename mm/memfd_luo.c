// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keep memfds across live update.
 *
 * A preserved memfd is held: every folio is pinned and recorded, its size and
 * its seals stay, and a folio that fills a hole is tagged (see
 * SHMEM_SEAL_HELD). So its content may be written up to the jump, and freeze
 * has work only for the tagged folios.
 *
 * Records lie in single pages that are linked like the pages of a vmalloc
 * area, so that neither side needs memory in one piece for a large file.
 */

#define pr_fmt(fmt) "memfd: " fmt

#include <linux/cleanup.h>
#include <linux/file.h>
#include <linux/hugetlb.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/liveupdate.h>
#include <linux/memfd.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>
#include <linux/kho/abi/memfd.h>
#include <uapi/linux/memfd.h>

#include "internal.h"

#define RECORDS_PER_PAGE	(PAGE_SIZE / sizeof(struct memfd_folio_ser))

#define MEMFD_HANDLE_SIZE	(sizeof(struct memfd_ser) + \
				 sizeof(struct memfd_ext_ser))

static_assert(MEMFD_HANDLE_SIZE <= PAGE_SIZE);

/* Without huge pages there is nobody who could split a folio. */
#define MEMFD_MAX_ORDER		(IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE) ? \
				 MAX_PAGECACHE_ORDER : 0)

/* A preserved memfd. */
struct memfd_luo {
	struct file *file;
	struct memfd_ser *ser;
	u64 pages;

	/* The pages being filled. */
	struct kho_vmalloc_chunk *chunk;
	struct memfd_folio_ser *records;

	/* What hold changed. */
	gfp_t gfp;
	bool unevictable;
};

static struct memfd_ext_ser *memfd_ext(struct memfd_ser *ser)
{
	return (struct memfd_ext_ser *)(ser + 1);
}

/* Pages that begin within the size, which is the same as below it. */
static pgoff_t memfd_end(u64 size)
{
	return size ? ((size - 1) >> PAGE_SHIFT) + 1 : 0;
}

/* ---- records: writing ---- */

/* Not zeroed: that would cost more than all else for a small file. */
static void *memfd_page_alloc(void)
{
	struct folio *folio = folio_alloc(GFP_KERNEL_ACCOUNT, 0);
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
	if (m->chunk)
		m->chunk->next = virt_to_phys(chunk);
	else
		m->ser->folios.first = virt_to_phys(chunk);
	m->chunk = chunk;
	return chunk;
}

/* How many records fit into the page being filled. */
static unsigned int memfd_records_room(struct memfd_luo *m)
{
	return (u64)m->ser->folios.total_pages * RECORDS_PER_PAGE -
	       m->ser->nr_folios;
}

static int memfd_records_grow(struct memfd_luo *m)
{
	struct kho_vmalloc *area = &m->ser->folios;
	unsigned int slot = area->total_pages % KHO_VMALLOC_CHUNK_ENTRIES;
	struct kho_vmalloc_chunk *chunk;
	void *records;

	if (area->total_pages == U32_MAX)
		return -EFBIG;

	records = memfd_page_alloc();
	if (IS_ERR(records))
		return PTR_ERR(records);

	if (!slot) {
		chunk = memfd_chunk_add(m);
		if (IS_ERR(chunk)) {
			kho_unpreserve_free(records);
			return PTR_ERR(chunk);
		}
	}

	m->records = records;
	if (slot + 1 < KHO_VMALLOC_CHUNK_ENTRIES)
		m->chunk->phys[slot + 1] = 0;
	m->chunk->phys[slot] = virt_to_phys(records);
	area->flags = KHO_VMALLOC_ALLOC;
	area->total_pages++;
	return 0;
}

/*
 * A folio may be written after it was recorded, through a mapping without any
 * sign of it in the folio. So each is recorded as dirty, else the next kernel
 * might drop it under pressure, and as uptodate, else it would be cleared.
 */
static void memfd_record(struct memfd_luo *m, struct folio *folio)
{
	struct memfd_folio_ser *record;

	record = &m->records[m->ser->nr_folios++ % RECORDS_PER_PAGE];
	record->pfn_flags = folio_pfn(folio) | MEMFD_FOLIO_DIRTY |
			    MEMFD_FOLIO_UPTODATE;
	record->index = folio->index;
	m->pages += folio_nr_pages(folio);
}

/*
 * Preserve and record folios. On an error those that were recorded, from the
 * first on, are pinned for good; returns how many or, if none, the error.
 */
static int memfd_record_all(struct memfd_luo *m, struct folio **folios,
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
		err = kho_preserve_folios(folios + done, room);
		if (err)
			return done ?: err;
		for (i = 0; i < room; i++)
			memfd_record(m, folios[done++]);
	}
	return done;
}

static void memfd_forget_page(struct memfd_folio_ser *records, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		u64 pfn = records[i].pfn_flags & MEMFD_FOLIO_PFN_MASK;
		struct folio *folio = pfn_folio(pfn);

		kho_unpreserve_folio(folio);
		folio_put(folio);
	}
	kho_unpreserve_free(records);
	cond_resched();
}

/* Undo every memfd_record(). */
static void memfd_forget(struct memfd_luo *m)
{
	struct kho_vmalloc *area = &m->ser->folios;
	struct kho_vmalloc_chunk *chunk;
	u64 left = m->ser->nr_folios;
	unsigned int i, nr;

	while (area->first) {
		chunk = phys_to_virt(area->first);
		for (i = 0; i < KHO_VMALLOC_CHUNK_ENTRIES && chunk->phys[i]; i++) {
			nr = min(left, RECORDS_PER_PAGE);
			memfd_forget_page(phys_to_virt(chunk->phys[i]), nr);
			left -= nr;
		}
		area->first = chunk->next;
		kho_unpreserve_free(chunk);
	}
}

/* ---- holding a file ---- */

static void memfd_set_unevictable(struct address_space *mapping, bool on)
{
	/* The page cache reads other flags of the same word plainly. */
	data_race(({ assign_bit(AS_UNEVICTABLE, &mapping->flags, on); 0; }));
}

static void memfd_set_gfp(struct address_space *mapping, gfp_t gfp)
{
	/* Who fills a hole at this moment, without the lock, may take either. */
	data_race(mapping->gfp_mask = gfp);
}

static int memfd_hold(struct memfd_luo *m)
{
	struct inode *inode = file_inode(m->file);
	struct shmem_inode_info *info = SHMEM_I(inode);
	struct address_space *mapping = inode->i_mapping;
	int err;

	err = inode_lock_killable(inode);
	if (err)
		return err;

	if (info->seals & SHMEM_SEAL_HELD) {
		err = -EBUSY;
	} else if (info->seals & ~MEMFD_LUO_SEALS) {
		err = -EOPNOTSUPP;
	} else {
		m->unevictable = mapping_unevictable(mapping);
		memfd_set_unevictable(mapping, true);
		xa_lock_irq(&mapping->i_pages);
		WRITE_ONCE(info->seals, info->seals | SHMEM_SEAL_HELD);
		/* Folios that can't be moved do not come from scratch memory. */
		m->gfp = mapping_gfp_mask(mapping);
		memfd_set_gfp(mapping, m->gfp & ~__GFP_MOVABLE);
		xa_unlock_irq(&mapping->i_pages);
	}
	inode_unlock(inode);
	return err;
}

static bool memfd_has_tags(struct address_space *mapping)
{
	/* A folio that comes in at this moment gets its tag for freeze to see. */
	return data_race(mapping_tagged(mapping, SHMEM_TAG_FILLED));
}

static void memfd_clear_tags(struct address_space *mapping)
{
	XA_STATE(xas, &mapping->i_pages, 0);
	unsigned int cleared = 0;
	void *entry;

	xas_lock_irq(&xas);
	xas_for_each_marked(&xas, entry, ULONG_MAX, SHMEM_TAG_FILLED) {
		xas_clear_mark(&xas, SHMEM_TAG_FILLED);
		if (++cleared % XA_CHECK_SCHED)
			continue;
		xas_pause(&xas);
		xas_unlock_irq(&xas);
		cond_resched();
		xas_lock_irq(&xas);
	}
	xas_unlock_irq(&xas);
}

static void memfd_let_go(struct memfd_luo *m)
{
	struct inode *inode = file_inode(m->file);
	struct shmem_inode_info *info = SHMEM_I(inode);
	struct address_space *mapping = inode->i_mapping;

	xa_lock_irq(&mapping->i_pages);
	memfd_set_gfp(mapping, m->gfp);
	WRITE_ONCE(info->seals, info->seals & ~SHMEM_SEAL_HELD);
	xa_unlock_irq(&mapping->i_pages);

	if (memfd_has_tags(mapping))
		memfd_clear_tags(mapping);
	if (!m->unevictable) {
		memfd_set_unevictable(mapping, false);
		shmem_unlock_mapping(mapping);
	}
}

/* Returns true if folios were added that nobody recorded. */
static bool memfd_freeze_holes(struct address_space *mapping)
{
	struct shmem_inode_info *info = SHMEM_I(mapping->host);
	bool filled;

	xa_lock_irq(&mapping->i_pages);
	WRITE_ONCE(info->seals, info->seals | SHMEM_SEAL_FROZEN);
	filled = mapping_tagged(mapping, SHMEM_TAG_FILLED);
	xa_unlock_irq(&mapping->i_pages);
	return filled;
}

static void memfd_thaw_holes(struct address_space *mapping)
{
	struct shmem_inode_info *info = SHMEM_I(mapping->host);

	xa_lock_irq(&mapping->i_pages);
	WRITE_ONCE(info->seals, info->seals & ~SHMEM_SEAL_FROZEN);
	xa_unlock_irq(&mapping->i_pages);

	smp_mb(); /* pairs with prepare_to_wait() in wait_var_event_killable() */
	wake_up_var(&info->seals);
}

/* ---- walking a held file ---- */

static bool memfd_tag_test(struct address_space *mapping, pgoff_t index)
{
	return memfd_has_tags(mapping) &&
	       xa_get_mark(&mapping->i_pages, index, SHMEM_TAG_FILLED);
}

static void memfd_tag_clear(struct address_space *mapping, pgoff_t index)
{
	XA_STATE(xas, &mapping->i_pages, index);

	xas_lock_irq(&xas);
	xas_load(&xas);
	xas_clear_mark(&xas, SHMEM_TAG_FILLED);
	xas_unlock_irq(&xas);
}

/*
 * Whether a folio is one to record. A reference is held, so once it is seen
 * under the lock that reclaim is not about to write it to swap, it stays where
 * it is: take. Else leave it to the walk for folios of the other kind, so that
 * none comes twice, or care is needed first: it is gone, or not written since
 * fallocate().
 */
enum memfd_verdict { MEMFD_TAKE, MEMFD_LEAVE, MEMFD_CARE };

static enum memfd_verdict memfd_judge(struct memfd_luo *m, struct folio *folio,
				      bool tagged)
{
	struct address_space *mapping = m->file->f_mapping;
	enum memfd_verdict verdict = MEMFD_TAKE;

	if (xa_is_value(folio))
		return MEMFD_CARE;

	folio_lock(folio);
	if (folio->mapping != mapping || !folio_test_uptodate(folio) ||
	    folio_contain_hwpoisoned_page(folio))
		verdict = MEMFD_CARE;
	else if (memfd_tag_test(mapping, folio->index) != tagged)
		verdict = MEMFD_LEAVE;
	folio_unlock(folio);
	return verdict;
}

/* Record folios that were judged; references of those recorded stay as pins. */
static int memfd_take(struct memfd_luo *m, struct folio **folios,
		      unsigned int nr, bool tagged)
{
	int i, done = memfd_record_all(m, folios, nr);

	for (i = 0; tagged && i < done; i++)
		memfd_tag_clear(m->file->f_mapping, folios[i]->index);
	return done;
}

/* As memfd_take() for a folio that needs no care; its reference is used up. */
static int memfd_take_one(struct memfd_luo *m, struct folio *folio, bool tagged)
{
	int done = 0;

	if (memfd_tag_test(m->file->f_mapping, folio->index) == tagged)
		done = memfd_take(m, &folio, 1, tagged);
	if (done <= 0)
		folio_put(folio);
	return min(done, 0);
}

/*
 * Some folios are where KHO can't preserve them, because the next kernel boots
 * there: move them. As many as possible at once, since each time all CPUs have
 * to take part. The range has no holes, so none gets filled.
 */
static int memfd_take_moved(struct memfd_luo *m, pgoff_t first, pgoff_t end,
			    bool tagged, pgoff_t *next)
{
	loff_t last = min_t(loff_t, (loff_t)end << PAGE_SHIFT,
			    i_size_read(file_inode(m->file))) - 1;
	struct folio *folios[PAGEVEC_SIZE];
	pgoff_t offset;
	long i, nr;
	int err = 0;

	nr = memfd_pin_folios(m->file, (loff_t)first << PAGE_SHIFT, last, folios,
			      ARRAY_SIZE(folios), &offset);
	if (nr < 0)
		return nr;

	*next = first;
	for (i = 0; i < nr && !err; i++) {
		if (memfd_judge(m, folios[i], tagged) == MEMFD_CARE)
			break;
		*next = folio_next_index(folios[i]);
		folio_get(folios[i]);
		err = memfd_take_one(m, folios[i], tagged);
	}
	unpin_folios(folios, nr);
	return err;
}

/*
 * What is at @index is in swap, or not written since fallocate(): get it, and
 * in the latter case clear it.
 */
static int memfd_take_careful(struct memfd_luo *m, pgoff_t index, bool tagged,
			      pgoff_t *next)
{
	struct folio *folio;
	int err;

	*next = index + 1;
	err = shmem_get_folio(file_inode(m->file), index, 0, &folio, SGP_NOALLOC);
	/* A fallocate() that failed took it away again. */
	if (err == -ENOENT)
		return 0;
	if (err)
		return err;

	err = folio_contain_hwpoisoned_page(folio) ? -EHWPOISON : 0;
	index = folio->index;
	*next = folio_next_index(folio);
	folio_unlock(folio);
	if (err) {
		folio_put(folio);
		return err;
	}

	err = memfd_take_one(m, folio, tagged);
	return err == -EINVAL ?
	       memfd_take_moved(m, index, *next, tagged, next) : err;
}

/* Where the batch's folios from the first on stop being side by side. */
static pgoff_t memfd_batch_run(struct folio_batch *fbatch, unsigned int nr)
{
	pgoff_t end = fbatch->folios[0]->index;
	unsigned int i;

	for (i = 0; i < nr && fbatch->folios[i]->index == end; i++)
		end = folio_next_index(fbatch->folios[i]);
	return end;
}

static void memfd_batch_put(struct folio_batch *fbatch, unsigned int i)
{
	for (; i < folio_batch_count(fbatch); i++) {
		if (!xa_is_value(fbatch->folios[i]))
			folio_put(fbatch->folios[i]);
	}
}

/*
 * Take the folios of a batch up to the first that is not simply to be taken,
 * and that one too. The next walk starts at @next.
 */
static int memfd_take_batch(struct memfd_luo *m, struct folio_batch *fbatch,
			    pgoff_t *indices, bool tagged, pgoff_t *next)
{
	enum memfd_verdict verdict = MEMFD_TAKE;
	unsigned int nr = 0;
	pgoff_t first, end;
	int done;

	while (nr < folio_batch_count(fbatch)) {
		verdict = memfd_judge(m, fbatch->folios[nr], tagged);
		if (verdict != MEMFD_TAKE)
			break;
		nr++;
	}
	if (verdict == MEMFD_LEAVE)
		*next = folio_next_index(fbatch->folios[nr]);

	done = memfd_take(m, fbatch->folios, nr, tagged);
	if (done == (int)nr) {
		memfd_batch_put(fbatch, nr);
		return verdict == MEMFD_CARE ?
		       memfd_take_careful(m, indices[nr], tagged, next) : 0;
	}

	/* Go on where it failed, to see why. */
	first = indices[max(done, 0)];
	end = memfd_batch_run(fbatch, nr);
	memfd_batch_put(fbatch, max(done, 0));
	*next = first;
	if (done > 0)
		return 0;
	return done == -EINVAL ?
	       memfd_take_moved(m, first, end, tagged, next) : done;
}

/* As find_get_entries(), but each further entry in a node costs little. */
static void memfd_get_entries(struct address_space *mapping, pgoff_t first,
			      pgoff_t last, struct folio_batch *fbatch,
			      pgoff_t *indices)
{
	XA_STATE(xas, &mapping->i_pages, first);
	struct folio *folio;

	rcu_read_lock();
	xas_for_each(&xas, folio, last) {
		if (xas_retry(&xas, folio))
			continue;
		if (!xa_is_value(folio)) {
			if (!folio_try_get(folio)) {
				xas_reset(&xas);
				continue;
			}
			if (folio != xas_reload(&xas)) {
				folio_put(folio);
				xas_reset(&xas);
				continue;
			}
		}
		indices[folio_batch_count(fbatch)] = xas.xa_index;
		if (!folio_batch_add(fbatch, folio))
			break;
	}
	rcu_read_unlock();
}

static void memfd_get_tagged(struct address_space *mapping, pgoff_t first,
			     pgoff_t last, struct folio_batch *fbatch,
			     pgoff_t *indices)
{
	unsigned int i;

	filemap_get_folios_tag(mapping, &first, last, SHMEM_TAG_FILLED, fbatch);
	for (i = 0; i < folio_batch_count(fbatch); i++)
		indices[i] = fbatch->folios[i]->index;
}

/* Entries from @next on, which is moved behind them; false if there are none. */
static bool memfd_next_batch(struct address_space *mapping,
			     struct folio_batch *fbatch, pgoff_t *indices,
			     bool tagged, pgoff_t *next, pgoff_t last)
{
	unsigned int i;

	folio_batch_init(fbatch);
	if (tagged)
		memfd_get_tagged(mapping, *next, last, fbatch, indices);
	else
		memfd_get_entries(mapping, *next, last, fbatch, indices);

	i = folio_batch_count(fbatch);
	if (!i)
		return false;

	/* If it is a value, the walk goes on behind what comes in its place. */
	*next = indices[i - 1] + 1;
	if (!xa_is_value(fbatch->folios[i - 1]))
		*next = folio_next_index(fbatch->folios[i - 1]);
	return true;
}

/*
 * Pin and record all folios, or all those that filled a hole since the file is
 * held. What fallocate() put beyond the size holds no data and is left out.
 */
static int memfd_take_all(struct memfd_luo *m, bool tagged)
{
	struct inode *inode = file_inode(m->file);
	pgoff_t indices[PAGEVEC_SIZE], next = 0;
	pgoff_t end = memfd_end(i_size_read(inode));
	struct folio_batch fbatch;
	int err;

	while (next < end && memfd_next_batch(inode->i_mapping, &fbatch, indices,
					      tagged, &next, end - 1)) {
		err = memfd_take_batch(m, &fbatch, indices, tagged, &next);
		if (err)
			return err;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/* ---- the old kernel's side ---- */

static bool memfd_luo_can_preserve(struct liveupdate_file_handler *handler,
				   struct file *file)
{
	return memfd_name(file);
}

/* The same for every file of the memfd, however it was opened. */
static unsigned long memfd_luo_get_id(struct file *file)
{
	return (unsigned long)file_inode(file);
}

/* What may change while the file is held. */
static void memfd_save_late(struct memfd_luo *m)
{
	struct inode *inode = file_inode(m->file);
	struct memfd_ext_ser *ext = memfd_ext(m->ser);

	/* Who seeks meanwhile, without a lock, may find either. */
	m->ser->pos = data_race(m->file->f_pos);
	ext->mode = inode->i_mode & 07777;
	ext->uid = from_kuid(&init_user_ns, inode->i_uid);
	ext->gid = from_kgid(&init_user_ns, inode->i_gid);
}

static int memfd_save_header(struct memfd_luo *m)
{
	struct inode *inode = file_inode(m->file);
	struct memfd_ext_ser *ext = memfd_ext(m->ser);

	m->ser->size = i_size_read(inode);
	m->ser->seals = SHMEM_I(inode)->seals & MEMFD_LUO_SEALS;
	ext->magic = MEMFD_EXT_MAGIC;
	ext->version = MEMFD_EXT_VERSION;
	memfd_save_late(m);
	return strscpy(ext->name, memfd_name(m->file)) < 0 ? -ENAMETOOLONG : 0;
}

static int memfd_save(struct memfd_luo *m)
{
	int err;

	err = memfd_hold(m);
	if (err)
		return err;

	err = memfd_save_header(m);
	if (!err)
		err = memfd_take_all(m, false);
	if (!err && memfd_has_tags(m->file->f_mapping))
		err = memfd_take_all(m, true);
	if (err) {
		memfd_forget(m);
		memfd_let_go(m);
	}
	return err;
}

static int memfd_luo_preserve(struct liveupdate_file_op_args *args)
{
	const fmode_t rw = FMODE_READ | FMODE_WRITE;
	struct memfd_luo *m;
	int err;

	if (!shmem_file(args->file))
		return -EOPNOTSUPP;
	if ((args->file->f_mode & rw) != rw)
		return -EACCES;

	m = kzalloc(sizeof(*m), GFP_KERNEL);
	if (!m)
		return -ENOMEM;

	m->file = args->file;
	m->ser = memfd_page_alloc();
	if (IS_ERR(m->ser)) {
		err = PTR_ERR(m->ser);
		goto err_free;
	}
	memset(m->ser, 0, MEMFD_HANDLE_SIZE);

	err = memfd_save(m);
	if (err)
		goto err_free_ser;

	args->private_data = m;
	args->serialized_data = virt_to_phys(m->ser);
	args->preserved_bytes = m->pages << PAGE_SHIFT;
	return 0;

err_free_ser:
	kho_unpreserve_free(m->ser);
err_free:
	kfree(m);
	return err;
}

static void memfd_luo_unpreserve(struct liveupdate_file_op_args *args)
{
	struct memfd_luo *m = args->private_data;

	memfd_forget(m);
	memfd_let_go(m);
	kho_unpreserve_free(m->ser);
	kfree(m);
}

static int memfd_luo_freeze(struct liveupdate_file_op_args *args)
{
	struct memfd_luo *m = args->private_data;
	struct address_space *mapping = m->file->f_mapping;
	int err;

	memfd_save_late(m);
	if (!memfd_freeze_holes(mapping))
		return 0;

	err = memfd_take_all(m, true);
	if (err)
		memfd_thaw_holes(mapping);
	args->preserved_bytes = m->pages << PAGE_SHIFT;
	return err;
}

static void memfd_luo_unfreeze(struct liveupdate_file_op_args *args)
{
	struct memfd_luo *m = args->private_data;

	memfd_thaw_holes(m->file->f_mapping);
}

/* ---- records: reading ---- */

struct memfd_walk {
	const struct memfd_ser *ser;
	/* Make each page ours before looking at it, and free it afterwards. */
	bool consume;
	/* Sees up to PAGEVEC_SIZE records at a time. */
	int (*visit)(struct memfd_walk *walk,
		     const struct memfd_folio_ser *records, unsigned int nr);

	u64 left;		/* records */
	u32 area_left;		/* pages */
	u64 pages;		/* of folios */

	/* Where folios go, and what became of it. */
	struct shmem_adoption *adoption;
	int err;
};

static void *memfd_block_get(struct memfd_walk *walk, u64 phys, unsigned int order)
{
	struct folio *folio;

	if (!walk->consume)
		return kho_peek(phys, PAGE_SIZE << order);

	folio = kho_restore_folio_of(phys, order);
	return folio ? folio_address(folio) : NULL;
}

static void memfd_block_put(struct memfd_walk *walk, void *block)
{
	if (walk->consume)
		folio_put(virt_to_folio(block));
}

static int memfd_walk_block(struct memfd_walk *walk, u64 phys)
{
	unsigned int order = walk->ser->folios.order;
	u64 i, step, nr = RECORDS_PER_PAGE << order;
	struct memfd_folio_ser *records;
	int err = 0;

	if (walk->area_left < 1UL << order)
		return -EBADMSG;
	records = memfd_block_get(walk, phys, order);
	if (!records)
		return -EBADMSG;

	nr = min(nr, walk->left);
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
	struct kho_vmalloc_chunk *chunk = memfd_block_get(walk, *phys, 0);
	unsigned int i;
	int err = 0;

	if (!chunk)
		return -EBADMSG;

	*phys = chunk->next;
	for (i = 0; i < KHO_VMALLOC_CHUNK_ENTRIES && chunk->phys[i] && !err; i++)
		err = memfd_walk_block(walk, chunk->phys[i]);
	memfd_block_put(walk, chunk);

	/* Only the last chunk may be empty, else a cycle could go on for ever. */
	return !i && *phys ? -EBADMSG : err;
}

/*
 * Call visit for each record. Every chunk but the last takes its part of the
 * area's pages, so the walk ends.
 */
static int memfd_walk(struct memfd_walk *walk)
{
	const struct kho_vmalloc *area = &walk->ser->folios;
	u64 phys = area->first;
	int err;

	walk->left = walk->ser->nr_folios;
	walk->area_left = area->total_pages;
	if (area->order > MAX_PAGE_ORDER ||
	    area->flags & ~(KHO_VMALLOC_ALLOC | KHO_VMALLOC_HUGE_VMAP))
		return -EBADMSG;

	while (phys) {
		err = memfd_walk_chunk(walk, &phys);
		if (err)
			return err;
	}
	return walk->area_left || walk->left ? -EBADMSG : 0;
}

static int memfd_check_header(struct memfd_ser *ser)
{
	const struct memfd_ext_ser *ext = memfd_ext(ser);

	if ((s64)ser->pos < 0 || ser->size > MAX_LFS_FILESIZE)
		return -EBADMSG;
	if ((ser->seals & ~MEMFD_LUO_SEALS) || ser->flags)
		return -EOPNOTSUPP;
	if (ext->magic != MEMFD_EXT_MAGIC)
		return 0;
	if (ext->mode & ~07777 ||
	    !uid_valid(make_kuid(&init_user_ns, ext->uid)) ||
	    !gid_valid(make_kgid(&init_user_ns, ext->gid)) ||
	    strnlen(ext->name, sizeof(ext->name)) == sizeof(ext->name))
		return -EBADMSG;
	return 0;
}

static u64 memfd_record_pfn(const struct memfd_folio_ser *record)
{
	return record->pfn_flags & MEMFD_FOLIO_PFN_MASK;
}

static bool memfd_record_ok(const struct memfd_ser *ser,
			    const struct memfd_folio_ser *record,
			    unsigned int order)
{
	const u64 known = MEMFD_FOLIO_PFN_MASK | MEMFD_FOLIO_DIRTY |
			  MEMFD_FOLIO_UPTODATE;

	return !(record->pfn_flags & ~known) &&
	       record->index < memfd_end(ser->size) &&
	       IS_ALIGNED(record->index, 1UL << order);
}

/* Addresses of the folios; records without one are left out of @used, too. */
static unsigned int memfd_used_records(const struct memfd_folio_ser *records,
				       unsigned int nr, phys_addr_t *phys,
				       const struct memfd_folio_ser **used)
{
	unsigned int i, n = 0;

	for (i = 0; i < nr; i++) {
		if (!memfd_record_pfn(&records[i]))
			continue;
		phys[n] = PFN_PHYS(memfd_record_pfn(&records[i]));
		used[n++] = &records[i];
	}
	return n;
}

static int memfd_visit_check(struct memfd_walk *walk,
			     const struct memfd_folio_ser *records,
			     unsigned int nr)
{
	const struct memfd_folio_ser *used[PAGEVEC_SIZE];
	phys_addr_t phys[PAGEVEC_SIZE];
	u8 orders[PAGEVEC_SIZE];
	unsigned int i;

	nr = memfd_used_records(records, nr, phys, used);
	if (kho_block_orders(phys, nr, orders) < nr)
		return -EBADMSG;

	for (i = 0; i < nr; i++) {
		if (!memfd_record_ok(walk->ser, used[i], orders[i]))
			return -EBADMSG;
		if (orders[i] > MEMFD_MAX_ORDER)
			return -EOPNOTSUPP;
		walk->pages += 1UL << orders[i];
	}
	return 0;
}

static int memfd_check(struct memfd_ser *ser, u64 *pages)
{
	struct memfd_walk walk = { .ser = ser, .visit = memfd_visit_check };
	int err;

	err = memfd_check_header(ser);
	if (!err)
		err = memfd_walk(&walk);
	/* More than fit into the file: some come twice. */
	if (!err && walk.pages >
		    round_up(memfd_end(ser->size), 1UL << MAX_PAGECACHE_ORDER))
		err = -EBADMSG;
	*pages = walk.pages;
	return err;
}

static int memfd_visit_discard(struct memfd_walk *walk,
			       const struct memfd_folio_ser *records,
			       unsigned int nr)
{
	struct folio *folio;
	phys_addr_t phys;
	unsigned int i;
	int order;

	for (i = 0; i < nr; i++) {
		phys = PFN_PHYS(memfd_record_pfn(&records[i]));
		order = phys ? kho_block_order(phys) : -ENOENT;
		/* If the record makes no sense, who knows whose it is. */
		if (order < 0 || !memfd_record_ok(walk->ser, &records[i], order))
			continue;

		folio = kho_restore_folio(phys);
		if (folio)
			folio_put(folio);
	}
	return 0;
}

static void memfd_restore_state(struct folio *folio,
				const struct memfd_folio_ser *record)
{
	folio->index = record->index;
	/* What fallocate() made and nobody wrote is cleared on first use. */
	if (record->pfn_flags & MEMFD_FOLIO_UPTODATE)
		__folio_mark_uptodate(folio);
	/* A clean folio would be dropped under pressure: there is no backing. */
	folio_set_dirty(folio);
}

/*
 * There is no way back from here: a folio that comes twice makes the file
 * useless, and the memory of the others is freed along with the records.
 */
static int memfd_visit_adopt(struct memfd_walk *walk,
			     const struct memfd_folio_ser *records,
			     unsigned int nr)
{
	struct address_space *mapping = walk->adoption->inode->i_mapping;
	const struct memfd_folio_ser *used[PAGEVEC_SIZE];
	phys_addr_t phys[PAGEVEC_SIZE];
	struct folio_batch fbatch;
	unsigned int i, n;

	folio_batch_init(&fbatch);
	n = memfd_used_records(records, nr, phys, used);
	fbatch.nr = kho_restore_folios(phys, n, fbatch.folios);
	if (fbatch.nr < n)
		walk->err = -EBADMSG;

	for (i = 0; i < folio_batch_count(&fbatch); i++) {
		memfd_restore_state(fbatch.folios[i], used[i]);
		if (folio_test_large(fbatch.folios[i]))
			mapping_set_large_folios(mapping);
	}
	if (i && shmem_adopt_folios(walk->adoption, &fbatch))
		walk->err = -EBADMSG;

	if (walk->err) {
		walk->visit = memfd_visit_discard;
		return memfd_visit_discard(walk, records, nr);
	}
	return 0;
}

/* Use the records up: into a file, or without @adoption to free their memory. */
static int memfd_consume(u64 phys, struct shmem_adoption *adoption)
{
	struct folio *handle = kho_restore_folio(phys);
	struct memfd_walk walk = {
		.consume = true,
		.visit = adoption ? memfd_visit_adopt : memfd_visit_discard,
		.adoption = adoption,
	};
	int err;

	if (!handle)
		return -EBADMSG;

	walk.ser = folio_address(handle);
	err = memfd_walk(&walk) ?: walk.err;
	folio_put(handle);
	return err;
}

/* ---- the new kernel's side ---- */

/*
 * F_SEAL_EXEC on a file with execute bits implies the other seals. So if one
 * of those is missing, there were no execute bits.
 */
static umode_t memfd_guess_mode(u32 seals)
{
	const u32 implied = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE |
			    F_SEAL_FUTURE_WRITE;

	return seals & F_SEAL_EXEC && ~seals & implied ? 0666 : 0777;
}

static void memfd_apply_ext(struct inode *inode, const struct memfd_ext_ser *ext)
{
	inode->i_mode = S_IFREG | ext->mode;
	inode->i_uid = make_kuid(&init_user_ns, ext->uid);
	inode->i_gid = make_kgid(&init_user_ns, ext->gid);
}

static struct file *memfd_make(struct memfd_ser *ser)
{
	const struct memfd_ext_ser *ext = memfd_ext(ser);
	bool extended = ext->magic == MEMFD_EXT_MAGIC;
	char name[MFD_NAME_PREFIX_LEN + MEMFD_EXT_NAME_LENGTH];
	struct inode *inode;
	struct file *file;

	strscpy(name, MFD_NAME_PREFIX);
	if (extended)
		strscpy(name + MFD_NAME_PREFIX_LEN, ext->name,
			sizeof(ext->name));

	file = memfd_file_setup(name, 0);
	if (IS_ERR(file))
		return file;

	inode = file_inode(file);
	if (extended)
		memfd_apply_ext(inode, ext);
	else
		inode->i_mode = S_IFREG | memfd_guess_mode(ser->seals);
	i_size_write(inode, ser->size);
	file->f_pos = ser->pos;
	return file;
}

/* Not by fcntl()'s way: it would add what F_SEAL_EXEC implies there. */
static void memfd_apply_seals(struct file *file, u32 seals)
{
	struct inode *inode = file_inode(file);

	/* Nobody has the file yet, so nobody has mapped it. */
	if (seals & F_SEAL_WRITE)
		WARN_ON_ONCE(mapping_deny_writable(file->f_mapping));
	SHMEM_I(inode)->seals = seals;
}

static int memfd_luo_retrieve(struct liveupdate_file_op_args *args)
{
	struct memfd_ser *ser = kho_peek(args->serialized_data, PAGE_SIZE);
	struct shmem_adoption adoption;
	struct file *file;
	u64 pages;
	u32 seals;
	int err;

	if (!ser)
		return -EBADMSG;

	err = memfd_check(ser, &pages);
	if (err)
		return err;

	/* Too many files or no memory: it may be better next time. */
	file = memfd_make(ser);
	if (IS_ERR(file))
		return -ENOMEM;
	err = shmem_adopt_begin(&adoption, file_inode(file), pages);
	if (err)
		goto err_put;

	seals = ser->seals;
	err = memfd_consume(args->serialized_data, &adoption);
	shmem_adopt_end(&adoption);
	if (err) {
		/* The handle is gone, and its page may get another owner. */
		args->serialized_data = 0;
		goto err_put;
	}

	memfd_apply_seals(file, seals);
	args->file = file;
	return 0;

err_put:
	fput(file);
	return err;
}

/* retrieve leaves nothing behind; if it failed for good, maybe some memory. */
static void memfd_luo_finish(struct liveupdate_file_op_args *args)
{
	if (args->retrieve_status != 1 && args->serialized_data)
		memfd_consume(args->serialized_data, NULL);
}

static const struct liveupdate_file_ops memfd_luo_ops = {
	.can_preserve	= memfd_luo_can_preserve,
	.preserve	= memfd_luo_preserve,
	.unpreserve	= memfd_luo_unpreserve,
	.freeze		= memfd_luo_freeze,
	.unfreeze	= memfd_luo_unfreeze,
	.retrieve	= memfd_luo_retrieve,
	.finish		= memfd_luo_finish,
	.get_id		= memfd_luo_get_id,
	.owner		= THIS_MODULE,
};

static struct liveupdate_file_handler memfd_luo_handler = {
	.ops		= &memfd_luo_ops,
	.compatible	= MEMFD_LUO_FORMAT,
};

LIVEUPDATE_READS(MEMFD_LUO_FORMAT);

static int __init memfd_luo_init(void)
{
	int err = liveupdate_register_file_handler(&memfd_luo_handler);

	if (err && err != -EOPNOTSUPP)
		pr_err("no live update of memfds: %pe\n", ERR_PTR(err));
	return 0;
}
late_initcall(memfd_luo_init);
