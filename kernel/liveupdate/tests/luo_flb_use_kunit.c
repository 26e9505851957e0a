// SPDX-License-Identifier: GPL-2.0-only
/* FLBs that use each other, and several tasks that use them: luo_flb.c. */

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/sched/task.h>

#include "luo_test.h"

/* ---- FLBs that use each other ---- */

/* Session "s" with a file of "h", which depends on @n FLBs "f", "g" and "k". */
static struct luo_test_handler *make_flbs(struct luo_test *t, unsigned int n,
					  struct luo_test_flb **flbs)
{
	static const char * const names[] = { "f", "g", "k" };
	struct luo_test_handler *h = luo_test_handler(t, "h");
	unsigned int i;

	for (i = 0; i < n; i++)
		flbs[i] = luo_test_flb(t, h, names[i]);
	return h;
}

static void take_over_flbs(struct luo_test *t, struct luo_test_handler *h,
			   unsigned int n, struct luo_test_flb **flbs)
{
	unsigned int i;

	luo_test_freeze_and_jump(t);
	luo_test_take_over_flb(t, h, flbs[0]);
	for (i = 1; i < n; i++)
		KUNIT_ASSERT_EQ(t->test, luo_flb_register(&t->luo, &h->fh, &flbs[i]->flb), 0);
}

static void flb_uses_another_from_beginning_to_end(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *flbs[2];
	struct luo_test_handler *h = make_flbs(t, 2, flbs);
	struct liveupdate_session *s = luo_test_create(t, "s");
	void *obj;

	flbs[1]->uses = flbs[0];
	luo_test_preserve_new(t, s, h, 1);
	luo_test_expect_log(t, "f.preserve g.preserve h.preserve:1");
	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 1), 0);
	luo_test_expect_log(t, "h.unpreserve:1 g.unpreserve f.unpreserve");
	luo_test_preserve_new(t, s, h, 1);
	take_over_flbs(t, h, 2, flbs);

	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &flbs[1]->flb, &obj), 0);
	luo_test_expect_log(t, "g.retrieve f.retrieve");
	luo_flb_put_incoming(&t->luo, &flbs[1]->flb);
	luo_session_close(luo_test_retrieve(t, "s"));
	luo_test_expect_log(t, "h.can_finish:1 h.free:1 g.finish f.finish");
}

static void flbs_that_nobody_retrieved_are_freed_newest_first(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *flbs[3];
	struct luo_test_handler *h = make_flbs(t, 3, flbs);
	struct liveupdate_session *s = luo_test_create(t, "s");

	luo_test_preserve_new(t, s, h, 1);
	take_over_flbs(t, h, 3, flbs);
	luo_session_close(luo_test_retrieve(t, "s"));
	luo_test_expect_log(t, "h.can_finish:1 h.free:1 k.free g.free f.free");
}

/* "k" uses "g"; "f" of another handler is older than both. */
static void flbs_are_known_by_their_age_when_one_has_gone(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct luo_test_handler *i = luo_test_handler(t, "i");
	struct luo_test_flb *g = luo_test_flb(t, i, "g");
	struct luo_test_flb *k = luo_test_flb(t, i, "k");
	struct liveupdate_session *s = luo_test_create(t, "s");

	luo_test_flb(t, h, "f");
	k->uses = g;
	luo_test_preserve_new(t, s, h, 1);
	luo_test_preserve_new(t, s, i, 2);
	luo_test_expect_handed_over(t, "s{1:h 2:i} f=1 g=1 k=1");
	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 1), 0);
	luo_test_expect_handed_over(t, "s{2:i} g=1 k=1");
	luo_test_freeze_and_jump(t);

	luo_test_take_over_flb(t, i, g);
	KUNIT_ASSERT_EQ(test, luo_flb_register(&t->luo, &i->fh, &k->flb), 0);
	luo_session_close(luo_test_retrieve(t, "s"));
	luo_test_expect_log(t, "i.can_finish:2 i.free:2 k.free g.free");
}

/* ... and before those: what was not retrieved may depend on what was. */
static void flbs_that_were_retrieved_are_finished_last(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *flbs[3];
	struct luo_test_handler *h = make_flbs(t, 3, flbs);
	struct liveupdate_session *s = luo_test_create(t, "s");
	void *obj;

	luo_test_preserve_new(t, s, h, 1);
	luo_test_preserve_new(t, s, h, 2);
	take_over_flbs(t, h, 3, flbs);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &flbs[2]->flb, &obj), 0);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &flbs[0]->flb, &obj), 0);
	luo_flb_put_incoming(&t->luo, &flbs[0]->flb);
	luo_flb_put_incoming(&t->luo, &flbs[2]->flb);
	luo_session_close(luo_test_retrieve(t, "s"));
	luo_test_expect_first(t, "k.retrieve f.retrieve h.can_finish:1 h.can_finish:2");
	luo_test_expect_log(t, "h.free:2 h.free:1 g.free f.finish k.finish");
}

/* Between its last file's finish and its own somebody else uses it. */
static void flb_waits_for_newer_ones_whoever_unlocks_it(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *flbs[2];
	struct luo_test_handler *h = make_flbs(t, 2, flbs);
	struct luo_test_handler *i = luo_test_handler(t, "i");
	struct liveupdate_session *s = luo_test_create(t, "s");

	luo_test_preserve_new(t, s, i, 1);
	luo_test_preserve_new(t, s, h, 2);
	take_over_flbs(t, h, 2, flbs);
	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &i->fh), 0);
	i->looks_at = flbs[0];
	luo_session_close(luo_test_retrieve(t, "s"));
	luo_test_expect_first(t, "i.can_finish:1 h.can_finish:2 h.free:2 i.free:1 f.retrieve");
	luo_test_expect_log(t, "g.free f.finish");
}

static void flbs_that_use_each_other_are_refused(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *flbs[3];
	struct luo_test_handler *h = make_flbs(t, 3, flbs);
	struct liveupdate_session *s = luo_test_create(t, "s");
	unsigned int i;
	void *obj;

	luo_test_preserve_new(t, s, h, 1);
	take_over_flbs(t, h, 3, flbs);
	for (i = 0; i < 3; i++)
		flbs[i]->uses = flbs[(i + 1) % 3];
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &flbs[0]->flb, &obj), -EDEADLK);
	luo_test_expect_log(t, "f.retrieve g.retrieve k.retrieve");
	flbs[1]->uses = flbs[1];
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &flbs[1]->flb, &obj), -EDEADLK);
	flbs[1]->uses = NULL;
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &flbs[0]->flb, &obj), 0);
	luo_flb_put_incoming(&t->luo, &flbs[0]->flb);
	luo_session_close(luo_test_retrieve(t, "s"));
	luo_test_expect_first(t, "g.retrieve f.retrieve g.retrieve h.can_finish:1 h.free:1");
	luo_test_expect_log(t, "k.free f.finish g.finish");
}

/* ---- two tasks ---- */

/* In retrieve of "f" a worker waits until it is told to go on. */
struct worker {
	struct luo_test *t;
	struct luo_test_flb *f;
	struct task_struct *task;
	struct completion inside;
	struct completion go_on;
	int err;
};

static struct worker *worker_now;

static void worker_waits(struct luo_test_flb *f)
{
	complete(&worker_now->inside);
	/* A test that fails does not hang. */
	KUNIT_EXPECT_NE(worker_now->t->test, 0,
			wait_for_completion_timeout(&worker_now->go_on, 30 * HZ));
}

static int worker_gets(void *data)
{
	struct worker *w = data;
	void *obj;

	w->err = luo_flb_get_incoming(&w->t->luo, &w->f->flb, &obj);
	return 0;
}

/* ... but for some time only. */
static void worker_is_slow(struct luo_test_flb *f)
{
	complete(&worker_now->inside);
	msleep(100);
}

static void worker_start(struct worker *w, struct luo_test *t, struct luo_test_flb *f,
			 void (*retrieving)(struct luo_test_flb *f))
{
	*w = (struct worker) { .t = t, .f = f };
	init_completion(&w->inside);
	init_completion(&w->go_on);
	worker_now = w;
	f->retrieving = retrieving;
	w->task = kthread_create(worker_gets, w, "luo_flb_test");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(t->test, w->task);
	get_task_struct(w->task);
	wake_up_process(w->task);
	wait_for_completion(&w->inside);
}

static int worker_end(struct worker *w)
{
	complete(&w->go_on);
	kthread_stop_put(w->task);
	return w->err;
}

static void flb_that_is_slow_keeps_nobody_else_waiting(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *flbs[2];
	struct luo_test_handler *h = make_flbs(t, 2, flbs), *i;
	struct luo_test_flb *other = luo_test_flb_new(t, "other");
	struct worker w;
	void *obj;

	luo_test_preserve_new(t, luo_test_create(t, "s"), h, 1);
	take_over_flbs(t, h, 2, flbs);
	worker_start(&w, t, flbs[0], worker_waits);

	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &flbs[1]->flb, &obj), 0);
	luo_flb_put_incoming(&t->luo, &flbs[1]->flb);
	i = luo_test_handler(t, "i");
	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &i->fh, &other->flb), 0);
	luo_test_preserve_new(t, luo_test_create(t, "new"), i, 2);
	luo_handler_unregister(&t->luo, &h->fh);

	KUNIT_EXPECT_EQ(test, worker_end(&w), 0);
	luo_test_expect_log(t, "f.retrieve g.retrieve other.preserve i.preserve:2");
	luo_flb_put_incoming(&t->luo, &flbs[0]->flb);
}

static void worker_goes_on(struct luo_test_flb *f)
{
	complete_all(&worker_now->go_on);
}

/* Each is in a callback, and asks for the FLB whose callback the other is in. */
static void flbs_of_two_tasks_do_not_lock_each_other_up(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *flbs[2];
	struct luo_test_handler *h = make_flbs(t, 2, flbs);
	struct worker w;
	void *obj;

	luo_test_preserve_new(t, luo_test_create(t, "s"), h, 1);
	take_over_flbs(t, h, 2, flbs);
	flbs[0]->uses = flbs[1];
	flbs[1]->uses = flbs[0];
	worker_start(&w, t, flbs[0], worker_waits);
	flbs[1]->retrieving = worker_goes_on;
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &flbs[1]->flb, &obj), -EDEADLK);
	KUNIT_EXPECT_EQ(test, worker_end(&w), -EDEADLK);
	seq_buf_clear(&t->log.seq);
}

static void put_while_another_has_the_flb_does_not_wait(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, 1, &f);
	struct liveupdate_session *new = luo_test_create(t, "new");
	struct worker w;
	void *obj;

	luo_test_take_over_flb(t, h, f);
	luo_test_preserve_new(t, new, h, 2);
	KUNIT_EXPECT_EQ(test, luo_flb_get_outgoing(&t->luo, &f->flb, &obj), 0);
	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(new, 2), 0);
	worker_start(&w, t, f, worker_waits);
	luo_flb_put_outgoing(&t->luo, &f->flb);
	luo_test_expect_log(t, "f.preserve h.preserve:2 h.unpreserve:2 f.retrieve");
	KUNIT_EXPECT_EQ(test, worker_end(&w), 0);
	luo_test_expect_log(t, "f.unpreserve");
	luo_flb_put_incoming(&t->luo, &f->flb);
}

/* What it then finds was used up, and would go on as it came. */
static void reboot_waits_for_who_retrieves_an_flb(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, 1, &f);
	struct worker w;

	luo_test_take_over_flb(t, h, f);
	worker_start(&w, t, f, worker_is_slow);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), -EBUSY);
	KUNIT_EXPECT_EQ(test, worker_end(&w), 0);
	luo_test_expect_log(t, "f.retrieve");
	luo_flb_put_incoming(&t->luo, &f->flb);
}

static struct kunit_case luo_flb_use_cases[] = {
	KUNIT_CASE(flb_uses_another_from_beginning_to_end),
	KUNIT_CASE(flbs_that_nobody_retrieved_are_freed_newest_first),
	KUNIT_CASE(flbs_are_known_by_their_age_when_one_has_gone),
	KUNIT_CASE(flbs_that_were_retrieved_are_finished_last),
	KUNIT_CASE(flb_waits_for_newer_ones_whoever_unlocks_it),
	KUNIT_CASE(flbs_that_use_each_other_are_refused),
	KUNIT_CASE(flb_that_is_slow_keeps_nobody_else_waiting),
	KUNIT_CASE(flbs_of_two_tasks_do_not_lock_each_other_up),
	KUNIT_CASE(put_while_another_has_the_flb_does_not_wait),
	KUNIT_CASE(reboot_waits_for_who_retrieves_an_flb),
	{}
};

static struct kunit_suite luo_flb_use_suite = {
	.name = "luo_flb_use",
	.init = luo_test_init,
	.exit = luo_test_exit,
	.test_cases = luo_flb_use_cases,
};
kunit_test_suite(luo_flb_use_suite);
