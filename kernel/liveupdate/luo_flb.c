// SPDX-License-Identifier: GPL-2.0-only
/*
 * File-lifecycle-bound data: state behind many files, preserved with the first
 * of them and released with the last.
 *
 * Whoever gives up an FLB's lock sees to what is due: unpreserve once nothing
 * that goes out needs it, finish once nothing that came in does. So a user who
 * puts the last reference inside of a callback waits for nobody.
 */

#define pr_fmt(fmt) "liveupdate: " fmt

#include <linux/cleanup.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/slab.h>
#include <trace/events/liveupdate.h>

#include "luo_flb.h"

/* FLBs whose callbacks one task can be in; lockdep tells so many apart. */
#define LUO_FLB_DEPTH	8

/* ---- objects ---- */

/**
 * luo_flb_complete - Say if an FLB can be registered.
 * @flb: FLB.
 *
 * Code of a module that does not say so could go at any time.
 *
 * Return: true if all is there that has to be.
 */
bool luo_flb_complete(const struct liveupdate_flb *flb)
{
	const struct liveupdate_flb_ops *ops = flb->ops;

	return ops && ops->preserve && ops->unpreserve && ops->retrieve &&
	       ops->finish && !ops->carry == !ops->uncarry &&
	       (ops->owner || !is_module_address((unsigned long)ops)) &&
	       luo_name_valid(flb->compatible);
}

/**
 * luo_flb_find - Look an FLB up by its name.
 * @luo:  Instance, FLBs locked.
 * @name: Name.
 *
 * Return: the FLB or NULL.
 */
struct luo_flb *luo_flb_find(struct luo *luo, const char *name)
{
	struct luo_flb *f;

	lockdep_assert_held(&luo->flb_lock);
	list_for_each_entry(f, &luo->flbs, node) {
		if (!strncmp(f->name, name, sizeof(f->name)))
			return f;
	}
	return NULL;
}

/**
 * luo_flb_new - Make an FLB.
 * @luo:  Instance, FLBs locked.
 * @name: Valid name.
 *
 * Return: the FLB with a reference for the caller, or NULL.
 */
struct luo_flb *luo_flb_new(struct luo *luo, const char *name)
{
	struct luo_flb *f = kzalloc(sizeof(*f), GFP_KERNEL);

	if (!f)
		return NULL;

	f->luo = luo;
	strscpy_pad(f->name, name);
	mutex_init(&f->lock);
	f->refs = 1;
	list_add_tail(&f->node, &luo->flbs);
	return f;
}

/**
 * luo_flb_drop - Drop a reference.
 * @f: FLB; all FLBs are locked.
 *
 * A link to a handler has one, and so has each side that is not empty.
 */
void luo_flb_drop(struct luo_flb *f)
{
	lockdep_assert_held(&f->luo->flb_lock);
	if (--f->refs)
		return;

	list_del(&f->node);
	mutex_destroy(&f->lock);
	kfree(f);
}

/**
 * luo_flb_put - Drop a reference.
 * @f: FLB.
 */
void luo_flb_put(struct luo_flb *f)
{
	struct luo *luo = f->luo;

	guard(mutex)(&luo->flb_lock);
	luo_flb_drop(f);
}

/**
 * luo_flb_after - Go from one FLB to the next.
 * @luo: Instance.
 * @f:   FLB whose reference is dropped, or NULL.
 *
 * Return: the one that was made after @f, or the first, with a reference; NULL if
 * there is none.
 */
struct luo_flb *luo_flb_after(struct luo *luo, struct luo_flb *f)
{
	struct luo_flb *next;

	guard(mutex)(&luo->flb_lock);
	next = f ? list_next_entry(f, node) :
		   list_first_entry(&luo->flbs, struct luo_flb, node);
	if (f)
		luo_flb_drop(f);
	if (list_entry_is_head(next, &luo->flbs, node))
		return NULL;

	next->refs++;
	return next;
}

/**
 * luo_flb_first - Choose an FLB.
 * @luo:    Instance.
 * @fits:   Whether an FLB may be chosen.
 * @before: Whether the first of two is rather chosen than the second.
 *
 * Return: the one that goes before all others that fit, with a reference; NULL if
 * none does.
 */
struct luo_flb *luo_flb_first(struct luo *luo, bool (*fits)(const struct luo_flb *f),
			      bool (*before)(const struct luo_flb *f,
					     const struct luo_flb *other))
{
	struct luo_flb *f, *first = NULL;

	guard(mutex)(&luo->flb_lock);
	list_for_each_entry(f, &luo->flbs, node) {
		if (fits(f) && (!first || before(f, first)))
			first = f;
	}
	if (first)
		first->refs++;
	return first;
}

/**
 * luo_flb_goes_out_later - Order FLBs by when they were preserved.
 * @f:     FLB.
 * @other: Another.
 *
 * Return: true if @f is the newer.
 */
bool luo_flb_goes_out_later(const struct luo_flb *f, const struct luo_flb *other)
{
	if (f->out.place != other->out.place)
		return f->out.place > other->out.place;
	return f->out.seq > other->out.seq;
}

/**
 * luo_flb_goes_out_earlier - Order FLBs by when they were preserved.
 * @f:     FLB.
 * @other: Another.
 *
 * Return: true if @f is the older.
 */
bool luo_flb_goes_out_earlier(const struct luo_flb *f, const struct luo_flb *other)
{
	return luo_flb_goes_out_later(other, f);
}

static void luo_flb_unpin(struct luo_flb *f)
{
	struct module *owner;

	guard(mutex)(&f->luo->flb_lock);
	owner = f->flb->ops->owner;
	if (!--f->pins && !f->handlers)
		f->flb = NULL;
	module_put(owner);
}

/* @flb is who asks; it may have been registered with no handler yet. */
static int luo_flb_pin(struct luo_flb *f, struct liveupdate_flb *flb)
{
	guard(mutex)(&f->luo->flb_lock);
	if (f->flb)
		flb = f->flb;
	if (!flb || !try_module_get(flb->ops->owner))
		return -ENODEV;

	f->flb = flb;
	f->pins++;
	return 0;
}

/**
 * luo_flbs_free - Free all FLBs of an instance.
 * @luo: Instance that ends.
 */
void luo_flbs_free(struct luo *luo)
{
	struct luo_flb *f, *next;

	list_for_each_entry_safe(f, next, &luo->flbs, node) {
		while (f->pins)
			luo_flb_unpin(f);
		list_del(&f->node);
		mutex_destroy(&f->lock);
		kfree(f);
	}
	if (luo->flb_page)
		luo->memory->free(luo->flb_page);
}

/* ---- callbacks ---- */

static u64 luo_flb_op_begin(void)
{
	return trace_liveupdate_flb_op_enabled() ? local_clock() : 0;
}

static void luo_flb_op_end(const struct luo_flb *f, const char *op, int err,
			   u64 begin)
{
	if (begin)
		trace_liveupdate_flb_op(op, f->name, err, local_clock() - begin);
}

static struct liveupdate_flb_op_args luo_flb_args(const struct luo_flb *f,
						  const struct luo_flb_side *side)
{
	return (struct liveupdate_flb_op_args) {
		.flb = f->flb,
		.data = side->data,
		.obj = side->obj,
		.incoming = side == &f->out ? f->in.obj : NULL,
	};
}

/* What retrieve has used up is not handed over, nor given to it or finish again. */
static void luo_flb_retrieve_failed(struct luo_flb *f, u64 data, int err)
{
	lockdep_assert_held(&f->luo->flb_lock);
	f->in.data = data;
	if (err == -EBADMSG) {
		pr_warn("FLB %*pE: what came in is damaged; its memory stays reserved\n",
			(int)strlen(f->name), f->name);
		f->in.state = LUO_FLB_DAMAGED;
	}
	luo_flb_sync(f);
}

/*
 * A side that becomes live is newer than all others, but what is preserved in a
 * callback of an FLB is needed by that one.
 */
static u64 luo_flb_place(const struct luo_flb *f)
{
	u64 place = f->luo->flb_seq;
	const struct luo_flb *user;

	list_for_each_entry(user, &f->luo->flbs, node) {
		if (user->owner == current && user->out.state != LUO_FLB_NONE)
			place = min(place, user->out.place);
	}
	return place;
}

/**
 * luo_flb_op_call - Make a side live, or more than it was.
 * @f:     FLB, locked.
 * @side:  One of its sides.
 * @state: What the side is if the callback succeeds; if not, nothing changes but
 *         what retrieve did not undo.
 * @name:  Name of the callback.
 * @op:    Callback.
 *
 * Return: 0 or the error of @op.
 */
int luo_flb_op_call(struct luo_flb *f, struct luo_flb_side *side,
		    enum luo_flb_state state, const char *name,
		    int (*op)(struct liveupdate_flb_op_args *args))
{
	struct liveupdate_flb_op_args args = luo_flb_args(f, side);
	u64 begin = luo_flb_op_begin();
	int err = op(&args);

	luo_flb_op_end(f, name, err, begin);
	guard(mutex)(&f->luo->flb_lock);
	if (err) {
		if (side == &f->in)
			luo_flb_retrieve_failed(f, args.data, err);
		return err;
	}
	side->seq = ++f->luo->flb_seq;
	if (side->state == LUO_FLB_NONE) {
		side->place = luo_flb_place(f);
		f->refs++;
	}
	side->state = state;
	side->data = args.data;
	side->obj = args.obj;
	return 0;
}

/**
 * luo_flb_op_call_void - Make a side less than it was.
 * @f:    FLB, locked.
 * @side: One of its sides; the state is up to the caller.
 * @name: Name of the callback.
 * @op:   Callback.
 */
void luo_flb_op_call_void(struct luo_flb *f, struct luo_flb_side *side,
			  const char *name,
			  void (*op)(struct liveupdate_flb_op_args *args))
{
	struct liveupdate_flb_op_args args = luo_flb_args(f, side);
	u64 begin = luo_flb_op_begin();

	op(&args);
	luo_flb_op_end(f, name, 0, begin);
	guard(mutex)(&f->luo->flb_lock);
	side->data = args.data;
	side->obj = args.obj;
}

/* Make a side live, and keep its module here as long as it is. */
static int luo_flb_enliven(struct luo_flb *f, struct liveupdate_flb *flb,
			   struct luo_flb_side *side)
{
	int err = luo_flb_pin(f, flb);

	if (err)
		return err;
	if (side == &f->out)
		err = luo_flb_op_call(f, side, LUO_FLB_PRESERVED, "preserve",
				      f->flb->ops->preserve);
	else
		err = luo_flb_op_call(f, side, LUO_FLB_RETRIEVED, "retrieve",
				      f->flb->ops->retrieve);
	if (err)
		luo_flb_unpin(f);
	return err;
}

/**
 * luo_flb_preserve - See to it that an FLB is preserved.
 * @f: FLB, locked; somebody has registered it.
 *
 * Return: 0, -ENOMEM, -ENODEV if its module goes, or its own error.
 */
int luo_flb_preserve(struct luo_flb *f)
{
	struct luo *luo = f->luo;
	int err;

	if (f->out.state != LUO_FLB_NONE)
		return 0;

	mutex_lock(&luo->flb_lock);
	err = luo_flb_page_make(luo);
	mutex_unlock(&luo->flb_lock);
	return err ?: luo_flb_enliven(f, NULL, &f->out);
}

/**
 * luo_flb_retrieve - See to it that an FLB is retrieved.
 * @f:   FLB, locked.
 * @flb: Who asks, or NULL.
 *
 * Return: 0; -ENOENT if nothing came in; -EBADMSG if it is damaged; -ENODEV if
 * its module goes; or its own error.
 */
int luo_flb_retrieve(struct luo_flb *f, struct liveupdate_flb *flb)
{
	switch (f->in.state) {
	case LUO_FLB_INCOMING:
		return luo_flb_enliven(f, flb, &f->in);
	case LUO_FLB_RETRIEVED:
		return 0;
	case LUO_FLB_DAMAGED:
		return -EBADMSG;
	default:
		return f->luo->flbs_lost ? -EBADMSG : -ENOENT;
	}
}

static void luo_flb_finish(struct luo_flb *f)
{
	if (f->in.state == LUO_FLB_DAMAGED)
		return;
	if (f->in.state == LUO_FLB_INCOMING && luo_flb_pin(f, NULL)) {
		pr_warn("FLB %*pE: nobody knows how to free it; its memory stays reserved\n",
			(int)strlen(f->name), f->name);
		return;
	}
	luo_flb_op_call_void(f, &f->in, "finish", f->flb->ops->finish);
	luo_flb_unpin(f);
}

static void luo_flb_unpreserve(struct luo_flb *f)
{
	luo_flb_op_call_void(f, &f->out, "unpreserve", f->flb->ops->unpreserve);
	luo_flb_unpin(f);
}

/**
 * luo_flb_is_due - Say if nothing keeps a side.
 * @side: Side; all FLBs are locked.
 *
 * Return: true if it is to be unpreserved or finished.
 */
bool luo_flb_is_due(const struct luo_flb_side *side)
{
	return side->state != LUO_FLB_NONE && side->state != LUO_FLB_CARRIED &&
	       !side->files && !side->users;
}

static struct luo_flb_side *luo_flb_due(struct luo_flb *f)
{
	lockdep_assert_held(&f->luo->flb_lock);
	if (luo_flb_is_due(&f->out))
		return &f->out;
	return luo_flb_is_due(&f->in) ? &f->in : NULL;
}

static void luo_flb_end(struct luo_flb *f, struct luo_flb_side *side)
{
	if (side == &f->out)
		luo_flb_unpreserve(f);
	else
		luo_flb_finish(f);

	guard(mutex)(&f->luo->flb_lock);
	*side = (struct luo_flb_side) {};
	luo_flb_sync(f);
	luo_flb_drop(f);
}

/* ---- lock ---- */

/* An FLB in a callback of which the current task is, and how many there are. */
static struct luo_flb *luo_flb_mine(struct luo *luo, unsigned int *depth)
{
	struct luo_flb *f, *mine = NULL;

	*depth = 0;
	list_for_each_entry(f, &luo->flbs, node) {
		if (f->owner != current)
			continue;
		mine = f;
		(*depth)++;
	}
	return mine;
}

static struct luo_flb *luo_flb_awaited_by(struct luo *luo,
					  const struct task_struct *task)
{
	struct luo_flb *f;

	list_for_each_entry(f, &luo->flbs, node) {
		if (f->owner == task && f->awaits)
			return f->awaits;
	}
	return NULL;
}

/* A task waits for one FLB at a time, so there is one way to follow. */
static bool luo_flb_waits_for_me(struct luo *luo, const struct luo_flb *f)
{
	while (f && f->owner) {
		if (f->owner == current)
			return true;
		f = luo_flb_awaited_by(luo, f->owner);
	}
	return false;
}

/**
 * luo_flb_lock - Get ready to call an FLB.
 * @f: FLB with a reference.
 *
 * Return: 0; -EDEADLK if FLBs would wait for each other; -EINTR if the caller is
 * killed.
 */
int luo_flb_lock(struct luo_flb *f)
{
	struct luo *luo = f->luo;
	struct luo_flb *mine;
	unsigned int depth;
	int err;

	mutex_lock(&luo->flb_lock);
	mine = luo_flb_mine(luo, &depth);
	if (mine && (depth == LUO_FLB_DEPTH || luo_flb_waits_for_me(luo, f))) {
		mutex_unlock(&luo->flb_lock);
		return -EDEADLK;
	}
	if (mine)
		mine->awaits = f;
	mutex_unlock(&luo->flb_lock);

	err = mutex_lock_killable_nested(&f->lock, depth);
	guard(mutex)(&luo->flb_lock);
	if (mine)
		mine->awaits = NULL;
	if (!err)
		f->owner = current;
	return err;
}

/**
 * luo_flb_lock_uninterruptible - luo_flb_lock() for those who can't give up.
 * @f: FLB with a reference.
 *
 * Context: not inside a callback of an FLB.
 */
void luo_flb_lock_uninterruptible(struct luo_flb *f)
{
	mutex_lock(&f->lock);
	guard(mutex)(&f->luo->flb_lock);
	f->owner = current;
}

/**
 * luo_flb_unlock - End luo_flb_lock().
 * @f: FLB; is unpreserved or finished if it is time.
 */
void luo_flb_unlock(struct luo_flb *f)
{
	struct luo *luo = f->luo;
	struct luo_flb_side *side;

	mutex_lock(&luo->flb_lock);
	while ((side = luo_flb_due(f))) {
		mutex_unlock(&luo->flb_lock);
		luo_flb_end(f, side);
		mutex_lock(&luo->flb_lock);
	}
	f->owner = NULL;
	/* Who finds it locked under luo::flb_lock is right to leave all to us. */
	mutex_unlock(&f->lock);
	mutex_unlock(&luo->flb_lock);
}

/* ---- users ---- */

static struct luo_flb *luo_flb_get(struct luo *luo, struct liveupdate_flb *flb)
{
	struct luo_flb *f;
	int err;

	if (!luo_flb_complete(flb))
		return ERR_PTR(-EINVAL);

	guard(mutex)(&luo->flb_lock);
	err = luo_flb_page_read(luo);
	if (err)
		return ERR_PTR(err);

	f = luo_flb_find(luo, flb->compatible);
	if (!f)
		return ERR_PTR(luo->flbs_lost ? -EBADMSG : -ENOENT);
	if (f->flb && f->flb != flb)
		return ERR_PTR(-EEXIST);

	f->refs++;
	return f;
}

static int luo_flb_use(struct luo_flb *f, struct luo_flb_side *side, void **obj)
{
	guard(mutex)(&f->luo->flb_lock);
	if (!side->files && side->state != LUO_FLB_CARRIED)
		return -ENOENT;

	side->users++;
	*obj = side->obj;
	return 0;
}

static void luo_flb_unuse(struct luo *luo, struct liveupdate_flb *flb,
			  bool outgoing)
{
	struct luo_flb_side *side;
	struct luo_flb *f;
	bool settle;

	mutex_lock(&luo->flb_lock);
	f = luo_flb_find(luo, flb->compatible);
	side = f && outgoing ? &f->out : &f->in;
	if (WARN_ON_ONCE(!f || !side->users)) {
		mutex_unlock(&luo->flb_lock);
		return;
	}
	side->users--;
	settle = luo_flb_is_due(side) && mutex_trylock(&f->lock);
	if (settle) {
		f->owner = current;
		f->refs++;
	}
	mutex_unlock(&luo->flb_lock);
	if (settle) {
		luo_flb_unlock(f);
		luo_flb_put(f);
	}
}

/**
 * luo_flb_get_incoming - Use what the previous kernel left of an FLB.
 * @luo: Instance.
 * @flb: FLB, perhaps registered.
 * @obj: Gets the live object.
 *
 * Return: 0 or an errno of liveupdate_flb_get_incoming().
 */
int luo_flb_get_incoming(struct luo *luo, struct liveupdate_flb *flb, void **obj)
{
	struct luo_flb *f = luo_flb_get(luo, flb);
	int err;

	if (IS_ERR(f))
		return PTR_ERR(f);

	err = luo_flb_lock(f);
	if (!err) {
		err = luo_flb_retrieve_on_demand(f, flb) ?:
		      luo_flb_use(f, &f->in, obj);
		luo_flb_unlock(f);
	}
	luo_flb_put(f);
	return err;
}

/**
 * luo_flb_put_incoming - End luo_flb_get_incoming().
 * @luo: Instance.
 * @flb: FLB.
 */
void luo_flb_put_incoming(struct luo *luo, struct liveupdate_flb *flb)
{
	luo_flb_unuse(luo, flb, false);
}

/**
 * luo_flb_get_outgoing - Use an FLB that is preserved.
 * @luo: Instance.
 * @flb: FLB.
 * @obj: Gets the live object.
 *
 * Return: 0 or an errno of liveupdate_flb_get_outgoing().
 */
int luo_flb_get_outgoing(struct luo *luo, struct liveupdate_flb *flb, void **obj)
{
	struct luo_flb *f = luo_flb_get(luo, flb);
	int err;

	if (IS_ERR(f))
		return PTR_ERR(f) == -EBADMSG ? -ENOENT : PTR_ERR(f);

	err = luo_flb_lock(f);
	if (!err) {
		err = luo_flb_carry_on_demand(f, flb) ?:
		      luo_flb_use(f, &f->out, obj);
		luo_flb_unlock(f);
	}
	luo_flb_put(f);
	return err;
}

/**
 * luo_flb_put_outgoing - End luo_flb_get_outgoing().
 * @luo: Instance.
 * @flb: FLB.
 */
void luo_flb_put_outgoing(struct luo *luo, struct liveupdate_flb *flb)
{
	luo_flb_unuse(luo, flb, true);
}
