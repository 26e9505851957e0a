// SPDX-License-Identifier: GPL-2.0-only
/*
 * Records damaged at random, a seed for each instance: whatever they say, nothing
 * is freed twice or leaks, and sessions that were not damaged are whole.
 *
 * A seed that fails is named; luo_hostile_kunit.first=SEED and
 * luo_hostile_kunit.seeds=1 on the kernel's command line run it by itself.
 */

#include <kunit/test.h>
#include <linux/cleanup.h>
#include <linux/file.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/prandom.h>

#include "luo_test.h"

static unsigned int first;
module_param(first, uint, 0444);
MODULE_PARM_DESC(first, "First seed");

static unsigned int seeds = 300;
module_param(seeds, uint, 0444);
MODULE_PARM_DESC(seeds, "Number of seeds");

/* Words of a page that may be in use. */
#define WORDS		64
#define SESSIONS	4
#define WHOLE		"whole"

struct hostile {
	struct luo_test *t;
	struct rnd_state dice;
	struct luo_test_handler *h, *plain;
	/* The root, the list of sessions, and what nothing writes to: files of WHOLE. */
	u64 root, shared, whole;
	/* The list of sessions, or the record of WHOLE in it, is not what it was. */
	bool whole_may_be_lost;
};

static unsigned int seed_now;
static struct hostile *hostile_now;

static u32 pick(struct hostile *w, u32 sides)
{
	return prandom_u32_state(&w->dice) % sides;
}

static u64 roll(struct hostile *w)
{
	return (u64)prandom_u32_state(&w->dice) << 32 | prandom_u32_state(&w->dice);
}

/* ---- what is handed over ---- */

static void fill_session(struct hostile *w, const char *name)
{
	struct liveupdate_session *s = luo_test_create(w->t, name);
	u64 token, files = pick(w, 4);

	for (token = 1; token <= files; token++)
		luo_test_preserve_new(w->t, s, pick(w, 2) ? w->h : w->plain, token);
}

static void hand_over(struct hostile *w)
{
	struct liveupdate_session *whole;
	struct luo_test *t = w->t;
	char name[8];
	int i;

	w->h = luo_test_handler(t, "h");
	luo_test_flb(t, w->h, "f");
	w->plain = luo_test_handler(t, "plain");
	for (i = 0; i < SESSIONS / 2; i++) {
		snprintf(name, sizeof(name), "%d", i);
		fill_session(w, name);
	}
	whole = luo_test_create(t, WHOLE);
	luo_test_preserve_new(t, whole, w->plain, 1);
	for (; i < SESSIONS; i++) {
		snprintf(name, sizeof(name), "%d", i);
		fill_session(w, name);
	}
	w->root = virt_to_phys(t->luo.root);
	w->shared = t->luo.root->sessions;
	w->whole = luo_chain_first(&whole->files.chain);
	KUNIT_ASSERT_EQ(t->test, luo_freeze(&t->luo, true), 0);
}

/* ---- damage ---- */

static u64 *pick_page(struct hostile *w)
{
	unsigned long index;
	void *page, *found = NULL;
	u32 n = 0;

	xa_for_each(&w->t->pages, index, page) {
		if (index != w->whole >> PAGE_SHIFT && !pick(w, ++n))
			found = page;
	}
	return found;
}

static u64 wrong_word(struct hostile *w, u64 was)
{
	switch (pick(w, 10)) {
	case 0:
		return 0;
	case 1:
		return U64_MAX;
	case 2:
		return roll(w);
	case 3:
		return was + 1;
	case 4:
		return was - 1;
	case 5:
		return roll(w) >> pick(w, 64);
	case 6:
		return virt_to_phys(pick_page(w));
	case 7:
		return pick_page(w)[pick(w, WORDS)];
	case 8:
		return w->whole;
	default:
		return was ^ BIT_ULL(pick(w, 64));
	}
}

/* The words of the root up to the list; of that, how many there are; and WHOLE. */
static bool whole_needs(const struct hostile *w, u64 page, u32 word)
{
	const u32 record = sizeof(struct luo_session_ser) / sizeof(u64);

	if (page == w->root)
		return word < 3;
	if (page != w->shared || !word)
		return false;
	return word == 1 || (word - 2) / record == SESSIONS / 2;
}

static void damage_word(struct hostile *w)
{
	u64 *page = pick_page(w), now;
	u32 word = pick(w, WORDS);
	u64 whole = 0;

	now = wrong_word(w, page[word]);
	memcpy(&whole, WHOLE, strlen(WHOLE));
	/* Who stands first in the list has a name that comes twice. */
	if (whole_needs(w, virt_to_phys(page), word) || now == whole)
		w->whole_may_be_lost = true;
	page[word] = now;
}

static void damage_some(struct luo_test *t)
{
	u32 n;

	for (n = 1 + pick(hostile_now, 3); n; n--)
		damage_word(hostile_now);
	t->between = NULL;
}

/* ---- use ---- */

static void use_files(struct liveupdate_session *s)
{
	struct luo_file *f;
	struct file *file;
	u64 seq = 0;

	guard(mutex)(&s->lock);
	while ((f = luo_file_next(&s->files, seq))) {
		seq = f->seq + 1;
		if (!luo_file_retrieve(s, f->token, &file))
			fput(file);
	}
}

static int end_session(struct liveupdate_session *s)
{
	u64 left;

	guard(mutex)(&s->lock);
	return luo_session_finish(s, NULL) == -ENODEV ? luo_session_finish(s, &left) : 0;
}

static void use_session(struct hostile *w, const char *name, bool end)
{
	struct liveupdate_session *s = luo_session_retrieve(&w->t->luo, name);

	if (IS_ERR(s))
		return;
	if (pick(w, 4))
		use_files(s);
	if (!end && !pick(w, 2)) {
		luo_session_give_back(s);
		return;
	}
	KUNIT_EXPECT_EQ(w->t->test, end_session(s), 0);
	luo_session_close(s);
}

static void use_sessions(struct hostile *w, bool end)
{
	struct liveupdate_session *s;
	u64 seq = 0;

	luo_sessions_read(&w->t->luo);
	while ((s = luo_session_next(&w->t->luo, seq))) {
		char name[LUO_SESSION_NAME_LENGTH];

		seq = s->seq + 1;
		strscpy(name, s->name);
		luo_session_put(s);
		if (strcmp(name, WHOLE))
			use_session(w, name, end);
	}
}

static void check_whole(struct hostile *w)
{
	struct liveupdate_session *s = luo_session_retrieve(&w->t->luo, WHOLE);

	if (w->whole_may_be_lost && IS_ERR(s))
		return;
	KUNIT_ASSERT_NOT_ERR_OR_NULL(w->t->test, s);
	if (!w->whole_may_be_lost)
		KUNIT_EXPECT_EQ(w->t->test, luo_test_retrieve_file(s, 1), 0);
	KUNIT_EXPECT_EQ(w->t->test, end_session(s), 0);
	luo_session_close(s);
}

static void register_handlers(struct hostile *w)
{
	struct luo_test *t = w->t;

	if (pick(w, 4)) {
		KUNIT_ASSERT_EQ(t->test, luo_handler_register(&t->luo, &w->h->fh), 0);
		luo_test_flb(t, w->h, "f");
	}
	KUNIT_ASSERT_EQ(t->test, luo_handler_register(&t->luo, &w->plain->fh), 0);
}

static void run_seed(struct luo_test *t, unsigned int seed)
{
	struct hostile w = { .t = t };

	prandom_seed_state(&w.dice, seed);
	hand_over(&w);
	hostile_now = &w;
	t->between = damage_some;
	luo_test_jump(t);
	register_handlers(&w);
	use_sessions(&w, false);
	if (pick(&w, 2))
		check_whole(&w);

	/* What is left goes on, if it can. */
	if (!luo_freeze(&t->luo, true)) {
		luo_test_jump(t);
		register_handlers(&w);
	}
	use_sessions(&w, true);
}

static void damage_at_random_is_contained(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);

	t->hostile = true;
	for (seed_now = first; seed_now < first + seeds; seed_now++) {
		run_seed(t, seed_now);
		luo_test_renew(t);
		if (READ_ONCE(test->status) == KUNIT_FAILURE)
			return;
	}
}

static void hostile_suite_exit(struct kunit *test)
{
	if (READ_ONCE(test->status) == KUNIT_FAILURE)
		kunit_err(test, "seed %u", seed_now);
	luo_test_exit(test);
}

static struct kunit_case luo_hostile_cases[] = {
	KUNIT_CASE_SLOW(damage_at_random_is_contained),
	{}
};

static struct kunit_suite luo_hostile_suite = {
	.name = "luo_hostile",
	.init = luo_test_init,
	.exit = hostile_suite_exit,
	.test_cases = luo_hostile_cases,
};
kunit_test_suite(luo_hostile_suite);
