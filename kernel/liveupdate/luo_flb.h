/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * File-lifecycle-bound data, as LUO knows it.
 *
 * What a driver registers may go while its records, users or files are still
 * there; a struct luo_flb is found by its name and lives as long as any of them.
 *
 * Lock order: session -> luo_flb::lock -> luo_flb::lock of those that its
 * callbacks use -> luo::flb_lock. Nothing is called with the last one held.
 */
#ifndef _LUO_FLB_H
#define _LUO_FLB_H

#include "luo_internal.h"

enum luo_flb_state {
	LUO_FLB_NONE,
	LUO_FLB_PRESERVED,	/* outgoing */
	LUO_FLB_CARRIED,	/* outgoing, and what came in is part of it */
	LUO_FLB_INCOMING,	/* record only */
	LUO_FLB_RETRIEVED,	/* incoming, with a live object */
	LUO_FLB_DAMAGED,	/* incoming, record makes no sense */
};

/*
 * What goes out, or what came in. Changes with the FLB's lock and luo::flb_lock
 * held, so that either is enough to look; @files and @users become less with
 * only the latter.
 */
struct luo_flb_side {
	enum luo_flb_state state;
	u64 files;
	unsigned long users;
	u64 data;
	void *obj;
	/* When it was preserved, carried or retrieved; or where its record stood. */
	u64 seq;
	/* Its place among the records; @seq decides if two have the same. */
	u64 place;
};

struct luo_flb {
	struct luo *luo;
	char name[LUO_HANDLER_NAME_LENGTH];

	/* Held over callbacks. */
	struct mutex lock;
	struct luo_flb_side out;
	struct luo_flb_side in;

	/* All below is under luo::flb_lock. */
	struct list_head node;
	unsigned int refs;
	/* NULL while nobody has registered it and no callback is to follow. */
	struct liveupdate_flb *flb;
	unsigned int handlers;
	unsigned int pins;
	/* The last file of in.files is finished, and luo_flb_finish_due() is to come. */
	bool ends;
	/* Files that came in and are preserved anew, for reboot(). */
	u64 carried;
	/*
	 * Of out.files and of carried those whose handler went while reboot() was
	 * under way. They count until it is called off.
	 */
	u64 orphans;
	u64 carried_orphans;
	/* Who has the lock, and for what FLB it waits in a callback of this one. */
	struct task_struct *owner;
	struct luo_flb *awaits;
};

enum luo_flb_link_state {
	LUO_FLB_LINKED,
	LUO_FLB_GOING,	/* unregistered; files that are preserved need it */
	LUO_FLB_GONE,	/* unregistered; counts files that were retrieved */
};

/* Stays on its handler's list while the handler has files, even if unregistered. */
struct luo_flb_link {
	struct list_head node;
	struct luo_flb *f;
	enum luo_flb_link_state state;
};

bool luo_flb_complete(const struct liveupdate_flb *flb);
struct luo_flb *luo_flb_find(struct luo *luo, const char *name);
struct luo_flb *luo_flb_new(struct luo *luo, const char *name);
struct luo_flb *luo_flb_after(struct luo *luo, struct luo_flb *f);
struct luo_flb *luo_flb_first(struct luo *luo, bool (*fits)(const struct luo_flb *f),
			      bool (*before)(const struct luo_flb *f,
					     const struct luo_flb *other));
bool luo_flb_goes_out_later(const struct luo_flb *f, const struct luo_flb *other);
bool luo_flb_goes_out_earlier(const struct luo_flb *f, const struct luo_flb *other);
void luo_flb_drop(struct luo_flb *f);
void luo_flb_put(struct luo_flb *f);

int luo_flb_lock(struct luo_flb *f);
void luo_flb_lock_uninterruptible(struct luo_flb *f);
void luo_flb_unlock(struct luo_flb *f);
bool luo_flb_is_due(const struct luo_flb_side *side);

int luo_flb_preserve(struct luo_flb *f);
int luo_flb_retrieve(struct luo_flb *f, struct liveupdate_flb *flb);
int luo_flb_op_call(struct luo_flb *f, struct luo_flb_side *side,
		    enum luo_flb_state state, const char *name,
		    int (*op)(struct liveupdate_flb_op_args *args));
void luo_flb_op_call_void(struct luo_flb *f, struct luo_flb_side *side,
			  const char *name,
			  void (*op)(struct liveupdate_flb_op_args *args));

/* ---- luo_flb_carry.c ---- */

int luo_flb_retrieve_on_demand(struct luo_flb *f, struct liveupdate_flb *flb);
int luo_flb_carry_on_demand(struct luo_flb *f, struct liveupdate_flb *flb);

/* ---- luo_flb_records.c ---- */

int luo_flb_page_read(struct luo *luo);
int luo_flb_page_make(struct luo *luo);
int luo_flb_sync(struct luo_flb *f);
void luo_flb_put_in_order(struct luo *luo);
u64 luo_flb_unclaimed(const struct luo_flb *f);

#endif /* _LUO_FLB_H */
