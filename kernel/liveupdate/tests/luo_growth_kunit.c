// SPDX-License-Identifier: GPL-2.0-only
/* What an update costs in calls of memory and of handlers, as it grows. */

#include <kunit/test.h>
#include <linux/module.h>

#include "luo_test.h"

#define LUO_GROWTH_FACTOR	4
#define LUO_GROWTH_FEW		256
#define LUO_GROWTH_MANY		(LUO_GROWTH_FEW * LUO_GROWTH_FACTOR)

enum luo_growth_phase {
	LUO_GROWTH_PRESERVE,
	LUO_GROWTH_FREEZE,
	LUO_GROWTH_OPEN,
	LUO_GROWTH_RETRIEVE,
	LUO_GROWTH_FINISH,
	LUO_GROWTH_PHASES,
};

static const char * const luo_growth_names[] = {
	"preserve", "freeze", "open", "retrieve", "finish",
};

static unsigned long luo_growth_count(struct luo_test *t)
{
	unsigned long calls = t->calls;

	t->calls = 0;
	return calls;
}

static void luo_growth_of_files(struct luo_test *t, unsigned int n,
				unsigned long calls[LUO_GROWTH_PHASES])
{
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	unsigned int i;

	luo_growth_count(t);
	for (i = 0; i < n; i++)
		luo_test_preserve_new(t, s, h, i);
	calls[LUO_GROWTH_PRESERVE] = luo_growth_count(t);
	KUNIT_ASSERT_EQ(t->test, luo_freeze(&t->luo, true), 0);
	calls[LUO_GROWTH_FREEZE] = luo_growth_count(t);
	luo_test_jump(t);
	KUNIT_ASSERT_EQ(t->test, luo_sessions_read(&t->luo), 0);
	calls[LUO_GROWTH_OPEN] = luo_growth_count(t);

	luo_test_handler(t, "h");
	s = luo_test_retrieve(t, "s");
	for (i = 0; i < n; i++)
		KUNIT_ASSERT_EQ(t->test, luo_test_retrieve_file(s, i), 0);
	calls[LUO_GROWTH_RETRIEVE] = luo_growth_count(t);
	KUNIT_ASSERT_EQ(t->test, luo_test_finish(s), 0);
	calls[LUO_GROWTH_FINISH] = luo_growth_count(t);
	luo_session_close(s);
}

static void luo_growth_of_sessions(struct luo_test *t, unsigned int n,
				   unsigned long calls[LUO_GROWTH_PHASES])
{
	struct liveupdate_session *s;
	char name[16];
	unsigned int i;

	luo_growth_count(t);
	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		luo_test_create(t, name);
	}
	calls[LUO_GROWTH_PRESERVE] = luo_growth_count(t);
	KUNIT_ASSERT_EQ(t->test, luo_freeze(&t->luo, true), 0);
	calls[LUO_GROWTH_FREEZE] = luo_growth_count(t);
	luo_test_jump(t);
	KUNIT_ASSERT_EQ(t->test, luo_sessions_read(&t->luo), 0);
	calls[LUO_GROWTH_OPEN] = luo_growth_count(t);

	calls[LUO_GROWTH_RETRIEVE] = 0;
	calls[LUO_GROWTH_FINISH] = 0;
	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		s = luo_test_retrieve(t, name);
		calls[LUO_GROWTH_RETRIEVE] += luo_growth_count(t);
		KUNIT_ASSERT_EQ(t->test, luo_test_finish(s), 0);
		luo_session_close(s);
		calls[LUO_GROWTH_FINISH] += luo_growth_count(t);
	}
}

/* Does few, then many, and expects of each phase that it grows as they do. */
static void luo_growth_expect_linear(struct luo_test *t,
				     void (*of)(struct luo_test *t, unsigned int n,
						unsigned long calls[LUO_GROWTH_PHASES]),
				     unsigned long few[LUO_GROWTH_PHASES],
				     unsigned long many[LUO_GROWTH_PHASES])
{
	int i;

	of(t, LUO_GROWTH_FEW, few);
	luo_test_restart(t, NULL);
	of(t, LUO_GROWTH_MANY, many);
	/* Rounding up to whole pages of records takes a few more. */
	for (i = 0; i < LUO_GROWTH_PHASES; i++)
		KUNIT_EXPECT_LE_MSG(t->test, many[i], LUO_GROWTH_FACTOR * (few[i] + 1),
				    "%s", luo_growth_names[i]);
}

static void calls_grow_with_the_files(struct kunit *test)
{
	unsigned long few[LUO_GROWTH_PHASES], calls[LUO_GROWTH_PHASES];

	luo_growth_expect_linear(luo_test_of(test), luo_growth_of_files, few, calls);
	/* A call of the handler, and pages of records. */
	KUNIT_EXPECT_LE(test, calls[LUO_GROWTH_PRESERVE], LUO_GROWTH_MANY + LUO_GROWTH_MANY / 32);
	KUNIT_EXPECT_LE(test, calls[LUO_GROWTH_FREEZE], LUO_GROWTH_MANY);
	KUNIT_EXPECT_EQ(test, calls[LUO_GROWTH_OPEN], few[LUO_GROWTH_OPEN]);
	KUNIT_EXPECT_LE(test, calls[LUO_GROWTH_RETRIEVE], LUO_GROWTH_MANY + LUO_GROWTH_MANY / 8);
}

static void calls_grow_with_the_sessions(struct kunit *test)
{
	unsigned long few[LUO_GROWTH_PHASES], calls[LUO_GROWTH_PHASES];

	luo_growth_expect_linear(luo_test_of(test), luo_growth_of_sessions, few, calls);
	/* Pages of records. */
	KUNIT_EXPECT_LE(test, calls[LUO_GROWTH_PRESERVE], LUO_GROWTH_MANY / 16);
	KUNIT_EXPECT_EQ(test, calls[LUO_GROWTH_FREEZE], 0);
	KUNIT_EXPECT_LE(test, calls[LUO_GROWTH_OPEN], LUO_GROWTH_MANY / 4);
	KUNIT_EXPECT_EQ(test, calls[LUO_GROWTH_RETRIEVE], 0);
}

static struct kunit_case luo_growth_cases[] = {
	KUNIT_CASE_SLOW(calls_grow_with_the_files),
	KUNIT_CASE_SLOW(calls_grow_with_the_sessions),
	{}
};

static struct kunit_suite luo_growth_suite = {
	.name = "luo_growth",
	.init = luo_test_init,
	.exit = luo_test_exit,
	.test_cases = luo_growth_cases,
};
kunit_test_suite(luo_growth_suite);

MODULE_DESCRIPTION("Growth of the calls of live updates");
MODULE_LICENSE("GPL");
