/* SPDX-License-Identifier: GPL-2.0 */
#ifndef LUOCTL_IMAGE_H
#define LUOCTL_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#define IMAGE_FORMATS	64
#define IMAGE_FORMAT_LENGTH	48

/* Names of formats, each once. */
struct formats {
	int count;
	char names[IMAGE_FORMATS][IMAGE_FORMAT_LENGTH];
};

bool formats_add(struct formats *formats, const char *name, int len);
bool formats_has(const struct formats *formats, const char *name);

struct image {
	/* What the kernel can take over. */
	struct formats formats;
	/* Bytes of memory that it starts in, unpacked. */
	uint64_t memory;
};

/*
 * Look into the kernel in a bzImage, an arm64 Image or an EFI zboot image.
 * Returns NULL, or says why it can't be told.
 */
const char *image_read(const char *path, struct image *image);

#endif /* LUOCTL_IMAGE_H */
