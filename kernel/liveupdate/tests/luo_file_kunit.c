// SPDX-License-Identifier: GPL-2.0-only
/* File handlers and the files of a session: luo_handler.c, luo_file*.c. */

#include <kunit/test.h>
#include <linux/file.h>
#include <linux/io.h>
#include <linux/module.h>

#include "luo_test.h"

/* ---- handlers ---- */

struct op_row {
	const char *name;
	size_t offset;
	int err;
};

#define OP_ROW(_op, _err) { #_op, offsetof(struct liveupdate_file_ops, _op), _err }

static const struct op_row op_rows[] = {
	OP_ROW(can_preserve, -EINVAL),
	OP_ROW(preserve, -EINVAL),
	OP_ROW(unpreserve, -EINVAL),
	OP_ROW(retrieve, -EINVAL),
	OP_ROW(finish, -EINVAL),
	OP_ROW(freeze, 0),
	OP_ROW(unfreeze, 0),
	OP_ROW(can_finish, 0),
	OP_ROW(get_id, 0),
	OP_ROW(waiting, 0),
	OP_ROW(owner, 0),
};
KUNIT_ARRAY_PARAM_DESC(op, op_rows, name);

static void handler_needs_the_required_operations(struct kunit *test)
{
	const struct op_row *row = test->param_value;
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler_new(t, "h");

	*(void **)((char *)&h->ops + row->offset) = NULL;
	KUNIT_EXPECT_EQ(test, luo_handler_register(&t->luo, &h->fh), row->err);
}

static void handler_needs_operations_at_all(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler_new(t, "h");

	h->fh.ops = NULL;
	KUNIT_EXPECT_EQ(test, luo_handler_register(&t->luo, &h->fh), -EINVAL);
}

static void handler_needs_a_name_that_ends(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler_new(t, "");
	char *name = (char *)h->fh.compatible;

	KUNIT_EXPECT_EQ(test, luo_handler_register(&t->luo, &h->fh), -EINVAL);
	memset(name, 'x', LUO_HANDLER_NAME_LENGTH);
	KUNIT_EXPECT_EQ(test, luo_handler_register(&t->luo, &h->fh), -EINVAL);
	name[LUO_HANDLER_NAME_LENGTH - 1] = 0;
	KUNIT_EXPECT_EQ(test, luo_handler_register(&t->luo, &h->fh), 0);
}

static void name_of_a_handler_is_free_again_when_it_goes(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct luo_test_handler *twin = luo_test_handler_new(t, "h");

	KUNIT_EXPECT_EQ(test, luo_handler_register(&t->luo, &twin->fh), -EEXIST);
	luo_handler_unregister(&t->luo, &twin->fh);
	KUNIT_EXPECT_EQ(test, luo_handler_register(&t->luo, &twin->fh), -EEXIST);
	luo_handler_unregister(&t->luo, &h->fh);
	KUNIT_EXPECT_EQ(test, luo_handler_register(&t->luo, &twin->fh), 0);
}

/* ---- preserve ---- */

static void file_is_handed_over_when_it_is_preserved(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");

	luo_test_expect_handed_over(t, "s{}");
	luo_test_preserve_new(t, s, h, 0);
	KUNIT_EXPECT_EQ(test, luo_test_preserve(s, luo_test_file(t, h, 1), U64_MAX), 0);
	luo_test_expect_log(t, "h.preserve:0 h.preserve:1");
	luo_test_expect_handed_over(t, "s{0:h 18446744073709551615:h}");
	KUNIT_EXPECT_EQ(test, t->luo.count[LUO_OUTGOING].files, 2);
	KUNIT_EXPECT_EQ(test, atomic_read(&t->open_files), 2);
}

#ifdef CONFIG_MODULE_UNLOAD
static void handler_is_pinned_by_each_file(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");

	luo_test_preserve_new(t, s, h, 1);
	luo_test_preserve_new(t, s, h, 2);
	KUNIT_EXPECT_EQ(test, module_refcount(t->module), 2);
	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 1), 0);
	KUNIT_EXPECT_EQ(test, module_refcount(t->module), 1);
	t->module->state = MODULE_STATE_GOING;
	KUNIT_EXPECT_EQ(test, luo_test_preserve(s, luo_test_file(t, h, 3), 3), -ENOENT);
	t->module->state = MODULE_STATE_LIVE;
}
#else
static void handler_is_pinned_by_each_file(struct kunit *test)
{
	kunit_skip(test, "needs MODULE_UNLOAD");
}
#endif

static void token_is_used_once_in_a_session(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	struct file *other = luo_test_file(t, h, 7);
	const char *before;

	luo_test_preserve_new(t, s, h, 7);
	before = luo_test_state(t);
	KUNIT_EXPECT_EQ(test, luo_test_preserve(s, other, 7), -EEXIST);
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
	KUNIT_EXPECT_EQ(test, luo_test_preserve(luo_test_create(t, "s2"), other, 7), 0);
}

static void file_is_preserved_once_wherever(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	struct liveupdate_session *s2 = luo_test_create(t, "s2");
	struct file *file = luo_test_file(t, h, 1);
	const char *before;

	KUNIT_EXPECT_EQ(test, luo_test_preserve(s, file, 1), 0);
	before = luo_test_state(t);
	KUNIT_EXPECT_EQ(test, luo_test_preserve(s, file, 2), -EBUSY);
	KUNIT_EXPECT_EQ(test, luo_test_preserve(s2, file, 1), -EBUSY);
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);

	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 1), 0);
	KUNIT_EXPECT_EQ(test, luo_test_preserve(s2, file, 1), 0);
}

static unsigned long same_id(struct file *file)
{
	return 4711;
}

static void two_opens_of_one_thing_are_one_file(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler_new(t, "h");
	struct luo_test_handler *other = luo_test_handler_new(t, "other");
	struct liveupdate_session *s = luo_test_create(t, "s");

	h->ops.get_id = same_id;
	other->ops.get_id = same_id;
	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &h->fh), 0);
	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &other->fh), 0);
	luo_test_preserve_new(t, s, h, 1);
	KUNIT_EXPECT_EQ(test, luo_test_preserve(s, luo_test_file(t, h, 2), 2), -EBUSY);
	/* Ids are compared among files of one handler. */
	luo_test_preserve_new(t, s, other, 3);
}

static void file_that_nobody_takes_is_not_preserved(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s = luo_test_create(t, "s");
	const char *before;

	luo_test_handler(t, "h");
	before = luo_test_state(t);
	KUNIT_EXPECT_EQ(test, luo_test_preserve(s, luo_test_file(t, NULL, 1), 1), -ENOENT);
	luo_test_expect_log(t, "");
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
}

static void error_of_the_handler_is_told(struct kunit *test)
{
	static const int errors[] = { -EPERM, -ENOMEM, -EOPNOTSUPP, -EUCLEAN };
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	struct file *file = luo_test_file(t, h, 1);
	const char *before;
	unsigned int i;

	luo_test_preserve_new(t, s, h, 9);
	luo_test_expect_log(t, "h.preserve:9");
	before = luo_test_state(t);
	for (i = 0; i < ARRAY_SIZE(errors); i++) {
		luo_test_fail_step(t, 1, errors[i]);
		KUNIT_EXPECT_EQ(test, luo_test_preserve(s, file, 1), errors[i]);
		KUNIT_EXPECT_TRUE(test, luo_test_fail_step_done(t));
		luo_test_expect_log(t, "h.preserve:1!");
		KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
	}
	KUNIT_EXPECT_EQ(test, luo_test_preserve(s, file, 1), 0);
}

static void preserve_that_fails_at_any_step_changes_nothing(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	struct file *file = luo_test_file(t, h, 1);
	const char *before;
	unsigned int step;
	int err;

	luo_test_flb(t, h, "f");
	luo_test_flb(t, h, "g");
	before = luo_test_state(t);
	/* The page of the FLBs, which stays once it is there. */
	luo_test_fail_step(t, 2, -EUCLEAN);
	KUNIT_EXPECT_EQ(test, luo_test_preserve(s, file, 1), -EUCLEAN);
	luo_test_expect_log(t, "");
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
	KUNIT_EXPECT_EQ(test, luo_test_preserve(s, file, 1), 0);
	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 1), 0);

	for (step = 1;; step++) {
		luo_test_fail_step(t, step, -EUCLEAN);
		err = luo_test_preserve(s, file, 1);
		if (!luo_test_fail_step_done(t))
			break;
		KUNIT_EXPECT_EQ(test, err, -EUCLEAN);
		KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
	}
	KUNIT_EXPECT_EQ(test, err, 0);
	/* Block, both FLBs, the file. */
	KUNIT_EXPECT_EQ(test, step, 5);
	luo_test_expect_handed_over(t, "s{1:h} f=1 g=1");
}

static void preserve_that_lacks_memory_changes_nothing(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	struct file *file = luo_test_file(t, h, 1);
	const char *before = luo_test_state(t);
	unsigned int nth, failures = 0;
	bool done;
	int err;

	luo_test_need_fail_alloc(t);
	for (nth = 1, done = true; done; nth++) {
		luo_test_fail_alloc(nth);
		err = luo_test_preserve(s, file, 1);
		done = luo_test_fail_alloc_done();
		if (!err) {
			KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 1), 0);
			continue;
		}
		failures++;
		KUNIT_EXPECT_EQ(test, err, -ENOMEM);
		KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
	}
	KUNIT_EXPECT_GT(test, failures, 0);
}

static void files_are_unpreserved_newest_first(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	u64 token;

	for (token = 4; token; token--)
		luo_test_preserve_new(t, s, h, token);
	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 3), 0);
	luo_test_expect_handed_over(t, "s{4:h 1:h 2:h}");
	seq_buf_clear(&t->log.seq);

	luo_session_close(s);
	luo_test_expect_log(t, "h.unpreserve:1 h.unpreserve:2 h.unpreserve:4");
	luo_test_expect_handed_over(t, "");
	KUNIT_EXPECT_EQ(test, luo_test_blobs(t), 0);
	KUNIT_EXPECT_EQ(test, t->luo.count[LUO_OUTGOING].files, 0);
}

static void only_tokens_in_use_are_unpreserved(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	const char *before = luo_test_state(t);

	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 0), -ENOENT);
	luo_test_preserve_new(t, s, h, 0);
	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 1), -ENOENT);
	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 0), 0);
	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 0), -ENOENT);
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
}

static void thousand_files_find_their_tokens(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	u64 token;

	for (token = 0; token < 1000; token++) {
		luo_test_preserve_new(t, s, h, token);
		seq_buf_clear(&t->log.seq);
	}
	for (token = 0; token < 1000; token += 2)
		KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, token), 0);
	for (token = 0; token < 1000; token++)
		KUNIT_EXPECT_EQ(test, !!luo_file_find(&s->files, token), token & 1);
	KUNIT_EXPECT_EQ(test, s->files.chain.count, 500);
	seq_buf_clear(&t->log.seq);
}

static void tokens_that_come_in_no_order_are_found(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	u64 i, token;

	for (i = 0; i < 101; i++) {
		token = i * 37 % 101;
		KUNIT_EXPECT_NULL(test, luo_file_find(&s->files, token));
		luo_test_preserve_new(t, s, h, token);
		KUNIT_EXPECT_NOT_NULL(test, luo_file_find(&s->files, token));
	}
	for (i = 0; i < 101; i++) {
		token = i * 53 % 101;
		KUNIT_ASSERT_NOT_NULL(test, luo_file_find(&s->files, token));
		KUNIT_EXPECT_EQ(test, luo_file_find(&s->files, token)->token, token);
	}
	/* From the highest on down, which is the one remembered. */
	for (token = 101; token-- > 0;) {
		KUNIT_EXPECT_NOT_NULL(test, luo_file_find(&s->files, token));
		KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, token), 0);
		KUNIT_EXPECT_NULL(test, luo_file_find(&s->files, token));
	}
	luo_test_preserve_new(t, s, h, 7);
	KUNIT_EXPECT_NOT_NULL(test, luo_file_find(&s->files, 7));
	seq_buf_clear(&t->log.seq);
}

/* ---- in the next kernel ---- */

static struct liveupdate_session *hand_over_and_retrieve(struct luo_test *t, u64 n)
{
	struct luo_test_handler *h = luo_test_hand_over(t, n);

	KUNIT_ASSERT_EQ(t->test, luo_handler_register(&t->luo, &h->fh), 0);
	return luo_test_retrieve(t, "s");
}

static void files_come_back_in_any_order(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s = hand_over_and_retrieve(t, 3);

	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 3), 0);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), 0);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 2), 0);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 0), -ENOENT);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 4), -ENOENT);
	luo_test_expect_log(t, "h.retrieve:3 h.retrieve:1 h.retrieve:2");

	KUNIT_EXPECT_EQ(test, luo_test_finish(s), 0);
	luo_test_expect_first(t, "h.can_finish:1 h.can_finish:2 h.can_finish:3 h.finish:3");
	luo_test_expect_log(t, "h.finish:2 h.finish:1");
	luo_test_expect_handed_over(t, "");
	KUNIT_EXPECT_EQ(test, luo_test_blobs(t), 0);
	luo_session_close(s);
}

static void file_is_retrieved_once_and_given_out_often(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s = hand_over_and_retrieve(t, 1);

	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), 0);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), 0);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), 0);
	luo_test_expect_log(t, "h.retrieve:1");
	KUNIT_EXPECT_EQ(test, atomic_read(&t->open_files), 1);
	KUNIT_EXPECT_EQ(test, luo_test_finish(s), 0);
	luo_session_close(s);
}

static void files_never_retrieved_are_freed_by_finish(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s = hand_over_and_retrieve(t, 3);

	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 2), 0);
	seq_buf_clear(&t->log.seq);
	KUNIT_EXPECT_EQ(test, luo_test_finish(s), 0);
	luo_test_expect_first(t, "h.can_finish:1 h.can_finish:2 h.can_finish:3 h.free:3");
	luo_test_expect_log(t, "h.finish:2 h.free:1");
	KUNIT_EXPECT_EQ(test, luo_test_blobs(t), 0);
	luo_session_close(s);
}

static void finish_waits_until_every_file_can(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s = hand_over_and_retrieve(t, 3);
	const char *before;
	unsigned int step;
	int err;

	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 2), 0);
	before = luo_test_state(t);
	for (step = 1;; step++) {
		luo_test_fail_step(t, step, -EUCLEAN);
		err = luo_test_finish(s);
		if (!luo_test_fail_step_done(t))
			break;
		KUNIT_EXPECT_EQ(test, err, -EBUSY);
		KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
	}
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, step, 4);
	luo_session_close(s);
}

static void record_waits_for_its_handler(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_hand_over(t, 2);
	struct liveupdate_session *s = luo_test_retrieve(t, "s");
	const char *before;

	luo_test_handler(t, "i");
	before = luo_test_state(t);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), -ENODEV);
	KUNIT_EXPECT_EQ(test, luo_test_finish(s), -ENODEV);
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
	luo_test_expect_log(t, "");

	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &h->fh), 0);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), 0);
	KUNIT_EXPECT_EQ(test, luo_test_finish(s), 0);
	luo_test_expect_log(t, "h.retrieve:1 h.can_finish:1 h.can_finish:2 h.free:2 h.finish:1");
	luo_session_close(s);
}

struct retrieve_row {
	const char *name;
	int err;
	bool again;
	enum liveupdate_retry retry;
};

static const struct retrieve_row retrieve_rows[] = {
	{ "want of memory may pass", -ENOMEM, true },
	{ "a missing device may come", -ENODEV, true },
	{ "a driver may be probed later", -EPROBE_DEFER, true },
	{ "a device may be ready later", -EAGAIN, true },
	{ "a device may be free later", -EBUSY, true },
	{ "fds of the process may be closed", -EMFILE, true },
	{ "files of the machine may be closed", -ENFILE, true },
	{ "a signal is no verdict", -EINTR, true },
	{ "nor is one that restarts", -ERESTARTSYS, true },
	{ "damaged is damaged", -EBADMSG, false },
	{ "another error is final", -EUCLEAN, false },
	{ "not if the handler says so", -EUCLEAN, true, LIVEUPDATE_RETRY_LATER },
	{ "want of memory is final if the handler says so", -ENOMEM, false,
	  LIVEUPDATE_RETRY_NEVER },
};
KUNIT_ARRAY_PARAM_DESC(retrieve, retrieve_rows, name);

static void retrieve_that_fails_is_tried_again_if_that_can_help(struct kunit *test)
{
	const struct retrieve_row *row = test->param_value;
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_hand_over(t, 2);
	struct liveupdate_session *s;
	const char *before;

	h->retry = row->retry;
	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &h->fh), 0);
	s = luo_test_retrieve(t, "s");
	before = luo_test_state(t);
	luo_test_fail_step(t, 1, row->err);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), row->err);
	if (row->again)
		KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), row->again ? 0 : row->err);
	luo_test_expect_log(t, row->again ? "h.retrieve:1! h.retrieve:1" : "h.retrieve:1!");

	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 2), 0);
	KUNIT_EXPECT_EQ(test, luo_test_finish(s), 0);
	KUNIT_EXPECT_EQ(test, luo_test_blobs(t), row->err == -EBADMSG);
	luo_session_close(s);
	xa_destroy(&t->blobs);
}

/* What makes no sense may be another's. */
static void nothing_is_freed_for_a_file_judged_damaged(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s = hand_over_and_retrieve(t, 2);

	luo_test_fail_step(t, 1, -EBADMSG);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), -EBADMSG);
	seq_buf_clear(&t->log.seq);
	KUNIT_EXPECT_EQ(test, luo_test_finish(s), 0);
	luo_test_expect_first(t, "h.can_finish:1 h.can_finish:2");
	luo_test_expect_log(t, "h.free:2 h.leave");
	KUNIT_EXPECT_EQ(test, luo_test_blobs(t), 1);
	luo_session_close(s);
	xa_destroy(&t->blobs);
}

static void handler_that_gives_no_file_is_not_believed(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_hand_over(t, 1);
	struct liveupdate_session *s;

	h->forgets_file = true;
	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &h->fh), 0);
	s = luo_test_retrieve(t, "s");
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), -EIO);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), -EIO);
	KUNIT_EXPECT_EQ(test, luo_test_finish(s), 0);
	luo_session_close(s);
}

static int retrieve_and_use_up(struct liveupdate_file_op_args *args)
{
	args->serialized_data = 0;
	return -EBADMSG;
}

static void what_a_failed_retrieve_used_up_is_not_handed_over(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_hand_over(t, 1);
	const struct luo_block_ser *block;
	const struct luo_file_ser *record;
	struct liveupdate_session *s;

	h->ops.retrieve = retrieve_and_use_up;
	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &h->fh), 0);
	s = luo_test_retrieve(t, "s");
	block = phys_to_virt(luo_chain_first(&s->files.chain));
	record = (const void *)(block + 1);
	KUNIT_EXPECT_NE(test, record->data, 0);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), -EBADMSG);
	KUNIT_EXPECT_EQ(test, record->data, 0);
	luo_session_give_back(s);
	xa_destroy(&t->blobs);
}

/* ---- damaged records ---- */

static struct luo_file_ser *handed_over_files(struct luo_test *t)
{
	const struct luo_root_ser *root = t->luo.root;
	const struct luo_block_ser *sessions = phys_to_virt(root->sessions);
	const struct luo_session_ser *session = (const void *)(sessions + 1);
	struct luo_block_ser *files = phys_to_virt(session->files);

	return (void *)(files + 1);
}

/* Tokens 1 to 4 were handed over; @bad is a mask of those that are lost. */
struct record_row {
	const char *name;
	void (*damage)(struct luo_file_ser *files);
	int err[4];
};

static void name_is_empty(struct luo_file_ser *files)
{
	memset(files[1].handler, 0, sizeof(files[1].handler));
}

static void name_does_not_end(struct luo_file_ser *files)
{
	memset(files[3].handler, 'h', sizeof(files[3].handler));
}

static void name_is_foreign(struct luo_file_ser *files)
{
	strscpy(files[0].handler, "foreign");
}

static void token_is_used_twice(struct luo_file_ser *files)
{
	files[2].token = 1;
}

static void token_is_used_by_all(struct luo_file_ser *files)
{
	files[1].token = 1;
	files[2].token = 1;
	files[3].token = 1;
}

static const struct record_row record_rows[] = {
	{ "name is empty", name_is_empty, { 0, -EBADMSG, 0, 0 } },
	{ "name does not end", name_does_not_end, { 0, 0, 0, -EBADMSG } },
	{ "handler is foreign", name_is_foreign, { -ENODEV, 0, 0, 0 } },
	{ "token is used twice", token_is_used_twice, { -EBADMSG, 0, -ENOENT, 0 } },
	{ "token is used by all", token_is_used_by_all,
	  { -EBADMSG, -ENOENT, -ENOENT, -ENOENT } },
};
KUNIT_ARRAY_PARAM_DESC(record, record_rows, name);

static void damaged_record_is_lost_alone(struct kunit *test)
{
	const struct record_row *row = test->param_value;
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_hand_over(t, 4);
	struct liveupdate_session *s;
	unsigned int i;

	row->damage(handed_over_files(t));
	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &h->fh), 0);
	s = luo_test_retrieve(t, "s");
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, i + 1), row->err[i]);
	KUNIT_EXPECT_EQ(test, s->files.count, 4);
	if (row->err[0] == -ENODEV) {
		KUNIT_EXPECT_EQ(test, luo_test_finish(s), -ENODEV);
		return;
	}
	KUNIT_EXPECT_EQ(test, luo_test_finish(s), 0);
	luo_session_close(s);
	/* What the damaged ones preserved can't be known: it stays. */
	xa_destroy(&t->blobs);
}

static void files_of_damaged_records_are_listed(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	char name[LUO_HANDLER_NAME_LENGTH];
	struct liveupdate_session *s;
	struct luo_file *f;

	luo_test_hand_over(t, 2);
	name_is_empty(handed_over_files(t));
	s = luo_test_retrieve(t, "s");
	f = luo_file_next(&s->files, 0);
	luo_file_handler_name(f, name);
	KUNIT_EXPECT_STREQ(test, name, "h");
	KUNIT_EXPECT_EQ(test, f->state, LUO_FILE_INCOMING);
	f = luo_file_next(&s->files, f->seq + 1);
	luo_file_handler_name(f, name);
	KUNIT_EXPECT_STREQ(test, name, "");
	KUNIT_EXPECT_EQ(test, f->state, LUO_FILE_DAMAGED);
	KUNIT_EXPECT_NULL(test, luo_file_next(&s->files, f->seq + 1));
}

static void reading_files_goes_on_when_there_is_memory_again(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	unsigned int nth, failures = 0;
	struct liveupdate_session *s;
	bool done;

	luo_test_need_fail_alloc(t);
	for (nth = 1, done = true; done; nth++) {
		luo_test_hand_over_again(t, h, 3);
		KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &h->fh), 0);
		luo_test_fail_alloc(nth);
		s = luo_session_retrieve(&t->luo, "s");
		done = luo_test_fail_alloc_done();
		if (IS_ERR(s)) {
			failures++;
			KUNIT_EXPECT_PTR_EQ(test, s, ERR_PTR(-ENOMEM));
			s = luo_test_retrieve(t, "s");
		}
		KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), 0);
		KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 2), 0);
		KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 3), 0);
		luo_session_close(s);
	}
	KUNIT_EXPECT_GT(test, failures, 0);
}

static struct kunit_case luo_file_cases[] = {
	KUNIT_CASE_PARAM(handler_needs_the_required_operations, op_gen_params),
	KUNIT_CASE(handler_needs_operations_at_all),
	KUNIT_CASE(handler_needs_a_name_that_ends),
	KUNIT_CASE(name_of_a_handler_is_free_again_when_it_goes),
	KUNIT_CASE(file_is_handed_over_when_it_is_preserved),
	KUNIT_CASE(handler_is_pinned_by_each_file),
	KUNIT_CASE(token_is_used_once_in_a_session),
	KUNIT_CASE(file_is_preserved_once_wherever),
	KUNIT_CASE(two_opens_of_one_thing_are_one_file),
	KUNIT_CASE(file_that_nobody_takes_is_not_preserved),
	KUNIT_CASE(error_of_the_handler_is_told),
	KUNIT_CASE(preserve_that_fails_at_any_step_changes_nothing),
	KUNIT_CASE(preserve_that_lacks_memory_changes_nothing),
	KUNIT_CASE(files_are_unpreserved_newest_first),
	KUNIT_CASE(only_tokens_in_use_are_unpreserved),
	KUNIT_CASE(thousand_files_find_their_tokens),
	KUNIT_CASE(tokens_that_come_in_no_order_are_found),
	KUNIT_CASE(files_come_back_in_any_order),
	KUNIT_CASE(file_is_retrieved_once_and_given_out_often),
	KUNIT_CASE(files_never_retrieved_are_freed_by_finish),
	KUNIT_CASE(finish_waits_until_every_file_can),
	KUNIT_CASE(record_waits_for_its_handler),
	KUNIT_CASE_PARAM(retrieve_that_fails_is_tried_again_if_that_can_help,
			 retrieve_gen_params),
	KUNIT_CASE(nothing_is_freed_for_a_file_judged_damaged),
	KUNIT_CASE(handler_that_gives_no_file_is_not_believed),
	KUNIT_CASE(what_a_failed_retrieve_used_up_is_not_handed_over),
	KUNIT_CASE_PARAM(damaged_record_is_lost_alone, record_gen_params),
	KUNIT_CASE(files_of_damaged_records_are_listed),
	KUNIT_CASE(reading_files_goes_on_when_there_is_memory_again),
	{}
};

static struct kunit_suite luo_file_suite = {
	.name = "luo_file",
	.init = luo_test_init,
	.exit = luo_test_exit,
	.test_cases = luo_file_cases,
};
kunit_test_suite(luo_file_suite);
