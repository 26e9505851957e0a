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

static int luo_flb_link_again(struct liveupdate_file_handler *fh,
			      struct liveupdate_flb *flb, struct luo_flb_link *link)
{
	if (link->state == LUO_FLB_LINKED)
		return -EEXIST;
	if (link->state == LUO_FLB_GONE) {
		if (fh->files)
			return -EBUSY;
		link->f->flb = flb;
		link->f->handlers++;
	}
	WRITE_ONCE(link->state, LUO_FLB_LINKED);
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
	if (link)
		return luo_flb_link_again(fh, flb, link);
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

/* Nothing of the FLB is called on behalf of the handler any more. */
static void luo_flb_link_detach(struct luo_flb_link *link)
{
	struct luo_flb *f = link->f;

	if (link->state == LUO_FLB_GONE)
		return;
	link->state = LUO_FLB_GONE;
	if (!--f->handlers && !f->pins)
		f->flb = NULL;
}

static void luo_flb_unlink(struct luo_flb_link *link)
{
	luo_flb_link_detach(link);
	list_del(&link->node);
	luo_flb_drop(link->f);
	kfree(link);
}

/* It is not registered any more: only what files need of it stays. */
static void luo_flb_link_reduce(struct liveupdate_file_handler *fh,
				struct luo_flb_link *link)
{
	if (!fh->files && !fh->retrieved)
		luo_flb_unlink(link);
	else if (fh->files && link->state != LUO_FLB_GONE)
		WRITE_ONCE(link->state, LUO_FLB_GOING);
	else
		luo_flb_link_detach(link);
}

/**
 * luo_flb_unregister - Undo luo_flb_register().
 * @luo: Instance.
 * @fh:  Handler.
 * @flb: FLB; ignored if it is not registered with @fh.
 *
 * Files of the handler that are preserved need it until the last is gone. Those
 * that were retrieved are still counted when they are finished.
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
	if (link && link->state == LUO_FLB_LINKED)
		luo_flb_link_reduce(fh, link);
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

/* What a handler's files depend on does not change while it has some. */
static void luo_flb_links_hold(struct luo *luo, unsigned long *files)
{
	guard(mutex)(&luo->flb_lock);
	++*files;
}

static void luo_flb_links_release(struct luo *luo,
				  struct liveupdate_file_handler *fh,
				  unsigned long *files)
{
	struct luo_flb_link *link, *next;

	guard(mutex)(&luo->flb_lock);
	if (--*files)
		return;
	list_for_each_entry_safe(link, next, &fh->flbs, node) {
		if (link->state != LUO_FLB_LINKED)
			luo_flb_link_reduce(fh, link);
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

/* Stays so while the handler has preserved files. */
static bool luo_flb_link_is_gone(const struct luo_flb_link *link)
{
	return READ_ONCE(link->state) == LUO_FLB_GONE;
}

static int luo_flb_add_file(const struct luo_flb_link *link, bool again)
{
	struct luo_flb *f = link->f;
	int err;

	if (luo_flb_link_is_gone(link))
		return 0;
	err = luo_flb_lock(f);
	if (err)
		return err;

	err = luo_flb_preserve(f);
	if (!err)
		err = luo_flb_count_file(f, 1, again);
	luo_flb_unlock(f);
	return err;
}

static void luo_flb_remove_file(const struct luo_flb_link *link, bool again)
{
	struct luo_flb *f = link->f;

	if (luo_flb_link_is_gone(link))
		return;
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

	luo_flb_links_hold(luo, &fh->files);
	list_for_each_entry(link, &fh->flbs, node) {
		err = luo_flb_add_file(link, again);
		if (!err)
			continue;
		list_for_each_entry_continue_reverse(link, &fh->flbs, node)
			luo_flb_remove_file(link, again);
		luo_flb_links_release(luo, fh, &fh->files);
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
		luo_flb_remove_file(link, again);
	luo_flb_links_release(luo, fh, &fh->files);
}

/**
 * luo_flb_files_orphan - The handler of a preserved file goes during reboot().
 * @luo:   Instance, frozen.
 * @fh:    Handler.
 * @again: As it was in luo_flb_files_preserve().
 */
void luo_flb_files_orphan(struct luo *luo, struct liveupdate_file_handler *fh,
			  bool again)
{
	struct luo_flb_link *link;

	guard(mutex)(&luo->flb_lock);
	list_for_each_entry(link, &fh->flbs, node) {
		if (link->state == LUO_FLB_GONE)
			continue;
		link->f->orphans++;
		link->f->carried_orphans += again;
	}
}

static bool luo_flb_has_orphans(const struct luo_flb *f)
{
	return f->orphans;
}

static void luo_flb_forget_orphans(struct luo_flb *f)
{
	guard(mutex)(&f->luo->flb_lock);
	f->out.files -= f->orphans;
	f->carried -= f->carried_orphans;
	f->orphans = 0;
	f->carried_orphans = 0;
	luo_flb_sync(f);
}

/**
 * luo_flb_drop_orphans - Let go of FLBs for files whose handler went during reboot().
 * @luo: Instance; reboot() was called off.
 */
void luo_flb_drop_orphans(struct luo *luo)
{
	struct luo_flb *f;

	while ((f = luo_flb_first(luo, luo_flb_has_orphans, luo_flb_goes_out_later))) {
		luo_flb_lock_uninterruptible(f);
		luo_flb_forget_orphans(f);
		luo_flb_unlock(f);
		luo_flb_put(f);
	}
}

/**
 * luo_flb_files_retrieved - A file of a handler is there and is to be finished.
 * @luo: Instance.
 * @fh:  Handler, pinned.
 */
void luo_flb_files_retrieved(struct luo *luo, struct liveupdate_file_handler *fh)
{
	luo_flb_links_hold(luo, &fh->retrieved);
}

/**
 * luo_flb_files_released - Undo luo_flb_files_retrieved().
 * @luo: Instance.
 * @fh:  Handler, pinned; its file was finished.
 */
void luo_flb_files_released(struct luo *luo, struct liveupdate_file_handler *fh)
{
	luo_flb_links_release(luo, fh, &fh->retrieved);
}

/**
 * luo_flb_files_finish - A file of a handler was finished.
 * @luo: Instance.
 * @fh:  Handler, pinned.
 *
 * luo_flb_finish_due() is to follow when all of its session are.
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
		/* Who unlocks it meanwhile must not finish it before newer ones. */
		if (link->f->in.files == 1) {
			link->f->ends = true;
			continue;
		}
		link->f->in.files--;
		luo_flb_sync(link->f);
	}
}

/* What nobody asked for may depend on what somebody did, not the other way round. */
static bool luo_flb_ends_before(const struct luo_flb *f, const struct luo_flb *other)
{
	bool other_retrieved = other->in.state == LUO_FLB_RETRIEVED;
	bool retrieved = f->in.state == LUO_FLB_RETRIEVED;

	if (retrieved != other_retrieved)
		return other_retrieved;
	return f->in.seq > other->in.seq;
}

static bool luo_flb_is_to_end(const struct luo_flb *f)
{
	return f->ends;
}

static void luo_flb_drop_last_file(struct luo_flb *f)
{
	guard(mutex)(&f->luo->flb_lock);
	f->ends = false;
	f->in.files = 0;
	luo_flb_sync(f);
}

/**
 * luo_flb_finish_due - Finish the FLBs that no file needs any more.
 * @luo: Instance.
 *
 * Those that nobody retrieved first, and of either kind the newest.
 */
void luo_flb_finish_due(struct luo *luo)
{
	struct luo_flb *f;

	while ((f = luo_flb_first(luo, luo_flb_is_to_end, luo_flb_ends_before))) {
		luo_flb_lock_uninterruptible(f);
		luo_flb_drop_last_file(f);
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
	list_for_each_entry(f, &luo->flbs, node)
		f->ends = f->in.files;
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
	luo_flb_finish_due(luo);
}
