// SPDX-License-Identifier: GPL-2.0-only
/*
 * File-lifecycle-bound data: state behind many files, preserved with the first
 * of them and released with the last.
 *
 * There is one page of records, ours from the moment somebody needs it. A
 * record describes either what came in and is not finished, or what goes out.
 */

#define pr_fmt(fmt) "liveupdate: " fmt

#include <linux/cleanup.h>
#include <linux/export.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/clock.h>
#include <linux/slab.h>
#include <trace/events/liveupdate.h>

#include "luo_internal.h"

#define LUO_FLB_MAX \
	((PAGE_SIZE - sizeof(struct luo_flb_page_ser)) / sizeof(struct luo_flb_ser))

/* ---- the page ---- */

static bool luo_flb_page_valid(const struct luo_flb_page_ser *page)
{
	return page && page->pages == 1 && page->count <= LUO_FLB_MAX;
}

static struct luo_flb_ser *luo_flb_record_find(struct luo *luo, const char *name)
{
	struct luo_flb_page_ser *page = luo->flb_page;
	u64 i;

	for (i = 0; page && i < page->count; i++) {
		if (!strncmp(page->flb[i].name, name, sizeof(page->flb[i].name)))
			return &page->flb[i];
	}
	return NULL;
}

static struct luo_flb_ser *luo_flb_record_add(struct luo *luo, const char *name)
{
	struct luo_flb_page_ser *page = luo->flb_page;
	struct luo_flb_ser *record;

	if (page->count == LUO_FLB_MAX)
		return NULL;

	record = &page->flb[page->count];
	strscpy_pad(record->name, name);
	page->count++;
	return record;
}

static void luo_flb_record_remove(struct luo *luo, struct luo_flb_ser *record)
{
	struct luo_flb_page_ser *page = luo->flb_page;
	struct luo_flb_ser *last = &page->flb[page->count - 1];

	*record = *last;
	memset(last, 0, sizeof(*last));
	page->count--;
}

static void luo_flb_drop_unusable(struct luo *luo)
{
	struct luo_flb_page_ser *page = luo->flb_page;
	u64 i;

	for (i = page->count; i-- > 0;) {
		struct luo_flb_ser *record = &page->flb[i];

		if (luo_name_valid(record->name) && record->count &&
		    luo_flb_record_find(luo, record->name) == record)
			continue;
		pr_warn("FLB record %llu is damaged; its memory stays reserved\n", i);
		luo_flb_record_remove(luo, record);
	}
}

/* A page that makes no sense is left alone, its memory reserved. */
static void luo_flb_page_take_over(struct luo *luo)
{
	u64 pa = luo->root->flb;

	luo->flb_read = true;
	if (!pa)
		return;

	if (PAGE_ALIGNED(pa) && luo_flb_page_valid(luo->memory->peek(pa)))
		luo->flb_page = luo->memory->claim(pa);
	if (luo->flb_page) {
		luo_flb_drop_unusable(luo);
		return;
	}
	pr_warn("list of FLBs is damaged; their memory stays reserved\n");
	luo->root->flb = 0;
}

static void luo_flb_page_read(struct luo *luo)
{
	lockdep_assert_held(&luo->flb_lock);
	if (!luo->flb_read)
		luo_flb_page_take_over(luo);
}

static int luo_flb_page_make(struct luo *luo)
{
	struct luo_flb_page_ser *page;

	luo_flb_page_read(luo);
	if (luo->flb_page)
		return 0;

	page = luo->memory->alloc();
	if (IS_ERR(page))
		return PTR_ERR(page);

	page->pages = 1;
	luo->flb_page = page;
	luo->root->flb = virt_to_phys(page);
	return 0;
}

static const struct liveupdate_flb_side *
luo_flb_side_to_hand_over(const struct liveupdate_flb *flb)
{
	return flb->incoming.files ? &flb->incoming : &flb->outgoing;
}

/* Bring the record in line with the FLB. Only a new record can fail. */
static int luo_flb_sync(struct luo *luo, struct liveupdate_flb *flb)
{
	const struct liveupdate_flb_side *side = luo_flb_side_to_hand_over(flb);
	struct luo_flb_ser *record = luo_flb_record_find(luo, flb->compatible);

	lockdep_assert_held(&luo->flb_lock);
	if (!side->files) {
		if (record)
			luo_flb_record_remove(luo, record);
		return 0;
	}
	if (!record)
		record = luo_flb_record_add(luo, flb->compatible);
	if (!record)
		return -ENOSPC;

	record->data = side->data;
	record->count = side->files;
	return 0;
}

/* ---- callbacks ---- */

static u64 luo_flb_op_begin(void)
{
	return trace_liveupdate_flb_op_enabled() ? local_clock() : 0;
}

static void luo_flb_op_end(const struct liveupdate_flb *flb, const char *op,
			   int err, u64 begin)
{
	if (begin)
		trace_liveupdate_flb_op(op, flb->compatible, err,
					local_clock() - begin);
}

static int luo_flb_op_call(struct liveupdate_flb *flb,
			   struct liveupdate_flb_side *side, const char *name,
			   int (*op)(struct liveupdate_flb_op_args *args))
{
	struct liveupdate_flb_op_args args = { .flb = flb, .data = side->data };
	u64 begin;
	int err;

	if (!try_module_get(flb->ops->owner))
		return -ENODEV;

	begin = luo_flb_op_begin();
	err = op(&args);
	luo_flb_op_end(flb, name, err, begin);
	if (err) {
		module_put(flb->ops->owner);
		return err;
	}
	side->pinned = true;
	side->data = args.data;
	side->obj = args.obj;
	return 0;
}

static void luo_flb_op_call_void(struct liveupdate_flb *flb,
				 struct liveupdate_flb_side *side,
				 const char *name,
				 void (*op)(struct liveupdate_flb_op_args *args))
{
	struct liveupdate_flb_op_args args = {
		.flb = flb, .data = side->data, .obj = side->obj,
	};
	u64 begin = luo_flb_op_begin();

	op(&args);
	luo_flb_op_end(flb, name, 0, begin);
	if (side->pinned)
		module_put(flb->ops->owner);
	*side = (struct liveupdate_flb_side) {};
}

/* ---- registration ---- */

static struct luo_flb_link *luo_flb_link_find(struct liveupdate_file_handler *fh,
					      struct liveupdate_flb *flb)
{
	struct luo_flb_link *link;

	list_for_each_entry(link, &fh->flbs, node) {
		if (link->flb == flb)
			return link;
	}
	return NULL;
}

static struct liveupdate_flb *luo_flb_find(struct luo *luo, const char *name)
{
	struct liveupdate_flb *flb;

	list_for_each_entry(flb, &luo->flbs, node) {
		if (!strncmp(flb->compatible, name, sizeof(flb->compatible)))
			return flb;
	}
	return NULL;
}

static bool luo_flb_complete(const struct liveupdate_flb *flb)
{
	const struct liveupdate_flb_ops *ops = flb->ops;

	return ops && ops->preserve && ops->unpreserve && ops->retrieve &&
	       ops->finish && luo_name_valid(flb->compatible);
}

/* The FLB's first handler: see what the previous kernel left for it. */
static void luo_flb_attach(struct luo *luo, struct liveupdate_flb *flb)
{
	const struct luo_flb_ser *record;

	flb->outgoing = (struct liveupdate_flb_side) {};
	flb->incoming = (struct liveupdate_flb_side) {};
	list_add_tail(&flb->node, &luo->flbs);

	luo_flb_page_read(luo);
	record = luo_flb_record_find(luo, flb->compatible);
	if (record) {
		flb->incoming.files = record->count;
		flb->incoming.data = record->data;
	}
}

static bool luo_handler_registered(struct luo *luo,
				   const struct liveupdate_file_handler *fh)
{
	const struct liveupdate_file_handler *other;

	list_for_each_entry(other, &luo->handlers, node) {
		if (other == fh)
			return true;
	}
	return false;
}

static int luo_flb_register_locked(struct luo *luo,
				   struct liveupdate_file_handler *fh,
				   struct liveupdate_flb *flb)
{
	struct liveupdate_flb *twin = luo_flb_find(luo, flb->compatible);
	struct luo_flb_link *link;

	if (!luo_handler_registered(luo, fh))
		return -EINVAL;
	if ((twin && twin != flb) || luo_flb_link_find(fh, flb))
		return -EEXIST;
	if (fh->files)
		return -EBUSY;

	link = kzalloc(sizeof(*link), GFP_KERNEL);
	if (!link)
		return -ENOMEM;

	if (!twin) {
		flb->handlers = 0;
		luo_flb_attach(luo, flb);
	}
	flb->handlers++;
	link->flb = flb;
	list_add_tail(&link->node, &fh->flbs);
	return 0;
}

/**
 * luo_flb_register - Make files of a handler depend on an FLB.
 * @luo: Instance.
 * @fh:  Registered handler.
 * @flb: FLB, perhaps registered with other handlers already.
 *
 * Return: 0, -EINVAL, -EEXIST, -EBUSY or -ENOMEM as liveupdate_register_flb()
 * does.
 */
int luo_flb_register(struct luo *luo, struct liveupdate_file_handler *fh,
		     struct liveupdate_flb *flb)
{
	if (!luo_flb_complete(flb))
		return -EINVAL;

	guard(rwsem_write)(&luo->handlers_lock);
	guard(mutex)(&luo->flb_lock);
	return luo_flb_register_locked(luo, fh, flb);
}

static void luo_flb_detach(struct luo_flb_link *link)
{
	struct liveupdate_flb *flb = link->flb;

	list_del(&link->node);
	kfree(link);
	if (!--flb->handlers)
		list_del(&flb->node);
}

/**
 * luo_flb_unregister - Undo luo_flb_register().
 * @luo: Instance.
 * @fh:  Handler.
 * @flb: FLB; ignored if it is not registered with @fh.
 */
void luo_flb_unregister(struct luo *luo, struct liveupdate_file_handler *fh,
			struct liveupdate_flb *flb)
{
	struct luo_flb_link *link;

	guard(rwsem_write)(&luo->handlers_lock);
	guard(mutex)(&luo->flb_lock);
	link = luo_handler_registered(luo, fh) ? luo_flb_link_find(fh, flb) : NULL;
	if (link)
		luo_flb_detach(link);
}

/**
 * luo_flb_unregister_all - Undo every luo_flb_register() of a handler.
 * @luo: Instance, handlers locked.
 * @fh:  Handler.
 */
void luo_flb_unregister_all(struct luo *luo, struct liveupdate_file_handler *fh)
{
	struct luo_flb_link *link, *next;

	lockdep_assert_held_write(&luo->handlers_lock);
	guard(mutex)(&luo->flb_lock);
	list_for_each_entry_safe(link, next, &fh->flbs, node)
		luo_flb_detach(link);
}

/* ---- files come and go ---- */

static int luo_flb_preserve_first(struct luo *luo, struct liveupdate_flb *flb)
{
	int err = luo_flb_page_make(luo);

	if (err)
		return err;
	return luo_flb_op_call(flb, &flb->outgoing, "preserve",
			       flb->ops->preserve);
}

static bool luo_flb_side_used(const struct liveupdate_flb_side *side)
{
	return side->files || side->users;
}

static void luo_flb_settle_outgoing(struct luo *luo, struct liveupdate_flb *flb)
{
	if (!luo_flb_side_used(&flb->outgoing))
		luo_flb_op_call_void(flb, &flb->outgoing, "unpreserve",
				     flb->ops->unpreserve);
	luo_flb_sync(luo, flb);
}

static void luo_flb_settle_incoming(struct luo *luo, struct liveupdate_flb *flb)
{
	if (!luo_flb_side_used(&flb->incoming))
		luo_flb_op_call_void(flb, &flb->incoming, "finish",
				     flb->ops->finish);
	luo_flb_sync(luo, flb);
}

static int luo_flb_add_file(struct luo *luo, struct liveupdate_flb *flb)
{
	int err;

	if (!luo_flb_side_used(&flb->outgoing)) {
		err = luo_flb_preserve_first(luo, flb);
		if (err)
			return err;
	}
	flb->outgoing.files++;
	err = luo_flb_sync(luo, flb);
	if (err) {
		flb->outgoing.files--;
		luo_flb_settle_outgoing(luo, flb);
	}
	return err;
}

static void luo_flb_remove_file(struct luo *luo, struct liveupdate_flb *flb)
{
	flb->outgoing.files--;
	luo_flb_settle_outgoing(luo, flb);
}

static void luo_flb_finish_file(struct luo *luo, struct liveupdate_flb *flb)
{
	if (!flb->incoming.files)
		return;

	flb->incoming.files--;
	luo_flb_settle_incoming(luo, flb);
}

/**
 * luo_flb_files_preserve - A file of a handler is being preserved.
 * @luo: Instance.
 * @fh:  Handler, pinned.
 *
 * Return: 0, or the first failure of an FLB and nothing has changed.
 */
int luo_flb_files_preserve(struct luo *luo, struct liveupdate_file_handler *fh)
{
	struct luo_flb_link *link;
	int err;

	guard(rwsem_read)(&luo->handlers_lock);
	guard(mutex)(&luo->flb_lock);
	list_for_each_entry(link, &fh->flbs, node) {
		err = luo_flb_add_file(luo, link->flb);
		if (!err)
			continue;
		list_for_each_entry_continue_reverse(link, &fh->flbs, node)
			luo_flb_remove_file(luo, link->flb);
		return err;
	}
	fh->files++;
	return 0;
}

/**
 * luo_flb_files_unpreserve - Undo luo_flb_files_preserve().
 * @luo: Instance.
 * @fh:  Handler, pinned.
 */
void luo_flb_files_unpreserve(struct luo *luo, struct liveupdate_file_handler *fh)
{
	struct luo_flb_link *link;

	guard(rwsem_read)(&luo->handlers_lock);
	guard(mutex)(&luo->flb_lock);
	fh->files--;
	list_for_each_entry_reverse(link, &fh->flbs, node)
		luo_flb_remove_file(luo, link->flb);
}

/**
 * luo_flb_files_finish - A file of a handler was finished.
 * @luo: Instance.
 * @fh:  Handler, pinned.
 */
void luo_flb_files_finish(struct luo *luo, struct liveupdate_file_handler *fh)
{
	struct luo_flb_link *link;

	if (list_empty(&fh->flbs))
		return;

	guard(rwsem_read)(&luo->handlers_lock);
	guard(mutex)(&luo->flb_lock);
	list_for_each_entry(link, &fh->flbs, node)
		luo_flb_finish_file(luo, link->flb);
}

static void luo_flb_forget(struct luo *luo, struct luo_flb_ser *record)
{
	struct liveupdate_flb *flb = luo_flb_find(luo, record->name);

	if (!flb) {
		luo_flb_record_remove(luo, record);
	} else if (flb->incoming.files) {
		flb->incoming.files = 0;
		luo_flb_settle_incoming(luo, flb);
	}
}

/**
 * luo_flb_forget_incoming - No incoming session is left that needs an FLB.
 * @luo: Instance.
 *
 * Files that could not be retrieved never finished theirs.
 */
void luo_flb_forget_incoming(struct luo *luo)
{
	u64 i;

	guard(mutex)(&luo->flb_lock);
	luo_flb_page_read(luo);
	for (i = luo->flb_page ? luo->flb_page->count : 0; i-- > 0;)
		luo_flb_forget(luo, &luo->flb_page->flb[i]);
}

/**
 * luo_flb_freeze - Check that each FLB has one state to hand over.
 * @luo: Instance, frozen.
 *
 * Return: 0, or -EBUSY if an FLB came in, was not finished and is to go out
 * anew.
 */
int luo_flb_freeze(struct luo *luo)
{
	struct liveupdate_flb *flb;

	guard(mutex)(&luo->flb_lock);
	list_for_each_entry(flb, &luo->flbs, node) {
		if (flb->incoming.files && flb->outgoing.files) {
			pr_warn("FLB %s: finish the sessions that came in with it first\n",
				flb->compatible);
			return -EBUSY;
		}
	}
	return 0;
}

/* ---- users ---- */

/**
 * luo_flb_get_incoming - Use what the previous kernel left of an FLB.
 * @luo: Instance.
 * @flb: FLB.
 * @obj: Gets the live object.
 *
 * Return: 0; -ENOENT if nothing was left; else the FLB's own error.
 */
int luo_flb_get_incoming(struct luo *luo, struct liveupdate_flb *flb, void **obj)
{
	struct liveupdate_flb_side *side = &flb->incoming;
	int err;

	guard(mutex)(&luo->flb_lock);
	if (luo_flb_find(luo, flb->compatible) != flb || !side->files)
		return -ENOENT;

	if (!side->retrieved) {
		err = luo_flb_op_call(flb, side, "retrieve", flb->ops->retrieve);
		if (err)
			return err;
		side->retrieved = true;
	}
	side->users++;
	*obj = side->obj;
	return 0;
}

/**
 * luo_flb_put_incoming - End luo_flb_get_incoming().
 * @luo: Instance.
 * @flb: FLB.
 */
void luo_flb_put_incoming(struct luo *luo, struct liveupdate_flb *flb)
{
	guard(mutex)(&luo->flb_lock);
	if (WARN_ON_ONCE(!flb->incoming.users))
		return;

	flb->incoming.users--;
	luo_flb_settle_incoming(luo, flb);
}

/**
 * luo_flb_get_outgoing - Use an FLB that is preserved.
 * @luo: Instance.
 * @flb: FLB.
 * @obj: Gets the live object.
 *
 * Return: 0, or -ENOENT if no file that depends on it is preserved.
 */
int luo_flb_get_outgoing(struct luo *luo, struct liveupdate_flb *flb, void **obj)
{
	struct liveupdate_flb_side *side = &flb->outgoing;

	guard(mutex)(&luo->flb_lock);
	if (luo_flb_find(luo, flb->compatible) != flb || !side->files)
		return -ENOENT;

	side->users++;
	*obj = side->obj;
	return 0;
}

/**
 * luo_flb_put_outgoing - End luo_flb_get_outgoing().
 * @luo: Instance.
 * @flb: FLB.
 */
void luo_flb_put_outgoing(struct luo *luo, struct liveupdate_flb *flb)
{
	guard(mutex)(&luo->flb_lock);
	if (WARN_ON_ONCE(!flb->outgoing.users))
		return;

	flb->outgoing.users--;
	luo_flb_settle_outgoing(luo, flb);
}
