// SPDX-License-Identifier: LGPL-2.1+ OR MIT
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "libliveupdate.h"

static int luo_ioctl(int fd, unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) < 0 ? -errno : 0;
}

/*
 * A name that is too long fills the field without a terminator: it is for the
 * kernel to refuse it, so that there is one rule and one errno.
 */
static void luo_copy_name(__u8 field[LIVEUPDATE_SESSION_NAME_LENGTH],
			  const char *name)
{
	memcpy(field, name, strnlen(name, LIVEUPDATE_SESSION_NAME_LENGTH));
}

#define luo_text(_macro)	luo_quote(_macro)
#define luo_quote(_text)	#_text

const char *liveupdate_version(void)
{
	return luo_text(LIBLIVEUPDATE_VERSION_MAJOR) "."
	       luo_text(LIBLIVEUPDATE_VERSION_MINOR) "."
	       luo_text(LIBLIVEUPDATE_VERSION_PATCH);
}

int liveupdate_open(void)
{
	int fd = open(LIVEUPDATE_DEVICE, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int liveupdate_create_session(int dev, const char *name)
{
	struct liveupdate_ioctl_create_session arg = {
		.size = sizeof(arg),
		.fd = -EBADF,
	};
	int err;

	luo_copy_name(arg.name, name);
	err = luo_ioctl(dev, LIVEUPDATE_IOCTL_CREATE_SESSION, &arg);
	return err ? err : arg.fd;
}

static int luo_get_session(int dev, unsigned long cmd, const char *name)
{
	struct liveupdate_ioctl_retrieve_session arg = {
		.size = sizeof(arg),
		.fd = -EBADF,
	};
	int err;

	luo_copy_name(arg.name, name);
	err = luo_ioctl(dev, cmd, &arg);
	return err ? err : arg.fd;
}

int liveupdate_retrieve_session(int dev, const char *name)
{
	return luo_get_session(dev, LIVEUPDATE_IOCTL_RETRIEVE_SESSION, name);
}

/* Kernels that can't say EINVAL, too, which has other meanings: they are asked. */
static int luo_can_claim(int dev)
{
	struct liveupdate_ioctl_get_info info;
	int err = liveupdate_get_info(dev, &info);

	if (err == -ENOTTY || err == -EINVAL)
		return -EOPNOTSUPP;
	if (err)
		return err;
	return info.features & LIVEUPDATE_FEATURE_CLAIM_SESSION ? 0 : -EOPNOTSUPP;
}

int liveupdate_claim_session(int dev, const char *name)
{
	int err = luo_can_claim(dev);

	return err ? err : luo_get_session(dev, LIVEUPDATE_IOCTL_CLAIM_SESSION, name);
}

int liveupdate_get_info(int dev, struct liveupdate_ioctl_get_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	return luo_ioctl(dev, LIVEUPDATE_IOCTL_GET_INFO, info);
}

int liveupdate_list_sessions(int dev, uint64_t *cursor,
			     struct liveupdate_session_entry *entries,
			     uint32_t count)
{
	struct liveupdate_ioctl_list_sessions arg = {
		.size = sizeof(arg),
		.count = count,
		.cursor = *cursor,
		.entries = (uintptr_t)entries,
	};
	int err = luo_ioctl(dev, LIVEUPDATE_IOCTL_LIST_SESSIONS, &arg);

	if (err)
		return err;
	*cursor = arg.cursor;
	return arg.count;
}

int liveupdate_preserve_fd(int session, int fd, uint64_t token)
{
	struct liveupdate_session_preserve_fd arg = {
		.size = sizeof(arg),
		.fd = fd,
		.token = token,
	};

	return luo_ioctl(session, LIVEUPDATE_SESSION_PRESERVE_FD, &arg);
}

int liveupdate_unpreserve_fd(int session, uint64_t token)
{
	struct liveupdate_session_unpreserve_fd arg = {
		.size = sizeof(arg),
		.token = token,
	};

	return luo_ioctl(session, LIVEUPDATE_SESSION_UNPRESERVE_FD, &arg);
}

int liveupdate_retrieve_fd(int session, uint64_t token)
{
	struct liveupdate_session_retrieve_fd arg = {
		.size = sizeof(arg),
		.fd = -EBADF,
		.token = token,
	};
	int err = luo_ioctl(session, LIVEUPDATE_SESSION_RETRIEVE_FD, &arg);

	return err ? err : arg.fd;
}

int liveupdate_finish(int session)
{
	struct liveupdate_session_finish arg = { .size = sizeof(arg) };

	return luo_ioctl(session, LIVEUPDATE_SESSION_FINISH, &arg);
}

int liveupdate_abandon(int session, uint64_t *files)
{
	struct liveupdate_session_abandon arg = { .size = sizeof(arg) };
	int err = luo_ioctl(session, LIVEUPDATE_SESSION_ABANDON, &arg);

	if (!err)
		*files = arg.files;
	return err;
}

int liveupdate_set_flags(int session, uint32_t flags)
{
	struct liveupdate_session_set_flags arg = {
		.size = sizeof(arg),
		.flags = flags,
	};

	return luo_ioctl(session, LIVEUPDATE_SESSION_SET_FLAGS, &arg);
}

int liveupdate_get_name(int session, char name[LIVEUPDATE_SESSION_NAME_LENGTH])
{
	struct liveupdate_session_get_name arg = { .size = sizeof(arg) };
	int err = luo_ioctl(session, LIVEUPDATE_SESSION_GET_NAME, &arg);

	if (!err)
		memcpy(name, arg.name, LIVEUPDATE_SESSION_NAME_LENGTH);
	return err;
}

int liveupdate_list_files(int session, uint64_t *cursor,
			  struct liveupdate_file_entry *entries,
			  uint32_t count)
{
	struct liveupdate_session_list_files arg = {
		.size = sizeof(arg),
		.count = count,
		.cursor = *cursor,
		.entries = (uintptr_t)entries,
	};
	int err = luo_ioctl(session, LIVEUPDATE_SESSION_LIST_FILES, &arg);

	if (err)
		return err;
	*cursor = arg.cursor;
	return arg.count;
}
