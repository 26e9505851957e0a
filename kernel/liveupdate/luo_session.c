// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sessions: names, states and what becomes of them at close.
 *
 * All session records, those made here and those carried over, stand in one
 * chain. A name may be used once in each direction.
 */

#define pr_fmt(fmt) "liveupdate: " fmt

#include <linux/cleanup.h>
#include <linux/jhash.h>
#include <linux/memblock.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string_helpers.h>

#include "luo_seq.h"
#include "luo_session.h"

/* ---- states ---- */

static const u8 luo_session_next_states[LUO_SESSION_STATES] = {
	[LUO_SESSION_OUTGOING]	= BIT(LUO_SESSION_FINISHED),
	[LUO_SESSION_INCOMING]	= BIT(LUO_SESSION_RETRIEVED) |
				  BIT(LUO_SESSION_DAMAGED),
	[LUO_SESSION_RETRIEVED]	= BIT(LUO_SESSION_INCOMING) |
				  BIT(LUO_SESSION_FINISHED) |
				  BIT(LUO_SESSION_DAMAGED),
};

static void luo_session_set_state(struct liveupdate_session *session,
				  enum luo_session_state state)
{
	lockdep_assert_held(&session->luo->lock);

	WARN_ON_ONCE(!(luo_session_next_states[session->state] & BIT(state)));
	/* Whom it is only told to takes no lock. */
	WRITE_ONCE(session->state, state);
}

/* ---- tables ---- */

struct luo_name_key {
	u32 hash;
	const char *name;
};

static u32 luo_name_hash(const char *name)
{
	return jhash(name, strnlen(name, LUO_SESSION_NAME_LENGTH), 0);
}

static int luo_session_cmp_name_key(const void *key, const struct rb_node *node)
{
	const struct luo_name_key *a = key;
	const struct liveupdate_session *b =
		rb_entry(node, struct liveupdate_session, by_name);

	return cmp_int(a->hash, b->hash) ?:
	       strncmp(a->name, b->name, sizeof(b->name));
}

static int luo_session_cmp_name(struct rb_node *node, const struct rb_node *other)
{
	const struct liveupdate_session *session =
		rb_entry(node, struct liveupdate_session, by_name);
	const struct luo_name_key key = { session->hash, session->name };

	return luo_session_cmp_name_key(&key, other);
}

/**
 * luo_session_find - Look a session up by its name.
 * @luo:       Instance, locked.
 * @direction: Whether it was made here or came in.
 * @name:      Name.
 *
 * Return: the session or NULL.
 */
struct liveupdate_session *luo_session_find(struct luo *luo,
					    enum luo_direction direction,
					    const char *name)
{
	const struct luo_name_key key = { luo_name_hash(name), name };
	struct rb_node *node;

	lockdep_assert_held(&luo->lock);
	node = rb_find(&key, &luo->by_name[direction], luo_session_cmp_name_key);
	return node ? rb_entry(node, struct liveupdate_session, by_name) : NULL;
}

static bool luo_session_insert(struct liveupdate_session *session)
{
	struct luo *luo = session->luo;
	enum luo_direction direction = luo_session_direction(session);

	lockdep_assert_held(&luo->lock);
	if (rb_find_add(&session->by_name, &luo->by_name[direction],
			luo_session_cmp_name))
		return false;

	session->seq = luo->next_seq++;
	luo_seq_append(&luo->by_seq, rb_last(&luo->by_seq), &session->by_seq);
	luo->count[direction].sessions++;
	luo->count[direction].files += session->files.count;
	return true;
}

static void luo_session_write_chain(struct luo *luo)
{
	luo->root->sessions = luo_chain_first(&luo->chain);
}

/* Nothing of this session is handed over any more. */
static void luo_session_unlist(struct liveupdate_session *session)
{
	struct luo *luo = session->luo;
	enum luo_direction direction = luo_session_direction(session);

	lockdep_assert_held(&luo->lock);
	luo->count[direction].sessions--;
	luo->count[direction].files -= session->files.count;
	luo_chain_remove(&luo->chain, &session->slot);
	luo_session_write_chain(luo);
}

static void luo_session_erase(struct liveupdate_session *session)
{
	struct luo *luo = session->luo;

	luo_session_unlist(session);
	rb_erase(&session->by_name, &luo->by_name[luo_session_direction(session)]);
	rb_erase(&session->by_seq, &luo->by_seq);
}

static int luo_session_cmp_seq(const void *seq, const struct rb_node *node)
{
	return cmp_int(*(const u64 *)seq,
		       rb_entry(node, struct liveupdate_session, by_seq)->seq);
}

/**
 * luo_session_show_name - Print the name as a word, whatever is in it.
 * @m:       File.
 * @session: Session.
 */
void luo_session_show_name(struct seq_file *m,
			   const struct liveupdate_session *session)
{
	seq_escape_str(m, session->name, ESCAPE_OCTAL | ESCAPE_NP | ESCAPE_APPEND,
		       " \\");
}

/**
 * luo_session_next - Look a session up by its age.
 * @luo: Instance.
 * @seq: Sequence number.
 *
 * Return: the oldest session not older than @seq, with a reference, or NULL.
 */
struct liveupdate_session *luo_session_next(struct luo *luo, u64 seq)
{
	struct liveupdate_session *session;
	struct rb_node *node;

	guard(mutex)(&luo->lock);
	node = luo_seq_find(&luo->by_seq, &seq, luo_session_cmp_seq);
	if (!node)
		return NULL;

	session = rb_entry(node, struct liveupdate_session, by_seq);
	kref_get(&session->kref);
	return session;
}

/* ---- records ---- */

/**
 * luo_session_record - Find what is handed over of a session.
 * @session: Session that has a record; the instance is locked.
 *
 * Return: the record.
 */
struct luo_session_ser *luo_session_record(struct liveupdate_session *session)
{
	struct luo *luo = session->luo;

	lockdep_assert_held(&luo->lock);
	return luo_slot_record(&luo->chain, &session->slot);
}

/**
 * luo_session_sync - Tell the next kernel where the session's files are.
 * @session: Outgoing session, locked.
 * @files:   By how much the number of files has changed.
 */
void luo_session_sync(struct liveupdate_session *session, s64 files)
{
	struct luo *luo = session->luo;
	struct luo_session_ser *record;

	lockdep_assert_held(&session->lock);
	guard(mutex)(&luo->lock);
	record = luo_session_record(session);
	record->files = luo_chain_first(&session->files.chain);
	record->count = session->files.count;
	luo->count[LUO_OUTGOING].files += files;
}

/* ---- life ---- */

static struct liveupdate_session *luo_session_alloc(struct luo *luo,
						    const char *name,
						    enum luo_session_state state,
						    gfp_t gfp)
{
	struct liveupdate_session *session = kzalloc(sizeof(*session), gfp);

	if (!session)
		return NULL;

	session->luo = luo;
	session->state = state;
	session->hash = luo_name_hash(name);
	strscpy_pad(session->name, name);
	kref_init(&session->kref);
	mutex_init(&session->lock);
	luo_file_set_init(&session->files, luo, 0, 0);
	session->files.chain.owner = luo_owner_of(name, strlen(name));
	return session;
}

static void luo_session_free(struct kref *kref)
{
	kfree(container_of(kref, struct liveupdate_session, kref));
}

/**
 * luo_session_put - Drop a reference.
 * @session: Session.
 */
void luo_session_put(struct liveupdate_session *session)
{
	kref_put(&session->kref, luo_session_free);
}

static int luo_session_list_outgoing(struct liveupdate_session *session)
{
	struct luo *luo = session->luo;
	int err;

	guard(mutex)(&luo->lock);
	if (luo_session_find(luo, LUO_OUTGOING, session->name))
		return -EEXIST;

	err = luo_chain_add(&luo->chain, &session->slot);
	if (err)
		return err;

	luo_session_insert(session);
	memcpy(luo_session_record(session)->name, session->name,
	       sizeof(session->name));
	luo_session_write_chain(luo);
	return 0;
}

/**
 * luo_session_create - Make an outgoing session.
 * @luo:  Instance.
 * @name: Valid name.
 *
 * Return: the session, to be ended with luo_session_close(), or an ERR_PTR:
 * -EEXIST, -ENOMEM.
 */
struct liveupdate_session *luo_session_create(struct luo *luo, const char *name)
{
	struct liveupdate_session *session;
	int err;

	err = luo_sessions_read(luo);
	if (err)
		return ERR_PTR(err);

	session = luo_session_alloc(luo, name, LUO_SESSION_OUTGOING,
				    GFP_KERNEL_ACCOUNT);
	if (!session)
		return ERR_PTR(-ENOMEM);

	err = luo_session_list_outgoing(session);
	if (err) {
		luo_session_put(session);
		return ERR_PTR(err);
	}
	return session;
}

static void luo_session_end_outgoing(struct liveupdate_session *session)
{
	struct luo *luo = session->luo;

	mutex_lock(&session->lock);
	luo_file_set_unpreserve(session);
	mutex_unlock(&session->lock);

	guard(mutex)(&luo->lock);
	luo_session_erase(session);
	luo_session_set_state(session, LUO_SESSION_FINISHED);
}

/* Nothing is carried over on behalf of sessions that are no more. */
static void luo_forget_incoming(struct luo *luo)
{
	bool last;

	mutex_lock(&luo->lock);
	last = luo->holds_unclaimed && !luo->count[LUO_INCOMING].sessions;
	if (last)
		luo->holds_unclaimed = false;
	mutex_unlock(&luo->lock);
	if (last) {
		luo_flb_forget_incoming(luo);
		luo->memory->release();
	}
}

/**
 * luo_session_finish - Finish an incoming session.
 * @session:   Session that the caller retrieved, locked.
 * @abandoned: NULL, or files that nobody can finish are no reason to fail: gets
 *             how many that were. Their memory stays reserved.
 *
 * Return: 0; -EBUSY or -ENODEV, and nothing was finished; -EINVAL if it is
 * finished already.
 */
int luo_session_finish(struct liveupdate_session *session, u64 *abandoned)
{
	struct luo *luo = session->luo;
	int err;

	lockdep_assert_held(&session->lock);
	if (session->state != LUO_SESSION_RETRIEVED)
		return -EINVAL;

	err = luo_file_set_finish(session, abandoned);
	if (err)
		return err;

	mutex_lock(&luo->lock);
	luo_session_erase(session);
	WRITE_ONCE(session->files.count, 0);
	luo_session_set_state(session, LUO_SESSION_FINISHED);
	mutex_unlock(&luo->lock);
	luo_session_put(session);
	luo_forget_incoming(luo);
	return 0;
}

static void luo_session_offer_again(struct liveupdate_session *session)
{
	guard(mutex)(&session->luo->lock);
	/* A driver may have found that it is damaged. */
	if (session->state != LUO_SESSION_RETRIEVED)
		return;
	session->keep_on_close = false;
	luo_session_set_state(session, LUO_SESSION_INCOMING);
}

/**
 * luo_session_give_back - Make a retrieved session retrievable again.
 * @session: Session that the caller retrieved; its reference is dropped.
 */
void luo_session_give_back(struct liveupdate_session *session)
{
	luo_session_offer_again(session);
	luo_session_put(session);
}

static void luo_session_close_incoming(struct liveupdate_session *session)
{
	int err = 0;

	mutex_lock(&session->lock);
	if (session->state == LUO_SESSION_RETRIEVED && !session->keep_on_close) {
		err = luo_session_finish(session, NULL);
		if (err)
			luo_session_warn(session, "can't be finished at close and is kept: %pe\n",
					 ERR_PTR(err));
	}
	mutex_unlock(&session->lock);

	if (session->state == LUO_SESSION_RETRIEVED)
		luo_session_give_back(session);
	else
		luo_session_put(session);
}

/**
 * luo_session_close - The last fd of a session is gone.
 * @session: Session from luo_session_create() or luo_session_retrieve().
 *
 * An outgoing session is undone. An incoming one is finished, or given back if
 * its owner wants that or if it can't be finished now.
 */
void luo_session_close(struct liveupdate_session *session)
{
	if (session->state != LUO_SESSION_OUTGOING) {
		luo_session_close_incoming(session);
		return;
	}
	luo_session_end_outgoing(session);
	luo_session_put(session);
}

/* ---- incoming ---- */

static bool luo_session_record_usable(struct luo *luo,
				      const struct luo_session_ser *record)
{
	return luo_name_valid(record->name) &&
	       !luo_session_find(luo, LUO_INCOMING, record->name);
}

#define LUO_FILES_PER_PAGE	((u64)PAGE_SIZE / sizeof(struct luo_file_ser))

static int luo_session_from_record(struct luo *luo, struct luo_block *block,
				   u32 index)
{
	struct liveupdate_session *session;
	const struct luo_session_ser *record;

	record = luo_block_record(&luo->chain, block, index);
	if (!luo_session_record_usable(luo, record))
		return 0;

	session = luo_session_alloc(luo, record->name, LUO_SESSION_INCOMING,
				    GFP_KERNEL);
	if (!session)
		return -ENOMEM;

	/* What can't be is not read, and must not make the sum of all overflow. */
	luo_file_set_init(&session->files, luo, record->files,
			  min(record->count, max_pfn * LUO_FILES_PER_PAGE));
	luo_slot_own(&session->slot, block, index);
	luo_session_insert(session);
	return 0;
}

static bool luo_sessions_drop_unusable(struct luo *luo)
{
	u64 dropped = luo_chain_drop_unowned(&luo->chain);

	if (dropped)
		pr_warn("%llu sessions without a name of their own; their memory stays reserved\n",
			dropped);
	return dropped;
}

static int luo_block_read_sessions(struct luo *luo, struct luo_block *block)
{
	int err = 0;
	u32 i;

	for (i = 0; i < block->ser->count && !err; i++) {
		if (!block->owners[i])
			err = luo_session_from_record(luo, block, i);
	}
	return err;
}

static int luo_sessions_read_locked(struct luo *luo)
{
	struct luo_block *block;
	int err;

	lockdep_assert_held(&luo->lock);
	err = luo_chain_take_over(&luo->chain, U64_MAX);
	if (err == -ENOMEM)
		return err;
	if (err) {
		pr_warn("list of sessions is damaged; memory of the lost ones stays reserved\n");
		luo->sessions_lost = true;
	}

	list_for_each_entry(block, &luo->chain.blocks, node) {
		err = luo_block_read_sessions(luo, block);
		if (err)
			return err;
		cond_resched();
	}
	luo->sessions_lost |= luo_sessions_drop_unusable(luo);
	luo_session_write_chain(luo);
	WRITE_ONCE(luo->sessions_read, true);
	return 0;
}

/**
 * luo_sessions_read - Read what sessions the previous kernel left.
 * @luo: Instance.
 *
 * Runs once; free afterwards. Damaged records are told of and left out.
 *
 * Return: 0, or -ENOMEM and it may be tried again.
 */
int luo_sessions_read(struct luo *luo)
{
	int err;

	mutex_lock(&luo->lock);
	if (luo->sessions_read) {
		mutex_unlock(&luo->lock);
		return 0;
	}
	err = luo_sessions_read_locked(luo);
	mutex_unlock(&luo->lock);
	if (!err)
		luo_forget_incoming(luo);
	return err;
}

static struct liveupdate_session *luo_session_take(struct luo *luo,
						   const char *name)
{
	struct liveupdate_session *session;

	guard(mutex)(&luo->lock);
	session = luo_session_find(luo, LUO_INCOMING, name);
	if (!session)
		return ERR_PTR(-ENOENT);
	if (session->state == LUO_SESSION_DAMAGED)
		return ERR_PTR(-EBADMSG);
	if (session->state != LUO_SESSION_INCOMING)
		return ERR_PTR(-EINVAL);

	luo_session_set_state(session, LUO_SESSION_RETRIEVED);
	kref_get(&session->kref);
	return session;
}

static void luo_session_condemn(struct liveupdate_session *session)
{
	struct luo *luo = session->luo;

	luo_session_warn(session, "its files can't be read; their memory stays reserved\n");
	mutex_lock(&luo->lock);
	luo_session_unlist(session);
	luo_session_set_state(session, LUO_SESSION_DAMAGED);
	WRITE_ONCE(session->files.count, 0);
	mutex_unlock(&luo->lock);
	/* The records, too: nobody can say whose pages they are. */
	luo_chain_forget(&session->files.chain);
	luo_file_set_forget(session);
	luo_forget_incoming(luo);
}

/**
 * luo_session_read_files - Read the file records of an incoming session.
 * @session: Session, locked.
 *
 * Return: 0, -ENOMEM, or -EBADMSG and the session is damaged.
 */
int luo_session_read_files(struct liveupdate_session *session)
{
	int err;

	/* A driver came first. */
	if (READ_ONCE(session->state) == LUO_SESSION_DAMAGED)
		return -EBADMSG;

	err = luo_file_set_read(session);
	if (err == -EBADMSG)
		luo_session_condemn(session);
	return err;
}

/**
 * luo_session_retrieve - Get an incoming session.
 * @luo:  Instance.
 * @name: Its name.
 *
 * Return: the session, to be ended with luo_session_close() or
 * luo_session_give_back(), or an ERR_PTR: -ENOENT, -EINVAL if somebody has it,
 * -EBADMSG, -ENOMEM, -EINTR if the caller is killed while a driver has it.
 */
struct liveupdate_session *luo_session_retrieve(struct luo *luo, const char *name)
{
	struct liveupdate_session *session;
	int err;

	err = luo_sessions_read(luo);
	if (err)
		return ERR_PTR(err);

	session = luo_session_take(luo, name);
	if (IS_ERR(session))
		return session;

	if (mutex_lock_killable(&session->lock)) {
		luo_session_give_back(session);
		return ERR_PTR(-EINTR);
	}
	err = luo_session_read_files(session);
	mutex_unlock(&session->lock);
	if (!err)
		return session;

	luo_session_give_back(session);
	return ERR_PTR(err);
}

/**
 * luo_session_lock_incoming - Find an incoming session for a driver.
 * @luo:  Instance.
 * @name: Its name.
 *
 * Return: the session, locked and with a reference, or an ERR_PTR as
 * luo_session_retrieve(), but -EBADMSG and not -ENOENT if some were lost.
 */
struct liveupdate_session *luo_session_lock_incoming(struct luo *luo,
						     const char *name)
{
	struct liveupdate_session *session;
	int err;

	err = luo_sessions_read(luo);
	if (err)
		return ERR_PTR(err);

	mutex_lock(&luo->lock);
	session = luo_session_find(luo, LUO_INCOMING, name);
	if (session)
		kref_get(&session->kref);
	err = luo->sessions_lost ? -EBADMSG : -ENOENT;
	mutex_unlock(&luo->lock);
	if (!session)
		return ERR_PTR(err);

	if (mutex_lock_killable(&session->lock)) {
		luo_session_put(session);
		return ERR_PTR(-EINTR);
	}
	err = READ_ONCE(session->state) == LUO_SESSION_FINISHED ?
	      -ENOENT : luo_session_read_files(session);
	if (!err)
		return session;

	mutex_unlock(&session->lock);
	luo_session_put(session);
	return ERR_PTR(err);
}
