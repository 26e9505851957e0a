/* SPDX-License-Identifier: GPL-2.0 */
/* What a host does with the memory of files beside reading and writing it. */
#ifndef HOST_USES_H
#define HOST_USES_H

#include <sys/types.h>

/* Content of a file that was filled with the seed @token. */
struct host_range {
	off_t start;
	size_t len;
	int token;
};

/**
 * struct host_use - a use of files
 * @name:	how it is asked for
 * @keep:	called when the file was filled, before it is preserved
 * @check:	called when the file was retrieved and verified
 *
 * Both may be NULL, return 0 or -errno, and leave what they pin pinned.
 */
struct host_use {
	const char *name;
	int (*keep)(int fd, const struct host_range *range);
	int (*check)(int fd, const struct host_range *range);
};

const struct host_use *host_find_use(const char *name);

#endif
