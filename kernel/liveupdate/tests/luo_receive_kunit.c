// SPDX-License-Identifier: GPL-2.0-only
/*
 * A security module has its say before a process gets a file: luo_ioctl.c, with
 * a module of our own, whether or not the kernel has any.
 */

#include <kunit/test.h>
#include <linux/file.h>
#include <linux/security.h>

#include "luo_test.h"

static struct file *asked_for;
static int verdict;

static int ask(struct file *file)
{
	asked_for = file;
	return verdict;
}

#define security_file_receive	ask
#define luo_ioctl		luo_ioctl_asking
#define luo_device_init		luo_device_init_asking
long luo_ioctl(struct luo *luo, struct liveupdate_session *session,
	       unsigned int cmd, void __user *user);
int luo_device_init(void);
#include "../luo_ioctl.c"

static int retrieve_fd(struct liveupdate_session *s, struct file **file)
{
	struct liveupdate_session_retrieve_fd arg = { .size = sizeof(arg), .token = 1 };
	struct luo_call call = { .luo = s->luo, .session = s };
	int err;

	guard(mutex)(&s->lock);
	asked_for = NULL;
	err = luo_cmd_retrieve_fd(&call, &arg);
	*file = call.file;
	return err;
}

static void file_is_given_to_who_may_have_it(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_hand_over(t, 1);
	struct liveupdate_session *s;
	struct file *file;

	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &h->fh), 0);
	s = luo_test_retrieve(t, "s");
	verdict = -EACCES;
	KUNIT_EXPECT_EQ(test, retrieve_fd(s, &file), -EACCES);
	KUNIT_EXPECT_NOT_NULL(test, asked_for);
	luo_test_expect_log(t, "h.retrieve:1");

	/* It is there for others, once. */
	verdict = 0;
	KUNIT_EXPECT_EQ(test, retrieve_fd(s, &file), 0);
	KUNIT_EXPECT_PTR_EQ(test, asked_for, file);
	fput(file);
	luo_test_expect_log(t, "");
	luo_session_close(s);
	luo_test_expect_log(t, "h.can_finish:1 h.finish:1");
}

static struct kunit_case luo_receive_cases[] = {
	KUNIT_CASE(file_is_given_to_who_may_have_it),
	{}
};

static struct kunit_suite luo_receive_suite = {
	.name = "luo_receive",
	.init = luo_test_init,
	.exit = luo_test_exit,
	.test_cases = luo_receive_cases,
};
kunit_test_suite(luo_receive_suite);
