// SPDX-License-Identifier: GPL-2.0
/*
 * Marks, by which a guest that was started anew is told from the one that a
 * session has: its disks have gone on without the memory of that one. A session
 * passes kernels without live update, on which nobody sees that it waits.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "qemu.h"

static int mark_path(const struct guest *guest, char path[PATH_MAX])
{
	return snprintf(path, PATH_MAX, "%s/%s", guest->marks, guest->name) < PATH_MAX ? 0 :
	       fail("%s: path too long", guest->marks);
}

/* Returns 0 or an errno. */
static int store(const struct guest *guest, const char *path)
{
	size_t len = strlen(guest->mark);
	int fd, err;

	if (mkdir(guest->marks, 0700) && errno != EEXIST)
		return errno;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno;
	err = write(fd, guest->mark, len) != (ssize_t)len || fsync(fd) ? errno ?: EIO : 0;
	close(fd);
	return err;
}

int mark_make(struct guest *guest)
{
	char path[PATH_MAX];
	uint64_t number;
	int err;

	if (mark_path(guest, path))
		return -1;
	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return fail_errno(errno, "getrandom");
	snprintf(guest->mark, sizeof(guest->mark), "%016llx", (unsigned long long)number);
	/* Where nothing can be stored nothing is found later: that is no harm. */
	err = store(guest, path);
	return err && err != EROFS && err != ENOENT ? fail_errno(err, "%s", path) : 0;
}

/* One that was not written whole is another one. */
int mark_check(const struct guest *guest)
{
	char path[PATH_MAX], mark[sizeof(guest->mark)] = "";
	ssize_t len;
	int fd;

	if (!*guest->mark)
		return 0;
	if (mark_path(guest, path))
		return -1;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : fail_errno(errno, "%s", path);
	len = read(fd, mark, sizeof(mark) - 1);
	close(fd);
	if (len < 0)
		return fail_errno(errno, "%s", path);
	return strcmp(mark, guest->mark) ?
	       fail("the guest was started anew since: luoctl finish %s gives its memory up",
		    guest->session_name) : 0;
}
