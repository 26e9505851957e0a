// SPDX-License-Identifier: GPL-2.0-only
/* Records of sessions that are damaged, or can not be read yet. */

#include <kunit/test.h>
#include <linux/io.h>
#include <linux/kthread.h>

#include "luo_test.h"

/* ---- damaged records ---- */

#define DAMAGED_SESSIONS	4

struct damage_row {
	const char *name;
	void (*damage)(struct luo_test *t, struct luo_session_ser *records);
	int err[DAMAGED_SESSIONS];
};

static void name_is_empty(struct luo_test *t, struct luo_session_ser *records)
{
	memset(records[0].name, 0, sizeof(records[0].name));
}

static void name_does_not_end(struct luo_test *t, struct luo_session_ser *records)
{
	memset(records[3].name, 'd', sizeof(records[3].name));
}

static void name_is_used_twice(struct luo_test *t, struct luo_session_ser *records)
{
	strscpy(records[2].name, "b");
}

static void no_name_is_good(struct luo_test *t, struct luo_session_ser *records)
{
	unsigned int i;

	for (i = 0; i < DAMAGED_SESSIONS; i++)
		memset(records[i].name, 0xff, sizeof(records[i].name));
}

static void files_are_not_aligned(struct luo_test *t, struct luo_session_ser *records)
{
	records[1].files++;
}

static void files_are_nowhere(struct luo_test *t, struct luo_session_ser *records)
{
	records[1].files = U64_MAX & PAGE_MASK;
}

static void files_are_missing(struct luo_test *t, struct luo_session_ser *records)
{
	records[1].files = 0;
}

static void files_are_too_many(struct luo_test *t, struct luo_session_ser *records)
{
	records[1].count = 0;
}

static void files_are_too_few(struct luo_test *t, struct luo_session_ser *records)
{
	records[1].count = U64_MAX;
}

static void files_go_round(struct luo_test *t, struct luo_session_ser *records)
{
	luo_test_files_of(&records[1])->next = records[1].files;
}

static void files_lead_to_the_root(struct luo_test *t, struct luo_session_ser *records)
{
	luo_test_files_of(&records[1])->next = virt_to_phys(t->luo.root);
}

static void files_are_the_sessions(struct luo_test *t, struct luo_session_ser *records)
{
	records[1].files = t->luo.root->sessions;
}

static void files_are_those_of_another(struct luo_test *t,
				       struct luo_session_ser *records)
{
	records[1].files = records[0].files;
}

static void everything_is_noise(struct luo_test *t, struct luo_session_ser *records)
{
	struct luo_block_ser *files = luo_test_files_of(&records[1]);

	memset(files, 0xa5, PAGE_SIZE);
}

static const struct damage_row damage_rows[] = {
	{ "name is empty", name_is_empty, { -ENOENT, 0, 0, 0 } },
	{ "name does not end", name_does_not_end, { 0, 0, 0, -ENOENT } },
	{ "name is used twice", name_is_used_twice, { 0, 0, -ENOENT, 0 } },
	{ "no name is good", no_name_is_good,
	  { -ENOENT, -ENOENT, -ENOENT, -ENOENT } },
	{ "files are not aligned", files_are_not_aligned, { 0, -EBADMSG, 0, 0 } },
	{ "files are nowhere", files_are_nowhere, { 0, -EBADMSG, 0, 0 } },
	{ "files are missing", files_are_missing, { 0, -EBADMSG, 0, 0 } },
	{ "files are too many", files_are_too_many, { 0, -EBADMSG, 0, 0 } },
	{ "files are too few", files_are_too_few, { 0, -EBADMSG, 0, 0 } },
	{ "files go round", files_go_round, { 0, -EBADMSG, 0, 0 } },
	{ "files lead to the root", files_lead_to_the_root, { 0, -EBADMSG, 0, 0 } },
	{ "files are the sessions", files_are_the_sessions, { 0, -EBADMSG, 0, 0 } },
	{ "files are those of another session", files_are_those_of_another,
	  { 0, -EBADMSG, 0, 0 } },
	{ "everything is noise", everything_is_noise, { 0, -EBADMSG, 0, 0 } },
};
KUNIT_ARRAY_PARAM_DESC(damage, damage_rows, name);

static void damaged_session_is_lost_alone(struct kunit *test)
{
	const struct damage_row *row = test->param_value;
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s;
	char name[] = "a";
	unsigned int i;

	row->damage(t, luo_test_hand_over_four(t));
	for (i = 0; i < DAMAGED_SESSIONS; i++, name[0]++) {
		s = luo_session_retrieve(&t->luo, name);
		KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(s), row->err[i]);
		if (IS_ERR(s))
			continue;
		KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(s, 1), 0);
		luo_session_close(s);
	}
	luo_test_expect_handed_over(t, "");
	KUNIT_EXPECT_EQ(test, t->luo.count[LUO_INCOMING].sessions, 0);
	KUNIT_EXPECT_EQ(test, t->luo.count[LUO_INCOMING].files, 0);
	/* What the lost ones preserved can't be known: it stays. */
	xa_destroy(&t->blobs);
}

static void damaged_session_is_not_handed_over(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);

	files_are_nowhere(t, luo_test_hand_over_four(t));
	KUNIT_EXPECT_PTR_EQ(test, luo_session_retrieve(&t->luo, "b"), ERR_PTR(-EBADMSG));
	luo_test_freeze_and_jump(t);
	luo_test_expect_handed_over(t, "a{1:h} d{1:h} c{1:h}");
}

static void driver_and_owner_agree_about_damage(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);

	files_go_round(t, luo_test_hand_over_four(t));
	KUNIT_EXPECT_EQ(test, luo_test_lock(t, "b"), -EBADMSG);
	KUNIT_EXPECT_EQ(test, luo_test_lock(t, "b"), -EBADMSG);
	KUNIT_EXPECT_PTR_EQ(test, luo_session_retrieve(&t->luo, "b"), ERR_PTR(-EBADMSG));
}

static void nothing_is_kept_for_sessions_that_are_all_lost(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);

	no_name_is_good(t, luo_test_hand_over_four(t));
	KUNIT_EXPECT_EQ(test, t->holders, 1);
	KUNIT_EXPECT_EQ(test, luo_sessions_read(&t->luo), 0);
	KUNIT_EXPECT_EQ(test, t->holders, 0);
	xa_destroy(&t->blobs);
}

/* What others preserved is theirs to hold. */
static void nothing_is_kept_without_sessions(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);

	luo_test_freeze_and_jump(t);
	KUNIT_EXPECT_EQ(test, t->holders, 0);
	KUNIT_EXPECT_EQ(test, luo_sessions_read(&t->luo), 0);
	luo_test_create(t, "new");
	KUNIT_EXPECT_EQ(test, t->holders, 0);
}

static void flbs_without_sessions_are_kept_until_that_is_known(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_root_ser *root = luo_test_previous_root(t);

	root->flb = virt_to_phys(luo_test_previous_page(t));
	luo_test_restart(t, root);
	KUNIT_EXPECT_EQ(test, t->holders, 1);
	KUNIT_EXPECT_EQ(test, luo_sessions_read(&t->luo), 0);
	KUNIT_EXPECT_EQ(test, t->holders, 0);
}

/* The owner has the session, and waits for the driver to look at its files. */
struct late_owner {
	struct luo *luo;
	struct completion done;
	struct liveupdate_session *session;
};

static int retrieve_late(void *arg)
{
	struct late_owner *owner = arg;

	owner->session = luo_session_retrieve(owner->luo, "b");
	complete(&owner->done);
	return 0;
}

static void owner_hears_of_damage_that_a_driver_found_first(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct late_owner owner = { .luo = &t->luo };
	struct liveupdate_session *s;

	files_go_round(t, luo_test_hand_over_four(t));
	KUNIT_ASSERT_EQ(test, luo_sessions_read(&t->luo), 0);
	for (s = luo_session_next(&t->luo, 0); strcmp(s->name, "b");
	     s = luo_session_next(&t->luo, s->seq + 1))
		luo_session_put(s);

	init_completion(&owner.done);
	mutex_lock(&s->lock);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, kthread_run(retrieve_late, &owner, "luo_owner"));
	while (READ_ONCE(s->state) != LUO_SESSION_RETRIEVED)
		schedule_timeout_uninterruptible(1);
	KUNIT_EXPECT_EQ(test, luo_session_read_files(s), -EBADMSG);
	mutex_unlock(&s->lock);
	wait_for_completion(&owner.done);
	KUNIT_EXPECT_PTR_EQ(test, owner.session, ERR_PTR(-EBADMSG));
	luo_session_put(s);
	xa_destroy(&t->blobs);
}

/* Blocks of the previous kernel, each with its sessions' names. */
struct blocks_row {
	const char *name;
	const char *blocks[4];
	const char *kept;
};

static const struct blocks_row blocks_rows[] = {
	{ "no block is full", { "a", "b", "c" }, "a{} b{} c{}" },
	{ "a block is empty and ends the list", { "a", "", "c" }, "a{}" },
	{ "the only block is empty", { "" }, "" },
	{ "all blocks are empty", { "", "", "" }, "" },
	{ "bad name behind an empty block", { "a", "", "?" }, "a{}" },
	{ "bad name alone behind an empty block", { "", "?" }, "" },
	{ "bad names before empty blocks", { "??", "", "" }, "" },
	{ "bad name before a good one", { "?a" }, "a{}" },
	{ "bad name alone before a good one", { "?", "a" }, "" },
	{ "bad names in every block", { "a?", "?b?", "?c" }, "a{} b{} c{}" },
	{ "a block has bad names only and ends the list", { "a", "??", "c" }, "a{}" },
	{ "twins in two blocks", { "ab", "ba" }, "a{} b{}" },
};
KUNIT_ARRAY_PARAM_DESC(blocks, blocks_rows, name);

static u64 previous_sessions(struct luo_test *t, const char * const *names,
			     unsigned int n)
{
	struct luo_block_ser *block = luo_test_previous_page(t);
	struct luo_session_ser *record = (void *)(block + 1);
	const char *c;

	for (c = names[0]; *c; c++, record++)
		record->name[0] = *c == '?' ? 0 : *c;
	block->count = c - names[0];
	block->next = n > 1 && names[1] ? previous_sessions(t, names + 1, n - 1) : 0;
	return virt_to_phys(block);
}

static void sessions_are_read_from_blocks_of_any_fill(struct kunit *test)
{
	const struct blocks_row *row = test->param_value;
	struct luo_test *t = luo_test_of(test);
	struct luo_root_ser *root = luo_test_previous_root(t);

	root->sessions = previous_sessions(t, row->blocks, ARRAY_SIZE(row->blocks));
	luo_test_restart(t, root);
	KUNIT_EXPECT_EQ(test, luo_sessions_read(&t->luo), 0);
	luo_test_expect_handed_over(t, row->kept);
	KUNIT_EXPECT_EQ(test, !t->luo.root->sessions, !*row->kept);
}

static void sessions_before_a_damaged_block_are_kept(struct kunit *test)
{
	static const char * const names[] = { "ab", "cd" };
	struct luo_test *t = luo_test_of(test);
	struct luo_root_ser *root = luo_test_previous_root(t);
	struct luo_block_ser *block;

	root->sessions = previous_sessions(t, names, ARRAY_SIZE(names));
	block = phys_to_virt(root->sessions);
	block = phys_to_virt(block->next);
	block->count = U64_MAX;
	luo_test_restart(t, root);
	KUNIT_EXPECT_EQ(test, luo_sessions_read(&t->luo), 0);
	luo_test_expect_handed_over(t, "a{} b{}");
	luo_test_create(t, "new");
	luo_test_expect_handed_over(t, "a{} b{} new{}");
}

static void root_that_leads_nowhere_leaves_no_sessions(struct kunit *test)
{
	static const u64 addresses[] = { 1, PAGE_SIZE, U64_MAX, U64_MAX & PAGE_MASK };
	struct luo_test *t = luo_test_of(test);
	struct luo_root_ser *root;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(addresses); i++) {
		root = luo_test_previous_root(t);
		root->sessions = addresses[i];
		luo_test_restart(t, root);
		luo_test_create(t, "s");
		luo_test_expect_handed_over(t, "s{}");
	}
}

static void root_may_lead_to_itself(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_root_ser *root = luo_test_previous_root(t);

	root->sessions = virt_to_phys(root);
	root->flb = virt_to_phys(root);
	luo_test_restart(t, root);
	luo_test_create(t, "s");
	KUNIT_EXPECT_PTR_EQ(test, luo_session_retrieve(&t->luo, "x"), ERR_PTR(-ENOENT));
}

static int read_by_create(struct luo_test *t)
{
	struct liveupdate_session *s = luo_session_create(&t->luo, "new");

	if (IS_ERR(s))
		return PTR_ERR(s);
	luo_session_close(s);
	return 0;
}

static int read_by_retrieve(struct luo_test *t)
{
	struct liveupdate_session *s = luo_session_retrieve(&t->luo, "b");

	if (IS_ERR(s))
		return PTR_ERR(s);
	luo_session_give_back(s);
	return 0;
}

static int read_by_lock(struct luo_test *t)
{
	return luo_test_lock(t, "b");
}

struct reader_row {
	const char *name;
	int (*read)(struct luo_test *t);
};

static const struct reader_row reader_rows[] = {
	{ "create", read_by_create },
	{ "retrieve", read_by_retrieve },
	{ "lock", read_by_lock },
};
KUNIT_ARRAY_PARAM_DESC(reader, reader_rows, name);

static void reading_sessions_goes_on_when_there_is_memory_again(struct kunit *test)
{
	static const char * const names[] = { "a?b", "ca", "?d" };
	const struct reader_row *row = test->param_value;
	struct luo_test *t = luo_test_of(test);
	unsigned int nth, failures = 0, unread = 0;
	struct luo_root_ser *root;
	bool done;
	int err;

	luo_test_need_fail_alloc(t);
	for (nth = 1, done = true; done; nth++) {
		root = luo_test_previous_root(t);
		root->sessions = previous_sessions(t, names, ARRAY_SIZE(names));
		luo_test_restart(t, root);
		luo_test_fail_alloc(nth);
		err = row->read(t);
		done = luo_test_fail_alloc_done();
		if (err) {
			failures++;
			unread += !t->luo.sessions_read;
			KUNIT_EXPECT_EQ(test, err, -ENOMEM);
			KUNIT_EXPECT_EQ(test, row->read(t), 0);
		}
		KUNIT_EXPECT_EQ(test, t->luo.count[LUO_INCOMING].sessions, 4);
		luo_test_expect_handed_over(t, "a{} d{} b{} c{}");
	}
	KUNIT_EXPECT_GT(test, failures, 0);
	KUNIT_EXPECT_GT(test, unread, 0);
}

static struct kunit_case luo_session_damage_cases[] = {
	KUNIT_CASE_PARAM(damaged_session_is_lost_alone, damage_gen_params),
	KUNIT_CASE(damaged_session_is_not_handed_over),
	KUNIT_CASE(driver_and_owner_agree_about_damage),
	KUNIT_CASE(owner_hears_of_damage_that_a_driver_found_first),
	KUNIT_CASE(nothing_is_kept_for_sessions_that_are_all_lost),
	KUNIT_CASE(nothing_is_kept_without_sessions),
	KUNIT_CASE(flbs_without_sessions_are_kept_until_that_is_known),
	KUNIT_CASE_PARAM(sessions_are_read_from_blocks_of_any_fill, blocks_gen_params),
	KUNIT_CASE(sessions_before_a_damaged_block_are_kept),
	KUNIT_CASE(root_that_leads_nowhere_leaves_no_sessions),
	KUNIT_CASE(root_may_lead_to_itself),
	KUNIT_CASE_PARAM(reading_sessions_goes_on_when_there_is_memory_again, reader_gen_params),
	{}
};

static struct kunit_suite luo_session_damage_suite = {
	.name = "luo_session_damage",
	.init = luo_test_init,
	.exit = luo_test_exit,
	.test_cases = luo_session_damage_cases,
};
kunit_test_suite(luo_session_damage_suite);
