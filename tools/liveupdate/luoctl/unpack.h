/* SPDX-License-Identifier: GPL-2.0 */
#ifndef LUOCTL_UNPACK_H
#define LUOCTL_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
	const uint8_t *data;
	size_t len;
};

/* No kernel is larger, packed or not. */
#define KERNEL_MAX	(1u << 30)

/* Whether the text stands there. */
bool bytes_have(const struct bytes *bytes, size_t at, const char *text, size_t len);

struct packing;

/* NULL if they are packed in no way that kernels are. */
const struct packing *packing_of(const struct bytes *bytes);

/* Whether the size of what was packed is no part of the format. */
bool packing_has_size_behind(const struct packing *packing);

/*
 * Replace packed bytes by what they hold, which lasts until the process ends.
 * Returns NULL, or says why it can't be done.
 */
const char *unpack(const struct packing *packing, struct bytes *bytes);

/* The content of a file. It lasts until the process ends. */
const char *map_file(int fd, struct bytes *bytes);

#endif /* LUOCTL_UNPACK_H */
