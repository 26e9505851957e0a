// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keep memfds across live update: the file handler, and the old kernel's part.
 */

#define pr_fmt(fmt) "memfd: " fmt

#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/init.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/liveupdate.h>
#include <linux/memfd.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>

#include "memfd_luo.h"

static_assert(sizeof(struct memfd_ser) + sizeof(struct memfd_ext_ser) <= PAGE_SIZE);
static_assert(MEMFD_EXT_SESSION_LENGTH == LUO_SESSION_NAME_LENGTH);

static bool memfd_luo_can_preserve(struct liveupdate_file_handler *handler,
				   struct file *file)
{
	return memfd_name(file) &&
	       !(IS_ENABLED(CONFIG_LIVEUPDATE_HUGETLB) && is_file_hugepages(file));
}

/* The same for every file of the memfd, however it was opened. */
unsigned long memfd_luo_get_id(struct file *file)
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

/* So that nobody else gets the file, whatever becomes of the records. */
static void memfd_save_owner(struct memfd_luo *m,
			     const struct liveupdate_file_op_args *args)
{
	struct memfd_ext_ser *ext = memfd_ext(m->ser);

	memset(ext->reserved, 0, sizeof(ext->reserved));
	memset(ext->kind, 0, sizeof(ext->kind));
	ext->sum_magic = MEMFD_SUM_MAGIC;
	ext->sum = 0;
	ext->token = args->token;
	memcpy(ext->session, liveupdate_session_name(args->session),
	       sizeof(ext->session));
}

static int memfd_save_header(struct memfd_luo *m)
{
	struct inode *inode = file_inode(m->file);
	struct memfd_ext_ser *ext = memfd_ext(m->ser);

	m->ser->size = i_size_read(inode);
	m->ser->seals = *memfd_seals(inode) & MEMFD_LUO_SEALS;
	ext->magic = MEMFD_EXT_MAGIC;
	ext->version = MEMFD_EXT_VERSION;
	memfd_save_late(m);
	return strscpy(ext->name, memfd_name(m->file)) < 0 ? -ENAMETOOLONG : 0;
}

/* All that is there, and in what state the rest came. */
static int memfd_save_folios(struct memfd_luo *m)
{
	struct memfd_demand *d = memfd_demand_of(m->file);
	int err;

	if (!d)
		return memfd_take_range(m, false, 0, ULONG_MAX);

	err = memfd_demand_preserve(m, d);
	memfd_demand_put(d);
	return err;
}

static int memfd_save(struct memfd_luo *m)
{
	int err;

	err = memfd_hold(m);
	if (err)
		return err;

	/* Huge pages never leave memory, and who may have them was settled. */
	err = m->huge ? 0 : memfd_limit(m);
	if (!err)
		err = memfd_save_header(m);
	if (!err)
		err = memfd_save_folios(m);
	if (!err && memfd_has_tags(m->file->f_mapping))
		err = memfd_take_range(m, true, 0, ULONG_MAX);
	if (err) {
		memfd_forget(m);
		memfd_let_go(m);
		return err;
	}
	memfd_index_end(m);
	return 0;
}

int memfd_preserve(struct liveupdate_file_op_args *args)
{
	const fmode_t rw = FMODE_READ | FMODE_WRITE;
	struct memfd_luo *m;
	int err;

	if ((args->file->f_mode & rw) != rw)
		return -EACCES;

	m = kzalloc(sizeof(*m), GFP_KERNEL);
	if (!m)
		return -ENOMEM;

	m->file = args->file;
	m->sorted = U64_MAX;
	m->huge = is_file_hugepages(args->file);
	m->ser = memfd_page_alloc();
	if (IS_ERR(m->ser)) {
		err = PTR_ERR(m->ser);
		goto err_free;
	}
	/* What is behind the NUL of a name is of no interest. */
	memset(m->ser, 0, sizeof(*m->ser) + offsetof(struct memfd_ext_ser, name));
	memfd_save_owner(m, args);

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

static int memfd_luo_preserve(struct liveupdate_file_op_args *args)
{
	return shmem_file(args->file) ? memfd_preserve(args) : -EOPNOTSUPP;
}

void memfd_luo_unpreserve(struct liveupdate_file_op_args *args)
{
	struct memfd_luo *m = args->private_data;

	memfd_forget(m);
	memfd_let_go(m);
	kho_unpreserve_free(m->ser);
	kfree(m);
}

/* Something of what is handed on turned out to be damaged when it was missed. */
static int memfd_check_lost(struct memfd_luo *m)
{
	struct memfd_demand *d = memfd_demand_of(m->file);
	bool lossy;

	if (!d)
		return 0;

	lossy = memfd_demand_is_lossy(d);
	memfd_demand_put(d);
	return lossy ? -EIO : 0;
}

int memfd_luo_freeze(struct liveupdate_file_op_args *args)
{
	struct memfd_luo *m = args->private_data;
	struct address_space *mapping = m->file->f_mapping;
	bool filled;
	int err;

	memfd_save_late(m);
	filled = memfd_freeze_holes(mapping);
	err = memfd_check_lost(m) ?: memfd_check_poison(m);
	if (!err && filled) {
		err = memfd_take_range(m, true, 0, ULONG_MAX);
		args->preserved_bytes = m->pages << PAGE_SHIFT;
		memfd_index_end(m);
	}
	if (err)
		memfd_thaw_holes(mapping);
	return err;
}

void memfd_luo_unfreeze(struct liveupdate_file_op_args *args)
{
	struct memfd_luo *m = args->private_data;

	memfd_thaw_holes(m->file->f_mapping);
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
	.waiting	= memfd_demand_waiting,
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
/* Before any device is probed whose driver needs the memory of its VM. */
arch_initcall(memfd_luo_init);
