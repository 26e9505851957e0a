// SPDX-License-Identifier: GPL-2.0-only
/* reboot(): luo_core.c, and what it does to files and unfinished sessions. */

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/io.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>

#include "luo_test.h"

/* ---- order and undo ---- */

static void files_are_frozen_oldest_first_across_sessions(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct luo_test_handler *i = luo_test_handler(t, "i");
	struct liveupdate_session *s = luo_test_create(t, "s");
	struct liveupdate_session *s2 = luo_test_create(t, "s2");

	luo_test_preserve_new(t, s2, i, 5);
	luo_test_preserve_new(t, s, h, 4);
	luo_test_preserve_new(t, s2, h, 3);
	luo_test_preserve_new(t, s, h, 2);
	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s2, 3), 0);
	luo_test_preserve_new(t, s2, h, 1);
	seq_buf_clear(&t->log.seq);

	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	luo_test_expect_log(t, "i.freeze:5 h.freeze:4 h.freeze:2 h.freeze:1");
	KUNIT_EXPECT_TRUE(test, t->luo.frozen);
}

static void handlers_without_freeze_are_not_bothered(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct luo_test_handler *still = luo_test_handler(t, "still");
	struct luo_test_handler *brief = luo_test_handler(t, "brief");
	struct liveupdate_session *s = luo_test_create(t, "s");

	still->ops.freeze = NULL;
	brief->ops.unfreeze = NULL;
	luo_test_preserve_new(t, s, still, 1);
	luo_test_preserve_new(t, s, brief, 2);
	luo_test_preserve_new(t, s, h, 3);
	seq_buf_clear(&t->log.seq);
	luo_test_fail_step(t, 2, -EAGAIN);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), -EAGAIN);
	luo_test_expect_log(t, "brief.freeze:2 h.freeze:3!");
	luo_test_expect_handed_over(t, "s{1:still 2:brief 3:h}");
}

static void freeze_that_fails_is_undone_newest_first(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	const char *before;
	u64 token;

	for (token = 1; token <= 4; token++)
		luo_test_preserve_new(t, s, h, token);
	seq_buf_clear(&t->log.seq);
	before = luo_test_state(t);

	luo_test_fail_step(t, 4, -EUCLEAN);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), -EUCLEAN);
	luo_test_expect_first(t, "h.freeze:1 h.freeze:2 h.freeze:3 h.freeze:4! h.unfreeze:3");
	luo_test_expect_log(t, "h.unfreeze:2 h.unfreeze:1");
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);

	luo_test_preserve_new(t, s, h, 5);
	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 2), 0);
	seq_buf_clear(&t->log.seq);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	luo_test_expect_log(t, "h.freeze:1 h.freeze:3 h.freeze:4 h.freeze:5");
}

static void what_freeze_saves_is_handed_over(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	const struct luo_block_ser *block;
	const struct luo_file_ser *file;

	h->freeze_changes_data = true;
	luo_test_preserve_new(t, s, h, 1);
	block = phys_to_virt(luo_chain_first(&s->files.chain));
	file = (const void *)(block + 1);
	KUNIT_EXPECT_EQ(test, file->data, 1);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	KUNIT_EXPECT_EQ(test, file->data, 2);
}

static void what_freeze_saved_is_taken_back(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	const char *before;

	h->freeze_changes_data = true;
	luo_test_preserve_new(t, s, h, 1);
	luo_test_preserve_new(t, s, h, 2);
	before = luo_test_state(t);
	luo_test_fail_step(t, 2, -EAGAIN);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), -EAGAIN);
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
}

/* The next kernel finishes by the order of records, which taking out mixes up. */
static void records_are_put_in_order(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	u64 token;

	for (token = 1; token <= 130; token++) {
		luo_test_preserve_new(t, s, h, token);
		seq_buf_clear(&t->log.seq);
	}
	for (token = 5; token <= 126; token++)
		KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, token), 0);
	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 1), 0);
	luo_test_preserve_new(t, s, h, 7);
	KUNIT_EXPECT_TRUE(test, s->files.disordered);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	luo_test_expect_handed_over(t, "s{2:h 3:h 4:h 127:h 128:h 129:h 130:h 7:h}");
	luo_test_jump(t);

	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &h->fh), 0);
	s = luo_test_retrieve(t, "s");
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 127), 0);
	KUNIT_EXPECT_EQ(test, luo_test_finish(s), 0);
	KUNIT_EXPECT_EQ(test, luo_test_blobs(t), 0);
	luo_session_close(s);
}

/* ---- the image ---- */

static void sessions_need_an_image_that_takes_them(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	const char *before;

	luo_test_preserve_new(t, s, h, 1);
	seq_buf_clear(&t->log.seq);
	before = luo_test_state(t);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, false), -EOPNOTSUPP);
	luo_test_expect_log(t, "");
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);

	luo_session_close(s);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, false), 0);
}

static void sessions_nobody_claimed_need_that_image_too(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);

	luo_test_create(t, "s");
	luo_test_freeze_and_jump(t);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, false), -EOPNOTSUPP);
	luo_session_close(luo_test_retrieve(t, "s"));
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, false), 0);
}

static void time_of_the_freeze_is_handed_over(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	const struct luo_stamps_ser *stamps = (const void *)(t->luo.root + 1);

	KUNIT_EXPECT_EQ(test, stamps->magic, 0);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	KUNIT_EXPECT_EQ(test, stamps->magic, LUO_STAMPS_MAGIC);
	KUNIT_EXPECT_GE(test, stamps->frozen, stamps->reboot);
}

/* ---- sessions retrieved and not finished ---- */

/* Sessions "s" and "s2" with files of the tokens 1, 2 and 3, 4. */
static struct luo_test_handler *hand_over(struct luo_test *t)
{
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	struct liveupdate_session *s2 = luo_test_create(t, "s2");

	luo_test_preserve_new(t, s, h, 1);
	luo_test_preserve_new(t, s, h, 2);
	luo_test_preserve_new(t, s2, h, 3);
	luo_test_preserve_new(t, s2, h, 4);
	luo_test_freeze_and_jump(t);
	KUNIT_ASSERT_EQ(t->test, luo_handler_register(&t->luo, &h->fh), 0);
	return h;
}

static void retrieved_files_are_preserved_again(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = hand_over(t);
	struct liveupdate_session *s = luo_test_retrieve(t, "s");

	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 2), 0);
	luo_test_expect_log(t, "h.retrieve:2");
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	luo_test_expect_log(t, "h.preserve:2 h.freeze:2");
	luo_test_expect_handed_over(t, "s{1:h 2:h} s2{3:h 4:h}");
	luo_test_jump(t);

	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &h->fh), 0);
	s = luo_test_retrieve(t, "s");
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), 0);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 2), 0);
	luo_session_close(s);
	luo_session_close(luo_test_retrieve(t, "s2"));
	/* What the kernel before last preserved went with the last one. */
	KUNIT_EXPECT_EQ(test, luo_test_blobs(t), 1);
	xa_destroy(&t->blobs);
}

static void retrieved_files_are_preserved_again_in_order_of_retrieval(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	u64 token;

	for (token = 1; token <= 3; token++)
		luo_test_preserve_new(t, s, h, token);
	KUNIT_EXPECT_EQ(test, luo_test_unpreserve(s, 1), 0);
	luo_test_freeze_and_jump(t);

	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &h->fh), 0);
	s = luo_test_retrieve(t, "s");
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 2), 0);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 3), 0);
	seq_buf_clear(&t->log.seq);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	luo_test_expect_log(t, "h.preserve:2 h.preserve:3 h.freeze:2 h.freeze:3");
	xa_destroy(&t->blobs);
}

static void reboot_that_fails_at_any_step_changes_nothing(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = hand_over(t);
	struct liveupdate_session *s = luo_test_retrieve(t, "s");
	struct liveupdate_session *s2 = luo_test_retrieve(t, "s2");
	const char *before;
	unsigned int step;
	int err;

	h->freeze_changes_data = true;
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 2), 0);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), 0);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s2, 4), 0);
	luo_test_preserve_new(t, luo_test_create(t, "s"), h, 5);
	before = luo_test_state(t);
	for (step = 1;; step++) {
		luo_test_fail_step(t, step, -EUCLEAN);
		err = luo_freeze(&t->luo, true);
		if (!luo_test_fail_step_done(t))
			break;
		KUNIT_EXPECT_EQ(test, err, -EUCLEAN);
		KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
		seq_buf_clear(&t->log.seq);
	}
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, step, 8);
	luo_test_expect_first(t, "h.preserve:2 h.preserve:1 h.preserve:4 h.freeze:5");
	luo_test_expect_log(t, "h.freeze:2 h.freeze:1 h.freeze:4");
	luo_test_expect_handed_over(t, "s~1{1:h 2:h} s2{3:h 4:h} s{5:h}");
}

static void preserving_again_is_undone_newest_first(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s, *s2;

	hand_over(t);
	s = luo_test_retrieve(t, "s");
	s2 = luo_test_retrieve(t, "s2");
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s2, 3), 0);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 2), 0);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), 0);
	seq_buf_clear(&t->log.seq);
	luo_test_fail_step(t, 5, -EAGAIN);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), -EAGAIN);
	luo_test_expect_first(t, "h.preserve:2 h.preserve:1 h.preserve:3 h.freeze:2");
	luo_test_expect_first(t, "h.freeze:1! h.unfreeze:2 h.unpreserve:3 h.unpreserve:1");
	luo_test_expect_log(t, "h.unpreserve:2");
}

/* The handler finds in finish what it left in retrieve, whatever was between. */
static void files_can_be_finished_after_reboot_was_called_off(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s;

	hand_over(t);
	luo_session_close(luo_test_retrieve(t, "s2"));
	s = luo_test_retrieve(t, "s");
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), 0);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 2), 0);
	luo_test_fail_step(t, 2, -EAGAIN);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), -EAGAIN);
	luo_test_fail_step(t, 4, -EAGAIN);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), -EAGAIN);
	seq_buf_clear(&t->log.seq);
	luo_session_close(s);
	luo_test_expect_log(t, "h.can_finish:1 h.can_finish:2 h.finish:2 h.finish:1");
	KUNIT_EXPECT_EQ(test, luo_test_blobs(t), 0);
}

static void file_is_not_handed_over_twice(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s, *out;
	struct file *file;
	const char *before;

	hand_over(t);
	s = luo_test_retrieve(t, "s");
	mutex_lock(&s->lock);
	KUNIT_ASSERT_EQ(test, luo_file_retrieve(s, 1, &file), 0);
	mutex_unlock(&s->lock);
	out = luo_test_create(t, "out");
	KUNIT_EXPECT_EQ(test, luo_test_preserve(out, file, 7), 0);
	fput(file);
	before = luo_test_state(t);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), -EBUSY);
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);

	KUNIT_EXPECT_EQ(test, luo_test_finish(s), 0);
	luo_session_close(s);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	luo_test_expect_handed_over(t, "out{7:h} s2{3:h 4:h}");
}

/* ---- the gate ---- */

struct visitor {
	struct luo *luo;
	struct liveupdate_session *session;
	struct completion started, inside;
	int err;
};

static int visit(void *arg)
{
	struct visitor *v = arg;

	allow_kernel_signal(SIGKILL);
	complete(&v->started);
	v->err = luo_enter(v->luo);
	if (!v->err)
		luo_exit(v->luo);
	complete(&v->inside);
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static int visit_without_choice(void *arg)
{
	struct visitor *v = arg;

	complete(&v->started);
	luo_enter_uninterruptible(v->luo);
	luo_exit(v->luo);
	complete(&v->inside);
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static struct task_struct *visitor_start(struct kunit *test, struct visitor *v,
					 int (*fn)(void *arg))
{
	struct task_struct *task;

	v->luo = &luo_test_of(test)->luo;
	init_completion(&v->started);
	init_completion(&v->inside);
	task = kthread_run(fn, v, "luo_visitor");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	get_task_struct(task);
	return task;
}

/* Wait until it sleeps outside; before it is started a signal would be lost. */
static void visitor_waits(struct kunit *test, struct visitor *v, struct task_struct *task)
{
	int tries;

	KUNIT_EXPECT_GT(test, wait_for_completion_timeout(&v->started, 10 * HZ), 0);
	for (tries = 1000; !READ_ONCE(task->__state) && tries; tries--)
		msleep(20);
	KUNIT_EXPECT_FALSE(test, completion_done(&v->inside));
}

static void visitor_stop(struct task_struct *task)
{
	kthread_stop(task);
	put_task_struct(task);
}

/* Freeze that takes its time: visitors arrive while it is under way. */
struct meeting {
	struct kunit *test;
	struct visitor visitor, patient;
	struct task_struct *task, *patient_task;
	bool kill;
};

static struct meeting *meeting_now;

static int freeze_and_meet(struct liveupdate_file_op_args *args)
{
	struct meeting *m = meeting_now;

	m->task = visitor_start(m->test, &m->visitor, visit);
	m->patient_task = visitor_start(m->test, &m->patient, visit_without_choice);
	visitor_waits(m->test, &m->visitor, m->task);
	visitor_waits(m->test, &m->patient, m->patient_task);
	if (m->kill) {
		send_sig(SIGKILL, m->task, 1);
		KUNIT_EXPECT_GT(m->test, wait_for_completion_timeout(&m->visitor.inside,
								     10 * HZ), 0);
	}
	KUNIT_EXPECT_FALSE(m->test, completion_done(&m->patient.inside));
	return -EAGAIN;
}

static void meet(struct kunit *test, struct meeting *m)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler_new(t, "h");

	h->ops.freeze = freeze_and_meet;
	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &h->fh), 0);
	luo_test_preserve_new(t, luo_test_create(t, "s"), h, 1);
	m->test = test;
	meeting_now = m;
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), -EAGAIN);
	KUNIT_EXPECT_GT(test, wait_for_completion_timeout(&m->patient.inside, 10 * HZ), 0);
}

static void changes_wait_until_reboot_is_called_off(struct kunit *test)
{
	struct meeting m = {};

	meet(test, &m);
	KUNIT_EXPECT_GT(test, wait_for_completion_timeout(&m.visitor.inside, 10 * HZ), 0);
	KUNIT_EXPECT_EQ(test, m.visitor.err, 0);
	visitor_stop(m.patient_task);
	visitor_stop(m.task);
}

static void those_who_are_killed_wait_no_longer(struct kunit *test)
{
	struct meeting m = { .kill = true };

	meet(test, &m);
	KUNIT_EXPECT_EQ(test, m.visitor.err, -EINTR);
	visitor_stop(m.patient_task);
	visitor_stop(m.task);
}

static int reboot(void *arg)
{
	struct visitor *v = arg;

	allow_kernel_signal(SIGKILL);
	complete(&v->started);
	v->err = luo_freeze(v->luo, true);
	complete(&v->inside);
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static void reboot_that_is_killed_waits_for_nobody(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct task_struct *task;
	struct visitor v = {};

	KUNIT_ASSERT_EQ(test, luo_enter(&t->luo), 0);
	task = visitor_start(test, &v, reboot);
	visitor_waits(test, &v, task);
	send_sig(SIGKILL, task, 1);
	KUNIT_EXPECT_GT(test, wait_for_completion_timeout(&v.inside, 10 * HZ), 0);
	luo_exit(&t->luo);
	KUNIT_EXPECT_EQ(test, v.err, -EINTR);
	KUNIT_EXPECT_FALSE(test, t->luo.frozen);
	visitor_stop(task);
	luo_test_create(t, "s");
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
}

static void those_behind_a_waiting_reboot_can_be_killed(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct visitor rebooter = {}, late = {};
	struct task_struct *reboot_task, *task;

	KUNIT_ASSERT_EQ(test, luo_enter(&t->luo), 0);
	reboot_task = visitor_start(test, &rebooter, reboot);
	visitor_waits(test, &rebooter, reboot_task);
	task = visitor_start(test, &late, visit);
	visitor_waits(test, &late, task);
	send_sig(SIGKILL, task, 1);
	KUNIT_EXPECT_GT(test, wait_for_completion_timeout(&late.inside, 10 * HZ), 0);
	luo_exit(&t->luo);
	KUNIT_EXPECT_GT(test, wait_for_completion_timeout(&rebooter.inside, 10 * HZ), 0);
	KUNIT_EXPECT_EQ(test, late.err, -EINTR);
	KUNIT_EXPECT_EQ(test, rebooter.err, 0);
	visitor_stop(task);
	visitor_stop(reboot_task);
}

/* ---- sessions that are in use ---- */

static char shown[64];

static int look(void *arg)
{
	struct seq_file m = { .buf = shown, .size = sizeof(shown) };
	struct visitor *v = arg;

	allow_kernel_signal(SIGKILL);
	complete(&v->started);
	v->err = luo_show_session(&m, v->session);
	complete(&v->inside);
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static void who_looks_at_a_session_in_use_can_be_killed(struct kunit *test)
{
	struct visitor v = { .session = luo_test_create(luo_test_of(test), "s") };
	struct task_struct *task;

	mutex_lock(&v.session->lock);
	task = visitor_start(test, &v, look);
	visitor_waits(test, &v, task);
	send_sig(SIGKILL, task, 1);
	KUNIT_EXPECT_GT(test, wait_for_completion_timeout(&v.inside, 10 * HZ), 0);
	mutex_unlock(&v.session->lock);
	visitor_stop(task);
	KUNIT_EXPECT_EQ(test, v.err, -EINTR);
}

static struct kunit_case luo_freeze_cases[] = {
	KUNIT_CASE(files_are_frozen_oldest_first_across_sessions),
	KUNIT_CASE(handlers_without_freeze_are_not_bothered),
	KUNIT_CASE(freeze_that_fails_is_undone_newest_first),
	KUNIT_CASE(what_freeze_saves_is_handed_over),
	KUNIT_CASE(what_freeze_saved_is_taken_back),
	KUNIT_CASE(records_are_put_in_order),
	KUNIT_CASE(sessions_need_an_image_that_takes_them),
	KUNIT_CASE(sessions_nobody_claimed_need_that_image_too),
	KUNIT_CASE(time_of_the_freeze_is_handed_over),
	KUNIT_CASE(retrieved_files_are_preserved_again),
	KUNIT_CASE(retrieved_files_are_preserved_again_in_order_of_retrieval),
	KUNIT_CASE(reboot_that_fails_at_any_step_changes_nothing),
	KUNIT_CASE(preserving_again_is_undone_newest_first),
	KUNIT_CASE(files_can_be_finished_after_reboot_was_called_off),
	KUNIT_CASE(file_is_not_handed_over_twice),
	KUNIT_CASE(changes_wait_until_reboot_is_called_off),
	KUNIT_CASE(those_who_are_killed_wait_no_longer),
	KUNIT_CASE(reboot_that_is_killed_waits_for_nobody),
	KUNIT_CASE(those_behind_a_waiting_reboot_can_be_killed),
	KUNIT_CASE(who_looks_at_a_session_in_use_can_be_killed),
	{}
};

static struct kunit_suite luo_freeze_suite = {
	.name = "luo_freeze",
	.init = luo_test_init,
	.exit = luo_test_exit,
	.test_cases = luo_freeze_cases,
};
kunit_test_suite(luo_freeze_suite);
