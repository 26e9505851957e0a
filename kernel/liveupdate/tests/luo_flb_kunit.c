// SPDX-License-Identifier: GPL-2.0-only
/* File-lifecycle-bound data: luo_flb.c. */

#include <kunit/test.h>
#include <linux/io.h>
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

	luo_test_need_fail_alloc(t);
	luo_test_fail_alloc(1);
	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &h->fh, &f->flb), -ENOMEM);
	KUNIT_EXPECT_TRUE(test, luo_test_fail_alloc_done());
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &h->fh, &f->flb), 0);
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
	KUNIT_EXPECT_EQ(test, luo_flb_get_outgoing(&t->luo, &other->flb, &obj), -ENOENT);
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

/* Session "s" with @n files of "h", which depend on "f". */
static struct luo_test_handler *hand_over(struct luo_test *t, u64 n,
					  struct luo_test_flb **f)
{
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	u64 token;

	*f = luo_test_flb(t, h, "f");
	for (token = 1; token <= n; token++)
		luo_test_preserve_new(t, s, h, token);
	luo_test_freeze_and_jump(t);
	return h;
}

static void take_over(struct luo_test *t, struct luo_test_handler *h,
		      struct luo_test_flb *f)
{
	KUNIT_ASSERT_EQ(t->test, luo_handler_register(&t->luo, &h->fh), 0);
	KUNIT_ASSERT_EQ(t->test, luo_flb_register(&t->luo, &h->fh, &f->flb), 0);
}

static void flb_is_retrieved_on_demand_and_finished_with_the_last_file(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = hand_over(t, 2, &f);
	void *obj;

	luo_test_expect_handed_over(t, "s{1:h 2:h} f=2");
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), -ENOENT);
	take_over(t, h, f);
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
	struct luo_test_handler *h = hand_over(t, 1, &f);

	take_over(t, h, f);
	luo_session_close(luo_test_retrieve(t, "s"));
	luo_test_expect_log(t, "h.can_finish:1 h.free:1 f.free");
	KUNIT_EXPECT_EQ(test, luo_test_blobs(t), 0);
}

static void flb_in_use_is_finished_later(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = hand_over(t, 1, &f);
	void *obj;

	take_over(t, h, f);
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
	struct luo_test_handler *h = hand_over(t, 1, &f);
	const char *before;
	void *obj;

	take_over(t, h, f);
	before = luo_test_state(t);
	luo_test_fail_step(t, 1, -EUCLEAN);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), -EUCLEAN);
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), 0);
	luo_test_expect_log(t, "f.retrieve! f.retrieve");
	luo_flb_put_incoming(&t->luo, &f->flb);
	luo_session_close(luo_test_retrieve(t, "s"));
}

static void flb_whose_module_goes_is_not_used(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = hand_over(t, 1, &f);
	void *obj;

#ifdef CONFIG_MODULE_UNLOAD
	take_over(t, h, f);
	t->module->state = MODULE_STATE_GOING;
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), -ENODEV);
	t->module->state = MODULE_STATE_LIVE;
	luo_test_expect_log(t, "");
#else
	kunit_skip(test, "needs MODULE_UNLOAD");
#endif
}

/* ---- carried over ---- */

static void flb_nobody_knows_is_handed_over_as_it_came(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f, *g;
	struct luo_test_handler *h = hand_over(t, 2, &f), *i;

	i = luo_test_handler(t, "i");
	g = luo_test_flb(t, i, "g");
	luo_test_preserve_new(t, luo_test_create(t, "new"), i, 3);
	luo_test_expect_handed_over(t, "s{1:h 2:h} new{3:i} f=2 g=1");
	luo_test_freeze_and_jump(t);

	take_over(t, h, f);
	take_over(t, i, g);
	luo_session_close(luo_test_retrieve(t, "s"));
	luo_session_close(luo_test_retrieve(t, "new"));
	luo_test_expect_handed_over(t, "");
	KUNIT_EXPECT_EQ(test, luo_test_blobs(t), 0);
}

static void flb_nobody_knows_goes_with_the_last_session(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = hand_over(t, 1, &f);

	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &h->fh), 0);
	luo_test_create(t, "new");
	luo_session_close(luo_test_retrieve(t, "s"));
	luo_test_expect_handed_over(t, "new{}");
	/* What was in it can't be known. */
	KUNIT_EXPECT_EQ(test, luo_test_blobs(t), 1);
	xa_destroy(&t->blobs);
}

static struct luo_flb_page_ser *handed_over_page(struct luo_test *t)
{
	return phys_to_virt(t->luo.root->flb);
}

/* Its count says that there are more files than there are. */
static void flb_ends_with_the_last_session_whatever_it_counts(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = hand_over(t, 1, &f);

	handed_over_page(t)->flb[0].count = 5;
	take_over(t, h, f);
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
	struct luo_test_handler *h = hand_over(t, 3, &f);

	handed_over_page(t)->flb[0].count = 1;
	take_over(t, h, f);
	luo_session_close(luo_test_retrieve(t, "s"));
	luo_test_expect_first(t, "h.can_finish:1 h.can_finish:2 h.can_finish:3 h.free:3");
	luo_test_expect_log(t, "f.free h.free:2 h.free:1");
}

static void flb_goes_out_anew_after_it_was_finished(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = hand_over(t, 1, &f);
	const char *before;

	take_over(t, h, f);
	luo_test_preserve_new(t, luo_test_create(t, "new"), h, 2);
	luo_test_expect_handed_over(t, "s{1:h} new{2:h} f=1");
	before = luo_test_state(t);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), -EBUSY);
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);

	luo_session_close(luo_test_retrieve(t, "s"));
	luo_test_expect_log(t, "f.preserve h.preserve:2 h.can_finish:1 h.free:1 f.free");
	luo_test_expect_handed_over(t, "new{2:h} f=1");
	luo_test_freeze_and_jump(t);
	take_over(t, h, f);
	luo_session_close(luo_test_retrieve(t, "new"));
	luo_test_expect_log(t, "h.can_finish:2 h.free:2 f.free");
}

/* One record can't say both what came in and what goes out. */
static void flb_of_files_retrieved_and_not_finished_is_not_lost(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f;
	struct luo_test_handler *h = hand_over(t, 1, &f);
	struct liveupdate_session *s;
	const char *before;

	take_over(t, h, f);
	s = luo_test_retrieve(t, "s");
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), 0);
	before = luo_test_state(t);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), -EBUSY);
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
	luo_session_close(s);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
}

/* ---- damaged pages ---- */

struct page_row {
	const char *name;
	void (*damage)(struct luo_test *t, struct luo_flb_page_ser *page);
	const char *kept;
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

static const struct page_row page_rows[] = {
	{ "page is not aligned", is_not_aligned, "" },
	{ "page is nowhere", is_nowhere, "" },
	{ "page is the sessions'", is_the_sessions, "" },
	{ "page says it is two", is_of_two_pages, "" },
	{ "page is too full", is_too_full, "" },
	{ "page can't be claimed", can_not_be_claimed, "" },
	{ "name is empty", name_is_empty, " k=1 g=1" },
	{ "name does not end", name_does_not_end, " f=1 k=1" },
	{ "name is used twice", name_is_used_twice, " f=1 k=1" },
	{ "nothing depends on it", nothing_depends_on_it, " f=1 g=1" },
	{ "names are noise", names_are_noise, "" },
};
KUNIT_ARRAY_PARAM_DESC(page, page_rows, name);

static void damaged_flb_is_lost_alone(struct kunit *test)
{
	const struct page_row *row = test->param_value;
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	struct luo_test_flb *f = luo_test_flb(t, h, "f");
	struct luo_test_handler *i;

	luo_test_flb(t, h, "g");
	luo_test_flb(t, h, "k");
	luo_test_preserve_new(t, s, h, 1);
	luo_test_freeze_and_jump(t);
	row->damage(t, handed_over_page(t));

	i = luo_test_handler(t, "i");
	KUNIT_EXPECT_EQ(test, luo_flb_register(&t->luo, &i->fh, &f->flb), 0);
	KUNIT_EXPECT_STREQ(test, luo_test_handed_over(t) + strlen("s{1:h}"), row->kept);
	/* The rest works. */
	if (!f->flb.incoming.files) {
		luo_test_preserve_new(t, luo_test_create(t, "new"), i, 2);
		luo_test_expect_log(t, "f.preserve i.preserve:2");
	}
}

static struct kunit_case luo_flb_cases[] = {
	KUNIT_CASE_PARAM(flb_needs_all_operations, op_gen_params),
	KUNIT_CASE(flb_needs_a_name_that_ends),
	KUNIT_CASE(flb_needs_a_registered_handler),
	KUNIT_CASE(flb_is_registered_once_with_a_handler),
	KUNIT_CASE(flb_comes_before_files_of_its_handler),
	KUNIT_CASE(registration_that_lacks_memory_changes_nothing),
	KUNIT_CASE(flb_lives_as_long_as_files_depend_on_it),
	KUNIT_CASE(flbs_of_a_file_are_undone_in_reverse),
	KUNIT_CASE(flb_in_use_outlives_its_files),
	KUNIT_CASE(page_holds_so_many_flbs_and_no_more),
	KUNIT_CASE(flb_is_retrieved_on_demand_and_finished_with_the_last_file),
	KUNIT_CASE(flb_nobody_asked_for_is_freed),
	KUNIT_CASE(flb_in_use_is_finished_later),
	KUNIT_CASE(retrieve_of_an_flb_may_be_tried_again),
	KUNIT_CASE(flb_whose_module_goes_is_not_used),
	KUNIT_CASE(flb_nobody_knows_is_handed_over_as_it_came),
	KUNIT_CASE(flb_nobody_knows_goes_with_the_last_session),
	KUNIT_CASE(flb_ends_with_the_last_session_whatever_it_counts),
	KUNIT_CASE(flb_is_finished_once_whatever_it_counts),
	KUNIT_CASE(flb_goes_out_anew_after_it_was_finished),
	KUNIT_CASE(flb_of_files_retrieved_and_not_finished_is_not_lost),
	KUNIT_CASE_PARAM(damaged_flb_is_lost_alone, page_gen_params),
	{}
};

static struct kunit_suite luo_flb_suite = {
	.name = "luo_flb",
	.init = luo_test_init,
	.exit = luo_test_exit,
	.test_cases = luo_flb_cases,
};
kunit_test_suite(luo_flb_suite);
