// SPDX-License-Identifier: GPL-2.0-only
/*
 * What drivers and reboot() call: luo_core.c. It works on the kernel's own
 * instance, which is there if live update is on, and on none otherwise.
 */

#include <kunit/test.h>
#include <linux/file.h>
#include <linux/tracepoint.h>
#include <trace/events/liveupdate.h>

#include "luo_test.h"

static void drivers_are_refused_while_live_update_is_off(struct kunit *test)
{
	struct luo_test_handler *h = luo_test_handler_new(luo_test_of(test), "h");
	struct luo_test_flb *f = luo_test_flb_new(luo_test_of(test), "f");
	void *obj;

	if (liveupdate_enabled())
		kunit_skip(test, "live update is on");
	KUNIT_EXPECT_EQ(test, liveupdate_register_file_handler(&h->fh), -EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, liveupdate_register_flb(&h->fh, &f->flb), -EOPNOTSUPP);
	liveupdate_unregister_flb(&h->fh, &f->flb);
	liveupdate_unregister_file_handler(&h->fh);
	KUNIT_EXPECT_EQ(test, liveupdate_flb_get_incoming(&f->flb, &obj), -EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, liveupdate_flb_get_outgoing(&f->flb, &obj), -EOPNOTSUPP);
	KUNIT_EXPECT_PTR_EQ(test, liveupdate_lock_incoming("s"), ERR_PTR(-EOPNOTSUPP));
	KUNIT_EXPECT_EQ(test, liveupdate_reboot(), 0);
}

static void drivers_meet_the_sessions_of_users(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler_new(t, "k-h");
	struct luo_test_flb *f = luo_test_flb_new(t, "k-f");
	struct liveupdate_session *s;
	void *obj = NULL;

	if (!liveupdate_enabled())
		kunit_skip(test, "needs kho=on liveupdate=on");
	KUNIT_ASSERT_EQ(test, liveupdate_register_file_handler(&h->fh), 0);
	KUNIT_EXPECT_EQ(test, liveupdate_register_file_handler(&h->fh), -EEXIST);
	KUNIT_EXPECT_EQ(test, liveupdate_register_flb(&h->fh, &f->flb), 0);
	KUNIT_EXPECT_EQ(test, liveupdate_register_flb(&h->fh, &f->flb), -EEXIST);
	KUNIT_EXPECT_EQ(test, liveupdate_flb_get_incoming(&f->flb, &obj), -ENOENT);
	KUNIT_EXPECT_EQ(test, liveupdate_flb_get_outgoing(&f->flb, &obj), -ENOENT);

	s = luo_session_create(luo_get(), "k-s");
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, s);
	if (!IS_ERR_OR_NULL(s)) {
		KUNIT_EXPECT_EQ(test, luo_test_preserve(s, luo_test_file(t, h, 1), 1), 0);
		KUNIT_EXPECT_EQ(test, liveupdate_flb_get_outgoing(&f->flb, &obj), 0);
		KUNIT_EXPECT_NOT_NULL(test, obj);
		liveupdate_flb_put_outgoing(&f->flb);
		KUNIT_EXPECT_PTR_EQ(test, liveupdate_lock_incoming("k-s"), ERR_PTR(-ENOENT));
		luo_session_close(s);
	}
	luo_test_expect_log(t, "k-f.preserve k-h.preserve:1 k-h.unpreserve:1 k-f.unpreserve");
	liveupdate_unregister_flb(&h->fh, &f->flb);
	KUNIT_EXPECT_EQ(test, liveupdate_register_flb(&h->fh, &f->flb), 0);
	liveupdate_unregister_file_handler(&h->fh);
	KUNIT_EXPECT_EQ(test, liveupdate_register_flb(&h->fh, &f->flb), -EINVAL);
}

/* ---- there, not there yet, lost ---- */

static int ask_for_file(struct liveupdate_session *s, u64 token)
{
	struct file *file;
	int err;

	guard(mutex)(&s->lock);
	err = liveupdate_get_file_incoming(s, token, &file);
	if (err)
		return err;
	fput(file);
	liveupdate_put_file_incoming(s, token);
	return 0;
}

static int (*plain_retrieve)(struct liveupdate_file_op_args *args);

/* The file with token 2 needs the one with token 1. */
static int retrieve_with_first(struct liveupdate_file_op_args *args)
{
	struct file *file;
	int err = liveupdate_get_file_incoming(args->session, 1, &file);

	if (err)
		return err;
	fput(file);
	liveupdate_put_file_incoming(args->session, 1);
	return plain_retrieve(args);
}

static void drivers_wait_for_a_handler(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h"), *i = luo_test_handler(t, "i");
	struct liveupdate_session *s = luo_test_create(t, "s");

	luo_test_preserve_new(t, s, i, 1);
	luo_test_preserve_new(t, s, h, 2);
	luo_test_freeze_and_jump(t);
	s = luo_test_retrieve(t, "s");
	KUNIT_EXPECT_EQ(test, ask_for_file(s, 2), -EPROBE_DEFER);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 2), -ENODEV);

	plain_retrieve = h->ops.retrieve;
	h->ops.retrieve = retrieve_with_first;
	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &h->fh), 0);
	KUNIT_EXPECT_EQ(test, ask_for_file(s, 2), -EPROBE_DEFER);

	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &i->fh), 0);
	KUNIT_EXPECT_EQ(test, ask_for_file(s, 2), 0);
	KUNIT_EXPECT_EQ(test, luo_test_finish(s), 0);
	luo_session_close(s);
}

static void session_that_may_be_lost_is_not_said_to_be_none(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_root_ser *root = luo_test_previous_root(t);

	KUNIT_EXPECT_PTR_EQ(test, luo_session_lock_incoming(&t->luo, "s"), ERR_PTR(-ENOENT));
	root->sessions = PAGE_SIZE + 8;
	luo_test_restart(t, root);
	KUNIT_EXPECT_PTR_EQ(test, luo_session_lock_incoming(&t->luo, "s"), ERR_PTR(-EBADMSG));
	KUNIT_EXPECT_PTR_EQ(test, luo_session_retrieve(&t->luo, "s"), ERR_PTR(-ENOENT));
}

/* ---- tracepoints ---- */

static void trace_file_op(void *data, const char *op, const char *session, u64 token,
			  const char *handler, int err, u64 ns)
{
	seq_buf_printf(data, "%s/%llu/%s.%s=%d ", session, token, handler, op, err);
}

static void trace_flb_op(void *data, const char *op, const char *flb, int err, u64 ns)
{
	seq_buf_printf(data, "%s.%s=%d ", flb, op, err);
}

static void callbacks_are_traced(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	struct seq_buf *seq = &t->state.seq;

	luo_test_flb(t, h, "f");
	seq_buf_clear(seq);
	if (register_trace_liveupdate_file_op(trace_file_op, seq))
		kunit_skip(test, "needs TRACEPOINTS");
	KUNIT_EXPECT_EQ(test, register_trace_liveupdate_flb_op(trace_flb_op, seq), 0);

	luo_test_fail_step(t, 4, -ENOSPC);
	KUNIT_EXPECT_EQ(test, luo_test_preserve(s, luo_test_file(t, h, 1), 7), -ENOSPC);
	KUNIT_EXPECT_STREQ(test, seq_buf_str(seq),
			   "f.preserve=0 s/7/h.preserve=-28 f.unpreserve=0 ");
	seq_buf_clear(seq);
	luo_test_preserve_new(t, s, h, 8);
	luo_session_close(s);
	KUNIT_EXPECT_STREQ(test, seq_buf_str(seq),
			   "f.preserve=0 s/8/h.preserve=0 s/8/h.unpreserve=0 f.unpreserve=0 ");

	unregister_trace_liveupdate_flb_op(trace_flb_op, seq);
	unregister_trace_liveupdate_file_op(trace_file_op, seq);
	tracepoint_synchronize_unregister();
}

static void time_that_is_no_number_is_refused(struct kunit *test)
{
	u64 ns = 0;

	KUNIT_EXPECT_EQ(test, luo_cycles_to_ns(0, 1, &ns), 0);
	KUNIT_EXPECT_EQ(test, ns, 0);
	KUNIT_EXPECT_EQ(test, luo_cycles_to_ns(3000000, 3000000, &ns), 0);
	KUNIT_EXPECT_EQ(test, ns, NSEC_PER_MSEC);
	KUNIT_EXPECT_EQ(test, luo_cycles_to_ns(U64_MAX, U64_MAX, &ns), 0);
	KUNIT_EXPECT_EQ(test, ns, NSEC_PER_MSEC);
	KUNIT_EXPECT_EQ(test, luo_cycles_to_ns(U64_MAX / NSEC_PER_MSEC, 1, &ns), 0);
	KUNIT_EXPECT_EQ(test, luo_cycles_to_ns(U64_MAX / NSEC_PER_MSEC + 1, 1, &ns), -ERANGE);
	KUNIT_EXPECT_EQ(test, luo_cycles_to_ns(1ULL << 62, 1, &ns), -ERANGE);
	KUNIT_EXPECT_EQ(test, luo_cycles_to_ns(1, 0, &ns), -ERANGE);
}

static struct kunit_case luo_core_cases[] = {
	KUNIT_CASE(time_that_is_no_number_is_refused),
	KUNIT_CASE(drivers_are_refused_while_live_update_is_off),
	KUNIT_CASE(drivers_meet_the_sessions_of_users),
	KUNIT_CASE(drivers_wait_for_a_handler),
	KUNIT_CASE(session_that_may_be_lost_is_not_said_to_be_none),
	KUNIT_CASE(callbacks_are_traced),
	{}
};

static struct kunit_suite luo_core_suite = {
	.name = "luo_core",
	.init = luo_test_init,
	.exit = luo_test_exit,
	.test_cases = luo_core_cases,
};
kunit_test_suite(luo_core_suite);
