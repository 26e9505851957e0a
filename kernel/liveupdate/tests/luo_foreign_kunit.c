// SPDX-License-Identifier: GPL-2.0-only
/*
 * Records that lead to memory of others, and damage that two find at the same time.
 */

#include <kunit/test.h>
#include <linux/io.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/ratelimit_types.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/string.h>

#include "luo_test.h"

/* ---- pages of others ---- */

/* A page of zeros that is somebody else's stands where records should. */
struct zeros_row {
	const char *name;
	void (*damage)(struct luo_test *t, struct luo_session_ser *records, u64 zeros);
	int err;
};

static void zeros_are_the_files(struct luo_test *t, struct luo_session_ser *records,
				u64 zeros)
{
	records[0].files = zeros;
}

static void zeros_are_no_files(struct luo_test *t, struct luo_session_ser *records,
			       u64 zeros)
{
	records[0].files = zeros;
	records[0].count = 0;
}

static void zeros_end_the_files(struct luo_test *t, struct luo_session_ser *records,
				u64 zeros)
{
	luo_test_files_of(&records[0])->next = zeros;
}

static void zeros_end_the_sessions(struct luo_test *t, struct luo_session_ser *records,
				   u64 zeros)
{
	struct luo_block_ser *block = phys_to_virt(t->luo.root->sessions);

	block->next = zeros;
}

static const struct zeros_row zeros_rows[] = {
	{ "as files", zeros_are_the_files, -EBADMSG },
	{ "as no files", zeros_are_no_files, 0 },
	{ "behind the files", zeros_end_the_files, -EBADMSG },
	{ "behind the sessions", zeros_end_the_sessions, 0 },
};
KUNIT_ARRAY_PARAM_DESC(zeros, zeros_rows, name);

static void page_of_zeros_is_left_to_its_owner(struct kunit *test)
{
	const struct zeros_row *row = test->param_value;
	struct luo_test *t = luo_test_of(test);
	struct luo_session_ser *records = luo_test_hand_over_four(t);
	u64 pa = virt_to_phys(luo_test_previous_page(t));
	struct liveupdate_session *s;

	row->damage(t, records, pa);
	s = luo_session_retrieve(&t->luo, "a");
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(s), row->err);
	if (!IS_ERR(s))
		luo_session_close(s);
	luo_session_close(luo_test_retrieve(t, "b"));
	KUNIT_EXPECT_EQ(test, t->luo.count[LUO_INCOMING].sessions, 2);
	KUNIT_EXPECT_TRUE(test, luo_test_page_is_previous(t, pa));
	xa_destroy(&t->blobs);
}

/* Mainline leaves it if one session more was to be made than a block holds. */
static void list_of_sessions_may_end_with_an_empty_block(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_session_ser *records = luo_test_hand_over_four(t);
	struct luo_block_ser *block = phys_to_virt(t->luo.root->sessions);
	u64 pa = virt_to_phys(luo_test_previous_page(t));

	zeros_end_the_sessions(t, records, pa);
	KUNIT_EXPECT_PTR_EQ(test, luo_session_lock_incoming(&t->luo, "nobody"),
			    ERR_PTR(-ENOENT));
	KUNIT_EXPECT_EQ(test, t->luo.count[LUO_INCOMING].sessions, 4);
	KUNIT_EXPECT_EQ(test, block->next, 0);
	KUNIT_EXPECT_TRUE(test, luo_test_page_is_previous(t, pa));
	xa_destroy(&t->blobs);
}

/* Chains of equal length, so that nothing but the note says whose they are. */
struct theft_row {
	const char *name;
	void (*damage)(struct luo_test *t, struct luo_session_ser *records);
};

static void files_are_of_b(struct luo_test *t, struct luo_session_ser *records)
{
	records[0].files = records[1].files;
}

static void files_go_on_at_b(struct luo_test *t, struct luo_session_ser *records)
{
	luo_test_files_of(&records[0])->next = records[1].files;
	records[0].count = 2;
}

static const struct theft_row theft_rows[] = {
	{ "instead of its own", files_are_of_b },
	{ "behind its own", files_go_on_at_b },
};
KUNIT_ARRAY_PARAM_DESC(theft, theft_rows, name);

static void files_of_another_session_are_left_to_it(struct kunit *test)
{
	const struct theft_row *row = test->param_value;
	struct luo_test *t = luo_test_of(test);
	struct luo_session_ser *records = luo_test_hand_over_four(t);
	struct liveupdate_session *b;

	row->damage(t, records);
	KUNIT_EXPECT_PTR_EQ(test, luo_session_retrieve(&t->luo, "a"), ERR_PTR(-EBADMSG));
	b = luo_test_retrieve(t, "b");
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(b, 1), 0);
	luo_session_close(b);
	xa_destroy(&t->blobs);
}

static struct luo_note_ser *note_of(const struct luo_session_ser *record)
{
	return (void *)luo_test_files_of(record) + PAGE_SIZE - sizeof(struct luo_note_ser);
}

/* What stands in the note is part of the format. */
static void files_are_noted_for_their_session(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_session_ser *records = luo_test_hand_over_four(t);

	KUNIT_EXPECT_EQ(test, note_of(&records[0])->magic, LUO_NOTE_MAGIC);
	KUNIT_EXPECT_EQ(test, note_of(&records[0])->owner, 0xaf63dc4c8601ec8c);
	xa_destroy(&t->blobs);
}

static void files_of_other_kernels_are_noted_for_nobody(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_session_ser *records = luo_test_hand_over_four(t);
	struct liveupdate_session *a;

	memset(note_of(&records[0]), 0, sizeof(struct luo_note_ser));
	a = luo_test_retrieve(t, "a");
	KUNIT_EXPECT_EQ(test, luo_test_retrieve_file(a, 1), 0);
	luo_session_close(a);
	xa_destroy(&t->blobs);
}

/* Their second word is a number of records that there may be. */
struct page_row {
	const char *name;
	u8 fill;
	u64 count;
};

static const struct page_row page_rows[] = {
	{ "of zeros", 0, 1 },
	{ "of noise", 0xa5, 50 },
};
KUNIT_ARRAY_PARAM_DESC(page, page_rows, name);

static struct luo_block_ser *foreign_page(struct luo_test *t, const struct page_row *row)
{
	struct luo_block_ser *page = luo_test_previous_page(t);

	memset(page, row->fill, PAGE_SIZE);
	page->next = 0;
	page->count = row->count;
	return page;
}

static void expect_list_to_end_before(struct luo_test *t, u64 pa, u64 sessions)
{
	struct luo_block_ser *first = phys_to_virt(t->luo.root->sessions);

	first->next = pa;
	KUNIT_ASSERT_EQ(t->test, luo_sessions_read(&t->luo), 0);
	KUNIT_EXPECT_TRUE(t->test, t->luo.sessions_lost);
	KUNIT_EXPECT_EQ(t->test, t->luo.count[LUO_INCOMING].sessions, sessions);
	KUNIT_EXPECT_EQ(t->test, first->next, 0);
	KUNIT_EXPECT_TRUE(t->test, luo_test_page_is_previous(t, pa));
}

static void page_without_names_lists_no_sessions(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);

	luo_test_hand_over_four(t);
	expect_list_to_end_before(t, virt_to_phys(foreign_page(t, test->param_value)), 4);
	xa_destroy(&t->blobs);
}

/* Whose first record begins with a name, too. */
static void records_of_files_list_no_sessions(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_session_ser *records = luo_test_hand_over_four(t);

	expect_list_to_end_before(t, records[1].files, 4);
	luo_session_close(luo_test_retrieve(t, "b"));
	xa_destroy(&t->blobs);
}

static void page_without_names_is_none_of_flbs(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f = luo_test_flb_new(t, "f");
	struct luo_block_ser *page;
	void *obj;

	luo_test_hand_over_four(t);
	page = foreign_page(t, test->param_value);
	page->next = 1;
	t->luo.root->flb = virt_to_phys(page);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), -EBADMSG);
	KUNIT_EXPECT_TRUE(test, luo_test_page_is_previous(t, virt_to_phys(page)));
	xa_destroy(&t->blobs);
}

/* It begins as a block does, and with a name. */
static void page_of_flbs_lists_no_sessions(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "i");
	struct luo_test_flb *f = luo_test_flb(t, h, "f");
	void *obj;

	luo_test_preserve_new(t, luo_test_create(t, "i"), h, 1);
	luo_test_hand_over_four(t);
	expect_list_to_end_before(t, t->luo.root->flb, 5);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), 0);
	luo_flb_put_incoming(&t->luo, &f->flb);
	xa_destroy(&t->blobs);
}

/* Nothing is lost with it. */
static void page_without_records_is_none_of_flbs(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_flb *f = luo_test_flb_new(t, "f");
	const struct page_row row = { .fill = 0xa5 };
	struct luo_block_ser *page;
	void *obj;

	luo_test_hand_over_four(t);
	page = foreign_page(t, &row);
	page->next = 1;
	t->luo.root->flb = virt_to_phys(page);
	KUNIT_EXPECT_EQ(test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), -ENOENT);
	KUNIT_EXPECT_TRUE(test, luo_test_page_is_previous(t, virt_to_phys(page)));
	KUNIT_EXPECT_EQ(test, t->luo.root->flb, 0);
	xa_destroy(&t->blobs);
}

/* As if another session, whose records lead there too, had taken the second. */
static void records_taken_before_the_damage_was_found_stay(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_session_ser *records = luo_test_hand_over_four(t);
	struct luo_block_ser *more = luo_test_previous_page(t);
	u64 pa = records[1].files;
	unsigned int pages;

	more->count = 1;
	luo_test_files_of(&records[1])->next = virt_to_phys(more);
	records[1].count = 2;
	memset(note_of(&records[1]), 0, sizeof(struct luo_note_ser));
	KUNIT_ASSERT_EQ(test, luo_sessions_read(&t->luo), 0);
	pages = luo_test_pages(t);
	luo_test_fail_step(t, 2, -ENOMEM);
	KUNIT_EXPECT_PTR_EQ(test, luo_session_retrieve(&t->luo, "b"), ERR_PTR(-EBADMSG));
	KUNIT_ASSERT_EQ(test, luo_test_pages(t), pages + 1);
	t->luo.memory->free(phys_to_virt(pa));
	xa_destroy(&t->blobs);
}

/* ---- the log ---- */

#define MANY		50
#define BURST		DEFAULT_RATELIMIT_BURST

static void damaged_records_do_not_flood_the_log(struct kunit *test)
{
	const char *text = "session flood: token";
	unsigned int before = luo_test_kernel_lines(test, text), lines, may;
	struct luo_test *t = luo_test_of(test);
	unsigned long begin = jiffies;
	struct luo_file_ser *file;
	struct luo_session_ser *record;
	unsigned int i;

	luo_test_hand_over_again(t, luo_test_handler(t, "h"), MANY);
	record = (void *)((struct luo_block_ser *)phys_to_virt(t->luo.root->sessions) + 1);
	strscpy_pad(record->name, "flood");
	memset(note_of(record), 0, sizeof(struct luo_note_ser));
	file = (void *)(luo_test_files_of(record) + 1);
	for (i = 0; i < MANY; i++)
		file[i].handler[0] = 0;

	/* So that the first line is one at least. */
	schedule_timeout_uninterruptible(DEFAULT_RATELIMIT_INTERVAL + 1);
	luo_session_close(luo_test_retrieve(t, "flood"));
	lines = luo_test_kernel_lines(test, text) - before;
	may = BURST * (1 + (jiffies - begin) / DEFAULT_RATELIMIT_INTERVAL);
	KUNIT_EXPECT_GE(test, lines, 1);
	KUNIT_EXPECT_LE(test, lines, min(may, MANY - 1));
	xa_destroy(&t->blobs);
}

/* ---- two at the same time ---- */

/* Who retrieves the session, or asks for it in a driver. */
struct late {
	struct luo *luo;
	unsigned int fail_alloc;
	struct completion done;
	struct liveupdate_session *session;
};

static int retrieve_late(void *arg)
{
	struct late *owner = arg;

	allow_kernel_signal(SIGKILL);
	luo_test_fail_alloc(owner->fail_alloc);
	owner->session = luo_session_retrieve(owner->luo, "b");
	luo_test_fail_alloc(0);
	complete_all(&owner->done);
	return 0;
}

static int lock_late(void *arg)
{
	struct late *driver = arg;

	allow_kernel_signal(SIGKILL);
	driver->session = luo_session_lock_incoming(driver->luo, "b");
	complete_all(&driver->done);
	return 0;
}

/* Session "b", with a reference. */
static struct liveupdate_session *find_b(struct luo_test *t)
{
	struct liveupdate_session *s;

	KUNIT_ASSERT_EQ(t->test, luo_sessions_read(&t->luo), 0);
	for (s = luo_session_next(&t->luo, 0); strcmp(s->name, "b");
	     s = luo_session_next(&t->luo, s->seq + 1))
		luo_session_put(s);
	return s;
}

/* Until it sleeps; all on one CPU, where who is more urgent runs at once. */
static struct task_struct *run_until_it_waits(struct kunit *test,
					      int (*run)(void *arg),
					      struct late *arg, bool urgent)
{
	struct task_struct *task = kthread_create_on_cpu(run, arg, 0, "luo_late/%u");

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	arg->luo = &luo_test_of(test)->luo;
	init_completion(&arg->done);
	if (urgent)
		sched_set_fifo(task);
	wake_up_process(task);
	do {
		schedule_timeout_uninterruptible(2);
	} while (READ_ONCE(task->__state) != TASK_KILLABLE);
	return task;
}

/* A driver gets the lock at the moment that the owner, who lacks memory, drops it. */
static void owner_without_memory_hears_of_damage_found_meanwhile(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct late owner = { .fail_alloc = 1 }, driver = {};
	struct liveupdate_session *s;

	luo_test_need_fail_alloc(t);
	luo_test_hand_over_four(t);
	s = find_b(t);
	mutex_lock(&s->lock);
	run_until_it_waits(test, retrieve_late, &owner, false);
	run_until_it_waits(test, lock_late, &driver, true);
	luo_test_fail_step(t, 1, -ENOMEM);
	mutex_unlock(&s->lock);
	wait_for_completion(&owner.done);
	wait_for_completion(&driver.done);
	KUNIT_EXPECT_PTR_EQ(test, owner.session, ERR_PTR(-ENOMEM));
	KUNIT_EXPECT_PTR_EQ(test, driver.session, ERR_PTR(-EBADMSG));
	KUNIT_EXPECT_PTR_EQ(test, luo_session_retrieve(&t->luo, "b"), ERR_PTR(-EBADMSG));
	luo_session_put(s);
	xa_destroy(&t->blobs);
}

/* Whoever has the session may do so for as long as a device likes. */
static void who_waits_for_a_session_can_be_killed(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct late owner = {}, driver = {};
	struct liveupdate_session *s;

	luo_test_hand_over_four(t);
	s = find_b(t);
	mutex_lock(&s->lock);
	send_sig(SIGKILL, run_until_it_waits(test, retrieve_late, &owner, false), 1);
	wait_for_completion_timeout(&owner.done, HZ);
	send_sig(SIGKILL, run_until_it_waits(test, lock_late, &driver, false), 1);
	wait_for_completion_timeout(&driver.done, HZ);
	mutex_unlock(&s->lock);
	wait_for_completion(&owner.done);
	wait_for_completion(&driver.done);
	KUNIT_EXPECT_PTR_EQ(test, owner.session, ERR_PTR(-EINTR));
	KUNIT_EXPECT_PTR_EQ(test, driver.session, ERR_PTR(-EINTR));
	KUNIT_EXPECT_EQ(test, s->state, LUO_SESSION_INCOMING);
	KUNIT_EXPECT_EQ(test, kref_read(&s->kref), 2);
	luo_session_put(s);
	xa_destroy(&t->blobs);
}

static struct kunit_case luo_foreign_cases[] = {
	KUNIT_CASE_PARAM(page_of_zeros_is_left_to_its_owner, zeros_gen_params),
	KUNIT_CASE(list_of_sessions_may_end_with_an_empty_block),
	KUNIT_CASE_PARAM(files_of_another_session_are_left_to_it, theft_gen_params),
	KUNIT_CASE(files_are_noted_for_their_session),
	KUNIT_CASE(files_of_other_kernels_are_noted_for_nobody),
	KUNIT_CASE_PARAM(page_without_names_lists_no_sessions, page_gen_params),
	KUNIT_CASE(records_of_files_list_no_sessions),
	KUNIT_CASE(page_of_flbs_lists_no_sessions),
	KUNIT_CASE_PARAM(page_without_names_is_none_of_flbs, page_gen_params),
	KUNIT_CASE(page_without_records_is_none_of_flbs),
	KUNIT_CASE(records_taken_before_the_damage_was_found_stay),
	KUNIT_CASE_SLOW(damaged_records_do_not_flood_the_log),
	KUNIT_CASE(owner_without_memory_hears_of_damage_found_meanwhile),
	KUNIT_CASE(who_waits_for_a_session_can_be_killed),
	{}
};

static struct kunit_suite luo_foreign_suite = {
	.name = "luo_foreign",
	.init = luo_test_init,
	.exit = luo_test_exit,
	.test_cases = luo_foreign_cases,
};
kunit_test_suite(luo_foreign_suite);
