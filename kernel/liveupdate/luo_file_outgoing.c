// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files on their way to the next kernel: preserve, freeze and the undo of both.
 *
 * A file is engaged while its handler has preserved it in this kernel: it
 * can't be preserved a second time, its FLBs are held and it takes part in
 * freeze. Files of outgoing sessions are, and for the time of reboot() those
 * that were retrieved from a session that nobody finished.
 */

#define pr_fmt(fmt) "liveupdate: " fmt

#include <linux/cleanup.h>
#include <linux/export.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/memcontrol.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "luo_file.h"

/* ---- engaged files ---- */

static int luo_file_cmp_id_key(const void *key, const struct rb_node *node)
{
	const struct luo_file *a = key;
	const struct luo_file *b = rb_entry(node, struct luo_file, by_id);

	return cmp_int(a->id, b->id) ?:
	       cmp_int((unsigned long)a->handler, (unsigned long)b->handler);
}

static int luo_file_cmp_id(struct rb_node *node, const struct rb_node *other)
{
	return luo_file_cmp_id_key(rb_entry(node, struct luo_file, by_id), other);
}

static unsigned long luo_file_id(const struct liveupdate_file_handler *fh,
				 struct file *file)
{
	return fh->ops->get_id ? fh->ops->get_id(file) : (unsigned long)file;
}

static int luo_file_claim_id(struct luo_file *f)
{
	struct luo *luo = luo_of(f);

	f->id = luo_file_id(f->handler, f->file);
	guard(mutex)(&luo->lock);
	if (!rb_find_add(&f->by_id, &luo->by_id, luo_file_cmp_id))
		return 0;

	RB_CLEAR_NODE(&f->by_id);
	return -EBUSY;
}

/**
 * luo_file_release_id - A file may be preserved again.
 * @f: File that was engaged.
 */
void luo_file_release_id(struct luo_file *f)
{
	struct luo *luo = luo_of(f);

	guard(mutex)(&luo->lock);
	rb_erase(&f->by_id, &luo->by_id);
	RB_CLEAR_NODE(&f->by_id);
	list_del_init(&f->freeze_node);
}

static void luo_file_list_freezable(struct luo_file *f)
{
	struct luo *luo = luo_of(f);

	if (!f->handler->ops->freeze && !f->handler->ops->settle)
		return;

	guard(mutex)(&luo->lock);
	list_add_tail(&f->freeze_node, &luo->freeze_files[f->height]);
}

static int luo_file_engage(struct luo_file *f)
{
	enum luo_file_state before = f->state;
	struct luo *luo = luo_of(f);
	int err;

	err = luo_file_claim_id(f);
	if (err)
		return err;

	err = luo_flb_files_preserve(luo, f->handler, luo_file_again(f));
	if (err)
		goto err_release_id;

	f->outgoing = (struct luo_keep) {};
	f->height = 0;
	f->state = LUO_FILE_PRESERVED;
	err = luo_op_call(f, "preserve", f->handler->ops->preserve);
	if (err)
		goto err_unpreserve_flbs;

	luo_file_list_freezable(f);
	luo_file_write_record(f);
	return 0;

err_unpreserve_flbs:
	f->state = before;
	luo_flb_files_unpreserve(luo, f->handler, luo_file_again(f));
err_release_id:
	luo_file_release_id(f);
	return err;
}

/**
 * luo_file_disengage - Let the handler undo preserve.
 * @f: Engaged file of a locked session.
 */
void luo_file_disengage(struct luo_file *f)
{
	luo_op_call_void(f, "unpreserve", f->handler->ops->unpreserve);
	f->preserved_bytes = 0;
	luo_flb_files_unpreserve(luo_of(f), f->handler, luo_file_again(f));
	luo_file_release_id(f);
}

/* ---- sessions ---- */

/**
 * luo_file_preserve - Put a file into an outgoing session.
 * @session: Session, locked.
 * @file:    File.
 * @token:   Its token.
 *
 * Return: 0, or an errno of ioctl(LIVEUPDATE_SESSION_PRESERVE_FD) and nothing
 * has changed.
 */
int luo_file_preserve(struct liveupdate_session *session, struct file *file,
		      u64 token)
{
	struct luo_file_set *files = &session->files;
	struct luo_file *f;
	int err = -ENOENT;

	if (luo_file_find(files, token))
		return -EEXIST;

	f = luo_file_alloc(session, token, LUO_FILE_PRESERVED,
			   GFP_KERNEL_ACCOUNT);
	if (!f)
		return -ENOMEM;

	f->file = get_file(file);
	f->memcg = get_mem_cgroup_from_mm(current->mm);
	f->handler = luo_handler_for_file(session->luo, file);
	if (!f->handler)
		goto err_free;

	err = luo_chain_add(&files->chain, &f->slot);
	if (err)
		goto err_put_handler;

	err = luo_file_engage(f);
	if (err)
		goto err_remove_record;

	luo_file_insert(f);
	WRITE_ONCE(files->count, files->count + 1);
	luo_session_sync(session, 1);
	return 0;

err_remove_record:
	luo_chain_remove(&files->chain, &f->slot);
err_put_handler:
	luo_handler_put(f->handler);
err_free:
	luo_file_free(f);
	return err;
}

/* The record of the newest file comes in its place. */
static void luo_file_set_disorder(struct luo_file_set *files, struct luo *luo)
{
	files->disordered = true;
	guard(mutex)(&luo->lock);
	luo->disordered = true;
}

static void luo_file_unpreserve_one(struct luo_file *f)
{
	struct liveupdate_session *session = f->session;
	struct luo_file_set *files = &session->files;

	if (files->newest != &f->by_seq && !files->disordered)
		luo_file_set_disorder(files, session->luo);
	luo_file_erase(f);
	if (luo_file_is_engaged(f))
		luo_file_disengage(f);
	luo_file_drop_lost(f);
	luo_chain_remove(&files->chain, &f->slot);
	WRITE_ONCE(files->count, files->count - 1);
	luo_session_sync(session, -1);
	luo_file_unbind(f);
	luo_file_free(f);
}

/**
 * luo_file_unpreserve - Take one file out of an outgoing session.
 * @session: Session, locked.
 * @token:   Token of the file.
 *
 * Return: 0, -ENOENT, or -EBUSY if another file depends on it.
 */
int luo_file_unpreserve(struct liveupdate_session *session, u64 token)
{
	struct luo_file *f = luo_file_find(&session->files, token);

	if (!f)
		return -ENOENT;
	if (f->dependents)
		return -EBUSY;

	luo_file_unpreserve_one(f);
	return 0;
}

/**
 * luo_file_set_unpreserve - Empty an outgoing session, newest file first.
 * @session: Session, locked.
 */
void luo_file_set_unpreserve(struct liveupdate_session *session)
{
	struct rb_node *node;

	while ((node = session->files.newest)) {
		luo_file_unpreserve_one(rb_entry(node, struct luo_file, by_seq));
		cond_resched();
	}
}

/* ---- reboot ---- */

/* Who happens to call it does not pay for what others preserve. */
static int luo_file_at_cost_of_owner(struct luo_file *f,
				     int (*fn)(struct luo_file *f))
{
	struct mem_cgroup *caller = set_active_memcg(f->memcg);
	int err = fn(f);

	set_active_memcg(caller);
	return err;
}

/* The next kernel finishes files in the order of their records, backwards. */
static int luo_file_set_put_in_order(struct liveupdate_session *session)
{
	struct luo_file_set *files = &session->files;
	struct rb_node *node = rb_first(&files->by_seq);
	struct luo_block *block;
	u32 i;

	guard(mutex)(&session->lock);
	if (!files->disordered)
		return 0;
	/* What is known of a lost file stands in its record only. */
	if (READ_ONCE(session->luo->lost_files))
		return -ENODEV;

	list_for_each_entry(block, &files->chain.blocks, node) {
		for (i = 0; i < block->ser->count; i++, node = rb_next(node)) {
			struct luo_file *f = rb_entry(node, struct luo_file, by_seq);

			luo_slot_own(&f->slot, block, i);
			luo_file_write_record(f);
		}
	}
	files->disordered = false;
	return 0;
}

static int luo_files_put_in_order(struct luo *luo)
{
	struct rb_node *node;
	int err = 0;

	if (!luo->disordered)
		return 0;

	for (node = rb_first(&luo->by_seq); node && !err; node = rb_next(node))
		err = luo_file_set_put_in_order(rb_entry(node, struct liveupdate_session,
							 by_seq));
	if (!err)
		luo->disordered = false;
	return err;
}

static int luo_file_freeze(struct luo_file *f)
{
	const struct liveupdate_file_ops *ops;
	int err = 0;

	guard(mutex)(&f->session->lock);
	ops = f->handler ? f->handler->ops : NULL;
	if (!ops)
		err = -ENODEV;
	else if (ops->freeze)
		err = luo_op_call(f, "freeze", ops->freeze);
	if (err) {
		luo_session_warn(f->session, "token %llu: freeze failed: %pe\n",
				 f->token, ERR_PTR(err));
		return err;
	}
	f->state = LUO_FILE_FROZEN;
	luo_file_write_record(f);
	if (ops->settle)
		luo_of(f)->settles = true;
	return 0;
}

static void luo_file_unfreeze(struct luo_file *f)
{
	const struct liveupdate_file_ops *ops;

	guard(mutex)(&f->session->lock);
	if (f->state != LUO_FILE_FROZEN)
		return;
	ops = f->handler->ops;
	if (ops->freeze && ops->unfreeze)
		luo_op_call_void(f, "unfreeze", ops->unfreeze);
	f->state = LUO_FILE_PRESERVED;
	luo_file_write_record(f);
}

/* Who depends on others first, else oldest first. */
#define luo_for_each_freezable(_luo, _height, _f)				\
	for ((_height) = LUO_DEPENDENCY_DEPTH; (_height)-- > 0;)		\
		list_for_each_entry(_f, &(_luo)->freeze_files[_height], freeze_node)

#define luo_for_each_freezable_reverse(_luo, _height, _f)			\
	for ((_height) = 0; (_height) < LUO_DEPENDENCY_DEPTH; (_height)++)	\
		list_for_each_entry_reverse(_f, &(_luo)->freeze_files[_height],	\
					    freeze_node)

/**
 * luo_files_unfreeze - Undo luo_files_freeze(), in reverse order.
 * @luo: Instance, frozen.
 */
void luo_files_unfreeze(struct luo *luo)
{
	unsigned int height;
	struct luo_file *f;

	luo_for_each_freezable_reverse(luo, height, f)
		luo_file_unfreeze(f);
	luo->settles = false;
}

/**
 * luo_files_freeze - Freeze every file that asks for it.
 * @luo: Instance, frozen: the lists of files can't change.
 *
 * Files that depend on others before these, else oldest first.
 *
 * Return: 0, or the first failure, after those frozen were unfrozen.
 */
int luo_files_freeze(struct luo *luo)
{
	unsigned int height;
	struct luo_file *f;
	int err;

	err = luo_files_put_in_order(luo);
	if (err)
		return err;

	luo_for_each_freezable(luo, height, f) {
		err = luo_file_at_cost_of_owner(f, luo_file_freeze);
		if (err) {
			luo_files_unfreeze(luo);
			return err;
		}
	}
	return 0;
}

/**
 * luo_files_settle - The jump is next: tell the handlers that want to know.
 * @luo: Instance, its files frozen. Nothing else runs.
 */
void luo_files_settle(struct luo *luo)
{
	unsigned int height;
	struct luo_file *f;

	if (!luo->settles)
		return;
	luo_for_each_freezable(luo, height, f) {
		if (f->handler && f->handler->ops->settle)
			luo_op_call_alone(f, "settle", f->handler->ops->settle);
	}
}

/**
 * luo_files_unsettle - Undo luo_files_settle(), in reverse order.
 * @luo: Instance; as for luo_files_settle().
 */
void luo_files_unsettle(struct luo *luo)
{
	unsigned int height;
	struct luo_file *f;

	if (!luo->settles)
		return;
	luo_for_each_freezable_reverse(luo, height, f) {
		if (f->handler && f->handler->ops->unsettle)
			luo_op_call_alone(f, "unsettle",
					  f->handler->ops->unsettle);
	}
}

static void luo_file_uncarry(struct luo_file *f)
{
	luo_file_disengage(f);
	f->state = LUO_FILE_RETRIEVED;
	luo_file_write_record(f);
}

/**
 * luo_file_set_carry - Preserve again what was retrieved and not finished.
 * @session: Incoming session, locked, of a frozen instance.
 *
 * Return: 0, or the first failure; undo with luo_file_set_uncarry().
 */
int luo_file_set_carry(struct liveupdate_session *session)
{
	struct luo_file *f;
	int err;

	list_for_each_entry(f, &session->files.retrieved, retrieved_node) {
		err = f->handler ? luo_file_at_cost_of_owner(f, luo_file_engage) :
				   -ENODEV;
		if (err) {
			luo_session_warn(session, "token %llu was retrieved, not finished, and can't be preserved again: %pe\n",
					 f->token, ERR_PTR(err));
			return err;
		}
	}
	return 0;
}

/**
 * luo_file_set_uncarry - Undo luo_file_set_carry(), newest file first.
 * @session: Incoming session, locked.
 */
void luo_file_set_uncarry(struct liveupdate_session *session)
{
	struct luo_file *f;

	list_for_each_entry_reverse(f, &session->files.retrieved, retrieved_node) {
		if (f->state == LUO_FILE_PRESERVED)
			luo_file_uncarry(f);
	}
}

/* ---- in-kernel users ---- */

static struct luo_file *luo_file_find_outgoing(struct liveupdate_session *session,
					       struct file *file)
{
	struct luo *luo = session->luo;
	struct luo_file key = {};
	struct luo_file *found = NULL;
	struct rb_node *node;

	key.handler = luo_handler_for_file(luo, file);
	if (!key.handler)
		return NULL;
	key.id = luo_file_id(key.handler, file);

	mutex_lock(&luo->lock);
	node = rb_find(&key, &luo->by_id, luo_file_cmp_id_key);
	if (node)
		found = rb_entry(node, struct luo_file, by_id);
	/* Who asks for itself is not preserved yet. */
	if (found && (found->session != session || found == session->files.calling))
		found = NULL;
	mutex_unlock(&luo->lock);
	luo_handler_put(key.handler);
	return found;
}

/**
 * liveupdate_get_token_outgoing - Find under which token a file is preserved.
 * @session: Session of the file operation that asks.
 * @file:    A file that the one of the operation depends on.
 * @token:   Gets its token.
 *
 * The file is frozen after the one that depends on it. It can't be unpreserved
 * alone until liveupdate_put_token_outgoing(): call that in the unpreserve
 * operation.
 *
 * Context: inside a file operation of @session.
 * Return: 0; -ENOENT if the file is not in @session; -ELOOP if too many files
 * in a row depend on the next; -ENOMEM.
 */
int liveupdate_get_token_outgoing(struct liveupdate_session *session,
				  struct file *file, u64 *token)
{
	struct luo_file *f, *asker = session->files.calling;
	int err;

	lockdep_assert_held(&session->lock);
	f = luo_file_find_outgoing(session, file);
	if (!f)
		return -ENOENT;
	if (f->height + 1 == LUO_DEPENDENCY_DEPTH)
		return -ELOOP;

	err = luo_file_get_dependent(f);
	if (err)
		return err;
	if (asker)
		asker->height = max(asker->height, f->height + 1);
	*token = f->token;
	return 0;
}
EXPORT_SYMBOL_GPL(liveupdate_get_token_outgoing);

/**
 * liveupdate_put_token_outgoing - End liveupdate_get_token_outgoing().
 * @session: Session.
 * @token:   What it gave.
 *
 * Context: inside a file operation of @session.
 */
void liveupdate_put_token_outgoing(struct liveupdate_session *session, u64 token)
{
	luo_file_put_dependent(session, token);
}
EXPORT_SYMBOL_GPL(liveupdate_put_token_outgoing);
