// SPDX-License-Identifier: GPL-2.0-only
/*
 * File-lifecycle-bound data at reboot(): what came in and was not finished, and
 * what is to go out, become one.
 */

#define pr_fmt(fmt) "liveupdate: " fmt

#include <linux/cleanup.h>

#include "luo_flb.h"

/* Files that came in, were not retrieved and are not finished, as far as known. */
static u64 luo_files_unclaimed(struct luo *luo)
{
	u64 files;

	guard(mutex)(&luo->lock);
	if (!luo->sessions_read)
		return U64_MAX;

	files = luo->count[LUO_INCOMING].files;
	return files - min(files, luo->retrieved_files);
}

/* A count may be wrong, but it is not more than there are files. */
static void luo_flbs_limit(struct luo *luo)
{
	u64 max_unclaimed = luo_files_unclaimed(luo);
	struct luo_flb *f;

	guard(mutex)(&luo->flb_lock);
	list_for_each_entry(f, &luo->flbs, node) {
		if (f->out.state == LUO_FLB_CARRIED ||
		    luo_flb_unclaimed(f) <= max_unclaimed)
			continue;
		f->in.files = f->carried + max_unclaimed;
		luo_flb_sync(f);
	}
}

/*
 * What nobody touched goes on as it came, unless there is something else to go
 * out.
 */
static bool luo_flb_must_carry(const struct luo_flb *f)
{
	return f->out.state != LUO_FLB_CARRIED && luo_flb_unclaimed(f) &&
	       (f->in.state == LUO_FLB_RETRIEVED || f->out.files);
}

static int luo_flb_may_carry(const struct luo_flb *f,
			     const struct liveupdate_flb *flb)
{
	if (flb->ops->carry)
		return 0;

	pr_warn("FLB %*pE: finish the sessions that came in with it first\n",
		(int)strlen(f->name), f->name);
	return -EBUSY;
}

static int luo_flb_carry_locked(struct luo_flb *f, struct liveupdate_flb *flb)
{
	int err = luo_flb_may_carry(f, flb);

	if (err)
		return err;
	err = luo_flb_retrieve(f, flb);
	/* The files that are to go out must not suffer. */
	if (err == -EBADMSG)
		return 0;
	if (!err)
		err = luo_flb_preserve(f);
	if (!err)
		err = luo_flb_op_call(f, &f->out, LUO_FLB_CARRIED, "carry",
				      f->flb->ops->carry);
	if (err)
		return err;

	guard(mutex)(&f->luo->flb_lock);
	return luo_flb_sync(f);
}

static int luo_flb_carry(struct luo_flb *f)
{
	int err = luo_flb_lock(f);

	if (err)
		return err;
	err = luo_flb_carry_locked(f, f->flb);
	luo_flb_unlock(f);
	return err;
}

static bool luo_flb_carries(const struct luo *luo)
{
	return READ_ONCE(luo->flb_carrier) == current;
}

/**
 * luo_flb_retrieve_on_demand - An FLB that came in is asked for.
 * @f:   FLB, locked.
 * @flb: Who asks.
 *
 * Once reboot() is under way only what it carries may use up others, which are
 * then to be carried as well.
 *
 * Return: 0; -EBUSY if @f goes on as it came; or as luo_flb_retrieve().
 */
int luo_flb_retrieve_on_demand(struct luo_flb *f, struct liveupdate_flb *flb)
{
	int err = 0;

	if (f->in.state == LUO_FLB_INCOMING && READ_ONCE(f->luo->frozen))
		err = luo_flb_carries(f->luo) ? luo_flb_may_carry(f, flb) : -EBUSY;
	return err ?: luo_flb_retrieve(f, flb);
}

/**
 * luo_flb_carry_on_demand - An FLB that goes out is asked for.
 * @f:   FLB, locked.
 * @flb: Who asks.
 *
 * What is carried may need others that no file has preserved.
 *
 * Return: 0; or an error as luo_flbs_carry(), for who carries only.
 */
int luo_flb_carry_on_demand(struct luo_flb *f, struct liveupdate_flb *flb)
{
	if (!luo_flb_carries(f->luo) || f->out.state == LUO_FLB_CARRIED ||
	    !luo_flb_unclaimed(f))
		return 0;
	return luo_flb_carry_locked(f, flb);
}

/* Who began to retrieve an FLB before the gate was closed is done with it. */
static int luo_flbs_drain(struct luo *luo)
{
	struct luo_flb *f = NULL;
	int err;

	while ((f = luo_flb_after(luo, f))) {
		err = luo_flb_lock(f);
		if (err) {
			luo_flb_put(f);
			return err;
		}
		luo_flb_unlock(f);
	}
	return 0;
}

static int luo_flbs_carry_all(struct luo *luo)
{
	int err = luo_flbs_drain(luo);
	struct luo_flb *f;

	if (err)
		return err;
	luo_flbs_limit(luo);
	/* One that is carried may have used others, so ask each time. */
	while (!err && (f = luo_flb_first(luo, luo_flb_must_carry,
					  luo_flb_goes_out_earlier))) {
		err = luo_flb_carry(f);
		luo_flb_put(f);
	}
	if (!err)
		luo_flb_put_in_order(luo);
	return err;
}

/**
 * luo_flbs_carry - Let each FLB have one state to hand over.
 * @luo: Instance, frozen.
 *
 * Return: 0; -EBUSY if what came in with an FLB can't be part of what goes out,
 * -EINTR, or the FLB's own error, and nothing has changed.
 */
int luo_flbs_carry(struct luo *luo)
{
	int err;

	WRITE_ONCE(luo->flb_carrier, current);
	err = luo_flbs_carry_all(luo);
	WRITE_ONCE(luo->flb_carrier, NULL);
	if (err)
		luo_flbs_uncarry(luo);
	return err;
}

static bool luo_flb_is_carried(const struct luo_flb *f)
{
	return f->out.state == LUO_FLB_CARRIED;
}

static void luo_flb_uncarry(struct luo_flb *f)
{
	luo_flb_op_call_void(f, &f->out, "uncarry", f->flb->ops->uncarry);
	guard(mutex)(&f->luo->flb_lock);
	f->out.state = LUO_FLB_PRESERVED;
	luo_flb_sync(f);
}

/**
 * luo_flbs_uncarry - Undo luo_flbs_carry(), newest FLB first.
 * @luo: Instance, frozen.
 */
void luo_flbs_uncarry(struct luo *luo)
{
	struct luo_flb *f;

	while ((f = luo_flb_first(luo, luo_flb_is_carried, luo_flb_goes_out_later))) {
		luo_flb_lock_uninterruptible(f);
		luo_flb_uncarry(f);
		luo_flb_unlock(f);
		luo_flb_put(f);
	}
}
