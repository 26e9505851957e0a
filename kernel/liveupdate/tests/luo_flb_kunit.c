// SPDX-License-Identifier: GPL-2.0-only
/* File-lifecycle-bound data: luo_flb.c. What reboot() does is tested elsewhere. */

#include <kunit/test.h>
#include <linux/module.h>

#include "luo_test.h"

#define FLB_MAX		((PAGE_SIZE - 16) / 64)

/* ---- registration ---- */

struct op_row {
	const char *name;
	size_t offset;
	int err;
};

#define OP_ROW(_op, _err) { #_op, offsetof(struct liveupdate_flb_ops, _op), _err }

static const struct op_row op_rows[] = {
	OP_ROW(preserve, -EINVAL),
	OP_ROW(unpreserve, -EINVAL),
	OP_ROW(retrieve, -EINVAL),
	OP_ROW(finish, -EINVAL),
	OP_ROW(owner, 0),
};
KUNIT_ARRAY_PARAM_DESC(op, op_rows, name);

static void flb_needs_all_operations(struct kunit *test)
{
	const struct op_row *row = test->param_value;
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct luo_test_flb *f = luo_test_flb_new(t, "f");

	*(void **)((char *)&f->ops + row->offset) = NULL;
	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &h->fh, &f->flb), row->err);
}

static void flb_that_carries_can_undo_it(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct luo_test_flb *f = luo_test_flb_new(t, "f");
	void *obj;

	luo_test_flb_can_carry(f);
	f->ops.uncarry = NULL;
	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &h->fh, &f->flb), -EINVAL);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), -EINVAL);
	luo_test_flb_can_carry(f);
	f->ops.carry = NULL;
	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &h->fh, &f->flb), -EINVAL);
	luo_test_flb_can_carry(f);
	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &h->fh, &f->flb), 0);
}

static void flb_needs_a_name_that_ends(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct luo_test_flb *f = luo_test_flb_new(t, "");
	char *name = (char *)f->flb.compatible;

	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &h->fh, &f->flb), -EINVAL);
	memset(name, 'x', LUO_HANDLER_NAME_LENGTH);
	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &h->fh, &f->flb), -EINVAL);
	name[LUO_HANDLER_NAME_LENGTH - 1] = 0;
	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &h->fh, &f->flb), 0);
}

static void flb_needs_a_registered_handler(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler_new(t, "h");
	struct luo_test_flb *f = luo_test_flb_new(t, "f");

	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &h->fh, &f->flb), -EINVAL);
	luo_flb_unregister(&t->luo, &h->fh, &f->flb);
}

static void flb_is_registered_once_with_a_handler(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct luo_test_handler *i = luo_test_handler(t, "i");
	struct luo_test_flb *f = luo_test_flb(t, h, "f");
	struct luo_test_flb *twin = luo_test_flb_new(t, "f");

	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &h->fh, &f->flb), -EEXIST);
	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &i->fh, &twin->flb), -EEXIST);
	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &i->fh, &f->flb), 0);
	luo_flb_unregister(&t->luo, &h->fh, &f->flb);
	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &h->fh, &twin->flb), -EEXIST);
	luo_flb_unregister(&t->luo, &i->fh, &f->flb);
	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &h->fh, &twin->flb), 0);
}

static void flb_comes_before_files_of_its_handler(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct luo_test_flb *f = luo_test_flb_new(t, "f");
	struct liveupdate_session *s = luo_test_create(t, "s");

	luo_test_preserve_new(t, s, h, 1);
	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &h->fh, &f->flb), -EBUSY);
	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 1), 0);
	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &h->fh, &f->flb), 0);
}

static void registration_that_lacks_memory_changes_nothing(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct luo_test_flb *f = luo_test_flb_new(t, "f");
	const char *before = luo_test_state(t);
	unsigned int nth, refused = 0;
	bool failed = true;
	int err;

	luo_test_need_fail_alloc(t);
	for (nth = 1; failed; nth++) {
		luo_test_fail_alloc(nth);
		err = luo_flb_register(&t->luo, &h->fh, &f->flb);
		failed = luo_test_fail_alloc_done();
		if (!err) {
			luo_flb_unregister(&t->luo, &h->fh, &f->flb);
		} else {
			KUNIT_EXPECT_EQ(test, err, -ENOMEM);
			refused++;
		}
		KUNIT_ASSERT_STREQ(test, luo_test_state(t), before);
	}
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, refused, 2);
}

/* A handler goes with its module, whatever becomes of its FLB. */
static void flb_stays_while_its_files_do(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct luo_test_flb *f = luo_test_flb(t, h, "f");
	struct luo_test_flb *twin = luo_test_flb_new(t, "f");
	struct liveupdate_session *s = luo_test_create(t, "s");

	luo_test_preserve_new(t, s, h, 1);
	luo_flb_unregister(&t->luo, &h->fh, &f->flb);
	luo_test_preserve_new(t, s, h, 2);
	luo_test_expect_handed_over(t, "s{1:h 2:h} f=2");
	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &h->fh, &twin->flb), -EEXIST);
	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 1), 0);
	luo_test_expect_log(t, "f.preserve h.preserve:1 h.preserve:2 h.unpreserve:1");
	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 2), 0);
	luo_test_expect_log(t, "h.unpreserve:2 f.unpreserve");

	/* Now it has gone. */
	luo_test_preserve_new(t, s, h, 3);
	luo_test_expect_handed_over(t, "s{3:h}");
	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 3), 0);
	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &h->fh, &twin->flb), 0);
	seq_buf_clear(&t->log.seq);
}

static void flb_that_was_to_go_is_registered_anew(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct luo_test_flb *f = luo_test_flb(t, h, "f");
	struct liveupdate_session *s = luo_test_create(t, "s");

	luo_test_preserve_new(t, s, h, 1);
	luo_flb_unregister(&t->luo, &h->fh, &f->flb);
	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &h->fh, &f->flb), 0);
	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &h->fh, &f->flb), -EEXIST);
	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 1), 0);
	luo_test_preserve_new(t, s, h, 2);
	luo_test_expect_handed_over(t, "s{2:h} f=1");
}

/* They were retrieved, so they are finished, whoever is still there. */
static void flb_that_went_counts_files_that_came_in(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, 3, &f);
	struct liveupdate_session *s;

	luo_test_take_over_flb(t, h, f);
	s = luo_test_retrieve(t, "s");
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 2), 0);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 3), 0);
	luo_flb_unregister(&t->luo, &h->fh, &f->flb);
	/* Those that are new know nothing of it. */
	luo_test_preserve_new(t, luo_test_create(t, "new"), h, 4);
	luo_test_expect_handed_over(t, "s{1:h 2:h 3:h} new{4:h} f=3");
	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &h->fh, &f->flb), -EBUSY);
	luo_handler_unregister(&t->luo, &h->fh);
	luo_test_expect_first(t, "h.retrieve:2 h.retrieve:3 h.preserve:4 h.finish:3");
	luo_test_expect_log(t, "h.finish:2 h.unpreserve:4");
	luo_test_expect_handed_over(t, "s{1:h 2:h 3:h} new{4:h} f=1");
}

static void flb_that_went_comes_back_to_files_that_came_in(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, 2, &f);
	struct luo_test_flb *twin = luo_test_flb_new(t, "f");
	struct liveupdate_session *s, *new = luo_test_create(t, "new");

	luo_test_take_over_flb(t, h, f);
	s = luo_test_retrieve(t, "s");
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 2), 0);
	luo_test_preserve_new(t, new, h, 3);
	luo_flb_unregister(&t->luo, &h->fh, &f->flb);
	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &h->fh, &twin->flb), -EEXIST);
	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(new, 3), 0);
	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &h->fh, &twin->flb), 0);
	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &h->fh, &twin->flb), -EEXIST);
	seq_buf_clear(&t->log.seq);
	luo_session_close(s);
	luo_test_expect_log(t, "h.can_finish:1 h.can_finish:2 h.finish:2 h.free:1 f.free");
	luo_test_preserve_new(t, new, h, 4);
	luo_test_expect_handed_over(t, "new{4:h} f=1");
}

/* ---- outgoing ---- */

static void flb_lives_as_long_as_files_depend_on_it(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct luo_test_handler *i = luo_test_handler(t, "i");
	struct luo_test_flb *f = luo_test_flb(t, h, "f");
	struct liveupdate_session *s = luo_test_create(t, "s");
	struct liveupdate_session *s2 = luo_test_create(t, "s2");

	KUNIT_ASSERT_EQ(test, luo_flb_register(&t->luo, &i->fh, &f->flb), 0);
	luo_test_preserve_new(t, s, h, 1);
	luo_test_expect_log(t, "f.preserve h.preserve:1");
	luo_test_expect_handed_over(t, "s{1:h} s2{} f=1");
	luo_test_preserve_new(t, s2, i, 2);
	luo_test_expect_log(t, "i.preserve:2");
	luo_test_expect_handed_over(t, "s{1:h} s2{2:i} f=2");
	luo_session_close(s);
	luo_test_expect_log(t, "h.unpreserve:1");
	luo_test_expect_handed_over(t, "s2{2:i} f=1");
	luo_session_close(s2);
	luo_test_expect_log(t, "i.unpreserve:2 f.unpreserve");
	luo_test_expect_handed_over(t, "");
}

static void flbs_of_a_file_are_undone_in_reverse(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	struct file *file = luo_test_file(t, h, 1);

	luo_test_flb(t, h, "f");
	luo_test_flb(t, h, "g");
	luo_test_flb(t, h, "k");
	/* Block, page, f, g, k. */
	luo_test_fail_step(t, 5, -EUCLEAN);
	KUNIT_EXPECT_EQ(test, luo_test_preserve(s, file, 1), -EUCLEAN);
	luo_test_expect_log(t, "f.preserve g.preserve k.preserve! g.unpreserve f.unpreserve");
	/* The page has stayed. */
	luo_test_fail_step(t, 5, -EUCLEAN);
	KUNIT_EXPECT_EQ(test, luo_test_preserve(s, file, 1), -EUCLEAN);
	luo_test_expect_first(t, "f.preserve g.preserve k.preserve h.preserve:1!");
	luo_test_expect_log(t, "k.unpreserve g.unpreserve f.unpreserve");
	luo_test_expect_handed_over(t, "s{}");
}

static void flb_in_use_outlives_its_files(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct luo_test_flb *f = luo_test_flb(t, h, "f");
	struct luo_test_flb *other = luo_test_flb_new(t, "f");
	struct liveupdate_session *s = luo_test_create(t, "s");
	void *obj, *again;

	KUNIT_EXPECT_EQ(test, luo_flb_get_outgoing(&t->luo, &f->flb, &obj), -ENOENT);
	luo_test_preserve_new(t, s, h, 1);
	KUNIT_EXPECT_EQ(test, luo_flb_get_outgoing(&t->luo, &other->flb, &obj), -EEXIST);
	KUNIT_EXPECT_EQ(test, luo_flb_get_outgoing(&t->luo, &f->flb, &obj), 0);
	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 1), 0);
	luo_test_expect_log(t, "f.preserve h.preserve:1 h.unpreserve:1");
	luo_test_expect_handed_over(t, "s{}");
	KUNIT_EXPECT_EQ(test, luo_flb_get_outgoing(&t->luo, &f->flb, &again), -ENOENT);

	luo_test_preserve_new(t, s, h, 2);
	luo_test_expect_handed_over(t, "s{2:h} f=1");
	KUNIT_EXPECT_EQ(test, luo_flb_get_outgoing(&t->luo, &f->flb, &again), 0);
	KUNIT_EXPECT_PTR_EQ(test, again, obj);
	luo_flb_put_outgoing(&t->luo, &f->flb);
	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 2), 0);
	luo_flb_put_outgoing(&t->luo, &f->flb);
	luo_test_expect_log(t, "h.preserve:2 h.unpreserve:2 f.unpreserve");
}

static void page_holds_so_many_flbs_and_no_more(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct luo_test_handler *i = luo_test_handler(t, "i");
	struct liveupdate_session *s = luo_test_create(t, "s");
	const char *before;
	char name[8];
	unsigned int n;

	for (n = 0; n < FLB_MAX; n++) {
		snprintf(name, sizeof(name), "f%u", n);
		luo_test_flb(t, h, kunit_kstrdup(test, name, GFP_KERNEL));
	}
	luo_test_flb(t, i, "more");
	luo_test_preserve_new(t, s, h, 1);
	seq_buf_clear(&t->log.seq);
	before = luo_test_state(t);
	KUNIT_EXPECT_EQ(test, luo_test_preserve(s, luo_test_file(t, i, 2), 2), -ENOSPC);
	luo_test_expect_log(t, "more.preserve more.unpreserve");
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);

	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 1), 0);
	luo_test_preserve_new(t, s, i, 2);
	luo_test_expect_handed_over(t, "s{2:i} more=1");
	seq_buf_clear(&t->log.seq);
}

/* ---- incoming ---- */

static void flb_is_retrieved_on_demand_and_finished_with_the_last_file(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, 2, &f);
	void *obj;

	luo_test_expect_handed_over(t, "s{1:h 2:h} f=2");
	luo_test_take_over_flb(t, h, f);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), 0);
	KUNIT_EXPECT_PTR_EQ(test, obj, &f->flb);
	luo_flb_put_incoming(&t->luo, &f->flb);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), 0);
	luo_flb_put_incoming(&t->luo, &f->flb);
	luo_test_expect_log(t, "f.retrieve");
	luo_session_close(luo_test_retrieve(t, "s"));
	luo_test_expect_log(t, "h.can_finish:1 h.can_finish:2 h.free:2 h.free:1 f.finish");
	luo_test_expect_handed_over(t, "");
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), -ENOENT);
}

static void flb_nobody_asked_for_is_freed(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, 1, &f);

	luo_test_take_over_flb(t, h, f);
	luo_session_close(luo_test_retrieve(t, "s"));
	luo_test_expect_log(t, "h.can_finish:1 h.free:1 f.free");
	KUNIT_EXPECT_EQ(test, luo_test_blobs(t), 0);
}

static void flb_in_use_is_finished_later(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, 1, &f);
	void *obj;

	luo_test_take_over_flb(t, h, f);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), 0);
	luo_session_close(luo_test_retrieve(t, "s"));
	luo_test_expect_log(t, "f.retrieve h.can_finish:1 h.free:1");
	luo_flb_put_incoming(&t->luo, &f->flb);
	luo_test_expect_log(t, "f.finish");
}

static void retrieve_of_an_flb_may_be_tried_again(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, 1, &f);
	const char *before;
	void *obj;

	luo_test_take_over_flb(t, h, f);
	before = luo_test_state(t);
	luo_test_fail_step(t, 1, -EUCLEAN);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), -EUCLEAN);
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), 0);
	luo_test_expect_log(t, "f.retrieve! f.retrieve");
	luo_flb_put_incoming(&t->luo, &f->flb);
	luo_session_close(luo_test_retrieve(t, "s"));
}

/* What it is made of may belong to others. */
static void flb_that_is_damaged_is_left_alone(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, 1, &f);
	void *obj;

	luo_test_take_over_flb(t, h, f);
	luo_test_fail_step(t, 1, -EBADMSG);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), -EBADMSG);
	luo_test_expect_handed_over(t, "s{1:h}");
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), -EBADMSG);
	luo_session_close(luo_test_retrieve(t, "s"));
	luo_test_expect_log(t, "f.retrieve! h.can_finish:1 h.free:1");
	t->abandoned = 1;
}

static int (*plain_retrieve)(struct liveupdate_flb_op_args *args);

/* Turned over twice it is as it was. */
static int retrieve_in_two_goes(struct liveupdate_flb_op_args *args)
{
	args->data = ~args->data;
	return (s64)args->data < 0 ? -EAGAIN : plain_retrieve(args);
}

static void what_is_left_of_an_flb_is_handed_over(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, 1, &f);
	const struct luo_flb_ser *record;
	void *obj;
	u64 data;

	plain_retrieve = f->ops.retrieve;
	f->ops.retrieve = retrieve_in_two_goes;
	luo_test_take_over_flb(t, h, f);
	record = t->luo.flb_page->flb;
	data = record->data;
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), -EAGAIN);
	KUNIT_EXPECT_EQ(test, record->data, ~data);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), 0);
	luo_flb_put_incoming(&t->luo, &f->flb);
	luo_session_close(luo_test_retrieve(t, "s"));
	luo_test_expect_log(t, "f.retrieve h.can_finish:1 h.free:1 f.finish");
}

/* "s" has 1 of "h", which has FLB "f". That stands in the record of 2 of "s2", too. */
static struct luo_test_handler *take_over_with_wrong_handler(struct luo_test *t)
{
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct luo_test_handler *plain = luo_test_handler(t, "plain");
	struct luo_test_flb *f = luo_test_flb(t, h, "f");
	struct liveupdate_session *s2;
	struct luo_file_ser *record;

	luo_test_preserve_new(t, luo_test_create(t, "s"), h, 1);
	s2 = luo_test_create(t, "s2");
	luo_test_preserve_new(t, s2, plain, 2);
	KUNIT_ASSERT_EQ(t->test, luo_freeze(&t->luo, true), 0);
	record = luo_slot_record(&s2->files.chain, &luo_file_find(&s2->files, 2)->slot);
	strscpy_pad(record->handler, "h");
	luo_test_jump(t);

	luo_test_take_over_flb(t, h, f);
	return h;
}

/* The other handler tells by its handle. */
static void file_that_is_damaged_is_none_of_an_flb(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s2;

	take_over_with_wrong_handler(t);
	s2 = luo_test_retrieve(t, "s2");
	luo_test_fail_step(t, 1, -EBADMSG);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s2, 2), -EBADMSG);
	luo_session_close(s2);
	luo_test_expect_log(t, "h.retrieve:2! h.can_finish:2 h.leave");
	luo_test_expect_handed_over(t, "s{1:h} f=1");
	luo_session_close(luo_test_retrieve(t, "s"));
	luo_test_expect_log(t, "h.can_finish:1 h.free:1 f.free");
	t->abandoned = 1;
}

static void finish_finds_damage(struct liveupdate_file_op_args *args)
{
	args->retrieve_status = -EBADMSG;
}

static void file_that_finish_finds_damaged_is_none_of_an_flb(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = take_over_with_wrong_handler(t);

	h->ops.finish = finish_finds_damage;
	luo_session_close(luo_test_retrieve(t, "s2"));
	luo_test_expect_handed_over(t, "s{1:h} f=1");
	xa_destroy(&t->blobs);
}

/* As a bus does, long before the module with the handler comes. */
static void flb_can_be_asked_for_before_its_handler_is_there(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, 1, &f);
	struct luo_test_flb *twin = luo_test_flb_new(t, "f");
	struct luo_test_flb *other = luo_test_flb_new(t, "other");
	void *obj, *again;

	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &other->flb, &obj), -ENOENT);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), 0);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &twin->flb, &again), -EEXIST);
	KUNIT_EXPECT_EQ(test, luo_flb_get_outgoing(&t->luo, &f->flb, &again), -ENOENT);
	luo_test_take_over_flb(t, h, f);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &again), 0);
	KUNIT_EXPECT_PTR_EQ(test, again, obj);
	luo_flb_put_incoming(&t->luo, &f->flb);
	luo_flb_put_incoming(&t->luo, &f->flb);
	luo_session_close(luo_test_retrieve(t, "s"));
	luo_test_expect_log(t, "f.retrieve h.can_finish:1 h.free:1 f.finish");
}

/* The FLB is built in, the handler is not. */
static void flb_outlives_the_module_of_its_handler(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, 2, &f);
	void *obj, *again;

	luo_test_take_over_flb(t, h, f);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), 0);
	luo_handler_unregister(&t->luo, &h->fh);
	luo_test_take_over_flb(t, h, f);
	luo_test_preserve_new(t, luo_test_create(t, "new"), h, 3);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &again), 0);
	KUNIT_EXPECT_PTR_EQ(test, again, obj);
	luo_flb_put_incoming(&t->luo, &f->flb);
	luo_session_close(luo_test_retrieve(t, "s"));
	luo_test_expect_first(t, "f.retrieve f.preserve h.preserve:3 h.can_finish:1");
	luo_test_expect_log(t, "h.can_finish:2 h.free:2 h.free:1");
	luo_flb_put_incoming(&t->luo, &f->flb);
	luo_test_expect_log(t, "f.finish");
	luo_test_expect_handed_over(t, "new{3:h} f=1");
}

static void flb_of_nobody_is_finished_by_its_last_user(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, 1, &f);
	void *obj;

	luo_test_take_over_flb(t, h, f);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), 0);
	luo_flb_unregister(&t->luo, &h->fh, &f->flb);
	luo_session_close(luo_test_retrieve(t, "s"));
	luo_test_expect_log(t, "f.retrieve h.can_finish:1 h.free:1");
	luo_flb_put_incoming(&t->luo, &f->flb);
	luo_test_expect_log(t, "f.finish");
	KUNIT_EXPECT_TRUE(test, list_empty(&t->luo.flbs));
}

/* ---- modules ---- */

#ifdef CONFIG_MODULE_UNLOAD
static void flb_whose_module_goes_is_not_used(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = luo_test_hand_over_flb(t, 1, &f);
	void *obj;

	luo_test_take_over_flb(t, h, f);
	t->module->state = MODULE_STATE_GOING;
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), -ENODEV);
	t->module->state = MODULE_STATE_LIVE;
	luo_test_expect_log(t, "");
}
#else
static void flb_whose_module_goes_is_not_used(struct kunit *test)
{
	kunit_skip(test, "needs MODULE_UNLOAD");
}
#endif

static struct kunit_case luo_flb_cases[] = {
	KUNIT_CASE_PARAM(flb_needs_all_operations, op_gen_params),
	KUNIT_CASE(flb_that_carries_can_undo_it),
	KUNIT_CASE(flb_needs_a_name_that_ends),
	KUNIT_CASE(flb_needs_a_registered_handler),
	KUNIT_CASE(flb_is_registered_once_with_a_handler),
	KUNIT_CASE(flb_comes_before_files_of_its_handler),
	KUNIT_CASE(registration_that_lacks_memory_changes_nothing),
	KUNIT_CASE(flb_stays_while_its_files_do),
	KUNIT_CASE(flb_that_was_to_go_is_registered_anew),
	KUNIT_CASE(flb_that_went_counts_files_that_came_in),
	KUNIT_CASE(flb_that_went_comes_back_to_files_that_came_in),
	KUNIT_CASE(flb_lives_as_long_as_files_depend_on_it),
	KUNIT_CASE(flbs_of_a_file_are_undone_in_reverse),
	KUNIT_CASE(flb_in_use_outlives_its_files),
	KUNIT_CASE(page_holds_so_many_flbs_and_no_more),
	KUNIT_CASE(flb_is_retrieved_on_demand_and_finished_with_the_last_file),
	KUNIT_CASE(flb_nobody_asked_for_is_freed),
	KUNIT_CASE(flb_in_use_is_finished_later),
	KUNIT_CASE(retrieve_of_an_flb_may_be_tried_again),
	KUNIT_CASE(flb_that_is_damaged_is_left_alone),
	KUNIT_CASE(what_is_left_of_an_flb_is_handed_over),
	KUNIT_CASE(file_that_is_damaged_is_none_of_an_flb),
	KUNIT_CASE(file_that_finish_finds_damaged_is_none_of_an_flb),
	KUNIT_CASE(flb_can_be_asked_for_before_its_handler_is_there),
	KUNIT_CASE(flb_outlives_the_module_of_its_handler),
	KUNIT_CASE(flb_of_nobody_is_finished_by_its_last_user),
	KUNIT_CASE(flb_whose_module_goes_is_not_used),
	{}
};

static struct kunit_suite luo_flb_suite = {
	.name = "luo_flb",
	.init = luo_test_init,
	.exit = luo_test_exit,
	.test_cases = luo_flb_cases,
};
kunit_test_suite(luo_flb_suite);
