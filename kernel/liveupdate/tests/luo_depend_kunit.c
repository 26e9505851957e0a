// SPDX-License-Identifier: GPL-2.0-only
/* Files that depend on others. */

#include <kunit/test.h>
#include <linux/file.h>

#include "luo_test.h"

/* ---- outgoing ---- */

static void file_that_a_driver_depends_on_stays(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	struct liveupdate_session *other = luo_test_create(t, "other");
	struct file *file = luo_test_file(t, h, 5);
	u64 token = 0;

	KUNIT_ASSERT_EQ(test, luo_test_preserve(s, file, 5), 0);
	mutex_lock(&other->lock);
	KUNIT_EXPECT_EQ(test, liveupdate_get_token_outgoing(other, file, &token), -ENOENT);
	mutex_unlock(&other->lock);

	mutex_lock(&s->lock);
	KUNIT_EXPECT_EQ(test, liveupdate_get_token_outgoing(s, luo_test_file(t, h, 6),
							    &token), -ENOENT);
	KUNIT_EXPECT_EQ(test, liveupdate_get_token_outgoing(s, file, &token), 0);
	KUNIT_EXPECT_EQ(test, token, 5);
	KUNIT_EXPECT_EQ(test, luo_file_unpreserve(s, 5), -EBUSY);
	liveupdate_put_token_outgoing(s, token);
	KUNIT_EXPECT_EQ(test, luo_file_unpreserve(s, 5), 0);
	mutex_unlock(&s->lock);
}

/* 1 to @n, each of which depends on the one before. */
static struct liveupdate_session *preserve_leaning(struct luo_test *t,
						   struct luo_test_handler *h, u64 n)
{
	struct liveupdate_session *s = luo_test_create(t, "s");
	u64 token;

	h->leans = 1;
	for (token = 1; token <= n; token++)
		luo_test_preserve_new(t, s, h, token);
	return s;
}

static void row_of_files_that_depend_on_each_other_is_finite(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = preserve_leaning(t, h, LUO_DEPENDENCY_DEPTH);
	struct file *file = luo_test_file(t, h, LUO_DEPENDENCY_DEPTH + 1);
	const char *before = luo_test_state(t);

	KUNIT_EXPECT_EQ(test, luo_test_preserve(s, file, LUO_DEPENDENCY_DEPTH + 1), -ELOOP);
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
}

static int (*plain_preserve)(struct liveupdate_file_op_args *args);

static int preserve_and_ask_for_itself(struct liveupdate_file_op_args *args)
{
	u64 token;

	return liveupdate_get_token_outgoing(args->session, args->file, &token) ?:
	       plain_preserve(args);
}

static void file_does_not_depend_on_itself(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	struct file *file = luo_test_file(t, h, 1);

	plain_preserve = h->ops.preserve;
	h->ops.preserve = preserve_and_ask_for_itself;
	KUNIT_EXPECT_EQ(test, luo_test_preserve(s, file, 1), -ENOENT);
}

/* ---- reboot ---- */

/* 1, 2 and 4 stand alone, 3 depends on 1, 5 on 3. */
static struct liveupdate_session *preserve_forest(struct luo_test *t)
{
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct luo_test_handler *leaning = luo_test_handler(t, "leaning");
	struct liveupdate_session *s = luo_test_create(t, "s");

	leaning->leans = 2;
	luo_test_preserve_new(t, s, h, 1);
	luo_test_preserve_new(t, s, h, 2);
	luo_test_preserve_new(t, s, leaning, 3);
	luo_test_preserve_new(t, s, h, 4);
	luo_test_preserve_new(t, s, leaning, 5);
	seq_buf_clear(&t->log.seq);
	return s;
}

static void file_is_frozen_before_what_it_depends_on(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	const char *before;

	preserve_forest(t);
	before = luo_test_state(t);
	luo_test_fail_step(t, 5, -EAGAIN);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), -EAGAIN);
	luo_test_expect_first(t, "leaning.freeze:5 leaning.freeze:3 h.freeze:1 h.freeze:2");
	luo_test_expect_first(t, "h.freeze:4! h.unfreeze:2 h.unfreeze:1");
	luo_test_expect_log(t, "leaning.unfreeze:3 leaning.unfreeze:5");
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
}

static void files_preserved_again_are_frozen_before_what_they_depend_on(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	const char *before;

	h->leans = 1;
	luo_test_preserve_new(t, s, h, 1);
	luo_test_preserve_new(t, s, h, 2);
	luo_test_freeze_and_jump(t);
	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &h->fh), 0);
	s = luo_test_retrieve(t, "s");
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 2), 0);
	before = luo_test_state(t);
	luo_test_expect_log(t, "h.retrieve:1 h.retrieve:2");

	luo_test_fail_step(t, 4, -EAGAIN);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), -EAGAIN);
	luo_test_expect_first(t, "h.preserve:1 h.preserve:2 h.freeze:2 h.freeze:1!");
	luo_test_expect_log(t, "h.unfreeze:2 h.unpreserve:2 h.unpreserve:1");
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
	KUNIT_EXPECT_EQ(test, luo_test_finish(s), 0);
	luo_session_close(s);
}

static void files_are_settled_in_the_order_of_freeze(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);

	preserve_forest(t);
	luo_files_settle(&t->luo);
	luo_test_expect_log(t, "");
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	seq_buf_clear(&t->log.seq);
	luo_files_settle(&t->luo);
	luo_test_expect_first(t, "leaning.settle:5 leaning.settle:3 h.settle:1");
	luo_test_expect_log(t, "h.settle:2 h.settle:4");
	luo_files_unsettle(&t->luo);
	luo_test_expect_first(t, "h.unsettle:4 h.unsettle:2 h.unsettle:1");
	luo_test_expect_log(t, "leaning.unsettle:3 leaning.unsettle:5");
}

static void files_are_settled_without_freeze(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct luo_test_handler *still = luo_test_handler(t, "still");
	struct liveupdate_session *s = luo_test_create(t, "s");

	h->ops.freeze = NULL;
	h->ops.unsettle = NULL;
	still->ops.settle = NULL;
	still->ops.unsettle = NULL;
	luo_test_preserve_new(t, s, h, 1);
	luo_test_preserve_new(t, s, still, 2);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	seq_buf_clear(&t->log.seq);
	luo_files_settle(&t->luo);
	luo_files_unsettle(&t->luo);
	luo_test_expect_log(t, "h.settle:1");
}

/* ---- incoming ---- */

static struct liveupdate_session *retrieve_plain(struct luo_test *t, u64 n)
{
	struct luo_test_handler *h = luo_test_hand_over(t, n);

	KUNIT_ASSERT_EQ(t->test, luo_handler_register(&t->luo, &h->fh), 0);
	return luo_test_retrieve(t, "s");
}

static void file_that_a_driver_uses_keeps_the_session(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s = retrieve_plain(t, 2);
	struct file *file;

	mutex_lock(&s->lock);
	KUNIT_EXPECT_EQ(test, liveupdate_get_file_incoming(s, 9, &file), -ENOENT);
	KUNIT_EXPECT_EQ(test, liveupdate_get_file_incoming(s, 2, &file), 0);
	KUNIT_EXPECT_EQ(test, luo_session_finish(s, NULL), -EBUSY);
	fput(file);
	liveupdate_put_file_incoming(s, 2);
	KUNIT_EXPECT_EQ(test, luo_session_finish(s, NULL), 0);
	mutex_unlock(&s->lock);
	luo_session_close(s);
}

static int (*plain_retrieve)(struct liveupdate_file_op_args *args);
static u64 asked_token;
static u64 asked_step;

static int retrieve_and_ask(struct liveupdate_file_op_args *args)
{
	u64 token = asked_token + asked_step;
	struct file *file;
	int err;

	asked_token = token;
	err = liveupdate_get_file_incoming(args->session, token, &file);
	if (!err) {
		fput(file);
		liveupdate_put_file_incoming(args->session, token);
	} else if (err != -ENOENT) {
		return err;
	}
	return plain_retrieve(args);
}

/* Each file asks for the one @step tokens further; below 1 there is none. */
static struct liveupdate_session *retrieve_asking(struct luo_test *t, u64 n, u64 step)
{
	struct luo_test_handler *h = luo_test_hand_over(t, n);

	plain_retrieve = h->ops.retrieve;
	h->ops.retrieve = retrieve_and_ask;
	asked_step = step;
	KUNIT_ASSERT_EQ(t->test, luo_handler_register(&t->luo, &h->fh), 0);
	return luo_test_retrieve(t, "s");
}

static int retrieve_asker(struct liveupdate_session *s, u64 token)
{
	asked_token = token;
	return luo_test_retrieve_file(s, token);
}

struct ask_row {
	const char *name;
	u64 step;
};

static const struct ask_row ask_rows[] = {
	{ "itself", 0 },
	{ "a newer one", 1 },
};
KUNIT_ARRAY_PARAM_DESC(ask, ask_rows, name);

static void file_that_does_not_ask_for_an_older_one_fails(struct kunit *test)
{
	const struct ask_row *row = test->param_value;
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s = retrieve_asking(t, 2, row->step);

	KUNIT_EXPECT_EQ(test, retrieve_asker(s, 1), -EBADMSG);
	luo_test_expect_log(t, "");
	KUNIT_EXPECT_EQ(test, luo_test_finish(s), 0);
	luo_session_close(s);
	xa_destroy(&t->blobs);
}

static void long_row_of_files_is_retrieved_from_its_end(struct kunit *test)
{
	const u64 n = 3 * LUO_DEPENDENCY_DEPTH;
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s = retrieve_asking(t, n, -1);
	u64 token;

	KUNIT_EXPECT_EQ(test, retrieve_asker(s, n), -ELOOP);
	luo_test_expect_log(t, "");
	KUNIT_EXPECT_EQ(test, retrieve_asker(s, LUO_DEPENDENCY_DEPTH), 0);
	for (token = 1; token <= n; token++)
		KUNIT_EXPECT_EQ(test, retrieve_asker(s, token), 0);
	KUNIT_EXPECT_EQ(test, luo_test_finish(s), 0);
	KUNIT_EXPECT_EQ(test, luo_test_blobs(t), 0);
	luo_session_close(s);
}

/* 2 depends on 1, 3 on 2. */
static struct liveupdate_session *retrieve_leaning(struct luo_test *t)
{
	struct luo_test_handler *h = luo_test_handler(t, "h");

	h->leans = 1;
	luo_test_hand_over_again(t, h, 3);
	KUNIT_ASSERT_EQ(t->test, luo_handler_register(&t->luo, &h->fh), 0);
	return luo_test_retrieve(t, "s");
}

static void file_is_finished_before_what_it_depends_on(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s = retrieve_leaning(t);

	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 3), 0);
	luo_test_expect_log(t, "h.retrieve:1 h.retrieve:2 h.retrieve:3");
	KUNIT_EXPECT_EQ(test, luo_file_find(&s->files, 1)->dependents, 1);
	KUNIT_EXPECT_EQ(test, luo_test_finish(s), 0);
	luo_test_expect_first(t, "h.can_finish:1 h.can_finish:2 h.can_finish:3");
	luo_test_expect_log(t, "h.finish:3 h.finish:2 h.finish:1");
	luo_session_close(s);
}

static void driver_keeps_a_session_whose_files_depend_on_each_other(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s = retrieve_leaning(t);
	struct file *file;

	mutex_lock(&s->lock);
	KUNIT_ASSERT_EQ(test, liveupdate_get_file_incoming(s, 2, &file), 0);
	fput(file);
	KUNIT_EXPECT_EQ(test, luo_session_finish(s, NULL), -EBUSY);
	liveupdate_put_file_incoming(s, 2);
	KUNIT_EXPECT_EQ(test, luo_session_finish(s, NULL), 0);
	mutex_unlock(&s->lock);
	luo_session_close(s);
}

static void retrieve_that_waits_for_another_can_be_tried_again(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s = retrieve_leaning(t);
	const char *before = luo_test_state(t);

	luo_test_fail_step(t, 1, -EPROBE_DEFER);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 3), -EPROBE_DEFER);
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
	luo_test_expect_log(t, "h.retrieve:1!");
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 3), 0);
	luo_test_expect_log(t, "h.retrieve:1 h.retrieve:2 h.retrieve:3");
	KUNIT_EXPECT_EQ(test, luo_test_finish(s), 0);
	luo_session_close(s);
}

static struct kunit_case luo_depend_cases[] = {
	KUNIT_CASE(file_that_a_driver_depends_on_stays),
	KUNIT_CASE(row_of_files_that_depend_on_each_other_is_finite),
	KUNIT_CASE(file_does_not_depend_on_itself),
	KUNIT_CASE(file_is_frozen_before_what_it_depends_on),
	KUNIT_CASE(files_preserved_again_are_frozen_before_what_they_depend_on),
	KUNIT_CASE(files_are_settled_in_the_order_of_freeze),
	KUNIT_CASE(files_are_settled_without_freeze),
	KUNIT_CASE(file_that_a_driver_uses_keeps_the_session),
	KUNIT_CASE_PARAM(file_that_does_not_ask_for_an_older_one_fails, ask_gen_params),
	KUNIT_CASE(long_row_of_files_is_retrieved_from_its_end),
	KUNIT_CASE(file_is_finished_before_what_it_depends_on),
	KUNIT_CASE(driver_keeps_a_session_whose_files_depend_on_each_other),
	KUNIT_CASE(retrieve_that_waits_for_another_can_be_tried_again),
	{}
};

static struct kunit_suite luo_depend_suite = {
	.name = "luo_depend",
	.init = luo_test_init,
	.exit = luo_test_exit,
	.test_cases = luo_depend_cases,
};
kunit_test_suite(luo_depend_suite);
