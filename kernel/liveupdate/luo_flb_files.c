// SPDX-License-Identifier: GPL-2.0-only
/* File-lifecycle-bound data: which handlers depend on it, and their files. */

#include <linux/cleanup.h>
#include <linux/slab.h>

#include "luo_flb.h"

/* ---- registration ---- */

static struct luo_flb_link *luo_flb_link_find(struct liveupdate_file_handler *fh,
					      const struct luo_flb *f)
{
	struct luo_flb_link *link;

	list_for_each_entry(link, &fh->flbs, node) {
		if (link->f == f)
			return link;
	}
	return NULL;
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

static int luo_flb_link(struct luo *luo, struct liveupdate_file_handler *fh,
			struct liveupdate_flb *flb, struct luo_flb *f)
{
	struct luo_flb_link *link = kzalloc(sizeof(*link), GFP_KERNEL);

	if (!link)
		return -ENOMEM;
	if (f)
		f->refs++;
	else
		f = luo_flb_new(luo, flb->compatible);
	if (!f) {
		kfree(link);
		return -ENOMEM;
	}
	f->flb = flb;
	f->handlers++;
	link->f = f;
	list_add_tail(&link->node, &fh->flbs);
	return 0;
}

static int luo_flb_register_locked(struct luo *luo,
				   struct liveupdate_file_handler *fh,
				   struct liveupdate_flb *flb)
{
	struct luo_flb_link *link;
	struct luo_flb *f;
	int err;

	if (!luo_handler_registered(luo, fh))
		return -EINVAL;
	err = luo_flb_page_read(luo);
	if (err)
		return err;

	f = luo_flb_find(luo, flb->compatible);
	if (f && f->flb && f->flb != flb)
		return -EEXIST;
	link = f ? luo_flb_link_find(fh, f) : NULL;
	if (link && !link->going)
		return -EEXIST;
	if (link) {
		link->going = false;
		return 0;
	}
	return fh->files ? -EBUSY : luo_flb_link(luo, fh, flb, f);
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

static void luo_flb_unlink(struct luo_flb_link *link)
{
	struct luo_flb *f = link->f;

	list_del(&link->node);
	kfree(link);
	if (!--f->handlers && !f->pins)
		f->flb = NULL;
	luo_flb_drop(f);
}

/**
 * luo_flb_unregister - Undo luo_flb_register().
 * @luo: Instance.
 * @fh:  Handler.
 * @flb: FLB; ignored if it is not registered with @fh.
 *
 * Files of the handler that are preserved need it until the last is gone.
 */
void luo_flb_unregister(struct luo *luo, struct liveupdate_file_handler *fh,
			struct liveupdate_flb *flb)
{
	struct luo_flb_link *link;
	struct luo_flb *f;

	guard(rwsem_write)(&luo->handlers_lock);
	guard(mutex)(&luo->flb_lock);
	f = luo_flb_find(luo, flb->compatible);
	if (!f || f->flb != flb || !luo_handler_registered(luo, fh))
		return;

	link = luo_flb_link_find(fh, f);
	if (link && fh->files)
		link->going = true;
	else if (link)
		luo_flb_unlink(link);
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
		luo_flb_unlink(link);
}

/* ---- files come and go ---- */

/* A handler's list does not change while it has files. */
static void luo_flb_links_hold(struct luo *luo, struct liveupdate_file_handler *fh)
{
	guard(mutex)(&luo->flb_lock);
	fh->files++;
}

static void luo_flb_links_release(struct luo *luo,
				  struct liveupdate_file_handler *fh)
{
	struct luo_flb_link *link, *next;

	guard(mutex)(&luo->flb_lock);
	if (--fh->files)
		return;
	list_for_each_entry_safe(link, next, &fh->flbs, node) {
		if (link->going)
			luo_flb_unlink(link);
	}
}

/* Only a file more can fail. */
static int luo_flb_count_file(struct luo_flb *f, int n, bool again)
{
	int err;

	guard(mutex)(&f->luo->flb_lock);
	f->out.files += n;
	f->carried += again ? n : 0;
	err = luo_flb_sync(f);
	if (err) {
		f->out.files -= n;
		f->carried -= again ? n : 0;
	}
	return err;
}

static int luo_flb_add_file(struct luo_flb *f, bool again)
{
	int err = luo_flb_lock(f);

	if (err)
		return err;

	err = luo_flb_preserve(f);
	if (!err)
		err = luo_flb_count_file(f, 1, again);
	luo_flb_unlock(f);
	return err;
}

static void luo_flb_remove_file(struct luo_flb *f, bool again)
{
	luo_flb_lock_uninterruptible(f);
	luo_flb_count_file(f, -1, again);
	luo_flb_unlock(f);
}

/**
 * luo_flb_files_preserve - A file of a handler is being preserved.
 * @luo:   Instance.
 * @fh:    Handler, pinned.
 * @again: It came in and was retrieved.
 *
 * Return: 0, or the first failure of an FLB and nothing has changed.
 */
int luo_flb_files_preserve(struct luo *luo, struct liveupdate_file_handler *fh,
			   bool again)
{
	struct luo_flb_link *link;
	int err;

	luo_flb_links_hold(luo, fh);
	list_for_each_entry(link, &fh->flbs, node) {
		err = luo_flb_add_file(link->f, again);
		if (!err)
			continue;
		list_for_each_entry_continue_reverse(link, &fh->flbs, node)
			luo_flb_remove_file(link->f, again);
		luo_flb_links_release(luo, fh);
		return err;
	}
	return 0;
}

/**
 * luo_flb_files_unpreserve - Undo luo_flb_files_preserve().
 * @luo:   Instance.
 * @fh:    Handler, pinned.
 * @again: As it was there.
 */
void luo_flb_files_unpreserve(struct luo *luo, struct liveupdate_file_handler *fh,
			      bool again)
{
	struct luo_flb_link *link;

	list_for_each_entry_reverse(link, &fh->flbs, node)
		luo_flb_remove_file(link->f, again);
	luo_flb_links_release(luo, fh);
}

/**
 * luo_flb_files_finish - A file of a handler was finished.
 * @luo: Instance.
 * @fh:  Handler, pinned.
 *
 * luo_flb_settle() is to follow when all of its session are.
 */
void luo_flb_files_finish(struct luo *luo, struct liveupdate_file_handler *fh)
{
	struct luo_flb_link *link;

	if (list_empty(&fh->flbs))
		return;

	guard(mutex)(&luo->flb_lock);
	list_for_each_entry(link, &fh->flbs, node) {
		if (link->f->in.state == LUO_FLB_DAMAGED || !link->f->in.files)
			continue;
		link->f->in.files--;
		luo_flb_sync(link->f);
	}
}

static struct luo_flb *luo_flb_newest_due(struct luo *luo)
{
	struct luo_flb *f, *newest = NULL;

	guard(mutex)(&luo->flb_lock);
	list_for_each_entry(f, &luo->flbs, node) {
		if (luo_flb_is_due(&f->in) &&
		    (!newest || newest->in.seq < f->in.seq))
			newest = f;
	}
	if (newest)
		newest->refs++;
	return newest;
}

/**
 * luo_flb_settle - Finish the FLBs that no file needs any more, newest first.
 * @luo: Instance.
 */
void luo_flb_settle(struct luo *luo)
{
	struct luo_flb *f;

	while ((f = luo_flb_newest_due(luo))) {
		luo_flb_lock_uninterruptible(f);
		luo_flb_unlock(f);
		luo_flb_put(f);
	}
}

static void luo_flb_forget_files(struct luo *luo)
{
	struct luo_flb *f;

	guard(mutex)(&luo->flb_lock);
	/* Without memory for it the page goes on as it came. */
	luo_flb_page_read(luo);
	list_for_each_entry(f, &luo->flbs, node) {
		f->in.files = 0;
		luo_flb_sync(f);
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
	luo_flb_forget_files(luo);
	luo_flb_settle(luo);
}
