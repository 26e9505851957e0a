// SPDX-License-Identifier: GPL-2.0-only
/* Files and lists of them, as ioctls ask for them: luo_ioctl.c. */

#include <kunit/test.h>
#include <linux/cred.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kho/abi/kexec_handover.h>
#include <linux/mman.h>
#include <linux/uaccess.h>

#include "luo_test_ioctl.h"

/* ---- files ---- */

static int fd_of(struct kunit *test, struct file *file)
{
	int fd = get_unused_fd_flags(O_CLOEXEC);

	KUNIT_ASSERT_GE(test, fd, 0);
	fd_install(fd, get_file(file));
	return fd;
}

static long preserve_fd(struct kunit *test, struct liveupdate_session *s, int fd, u64 token)
{
	union arg arg = { .preserve = { sizeof(arg.preserve), fd, token } };

	return call(test, s, LIVEUPDATE_SESSION_PRESERVE_FD, &arg);
}

static long retrieve_fd(struct kunit *test, struct liveupdate_session *s, u64 token, int *fd)
{
	union arg arg = { .retrieve = { sizeof(arg.retrieve), -EBADF, token } };
	long err = call(test, s, LIVEUPDATE_SESSION_RETRIEVE_FD, &arg);

	*fd = arg.retrieve.fd;
	return err;
}

static void fds_are_preserved_and_taken_out_again(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	union arg arg = { .unpreserve = { .size = sizeof(arg.unpreserve), .token = 7 } };
	int fd = fd_of(test, luo_test_file(t, h, 7));

	KUNIT_EXPECT_EQ(test, preserve_fd(test, s, -1, 7), -EBADF);
	KUNIT_EXPECT_EQ(test, preserve_fd(test, s, INT_MAX, 7), -EBADF);
	KUNIT_EXPECT_EQ(test, preserve_fd(test, s, fd, 7), 0);
	KUNIT_EXPECT_EQ(test, preserve_fd(test, s, fd, 7), -EEXIST);
	KUNIT_EXPECT_EQ(test, preserve_fd(test, s, fd, 8), -EBUSY);
	luo_test_expect_handed_over(t, "s{7:h}");
	KUNIT_EXPECT_EQ(test, call(test, s, LIVEUPDATE_SESSION_UNPRESERVE_FD, &arg), 0);
	KUNIT_EXPECT_EQ(test, call(test, s, LIVEUPDATE_SESSION_UNPRESERVE_FD, &arg), -ENOENT);
	luo_test_expect_handed_over(t, "s{}");
	close_now(fd);
}

static bool takes_all(struct liveupdate_file_handler *handler, struct file *file)
{
	return true;
}

static int preserves_none(struct liveupdate_file_op_args *args)
{
	return -EUCLEAN;
}

static void session_is_not_put_into_a_session(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	union arg arg = { .create = { .size = sizeof(arg.create), .name = "other" } };

	h->ops.can_preserve = takes_all;
	h->ops.preserve = preserves_none;
	KUNIT_ASSERT_EQ(test, call(test, NULL, LIVEUPDATE_IOCTL_CREATE_SESSION, &arg), 0);
	KUNIT_EXPECT_EQ(test, preserve_fd(test, s, arg.create.fd, 1), -EINVAL);
	luo_test_expect_handed_over(t, "s{} other{}");
	close_now(arg.create.fd);
}

static void errno_of_the_kernel_does_not_reach_userspace(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s;
	int fd;

	luo_test_preserve_new(t, luo_test_create(t, "s"), h, 7);
	luo_test_freeze_and_jump(t);
	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &h->fh), 0);
	s = luo_test_retrieve(t, "s");
	luo_test_fail_step(t, 1, -EPROBE_DEFER);
	KUNIT_EXPECT_EQ(test, retrieve_fd(test, s, 7, &fd), -EAGAIN);
	KUNIT_ASSERT_EQ(test, retrieve_fd(test, s, 7, &fd), 0);
	close_now(fd);
	luo_session_close(s);
}

static void fds_are_retrieved_as_often_as_asked(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s;
	struct file *file, *file2;
	int fd, fd2;

	luo_test_preserve_new(t, luo_test_create(t, "s"), h, 7);
	luo_test_freeze_and_jump(t);
	s = luo_test_retrieve(t, "s");
	KUNIT_EXPECT_EQ(test, retrieve_fd(test, s, 8, &fd), -ENOENT);
	KUNIT_EXPECT_EQ(test, retrieve_fd(test, s, 7, &fd), -ENODEV);
	KUNIT_EXPECT_EQ(test, fd, -EBADF);
	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &h->fh), 0);
	KUNIT_ASSERT_EQ(test, retrieve_fd(test, s, 7, &fd), 0);
	KUNIT_ASSERT_EQ(test, retrieve_fd(test, s, 7, &fd2), 0);
	KUNIT_EXPECT_NE(test, fd, fd2);
	file = fget(fd);
	file2 = fget(fd2);
	KUNIT_EXPECT_PTR_EQ(test, file, file2);
	fput(file);
	fput(file2);
	close_now(fd);
	close_now(fd2);
	KUNIT_EXPECT_EQ(test, atomic_read(&t->open_files), 1);
}

static void session_retrieved_by_fd_is_kept_if_its_owner_wants(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	union arg get = { .create = { sizeof(get.create), 0, "s" } };
	union arg flags = { .flags = { sizeof(flags.flags),
				       LIVEUPDATE_SESSION_KEEP_ON_CLOSE } };
	union arg finish = { .size = sizeof(finish.finish) };
	struct file *file;

	luo_test_create(t, "s");
	luo_test_freeze_and_jump(t);
	KUNIT_ASSERT_EQ(test, call(test, NULL, LIVEUPDATE_IOCTL_RETRIEVE_SESSION, &get), 0);
	file = fget(get.create.fd);
	KUNIT_EXPECT_EQ(test, call(test, file->private_data, LIVEUPDATE_SESSION_SET_FLAGS,
				   &flags), 0);
	fput(file);
	close_now(get.create.fd);
	luo_test_expect_handed_over(t, "s{}");

	KUNIT_ASSERT_EQ(test, call(test, NULL, LIVEUPDATE_IOCTL_RETRIEVE_SESSION, &get), 0);
	file = fget(get.create.fd);
	KUNIT_EXPECT_EQ(test, call(test, file->private_data, LIVEUPDATE_SESSION_FINISH,
				   &finish), 0);
	KUNIT_EXPECT_EQ(test, call(test, file->private_data, LIVEUPDATE_SESSION_FINISH,
				   &finish), -EINVAL);
	fput(file);
	luo_test_expect_handed_over(t, "");
	close_now(get.create.fd);
}

static void session_that_is_claimed_is_kept_from_the_start(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	union arg claim = { .create = { sizeof(claim.create), 0, "s" } };
	int fd;

	luo_test_create(t, "s");
	luo_test_freeze_and_jump(t);
	KUNIT_ASSERT_EQ(test, call(test, NULL, LIVEUPDATE_IOCTL_CLAIM_SESSION, &claim), 0);
	fd = claim.create.fd;
	KUNIT_EXPECT_EQ(test, call(test, NULL, LIVEUPDATE_IOCTL_CLAIM_SESSION, &claim), -EINVAL);
	KUNIT_EXPECT_EQ(test, claim.create.fd, fd);
	close_now(fd);
	luo_test_expect_handed_over(t, "s{}");

	/* It is not kept for who does not claim it. */
	KUNIT_ASSERT_EQ(test, call(test, NULL, LIVEUPDATE_IOCTL_RETRIEVE_SESSION, &claim), 0);
	close_now(claim.create.fd);
	luo_test_expect_handed_over(t, "");
}

/* ---- abandoning ---- */

/* In "s", 1 is of a handler that is registered, 2 and 3 are of one that is not. */
static struct liveupdate_session *session_with_unknown_files(struct luo_test *t,
							     struct luo_test_handler *h)
{
	struct luo_test_handler *gone = luo_test_handler(t, "gone");
	struct liveupdate_session *s = luo_test_create(t, "s");

	KUNIT_ASSERT_EQ(t->test, luo_handler_register(&t->luo, &h->fh), 0);
	luo_test_preserve_new(t, s, h, 1);
	luo_test_preserve_new(t, s, gone, 2);
	luo_test_preserve_new(t, s, gone, 3);
	luo_test_freeze_and_jump(t);
	KUNIT_ASSERT_EQ(t->test, luo_handler_register(&t->luo, &h->fh), 0);
	return luo_test_retrieve(t, "s");
}

static void session_without_handlers_can_be_abandoned(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler_new(t, "h");
	struct liveupdate_session *s = session_with_unknown_files(t, h);
	union arg arg = { .abandon = { .size = sizeof(arg.abandon), .files = 99 } };

	KUNIT_EXPECT_EQ(test, luo_test_finish(s), -ENODEV);
	seq_buf_clear(&t->log.seq);
	KUNIT_EXPECT_EQ(test, call(test, s, LIVEUPDATE_SESSION_ABANDON, &arg), 0);
	KUNIT_EXPECT_EQ(test, arg.abandon.files, 2);
	luo_test_expect_log(t, "h.can_finish:1 h.free:1");
	luo_test_expect_handed_over(t, "");
	KUNIT_EXPECT_EQ(test, luo_test_blobs(t), 2);
	t->abandoned = 2;
	luo_session_close(s);
}

static void abandoning_is_all_or_nothing(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler_new(t, "h");
	struct liveupdate_session *s = session_with_unknown_files(t, h);
	union arg arg = { .abandon = { .size = sizeof(arg.abandon), .files = 99 } };
	const char *before = luo_test_state(t);

	h->can_finish = false;
	KUNIT_EXPECT_EQ(test, call(test, s, LIVEUPDATE_SESSION_ABANDON, &arg), -EBUSY);
	KUNIT_EXPECT_EQ(test, arg.abandon.files, 99);
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
}

static void abandoning_takes_privilege(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler_new(t, "h");
	struct liveupdate_session *s = session_with_unknown_files(t, h);
	union arg arg = { .abandon = { .size = sizeof(arg.abandon) } };
	const char *before = luo_test_state(t);
	struct cred *cred = prepare_creds();
	const struct cred *root;

	KUNIT_ASSERT_NOT_NULL(test, cred);
	cap_clear(cred->cap_effective);
	root = override_creds(cred);
	KUNIT_EXPECT_EQ(test, call(test, s, LIVEUPDATE_SESSION_ABANDON, &arg), -EPERM);
	put_cred(revert_creds(root));
	KUNIT_EXPECT_STREQ(test, luo_test_state(t), before);
}

static void list_tells_which_files_have_no_handler(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler_new(t, "h");
	struct liveupdate_session *s = session_with_unknown_files(t, h);
	struct liveupdate_file_entry entry[3];
	u8 __user *entries = user_arg + PAGE_SIZE;
	union arg arg = { .files = { .size = sizeof(arg.files), .count = 3,
				     .entries = (unsigned long)entries } };

	KUNIT_EXPECT_EQ(test, call(test, s, LIVEUPDATE_SESSION_LIST_FILES, &arg), 0);
	KUNIT_ASSERT_EQ(test, copy_from_user(entry, entries, sizeof(entry)), 0);
	KUNIT_EXPECT_EQ(test, entry[0].state, LIVEUPDATE_FILE_STATE_INCOMING);
	KUNIT_EXPECT_EQ(test, entry[1].state, LIVEUPDATE_FILE_STATE_NO_HANDLER);
	KUNIT_EXPECT_EQ(test, entry[2].state, LIVEUPDATE_FILE_STATE_NO_HANDLER);
	KUNIT_EXPECT_STREQ(test, (char *)entry[1].handler, "gone");
}

/* ---- lists ---- */

static void list_goes_on_where_it_ended(struct kunit *test)
{
	static const char * const names[] = { "c", "a", "b" };
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session_entry entry;
	u8 __user *entries = user_arg + PAGE_SIZE;
	union arg arg = { .sessions = { .size = sizeof(arg.sessions), .count = 1,
					.entries = (unsigned long)entries } };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		luo_test_create(t, names[i]);
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		KUNIT_EXPECT_EQ(test, call(test, NULL, LIVEUPDATE_IOCTL_LIST_SESSIONS, &arg), 0);
		KUNIT_EXPECT_EQ(test, arg.sessions.count, 1);
		KUNIT_ASSERT_EQ(test, copy_from_user(&entry, entries, sizeof(entry)), 0);
		KUNIT_EXPECT_STREQ(test, (char *)entry.name, names[i]);
		KUNIT_EXPECT_EQ(test, entry.state, LIVEUPDATE_SESSION_STATE_OUTGOING);
		KUNIT_EXPECT_EQ(test, entry.reserved, 0);
	}
	KUNIT_EXPECT_EQ(test, call(test, NULL, LIVEUPDATE_IOCTL_LIST_SESSIONS, &arg), 0);
	KUNIT_EXPECT_EQ(test, arg.sessions.count, 0);
	KUNIT_EXPECT_EQ(test, call(test, NULL, LIVEUPDATE_IOCTL_LIST_SESSIONS, &arg), -EINVAL);
}

/* What is copied at a time is less than a page. */
static void list_may_be_longer_than_a_page(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session_entry entry, zero = {};
	u8 __user *entries = user_pages(test, PROT_READ | PROT_WRITE);
	u32 room = 2 * PAGE_SIZE / sizeof(entry), many = PAGE_SIZE / sizeof(entry) + 9;
	union arg arg = { .sessions = { .size = sizeof(arg.sessions), .count = room,
					.entries = (unsigned long)entries } };
	char name[8];
	u32 i;

	for (i = 0; i < many; i++) {
		snprintf(name, sizeof(name), "%u", i);
		luo_test_create(t, name);
	}
	KUNIT_EXPECT_EQ(test, call(test, NULL, LIVEUPDATE_IOCTL_LIST_SESSIONS, &arg), 0);
	KUNIT_EXPECT_EQ(test, arg.sessions.count, many);
	for (i = 0; i < many; i++, entries += sizeof(entry)) {
		KUNIT_ASSERT_EQ(test, copy_from_user(&entry, entries, sizeof(entry)), 0);
		snprintf(name, sizeof(name), "%u", i);
		KUNIT_EXPECT_STREQ(test, (char *)entry.name, name);
	}
	KUNIT_ASSERT_EQ(test, copy_from_user(&entry, entries, sizeof(entry)), 0);
	KUNIT_EXPECT_MEMEQ(test, &entry, &zero, sizeof(entry));
}

static void list_of_files_tells_their_states(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	struct liveupdate_file_entry entry[4];
	u8 __user *entries = user_arg + PAGE_SIZE;
	union arg arg = { .files = { .size = sizeof(arg.files), .count = 4,
				     .entries = (unsigned long)entries } };

	luo_test_preserve_new(t, s, h, 5);
	luo_test_preserve_new(t, s, h, 6);
	luo_test_freeze_and_jump(t);
	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &h->fh), 0);
	s = luo_test_retrieve(t, "s");
	KUNIT_ASSERT_EQ(test, luo_test_retrieve_file(s, 6), 0);
	KUNIT_EXPECT_EQ(test, call(test, s, LIVEUPDATE_SESSION_LIST_FILES, &arg), 0);
	KUNIT_EXPECT_EQ(test, arg.files.count, 2);
	KUNIT_ASSERT_EQ(test, copy_from_user(entry, entries, sizeof(entry)), 0);
	KUNIT_EXPECT_EQ(test, entry[0].token, 5);
	KUNIT_EXPECT_EQ(test, entry[0].state, LIVEUPDATE_FILE_STATE_INCOMING);
	KUNIT_EXPECT_EQ(test, entry[1].token, 6);
	KUNIT_EXPECT_EQ(test, entry[1].state, LIVEUPDATE_FILE_STATE_RETRIEVED);
	KUNIT_EXPECT_STREQ(test, (char *)entry[1].handler, "h");
	KUNIT_EXPECT_EQ(test, entry[2].token, 0);
}

static void list_that_can_not_be_written_is_told(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s = luo_test_create(t, "s");
	struct luo_test_handler *h = luo_test_handler(t, "h");
	union arg arg = { .sessions = { .size = sizeof(arg.sessions), .count = 1,
					.entries = (unsigned long)user_arg + 2 * PAGE_SIZE } };

	luo_test_preserve_new(t, s, h, 1);
	KUNIT_EXPECT_EQ(test, call(test, NULL, LIVEUPDATE_IOCTL_LIST_SESSIONS, &arg), -EFAULT);
	KUNIT_EXPECT_EQ(test, arg.sessions.cursor, 0);
	KUNIT_EXPECT_EQ(test, call(test, s, LIVEUPDATE_SESSION_LIST_FILES, &arg), -EFAULT);
	KUNIT_EXPECT_EQ(test, arg.files.cursor, 0);
}

static void info_counts_both_ways(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);
	struct luo_test_handler *h = luo_test_handler(t, "h");
	union arg arg = { .size = sizeof(arg.info) };

	luo_test_preserve_new(t, luo_test_create(t, "in"), h, 1);
	luo_test_freeze_and_jump(t);
	KUNIT_ASSERT_EQ(test, luo_handler_register(&t->luo, &h->fh), 0);
	luo_test_create(t, "out");
	luo_test_preserve_new(t, luo_test_create(t, "out2"), h, 2);
	luo_test_preserve_new(t, luo_test_create(t, "out3"), h, 3);
	KUNIT_EXPECT_EQ(test, call(test, NULL, LIVEUPDATE_IOCTL_GET_INFO, &arg), 0);
	KUNIT_EXPECT_EQ(test, arg.info.number, 1);
	KUNIT_EXPECT_EQ(test, arg.info.incoming_sessions, 1);
	KUNIT_EXPECT_EQ(test, arg.info.incoming_files, 1);
	KUNIT_EXPECT_EQ(test, arg.info.outgoing_sessions, 3);
	KUNIT_EXPECT_EQ(test, arg.info.outgoing_files, 2);
	KUNIT_EXPECT_STREQ(test, (char *)arg.info.kho_format, KHO_FDT_COMPATIBLE);
	KUNIT_EXPECT_STREQ(test, (char *)arg.info.luo_format, "luo-v5");
}

static struct kunit_case luo_ioctl_files_cases[] = {
	KUNIT_CASE(fds_are_preserved_and_taken_out_again),
	KUNIT_CASE(session_is_not_put_into_a_session),
	KUNIT_CASE(errno_of_the_kernel_does_not_reach_userspace),
	KUNIT_CASE(fds_are_retrieved_as_often_as_asked),
	KUNIT_CASE(session_retrieved_by_fd_is_kept_if_its_owner_wants),
	KUNIT_CASE(session_that_is_claimed_is_kept_from_the_start),
	KUNIT_CASE(session_without_handlers_can_be_abandoned),
	KUNIT_CASE(abandoning_is_all_or_nothing),
	KUNIT_CASE(abandoning_takes_privilege),
	KUNIT_CASE(list_tells_which_files_have_no_handler),
	KUNIT_CASE(list_goes_on_where_it_ended),
	KUNIT_CASE(list_may_be_longer_than_a_page),
	KUNIT_CASE(list_of_files_tells_their_states),
	KUNIT_CASE(list_that_can_not_be_written_is_told),
	KUNIT_CASE(info_counts_both_ways),
	{}
};

static struct kunit_suite luo_ioctl_files_suite = {
	.name = "luo_ioctl_files",
	.init = ioctl_suite_init,
	.exit = luo_test_exit,
	.test_cases = luo_ioctl_files_cases,
};
kunit_test_suite(luo_ioctl_files_suite);
