// SPDX-License-Identifier: GPL-2.0
/*
 * Files that no session takes, each kind of them.
 */

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#include "../kselftest_harness.h"
#include "luo_test.h"

static int open_device(int dev, int session)
{
	return dev;
}

static int open_session(int dev, int session)
{
	return session;
}

static int open_other_session(int dev, int session)
{
	return luo_create(dev, "other");
}

static int open_pipe(int dev, int session)
{
	int fds[2];

	return pipe(fds) ? -errno : fds[1];
}

static int open_socket(int dev, int session)
{
	int fds[2];

	return socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) ? -errno : fds[0];
}

static int or_errno(int fd)
{
	return fd < 0 ? -errno : fd;
}

static int open_inotify(int dev, int session)
{
	return or_errno(inotify_init1(IN_CLOEXEC));
}

static int open_eventfd(int dev, int session)
{
	return or_errno(eventfd(0, EFD_CLOEXEC));
}

static int open_epoll(int dev, int session)
{
	return or_errno(epoll_create1(EPOLL_CLOEXEC));
}

static int open_signalfd(int dev, int session)
{
	sigset_t set;

	sigemptyset(&set);
	return or_errno(signalfd(-1, &set, SFD_CLOEXEC));
}

static int open_timerfd(int dev, int session)
{
	return or_errno(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
}

static int open_null(int dev, int session)
{
	return or_errno(open("/dev/null", O_RDWR | O_CLOEXEC));
}

static int open_directory(int dev, int session)
{
	return or_errno(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static int open_proc(int dev, int session)
{
	return or_errno(open("/proc/self/status", O_RDONLY | O_CLOEXEC));
}

/* Looks like a memfd to who only looks at the name. */
static int open_tmpfs(int dev, int session)
{
	int fd = open("/dev/shm/memfd:luo_test", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	unlink("/dev/shm/memfd:luo_test");
	return fd;
}

static int open_memfd_secret(int dev, int session)
{
	return or_errno(syscall(SYS_memfd_secret, 0));
}

static int open_read_only(int dev, int session)
{
	return luo_reopen(luo_memfd(4096), O_RDONLY);
}

static int open_write_only(int dev, int session)
{
	return luo_reopen(luo_memfd(4096), O_WRONLY);
}

FIXTURE(foreign)
{
	int dev;
	int session;
	int fd;
};

FIXTURE_VARIANT(foreign)
{
	int (*open)(int dev, int session);
	int result;
};

FIXTURE_VARIANT_ADD(foreign, device) { open_device, -EINVAL };

FIXTURE_VARIANT_ADD(foreign, session) { open_session, -EINVAL };

FIXTURE_VARIANT_ADD(foreign, other_session) { open_other_session, -EINVAL };

FIXTURE_VARIANT_ADD(foreign, pipe) { open_pipe, -ENOENT };

FIXTURE_VARIANT_ADD(foreign, socket) { open_socket, -ENOENT };

FIXTURE_VARIANT_ADD(foreign, inotify) { open_inotify, -ENOENT };

FIXTURE_VARIANT_ADD(foreign, eventfd) { open_eventfd, -ENOENT };

FIXTURE_VARIANT_ADD(foreign, epoll) { open_epoll, -ENOENT };

FIXTURE_VARIANT_ADD(foreign, signalfd) { open_signalfd, -ENOENT };

FIXTURE_VARIANT_ADD(foreign, timerfd) { open_timerfd, -ENOENT };

FIXTURE_VARIANT_ADD(foreign, null) { open_null, -ENOENT };

FIXTURE_VARIANT_ADD(foreign, directory) { open_directory, -ENOENT };

FIXTURE_VARIANT_ADD(foreign, proc) { open_proc, -ENOENT };

FIXTURE_VARIANT_ADD(foreign, tmpfs) { open_tmpfs, -ENOENT };

FIXTURE_VARIANT_ADD(foreign, memfd_secret) { open_memfd_secret, -ENOENT };

FIXTURE_VARIANT_ADD(foreign, read_only) { open_read_only, -EACCES };

FIXTURE_VARIANT_ADD(foreign, write_only) { open_write_only, -EACCES };

FIXTURE_SETUP(foreign)
{
	self->dev = luo_open();
	if (self->dev == -ENOENT)
		SKIP(return, "no " LUO_DEVICE);
	ASSERT_LE(0, self->dev);
	self->session = luo_create(self->dev, "foreign");
	ASSERT_LE(0, self->session);
	self->fd = variant->open(self->dev, self->session);
	if (self->fd < 0)
		SKIP(return, "this kernel has no such file: %s", strerror(-self->fd));
}

FIXTURE_TEARDOWN(foreign)
{
}

TEST_F(foreign, file_is_refused_and_the_session_goes_on)
{
	ASSERT_EQ(0, luo_preserve(self->session, luo_memfd(4096), 1));
	EXPECT_EQ(variant->result, luo_preserve(self->session, self->fd, 2));
	EXPECT_EQ(variant->result, luo_preserve(self->session, self->fd, 2));
	EXPECT_EQ(1, luo_count_files(self->session));
	EXPECT_EQ(0, luo_preserve(self->session, luo_memfd(4096), 2));
}

TEST_HARNESS_MAIN
