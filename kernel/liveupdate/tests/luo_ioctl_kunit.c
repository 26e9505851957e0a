// SPDX-License-Identifier: GPL-2.0-only
/* Arguments and results of ioctls: luo_ioctl.c. */

#include <kunit/test.h>
#include <linux/cleanup.h>
#include <linux/fcntl.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmu_context.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "luo_test_ioctl.h"

/* ---- commands ---- */

enum target {
	ON_DEVICE,
	ON_OUTGOING,
	ON_RETRIEVED,
	ON_FINISHED,
	TARGETS,
};

/* Valid arguments that change nothing, but for the one that makes a session. */
struct command_row {
	const char *name;
	unsigned int cmd;
	u32 size;
	u8 targets;
	void (*fill)(union arg *arg);
	int err;
};

static void fill_create(union arg *arg)
{
	strscpy((char *)arg->create.name, "new", sizeof(arg->create.name));
}

static void fill_nothing(union arg *arg)
{
}

static void fill_list(union arg *arg)
{
	arg->sessions.count = 1;
	arg->sessions.entries = (unsigned long)user_arg + PAGE_SIZE;
}

static void fill_fd(union arg *arg)
{
	arg->preserve.fd = -1;
}

static void fill_token(union arg *arg)
{
	arg->unpreserve.token = 4711;
}

/* The word behind the size has a bit nobody knows. */
static void fill_reserved(union arg *arg)
{
	arg->finish.reserved = BIT(31);
}

#define COMMAND(_cmd, _struct, _targets, _fill, _err) \
	{ #_cmd, _cmd, sizeof(struct _struct), _targets, _fill, _err }

static const struct command_row command_rows[] = {
	COMMAND(LIVEUPDATE_IOCTL_CREATE_SESSION, liveupdate_ioctl_create_session,
		BIT(ON_DEVICE), fill_create, 0),
	COMMAND(LIVEUPDATE_IOCTL_RETRIEVE_SESSION, liveupdate_ioctl_retrieve_session,
		BIT(ON_DEVICE), fill_create, -ENOENT),
	COMMAND(LIVEUPDATE_IOCTL_CLAIM_SESSION, liveupdate_ioctl_retrieve_session,
		BIT(ON_DEVICE), fill_create, -ENOENT),
	COMMAND(LIVEUPDATE_IOCTL_GET_INFO, liveupdate_ioctl_get_info,
		BIT(ON_DEVICE), fill_nothing, 0),
	COMMAND(LIVEUPDATE_IOCTL_LIST_SESSIONS, liveupdate_ioctl_list_sessions,
		BIT(ON_DEVICE), fill_list, 0),
	COMMAND(LIVEUPDATE_SESSION_PRESERVE_FD, liveupdate_session_preserve_fd,
		BIT(ON_OUTGOING), fill_fd, -EBADF),
	COMMAND(LIVEUPDATE_SESSION_RETRIEVE_FD, liveupdate_session_retrieve_fd,
		BIT(ON_RETRIEVED), fill_token, -ENOENT),
	COMMAND(LIVEUPDATE_SESSION_FINISH, liveupdate_session_finish,
		BIT(ON_RETRIEVED), fill_reserved, -EINVAL),
	COMMAND(LIVEUPDATE_SESSION_ABANDON, liveupdate_session_abandon,
		BIT(ON_RETRIEVED), fill_reserved, -EINVAL),
	COMMAND(LIVEUPDATE_SESSION_GET_NAME, liveupdate_session_get_name,
		BIT(ON_OUTGOING) | BIT(ON_RETRIEVED) | BIT(ON_FINISHED),
		fill_nothing, 0),
	COMMAND(LIVEUPDATE_SESSION_SET_FLAGS, liveupdate_session_set_flags,
		BIT(ON_RETRIEVED), fill_reserved, -EOPNOTSUPP),
	COMMAND(LIVEUPDATE_SESSION_LIST_FILES, liveupdate_session_list_files,
		BIT(ON_OUTGOING) | BIT(ON_RETRIEVED), fill_list, 0),
	COMMAND(LIVEUPDATE_SESSION_UNPRESERVE_FD, liveupdate_session_unpreserve_fd,
		BIT(ON_OUTGOING), fill_token, -ENOENT),
};
KUNIT_ARRAY_PARAM_DESC(command, command_rows, name);

static void command_arg(const struct command_row *row, union arg *arg, u32 size)
{
	memset(arg, 0, sizeof(*arg));
	row->fill(arg);
	arg->size = size;
}

/* Session "s" as @target wants it, NULL for the device. */
static struct liveupdate_session *target_session(struct luo_test *t,
						 enum target target)
{
	struct liveupdate_session *s;

	if (target == ON_DEVICE)
		return NULL;
	s = luo_test_create(t, "s");
	if (target == ON_OUTGOING)
		return s;

	luo_test_freeze_and_jump(t);
	s = luo_test_retrieve(t, "s");
	if (target == ON_FINISHED)
		KUNIT_ASSERT_EQ(t->test, luo_test_finish(s), 0);
	return s;
}

static enum target first_target(const struct command_row *row)
{
	return __ffs(row->targets);
}

static long call_and_close(struct kunit *test, struct liveupdate_session *s,
			   unsigned int cmd, union arg *arg)
{
	long err = call(test, s, cmd, arg);

	if (!err && cmd == LIVEUPDATE_IOCTL_CREATE_SESSION)
		close_now(arg->create.fd);
	return err;
}

static void arguments_may_grow_and_not_shrink(struct kunit *test)
{
	const struct command_row *row = test->param_value;
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s = target_session(t, first_target(row));
	union arg arg;
	u32 size;

	for (size = 0; size < row->size; size++) {
		command_arg(row, &arg, size);
		KUNIT_EXPECT_EQ(test, call(test, s, row->cmd, &arg), -EINVAL);
	}
	command_arg(row, &arg, row->size);
	memset(arg.bytes + row->size, 0xff, sizeof(arg) - row->size);
	KUNIT_EXPECT_EQ(test, call_and_close(test, s, row->cmd, &arg), row->err);
	KUNIT_EXPECT_EQ(test, arg.bytes[row->size], 0xff);

	for (size = row->size + 1; size < sizeof(arg); size++) {
		command_arg(row, &arg, size);
		KUNIT_EXPECT_EQ(test, call_and_close(test, s, row->cmd, &arg), row->err);
		command_arg(row, &arg, size);
		arg.bytes[size - 1] = 1;
		KUNIT_EXPECT_EQ(test, call(test, s, row->cmd, &arg), -E2BIG);
	}
	command_arg(row, &arg, PAGE_SIZE + 1);
	KUNIT_EXPECT_EQ(test, call(test, s, row->cmd, &arg), -E2BIG);
	command_arg(row, &arg, U32_MAX);
	KUNIT_EXPECT_EQ(test, call(test, s, row->cmd, &arg), -E2BIG);
}

static long expected_on(const struct command_row *row, enum target target)
{
	if (row->targets & BIT(target))
		return row->err;
	if (target == ON_DEVICE || row->targets & BIT(ON_DEVICE))
		return -ENOTTY;
	return -EINVAL;
}

static void command_is_for_one_kind_of_session(struct kunit *test)
{
	const struct command_row *row = test->param_value;
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s;
	enum target target;
	union arg arg;

	for (target = 0; target < TARGETS; target++) {
		luo_test_restart(t, NULL);
		s = target_session(t, target);
		command_arg(row, &arg, row->size);
		KUNIT_EXPECT_EQ(test, call_and_close(test, s, row->cmd, &arg),
				expected_on(row, target));
		if (target == ON_FINISHED)
			luo_session_close(s);
	}
}

static void argument_that_can_not_be_read_changes_nothing(struct kunit *test)
{
	const struct command_row *row = test->param_value;
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s = target_session(t, first_target(row));
	u8 __user *end = user_arg + 2 * PAGE_SIZE;
	const char *before = luo_test_state(t);
	union arg arg;
	u32 n;

	KUNIT_EXPECT_EQ(test, luo_ioctl(&t->luo, s, row->cmd, NULL), -EFAULT);
	KUNIT_EXPECT_EQ(test, luo_ioctl(&t->luo, s, row->cmd, end), -EFAULT);
	command_arg(row, &arg, row->size);
	for (n = 1; n < row->size; n++) {
		KUNIT_ASSERT_EQ(test, copy_to_user(end - n, &arg, n), 0);
		KUNIT_EXPECT_EQ(test, luo_ioctl(&t->luo, s, row->cmd, end - n), -EFAULT);
	}
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
}

static bool row_answers(const struct command_row *row)
{
	return row->cmd == LIVEUPDATE_IOCTL_CREATE_SESSION ||
	       row->cmd == LIVEUPDATE_IOCTL_RETRIEVE_SESSION ||
	       row->cmd == LIVEUPDATE_IOCTL_CLAIM_SESSION ||
	       row->cmd == LIVEUPDATE_SESSION_RETRIEVE_FD ||
	       row->cmd == LIVEUPDATE_SESSION_ABANDON || !row->err;
}

static void argument_that_can_not_be_written_changes_nothing(struct kunit *test)
{
	const struct command_row *row = test->param_value;
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s = target_session(t, first_target(row));
	u8 __user *readonly = user_pages(test, PROT_READ);
	const char *before = luo_test_state(t);
	union arg arg;

	command_arg(row, &arg, row->size);
	KUNIT_ASSERT_EQ(test, access_remote_vm(current->mm, (unsigned long)readonly,
					       &arg, sizeof(arg), FOLL_WRITE | FOLL_FORCE),
			sizeof(arg));
	KUNIT_EXPECT_EQ(test, luo_ioctl(&t->luo, s, row->cmd, readonly),
			row_answers(row) ? -EFAULT : row->err);
	flush_delayed_fput();
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
}

static bool is_known(unsigned int cmd)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(command_rows); i++) {
		if (command_rows[i].cmd == cmd)
			return true;
	}
	return false;
}

static void unknown_commands_are_told(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s = luo_test_create(t, "s");
	unsigned int nr, cmd;
	union arg arg = { .size = sizeof(arg) };

	for (nr = 0; nr < 256; nr++) {
		cmd = _IO(LIVEUPDATE_IOCTL_TYPE, nr);
		if (!is_known(cmd)) {
			KUNIT_EXPECT_EQ(test, call(test, NULL, cmd, &arg), -ENOTTY);
			KUNIT_EXPECT_EQ(test, call(test, s, cmd, &arg), -ENOTTY);
		}
		cmd = _IO(LIVEUPDATE_IOCTL_TYPE + 1, nr);
		KUNIT_EXPECT_EQ(test, call(test, NULL, cmd, &arg), -ENOTTY);
		cmd = _IOWR(LIVEUPDATE_IOCTL_TYPE, nr, u64);
		KUNIT_EXPECT_EQ(test, call(test, s, cmd, &arg), -ENOTTY);
	}
}

static void reserved_fields_are_zero(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s = luo_test_create(t, "s");
	union arg arg = { .info = { .size = sizeof(arg.info), .reserved = 1 } };

	KUNIT_EXPECT_EQ(test, call(test, NULL, LIVEUPDATE_IOCTL_GET_INFO, &arg), -EINVAL);
	arg.size = sizeof(arg.name);
	KUNIT_EXPECT_EQ(test, call(test, s, LIVEUPDATE_SESSION_GET_NAME, &arg), -EINVAL);
	arg.size = sizeof(arg.unpreserve);
	KUNIT_EXPECT_EQ(test, call(test, s, LIVEUPDATE_SESSION_UNPRESERVE_FD, &arg),
			-EINVAL);
}

/* ---- names ---- */

struct name_row {
	const char *name;
	unsigned int length;
	int err;
};

static const struct name_row name_rows[] = {
	{ "no character is too few", 0, -EINVAL },
	{ "one character is enough", 1, 0 },
	{ "63 characters fit", 63, 0 },
	{ "64 characters leave no room for the NUL", 64, -EINVAL },
};
KUNIT_ARRAY_PARAM_DESC(name, name_rows, name);

static void name_of_a_session_is_checked(struct kunit *test)
{
	const struct name_row *row = test->param_value;
	union arg arg = { .size = sizeof(arg.create) };

	memset(arg.create.name, 'x', row->length);
	KUNIT_EXPECT_EQ(test, call_and_close(test, NULL, LIVEUPDATE_IOCTL_CREATE_SESSION,
					     &arg), row->err);
	KUNIT_EXPECT_EQ(test, call(test, NULL, LIVEUPDATE_IOCTL_RETRIEVE_SESSION, &arg),
			row->err ?: -ENOENT);
}

static void session_says_its_whole_name(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	char name[LUO_SESSION_NAME_LENGTH] = {};
	union arg arg = { .size = sizeof(arg.name) };

	memset(name, 'n', sizeof(name) - 1);
	KUNIT_EXPECT_EQ(test, call(test, luo_test_create(t, name),
				   LIVEUPDATE_SESSION_GET_NAME, &arg), 0);
	KUNIT_EXPECT_MEMEQ(test, arg.name.name, name, sizeof(name));
}

/* Asks for the name of a session in memory of the test. */
struct asker {
	struct kunit *test;
	struct liveupdate_session *session;
	struct mm_struct *mm;
	struct completion answered;
	long err;
};

static struct asker *asker_now;

static int ask_name(void *arg)
{
	struct asker *a = arg;

	kthread_use_mm(a->mm);
	a->err = luo_ioctl(a->session->luo, a->session, LIVEUPDATE_SESSION_GET_NAME,
			   user_arg);
	kthread_unuse_mm(a->mm);
	complete_all(&a->answered);
	return 0;
}

static int freeze_and_be_asked(struct liveupdate_file_op_args *args)
{
	struct asker *a = asker_now;
	struct task_struct *task = kthread_run(ask_name, a, "luo_asker");

	KUNIT_EXPECT_FALSE(a->test, IS_ERR(task));
	if (!IS_ERR(task))
		KUNIT_EXPECT_GT(a->test, wait_for_completion_timeout(&a->answered, 10 * HZ),
				0);
	return IS_ERR(task) ? PTR_ERR(task) : -EAGAIN;
}

static void name_is_told_while_files_freeze(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler_new(t, "h");
	struct asker a = { .test = test, .mm = current->mm };
	union arg arg = { .size = sizeof(arg.name) };

	h->ops.freeze = freeze_and_be_asked;
	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &h->fh), 0);
	a.session = luo_test_create(t, "s");
	luo_test_preserve_new(t, a.session, h, 1);
	init_completion(&a.answered);
	asker_now = &a;
	KUNIT_ASSERT_EQ(test, copy_to_user(user_arg, &arg, sizeof(arg)), 0);
	KUNIT_ASSERT_EQ(test, luo_freeze(&t->luo, true), -EAGAIN);
	/* In time or not, it is done before its memory goes. */
	wait_for_completion(&a.answered);
	KUNIT_EXPECT_EQ(test, a.err, 0);
	KUNIT_ASSERT_EQ(test, copy_from_user(&arg, user_arg, sizeof(arg)), 0);
	KUNIT_EXPECT_STREQ(test, (char *)arg.name.name, "s");
}

/* ---- fds ---- */

static void new_session_has_a_name_and_an_inode_of_its_own(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	union arg arg = { .create = { sizeof(arg.create), 0, "a" } };
	union arg arg2 = { .create = { sizeof(arg.create), 0, "b" } };
	struct file *file, *file2;

	KUNIT_ASSERT_EQ(test, call(test, NULL, LIVEUPDATE_IOCTL_CREATE_SESSION, &arg), 0);
	KUNIT_ASSERT_EQ(test, call(test, NULL, LIVEUPDATE_IOCTL_CREATE_SESSION, &arg2), 0);
	file = fget(arg.create.fd);
	file2 = fget(arg2.create.fd);
	KUNIT_EXPECT_STREQ(test, (const char *)file->f_path.dentry->d_name.name,
			   "[luo_session] a");
	KUNIT_EXPECT_PTR_NE(test, file_inode(file), file_inode(file2));
	scoped_guard(rcu)
		KUNIT_EXPECT_TRUE(test, close_on_exec(arg.create.fd, current->files));
	fput(file);
	fput(file2);
	luo_test_expect_handed_over(t, "a{} b{}");
	close_now(arg.create.fd);
	luo_test_expect_handed_over(t, "b{}");
	close_now(arg2.create.fd);
	luo_test_expect_handed_over(t, "");
}

static void full_fd_table_changes_nothing(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct rlimit *limit = &current->signal->rlim[RLIMIT_NOFILE];
	union arg arg = { .create = { sizeof(arg.create), 0, "s" } };
	unsigned long before_limit = limit->rlim_cur;
	const char *before;

	luo_test_create(t, "s");
	luo_test_freeze_and_jump(t);
	KUNIT_ASSERT_EQ(test, luo_sessions_read(&t->luo), 0);
	before = luo_test_state(t);
	limit->rlim_cur = 0;
	KUNIT_EXPECT_EQ(test, call(test, NULL, LIVEUPDATE_IOCTL_CREATE_SESSION, &arg), -EMFILE);
	KUNIT_EXPECT_EQ(test, call(test, NULL, LIVEUPDATE_IOCTL_RETRIEVE_SESSION, &arg),
			-EMFILE);
	limit->rlim_cur = before_limit;
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
	KUNIT_EXPECT_EQ(test, arg.create.fd, 0);
}

static void fd_field_is_as_it_was_after_a_failure(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	union arg arg = { .create = { sizeof(arg.create), -EBADF, "s" } };

	luo_test_create(t, "s");
	KUNIT_EXPECT_EQ(test, call(test, NULL, LIVEUPDATE_IOCTL_CREATE_SESSION, &arg), -EEXIST);
	KUNIT_EXPECT_EQ(test, arg.create.fd, -EBADF);
}

/* Every allocation on the way to an fd. */
static void fd_that_lacks_memory_changes_nothing(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	union arg arg, answer;
	unsigned int nth, failures = 0;
	const char *before;
	bool done;
	long err;

	luo_test_need_fail_alloc(t);
	arg = (union arg) { .create = { sizeof(arg.create), 0, "s" } };
	before = luo_test_state(t);
	for (nth = 1, done = true; done; nth++) {
		KUNIT_ASSERT_EQ(test, copy_to_user(user_arg, &arg, sizeof(arg)), 0);
		luo_test_fail_alloc(nth);
		err = luo_ioctl(&t->luo, NULL, LIVEUPDATE_IOCTL_CREATE_SESSION, user_arg);
		done = luo_test_fail_alloc_done();
		if (err) {
			failures++;
			KUNIT_EXPECT_NE(test, err, -EFAULT);
		} else {
			KUNIT_ASSERT_EQ(test, copy_from_user(&answer, user_arg, sizeof(answer)), 0);
			close_now(answer.create.fd);
		}
		flush_delayed_fput();
		KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
	}
	KUNIT_EXPECT_GT(test, failures, 0);
}

static struct kunit_case luo_ioctl_cases[] = {
	KUNIT_CASE_PARAM(arguments_may_grow_and_not_shrink, command_gen_params),
	KUNIT_CASE_PARAM(command_is_for_one_kind_of_session, command_gen_params),
	KUNIT_CASE_PARAM(argument_that_can_not_be_read_changes_nothing, command_gen_params),
	KUNIT_CASE_PARAM(argument_that_can_not_be_written_changes_nothing, command_gen_params),
	KUNIT_CASE(unknown_commands_are_told),
	KUNIT_CASE(reserved_fields_are_zero),
	KUNIT_CASE_PARAM(name_of_a_session_is_checked, name_gen_params),
	KUNIT_CASE(session_says_its_whole_name),
	KUNIT_CASE(name_is_told_while_files_freeze),
	KUNIT_CASE(new_session_has_a_name_and_an_inode_of_its_own),
	KUNIT_CASE(full_fd_table_changes_nothing),
	KUNIT_CASE(fd_field_is_as_it_was_after_a_failure),
	KUNIT_CASE(fd_that_lacks_memory_changes_nothing),
	{}
};

static struct kunit_suite luo_ioctl_suite = {
	.name = "luo_ioctl",
	.init = ioctl_suite_init,
	.exit = luo_test_exit,
	.test_cases = luo_ioctl_cases,
};
kunit_test_suite(luo_ioctl_suite);
