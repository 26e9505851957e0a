/* SPDX-License-Identifier: GPL-2.0-only */
/* Ioctls as userspace makes them, for KUnit. */
#ifndef _LUO_TEST_IOCTL_H
#define _LUO_TEST_IOCTL_H

#include <kunit/test.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/uaccess.h>
#include <uapi/linux/liveupdate.h>

#include "luo_test.h"

union arg {
	u32 size;
	struct liveupdate_ioctl_create_session create;
	struct liveupdate_ioctl_get_info info;
	struct liveupdate_ioctl_list_sessions sessions;
	struct liveupdate_session_preserve_fd preserve;
	struct liveupdate_session_unpreserve_fd unpreserve;
	struct liveupdate_session_retrieve_fd retrieve;
	struct liveupdate_session_finish finish;
	struct liveupdate_session_abandon abandon;
	struct liveupdate_session_get_name name;
	struct liveupdate_session_set_flags flags;
	struct liveupdate_session_list_files files;
	u8 bytes[256];
};

/* Of the suite. */
static u8 __user *user_arg;

/* User memory: a page for arguments, a page for lists, then nothing. */
static inline u8 __user *user_pages(struct kunit *test, unsigned long prot)
{
	unsigned long addr = kunit_vm_mmap(test, NULL, 0, 2 * PAGE_SIZE, prot,
					   MAP_ANONYMOUS | MAP_PRIVATE, 0);

	KUNIT_ASSERT_NE_MSG(test, addr, 0, "no user memory");
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(addr));
	return (u8 __user *)addr;
}

static inline int ioctl_suite_init(struct kunit *test)
{
	luo_test_init(test);
	user_arg = user_pages(test, PROT_READ | PROT_WRITE);
	return 0;
}

/* The argument goes in and comes back, whatever the ioctl says. */
static inline long call(struct kunit *test, struct liveupdate_session *s,
			unsigned int cmd, union arg *arg)
{
	struct luo *luo = &luo_test_of(test)->luo;
	long err;

	KUNIT_ASSERT_EQ(test, copy_to_user(user_arg, arg, sizeof(*arg)), 0);
	err = luo_ioctl(luo, s, cmd, user_arg);
	KUNIT_ASSERT_EQ(test, copy_from_user(arg, user_arg, sizeof(*arg)), 0);
	return err;
}

static inline void close_now(int fd)
{
	close_fd(fd);
	flush_delayed_fput();
}

#endif /* _LUO_TEST_IOCTL_H */
