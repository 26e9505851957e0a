// SPDX-License-Identifier: GPL-2.0-only
/* Handlers that go while they have files, are called, or reboot() is under way. */

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kthread.h>

#include "luo_test.h"

/* ---- handlers that go while they have files ---- */

static void files_preserved_by_a_handler_that_goes_are_lost(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct luo_test_handler *i = luo_test_handler(t, "i");
	struct liveupdate_session *s = luo_test_create(t, "s");
	const char *before;

	luo_test_preserve_new(t, s, h, 1);
	before = luo_test_state(t);
	luo_test_preserve_new(t, s, i, 2);
	luo_test_preserve_new(t, s, i, 3);
	seq_buf_clear(&t->log.seq);
	luo_handler_unregister(&t->luo, &i->fh);
	luo_test_expect_log(t, "i.unpreserve:3 i.unpreserve:2");
	KUNIT_EXPECT_EQ(test, luo_test_blobs(t), 1);
	KUNIT_EXPECT_EQ(test, luo_file_find(&s->files, 2)->state, LUO_FILE_LOST);
	/* The session is not handed over without them. */
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), -ENODEV);
	luo_test_expect_log(t, "");

	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 2), 0);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), -ENODEV);
	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 3), 0);
	luo_test_expect_log(t, "");
	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &i->fh), 0);
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
}

static void session_with_lost_files_can_be_closed(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");

	luo_test_preserve_new(t, s, h, 1);
	luo_handler_unregister(&t->luo, &h->fh);
	luo_session_close(s);
	luo_test_expect_log(t, "h.preserve:1 h.unpreserve:1");
	KUNIT_EXPECT_EQ(test, t->luo.lost_files, 0);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
}

static void files_go_before_the_lost_one_they_depend_on(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *base = luo_test_handler(t, "base");
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");

	luo_test_preserve_new(t, s, base, 1);
	luo_test_preserve_new(t, s, base, 2);
	h->leans = 1;
	luo_test_preserve_new(t, s, h, 3);
	seq_buf_clear(&t->log.seq);
	luo_handler_unregister(&t->luo, &base->fh);
	luo_test_expect_log(t, "h.unpreserve:3 base.unpreserve:2 base.unpreserve:1");
	KUNIT_EXPECT_EQ(test, t->luo.lost_files, 3);
	luo_session_close(s);
	KUNIT_EXPECT_EQ(test, luo_test_blobs(t), 0);
}

/* 3 depends on 1, and 5 on 3; nothing else does. */
static void files_that_depend_on_no_lost_one_stay(struct kunit *test)
{
	static const u64 rest[] = { 2, 4, 6 };
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *base = luo_test_handler(t, "base");
	struct luo_test_handler *plain = luo_test_handler(t, "plain");
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	int i;

	h->leans = 2;
	luo_test_preserve_new(t, s, base, 1);
	luo_test_preserve_new(t, s, plain, 2);
	luo_test_preserve_new(t, s, h, 3);
	luo_test_preserve_new(t, s, plain, 4);
	luo_test_preserve_new(t, s, h, 5);
	luo_test_preserve_new(t, s, h, 6);
	seq_buf_clear(&t->log.seq);
	luo_handler_unregister(&t->luo, &base->fh);
	luo_test_expect_log(t, "h.unpreserve:5 h.unpreserve:3 base.unpreserve:1");
	for (i = 0; i < ARRAY_SIZE(rest); i++)
		KUNIT_EXPECT_EQ(test, luo_file_find(&s->files, rest[i])->state,
				LUO_FILE_PRESERVED);
	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 4), -EBUSY);
}

/* 2 depends on 1. */
static void files_retrieved_that_depend_on_no_lost_one_stay(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *base = luo_test_handler(t, "base");
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct luo_test_handler *plain = luo_test_handler(t, "plain");
	struct liveupdate_session *s = luo_test_create(t, "s");
	u64 token;

	h->leans = 1;
	luo_test_preserve_new(t, s, base, 1);
	luo_test_preserve_new(t, s, h, 2);
	luo_test_preserve_new(t, s, plain, 3);
	luo_test_freeze_and_jump(t);
	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &base->fh), 0);
	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &h->fh), 0);
	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &plain->fh), 0);
	s = luo_test_retrieve(t, "s");
	for (token = 1; token <= 3; token++)
		KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, token), 0);
	seq_buf_clear(&t->log.seq);
	luo_handler_unregister(&t->luo, &base->fh);
	luo_test_expect_log(t, "h.finish:2 base.finish:1");
	luo_session_close(s);
	luo_test_expect_log(t, "plain.can_finish:3 plain.finish:3");
}

static void files_retrieved_by_a_handler_that_goes_are_finished(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_hand_over(t, 3);
	struct liveupdate_session *s;

	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &h->fh), 0);
	s = luo_test_retrieve(t, "s");
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), 0);
	luo_test_fail_step(t, 1, -EUCLEAN);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 2), -EUCLEAN);
	seq_buf_clear(&t->log.seq);

	luo_handler_unregister(&t->luo, &h->fh);
	luo_test_expect_log(t, "h.finish:1");
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), 0);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 2), -EUCLEAN);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 3), -ENODEV);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), -ENODEV);
	KUNIT_EXPECT_EQ(test, luo_test_finish(s), -ENODEV);

	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &h->fh), 0);
	KUNIT_EXPECT_EQ(test, luo_test_finish(s), 0);
	luo_test_expect_log(t, "h.can_finish:2 h.can_finish:3 h.free:3 h.free:2");
	KUNIT_EXPECT_EQ(test, luo_test_blobs(t), 0);
	KUNIT_EXPECT_EQ(test, t->luo.lost_files, 0);
	luo_session_close(s);
}

/* ---- handlers that go while others are at work ---- */

struct departure {
	struct luo *luo;
	struct luo_test_handler *h;
	/* While this one freezes. */
	struct luo_test_handler *other;
	struct luo_file *f;
	struct completion done;
	int verdict;
};

static struct departure departure;

static int depart(void *arg)
{
	luo_handler_unregister(departure.luo, &departure.h->fh);
	complete(&departure.done);
	return 0;
}

static int begin_to_depart(void)
{
	return PTR_ERR_OR_ZERO(kthread_run(depart, NULL, "luo_departure"));
}

/* An operation of "h", or reboot(), in a task of its own. */
struct busy {
	const char *name;
	int (*begin)(struct busy *b);

	struct luo_test *t;
	struct liveupdate_session *session;
	struct file *file;
	struct completion done;
	int err;
};

/* The operation that is under way, and what it waits for. */
static struct completion busy_inside, busy_go_on;

static void busy_wait(void)
{
	complete(&busy_inside);
	/* A test that fails does not hang. */
	wait_for_completion_timeout(&busy_go_on, 5 * HZ);
}

static int (*plain_op)(struct liveupdate_file_op_args *args);
static void (*plain_void_op)(struct liveupdate_file_op_args *args);

static int op_takes_its_time(struct liveupdate_file_op_args *args)
{
	busy_wait();
	return plain_op(args);
}

static void void_op_takes_its_time(struct liveupdate_file_op_args *args)
{
	busy_wait();
	plain_void_op(args);
}

static int busy_preserve(struct busy *b)
{
	return luo_test_preserve(b->session, b->file, 1);
}

static int busy_retrieve(struct busy *b)
{
	return luo_test_retrieve_file(b->session, 1);
}

static int busy_reboot(struct busy *b)
{
	return luo_freeze(&b->t->luo, true);
}

static const struct busy busy_rows[] = {
	{ "preserve", busy_preserve },
	{ "retrieve", busy_retrieve },
};
KUNIT_ARRAY_PARAM_DESC(busy, busy_rows, name);

static int be_busy(void *arg)
{
	struct busy *b = arg;

	b->err = b->begin(b);
	complete(&b->done);
	return 0;
}

static void busy_start(struct luo_test *t, struct busy *b)
{
	b->t = t;
	init_completion(&b->done);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(t->test, kthread_run(be_busy, b, "luo_busy"));
}

static struct luo_test_handler *handler_that_takes_its_time(struct luo_test *t,
							    bool retrieve)
{
	struct luo_test_handler *h = luo_test_hand_over(t, 1);
	int (**op)(struct liveupdate_file_op_args *args) =
		retrieve ? &h->ops.retrieve : &h->ops.preserve;

	plain_op = *op;
	*op = op_takes_its_time;
	KUNIT_ASSERT_EQ(t->test, luo_handler_register(&t->luo, &h->fh), 0);
	init_completion(&busy_inside);
	init_completion(&busy_go_on);
	departure = (struct departure) { .luo = &t->luo, .h = h };
	init_completion(&departure.done);
	return h;
}

static void handler_does_not_go_while_it_is_called(struct kunit *test)
{
	const struct busy *row = test->param_value;
	const bool retrieve = row->begin == busy_retrieve;
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = handler_that_takes_its_time(t, retrieve);
	struct busy b = *row;

	b.session = retrieve ? luo_test_retrieve(t, "s") : luo_test_create(t, "new");
	b.file = luo_test_file(t, h, 1);
	busy_start(t, &b);
	wait_for_completion(&busy_inside);
	KUNIT_ASSERT_EQ(test, begin_to_depart(), 0);
	KUNIT_EXPECT_EQ(test, wait_for_completion_timeout(&departure.done, HZ / 10), 0);
	complete(&busy_go_on);
	wait_for_completion(&b.done);
	wait_for_completion(&departure.done);
	KUNIT_EXPECT_EQ(test, b.err, 0);
	KUNIT_EXPECT_EQ(test, luo_file_find(&b.session->files, 1)->state, LUO_FILE_LOST);
	luo_test_expect_log(t, retrieve ? "h.retrieve:1 h.finish:1" :
					  "h.preserve:1 h.unpreserve:1");
}

static void reboot_waits_for_a_handler_that_goes(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = handler_that_takes_its_time(t, true);
	struct busy b = { .begin = busy_reboot };

	plain_void_op = h->ops.unpreserve;
	h->ops.unpreserve = void_op_takes_its_time;
	luo_test_preserve_new(t, luo_test_create(t, "new"), h, 2);
	KUNIT_ASSERT_EQ(test, begin_to_depart(), 0);
	wait_for_completion(&busy_inside);
	busy_start(t, &b);
	KUNIT_EXPECT_EQ(test, wait_for_completion_timeout(&b.done, HZ / 10), 0);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(t->luo.frozen));
	complete(&busy_go_on);
	wait_for_completion(&departure.done);
	wait_for_completion(&b.done);
	KUNIT_EXPECT_EQ(test, b.err, -ENODEV);
	luo_test_expect_log(t, "h.preserve:2 h.unpreserve:2");
}

/* ---- handlers that go while reboot() is under way ---- */

static int (*plain_freeze)(struct liveupdate_file_op_args *args);

static int freeze_while_one_departs(struct liveupdate_file_op_args *args)
{
	int tries, err = begin_to_depart();

	if (err)
		return err;
	for (tries = 500; READ_ONCE(departure.f->state) != LUO_FILE_LOST && tries; tries--)
		msleep(20);
	return departure.verdict ?: plain_freeze(args);
}

/* Preserve 9 of "s2" by a handler that while it freezes waits until @going went. */
static void preserve_what_waits(struct luo_test *t, struct luo_test_handler *going, int verdict)
{
	struct luo_test_handler *other = luo_test_handler(t, "other");

	departure = (struct departure) {
		.luo = &t->luo, .h = going, .other = other, .verdict = verdict,
	};
	init_completion(&departure.done);
	plain_freeze = other->ops.freeze;
	other->ops.freeze = freeze_while_one_departs;
	luo_test_preserve_new(t, luo_test_create(t, "s2"), other, 9);
}

/* The handler of @token of @s goes meanwhile. */
static int freeze_and_lose(struct luo_test *t, struct liveupdate_session *s, u64 token)
{
	int err;

	departure.f = luo_file_find(&s->files, token);
	seq_buf_clear(&t->log.seq);
	err = luo_freeze(&t->luo, true);
	wait_for_completion(&departure.done);
	KUNIT_EXPECT_EQ(t->test, departure.f->state, LUO_FILE_LOST);
	departure.other->ops.freeze = plain_freeze;
	return err;
}

/* @going, which has @token of @s, goes while 9 of "s2" is frozen after it. */
static int freeze_while_it_goes(struct luo_test *t, struct luo_test_handler *going,
				struct liveupdate_session *s, u64 token, int verdict)
{
	preserve_what_waits(t, going, verdict);
	return freeze_and_lose(t, s, token);
}

/* It has 1 of session "s". */
static int freeze_and_go(struct luo_test *t, int verdict)
{
	struct luo_test_handler *going = luo_test_handler(t, "going");
	struct liveupdate_session *s = luo_test_create(t, "s");

	luo_test_preserve_new(t, s, going, 1);
	return freeze_while_it_goes(t, going, s, 1, verdict);
}

static void what_is_frozen_is_handed_over_if_its_handler_goes(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);

	KUNIT_EXPECT_EQ(test, freeze_and_go(t, 0), 0);
	luo_test_expect_log(t, "going.freeze:1 other.freeze:9");
	luo_files_settle(&t->luo);
	luo_test_expect_log(t, "other.settle:9");
	luo_test_expect_handed_over(t, "s{1:going} s2{9:other}");
}

/* Nobody can undo what it preserved. */
static void what_is_frozen_is_lost_if_its_handler_goes(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);

	KUNIT_EXPECT_EQ(test, freeze_and_go(t, -EAGAIN), -EAGAIN);
	luo_test_expect_log(t, "going.freeze:1");
	KUNIT_EXPECT_EQ(test, t->luo.lost_files, 1);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), -ENODEV);
	luo_session_close(departure.f->session);
	luo_test_expect_log(t, "");
	KUNIT_EXPECT_EQ(test, t->luo.lost_files, 0);
	luo_test_expect_handed_over(t, "s2{9:other}");
	KUNIT_EXPECT_EQ(test, luo_test_blobs(t), 2);
	xa_erase(&t->blobs, 1);
}

static void what_is_to_be_frozen_is_lost_if_its_handler_goes(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *going = luo_test_handler(t, "going");
	struct liveupdate_session *s = luo_test_create(t, "s");

	preserve_what_waits(t, going, 0);
	luo_test_preserve_new(t, s, going, 1);
	KUNIT_EXPECT_EQ(test, freeze_and_lose(t, s, 1), -ENODEV);
	luo_test_expect_log(t, "other.freeze:9 other.unfreeze:9");
	KUNIT_EXPECT_EQ(test, t->luo.lost_files, 1);
	luo_session_close(s);
	KUNIT_EXPECT_EQ(test, luo_test_blobs(t), 2);
	xa_erase(&t->blobs, 2);
}

/* But others have nothing to do with that any more. */
static void what_is_frozen_and_lost_holds_nothing(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *base = luo_test_handler(t, "base");
	struct luo_test_handler *going = luo_test_handler(t, "going");
	struct liveupdate_session *s = luo_test_create(t, "s");

	luo_test_flb(t, going, "f");
	going->leans = 1;
	luo_test_preserve_new(t, s, base, 1);
	luo_test_preserve_new(t, s, going, 2);
	KUNIT_EXPECT_EQ(test, freeze_while_it_goes(t, going, s, 2, -EAGAIN), -EAGAIN);
	luo_test_expect_log(t, "going.freeze:2 base.freeze:1 base.unfreeze:1 f.unpreserve");
	luo_test_expect_handed_over(t, "s{1:base 2:going} s2{9:other}");
	KUNIT_EXPECT_TRUE(test, list_empty(&t->luo.flbs));
	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 1), -EBUSY);
	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 2), 0);
	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 1), 0);
	luo_test_expect_log(t, "base.unpreserve:1");
	t->abandoned = 1;
}

/* It came in, and was preserved anew. */
static void what_is_carried_and_lost_holds_nothing(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, 1, &f);
	struct liveupdate_session *s;

	luo_test_take_over_flb(t, h, f);
	s = luo_test_retrieve(t, "s");
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), 0);
	KUNIT_EXPECT_EQ(test, freeze_while_it_goes(t, h, s, 1, -EAGAIN), -EAGAIN);
	luo_test_expect_log(t, "f.preserve h.preserve:1 f.unpreserve");
	luo_test_expect_handed_over(t, "s{1:h} s2{9:other} f=1");
}

static struct kunit_case luo_departure_cases[] = {
	KUNIT_CASE(files_preserved_by_a_handler_that_goes_are_lost),
	KUNIT_CASE(session_with_lost_files_can_be_closed),
	KUNIT_CASE(files_go_before_the_lost_one_they_depend_on),
	KUNIT_CASE(files_that_depend_on_no_lost_one_stay),
	KUNIT_CASE(files_retrieved_that_depend_on_no_lost_one_stay),
	KUNIT_CASE(files_retrieved_by_a_handler_that_goes_are_finished),
	KUNIT_CASE_PARAM(handler_does_not_go_while_it_is_called, busy_gen_params),
	KUNIT_CASE(reboot_waits_for_a_handler_that_goes),
	KUNIT_CASE(what_is_frozen_is_handed_over_if_its_handler_goes),
	KUNIT_CASE(what_is_frozen_is_lost_if_its_handler_goes),
	KUNIT_CASE(what_is_to_be_frozen_is_lost_if_its_handler_goes),
	KUNIT_CASE(what_is_frozen_and_lost_holds_nothing),
	KUNIT_CASE(what_is_carried_and_lost_holds_nothing),
	{}
};

static struct kunit_suite luo_departure_suite = {
	.name = "luo_departure",
	.init = luo_test_init,
	.exit = luo_test_exit,
	.test_cases = luo_departure_cases,
};
kunit_test_suite(luo_departure_suite);
