// SPDX-License-Identifier: GPL-2.0-only
/*
 * File-lifecycle-bound data that meets the next live update before it is
 * finished, and pages of records that make no sense: luo_flb.c and
 * luo_flb_records.c.
 */

#include <kunit/test.h>
#include <linux/io.h>

#include "../luo_flb.h"
#include "luo_test.h"

#define FLB_MAX		((PAGE_SIZE - 16) / 64)

/* ---- carried over ---- */

static void flb_nobody_knows_is_handed_over_as_it_came(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f, *g;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, 2, &f), *i;

	i = luo_test_handler(t, "i");
	g = luo_test_flb(t, i, "g");
	luo_test_preserve_new(t, luo_test_create(t, "new"), i, 3);
	luo_test_expect_handed_over(t, "s{1:h 2:h} new{3:i} f=2 g=1");
	luo_test_freeze_and_jump(t);

	luo_test_take_over_flb(t, h, f);
	luo_test_take_over_flb(t, i, g);
	luo_session_close(luo_test_retrieve(t, "s"));
	luo_session_close(luo_test_retrieve(t, "new"));
	luo_test_expect_handed_over(t, "");
	KUNIT_EXPECT_EQ(test, luo_test_blobs(t), 0);
}

static void flb_nobody_knows_goes_with_the_last_session(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, 1, &f);

	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &h->fh), 0);
	luo_test_create(t, "new");
	luo_session_close(luo_test_retrieve(t, "s"));
	luo_test_expect_handed_over(t, "new{}");
	/* What was in it can't be known. */
	KUNIT_EXPECT_EQ(test, luo_test_blobs(t), 1);
	xa_destroy(&t->blobs);
}

/* ---- both directions ---- */

/* Of an FLB that can't tell what to do with both. */
static void flb_goes_out_anew_after_it_was_finished(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, 1, &f);
	const char *before;

	luo_test_take_over_flb(t, h, f);
	luo_test_preserve_new(t, luo_test_create(t, "new"), h, 2);
	luo_test_expect_handed_over(t, "s{1:h} new{2:h} f=1");
	before = luo_test_state(t);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), -EBUSY);
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);

	luo_session_close(luo_test_retrieve(t, "s"));
	luo_test_expect_log(t, "f.preserve h.preserve:2 h.can_finish:1 h.free:1 f.free");
	luo_test_expect_handed_over(t, "new{2:h} f=1");
	luo_test_freeze_and_jump(t);
	luo_test_take_over_flb(t, h, f);
	luo_session_close(luo_test_retrieve(t, "new"));
	luo_test_expect_log(t, "h.can_finish:2 h.free:2 f.free");
}

/* Retrieve may have used up what is in the record. */
static void flb_that_was_retrieved_is_not_handed_over_as_it_came(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, 1, &f);
	void *obj;

	luo_test_take_over_flb(t, h, f);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), 0);
	luo_flb_put_incoming(&t->luo, &f->flb);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), -EBUSY);
	luo_session_close(luo_test_retrieve(t, "s"));
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
}

static void flb_of_files_retrieved_is_preserved_with_them(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, 2, &f);
	struct liveupdate_session *s;
	void *obj;

	luo_test_take_over_flb(t, h, f);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), 0);
	s = luo_test_retrieve(t, "s");
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), 0);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 2), 0);
	seq_buf_clear(&t->log.seq);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	luo_test_expect_first(t, "f.preserve h.preserve:1 h.preserve:2 h.freeze:1 h.freeze:2");
	luo_test_expect_handed_over(t, "s{1:h 2:h} f=2");
}

/* Session "s" of the kernel before, with @n files, and "new" with file 3. */
static struct luo_test_flb *orphan_and_new(struct luo_test *t, u64 n)
{
	struct luo_test_flb *f;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, n, &f);

	luo_test_flb_can_carry(f);
	luo_test_take_over_flb(t, h, f);
	luo_test_preserve_new(t, luo_test_create(t, "new"), h, 3);
	seq_buf_clear(&t->log.seq);
	return f;
}

static void orphan_does_not_stop_others(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f = orphan_and_new(t, 2);
	struct luo_test_handler *h = luo_test_handler_new(t, "h");

	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	luo_test_expect_log(t, "f.retrieve f.carry h.freeze:3");
	luo_test_expect_handed_over(t, "s{1:h 2:h} new{3:h} f=3");
	luo_test_jump(t);
	xa_erase(&t->blobs, 1);

	luo_test_take_over_flb(t, h, f);
	luo_session_close(luo_test_retrieve(t, "new"));
	luo_test_expect_log(t, "h.can_finish:3 h.free:3");
	luo_test_expect_handed_over(t, "s{1:h 2:h} f=2");
	luo_session_close(luo_test_retrieve(t, "s"));
	luo_test_expect_log(t, "h.can_finish:1 h.can_finish:2 h.free:2 h.free:1 f.free");
}

static void orphan_of_a_retrieved_flb_is_preserved_anew(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, 2, &f);
	struct liveupdate_session *s;
	void *obj;

	luo_test_flb_can_carry(f);
	luo_test_take_over_flb(t, h, f);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), 0);
	s = luo_test_retrieve(t, "s");
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 2), 0);
	luo_session_give_back(s);
	seq_buf_clear(&t->log.seq);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	luo_test_expect_log(t, "f.preserve h.preserve:2 f.carry h.freeze:2");
	luo_test_expect_handed_over(t, "s{1:h 2:h} f=2");
}

/* No file of it goes out but those that came in. */
static void orphan_alone_is_preserved_anew(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, 1, &f);
	const char *before;
	void *obj;

	luo_test_flb_can_carry(f);
	luo_test_take_over_flb(t, h, f);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), 0);
	before = luo_test_state(t);
	seq_buf_clear(&t->log.seq);
	luo_test_fail_step(t, 2, -EUCLEAN);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), -EUCLEAN);
	luo_test_expect_log(t, "f.preserve f.carry! f.unpreserve");
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	luo_test_expect_log(t, "f.preserve f.carry");
	luo_test_expect_handed_over(t, "s{1:h} f=1");
}

/* Nothing is different after any failure; returns which step there was none to fail. */
static unsigned int freeze_failing_at_each_step(struct luo_test *t)
{
	const char *before = luo_test_state(t);
	unsigned int step;

	seq_buf_clear(&t->log.seq);
	for (step = 1;; step++) {
		luo_test_fail_step(t, step, -EUCLEAN);
		if (!luo_freeze(&t->luo, true))
			return step;
		KUNIT_EXPECT_TRUE(t->test, luo_test_fail_step_done(t));
		KUNIT_ASSERT_STREQ(t->test, luo_test_state(t), before);
	}
}

static void reboot_called_off_undoes_carry(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f = orphan_and_new(t, 2);
	unsigned int step;
	void *obj;

	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), 0);
	luo_flb_put_incoming(&t->luo, &f->flb);
	step = freeze_failing_at_each_step(t);
	luo_test_expect_first(t, "f.carry! f.carry h.freeze:3! f.uncarry");
	luo_test_expect_log(t, "f.carry h.freeze:3");
	KUNIT_EXPECT_EQ(test, step, 3);
}

static void orphan_that_is_damaged_does_not_stop_others(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f = orphan_and_new(t, 1);
	void *obj;

	luo_test_fail_step(t, 1, -ENOMEM);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), -ENOMEM);
	luo_test_fail_step(t, 1, -EBADMSG);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	luo_test_expect_log(t, "f.retrieve! f.retrieve! h.freeze:3");
	luo_test_expect_handed_over(t, "s{1:h} new{3:h} f=1");
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), -EBADMSG);
}

/* What goes on as it came must not be used up any more. */
static void flb_is_not_retrieved_once_it_is_settled_what_goes_on(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, 1, &f);
	void *obj;

	luo_test_take_over_flb(t, h, f);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), -EBUSY);
	luo_test_expect_log(t, "");
}

static void page_is_left_alone_once_the_jump_is_near(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, 1, &f);
	void *obj;

	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &h->fh), 0);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), -EBUSY);
	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &h->fh, &f->flb), -EBUSY);
	KUNIT_EXPECT_TRUE(test, luo_test_page_is_previous(t, t->luo.root->flb));
	luo_test_jump(t);

	luo_test_take_over_flb(t, h, f);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), 0);
	luo_flb_put_incoming(&t->luo, &f->flb);
	luo_session_close(luo_test_retrieve(t, "s"));
}

/* ---- FLBs that use each other ---- */

/* "g" uses "f"; the kernel before left file 1, which depends on both. */
static struct luo_test_handler *hand_over_two(struct luo_test *t,
					      struct luo_test_flb **flbs)
{
	struct luo_test_handler *h = luo_test_handler(t, "h");

	flbs[0] = luo_test_flb(t, h, "f");
	flbs[1] = luo_test_flb(t, h, "g");
	flbs[1]->uses = flbs[0];
	luo_test_hand_over_again(t, h, 1);
	luo_test_flb_can_carry(flbs[0]);
	luo_test_flb_can_carry(flbs[1]);
	luo_test_take_over_flb(t, h, flbs[0]);
	KUNIT_ASSERT_EQ(t->test, luo_flb_register(&t->luo, &h->fh, &flbs[1]->flb), 0);
	return h;
}

static void orphans_of_flbs_that_use_each_other_do_not_stop_others(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *flbs[2];
	struct luo_test_handler *h = hand_over_two(t, flbs);

	luo_test_preserve_new(t, luo_test_create(t, "new"), h, 3);
	seq_buf_clear(&t->log.seq);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	luo_test_expect_log(t, "f.retrieve f.carry g.retrieve g.carry h.freeze:3");
	luo_test_expect_handed_over(t, "s{1:h} new{3:h} f=2 g=2");
}

/* What it uses is older, and is asked for only now. */
static void carry_retrieves_what_it_needs(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *flbs[2];
	struct luo_test_handler *h = hand_over_two(t, flbs);

	flbs[1]->uses = NULL;
	luo_test_preserve_new(t, luo_test_create(t, "new"), h, 3);
	flbs[0]->uses = flbs[1];
	seq_buf_clear(&t->log.seq);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	luo_test_expect_log(t, "f.retrieve g.retrieve f.carry g.carry h.freeze:3");
}

/* No file of them goes out but those that came in. */
static void orphans_alone_are_preserved_anew_in_order(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *flbs[2];
	unsigned int step;
	void *obj;

	hand_over_two(t, flbs);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &flbs[1]->flb, &obj), 0);
	step = freeze_failing_at_each_step(t);
	luo_test_expect_first(t, "g.preserve! g.preserve f.preserve!");
	luo_test_expect_first(t, "g.preserve f.preserve f.carry! f.unpreserve");
	luo_test_expect_first(t, "g.preserve f.preserve f.carry g.carry! g.unpreserve");
	luo_test_expect_first(t, "f.uncarry f.unpreserve");
	luo_test_expect_log(t, "g.preserve f.preserve f.carry g.carry");
	KUNIT_EXPECT_EQ(test, step, 5);
	luo_test_expect_handed_over(t, "s{1:h} f=1 g=1");
}

/* Then it would be of no use to anybody. */
static void flb_that_can_not_be_carried_is_not_used_up(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f, *g;
	struct luo_test_handler *h = luo_test_handler(t, "h"), *i = luo_test_handler(t, "i");
	struct liveupdate_session *s = luo_test_create(t, "s");

	f = luo_test_flb(t, h, "f");
	g = luo_test_flb(t, i, "g");
	luo_test_preserve_new(t, s, h, 1);
	luo_test_preserve_new(t, s, i, 2);
	luo_test_freeze_and_jump(t);

	luo_test_flb_can_carry(g);
	luo_test_take_over_flb(t, h, f);
	luo_test_take_over_flb(t, i, g);
	luo_test_preserve_new(t, luo_test_create(t, "new"), i, 3);
	g->uses = f;
	seq_buf_clear(&t->log.seq);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), -EBUSY);
	luo_test_expect_log(t, "g.retrieve");

	/* Not even g was. */
	g->uses = NULL;
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	luo_test_expect_log(t, "g.retrieve g.carry i.freeze:3");
	luo_test_expect_handed_over(t, "s{1:h 2:i} new{3:i} f=1 g=2");
}

/* ---- order of records ---- */

/* The kernel before left one file of "h", which depends on "g", and one of "i" with "f". */
static void hand_over_g_and_f(struct luo_test *t, struct luo_test_handler **h,
			      struct luo_test_flb **g, struct luo_test_handler **i,
			      struct luo_test_flb **f)
{
	struct liveupdate_session *s = luo_test_create(t, "s");

	*h = luo_test_handler(t, "h");
	*i = luo_test_handler(t, "i");
	*g = luo_test_flb(t, *h, "g");
	*f = luo_test_flb(t, *i, "f");
	luo_test_preserve_new(t, s, *h, 1);
	luo_test_preserve_new(t, s, *i, 2);
	luo_test_expect_handed_over(t, "s{1:h 2:i} g=1 f=1");
	luo_test_freeze_and_jump(t);
	luo_test_flb_can_carry(*g);
	luo_test_flb_can_carry(*f);
	luo_test_take_over_flb(t, *h, *g);
	luo_test_take_over_flb(t, *i, *f);
}

/* It came in without the one that it uses now. */
static void flb_goes_out_behind_what_it_needs(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h"), *i;
	struct luo_test_flb *g = luo_test_flb(t, h, "g"), *f;
	struct liveupdate_session *s;

	luo_test_hand_over_again(t, h, 1);
	luo_test_flb_can_carry(g);
	luo_test_take_over_flb(t, h, g);
	i = luo_test_handler(t, "i");
	f = luo_test_flb(t, i, "f");
	s = luo_test_create(t, "new");
	luo_test_preserve_new(t, s, i, 2);
	luo_test_preserve_new(t, s, h, 3);
	g->looks_at = f;
	luo_test_freeze_and_jump(t);
	xa_erase(&t->blobs, 1);
	luo_test_expect_handed_over(t, "s{1:h} new{2:i 3:h} f=1 g=2");

	luo_test_take_over_flb(t, h, g);
	luo_test_take_over_flb(t, i, f);
	luo_session_close(luo_test_retrieve(t, "s"));
	seq_buf_clear(&t->log.seq);
	luo_session_close(luo_test_retrieve(t, "new"));
	luo_test_expect_log(t, "i.can_finish:2 h.can_finish:3 h.free:3 i.free:2 g.free f.free");
}

/* The page is for the next kernel, and whoever damages it does not stop this one. */
static void page_damaged_meanwhile_does_not_stop_reboot(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct luo_flb_page_ser *page;

	luo_test_flb(t, h, "f");
	luo_test_flb(t, h, "g");
	luo_test_preserve_new(t, luo_test_create(t, "s"), h, 1);
	page = t->luo.flb_page;
	page->flb[1].name[0] = 'x';
	page->count = U64_MAX;
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	page->flb[1].name[0] = 'g';
	page->count = 2;
	luo_test_expect_handed_over(t, "s{1:h} f=1 g=1");
}

/* What goes out anew is newer than what does not. */
static void flb_that_only_goes_on_stands_before_those_that_are_new(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h, *i;
	struct luo_test_flb *g, *f;
	struct liveupdate_session *s;

	hand_over_g_and_f(t, &h, &g, &i, &f);
	s = luo_test_create(t, "new");
	luo_test_preserve_new(t, s, h, 3);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	luo_test_expect_handed_over(t, "s{1:h 2:i} new{3:h} f=1 g=2");
}

/* Of the two that go out, the one that was preserved in reboot() is needed. */
static void flb_stands_before_the_one_that_asked_for_it_in_carry(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h, *i;
	struct luo_test_flb *g, *f;

	hand_over_g_and_f(t, &h, &g, &i, &f);
	luo_test_preserve_new(t, luo_test_create(t, "new"), h, 3);
	g->looks_at = f;
	seq_buf_clear(&t->log.seq);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	luo_test_expect_log(t, "g.retrieve g.carry f.retrieve f.preserve f.carry h.freeze:3");
	luo_test_expect_handed_over(t, "s{1:h 2:i} new{3:h} f=1 g=2");
}

/* ... and newer ones, which use that, stay behind it. */
static void flb_that_is_carried_stays_before_those_that_use_it(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h, *i, *j;
	struct luo_test_flb *g, *f, *k;
	struct liveupdate_session *s;

	hand_over_g_and_f(t, &h, &g, &i, &f);
	j = luo_test_handler(t, "j");
	k = luo_test_flb(t, j, "k");
	k->uses = g;
	s = luo_test_create(t, "new");
	luo_test_preserve_new(t, s, h, 3);
	luo_test_preserve_new(t, s, j, 4);
	g->looks_at = f;
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	luo_test_expect_handed_over(t, "s{1:h 2:i} new{3:h 4:j} f=1 g=2 k=1");
}

/* ---- counts ---- */

static struct luo_flb_page_ser *handed_over_page(struct luo_test *t)
{
	return phys_to_virt(t->luo.root->flb);
}

static struct luo_session_ser *handed_over_session(struct luo_test *t, u32 index)
{
	struct luo_block_ser *block = phys_to_virt(t->luo.root->sessions);

	return (struct luo_session_ser *)(block + 1) + index;
}

/* So many files that the sum of all would be none. */
static void number_of_files_of_one_session_frees_no_flb_of_another(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h;

	luo_test_create(t, "liar");
	h = luo_test_hand_over_flb(t, 1, &f);
	handed_over_session(t, 0)->count = U64_MAX;
	luo_test_take_over_flb(t, h, f);
	KUNIT_EXPECT_EQ(test, luo_sessions_read(&t->luo), 0);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	luo_test_expect_log(t, "");
	KUNIT_EXPECT_EQ(test, handed_over_page(t)->count, 1);
	KUNIT_EXPECT_EQ(test, handed_over_page(t)->flb[0].count, 1);
}

/* Its count says that there are more files than there are. */
static void flb_ends_with_the_last_session_whatever_it_counts(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, 1, &f);

	handed_over_page(t)->flb[0].count = 5;
	luo_test_take_over_flb(t, h, f);
	luo_session_close(luo_test_retrieve(t, "s"));
	luo_test_expect_log(t, "h.can_finish:1 h.free:1 f.free");
	luo_test_expect_handed_over(t, "");
	luo_test_preserve_new(t, luo_test_create(t, "new"), h, 2);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	luo_test_expect_handed_over(t, "new{2:h} f=1");
}

/* Its count says that there are fewer files than there are. */
static void flb_is_finished_once_whatever_it_counts(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, 3, &f);

	handed_over_page(t)->flb[0].count = 1;
	luo_test_take_over_flb(t, h, f);
	luo_session_close(luo_test_retrieve(t, "s"));
	luo_test_expect_first(t, "h.can_finish:1 h.can_finish:2 h.can_finish:3 h.free:3");
	luo_test_expect_log(t, "h.free:2 h.free:1 f.free");
}

/* Nothing waits for files that do not exist. */
static void flb_that_counts_too_many_does_not_stop_others(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, 2, &f);
	struct liveupdate_session *s;

	handed_over_page(t)->flb[0].count = U64_MAX;
	luo_test_take_over_flb(t, h, f);
	s = luo_test_retrieve(t, "s");
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), 0);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 2), 0);
	luo_test_preserve_new(t, luo_test_create(t, "new"), h, 3);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	luo_test_expect_handed_over(t, "s{1:h 2:h} new{3:h} f=3");
}

/* ---- damaged pages ---- */

struct page_row {
	const char *name;
	void (*damage)(struct luo_test *t, struct luo_flb_page_ser *page);
	const char *kept;
	/* What those are told who ask for f, g, k and another. */
	int answers[4];
};

static void is_not_aligned(struct luo_test *t, struct luo_flb_page_ser *page)
{
	t->luo.root->flb += 8;
}

static void is_nowhere(struct luo_test *t, struct luo_flb_page_ser *page)
{
	t->luo.root->flb = U64_MAX & PAGE_MASK;
}

static void is_the_sessions(struct luo_test *t, struct luo_flb_page_ser *page)
{
	KUNIT_ASSERT_EQ(t->test, luo_sessions_read(&t->luo), 0);
	t->luo.root->flb = t->luo.root->sessions;
}

static void is_of_two_pages(struct luo_test *t, struct luo_flb_page_ser *page)
{
	page->pages = 2;
}

static void is_too_full(struct luo_test *t, struct luo_flb_page_ser *page)
{
	page->count = FLB_MAX + 1;
}

static void can_not_be_claimed(struct luo_test *t, struct luo_flb_page_ser *page)
{
	luo_test_fail_step(t, 1, -ENOMEM);
}

static void name_is_empty(struct luo_test *t, struct luo_flb_page_ser *page)
{
	memset(page->flb[0].name, 0, sizeof(page->flb[0].name));
}

static void name_does_not_end(struct luo_test *t, struct luo_flb_page_ser *page)
{
	memset(page->flb[1].name, 'g', sizeof(page->flb[1].name));
}

static void name_is_used_twice(struct luo_test *t, struct luo_flb_page_ser *page)
{
	strscpy(page->flb[1].name, "f");
}

static void nothing_depends_on_it(struct luo_test *t, struct luo_flb_page_ser *page)
{
	page->flb[2].count = 0;
}

static void names_are_noise(struct luo_test *t, struct luo_flb_page_ser *page)
{
	memset(page->flb, 0xa5, FLB_MAX * sizeof(page->flb[0]));
	page->count = FLB_MAX;
}

static void name_is_used_thrice(struct luo_test *t, struct luo_flb_page_ser *page)
{
	strscpy(page->flb[1].name, "f");
	strscpy(page->flb[2].name, "f");
}

#define ALL_LOST	{ -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG }

static const struct page_row page_rows[] = {
	{ "page is not aligned", is_not_aligned, "", ALL_LOST },
	{ "page is nowhere", is_nowhere, "", ALL_LOST },
	{ "page is the sessions'", is_the_sessions, "", ALL_LOST },
	{ "page says it is two", is_of_two_pages, "", ALL_LOST },
	{ "page is too full", is_too_full, "", ALL_LOST },
	{ "page can't be claimed", can_not_be_claimed, "", ALL_LOST },
	{ "name is empty", name_is_empty, " g=1 k=1",
	  { -EBADMSG, 0, 0, -EBADMSG } },
	{ "name does not end", name_does_not_end, " f=1 k=1",
	  { 0, -EBADMSG, 0, -EBADMSG } },
	{ "name is used twice", name_is_used_twice, " k=1",
	  { -EBADMSG, -EBADMSG, 0, -EBADMSG } },
	{ "name is used thrice", name_is_used_thrice, "", ALL_LOST },
	{ "nothing depends on it", nothing_depends_on_it, " f=1 g=1",
	  { 0, 0, -EBADMSG, -ENOENT } },
	{ "names are noise", names_are_noise, "", ALL_LOST },
};
KUNIT_ARRAY_PARAM_DESC(page, page_rows, name);

static void damaged_flb_is_lost_alone(struct kunit *test)
{
	const struct page_row *row = test->param_value;
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h"), *i;
	struct luo_test_flb *flbs[] = {
		luo_test_flb(t, h, "f"), luo_test_flb(t, h, "g"),
		luo_test_flb(t, h, "k"), luo_test_flb_new(t, "other"),
	};
	unsigned int n;
	void *obj;

	luo_test_preserve_new(t, luo_test_create(t, "s"), h, 1);
	luo_test_freeze_and_jump(t);
	row->damage(t, handed_over_page(t));
	for (n = 0; n < ARRAY_SIZE(flbs); n++) {
		KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &flbs[n]->flb, &obj),
				row->answers[n]);
		if (!row->answers[n])
			luo_flb_put_incoming(&t->luo, &flbs[n]->flb);
	}
	KUNIT_EXPECT_STREQ(test, luo_test_handed_over(t) + strlen("s{1:h}"), row->kept);

	/* The rest works. */
	seq_buf_clear(&t->log.seq);
	i = luo_test_handler(t, "i");
	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &i->fh, &flbs[0]->flb), 0);
	luo_test_preserve_new(t, luo_test_create(t, "new"), i, 2);
	luo_test_expect_log(t, "f.preserve i.preserve:2");
}

/* ---- memory for what came in ---- */

static const unsigned int nth_rows[] = { 1, 2, 3, 4, 5, 6 };

static void nth_desc(const unsigned int *nth, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "allocation %u fails", *nth);
}
KUNIT_ARRAY_PARAM(nth, nth_rows, nth_desc);

/* Perhaps with the second half of it. */
static void page_is_read_once_there_is_memory(struct kunit *test)
{
	const unsigned int *nth = test->param_value;
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct luo_test_flb *f = luo_test_flb(t, h, "f");
	struct luo_test_flb *g = luo_test_flb(t, h, "g");
	void *obj;
	int err;

	luo_test_need_fail_alloc(t);
	luo_test_preserve_new(t, luo_test_create(t, "s"), h, 1);
	luo_test_freeze_and_jump(t);
	luo_test_fail_alloc(*nth);
	err = luo_flb_get_incoming(&t->luo, &g->flb, &obj);
	luo_test_fail_alloc(0);
	if (err || *nth == 1)
		KUNIT_EXPECT_EQ(test, err, -ENOMEM);
	else
		luo_flb_put_incoming(&t->luo, &g->flb);
	luo_test_expect_handed_over(t, "s{1:h} f=1 g=1");

	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &g->flb, &obj), 0);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), 0);
	luo_flb_put_incoming(&t->luo, &f->flb);
	luo_flb_put_incoming(&t->luo, &g->flb);
}

static struct kunit_case luo_flb_carry_cases[] = {
	KUNIT_CASE(flb_nobody_knows_is_handed_over_as_it_came),
	KUNIT_CASE(flb_nobody_knows_goes_with_the_last_session),
	KUNIT_CASE(flb_goes_out_anew_after_it_was_finished),
	KUNIT_CASE(flb_that_was_retrieved_is_not_handed_over_as_it_came),
	KUNIT_CASE(flb_of_files_retrieved_is_preserved_with_them),
	KUNIT_CASE(orphan_does_not_stop_others),
	KUNIT_CASE(orphan_of_a_retrieved_flb_is_preserved_anew),
	KUNIT_CASE(orphan_alone_is_preserved_anew),
	KUNIT_CASE(reboot_called_off_undoes_carry),
	KUNIT_CASE(orphan_that_is_damaged_does_not_stop_others),
	KUNIT_CASE(flb_is_not_retrieved_once_it_is_settled_what_goes_on),
	KUNIT_CASE(number_of_files_of_one_session_frees_no_flb_of_another),
	KUNIT_CASE(page_is_left_alone_once_the_jump_is_near),
	KUNIT_CASE(orphans_of_flbs_that_use_each_other_do_not_stop_others),
	KUNIT_CASE(carry_retrieves_what_it_needs),
	KUNIT_CASE(orphans_alone_are_preserved_anew_in_order),
	KUNIT_CASE(flb_that_can_not_be_carried_is_not_used_up),
	KUNIT_CASE(flb_goes_out_behind_what_it_needs),
	KUNIT_CASE(page_damaged_meanwhile_does_not_stop_reboot),
	KUNIT_CASE(flb_that_only_goes_on_stands_before_those_that_are_new),
	KUNIT_CASE(flb_stands_before_the_one_that_asked_for_it_in_carry),
	KUNIT_CASE(flb_that_is_carried_stays_before_those_that_use_it),
	KUNIT_CASE(flb_ends_with_the_last_session_whatever_it_counts),
	KUNIT_CASE(flb_is_finished_once_whatever_it_counts),
	KUNIT_CASE(flb_that_counts_too_many_does_not_stop_others),
	KUNIT_CASE_PARAM(damaged_flb_is_lost_alone, page_gen_params),
	KUNIT_CASE_PARAM(page_is_read_once_there_is_memory, nth_gen_params),
	{}
};

static struct kunit_suite luo_flb_carry_suite = {
	.name = "luo_flb_carry",
	.init = luo_test_init,
	.exit = luo_test_exit,
	.test_cases = luo_flb_carry_cases,
};
kunit_test_suite(luo_flb_carry_suite);
