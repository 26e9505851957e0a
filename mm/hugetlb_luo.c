// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keep memfds on huge pages of hugetlbfs across live update: the file handler,
 * and the old kernel's part.
 *
 * They are held and recorded as other memfds are (memfd_luo_hold.c); here is
 * what these do not have: a page size, and reservations.
 */

#define pr_fmt(fmt) "hugetlb: " fmt

#include <linux/fs.h>
#include <linux/hugetlb_luo.h>
#include <linux/init.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/kho/abi/memfd_hugepages.h>
#include <linux/liveupdate.h>
#include <linux/memfd.h>
#include <linux/module.h>
#include <linux/printk.h>

#include "hugetlb_luo.h"
#include "memfd_luo.h"

static_assert(sizeof(struct memfd_hugepages_ser) <= PAGE_SIZE);

static struct memfd_hugepages_ser *hugetlb_luo_ser(struct memfd_luo *m)
{
	return container_of(m->ser, struct memfd_hugepages_ser, memfd);
}

static bool hugetlb_luo_can_preserve(struct liveupdate_file_handler *handler,
				     struct file *file)
{
	return is_file_hugepages(file) && memfd_name(file);
}

static int hugetlb_luo_preserve(struct liveupdate_file_op_args *args)
{
	struct memfd_hugepages_ser *ser;
	int err = 0;

	if (hugetlb_on_demand(file_inode(args->file)))
		err = hugetlb_demand_range(file_inode(args->file), 0, ULONG_MAX);
	if (!err)
		err = memfd_preserve(args);
	if (err)
		return err;

	ser = hugetlb_luo_ser(args->private_data);
	ser->order = huge_page_order(hstate_file(args->file));
	ser->nr_ranges = 0;
	ser->ranges = 0;
	return 0;
}

static void hugetlb_forget_ranges(struct memfd_luo *m)
{
	struct memfd_hugepages_ser *ser = hugetlb_luo_ser(m);

	if (ser->ranges) {
		ser->ext.sum -= memfd_sum(ser->ranges, ser->nr_ranges);
		kho_unpreserve_free(phys_to_virt(ser->ranges));
	}
	ser->nr_ranges = 0;
	ser->ranges = 0;
}

/* Who maps the file may reserve more until the end, so this is for freeze. */
static int hugetlb_save_ranges(struct memfd_luo *m)
{
	struct memfd_hugepages_ser *ser = hugetlb_luo_ser(m);
	struct inode *inode = file_inode(m->file);
	struct memfd_hugepages_range_ser *ranges;
	unsigned long nr, now, pages;

	nr = hugetlb_reserved(inode, &pages, NULL, 0);
	while (pages > m->pages >> ser->order) {
		ranges = kho_alloc_preserve(array_size(nr, sizeof(*ranges)));
		if (IS_ERR(ranges))
			return PTR_ERR(ranges);

		now = hugetlb_reserved(inode, &pages, ranges, nr);
		if (now == nr) {
			ser->nr_ranges = nr;
			ser->ranges = virt_to_phys(ranges);
			memfd_sum_add(&ser->memfd, ser->ranges, ser->nr_ranges);
			return 0;
		}
		/* Somebody maps more, or who found the file frozen has let go. */
		kho_unpreserve_free(ranges);
		nr = now;
	}
	return 0;
}

static int hugetlb_luo_freeze(struct liveupdate_file_op_args *args)
{
	int err = memfd_luo_freeze(args);

	if (err)
		return err;

	err = hugetlb_save_ranges(args->private_data);
	if (err)
		memfd_luo_unfreeze(args);
	return err;
}

static void hugetlb_luo_unfreeze(struct liveupdate_file_op_args *args)
{
	hugetlb_forget_ranges(args->private_data);
	memfd_luo_unfreeze(args);
}

static const struct liveupdate_file_ops hugetlb_luo_ops = {
	.can_preserve	= hugetlb_luo_can_preserve,
	.preserve	= hugetlb_luo_preserve,
	.unpreserve	= memfd_luo_unpreserve,
	.freeze		= hugetlb_luo_freeze,
	.unfreeze	= hugetlb_luo_unfreeze,
	.retrieve	= hugetlb_luo_retrieve,
	.can_finish	= hugetlb_luo_can_finish,
	.finish		= hugetlb_luo_finish,
	.get_id		= memfd_luo_get_id,
	.waiting	= hugetlb_demand_waiting,
	.owner		= THIS_MODULE,
};

static struct liveupdate_file_handler hugetlb_luo_handler = {
	.ops		= &hugetlb_luo_ops,
	.compatible	= MEMFD_HUGEPAGES_FORMAT,
};

LIVEUPDATE_READS(MEMFD_HUGEPAGES_FORMAT);

static int __init hugetlb_luo_init(void)
{
	int err;

	if (!hugepages_supported())
		return 0;

	hugetlb_pool_hand_on();
	err = liveupdate_register_file_handler(&hugetlb_luo_handler);
	if (err && err != -EOPNOTSUPP)
		pr_err("no live update of memfds on huge pages: %pe\n", ERR_PTR(err));
	return 0;
}

/* Behind hugetlbfs, and before devices are probed. */
fs_initcall_sync(hugetlb_luo_init);
