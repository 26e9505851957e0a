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

static void luo_file_release_id(struct luo_file *f)
{
	struct luo *luo = luo_of(f);

	guard(mutex)(&luo->lock);
	rb_erase(&f->by_id, &luo->by_id);
	RB_CLEAR_NODE(&f->by_id);
	list_del_init(&f->freeze_node);
}

static int luo_file_engage(struct luo_file *f)
{
	struct luo *luo = luo_of(f);
	int err;

	err = luo_file_claim_id(f);
	if (err)
		return err;

	err = luo_flb_files_preserve(luo, f->handler);
	if (err)
		goto err_release_id;

	err = luo_op_call(f, "preserve", f->handler->ops->preserve);
	if (err)
		goto err_unpreserve_flbs;

	if (f->handler->ops->freeze) {
		mutex_lock(&luo->lock);
		list_add_tail(&f->freeze_node, &luo->freeze_files);
		mutex_unlock(&luo->lock);
	}
	f->state = LUO_FILE_PRESERVED;
	luo_file_write_record(f);
	return 0;

err_unpreserve_flbs:
	luo_flb_files_unpreserve(luo, f->handler);
err_release_id:
	luo_file_release_id(f);
	return err;
}

static void luo_file_disengage(struct luo_file *f)
{
	luo_op_call_void(f, "unpreserve", f->handler->ops->unpreserve);
	f->private_data = NULL;
	f->preserved_bytes = 0;
	luo_flb_files_unpreserve(luo_of(f), f->handler);
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
	fput(f->file);
	kfree(f);
	return err;
}

static void luo_file_unpreserve_one(struct luo_file *f)
{
	struct liveupdate_session *session = f->session;

	luo_file_erase(f);
	luo_file_disengage(f);
	luo_chain_remove(&session->files.chain, &f->slot);
	WRITE_ONCE(session->files.count, session->files.count - 1);
	luo_session_sync(session, -1);
	luo_handler_put(f->handler);
	fput(f->file);
	kfree(f);
}

/**
 * luo_file_unpreserve - Take one file out of an outgoing session.
 * @session: Session, locked.
 * @token:   Token of the file.
 *
 * Return: 0, -ENOENT, or -EBUSY if a driver depends on the file.
 */
int luo_file_unpreserve(struct liveupdate_session *session, u64 token)
{
	struct luo_file *f = luo_file_find(&session->files, token);

	if (!f)
		return -ENOENT;
	if (f->pins)
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

static int luo_file_freeze(struct luo_file *f)
{
	int err;

	guard(mutex)(&f->session->lock);
	err = luo_op_call(f, "freeze", f->handler->ops->freeze);
	if (err) {
		pr_warn("session %s: token %llu: freeze failed: %pe\n",
			f->session->name, f->token, ERR_PTR(err));
		return err;
	}
	f->state = LUO_FILE_FROZEN;
	luo_file_write_record(f);
	return 0;
}

static void luo_file_unfreeze(struct luo_file *f)
{
	guard(mutex)(&f->session->lock);
	if (f->handler->ops->unfreeze)
		luo_op_call_void(f, "unfreeze", f->handler->ops->unfreeze);
	f->state = LUO_FILE_PRESERVED;
	luo_file_write_record(f);
}

/**
 * luo_files_unfreeze - Undo luo_files_freeze(), newest file first.
 * @luo: Instance, frozen.
 */
void luo_files_unfreeze(struct luo *luo)
{
	struct luo_file *f;

	list_for_each_entry_reverse(f, &luo->freeze_files, freeze_node) {
		if (f->state == LUO_FILE_FROZEN)
			luo_file_unfreeze(f);
	}
}

/**
 * luo_files_freeze - Freeze every file that asks for it, oldest first.
 * @luo: Instance, frozen: the list of files can't change.
 *
 * Return: 0, or the first failure, after those frozen were unfrozen.
 */
int luo_files_freeze(struct luo *luo)
{
	struct luo_file *f;
	int err;

	list_for_each_entry(f, &luo->freeze_files, freeze_node) {
		err = luo_file_freeze(f);
		if (err) {
			luo_files_unfreeze(luo);
			return err;
		}
	}
	return 0;
}

static int luo_file_carry(struct luo_file *f)
{
	int err;

	f->retrieved_data = f->data;
	f->retrieved_private = f->private_data;
	err = luo_file_engage(f);
	if (err)
		f->private_data = f->retrieved_private;
	return err;
}

/* The handler finds again what it left in retrieve. */
static void luo_file_uncarry(struct luo_file *f)
{
	luo_file_disengage(f);
	f->data = f->retrieved_data;
	f->private_data = f->retrieved_private;
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
		err = luo_file_carry(f);
		if (err) {
			pr_warn("session %s: token %llu was retrieved, not finished, and can't be preserved again: %pe\n",
				session->name, f->token, ERR_PTR(err));
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
	if (found && found->session != session)
		found = NULL;
	mutex_unlock(&luo->lock);
	luo_handler_put(key.handler);
	return found;
}

/**
 * liveupdate_get_token_outgoing - Find under which token a file is preserved.
 * @session: Session of the file operation that asks.
 * @file:    A file the caller depends on.
 * @token:   Gets its token.
 *
 * The file can't be unpreserved alone until
 * liveupdate_put_token_outgoing(): call that in the unpreserve operation.
 *
 * Context: inside a file operation of @session.
 * Return: 0, or -ENOENT if the file is not in @session.
 */
int liveupdate_get_token_outgoing(struct liveupdate_session *session,
				  struct file *file, u64 *token)
{
	struct luo_file *f;

	lockdep_assert_held(&session->lock);
	f = luo_file_find_outgoing(session, file);
	if (!f)
		return -ENOENT;

	f->pins++;
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
	luo_file_unpin(session, token);
}
EXPORT_SYMBOL_GPL(liveupdate_put_token_outgoing);
