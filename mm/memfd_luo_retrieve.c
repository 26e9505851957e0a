// SPDX-License-Identifier: GPL-2.0-only
/*
 * Make a memfd again from what another kernel left of it.
 */

#define pr_fmt(fmt) "memfd: " fmt

#include <linux/file.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/liveupdate.h>
#include <linux/memblock.h>
#include <linux/memfd.h>
#include <linux/pagemap.h>
#include <linux/pagevec.h>
#include <linux/printk.h>
#include <linux/shmem_fs.h>
#include <uapi/linux/memfd.h>

#include "internal.h"
#include "memfd_luo.h"

/* Without huge pages there is nobody who could split a folio. */
#define MEMFD_MAX_ORDER		(IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE) ? \
				 MAX_PAGECACHE_ORDER : 0)

/* ---- checking ---- */

static bool memfd_ext_ok(const struct memfd_ext_ser *ext)
{
	return !(ext->mode & ~07777) &&
	       uid_valid(make_kuid(&init_user_ns, ext->uid)) &&
	       gid_valid(make_kgid(&init_user_ns, ext->gid)) &&
	       strnlen(ext->name, sizeof(ext->name)) < sizeof(ext->name);
}

/* Who asks for a file must be the one it was preserved for. */
static bool memfd_owner_ok(const struct memfd_ext_ser *ext,
			   const struct liveupdate_file_op_args *args)
{
	if (ext->version < 2)
		return true;

	return ext->token == args->token &&
	       strnlen(ext->session, sizeof(ext->session)) < sizeof(ext->session) &&
	       liveupdate_session_was(args->session, ext->session);
}

int memfd_check_header(struct memfd_ser *ser,
		       const struct liveupdate_file_op_args *args)
{
	const struct memfd_ext_ser *ext = memfd_ext(ser);

	if ((s64)ser->pos < 0 || ser->size > MAX_LFS_FILESIZE)
		return -EBADMSG;
	if (ext->magic == MEMFD_EXT_MAGIC &&
	    !(memfd_ext_ok(ext) && memfd_owner_ok(ext, args)))
		return -EBADMSG;
	if ((ser->seals & ~MEMFD_LUO_SEALS) || ser->flags)
		return -EOPNOTSUPP;
	return 0;
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
		walk->sum += memfd_sum(used[i]->pfn_flags, used[i]->index);
		if (orders[i] > MEMFD_MAX_ORDER)
			walk->err = -EOPNOTSUPP;
		else
			walk->pages += 1UL << orders[i];
	}
	/* More than fit into the file: some come twice. */
	return walk->pages > walk->max_pages ? -EBADMSG : 0;
}

/* Pages that folios of the file can have. */
static u64 memfd_max_pages(const struct memfd_ser *ser)
{
	u64 end = min_t(u64, memfd_end(ser->size), max_pfn);

	return round_up(end, 1UL << MAX_PAGECACHE_ORDER);
}

/*
 * Returns 0 or -EOPNOTSUPP if everything is there and nobody else's, in the
 * latter case for another kernel than this.
 */
static int memfd_check(struct memfd_ser *ser, struct memfd_walk *walk,
		       const struct liveupdate_file_op_args *args)
{
	int header = memfd_check_header(ser, args), err;

	if (header == -EBADMSG)
		return header;

	walk->ser = ser;
	walk->visit = memfd_visit_check;
	walk->max_pages = memfd_max_pages(ser);
	err = memfd_walk(walk);
	if (!err && !memfd_sum_ok(walk))
		err = -EBADMSG;
	return err ?: header ?: walk->err;
}

/* ---- using records up ---- */

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

/*
 * Use the records up: into a file, or without @adoption to free their memory. An
 * empty file whose owner is not said stays, as a page of zeros would.
 */
static int memfd_consume(u64 phys, struct shmem_adoption *adoption)
{
	struct memfd_walk walk = {
		.consume = true,
		.visit = adoption ? memfd_visit_adopt : memfd_visit_discard,
		.adoption = adoption,
	};
	struct folio *handle;
	int err;

	if (memfd_may_be_zeros(kho_peek(phys, PAGE_SIZE)))
		return 0;

	handle = kho_restore_folio(phys);
	if (!handle)
		return -EBADMSG;

	walk.ser = folio_address(handle);
	err = memfd_walk(&walk) ?: walk.err;
	folio_put(handle);
	return err;
}

/* ---- the file ---- */

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

struct file *memfd_make(struct memfd_ser *ser, unsigned int flags)
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

	file = memfd_file_setup(name, flags);
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
void memfd_apply_seals(struct file *file, u32 seals)
{
	/* Nobody has the file yet, so nobody has mapped it. */
	if (seals & F_SEAL_WRITE)
		WARN_ON_ONCE(mapping_deny_writable(file->f_mapping));
	*memfd_seals(file_inode(file)) = seals;
}

/* Returns -EBADMSG if the records are used up, and -ENOMEM if they are not. */
static int memfd_adopt_all(struct file *file, u64 phys, u64 pages)
{
	struct shmem_adoption adoption;
	int err;

	err = shmem_adopt_begin(&adoption, file_inode(file), pages);
	if (err)
		return err;

	err = memfd_consume(phys, &adoption);
	shmem_adopt_end(&adoption);
	return err ? -EBADMSG : 0;
}

int memfd_luo_retrieve(struct liveupdate_file_op_args *args)
{
	struct memfd_ser *ser = kho_peek(args->serialized_data, PAGE_SIZE);
	struct memfd_walk walk = { .killable = true };
	struct memfd_demand *demand = NULL;
	struct file *file;
	int err;

	if (!ser)
		return -EBADMSG;

	if (IS_ENABLED(CONFIG_LIVEUPDATE_MEMFD_ON_DEMAND) &&
	    !memfd_check_header(ser, args))
		demand = memfd_demand_new(ser);
	err = demand ? 0 : memfd_check(ser, &walk, args);
	if (err)
		return err;

	/* Too many files or no memory: it may be better next time. */
	file = memfd_make(ser, 0);
	if (IS_ERR(file)) {
		memfd_demand_free(demand);
		return -ENOMEM;
	}
	memfd_apply_seals(file, ser->seals);

	err = demand ? memfd_demand_retrieve(demand, file, args->serialized_data) :
		       memfd_adopt_all(file, args->serialized_data, walk.pages);
	if (err) {
		/* The handle is gone, and its page may get another owner. */
		if (err == -EBADMSG)
			args->serialized_data = 0;
		fput(file);
		return err;
	}
	args->file = file;
	return 0;
}

/* retrieve leaves nothing behind; if it failed for good, maybe some memory. */
void memfd_luo_finish(struct liveupdate_file_op_args *args)
{
	struct memfd_walk walk = {};
	struct memfd_ser *ser;
	int err;

	if (args->retrieve_status == 1 || !args->serialized_data)
		return;

	ser = kho_peek(args->serialized_data, PAGE_SIZE);
	err = ser ? memfd_check(ser, &walk, args) : -EBADMSG;
	if (!err || err == -EOPNOTSUPP) {
		memfd_consume(args->serialized_data, NULL);
	} else {
		pr_warn_ratelimited("token %llu: damaged or another file's: its memory stays reserved\n",
				    args->token);
		args->retrieve_status = -EBADMSG;
	}
}
