// SPDX-License-Identifier: GPL-2.0-only
/* Files of the previous kernel, from their record to finish. */

#define pr_fmt(fmt) "liveupdate: " fmt

#include <linux/cleanup.h>
#include <linux/export.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/memcontrol.h>
#include <linux/slab.h>

#include "luo_file.h"

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
	f->incoming.data = record->data;
	if (!luo_name_valid(record->handler))
		f->state = LUO_FILE_DAMAGED;

	twin = luo_file_insert(f);
	if (twin) {
		twin->state = LUO_FILE_DAMAGED;
		f->state = LUO_FILE_DAMAGED;
	}
	if (f->state == LUO_FILE_DAMAGED)
		luo_session_warn(session, "token %llu: damaged record\n", f->token);
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

	/* Records of others are left to them, whoever comes first. */
	if (!luo_session_owns(session, luo_chain_incoming_owner(&files->chain)))
		return -EBADMSG;
	err = luo_chain_take_over(&files->chain, files->count);
	if (err)
		return err;

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

/**
 * luo_file_has_handler - Say if RETRIEVE_FD would find the handler of a file.
 * @f: File of a locked session.
 *
 * Return: true if somebody here knows what the file is.
 */
bool luo_file_has_handler(const struct luo_file *f)
{
	const struct luo_file_ser *record;
	struct liveupdate_file_handler *fh;

	if (f->handler)
		return true;

	record = luo_slot_record(&f->session->files.chain, &f->slot);
	fh = luo_handler_get(luo_of(f), record->handler);
	if (fh)
		luo_handler_put(fh);
	return fh;
}

/**
 * luo_file_waiting - Ask the handler how much of a file is yet to come.
 * @f: File of a locked session.
 *
 * Return: bytes; 0 if the file is whole, or not a file yet.
 */
u64 luo_file_waiting(const struct luo_file *f)
{
	if (f->state != LUO_FILE_RETRIEVED || !f->handler->ops->waiting)
		return 0;
	return f->handler->ops->waiting(f->file);
}

/**
 * luo_file_unbind - Let go of the handler of a file.
 * @f: File of a locked session.
 */
void luo_file_unbind(struct luo_file *f)
{
	if (f->handler)
		luo_handler_put(f->handler);
	f->handler = NULL;
}

static void luo_file_add_retrieved(struct luo_file *f)
{
	struct luo *luo = luo_of(f);

	luo_flb_files_retrieved(luo, f->handler);
	list_add_tail(&f->retrieved_node, &f->session->files.retrieved);
	guard(mutex)(&luo->lock);
	luo->retrieved_files++;
}

static void luo_file_drop_retrieved(struct luo_file *f)
{
	struct luo *luo = luo_of(f);

	list_del_init(&f->retrieved_node);
	/* One that has gone took its links with it. */
	if (f->handler)
		luo_flb_files_released(luo, f->handler);
	guard(mutex)(&luo->lock);
	luo->retrieved_files--;
}

/* For good: what the handler has used up is not handed over again. */
static void luo_file_fail(struct luo_file *f, int err)
{
	luo_session_warn(f->session, "token %llu: retrieve failed: %pe\n",
			 f->token, ERR_PTR(err));
	f->state = LUO_FILE_FAILED;
	f->retrieve_status = err;
	luo_file_write_record(f);
}

static int luo_file_retrieve_now(struct luo_file *f)
{
	struct luo_file_set *files = &f->session->files;
	int err = luo_file_bind(f);
	bool final;

	if (err)
		return err;

	files->depth++;
	err = luo_op_retrieve(f, &final);
	files->depth--;
	if (err) {
		if (final)
			luo_file_fail(f, err);
		else
			luo_file_unbind(f);
		return err;
	}
	f->memcg = get_mem_cgroup_from_mm(current->mm);
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
		if (session->files.depth == LUO_DEPENDENCY_DEPTH)
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

	if (f->state == LUO_FILE_DAMAGED || f->state == LUO_FILE_LOST)
		return 0;
	/* Dependents are files of this session, which are finished before. */
	if (f->pins)
		return -EBUSY;

	err = luo_file_bind(f);
	if (err)
		return err;
	return luo_op_can_finish(f) ? 0 : -EBUSY;
}

/**
 * luo_file_end - Let the handler finish a file.
 * @f: Incoming file of a locked session, with its handler.
 */
void luo_file_end(struct luo_file *f)
{
	/*
	 * What makes no sense names nothing that may be freed, and its FLBs may be
	 * those of others. Of what nobody retrieved, finish is the first to see that.
	 */
	if (f->retrieve_status == -EBADMSG)
		f->incoming.data = 0;
	luo_op_call_void(f, "finish", f->handler->ops->finish);
	if (f->retrieve_status != -EBADMSG)
		luo_flb_files_finish(luo_of(f), f->handler);
	if (!list_empty(&f->retrieved_node))
		luo_file_drop_retrieved(f);
}

/* What nobody identified stays reserved. */
static void luo_file_finish_one(struct luo_file *f)
{
	luo_file_erase(f);
	if (f->handler)
		luo_file_end(f);
	else if (!list_empty(&f->retrieved_node))
		luo_file_drop_retrieved(f);
	luo_file_drop_lost(f);
	luo_file_unbind(f);
	luo_file_free(f);
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
 * luo_file_set_finish - Finish every file of an incoming session, newest first.
 * @session:   Session, locked, its files read.
 * @abandoned: NULL, or a missing handler is no reason to fail: gets the number
 *             of files that are left behind with their memory.
 *
 * Return: 0, or -EBUSY or -ENODEV and nothing was finished.
 */
int luo_file_set_finish(struct liveupdate_session *session, u64 *abandoned)
{
	struct luo_file_set *files = &session->files;
	struct rb_node *node;
	u64 unknown = 0;
	int err;

	for (node = rb_first(&files->by_seq); node; node = rb_next(node)) {
		struct luo_file *f = rb_entry(node, struct luo_file, by_seq);

		err = luo_file_can_finish(f);
		if (!f->handler && f->state != LUO_FILE_LOST)
			unknown++;
		if (err && !(abandoned && err == -ENODEV)) {
			luo_session_warn(session, "token %llu can't be finished: %pe\n",
					 f->token, ERR_PTR(err));
			luo_file_set_unbind(files);
			return err;
		}
		cond_resched();
	}
	while ((node = files->newest)) {
		luo_file_finish_one(rb_entry(node, struct luo_file, by_seq));
		cond_resched();
	}
	luo_flb_finish_due(session->luo);
	luo_chain_free(&files->chain);
	if (unknown)
		luo_session_warn(session, "ended without %llu files that nobody knows; their memory stays reserved\n",
				 unknown);
	if (abandoned)
		*abandoned = unknown;
	return 0;
}

static void luo_file_forget(struct luo_file *f)
{
	luo_file_erase(f);
	luo_file_unbind(f);
	luo_file_free(f);
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

/**
 * liveupdate_get_file_incoming - Retrieve a file for a driver.
 * @session: Session of the file operation that asks, or from
 *           liveupdate_lock_incoming().
 * @token:   Token of the file.
 * @file:    Gets the file with a reference.
 *
 * Inside of a file operation the file must be an older one. It is not finished
 * before the one that asked, which is to call liveupdate_put_file_incoming() in
 * an operation, finish at the latest. Elsewhere, the session can't be finished
 * until liveupdate_put_file_incoming().
 *
 * Context: process context, with @session locked as said above.
 * Return: 0; -EPROBE_DEFER if the file's handler is not there yet; or an errno of
 * ioctl(LIVEUPDATE_SESSION_RETRIEVE_FD). -EBADMSG also if the file is not older
 * than the one that asks.
 */
int liveupdate_get_file_incoming(struct liveupdate_session *session, u64 token,
				 struct file **file)
{
	struct luo_file *f = luo_file_find(&session->files, token);
	const struct luo_file *asker = session->files.calling;
	int err;

	lockdep_assert_held(&session->lock);
	/* Records may tell a handler to ask for its own file, or in a circle. */
	if (f && asker && f->seq >= asker->seq)
		return -EBADMSG;
	err = luo_file_retrieve(session, token, file);
	if (err == -ENODEV)
		return -EPROBE_DEFER;
	if (err)
		return err;

	if (!asker) {
		f->pins++;
		return 0;
	}
	err = luo_file_get_dependent(f);
	if (err)
		fput(*file);
	return err;
}
EXPORT_SYMBOL_GPL(liveupdate_get_file_incoming);

/**
 * liveupdate_put_file_incoming - End liveupdate_get_file_incoming().
 * @session: Session.
 * @token:   Token of the file; its reference is not dropped.
 *
 * Context: as liveupdate_get_file_incoming(): in a file operation if that was.
 */
void liveupdate_put_file_incoming(struct liveupdate_session *session, u64 token)
{
	struct luo_file *f = luo_file_find(&session->files, token);

	lockdep_assert_held(&session->lock);
	if (session->files.calling)
		luo_file_put_dependent(session, token);
	else if (f && !WARN_ON_ONCE(!f->pins))
		f->pins--;
}
EXPORT_SYMBOL_GPL(liveupdate_put_file_incoming);
