/* SPDX-License-Identifier: GPL-2.0 */
#ifndef LUOCTL_IMAGE_H
#define LUOCTL_IMAGE_H

#include <stdbool.h>

#define IMAGE_FORMATS	64
#define IMAGE_FORMAT_LENGTH	48

/* Names of formats, each once. */
struct formats {
	int count;
	char names[IMAGE_FORMATS][IMAGE_FORMAT_LENGTH];
};

bool formats_add(struct formats *formats, const char *name, int len);
bool formats_has(const struct formats *formats, const char *name);

/*
 * Find the formats that the kernel in a bzImage, an arm64 Image or an EFI zboot
 * image can take over. Returns NULL, or says why it can't be told.
 */
const char *image_formats(const char *path, struct formats *formats);

#endif /* LUOCTL_IMAGE_H */
