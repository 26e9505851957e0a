// SPDX-License-Identifier: GPL-2.0-only
/* Sessions: luo_session.c and luo_session_carry.c, and how an instance starts: luo_core.c. */

#include <kunit/test.h>
#include <linux/io.h>
#include <linux/slab.h>

#include "luo_test.h"

#define SIXTY_THREE	"123456789012345678901234567890123456789012345678901234567890123"

/* ---- create ---- */

static void session_is_handed_over_when_it_is_created(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);

	luo_test_expect_handed_over(t, "");
	luo_test_create(t, "b");
	luo_test_create(t, SIXTY_THREE);
	luo_test_create(t, "a");
	luo_test_expect_handed_over(t, "b{} " SIXTY_THREE "{} a{}");
	KUNIT_EXPECT_EQ(test, t->luo.count[LUO_OUTGOING].sessions, 3);
}

static void name_is_used_once_among_outgoing_sessions(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s = luo_test_create(t, SIXTY_THREE);
	const char *before = luo_test_state(t);

	KUNIT_EXPECT_PTR_EQ(test, luo_session_create(&t->luo, SIXTY_THREE),
			    ERR_PTR(-EEXIST));
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
	luo_session_close(s);
	luo_test_create(t, SIXTY_THREE);
}

static void name_may_be_used_once_in_each_direction(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s;

	luo_test_create(t, "s");
	luo_test_freeze_and_jump(t);
	s = luo_test_create(t, "s");
	KUNIT_EXPECT_PTR_EQ(test, luo_session_create(&t->luo, "s"), ERR_PTR(-EEXIST));
	KUNIT_EXPECT_PTR_NE(test, luo_test_retrieve(t, "s"), s);
}

static void create_that_fails_at_any_step_changes_nothing(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s;
	const char *before = luo_test_state(t);
	unsigned int step;

	for (step = 1;; step++) {
		luo_test_fail_step(t, step, -ENOSPC);
		s = luo_session_create(&t->luo, "s");
		if (!luo_test_fail_step_done(t))
			break;
		KUNIT_EXPECT_PTR_EQ(test, s, ERR_PTR(-ENOSPC));
		KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
	}
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, s);
	KUNIT_EXPECT_EQ(test, step, 2);
}

static void create_that_lacks_memory_changes_nothing(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s;
	const char *before = luo_test_state(t);
	unsigned int nth, failures = 0;
	bool done;

	luo_test_need_fail_alloc(t);
	for (nth = 1, done = true; done; nth++) {
		luo_test_fail_alloc(nth);
		s = luo_session_create(&t->luo, "s");
		done = luo_test_fail_alloc_done();
		if (!IS_ERR(s)) {
			luo_session_close(s);
			continue;
		}
		failures++;
		KUNIT_EXPECT_PTR_EQ(test, s, ERR_PTR(-ENOMEM));
		KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
	}
	KUNIT_EXPECT_GT(test, failures, 0);
}

/* ---- states ---- */

static void make_damaged(struct luo_test *t)
{
	const struct luo_block_ser *block = phys_to_virt(t->luo.root->sessions);
	struct luo_session_ser *record = (void *)(block + 1);

	record->files = PAGE_SIZE;
	record->count = 1;
	KUNIT_ASSERT_PTR_EQ(t->test, luo_session_retrieve(&t->luo, "s"),
			    ERR_PTR(-EBADMSG));
}

/*
 * Session "s" in that state, with a reference that is the caller's besides
 * the one of its owner if it has one.
 */
static struct liveupdate_session *session_in(struct luo_test *t,
					     enum luo_session_state state)
{
	struct liveupdate_session *s = luo_test_create(t, "s");

	if (state == LUO_SESSION_OUTGOING)
		return luo_session_next(&t->luo, 0);

	luo_test_freeze_and_jump(t);
	if (state == LUO_SESSION_DAMAGED)
		make_damaged(t);
	KUNIT_ASSERT_EQ(t->test, luo_sessions_read(&t->luo), 0);
	s = luo_session_next(&t->luo, 0);
	if (state == LUO_SESSION_RETRIEVED || state == LUO_SESSION_FINISHED)
		luo_test_retrieve(t, "s");
	if (state == LUO_SESSION_FINISHED) {
		KUNIT_ASSERT_EQ(t->test, luo_test_finish(s), 0);
		luo_session_close(s);
	}
	KUNIT_ASSERT_EQ(t->test, s->state, state);
	return s;
}

static int act_create(struct luo_test *t, struct liveupdate_session *s)
{
	return PTR_ERR_OR_ZERO(luo_session_create(&t->luo, "s"));
}

static int act_retrieve(struct luo_test *t, struct liveupdate_session *s)
{
	return PTR_ERR_OR_ZERO(luo_session_retrieve(&t->luo, "s"));
}

static int act_finish(struct luo_test *t, struct liveupdate_session *s)
{
	int err = luo_test_finish(s);

	if (!err)
		luo_session_close(s);
	return err;
}

static int act_close(struct luo_test *t, struct liveupdate_session *s)
{
	luo_session_close(s);
	return 0;
}

static int act_close_kept(struct luo_test *t, struct liveupdate_session *s)
{
	s->keep_on_close = true;
	luo_session_close(s);
	return 0;
}

static int act_lock(struct luo_test *t, struct liveupdate_session *s)
{
	return luo_test_lock(t, "s");
}

struct transition_row {
	const char *name;
	enum luo_session_state from;
	int (*act)(struct luo_test *t, struct liveupdate_session *s);
	int err;
	enum luo_session_state to;
};

#define STAYS(_state, _act, _err, _name) \
	{ _name, LUO_SESSION_##_state, _act, _err, LUO_SESSION_##_state }
#define GOES(_from, _act, _to, _name) \
	{ _name, LUO_SESSION_##_from, _act, 0, LUO_SESSION_##_to }

static const struct transition_row transition_rows[] = {
	STAYS(OUTGOING, act_create, -EEXIST, "outgoing can't be created again"),
	STAYS(OUTGOING, act_retrieve, -ENOENT, "outgoing can't be retrieved"),
	STAYS(OUTGOING, act_finish, -EINVAL, "outgoing can't be finished"),
	STAYS(OUTGOING, act_lock, -ENOENT, "outgoing is no driver's business"),
	GOES(OUTGOING, act_close, FINISHED, "outgoing is undone by close"),
	GOES(OUTGOING, act_close_kept, FINISHED, "outgoing is never kept"),
	STAYS(INCOMING, act_create, 0, "incoming does not take a name away"),
	GOES(INCOMING, act_retrieve, RETRIEVED, "incoming can be retrieved"),
	STAYS(INCOMING, act_finish, -EINVAL, "incoming must be retrieved to be finished"),
	STAYS(INCOMING, act_lock, 0, "incoming may be used by a driver"),
	STAYS(RETRIEVED, act_create, 0, "retrieved does not take a name away"),
	STAYS(RETRIEVED, act_retrieve, -EINVAL, "retrieved has its owner"),
	GOES(RETRIEVED, act_finish, FINISHED, "retrieved can be finished"),
	GOES(RETRIEVED, act_close, FINISHED, "retrieved is finished by close"),
	GOES(RETRIEVED, act_close_kept, INCOMING, "retrieved is kept on demand"),
	STAYS(RETRIEVED, act_lock, 0, "retrieved may be used by a driver"),
	STAYS(FINISHED, act_retrieve, -ENOENT, "finished is no more"),
	STAYS(FINISHED, act_finish, -EINVAL, "finished can't be finished again"),
	STAYS(FINISHED, act_lock, -ENOENT, "finished is out of a driver's reach"),
	STAYS(DAMAGED, act_create, 0, "damaged does not take a name away"),
	STAYS(DAMAGED, act_retrieve, -EBADMSG, "damaged stays damaged"),
	STAYS(DAMAGED, act_finish, -EINVAL, "damaged can't be finished"),
	STAYS(DAMAGED, act_lock, -EBADMSG, "damaged is of no use to a driver"),
};
KUNIT_ARRAY_PARAM_DESC(transition, transition_rows, name);

static void state_changes_as_it_may_and_no_other_way(struct kunit *test)
{
	const struct transition_row *row = test->param_value;
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s = session_in(t, row->from);
	const char *before = luo_test_state(t);

	KUNIT_EXPECT_EQ(test, row->act(t, s), row->err);
	KUNIT_EXPECT_EQ(test, s->state, row->to);
	if (row->err)
		KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
	luo_session_put(s);
}

static void unknown_name_is_told(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);

	KUNIT_EXPECT_PTR_EQ(test, luo_session_retrieve(&t->luo, "s"), ERR_PTR(-ENOENT));
	luo_test_create(t, "s");
	luo_test_freeze_and_jump(t);
	KUNIT_EXPECT_PTR_EQ(test, luo_session_retrieve(&t->luo, "S"), ERR_PTR(-ENOENT));
	KUNIT_EXPECT_PTR_EQ(test, luo_session_retrieve(&t->luo, "s "), ERR_PTR(-ENOENT));
	luo_test_retrieve(t, "s");
}

/* ---- the end of a session's fd ---- */

static struct luo_test_handler *hand_over(struct luo_test *t)
{
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");

	luo_test_preserve_new(t, s, h, 1);
	luo_test_preserve_new(t, s, h, 2);
	luo_test_freeze_and_jump(t);
	KUNIT_ASSERT_EQ(t->test, luo_handler_register(&t->luo, &h->fh), 0);
	return h;
}

static void close_finishes_what_was_retrieved(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s;

	hand_over(t);
	s = luo_test_retrieve(t, "s");
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), 0);
	luo_session_close(s);
	luo_test_expect_log(t, "h.retrieve:1 h.can_finish:1 h.can_finish:2 h.free:2 h.finish:1");
	luo_test_expect_handed_over(t, "");
	KUNIT_EXPECT_PTR_EQ(test, luo_session_retrieve(&t->luo, "s"), ERR_PTR(-ENOENT));
}

static void close_that_can_not_finish_keeps_the_session(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = hand_over(t);
	struct liveupdate_session *s = luo_test_retrieve(t, "s");

	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 2), 0);
	h->can_finish = false;
	luo_session_close(s);
	luo_test_expect_handed_over(t, "s{1:h 2:h}");
	h->can_finish = true;
	seq_buf_clear(&t->log.seq);

	KUNIT_EXPECT_PTR_EQ(test, luo_test_retrieve(t, "s"), s);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 2), 0);
	luo_test_expect_log(t, "");
	luo_session_close(s);
	luo_test_expect_log(t, "h.can_finish:1 h.can_finish:2 h.finish:2 h.free:1");
}

static void session_that_is_kept_loses_nothing(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s;

	hand_over(t);
	s = luo_test_retrieve(t, "s");
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), 0);
	s->keep_on_close = true;
	luo_session_close(s);
	luo_test_expect_log(t, "h.retrieve:1");
	KUNIT_EXPECT_EQ(test, t->luo.count[LUO_INCOMING].files, 2);

	KUNIT_EXPECT_PTR_EQ(test, luo_test_retrieve(t, "s"), s);
	KUNIT_EXPECT_FALSE(test, s->keep_on_close);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), 0);
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 2), 0);
	luo_test_expect_log(t, "h.retrieve:2");
	luo_session_close(s);
	KUNIT_EXPECT_EQ(test, luo_test_blobs(t), 0);
}

static void kept_session_that_is_dropped_releases_its_files(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s;

	hand_over(t);
	s = luo_test_retrieve(t, "s");
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), 0);
	luo_session_give_back(s);
	luo_test_restart(t, NULL);
	KUNIT_EXPECT_EQ(test, atomic_read(&t->open_files), 0);
}

static void last_session_that_is_finished_ends_the_past(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);

	luo_test_create(t, "a");
	luo_test_create(t, "b");
	luo_test_freeze_and_jump(t);
	luo_session_close(luo_test_retrieve(t, "a"));
	KUNIT_EXPECT_EQ(test, t->holders, 1);
	luo_session_close(luo_test_retrieve(t, "b"));
	KUNIT_EXPECT_EQ(test, t->holders, 0);
}

/* ---- lists ---- */

static void sessions_are_listed_once_and_oldest_first(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s, *gone = NULL;
	char name[8];
	u64 seq = 0;
	int i;

	for (i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "%d", i);
		s = luo_test_create(t, name);
		gone = i == 150 ? s : gone;
	}
	for (i = 0; (s = luo_session_next(&t->luo, seq)); i++) {
		snprintf(name, sizeof(name), "%d", i);
		KUNIT_EXPECT_STREQ(test, s->name, name);
		seq = s->seq + 1;
		luo_session_put(s);
		if (i == 100)
			luo_session_close(gone);
		if (i == 149)
			i++;
	}
	KUNIT_EXPECT_EQ(test, i, 200);
}

/* ---- the next kernel ---- */

static void root_says_how_many_live_updates_there_were(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	unsigned int i;

	for (i = 0; i < 3; i++) {
		KUNIT_EXPECT_EQ(test, t->luo.number, i);
		KUNIT_EXPECT_EQ(test, t->luo.root->number, i + 1);
		KUNIT_EXPECT_MEMEQ(test, t->luo.root->format, "luo-v5\0", 8);
		luo_test_freeze_and_jump(t);
	}
}

static void sessions_nobody_reads_are_handed_over_as_they_came(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	unsigned int i;

	hand_over(t);
	for (i = 0; i < 3; i++) {
		luo_test_expect_handed_over(t, "s{1:h 2:h}");
		luo_test_freeze_and_jump(t);
	}
	luo_test_expect_handed_over(t, "s{1:h 2:h}");
}

static void sessions_nobody_claims_are_handed_over_with_new_ones(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = hand_over(t);
	struct liveupdate_session *s;

	luo_test_preserve_new(t, luo_test_create(t, "new"), h, 3);
	luo_test_expect_handed_over(t, "s{1:h 2:h} new{3:h}");
	luo_test_freeze_and_jump(t);

	luo_session_give_back(luo_test_retrieve(t, "new"));
	luo_test_expect_handed_over(t, "s{1:h 2:h} new{3:h}");
	luo_test_freeze_and_jump(t);

	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &h->fh), 0);
	s = luo_test_retrieve(t, "s");
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 2), 0);
	luo_session_close(s);
	luo_test_expect_handed_over(t, "new{3:h}");
	s = luo_test_retrieve(t, "new");
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 3), 0);
	luo_session_close(s);
	luo_test_expect_handed_over(t, "");
	KUNIT_EXPECT_EQ(test, luo_test_blobs(t), 0);
}

static void thousand_sessions_come_back(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	char name[8];
	int i;

	for (i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "%d", i);
		luo_test_create(t, name);
	}
	luo_test_freeze_and_jump(t);
	KUNIT_EXPECT_EQ(test, luo_sessions_read(&t->luo), 0);
	KUNIT_EXPECT_EQ(test, t->luo.count[LUO_INCOMING].sessions, 1000);
	for (i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "%d", i);
		luo_session_close(luo_test_retrieve(t, name));
	}
	luo_test_expect_handed_over(t, "");
}

/* ---- one name on both sides ---- */

static void incoming_session_is_renamed_if_its_name_is_taken(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);

	luo_test_create(t, "s");
	luo_test_create(t, "s~1");
	luo_test_freeze_and_jump(t);
	luo_test_create(t, "s");
	luo_test_expect_handed_over(t, "s{} s~1{} s{}");
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), 0);
	luo_test_expect_handed_over(t, "s~2{} s~1{} s{}");
	luo_test_jump(t);
	luo_test_retrieve(t, "s");
	luo_test_retrieve(t, "s~1");
	luo_test_retrieve(t, "s~2");
}

#define A60 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

#define N60 "~1~1~1~1~1~1~1~1~1~1~1~1~1~1~1~1~1~1~1~1~1~1~1~1~1~1~1~1~1~1"

struct was_row {
	const char *what;
	const char *now;
	const char *before;
	bool was;
};

static const struct was_row was_rows[] = {
	{ "its own name", "s", "s", true },
	{ "its name before", "s~1", "s", true },
	{ "its name long before", "s~1~12", "s", true },
	{ "its number has digits only", "s~1x", "s", false },
	{ "its number has digits", "s~", "s", false },
	{ "its number comes behind a tilde", "s1", "s", false },
	{ "there was a name", "~1", "", false },
	{ "another name", "s~1", "t", false },
	{ "a longer name", "s", "s~1", false },
	{ "a name that was cut", A60 "a~1", A60 "aaa", true },
	{ "another name that was cut", A60 "a~1", A60 "baa", false },
	{ "a name that was cut twice", A60 "~~1", A60 "aaa", true },
	{ "another name that was cut twice", A60 "~~1", "b", false },
	{ "a name that had room", A60 "~1", A60 "aaa", false },
	{ "a name of numbers only", "~" N60 "~1", "any", false },
	{ "a name of numbers that was cut", "~" N60 "~1", "~" N60 "ab", true },
};
KUNIT_ARRAY_PARAM_DESC(was, was_rows, what);

static void name_is_known_after_a_change(struct kunit *test)
{
	const struct was_row *row = test->param_value;
	struct liveupdate_session *s = luo_test_create(luo_test_of(test), row->now);

	const u64 owner = luo_owner_of(row->before, strlen(row->before));

	KUNIT_EXPECT_EQ(test, liveupdate_session_was(s, row->before), row->was);
	/* Blocks are noted for so much of the name as is never cut. */
	KUNIT_EXPECT_EQ(test, luo_session_owns(s, owner),
			row->was || (strlen(row->now) >= LUO_OWNER_NAME_LENGTH &&
				     !strncmp(row->now, row->before, LUO_OWNER_NAME_LENGTH)));
}

static void long_names_are_cut_and_stay_different(struct kunit *test)
{
	static const char * const names[] = {
		SIXTY_THREE, "1234567890123456789012345678901234567890123456789012345678901bc",
	};
	struct luo_test *t = luo_test_of(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		luo_test_create(t, names[i]);
	luo_test_freeze_and_jump(t);
	for (i = 0; i < ARRAY_SIZE(names); i++)
		luo_test_create(t, names[i]);
	luo_test_freeze_and_jump(t);
	KUNIT_EXPECT_EQ(test, luo_sessions_read(&t->luo), 0);
	KUNIT_EXPECT_EQ(test, t->luo.count[LUO_INCOMING].sessions, 4);
}

static void session_has_its_own_name_if_reboot_is_called_off(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h;
	struct liveupdate_session *s;
	const char *before;

	luo_test_create(t, "s");
	luo_test_freeze_and_jump(t);
	h = luo_test_handler(t, "h");
	s = luo_test_create(t, "s");
	luo_test_preserve_new(t, s, h, 1);
	before = luo_test_state(t);
	luo_test_fail_step(t, 1, -EAGAIN);
	KUNIT_EXPECT_EQ(test, luo_freeze(&t->luo, true), -EAGAIN);
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);

	luo_session_close(s);
	luo_test_freeze_and_jump(t);
	luo_test_retrieve(t, "s");
}

/* ---- an instance ---- */

static void instance_without_a_root_page_does_not_start(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	const struct luo_memory *memory = t->luo.memory;
	struct luo *luo = kunit_kzalloc(test, sizeof(*luo), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, luo);
	luo_test_fail_step(t, 1, -ENOMEM);
	KUNIT_EXPECT_EQ(test, luo_init(luo, memory, NULL), -ENOMEM);
}

static struct kunit_case luo_session_cases[] = {
	KUNIT_CASE(session_is_handed_over_when_it_is_created),
	KUNIT_CASE(name_is_used_once_among_outgoing_sessions),
	KUNIT_CASE(name_may_be_used_once_in_each_direction),
	KUNIT_CASE(create_that_fails_at_any_step_changes_nothing),
	KUNIT_CASE(create_that_lacks_memory_changes_nothing),
	KUNIT_CASE_PARAM(state_changes_as_it_may_and_no_other_way, transition_gen_params),
	KUNIT_CASE(unknown_name_is_told),
	KUNIT_CASE(close_finishes_what_was_retrieved),
	KUNIT_CASE(close_that_can_not_finish_keeps_the_session),
	KUNIT_CASE(session_that_is_kept_loses_nothing),
	KUNIT_CASE(kept_session_that_is_dropped_releases_its_files),
	KUNIT_CASE(last_session_that_is_finished_ends_the_past),
	KUNIT_CASE(sessions_are_listed_once_and_oldest_first),
	KUNIT_CASE(root_says_how_many_live_updates_there_were),
	KUNIT_CASE(sessions_nobody_reads_are_handed_over_as_they_came),
	KUNIT_CASE(sessions_nobody_claims_are_handed_over_with_new_ones),
	KUNIT_CASE(thousand_sessions_come_back),
	KUNIT_CASE(incoming_session_is_renamed_if_its_name_is_taken),
	KUNIT_CASE_PARAM(name_is_known_after_a_change, was_gen_params),
	KUNIT_CASE(long_names_are_cut_and_stay_different),
	KUNIT_CASE(session_has_its_own_name_if_reboot_is_called_off),
	KUNIT_CASE(instance_without_a_root_page_does_not_start),
	{}
};

static struct kunit_suite luo_session_suite = {
	.name = "luo_session",
	.init = luo_test_init,
	.exit = luo_test_exit,
	.test_cases = luo_session_cases,
};
kunit_test_suite(luo_session_suite);
