// SPDX-License-Identifier: GPL-2.0-only
/* The files of a session: by token, by age, and their records. */

#define pr_fmt(fmt) "liveupdate: " fmt

#include <linux/cleanup.h>
#include <linux/file.h>
#include <linux/memcontrol.h>
#include <linux/rbtree.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string.h>

#include "luo_file.h"
#include "luo_seq.h"

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
	files->disordered = false;
	INIT_LIST_HEAD(&files->retrieved);
	files->calling = NULL;
	files->depth = 0;
	luo_chain_init(&files->chain, luo->memory, sizeof(struct luo_file_ser),
		       incoming);
}

/**
 * luo_file_alloc - Make a file that is in no set yet.
 * @session: Its session.
 * @token:   Its token.
 * @state:   Its state.
 * @gfp:     How to allocate.
 *
 * Return: the file, to be freed with luo_file_free(), or NULL.
 */
struct luo_file *luo_file_alloc(struct liveupdate_session *session, u64 token,
				enum luo_file_state state, gfp_t gfp)
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
	f->leans = RB_ROOT;
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

/**
 * luo_file_insert - Put a file into the set of its session.
 * @f: File; the newest from now on.
 *
 * Return: NULL, or the file that has the token already; @f can't be found by it
 * then.
 */
struct luo_file *luo_file_insert(struct luo_file *f)
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

/**
 * luo_file_erase - Take a file out of the set of its session.
 * @f: File.
 */
void luo_file_erase(struct luo_file *f)
{
	struct luo_file_set *files = &f->session->files;

	if (files->newest == &f->by_seq)
		files->newest = rb_prev(&f->by_seq);
	rb_erase(&f->by_seq, &files->by_seq);
	if (!RB_EMPTY_NODE(&f->by_token))
		luo_file_erase_token(files, f);
}

/**
 * luo_file_write_record - Tell the next kernel what is to be known of a file.
 * @f: File with a slot and a handler.
 */
void luo_file_write_record(const struct luo_file *f)
{
	struct luo_file_ser *record;

	record = luo_slot_record(&f->session->files.chain, &f->slot);
	memcpy(record->handler, f->handler->compatible, sizeof(record->handler));
	record->data = luo_file_is_engaged(f) ? f->outgoing.data : f->incoming.data;
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

/* ---- files that depend on others ---- */

/* By its token a file is found as long as others depend on it. */
struct luo_lean {
	struct rb_node node;
	u64 token;
};

static int luo_lean_cmp(const void *token, const struct rb_node *node)
{
	return cmp_int(*(const u64 *)token,
		       rb_entry(node, struct luo_lean, node)->token);
}

static bool luo_lean_less(struct rb_node *node, const struct rb_node *other)
{
	return luo_lean_cmp(&rb_entry(node, struct luo_lean, node)->token, other) < 0;
}

static int luo_file_add_lean(struct luo_file *f, u64 token)
{
	struct luo_lean *lean = kmalloc(sizeof(*lean), GFP_KERNEL_ACCOUNT);

	if (!lean)
		return -ENOMEM;
	lean->token = token;
	rb_add(&lean->node, &f->leans, luo_lean_less);
	return 0;
}

static bool luo_file_drop_lean(struct luo_file *f, u64 token)
{
	struct rb_node *node = rb_find(&token, &f->leans, luo_lean_cmp);

	if (!node)
		return false;
	rb_erase(node, &f->leans);
	kfree(rb_entry(node, struct luo_lean, node));
	return true;
}

/**
 * luo_file_get_dependent - A file depends on another.
 * @f: The other, of a locked session; who asks is in an operation, or a driver.
 *
 * Return: 0 or -ENOMEM.
 */
int luo_file_get_dependent(struct luo_file *f)
{
	struct luo_file *asker = f->session->files.calling;
	int err = asker ? luo_file_add_lean(asker, f->token) : 0;

	if (!err)
		f->dependents++;
	return err;
}

static void luo_file_lose_dependent(struct liveupdate_session *session, u64 token)
{
	struct luo_file *f = luo_file_find(&session->files, token);

	lockdep_assert_held(&session->lock);
	if (f && !WARN_ON_ONCE(!f->dependents))
		f->dependents--;
}

/**
 * luo_file_put_dependent - A file no longer depends on another.
 * @session: Session of both, locked.
 * @token:   Token of the other.
 */
void luo_file_put_dependent(struct liveupdate_session *session, u64 token)
{
	struct luo_file *asker = session->files.calling;

	if (!asker || !WARN_ON_ONCE(!luo_file_drop_lean(asker, token)))
		luo_file_lose_dependent(session, token);
}

static void luo_file_drop_leans(struct luo_file *f)
{
	struct luo_lean *lean, *next;

	rbtree_postorder_for_each_entry_safe(lean, next, &f->leans, node) {
		luo_file_lose_dependent(f->session, lean->token);
		kfree(lean);
	}
}

/**
 * luo_file_free - Free a file that is in no set any more.
 * @f: File of a locked session, without a handler. What the handler did not say is
 *     that it depends on others no longer.
 */
void luo_file_free(struct luo_file *f)
{
	luo_file_drop_leans(f);
	if (f->file)
		fput(f->file);
	mem_cgroup_put(f->memcg);
	kfree(f);
}

/* ---- files whose handler goes away ---- */

static void luo_file_lose(struct luo_file *f)
{
	struct luo *luo = luo_of(f);

	luo_session_warn(f->session, "token %llu is lost: its handler %s is gone\n",
			 f->token, f->handler->compatible);
	luo_file_unbind(f);
	f->state = LUO_FILE_LOST;
	guard(mutex)(&luo->lock);
	luo->lost_files++;
}

/**
 * luo_file_drop_lost - Nobody waits for a lost file any more.
 * @f: File that is about to be freed; ignored if it is not lost.
 */
void luo_file_drop_lost(struct luo_file *f)
{
	struct luo *luo = luo_of(f);

	if (f->state != LUO_FILE_LOST)
		return;

	/* It went away while reboot() was under way. */
	if (!RB_EMPTY_NODE(&f->by_id))
		luo_file_release_id(f);
	guard(mutex)(&luo->lock);
	luo->lost_files--;
}

/* What is handed over stays as it is while reboot() is under way. */
static void luo_file_orphan(struct luo_file *f)
{
	if (luo_file_is_engaged(f))
		luo_flb_files_orphan(luo_of(f), f->handler, luo_file_again(f));
}

static void luo_file_revoke(struct luo_file *f)
{
	if (f->state == LUO_FILE_FAILED) {
		luo_file_unbind(f);
		return;
	}
	if (luo_of(f)->frozen)
		luo_file_orphan(f);
	else if (f->state == LUO_FILE_PRESERVED)
		luo_file_disengage(f);
	else
		luo_file_end(f);
	luo_file_lose(f);
}

static bool luo_file_leans_on_going(const struct luo_file *f)
{
	const struct rb_node *node;

	for (node = rb_first(&f->leans); node; node = rb_next(node)) {
		u64 token = rb_entry(node, struct luo_lean, node)->token;
		const struct luo_file *other = luo_file_find(&f->session->files, token);

		if (other && other->going)
			return true;
	}
	return false;
}

/* A file is newer than those it depends on. */
static void luo_file_set_mark_going(struct liveupdate_session *session,
				    const struct liveupdate_file_handler *fh)
{
	struct rb_node *node;

	for (node = rb_first(&session->files.by_seq); node; node = rb_next(node)) {
		struct luo_file *f = rb_entry(node, struct luo_file, by_seq);

		f->going = f->handler == fh ||
			   (f->handler && !session->luo->frozen &&
			    luo_file_leans_on_going(f));
		cond_resched();
	}
}

/**
 * luo_file_set_revoke - Lose the files of a handler that goes away.
 * @session: Session, locked.
 * @fh:      Handler.
 *
 * Newest first, so that files that depend on them go before, and are lost too.
 */
void luo_file_set_revoke(struct liveupdate_session *session,
			 const struct liveupdate_file_handler *fh)
{
	struct rb_node *node;

	lockdep_assert_held(&session->lock);
	luo_file_set_mark_going(session, fh);
	for (node = session->files.newest; node; node = rb_prev(node)) {
		struct luo_file *f = rb_entry(node, struct luo_file, by_seq);

		if (f->going)
			luo_file_revoke(f);
		cond_resched();
	}
}
