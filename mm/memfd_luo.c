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

static_assert(sizeof(struct memfd_ser) + sizeof(struct memfd_ext_ser) <=
	      PAGE_SIZE);

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

static int memfd_records_grow(struct memfd_luo *m)
{
	struct kho_vmalloc *area = &m->ser->folios;
	unsigned int slot = area->total_pages % KHO_VMALLOC_CHUNK_ENTRIES;
	struct kho_vmalloc_chunk *chunk;
	void *records;

	if (area->total_pages == U32_MAX)
		return -EFBIG;

	records = kho_alloc_preserve(PAGE_SIZE);
	if (IS_ERR(records))
		return PTR_ERR(records);

	if (!slot) {
		chunk = kho_alloc_preserve(PAGE_SIZE);
		if (IS_ERR(chunk)) {
			kho_unpreserve_free(records);
			return PTR_ERR(chunk);
		}
		*(m->chunk ? &m->chunk->next : &area->first) = virt_to_phys(chunk);
		m->chunk = chunk;
	}

	m->records = records;
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
static int memfd_record(struct memfd_luo *m, struct folio *folio)
{
	struct memfd_ser *ser = m->ser;
	struct memfd_folio_ser *record;
	int err;

	if (ser->nr_folios == (u64)ser->folios.total_pages * RECORDS_PER_PAGE) {
		err = memfd_records_grow(m);
		if (err)
			return err;
	}

	err = kho_preserve_folio(folio);
	if (err)
		return err;

	record = &m->records[ser->nr_folios % RECORDS_PER_PAGE];
	record->pfn_flags = folio_pfn(folio) | MEMFD_FOLIO_DIRTY |
			    MEMFD_FOLIO_UPTODATE;
	record->index = folio->index;
	ser->nr_folios++;
	m->pages += folio_nr_pages(folio);
	return 0;
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
		mapping_set_unevictable(mapping);
		xa_lock_irq(&mapping->i_pages);
		WRITE_ONCE(info->seals, info->seals | SHMEM_SEAL_HELD);
		/* Folios that can't be moved do not come from scratch memory. */
		m->gfp = mapping_gfp_mask(mapping);
		mapping_set_gfp_mask(mapping, m->gfp & ~__GFP_MOVABLE);
		xa_unlock_irq(&mapping->i_pages);
	}
	inode_unlock(inode);
	return err;
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
	mapping_set_gfp_mask(mapping, m->gfp);
	WRITE_ONCE(info->seals, info->seals & ~SHMEM_SEAL_HELD);
	xa_unlock_irq(&mapping->i_pages);

	if (mapping_tagged(mapping, SHMEM_TAG_FILLED))
		memfd_clear_tags(mapping);
	if (!m->unevictable) {
		mapping_clear_unevictable(mapping);
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
	return mapping_tagged(mapping, SHMEM_TAG_FILLED) &&
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
 * Record a locked folio; if all is well its reference stays as the pin. Under
 * the lock reclaim is not in the middle of writing the folio to swap.
 */
static int memfd_take_locked(struct memfd_luo *m, struct folio *folio, bool tagged)
{
	struct address_space *mapping = folio->mapping;
	int err;

	/* Each walk takes its own kind, so that no folio comes twice. */
	if (memfd_tag_test(mapping, folio->index) != tagged) {
		folio_put(folio);
		return 0;
	}

	if (folio_contain_hwpoisoned_page(folio))
		return -EHWPOISON;

	err = memfd_record(m, folio);
	if (!err && tagged)
		memfd_tag_clear(mapping, folio->index);
	return err;
}

/* 0: taken. 1: not there or not ready. Else an error. */
static int memfd_take_entry(struct memfd_luo *m, struct folio *folio, bool tagged)
{
	int ret = 1;

	if (xa_is_value(folio))
		return 1;

	folio_lock(folio);
	if (folio->mapping == m->file->f_mapping && folio_test_uptodate(folio))
		ret = memfd_take_locked(m, folio, tagged);
	folio_unlock(folio);
	return ret;
}

/*
 * The folios are where KHO can't preserve them, because the next kernel boots
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
	int ret = 0;

	nr = memfd_pin_folios(m->file, (loff_t)first << PAGE_SHIFT, last, folios,
			      ARRAY_SIZE(folios), &offset);
	if (nr < 0)
		return nr;

	for (i = 0; i < nr && !ret; i++) {
		*next = folio_next_index(folios[i]);
		folio_get(folios[i]);
		ret = memfd_take_entry(m, folios[i], tagged);
		if (ret)
			folio_put(folios[i]);
	}
	/* Not ready: the next walk sees to it. */
	if (ret > 0)
		*next = folios[i - 1]->index;
	unpin_folios(folios, nr);
	return min(ret, 0);
}

/*
 * What is at @index is in swap, or not written since fallocate(): get it, and
 * in the latter case clear it.
 */
static int memfd_take_at(struct memfd_luo *m, pgoff_t index, bool tagged,
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

	index = folio->index;
	*next = folio_next_index(folio);
	err = memfd_take_locked(m, folio, tagged);
	folio_unlock(folio);
	if (!err)
		return 0;

	folio_put(folio);
	return err == -EINVAL ?
	       memfd_take_moved(m, index, *next, tagged, next) : err;
}

/* Where the entries from the @i-th on stop being folios side by side. */
static pgoff_t memfd_batch_run(struct folio_batch *fbatch, pgoff_t *indices,
			       unsigned int i)
{
	pgoff_t end = indices[i];

	for (; i < folio_batch_count(fbatch); i++) {
		struct folio *folio = fbatch->folios[i];

		if (xa_is_value(folio) || indices[i] != end)
			break;
		end += folio_nr_pages(folio);
	}
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
 * Take the folios of a batch up to the first that needs more care; take that
 * too and leave the rest to the next walk, which starts at @next.
 */
static int memfd_take_batch(struct memfd_luo *m, struct folio_batch *fbatch,
			    pgoff_t *indices, bool tagged, pgoff_t *next)
{
	unsigned int i;
	pgoff_t end;
	int ret = 0;

	for (i = 0; i < folio_batch_count(fbatch); i++) {
		ret = memfd_take_entry(m, fbatch->folios[i], tagged);
		if (ret)
			break;
	}
	if (!ret)
		return 0;

	end = memfd_batch_run(fbatch, indices, i);
	memfd_batch_put(fbatch, i);
	if (ret == 1)
		return memfd_take_at(m, indices[i], tagged, next);
	if (ret == -EINVAL)
		return memfd_take_moved(m, indices[i], end, tagged, next);
	return ret;
}

static unsigned int memfd_next_batch(struct address_space *mapping,
				     struct folio_batch *fbatch, pgoff_t *indices,
				     bool tagged, pgoff_t *next, pgoff_t last)
{
	unsigned int i;

	folio_batch_init(fbatch);
	if (!tagged)
		return find_get_entries(mapping, next, last, fbatch, indices);

	filemap_get_folios_tag(mapping, next, last, SHMEM_TAG_FILLED, fbatch);
	for (i = 0; i < folio_batch_count(fbatch); i++)
		indices[i] = fbatch->folios[i]->index;
	return i;
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

	m->ser->pos = READ_ONCE(m->file->f_pos);
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
	if (!err && mapping_tagged(m->file->f_mapping, SHMEM_TAG_FILLED))
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
	m->ser = kho_alloc_preserve(PAGE_SIZE);
	if (IS_ERR(m->ser)) {
		err = PTR_ERR(m->ser);
		goto err_free;
	}

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
	int (*visit)(struct memfd_walk *walk, const struct memfd_folio_ser *record);

	u64 left;		/* records */
	u32 area_left;		/* pages */
	u64 pages;		/* of folios */

	/* Where folios go, and what became of it. */
	struct shmem_adoption *adoption;
	struct folio_batch fbatch;
	int err;
};

static void *memfd_block_get(struct memfd_walk *walk, u64 phys, unsigned int order)
{
	void *block = kho_peek(phys, PAGE_SIZE << order);

	if (block && walk->consume && !kho_restore_folio(phys))
		return NULL;
	return block;
}

static void memfd_block_put(struct memfd_walk *walk, void *block)
{
	if (walk->consume)
		folio_put(virt_to_folio(block));
}

static int memfd_walk_block(struct memfd_walk *walk, u64 phys)
{
	unsigned int order = walk->ser->folios.order;
	u64 i, nr = RECORDS_PER_PAGE << order;
	struct memfd_folio_ser *records;
	int err = 0;

	if (walk->area_left < 1UL << order)
		return -EBADMSG;
	records = memfd_block_get(walk, phys, order);
	if (!records)
		return -EBADMSG;

	nr = min(nr, walk->left);
	for (i = 0; i < nr && !err; i++) {
		if (records[i].pfn_flags & MEMFD_FOLIO_PFN_MASK)
			err = walk->visit(walk, &records[i]);
		if (!(i % RECORDS_PER_PAGE))
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
	if (area->order > MAX_PAGE_ORDER)
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

/* Order of the folio of a record, or an error if the record makes no sense. */
static int memfd_check_record(const struct memfd_ser *ser,
			      const struct memfd_folio_ser *record)
{
	const u64 known = MEMFD_FOLIO_PFN_MASK | MEMFD_FOLIO_DIRTY |
			  MEMFD_FOLIO_UPTODATE;
	int order;

	if (record->pfn_flags & ~known || record->index >= memfd_end(ser->size))
		return -EBADMSG;

	order = kho_block_order(PFN_PHYS(record->pfn_flags & MEMFD_FOLIO_PFN_MASK));
	if (order < 0 || !IS_ALIGNED(record->index, 1UL << order))
		return -EBADMSG;
	return order;
}

static int memfd_visit_check(struct memfd_walk *walk,
			     const struct memfd_folio_ser *record)
{
	int order = memfd_check_record(walk->ser, record);

	if (order < 0)
		return order;
	/* Without huge pages there is nobody who could split it. */
	if (order > (IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE) ?
		     MAX_PAGECACHE_ORDER : 0))
		return -EOPNOTSUPP;
	walk->pages += 1UL << order;
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
			       const struct memfd_folio_ser *record)
{
	struct folio *folio;

	/* Who knows whose it is. */
	if (memfd_check_record(walk->ser, record) < 0)
		return 0;

	folio = kho_restore_folio(PFN_PHYS(record->pfn_flags &
					   MEMFD_FOLIO_PFN_MASK));
	if (folio)
		folio_put(folio);
	return 0;
}

/* The folio is in the batch or, if the batch was full, in the file. */
static int memfd_adopt(struct memfd_walk *walk,
		       const struct memfd_folio_ser *record)
{
	struct address_space *mapping = walk->adoption->inode->i_mapping;
	struct folio *folio;

	folio = kho_restore_folio(PFN_PHYS(record->pfn_flags &
					   MEMFD_FOLIO_PFN_MASK));
	if (!folio)
		return -EBADMSG;

	folio->index = record->index;
	if (folio_test_large(folio))
		mapping_set_large_folios(mapping);
	/* What fallocate() made and nobody wrote is cleared on first use. */
	if (record->pfn_flags & MEMFD_FOLIO_UPTODATE)
		__folio_mark_uptodate(folio);
	/* A clean folio would be dropped under pressure: there is no backing. */
	folio_set_dirty(folio);

	if (folio_batch_add(&walk->fbatch, folio))
		return 0;
	return shmem_adopt_folios(walk->adoption, &walk->fbatch);
}

/*
 * There is no way back from here: a folio that comes twice makes the file
 * useless, and the memory of the others is freed along with the records.
 */
static int memfd_visit_adopt(struct memfd_walk *walk,
			     const struct memfd_folio_ser *record)
{
	int err = memfd_adopt(walk, record);

	if (err) {
		walk->err = -EBADMSG;
		walk->visit = memfd_visit_discard;
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
	if (folio_batch_count(&walk.fbatch) &&
	    shmem_adopt_folios(adoption, &walk.fbatch))
		err = -EBADMSG;
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
	if (err)
		goto err_put;

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
	if (args->retrieve_status != 1)
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
