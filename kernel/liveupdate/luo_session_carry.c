// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sessions that came in and are handed over again.
 *
 * Should one that was made here have the same name by then, the incoming session
 * is handed over under a name of its own.
 */

#define pr_fmt(fmt) "liveupdate: " fmt

#include <linux/build_bug.h>
#include <linux/cleanup.h>
#include <linux/ctype.h>
#include <linux/export.h>
#include <linux/minmax.h>

#include "luo_session.h"

/* ---- names ---- */

static bool luo_name_taken(struct luo *luo, const char *name)
{
	return luo_session_find(luo, LUO_OUTGOING, name) ||
	       luo_session_find(luo, LUO_INCOMING, name);
}

/* What luo_session_rename() puts behind a name, and what it leaves of any. */
#define LUO_SUFFIX_SIZE		sizeof("~4294967295")
#define LUO_NAME_KEPT		(LUO_SESSION_NAME_LENGTH - LUO_SUFFIX_SIZE)

static_assert(LUO_NAME_KEPT == LUO_OWNER_NAME_LENGTH);

/* No two sessions get the same @n, so names that are cut stay different. */
static void luo_session_rename(struct liveupdate_session *session,
			       unsigned int *n)
{
	char name[LUO_SESSION_NAME_LENGTH];
	char suffix[LUO_SUFFIX_SIZE];

	do {
		size_t len = snprintf(suffix, sizeof(suffix), "~%u", ++*n);

		snprintf(name, sizeof(name), "%.*s%s",
			 (int)(sizeof(name) - 1 - len), session->name, suffix);
	} while (luo_name_taken(session->luo, name));

	luo_session_warn(session, "was never finished and is handed over as %*pE\n",
			 (int)strlen(name), name);
	strscpy_pad(luo_session_record(session)->name, name);
}

/* It may have been, as there is no room for more. */
static bool luo_name_is_cut(const char *now)
{
	return strlen(now) == LUO_SESSION_NAME_LENGTH - 1;
}

/* Undo luo_session_rename() once: the name before was of the length @len, or longer. */
static bool luo_name_undo(const char *now, size_t *len)
{
	size_t digits = 0;

	while (digits < *len && isdigit(now[*len - 1 - digits]))
		digits++;
	if (!digits || *len < digits + 2 || now[*len - 1 - digits] != '~')
		return false;

	*len -= digits + 1;
	/* What was cut may have ended in the middle of an older number. */
	while (luo_name_is_cut(now) && *len && now[*len - 1] == '~')
		--*len;
	return true;
}

/**
 * luo_owner_of - Say for whom the blocks of a session are noted.
 * @name: Name of the session.
 * @len:  Its length.
 *
 * Return: the same for all names that begin alike, as far as luo_session_rename()
 * keeps any.
 */
u64 luo_owner_of(const char *name, size_t len)
{
	u64 hash = 0xcbf29ce484222325;
	size_t i;

	for (i = 0; i < min(len, LUO_OWNER_NAME_LENGTH); i++)
		hash = (hash ^ (u8)name[i]) * 0x100000001b3;
	return hash;
}

/**
 * luo_session_owns - Say if blocks are a session's.
 * @session: Incoming session.
 * @owner:   For whom the blocks are noted, or 0 for nobody.
 *
 * Return: true if they are, or may be.
 */
bool luo_session_owns(const struct liveupdate_session *session, u64 owner)
{
	size_t len = strlen(session->name);

	if (!owner)
		return true;
	do {
		if (luo_owner_of(session->name, len) == owner)
			return true;
	} while (luo_name_undo(session->name, &len));
	return false;
}

/**
 * liveupdate_session_name - Name of a session, for a handler to note.
 * @session: Session of the file operation that asks.
 *
 * Context: Any, while @session lives.
 * Return: the name; behind it zeros up to LUO_SESSION_NAME_LENGTH.
 */
const char *liveupdate_session_name(const struct liveupdate_session *session)
{
	return session->name;
}
EXPORT_SYMBOL_GPL(liveupdate_session_name);

/**
 * liveupdate_session_was - Say if a session may once have had a name.
 * @session: Session of the file operation that asks.
 * @name:    What liveupdate_session_name() said in a kernel before.
 *
 * A session that is handed over again may get another name: its own, cut if it
 * would be too long, and a tilde with a number. So one that was given a name like
 * that is taken for one that had the name before the tilde; and one whose name has
 * the greatest length, for one that had any which begins like it, and as far as at
 * least the first 52 bytes go.
 *
 * Context: Any, while @session lives.
 * Return: true if @name is its name, or was it before.
 */
bool liveupdate_session_was(const struct liveupdate_session *session,
			    const char *name)
{
	const char *now = session->name;
	size_t len = strlen(now);

	do {
		if (!strncmp(now, name, len) &&
		    (!name[len] || (luo_name_is_cut(now) && len >= LUO_NAME_KEPT)))
			return true;
	} while (luo_name_undo(now, &len));
	return false;
}
EXPORT_SYMBOL_GPL(liveupdate_session_was);

/* ---- reboot ---- */

static void luo_sessions_choose_names(struct luo *luo)
{
	struct rb_node *node;
	unsigned int n = 0;

	guard(mutex)(&luo->lock);
	if (!luo->count[LUO_OUTGOING].sessions || !luo->count[LUO_INCOMING].sessions)
		return;

	for (node = rb_first(&luo->by_name[LUO_INCOMING]); node; node = rb_next(node)) {
		struct liveupdate_session *session =
			rb_entry(node, struct liveupdate_session, by_name);

		if (session->state != LUO_SESSION_DAMAGED &&
		    luo_session_find(luo, LUO_OUTGOING, session->name))
			luo_session_rename(session, &n);
	}
}

static void luo_sessions_restore_names(struct luo *luo)
{
	struct rb_node *node;

	guard(mutex)(&luo->lock);
	for (node = rb_first(&luo->by_name[LUO_INCOMING]); node; node = rb_next(node)) {
		struct liveupdate_session *session =
			rb_entry(node, struct liveupdate_session, by_name);

		if (session->state != LUO_SESSION_DAMAGED)
			memcpy(luo_session_record(session)->name, session->name,
			       sizeof(session->name));
	}
}

/**
 * luo_sessions_carry - Make incoming sessions ready to be handed over again.
 * @luo: Instance, frozen.
 *
 * Costs nothing if no file was retrieved without being finished.
 *
 * Return: 0, or the first failure and nothing has changed.
 */
int luo_sessions_carry(struct luo *luo)
{
	struct rb_node *node;
	int err = 0;

	luo_sessions_choose_names(luo);
	if (!luo->retrieved_files)
		return 0;

	for (node = rb_first(&luo->by_seq); node && !err; node = rb_next(node)) {
		struct liveupdate_session *session =
			rb_entry(node, struct liveupdate_session, by_seq);

		if (luo_session_direction(session) != LUO_INCOMING)
			continue;
		mutex_lock(&session->lock);
		err = luo_file_set_carry(session);
		mutex_unlock(&session->lock);
	}
	if (err)
		luo_sessions_uncarry(luo);
	return err;
}

/**
 * luo_sessions_uncarry - Undo luo_sessions_carry().
 * @luo: Instance, frozen.
 */
void luo_sessions_uncarry(struct luo *luo)
{
	struct rb_node *node;

	for (node = rb_last(&luo->by_seq); node; node = rb_prev(node)) {
		struct liveupdate_session *session =
			rb_entry(node, struct liveupdate_session, by_seq);

		if (luo_session_direction(session) != LUO_INCOMING)
			continue;
		mutex_lock(&session->lock);
		luo_file_set_uncarry(session);
		mutex_unlock(&session->lock);
	}
	luo_sessions_restore_names(luo);
}
