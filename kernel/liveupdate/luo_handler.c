// SPDX-License-Identifier: GPL-2.0-only
/* File handlers: which there are, and how they are called. */

#include <linux/cleanup.h>
#include <linux/module.h>
#include <linux/sched/clock.h>

#define CREATE_TRACE_POINTS
#include <trace/events/liveupdate.h>

#include "luo_file.h"

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
	fh->retrieved = 0;
	atomic_set(&fh->users, 0);
	list_add_tail(&fh->node, &luo->handlers);
	return 0;
}

static bool luo_handler_unlist(struct luo *luo, struct liveupdate_file_handler *fh)
{
	guard(rwsem_write)(&luo->handlers_lock);
	if (luo_handler_find(luo, fh->compatible) != fh)
		return false;

	list_del(&fh->node);
	return true;
}

/*
 * Who found the handler before it was unlisted has the lock of a session, so
 * nobody uses it once each was visited. The gate keeps reboot() from beginning
 * meanwhile.
 */
static void luo_handler_revoke(struct luo *luo, struct liveupdate_file_handler *fh)
{
	struct liveupdate_session *session;
	u64 seq = 0;

	guard(rwsem_read)(&luo->gate);
	while ((session = luo_session_next(luo, seq))) {
		seq = session->seq + 1;
		mutex_lock(&session->lock);
		luo_file_set_revoke(session, fh);
		mutex_unlock(&session->lock);
		luo_session_put(session);
	}
	luo_flb_finish_due(luo);
}

/**
 * luo_handler_unregister - Take a file handler away.
 * @luo: Instance.
 * @fh:  Handler; ignored if it is not registered. Files that it has are lost.
 */
void luo_handler_unregister(struct luo *luo, struct liveupdate_file_handler *fh)
{
	if (!luo_handler_unlist(luo, fh))
		return;
	if (atomic_read(&fh->users))
		luo_handler_revoke(luo, fh);

	guard(rwsem_write)(&luo->handlers_lock);
	luo_flb_unregister_all(luo, fh);
}

static bool luo_handler_pin(struct liveupdate_file_handler *fh)
{
	if (!try_module_get(fh->ops->owner))
		return false;

	atomic_inc(&fh->users);
	return true;
}

/**
 * luo_handler_put - End luo_handler_get() or luo_handler_for_file().
 * @fh: Handler.
 */
void luo_handler_put(struct liveupdate_file_handler *fh)
{
	struct module *owner = fh->ops->owner;

	atomic_dec(&fh->users);
	module_put(owner);
}

/**
 * luo_handler_get - Find the handler of a record.
 * @luo:  Instance.
 * @name: Name in the record, valid.
 *
 * The handler of a module that is going does not count.
 *
 * Return: the handler, its module pinned until luo_handler_put(), or NULL.
 */
struct liveupdate_file_handler *luo_handler_get(struct luo *luo,
						const char *name)
{
	struct liveupdate_file_handler *fh;

	guard(rwsem_read)(&luo->handlers_lock);
	fh = luo_handler_find(luo, name);
	return fh && luo_handler_pin(fh) ? fh : NULL;
}

/**
 * luo_handler_for_file - Find the handler that takes a file.
 * @luo:  Instance.
 * @file: File.
 *
 * Return: the handler, its module pinned until luo_handler_put(), or NULL.
 */
struct liveupdate_file_handler *luo_handler_for_file(struct luo *luo,
						     struct file *file)
{
	struct liveupdate_file_handler *fh;

	guard(rwsem_read)(&luo->handlers_lock);
	list_for_each_entry(fh, &luo->handlers, node) {
		if (!luo_handler_pin(fh))
			continue;
		if (fh->ops->can_preserve(fh, file))
			return fh;
		luo_handler_put(fh);
	}
	return NULL;
}

/* ---- callbacks ---- */

static struct luo_keep *luo_file_keep(struct luo_file *f)
{
	return luo_file_is_engaged(f) ? &f->outgoing : &f->incoming;
}

static struct liveupdate_file_op_args luo_file_args(struct luo_file *f)
{
	const struct luo_keep *keep = luo_file_keep(f);

	return (struct liveupdate_file_op_args) {
		.handler = f->handler,
		.session = f->session,
		.token = f->token,
		.retrieve_status = f->retrieve_status,
		.file = f->file,
		.serialized_data = keep->data,
		.private_data = keep->private_data,
		.preserved_bytes = f->preserved_bytes,
	};
}

struct luo_op {
	const char *name;
	struct luo_file *outer;
	u64 begin;
};

static u64 luo_trace_begin(void)
{
	return trace_liveupdate_file_op_enabled() ? local_clock() : 0;
}

static void luo_trace_end(const struct luo_file *f, const char *name, int err,
			  u64 begin)
{
	if (begin)
		trace_liveupdate_file_op(name, f->session->name, f->token,
					 f->handler->compatible, err,
					 local_clock() - begin);
}

/* Operations that wait for those of other files are on the stack. */
static struct luo_op luo_op_begin(struct luo_file *f, const char *name)
{
	struct luo_file_set *files = &f->session->files;
	struct luo_op op = { .name = name, .outer = files->calling };

	lockdep_assert_held(&f->session->lock);
	files->calling = f;
	op.begin = luo_trace_begin();
	return op;
}

static void luo_op_end(const struct luo_file *f, const struct luo_op *op, int err)
{
	luo_trace_end(f, op->name, err, op->begin);
	f->session->files.calling = op->outer;
}

static bool luo_errno_may_pass(int err)
{
	switch (err) {
	case -ENOMEM:
	case -ENODEV:
	case -EPROBE_DEFER:
	case -EAGAIN:
	case -EBUSY:
	case -EMFILE:
	case -ENFILE:
	case -EINTR:
	case -ERESTARTSYS:
	case -ELOOP:
		return true;
	default:
		return false;
	}
}

static bool luo_retry_later(enum liveupdate_retry retry, int err)
{
	if (retry == LIVEUPDATE_RETRY_BY_ERRNO)
		return luo_errno_may_pass(err);
	return retry == LIVEUPDATE_RETRY_LATER;
}

/**
 * luo_op_retrieve - Let a handler make its file.
 * @f:     Incoming file of a locked session.
 * @final: Gets whether an error is; then what the handler has used up is not
 *         handed over again.
 *
 * Return: 0, or an errno and there is no file.
 */
int luo_op_retrieve(struct luo_file *f, bool *final)
{
	struct liveupdate_file_op_args args = luo_file_args(f);
	struct luo_op op = luo_op_begin(f, "retrieve");
	int err = f->handler->ops->retrieve(&args);

	luo_op_end(f, &op, err);
	f->incoming.data = args.serialized_data;
	f->incoming.private_data = args.private_data;
	*final = !luo_retry_later(args.retry, err);
	if (!err && IS_ERR_OR_NULL(args.file)) {
		*final = true;
		err = -EIO;
	}
	if (err)
		return err;

	f->file = args.file;
	f->preserved_bytes = args.preserved_bytes;
	return 0;
}

/**
 * luo_op_call - Call back a handler.
 * @f:    File of a locked session.
 * @name: Name of the operation.
 * @call: Operation.
 *
 * One that fails changes nothing but what is its own.
 *
 * Return: what @call returned.
 */
int luo_op_call(struct luo_file *f, const char *name,
		int (*call)(struct liveupdate_file_op_args *args))
{
	struct liveupdate_file_op_args args = luo_file_args(f);
	struct luo_op op = luo_op_begin(f, name);
	struct luo_keep *keep = luo_file_keep(f);
	int err = call(&args);

	luo_op_end(f, &op, err);
	keep->private_data = args.private_data;
	if (err)
		return err;

	keep->data = args.serialized_data;
	f->preserved_bytes = args.preserved_bytes;
	return 0;
}

/**
 * luo_op_call_void - Call back a handler for what can't fail.
 * @f:    File of a locked session.
 * @name: Name of the operation.
 * @call: Operation.
 */
void luo_op_call_void(struct luo_file *f, const char *name,
		      void (*call)(struct liveupdate_file_op_args *args))
{
	struct liveupdate_file_op_args args = luo_file_args(f);
	struct luo_op op = luo_op_begin(f, name);
	struct luo_keep *keep = luo_file_keep(f);

	call(&args);
	luo_op_end(f, &op, 0);
	f->retrieve_status = args.retrieve_status;
	keep->private_data = args.private_data;
	keep->data = args.serialized_data;
}

/**
 * luo_op_call_alone - Call back a handler when nothing else runs any more.
 * @f:    Frozen file. Whoever holds the lock of its session does not go on.
 * @name: Name of the operation.
 * @call: Operation.
 */
void luo_op_call_alone(struct luo_file *f, const char *name,
		       void (*call)(struct liveupdate_file_op_args *args))
{
	struct liveupdate_file_op_args args = luo_file_args(f);
	u64 begin = luo_trace_begin();

	call(&args);
	luo_trace_end(f, name, 0, begin);
	f->outgoing.private_data = args.private_data;
}

/**
 * luo_op_can_finish - Ask a handler if its file may be finished.
 * @f: File of a locked session.
 *
 * Return: true if it may.
 */
bool luo_op_can_finish(struct luo_file *f)
{
	struct liveupdate_file_op_args args = luo_file_args(f);
	struct luo_op op = luo_op_begin(f, "can_finish");
	bool can = true;

	if (f->handler->ops->can_finish)
		can = f->handler->ops->can_finish(&args);
	luo_op_end(f, &op, can ? 0 : -EBUSY);
	return can;
}
