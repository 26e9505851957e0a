/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Whoever is told of pages that are missed.
 */
#ifndef LUO_UFFD_H
#define LUO_UFFD_H

#include <errno.h>
#include <linux/userfaultfd.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A userfaultfd that is told of @mode in the mapping, or -errno. */
static inline int luo_watch(void *map, size_t len, __u64 mode, __u64 features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	struct uffdio_register all = {
		.range = { .start = (uintptr_t)map, .len = len },
		.mode = mode,
	};
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC), err = 0;

	if (uffd < 0)
		return -errno;
	if (ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &all)) {
		err = -errno;
		close(uffd);
	}
	return err ?: uffd;
}

#endif /* LUO_UFFD_H */
