// SPDX-License-Identifier: GPL-2.0-only
/*
 * File handlers, and the files of a session from preserve to finish.
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
#include <linux/module.h>
#include <linux/sched/clock.h>
#include <linux/slab.h>
#include <linux/sort.h>

#define CREATE_TRACE_POINTS
#include <trace/events/liveupdate.h>

#include "luo_internal.h"
#include "luo_seq.h"

/* ---- handlers ---- */

static struct liveupdate_file_handler *luo_handler_find(struct luo *luo,
							const char *name)
{
	struct liveupdate_file_handler *fh;

	lockdep_assert_held(&luo->handlers_lock);

	list_for_each_entry(fh, &luo->handlers, node) {
		if (!strncmp(fh->compatible, name, sizeof(fh->compatible)))
			return fh;
	}
	return NULL;
}

static bool luo_handler_complete(const struct liveupdate_file_handler *fh)
{
	const struct liveupdate_file_ops *ops = fh->ops;

	return ops && ops->can_preserve && ops->preserve && ops->unpreserve &&
	       ops->retrieve && ops->finish && luo_name_valid(fh->compatible);
}

/**
 * luo_handler_register - Add a file handler.
 * @luo: Instance.
 * @fh:  Handler.
 *
 * Return: 0, -EINVAL or -EEXIST as liveupdate_register_file_handler() does.
 */
int luo_handler_register(struct luo *luo, struct liveupdate_file_handler *fh)
{
	if (!luo_handler_complete(fh))
		return -EINVAL;

	guard(rwsem_write)(&luo->handlers_lock);
	if (luo_handler_find(luo, fh->compatible))
		return -EEXIST;

	INIT_LIST_HEAD(&fh->flbs);
	fh->files = 0;
	list_add_tail(&fh->node, &luo->handlers);
	return 0;
}

/**
 * luo_handler_unregister - Take a file handler away.
 * @luo: Instance.
 * @fh:  Handler; ignored if it is not registered.
 */
void luo_handler_unregister(struct luo *luo, struct liveupdate_file_handler *fh)
{
	guard(rwsem_write)(&luo->handlers_lock);
	if (luo_handler_find(luo, fh->compatible) != fh)
		return;

	list_del(&fh->node);
	luo_flb_unregister_all(luo, fh);
}

/* Pins the module; the handler of a module that is going does not count. */
static struct liveupdate_file_handler *luo_handler_get(struct luo *luo,
						       const char *name)
{
	struct liveupdate_file_handler *fh;

	guard(rwsem_read)(&luo->handlers_lock);
	fh = luo_handler_find(luo, name);
	return fh && try_module_get(fh->ops->owner) ? fh : NULL;
}

static struct liveupdate_file_handler *luo_handler_for_file(struct luo *luo,
							    struct file *file)
{
	struct liveupdate_file_handler *fh;

	guard(rwsem_read)(&luo->handlers_lock);
	list_for_each_entry(fh, &luo->handlers, node) {
		if (!try_module_get(fh->ops->owner))
			continue;
		if (fh->ops->can_preserve(fh, file))
			return fh;
		module_put(fh->ops->owner);
	}
	return NULL;
}

static void luo_handler_put(struct liveupdate_file_handler *fh)
{
	module_put(fh->ops->owner);
}

/* ---- callbacks ---- */

static struct luo *luo_of(const struct luo_file *f)
{
	return f->session->luo;
}

static struct liveupdate_file_op_args luo_file_args(const struct luo_file *f)
{
	return (struct liveupdate_file_op_args) {
		.handler = f->handler,
		.session = f->session,
		.retrieve_status = f->retrieve_status,
		.file = f->file,
		.serialized_data = f->data,
		.private_data = f->private_data,
		.preserved_bytes = f->preserved_bytes,
	};
}

static u64 luo_op_begin(const struct luo_file *f)
{
	lockdep_assert_held(&f->session->lock);

	return trace_liveupdate_file_op_enabled() ? local_clock() : 0;
}

static void luo_op_end(const struct luo_file *f, const char *op, int err,
		       u64 begin)
{
	if (begin)
		trace_liveupdate_file_op(op, f->session->name, f->token,
					 f->handler->compatible, err,
					 local_clock() - begin);
}

/*
 * A callback that fails changes nothing but what is its own, which includes what
 * retrieve was given.
 */
static int luo_op_call(struct luo_file *f, const char *name,
		       int (*op)(struct liveupdate_file_op_args *args))
{
	struct liveupdate_file_op_args args = luo_file_args(f);
	u64 begin = luo_op_begin(f);
	int err = op(&args);

	luo_op_end(f, name, err, begin);
	f->private_data = args.private_data;
	if (!err || f->state == LUO_FILE_INCOMING)
		f->data = args.serialized_data;
	if (err)
		return err;

	f->file = args.file;
	f->preserved_bytes = args.preserved_bytes;
	return 0;
}

static void luo_op_call_void(struct luo_file *f, const char *name,
			     void (*op)(struct liveupdate_file_op_args *args))
{
	struct liveupdate_file_op_args args = luo_file_args(f);
	u64 begin = luo_op_begin(f);

	op(&args);
	luo_op_end(f, name, 0, begin);
	f->private_data = args.private_data;
	f->data = args.serialized_data;
}

static bool luo_op_can_finish(struct luo_file *f)
{
	struct liveupdate_file_op_args args = luo_file_args(f);
	u64 begin = luo_op_begin(f);
	bool can = true;

	if (f->handler->ops->can_finish)
		can = f->handler->ops->can_finish(&args);
	luo_op_end(f, "can_finish", can ? 0 : -EBUSY, begin);
	return can;
}

/* ---- file sets ---- */

static int luo_file_cmp_token(const void *token, const struct rb_node *node)
{
	u64 other = rb_entry(node, struct luo_file, by_token)->token;

	return cmp_int(*(const u64 *)token, other);
}

static int luo_file_cmp(struct rb_node *node, const struct rb_node *other)
{
	return luo_file_cmp_token(&rb_entry(node, struct luo_file, by_token)->token,
				  other);
}

/**
 * luo_file_find - Look a file up by its token.
 * @files: Files of a session, locked.
 * @token: Token.
 *
 * Return: the file or NULL.
 */
struct luo_file *luo_file_find(struct luo_file_set *files, u64 token)
{
	struct rb_node *node = NULL;

	if (!files->highest || luo_file_cmp_token(&token, files->highest) > 0)
		return NULL;
	if (files->recent)
		node = rb_next(files->recent);
	if (!node || luo_file_cmp_token(&token, node))
		node = rb_find(&token, &files->by_token, luo_file_cmp_token);
	if (!node)
		return NULL;

	files->recent = node;
	return rb_entry(node, struct luo_file, by_token);
}

static int luo_file_cmp_seq(const void *seq, const struct rb_node *node)
{
	return cmp_int(*(const u64 *)seq,
		       rb_entry(node, struct luo_file, by_seq)->seq);
}

/**
 * luo_file_next - Look a file up by its age.
 * @files: Files of a session, locked.
 * @seq:   Sequence number.
 *
 * Return: the oldest file not older than @seq, or NULL.
 */
struct luo_file *luo_file_next(struct luo_file_set *files, u64 seq)
{
	struct rb_node *node = luo_seq_find(&files->by_seq, &seq,
					    luo_file_cmp_seq);

	return node ? rb_entry(node, struct luo_file, by_seq) : NULL;
}

/**
 * luo_file_set_init - Start the files of a session.
 * @files:    Set to initialise.
 * @luo:      Instance.
 * @incoming: First block of records of the previous kernel, or 0.
 * @count:    Number of records there.
 */
void luo_file_set_init(struct luo_file_set *files, struct luo *luo, u64 incoming,
		       u64 count)
{
	files->by_token = RB_ROOT;
	files->by_seq = RB_ROOT;
	files->newest = NULL;
	files->highest = NULL;
	files->recent = NULL;
	files->next_seq = 1;
	files->count = count;
	files->read = false;
	INIT_LIST_HEAD(&files->retrieved);
	files->depth = 0;
	luo_chain_init(&files->chain, luo->memory, sizeof(struct luo_file_ser),
		       incoming);
}

static struct luo_file *luo_file_alloc(struct liveupdate_session *session,
				       u64 token, enum luo_file_state state,
				       gfp_t gfp)
{
	struct luo_file *f = kzalloc(sizeof(*f), gfp);

	if (!f)
		return NULL;

	f->session = session;
	f->token = token;
	f->state = state;
	RB_CLEAR_NODE(&f->by_token);
	RB_CLEAR_NODE(&f->by_seq);
	RB_CLEAR_NODE(&f->by_id);
	INIT_LIST_HEAD(&f->freeze_node);
	INIT_LIST_HEAD(&f->retrieved_node);
	return f;
}

static bool luo_file_append_token(struct luo_file_set *files,
				  struct luo_file *f)
{
	struct rb_node *highest = files->highest;

	if (highest && luo_file_cmp_token(&f->token, highest) <= 0)
		return false;

	rb_link_node(&f->by_token, highest,
		     highest ? &highest->rb_right : &files->by_token.rb_node);
	rb_insert_color(&f->by_token, &files->by_token);
	files->highest = &f->by_token;
	return true;
}

/* Returns the file that has the token already, if there is one. */
static struct luo_file *luo_file_insert(struct luo_file *f)
{
	struct luo_file_set *files = &f->session->files;
	struct rb_node *twin;

	f->seq = files->next_seq++;
	luo_seq_append(&files->by_seq, files->newest, &f->by_seq);
	files->newest = &f->by_seq;
	if (luo_file_append_token(files, f))
		return NULL;

	twin = rb_find_add(&f->by_token, &files->by_token, luo_file_cmp);
	if (!twin)
		return NULL;

	RB_CLEAR_NODE(&f->by_token);
	return rb_entry(twin, struct luo_file, by_token);
}

static void luo_file_erase_token(struct luo_file_set *files, struct luo_file *f)
{
	if (files->highest == &f->by_token)
		files->highest = rb_prev(&f->by_token);
	if (files->recent == &f->by_token)
		files->recent = NULL;
	rb_erase(&f->by_token, &files->by_token);
}

static void luo_file_erase(struct luo_file *f)
{
	struct luo_file_set *files = &f->session->files;

	if (files->newest == &f->by_seq)
		files->newest = rb_prev(&f->by_seq);
	rb_erase(&f->by_seq, &files->by_seq);
	if (!RB_EMPTY_NODE(&f->by_token))
		luo_file_erase_token(files, f);
}

static void luo_file_write_record(const struct luo_file *f)
{
	struct luo_file_ser *record;

	record = luo_slot_record(&f->session->files.chain, &f->slot);
	memcpy(record->handler, f->handler->compatible, sizeof(record->handler));
	record->data = f->data;
	record->token = f->token;
}

/**
 * luo_file_handler_name - Name the handler of a file.
 * @f:    File of a locked session.
 * @name: Gets the name with its NUL, empty if the record has none.
 */
void luo_file_handler_name(const struct luo_file *f,
			   char name[LUO_HANDLER_NAME_LENGTH])
{
	const struct luo_file_ser *record;

	memset(name, 0, LUO_HANDLER_NAME_LENGTH);
	if (f->handler) {
		strscpy(name, f->handler->compatible, LUO_HANDLER_NAME_LENGTH);
		return;
	}
	record = luo_slot_record(&f->session->files.chain, &f->slot);
	if (luo_name_valid(record->handler))
		strscpy(name, record->handler, LUO_HANDLER_NAME_LENGTH);
}

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

/* ---- outgoing ---- */

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

/* ---- incoming ---- */

static int luo_file_from_record(struct liveupdate_session *session,
				struct luo_block *block, u32 index)
{
	const struct luo_file_ser *record;
	struct luo_file *f, *twin;

	f = luo_file_alloc(session, 0, LUO_FILE_INCOMING, GFP_KERNEL);
	if (!f)
		return -ENOMEM;

	luo_slot_own(&f->slot, block, index);
	record = luo_slot_record(&session->files.chain, &f->slot);
	f->token = record->token;
	f->data = record->data;
	if (!luo_name_valid(record->handler))
		f->state = LUO_FILE_DAMAGED;

	twin = luo_file_insert(f);
	if (twin) {
		twin->state = LUO_FILE_DAMAGED;
		f->state = LUO_FILE_DAMAGED;
	}
	if (f->state == LUO_FILE_DAMAGED)
		pr_warn("session %s: token %llu: damaged record\n",
			session->name, f->token);
	return 0;
}

/**
 * luo_file_set_read - Read the file records of an incoming session.
 * @session: Session, locked.
 *
 * A damaged record is kept as a damaged file. Runs once; free afterwards.
 *
 * Return: 0; -ENOMEM, and it may be tried again; -EBADMSG if the chain as a
 * whole makes no sense.
 */
int luo_file_set_read(struct liveupdate_session *session)
{
	struct luo_file_set *files = &session->files;
	struct luo_block *block;
	int err;
	u32 i;

	lockdep_assert_held(&session->lock);
	if (files->read)
		return 0;

	err = luo_chain_take_over(&files->chain, files->count);
	if (err)
		return err;
	if (files->chain.count != files->count)
		return -EBADMSG;

	list_for_each_entry(block, &files->chain.blocks, node) {
		for (i = 0; i < block->ser->count; i++) {
			if (block->owners[i])
				continue;
			err = luo_file_from_record(session, block, i);
			if (err)
				return err;
		}
		cond_resched();
	}
	files->read = true;
	return 0;
}

static int luo_file_bind(struct luo_file *f)
{
	const struct luo_file_ser *record;

	if (f->handler)
		return 0;

	record = luo_slot_record(&f->session->files.chain, &f->slot);
	f->handler = luo_handler_get(luo_of(f), record->handler);
	return f->handler ? 0 : -ENODEV;
}

static void luo_file_unbind(struct luo_file *f)
{
	if (f->handler)
		luo_handler_put(f->handler);
	f->handler = NULL;
}

static void luo_file_add_retrieved(struct luo_file *f)
{
	struct luo *luo = luo_of(f);

	list_add_tail(&f->retrieved_node, &f->session->files.retrieved);
	guard(mutex)(&luo->lock);
	luo->retrieved_files++;
}

static void luo_file_drop_retrieved(struct luo_file *f)
{
	struct luo *luo = luo_of(f);

	list_del_init(&f->retrieved_node);
	guard(mutex)(&luo->lock);
	luo->retrieved_files--;
}

static bool luo_errno_is_transient(int err)
{
	return err == -ENOMEM || err == -ENODEV || err == -EINTR ||
	       err == -ERESTARTSYS || err == -ELOOP;
}

static int luo_file_call_retrieve(struct luo_file *f)
{
	struct luo_file_set *files = &f->session->files;
	int err;

	f->retrieving = true;
	files->depth++;
	err = luo_op_call(f, "retrieve", f->handler->ops->retrieve);
	files->depth--;
	f->retrieving = false;
	return err;
}

/* For good: what the handler has used up is not handed over again. */
static void luo_file_fail(struct luo_file *f, int err)
{
	pr_warn("session %s: token %llu: retrieve failed: %pe\n",
		f->session->name, f->token, ERR_PTR(err));
	f->state = LUO_FILE_FAILED;
	f->retrieve_status = err;
	luo_file_write_record(f);
}

static int luo_file_retrieve_now(struct luo_file *f)
{
	int err = luo_file_bind(f);

	if (err)
		return err;

	err = luo_file_call_retrieve(f);
	if (!err && IS_ERR_OR_NULL(f->file)) {
		f->file = NULL;
		err = -EIO;
	}
	if (luo_errno_is_transient(err)) {
		luo_file_unbind(f);
		return err;
	}
	if (err) {
		luo_file_fail(f, err);
		return err;
	}
	f->state = LUO_FILE_RETRIEVED;
	f->retrieve_status = 1;
	luo_file_add_retrieved(f);
	return 0;
}

/**
 * luo_file_retrieve - Get a file of an incoming session.
 * @session: Session, locked, its files read.
 * @token:   Token of the file.
 * @file:    Gets the file with a reference for the caller.
 *
 * Return: 0 or an errno of ioctl(LIVEUPDATE_SESSION_RETRIEVE_FD).
 */
int luo_file_retrieve(struct liveupdate_session *session, u64 token,
		      struct file **file)
{
	struct luo_file *f = luo_file_find(&session->files, token);
	int err;

	if (!f)
		return -ENOENT;

	switch (f->state) {
	case LUO_FILE_DAMAGED:
		return -EBADMSG;
	case LUO_FILE_FAILED:
		return f->retrieve_status;
	case LUO_FILE_INCOMING:
		/* Records may tell a handler to ask for its own file, or for all. */
		if (f->retrieving)
			return -EBADMSG;
		if (session->files.depth == LUO_RETRIEVE_DEPTH)
			return -ELOOP;
		err = luo_file_retrieve_now(f);
		if (err)
			return err;
		break;
	default:
		break;
	}
	*file = get_file(f->file);
	return 0;
}

static int luo_file_can_finish(struct luo_file *f)
{
	int err;

	if (f->state == LUO_FILE_DAMAGED)
		return 0;
	if (f->pins)
		return -EBUSY;

	err = luo_file_bind(f);
	if (err)
		return err;
	return luo_op_can_finish(f) ? 0 : -EBUSY;
}

static void luo_file_finish_one(struct luo_file *f)
{
	luo_file_erase(f);
	if (f->state != LUO_FILE_DAMAGED) {
		luo_op_call_void(f, "finish", f->handler->ops->finish);
		luo_flb_files_finish(luo_of(f), f->handler);
	}
	if (f->state == LUO_FILE_RETRIEVED)
		luo_file_drop_retrieved(f);
	luo_file_unbind(f);
	if (f->file)
		fput(f->file);
	kfree(f);
}

/* Nothing was finished: let go of the modules of files nobody retrieved. */
static void luo_file_set_unbind(struct luo_file_set *files)
{
	struct rb_node *node;

	for (node = rb_first(&files->by_seq); node; node = rb_next(node)) {
		struct luo_file *f = rb_entry(node, struct luo_file, by_seq);

		if (f->state == LUO_FILE_INCOMING)
			luo_file_unbind(f);
	}
}

/**
 * luo_file_set_finish - Finish every file of an incoming session.
 * @session: Session, locked, its files read.
 *
 * Return: 0, or -EBUSY or -ENODEV and nothing was finished.
 */
int luo_file_set_finish(struct liveupdate_session *session)
{
	struct luo_file_set *files = &session->files;
	struct rb_node *node;
	int err;

	for (node = rb_first(&files->by_seq); node; node = rb_next(node)) {
		struct luo_file *f = rb_entry(node, struct luo_file, by_seq);

		err = luo_file_can_finish(f);
		if (err) {
			pr_warn_ratelimited("session %s: token %llu can't be finished: %pe\n",
					    session->name, f->token, ERR_PTR(err));
			luo_file_set_unbind(files);
			return err;
		}
		cond_resched();
	}
	while ((node = rb_first(&files->by_seq))) {
		luo_file_finish_one(rb_entry(node, struct luo_file, by_seq));
		cond_resched();
	}
	luo_chain_free(&files->chain);
	return 0;
}

static void luo_file_forget(struct luo_file *f)
{
	luo_file_erase(f);
	luo_file_unbind(f);
	if (f->file)
		fput(f->file);
	kfree(f);
}

/**
 * luo_file_set_forget - Free what this kernel knows of files.
 * @session: Incoming session, locked, that is to be dropped.
 *
 * What the previous kernel preserved for those never retrieved stays reserved.
 */
void luo_file_set_forget(struct liveupdate_session *session)
{
	struct luo_file_set *files = &session->files;
	struct rb_node *node;

	while ((node = rb_first(&files->by_seq)))
		luo_file_forget(rb_entry(node, struct luo_file, by_seq));
	luo_chain_free(&files->chain);
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

static void luo_file_unpin(struct liveupdate_session *session, u64 token)
{
	struct luo_file *f = luo_file_find(&session->files, token);

	lockdep_assert_held(&session->lock);
	if (f && !WARN_ON_ONCE(!f->pins))
		f->pins--;
}

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

/**
 * liveupdate_get_file_incoming - Retrieve a file for a driver.
 * @session: Session of the file operation that asks, or from
 *           liveupdate_lock_incoming().
 * @token:   Token of the file.
 * @file:    Gets the file with a reference.
 *
 * The session can't be finished until liveupdate_put_file_incoming().
 *
 * Context: process context, with @session locked as said above.
 * Return: 0 or an errno of ioctl(LIVEUPDATE_SESSION_RETRIEVE_FD).
 */
int liveupdate_get_file_incoming(struct liveupdate_session *session, u64 token,
				 struct file **file)
{
	int err;

	lockdep_assert_held(&session->lock);
	err = luo_file_retrieve(session, token, file);
	if (err)
		return err;

	luo_file_find(&session->files, token)->pins++;
	return 0;
}
EXPORT_SYMBOL_GPL(liveupdate_get_file_incoming);

/**
 * liveupdate_put_file_incoming - End liveupdate_get_file_incoming().
 * @session: Session.
 * @token:   Token of the file; its reference is not dropped.
 *
 * Context: as liveupdate_get_file_incoming().
 */
void liveupdate_put_file_incoming(struct liveupdate_session *session, u64 token)
{
	luo_file_unpin(session, token);
}
EXPORT_SYMBOL_GPL(liveupdate_put_file_incoming);
